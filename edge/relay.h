/*
 * TLS on a connection: the handshake, then cleartext to and from a service through a socketpair. One
 * struct a connection, no stack and no buffer while nothing moves: a fiber is lent for the steps of the
 * handshake, for keyd may be waited for in them; what one side does not take yet is at most one record, and
 * nothing more is read from the other meanwhile.
 *
 * A close_notify passes as end of input, both ways. A connection cut without one ends both directions of the
 * socketpair at once (a service sees EPOLLHUP, and its writes fail), so that a truncated session is not taken
 * for a whole one (RFC 8446 6.1). When the service closes, what it wrote is sent, then a close_notify.
 */
#pragma once
#include <openssl/ssl.h>

#include "edge/client.h"
#include "sys/loop.h"

struct relay;

/* Called from the loop or a fiber. In each, the relay may be ended. */
struct relay_owner {
    void (*begun)(struct relay *r,
                  void *arg); /* the handshake is done; call relay_open() or relay_end() now */
    void (*over)(struct relay *r, void *arg); /* all is closed; *r is freed when it returns */
};

/* Takes over ssl (in accept state, no descriptor yet) and fd (not blocking), also when it fails. The
 * handshake has until `deadline` (loop_now() scale), else the relay is over. */
MUST_CHECK enum status relay_new(struct loop *loop, SSL *ssl, int fd, uint64_t deadline,
                                 const struct relay_owner *owner, void *arg, struct relay **r);
/* Makes the socketpair and begins to carry bytes: *service_fd is the end for the service, the caller's. */
MUST_CHECK enum status relay_open(struct relay *r, int *service_fd);
/* The system stops: a client that does not close after us is waited for only shortly from now on, here and in all relays. */
void relay_hurry(struct relay *r);
/* At once, without a word to anybody: over() is not called. */
void relay_end(struct relay *r);

#define RELAY_TEXT    256u
/* What was negotiated. All slices point into the struct or into static text. */
struct relay_facts {
    struct slice version, cipher, sni, binding, end_point, certificate, certificate_name;
    char name[RELAY_TEXT];
    uint8_t exporter[CONN_EXPORTER], server_hash[CONN_END_POINT];
    struct client_certificate client;
};
void relay_facts(const struct relay *r, struct relay_facts *facts);
/* Why the handshake or the session failed; "" when it ended well. Static text, or points into *r. */
const char *relay_failure(const struct relay *r);
