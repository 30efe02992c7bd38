#include "maa/imap/fake.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mime/digest.h"
#include "sys/fd.h"

#define ARENA    (256u * SHM_CHUNK)

static const char *executable;
struct loop *loop;
struct channel *control, *store;
static struct channel *login, *edge, *auth, *mda;
static struct shm arena;
unsigned done_count, taken_count, sides_dropped;
bool refuse_tickets, mdad_fails, no_space;
struct fake fake;
static void (*converse)(void);

struct box *
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

struct box *
add_box(struct slice name)
{
    struct box *b = &fake.boxes[fake.n++];

    CHECK(0, fake.n <= BOXES && slice_to_cstr(name, b->name, sizeof b->name));
    b->id = ++fake.next_id;
    b->uidvalidity = 1000 + (uint32_t)b->id;
    b->uidnext = b->recent_from = 1;
    b->mails = calloc(MESSAGES, sizeof *b->mails);
    CHECK(0, b->mails != NULL);
    return b;
}

void
no_boxes(void)
{
    for (uint32_t i = 0; i < fake.n; i++) {
        for (uint32_t k = 0; k < fake.boxes[i].n; k++) {
            buf_done(&fake.boxes[i].mails[k].keywords);
            buf_done(&fake.boxes[i].mails[k].body);
        }
        free(fake.boxes[i].mails);
        fake.boxes[i] = (struct box){0};
    }
    fake.n = 0;
    fake.next_id = fake.modseq = 0;
    fake.n_keywords = 0;
}

struct mail *
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

void
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

/* Levels above it without a mailbox, before the first name below them. */
static void
put_levels(struct buf *rows, struct slice name, struct slice before)
{
    for (size_t i = 1; i < name.n; i++) {
        struct slice level = slice_sub(name, 0, i);

        if (name.p[i] == '/' && box_named(level) == NULL &&
            !(slice_has_prefix(before, level) && before.n > i && before.p[i] == '/'))
            mailbox_row_put(rows, &(struct mailbox_row){.name = level});
    }
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
        put_levels(&rows, slice_of(sorted[i]->name), i > 0 ? slice_of(sorted[i - 1]->name) : m.after);
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
                                 .recent_from = fake.recents ? b->recent_from : fake.recent_from};
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
    struct box *b = add_box(m.name);

    b->special = m.special;
    msg_id_put(&id, &(struct msg_id){b->id});
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
put_change_of(struct buf *rows, const struct mail *mail, uint64_t before, bool refused)
{
    change_row_put(rows, &(struct change_row){.uid = mail->uid,
                                              .refused = refused,
                                              .gone = mail->gone,
                                              .flags = mail->flags,
                                              .modseq = mail->modseq,
                                              .size = mail->body.n,
                                              .keywords = buf_slice(&mail->keywords),
                                              .before = before});
}

static void
put_change(struct buf *rows, const struct mail *mail)
{
    put_change_of(rows, mail, 0, false);
}

static enum status
on_changes(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE);
    uint64_t after;
    uint32_t put = 0;
    bool more = true;

    GET_BOX(change_list, m, b);
    if (m.modseq < fake.horizon) {
        reply_status(r, ST_STALE);
        return ST_OK;
    }
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
        uint64_t before;
        uint16_t flags = m.op == FLAGS_ADD      ? mail->flags | m.flags
                         : m.op == FLAGS_REMOVE ? (uint16_t)(mail->flags & ~m.flags)
                                                : m.flags;

        if (mail->gone || !in_runs(m.uids, mail->uid))
            continue;
        if (mail->modseq > m.unchanged_since) {
            put_change_of(&rows, mail, mail->modseq, true);
            put++;
            continue;
        }
        if (flags == mail->flags && numbers.n == 0)
            continue; /* unchanged ones are not in the answer */
        mail->flags = flags;
        if (m.op == FLAGS_REPLACE || numbers.n > 0) {
            buf_clear(&mail->keywords);
            if (m.op != FLAGS_REMOVE)
                buf_put(&mail->keywords, buf_slice(&numbers));
        }
        before = mail->modseq;
        mail->modseq = ++fake.modseq;
        put_change_of(&rows, mail, before, false);
        put++;
    }
    hint_all(b);
    reply_rows(r, &rows, put == 500); /* asked again after the last one */
    return ST_OK;
}

