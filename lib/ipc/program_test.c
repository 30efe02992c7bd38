/* Plays estafetad against program_main() in a child process. */
#include "ipc/program.h"
#include "base/test.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct channel *control;
static bool ready;

/* --- the child: a keyd that answers a signature with its own settings, by way of its peer edged --- */

static enum status
on_sign(struct ipc_request *r)
{
    AUTO_BUF answer = BUF_INIT(1000);

    msg_bytes_put(&answer, &(struct msg_bytes){program_settings()});
    ipc_answer(r->from, program_arena() != NULL ? ST_OK : ST_IO, buf_slice(&answer));
    return ST_OK;
}

static enum status
take_settings(struct slice settings, struct err *err)
{
    if (slice_eq(settings, SLICE("bad")))
        return err_set(err, ST_SYNTAX, "estafeta.conf:1: bad");
    return ST_OK;
}

static enum status
take_first_settings(struct err *err)
{
    return slice_eq(program_settings(), SLICE("no key")) ? err_set(err, ST_NOTFOUND, "told not to open") : ST_OK;
}

static const struct ipc_route routes[] = {{MSG_KEY_SIGN, ROLE_BIT(EDGE), on_sign, false}, {0}};
static const struct program child_program = {.role = ROLE_KEY, .routes = routes, .open = take_first_settings, .reload = take_settings};

/* --- the parent --- */

static enum status
on_ready(struct ipc_request *r)
{
    ready = true;
    return ST_OK;
}

static const struct ipc_route control_routes[] = {{MSG_READY, ROLE_BIT(KEY), on_ready, false}, {0}};
static const struct ipc_route none[] = {{0}};

static void
on_end(struct channel *ch)
{
    loop_stop(loop);
}

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(10);
}

static void
send_arena(void)
{
    AUTO_BUF m = BUF_INIT(1000);
    int fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHECK_INT(0, ftruncate(fd, 4 * SHM_CHUNK), 0);
    CHECK_INT(1, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
    msg_arena_put(&m, &(struct msg_arena){.kind = ARENA_OWN, .size = 4 * SHM_CHUNK});
    CHECK_INT(2, ipc_send(control, MSG_ARENA, buf_slice(&m), fd), ST_OK);
    close(fd);
}

static void
ask_peer(const char *want)
{
    AUTO_BUF m = BUF_INIT(1000), reply = BUF_INIT(1000);
    struct channel *edge;
    struct msg_bytes got = {0};
    int fds[2];

    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    msg_peer_put(&m, &(struct msg_peer){ROLE_EDGE, 0});
    CHECK_INT(1, ipc_send(control, MSG_PEER, buf_slice(&m), fds[1]), ST_OK);
    close(fds[1]);
    CHECK_INT(2, channel_new(loop, fds[0], ROLE_KEY, 0, none, NULL, &edge), ST_OK);
    CHECK_INT(3, ipc_call(edge, MSG_KEY_SIGN, (struct slice){0}, -1, soon(), &reply), ST_OK);
    CHECK(4, msg_bytes_get(buf_slice(&reply), &got));
    CHECK_SLICE(5, got.bytes, slice_of(want));
    channel_free(edge);
}

static void
play_master(void *arg)
{
    AUTO_BUF m = BUF_INIT(1000), reply = BUF_INIT(8192);
    struct msg_text text = {0};

    msg_boot_put(&m, &(struct msg_boot){.role = ROLE_KEY, .root = SLICE("/tmp"), .settings = SLICE("a = 1"), .confinement = SLICE("class=key")});
    CHECK_INT(0, ipc_send(control, MSG_BOOT, buf_slice(&m), -1), ST_OK);
    send_arena();
    CHECK_INT(1, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    ask_peer("a = 1");
    CHECK(2, ready);
    ask_peer("a = 1"); /* the peer was restarted */

    buf_clear(&m);
    msg_reload_put(&m, &(struct msg_reload){SLICE("bad")});
    CHECK_INT(3, ipc_call(control, MSG_RELOAD, buf_slice(&m), -1, soon(), &reply), ST_SYNTAX);
    CHECK(4, msg_text_get(buf_slice(&reply), &text));
    CHECK_SLICE(5, text.text, slice_of("estafeta.conf:1: bad"));
    ask_peer("a = 1"); /* kept */
    buf_clear(&m);
    msg_reload_put(&m, &(struct msg_reload){SLICE("a = 2")});
    CHECK_INT(6, ipc_call(control, MSG_RELOAD, buf_slice(&m), -1, soon(), &reply), ST_OK);
    ask_peer("a = 2");

    CHECK_INT(7, ipc_call(control, MSG_STATS, (struct slice){0}, -1, soon(), &reply), ST_OK);
    CHECK(8, slice_find_slice(buf_slice(&reply), SLICE("ipc_breaches 0\n")) < reply.n);
    CHECK_INT(9, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
}

/* A child under a master that does what `play` does; its status when it has ended. */
static int
live(void (*play)(void *))
{
    int fds[2], status = -1;
    pid_t pid;

    ready = false;
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
    pid = fork();
    if (pid == 0) {
        char name[] = "keyd", *argv[] = {name, NULL};

        close(fds[0]);
        if (fds[1] != 3) {
            dup2(fds[1], 3);
            close(fds[1]);
        }
        _exit(program_main(&child_program, 1, argv));
    }
    close(fds[1]);
    CHECK_INT(1, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(2, channel_new(loop, fds[0], ROLE_KEY, 0, control_routes, on_end, &control), ST_OK);
    CHECK_INT(3, fiber_spawn(loop, play, NULL), ST_OK);
    CHECK_INT(4, loop_run(loop, NULL), ST_OK);
    CHECK_INT(5, waitpid(pid, &status, 0), pid);
    channel_free(control);
    loop_free(loop);
    return status;
}

TEST(life)
{
    CHECK_INT(0, live(play_master), 0);
}

/* BOOT and GO come to it in one round. */
static void
play_hasty_master(void *arg)
{
    AUTO_BUF m = BUF_INIT(1000);

    msg_boot_put(&m, &(struct msg_boot){.role = ROLE_KEY, .root = SLICE("/tmp"), .settings = SLICE("no key"), .confinement = SLICE("class=key")});
    CHECK_INT(0, ipc_send(control, MSG_BOOT, buf_slice(&m), -1), ST_OK);
    CHECK_INT(1, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
}

TEST(what_cannot_open_is_never_ready)
{
    int status = live(play_hasty_master);

    CHECK(0, WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CHECK(1, !ready);
}

TEST_MAIN(life, what_cannot_open_is_never_ready)
