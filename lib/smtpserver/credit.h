/*
 * What bodies may take before they are in the store: credit, bytes that stored lets its channel
 * have unflushed (MSG_CREDIT), and chunks of this program's arena. Both are booked together, in
 * units of a chunk, before they are used; who finds too little waits his turn, so that a sender is
 * slowed down rather than refused. One thread.
 *
 * Most senders do not say how much will come, so a body books in steps. If all could take
 * what there is until nothing is left, all would wait for each other; so the last of it is kept for those
 * that hold most already: level 0 has not begun, and level 3 is enough for any body to end.
 *
 * Credit is what stored granted on its present channel, less what was sent to it, less what is
 * booked. A new channel begins with nothing granted; what is booked then is still to be sent.
 */
#pragma once
#include "ipc/shm.h"
#include "sys/fiber.h"

#define CREDIT_LEVELS 4u
#define CREDIT_WAIT   SECONDS(10)

/* What one body has; zero-initialise it. */
struct booking {
    uint32_t credit; /* chunks' worth of it, booked and not sent */
    uint32_t chunks; /* of the arena, booked and not taken */
};

/* Before anything else. */
/* pressed: called when somebody has waited for half of CREDIT_WAIT: to end bodies that do not come. */
void credit_init(struct loop *loop, struct shm *arena, void (*pressed)(void));
/* n chunks, and credit for them; on a fiber, for at most CREDIT_WAIT. ST_TIMEOUT: no credit came. ST_MEMORY:
 * no chunks. ST_CANCELLED: credit_close. */
MUST_CHECK enum status credit_book(struct booking *b, uint32_t n, unsigned level);
/* Gives back what is booked still: all, or credit for more than n chunks. */
void credit_release(struct booking *b);
void credit_trim(struct booking *b, uint32_t n);
/* A chunk that was booked. */
uint32_t credit_take(struct booking *b);
void credit_give(uint32_t chunk);
/* n bytes went to stored, which will grant as many again. */
void credit_spend(uint64_t n);

/* stored says: so many bytes more. */
void credit_grant(uint64_t n);
/* The channel to stored ended: its grants are void. */
void credit_void(void);
/* The program stops: whoever waits is told, and nobody waits any more. */
void credit_close(void);
