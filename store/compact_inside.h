/*
 * What the compact*.c share.
 */
#pragma once
#include "store/compact.h"
#include "store/numbers.h"
#include "store/record.h"

#define KEY(...) (&(struct row_key){__VA_ARGS__})

/* What the segments that go say of a number. */
enum {
    SAID = 1,    /* a row was put */
    DIED = 2,    /* its row was deleted */
    BORN = 4,    /* it did not exist before: no older segment speaks of it, but one in between may */
    POINTED = 8, /* account: its image was named */
    FRESH = 16   /* account: a new image was made */
};

struct victim {
    uint64_t number, bytes;
    enum log_kind kind;
};

/* An extent that moves, and where to. */
struct move {
    uint64_t segment, offset, n, to;
};

enum step { BODIES, ADOPT, QUEUE, REQUESTS, ERASES, SEGMENTS, GONE, DONE };

struct compact {
    struct log *log;
    struct index *index;
    struct compact_settings settings;
    struct victim *victims; /* ascending */
    size_t n_victims;
    bool older;   /* main segments live that are older than one of them */
    bool between; /* ... and newer than another */

    struct numbers bodies, queue, accounts,
        segments;        /* a: what was said; accounts.b: LSN of the last that was */
    struct buf requests; /* 16 bytes each */
    struct buf moves;    /* struct move, sorted by segment and offset */
    struct buf images;   /* packed record_imaged: new ones, and the table */

    struct log_side *side; /* until it is sealed */
    uint64_t side_number;  /* 0: none */
    struct row_segment side_row;

    enum step step;
    size_t at;         /* within the step */
    struct slice left; /* of images */
    struct {
        enum step step;
        size_t at;
        struct slice left;
    } before; /* the last record */
    struct compact_stats stats;
};

/* Does a segment that stays speak of something that died, and that did or did not exist before? */
static inline bool
compact_haunts(const struct compact *c, uint64_t said)
{
    return (said & DIED) != 0 && ((said & BORN) != 0 ? c->between : c->older);
}

/* NULL: that segment stays. */
const struct victim *compact_victim(const struct compact *c, uint64_t number);
/* The row with its extents where they will be, in *extents. moved: bytes that move, by victim; NULL: not
 * wanted. ST_CORRUPT: one should have been copied, and was not. */
MUST_CHECK enum status compact_moved(const struct compact *c, struct row_body *row, struct buf *extents,
                                     uint64_t *moved, bool *changed);
bool compact_cancelled(const struct compact *c);
