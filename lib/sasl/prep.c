#include "sasl/prep.h"

#include <stdlib.h>

#include <openssl/crypto.h>

struct prep_range {
    uint32_t from, to;
    uint8_t value;
};
struct prep_parts {
    uint32_t c;
    uint16_t at; /* in pool */
    uint8_t n;
};
struct prep_pair {
    uint32_t first, second, whole;
};
#include <sasl/prep_table.h> /* made by tools/saslprep while building */

#define POINTS_MAX 4096u /* code points while it is worked on; the longest of Unicode 3.2 becomes 18 */

struct points {
    uint32_t c[POINTS_MAX];
    size_t n;
};

/* The row that holds c, or NULL. */
static const struct prep_range *
find(const struct prep_range *rows, size_t n, uint32_t c)
{
    size_t low = 0;

    while (low < n) {
        size_t middle = low + (n - low) / 2;

        if (c > rows[middle].to)
            low = middle + 1;
        else if (c < rows[middle].from)
            n = middle;
        else
            return &rows[middle];
    }
    return NULL;
}

#define IN(rows, c) (find(rows, COUNT(rows), (c)) != NULL)

static uint8_t
class_of(uint32_t c)
{
    const struct prep_range *row = find(classes, COUNT(classes), c);

    return row != NULL ? row->value : 0;
}

static bool
add(struct points *p, uint32_t c)
{
    if (p->n == POINTS_MAX)
        return false;
    p->c[p->n++] = c;
    return true;
}

/* Hangul is composed by a rule (Unicode 3.2, 3.11). */
#define S_BASE  0xac00u
#define L_BASE  0x1100u
#define V_BASE  0x1161u
#define T_BASE  0x11a7u
#define L_COUNT 19u
#define V_COUNT 21u
#define T_COUNT 28u
#define S_COUNT (L_COUNT * V_COUNT * T_COUNT)

static int
by_point(const void *key, const void *row)
{
    uint32_t c = *(const uint32_t *)key, other = ((const struct prep_parts *)row)->c;

    return (c > other) - (c < other);
}

/* Compatibility decomposition of one sign. */
static bool
add_parts(struct points *p, uint32_t c)
{
    const struct prep_parts *row;

    if (c - S_BASE < S_COUNT) { /* c below S_BASE wraps to far above */
        uint32_t s = c - S_BASE, t = s % T_COUNT;

        return add(p, L_BASE + s / (V_COUNT * T_COUNT)) &&
               add(p, V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT) && (t == 0 || add(p, T_BASE + t));
    }
    row = bsearch(&c, parts, COUNT(parts), sizeof parts[0], by_point);
    if (row == NULL)
        return add(p, c);
    for (size_t i = 0; i < row->n; i++)
        if (!add(p, pool[row->at + i]))
            return false;
    return true;
}

/* RFC 4013 2.1 and the first half of 2.2 */
static enum status
map(struct slice in, struct points *p)
{
    uint32_t c;

    while (in.n > 0) {
        if (!sasl_take_utf8(&in, &c))
            return ST_SYNTAX;
        if (IN(spaces, c))
            c = ' ';
        else if (IN(nothing, c))
            continue;
        if (!add_parts(p, c))
            return ST_LIMIT;
    }
    return ST_OK;
}

/* Canonical order: marks by their class, as they came within one. */
static void
order(struct points *p)
{
    for (size_t i = 1; i < p->n; i++) {
        uint32_t c = p->c[i];
        uint8_t class = class_of(c);
        size_t k = i;

        for (; class > 0 && k > 0 && class_of(p->c[k - 1]) > class; k--)
            p->c[k] = p->c[k - 1];
        p->c[k] = c;
    }
}

static int
by_pair(const void *key, const void *row)
{
    const struct prep_pair *a = key, *b = row;

    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return (a->second > b->second) - (a->second < b->second);
}

