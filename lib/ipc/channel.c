#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/log.h"

#define CHANNELS_MAX 1024u
#define READS_A_ROUND 16 /* datagrams taken before others have a turn */

_Static_assert(IPC_FRAMES_A_ROUND <= IPC_DATAGRAM / IPC_HEADER, "else a datagram can never pass it");

enum flag { FLAG_REPLY = 1, FLAG_FD = 2, FLAG_CHUNKS = 4 };

struct frame {
    uint16_t type, flags, status;
    uint32_t length;
    uint64_t serial;
    struct slice payload;
};

/* One waiting ipc_call, in its fiber's stack. */
struct call {
    struct call *next, *prev;
    uint64_t serial;
    uint16_t type;
    struct wait wait;
    struct buf *reply;
    int *fd; /* where a descriptor of the answer goes, or NULL: it is closed */
};

/* A datagram that could not be sent yet. */
struct parcel {
    struct parcel *next;
    int fd; /* or -1 */
    size_t n;
    uint8_t bytes[];
};

/* What a datagram holds beyond the frames of this round. */
struct rest {
    size_t n, at;
    int fd; /* or -1 */
    uint8_t bytes[];
};

/* A big reply that waits for chunks of the output arena. */
struct big {
    struct big *next;
    struct frame frame; /* payload points behind the struct */
};

struct channel {
    struct loop *loop;
    struct watch watch;
    enum role role;
    uint32_t instance, slot, generation;
    const struct ipc_route *routes;
    void (*closed)(struct channel *ch);
    bool dead;              /* broken; `bury` is queued or has run */
    char fault[64];         /* how the other end broke the contract; empty */
    struct deferred flush, bury, resume;
    struct rest *rest;      /* not NULL: `resume` is queued, and nothing is received before it has run */
    struct buf out;         /* the datagram being gathered */
    bool secret;            /* there are passwords in it */
    struct parcel *parcels, **parcels_end;
    struct big *bigs, **bigs_end;
    size_t backlog;         /* bytes in parcels and bigs */
    struct call calls;      /* ring, oldest first */
    uint64_t serial;
    struct shm in, replies, out_arena;
    uint8_t *lent;          /* per chunk of out_arena: 1 while the peer has it */
    struct buf freed;       /* chunk numbers to give back with the next flush */
};

/* Passwords do not stay behind where a later intruder would find them: logind and submitd live long. */
static bool
is_secret(uint16_t type)
{
    return type == MSG_SASL_START || type == MSG_SASL_STEP || type == MSG_SECRET_SET;
}

static void
clear_out(struct channel *ch)
{
    if (ch->secret)
        explicit_bzero(ch->out.p, ch->out.n);
    ch->secret = false;
    buf_clear(&ch->out);
}

static void
parcel_free(struct parcel *parcel)
{
    if (parcel->fd >= 0)
        (void)close(parcel->fd);
    explicit_bzero(parcel->bytes, parcel->n);
    free(parcel);
}

static void
rest_free(struct rest *rest)
{
    if (rest == NULL)
        return;
    if (rest->fd >= 0)
        (void)close(rest->fd);
    explicit_bzero(rest->bytes, rest->n);
    free(rest);
}

static struct {
    struct channel *channel;
    uint32_t generation;
} slots[CHANNELS_MAX];
static struct channel_stats stats;
static uint8_t datagram[IPC_DATAGRAM]; /* being read: one thread, one at a time */

static const char *const role_names[] = {
#define ROLE_NAME(name, program, text) program,
    ROLES(ROLE_NAME)
#undef ROLE_NAME
};

const char *
role_name(enum role role)
{
    return (unsigned)role < ROLE_COUNT ? role_names[role] : "?";
}

void
channel_stats(struct channel_stats *to)
{
    *to = stats;
}

enum role
channel_role(const struct channel *ch)
{
    return ch->role;
}

uint32_t
channel_instance(const struct channel *ch)
{
    return ch->instance;
}

bool
channel_open(const struct channel *ch)
{
    return !ch->dead;
}

