#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/zip.h"

#define POOL_KEEP 256         /* free buffers kept hot */
#define RETRY MSEC(20)        /* when there was no fiber for a session */
#define ZIPPED 2048           /* deflated bytes made at a time, on a fiber's stack */
#define DRAIN 8               /* reads that throw input away before a close */
#define INPUT_EVENTS (EPOLLIN | EPOLLRDHUP | EPOLLET)

/* Buffers of STREAM_INPUT bytes for input and output, last used first: the hottest. */
static _Thread_local struct {
    uint8_t *free[POOL_KEEP];
    size_t n;
} pool;

static uint8_t *
pool_get(void)
{
    return pool.n > 0 ? pool.free[--pool.n] : malloc(STREAM_INPUT);
}

static void
pool_put(uint8_t *p)
{
    if (p != NULL && pool.n < POOL_KEEP)
        pool.free[pool.n++] = p;
    else
        free(p);
}

static void
release_input(struct stream *s)
{
    if (s->in == NULL || s->start != s->end)
        return;
    pool_put(s->in);
    s->in = NULL;
    s->start = s->end = 0;
}

static void
release_output(struct stream *s)
{
    if (s->out.cap == STREAM_INPUT)
        pool_put(s->out.p);
    else
        free(s->out.p);
    s->out = BUF_INIT(STREAM_OUTPUT);
}

static void start_session(struct stream *s);

static void
wake(struct wait *w, enum status st)
{
    if (w != NULL)
        wait_end(w, st);
}

/* The connection is of no more use. An idling session is started, so that it ends itself. */
static void
breaks(struct stream *s)
{
    s->broken = true;
    release_output(s);
    wake(s->reading, ST_CLOSED);
    wake(s->writing, ST_CLOSED);
}

/* One system call: what is gathered, then `more`, of which *sent is what the kernel took. False
 * when the stream broke. */
static bool
send_now(struct stream *s, struct slice more, size_t *sent)
{
    struct iovec parts[2] = {{s->out.p, s->out.n}, {(void *)(uintptr_t)more.p, more.n}};
    bool gathered = s->out.n > 0;
    struct msghdr m = {.msg_iov = gathered ? parts : parts + 1, .msg_iovlen = (gathered ? 1u : 0u) + (more.n > 0 ? 1u : 0u)};
    size_t all = s->out.n + more.n, n;
    ssize_t got;

    *sent = 0;
    do
        got = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno != EAGAIN && errno != ENOBUFS) {
        breaks(s);
        return false;
    }
    n = got > 0 ? (size_t)got : 0;
    s->bytes_out += n;
    s->blocked = n < all;
    if (n < s->out.n) {
        buf_eat(&s->out, n);
    } else {
        *sent = n - s->out.n;
        release_output(s);
    }
    /* EPOLLOUT is armed only while the peer is slow, which is rare: else nothing is asked of epoll. */
    if (loop_watch(s->loop, &s->watch, s->blocked ? INPUT_EVENTS | EPOLLOUT : INPUT_EVENTS) != ST_OK) {
        breaks(s);
        return false;
    }
    return true;
}

static bool gather(struct stream *s, struct slice bytes);

/* What the deflater holds back, at most 32 KiB, is gathered. */
static void
let_out(struct stream *s)
{
    struct slice none = {0};
    uint8_t room[ZIPPED];
    size_t n = sizeof room;

    if (!s->dirty || s->broken)
        return;
    s->dirty = false;
    while (n == sizeof room) {
        zip_deflate(s->zip, &none, true, room, sizeof room, &n);
        if (n > 0 && !gather(s, slice_from(room, n))) {
            breaks(s);
            return;
        }
    }
}

static void
on_flush(struct deferred *d)
{
    struct stream *s = OUTER(d, struct stream, flush);
    size_t sent;

    if (!s->blocked)
        let_out(s);

    if (s->broken)
        start_session(s);
    else if (s->out.n > 0 && !s->blocked && !send_now(s, (struct slice){NULL, 0}, &sent))
        start_session(s);
}

static void
on_ready(struct watch *w, uint32_t events)
{
    struct stream *s = OUTER(w, struct stream, watch);
    size_t sent;

    if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        s->hup = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        s->readable = s->kernel = true;
    if (s->blocked && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
        s->blocked = false;
        if (s->out.n == 0 || (send_now(s, (struct slice){NULL, 0}, &sent) && !s->blocked))
            wake(s->writing, ST_OK);
        if (s->dirty)
            loop_defer(s->loop, &s->flush);
    }
    if (s->readable)
        wake(s->reading, ST_OK);
    if (s->readable || s->broken)
        start_session(s);
}

