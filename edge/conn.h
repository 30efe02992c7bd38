/*
 * The connections that there are, and how many of each client. Found by id; counted by client address (an
 * IPv6 client by its /64, for that is what one client has, RFC 6177 2). No I/O: edged.c and relay.c own the
 * descriptors.
 */
#pragma once
#include "ipc/messages.h"

#define CONN_ADDRESS 18u /* 16 bytes, IPv4 as ::ffff:a.b.c.d, and the port, all big-endian */

enum conn_state {
    CONN_PROXY,  /* waits for a PROXY header */
    CONN_SHAKES, /* TLS begins */
    CONN_GIVEN,  /* a service has it */
};

struct conn_client;
struct conn {
    struct conn *next, **link; /* in its bucket */
    struct conn_client *client;
    void *io;    /* what waits for a PROXY header, or the relay; its owner knows by the state */
    uint64_t id; /* unique while the system runs */
    uint8_t peer[CONN_ADDRESS], local[CONN_ADDRESS];
    uint8_t wire[CONN_ADDRESS]; /* the socket's peer; another than `peer` behind a balancer */
    uint8_t service;            /* enum service */
    uint8_t role;               /* enum role: who has or will have it */
    uint8_t state;              /* enum conn_state */
    bool tls;
};

struct conns;
/* Ids begin at first_id: above all that an earlier edged of this system has given out. */
MUST_CHECK enum status conns_new(uint64_t first_id, struct conns **conns);
void conns_free(struct conns *conns); /* and every struct conn in it */

/* One more, zeroed but for its id; freed by conn_drop. ST_LIMIT when there are `most`, ST_MEMORY. */
MUST_CHECK enum status conn_new(struct conns *conns, size_t most, struct conn **conn);
/* Counts it for the client in conn->peer. ST_LIMIT when he has `most`, ST_MEMORY. */
MUST_CHECK enum status conn_count(struct conns *conns, struct conn *conn, size_t most);
struct conn *conn_find(struct conns *conns, uint64_t id);
void conn_drop(struct conns *conns, struct conn *conn);
size_t conns_n(const struct conns *conns);
/* Of the client with this address. */
size_t conns_of(const struct conns *conns, struct slice address);
/* each() may drop the one that it is given, no other. */
void conns_each(struct conns *conns, void (*each)(struct conn *conn, void *arg), void *arg);
