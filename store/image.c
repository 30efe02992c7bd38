#include "store/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "store/apply.h"

enum status
image_lsn(struct index *index, const struct index_snapshot *snapshot, uint64_t *lsn, struct err *err)
{
    AUTO_BUF value = BUF_INIT(64);
    struct row_number row;
    enum status st = index_get(index, snapshot, &(struct row_key){0, ROW_APPLIED}, &value, err);

    if (st != ST_OK)
        return st == ST_NOTFOUND ? err_set(err, ST_CORRUPT, "index: no position") : st;
    if (!row_number_get(buf_slice(&value), &row))
        return err_set(err, ST_CORRUPT, "index: bad position");
    *lsn = row.number;
    return ST_OK;
}

/* --- writing --- */

struct image_writer {
    struct record_image chunk;
    struct buf rows, bytes;
    struct log_side *side;
    struct log_place at;
    XXH3_state_t *sum;
    uint64_t n;
};

void
image_drop(struct image_writer *w)
{
    if (w == NULL)
        return;
    buf_done(&w->rows);
    buf_done(&w->bytes);
    (void)XXH3_freeState(w->sum);
    free(w);
}

struct image_writer *
image_begin(struct log_side *side, uint64_t account, uint64_t lsn)
{
    struct image_writer *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    *w = (struct image_writer){
        .chunk = {.account = account, .lsn = lsn},
        .rows = BUF_INIT(IMAGE_CHUNK_MAX - 64),
        .bytes = BUF_INIT(IMAGE_CHUNK_MAX),
        .side = side,
        .at = log_side_at(side),
        .sum = XXH3_createState()
    };
    if (w->sum == NULL || XXH3_64bits_reset(w->sum) != XXH_OK) {
        image_drop(w);
        return NULL;
    }
    return w;
}

static enum status
append(struct image_writer *w, struct slice bytes, struct err *err)
{
    w->n += bytes.n;
    (void)XXH3_64bits_update(w->sum, bytes.p, bytes.n);
    return log_side_append(w->side, bytes, err);
}

/* Ends the chunk with the rows that are there. */
static enum status
put_chunk(struct image_writer *w, bool last, struct err *err)
{
    uint8_t length[4];
    struct buf n = {.p = length, .cap = sizeof(length), .max = sizeof(length)};
    enum status st;

    w->chunk.last = last;
    w->chunk.rows = buf_slice(&w->rows);
    buf_clear(&w->bytes);
    record_image_write(&w->bytes, &w->chunk);
    buf_put_le32(&n, (uint32_t)w->bytes.n);
    if (!buf_ok(&w->bytes))
        return err_set(err, ST_MEMORY, "image: no memory for a chunk of account %" PRIu64, w->chunk.account);
    st = append(w, buf_slice(&n), err);
    if (st == ST_OK)
        st = append(w, buf_slice(&w->bytes), err);
    w->chunk.chunk++;
    buf_clear(&w->rows);
    return st;
}

enum status
image_put(struct image_writer *w, struct slice key, struct slice value, struct err *err)
{
    record_row_put(&w->rows, &(struct record_row){key, value});
    if (!buf_ok(&w->rows))
        return err_set(err, ST_MEMORY, "image: no memory for a row of account %" PRIu64, w->chunk.account);
    return w->rows.n >= IMAGE_CHUNK ? put_chunk(w, false, err) : ST_OK;
}

enum status
image_end(struct image_writer *w, struct row_image *image, struct err *err)
{
    enum status st = put_chunk(w, true, err);

    if (st == ST_OK)
        *image =
            (struct row_image){w->chunk.lsn, w->at.segment, w->at.offset, w->n, XXH3_64bits_digest(w->sum)};
    image_drop(w);
    return st;
}

struct put {
    struct image_writer *w;
    struct err *err;
};

static enum status
put_row(void *arg, struct slice key, struct slice value)
{
    struct put *put = arg;

    return image_put(put->w, slice_skip(key, 8), value, put->err);
}

static enum status
write_rows(struct index *index, const struct index_snapshot *snapshot, struct image_writer *w,
           uint64_t account, struct err *err)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);
    struct put put = {w, err};

    buf_put_be64(&from, account);
    row_range_end(&to, buf_slice(&from));
    if (!buf_ok(&from) || !buf_ok(&to) || to.n == 0)
        return err_set(err, ST_LIMIT, "image: account %" PRIu64, account);
    return index_scan(index, snapshot, buf_slice(&from), buf_slice(&to), put_row, &put, err);
}

enum status
image_write(struct index *index, const struct index_snapshot *snapshot, uint64_t account,
            struct log_side *side, struct row_image *image, struct err *err)
{
    AUTO_BUF who = BUF_INIT(65536);
    struct image_writer *w;
    uint64_t lsn = 0;
    enum status st = index_get(index, snapshot, &(struct row_key){account, ROW_ACCOUNT}, &who, err);

    if (st == ST_OK)
        st = image_lsn(index, snapshot, &lsn, err);
    if (st != ST_OK)
        return st;
    w = image_begin(side, account, lsn);
    if (w == NULL)
        return err_set(err, ST_MEMORY, "image: no memory");
    st = write_rows(index, snapshot, w, account, err);
    if (st == ST_OK)
        return image_end(w, image, err);
    image_drop(w);
    return st;
}

