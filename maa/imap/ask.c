#include <stdlib.h>

#include "imap/mailbox.h"
#include "maa/imap/message.h"
#include "maa/imap/names.h"
#include "sys/log.h"

#define RUNS_A_REQUEST 6000u /* 48,000 bytes: below IPC_INLINE */

/* --- handles --- */

/* A handle of the present stored. */
static enum status
renew(struct session *s, uint64_t deadline)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(4096), old = BUF_INIT(16);
    uint32_t epoch = imapd.epoch;
    struct channel *store = program_peer(ROLE_STORE, 0);
    struct msg_identity id;
    enum status st;

    msg_conn_id_put(&m, &(struct msg_conn_id){s->conn});
    st = program_ask(ROLE_AUTH, MSG_HANDLE_RENEW, buf_slice(&m), deadline, &reply);
    if (st != ST_OK)
        return st;
    if (!msg_identity_get(buf_slice(&reply), &id))
        return ST_UNAVAILABLE;
    if (s->epoch == epoch && store != NULL) { /* the old one is not gone with its stored */
        msg_id_put(&old, &(struct msg_id){s->handle});
        (void)ipc_send(store, (enum msg)MSG_HANDLE_CLOSE, buf_slice(&old), -1);
    }
    session_set_handle(s, id.handle);
    s->epoch = epoch;
    s->rights = id.rights;
    return ST_OK;
}

static enum status
ask_once(struct session *s, enum store_msg type, struct buf *m, uint64_t deadline, struct buf *reply)
{
    AUTO_BUF handle = BUF_INIT(8);
    struct channel *ch;
    enum status st = program_peer_wait(ROLE_STORE, 0, deadline, &ch);

    if (st != ST_OK)
        return st;
    buf_put_le64(&handle, s->handle);
    if (!buf_ok(&handle) || !buf_ok(m) || m->n < 8)
        return ST_LIMIT;
    memcpy(m->p, handle.p, 8);
    return ipc_call(ch, (enum msg)type, buf_slice(m), -1, deadline, reply);
}

/* With a new handle: is the mailbox still what the client thinks it is? Then hints from now on. */
static enum status
resume(struct session *s, uint64_t deadline)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(256);
    struct mailbox_status now;
    enum status st;

    if (s->box.id == 0)
        return ST_OK;
    mailbox_ref_put(&m, &(struct mailbox_ref){0, s->box.id});
    st = ask_once(s, MSG_WATCH, &m, deadline, &reply);
    if (st == ST_OK)
        st = ask_once(s, MSG_MAILBOX_STATUS, &m, deadline, &reply);
    if (st == ST_OK &&
        (!mailbox_status_get(buf_slice(&reply), &now) || now.uidvalidity != s->box.uidvalidity))
        st = ST_STALE;
    if (st == ST_STALE || st == ST_NOTFOUND)
        session_bye(s, "The mailbox is no longer what it was");
    else
        s->hinted = true;
    return st;
}

static enum status
renew_and_resume(struct session *s, uint64_t deadline)
{
    enum status st = renew(s, deadline);

    if (st == ST_STALE || st == ST_NOTFOUND || st == ST_DENIED)
        session_bye(s, "This account may not be used any more");
    if (st == ST_OK) /* the new one watches nothing yet */
        st = resume(s, deadline);
    return st;
}

enum status
session_ask(struct session *s, enum store_msg type, struct buf *m, struct buf *reply, bool again)
{
    uint64_t deadline = loop_now(s->stream.loop) + ASK_TIME;
    bool renewed = false;
    enum status st;

    for (;;) {
        if (s->epoch != imapd.epoch) {
            st = renew_and_resume(s, deadline);
            renewed = true;
            if (st == ST_CLOSED)
                continue; /* again a new one */
            if (st != ST_OK)
                return st;
        }
        st = ask_once(s, type, m, deadline, reply);
        if (st == ST_CLOSED && again && loop_now(s->stream.loop) < deadline)
            continue;
        /* RFC 3501 knows no handles: a stale one may be ours to renew, or the mailbox is gone. */
        if (st == ST_STALE && !renewed && !s->over) {
            renewed = true;
            st = renew_and_resume(s, deadline);
            if (st == ST_OK)
                continue;
        }
        return st == ST_CLOSED || st == ST_CANCELLED ? ST_UNAVAILABLE : st;
    }
}

