/*
 * The bytes of the log, version 1. Pure: encodes and decodes, opens nothing.
 * All integers little-endian. Everything read here may be damaged or left over
 * from an earlier life of the disk: nothing is believed before its checksum.
 *
 * SEGMENT, main "seg-NUMBER" or side "side-NUMBER" (16 hex digits):
 *   0      8  magic "ESTAFSEG"
 *   8      4  version (1)
 *   12     4  kind: 1 main, 2 side
 *   16     8  shard
 *   24     8  number: unique in the shard, ascending in the order of making
 *   32     8  epoch
 *   40     8  first LSN (main), 0 (side)
 *   48     8  first batch number (main), XXH3-64 of the bytes behind the header (side)
 *   56     8  seed: random; of every checksum in this segment
 *   64     8  size of the file: as pre-written (main), as sealed (side)
 *   72     8  key id: 0, not encrypted
 *   80     4  n: how many main segments live, this one not counted
 *   84     4  zero
 *   88  16*n  the manifest: of each its number and the LSN behind its last record, ascending
 *   ...       zeros
 *   65528  8  checksum of the 65,528 bytes before, seed 0
 * 65536 on: batches (main) or raw bytes (side), zeros behind.
 *
 * BATCH, at a multiple of 8:
 *   0      4  magic "BTCH"
 *   4      4  length of the batch, this header included, multiple of 8, at most LOG_BATCH_MAX
 *   8      8  batch number: one more than that before
 *   16     8  LSN of its first record
 *   24     4  number of records, at least 1
 *   28     4  zero
 *   32     8  checksum of the 32 bytes before and the epoch
 *   40        records, one behind the other, filling the batch
 *
 * RECORD, at a multiple of 8:
 *   0      4  length of the record, this header included, padded with zeros to a multiple of 8
 *   4      2  type (record.h)
 *   6      2  zero
 *   8      8  LSN: one more than that before
 *   16     8  batch number
 *   24     4  length of the metadata
 *   28     4  key id: 0
 *   32     8  length of the body
 *   40     8  checksum of the 40 bytes before, the epoch, metadata and body
 *   48        metadata, body, padding
 *
 * Checksums are XXH3-64 with the segment's seed, so that a message that looks
 * like a record, or a record of another segment or epoch, is none.
 *
 * THE MANIFEST of the newest header is the truth: what it names is there, whole, and ends where it says; what
 * it does not name does not count: a segment that went, or one whose flush failed before it had a record. So damage at
 * an end is told from the end, and what the index holds already need not be read at a start.
 *
 * HOW A SEGMENT GOES. Compaction has said again, later in the log, all that still matters of segment S. Then:
 *
 *                                                                              after a cut here
 *   1  a batch that holds a record of type LOG_GONE with S is written          S is as before
 *   2  it is durable; from here on no new header names S                       S is there; nothing needs it
 *   3  the index has the batch and is flushed: no replay goes back behind it   S is there; nothing needs it
 *   4  log_forget(S): the file is removed, the names are flushed               S is there, or is not
 *
 * A file that the newest header names may be missing only if a LOG_GONE in that newest segment names it: step 4 was
 * reached and no header written since. Any other is ST_CORRUPT. What a cut in 2 to 4 has left is removed at the next
 * start: by log_sweep() after replay, or at once when no manifest names it. S is true history, so a replay may
 * have it or not; but one from before the end of S, without S, is ST_STALE: only images (image.h) fill that gap.
 *
 * Side segments stand in no manifest: they would need a header at each adoption. One lives while the index has its
 * segment row, put by the record that adopted it; log_sweep() removes all others. Steps 1 to 4 are the same, with
 * the record that deletes that row in the place of LOG_GONE. That a living one is missing, the store finds out.
 */
#pragma once
#include "base/buf.h"

#define LOG_VERSION 1u
#define LOG_HEADER 65536u
#define LOG_BATCH_HEADER 40u
#define LOG_RECORD_HEADER 48u
#define LOG_BATCH_MAX (4u * 1024u * 1024u)
#define LOG_SEGMENTS_MAX ((LOG_HEADER - 8 - 88) / 16)
#define LOG_GONE 0xffffu /* the log's own record type; metadata: le64 numbers of main segments that go with this batch */

enum log_kind { LOG_MAIN = 1, LOG_SIDE = 2 };

/* A main segment of the manifest: records from its header's first LSN up to, not including, `end`. */
struct log_living {
    uint64_t number, end;
};

struct log_header {
    enum log_kind kind;
    uint64_t shard, number, epoch, first_lsn, first_batch, sum, seed, size; /* first_*: main; sum: side */
    uint32_t n_living;
    const struct log_living *living; /* put: n_living of them; get: NULL, see log_header_living */
};

/* Fills LOG_HEADER bytes. */
void log_header_put(uint8_t *to, const struct log_header *h);
/* ST_MORE: all zeros, never used. ST_NEWER: a later version. ST_CORRUPT: anything else. */
MUST_CHECK enum status log_header_get(const uint8_t *from, struct log_header *h);
struct log_living log_header_living(const uint8_t *from, uint32_t i);

struct log_batch_header {
    uint32_t length, records;
    uint64_t number, first_lsn;
};
void log_batch_header_put(uint8_t *to, const struct log_batch_header *h, uint64_t seed, uint64_t epoch);
/* in: from the batch's first byte on. ST_CORRUPT when it is none. */
MUST_CHECK enum status log_batch_header_get(struct slice in, uint64_t seed, uint64_t epoch,
                                            struct log_batch_header *h);

struct log_record {
    uint16_t type;
    uint64_t lsn, batch;
    struct slice meta, body; /* point into the input */
    uint32_t length;         /* of the whole record */
};
/* Length of a record with padding; 0 when it cannot be written (larger than a batch). */
size_t log_record_length(size_t meta, size_t body);
/* Fills in the 48 bytes before `meta`, which with the body and zeroed padding is already there. */
void log_record_seal(uint8_t *at, const struct log_record *r, uint64_t seed, uint64_t epoch);
MUST_CHECK enum status log_record_get(struct slice in, uint64_t seed, uint64_t epoch, struct log_record *r);
