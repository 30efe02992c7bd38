/* Keys whose private half is keyd's: signing with one asks keyd and waits, on a fiber. */
#pragma once
#include <openssl/evp.h>

#include "base/slice.h"

/* The key that belongs to a certificate's public one; freed with EVP_PKEY_free. ST_UNSUPPORTED when it is
 * neither RSA nor ECDSA. */
MUST_CHECK enum status remote_key_new(EVP_PKEY *public_key, EVP_PKEY **key, struct err *err);
