#include "tls/pairs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/sha.h>
#include <openssl/x509.h>

static int
by_bytes(const void *a, const void *b)
{
    return strcmp(a, b);
}

enum status
tls_names_read(int dir_fd, const char *suffix, struct tls_names *names, struct err *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    names->n = 0;
    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return err_sys(err, "tls: read etc/tls");
    }
    while ((entry = readdir(dir)) != NULL) {
        struct slice name = slice_of(entry->d_name);

        if (slice_starts(name, '.') || !slice_has_suffix_nocase(name, slice_of(suffix)))
            continue;
        if (names->n == TLS_PAIRS_MAX || name.n >= TLS_NAME_MAX) {
            (void)closedir(dir);
            return err_set(err, ST_LIMIT, "tls: etc/tls: more than %u files, or a name as long as %s",
                           TLS_PAIRS_MAX, entry->d_name);
        }
        (void)slice_to_cstr(name, names->at[names->n++], TLS_NAME_MAX);
    }
    (void)closedir(dir);
    qsort(names->at, names->n, TLS_NAME_MAX, by_bytes);
    return ST_OK;
}

bool
tls_key_id(const EVP_PKEY *key, uint32_t *id)
{
    uint8_t *der = NULL, hash[SHA256_DIGEST_LENGTH];
    int n = i2d_PUBKEY(key, &der);

    if (n <= 0)
        return false;
    (void)SHA256(der, (size_t)n, hash);
    OPENSSL_free(der);
    *id = (uint32_t)hash[0] | (uint32_t)hash[1] << 8 | (uint32_t)hash[2] << 16 | (uint32_t)hash[3] << 24;
    return true;
}
