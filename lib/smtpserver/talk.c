#include "smtpserver/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
struct smtp_session talk_session;
static char stored[65536], piece[7], prefix[4096];
static size_t received, n_stored, n_prefix, begun, finished;
size_t talk_handed;
enum status talk_begin_says, talk_room_says, talk_deliver_says;
static bool ended;
bool talk_trusted, talk_waits;
const struct smtp_reply *talk_noted;

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
                   slice_eq(r->mailbox, SLICE("\xc3\xb1u@here")) ||
                   slice_eq(r->mailbox, SLICE("usr1@[192.0.2.1]")) ||
                   slice_eq_nocase(r->mailbox, SLICE("postmaster@here"))
               ? ST_OK
               : ST_NOTFOUND;
}

static enum status
on_begin(struct smtp_session *s, uint64_t announced)
{
    (void)announced;
    if (talk_begin_says != ST_OK)
        return talk_begin_says;
    begun++;
    received = 0;
    s->tx.id = SLICE("id1");
    return ST_OK;
}

static enum status
on_room(struct smtp_session *s, uint8_t **p, size_t *n)
{
    (void)s;
    if (talk_room_says != ST_OK)
        return talk_room_says;
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
on_deliver(struct smtp_session *s, struct slice fields)
{
    finished++;
    if (talk_deliver_says != ST_OK)
        return talk_deliver_says;
    CHECK(0, fields.n < sizeof(prefix) && slice_has_prefix(fields, SLICE("Return-Path: <")));
    CHECK_INT(0, s->tx.size, received);
    n_stored += received;
    memcpy(prefix, fields.p, fields.n);
    n_prefix = fields.n;
    return ST_OK;
}

static enum status
on_auth(struct smtp_session *s, struct slice mechanism, bool has, struct slice response, struct buf *data,
        struct buf *user)
{
    (void)s;
    if (slice_eq(mechanism, SLICE("OLD")))
        return ST_WEAK;
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
    talk_handed++;
    close(fd);
}

static void
on_note(struct smtp_session *s, const struct smtp_reply *reply)
{
    (void)s;
    talk_noted = reply;
}

static void
on_ended(struct smtp_session *s)
{
    (void)s;
    ended = true;
    loop_stop(loop);
}

static const struct smtp_backend backend = {on_rcpt, on_begin, on_room,     on_used, on_drop, on_deliver,
                                            on_auth, on_abort, on_starttls, on_note, on_ended};
const struct smtp_policy talk_policy = {.host = "mx.here",
                                        .domain = "here",
                                        .starttls = true,
                                        .message_size = 1000,
                                        .max_recipients = 2,
                                        .max_errors = 8,
                                        .max_commands = 100,
                                        .max_idle_commands = 10,
                                        .max_hops = 5,
                                        .dsn = true,
                                        .max_auth_failures = 3,
                                        .session_timeout = SECONDS(60),
                                        .idle_timeout = MSEC(300),
                                        .data_timeout = MSEC(2000)};

static void
on_stop(struct timer *t)
{
    (void)t;
    loop_stop(loop);
}

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

struct slice
talk(const struct smtp_policy *policy, struct slice in, enum pace pace)
{
    static char out[65536];
    struct timer stop = {.fire = on_stop};
    size_t n = 0;
    ssize_t got;
    int fds[2];

    n_stored = n_prefix = begun = finished = talk_handed = 0;
    talk_noted = NULL;
    ended = false;
    assert_int_equal(loop_new(&loop, NULL), ST_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    talk_session = (struct smtp_session){.policy = policy, .backend = &backend, .trusted = talk_trusted};
    memcpy(talk_session.peer, (uint8_t[16]){[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 16);
    stream_init(&talk_session.stream, loop, fds[0]);
    smtp_session_start(&talk_session);
    if (talk_waits) {
        loop_timer(loop, &stop, clock_mono() + MSEC(10));
        assert_int_equal(loop_run(loop, NULL), ST_OK);
        loop_timer_stop(loop, &stop);
    }
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

const char *
talk_codes(struct slice replies)
{
    static char text[4096];
    size_t n = 0;

    while (replies.n >= 4) {
        struct slice line = take_until(&replies, '\n');

        (void)take_byte(&replies, '\n');
        if (line.n > 3 && line.p[3] == ' ')
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.3s", n > 0 ? " " : "",
                                  (const char *)line.p);
    }
    text[n] = '\0';
    return text;
}

struct slice
talk_stored(void)
{
    return slice_from(stored, n_stored);
}

struct slice
talk_prefix(void)
{
    return slice_from(prefix, n_prefix);
}
