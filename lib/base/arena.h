/*
 * Memory that is given back all at once: of a command, a message, a session.
 * Blocks grow from a small first one; there is a budget, past which the answer
 * is NULL and arena_failed() stays true until the reset.
 */
#pragma once
#include "base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used, budget;        /* bytes handed out; the most there may be */
    bool failed;
};

#define ARENA_INIT(most) ((struct arena){.budget = (most)})
#define AUTO_ARENA __attribute__((cleanup(arena_done))) struct arena

void arena_done(struct arena *a);  /* frees all; can be used again */
void arena_reset(struct arena *a); /* forgets all, keeps one small block */
/* Zeroed, aligned for any type; NULL past the budget. n may be 0. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t count, size_t size); /* checked product */
/* A copy that lives as long as the arena; {NULL, 0} on failure (see arena_failed). */
struct slice arena_copy(struct arena *a, struct slice s);

static inline bool
arena_failed(const struct arena *a)
{
    return a->failed;
}
