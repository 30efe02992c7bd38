#include "imap/token.h"

enum { QUOTED_MAX = 1000 }; /* longer ones go as literals: some clients have small line buffers */

bool
imap_atom_char(uint8_t c)
{
    return c > 0x20 && c < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

bool
imap_astring_char(uint8_t c)
{
    return imap_atom_char(c) || c == ']';
}

static bool
tag_char(uint8_t c)
{
    return imap_astring_char(c) && c != '+'; /* "+" would look like a continuation */
}

static bool
list_char(uint8_t c)
{
    return imap_astring_char(c) || c == '%' || c == '*';
}

static enum status
take_run(struct slice *in, bool (*is)(uint8_t), struct slice *out)
{
    struct slice at = *in, got = take_while(&at, is);

    if (got.n == 0)
        return ST_SYNTAX;
    *in = at;
    *out = got;
    return ST_OK;
}

enum status
imap_take_tag(struct slice *in, struct slice *tag)
{
    struct slice at = *in, got;

    if (take_run(&at, tag_char, &got) != ST_OK)
        return ST_SYNTAX;
    if (got.n > IMAP_TAG_MAX)
        return ST_LIMIT;
    *in = at;
    *tag = got;
    return ST_OK;
}

enum status
imap_take_atom(struct slice *in, struct slice *atom)
{
    return take_run(in, imap_atom_char, atom);
}

/* The bytes between the quotes, escapes still in place. */
static enum status
take_quoted_raw(struct slice *in, struct slice *raw, bool *escaped)
{
    struct slice at = *in;
    size_t n = 0;
    bool esc = false;

    if (!take_byte(&at, '"'))
        return ST_SYNTAX;
    for (; n < at.n && at.p[n] != '"'; n++) {
        if (at.p[n] == '\0' || at.p[n] == '\r' || at.p[n] == '\n')
            return ST_SYNTAX;
        if (at.p[n] != '\\')
            continue;
        esc = true;
        if (++n == at.n || (at.p[n] != '"' && at.p[n] != '\\'))
            return ST_SYNTAX; /* RFC 3501 9: only quoted-specials are escaped */
    }
    if (n == at.n)
        return ST_SYNTAX;
    *raw = slice_sub(at, 0, n);
    *escaped = esc;
    *in = slice_skip(at, n + 1);
    return ST_OK;
}

enum status
imap_take_quoted(struct slice *in, struct arena *a, struct slice *out)
{
    struct slice at = *in, raw;
    bool escaped;
    uint8_t *p;
    size_t n = 0;

    if (take_quoted_raw(&at, &raw, &escaped) != ST_OK)
        return ST_SYNTAX;
    if (escaped) {
        if ((p = arena_alloc(a, raw.n)) == NULL)
            return ST_MEMORY;
        for (size_t i = 0; i < raw.n; i++) {
            if (raw.p[i] == '\\')
                i++; /* never the last byte: take_quoted_raw() saw to that */
            p[n++] = raw.p[i];
        }
        raw = slice_from(p, n);
    }
    *in = at;
    *out = raw;
    return ST_OK;
}

enum status
imap_take_literal(struct slice *in, struct slice *out)
{
    struct slice at = *in, got;
    uint64_t n;

    if (!take_byte(&at, '{') || !take_number(&at, UINT32_MAX, &n))
        return ST_SYNTAX;
    (void)take_byte(&at, '+');
    if (!take_literal(&at, SLICE("}\r\n")) || !take_bytes(&at, (size_t)n, &got))
        return ST_SYNTAX;
    if (slice_find(got, '\0') < got.n) /* RFC 3501 9: CHAR8 has no NUL */
        return ST_SYNTAX;
    *in = at;
    *out = got;
    return ST_OK;
}

enum status
imap_take_string(struct slice *in, struct arena *a, struct slice *out)
{
    return slice_starts(*in, '{') ? imap_take_literal(in, out) : imap_take_quoted(in, a, out);
}

static enum status
take_word_or_string(struct slice *in, bool (*is)(uint8_t), struct arena *a, struct slice *out)
{
    if (slice_starts(*in, '{') || slice_starts(*in, '"'))
        return imap_take_string(in, a, out);
    return take_run(in, is, out);
}

enum status
imap_take_astring(struct slice *in, struct arena *a, struct slice *out)
{
    return take_word_or_string(in, imap_astring_char, a, out);
}

enum status
imap_take_pattern(struct slice *in, struct arena *a, struct slice *out)
{
    return take_word_or_string(in, list_char, a, out);
}

enum status
imap_take_number(struct slice *in, uint32_t *out)
{
    struct slice at = *in;
    uint64_t n;

    if (!slice_starts(at, '0') && (at.n == 0 || !ascii_digit(at.p[0])))
        return ST_SYNTAX;
    if (!take_number(&at, UINT32_MAX, &n))
        return ST_LIMIT;
    *in = at;
    *out = (uint32_t)n;
    return ST_OK;
}

enum status
imap_take_nz_number(struct slice *in, uint32_t *out)
{
    struct slice at = *in;
    uint32_t n;
    enum status st = imap_take_number(&at, &n);

    if (st != ST_OK)
        return st;
    if (slice_starts(*in, '0')) /* nz-number = digit-nz *DIGIT */
        return ST_SYNTAX;
    *in = at;
    *out = n;
    return ST_OK;
}

bool
imap_literal_header(struct slice line, struct imap_literal *out)
{
    struct imap_literal got = {.sync = true};
    size_t end = line.n, at;
    struct slice digits;

    if (end == 0 || line.p[--end] != '}')
        return false;
    if (end > 0 && line.p[end - 1] == '+') {
        got.sync = false;
        end--;
    }
    for (at = end; at > 0 && ascii_digit(line.p[at - 1]);)
        at--;
    digits = slice_sub(line, at, end - at);
    if (at == 0 || line.p[at - 1] != '{' || digits.n == 0)
        return false;
    /* A number past 64 bits is a literal all the same, larger than any limit. */
    if (!take_number(&digits, UINT64_MAX, &got.n))
        got.n = UINT64_MAX;
    got.eight = at > 1 && line.p[at - 2] == '~';
    got.at = at - (got.eight ? 2 : 1);
    *out = got;
    return true;
}

static bool
quotable(struct slice s, bool utf8)
{
    if (s.n > QUOTED_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == '\0' || (s.p[i] >= 0x80 && !utf8))
            return false;
    }
    return true;
}

