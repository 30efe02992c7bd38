/*
 * A table in memory: keys to rows, each with the line it was written in. Sets (local domains, relay domains),
 * small maps and the memory of what an expansion has met are all of it. Pure; grows in an arena, forgets
 * nothing. Keys are compared as bytes: who fills and who asks fold them (route_fold).
 */
#pragma once
#include "base/arena.h"

struct route_row {
    struct slice value; /* empty in a set */
    struct slice file;  /* where it was written; empty: a setting or a test */
    uint32_t line;      /* from 1; 0: not known */
};

struct route_slot {
    struct slice key; /* p is NULL: free */
    struct route_row row;
};

struct route_table {
    struct arena *arena; /* outlives the table */
    struct route_slot *slots;
    size_t n, room; /* room is 0 or a power of two */
};

#define ROUTE_TABLE(a) ((struct route_table){.arena = (a)})

/* Keeps key, value and file as they are: they live as long as the table. ST_EXISTS when the key is there (the
 * old row stays), ST_MEMORY past the arena's budget. */
MUST_CHECK enum status route_table_put(struct route_table *t, struct slice key, const struct route_row *row);
/* NULL: not there. t may be NULL, an empty table. */
const struct route_row *route_table_get(const struct route_table *t, struct slice key);

/* A copy in lower case; {NULL, 0} past the budget. */
struct slice route_fold(struct arena *a, struct slice s);
