/* OpenSSL 3 keeps the methods of RSA and EC keys for this purpose, but marks them: a provider would do the
 * same in five times the lines. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "edge/remotekey.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "ipc/program.h"
#include "sys/log.h"
#include "tls/pairs.h"

#define SIGN_TIMEOUT  SECONDS(10)
#define SIGNATURE_MAX 2048u /* RSA of 16384 bits */

static struct {
    RSA_METHOD *rsa;
    EC_KEY_METHOD *ec;
    int rsa_index, ec_index; /* of the key's id in its extra data */
} methods;

/* Asks keyd; a keyd that is restarted meanwhile is asked again, for a signature may be made twice. The number
 * of its bytes, or -1. */
static int
ask(uint32_t key, uint16_t scheme, struct slice input, uint8_t *to, size_t most)
{
    AUTO_BUF m = BUF_INIT(SIGNATURE_MAX + 64), reply = BUF_INIT(SIGNATURE_MAX + 64);
    struct msg_bytes got;
    enum status st = ST_LIMIT;

    msg_key_sign_put(&m, &(struct msg_key_sign){key, scheme, input});
    if (buf_ok(&m) && fiber_here())
        st = program_ask(ROLE_KEY, MSG_KEY_SIGN, buf_slice(&m), loop_now(program_loop()) + SIGN_TIMEOUT,
                         &reply);
    if (st == ST_OK && (!msg_bytes_get(buf_slice(&reply), &got) || got.bytes.n == 0 || got.bytes.n > most))
        st = ST_CORRUPT;
    if (st != ST_OK) {
        log_at(LOG_LEVEL_ERR, "keyd did not sign with key %08x: %s", key, status_text(st));
        return -1;
    }
    memcpy(to, got.bytes.p, got.bytes.n);
    return (int)got.bytes.n;
}

/* Pads here, where OpenSSL has not done it already: keyd gets a block as long as the modulus. */
static int
rsa_sign(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
    uint32_t id = (uint32_t)(uintptr_t)RSA_get_ex_data(rsa, methods.rsa_index);
    uint8_t block[SIGNATURE_MAX];
    int size = RSA_size(rsa);

    if (n < 0 || size <= 0 || (size_t)size > sizeof block)
        return -1;
    if (padding == RSA_PKCS1_PADDING) {
        if (RSA_padding_add_PKCS1_type_1(block, size, from, n) != 1)
            return -1;
    } else if (padding == RSA_NO_PADDING && n == size) {
        memcpy(block, from, (size_t)n);
    } else {
        return -1;
    }
    return ask(id, KEY_SIGN_RSA, slice_from(block, (size_t)size), to, (size_t)size);
}

/* TLS in which the client encrypts to the server's key is not offered: nothing is ever decrypted. */
static int
rsa_no_decrypt(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
    return -1;
}

static int
ec_sign(int type, const unsigned char *digest, int n, unsigned char *to, unsigned int *to_n,
        const BIGNUM *kinv, const BIGNUM *r, EC_KEY *key)
{
    uint32_t id = (uint32_t)(uintptr_t)EC_KEY_get_ex_data(key, methods.ec_index);
    int got =
        n < 0 ? -1 : ask(id, KEY_SIGN_ECDSA, slice_from(digest, (size_t)n), to, (size_t)ECDSA_size(key));

    *to_n = got > 0 ? (unsigned)got : 0;
    return got > 0;
}

static bool
make_methods(void)
{
    if (methods.ec != NULL)
        return true;
    methods.rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
    methods.ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    methods.rsa_index = RSA_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    methods.ec_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (methods.rsa == NULL || methods.ec == NULL || methods.rsa_index < 0 || methods.ec_index < 0 ||
        RSA_meth_set_priv_enc(methods.rsa, rsa_sign) != 1 ||
        RSA_meth_set_priv_dec(methods.rsa, rsa_no_decrypt) != 1)
        return false;
    EC_KEY_METHOD_set_sign(methods.ec, ec_sign, NULL, NULL);
    return true;
}

static EVP_PKEY *
rsa_key(EVP_PKEY *public_key, uint32_t id)
{
    const RSA *from = EVP_PKEY_get0_RSA(public_key);
    RSA *rsa = RSA_new();
    EVP_PKEY *key = EVP_PKEY_new();
    BIGNUM *n = from != NULL ? BN_dup(RSA_get0_n(from)) : NULL,
           *e = from != NULL ? BN_dup(RSA_get0_e(from)) : NULL;

    if (rsa == NULL || n == NULL || e == NULL || RSA_set0_key(rsa, n, e, NULL) != 1) {
        BN_free(n);
        BN_free(e);
    } else if (RSA_set_method(rsa, methods.rsa) == 1 &&
               RSA_set_ex_data(rsa, methods.rsa_index, (void *)(uintptr_t)id) == 1 && key != NULL) {
        RSA_set_flags(rsa, RSA_FLAG_EXT_PKEY | RSA_METHOD_FLAG_NO_CHECK);
        if (EVP_PKEY_assign_RSA(key, rsa) == 1)
            return key;
    }
    RSA_free(rsa);
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY *
ec_key(EVP_PKEY *public_key, uint32_t id)
{
    const EC_KEY *from = EVP_PKEY_get0_EC_KEY(public_key);
    EC_KEY *ec = from != NULL ? EC_KEY_dup(from) : NULL;
    EVP_PKEY *key = EVP_PKEY_new();

    if (ec != NULL && key != NULL && EC_KEY_set_method(ec, methods.ec) == 1 &&
        EC_KEY_set_ex_data(ec, methods.ec_index, (void *)(uintptr_t)id) == 1 &&
        EVP_PKEY_assign_EC_KEY(key, ec) == 1)
        return key;
    EC_KEY_free(ec);
    EVP_PKEY_free(key);
    return NULL;
}

enum status
remote_key_new(EVP_PKEY *public_key, EVP_PKEY **key, struct err *err)
{
    uint32_t id;
    EVP_PKEY *got;

    if (!make_methods() || !tls_key_id(public_key, &id))
        return err_set(err, ST_MEMORY, "OpenSSL makes no key methods");
    if (EVP_PKEY_get_base_id(public_key) == EVP_PKEY_RSA)
        got = rsa_key(public_key, id);
    else if (EVP_PKEY_get_base_id(public_key) == EVP_PKEY_EC)
        got = ec_key(public_key, id);
    else
        return err_set(err, ST_UNSUPPORTED, "its key is neither RSA nor ECDSA");
    if (got == NULL)
        return err_set(err, ST_MEMORY, "OpenSSL makes no key of it");
    *key = got;
    return ST_OK;
}
