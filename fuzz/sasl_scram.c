/* SCRAM: the hash and -PLUS, then lines "first", "final". No input makes an unknown name succeed, nor a known one without its password. */
#include <assert.h>

#include "sasl/scram.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct scram_binding bindings[] = {{{0}, {0}}, {SLICE("exporter"), SLICE("end point")}};
    const uint8_t how = n > 0 ? data[0] : 0;
    struct slice in = slice_skip(slice_from(data, n), 1);
    const struct scram_binding *binding = &bindings[how >> 2 & 1];
    struct slice first = take_until(&in, '\n');
    AUTO_BUF out = BUF_INIT(10000);
    struct scram_verifier v;
    struct scram s = {0};

    (void)take_byte(&in, '\n');
    if (scram_first(&s, how & 1 ? SCRAM_SHA1 : SCRAM_SHA256, how & 2, binding, first) == ST_MORE) {
        assert(s.name_n > 0 && s.name_n <= SASL_NAME_MAX);
        /* RFC 5802 6: bound if and only if a -PLUS mechanism was chosen, and never "y" where binding is offered */
        assert((s.bound_n > 0) == ((how & 2) != 0) && (s.bound_n == 0 || binding->exporter.n > 0));
        assert(!slice_starts(first, 'y') || binding->exporter.n == 0);
        assert(scram_fake(s.hash, SLICE("key"), slice_from(s.name, s.name_n), &v));
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
