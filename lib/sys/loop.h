/*
 * One thread's event loop: descriptors, timers, work for the end of a round,
 * and work posted by other threads. Everything is embedded in its owner's
 * struct; the loop allocates nothing per event. Callbacks run on the loop's own
 * stack and must not block: what waits is a fiber (fiber.h) or a thread.
 *
 * A round: descriptors, timers, posted work, loop_soon() work until none is left (fibers
 * run here), loop_defer() work, the log's gathered lines, then sleep.
 */
#pragma once
#include "base/slice.h"

struct loop;

MUST_CHECK enum status loop_new(struct loop **loop, struct err *err);
void loop_free(struct loop *loop);
/* Runs until loop_stop(). */
enum status loop_run(struct loop *loop, struct err *err);
/* From any thread, and from a signal handler. */
void loop_stop(struct loop *loop);

/* Nanoseconds. loop_now is monotonic, read once a round; the others ask the clock. */
uint64_t loop_now(const struct loop *loop);
uint64_t clock_mono(void);
uint64_t clock_real(void); /* since 1970, UTC */
#define MSEC(n) ((uint64_t)(n) * 1000000u)
#define SECONDS(n) ((uint64_t)(n) * 1000000000u)
#define NEVER UINT64_MAX /* only for waits whose owner has another deadline; say which */

/* A watched descriptor, level-triggered unless EPOLLET is among the events. `ready` gets EPOLLIN,
 * EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLRDHUP as epoll gives them. A watch may be removed, and its
 * memory freed, in its own or another's callback. */
struct watch {
    void (*ready)(struct watch *w, uint32_t events);
    int fd;
    uint32_t events; /* 0: not watched. The loop's: set by loop_watch */
};
/* Asking again for the events that are armed already costs nothing. */
MUST_CHECK enum status loop_watch(struct loop *loop, struct watch *w, uint32_t events);
void loop_unwatch(struct loop *loop, struct watch *w); /* before the fd is closed; twice is once */

/* A timer fires once. Setting it again moves it. Setting never fails: the heap is made of the timers. */
struct timer {
    void (*fire)(struct timer *t);
    uint64_t at; /* loop_now() scale */
    /* loop.c's: a pairing heap; back is the parent, or the sibling before */
    struct timer *child, *next, *back;
    bool set;
};
void loop_timer(struct loop *loop, struct timer *t, uint64_t at);
void loop_timer_stop(struct loop *loop, struct timer *t);

/* Runs once at the end of this round, before the loop sleeps: where output of many
 * sessions is gathered into one system call. Deferring it again meanwhile is once. */
struct deferred {
    void (*run)(struct deferred *d);
    struct deferred *next, **link; /* loop.c's */
    bool queued;
};
void loop_defer(struct loop *loop, struct deferred *d);
/* The same, but still in this round, before what is deferred; in the order asked for. */
void loop_soon(struct loop *loop, struct deferred *d);
/* The same, but in the next round, after the descriptors that are ready by then. */
void loop_next(struct loop *loop, struct deferred *d);
void loop_undefer(struct loop *loop, struct deferred *d); /* of any of the three */

/* From any thread: `run` is called in the loop's thread. The struct is the loop's until then. */
struct posted {
    void (*run)(struct posted *p);
    struct posted *next;
};
void loop_post(struct loop *loop, struct posted *p);

#define OUTER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
