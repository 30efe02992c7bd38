/*
 * The TLS that this system speaks: certificates from ROOT/etc/tls, which name a client asked for, tickets,
 * ALPN. Private keys are keyd's: the keys here know their public half, and ask keyd to sign. That waits, so
 * the steps of a handshake run on a fiber (relay.c).
 */
#pragma once
#include <openssl/ssl.h>

#include "ipc/messages.h"

struct tls;

/* Reads all certificates, before confinement. *tls is NULL when there is none. One that cannot be used is
 * logged and passed over; ST_SYNTAX when none can. */
MUST_CHECK enum status tls_open(const char *root, struct tls **tls, struct err *err);
void tls_free(struct tls *tls);

/* A session for a connection to this service, in accept state, without a descriptor. NULL without memory. Its
 * tickets are good for the same service only. */
SSL *tls_session(struct tls *tls, enum service service);
