#include "imap/mailbox.h"

static const uint8_t alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int
digit_value(uint8_t c)
{
    const uint8_t *at = c != '\0' ? memchr(alphabet, c, 64) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

static bool
is_control(uint32_t u)
{
    return u < 0x20 || (u >= 0x7f && u < 0xa0);
}

static bool
is_direct(uint32_t u)
{
    return u >= 0x20 && u < 0x7f;
}

static void
put_utf8(struct buf *b, uint32_t u)
{
    if (u < 0x80) {
        buf_putc(b, (uint8_t)u);
        return;
    }
    if (u < 0x800) {
        buf_putc(b, (uint8_t)(0xc0 | u >> 6));
    } else {
        if (u < 0x10000) {
            buf_putc(b, (uint8_t)(0xe0 | u >> 12));
        } else {
            buf_putc(b, (uint8_t)(0xf0 | u >> 18));
            buf_putc(b, (uint8_t)(0x80 | (u >> 12 & 0x3f)));
        }
        buf_putc(b, (uint8_t)(0x80 | (u >> 6 & 0x3f)));
    }
    buf_putc(b, (uint8_t)(0x80 | (u & 0x3f)));
}

/* One character, shortest form, no surrogates (RFC 3629 4). */
static bool
take_utf8(struct slice *in, uint32_t *out)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t u;
    size_t more;

    if (in->n == 0)
        return false;
    u = in->p[0];
    if (u < 0x80)
        more = 0;
    else if (u >= 0xc2 && u < 0xe0)
        more = 1, u &= 0x1f;
    else if (u >= 0xe0 && u < 0xf0)
        more = 2, u &= 0x0f;
    else if (u >= 0xf0 && u < 0xf5)
        more = 3, u &= 0x07;
    else
        return false;
    if (in->n <= more)
        return false;
    for (size_t i = 1; i <= more; i++) {
        if ((in->p[i] & 0xc0) != 0x80)
            return false;
        u = u << 6 | (in->p[i] & 0x3fu);
    }
    if (u < least[more] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
        return false;
    *in = slice_skip(*in, more + 1);
    *out = u;
    return true;
}

/* One UTF-16 unit of a shifted run. *high holds the first half of a pair between calls. */
static bool
on_unit(struct buf *b, uint32_t unit, uint32_t *high)
{
    if (*high != 0) {
        if (unit < 0xdc00 || unit > 0xdfff)
            return false;
        put_utf8(b, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
        *high = 0;
        return true;
    }
    if (unit >= 0xd800 && unit < 0xdc00) {
        *high = unit;
        return true;
    }
    if (unit >= 0xdc00 && unit < 0xe000)
        return false;
    if (is_direct(unit) || is_control(unit)) /* RFC 3501 5.1.3: US-ASCII stands for itself */
        return false;
    put_utf8(b, unit);
    return true;
}

/* After "&": the run up to and with its "-". */
static bool
take_shifted(struct slice *in, struct buf *b)
{
    uint32_t bits = 0, high = 0;
    unsigned held = 0;
    size_t i;

    for (i = 0; i < in->n && in->p[i] != '-'; i++) {
        int v = digit_value(in->p[i]);

        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held >= 16) {
            held -= 16;
            if (!on_unit(b, bits >> held & 0xffff, &high))
                return false;
            bits &= (1u << held) - 1;
        }
    }
    /* At the end: less than a digit left over, all zero, no half pair. */
    if (i == in->n || held >= 6 || bits != 0 || high != 0)
        return false;
    *in = slice_skip(*in, i + 1);
    return true;
}

enum status
imap_utf7_decode(struct slice utf7, struct buf *utf8)
{
    struct slice at = utf7;
    size_t before = utf8->n;
    bool shifted = false; /* the last thing read was a run: a second one at once would be superfluous */

    while (at.n > 0) {
        uint8_t c = at.p[0];

        if (!is_direct(c))
            goto broken;
        at = slice_skip(at, 1);
        if (c != '&') {
            buf_putc(utf8, c);
            shifted = false;
        } else if (take_byte(&at, '-')) {
            buf_putc(utf8, '&');
            shifted = false;
        } else {
            if (shifted || !take_shifted(&at, utf8))
                goto broken;
            shifted = true;
        }
    }
    if (buf_ok(utf8))
        return ST_OK;
    utf8->n = before;
    return ST_LIMIT;

broken:
    utf8->n = before;
    return ST_SYNTAX;
}

/* UTF-16 units to base64 as they come. */
struct shift {
    uint32_t bits;
    unsigned held;
    bool on;
};

static void
shift_unit(struct buf *b, struct shift *s, uint32_t unit)
{
    if (!s->on)
        buf_putc(b, '&');
    s->on = true;
    s->bits = s->bits << 16 | unit;
    s->held += 16;
    while (s->held >= 6) {
        s->held -= 6;
        buf_putc(b, alphabet[s->bits >> s->held & 0x3f]);
        s->bits &= (1u << s->held) - 1;
    }
}

static void
shift_end(struct buf *b, struct shift *s)
{
    if (s->held > 0)
        buf_putc(b, alphabet[s->bits << (6 - s->held) & 0x3f]);
    if (s->on)
        buf_putc(b, '-');
    *s = (struct shift){0};
}

enum status
imap_utf7_encode(struct slice utf8, struct buf *utf7)
{
    struct slice at = utf8;
    struct shift s = {0};
    size_t before = utf7->n;
    uint32_t u;

    while (at.n > 0) {
        if (!take_utf8(&at, &u) || is_control(u)) {
            utf7->n = before;
            return ST_SYNTAX;
        }
        if (is_direct(u)) {
            shift_end(utf7, &s);
            buf_putc(utf7, (uint8_t)u);
            if (u == '&')
                buf_putc(utf7, '-');
        } else if (u < 0x10000) {
            shift_unit(utf7, &s, u);
        } else {
            shift_unit(utf7, &s, 0xd800 + ((u - 0x10000) >> 10));
            shift_unit(utf7, &s, 0xdc00 + (u & 0x3ff));
        }
    }
    shift_end(utf7, &s);
    if (buf_ok(utf7))
        return ST_OK;
    utf7->n = before;
    return ST_LIMIT;
}

bool
imap_utf8_ok(struct slice text)
{
    uint32_t u;

    while (text.n > 0)
        if (!take_utf8(&text, &u) || is_control(u))
            return false;
    return true;
}

/* What was put behind `before` as a name. */
static enum status
check_name(struct buf *utf8, size_t before)
{
    struct slice at, name, level;

    if (utf8->n > before && utf8->p[utf8->n - 1] == IMAP_SEPARATOR)
        utf8->n--;
    name = at = slice_skip(buf_slice(utf8), before);
    if (name.n > IMAP_NAME_MAX) {
        utf8->n = before;
        return ST_LIMIT;
    }
    do {
        if (take_until(&at, IMAP_SEPARATOR).n == 0) {
            utf8->n = before;
            return ST_SYNTAX;
        }
    } while (take_byte(&at, IMAP_SEPARATOR));

    at = name;
    level = take_until(&at, IMAP_SEPARATOR);
    if (slice_eq_nocase(level, SLICE("INBOX")))
        memcpy(utf8->p + before, "INBOX", 5);
    return ST_OK;
}

enum status
imap_mailbox_decode(struct slice wire, struct buf *utf8)
{
    size_t before = utf8->n;
    enum status st = wire.n > IMAP_NAME_MAX ? ST_LIMIT : imap_utf7_decode(wire, utf8);

    return st == ST_OK ? check_name(utf8, before) : st;
}

enum status
imap_mailbox_from_utf8(struct slice wire, struct buf *utf8)
{
    size_t before = utf8->n;

    if (wire.n > IMAP_NAME_MAX)
        return ST_LIMIT;
    if (!imap_utf8_ok(wire))
        return ST_SYNTAX;
    buf_put(utf8, wire);
    return buf_ok(utf8) ? check_name(utf8, before) : ST_LIMIT;
}

bool
imap_mailbox_creatable(struct slice utf8)
{
    return utf8.n > 0 && slice_find(utf8, '*') == utf8.n && slice_find(utf8, '%') == utf8.n;
}

static bool
same_char(struct slice name, size_t i, uint8_t want)
{
    bool inbox = i < 5 && slice_has_prefix(name, SLICE("INBOX")) && (name.n == 5 || name.p[5] == IMAP_SEPARATOR);

    return inbox ? ascii_lower(name.p[i]) == ascii_lower(want) : name.p[i] == want;
}

/* Greedy, with one place to come back to for each wildcard. The last "*" is enough for all before it. So is the
 * last "%" since the last "*": an earlier one could only grow within its own level, which its end pins. */
bool
imap_pattern_match(struct slice pattern, struct slice name)
{
    size_t p = 0, i = 0, star = SIZE_MAX, star_i = 0, pct = SIZE_MAX, pct_i = 0;

    while (i < name.n || p < pattern.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = ++p;
            star_i = i;
            pct = SIZE_MAX;
        } else if (p < pattern.n && pattern.p[p] == '%') {
            pct = ++p;
            pct_i = i;
        } else if (p < pattern.n && i < name.n && same_char(name, i, pattern.p[p])) {
            p++;
            i++;
        } else if (pct != SIZE_MAX && pct_i < name.n && name.p[pct_i] != IMAP_SEPARATOR) {
            p = pct;
            i = ++pct_i;
        } else if (star != SIZE_MAX && star_i < name.n) {
            p = star;
            i = ++star_i;
            pct = SIZE_MAX;
        } else {
            return false;
        }
    }
    return true;
}
