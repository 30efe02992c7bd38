#include "mime/decode.h"

#include <iconv.h>
#include <stdlib.h>
#include <unicase.h>
#include <unistr.h>
#include <uninorm.h>

#include "mime/header.h"

static int
base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void
mime_put_base64(struct buf *out, struct slice in)
{
    uint32_t bits = 0, n = 0;

    for (size_t i = 0; i < in.n; i++) {
        int digit = base64_digit(in.p[i]);

        if (in.p[i] == '=') { /* a new run may follow: parts that were encoded one by one */
            bits = n = 0;
            continue;
        }
        if (digit < 0)
            continue;
        bits = bits << 6 | (uint32_t)digit;
        n += 6;
        if (n >= 8) {
            n -= 8;
            buf_putc(out, (uint8_t)(bits >> n));
        }
    }
}

static int
hex_digit(uint8_t c)
{
    c = ascii_lower(c);
    return ascii_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
hex_pair(struct slice in, size_t i, uint8_t *byte)
{
    int high = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1, low = high >= 0 ? hex_digit(in.p[i + 2]) : -1;

    if (low < 0)
        return false;
    *byte = (uint8_t)(high << 4 | low);
    return true;
}

/* The soft line break at in.p[i] == '=', its length; 0: there is none. */
static size_t
soft_break(struct slice in, size_t i)
{
    size_t k = i + 1;

    while (k < in.n && k - i < 80 && (in.p[k] == ' ' || in.p[k] == '\t')) /* RFC 2045 6.7 (3) */
        k++;
    if (k == in.n)
        return k - i;
    if (in.p[k] == '\n')
        return k + 1 - i;
    return in.p[k] == '\r' && k + 1 < in.n && in.p[k + 1] == '\n' ? k + 2 - i : 0;
}

void
mime_put_qp(struct buf *out, struct slice in)
{
    for (size_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];
        size_t n;

        if (c == '=' && hex_pair(in, i, &c)) {
            i += 2;
        } else if (c == '=' && (n = soft_break(in, i)) > 0) {
            i += n - 1;
            continue;
        }
        buf_putc(out, c);
    }
}

void
mime_put_decoded(struct buf *out, struct slice encoding, struct slice in)
{
    if (slice_eq_nocase(encoding, SLICE("base64")))
        mime_put_base64(out, in);
    else if (slice_eq_nocase(encoding, SLICE("quoted-printable")))
        mime_put_qp(out, in);
    else
        buf_put(out, in);
}

static void
put_latin1(struct buf *out, struct slice in)
{
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] < 0x80) {
            buf_putc(out, in.p[i]);
        } else {
            buf_putc(out, (uint8_t)(0xc0 | in.p[i] >> 6));
            buf_putc(out, (uint8_t)(0x80 | (in.p[i] & 0x3f)));
        }
    }
}

#define REPLACEMENT "\xef\xbf\xbd"

static void
put_converted(struct buf *out, iconv_t cd, struct slice in)
{
    char *from = (char *)(uintptr_t)in.p; /* iconv does not write there */
    size_t left = in.n;
    char room[512];

    while (left > 0 && buf_ok(out)) {
        char *to = room;
        size_t space = sizeof room, rc = iconv(cd, &from, &left, &to, &space);

        buf_put(out, slice_from(room, (size_t)(to - room)));
        if (rc == (size_t)-1 && space == sizeof room && left > 0) { /* nothing more can be made of this byte */
            buf_puts(out, REPLACEMENT);
            from++;
            left--;
        }
    }
}

void
mime_put_utf8(struct buf *out, struct slice charset, struct slice in)
{
    char name[64];
    iconv_t cd = (iconv_t)-1;
    bool utf8 = slice_eq_nocase(charset, SLICE("utf-8")) || slice_eq_nocase(charset, SLICE("us-ascii"));

    if (in.n == 0)
        return;
    if (utf8 && u8_check(in.p, in.n) == NULL) {
        buf_put(out, in);
        return;
    }
    /* A "//" would be an option to iconv, not a name. */
    if (charset.n > 0 && slice_find(charset, '/') == charset.n && slice_to_cstr(charset, name, sizeof name))
        cd = iconv_open("UTF-8", slice_eq_nocase(charset, SLICE("us-ascii")) ? "UTF-8" : name);
    if (cd != (iconv_t)-1) {
        put_converted(out, cd, in);
        (void)iconv_close(cd);
    } else if (u8_check(in.p, in.n) == NULL) {
        buf_put(out, in);
    } else {
        put_latin1(out, in);
    }
}

