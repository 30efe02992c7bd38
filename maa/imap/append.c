#include <sys/random.h>

#include "imap/args.h"
#include "maa/imap/body.h"
#include "maa/imap/session.h"

#define NS_MOST (INT64_MAX / 1000000000 - 1) /* seconds; INTERNALDATE is kept in nanoseconds */

#define MESSAGE_ARENA (64u * 1024u)        /* what the flags of one message may cost */
#define LIST_INLINE   (IPC_INLINE - 1024u) /* a longer list of messages goes in chunks */

/* An APPEND under way. */
struct upload {
    struct session *s;
    struct command *c; /* with an answer it is refused: what comes is thrown away */
    uint64_t mailbox;
    struct body body; /* when count > 0 */
    struct buf list;  /* packed append_message, of those that are whole */
    uint32_t count;   /* of those that were begun */
    /* the one that comes: */
    struct arena arena;
    struct imap_append want;
    uint64_t n;
    bool sync; /* the client waits for "+ " */
};

/* What is behind a message: another one (reader.body), or the end of the line. Else ST_SYNTAX or ST_LIMIT, and reader.why. */
static enum status
read_on(struct session *s)
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
        if (st != ST_MORE)
            return st;
    }
}

static void
throw_away(struct session *s, uint64_t n)
{
    while (n > 0) {
        struct slice bytes;

        if (stream_some(&s->stream, n < STREAM_INPUT ? (size_t)n : STREAM_INPUT,
                        loop_now(s->stream.loop) + OUTPUT_TIME, &bytes) != ST_OK) {
            s->over = true;
            return;
        }
        n -= bytes.n;
    }
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

/* A mailbox that is not there: RFC 3501 6.3.11. */
static void
refuse(struct upload *u, enum status st)
{
    if (st == ST_STALE || st == ST_NOTFOUND)
        answer(u->c, "NO [TRYCREATE] No such mailbox");
    else
        answer_status(u->c, st);
}

/* Is the message wanted whose flags and size are known? Refuses it before it is sent, where the client waits. */
static void
check(struct upload *u, enum status parsed, const char *why)
{
    const struct imap_settings *set = &imapd.settings;

    if (parsed != ST_OK)
        answer_parse(u->s, u->c, parsed, why);
    else if (u->want.utf8 && !(u->s->enabled & ENABLED_UTF8))
        answer_bad(u->s, u->c, "UTF8 needs ENABLE UTF8=ACCEPT"); /* RFC 6855 4 */
    else if (u->n == 0) /* RFC 3502 6.3.11: so a client cancels it, too */
        answer(u->c, "NO [CANNOT] A message has bytes");
    else if (u->count >= set->append_messages)
        answer(u->c, "NO [LIMIT] More than %llu messages at once", (unsigned long long)set->append_messages);
    else if (u->count > 0 && (u->body.total > set->append_size || u->n > set->append_size - u->body.total))
        answer(u->c, "NO [LIMIT] Several messages of more than %llu bytes", (unsigned long long)set->append_size);
}

/* Room for the message that comes. */
static void
make_room(struct upload *u)
{
    enum status st = u->count == 0 ? body_begin(&u->body, u->n) : body_next(&u->body, u->n);

    if (st == ST_OK || u->count > 0)
        u->count++; /* there is something to end */
    if (st != ST_OK)
        refuse(u, st);
}

/* What stored is to know of the message that is whole. Without room for its digest readers will make it. */
static enum status
list_message(struct upload *u)
{
    struct append_message one = {.n = u->n,
                                 .flags = (uint16_t)u->want.flags.system,
                                 .keywords = pack_keywords(&u->arena, &u->want.flags),
                                 .internaldate = internaldate(&u->want)};
    size_t before = u->list.n;

    if (arena_failed(&u->arena))
        return ST_MEMORY;
    if (u->body.digested)
        one.digest = buf_slice(&u->body.digest);
    append_message_put(&u->list, &one);
    if (!buf_ok(&u->list)) {
        u->list.n = before;
        u->list.failed = false;
        one.digest = (struct slice){0};
        append_message_put(&u->list, &one);
    }
    return buf_ok(&u->list) ? ST_OK : ST_LIMIT;
}

static void
receive(struct upload *u)
{
    enum status kept;

    if (u->sync)
        stream_puts(&u->s->stream, "+ go ahead\r\n");
    if (body_receive(&u->body, &u->s->stream, &kept) != ST_OK) {
        u->s->over = true;
        return;
    }
    if (kept == ST_OK)
        kept = list_message(u);
    if (kept != ST_OK)
        refuse(u, kept);
}

/* Does another message come? RFC 3502 6.3.11: whatever is wrong with it refuses all. */
static bool
another_message(struct upload *u)
{
    struct imap_reader *r = &u->s->reader;
    enum status st = read_on(u->s);
    const char *why = NULL;

    if (u->s->over)
        return false;
    if (st != ST_OK && u->c->answer.n == 0)
        answer_unread(u->s, u->c, st);
    if (st != ST_OK || !r->body) {
        if (!r->fatal) /* else the session ends behind the answer */
            imap_reader_next(r);
        return false;
    }
    u->n = r->body_n;
    u->sync = r->body_sync;
    if (u->c->answer.n == 0) {
        arena_reset(&u->arena);
        st = imap_args_append_next(imap_reader_text(r), &u->arena, &u->want, &why);
        check(u, st, why);
    }
    return true;
}

/* All messages, to the command's end; or to a literal that the client keeps back, when they are refused. */
static void
receive_all(struct upload *u)
{
    bool more = true;

    while (more && !u->s->over) {
        if (u->c->answer.n == 0)
            make_room(u);
        if (u->c->answer.n == 0) {
            receive(u);
        } else if (u->sync) {
            imap_reader_next(&u->s->reader);
            return;
        } else {
            throw_away(u->s, u->n);
        }
        more = !u->s->over && another_message(u);
    }
}

/* Asks stored to keep them: all, once, however often it is asked. */
static enum status
keep(struct upload *u, struct appended *done)
{
    AUTO_BUF m = BUF_INIT(IPC_INLINE), chunks = BUF_INIT(BODY_CHUNKS * 4), list = BUF_INIT(BODY_LIST * 4),
             reply = BUF_INIT(4096);
    uint8_t request[16];
    struct append a = {
        .request = slice_from(request, sizeof request), .mailbox = u->mailbox, .messages = buf_slice(&u->list)};
    enum status st = body_seal(&u->body);

    if (st == ST_OK && u->list.n > LIST_INLINE)
        st = body_list(&u->body, &a, &list);
    if (st == ST_OK && getrandom(request, sizeof request, 0) != sizeof request)
        st = ST_UNAVAILABLE;
    if (st != ST_OK)
        return st;
    body_fill(&u->body, &a, &chunks);
    append_put(&m, &a);
    st = session_ask(u->s, MSG_APPEND, &m, &reply, !u->body.streams);
    if (st == ST_OK && !appended_get(buf_slice(&reply), done))
        st = ST_CORRUPT;
    return st;
}

/* The command is whole: its answer. */
static enum status
finish(struct upload *u)
{
    struct appended done;
    enum status st = keep(u, &done);

    if (st != ST_OK) {
        refuse(u, st);
        return st;
    }
    if (u->count == 1) /* RFC 4315 3 */
        answer(u->c, "OK [APPENDUID %u %u] APPEND completed", done.uidvalidity, done.uid);
    else /* RFC 3502, the interaction with UIDPLUS: in the order in which they came */
        answer(u->c, "OK [APPENDUID %u %u:%u] APPEND completed", done.uidvalidity, done.uid, done.uid + (u->count - 1));
    u->s->hinted |= u->mailbox == u->s->box.id;
    return ST_OK;
}

/* The first message's arguments and the mailbox. */
static void
first_message(struct upload *u)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_row row;
    const char *why = NULL;
    enum status st = imap_args_append(u->c->in.args, &u->arena, &u->want, &why);

    check(u, st, why);
    if (u->c->answer.n > 0)
        return;
    st = find_mailbox(u->s, u->want.mailbox, false, &reply, &row);
    if (st == ST_OK)
        u->mailbox = row.mailbox;
    else
        refuse(u, st);
}

void
run_append(struct session *s, struct command *c, uint64_t n, bool sync)
{
    struct upload u = {.s = s,
                       .c = c,
                       .list = BUF_INIT(STORE_APPEND_LIST),
                       .arena = ARENA_INIT(MESSAGE_ARENA),
                       .n = n,
                       .sync = sync};
    enum status st = ST_CANCELLED;

    /* The reader's text does not outlive the message. */
    c->in.tag = arena_copy(&c->arena, c->in.tag);
    c->in.args = arena_copy(&c->arena, c->in.args);
    if (arena_failed(&c->arena)) {
        session_bye(s, "No memory");
        return;
    }
    if (c->answer.n == 0) /* else it was refused already */
        first_message(&u);
    receive_all(&u);
    if (c->answer.n == 0 && !s->over)
        st = finish(&u);
    if (u.count > 0)
        body_end(&u.body, st);
    buf_done(&u.list);
    arena_done(&u.arena);
}
