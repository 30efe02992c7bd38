#define OPENSSL_SUPPRESS_DEPRECATED /* the paddings by themselves */
#include "edge/sign.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "base/test.h"
#include "ipc/messages.h"

static EVP_PKEY *
make_rsa(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);

    CHECK(bits, key != NULL);
    return key;
}

static RSA *
rsa_of(EVP_PKEY *key)
{
    return (RSA *)(uintptr_t)EVP_PKEY_get0_RSA(key);
}

/* Does the signature of a block open to the block? */
static bool
opens(EVP_PKEY *key, struct slice signature, struct slice block)
{
    uint8_t opened[SIGN_MAX];
    int n = RSA_public_decrypt((int)signature.n, signature.p, opened, rsa_of(key), RSA_NO_PADDING);

    return n > 0 && slice_eq(slice_from(opened, (size_t)n), block);
}

static void
wants(int i, EVP_PKEY *key, uint16_t scheme, struct slice input, enum status want)
{
    uint8_t out[SIGN_MAX];
    size_t n = 0;

    CHECK_INT(i, sign_with(key, scheme, input, out, &n), want);
    if (want == ST_OK && scheme == KEY_SIGN_RSA)
        CHECK(i, opens(key, slice_from(out, n), input));
}

/* PSS with a salt of this length. */
static void
pss(EVP_PKEY *key, const EVP_MD *md, int salt, uint8_t *block)
{
    uint8_t digest[64];

    CHECK_INT(salt, RAND_bytes(digest, sizeof digest), 1);
    CHECK_INT(salt, RSA_padding_add_PKCS1_PSS_mgf1(rsa_of(key), block, digest, md, md, salt), 1);
}

TEST(rsa)
{
    static const unsigned sizes[] = {2048, 2049, 2055, 3072};
    const EVP_MD *const mds[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};

    for (int i = 0; i < (int)COUNT(sizes); i++) {
        EVP_PKEY *key = make_rsa(sizes[i]);
        uint8_t block[SIGN_MAX] = {0}, message[64] = {1};
        size_t n = (size_t)EVP_PKEY_get_size(key);
        struct err err = {0};

        CHECK_INT(i, sign_key_try(key, &err), ST_OK);
        for (int k = 0; k < (int)COUNT(mds); k++) {
            int hash = EVP_MD_get_size(mds[k]);

            pss(key, mds[k], hash, block);
            wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_OK);
            wants(i, key, KEY_SIGN_RSA, slice_from(block, n - 1), ST_DENIED);
            wants(i, key, KEY_SIGN_ECDSA, slice_from(block, (size_t)hash), ST_DENIED);
            block[n - 1] ^= 1;
            wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
            block[n - 1] ^= 1;
            block[n / 2 - 10] ^= 1; /* of the zeros before the salt */
            wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
            pss(key, mds[k], hash - 1, block);
            wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
        }
        pss(key, EVP_sha1(), 20, block);
        wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
        /* What was encrypted for the key, and a padded premaster secret: no oracle. */
        CHECK_INT(i, RSA_public_encrypt(48, message, block, rsa_of(key), RSA_PKCS1_PADDING), n);
        wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
        CHECK_INT(i, RSA_padding_add_PKCS1_type_2(block, (int)n, message, 48), 1);
        wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
        /* v1.5 without a DigestInfo of a hash that is used */
        CHECK_INT(i, RSA_padding_add_PKCS1_type_1(block, (int)n, message, 36), 1);
        wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
        memset(block, 0, sizeof block);
        wants(i, key, KEY_SIGN_RSA, slice_from(block, n), ST_DENIED);
        EVP_PKEY_free(key);
    }
}

TEST(v15)
{
    static const uint8_t info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                   0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    EVP_PKEY *key = make_rsa(2048);
    uint8_t block[256], message[sizeof info + 32];

    memcpy(message, info, sizeof info);
    memset(message + sizeof info, 7, 32);
    CHECK_INT(0, RSA_padding_add_PKCS1_type_1(block, sizeof block, message, sizeof message), 1);
    wants(1, key, KEY_SIGN_RSA, slice_from(block, sizeof block), ST_OK);
    wants(2, key, 0x0401, slice_from(block, sizeof block), ST_DENIED); /* a scheme that is none of ours */
    for (int i = 0; i < 200; i++) { /* every byte before the hash must be what it is */
        block[i] ^= 1;
        wants(100 + i, key, KEY_SIGN_RSA, slice_from(block, sizeof block), ST_DENIED);
        block[i] ^= 1;
    }
    EVP_PKEY_free(key);
}

TEST(ecdsa)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    uint8_t digest[65] = {1}, out[SIGN_MAX];
    struct err err = {0};
    size_t n;

    for (int i = 0; i < (int)COUNT(curves); i++) {
        EVP_PKEY *key = EVP_EC_gen(curves[i]);

        CHECK_INT(i, sign_key_try(key, &err), ST_OK);
        CHECK_INT(i, sign_with(key, KEY_SIGN_ECDSA, slice_from(digest, 32), out, &n), ST_OK);
        CHECK_INT(i, ECDSA_verify(0, digest, 32, out, (int)n, (EC_KEY *)(uintptr_t)EVP_PKEY_get0_EC_KEY(key)),
                  1);
        CHECK_INT(i, sign_with(key, KEY_SIGN_ECDSA, slice_from(digest, 64), out, &n), ST_OK);
        CHECK_INT(i, sign_with(key, KEY_SIGN_ECDSA, slice_from(digest, 20), out, &n), ST_DENIED);
        CHECK_INT(i, sign_with(key, KEY_SIGN_ECDSA, slice_from(digest, 65), out, &n), ST_DENIED);
        CHECK_INT(i, sign_with(key, KEY_SIGN_ECDSA, slice_from(digest, 0), out, &n), ST_DENIED);
        CHECK_INT(i, sign_with(key, KEY_SIGN_RSA, slice_from(digest, 64), out, &n), ST_DENIED);
        EVP_PKEY_free(key);
    }
}

TEST(keys)
{
    struct err err = {0};
    EVP_PKEY *weak = make_rsa(1024), *other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    CHECK_INT(0, sign_key_try(weak, &err), ST_LIMIT);
    CHECK_INT(1, sign_key_try(other, &err), ST_UNSUPPORTED);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(other);
}

TEST_MAIN(rsa, v15, ecdsa, keys)
