/*
 * For tests: the real stored as it is started, and all its peers: estafetad, authd, smtpd, imapd, pop3d, queued
 * and an administrator, in one process on one loop. One stored at a time. Everything here that asks runs on a fiber.
 * Nothing fails by itself: what came back is for the caller to judge.
 */
#pragma once
#include <sys/types.h>

#include "ipc/channel.h"
#include "store/request.h"

#define PEER_ARENA (256u * SHM_CHUNK)
#define PEER_WAIT  SECONDS(60) /* for one answer */

struct stored_peer {
    const char *executable, *root, *settings; /* the caller's */
    void (*in_child)(void *arg);              /* between fork and exec; may be NULL */
    void *arg;
    void (*on_hint)(const struct hint *hint); /* may be NULL */
    struct loop *loop;
    pid_t pid; /* 0: none runs */
    struct channel *control, *smtp, *imap, *pop, *auth, *ctl, *queue;
    struct shm bodies; /* written by smtpd and imapd */
    int bodies_reader;
    unsigned queue_news; /* MSG_QUEUE_NEW that came */
    uint64_t credit; /* what smtpd and imapd were granted */
    bool ready, ended;
    struct wait came; /* READY, or its end */
};

/* The arena; the loop, executable, root and settings are there. False with errno. */
MUST_CHECK bool peer_setup(struct stored_peer *p);
void peer_done(struct stored_peer *p);
/* ROOT/store must be there. ST_OK: it is ready. ST_CLOSED: it ended instead (and peer_end() has its exit status). */
MUST_CHECK enum status peer_start(struct stored_peer *p);
/* A new channel for smtpd or imapd, after the old one was closed; with credit as at a start. */
MUST_CHECK enum status peer_again(struct stored_peer *p, enum role role);
/* A body into a side body of the program at the other end of ch; sealed when seal. */
MUST_CHECK enum status peer_side(struct stored_peer *p, struct channel *ch, struct slice body, bool seal, uint64_t *id);
/* Told to stop, or killed; its status as waitpid() gives it. -1: it did not end in time and was killed. */
int peer_end(struct stored_peer *p, bool kill_it);
/* Has it ended by itself? *status as waitpid() gives it; then peer_end() is still to be called. */
bool peer_has_ended(struct stored_peer *p);

#define PEER_ASK(peer, ch, type, tag, reply, ...)                                                       \
    ({                                                                                                  \
        AUTO_BUF m_ = BUF_INIT(IPC_INLINE);                                                             \
        tag##_put(&m_, &(struct tag){__VA_ARGS__});                                                     \
        ipc_call((ch), (enum msg)(type), buf_slice(&m_), -1, loop_now((peer)->loop) + PEER_WAIT, (reply)); \
    })

/* Delivers n bytes to accounts, each into `mailbox`; as queued when m->settled is not empty. What m has of chunks, n and recipients is replaced; with m->side
 * the body goes into a side body first. */
MUST_CHECK enum status peer_deliver(struct stored_peer *p, const struct deliver *m, struct slice body, bool side,
                                    const uint64_t *accounts, size_t n, const char *mailbox, struct delivered *got);
/* Appends n messages at once; what m has of messages, chunks and n is replaced. list: their flags, keywords, dates and digests,
 * its n is replaced. m->list_n not 0: the list goes in chunks. */
MUST_CHECK enum status peer_append(struct stored_peer *p, const struct append *m, const struct append_message *list,
                                   const struct slice *bodies, size_t n, bool side, struct appended *got);
MUST_CHECK enum status peer_rcpt(struct stored_peer *p, const char *mailbox, uint64_t *account);
MUST_CHECK enum status peer_handle(struct stored_peer *p, const char *name, uint64_t *handle);
/* ST_NOTFOUND: no mailbox of that name. */
MUST_CHECK enum status peer_mailbox(struct stored_peer *p, uint64_t handle, const char *name, uint64_t *mailbox);
MUST_CHECK enum status peer_status(struct stored_peer *p, uint64_t handle, uint64_t mailbox, struct mailbox_status *s);
/* The whole message. */
MUST_CHECK enum status peer_read(struct stored_peer *p, uint64_t handle, uint64_t mailbox, uint32_t uid, struct buf *to);
/* The index as text. */
MUST_CHECK enum status peer_dump(struct stored_peer *p, struct buf *to);
void peer_remove_tree(const char *path);
/* A whole test: a root below /tmp, the loop, `all` on a fiber, and everything is gone again. `all` starts stored, ends it, and ends
 * with loop_stop(). False: the surroundings were not to be had. */
MUST_CHECK bool peer_live(struct stored_peer *p, void (*all)(void *arg));
