/*
 * What keyd does with a private key: nothing but signatures as TLS makes them. A block for RSA is looked at
 * first, so that whoever has edged can neither decrypt with a key nor have anything signed that is not padded
 * as a TLS signature. Pure but for OpenSSL.
 */
#pragma once
#include <openssl/evp.h>

#include "base/slice.h"

#define SIGN_RSA_BITS_LEAST 2048u
#define SIGN_RSA_BITS_MOST  8192u
#define SIGN_MAX            1024u /* bytes of a signature, and of what is signed */

/* Is it a key that sign_with() takes? The words say why not. Signs once, so that all that OpenSSL sets up for
 * it is there before confinement. */
MUST_CHECK enum status sign_key_try(EVP_PKEY *key, struct err *err);
/* scheme: enum key_sign. *n is how many bytes of to[SIGN_MAX] were written. ST_DENIED: not what may be
 * signed, ST_IO. */
MUST_CHECK enum status sign_with(EVP_PKEY *key, uint16_t scheme, struct slice input, uint8_t *to, size_t *n);
