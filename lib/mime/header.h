/*
 * Header fields in borrowed bytes: one after another, by name, unfolded. No
 * line is an error: what is not a field is passed over. Linear in the bytes.
 */
#pragma once
#include "base/buf.h"

struct mime_field {
    struct slice name;  /* without the colon and space before it */
    struct slice value; /* raw: folds inside, the final line end not */
    struct slice whole; /* all lines, with their ends */
};

/* The next field; false at the empty line (eaten) or at the end. */
bool take_field(struct slice *header, struct mime_field *field);
/* The first field of that name. */
bool mime_find_field(struct slice header, struct slice name, struct mime_field *field);
/* Unfolded (RFC 5322 2.2.3), spaces at both ends removed; NUL and bare CR or LF become spaces. */
void mime_put_unfolded(struct buf *out, struct slice value);
/* HEADER.FIELDS (names), or with `others` HEADER.FIELDS.NOT: whole fields in order, then the
 * empty line, if the header ends in one (RFC 3501 6.4.5). */
void mime_put_fields(struct buf *out, struct slice header, const struct slice *names, size_t n, bool others);
/* Does a field of that name hold the needle, as mime_put_casemap() made it, in its decoded value? An empty
 * needle asks whether there is such a field. For SEARCH HEADER, SUBJECT, FROM, ... */
bool mime_header_contains(struct slice header, struct slice name, struct slice needle);
