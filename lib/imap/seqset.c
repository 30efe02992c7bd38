#include "imap/seqset.h"

#include <stdlib.h>

#include "imap/token.h"

static enum status
take_seq_number(struct slice *in, uint32_t *out)
{
    if (take_byte(in, '*')) {
        *out = 0;
        return ST_OK;
    }
    return imap_take_nz_number(in, out);
}

static enum status
take_run(struct slice *in, struct imap_run *run)
{
    enum status st = take_seq_number(in, &run->first);

    run->last = run->first;
    if (st == ST_OK && take_byte(in, ':'))
        st = take_seq_number(in, &run->last);
    return st;
}

static bool
set_char(uint8_t c)
{
    return ascii_digit(c) || c == '*' || c == ':' || c == ',';
}

enum status
imap_seqset_parse(struct slice *in, struct arena *a, struct imap_seqset *set)
{
    struct slice at = *in, ahead = *in, text = take_while(&ahead, set_char);
    struct imap_seqset got = {0};
    size_t most = 1;
    enum status st;

    if (take_byte(&at, '$')) {
        *in = at;
        *set = (struct imap_seqset){.saved = true};
        return ST_OK;
    }
    for (size_t i = 0; i < text.n; i++)
        most += text.p[i] == ',';
    if (most > IMAP_RUNS_MAX)
        return ST_LIMIT;
    if ((got.runs = arena_array(a, most, sizeof(*got.runs))) == NULL)
        return ST_MEMORY;
    do {
        if ((st = take_run(&at, &got.runs[got.n])) != ST_OK)
            return st;
        got.n++;
    } while (take_byte(&at, ','));

    *in = at;
    *set = got;
    return ST_OK;
}

uint32_t
imap_seqset_largest(const struct imap_seqset *set)
{
    uint32_t most = 0;

    for (size_t i = 0; i < set->n; i++) {
        most = set->runs[i].first > most ? set->runs[i].first : most;
        most = set->runs[i].last > most ? set->runs[i].last : most;
    }
    return most;
}

static int
by_first(const void *a, const void *b)
{
    const struct imap_run *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

void
imap_seqset_resolve(struct imap_seqset *set, uint32_t max)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->n; i++) {
        struct imap_run r = set->runs[i];

        r.first = r.first != 0 ? r.first : max;
        r.last = r.last != 0 ? r.last : max;
        if (r.first == 0 || r.last == 0) { /* "5:*" of nothing is 5, which is not there, but was asked for */
            r.first = r.last = r.first > r.last ? r.first : r.last;
            if (r.first == 0)
                continue;
        }
        if (r.first > r.last) /* RFC 3501 9: order is of no matter */
            r = (struct imap_run){r.last, r.first};
        set->runs[kept++] = r;
    }
    set->n = kept;
    if (kept == 0)
        return;
    qsort(set->runs, kept, sizeof(*set->runs), by_first);
    kept = 1;
    for (size_t i = 1; i < set->n; i++) {
        struct imap_run *into = &set->runs[kept - 1], r = set->runs[i];

        if (r.first <= into->last || r.first - 1 == into->last)
            into->last = r.last > into->last ? r.last : into->last;
        else
            set->runs[kept++] = r;
    }
    set->n = kept;
}

bool
imap_seqset_has(const struct imap_seqset *set, uint32_t number)
{
    size_t low = 0, high = set->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (set->runs[mid].last < number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < set->n && set->runs[low].first <= number;
}

uint64_t
imap_seqset_count(const struct imap_seqset *set)
{
    uint64_t n = 0;

    for (size_t i = 0; i < set->n; i++)
        n += (uint64_t)set->runs[i].last - set->runs[i].first + 1;
    return n;
}

static void
put_number(struct buf *b, uint32_t n)
{
    if (n == 0)
        buf_putc(b, '*');
    else
        buf_put_u64(b, n);
}

void
imap_seqset_put(struct buf *b, const struct imap_seqset *set)
{
    if (set->saved)
        buf_putc(b, '$');
    for (size_t i = 0; i < set->n; i++) {
        if (i > 0)
            buf_putc(b, ',');
        put_number(b, set->runs[i].first);
        if (set->runs[i].last != set->runs[i].first) {
            buf_putc(b, ':');
            put_number(b, set->runs[i].last);
        }
    }
}