static void
put_string(struct buf *b, struct slice s, bool utf8)
{
    bool quote = quotable(s, utf8);

    if (quote) {
        buf_putc(b, '"');
    } else {
        buf_putc(b, '{');
        buf_put_u64(b, s.n);
        buf_puts(b, "}\r\n");
    }
    for (size_t i = 0; i < s.n; i++) {
        if (quote && (s.p[i] == '"' || s.p[i] == '\\'))
            buf_putc(b, '\\');
        buf_putc(b, s.p[i] != '\0' ? s.p[i] : '?');
    }
    if (quote)
        buf_putc(b, '"');
}

void
imap_put_string(struct buf *b, struct slice s)
{
    put_string(b, s, false);
}

void
imap_put_nstring(struct buf *b, struct slice s)
{
    if (s.p == NULL)
        buf_puts(b, "NIL");
    else
        imap_put_string(b, s);
}

static void
put_astring(struct buf *b, struct slice s, bool utf8)
{
    struct slice at = s;

    /* "NIL" as an atom would be read as no string at all by some clients. */
    if (s.n == 0 || s.n > QUOTED_MAX || take_while(&at, imap_astring_char).n < s.n || slice_eq_nocase(s, SLICE("NIL")))
        put_string(b, s, utf8);
    else
        buf_put(b, s);
}

void
imap_put_astring(struct buf *b, struct slice s)
{
    put_astring(b, s, false);
}

void
imap_put_utf8_astring(struct buf *b, struct slice s)
{
    put_astring(b, s, true);
}
