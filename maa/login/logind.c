/*
 * logind: IMAP and POP3 before the password. It gets connections from edged, speaks with those of whom
 * nothing is known yet (session.h), carries SASL to and from authd, and gives connection and ticket to imapd
 * or pop3d. It sees no mail. A session that idles holds its struct and nothing else.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/tables.h"
#include "ipc/program.h"
#include "maa/login/session.h"
#include "net/stream.h"
#include "sasl/mechanism.h"
#include "sys/log.h"

#define PEER_WAIT   SECONDS(5)  /* for a program that is being restarted */
#define ADOPT_WAIT  SECONDS(40) /* longer than imapd and pop3d take until they refuse */
#define STOP_WAIT   SECONDS(2)
#define OUT_MAX     65536u
#define MESSAGE_MAX 32768u /* of a request: an adoption with its unread bytes is the largest */

struct session {
    struct login login;
    struct stream stream;
    struct session *next, **link;
    uint64_t conn;
    uint64_t deadline; /* nobody stays here for longer */
    uint8_t service;
    uint16_t facts_n;
    uint8_t facts[]; /* msg_conn as edged sent it, for whoever comes next */
};

static struct {
    struct login_settings settings;
    struct buf text; /* of the settings, into which they point */
    struct session *sessions;
    bool stopping;
    struct timer stop;
} self;

static bool
is_imap(const struct session *s)
{
    return s->service == SERVICE_IMAP || s->service == SERVICE_IMAPS;
}

static bool
loopback(struct slice peer)
{
    static const uint8_t four[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127}, six[16] = {[15] = 1};

    return peer.n >= 16 && (memcmp(peer.p, four, sizeof four) == 0 || memcmp(peer.p, six, sizeof six) == 0);
}

/* --- the end of a session --- */

/* The connection has ended: by us, or by the client. */
static void
conn_done(uint64_t conn)
{
    AUTO_BUF m = BUF_INIT(64);
    struct channel *edge = program_peer(ROLE_EDGE, 0);

    msg_conn_id_put(&m, &(struct msg_conn_id){conn});
    if (edge != NULL) /* a new edged does not know of it anyway */
        (void)ipc_send(edge, MSG_CONN_DONE, buf_slice(&m), -1);
}

/* Forgets it; whatever descriptor the stream still has is closed. */
static void
session_free(struct session *s)
{
    stream_close(&s->stream);
    login_done(&s->login);
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    free(s);
    if (self.stopping && self.sessions == NULL)
        program_exit(0);
}

static void
session_end(struct session *s)
{
    uint64_t conn = s->conn;

    session_free(s);
    conn_done(conn);
}

/* --- what the session asks for (session.h) --- */

/* Asked once more when authd was restarted meanwhile. */
static enum status
ask_auth(struct session *s, enum msg type, struct slice message, bool twice, struct buf *reply)
{
    struct loop *loop = program_loop();
    uint64_t until = loop_now(loop) + PEER_WAIT;
    struct channel *ch;
    enum status st;

    if (until > s->deadline)
        until = s->deadline;
    st = program_peer_wait(ROLE_AUTH, 0, until, &ch);
    if (st == ST_OK)
        st = ipc_call(ch, type, message, -1, s->deadline, reply);
    if (st == ST_CLOSED && twice)
        return ask_auth(s, type, message, false, reply);
    return st == ST_CLOSED || st == ST_TIMEOUT ? ST_UNAVAILABLE : st;
}

static enum status
on_start(void *arg, struct slice mechanism, bool has, struct slice initial, struct buf *reply)
{
    struct session *s = arg;
    AUTO_BUF m = BUF_INIT(MESSAGE_MAX);
    enum status st = ST_UNAVAILABLE;

    (void)buf_reserve(&m, 64 + mechanism.n + initial.n);
    msg_sasl_start_put(&m, &(struct msg_sasl_start){s->conn, mechanism, has, initial});
    if (buf_ok(&m))
        st = ask_auth(s, MSG_SASL_START, buf_slice(&m), true, reply);
    login_wipe(&m);
    return st;
}

