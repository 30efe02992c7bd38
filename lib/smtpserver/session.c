#include "smtpserver/session.h"

#include "sasl/mechanism.h"
#include "smtp/xclient.h"
#include "smtpserver/engine.h"

#define TX_MAX      (1024u * 1024u) /* 1000 recipients with long addresses and parameters fit */
#define REPLIES_MAX 4096u           /* gathered replies; in the stack */
#define REPLY_ROOM  1600u /* of these, what the longest reply takes: EHLO's, of short lines but one */

/* The last of its group; a user that is known; no argument; TLS or AUTH being offered. IDLE brings no message
 * nearer, and is counted: max_idle_commands. */
enum { LAST = 1, OWNER_KNOWN = 2, NO_ARGS = 4, OFFERS_TLS = 8, OFFERS_AUTH = 16, IDLE = 32, TRUSTED = 64 };

struct command {
    const char *verb;
    void (*run)(struct smtp_session *s, struct slice args); /* NULL: known, not offered (RFC 5321 4.2.4) */
    unsigned allowed, needs;
    const char *form, *specified; /* for HELP */
};

/* Replies of a pipelined group go out together (RFC 2920 3.2), at the latest before a wait for the client. */
void
engine_flush(struct smtp_session *s)
{
    enum status st = stream_put(&s->stream, buf_slice(&s->replies), engine_deadline(s));

    if (st == ST_CANCELLED) /* what was done is still told */
        stream_put_now(&s->stream, buf_slice(&s->replies));
    else if (st != ST_OK)
        s->over = s->lost = true;
    buf_clear(&s->replies);
}

void
engine_answer_text(struct smtp_session *s, enum smtp_row row, struct slice text)
{
    const struct smtp_reply *r = smtp_reply(row);

    if (s->replies.max - s->replies.n < REPLY_ROOM)
        engine_flush(s);
    smtp_reply_put(&s->replies, r->code, r->enhanced, text);
    if (!buf_ok(&s->replies))
        s->over = s->lost = true;
    if (r->code >= 500 || r->code == 421)
        s->errors++;
    if (r->log[0] != '\0' && s->backend->note != NULL)
        s->backend->note(s, r);
}

void
engine_answer(struct smtp_session *s, enum smtp_row row)
{
    engine_answer_text(s, row, slice_of(smtp_reply(row)->text));
}

void
engine_answer_temporary(struct smtp_session *s, enum status st)
{
    enum smtp_row row = smtp_row_of(st);

    engine_answer(s, smtp_reply(row)->code < 500 ? row : SMTP_R_DOUBT);
}

void
engine_bye(struct smtp_session *s, enum smtp_row row)
{
    uint8_t bytes[512];
    struct buf text = BUF_FIXED(bytes);

    buf_puts(&text, s->policy->host);
    buf_putc(&text, ' ');
    buf_puts(&text, smtp_reply(row)->text);
    engine_answer_text(s, row, buf_slice(&text));
    s->over = true;
}

void
engine_bye_cancelled(struct smtp_session *s)
{
    engine_bye(s, s->shed ? SMTP_R_SHED : SMTP_R_STOPPING);
}

struct slice
engine_keep(struct smtp_session *s, struct slice bytes)
{
    return bytes.n > 0 ? arena_copy(&s->arena, bytes) : (struct slice){0};
}

bool
engine_offers_auth(const struct smtp_session *s)
{
    return s->policy->submission && s->backend->auth != NULL && (s->tls || (s->policy->plaintext_auth && !s->proxied));
}

static bool
offers_tls(const struct smtp_session *s)
{
    return s->policy->starttls && s->backend->starttls != NULL && !s->tls;
}

uint32_t
engine_offered(const struct smtp_session *s)
{
    uint32_t offer = SMTP_OFFER_SIZE | SMTP_OFFER_8BITMIME | SMTP_OFFER_UTF8 | SMTP_OFFER_CHUNKING;

    if (!s->esmtp)
        return 0;
    if (s->policy->dsn)
        offer |= SMTP_OFFER_DSN;
    return engine_offers_auth(s) ? offer | SMTP_OFFER_AUTH : offer;
}

