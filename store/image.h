/*
 * Account images: every row that the index has of one account at one LSN, in a side segment. They make the
 * account's older records dead, so that segments can go and the index can be built anew without them. Tables
 * are the same for the bodies that were put into a side segment: their body and digest rows.
 *
 * An image: chunks, each le32 n and n bytes, the metadata of a RECORD_IMAGE (record.h); chunk numbers ascend
 * from 0, keys ascend over all chunks, the last one says so; account 0 is a table. Its place, length and
 * XXH3-64 stand in a row_image, which a RECORD_ADOPT puts. What is read back is believed only after that sum:
 * fuzz/store_image.c.
 */
#pragma once
#include "store/index.h"
#include "store/log.h"
#include "store/record.h"

#define IMAGE_CHUNK     (256u * 1024u)      /* a chunk is ended by the row that passes this */
#define IMAGE_CHUNK_MAX (20u * 1024 * 1024) /* one that is larger was never written */

/* Appends the image as of the snapshot. ST_NOTFOUND: there is no such account in it; nothing was appended.
 * After any other failure the side segment is of no more use. */
MUST_CHECK enum status image_write(struct index *index, const struct index_snapshot *snapshot,
                                   uint64_t account, struct log_side *side, struct row_image *image,
                                   struct err *err);

/* Row by row, keys ascending and without their account. _end and _drop free. */
struct image_writer;
struct image_writer *image_begin(struct log_side *side, uint64_t account, uint64_t lsn); /* NULL: no memory */
MUST_CHECK enum status image_put(struct image_writer *w, struct slice key, struct slice value,
                                 struct err *err);
MUST_CHECK enum status image_end(struct image_writer *w, struct row_image *image, struct err *err);
void image_drop(struct image_writer *w);

/* Gives the image's rows to `sink`, which first is told to empty the account. ST_CORRUPT, ST_NOTFOUND: its
 * segment is not there; ST_NEWER. Nothing reaches the sink before the sum was checked. */
MUST_CHECK enum status image_read(struct log *log, uint64_t account, const struct row_image *image,
                                  const struct row_sink *sink, struct err *err);

/* Pure, for image_read and the fuzzer: all chunks of the image in `in`. */
MUST_CHECK enum status image_apply(struct slice in, uint64_t account, uint64_t lsn,
                                   const struct row_sink *sink);

/* LSN of the last record that the snapshot has. */
MUST_CHECK enum status image_lsn(struct index *index, const struct index_snapshot *snapshot, uint64_t *lsn,
                                 struct err *err);
