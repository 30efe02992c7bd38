/*
 * Starting, connecting, watching and stopping the programs of a table. Owns their
 * processes; knows nothing of what they do. One loop, one thread.
 */
#pragma once
#include <sys/types.h>

#include "ipc/channel.h"
#include "master/table.h"

struct supervisor;

struct supervise_settings {
    const char *root;        /* absolute; paths of the table are below it */
    const char *programs;    /* folder of the executables */
    struct slice settings;   /* text that every program gets; the caller's, as long as the supervisor */
    uid_t uid_base;          /* program N of the role table runs as uid_base + N when we are root; 0: all as we are */
    const struct program_row *rows;
    size_t n_rows;
    const struct link_row *links;
    size_t n_links;
    /* Called for edged (ROLE_EDGE) before GO, to send MSG_LISTEN over its control channel. May be NULL. */
    enum status (*listeners)(struct channel *control);
    void (*all_ready)(void);  /* once, when every program is ready */
    void (*all_stopped)(void);
    /* A program ended unasked or could not be run, so many times with no steady life between. May be NULL; may stop
     * the supervisor. */
    void (*failed)(enum role role, unsigned failures);
    /* A program crashed (by a signal that nobody sent it, or with an exit status) while it worked for that account, as it says.
     * The name is whatever a broken program left there. May be NULL. */
    void (*crashed)(enum role role, struct slice account);
    /* Called for authd before GO, to send MSG_QUARANTINE over its control channel. May be NULL. */
    enum status (*quarantined)(struct channel *control);
};

/* Starts everything. On failure what was started is ended again. */
MUST_CHECK enum status supervisor_start(struct loop *loop, const struct supervise_settings *settings,
                                        struct supervisor **s, struct err *err);
/* In the table's order, each within ten seconds, then by SIGKILL; all_stopped() when the last has gone. */
void supervisor_stop(struct supervisor *s);
void supervisor_free(struct supervisor *s);
/* To each program in turn; what they have to say, one line each, goes to *answers. When one refuses, those that took the
 * new text get the old one back, and the refusal's status is returned. On ST_OK the new text must live as long as the
 * supervisor, and the old one need no longer. On a fiber. */
enum status supervisor_reload(struct supervisor *s, struct slice settings, struct buf *answers);
/* Over a program's control channel; nothing while it is down. */
void supervisor_tell(struct supervisor *s, enum role role, enum msg type, struct slice payload);
/* A table for people: program, pid, state, starts, seconds. */
void supervisor_status(struct supervisor *s, struct buf *text);
/* A new channel with role CTL to a program: the other end, the caller's. ST_UNAVAILABLE while it is down. */
MUST_CHECK enum status supervisor_open(struct supervisor *s, enum role role, int *fd);