const struct shm *
channel_in(const struct channel *ch)
{
    return ch->in.p != NULL ? &ch->in : NULL;
}

/* --- the end of a channel --- */

static void
die(struct channel *ch)
{
    if (ch->dead)
        return;
    ch->dead = true;
    loop_unwatch(ch->loop, &ch->watch);
    (void)close(ch->watch.fd);
    loop_undefer(ch->loop, &ch->flush);
    loop_undefer(ch->loop, &ch->resume);
    loop_defer(ch->loop, &ch->bury); /* not now: callers still hold ch */
}

const char *
channel_fault(const struct channel *ch)
{
    return ch->fault[0] != '\0' ? ch->fault : NULL;
}

static void
breach(struct channel *ch, const char *what)
{
    stats.broken++;
    (void)snprintf(ch->fault, sizeof(ch->fault), "%s", what);
    log_at(LOG_LEVEL_ERR, "ipc: %s[%u] broke the contract: %s; channel closed", role_name(ch->role), ch->instance,
           what);
    die(ch);
}

static void
end_calls(struct channel *ch)
{
    while (ch->calls.next != &ch->calls) {
        struct call *call = ch->calls.next;

        call->prev->next = call->next;
        call->next->prev = call->prev;
        call->next = call->prev = call;
        wait_end(&call->wait, ST_CLOSED);
    }
}

static void
on_bury(struct deferred *d)
{
    struct channel *ch = OUTER(d, struct channel, bury);

    end_calls(ch);
    if (ch->closed != NULL)
        ch->closed(ch); /* may free it */
}

void
channel_free(struct channel *ch)
{
    if (ch == NULL)
        return;
    die(ch);
    loop_undefer(ch->loop, &ch->bury);
    end_calls(ch);
    slots[ch->slot].channel = NULL;
    slots[ch->slot].generation++;
    while (ch->parcels != NULL) {
        struct parcel *next = ch->parcels->next;

        parcel_free(ch->parcels);
        ch->parcels = next;
    }
    while (ch->bigs != NULL) {
        struct big *next = ch->bigs->next;

        free(ch->bigs);
        ch->bigs = next;
    }
    rest_free(ch->rest);
    clear_out(ch);
    buf_done(&ch->out);
    buf_done(&ch->freed);
    shm_unmap(&ch->in);
    shm_unmap(&ch->replies);
    shm_unmap(&ch->out_arena);
    free(ch->lent);
    free(ch);
}

static void
watch_for(struct channel *ch, uint32_t events)
{
    if (loop_watch(ch->loop, &ch->watch, events) != ST_OK)
        die(ch); /* it would never be heard again */
}

void
channel_hold(struct channel *ch, bool hold)
{
    if (ch->dead)
        return;
    if (hold)
        loop_unwatch(ch->loop, &ch->watch);
    else
        watch_for(ch, EPOLLIN);
}

/* --- sending --- */

/* 1 sent, 0 would block, -1 broken */
static int
send_datagram(struct channel *ch, const uint8_t *p, size_t n, int fd)
{
    struct iovec iov = {(void *)(uintptr_t)p, n};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control.space);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    for (;;) {
        if (sendmsg(ch->watch.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
            stats.datagrams_out++;
            return 1;
        }
        if (errno == EINTR)
            continue;
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
    }
}

