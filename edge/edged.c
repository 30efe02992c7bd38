/*
 * edged: takes connections, counts them, does their TLS, and hands a cleartext descriptor to the service: the
 * TCP socket itself, or one end of a socketpair (relay.h). It reads no mail protocol and holds no secret:
 * private keys are keyd's. Facts of a connection go to authd, who believes nobody else about them.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/tables.h"
#include "edge/conn.h"
#include "edge/relay.h"
#include "edge/tls.h"
#include "ipc/program.h"
#include "proxy/proxy.h"
#include "tls/pairs.h"
#include "sys/fd.h"
#include "sys/log.h"

#define ACCEPTS_A_ROUND 64          /* connections taken from one listener before others have a turn */
#define ACCEPT_PAUSE    MSEC(100)   /* when there are no descriptors left */
#define PROXY_TIMEOUT   SECONDS(10) /* for a header, which a balancer sends at once */
#define STOP_TIMEOUT    SECONDS(5)  /* for TLS sessions, whose services have stopped before us */
#define READ_TIMEOUT    SECONDS(30) /* for keyd to give all certificates */
#define MESSAGE_MAX     4096u

enum protocol { SMTP, IMAP, POP3 };

/* who serves it; what it speaks; TLS from the start; may one log in on it */
static const struct service_row {
    const char *name;
    enum role role;
    enum protocol protocol;
    bool tls, logins;
} services[SERVICE_COUNT] = {
    [SERVICE_SMTP] = {"smtp",        ROLE_SMTP,   SMTP, false, false},
    [SERVICE_SUBMISSION] = {"submission",  ROLE_SUBMIT, SMTP, false, true },
    [SERVICE_SUBMISSIONS] = {"submissions", ROLE_SUBMIT, SMTP, true,  true },
    [SERVICE_IMAP] = {"imap",        ROLE_LOGIN,  IMAP, false, true },
    [SERVICE_IMAPS] = {"imaps",       ROLE_LOGIN,  IMAP, true,  true },
    [SERVICE_POP3] = {"pop3",        ROLE_LOGIN,  POP3, false, true },
    [SERVICE_POP3S] = {"pop3s",       ROLE_LOGIN,  POP3, true,  true },
};

/* Why a connection is not served, as each protocol says it in place of a greeting: RFC 5321 3.1 and
 * 4.2.1, RFC 9051 7.1.5 with RFC 5530 3, RFC 1939 3 with RFC 3206 4. The host's name follows SMTP's codes. */
enum refusal { FULL, CROWDED, DOWN };
static const struct {
    const char *codes[3];
    const char *text;
} refusals[] = {
    [FULL] = {{"421 4.3.2 ", "* BYE [UNAVAILABLE] ", "-ERR [SYS/TEMP] "},
              "Too many connections, try again later" },
    [CROWDED] = {{"421 4.7.0 ", "* BYE [UNAVAILABLE] ", "-ERR [SYS/TEMP] "},
              "Too many connections from your address"},
    [DOWN] = {{"421 4.3.2 ", "* BYE [UNAVAILABLE] ", "-ERR [SYS/TEMP] "},
              "Service not available, try again later"},
};

struct listener {
    struct listener *next;
    struct watch watch;
    struct timer pause;
    uint8_t service;
    bool busy; /* more than one may be waiting */
};

/* A connection of a balancer before it said whom it speaks for. */
struct proxy_wait {
    struct watch watch;
    struct timer timer;
    struct conn *conn;
};

static struct {
    struct edge_settings settings;
    struct buf text; /* of the settings, into which they point */
    struct conns *conns;
    struct tls *tls; /* NULL: no certificate */
    struct listener *listeners;
    struct timer stop;
    size_t relays;
    bool stopping;
    bool reading, read_again; /* certificates, on a fiber; and once more when that is done */
} self;

/* --- words --- */

static const char *
address_text(const uint8_t address[CONN_ADDRESS], char text[64])
{
    AUTO_BUF b = BUF_INIT(64);
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(address, mapped, sizeof mapped) == 0)
        buf_printf(&b, "%u.%u.%u.%u", address[12], address[13], address[14], address[15]);
    else
        for (size_t i = 0; i < 16; i += 2)
            buf_printf(&b, "%s%x", i > 0 ? ":" : "", (unsigned)address[i] << 8 | address[i + 1]);
    (void)slice_to_cstr(buf_slice(&b), text, 64);
    return text;
}

