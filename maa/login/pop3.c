/* POP3 before the password (RFC 1939 4: the AUTHORIZATION state). */
#include "maa/login/session.h"
#include "pop3/command.h"
#include "pop3/reply.h"

#define MECHANISMS_MAX 400u /* bytes of all names */

static void
greet(struct login *s, struct slice host)
{
    AUTO_BUF text = BUF_INIT(POP3_REPLY_MAX);

    buf_put(&text, host);
    buf_puts(&text, " POP3 ready");
    pop3_put_ok(s->out, buf_slice(&text));
}

static void
bye(struct login *s, const char *text)
{
    pop3_put_err(s->out, NULL, slice_of(text));
}

static void
challenge(struct login *s, struct slice data)
{
    AUTO_BUF base64 = BUF_INIT(LOGIN_LINE_MAX);

    buf_put_base64(&base64, data);
    pop3_put_challenge(s->out, buf_slice(&base64));
}

/* What the table of lib/pop3 says of a mailbox and not of a login. */
static void
refuse(struct login *s, enum status st)
{
    if (st == ST_STATE)
        pop3_put_err(s->out, NULL, SLICE("Not without TLS: use STLS"));
    else if (st == ST_SYNTAX)
        pop3_put_err(s->out, NULL, SLICE("The mechanism does not understand what was sent"));
    else if (st == ST_UNSUPPORTED)
        pop3_put_err(s->out, NULL, SLICE("Mechanism not offered"));
    else if (st == ST_WEAK)
        pop3_put_err(s->out, NULL, SLICE("Mechanism is too weak"));
    else if (st == ST_LIMIT) /* RFC 2449 8.1.1 */
        pop3_put_err(s->out, "LOGIN-DELAY", SLICE("You were here a moment ago; come back later"));
    else if (st == ST_EXISTS)
        pop3_put_status(s->out, ST_EXISTS);
    else
        pop3_put_status(s->out, st == ST_DENIED ? ST_DENIED : ST_UNAVAILABLE);
}

static void
bad(struct login *s, const char *text)
{
    pop3_put_err(s->out, NULL, slice_of(text));
}

static enum login_verdict
on_user(struct login *s, const struct pop3_command *cmd)
{
    if (!s->clear) {
        refuse(s, ST_STATE);
        return login_error(s);
    }
    buf_clear(&s->work->name);
    buf_put(&s->work->name, cmd->text);
    if (!buf_ok(&s->work->name)) {
        buf_clear(&s->work->name);
        bad(s, "Name too long");
        return login_error(s);
    }
    pop3_put_ok(s->out, SLICE("Password, please")); /* RFC 1939 7: whether there is such a name is not told */
    return LOGIN_GO_ON;
}

static enum login_verdict
on_pass(struct login *s, const struct pop3_command *cmd)
{
    enum login_verdict verdict;

    if (s->work->name.n == 0) {
        bad(s, "USER comes first");
        return login_error(s);
    }
    verdict = login_password(s, buf_slice(&s->work->name), cmd->text);
    buf_clear(&s->work->name); /* RFC 1939 7: after a failure, USER again or QUIT */
    return verdict;
}

static enum login_verdict
on_auth(struct login *s, const struct pop3_command *cmd)
{
    if (cmd->mechanism.n > 0)
        return login_sasl(s, cmd->mechanism, cmd->has_initial, cmd->initial);
    pop3_put_ok(s->out, SLICE("Mechanisms follow"));
    login_mechanisms(s, s->out, "", "\r\n");
    pop3_put_end(s->out);
    return LOGIN_GO_ON;
}

static enum login_verdict
on_stls(struct login *s, const struct pop3_command *cmd)
{
    if (!s->ops->can_tls(s->arg)) {
        pop3_put_status(s->out, ST_UNAVAILABLE);
        return LOGIN_GO_ON;
    }
    pop3_put_ok(s->out, SLICE("Begin TLS now"));
    return LOGIN_TLS;
}

static enum login_verdict
on_utf8(struct login *s, const struct pop3_command *cmd)
{
    s->utf8 = true;
    pop3_put_ok(s->out, SLICE("UTF-8 from now on"));
    return LOGIN_GO_ON;
}

static enum login_verdict
on_lang(struct login *s, const struct pop3_command *cmd)
{
    return pop3_put_lang(s->out, cmd->text) ? LOGIN_GO_ON : login_error(s);
}

static enum login_verdict
on_capa(struct login *s, const struct pop3_command *cmd)
{
    AUTO_BUF names = BUF_INIT(MECHANISMS_MAX);
    struct slice list;

    login_mechanisms(s, &names, " ", "");
    list = buf_slice(&names);
    (void)take_byte(&list, ' ');
    pop3_put_capa(s->out, &(struct pop3_capa){.stls = !s->tls && !s->utf8, /* RFC 6856 2.1 */
                                              .user = s->clear,
                                              .utf8 = true,
                                              .login_delay = s->login_delay,
                                              .mechanisms = list});
    return LOGIN_GO_ON;
}

static enum login_verdict
on_quit(struct login *s, const struct pop3_command *cmd)
{
    pop3_put_ok(s->out, SLICE("Bye"));
    return LOGIN_END;
}

static enum login_verdict (*const handlers[POP3_VERB_COUNT])(struct login *s,
                                                             const struct pop3_command *cmd) = {
    [POP3_USER] = on_user, [POP3_PASS] = on_pass, [POP3_AUTH] = on_auth,
    [POP3_STLS] = on_stls, [POP3_UTF8] = on_utf8, [POP3_LANG] = on_lang,
    [POP3_CAPA] = on_capa, [POP3_QUIT] = on_quit,
};

static enum login_verdict
run(struct login *s, struct slice line)
{
    struct pop3_command cmd = {0};
    enum status st = pop3_command_parse(line, &cmd);
    const struct pop3_verb_row *row;

    if (st != ST_OK) {
        bad(s, st == ST_NOTFOUND ? "Unknown command" : pop3_reply_of(st)->text);
        return login_error(s);
    }
    row = pop3_verb_row(cmd.verb);
    if ((row->allowed & POP3_AUTHORIZATION) == 0 || handlers[cmd.verb] == NULL)
        bad(s, "Not before the login");
    else if ((row->allowed & POP3_CLEARTEXT) && s->tls)
        bad(s, "TLS is already active");
    else if ((row->allowed & POP3_CLEARTEXT) && s->utf8) /* RFC 6856 2.1 */
        bad(s, "Not after UTF8");
    /* RFC 2595 4: what was sent in clear text behind STLS must not count as said under TLS. */
    else if ((row->allowed & POP3_LAST) && (s->rest.n > 0 || !s->ops->quiet(s->arg)))
        bad(s, "Nothing may follow this command before its answer");
    else
        return handlers[cmd.verb](s, &cmd);
    return login_error(s);
}

static enum login_verdict
command(struct login *s)
{
    struct slice line;
    enum status st = login_line(s, &line);
    enum login_verdict verdict;

    if (st == ST_MORE)
        return LOGIN_GO_ON;
    if (st == ST_LIMIT) {
        bad(s, "Line too long");
        return LOGIN_END;
    }
    if (st == ST_OK) {
        verdict = run(s, line);
    } else {
        bad(s, "Lines end in CR LF");
        verdict = login_error(s);
    }
    login_line_done(s);
    return verdict;
}

const struct login_protocol login_pop3 = {greet, command, challenge, refuse, bad, bye};
