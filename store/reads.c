#include "store/reads.h"

#define KEY(...)    (&(struct row_key){__VA_ARGS__})
#define PAGE_BYTES  (512u * 1024)
#define ADMIN_BYTES (32u * 1024) /* an administrator's channel has no shared memory */
#define VALUE_MOST  (16u * 1024 * 1024)

/* One request at work. */
struct read {
    const struct reads *reads;
    struct index_snapshot *snapshot;
    uint64_t account;
    struct buf rows;
    uint32_t n;
    size_t most; /* bytes of a page, about */
    bool more;
    struct buf value[4]; /* scratch of get(), by what is read */
    struct index_cursor *near[4]; /* of get_near() */
    struct buf *reply;
};

enum { V_MAIN, V_EMAIL, V_BODY, V_DIGEST };

static enum status
get(struct read *r, const struct row_key *key, int which, struct slice *value)
{
    enum status st;

    buf_clear(&r->value[which]);
    st = index_get(r->reads->index, r->snapshot, key, &r->value[which], NULL);
    *value = buf_slice(&r->value[which]);
    return st;
}

/* As get(), for one of many rows that are likely neighbours. The first is not worth a cursor. */
static enum status
get_near(struct read *r, const struct row_key *key, int which, struct slice *value)
{
    if (r->n == 0)
        return get(r, key, which, value);
    if (r->near[which] == NULL && (r->near[which] = index_cursor_new(r->reads->index, r->snapshot)) == NULL)
        return ST_MEMORY;
    return index_cursor_get(r->near[which], key, value, NULL);
}

/* Rows of `key` up to its first `parts`, beginning at or after `from`. */
static enum status
scan(struct read *r, const struct row_key *key, size_t parts, const struct row_key *from, index_scan_fn *fn,
     void *arg)
{
    AUTO_BUF first = BUF_INIT(2048), range = BUF_INIT(2048), end = BUF_INIT(2048);

    row_prefix_put(&range, key, parts);
    row_range_end(&end, buf_slice(&range));
    if (from != NULL)
        row_key_put(&first, from);
    else
        buf_put(&first, buf_slice(&range));
    if (!buf_ok(&first) || !buf_ok(&range) || !buf_ok(&end))
        return ST_LIMIT;
    return index_scan(r->reads->index, r->snapshot, buf_slice(&first), buf_slice(&end), fn, arg, NULL);
}

/* Is the page full? Then the row that was to come is the next page's. */
static bool
full(struct read *r)
{
    r->more = r->n == STORE_SLICE_ROWS || r->rows.n >= r->most;
    return r->more;
}

static enum status
page(struct read *r, enum status st)
{
    if (st != ST_OK && st != ST_MORE)
        return st;
    msg_rows_put(r->reply, &(struct msg_rows){r->more, buf_slice(&r->rows)});
    return buf_ok(&r->rows) ? ST_OK : ST_LIMIT;
}

/* --- mailboxes --- */

static enum status
mailbox_alive(struct read *r, uint64_t mailbox, struct row_mailbox *row)
{
    struct slice value;
    enum status st = get(r, KEY(r->account, ROW_MAILBOX, {mailbox}), V_MAIN, &value);

    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_STALE : st;
    if (!row_mailbox_get(value, row))
        return ST_CORRUPT;
    return row->state == ROW_LIVES ? ST_OK : ST_STALE;
}

static enum status
box_status(struct read *r, uint64_t mailbox, struct row_status *row)
{
    struct slice value;
    enum status st = get(r, KEY(r->account, ROW_STATUS, {mailbox}), V_EMAIL, &value);

    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_CORRUPT : st;
    return row_status_get(value, row) ? ST_OK : ST_CORRUPT;
}

struct names {
    struct read *r;
    struct buf last; /* the name before */
};

