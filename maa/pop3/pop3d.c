/*
 * pop3d: POP3 after the password. logind gives it a connection with a ticket; authd says whose it is and has
 * a handle opened at stored; the messages of INBOX at that moment are the maildrop (drop.h). It opens no file
 * and has no mail but what passes through to the client that asked for it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "conf/tables.h"
#include "ipc/program.h"
#include "maa/pop3/lock.h"
#include "maa/pop3/session.h"
#include "net/stream.h"
#include "pop3/command.h"
#include "sasl/sasl.h"
#include "store/request.h"
#include "sys/log.h"

#define OPEN_WAIT    SECONDS(30) /* for all of an adoption; shorter than logind's patience */
#define ASK_WAIT     SECONDS(30)
#define EXPUNGE_WAIT SECONDS(60)
#define LOCK_WAIT    SECONDS(2)  /* for a session that ends: a client that was cut comes back before we see it */
#define LOCK_LOOK    MSEC(50)
#define STOP_WAIT    SECONDS(5)
#define ROWS_MAX     (IPC_PAYLOAD_MAX + 1024u)

struct session {
    struct pop3_session pop3;
    struct stream stream;
    struct session *next, **link;
    uint64_t conn, handle, mailbox;
    uint64_t deadline; /* of the adoption; afterwards of the command that runs */
    bool locked; /* the maildrop is this session's */
    uint8_t user_n;
    char user[]; /* for the lock and the log */
};

static struct {
    struct pop3_settings settings;
    struct buf text; /* of the settings, into which they point */
    struct locks *locks;
    struct session *sessions;
    uint32_t opening;
    bool stopping;
    struct timer stop;
} self;

static uint64_t
from_now(uint64_t wait)
{
    return loop_now(program_loop()) + wait;
}

/* --- stored --- */

/* stored was restarted and knows none of its handles (MSG_HANDLE_RENEW). */
static enum status
renew(struct session *s)
{
    AUTO_BUF ask = BUF_INIT(64), reply = BUF_INIT(1024);
    struct msg_identity got;
    enum status st;

    msg_conn_id_put(&ask, &(struct msg_conn_id){s->conn});
    st = program_ask(ROLE_AUTH, MSG_HANDLE_RENEW, buf_slice(&ask), s->deadline, &reply);
    if (st == ST_OK && !msg_identity_get(buf_slice(&reply), &got))
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        s->handle = got.handle;
    return st;
}

/* Asks what may be asked twice. Every request of ours begins with the handle, so that a new one can be put in
 * its place. */
static enum status
ask_store(struct session *s, enum store_msg type, struct buf *message, struct buf *reply)
{
    AUTO_BUF handle = BUF_INIT(8);
    enum status st;

    if (!buf_ok(message))
        return ST_MEMORY;
    st = program_ask(ROLE_STORE, (enum msg)type, buf_slice(message), s->deadline, reply);
    if (st != ST_STALE || message->n < 8)
        return st;
    st = renew(s);
    if (st != ST_OK)
        return st;
    buf_put_le64(&handle, s->handle);
    if (!buf_ok(&handle))
        return ST_MEMORY;
    memcpy(message->p, handle.p, 8);
    return program_ask(ROLE_STORE, (enum msg)type, buf_slice(message), s->deadline, reply);
}

static void
close_handle(struct session *s)
{
    AUTO_BUF m = BUF_INIT(64);
    struct channel *store = program_peer(ROLE_STORE, 0);

    msg_id_put(&m, &(struct msg_id){s->handle});
    if (s->handle != 0 && store != NULL)
        (void)ipc_send(store, (enum msg)MSG_HANDLE_CLOSE, buf_slice(&m), -1);
}

/* What a session holds beside its stream. */
static void
session_free(struct session *s)
{
    close_handle(s);
    if (s->locked)
        locks_give(self.locks, slice_from(s->user, s->user_n), s->link == NULL);
    drop_done(&s->pop3.drop);
    free(s);
}

/* --- what the session asks for (session.h) --- */

static enum status
on_put(void *arg, struct slice bytes)
{
    struct session *s = arg;

    return stream_put(&s->stream, bytes, from_now(self.settings.pop3_idle_timeout));
}

