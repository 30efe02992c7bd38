/*
 * A connection's bytes, deflated (RFC 1951) both ways: for stream.c only. No I/O. One costs
 * about 110 KiB: 40 to inflate, for the peer may use the whole window, and 64 to deflate.
 */
#pragma once
#include "base/slice.h"

#define ZIP_WINDOW 13 /* 8 KiB looked back at when deflating */
#define ZIP_MEMORY 6  /* zlib's memLevel */

struct zip;

struct zip *zip_new(void); /* NULL: no memory */
void zip_free(struct zip *z);
/* Inflates from the front of *in, which it moves on, into `to`. *n: how much came out; *in is used up unless `to` is
 * full. ST_CORRUPT: it is no deflate stream, or has ended. */
MUST_CHECK enum status zip_inflate(struct zip *z, struct slice *in, void *to, size_t room, size_t *n);
/* Deflates from the front of *in into `to`; with `flush`, all that was held back comes out. *n: how much came; call
 * again while `to` was full. room is at least 7 (zlib would write its end of flush for ever). */
void zip_deflate(struct zip *z, struct slice *in, bool flush, void *to, size_t room, size_t *n);
