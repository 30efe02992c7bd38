#include "store/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/image.h"
#include "store/numbers.h"
#include "store/request.h"

#define ROW_MAX  (16u * 1024 * 1024)
#define KEYWORDS 65536u

#define KEY(...) (&(struct row_key){__VA_ARGS__})

/* A mailbox as its rows say, and as its messages count. */
struct box {
    uint64_t number;
    bool has_row, has_status, named, alive;
    struct row_status status, counted; /* uidnext, modseq of counted: the highest seen */
};

struct check {
    struct log *log;
    struct index *index;
    struct index_snapshot *snapshot;
    struct log_segment *segments;
    size_t n_segments;
    struct numbers bodies; /* a: references counted; b: 1 when it has a row */
    struct numbers live;   /* a: bytes counted in a segment */
    /* the account being read; 0: none */
    uint64_t account;
    bool has_account, has_usage, dying; /* dying: its names mean nothing any more */
    struct row_usage usage;
    uint64_t bytes, messages, modseq;
    struct box *boxes; /* ascending by number, as their rows come */
    size_t n_boxes, cap_boxes;
    uint8_t keywords[KEYWORDS]; /* 1: used by a message, 2: has a row */
    struct buf value;
    void (*line)(void *arg, const char *text);
    void *arg;
    const bool *cancel;
    struct check_stats stats;
    struct err *err;
};

static void wrong(struct check *c, const char *fmt, ...) PRINTF(2, 3);

static void
wrong(struct check *c, const char *fmt, ...)
{
    char text[512];
    va_list args;

    if (++c->stats.wrong > CHECK_LINES_MAX)
        return;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    c->line(c->arg, text);
}

/* ST_OK, ST_NOTFOUND; all else ends the check. The value is in c->value until the next. */
static enum status
get(struct check *c, const struct row_key *key)
{
    buf_clear(&c->value);
    return index_get(c->index, c->snapshot, key, &c->value, c->err);
}

static bool
is_cancelled(const struct check *c)
{
    return c->cancel != NULL && __atomic_load_n(c->cancel, __ATOMIC_RELAXED);
}

static enum status
must_have(struct check *c, const struct row_key *key, const char *who, uint64_t account, uint64_t number)
{
    enum status st = get(c, key);

    if (st != ST_NOTFOUND)
        return st;
    wrong(c, "%s %" PRIu64 " of account %" PRIu64 " has no %s row", who, number, account,
          row_kind_name(key->kind));
    return ST_OK;
}

