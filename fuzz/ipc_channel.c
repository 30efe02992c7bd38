/*
 * Channels: what a taken-over sibling may put into its end. Whatever comes, no descriptor stays behind, every
 * call ends, handlers get only what their route allows, and all that the channel sends is well-formed frames.
 *
 * The input is steps, a byte each and what it needs:
 *   0 datagram: le16 length, bytes        4 wait: the channel reads
 *   1 frame: le16 type, byte flags,       5 the channel calls, and waits for the answer
 *     byte serial, le16 length, bytes     6 the other end reads all there is
 *   2 the next datagram brings 1 to 4     7 the other end closes
 *     descriptors                         8 the channel sends, with a descriptor
 *   3 the datagram of frames goes out
 */
#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "sys/log.h"

#define CHUNKS    4u
#define DATAGRAMS 64 /* most steps that cost a system call */
#define FDS       64

static struct loop *loop;
static struct channel *channel;
static int memory = -1, null = -1;
static int calls, ended, rounds;

static enum status
on_answer(struct ipc_request *r)
{
    assert(r->fd < 0 && r->payload.n <= IPC_DATAGRAM);
    ipc_answer(r->from, ST_OK, r->payload);
    return ST_OK;
}

/* As much as the input says: a reply that goes by chunks, waits for some, or cannot go at all. */
static enum status
on_big(struct ipc_request *r)
{
    static uint8_t big[IPC_PAYLOAD_MAX + 1];
    uint32_t n;

    if (!take_le32(&r->payload, &n))
        return ST_SYNTAX;
    ipc_answer(r->from, ST_OK, slice_from(big, n % sizeof(big)));
    return ST_OK;
}

static enum status
on_fd(struct ipc_request *r)
{
    assert(r->fd >= 0 && fcntl(r->fd, F_GETFD) == FD_CLOEXEC);
    ipc_answer_fd(r->from, ST_OK, r->payload, r->fd);
    return ST_OK;
}

static enum status
on_free(struct ipc_request *r)
{
    channel_free(channel);
    channel = NULL;
    return ST_OK;
}

static enum status
on_never(struct ipc_request *r)
{
    assert(0); /* this role may not say that */
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_SECRET_LIST, ROLE_BIT(SMTP), on_answer, false},
    {MSG_DIGEST_FEED,      ROLE_BIT(SMTP), on_big, false},
    {MSG_CONN,               ROLE_BIT(SMTP), on_fd, true},
    {MSG_CONN_DONE,ROLE_BIT(SMTP), on_free, false},
    {MSG_KEY_SIGN,          ROLE_BIT(EDGE), on_never, false},
    {0       },
};

static void
on_closed(struct channel *ch)
{
    assert(ch == channel);
    channel_free(ch);
    channel = NULL;
}

static struct shm
arena(bool writer)
{
    struct shm shm = {0};
    enum status st = shm_map(&shm, memory, (size_t)CHUNKS * SHM_CHUNK, writer, NULL);

    assert(st == ST_OK);
    return shm;
}

static void
asks(void *arg)
{
    AUTO_BUF reply = BUF_INIT(2 * SHM_CHUNK);
    struct channel *ch = channel;
    int fd = -1;
    enum status st = ipc_call_fd(ch, MSG_SASL_STEP, SLICE("who"), loop_now(loop) + SECONDS(60), &reply, &fd);

    assert((unsigned)st < ST_COUNT && reply.n <= 2 * SHM_CHUNK);
    if (fd >= 0)
        assert(close(fd) == 0);
    ended++;
}

static unsigned
open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < FDS; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Some rounds: what is ready, what is soon, what is deferred. */
static void
count_round(struct deferred *d)
{
    if (--rounds > 0)
        loop_next(loop, d);
    else
        loop_stop(loop);
}

static void
go(void)
{
    static struct deferred round = {.run = count_round};
    enum status st;

    rounds = 3;
    loop_next(loop, &round);
    st = loop_run(loop, NULL);
    assert(st == ST_OK);
}

static void
send_bytes(int to, struct slice bytes, unsigned fds)
{
    struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fds > 0) {
        struct cmsghdr *c;
        const int many[4] = {null, null, null, null};

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds * sizeof(int));
        memcpy(CMSG_DATA(c), many, fds * sizeof(int));
    }
    (void)sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What the channel said: whole frames, and one descriptor at most. */
