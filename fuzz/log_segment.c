/* Segment headers: whatever the bytes, a manifest that is accepted can be read to its end. */
#include <assert.h>
#include <string.h>

#include "store/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t header[LOG_HEADER];
    struct log_header h = {0};
    uint64_t sum = 0;

    memset(header, 0, sizeof(header));
    memcpy(header, data, n < sizeof(header) ? n : sizeof(header));
    if (log_header_get(header, &h) == ST_OK)
        for (uint32_t i = 0; i < h.n_living; i++)
            sum += log_header_living(header, i).end;
    assert(h.n_living <= LOG_SEGMENTS_MAX || sum == 0);
    return 0;
}