static enum status
on_read(void *arg, uint32_t uid, uint64_t offset, uint32_t n, struct buf *reply, struct slice *bytes)
{
    struct session *s = arg;
    AUTO_BUF m = BUF_INIT(64);
    struct msg_bytes got;
    enum status st;

    s->deadline = from_now(ASK_WAIT);
    body_read_put(&m, &(struct body_read){s->handle, s->mailbox, uid, offset, n});
    st = ask_store(s, MSG_BODY_READ, &m, reply);
    if (st == ST_OK && !msg_bytes_get(buf_slice(reply), &got))
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        *bytes = got.bytes;
    else
        log_at(LOG_LEVEL_WARNING, "not read: conn=%llu uid=%u offset=%llu: %s", (unsigned long long)s->conn,
               uid, (unsigned long long)offset, status_text(st));
    return st;
}

static enum status
on_expunge(void *arg, struct slice runs)
{
    struct session *s = arg;
    AUTO_BUF m = BUF_INIT(POP3_RUNS * 8 + 64), reply = BUF_INIT(ROWS_MAX);
    enum status st;

    s->deadline = from_now(EXPUNGE_WAIT);
    expunge_put(&m, &(struct expunge){s->handle, s->mailbox, runs, 0});
    st = ask_store(s, MSG_EXPUNGE, &m, &reply);
    if (st != ST_OK)
        log_at(LOG_LEVEL_WARNING, "not removed: conn=%llu: %s", (unsigned long long)s->conn, status_text(st));
    return st;
}

static const struct pop3_ops ops = {on_put, on_read, on_expunge};

/* --- the end of a session --- */

/* MSG_CONN_TAKEN, MSG_CONN_DONE. */
static void
tell_edge(enum msg type, uint64_t conn)
{
    AUTO_BUF m = BUF_INIT(64);
    struct channel *edge = program_peer(ROLE_EDGE, 0);

    msg_conn_id_put(&m, &(struct msg_conn_id){conn});
    if (edge != NULL)
        (void)ipc_send(edge, type, buf_slice(&m), -1);
}

static void
maybe_exit(void)
{
    if (self.stopping && self.sessions == NULL && self.opening == 0)
        program_exit(0);
}

static void
session_end(struct session *s)
{
    log_at(LOG_LEVEL_INFO, "session ended: conn=%llu user=%.*s retrieved=%u bytes=%llu removed=%u%s",
           (unsigned long long)s->conn, (int)s->user_n, s->user, s->pop3.retrieved,
           (unsigned long long)s->pop3.bytes, s->pop3.removed, s->pop3.quit ? "" : " without QUIT");
    stream_close(&s->stream);
    tell_edge(MSG_CONN_DONE, s->conn);
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    session_free(s);
    maybe_exit();
}

/* --- serving --- */

/* It was silent, or we are stopped. RFC 1939 3 would have us close without a word; but a command that is on
 * its way now was not done, and this is its answer. Nothing is deleted. */
static void
idled(void *arg)
{
    struct session *s = arg;

    stream_puts(&s->stream, s->stream.cancelled ? "-ERR [SYS/TEMP] Shutting down; nothing was deleted\r\n"
                                                : "-ERR Silent for too long; nothing was deleted\r\n");
    session_end(s);
}

/* One line of what is pending. False: the session is over. */
static bool
serve_line(struct session *s, struct slice in, size_t lf)
{
    uint8_t copy[POP3_LINE_MAX];
    struct slice line = slice_sub(in, 0, lf);

    if (lf + 1 > sizeof copy || lf == 0 || in.p[lf - 1] != '\r') {
        stream_eat(&s->stream, lf + 1);
        stream_puts(&s->stream,
                    lf + 1 > sizeof copy ? "-ERR Line too long\r\n" : "-ERR Lines end in CR LF\r\n");
        return ++s->pop3.errors < POP3_ERRORS_MAX;
    }
    /* The command may wait, and then more input moves what is pending. */
    line.n--;
    memcpy(copy, line.p, line.n);
    stream_eat(&s->stream, lf + 1);
    return pop3_session_line(&s->pop3, slice_from(copy, line.n)) == POP3_GO_ON;
}

