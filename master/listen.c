#include "master/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/log.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t
address_of(const struct conf_address *a, union address *to)
{
    memset(to, 0, sizeof(*to));
    if (a->family == 6) {
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_port = htons(a->port);
        memcpy(&to->v6.sin6_addr, a->ip, 16);
        return sizeof(to->v6);
    }
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons(a->port);
    memcpy(&to->v4.sin_addr, a->ip, 4);
    return sizeof(to->v4);
}

/* "[::1]:25" */
static void
put_address(struct buf *text, const struct conf_address *a)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    (void)inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->ip, ip, sizeof(ip));
    buf_printf(text, a->family == 6 ? "[%s]:%u" : "%s:%u", ip, a->port);
}

/* Words for what goes wrong in practice, and what to do about it. */
static enum status
refused(const char *setting, const struct conf_address *a, struct err *err)
{
    AUTO_BUF text = BUF_INIT(100);
    int why = errno;

    put_address(&text, a);
    buf_putc(&text, '\0');
    if (!buf_ok(&text))
        return err_set(err, ST_MEMORY, "%s: no memory", setting);
    if (why == EADDRINUSE)
        return err_set(err, ST_EXISTS,
                       "%s: %s is in use by another program; stop that one, or choose another address in %s",
                       setting, (char *)text.p, ROOT_CONF);
    if (why == EACCES)
        return err_set(err, ST_DENIED, "%s: %s: ports below 1024 want root; choose a higher one in %s",
                       setting, (char *)text.p, ROOT_CONF);
    if (why == EADDRNOTAVAIL)
        return err_set(err, ST_NOTFOUND, "%s: %s: this host has no such address", setting, (char *)text.p);
    errno = why;
    return err_sys(err, "%s: %s", setting, (char *)text.p);
}

static int
open_one(const struct conf_address *a)
{
    union address address;
    socklen_t n = address_of(a, &address);
    AUTO_FD fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -1;
    /* Its own IPv4: so that 0.0.0.0 and [::] can both be had, and peers never come as ::ffff:a.b.c.d. */
    if (a->family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
        return -1;
    /* Connections inherit it: the confined programs, which gather their output themselves, may not set it. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, &address.any, n) != 0 || listen(fd, BACKLOG) != 0)
        return -1;
    return fd_keep(&fd);
}

static bool
no_ipv6(const struct conf_address *a)
{
    static const uint8_t wildcard[16], loopback[16] = {[15] = 1};

    return a->family == 6 &&
           (errno == EAFNOSUPPORT || (errno == EADDRNOTAVAIL && (memcmp(a->ip, wildcard, 16) == 0 ||
                                                                 memcmp(a->ip, loopback, 16) == 0)));
}

static enum status
open_service(const struct root_service *s, const struct conf_addresses *list, struct listeners *all,
             struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct listener *l = &all->at[all->n];
        const struct conf_address *a = &list->at[i];
        int fd = open_one(a);

        if (fd < 0 && no_ipv6(a)) {
            log_at(LOG_LEVEL_WARNING, "%s: this host has no IPv6; its address is passed over", s->setting);
            continue;
        }
        if (fd < 0)
            return refused(s->setting, a, err);
        *l = (struct listener){.fd = fd, .service = s->service, .port = a->port};
        if (a->family == 6) {
            memcpy(l->ip, a->ip, 16);
        } else {
            memset(l->ip + 10, 0xff, 2);
            memcpy(l->ip + 12, a->ip, 4);
        }
        all->n++;
    }
    return ST_OK;
}

enum status
listen_open(const struct master_settings *settings, struct listeners *out, struct err *err)
{
    out->n = 0;
    for (size_t i = 0; i < n_root_services; i++) {
        const struct root_service *s = &root_services[i];
        enum status st = open_service(s, (const void *)((const char *)settings + s->offset), out, err);

        if (st != ST_OK) {
            listen_close(out);
            return st;
        }
    }
    return ST_OK;
}

void
listen_close(struct listeners *all)
{
    for (size_t i = 0; i < all->n; i++)
        (void)close(all->at[i].fd);
    all->n = 0;
}

enum status
listen_send(const struct listeners *all, struct channel *control)
{
    enum status st = ST_OK;

    for (size_t i = 0; i < all->n && st == ST_OK; i++) {
        const struct listener *l = &all->at[i];
        AUTO_BUF m = BUF_INIT(100);

        msg_listen_put(&m, &(struct msg_listen){(uint8_t)l->service, slice_from(l->ip, 16), l->port});
        st = buf_ok(&m) ? ipc_send(control, MSG_LISTEN, buf_slice(&m), l->fd) : ST_MEMORY;
    }
    return st;
}

void
listen_show(const struct listeners *all, struct buf *text)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    for (size_t i = 0; i < all->n; i++) {
        const struct listener *l = &all->at[i];
        bool v4 = memcmp(l->ip, mapped, sizeof(mapped)) == 0;
        struct conf_address a = {.family = v4 ? 4 : 6, .port = l->port};

        memcpy(a.ip, v4 ? l->ip + 12 : l->ip, v4 ? 4 : 16);
        buf_printf(text, "%-20s ", root_services[l->service - 1].setting);
        put_address(text, &a);
        buf_putc(text, '\n');
    }
}
