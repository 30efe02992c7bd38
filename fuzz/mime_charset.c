/* Charsets and transfer encodings: however the bytes are cut, the same comes out; of a charset, whole valid UTF-8; of
 * an encoding, no more than went in. */
#include <assert.h>

#include "mime/charset.h"
#include "mime/decode.h"
#include "mime/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const charsets[] = {"utf-8",  "us-ascii", "iso-8859-1", "koi8-r", "shift_jis", "euc-jp",   "iso-2022-jp", "iso-2022-kr",
                                       "euc-kr", "gb18030",  "big5",       "utf-16", "utf-16le",  "utf-16be", "utf-7"};
static const char *const encodings[] = {"7bit", "base64", "quoted-printable", "x-odd"};

static void
try_charset(struct slice name, struct slice in, size_t piece)
{
    AUTO_BUF whole = BUF_INIT(4 * in.n + 64), pieces = BUF_INIT(4 * in.n + 64), again = BUF_INIT(4 * in.n + 64),
             folded = BUF_INIT(MIME_CASEMAP_MAX * 4 * in.n + 1024);
    struct charset c;

    mime_put_utf8(&whole, name, in);
    charset_init(&c, name);
    for (size_t at = 0; at < in.n; at += piece)
        charset_feed(&c, slice_sub(in, at, piece), &pieces);
    charset_end(&c, &pieces);
    assert(buf_ok(&whole) && buf_ok(&pieces) && slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    mime_put_utf8(&again, SLICE("utf-8"), buf_slice(&whole));
    assert(slice_eq(buf_slice(&whole), buf_slice(&again)));
    mime_put_casemap(&folded, buf_slice(&whole));
    assert(buf_ok(&folded));
}

static void
try_transfer(struct slice name, struct slice in, size_t piece)
{
    AUTO_BUF whole = BUF_INIT(in.n + 64), pieces = BUF_INIT(in.n + 64);
    struct transfer t;

    mime_put_decoded(&whole, name, in);
    transfer_init(&t, name);
    for (size_t at = 0; at < in.n; at += piece)
        transfer_feed(&t, slice_sub(in, at, piece), &pieces);
    transfer_end(&t, &pieces);
    assert(whole.n <= in.n && slice_eq(buf_slice(&whole), buf_slice(&pieces)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);
    size_t which = n > 0 ? data[0] : 0, piece = n > 1 ? data[1] % 9 + 1u : 1;

    in = slice_skip(in, 2);
    try_charset(slice_of(charsets[which % COUNT(charsets)]), in, piece);
    try_transfer(slice_of(encodings[which % COUNT(encodings)]), in, piece);
    return 0;
}
