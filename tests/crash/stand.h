/*
 * A stored under the shim, in a root of its own in memory. One at a time.
 */
#pragma once
#include "store/stored_peer.h"
#include "tests/crash/medium.h"

#define STAND_SETTINGS "domain = dominio.com.uy\nsegment_size = 5M\nindex_memory = 64K\ndisk_reserve = 0\n" \
                       "compact_grace = 0ms\n"

enum stand_tape { TAPE_NONE = -1, TAPE_LOAD, TAPE_RECOVERY, TAPES };

extern struct stored_peer peer;
extern struct tape *tapes[TAPES];
extern char stand_store[128]; /* ROOT/store */

/* False with errno. Ends with stand_done(), on no fiber. */
bool stand_setup(const char *stored, const char *shim);
void stand_done(void);
/* Empties it: memory that was used goes back. */
void stand_reset_tape(enum stand_tape which);
/* What is NULL in the following went well; else it is what went wrong, in words. */
/* An empty root with a store of these bytes, or none. */
const char *stand_new_root(const struct medium *m);
const char *stand_start(enum stand_tape which);
/* Nothing is removed in the background any more: the index stands still. Its text. */
const char *stand_dump(struct buf *to);
/* What stored said last on stderr; stand_hush() forgets it. */
void stand_tell_log(void);
void stand_hush(void);
