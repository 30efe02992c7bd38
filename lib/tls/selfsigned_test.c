#include "tls/selfsigned.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/test.h"
#include "sys/fd.h"

static char dir_name[] = "/tmp/selfsigned-XXXXXX";
static int dir;

static FILE *
read_file(const char *name)
{
    return fdopen(openat(dir, name, O_RDONLY | O_CLOEXEC), "r");
}

static X509 *
certificate(const char *name)
{
    FILE *f = read_file(name);
    X509 *x;

    CHECK(0, f != NULL);
    x = PEM_read_X509(f, NULL, NULL, NULL);
    CHECK(1, x != NULL);
    (void)fclose(f);
    return x;
}

static void
wants_pair(const char *crt, const char *key_name, int type)
{
    X509 *x = certificate(crt);
    FILE *f = read_file(key_name);
    struct stat st;
    EVP_PKEY *key;

    CHECK(0, f != NULL);
    key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    CHECK(1, key != NULL);
    CHECK_INT(2, fstat(fileno(f), &st), 0);
    CHECK_INT(3, st.st_mode & 07777, 0600);
    (void)fclose(f);
    CHECK_INT(4, EVP_PKEY_get_base_id(key), type);
    CHECK_INT(5, X509_check_private_key(x, key), 1);
    CHECK_INT(6, X509_verify(x, key), 1);
    CHECK_INT(7, X509_check_host(x, "mail.dominio.com.uy", 0, 0, NULL), 1);
    CHECK_INT(8, X509_check_host(x, "dominio.com.uy", 0, 0, NULL), 1);
    CHECK_INT(9, X509_check_host(x, "localhost", 0, 0, NULL), 1);
    CHECK_INT(10, X509_check_host(x, "com.uy", 0, 0, NULL), 0);
    CHECK_INT(11, X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    CHECK_INT(12, X509_check_purpose(x, X509_PURPOSE_SSL_SERVER, 0), 1);
    CHECK_INT(13, X509_cmp_current_time(X509_get0_notBefore(x)), -1);
    CHECK_INT(14, X509_cmp_current_time(X509_get0_notAfter(x)), 1);
    EVP_PKEY_free(key);
    X509_free(x);
}

TEST(makes_both_and_keeps_what_is_there)
{
    static const char *const files[] = {"ecdsa.crt", "ecdsa.key", "rsa.crt", "rsa.key"};
    struct err err = {0};
    X509 *before, *after;

    CHECK(0, mkdtemp(dir_name) != NULL);
    dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(1, dir >= 0);
    CHECK_INT(2, tls_selfsigned(dir, "mail.dominio.com.uy", &err), ST_OK);
    wants_pair("ecdsa.crt", "ecdsa.key", EVP_PKEY_EC);
    wants_pair("rsa.crt", "rsa.key", EVP_PKEY_RSA);

    before = certificate("rsa.crt");
    CHECK_INT(3, unlinkat(dir, "ecdsa.crt", 0) | unlinkat(dir, "ecdsa.key", 0), 0);
    CHECK_INT(4, tls_selfsigned(dir, "mail.dominio.com.uy", &err), ST_OK);
    after = certificate("rsa.crt");
    CHECK_INT(5, X509_cmp(before, after), 0);
    X509_free(before);
    X509_free(after);
    wants_pair("ecdsa.crt", "ecdsa.key", EVP_PKEY_EC);

    CHECK_INT(6, unlinkat(dir, "rsa.crt", 0), 0);
    CHECK_INT(7, tls_selfsigned(dir, "mail.dominio.com.uy", &err), ST_EXISTS);
    CHECK_INT(8, faccessat(dir, "rsa.key", F_OK, 0), 0);
    for (size_t i = 0; i < COUNT(files); i++)
        (void)unlinkat(dir, files[i], 0);
    CHECK_INT(9, rmdir(dir_name), 0); /* nothing else is left */
    (void)close(dir);
}

TEST(names)
{
    static const char *const bad[] = {"",         ".",        "a b", "a,DNS:evil.example",
                                      ".example", "example.", "a_b", "a/b"};
    char long_name[300];
    struct err err = {0};

    memset(long_name, 'a', sizeof long_name);
    long_name[254] = '\0';
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_INT(i, tls_selfsigned(-1, bad[i], &err), ST_SYNTAX);
    CHECK_INT(100, tls_selfsigned(-1, long_name, &err), ST_SYNTAX);
}

TEST_MAIN(makes_both_and_keeps_what_is_there, names)