/* Takes the lines that have come; half a line stays in the stream's buffer, without a fiber. */
static bool
serve(void *arg)
{
    struct session *s = arg;
    enum status st = ST_OK;

    fiber_note(slice_from(s->user, s->user_n));
    for (;;) {
        struct slice in = stream_pending(&s->stream);
        size_t lf = slice_find(in, '\n');

        if (lf < in.n) {
            if (!serve_line(s, in, lf))
                break;
            stream_idle_until(&s->stream, from_now(self.settings.pop3_idle_timeout));
            fiber_yield_if_long();
            continue;
        }
        if (in.n > POP3_LINE_MAX) {
            stream_puts(&s->stream, "-ERR Line too long\r\n");
            break;
        }
        if (stream_waits(&s->stream))
            return true;
        st = stream_more(&s->stream, s->stream.idle_deadline);
        if (st != ST_OK)
            break;
    }
    if (st == ST_TIMEOUT || st == ST_CANCELLED)
        idled(s);
    else
        session_end(s);
    return false;
}

/* --- adoption --- */

struct adoption {
    struct ipc_sender from;
    uint64_t conn;
    int fd;
    bool utf8;
    struct buf ticket, unread;
};

static void
adoption_free(struct adoption *a)
{
    if (a->fd >= 0)
        (void)close(a->fd);
    if (a->ticket.p != NULL)
        explicit_bzero(a->ticket.p, a->ticket.cap);
    buf_done(&a->ticket);
    buf_done(&a->unread);
    free(a);
    self.opening--;
    maybe_exit();
}

/* Whose is it? Once only: after a failure here the client must log in again. */
static enum status
redeem(struct adoption *a, uint64_t deadline, struct session **session)
{
    AUTO_BUF ask = BUF_INIT(512), reply = BUF_INIT(1024);
    struct channel *auth;
    struct msg_identity who;
    struct session *s;
    enum status st = program_peer_wait(ROLE_AUTH, 0, deadline, &auth);

    msg_ticket_put(&ask, &(struct msg_ticket){a->conn, buf_slice(&a->ticket)});
    if (st == ST_OK)
        st = ipc_call(auth, MSG_TICKET_REDEEM, buf_slice(&ask), -1, deadline, &reply);
    if (st != ST_OK)
        return st;
    if (!msg_identity_get(buf_slice(&reply), &who) || who.user.n > SASL_NAME_MAX)
        return ST_UNAVAILABLE;
    s = calloc(1, sizeof *s + who.user.n + 1);
    if (s == NULL)
        return ST_MEMORY;
    s->pop3.ops = &ops;
    s->pop3.arg = s;
    s->conn = a->conn;
    s->handle = who.handle;
    s->deadline = deadline;
    s->pop3.utf8 = a->utf8;
    s->pop3.strict = self.settings.pop3_utf8_strict;
    s->pop3.login_delay = (uint32_t)(self.settings.pop3_login_delay / SECONDS(1));
    s->user_n = (uint8_t)who.user.n;
    (void)slice_to_cstr(who.user, s->user, who.user.n + 1);
    *session = s;
    fiber_note(slice_from(s->user, s->user_n)); /* the maildrop's rows are read next */
    return ST_OK;
}

/* RFC 1939 4: one session a maildrop. ST_EXISTS and ST_LIMIT are told as [IN-USE] and [LOGIN-DELAY] by logind. */
static enum status
lock(struct session *s)
{
    uint64_t until = from_now(LOCK_WAIT);
    enum status st;

    do {
        st = locks_take(self.locks, slice_from(s->user, s->user_n), loop_now(program_loop()),
                        self.settings.pop3_login_delay);
        if (st == ST_EXISTS)
            fiber_sleep_until(from_now(LOCK_LOOK));
    } while (st == ST_EXISTS && loop_now(program_loop()) < until && !self.stopping);
    s->locked = st == ST_OK;
    return st;
}

