/* Keys: what is read is what would be written, byte for byte; values and dumps never overrun. */
#include <assert.h>

#include "store/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF again = BUF_INIT(4096), text = BUF_INIT(1u << 24);
    struct slice in = slice_from(data, n), key, value;
    struct row_key got;

    if (n == 0)
        return 0;
    key = slice_sub(in, 1, data[0]);
    value = slice_skip(in, 1 + key.n);
    row_text(&text, key, value);
    assert(!buf_ok(&text) || text.p[text.n - 1] == '\n');
    row_range_end(&again, key);
    assert(again.n == 0 || slice_cmp(buf_slice(&again), key) > 0);
    buf_clear(&again);
    if (row_key_get(key, &got) != ST_OK)
        return 0;
    row_key_put(&again, &got);
    assert(buf_ok(&again) && slice_eq(buf_slice(&again), key));
    if (row_value_ok(got.kind, value) && got.kind == ROW_BODY) {
        struct row_body body;

        assert(row_body_get(value, &body) && body.prefix <= body.size);
    }
    return 0;
}