static bool
greeted(struct smtp_session *s, struct slice args)
{
    struct slice name;

    if (smtp_helo_parse(args, &name) != ST_OK) {
        engine_answer(s, SMTP_R_BAD_HELO);
        return false;
    }
    buf_clear(&s->helo);
    buf_put(&s->helo, name);
    s->state = IN_GREETED | IN_MAIL; /* so that a transaction ends as by RSET (RFC 5321 4.1.4) */
    engine_tx_reset(s);
    return true;
}

static void
on_helo(struct smtp_session *s, struct slice args)
{
    if (!greeted(s, args))
        return;
    s->esmtp = false;
    engine_answer_text(s, SMTP_R_HELLO, slice_of(s->policy->host));
}

static void
put_size(const struct smtp_session *s, struct buf *to)
{
    buf_putc(to, ' ');
    buf_put_u64(to, s->policy->message_size);
}

/* RFC 9422 4 */
static void
put_limits(const struct smtp_session *s, struct buf *to)
{
    buf_puts(to, " RCPTMAX=");
    buf_put_u64(to, s->policy->max_recipients);
}

static void
put_mechanisms(const struct smtp_session *s, struct buf *to)
{
    sasl_mechanisms_put(to, s->sasl | NEEDS_CLEAR, " ", "");
}

/* keyword, bit of engine_offered() that it needs, its parameters */
static const struct {
    const char *word;
    uint32_t offer;
    void (*put)(const struct smtp_session *s, struct buf *to);
} keywords[] = {
    {"PIPELINING",          0,                   NULL          }, /* RFC 2920 */
    {"SIZE",                SMTP_OFFER_SIZE,     put_size      }, /* RFC 1870 */
    {"8BITMIME",            SMTP_OFFER_8BITMIME, NULL          }, /* RFC 6152 */
    {"CHUNKING",            SMTP_OFFER_CHUNKING, NULL          }, /* RFC 3030 */
    {"BINARYMIME",          SMTP_OFFER_CHUNKING, NULL          }, /* RFC 3030 */
    {"SMTPUTF8",            SMTP_OFFER_UTF8,     NULL          }, /* RFC 6531 */
    {"DSN",                 SMTP_OFFER_DSN,      NULL          }, /* RFC 3461 */
    {"AUTH",                SMTP_OFFER_AUTH,     put_mechanisms}, /* RFC 4954 */
    {"LIMITS",              0,                   put_limits    }, /* RFC 9422 */
    {"HELP",                0,                   NULL          }, /* RFC 5321 */
    {"ENHANCEDSTATUSCODES", 0,                   NULL          }, /* RFC 2034 */
};

static void
on_ehlo(struct smtp_session *s, struct slice args)
{
    uint8_t bytes[1024];
    struct buf text = BUF_FIXED(bytes);
    uint32_t offer;

    if (!greeted(s, args))
        return;
    s->esmtp = true;
    offer = engine_offered(s);
    buf_puts(&text, s->policy->host);
    if (offers_tls(s))
        buf_puts(&text, "\nSTARTTLS");
    for (size_t i = 0; i < COUNT(keywords); i++) {
        if ((keywords[i].offer & offer) != keywords[i].offer)
            continue;
        buf_putc(&text, '\n');
        buf_puts(&text, keywords[i].word);
        if (keywords[i].put != NULL)
            keywords[i].put(s, &text);
    }
    if (s->trusted)
        buf_puts(&text, "\nXCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"
                        "\nXFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE");
    engine_answer_text(s, SMTP_R_HELLO, buf_slice(&text));
}

static void
on_rset(struct smtp_session *s, struct slice args)
{
    (void)args;
    engine_tx_reset(s);
    engine_answer(s, SMTP_R_RESET);
}

/* RFC 5321 4.1.1.9: an argument is ignored. */
static void
on_noop(struct smtp_session *s, struct slice args)
{
    (void)args;
    engine_answer(s, SMTP_R_OK);
}

static void
on_vrfy(struct smtp_session *s, struct slice args)
{
    engine_answer(s, args.n == 0 ? SMTP_R_NEED_ADDRESS : SMTP_R_CANNOT_VERIFY);
}

