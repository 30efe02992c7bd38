/* Mailbox names: what decodes encodes to the same bytes, what encodes decodes to the same, neither has controls. */
#include <assert.h>

#include "imap/mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF a = BUF_INIT(1u << 22);
    AUTO_BUF b = BUF_INIT(1u << 22);
    struct slice in = slice_from(data, n);

    if (imap_utf7_decode(in, &a) == ST_OK) {
        for (size_t i = 0; i < a.n; i++)
            assert(a.p[i] >= 0x20 && a.p[i] != 0x7f);
        assert(imap_utf7_encode(buf_slice(&a), &b) == ST_OK);
        assert(slice_eq(buf_slice(&b), in));
    } else {
        assert(a.n == 0);
    }
    buf_clear(&a);
    buf_clear(&b);
    if (imap_utf7_encode(in, &a) == ST_OK) {
        assert(imap_utf7_decode(buf_slice(&a), &b) == ST_OK);
        assert(slice_eq(buf_slice(&b), in));
    } else {
        assert(a.n == 0);
    }
    buf_clear(&a);
    if (imap_mailbox_decode(in, &a) == ST_OK) {
        assert(a.n > 0 && a.n <= IMAP_NAME_MAX && a.p[0] != IMAP_SEPARATOR && a.p[a.n - 1] != IMAP_SEPARATOR);
        (void)imap_pattern_match(slice_sub(in, 0, 60), buf_slice(&a));
    } else {
        assert(a.n == 0);
    }
    return 0;
}
