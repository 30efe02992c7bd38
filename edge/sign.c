#include "edge/sign.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "ipc/messages.h"

/* The hashes of TLS signatures, with what stands before each in a PKCS #1 v1.5 block (RFC 8017 9.2, note 1).
 */
static const struct hash {
    const EVP_MD *(*md)(void);
    size_t n;
    struct slice info;
} hashes[] = {
    {EVP_sha256, 32, SLICE("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20")},
    {EVP_sha384, 48, SLICE("\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30")},
    {EVP_sha512, 64, SLICE("\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40")},
};

/* RFC 8017 9.2: 00 01 FF ... FF 00 DigestInfo. */
static bool
padded_v15(const struct hash *hash, struct slice block)
{
    size_t tail = hash->info.n + hash->n;

    if (block.n < tail + 11 || block.p[0] != 0 || block.p[1] != 1 || block.p[block.n - tail - 1] != 0)
        return false;
    for (size_t i = 2; i < block.n - tail - 1; i++)
        if (block.p[i] != 0xff)
            return false;
    return slice_has_prefix(slice_skip(block, block.n - tail), hash->info);
}

/* RFC 8017 B.2.1, xored onto `to`. False when the hash fails. */
static bool
unmask(const struct hash *hash, struct slice seed, uint8_t *to, size_t n)
{
    uint8_t in[64 + 4], out[64];

    memcpy(in, seed.p, seed.n);
    for (uint32_t i = 0; n > 0; i++) {
        size_t some = n < hash->n ? n : hash->n;

        in[seed.n] = (uint8_t)(i >> 24);
        in[seed.n + 1] = (uint8_t)(i >> 16);
        in[seed.n + 2] = (uint8_t)(i >> 8);
        in[seed.n + 3] = (uint8_t)i;
        if (EVP_Digest(in, seed.n + 4, out, NULL, hash->md(), NULL) != 1)
            return false;
        for (size_t k = 0; k < some; k++)
            to[k] ^= out[k];
        to += some;
        n -= some;
    }
    return true;
}

/* RFC 8017 9.1.1 with a salt as long as the hash (RFC 8446 4.2.3): all but the hashes is known and is
 * checked. */
static bool
padded_pss(const struct hash *hash, struct slice block, unsigned bits)
{
    uint8_t db[SIGN_MAX];
    unsigned top = (bits - 1) % 8; /* bits in use of the first byte */
    size_t db_n, zeros;

    if (top == 0 && !take_byte(&block, 0))
        return false;
    if (block.n < 2 * hash->n + 2 || block.n > sizeof db || block.p[block.n - 1] != 0xbc)
        return false;
    if (top != 0 && block.p[0] >> top != 0)
        return false;
    db_n = block.n - hash->n - 1;
    zeros = db_n - hash->n - 1;
    memcpy(db, block.p, db_n);
    if (!unmask(hash, slice_from(block.p + db_n, hash->n), db, db_n))
        return false;
    if (top != 0)
        db[0] &= (uint8_t)(0xff >> (8 - top));
    for (size_t i = 0; i < zeros; i++)
        if (db[i] != 0)
            return false;
    return db[zeros] == 1;
}

static bool
may_sign(EVP_PKEY *key, uint16_t scheme, struct slice input)
{
    if (scheme == KEY_SIGN_ECDSA && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
        for (size_t i = 0; i < COUNT(hashes); i++)
            if (input.n == hashes[i].n)
                return true;
    } else if (scheme == KEY_SIGN_RSA && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
               input.n == (size_t)EVP_PKEY_get_size(key)) {
        for (size_t i = 0; i < COUNT(hashes); i++)
            if (padded_v15(&hashes[i], input) ||
                padded_pss(&hashes[i], input, (unsigned)EVP_PKEY_get_bits(key)))
                return true;
    }
    return false;
}

enum status
sign_with(EVP_PKEY *key, uint16_t scheme, struct slice input, uint8_t *to, size_t *n)
{
    EVP_PKEY_CTX *ctx;
    size_t got = SIGN_MAX;
    bool ok;

    if (!may_sign(key, scheme, input))
        return ST_DENIED;
    ctx = EVP_PKEY_CTX_new(key, NULL);
    ok = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 &&
         (scheme != KEY_SIGN_RSA || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1) &&
         EVP_PKEY_sign(ctx, to, &got, input.p, input.n) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (!ok)
        return ST_IO;
    *n = got;
    return ST_OK;
}

enum status
sign_key_try(EVP_PKEY *key, struct err *err)
{
    uint8_t in[SIGN_MAX], out[SIGN_MAX];
    int type = EVP_PKEY_get_base_id(key);
    unsigned bits = (unsigned)EVP_PKEY_get_bits(key);
    size_t n = (size_t)EVP_PKEY_get_size(key), tail = hashes[0].info.n + hashes[0].n;
    enum status st;

    if (type != EVP_PKEY_EC && type != EVP_PKEY_RSA)
        return err_set(err, ST_UNSUPPORTED, "it is neither RSA nor ECDSA");
    if (type == EVP_PKEY_RSA && (bits < SIGN_RSA_BITS_LEAST || bits > SIGN_RSA_BITS_MOST))
        return err_set(err, ST_LIMIT, "RSA of %u bits; %u to %u are taken", bits, SIGN_RSA_BITS_LEAST,
                       SIGN_RSA_BITS_MOST);
    memset(in, 0xff, sizeof in);
    if (type == EVP_PKEY_RSA) {
        in[0] = 0;
        in[1] = 1;
        in[n - tail - 1] = 0;
        memcpy(in + n - tail, hashes[0].info.p, hashes[0].info.n);
    }
    st = sign_with(key, type == EVP_PKEY_RSA ? KEY_SIGN_RSA : KEY_SIGN_ECDSA,
                   slice_from(in, type == EVP_PKEY_RSA ? n : hashes[0].n), out, &n);
    return st == ST_OK ? ST_OK : err_set(err, st, "it does not sign");
}