static void
on_expn(struct smtp_session *s, struct slice args)
{
    engine_answer(s, args.n == 0 ? SMTP_R_NEED_ADDRESS : SMTP_R_NO_LISTS);
}

static void
on_quit(struct smtp_session *s, struct slice args)
{
    (void)args;
    engine_answer(s, SMTP_R_BYE);
    s->over = true;
}

/* Nothing that was learnt in the clear survives (RFC 3207 4.2): the session ends here, and a new
 * one begins when edged hands the connection back. */
static void
on_starttls(struct smtp_session *s, struct slice args)
{
    int fd;

    (void)args;
    engine_answer(s, SMTP_R_START_TLS);
    engine_flush(s);
    s->over = s->lost = true;
    if (stream_flush(&s->stream, engine_deadline(s)) == ST_OK && stream_detach(&s->stream, &fd) == ST_OK)
        s->backend->starttls(s, fd);
}

static void
put_greeting(const struct smtp_session *s, struct buf *to)
{
    buf_puts(to, s->policy->host);
    buf_putc(to, ' ');
    buf_puts(to, smtp_reply(SMTP_R_GREETING)->text);
}

/* A proxy's word on who its client is: the session begins again as if that one had connected. */
static void
on_xclient(struct smtp_session *s, struct slice args)
{
    uint8_t bytes[400];
    struct buf text = BUF_FIXED(bytes);
    struct smtp_xclient client;

    if (smtp_xclient_parse(args, &client) != ST_OK) {
        engine_answer(s, SMTP_R_SYNTAX);
        return;
    }
    engine_tx_reset(s);
    s->state = IN_START;
    s->esmtp = s->forwarded = false;
    buf_clear(&s->helo);
    buf_clear(&s->peer_name);
    s->client_name = (struct slice){0};
    buf_clear(&s->user);
    s->proxied = true;
    if (client.has_addr)
        memcpy(s->peer, client.addr, sizeof(s->peer));
    if (client.has_name && smtp_unxtext(&s->peer_name, client.name) != ST_OK)
        buf_clear(&s->peer_name);
    if (client.has_helo && smtp_unxtext(&s->helo, client.helo) != ST_OK)
        buf_clear(&s->helo);
    put_greeting(s, &text);
    engine_answer_text(s, SMTP_R_GREETING, buf_slice(&text));
}

/* A filter's word on where its message is from, for the log alone. */
static void
on_xforward(struct smtp_session *s, struct slice args)
{
    struct smtp_xclient client;

    if (smtp_xclient_parse(args, &client) != ST_OK) {
        engine_answer(s, SMTP_R_SYNTAX);
        return;
    }
    s->forwarded = client.has_addr;
    if (client.has_addr)
        memcpy(s->origin, client.addr, sizeof(s->origin));
    engine_answer(s, SMTP_R_OK);
}

/* A browser that was made to speak to us (ALPACA): what it says next would be commands of somebody else's
 * choice. */
static void
on_http(struct smtp_session *s, struct slice args)
{
    (void)args;
    engine_bye(s, SMTP_R_NOT_SMTP);
}

static void on_help(struct smtp_session *s, struct slice args);

