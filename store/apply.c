#include "store/apply.h"

#include "store/log_format.h"
#include "store/bugs.h"

#define KEY_MAX   2048u
#define VALUE_MAX (16u * 1024 * 1024)

/* The first failure stays in st, and nothing is emitted after it: a record's code reads without an `if` a
 * row. */
struct apply {
    const struct row_sink *sink;
    struct buf key, end, value;
    enum status st;
};

#define KEY(...) (&(struct row_key){__VA_ARGS__})

static void
fail(struct apply *a, enum status st)
{
    if (a->st == ST_OK)
        a->st = st;
}

static bool
make_key(struct apply *a, const struct row_key *key)
{
    buf_clear(&a->key);
    row_key_put(&a->key, key);
    if (!buf_ok(&a->key))
        fail(a, ST_CORRUPT);
    return a->st == ST_OK;
}

/* The value is in a->value. What is not a value of its kind never gets into the index. */
static void
put_value(struct apply *a, const struct row_key *key)
{
    if (!buf_ok(&a->value))
        fail(a, ST_MEMORY);
    else if (!row_value_ok(key->kind, buf_slice(&a->value)))
        fail(a, ST_CORRUPT);
    if (make_key(a, key))
        a->sink->put(a->sink->arg, buf_slice(&a->key), buf_slice(&a->value));
}

#define PUT(a, tag, row, ...)                                                                                \
    do {                                                                                                     \
        buf_clear(&(a)->value);                                                                              \
        row_##tag##_put(&(a)->value, (row));                                                                 \
        put_value((a), KEY(__VA_ARGS__));                                                                    \
    } while (0)

static void
put_bytes(struct apply *a, const struct row_key *key, struct slice value)
{
    buf_clear(&a->value);
    buf_put(&a->value, value);
    put_value(a, key);
}

static void
del(struct apply *a, const struct row_key *key)
{
    if (make_key(a, key))
        a->sink->del(a->sink->arg, buf_slice(&a->key));
}

/* All rows that begin with the account (kind 0), or with its kind and the first part. */
static void
del_all(struct apply *a, const struct row_key *key)
{
    buf_clear(&a->key);
    buf_clear(&a->end);
    if (key->account == 0)
        fail(a, ST_CORRUPT); /* would be the whole shard */
    else if (key->kind == 0)
        buf_put_be64(&a->key, key->account);
    else
        row_prefix_put(&a->key, key, 1);
    row_range_end(&a->end, buf_slice(&a->key));
    if (!buf_ok(&a->key) || !buf_ok(&a->end) || a->end.n == 0)
        fail(a, ST_CORRUPT);
    if (a->st == ST_OK)
        a->sink->del_range(a->sink->arg, buf_slice(&a->key), buf_slice(&a->end));
}

