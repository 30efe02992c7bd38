#include "sys/loop.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

static struct loop *loop;
static char trace[256]; /* what ran, a letter each */
static size_t traced;

static void
note(char c)
{
    if (traced < sizeof trace - 1)
        trace[traced++] = c;
    trace[traced] = '\0';
}

static void
begin(void)
{
    traced = 0;
    trace[0] = '\0';
    assert_int_equal(loop_new(&loop, NULL), ST_OK);
}

static void
run(void)
{
    assert_int_equal(loop_run(loop, NULL), ST_OK);
}

struct ticker {
    struct timer t;
    struct deferred d;
    char letter;
};

static void
on_tick(struct timer *t)
{
    note(OUTER(t, struct ticker, t)->letter);
}

static void
on_stop(struct timer *t)
{
    (void)t;
    loop_stop(loop);
}

TEST(timers_in_order)
{
    struct ticker c[4] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}, {.letter = 'd'}};
    struct timer stop = {.fire = on_stop};
    uint64_t t0;

    begin();
    t0 = clock_mono();
    for (int i = 0; i < 4; i++)
        c[i].t.fire = on_tick;
    loop_timer(loop, &c[2].t, t0 + MSEC(3));
    loop_timer(loop, &c[0].t, t0 + MSEC(9)); /* moved below */
    loop_timer(loop, &c[1].t, t0 + MSEC(2));
    loop_timer(loop, &c[3].t, t0 + MSEC(4));
    loop_timer(loop, &c[0].t, t0 + MSEC(1));
    loop_timer_stop(loop, &c[3].t);
    loop_timer_stop(loop, &c[3].t);
    loop_timer(loop, &stop, t0 + MSEC(6));
    run();
    assert_string_equal(trace, "abc");
    CHECK(0, clock_mono() - t0 >= MSEC(6));
    loop_free(loop);
}

static struct ticker at_now[4];
static int rounds;

static void
on_first(struct timer *t)
{
    on_tick(t);
    loop_timer(loop, t, loop_now(loop)); /* itself */
    if (rounds > 0)
        return;
    loop_timer(loop, &at_now[1].t, loop_now(loop));     /* another, to now */
    loop_timer(loop, &at_now[2].t, loop_now(loop) - 5); /* and before */
    loop_timer(loop, &at_now[3].t, loop_now(loop) - 9);
    loop_timer_stop(loop, &at_now[3].t);
}

static void
on_round_end(struct deferred *d)
{
    note('|');
    if (++rounds == 3)
        loop_stop(loop);
    else
        loop_defer(loop, d);
}

/* What is set to now while timers fire fires in the next round, or nothing else would ever run. */
TEST(timers_set_to_now)
{
    struct deferred d = {.run = on_round_end};

    begin();
    for (int i = 0; i < 4; i++)
        at_now[i] = (struct ticker){.letter = (char)('a' + i), .t.fire = i == 0 ? on_first : on_tick};
    loop_defer(loop, &d);
    loop_timer(loop, &at_now[0].t, clock_mono());
    run();
    assert_string_equal(trace, "a|cab|a|");
    loop_free(loop);
}

/* Random sets, moves and stops against a plain array. */
#define MANY 500
static uint64_t last_fired;
static size_t fired;
static void
on_ordered(struct timer *t)
{
    CHECK(t->at, t->at >= last_fired);
    last_fired = t->at;
    fired++;
}

TEST(timers_random)
{
    static struct timer t[MANY];
    struct timer stop = {.fire = on_stop};
    uint64_t base;
    size_t set = 0;

    begin();
    srand(1);
    base = clock_mono();
    last_fired = fired = 0;
    for (size_t i = 0; i < MANY; i++)
        t[i] = (struct timer){.fire = on_ordered};
    for (int n = 0; n < 20000; n++) {
        struct timer *one = &t[rand() % MANY];

        if (rand() % 3 == 0)
            loop_timer_stop(loop, one);
        else
            loop_timer(loop, one, base + (uint64_t)(rand() % 1000000));
    }
    for (size_t i = 0; i < MANY; i++)
        set += t[i].set;
    loop_timer(loop, &stop, base + MSEC(2));
    run();
    CHECK_INT(0, fired, set);
    loop_free(loop);
}