/* verb, handler, allowed in, needs, form, specified by */
static const struct command commands[] = {
    {"EHLO",     on_ehlo,     IN_ANY,            LAST | IDLE,                 "EHLO name",                        "RFC 5321 4.1.1.1" },
    {"HELO",     on_helo,     IN_ANY,            IDLE,                        "HELO name",                        "RFC 5321 4.1.1.1" },
    {"MAIL",     engine_mail, IN_GREETED,        OWNER_KNOWN,                 "MAIL FROM:<address> [parameters]", "RFC 5321 4.1.1.2" },
    {"RCPT",     engine_rcpt, IN_MAIL | IN_RCPT, 0,                           "RCPT TO:<address> [parameters]",   "RFC 5321 4.1.1.3" },
    {"DATA",     engine_data, IN_RCPT,           NO_ARGS,                     "DATA",                             "RFC 5321 4.1.1.4" },
    {"BDAT",     engine_bdat, IN_ANY,            0,                           "BDAT octets [LAST]",               "RFC 3030 2"       }, /* it looks at the state itself */
    {"RSET",     on_rset,     IN_ANY,            NO_ARGS | IDLE,              "RSET",                             "RFC 5321 4.1.1.5" },
    {"NOOP",     on_noop,     IN_ANY,            IDLE,                        "NOOP",                             "RFC 5321 4.1.1.9" },
    {"VRFY",     on_vrfy,     IN_ANY,            OWNER_KNOWN | IDLE,          "VRFY address",                     "RFC 5321 4.1.1.6" },
    {"EXPN",     on_expn,     IN_ANY,            OWNER_KNOWN | IDLE,          "EXPN list",                        "RFC 5321 4.1.1.7" },
    {"HELP",     on_help,     IN_ANY,            IDLE,                        "HELP [command]",                   "RFC 5321 4.1.1.8" },
    {"QUIT",     on_quit,     IN_ANY,            NO_ARGS,                     "QUIT",                             "RFC 5321 4.1.1.10"},
    {"STARTTLS", on_starttls, IN_GREETED,        OFFERS_TLS | LAST | NO_ARGS, "STARTTLS",                         "RFC 3207 4"       },
    {"AUTH",     engine_auth, IN_GREETED,        OFFERS_AUTH | LAST,          "AUTH mechanism [response]",        "RFC 4954 4"       },
    {"XCLIENT", on_xclient, IN_START | IN_GREETED, TRUSTED | LAST, NULL, "XCLIENT_README"},
    {"XFORWARD", on_xforward, IN_GREETED, TRUSTED, NULL, "XFORWARD_README"},
    /* known, and not offered */
    {"ETRN",     NULL,        IN_ANY,            0,                           NULL,                               "RFC 1985"         },
    {"TURN",     NULL,        IN_ANY,            0,                           NULL,                               "RFC 5321 F.1"     },
    {"SEND",     NULL,        IN_ANY,            0,                           NULL,                               "RFC 5321 F.6"     },
    {"SOML",     NULL,        IN_ANY,            0,                           NULL,                               "RFC 5321 F.6"     },
    {"SAML",     NULL,        IN_ANY,            0,                           NULL,                               "RFC 5321 F.6"     },
    /* of another protocol */
    {"GET",      on_http,     IN_ANY,            0,                           NULL,                               "RFC 9110 9.3.1"   },
    {"POST",     on_http,     IN_ANY,            0,                           NULL,                               "RFC 9110 9.3.3"   },
    {"PUT",      on_http,     IN_ANY,            0,                           NULL,                               "RFC 9110 9.3.4"   },
    {"OPTIONS",  on_http,     IN_ANY,            0,                           NULL,                               "RFC 9110 9.3.7"   },
    {"CONNECT",  on_http,     IN_ANY,            0,                           NULL,                               "RFC 9110 9.3.6"   },
};

static const struct command *
find(struct slice verb)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (slice_eq_nocase(verb, slice_of(commands[i].verb)))
            return &commands[i];
    return NULL;
}

/* With an argument: how the command is written, and where it is described. */
static void
on_help(struct smtp_session *s, struct slice args)
{
    uint8_t bytes[256];
    struct buf text = BUF_FIXED(bytes);
    const struct command *topic = args.n > 0 ? find(args) : NULL;

    if (args.n > 0 && (topic == NULL || topic->form == NULL)) {
        engine_answer(s, SMTP_R_NO_TOPIC);
        return;
    }
    if (topic != NULL)
        buf_printf(&text, "%s (%s)", topic->form, topic->specified);
    else
        buf_puts(&text, smtp_reply(SMTP_R_HELP)->text);
    for (size_t i = 0; i < COUNT(commands) && topic == NULL; i++)
        if (commands[i].form != NULL) {
            buf_putc(&text, ' ');
            buf_puts(&text, commands[i].verb);
        }
    engine_answer_text(s, SMTP_R_HELP, buf_slice(&text));
}

