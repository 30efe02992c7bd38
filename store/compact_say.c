/* The records of a compaction, judged by the present. */
#include "store/compact_inside.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/bugs.h"

#define SLICE_ITEMS 400u          /* rows of one record */
#define SLICE_BYTES (256u * 1024) /* and about so many bytes */

struct saying {
    struct compact *c;
    const struct compact_present *present;
    struct buf *meta;
    uint16_t *type;
    struct err *err;
};

static enum status
now(struct saying *s, const struct row_key *key, struct slice *value)
{
    return s->present->get(s->present->arg, key, value);
}

/* The segment's row as it is; zeros when there is none. */
static enum status
segment_now(struct saying *s, uint64_t number, struct row_segment *row)
{
    struct slice value;
    enum status st = now(s, KEY(0, ROW_SEGMENT, {number}), &value);

    *row = (struct row_segment){0};
    if (st == ST_NOTFOUND)
        return ST_OK;
    if (st == ST_OK && !row_segment_get(value, row))
        return err_set(s->err, ST_CORRUPT, "compact: bad row of segment %" PRIx64, number);
    return st;
}

static enum status
put_side(struct saying *s, uint64_t more, struct buf *segments)
{
    struct compact *c = s->c;
    struct row_segment row;
    enum status st = segment_now(s, c->side_number, &row);

    if (st != ST_OK)
        return st;
    c->side_row.live = row.live + more;
    record_live_put(segments, &(struct record_live){c->side_number, 0, c->side_row});
    return ST_OK;
}

static void
next_step(struct compact *c)
{
    c->step++;
    c->at = 0;
}

/* The images that were made, but for accounts that died meanwhile. */
static enum status
put_new_images(struct saying *s, struct buf *images, size_t *count)
{
    struct record_imaged i;
    struct slice value;
    enum status st = ST_OK;

    while (*count < SLICE_ITEMS && s->c->left.n > 0 && st == ST_OK) {
        if (!record_imaged_take(&s->c->left, &i))
            return ST_CORRUPT;
        st = i.account == 0 ? ST_OK : now(s, KEY(i.account, ROW_ACCOUNT), &value);
        if (st == ST_OK) {
            record_imaged_put(images, &i);
            ++*count;
        } else if (st == ST_NOTFOUND) {
            st = ST_OK;
        }
    }
    return st;
}

/* The older ones that are good still, said again. */
static enum status
put_old_images(struct saying *s, struct buf *images, size_t *count)
{
    struct compact *c = s->c;
    enum status st = ST_OK;

    for (; *count < SLICE_ITEMS && c->at < c->accounts.n && st == ST_OK; c->at++) {
        const struct number *account = &c->accounts.slots[c->at];
        struct row_image row;
        struct slice value;

        if (account->a & FRESH)
            continue;
        st = now(s, KEY(0, ROW_IMAGE, {account->key}), &value);
        if (st == ST_OK && row_image_get(value, &row)) {
            record_imaged_put(images, &(struct record_imaged){account->key, row});
            ++*count;
        } else if (st == ST_NOTFOUND) {
            st = ST_OK;
        }
    }
    return st;
}

static enum status
say_adopt(struct saying *s)
{
    AUTO_BUF segments = BUF_INIT(1024), images = BUF_INIT(SLICE_BYTES);
    struct compact *c = s->c;
    size_t count = 0;
    enum status st = put_new_images(s, &images, &count);

    if (st == ST_OK)
        st = put_old_images(s, &images, &count);
    if (st == ST_OK && c->side_number != 0)
        st = put_side(s, 0, &segments);
    if (c->left.n == 0 && c->at == c->accounts.n)
        next_step(c);
    if (st != ST_OK || (count == 0 && segments.n == 0))
        return st;
    if (!buf_ok(&segments) || !buf_ok(&images))
        return ST_MEMORY;
    *s->type = RECORD_ADOPT;
    record_adopt_write(s->meta, &(struct record_adopt){buf_slice(&segments), buf_slice(&images)});
    return ST_OK;
}

