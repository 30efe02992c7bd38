/*
 * pop3d as it is started: this test plays estafetad, logind, edged, authd, stored and the clients. argv[1] is
 * the executable. A conversation is a list of lines: "> " is sent with CR LF, "< " must come, and up to a "*"
 * at its end it must be what comes; "= " is sent as it is.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "ipc/program.h"
#include "net/stream.h"
#include "store/request.h"
#include "sys/fd.h"

#define REPLIES (64u * SHM_CHUNK)
#define BIG     3000017u
#define INBOX   77u

static const char *program;
static struct loop *loop;
static bool played, ended; /* the conversations; pop3d */
static struct channel *control, *edge, *login, *auth, *store;
static int replies = -1, replies_reader = -1;
static uint8_t big[BIG];

/* uid 3 is `big`; 5 is gone when it is asked for; 8 fails in its middle. */
static struct {
    uint32_t uid;
    const char *text;
    uint64_t size;
} messages[] = {
    {2, "Subject: a\r\n\r\n.dot\r\n..\r\nline three\r\n", 0     },
    {3, NULL,                                             BIG   },
    {5, "Subject: gone\r\n\r\n",                          0     },
    {6, "no end",                                         0     },
    {8, NULL,                                             200000},
    {9, "Subject: \xc3\xb1\r\n\r\nx\r\n",                   0     },
};

static struct {
    uint64_t handle; /* that stored knows */
    uint64_t taken, done, closed;
    uint32_t reads, renewed;
    enum status expunge;
    uint8_t runs[256];
    size_t runs_n;
    uint32_t expunges;
    bool empty, gone; /* INBOX is */
    bool other;       /* the ticket is another account's */
} seen = {.handle = 4711};

static enum status
on_ready(struct ipc_request *r)
{
    return ST_OK;
}

static enum status
on_done(struct ipc_request *r)
{
    struct msg_conn_id m = {0};

    CHECK(0, msg_conn_id_get(r->payload, &m));
    seen.done = m.conn;
    return ST_OK;
}

static enum status
on_taken(struct ipc_request *r)
{
    struct msg_conn_id m = {0};

    CHECK(0, msg_conn_id_get(r->payload, &m));
    seen.taken = m.conn;
    return ST_OK;
}

/* --- authd --- */

static void
answer_identity(struct ipc_sender to)
{
    AUTO_BUF b = BUF_INIT(200);

    msg_identity_put(&b, &(struct msg_identity){seen.other ? SLICE("usr2@d.example") : SLICE("usr1@d.example"), seen.handle, 7});
    ipc_answer(to, ST_OK, buf_slice(&b));
}

static enum status
on_redeem(struct ipc_request *r)
{
    struct msg_ticket m = {0};

    CHECK(0, msg_ticket_get(r->payload, &m));
    if (slice_eq(m.ticket, SLICE("good")))
        answer_identity(r->from);
    else
        ipc_answer(r->from, ST_STALE, (struct slice){0});
    return ST_OK;
}

static enum status
on_renew(struct ipc_request *r)
{
    seen.renewed++;
    answer_identity(r->from);
    return ST_OK;
}

/* --- stored --- */

static bool
stale(struct ipc_request *r, uint64_t handle, uint64_t mailbox)
{
    if (handle == seen.handle && mailbox == INBOX && !seen.gone)
        return false;
    ipc_answer(r->from, ST_STALE, (struct slice){0});
    return true;
}

static void
answer_rows(struct ipc_sender to, bool more, struct buf *rows)
{
    AUTO_BUF b = BUF_INIT(4000);

    msg_rows_put(&b, &(struct msg_rows){more, buf_slice(rows)});
    CHECK(0, buf_ok(rows) && buf_ok(&b));
    ipc_answer(to, ST_OK, buf_slice(&b));
}

