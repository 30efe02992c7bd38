/*
 * POP3 replies: status indicator, response code (RFC 2449 8, RFC 3206) and text, and the one
 * table that says which reply a status is. No I/O; all of it appends to a buf.
 */
#pragma once
#include "base/buf.h"

#define POP3_REPLY_MAX 512u /* a reply's line with CR LF (RFC 1939 3) */
#define POP3_UIDL_MAX  70u  /* of a unique-id, 0x21 to 0x7E (RFC 1939 7) */

struct pop3_reply {
    const char *code; /* "AUTH", "SYS/TEMP"; NULL: none */
    const char *text;
};

/* What a failure of ours is to the client. What the table does not know is temporary, for a client
 * that is told that its mail is gone may act on it. Static storage. */
const struct pop3_reply *pop3_reply_of(enum status st);

/* "+OK text" and "-ERR [code] text". Controls and bytes beyond ASCII in text become "?", and it is cut
 * to the limit. code may be NULL. */
void pop3_put_ok(struct buf *out, struct slice text);
void pop3_put_err(struct buf *out, const char *code, struct slice text);
/* -ERR by the table. */
void pop3_put_status(struct buf *out, enum status st);
/* "+ challenge": base64, or empty (RFC 5034 4). */
void pop3_put_challenge(struct buf *out, struct slice base64);
/* The end of a reply of many lines. */
void pop3_put_end(struct buf *out);

/* "+OK count size": the answer to STAT, in the form that programs read. */
void pop3_put_stat(struct buf *out, uint32_t count, uint64_t size);
/* Lines of a scan listing and a unique-id listing. After LIST 1 and UIDL 1, whose answer is the same
 * behind "+OK ", with ok. uid is at most POP3_UIDL_MAX printable bytes (asserted: it is ours). */
void pop3_put_list(struct buf *out, bool ok, uint32_t message, uint64_t size);
void pop3_put_uidl(struct buf *out, bool ok, uint32_t message, struct slice uid);

/* The answer to LANG (RFC 6856 3). False: there is no such language, and -ERR was said. */
bool pop3_put_lang(struct buf *out, struct slice range);

struct pop3_capa {
    bool stls;               /* STLS may be used now */
    bool user;               /* USER and PASS are offered now */
    bool utf8;               /* UTF8 is offered now (RFC 6856 2) */
    uint32_t login_delay;    /* seconds between logins (RFC 2449 6.5); 0: none */
    struct slice mechanisms; /* "PLAIN LOGIN"; empty: no SASL line */
};
/* The whole answer to CAPA (RFC 2449 6). */
void pop3_put_capa(struct buf *out, const struct pop3_capa *capa);
