/*
 * What bodies may take before they are in the store: credit, bytes that stored lets its channel
 * have unflushed (MSG_CREDIT), and chunks of this program's arena. Both are booked before they
 * are used; who finds too little waits his turn, so that a sender is slowed down rather than refused,
 * bodies that have begun before those that have not. One thread.
 *
 * Credit is what stored granted on its present channel, less what was sent to it, less what is
 * booked. A new channel begins with nothing granted; what is booked then is still to be sent.
 */
#pragma once
#include "ipc/shm.h"
#include "sys/fiber.h"

/* What one body has booked and not yet used; zero-initialise it. */
struct booking {
    uint64_t bytes; /* of credit */
    uint32_t chunks;
};

/* Before anything else. */
void credit_init(struct loop *loop, struct shm *arena);
/* On a fiber. begun: more for a body that has some. ST_TIMEOUT: no credit came. ST_MEMORY: no chunks.
 * ST_CANCELLED: credit_close. */
MUST_CHECK enum status credit_book(struct booking *b, uint64_t bytes, uint32_t chunks, bool begun,
                                   uint64_t deadline);
/* Gives back what is booked still. */
void credit_release(struct booking *b);
/* Gives back what is booked above that. */
void credit_trim(struct booking *b, uint64_t bytes);
/* A chunk that was booked. */
uint32_t credit_take(struct booking *b);
void credit_give(uint32_t chunk);
/* n bytes went to stored, which will grant as many again; more than is booked is debt. */
void credit_spend(struct booking *b, uint64_t n);

/* stored says: so many bytes more. */
void credit_grant(uint64_t n);
/* The channel to stored ended: its grants are void. */
void credit_void(void);
/* The program stops: whoever waits is told, and nobody waits any more. */
void credit_close(void);
