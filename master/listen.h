/*
 * The listening sockets of all services. estafetad opens them, for it alone may (ports
 * below 1024), and keeps them, so that no connection is refused while edged is restarted.
 */
#pragma once
#include "ipc/channel.h"
#include "root/root.h"

#define LISTEN_MAX (7 * CONF_ADDRESSES_MAX)

struct listener {
    int fd;
    enum service service;
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};
struct listeners {
    size_t n;
    struct listener at[LISTEN_MAX];
};

/* Opens all that the settings name. An address of IPv6 on a host without it is a warning in the log; anything
 * else that fails closes what was opened, and the words tell setting and address. */
MUST_CHECK enum status listen_open(const struct master_settings *settings, struct listeners *out,
                                   struct err *err);
void listen_close(struct listeners *all);
/* One MSG_LISTEN each. */
enum status listen_send(const struct listeners *all, struct channel *control);
/* "smtp 0.0.0.0:25" a line, for people. */
void listen_show(const struct listeners *all, struct buf *text);
