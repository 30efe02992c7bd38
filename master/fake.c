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
#include "store/request.h"

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

/* --- stored: accounts --- */

#define ACCOUNTS_MAX 20000
static struct account {
    char name[256];
    uint64_t quota;
} accounts[ACCOUNTS_MAX];
static size_t n_accounts; /* sorted by name */

/* Where it is, or where it belongs. */
static size_t
place_of(struct slice name, bool *there)
{
    size_t low = 0, high = n_accounts;

    *there = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = slice_cmp(slice_of(accounts[middle].name), name);

        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum status
on_account_add(struct ipc_request *r)
{
    struct account_add m;
    bool there;
    size_t at;

    if (!account_add_get(r->payload, &m) || m.name.n >= sizeof(accounts[0].name) ||
        n_accounts == ACCOUNTS_MAX)
        return ST_SYNTAX;
    at = place_of(m.name, &there);
    if (!there && !slice_has_prefix(m.name, SLICE("nospace"))) {
        memmove(&accounts[at + 1], &accounts[at], (n_accounts++ - at) * sizeof(accounts[0]));
        accounts[at] = (struct account){.quota = m.quota};
        memcpy(accounts[at].name, m.name.p, m.name.n);
    }
    ipc_answer(r->from,
               there                                        ? ST_EXISTS
               : slice_has_prefix(m.name, SLICE("nospace")) ? ST_NOSPACE
                                                            : ST_OK,
               (struct slice){0});
    return ST_OK;
}

static enum status
on_account_delete(struct ipc_request *r)
{
    struct account_delete m;
    bool there;
    size_t at;

    if (!account_delete_get(r->payload, &m))
        return ST_SYNTAX;
    at = place_of(m.name, &there);
    if (there)
        memmove(&accounts[at], &accounts[at + 1], (--n_accounts - at) * sizeof(accounts[0]));
    ipc_answer(r->from, there ? ST_OK : ST_NOTFOUND, (struct slice){0});
    return ST_OK;
}

static enum status
on_account_quota(struct ipc_request *r)
{
    struct account_quota m;
    bool there;
    size_t at;

    if (!account_quota_get(r->payload, &m))
        return ST_SYNTAX;
    at = place_of(m.name, &there);
    if (there)
        accounts[at].quota = m.quota;
    ipc_answer(r->from, there ? ST_OK : ST_NOTFOUND, (struct slice){0});
    return ST_OK;
}

static enum status
on_accounts(struct ipc_request *r)
{
    AUTO_BUF rows = BUF_INIT(IPC_INLINE), m = BUF_INIT(IPC_INLINE);
    struct msg_page page;
    bool there;
    size_t at, end;

    if (!msg_page_get(r->payload, &page))
        return ST_SYNTAX;
    at = place_of(page.after, &there);
    at += there;
    end = at + 100 < n_accounts ? at + 100 : n_accounts;
    for (; at < end; at++)
        account_row_put(&rows,
                        &(struct account_row){slice_of(accounts[at].name), at + 1, accounts[at].quota, 0, 0});
    msg_rows_put(&m, &(struct msg_rows){end < n_accounts, buf_slice(&rows)});
    ipc_answer(r->from, ST_OK, buf_slice(&m));
    return ST_OK;
}

#define STORE_ROUTE(type, handler)                                                                           \
    {                                                                                                        \
        type, ROLE_BIT(CTL), handler, false                                                                  \
    }
static const struct ipc_route store_routes[] = {
    STORE_ROUTE(MSG_ACCOUNT_ADD, on_account_add),
    STORE_ROUTE(MSG_ACCOUNT_DELETE, on_account_delete),
    STORE_ROUTE(MSG_ACCOUNT_QUOTA, on_account_quota),
    STORE_ROUTE(MSG_ACCOUNTS, on_accounts),
    {0},
};

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
    if (self.role == ROLE_STORE)
        self.routes = store_routes;
    if (self.role == ROLE_EDGE)
        self.listener = fake_listener;
    return program_main(&self, argc, argv);
}