/* Levels above `name` that have no mailbox; told before the first name below them. */
static enum status
put_levels(struct names *n, struct slice name)
{
    for (size_t i = 1; i < name.n; i++) {
        struct slice level = slice_sub(name, 0, i), last = buf_slice(&n->last), value;
        enum status st;

        if (name.p[i] != '/' || slice_eq(last, level) ||
            (slice_has_prefix(last, level) && last.n > i && last.p[i] == '/'))
            continue;
        st = get(n->r, KEY(n->r->account, ROW_NAME, {0}, level), V_BODY, &value);
        if (st == ST_NOTFOUND)
            mailbox_row_put(&n->r->rows, &(struct mailbox_row){.name = level});
        else if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status
on_name(void *arg, struct slice key, struct slice value)
{
    struct names *n = arg;
    struct row_key k;
    struct row_number number;
    struct row_mailbox box;
    struct row_status status;
    struct slice none;
    enum status st;

    if (row_key_get(key, &k) != ST_OK || !row_number_get(value, &number))
        return ST_CORRUPT;
    if (slice_eq(k.tail, buf_slice(&n->last)))
        return ST_OK; /* where the page before ended */
    if (full(n->r))
        return ST_MORE;
    st = put_levels(n, k.tail);
    if (st == ST_OK)
        st = box_status(n->r, number.number, &status);
    if (st == ST_OK)
        st = mailbox_alive(n->r, number.number, &box);
    if (st != ST_OK)
        return st == ST_STALE ? ST_CORRUPT : st;
    st = get(n->r, KEY(n->r->account, ROW_SUBSCRIPTION, {0}, k.tail), V_DIGEST, &none);
    mailbox_row_put(&n->r->rows, &(struct mailbox_row){number.number, k.tail, box.special, st == ST_OK,
                                                       status.messages, status.bytes});
    n->r->n++;
    buf_clear(&n->last);
    buf_put(&n->last, k.tail);
    return ST_OK;
}

static enum status
list_mailboxes(struct read *r, struct slice after)
{
    struct names n = {r, BUF_INIT(2048)};
    enum status st;

    if (after.n > ROW_TAIL_MAX)
        return ST_LIMIT;
    buf_put(&n.last, after);
    st = scan(r, KEY(r->account, ROW_NAME), 0, after.n > 0 ? KEY(r->account, ROW_NAME, {0}, after) : NULL,
              on_name, &n);
    buf_done(&n.last);
    return page(r, st);
}

static enum status
read_mailboxes(struct read *r, struct slice payload)
{
    struct mailbox_list m;

    return mailbox_list_get(payload, &m) ? list_mailboxes(r, m.after) : ST_SYNTAX;
}

static enum status
read_status(struct read *r, struct slice payload)
{
    struct mailbox_ref m;
    struct row_mailbox box;
    struct row_status s;
    enum status st;

    if (!mailbox_ref_get(payload, &m))
        return ST_SYNTAX;
    st = mailbox_alive(r, m.mailbox, &box);
    if (st == ST_OK)
        st = box_status(r, m.mailbox, &s);
    if (st == ST_OK)
        mailbox_status_put(r->reply,
                           &(struct mailbox_status){box.uidvalidity, s.uidnext, s.modseq, s.messages,
                                                    s.unseen, s.deleted, s.recent_from, s.bytes});
    return st;
}

static enum status
on_subscription(void *arg, struct slice key, struct slice value)
{
    struct names *n = arg;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK)
        return ST_CORRUPT;
    if (slice_eq(k.tail, buf_slice(&n->last)))
        return ST_OK;
    if (full(n->r))
        return ST_MORE;
    msg_name_put(&n->r->rows, &(struct msg_name){k.tail});
    n->r->n++;
    return ST_OK;
}

static enum status
read_subscriptions(struct read *r, struct slice payload)
{
    struct mailbox_list m;
    struct names n = {r, BUF_INIT(2048)};
    enum status st;

    if (!mailbox_list_get(payload, &m))
        return ST_SYNTAX;
    if (m.after.n > ROW_TAIL_MAX)
        return ST_LIMIT;
    buf_put(&n.last, m.after);
    st = scan(r, KEY(r->account, ROW_SUBSCRIPTION), 0,
              m.after.n > 0 ? KEY(r->account, ROW_SUBSCRIPTION, {0}, m.after) : NULL, on_subscription, &n);
    buf_done(&n.last);
    return page(r, st);
}

static enum status
on_keyword(void *arg, struct slice key, struct slice value)
{
    struct read *r = arg;
    struct row_key k;
    struct row_name row;

    if (row_key_get(key, &k) != ST_OK || !row_name_get(value, &row))
        return ST_CORRUPT;
    keyword_row_put(&r->rows, &(struct keyword_row){(uint16_t)k.part[0], row.name});
    return ST_OK;
}

static enum status
read_keywords(struct read *r, struct slice payload)
{
    struct msg_id m;

    if (!msg_id_get(payload, &m))
        return ST_SYNTAX;
    return page(r, scan(r, KEY(r->account, ROW_KEYWORD), 0, NULL, on_keyword, r));
}

/* --- messages --- */

static enum status
on_message(void *arg, struct slice key, struct slice value)
{
    struct read *r = arg;
    struct row_key k;
    struct row_message m;

    if (row_key_get(key, &k) != ST_OK || !row_message_get(value, &m))
        return ST_CORRUPT;
    if (full(r))
        return ST_MORE;
    message_row_put(&r->rows, &(struct message_row){(uint32_t)k.part[1], m.flags, m.modseq, m.size,
                                                    m.internaldate, m.email, m.keywords});
    r->n++;
    return ST_OK;
}

/* Runs of uids, cut at `from`; fn(arg) for the rows of each. */
static enum status
scan_runs(struct read *r, uint64_t mailbox, struct slice runs, uint32_t from, index_scan_fn *fn, void *arg)
{
    AUTO_BUF first = BUF_INIT(64), end = BUF_INIT(64);
    struct uid_run run;
    enum status st = ST_OK;

    while (st == ST_OK && runs.n > 0) {
        if (!uid_run_take(&runs, &run) || run.first == 0 || run.last < run.first)
            return ST_SYNTAX;
        if (run.last < from)
            continue;
        buf_clear(&first);
        buf_clear(&end);
        row_key_put(&first, KEY(r->account, ROW_MESSAGE, {mailbox, run.first < from ? from : run.first}));
        row_prefix_put(&end, KEY(r->account, ROW_MESSAGE, {mailbox}), 1);
        buf_put_be32(&end, run.last);
        buf_putc(&end, 0); /* right behind the last one */
        st = index_scan(r->reads->index, r->snapshot, buf_slice(&first), buf_slice(&end), fn, arg, NULL);
    }
    return st;
}

static enum status
read_messages(struct read *r, struct slice payload)
{
    struct message_list m;
    struct row_mailbox box;
    enum status st;

    if (!message_list_get(payload, &m))
        return ST_SYNTAX;
    st = mailbox_alive(r, m.mailbox, &box);
    if (st != ST_OK)
        return st;
    return page(r, scan_runs(r, m.mailbox, m.uids.n > 0 ? m.uids : SLICE("\1\0\0\0\xff\xff\xff\xff"), m.from,
                             on_message, r));
}

struct changes {
    struct read *r;
    uint64_t mailbox, last;
};

static enum status
on_change(void *arg, struct slice key, struct slice value)
{
    struct changes *c = arg;
    struct row_key k;
    struct row_change row;
    struct row_message m = {0};
    enum status st = ST_OK;

    if (row_key_get(key, &k) != ST_OK || !row_change_get(value, &row))
        return ST_CORRUPT;
    if (k.part[1] != c->last && full(c->r)) /* a page never ends between two changes of one modseq */
        return ST_MORE;
    c->r->more = false;
    if (!row.gone)
        st = get(c->r, KEY(c->r->account, ROW_MESSAGE, {c->mailbox, k.part[2]}), V_MAIN, &value);
    if (st != ST_OK || (!row.gone && !row_message_get(value, &m)))
        return ST_CORRUPT;
    c->last = k.part[1];
    change_row_put(&c->r->rows, &(struct change_row){(uint32_t)k.part[2], row.gone, 0, m.flags, k.part[1],
                                                     m.size, m.internaldate, m.email, m.keywords});
    c->r->n++;
    return ST_OK;
}

static enum status
read_changes(struct read *r, struct slice payload)
{
    struct change_list m;
    struct row_mailbox box;
    struct row_status status;
    struct changes c = {r, 0, 0};
    enum status st;

    if (!change_list_get(payload, &m) || m.modseq == UINT64_MAX)
        return ST_SYNTAX;
    st = mailbox_alive(r, m.mailbox, &box);
    if (st == ST_OK)
        st = box_status(r, m.mailbox, &status);
    if (st == ST_OK && m.modseq < status.horizon)
        st = ST_STALE;
    if (st != ST_OK)
        return st;
    c.mailbox = m.mailbox;
    return page(r, scan(r, KEY(r->account, ROW_CHANGE, {m.mailbox}), 1,
                        KEY(r->account, ROW_CHANGE, {m.mailbox, m.modseq + 1, 0}), on_change, &c));
}

/* --- bodies --- */

/* From a message's row to its body; what *body points to is good until the next body_of. */
static enum status
body_of(struct read *r, struct slice message, uint64_t *number, struct row_body *body)
{
    struct row_message m;
    struct row_email e;
    struct slice value;
    enum status st;

    if (!row_message_get(message, &m))
        return ST_CORRUPT;
    st = get_near(r, KEY(r->account, ROW_EMAIL, {m.email}), V_EMAIL, &value);
    if (st != ST_OK || !row_email_get(value, &e))
        return ST_CORRUPT;
    st = get_near(r, KEY(0, ROW_BODY, {e.body}), V_BODY, &value);
    if (st != ST_OK || !row_body_get(value, body))
        return ST_CORRUPT;
    *number = e.body;
    return ST_OK;
}

/* What *body points to is good until the next find_body. */
static enum status
find_body(struct read *r, uint64_t mailbox, uint32_t uid, uint64_t *number, struct row_body *body)
{
    struct slice value;
    enum status st = get(r, KEY(r->account, ROW_MESSAGE, {mailbox, uid}), V_MAIN, &value);

    return st == ST_OK ? body_of(r, value, number, body) : st;
}

/* Bytes [offset, offset + n) of the joined extents, less at the end. */
static enum status
read_extents(const struct reads *reads, const struct row_body *body, uint64_t offset, uint64_t n,
             struct buf *to)
{
    struct slice list = body->extents;
    struct row_extent e;

    while (n > 0 && row_extent_take(&list, &e)) {
        uint64_t take;
        uint8_t *at;
        enum status st;

        if (offset >= e.n) {
            offset -= e.n;
            continue;
        }
        take = e.n - offset < n ? e.n - offset : n;
        at = buf_reserve(to, (size_t)take);
        if (at == NULL)
            return ST_MEMORY;
        st = log_read(reads->log, (struct log_place){e.segment, e.offset + offset}, (size_t)take, at, NULL);
        if (st != ST_OK)
            return st;
        to->n += (size_t)take;
        n -= take;
        offset = 0;
    }
    return ST_OK;
}

struct digests {
    struct read *r;
    struct buf prefix;
};

static enum status
put_digest(struct digests *d, uint32_t uid, struct slice message)
{
    struct row_body body;
    struct slice digest;
    uint64_t number;
    enum status st = body_of(d->r, message, &number, &body);

    if (st == ST_OK)
        st = get_near(d->r, KEY(0, ROW_DIGEST, {number}), V_DIGEST, &digest);
    if (st != ST_OK)
        return ST_CORRUPT;
    buf_clear(&d->prefix);
    st = read_extents(d->r->reads, &body, 0, body.prefix, &d->prefix);
    if (st == ST_OK)
        digest_row_put(&d->r->rows, &(struct digest_row){uid, buf_slice(&d->prefix), digest});
    d->r->n++;
    return st;
}

static enum status
on_digest(void *arg, struct slice key, struct slice value)
{
    struct digests *d = arg;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK)
        return ST_CORRUPT;
    return full(d->r) ? ST_MORE : put_digest(d, (uint32_t)k.part[1], value);
}