/* Walks a packed list; ends the record when an element cannot be read. */
#define EACH(a, list, tag, element)                                                                          \
    for (struct record_##tag element; (a)->st == ST_OK && next_##tag((a), &(list), &element);)
#define NEXT(tag)                                                                                            \
    static bool next_##tag(struct apply *a, struct slice *list, struct record_##tag *out)                    \
    {                                                                                                        \
        if (list->n == 0)                                                                                    \
            return false;                                                                                    \
        if (!record_##tag##_take(list, out)) {                                                               \
            fail(a, ST_CORRUPT);                                                                             \
            return false;                                                                                    \
        }                                                                                                    \
        return true;                                                                                         \
    }
NEXT(mailbox)
NEXT(keyword)
NEXT(body)
NEXT(moved_body)
NEXT(arrival)
NEXT(queued)
NEXT(ref)
NEXT(live)
NEXT(email)
NEXT(change)
NEXT(copied)
NEXT(forgotten)
NEXT(private_flags)
NEXT(remembered)
NEXT(request)
NEXT(imaged)
NEXT(row)

/* --- what several records do --- */

static void
put_mailboxes(struct apply *a, uint64_t account, struct slice list)
{
    /* All old names go first: in a rename one mailbox may take the name that another had. */
    struct slice again = list;

    EACH(a, list, mailbox, m)
    if (m.old_name.n > 0)
        del(a, KEY(account, ROW_NAME, {0}, m.old_name));
    EACH(a, again, mailbox, m)
    {
        PUT(a, mailbox, &m.row, account, ROW_MAILBOX, {m.mailbox});
        PUT(a, status, &m.status, account, ROW_STATUS, {m.mailbox});
        if (m.row.state == ROW_LIVES)
            PUT(a, number, &(struct row_number){m.mailbox}, account, ROW_NAME, {0}, m.row.name);
    }
}

static void
put_keywords(struct apply *a, struct slice list)
{
    EACH(a, list, keyword, k)
    PUT(a, name, &(struct row_name){k.name}, k.account, ROW_KEYWORD, {k.number});
}

static void
put_bodies(struct apply *a, struct slice list)
{
    EACH(a, list, body, b)
    {
        PUT(a, body, &b.row, 0, ROW_BODY, {b.body});
        put_bytes(a, KEY(0, ROW_DIGEST, {b.body}), b.digest);
    }
}

static void
put_refs(struct apply *a, struct slice list)
{
    EACH(a, list, ref, r)
    {
        if (r.refs > 0) {
            PUT(a, number, &(struct row_number){r.refs}, 0, ROW_REFS, {r.body});
            continue;
        }
        del(a, KEY(0, ROW_REFS, {r.body}));
        del(a, KEY(0, ROW_BODY, {r.body}));
        del(a, KEY(0, ROW_DIGEST, {r.body}));
    }
}

static void
put_segments(struct apply *a, struct slice list)
{
    EACH(a, list, live, s)
    {
        if (!s.gone) {
            PUT(a, segment, &s.row, 0, ROW_SEGMENT, {s.segment});
            continue;
        }
        del(a, KEY(0, ROW_SEGMENT, {s.segment}));
        del(a, KEY(0, ROW_TABLE, {s.segment}));
    }
}

static void
put_emails(struct apply *a, uint64_t account, struct slice list)
{
    EACH(a, list, email, e)
    {
        if (e.row.places.n == 0)
            del(a, KEY(account, ROW_EMAIL, {e.email}));
        else
            PUT(a, email, &e.row, account, ROW_EMAIL, {e.email});
    }
}

/* A time as part of a key; one before 1970 would sort last, so it counts as the beginning. */
static uint64_t
key_time(int64_t at)
{
    return at > 0 ? (uint64_t)at : 0;
}

static void
put_queue(struct apply *a, struct slice list)
{
    EACH(a, list, queued, q)
    {
        if (q.known)
            del(a, KEY(0, ROW_QUEUE_DUE, {q.old_class, key_time(q.old_due), q.id}));
        if (!q.on) {
            del(a, KEY(0, ROW_QUEUE, {q.id}));
            continue;
        }
        PUT(a, queue, &q.row, 0, ROW_QUEUE, {q.id});
        put_bytes(a, KEY(0, ROW_QUEUE_DUE, {q.row.class, key_time(q.row.due), q.id}), SLICE(""));
    }
}

/* A message's row, and in the order of changes: out of its old place, into its new one. old 0: it is new. */
static void
put_message(struct apply *a, uint64_t account, uint64_t mailbox, uint32_t uid, uint64_t old,
            const struct row_message *message)
{
    if (old != 0 && !BUG(change_kept))
        del(a, KEY(account, ROW_CHANGE, {mailbox, old, uid}));
    PUT(a, message, message, account, ROW_MESSAGE, {mailbox, uid});
    PUT(a, change, &(struct row_change){0}, account, ROW_CHANGE, {mailbox, message->modseq, uid});
}

static void
put_gone(struct apply *a, uint64_t account, uint64_t mailbox, uint32_t uid, uint64_t old, uint64_t modseq)
{
    del(a, KEY(account, ROW_CHANGE, {mailbox, old, uid}));
    del(a, KEY(account, ROW_MESSAGE, {mailbox, uid}));
    PUT(a, change, &(struct row_change){1}, account, ROW_CHANGE, {mailbox, modseq, uid});
}

/* --- one function a record --- */

static void
on_account_add(struct apply *a, const struct record_account_add *r)
{
    PUT(a, shard, &r->shard, 0, ROW_SHARD);
    PUT(a, account, &r->row, r->account, ROW_ACCOUNT);
    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    PUT(a, number, &(struct row_number){r->account}, 0, ROW_ACCOUNT_NAME, {0}, r->row.name);
    put_mailboxes(a, r->account, r->mailboxes);
}

static void
on_account_change(struct apply *a, const struct record_account_change *r)
{
    if (r->old_name.n > 0)
        del(a, KEY(0, ROW_ACCOUNT_NAME, {0}, r->old_name));
    PUT(a, account, &r->row, r->account, ROW_ACCOUNT);
    if (r->row.state == ROW_LIVES)
        PUT(a, number, &(struct row_number){r->account}, 0, ROW_ACCOUNT_NAME, {0}, r->row.name);
}

static void
on_account_erase(struct apply *a, const struct record_account_erase *r)
{
    del_all(a, KEY(r->account));
    if (r->account != 0) {
        del(a, KEY(0, ROW_BROKEN, {r->account}));
        del(a, KEY(0, ROW_IMAGE, {r->account}));
    }
}

static void
on_mailbox_put(struct apply *a, const struct record_mailbox_put *r)
{
    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    put_mailboxes(a, r->account, r->mailboxes);
}

static void
on_mailbox_erase(struct apply *a, const struct record_mailbox_erase *r)
{
    static const enum row_kind ranges[] = {ROW_MESSAGE, ROW_CHANGE, ROW_EXPUNGED, ROW_PRIVATE};

    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    del(a, KEY(r->account, ROW_MAILBOX, {r->mailbox}));
    del(a, KEY(r->account, ROW_STATUS, {r->mailbox}));
    for (size_t i = 0; i < COUNT(ranges); i++)
        del_all(a, KEY(r->account, ranges[i], {r->mailbox}));
}

static void
on_subscribe(struct apply *a, const struct record_subscribe *r)
{
    if (r->on)
        put_bytes(a, KEY(r->account, ROW_SUBSCRIPTION, {0}, r->name), SLICE(""));
    else
        del(a, KEY(r->account, ROW_SUBSCRIPTION, {0}, r->name));
}

/* What asking again gets; without a request nobody will. */
static void
put_request(struct apply *a, struct slice request, const struct row_request *answer)
{
    if (request.n == 0 || BUG(request_forgotten))
        return;
    PUT(a, request, answer, 0, ROW_REQUEST, {0}, request);
    put_bytes(a, KEY(0, ROW_REQUEST_DUE, {key_time(answer->expires)}, request), SLICE(""));
}

static void
on_deliver(struct apply *a, const struct record_deliver *r)
{
    struct slice arrivals = r->arrivals;

    PUT(a, shard, &r->shard, 0, ROW_SHARD);
    put_request(a, r->request, &r->answer);
    put_bodies(a, r->bodies);
    put_keywords(a, r->keywords);
    EACH(a, arrivals, arrival, m)
    {
        PUT(a, usage, &m.usage, m.account, ROW_USAGE);
        PUT(a, status, &m.status, m.account, ROW_STATUS, {m.mailbox});
        PUT(a, email, &m.email, m.account, ROW_EMAIL, {m.message.email});
        put_message(a, m.account, m.mailbox, m.uid, 0, &m.message);
    }
    put_queue(a, r->queue);
    put_refs(a, r->refs);
    put_segments(a, r->segments);
}

static void
on_flags(struct apply *a, const struct record_flags *r)
{
    struct slice rows = r->rows;

    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    PUT(a, status, &r->status, r->account, ROW_STATUS, {r->mailbox});
    put_keywords(a, r->keywords);
    EACH(a, rows, change, c)
    put_message(a, r->account, r->mailbox, c.uid, c.old_modseq, &c.message);
}

static void
on_copy(struct apply *a, const struct record_copy *r)
{
    struct slice rows = r->rows;

    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    if (r->move)
        PUT(a, status, &r->from_status, r->account, ROW_STATUS, {r->from});
    PUT(a, status, &r->to_status, r->account, ROW_STATUS, {r->to});
    put_request(a, r->request, &r->answer);
    EACH(a, rows, copied, c)
    {
        if (r->move)
            put_gone(a, r->account, r->from, c.from, c.old_modseq, c.gone_modseq);
        put_message(a, r->account, r->to, c.uid, 0, &c.message);
    }
    put_emails(a, r->account, r->emails);
}

static void
on_expunge(struct apply *a, const struct record_expunge *r)
{
    struct row_expunged gone = {.at = r->at, .keep = r->keep};
    struct slice rows = r->rows;

    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    PUT(a, status, &r->status, r->account, ROW_STATUS, {r->mailbox});
    EACH(a, rows, change, c)
    {
        put_gone(a, r->account, r->mailbox, c.uid, c.old_modseq, c.message.modseq);
        gone.message = c.message;
        PUT(a, expunged, &gone, r->account, ROW_EXPUNGED, {r->mailbox, c.uid});
    }
    put_emails(a, r->account, r->emails);
    put_refs(a, r->refs);
    put_segments(a, r->segments);
}

static void
on_forget(struct apply *a, const struct record_forget *r)
{
    struct slice rows = r->rows;

    PUT(a, status, &r->status, r->account, ROW_STATUS, {r->mailbox});
    EACH(a, rows, forgotten, f)
    {
        del(a, KEY(r->account, ROW_EXPUNGED, {r->mailbox, f.uid}));
        del(a, KEY(r->account, ROW_CHANGE, {r->mailbox, f.modseq, f.uid}));
    }
    put_emails(a, r->account, r->emails);
    put_refs(a, r->refs);
    put_segments(a, r->segments);
}

static void
on_keywords(struct apply *a, const struct record_keywords *r)
{
    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    put_keywords(a, r->keywords);
}

static void
on_private(struct apply *a, const struct record_private *r)
{
    struct slice rows = r->rows;

    PUT(a, usage, &r->usage, r->account, ROW_USAGE);
    PUT(a, status, &r->status, r->account, ROW_STATUS, {r->mailbox});
    EACH(a, rows, private_flags, p)
    {
        if (p.row.modseq == 0)
            del(a, KEY(r->account, ROW_PRIVATE, {r->mailbox, r->user, p.uid}));
        else
            PUT(a, private, &p.row, r->account, ROW_PRIVATE, {r->mailbox, r->user, p.uid});
    }
}

static void
on_quota_root(struct apply *a, const struct record_quota_root *r)
{
    if (r->on)
        PUT(a, quota, &r->row, r->account, ROW_QUOTA, {0}, r->name);
    else
        del(a, KEY(r->account, ROW_QUOTA, {0}, r->name));
}

static void
on_script(struct apply *a, const struct record_script *r)
{
    if (r->on)
        PUT(a, name, &(struct row_name){r->text}, r->account, ROW_SCRIPT, {0}, r->name);
    else
        del(a, KEY(r->account, ROW_SCRIPT, {0}, r->name));
    if (r->active.n > 0)
        PUT(a, name, &(struct row_name){r->active}, r->account, ROW_ACTIVE);
    else
        del(a, KEY(r->account, ROW_ACTIVE));
}

static void
on_queue(struct apply *a, const struct record_queue *r)
{
    PUT(a, shard, &r->shard, 0, ROW_SHARD);
    put_queue(a, r->queue);
    put_bodies(a, r->bodies);
    put_refs(a, r->refs);
    put_segments(a, r->segments);
}

static void
on_memory(struct apply *a, const struct record_memory *r)
{
    struct slice rows = r->rows;

    EACH(a, rows, remembered, m)
    {
        if (m.old_expires != 0)
            del(a, KEY(r->account, ROW_MEMORY_DUE, {key_time(m.old_expires), m.kind}, m.key));
        if (m.expires == 0) {
            del(a, KEY(r->account, ROW_MEMORY, {m.kind}, m.key));
            continue;
        }
        PUT(a, time, &(struct row_time){m.expires}, r->account, ROW_MEMORY, {m.kind}, m.key);
        put_bytes(a, KEY(r->account, ROW_MEMORY_DUE, {key_time(m.expires), m.kind}, m.key), SLICE(""));
    }
}

static void
on_requests_forget(struct apply *a, const struct record_requests_forget *r)
{
    struct slice requests = r->requests;

    EACH(a, requests, request, q)
    {
        del(a, KEY(0, ROW_REQUEST, {0}, q.request));
        del(a, KEY(0, ROW_REQUEST_DUE, {key_time(q.expires)}, q.request));
    }
}

static void
on_adopt(struct apply *a, const struct record_adopt *r)
{
    struct slice images = r->images;

    put_segments(a, r->segments);
    EACH(a, images, imaged, i)
    { /* the image itself tells the index nothing new */
        if (i.account == 0)
            PUT(a, image, &i.row, 0, ROW_TABLE, {i.row.segment});
        else
            PUT(a, image, &i.row, 0, ROW_IMAGE, {i.account});
    }
}

static void
on_moved(struct apply *a, const struct record_moved *r)
{
    struct slice bodies = r->bodies;

    EACH(a, bodies, moved_body, b)
    PUT(a, body, &b.row, 0, ROW_BODY, {b.body});
    put_segments(a, r->segments);
}

/* An image's rows are copied as they stand, but only if they are rows, and of this account. A table (account
 * 0) has rows of bodies alone. */
static void
on_image(struct apply *a, const struct record_image *r)
{
    struct slice rows = r->rows;
    struct row_key key;

    if (r->chunk == 0 && r->account != 0)
        del_all(a, KEY(r->account));
    EACH(a, rows, row, row)
    {
        buf_clear(&a->key);
        buf_put_be64(&a->key, r->account);
        buf_put(&a->key, row.key);
        if (!buf_ok(&a->key) || row_key_get(buf_slice(&a->key), &key) != ST_OK ||
            !row_value_ok(key.kind, row.value) ||
            (r->account == 0 && key.kind != ROW_BODY && key.kind != ROW_DIGEST))
            fail(a, ST_CORRUPT);
        else
            a->sink->put(a->sink->arg, buf_slice(&a->key), row.value);
    }
}

#define RUN(tag)                                                                                             \
    static void run_##tag(struct apply *a, struct slice meta)                                                \
    {                                                                                                        \
        struct record_##tag r;                                                                               \
        enum status st = record_##tag##_read(meta, &r);                                                      \
        if (st == ST_OK)                                                                                     \
            on_##tag(a, &r);                                                                                 \
        else                                                                                                 \
            fail(a, st);                                                                                     \
    }
RUN(account_add)
RUN(account_change)
RUN(account_erase)
RUN(mailbox_put)
RUN(mailbox_erase)
RUN(subscribe)
RUN(deliver)
RUN(flags)
RUN(copy)
RUN(expunge)
RUN(forget)
RUN(keywords)
RUN(private)
RUN(quota_root)
RUN(script)
RUN(queue)
RUN(memory)
RUN(requests_forget)
RUN(adopt)
RUN(moved)
RUN(image)

static enum status
run(void (*fn)(struct apply *a, struct slice meta), struct slice meta, const struct row_sink *sink)
{
    struct apply a = {.sink = sink,
                      .key = BUF_INIT(KEY_MAX),
                      .end = BUF_INIT(KEY_MAX),
                      .value = BUF_INIT(VALUE_MAX),
                      .st = ST_OK};

    fn(&a, meta);
    buf_done(&a.key);
    buf_done(&a.end);
    buf_done(&a.value);
    return a.st;
}

enum status
apply_record(uint16_t type, struct slice meta, const struct row_sink *sink)
{
    static void (*const table[])(struct apply *, struct slice) = {
        [RECORD_ACCOUNT_ADD] = run_account_add,
        [RECORD_ACCOUNT_CHANGE] = run_account_change,
        [RECORD_ACCOUNT_ERASE] = run_account_erase,
        [RECORD_MAILBOX_PUT] = run_mailbox_put,
        [RECORD_MAILBOX_ERASE] = run_mailbox_erase,
        [RECORD_SUBSCRIBE] = run_subscribe,
        [RECORD_DELIVER] = run_deliver,
        [RECORD_APPEND] = run_deliver,
        [RECORD_FLAGS] = run_flags,
        [RECORD_COPY] = run_copy,
        [RECORD_EXPUNGE] = run_expunge,
        [RECORD_FORGET] = run_forget,
        [RECORD_KEYWORDS] = run_keywords,
        [RECORD_PRIVATE] = run_private,
        [RECORD_QUOTA_ROOT] = run_quota_root,
        [RECORD_SCRIPT] = run_script,
        [RECORD_QUEUE] = run_queue,
        [RECORD_MEMORY] = run_memory,
        [RECORD_REQUESTS_FORGET] = run_requests_forget,
        [RECORD_ADOPT] = run_adopt,
        [RECORD_MOVED] = run_moved,
    };

    if (type == LOG_GONE)
        return ST_OK; /* the log's own; it changes no row */
    if (type >= COUNT(table) || table[type] == NULL)
        return type == RECORD_IMAGE || type == 0 ? ST_CORRUPT
                                                 : ST_NEWER; /* a type we do not know came later */
    return run(table[type], meta, sink);
}

enum status
apply_image(struct slice meta, const struct row_sink *sink)
{
    return run(run_image, meta, sink);
}
