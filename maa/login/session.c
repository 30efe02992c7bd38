#include "maa/login/session.h"

#include <stdlib.h>

#include "sasl/mechanism.h"
#include "sasl/sasl.h"

#define REPLY_MAX    16384u /* of authd */
#define READER_FIRST 1024u  /* so that a usual command is not moved about by realloc, which leaves copies */

void
login_init(struct login *s, const struct login_protocol *protocol, const struct login_ops *ops, void *arg,
           bool tls, bool clear)
{
    *s = (struct login){.protocol = protocol, .ops = ops, .arg = arg, .tls = tls, .clear = clear};
}

void
login_wipe(struct buf *b)
{
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

void
login_mechanisms(const struct login *s, struct buf *out, const char *before, const char *after)
{
    sasl_mechanisms_put(out, s->sasl | (s->clear ? NEEDS_CLEAR : 0), before, after);
}

static void
work_free(struct login *s)
{
    struct login_work *w = s->work;

    if (w == NULL)
        return;
    login_wipe(&w->reader.text);
    login_wipe(&w->line);
    login_wipe(&w->ticket);
    buf_done(&w->tag);
    buf_done(&w->name);
    buf_done(&w->user);
    free(w);
    s->work = NULL;
}

static bool
work_new(struct login *s)
{
    /* Before the password there is no reason for more: a name, a password, an ID. A literal that is
     * larger is refused before it is sent, or ends the session when the client does not wait (RFC 7888 4). */
    static const struct imap_limits limits = {
        .line = LOGIN_LINE_MAX, .command = LOGIN_LINE_MAX, .nonsync = 4096, .literals = 8};
    struct login_work *w = calloc(1, sizeof *w);

    if (w == NULL)
        return false;
    imap_reader_init(&w->reader, limits);
    w->line = BUF_INIT(LOGIN_LINE_MAX);
    w->tag = BUF_INIT(IMAP_TAG_MAX);
    w->name = w->user = BUF_INIT(SASL_NAME_MAX);
    w->ticket = BUF_INIT(256);
    if (s->protocol == &login_imap)
        (void)buf_reserve(&w->reader.text, READER_FIRST);
    s->work = w;
    return true;
}

void
login_done(struct login *s)
{
    work_free(s);
}

void
login_greet(struct login *s, struct slice host, struct buf *out)
{
    s->out = out;
    s->protocol->greet(s, host);
    s->out = NULL;
}

void
login_bye(struct login *s, const char *text, struct buf *out)
{
    s->out = out;
    s->protocol->bye(s, text);
    s->out = NULL;
}

enum status
login_line(struct login *s, struct slice *line)
{
    struct login_work *w = s->work;
    size_t lf = slice_find(s->rest, '\n');
    struct slice piece = slice_sub(s->rest, 0, lf < s->rest.n ? lf + 1 : lf), got;
    bool whole = lf < s->rest.n;

    buf_put(&w->line, piece);
    if (!buf_ok(&w->line))
        return ST_LIMIT;
    s->rest = slice_skip(s->rest, piece.n);
    if (!whole)
        return ST_MORE;
    got = buf_slice(&w->line);
    got.n--;
    if (got.n == 0 || got.p[got.n - 1] != '\r')
        return ST_SYNTAX;
    got.n--;
    *line = got;
    return ST_OK;
}

void
login_line_done(struct login *s)
{
    login_wipe(&s->work->line);
}

enum login_verdict
login_error(struct login *s)
{
    if (++s->errors < LOGIN_ERRORS_MAX)
        return LOGIN_GO_ON;
    s->protocol->bye(s, "Too many errors");
    return LOGIN_END;
}

/* --- SASL --- */

static enum login_verdict
hand_over(struct login *s, struct slice ticket, struct slice user)
{
    struct slice tag = s->utf8 ? SLICE(ADOPT_UTF8) : buf_slice(&s->work->tag);
    enum status st = s->ops->adopt(s->arg, ticket, tag, user);

    s->state = LOGIN_COMMANDS;
    if (st == ST_OK)
        return LOGIN_TAKEN;
    if (st == ST_CLOSED)
        return LOGIN_LOST;
    s->protocol->refuse(s, st == ST_EXISTS || st == ST_LIMIT ? st : ST_UNAVAILABLE);
    return st == ST_EXISTS || st == ST_LIMIT ? login_error(s) : LOGIN_GO_ON;
}

/* Success with more to tell (SCRAM's proof of the server): it goes as a challenge, whose answer is empty, for
 * neither protocol has another place for it (RFC 3501 6.2.2, RFC 5034 4). */
static enum login_verdict
send_data(struct login *s, const struct msg_sasl *m)
{
    struct login_work *w = s->work;

    buf_clear(&w->ticket);
    buf_clear(&w->user);
    buf_put(&w->ticket, m->ticket);
    buf_put(&w->user, m->user);
    if (!buf_ok(&w->ticket) || !buf_ok(&w->user)) {
        s->protocol->refuse(s, ST_UNAVAILABLE);
        return LOGIN_GO_ON;
    }
    s->protocol->challenge(s, m->data);
    s->state = LOGIN_DATA_SENT;
    return LOGIN_GO_ON;
}

/* The answer of authd to a start or a step. */
static enum login_verdict
on_answer(struct login *s, enum status st, const struct buf *reply)
{
    struct msg_sasl m = {0};

    s->state = LOGIN_COMMANDS;
    if ((st == ST_OK || st == ST_MORE) && !msg_sasl_get(buf_slice(reply), &m))
        st = ST_UNAVAILABLE;
    if (st == ST_OK)
        return m.data.n > 0 ? send_data(s, &m) : hand_over(s, m.ticket, m.user);
    if (st == ST_MORE) {
        s->protocol->challenge(s, m.data);
        s->state = LOGIN_CHALLENGED;
        return LOGIN_GO_ON;
    }
    if (st == ST_STATE && s->clear) /* authd says so too when it was restarted in the middle of it */
        st = ST_UNAVAILABLE;
    s->protocol->refuse(s, st);
    return st == ST_DENIED || st == ST_SYNTAX || st == ST_UNSUPPORTED || st == ST_WEAK || st == ST_STATE ? login_error(s)
                                                                                        : LOGIN_GO_ON;
}

enum login_verdict
login_password(struct login *s, struct slice name, struct slice password)
{
    AUTO_BUF initial = BUF_INIT(SASL_MESSAGE_MAX), reply = BUF_INIT(REPLY_MAX);
    enum status st;

    /* A NUL would make another message of it (RFC 4616 2). What is not there or too long is nobody's. */
    if (name.n == 0 || name.n > SASL_NAME_MAX || slice_find(name, '\0') < name.n || password.n == 0 ||
        password.n > SASL_PASSWORD_MAX || slice_find(password, '\0') < password.n) {
        s->protocol->refuse(s, ST_DENIED);
        return login_error(s);
    }
    if (buf_reserve(&initial, 2 + name.n + password.n) != NULL) {
        buf_putc(&initial, '\0');
        buf_put(&initial, name);
        buf_putc(&initial, '\0');
        buf_put(&initial, password);
        st = s->ops->start(s->arg, SLICE("PLAIN"), true, buf_slice(&initial), &reply);
    } else {
        st = ST_UNAVAILABLE;
    }
    login_wipe(&initial);
    /* Bytes that are not UTF-8 are ST_SYNTAX to PLAIN; to a client with a password they are a wrong one. */
    return on_answer(s, st == ST_SYNTAX ? ST_DENIED : st, &reply);
}

enum login_verdict
login_sasl(struct login *s, struct slice mechanism, bool has, struct slice initial)
{
    AUTO_BUF data = BUF_INIT(SASL_MESSAGE_MAX), reply = BUF_INIT(REPLY_MAX);
    enum status st = ST_OK;

    (void)buf_reserve(&data, initial.n / 4 * 3 < SASL_MESSAGE_MAX ? initial.n / 4 * 3 : 0);
    if (has && !slice_eq(initial, SLICE("=")))
        st = buf_put_unbase64(&data, initial);
    if (st == ST_OK)
        st = s->ops->start(s->arg, mechanism, has, buf_slice(&data), &reply);
    else
        st = ST_SYNTAX;
    login_wipe(&data);
    return on_answer(s, st, &reply);
}

static enum login_verdict
abandon(struct login *s, const char *text)
{
    s->ops->abort(s->arg);
    s->state = LOGIN_COMMANDS;
    login_wipe(&s->work->ticket);
    s->protocol->bad(s, text);
    return login_error(s);
}

static enum login_verdict
on_response(struct login *s, struct slice line)
{
    AUTO_BUF data = BUF_INIT(SASL_MESSAGE_MAX), reply = BUF_INIT(REPLY_MAX);
    enum status st;

    if (slice_eq(line, SLICE("*"))) /* RFC 3501 6.2.2, RFC 5034 4 */
        return abandon(s, "Authentication cancelled");
    if (s->state == LOGIN_DATA_SENT) {
        if (line.n > 0)
            return abandon(s, "An empty line was expected");
        return hand_over(s, buf_slice(&s->work->ticket), buf_slice(&s->work->user));
    }
    (void)buf_reserve(&data, line.n / 4 * 3 < SASL_MESSAGE_MAX ? line.n / 4 * 3 : 0);
    if (buf_put_unbase64(&data, line) != ST_OK) {
        login_wipe(&data);
        return abandon(s, "Not base64, or too long");
    }
    st = s->ops->step(s->arg, buf_slice(&data), &reply);
    login_wipe(&data);
    return on_answer(s, st, &reply);
}

/* A line while a login is under way. */
static enum login_verdict
response(struct login *s)
{
    struct slice line;
    enum status st = login_line(s, &line);
    enum login_verdict verdict;

    if (st == ST_MORE)
        return LOGIN_GO_ON;
    if (st == ST_LIMIT) {
        s->protocol->bad(s, "Line too long");
        s->protocol->bye(s, "Line too long");
        return LOGIN_END;
    }
    verdict = st == ST_OK ? on_response(s, line) : abandon(s, "Lines end in CR LF");
    login_line_done(s);
    return verdict;
}

/* May the work be given back? Not in the middle of a line, a command or a login. */
static bool
at_rest(const struct login *s)
{
    const struct login_work *w = s->work;

    return s->state == LOGIN_COMMANDS && w->line.n == 0 && w->reader.text.n == 0 && w->name.n == 0;
}

enum login_verdict
login_input(struct login *s, struct slice in, struct buf *out)
{
    enum login_verdict verdict;

    s->rest = in;
    s->out = out;
    if (s->work == NULL && !work_new(s)) {
        s->protocol->bye(s, "No memory; try again later");
        return LOGIN_END;
    }
    verdict = s->state == LOGIN_COMMANDS ? s->protocol->command(s) : response(s);
    s->out = NULL;
    if (verdict != LOGIN_GO_ON || at_rest(s))
        work_free(s);
    return verdict;
}
