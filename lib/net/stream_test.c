#include "net/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

static struct loop *loop;
static struct stream s;
static int peer; /* the other end, blocking */
static char trace[512];

static void
note(const char *word)
{
    strncat(trace, word, sizeof trace - strlen(trace) - 1);
}

static void
begin(void)
{
    int fds[2];

    trace[0] = '\0';
    assert_int_equal(loop_new(&loop, NULL), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    stream_init(&s, loop, fds[0]);
    peer = fds[1];
}

static void
finish(void)
{
    stream_close(&s);
    close(peer);
    loop_free(loop);
}

static void
on_stop(struct timer *t)
{
    (void)t;
    loop_stop(loop);
}

static void
run_for(uint64_t ms)
{
    struct timer stop = {.fire = on_stop};

    loop_timer(loop, &stop, clock_mono() + MSEC(ms));
    assert_int_equal(loop_run(loop, NULL), ST_OK);
    loop_timer_stop(loop, &stop); /* when something else stopped the loop */
}

static uint64_t
soon(void)
{
    return loop_now(loop) + MSEC(200);
}

static void
say(const char *text)
{
    assert_int_equal(write(peer, text, strlen(text)), strlen(text));
}

/* Reads lines until an error and notes both. */
static void
read_lines(void *arg)
{
    struct slice line;
    enum status st;
    char text[128];

    (void)arg;
    while ((st = stream_line(&s, 64, soon(), &line)) == ST_OK) {
        snprintf(text, sizeof text, "[%.*s]", SLICE_ARG(line));
        note(text);
    }
    note(status_name(st));
    loop_stop(loop);
}

TEST(lines_split_everywhere)
{
    static const char input[] = "a\r\n\r\nb\rc\nd\r\r\nlast";
    static const char want[] = "[a][][b\rc\nd\r]CLOSED";

    for (size_t cut = 0; cut < sizeof input; cut++) {
        begin();
        assert_int_equal(fiber_spawn(loop, read_lines, NULL), ST_OK);
        assert_int_equal(write(peer, input, cut), cut);
        run_for(1);
        assert_int_equal(write(peer, input + cut, sizeof input - 1 - cut), sizeof input - 1 - cut);
        shutdown(peer, SHUT_WR);
        run_for(50);
        assert_string_equal(trace, want);
        CHECK_INT(cut, s.bytes_in, sizeof input - 1);
        finish();
    }
}

TEST(line_limit_timeout_preload)
{
    struct slice line;

    begin();
    assert_int_equal(stream_preload(&s, SLICE("pre\r\nlo")), ST_OK);
    say("ad\r\n");
    assert_int_equal(fiber_spawn(loop, read_lines, NULL), ST_OK);
    run_for(10);
    assert_string_equal(trace, "[pre][load]");
    CHECK(0, s.in == NULL); /* it waits without a buffer */
    say("0123456789012345678901234567890123456789012345678901234567890123456789\r\n");
    run_for(50);
    assert_string_equal(trace, "[pre][load]LIMIT");
    CHECK_INT(0, stream_pending(&s).n, 72);
    (void)line;
    finish();

    begin(); /* 200 ms of nothing */
    assert_int_equal(fiber_spawn(loop, read_lines, NULL), ST_OK);
    run_for(400);
    assert_string_equal(trace, "TIMEOUT");
    finish();

    begin();
    assert_int_equal(fiber_spawn(loop, read_lines, NULL), ST_OK);
    run_for(1);
    stream_cancel(&s);
    run_for(50);
    assert_string_equal(trace, "CANCELLED");
    finish();
}

#define BIG (3u * 1024 * 1024)
static uint8_t *big;
static enum status put_st;

static void
write_big(void *arg)
{
    size_t step = *(size_t *)arg;

    for (size_t i = 0; i < BIG; i += step) {
        put_st = stream_put(&s, slice_sub(slice_from(big, BIG), i, step), soon());
        if (put_st != ST_OK)
            break;
        CHECK(i, s.out.n <= STREAM_OUTPUT);
    }
    if (put_st == ST_OK)
        put_st = stream_flush(&s, soon());
    note("done");
    loop_stop(loop);
}

/* The peer's side, read a little now and then. */
static size_t taken;
static void
on_take(struct timer *t)
{
    uint8_t bytes[50000];
    ssize_t n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);

    if (n > 0) {
        if (memcmp(bytes, big + taken, (size_t)n) != 0)
            fail_msg("other bytes at %zu", taken);
        taken += (size_t)n;
    }
    loop_timer(loop, t, loop_now(loop) + 100000);
}

