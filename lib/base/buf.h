/*
 * Owned bytes that grow up to a maximum. A put that would pass the maximum, or
 * for which there is no memory, changes nothing but sets `failed`: write a
 * whole reply and look once, with buf_ok().
 */
#pragma once
#include "base/slice.h"

struct buf {
    uint8_t *p;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* never allocate more than this */
    bool failed;
};

#define BUF_INIT(most) ((struct buf){.max = (most)})
/* Over an array, which is its maximum, for what is short: nothing is allocated, so nothing is freed. */
#define BUF_FIXED(array) ((struct buf){.p = (array), .cap = sizeof(array), .max = sizeof(array)})
#define AUTO_BUF __attribute__((cleanup(buf_done))) struct buf

void buf_done(struct buf *b);  /* frees; the buf can be used again */
void buf_clear(struct buf *b); /* n = 0, failed = false, memory kept */
/* Gives memory back when more than `keep` is allocated. Empties the buf. */
void buf_shrink(struct buf *b, size_t keep);

static inline struct slice
buf_slice(const struct buf *b)
{
    return (struct slice){b->p, b->n};
}

static inline bool
buf_ok(const struct buf *b)
{
    return !b->failed;
}

/* Room for n more bytes at p + n, or NULL. Does not change n. */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, struct slice s);
void buf_puts(struct buf *b, const char *string);
void buf_putc(struct buf *b, uint8_t c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_put_u64(struct buf *b, uint64_t v); /* decimal */
/* Removes n bytes from the front. */
void buf_eat(struct buf *b, size_t n);

/* Little-endian fixed integers: wire between programs, and disk. */
void buf_put_le16(struct buf *b, uint16_t v);
void buf_put_le32(struct buf *b, uint32_t v);
void buf_put_le64(struct buf *b, uint64_t v);
bool take_le16(struct slice *in, uint16_t *out);
bool take_le32(struct slice *in, uint32_t *out);
bool take_le64(struct slice *in, uint64_t *out);
/* Big-endian, for keys that sort. */
void buf_put_be32(struct buf *b, uint32_t v);
void buf_put_be64(struct buf *b, uint64_t v);
bool take_be32(struct slice *in, uint32_t *out);
bool take_be64(struct slice *in, uint64_t *out);

/* RFC 4648 4. Decoding wants correct padding, unused bits of zero and nothing between (no white space); it leaves *b as it was on
 * ST_SYNTAX, and on ST_LIMIT: it would not fit. */
void buf_put_base64(struct buf *b, struct slice s);
MUST_CHECK enum status buf_put_unbase64(struct buf *b, struct slice s);
void buf_put_hex(struct buf *b, struct slice s);
