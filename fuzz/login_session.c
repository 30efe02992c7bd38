/*
 * A session before the password answers the same however its bytes were cut; its replies are whole lines; it
 * ends after LOGIN_ERRORS_MAX errors; nothing is held between commands. The first byte: IMAP, TLS, passwords
 * in clear; the second: how the bytes are cut.
 */
#include <assert.h>
#include <stdlib.h>

#include "maa/login/session.h"

#define OUT_MAX (1u << 22)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct stage {
    struct login login;
    size_t behind; /* bytes that have not come yet */
    unsigned starts, adopted;
};

static void
answer(struct buf *reply, const char *data, const char *ticket)
{
    buf_clear(reply);
    msg_sasl_put(reply, &(struct msg_sasl){slice_of(data), slice_of(ticket), slice_of(ticket)});
}

/* What authd says depends on what it is told, so that every way is gone. */
static enum status
judge(struct slice data, struct buf *reply)
{
    switch (data.n % 8) {
    case 0:
        answer(reply, "", "ticket");
        return ST_OK;
    case 1:
        answer(reply, "proof", "ticket");
        return ST_OK;
    case 2:
        answer(reply, "challenge", "");
        return ST_MORE;
    case 3:
        buf_puts(reply, "nonsense");
        return ST_OK;
    case 4:
        return ST_STATE;
    case 5:
        return ST_SYNTAX;
    case 6:
        return ST_UNAVAILABLE;
    default:
        return ST_DENIED;
    }
}

static enum status
on_start(void *arg, struct slice mechanism, bool has, struct slice initial, struct buf *reply)
{
    struct stage *stage = arg;

    stage->starts++;
    assert(mechanism.n > 0 && (has || initial.n == 0));
    if (!has) {
        answer(reply, "", "");
        return ST_MORE;
    }
    return judge(initial, reply);
}

static enum status
on_step(void *arg, struct slice data, struct buf *reply)
{
    assert(((struct stage *)arg)->starts > 0);
    return judge(data, reply);
}

static void
on_abort(void *arg)
{
    assert(((struct stage *)arg)->starts > 0);
}

static enum status
on_adopt(void *arg, struct slice ticket, struct slice tag, struct slice user)
{
    struct stage *stage = arg;

    assert(slice_eq(ticket, SLICE("ticket")) && slice_eq(user, SLICE("ticket")));
    assert((stage->login.protocol == &login_imap) == (tag.n > 0));
    return stage->adopted++ % 2 == 0 ? ST_NOTFOUND : ST_OK; /* the first time nobody wants it */
}

static bool
on_quiet(void *arg)
{
    return ((struct stage *)arg)->behind == 0;
}

static bool
on_can_tls(void *arg)
{
    return true;
}

static const struct login_ops ops = {on_start, on_step, on_abort, on_adopt, on_quiet, on_can_tls};

static enum login_verdict
run(uint8_t kind, size_t cut, struct slice in, struct buf *out)
{
    struct stage stage = {0};
    enum login_verdict verdict = LOGIN_GO_ON;

    login_init(&stage.login, kind & 1 ? &login_imap : &login_pop3, &ops, &stage, kind & 2, kind & 4);
    login_greet(&stage.login, SLICE("host"), out);
    while (verdict == LOGIN_GO_ON && in.n > 0) {
        /* An exact copy, as a stream's buffer would be another each time. */
        size_t some = in.n < cut ? in.n : cut;
        uint8_t *copy = malloc(some);
        struct slice piece = {copy, some};

        assert(copy != NULL);
        memcpy(copy, in.p, some);
        in = slice_skip(in, some);
        stage.behind = in.n;
        while (verdict == LOGIN_GO_ON && piece.n > 0) {
            verdict = login_input(&stage.login, piece, out);
            assert(stage.login.rest.n < piece.n || verdict != LOGIN_GO_ON);
            piece = stage.login.rest;
        }
        free(copy);
        assert(stage.login.errors < LOGIN_ERRORS_MAX || verdict == LOGIN_END);
    }
    assert(stage.login.work == NULL || verdict == LOGIN_GO_ON);
    login_done(&stage.login);
    return verdict;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF whole = BUF_INIT(OUT_MAX), cut = BUF_INIT(OUT_MAX);
    struct slice in, text;

    if (n < 2 || n > 100000)
        return 0;
    in = slice_from(data + 2, n - 2);
    assert(run(data[0], SIZE_MAX, in, &whole) == run(data[0], (size_t)data[1] + 1, in, &cut));
    assert(buf_ok(&whole) && buf_ok(&cut) && slice_eq(buf_slice(&whole), buf_slice(&cut)));
    for (text = buf_slice(&whole); text.n > 0;) {
        struct slice line = take_until(&text, '\n');

        assert(line.n >= 1 && slice_find(line, '\r') == line.n - 1 && take_byte(&text, '\n'));
        assert((data[0] & 1) || line.n + 1 <= 512 || slice_starts(line, '+'));
    }
    return 0;
}
