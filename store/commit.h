/*
 * How requests that change mail become durable: they queue; when no batch is in flight, all that wait are judged,
 * one behind the other, into one batch; a thread writes and flushes it; then it is put into the index, and each is
 * answered. Judging never sees what may still fail (docs/architecture.md, 4). The loop's thread, but for the flusher
 * and the maker of segments.
 *
 * A failed flush refuses exactly its batch. A flush of over COMMIT_SLOW refuses what waits and what comes, until it ends.
 */
#pragma once
#include "store/judge.h"
#include "sys/loop.h"

#define COMMIT_SLOW SECONDS(5)
/* What may wait of one program, so that none that floods takes the room, or the memory, of the others: requests, and their
 * bytes without the bodies. */
#define COMMIT_WAITING_MAX   50000u
#define COMMIT_WAITING_BYTES (128u << 20)

/* A request that changes something. */
struct work {
    struct work *next;
    uint16_t type;             /* enum msg, or WORK_* */
    uint64_t account, mailbox; /* account: whose; mailbox: WORK_REAP's */
    uint64_t cursor;           /* judge.h */
    struct judge_body body;
    const struct shm *in; /* where its chunks are; NULL: no body, or a side body */
    struct slice chunks;  /* points into payload */
    struct buf reply;     /* grows over the slices of a long one */
    struct buf touched;
    enum status status;
    bool more; /* to be judged again */
    bool recorded; /* there is a record of it; with ST_OK it is durable */
    /* WORK_RECORD: decides the next record; *more in out while there is another. Its answer is its own. */
    enum status (*judge)(struct work *w, struct judge *j, struct outcome *out);
    void *owner;
    uint16_t role; /* of who asked, for commit_forget(); 0: ourselves */
    uint32_t instance;
    size_t n;
    uint8_t payload[];
};
enum { WORK_REAP = 1000, WORK_FORGET_REQUESTS, WORK_RECORD };

struct commit_settings {
    uint64_t gather;       /* ns at most that a batch waits for what is known to come */
    uint64_t disk_reserve; /* bytes that stay free */
    int dir;               /* of the store, for asking how much is free */
    /* It is durable and in the index, or it is not and never will be (work->status). The work is the callee's. */
    void (*done)(struct work *work);
    /* How many deliveries are known to come. */
    uint32_t (*coming)(void);
};

struct commit;
MUST_CHECK enum status commit_new(struct loop *loop, struct log *log, struct index *index,
                                  const struct commit_settings *settings, struct commit **commit, struct err *err);
/* Takes the work. done() may be called before it returns. */
void commit_ask(struct commit *c, struct work *work);
/* What waits from this peer goes to done() with ST_CLOSED; what is in the batch goes on. */
void commit_forget(struct commit *c, uint16_t role, uint32_t instance);
/* Is nothing waiting or in flight, and no thread about to say something? Only then commit_free(). */
bool commit_idle(const struct commit *c);
/* Waits for the batch in flight; the threads end. */
void commit_free(struct commit *c);
/* Ends the segment that is written to: what it holds can be compacted. ST_STATE: not now, a batch is in flight. */
MUST_CHECK enum status commit_roll(struct commit *c, struct err *err);
struct view *commit_view(struct commit *c);
/* For what is asked without a record. */
struct judge *commit_judge(struct commit *c);

struct commit_stats {
    uint64_t batches, records, failed, slow, refused, gathered, useless;
};
void commit_stats(const struct commit *c, struct commit_stats *stats);
