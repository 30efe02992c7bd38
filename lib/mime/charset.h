/*
 * Charsets of mail to UTF-8, in pieces of any size and in constant memory. What comes out
 * is whole, valid characters, whatever goes in. Tables of our own: iconv opens files, and
 * the programs that read mail may not (lib/sys/confine.c).
 */
#pragma once
#include "base/buf.h"

struct charset_row;

struct charset {
    const struct charset_row *row;
    uint8_t held[8]; /* of a character, or an escape, that is not whole */
    uint8_t n;
    uint8_t mode;  /* of ISO-2022, UTF-7 and UTF-16: which set, which end comes first */
    uint8_t n_bits;
    uint16_t high; /* half of a character of UTF-16 */
    uint32_t bits; /* of UTF-7 */
};

bool charset_known(struct slice name);
/* A name that is not known, us-ascii too: UTF-8, and where it is not that, windows-1252. */
void charset_init(struct charset *c, struct slice name);
void charset_feed(struct charset *c, struct slice in, struct buf *out);
/* What was held becomes U+FFFD. Ready for another text. */
void charset_end(struct charset *c, struct buf *out);
/* One character. */
void charset_put(struct buf *out, uint32_t c);
