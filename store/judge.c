#include "store/judge.h"

#include <stdlib.h>

#include "store/judge_rows.h"
#include "store/bugs.h"

#define REPLY_MOST   (1u << 20)
#define TOUCHED_MOST (1u << 20)

void
outcome_init(struct outcome *out)
{
    *out = (struct outcome){
        .meta = BUF_INIT(LOG_BATCH_MAX), .reply = BUF_INIT(REPLY_MOST), .touched = BUF_INIT(TOUCHED_MOST)};
}

void
outcome_clear(struct outcome *out)
{
    out->type = 0;
    out->more = false;
    buf_clear(&out->meta);
    buf_clear(&out->reply);
    buf_clear(&out->touched);
}

void
outcome_done(struct outcome *out)
{
    buf_done(&out->meta);
    buf_done(&out->reply);
    buf_done(&out->touched);
}

void
judge_touch(struct outcome *out, uint64_t account, uint64_t mailbox, uint64_t modseq)
{
    struct touch t = {account, mailbox, modseq};

    buf_put(&out->touched, slice_from(&t, sizeof(t)));
}

/* Every row that the judge reads was made by it: one that cannot be read is damage. */
#define ROW_READ(tag)                                                                                        \
    static enum status read_##tag(struct judge *j, const struct row_key *key, struct row_##tag *row)         \
    {                                                                                                        \
        struct slice value;                                                                                  \
        enum status st = view_get(j->view, key, &value);                                                     \
                                                                                                             \
        if (st != ST_OK)                                                                                     \
            return st;                                                                                       \
        return row_##tag##_get(value, row) ? ST_OK : ST_CORRUPT;                                             \
    }
ROW_READ(account)
ROW_READ(usage)
ROW_READ(mailbox)
ROW_READ(status)
ROW_READ(number)
ROW_READ(shard)
ROW_READ(segment)
ROW_READ(body)

enum status
judge_open(struct judge *j, uint64_t account, struct judge_account *a)
{
    struct slice why;
    enum status st;

    if (account == 0)
        return ST_STALE;
    a->number = account;
    st = read_account(j, JUDGE_KEY(account, ROW_ACCOUNT), &a->row);
    if (st == ST_NOTFOUND || (st == ST_OK && a->row.state != ROW_LIVES))
        return ST_STALE;
    if (st == ST_OK)
        st = read_usage(j, JUDGE_KEY(account, ROW_USAGE), &a->usage);
    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_CORRUPT : st;
    st = view_get(j->view, JUDGE_KEY(0, ROW_BROKEN, {account}), &why);
    return st == ST_NOTFOUND ? ST_OK : ST_UNAVAILABLE;
}

enum status
judge_box(struct judge *j, uint64_t account, uint64_t mailbox, struct judge_box *box)
{
    enum status st = read_mailbox(j, JUDGE_KEY(account, ROW_MAILBOX, {mailbox}), &box->row);

    box->number = mailbox;
    if (st == ST_NOTFOUND || (st == ST_OK && box->row.state != ROW_LIVES))
        return ST_STALE;
    if (st == ST_OK)
        st = read_status(j, JUDGE_KEY(account, ROW_STATUS, {mailbox}), &box->status);
    return st == ST_NOTFOUND ? ST_CORRUPT : st;
}

enum status
judge_box_named(struct judge *j, uint64_t account, struct slice name, uint64_t *mailbox)
{
    struct row_number row;
    enum status st;

    if (name.n > JUDGE_NAME_MAX)
        return ST_NOTFOUND;
    st = read_number(j, JUDGE_KEY(account, ROW_NAME, {0}, name), &row);
    if (st == ST_OK)
        *mailbox = row.number;
    return st;
}

enum status
judge_shard(struct judge *j, struct row_shard *shard)
{
    uint64_t first = (j->shard & 0xffff) << 48 | 1; /* numbers of two shards never meet */
    enum status st = read_shard(j, JUDGE_KEY(0, ROW_SHARD), shard);

    if (st != ST_NOTFOUND)
        return st;
    *shard = (struct row_shard){first, first, first, first};
    return ST_OK;
}

enum status
judge_request(struct judge *j, struct slice request, struct row_request *row)
{
    struct slice value;
    enum status st;

    if (request.n != 16)
        return ST_SYNTAX;
    st = view_get(j->view, JUDGE_KEY(0, ROW_REQUEST, {0}, request), &value);
    if (st != ST_OK)
        return st;
    return row_request_get(value, row) ? ST_OK : ST_CORRUPT;
}

