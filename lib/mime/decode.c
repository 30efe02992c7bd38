#include "mime/decode.h"

#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include "mime/charset.h"
#include "mime/header.h"
#include "mime/transfer.h"

static bool
hex_pair(struct slice in, size_t i, uint8_t *byte)
{
    int high = i + 2 < in.n ? ascii_hex(in.p[i + 1]) : -1, low = high >= 0 ? ascii_hex(in.p[i + 2]) : -1;

    if (low < 0)
        return false;
    *byte = (uint8_t)(high << 4 | low);
    return true;
}

void
mime_put_decoded(struct buf *out, struct slice encoding, struct slice in)
{
    struct transfer t;

    transfer_init(&t, encoding);
    transfer_feed(&t, in, out);
    transfer_end(&t, out);
}

void
mime_put_utf8(struct buf *out, struct slice charset, struct slice in)
{
    struct charset c;

    charset_init(&c, charset);
    charset_feed(&c, in, out);
    charset_end(&c, out);
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

/* An encoded word and the charset that it leaves: a character may go on in the next word, against RFC 2047 5 (3),
 * because programs that fold by bytes exist. */
struct word {
    struct charset charset;
    struct slice name; /* of it; perhaps empty: "=?*en?q?a?=" */
    bool open;
};

static void
word_end(struct word *w, struct buf *out)
{
    if (w->open)
        charset_end(&w->charset, out);
    w->open = false;
}

/* "=?charset?encoding?text?=" at the front; its decoded text is put. */
static bool
take_word(struct slice *in, struct word *w, struct buf *out)
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
    if (encoding == 'q') /* a '?' that should have been encoded is not the end */
        while (end + 1 < at.n && at.p[end + 1] != '=')
            end += 1 + slice_find(slice_skip(at, end + 1), '?');
    if (end + 1 >= at.n || at.p[end + 1] != '=' || (encoding != 'q' && encoding != 'b'))
        return false;
    text = slice_sub(at, 0, end);
    charset.n = slice_find(charset, '*'); /* RFC 2231 5: the language */
    if (encoding == 'q')
        put_q(&raw, text);
    else
        mime_put_decoded(&raw, SLICE("base64"), text);
    if (!w->open || !slice_eq_nocase(w->name, charset)) {
        word_end(w, out);
        charset_init(&w->charset, charset);
        w->name = charset;
        w->open = true;
    }
    charset_feed(&w->charset, buf_slice(&raw), out);
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
        struct slice next;
        struct word w = {0};

        mime_put_utf8(out, (struct slice){0}, take_until(&in, '='));
        if (in.n == 0)
            break;
        if (!take_word(&in, &w, out)) {
            buf_putc(out, '=');
            in = slice_skip(in, 1);
            continue;
        }
        next = slice_trim(in); /* RFC 2047 6.2: space between two words is not shown */
        while (next.n > 0 && take_word(&next, &w, out))
            in = next, next = slice_trim(in);
        word_end(&w, out);
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

/* What is left of a character once all that can be taken apart is. Decompositions in Unicode's own table: hence
 * the recursion, which it bounds. */
static void
put_decomposed(struct buf *out, ucs4_t c, unsigned depth)
{
    ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
    int tag, n = depth < 8 ? uc_decomposition(c, &tag, parts) : -1;

    if (n < 0)
        charset_put(out, c);
    for (int i = 0; i < n; i++)
        put_decomposed(out, parts[i], depth + 1);
}

void
mime_put_casemap(struct buf *out, struct slice utf8)
{
    while (utf8.n > 0) {
        ucs4_t c;
        int n;

        if (utf8.p[0] < 0x80) {
            buf_putc(out, ascii_upper(utf8.p[0]));
            utf8 = slice_skip(utf8, 1);
            continue;
        }
        n = u8_mbtouc(&c, utf8.p, utf8.n); /* U+FFFD for what is not UTF-8 */
        put_decomposed(out, uc_totitle(c), 0);
        utf8 = slice_skip(utf8, n > 0 ? (size_t)n : 1);
    }
}

bool
mime_contains(struct slice text, struct slice needle)
{
    AUTO_BUF folded = BUF_INIT(MIME_CASEMAP_MAX * text.n + 64);

    if (needle.n == 0)
        return true;
    mime_put_casemap(&folded, text);
    return slice_find_slice(buf_slice(&folded), needle) < folded.n;
}
