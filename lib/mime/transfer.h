/*
 * Content-Transfer-Encodings (RFC 2045 6) undone, in pieces of any size and in constant
 * memory. Lenient: passes over what is not of the alphabet, stops at nothing.
 */
#pragma once
#include "base/buf.h"

enum transfer_kind { TRANSFER_IDENTITY, TRANSFER_BASE64, TRANSFER_QP, TRANSFER_UNKNOWN };

struct transfer {
    enum transfer_kind kind; /* of TRANSFER_UNKNOWN the bytes are copied */
    uint32_t bits;
    uint8_t n_bits;
    uint8_t held[80]; /* from a '=' on */
    uint8_t n;
};

/* By the name of a Content-Transfer-Encoding; NIL and an empty one are 7bit (RFC 2045 6.1). */
void transfer_init(struct transfer *t, struct slice encoding);
void transfer_feed(struct transfer *t, struct slice in, struct buf *out);
void transfer_end(struct transfer *t, struct buf *out);
