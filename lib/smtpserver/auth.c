/* AUTH (RFC 4954): carries the messages of a mechanism between the client and the backend. */
#include "smtpserver/engine.h"

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

    engine_flush(s);
    st = stream_line(&s->stream, SMTP_COMMAND_MAX * 4, engine_deadline(s),
                     &line); /* RFC 4954 4: 12288 at most */
    if (st == ST_CLOSED)
        s->over = s->lost = true;
    else if (st != ST_OK)
        engine_bye(s, SMTP_R_AUTH_SILENT);
    else if (slice_eq(line, SLICE("*")))
        engine_answer(s, SMTP_R_AUTH_CANCELLED);
    else if (unbase64(response, line) != ST_OK)
        engine_answer(s, SMTP_R_AUTH_NOT_BASE64);
    else
        return true;
    return false;
}

static void
answer_result(struct smtp_session *s, enum status st)
{
    static const struct {
        enum status st;
        enum smtp_row row;
    } rows[] = {
        {ST_OK,          SMTP_R_AUTH_OK       },
        {ST_DENIED,      SMTP_R_AUTH_DENIED   },
        {ST_UNSUPPORTED, SMTP_R_AUTH_UNKNOWN  },
        {ST_WEAK,        SMTP_R_AUTH_WEAK     },
        {ST_STATE,       SMTP_R_AUTH_NEEDS_TLS},
        {ST_SYNTAX,      SMTP_R_AUTH_SYNTAX   },
    };
    enum smtp_row row = SMTP_R_AUTH_LATER;

    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].st == st)
            row = rows[i].row;
    engine_answer(s, row);
    if (row == SMTP_R_AUTH_DENIED && ++s->auth_failures >= s->policy->max_auth_failures)
        engine_bye(s, SMTP_R_TOO_MANY_FAILURES);
}

/* A challenge may be longer than a reply line (RFC 4954 4). */
static void
put_challenge(struct smtp_session *s, struct slice data)
{
    AUTO_BUF line = BUF_INIT(24000);

    engine_flush(s);
    buf_puts(&line, "334 ");
    buf_put_base64(&line, data);
    buf_puts(&line, "\r\n");
    if (!buf_ok(&line) || stream_put(&s->stream, buf_slice(&line), engine_deadline(s)) != ST_OK)
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
void
engine_auth(struct smtp_session *s, struct slice args)
{
    struct slice at = args, mechanism = take_until(&at, ' '), initial = slice_trim(at);
    AUTO_BUF response = BUF_INIT(16384), user = BUF_INIT(1024);
    bool has = initial.n > 0;
    enum status st;

    if (s->user.n > 0) {
        engine_answer(s, SMTP_R_AUTH_TWICE);
        return;
    }
    if (mechanism.n == 0) {
        engine_answer(s, SMTP_R_AUTH_NO_MECHANISM);
        return;
    }
    if (has && !slice_eq(initial, SLICE("=")) && unbase64(&response, initial) != ST_OK) {
        engine_answer(s, SMTP_R_AUTH_NOT_BASE64);
        return;
    }
    mechanism = engine_keep(s, mechanism); /* the line goes with the next read */
    if (exchange(s, mechanism, has, &response, &user, &st)) {
        buf_clear(&s->user);
        if (st == ST_OK)
            buf_put(&s->user, buf_slice(&user));
        if (st == ST_OK && (!buf_ok(&s->user) || s->user.n == 0))
            st = ST_UNAVAILABLE;
        answer_result(s, st);
    }
    if (response.p != NULL)
        explicit_bzero(response.p, response.cap); /* it may hold a password */
    engine_tx_reset(s);
}
