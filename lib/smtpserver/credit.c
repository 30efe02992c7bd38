#include "smtpserver/credit.h"

#include <assert.h>

#define PART 8u /* of everything, that each level leaves to the ones above */

struct waiter {
    struct waiter *next;
    struct booking *booking;
    uint32_t n;
    unsigned level;
    struct wait wait;
};

static struct {
    struct loop *loop;
    struct shm *arena;
    void (*pressed)(void);
    int64_t granted, most; /* less what was sent; the most there was of it */
    uint64_t booked;       /* chunks' worth, of all bodies */
    uint32_t promised;     /* chunks booked and not yet taken */
    struct waiter *first;  /* the higher level first, and in its order */
    bool closed;
} self;

void
credit_init(struct loop *loop, struct shm *arena, void (*pressed)(void))
{
    self.loop = loop;
    self.pressed = pressed;
    self.arena = arena;
}

/* How many parts are to be left. Who is alone need leave nothing. */
static unsigned
parts_left(const struct booking *b, unsigned level)
{
    return self.booked > b->credit ? CREDIT_LEVELS - 1 - level : 0;
}

static bool
enough_credit(const struct booking *b, uint32_t n, unsigned level)
{
    int64_t left = self.granted - (int64_t)(self.booked * SHM_CHUNK);

    return left >= (int64_t)n * SHM_CHUNK + self.most / PART * parts_left(b, level);
}

static bool
enough_chunks(const struct booking *b, uint32_t n, unsigned level)
{
    return self.arena->n_idle - self.promised >= n + self.arena->chunks / PART * parts_left(b, level);
}

static bool
enough(const struct booking *b, uint32_t n, unsigned level)
{
    return enough_credit(b, n, level) && enough_chunks(b, n, level);
}

static void
book(struct booking *b, uint32_t n)
{
    b->credit += n;
    b->chunks += n;
    self.booked += n;
    self.promised += n;
}

/* In order: who needs much is not overtaken for ever by those who need little. */
static void
serve_waiters(void)
{
    struct waiter *w;

    while ((w = self.first) != NULL && enough(w->booking, w->n, w->level)) {
        self.first = w->next;
        book(w->booking, w->n);
        wait_end(&w->wait, ST_OK);
    }
}

static void
add_waiter(struct waiter *me)
{
    struct waiter **at = &self.first;

    while (*at != NULL && (*at)->level >= me->level)
        at = &(*at)->next;
    me->next = *at;
    *at = me;
}

static void
remove_waiter(struct waiter *me)
{
    struct waiter **at = &self.first;

    while (*at != NULL && *at != me)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    *at = me->next;
    serve_waiters(); /* those behind may need less */
}

enum status
credit_book(struct booking *b, uint32_t n, unsigned level)
{
    struct waiter me = {.booking = b, .n = n, .level = level};
    uint64_t began = loop_now(self.loop);
    enum status st;

    assert(level < CREDIT_LEVELS);
    if (self.closed)
        return ST_CANCELLED;
    if ((self.first == NULL || self.first->level < level) && enough(b, n, level)) {
        book(b, n);
        return ST_OK;
    }
    add_waiter(&me);
    st = wait_for(&me.wait, began + CREDIT_WAIT / 2);
    if (st == ST_TIMEOUT && !me.wait.ended) {
        self.pressed();
        st = wait_for(&me.wait, began + CREDIT_WAIT);
    }
    if (st == ST_TIMEOUT && enough_credit(b, n, level) && !enough_chunks(b, n, level))
        st = ST_MEMORY;
    if (st != ST_OK)
        remove_waiter(&me);
    return st;
}

void
credit_release(struct booking *b)
{
    if (b->credit == 0 && b->chunks == 0)
        return;
    assert(b->credit <= self.booked && b->chunks <= self.promised);
    self.booked -= b->credit;
    self.promised -= b->chunks;
    *b = (struct booking){0};
    serve_waiters();
}

void
credit_trim(struct booking *b, uint32_t n)
{
    if (b->credit <= n)
        return;
    self.booked -= b->credit - n;
    b->credit = n;
    serve_waiters();
}

uint32_t
credit_take(struct booking *b)
{
    uint32_t chunk = 0;
    enum status st;

    assert(b->chunks > 0);
    b->chunks--;
    self.promised--;
    st = shm_take(self.arena, &chunk);
    assert(st == ST_OK); /* it was promised */
    return chunk;
}

void
credit_give(uint32_t chunk)
{
    shm_give(self.arena, chunk);
    serve_waiters();
}

void
credit_spend(uint64_t n)
{
    self.granted -= (int64_t)n;
}

void
credit_grant(uint64_t n)
{
    int64_t limit = INT64_MAX / 4;

    self.granted =
        n > (uint64_t)(limit - (self.granted > 0 ? self.granted : 0)) ? limit : self.granted + (int64_t)n;
    if (self.granted > self.most)
        self.most = self.granted;
    serve_waiters();
}

void
credit_void(void)
{
    self.granted = self.most = 0;
}

void
credit_close(void)
{
    self.closed = true;
    while (self.first != NULL) {
        struct waiter *w = self.first;

        self.first = w->next;
        wait_end(&w->wait, ST_CANCELLED);
    }
}
