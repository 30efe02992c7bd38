/* imapd as it is started: this test plays estafetad, edged, logind, authd, mdad, clients, and a stored that
 * keeps its mail in memory. argv[1] is the executable. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "ipc/program.h"
#include "mime/digest.h"
#include "net/stream.h"
#include "store/request.h"
#include "sys/fd.h"

#define ARENA    (256u * SHM_CHUNK)
#define BOXES    16u
#define MESSAGES 5000u
#define WATCHES  64u

static const char *executable;
static struct loop *loop;
static struct channel *control, *login, *edge, *auth, *store, *mda;
static struct shm arena;
static unsigned done_count, taken_count; /* MSG_CONN_DONE, MSG_CONN_TAKEN */
static bool refuse_tickets;

/* --- a store in memory --- */

struct mail {
    uint32_t uid;
    uint16_t flags;
    uint64_t modseq;
    int64_t date;
    bool gone, no_digest;
    struct buf keywords, body;
};

struct box {
    uint64_t id;
    char name[64];
    bool subscribed;
    uint32_t uidvalidity, uidnext, special;
    struct mail *mails;
    uint32_t n;
};

static struct {
    struct box boxes[BOXES];
    uint32_t n;
    char keywords[16][32];
    uint32_t n_keywords;
    uint64_t modseq, next_id, handle;
    struct {
        uint64_t handle, mailbox;
    } watches[WATCHES];
    uint32_t n_watches;
    unsigned rows_asked; /* MSG_MESSAGES */
    unsigned copies;
    bool page_small; /* answers have few rows */
    uint32_t recent_from;
} fake;

static struct box *
box_named(struct slice name)
{
    for (uint32_t i = 0; i < fake.n; i++)
        if (fake.boxes[i].id != 0 && slice_eq(slice_of(fake.boxes[i].name), name))
            return &fake.boxes[i];
    return NULL;
}

static struct box *
box_numbered(uint64_t id)
{
    for (uint32_t i = 0; i < fake.n; i++)
        if (fake.boxes[i].id != 0 && fake.boxes[i].id == id)
            return &fake.boxes[i];
    return NULL;
}

static struct box *
add_box(struct slice name)
{
    struct box *b = &fake.boxes[fake.n++];

    CHECK(0, fake.n <= BOXES && slice_to_cstr(name, b->name, sizeof b->name));
    b->id = ++fake.next_id;
    b->uidvalidity = 1000 + (uint32_t)b->id;
    b->uidnext = 1;
    b->mails = calloc(MESSAGES, sizeof *b->mails);
    CHECK(0, b->mails != NULL);
    return b;
}

static struct mail *
add_mail(struct box *b, struct slice body)
{
    struct mail *m = &b->mails[b->n++];

    CHECK(0, b->n <= MESSAGES);
    *m = (struct mail){
        .uid = b->uidnext++, .modseq = ++fake.modseq, .keywords = BUF_INIT(64), .body = BUF_INIT(64u << 20)};
    m->date = 837593065000000000; /* 17-Jul-1996 08:44:25 +0000 */
    buf_put(&m->body, body);
    return m;
}

static void
hint_all(struct box *b)
{
    for (uint32_t i = 0; i < fake.n_watches; i++) {
        AUTO_BUF m = BUF_INIT(64);

        if (fake.watches[i].mailbox != b->id)
            continue;
        hint_put(&m, &(struct hint){fake.watches[i].handle, b->id, fake.modseq});
        CHECK_INT(0, ipc_send(store, (enum msg)MSG_HINT, buf_slice(&m), -1), ST_OK);
    }
}

static void
reply_rows(struct ipc_request *r, const struct buf *rows, bool more)
{
    AUTO_BUF m = BUF_INIT(IPC_INLINE);

    msg_rows_put(&m, &(struct msg_rows){more, buf_slice(rows)});
    CHECK(0, buf_ok(&m));
    ipc_answer(r->from, ST_OK, buf_slice(&m));
}

static void
reply_status(struct ipc_request *r, enum status st)
{
    ipc_answer(r->from, st, (struct slice){0});
}

static bool
in_runs(struct slice uids, uint32_t uid)
{
    struct uid_run run;
    bool any = uids.n > 0;

    while (uid_run_take(&uids, &run))
        if (uid >= run.first && uid <= run.last)
            return true;
    return !any;
}

static uint16_t
keyword_number(struct slice name)
{
    for (uint32_t i = 0; i < fake.n_keywords; i++)
        if (slice_eq_nocase(slice_of(fake.keywords[i]), name))
            return (uint16_t)(i + 1);
    CHECK(0, fake.n_keywords < 16 && slice_to_cstr(name, fake.keywords[fake.n_keywords], 32));
    return (uint16_t)++fake.n_keywords;
}

/* Packed names to packed numbers; names come in few, so sorting is not needed here. */
static void
number_names(struct slice names, struct buf *out)
{
    struct msg_name name;

    while (msg_name_take(&names, &name))
        buf_put_le16(out, keyword_number(name.name));
}

#define GET(type, m)                                                                                         \
    struct type m;                                                                                           \
    if (!type##_get(r->payload, &m))                                                                         \
    return ST_SYNTAX
#define GET_OURS(type, m)                                                                                    \
    GET(type, m);                                                                                            \
    if (m.handle != fake.handle && m.handle != fake.handle + 1) {                                            \
        reply_status(r, ST_STALE);                                                                           \
        return ST_OK;                                                                                        \
    }
#define GET_BOX(type, m, b)                                                                                  \
    GET_OURS(type, m);                                                                                       \
    struct box *b = box_numbered(m.mailbox);                                                                 \
    if (b == NULL) {                                                                                         \
        reply_status(r, ST_STALE);                                                                           \
        return ST_OK;                                                                                        \
    }

static int
by_name(const void *a, const void *b)
{
    return strcmp((*(struct box *const *)a)->name, (*(struct box *const *)b)->name);
}

static enum status
on_mailboxes(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);
    struct box *sorted[BOXES];
    uint32_t n = 0, put = 0;
    bool more = false;

    GET_OURS(mailbox_list, m);
    for (uint32_t i = 0; i < fake.n; i++)
        if (fake.boxes[i].id != 0 && slice_cmp(slice_of(fake.boxes[i].name), m.after) > 0)
            sorted[n++] = &fake.boxes[i];
    qsort(sorted, n, sizeof(sorted[0]), by_name);
    for (uint32_t i = 0; i < n; i++, put++) {
        if ((more = put == 2)) /* pages, as there would be */
            break;
        mailbox_row_put(&rows, &(struct mailbox_row){.mailbox = sorted[i]->id,
                                                     .name = slice_of(sorted[i]->name),
                                                     .special = sorted[i]->special});
    }
    reply_rows(r, &rows, more);
    return ST_OK;
}

static enum status
on_subscriptions(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);

    GET_OURS(mailbox_list, m);
    for (uint32_t i = 0; i < fake.n; i++)
        if (fake.boxes[i].subscribed && slice_cmp(slice_of(fake.boxes[i].name), m.after) > 0)
            msg_name_put(&rows, &(struct msg_name){slice_of(fake.boxes[i].name)});
    reply_rows(r, &rows, false);
    return ST_OK;
}

static enum status
on_subscribe(struct ipc_request *r)
{
    GET_OURS(mailbox_subscribe, m);
    if (box_named(m.name) != NULL)
        box_named(m.name)->subscribed = m.on;
    reply_status(r, ST_OK);
    return ST_OK;
}

