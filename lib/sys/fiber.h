/*
 * Fibers: a stack lent to work that waits. Protocol code reads from top to
 * bottom; whoever waits gives the thread to others. Built on Boost.Context's
 * make_fcontext/jump_fcontext; stacks come from a pool, 64 KiB with a guard
 * page below. A fiber belongs to one loop and never moves.
 *
 * Every wait has a deadline and returns a status; a stack is never dropped:
 * cancelling a fiber means that its wait returns ST_CANCELLED, and it ends itself.
 */
#pragma once
#include "sys/loop.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(FIBER_ASAN)
#define FIBER_ASAN 1
#endif
#ifndef FIBER_ASAN
#define FIBER_ASAN 0
#endif
#if FIBER_ASAN
#define FIBER_STACK (256u * 1024u) /* red zones make frames several times as large */
#else
#define FIBER_STACK (64u * 1024u)
#endif
#define FIBER_SLICE MSEC(5) /* a fiber that runs longer without waiting is counted and logged */

/* Runs fn(arg) on a fiber of its own, at once, until its first wait. ST_LIMIT when
 * `fiber_limit` stacks are in use, ST_MEMORY. */
MUST_CHECK enum status fiber_spawn(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Is the caller on a fiber? */
bool fiber_here(void);

/* One thing to wait for, in the waiter's storage. wait_end may come before wait_for, and from
 * anything that runs in the loop's thread; the first result counts, later ones are ignored. */
struct wait {
    struct fiber *fiber; /* who waits now, or NULL */
    bool ended;          /* once, until WAIT_INIT is put there again */
    enum status result;
};
#define WAIT_INIT ((struct wait){0})
/* Returns the result, or ST_TIMEOUT at `deadline` (loop_now() scale). Only on a fiber. */
MUST_CHECK enum status wait_for(struct wait *w, uint64_t deadline);
void wait_end(struct wait *w, enum status result);

void fiber_sleep_until(uint64_t when);
/* Both do nothing off a fiber. Lets everything else that is ready run, then goes on. For long work: every few hundred rows. */
void fiber_yield(void);
/* Yields when this fiber has run for more than a millisecond. Cheap; call it in inner loops. */
void fiber_yield_if_long(void);

/* For whom a fiber works: an account's name, say. While it runs, and only then, the name stands in the page, where whoever
 * shares the page finds it after a crash. The name is the fiber's until it ends; off a fiber this does nothing. */
#define FIBER_NOTE 255u
struct fiber_note {
    volatile uint8_t n; /* 0: nobody */
    uint8_t name[FIBER_NOTE];
};
void fiber_note(struct slice name);
void fiber_note_page(struct fiber_note *page); /* of the calling thread; NULL: none, as at first */

struct fiber_stats {
    uint64_t started, running, most, overruns; /* overruns: ran past FIBER_SLICE */
    uint64_t longest;                          /* ns */
    size_t deepest;                            /* bytes of stack, in builds that paint it; else 0 */
};
/* Of the calling thread's fibers, as is the limit. */
void fiber_stats(struct fiber_stats *stats);
void fiber_set_limit(size_t most); /* default 4096 */
