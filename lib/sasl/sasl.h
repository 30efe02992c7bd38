/*
 * What the SASL mechanisms share: the words that may be names, hashes. Pure
 * functions over borrowed bytes; every byte comes from before the password is known to be right.
 */
#pragma once
#include "base/buf.h"

#define SASL_NAME_MAX 255u      /* octets of an authentication or authorization identity */
#define SASL_PASSWORD_MAX 1024u /* octets */
#define SASL_MESSAGE_MAX 4096u  /* octets of any message of a client, decoded */
#define SASL_HASH 32u           /* SHA-256 */

/* Eats one character of UTF-8 (RFC 3629 4: no overlong forms, no surrogates); in is not empty. */
MUST_CHECK bool sasl_take_utf8(struct slice *in, uint32_t *c);
/* A user's name: 1 to SASL_NAME_MAX octets of UTF-8 without controls. */
bool sasl_name_ok(struct slice name);
/* 1 to SASL_PASSWORD_MAX octets of UTF-8 without NUL. */
bool sasl_password_ok(struct slice password);

/* False only when OpenSSL fails (no memory). */
MUST_CHECK bool sasl_hmac(struct slice key, struct slice text, uint8_t out[SASL_HASH]);