static enum status
read_digests(struct read *r, struct slice payload)
{
    struct digest_list m;
    struct digests d = {r, BUF_INIT(1u << 20)};
    enum status st;

    if (!digest_list_get(payload, &m))
        return ST_SYNTAX;
    st = scan_runs(r, m.mailbox, m.uids, 0, on_digest, &d);
    buf_done(&d.prefix);
    return page(r, st);
}

/* Bytes of the body that find() comes to, which arg is for. Compaction may take the segment between the row and the read: then the
 * row says another one by now. */
typedef enum status body_finder(struct read *r, const void *arg, struct row_body *body);
static enum status
read_bytes(struct read *r, body_finder *find, const void *arg, uint64_t offset, uint32_t n)
{
    AUTO_BUF bytes = BUF_INIT(STORE_READ_MAX);
    struct row_body body;
    enum status st = n > STORE_READ_MAX ? ST_SYNTAX : ST_NOTFOUND;

    for (int i = 0; i < 3 && st == ST_NOTFOUND; i++) {
        st = find(r, arg, &body);
        if (st != ST_OK)
            return st;
        buf_clear(&bytes);
        st = read_extents(r->reads, &body, offset, n, &bytes);
    }
    if (st == ST_OK)
        msg_bytes_put(r->reply, &(struct msg_bytes){buf_slice(&bytes)});
    return st;
}

