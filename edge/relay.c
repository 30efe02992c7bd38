#include "edge/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "sys/fiber.h"
#include "sys/log.h"

#define PIECE             16384u      /* a record's most, RFC 8446 5.1 */
#define PIECES_A_ROUND    4           /* carried one way before others have a turn */
#define SOCKETPAIR_BUFFER 65536       /* bytes of each direction in the kernel */
#define FLUSH_TIMEOUT     SECONDS(30) /* for a client to take the last bytes of a session */
#define LINGER_TIMEOUT    SECONDS(2)  /* for a client to close after us */
#define LINGER_STOP       MSEC(100)   /* the same when the system stops */
#define FLUSH_STOP        SECONDS(1)  /* FLUSH_TIMEOUT then */

/* What one side did not take; allocated while there is something. */
struct pending {
    uint8_t *p;
    size_t at, n;
};

struct relay {
    struct loop *loop;
    SSL *ssl;
    const struct relay_owner *owner;
    void *arg;
    struct watch client, service; /* edge-triggered, with EPOLLOUT only while one takes no more */
    struct timer timer;           /* of the handshake, of the last bytes, of lingering */
    struct deferred again;        /* goes on in the next round */
    struct pending up, down;      /* to the service, to the client */
    const char *failure;
    /* drained: the last read took all there was, and nothing was told since */
    bool busy, dead, begun, drained, client_hup, service_drained, service_ends, service_hup;
    bool client_eof;  /* close_notify came */
    bool up_done;     /* and was passed on, or the service takes no more */
    bool service_eof; /* the service will write no more */
    bool down_done;   /* and the client was told by close_notify */
    bool lingering;
};

static bool hurried; /* the system stops */
static uint8_t scratch[PIECE]; /* one thread, and nobody waits while it holds something */

/* --- the socket, as OpenSSL sees it: no read that is known to find nothing --- */

static int
bio_read(BIO *bio, char *to, int n)
{
    struct relay *r = BIO_get_data(bio);
    ssize_t got;

    BIO_clear_retry_flags(bio);
    if (r->dead)
        return -1;
    if (r->drained) {
        BIO_set_retry_read(bio);
        return -1;
    }
    do
        got = recv(r->client.fd, to, (size_t)n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    /* epoll(7): less than was asked for means that there is no more; an end would be told as EPOLLRDHUP */
    r->drained = got < n && !r->client_hup && (got > 0 || (got < 0 && errno == EAGAIN));
    if (got < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)got;
}

static int
bio_write(BIO *bio, const char *from, int n)
{
    struct relay *r = BIO_get_data(bio);
    ssize_t sent;

    BIO_clear_retry_flags(bio);
    if (r->dead)
        return -1;
    do
        sent = send(r->client.fd, from, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)sent;
}

static long
bio_ctrl(BIO *bio, int what, long n, void *p)
{
    return what == BIO_CTRL_FLUSH;
}

static int
bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO *
make_bio(struct relay *r)
{
    static BIO_METHOD *method;
    BIO *bio;

    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "relay");
        if (method == NULL || BIO_meth_set_read(method, bio_read) != 1 ||
            BIO_meth_set_write(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1 ||
            BIO_meth_set_create(method, bio_create) != 1)
            return NULL;
    }
    bio = BIO_new(method);
    if (bio != NULL)
        BIO_set_data(bio, r);
    return bio;
}

/* --- the end --- */

static void
destroy(struct relay *r)
{
    SSL_free(r->ssl);
    free(r->up.p);
    free(r->down.p);
    free(r);
}

/* Closes everything. A fiber that waits for keyd meanwhile finds it dead. */
void
relay_end(struct relay *r)
{
    loop_unwatch(r->loop, &r->client);
    loop_unwatch(r->loop, &r->service);
    loop_timer_stop(r->loop, &r->timer);
    loop_undefer(r->loop, &r->again);
    (void)close(r->client.fd);
    if (r->service.fd >= 0)
        (void)close(r->service.fd);
    r->dead = true;
    if (!r->busy)
        destroy(r);
}

static void
over(struct relay *r, const char *why)
{
    bool busy = r->busy;

    if (r->failure == NULL)
        r->failure = why;
    r->busy = true; /* until over() has looked at it */
    relay_end(r);
    r->owner->over(r, r->arg);
    r->busy = busy;
    if (!busy)
        destroy(r);
}

static void
on_timer(struct timer *t)
{
    struct relay *r = OUTER(t, struct relay, timer);

    over(r, r->begun ? "the client does not take its last bytes" : "its TLS handshake took too long");
}

