/*
 * Structured field bodies (RFC 5322 3.4, 4.4; RFC 2045 5.1; RFC 2231), read
 * as leniently as mail demands and written in the digest's encoding. For
 * digest.c and its readers only. Values are raw, folds inside; all is linear.
 */
#pragma once
#include "base/buf.h"

/* Strings and numbers of the digest (digest.h). */
void put_v(struct buf *out, uint64_t v);
void put_s(struct buf *out, struct slice s); /* NIL when p is NULL */
bool take_v(struct slice *in, uint64_t *v);
bool take_s(struct slice *in, struct slice *s);

/* Memory that address parsing reuses from field to field. */
struct address_scratch {
    struct buf text, comment, spec, route;
};
void address_scratch_init(struct address_scratch *s, size_t most);
void address_scratch_done(struct address_scratch *s);
/* Appends at most `most` addresses, four strings each; how many. *more: there were more. */
uint32_t put_addresses(struct buf *out, struct slice value, struct address_scratch *scratch, uint32_t most,
                       bool *more);

/* Space and comments, folds and NULs included. */
void skip_cfws(struct slice *in);
/* A MIME token; empty when there is none. */
struct slice take_token(struct slice *in);
/* "; name=value" to the end, RFC 2231 pieces joined: v n, (s name, s value) * n. The value of the
 * first "boundary" is put into *boundary when that is not NULL (empty: none). *more: there were too many. */
void put_params(struct buf *out, struct slice value, struct buf *boundary, bool *more);
/* A value as one string: unfolded, trimmed; NIL when p is NULL. */
void put_value(struct buf *out, struct slice value, struct buf *scratch);
