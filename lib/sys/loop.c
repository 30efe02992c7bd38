#include "sys/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "sys/log.h"

#define BATCH 128       /* events taken in one call */
#define SOON_PASSES 16  /* rounds of loop_soon() work before descriptors are looked at again */

/* A singly linked queue whose members can leave from the middle: each knows what points to it. */
struct queue {
    struct deferred *head, **tail;
};

struct loop {
    int epoll, wake;
    uint64_t now;
    struct timer *timers; /* the heap's root: the earliest */
    struct timer *late;   /* a heap of those that were set, while timers fire, to a time that has come */
    bool firing;
    struct queue soon, next, end;
    struct epoll_event *batch; /* while its events are handed out */
    int batch_at, batch_n;
    _Atomic(struct posted *) posted; /* last posted first */
    atomic_bool asleep;              /* a post must write to `wake` */
    atomic_bool stopped;
    bool no_pwait2;
};

static uint64_t
read_clock(clockid_t id)
{
    struct timespec t;

    (void)clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t
clock_mono(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t
clock_real(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t
loop_now(const struct loop *loop)
{
    return loop->now;
}

static void
queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

enum status
loop_new(struct loop **loop, struct err *err)
{
    struct loop *l = calloc(1, sizeof *l);
    struct epoll_event wake = {.events = EPOLLIN | EPOLLET}; /* data.ptr NULL: the wake-up */

    if (l == NULL)
        return err_set(err, ST_MEMORY, "loop: no memory");
    queue_init(&l->soon);
    queue_init(&l->next);
    queue_init(&l->end);
    l->now = clock_mono();
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll < 0 || l->wake < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->wake, &wake) != 0) {
        enum status st = err_sys(err, "loop: epoll");

        loop_free(l);
        return st;
    }
    *loop = l;
    return ST_OK;
}

void
loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->epoll >= 0)
        (void)close(loop->epoll);
    if (loop->wake >= 0)
        (void)close(loop->wake);
    free(loop);
}

enum status
loop_watch(struct loop *loop, struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};

    if (events == w->events)
        return ST_OK;
    if (events == 0) {
        loop_unwatch(loop, w);
        return ST_OK;
    }
    if (epoll_ctl(loop->epoll, w->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, w->fd, &e) != 0)
        return errno == ENOMEM || errno == ENOSPC ? ST_MEMORY : ST_IO;
    w->events = events;
    return ST_OK;
}

void
loop_unwatch(struct loop *loop, struct watch *w)
{
    if (w->events == 0)
        return;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, w->fd, NULL);
    w->events = 0;
    /* What this round still holds for it must not reach memory that may be someone else's by then. */
    for (int i = loop->batch_at; i < loop->batch_n; i++)
        if (loop->batch[i].data.ptr == w)
            loop->batch[i].data.ptr = NULL;
}

/* Joins two heaps, either may be NULL. A root has neither `next` nor `back`. */
static struct timer *
meld(struct timer *a, struct timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->at < a->at) {
        struct timer *t = a;

        a = b;
        b = t;
    }
    b->next = a->child;
    if (b->next != NULL)
        b->next->back = b;
    b->back = a;
    a->child = b;
    return a;
}

/* Makes one heap of a list of siblings: pairs from the left, then all from the right. */
static struct timer *
meld_list(struct timer *first)
{
    struct timer *pairs = NULL, *root = NULL;

    while (first != NULL) {
        struct timer *a = first, *b = a->next;

        first = b != NULL ? b->next : NULL;
        a->next = a->back = NULL;
        if (b != NULL)
            b->next = b->back = NULL;
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        struct timer *rest = pairs->next;

        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = rest;
    }
    return root;
}

void
loop_timer_stop(struct loop *loop, struct timer *t)
{
    struct timer *below;

    if (!t->set)
        return;
    below = meld_list(t->child);
    if (t == loop->timers) {
        loop->timers = below;
    } else if (t == loop->late) {
        loop->late = below;
    } else {
        if (t->back->child == t)
            t->back->child = t->next;
        else
            t->back->next = t->next;
        if (t->next != NULL)
            t->next->back = t->back;
        if (loop->firing && t->at <= loop->now) /* it may come from either: none of these fires too early */
            loop->late = meld(loop->late, below);
        else
            loop->timers = meld(loop->timers, below);
    }
    t->child = t->next = t->back = NULL;
    t->set = false;
}

void
loop_timer(struct loop *loop, struct timer *t, uint64_t at)
{
    if (t->set && t->at == at)
        return;
    loop_timer_stop(loop, t);
    t->at = at;
    t->child = t->next = t->back = NULL;
    t->set = true;
    if (loop->firing && at <= loop->now)
        loop->late = meld(loop->late, t);
    else
        loop->timers = meld(loop->timers, t);
}

static void
enqueue(struct queue *q, struct deferred *d)
{
    if (d->queued)
        return;
    d->queued = true;
    d->next = NULL;
    d->link = q->tail;
    *q->tail = d;
    q->tail = &d->next;
}

void
loop_defer(struct loop *loop, struct deferred *d)
{
    enqueue(&loop->end, d);
}

void
loop_soon(struct loop *loop, struct deferred *d)
{
    enqueue(&loop->soon, d);
}

void
loop_next(struct loop *loop, struct deferred *d)
{
    enqueue(&loop->next, d);
}

/* The last member of a queue is the one its tail points into; whose queue it is need not be known. */
static void
unlink_from(struct queue *q, struct deferred *d)
{
    if (q->tail == &d->next)
        q->tail = d->link;
}

