#include "mime/transfer.h"

void
transfer_init(struct transfer *t, struct slice encoding)
{
    static const struct {
        const char *name;
        enum transfer_kind kind;
    } names[] = {
        {"",                 TRANSFER_IDENTITY},
        {"7bit",             TRANSFER_IDENTITY},
        {"8bit",             TRANSFER_IDENTITY},
        {"binary",           TRANSFER_IDENTITY},
        {"base64",           TRANSFER_BASE64  },
        {"quoted-printable", TRANSFER_QP      },
    };

    *t = (struct transfer){.kind = TRANSFER_UNKNOWN};
    for (size_t i = 0; i < COUNT(names); i++)
        if (slice_eq_nocase(encoding, slice_of(names[i].name)))
            t->kind = names[i].kind;
}

static void
feed_base64(struct transfer *t, struct slice in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        int digit = ascii_base64(in.p[i]);

        if (in.p[i] == '=') /* a new run may follow: parts that were encoded one by one */
            t->bits = t->n_bits = 0;
        if (digit < 0)
            continue;
        t->bits = t->bits << 6 | (uint32_t)digit;
        t->n_bits = (uint8_t)(t->n_bits + 6);
        if (t->n_bits >= 8) {
            t->n_bits = (uint8_t)(t->n_bits - 8);
            buf_putc(out, (uint8_t)(t->bits >> t->n_bits));
        }
    }
}

/* Is what is held a soft line break, or may it become one? RFC 2045 6.7 (3): blanks may stand before its end. */
static bool
is_break(const struct transfer *t, bool *whole)
{
    unsigned i = 1;

    while (i < t->n && (t->held[i] == ' ' || t->held[i] == '\t'))
        i++;
    *whole = i < t->n && t->held[t->n - 1] == '\n' && (i + 1 == t->n || (i + 2 == t->n && t->held[i] == '\r'));
    return *whole || ((i == t->n || (i + 1 == t->n && t->held[i] == '\r')) && t->n < sizeof t->held);
}

/* "=" and this byte, and perhaps more before it. */
static void
after_equals(struct transfer *t, uint8_t c, struct buf *out)
{
    bool whole;

    t->held[t->n++] = c;
    if (is_break(t, &whole)) {
        if (whole)
            t->n = 0;
        return;
    }
    if (t->n == 2 && ascii_hex(c) >= 0)
        return;
    if (t->n == 3 && ascii_hex(t->held[1]) >= 0 && ascii_hex(c) >= 0) {
        buf_putc(out, (uint8_t)(ascii_hex(t->held[1]) << 4 | ascii_hex(c)));
        t->n = 0;
        return;
    }
    /* It was a "=" by itself. */
    buf_put(out, slice_from(t->held, t->n - (c == '=' ? 1u : 0u)));
    t->n = c == '=';
    t->held[0] = '=';
}

static void
feed_qp(struct transfer *t, struct slice in, struct buf *out)
{
    while (in.n > 0) {
        if (t->n == 0) {
            buf_put(out, take_until(&in, '='));
            if (take_byte(&in, '='))
                t->held[t->n++] = '=';
        } else {
            after_equals(t, in.p[0], out);
            in = slice_skip(in, 1);
        }
    }
}

void
transfer_feed(struct transfer *t, struct slice in, struct buf *out)
{
    if (t->kind == TRANSFER_BASE64)
        feed_base64(t, in, out);
    else if (t->kind == TRANSFER_QP)
        feed_qp(t, in, out);
    else
        buf_put(out, in);
}

void
transfer_end(struct transfer *t, struct buf *out)
{
    bool whole;

    if (t->n > 1 && !is_break(t, &whole)) /* a soft break at the end needs no end of line */
        buf_put(out, slice_from(t->held, t->n));
    t->n = t->n_bits = 0;
    t->bits = 0;
}
