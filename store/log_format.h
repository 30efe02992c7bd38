/*
 * The bytes of the log's segments. Pure: no I/O, no allocation. Integers are little-endian, and
 * everything that is hashed is hashed with xxh3-64. Fuzzed by fuzz/log_segment.c and fuzz/log_record.c.
 *
 * Segment header, padded with zeros to a multiple of 4096:
 *    0  8 magic "ESTAFLOG"          8  4 format version        12  4 header bytes, padded
 *   16  8 checksum of all header bytes with this field zero
 *   24  4 shard                    28  2 kind (0 main, 1 side) 30  2 zero
 *   32  4 key-id                   36  4 count of the manifest
 *   40  8 number                   48  8 epoch                 56  8 first LSN
 *   64  8 seed                     72  8 number of the main segment before, or 0
 *   80  8 side: content bytes      88  8 side: checksum of the content, seeded
 *   96  8 * count: numbers of the main segments alive when it was begun
 * Behind a main header: batches. Batch header (48):
 *    0  4 magic "BTCH"              4  4 bytes of the batch with this header
 *    8  8 number                   16  8 first LSN             24  4 count of records   28  4 zero
 *   32  8 checksum, seeded, of {epoch, this header with 0 here, every record header}
 *   40  8 zero
 * Record header (48), then meta, body, zeros up to a multiple of 8:
 *    0  4 meta bytes                4  4 body bytes             8  2 type   10  2 zero   12  4 key-id
 *   16  8 LSN                      24  8 batch number          32  8 segment number
 *   40  8 checksum, seeded, of {epoch, this header with 0 here, meta, body}
 */
#pragma once
#include <stdbool.h>

#include "base/buf.h"

#define LOG_VERSION 1u
#define LOG_HEADER_BLOCK 4096u
#define LOG_MANIFEST_MAX 100000u
#define LOG_BATCH_HEADER 48u
#define LOG_RECORD_HEADER 48u

struct log_header {
    uint32_t bytes, shard, key, living; /* bytes: of the header, padded */
    bool side;
    uint64_t number, epoch, first_lsn, seed, before, content, content_sum;
    struct slice manifest; /* living * le64, in the decoded bytes */
};

/* Bytes of a header with so many living segments. */
static inline size_t
log_header_size(size_t living)
{
    return (96 + 8 * living + LOG_HEADER_BLOCK - 1) / LOG_HEADER_BLOCK * LOG_HEADER_BLOCK;
}

void log_header_put(struct buf *out, const struct log_header *header);
/* ST_MORE: give the first *need bytes. ST_NEWER. ST_CORRUPT: not a header (all zeros, torn). */
MUST_CHECK enum status log_header_get(struct slice in, struct log_header *header, size_t *need);

/* What every checksum of a segment depends on. */
struct log_key {
    uint64_t seed, epoch, segment;
};

struct log_entry { /* one record */
    uint16_t type;
    uint32_t key;
    uint64_t lsn, batch;
    struct slice meta, body;
    size_t bytes; /* all of it, padding too */
};

static inline size_t
log_entry_size(size_t meta, size_t body)
{
    return (LOG_RECORD_HEADER + meta + body + 7) / 8 * 8;
}

void log_entry_put(struct buf *out, const struct log_key *key, const struct log_entry *entry, const struct slice *body,
                   size_t n);
MUST_CHECK enum status log_entry_get(struct slice in, const struct log_key *key, struct log_entry *entry);

struct log_batch_head {
    uint32_t bytes, count;
    uint64_t number, first_lsn;
};

/* Overwrites the LOG_BATCH_HEADER bytes at the front of a finished batch. */
void log_batch_head_put(uint8_t *batch, const struct log_key *key, const struct log_batch_head *head);
/* ST_OK only for a whole batch with every record in it good; nothing of another is of use. */
MUST_CHECK enum status log_batch_get(struct slice in, const struct log_key *key, struct log_batch_head *head);
