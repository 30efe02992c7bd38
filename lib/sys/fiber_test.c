#include "sys/fiber.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"

static struct loop *loop;
static char trace[256];

static void
note(const char *word)
{
    strncat(trace, word, sizeof trace - strlen(trace) - 1);
}

static void
begin(void)
{
    trace[0] = '\0';
    assert_int_equal(loop_new(&loop, NULL), ST_OK);
}

static void
on_stop(struct timer *t)
{
    (void)t;
    loop_stop(loop);
}

/* Runs everything for some milliseconds. */
static void
run_for(uint64_t ms)
{
    struct timer stop = {.fire = on_stop};

    loop_timer(loop, &stop, clock_mono() + MSEC(ms));
    assert_int_equal(loop_run(loop, NULL), ST_OK);
    loop_timer_stop(loop, &stop); /* when something else stopped the loop */
}

static struct wait w1;
static enum status got;

static void
wait_w1(void *arg)
{
    CHECK(0, fiber_here());
    note("a");
    got = wait_for(&w1, loop_now(loop) + *(uint64_t *)arg);
    note("c");
}

TEST(wait_ended_and_timed_out)
{
    uint64_t in = MSEC(5);

    begin();
    w1 = WAIT_INIT;
    assert_int_equal(fiber_spawn(loop, wait_w1, &in), ST_OK);
    note("b"); /* back at the first wait */
    CHECK(0, !fiber_here());
    wait_end(&w1, ST_QUOTA);
    wait_end(&w1, ST_OK); /* ignored */
    note("-"); /* ending runs nobody yet */
    run_for(2);
    assert_string_equal(trace, "ab-c");
    CHECK_INT(0, got, ST_QUOTA);

    w1 = WAIT_INIT;
    assert_int_equal(fiber_spawn(loop, wait_w1, &in), ST_OK);
    run_for(12);
    CHECK_INT(1, got, ST_TIMEOUT);

    w1 = WAIT_INIT; /* ended before it is waited for */
    wait_end(&w1, ST_CLOSED);
    assert_int_equal(fiber_spawn(loop, wait_w1, &in), ST_OK);
    CHECK_INT(2, got, ST_CLOSED);

    w1 = WAIT_INIT; /* a deadline that has passed */
    in = 0;
    assert_int_equal(fiber_spawn(loop, wait_w1, &in), ST_OK);
    CHECK_INT(3, got, ST_TIMEOUT);
    loop_free(loop);
}

static void
talk(void *arg)
{
    for (int i = 0; i < 3; i++) {
        note(arg);
        fiber_yield();
    }
}

static void
spawn_inner(void *arg)
{
    note("<");
    assert_int_equal(fiber_spawn(loop, talk, arg), ST_OK);
    note(">");
    CHECK(0, fiber_here());
    fiber_yield();
    note("!");
}

TEST(yield_and_nesting)
{
    begin();
    assert_int_equal(fiber_spawn(loop, talk, "x"), ST_OK);
    assert_int_equal(fiber_spawn(loop, spawn_inner, "y"), ST_OK);
    run_for(2);
    assert_string_equal(trace, "x<y>xy!xy");
    loop_free(loop);
}

static void
sleep_a_little(void *arg)
{
    fiber_sleep_until(loop_now(loop) + MSEC(1));
    ++*(int *)arg;
}

TEST(limit_and_reuse)
{
    struct fiber_stats before, after;
    int done = 0;

    begin();
    fiber_set_limit(300);
    fiber_stats(&before);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 300; i++)
            assert_int_equal(fiber_spawn(loop, sleep_a_little, &done), ST_OK);
        assert_int_equal(fiber_spawn(loop, sleep_a_little, &done), ST_LIMIT);
        run_for(20);
        CHECK_INT(round, done, 300 * (round + 1));
    }
    fiber_stats(&after);
    CHECK_INT(0, after.started - before.started, 900);
    CHECK_INT(0, after.running, 0);
    CHECK_INT(0, after.most, 300);
    fiber_set_limit(4096);
    loop_free(loop);
}

