/*
 * A conversation with the running system: the administrators' door of estafetad, and the
 * channels to programs that it gives.
 */
#pragma once
#include "ctl/command.h"
#include "ipc/channel.h"

#define CTL_DEADLINE SECONDS(60)

struct session {
    struct loop *loop;
    struct channel *master;
    struct channel *peers[ROLE_COUNT]; /* opened when first asked for */
    int (*work)(struct session *s, void *arg);
    void *arg;
    int status;
};

/* Connects, runs work on a fiber and returns its exit status. When the system is not running it says so and returns
 * EX_UNAVAILABLE. */
int session_run(const char *root, int (*work)(struct session *s, void *arg), void *arg);
/* Is there a system to talk to? Prints nothing. */
bool session_possible(const char *root);

/* Asks a program (ROLE_MASTER: estafetad itself). The words of *err tell what to do when it could not be asked. */
MUST_CHECK enum status session_ask(struct session *s, enum role role, enum msg type, struct slice payload,
                                   uint64_t within, struct buf *reply, struct err *err);
