/*
 * What every program of the system does alike: it is started by estafetad with
 * descriptor 3 as its control channel, hears there who it is, receives its
 * channels, arenas and listeners, opens what it needs, confines itself, says
 * ready, and runs its loop until it is told to stop.
 *
 *   estafetad -> program                        program -> estafetad
 *   BOOT {role, instance, root, settings}
 *   PEER {role, instance} + fd    (any number)
 *   ARENA {...} + fd              (any number)
 *   LISTEN {...} + fd             (edged)
 *   QUARANTINE {...}              (authd; also later)
 *   GO                                          READY
 *   PEER ... again when a peer was restarted      PEER_LOST {link, fault} when a channel has ended
 *   RELOAD {settings}                           RELOADED {status, text}
 *   STOP                                        (exits 0)
 *
 * Before GO everything that GO needs has been sent, and peers may not be
 * running yet: their channels exist and queue, and are read after GO.
 */
#pragma once
#include "ipc/channel.h"

struct program {
    enum role role;
    const struct ipc_route *routes; /* ended by type 0; for every peer, filtered by role */
    /* At BOOT, before confinement: open files, nothing else. No threads: confinement binds the thread that
     * applies it and those it makes later. NULL: nothing to open. */
    enum status (*open)(struct err *err);
    /* Confined, all channels there: make threads, begin to serve. */
    enum status (*start)(struct err *err);
    /* New settings text; keep the old ones and say why on failure. May be NULL. */
    enum status (*reload)(struct slice settings, struct err *err);
    /* Stop taking work, finish what is begun, then call program_exit(). NULL: exit at once. */
    void (*stop)(void);
    /* A listening descriptor (edged). */
    enum status (*listener)(const struct msg_listen *m, int fd);
    /* An account that crashed programs (authd). */
    enum status (*quarantine)(const struct msg_quarantine *m);
    /* A channel to this role ended; a new one came, after GO or after one had ended (start() finds those that were there
     * before by program_peer()). May be NULL. */
    void (*peer_gone)(enum role role, uint32_t instance);
    void (*peer_new)(enum role role, uint32_t instance);
};

/* main() of every program. Returns the exit status. */
int program_main(const struct program *program, int argc, char **argv);
void program_exit(int status);

struct loop *program_loop(void);
uint32_t program_instance(void);
const char *program_root(void);      /* below which programs open: ".", for it is their current folder */
struct slice program_settings(void); /* text of the configuration (lib/conf) */
/* This program's own arena for bodies, or NULL; its consumers have it read-only. */
struct shm *program_arena(void);
/* The channel to a peer, or NULL while there is none. Ask again after every wait. */
struct channel *program_peer(enum role role, uint32_t instance);
/* Waits, on a fiber, until there is an open channel to it. */
MUST_CHECK enum status program_peer_wait(enum role role, uint32_t instance, uint64_t deadline,
                                         struct channel **ch);
/* program_peer_wait and ipc_call; for requests that may be asked twice, it asks again on a new
 * channel when the old one breaks, until the deadline. */
MUST_CHECK enum status program_ask(enum role role, enum msg type, struct slice payload, uint64_t deadline,
                                   struct buf *reply);
