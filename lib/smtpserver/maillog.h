/*
 * The log's lines about mail, in sendmail's form, which pflogsumm, logwatch and fail2ban read.
 */
#pragma once
#include "smtpserver/session.h"

#define MAILLOG_ID_MAX 128u /* with its NUL */

/* The Message-ID in the beginning of a message, as far as it fits; "" without one. */
void maillog_message_id(struct slice head, char to[MAILLOG_ID_MAX]);
/* daemon: "MTA" or "MSA". */
void maillog_from(const struct smtp_session *s, const char *daemon, const char *message_id);
/* What became of the recipients: a line for as many as fit. now: ns since 1970. */
void maillog_to(const struct smtp_session *s, enum status st, uint64_t now);
void maillog_reject(const struct smtp_session *s, const struct smtp_recipient *r, enum status st);
void maillog_auth(const struct smtp_session *s, struct slice mechanism, struct slice user, enum status st);
/* A reply whose row has a line for the log. */
void maillog_note(const struct smtp_session *s, const struct smtp_reply *reply);