void
relay_hurry(struct relay *r)
{
    hurried = true;
    if (r->begun && r->timer.set)
        loop_timer(r->loop, &r->timer, loop_now(r->loop) + (r->lingering ? LINGER_STOP : FLUSH_STOP));
}

static const char *
reason(int error)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    if (text != NULL)
        return text;
    return error == SSL_ERROR_SYSCALL && errno != 0 ? strerror(errno) : "the connection was cut";
}

/* --- carrying --- */

/* Waits for room on a side, or no longer. */
static bool
watch_out(struct relay *r, struct watch *w, bool out)
{
    uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET | (out ? EPOLLOUT : 0u);

    if (loop_watch(r->loop, w, events) == ST_OK)
        return true;
    over(r, "no memory for its events");
    return false;
}

/* Keeps what was not taken. False when there is no memory for it: the relay is over. */
static bool
keep(struct relay *r, struct pending *to, struct slice rest)
{
    to->p = malloc(rest.n);
    if (to->p == NULL) {
        over(r, "no memory for its bytes");
        return false;
    }
    memcpy(to->p, rest.p, rest.n);
    to->at = 0;
    to->n = rest.n;
    return true;
}

static struct slice
held(const struct pending *p)
{
    return slice_from(p->p != NULL ? p->p + p->at : NULL, p->n - p->at);
}

static void
release(struct pending *p)
{
    free(p->p);
    *p = (struct pending){0};
}

enum carried { GOES_ON, WAITS, ENDED };

/* Bytes to the service; what it does not take is kept. */
static enum carried
put_up(struct relay *r, struct slice bytes)
{
    ssize_t sent;

    do
        sent = send(r->service.fd, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN) { /* it has closed; what it wrote before is still carried */
        release(&r->up);
        r->up_done = true;
        return WAITS;
    }
    if (sent < 0)
        sent = 0;
    if (r->up.p != NULL)
        r->up.at += (size_t)sent;
    else if ((size_t)sent < bytes.n && !keep(r, &r->up, slice_skip(bytes, (size_t)sent)))
        return ENDED;
    if ((size_t)sent == bytes.n) {
        release(&r->up);
        return GOES_ON;
    }
    return watch_out(r, &r->service, true) ? WAITS : ENDED;
}

/* From the client to the service. */
static enum carried
carry_up(struct relay *r)
{
    int n, error;

    if (r->up_done)
        return WAITS;
    if (r->up.p != NULL)
        return put_up(r, held(&r->up));
    if (r->client_eof) {
        (void)shutdown(r->service.fd, SHUT_WR);
        r->up_done = true;
        return WAITS;
    }
    ERR_clear_error();
    errno = 0;
    n = SSL_read(r->ssl, scratch, (int)sizeof scratch);
    if (n > 0)
        return put_up(r, slice_from(scratch, (size_t)n));
    error = SSL_get_error(r->ssl, n);
    if (error == SSL_ERROR_WANT_READ)
        return WAITS;
    if (error == SSL_ERROR_WANT_WRITE) /* an answer to a key update waits for room */
        return watch_out(r, &r->client, true) ? WAITS : ENDED;
    if (error == SSL_ERROR_ZERO_RETURN) {
        r->client_eof = true;
        return GOES_ON;
    }
    over(r, reason(error));
    return ENDED;
}

/* Bytes to the client. OpenSSL takes a record whole or wants the same bytes again. */
static enum carried
put_down(struct relay *r, struct slice bytes)
{
    int n, error;

    ERR_clear_error();
    errno = 0;
    n = SSL_write(r->ssl, bytes.p, (int)bytes.n);
    if (n > 0 && r->down.p != NULL)
        r->down.at += (size_t)n;
    else if (n > 0 && (size_t)n < bytes.n && !keep(r, &r->down, slice_skip(bytes, (size_t)n)))
        return ENDED;
    if (n > 0) {
        if ((size_t)n == bytes.n)
            release(&r->down);
        return GOES_ON;
    }
    error = SSL_get_error(r->ssl, n);
    if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) {
        over(r, reason(error));
        return ENDED;
    }
    if (r->down.p == NULL && !keep(r, &r->down, bytes))
        return ENDED;
    return watch_out(r, &r->client, true) ? WAITS : ENDED;
}

