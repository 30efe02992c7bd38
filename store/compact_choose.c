/* Which segments are worth compacting, and which a purge wants. */
#include "store/compact_inside.h"

#include <inttypes.h>
#include <stdlib.h>

struct candidate {
    uint64_t number, need, total;
};

struct choosing {
    struct index *index;
    struct numbers images, tables; /* a: bytes in a side segment */
    struct err *err;
};

static enum status
sum_images(void *arg, struct slice key, struct slice value)
{
    struct choosing *ch = arg;
    struct row_image image;
    struct row_key k;
    struct number *slot;

    if (row_key_get(key, &k) != ST_OK || !row_image_get(value, &image))
        return err_set(ch->err, ST_CORRUPT, "compact: bad image row");
    slot = numbers_put(k.kind == ROW_TABLE ? &ch->tables : &ch->images, image.segment);
    if (slot == NULL)
        return err_set(ch->err, ST_MEMORY, "compact: no memory");
    slot->a += image.n;
    return ST_OK;
}

static uint64_t
sum_of(const struct numbers *t, uint64_t segment)
{
    const struct number *slot = numbers_get(t, segment);

    return slot != NULL ? slot->a : 0;
}

/* need of total bytes live. ST_NOTFOUND: not to be chosen. */
static enum status
weigh(struct choosing *ch, const struct log_segment *s, struct candidate *c)
{
    AUTO_BUF value = BUF_INIT(256);
    struct row_segment row = {0};
    enum status st = index_get(ch->index, NULL, KEY(0, ROW_SEGMENT, {s->number}), &value, ch->err);

    if (st == ST_NOTFOUND && s->kind == LOG_SIDE)
        return st;
    if (st != ST_OK && st != ST_NOTFOUND)
        return st;
    if (st == ST_OK && !row_segment_get(buf_slice(&value), &row))
        return err_set(ch->err, ST_CORRUPT, "compact: bad row of segment %" PRIx64, s->number);
    c->number = s->number;
    c->need = row.live;
    if (s->kind == LOG_MAIN) { /* metadata lives about as long as the bodies beside it */
        c->total = row.size > 0 ? row.size : s->bytes;
        return ST_OK;
    }
    /* A table alone may be all that is left to keep: no reason to write it again and again. */
    c->need += sum_of(&ch->images, s->number);
    c->total =
        row.size - (sum_of(&ch->tables, s->number) < row.size ? sum_of(&ch->tables, s->number) : row.size);
    return c->total > 0 ? ST_OK : ST_NOTFOUND;
}

static int
by_need(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    double p = (double)x->need / (double)x->total, q = (double)y->need / (double)y->total;

    return (p > q) - (p < q);
}

static enum status
choose_from(struct choosing *ch, const struct log_segment *list, size_t count, unsigned percent,
            uint64_t *numbers, size_t most, size_t *n)
{
    struct candidate *found = calloc(count + 1, sizeof(*found));
    size_t n_found = 0;

    if (found == NULL)
        return err_set(ch->err, ST_MEMORY, "compact: no memory");
    for (size_t i = 0; i < count; i++) {
        struct candidate c = {0};
        enum status st = list[i].current || list[i].gone ? ST_NOTFOUND : weigh(ch, &list[i], &c);

        if (st != ST_OK && st != ST_NOTFOUND) {
            free(found);
            return st;
        }
        if (st == ST_OK && c.need < c.total / 100 * percent + c.total % 100 * percent / 100)
            found[n_found++] = c;
    }
    qsort(found, n_found, sizeof(*found), by_need);
    *n = n_found < most ? n_found : most;
    for (size_t i = 0; i < *n; i++)
        numbers[i] = found[i].number;
    free(found);
    return ST_OK;
}

