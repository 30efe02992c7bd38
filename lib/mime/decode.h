/*
 * From what mail carries to UTF-8: transfer encodings, encoded words (RFC
 * 2047), encoded parameters (RFC 2231), charsets (iconv). Never fails: what
 * cannot be decoded is kept or becomes U+FFFD. fuzz/mime_decode.c.
 */
#pragma once
#include "base/buf.h"

/* Lenient: passes over what is not of the alphabet, stops at nothing. */
void mime_put_base64(struct buf *out, struct slice in);
void mime_put_qp(struct buf *out, struct slice in);
/* By the name of a Content-Transfer-Encoding; unknown ones and NIL are copied. */
void mime_put_decoded(struct buf *out, struct slice encoding, struct slice in);
/* To UTF-8. An unknown charset is taken for UTF-8, or for Latin-1 when it is not that. */
void mime_put_utf8(struct buf *out, struct slice charset, struct slice in);
/* An unstructured value or phrase, unfolded, with its encoded words decoded. */
void mime_put_words(struct buf *out, struct slice value);
/* The value of a "name*" parameter: charset'language'percent-encoded (RFC 2231 4). */
void mime_put_ext_value(struct buf *out, struct slice value);
/* Substring, both UTF-8, ASCII and Unicode case ignored (folded, NFKC as RFC 5051 would). */
bool mime_contains(struct slice text, struct slice needle);
