/*
 * logind as it is started: this test plays estafetad, edged, authd, imapd, pop3d and the clients. argv[1] is
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

static const char *program;
static pid_t pid; /* of logind */
static struct loop *loop;
static bool played, ended; /* the conversations; logind */
static struct channel *control, *edge, *auth, *imap, *pop3;

/* What was last seen by those whom we play. */
static struct {
    uint64_t done, tls, aborted, sasl_conn;
    int tls_fd, adopted_fd;
    enum status adopt;
    uint8_t ticket[64], tag[64], unread[64], facts[256], initial[64];
    size_t ticket_n, tag_n, unread_n, facts_n, initial_n;
    int starts;
} seen = {.tls_fd = -1, .adopted_fd = -1};

static void
keep(uint8_t *to, size_t *n, size_t most, struct slice from)
{
    CHECK(from.n, from.n <= most);
    memcpy(to, from.p, from.n);
    *n = from.n;
}

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
on_tls(struct ipc_request *r)
{
    struct msg_conn_id m = {0};

    CHECK(0, msg_conn_id_get(r->payload, &m));
    seen.tls = m.conn;
    seen.tls_fd = r->fd;
    r->fd = -1;
    return ST_OK;
}

static void
answer_sasl(struct ipc_sender to, enum status st, struct slice data, bool ok)
{
    AUTO_BUF b = BUF_INIT(1024);

    msg_sasl_put(&b, &(struct msg_sasl){data, ok ? SLICE("0123456789abcdef") : SLICE(""),
                                        ok ? SLICE("usr1@d.example") : SLICE("")});
    ipc_answer(to, st, buf_slice(&b));
}

/* PLAIN by password; "X-CHAT" asks twice and ends with data, as SCRAM does. */
static enum status
on_start(struct ipc_request *r)
{
    struct msg_sasl_start m = {0};
    struct slice data;

    CHECK(0, msg_sasl_start_get(r->payload, &m));
    seen.starts++;
    seen.sasl_conn = m.conn;
    keep(seen.initial, &seen.initial_n, sizeof seen.initial, m.initial);
    data = m.initial;
    if (slice_eq(m.mechanism, SLICE("X-CHAT")))
        answer_sasl(r->from, ST_MORE, m.has_initial ? SLICE("again") : SLICE(""), false);
    else if (!slice_eq_nocase(m.mechanism, SLICE("PLAIN")))
        answer_sasl(r->from, ST_UNSUPPORTED, SLICE(""), false);
    else if (!m.has_initial)
        answer_sasl(r->from, ST_MORE, SLICE(""), false);
    else if (slice_eq(data, slice_from("\0usr1\0right", 11)))
        answer_sasl(r->from, ST_OK, SLICE(""), true);
    else if (slice_eq(data, slice_from("\0usr1\0later", 11)))
        answer_sasl(r->from, ST_UNAVAILABLE, SLICE(""), false);
    else if (slice_eq(data, slice_from("\0usr1\0clear", 11)))
        answer_sasl(r->from, ST_STATE, SLICE(""), false);
    else
        answer_sasl(r->from, ST_DENIED, SLICE(""), false);
    return ST_OK;
}

static enum status
on_step(struct ipc_request *r)
{
    struct msg_sasl_step m = {0};

    CHECK(0, msg_sasl_step_get(r->payload, &m));
    if (slice_eq(m.data, SLICE("more")))
        answer_sasl(r->from, ST_MORE, SLICE("and?"), false);
    else if (slice_eq(m.data, SLICE("proof")))
        answer_sasl(r->from, ST_OK, SLICE("v=server"), true);
    else if (slice_eq(m.data, slice_from("\0usr1\0right", 11)))
        answer_sasl(r->from, ST_OK, SLICE(""), true);
    else
        answer_sasl(r->from, m.data.n == 0 ? ST_SYNTAX : ST_DENIED, SLICE(""), false);
    return ST_OK;
}

static enum status
on_abort(struct ipc_request *r)
{
    struct msg_conn_id m = {0};

    CHECK(0, msg_conn_id_get(r->payload, &m));
    seen.aborted = m.conn;
    return ST_OK;
}