static enum smtp_row
out_of_order(const struct smtp_session *s, const struct command *cmd)
{
    if (s->state == IN_START)
        return SMTP_R_HELLO_FIRST;
    if (cmd->run == engine_mail)
        return SMTP_R_SENDER_TWICE;
    if (s->state == IN_BDAT) /* RFC 3030 2: DATA too */
        return SMTP_R_NOT_NOW;
    if (cmd->run == engine_rcpt)
        return SMTP_R_MAIL_FIRST;
    if (cmd->run == engine_data)
        return s->state == IN_MAIL ? SMTP_R_NO_RECIPIENTS : SMTP_R_RCPT_FIRST;
    return SMTP_R_NOT_NOW;
}

/* What a row can tell against a command; SMTP_R_OK: nothing. */
static enum smtp_row
check(struct smtp_session *s, const struct command *cmd, struct slice args)
{
    bool owned = !s->policy->submission || s->user.n > 0;

    if (cmd->run == NULL)
        return SMTP_R_NOT_OFFERED;
    if ((cmd->needs & TRUSTED) && !s->trusted)
        return SMTP_R_NOT_TRUSTED;
    if ((cmd->needs & OFFERS_TLS) && s->tls)
        return SMTP_R_TLS_TWICE;
    if (((cmd->needs & OFFERS_TLS) && !offers_tls(s)) ||
        ((cmd->needs & OFFERS_AUTH) && !s->policy->submission))
        return SMTP_R_NOT_OFFERED;
    if ((cmd->needs & OFFERS_AUTH) && !engine_offers_auth(s))
        return SMTP_R_TLS_FIRST;
    if ((cmd->allowed & s->state) == 0)
        return out_of_order(s, cmd);
    if ((cmd->needs & OWNER_KNOWN) && !owned) /* RFC 4954 6 */
        return SMTP_R_AUTH_FIRST;
    if ((cmd->needs & NO_ARGS) && args.n > 0)
        return SMTP_R_NO_ARGUMENT;
    if ((cmd->needs & LAST) && stream_pending(&s->stream).n > 0) /* RFC 2920 3.1 */
        return SMTP_R_NOT_LAST;
    if (cmd->run == on_starttls && !stream_quiet(&s->stream)) /* RFC 3207 4.2: not in the kernel either */
        return SMTP_R_NOT_LAST;
    return SMTP_R_OK;
}

static void
command(struct smtp_session *s, struct slice line)
{
    const struct command *cmd = NULL;
    struct slice verb, args;
    enum smtp_row row;

    if (smtp_command_split(line, &verb, &args) == ST_OK)
        cmd = find(verb);
    row = cmd == NULL ? SMTP_R_UNKNOWN_COMMAND : check(s, cmd, args);
    if (row != SMTP_R_OK)
        engine_answer(s, row);
    else
        cmd->run(s, args);
    if (cmd != NULL && (cmd->needs & IDLE))
        s->idle_commands++;
}

/* A session that has had its share ends, after the reply to its last command. */
static void
check_budgets(struct smtp_session *s)
{
    uint64_t now = loop_now(s->stream.loop);

    s->commands++;
    if (now - s->minute > SECONDS(60)) {
        s->minute = now;
        s->in_minute = 0;
    }
    s->in_minute++;
    if (s->over)
        return;
    if (s->errors > s->policy->max_errors)
        engine_bye(s, SMTP_R_TOO_MANY_ERRORS);
    else if (s->commands > s->policy->max_commands)
        engine_bye(s, SMTP_R_TOO_MANY_COMMANDS);
    else if (s->policy->commands_per_minute > 0 && s->in_minute > s->policy->commands_per_minute)
        engine_bye(s, SMTP_R_TOO_FAST);
    else if (s->idle_commands > s->policy->max_idle_commands)
        engine_bye(s, SMTP_R_TOO_MANY_IDLE_COMMANDS);
    else if (s->stopping && !s->in_data) /* between chunks it is not cut off */
        engine_bye(s, SMTP_R_STOPPING);
    else if (s->state == IN_GREETED && now - s->began > s->policy->session_timeout)
        engine_bye(s, SMTP_R_SESSION_TOO_LONG);
}