static void
burn(void *arg)
{
    uint64_t until = clock_mono() + MSEC(12);

    while (clock_mono() < until)
        if (arg != NULL)
            fiber_yield_if_long();
}

static struct fiber_note page;

static void
check_page(int at, const char *want)
{
    CHECK_SLICE(at, slice_from(page.name, page.n), slice_of(want));
}

static void
inner(void *arg)
{
    check_page(1, "");
    fiber_note(slice_of(arg));
    check_page(2, arg);
    fiber_sleep_until(loop_now(loop) + MSEC(1));
    check_page(3, arg);
    fiber_note(slice_from(trace, FIBER_NOTE + 1)); /* too long for a name: none */
    check_page(4, "");
    fiber_note(slice_of(arg));
}

static void
outer(void *arg)
{
    fiber_note(slice_of(arg));
    assert_int_equal(fiber_spawn(loop, inner, "a much longer name"), ST_OK);
    check_page(5, arg);
    fiber_yield();
    check_page(6, arg);
    fiber_sleep_until(loop_now(loop) + MSEC(1));
    check_page(7, arg);
}

/* The page names whom the running fiber works for, and nobody when none runs. */
TEST(notes)
{
    begin();
    fiber_note_page(&page);
    assert_int_equal(fiber_spawn(loop, outer, "a@b.example"), ST_OK);
    check_page(8, "");
    assert_int_equal(fiber_spawn(loop, inner, "c"), ST_OK);
    check_page(9, "");
    fiber_note(SLICE("nobody"));
    check_page(10, "");
    run_for(10);
    check_page(11, "");
    fiber_note_page(NULL);
    loop_free(loop);
}

TEST(overruns_are_counted)
{
    struct fiber_stats s0, s1, s2;

    begin();
    fiber_stats(&s0);
    assert_int_equal(fiber_spawn(loop, burn, NULL), ST_OK);
    fiber_stats(&s1);
    assert_int_equal(fiber_spawn(loop, burn, "yield"), ST_OK);
    run_for(20);
    fiber_stats(&s2);
    CHECK_INT(0, s1.overruns - s0.overruns, 1);
    CHECK(0, s2.longest >= MSEC(12));
    loop_free(loop);
}

static void
use_stack(void *arg)
{
    volatile char bytes[20000];

    for (size_t i = 0; i < sizeof bytes; i += 512)
        bytes[i] = (char)i;
    *(int *)arg = bytes[512];
}

TEST(deepest)
{
    struct fiber_stats s;
    int out;

    begin();
    assert_int_equal(fiber_spawn(loop, use_stack, &out), ST_OK);
    fiber_stats(&s);
    CHECK(0, s.deepest == 0 || (s.deepest > 20000 && s.deepest < FIBER_STACK));
    loop_free(loop);
}

/* Not a promise, but the number that bench readers ask for. */
static void
bounce(void *arg)
{
    for (int i = 0; i < 100000; i++)
        fiber_yield();
    *(bool *)arg = true;
    loop_stop(loop);
}

TEST(speed)
{
    bool done = false;
    uint64_t t0;

    begin();
    t0 = clock_mono();
    for (int i = 0; i < 100000; i++) {
        w1 = WAIT_INIT;
        wait_end(&w1, ST_OK);
        got = ST_OK;
        uint64_t in = 1;
        assert_int_equal(fiber_spawn(loop, wait_w1, &in), ST_OK);
    }
    printf("spawn and end: %.1f ns\n", (double)(clock_mono() - t0) / 100000);
    assert_int_equal(fiber_spawn(loop, bounce, &done), ST_OK);
    t0 = clock_mono();
    assert_int_equal(loop_run(loop, NULL), ST_OK);
    printf("yield, with a whole round of the loop: %.1f ns\n", (double)(clock_mono() - t0) / 100000);
    CHECK(0, done);
    loop_free(loop);
}

TEST_MAIN(wait_ended_and_timed_out, yield_and_nesting, limit_and_reuse, notes, overruns_are_counted, deepest, speed)