static enum status
on_step(void *arg, struct slice data, struct buf *reply)
{
    struct session *s = arg;
    AUTO_BUF m = BUF_INIT(MESSAGE_MAX);
    enum status st = ST_UNAVAILABLE;

    (void)buf_reserve(&m, 64 + data.n);
    msg_sasl_step_put(&m, &(struct msg_sasl_step){s->conn, data});
    if (buf_ok(&m))
        st = ask_auth(s, MSG_SASL_STEP, buf_slice(&m), false, reply);
    login_wipe(&m);
    return st == ST_STATE ? ST_UNAVAILABLE : st; /* authd does not know of the start: it was restarted */
}

static void
on_abort(void *arg)
{
    struct session *s = arg;
    AUTO_BUF m = BUF_INIT(64);
    struct channel *ch = program_peer(ROLE_AUTH, 0);

    msg_conn_id_put(&m, &(struct msg_conn_id){s->conn});
    if (ch != NULL)
        (void)ipc_send(ch, MSG_SASL_ABORT, buf_slice(&m), -1);
}

/* All that was answered so far is on its way before anything else writes to the connection. */
static enum status
put_out(struct session *s, struct buf *out, uint64_t deadline)
{
    enum status st = buf_ok(out) ? stream_put(&s->stream, buf_slice(out), deadline) : ST_MEMORY;

    buf_clear(out);
    return st;
}

static enum status
on_adopt(void *arg, struct slice ticket, struct slice tag, struct slice user)
{
    struct session *s = arg;
    enum role role = is_imap(s) ? ROLE_IMAP : ROLE_POP3;
    uint64_t now = loop_now(program_loop());
    AUTO_BUF m = BUF_INIT(MESSAGE_MAX);
    struct channel *ch;
    enum status st = put_out(s, s->login.out, now + ADOPT_WAIT);

    if (st == ST_OK)
        st = stream_flush(&s->stream, now + ADOPT_WAIT);
    if (st != ST_OK)
        return ST_CLOSED;
    (void)buf_reserve(&m, 128 + s->facts_n + ticket.n + tag.n + s->login.rest.n);
    msg_conn_adopt_put(
        &m, &(struct msg_conn_adopt){slice_from(s->facts, s->facts_n), ticket, tag, s->login.rest});
    if (!buf_ok(&m))
        return ST_UNAVAILABLE;
    st = program_peer_wait(role, 0, now + PEER_WAIT, &ch);
    if (st ==
        ST_OK) /* after ST_CLOSED and ST_TIMEOUT it may have the connection: then it must not be ours too */
        st = ipc_call(ch, MSG_CONN_ADOPT, buf_slice(&m), s->stream.fd, loop_now(program_loop()) + ADOPT_WAIT,
                      NULL);
    else
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        log_at(LOG_LEVEL_INFO, "login: conn=%llu user=%.*s to=%s tls=%d", (unsigned long long)s->conn,
               SLICE_ARG(user), role_name(role), s->login.tls);
    else
        log_at(LOG_LEVEL_WARNING, "not adopted by %s: conn=%llu: %s", role_name(role),
               (unsigned long long)s->conn, status_text(st));
    return st == ST_TIMEOUT ? ST_CLOSED : st;
}