/* From the service to the client. */
static enum carried
carry_down(struct relay *r)
{
    ssize_t n;

    if (r->down.p != NULL)
        return put_down(r, held(&r->down));
    if (r->service_eof || r->service_drained)
        return WAITS;
    do
        n = recv(r->service.fd, scratch, sizeof scratch, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    r->service_drained = n < (ssize_t)sizeof scratch && !r->service_ends; /* the end is told once */
    if (n > 0)
        return put_down(r, slice_from(scratch, (size_t)n));
    if (n < 0 && errno == EAGAIN)
        return WAITS;
    r->service_eof = true; /* also when it left bytes of ours unread (ECONNRESET) */
    return WAITS;
}

/* Our side is closed; whatever the client still sends is not read by anybody, but an early close would take
 * the last bytes from him (RFC 1122 4.2.2.13). */
static void
linger(struct relay *r)
{
    ssize_t n;

    do
        n = recv(r->client.fd, scratch, sizeof scratch, MSG_DONTWAIT);
    while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0 || errno != EAGAIN)
        over(r, "");
}

/* After the carrying: is one side, or are both at their end? */
static void
settle(struct relay *r)
{
    int n;

    if (!r->service_eof || r->down.p != NULL)
        return;
    if (!r->down_done) {
        ERR_clear_error();
        n = SSL_shutdown(r->ssl); /* RFC 8446 6.1: close_notify ends our direction alone */
        if (n < 0 && SSL_get_error(r->ssl, n) == SSL_ERROR_WANT_WRITE) {
            if (watch_out(r, &r->client, true) && !r->timer.set)
                loop_timer(r->loop, &r->timer, loop_now(r->loop) + (hurried ? FLUSH_STOP : FLUSH_TIMEOUT));
            return;
        }
        r->down_done = true;
    }
    if (r->client_eof && r->up_done) {
        over(r, "");
    } else if (r->service_hup || r->up_done) {
        r->lingering = true;
        loop_undefer(r->loop, &r->again);
        loop_timer(r->loop, &r->timer, loop_now(r->loop) + (hurried ? LINGER_STOP : LINGER_TIMEOUT));
        (void)shutdown(r->client.fd, SHUT_WR);
        linger(r);
    }
}

static void
carry(struct relay *r)
{
    enum carried up = GOES_ON, down = GOES_ON;

    for (int i = 0; i < PIECES_A_ROUND && (up == GOES_ON || down == GOES_ON); i++) {
        if (up == GOES_ON)
            up = carry_up(r);
        if (up != ENDED && down == GOES_ON)
            down = carry_down(r);
        if (up == ENDED || down == ENDED)
            return;
    }
    if (up == GOES_ON || down == GOES_ON)
        loop_next(r->loop, &r->again);
    else if (r->service_hup && r->down.p != NULL && !r->timer.set)
        loop_timer(r->loop, &r->timer, loop_now(r->loop) + (hurried ? FLUSH_STOP : FLUSH_TIMEOUT));
    settle(r);
}

static void
on_again(struct deferred *d)
{
    carry(OUTER(d, struct relay, again));
}

/* Room again, so EPOLLOUT is not asked for any more. */
static bool
has_room(struct relay *r, struct watch *w, uint32_t events)
{
    return (w->events & EPOLLOUT) == 0 || (events & EPOLLOUT) == 0 || watch_out(r, w, false);
}

static void
on_service(struct watch *w, uint32_t events)
{
    struct relay *r = OUTER(w, struct relay, service);

    if (events & (EPOLLHUP | EPOLLERR))
        r->service_hup = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r->service_ends = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r->service_drained = false;
    if (has_room(r, w, events) && !r->lingering)
        carry(r);
}

/* --- the handshake --- */

static void
step(void *arg)
{
    struct relay *r = arg;
    int n, error;

    r->busy = true;
    ERR_clear_error();
    errno = 0;
    n = SSL_do_handshake(r->ssl);
    error = SSL_get_error(r->ssl, n);
    if (r->dead) {
        ; /* ended while keyd was asked */
    } else if (n == 1) {
        r->begun = true;
        loop_timer_stop(r->loop, &r->timer);
        r->owner->begun(r, r->arg);
        if (!r->dead)
            carry(r);
    } else if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        if (watch_out(r, &r->client, error == SSL_ERROR_WANT_WRITE) && error == SSL_ERROR_WANT_READ &&
            !r->drained)
            loop_next(r->loop, &r->again); /* told of while keyd was asked */
    } else {
        over(r, reason(error));
    }
    ERR_clear_error();
    r->busy = false;
    if (r->dead)
        destroy(r);
}

/* A stack is lent for each step, since keyd may have to be waited for in it. */
static void
go_on(struct relay *r)
{
    if (r->busy)
        return; /* it looks again when it is done */
    if (r->begun)
        carry(r);
    else if (fiber_spawn(r->loop, step, r) != ST_OK)
        over(r, "too much is waited for already");
}