/* A row an answer, so that the reader must ask again. */
static enum status
on_mailboxes(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(1000);
    struct mailbox_list m = {0};
    bool first;

    CHECK(0, mailbox_list_get(r->payload, &m));
    if (stale(r, m.handle, INBOX))
        return ST_OK;
    first = m.after.n == 0;
    CHECK(1, first || slice_eq(m.after, SLICE("Archive")));
    mailbox_row_put(&rows, &(struct mailbox_row){.mailbox = first ? 5 : INBOX,
                                                 .name = first ? SLICE("Archive") : SLICE("INBOX")});
    answer_rows(r->from, true, &rows);
    return ST_OK;
}

static enum status
on_status(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(200);
    struct mailbox_ref m = {0};

    CHECK(0, mailbox_ref_get(r->payload, &m));
    if (stale(r, m.handle, m.mailbox))
        return ST_OK;
    mailbox_status_put(&b, &(struct mailbox_status){.uidvalidity = 1234, .uidnext = 10, .messages = 6});
    ipc_answer(r->from, ST_OK, buf_slice(&b));
    return ST_OK;
}

static enum status
on_messages(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(1000);
    struct message_list m = {0};
    size_t at = 0, n = 0;

    CHECK(0, message_list_get(r->payload, &m) && m.uids.n == 0);
    if (stale(r, m.handle, m.mailbox))
        return ST_OK;
    while (at < COUNT(messages) && messages[at].uid < m.from)
        at++;
    for (; !seen.empty && at < COUNT(messages) && n < 2; at++, n++)
        message_row_put(&rows, &(struct message_row){
                                   .uid = messages[at].uid, .size = messages[at].size, .flags = FLAG_SEEN});
    answer_rows(r->from, !seen.empty && at < COUNT(messages), &rows);
    return ST_OK;
}

static enum status
on_body(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(STORE_READ_MAX + 100);
    struct body_read m = {0};
    struct slice text = {0};

    CHECK(0, body_read_get(r->payload, &m) && m.n <= STORE_READ_MAX);
    seen.reads++;
    if (stale(r, m.handle, m.mailbox))
        return ST_OK;
    for (size_t i = 0; i < COUNT(messages); i++)
        if (messages[i].uid == m.uid)
            text = messages[i].text != NULL ? slice_of(messages[i].text) : slice_from(big, messages[i].size);
    if (m.uid == 5 || (m.uid == 8 && m.offset > 100000)) {
        ipc_answer(r->from, m.uid == 5 ? ST_NOTFOUND : ST_CORRUPT, (struct slice){0});
        return ST_OK;
    }
    msg_bytes_put(&b, &(struct msg_bytes){slice_sub(text, m.offset, m.n)});
    ipc_answer(r->from, ST_OK, buf_slice(&b));
    return ST_OK;
}

static enum status
on_expunge(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(500);
    struct expunge m = {0};

    CHECK(0, expunge_get(r->payload, &m) && m.uids.n <= sizeof seen.runs && m.uids.n > 0);
    if (stale(r, m.handle, m.mailbox))
        return ST_OK;
    CHECK_INT(1, m.deleted_only, 0);
    memcpy(seen.runs, m.uids.p, m.uids.n);
    seen.runs_n = m.uids.n;
    seen.expunges++;
    msg_bytes_put(&b, &(struct msg_bytes){m.uids});
    ipc_answer(r->from, seen.expunge, seen.expunge == ST_OK ? buf_slice(&b) : (struct slice){0});
    return ST_OK;
}