/* RFC 2047 4.2 */
static void
put_q(struct buf *out, struct slice in)
{
    for (size_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];

        if (c == '=' && hex_pair(in, i, &c))
            i += 2;
        else if (c == '_')
            c = ' ';
        buf_putc(out, c);
    }
}

#define WORD_MAX 8192 /* RFC 2047 2 allows 75; longer ones are sent */

/* "=?charset?encoding?text?=" at the front; its decoded text is put. */
static bool
take_word(struct slice *in, struct buf *out)
{
    struct slice at = slice_sub(*in, 0, WORD_MAX), charset, text;
    AUTO_BUF raw = BUF_INIT(WORD_MAX);
    size_t end;
    uint8_t encoding;

    if (!take_literal(&at, SLICE("=?")))
        return false;
    charset = take_until(&at, '?');
    if (at.n < 3 || at.p[2] != '?' || charset.n == 0 || charset.n > 60)
        return false;
    encoding = ascii_lower(at.p[1]);
    at = slice_skip(at, 3);
    end = slice_find(at, '?');
    if (end + 1 >= at.n || at.p[end + 1] != '=' || (encoding != 'q' && encoding != 'b'))
        return false;
    text = slice_sub(at, 0, end);
    charset.n = slice_find(charset, '*'); /* RFC 2231 5: the language */
    if (encoding == 'q')
        put_q(&raw, text);
    else
        mime_put_base64(&raw, text);
    mime_put_utf8(out, charset, buf_slice(&raw));
    at = slice_skip(at, end + 2);
    *in = slice_skip(*in, (size_t)(at.p - in->p));
    return true;
}

void
mime_put_words(struct buf *out, struct slice value)
{
    AUTO_BUF flat = BUF_INIT(value.n + 64);
    struct slice in;

    mime_put_unfolded(&flat, value);
    in = buf_slice(&flat);
    while (in.n > 0) {
        struct slice plain = take_until(&in, '='), next;
        bool word;

        mime_put_utf8(out, (struct slice){0}, plain);
        if (in.n == 0)
            break;
        word = take_word(&in, out);
        if (!word) {
            buf_putc(out, '=');
            in = slice_skip(in, 1);
        }
        next = slice_trim(in); /* RFC 2047 6.2: space between two words is not shown */
        while (word && next.n > 0 && take_word(&next, out))
            in = next, next = slice_trim(in);
    }
}

void
mime_put_ext_value(struct buf *out, struct slice value)
{
    AUTO_BUF raw = BUF_INIT(value.n + 64);
    struct slice charset = take_until(&value, '\'');

    if (!take_byte(&value, '\'')) {
        value = charset;
        charset = (struct slice){0};
    } else {
        (void)take_until(&value, '\'');
        (void)take_byte(&value, '\'');
    }
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];

        if (c == '%' && hex_pair(value, i, &c))
            i += 2;
        buf_putc(&raw, c);
    }
    mime_put_utf8(out, charset, buf_slice(&raw));
}

static bool
is_ascii(struct slice s)
{
    uint8_t bits = 0;

    for (size_t i = 0; i < s.n; i++)
        bits |= s.p[i];
    return (bits & 0x80) == 0;
}

bool
mime_contains(struct slice text, struct slice needle)
{
    AUTO_BUF clean = BUF_INIT(4 * text.n + 64);
    uint8_t *a, *b;
    size_t a_n = 0, b_n = 0;
    bool found = false;

    if (needle.n == 0)
        return true;
    if (is_ascii(needle) && (is_ascii(text) || slice_find_nocase(text, needle) < text.n))
        return slice_find_nocase(text, needle) < text.n;
    mime_put_utf8(&clean, SLICE("utf-8"), text); /* the folding below wants valid UTF-8 */
    if (u8_check(needle.p, needle.n) != NULL)
        return slice_find_slice(text, needle) < text.n;
    a = u8_casefold(clean.p, clean.n, NULL, UNINORM_NFKC, NULL, &a_n);
    b = u8_casefold(needle.p, needle.n, NULL, UNINORM_NFKC, NULL, &b_n);
    if (a != NULL && b != NULL)
        found = slice_find_slice(slice_from(a, a_n), slice_from(b, b_n)) < a_n;
    free(a);
    free(b);
    return found;
}
