/*
 * Passwords that were right lately, so that a client that reconnects is not hashed for again. Kept as HMAC-SHA-256
 * of (name, its verifier, password) under a random key that never leaves memory: a changed password is
 * another verifier and matches nothing. Bounded; pure over the given clock.
 */
#pragma once
#include "auth/secret.h"

#define VERIFIED_LIFE 600000000000ull /* ns */

struct verified;
MUST_CHECK enum status verified_new(size_t size, const uint8_t key[SASL_HASH], struct verified **v);
void verified_free(struct verified *v);
bool verified_has(struct verified *v, uint64_t now, struct slice name, const char *phc, struct slice password);
void verified_add(struct verified *v, uint64_t now, struct slice name, const char *phc, struct slice password);
