/*
 * Threads that answer what is only asked (reads.h), so that a slow disk delays nobody else. An answer leaves in the
 * loop's thread.
 */
#pragma once
#include "ipc/channel.h"
#include "store/reads.h"

/* What may wait of one program, and the bytes of the questions. */
#define READERS_WAITING_MAX   20000u
#define READERS_WAITING_BYTES (64u << 20)

struct readers;
MUST_CHECK enum status readers_new(struct loop *loop, const struct reads *reads, uint32_t threads,
                                   struct readers **readers, struct err *err);
/* Answers `to` in time; ST_UNAVAILABLE at once when too many wait. The payload is copied. */
void readers_ask(struct readers *r, struct ipc_sender to, uint64_t account, struct slice payload);
/* Any other work of theirs: run in a thread, then done in the loop's. The struct is the callee's until done. */
struct reader_task {
    void (*run)(struct reader_task *t);
    void (*done)(struct reader_task *t);
    struct reader_task *next;
    struct posted posted;
    struct readers *readers;
};
void readers_run(struct readers *r, struct reader_task *t);
/* Is no task waiting, running or to be done? Only then readers_free(): a thread's last word would come to memory that is
 * no more. */
bool readers_idle(const struct readers *r);
void readers_free(struct readers *r);
