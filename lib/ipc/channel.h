/*
 * Channels between programs: a SOCK_SEQPACKET pair made by estafetad, who also
 * says which role sits at the other end; a program never says who it is. One
 * datagram carries one or more frames, so that all that was said in one round
 * of the loop costs one system call.
 *
 *   frame, version 1:
 *     le16 type      enum msg (messages.h)
 *     le16 flags     1 reply, 2 a descriptor comes with this datagram, 4 payload in chunks
 *     le16 status    of a reply (enum status), else 0
 *     le16 zero
 *     le32 length    of the payload, at most IPC_PAYLOAD_MAX
 *     le32 zero
 *     le64 serial    chosen by who asks, repeated in the reply; 0: no reply wanted
 *     payload        as declared with IPC_MESSAGE
 *
 * With flag 4 the payload is le32 n, then le32 chunk numbers of the sender's
 * output arena for this channel; the bytes are copied out at once and the chunks
 * given back (MSG_CHUNKS_FREE). Senders see none of this: a reply above
 * IPC_INLINE goes that way by itself.
 *
 * Whatever breaks these rules, a type that the sender's role may not send, or
 * a payload its decoder refuses closes the channel, is logged and counted, and estafetad
 * hears of it and starts one of the two anew (program.h).
 */
#pragma once
#include "ipc/messages.h"
#include "ipc/shm.h"
#include "sys/fiber.h"

#define IPC_DATAGRAM (64u * 1024u)
#define IPC_HEADER 24u
#define IPC_INLINE (56u * 1024u)          /* largest payload in a datagram */
#define IPC_PAYLOAD_MAX (1024u * 1024u)   /* largest payload of a reply in chunks */
/* Frames that one channel has served in one round of the loop; then others have their turn, and the rest of the datagram
 * waits for the next round. A peer may be a taken one, and 16 datagrams of empty frames are 43,000 requests. It must not be
 * lower than what an honest round carries: what 1,000 sessions ask stored at once is to become one batch, not two. */
#define IPC_FRAMES_A_ROUND 2048u
#define IPC_BACKLOG_MAX (16u * 1024u * 1024u) /* unsent bytes of one channel; past it calls answer ST_UNAVAILABLE */

struct channel;

/* Who asked, and where the answer goes. A value: it outlives the channel, to which
 * an answer is then dropped. */
struct ipc_sender {
    uint32_t slot, generation;
    uint64_t serial;
    uint16_t type;
    uint16_t role; /* enum role */
    uint32_t instance;
};

struct ipc_request {
    struct ipc_sender from;
    struct channel *channel; /* good for the duration of the handler */
    struct slice payload;    /* good for the duration of the handler: decode, copy */
    int fd;                  /* or -1; the handler takes it by setting it to -1 */
};

/* ST_OK, or anything else to close the channel: the sender broke the contract. An error that
 * is an answer is sent with ipc_answer and is ST_OK here. Runs on the loop's stack; work
 * that waits goes to a fiber. */
typedef enum status (*ipc_handler)(struct ipc_request *request);

struct ipc_route {
    uint16_t type;
    uint32_t roles; /* ROLE_BIT(...) | ... who may send it */
    ipc_handler handle;
    bool wants_fd; /* true: must carry a descriptor; false: must not */
};

/* Asks and waits, on a fiber. The reply's payload replaces what *reply held. Returns the reply's
 * status, or ST_CLOSED (channel gone: it may or may not have been done), ST_TIMEOUT, ST_UNAVAILABLE
 * (nothing was sent). fd is -1 or sent along; it stays the caller's. reply may be NULL. */
MUST_CHECK enum status ipc_call(struct channel *ch, enum msg type, struct slice payload, int fd,
                                uint64_t deadline, struct buf *reply);
/* The same, for answers that may bring a descriptor: *got is it, the caller's, or -1. */
MUST_CHECK enum status ipc_call_fd(struct channel *ch, enum msg type, struct slice payload, uint64_t deadline,
                                   struct buf *reply, int *got);
/* No answer wanted. */
enum status ipc_send(struct channel *ch, enum msg type, struct slice payload, int fd);
/* Answers a request, once. The payload may be up to IPC_PAYLOAD_MAX (with an output arena). */
void ipc_answer(struct ipc_sender to, enum status st, struct slice payload);
void ipc_answer_fd(struct ipc_sender to, enum status st, struct slice payload, int fd);

enum role channel_role(const struct channel *ch);
uint32_t channel_instance(const struct channel *ch);
bool channel_open(const struct channel *ch);
/* How the other end broke the contract, if that is why it was closed here; else NULL. Lives as long as the channel. */
const char *channel_fault(const struct channel *ch);
/* The shared memory in which the other end writes bodies; NULL without one. */
const struct shm *channel_in(const struct channel *ch);

/* For program.c and tests: adopts fd, serves `routes` (ended by a row with type 0). closed() runs
 * once when the channel ends. */
MUST_CHECK enum status channel_new(struct loop *loop, int fd, enum role role, uint32_t instance,
                                   const struct ipc_route *routes, void (*closed)(struct channel *ch),
                                   struct channel **ch);
/* Nothing is read from it, nor its end seen, until it is told again with false. Not while something is sent. */
void channel_hold(struct channel *ch, bool hold);
void channel_free(struct channel *ch); /* every call in it answers ST_CLOSED */
/* Arenas, moved in: the channel unmaps what it had and what it gets. `in` holds the other end's
 * bodies, `replies` its big replies, `out` is ours for big replies to it. */
void channel_set_in(struct channel *ch, struct shm shm);
void channel_set_replies(struct channel *ch, struct shm shm);
void channel_set_out(struct channel *ch, struct shm shm);

struct channel_stats {
    uint64_t datagrams_in, datagrams_out, frames_in, frames_out, broken; /* broken: contract breaches seen */
};
void channel_stats(struct channel_stats *stats); /* of all channels of this process */
