/*
 * A whole SMTP session over a socket pair, with AUTH. Whatever comes: every body that was begun is delivered
 * or dropped once, what is delivered had the sizes told and neither NUL nor a bare line end, every reply is
 * whole and in its grammar, the session ends, and the Message-ID for the log is one printable word.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtpserver/maillog.h"
#include "sys/log.h"

#define MESSAGE_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct loop *loop;
static uint8_t body[MESSAGE_MAX + 64];
static size_t received;
static bool begun, ended;

static enum status
on_rcpt(struct smtp_session *s, struct smtp_recipient *r)
{
    assert(r->mailbox.n > 1 && slice_find(r->mailbox, 0) == r->mailbox.n);
    return slice_starts(r->mailbox, 'n') ? ST_NOTFOUND : ST_OK;
}

static enum status
on_begin(struct smtp_session *s, uint64_t announced)
{
    assert(!begun && s->tx.recipients > 0 && announced <= MESSAGE_MAX);
    begun = true;
    received = 0;
    s->tx.id = SLICE("id");
    return ST_OK;
}

static enum status
on_room(struct smtp_session *s, uint8_t **p, size_t *n)
{
    assert(begun && received < sizeof(body));
    *p = body + received;
    *n = sizeof(body) - received < 61 ? sizeof(body) - received : 61;
    return ST_OK;
}

static enum status
on_used(struct smtp_session *s, size_t n)
{
    assert(begun && n <= 61);
    received += n;
    return ST_OK;
}

static void
on_drop(struct smtp_session *s)
{
    assert(begun);
    begun = false;
}

static enum status
on_deliver(struct smtp_session *s, struct slice prefix)
{
    char id[MAILLOG_ID_MAX];

    assert(begun && s->tx.size == received && received <= MESSAGE_MAX && s->tx.recipients > 0);
    assert(s->tx.head.hops <= s->policy->max_hops);
    assert(!s->policy->submission || s->user.n > 0);
    for (size_t i = 0; i < received && s->tx.mail.body != SMTP_BODY_BINARYMIME; i++) {
        assert(body[i] != 0 && (body[i] != '\n' || (i > 0 && body[i - 1] == '\r')));
        assert(body[i] != '\r' || (i + 1 < received && body[i + 1] == '\n'));
    }
    assert(slice_has_prefix(prefix, SLICE("Return-Path: <")) && prefix.n > 2 &&
           prefix.p[prefix.n - 1] == '\n');
    maillog_message_id(slice_from(body, received), id);
    for (size_t i = 0; id[i] != '\0'; i++)
        assert(id[i] != ' ' && (uint8_t)id[i] >= 0x20 && id[i] != 0x7f);
    maillog_from(s, "MTA", id);
    maillog_to(s, ST_OK, s->tx.received);
    begun = false;
    return ST_OK;
}

static enum status
on_auth(struct smtp_session *s, struct slice mechanism, bool has, struct slice response, struct buf *data,
        struct buf *user)
{
    if (!has || response.n == 0) {
        buf_puts(data, "go");
        return ST_MORE;
    }
    if (slice_starts(response, 'd')) /* success that brings data */
        buf_puts(data, "v");
    buf_puts(user, "usr1");
    return slice_starts(response, 'b') ? ST_DENIED : ST_OK;
}

static void
on_abort(struct smtp_session *s)
{
}

static void
on_starttls(struct smtp_session *s, int fd)
{
    close(fd);
}

static void
on_note(struct smtp_session *s, const struct smtp_reply *reply)
{
    assert(reply->log[0] != '\0');
    maillog_note(s, reply);
}

static void
on_ended(struct smtp_session *s)
{
    ended = true;
    loop_stop(loop);
}

static const struct smtp_backend backend = {on_rcpt,    on_begin, on_room,  on_used,     on_drop,
                                            on_deliver, on_auth,  on_abort, on_starttls, on_note, on_ended};

static void
on_late(struct timer *t)
{
    abort(); /* a session whose client hung up does not end */
}

/* "250 text" or "250-text", CR LF, printable. A challenge is "334 " and base64. */
static void
check_replies(struct slice in)
{
    while (in.n > 0) {
        struct slice line = take_until(&in, '\n');

        assert(take_byte(&in, '\n') && line.n >= 5 && line.p[line.n - 1] == '\r');
        assert(line.p[0] >= '2' && line.p[0] <= '5' && ascii_digit(line.p[1]) && ascii_digit(line.p[2]));
        assert(line.p[3] == ' ' || line.p[3] == '-');
        for (size_t i = 0; i + 1 < line.n; i++)
            assert(line.p[i] >= 0x20 && line.p[i] < 0x7f);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t out[256 * 1024];
    static int nowhere = -1;
    struct smtp_policy policy = {.host = "mx.here",
                                 .domain = "here",
                                 .plaintext_auth = true,
                                 .starttls = true,
                                 .message_size = MESSAGE_MAX,
                                 .max_recipients = 3,
                                 .max_errors = 20,
                                 .max_commands = 200,
                                 .max_idle_commands = 50,
                                 .max_hops = 3,
                                 .dsn = true,
                                         .max_auth_failures = 3,
                                 .session_timeout = SECONDS(60),
                                 .idle_timeout = SECONDS(60),
                                 .data_timeout = SECONDS(60)};
    struct smtp_session s = {.policy = &policy, .backend = &backend};
    struct timer late = {.fire = on_late};
    size_t got = 0;
    ssize_t some;
    int fds[2];

    if (n == 0 || n > 32768)
        return 0;
    if (nowhere < 0) {
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        log_start("fuzz", nowhere, LOG_LEVEL_INFO);
    }
    policy.submission = data[0] & 1;
    policy.repair_line_ends = (data[0] & 2) != 0;
    policy.own_senders = (data[0] & 4) != 0;
    s.trusted = (data[0] & 8) != 0;
    begun = ended = false;
    assert(loop_new(&loop, NULL) == ST_OK && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    assert(send(fds[1], data + 1, n - 1, MSG_NOSIGNAL) == (ssize_t)(n - 1) && shutdown(fds[1], SHUT_WR) == 0);
    stream_init(&s.stream, loop, fds[0]);
    smtp_session_start(&s);
    loop_timer(loop, &late, clock_mono() + SECONDS(50));
    assert(ended || loop_run(loop, NULL) == ST_OK);
    assert(ended && !begun);
    while ((some = recv(fds[1], out + got, sizeof(out) - got, MSG_DONTWAIT)) > 0)
        got += (size_t)some;
    check_replies(slice_from(out, got));
    close(fds[1]);
    loop_free(loop);
    return 0;
}