static enum status
on_adopt(struct ipc_request *r)
{
    struct msg_conn_adopt m = {0};

    CHECK(0, msg_conn_adopt_get(r->payload, &m));
    keep(seen.ticket, &seen.ticket_n, sizeof seen.ticket, m.ticket);
    keep(seen.tag, &seen.tag_n, sizeof seen.tag, m.tag);
    keep(seen.unread, &seen.unread_n, sizeof seen.unread, m.unread);
    keep(seen.facts, &seen.facts_n, sizeof seen.facts, m.facts);
    if (seen.adopt == ST_OK) {
        seen.adopted_fd = r->fd;
        r->fd = -1;
    }
    ipc_answer(r->from, seen.adopt, (struct slice){0});
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_READY,        ROLE_BIT(LOGIN), on_ready, false},
    {MSG_CONN_DONE,        ROLE_BIT(LOGIN), on_done, false},
    {MSG_CONN_TLS,                ROLE_BIT(LOGIN), on_tls, true},
    {MSG_SASL_START,ROLE_BIT(LOGIN), on_start, false},
    {MSG_SASL_STEP,           ROLE_BIT(LOGIN), on_step, false},
    {MSG_SASL_ABORT,     ROLE_BIT(LOGIN), on_abort, false},
    {MSG_CONN_ADOPT,          ROLE_BIT(LOGIN), on_adopt, true},
    {0               },
};

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
    fiber_sleep_until(loop_now(loop) + MSEC(30));
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
    CHECK_INT(role, channel_new(loop, fds[0], ROLE_LOGIN, 0, routes, NULL, &ch), ST_OK);
    return ch;
}

struct from {
    uint64_t conn;
    uint8_t service, tls;
    bool local; /* from this host */
};

static void
facts(struct from from, struct buf *m)
{
    static const uint8_t far[18] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0, 25};
    static const uint8_t near[18] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, 0, 25};
    struct slice address = slice_from(from.local ? near : far, 18);

    msg_conn_put(
        m,
        &(struct msg_conn){
            .conn = from.conn, .service = from.service, .peer = address, .local = address, .tls = from.tls});
}

