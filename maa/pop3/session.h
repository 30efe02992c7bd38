/*
 * A POP3 session after the password (RFC 1939 5, 6: TRANSACTION and UPDATE): the commands over a maildrop
 * that is known. No socket and no channel: lines come in, replies go out by the caller's functions, which may
 * wait. A message goes by in slices, so that a session costs the same whatever the size. fuzz/pop3_session.c.
 */
#pragma once
#include "maa/pop3/drop.h"

#define POP3_ERRORS_MAX 20u           /* commands that are none; then the session is ended */
#define POP3_SLICE      (65536u - 4u) /* of a message: its answer fits four chunks of the channel's arena */
#define POP3_TOP_SLICE  (16384u - 4u)
#define POP3_RUNS       2048u /* uid_runs of one expunge: its request must fit a datagram */

struct pop3_ops {
    /* Any but ST_OK ends the session. */
    enum status (*put)(void *arg, struct slice bytes);
    /* Bytes [offset, offset + n) of a message; *bytes points into *reply. Short only at its end. */
    enum status (*read)(void *arg, uint32_t uid, uint64_t offset, uint32_t n, struct buf *reply,
                        struct slice *bytes);
    /* Removes the messages of packed uid_runs; ST_OK: they are gone for good. */
    enum status (*expunge)(void *arg, struct slice runs);
};

struct pop3_session {
    const struct pop3_ops *ops;
    void *arg;
    struct drop drop;
    uint32_t uidvalidity;
    uint32_t login_delay; /* seconds, for CAPA */
    bool utf8;            /* the client said UTF8 (RFC 6856 2.1) */
    bool strict;          /* refuse what needs it to a client that did not */
    uint32_t retrieved, removed, errors; /* counted */
    uint64_t bytes;                      /* of messages, sent */
    bool quit;                           /* the client said QUIT */
};

/* END: close it. */
enum pop3_verdict { POP3_GO_ON, POP3_END };

/* "+OK", the session begins. */
enum pop3_verdict pop3_session_begin(struct pop3_session *s);
/* A line without its CR LF. */
enum pop3_verdict pop3_session_line(struct pop3_session *s, struct slice line);
