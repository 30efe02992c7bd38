#include "smtpserver/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/test.h"

/* A whole conversation over a socket pair, with a store of three users in a text buffer. */
static struct loop *loop;
static struct smtp_session session;
static char stored[16384], piece[7];
static size_t received, n_stored, begun, finished, handed_over;
static enum status body_says, deliver_says;
static bool ended;

static enum status
on_rcpt(struct smtp_session *s, struct smtp_recipient *r)
{
    (void)s;
    if (slice_has_suffix_nocase(r->mailbox, SLICE("@elsewhere")))
        return ST_DENIED;
    if (slice_eq(r->mailbox, SLICE("full@here")))
        return ST_QUOTA;
    if (slice_eq(r->mailbox, SLICE("broken@here")))
        return ST_SYNTAX;
    return slice_eq(r->mailbox, SLICE("usr1@here")) || slice_eq(r->mailbox, SLICE("usr 2@here")) ||
                   slice_eq_nocase(r->mailbox, SLICE("postmaster@here"))
               ? ST_OK
               : ST_NOTFOUND;
}

static enum status
on_begin(struct smtp_session *s, uint64_t announced)
{
    (void)announced;
    if (body_says != ST_OK)
        return body_says;
    begun++;
    received = 0;
    s->tx.id = SLICE("id1");
    return ST_OK;
}

static enum status
on_room(struct smtp_session *s, uint8_t **p, size_t *n)
{
    (void)s;
    *p = (uint8_t *)piece;
    *n = sizeof(piece);
    return ST_OK;
}

static enum status
on_used(struct smtp_session *s, size_t n)
{
    (void)s;
    if (n_stored + received + n >= sizeof(stored))
        return ST_MEMORY;
    memcpy(stored + n_stored + received, piece, n);
    received += n;
    return ST_OK;
}

static void
on_drop(struct smtp_session *s)
{
    (void)s;
    finished++;
}

static enum status
on_deliver(struct smtp_session *s, struct slice prefix)
{
    finished++;
    if (deliver_says != ST_OK)
        return deliver_says;
    CHECK(0, slice_has_prefix(prefix, SLICE("Return-Path: <")));
    CHECK_INT(0, s->tx.size, received);
    n_stored += received;
    return ST_OK;
}

static enum status
on_auth(struct smtp_session *s, struct slice mechanism, bool has, struct slice response, struct buf *data,
        struct buf *user)
{
    (void)s;
    if (mechanism.n > 0 && !slice_eq_nocase(mechanism, SLICE("PLAIN")))
        return ST_UNSUPPORTED;
    if (!has) {
        buf_puts(data, "go");
        return ST_MORE;
    }
    if (!slice_eq(response, SLICE("good")))
        return ST_DENIED;
    buf_puts(user, "usr1@here");
    return ST_OK;
}

static void
on_abort(struct smtp_session *s)
{
    (void)s;
}

static void
on_starttls(struct smtp_session *s, int fd)
{
    (void)s;
    handed_over++;
    close(fd);
}

static void
on_ended(struct smtp_session *s)
{
    (void)s;
    ended = true;
    loop_stop(loop);
}

static const struct smtp_backend backend = {on_rcpt,    on_begin, on_room,  on_used,     on_drop,
                                            on_deliver, on_auth,  on_abort, on_starttls, on_ended};
static const struct smtp_policy relay = {.host = "mx.here",
                                         .domain = "here",
                                         .starttls = true,
                                         .message_size = 1000,
                                         .max_recipients = 2,
                                         .max_errors = 8,
                                         .max_commands = 100,
                                         .idle_timeout = MSEC(300),
                                         .data_timeout = MSEC(2000)};

static void
on_stop(struct timer *t)
{
    (void)t;
    loop_stop(loop);
}

enum pace { BYTES, LINES, WHOLE };

/* What is said next. A first EHLO goes alone even at WHOLE, for it ends its group (RFC 2920 3.1). */
static size_t
next_said(struct slice in, size_t at, enum pace pace)
{
    if (pace == BYTES)
        return 1;
    if (pace == LINES || (at == 0 && slice_has_prefix(in, SLICE("EHLO"))))
        return slice_find(slice_skip(in, at), '\n') + (slice_find(slice_skip(in, at), '\n') < in.n - at);
    return in.n - at;
}