static enum status
on_mailbox_status(struct ipc_request *r)
{
    AUTO_BUF m2 = BUF_INIT(100);
    struct mailbox_status st = {0};

    GET_BOX(mailbox_ref, m, b);
    st = (struct mailbox_status){.uidvalidity = b->uidvalidity,
                                 .uidnext = b->uidnext,
                                 .modseq = fake.modseq,
                                 .recent_from = fake.recent_from};
    for (uint32_t i = 0; i < b->n; i++) {
        st.messages += !b->mails[i].gone;
        st.deleted += !b->mails[i].gone && (b->mails[i].flags & FLAG_DELETED);
        st.bytes += b->mails[i].gone ? 0 : b->mails[i].body.n;
        st.unseen += !b->mails[i].gone && !(b->mails[i].flags & FLAG_SEEN);
    }
    mailbox_status_put(&m2, &st);
    ipc_answer(r->from, ST_OK, buf_slice(&m2));
    return ST_OK;
}

static enum status
on_create(struct ipc_request *r)
{
    AUTO_BUF id = BUF_INIT(16);

    GET_OURS(mailbox_name, m);
    if (box_named(m.name) != NULL) {
        reply_status(r, ST_EXISTS);
        return ST_OK;
    }
    msg_id_put(&id, &(struct msg_id){add_box(m.name)->id});
    ipc_answer(r->from, ST_OK, buf_slice(&id));
    return ST_OK;
}

static enum status
on_delete(struct ipc_request *r)
{
    GET_BOX(mailbox_ref, m, b);
    b->id = 0;
    reply_status(r, ST_OK);
    return ST_OK;
}

static enum status
on_rename(struct ipc_request *r)
{
    GET_BOX(mailbox_rename, m, b);
    if (box_named(m.name) != NULL)
        reply_status(r, ST_EXISTS);
    else
        reply_status(r, slice_to_cstr(m.name, b->name, sizeof b->name) ? ST_OK : ST_LIMIT);
    return ST_OK;
}

static enum status
on_keywords(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(1000);

    for (uint32_t i = 0; i < fake.n_keywords; i++)
        keyword_row_put(&rows, &(struct keyword_row){(uint16_t)(i + 1), slice_of(fake.keywords[i])});
    reply_rows(r, &rows, false);
    return ST_OK;
}

static enum status
on_messages(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);
    uint32_t put = 0, most = fake.page_small ? 2 : 500;
    bool more = false;

    GET_BOX(message_list, m, b);
    for (uint32_t i = 0; i < b->n && !more; i++) {
        struct mail *mail = &b->mails[i];

        if (mail->gone || mail->uid < m.from || !in_runs(m.uids, mail->uid))
            continue;
        if ((more = put++ == most))
            break;
        message_row_put(&rows, &(struct message_row){mail->uid, mail->flags, mail->modseq, mail->body.n,
                                                     mail->date, mail->uid, buf_slice(&mail->keywords)});
        fake.rows_asked++;
    }
    reply_rows(r, &rows, more);
    return ST_OK;
}

static void
put_change(struct buf *rows, const struct mail *mail)
{
    change_row_put(rows, &(struct change_row){.uid = mail->uid,
                                              .gone = mail->gone,
                                              .flags = mail->flags,
                                              .modseq = mail->modseq,
                                              .size = mail->body.n,
                                              .keywords = buf_slice(&mail->keywords)});
}

static enum status
on_changes(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);
    uint64_t after;
    uint32_t put = 0;
    bool more = true;

    GET_BOX(change_list, m, b);
    for (after = m.modseq; put < 3;) { /* the next by modseq */
        const struct mail *next = NULL;

        for (uint32_t i = 0; i < b->n; i++)
            if (b->mails[i].modseq > after && (next == NULL || b->mails[i].modseq < next->modseq))
                next = &b->mails[i];
        if (next == NULL) {
            more = false;
            break;
        }
        put_change(&rows, next);
        after = next->modseq;
        put++;
    }
    reply_rows(r, &rows, more);
    return ST_OK;
}

static enum status
on_digests(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);

    GET_BOX(digest_list, m, b);
    for (uint32_t i = 0; i < b->n; i++) {
        AUTO_BUF digest = BUF_INIT(DIGEST_WHOLE + 131072);
        struct mail *mail = &b->mails[i];

        if (mail->gone || mail->no_digest || !in_runs(m.uids, mail->uid))
            continue;
        CHECK_INT(0, digest_whole(buf_slice(&mail->body), &digest), ST_OK);
        digest_row_put(&rows, &(struct digest_row){mail->uid, {0}, buf_slice(&digest)});
    }
    reply_rows(r, &rows, false);
    return ST_OK;
}

static enum status
on_body_read(struct ipc_request *r)
{
    AUTO_BUF m2 = BUF_INIT(IPC_INLINE);

    GET_BOX(body_read, m, b);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->mails[i].uid == m.uid && !b->mails[i].gone) {
            size_t most = m.n < 50000 ? m.n : 50000; /* what fits without an arena */

            msg_bytes_put(
                &m2, &(struct msg_bytes){slice_sub(buf_slice(&b->mails[i].body), (size_t)m.offset, most)});
            ipc_answer(r->from, ST_OK, buf_slice(&m2));
            return ST_OK;
        }
    reply_status(r, ST_NOTFOUND);
    return ST_OK;
}

static enum status
on_heads(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);
    uint32_t put = 0;
    bool more = false;

    GET_BOX(head_list, m, b);
    for (uint32_t i = 0; i < b->n && !more; i++) {
        struct mail *mail = &b->mails[i];

        if (mail->gone || !in_runs(m.uids, mail->uid) ||
            i % 5 == 3) /* some cannot be read this way just now */
            continue;
        if ((more = put == 3))
            break;
        put++;
        head_row_put(&rows, &(struct head_row){
                                mail->uid, slice_sub(buf_slice(&mail->body), 0, m.n < 15000 ? m.n : 15000)});
    }
    reply_rows(r, &rows, more);
    return ST_OK;
}

static enum status
on_flags(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE), numbers = BUF_INIT(100);
    uint32_t put = 0;

    GET_BOX(flags_change, m, b);
    number_names(m.keywords, &numbers);
    for (uint32_t i = 0; i < b->n && put < 500; i++) {
        struct mail *mail = &b->mails[i];
        uint16_t flags = m.op == FLAGS_ADD      ? mail->flags | m.flags
                         : m.op == FLAGS_REMOVE ? (uint16_t)(mail->flags & ~m.flags)
                                                : m.flags;

        if (mail->gone || !in_runs(m.uids, mail->uid) || (flags == mail->flags && numbers.n == 0))
            continue; /* unchanged ones are not in the answer */
        mail->flags = flags;
        if (m.op == FLAGS_REPLACE || numbers.n > 0) {
            buf_clear(&mail->keywords);
            if (m.op != FLAGS_REMOVE)
                buf_put(&mail->keywords, buf_slice(&numbers));
        }
        mail->modseq = ++fake.modseq;
        put_change(&rows, mail);
        put++;
    }
    hint_all(b);
    reply_rows(r, &rows, put == 500); /* asked again after the last one */
    return ST_OK;
}

static enum status
on_copy(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);
    struct box *to;

    GET_BOX(copy, m, b);
    to = box_numbered(m.to);
    CHECK(0, to != NULL && m.request.n == 16);
    fake.copies++;
    for (uint32_t i = 0, n = b->n; i < n; i++) {
        struct mail *mail = &b->mails[i];
        struct mail *made;

        if (mail->gone || !in_runs(m.uids, mail->uid))
            continue;
        made = add_mail(to, buf_slice(&mail->body));
        made->flags = mail->flags;
        copied_row_put(&rows, &(struct copied_row){to->uidvalidity, mail->uid, made->uid});
        if (m.move) {
            mail->gone = true;
            mail->modseq = ++fake.modseq;
        }
    }
    hint_all(b);
    hint_all(to);
    reply_rows(r, &rows, false);
    return ST_OK;
}