/* The mailbox called INBOX among a page of rows. ST_MORE: none of them; *after is the last one's name. */
static enum status
inbox_in(struct session *s, struct slice reply, struct buf *after)
{
    struct msg_rows page;
    struct mailbox_row row;
    struct slice rows;

    if (!msg_rows_get(reply, &page))
        return ST_UNAVAILABLE;
    rows = page.rows;
    while (rows.n > 0) {
        if (!mailbox_row_take(&rows, &row))
            return ST_UNAVAILABLE;
        buf_clear(after);
        buf_put(after, row.name);
        if (slice_eq(row.name, SLICE("INBOX")) && row.mailbox != 0) {
            s->mailbox = row.mailbox;
            return ST_OK;
        }
    }
    if (!page.more || page.rows.n == 0)
        return ST_NOTFOUND;
    return buf_ok(after) ? ST_MORE : ST_MEMORY;
}

static enum status
find_inbox(struct session *s)
{
    AUTO_BUF after = BUF_INIT(4096), ask = BUF_INIT(8192), reply = BUF_INIT(ROWS_MAX);
    enum status st;

    do {
        buf_clear(&ask);
        mailbox_list_put(&ask, &(struct mailbox_list){s->handle, buf_slice(&after)});
        st = ask_store(s, MSG_MAILBOXES, &ask, &reply);
        if (st == ST_OK)
            st = inbox_in(s, buf_slice(&reply), &after);
    } while (st == ST_MORE);
    return st;
}

static enum status
add_rows(struct session *s, struct slice reply, uint32_t *from, bool *more)
{
    struct msg_rows page;
    struct message_row row;

    if (!msg_rows_get(reply, &page))
        return ST_UNAVAILABLE;
    *more = page.more && page.rows.n > 0;
    while (page.rows.n > 0) {
        enum status st;

        if (!message_row_take(&page.rows, &row))
            return ST_UNAVAILABLE;
        st = drop_add(&s->pop3.drop, row.uid, row.size);
        if (st == ST_LIMIT) { /* the rest is for a later session */
            *more = false;
            return ST_OK;
        }
        if (st != ST_OK)
            return st == ST_SYNTAX ? ST_UNAVAILABLE : st;
        *from = row.uid + 1;
        if (*from == 0)
            *more = false;
        fiber_yield_if_long();
    }
    return ST_OK;
}

/* All messages that INBOX has now. */
static enum status
take_snapshot(struct session *s)
{
    AUTO_BUF ask = BUF_INIT(256), reply = BUF_INIT(ROWS_MAX);
    struct mailbox_status status;
    uint32_t from = 1;
    bool more = true;
    enum status st;

    mailbox_ref_put(&ask, &(struct mailbox_ref){s->handle, s->mailbox});
    st = ask_store(s, MSG_MAILBOX_STATUS, &ask, &reply);
    if (st == ST_OK && !mailbox_status_get(buf_slice(&reply), &status))
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        s->pop3.uidvalidity = status.uidvalidity;
    while (st == ST_OK && more) {
        buf_clear(&ask);
        message_list_put(&ask, &(struct message_list){s->handle, s->mailbox, from, (struct slice){0}});
        st = ask_store(s, MSG_MESSAGES, &ask, &reply);
        if (st == ST_OK)
            st = add_rows(s, buf_slice(&reply), &from, &more);
    }
    drop_close(&s->pop3.drop);
    return st;
}

/* The connection is ours from here on. */
static void
begin(struct session *s, struct adoption *a)
{
    stream_init(&s->stream, program_loop(), a->fd);
    a->fd = -1;
    s->next = self.sessions;
    s->link = &self.sessions;
    if (s->next != NULL)
        s->next->link = &s->next;
    self.sessions = s;
    tell_edge(MSG_CONN_TAKEN, s->conn);
    ipc_answer(a->from, ST_OK, (struct slice){0});
    if (stream_preload(&s->stream, buf_slice(&a->unread)) != ST_OK ||
        pop3_session_begin(&s->pop3) != POP3_GO_ON) {
        session_end(s);
        return;
    }
    stream_serve(&s->stream, serve, idled, s, from_now(self.settings.pop3_idle_timeout));
}

static const char *
refusal_text(enum status st)
{
    if (st == ST_EXISTS)
        return "another session has the maildrop";
    return st == ST_LIMIT ? "logged in to a moment ago" : status_text(st);
}

