/* PLAIN, LOGIN and base64: what is accepted is in bounds, fits its limits, and is written again the same. */
#include <assert.h>

#include "sasl/plain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n), challenge, password;
    AUTO_BUF bytes = BUF_INIT(1u << 20);
    AUTO_BUF text = BUF_INIT(1u << 20);
    struct sasl_plain plain;
    struct sasl_login login = {0};

    if (sasl_plain_parse(in, &plain) == ST_OK) {
        assert(plain.authzid.n + plain.authcid.n + plain.password.n + 2 == n);
        assert(plain.authcid.n >= 1 && plain.authcid.n <= SASL_NAME_MAX);
        assert(plain.password.n >= 1 && plain.password.n <= SASL_PASSWORD_MAX);
        assert(slice_find(plain.password, 0) == plain.password.n);
    }
    if (buf_put_unbase64(&bytes, in) == ST_OK) {
        buf_put_base64(&text, buf_slice(&bytes));
        assert(slice_eq(buf_slice(&text), in));
    } else {
        assert(bytes.n == 0);
    }
    struct slice name = take_until(&in, '\n');
    (void)take_byte(&in, '\n');
    if (sasl_login_step(&login, true, name, &challenge, &password) == ST_MORE) {
        enum status st = sasl_login_step(&login, true, in, &challenge, &password);
        assert(st == ST_OK || st == ST_SYNTAX);
        assert(st != ST_OK || slice_eq(password, in));
    }
    return 0;
}