static enum status
on_expunge(struct ipc_request *r)
{
    AUTO_BUF runs = BUF_INIT(20000), m2 = BUF_INIT(20100);

    GET_BOX(expunge, m, b);
    for (uint32_t i = 0; i < b->n; i++) {
        struct mail *mail = &b->mails[i];

        if (mail->gone || !in_runs(m.uids, mail->uid) || (m.deleted_only && !(mail->flags & FLAG_DELETED)))
            continue;
        mail->gone = true;
        mail->modseq = ++fake.modseq;
        uid_run_put(&runs, &(struct uid_run){mail->uid, mail->uid});
    }
    hint_all(b);
    msg_bytes_put(&m2, &(struct msg_bytes){buf_slice(&runs)});
    ipc_answer(r->from, ST_OK, buf_slice(&m2));
    return ST_OK;
}

static enum status
on_watch(struct ipc_request *r)
{
    GET_BOX(mailbox_ref, m, b);
    CHECK(0, fake.n_watches < WATCHES);
    fake.watches[fake.n_watches].handle = m.handle;
    fake.watches[fake.n_watches++].mailbox = b->id;
    reply_status(r, ST_OK);
    return ST_OK;
}

static enum status
on_unwatch(struct ipc_request *r)
{
    GET_OURS(mailbox_ref, m);
    for (uint32_t i = 0; i < fake.n_watches; i++)
        if (fake.watches[i].handle == m.handle && fake.watches[i].mailbox == m.mailbox)
            fake.watches[i] = fake.watches[--fake.n_watches];
    reply_status(r, ST_OK);
    return ST_OK;
}

static enum status
on_handle_close(struct ipc_request *r)
{
    GET(msg_id, m);
    for (uint32_t i = 0; i < fake.n_watches; i++)
        if (fake.watches[i].handle == m.id)
            fake.watches[i--] = fake.watches[--fake.n_watches];
    return ST_OK;
}

/* --- bodies --- */

static struct {
    struct buf bytes; /* of the side body */
    uint64_t id;
    unsigned dropped;
} side = {.bytes = BUF_INIT(64u << 20)};
static struct digester *digesters[8]; /* by job */
static unsigned fed, cancelled;
static bool mdad_fails, no_space;
static uint32_t next_uid;

static void
read_chunks(struct slice chunks, uint64_t n, struct buf *out)
{
    uint8_t *to = buf_reserve(out, (size_t)n);

    CHECK(0, to != NULL);
    CHECK_INT(0, shm_read(&arena, chunks, (size_t)n, to), ST_OK);
    out->n += (size_t)n;
}

static void
give_credit(uint64_t n)
{
    AUTO_BUF m = BUF_INIT(16);

    msg_id_put(&m, &(struct msg_id){n});
    CHECK_INT(0, ipc_send(store, (enum msg)MSG_CREDIT, buf_slice(&m), -1), ST_OK);
}

static enum status
on_side_begin(struct ipc_request *r)
{
    AUTO_BUF m2 = BUF_INIT(16);

    GET(side_begin, m);
    CHECK(0, m.announced > STORE_BODY_INLINE);
    buf_clear(&side.bytes);
    msg_id_put(&m2, &(struct msg_id){++side.id});
    ipc_answer(r->from, no_space ? ST_NOSPACE : ST_OK, buf_slice(&m2));
    return ST_OK;
}

static enum status
on_side_data(struct ipc_request *r)
{
    GET(side_data, m);
    CHECK_INT(0, m.side, side.id);
    read_chunks(m.chunks, m.n, &side.bytes);
    reply_status(r, ST_OK);
    return ST_OK;
}

static enum status
on_side_drop(struct ipc_request *r)
{
    side.dropped++;
    return ST_OK;
}

static enum status
on_append(struct ipc_request *r)
{
    AUTO_BUF body = BUF_INIT(64u << 20), m2 = BUF_INIT(100), digest = BUF_INIT(DIGEST_WHOLE + 131072);
    struct mail *mail;

    GET_BOX(append, m, b);
    CHECK(0, m.request.n == 16 && (m.side == 0 || m.chunks.n == 0));
    if (m.side == 0) {
        read_chunks(m.chunks, m.n, &body);
        give_credit(m.n);
    } else {
        buf_put(&body, buf_slice(&side.bytes));
    }
    CHECK_INT(0, body.n, m.n);
    CHECK_INT(1, digest_whole(buf_slice(&body), &digest), ST_OK);
    CHECK_SLICE(2, m.digest, mdad_fails ? SLICE("") : buf_slice(&digest));
    if (slice_find_slice(buf_slice(&body), SLICE("Subject: much")) < body.n) {
        reply_status(r, ST_QUOTA);
        return ST_OK;
    }
    mail = add_mail(b, buf_slice(&body));
    mail->flags = m.flags;
    mail->date = m.internaldate != 0 ? m.internaldate : mail->date;
    number_names(m.keywords, &mail->keywords);
    hint_all(b);
    next_uid = b->uidnext;
    appended_put(&m2, &(struct appended){b->uidvalidity, mail->uid, mail->modseq});
    ipc_answer(r->from, ST_OK, buf_slice(&m2));
    return ST_OK;
}

static enum status
on_feed(struct ipc_request *r)
{
    AUTO_BUF bytes = BUF_INIT(1u << 20), digest = BUF_INIT(DIGEST_MAX + 4096), m2 = BUF_INIT(IPC_INLINE);

    GET(msg_digest_feed, m);
    struct digester **d = &digesters[m.job % 8];

    fed++;
    if (mdad_fails) {
        reply_status(r, ST_UNAVAILABLE);
        return ST_OK;
    }
    if (*d == NULL)
        *d = digester_new(DIGEST_MAX);
    CHECK(0, *d != NULL && m.n <= 131072);
    read_chunks(m.chunks, m.n, &bytes);
    digest_feed(*d, buf_slice(&bytes));
    if (m.last) {
        CHECK_INT(0, digest_finish(*d, &digest), ST_OK);
        msg_bytes_put(&m2, &(struct msg_bytes){buf_slice(&digest)});
        digester_free(*d);
        *d = NULL;
    }
    ipc_answer(r->from, ST_OK, buf_slice(&m2));
    return ST_OK;
}

static enum status
on_cancel(struct ipc_request *r)
{
    GET(msg_id, m);
    digester_free(digesters[m.id % 8]);
    digesters[m.id % 8] = NULL;
    cancelled++;
    return ST_OK;
}

/* --- the other programs --- */

static enum status
on_ready(struct ipc_request *r)
{
    return ST_OK;
}

static enum status
on_conn_taken(struct ipc_request *r)
{
    GET(msg_conn_id, m);
    taken_count += m.conn > 0;
    return ST_OK;
}

static enum status
on_conn_done(struct ipc_request *r)
{
    GET(msg_conn_id, m);
    done_count += m.conn > 0;
    return ST_OK;
}

/* Connection 2 has the second handle; all others the first. */
static void
identify(struct ipc_request *r, uint64_t conn)
{
    AUTO_BUF id = BUF_INIT(100);

    msg_identity_put(&id, &(struct msg_identity){SLICE("usr1@dominio.com.uy"), fake.handle + (conn == 2),
                                                 RIGHT_READ | RIGHT_WRITE});
    ipc_answer(r->from, refuse_tickets ? ST_STALE : ST_OK, buf_slice(&id));
}