/* The end of `serve`: is there something to serve at once? */
static bool
go_on(struct stream *s, uint64_t taken_before)
{
    bool progress = s->bytes_in - (s->end - s->start) != taken_before;

    fiber_yield_if_long();
    return s->readable || s->broken || (progress && s->end > s->start);
}

/* Runs on a fiber. `s` may be gone whenever one of the two functions has ended the session. */
static void
session(void *arg)
{
    struct stream *s = arg;
    bool was_over;

    for (;;) {
        uint64_t taken = s->bytes_in - (s->end - s->start);

        if (s->cancelled || (!s->readable && !s->broken && loop_now(s->loop) >= s->idle_deadline && s->start == s->end))
            break;
        was_over = s->eof || s->broken;
        if (!s->serve(s->arg))
            return;
        if (was_over) /* it was told, and did not go: nothing would ever wake it */
            break;
        if (s->cancelled)
            break;
        if (!go_on(s, taken) && !s->cancelled && !s->eof) {
            s->serving = false;
            release_input(s);
            if (!s->idle.set || s->idle.at > s->idle_deadline)
                loop_timer(s->loop, &s->idle, s->idle_deadline);
            return;
        }
    }
    s->idled(s->arg);
}

/* Lends the idling session a fiber. When there is none, it is tried again shortly. */
static void
start_session(struct stream *s)
{
    if (s->serving)
        return;
    s->serving = true;
    if (fiber_spawn(s->loop, session, s) != ST_OK) {
        s->serving = false;
        loop_timer(s->loop, &s->idle, loop_now(s->loop) + RETRY);
    }
}

static void
on_idle(struct timer *t)
{
    struct stream *s = OUTER(t, struct stream, idle);

    if (s->serving)
        return; /* set again when it idles */
    if (s->readable || s->broken || s->cancelled || loop_now(s->loop) >= s->idle_deadline)
        start_session(s);
    else
        loop_timer(s->loop, t, s->idle_deadline); /* it was moved meanwhile */
}

void
stream_init(struct stream *s, struct loop *loop, int fd)
{
    *s = (struct stream){.loop = loop, .fd = fd, .serving = true, .out = BUF_INIT(STREAM_OUTPUT)};
    s->watch = (struct watch){.ready = on_ready, .fd = fd};
    s->flush.run = on_flush;
    s->idle.fire = on_idle;
    s->idle_deadline = NEVER; /* until stream_serve says one */
}

enum status
stream_preload(struct stream *s, struct slice bytes)
{
    if (bytes.n == 0)
        return ST_OK;
    if (bytes.n > STREAM_INPUT - (s->end - s->start))
        return ST_LIMIT;
    if (s->in == NULL && (s->in = pool_get()) == NULL)
        return ST_MEMORY;
    if (s->start > 0)
        memmove(s->in, s->in + s->start, s->end - s->start);
    s->end -= s->start;
    s->start = 0;
    memcpy(s->in + s->end, bytes.p, bytes.n);
    s->end += bytes.n;
    s->bytes_in += bytes.n;
    return ST_OK;
}

/* A close with unread input is a reset, which may overtake our last words at the peer (TCP). */
static void
drain(int fd)
{
    uint8_t scratch[4096];

    for (int i = 0; i < DRAIN; i++)
        if (recv(fd, scratch, sizeof scratch, MSG_DONTWAIT) <= 0)
            return;
}

void
stream_close(struct stream *s)
{
    size_t sent;

    assert(s->reading == NULL && s->writing == NULL);
    if (s->fd >= 0) {
        if (!s->blocked)
            let_out(s);
        if (s->out.n > 0 && !s->broken && !s->blocked)
            (void)send_now(s, (struct slice){NULL, 0}, &sent);
        loop_unwatch(s->loop, &s->watch);
        if (!s->eof && !s->broken && (s->readable || s->end > s->start))
            drain(s->fd);
        (void)close(s->fd);
        s->fd = -1;
    }
    loop_undefer(s->loop, &s->flush);
    loop_timer_stop(s->loop, &s->idle);
    s->start = s->end = 0;
    release_input(s);
    release_output(s);
    if (s->raw != NULL)
        pool_put(s->raw);
    s->raw = NULL;
    zip_free(s->zip);
    s->zip = NULL;
    s->zipping = s->dirty = false;
    s->broken = true;
}

