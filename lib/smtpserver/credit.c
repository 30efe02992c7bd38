#include "smtpserver/credit.h"

#include <assert.h>

struct waiter {
    struct waiter *next;
    struct booking *booking;
    uint64_t bytes;
    uint32_t chunks;
    bool begun;
    struct wait wait;
};

static struct {
    struct loop *loop;
    struct shm *arena;
    int64_t granted;      /* less what was sent */
    uint64_t booked;      /* bytes, of all bodies */
    uint32_t promised;    /* chunks booked and not yet taken */
    struct waiter *first; /* in their order */
    bool closed;
} self;

void
credit_init(struct loop *loop, struct shm *arena)
{
    self.loop = loop;
    self.arena = arena;
}

static bool
enough_credit(uint64_t bytes)
{
    int64_t free_bytes = self.granted - (int64_t)self.booked;

    return bytes == 0 || (free_bytes > 0 && (uint64_t)free_bytes >= bytes);
}

static bool
enough_chunks(uint32_t chunks)
{
    return self.arena->n_idle - self.promised >= chunks;
}

static void
book(struct booking *b, uint64_t bytes, uint32_t chunks)
{
    b->bytes += bytes;
    b->chunks += chunks;
    self.booked += bytes;
    self.promised += chunks;
}

/* In order: a large body is not overtaken for ever by small ones. */
static void
serve_waiters(void)
{
    struct waiter *w;

    while ((w = self.first) != NULL && enough_credit(w->bytes) && enough_chunks(w->chunks)) {
        self.first = w->next;
        book(w->booking, w->bytes, w->chunks);
        wait_end(&w->wait, ST_OK);
    }
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

/* Who has begun goes before who has not: he holds what others wait for, until he ends. */
static void
add_waiter(struct waiter *me)
{
    struct waiter **at = &self.first;

    while (*at != NULL && ((*at)->begun || !me->begun))
        at = &(*at)->next;
    me->next = *at;
    *at = me;
}

enum status
credit_book(struct booking *b, uint64_t bytes, uint32_t chunks, bool begun, uint64_t deadline)
{
    struct waiter me = {.booking = b, .bytes = bytes, .chunks = chunks, .begun = begun};
    enum status st;

    if (self.closed)
        return ST_CANCELLED;
    if (bytes == 0 && chunks == 0)
        return ST_OK;
    if ((self.first == NULL || (begun && !self.first->begun)) && enough_credit(bytes) &&
        enough_chunks(chunks)) {
        book(b, bytes, chunks);
        return ST_OK;
    }
    add_waiter(&me);
    st = wait_for(&me.wait, deadline);
    if (st == ST_TIMEOUT && !enough_chunks(chunks))
        st = ST_MEMORY;
    if (st != ST_OK)
        remove_waiter(&me);
    return st;
}

void
credit_release(struct booking *b)
{
    assert(b->bytes <= self.booked && b->chunks <= self.promised);
    self.booked -= b->bytes;
    self.promised -= b->chunks;
    *b = (struct booking){0};
    serve_waiters();
}

void
credit_trim(struct booking *b, uint64_t bytes)
{
    if (b->bytes <= bytes)
        return;
    self.booked -= b->bytes - bytes;
    b->bytes = bytes;
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
credit_spend(struct booking *b, uint64_t n)
{
    uint64_t of_booked = n < b->bytes ? n : b->bytes;

    b->bytes -= of_booked;
    self.booked -= of_booked;
    self.granted -= (int64_t)n;
}

void
credit_grant(uint64_t n)
{
    int64_t most = INT64_MAX / 4;

    self.granted =
        n > (uint64_t)(most - (self.granted > 0 ? self.granted : 0)) ? most : self.granted + (int64_t)n;
    serve_waiters();
}

void
credit_void(void)
{
    self.granted = 0;
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