/* What a record of moved bodies changes in the counters of segments. */
static enum status
put_lives(struct saying *s, const uint64_t *moved, struct buf *segments)
{
    struct compact *c = s->c;
    uint64_t sum = 0;

    for (size_t i = 0; i < c->n_victims; i++) {
        struct row_segment row;
        enum status st = moved[i] == 0 ? ST_OK : segment_now(s, c->victims[i].number, &row);

        if (st != ST_OK)
            return st;
        if (moved[i] == 0)
            continue;
        if (row.live < moved[i])
            return err_set(s->err, ST_CORRUPT,
                           "compact: segment %" PRIx64 " has more live bytes than it says",
                           c->victims[i].number);
        row.live -= moved[i];
        sum += moved[i];
        record_live_put(segments, &(struct record_live){c->victims[i].number, 0, row});
    }
    return put_side(s, sum, segments);
}

static enum status
say_bodies(struct saying *s)
{
    AUTO_BUF bodies = BUF_INIT(2 * SLICE_BYTES), segments = BUF_INIT(SLICE_BYTES), extents = BUF_INIT(1024);
    struct compact *c = s->c;
    uint64_t *moved = calloc(c->n_victims + 1, sizeof(*moved));
    size_t count = 0;
    enum status st = moved != NULL ? ST_OK : ST_MEMORY;

    for (; st == ST_OK && count < SLICE_ITEMS && c->at < c->bodies.n; c->at++) {
        uint64_t body = c->bodies.slots[c->at].key;
        struct row_body row = {0};
        struct slice value;
        bool changed = false;

        st = now(s, KEY(0, ROW_BODY, {body}), &value);
        if (st == ST_NOTFOUND) { /* it died meanwhile */
            st = ST_OK;
            continue;
        }
        if (st == ST_OK && !row_body_get(value, &row))
            st = ST_CORRUPT;
        if (st == ST_OK)
            st = compact_moved(c, &row, &extents, moved, &changed);
        if (st != ST_OK) {
            (void)err_set(s->err, st, "compact: body %" PRIu64 " cannot be moved", body);
        } else if (changed) {
            record_moved_body_put(&bodies, &(struct record_moved_body){body, row});
            count++;
        }
    }
    if (st == ST_OK && count > 0)
        st = put_lives(s, moved, &segments);
    if (st == ST_OK && (!buf_ok(&bodies) || !buf_ok(&segments)))
        st = ST_MEMORY;
    free(moved);
    if (st == ST_OK && c->at == c->bodies.n)
        next_step(c);
    if (st != ST_OK || count == 0)
        return st;
    c->stats.bodies += count;
    *s->type = RECORD_MOVED;
    record_moved_write(s->meta, &(struct record_moved){buf_slice(&bodies), buf_slice(&segments)});
    return ST_OK;
}

