#include "store/log_format.h"

#include <xxhash.h>

#include "store/bugs.h"

static const uint8_t magic[8] = "ESTAFSEG";
static const uint8_t batch_magic[4] = "BTCH";

static struct buf
fixed(uint8_t *p, size_t n)
{
    return (struct buf){.p = p, .cap = n, .max = n};
}

static uint64_t
le64_at(const uint8_t *p)
{
    struct slice s = slice_from(p, 8);
    uint64_t v = 0;

    (void)take_le64(&s, &v);
    return v;
}

static void
put_le64_at(uint8_t *p, uint64_t v)
{
    struct buf b = fixed(p, 8);

    buf_put_le64(&b, v);
}

void
log_header_put(uint8_t *to, const struct log_header *h)
{
    struct buf b = fixed(to, LOG_HEADER);

    memset(to, 0, LOG_HEADER);
    buf_put(&b, slice_from(magic, sizeof(magic)));
    buf_put_le32(&b, LOG_VERSION);
    buf_put_le32(&b, (uint32_t)h->kind);
    buf_put_le64(&b, h->shard);
    buf_put_le64(&b, h->number);
    buf_put_le64(&b, h->epoch);
    buf_put_le64(&b, h->first_lsn);
    buf_put_le64(&b, h->kind == LOG_SIDE ? h->sum : h->first_batch);
    buf_put_le64(&b, h->seed);
    buf_put_le64(&b, h->size);
    buf_put_le64(&b, 0);
    buf_put_le32(&b, h->n_living);
    buf_put_le32(&b, 0);
    for (uint32_t i = 0; i < h->n_living && i < LOG_SEGMENTS_MAX; i++) {
        buf_put_le64(&b, h->living[i].number);
        buf_put_le64(&b, h->living[i].end);
    }
    put_le64_at(to + LOG_HEADER - 8, XXH3_64bits(to, LOG_HEADER - 8));
}

enum status
log_header_get(const uint8_t *from, struct log_header *h)
{
    struct slice in = slice_from(from, LOG_HEADER);
    struct log_header got = {0};
    struct slice word;
    uint64_t key_id;
    uint32_t version, kind, zero;
    bool blank = true;

    for (size_t i = 0; i < LOG_HEADER && blank; i++)
        blank = from[i] == 0;
    if (blank)
        return ST_MORE;
    if (!take_bytes(&in, 8, &word) || !slice_eq(word, slice_from(magic, 8)) || !take_le32(&in, &version))
        return ST_CORRUPT;
    if (version > LOG_VERSION)
        return ST_NEWER;
    if (le64_at(from + LOG_HEADER - 8) != XXH3_64bits(from, LOG_HEADER - 8) || version != LOG_VERSION)
        return ST_CORRUPT;
    if (!take_le32(&in, &kind) || !take_le64(&in, &got.shard) || !take_le64(&in, &got.number) ||
        !take_le64(&in, &got.epoch) || !take_le64(&in, &got.first_lsn) || !take_le64(&in, &got.first_batch) ||
        !take_le64(&in, &got.seed) || !take_le64(&in, &got.size) || !take_le64(&in, &key_id) ||
        !take_le32(&in, &got.n_living) || !take_le32(&in, &zero))
        return ST_CORRUPT;
    if ((kind != LOG_MAIN && kind != LOG_SIDE) || got.n_living > LOG_SEGMENTS_MAX || zero != 0)
        return ST_CORRUPT;
    if (key_id != 0)
        return ST_NEWER;
    got.kind = (enum log_kind)kind;
    if (got.kind == LOG_SIDE) {
        got.sum = got.first_batch;
        got.first_batch = 0;
    }
    *h = got;
    return ST_OK;
}

struct log_living
log_header_living(const uint8_t *from, uint32_t i)
{
    const uint8_t *at = from + 88 + (size_t)i * 16;

    return (struct log_living){le64_at(at), le64_at(at + 8)};
}

static uint64_t
seed_of(uint64_t seed)
{
    return BUG(unseeded_checksum) ? 0 : seed;
}

static uint64_t
epoch_of(uint64_t epoch)
{
    return BUG(unseeded_checksum) ? 0 : epoch;
}

static uint64_t
batch_sum(const uint8_t *p, uint64_t seed, uint64_t epoch)
{
    uint8_t bytes[40];

    memcpy(bytes, p, 32);
    put_le64_at(bytes + 32, epoch_of(epoch));
    return XXH3_64bits_withSeed(bytes, sizeof(bytes), seed_of(seed));
}

