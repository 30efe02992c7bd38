/*
 * edged and keyd as they are started: this test plays estafetad, authd, the services and the clients.
 * argv: edged, keyd; with a third, a number of seconds, it serves IMAPS that long for measurements, each
 * session ending at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/test.h"
#include "ipc/channel.h"
#include "sys/fd.h"
#include "tls/selfsigned.h"

static const char *edged_path, *keyd_path;
static char root[] = "/tmp/edged-XXXXXX";
static struct loop *loop;
static pid_t edged, keyd;
static struct channel *edged_control, *keyd_control, *auth, *smtp, *submit, *login, *imap;
static uint16_t ports[SERVICE_COUNT];
static bool breach_seen; /* a channel to edged ended */
static unsigned serve_seconds;
static bool hold;
static uint64_t served;

/* --- what came from edged --- */

struct given {
    uint64_t conn;
    struct channel *to;
    uint8_t service, tls;
    char version[32], sni[64];
    uint8_t peer[18], local[18], binding[32];
    size_t binding_n;
    int fd;
};

struct inbox { /* a queue of one kind of message */
    struct given at[64];
    size_t n, taken;
    struct wait *waiting;
};
static struct inbox conns, gone, facts, overs;

static void
deliver(struct inbox *in, const struct given *g)
{
    CHECK(0, in->n < COUNT(in->at));
    in->at[in->n++] = *g;
    if (in->waiting != NULL)
        wait_end(in->waiting, ST_OK);
}

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(30);
}

/* The next message of a kind; fails when none comes. */
static struct given
next(struct inbox *in)
{
    while (in->taken == in->n) {
        struct wait w = WAIT_INIT;

        in->waiting = &w;
        CHECK_INT(0, wait_for(&w, soon()), ST_OK);
        in->waiting = NULL;
    }
    return in->at[in->taken++];
}

static bool
nothing(const struct inbox *in)
{
    return in->taken == in->n;
}

static enum status
on_conn(struct ipc_request *r)
{
    struct msg_conn m;
    struct given g = {0};

    if (!msg_conn_get(r->payload, &m) || m.peer.n != 18 || m.local.n != 18 || m.binding.n > 32)
        return ST_SYNTAX;
    if (serve_seconds > 0) {
        served += r->from.type == MSG_CONN;
        if (hold)
            r->fd = -1; /* never closed: idle sessions, for their memory */
        return ST_OK;
    }
    g = (struct given){.conn = m.conn, .to = r->channel, .service = m.service, .tls = m.tls, .fd = -1};
    (void)slice_to_cstr(m.tls_version, g.version, sizeof g.version);
    (void)slice_to_cstr(m.sni, g.sni, sizeof g.sni);
    memcpy(g.peer, m.peer.p, 18);
    memcpy(g.local, m.local.p, 18);
    memcpy(g.binding, m.binding.p, m.binding.n);
    g.binding_n = m.binding.n;
    if (r->from.type == MSG_CONN) {
        g.fd = r->fd;
        r->fd = -1;
    }
    deliver(r->from.type == MSG_CONN ? &conns : &facts, &g);
    return ST_OK;
}

static enum status
on_id(struct ipc_request *r)
{
    struct msg_conn_id m;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    if (serve_seconds > 0)
        return ST_OK;
    deliver(r->from.type == MSG_CONN_GONE ? &gone : &overs,
            &(struct given){.conn = m.conn, .to = r->channel, .fd = -1});
    return ST_OK;
}

static const struct ipc_route peer_routes[] = {
    {MSG_CONN,        ROLE_BIT(EDGE), on_conn, true},
    {MSG_CONN_FACTS,        ROLE_BIT(EDGE), on_conn, false},
    {MSG_CONN_GONE,               ROLE_BIT(EDGE), on_id, false},
    {MSG_CONN_OVER,ROLE_BIT(EDGE), on_id, false},
    {0         },
};

/* --- starting --- */

static int not_ready;

static enum status
on_ready(struct ipc_request *r)
{
    not_ready--;
    return ST_OK;
}

static const struct ipc_route control_routes[] = {
    {MSG_READY, ROLE_BIT(EDGE) | ROLE_BIT(KEY), on_ready, false},
    {0},
};

static void
on_end(struct channel *ch)
{
    if (ch != edged_control && ch != keyd_control)
        breach_seen = true;
}