static enum status
body_of_message(struct read *r, const void *arg, struct row_body *body)
{
    const struct body_read *m = arg;
    uint64_t number;

    return find_body(r, m->mailbox, m->uid, &number, body);
}

static enum status
read_body(struct read *r, struct slice payload)
{
    struct body_read m;

    return body_read_get(payload, &m) ? read_bytes(r, body_of_message, &m, m.offset, m.n) : ST_SYNTAX;
}

struct heads {
    struct read *r;
    uint32_t n;
    bool header; /* no more of it */
    struct buf bytes;
};

/* How much of it holds the header and the empty line; all, if they do not end here. */
static size_t
header_bytes(struct slice s)
{
    size_t at = slice_find_slice(s, SLICE("\n\r\n"));

    if (at < s.n)
        return at + 3;
    at = slice_find_slice(s, SLICE("\n\n"));
    return at < s.n ? at + 2 : s.n;
}

/* What cannot be read now, because compaction moves it, or at all, is left out: MSG_BODY_READ will say. */
static enum status
on_head(void *arg, struct slice key, struct slice value)
{
    struct heads *h = arg;
    struct row_key k;
    struct row_body body;
    uint64_t number;

    if (row_key_get(key, &k) != ST_OK)
        return ST_CORRUPT;
    if (full(h->r))
        return ST_MORE;
    buf_clear(&h->bytes);
    if (body_of(h->r, value, &number, &body) == ST_OK &&
        read_extents(h->r->reads, &body, 0, h->n, &h->bytes) == ST_OK) {
        struct slice head = buf_slice(&h->bytes);

        if (h->header)
            head.n = header_bytes(head);
        head_row_put(&h->r->rows, &(struct head_row){(uint32_t)k.part[1], head});
    }
    h->r->n++;
    return ST_OK;
}

