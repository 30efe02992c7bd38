#include "ipc/channel.h"
#include "base/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Two ends in one process: `front` plays smtpd, `back` plays stored. */
static struct loop *loop;
static struct channel *front, *back;
static int served, ended;
static struct ipc_sender kept;

static void
on_closed(struct channel *ch)
{
    ended++;
    if (ended == 2)
        loop_stop(loop);
}

static enum status
on_name(struct ipc_request *r)
{
    struct msg_name m;

    if (!msg_name_get(r->payload, &m))
        return ST_SYNTAX;
    served++;
    CHECK_INT(0, r->from.role, ROLE_SMTP);
    ipc_answer(r->from, ST_QUOTA, m.name);
    return ST_OK;
}

static enum status
on_keep(struct ipc_request *r)
{
    kept = r->from;
    return ST_OK;
}

static enum status
on_big(struct ipc_request *r)
{
    struct msg_id m;
    uint8_t *bytes;

    if (!msg_id_get(r->payload, &m))
        return ST_SYNTAX;
    bytes = malloc(m.id);
    CHECK(0, bytes != NULL);
    for (size_t i = 0; i < m.id; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    ipc_answer(r->from, ST_OK, slice_from(bytes, m.id));
    free(bytes);
    return ST_OK;
}

static enum status
on_descriptor(struct ipc_request *r)
{
    CHECK_INT(0, write(r->fd, "hi", 2), 2);
    ipc_answer(r->from, ST_OK, (struct slice){0});
    return ST_OK;
}

static enum status on_wants_descriptor(struct ipc_request *r);
static const struct ipc_route none[] = {{0}};
static const struct ipc_route routes[] = {
    {MSG_SECRET_DELETE, ROLE_BIT(SMTP), on_name, false},
    {MSG_SECRET_LIST, ROLE_BIT(SMTP), on_keep, false},
    {MSG_DIGEST_FEED, ROLE_BIT(SMTP), on_big, false},
    {MSG_CONN_TLS, ROLE_BIT(SMTP), on_descriptor, true},
    {MSG_KEY_SIGN, ROLE_BIT(EDGE), on_name, false},
    {MSG_ADMIN_OPEN, ROLE_BIT(SMTP), on_wants_descriptor, false},
    {0},
};

static struct shm
arena(int *fd_out, size_t size, bool writer)
{
    struct shm shm = {0};
    struct err err = {0};

    if (*fd_out < 0) {
        *fd_out = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        CHECK_INT(0, ftruncate(*fd_out, (off_t)size), 0);
        CHECK_INT(1, shm_map(&shm, *fd_out, size, writer, &err), ST_DENIED); /* not sealed yet */
        CHECK_INT(2, fcntl(*fd_out, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    }
    CHECK_INT(3, shm_map(&shm, *fd_out, size, writer, &err), ST_OK);
    return shm;
}

static void
run(void (*fn)(void *))
{
    int fds[2], memory = -1;

    served = ended = 0;
    CHECK_INT(0, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(1, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    CHECK_INT(2, channel_new(loop, fds[0], ROLE_STORE, 0, none, on_closed, &front), ST_OK);
    CHECK_INT(3, channel_new(loop, fds[1], ROLE_SMTP, 0, routes, on_closed, &back), ST_OK);
    channel_set_out(back, arena(&memory, 8 * SHM_CHUNK, true));
    channel_set_replies(front, arena(&memory, 8 * SHM_CHUNK, false));
    close(memory);
    CHECK_INT(4, fiber_spawn(loop, fn, NULL), ST_OK);
    CHECK_INT(5, loop_run(loop, NULL), ST_OK);
    channel_free(front);
    channel_free(back);
    loop_free(loop);
}

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(5);
}

static void
asks(void *arg)
{
    AUTO_BUF m = BUF_INIT(100), reply = BUF_INIT(100);

    msg_name_put(&m, &(struct msg_name){SLICE("usr1")});
    for (int i = 0; i < 100; i++) {
        CHECK_INT(i, ipc_call(front, MSG_SECRET_DELETE, buf_slice(&m), -1, soon(), &reply), ST_QUOTA);
        CHECK_SLICE(i, buf_slice(&reply), slice_of("usr1"));
    }
    CHECK_INT(1, served, 100);
    loop_stop(loop);
}

TEST(call)
{
    run(asks);
}

static void
asks_much(void *arg)
{
    static const size_t sizes[] = {0, 1, IPC_INLINE, IPC_INLINE + 1, 8 * SHM_CHUNK, 5 * SHM_CHUNK + 1};

    for (size_t i = 0; i < 40; i++) {
        size_t n = sizes[i % COUNT(sizes)];
        AUTO_BUF m = BUF_INIT(100);
        AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);

        msg_id_put(&m, &(struct msg_id){n});
        CHECK_INT(i, ipc_call(front, MSG_DIGEST_FEED, buf_slice(&m), -1, soon(), &reply), ST_OK);
        CHECK_INT(i, reply.n, n);
        for (size_t k = 0; k < n; k++)
            if (reply.p[k] != (uint8_t)(k * 7 + k / 251))
                CHECK_INT(k, reply.p[k], (uint8_t)(k * 7 + k / 251));
    }
    loop_stop(loop);
}

TEST(big_replies)
{
    run(asks_much);
}

static int big_left;

static void
asks_at_once(void *arg)
{
    AUTO_BUF m = BUF_INIT(100);
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);

    msg_id_put(&m, &(struct msg_id){5 * SHM_CHUNK});
    CHECK_INT(0, ipc_call(front, MSG_DIGEST_FEED, buf_slice(&m), -1, soon(), &reply), ST_OK);
    CHECK_INT(1, reply.n, 5 * SHM_CHUNK);
    CHECK_INT(2, reply.p[80000], (uint8_t)(80000 * 7 + 80000 / 251));
    if (--big_left == 0)
        loop_stop(loop);
}

static void
spawns(void *arg)
{
    big_left = 20;
    for (int i = 0; i < 20; i++)
        CHECK_INT(i, fiber_spawn(loop, asks_at_once, NULL), ST_OK);
}

/* More than the arena holds: they wait for chunks, none is lost. */
TEST(big_replies_wait)
{
    run(spawns);
}

static void
sends_descriptor(void *arg)
{
    int p[2];
    char got[3] = "";

    CHECK_INT(0, pipe(p), 0);
    CHECK_INT(1, ipc_call(front, MSG_CONN_TLS, SLICE("x"), p[1], soon(), NULL), ST_OK);
    CHECK_INT(2, read(p[0], got, 2), 2);
    CHECK_SLICE(3, slice_of(got), slice_of("hi"));
    close(p[0]);
    close(p[1]);
    loop_stop(loop);
}

TEST(descriptor)
{
    run(sends_descriptor);
}

static enum status
on_wants_descriptor(struct ipc_request *r)
{
    int p[2];

    CHECK_INT(0, pipe(p), 0);
    CHECK_INT(1, write(p[1], "yo", 2), 2);
    ipc_answer_fd(r->from, ST_OK, SLICE("here"), p[0]);
    close(p[0]);
    close(p[1]);
    return ST_OK;
}

static void
gets_descriptor(void *arg)
{
    AUTO_BUF reply = BUF_INIT(100);
    char got[3] = "";
    int fd = -1;

    CHECK_INT(0, ipc_call_fd(front, MSG_ADMIN_OPEN, (struct slice){0}, soon(), &reply, &fd), ST_OK);
    CHECK_SLICE(1, buf_slice(&reply), slice_of("here"));
    CHECK_INT(2, read(fd, got, 2), 2);
    CHECK_SLICE(3, slice_of(got), slice_of("yo"));
    close(fd);
    loop_stop(loop);
}

TEST(descriptor_in_answer)
{
    run(gets_descriptor);
}

static void
times_out(void *arg)
{
    CHECK_INT(0, ipc_call(front, MSG_SECRET_LIST, (struct slice){0}, -1, loop_now(loop) + MSEC(10), NULL),
              ST_TIMEOUT);
    ipc_answer(kept, ST_OK, SLICE("too late")); /* must disturb nothing */
    asks(arg);
}

TEST(late_answer)
{
    run(times_out);
}

static uint16_t wrong_type;
static int wrong_fd;

static void
breaks(void *arg)
{
    CHECK_INT(0, ipc_call(front, (enum msg)wrong_type, SLICE("z"), wrong_fd, soon(), NULL), ST_CLOSED);
    CHECK(1, !channel_open(back));
    CHECK_INT(2, ipc_send(front, MSG_SECRET_DELETE, (struct slice){0}, -1), ST_CLOSED);
    ipc_answer(kept, ST_OK, (struct slice){0});
}

/* A type that nobody serves, one of another role, bad payload, a descriptor where none belongs
 * and none where one belongs: each closes the channel. */
TEST(breach)
{
    static const struct {
        uint16_t type;
        int fd;
    } cases[] = {{9999, -1}, {MSG_KEY_SIGN, -1}, {MSG_SECRET_DELETE, -1}, {MSG_SECRET_LIST, 1}, {MSG_CONN_TLS, -1}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        wrong_type = cases[i].type;
        wrong_fd = cases[i].fd;
        run(breaks);
        CHECK_INT(i, ended, 2);
    }
}

static int
open_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void
on_robber(struct channel *ch)
{
    loop_stop(loop);
}

/* A datagram may bring one descriptor. Of more, none stays here: a sibling could use them all up. */
TEST(many_descriptors)
{
    for (size_t many = 2; many <= 4; many++) {
        uint8_t frame[IPC_HEADER] = {MSG_SECRET_LIST & 0xff};
        struct iovec iov = {frame, sizeof(frame)};
        union {
            struct cmsghdr head;
            char space[CMSG_SPACE(4 * sizeof(int))];
        } control = {0};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(many * sizeof(int))};
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        const int std[4] = {0, 1, 2, 0};
        int fds[2], before = open_fds();

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(many * sizeof(int));
        memcpy(CMSG_DATA(c), std, many * sizeof(int));
        CHECK_INT(many, loop_new(&loop, NULL), ST_OK);
        CHECK_INT(many, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        CHECK_INT(many, channel_new(loop, fds[1], ROLE_SMTP, 0, routes, on_robber, &back), ST_OK);
        CHECK_INT(many, sendmsg(fds[0], &msg, 0), IPC_HEADER);
        close(fds[0]);
        kept.serial = 99;
        CHECK_INT(many, loop_run(loop, NULL), ST_OK);
        CHECK_INT(many, kept.serial, 99); /* it did not reach its handler */
        channel_free(back);
        loop_free(loop);
        CHECK_INT(many, open_fds(), before);
    }
}

#define FLOOD_DATAGRAMS 4
static int most_between, counted, others_served;
static struct timer tick;
static struct watch other;

static enum status
on_counted(struct ipc_request *r)
{
    CHECK_INT(0, r->from.serial, counted + 1); /* none lost, none twice, in order */
    counted++;
    return ST_OK;
}

static void
note_turn(void)
{
    static int last;

    if (counted < last)
        last = 0;
    if (counted - last > most_between)
        most_between = counted - last;
    last = counted;
}

static void
on_tick(struct timer *t)
{
    note_turn();
    loop_timer(loop, t, loop_now(loop) + 1); /* at the same time it would fire in this round again */
}

static void
on_other(struct watch *w, uint32_t events)
{
    note_turn();
    others_served++;
    if (counted == FLOOD_DATAGRAMS * (int)(IPC_DATAGRAM / IPC_HEADER))
        loop_stop(loop);
}

static const struct ipc_route count_routes[] = {
    {MSG_SECRET_LIST, ROLE_BIT(SMTP), on_counted, false},
    {0},
};

/* A peer that floods: another descriptor of the same loop and a timer have their turn after at most two rounds' frames
 * (they may be first in one round and last in the next), and every frame is served once, in order, in whatever datagram it came. */
TEST(flood)
{
    static uint8_t flood[IPC_DATAGRAM / IPC_HEADER * IPC_HEADER];
    int fds[2], p[2];
    uint64_t serial = 0;

    CHECK_INT(0, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(1, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    CHECK_INT(2, setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &(int){1 << 20}, sizeof(int)), 0);
    CHECK_INT(3, channel_new(loop, fds[1], ROLE_SMTP, 0, count_routes, on_robber, &back), ST_OK);
    counted = most_between = others_served = 0;
    for (size_t i = 0; i < FLOOD_DATAGRAMS; i++) {
        struct buf b = BUF_FIXED(flood);

        while (b.n < sizeof(flood)) {
            buf_put_le64(&b, MSG_SECRET_LIST);
            buf_put_le64(&b, 0);
            buf_put_le64(&b, ++serial);
        }
        CHECK_INT(i, send(fds[0], flood, sizeof(flood), 0), (ssize_t)sizeof(flood));
    }
    CHECK_INT(4, pipe(p), 0);
    CHECK_INT(5, write(p[1], "x", 1), 1); /* always readable */
    other = (struct watch){.ready = on_other, .fd = p[0]};
    CHECK_INT(6, loop_watch(loop, &other, EPOLLIN), ST_OK);
    tick = (struct timer){.fire = on_tick};
    loop_timer(loop, &tick, loop_now(loop));
    CHECK_INT(7, loop_run(loop, NULL), ST_OK);
    CHECK_INT(8, counted, (int)serial);
    CHECK(9, most_between <= 2 * (int)IPC_FRAMES_A_ROUND);
    CHECK(10, others_served >= counted / (int)IPC_FRAMES_A_ROUND);
    loop_unwatch(loop, &other);
    loop_timer_stop(loop, &tick);
    close(fds[0]);
    close(p[0]);
    close(p[1]);
    channel_free(back);
    loop_free(loop);
}

/* It ends in the middle of a round's frames: what waits for the next goes with it. */
TEST(flood_ends)
{
    static uint8_t flood[(IPC_FRAMES_A_ROUND + 2) * IPC_HEADER];
    struct buf b = BUF_FIXED(flood);
    int fds[2];

    for (size_t i = 0; i < IPC_FRAMES_A_ROUND + 2; i++) {
        buf_put_le64(&b, i <= IPC_FRAMES_A_ROUND ? MSG_SECRET_LIST : MSG_KEY_SIGN); /* the last one is not for its role */
        buf_put_le64(&b, 0);
        buf_put_le64(&b, i + 1);
    }
    CHECK_INT(0, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(1, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    CHECK_INT(2, channel_new(loop, fds[1], ROLE_SMTP, 0, count_routes, on_robber, &back), ST_OK);
    counted = 0;
    CHECK_INT(3, send(fds[0], flood, sizeof(flood), 0), (ssize_t)sizeof(flood));
    close(fds[0]);
    CHECK_INT(4, loop_run(loop, NULL), ST_OK);
    CHECK_INT(5, counted, IPC_FRAMES_A_ROUND + 1); /* also what a peer said before it ended is served */
    CHECK(6, !channel_open(back));
    channel_free(back);
    loop_free(loop);
}

TEST(shm_read)
{
    int fd = -1;
    struct shm shm = arena(&fd, 4 * SHM_CHUNK, true);
    static uint8_t to[2 * SHM_CHUNK];
    AUTO_BUF list = BUF_INIT(100);
    uint32_t a = 9, b = 9;

    close(fd);
    CHECK_INT(0, shm_take(&shm, &a), ST_OK);
    CHECK_INT(1, shm_take(&shm, &b), ST_OK);
    memset(shm_at(&shm, a), 'a', SHM_CHUNK);
    memset(shm_at(&shm, b), 'b', SHM_CHUNK);
    buf_put_le32(&list, b);
    buf_put_le32(&list, a);
    CHECK_INT(2, shm_read(&shm, buf_slice(&list), SHM_CHUNK + 2, to), ST_OK);
    CHECK(3, to[0] == 'b' && to[SHM_CHUNK - 1] == 'b' && to[SHM_CHUNK] == 'a' && to[SHM_CHUNK + 2] == 0);
    CHECK_INT(4, shm_read(&shm, buf_slice(&list), SHM_CHUNK, to), ST_SYNTAX);
    CHECK_INT(5, shm_read(&shm, buf_slice(&list), 2 * SHM_CHUNK + 1, to), ST_SYNTAX);
    CHECK_INT(6, shm_read(&shm, slice_sub(buf_slice(&list), 0, 3), 1, to), ST_SYNTAX);
    CHECK_INT(7, shm_read(&shm, slice_from("\4\0\0\0", 4), 1, to), ST_SYNTAX);
    CHECK_INT(8, shm_read(&shm, (struct slice){0}, 0, to), ST_OK);
    shm_give(&shm, a);
    CHECK_INT(9, shm_take(&shm, &b), ST_OK);
    CHECK_INT(10, b, a); /* last freed first */
    shm_unmap(&shm);
}

TEST_MAIN(call, big_replies, big_replies_wait, descriptor, descriptor_in_answer, late_answer, breach, many_descriptors,
          flood, flood_ends, shm_read)
