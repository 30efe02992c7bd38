/*
 * One-time tickets: authd gives one when a password was right; the program that got the connection
 * redeems it. Bound to the connection, good once and for seconds; one a connection, the last. Pure over the given
 * clock and random bytes; memory is fixed at init.
 */
#pragma once
#include "sasl/sasl.h"

#define TICKET_SIZE 16u

struct ticket {
    uint64_t conn;
    uint64_t expires; /* of the clock given to tickets_issue */
    uint32_t rights;
    uint8_t secret[TICKET_SIZE];
    uint8_t user[SASL_NAME_MAX];
    uint8_t user_n; /* 0: none */
    uint32_t next;  /* in its bucket or in the free list, + 1; 0: the end */
};

struct tickets;
MUST_CHECK enum status tickets_new(size_t most, struct tickets **t);
void tickets_free(struct tickets *t);
size_t tickets_count(const struct tickets *t);
/* ST_UNAVAILABLE when all are in use and none has expired. random: TICKET_SIZE fresh bytes, the ticket itself. */
MUST_CHECK enum status tickets_issue(struct tickets *t, uint64_t now, uint64_t expires, uint64_t conn, struct slice user,
                                     uint32_t rights, const uint8_t random[TICKET_SIZE]);
/* ST_OK: *got, and the ticket is no more. ST_STALE: unknown, used, expired, or another's. */
MUST_CHECK enum status tickets_redeem(struct tickets *t, uint64_t now, uint64_t conn, struct slice secret, struct ticket *got);
void tickets_forget(struct tickets *t, uint64_t conn); /* the connection is over */
/* Of a user whose password was changed or who is no more. */
void tickets_forget_user(struct tickets *t, struct slice user);
