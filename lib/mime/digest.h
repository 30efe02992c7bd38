/*
 * The digest of a message: all that IMAP, JMAP and threading ask of its header
 * and its MIME structure, parsed once, on arrival, by mdad, and stored with the
 * delivery record. A struct digester is fed the message in pieces of any size
 * and never fails: every sequence of bytes is a message, and how it was cut
 * into pieces does not show. A struct digest_view reads the bytes back
 * without allocation; they are hostile until digest_get() has walked them.
 *
 * Lines end in LF, with a CR before it or not (flags tell): a stored message
 * may come from APPEND, and a structure that nobody sees helps nobody.
 *
 * Bytes, version 1, little-endian; "v" is an unsigned LEB128 number, "s" a
 * string: v 0 for NIL, or v (length + 1) and the bytes, which hold no NUL, CR or LF.
 *
 *    0  u8   1, the version
 *    1  u8   0
 *    2  u16  enum digest_flag
 *    4  u32  length of the digest, all of it
 *    8  u64  length of the header, the empty line that ends it included
 *   16  u64  length of the body
 *   24  u32  lines of the header
 *   28  u32  lines of the body (LFs)
 *   32  i64  Date:, seconds since 1970 UTC; good with DIGEST_DATED
 *   40  u32  longest line, its end not counted
 *   44  i16  zone of Date:, minutes east
 *   46  u16  parts; 0 with DIGEST_CUT
 *   48  u64  digest_key() of Message-ID:, 0 for none
 *   56  u16  references, then u64 each: digest_key() of References:, else of In-Reply-To:
 *   ..  parts in the order of the text (preorder), each:
 *       v    length of the rest of this part
 *       v    depth, 0 for the message itself     u8  enum digest_part_flag
 *       v    offset of its header in the message v  length of it    v  length of the body
 *       v    lines of the body
 *       s    type, subtype                       v n, (s name, s value) * n
 *       s    id, description, encoding, md5
 *       s    disposition                         v n, (s name, s value) * n
 *       v n, s language * n
 *       s    location
 *       with PART_ENVELOPE:
 *       s    date, subject, in-reply-to, message-id
 *       from, sender, reply-to, to, cc, bcc, each: v n, (s name, route, mailbox, host) * n
 */
#pragma once
#include "base/buf.h"

#define DIGEST_VERSION 1
#define DIGEST_MAX (48u * 1024u)          /* of what is stored; past it DIGEST_CUT */
#define DIGEST_WHOLE (4u * 1024u * 1024u) /* for a reader that parses a message itself: never CUT */
#define DIGEST_DEPTH 100u                 /* deeper parts are leaves */
#define DIGEST_PARTS 1000u                /* later ones belong to the body before them */
#define DIGEST_FIELDS 10000u              /* header fields looked at, all parts together */
#define DIGEST_PARAMS 100u                /* of one field */
#define DIGEST_ADDRESSES 10000u           /* of one message */
#define DIGEST_REFERENCES 64u             /* the first and the latest */
#define DIGEST_BOUNDARY 250u              /* longest boundary that is one (RFC 2046 5.1.1 allows 70) */

enum digest_flag {
    DIGEST_CUT = 1,           /* no parts here: parse the message with digest_whole() or a digester */
    DIGEST_BUDGET = 2,        /* a budget was passed: something was not looked at, by no one */
    DIGEST_DATED = 4,         /* Date: is there and is a date */
    DIGEST_DOTS = 8,          /* a line begins with a dot */
    DIGEST_HEADER_8BIT = 16,  /* RFC 6532 or worse */
    DIGEST_BODY_8BIT = 32,
    DIGEST_NUL = 64,
    DIGEST_BARE_CR = 128,
    DIGEST_BARE_LF = 256,
    DIGEST_OPEN_END = 512     /* the last line has no end */
};

enum digest_part_flag {
    PART_MULTIPART = 1, /* the parts one deeper that follow are its parts; perhaps none */
    PART_MESSAGE = 2,   /* message/rfc822 or message/global: the part that follows is the message in it */
    PART_ENVELOPE = 4,  /* the root, and what follows a PART_MESSAGE */
    PART_TEXT = 8
};

/* FNV-1a, 64 bit, of the text between the angle brackets. On disk: never change it. */
uint64_t digest_key(struct slice message_id);

/* A list inside a digest; taken from its front with the functions below. */
struct digest_items {
    uint32_t n;
    struct slice bytes;
};

/* In every string here p == NULL says NIL, the field is not there. */
struct digest_envelope {
    struct slice date, subject, in_reply_to, message_id;
    struct digest_items from, sender, reply_to, to, cc, bcc; /* as they are: RFC 3501's defaults are the writer's */
};

/* RFC 3501 7.4.2: host NIL begins (mailbox: its name) and ends (mailbox NIL) a group. What is
 * missing in a broken address is empty, not NIL. Quotes are removed, RFC 2047 words are not decoded. */
struct digest_address {
    struct slice name, route, mailbox, host;
};

struct digest_param {
    struct slice name, value; /* RFC 2231: pieces joined; the name of an encoded one ends in '*' */
};

struct digest_part {
    uint32_t depth;
    uint32_t flags;
    uint64_t header_at, header, body_at, body; /* offsets in the message, lengths */
    uint64_t lines;
    struct slice type, subtype; /* as written, never NIL */
    struct digest_items params;
    struct slice id, description, encoding, md5;
    struct slice disposition;
    struct digest_items disposition_params;
    struct digest_items languages;
    struct slice location;
    struct digest_envelope envelope; /* with PART_ENVELOPE */
};

struct digest_view {
    uint32_t flags;
    uint64_t header, body;
    uint32_t header_lines, body_lines, longest;
    int64_t date;
    int16_t zone;
    uint32_t parts;
    uint64_t message_key;
    struct slice references; /* packed le64 */
    struct slice records;
    uint64_t prefix; /* see digest_prefix */
};

/* Checks all of it. ST_NEWER, or ST_CORRUPT. The view points into the bytes. */
MUST_CHECK enum status digest_get(struct slice bytes, struct digest_view *view);

/* A stored message has `n` bytes of trace fields before the bytes that were digested: from
 * here on all lengths and offsets are of the joined message. Once per view. */
void digest_prefix(struct digest_view *view, uint64_t n);

/* for (c = digest_parts(v); digest_next(&c, &part);) */
struct digest_cursor {
    struct slice rest;
    uint64_t prefix;
};
struct digest_cursor digest_parts(const struct digest_view *view);
bool digest_next(struct digest_cursor *c, struct digest_part *part);
bool take_digest_address(struct digest_items *list, struct digest_address *out);
bool take_digest_param(struct digest_items *list, struct digest_param *out);
bool take_digest_string(struct digest_items *list, struct slice *out);

/* The builder. About 1 KiB, and up to 5 * most of heap for hostile mail; a few KiB for usual mail. */
struct digester;
/* most: DIGEST_MAX, or DIGEST_WHOLE. NULL: no memory. */
struct digester *digester_new(size_t most);
void digester_free(struct digester *d);
/* Ready for another message; keeps some memory. */
void digester_reset(struct digester *d);
void digest_feed(struct digester *d, struct slice bytes);
/* Replaces what *out held; its max must be at least DIGEST_MAX, or DIGEST_WHOLE + 128 KiB. ST_MEMORY. */
MUST_CHECK enum status digest_finish(struct digester *d, struct buf *out);
/* All in one, for a reader whose stored digest is cut. */
MUST_CHECK enum status digest_whole(struct slice message, struct buf *out);
