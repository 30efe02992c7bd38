/* IMAP before the password (RFC 3501 6.1, 6.2). */
#include "base/arena.h"
#include "imap/args.h"
#include "maa/login/session.h"

static void
put_capabilities(struct login *s)
{
    buf_puts(s->out, "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE");
    if (!s->tls)
        buf_puts(s->out, " STARTTLS");
    if (!s->clear)
        buf_puts(s->out, " LOGINDISABLED"); /* RFC 3501 6.2.3 */
    login_mechanisms(s, s->out, " AUTH=", "");
}

static void
greet(struct login *s, struct slice host)
{
    buf_puts(s->out, "* OK [CAPABILITY ");
    put_capabilities(s);
    buf_printf(s->out, "] %.*s ready\r\n", SLICE_ARG(host));
}

static void
reply(struct login *s, struct slice tag, const char *text)
{
    buf_put(s->out, tag);
    buf_putc(s->out, ' ');
    buf_puts(s->out, text);
    buf_puts(s->out, "\r\n");
}

static void
bye(struct login *s, const char *text)
{
    buf_printf(s->out, "* BYE %s\r\n", text);
}

static void
challenge(struct login *s, struct slice data)
{
    buf_puts(s->out, "+ ");
    buf_put_base64(s->out, data);
    buf_puts(s->out, "\r\n");
}

/* RFC 5530 3; what is not here is temporary, for doubt must not make a client forget its password */
static const struct {
    enum status st;
    const char *text;
} refusals[] = {
    {ST_DENIED,      "NO [AUTHENTICATIONFAILED] Wrong name or password"      },
    {ST_STATE,       "NO [PRIVACYREQUIRED] Not without TLS: use STARTTLS"    },
    {ST_UNSUPPORTED, "NO Mechanism not offered"                              },
    {ST_WEAK,        "NO [CANNOT] Mechanism is too weak"                     },
    {ST_SYNTAX,      "BAD The mechanism does not understand what was sent"   },
    {ST_UNAVAILABLE, "NO [UNAVAILABLE] Cannot be judged now; try again later"},
};

static void
refuse(struct login *s, enum status st)
{
    const char *text = refusals[COUNT(refusals) - 1].text;

    for (size_t i = 0; i < COUNT(refusals); i++)
        if (refusals[i].st == st)
            text = refusals[i].text;
    reply(s, buf_slice(&s->work->tag), text);
}

static void
bad_tagged(struct login *s, struct slice tag, const char *text)
{
    buf_put(s->out, tag);
    buf_printf(s->out, " BAD %s\r\n", text);
}

static void
bad(struct login *s, const char *text)
{
    bad_tagged(s, buf_slice(&s->work->tag), text);
}

static enum login_verdict
on_capability(struct login *s, const struct imap_command *cmd)
{
    buf_puts(s->out, "* CAPABILITY ");
    put_capabilities(s);
    buf_puts(s->out, "\r\n");
    reply(s, cmd->tag, "OK CAPABILITY completed");
    return LOGIN_GO_ON;
}

static enum login_verdict
on_noop(struct login *s, const struct imap_command *cmd)
{
    reply(s, cmd->tag, "OK NOOP completed");
    return LOGIN_GO_ON;
}

static enum login_verdict
on_logout(struct login *s, const struct imap_command *cmd)
{
    bye(s, "Logging out");
    reply(s, cmd->tag, "OK LOGOUT completed");
    return LOGIN_END;
}

/* id-params-list (RFC 2971 3.3): NIL, or at most 30 pairs. */
static bool
id_ok(struct slice args)
{
    AUTO_ARENA arena = ARENA_INIT(LOGIN_LINE_MAX + 4096);
    struct slice key, value;

    if (take_literal_nocase(&args, SLICE("NIL")))
        return args.n == 0;
    if (!take_byte(&args, '('))
        return false;
    for (int i = 0; i < 30 && !slice_starts(args, ')'); i++) {
        if ((i > 0 && !take_byte(&args, ' ')) || imap_take_string(&args, &arena, &key) != ST_OK ||
            key.n > 30 || !take_byte(&args, ' '))
            return false;
        if (!take_literal_nocase(&args, SLICE("NIL")) &&
            (imap_take_string(&args, &arena, &value) != ST_OK || value.n > 1024))
            return false;
    }
    return take_byte(&args, ')') && args.n == 0;
}

