/* SASLprep gives UTF-8 without controls, within its limit, and of its own result the same again; ASCII stays.
 */
#include <assert.h>

#include "sasl/prep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF out = BUF_INIT(SASL_PASSWORD_MAX), again = BUF_INIT(SASL_PASSWORD_MAX);
    struct slice in = slice_from(data, n);
    bool ascii = true;

    for (size_t i = 0; i < n; i++)
        ascii = ascii && data[i] < 0x80;
    if (sasl_prep(in, &out) != ST_OK) {
        assert(out.n == 0);
        return 0;
    }
    assert(out.n > 0 && out.n <= SASL_PASSWORD_MAX && sasl_password_ok(buf_slice(&out)));
    assert(!ascii || slice_eq(buf_slice(&out), in));
    /* Not always allowed again: what a mark became may change which directions are mixed. */
    assert(sasl_prep(buf_slice(&out), &again) != ST_OK || slice_eq(buf_slice(&again), buf_slice(&out)));
    return 0;
}
