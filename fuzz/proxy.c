/* A header is bounded, says the same however it arrives, and its TLVs lie within it. */
#include <assert.h>

#include "proxy/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice whole = slice_from(data, n), in = whole, rest;
    struct proxy got = {.version = 9};
    struct proxy_tlv tlv;
    enum status st = proxy_parse(&in, &got);
    size_t used = n - in.n;

    if (st != ST_OK)
        assert(in.p == whole.p && in.n == n && got.version == 9);
    if (st == ST_MORE)
        assert(n < PROXY_MAX);
    for (size_t i = 0; i < n && i < PROXY_MAX; i++) {
        struct slice part = slice_sub(whole, 0, i);
        struct proxy again;
        enum status early = proxy_parse(&part, &again);

        if (st == ST_OK && i >= used)
            break;
        assert(early == ST_MORE || (early == st && st != ST_OK));
    }
    if (st != ST_OK)
        return 0;
    assert(used <= PROXY_MAX && (got.version == 2 || used <= PROXY_V1_MAX));
    assert(got.family == 0 || got.family == 4 || got.family == 6);
    assert(!got.local || (got.family == 0 && got.tlvs.n == 0));
    rest = got.tlvs;
    while (proxy_tlv_next(&rest, &tlv))
        assert(tlv.value.n == 0 || (tlv.value.p >= data && tlv.value.p + tlv.value.n <= data + used));
    assert(rest.n == 0);
    return 0;
}
