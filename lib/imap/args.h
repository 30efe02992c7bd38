/*
 * Arguments of IMAP commands: flags, STORE, STATUS, APPEND, LIST, COPY, LOGIN.
 * Each imap_args_x() takes all of a command's args (command.h) and fails when
 * bytes are left over. Results point into the input or the arena.
 *
 * All: ST_SYNTAX; ST_LIMIT; ST_MEMORY; on failure *why is a reply's text (static).
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "imap/date.h"
#include "imap/seqset.h"

/* bit, its name on the wire. A client may set all but \Recent (RFC 3501 2.3.2). In the order of
 * enum message_flag (store/request.h), so that the bits of both are the same; imapd asserts it. */
#define IMAP_FLAGS(F)         \
    F(SEEN, "\\Seen")         \
    F(ANSWERED, "\\Answered") \
    F(FLAGGED, "\\Flagged")   \
    F(DELETED, "\\Deleted")   \
    F(DRAFT, "\\Draft")       \
    F(RECENT, "\\Recent")

enum imap_flag_bit {
#define IMAP_FLAG_ENUM(name, text) IMAP_BIT_##name,
    IMAP_FLAGS(IMAP_FLAG_ENUM)
#undef IMAP_FLAG_ENUM
        IMAP_BIT_COUNT
};
#define IMAP_FLAG(name) (1u << IMAP_BIT_##name)

enum { IMAP_KEYWORDS_MAX = 64, IMAP_KEYWORD_MAX = 128 };

struct imap_flags {
    uint32_t system;        /* IMAP_FLAG bits */
    struct slice *keywords; /* none twice, case folded (RFC 3501 2.3.2: flags know no case) */
    size_t n;
};

/* "(\Seen $Forwarded)"; with bare also without parentheses (STORE). */
MUST_CHECK enum status imap_take_flags(struct slice *in, struct arena *a, bool bare, struct imap_flags *out,
                                       const char **why);
/* "(\Seen a b)" */
void imap_put_flags(struct buf *b, uint32_t system, const struct slice *keywords, size_t n);
void imap_put_system_flags(struct buf *b, uint32_t system, bool *first); /* a list's inner part */

enum imap_store_mode { IMAP_STORE_SET, IMAP_STORE_ADD, IMAP_STORE_REMOVE };
struct imap_store {
    struct imap_seqset set;
    enum imap_store_mode mode;
    bool silent;
    bool conditional; /* (UNCHANGEDSINCE modseq), RFC 7162 3.1.3 */
    uint64_t modseq;
    struct imap_flags flags;
};
MUST_CHECK enum status imap_args_store(struct slice args, struct arena *a, struct imap_store *out, const char **why);

/* DELETED: RFC 9051 6.3.11; SIZE: RFC 8438; HIGHESTMODSEQ: RFC 7162 3.1.7; APPENDLIMIT: RFC 7889 3.2. */
#define IMAP_STATUS_ITEMS(S) \
    S(MESSAGES) S(RECENT) S(UIDNEXT) S(UIDVALIDITY) S(UNSEEN) S(DELETED) S(SIZE) S(HIGHESTMODSEQ) S(APPENDLIMIT)
enum imap_status_item {
#define IMAP_STATUS_ENUM(name) IMAP_STATUS_##name,
    IMAP_STATUS_ITEMS(IMAP_STATUS_ENUM)
#undef IMAP_STATUS_ENUM
        IMAP_STATUS_COUNT
};
struct imap_status {
    struct slice mailbox; /* as written: imap_mailbox_decode() it. So are all below */
    uint32_t items;       /* 1u << enum imap_status_item */
};
MUST_CHECK enum status imap_args_status(struct slice args, struct arena *a, struct imap_status *out,
                                        const char **why);

/* What comes before the message (imap_reader_text() when `body`). */
struct imap_append {
    struct slice mailbox;
    struct imap_flags flags;
    bool has_time;
    struct imap_time time;
    bool utf8; /* "UTF8 (" (RFC 6855 4) */
};
MUST_CHECK enum status imap_args_append(struct slice args, struct arena *a, struct imap_append *out,
                                        const char **why);
/* The same before each further message (RFC 3502): no mailbox, but a space. */
MUST_CHECK enum status imap_args_append_next(struct slice args, struct arena *a, struct imap_append *out,
                                             const char **why);

struct imap_list {
    struct slice reference, pattern;
};
MUST_CHECK enum status imap_args_list(struct slice args, struct arena *a, struct imap_list *out, const char **why);

struct imap_copy {
    struct imap_seqset set;
    struct slice mailbox;
};
MUST_CHECK enum status imap_args_copy(struct slice args, struct arena *a, struct imap_copy *out, const char **why);

/* One mailbox (SELECT, CREATE, ...); two astrings (RENAME's mailboxes, LOGIN's user and password). */
MUST_CHECK enum status imap_args_mailbox(struct slice args, struct arena *a, struct slice *out, const char **why);
MUST_CHECK enum status imap_args_two(struct slice args, struct arena *a, struct slice out[2], const char **why);
/* A set and nothing else (UID EXPUNGE). */
MUST_CHECK enum status imap_args_set(struct slice args, struct arena *a, struct imap_seqset *out, const char **why);

/* AUTHENTICATE: the mechanism and, with RFC 4959, the first response, still in base64 ("=" is an empty one). */
struct imap_authenticate {
    struct slice mechanism;
    bool has_initial;
    struct slice initial;
};
MUST_CHECK enum status imap_args_authenticate(struct slice args, struct imap_authenticate *out, const char **why);
