#include "sys/fiber.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/log.h"

#if FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define UNCHECKED __attribute__((no_sanitize("address")))
#else
#define UNCHECKED
#endif
#if FIBER_ASAN || defined(PLANT_BUGS)
#define PAINT 1
#else
#define PAINT 0
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(from, to) 0u
#define VALGRIND_STACK_DEREGISTER(id) (void)(id)
#endif

/* Boost.Context's C entry points; its headers are C++. */
struct transfer_t {
    void *fctx;
    void *data;
};
void *make_fcontext(void *top, size_t size, void (*fn)(struct transfer_t));
struct transfer_t jump_fcontext(void *to, void *data);

#define PAGE 4096u
#define POOL_KEEP 256u    /* free stacks kept; a page fault costs more than everything here */
#define HOT (3 * PAGE)    /* what nearly every fiber touches: faulted in by one call */
#define PAINT_WORD 0xa55a5aa5a55a5aa5u

/* Lies at the top of its own stack, in the page that is touched anyway. */
struct fiber {
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    void *ctx;               /* where it stopped */
    void *caller;            /* where to go back to */
    struct wait *waiting;
    struct timer deadline;
    struct deferred again;   /* its place among what runs soon */
    struct fiber *next_free;
    uint64_t since;          /* when it last began to run */
    bool done;
    unsigned valgrind;
    uint8_t note_n, note[FIBER_NOTE];
#if FIBER_ASAN
    void *fake;
    const void *caller_bottom;
    size_t caller_size;
#endif
};

static _Thread_local struct {
    struct fiber *current;
    struct fiber *free;
    size_t free_n, limit;
    struct fiber_note *page;
    struct fiber_stats stats;
} mine = {.limit = 4096};

static uint8_t *
stack_bottom(struct fiber *f)
{
    return (uint8_t *)(f + 1) - FIBER_STACK;
}

/* Bytes between the guard page and the frames: what fn has. */
static size_t
stack_size(void)
{
    return (FIBER_STACK - sizeof(struct fiber)) & ~(size_t)63;
}

#if PAINT
/* Stacks are painted once, when they are made: only the deepest mark of all counts. */
UNCHECKED static void
paint(struct fiber *f)
{
    volatile uint64_t *p = (uint64_t *)(void *)stack_bottom(f);

    for (size_t i = 0; i < stack_size() / sizeof *p; i++)
        p[i] = PAINT_WORD;
}

UNCHECKED static void
measure(struct fiber *f)
{
    const volatile uint64_t *p = (uint64_t *)(void *)stack_bottom(f);
    size_t i = 0;

    while (i < stack_size() / sizeof *p && p[i] == PAINT_WORD)
        i++;
    if (stack_size() - i * sizeof *p > mine.stats.deepest)
        mine.stats.deepest = stack_size() - i * sizeof *p;
}
#else
static void
paint(struct fiber *f)
{
    (void)f;
}

static void
measure(struct fiber *f)
{
    (void)f;
}
#endif

/* A fresh stack with a page below it that nobody may touch. */
static struct fiber *
stack_map(void)
{
    uint8_t *p = mmap(NULL, PAGE + FIBER_STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    struct fiber *f;

    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p + PAGE, FIBER_STACK, PROT_READ | PROT_WRITE) != 0) {
        (void)munmap(p, PAGE + FIBER_STACK);
        return NULL;
    }
#ifdef MADV_POPULATE_WRITE
    (void)madvise(p + PAGE + FIBER_STACK - HOT, HOT, MADV_POPULATE_WRITE); /* only to be quick */
#endif
    f = (struct fiber *)(void *)(p + PAGE + FIBER_STACK - sizeof *f);
    f->valgrind = (unsigned)VALGRIND_STACK_REGISTER(p + PAGE, p + PAGE + FIBER_STACK);
    paint(f);
    return f;
}

static struct fiber *
stack_get(void)
{
    struct fiber *f = mine.free;

    if (f == NULL) {
        f = stack_map();
    } else {
        mine.free = f->next_free;
        mine.free_n--;
    }
    return f;
}

static void
stack_put(struct fiber *f)
{
#if FIBER_ASAN /* the last frames were left by a jump and never unpoisoned */
    __asan_unpoison_memory_region(stack_bottom(f), FIBER_STACK - sizeof *f);
#endif
    if (mine.free_n >= POOL_KEEP) {
        measure(f);
        VALGRIND_STACK_DEREGISTER(f->valgrind);
        (void)munmap(stack_bottom(f) - PAGE, PAGE + FIBER_STACK);
        return;
    }
    f->next_free = mine.free;
    mine.free = f;
    mine.free_n++;
}

static void
count_run(uint64_t ran)
{
    if (ran > mine.stats.longest)
        mine.stats.longest = ran;
    if (ran <= FIBER_SLICE)
        return;
    mine.stats.overruns++;
    log_at(LOG_LEVEL_WARNING, "a fiber ran %llu us without waiting", (unsigned long long)(ran / 1000));
}