static void
on_note(struct deferred *d)
{
    note(OUTER(d, struct ticker, d)->letter);
}

static struct ticker *victim, *again;
static void
on_meddle(struct deferred *d)
{
    note('m');
    loop_undefer(loop, &victim->d);
    loop_defer(loop, &again->d);
    if (traced > 20)
        loop_stop(loop);
    (void)d;
}

TEST(deferred_order_and_removal)
{
    struct ticker a = {.letter = 'a'}, b = {.letter = 'b'}, c = {.letter = 'c'}, s = {.letter = 's'}, n = {.letter = 'n'};
    struct timer stop = {.fire = on_stop};
    struct deferred meddle = {.run = on_meddle};

    begin();
    a.d.run = b.d.run = c.d.run = s.d.run = n.d.run = on_note;
    loop_defer(loop, &a.d);
    loop_defer(loop, &a.d); /* once */
    loop_defer(loop, &meddle);
    loop_defer(loop, &b.d); /* taken away by the one before */
    loop_defer(loop, &c.d);
    loop_soon(loop, &s.d);
    loop_next(loop, &n.d);
    loop_undefer(loop, &n.d);
    loop_next(loop, &n.d);
    victim = &b;
    again = &a;
    loop_timer(loop, &stop, clock_mono() + MSEC(2));
    run();
    assert_string_equal(trace, "snamca");
    CHECK(0, !b.d.queued && !a.d.queued);
    loop_free(loop);
}

struct pair {
    struct watch w[2];
    int peer[2];
};
static struct pair *both;

/* Whichever comes first removes both: the other's event of this round must not arrive. */
static void
on_remove(struct watch *w, uint32_t events)
{
    CHECK(0, (events & EPOLLIN) != 0);
    note('r');
    loop_unwatch(loop, &both->w[0]);
    loop_unwatch(loop, &both->w[1]);
    loop_unwatch(loop, w);
    free(both);
    both = NULL;
}

TEST(watch_removed_by_another)
{
    struct timer stop = {.fire = on_stop};
    int fds[4];

    begin();
    both = calloc(1, sizeof *both);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 2 * i), 0);
        both->w[i] = (struct watch){.ready = on_remove, .fd = fds[2 * i]};
        assert_int_equal(loop_watch(loop, &both->w[i], EPOLLIN), ST_OK);
        assert_int_equal(write(fds[2 * i + 1], "x", 1), 1);
    }
    loop_timer(loop, &stop, clock_mono() + MSEC(3));
    run();
    assert_string_equal(trace, "r");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    loop_free(loop);
}

#define POSTS 1000
static struct posted posts[4][POSTS];
static unsigned posted_n;
static size_t next_of[4];
static void
on_post(struct posted *p)
{
    size_t which = (size_t)(p - &posts[0][0]) / POSTS, i = (size_t)(p - posts[which]);

    CHECK_INT(i, i, next_of[which]); /* each thread's in its order */
    next_of[which]++;
    if (++posted_n == 4 * POSTS)
        loop_stop(loop);
}

static void *
post_all(void *arg)
{
    struct posted *mine = arg;

    for (int i = 0; i < POSTS; i++) {
        mine[i].run = on_post;
        loop_post(loop, &mine[i]);
        if (i % 50 == 0)
            usleep(100);
    }
    return NULL;
}

TEST(posts_from_threads)
{
    pthread_t threads[4];

    begin();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, posts[i]), 0);
    run(); /* sleeps without a deadline: a lost wake-up would hang here */
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(0, posted_n, 4 * POSTS);
    loop_free(loop);
}

TEST_MAIN(timers_in_order, timers_set_to_now, timers_random, deferred_order_and_removal, watch_removed_by_another, posts_from_threads)