enum status
stream_detach(struct stream *s, int *fd)
{
    if (s->out.n > 0 || s->fd < 0 || s->zip != NULL)
        return ST_STATE;
    loop_unwatch(s->loop, &s->watch);
    *fd = s->fd;
    s->fd = -1;
    s->broken = true;
    return ST_OK;
}

void
stream_serve(struct stream *s, bool (*serve)(void *arg), void (*idled)(void *arg), void *arg, uint64_t idle_deadline)
{
    bool first = s->serve == NULL;

    s->serve = serve;
    s->idled = idled;
    s->arg = arg;
    s->idle_deadline = idle_deadline;
    if (!first)
        return;
    s->serving = false;
    if (!s->broken && loop_watch(s->loop, &s->watch, INPUT_EVENTS) != ST_OK)
        s->broken = true;
    if (s->end > s->start || s->readable || s->eof || s->broken || s->cancelled)
        start_session(s);
    else
        loop_timer(s->loop, &s->idle, idle_deadline);
}

void
stream_cancel(struct stream *s)
{
    s->cancelled = true;
    wake(s->reading, ST_CANCELLED);
    wake(s->writing, ST_CANCELLED);
    start_session(s);
}

/* What every call looks at first. */
static enum status
standing(const struct stream *s)
{
    return s->broken ? ST_CLOSED : s->cancelled ? ST_CANCELLED : ST_OK;
}

/* Waits until on_ready wakes *place. The only place that waits. */
static enum status
wait_in(struct stream *s, struct wait **place, uint64_t deadline)
{
    struct wait w = WAIT_INIT;
    enum status st;

    assert(*place == NULL);
    if (loop_watch(s->loop, &s->watch, s->watch.events != 0 ? s->watch.events : INPUT_EVENTS) != ST_OK) {
        breaks(s);
        return ST_CLOSED;
    }
    *place = &w;
    st = wait_for(&w, deadline);
    *place = NULL;
    return st;
}

/* Reads up to n bytes into `to`, waiting for the first. A short read empties the kernel's buffer,
 * and the next byte brings an event: no read is made only to hear EAGAIN. */
static enum status
receive_plain(struct stream *s, void *to, size_t n, uint64_t deadline, size_t *got)
{
    enum status st;
    ssize_t r;

    fiber_yield_if_long(); /* a peer that never stops sending must not keep the thread */
    for (;;) {
        if ((st = standing(s)) != ST_OK)
            return st;
        if (s->eof)
            return ST_CLOSED;
        if (!s->readable) {
            if ((st = wait_in(s, &s->reading, deadline)) != ST_OK)
                return st;
            continue;
        }
        r = recv(s->fd, to, n, MSG_DONTWAIT);
        if (r > 0) {
            *got = (size_t)r;
            s->bytes_in += *got;
            s->readable = *got == n || s->hup;
            return ST_OK;
        }
        if (r == 0)
            s->eof = true;
        else if (errno == EAGAIN)
            s->readable = false;
        else if (errno != EINTR)
            breaks(s);
        if (s->eof)
            s->readable = false;
    }
}

/* The same of what is inflated. Whatever the peer makes of few bytes, no more than n come out at a time. */
static enum status
receive(struct stream *s, void *to, size_t n, uint64_t deadline, size_t *got)
{
    enum status st;
    size_t came;

    if (!s->zipping)
        return receive_plain(s, to, n, deadline, got);
    for (;;) {
        struct slice in = slice_from(s->raw != NULL ? s->raw + s->raw_start : NULL, s->raw_end - s->raw_start);

        if ((st = standing(s)) != ST_OK)
            return st;
        if (in.n > 0 || s->unzipped) {
            st = zip_inflate(s->zip, &in, to, n, got);
            s->unzipped = st == ST_OK && *got == n;
            s->raw_start = s->raw_end - in.n;
            if (in.n == 0 && s->raw != NULL) {
                pool_put(s->raw);
                s->raw = NULL;
                s->raw_start = s->raw_end = 0;
            }
            if (st != ST_OK) {
                breaks(s);
                return ST_CLOSED;
            }
            s->readable = s->kernel || in.n > 0 || s->unzipped;
            if (*got > 0) {
                s->bytes_in += *got;
                fiber_yield_if_long();
                return ST_OK;
            }
            continue;
        }
        if (!s->readable && !s->eof && (st = wait_in(s, &s->reading, deadline)) != ST_OK)
            return st;
        if (s->raw == NULL && (s->raw = pool_get()) == NULL)
            return ST_MEMORY;
        st = receive_plain(s, s->raw, STREAM_INPUT, deadline, &came);
        if (st != ST_OK) {
            pool_put(s->raw);
            s->raw = NULL;
            return st;
        }
        s->kernel = s->readable;
        s->bytes_in -= came; /* they count when they are inflated */
        s->raw_end = came;
    }
}

