/*
 * POP3 after the password: every command has one whole reply; what RETR gives, read as a client does, is the
 * message; what QUIT removes is what was marked. Before the first 0xff the commands, behind it a message.
 */
#include <assert.h>

#include "maa/pop3/session.h"
#include "pop3/command.h"

#define MESSAGES 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct slice message; /* number 1 of the maildrop, and what all others are cut from */
static struct buf out;
static uint32_t expunged;

static enum status
on_put(void *arg, struct slice bytes)
{
    buf_put(&out, bytes);
    return ST_OK;
}

static struct slice
message_of(uint32_t uid)
{
    return slice_sub(message, 0, message.n / uid);
}

static enum status
on_read(void *arg, uint32_t uid, uint64_t offset, uint32_t n, struct buf *reply, struct slice *bytes)
{
    assert(uid >= 1 && uid <= MESSAGES && n > 0 && offset + n <= message_of(uid).n);
    if (uid == 4)
        return ST_NOTFOUND;
    buf_clear(reply);
    buf_put(reply, slice_sub(message_of(uid), offset, n));
    *bytes = buf_slice(reply);
    return ST_OK;
}

static enum status
on_expunge(void *arg, struct slice runs)
{
    const struct pop3_session *s = arg;
    uint32_t first, last;

    assert(runs.n > 0 && runs.n % 8 == 0);
    while (take_le32(&runs, &first) && take_le32(&runs, &last)) {
        assert(first <= last && last <= MESSAGES);
        for (uint32_t uid = first; uid <= last; uid++, expunged++)
            assert(s->drop.messages[uid - 1].deleted);
    }
    return ST_OK;
}

static const struct pop3_ops ops = {on_put, on_read, on_expunge};

/* As a client reads it: a line that begins with a dot loses it, "." alone is the end. */
static void
check_retrieved(struct slice reply, struct slice want)
{
    bool ended = want.n >= 2 && slice_has_suffix_nocase(want, SLICE("\r\n"));
    bool begins = true;

    (void)take_until(&reply, '\n');
    assert(take_byte(&reply, '\n'));
    while (want.n > 0) {
        if (begins && slice_starts(want, '.'))
            assert(take_byte(&reply, '.'));
        assert(reply.n > 0 && reply.p[0] == want.p[0]);
        begins = want.p[0] == '\n';
        reply = slice_skip(reply, 1);
        want = slice_skip(want, 1);
    }
    if (!ended && reply.n > 3)
        assert(take_literal(&reply, SLICE("\r\n")));
    assert(slice_eq(reply, SLICE(".\r\n")));
}

static enum pop3_verdict
one_line(struct pop3_session *s, struct slice line)
{
    struct pop3_command cmd = {.verb = POP3_VERB_COUNT};
    enum status st = pop3_command_parse(line, &cmd);
    struct slice reply;
    enum pop3_verdict verdict;
    bool many;

    buf_clear(&out);
    verdict = pop3_session_line(s, line);
    reply = buf_slice(&out);
    assert(buf_ok(&out) &&
           (slice_has_prefix(reply, SLICE("+OK")) || slice_has_prefix(reply, SLICE("-ERR "))));
    assert(slice_has_suffix_nocase(reply, SLICE("\r\n")));
    many =
        slice_starts(reply, '+') && (cmd.verb == POP3_RETR || cmd.verb == POP3_TOP || cmd.verb == POP3_CAPA ||
                                     (cmd.verb == POP3_LANG && cmd.text.n == 0) ||
                                     ((cmd.verb == POP3_LIST || cmd.verb == POP3_UIDL) && cmd.message == 0));
    assert(!many || (st == ST_OK && slice_has_suffix_nocase(reply, SLICE("\r\n.\r\n"))));
    assert(many || verdict == POP3_END || slice_find(reply, '\n') == reply.n - 1);
    if (many && cmd.verb == POP3_RETR)
        check_retrieved(reply, message_of(cmd.message));
    return verdict;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct pop3_session s = {.ops = &ops, .arg = &s, .uidvalidity = UINT32_MAX, .strict = n % 2 == 0};
    struct slice in = slice_from(data, n), lines = take_until(&in, 0xff);
    enum pop3_verdict verdict;
    uint32_t marked;

    message = slice_skip(in, 1);
    out = BUF_INIT(1u << 26);
    expunged = 0;
    for (uint32_t uid = 1; uid <= MESSAGES; uid++)
        assert(drop_add(&s.drop, uid, message_of(uid).n) == ST_OK);
    verdict = pop3_session_begin(&s);
    while (verdict == POP3_GO_ON && lines.n > 0 && lines.n < 4096) {
        struct slice line = take_until(&lines, '\n');

        verdict = one_line(&s, line);
        (void)take_byte(&lines, '\n');
    }
    marked = s.drop.deleted;
    assert(s.quit ? expunged == marked && s.removed == marked : expunged == 0);
    drop_done(&s.drop);
    buf_done(&out);
    return 0;
}