static enum login_verdict
on_id(struct login *s, const struct imap_command *cmd)
{
    if (!id_ok(cmd->args)) {
        bad_tagged(s, cmd->tag, "ID takes NIL or a list of at most 30 pairs");
        return login_error(s);
    }
    buf_puts(s->out,
             "* ID (\"name\" \"Estafeta\")\r\n"); /* the version is nobody's business before the password */
    reply(s, cmd->tag, "OK ID completed");
    return LOGIN_GO_ON;
}

static enum login_verdict
on_starttls(struct login *s, const struct imap_command *cmd)
{
    if (s->tls) {
        bad_tagged(s, cmd->tag, "TLS is already active");
        return login_error(s);
    }
    /* RFC 3501 6.2.1. What was sent in clear text behind it must not count as said under TLS. */
    if (s->rest.n > 0 || !s->ops->quiet(s->arg)) {
        bad_tagged(s, cmd->tag, "Nothing may follow STARTTLS before its answer");
        return login_error(s);
    }
    if (!s->ops->can_tls(s->arg)) {
        reply(s, cmd->tag, "NO [UNAVAILABLE] TLS cannot begin now");
        return LOGIN_GO_ON;
    }
    reply(s, cmd->tag, "OK Begin TLS now");
    return LOGIN_TLS;
}

static enum login_verdict
on_authenticate(struct login *s, const struct imap_command *cmd)
{
    struct imap_authenticate args;
    const char *why;

    if (imap_args_authenticate(cmd->args, &args, &why) != ST_OK) {
        bad_tagged(s, cmd->tag, why);
        return login_error(s);
    }
    return login_sasl(s, args.mechanism, args.has_initial, args.initial);
}

static enum login_verdict
on_login(struct login *s, const struct imap_command *cmd)
{
    AUTO_ARENA arena = ARENA_INIT(LOGIN_LINE_MAX + 4096);
    struct slice args[2];
    const char *why;
    enum login_verdict verdict;

    if (imap_args_two(cmd->args, &arena, args, &why) != ST_OK) {
        bad_tagged(s, cmd->tag, why);
        return login_error(s);
    }
    if (s->clear) {
        verdict = login_password(s, args[0], args[1]);
    } else {
        refuse(s, ST_STATE);
        verdict = login_error(s);
    }
    /* It may be in the arena. Ours, whether there or in the command's text. */
    if (args[1].n > 0)
        explicit_bzero((void *)(uintptr_t)args[1].p, args[1].n);
    return verdict;
}

static const struct {
    enum imap_verb verb;
    enum login_verdict (*run)(struct login *s, const struct imap_command *cmd);
} commands[] = {
    {IMAP_CAPABILITY,   on_capability  },
    {IMAP_NOOP,         on_noop        },
    {IMAP_LOGOUT,       on_logout      },
    {IMAP_ID,           on_id          },
    {IMAP_STARTTLS,     on_starttls    },
    {IMAP_AUTHENTICATE, on_authenticate},
    {IMAP_LOGIN,        on_login       },
};

static enum login_verdict
run(struct login *s, struct slice text)
{
    struct imap_command cmd;
    const char *why;

    if (imap_command_parse(text, &cmd, &why) != ST_OK) {
        bad_tagged(s, cmd.tag, why);
        return login_error(s);
    }
    buf_clear(&s->work->tag);
    buf_put(&s->work->tag, cmd.tag);
    for (size_t i = 0; i < COUNT(commands); i++)
        if (commands[i].verb == cmd.verb)
            return commands[i].run(s, &cmd);
    bad_tagged(s, cmd.tag, "Not before the login");
    return login_error(s);
}

/* Each literal gets its "+ ", even from a client that did not wait for it. */
static enum status
collect(struct login *s, struct imap_reader *r)
{
    enum status st;

    do {
        st = imap_reader_feed(r, &s->rest);
        if (st == ST_MORE && r->go_ahead)
            buf_puts(s->out, "+ OK\r\n");
    } while (st == ST_MORE && s->rest.n > 0);
    return st;
}

static enum login_verdict
command(struct login *s)
{
    struct imap_reader *r = &s->work->reader;
    enum status st = collect(s, r);
    enum login_verdict verdict;

    if (st == ST_MORE)
        return LOGIN_GO_ON;
    if (st == ST_OK) {
        verdict = run(s, imap_reader_text(r));
    } else {
        bad_tagged(s, imap_reader_tag(r), r->why);
        verdict = r->fatal ? LOGIN_END : login_error(s);
        if (r->fatal)
            bye(s, r->why);
    }
    if (r->text.p != NULL)
        explicit_bzero(r->text.p, r->text.cap);
    imap_reader_next(r);
    return verdict;
}

const struct login_protocol login_imap = {greet, command, challenge, refuse, bad, bye};
