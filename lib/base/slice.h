/*
 * Borrowed bytes with their length. A slice never owns, never ends in NUL, and
 * is passed by value. take_* eat from the front of a slice and leave it
 * untouched when they fail. ASCII only: case and space know no locale.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct slice {
    const uint8_t *p; /* may be NULL when n is 0 */
    size_t n;
};

#define SLICE(literal) ((struct slice){(const uint8_t *)("" literal), sizeof(literal) - 1})
/* For printf("%.*s", SLICE_ARG(s)): only for bytes known to hold no NUL or control. */
#define SLICE_ARG(s) ((int)((s).n > 1024 ? 1024 : (s).n)), (const char *)((s).p != NULL ? (s).p : (const uint8_t *)"")

static inline struct slice
slice_of(const char *string)
{
    return (struct slice){(const uint8_t *)string, string != NULL ? strlen(string) : 0};
}

static inline struct slice
slice_from(const void *bytes, size_t n)
{
    return (struct slice){bytes, n};
}

/* The bytes [from, from + n) cut to what there is. */
static inline struct slice
slice_sub(struct slice s, size_t from, size_t n)
{
    if (from > s.n)
        from = s.n;
    if (n > s.n - from)
        n = s.n - from;
    return (struct slice){s.p != NULL ? s.p + from : NULL, n};
}

static inline struct slice
slice_skip(struct slice s, size_t n)
{
    return slice_sub(s, n, s.n);
}

static inline uint8_t
ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static inline uint8_t
ascii_upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? (uint8_t)(c & ~0x20) : c;
}

static inline bool
ascii_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static inline bool
ascii_alpha(uint8_t c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* The value of a digit, in either case; -1: it is none. */
static inline int
ascii_hex(uint8_t c)
{
    c = ascii_lower(c);
    return ascii_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 4648 4, table 1; -1: it is no digit. */
static inline int
ascii_base64(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool slice_eq(struct slice a, struct slice b);
bool slice_eq_nocase(struct slice a, struct slice b);
int slice_cmp(struct slice a, struct slice b); /* bytes, then length */
bool slice_starts(struct slice s, uint8_t c);
bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_prefix_nocase(struct slice s, struct slice prefix);
bool slice_has_suffix_nocase(struct slice s, struct slice suffix);
/* Offset of the first c, or s.n. */
size_t slice_find(struct slice s, uint8_t c);
/* Offset of the first occurrence, or s.n. An empty needle is found at 0. */
size_t slice_find_slice(struct slice s, struct slice needle);
size_t slice_find_nocase(struct slice s, struct slice needle);
/* Without spaces and tabs at both ends. */
struct slice slice_trim(struct slice s);
/* FNV-1a; for hash tables in memory only, never on disk. */
uint64_t slice_hash(struct slice s);
uint64_t slice_hash_nocase(struct slice s);
/* Equal bytes in time that depends on the lengths alone. For secrets. */
bool slice_eq_secret(struct slice a, struct slice b);

bool take_byte(struct slice *in, uint8_t c);
bool take_literal(struct slice *in, struct slice word);        /* exact */
bool take_literal_nocase(struct slice *in, struct slice word); /* ASCII case folded */
/* Eats up to, not including, the first `stop`, or all. Never fails. */
struct slice take_until(struct slice *in, uint8_t stop);
/* Eats the bytes for which `is` holds; perhaps none. */
struct slice take_while(struct slice *in, bool (*is)(uint8_t));
/* Exactly n bytes. */
bool take_bytes(struct slice *in, size_t n, struct slice *out);
/* 1*DIGIT, at most `most`: fails on no digit and on a larger number. */
bool take_number(struct slice *in, uint64_t most, uint64_t *out);

/* Writes at most cap - 1 bytes and a NUL; control bytes and NULs become '?'.
 * For system calls and logs. False when it did not fit or was changed. */
bool slice_to_cstr(struct slice s, char *out, size_t cap);