static void
adoption_fiber(void *arg)
{
    struct adoption *a = arg;
    struct session *s = NULL;
    enum status st = redeem(a, from_now(OPEN_WAIT), &s);

    if (st == ST_OK)
        st = lock(s);
    if (st == ST_OK)
        st = find_inbox(s);
    if (st == ST_OK)
        st = take_snapshot(s);
    if (st == ST_OK && self.stopping)
        st = ST_UNAVAILABLE;
    if (st == ST_OK) {
        begin(s, a);
    } else {
        log_at(LOG_LEVEL_WARNING, "no session: conn=%llu user=%s: %s", (unsigned long long)a->conn,
               s != NULL ? s->user : "", refusal_text(st));
        /* Only these two mean to logind what they mean to us. */
        ipc_answer(a->from, st == ST_LIMIT && (s == NULL || s->locked) ? ST_UNAVAILABLE : st, (struct slice){0});
        if (s != NULL)
            session_free(s);
    }
    adoption_free(a);
}

static enum status
on_adopt(struct ipc_request *r)
{
    struct msg_conn_adopt m;
    struct msg_conn facts;
    struct adoption *a;

    if (!msg_conn_adopt_get(r->payload, &m) || !msg_conn_get(m.facts, &facts) || m.unread.n > STREAM_INPUT)
        return ST_SYNTAX;
    if (self.stopping || (a = calloc(1, sizeof *a)) == NULL) {
        ipc_answer(r->from, ST_UNAVAILABLE, (struct slice){0});
        return ST_OK;
    }
    *a = (struct adoption){.from = r->from,
                           .conn = facts.conn,
                           .fd = -1,
                           .utf8 = slice_eq(m.tag, SLICE(ADOPT_UTF8)),
                           .ticket = BUF_INIT(256),
                           .unread = BUF_INIT(STREAM_INPUT)};
    self.opening++;
    buf_put(&a->ticket, m.ticket);
    buf_put(&a->unread, m.unread);
    if (!buf_ok(&a->ticket) || !buf_ok(&a->unread)) {
        ipc_answer(r->from, ST_UNAVAILABLE, (struct slice){0});
        adoption_free(a);
        return ST_OK;
    }
    a->fd = r->fd;
    r->fd = -1;
    if (fiber_spawn(program_loop(), adoption_fiber, a) != ST_OK) {
        ipc_answer(r->from, ST_UNAVAILABLE, (struct slice){0});
        adoption_free(a);
    }
    return ST_OK;
}

/* --- the program --- */

static enum status
load_settings(struct slice text, struct err *err)
{
    struct buf copy = BUF_INIT(CONF_TEXT_MAX);
    struct pop3_settings got;
    enum status st;

    buf_put(&copy, text);
    st = buf_ok(&copy) ? conf_load(&pop3_conf, "estafeta.conf", buf_slice(&copy), &got, sizeof got, err)
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
pop3d_open(struct err *err)
{
    if (locks_new(&self.locks) != ST_OK)
        return err_set(err, ST_MEMORY, "no memory for the locks");
    return load_settings(program_settings(), err);
}

static void
on_stop_timer(struct timer *t)
{
    program_exit(0);
}

/* A session in the middle of QUIT is let finish; the others delete nothing. */
static void
pop3d_stop(void)
{
    struct session *next;

    if (self.stopping)
        return;
    self.stopping = true;
    self.stop.fire = on_stop_timer;
    loop_timer(program_loop(), &self.stop, from_now(STOP_WAIT));
    for (struct session *s = self.sessions; s != NULL; s = next) {
        next = s->next;
        stream_cancel(&s->stream);
    }
    maybe_exit();
}

/* message, who may send it, handler, with a descriptor; all else closes the channel */
static const struct ipc_route routes[] = {
    {MSG_CONN_ADOPT, ROLE_BIT(LOGIN), on_adopt, true},
    {0     },
};

int
main(int argc, char **argv)
{
    static const struct program program = {
        .role = ROLE_POP3, .routes = routes, .open = pop3d_open, .reload = load_settings, .stop = pop3d_stop};

    return program_main(&program, argc, argv);
}