enum status
judge_account_named(struct judge *j, struct slice name, uint64_t *account)
{
    struct row_number row;
    struct judge_account a;
    enum status st;

    if (name.n == 0 || name.n > ROW_TAIL_MAX)
        return ST_NOTFOUND;
    st = read_number(j, JUDGE_KEY(0, ROW_ACCOUNT_NAME, {0}, name), &row);
    if (st == ST_OK)
        st = judge_open(j, row.number, &a);
    if (st == ST_OK)
        *account = row.number;
    return st == ST_STALE ? ST_NOTFOUND : st;
}

enum status
judge_fits(const struct judge_account *a, uint64_t bytes)
{
    uint64_t sum;

    if (a->row.quota != 0 && (__builtin_add_overflow(a->usage.bytes, bytes, &sum) || sum > a->row.quota))
        return ST_QUOTA;
    if (a->row.quota_messages != 0 && a->usage.messages >= a->row.quota_messages)
        return ST_QUOTA;
    return ST_OK;
}

enum status
judge_room(struct judge *j, uint64_t account, uint64_t bytes)
{
    struct judge_account a;
    enum status st = judge_open(j, account, &a);

    return st == ST_OK ? judge_fits(&a, bytes) : st;
}

void
judge_count(struct row_usage *usage, struct row_status *status, const struct row_message *before,
            const struct row_message *after)
{
    if (before != NULL) {
        usage->bytes -= before->size;
        usage->messages--;
        status->bytes -= before->size;
        status->messages--;
        status->unseen -= (before->flags & FLAG_SEEN) == 0;
        status->deleted -= (before->flags & FLAG_DELETED) != 0;
    }
    if (after != NULL) {
        usage->bytes += after->size;
        usage->messages++;
        status->bytes += after->size;
        status->messages++;
        status->unseen += (after->flags & FLAG_SEEN) == 0;
        status->deleted += (after->flags & FLAG_DELETED) != 0;
    }
}

/* --- keywords --- */

struct keyword_find {
    struct slice name;
    uint16_t number;
};

static enum status
same_keyword(void *arg, struct slice key, struct slice value)
{
    struct keyword_find *find = arg;
    struct row_key k;
    struct row_name row;

    if (row_key_get(key, &k) != ST_OK || !row_name_get(value, &row))
        return ST_CORRUPT;
    if (!slice_eq_nocase(row.name, find->name)) /* RFC 9051 2.3.2: keywords know no case */
        return ST_OK;
    find->number = (uint16_t)k.part[0];
    return ST_EXISTS;
}

/* Is it in a packed list of record_keyword? */
static bool
keyword_in(struct slice list, struct slice name, uint16_t *number)
{
    struct record_keyword k;

    while (record_keyword_take(&list, &k))
        if (slice_eq_nocase(k.name, name)) {
            *number = k.number;
            return true;
        }
    return false;
}

static enum status
keyword_number(struct judge *j, struct judge_account *a, struct slice name, struct buf *fresh, struct buf *known,
               uint16_t *number)
{
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);
    struct keyword_find find = {name, 0};
    enum status st;

    if (keyword_in(buf_slice(fresh), name, number) || keyword_in(buf_slice(known), name, number))
        return ST_OK;
    row_prefix_put(&from, JUDGE_KEY(a->number, ROW_KEYWORD), 0);
    row_range_end(&to, buf_slice(&from));
    st = index_scan(j->index, NULL, buf_slice(&from), buf_slice(&to), same_keyword, &find, NULL);
    if (st == ST_EXISTS) {
        *number = find.number;
        record_keyword_put(known, &(struct record_keyword){a->number, *number, name});
        return ST_OK;
    }
    if (st != ST_OK)
        return st;
    if (a->usage.keyword_next > JUDGE_KEYWORDS_MAX || name.n == 0 || name.n > 255)
        return ST_LIMIT;
    *number = a->usage.keyword_next++;
    record_keyword_put(fresh, &(struct record_keyword){a->number, *number, name});
    return ST_OK;
}

static int
by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

enum status
judge_keywords(struct judge *j, struct judge_account *a, struct slice names, struct buf *fresh,
               struct buf *known, struct buf *numbers)
{
    uint16_t list[JUDGE_KEYWORDS_MAX + 1];
    struct msg_name m;
    size_t n = 0;

    while (names.n > 0) {
        enum status st;

        if (!msg_name_take(&names, &m))
            return ST_SYNTAX;
        if (n > JUDGE_KEYWORDS_MAX)
            return ST_LIMIT;
        st = keyword_number(j, a, m.name, fresh, known, &list[n]);
        if (st != ST_OK)
            return st;
        n++;
    }
    qsort(list, n, sizeof(list[0]), by_number);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || list[i] != list[i - 1])
            buf_put_le16(numbers, list[i]);
    return ST_OK;
}

/* --- references and live bytes --- */