static enum status
queue_parcel(struct channel *ch, struct slice bytes, int fd)
{
    struct parcel *parcel;
    int copy = -1;

    if (ch->backlog + bytes.n > IPC_BACKLOG_MAX)
        return ST_UNAVAILABLE;
    if (fd >= 0 && (copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return ST_UNAVAILABLE;
    parcel = malloc(sizeof(*parcel) + bytes.n);
    if (parcel == NULL) {
        if (copy >= 0)
            (void)close(copy);
        return ST_MEMORY;
    }
    parcel->next = NULL;
    parcel->fd = copy;
    parcel->n = bytes.n;
    memcpy(parcel->bytes, bytes.p, bytes.n);
    *ch->parcels_end = parcel;
    ch->parcels_end = &parcel->next;
    ch->backlog += bytes.n;
    return ST_OK;
}

/* Sends what is queued, oldest first; watches for room when the peer is slow. */
static bool
send_parcels(struct channel *ch)
{
    while (ch->parcels != NULL) {
        struct parcel *parcel = ch->parcels;
        int sent = send_datagram(ch, parcel->bytes, parcel->n, parcel->fd);

        if (sent < 0) {
            die(ch);
            return false;
        }
        if (sent == 0) {
            watch_for(ch, EPOLLIN | EPOLLOUT);
            return false;
        }
        ch->backlog -= parcel->n;
        ch->parcels = parcel->next;
        if (ch->parcels == NULL)
            ch->parcels_end = &ch->parcels;
        parcel_free(parcel);
    }
    if (ch->watch.events & EPOLLOUT)
        watch_for(ch, EPOLLIN);
    return true;
}

/* The gathered datagram goes out, or joins the queue. False: it could do neither. */
static bool
flush_out(struct channel *ch)
{
    int sent = 0;

    if (ch->out.n == 0)
        return true;
    if (ch->parcels == NULL)
        sent = send_datagram(ch, ch->out.p, ch->out.n, -1);
    if (sent < 0) {
        die(ch);
        return false;
    }
    if (sent == 0) {
        if (queue_parcel(ch, buf_slice(&ch->out), -1) != ST_OK) {
            breach(ch, "it does not read, and its backlog is full");
            return false;
        }
        watch_for(ch, EPOLLIN | EPOLLOUT);
    }
    clear_out(ch);
    return true;
}

static void
put_header(struct buf *b, const struct frame *f)
{
    buf_put_le16(b, f->type);
    buf_put_le16(b, f->flags);
    buf_put_le16(b, f->status);
    buf_put_le16(b, 0);
    buf_put_le32(b, f->length);
    buf_put_le32(b, 0);
    buf_put_le64(b, f->serial);
}

/* At once, for a descriptor belongs to one datagram; only one that has to wait is copied. */
static enum status
send_with_fd(struct channel *ch, int fd)
{
    int sent = ch->parcels == NULL ? send_datagram(ch, ch->out.p, ch->out.n, fd) : 0;
    enum status st = ST_OK;

    if (sent < 0) {
        die(ch);
        st = ST_CLOSED;
    } else if (sent == 0) {
        st = queue_parcel(ch, buf_slice(&ch->out), fd);
        if (st == ST_OK)
            watch_for(ch, EPOLLIN | EPOLLOUT);
    }
    clear_out(ch);
    return st == ST_OK && ch->dead ? ST_CLOSED : st;
}

static enum status
send_frame(struct channel *ch, struct frame *f, int fd)
{
    if (ch->dead)
        return ST_CLOSED;
    if (f->payload.n > IPC_INLINE)
        return ST_LIMIT;
    if (ch->backlog > IPC_BACKLOG_MAX / 2 && !(f->flags & FLAG_REPLY))
        return ST_UNAVAILABLE; /* the other half is for answers */
    f->length = (uint32_t)f->payload.n;
    if ((fd >= 0 || ch->out.n + IPC_HEADER + f->payload.n > IPC_DATAGRAM) && !flush_out(ch))
        return ST_CLOSED;
    if (fd >= 0)
        f->flags |= FLAG_FD;
    put_header(&ch->out, f);
    buf_put(&ch->out, f->payload);
    ch->secret = ch->secret || is_secret(f->type);
    if (!buf_ok(&ch->out)) {
        breach(ch, "no memory for its output");
        return ST_CLOSED;
    }
    stats.frames_out++;
    if (fd >= 0)
        return send_with_fd(ch, fd);
    loop_defer(ch->loop, &ch->flush);
    return ST_OK;
}

static void
put_freed(struct channel *ch)
{
    struct frame f = {.type = MSG_CHUNKS_FREE, .payload = buf_slice(&ch->freed)};

    if (ch->freed.n == 0)
        return;
    if (send_frame(ch, &f, -1) == ST_OK)
        buf_clear(&ch->freed);
}

static void
on_flush(struct deferred *d)
{
    struct channel *ch = OUTER(d, struct channel, flush);

    if (ch->dead)
        return;
    put_freed(ch);
    loop_undefer(ch->loop, &ch->flush); /* put_freed asked for it again; this is it */
    (void)flush_out(ch);
}

enum status
ipc_send(struct channel *ch, enum msg type, struct slice payload, int fd)
{
    struct frame f = {.type = (uint16_t)type, .payload = payload};

    return send_frame(ch, &f, fd);
}

static enum status
call_and_wait(struct channel *ch, enum msg type, struct slice payload, int fd, uint64_t deadline, struct buf *reply,
              int *got)
{
    struct call call = {.serial = ++ch->serial, .type = (uint16_t)type, .reply = reply, .fd = got};
    struct frame f = {.type = (uint16_t)type, .serial = call.serial, .payload = payload};
    enum status st = send_frame(ch, &f, fd);

    if (st != ST_OK)
        return st;
    call.next = &ch->calls;
    call.prev = ch->calls.prev;
    call.prev->next = call.next->prev = &call;
    st = wait_for(&call.wait, deadline);
    call.prev->next = call.next; /* a call that was answered points at itself */
    call.next->prev = call.prev;
    return st;
}

enum status
ipc_call(struct channel *ch, enum msg type, struct slice payload, int fd, uint64_t deadline, struct buf *reply)
{
    return call_and_wait(ch, type, payload, fd, deadline, reply, NULL);
}

enum status
ipc_call_fd(struct channel *ch, enum msg type, struct slice payload, uint64_t deadline, struct buf *reply, int *got)
{
    *got = -1;
    return call_and_wait(ch, type, payload, -1, deadline, reply, got);
}

/* --- big replies --- */

/* Copies the payload into chunks and sends their numbers. False: not enough of them now. */
static bool
send_big(struct channel *ch, struct frame f)
{
    struct shm *arena = &ch->out_arena;
    uint8_t list[4 + 4 * (IPC_PAYLOAD_MAX / SHM_CHUNK)];
    size_t need = (f.payload.n + SHM_CHUNK - 1) / SHM_CHUNK, n = 0;
    struct buf numbers = {.p = list, .cap = sizeof(list), .max = sizeof(list)};

    if (arena->n_idle < need)
        return false;
    buf_put_le32(&numbers, (uint32_t)f.payload.n);
    while (n < f.payload.n) {
        struct slice part = slice_sub(f.payload, n, SHM_CHUNK);
        uint32_t chunk = 0;

        if (shm_take(arena, &chunk) != ST_OK)
            break; /* cannot be: they were counted above */
        ch->lent[chunk] = 1;
        memcpy(shm_at(arena, chunk), part.p, part.n);
        buf_put_le32(&numbers, chunk);
        n += part.n;
    }
    f.flags |= FLAG_CHUNKS;
    f.payload = buf_slice(&numbers);
    (void)send_frame(ch, &f, -1);
    return true;
}

static void
queue_big(struct channel *ch, struct frame f)
{
    struct big *big;

    if (ch->out_arena.p == NULL || f.payload.n > IPC_PAYLOAD_MAX ||
        f.payload.n > (size_t)ch->out_arena.chunks * SHM_CHUNK || ch->backlog + f.payload.n > IPC_BACKLOG_MAX ||
        (big = malloc(sizeof(*big) + f.payload.n)) == NULL) {
        f.status = ST_UNAVAILABLE;
        f.payload = (struct slice){0};
        (void)send_frame(ch, &f, -1);
        return;
    }
    memcpy(big + 1, f.payload.p, f.payload.n);
    big->next = NULL;
    big->frame = f;
    big->frame.payload.p = (uint8_t *)(big + 1);
    *ch->bigs_end = big;
    ch->bigs_end = &big->next;
    ch->backlog += f.payload.n;
}

static void
send_bigs(struct channel *ch)
{
    while (ch->bigs != NULL && send_big(ch, ch->bigs->frame)) {
        struct big *big = ch->bigs;

        ch->backlog -= big->frame.payload.n;
        ch->bigs = big->next;
        if (ch->bigs == NULL)
            ch->bigs_end = &ch->bigs;
        free(big);
    }
}

void
ipc_answer_fd(struct ipc_sender to, enum status st, struct slice payload, int fd)
{
    struct channel *ch = to.slot < CHANNELS_MAX ? slots[to.slot].channel : NULL;
    struct frame f = {.type = to.type,
                      .flags = FLAG_REPLY,
                      .status = (uint16_t)st,
                      .serial = to.serial,
                      .payload = payload};

    if (to.serial == 0 || ch == NULL || slots[to.slot].generation != to.generation || ch->dead)
        return;
    if (payload.n <= IPC_INLINE)
        (void)send_frame(ch, &f, fd);
    else if (ch->out_arena.p == NULL || ch->bigs != NULL || !send_big(ch, f))
        queue_big(ch, f);
}

void
ipc_answer(struct ipc_sender to, enum status st, struct slice payload)
{
    ipc_answer_fd(to, st, payload, -1);
}

/* --- receiving --- */

static bool
take_frame(struct slice *in, struct frame *f)
{
    uint16_t zero = 0;
    uint32_t zeros = 0;

    return take_le16(in, &f->type) && take_le16(in, &f->flags) && take_le16(in, &f->status) &&
           take_le16(in, &zero) && take_le32(in, &f->length) && take_le32(in, &zeros) &&
           take_le64(in, &f->serial) && zero == 0 && zeros == 0 && (f->flags & ~7u) == 0 &&
           take_bytes(in, f->length, &f->payload);
}

/* Copies a payload in chunks out into *to and notes the chunks as free again. */
static enum status
fetch_chunks(struct channel *ch, struct slice payload, struct buf *to)
{
    uint32_t n;
    uint8_t *room;

    if (ch->replies.p == NULL || !take_le32(&payload, &n) || n > IPC_PAYLOAD_MAX)
        return ST_SYNTAX;
    if (to != NULL) {
        enum status st;

        room = buf_reserve(to, n);
        if (room == NULL) {
            to->failed = false;
            st = ST_LIMIT;
        } else if ((st = shm_read(&ch->replies, payload, n, room)) == ST_OK) {
            to->n += n;
        }
        if (st == ST_SYNTAX)
            return st;
        buf_put(&ch->freed, payload);
        loop_defer(ch->loop, &ch->flush);
        return st;
    }
    buf_put(&ch->freed, payload);
    loop_defer(ch->loop, &ch->flush);
    return ST_OK;
}

static enum status
on_reply(struct channel *ch, const struct frame *f, int *fd)
{
    struct call *call = ch->calls.next;
    enum status st = ST_OK;
    struct buf *reply;

    while (call != &ch->calls && call->serial != f->serial)
        call = call->next;
    if (call != &ch->calls && call->type != f->type)
        return ST_SYNTAX;
    reply = call != &ch->calls ? call->reply : NULL;
    if (reply != NULL)
        buf_clear(reply);
    if (f->flags & FLAG_CHUNKS)
        st = fetch_chunks(ch, f->payload, reply);
    else if (reply != NULL) {
        buf_put(reply, f->payload);
        st = buf_ok(reply) ? ST_OK : ST_LIMIT;
    }
    if (st == ST_SYNTAX)
        return st;
    if (call == &ch->calls)
        return ST_OK; /* it no longer waits */
    call->prev->next = call->next;
    call->next->prev = call->prev;
    call->next = call->prev = call;
    if ((f->flags & FLAG_FD) && call->fd != NULL) {
        *call->fd = *fd;
        *fd = -1;
    }
    wait_end(&call->wait, st != ST_OK ? st : f->status < ST_COUNT ? (enum status)f->status : ST_UNKNOWN);
    return ST_OK;
}

static enum status
on_chunks_free(struct channel *ch, struct slice list)
{
    uint32_t chunk;

    if (list.n % 4 != 0)
        return ST_SYNTAX;
    while (take_le32(&list, &chunk)) {
        if (chunk >= ch->out_arena.chunks || !ch->lent[chunk])
            return ST_SYNTAX;
        ch->lent[chunk] = 0;
        shm_give(&ch->out_arena, chunk);
    }
    send_bigs(ch);
    return ST_OK;
}

static enum status
dispatch(struct channel *ch, const struct frame *f, int *fd)
{
    const struct ipc_route *route = ch->routes;
    struct ipc_request request = {
        .from = {ch->slot, ch->generation, f->serial, f->type, (uint16_t)ch->role, ch->instance},
        .channel = ch,
        .payload = f->payload,
        .fd = -1,
    };
    enum status st;

    if (f->flags & FLAG_CHUNKS)
        return ST_SYNTAX;
    while (route->type != 0 && route->type != f->type)
        route++;
    if (route->type == 0 || (route->roles >> ch->role & 1) == 0)
        return ST_DENIED;
    if (route->wants_fd != ((f->flags & FLAG_FD) != 0))
        return ST_SYNTAX;
    if (route->wants_fd) {
        request.fd = *fd;
        *fd = -1;
    }
    st = route->handle(&request);
    if (request.fd >= 0)
        (void)close(request.fd);
    return st;
}

/* Serves the frames at the front of *in, at most *frames of them. False: the channel has ended; it may be freed. */
static bool
serve(struct channel *ch, struct slice *in, int *fd, unsigned *frames)
{
    uint32_t slot = ch->slot, generation = ch->generation;

    for (; in->n > 0 && *frames > 0; --*frames) {
        struct frame f;
        enum status st;

        if (!take_frame(in, &f) || ((f.flags & FLAG_FD) && *fd < 0)) {
            breach(ch, "malformed frame");
            return false;
        }
        stats.frames_in++;
        if (f.flags & FLAG_REPLY)
            st = on_reply(ch, &f, fd);
        else if (f.type == MSG_CHUNKS_FREE)
            st = on_chunks_free(ch, f.payload);
        else
            st = dispatch(ch, &f, fd);
        if (slots[slot].generation != generation || ch->dead)
            return false;
        if (st != ST_OK) {
            char what[64];

            (void)snprintf(what, sizeof(what), "message %u: %s", f.type, status_name(st));
            breach(ch, what);
            return false;
        }
    }
    return true;
}

/* Keeps what this round did not serve, and the descriptor with it. False: there is no memory for it. */
static bool
keep_rest(struct channel *ch, struct slice in, int *fd)
{
    struct rest *rest = malloc(sizeof(*rest) + in.n);

    if (rest == NULL)
        return false;
    rest->n = in.n;
    rest->at = 0;
    rest->fd = *fd;
    *fd = -1;
    memcpy(rest->bytes, in.p, in.n);
    ch->rest = rest;
    loop_next(ch->loop, &ch->resume);
    return true;
}

static void
on_resume(struct deferred *d)
{
    struct channel *ch = OUTER(d, struct channel, resume);
    struct rest *rest = ch->rest;
    struct slice in = slice_from(rest->bytes + rest->at, rest->n - rest->at);
    unsigned frames = IPC_FRAMES_A_ROUND;

    ch->rest = NULL; /* ours while handlers run: one may free the channel */
    if (!serve(ch, &in, &rest->fd, &frames) || in.n == 0) {
        rest_free(rest);
        return;
    }
    rest->at = rest->n - in.n;
    ch->rest = rest;
    loop_next(ch->loop, &ch->resume);
}

/* The descriptor that came, or -1. False: more than one did. Room for one is room for two, for it is rounded up; and
 * what the kernel put there is ours, so it is closed here or never. */
static bool
take_fd(struct msghdr *msg, int *fd)
{
    bool one = true;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= c->cmsg_len; at += sizeof(int)) {
            int got;

            memcpy(&got, (const uint8_t *)c + at, sizeof(got));
            if (*fd < 0) {
                *fd = got;
            } else {
                (void)close(got);
                one = false;
            }
        }
    }
    return one;
}

