/*
 * The log: the one place where mail is. It knows records as bytes with a type,
 * not what they mean; its formats are in log_format.h, its disk is a struct disk.
 *
 * One thread builds a batch (log_batch_*), then lets another commit it; only one
 * batch exists between begin and the end of its commit. Reading, preparing
 * and side segments are for any thread at any time.
 *
 * Epochs: a new one begins at every log_open and after every failed commit, in a
 * new segment, whose header says of each older one where it ends. What lies beyond
 * is void for ever; that is how a batch whose flush failed can never come back.
 */
#pragma once
#include "store/disk.h"
#include "store/log_format.h"

struct log;

struct log_settings {
    uint64_t shard;
    uint64_t segment_size; /* pre-written bytes of a main segment; 0: 64 MiB */
    uint32_t batch_max;    /* 0: LOG_BATCH_MAX; smaller only in tests */
    bool rebuild;          /* records of segments that went may be missing from the replay: images have them */
};

/* Where bytes are: an offset in a segment's file. */
struct log_place {
    uint64_t segment, offset;
};

/* One record of the past, never a LOG_GONE; slices are good during the call. Not ST_OK ends the opening with it. */
typedef enum status (*log_replay)(void *arg, const struct log_record *r, struct log_place body);

/* Reads all segments that hold a record with LSN > from, hands every such record to `replay` in order, and begins a
 * new epoch whose header is durable on return.
 * ST_STATE: another process has this log. ST_NEWER: a later format. ST_CORRUPT: a valid batch follows a bad one, a
 * segment is missing, or the log ends before `from`; err says which and where, nothing was changed. ST_STALE: records after `from` went with
 * their segment: the index is too old and must be built anew. */
MUST_CHECK enum status log_open(const struct disk *disk, const struct log_settings *settings, uint64_t from,
                                log_replay replay, void *arg, struct log **log, struct err *err);
void log_close(struct log *log);

uint64_t log_next_lsn(const struct log *log); /* of the next record */
uint64_t log_epoch(const struct log *log);

/* Makes the next main segment ahead of need: created, pre-written, flushed. Slow; when log_wants_spare()
 * says so, in a thread of its own. ST_NOSPACE is remembered until it succeeds. */
MUST_CHECK enum status log_prepare(struct log *log, struct err *err);
bool log_wants_spare(struct log *log);

struct log_batch {
    struct buf bytes;
    uint64_t number, first_lsn, segment, offset, epoch, seed;
    uint32_t records;
    bool fresh; /* the first of its segment: commit writes the header too */
    bool gone;  /* holds a LOG_GONE */
};
/* ST_UNAVAILABLE: no segment is ready; ST_NOSPACE: and none can be made. */
MUST_CHECK enum status log_batch_begin(struct log *log, struct log_batch *b);
/* How many bytes of metadata and body together one more record may have. */
size_t log_batch_room(const struct log *log, const struct log_batch *b);
/* Adds a record whose metadata may name its own body's place: *body is known to `meta_of` callers before the
 * record is written, see log_batch_next_body. ST_LIMIT when there is no room. */
MUST_CHECK enum status log_batch_add(struct log *log, struct log_batch *b, uint16_t type, struct slice meta,
                                     const struct slice *parts, size_t n_parts, uint64_t *lsn,
                                     struct log_place *body);
/* Where the body of the next record will be if its metadata has meta_n bytes. */
struct log_place log_batch_next_body(const struct log_batch *b, size_t meta_n);
uint64_t log_batch_next_lsn(const struct log_batch *b);
/* Writes and flushes. ST_OK: durable. ST_IO, ST_NOSPACE: it did not happen and never will have: a newer epoch that says
 * so is durable. ST_UNKNOWN: not even that could be written; whoever waits may be told nothing but "unknown",
 * and every later begin is ST_UNAVAILABLE until log_renew succeeds. */
MUST_CHECK enum status log_batch_commit(struct log *log, struct log_batch *b, struct err *err);
/* After ST_UNKNOWN: begins a new epoch; ST_OK makes the unknown batch void. */
MUST_CHECK enum status log_renew(struct log *log, struct err *err);
void log_batch_done(struct log_batch *b);

/* Exactly n bytes; ST_NOTFOUND: no such segment; ST_CORRUPT: it ends before. */
MUST_CHECK enum status log_read(struct log *log, struct log_place at, size_t n, uint8_t *to, struct err *err);
bool log_has_segment(struct log *log, uint64_t number);

/* --- maintenance: any thread --- */

/* A living segment. Sides that are still being written are not listed. */
struct log_segment {
    uint64_t number;
    enum log_kind kind;
    bool current;       /* still written to; else nothing in it changes any more */
    bool gone;          /* a durable record says so */
    uint64_t first_lsn; /* main */
    uint64_t end_lsn;   /* main: behind its last record */
    uint64_t bytes;     /* of the file, header included; main: up to what is durable now, or as pre-written if not known */
    uint64_t size;      /* of the file */
    uint64_t sum;       /* side */
};
#define LOG_NAME_MAX 32u
/* As a file is called: "seg-0000000000000001". */
void log_segment_name(char to[LOG_NAME_MAX], enum log_kind kind, uint64_t number);
/* Ascending by number, as of one moment; *list is freed by the caller. Main segments without a record are left out. */
MUST_CHECK enum status log_segments(struct log *log, struct log_segment **list, size_t *n, struct err *err);
/* Hands each record of a main segment to `each`, up to what is durable now, LOG_GONE too, everything verified.
 * ST_NOTFOUND; ST_CORRUPT: damaged, or records are missing. What `each` says ends it. */
MUST_CHECK enum status log_scan_segment(struct log *log, uint64_t number, log_replay each, void *arg, struct err *err);
/* Reads a side segment to its end: ST_CORRUPT when it is not what was sealed. */
MUST_CHECK enum status log_check_side(struct log *log, uint64_t number, struct err *err);
/* Deletes a segment for ever, its bytes when the last reader has done. To be called when no replay can need it any more
 * and no reader's snapshot names it: for a main segment a LOG_GONE must be durable (else ST_STATE) and the index flushed
 * after it; for a side segment its row gone and the index flushed, or it was never adopted. ST_OK also when there is none. */
MUST_CHECK enum status log_forget(struct log *log, uint64_t number, struct err *err);

/* Side segments: bytes written by one thread, in order, then sealed. */
struct log_side;
MUST_CHECK enum status log_side_begin(struct log *log, struct log_side **side, struct err *err);
MUST_CHECK enum status log_side_append(struct log_side *side, struct slice bytes, struct err *err);
struct log_place log_side_at(const struct log_side *side); /* where the next byte goes */
/* Durable on ST_OK: *place, *n bytes and their XXH3-64, for the record that adopts it. Ends `side` either way. */
MUST_CHECK enum status log_side_seal(struct log_side *side, struct log_place *place, uint64_t *n, uint64_t *sum,
                                     struct err *err);
void log_side_drop(struct log_side *side);
/* After replay, with the index flushed, before anything else: removes what a durable record says is gone, and every
 * side segment for which adopted() is false. Not when a record could not be applied: it may have adopted one. */
MUST_CHECK enum status log_sweep(struct log *log, bool (*adopted)(void *arg, uint64_t number), void *arg,
                                 struct err *err);