static void
hear(int from)
{
    static uint8_t bytes[2 * IPC_DATAGRAM];
    struct iovec iov = {bytes, sizeof(bytes)};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(4 * sizeof(int))];
    } control;

    for (;;) {
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *c;
        struct slice in;

        if (n <= 0)
            return;
        c = CMSG_FIRSTHDR(&msg);
        if (c != NULL) {
            int fd;

            assert(c->cmsg_len == CMSG_LEN(sizeof(int)));
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
            assert(close(fd) == 0);
        }
        assert((size_t)n <= IPC_DATAGRAM);
        in = slice_from(bytes, (size_t)n);
        while (in.n > 0) {
            struct slice payload, rest = slice_skip(in, 8);
            uint32_t length;

            assert(take_le32(&rest, &length) && in.n >= IPC_HEADER && length <= IPC_INLINE);
            in = slice_skip(in, IPC_HEADER);
            assert(take_bytes(&in, length, &payload));
        }
    }
}

static bool
put_frame(struct buf *out, struct slice *in)
{
    struct slice head, payload;
    uint16_t type, length;

    if (!take_le16(in, &type) || !take_bytes(in, 2, &head) || !take_le16(in, &length))
        return false;
    payload = slice_sub(*in, 0, length);
    *in = slice_skip(*in, length);
    buf_put_le16(out, type);
    buf_put_le16(out, head.p[0]);
    buf_put_le32(out, head.p[1] >> 4); /* status */
    buf_put_le32(out, (uint32_t)payload.n);
    buf_put_le32(out, 0);
    buf_put_le64(out, head.p[1] & 15);
    buf_put(out, payload);
    return true;
}

static bool
step(struct slice *in, struct buf *frames, unsigned *fds, int *other)
{
    struct slice op, bytes;
    uint16_t n;

    if (!take_bytes(in, 1, &op))
        return false;
    switch (op.p[0] % 9) {
    case 0:
        if (!take_le16(in, &n))
            return false;
        bytes = slice_sub(*in, 0, n);
        *in = slice_skip(*in, n);
        send_bytes(*other, bytes, *fds);
        *fds = 0;
        return true;
    case 1:
        return put_frame(frames, in);
    case 2:
        *fds = 1 + op.p[0] / 9 % 4;
        return true;
    case 3:
        send_bytes(*other, buf_slice(frames), *fds);
        buf_clear(frames);
        *fds = 0;
        return true;
    case 4:
        go();
        return true;
    case 5:
        if (calls++ < 8 && fiber_spawn(loop, asks, NULL) != ST_OK)
            assert(0);
        return true;
    case 6:
        hear(*other);
        return true;
    case 7:
        (void)shutdown(*other, SHUT_RDWR);
        return true;
    default:
        (void)ipc_send(channel, MSG_CONN_OVER, SLICE("12345678"), null);
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF frames = BUF_INIT(2 * IPC_DATAGRAM);
    struct slice in = slice_from(data, n);
    unsigned fds = 0, before;
    enum status st;
    int pair[2];

    if (memory < 0) {
        log_start("fuzz", -1, LOG_LEVEL_INFO);
        memory = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert(null >= 0 && ftruncate(memory, (off_t)CHUNKS * SHM_CHUNK) == 0);
        assert(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
        assert(loop_new(&loop, NULL) == ST_OK);
    }
    before = open_fds();
    calls = ended = 0;
    assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    st = channel_new(loop, pair[0], ROLE_SMTP, 0, routes, on_closed, &channel);
    assert(st == ST_OK);
    channel_set_out(channel, arena(true));
    channel_set_replies(channel, arena(false));
    for (int i = 0; i < DATAGRAMS && channel != NULL && step(&in, &frames, &fds, &pair[1]); i++)
        ;
    if (channel != NULL)
        go();
    hear(pair[1]);
    (void)close(pair[1]);
    if (channel != NULL)
        go();
    channel_free(channel);
    channel = NULL;
    go();
    assert(ended == (calls < 8 ? calls : 8)); /* every call ended with the channel */
    assert(open_fds() == before);
    return 0;
}
