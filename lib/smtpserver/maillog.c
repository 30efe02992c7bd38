#include "smtpserver/maillog.h"

#include "smtp/reply.h"
#include "sys/log.h"

#define TO_MAX 800u /* bytes of to= in a line */

#define RELAY_MAX 400u /* a name of 253 octets, an address, the rest */

/* "mx.example.org [192.0.2.1] (may be forged)", "[192.0.2.1]" */
static const char *
relay(const struct smtp_session *s, char to[RELAY_MAX])
{
    uint8_t bytes[RELAY_MAX - 1];
    struct buf text = BUF_FIXED(bytes);
    struct slice name = s->forwarded ? (struct slice){0} : s->peer_name.n > 0 ? buf_slice(&s->peer_name) : s->client_name;
    bool forged = name.n > 0 && s->peer_name.n == 0 && s->client_forged;

    for (size_t i = 0; i < name.n && i < SMTP_DOMAIN_MAX; i++) /* of XCLIENT it may be anything, so it could pass for more fields */
        buf_putc(&text, name.p[i] > ' ' && name.p[i] < 0x7f && name.p[i] != ',' ? name.p[i] : '?');
    if (name.n > 0)
        buf_putc(&text, ' ');
    buf_putc(&text, '[');
    smtp_address_put(&text, s->forwarded ? s->origin : s->peer);
    buf_puts(&text, forged ? "] (may be forged)" : "]");
    (void)slice_to_cstr(buf_slice(&text), to, RELAY_MAX);
    return to;
}

static void
put_path(struct buf *to, struct smtp_path path)
{
    buf_putc(to, '<');
    buf_put(to, path.local);
    if (path.domain.n > 0) {
        buf_putc(to, '@');
        buf_put(to, path.domain);
    }
    buf_putc(to, '>');
}

void
maillog_message_id(struct slice head, char to[MAILLOG_ID_MAX])
{
    to[0] = '\0';
    while (head.n > 0 && head.p[0] != '\r' && head.p[0] != '\n') {
        struct slice line = take_until(&head, '\n');

        (void)take_byte(&head, '\n');
        if (take_literal_nocase(&line, SLICE("Message-ID:"))) {
            if (line.n > 0 && line.p[line.n - 1] == '\r')
                line.n--;
            line = slice_trim(line);
            (void)slice_to_cstr(take_until(&line, ' '), to, MAILLOG_ID_MAX); /* what follows could pass for ours */
            return;
        }
    }
}

void
maillog_from(const struct smtp_session *s, const char *daemon, const char *message_id)
{
    uint8_t bytes[SMTP_PATH_MAX + 64];
    struct buf from = BUF_FIXED(bytes);
    static const char *const bodytypes[] = {"", "bodytype=8BITMIME, ", "bodytype=BINARYMIME, "};
    struct slice with = smtp_with(s->esmtp, s->tls, s->user.n > 0, s->tx.mail.utf8);
    char ip[RELAY_MAX];

    put_path(&from, s->tx.mail.from);
    log_mail(
        LOG_LEVEL_INFO,
        "%.*s: from=%.*s, size=%llu, class=0, nrcpts=%u, msgid=%s, %sproto=%.*s, daemon=%s, %s%.*s%srelay=%s",
        SLICE_ARG(s->tx.id), SLICE_ARG(buf_slice(&from)), (unsigned long long)s->tx.size, s->tx.recipients,
        message_id, bodytypes[s->tx.mail.body], SLICE_ARG(with),
        daemon, s->user.n > 0 ? "auth=" : "", SLICE_ARG(buf_slice(&s->user)), s->user.n > 0 ? ", " : "",
        relay(s, ip));
}

static void
put_two(struct buf *to, uint64_t n)
{
    buf_putc(to, (uint8_t)('0' + n / 10));
    buf_putc(to, (uint8_t)('0' + n % 10));
}

/* "[D+]HH:MM:SS" */
static void
put_delay(struct buf *to, uint64_t seconds)
{
    if (seconds >= 86400) {
        buf_put_u64(to, seconds / 86400);
        buf_putc(to, '+');
    }
    put_two(to, seconds / 3600 % 24);
    buf_putc(to, ':');
    put_two(to, seconds / 60 % 60);
    buf_putc(to, ':');
    put_two(to, seconds % 60);
}

void
maillog_to(const struct smtp_session *s, enum status st, uint64_t now)
{
    uint8_t bytes[TO_MAX + SMTP_PATH_MAX + 64], clock[32];
    struct buf to = BUF_FIXED(bytes), delay = BUF_FIXED(clock);
    const char *dsn = st == ST_OK ? "2.0.0" : smtp_reply_of(st)->enhanced;

    put_delay(&delay, now > s->tx.received ? (now - s->tx.received) / SECONDS(1) : 0);
    for (const struct smtp_recipient *r = s->tx.first; r != NULL; r = r->next) {
        if (to.n > 0)
            buf_putc(&to, ',');
        put_path(&to, r->rcpt.to);
        if (r->next != NULL && to.n < TO_MAX)
            continue;
        log_mail(LOG_LEVEL_INFO,
                 "%.*s: to=%.*s, delay=%.*s, xdelay=%.*s, mailer=local, pri=%llu, dsn=%s, stat=%s%s",
                 SLICE_ARG(s->tx.id), SLICE_ARG(buf_slice(&to)), SLICE_ARG(buf_slice(&delay)),
                 SLICE_ARG(buf_slice(&delay)), (unsigned long long)s->tx.size, dsn[0] == '5' ? "4.3.0" : dsn,
                 st == ST_OK ? "Sent" : "Deferred: ", st == ST_OK ? "" : status_text(st));
        buf_clear(&to);
    }
}

void
maillog_reject(const struct smtp_session *s, const struct smtp_recipient *r, enum status st)
{
    const struct smtp_reply *reply = smtp_reply_of(st);
    char ip[RELAY_MAX];

    log_mail(LOG_LEVEL_NOTICE, "ruleset=check_rcpt, arg1=<%.*s>, relay=%s, reject=%u %s <%.*s>... %s",
             SLICE_ARG(r->mailbox), relay(s, ip), reply->code, reply->enhanced,
             SLICE_ARG(r->mailbox),
             st == ST_DENIED     ? "Relaying denied"
             : st == ST_NOTFOUND ? "User unknown"
                                 : reply->text);
}

void
maillog_auth(const struct smtp_session *s, struct slice mechanism, struct slice user, enum status st)
{
    char ip[RELAY_MAX], mech[32], name[256];

    (void)slice_to_cstr(mechanism, mech, sizeof(mech));
    (void)slice_to_cstr(user, name, sizeof(name));
    (void)relay(s, ip);
    if (st == ST_OK)
        log_mail(LOG_LEVEL_INFO, "AUTH=server, relay=%s, authid=%s, mech=%s, bits=0", ip, name, mech);
    else
        log_mail(LOG_LEVEL_NOTICE, "AUTH failure (%s): %s, relay=%s", mech, status_text(st), ip);
}

void
maillog_note(const struct smtp_session *s, const struct smtp_reply *reply)
{
    struct slice before = slice_of(reply->log), what = take_until(&before, '@'), after = slice_skip(before, 1);
    char ip[RELAY_MAX];

    log_mail(LOG_LEVEL_NOTICE, "%.*s%s%.*s%s%.*s, reject=%u %s %s", SLICE_ARG(s->tx.id), s->tx.id.n > 0 ? ": " : "",
             SLICE_ARG(what), before.n > 0 ? relay(s, ip) : "", SLICE_ARG(after), reply->code,
             reply->enhanced, reply->text);
}
