#include "smtpserver/session.h"

#include "sasl/mechanism.h"
#include "smtp/reply.h"

#define PREFIX_MAX 3072u       /* Return-Path and Received: five names of at most 255 bytes, a path, fixed words */
#define TX_MAX (1024u * 1024u) /* 1000 recipients with long addresses and parameters fit */
#define DATA_FACTOR 2u         /* a refused message is read on for at most this times the limit */
#define REPLIES_MAX 4096u      /* gathered replies; in the stack */
#define REPLY_ROOM 1600u       /* of these, what the longest reply takes: EHLO's, of short lines but one */

enum { IN_START = 1, IN_GREETED = 2, IN_MAIL = 4, IN_RCPT = 8, IN_ANY = 15 };
enum { LAST = 1, CLEARTEXT = 2, OWNER_KNOWN = 4, NO_ARGS = 8, OFFERS_TLS = 16, OFFERS_AUTH = 32 };

struct command {
    const char *verb;
    void (*run)(struct smtp_session *s, struct slice args);
    unsigned allowed, needs;
    const char *specified;
};

static uint64_t
deadline(const struct smtp_session *s)
{
    return loop_now(s->stream.loop) + s->policy->idle_timeout;
}

/* Replies of a pipelined group go out together (RFC 2920 3.2), at the latest before a wait for the client. */
static void
flush_replies(struct smtp_session *s)
{
    enum status st = stream_put(&s->stream, buf_slice(&s->replies), deadline(s));

    if (st == ST_CANCELLED) /* what was done is still told */
        stream_put_now(&s->stream, buf_slice(&s->replies));
    else if (st != ST_OK)
        s->over = s->lost = true;
    buf_clear(&s->replies);
}

static void
reply_slice(struct smtp_session *s, unsigned code, const char *enhanced, struct slice text)
{
    if (s->replies.max - s->replies.n < REPLY_ROOM)
        flush_replies(s);
    smtp_reply_put(&s->replies, code, enhanced, text);
    if (!buf_ok(&s->replies))
        s->over = s->lost = true;
    if (code >= 500 || code == 421)
        s->errors++;
}

static void
reply(struct smtp_session *s, unsigned code, const char *enhanced, const char *text)
{
    reply_slice(s, code, enhanced, slice_of(text));
}

static void
reply_status(struct smtp_session *s, enum status st)
{
    const struct smtp_reply *r = smtp_reply_of(st);

    reply(s, r->code, r->enhanced, r->text);
}

/* For what an address or a message cannot be blamed for: never permanent. */
static void
reply_temporary(struct smtp_session *s, enum status st)
{
    reply_status(s, smtp_reply_of(st)->code >= 500 ? ST_UNKNOWN : st);
}

static void
bye(struct smtp_session *s, const char *enhanced, const char *why)
{
    uint8_t bytes[512];
    struct buf text = BUF_FIXED(bytes);

    buf_puts(&text, s->policy->host);
    buf_putc(&text, ' ');
    buf_puts(&text, why);
    reply_slice(s, 421, enhanced, buf_slice(&text));
    s->over = true;
}

/* The one end of every transaction, whatever ended it. */
static void
tx_reset(struct smtp_session *s)
{
    arena_reset(&s->arena);
    s->tx = (struct smtp_tx){0};
    s->tx.last = &s->tx.first;
    if (s->state & (IN_MAIL | IN_RCPT))
        s->state = IN_GREETED;
}

static bool
offers_auth(const struct smtp_session *s)
{
    return s->policy->submission && s->backend->auth != NULL && (s->tls || s->policy->plaintext_auth);
}

static bool
offers_tls(const struct smtp_session *s)
{
    return s->policy->starttls && s->backend->starttls != NULL && !s->tls;
}

static uint32_t
offered(const struct smtp_session *s)
{
    uint32_t offer = s->esmtp ? SMTP_OFFER_SIZE | SMTP_OFFER_8BITMIME : 0;

    return s->esmtp && offers_auth(s) ? offer | SMTP_OFFER_AUTH : offer;
}