static enum status
on_ticket(struct ipc_request *r)
{
    GET(msg_ticket, m);
    CHECK_SLICE(0, m.ticket, "0123456789abcdef");
    identify(r, m.conn);
    return ST_OK;
}

static enum status
on_renew(struct ipc_request *r)
{
    GET(msg_conn_id, m);
    identify(r, m.conn);
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_READY,             ROLE_BIT(IMAP), on_ready, false},
    {MSG_CONN_DONE,             ROLE_BIT(IMAP), on_conn_done, false},
    {MSG_CONN_TAKEN,                     ROLE_BIT(IMAP), on_conn_taken, false},
    {MSG_TICKET_REDEEM,ROLE_BIT(IMAP), on_ticket, false},
    {MSG_HANDLE_RENEW,                ROLE_BIT(IMAP), on_renew, false},
    {MSG_HANDLE_CLOSE,        ROLE_BIT(IMAP), on_handle_close, false},
    {MSG_MAILBOXES,        ROLE_BIT(IMAP), on_mailboxes, false},
    {MSG_SUBSCRIPTIONS,                     ROLE_BIT(IMAP), on_subscriptions, false},
    {MSG_MAILBOX_SUBSCRIBE,             ROLE_BIT(IMAP), on_subscribe, false},
    {MSG_MAILBOX_STATUS,                ROLE_BIT(IMAP), on_mailbox_status, false},
    {MSG_MAILBOX_CREATE,      ROLE_BIT(IMAP), on_create, false},
    {MSG_MAILBOX_DELETE,             ROLE_BIT(IMAP), on_delete, false},
    {MSG_MAILBOX_RENAME,                     ROLE_BIT(IMAP), on_rename, false},
    {MSG_KEYWORDS,ROLE_BIT(IMAP), on_keywords, false},
    {MSG_MESSAGES,                ROLE_BIT(IMAP), on_messages, false},
    {MSG_CHANGES,         ROLE_BIT(IMAP), on_changes, false},
    {MSG_DIGESTS,         ROLE_BIT(IMAP), on_digests, false},
    {MSG_BODY_READ,                     ROLE_BIT(IMAP), on_body_read, false},
    {MSG_HEADS,ROLE_BIT(IMAP), on_heads, false},
    {MSG_FLAGS,                ROLE_BIT(IMAP), on_flags, false},
    {MSG_COPY, ROLE_BIT(IMAP), on_copy, false},
    {MSG_EXPUNGE,         ROLE_BIT(IMAP), on_expunge, false},
    {MSG_WATCH,                     ROLE_BIT(IMAP), on_watch, false},
    {MSG_APPEND,ROLE_BIT(IMAP), on_append, false},
    {MSG_SIDE_BEGIN,                ROLE_BIT(IMAP), on_side_begin, false},
    {MSG_SIDE_DATA,    ROLE_BIT(IMAP), on_side_data, false},
    {MSG_SIDE_DROP,            ROLE_BIT(IMAP), on_side_drop, false},
    {MSG_DIGEST_FEED,                     ROLE_BIT(IMAP), on_feed, false},
    {MSG_DIGEST_CANCEL,ROLE_BIT(IMAP), on_cancel, false},
    {MSG_UNWATCH,                ROLE_BIT(IMAP), on_unwatch, false},
    {0   },
};

static void
on_end(struct channel *ch)
{
    if (ch == control)
        loop_stop(loop);
}

static struct channel *
peer(enum role role)
{
    AUTO_BUF m = BUF_INIT(100);
    struct channel *ch = NULL;
    int fds[2];

    CHECK(role, seqpacket_pair(fds));
    msg_peer_put(&m, &(struct msg_peer){(uint16_t)role, 0});
    CHECK_INT(role, ipc_send(control, MSG_PEER, buf_slice(&m), fds[1]), ST_OK);
    close(fds[1]);
    CHECK_INT(role, channel_new(loop, fds[0], ROLE_IMAP, 0, routes, on_end, &ch), ST_OK);
    return ch;
}

/* --- clients --- */

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(20);
}

/* A connection that logind hands over, with bytes read and not used. */
static void
connect_client(struct stream *client, uint64_t conn, const char *unread)
{
    AUTO_BUF facts = BUF_INIT(500), m = BUF_INIT(2000);
    static const uint8_t address[18] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0, 25};
    int fds[2];

    CHECK_INT(conn, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    msg_conn_put(&facts, &(struct msg_conn){.conn = conn,
                                            .service = SERVICE_IMAPS,
                                            .peer = slice_from(address, 18),
                                            .local = slice_from(address, 18),
                                            .tls = 1});
    msg_conn_adopt_put(&m, &(struct msg_conn_adopt){buf_slice(&facts), SLICE("0123456789abcdef"), SLICE("l"),
                                                    slice_of(unread)});
    CHECK_INT(conn, ipc_call(login, MSG_CONN_ADOPT, buf_slice(&m), fds[1], soon(), NULL), ST_OK);
    close(fds[1]);
    stream_init(client, loop, fds[0]);
}

/* What is said next is exactly that. */
static void
hears_at(int line, struct stream *client, const char *want)
{
    AUTO_BUF got = BUF_INIT(1u << 20);
    size_t n = strlen(want);

    while (got.n < n) {
        struct slice bytes;
        enum status st = stream_some(client, n - got.n, loop_now(loop) + SECONDS(5), &bytes);

        if (st != ST_OK)
            break;
        buf_put(&got, bytes);
    }
    CHECK_SLICE(line, buf_slice(&got), want);
}
#define HEARS(client, want) hears_at(__LINE__, (client), (want))

static void
says_at(int line, struct stream *client, const char *text, const char *want)
{
    CHECK_INT(line, stream_put(client, slice_of(text), soon()), ST_OK);
    hears_at(line, client, want);
}
#define SAYS(client, text, want) says_at(__LINE__, (client), (text), (want))

/* Reads what is left of this answer; for answers that are judged by a part of them. */
static void
answers_with_at(int line, struct stream *client, const char *text, const char *end, const char *part)
{
    AUTO_BUF got = BUF_INIT(64u << 20);

    CHECK_INT(line, stream_put(client, slice_of(text), soon()), ST_OK);
    for (;;) {
        struct slice bytes, all = buf_slice(&got), last = slice_of(end);

        if (all.n >= last.n && slice_eq(slice_skip(all, all.n - last.n), last))
            break;
        if (stream_some(client, STREAM_INPUT, loop_now(loop) + SECONDS(5), &bytes) != ST_OK) {
            CHECK_SLICE(line, buf_slice(&got), end);
            return;
        }
        buf_put(&got, bytes);
    }
    if (slice_find_slice(buf_slice(&got), slice_of(part)) == got.n)
        CHECK_SLICE(line, buf_slice(&got), part);
}
#define ANSWERS_WITH(client, text, end, part) answers_with_at(__LINE__, (client), (text), (end), (part))

static const char multipart[] =
    "From: Ana <ana@example.org>\r\nSubject: =?utf-8?q?hol=C3=A1?=\r\nDate: Mon, 7 Feb 1994 23:52:25 "
    "-0800\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    "base64\r\n\r\nbWHDsWFuYQ==\r\n--b\r\n"
    "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\n";

#define HELLO                                                                                                \
    "l OK [CAPABILITY IMAP4rev1 LITERAL+ ID ENABLE NAMESPACE CHILDREN UIDPLUS MOVE UNSELECT IDLE "           \
    "SPECIAL-USE STATUS=SIZE] Logged in\r\n"