static enum status
read_heads(struct read *r, struct slice payload)
{
    struct head_list m;
    struct heads h = {.r = r, .bytes = BUF_INIT(STORE_HEAD_MAX)};
    enum status st;

    if (!head_list_get(payload, &m) || m.n > STORE_HEAD_MAX)
        return ST_SYNTAX;
    h.n = m.n;
    h.header = m.header != 0;
    st = scan_runs(r, m.mailbox, m.uids, 0, on_head, &h);
    buf_done(&h.bytes);
    return page(r, st);
}

/* --- administrators --- */

static enum status
on_account(void *arg, struct slice key, struct slice value)
{
    struct names *n = arg;
    struct row_key k;
    struct row_number number;
    struct row_account account;
    struct row_usage usage;
    enum status st;

    if (row_key_get(key, &k) != ST_OK || !row_number_get(value, &number))
        return ST_CORRUPT;
    if (slice_eq(k.tail, buf_slice(&n->last)))
        return ST_OK;
    if (full(n->r))
        return ST_MORE;
    st = get(n->r, KEY(number.number, ROW_ACCOUNT), V_MAIN, &value);
    if (st != ST_OK || !row_account_get(value, &account))
        return ST_CORRUPT;
    st = get(n->r, KEY(number.number, ROW_USAGE), V_EMAIL, &value);
    if (st != ST_OK || !row_usage_get(value, &usage))
        return ST_CORRUPT;
    account_row_put(&n->r->rows,
                    &(struct account_row){k.tail, number.number, account.quota, usage.bytes, usage.messages});
    n->r->n++;
    return ST_OK;
}