enum status
stream_compress_prepare(struct stream *s)
{
    if (s->zip != NULL)
        return ST_STATE;
    s->zip = zip_new();
    return s->zip != NULL ? ST_OK : ST_MEMORY;
}

void
stream_compress_begin(struct stream *s)
{
    if (s->zip == NULL)
        return;
    s->zipping = true;
    s->kernel = s->readable;
    s->raw = s->in; /* what is pending is deflated already */
    s->raw_start = s->start;
    s->raw_end = s->end;
    s->bytes_in -= s->end - s->start;
    s->in = NULL;
    s->start = s->end = 0;
    if (s->raw != NULL && s->raw_start == s->raw_end) {
        pool_put(s->raw);
        s->raw = NULL;
        s->raw_start = s->raw_end = 0;
    }
    s->readable |= s->raw != NULL;
}

enum status
stream_more(struct stream *s, uint64_t deadline)
{
    enum status st = standing(s);
    size_t got;

    if (st != ST_OK)
        return st;
    if (s->end - s->start == STREAM_INPUT)
        return ST_LIMIT;
    release_input(s); /* wait without a buffer; it comes back as hot as it went */
    if (!s->readable && !s->eof && (st = wait_in(s, &s->reading, deadline)) != ST_OK)
        return st;
    if (s->in == NULL && (s->in = pool_get()) == NULL)
        return ST_MEMORY;
    if (s->start > 0) {
        memmove(s->in, s->in + s->start, s->end - s->start);
        s->end -= s->start;
        s->start = 0;
    }
    st = receive(s, s->in + s->end, STREAM_INPUT - s->end, deadline, &got);
    if (st == ST_OK)
        s->end += got;
    else
        release_input(s);
    return st;
}

void
stream_eat(struct stream *s, size_t n)
{
    assert(n <= s->end - s->start);
    s->start += n;
}

enum status
stream_line(struct stream *s, size_t most, uint64_t deadline, struct slice *line)
{
    size_t seen = 0; /* pending bytes known to hold no CR LF but for a CR at their end */
    enum status st = standing(s);

    if (st != ST_OK)
        return st;
    for (;;) {
        struct slice in = slice_sub(stream_pending(s), 0, most);
        const uint8_t *lf;

        while (seen < in.n && (lf = memchr(in.p + seen, '\n', in.n - seen)) != NULL) {
            seen = (size_t)(lf - in.p) + 1;
            if (seen >= 2 && lf[-1] == '\r') {
                *line = (struct slice){in.p, seen - 2};
                s->start += seen;
                return ST_OK;
            }
        }
        seen = in.n;
        if (in.n == most)
            return ST_LIMIT;
        if ((st = stream_more(s, deadline)) != ST_OK)
            return st;
    }
}

enum status
stream_some(struct stream *s, size_t most, uint64_t deadline, struct slice *bytes)
{
    enum status st = standing(s);

    if (st == ST_OK && s->start == s->end)
        st = stream_more(s, deadline);
    if (st != ST_OK)
        return st;
    *bytes = slice_sub(stream_pending(s), 0, most);
    s->start += bytes->n;
    return ST_OK;
}

enum status
stream_into(struct stream *s, void *to, size_t most, uint64_t deadline, size_t *got)
{
    struct slice have = slice_sub(stream_pending(s), 0, most);
    enum status st = standing(s);

    if (st != ST_OK)
        return st;
    if (have.n == 0) {
        release_input(s);
        return receive(s, to, most, deadline, got);
    }
    memcpy(to, have.p, have.n);
    s->start += have.n;
    *got = have.n;
    return ST_OK;
}

bool
stream_quiet(struct stream *s)
{
    uint8_t byte;

    return s->start == s->end && (s->fd < 0 || recv(s->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) <= 0);
}

