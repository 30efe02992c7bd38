/*
 * One message being read for FETCH or SEARCH: its bytes in slices, and its digest, which
 * is parsed here when the stored one is cut or missing. Both wait on stored.
 */
#pragma once
#include "maa/imap/session.h"
#include "mime/digest.h"

#define READ_SLICE   (64u * 1024u)
#define HEAD_HEADER  (8u * 1024u)  /* first bytes that most often hold the header */
#define HEAD_BODY    (32u * 1024u) /* or all of the message */
#define HEAD_HEADERS 256u          /* messages of one request for them */
#define HEAD_BODIES  16u
#define HEADER_MOST  (4u << 20) /* bytes of a header that is looked at as a whole */

struct message {
    struct session *s;
    uint32_t uid;
    uint64_t size;      /* of the joined message */
    struct buf slice;   /* answer of the last read */
    struct slice bytes; /* of it: [at, at + bytes.n) of the message */
    uint64_t at;
    struct buf parsed;       /* a digest made here */
    struct digest_view view; /* when `digested` */
    bool digested;
};

#define MESSAGE(session, number, length)                                                                     \
    {                                                                                                        \
        .s = (session), .uid = (number), .size = (length), .slice = BUF_INIT(READ_SLICE + 4096),             \
        .parsed = BUF_INIT(DIGEST_WHOLE + 131072)                                                            \
    }
#define AUTO_MESSAGE __attribute__((cleanup(message_done))) struct message
void message_done(struct message *m);
/* Some bytes at `at`, at least one, at most n; good until the next read. ST_NOTFOUND: there are none, the
 * message is gone. */
MUST_CHECK enum status message_read(struct message *m, uint64_t at, uint64_t n, struct slice *bytes);
/* Its first bytes, read before; they outlive m. */
void message_take_head(struct message *m, struct slice head);
/* Takes a stored digest, if it is of use; the row's bytes must outlive m. */
void message_take_digest(struct message *m, const struct digest_row *row);
/* Sees to it that m->view is there: asks stored for it, or reads all and parses. */
MUST_CHECK enum status message_digest(struct message *m);
/* [at, at + n) of it, n cut to HEADER_MOST, in *out, whose maximum is the caller's. */
MUST_CHECK enum status message_copy(struct message *m, uint64_t at, uint64_t n, struct buf *out);
/* Its header with the empty line, without asking for a digest. */
MUST_CHECK enum status message_header(struct message *m, struct buf *out);