static enum status
on_close(struct ipc_request *r)
{
    struct msg_id m = {0};

    CHECK(0, msg_id_get(r->payload, &m));
    seen.closed = m.id;
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_READY,        ROLE_BIT(POP3), on_ready, false},
    {MSG_CONN_DONE,        ROLE_BIT(POP3), on_done, false},
    {MSG_CONN_TAKEN,                ROLE_BIT(POP3), on_taken, false},
    {MSG_TICKET_REDEEM,ROLE_BIT(POP3), on_redeem, false},
    {MSG_HANDLE_RENEW,           ROLE_BIT(POP3), on_renew, false},
    {MSG_MAILBOXES,   ROLE_BIT(POP3), on_mailboxes, false},
    {MSG_MAILBOX_STATUS,        ROLE_BIT(POP3), on_status, false},
    {MSG_MESSAGES,                ROLE_BIT(POP3), on_messages, false},
    {MSG_BODY_READ,        ROLE_BIT(POP3), on_body, false},
    {MSG_EXPUNGE,           ROLE_BIT(POP3), on_expunge, false},
    {MSG_HANDLE_CLOSE, ROLE_BIT(POP3), on_close, false},
    {0       },
};

/* --- the stage --- */

static void
on_end(struct channel *ch)
{
    ended = true;
    if (played)
        loop_stop(loop);
}

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(20);
}

/* What another program does takes its time, more on a busy machine. */
#define SOON(i, condition)                                                                                   \
    do {                                                                                                     \
        for (int tries_ = 0; tries_ < 400 && !(condition); tries_++)                                         \
            fiber_sleep_until(loop_now(loop) + MSEC(25));                                                    \
        CHECK(i, condition);                                                                                 \
    } while (0)

static void
nap(void)
{
    fiber_sleep_until(loop_now(loop) + MSEC(50));
}