static bool
greeted(struct smtp_session *s, struct slice args)
{
    struct slice name;

    if (smtp_helo_parse(args, &name) != ST_OK) {
        reply(s, 501, "5.5.4", "Expected one domain name or address literal");
        return false;
    }
    buf_clear(&s->helo);
    buf_put(&s->helo, name);
    s->state = IN_GREETED | IN_MAIL; /* so that a transaction ends as by RSET (RFC 5321 4.1.4) */
    tx_reset(s);
    return true;
}

static void
on_helo(struct smtp_session *s, struct slice args)
{
    if (!greeted(s, args))
        return;
    s->esmtp = false;
    reply(s, 250, NULL, s->policy->host);
}

static void
on_ehlo(struct smtp_session *s, struct slice args)
{
    uint8_t bytes[512];
    struct buf text = BUF_FIXED(bytes);

    if (!greeted(s, args))
        return;
    s->esmtp = true;
    buf_puts(&text, s->policy->host);
    buf_puts(&text, "\nPIPELINING\nSIZE ");
    buf_put_u64(&text, s->policy->message_size);
    buf_puts(&text, "\n8BITMIME\n");
    if (offers_tls(s))
        buf_puts(&text, "STARTTLS\n");
    if (offers_auth(s)) {
        buf_puts(&text, "AUTH");
        sasl_mechanisms_put(&text, s->sasl | NEEDS_CLEAR, " ", "");
        buf_putc(&text, '\n');
    }
    buf_puts(&text, "ENHANCEDSTATUSCODES");
    reply_slice(s, 250, NULL, buf_slice(&text));
}

static struct slice
keep(struct smtp_session *s, struct slice bytes)
{
    return bytes.n > 0 ? arena_copy(&s->arena, bytes) : (struct slice){0};
}

static void
reply_bad_address(struct smtp_session *s, enum status st, const char *enhanced, const struct err *err)
{
    if (st == ST_UNSUPPORTED)
        reply(s, 555, "5.5.4", err->text);
    else
        reply(s, 501, enhanced, err->text);
}

static void
on_mail(struct smtp_session *s, struct slice args)
{
    struct smtp_mail mail;
    struct err err = {0};
    enum status st = smtp_mail_parse(args, offered(s), &mail, &err);

    if (st != ST_OK) {
        reply_bad_address(s, st, "5.1.7", &err);
        return;
    }
    if (mail.has_size && mail.size > s->policy->message_size) { /* RFC 1870 6.1 */
        reply(s, 552, "5.3.4", "Message is larger than this server accepts");
        return;
    }
    mail.from.local = keep(s, mail.from.local);
    mail.from.domain = keep(s, mail.from.domain);
    mail.auth = keep(s, mail.auth);
    mail.envid = keep(s, mail.envid);
    if (arena_failed(&s->arena)) {
        tx_reset(s);
        reply_status(s, ST_MEMORY);
        return;
    }
    s->tx.mail = mail;
    s->state = IN_MAIL;
    reply(s, 250, "2.1.0", "Sender ok");
}

/* "local@domain" as the store knows it: without quotes. Postmaster alone is at our domain (RFC 5321 4.5.1). */
static struct slice
mailbox_of(struct smtp_session *s, struct smtp_path to)
{
    uint8_t bytes[SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX];
    struct buf text = BUF_FIXED(bytes);

    smtp_local_unquote(&text, to.local);
    buf_putc(&text, '@');
    buf_put(&text, to.domain.n > 0 ? to.domain : slice_of(s->policy->domain));
    return buf_ok(&text) ? keep(s, buf_slice(&text)) : (struct slice){0};
}

