/*
 * edged and keyd as they are started: this test plays estafetad, authd, the services and the clients.
 * argv: edged, keyd.
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
    return loop_now(loop) + SECONDS(10);
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
    pause_for(50);
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
    pause_for(50);
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

/* --- */

static const struct scene {
    const char *settings;
    void (*play)(void);
} scenes[] = {
    {"",                                                                                   plaintext},
    {"max_connections = 10\nmax_connections_per_ip = 2\nhostname = mail.dominio.com.uy\n", limits   },
    {"proxy_from = 127.0.0.5, 192.0.2.0/24\n",                                             proxied  },
    {"",                                                                                   new_authd},
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

static void
make_root(void)
{
    char path[200];
    AUTO_FD dir = -1;
    struct err err = {0};

    CHECK(0, mkdtemp(root) != NULL);
    (void)snprintf(path, sizeof path, "%s/etc", root);
    CHECK_INT(1, mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/etc/tls", root);
    CHECK_INT(2, mkdir(path, 0700), 0);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(3, tls_selfsigned(dir, "mail.dominio.com.uy", &err), ST_OK);
}

static void
remove_root(void)
{
    static const char *const files[] = {"etc/tls/ecdsa.crt", "etc/tls/ecdsa.key", "etc/tls/rsa.crt",
                                        "etc/tls/rsa.key"};
    AUTO_FD dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; i < COUNT(files); i++)
        (void)unlinkat(dir, files[i], 0);
    (void)unlinkat(dir, "etc/tls", AT_REMOVEDIR);
    (void)unlinkat(dir, "etc", AT_REMOVEDIR);
    (void)rmdir(root);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        TEST_EXPAND_(TEST_EACH_(plaintext, limits, proxied, new_authd))};
    int failed;

    (void)signal(SIGPIPE, SIG_IGN);
    edged_path = argc > 1 ? argv[1] : "./edged";
    keyd_path = argc > 2 ? argv[2] : "./keyd";
    make_root();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_root();
    return failed;
}
