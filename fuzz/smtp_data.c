/* DATA in any pieces (repaired, or as chunks, too) is DATA in one piece, and both are what a plain reading of RFC 5321
 * says: first byte and size choose the pieces, the rest is the message. */
#include <assert.h>
#include <stdlib.h>

#include "smtp/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The slow, obvious way: where the message ends, or n. */
static size_t
find_end(const uint8_t *p, size_t n)
{
    if (n >= 3 && memcmp(p, ".\r\n", 3) == 0)
        return 3;
    for (size_t i = 0; i + 5 <= n; i++)
        if (memcmp(p + i, "\r\n.\r\n", 5) == 0)
            return i + 5;
    return n;
}

static void
check_facts(const struct smtp_data *d, const uint8_t *p, size_t n)
{
    bool cr = false, lf = false, nul = false, eight = false;

    for (size_t i = 0; i < n; i++) {
        cr |= p[i] == '\r' && p[i + 1] != '\n';
        lf |= p[i] == '\n' && (i == 0 || p[i - 1] != '\r');
        nul |= p[i] == 0;
        eight |= p[i] >= 0x80;
    }
    assert(d->bare_cr == cr && d->bare_lf == lf && d->nul == nul && d->eight_bit == eight);
}

static size_t
unstuffed(const uint8_t *p, size_t n)
{
    size_t size = 0;

    for (size_t i = 0; i < n; i++)
        size += !(p[i] == '.' && (i == 0 || (i >= 2 && p[i - 2] == '\r' && p[i - 1] == '\n')));
    return size;
}

/* Repaired it ends at the same byte, in whatever pieces, and no CR or LF is left alone. */
static void
check_repair(struct slice all, uint32_t random, enum status want, size_t rest)
{
    struct smtp_data d = {.repair = true};
    uint8_t *out = malloc(all.n * 2 + 8);
    size_t n = 0, some;
    enum status st = ST_MORE;

    assert(out != NULL);
    while (st == ST_MORE && all.n > 0) {
        struct slice in = slice_sub(all, 0, 1 + (random >> 16) % 7);
        size_t had = in.n;

        do {
            st = smtp_data_feed(&d, &in, out + n, 1 + (random >> 24) % 5, &some);
            n += some;
        } while (st == ST_MORE && (in.n > 0 || some > 0));
        all = slice_skip(all, had - in.n);
        random = random * 1664525u + 1013904223u;
    }
    assert(st == want && all.n == rest && d.size == n && smtp_data_strict(&d) == !d.nul);
    for (size_t i = 0; i < n; i++) {
        assert(out[i] != '\n' || (i > 0 && out[i - 1] == '\r'));
        assert(out[i] != '\r' || (i + 1 < n && out[i + 1] == '\n'));
    }
    free(out);
}

/* Chunks of BDAT: the bytes as they are, and the facts of the whole, wherever they are cut. */
static void
check_chunks(struct slice all, uint32_t random)
{
    struct smtp_data d = SMTP_DATA_INIT;
    uint8_t *out = malloc(all.n), *ended = malloc(all.n + 1);
    uint64_t left = 0;
    size_t n = 0, some;
    struct slice in = all;

    assert(out != NULL && ended != NULL);
    memcpy(ended, all.p, all.n);
    ended[all.n] = 0; /* check_facts looks one further */
    while (in.n > 0) {
        if (left == 0)
            left = 1 + (random >> 16) % 9;
        if (left > in.n)
            left = in.n;
        (void)!smtp_chunk_feed(&d, &left, &in, out + n, 1 + (random >> 24) % 5, &some);
        n += some;
        random = random * 1664525u + 1013904223u;
    }
    smtp_chunk_end(&d);
    assert(n == all.n && memcmp(out, all.p, n) == 0 && d.size == n);
    check_facts(&d, ended, all.n);
    free(out);
    free(ended);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct smtp_data whole = SMTP_DATA_INIT, parts = SMTP_DATA_INIT;
    struct slice one, all;
    uint8_t *a, *b;
    size_t na, nb = 0, some, end;
    enum status st_one, st = ST_MORE;
    uint32_t random;

    if (n < 2)
        return 0;
    random = data[0] * 2654435761u + 1;
    one = all = slice_from(data + 1, n - 1);
    a = malloc(all.n);
    b = malloc(all.n);
    assert(a != NULL && b != NULL);

    st_one = smtp_data_feed(&whole, &one, a, all.n, &na);
    while (st == ST_MORE && all.n > 0) {
        struct slice in = slice_sub(all, 0, 1 + (random >> 16) % 7);
        size_t had = in.n, cap = 1 + (random >> 24) % 5;

        if (cap > n - 1 - nb)
            cap = n - 1 - nb;
        st = smtp_data_feed(&parts, &in, b + nb, cap, &some);
        assert(some <= cap && (some > 0 || in.n < had));
        nb += some;
        all = slice_skip(all, had - in.n);
        random = random * 1664525u + 1013904223u;
    }
    assert(st == st_one && all.n == one.n && na == nb && memcmp(a, b, na) == 0);
    assert(whole.size == na && parts.size == nb);
    end = find_end(data + 1, n - 1);
    assert(n - 1 - one.n == end);
    if (st == ST_OK) {
        assert(na == unstuffed(data + 1, end - 3));
        check_facts(&whole, data + 1, end - 3);
        check_facts(&parts, data + 1, end - 3);
    }
    check_repair(slice_from(data + 1, n - 1), random, st, one.n);
    check_chunks(slice_from(data + 1, n - 1), random);
    free(a);
    free(b);
    return 0;
}
