/*
 * The disk below ROOT/store, as a tape (tape.h) tells of it: what was written, and what of that a power cut
 * would leave. Durable is only what was flushed by its own file, or as a name by its folder. Of the rest a
 * cut leaves any subset: of each sector one of its states since the flush, of sizes any since, of names each
 * change or not.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "tests/crash/tape.h"

struct medium;

struct medium *medium_new(void);
void medium_free(struct medium *m);
/* Plays events of a tape up to position `to`; from: where an earlier call ended, or 0. What it holds points
 * into the tape until the next cut. False: the tape makes no sense; why is on stderr. */
bool medium_play(struct medium *m, const struct tape *tape, uint64_t from, uint64_t to);

/* How a cut takes: of what is not durable, of each 100 sectors and names so many stay. */
struct cut {
    unsigned stays;  /* 0: only what was flushed. 100: all, as when stored is killed and the machine lives */
    unsigned sector; /* 512 or 4096 */
    bool in_order;   /* changes of names: up to one of them, as a journal has it; else any */
};
/* Power is cut and comes back: what stayed is now durable, the rest never was. random: 0 <= random(n) < n. */
void medium_cut(struct medium *m, const struct cut *cut, uint64_t (*random)(uint64_t n));
/* Writes all of it below `path`, an empty folder. False with errno. */
bool medium_put(const struct medium *m, const char *path);