/* 1 a datagram, 0 nothing there, -1 the end */
static int
receive(struct channel *ch, size_t *n, int *fd)
{
    struct iovec iov = {datagram, sizeof(datagram)};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control.space)};
    ssize_t got;

    *fd = -1;
    do
        got = recvmsg(ch->watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (got >= 0 && (!take_fd(&msg, fd) || (msg.msg_flags & MSG_CTRUNC))) {
        breach(ch, "more than one descriptor, or none left for it here");
        got = -1;
    } else if (got > 0 && (msg.msg_flags & MSG_TRUNC)) {
        breach(ch, "datagram too large");
        got = -1;
    }
    if (got <= 0)
        return -1;
    *n = (size_t)got;
    return 1;
}

static void
on_ready(struct watch *w, uint32_t events)
{
    struct channel *ch = OUTER(w, struct channel, watch);
    unsigned frames = IPC_FRAMES_A_ROUND;

    if ((events & EPOLLOUT) && (!send_parcels(ch) && ch->dead))
        return;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || ch->rest != NULL)
        return;
    for (int i = 0; i < READS_A_ROUND && frames > 0; i++) {
        struct slice in;
        size_t n = 0;
        bool open = true;
        int fd, got = receive(ch, &n, &fd);

        in = slice_from(datagram, n);
        if (got > 0) {
            stats.datagrams_in++;
            open = serve(ch, &in, &fd, &frames);
            while (open && in.n > 0 && !keep_rest(ch, in, &fd)) {
                frames = IPC_FRAMES_A_ROUND; /* without memory it has no pause, for it must not lose what it was told */
                open = serve(ch, &in, &fd, &frames);
            }
        }
        if (fd >= 0)
            (void)close(fd);
        if (!open || got == 0)
            return;
        if (got < 0) {
            die(ch);
            return;
        }
        if (ch->rest != NULL || n < IPC_DATAGRAM / 4)
            return; /* the queue is probably empty; if not, the loop tells at once */
    }
}