#define FLAGS_LINE(keywords) "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft" keywords ")\r\n"
#define PERMANENT(keywords)                                                                                  \
    "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft" keywords " \\*)] Limited\r\n"

static void
try_login_and_select(struct stream *c)
{
    connect_client(c, 1, "p NOOP\r\n");
    HEARS(c, HELLO "p OK NOOP completed\r\n");
    SAYS(c, "a XYZZY\r\n", "a BAD Unknown command\r\n");
    SAYS(c, "a FETCH 1 FLAGS\r\n", "a BAD Select a mailbox first\r\n");
    SAYS(c, "a LOGIN x y\r\n", "a BAD Already logged in\r\n");
    SAYS(c, "a SELECT nowhere\r\n", "a NO [NONEXISTENT] No such mailbox\r\n");
    SAYS(c, "a SELECT inbox\r\n",
         FLAGS_LINE("") PERMANENT("") "* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UNSEEN 1] First unseen\r\n"
                                      "* OK [UIDVALIDITY 1001] UIDs valid\r\n* OK [UIDNEXT 4] Predicted next "
                                      "UID\r\na OK [READ-WRITE] SELECT completed\r\n");
}

static void
try_fetch(struct stream *c)
{
    SAYS(c, "a FETCH 1:2 (FLAGS UID RFC822.SIZE INTERNALDATE)\r\n",
         "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"17-Jul-1996 08:44:25 +0000\" RFC822.SIZE 28)\r\n"
         "* 2 FETCH (UID 2 FLAGS () INTERNALDATE \"17-Jul-1996 08:44:25 +0000\" RFC822.SIZE 28)\r\na OK "
         "FETCH completed\r\n");
    SAYS(c, "a UID FETCH 900:* FLAGS\r\n", "* 3 FETCH (UID 3 FLAGS ())\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 4 FLAGS\r\n", "a BAD No message has such a number\r\n");
    SAYS(c, "a FETCH 1 BODY.PEEK[]\r\n",
         "* 1 FETCH (BODY[] {28}\r\nSubject: one\r\n\r\nfirst body\r\n)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 1 BODY.PEEK[]<9.3>\r\n", "* 1 FETCH (BODY[]<9> {3}\r\none)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (FROM)])\r\n",
         "* 1 FETCH (BODY[TEXT] {12}\r\nfirst body\r\n BODY[HEADER] {16}\r\nSubject: one\r\n\r\n "
         "BODY[HEADER.FIELDS (FROM)] {2}\r\n\r\n)\r\n"
         "a OK FETCH completed\r\n");
}

static void
try_parts(struct stream *c)
{
    SAYS(c,
         "a FETCH 3 (BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[7])\r\n",
         "* 3 FETCH (BODY[1] {12}\r\nbWHDsWFuYQ== BODY[1.MIME] {78}\r\nContent-Type: text/plain; "
         "charset=utf-8\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\n BODY[2.HEADER] {15}\r\nSubject: in\r\n\r\n BODY[2.TEXT] "
         "{1}\r\nx BODY[7] NIL)\r\n"
         "a OK FETCH completed\r\n");
    ANSWERS_WITH(c, "a FETCH 3 ALL\r\n", "a OK FETCH completed\r\n",
                 "ENVELOPE (\"Mon, 7 Feb 1994 23:52:25 -0800\" \"=?utf-8?q?hol=C3=A1?=\" ((\"Ana\" NIL "
                 "\"ana\" \"example.org\"))");
    ANSWERS_WITH(c, "a FETCH 3 BODYSTRUCTURE\r\n", "a OK FETCH completed\r\n", "\"message\" \"rfc822\"");
    fake.boxes[0].mails[2].no_digest = true; /* imapd parses it itself, to the same end */
    ANSWERS_WITH(c, "a FETCH 1:3 FULL\r\n", "a OK FETCH completed\r\n", "\"message\" \"rfc822\"");
    SAYS(c, "a FETCH 3 BODY.PEEK[2.1]\r\n", "* 3 FETCH (BODY[2.1] {1}\r\nx)\r\na OK FETCH completed\r\n");
    fake.boxes[0].mails[2].no_digest = false;
    SAYS(c, "a FETCH 2 BODY[TEXT]<0.5>\r\n",
         "* 2 FETCH (FLAGS (\\Seen) BODY[TEXT]<0> {5}\r\nother)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 2 BODY[]<500.5>\r\n", "* 2 FETCH (BODY[]<500> {0}\r\n)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 2 (BODY.PEEK[\r\n", "a BAD Unknown section\r\n");
}

static void
try_store_and_search(struct stream *c)
{
    SAYS(c, "a STORE 1:2 +FLAGS (\\Flagged)\r\n",
         "* 1 FETCH (UID 1 FLAGS (\\Flagged))\r\n* 2 FETCH (UID 2 FLAGS (\\Seen \\Flagged))\r\na OK STORE "
         "completed\r\n");
    SAYS(c, "a STORE 1 +FLAGS \\Flagged\r\n",
         "* 1 FETCH (UID 1 FLAGS (\\Flagged))\r\na OK STORE completed\r\n"); /* unchanged */
    SAYS(c, "a STORE 1 -FLAGS.SILENT (\\Flagged)\r\n", "a OK STORE completed\r\n");
    SAYS(c, "a UID STORE 3 FLAGS ($Mine)\r\n",
         FLAGS_LINE(" $Mine") "* 3 FETCH (UID 3 FLAGS ($Mine))\r\na OK STORE completed\r\n");
    SAYS(c, "a NOOP\r\n", "a OK NOOP completed\r\n"); /* what was told is not told again */
    SAYS(c, "a SEARCH ALL\r\n", "* SEARCH 1 2 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH UNSEEN KEYWORD $mine\r\n", "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH KEYWORD none\r\n", "* SEARCH\r\na OK SEARCH completed\r\n");
    SAYS(c, "a UID SEARCH OR FLAGGED 3\r\n", "* SEARCH 2 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH NOT (SEEN FLAGGED) SMALLER 100\r\n", "* SEARCH 1\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH SUBJECT TWO\r\n", "* SEARCH 2\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH FROM ana SENTON 7-Feb-1994\r\n",
         "* SEARCH 3\r\na OK SEARCH completed\r\n"); /* in UTC it was the 8th */
    SAYS(c, "a SEARCH BODY body NOT TEXT two\r\n", "* SEARCH 1\r\na OK SEARCH completed\r\n");
    SAYS(c,
         "a SEARCH CHARSET UTF-8 BODY {7+}\r\nMA\xc3\x91"
         "ana\r\n",
         "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH CHARSET UTF-8 SUBJECT {5+}\r\nHOL\xc3\x81\r\n",
         "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH ON 17-Jul-1996 BEFORE 18-Jul-1996 SINCE 17-Jul-1996\r\n",
         "* SEARCH 1 2 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH CHARSET X-NONE ALL\r\n", "a NO [BADCHARSET (US-ASCII UTF-8)] Unknown CHARSET\r\n");
    SAYS(c, "a SEARCH XYZZY\r\n", "a BAD Unknown search key\r\n");
    SAYS(c, "a SEARCH 4\r\n", "a BAD No message has such a number\r\n");
}

