/*
 * What FETCH asks for (RFC 3501 6.4.5, RFC 3516 4): items, and sections of the message.
 * Pure; results point into the input or the arena.
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "imap/params.h"
#include "imap/seqset.h"

enum {
    IMAP_FETCH_FLAGS = 1,
    IMAP_FETCH_UID = 2,
    IMAP_FETCH_INTERNALDATE = 4,
    IMAP_FETCH_SIZE = 8,
    IMAP_FETCH_ENVELOPE = 16,
    IMAP_FETCH_BODY = 32, /* BODYSTRUCTURE without its extensions */
    IMAP_FETCH_BODYSTRUCTURE = 64,
    IMAP_FETCH_MODSEQ = 128, /* RFC 7162 3.1.4.2 */
};

enum { IMAP_PARTS_MAX = 128, IMAP_SECTIONS_MAX = 128, IMAP_FIELDS_MAX = 256 };

enum imap_section_what {
    IMAP_SECTION_ALL, /* BODY[], BODY[1.2] */
    IMAP_SECTION_HEADER,
    IMAP_SECTION_FIELDS,
    IMAP_SECTION_FIELDS_NOT,
    IMAP_SECTION_TEXT,
    IMAP_SECTION_MIME, /* never without parts */
};

/* An answer's name: RFC822 and its kin are sections that are called otherwise. */
enum imap_section_name {
    IMAP_AS_BODY,
    IMAP_AS_RFC822,
    IMAP_AS_RFC822_HEADER,
    IMAP_AS_RFC822_TEXT,
    IMAP_AS_BINARY,     /* decoded */
    IMAP_AS_BINARY_SIZE /* how long it is, decoded */
};

struct imap_section {
    enum imap_section_what what;
    enum imap_section_name as;
    bool peek; /* does not set \Seen */
    bool partial;
    uint64_t from, most; /* when partial; most > 0 (RFC 9051 9: 63 bits) */
    uint32_t *parts;     /* "1.2" */
    size_t n_parts;
    struct slice *fields; /* as written */
    size_t n_fields;
};

struct imap_fetch {
    struct imap_seqset set;
    uint32_t items;
    struct imap_section *sections;
    size_t n;
    bool sets_seen; /* some section is no peek */
    struct imap_fetch_modifiers modifiers;
};

/* All of FETCH's args. ST_SYNTAX, ST_LIMIT, ST_MEMORY with *why (static). */
MUST_CHECK enum status imap_args_fetch(struct slice args, struct arena *a, struct imap_fetch *out,
                                       const char **why);
/* "BODY[1.HEADER.FIELDS (\"From\")]<0>": the name in the answer (RFC 3501 7.4.2). */
void imap_put_section(struct buf *b, const struct imap_section *s);
