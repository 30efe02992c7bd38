/*
 * The TLS that this system speaks: certificates from ROOT/etc/tls, which name a client asked for, tickets,
 * ALPN. Private keys are keyd's: the keys here know their public half, and ask keyd to sign. That waits, so
 * the steps of a handshake run on a fiber (relay.c).
 */
#pragma once
#include <openssl/ssl.h>

#include "ipc/messages.h"

struct tls;

/* What the settings say; slices live as long as tls_open() and tls_new() run. */
struct tls_options {
    struct slice minimum, ciphers, ciphersuites;
    uint32_t ask; /* a bit a service whose clients are asked for a certificate: 1 << SERVICE_IMAPS */
};
/* Is it what OpenSSL understands? Makes nothing. */
MUST_CHECK enum status tls_options_check(const struct tls_options *options, struct err *err);

/* Reads all certificates, before confinement. *tls is NULL when there is none. One that cannot be used is
 * logged and passed over; ST_SYNTAX when none can. */
MUST_CHECK enum status tls_open(const char *root, const struct tls_options *options, struct tls **tls,
                                struct err *err);
/* The same in steps, for a reload, in which somebody else opens the files: tls_new, tls_add each certificate,
 * tls_add_clients, tls_ready. Between them nothing but tls_free. */
MUST_CHECK enum status tls_new(struct tls **tls, struct err *err);
void tls_add(struct tls *tls, const char *name, int fd, bool try_key); /* logs what it cannot use; try_key: on a fiber */
MUST_CHECK enum status tls_add_clients(struct tls *tls, int fd, struct err *err);
/* ST_NOTFOUND: no certificate was added. */
MUST_CHECK enum status tls_ready(struct tls *tls, const struct tls_options *options, struct err *err);
/* Sessions that have begun keep what they need of it. */
void tls_free(struct tls *tls);
size_t tls_n(const struct tls *tls); /* certificates in use */

/* A session for a connection to this service, in accept state, without a descriptor. NULL without memory. Its
 * tickets are good for the same service only. */
SSL *tls_session(struct tls *tls, enum service service);
