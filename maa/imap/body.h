/*
 * The messages of an APPEND on their way from the client: into chunks of this program's arena, to
 * mdad for their digests, and above STORE_BODY_INLINE together through stored into one side body. Credit of
 * stored bounds what may be on its way at a time. All but the two at the end need a fiber. (lib/smtpserver
 * has the same for DATA, bound to deliveries.)
 *
 * Only the first message waits for credit. Another one (RFC 3502) that finds none, or no chunks to spare, sends what is held
 * to a side body, so that sessions that hold some never wait for each other.
 */
#pragma once
#include "ipc/shm.h"
#include "net/stream.h"
#include "store/request.h"

#define BODY_WINDOW 8u /* chunks fed to mdad and to a side body at a time: 128 KiB */
#define BODY_CHUNKS (STORE_BODY_INLINE / SHM_CHUNK)
#define BODY_LIST   (STORE_APPEND_LIST / SHM_CHUNK)

struct body {
    uint64_t n, got;     /* of the message that comes: announced, received */
    uint64_t total;      /* bytes of all that were announced */
    uint64_t credit;     /* booked, and not yet spent */
    uint64_t side, job;  /* 0: none */
    uint32_t store_life; /* in which credit was booked and the side body begun */
    uint32_t chunks[BODY_CHUNKS];
    uint32_t n_chunks, fed; /* held; of these given to mdad */
    uint32_t sizes[BODY_CHUNKS]; /* of the messages in them, each from a new chunk on; not when it streams */
    uint32_t n_sizes;
    uint32_t list[BODY_LIST], n_list; /* chunks with the list of messages */
    bool streams;           /* larger than what is sent inline */
    bool digested;          /* mdad has not failed at this message */
    struct buf digest;      /* of this message, when it is whole and digested */
};

/* The first message. Waits for credit and begins a side body. On failure nothing is held: ST_UNAVAILABLE, ST_NOSPACE, ... */
MUST_CHECK enum status body_begin(struct body *b, uint64_t n);
/* Another one behind those that are whole. After a failure, as after one of body_receive(), only body_end() is left. */
MUST_CHECK enum status body_next(struct body *b, uint64_t n);
/* Reads all n bytes of a message. ST_CLOSED, ST_TIMEOUT, ...: the client is gone. What else fails is in *kept: the bytes
 * are read and thrown away, so that the next command is found. */
MUST_CHECK enum status body_receive(struct body *b, struct stream *from, enum status *kept);
/* No more messages come: a side body is sealed. */
MUST_CHECK enum status body_seal(struct body *b);
/* A list of messages (m->messages) that is too long for a datagram goes into chunks, packed into *chunks. ST_UNAVAILABLE. */
MUST_CHECK enum status body_list(struct body *b, struct append *m, struct buf *chunks);
/* The body fields of MSG_APPEND; chunks are packed into *chunks. From then on its credit is stored's to give
 * back. */
void body_fill(struct body *b, struct append *m, struct buf *chunks);
/* Gives all back. st: of the MSG_APPEND, or of what came before it: after ST_OK the side body is stored's,
 * after ST_TIMEOUT the chunks may still be read. */
void body_end(struct body *b, enum status st);

void body_credit(uint64_t n);
void body_store_gone(void);
