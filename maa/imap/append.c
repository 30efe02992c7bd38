#include <sys/random.h>

#include "imap/args.h"
#include "maa/imap/body.h"
#include "maa/imap/session.h"

#define NS_MOST (INT64_MAX / 1000000000 - 1) /* seconds; INTERNALDATE is kept in nanoseconds */

/* What is behind the message: nothing but the end of the line. ST_SYNTAX: something was, which *why tells. */
static enum status
end_of_line(struct session *s, const char **why)
{
    imap_reader_body_done(&s->reader);
    for (;;) {
        struct slice in = stream_pending(&s->stream), rest = in;
        enum status st;

        if (in.n == 0) {
            st = stream_more(&s->stream, loop_now(s->stream.loop) + OUTPUT_TIME);
            if (st != ST_OK) {
                s->over = true;
                return st;
            }
            continue;
        }
        st = imap_reader_feed(&s->reader, &rest);
        stream_eat(&s->stream, in.n - rest.n);
        if (st == ST_MORE)
            continue;
        *why = s->reader.why;
        if (st != ST_OK && s->reader.fatal)
            session_bye(s, "What follows cannot be told apart from commands");
        imap_reader_next(&s->reader);
        return st;
    }
}

/* The client waits, so nothing comes: what is not wanted is refused before it is sent. Else it is read and
 * thrown away, so that the next command is found. */
static void
refuse(struct session *s, uint64_t n, bool sync)
{
    const char *why;

    if (sync) {
        imap_reader_next(&s->reader);
        return;
    }
    while (n > 0) {
        struct slice bytes;

        if (stream_some(&s->stream, n < STREAM_INPUT ? (size_t)n : STREAM_INPUT,
                        loop_now(s->stream.loop) + OUTPUT_TIME, &bytes) != ST_OK) {
            s->over = true;
            return;
        }
        n -= bytes.n;
    }
    if (end_of_line(s, &why) != ST_OK)
        return; /* the command is refused already */
}

static int64_t
internaldate(const struct imap_append *want)
{
    int64_t s = want->time.seconds;

    if (!want->has_time)
        return 0; /* now */
    s = s > NS_MOST ? NS_MOST : s < -NS_MOST ? -NS_MOST : s;
    return s == 0 ? 1 : s * 1000000000;
}

/* Asks stored to keep it; once, however often it is asked. */
static enum status
keep(struct session *s, struct command *c, const struct imap_append *want, uint64_t mailbox, struct body *b,
     struct appended *done)
{
    AUTO_BUF m = BUF_INIT(IPC_INLINE), chunks = BUF_INIT(BODY_CHUNKS * 4), reply = BUF_INIT(4096);
    uint8_t request[16];
    struct append a = {.request = slice_from(request, sizeof request),
                       .mailbox = mailbox,
                       .flags = (uint16_t)want->flags.system,
                       .keywords = pack_keywords(&c->arena, &want->flags),
                       .internaldate = internaldate(want)};
    enum status st;

    if (getrandom(request, sizeof request, 0) != sizeof request)
        return ST_UNAVAILABLE;
    body_fill(b, &a, &chunks);
    append_put(&m, &a);
    if (!buf_ok(&m)) { /* a digest at its largest beside many keywords: readers will make it */
        buf_clear(&m);
        a.digest = (struct slice){0};
        append_put(&m, &a);
    }
    st = session_ask(s, MSG_APPEND, &m, &reply, !b->streams);
    if (st == ST_OK && !appended_get(buf_slice(&reply), done))
        st = ST_CORRUPT;
    return st;
}

/* The message is wanted. */
static void
receive(struct session *s, struct command *c, const struct imap_append *want, uint64_t mailbox, uint64_t n,
        bool sync)
{
    struct appended done;
    struct body b;
    const char *why = NULL;
    enum status st = body_begin(&b, n), kept;

    if (st != ST_OK) {
        answer_status(c, st);
        refuse(s, n, sync);
        return;
    }
    if (sync)
        stream_puts(&s->stream, "+ go ahead\r\n");
    if (body_receive(&b, &s->stream, &kept) != ST_OK || (st = end_of_line(s, &why), s->over)) {
        s->over = true;
        body_end(&b, ST_CANCELLED);
        return;
    }
    if (st != ST_OK) {
        answer_bad(s, c, why);
        body_end(&b, st);
        return;
    }
    if (kept == ST_OK)
        kept = keep(s, c, want, mailbox, &b, &done);
    if (kept == ST_OK) { /* RFC 4315 3 */
        answer(c, "OK [APPENDUID %u %u] APPEND completed", done.uidvalidity, done.uid);
        s->hinted |= mailbox == s->box.id;
    } else if (kept == ST_STALE || kept == ST_NOTFOUND) {
        answer(c, "NO [TRYCREATE] No such mailbox");
    } else {
        answer_status(c, kept);
    }
    body_end(&b, kept);
}

void
run_append(struct session *s, struct command *c, uint64_t n, bool sync)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct imap_append want;
    struct mailbox_row row;
    const char *why;
    enum status st;

    /* The reader's text does not outlive the message. */
    c->in.tag = arena_copy(&c->arena, c->in.tag);
    c->in.args = arena_copy(&c->arena, c->in.args);
    if (arena_failed(&c->arena)) {
        session_bye(s, "No memory");
        return;
    }
    if (c->answer.n > 0) { /* it was refused already */
        refuse(s, n, sync);
        return;
    }
    st = imap_args_append(c->in.args, &c->arena, &want, &why);
    if (st != ST_OK) {
        answer_parse(s, c, st, why);
    } else if (want.utf8 && !(s->enabled & ENABLED_UTF8)) {
        answer_bad(s, c, "UTF8 needs ENABLE UTF8=ACCEPT"); /* RFC 6855 4 */
    } else if (n == 0) {
        answer(c, "NO [CANNOT] A message has bytes");
    } else {
        st = find_mailbox(s, want.mailbox, false, &reply, &row);
        if (st == ST_OK) {
            receive(s, c, &want, row.mailbox, n, sync);
            return;
        }
        if (st == ST_NOTFOUND)
            answer(c, "NO [TRYCREATE] No such mailbox"); /* RFC 3501 6.3.11 */
        else
            answer_status(c, st);
    }
    refuse(s, n, sync);
}
