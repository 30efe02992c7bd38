/*
 * The log: the only thing on the disk that holds mail. Append-only segments of batches of records;
 * a record is in the log wholly or not at all, and so is a batch. Knows nothing of accounts or of
 * the index. This header promises nothing about files: another implementation can be objects in a cluster.
 *
 * Threads: one builder (reset, room, add, gone, close), one flusher (commit), any number of readers.
 * While the flusher commits batch n the builder may build n + 1, but must have closed n before.
 */
#pragma once
#include <stdbool.h>

#include "base/buf.h"
#include "store/disk.h"

#define LOG_TYPE_MAX 0xff00u /* record types of the caller are below; the rest are the log's own */
#define LOG_ALIGN 8u

struct log;
struct log_side;

struct log_settings {
    uint64_t segment_size; /* 0: 64 MiB */
    uint32_t batch_max;    /* 0: 4 MiB; at most a quarter of a segment */
    uint64_t reserve;      /* bytes of disk left free, for index rows: else ST_NOSPACE */
    uint32_t shard;
    bool no_helper;          /* tests: segments are made by the builder itself, when needed */
    const struct disk *disk; /* NULL: the system's */
};

/* Where bytes lie. Good as long as their segment lives, also over restarts. */
struct log_place {
    uint64_t segment, offset;
};

/* A record as it is read back; the slices live until the callback returns. */
struct log_record {
    uint16_t type;
    uint32_t key; /* key-id; 0 while records are not encrypted */
    uint64_t lsn, batch;
    struct slice meta, body;
    struct log_place body_at;
};

/* Anything but ST_OK stops the replay and is what log_open() returns. */
typedef enum status log_replay_fn(void *arg, const struct log_record *record);

/* Opens, replays every record with lsn > from_lsn in order, and begins a new epoch, durably, before it
 * returns. ST_STATE: another process has it open. ST_CORRUPT names segment and offset: damage, not a
 * torn tail. ST_NEWER: a later version wrote it. `dir` exists. */
MUST_CHECK enum status log_open(const char *dir, const struct log_settings *settings, uint64_t from_lsn,
                                log_replay_fn *replay, void *arg, struct log **log, struct err *err);
void log_close(struct log *log);
uint64_t log_epoch(struct log *log);

/* A batch in the making; zero-initialise it once, keep it for the next. */
struct log_batch {
    struct buf bytes;
    uint64_t segment, offset, epoch, number, first_lsn;
    uint32_t count;
    bool open;
    struct buf gone; /* numbers of segments that die with this batch's commit */
};

/* Begins a batch behind all closed ones. ST_NOSPACE: no segment could be made (try again later);
 * ST_IO: after a failure the new epoch could not begin yet. */
MUST_CHECK enum status log_batch_reset(struct log *log, struct log_batch *batch, struct err *err);
/* Would a record with so much meta and body fit? */
bool log_batch_room(const struct log *log, const struct log_batch *batch, size_t meta, size_t body);
/* Where the body of the next record with so much meta will lie, and its LSN: meta may contain both. */
struct log_place log_batch_next(const struct log_batch *batch, size_t meta, uint64_t *lsn);
/* ST_LIMIT without room. `body` is joined from n slices. */
MUST_CHECK enum status log_batch_add(struct log *log, struct log_batch *batch, uint16_t type, struct slice meta,
                                     const struct slice *body, size_t n);
/* The segment is deleted once this batch is durable. What it held must live elsewhere by this very batch. */
MUST_CHECK enum status log_batch_gone(struct log *log, struct log_batch *batch, uint64_t segment);
/* Seals it in memory; its places are final. */
void log_batch_close(struct log *log, struct log_batch *batch);
/* Writes and flushes. ST_OK: durable. ST_IO: it did not happen and never will, not even after a crash.
 * ST_UNKNOWN: the disk fails so that not even that could be made sure. ST_STALE: an earlier batch failed
 * after this one was begun; nothing was written, build it again. */
MUST_CHECK enum status log_batch_commit(struct log *log, struct log_batch *batch, struct err *err);
void log_batch_done(struct log_batch *batch);

/* Side segments: large or many bytes that are durable before the record that adopts them joins a batch.
 * One thread at a time for each. */
MUST_CHECK enum status log_side_begin(struct log *log, uint64_t announced, struct log_side **side, struct err *err);
MUST_CHECK enum status log_side_append(struct log_side *side, struct slice bytes, struct log_place *at,
                                       struct err *err);
/* Flushes; frees the side whether it succeeds or not. */
MUST_CHECK enum status log_side_seal(struct log_side *side, uint64_t *segment, struct err *err);
void log_side_drop(struct log_side *side); /* NULL does nothing */
/* Reads a sealed side segment through and compares its checksum. */
MUST_CHECK enum status log_side_verify(struct log *log, uint64_t segment, struct err *err);
/* After replay, before the first log_side_begin: deletes the side segments that no record adopted. */
MUST_CHECK enum status log_sweep(struct log *log, bool (*adopted)(void *arg, uint64_t segment), void *arg,
                                 struct err *err);

/* n bytes at place + skip, all or none. Any thread. ST_NOTFOUND: the segment is gone. */
MUST_CHECK enum status log_read(struct log *log, struct log_place place, uint64_t skip, size_t n, void *out,
                                struct err *err);
/* Calls fn for each valid record of a main segment: for compaction and check. ST_CORRUPT as log_open(). */
MUST_CHECK enum status log_segment_scan(struct log *log, uint64_t segment, log_replay_fn *fn, void *arg,
                                        struct err *err);

struct log_segment {
    uint64_t number, first_lsn, bytes;
    bool side, current; /* current: batches go there; cannot be deleted */
};
/* Fills at most cap; returns how many there are. */
size_t log_segments(struct log *log, struct log_segment *out, size_t cap);
/* The next batch begins a new segment (backup, compaction). Builder only. */
void log_seal(struct log *log);
