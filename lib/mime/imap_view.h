/*
 * What IMAP says of a digest: ENVELOPE, BODY, BODYSTRUCTURE (RFC 3501 7.4.2,
 * RFC 9051 7.5.2), and which bytes of the message a section names. Pure
 * functions over a checked digest_view; they write into a buf and never fail
 * but for its maximum. Strings with 8-bit bytes become literals "{n}" CR LF.
 */
#pragma once
#include "mime/digest.h"

/* "(date subject ((from...)) ...)" of the message. NIL rules and the defaults of sender and
 * reply-to as RFC 3501 has them. With DIGEST_CUT all are NIL: parse the message first. */
void imap_put_envelope(struct buf *out, const struct digest_view *view);
/* BODYSTRUCTURE with extended, else BODY. */
void imap_put_structure(struct buf *out, const struct digest_view *view, bool extended);

enum mime_section {
    SECTION_ALL,    /* BODY[], BODY[1.2] */
    SECTION_HEADER, /* HEADER, HEADER.FIELDS...: only of a message */
    SECTION_TEXT,   /* only of a message */
    SECTION_MIME    /* only with a path */
};

struct imap_range {
    uint64_t at, n;
};

/* The bytes of BODY[path.what]. ST_NOTFOUND: there is no such part, the answer is NIL. */
MUST_CHECK enum status imap_section_range(const struct digest_view *view, const uint32_t *path, size_t n,
                                          enum mime_section what, struct imap_range *range);
/* The part itself: its encoding and size for BINARY. */
MUST_CHECK enum status imap_find_part(const struct digest_view *view, const uint32_t *path, size_t n,
                                      struct digest_part *part);
