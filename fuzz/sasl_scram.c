/* SCRAM: lines "first", "final". No input makes an unknown name succeed, nor a known one without its password. */
#include <assert.h>

#include "sasl/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);
    struct slice first = take_until(&in, '\n');
    AUTO_BUF out = BUF_INIT(10000);
    struct scram_verifier v;
    struct scram s = {0};

    (void)take_byte(&in, '\n');
    if (scram_first(&s, first) == ST_MORE) {
        assert(s.name_n > 0 && s.name_n <= SASL_NAME_MAX);
        assert(scram_fake(SLICE("key"), slice_from(s.name, s.name_n), &v));
        assert(scram_begin(&s, SLICE("abcdef"), &v, n % 2 == 0, &out) == ST_MORE);
        buf_clear(&out);
        assert(scram_final(&s, in, &out) != ST_OK);
        assert(scram_final(&s, in, &out) == ST_STATE);
    } else {
        assert(s.state == SCRAM_OVER);
    }
    scram_done(&s);
    return 0;
}