/* Queue entries as they are, or that they are gone; and the numbers to give next. */
static enum status
say_queue(struct saying *s)
{
    AUTO_BUF queue = BUF_INIT(4 * SLICE_BYTES);
    struct compact *c = s->c;
    struct row_shard shard = {0};
    struct slice value;
    enum status st = ST_OK;

    for (size_t count = 0; st == ST_OK && count < SLICE_ITEMS && queue.n < SLICE_BYTES && c->at < c->queue.n;
         c->at++) {
        const struct number *entry = &c->queue.slots[c->at];
        struct record_queued q = {.id = entry->key, .on = 1, .known = 1};

        st = now(s, KEY(0, ROW_QUEUE, {entry->key}), &value);
        if (st == ST_NOTFOUND && compact_haunts(c, entry->a) && !BUG(death_unsaid)) {
            q.on = q.known = 0;
            st = ST_OK;
        } else if (st == ST_NOTFOUND) {
            st = ST_OK;
            continue;
        } else if (BUG(queue_unsaid)) {
            continue;
        } else if (st == ST_OK && row_queue_get(value, &q.row)) {
            q.old_class = q.row.class;
            q.old_due = q.row.due;
        } else {
            return st == ST_OK ? err_set(s->err, ST_CORRUPT, "compact: bad queue row") : st;
        }
        record_queued_put(&queue, &q);
        count++;
    }
    if (st == ST_OK)
        st = now(s, KEY(0, ROW_SHARD), &value);
    if (st == ST_OK && !row_shard_get(value, &shard))
        st = err_set(s->err, ST_CORRUPT, "compact: bad shard row");
    if (st != ST_OK && st != ST_NOTFOUND)
        return st;
    if (c->at == c->queue.n)
        next_step(c);
    if (st == ST_NOTFOUND) /* a store where nothing was ever given a number */
        return ST_OK;
    if (!buf_ok(&queue))
        return ST_MEMORY;
    *s->type = RECORD_QUEUE;
    record_queue_write(s->meta, &(struct record_queue){.shard = shard, .queue = buf_slice(&queue)});
    return ST_OK;
}

/* One request that may still be asked again: a delivery that delivers nothing. */
static enum status
say_request(struct saying *s)
{
    struct compact *c = s->c;
    struct record_deliver r = {0};
    struct slice value;

    for (; c->at + 16 <= c->requests.n; c->at += 16) {
        enum status st;

        r.request = slice_sub(buf_slice(&c->requests), c->at, 16);
        st = now(s, KEY(0, ROW_REQUEST, {0}, r.request), &value);
        if (st == ST_NOTFOUND)
            continue;
        if (st == ST_OK && !row_request_get(value, &r.answer))
            st = err_set(s->err, ST_CORRUPT, "compact: bad request row");
        if (st != ST_OK)
            return st;
        if (r.answer.expires <= c->settings.now)
            continue;
        st = now(s, KEY(0, ROW_SHARD), &value);
        if (st != ST_OK || !row_shard_get(value, &r.shard))
            return err_set(s->err, ST_CORRUPT, "compact: bad shard row");
        c->at += 16;
        *s->type = RECORD_DELIVER;
        record_deliver_write(s->meta, &r);
        return ST_OK;
    }
    next_step(c);
    return ST_OK;
}

static enum status
say_erase(struct saying *s)
{
    struct compact *c = s->c;
    struct slice value;

    for (; c->at < c->accounts.n; c->at++) {
        const struct number *account = &c->accounts.slots[c->at];
        enum status st;

        if (!compact_haunts(c, account->a) || BUG(erase_unsaid))
            continue;
        st = now(s, KEY(account->key, ROW_ACCOUNT), &value);
        if (st == ST_OK)
            continue;
        if (st != ST_NOTFOUND)
            return st;
        c->at++;
        *s->type = RECORD_ACCOUNT_ERASE;
        record_account_erase_write(s->meta, &(struct record_account_erase){account->key});
        return ST_OK;
    }
    next_step(c);
    return ST_OK;
}

static enum status
put_old_table(struct saying *s, uint64_t segment, struct buf *images)
{
    struct row_image row;
    struct slice value;
    enum status st = now(s, KEY(0, ROW_TABLE, {segment}), &value);

    if (st == ST_OK && !row_image_get(value, &row))
        return err_set(s->err, ST_CORRUPT, "compact: bad table row");
    if (st == ST_OK)
        record_imaged_put(images, &(struct record_imaged){0, row});
    return st == ST_NOTFOUND ? ST_OK : st;
}

