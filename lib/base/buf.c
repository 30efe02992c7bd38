#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void
buf_done(struct buf *b)
{
    free(b->p);
    *b = BUF_INIT(b->max);
}

void
buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

void
buf_shrink(struct buf *b, size_t keep)
{
    if (b->cap > keep)
        buf_done(b);
    buf_clear(b);
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
    size_t want, cap;
    uint8_t *p;

    if (b->failed)
        return NULL;
    if (__builtin_add_overflow(b->n, n, &want) || want > b->max) {
        b->failed = true;
        return NULL;
    }
    if (want <= b->cap && b->p != NULL)
        return b->p + b->n;
    cap = b->cap < 64 ? 64 : b->cap + b->cap / 2;
    if (cap < want)
        cap = want;
    if (cap > b->max)
        cap = b->max;
    p = realloc(b->p, cap);
    if (p == NULL) {
        b->failed = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return b->p + b->n;
}

void
buf_put(struct buf *b, struct slice s)
{
    uint8_t *to;

    if (s.n == 0)
        return;
    to = buf_reserve(b, s.n);
    if (to == NULL)
        return;
    memcpy(to, s.p, s.n);
    b->n += s.n;
}

void
buf_puts(struct buf *b, const char *string)
{
    buf_put(b, slice_of(string));
}

void
buf_putc(struct buf *b, uint8_t c)
{
    buf_put(b, slice_from(&c, 1));
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[256];
    va_list args;
    int n;
    uint8_t *to;

    va_start(args, fmt);
    n = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        buf_put(b, slice_from(small, (size_t)n));
        return;
    }
    to = buf_reserve(b, (size_t)n + 1); /* vsnprintf's NUL is not counted in b->n */
    if (to == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf((char *)to, (size_t)n + 1, fmt, args);
    va_end(args);
    b->n += (size_t)n;
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (uint8_t)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_put(b, slice_from(digits + at, sizeof(digits) - at));
}

void
buf_eat(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

static void
put_le(struct buf *b, uint64_t v, size_t n)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    buf_put(b, slice_from(bytes, n));
}

static void
put_be(struct buf *b, uint64_t v, size_t n)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    buf_put(b, slice_from(bytes, n));
}

static bool
take_le(struct slice *in, size_t n, uint64_t *out)
{
    struct slice bytes;
    uint64_t v = 0;

    if (!take_bytes(in, n, &bytes))
        return false;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)bytes.p[i] << (8 * i);
    *out = v;
    return true;
}

static bool
take_be(struct slice *in, size_t n, uint64_t *out)
{
    struct slice bytes;
    uint64_t v = 0;

    if (!take_bytes(in, n, &bytes))
        return false;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | bytes.p[i];
    *out = v;
    return true;
}

void
buf_put_le16(struct buf *b, uint16_t v)
{
    put_le(b, v, 2);
}

void
buf_put_le32(struct buf *b, uint32_t v)
{
    put_le(b, v, 4);
}

void
buf_put_le64(struct buf *b, uint64_t v)
{
    put_le(b, v, 8);
}

bool
take_le16(struct slice *in, uint16_t *out)
{
    uint64_t v;

    if (!take_le(in, 2, &v))
        return false;
    *out = (uint16_t)v;
    return true;
}

bool
take_le32(struct slice *in, uint32_t *out)
{
    uint64_t v;

    if (!take_le(in, 4, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool
take_le64(struct slice *in, uint64_t *out)
{
    return take_le(in, 8, out);
}

void
buf_put_be32(struct buf *b, uint32_t v)
{
    put_be(b, v, 4);
}

void
buf_put_be64(struct buf *b, uint64_t v)
{
    put_be(b, v, 8);
}

bool
take_be32(struct slice *in, uint32_t *out)
{
    uint64_t v;

    if (!take_be(in, 4, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool
take_be64(struct slice *in, uint64_t *out)
{
    return take_be(in, 8, out);
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
buf_put_base64(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)s.p[i] << 16 | (left > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) |
                     (left > 2 ? (uint32_t)s.p[i + 2] : 0);
        char quad[4] = {base64[v >> 18], base64[v >> 12 & 63], left > 1 ? base64[v >> 6 & 63] : '=',
                        left > 2 ? base64[v & 63] : '='};

        buf_put(b, slice_from(quad, 4));
    }
}

enum status
buf_put_unbase64(struct buf *b, struct slice s)
{
    size_t pad = 0, n = s.n / 4 * 3, have = 0;
    uint32_t v = 0;
    uint8_t *p;

    if (s.n % 4 != 0)
        return ST_SYNTAX;
    while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
        pad++;
    if (b->failed || b->n > b->max || n - pad > b->max - b->n)
        return ST_LIMIT;
    if (n == 0)
        return ST_OK;
    p = buf_reserve(b, n - pad); /* at once: what grows leaves copies of a password behind */
    if (p == NULL)
        return ST_LIMIT;
    for (size_t i = 0; i < s.n; i++) {
        int digit = i >= s.n - pad ? 0 : ascii_base64(s.p[i]);

        if (digit < 0)
            return ST_SYNTAX;
        v = v << 6 | (uint32_t)digit;
        if (i % 4 != 3)
            continue;
        for (int shift = 16; shift >= 0; shift -= 8) {
            uint8_t byte = (uint8_t)(v >> shift);

            if (have < n - pad)
                p[have++] = byte;
            else if (byte != 0) /* RFC 4648 3.5: else two texts would mean the same */
                return ST_SYNTAX;
        }
        v = 0;
    }
    b->n += n - pad;
    return ST_OK;
}

void
buf_put_hex(struct buf *b, struct slice s)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < s.n; i++) {
        buf_putc(b, (uint8_t)digits[s.p[i] >> 4]);
        buf_putc(b, (uint8_t)digits[s.p[i] & 15]);
    }
}