/* --- rows --- */

enum status
take_rows(const struct buf *reply, struct slice *rows, bool *more)
{
    struct msg_rows m;

    if (!msg_rows_get(buf_slice(reply), &m))
        return ST_CORRUPT;
    *rows = m.rows;
    *more = m.more != 0 && m.rows.n > 0;
    return ST_OK;
}

/* Where to begin listing so that `name` is among the first: a name without its last character. */
static struct slice
name_before(struct slice name)
{
    while (name.n > 0 && (name.p[name.n - 1] & 0xc0) == 0x80)
        name.n--;
    return slice_sub(name, 0, name.n > 0 ? name.n - 1 : 0);
}

static enum status
find_in_rows(struct slice rows, struct slice name, struct slice *after, struct mailbox_row *row)
{
    struct mailbox_row got;

    while (mailbox_row_take(&rows, &got)) {
        *after = got.name;
        if (slice_eq(got.name, name)) {
            *row = got;
            return ST_OK;
        }
        if (slice_cmp(got.name, name) > 0)
            return ST_NOTFOUND;
    }
    return rows.n == 0 ? ST_MORE : ST_CORRUPT;
}

enum status
find_mailbox(struct session *s, struct slice name, bool levels, struct buf *reply, struct mailbox_row *row)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8),
             at = BUF_INIT(IMAP_NAME_MAX * 4);
    enum status st = name_decode(s, name, &utf8);
    bool more = true;

    if (st != ST_OK)
        return st;
    buf_put(&at, name_before(buf_slice(&utf8)));
    while (more) {
        struct slice rows, after = {0};

        buf_clear(&m);
        mailbox_list_put(&m, &(struct mailbox_list){0, buf_slice(&at)});
        st = session_ask(s, MSG_MAILBOXES, &m, reply, true);
        if (st == ST_OK)
            st = take_rows(reply, &rows, &more);
        if (st != ST_OK)
            return st;
        st = find_in_rows(rows, buf_slice(&utf8), &after, row);
        if (st == ST_OK)
            return row->mailbox == 0 && !levels ? ST_NOTFOUND : ST_OK;
        if (st != ST_MORE)
            return st;
        buf_clear(&at);
        buf_put(&at, after);
    }
    return ST_NOTFOUND;
}

enum status
mailbox_status_of(struct session *s, uint64_t mailbox, struct mailbox_status *out)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(1024);
    enum status st;

    mailbox_ref_put(&m, &(struct mailbox_ref){0, mailbox});
    st = session_ask(s, MSG_MAILBOX_STATUS, &m, &reply, true);
    if (st == ST_OK && !mailbox_status_get(buf_slice(&reply), out))
        st = ST_CORRUPT;
    return st;
}

/* --- accounts --- */

static struct account *accounts; /* with a session; few thousands at most, found only at a login */

struct account *
account_get(struct slice user)
{
    struct account *a = accounts;

    while (a != NULL && !slice_eq(buf_slice(&a->user), user))
        a = a->next;
    if (a == NULL) {
        if ((a = calloc(1, sizeof *a)) == NULL)
            return NULL;
        a->user = BUF_INIT(1024);
        buf_put(&a->user, user);
        if (!buf_ok(&a->user)) {
            free(a);
            return NULL;
        }
        a->rows = BUF_INIT(IPC_PAYLOAD_MAX * 4);
        a->next = accounts;
        accounts = a;
    }
    a->sessions++;
    return a;
}

void
account_put(struct account *a)
{
    struct account **at = &accounts;

    if (a == NULL || --a->sessions > 0)
        return;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    buf_done(&a->user);
    buf_done(&a->rows);
    free(a->names);
    free(a);
}

