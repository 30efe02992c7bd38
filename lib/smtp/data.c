#include "smtp/data.h"

/* What the next byte means. Zero is the state before the first byte. */
enum {
    LINE_START, /* after CR LF, or nothing: a dot is special */
    TEXT,       /* inside a line */
    DOT,        /* a dot began the line; it is never given out */
    DOT_CR,     /* and a CR followed, held back: LF would make it the end */
    SOFT_START, /* repairing: after a line end that was none; a dot is stuffed here too, but never the end */
};

/* Facts that need every byte, in blocks whose counters fit a byte so that compilers make
 * vector code of them. Returns the number of CRs. */
static size_t
look(struct smtp_data *d, const uint8_t *p, size_t n)
{
    size_t crs = 0;
    uint8_t high = 0, nuls = 0;

    while (n > 0) {
        size_t block = n < 128 ? n : 128;
        uint8_t in_block = 0;

        for (size_t i = 0; i < block; i++) {
            in_block = (uint8_t)(in_block + (p[i] == '\r'));
            nuls |= (uint8_t)(p[i] == 0);
            high |= p[i];
        }
        crs += in_block;
        p += block;
        n -= block;
    }
    d->nul |= nuls != 0;
    d->eight_bit |= (high & 0x80) != 0;
    return crs;
}

/* How many bytes of p[0..n) go out as they are: up to a CR LF whose next byte is a dot or
 * not there yet, or all. Updates state and facts for them. */
static size_t
take_text(struct smtp_data *d, const uint8_t *p, size_t n)
{
    size_t at = 0, crlfs = 0, crs = d->after_cr;
    const uint8_t *lf;

    d->state = TEXT;
    while ((lf = memchr(p + at, '\n', n - at)) != NULL) {
        size_t i = (size_t)(lf - p);

        at = i + 1;
        if (!(i > 0 ? p[i - 1] == '\r' : d->after_cr)) {
            d->bare_lf = true;
            continue;
        }
        crlfs++;
        if (at == n || p[at] == '.') {
            d->state = LINE_START;
            n = at;
            break;
        }
    }
    d->after_cr = p[n - 1] == '\r';
    crs += look(d, p, n);
    /* Every CR has its LF, but for a last one that may get it yet. */
    if (crs != crlfs + d->after_cr)
        d->bare_cr = true;
    return n;
}

static void
hold(struct smtp_data *d, uint8_t c)
{
    d->held[d->n_held++] = c;
}

static void
end_line(struct smtp_data *d, uint8_t state)
{
    hold(d, '\r');
    hold(d, '\n');
    d->state = state;
    d->after_cr = false;
}

/* One byte when line ends are repaired: at most three are held afterwards. True: it was the end. */
static bool
repair_byte(struct smtp_data *d, uint8_t c)
{
    if (d->state == DOT_CR) {
        if (c == '\n')
            return true;
        end_line(d, SOFT_START); /* the dot was stuffed, its CR alone */
    } else if (d->after_cr) {
        end_line(d, c == '\n' ? LINE_START : SOFT_START);
        if (c == '\n')
            return false;
    }
    if (c == '\r' && d->state == DOT) {
        d->state = DOT_CR;
    } else if (c == '\r') {
        d->after_cr = true;
    } else if (c == '\n') {
        end_line(d, SOFT_START);
    } else if (c == '.' && d->state == LINE_START) {
        d->state = DOT;
    } else if (c == '.' && d->state == SOFT_START) {
        d->state = TEXT;
    } else {
        hold(d, c);
        d->state = TEXT;
    }
    d->nul |= c == 0;
    d->eight_bit |= (c & 0x80) != 0;
    return false;
}

static enum status
run_repairing(struct smtp_data *d, struct slice *in, uint8_t *out, size_t room, size_t *n)
{
    size_t put = 0;
    enum status st = ST_MORE;

    for (;;) {
        uint8_t given = 0;

        while (given < d->n_held && put < room) {
            if (out != NULL)
                out[put] = d->held[given];
            put++;
            given++;
        }
        d->n_held = (uint8_t)(d->n_held - given);
        memmove(d->held, d->held + given, d->n_held);
        if (d->n_held > 0 || in->n == 0)
            break;
        st = repair_byte(d, in->p[0]) ? ST_OK : ST_MORE;
        *in = slice_skip(*in, 1);
        if (st == ST_OK)
            break;
    }
    d->size += put;
    *n = put;
    return st;
}

/* out is NULL to skip. */
static enum status
run(struct smtp_data *d, struct slice *in, uint8_t *out, size_t room, size_t *n)
{
    size_t put = 0;
    enum status st = ST_MORE;

    while (in->n > 0) {
        uint8_t c = in->p[0];

        if (d->state == LINE_START && c == '.') { /* RFC 5321 4.5.2 */
            d->state = DOT;
            *in = slice_skip(*in, 1);
        } else if (d->state == DOT && c == '\r') {
            d->state = DOT_CR;
            *in = slice_skip(*in, 1);
        } else if (d->state == DOT_CR && c == '\n') {
            *in = slice_skip(*in, 1);
            st = ST_OK;
            break;
        } else if (put == room) {
            break;
        } else if (d->state == DOT_CR) { /* no end: the CR is text, and its next byte is no LF */
            if (out != NULL)
                out[put] = '\r';
            put++;
            d->state = TEXT;
            d->after_cr = true;
        } else {
            size_t most = in->n < room - put ? in->n : room - put;
            size_t some = take_text(d, in->p, most);

            if (out != NULL)
                memcpy(out + put, in->p, some);
            put += some;
            *in = slice_skip(*in, some);
        }
    }
    d->size += put;
    *n = put;
    return st;
}

enum status
smtp_data_feed(struct smtp_data *d, struct slice *in, uint8_t *out, size_t cap, size_t *n)
{
    return d->repair ? run_repairing(d, in, out, cap, n) : run(d, in, out, cap, n);
}

enum status
smtp_data_skip(struct smtp_data *d, struct slice *in)
{
    size_t n;

    return d->repair ? run_repairing(d, in, NULL, SIZE_MAX, &n) : run(d, in, NULL, SIZE_MAX, &n);
}

/* Facts of p[0..n): no line is looked for but to see that CR and LF come as pairs. */
static void
look_at_chunk(struct smtp_data *d, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n, *at = p, *lf;
    size_t crlfs = 0, crs = d->after_cr;

    while (at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (lf > p ? lf[-1] == '\r' : d->after_cr)
            crlfs++;
        else
            d->bare_lf = true;
        at = lf + 1;
    }
    d->after_cr = end[-1] == '\r';
    crs += look(d, p, n);
    if (crs != crlfs + d->after_cr)
        d->bare_cr = true;
}

enum status
smtp_chunk_feed(struct smtp_data *d, uint64_t *left, struct slice *in, uint8_t *out, size_t cap, size_t *n)
{
    size_t some = in->n < cap ? in->n : cap;

    if (some > *left)
        some = (size_t)*left;
    if (some > 0) {
        look_at_chunk(d, in->p, some);
        memcpy(out, in->p, some);
        *in = slice_skip(*in, some);
        *left -= some;
        d->size += some;
    }
    *n = some;
    return *left == 0 ? ST_OK : ST_MORE;
}

void
smtp_chunk_end(struct smtp_data *d)
{
    if (d->after_cr)
        d->bare_cr = true;
}
