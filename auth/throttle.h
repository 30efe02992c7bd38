/*
 * Guessing is slowed, owners are not locked out. Failures are counted for each network (IPv4 /24,
 * IPv6 /56) and each name; past a few, attempts of that network or at that name are spaced by a delay that doubles.
 * An address from which the name succeeded lately is exempt from the name's delay, and is never refused for its
 * network's, until it fails TRUST times itself. Pure over the given clock; memory is fixed at init. Buckets
 * are chosen by HMAC under a random key, so that nobody can aim at another's.
 */
#pragma once
#include "base/slice.h"

#define THROTTLE_KEY 32u
#define THROTTLE_NETWORK_FREE 10u /* failures of a network that cost nothing */
#define THROTTLE_NAME_FREE 10u
#define THROTTLE_TRUST 10u
#define THROTTLE_DELAY_MAX 8000000000ull  /* ns between two attempts */
#define THROTTLE_WAIT_MAX 20000000000ull  /* ns an attempt may have to wait before it is refused instead */
#define THROTTLE_HALVED 300000000000ull   /* ns after which half of the failures are forgotten */
#define THROTTLE_KNOWN 2592000000000000ull /* ns for which an address stays known: 30 days */

struct throttle;
/* size: how many networks, names and known addresses are remembered, each; rounded up to a power of two. */
MUST_CHECK enum status throttle_new(size_t size, const uint8_t key[THROTTLE_KEY], struct throttle **t);
void throttle_free(struct throttle *t);
/* Before a password is looked at. address: 16 bytes, IPv4 as ::ffff:a.b.c.d. ST_OK: look at it after *wait
 * nanoseconds; the moment is reserved. ST_UNAVAILABLE: too many are waiting, do not look at it at all. */
MUST_CHECK enum status throttle_ask(struct throttle *t, uint64_t now, struct slice address, struct slice name, uint64_t *wait);
void throttle_failed(struct throttle *t, uint64_t now, struct slice address, struct slice name);
void throttle_succeeded(struct throttle *t, uint64_t now, struct slice address, struct slice name);