static enum status
scan_all(struct index *index, enum row_kind kind, index_scan_fn *fn, void *arg, struct err *err)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);

    row_prefix_put(&from, KEY(0, kind), 0);
    row_range_end(&to, buf_slice(&from));
    return buf_ok(&from) && buf_ok(&to)
               ? index_scan(index, NULL, buf_slice(&from), buf_slice(&to), fn, arg, err)
               : err_set(err, ST_MEMORY, "compact: no memory");
}

enum status
compact_choose(struct log *log, struct index *index, unsigned percent, uint64_t *numbers, size_t most,
               size_t *n, struct err *err)
{
    struct choosing ch = {.index = index, .err = err};
    struct log_segment *list = NULL;
    size_t count = 0;
    enum status st = scan_all(index, ROW_IMAGE, sum_images, &ch, err);

    if (st == ST_OK)
        st = scan_all(index, ROW_TABLE, sum_images, &ch, err);
    if (st == ST_OK)
        st = log_segments(log, &list, &count, err);
    if (st == ST_OK)
        st = choose_from(&ch, list, count, percent, numbers, most, n);
    free(list);
    numbers_done(&ch.images);
    numbers_done(&ch.tables);
    return st;
}

static enum status
count_email(void *arg, struct slice key, struct slice value)
{
    struct row_email email;
    struct number *slot;

    if (!row_email_get(value, &email))
        return ST_CORRUPT;
    slot = numbers_put(arg, email.body);
    if (slot == NULL)
        return ST_MEMORY;
    slot->a++;
    return ST_OK;
}

/* The segments of a body that is only this account's. */
static enum status
purge_body(struct index *index, const struct number *body, struct numbers *segments, struct err *err)
{
    AUTO_BUF value = BUF_INIT(1024);
    struct row_number refs;
    struct row_body row;
    struct row_extent e;
    enum status st = index_get(index, NULL, KEY(0, ROW_REFS, {body->key}), &value, err);

    if (st != ST_OK || !row_number_get(buf_slice(&value), &refs) || refs.number > body->a)
        return st == ST_NOTFOUND ? ST_OK : st;
    buf_clear(&value);
    st = index_get(index, NULL, KEY(0, ROW_BODY, {body->key}), &value, err);
    if (st != ST_OK || !row_body_get(buf_slice(&value), &row))
        return st == ST_NOTFOUND ? ST_OK : st;
    while (row_extent_take(&row.extents, &e))
        if (numbers_put(segments, e.segment) == NULL)
            return err_set(err, ST_MEMORY, "compact: no memory");
    return ST_OK;
}

enum status
compact_choose_purge(struct index *index, uint64_t account, struct buf *numbers, struct err *err)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16), value = BUF_INIT(256);
    struct numbers bodies = NUMBERS_INIT, segments = NUMBERS_INIT;
    struct row_image image;
    enum status st;

    row_prefix_put(&from, KEY(account, ROW_EMAIL), 0);
    row_range_end(&to, buf_slice(&from));
    st = buf_ok(&from) && buf_ok(&to)
             ? index_scan(index, NULL, buf_slice(&from), buf_slice(&to), count_email, &bodies, err)
             : err_set(err, ST_SYNTAX, "compact: no account");
    for (size_t i = 0; i < bodies.cap && st == ST_OK; i++)
        if (bodies.slots[i].used)
            st = purge_body(index, &bodies.slots[i], &segments, err);
    if (st == ST_OK) {
        st = index_get(index, NULL, KEY(0, ROW_IMAGE, {account}), &value, err);
        if (st == ST_OK && row_image_get(buf_slice(&value), &image) &&
            numbers_put(&segments, image.segment) == NULL)
            st = err_set(err, ST_MEMORY, "compact: no memory");
        st = st == ST_NOTFOUND ? ST_OK : st;
    }
    numbers_sort(&segments);
    for (size_t i = 0; i < segments.n && st == ST_OK; i++)
        buf_put_le64(numbers, segments.slots[i].key);
    numbers_done(&bodies);
    numbers_done(&segments);
    return st == ST_OK && !buf_ok(numbers) ? err_set(err, ST_MEMORY, "compact: no memory") : st;
}