static const struct log_segment *
segment_of(const struct check *c, uint64_t number)
{
    for (size_t low = 0, high = c->n_segments; low < high;) {
        size_t middle = low + (high - low) / 2;

        if (c->segments[middle].number == number)
            return &c->segments[middle];
        if (c->segments[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static uint64_t
key_time(int64_t at)
{
    return at > 0 ? (uint64_t)at : 0;
}

/* --- rows of the shard --- */

static enum status
check_account_name(struct check *c, const struct row_key *k, uint64_t account)
{
    struct row_account row;
    enum status st = get(c, KEY(account, ROW_ACCOUNT));

    if (st == ST_NOTFOUND)
        wrong(c, "the name \"%.*s\" leads to account %" PRIu64 ", which is not there", SLICE_ARG(k->tail),
              account);
    else if (st == ST_OK && (!row_account_get(buf_slice(&c->value), &row) || row.state != ROW_LIVES ||
                             !slice_eq(row.name, k->tail)))
        wrong(c, "the name \"%.*s\" leads to account %" PRIu64 ", which has another one", SLICE_ARG(k->tail),
              account);
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status
check_body(struct check *c, uint64_t body, struct slice value)
{
    struct number *slot = numbers_put(&c->bodies, body);
    struct row_extent e;
    struct row_body row;
    enum status st;

    if (slot == NULL)
        return err_set(c->err, ST_MEMORY, "check: no memory");
    slot->b = 1;
    c->stats.bodies++;
    if (!row_body_get(value, &row))
        return ST_OK; /* told already */
    while (row_extent_take(&row.extents, &e)) {
        const struct log_segment *s = segment_of(c, e.segment);
        struct number *live = numbers_put(&c->live, e.segment);

        if (live == NULL)
            return err_set(c->err, ST_MEMORY, "check: no memory");
        live->a += e.n;
        if (s == NULL)
            wrong(c, "body %" PRIu64 " lies in segment %" PRIx64 ", which is missing", body, e.segment);
        else if (e.offset < LOG_HEADER || e.n > s->bytes || e.offset > s->bytes - e.n)
            wrong(c, "body %" PRIu64 " lies beyond the end of segment %" PRIx64, body, e.segment);
    }
    st = must_have(c, KEY(0, ROW_DIGEST, {body}), "body", 0, body);
    return st == ST_OK ? must_have(c, KEY(0, ROW_REFS, {body}), "body", 0, body) : st;
}

static enum status
check_queue(struct check *c, uint64_t id, struct slice value)
{
    struct row_queue row;
    struct number *slot;

    if (!row_queue_get(value, &row))
        return ST_OK;
    if (row.body != 0) {
        slot = numbers_put(&c->bodies, row.body);
        if (slot == NULL)
            return err_set(c->err, ST_MEMORY, "check: no memory");
        slot->a++;
    }
    return must_have(c, KEY(0, ROW_QUEUE_DUE, {row.class, key_time(row.due), id}), "queue entry", 0, id);
}

static enum status
check_due(struct check *c, const struct row_key *k)
{
    struct row_queue row;
    enum status st = get(c, KEY(0, ROW_QUEUE, {k->part[2]}));

    if (st == ST_NOTFOUND || (st == ST_OK && (!row_queue_get(buf_slice(&c->value), &row) ||
                                              row.class != k->part[0] || key_time(row.due) != k->part[1])))
        wrong(c, "queue entry %" PRIu64 " is due at a time that is not its own", k->part[2]);
    return st == ST_NOTFOUND ? ST_OK : st;
}

static void
check_segment(struct check *c, uint64_t number, struct slice value)
{
    const struct log_segment *s = segment_of(c, number);
    struct row_segment row;

    if (!row_segment_get(value, &row))
        return;
    if (s == NULL)
        wrong(c, "segment %" PRIx64 " is missing", number);
    else if ((row.side != 0) != (s->kind == LOG_SIDE))
        wrong(c, "segment %" PRIx64 " is of another kind than the index says", number);
    else if (row.side != 0 && (row.size != s->size - LOG_HEADER || row.sum != s->sum))
        wrong(c, "side segment %" PRIx64 " is not the one that was adopted", number);
}

static void
null_put(void *arg, struct slice key, struct slice value)
{
}

static void
null_del(void *arg, struct slice key)
{
}

static void
null_range(void *arg, struct slice from, struct slice to)
{
}

static enum status
check_image(struct check *c, const struct row_key *k, struct slice value)
{
    static const struct row_sink nothing = {NULL, null_put, null_del, null_range};
    uint64_t account = k->kind == ROW_TABLE ? 0 : k->part[0];
    struct err err = {0};
    struct row_image row;
    enum status st;

    if (!row_image_get(value, &row))
        return ST_OK;
    st = image_read(c->log, account, &row, &nothing, &err);
    if (st == ST_CORRUPT || st == ST_NOTFOUND || st == ST_NEWER)
        wrong(c, "%s", err.text);
    else if (st != ST_OK)
        return err_set(c->err, st, "%s", err.text);
    return account != 0 ? must_have(c, KEY(account, ROW_ACCOUNT), "image", account, account) : ST_OK;
}

static enum status
on_shard_row(void *arg, struct slice key, struct slice value)
{
    struct check *c = arg;
    struct row_number number;
    struct row_request request;
    struct row_key k;

    if (is_cancelled(c))
        return ST_CANCELLED;
    if (row_key_get(key, &k) != ST_OK || !row_value_ok(k.kind, value)) {
        wrong(c, "a row of the shard cannot be read");
        return ST_OK;
    }
    switch (k.kind) {
    case ROW_ACCOUNT_NAME:
        return row_number_get(value, &number) ? check_account_name(c, &k, number.number) : ST_OK;
    case ROW_BODY:
        return check_body(c, k.part[0], value);
    case ROW_DIGEST:
    case ROW_REFS:
        return must_have(c, KEY(0, ROW_BODY, {k.part[0]}), row_kind_name(k.kind), 0, k.part[0]);
    case ROW_QUEUE:
        return check_queue(c, k.part[0], value);
    case ROW_QUEUE_DUE:
        return check_due(c, &k);
    case ROW_SEGMENT:
        check_segment(c, k.part[0], value);
        return ST_OK;
    case ROW_REQUEST:
        return row_request_get(value, &request)
                   ? must_have(c, KEY(0, ROW_REQUEST_DUE, {key_time(request.expires)}, k.tail), "request", 0,
                               0)
                   : ST_OK;
    case ROW_REQUEST_DUE:
        return must_have(c, KEY(0, ROW_REQUEST, {0}, k.tail), "request that is due", 0, 0);
    case ROW_IMAGE:
    case ROW_TABLE:
        return check_image(c, &k, value);
    default:
        return ST_OK;
    }
}

/* --- rows of an account --- */

static struct box *
box_of(struct check *c, uint64_t number, bool make)
{
    for (size_t i = 0; i < c->n_boxes; i++)
        if (c->boxes[i].number == number)
            return &c->boxes[i];
    if (!make)
        return NULL;
    if (c->n_boxes == c->cap_boxes) {
        size_t cap = c->cap_boxes == 0 ? 64 : c->cap_boxes * 2;
        struct box *grown = realloc(c->boxes, cap * sizeof(*grown));

        if (grown == NULL)
            return NULL;
        c->boxes = grown;
        c->cap_boxes = cap;
    }
    c->boxes[c->n_boxes] = (struct box){.number = number};
    return &c->boxes[c->n_boxes++];
}

static void
end_box(struct check *c, const struct box *b)
{
    const struct row_status *is = &b->status, *counted = &b->counted;

    if (!b->has_row || !b->has_status)
        wrong(c, "mailbox %" PRIu64 " of account %" PRIu64 " has only one of its two rows", b->number,
              c->account);
    if (b->alive && !b->named)
        wrong(c, "mailbox %" PRIu64 " of account %" PRIu64 " has no name", b->number, c->account);
    if (is->messages != counted->messages || is->unseen != counted->unseen ||
        is->deleted != counted->deleted || is->bytes != counted->bytes)
        wrong(c,
              "mailbox %" PRIu64 " of account %" PRIu64 " counts %u messages, %u unseen, %u deleted, %" PRIu64
              " bytes; there are %u, %u, %u, %" PRIu64,
              b->number, c->account, is->messages, is->unseen, is->deleted, is->bytes, counted->messages,
              counted->unseen, counted->deleted, counted->bytes);
    if (counted->uidnext >= is->uidnext && counted->uidnext != 0)
        wrong(c, "mailbox %" PRIu64 " of account %" PRIu64 " has UID %u, and %u is to be given next",
              b->number, c->account, counted->uidnext, is->uidnext);
    if (counted->modseq > is->modseq)
        wrong(c, "mailbox %" PRIu64 " of account %" PRIu64 " has a change %" PRIu64 " later than %" PRIu64,
              b->number, c->account, counted->modseq, is->modseq);
}

static void
end_account(struct check *c)
{
    if (c->account == 0)
        return;
    c->stats.accounts++;
    c->stats.messages += c->messages;
    if (!c->has_account || !c->has_usage)
        wrong(c, "account %" PRIu64 " has no account or no usage row", c->account);
    if (c->has_usage && (c->usage.bytes != c->bytes || c->usage.messages != c->messages))
        wrong(c,
              "account %" PRIu64 " counts %" PRIu64 " messages, %" PRIu64 " bytes; there are %" PRIu64
              ", %" PRIu64,
              c->account, c->usage.messages, c->usage.bytes, c->messages, c->bytes);
    if (c->has_usage && c->modseq > c->usage.modseq)
        wrong(c, "account %" PRIu64 " has a change %" PRIu64 " later than its last, %" PRIu64, c->account,
              c->modseq, c->usage.modseq);
    for (size_t i = 0; i < c->n_boxes; i++)
        end_box(c, &c->boxes[i]);
    for (size_t i = 0; i < KEYWORDS; i++)
        if (c->keywords[i] == 1)
            wrong(c, "keyword %zu of account %" PRIu64 " has no name", i, c->account);
}

static void
begin_account(struct check *c, uint64_t account)
{
    end_account(c);
    c->account = account;
    c->has_account = c->has_usage = c->dying = false;
    c->usage = (struct row_usage){0};
    c->bytes = c->messages = c->modseq = 0;
    c->n_boxes = 0;
    memset(c->keywords, 0, sizeof(c->keywords));
}

static bool
has_place(struct slice places, uint64_t mailbox, uint64_t uid)
{
    struct row_place place;

    while (row_place_take(&places, &place))
        if (place.mailbox == mailbox && place.uid == uid)
            return true;
    return false;
}

static enum status
check_message(struct check *c, const struct row_key *k, struct slice value)
{
    struct box *b = box_of(c, k->part[0], true);
    struct row_message m;
    struct row_email email;
    uint16_t keyword;
    enum status st;

    if (b == NULL)
        return err_set(c->err, ST_MEMORY, "check: no memory");
    if (!row_message_get(value, &m))
        return ST_OK;
    c->messages++;
    c->bytes += m.size;
    b->counted.messages++;
    b->counted.bytes += m.size;
    b->counted.unseen += (m.flags & FLAG_SEEN) == 0;
    b->counted.deleted += (m.flags & FLAG_DELETED) != 0;
    if (k->part[1] > b->counted.uidnext)
        b->counted.uidnext = (uint32_t)k->part[1];
    if (m.modseq > b->counted.modseq)
        b->counted.modseq = m.modseq;
    while (take_le16(&m.keywords, &keyword))
        c->keywords[keyword] |= 1;
    st = must_have(c, KEY(k->account, ROW_CHANGE, {k->part[0], m.modseq, k->part[1]}), "message", k->account,
                   k->part[1]);
    if (st != ST_OK)
        return st;
    st = get(c, KEY(k->account, ROW_EMAIL, {m.email}));
    if (st == ST_NOTFOUND || (st == ST_OK && (!row_email_get(buf_slice(&c->value), &email) ||
                                              !has_place(email.places, k->part[0], k->part[1]))))
        wrong(c,
              "message %" PRIu64 " in mailbox %" PRIu64 " of account %" PRIu64 ": its email %" PRIu64
              " does not know it",
              k->part[1], k->part[0], k->account, m.email);
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status
check_change(struct check *c, const struct row_key *k, struct slice value)
{
    struct row_change change;
    struct row_message m;
    enum status st;

    if (k->part[1] > c->modseq)
        c->modseq = k->part[1];
    if (!row_change_get(value, &change) || change.gone)
        return ST_OK;
    st = get(c, KEY(k->account, ROW_MESSAGE, {k->part[0], k->part[2]}));
    if (st == ST_NOTFOUND ||
        (st == ST_OK && (!row_message_get(buf_slice(&c->value), &m) || m.modseq != k->part[1])))
        wrong(c,
              "change %" PRIu64 " in mailbox %" PRIu64 " of account %" PRIu64 " is none of message %" PRIu64,
              k->part[1], k->part[0], k->account, k->part[2]);
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status
check_email(struct check *c, const struct row_key *k, struct slice value)
{
    struct row_email email;
    struct row_place place;
    struct number *slot;

    if (!row_email_get(value, &email))
        return ST_OK;
    slot = numbers_put(&c->bodies, email.body);
    if (slot == NULL)
        return err_set(c->err, ST_MEMORY, "check: no memory");
    slot->a++;
    while (row_place_take(&email.places, &place)) {
        enum status st = get(c, KEY(k->account, ROW_MESSAGE, {place.mailbox, place.uid}));

        if (st == ST_NOTFOUND)
            st = get(c, KEY(k->account, ROW_EXPUNGED, {place.mailbox, place.uid}));
        if (st == ST_NOTFOUND)
            wrong(c, "email %" PRIu64 " of account %" PRIu64 " is not in mailbox %" PRIu64 " as %u",
                  k->part[0], k->account, place.mailbox, place.uid);
        else if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status
check_name(struct check *c, const struct row_key *k, uint64_t mailbox)
{
    struct box *b = box_of(c, mailbox, false);
    struct row_mailbox row;
    enum status st = get(c, KEY(k->account, ROW_MAILBOX, {mailbox}));

    if (b != NULL)
        b->named = true;
    if (c->dying && (st == ST_OK || st == ST_NOTFOUND))
        return ST_OK;
    if (st == ST_NOTFOUND || (st == ST_OK && (!row_mailbox_get(buf_slice(&c->value), &row) ||
                                              row.state != ROW_LIVES || !slice_eq(row.name, k->tail))))
        wrong(c,
              "the name \"%.*s\" of account %" PRIu64 " leads to mailbox %" PRIu64 ", which has another one",
              SLICE_ARG(k->tail), k->account, mailbox);
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status
check_box_row(struct check *c, const struct row_key *k, struct slice value)
{
    struct box *b = box_of(c, k->part[0], true);
    struct row_mailbox row;

    if (b == NULL)
        return err_set(c->err, ST_MEMORY, "check: no memory");
    if (k->kind == ROW_STATUS) {
        b->has_status = row_status_get(value, &b->status);
    } else if (row_mailbox_get(value, &row)) {
        b->has_row = true;
        b->alive = row.state == ROW_LIVES;
    }
    return ST_OK;
}

static enum status
check_expunged(struct check *c, const struct row_key *k, struct slice value)
{
    struct row_expunged row;

    if (!row_expunged_get(value, &row))
        return ST_OK;
    return must_have(c, KEY(k->account, ROW_CHANGE, {k->part[0], row.message.modseq, k->part[1]}),
                     "expunged message", k->account, k->part[1]);
}

static enum status
check_small(struct check *c, const struct row_key *k, struct slice value)
{
    struct row_name name;
    struct row_time time;

    if (k->kind == ROW_ACTIVE && row_name_get(value, &name))
        return must_have(c, KEY(k->account, ROW_SCRIPT, {0}, name.name), "the active script", k->account, 0);
    if (k->kind == ROW_MEMORY && row_time_get(value, &time))
        return must_have(c, KEY(k->account, ROW_MEMORY_DUE, {key_time(time.at), k->part[0]}, k->tail),
                         "memory", k->account, k->part[0]);
    if (k->kind == ROW_MEMORY_DUE)
        return must_have(c, KEY(k->account, ROW_MEMORY, {k->part[1]}, k->tail), "memory", k->account,
                         k->part[1]);
    return ST_OK;
}

static enum status
check_account(struct check *c, struct slice value)
{
    struct row_number number;
    struct row_account row;
    enum status st;

    c->has_account = row_account_get(value, &row);
    c->dying = c->has_account && row.state != ROW_LIVES;
    if (!c->has_account || c->dying)
        return ST_OK;
    st = get(c, KEY(0, ROW_ACCOUNT_NAME, {0}, row.name));
    if (st == ST_NOTFOUND ||
        (st == ST_OK && (!row_number_get(buf_slice(&c->value), &number) || number.number != c->account)))
        wrong(c, "account %" PRIu64 " cannot be found by its name \"%.*s\"", c->account, SLICE_ARG(row.name));
    return st == ST_NOTFOUND ? ST_OK : st;
}

static enum status
on_account_row(void *arg, struct slice key, struct slice value)
{
    struct check *c = arg;
    struct row_number number;
    struct row_key k;

    if (is_cancelled(c))
        return ST_CANCELLED;
    if (row_key_get(key, &k) != ST_OK || !row_value_ok(k.kind, value)) {
        wrong(c, "a row behind those of account %" PRIu64 " cannot be read", c->account);
        return ST_OK;
    }
    if (k.account != c->account)
        begin_account(c, k.account);
    switch (k.kind) {
    case ROW_ACCOUNT:
        return check_account(c, value);
    case ROW_USAGE:
        c->has_usage = row_usage_get(value, &c->usage);
        return ST_OK;
    case ROW_MAILBOX:
    case ROW_STATUS:
        return check_box_row(c, &k, value);
    case ROW_NAME:
        return row_number_get(value, &number) ? check_name(c, &k, number.number) : ST_OK;
    case ROW_MESSAGE:
        return check_message(c, &k, value);
    case ROW_CHANGE:
        return check_change(c, &k, value);
    case ROW_EXPUNGED:
        return check_expunged(c, &k, value);
    case ROW_EMAIL:
        return check_email(c, &k, value);
    case ROW_KEYWORD:
        c->keywords[k.part[0]] |= 2;
        return ST_OK;
    default:
        return check_small(c, &k, value);
    }
}

/* --- what was counted over all --- */

static enum status
check_refs(struct check *c)
{
    for (size_t i = 0; i < c->bodies.cap; i++) {
        const struct number *body = &c->bodies.slots[i];
        struct row_number refs = {0};
        enum status st;

        if (!body->used)
            continue;
        if (body->b == 0) {
            wrong(c, "body %" PRIu64 " is missing; %" PRIu64 " refer to it", body->key, body->a);
            continue;
        }
        st = get(c, KEY(0, ROW_REFS, {body->key}));
        if (st != ST_OK && st != ST_NOTFOUND)
            return st;
        if (st == ST_OK && row_number_get(buf_slice(&c->value), &refs) && refs.number != body->a)
            wrong(c, "body %" PRIu64 " counts %" PRIu64 " references; there are %" PRIu64, body->key,
                  refs.number, body->a);
    }
    return ST_OK;
}

static enum status
check_live(struct check *c)
{
    for (size_t i = 0; i < c->n_segments; i++) {
        const struct number *counted = numbers_get(&c->live, c->segments[i].number);
        uint64_t live = counted != NULL ? counted->a : 0;
        struct row_segment row = {0};
        enum status st = get(c, KEY(0, ROW_SEGMENT, {c->segments[i].number}));

        if (st != ST_OK && st != ST_NOTFOUND)
            return st;
        if (st == ST_OK && !row_segment_get(buf_slice(&c->value), &row))
            continue;
        if (row.live != live)
            wrong(c, "segment %" PRIx64 " counts %" PRIu64 " live bytes; there are %" PRIu64,
                  c->segments[i].number, row.live, live);
    }
    return ST_OK;
}

static enum status
no_record(void *arg, const struct log_record *r, struct log_place body)
{
    return ST_OK;
}

/* The bytes themselves. A side segment that no row adopted is somebody's work in progress. */
static enum status
check_bytes(struct check *c)
{
    for (size_t i = 0; i < c->n_segments; i++) {
        uint64_t number = c->segments[i].number;
        struct err err = {0};
        enum status st = c->segments[i].kind == LOG_SIDE ? get(c, KEY(0, ROW_SEGMENT, {number})) : ST_OK;

        if (st == ST_NOTFOUND)
            continue;
        if (st == ST_OK && is_cancelled(c))
            st = ST_CANCELLED;
        if (st != ST_OK)
            return st;
        c->stats.segments++;
        st = c->segments[i].kind == LOG_SIDE ? log_check_side(c->log, number, &err)
                                             : log_scan_segment(c->log, number, no_record, NULL, &err);
        if (st == ST_CORRUPT || st == ST_NOTFOUND)
            wrong(c, "%s", err.text);
        else if (st != ST_OK)
            return err_set(c->err, st, "%s", err.text);
    }
    return ST_OK;
}

static enum status
check_all(struct check *c)
{
    AUTO_BUF middle = BUF_INIT(16);
    enum status st;

    buf_put_be64(&middle, 1);
    c->snapshot = index_snapshot_new(c->index);
    if (!buf_ok(&middle) || c->snapshot == NULL)
        return err_set(c->err, ST_MEMORY, "check: no memory");
    /* After the snapshot: so that every segment that its rows name is among them. */
    st = log_segments(c->log, &c->segments, &c->n_segments, c->err);
    if (st == ST_OK)
        st = check_bytes(c);
    if (st == ST_OK)
        st = index_scan(c->index, c->snapshot, SLICE(""), buf_slice(&middle), on_shard_row, c, c->err);
    if (st == ST_OK)
        st = index_scan(c->index, c->snapshot, buf_slice(&middle), SLICE(""), on_account_row, c, c->err);
    if (st != ST_OK)
        return st;
    end_account(c);
    st = check_refs(c);
    return st == ST_OK ? check_live(c) : st;
}

enum status
check_store(struct log *log, struct index *index, void (*line)(void *arg, const char *text), void *arg,
            const bool *cancel, struct check_stats *stats, struct err *err)
{
    struct check *c = calloc(1, sizeof(*c));
    enum status st;

    if (c == NULL)
        return err_set(err, ST_MEMORY, "check: no memory");
    c->log = log;
    c->index = index;
    c->line = line;
    c->arg = arg;
    c->cancel = cancel;
    c->err = err;
    c->value = BUF_INIT(ROW_MAX);
    st = check_all(c);
    if (st == ST_OK && c->stats.wrong > 0)
        st = err_set(err, ST_CORRUPT, "check: %" PRIu64 " things are wrong", c->stats.wrong);
    *stats = c->stats;
    index_snapshot_free(index, c->snapshot);
    numbers_done(&c->bodies);
    numbers_done(&c->live);
    buf_done(&c->value);
    free(c->segments);
    free(c->boxes);
    free(c);
    return st;
}