static void
on_client(struct watch *w, uint32_t events)
{
    struct relay *r = OUTER(w, struct relay, client);

    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r->client_hup = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r->drained = false;
    if (!has_room(r, w, events))
        return;
    if (r->lingering)
        linger(r);
    else
        go_on(r);
}

static void
on_next(struct deferred *d)
{
    struct relay *r = OUTER(d, struct relay, again);

    if (r->begun)
        on_again(d);
    else
        go_on(r);
}

enum status
relay_new(struct loop *loop, SSL *ssl, int fd, uint64_t deadline, const struct relay_owner *owner, void *arg,
          struct relay **result)
{
    struct relay *r = calloc(1, sizeof *r);
    BIO *bio = r != NULL ? make_bio(r) : NULL;

    if (bio == NULL) {
        SSL_free(ssl);
        free(r);
        (void)close(fd);
        return ST_MEMORY;
    }
    SSL_set_bio(ssl, bio, bio);
    r->loop = loop;
    r->ssl = ssl;
    r->owner = owner;
    r->arg = arg;
    r->client = (struct watch){.ready = on_client, .fd = fd};
    r->service = (struct watch){.ready = on_service, .fd = -1};
    r->timer.fire = on_timer;
    r->again.run = on_next;
    if (loop_watch(loop, &r->client, EPOLLIN | EPOLLRDHUP | EPOLLET) != ST_OK) {
        relay_end(r);
        return ST_MEMORY;
    }
    loop_timer(loop, &r->timer, deadline);
    *result = r;
    return ST_OK;
}

enum status
relay_open(struct relay *r, int *service_fd)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return ST_IO;
    for (size_t i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &(int){SOCKETPAIR_BUFFER}, sizeof(int));
    r->service.fd = ends[0];
    if (loop_watch(r->loop, &r->service, EPOLLIN | EPOLLRDHUP | EPOLLET) != ST_OK) {
        (void)close(ends[1]);
        return ST_MEMORY; /* the owner ends it, and with it ends[0] */
    }
    *service_fd = ends[1];
    return ST_OK;
}

/* RFC 9266 3: with TLS 1.2 only when the master secret is bound to the whole handshake (RFC 7627). */
static bool
exporter(SSL *ssl, uint8_t to[CONN_EXPORTER])
{
    static const char label[] = "EXPORTER-Channel-Binding";

    return (SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1) &&
           SSL_export_keying_material(ssl, to, CONN_EXPORTER, label, sizeof label - 1, (const unsigned char *)"", 0,
                                      1) == 1;
}

/* RFC 5929 4.1: the hash of our certificate by the hash of its signature, SHA-256 for the broken ones. Not for a resumed
 * session, whose client saw a certificate earlier: which of several is not known any more. */
static size_t
end_point(SSL *ssl, uint8_t to[CONN_END_POINT])
{
    X509 *certificate = SSL_get_certificate(ssl);
    const EVP_MD *md;
    unsigned n = 0;
    int nid = NID_undef;

    if (SSL_session_reused(ssl) || certificate == NULL ||
        X509_get_signature_info(certificate, &nid, NULL, NULL, NULL) != 1)
        return 0;
    if (nid == NID_md5 || nid == NID_sha1)
        nid = NID_sha256;
    md = EVP_get_digestbynid(nid);
    if (md == NULL || (size_t)EVP_MD_get_size(md) > CONN_END_POINT)
        return 0; /* undefined for signatures without one hash, as Ed25519's */
    return X509_digest(certificate, md, to, &n) == 1 ? n : 0;
}

void
relay_facts(const struct relay *r, struct relay_facts *facts)
{
    const char *name = SSL_get_servername(r->ssl, TLSEXT_NAMETYPE_host_name);

    *facts = (struct relay_facts){.version = slice_of(SSL_get_version(r->ssl)),
                                  .cipher = slice_of(SSL_get_cipher_name(r->ssl))};
    if (name != NULL && slice_to_cstr(slice_of(name), facts->name, sizeof facts->name))
        facts->sni = slice_of(facts->name);
    if (exporter(r->ssl, facts->exporter))
        facts->binding = slice_from(facts->exporter, CONN_EXPORTER);
    client_certificate(r->ssl, &facts->client);
    if (facts->client.shown) {
        facts->certificate = slice_from(facts->client.hash, sizeof facts->client.hash);
        facts->certificate_name = slice_from(facts->client.name, facts->client.name_n);
    }
    facts->end_point = slice_from(facts->server_hash, end_point(r->ssl, facts->server_hash));
}

const char *
relay_failure(const struct relay *r)
{
    return r->failure != NULL ? r->failure : "";
}
