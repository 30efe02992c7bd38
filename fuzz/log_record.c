/* Records and batch headers: what is accepted lies within the input. */
#include <assert.h>

#include "store/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);
    struct log_record r = {0};
    struct log_batch_header h = {0};

    if (log_record_get(in, 1, 1, &r) == ST_OK) {
        assert(r.length <= n && r.meta.n <= r.length && r.body.n <= r.length - r.meta.n);
        assert(r.meta.n == 0 || (r.meta.p >= data && r.meta.p + r.meta.n <= data + n));
        assert(r.body.n == 0 || (r.body.p >= data && r.body.p + r.body.n <= data + n));
    }
    if (log_batch_header_get(in, 1, 1, &h) == ST_OK)
        assert(n >= LOG_BATCH_HEADER);
    return 0;
}