/* Other segments that were spoken of, as they are, with their tables. */
static enum status
say_segments(struct saying *s)
{
    AUTO_BUF segments = BUF_INIT(SLICE_BYTES), images = BUF_INIT(SLICE_BYTES);
    struct compact *c = s->c;
    enum status st = ST_OK;

    for (size_t count = 0; st == ST_OK && count < SLICE_ITEMS && c->at < c->segments.n; c->at++) {
        const struct number *segment = &c->segments.slots[c->at];
        struct record_live live = {.segment = segment->key};
        struct slice value;

        if (compact_victim(c, segment->key) != NULL)
            continue;
        st = now(s, KEY(0, ROW_SEGMENT, {segment->key}), &value);
        if (st == ST_NOTFOUND && (segment->a & DIED) && c->older) {
            live.gone = 1;
            st = ST_OK;
        } else if (st == ST_NOTFOUND) {
            st = ST_OK;
            continue;
        } else if (st == ST_OK && !row_segment_get(value, &live.row)) {
            st = err_set(s->err, ST_CORRUPT, "compact: bad row of segment %" PRIx64, segment->key);
        }
        if (st == ST_OK && !live.gone)
            st = put_old_table(s, segment->key, &images);
        record_live_put(&segments, &live);
        count++;
    }
    if (st == ST_OK && c->at == c->segments.n)
        next_step(c);
    if (st != ST_OK || segments.n == 0)
        return st;
    *s->type = RECORD_ADOPT;
    record_adopt_write(s->meta, &(struct record_adopt){buf_slice(&segments), buf_slice(&images)});
    return buf_ok(&segments) && buf_ok(&images) ? ST_OK : ST_MEMORY;
}

/* The segments go: their rows first, then, for main ones, the log is told. Only if nothing refers to them any
 * more. */
static enum status
say_gone(struct saying *s)
{
    AUTO_BUF segments = BUF_INIT(SLICE_BYTES);
    struct compact *c = s->c;

    if (c->at == 1) {
        for (size_t i = 0; i < c->n_victims; i++)
            if (c->victims[i].kind == LOG_MAIN)
                buf_put_le64(s->meta, c->victims[i].number);
        if (s->meta->n > 0)
            *s->type = LOG_GONE;
        next_step(c);
        return ST_OK;
    }
    for (size_t i = 0; i < c->n_victims; i++) {
        struct row_segment row;
        enum status st = segment_now(s, c->victims[i].number, &row);

        if (st == ST_OK && row.live != 0)
            st = err_set(s->err, ST_CORRUPT,
                         "compact: something refers to %" PRIu64 " bytes of segment %" PRIx64
                         ", and is not known: run a check",
                         row.live, c->victims[i].number);
        if (st != ST_OK)
            return st;
        record_live_put(&segments, &(struct record_live){.segment = c->victims[i].number, .gone = 1});
    }
    c->at = 1;
    *s->type = RECORD_ADOPT;
    record_adopt_write(s->meta, &(struct record_adopt){.segments = buf_slice(&segments)});
    return buf_ok(&segments) ? ST_OK : ST_MEMORY;
}

void
compact_again(struct compact *c)
{
    c->step = c->before.step;
    c->at = c->before.at;
    c->left = c->before.left;
}

enum status
compact_next(struct compact *c, const struct compact_present *present, struct buf *meta, uint16_t *type,
             struct err *err)
{
    static enum status (*const steps[])(struct saying *) = {
        [BODIES] = say_bodies, [ADOPT] = say_adopt,       [QUEUE] = say_queue, [REQUESTS] = say_request,
        [ERASES] = say_erase,  [SEGMENTS] = say_segments, [GONE] = say_gone,
    };
    struct saying s = {c, present, meta, type, err};
    enum status st = ST_OK;

    c->before.step = c->step;
    c->before.at = c->at;
    c->before.left = c->left;
    buf_clear(meta);
    *type = 0;
    while (st == ST_OK && *type == 0 && c->step != DONE)
        st = steps[c->step](&s);
    if (st == ST_OK && !buf_ok(meta))
        st = err_set(err, ST_MEMORY, "compact: a record is too large");
    return st;
}
