/* MAIL and RCPT: the envelope of one message. */
#include "mime/nfc.h"
#include "smtpserver/engine.h"

void
engine_tx_reset(struct smtp_session *s)
{
    if (s->tx.open) {
        s->tx.open = false;
        s->backend->body_drop(s);
    }
    s->in_data = false;
    arena_reset(&s->arena);
    s->tx = (struct smtp_tx){0};
    s->tx.last = &s->tx.first;
    if (s->state & (IN_MAIL | IN_RCPT | IN_BDAT))
        s->state = IN_GREETED;
}

static void
answer_bad_address(struct smtp_session *s, enum status st, enum smtp_row row, const struct err *err)
{
    engine_answer_text(s, st == ST_UNSUPPORTED ? SMTP_R_UNSUPPORTED : row, slice_of(err->text));
}

/* Is it the account that logged in, with or without a detail, or nobody (a notice)? In UTF-8 an account has one
 * name, however it is composed (RFC 6532 3.1). */
static bool
owns(const struct smtp_session *s, struct smtp_path from)
{
    uint8_t bytes[SMTP_LOCAL_MAX], composed[3 * SMTP_LOCAL_MAX];
    struct buf text = BUF_FIXED(bytes), nfc = BUF_FIXED(composed);
    struct slice user = buf_slice(&s->user), name = take_until(&user, '@'), local;

    if (!s->policy->submission || !s->policy->own_senders || smtp_path_null(from))
        return true;
    smtp_local_unquote(&text, from.local);
    if (!buf_ok(&text) || !mime_put_nfc(buf_slice(&text), &nfc))
        return false;
    local = buf_slice(&nfc);
    return slice_eq_nocase(take_until(&local, '+'), name) && take_byte(&user, '@') &&
           slice_eq_nocase(from.domain, user);
}

void
engine_mail(struct smtp_session *s, struct slice args)
{
    struct smtp_mail mail;
    struct err err = {0};
    enum status st = smtp_mail_parse(args, engine_offered(s), &mail, &err);

    if (st != ST_OK) {
        answer_bad_address(s, st, SMTP_R_BAD_SENDER, &err);
        return;
    }
    if (mail.has_size && mail.size > s->policy->message_size) { /* RFC 1870 6.1 */
        engine_answer(s, SMTP_R_TOO_LARGE);
        return;
    }
    if (!owns(s, mail.from)) { /* RFC 6409 6.1 */
        engine_answer(s, SMTP_R_NOT_YOURS);
        return;
    }
    mail.from.local = engine_keep(s, mail.from.local);
    mail.from.domain = engine_keep(s, mail.from.domain);
    mail.auth = engine_keep(s, mail.auth);
    mail.envid = engine_keep(s, mail.envid);
    if (arena_failed(&s->arena)) {
        engine_tx_reset(s);
        engine_answer_temporary(s, ST_MEMORY);
        return;
    }
    s->tx.mail = mail;
    s->state = IN_MAIL;
    engine_answer(s, SMTP_R_SENDER_OK);
}

/* "local@domain" as the store knows it: without quotes. Postmaster alone is at our domain (RFC 5321 4.5.1).
 */
static struct slice
mailbox_of(struct smtp_session *s, struct smtp_path to)
{
    uint8_t bytes[SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX];
    struct buf text = BUF_FIXED(bytes);

    smtp_local_unquote(&text, to.local);
    buf_putc(&text, '@');
    buf_put(&text, to.domain.n > 0 ? to.domain : slice_of(s->policy->domain));
    return buf_ok(&text) ? engine_keep(s, buf_slice(&text)) : (struct slice){0};
}

/* NULL: no memory, and the recipients before this one are whole. */
static struct smtp_recipient *
keep_recipient(struct smtp_session *s, const struct smtp_rcpt *rcpt)
{
    struct smtp_recipient *r = arena_alloc(&s->arena, sizeof(*r));

    if (r != NULL) {
        r->rcpt = *rcpt;
        r->rcpt.to.local = engine_keep(s, rcpt->to.local);
        r->rcpt.to.domain = engine_keep(s, rcpt->to.domain);
        r->rcpt.orcpt_type = engine_keep(s, rcpt->orcpt_type);
        r->rcpt.orcpt = engine_keep(s, rcpt->orcpt);
        r->mailbox = mailbox_of(s, rcpt->to);
    }
    if (r != NULL && r->mailbox.n > 0 && !arena_failed(&s->arena))
        return r;
    s->arena.failed = false;
    return NULL;
}

void
engine_rcpt(struct smtp_session *s, struct slice args)
{
    struct smtp_recipient *r;
    struct smtp_rcpt rcpt;
    struct err err = {0};
    enum status st = smtp_rcpt_parse(args, engine_offered(s), s->tx.mail.utf8, &rcpt, &err);

    if (st != ST_OK) {
        answer_bad_address(s, st, SMTP_R_BAD_RECIPIENT, &err);
        return;
    }
    if (s->tx.recipients >= s->policy->max_recipients) { /* RFC 5321 4.5.3.1.10 */
        engine_answer(s, SMTP_R_TOO_MANY_RECIPIENTS);
        return;
    }
    r = keep_recipient(s, &rcpt);
    st = r == NULL ? ST_MEMORY : s->backend->rcpt(s, r);
    if (st == ST_LIMIT) {
        engine_answer(s, SMTP_R_TOO_MANY_RECIPIENTS);
    } else if (st == ST_DENIED || st == ST_NOTFOUND) {
        engine_answer(s, smtp_row_of(st));
    } else if (st != ST_OK) {
        engine_answer_temporary(s, st);
    } else {
        *s->tx.last = r;
        s->tx.last = &r->next;
        s->tx.recipients++;
        s->state = IN_RCPT;
        engine_answer(s, SMTP_R_RECIPIENT_OK);
    }
}
