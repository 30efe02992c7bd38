/*
 * From what mail carries to UTF-8, whole values at a time: encoded words (RFC
 * 2047), encoded parameters (RFC 2231), texts of parts (charset.h and transfer.h
 * do these in pieces); and how texts are compared. Never fails: what cannot be
 * decoded is kept or becomes U+FFFD. fuzz/mime_decode.c.
 */
#pragma once
#include "base/buf.h"

/* By the name of a Content-Transfer-Encoding; unknown ones and NIL are copied. */
void mime_put_decoded(struct buf *out, struct slice encoding, struct slice in);
/* To UTF-8; see charset_init(). */
void mime_put_utf8(struct buf *out, struct slice charset, struct slice in);
/* An unstructured value or phrase, unfolded, with its encoded words decoded. */
void mime_put_words(struct buf *out, struct slice value);
/* The value of a "name*" parameter: charset'language'percent-encoded (RFC 2231 4). */
void mime_put_ext_value(struct buf *out, struct slice value);

/* i;unicode-casemap (RFC 5051 2): titlecase, taken apart. UTF-8 that is whole; texts match as IMAP's SEARCH
 * wants it when one's bytes are in the other's. */
void mime_put_casemap(struct buf *out, struct slice utf8);
#define MIME_CASEMAP_MAX 18u /* how many bytes one may become: U+FDFA, three bytes, is eighteen characters */
/* needle: as mime_put_casemap() made it. */
bool mime_contains(struct slice text, struct slice needle);
