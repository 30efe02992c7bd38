#include "sasl/sasl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

bool
sasl_take_utf8(struct slice *in, uint32_t *c)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint8_t first = in->p[0];
    size_t more = first < 0x80 ? 0 : first < 0xc2 ? 9 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 9;
    uint32_t v = more == 0 ? first : more == 9 ? 0 : first & (0x3fu >> more);

    if (more >= in->n)
        return false;
    for (size_t i = 1; i <= more; i++) {
        if ((in->p[i] & 0xc0) != 0x80)
            return false;
        v = v << 6 | (in->p[i] & 0x3fu);
    }
    if (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return false;
    *in = slice_skip(*in, more + 1);
    *c = v;
    return true;
}

bool
sasl_name_ok(struct slice name)
{
    uint32_t c;

    if (name.n == 0 || name.n > SASL_NAME_MAX)
        return false;
    while (name.n > 0)
        if (!sasl_take_utf8(&name, &c) || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return false;
    return true;
}

bool
sasl_password_ok(struct slice password)
{
    uint32_t c;

    if (password.n == 0 || password.n > SASL_PASSWORD_MAX)
        return false;
    while (password.n > 0)
        if (!sasl_take_utf8(&password, &c) || c == 0)
            return false;
    return true;
}

bool
sasl_hmac(struct slice key, struct slice text, uint8_t out[SASL_HASH])
{
    unsigned n = 0;

    return key.n <= INT32_MAX && HMAC(EVP_sha256(), key.p, (int)key.n, text.p, text.n, out, &n) != NULL && n == SASL_HASH;
}
