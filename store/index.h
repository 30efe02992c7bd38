/*
 * The index: rows over RocksDB, whose own WAL is off, for the log is the WAL. After a crash it opens at some
 * flushed prefix of what was written (one key space: memtables reach the disk in order) and index_applied() says
 * where replay has to go on. Holds nothing that the log does not: one in doubt is built anew beside and switched.
 *
 * Threads: one writer; any number of readers, each with a snapshot.
 */
#pragma once
#include "store/row.h"

struct index;
struct index_batch;
struct index_snapshot;

struct index_settings {
    size_t memtable; /* bytes; 0: 32 MiB. When it is full it becomes a file: the checkpoint */
    size_t cache;    /* bytes of blocks, filters and indices kept; 0: 8 MiB */
};

/* Makes `path` when it is not there. ST_STALE: another format; ST_CORRUPT, ST_IO: in doubt; for each of these the
 * answer is index_build(). */
MUST_CHECK enum status index_open(const char *path, const struct index_settings *settings, struct index **index,
                                  struct err *err);
void index_close(struct index *index); /* flushes; NULL does nothing */
/* LSN of the last record whose rows are in it; 0: none. Writer only. */
uint64_t index_applied(const struct index *index);

/* An empty index beside `path` (path.new); what was there is deleted. */
MUST_CHECK enum status index_build(const char *path, const struct index_settings *settings, struct index **fresh,
                                   struct err *err);
/* Flushes `fresh`, puts it in the place of `path` by one rename, and opens it there as *index. The old one must be
 * closed. `fresh` is closed in any case. */
MUST_CHECK enum status index_switch(const char *path, const struct index_settings *settings, struct index *fresh,
                                    struct index **index, struct err *err);

struct index_batch *index_batch_new(void);
void index_batch_free(struct index_batch *batch);
struct row_sink index_batch_sink(struct index_batch *batch);
/* What is put after a mark is undone by rollback or kept by keep; each mark wants one of them. */
void index_batch_mark(struct index_batch *batch);
void index_batch_keep(struct index_batch *batch);
void index_batch_rollback(struct index_batch *batch);
/* All of the batch and "applied = lsn", at once; empties it. After a failure the index is in doubt. */
MUST_CHECK enum status index_write(struct index *index, struct index_batch *batch, uint64_t lsn, struct err *err);
/* The checkpoint: what is written so far survives a crash. */
MUST_CHECK enum status index_flush(struct index *index, struct err *err);

/* What was deleted of an account, and of bodies, leaves the files of the index too. Slow; any thread. */
MUST_CHECK enum status index_purge(struct index *index, uint64_t account, struct err *err);

/* The index as it is now, for one reader. Wants index_snapshot_free before index_close. */
struct index_snapshot *index_snapshot_new(struct index *index);
void index_snapshot_free(struct index *index, struct index_snapshot *snapshot);
/* Appends the value to *value. ST_NOTFOUND. snapshot NULL: the present. */
MUST_CHECK enum status index_get(struct index *index, const struct index_snapshot *snapshot,
                                 const struct row_key *key, struct buf *value, struct err *err);
/* Anything but ST_OK stops the scan and is what it returns. The slices live until fn returns. */
typedef enum status index_scan_fn(void *arg, struct slice key, struct slice value);
/* Rows [from, to) in order; to empty: up to the end. */
MUST_CHECK enum status index_scan(struct index *index, const struct index_snapshot *snapshot, struct slice from,
                                  struct slice to, index_scan_fn *fn, void *arg, struct err *err);
/* One row after the other, where each is most often right behind the one before: far cheaper then than index_get. It sees
 * the index as it was when the cursor was made, or the snapshot. NULL: no memory. A value is good until the next one. */
struct index_cursor;
struct index_cursor *index_cursor_new(struct index *index, const struct index_snapshot *snapshot);
void index_cursor_free(struct index_cursor *c);
MUST_CHECK enum status index_cursor_get(struct index_cursor *c, const struct row_key *key, struct slice *value,
                                        struct err *err);
/* Every row as a line (row_text), for comparing an index with its rebuild. */
MUST_CHECK enum status index_dump(struct index *index, const struct index_snapshot *snapshot,
                                  void (*line)(void *arg, struct slice text), void *arg, struct err *err);