/* --- making --- */

enum status
channel_new(struct loop *loop, int fd, enum role role, uint32_t instance, const struct ipc_route *routes,
            void (*closed)(struct channel *ch), struct channel **result)
{
    struct channel *ch = calloc(1, sizeof(*ch));
    uint32_t slot = 0;

    while (slot < CHANNELS_MAX && slots[slot].channel != NULL)
        slot++;
    if (ch == NULL || slot == CHANNELS_MAX) {
        free(ch);
        return ch == NULL ? ST_MEMORY : ST_LIMIT;
    }
    ch->loop = loop;
    ch->role = role;
    ch->instance = instance;
    ch->routes = routes;
    ch->closed = closed;
    ch->slot = slot;
    ch->generation = slots[slot].generation;
    ch->out = BUF_INIT(IPC_DATAGRAM);
    ch->freed = BUF_INIT(SHM_CHUNKS_MAX * 4);
    ch->parcels_end = &ch->parcels;
    ch->bigs_end = &ch->bigs;
    ch->calls.next = ch->calls.prev = &ch->calls;
    ch->flush.run = on_flush;
    ch->bury.run = on_bury;
    ch->resume.run = on_resume;
    ch->watch = (struct watch){.ready = on_ready, .fd = fd};
    if (loop_watch(loop, &ch->watch, EPOLLIN) != ST_OK) {
        free(ch);
        return ST_IO;
    }
    slots[slot].channel = ch;
    *result = ch;
    return ST_OK;
}

void
channel_set_in(struct channel *ch, struct shm shm)
{
    shm_unmap(&ch->in);
    ch->in = shm;
}

void
channel_set_replies(struct channel *ch, struct shm shm)
{
    shm_unmap(&ch->replies);
    ch->replies = shm;
}

void
channel_set_out(struct channel *ch, struct shm shm)
{
    shm_unmap(&ch->out_arena);
    free(ch->lent);
    ch->lent = calloc(shm.chunks, 1);
    if (ch->lent == NULL) {
        shm_unmap(&shm); /* without it big replies are refused as UNAVAILABLE */
        return;
    }
    ch->out_arena = shm;
}