static void
on_rcpt(struct smtp_session *s, struct slice args)
{
    struct smtp_recipient *r;
    struct smtp_rcpt rcpt;
    struct err err = {0};
    enum status st = smtp_rcpt_parse(args, offered(s), s->tx.mail.utf8, &rcpt, &err);

    if (st != ST_OK) {
        reply_bad_address(s, st, "5.1.3", &err);
        return;
    }
    if (s->tx.recipients >= s->policy->max_recipients) { /* RFC 5321 4.5.3.1.10 */
        reply(s, 452, "4.5.3", "Too many recipients");
        return;
    }
    r = arena_alloc(&s->arena, sizeof(*r));
    if (r != NULL) {
        r->rcpt = rcpt;
        r->rcpt.to.local = keep(s, rcpt.to.local);
        r->rcpt.to.domain = keep(s, rcpt.to.domain);
        r->rcpt.orcpt_type = keep(s, rcpt.orcpt_type);
        r->rcpt.orcpt = keep(s, rcpt.orcpt);
        r->mailbox = mailbox_of(s, rcpt.to);
    }
    if (r == NULL || r->mailbox.n == 0 || arena_failed(&s->arena)) {
        s->arena.failed = false; /* the recipients before this one are whole */
        reply_status(s, ST_MEMORY);
        return;
    }
    st = s->backend->rcpt(s, r);
    if (st == ST_DENIED) {
        reply(s, 550, "5.7.1", "Relaying denied");
        return;
    }
    if (st != ST_OK) {
        if (st == ST_NOTFOUND)
            reply_status(s, st);
        else if (st == ST_LIMIT)
            reply(s, 452, "4.5.3", "Too many recipients");
        else
            reply_temporary(s, st);
        return;
    }
    *s->tx.last = r;
    s->tx.last = &r->next;
    s->tx.recipients++;
    s->state = IN_RCPT;
    reply(s, 250, "2.1.5", "Recipient ok");
}

/* The message is refused, but its end must be found: nothing of it may be read as a command. */
static enum status
skip_body(struct smtp_session *s, struct smtp_data *d, uint64_t until)
{
    enum status st = ST_MORE;

    while (st == ST_MORE) {
        struct slice in = stream_pending(&s->stream);
        size_t had = in.n;

        st = smtp_data_skip(d, &in);
        stream_eat(&s->stream, had - in.n);
        if (st == ST_OK)
            break;
        if (d->size / DATA_FACTOR > s->policy->message_size)
            return ST_LIMIT;
        st = loop_now(s->stream.loop) > until ? ST_TIMEOUT : stream_more(&s->stream, deadline(s));
        if (st == ST_OK)
            st = ST_MORE;
    }
    return st;
}

/* Receives until the end, into the backend's memory. *why: what is wrong with the message itself
 * or with us, ST_OK if nothing; else the body was dropped. Returns other than ST_OK when the session cannot go on. */
static enum status
receive(struct smtp_session *s, struct smtp_data *d, enum status *why)
{
    uint64_t until = loop_now(s->stream.loop) + s->policy->data_timeout;

    for (*why = ST_OK; *why == ST_OK;) {
        struct slice in = stream_pending(&s->stream);
        size_t had = in.n, room, n;
        uint8_t *p;
        enum status st;

        if (had == 0) {
            st = loop_now(s->stream.loop) > until ? ST_TIMEOUT : stream_more(&s->stream, deadline(s));
            if (st != ST_OK)
                return st;
            continue;
        }
        *why = s->backend->body_room(s, &p, &room);
        if (*why != ST_OK)
            break;
        /* body_room may have waited, but only this fiber reads the stream. */
        st = smtp_data_feed(d, &in, p, room, &n);
        stream_eat(&s->stream, had - in.n);
        if (d->size > s->policy->message_size)
            *why = ST_LIMIT;
        else
            *why = s->backend->body_used(s, n);
        if (st == ST_OK) {
            if (*why != ST_OK)
                s->backend->body_drop(s);
            return ST_OK;
        }
    }
    s->backend->body_drop(s); /* at once: what it holds is wanted by others */
    return skip_body(s, d, until);
}

static void
put_prefix(struct smtp_session *s, struct buf *prefix)
{
    struct smtp_trace trace = {
        .helo = buf_slice(&s->helo),
        .host = slice_of(s->policy->host),
        .id = s->tx.id,
        .esmtp = s->esmtp,
        .tls = s->tls,
        .auth = s->user.n > 0,
        .tls_version = s->tls_version,
        .cipher = s->cipher,
        .only_rcpt = s->tx.recipients == 1 ? &s->tx.first->rcpt.to : NULL,
        .when = s->tx.received,
    };

    memcpy(trace.peer, s->peer, sizeof(trace.peer));
    smtp_return_path_put(prefix, s->tx.mail.from);
    smtp_received_put(prefix, &trace);
}

