/*
 * A set of UIDs as ascending runs: the messages of a selected mailbox, in which a
 * message's sequence number is its place (RFC 3501 2.3.1.2), and those that are
 * gone but not yet told. A mailbox without holes costs one run, however large.
 * Pure; numbers come from stored and are as hostile as any: 0 is never in a set.
 */
#pragma once
#include "base/buf.h"
#include "imap/seqset.h"

struct uid_range {
    uint32_t first, last;
    uint32_t before; /* how many UIDs are in the runs before this one */
};

struct uidset {
    struct uid_range *runs; /* ascending, neither overlapping nor touching */
    size_t n, cap;
    uint32_t count;
};

void uidset_done(struct uidset *set);
/* Gives back memory that is more than twice what is needed. */
void uidset_trim(struct uidset *set);
/* Nothing when it is in already. ST_MEMORY (the set is as before). */
MUST_CHECK enum status uidset_add(struct uidset *set, uint32_t uid);
/* first..last, all above what is in the set. ST_MEMORY. */
MUST_CHECK enum status uidset_append(struct uidset *set, uint32_t first, uint32_t last);
/* Takes away all that is in `gone`. ST_MEMORY (as before). */
MUST_CHECK enum status uidset_subtract(struct uidset *set, const struct uidset *gone);
uint32_t uidset_last(const struct uidset *set);               /* the largest; 0: empty */
uint32_t uidset_at(const struct uidset *set, uint32_t seq);   /* 1-based; 0: there is none */
uint32_t uidset_seq(const struct uidset *set, uint32_t uid);  /* 0: not in it */
uint32_t uidset_upto(const struct uidset *set, uint32_t uid); /* how many are not above it */
static inline bool
uidset_has(const struct uidset *set, uint32_t uid)
{
    return uidset_seq(set, uid) != 0;
}
/* The UIDs of `set` that a resolved sequence set names: by UID, or by place. *out is new. ST_MEMORY. */
MUST_CHECK enum status uidset_select(const struct uidset *set, const struct imap_seqset *named, bool by_uid,
                                     struct uidset *out);
/* What is in both. *out is new. ST_MEMORY. */
MUST_CHECK enum status uidset_common(const struct uidset *set, const struct uidset *other, struct uidset *out);
/* Packed uid_run (store/request.h) of the next UIDs from `from` on, at most `most` of them in at most `runs`
 * runs. How many; *next is where to go on, 0 at the end. */
uint32_t uidset_pack(const struct uidset *set, uint32_t from, uint32_t most, size_t runs, struct buf *out,
                     uint32_t *next);
/* "1:3,7" */
void uidset_put(const struct uidset *set, struct buf *out);