/* No call of the kernel: some bytes are written, and stay when the process is gone. */
static void
show_note(const struct fiber *f)
{
    if (mine.page == NULL)
        return;
    mine.page->n = 0;
    if (f == NULL || f->note_n == 0)
        return;
    memcpy(mine.page->name, f->note, f->note_n);
    atomic_signal_fence(memory_order_seq_cst);
    mine.page->n = f->note_n;
}

/* Runs f until it waits or ends. Called on the loop's stack, or by a fiber that spawns another. */
static void
resume(struct fiber *f)
{
    struct fiber *outer = mine.current;
    struct transfer_t t;
    uint64_t now, ran;

    mine.current = f;
    show_note(f);
    f->since = clock_mono();
#if FIBER_ASAN
    void *fake;

    __sanitizer_start_switch_fiber(&fake, stack_bottom(f), FIBER_STACK - sizeof *f);
#endif
    t = jump_fcontext(f->ctx, f);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    f->ctx = t.fctx;
    mine.current = outer;
    show_note(outer);
    now = clock_mono();
    ran = now - f->since;
    count_run(ran);
    if (outer != NULL)
        outer->since += ran; /* the inner one's time is not the outer one's */
    if (f->done) {
        mine.stats.running--;
        stack_put(f);
    }
}

/* Back to who resumed us. Returns when we are resumed again. */
static void
leave(struct fiber *f)
{
    struct transfer_t t;

#if FIBER_ASAN
    __sanitizer_start_switch_fiber(f->done ? NULL : &f->fake, f->caller_bottom, f->caller_size);
#endif
    t = jump_fcontext(f->caller, NULL);
#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(f->fake, &f->caller_bottom, &f->caller_size);
#endif
    f->caller = t.fctx;
}

static void
first_frame(struct transfer_t t)
{
    struct fiber *f = t.data;

#if FIBER_ASAN
    __sanitizer_finish_switch_fiber(NULL, &f->caller_bottom, &f->caller_size);
#endif
    f->caller = t.fctx;
    f->fn(f->arg);
    f->done = true;
    leave(f);
    abort(); /* nobody resumes what is done */
}

static void
on_again(struct deferred *d)
{
    resume(OUTER(d, struct fiber, again));
}

static void
on_deadline(struct timer *t)
{
    struct fiber *f = OUTER(t, struct fiber, deadline);

    if (f->waiting != NULL)
        f->waiting->fiber = NULL;
    loop_soon(f->loop, &f->again);
}

enum status
fiber_spawn(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct fiber *f;
    unsigned id;

    if (mine.stats.running >= mine.limit)
        return ST_LIMIT;
    f = stack_get();
    if (f == NULL)
        return ST_MEMORY;
    id = f->valgrind;
    *f = (struct fiber){.loop = loop, .fn = fn, .arg = arg, .valgrind = id};
    f->deadline.fire = on_deadline;
    f->again.run = on_again;
    f->ctx = make_fcontext(stack_bottom(f) + stack_size(), stack_size(), first_frame);
    mine.stats.started++;
    if (++mine.stats.running > mine.stats.most)
        mine.stats.most = mine.stats.running;
    resume(f);
    return ST_OK;
}

void
fiber_note(struct slice name)
{
    struct fiber *f = mine.current;

    if (f == NULL)
        return;
    f->note_n = (uint8_t)(name.n <= FIBER_NOTE ? name.n : 0);
    if (f->note_n > 0)
        memcpy(f->note, name.p, name.n);
    show_note(f);
}

void
fiber_note_page(struct fiber_note *page)
{
    mine.page = page;
}

bool
fiber_here(void)
{
    return mine.current != NULL;
}

enum status
wait_for(struct wait *w, uint64_t deadline)
{
    struct fiber *f = mine.current;

    assert(f != NULL && w->fiber == NULL);
    if (w->ended)
        return w->result;
    if (deadline <= loop_now(f->loop))
        return ST_TIMEOUT;
    w->fiber = f;
    f->waiting = w;
    if (deadline != NEVER)
        loop_timer(f->loop, &f->deadline, deadline);
    leave(f);
    loop_timer_stop(f->loop, &f->deadline);
    f->waiting = NULL;
    return w->ended ? w->result : ST_TIMEOUT;
}

void
wait_end(struct wait *w, enum status result)
{
    struct fiber *f = w->fiber;

    if (w->ended)
        return;
    w->ended = true;
    w->result = result;
    w->fiber = NULL;
    if (f != NULL)
        loop_soon(f->loop, &f->again);
}

void
fiber_sleep_until(uint64_t when)
{
    struct wait w = WAIT_INIT;

    (void)!wait_for(&w, when);
}

void
fiber_yield(void)
{
    struct fiber *f = mine.current;

    if (f == NULL)
        return;
    loop_next(f->loop, &f->again);
    leave(f);
}

void
fiber_yield_if_long(void)
{
    struct fiber *f = mine.current;

    if (f != NULL && clock_mono() - f->since > MSEC(1))
        fiber_yield();
}

void
fiber_stats(struct fiber_stats *stats)
{
    for (struct fiber *f = mine.free; f != NULL; f = f->next_free)
        measure(f);
    *stats = mine.stats;
}

void
fiber_set_limit(size_t most)
{
    mine.limit = most;
}