/* The body is whole and good: the answer is the store's. */
static void
deliver(struct smtp_session *s)
{
    uint8_t bytes[PREFIX_MAX], words[128];
    struct buf prefix = BUF_FIXED(bytes), text = BUF_FIXED(words);
    enum status st;

    put_prefix(s, &prefix);
    if (!buf_ok(&prefix)) {
        s->backend->body_drop(s);
        reply_status(s, ST_MEMORY);
        return;
    }
    st = s->backend->deliver(s, buf_slice(&prefix));
    if (st != ST_OK) {
        reply_temporary(s, st);
        return;
    }
    buf_put(&text, s->tx.id);
    buf_puts(&text, " Message accepted for delivery");
    reply_slice(s, 250, "2.0.0", buf_slice(&text));
}

static void
on_data(struct smtp_session *s, struct slice args)
{
    struct smtp_data d = SMTP_DATA_INIT;
    enum status st, why;

    (void)args;
    st = s->backend->body_begin(s, s->tx.mail.has_size ? s->tx.mail.size : 0);
    if (st != ST_OK) {
        reply_temporary(s, st);
        tx_reset(s);
        return;
    }
    s->in_data = true;
    s->tx.received = clock_real();
    reply(s, 354, NULL, "Send the message, end with CR LF . CR LF");
    flush_replies(s);
    why = ST_OK;
    st = s->over ? ST_CLOSED : receive(s, &d, &why);
    s->tx.size = d.size;
    if (st != ST_OK) {
        if (why == ST_OK)
            s->backend->body_drop(s);
        if (st == ST_CLOSED)
            s->over = s->lost = true;
        else if (st == ST_CANCELLED && s->shed)
            bye(s, "4.4.2", "Silent while others wait, closing the connection");
        else if (st == ST_CANCELLED)
            bye(s, "4.3.2", "System is going down, closing the connection");
        else if (st == ST_LIMIT)
            bye(s, "4.3.0", "Message does not end");
        else
            bye(s, "4.4.2", "Timeout while receiving the message");
    } else if (why == ST_OK && smtp_data_strict(&d)) {
        deliver(s);
    } else {
        if (why == ST_OK)
            s->backend->body_drop(s);
        if (d.size > s->policy->message_size)
            reply(s, 552, "5.3.4", "Message is larger than this server accepts");
        else if (why != ST_OK)
            reply_temporary(s, why);
        else /* smuggling, or software that would be misread by the next server */
            reply(s, 550, "5.6.11",
                  d.nul ? "Message refused: it holds a NUL byte"
                  : d.bare_lf ? "Message refused: lines must end with CR LF, and one ends with LF alone"
                              : "Message refused: lines must end with CR LF, and there is a CR alone");
    }
    s->in_data = false;
    tx_reset(s);
}

static void
on_rset(struct smtp_session *s, struct slice args)
{
    (void)args;
    tx_reset(s);
    reply(s, 250, "2.0.0", "Reset");
}

static void
on_noop(struct smtp_session *s, struct slice args)
{
    (void)args;
    reply(s, 250, "2.0.0", "Ok");
}

static void
on_vrfy(struct smtp_session *s, struct slice args)
{
    if (args.n == 0)
        reply(s, 501, "5.5.4", "Expected an address");
    else
        reply(s, 252, "2.5.2", "Cannot verify; try RCPT");
}

static void
on_quit(struct smtp_session *s, struct slice args)
{
    (void)args;
    reply(s, 221, "2.0.0", "Bye");
    s->over = true;
}

/* Nothing that was learnt in the clear survives (RFC 3207 4.2): the session ends here, and a new
 * one begins when edged hands the connection back. */
static void
on_starttls(struct smtp_session *s, struct slice args)
{
    int fd;

    (void)args;
    reply(s, 220, "2.0.0", "Ready to start TLS");
    flush_replies(s);
    s->over = s->lost = true;
    if (stream_flush(&s->stream, deadline(s)) == ST_OK && stream_detach(&s->stream, &fd) == ST_OK)
        s->backend->starttls(s, fd);
}

/* Decodes what may be a password, and wipes it where it was read. */
static enum status
unbase64(struct buf *to, struct slice text)
{
    enum status st = buf_put_unbase64(to, text);

    if (text.n > 0)
        explicit_bzero((void *)(uintptr_t)text.p, text.n); /* the stream's buffer, and eaten */
    return st;
}