static enum status
read_accounts(struct read *r, struct slice payload)
{
    struct msg_page m;
    struct names n = {r, BUF_INIT(2048)};
    enum status st;

    if (!msg_page_get(payload, &m))
        return ST_SYNTAX;
    if (m.after.n > ROW_TAIL_MAX)
        return ST_LIMIT;
    buf_put(&n.last, m.after);
    st = scan(r, KEY(0, ROW_ACCOUNT_NAME), 0, m.after.n > 0 ? KEY(0, ROW_ACCOUNT_NAME, {0}, m.after) : NULL,
              on_account, &n);
    buf_done(&n.last);
    return page(r, st);
}

static enum status
read_admin_mailboxes(struct read *r, struct slice payload)
{
    struct msg_name m;
    struct row_number number;
    struct slice value;
    enum status st;

    if (!msg_name_get(payload, &m))
        return ST_SYNTAX;
    if (m.name.n == 0 || m.name.n > ROW_TAIL_MAX)
        return ST_NOTFOUND;
    st = get(r, KEY(0, ROW_ACCOUNT_NAME, {0}, m.name), V_MAIN, &value);
    if (st != ST_OK)
        return st;
    if (!row_number_get(value, &number))
        return ST_CORRUPT;
    r->account = number.number;
    return list_mailboxes(r, (struct slice){0});
}

static enum status
on_dump(void *arg, struct slice key, struct slice value)
{
    struct names *n = arg;
    AUTO_BUF text = BUF_INIT(1u << 20);

    if (slice_eq(key, buf_slice(&n->last)))
        return ST_OK;
    if (full(n->r))
        return ST_MORE;
    if (value.n > 4096) { /* of a long value its hash is enough to see a difference */
        uint64_t hash = slice_hash(value);

        row_text(&text, key, slice_from(&hash, sizeof(hash)));
    } else {
        row_text(&text, key, value);
    }
    dump_row_put(&n->r->rows, &(struct dump_row){key, buf_slice(&text)});
    n->r->n++;
    return ST_OK;
}

static enum status
read_dump(struct read *r, struct slice payload)
{
    struct msg_page m;
    struct names n = {r, BUF_INIT(2048)};
    enum status st;

    if (!msg_page_get(payload, &m))
        return ST_SYNTAX;
    buf_put(&n.last, m.after);
    st = index_scan(r->reads->index, r->snapshot, m.after, SLICE(""), on_dump, &n, NULL);
    buf_done(&n.last);
    return page(r, st);
}

