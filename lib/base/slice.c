#include "base/slice.h"

bool
slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
slice_eq_nocase(struct slice a, struct slice b)
{
    return a.n == b.n && slice_has_prefix_nocase(a, b);
}

int
slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (order != 0)
        return order;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool
slice_starts(struct slice s, uint8_t c)
{
    return s.n > 0 && s.p[0] == c;
}

bool
slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool
slice_has_prefix_nocase(struct slice s, struct slice prefix)
{
    if (s.n < prefix.n)
        return false;
    for (size_t i = 0; i < prefix.n; i++)
        if (ascii_lower(s.p[i]) != ascii_lower(prefix.p[i]))
            return false;
    return true;
}

bool
slice_has_suffix_nocase(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq_nocase(slice_skip(s, s.n - suffix.n), suffix);
}

size_t
slice_find(struct slice s, uint8_t c)
{
    const uint8_t *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

    return at == NULL ? s.n : (size_t)(at - s.p);
}

size_t
slice_find_slice(struct slice s, struct slice needle)
{
    const uint8_t *at;

    if (needle.n == 0)
        return 0;
    if (s.n < needle.n)
        return s.n;
    at = memmem(s.p, s.n, needle.p, needle.n);
    return at == NULL ? s.n : (size_t)(at - s.p);
}

size_t
slice_find_nocase(struct slice s, struct slice needle)
{
    for (size_t i = 0; i + needle.n <= s.n; i++)
        if (slice_has_prefix_nocase(slice_skip(s, i), needle))
            return i;
    return s.n;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct slice
slice_trim(struct slice s)
{
    (void)take_while(&s, is_blank);
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

uint64_t
slice_hash(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ s.p[i]) * 0x100000001b3u;
    return h;
}

uint64_t
slice_hash_nocase(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ ascii_lower(s.p[i])) * 0x100000001b3u;
    return h;
}

bool
slice_eq_secret(struct slice a, struct slice b)
{
    volatile uint8_t differ = a.n != b.n;

    for (size_t i = 0; i < a.n; i++)
        differ = (uint8_t)(differ | (a.p[i] ^ (b.n == 0 ? 0xff : b.p[i % b.n])));
    return differ == 0;
}

bool
take_byte(struct slice *in, uint8_t c)
{
    if (!slice_starts(*in, c))
        return false;
    *in = slice_skip(*in, 1);
    return true;
}

bool
take_literal(struct slice *in, struct slice word)
{
    if (!slice_has_prefix(*in, word))
        return false;
    *in = slice_skip(*in, word.n);
    return true;
}

bool
take_literal_nocase(struct slice *in, struct slice word)
{
    if (!slice_has_prefix_nocase(*in, word))
        return false;
    *in = slice_skip(*in, word.n);
    return true;
}

struct slice
take_until(struct slice *in, uint8_t stop)
{
    struct slice got = slice_sub(*in, 0, slice_find(*in, stop));

    *in = slice_skip(*in, got.n);
    return got;
}

struct slice
take_while(struct slice *in, bool (*is)(uint8_t))
{
    size_t n = 0;
    struct slice got;

    while (n < in->n && is(in->p[n]))
        n++;
    got = slice_sub(*in, 0, n);
    *in = slice_skip(*in, n);
    return got;
}

bool
take_bytes(struct slice *in, size_t n, struct slice *out)
{
    if (in->n < n)
        return false;
    *out = slice_sub(*in, 0, n);
    *in = slice_skip(*in, n);
    return true;
}

bool
take_number(struct slice *in, uint64_t most, uint64_t *out)
{
    struct slice digits = take_while(&(struct slice){in->p, in->n}, ascii_digit);
    uint64_t value = 0;

    if (digits.n == 0)
        return false;
    for (size_t i = 0; i < digits.n; i++) {
        uint64_t digit = (uint64_t)(digits.p[i] - '0');

        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value) ||
            value > most)
            return false;
    }
    *in = slice_skip(*in, digits.n);
    *out = value;
    return true;
}

bool
slice_to_cstr(struct slice s, char *out, size_t cap)
{
    size_t n = s.n < cap ? s.n : cap - 1;
    bool whole = n == s.n;

    for (size_t i = 0; i < n; i++) {
        bool ok = s.p[i] >= ' ' && s.p[i] != 0x7f;

        out[i] = ok ? (char)s.p[i] : '?';
        whole = whole && ok;
    }
    out[n] = '\0';
    return whole;
}
