#include "master/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "root/root.h"
#include "sys/fd.h"
#include "sys/log.h"

static struct {
    struct loop *loop;
    struct admin_calls calls;
    struct watch watch;
    struct channel *admins[ADMINS_MAX];
    uint32_t next;
} door;

static void
answer_text(struct ipc_sender to, enum status st, struct slice text)
{
    AUTO_BUF m = BUF_INIT(IPC_INLINE);

    msg_text_put(&m, &(struct msg_text){slice_sub(text, 0, IPC_INLINE - 64)});
    ipc_answer(to, buf_ok(&m) ? st : ST_MEMORY, buf_slice(&m));
}

static enum status
on_admin_open(struct ipc_request *r)
{
    struct msg_admin_open m;
    enum status st = ST_NOTFOUND;
    AUTO_FD fd = -1;

    if (!msg_admin_open_get(r->payload, &m))
        return ST_SYNTAX;
    if (m.role < ROLE_COUNT && m.role != ROLE_MASTER && m.role != ROLE_CTL)
        st = door.calls.open((enum role)m.role, &fd);
    ipc_answer_fd(r->from, st, (struct slice){0}, fd);
    return ST_OK;
}

static enum status
on_admin_status(struct ipc_request *r)
{
    AUTO_BUF text = BUF_INIT(32u * 1024u);

    door.calls.status(&text);
    answer_text(r->from, ST_OK, buf_slice(&text));
    return ST_OK;
}

/* The end of the connection says that all has stopped. */
static enum status
on_admin_stop(struct ipc_request *r)
{
    ipc_answer(r->from, ST_OK, (struct slice){0});
    door.calls.stop();
    return ST_OK;
}

static void
reload_fiber(void *arg)
{
    struct ipc_sender to = *(struct ipc_sender *)arg;
    AUTO_BUF words = BUF_INIT(16u * 1024u);
    enum status st;

    free(arg);
    st = door.calls.reload(&words);
    answer_text(to, st, buf_slice(&words));
}

static enum status
on_admin_reload(struct ipc_request *r)
{
    struct ipc_sender *to = malloc(sizeof(*to));

    if (to != NULL) {
        *to = r->from;
        if (fiber_spawn(door.loop, reload_fiber, to) == ST_OK)
            return ST_OK;
        free(to);
    }
    ipc_answer(r->from, ST_UNAVAILABLE, (struct slice){0});
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_ADMIN_OPEN, ROLE_BIT(CTL), on_admin_open, false},
    {MSG_ADMIN_STATUS, ROLE_BIT(CTL), on_admin_status, false},
    {MSG_ADMIN_STOP,              ROLE_BIT(CTL), on_admin_stop, false},
    {MSG_ADMIN_RELOAD, ROLE_BIT(CTL), on_admin_reload, false},
    {0        },
};

static void
on_closed(struct channel *ch)
{
    for (size_t i = 0; i < ADMINS_MAX; i++)
        if (door.admins[i] == ch)
            door.admins[i] = NULL;
    channel_free(ch);
}

static void
adopt(int fd)
{
    size_t i = 0;
    pid_t pid = 0;
    uid_t uid = (uid_t)-1;
    gid_t gid;

    while (i < ADMINS_MAX && door.admins[i] != NULL)
        i++;
    if (!peer_credentials(fd, &pid, &uid, &gid) || (uid != 0 && uid != geteuid()))
        log_at(LOG_LEVEL_WARNING, "admin: user %u (process %d) was turned away", (unsigned)uid, (int)pid);
    else if (i == ADMINS_MAX)
        log_at(LOG_LEVEL_WARNING, "admin: more than %d connections", ADMINS_MAX);
    else if (channel_new(door.loop, fd, ROLE_CTL, ++door.next, routes, on_closed, &door.admins[i]) == ST_OK)
        return;
    (void)close(fd);
}

static void
on_connect(struct watch *w, uint32_t events)
{
    int fd;

    while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        adopt(fd);
}

enum status
admin_open(struct loop *loop, const struct admin_calls *calls, struct err *err)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = ROOT_SOCKET};
    AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t mask;
    int got;

    if (fd < 0)
        return err_sys(err, "socket");
    if (unlink(ROOT_SOCKET) != 0 && errno != ENOENT) /* left by one that was killed: the lock is ours */
        return err_sys(err, "remove the old %s", ROOT_SOCKET);
    mask = umask(0177);
    got = bind(fd, (const struct sockaddr *)&name, sizeof(name));
    (void)umask(mask);
    if (got != 0 || listen(fd, ADMINS_MAX) != 0)
        return err_sys(err, "%s", ROOT_SOCKET);
    door.loop = loop;
    door.calls = *calls;
    door.watch = (struct watch){.ready = on_connect, .fd = fd};
    if (loop_watch(loop, &door.watch, EPOLLIN) != ST_OK)
        return err_set(err, ST_IO, "cannot watch %s", ROOT_SOCKET);
    (void)fd_keep(&fd);
    return ST_OK;
}

void
admin_shut(void)
{
    if (door.loop == NULL)
        return;
    loop_unwatch(door.loop, &door.watch);
    (void)close(door.watch.fd);
    (void)unlink(ROOT_SOCKET);
    door.loop = NULL;
}

void
admin_close(void)
{
    for (size_t i = 0; i < ADMINS_MAX; i++) {
        channel_free(door.admins[i]);
        door.admins[i] = NULL;
    }
}