void
judge_counts_done(struct judge_counts *c)
{
    free(c->refs);
    free(c->live);
    *c = COUNTS_INIT;
}

/* Lists are as long as a slice has messages, and mostly one body or segment after the other: looked for from
 * the end. */
static void
count(struct judge_counts *c, struct judge_count_row **rows, size_t *n, size_t *cap, uint64_t number,
      int64_t change, uint64_t born)
{
    for (size_t i = *n; i > 0; i--)
        if ((*rows)[i - 1].number == number) {
            (*rows)[i - 1].change += change;
            (*rows)[i - 1].born += born;
            return;
        }
    if (*n == *cap) {
        size_t wanted = *cap == 0 ? 8 : *cap * 2;
        struct judge_count_row *grown = realloc(*rows, wanted * sizeof(**rows));

        if (grown == NULL) {
            c->failed = true;
            return;
        }
        *rows = grown;
        *cap = wanted;
    }
    (*rows)[(*n)++] = (struct judge_count_row){number, change, born};
}

void
judge_ref(struct judge_counts *c, uint64_t body, int64_t change)
{
    count(c, &c->refs, &c->n_refs, &c->cap_refs, body, change, 0);
}

void
judge_born(struct judge_counts *c, uint64_t segment, uint64_t bytes)
{
    count(c, &c->live, &c->n_live, &c->cap_live, segment, (int64_t)bytes, bytes);
}

static enum status
body_dies(struct judge *j, struct judge_counts *c, uint64_t body)
{
    struct row_body row;
    struct row_extent extent;
    enum status st = read_body(j, JUDGE_KEY(0, ROW_BODY, {body}), &row);

    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_CORRUPT : st;
    while (row_extent_take(&row.extents, &extent))
        count(c, &c->live, &c->n_live, &c->cap_live, extent.segment, -(int64_t)extent.n, 0);
    return ST_OK;
}

enum status
judge_counts_put(struct judge *j, struct judge_counts *c, struct buf *refs, struct buf *segments)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < c->n_refs && st == ST_OK; i++) {
        struct row_number now = {0};

        st = read_number(j, JUDGE_KEY(0, ROW_REFS, {c->refs[i].number}), &now);
        if (st != ST_OK)
            return st == ST_NOTFOUND ? ST_CORRUPT : st;
        if (c->refs[i].change < 0 && now.number < (uint64_t)-c->refs[i].change)
            return ST_CORRUPT;
        now.number += (uint64_t)c->refs[i].change;
        if (BUG(refs_ignored) && c->refs[i].change < 0)
            now.number = 0;
        record_ref_put(refs, &(struct record_ref){c->refs[i].number, now.number});
        if (now.number == 0)
            st = body_dies(j, c, c->refs[i].number);
    }
    for (size_t i = 0; i < c->n_live && st == ST_OK; i++) {
        struct row_segment row = {0};

        st = read_segment(j, JUDGE_KEY(0, ROW_SEGMENT, {c->live[i].number}), &row);
        if (st == ST_NOTFOUND && c->live[i].change >= 0) /* the first body there, perhaps an empty one */
            st = ST_OK;
        if (st != ST_OK)
            return st == ST_NOTFOUND ? ST_CORRUPT : st;
        row.live += (uint64_t)c->live[i].change;
        row.size += c->live[i].born;
        record_live_put(segments, &(struct record_live){c->live[i].number, 0, row});
    }
    return c->failed ? ST_MEMORY : st;
}

/* --- ranges --- */

struct messages {
    judge_each *fn;
    void *arg;
};

static enum status
on_message_row(void *arg, struct slice key, struct slice value)
{
    struct messages *m = arg;
    struct row_key k;
    struct row_message row;

    if (row_key_get(key, &k) != ST_OK || !row_message_get(value, &row))
        return ST_CORRUPT;
    return m->fn(m->arg, (uint32_t)k.part[1], &row);
}

enum status
judge_messages(struct judge *j, uint64_t account, uint64_t mailbox, uint32_t first, uint32_t last,
               judge_each *fn, void *arg)
{
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);
    struct messages m = {fn, arg};

    row_key_put(&from, JUDGE_KEY(account, ROW_MESSAGE, {mailbox, first}));
    if (last == UINT32_MAX)
        row_prefix_put(&to, JUDGE_KEY(account, ROW_MESSAGE, {mailbox + 1}), 1);
    else
        row_key_put(&to, JUDGE_KEY(account, ROW_MESSAGE, {mailbox, (uint64_t)last + 1}));
    if (!buf_ok(&from) || !buf_ok(&to))
        return ST_MEMORY;
    return index_scan(j->index, NULL, buf_slice(&from), buf_slice(&to), on_message_row, &m, NULL);
}