static void
log_refused(const struct conn *c, const char *why)
{
    char text[64];

    log_at(LOG_LEVEL_NOTICE, "%s: connection from [%s] refused: %s", services[c->service].name,
           address_text(c->peer, text), why);
}

/* Sends what the protocol has for it, if the client can read cleartext, and closes. */
static void
refuse(const struct conn *c, int fd, bool cleartext, enum refusal why)
{
    AUTO_BUF b = BUF_INIT(1024);
    enum protocol protocol = services[c->service].protocol;

    log_refused(c, refusals[why].text);
    if (cleartext) {
        buf_puts(&b, refusals[why].codes[protocol]);
        if (protocol == SMTP) {
            buf_put(&b, self.settings.hostname);
            buf_putc(&b, ' ');
        }
        buf_puts(&b, refusals[why].text);
        buf_puts(&b, "\r\n");
        (void)send(fd, b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)close(fd);
}

/* --- giving connections to services --- */

static void
encode_facts(const struct conn *c, struct buf *b)
{
    struct relay_facts facts = {0};

    if (c->tls)
        relay_facts(c->io, &facts);
    msg_conn_put(b, &(struct msg_conn){.conn = c->id,
                                       .service = c->service,
                                       .peer = slice_from(c->peer, CONN_ADDRESS),
                                       .local = slice_from(c->local, CONN_ADDRESS),
                                       .tls = c->tls,
                                       .tls_version = facts.version,
                                       .cipher = facts.cipher,
                                       .sni = facts.sni,
                                       .certificate = facts.certificate,
                                       .binding = facts.binding,
                                       .end_point = facts.end_point,
                                       .certificate_name = facts.certificate_name});
}

static void
send_id(enum role to, enum msg type, uint64_t id)
{
    struct channel *ch = program_peer(to, 0);
    AUTO_BUF b = BUF_INIT(64);

    if (ch == NULL)
        return;
    msg_conn_id_put(&b, &(struct msg_conn_id){id});
    (void)ipc_send(ch, type, buf_slice(&b), -1);
}

/* The connection is no more: authd and the counters forget it. */
static void
end(struct conn *c)
{
    if (services[c->service].logins && c->state == CONN_GIVEN)
        send_id(ROLE_AUTH, MSG_CONN_OVER, c->id);
    conn_drop(self.conns, c);
}

/* authd hears of it first: what it is not told in time, it waits for shortly. fd is given away or closed.
 * Without TLS and without a service the connection ends here; with TLS its relay ends it. */
static void
give(struct conn *c, int fd)
{
    struct channel *service = program_peer((enum role)c->role, 0);
    struct channel *auth = services[c->service].logins ? program_peer(ROLE_AUTH, 0) : NULL;
    AUTO_BUF facts = BUF_INIT(MESSAGE_MAX);

    c->state = CONN_GIVEN;
    encode_facts(c, &facts);
    if (auth != NULL)
        (void)ipc_send(auth, MSG_CONN_FACTS, buf_slice(&facts), -1);
    if (service != NULL && buf_ok(&facts) && ipc_send(service, MSG_CONN, buf_slice(&facts), fd) == ST_OK) {
        (void)close(fd);
        return;
    }
    refuse(c, fd, true, DOWN);
    if (!c->tls)
        end(c);
}

/* --- TLS --- */

/* There will be no session. Before STARTTLS the connection was a service's, and known to authd. */
static void
tls_failed(struct conn *c)
{
    if (!services[c->service].tls) {
        send_id((enum role)c->role, MSG_CONN_GONE, c->id);
        c->state = CONN_GIVEN;
    }
    end(c);
}

static void
relay_gone(void)
{
    self.relays--;
    if (self.stopping && self.relays == 0)
        program_exit(0);
}

static void
on_begun(struct relay *r, void *arg)
{
    struct conn *c = arg;
    int fd;

    c->tls = true;
    if (relay_open(r, &fd) == ST_OK) {
        give(c, fd);
        return;
    }
    relay_end(r);
    relay_gone();
    tls_failed(c);
}

static void
on_over(struct relay *r, void *arg)
{
    struct conn *c = arg;

    if (c->state == CONN_SHAKES) {
        log_refused(c, relay_failure(r));
        tls_failed(c);
    } else {
        end(c);
    }
    relay_gone();
}

/* fd is taken or closed; false when the connection cannot be served, and *c is then still there. */
static bool
begin_tls(struct conn *c, int fd)
{
    static const struct relay_owner owner = {.begun = on_begun, .over = on_over};
    struct relay *r;
    SSL *ssl = self.tls != NULL ? tls_session(self.tls, (enum service)c->service) : NULL;

    if (ssl == NULL) {
        log_refused(c, self.tls == NULL ? "there is no certificate in etc/tls" : "no memory for TLS");
        (void)close(fd);
        return false;
    }
    c->state = CONN_SHAKES;
    if (relay_new(program_loop(), ssl, fd, loop_now(program_loop()) + self.settings.handshake_timeout, &owner,
                  c, &r) != ST_OK)
        return false;
    c->io = r;
    self.relays++;
    return true;
}

/* --- new connections --- */

/* The client is known: is there room for him? */
static void
admit(struct conn *c, int fd)
{
    const struct service_row *service = &services[c->service];

    if (conn_count(self.conns, c, self.settings.max_connections_per_ip) != ST_OK) {
        refuse(c, fd, !service->tls, CROWDED);
        end(c);
    } else if (!service->tls) {
        give(c, fd);
    } else if (!begin_tls(c, fd)) {
        end(c);
    }
}

static void
proxy_end(struct proxy_wait *w)
{
    loop_unwatch(program_loop(), &w->watch);
    loop_timer_stop(program_loop(), &w->timer);
    free(w);
}

static void
proxy_failed(struct proxy_wait *w, const char *why)
{
    log_refused(w->conn, why);
    (void)close(w->watch.fd);
    end(w->conn);
    proxy_end(w);
}

static void
on_proxy_timeout(struct timer *t)
{
    proxy_failed(OUTER(t, struct proxy_wait, timer), "no PROXY header came");
}

/* IPv4 as ::ffff:a.b.c.d. */
static void
put_address(uint8_t to[CONN_ADDRESS], uint8_t family, const uint8_t *ip, uint16_t port)
{
    memset(to, 0, CONN_ADDRESS);
    if (family == 4) {
        to[10] = to[11] = 0xff;
        memcpy(to + 12, ip, 4);
    } else {
        memcpy(to, ip, 16);
    }
    to[16] = (uint8_t)(port >> 8);
    to[17] = (uint8_t)port;
}

/* Looks at what is there without taking it, for what follows the header is not ours to read. */
static void
on_proxy_ready(struct watch *watch, uint32_t events)
{
    struct proxy_wait *w = OUTER(watch, struct proxy_wait, watch);
    struct conn *c = w->conn;
    uint8_t bytes[PROXY_MAX];
    struct proxy proxy;
    struct slice rest;
    ssize_t n = recv(watch->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    enum status st;
    int fd = watch->fd;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    rest = slice_from(bytes, n > 0 ? (size_t)n : 0);
    st = proxy_parse(&rest, &proxy);
    if (st == ST_MORE && n > 0 && (size_t)n < sizeof bytes &&
        (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
        return; /* edge-triggered: told again when more comes */
    if (st != ST_OK || recv(fd, bytes, (size_t)n - rest.n, MSG_DONTWAIT) != n - (ssize_t)rest.n) {
        proxy_failed(w, "its PROXY header is missing or wrong");
        return;
    }
    if (proxy.family != 0 && !proxy.local) {
        put_address(c->peer, proxy.family, proxy.source, proxy.source_port);
        put_address(c->local, proxy.family, proxy.target, proxy.target_port);
    }
    proxy_end(w);
    c->io = NULL;
    admit(c, fd);
}

static void
await_proxy(struct conn *c, int fd)
{
    struct proxy_wait *w = calloc(1, sizeof *w);

    if (w != NULL) {
        w->watch = (struct watch){.ready = on_proxy_ready, .fd = fd};
        w->timer.fire = on_proxy_timeout;
        w->conn = c;
        c->io = w;
        c->state = CONN_PROXY;
        if (loop_watch(program_loop(), &w->watch, EPOLLIN | EPOLLRDHUP | EPOLLET) == ST_OK) {
            loop_timer(program_loop(), &w->timer, loop_now(program_loop()) + PROXY_TIMEOUT);
            return;
        }
        free(w);
    }
    (void)close(fd);
    end(c);
}

static void
address_of(const struct sockaddr_storage *from, uint8_t to[CONN_ADDRESS])
{
    const struct sockaddr_in *four = (const void *)from;
    const struct sockaddr_in6 *six = (const void *)from;

    if (from->ss_family == AF_INET)
        put_address(to, 4, (const void *)&four->sin_addr, ntohs(four->sin_port));
    else if (from->ss_family == AF_INET6)
        put_address(to, 6, six->sin6_addr.s6_addr, ntohs(six->sin6_port));
    else
        memset(to, 0, CONN_ADDRESS);
}

static void
on_connection(const struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage local = {0};
    socklen_t n = sizeof local;
    struct conn *c, full = {.service = l->service};
    enum status st = conn_new(self.conns, self.settings.max_connections, &c);

    if (st != ST_OK) {
        address_of(peer, full.peer);
        refuse(&full, fd, !services[l->service].tls, FULL);
        return;
    }
    address_of(peer, c->peer);
    memcpy(c->wire, c->peer, CONN_ADDRESS);
    if (getsockname(fd, (struct sockaddr *)&local, &n) == 0)
        address_of(&local, c->local);
    c->service = l->service;
    c->role = (uint8_t)services[l->service].role;
    if (self.settings.proxy_from.n > 0 &&
        conf_addresses_cover(&self.settings.proxy_from, slice_from(c->peer, 16)))
        await_proxy(c, fd);
    else
        admit(c, fd);
}

static void
on_pause_over(struct timer *t)
{
    struct listener *l = OUTER(t, struct listener, pause);

    if (loop_watch(program_loop(), &l->watch, EPOLLIN) != ST_OK)
        loop_timer(program_loop(), t, loop_now(program_loop()) + ACCEPT_PAUSE);
}

static void
on_acceptable(struct watch *w, uint32_t events)
{
    struct listener *l = OUTER(w, struct listener, watch);
    int most = l->busy ? ACCEPTS_A_ROUND : 1; /* one alone is taken without asking for another */

    l->busy = true;
    for (int i = 0; i < most; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t n = sizeof peer;
        int fd = accept4(w->fd, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            on_connection(l, fd, &peer);
            continue;
        }
        if (errno == EAGAIN) {
            l->busy = false;
            return;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_at(LOG_LEVEL_ERR, "%s: no connection can be taken: %s", services[l->service].name,
                   strerror(errno));
            loop_unwatch(program_loop(), w); /* it would be told without end; the kernel queues meanwhile */
            loop_timer(program_loop(), &l->pause, loop_now(program_loop()) + ACCEPT_PAUSE);
            return;
        }
        /* else that one has gone already, accept(2) */
    }
}

/* --- what the services say --- */

/* Has this program the connection, or may it have got it from logind without a word to us yet? */
static bool
has(enum role role, const struct conn *c)
{
    enum protocol protocol = services[c->service].protocol;

    if (c->state != CONN_GIVEN)
        return false;
    return role == (enum role)c->role || (c->role == ROLE_LOGIN && ((role == ROLE_IMAP && protocol == IMAP) ||
                                                                    (role == ROLE_POP3 && protocol == POP3)));
}

static enum status
on_conn_done(struct ipc_request *r)
{
    struct msg_conn_id m;
    struct conn *c;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    c = conn_find(self.conns, m.conn);
    if (c == NULL) /* its TLS ended before, or an earlier edged took it: authd may still know it */
        send_id(ROLE_AUTH, MSG_CONN_OVER, m.conn);
    else if (!has((enum role)r->from.role, c))
        log_at(LOG_LEVEL_WARNING, "%s ends a connection that is not its own",
               role_name((enum role)r->from.role));
    else if (!c->tls)
        end(c);
    return ST_OK; /* with TLS its relay sees the end of the descriptor */
}

static enum status
on_conn_taken(struct ipc_request *r)
{
    struct msg_conn_id m;
    struct conn *c;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    c = conn_find(self.conns, m.conn);
    if (c != NULL && has((enum role)r->from.role, c))
        c->role = (uint8_t)r->from.role;
    return ST_OK;
}

/* Is it the socket of this connection? A service could have any other descriptor. ST_CLOSED: it has no peer
 * any more. */
static enum status
same_socket(const struct conn *c, int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t n = sizeof peer;
    uint8_t address[CONN_ADDRESS];

    if (getpeername(fd, (struct sockaddr *)&peer, &n) != 0)
        return errno == ENOTCONN ? ST_CLOSED : ST_DENIED;
    address_of(&peer, address);
    return memcmp(address, c->wire, CONN_ADDRESS) == 0 ? ST_OK : ST_DENIED;
}

/* STARTTLS. Only a connection that was given to the sender and is cleartext; an unknown id may be one of an
 * earlier edged, whose clients have to connect again. */
static enum status
on_conn_tls(struct ipc_request *r)
{
    struct msg_conn_id m;
    struct conn *c;
    enum status st;
    int fd = r->fd;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    c = conn_find(self.conns, m.conn);
    if (c == NULL) {
        log_at(LOG_LEVEL_WARNING, "%s: STARTTLS on a connection that is not known",
               role_name((enum role)r->from.role));
        send_id((enum role)r->from.role, MSG_CONN_GONE, m.conn);
        return ST_OK;
    }
    if (c->state != CONN_GIVEN || c->tls || c->role != r->from.role)
        return ST_DENIED;
    st = same_socket(c, fd);
    if (st == ST_DENIED)
        return ST_DENIED;
    if (st == ST_OK)
        r->fd = -1;
    if (st != ST_OK || !begin_tls(c, fd))
        tls_failed(c);
    return ST_OK;
}

/* --- programs that come and go --- */

/* Cleartext descriptors closed with the process that had them; TLS ones end in their relay. */
static void
lost_with(struct conn *c, void *arg)
{
    const enum role *role = arg;

    if (c->role != *role || c->tls || c->state == CONN_PROXY)
        return;
    if (c->state == CONN_SHAKES) {
        if (services[c->service].tls)
            return; /* not its yet; it may be back in time */
        relay_end(c->io);
        relay_gone();
        c->state = CONN_GIVEN;
    }
    end(c);
}

static void
on_peer_gone(enum role role, uint32_t instance)
{
    if (role != ROLE_AUTH && role != ROLE_KEY && role != ROLE_MASTER)
        conns_each(self.conns, lost_with, &role);
}

static void
tell_again(struct conn *c, void *arg)
{
    AUTO_BUF facts = BUF_INIT(MESSAGE_MAX);

    if (c->state == CONN_PROXY || !services[c->service].logins ||
        (c->state == CONN_SHAKES && services[c->service].tls))
        return;
    encode_facts(c, &facts);
    (void)ipc_send(arg, MSG_CONN_FACTS, buf_slice(&facts), -1);
}

/* A new authd knows no connection, but their sessions renew handles there. */
static void
on_peer_new(enum role role, uint32_t instance)
{
    struct channel *auth = role == ROLE_AUTH ? program_peer(ROLE_AUTH, instance) : NULL;

    if (auth != NULL)
        conns_each(self.conns, tell_again, auth);
}

/* --- the program --- */

/* "imaps, submission" as bits. */
static enum status
parse_services(struct slice text, uint32_t *bits, struct err *err)
{
    uint32_t got = 0;

    while (text.n > 0) {
        struct slice word = slice_trim(take_until(&text, ','));
        int found = 0;

        (void)take_byte(&text, ',');
        for (int i = 1; i < SERVICE_COUNT; i++)
            if (slice_eq(word, slice_of(services[i].name)))
                found = i;
        if (found == 0 || !services[found].logins)
            return err_set(err, ST_SYNTAX, "client_certificates: %.*s is no service with logins", SLICE_ARG(word));
        got |= 1u << found;
    }
    *bits = got;
    return ST_OK;
}

static enum status
tls_options_of(const struct edge_settings *settings, struct tls_options *options, struct err *err)
{
    *options = (struct tls_options){.minimum = settings->tls_minimum,
                                    .ciphers = settings->tls_ciphers,
                                    .ciphersuites = settings->tls_ciphersuites};
    return parse_services(settings->client_certificates, &options->ask, err);
}

static enum status
load_settings(struct slice text, struct err *err)
{
    struct tls_options options;
    struct buf copy = BUF_INIT(CONF_TEXT_MAX);
    struct edge_settings got;
    enum status st;

    buf_put(&copy, text);
    st = buf_ok(&copy) ? conf_load(&edge_conf, "estafeta.conf", buf_slice(&copy), &got, sizeof got, err)
                       : err_set(err, ST_MEMORY, "settings: no memory");
    if (st == ST_OK)
        st = tls_options_of(&got, &options, err);
    if (st == ST_OK)
        st = tls_options_check(&options, err);
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
edged_open(struct err *err)
{
    struct tls_options options;
    enum status st;

    /* What the machine's openssl.cnf says of other programs is not for this one. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) != 1)
        return err_set(err, ST_UNSUPPORTED, "OpenSSL does not start");
    st = load_settings(program_settings(), err);
    if (st == ST_OK)
        st = tls_options_of(&self.settings, &options, err);
    if (st == ST_OK)
        st = tls_open(program_root(), &options, &self.tls, err);
    /* The monotonic clock counts from the machine's start, faster than connections come: an edged that is
     * restarted begins above the ids of the one before, whose cleartext connections live on. */
    return st == ST_OK ? conns_new(clock_mono(), &self.conns) : st;
}

static enum status
edged_listener(const struct msg_listen *m, int fd)
{
    struct listener *l;

    if (m->service == 0 || m->service >= SERVICE_COUNT)
        return ST_SYNTAX;
    /* What is accepted inherits it on Linux: no system call for each connection. */
    if (!fd_nonblock(fd, true) || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0)
        return ST_IO;
    l = calloc(1, sizeof *l);
    if (l == NULL)
        return ST_MEMORY;
    l->watch = (struct watch){.ready = on_acceptable, .fd = fd};
    l->pause.fire = on_pause_over;
    l->service = m->service;
    l->next = self.listeners;
    self.listeners = l;
    return ST_OK;
}

static enum status
edged_start(struct err *err)
{
    for (struct listener *l = self.listeners; l != NULL; l = l->next)
        if (loop_watch(program_loop(), &l->watch, EPOLLIN) != ST_OK)
            return err_sys(err, "%s: its listener", services[l->service].name);
    if (self.tls == NULL)
        log_at(LOG_LEVEL_WARNING, "there is no certificate in etc/tls: no TLS");
    return ST_OK;
}

/* keyd opens the files, for edged may open none any more. */
static enum status
ask_certificate(const char *after, uint64_t deadline, char name[TLS_NAME_MAX], int *fd)
{
    AUTO_BUF m = BUF_INIT(256), reply = BUF_INIT(256);
    struct channel *key;
    struct msg_name got;
    enum status st = program_peer_wait(ROLE_KEY, 0, deadline, &key);

    *fd = -1;
    msg_name_put(&m, &(struct msg_name){slice_of(after)});
    if (st == ST_OK)
        st = ipc_call_fd(key, MSG_KEY_CERTIFICATE, buf_slice(&m), deadline, &reply, fd);
    if (st == ST_OK && (*fd < 0 || !msg_name_get(buf_slice(&reply), &got) || !slice_to_cstr(got.name, name, TLS_NAME_MAX)))
        st = ST_CORRUPT;
    return st;
}

static enum status
read_certificates(struct tls *tls, uint64_t deadline, struct err *err)
{
    char name[TLS_NAME_MAX] = "";
    struct err why = {0};
    enum status st;

    for (size_t i = 0; i <= TLS_PAIRS_MAX; i++) {
        AUTO_FD fd = -1;

        st = ask_certificate(name, deadline, name, &fd);
        if (st != ST_OK)
            break;
        tls_add(tls, name, fd, true);
    }
    if (st == ST_NOTFOUND) {
        AUTO_FD fd = -1;

        st = ask_certificate(TLS_CLIENTS, deadline, name, &fd);
        if (st == ST_OK && tls_add_clients(tls, fd, &why) != ST_OK)
            return err_set(err, ST_SYNTAX, "etc/tls/" TLS_CLIENTS ": %s", why.text);
    }
    return st == ST_NOTFOUND || st == ST_OK ? ST_OK : err_set(err, st, "keyd: %s", status_text(st));
}

/* Handshakes from now on use the new ones; those under way and sessions keep what they began with. */
static void
read_fiber(void *arg)
{
    do {
        struct tls_options options;
        struct tls *tls = NULL;
        struct err err = {0};
        enum status st = tls_new(&tls, &err);

        self.read_again = false;
        if (st == ST_OK)
            st = read_certificates(tls, loop_now(program_loop()) + READ_TIMEOUT, &err);
        if (st == ST_OK)
            st = tls_options_of(&self.settings, &options, &err);
        if (st == ST_OK)
            st = tls_ready(tls, &options, &err);
        if (st == ST_OK) {
            tls_free(self.tls);
            self.tls = tls;
            log_at(LOG_LEVEL_NOTICE, "certificates read: %zu", tls_n(tls));
        } else {
            tls_free(tls);
            log_at(self.tls != NULL || st != ST_NOTFOUND ? LOG_LEVEL_ERR : LOG_LEVEL_NOTICE,
                   "certificates not read, %zu stay in use: %s", tls_n(self.tls), err.text);
        }
    } while (self.read_again);
    self.reading = false;
}

static enum status
edged_reload(struct slice settings, struct err *err)
{
    enum status st = load_settings(settings, err);

    if (st != ST_OK)
        return st;
    if (self.reading)
        self.read_again = true;
    else if (fiber_spawn(program_loop(), read_fiber, NULL) == ST_OK)
        self.reading = true;
    else
        return err_set(err, ST_UNAVAILABLE, "tls: no fiber to read certificates");
    return ST_OK;
}

static void
hurry(struct conn *c, void *arg)
{
    if (c->state == CONN_SHAKES) { /* nobody is there to serve it */
        relay_end(c->io);
        self.relays--;
        tls_failed(c);
    } else if (c->tls) {
        relay_hurry(c->io);
    }
}

static void
on_stop_timeout(struct timer *t)
{
    program_exit(0);
}

static void
edged_stop(void)
{
    for (struct listener *l = self.listeners; l != NULL; l = l->next) {
        loop_unwatch(program_loop(), &l->watch);
        loop_timer_stop(program_loop(), &l->pause);
        (void)close(l->watch.fd);
    }
    conns_each(self.conns, hurry, NULL);
    self.stopping = true;
    self.stop.fire = on_stop_timeout;
    if (self.relays == 0)
        program_exit(0);
    else
        loop_timer(program_loop(), &self.stop, loop_now(program_loop()) + STOP_TIMEOUT);
}

#define FIRST (ROLE_BIT(SMTP) | ROLE_BIT(SUBMIT) | ROLE_BIT(LOGIN))
#define LATER (ROLE_BIT(IMAP) | ROLE_BIT(POP3))
/* message, who may send it, handler, with a descriptor; all else closes the channel */
static const struct ipc_route routes[] = {
    {MSG_CONN_DONE, FIRST | LATER, on_conn_done, false},
    {MSG_CONN_TAKEN, LATER, on_conn_taken, false},
    {MSG_CONN_TLS,             FIRST, on_conn_tls, true},
    {0       },
};

int
main(int argc, char **argv)
{
    static const struct program program = {.role = ROLE_EDGE,
                                           .routes = routes,
                                           .open = edged_open,
                                           .start = edged_start,
                                           .reload = edged_reload,
                                           .stop = edged_stop,
                                           .listener = edged_listener,
                                           .peer_gone = on_peer_gone,
                                           .peer_new = on_peer_new};

    return program_main(&program, argc, argv);
}