static enum status
on_recent(struct ipc_request *r)
{
    AUTO_BUF id = BUF_INIT(16);

    GET_BOX(recent_claim, m, b);
    msg_id_put(&id, &(struct msg_id){fake.recents ? b->recent_from : fake.recent_from});
    if (!fake.claims_fail && m.upto > b->recent_from)
        b->recent_from = m.upto < b->uidnext ? m.upto : b->uidnext;
    ipc_answer(r->from, fake.claims_fail ? ST_NOSPACE : ST_OK, buf_slice(&id));
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
} side = {.bytes = BUF_INIT(64u << 20)};
static struct digester *digesters[8]; /* by job */
static unsigned fed, cancelled;
static uint32_t next_uid;

static void
read_chunks(struct slice chunks, uint64_t n, struct buf *out)
{
    uint8_t *to = buf_reserve(out, (size_t)n);

    CHECK(0, to != NULL);
    CHECK_INT(0, shm_read(&arena, chunks, (size_t)n, to), ST_OK);
    out->n += (size_t)n;
}

void
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
    CHECK(0, m.announced == 0 || m.announced > STORE_BODY_INLINE);
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
    sides_dropped++;
    return ST_OK;
}

static struct slice
take(struct slice *from, size_t n)
{
    struct slice got = slice_sub(*from, 0, n);

    *from = slice_skip(*from, got.n);
    return got;
}

static struct mail *
append_one(struct box *b, struct slice body, const struct append_message *one)
{
    AUTO_BUF digest = BUF_INIT(DIGEST_WHOLE + 131072);
    struct mail *mail = add_mail(b, body);

    CHECK_INT(1, digest_whole(body, &digest), ST_OK);
    CHECK_SLICE(2, one->digest, mdad_fails ? SLICE("") : buf_slice(&digest));
    mail->flags = one->flags;
    mail->date = one->internaldate != 0 ? one->internaldate : mail->date;
    number_names(one->keywords, &mail->keywords);
    return mail;
}

static enum status
on_append(struct ipc_request *r)
{
    AUTO_BUF bytes = BUF_INIT(64u << 20), list = BUF_INIT(STORE_APPEND_LIST), m2 = BUF_INIT(100);
    struct append_message one;
    struct slice messages, at;
    uint32_t uid;
    uint64_t modseq, n = 0;

    GET_BOX(append, m, b);
    CHECK(0, m.request.n == 16 && (m.side == 0 || m.chunks.n == 0) && (m.messages.n > 0) != (m.list_n > 0));
    if (m.list_n > 0)
        read_chunks(m.list, m.list_n, &list);
    messages = m.list_n > 0 ? buf_slice(&list) : m.messages;
    for (at = messages; append_message_take(&at, &one); n += one.n)
        if (m.side == 0)
            read_chunks(take(&m.chunks, (one.n + SHM_CHUNK - 1) / SHM_CHUNK * 4), one.n, &bytes);
    if (m.side == 0)
        give_credit(m.n);
    else
        buf_put(&bytes, buf_slice(&side.bytes));
    CHECK(0, at.n == 0 && bytes.n == m.n && n == m.n && m.chunks.n == 0);
    if (slice_find_slice(buf_slice(&bytes), SLICE("Subject: much")) < bytes.n) {
        reply_status(r, ST_QUOTA);
        return ST_OK;
    }
    uid = b->uidnext;
    modseq = 0;
    for (struct slice rest = buf_slice(&bytes); append_message_take(&messages, &one);) {
        struct mail *mail = append_one(b, take(&rest, one.n), &one);

        modseq = modseq == 0 ? mail->modseq : modseq;
    }
    hint_all(b);
    next_uid = b->uidnext;
    appended_put(&m2, &(struct appended){b->uidvalidity, uid, modseq});
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
    {MSG_RECENT, ROLE_BIT(IMAP), on_recent, false},
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

struct channel *
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

uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(20);
}

void
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

void
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

/* What was sent to imapd on channels goes at the end of a round; a client's bytes would overtake a hint. */
static void
let_hints_go(void)
{
    fiber_sleep_until(loop_now(loop) + MSEC(1));
}

void
says_at(int line, struct stream *client, const char *text, const char *want)
{
    let_hints_go();
    CHECK_INT(line, stream_put(client, slice_of(text), soon()), ST_OK);
    hears_at(line, client, want);
}

void
answers_with_at(int line, struct stream *client, const char *text, const char *end, const char *part)
{
    AUTO_BUF got = BUF_INIT(64u << 20);

    let_hints_go();
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

/* --- the run --- */

static void
start(void *arg)
{
    AUTO_BUF boot = BUF_INIT(1000), a = BUF_INIT(100);
    int writer = *(int *)arg;

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
    converse();
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
fake_main(int argc, char **argv, void (*conversation)(void))
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(conversation))};

    executable = argc > 1 ? argv[1] : "";
    converse = conversation;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
