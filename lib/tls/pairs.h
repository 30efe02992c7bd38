/*
 * What edged and keyd share about ROOT/etc/tls: certificates are NAME.crt (PEM, the chain behind it), their
 * keys NAME.key. edged reads the former alone, keyd the latter alone; they speak of a key by tls_key_id, so
 * that neither has to know the other's files, and a certificate whose key is not there is refused by name.
 */
#pragma once
#include <openssl/evp.h>

#include "base/slice.h"

#define TLS_PAIRS_MAX 256u
#define TLS_NAME_MAX  128u
#define TLS_CLIENTS   "clients.pem" /* the CAs that vouch for clients; neither .crt nor .key */

struct tls_names {
    size_t n;
    char at[TLS_PAIRS_MAX][TLS_NAME_MAX]; /* "ecdsa.crt", in the order of their bytes */
};

/* The files in a directory that end in `suffix` and do not begin with a dot. ST_LIMIT when there are too
 * many. */
MUST_CHECK enum status tls_names_read(int dir_fd, const char *suffix, struct tls_names *names,
                                      struct err *err);

/* Of the public half: the first four bytes of the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 4.1),
 * little-endian. False when OpenSSL cannot encode the key. */
MUST_CHECK bool tls_key_id(const EVP_PKEY *key, uint32_t *id);
