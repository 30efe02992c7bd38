/*
 * A message's body on its way from the client to the store: received into chunks of this program's
 * arena, digested by mdad, delivered by stored. A small body (up to STORE_BODY_INLINE) stays in its
 * chunks until it is delivered; of a larger one there is a window of chunks, from which mdad and
 * a side body of stored are fed while it comes. The functions wait, on the session's fiber.
 */
#pragma once
#include "smtpserver/credit.h"
#include "store/request.h"

#define BODY_WINDOW 8u /* chunks: what is fed to mdad or to a side body at a time */

struct body;

/* Waits for credit and chunks for what is announced (0: not known), or the first part of it. ST_TIMEOUT and
 * ST_UNAVAILABLE: the store gives none now. ST_MEMORY: the arena is full. */
MUST_CHECK enum status body_open(uint64_t announced, struct body **result);
/* Room for the next bytes, at least one; then how many of it were used. */
MUST_CHECK enum status body_room(struct body *b, uint8_t **p, size_t *n);
void body_used(struct body *b, size_t n);
/* Has its sender been silent for so long? */
bool body_silent(const struct body *b, uint64_t ns);
/* The body is whole: has it digested, and sends the rest of it aside. ST_UNAVAILABLE when mdad or stored
 * cannot. */
MUST_CHECK enum status body_finish(struct body *b);
/* The first of its bytes, at most SHM_CHUNK of them, good until the body waits. Empty when they were sent
 * away. */
struct slice body_head(const struct body *b);
/* Bytes of a deliver that are not its recipients, prefix, sender and envid. */
size_t body_overhead(const struct body *b);
/* Is it, or most of it, in a side body? Then there is one DELIVER for all recipients. */
bool body_is_aside(const struct body *b);
/* Without a digest readers parse the message themselves: when it leaves no room for the recipients. */
void body_forget_digest(struct body *b);
/* Does not wait before *m is encoded. Delivers by *m, whose chunks, n, side, digest and coming are filled
 * here; asks again, with the same request, when the channel breaks. Can be called again for more recipients,
 * if it is not aside. */
MUST_CHECK enum status body_deliver(struct body *b, struct deliver *m);
/* Ends it, delivered or not. NULL does nothing. */
void body_close(struct body *b);

/* A channel of this program ended. */
void body_peer_gone(enum role role);
