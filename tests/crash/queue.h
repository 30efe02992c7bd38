/*
 * Queue entries under the load: some deliveries also go on to others, one client does what queued does, and after a cut each entry
 * is there or is not as the clients know.
 */
#pragma once
#include "tests/crash/look.h"

/* The remote recipients that a delivery with this token has, 0 to ENTRIES, and those as packed deliver_queued. */
uint32_t entries_of(const struct op *op);
void entries_put(struct buf *to, const struct op *op);

/* An entry as it is told. */
struct entry {
    uint64_t id;
    uint32_t token, k, tries;
};
/* All of them, by id; *list is struct entry, one behind the other. */
wrong look_at_queue(struct stored_peer *p, struct buf *list);

/* What a request that settles some of them says, packed queue_settled; the op's entries are among those of the list. */
void settled_put(struct buf *to, const struct op *op, const struct buf *list);

wrong compare_queue(struct stored_peer *p, const struct world *w, const struct under_way *u);