void
loop_undefer(struct loop *loop, struct deferred *d)
{
    if (!d->queued)
        return;
    *d->link = d->next;
    if (d->next != NULL)
        d->next->link = d->link;
    unlink_from(&loop->soon, d);
    unlink_from(&loop->next, d);
    unlink_from(&loop->end, d);
    d->queued = false;
}

/* Appends all of `from` to `to`. */
static void
queue_move(struct queue *from, struct queue *to)
{
    if (from->head == NULL)
        return;
    *to->tail = from->head;
    from->head->link = to->tail;
    to->tail = from->tail;
    queue_init(from);
}

/* Runs what is queued now, at most to the member that is last now: work that queues itself
 * again has its turn later. */
static void
queue_run(struct loop *loop, struct queue *q)
{
    struct deferred mark = {0};

    enqueue(q, &mark);
    while (q->head != &mark) {
        struct deferred *d = q->head;

        loop_undefer(loop, d);
        d->run(d);
    }
    loop_undefer(loop, &mark);
}

void
loop_post(struct loop *loop, struct posted *p)
{
    struct posted *head = atomic_load(&loop->posted);

    do
        p->next = head;
    while (!atomic_compare_exchange_weak(&loop->posted, &head, p));
    /* Sequentially consistent with the loop's "asleep = true, then look at posted". */
    if (atomic_exchange(&loop->asleep, false)) {
        uint64_t one = 1;

        (void)!write(loop->wake, &one, sizeof one); /* full means that it is awake already */
    }
}

void
loop_stop(struct loop *loop)
{
    uint64_t one = 1;

    atomic_store(&loop->stopped, true);
    (void)!write(loop->wake, &one, sizeof one);
}

static void
run_posted(struct loop *loop)
{
    struct posted *p, *in_order = NULL;

    if (atomic_load_explicit(&loop->posted, memory_order_relaxed) == NULL)
        return;
    p = atomic_exchange(&loop->posted, NULL);
    while (p != NULL) {
        struct posted *next = p->next;

        p->next = in_order;
        in_order = p;
        p = next;
    }
    while (in_order != NULL) {
        p = in_order;
        in_order = p->next;
        p->run(p);
    }
}

static void
run_timers(struct loop *loop)
{
    /* One that is set to now or before while these fire waits for the next round: two that set each
     * other, or one that sets itself, would keep everything else waiting for ever. */
    loop->firing = true;
    while (loop->timers != NULL && loop->timers->at <= loop->now) {
        struct timer *t = loop->timers;

        loop_timer_stop(loop, t);
        t->fire(t);
    }
    loop->firing = false;
    loop->timers = meld(loop->timers, loop->late);
    loop->late = NULL;
}

static int
wait_events(struct loop *loop, struct epoll_event *batch, uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    int ms, n;

    if (!loop->no_pwait2) {
        n = epoll_pwait2(loop->epoll, batch, BATCH, ns == NEVER ? NULL : &t, NULL);
        if (n >= 0 || errno != ENOSYS)
            return n;
        loop->no_pwait2 = true; /* Valgrind, and kernels before 5.11 */
    }
    ms = ns == NEVER ? -1 : ns > SECONDS(3600) ? 3600000 : (int)((ns + MSEC(1) - 1) / MSEC(1));
    return epoll_wait(loop->epoll, batch, BATCH, ms);
}

/* How long nothing but a descriptor can give us work. */
static uint64_t
idle_time(struct loop *loop)
{
    uint64_t now;

    if (loop->soon.head != NULL || loop->next.head != NULL || loop->end.head != NULL)
        return 0;
    if (loop->timers == NULL || loop->timers->at == NEVER)
        return NEVER;
    now = clock_mono(); /* the round may have been long */
    return loop->timers->at > now ? loop->timers->at - now : 0;
}

/* False with errno when epoll fails. */
static bool
sleep_and_take(struct loop *loop, struct epoll_event *batch, int *n)
{
    uint64_t ns = idle_time(loop);

    if (ns != 0) {
        atomic_store(&loop->asleep, true);
        if (atomic_load(&loop->posted) != NULL || atomic_load(&loop->stopped))
            ns = 0;
    }
    *n = wait_events(loop, batch, ns);
    atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    loop->now = clock_mono();
    if (*n < 0 && errno == EINTR)
        *n = 0;
    return *n >= 0;
}

static void
hand_out(struct loop *loop, struct epoll_event *batch, int n)
{
    loop->batch = batch;
    loop->batch_n = n;
    for (loop->batch_at = 0; loop->batch_at < loop->batch_n;) {
        const struct epoll_event e = batch[loop->batch_at++];
        struct watch *w = e.data.ptr;

        if (w != NULL)
            w->ready(w, e.events);
    }
    loop->batch_at = loop->batch_n = 0;
}

enum status
loop_run(struct loop *loop, struct err *err)
{
    struct epoll_event batch[BATCH];
    int n = 0;

    log_gather(true);
    loop->now = clock_mono();
    while (!atomic_load_explicit(&loop->stopped, memory_order_relaxed)) {
        hand_out(loop, batch, n);
        run_timers(loop);
        run_posted(loop);
        queue_move(&loop->next, &loop->soon);
        for (int i = 0; i < SOON_PASSES && loop->soon.head != NULL; i++)
            queue_run(loop, &loop->soon);
        queue_run(loop, &loop->end);
        log_flush();
        if (!sleep_and_take(loop, batch, &n)) {
            log_gather(false);
            return err_sys(err, "loop: epoll_wait");
        }
    }
    hand_out(loop, batch, 0);
    log_gather(false);
    atomic_store(&loop->stopped, false); /* it can be run again */
    return ST_OK;
}
