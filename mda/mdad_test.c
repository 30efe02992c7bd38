/*
 * mdad as it is started: this test plays estafetad and smtpd. argv[1] is the executable.
 */
#include "base/test.h"
#include "ipc/channel.h"
#include "mime/digest.h"
#include "sys/fd.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA (64u * SHM_CHUNK)

static const char *executable;
static struct loop *loop;
static struct channel *control, *smtp;
static struct shm arena;
static const struct ipc_route none[] = {{0}};

static enum status
on_ready(struct ipc_request *r)
{
    return ST_OK;
}

static const struct ipc_route control_routes[] = {{MSG_READY, ROLE_BIT(MDA), on_ready, false}, {0}};

static void
on_end(struct channel *ch)
{
    if (ch == control)
        loop_stop(loop);
}

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(20);
}

/* Connects a new smtpd: PEER and its arena. */
static void
connect_smtp(int reader)
{
    AUTO_BUF m = BUF_INIT(100), a = BUF_INIT(100);
    int ends[2];

    CHECK(0, seqpacket_pair(ends));
    msg_peer_put(&m, &(struct msg_peer){ROLE_SMTP, 0});
    CHECK_INT(1, ipc_send(control, MSG_PEER, buf_slice(&m), ends[1]), ST_OK);
    close(ends[1]);
    msg_arena_put(&a, &(struct msg_arena){ARENA_IN, ROLE_SMTP, 0, ARENA});
    CHECK_INT(2, ipc_send(control, MSG_ARENA, buf_slice(&a), reader), ST_OK);
    CHECK_INT(3, channel_new(loop, ends[0], ROLE_MDA, 0, none, on_end, &smtp), ST_OK);
}

/* Puts bytes into chunks from `first` on and feeds them. */
static enum status
feed(uint64_t job, struct slice bytes, uint32_t first, bool last, struct buf *reply)
{
    AUTO_BUF list = BUF_INIT(1000), m = BUF_INIT(2000);
    uint32_t chunks = (uint32_t)((bytes.n + SHM_CHUNK - 1) / SHM_CHUNK);

    memcpy(shm_at(&arena, first), bytes.p, bytes.n);
    for (uint32_t i = 0; i < chunks; i++)
        buf_put_le32(&list, first + i);
    msg_digest_feed_put(&m, &(struct msg_digest_feed){job, buf_slice(&list), (uint32_t)bytes.n, last});
    return ipc_call(smtp, MSG_DIGEST_FEED, buf_slice(&m), -1, soon(), reply);
}

static void
wants_digest(struct slice reply, struct slice message)
{
    AUTO_BUF whole = BUF_INIT(DIGEST_MAX);
    struct digester *d = digester_new(DIGEST_MAX);
    struct msg_bytes got = {0};

    CHECK(0, d != NULL);
    digest_feed(d, message);
    CHECK_INT(1, digest_finish(d, &whole), ST_OK);
    digester_free(d);
    CHECK(2, msg_bytes_get(reply, &got));
    CHECK_SLICE(3, got.bytes, buf_slice(&whole));
}

static void
converse(void *arg)
{
    static uint8_t message[40000];
    struct slice head = SLICE("From: a@b.example\r\nSubject: hola\r\n\r\n"), all = {message, sizeof(message)};
    AUTO_BUF reply = BUF_INIT(IPC_INLINE), cancel = BUF_INIT(100);
    int reader = *(int *)arg;

    memset(message, 'x', sizeof(message));
    memcpy(message, head.p, head.n);
    connect_smtp(reader);

    /* One message whole, and one in two pieces whose chunks are used again, beside each other. */
    CHECK_INT(0, feed(1, slice_sub(all, 0, 30000), 0, false, &reply), ST_OK);
    CHECK_INT(1, reply.n, 0);
    CHECK_INT(2, feed(2, all, 8, true, &reply), ST_OK);
    wants_digest(buf_slice(&reply), all);
    CHECK_INT(3, feed(1, slice_skip(all, 30000), 0, true, &reply), ST_OK);
    wants_digest(buf_slice(&reply), all);

    /* Cancelled: the number can be used for another message. */
    CHECK_INT(4, feed(3, SLICE("Subject: not this\r\n"), 0, false, &reply), ST_OK);
    msg_id_put(&cancel, &(struct msg_id){3});
    CHECK_INT(5, ipc_send(smtp, MSG_DIGEST_CANCEL, buf_slice(&cancel), -1), ST_OK);
    CHECK_INT(6, feed(3, all, 0, true, &reply), ST_OK);
    wants_digest(buf_slice(&reply), all);

    /* smtpd dies with a message begun; the next smtpd uses the same number for its own. */
    CHECK_INT(7, feed(4, SLICE("Subject: lost\r\n"), 0, false, &reply), ST_OK);
    channel_free(smtp);
    connect_smtp(reader);
    CHECK_INT(8, feed(4, all, 0, true, &reply), ST_OK);
    wants_digest(buf_slice(&reply), all);

    /* An empty message. A chunk that is not there closes the channel, and mdad lives on. */
    CHECK_INT(9, feed(5, SLICE(""), 0, true, &reply), ST_OK);
    wants_digest(buf_slice(&reply), SLICE(""));
    {
        AUTO_BUF m = BUF_INIT(100);

        msg_digest_feed_put(&m, &(struct msg_digest_feed){6, slice_from("\xff\xff\0\0", 4), 10, 1});
        CHECK_INT(10, ipc_call(smtp, MSG_DIGEST_FEED, buf_slice(&m), -1, soon(), &reply), ST_CLOSED);
    }
    channel_free(smtp);
    connect_smtp(reader);
    CHECK_INT(11, feed(7, all, 0, true, &reply), ST_OK);
    CHECK_INT(12, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
}

TEST(conversation)
{
    AUTO_BUF boot = BUF_INIT(1000);
    int ends[2], status = -1, writer = memfd_sized("bodies", ARENA), reader;
    pid_t pid;

    CHECK(0, writer >= 0 && (reader = memfd_readonly(writer)) >= 0 && seqpacket_pair(ends));
    CHECK_INT(1, shm_map(&arena, writer, ARENA, true, NULL), ST_OK);
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 3); /* without close-on-exec */
        (void)execl(executable, executable, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    CHECK_INT(2, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(3, channel_new(loop, ends[0], ROLE_MDA, 0, control_routes, on_end, &control), ST_OK);
    msg_boot_put(&boot, &(struct msg_boot){.role = ROLE_MDA, .root = SLICE("/tmp"), .confinement = SLICE("class=parser")});
    CHECK_INT(4, ipc_send(control, MSG_BOOT, buf_slice(&boot), -1), ST_OK);
    CHECK_INT(5, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    CHECK_INT(6, fiber_spawn(loop, converse, &reader), ST_OK);
    CHECK_INT(7, loop_run(loop, NULL), ST_OK);
    CHECK_INT(8, waitpid(pid, &status, 0), pid);
    CHECK_INT(9, status, 0);
    channel_free(smtp);
    channel_free(control);
    shm_unmap(&arena);
    close(reader);
    close(writer);
    loop_free(loop);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(conversation))};

    executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