/* --- reading --- */

/* Takes the next chunk; *key: the last key seen. */
static enum status
take_chunk(struct slice *in, const struct record_image *want, struct record_image *got, struct slice *meta,
           struct slice *key)
{
    struct slice rows;
    struct record_row row;
    uint32_t n;
    enum status st;

    if (!take_le32(in, &n) || n > IMAGE_CHUNK_MAX || !take_bytes(in, n, meta))
        return ST_CORRUPT;
    st = record_image_read(*meta, got);
    if (st != ST_OK)
        return st;
    if (got->account != want->account || got->lsn != want->lsn || got->chunk != want->chunk || got->last > 1)
        return ST_CORRUPT;
    rows = got->rows;
    while (rows.n > 0) {
        if (!record_row_take(&rows, &row) || slice_cmp(row.key, *key) <= 0)
            return ST_CORRUPT;
        *key = row.key;
    }
    return ST_OK;
}

enum status
image_apply(struct slice in, uint64_t account, uint64_t lsn, const struct row_sink *sink)
{
    struct record_image want = {.account = account, .lsn = lsn}, got = {0};
    struct slice key = {0}, meta;
    enum status st = ST_OK;

    while (st == ST_OK && !got.last) {
        st = take_chunk(&in, &want, &got, &meta, &key);
        if (st == ST_OK)
            st = apply_image(meta, sink);
        want.chunk++;
    }
    return st == ST_OK && in.n != 0 ? ST_CORRUPT : st;
}

/* Two passes in slices: an image of 4 GiB must not be in memory at once. First the sum. */
static enum status
check_sum(struct log *log, uint64_t account, const struct row_image *image, uint8_t *bytes, struct err *err)
{
    XXH3_state_t *sum = XXH3_createState();
    enum status st = ST_OK;

    if (sum == NULL || XXH3_64bits_reset(sum) != XXH_OK)
        st = err_set(err, ST_MEMORY, "image: no memory");
    for (uint64_t at = 0; st == ST_OK && at < image->n; at += IMAGE_CHUNK) {
        size_t n = image->n - at < IMAGE_CHUNK ? (size_t)(image->n - at) : IMAGE_CHUNK;

        st = log_read(log, (struct log_place){image->segment, image->offset + at}, n, bytes, err);
        if (st == ST_OK)
            (void)XXH3_64bits_update(sum, bytes, n);
    }
    if (st == ST_OK && XXH3_64bits_digest(sum) != image->sum)
        st = err_set(err, ST_CORRUPT, "image: that of account %" PRIu64 " in segment %" PRIx64 " is damaged",
                     account, image->segment);
    (void)XXH3_freeState(sum);
    return st;
}

enum status
image_read(struct log *log, uint64_t account, const struct row_image *image, const struct row_sink *sink,
           struct err *err)
{
    struct record_image want = {.account = account, .lsn = image->lsn}, got = {0};
    AUTO_BUF bytes = BUF_INIT(IMAGE_CHUNK_MAX + 4), last_key = BUF_INIT(65536);
    uint64_t at = 0;
    enum status st =
        buf_reserve(&bytes, IMAGE_CHUNK) != NULL ? ST_OK : err_set(err, ST_MEMORY, "image: no memory");

    if (st == ST_OK)
        st = check_sum(log, account, image, bytes.p, err);
    while (st == ST_OK && !got.last) {
        struct slice in, meta, key = buf_slice(&last_key);
        uint8_t length[4];
        uint32_t n = 0;

        if (image->n - at < sizeof(length))
            return err_set(err, ST_CORRUPT, "image: that of account %" PRIu64 " has no end", account);
        st = log_read(log, (struct log_place){image->segment, image->offset + at}, sizeof(length), length,
                      err);
        if (st != ST_OK)
            return st;
        in = slice_from(length, sizeof(length));
        if (!take_le32(&in, &n) || n > IMAGE_CHUNK_MAX || n > image->n - at - sizeof(length))
            return err_set(err, ST_CORRUPT, "image: that of account %" PRIu64 " is no image", account);
        buf_clear(&bytes);
        if (buf_reserve(&bytes, sizeof(length) + n) == NULL)
            return err_set(err, ST_MEMORY, "image: no memory");
        bytes.n = sizeof(length) + n;
        st = log_read(log, (struct log_place){image->segment, image->offset + at}, bytes.n, bytes.p, err);
        if (st != ST_OK)
            return st;
        in = buf_slice(&bytes);
        st = take_chunk(&in, &want, &got, &meta, &key);
        if (st == ST_OK)
            st = apply_image(meta, sink);
        if (st != ST_OK)
            return err_set(err, st, "image: chunk %" PRIu32 " of account %" PRIu64 ": %s", want.chunk,
                           account, status_text(st));
        want.chunk++;
        at += bytes.n;
        if (key.p != last_key.p) {
            buf_clear(&last_key);
            buf_put(&last_key, key);
        }
        st = buf_ok(&last_key) ? ST_OK : err_set(err, ST_MEMORY, "image: no memory");
    }
    if (st == ST_OK && at != image->n)
        st = err_set(err, ST_CORRUPT, "image: that of account %" PRIu64 " goes on behind its end", account);
    return st;
}
