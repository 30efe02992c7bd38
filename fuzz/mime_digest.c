/* A message in pieces: the digest does not tell how it was cut, reads back, and IMAP can say it. */
#include <assert.h>

#include "mime/imap_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_view(struct slice bytes, uint64_t total)
{
    AUTO_BUF out = BUF_INIT(64u << 20);
    struct digest_view view;
    struct digest_cursor c;
    struct digest_part part;
    enum status st = digest_get(bytes, &view);
    uint32_t parts = 0;

    assert(st == ST_OK);
    assert(view.header + view.body == total);
    for (c = digest_parts(&view); digest_next(&c, &part); parts++) {
        assert(part.body_at <= total && part.body <= total - part.body_at);
        assert(part.lines <= part.body);
    }
    assert(parts == view.parts);
    imap_put_envelope(&out, &view);
    imap_put_structure(&out, &view, true);
    assert(buf_ok(&out));
}

static void
compare(struct slice in, size_t most, uint8_t seed)
{
    AUTO_BUF whole = BUF_INIT(DIGEST_WHOLE + 131072);
    AUTO_BUF pieces = BUF_INIT(DIGEST_WHOLE + 131072);
    struct digester *d = digester_new(most);
    uint32_t step = seed;
    enum status st;

    assert(d != NULL);
    digest_feed(d, in);
    st = digest_finish(d, &whole);
    assert(st == ST_OK);
    digester_reset(d);
    for (size_t at = 0; at < in.n;) {
        struct slice piece;

        step = step * 1103515245u + 12345u;
        piece = slice_sub(in, at, 1 + (step >> 16) % (seed < 128 ? 7 : 200));
        digest_feed(d, piece);
        at += piece.n;
    }
    st = digest_finish(d, &pieces);
    assert(st == ST_OK);
    assert(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    check_view(buf_slice(&whole), in.n);
    digester_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    compare(slice_from(data + 1, n - 1), DIGEST_MAX, data[0]);
    compare(slice_from(data + 1, n - 1), 512, data[0]); /* everything is too much */
    compare(slice_from(data + 1, n - 1), DIGEST_WHOLE, data[0]);
    return 0;
}