static struct channel *
start_program(const char *path, enum role role, const char *settings, const char *confinement, pid_t *pid)
{
    AUTO_BUF m = BUF_INIT(4000);
    struct channel *control = NULL;
    int ends[2];

    CHECK(0, seqpacket_pair(ends));
    *pid = fork();
    if (*pid == 0) {
        if (ends[1] == 3)
            (void)fcntl(3, F_SETFD, 0);
        else
            (void)dup2(ends[1], 3);
        (void)execl(path, path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    CHECK_INT(1, channel_new(loop, ends[0], role, 0, control_routes, on_end, &control), ST_OK);
    msg_boot_put(&m, &(struct msg_boot){.role = (uint16_t)role,
                                        .root = slice_of(root),
                                        .settings = slice_of(settings),
                                        .confinement = slice_of(confinement)});
    CHECK_INT(2, ipc_send(control, MSG_BOOT, buf_slice(&m), -1), ST_OK);
    return control;
}

static void
send_peer(struct channel *control, enum role role, int fd)
{
    AUTO_BUF m = BUF_INIT(100);

    msg_peer_put(&m, &(struct msg_peer){(uint16_t)role, 0});
    CHECK_INT(role, ipc_send(control, MSG_PEER, buf_slice(&m), fd), ST_OK);
    close(fd);
}

/* We are that program, as edged sees it. */
static struct channel *
play_peer(enum role role)
{
    struct channel *ch = NULL;
    int ends[2];

    CHECK(0, seqpacket_pair(ends));
    send_peer(edged_control, role, ends[1]);
    CHECK_INT(1, channel_new(loop, ends[0], ROLE_EDGE, 0, peer_routes, on_end, &ch), ST_OK);
    return ch;
}

static void
listen_for(enum service service)
{
    AUTO_BUF m = BUF_INIT(100);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(0, fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 100) == 0 &&
                 getsockname(fd, (struct sockaddr *)&at, &n) == 0);
    ports[service] = ntohs(at.sin_port);
    msg_listen_put(&m, &(struct msg_listen){(uint8_t)service,
                                            slice_from("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16),
                                            ports[service]});
    CHECK_INT(1, ipc_send(edged_control, MSG_LISTEN, buf_slice(&m), fd), ST_OK);
}

static void
start_keyd(void)
{
    char line[100];
    int ends[2];

    (void)snprintf(line, sizeof line, "class=key read=%s/etc/tls", root);
    keyd_control = start_program(keyd_path, ROLE_KEY, "", line, &keyd);
    CHECK(0, seqpacket_pair(ends));
    send_peer(edged_control, ROLE_KEY, ends[0]);
    send_peer(keyd_control, ROLE_EDGE, ends[1]);
    CHECK_INT(1, ipc_send(keyd_control, MSG_GO, (struct slice){0}, -1), ST_OK);
    not_ready++;
}

static void
wait_ready(void)
{
    for (int i = 0; i < 1000 && not_ready > 0; i++)
        fiber_sleep_until(loop_now(loop) + MSEC(10));
    CHECK_INT(0, not_ready, 0);
}

static void
start(const char *settings)
{
    edged_control = start_program(edged_path, ROLE_EDGE, settings, "class=edge", &edged);
    not_ready = 1;
    start_keyd();
    auth = play_peer(ROLE_AUTH);
    smtp = play_peer(ROLE_SMTP);
    submit = play_peer(ROLE_SUBMIT);
    login = play_peer(ROLE_LOGIN);
    imap = play_peer(ROLE_IMAP);
    for (enum service s = SERVICE_SMTP; s < SERVICE_COUNT; s++)
        listen_for(s);
    CHECK_INT(0, ipc_send(edged_control, MSG_GO, (struct slice){0}, -1), ST_OK);
    wait_ready();
}

static void
wants_exit(pid_t pid, const char *name)
{
    int status = -1;
    pid_t got = 0;

    for (int i = 0; i < 1000 && got == 0; i++) {
        got = waitpid(pid, &status, WNOHANG);
        if (got == 0)
            fiber_sleep_until(loop_now(loop) + MSEC(10));
    }
    if (got != pid || status != 0)
        fail_msg("%s ended with %d (of %d)", name, status, (int)got);
}

static void
stop(void)
{
    CHECK_INT(0, ipc_send(edged_control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    CHECK_INT(1, ipc_send(keyd_control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    wants_exit(edged, "edged");
    wants_exit(keyd, "keyd");
    for (size_t i = 0; i < COUNT(conns.at); i++)
        if (i < conns.n && i >= conns.taken)
            close(conns.at[i].fd);
    conns = gone = facts = overs = (struct inbox){0};
    breach_seen = false;
    channel_free(edged_control), channel_free(keyd_control), channel_free(auth), channel_free(smtp);
    channel_free(submit), channel_free(login), channel_free(imap);
}

static void
send_id(struct channel *ch, enum msg type, uint64_t conn, int fd)
{
    AUTO_BUF m = BUF_INIT(100);

    msg_conn_id_put(&m, &(struct msg_conn_id){conn});
    CHECK_INT(type, ipc_send(ch, type, buf_slice(&m), fd), ST_OK);
}

/* edged has acted on all that was said to it before. */
static void
barrier(void)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);

    CHECK_INT(0, ipc_call(edged_control, MSG_STATS, (struct slice){0}, -1, soon(), &reply), ST_OK);
}

static void
wants_breach(int i)
{
    for (int k = 0; k < 1000 && !breach_seen; k++)
        fiber_sleep_until(loop_now(loop) + MSEC(5));
    CHECK(i, breach_seen);
    breach_seen = false;
}

/* --- descriptors, on a fiber --- */

struct waiter {
    struct watch watch;
    struct wait wait;
};

static void
on_waited(struct watch *w, uint32_t events)
{
    wait_end(&OUTER(w, struct waiter, watch)->wait, ST_OK);
}

static void
wait_fd(int fd, uint32_t events)
{
    struct waiter w = {
        .watch = {.ready = on_waited, .fd = fd}
    };

    CHECK_INT(0, loop_watch(loop, &w.watch, events), ST_OK);
    CHECK_INT(1, wait_for(&w.wait, soon()), ST_OK);
    loop_unwatch(loop, &w.watch);
}

static void
pause_for(unsigned ms)
{
    fiber_sleep_until(loop_now(loop) + MSEC(ms));
}

static int
connect_from(const char *ip, enum service service)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET,
                                                             .sin_port = htons(ports[service]),
                                                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(0, fd >= 0 && inet_pton(AF_INET, ip, &from.sin_addr) == 1);
    CHECK_INT(1, bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    CHECK_INT(2, connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    CHECK(3, fd_nonblock(fd, true));
    return fd;
}

static int
client(enum service service)
{
    return connect_from("127.0.0.1", service);
}

/* What comes until the end; "RESET" is added when it was one. */
static void
read_all_of(int fd, char *to, size_t cap)
{
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(fd, to + n, cap - 1 - n, 0);

        if (got > 0)
            n += (size_t)got;
        else if (got < 0 && errno == EAGAIN)
            wait_fd(fd, EPOLLIN | EPOLLRDHUP);
        else {
            to[n] = '\0';
            if (got < 0)
                strncat(to, "RESET", cap - n - 1);
            return;
        }
    }
}

static void
wants_end(int i, int fd, const char *want)
{
    char text[4096];

    read_all_of(fd, text, sizeof text);
    if (strcmp(text, want) != 0)
        fail_msg("case %d: came \"%s\", wanted \"%s\"", i, text, want);
    close(fd);
}

static void
wants_text(int i, int fd, const char *want)
{
    char text[4096];
    size_t n = 0, most = strlen(want);

    while (n < most) {
        ssize_t got = recv(fd, text + n, most - n, 0);

        if (got < 0 && errno == EAGAIN)
            wait_fd(fd, EPOLLIN | EPOLLRDHUP);
        else if (got <= 0)
            fail_msg("case %d: it ended after %zu bytes, wanted \"%s\"", i, n, want);
        else
            n += (size_t)got;
    }
    if (memcmp(text, want, most) != 0)
        fail_msg("case %d: came \"%.*s\", wanted \"%s\"", i, (int)n, text, want);
}

static void
say(int fd, const char *text)
{
    CHECK_INT(0, send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* --- cleartext --- */

static void
plaintext(void)
{
    static const uint8_t us[14] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0};
    struct given g, f;
    int fd, on = 0;
    socklen_t n = sizeof on;

    fd = client(SERVICE_SMTP);
    g = next(&conns);
    CHECK(0, g.to == smtp && g.service == SERVICE_SMTP && g.tls == 0 && nothing(&facts));
    CHECK(1, memcmp(g.peer, us, sizeof us) == 0 && memcmp(g.local, us, sizeof us) == 0);
    CHECK_INT(2, g.local[16] << 8 | g.local[17], ports[SERVICE_SMTP]);
    CHECK_INT(3, getsockopt(g.fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    CHECK_INT(4, on, 1);
    say(g.fd, "220 hola\r\n");
    wants_text(5, fd, "220 hola\r\n");
    say(fd, "QUIT\r\n");
    wants_text(6, g.fd, "QUIT\r\n");
    close(g.fd);
    send_id(smtp, MSG_CONN_DONE, g.conn, -1);
    wants_end(7, fd, "");

    fd = client(SERVICE_IMAP);
    g = next(&conns);
    f = next(&facts);
    CHECK(8, g.to == login && f.to == auth && f.conn == g.conn && f.tls == 0 && f.service == SERVICE_IMAP);
    CHECK(9, memcmp(f.peer, us, sizeof us) == 0);
    send_id(imap, MSG_CONN_TAKEN, g.conn, -1);
    barrier();
    send_id(login, MSG_CONN_DONE, g.conn, -1); /* it is imapd's now */
    send_id(smtp, MSG_CONN_DONE, g.conn, -1);
    barrier();
    CHECK(10, nothing(&overs));
    send_id(imap, MSG_CONN_DONE, g.conn, -1);
    CHECK_INT(10, next(&overs).conn, g.conn);
    CHECK(11, nothing(&conns) && nothing(&overs)); /* of SMTP authd hears nothing */
    close(g.fd);
    wants_end(12, fd, "");
}

static void
limits(void)
{
    int in[3], fd;
    struct given g[3];

    for (size_t i = 0; i < 3; i++) {
        in[i] = connect_from(i < 2 ? "127.0.0.2" : "127.0.0.3", SERVICE_SMTP);
        g[i] = next(&conns);
    }
    wants_end(0, connect_from("127.0.0.2", SERVICE_SMTP),
              "421 4.7.0 mail.dominio.com.uy Too many connections from your address\r\n");
    wants_end(1, connect_from("127.0.0.2", SERVICE_IMAP),
              "* BYE [UNAVAILABLE] Too many connections from your address\r\n");
    wants_end(2, connect_from("127.0.0.2", SERVICE_POP3),
              "-ERR [SYS/TEMP] Too many connections from your address\r\n");
    wants_end(3, connect_from("127.0.0.2", SERVICE_IMAPS), "");
    send_id(smtp, MSG_CONN_DONE, g[0].conn, -1);
    send_id(smtp, MSG_CONN_DONE, g[0].conn, -1); /* twice is once */
    barrier();
    fd = connect_from("127.0.0.2", SERVICE_SMTP); /* room for one */
    close(next(&conns).fd);
    wants_end(4, fd, "");
    for (int i = 0; i < 7; i++) { /* ten are the most of all */
        char ip[32];

        (void)snprintf(ip, sizeof ip, "127.0.1.%d", i + 1);
        fd = connect_from(ip, SERVICE_SMTP);
        close(next(&conns).fd);
        close(fd);
    }
    wants_end(5, connect_from("127.0.0.9", SERVICE_SMTP),
              "421 4.3.2 mail.dominio.com.uy Too many connections, try again later\r\n");
    wants_end(6, connect_from("127.0.0.9", SERVICE_IMAPS), "");
    /* smtpd dies: its cleartext connections have ended with it */
    channel_free(smtp);
    smtp = NULL;
    barrier();
    wants_end(7, connect_from("127.0.0.2", SERVICE_SMTP),
              "421 4.3.2 mail.dominio.com.uy Service not available, try again later\r\n");
    fd = connect_from("127.0.0.2", SERVICE_POP3);
    close(next(&conns).fd);
    close(fd);
    smtp = play_peer(ROLE_SMTP);
    for (int i = 0; i < 2; i++) {
        fd = connect_from("127.0.0.3", SERVICE_SMTP);
        close(next(&conns).fd);
        close(fd);
    }
    for (size_t i = 0; i < 3; i++) {
        close(g[i].fd);
        close(in[i]);
    }
}

static void
proxied(void)
{
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\7\xc0\0\2\1\x10\x01\0\x19HOLA";
    struct given g;
    int fd = connect_from("127.0.0.5", SERVICE_IMAP);

    say(fd, "PROXY TCP4 192.0.2.1 ");
    pause_for(30);
    barrier();
    CHECK(0, nothing(&conns));
    say(fd, "198.51.100.1 4711 143\r\na NOOP\r\n");
    g = next(&conns);
    CHECK(1, memcmp(g.peer, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\x12\x67", 18) == 0);
    CHECK(2, memcmp(g.local, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\1\0\x8f", 18) == 0);
    wants_text(3, g.fd, "a NOOP\r\n"); /* what follows the header is the service's */
    CHECK(4, memcmp(next(&facts).peer, g.peer, 18) == 0);
    close(g.fd);
    close(fd);

    fd = connect_from("127.0.0.5", SERVICE_SMTP);
    CHECK_INT(5, send(fd, v2, sizeof v2 - 1, MSG_NOSIGNAL), sizeof v2 - 1);
    g = next(&conns);
    CHECK(6, memcmp(g.peer, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7\x10\1", 18) == 0);
    wants_text(7, g.fd, "HOLA");
    close(g.fd);
    close(fd);

    fd = connect_from("127.0.0.5", SERVICE_SMTP); /* no header: nothing is guessed */
    say(fd, "EHLO x\r\n");
    {
        char text[100];

        read_all_of(fd, text, sizeof text);
        CHECK(8, text[0] == '\0' || strcmp(text, "RESET") == 0);
        close(fd);
    }
    fd = connect_from("127.0.0.6", SERVICE_SMTP); /* not one who may say so: it is the client's own text */
    say(fd, "PROXY TCP4 192.0.2.1 198.51.100.1 4711 143\r\n");
    g = next(&conns);
    CHECK_INT(9, g.peer[15], 6);
    wants_text(10, g.fd, "PROXY TCP4 192.0.2.1 198.51.100.1 4711 143\r\n");
    close(g.fd);
    close(fd);
    CHECK(11, nothing(&conns));
}

static void
new_authd(void)
{
    struct given a, b;
    int fd = client(SERVICE_SUBMISSION), other = client(SERVICE_SMTP);

    a = next(&conns);
    b = next(&conns);
    CHECK_INT(0, next(&facts).service, SERVICE_SUBMISSION);
    CHECK(1, nothing(&facts));
    channel_free(auth);
    auth = play_peer(ROLE_AUTH);
    CHECK_INT(2, next(&facts).service, SERVICE_SUBMISSION); /* it is told again what it has to know */
    pause_for(30);
    CHECK(3, nothing(&facts));
    close(a.fd), close(b.fd), close(fd), close(other);
}

/* --- TLS --- */

struct tls_client {
    int fd;
    SSL *ssl;
};

/* What a client may be asked for beside the defaults. */
struct wish {
    int version; /* 0: any */
    const char *signatures, *name, *alpn;
    SSL_SESSION *session;
    int receive_buffer; /* 0: as it is */
};

static SSL_CTX *client_ctx;

/* 1 done, 0 the end (close_notify), -1 failed, or cut. */
static int
tls_wait(struct tls_client *c, int n)
{
    int error = SSL_get_error(c->ssl, n);

    if (error == SSL_ERROR_WANT_READ)
        wait_fd(c->fd, EPOLLIN | EPOLLRDHUP);
    else if (error == SSL_ERROR_WANT_WRITE)
        wait_fd(c->fd, EPOLLOUT);
    else
        return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
    return 1;
}

static bool
tls_shake(struct tls_client *c)
{
    int n;

    for (;;) {
        ERR_clear_error();
        n = SSL_connect(c->ssl);
        if (n == 1)
            return true;
        if (tls_wait(c, n) != 1)
            return false;
    }
}

static struct tls_client
tls_over(int fd, const struct wish *wish)
{
    struct tls_client c = {fd, SSL_new(client_ctx)};
    const char *name = wish->name != NULL ? wish->name : "mail.dominio.com.uy";

    CHECK(0, c.ssl != NULL && SSL_set_fd(c.ssl, fd) == 1);
    if (wish->version != 0)
        CHECK(1, SSL_set_min_proto_version(c.ssl, wish->version) &&
                     SSL_set_max_proto_version(c.ssl, wish->version));
    if (wish->signatures != NULL)
        CHECK_INT(2, SSL_set1_sigalgs_list(c.ssl, wish->signatures), 1);
    CHECK_INT(3, SSL_set_tlsext_host_name(c.ssl, name), 1);
    CHECK_INT(4, SSL_set1_host(c.ssl, name), 1);
    if (wish->alpn != NULL)
        CHECK_INT(5, SSL_set_alpn_protos(c.ssl, (const void *)wish->alpn, (unsigned)strlen(wish->alpn)), 0);
    if (wish->session != NULL)
        CHECK_INT(6, SSL_set_session(c.ssl, wish->session), 1);
    return c;
}

static struct tls_client
tls_to(enum service service, const struct wish *wish)
{
    return tls_over(client(service), wish);
}

static void
tls_close(struct tls_client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
}

static void
tls_say(struct tls_client *c, const char *text)
{
    CHECK_INT(0, SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
}

static void
tls_wants_text(int i, struct tls_client *c, const char *want)
{
    char text[4096];
    size_t n = 0, most = strlen(want);

    while (n < most) {
        int got;

        ERR_clear_error();
        got = SSL_read(c->ssl, text + n, (int)(most - n));
        if (got > 0)
            n += (size_t)got;
        else if (tls_wait(c, got) != 1)
            fail_msg("case %d: it ended after %zu bytes, wanted \"%s\"", i, n, want);
    }
    if (memcmp(text, want, most) != 0)
        fail_msg("case %d: came \"%.*s\", wanted \"%s\"", i, (int)n, text, want);
}

/* The next thing must be a close_notify. */
static void
tls_wants_end(int i, struct tls_client *c)
{
    char byte;
    int n, got = 1;

    while (got == 1) {
        ERR_clear_error();
        n = SSL_read(c->ssl, &byte, 1);
        if (n > 0)
            fail_msg("case %d: a byte came, %d, wanted the end", i, byte);
        got = tls_wait(c, n);
    }
    CHECK_INT(i, got, 0);
}

static void
tls_kinds(void)
{
    static const struct {
        int version;
        const char *text, *signatures;
        int type;
    } cases[] = {
        {TLS1_3_VERSION, "TLSv1.3", "ECDSA+SHA256",   EVP_PKEY_EC },
        {TLS1_3_VERSION, "TLSv1.3", "RSA-PSS+SHA256", EVP_PKEY_RSA},
        {TLS1_3_VERSION, "TLSv1.3", "RSA-PSS+SHA512", EVP_PKEY_RSA},
        {TLS1_2_VERSION, "TLSv1.2", "ECDSA+SHA256",   EVP_PKEY_EC },
        {TLS1_2_VERSION, "TLSv1.2", "RSA-PSS+SHA384", EVP_PKEY_RSA},
        {TLS1_2_VERSION, "TLSv1.2", "RSA+SHA256",     EVP_PKEY_RSA},
        {TLS1_2_VERSION, "TLSv1.2", "RSA+SHA512",     EVP_PKEY_RSA},
        {0,              "TLSv1.3", NULL,             EVP_PKEY_EC },
    };

    for (int i = 0; i < (int)COUNT(cases); i++) {
        struct tls_client c = tls_to(SERVICE_IMAPS, &(struct wish){cases[i].version, cases[i].signatures});
        struct given g, f;
        uint8_t bound[32];

        CHECK(i, tls_shake(&c));
        g = next(&conns);
        f = next(&facts);
        CHECK(i, g.to == login && g.service == SERVICE_IMAPS && g.tls == 1 && f.tls == 1 && f.conn == g.conn);
        CHECK(i, strcmp(g.version, cases[i].text) == 0 && strcmp(g.sni, "mail.dominio.com.uy") == 0);
        CHECK_INT(i, EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get0_peer_certificate(c.ssl))), cases[i].type);
        CHECK_INT(i,
                  SSL_export_keying_material(c.ssl, bound, 32, "EXPORTER-Channel-Binding", 24,
                                             (const void *)"", 0, 1),
                  1);
        CHECK(i, f.binding_n == 32 && memcmp(f.binding, bound, 32) == 0);
        say(g.fd, "* OK hola\r\n");
        tls_wants_text(i, &c, "* OK hola\r\n");
        tls_say(&c, "a LOGOUT\r\n");
        wants_text(i, g.fd, "a LOGOUT\r\n");
        say(g.fd, "* BYE\r\na OK\r\n");
        close(g.fd);
        tls_wants_text(i, &c, "* BYE\r\na OK\r\n");
        tls_wants_end(i, &c);
        tls_close(&c);
        CHECK_INT(i, next(&overs).conn, g.conn);
        send_id(login, MSG_CONN_DONE, g.conn, -1); /* after the end: authd is told again, and nobody minds */
        CHECK_INT(i, next(&overs).conn, g.conn);
    }
    CHECK(100, !breach_seen);
}

static void
starttls(void)
{
    struct given g, h, f;
    struct tls_client c;
    int fd = client(SERVICE_SUBMISSION);

    g = next(&conns);
    f = next(&facts);
    CHECK_INT(0, f.tls, 0);
    say(g.fd, "220 Go\r\n");
    send_id(submit, MSG_CONN_TLS, g.conn, g.fd);
    close(g.fd);
    wants_text(1, fd, "220 Go\r\n");
    c = tls_over(fd, &(struct wish){0});
    CHECK(2, tls_shake(&c));
    h = next(&conns);
    f = next(&facts);
    CHECK(3, h.conn == g.conn && h.to == submit && h.tls == 1 && h.service == SERVICE_SUBMISSION);
    CHECK(4, f.conn == g.conn && f.tls == 1 && f.binding_n == 32);
    CHECK(5, memcmp(h.peer, g.peer, 18) == 0 && memcmp(h.local, g.local, 18) == 0);
    tls_say(&c, "EHLO x\r\n");
    wants_text(6, h.fd, "EHLO x\r\n");
    say(h.fd, "250 y\r\n");
    tls_wants_text(7, &c, "250 y\r\n");
    CHECK(8, nothing(&overs) && nothing(&gone));
    close(h.fd);
    tls_wants_end(9, &c);
    tls_close(&c);
    CHECK_INT(10, next(&overs).conn, g.conn);

    fd = client(SERVICE_SUBMISSION); /* not TLS what follows */
    g = next(&conns);
    (void)next(&facts);
    send_id(submit, MSG_CONN_TLS, g.conn, g.fd);
    close(g.fd);
    say(fd, "EHLO in clear, for I did not read your answer\r\n");
    CHECK_INT(11, next(&gone).conn, g.conn);
    CHECK_INT(12, next(&overs).conn, g.conn);
    close(fd);
    CHECK(13, !breach_seen);
}

static struct tls_client
imaps(struct given *g)
{
    struct tls_client c = tls_to(SERVICE_IMAPS, &(struct wish){0});

    CHECK(0, tls_shake(&c));
    *g = next(&conns);
    (void)next(&facts);
    return c;
}

static void
resumption(void)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

    for (int i = 0; i < (int)COUNT(versions); i++) {
        struct tls_client c = tls_to(SERVICE_IMAPS, &(struct wish){.version = versions[i]});
        SSL_SESSION *session;
        struct given g;

        CHECK(i, tls_shake(&c));
        g = next(&conns);
        say(g.fd, "x"); /* with it the ticket of TLS 1.3 is read */
        tls_wants_text(i, &c, "x");
        session = SSL_get1_session(c.ssl);
        CHECK(i, session != NULL && SSL_SESSION_has_ticket(session));
        close(g.fd);
        tls_wants_end(i, &c);
        (void)SSL_shutdown(c.ssl);
        tls_close(&c);

        c = tls_to(SERVICE_IMAPS, &(struct wish){.version = versions[i], .session = session});
        CHECK(i, tls_shake(&c) && SSL_session_reused(c.ssl));
        close(next(&conns).fd);
        tls_close(&c);
        c = tls_to(SERVICE_POP3S, &(struct wish){.version = versions[i], .session = session});
        CHECK(i, tls_shake(&c) && !SSL_session_reused(c.ssl)); /* good for its service only */
        close(next(&conns).fd);
        tls_close(&c);
        SSL_SESSION_free(session);
    }
}

static void
alpn(void)
{
    struct tls_client c = tls_to(SERVICE_IMAPS, &(struct wish){.alpn = "\x4http\x4imap"});
    const unsigned char *chosen;
    unsigned n;

    CHECK(0, tls_shake(&c));
    SSL_get0_alpn_selected(c.ssl, &chosen, &n);
    CHECK_SLICE(1, slice_from(chosen, n), "imap");
    close(next(&conns).fd);
    tls_close(&c);
    c = tls_to(SERVICE_POP3S, &(struct wish){.alpn = "\x4imap"});
    CHECK(2, !tls_shake(&c));
    CHECK_INT(3, ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
    tls_close(&c);
    c = tls_to(SERVICE_IMAPS, &(struct wish){.version = TLS1_1_VERSION, .signatures = NULL});
    CHECK(4, !tls_shake(&c));
    tls_close(&c);
    pause_for(50);
    CHECK(5, nothing(&conns) || conns.at[conns.taken].fd < 0);
}

/* Another certificate for who asks for another name; mine for who asks for none that we know. */
static void
server_names(void)
{
    static const struct {
        const char *name;
        const char *signatures, *want; /* "": the default one */
    } cases[] = {
        {"other.example",       "ECDSA+SHA256",              "other.example"      },
        {"OTHER.example",       "ECDSA+SHA256",              "other.example"      },
        {"other.example",       "RSA-PSS+SHA256",            "other.example"      },
        {"localhost",           "ECDSA+SHA256",              "mail.dominio.com.uy"},
        {"unknown.example",     "ECDSA+SHA256",              "mail.dominio.com.uy"},
        {"mail.dominio.com.uy", "RSA+SHA256:RSA-PSS+SHA256", "mail.dominio.com.uy"},
    };

    for (int i = 0; i < (int)COUNT(cases); i++) {
        struct tls_client c =
            tls_to(SERVICE_POP3S, &(struct wish){.name = cases[i].name, .signatures = cases[i].signatures});
        char cn[100];

        SSL_set_verify(c.ssl, SSL_VERIFY_NONE, NULL);
        CHECK(i, tls_shake(&c));
        CHECK(i, X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(c.ssl)),
                                           NID_commonName, cn, sizeof cn) > 0);
        if (strcmp(cn, cases[i].want) != 0)
            fail_msg("case %d: the certificate is for %s", i, cn);
        close(next(&conns).fd);
        tls_close(&c);
    }
}

static void
forged(void)
{
    struct given g, h;
    int pair[2], fd = client(SERVICE_SMTP), other = client(SERVICE_SUBMISSION);

    g = next(&conns);
    h = next(&conns);
    send_id(smtp, MSG_CONN_TLS, 4711, g.fd); /* never given out; or by an edged before this one */
    CHECK_INT(0, next(&gone).conn, 4711);
    CHECK(1, !breach_seen);
    say(g.fd, "220 still there\r\n");
    wants_text(2, fd, "220 still there\r\n");

    CHECK_INT(3, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    send_id(smtp, MSG_CONN_TLS, g.conn, pair[0]); /* the right number, another descriptor */
    wants_breach(4);
    close(pair[0]);
    wants_end(5, pair[1], ""); /* and edged has closed it */

    channel_free(smtp);
    smtp = play_peer(ROLE_SMTP);
    send_id(smtp, MSG_CONN_TLS, h.conn, h.fd); /* submitd's */
    wants_breach(6);
    say(h.fd, "220 unharmed\r\n");
    wants_text(7, other, "220 unharmed\r\n");
    send_id(submit, MSG_CONN_TLS, h.conn, g.fd); /* its own number, with another's socket */
    wants_breach(8);
    close(g.fd), close(h.fd), close(fd), close(other);
}

static bool
hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

static void
half_close(void)
{
    struct given g;
    struct tls_client c = imaps(&g);
    char byte;

    tls_say(&c, "the last");
    CHECK_INT(0, SSL_shutdown(c.ssl), 0); /* close_notify */
    wants_text(1, g.fd, "the last");
    wait_fd(g.fd, EPOLLIN | EPOLLRDHUP);
    CHECK_INT(2, recv(g.fd, &byte, 1, 0), 0);
    CHECK(3, !hung_up(g.fd)); /* an end of input, not a cut */
    say(g.fd, "an answer");
    close(g.fd);
    tls_wants_text(4, &c, "an answer");
    tls_wants_end(5, &c);
    tls_close(&c);

    c = imaps(&g);              /* the service ends its side first */
    (void)kill(edged, SIGSTOP); /* bytes and their end are told as one event */
    say(g.fd, "no more");
    CHECK_INT(6, shutdown(g.fd, SHUT_WR), 0);
    (void)kill(edged, SIGCONT);
    tls_wants_text(7, &c, "no more");
    tls_wants_end(8, &c);
    tls_say(&c, "but I");
    wants_text(9, g.fd, "but I");
    CHECK_INT(10, SSL_shutdown(c.ssl), 1);
    wants_end(11, g.fd, "");
    tls_close(&c);
}

static void
cut(void)
{
    struct given g;
    struct tls_client c = imaps(&g);
    char byte;

    tls_say(&c, "half a mess");
    wants_text(0, g.fd, "half a mess");
    tls_close(&c); /* FIN, no close_notify */
    wait_fd(g.fd, EPOLLHUP);
    CHECK(1, hung_up(g.fd) && recv(g.fd, &byte, 1, 0) == 0);
    CHECK(2, send(g.fd, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
    close(g.fd);
    CHECK_INT(3, next(&overs).conn, g.conn);

    c = imaps(&g); /* RST */
    CHECK_INT(4, setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    tls_close(&c);
    wait_fd(g.fd, EPOLLHUP);
    CHECK(5, hung_up(g.fd));
    close(g.fd);
    CHECK_INT(6, next(&overs).conn, g.conn);

    c = imaps(&g); /* the service closes with bytes of the client unread: what it said arrives all the same */
    for (int i = 0; i < 20; i++)
        tls_say(&c, "a NOOP\r\n");
    pause_for(30);
    say(g.fd, "* BYE\r\n");
    close(g.fd);
    for (int i = 0; i < 20; i++)
        (void)SSL_write(c.ssl, "a NOOP\r\n", 8);
    pause_for(30);
    tls_wants_text(7, &c, "* BYE\r\n");
    tls_wants_end(8, &c);
    tls_close(&c);
    CHECK_INT(9, next(&overs).conn, g.conn);
}

#define MUCH (16u * 1024u * 1024u)

static uint8_t
nth(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 12));
}

/* Puts [at, MUCH) until nobody takes any more for a while; returns how far it got. */
static size_t
pour(size_t at, int fd, SSL *ssl)
{
    static uint8_t piece[16384];

    for (int quiet = 0; at < MUCH && quiet < 20;) {
        size_t n = MUCH - at < sizeof piece ? MUCH - at : sizeof piece;
        ssize_t put;

        for (size_t i = 0; i < n; i++)
            piece[i] = nth(at + i);
        ERR_clear_error();
        put = ssl != NULL ? SSL_write(ssl, piece, (int)n) : send(fd, piece, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        quiet = put > 0 ? 0 : quiet + 1;
        at += put > 0 ? (size_t)put : 0;
        if (put <= 0)
            pause_for(10);
    }
    return at;
}

/* Takes and checks what is there now; returns how far it got. */
static size_t
drink(size_t at, int fd, SSL *ssl)
{
    static uint8_t piece[16384];

    for (;;) {
        ssize_t got;

        ERR_clear_error();
        got = ssl != NULL ? SSL_read(ssl, piece, sizeof piece) : recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (got <= 0)
            return at;
        for (ssize_t i = 0; i < got; i++)
            if (piece[i] != nth(at + (size_t)i))
                fail_msg("byte %zu is wrong", at + (size_t)i);
        at += (size_t)got;
    }
}

static void
slow_readers(void)
{
    struct given g, q;
    int fd = client(SERVICE_IMAPS), n = 65536;
    struct tls_client c, other = imaps(&q);
    size_t put, got;

    CHECK_INT(0, setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n), 0);
    c = tls_over(fd, &(struct wish){0});
    (void)SSL_set_mode(c.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    CHECK(1, tls_shake(&c));
    g = next(&conns);

    put = pour(0, g.fd, NULL); /* to a client who does not read */
    if (put >= MUCH / 2)
        fail_msg("%zu bytes were taken from a service for a client who reads none", put);
    say(q.fd, "not held up");
    tls_wants_text(2, &other, "not held up");
    for (got = 0; got < MUCH;) {
        got = drink(got, -1, c.ssl);
        if (got < MUCH && put == got)
            put = pour(put, g.fd, NULL);
        else if (got < MUCH)
            wait_fd(c.fd, EPOLLIN);
    }

    put = pour(0, -1, c.ssl); /* to a service that does not read */
    if (put >= MUCH / 2)
        fail_msg("%zu bytes were taken from a client for a service that reads none", put);
    tls_say(&other, "nor this");
    wants_text(3, q.fd, "nor this");
    for (got = 0; got < MUCH;) {
        got = drink(got, g.fd, NULL);
        if (got < MUCH && put == got)
            put = pour(put, -1, c.ssl);
        else if (got < MUCH)
            wait_fd(g.fd, EPOLLIN);
    }
    /* A client who never takes the rest does not stay for ever; here he goes. */
    (void)pour(MUCH / 2, g.fd, NULL);
    close(g.fd);
    tls_close(&c);
    close(q.fd);
    tls_wants_end(4, &other);
    tls_close(&other);
}

static void
keyd_dies(void)
{
    struct given g;
    struct tls_client c = imaps(&g), d;

    (void)kill(keyd, SIGSTOP);
    d = tls_to(SERVICE_IMAPS, &(struct wish){0});
    CHECK_INT(0, SSL_connect(d.ssl), -1);
    pause_for(50); /* keyd has the question, and dies with it */
    (void)kill(keyd, SIGKILL);
    CHECK_INT(1, waitpid(keyd, NULL, 0), keyd);
    channel_free(keyd_control);
    tls_say(&c, "a NOOP\r\n"); /* sessions that are there need no keyd */
    wants_text(2, g.fd, "a NOOP\r\n");
    start_keyd();
    CHECK(3, tls_shake(&d)); /* and it is asked again */
    wait_ready();
    close(next(&conns).fd);
    tls_close(&d);

    (void)kill(keyd, SIGSTOP);
    d = tls_to(SERVICE_IMAPS, &(struct wish){0});
    CHECK(4, !tls_shake(&d)); /* handshake_timeout */
    tls_close(&d);
    (void)kill(keyd, SIGCONT);
    d = tls_to(SERVICE_IMAPS, &(struct wish){0});
    CHECK(5, tls_shake(&d));
    close(next(&conns).fd);
    tls_close(&d);
    d = tls_to(SERVICE_IMAPS, &(struct wish){0});
    wants_end(6, d.fd, ""); /* says nothing */
    SSL_free(d.ssl);
    close(g.fd);
    tls_close(&c);
}

static void
service_dies(void)
{
    struct given g, h;
    struct tls_client c = imaps(&g), d;
    int fd = client(SERVICE_SMTP);

    h = next(&conns);
    send_id(smtp, MSG_CONN_TLS, h.conn, h.fd);
    close(h.fd);
    d = tls_over(fd, &(struct wish){0});
    CHECK(0, tls_shake(&d));
    h = next(&conns);
    channel_free(smtp);
    say(h.fd, "421 I go\r\n");
    close(h.fd);
    tls_wants_text(1, &d, "421 I go\r\n");
    tls_wants_end(2, &d);
    tls_close(&d);
    say(g.fd, "* unharmed\r\n");
    tls_wants_text(3, &c, "* unharmed\r\n");
    channel_free(login); /* the session may be imapd's: its descriptor tells when it ends */
    login = NULL;
    barrier();
    say(g.fd, "* still\r\n");
    tls_wants_text(4, &c, "* still\r\n");
    d = tls_to(SERVICE_IMAPS, &(struct wish){0});
    CHECK(5, tls_shake(&d));
    tls_wants_text(6, &d, "* BYE [UNAVAILABLE] Service not available, try again later\r\n");
    tls_wants_end(7, &d);
    tls_close(&d);
    smtp = play_peer(ROLE_SMTP);
    login = play_peer(ROLE_LOGIN);
    close(g.fd);
    tls_wants_end(8, &c);
    tls_close(&c);
}

static void
reload(void)
{
    AUTO_BUF m = BUF_INIT(1000), reply = BUF_INIT(1000);
    struct msg_text text = {0};
    int fd = client(SERVICE_SMTP);

    close(next(&conns).fd);
    msg_reload_put(&m, &(struct msg_reload){SLICE("max_connections_per_ip = 1\nhostname = b.example\n")});
    CHECK_INT(0, ipc_call(edged_control, MSG_RELOAD, buf_slice(&m), -1, soon(), &reply), ST_OK);
    wants_end(1, client(SERVICE_SMTP), "421 4.7.0 b.example Too many connections from your address\r\n");
    buf_clear(&m);
    msg_reload_put(&m, &(struct msg_reload){SLICE("max_connections_per_ip = 0\n")});
    CHECK_INT(2, ipc_call(edged_control, MSG_RELOAD, buf_slice(&m), -1, soon(), &reply), ST_LIMIT);
    CHECK(3, msg_text_get(buf_slice(&reply), &text) && text.text.n > 0);
    wants_end(4, client(SERVICE_SMTP), "421 4.7.0 b.example Too many connections from your address\r\n");
    close(fd);
}

static void
no_certificates(void)
{
    struct given g;
    int fd = client(SERVICE_SUBMISSION);

    wants_end(0, client(SERVICE_IMAPS), "");
    g = next(&conns);
    send_id(submit, MSG_CONN_TLS, g.conn, g.fd);
    close(g.fd);
    CHECK_INT(1, next(&gone).conn, g.conn);
    CHECK_INT(2, next(&overs).conn, g.conn);
    wants_end(3, fd, "");
    CHECK(4, !breach_seen);
}

/* A cleartext client who has gone by the time that his service asks for TLS. */
static void
gone_before_tls(void)
{
    struct given g;
    int fd = client(SERVICE_SMTP);

    g = next(&conns);
    CHECK_INT(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)), 0);
    close(fd);
    wait_fd(g.fd, EPOLLHUP);
    send_id(smtp, MSG_CONN_TLS, g.conn, g.fd);
    close(g.fd);
    CHECK_INT(1, next(&gone).conn, g.conn);
    barrier();
    CHECK(2, !breach_seen);
}

/* Told to stop with a session that does not end. */
static void
stopping(void)
{
    struct given g;
    struct tls_client c = imaps(&g);

    CHECK_INT(0, ipc_send(edged_control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    pause_for(50);
    say(g.fd, "* BYE\r\n"); /* its service is told to stop, too, and says so */
    tls_wants_text(1, &c, "* BYE\r\n");
    close(g.fd);
    tls_wants_end(2, &c);
    tls_close(&c);
}

/* --- */

static const struct scene {
    const char *settings;
    void (*play)(void);
} scenes[] = {
    {"max_connections = 10\nmax_connections_per_ip = 2\nhostname = mail.dominio.com.uy\n", limits   },
    {"proxy_from = 127.0.0.5, 192.0.2.0/24\n",                                             proxied  },
    {"handshake_timeout = 3s\n",                                                           keyd_dies},
};

static void
run_scene(void *arg)
{
    const struct scene *scene = arg;

    start(scene->settings);
    scene->play();
    stop();
    loop_stop(loop);
}

static void
run(void (*play)(void))
{
    struct scene scene = {"", play};

    for (size_t i = 0; i < COUNT(scenes); i++)
        if (scenes[i].play == play)
            scene = scenes[i];
    CHECK_INT(0, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(1, fiber_spawn(loop, run_scene, &scene), ST_OK);
    CHECK_INT(2, loop_run(loop, NULL), ST_OK);
    loop_free(loop);
}

#define SCENE(name)                                                                                          \
    TEST(name)                                                                                               \
    {                                                                                                        \
        run(name);                                                                                           \
    }
SCENE(plaintext)
SCENE(limits)
SCENE(proxied)
SCENE(new_authd)
SCENE(tls_kinds)
SCENE(starttls)
SCENE(resumption)
SCENE(alpn)
SCENE(server_names)
SCENE(forged)
SCENE(half_close)
SCENE(cut)
SCENE(slow_readers)
SCENE(keyd_dies)
SCENE(service_dies)
SCENE(reload)
SCENE(gone_before_tls)
SCENE(stopping)

TEST(without_certificates)
{
    char with[200], without[200];

    (void)snprintf(with, sizeof with, "%s/etc/tls", root);
    (void)snprintf(without, sizeof without, "%s/etc/other", root);
    CHECK_INT(0, renameat2(AT_FDCWD, with, AT_FDCWD, without, RENAME_EXCHANGE), 0);
    run(no_certificates);
    CHECK_INT(1, renameat2(AT_FDCWD, with, AT_FDCWD, without, RENAME_EXCHANGE), 0);
}

static void
serve(void)
{
    (void)printf("imaps on 127.0.0.1 port %u for %u s; edged %d, keyd %d\n", ports[SERVICE_IMAPS],
                 serve_seconds, (int)edged, (int)keyd);
    (void)fflush(stdout);
    fiber_sleep_until(loop_now(loop) + SECONDS(serve_seconds));
    (void)printf("%llu sessions\n", (unsigned long long)served);
}

static int
make_dir(const char *name)
{
    char path[200];

    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    CHECK_INT(0, mkdir(path, 0700), 0);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* mail.dominio.com.uy by default, and a second pair of each type for other.example. */
static void
make_root(void)
{
    AUTO_FD etc = -1, dir = -1, other = -1;
    struct err err = {0};
    char path[200];

    CHECK(0, mkdtemp(root) != NULL);
    etc = make_dir("etc");
    dir = make_dir("etc/tls");
    other = make_dir("etc/other");
    CHECK_INT(1, tls_selfsigned(dir, "mail.dominio.com.uy", &err), ST_OK);
    CHECK_INT(2, tls_selfsigned(other, "other.example", &err), ST_OK);
    CHECK_INT(3,
              renameat(other, "ecdsa.crt", dir, "z1.crt") | renameat(other, "ecdsa.key", dir, "z1.key") |
                  renameat(other, "rsa.crt", dir, "z2.crt") | renameat(other, "rsa.key", dir, "z2.key"),
              0);
    client_ctx = SSL_CTX_new(TLS_client_method());
    CHECK(4, client_ctx != NULL);
    SSL_CTX_set_security_level(client_ctx, 0);
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/etc/tls/%s.crt", root, i == 0 ? "ecdsa" : "rsa");
        CHECK_INT(5, SSL_CTX_load_verify_file(client_ctx, path), 1);
    }
}

static void
remove_root(void)
{
    static const char *const files[] = {"ecdsa.crt", "ecdsa.key", "rsa.crt", "rsa.key",
                                        "z1.crt",    "z1.key",    "z2.crt",  "z2.key"};
    char path[200];

    SSL_CTX_free(client_ctx);
    for (size_t i = 0; i < COUNT(files); i++) {
        (void)snprintf(path, sizeof path, "%s/etc/tls/%s", root, files[i]);
        (void)unlink(path);
    }
    for (int i = 0; i < 4; i++) {
        static const char *const dirs[] = {"/etc/tls", "/etc/other", "/etc", ""};

        (void)snprintf(path, sizeof path, "%s%s", root, dirs[i]);
        (void)rmdir(path);
    }
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST_EXPAND_(TEST_EACH_(plaintext, limits, proxied, new_authd, tls_kinds, starttls, resumption, alpn,
                                server_names, forged, half_close, cut, slow_readers, keyd_dies, service_dies,
                                stopping, reload, gone_before_tls, without_certificates))};
    int failed;

    (void)signal(SIGPIPE, SIG_IGN);
    edged_path = argc > 1 ? argv[1] : "./edged";
    keyd_path = argc > 2 ? argv[2] : "./keyd";
    make_root();
    if (argc > 3) {
        serve_seconds = (unsigned)strtoul(argv[3], NULL, 10);
        hold = argc > 4;
        run(serve);
        remove_root();
        return 0;
    }
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_root();
    return failed;
}