/* Says all of `in` at a pace, ends its side, and returns all answers. */
static struct slice
talk(const struct smtp_policy *policy, struct slice in, enum pace pace)
{
    static char out[65536];
    struct timer stop = {.fire = on_stop};
    size_t n = 0;
    ssize_t got;
    int fds[2];

    n_stored = begun = finished = handed_over = 0;
    ended = false;
    assert_int_equal(loop_new(&loop, NULL), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    session = (struct smtp_session){.policy = policy, .backend = &backend};
    memcpy(session.peer, (uint8_t[16]){[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 16);
    stream_init(&session.stream, loop, fds[0]);
    smtp_session_start(&session);
    for (size_t at = 0, some; at < in.n && !ended; at += some) {
        some = next_said(in, at, pace);
        if (send(fds[1], in.p + at, some, MSG_NOSIGNAL) != (ssize_t)some)
            break;
        loop_timer(loop, &stop, clock_mono() + MSEC(1));
        assert_int_equal(loop_run(loop, NULL), ST_OK);
        loop_timer_stop(loop, &stop);
    }
    shutdown(fds[1], SHUT_WR);
    loop_timer_stop(loop, &stop);
    loop_timer(loop, &stop, clock_mono() + SECONDS(5));
    if (!ended)
        assert_int_equal(loop_run(loop, NULL), ST_OK);
    loop_timer_stop(loop, &stop);
    assert_true(ended);
    while (n < sizeof(out) && (got = recv(fds[1], out + n, sizeof(out) - n, MSG_DONTWAIT)) > 0)
        n += (size_t)got;
    close(fds[1]);
    loop_free(loop);
    CHECK_INT(0, begun, finished);
    return slice_from(out, n);
}

/* The codes of all replies, one blank between: what the tables compare. */
static const char *
codes(struct slice replies)
{
    static char text[4096];
    size_t n = 0;

    while (replies.n >= 4) {
        struct slice line = take_until(&replies, '\n');

        (void)take_byte(&replies, '\n');
        if (line.n > 3 && line.p[3] == ' ')
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.3s", n > 0 ? " " : "", (const char *)line.p);
    }
    text[n] = '\0';
    return text;
}

#define H "EHLO c\r\n"
#define M "MAIL FROM:<a@b>\r\n"
#define R "RCPT TO:<usr1@here>\r\n"
#define D "DATA\r\n"
#define Q "QUIT\r\n"
#define S(text) {(const uint8_t *)(text), sizeof(text) - 1}

TEST(conversations)
{
    static const struct {
        struct slice in;
        const char *want;
        const char *stored;
    } cases[] = {
        {S(H M R D "x\r\n.\r\n" Q), "220 250 250 250 354 250 221", "x\r\n"},
        {S(H M R D "..x\r\n.\r\n" M R D ".\r\n" Q), "220 250 250 250 354 250 250 250 354 250 221", ".x\r\n"},
        {S("HELO c\r\n" M R D "x\r\n.\r\n" Q), "220 250 250 250 354 250 221", "x\r\n"},
        {S(M Q), "220 503 221", ""},
        {S(H R D Q), "220 250 503 503 221", ""},
        {S(H M M D Q), "220 250 250 503 554 221", ""},
        {S(H M "EHLO c\r\n" R Q), "220 250 250 503 250 221", ""}, /* EHLO must be last: RFC 2920 3.1 */
        {S(H M "RSET\r\n" R Q), "220 250 250 250 503 221", ""},
        {S(H "MAIL FROM:<a@b> SIZE=1001\r\n" "MAIL FROM:<a@b> X=1\r\n" "MAIL FROM:a\r\n" Q), "220 250 552 555 501 221", ""},
        {S(H M "RCPT TO:<x@elsewhere>\r\nRCPT TO:<nobody@here>\r\nRCPT TO:<full@here>\r\nRCPT TO:<broken@here>\r\n" Q),
         "220 250 250 550 550 452 451 221", ""},
        {S(H M "RCPT TO:<\"usr 2\"@here>\r\nRCPT TO:<postmaster>\r\n" R Q), "220 250 250 250 250 452 221", ""},
        {S(H "VRFY\r\nVRFY a\r\nNOOP x\r\nHELP\r\nFOO\r\nDATA x\r\nAUTH PLAIN\r\n" Q),
         "220 250 501 252 250 214 500 503 502 221", ""},
        {S(H M R "DATA now\r\n" Q), "220 250 250 250 501 221", ""},
        {S("NOOP\n" H Q), "220 500 221", ""}, /* a bare LF ends nothing: one bad line */
        {S("NOOP a\0b\r\n" Q), "220 500 221", ""},
        {S("STARTTLS\r\n" Q), "220 503 221", ""},
        {S(H "STARTTLS\r\n" M), "220 250 503 250", ""}, /* bytes behind it would be injected into TLS */
        {S("F\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\n"), "220 500 500 500 500 500 500 500 500 500 421", ""},
        /* smuggling: refused whole, after the true end, and nothing inside was a command */
        {S(H M R D "x\n.\n" M R D "y\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        {S(H M R D "x\n.\r\n" M "y\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        {S(H M R D "x\r\n.\n" M "y\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        {S(H M R D "x\r.\r" M "y\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        {S(H M R D "x\r\n.\r" M "y\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        {S(H M R D "x\r\r\n.\r\r\n" M "y\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        {S(H M R D "x\0\r\n.\r\n" Q), "220 250 250 250 354 550 221", ""},
        /* a refused message resets the transaction: the next one needs its own recipients */
        {S(H M R D "x\n.\r\n\r\n.\r\n" D M D R D "z\r\n.\r\n" Q),
         "220 250 250 250 354 550 503 250 554 250 354 250 221", "z\r\n"},
        {S(H M R D "no end"), "220 250 250 250 354", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_SLICE(i, slice_of(codes(talk(&relay, cases[i].in, WHOLE))), cases[i].want);
        CHECK_SLICE(i, slice_from(stored, n_stored), cases[i].stored);
    }
}

TEST(byte_by_byte)
{
    static const struct slice in = S(H M R D "x\n.\r\n.\r\n" M R D "..y\r\n.\r\n" Q);

    CHECK_SLICE(0, slice_of(codes(talk(&relay, in, BYTES))), "220 250 250 250 354 550 250 250 354 250 221");
    CHECK_SLICE(0, slice_from(stored, n_stored), ".y\r\n");
}

TEST(too_large)
{
    AUTO_BUF in = BUF_INIT(65536);

    for (int big = 0; big < 2; big++) { /* past the limit: 552; far past it: the session ends */
        buf_clear(&in);
        buf_puts(&in, H M R D);
        for (int i = 0; i < (big ? 1000 : 150); i++)
            buf_puts(&in, "12345678\r\n");
        buf_puts(&in, ".\r\n" Q);
        CHECK_SLICE(big, slice_of(codes(talk(&relay, buf_slice(&in), LINES))),
                    big ? "220 250 250 250 354 421" : "220 250 250 250 354 552 221");
        CHECK_INT(big, n_stored, 0);
    }
}

/* Whatever the store fails with, the sender must try again: nothing permanent. */
TEST(store_fails)
{
    for (int st = 1; st < ST_COUNT; st++) {
        struct slice replies;
        const char *got;

        deliver_says = (enum status)st;
        replies = talk(&relay, (struct slice)S(H M R D "x\r\n.\r\n" Q), WHOLE);
        got = codes(replies);
        CHECK(st, got[20] == '4');
        deliver_says = ST_OK;
        body_says = (enum status)st;
        got = codes(talk(&relay, (struct slice)S(H M R D Q), WHOLE));
        CHECK(st, got[16] == '4');
        body_says = ST_OK;
    }
}

TEST(submission)
{
    struct smtp_policy policy = relay;

    policy.submission = true;
    CHECK_SLICE(0, slice_of(codes(talk(&policy, (struct slice)S(H M "AUTH PLAIN Z29vZA==\r\n"), LINES))), "220 250 530 538");
    policy.plaintext_auth = true;
    CHECK_SLICE(1, slice_of(codes(talk(&policy, (struct slice)S(H "AUTH PLAIN Z29vZA==\r\n" M R D "x\r\n.\r\n" Q), LINES))),
                "220 250 235 250 250 354 250 221");
    CHECK_SLICE(2, slice_of(codes(talk(&policy, (struct slice)S(H "AUTH PLAIN YmFk\r\nAUTH PLAIN ?\r\nAUTH X\r\nAUTH\r\n" M Q), LINES))),
                "220 250 535 501 504 501 530 221");
    CHECK_SLICE(3, slice_of(codes(talk(&policy, (struct slice)S(H "AUTH PLAIN\r\n*\r\nAUTH PLAIN\r\nZ29vZA==\r\nAUTH PLAIN\r\n" Q), LINES))),
                "220 250 334 501 334 235 503 221");
}

TEST(starttls_and_silence)
{
    struct slice got;
    AUTO_BUF line = BUF_INIT(8192);

    (void)talk(&relay, (struct slice)S(H "STARTTLS\r\n"), LINES);
    CHECK_INT(0, handed_over, 1);
    for (int i = 0; i < 3000; i++)
        buf_putc(&line, 'A');
    got = talk(&relay, buf_slice(&line), WHOLE);
    CHECK_SLICE(1, slice_of(codes(got)), "220 500 421");
}

TEST_MAIN(conversations, byte_by_byte, too_large, store_fails, submission, starttls_and_silence)
