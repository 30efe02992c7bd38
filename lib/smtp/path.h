/*
 * SMTP paths: the "<local@domain>" after MAIL FROM: and RCPT TO:.
 * Pure functions over borrowed bytes: no allocation, no I/O, no globals. They
 * run before authentication, so every byte is hostile: fuzz/smtp_path.c.
 */
#pragma once
#include "base/buf.h"

#define SMTP_LOCAL_MAX 64u   /* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255u /* RFC 5321 4.5.3.1.2 */
#define SMTP_PATH_MAX 256u   /* RFC 5321 4.5.3.1.3, with "<", "@" and ">"; without a source route */

/* A path as it was written; both slices point into the parsed input. */
struct smtp_path {
    struct slice local;  /* quotes and backslashes still in place */
    struct slice domain; /* empty in "<>" and "<postmaster>" */
};

/* Reads a path from the front of *in and moves *in past it (RFC 5321 4.1.2). A source
 * route is accepted and ignored. ST_SYNTAX or ST_LIMIT on failure, with *in and *path untouched. */
MUST_CHECK enum status smtp_path_parse(struct slice *in, struct smtp_path *path);
/* The same, with UTF-8 in local part and domain (RFC 6531 3.3): only after MAIL said SMTPUTF8. */
MUST_CHECK enum status smtp_path_parse_utf8(struct slice *in, struct smtp_path *path);
/* "local@domain" without the angle brackets, and nothing after it. */
MUST_CHECK enum status smtp_mailbox_parse(struct slice in, struct smtp_path *path);

static inline bool
smtp_path_null(struct smtp_path path)
{
    return path.local.n == 0;
}

/* One UTF-8 character beyond ASCII: no overlong form, no surrogate (RFC 3629 4), no C1 control, which a terminal
 * that shows a log would obey. */
bool smtp_take_utf8(struct slice *in);

/* What the local part means: quotes and backslashes taken away (RFC 5321 4.1.2: both forms
 * name the same mailbox). Appended; at most path.local.n bytes. */
void smtp_local_unquote(struct buf *out, struct slice local);
/* "[192.0.2.1]", "[IPv6:2001:db8::1]", "[tag:text]", whole. */
bool smtp_is_address_literal(struct slice in);
/* A host name by RFC 5321 4.1.2, whole: letters, digits, inner hyphens, dots between labels. */
bool smtp_is_domain(struct slice in);