/* edged gives logind a connection; the client's end is *client. */
static void
connect_client(struct from from, struct stream *client)
{
    AUTO_BUF m = BUF_INIT(500);
    int fds[2];

    CHECK_INT(from.conn, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    facts(from, &m);
    CHECK_INT(from.conn, ipc_send(edge, MSG_CONN, buf_slice(&m), fds[1]), ST_OK);
    close(fds[1]);
    stream_init(client, loop, fds[0]);
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
    SOON(conn, seen.done == conn);
}

#define CAPABILITY_TLS   "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256"
#define CAPABILITY_CLEAR "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256"
#define CAPABILITY_LOCAL                                                                                     \
    "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS AUTH=PLAIN AUTH=LOGIN AUTH=SCRAM-SHA-256"

/* The connection is now imapd's or pop3d's: what it writes arrives, and logind says no more. */
static void
wants_adopted(struct stream *client, const char *tag, const char *unread, struct from from)
{
    AUTO_BUF f = BUF_INIT(500);
    struct slice line;

    SOON(0, seen.adopted_fd >= 0);
    facts(from, &f);
    CHECK_SLICE(1, slice_from(seen.ticket, seen.ticket_n), "0123456789abcdef");
    CHECK_SLICE(2, slice_from(seen.tag, seen.tag_n), tag);
    CHECK_SLICE(3, slice_from(seen.unread, seen.unread_n), unread);
    CHECK_SLICE(4, slice_from(seen.facts, seen.facts_n), buf_slice(&f));
    CHECK_INT(5, write(seen.adopted_fd, "mine\r\n", 6), 6);
    CHECK_INT(6, stream_line(client, 100, soon(), &line), ST_OK);
    CHECK_SLICE(7, line, "mine");
    close(seen.adopted_fd);
    seen.adopted_fd = -1;
    CHECK_INT(8, stream_line(client, 100, soon(), &line), ST_CLOSED); /* logind does not have it any more */
    CHECK(9, seen.done != from.conn);
    stream_close(client);
}

/* RFC 3501 6.1, 6.2.3, RFC 2971, RFC 5530 */
static void
imap_login(void)
{
    struct from from = {1, SERVICE_IMAPS, 1, false};
    struct stream c;

    connect_client(from, &c);
    TALK(&c, 1, "< * OK [CAPABILITY " CAPABILITY_TLS "] mail.d.example ready", "> a1 capability",
         "< * CAPABILITY " CAPABILITY_TLS, "< a1 OK *", "> a2 NOOP", "< a2 OK *",
         "> a3 ID (\"name\" \"test\" \"version\" NIL)", "< * ID (\"name\" \"Estafeta\")", "< a3 OK *",
         "> a4 ID NIL", "< * ID *", "< a4 OK *", "> a5 ID (\"name\")", "< a5 BAD *", "> a6 SELECT INBOX",
         "< a6 BAD Not before the login", "> nonsense", "< nonsense BAD *", "> ", "< * BAD *",
         "> a7 STARTTLS", "< a7 BAD TLS is already active", "> a8 LOGIN usr1 wrong",
         "< a8 NO [AUTHENTICATIONFAILED] *", "> a9 LOGIN usr1 later", "< a9 NO [UNAVAILABLE] *",
         "> b1 LOGIN usr1 \"\"", "< b1 NO [AUTHENTICATIONFAILED] *", "> b2 LOGIN usr1", "< b2 BAD *",
         "> b3 LOGIN {4}", "< + *", "> usr1 {5}", "< + *", "= wrong", "> ",
         "< b3 NO [AUTHENTICATIONFAILED] *");
    seen.adopt = ST_STALE; /* imapd cannot: the client may try again */
    TALK(&c, 2, "> b4 LOGIN usr1 right", "< b4 NO [UNAVAILABLE] *");
    seen.adopt = ST_OK;
    TALK(&c, 3, "> b5 LOGOUT", "< * BYE *", "< b5 OK *");
    wants_end(&c, 1);

    from.conn = 5;
    connect_client(from, &c);
    TALK(&c, 4, "< * OK *", "= b5 login {4+}\r\nusr1 \"ri\\", "= ght\"\r\n", "< b5 BAD *",
         "= b6 login {4+}\r\nusr1 \"right\"\r\nb7 SELECT INBOX\r\nb8 FE");
    wants_adopted(&c, "b6", "b7 SELECT INBOX\r\nb8 FE", from);
}

/* RFC 3501 6.2.2, RFC 4959 */
static void
imap_authenticate(void)
{
    struct from from = {2, SERVICE_IMAP, 0, true};
    struct stream c;

    connect_client(from, &c);
    TALK(&c, 1, "< * OK [CAPABILITY " CAPABILITY_LOCAL "] *", "> a1 AUTHENTICATE NONE", "< a1 NO *",
         "> a2 AUTHENTICATE PLAIN", "< + ", "> *", "< a2 BAD *");
    SOON(1, seen.aborted == 2);
    TALK(&c, 2, "> a3 AUTHENTICATE PLAIN AHVzcjEAd3Jvbmc=", "< a3 NO [AUTHENTICATIONFAILED] *",
         "> a4 AUTHENTICATE PLAIN", "< + ", "> not base64", "< a4 BAD *",
         "> a5 AUTHENTICATE X-CHAT =", "< + YWdhaW4=", "= bW9y",
         "> ZQ==", "< + YW5kPw==", "> bW9yZQ==", "< + YW5kPw==", "> cHJvb2Y=", "< + dj1zZXJ2ZXI=", "> *",
         "< a5 BAD *", /* it did not like the server's proof */
         "> a6 AUTHENTICATE X-CHAT", "< + ", "> cHJvb2Y=", "< + dj1zZXJ2ZXI=");
    CHECK_INT(2, seen.sasl_conn, 2);
    TALK(&c, 3, "> "); /* RFC 5802 5.1 over RFC 3501: an empty answer */
    wants_adopted(&c, "a6", "", from);

    from.conn = 3;
    connect_client(from, &c);
    TALK(&c, 4, "< *", "> a AUTHENTICATE plain AHVzcjEAcmlnaHQ=");
    wants_adopted(&c, "a", "", from);
}

/* RFC 3501 6.2.1 and what must not be: a password in clear, and commands from before TLS. */
static void
imap_starttls(void)
{
    struct from from = {4, SERVICE_IMAP, 0, false};
    struct stream c, d;
    int starts = seen.starts;

    connect_client(from, &c);
    TALK(&c, 1, "< * OK [CAPABILITY " CAPABILITY_CLEAR "] *", "> a1 LOGIN usr1 right",
         "< a1 NO [PRIVACYREQUIRED] *");
    CHECK_INT(1, seen.starts, starts); /* not even carried */
    TALK(&c, 2, "> a2 AUTHENTICATE PLAIN AHVzcjEAY2xlYXI=", "< a2 NO [PRIVACYREQUIRED] *",
         "= a3 STARTTLS\r\na4 NOOP\r\n", "< a3 BAD *", "< a4 OK *", "> a5 STARTTLS", "< a5 OK *");
    SOON(2, seen.tls == 4 && seen.tls_fd >= 0 && seen.done != 4);
    /* The handshake is over: the same connection, the same socket in this test, no second greeting. */
    from.tls = 1;
    connect_client(from, &d);
    TALK(&d, 3, "> a6 CAPABILITY", "< * CAPABILITY " CAPABILITY_TLS, "< a6 OK *", "> a7 LOGOUT", "< * BYE *",
         "< a7 OK *");
    wants_end(&d, 4);
    close(seen.tls_fd);
    seen.tls_fd = -1;
    stream_close(&c);
}

/* Each ends in a clear reply and a closed connection. */
static void
limits(void)
{
    struct stream c;
    char tag[32];

    connect_client((struct from){10, SERVICE_IMAPS, 1, false}, &c);
    TALK(&c, 1, "< * OK *");
    for (int i = 0; i < 10; i++) {
        (void)snprintf(tag, sizeof tag, "< t%d BAD *", i);
        TALK(&c, 2, (char[]){'>', ' ', 't', (char)('0' + i), ' ', 'X', 0}, tag);
    }
    TALK(&c, 3, "< * BYE Too many errors");
    wants_end(&c, 10);

    connect_client((struct from){11, SERVICE_IMAPS, 1, false}, &c);
    TALK(&c, 4, "< * OK *", "> a LOGIN usr1 {20000}", "< a BAD *", "> b LOGIN usr1 {5000+}", "< b BAD *",
         "< * BYE *");
    wants_end(&c, 11);

    connect_client((struct from){12, SERVICE_IMAPS, 1, false}, &c);
    TALK(&c, 5, "< * OK *");
    for (int i = 0; i < 13; i++) {
        static uint8_t block[1000];

        memset(block, 'x', sizeof block);
        CHECK_INT(i, stream_put(&c, slice_from(block, sizeof block), soon()), ST_OK);
    }
    TALK(&c, 6, "< * BAD Line too long", "< * BYE *");
    wants_end(&c, 12);

    connect_client((struct from){13, SERVICE_POP3S, 1, false}, &c); /* silent, then half a command */
    connect_client((struct from){14, SERVICE_IMAPS, 1, false}, &c);
    TALK(&c, 7, "< * OK *", "= a LOGI", "< * BYE It took too long to log in"); /* login_timeout = 1s */
    wants_end(&c, 14);
}

/* RFC 1939 4, 7, RFC 2449, RFC 2595, RFC 5034 */
static void
pop3_login(void)
{
    struct from from = {20, SERVICE_POP3S, 1, false};
    struct stream c;

    connect_client(from, &c);
    TALK(&c, 1, "< +OK mail.d.example POP3 ready", "> CAPA", "< +OK *", "< TOP", "< UIDL", "< PIPELINING",
         "< RESP-CODES", "< AUTH-RESP-CODE", "< EXPIRE NEVER", "< USER", "< UTF8 USER", "< LANG", "< SASL PLAIN LOGIN SCRAM-SHA-256",
         "< IMPLEMENTATION *", "< .", "> STAT", "< -ERR *", "> NOOP", "< -ERR *", "> STLS", "< -ERR *",
         "> PASS right", "< -ERR *", "= USER usr1\r\nPASS wrong\r\n", "< +OK *", "< -ERR [AUTH] *",
         "> PASS right", "< -ERR USER comes first", "> USER usr1", "< +OK *", "> PASS later",
         "< -ERR [SYS/TEMP] *", "> AUTH PLAIN", "< + ", "> *", "< -ERR *", "> AUTH X-CHAT", "< + ",
         "> cHJvb2Y=", "< + dj1zZXJ2ZXI=");
    seen.adopt = ST_UNAVAILABLE;
    TALK(&c, 2, "> ", "< -ERR [SYS/TEMP] *");
    seen.adopt = ST_OK;
    seen.adopt = ST_EXISTS; /* RFC 2449 8.1.2, 8.1.1 */
    TALK(&c, 2, "> USER usr1", "< +OK *", "> PASS right", "< -ERR [IN-USE] *");
    seen.adopt = ST_LIMIT;
    TALK(&c, 2, "> USER usr1", "< +OK *", "> PASS right", "< -ERR [LOGIN-DELAY] *");
    seen.adopt = ST_OK;
    TALK(&c, 3, "= USER usr1\r\nPASS right\r\nSTAT\r\n", "< +OK *");
    wants_adopted(&c, "", "STAT\r\n", from);

    from = (struct from){21, SERVICE_POP3, 0, false};
    connect_client(from, &c);
    TALK(&c, 4, "< +OK *", "> USER usr1", "< -ERR *", "> CAPA", "< +OK *", "< TOP", "< UIDL", "< PIPELINING",
         "< RESP-CODES", "< AUTH-RESP-CODE", "< EXPIRE NEVER", "< STLS", "< UTF8 USER", "< LANG", "< SASL SCRAM-SHA-256",
         "< IMPLEMENTATION *", "< .", "> AUTH", "< +OK *", "< SCRAM-SHA-256", "< .", "= STLS\r\nQUIT\r\n",
         "< -ERR *", "< +OK Bye");
    wants_end(&c, 21);

    from.conn = 22;
    connect_client(from, &c);
    TALK(&c, 5, "< +OK *", "= CAPA\n", "< -ERR Lines end in CR LF", "> STLS", "< +OK *");
    SOON(5, seen.tls == 22);
    close(seen.tls_fd);
    stream_close(&c);
}

/* RFC 6856 2.1: what was said of UTF-8 goes on with the connection */
static void
pop3_utf8(void)
{
    struct from from = {23, SERVICE_POP3, 0, true};
    struct stream c;

    connect_client(from, &c);
    TALK(&c, 1, "< +OK *", "> LANG", "< +OK *", "< en English", "< i-default English", "< .", "> LANG *",
         "< +OK en *", "> LANG I-DEFAULT", "< +OK i-default *", "> LANG uy", "< -ERR *", "> UTF8 x", "< -ERR *",
         "> UTF8", "< +OK *", "> STLS", "< -ERR Not after UTF8", "> USER usr1", "< +OK *", "> PASS right");
    wants_adopted(&c, ADOPT_UTF8, "", from);
}

/* imapd and authd die and come back; at the end all are told that it is over. */
static void
restarts(void)
{
    struct from from = {30, SERVICE_IMAPS, 1, false};
    struct stream c;

    connect_client(from, &c);
    channel_free(auth);
    channel_free(imap);
    TALK(&c, 1, "< * OK *", "> a LOGIN usr1 right");
    nap();
    auth = peer(ROLE_AUTH);
    nap();
    imap = peer(ROLE_IMAP);
    wants_adopted(&c, "a", "", from);
}

/* How often the bytes are in logind's memory, or -1 when it may not be looked at. */
static int
in_memory(struct slice bytes)
{
    static uint8_t block[1 << 20];
    char name[64], line[512];
    unsigned long from, to;
    int mem, found = 0;
    FILE *maps;

    (void)snprintf(name, sizeof name, "/proc/%d/mem", (int)pid);
    mem = open(name, O_RDONLY | O_CLOEXEC);
    (void)snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    maps = fopen(name, "re");
    if (mem < 0 || maps == NULL)
        return -1;
    while (fgets(line, sizeof line, maps) != NULL) {
        char rights[8];

        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' || to - from > 1ul << 32)
            continue; /* shadow memory of the sanitizers is no one's */
        for (; from < to; from += sizeof block - 256) {
            ssize_t n = pread(mem, block, to - from < sizeof block ? to - from : sizeof block, (off_t)from);

            if (n > 0)
                found += memmem(block, (size_t)n, bytes.p, bytes.n) != NULL;
        }
    }
    (void)fclose(maps);
    close(mem);
    return found;
}

/* docs/security.md: who takes logind over finds no password that was given before. */
static void
nothing_left(void)
{
    struct stream c;
    int here;

    connect_client((struct from){50, SERVICE_IMAPS, 1, false}, &c);
    TALK(&c, 1, "< * OK *", "> a LOGIN usr1 nothing-left-behind", "< a NO *",
         "> b LOGIN usr1 \"\\\"nothing-left-behind\"", "< b NO *", "> c LOGIN usr1 {19}", "< + *",
         "= nothing-left-behind", "> ", "< c NO *",
         "> d AUTHENTICATE PLAIN AHVzcjEAbm90aGluZy1sZWZ0LWJlaGluZA==", "< d NO *", "> e AUTHENTICATE PLAIN",
         "< + ", "> AHVzcjEAbm90aGluZy1sZWZ0LWJlaGluZA==", "< e NO *", "= f LOGIN usr1 nothing-left",
         "= -behind\r\n", "< f NO *");
    stream_close(&c);
    connect_client((struct from){51, SERVICE_POP3S, 1, false}, &c);
    TALK(&c, 2, "< +OK *", "= USER usr1\r\nPASS nothing-left-behind\r\n", "< +OK *", "< -ERR *",
         "> AUTH PLAIN", "< + ", "> AHVzcjEAbm90aGluZy1sZWZ0LWJlaGluZA==", "< -ERR *");
    here =
        in_memory(SLICE("mail.d.example")); /* a setting: it is seen, so that what is not seen is not there */
    if (here >= 0)
        CHECK(3, here > 0);
    CHECK(4, in_memory(SLICE("nothing-left-behind")) <= 0);
    CHECK(5, in_memory(SLICE("bm90aGluZy1sZWZ0LWJlaGluZA")) <= 0);
    stream_close(&c);
}

/* Clients that stop in the middle keep no fiber, of which there are 4,096. */
static void
halves(void)
{
    static struct stream clients[80];
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct msg_text text = {0};
    uint64_t most = 0;
    struct slice at;

    for (size_t i = 0; i < COUNT(clients); i++) {
        connect_client((struct from){100 + i, i % 2 ? SERVICE_POP3S : SERVICE_IMAPS, 1, false}, &clients[i]);
        if (i % 2)
            TALK(&clients[i], 1, "< +OK *", "= AUTH PLA");
        else
            TALK(&clients[i], 2, "< * OK *", "> a AUTHENTICATE PLAIN", "< + ", "= AAA");
    }
    nap();
    CHECK_INT(1, ipc_call(control, MSG_STATS, (struct slice){0}, -1, soon(), &reply), ST_OK);
    CHECK(2, msg_text_get(buf_slice(&reply), &text));
    at = slice_skip(text.text, slice_find_slice(text.text, SLICE("fibers_most ")));
    CHECK(3, take_literal(&at, SLICE("fibers_most ")) && take_number(&at, UINT32_MAX, &most));
    CHECK(4, most > 0 && most < 20);
    for (size_t i = 0; i < COUNT(clients); i++)
        stream_close(&clients[i]);
}

static void
play(void *arg)
{
    AUTO_BUF m = BUF_INIT(1000);
    struct stream c;

    msg_boot_put(&m,
                 &(struct msg_boot){.role = ROLE_LOGIN,
                                    .root = SLICE("/tmp"),
                                    .confinement = SLICE("class=parser"),
                                    .settings = SLICE("hostname = mail.d.example\nlogin_timeout = 1m\n")});
    CHECK_INT(0, ipc_send(control, MSG_BOOT, buf_slice(&m), -1), ST_OK);
    edge = peer(ROLE_EDGE), auth = peer(ROLE_AUTH), imap = peer(ROLE_IMAP), pop3 = peer(ROLE_POP3);
    CHECK_INT(1, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    imap_login();
    imap_authenticate();
    imap_starttls();
    pop3_login();
    pop3_utf8();
    restarts();
    nothing_left();
    halves();
    buf_clear(&m);
    msg_reload_put(&m, &(struct msg_reload){SLICE("login_timeout = 1s\n")});
    CHECK_INT(2, ipc_call(control, MSG_RELOAD, buf_slice(&m), -1, soon(), NULL), ST_OK);
    limits();
    connect_client((struct from){40, SERVICE_IMAPS, 1, false}, &c);
    TALK(&c, 1, "< * OK *");
    CHECK_INT(3, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    TALK(&c, 2, "< * BYE Shutting down*");
    stream_close(&c);
    channel_free(edge), channel_free(auth), channel_free(imap), channel_free(pop3);
    played = true;
    if (ended)
        loop_stop(loop);
}

TEST(life)
{
    int fds[2], status = -1;

    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    pid = fork();
    if (pid == 0) {
        if (fds[1] == 3)
            (void)fcntl(3, F_SETFD, 0);
        else
            dup2(fds[1], 3);
        setenv("ASAN_OPTIONS", "detect_leaks=0",
               1); /* a leak check at the end needs calls that confinement forbids */
        execl(program, "logind", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    CHECK_INT(1, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(2, channel_new(loop, fds[0], ROLE_LOGIN, 0, routes, on_end, &control), ST_OK);
    CHECK_INT(3, fiber_spawn(loop, play, NULL), ST_OK);
    CHECK_INT(4, loop_run(loop, NULL), ST_OK);
    CHECK_INT(5, waitpid(pid, &status, 0), pid);
    CHECK_INT(6, status, 0);
    channel_free(control);
    loop_free(loop);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_life)};

    program = argc > 1 ? argv[1] : "./logind";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
