/*
 * Planted bugs: known mistakes that the crash suite must catch, one at a time, by
 * name in ESTAFETA_BUG. Only in builds with -Dplant_bugs=true; else BUG() is false
 * and the compiler removes it.
 */
#pragma once
#include <stdbool.h>

#define BUGS(B)                                                                     \
    B(no_flush, "a batch is acknowledged without a flush")                          \
    B(no_epoch_at_start, "a start goes on in the epoch of the crash")               \
    B(no_epoch_after_failure, "after a failed flush the same segment is used on")   \
    B(flush_retried, "a failed flush is tried again and believed")                  \
    B(unseeded_checksum, "checksums do not depend on the segment")                  \
    B(epoch_unchecked, "what an old epoch holds beyond the new one is accepted")    \
    B(header_unflushed, "a segment's header is not flushed before its first batch") \
    B(names_unflushed, "a new segment's name is not flushed")                       \
    B(half_batch, "the good records of a torn batch are accepted")                  \
    B(tail_unchecked, "record checksums are not compared")                          \
    B(damage_is_tail, "a bad record before a good batch is taken for the end")      \
    B(side_unflushed, "a side segment is sealed without a flush")                   \
    B(sweep_all, "side segments that a record adopted are swept too")               \
    B(lsn_repeats, "numbers go back after a restart")                               \
    B(side_names_unflushed, "a sealed side segment's name is not flushed")          \
    B(end_unflushed, "a start trusts what a killed program left in the cache")      \
    B(gone_at_once, "a segment counts as gone before the record is durable")        \
    B(gone_named, "manifests go on naming a segment that is gone")                  \
    B(missing_taken, "a missing segment needs no record that says so")             \
    B(image_stale, "an old image is kept for an account that changed since")        \
    B(death_unsaid, "that a queue entry is gone is not said again")                 \
    B(erase_unsaid, "that an account is erased is not said again")                  \
    B(queue_unsaid, "queue entries are not said again")                             \
    B(table_empty, "the rows of moved bodies are not written")                      \
    B(image_overrun, "a rebuild puts old records over an image")                    \
    B(folder_unflushed, "the name of the log's folder is not flushed")              \
    B(replay_skips, "a replay leaves out its first record")                         \
    B(reap_forgotten, "a start does not go on with removals")                       \
    B(index_early, "rows are on the disk before their batch")                        \
    B(applied_ahead, "the index says it has one record more")                       \
    B(rows_kept, "rows of a failed batch go to the index with the next")            \
    B(view_kept, "the judge goes on seeing a failed batch")                         \
    B(failure_hidden, "a failed batch is answered as done")                         \
    B(slow_waits, "requests wait for a flush however long it takes")                \
    B(request_forgotten, "that a request was done is not remembered")               \
    B(change_kept, "a message's older change row stays")                            \
    B(half_delivery, "a delivery's last recipient is left out")                     \
    B(half_settled, "of queue entries that end together the last one stays")        \
    B(half_append, "the last of several appended messages is left out")             \
    B(uidnext_stays, "a copy takes a uid without counting it")                      \
    B(modseq_repeats, "changed flags do not advance the account's modseq")          \
    B(uidvalidity_repeats, "mailboxes of an account share a uidvalidity")           \
    B(refs_ignored, "an expunge ends a body that others still have")

#ifdef PLANT_BUGS
enum bug {
#define BUG_ENUM(name, text) BUG_##name,
    BUGS(BUG_ENUM)
#undef BUG_ENUM
        BUG_COUNT
};
extern int bug_planted; /* enum bug, or -1 */
void bug_plant(const char *name); /* unknown or NULL: none */
#define BUG(name) (bug_planted == BUG_##name)
#else
#define BUG(name) false
#endif
