/*
 * For tests of the session engine: a whole conversation over a socket pair, with a store of three users
 * ("usr1@here", "usr 2@here", postmaster) in a text buffer. AUTH PLAIN takes "good".
 */
#pragma once
#include "base/test.h"
#include "smtpserver/session.h"

enum pace { BYTES, LINES, WHOLE };

extern const struct smtp_policy talk_policy; /* of a relay, with small limits */
extern struct smtp_session talk_session;     /* the last one */
extern enum status talk_begin_says, talk_room_says, talk_deliver_says;
extern bool talk_trusted;  /* the next session's client, with XCLIENT */
extern bool talk_waits;    /* for the greeting */
extern size_t talk_handed;                  /* to TLS */
extern const struct smtp_reply *talk_noted; /* the last one for the log, or NULL */

/* Says all of `in` at a pace, ends its side, and returns all answers, until the next call. */
struct slice talk(const struct smtp_policy *policy, struct slice in, enum pace pace);
/* All bodies that were delivered; the fields that were put in front of the last one. */
struct slice talk_stored(void);
struct slice talk_prefix(void);
/* The codes of all replies, one blank between. Until the next call. */
const char *talk_codes(struct slice replies);

/* What conversations are made of. */
#define H "EHLO c\r\n"
#define M "MAIL FROM:<a@b>\r\n"
#define R "RCPT TO:<usr1@here>\r\n"
#define D "DATA\r\n"
#define Q "QUIT\r\n"
#define S(text)                                                                                              \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }
