/*
 * The bytes after DATA or BDAT: finds the end, takes the stuffed dots away, and tells
 * what is unusual. Fed slices as they arrive; no allocation, no I/O.
 *
 * The end is CR LF . CR LF and nothing else (RFC 5321 4.1.1.4: a bare LF must
 * never be taken as a line's end), and a line begins after CR LF only. What a
 * laxer server would take for an end stays in the message and is reported, so
 * that two servers cannot disagree about where a message ends (smuggling).
 */
#pragma once
#include "base/slice.h"

struct smtp_data {
    uint8_t state; /* enum in data.c */
    bool after_cr; /* the byte before was a CR */
    bool repair;   /* set by the caller: a CR or LF alone becomes CR LF; the end is still CR LF . CR LF only */
    uint8_t held[3], n_held; /* repaired, and not yet given out */
    /* Facts, of the message without its end, complete once the end was found. */
    bool bare_cr;  /* a CR without LF after it */
    bool bare_lf;  /* an LF without CR before it */
    bool nul;
    bool eight_bit;
    uint64_t size; /* bytes given out so far: dots removed, final "." CR LF not counted */
};

#define SMTP_DATA_INIT ((struct smtp_data){0})

/* Moves message bytes from the front of *in to out and sets *n to how many; at most cap, and out must
 * not overlap *in. ST_MORE: feed more (*in is empty, or out is full). ST_OK: the end was found; *in
 * begins with the byte after it: the next command. Nothing may be fed after ST_OK. cap is at
 * least 1. */
MUST_CHECK enum status smtp_data_feed(struct smtp_data *d, struct slice *in, uint8_t *out, size_t cap,
                                      size_t *n);
/* The same without an output, to find the end of a message that was refused. */
MUST_CHECK enum status smtp_data_skip(struct smtp_data *d, struct slice *in);

/* A chunk of BDAT (RFC 3030 2): *left bytes, as they are. ST_OK: the chunk is whole, *left is 0, and *in begins with
 * the next command. The facts run on over the chunks of a message; after the last one smtp_chunk_end. */
MUST_CHECK enum status smtp_chunk_feed(struct smtp_data *d, uint64_t *left, struct slice *in, uint8_t *out, size_t cap,
                                       size_t *n);
void smtp_chunk_end(struct smtp_data *d);

static inline bool
smtp_data_strict(const struct smtp_data *d)
{
    return !d->bare_cr && !d->bare_lf && !d->nul;
}