static void
try_mailboxes(struct stream *c)
{
    SAYS(c, "a LIST \"\" \"\"\r\n", "* LIST (\\Noselect) \"/\" \"\"\r\na OK LIST completed\r\n");
    SAYS(c, "a CREATE Sent/2024\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a CREATE Sent\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a CREATE Sent-x\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a CREATE Sent\r\n", "a NO [ALREADYEXISTS] There already is such a mailbox\r\n");
    SAYS(c, "a CREATE inbox\r\n", "a NO [ALREADYEXISTS] There already is such a mailbox\r\n");
    SAYS(c, "a CREATE bro&ken\r\n", "a NO [CANNOT] Not a mailbox name\r\n");
    box_named(SLICE("Sent"))->special = SPECIAL_SENT;
    SAYS(c, "a LIST \"\" *\r\n",
         "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\HasChildren \\Sent) \"/\" Sent\r\n* LIST "
         "(\\HasNoChildren) \"/\" Sent-x\r\n"
         "* LIST (\\HasNoChildren) \"/\" Sent/2024\r\na OK LIST completed\r\n");
    SAYS(c, "a LIST Sent/ %\r\n", "* LIST (\\HasNoChildren) \"/\" Sent/2024\r\na OK LIST completed\r\n");
    SAYS(c, "a SUBSCRIBE Sent/2024\r\n", "a OK SUBSCRIBE completed\r\n");
    SAYS(c, "a LSUB \"\" *\r\n", "* LSUB () \"/\" Sent/2024\r\na OK LSUB completed\r\n");
    SAYS(c, "a LSUB \"\" %\r\n", "* LSUB (\\Noselect) \"/\" Sent\r\na OK LSUB completed\r\n");
    SAYS(c, "a UNSUBSCRIBE Sent/2024\r\n", "a OK UNSUBSCRIBE completed\r\n");
    SAYS(c, "a LSUB \"\" *\r\n", "a OK LSUB completed\r\n");
    SAYS(c, "a RENAME Sent-x Espa&APE-a\r\n", "a OK RENAME completed\r\n");
    SAYS(c, "a LIST \"\" E*\r\n", "* LIST (\\HasNoChildren) \"/\" Espa&APE-a\r\na OK LIST completed\r\n");
    SAYS(c, "a STATUS Espa&APE-a (MESSAGES UIDNEXT UNSEEN)\r\n",
         "* STATUS Espa&APE-a (MESSAGES 0 UIDNEXT 1 UNSEEN 0)\r\na OK STATUS completed\r\n");
    SAYS(c, "a DELETE Espa&APE-a\r\n", "a OK DELETE completed\r\n");
    SAYS(c, "a DELETE Espa&APE-a\r\n", "a NO [NONEXISTENT] No such mailbox\r\n");
    SAYS(c, "a DELETE INBOX\r\n", "a NO [CANNOT] INBOX cannot be deleted\r\n");
    SAYS(c, "a NAMESPACE\r\n", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\na OK NAMESPACE completed\r\n");
    SAYS(c, "a COPY 1 nowhere\r\n", "a NO [TRYCREATE] No such mailbox\r\n");
    SAYS(c, "a COPY 1:2 Sent\r\n", "a OK [COPYUID 1003 1:2 1:2] COPY completed\r\n");
    SAYS(c, "a STATUS Sent (MESSAGES DELETED SIZE)\r\n",
         "* STATUS Sent (MESSAGES 2 DELETED 0 SIZE 56)\r\na OK STATUS completed\r\n");
}

/* Two sessions in one mailbox. */
static void
try_two(struct stream *c)
{
    struct stream d;

    connect_client(&d, 2, "");
    HEARS(&d, HELLO);
    ANSWERS_WITH(&d, "s EXAMINE INBOX\r\n", "s OK [READ-ONLY] EXAMINE completed\r\n", "PERMANENTFLAGS ()");
    SAYS(&d, "a STORE 1 FLAGS \\Seen\r\n", "a NO [READ-ONLY] The mailbox was opened to be read only\r\n");
    SAYS(&d, "i IDLE\r\n", "+ idling\r\n");
    SAYS(c, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK STORE completed\r\n");
    HEARS(&d, "* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n");
    add_mail(&fake.boxes[0], SLICE("Subject: new\r\n\r\n"));
    hint_all(&fake.boxes[0]);
    HEARS(&d, "* 4 EXISTS\r\n* 0 RECENT\r\n");
    SAYS(&d, "DONE\r\n", "i OK IDLE completed\r\n");
    SAYS(c, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 3 EXISTS\r\n* 0 RECENT\r\na OK EXPUNGE completed\r\n");
    /* RFC 3501 7.4.1: numbers must not move under FETCH, SEARCH and STORE. */
    SAYS(&d, "a FETCH 2 FLAGS\r\n", "* 2 FETCH (FLAGS (\\Seen \\Flagged))\r\na OK FETCH completed\r\n");
    SAYS(&d, "a FETCH 1:2 UID\r\n",
         "* 2 FETCH (UID 2)\r\na NO [EXPUNGEISSUED] Some of these messages are gone\r\n");
    SAYS(&d, "a SEARCH ALL\r\n", "* SEARCH 2 3 4\r\na OK SEARCH completed\r\n");
    SAYS(&d, "a NOOP\r\n", "* 1 EXPUNGE\r\na OK NOOP completed\r\n");
    SAYS(&d, "a FETCH 1:* UID\r\n",
         "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 3)\r\n* 3 FETCH (UID 4)\r\na OK FETCH completed\r\n");
    /* MOVE tells its expunges, and so does the other session's IDLE. */
    SAYS(&d, "i IDLE\r\n", "+ idling\r\n");
    SAYS(c, "a UID MOVE 2:3 Sent\r\n",
         "* OK [COPYUID 1003 2:3 3:4] Moved\r\n* 2 EXPUNGE\r\n* 1 EXPUNGE\r\na OK MOVE completed\r\n");
    HEARS(&d, "* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n");
    SAYS(&d, "a STATUS Sent (DELETED SIZE)\r\n",
         "i BAD IDLE ends with DONE\r\n"); /* a BAD does not keep LOGOUT from ending it */
    SAYS(&d, "z LOGOUT\r\n", "* BYE Logging out\r\nz OK LOGOUT completed\r\n");
    CHECK_INT(0, stream_more(&d, soon()), ST_CLOSED);
    stream_close(&d);
}

static void
try_close(struct stream *c)
{
    SAYS(c, "a STORE 1 FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    SAYS(c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 1 EXISTS");
    SAYS(c, "a UID EXPUNGE 100\r\n", "a OK EXPUNGE completed\r\n");
    SAYS(c, "a CLOSE\r\n", "a OK CLOSE completed\r\n");
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 0 EXISTS");
    fake.recent_from = 5;
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 0 EXISTS");
    add_mail(&fake.boxes[0], SLICE("Subject: recent\r\n\r\n"));
    hint_all(&fake.boxes[0]);
    SAYS(c, "a NOOP\r\n", "* 1 EXISTS\r\n* 1 RECENT\r\na OK NOOP completed\r\n");
    SAYS(c, "a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Recent))\r\na OK FETCH completed\r\n");
    SAYS(c, "a SEARCH NEW\r\n", "* SEARCH 1\r\na OK SEARCH completed\r\n");
    SAYS(c, "a STORE 1 FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    SAYS(c, "a CLOSE\r\n", "a OK CLOSE completed\r\n");
    fake.recent_from = UINT32_MAX;
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 0 EXISTS");
    SAYS(c, "a FETCH 1 FLAGS\r\n", "a BAD No message has such a number\r\n");
    SAYS(c, "a UID FETCH 1:* FLAGS\r\n", "a OK FETCH completed\r\n");
    SAYS(c, "a SEARCH ALL\r\n", "* SEARCH\r\na OK SEARCH completed\r\n");
}

/* Answers in many pages, and sets with holes. */
static void
try_many(struct stream *c)
{
    AUTO_BUF want = BUF_INIT(1u << 20);
    struct box *b = &fake.boxes[0];

    for (int i = 0; i < 2000; i++)
        add_mail(b, SLICE("Subject: many\r\n\r\nx"))->flags = i % 2 ? FLAG_SEEN : 0;
    hint_all(b);
    SAYS(c, "a NOOP\r\n", "* 2000 EXISTS\r\n* 0 RECENT\r\na OK NOOP completed\r\n");
    for (unsigned i = 1; i <= 2000; i++)
        buf_printf(&want, "* %u FETCH (FLAGS (%s))\r\n", i, i % 2 ? "" : "\\Seen");
    buf_puts(&want, "a OK FETCH completed\r\n");
    buf_putc(&want, 0);
    SAYS(c, "a FETCH 1:* FLAGS\r\n", (const char *)want.p);
    fake.rows_asked = 0;
    SAYS(c, "a FETCH 7,2000 UID\r\n",
         "* 7 FETCH (UID 12)\r\n* 2000 FETCH (UID 2005)\r\na OK FETCH completed\r\n");
    CHECK_INT(0, fake.rows_asked, 2); /* not the mailbox for two messages */
    fake.page_small = true;
    SAYS(c, "a FETCH 1:5 FLAGS\r\n",
         "* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* 3 FETCH (FLAGS ())\r\n* 4 FETCH (FLAGS "
         "(\\Seen))\r\n"
         "* 5 FETCH (FLAGS ())\r\na OK FETCH completed\r\n");
    fake.page_small = false;
    SAYS(c, "a SEARCH SEEN 1995:*\r\n", "* SEARCH 1996 1998 2000\r\na OK SEARCH completed\r\n");
    SAYS(c, "a STORE 2:1999 +FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    ANSWERS_WITH(c, "a EXPUNGE\r\n", "a OK EXPUNGE completed\r\n", "* 1999 EXPUNGE\r\n* 1998 EXPUNGE\r\n");
    SAYS(c, "a FETCH 1:* UID\r\n", "* 1 FETCH (UID 6)\r\n* 2 FETCH (UID 2005)\r\na OK FETCH completed\r\n");
}

/* A large message to a slow reader, byte for byte. */
static void
try_large(struct stream *c)
{
    AUTO_BUF body = BUF_INIT(8u << 20), want = BUF_INIT(9u << 20);

    buf_puts(&body, "Subject: large\r\n\r\n");
    for (int i = 0; body.n < 5000000; i++)
        buf_printf(&body, "line %d of a large message\r\n", i);
    add_mail(&fake.boxes[0], buf_slice(&body));
    hint_all(&fake.boxes[0]);
    SAYS(c, "a NOOP\r\n", "* 3 EXISTS\r\n* 0 RECENT\r\na OK NOOP completed\r\n");
    buf_printf(&want, "* 3 FETCH (BODY[] {%zu}\r\n", body.n);
    buf_put(&want, buf_slice(&body));
    buf_puts(&want, ")\r\na OK FETCH completed\r\n");
    CHECK_INT(0, stream_put(c, SLICE("a FETCH 3 BODY.PEEK[]\r\nb NOOP\r\n"), soon()), ST_OK);
    buf_puts(&want, "b OK NOOP completed\r\n");
    fiber_sleep_until(loop_now(loop) + MSEC(200)); /* it fills what the kernel holds, and waits */
    for (size_t at = 0; at < want.n;) {
        struct slice bytes;

        CHECK_INT(1, stream_some(c, STREAM_INPUT, soon(), &bytes), ST_OK);
        CHECK(at, bytes.n <= want.n - at && memcmp(bytes.p, want.p + at, bytes.n) == 0);
        at += bytes.n;
    }
    SAYS(c, "a SEARCH BODY \"line 150000 of\"\r\n", "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH BODY \"line 999999 of\"\r\n", "* SEARCH\r\na OK SEARCH completed\r\n");
}

/* stored is another: handles are void, nothing is watched. An idling session hears of it all the same. */
static void
try_restart(struct stream *c)
{
    struct stream d;

    connect_client(&d, 2, "");
    HEARS(&d, HELLO);
    ANSWERS_WITH(&d, "s SELECT INBOX\r\n", "s OK [READ-WRITE] SELECT completed\r\n", "* 3 EXISTS");
    SAYS(&d, "i IDLE\r\n", "+ idling\r\n");
    channel_free(store);
    fake.handle = 9000;
    fake.n_watches = 0;
    add_mail(&fake.boxes[0], SLICE("Subject: while it was away\r\n\r\n"));
    store = peer(ROLE_STORE);
    HEARS(&d, "* 4 EXISTS\r\n* 0 RECENT\r\n");
    SAYS(c, "a FETCH 1 UID\r\n", "* 1 FETCH (UID 6)\r\n* 4 EXISTS\r\n* 0 RECENT\r\na OK FETCH completed\r\n");
    /* Only stale: a handle that authd renews. */
    fake.handle = 9100;
    SAYS(c, "a STATUS Sent (MESSAGES)\r\n", "* STATUS Sent (MESSAGES 13)\r\na OK STATUS completed\r\n");
    /* Its UIDs are others: the view is worth nothing. */
    channel_free(store);
    fake.handle = 9200;
    fake.n_watches = 0;
    fake.boxes[0].uidvalidity++;
    store = peer(ROLE_STORE);
    HEARS(&d, "* BYE The mailbox is no longer what it was\r\n");
    CHECK_INT(0, stream_more(&d, soon()), ST_CLOSED);
    stream_close(&d);
}

/* APPEND of a message of n bytes, which is fetched byte for byte. */
static void
append_and_fetch(struct stream *c, size_t n)
{
    AUTO_BUF body = BUF_INIT(16u << 20), say = BUF_INIT(16u << 20), want = BUF_INIT(16u << 20);
    struct box *b = box_named(SLICE("Sent"));

    buf_puts(&body, "Subject: appended\r\n\r\n");
    for (int i = 0; body.n < n; i++)
        buf_printf(&body, "%d\r\n", i);
    body.n = n;
    buf_printf(&say, "a APPEND Sent {%zu+}\r\n", n);
    buf_put(&say, buf_slice(&body));
    buf_puts(&say, "\r\n");
    CHECK_INT(0, stream_put(c, buf_slice(&say), soon()), ST_OK);
    buf_printf(&want, "a OK [APPENDUID 1003 %u] APPEND completed\r\n", b->uidnext);
    buf_putc(&want, 0);
    HEARS(c, (const char *)want.p);
    CHECK_SLICE(n, buf_slice(&b->mails[b->n - 1].body), buf_slice(&body));
}

static void
try_append(struct stream *c)
{
    struct stream d;
    struct box *b = box_named(SLICE("Sent"));

    give_credit(4u << 20);
    SAYS(c, "a APPEND nowhere {5}\r\n", "a NO [TRYCREATE] No such mailbox\r\n"); /* before it is sent */
    SAYS(c, "a APPEND nowhere {5+}\r\n12345\r\nb NOOP\r\n",
         "a NO [TRYCREATE] No such mailbox\r\nb OK NOOP completed\r\n");
    SAYS(c, "a APPEND Sent {99999999999}\r\n", "a NO [LIMIT] The message is larger than 52428800 bytes\r\n");
    SAYS(c, "a APPEND Sent (\\Recent) {5}\r\n", "a BAD \\Recent cannot be set\r\n");
    SAYS(c, "a APPEND Sent {0}\r\n", "a NO [CANNOT] A message has bytes\r\n");
    SAYS(c, "a APPEND Sent (\\Seen $Mine) \"17-Jul-1996 02:44:25 -0700\" {20}\r\n", "+ go ahead\r\n");
    SAYS(c, "Subject: synced\r\n\r\nx\r\n", "a OK [APPENDUID 1003 5] APPEND completed\r\n");
    CHECK_INT(0, b->mails[4].flags, FLAG_SEEN);
    CHECK_INT(1, b->mails[4].date, 837596665000000000);
    CHECK_INT(2, b->mails[4].keywords.n, 2);
    SAYS(c, "a APPEND Sent {5+}\r\n12345 x\r\nb NOOP\r\n",
         "a BAD APPEND takes one message, and nothing follows it\r\nb OK NOOP completed\r\n");
    SAYS(c, "a APPEND Sent {17+}\r\nSubject: much\r\n\r\n\r\n",
         "a NO [OVERQUOTA] The quota would be passed\r\n");
    append_and_fetch(c, 1);
    append_and_fetch(c, SHM_CHUNK);
    append_and_fetch(c, STORE_BODY_INLINE);
    append_and_fetch(c, STORE_BODY_INLINE + 1);
    append_and_fetch(c, 5000001);
    CHECK_INT(3, side.dropped, 0);
    mdad_fails = true; /* kept without a digest */
    append_and_fetch(c, 3000000);
    mdad_fails = false;
    no_space = true;
    SAYS(c, "a APPEND Sent {1500000}\r\n", "a NO [UNAVAILABLE] The disk is full\r\n");
    no_space = false;
    /* A client that goes away in the middle. */
    connect_client(&d, 7, "");
    HEARS(&d, HELLO);
    SAYS(&d, "a APPEND Sent {1500000}\r\n", "+ go ahead\r\n");
    for (int i = 0; i < 30; i++)
        CHECK_INT(i, stream_put(&d, slice_from(multipart, sizeof multipart - 1), soon()), ST_OK);
    stream_close(&d);
    for (int i = 0; i < 100 && side.dropped == 0; i++)
        fiber_sleep_until(loop_now(loop) + MSEC(20));
    CHECK_INT(4, side.dropped, 1);
    append_and_fetch(c, 200000);
    SAYS(c, "a SELECT Sent\r\nb APPEND Sent {3+}\r\nabc\r\n", FLAGS_LINE(" $Mine") PERMANENT(" $Mine"));
    ANSWERS_WITH(c, "", "APPEND completed\r\n", "* 13 EXISTS\r\n");
}

static void
try_bad(void)
{
    AUTO_BUF line = BUF_INIT(200000);
    struct stream c;

    connect_client(&c, 3, "");
    HEARS(&c, HELLO);
    SAYS(&c, "a NOOP x\r\n", "a BAD This command takes no arguments\r\n");
    SAYS(&c, "a NO\rOP\r\n", "a BAD CR and NUL are not allowed in a line\r\n");
    SAYS(&c, "a SELECT {99999999}\r\n", "a BAD Literal too large\r\n");
    SAYS(&c, "a SELECT {5}\r\n", "+ go ahead\r\n");
    ANSWERS_WITH(&c, "INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n",
                 "* 4 EXISTS"); /* a right one begins anew */
    for (int i = 0; i < 9; i++)
        SAYS(&c, "b\r\n", "b BAD A command's name follows the tag and one space\r\n");
    SAYS(&c, "b\r\n",
         "b BAD A command's name follows the tag and one space\r\n* BYE Too many bad commands\r\n");
    CHECK_INT(0, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);

    connect_client(&c, 4, "");
    HEARS(&c, HELLO);
    for (int i = 0; i < 100000; i++)
        buf_putc(&line, 'x');
    buf_putc(&line, 0);
    SAYS(&c, (const char *)line.p,
         "* BAD Line too long\r\n* BYE What follows cannot be told apart from commands\r\n");
    CHECK_INT(1, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);

    refuse_tickets = true;
    connect_client(&c, 5, "");
    HEARS(&c, "l NO [UNAVAILABLE] The login cannot be completed now\r\n");
    refuse_tickets = false;
    stream_close(&c);
}

static void
converse(void *arg)
{
    struct stream c;

    try_login_and_select(&c);
    try_fetch(&c);
    try_parts(&c);
    try_store_and_search(&c);
    try_mailboxes(&c);
    try_two(&c);
    try_close(&c);
    try_many(&c);
    try_large(&c);
    try_append(&c);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 3 EXISTS");
    try_restart(&c);
    SAYS(&c, "z NOOP\r\n", "* BYE The mailbox is no longer what it was\r\n");
    CHECK_INT(0, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);
    try_bad();
    connect_client(&c, 6, "");
    HEARS(&c, HELLO);
    fiber_sleep_until(loop_now(loop) + MSEC(50));
    CHECK_INT(1, done_count, 7);
    CHECK_INT(1, taken_count, done_count + 1); /* one is still here */
    CHECK_INT(2, fake.n_watches, 0);
    CHECK_INT(3, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    HEARS(&c, "* BYE [UNAVAILABLE] The server is being stopped\r\n");
    stream_close(&c);
}

static void
start(void *arg)
{
    AUTO_BUF boot = BUF_INIT(1000), a = BUF_INIT(100);
    int writer = *(int *)arg;
    struct box *inbox;

    msg_boot_put(&boot, &(struct msg_boot){
                            .role = ROLE_IMAP, .root = SLICE("/tmp"), .confinement = SLICE("class=parser")});
    CHECK_INT(0, ipc_send(control, MSG_BOOT, buf_slice(&boot), -1), ST_OK);
    msg_arena_put(&a, &(struct msg_arena){ARENA_OWN, 0, 0, ARENA});
    CHECK_INT(1, ipc_send(control, MSG_ARENA, buf_slice(&a), writer), ST_OK);
    edge = peer(ROLE_EDGE), login = peer(ROLE_LOGIN), auth = peer(ROLE_AUTH), store = peer(ROLE_STORE),
    mda = peer(ROLE_MDA);
    CHECK_INT(2, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    fake.handle = 4711;
    fake.recent_from = UINT32_MAX;
    inbox = add_box(SLICE("INBOX"));
    add_mail(inbox, SLICE("Subject: one\r\n\r\nfirst body\r\n"));
    add_mail(inbox, SLICE("Subject: two\r\n\r\nother body\r\n"));
    add_mail(inbox, slice_of(multipart));
    converse(NULL);
}

TEST(conversation)
{
    int ends[2], status = -1, writer = memfd_sized("bodies", ARENA), reader = -1;
    pid_t pid;

    CHECK(0, writer >= 0 && (reader = memfd_readonly(writer)) >= 0 && seqpacket_pair(ends));
    CHECK_INT(1, shm_map(&arena, reader, ARENA, false, NULL), ST_OK);
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 3); /* without close-on-exec */
        setenv("ASAN_OPTIONS", "detect_leaks=0",
               1); /* a leak check at the end needs calls that confinement forbids */
        (void)execl(executable, executable, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    CHECK_INT(2, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(3, channel_new(loop, ends[0], ROLE_IMAP, 0, routes, on_end, &control), ST_OK);
    CHECK_INT(4, fiber_spawn(loop, start, &writer), ST_OK);
    CHECK_INT(5, loop_run(loop, NULL), ST_OK);
    CHECK_INT(6, waitpid(pid, &status, 0), pid);
    CHECK_INT(7, status, 0);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(conversation))};

    executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
