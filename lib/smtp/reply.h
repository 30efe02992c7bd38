/*
 * SMTP replies: code, enhanced code and text (RFC 5321 4.2, RFC 2034, RFC 3463),
 * and the one table that says which reply a status is. No I/O.
 */
#pragma once
#include "base/buf.h"

#define SMTP_REPLY_LINE_MAX 512u /* RFC 5321 4.5.3.1.5, with CR LF */

struct smtp_reply {
    uint16_t code;
    const char *enhanced; /* "2.0.0"; NULL: none (greeting, EHLO, 354, 334) */
    const char *text;
};

/* What a failure of ours is to the client. ST_OK is 250. What the table does not know is a
 * temporary failure, for doubt must not lose mail. Static storage. */
const struct smtp_reply *smtp_reply_of(enum status st);

/* Appends a reply; text may hold LFs, which make it several lines (all with the same codes,
 * RFC 2034 4). Controls and bytes beyond ASCII become "?", and lines are cut to the limit. */
void smtp_reply_put(struct buf *out, unsigned code, const char *enhanced, struct slice text);
