#include "tls/selfsigned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "sys/fd.h"

#define DAYS     3650
#define HOST_MAX 253u /* RFC 1035 2.3.4, without the dot at the end */
#define CN_MAX   64u  /* RFC 5280 A.1, ub-common-name */

/* Letters, digits, hyphens and dots; what it puts into a certificate is then nothing but a name. */
static bool
host_ok(struct slice host)
{
    for (size_t i = 0; i < host.n; i++)
        if (!ascii_alpha(host.p[i]) && !ascii_digit(host.p[i]) && host.p[i] != '-' && host.p[i] != '.')
            return false;
    return host.n > 0 && host.n <= HOST_MAX && host.p[0] != '.' && host.p[host.n - 1] != '.';
}

/* type: GEN_DNS or GEN_IPADD */
static bool
add_name(GENERAL_NAMES *names, int type, struct slice value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *string = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);

    if (name == NULL || string == NULL || ASN1_STRING_set(string, value.p, (int)value.n) != 1) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(string);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, string);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool
add_names(X509 *x, struct slice host)
{
    static const uint8_t four[4] = {127, 0, 0, 1}, six[16] = {[15] = 1};
    struct slice domain = slice_skip(host, slice_find(host, '.') + 1);
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool ok = names != NULL && add_name(names, GEN_DNS, host);

    if (slice_find(domain, '.') < domain.n) /* not a top-level domain */
        ok = ok && add_name(names, GEN_DNS, domain);
    if (!slice_eq(host, SLICE("localhost")))
        ok = ok && add_name(names, GEN_DNS, SLICE("localhost"));
    ok = ok && add_name(names, GEN_IPADD, slice_from(four, sizeof four));
    ok = ok && add_name(names, GEN_IPADD, slice_from(six, sizeof six));
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool
add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext != NULL && X509_add_ext(x, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool
set_serial(X509 *x)
{
    uint8_t random[16];
    BIGNUM *n;
    bool ok;

    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    random[0] &= 0x7f; /* RFC 5280 4.1.2.2: positive */
    n = BN_bin2bn(random, sizeof random, NULL);
    ok = n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
    BN_free(n);
    return ok;
}

static bool
fill(X509 *x, EVP_PKEY *key, struct slice host, bool rsa)
{
    struct slice cn = host.n <= CN_MAX ? host : SLICE("Estafeta");
    X509_NAME *name = X509_get_subject_name(x);

    return X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) &&
           X509_gmtime_adj(X509_getm_notBefore(x), -24L * 3600) != NULL && /* clocks differ */
           X509_time_adj_ex(X509_getm_notAfter(x), DAYS, 0, NULL) != NULL &&
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, cn.p, (int)cn.n, -1, 0) == 1 &&
           X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 && add_names(x, host) &&
           add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x, NID_key_usage,
                         rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature") &&
           add_extension(x, NID_ext_key_usage, "serverAuth") &&
           add_extension(x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()) > 0;
}

/* Under another name first: whoever reads NAME sees all of it or nothing. */
static enum status
write_file(int dir, const char *name, BIO *pem, mode_t mode, struct err *err)
{
    char tmp[32], *bytes;
    long n = BIO_get_mem_data(pem, &bytes);
    AUTO_FD fd = -1;
    enum status st;

    (void)snprintf(tmp, sizeof tmp, ".%s.new", name);
    (void)unlinkat(dir, tmp, 0);
    fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_sys(err, "tls: create %s", tmp);
    if (n > 0 && fchmod(fd, mode) == 0 && write_all(fd, slice_from(bytes, (size_t)n)) && fsync(fd) == 0 &&
        renameat(dir, tmp, dir, name) == 0 && fsync(dir) == 0)
        return ST_OK;
    st = err_sys(err, "tls: write %s", name);
    (void)unlinkat(dir, tmp, 0);
    return st;
}

static enum status
make_pair(int dir, const char *crt, const char *key_name, struct slice host, bool rsa, struct err *err)
{
    EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_secmem());
    enum status st;

    if (key == NULL || x == NULL || cert_pem == NULL || key_pem == NULL || !fill(x, key, host, rsa) ||
        PEM_write_bio_X509(cert_pem, x) != 1 ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        st = err_set(err, ST_UNSUPPORTED, "tls: OpenSSL makes no certificate: %s",
                     ERR_reason_error_string(ERR_peek_error()));
    else
        st = write_file(dir, key_name, key_pem, 0600, err);
    if (st == ST_OK) /* last: a certificate always has its key */
        st = write_file(dir, crt, cert_pem, 0644, err);
    BIO_free(key_pem);
    BIO_free(cert_pem);
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return st;
}

enum status
tls_selfsigned(int dir_fd, const char *host, struct err *err)
{
    static const struct {
        const char *crt, *key;
        bool rsa;
    } pairs[] = {
        {"ecdsa.crt", "ecdsa.key", false},
        {"rsa.crt",   "rsa.key",   true }
    };

    if (!host_ok(slice_of(host)))
        return err_set(err, ST_SYNTAX, "tls: \"%.60s\" is not a host name", host);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        enum status st;

        if (faccessat(dir_fd, pairs[i].crt, F_OK, 0) == 0)
            continue;
        if (faccessat(dir_fd, pairs[i].key, F_OK, 0) == 0)
            return err_set(err, ST_EXISTS,
                           "tls: there is %s but no %s: remove it, or put the certificate beside it",
                           pairs[i].key, pairs[i].crt);
        st = make_pair(dir_fd, pairs[i].crt, pairs[i].key, slice_of(host), pairs[i].rsa, err);
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}
