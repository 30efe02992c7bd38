/*
 * A seeded load on a running stored: clients that deliver, and one client an account that does what IMAP
 * does. All that they were told is in the journal, with positions of the tape. They check what they see as
 * they go.
 */
#pragma once
#include "tests/crash/look.h"
#include "tests/crash/tape.h"

struct load {
    struct stored_peer *peer;
    struct tape *tape;
    struct world *world; /* as of now */
    struct journal journal;
    uint64_t seed;
    uint32_t steps; /* requests of one client in one part */
    /* load.c's */
    uint32_t compacted; /* how often something was */
    uint32_t busy, part, tokens[LASTING + ACCOUNTS];
    struct wait quiet;
    char failed[600];
};

/* Makes the lasting accounts. */
wrong load_begin(struct load *l);
/* One part of the load; on return nothing is under way. */
wrong load_part(struct load *l);
