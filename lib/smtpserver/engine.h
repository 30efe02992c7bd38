/*
 * What the files of the session engine share, and nobody else includes: session.c (its life, the command
 * table), transaction.c (MAIL, RCPT), intake.c (DATA, BDAT), auth.c.
 */
#pragma once
#include "smtp/reply.h"
#include "smtpserver/session.h"

enum { IN_START = 1, IN_GREETED = 2, IN_MAIL = 4, IN_RCPT = 8, IN_BDAT = 16, IN_ANY = 31 };

/* All that is said goes through the rows of smtp/reply.h. */
void engine_answer(struct smtp_session *s, enum smtp_row row);
/* With other words than the row's. */
void engine_answer_text(struct smtp_session *s, enum smtp_row row, struct slice text);
/* For what an address or a message cannot be blamed for: never permanent. */
void engine_answer_temporary(struct smtp_session *s, enum status st);
/* 421: the session is over. */
void engine_bye(struct smtp_session *s, enum smtp_row row);
/* Why a wait was cancelled: it tells the client. */
void engine_bye_cancelled(struct smtp_session *s);
/* The gathered replies go out. */
void engine_flush(struct smtp_session *s);

static inline uint64_t
engine_deadline(const struct smtp_session *s)
{
    return loop_now(s->stream.loop) + s->policy->idle_timeout;
}

/* A copy in the transaction's arena; see arena_failed(). */
struct slice engine_keep(struct smtp_session *s, struct slice bytes);
/* Bits of SMTP_OFFER_*: what EHLO promised this client. */
uint32_t engine_offered(const struct smtp_session *s);
bool engine_offers_auth(const struct smtp_session *s);

/* transaction.c. The one end of every transaction, whatever ended it: a body that is not delivered is
 * dropped. */
void engine_tx_reset(struct smtp_session *s);
void engine_mail(struct smtp_session *s, struct slice args);
void engine_rcpt(struct smtp_session *s, struct slice args);

/* intake.c */
void engine_data(struct smtp_session *s, struct slice args);
void engine_bdat(struct smtp_session *s, struct slice args);

/* auth.c */
void engine_auth(struct smtp_session *s, struct slice args);
