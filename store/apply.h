/*
 * From a record to rows. Pure: what comes out depends on the record's bytes alone, on no clock, setting, row
 * or earlier record; so replay from any flushed prefix of the index gives the same index, and twice is as
 * once.
 */
#pragma once
#include "store/record.h"

/* ST_CORRUPT, ST_NEWER, ST_MEMORY: some of its rows may have gone to the sink already: roll back.
 * RECORD_IMAGE is ST_CORRUPT here, for images stand in side segments only. */
MUST_CHECK enum status apply_record(uint16_t type, struct slice meta, const struct row_sink *sink);
/* A chunk of an account image, for rebuild, restore and move. Chunk 0 first empties the account. The records
 * of that account after image->lsn come next; those before must not. Account 0: a chunk of a table, body and
 * digest rows alone. */
MUST_CHECK enum status apply_image(struct slice meta, const struct row_sink *sink);