/* 0: they do not compose. */
static uint32_t
compose_two(uint32_t first, uint32_t second)
{
    const struct prep_pair *row;

    if (first - L_BASE < L_COUNT && second - V_BASE < V_COUNT)
        return S_BASE + ((first - L_BASE) * V_COUNT + (second - V_BASE)) * T_COUNT;
    if (first - S_BASE < S_COUNT && (first - S_BASE) % T_COUNT == 0 && second > T_BASE &&
        second < T_BASE + T_COUNT)
        return first + (second - T_BASE);
    row = bsearch(&(struct prep_pair){first, second, 0}, pairs, COUNT(pairs), sizeof pairs[0], by_pair);
    return row != NULL ? row->whole : 0;
}

/* Each mark goes into the last starter before it, unless one of its own class or above stands between. */
static void
compose(struct points *p)
{
    size_t starter = SIZE_MAX, n = 0;
    uint8_t last = 0;

    for (size_t i = 0; i < p->n; i++) {
        uint32_t c = p->c[i], whole = 0;
        uint8_t class = class_of(c);
        bool free = starter != SIZE_MAX && (n == starter + 1 || (last != 0 && last < class));

        if (free)
            whole = compose_two(p->c[starter], c);
        if (whole != 0) {
            p->c[starter] = whole;
            continue;
        }
        if (class == 0)
            starter = n;
        last = class;
        p->c[n++] = c;
    }
    p->n = n;
}

/* RFC 4013 2.3 and 2.4 (RFC 3454 6) */
static bool
allowed(const struct points *p)
{
    bool right = false, left = false;

    for (size_t i = 0; i < p->n; i++) {
        if (IN(forbidden, p->c[i]))
            return false;
        right = right || IN(right_to_left, p->c[i]);
        left = left || IN(left_to_right, p->c[i]);
    }
    if (!right)
        return p->n > 0;
    return !left && IN(right_to_left, p->c[0]) && IN(right_to_left, p->c[p->n - 1]);
}

static void
put_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (uint8_t)c);
    } else if (c < 0x800) {
        buf_putc(out, (uint8_t)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        buf_putc(out, (uint8_t)(0xe0 | c >> 12));
        buf_putc(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    } else {
        buf_putc(out, (uint8_t)(0xf0 | c >> 18));
        buf_putc(out, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
        buf_putc(out, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
    }
    if (c >= 0x80)
        buf_putc(out, (uint8_t)(0x80 | (c & 0x3f)));
}

static enum status
put_points(const struct points *p, struct buf *out)
{
    AUTO_BUF text = BUF_INIT(SASL_PASSWORD_MAX);

    (void)buf_reserve(&text, SASL_PASSWORD_MAX); /* at once, so that realloc leaves no copies */
    for (size_t i = 0; i < p->n; i++)
        put_utf8(&text, p->c[i]);
    if (buf_ok(&text))
        buf_put(out, buf_slice(&text));
    if (text.p != NULL)
        OPENSSL_cleanse(text.p, text.cap);
    return buf_ok(&text) && buf_ok(out) ? ST_OK : ST_LIMIT;
}

/* What is all ASCII stays as it is, without controls (RFC 3454 C.2.1). */
static bool
is_plain(struct slice in)
{
    for (size_t i = 0; i < in.n; i++)
        if (in.p[i] < 0x20 || in.p[i] > 0x7e)
            return false;
    return in.n > 0;
}

enum status
sasl_prep(struct slice in, struct buf *out)
{
    struct points *p;
    enum status st;

    if (in.n > SASL_PASSWORD_MAX || in.n > out->max - out->n)
        return ST_LIMIT;
    if (is_plain(in)) {
        buf_put(out, in);
        return buf_ok(out) ? ST_OK : ST_MEMORY;
    }
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return ST_MEMORY;
    st = map(in, p);
    if (st == ST_OK) {
        order(p);
        compose(p);
        st = allowed(p) ? put_points(p, out) : ST_SYNTAX;
    }
    OPENSSL_cleanse(p, sizeof *p);
    free(p);
    return st;
}