/* Adds to what is gathered; false without memory. */
static bool
gather(struct stream *s, struct slice bytes)
{
    if (s->out.p == NULL && (s->out.p = pool_get()) != NULL)
        s->out.cap = STREAM_INPUT;
    buf_put(&s->out, bytes);
    if (!buf_ok(&s->out)) {
        s->out.failed = false;
        return false;
    }
    if (!s->blocked)
        loop_defer(s->loop, &s->flush);
    return true;
}

static enum status
put_plain(struct stream *s, struct slice bytes, uint64_t deadline)
{
    enum status st;
    size_t n;

    for (;;) {
        if ((st = standing(s)) != ST_OK)
            return st;
        if (bytes.n == 0)
            return ST_OK;
        if (s->out.n + bytes.n <= STREAM_GATHER)
            return gather(s, bytes) ? ST_OK : ST_MEMORY;
        if (!s->blocked) {
            if (!send_now(s, bytes, &n))
                return ST_CLOSED;
            bytes = slice_skip(bytes, n);
            fiber_yield_if_long();
            if (!s->blocked)
                continue;
        }
        n = STREAM_OUTPUT - s->out.n;
        if (!gather(s, slice_sub(bytes, 0, n)))
            return ST_MEMORY;
        bytes = slice_skip(bytes, n);
        if (bytes.n > 0 && s->blocked && (st = wait_in(s, &s->writing, deadline)) != ST_OK)
            return st;
    }
}

/* Through the deflater, which keeps some of it until the round ends. */
static enum status
put_zipped(struct stream *s, struct slice bytes, uint64_t deadline)
{
    uint8_t room[ZIPPED];
    size_t n;
    enum status st = standing(s);

    while (st == ST_OK && bytes.n > 0) {
        zip_deflate(s->zip, &bytes, false, room, sizeof room, &n);
        s->dirty = true;
        st = put_plain(s, slice_from(room, n), deadline);
        fiber_yield_if_long();
    }
    if (s->dirty && !s->blocked)
        loop_defer(s->loop, &s->flush);
    return st;
}

enum status
stream_put(struct stream *s, struct slice bytes, uint64_t deadline)
{
    return s->zipping ? put_zipped(s, bytes, deadline) : put_plain(s, bytes, deadline);
}

static bool
gather_zipped(struct stream *s, struct slice bytes)
{
    uint8_t room[ZIPPED];
    size_t n;

    while (bytes.n > 0) {
        zip_deflate(s->zip, &bytes, false, room, sizeof room, &n);
        s->dirty = true;
        if (n > 0 && !gather(s, slice_from(room, n)))
            return false;
    }
    if (!s->blocked)
        loop_defer(s->loop, &s->flush);
    return true;
}

/* Of the functions that never wait: too much is the end of a stream. */
void
stream_put_now(struct stream *s, struct slice bytes)
{
    if (s->broken || bytes.n == 0)
        return;
    if (s->zipping ? !gather_zipped(s, bytes) : !gather(s, bytes)) {
        breaks(s);
        loop_defer(s->loop, &s->flush); /* ends an idling session, but not under its caller's feet */
    }
}

void
stream_puts(struct stream *s, const char *text)
{
    stream_put_now(s, slice_of(text));
}

void
stream_printf(struct stream *s, const char *fmt, ...)
{
    char text[2048];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert(n >= 0);
    if ((size_t)n < sizeof text) {
        stream_put_now(s, slice_from(text, (size_t)n));
    } else {
        char *all = NULL;

        va_start(args, fmt);
        n = vasprintf(&all, fmt, args);
        va_end(args);
        if (n >= 0)
            stream_put_now(s, slice_from(all, (size_t)n));
        else
            breaks(s);
        free(all);
    }
}

enum status
stream_flush(struct stream *s, uint64_t deadline)
{
    enum status st;
    size_t sent;

    for (;;) {
        if (!s->blocked)
            let_out(s);
        if (s->broken)
            return ST_CLOSED;
        if (s->out.n == 0 && !s->dirty)
            return ST_OK;
        if (!s->blocked && !send_now(s, (struct slice){NULL, 0}, &sent))
            return ST_CLOSED;
        if (s->out.n == 0)
            return ST_OK;
        if ((st = standing(s)) != ST_OK)
            return st;
        if (s->blocked && (st = wait_in(s, &s->writing, deadline)) != ST_OK)
            return st;
    }
}