static struct channel *
peer(enum role role)
{
    AUTO_BUF m = BUF_INIT(100);
    struct channel *ch = NULL;
    int fds[2];

    CHECK_INT(role, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    msg_peer_put(&m, &(struct msg_peer){(uint16_t)role, 0});
    CHECK_INT(role, ipc_send(control, MSG_PEER, buf_slice(&m), fds[1]), ST_OK);
    close(fds[1]);
    CHECK_INT(role, channel_new(loop, fds[0], ROLE_POP3, 0, routes, NULL, &ch), ST_OK);
    return ch;
}

static void
start_store(void)
{
    AUTO_BUF m = BUF_INIT(100);
    struct shm shm;

    store = peer(ROLE_STORE);
    msg_arena_put(&m, &(struct msg_arena){ARENA_REPLIES, ROLE_STORE, 0, REPLIES});
    CHECK_INT(0, ipc_send(control, MSG_ARENA, buf_slice(&m), replies_reader), ST_OK);
    CHECK_INT(1, shm_map(&shm, replies, REPLIES, true, NULL), ST_OK);
    channel_set_out(store, shm);
}

/* logind gives pop3d a connection; the client's end is *client. */
static enum status
adopt_as(uint64_t conn, const char *ticket, const char *unread, const char *tag, struct stream *client)
{
    AUTO_BUF facts = BUF_INIT(500), m = BUF_INIT(1000);
    static const uint8_t far[18] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0, 25};
    int fds[2];
    enum status st;

    CHECK_INT(conn, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    msg_conn_put(&facts, &(struct msg_conn){.conn = conn,
                                            .service = SERVICE_POP3S,
                                            .peer = slice_from(far, 18),
                                            .local = slice_from(far, 18),
                                            .tls = 1});
    msg_conn_adopt_put(
        &m, &(struct msg_conn_adopt){buf_slice(&facts), slice_of(ticket), slice_of(tag), slice_of(unread)});
    stream_init(client, loop, fds[0]);
    st = ipc_call(login, MSG_CONN_ADOPT, buf_slice(&m), fds[1], soon(), NULL);
    close(fds[1]);
    return st;
}

static enum status
adopt(uint64_t conn, const char *ticket, const char *unread, struct stream *client)
{
    return adopt_as(conn, ticket, unread, "", client);
}

static void
talk(struct stream *client, int scene, const char *const *lines)
{
    for (int i = 0; lines[i] != NULL; i++) {
        struct slice want = slice_skip(slice_of(lines[i]), 2), got;

        if (lines[i][0] == '<') {
            enum status st = stream_line(client, 4000, soon(), &got);

            if (st != ST_OK)
                fail_msg("scene %d line %d: %s instead of \"%s\"", scene, i, status_name(st), lines[i]);
            if (want.n > 0 && want.p[want.n - 1] == '*')
                want.n--, got = slice_sub(got, 0, want.n);
            CHECK_SLICE(scene * 100 + i, got, want);
        } else {
            CHECK_INT(i, stream_put(client, want, soon()), ST_OK);
            if (lines[i][0] == '>')
                stream_puts(client, "\r\n");
        }
    }
}

#define TALK(client, scene, ...) talk((client), (scene), (const char *const[]){__VA_ARGS__, NULL})

static void
wants_end(struct stream *client, uint64_t conn)
{
    struct slice rest;

    CHECK_INT(conn, stream_some(client, 100, soon(), &rest), ST_CLOSED);
    stream_close(client);
    SOON(conn, seen.taken == conn && seen.done == conn && seen.closed == seen.handle);
    seen.closed = 0;
}

/* --- scenes --- */

/* RFC 1939 5, 7, RFC 2449 */
static void
transaction(void)
{
    static const uint8_t runs[] = {2, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0};
    struct stream c;

    CHECK_INT(0, adopt(1, "good", "NOOP\r\nST", &c), ST_OK);
    TALK(&c, 1, "< +OK 6 messages, 3200094 octets", "< +OK", "> AT", "< +OK 6 3200094", "> LIST", "< +OK *",
         "< 1 36", "< 2 3000017", "< 3 17", "< 4 6", "< 5 200000", "< 6 18", "< .", "> list 4", "< +OK 4 6", "> LIST 7",
         "< -ERR *", "> UIDL", "< +OK *", "< 1 1234.2", "< 2 1234.3", "< 3 1234.5", "< 4 1234.6",
         "< 5 1234.8", "< 6 1234.9", "< .", "> UIDL 3", "< +OK 3 1234.5", "> RETR 1", "< +OK 36 octets", "< Subject: a",
         "< ", "< ..dot", "< ...", "< line three", "< .", "> TOP 1 0", "< +OK *", "< Subject: a", "< ", "< .",
         "> TOP 1 1", "< +OK *", "< Subject: a", "< ", "< ..dot", "< .", "> RETR 4", "< +OK 6 octets",
         "< no end", "< .", "> RETR 0", "< -ERR *", "> RETR 99", "< -ERR *", "> RETR 3",
         "< -ERR No such message");
    TALK(&c, 2, "> DELE 1", "< +OK *", "> DELE 1", "< -ERR *", "> RETR 1", "< -ERR *", "> STAT",
         "< +OK 5 3200058", "> LIST 1", "< -ERR *", "> RSET", "< +OK *", "> STAT", "< +OK 6 3200094",
         "> CAPA", "< +OK *", "< TOP", "< UIDL", "< PIPELINING", "< RESP-CODES", "< AUTH-RESP-CODE",
         "< EXPIRE NEVER", "< UTF8 USER", "< LANG", "< IMPLEMENTATION *", "< .", "> USER usr1", "< -ERR *", "> XYZ", "< -ERR *",
         "= NOOP\n", "< -ERR Lines end in CR LF");
    TALK(&c, 3, "= DELE 1\r\nDELE 3\r\nDELE 4\r\nLIST\r\nQU", "< +OK *", "< +OK *", "< +OK *", "< +OK *",
         "< 2 3000017", "< 5 200000", "< 6 18", "< .");
    nap();
    CHECK_INT(1, seen.expunges, 0);
    TALK(&c, 4, "> IT", "< +OK Bye");
    wants_end(&c, 1);
    CHECK_INT(2, seen.expunges, 1);
    CHECK_SLICE(3, slice_from(seen.runs, seen.runs_n), slice_from(runs, sizeof runs));
}

/* What is not deleted: without QUIT, and when stored refuses (RFC 1939 6). */
static void
not_deleted(void)
{
    struct stream c;

    CHECK_INT(0, adopt(2, "good", "", &c), ST_OK);
    TALK(&c, 1, "< +OK *", "> DELE 1", "< +OK *");
    stream_close(&c);
    SOON(1, seen.done == 2 && seen.closed == seen.handle && seen.expunges == 1);

    seen.expunge = ST_NOSPACE;
    CHECK_INT(2, adopt(3, "good", "DELE 1\r\nQUIT\r\n", &c), ST_OK);
    TALK(&c, 2, "< +OK *", "< +OK *", "< -ERR [SYS/TEMP] some deleted messages not removed");
    wants_end(&c, 3);
    seen.expunge = ST_OK;

    seen.empty = true;
    CHECK_INT(3, adopt(4, "good", "", &c), ST_OK);
    TALK(&c, 3, "< +OK 0 messages, 0 octets", "> STAT", "< +OK 0 0", "> LIST", "< +OK *", "< .", "> DELE 1",
         "< -ERR *", "> QUIT", "< +OK *");
    wants_end(&c, 4);
    seen.empty = false;
    CHECK_INT(4, seen.expunges, 2);
}

/* A large message, whose client is slow at first: pop3d reads no more than it can send. */
static void
large(void)
{
    AUTO_BUF got = BUF_INIT(BIG + 1000);
    struct slice piece;
    struct stream c;
    uint32_t before = seen.reads;

    CHECK_INT(0, adopt(5, "good", "RETR 2\r\nNOOP\r\n", &c), ST_OK);
    TALK(&c, 1, "< +OK *", "< +OK 3000017 octets");
    nap();
    CHECK(1, seen.reads - before > 0 && seen.reads - before < 16); /* of 46 */
    while (got.n < BIG + 3) {
        CHECK_INT(2, stream_some(&c, BIG + 3 - got.n, soon(), &piece), ST_OK);
        buf_put(&got, piece);
    }
    CHECK(3, memcmp(got.p, big, BIG) == 0 && memcmp(got.p + BIG, ".\r\n", 3) == 0);
    TALK(&c, 2, "< +OK", "> QUIT", "< +OK *");
    wants_end(&c, 5);
}

/* A failure in the middle can only be told by an end without the dot. */
static void
broken_read(void)
{
    struct stream c;
    struct slice piece;
    size_t n = 0;
    uint8_t last = 0;

    CHECK_INT(0, adopt(6, "good", "DELE 1\r\nRETR 5\r\nQUIT\r\n", &c), ST_OK);
    TALK(&c, 1, "< +OK *", "< +OK *", "< +OK 200000 octets");
    while (stream_some(&c, 65536, soon(), &piece) == ST_OK)
        n += piece.n, last = piece.p[piece.n - 1];
    CHECK(1, n < 200000 && last == 'x');
    stream_close(&c);
    SOON(2, seen.done == 6 && seen.expunges == 2);
}

/* A session outlives stored and authd (MSG_HANDLE_RENEW); who has no ticket gets none. */
static void
restarts(void)
{
    struct stream c, d;

    CHECK_INT(0, adopt(7, "good", "", &c), ST_OK);
    TALK(&c, 1, "< +OK *");
    channel_free(store);
    channel_free(auth);
    seen.handle = 4712;
    TALK(&c, 2, "> RETR 1");
    nap();
    auth = peer(ROLE_AUTH);
    start_store();
    TALK(&c, 3, "< +OK 36 octets", "< Subject: a", "< ", "< ..dot", "< ...", "< line three", "< .",
         "> DELE 1", "< +OK *", "> QUIT", "< +OK Bye");
    wants_end(&c, 7);
    CHECK(1, seen.renewed == 1 && seen.expunges == 3);

    CHECK_INT(5, adopt(11, "good", "", &c), ST_OK); /* INBOX is deleted under it */
    seen.gone = true;
    TALK(&c, 4, "< +OK *", "> RETR 1", "< -ERR [SYS/TEMP] *");
    wants_end(&c, 11);
    seen.gone = false;

    seen.done = 0;
    CHECK_INT(2, adopt(8, "bad", "", &d), ST_STALE);
    CHECK_INT(3, stream_more(&d, soon()),
              ST_CLOSED); /* pop3d has it no more, and it was logind's all the time */
    CHECK(4, seen.done == 0 && seen.taken == 11);
    stream_close(&d);
}

/* RFC 1939 4, RFC 2449 8.1: one session a maildrop, free again however the session ends; RFC 6856 2.1, 5 */
static void
locked(void)
{
    struct stream c, d;
    uint64_t begun;

    CHECK_INT(0, adopt(12, "good", "", &c), ST_OK);
    TALK(&c, 1, "< +OK *");
    CHECK_INT(1, adopt(13, "good", "", &d), ST_EXISTS);
    stream_close(&d);
    TALK(&c, 2, "> UTF8", "< -ERR *", "> LANG", "< +OK *", "< en English", "< i-default English", "< .", "> LANG es",
         "< -ERR *", "> LANG en", "< +OK en *", "> NOOP", "< +OK");
    stream_close(&c); /* cut, without QUIT */
    begun = clock_mono();
    CHECK_INT(2, adopt(14, "good", "", &c), ST_OK);
    CHECK(2, clock_mono() - begun < SECONDS(2));
    TALK(&c, 3, "< +OK *", "> RETR 6", "< +OK *", "< Subject: \xc3\xb1", "< ", "< x", "< .", "> QUIT", "< +OK Bye");
    wants_end(&c, 14);
    seen.handle++; /* stored is asked in vain: the lock of what did not become a session is given back too */
    seen.gone = true;
    CHECK_INT(3, adopt(15, "good", "", &d), ST_STALE);
    stream_close(&d);
    seen.gone = false;
}

static void
reload(const char *settings)
{
    AUTO_BUF m = BUF_INIT(500);

    msg_reload_put(&m, &(struct msg_reload){slice_of(settings)});
    CHECK_INT(0, ipc_call(control, MSG_RELOAD, buf_slice(&m), -1, soon(), NULL), ST_OK);
}

/* pop3_utf8_strict and pop3_login_delay */
static void
settings(void)
{
    struct stream c, d;

    reload("pop3_utf8_strict = yes\npop3_login_delay = 1h\n");
    CHECK_INT(0, adopt(16, "good", "", &c), ST_OK);
    TALK(&c, 1, "< +OK *", "> RETR 6", "< -ERR [UTF8] *", "> TOP 6 1", "< -ERR [UTF8] *", "> TOP 1 0", "< +OK *",
         "< Subject: a", "< ", "< .", "> CAPA", "< +OK *", "< TOP", "< UIDL", "< PIPELINING", "< RESP-CODES",
         "< AUTH-RESP-CODE", "< EXPIRE NEVER", "< UTF8 USER", "< LANG", "< LOGIN-DELAY 3600", "< IMPLEMENTATION *", "< .",
         "> QUIT", "< +OK Bye");
    wants_end(&c, 16);
    CHECK_INT(1, adopt(17, "good", "", &d), ST_LIMIT);
    stream_close(&d);
    reload("pop3_utf8_strict = yes\n");
    seen.other = true; /* another account */
    CHECK_INT(2, adopt_as(18, "good", "", ADOPT_UTF8, &c), ST_OK);
    TALK(&c, 2, "< +OK *", "> RETR 6", "< +OK *", "< Subject: \xc3\xb1", "< ", "< x", "< .", "> QUIT", "< +OK Bye");
    wants_end(&c, 18);
}

static void
limits(void)
{
    static uint8_t line[300];
    struct stream c;

    CHECK_INT(0, adopt(9, "good", "", &c), ST_OK);
    TALK(&c, 1, "< +OK *");
    for (int i = 0; i < 20; i++)
        TALK(&c, 2, "> XYZ", "< -ERR Unknown command");
    TALK(&c, 3, "< -ERR Too many errors");
    wants_end(&c, 9);

    memset(line, 'y', sizeof line);
    CHECK_INT(1, adopt(10, "good", "", &c), ST_OK);
    TALK(&c, 4, "< +OK *");
    CHECK_INT(2, stream_put(&c, slice_from(line, sizeof line), soon()), ST_OK);
    TALK(&c, 5, "> ", "< -ERR Line too long", "> NOOP", "< +OK");
    CHECK_INT(3, stream_put(&c, slice_from(line, sizeof line), soon()), ST_OK);
    TALK(&c, 6, "< -ERR Line too long");
    wants_end(&c, 10);
}

static void
play(void *arg)
{
    AUTO_BUF m = BUF_INIT(1000);
    struct stream c;

    memset(big, 'x', sizeof big);
    for (size_t i = 0; i + 80 < sizeof big; i += 80)
        memcpy(big + i + 78, "\r\n", 2);
    memcpy(big + sizeof big - 2, "\r\n", 2);
    for (size_t i = 0; i < COUNT(messages); i++)
        if (messages[i].text != NULL)
            messages[i].size = strlen(messages[i].text);
    msg_boot_put(&m, &(struct msg_boot){.role = ROLE_POP3,
                                        .root = SLICE("/tmp"),
                                        .confinement = SLICE("class=parser"),
                                        .settings = SLICE("hostname = mail.d.example\n")});
    CHECK_INT(0, ipc_send(control, MSG_BOOT, buf_slice(&m), -1), ST_OK);
    edge = peer(ROLE_EDGE), login = peer(ROLE_LOGIN), auth = peer(ROLE_AUTH);
    start_store();
    CHECK_INT(1, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    transaction();
    not_deleted();
    large();
    broken_read();
    restarts();
    limits();
    locked();
    settings();
    CHECK_INT(2, adopt(20, "good", "", &c), ST_OK);
    TALK(&c, 1, "< +OK *", "> DELE 1", "< +OK *");
    CHECK_INT(3, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    TALK(&c, 2, "< -ERR [SYS/TEMP] Shutting down*");
    CHECK_INT(4, seen.expunges, 3);
    stream_close(&c);
    channel_free(edge), channel_free(login), channel_free(auth), channel_free(store);
    played = true;
    if (ended)
        loop_stop(loop);
}

TEST(life)
{
    int fds[2], status = -1;
    pid_t pid;

    replies = memfd_sized("replies", REPLIES);
    CHECK(0, replies >= 0 && (replies_reader = memfd_readonly(replies)) >= 0);
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    pid = fork();
    if (pid == 0) {
        if (fds[1] == 3)
            (void)fcntl(3, F_SETFD, 0);
        else
            dup2(fds[1], 3);
        setenv("ASAN_OPTIONS", "detect_leaks=0",
               1); /* a leak check at the end needs calls that confinement forbids */
        execl(program, "pop3d", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    CHECK_INT(1, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(2, channel_new(loop, fds[0], ROLE_POP3, 0, routes, on_end, &control), ST_OK);
    CHECK_INT(3, fiber_spawn(loop, play, NULL), ST_OK);
    CHECK_INT(4, loop_run(loop, NULL), ST_OK);
    CHECK_INT(5, waitpid(pid, &status, 0), pid);
    CHECK_INT(6, status, 0);
    channel_free(control);
    loop_free(loop);
    close(replies);
    close(replies_reader);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_life)};

    program = argc > 1 ? argv[1] : "./pop3d";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