void
log_batch_header_put(uint8_t *to, const struct log_batch_header *h, uint64_t seed, uint64_t epoch)
{
    struct buf b = fixed(to, LOG_BATCH_HEADER);

    buf_put(&b, slice_from(batch_magic, 4));
    buf_put_le32(&b, h->length);
    buf_put_le64(&b, h->number);
    buf_put_le64(&b, h->first_lsn);
    buf_put_le32(&b, h->records);
    buf_put_le32(&b, 0);
    buf_put_le64(&b, batch_sum(to, seed, epoch));
}

enum status
log_batch_header_get(struct slice in, uint64_t seed, uint64_t epoch, struct log_batch_header *h)
{
    struct log_batch_header got;
    const uint8_t *start = in.p;
    struct slice word;
    uint32_t zero;
    uint64_t sum;

    if (in.n < LOG_BATCH_HEADER || !take_bytes(&in, 4, &word) || !slice_eq(word, slice_from(batch_magic, 4)))
        return ST_CORRUPT;
    if (!take_le32(&in, &got.length) || !take_le64(&in, &got.number) || !take_le64(&in, &got.first_lsn) ||
        !take_le32(&in, &got.records) || !take_le32(&in, &zero) || !take_le64(&in, &sum))
        return ST_CORRUPT;
    if (sum != batch_sum(start, seed, epoch) || zero != 0 || got.records == 0 || got.length % 8 != 0 ||
        got.length > LOG_BATCH_MAX || got.length < LOG_BATCH_HEADER + (uint64_t)got.records * LOG_RECORD_HEADER)
        return ST_CORRUPT;
    *h = got;
    return ST_OK;
}

size_t
log_record_length(size_t meta, size_t body)
{
    if (meta > LOG_BATCH_MAX || body > LOG_BATCH_MAX ||
        LOG_BATCH_HEADER + LOG_RECORD_HEADER + meta + body + 7 > LOG_BATCH_MAX)
        return 0;
    return (LOG_RECORD_HEADER + meta + body + 7) & ~(size_t)7;
}

static uint64_t
record_sum(const uint8_t *at, size_t content, uint64_t seed, uint64_t epoch)
{
    uint8_t head[48];

    /* The checksum's own place holds the epoch, so that one pass over the head covers both. */
    memcpy(head, at, 40);
    put_le64_at(head + 40, epoch_of(epoch));
    return XXH3_64bits_withSeed(at + LOG_RECORD_HEADER, content, XXH3_64bits_withSeed(head, sizeof(head), seed_of(seed)));
}

void
log_record_seal(uint8_t *at, const struct log_record *r, uint64_t seed, uint64_t epoch)
{
    struct buf b = fixed(at, LOG_RECORD_HEADER);

    buf_put_le32(&b, r->length);
    buf_put_le16(&b, r->type);
    buf_put_le16(&b, 0);
    buf_put_le64(&b, r->lsn);
    buf_put_le64(&b, r->batch);
    buf_put_le32(&b, (uint32_t)r->meta.n);
    buf_put_le32(&b, 0);
    buf_put_le64(&b, r->body.n);
    buf_put_le64(&b, record_sum(at, r->meta.n + r->body.n, seed, epoch));
}

enum status
log_record_get(struct slice in, uint64_t seed, uint64_t epoch, struct log_record *r)
{
    struct slice all = in;
    struct log_record got = {0};
    uint16_t zero;
    uint32_t meta, key_id;
    uint64_t body, sum;

    if (!take_le32(&in, &got.length) || !take_le16(&in, &got.type) || !take_le16(&in, &zero) ||
        !take_le64(&in, &got.lsn) || !take_le64(&in, &got.batch) || !take_le32(&in, &meta) ||
        !take_le32(&in, &key_id) || !take_le64(&in, &body) || !take_le64(&in, &sum))
        return ST_CORRUPT;
    /* 0 is what log_record_length() says of a record that is too large: never a length that was written. */
    if (zero != 0 || key_id != 0 || body > LOG_BATCH_MAX || meta > LOG_BATCH_MAX || got.length == 0 || got.length > all.n ||
        log_record_length(meta, (size_t)body) != got.length)
        return ST_CORRUPT;
    if (!BUG(tail_unchecked) && sum != record_sum(all.p, meta + (size_t)body, seed, epoch))
        return ST_CORRUPT;
    got.meta = slice_sub(all, LOG_RECORD_HEADER, meta);
    got.body = slice_sub(all, LOG_RECORD_HEADER + meta, (size_t)body);
    *r = got;
    return ST_OK;
}
