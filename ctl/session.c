#include "ctl/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "root/root.h"
#include "sys/fd.h"

static const struct ipc_route none[] = {{0}};

/* By the folder's descriptor, for a socket's name has at most 107 bytes and a root's may have more. */
static int
connect_door(const char *root)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    AUTO_FD folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD fd = -1;

    if (folder < 0)
        return -1;
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d/%s", folder, ROOT_SOCKET);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&name, sizeof(name)) != 0 || !fd_nonblock(fd, true))
        return -1;
    return fd_keep(&fd);
}

bool
session_possible(const char *root)
{
    AUTO_FD fd = connect_door(root);

    return fd >= 0;
}

static void
work_fiber(void *arg)
{
    struct session *s = arg;

    s->status = s->work(s, s->arg);
    loop_stop(s->loop);
}

int
session_run(const char *root, int (*work)(struct session *s, void *arg), void *arg)
{
    struct session s = {.work = work, .arg = arg, .status = EX_SOFTWARE};
    struct err err = {0};
    int fd = connect_door(root);

    (void)signal(SIGPIPE, SIG_IGN);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        return fail(EX_NOPERM, "%s belongs to another user; run this as root or as that user", root);
    if (fd < 0)
        return fail(EX_UNAVAILABLE,
                    "the system at %s is not running; start it with: estafeta --root %s start", root, root);
    if (loop_new(&s.loop, &err) != ST_OK ||
        channel_new(s.loop, fd, ROLE_MASTER, 0, none, NULL, &s.master) != ST_OK ||
        fiber_spawn(s.loop, work_fiber, &s) != ST_OK || loop_run(s.loop, &err) != ST_OK)
        s.status =
            fail(EX_OSERR, "cannot talk to estafetad: %s", err.text[0] != '\0' ? err.text : "no memory");
    for (size_t i = 0; i < ROLE_COUNT; i++)
        channel_free(s.peers[i]);
    channel_free(s.master);
    loop_free(s.loop);
    return s.status;
}

static enum status
open_peer(struct session *s, enum role role, struct err *err)
{
    AUTO_BUF m = BUF_INIT(16);
    AUTO_FD fd = -1;
    enum status st;

    if (s->peers[role] != NULL && channel_open(s->peers[role]))
        return ST_OK;
    channel_free(s->peers[role]);
    s->peers[role] = NULL;
    msg_admin_open_put(&m, &(struct msg_admin_open){(uint16_t)role});
    st = ipc_call_fd(s->master, MSG_ADMIN_OPEN, buf_slice(&m), loop_now(s->loop) + SECONDS(10), NULL, &fd);
    if (st == ST_CLOSED)
        return err_set(err, st,
                       "estafetad turned us away: only root and the user that runs the system may ask it");
    if (st != ST_OK || fd < 0)
        return err_set(err, ST_UNAVAILABLE, "%s is not running now; see: estafeta status, and the log",
                       role_name(role));
    st = channel_new(s->loop, fd, role, 0, none, NULL, &s->peers[role]);
    if (st != ST_OK)
        return err_set(err, st, "no memory");
    (void)fd_keep(&fd);
    return ST_OK;
}

enum status
session_ask(struct session *s, enum role role, enum msg type, struct slice payload, uint64_t within,
            struct buf *reply, struct err *err)
{
    enum status st = role == ROLE_MASTER ? ST_OK : open_peer(s, role, err);

    if (st != ST_OK)
        return st;
    st = ipc_call(role == ROLE_MASTER ? s->master : s->peers[role], type, payload, -1,
                  loop_now(s->loop) + within, reply);
    if (st == ST_CLOSED && role == ROLE_MASTER)
        return err_set(
            err, st,
            "estafetad ended, or turned us away: only root and the user that runs the system may ask it");
    if (st == ST_CLOSED)
        return err_set(err, st, "%s ended before it answered: it may or may not have been done; see the log",
                       role_name(role));
    if (st == ST_TIMEOUT)
        return err_set(err, st, "%s did not answer in time: it may or may not have been done",
                       role_name(role));
    if (st == ST_UNAVAILABLE)
        return err_set(err, st, "%s cannot do it now; try again later", role_name(role));
    if (st != ST_OK)
        return err_set(err, st, "%s", status_text(st));
    return ST_OK;
}