/* The client's answer to a challenge. False when it was "*" or the session is over. */
static bool
read_response(struct smtp_session *s, struct buf *response)
{
    struct slice line;
    enum status st;

    flush_replies(s);
    st = stream_line(&s->stream, SMTP_COMMAND_MAX * 4, deadline(s), &line); /* RFC 4954 4: 12288 at most */
    if (st == ST_CLOSED)
        s->over = s->lost = true;
    else if (st != ST_OK)
        bye(s, "4.7.0", "Authentication timed out, or its line is too long");
    else if (slice_eq(line, SLICE("*")))
        reply(s, 501, "5.7.0", "Authentication cancelled");
    else if (unbase64(response, line) != ST_OK)
        reply(s, 501, "5.5.2", "Response is not base64");
    else
        return true;
    return false;
}

static void
reply_auth(struct smtp_session *s, enum status st)
{
    if (st == ST_OK)
        reply(s, 235, "2.7.0", "Authentication succeeded");
    else if (st == ST_DENIED)
        reply(s, 535, "5.7.8", "Authentication credentials invalid");
    else if (st == ST_UNSUPPORTED)
        reply(s, 504, "5.5.4", "Mechanism is not supported");
    else if (st == ST_STATE)
        reply(s, 538, "5.7.11", "Encryption required for this mechanism");
    else if (st == ST_SYNTAX)
        reply(s, 501, "5.5.2", "Response does not fit the mechanism");
    else
        reply(s, 454, "4.7.0", "Temporary authentication failure");
}

/* A challenge may be longer than a reply line (RFC 4954 4). */
static void
put_challenge(struct smtp_session *s, struct slice data)
{
    AUTO_BUF line = BUF_INIT(24000);

    flush_replies(s);
    buf_puts(&line, "334 ");
    buf_put_base64(&line, data);
    buf_puts(&line, "\r\n");
    if (!buf_ok(&line) || stream_put(&s->stream, buf_slice(&line), deadline(s)) != ST_OK)
        s->over = s->lost = true;
}

/* The exchange. False when it ended without a result, and was answered. */
static bool
exchange(struct smtp_session *s, struct slice mechanism, bool has, struct buf *response, struct buf *user,
         enum status *result)
{
    AUTO_BUF data = BUF_INIT(16384);
    enum status st = s->backend->auth(s, mechanism, has, buf_slice(response), &data, user);

    while (st == ST_MORE) {
        put_challenge(s, buf_slice(&data));
        buf_clear(&data);
        buf_clear(response);
        if (s->over || !read_response(s, response)) {
            s->backend->auth_abort(s);
            return false;
        }
        st = s->backend->auth(s, (struct slice){0}, true, buf_slice(response), &data, user);
    }
    if (st == ST_OK && data.n > 0) { /* RFC 4954 4: what comes with success is one more challenge */
        put_challenge(s, buf_slice(&data));
        buf_clear(response);
        if (s->over || !read_response(s, response))
            return false;
        if (response->n > 0)
            st = ST_SYNTAX;
    }
    *result = st;
    return true;
}

/* RFC 4954 4 */
static void
on_auth(struct smtp_session *s, struct slice args)
{
    struct slice at = args, mechanism = take_until(&at, ' '), initial = slice_trim(at);
    AUTO_BUF response = BUF_INIT(16384), user = BUF_INIT(1024);
    bool has = initial.n > 0;
    enum status st;

    if (s->user.n > 0) {
        reply(s, 503, "5.5.1", "Already authenticated");
        return;
    }
    if (mechanism.n == 0) {
        reply(s, 501, "5.5.4", "Expected a mechanism");
        return;
    }
    if (has && !slice_eq(initial, SLICE("=")) && unbase64(&response, initial) != ST_OK) {
        reply(s, 501, "5.5.2", "Response is not base64");
        return;
    }
    mechanism = keep(s, mechanism); /* the line goes with the next read */
    if (exchange(s, mechanism, has, &response, &user, &st)) {
        buf_clear(&s->user);
        if (st == ST_OK)
            buf_put(&s->user, buf_slice(&user));
        if (st == ST_OK && (!buf_ok(&s->user) || s->user.n == 0))
            st = ST_UNAVAILABLE;
        reply_auth(s, st);
    }
    if (response.p != NULL)
        explicit_bzero(response.p, response.cap); /* it may hold a password */
    tx_reset(s);
}