/* --- the queue --- */

static enum status
body_row(struct read *r, uint64_t number, struct row_body *body)
{
    struct slice value;
    enum status st = get(r, KEY(0, ROW_BODY, {number}), V_BODY, &value);

    return st == ST_OK && !row_body_get(value, body) ? ST_CORRUPT : st;
}

static enum status
body_of_entry(struct read *r, const void *arg, struct row_body *body)
{
    const struct queue_read *m = arg;
    struct row_queue row;
    struct slice value;
    enum status st = get(r, KEY(0, ROW_QUEUE, {m->id}), V_MAIN, &value);

    if (st == ST_OK && !row_queue_get(value, &row))
        st = ST_CORRUPT;
    return st == ST_OK ? body_row(r, row.body, body) : st;
}

static enum status
on_entry(void *arg, struct slice key, struct slice value)
{
    struct read *r = arg;
    struct row_key k;
    struct row_queue row;
    struct row_body body = {0};

    if (full(r))
        return ST_MORE;
    if (row_key_get(key, &k) != ST_OK || !row_queue_get(value, &row) || body_row(r, row.body, &body) != ST_OK)
        return ST_CORRUPT;
    queue_entry_put(&r->rows, &(struct queue_entry){.id = k.part[0],
                                                       .class = row.class,
                                                       .due = row.due,
                                                       .body = row.body,
                                                       .size = body.size,
                                                       .arrived = row.arrived,
                                                       .tries = row.tries,
                                                       .dsn = row.dsn,
                                                       .ret = row.ret,
                                                       .sender = row.sender,
                                                       .recipient = row.recipient,
                                                       .orcpt = row.orcpt,
                                                       .envid = row.envid,
                                                       .spec = row.spec});
    r->n++;
    return ST_OK;
}

static enum status
read_queue(struct read *r, struct slice payload)
{
    struct msg_id m;

    if (!msg_id_get(payload, &m) || m.id == UINT64_MAX)
        return ST_SYNTAX;
    return page(r, scan(r, KEY(0, ROW_QUEUE), 0, KEY(0, ROW_QUEUE, {m.id + 1}), on_entry, r));
}

static enum status
read_queued(struct read *r, struct slice payload)
{
    struct queue_read m;

    return queue_read_get(payload, &m) ? read_bytes(r, body_of_entry, &m, m.offset, m.n) : ST_SYNTAX;
}

static const struct row {
    uint16_t type;
    enum status (*run)(struct read *r, struct slice payload);
    bool snapshot; /* it reads rows that must be of one moment */
} table[] = {
    {MSG_MAILBOXES,       read_mailboxes,       true },
    {MSG_MAILBOX_STATUS,  read_status,          false},
    {MSG_SUBSCRIPTIONS,   read_subscriptions,   false},
    {MSG_KEYWORDS,        read_keywords,        false},
    {MSG_MESSAGES,        read_messages,        false},
    {MSG_CHANGES,         read_changes,         true },
    {MSG_DIGESTS,         read_digests,         true },
    {MSG_BODY_READ,       read_body,            false},
    {MSG_HEADS,           read_heads,           false},
    {MSG_ACCOUNTS,        read_accounts,        true },
    {MSG_ADMIN_MAILBOXES, read_admin_mailboxes, true },
    {MSG_STORE_DUMP,      read_dump,            false},
    {MSG_QUEUE_LIST,      read_queue,           true },
    {MSG_QUEUE_READ,      read_queued,          false},
};

static const struct row *
row_of(uint16_t type)
{
    for (size_t i = 0; i < COUNT(table); i++)
        if (table[i].type == type)
            return &table[i];
    return NULL;
}

bool
reads_knows(uint16_t type)
{
    return row_of(type) != NULL;
}

