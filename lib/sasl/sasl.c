#include "sasl/sasl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
sasl_base64_put(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        size_t left = s.n - i;
        uint32_t v = (uint32_t)s.p[i] << 16;

        if (left > 1)
            v |= (uint32_t)s.p[i + 1] << 8;
        if (left > 2)
            v |= s.p[i + 2];
        buf_putc(b, (uint8_t)alphabet[v >> 18]);
        buf_putc(b, (uint8_t)alphabet[v >> 12 & 63]);
        buf_putc(b, left > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=');
        buf_putc(b, left > 2 ? (uint8_t)alphabet[v & 63] : '=');
    }
}

/* The value of a digit, or -1. */
static int
digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

enum status
sasl_base64_get(struct slice text, struct buf *out)
{
    size_t pad = 0, n = text.n / 4 * 3;
    uint32_t v = 0;
    uint8_t *p;
    size_t have = 0;

    if (text.n % 4 != 0)
        return ST_SYNTAX;
    while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
        pad++;
    if (out->failed || out->n > out->max || n - pad > out->max - out->n)
        return ST_LIMIT;
    if (n == 0)
        return ST_OK;
    p = buf_reserve(out, n - pad);
    if (p == NULL)
        return ST_LIMIT;
    for (size_t i = 0; i < text.n; i++) {
        int d = i >= text.n - pad ? 0 : digit(text.p[i]);

        if (d < 0)
            return ST_SYNTAX;
        v = v << 6 | (uint32_t)d;
        if (i % 4 != 3)
            continue;
        for (int shift = 16; shift >= 0; shift -= 8) {
            uint8_t byte = (uint8_t)(v >> shift);

            if (have < n - pad)
                p[have++] = byte;
            else if (byte != 0) /* RFC 4648 3.5: else two texts would mean the same */
                return ST_SYNTAX;
        }
        v = 0;
    }
    out->n += n - pad;
    return ST_OK;
}

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
