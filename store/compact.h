/*
 * Compaction: makes segments go. What still matters of them is said again, as it is now: a new image of each
 * account whose records or image they hold, copies of the bodies that live there and a table of their rows,
 * and the present value of every other row that their records speak of (queue entries, requests, segments,
 * numbers), or that it is gone. What a rebuild derives from other rows (rebuild.h) is not said.
 *
 *   thread of its own    compact_begin()   reads the segments, writes and seals one side segment; nobody
 * knows of it yet the writer           compact_next()    again and again: the next record, judged by the
 * present; the last is a LOG_GONE thread of its own    compact_end()     when all of them are durable and in
 * the index: flushes it, removes the files
 *
 * Repeating what is true is harmless, so a crash anywhere in between only leaves work to be done again:
 * log_format.h has what a start does with the files. Only one compaction may be under way. A damaged segment
 * is never compacted: its rot would get a good checksum.
 *
 * In a rebuild an older segment may still speak of what died since. Where its death stood in a segment that
 * goes, it is said again, unless no older segment lives.
 */
#pragma once
#include "store/index.h"
#include "store/log.h"

struct compact;

struct compact_settings {
    int64_t now;        /* ns since 1970 */
    const bool *cancel; /* another thread may set it (atomically): compact_begin() ends with ST_CANCELLED.
                           NULL: none */
    bool force; /* also segments of the last ten minutes (their requests are carried over), and if it is not
                   worth it */
};

/* The segments of which less than `percent` lives: at most `most` numbers, the emptiest first. Sides that
 * nobody adopted are not among them, nor is the one that is written to. */
MUST_CHECK enum status compact_choose(struct log *log, struct index *index, unsigned percent,
                                      uint64_t *numbers, size_t most, size_t *n, struct err *err);
/* The segments that hold bytes only this account refers to, and its image. To be asked while its rows are
 * there; compacted when they are gone, nothing is left of its mail. *numbers: le64, one behind the other. */
MUST_CHECK enum status compact_choose_purge(struct index *index, uint64_t account, struct buf *numbers,
                                            struct err *err);

/* Segments that are not there any more are passed over. ST_STATE: one is still written to (log_renew()
 * first), not yet in the index, too young, or not worth it (take more at once). ST_CORRUPT: one is damaged.
 * ST_NOTFOUND: none of them is there. */
MUST_CHECK enum status compact_begin(struct log *log, struct index *index, const uint64_t *segments, size_t n,
                                     const struct compact_settings *settings, struct compact **compact,
                                     struct err *err);

/* The present, with what is in the batch already; the value is good until the next call. ST_NOTFOUND. */
struct compact_present {
    void *arg;
    enum status (*get)(void *arg, const struct row_key *key, struct slice *value);
};
/* Replaces *meta by the next record's and puts it right; *type 0: there is no more. One after the other, each
 * put into the log and the index as any record, in the same batch or a later one. When a batch fails, the
 * whole compaction is to be dropped. ST_CORRUPT: something still refers to a segment that was to go; to be
 * dropped too. */
MUST_CHECK enum status compact_next(struct compact *compact, const struct compact_present *present,
                                    struct buf *meta, uint16_t *type, struct err *err);

/* The last record did not get into a batch after all: the next compact_next() judges it again. */
void compact_again(struct compact *compact);

struct compact_stats {
    uint64_t segments, bytes_before, bytes_after, images, bodies;
};
void compact_stats(const struct compact *compact, struct compact_stats *stats);

/* No reader may still have a snapshot from before the last record was in the index: what it names is removed.
 * Frees. */
MUST_CHECK enum status compact_end(struct compact *compact, struct err *err);
/* Frees; the new side segment goes, unless a record that adopted it is in the index. */
void compact_drop(struct compact *compact);
