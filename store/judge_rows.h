/*
 * What the judge_*.c share: rows of the present as structs, and the changes of shared counters that one record
 * makes. Slices in rows point into the view: good until the record is applied.
 */
#pragma once
#include "store/judge.h"
#include "store/record.h"

#define JUDGE_KEY(...) (&(struct row_key){__VA_ARGS__})

/* An account in service and its counters. ST_STALE: gone or going; ST_UNAVAILABLE: out of service. */
struct judge_account {
    uint64_t number;
    struct row_account row;
    struct row_usage usage;
};
MUST_CHECK enum status judge_open(struct judge *j, uint64_t account, struct judge_account *a);

/* A living mailbox of it. ST_STALE. */
struct judge_box {
    uint64_t number;
    struct row_mailbox row;
    struct row_status status;
};
MUST_CHECK enum status judge_box(struct judge *j, uint64_t account, uint64_t mailbox, struct judge_box *box);
/* By name; ST_NOTFOUND. */
MUST_CHECK enum status judge_box_named(struct judge *j, uint64_t account, struct slice name, uint64_t *mailbox);
MUST_CHECK enum status judge_shard(struct judge *j, struct row_shard *shard);
/* What was answered to this request before. ST_NOTFOUND: it is new; ST_SYNTAX: not 16 bytes. */
MUST_CHECK enum status judge_request(struct judge *j, struct slice request, struct row_request *row);

/* A message comes into, or leaves, a mailbox; or its flags change from one to the other (NULL: was not, is not there). */
void judge_count(struct row_usage *usage, struct row_status *status, const struct row_message *before,
                 const struct row_message *after);

/* Is a message of `bytes` more within the account's quota? ST_QUOTA. */
MUST_CHECK enum status judge_fits(const struct judge_account *a, uint64_t bytes);

void judge_touch(struct outcome *out, uint64_t account, uint64_t mailbox, uint64_t modseq);

/* Numbers for names, new ones appended to *fresh (packed record_keyword) and usage. *known: the same, of names that were
 * found; who asks for many lists keeps it, since finding one reads all the keywords of the account. *numbers: packed
 * le16, ascending. names: packed msg_name. ST_LIMIT, ST_SYNTAX. */
MUST_CHECK enum status judge_keywords(struct judge *j, struct judge_account *a, struct slice names, struct buf *fresh,
                                      struct buf *known, struct buf *numbers);

/* References and live bytes as one record changes them: absolute values at the end. */
struct judge_counts {
    struct judge_count_row {
        uint64_t number;
        int64_t change;
        uint64_t born; /* of segments: bytes of bodies that this record puts there */
    } *refs, *live;
    size_t n_refs, cap_refs, n_live, cap_live;
    bool failed;
};
#define COUNTS_INIT ((struct judge_counts){0})
void judge_counts_done(struct judge_counts *c);
void judge_ref(struct judge_counts *c, uint64_t body, int64_t change);
void judge_born(struct judge_counts *c, uint64_t segment, uint64_t bytes);
/* Packed record_ref and record_live. Bodies whose last reference goes give their bytes back to their segments. */
MUST_CHECK enum status judge_counts_put(struct judge *j, struct judge_counts *c, struct buf *refs, struct buf *segments);

/* What attempts came to, packed queue_settled: the entries as they are afterwards to *queue (packed record_queued), the references of
 * those that are done from *counts. ST_SYNTAX, ST_LIMIT. judge_queue.c */
MUST_CHECK enum status judge_settled(struct judge *j, struct slice list, struct buf *queue, struct judge_counts *counts);

/* Messages of a mailbox from uid `first` to `last`, at most `most`; ST_MORE: stopped by that. The row points into
 * the index: good during the call. */
typedef enum status judge_each(void *arg, uint32_t uid, const struct row_message *message);
MUST_CHECK enum status judge_messages(struct judge *j, uint64_t account, uint64_t mailbox, uint32_t first,
                                      uint32_t last, judge_each *fn, void *arg);