TEST(slow_reader)
{
    static const size_t steps[] = {100, 4096, 20000, 500000, BIG};

    big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct timer take = {.fire = on_take};

        begin();
        taken = 0;
        loop_timer(loop, &take, clock_mono());
        assert_int_equal(fiber_spawn(loop, write_big, (void *)(uintptr_t)&steps[i]), ST_OK);
        run_for(20000);
        loop_timer_stop(loop, &take);
        CHECK_INT(i, put_st, ST_OK);
        assert_string_equal(trace, "done");
        for (int k = 0; k < 100 && taken < BIG; k++)
            on_take(&take);
        CHECK_INT(i, taken, BIG);
        CHECK(i, s.out.p == NULL);
        loop_timer_stop(loop, &take);
        finish();
    }
    begin(); /* nobody reads */
    assert_int_equal(fiber_spawn(loop, write_big, (void *)(uintptr_t)&steps[2]), ST_OK);
    run_for(1000);
    CHECK_INT(9, put_st, ST_TIMEOUT);
    finish();
    begin(); /* the peer goes away in the middle */
    assert_int_equal(fiber_spawn(loop, write_big, (void *)(uintptr_t)&steps[2]), ST_OK);
    run_for(1);
    close(peer);
    run_for(1000);
    CHECK_INT(10, put_st, ST_CLOSED);
    peer = dup(1);
    finish();
    free(big);
}

TEST(never_waiting_output_breaks)
{
    begin();
    for (int i = 0; i < 100; i++)
        stream_printf(&s, "%01000d", i);
    CHECK(0, s.broken);
    assert_int_equal(fiber_spawn(loop, read_lines, NULL), ST_OK);
    assert_string_equal(trace, "CLOSED");
    finish();
}

/* A small server: "x\r\n" is answered with "ok\r\n", "bye" ends it. */
static uint64_t idle_for;
static bool
serve(void *arg)
{
    struct slice line;

    (void)arg;
    do {
        enum status st = stream_line(&s, 64, soon(), &line);

        if (st != ST_OK || slice_eq(line, SLICE("bye"))) {
            note(st == ST_OK ? "bye" : status_name(st));
            stream_close(&s);
            loop_stop(loop);
            return false;
        }
        note("x");
        stream_puts(&s, "ok\r\n");
    } while (slice_find(stream_pending(&s), '\n') < stream_pending(&s).n);
    stream_idle_until(&s, loop_now(loop) + idle_for);
    return true;
}

static void
idled(void *arg)
{
    (void)arg;
    note(s.cancelled ? "cancelled" : "idled");
    stream_puts(&s, "421\r\n");
    stream_close(&s);
    loop_stop(loop);
}

