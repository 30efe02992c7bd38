/*
 * Sequence sets: "1,3:5,7:*" (RFC 3501 9, sequence-set), or "$", as runs of numbers.
 * Parsing keeps "*" as 0; imap_seqset_resolve() puts the largest number in use
 * in its place, sorts and joins, so that a set costs what its runs cost.
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum { IMAP_RUNS_MAX = 8192 };

struct imap_run {
    uint32_t first, last; /* as written: 0 is "*", and first may be the larger */
};

struct imap_seqset {
    struct imap_run *runs; /* in the arena */
    size_t n;
    bool saved; /* "$" (RFC 5182 2.1): what a SEARCH saved, and no runs */
};

/* ST_SYNTAX; ST_LIMIT past IMAP_RUNS_MAX runs or 32 bits; ST_MEMORY. */
MUST_CHECK enum status imap_seqset_parse(struct slice *in, struct arena *a, struct imap_seqset *set);
/* The largest number written, "*" aside: a sequence number past the mailbox is BAD (RFC 3501 6.4.8 for why
 * a UID is not). */
uint32_t imap_seqset_largest(const struct imap_seqset *set);
/* In place: "*" becomes max, then runs ascend, neither overlap nor touch, and hold no 0. With max == 0 (nothing
 * there) what was written with "*" alone goes away. Once resolved, resolving again changes nothing. */
void imap_seqset_resolve(struct imap_seqset *set, uint32_t max);
/* Resolved sets only. */
bool imap_seqset_has(const struct imap_seqset *set, uint32_t number);
uint64_t imap_seqset_count(const struct imap_seqset *set);
void imap_seqset_put(struct buf *b, const struct imap_seqset *set);