enum status
reads_answer(const struct reads *reads, uint16_t type, uint64_t account, struct slice payload,
             struct buf *reply)
{
    const struct row *row = row_of(type);
    struct read r = {.reads = reads,
                     .account = account,
                     .most = account != 0 ? PAGE_BYTES : ADMIN_BYTES,
                     .rows = BUF_INIT(1u << 20),
                     .reply = reply};
    enum status st;

    if (row == NULL)
        return ST_UNSUPPORTED;
    if (row->snapshot && (r.snapshot = index_snapshot_new(reads->index)) == NULL)
        return ST_MEMORY;
    for (size_t i = 0; i < COUNT(r.value); i++)
        r.value[i] = BUF_INIT(VALUE_MOST);
    st = row->run(&r, payload);
    if (st == ST_OK && !buf_ok(reply))
        st = ST_LIMIT;
    for (size_t i = 0; i < COUNT(r.near); i++)
        index_cursor_free(r.near[i]);
    if (r.snapshot != NULL)
        index_snapshot_free(reads->index, r.snapshot);
    buf_done(&r.rows);
    for (size_t i = 0; i < COUNT(r.value); i++)
        buf_done(&r.value[i]);
    return st;
}

/* --- at a start --- */

struct dying {
    void (*fn)(void *arg, uint64_t account, uint64_t mailbox);
    void *arg;
};

static enum status
on_any(void *arg, struct slice key, struct slice value)
{
    struct dying *d = arg;
    struct row_key k;
    struct row_account account;
    struct row_mailbox box;

    if (key.n < 9 || (key.p[8] != ROW_ACCOUNT && key.p[8] != ROW_MAILBOX) || row_key_get(key, &k) != ST_OK)
        return ST_OK;
    if (k.kind == ROW_ACCOUNT && row_account_get(value, &account) && account.state == ROW_DYING)
        d->fn(d->arg, k.account, 0);
    if (k.kind == ROW_MAILBOX && row_mailbox_get(value, &box) && box.state == ROW_DYING)
        d->fn(d->arg, k.account, k.part[0]);
    return ST_OK;
}

static enum status
first_account(void *arg, struct slice key, struct slice value)
{
    return take_be64(&key, arg) ? ST_EXISTS : ST_CORRUPT;
}

enum status
reads_dying(const struct reads *reads, void (*fn)(void *arg, uint64_t account, uint64_t mailbox), void *arg)
{
    struct dying d = {fn, arg};
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);

    for (uint64_t account = 1;; account++) {
        enum status st;

        buf_clear(&from);
        buf_put_be64(&from, account);
        st = index_scan(reads->index, NULL, buf_slice(&from), SLICE(""), first_account, &account, NULL);
        if (st != ST_EXISTS)
            return st;
        buf_clear(&from);
        buf_clear(&to);
        buf_put_be64(&from, account);
        row_prefix_put(&to, KEY(account, ROW_STATUS), 0); /* what stands before: account, usage, mailboxes */
        st = index_scan(reads->index, NULL, buf_slice(&from), buf_slice(&to), on_any, &d, NULL);
        if (st != ST_OK)
            return st;
    }
}

struct domains {
    void (*fn)(void *arg, struct slice domain);
    void *arg;
};

static enum status
on_account_name(void *arg, struct slice key, struct slice value)
{
    struct domains *d = arg;
    struct row_key k;

    if (row_key_get(key, &k) == ST_OK)
        d->fn(d->arg, slice_skip(k.tail, slice_find(k.tail, '@') + 1));
    return ST_OK;
}

enum status
reads_domains(const struct reads *reads, void (*fn)(void *arg, struct slice domain), void *arg)
{
    struct domains d = {fn, arg};
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);

    row_prefix_put(&from, KEY(0, ROW_ACCOUNT_NAME), 0);
    row_range_end(&to, buf_slice(&from));
    return index_scan(reads->index, NULL, buf_slice(&from), buf_slice(&to), on_account_name, &d, NULL);
}