static bool
end(struct smtp_session *s)
{
    if (s->greeting)
        loop_timer_stop(s->stream.loop, &s->greet);
    engine_tx_reset(s);
    engine_flush(s);
    /* The last reply is worth a moment's wait, no more: its reader may be gone. */
    if (!s->lost && stream_flush(&s->stream, loop_now(s->stream.loop) + SECONDS(10)) != ST_OK)
        s->lost = true;
    stream_close(&s->stream);
    buf_done(&s->helo);
    buf_done(&s->peer_name);
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
            engine_flush(s);
        st = stream_line(&s->stream, SMTP_COMMAND_MAX, engine_deadline(s), &line);

        if (st == ST_LIMIT) { /* an endless line is not read to its end */
            engine_answer(s, SMTP_R_LINE_TOO_LONG);
            engine_bye(s, SMTP_R_CLOSING);
        } else if (st == ST_TIMEOUT) {
            engine_bye(s, SMTP_R_IDLE);
        } else if (st == ST_CANCELLED) {
            engine_bye_cancelled(s);
        } else if (st != ST_OK) {
            s->over = s->lost = true;
        } else {
            command(s, line);
            check_budgets(s);
        }
    } while (!s->over && stream_pending(&s->stream).n > 0);
    if (s->over)
        return end(s);
    engine_flush(s);
    if (s->over)
        return end(s);
    s->replies = (struct buf){0};
    stream_idle_until(&s->stream, engine_deadline(s));
    return true;
}

static void
idled(void *arg)
{
    struct smtp_session *s = arg;
    uint8_t room[REPLIES_MAX];

    s->replies = BUF_FIXED(room);
    if (s->stream.cancelled)
        engine_bye_cancelled(s);
    else
        engine_bye(s, s->in_data ? SMTP_R_IDLE_IN_DATA : SMTP_R_IDLE);
    (void)end(s);
}

static void
greet(struct smtp_session *s)
{
    uint8_t bytes[400], room[SMTP_REPLY_LINE_MAX];
    struct buf text = BUF_FIXED(bytes), greeting = BUF_FIXED(room);
    const struct smtp_reply *r = smtp_reply(SMTP_R_GREETING);

    put_greeting(s, &text);
    smtp_reply_put(&greeting, r->code, r->enhanced, buf_slice(&text));
    stream_put_now(&s->stream, buf_slice(&greeting));
}

/* It waited for the greeting, as RFC 5321 3.1 wants. */
static void
on_greet(struct timer *t)
{
    struct smtp_session *s = (struct smtp_session *)(void *)((uint8_t *)t - offsetof(struct smtp_session, greet));

    s->greeting = false;
    greet(s);
    stream_serve(&s->stream, serve, idled, s, engine_deadline(s));
}

/* Bytes before the greeting: a client that does not listen will not hear of its errors either. */
static bool
pregreet(void *arg)
{
    struct smtp_session *s = arg;
    uint8_t room[SMTP_REPLY_LINE_MAX + REPLY_ROOM];

    if (!s->greeting) /* its time came in the same round */
        return serve(s);
    loop_timer_stop(s->stream.loop, &s->greet);
    s->greeting = false;
    s->replies = BUF_FIXED(room);
    s->over = true;
    if (stream_pending(&s->stream).n > 0 || stream_more(&s->stream, loop_now(s->stream.loop) + SECONDS(1)) == ST_OK)
        engine_answer(s, SMTP_R_PREGREET);
    else
        s->lost = true;
    return end(s);
}

void
smtp_session_start(struct smtp_session *s)
{
    s->state = IN_START;
    s->began = s->minute = loop_now(s->stream.loop);
    s->helo = BUF_INIT(SMTP_DOMAIN_MAX);
    s->peer_name = BUF_INIT(SMTP_DOMAIN_MAX);
    s->user = BUF_INIT(1024);
    s->arena = ARENA_INIT(TX_MAX);
    engine_tx_reset(s);
    if (s->policy->greet_pause > 0 && !s->resumed && !s->on_this_host) {
        s->greeting = true;
        s->greet.fire = on_greet;
        loop_timer(s->stream.loop, &s->greet, s->began + s->policy->greet_pause);
        stream_serve(&s->stream, pregreet, idled, s, engine_deadline(s));
        return;
    }
    if (!s->resumed) /* RFC 3207 4.2: the client speaks first after STARTTLS */
        greet(s);
    stream_serve(&s->stream, serve, idled, s, engine_deadline(s));
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