/* The account's table from all rows, which it takes. */
static enum status
adopt_keywords(struct account *a, struct buf *rows)
{
    struct slice at = buf_slice(rows);
    struct keyword_row row;
    struct slice *names;
    uint32_t n = 0, keywords = 0;

    for (struct slice look = at; keyword_row_take(&look, &row);)
        n = row.number >= n ? row.number + 1u : n;
    names = calloc(n > 0 ? n : 1, sizeof *names);
    if (names == NULL)
        return ST_MEMORY;
    while (keyword_row_take(&at, &row)) {
        keywords += names[row.number].p == NULL;
        names[row.number] = row.name;
    }
    free(a->names);
    buf_done(&a->rows);
    a->rows = *rows;
    *rows = BUF_INIT(0);
    a->names = names;
    a->n_names = n;
    a->keywords = keywords;
    return ST_OK;
}

enum status
load_keywords(struct session *s)
{
    AUTO_BUF m = BUF_INIT(16), reply = BUF_INIT(IPC_PAYLOAD_MAX + 64), all = BUF_INIT(IPC_PAYLOAD_MAX * 4);
    struct slice rows;
    bool more;
    enum status st;

    msg_id_put(&m, &(struct msg_id){0});
    st = session_ask(s, MSG_KEYWORDS, &m, &reply, true);
    if (st == ST_OK)
        st = take_rows(&reply, &rows, &more);
    if (st != ST_OK)
        return st;
    buf_put(&all, rows);
    return buf_ok(&all) ? adopt_keywords(s->account, &all) : ST_LIMIT;
}

/* --- cursors --- */

void
cursor_done(struct cursor *c)
{
    buf_done(&c->reply);
}

static bool
refill(struct cursor *c)
{
    AUTO_BUF uids = BUF_INIT(RUNS_A_REQUEST * 8), m = BUF_INIT(IPC_INLINE);

    if (c->more) /* of the last request */
        c->from = c->last == UINT32_MAX ? 0 : c->last + 1;
    else
        c->from = c->next;
    if (c->from == 0)
        return false;
    if (uidset_pack(c->of, c->from, c->batch, RUNS_A_REQUEST, &uids, &c->next) == 0)
        return false;
    if (c->type == MSG_MESSAGES)
        message_list_put(&m, &(struct message_list){0, c->s->box.id, c->from, buf_slice(&uids)});
    else if (c->type == MSG_DIGESTS)
        digest_list_put(&m, &(struct digest_list){0, c->s->box.id, buf_slice(&uids)});
    else
        head_list_put(&m, &(struct head_list){0, c->s->box.id, buf_slice(&uids), c->head, c->head <= HEAD_HEADER});
    c->st = session_ask(c->s, c->type, &m, &c->reply, true);
    if (c->st == ST_OK)
        c->st = take_rows(&c->reply, &c->rest, &c->more);
    return c->st == ST_OK;
}

/* Is there a row to decode? */
static bool
another(struct cursor *c)
{
    while (c->st == ST_OK && c->rest.n == 0) {
        uint32_t last = c->last;

        if (c->more && c->asked && c->asked_after == last) /* it says more and gives none */
            c->st = ST_CORRUPT;
        else if (!refill(c))
            return false;
        c->asked = true;
        c->asked_after = last;
    }
    return c->st == ST_OK;
}

/* Of hostile rows those that were asked for, in order. False: passed over. */
static bool
wanted(struct cursor *c, bool decoded, const uint32_t *number)
{
    uint32_t uid = decoded ? *number : 0;

    if (!decoded) {
        c->st = ST_CORRUPT;
        return false;
    }
    if (uid <= c->last || !uidset_has(c->of, uid))
        return false;
    c->last = uid;
    return true;
}

bool
next_message(struct cursor *c, struct message_row *row)
{
    while (another(c))
        if (wanted(c, message_row_take(&c->rest, row), &row->uid))
            return true;
    return false;
}

bool
next_digest(struct cursor *c, struct digest_row *row)
{
    while (another(c))
        if (wanted(c, digest_row_take(&c->rest, row), &row->uid))
            return true;
    return false;
}

bool
next_head(struct cursor *c, struct head_row *row)
{
    while (another(c))
        if (wanted(c, head_row_take(&c->rest, row), &row->uid))
            return true;
    return false;
}