static void on_help(struct smtp_session *s, struct slice args);

/* verb, handler, allowed in, needs, specified by; HELP uses it too */
static const struct command commands[] = {
    {"EHLO", on_ehlo, IN_ANY, LAST, "RFC 5321 4.1.1.1"},
    {"HELO", on_helo, IN_ANY, 0, "RFC 5321 4.1.1.1"},
    {"MAIL", on_mail, IN_GREETED, OWNER_KNOWN, "RFC 5321 4.1.1.2"},
    {"RCPT", on_rcpt, IN_MAIL | IN_RCPT, 0, "RFC 5321 4.1.1.3"},
    {"DATA", on_data, IN_RCPT, NO_ARGS, "RFC 5321 4.1.1.4"},
    {"RSET", on_rset, IN_ANY, NO_ARGS, "RFC 5321 4.1.1.5"},
    {"NOOP", on_noop, IN_ANY, 0, "RFC 5321 4.1.1.9"},
    {"VRFY", on_vrfy, IN_ANY, 0, "RFC 5321 4.1.1.6"},
    {"HELP", on_help, IN_ANY, 0, "RFC 5321 4.1.1.8"},
    {"QUIT", on_quit, IN_ANY, NO_ARGS, "RFC 5321 4.1.1.10"},
    {"STARTTLS", on_starttls, IN_GREETED, OFFERS_TLS | LAST | NO_ARGS, "RFC 3207 4"},
    {"AUTH", on_auth, IN_GREETED, OFFERS_AUTH | LAST, "RFC 4954 4"},
};

static void
on_help(struct smtp_session *s, struct slice args)
{
    uint8_t bytes[256];
    struct buf text = BUF_FIXED(bytes);

    (void)args;
    buf_puts(&text, "Commands:");
    for (size_t i = 0; i < COUNT(commands); i++) {
        buf_putc(&text, ' ');
        buf_puts(&text, commands[i].verb);
    }
    reply_slice(s, 214, "2.0.0", buf_slice(&text));
}

static void
reply_out_of_order(struct smtp_session *s, const struct command *cmd)
{
    if (s->state == IN_START)
        reply(s, 503, "5.5.1", "Say EHLO or HELO first");
    else if (cmd->run == on_mail)
        reply(s, 503, "5.5.1", "Sender was already given");
    else if (cmd->run == on_rcpt)
        reply(s, 503, "5.5.1", "Need MAIL before RCPT");
    else if (cmd->run == on_data && s->state == IN_MAIL)
        reply(s, 554, "5.5.1", "No valid recipients");
    else if (cmd->run == on_data)
        reply(s, 503, "5.5.1", "Need MAIL and RCPT before DATA");
    else
        reply(s, 503, "5.5.1", "Not during a mail transaction");
}

static void
command(struct smtp_session *s, struct slice line)
{
    const struct command *cmd = NULL;
    struct slice verb, args;

    if (smtp_command_split(line, &verb, &args) == ST_OK)
        for (size_t i = 0; i < COUNT(commands) && cmd == NULL; i++)
            if (slice_eq_nocase(verb, slice_of(commands[i].verb)))
                cmd = &commands[i];
    if (cmd == NULL)
        reply(s, 500, "5.5.2", "Command not recognised");
    else if ((cmd->needs & OFFERS_TLS) && s->tls)
        reply(s, 503, "5.5.1", "TLS is already active");
    else if (((cmd->needs & OFFERS_TLS) && !offers_tls(s)) || ((cmd->needs & OFFERS_AUTH) && !s->policy->submission))
        reply(s, 502, "5.5.1", "Command is not offered here");
    else if ((cmd->needs & OFFERS_AUTH) && !offers_auth(s))
        reply(s, 538, "5.7.11", "Encryption required: use STARTTLS first");
    else if ((cmd->allowed & s->state) == 0)
        reply_out_of_order(s, cmd);
    else if ((cmd->needs & OWNER_KNOWN) && s->policy->submission && s->user.n == 0)
        reply(s, 530, "5.7.0", "Authentication required"); /* RFC 4954 6 */
    else if ((cmd->needs & NO_ARGS) && args.n > 0)
        reply(s, 501, "5.5.4", "This command takes no argument");
    else if ((cmd->needs & LAST) && stream_pending(&s->stream).n > 0) /* RFC 2920 3.1 */
        reply(s, 503, "5.5.0", "Command must end its pipelined group");
    else if (cmd->run == on_starttls && !stream_quiet(&s->stream)) /* RFC 3207 4.2: not in the kernel either */
        reply(s, 503, "5.5.0", "Command must end its pipelined group");
    else
        cmd->run(s, args);
}

