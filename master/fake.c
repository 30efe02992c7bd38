/*
 * A stand-in for every program, for tests of estafetad and estafeta: linked under a program's name it boots,
 * confines itself and says ready, as that program would. What it does else hangs on files beside it:
 * NAME.fail: it cannot start. NAME.refuse: it refuses new settings. edged answers whoever connects with a
 * line.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/program.h"

static struct program self;
static char here[4096];
static bool refuses;
static struct watch listeners[64];
static size_t n_listeners;

static bool
beside(const char *what)
{
    char path[4200];

    (void)snprintf(path, sizeof(path), "%s.%s", here, what);
    return access(path, F_OK) == 0;
}

static enum status
fake_open(struct err *err)
{
    if (beside("fail"))
        return err_set(err, ST_IO, "told not to start");
    refuses = beside("refuse");
    return ST_OK;
}

static enum status
fake_reload(struct slice settings, struct err *err)
{
    return refuses ? err_set(err, ST_LIMIT, "told to refuse") : ST_OK;
}

static void
on_connect(struct watch *w, uint32_t events)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK);

    if (fd < 0)
        return;
    (void)!write(fd, "fake\r\n", 6);
    (void)close(fd);
}

static enum status
fake_listener(const struct msg_listen *m, int fd)
{
    if (n_listeners == COUNT(listeners))
        return ST_LIMIT;
    listeners[n_listeners] = (struct watch){.ready = on_connect, .fd = fd};
    return loop_watch(program_loop(), &listeners[n_listeners++], EPOLLIN);
}

int
main(int argc, char **argv)
{
    static const struct ipc_route none[] = {{0}};
    const char *name;

    (void)snprintf(here, sizeof(here), "%s", argv[0]);
    name = basename(argv[0]);
    self = (struct program){.routes = none, .open = fake_open, .reload = fake_reload};
    for (unsigned role = 0; role < ROLE_COUNT; role++)
        if (strcmp(name, role_name((enum role)role)) == 0)
            self.role = (enum role)role;
    if (self.role == ROLE_EDGE)
        self.listener = fake_listener;
    return program_main(&self, argc, argv);
}