static void
hear(const char *want)
{
    char text[256];
    ssize_t n = recv(peer, text, sizeof text - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    assert_string_equal(text, want);
}

TEST(serving)
{
    struct fiber_stats stats;

    begin();
    idle_for = MSEC(20);
    stream_serve(&s, serve, idled, NULL, loop_now(loop) + MSEC(500));
    run_for(2);
    CHECK(0, s.in == NULL);
    say("x\r\nx\r\nx\r\n");
    run_for(2);
    hear("ok\r\nok\r\nok\r\n");
    fiber_stats(&stats);
    CHECK_INT(0, stats.running, 0);
    CHECK(0, s.in == NULL && s.out.p == NULL);
    say("x\r");
    run_for(2);
    fiber_stats(&stats);
    CHECK_INT(1, stats.running, 1); /* inside a line */
    say("\n");
    run_for(5);
    hear("ok\r\n");
    run_for(200);
    assert_string_equal(trace, "xxxxidled");
    hear("421\r\n");
    finish();

    begin(); /* the end while idle */
    stream_serve(&s, serve, idled, NULL, soon());
    shutdown(peer, SHUT_WR);
    run_for(50);
    assert_string_equal(trace, "CLOSED");
    finish();

    begin(); /* cancelled while idle, and input that was there before */
    assert_int_equal(stream_preload(&s, SLICE("x\r\n")), ST_OK);
    idle_for = MSEC(500);
    stream_serve(&s, serve, idled, NULL, soon());
    run_for(2);
    hear("ok\r\n");
    stream_cancel(&s);
    run_for(50);
    assert_string_equal(trace, "xcancelled");
    hear("421\r\n");
    finish();

    begin(); /* no fiber at first */
    stream_serve(&s, serve, idled, NULL, loop_now(loop) + MSEC(500));
    fiber_set_limit(0);
    say("x\r\n");
    run_for(5);
    hear("");
    fiber_set_limit(10);
    run_for(60);
    hear("ok\r\n");
    fiber_set_limit(4096);
    finish();
}

static void
read_blocks(void *arg)
{
    struct slice got;
    uint8_t bytes[8];
    size_t n;

    (void)arg;
    CHECK_INT(0, stream_some(&s, 3, soon(), &got), ST_OK);
    CHECK_SLICE(0, got, "abc");
    CHECK_INT(0, stream_into(&s, bytes, sizeof bytes, soon(), &n), ST_OK);
    CHECK_SLICE(0, slice_from(bytes, n), "def");
    CHECK(0, stream_quiet(&s));
    note("1");
    CHECK_INT(1, stream_into(&s, bytes, sizeof bytes, soon(), &n), ST_OK);
    CHECK_SLICE(1, slice_from(bytes, n), "ghi");
    CHECK_INT(1, stream_some(&s, 8, soon(), &got), ST_CLOSED);
    note("2");
    loop_stop(loop);
}

TEST(blocks_quiet_detach)
{
    int fd = -1;

    begin();
    assert_int_equal(fiber_spawn(loop, read_blocks, NULL), ST_OK);
    say("abcdef");
    run_for(2);
    assert_string_equal(trace, "1");
    say("ghi");
    CHECK(0, !stream_quiet(&s));
    shutdown(peer, SHUT_WR);
    run_for(50);
    assert_string_equal(trace, "12");
    stream_puts(&s, "x");
    CHECK_INT(0, stream_detach(&s, &fd), ST_STATE);
    run_for(1);
    CHECK_INT(0, stream_detach(&s, &fd), ST_OK);
    stream_close(&s);
    assert_int_equal(write(fd, "y", 1), 1); /* still open */
    hear("xy");
    close(fd);
    finish();
}

/* Round trips through loop, fiber and stream on both sides, in one thread. */
static struct stream client;
static void
ask(void *arg)
{
    struct slice line;
    uint64_t t0 = clock_mono();

    (void)arg;
    for (int i = 0; i < 20000; i++) {
        stream_puts(&client, "NOOP\r\n");
        assert_int_equal(stream_line(&client, 64, NEVER, &line), ST_OK);
    }
    printf("round trip: %.1f us\n", (double)(clock_mono() - t0) / 20000 / 1000);
    loop_stop(loop);
}

static bool
answer(void *arg)
{
    struct slice line;

    (void)arg;
    if (stream_line(&s, 64, NEVER, &line) != ST_OK)
        return false;
    stream_puts(&s, "250 OK\r\n");
    return true;
}

TEST(round_trips)
{
    begin();
    stream_init(&client, loop, dup(peer));
    stream_serve(&s, answer, idled, NULL, NEVER);
    assert_int_equal(fiber_spawn(loop, ask, NULL), ST_OK);
    assert_int_equal(loop_run(loop, NULL), ST_OK);
    stream_close(&client);
    finish();
}

TEST_MAIN(lines_split_everywhere, line_limit_timeout_preload, slow_reader, never_waiting_output_breaks, serving,
          blocks_quiet_detach, round_trips)
