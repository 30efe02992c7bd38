/*
 * The door for administrators: ROOT/run/admin.sock. Whoever connects must be root or the
 * user that runs the system (by the credentials that the kernel tells), and speaks the frames of
 * ipc/channel.h with role CTL. It gives channels to programs; it never reads mail or secrets itself.
 */
#pragma once
#include "ipc/channel.h"

#define ADMINS_MAX 32 /* connections at a time */

struct admin_calls {
    void (*status)(struct buf *text);
    void (*stop)(void);
    /* On a fiber; *words: what people should know, also on success. */
    enum status (*reload)(struct buf *words);
    enum status (*open)(enum role role, int *fd);
};

/* The current folder is the root: a socket's name has at most 107 bytes, a root's may have more. */
MUST_CHECK enum status admin_open(struct loop *loop, const struct admin_calls *calls, struct err *err);
/* Nobody comes in any more. */
void admin_shut(void);
/* Those who are in hear by its end that all is over. */
void admin_close(void);