static bool
on_quiet(void *arg)
{
    const struct session *s = arg;
    uint8_t byte;

    /* Not stream_quiet(): what the command came with still lies in the stream's buffer. */
    return recv(s->stream.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0;
}

static bool
on_can_tls(void *arg)
{
    struct channel *edge = program_peer(ROLE_EDGE, 0);

    return edge != NULL && channel_open(edge);
}

static const struct login_ops ops = {on_start, on_step, on_abort, on_adopt, on_quiet, on_can_tls};

/* Never waits, and works for a stream that was cancelled. */
static void
put_short(struct stream *stream, struct buf *out)
{
    buf_putc(out, '\0');
    if (buf_ok(out))
        stream_puts(stream, (const char *)out->p);
}

/* --- serving --- */

/* edged makes another connection of it, which comes back with the same number; this one is forgotten. */
static void
begin_tls(struct session *s)
{
    AUTO_BUF m = BUF_INIT(64);
    struct channel *edge;
    int fd = -1;

    if (stream_flush(&s->stream, s->deadline) == ST_OK) {
        edge = program_peer(ROLE_EDGE, 0);
        msg_conn_id_put(&m, &(struct msg_conn_id){s->conn});
        if (edge != NULL && stream_detach(&s->stream, &fd) == ST_OK) {
            enum status st = ipc_send(edge, MSG_CONN_TLS, buf_slice(&m), fd);

            (void)close(fd);
            if (st == ST_OK) {
                session_free(s);
                return;
            }
        }
    }
    session_end(s);
}

/* The client's last bytes may hold a password, and the stream's buffers are used again. */
static void
eat_wiped(struct stream *stream, size_t n)
{
    explicit_bzero(stream->in + stream->start, n);
    stream_eat(stream, n);
}

/* Everything that is pending. False: the session is over and gone. */
static bool
serve_pending(struct session *s)
{
    AUTO_BUF out = BUF_INIT(OUT_MAX);
    struct slice in;

    while ((in = stream_pending(&s->stream)).n > 0) {
        enum login_verdict verdict = login_input(&s->login, in, &out);

        if (verdict == LOGIN_LOST || verdict == LOGIN_TAKEN) {
            int fd = -1;

            if (stream_detach(&s->stream, &fd) == ST_OK) {
                if (verdict == LOGIN_LOST)
                    (void)shutdown(fd, SHUT_RDWR); /* of whoever else has it, too */
                (void)close(fd);
            }
            if (verdict == LOGIN_TAKEN)
                session_free(s);
            else
                session_end(s);
            return false;
        }
        eat_wiped(&s->stream, stream_pending(&s->stream).n - s->login.rest.n);
        if (put_out(s, &out, s->deadline) != ST_OK || verdict == LOGIN_END) {
            session_end(s);
            return false;
        }
        if (verdict == LOGIN_TLS) {
            begin_tls(s);
            return false;
        }
        fiber_yield_if_long();
    }
    return true;
}

static void
say_bye(struct session *s, const char *text)
{
    AUTO_BUF out = BUF_INIT(1024);

    login_bye(&s->login, text, &out);
    put_short(&s->stream, &out);
    session_end(s);
}

/* Runs on a fiber when the deadline has passed, or when we are stopped. */
static void
idled(void *arg)
{
    struct session *s = arg;

    say_bye(s, s->stream.cancelled ? "Shutting down; come back later" : "It took too long to log in");
}

/* Takes what has come and waits for nothing: a client that sends half a line must not keep a fiber. */
static bool
serve(void *arg)
{
    struct session *s = arg;
    enum status st;

    if (loop_now(program_loop()) >= s->deadline) {
        idled(s);
        return false;
    }
    if (stream_pending(&s->stream).n == 0) {
        if (stream_waits(&s->stream))
            return true;
        st = stream_more(&s->stream, s->deadline);
        if (st == ST_TIMEOUT || st == ST_CANCELLED) {
            idled(s);
            return false;
        }
        if (st != ST_OK) {
            session_end(s);
            return false;
        }
    }
    return serve_pending(s);
}

/* --- edged --- */

/* What it has for mechanisms, as authd will judge it (has_of() there). */
static unsigned
sasl_of(const struct msg_conn *m)
{
    unsigned has = self.settings.scram_sha1 ? NEEDS_SHA1 : 0;

    if (m->binding.n > 0 || m->end_point.n > 0)
        has |= NEEDS_BINDING;
    if ((m->certificate.n > 0 && self.settings.external_fingerprints.n > 0) ||
        (m->certificate_name.n > 0 && self.settings.external_names))
        has |= NEEDS_EXTERNAL;
    return has;
}

static struct session *
session_new(const struct msg_conn *m, struct slice facts)
{
    const struct login_protocol *protocol =
        m->service == SERVICE_IMAP || m->service == SERVICE_IMAPS ? &login_imap : &login_pop3;
    struct session *s;

    if (facts.n > UINT16_MAX || (s = calloc(1, sizeof *s + facts.n)) == NULL)
        return NULL;
    s->conn = m->conn;
    s->service = m->service;
    s->deadline = loop_now(program_loop()) + self.settings.login_timeout;
    s->facts_n = (uint16_t)facts.n;
    memcpy(s->facts, facts.p, facts.n);
    login_init(&s->login, protocol, &ops, s, m->tls == 1,
               m->tls == 1 || loopback(m->peer) || self.settings.cleartext_passwords);
    s->login.sasl = sasl_of(m);
    s->login.login_delay = (uint32_t)(self.settings.pop3_login_delay / SECONDS(1));
    s->next = self.sessions;
    s->link = &self.sessions;
    if (s->next != NULL)
        s->next->link = &s->next;
    self.sessions = s;
    return s;
}

static enum status
on_conn(struct ipc_request *r)
{
    AUTO_BUF out = BUF_INIT(2048);
    struct msg_conn m;
    struct session *s;

    if (!msg_conn_get(r->payload, &m) || m.tls > 1 || m.service < SERVICE_IMAP || m.service > SERVICE_POP3S)
        return ST_SYNTAX;
    if (self.stopping || (s = session_new(&m, r->payload)) == NULL) {
        conn_done(m.conn); /* the descriptor is closed by the channel */
        return ST_OK;
    }
    stream_init(&s->stream, program_loop(), r->fd);
    r->fd = -1;
    /* RFC 3501 6.2.1, RFC 2595 4: no second greeting after STARTTLS. */
    if (!(m.tls == 1 && (m.service == SERVICE_IMAP || m.service == SERVICE_POP3))) {
        login_greet(&s->login, self.settings.hostname, &out);
        put_short(&s->stream, &out);
    }
    stream_serve(&s->stream, serve, idled, s, s->deadline);
    return ST_OK;
}

/* A handshake failed: its session was forgotten when it began. */
static enum status
on_conn_gone(struct ipc_request *r)
{
    struct msg_conn_id m;

    return msg_conn_id_get(r->payload, &m) ? ST_OK : ST_SYNTAX;
}

/* --- the program --- */

static enum status
load_settings(struct slice text, struct err *err)
{
    struct buf copy = BUF_INIT(CONF_TEXT_MAX);
    struct login_settings got;
    enum status st;

    buf_put(&copy, text);
    st = buf_ok(&copy) ? conf_load(&login_conf, "estafeta.conf", buf_slice(&copy), &got, sizeof got, err)
                       : err_set(err, ST_MEMORY, "settings: no memory");
    if (st != ST_OK) {
        buf_done(&copy);
        return st;
    }
    buf_done(&self.text);
    self.text = copy;
    self.settings = got;
    return ST_OK;
}

static enum status
logind_open(struct err *err)
{
    return load_settings(program_settings(), err);
}

static void
on_stop_timer(struct timer *t)
{
    program_exit(0);
}

static void
logind_stop(void)
{
    struct session *next;

    if (self.stopping)
        return;
    self.stopping = true;
    if (self.sessions == NULL) {
        program_exit(0);
        return;
    }
    self.stop.fire = on_stop_timer; /* for those who wait for another program */
    loop_timer(program_loop(), &self.stop, loop_now(program_loop()) + STOP_WAIT);
    for (struct session *s = self.sessions; s != NULL; s = next) {
        next = s->next;
        stream_cancel(&s->stream);
    }
}

/* message, who may send it, handler, with a descriptor; all else closes the channel */
static const struct ipc_route routes[] = {
    {MSG_CONN, ROLE_BIT(EDGE), on_conn, true},
    {MSG_CONN_GONE, ROLE_BIT(EDGE), on_conn_gone, false},
    {0       },
};

int
main(int argc, char **argv)
{
    static const struct program program = {.role = ROLE_LOGIN,
                                           .routes = routes,
                                           .open = logind_open,
                                           .reload = load_settings,
                                           .stop = logind_stop};

    return program_main(&program, argc, argv);
}
