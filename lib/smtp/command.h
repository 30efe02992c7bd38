/*
 * SMTP command lines: the verb, and the arguments of HELO, EHLO, MAIL and RCPT
 * with their ESMTP parameters. Pure functions over one line without its CR LF,
 * as hostile as a line can be: fuzz/smtp_command.c.
 *
 * Every failure says in words what was wrong, for the reply: err->text holds
 * printable ASCII only, whatever the line held.
 */
#pragma once
#include "smtp/path.h"

#define SMTP_COMMAND_MAX 2048u  /* RFC 5321 4.5.3.1.4 asks 512 and more for every extension */
#define SMTP_ENVID_MAX 100u     /* RFC 3461 4.4 */
#define SMTP_ORCPT_MAX 500u     /* RFC 3461 4.2 */

/* Letters up to the first space into *verb, what follows the spaces into *args, without spaces at
 * its end. ST_SYNTAX when the line does not begin with a letter, or holds a NUL, a CR or an LF. */
MUST_CHECK enum status smtp_command_split(struct slice line, struct slice *verb, struct slice *args);

/* The name a client gives: a domain or an address literal. Underscores are let pass (much of the
 * world's Windows hosts say them), as is anything printable without a space: the name proves nothing. */
MUST_CHECK enum status smtp_helo_parse(struct slice args, struct slice *name);

/* RFC 6152, RFC 3030 3; the first when not said */
enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };

/* What a service offers; a parameter of what it does not offer is unknown (RFC 5321 4.1.1.11). */
#define SMTP_OFFER_SIZE 1u
#define SMTP_OFFER_8BITMIME 2u
#define SMTP_OFFER_AUTH 4u
#define SMTP_OFFER_DSN 8u
#define SMTP_OFFER_UTF8 16u
#define SMTP_OFFER_CHUNKING 32u /* with BINARYMIME */

/* Slices point into the line; xtext is still encoded, but known to decode to printable ASCII. */
struct smtp_mail {
    struct smtp_path from;
    bool has_size;
    uint64_t size;
    enum smtp_body body;
    bool has_auth;
    struct slice auth; /* empty: "<>" (RFC 4954 5) */
    enum smtp_ret ret;
    struct slice envid;
    bool utf8;
};

#define SMTP_NOTIFY_NEVER 1u
#define SMTP_NOTIFY_SUCCESS 2u
#define SMTP_NOTIFY_FAILURE 4u
#define SMTP_NOTIFY_DELAY 8u

struct smtp_rcpt {
    struct smtp_path to;
    uint32_t notify; /* SMTP_NOTIFY_*; 0 when not said */
    struct slice orcpt_type, orcpt; /* "rfc822", the address; both empty when not said */
};

/* The arguments of MAIL and RCPT. ST_SYNTAX (501): ill-formed, twice, or a value out of its range.
 * ST_LIMIT (501): an address that is too long. ST_UNSUPPORTED (555): a parameter not known or not
 * offered. ST_NOSPACE is never given: comparing SIZE with a limit is policy. */
MUST_CHECK enum status smtp_mail_parse(struct slice args, uint32_t offered, struct smtp_mail *mail,
                                       struct err *err);
MUST_CHECK enum status smtp_rcpt_parse(struct slice args, uint32_t offered, bool utf8, struct smtp_rcpt *rcpt,
                                       struct err *err);

/* The arguments of BDAT (RFC 3030 2): chunk-size [ SP "LAST" ]. */
MUST_CHECK enum status smtp_bdat_parse(struct slice args, uint64_t *size, bool *last);

/* RFC 3461 4: appended. ST_SYNTAX for what is no xtext, or decodes to a control or a byte beyond
 * ASCII: those would travel into headers, logs and records. */
MUST_CHECK enum status smtp_unxtext(struct buf *out, struct slice xtext);
void smtp_xtext_put(struct buf *out, struct slice text);