static bool
end(struct smtp_session *s)
{
    flush_replies(s);
    /* The last reply is worth a moment's wait, no more: its reader may be gone. */
    if (!s->lost && stream_flush(&s->stream, loop_now(s->stream.loop) + SECONDS(10)) != ST_OK)
        s->lost = true;
    stream_close(&s->stream);
    buf_done(&s->helo);
    buf_done(&s->user);
    arena_done(&s->arena);
    s->backend->ended(s);
    return false;
}

static bool
serve(void *arg)
{
    struct smtp_session *s = arg;
    uint8_t room[REPLIES_MAX];

    s->replies = BUF_FIXED(room);
    do { /* all that came together is answered together */
        struct slice line, in = stream_pending(&s->stream);
        enum status st;

        if (s->replies.n > 0 && slice_find(in, '\n') == in.n)
            flush_replies(s);
        st = stream_line(&s->stream, SMTP_COMMAND_MAX, deadline(s), &line);

        if (st == ST_LIMIT) { /* an endless line is not read to its end */
            reply(s, 500, "5.5.2", "Line is too long");
            bye(s, "4.7.0", "Closing the connection");
        } else if (st == ST_TIMEOUT) {
            bye(s, "4.4.2", "Timeout, closing the connection");
        } else if (st == ST_CANCELLED) {
            bye(s, "4.3.2", "System is going down, closing the connection");
        } else if (st != ST_OK) {
            s->over = s->lost = true;
        } else {
            command(s, line);
            if (!s->over && s->errors > s->policy->max_errors)
                bye(s, "4.7.0", "Too many errors, closing the connection");
            else if (!s->over && ++s->commands > s->policy->max_commands)
                bye(s, "4.7.0", "Too many commands, closing the connection");
            else if (!s->over && s->stopping)
                bye(s, "4.3.2", "System is going down, closing the connection");
        }
    } while (!s->over && stream_pending(&s->stream).n > 0);
    if (s->over)
        return end(s);
    flush_replies(s);
    if (s->over)
        return end(s);
    s->replies = (struct buf){0};
    stream_idle_until(&s->stream, deadline(s));
    return true;
}

static void
idled(void *arg)
{
    struct smtp_session *s = arg;
    uint8_t room[REPLIES_MAX];

    s->replies = BUF_FIXED(room);
    if (s->stream.cancelled)
        bye(s, "4.3.2", "System is going down, closing the connection");
    else
        bye(s, "4.4.2", "Timeout, closing the connection");
    (void)end(s);
}

void
smtp_session_start(struct smtp_session *s)
{
    uint8_t bytes[400], room[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_FIXED(bytes), greeting = BUF_FIXED(room);

    s->state = IN_START;
    s->helo = BUF_INIT(SMTP_DOMAIN_MAX);
    s->user = BUF_INIT(1024);
    s->arena = ARENA_INIT(TX_MAX);
    tx_reset(s);
    buf_puts(&text, s->policy->host);
    buf_puts(&text, " ESMTP Estafeta");
    smtp_reply_put(&greeting, 220, NULL, buf_slice(&text));
    if (!s->resumed) /* RFC 3207 4.2: the client speaks first after STARTTLS */
        stream_put_now(&s->stream, buf_slice(&greeting));
    stream_serve(&s->stream, serve, idled, s, deadline(s));
}

void
smtp_session_cancel(struct smtp_session *s, bool now)
{
    s->stopping = true;
    if (now || !s->in_data)
        stream_cancel(&s->stream);
}

void
smtp_session_shed(struct smtp_session *s)
{
    s->shed = true;
    stream_cancel(&s->stream);
}
