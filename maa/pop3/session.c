#include "maa/pop3/session.h"

#include "pop3/command.h"
#include "pop3/reply.h"
#include "pop3/stuff.h"
#include "sys/fiber.h"

#define LIST_PIECE 4096u /* of a listing, put at once */

static enum pop3_verdict
put(struct pop3_session *s, struct slice bytes)
{
    return s->ops->put(s->arg, bytes) == ST_OK ? POP3_GO_ON : POP3_END;
}

static enum pop3_verdict
put_buf(struct pop3_session *s, struct buf *b)
{
    enum pop3_verdict verdict = buf_ok(b) ? put(s, buf_slice(b)) : POP3_END;

    buf_clear(b);
    return verdict;
}

static enum pop3_verdict
ok(struct pop3_session *s, const char *text)
{
    AUTO_BUF out = BUF_INIT(POP3_REPLY_MAX);

    pop3_put_ok(&out, slice_of(text));
    return put_buf(s, &out);
}

static enum pop3_verdict
refuse(struct pop3_session *s, const char *code, const char *text)
{
    AUTO_BUF out = BUF_INIT(POP3_REPLY_MAX);

    pop3_put_err(&out, code, slice_of(text));
    return put_buf(s, &out);
}

static enum pop3_verdict
refuse_status(struct pop3_session *s, enum status st)
{
    const struct pop3_reply *reply = pop3_reply_of(st);

    return refuse(s, reply->code, reply->text);
}

enum pop3_verdict
pop3_session_begin(struct pop3_session *s)
{
    AUTO_BUF text = BUF_INIT(200), out = BUF_INIT(POP3_REPLY_MAX);

    buf_printf(&text, "%u messages, %llu octets", s->drop.n, (unsigned long long)s->drop.bytes);
    pop3_put_ok(&out, buf_slice(&text));
    return put_buf(s, &out);
}

static enum pop3_verdict
on_stat(struct pop3_session *s, const struct pop3_command *cmd)
{
    AUTO_BUF out = BUF_INIT(POP3_REPLY_MAX);

    pop3_put_stat(&out, s->drop.n - s->drop.deleted, s->drop.bytes - s->drop.deleted_bytes);
    return put_buf(s, &out);
}

/* One line of LIST or UIDL. */
static void
put_row(const struct pop3_session *s, bool uidl, bool alone, uint32_t number, const struct drop_message *m,
        struct buf *out)
{
    AUTO_BUF uid = BUF_INIT(POP3_UIDL_MAX);

    if (!uidl) {
        pop3_put_list(out, alone, number, m->size);
        return;
    }
    /* RFC 1939 7: never used for another message of this maildrop. A uid is not, as long as uidvalidity
     * holds. */
    buf_put_u64(&uid, s->uidvalidity);
    buf_putc(&uid, '.');
    buf_put_u64(&uid, m->uid);
    if (buf_ok(&uid))
        pop3_put_uidl(out, alone, number, buf_slice(&uid));
    else
        out->failed = true;
}

static enum pop3_verdict
list(struct pop3_session *s, bool uidl, uint32_t number)
{
    AUTO_BUF out = BUF_INIT(LIST_PIECE + POP3_REPLY_MAX);
    const struct drop_message *m = drop_find(&s->drop, number);

    if (number != 0) {
        if (m == NULL)
            return refuse_status(s, ST_NOTFOUND);
        put_row(s, uidl, true, number, m, &out);
        return put_buf(s, &out);
    }
    pop3_put_ok(&out, SLICE("Listing follows"));
    for (uint32_t i = 1; i <= s->drop.n; i++) {
        if ((m = drop_find(&s->drop, i)) == NULL)
            continue;
        put_row(s, uidl, false, i, m, &out);
        if (out.n >= LIST_PIECE && put_buf(s, &out) != POP3_GO_ON)
            return POP3_END;
        fiber_yield_if_long();
    }
    pop3_put_end(&out);
    return put_buf(s, &out);
}

static enum pop3_verdict
on_list(struct pop3_session *s, const struct pop3_command *cmd)
{
    return list(s, false, cmd->message);
}

static enum pop3_verdict
on_uidl(struct pop3_session *s, const struct pop3_command *cmd)
{
    return list(s, true, cmd->message);
}

/* The message from *offset on. False: the client is gone. */
static bool
put_stuffed(struct pop3_session *s, struct pop3_stuff *stuff, struct slice bytes)
{
    struct slice piece;

    while (pop3_stuff_next(stuff, &bytes, &piece)) {
        if (put(s, piece) != POP3_GO_ON)
            return false;
    }
    return true;
}

/* Has the header bytes beyond ASCII? Reads to its end, for RFC 6856 2.1 is about headers: 8-bit bodies are MIME's
 * (RFC 6152) and older than it. */
static enum status
beyond_ascii(struct pop3_session *s, const struct drop_message *m, bool *beyond)
{
    AUTO_BUF reply = BUF_INIT(POP3_SLICE + 64);
    struct slice bytes = {0};
    bool empty = true; /* the line so far */

    *beyond = false;
    for (uint64_t offset = 0; offset < m->size; offset += bytes.n) {
        uint64_t rest = m->size - offset;
        enum status st = s->ops->read(s->arg, m->uid, offset, (uint32_t)(rest < POP3_TOP_SLICE ? rest : POP3_TOP_SLICE),
                                      &reply, &bytes);

        if (st != ST_OK || bytes.n == 0)
            return st != ST_OK ? st : ST_CORRUPT;
        for (size_t i = 0; i < bytes.n; i++) {
            if (bytes.p[i] == '\n' && empty)
                return ST_OK;
            empty = bytes.p[i] == '\n' || (empty && bytes.p[i] == '\r');
            if (bytes.p[i] > 0x7e) {
                *beyond = true;
                return ST_OK;
            }
        }
    }
    return ST_OK;
}

/* RETR and TOP. The first slice is read before +OK is said: afterwards a failure can only be told by closing.
 */
static enum pop3_verdict
retrieve(struct pop3_session *s, const struct drop_message *m, struct pop3_stuff stuff, uint32_t slice)
{
    AUTO_BUF reply = BUF_INIT(POP3_SLICE + 64), out = BUF_INIT(POP3_REPLY_MAX);
    struct slice bytes = {0};
    uint64_t offset = 0;
    enum status st = ST_OK;
    bool beyond = false;

    if (s->strict && !s->utf8)
        st = beyond_ascii(s, m, &beyond);
    if (beyond)
        return refuse(s, "UTF8", "The header needs UTF-8: log in again and say UTF8 first"); /* RFC 6856 5 */
    if (st != ST_OK && st != ST_STALE)
        return refuse_status(s, st);
    do {
        uint32_t n = m->size - offset < slice ? (uint32_t)(m->size - offset) : slice;

        st = n > 0 ? s->ops->read(s->arg, m->uid, offset, n, &reply, &bytes) : ST_OK;
        if (st == ST_OK && bytes.n != n) /* less than its row said */
            st = ST_CORRUPT;
        if (st != ST_OK && offset > 0)
            return POP3_END;
        if (st == ST_STALE) { /* the mailbox is gone, or nobody knows any more whose session this is */
            (void)refuse_status(s, st);
            return POP3_END;
        }
        if (st != ST_OK)
            return refuse_status(s, st);
        if (offset == 0) {
            if (stuff.top)
                buf_puts(&out, "+OK Top follows\r\n");
            else
                buf_printf(&out, "+OK %llu octets\r\n", (unsigned long long)m->size);
            if (put_buf(s, &out) != POP3_GO_ON)
                return POP3_END;
        }
        if (!put_stuffed(s, &stuff, bytes))
            return POP3_END;
        s->bytes += bytes.n;
        offset += bytes.n;
    } while (offset < m->size && !stuff.done);
    s->retrieved += !stuff.top;
    return put(s, pop3_stuff_end(&stuff));
}

static enum pop3_verdict
on_retr(struct pop3_session *s, const struct pop3_command *cmd)
{
    const struct drop_message *m = drop_find(&s->drop, cmd->message);
    struct pop3_stuff stuff;

    if (m == NULL)
        return refuse_status(s, ST_NOTFOUND);
    pop3_stuff_init(&stuff);
    return retrieve(s, m, stuff, POP3_SLICE);
}

static enum pop3_verdict
on_top(struct pop3_session *s, const struct pop3_command *cmd)
{
    const struct drop_message *m = drop_find(&s->drop, cmd->message);
    struct pop3_stuff stuff;

    if (m == NULL)
        return refuse_status(s, ST_NOTFOUND);
    pop3_stuff_init_top(&stuff, cmd->lines);
    return retrieve(s, m, stuff, POP3_TOP_SLICE);
}

static enum pop3_verdict
on_dele(struct pop3_session *s, const struct pop3_command *cmd)
{
    if (drop_find(&s->drop, cmd->message) == NULL)
        return refuse_status(s, ST_NOTFOUND);
    drop_delete(&s->drop, cmd->message);
    return ok(s, "Marked to be deleted");
}

static enum pop3_verdict
on_rset(struct pop3_session *s, const struct pop3_command *cmd)
{
    drop_reset(&s->drop);
    return ok(s, "No message is marked");
}

static enum pop3_verdict
on_noop(struct pop3_session *s, const struct pop3_command *cmd)
{
    return ok(s, "");
}

static enum pop3_verdict
on_capa(struct pop3_session *s, const struct pop3_command *cmd)
{
    AUTO_BUF out = BUF_INIT(2048);

    /* RFC 6856 2: UTF8 is announced in both states, though it may be said in the first only */
    pop3_put_capa(&out, &(struct pop3_capa){.utf8 = true, .login_delay = s->login_delay});
    return put_buf(s, &out);
}

static enum pop3_verdict
on_lang(struct pop3_session *s, const struct pop3_command *cmd)
{
    AUTO_BUF out = BUF_INIT(POP3_REPLY_MAX);

    (void)pop3_put_lang(&out, cmd->text);
    return put_buf(s, &out);
}

/* RFC 1939 6: the UPDATE state. */
static enum pop3_verdict
on_quit(struct pop3_session *s, const struct pop3_command *cmd)
{
    AUTO_BUF runs = BUF_INIT(POP3_RUNS * 8);
    uint32_t number = 1;
    bool all = true;

    s->quit = true;
    while (drop_runs(&s->drop, &number, POP3_RUNS, &runs)) {
        if (!buf_ok(&runs) || s->ops->expunge(s->arg, buf_slice(&runs)) != ST_OK) {
            all = false;
            break;
        }
        buf_clear(&runs);
    }
    if (all)
        s->removed = s->drop.deleted;
    (void)(all ? ok(s, "Bye") : refuse(s, "SYS/TEMP", "some deleted messages not removed"));
    return POP3_END;
}

static enum pop3_verdict (*const handlers[POP3_VERB_COUNT])(struct pop3_session *s,
                                                            const struct pop3_command *cmd) = {
    [POP3_CAPA] = on_capa, [POP3_STAT] = on_stat, [POP3_LIST] = on_list, [POP3_UIDL] = on_uidl,
    [POP3_RETR] = on_retr, [POP3_TOP] = on_top,   [POP3_DELE] = on_dele, [POP3_RSET] = on_rset,
    [POP3_NOOP] = on_noop, [POP3_LANG] = on_lang, [POP3_QUIT] = on_quit,
};

enum pop3_verdict
pop3_session_line(struct pop3_session *s, struct slice line)
{
    struct pop3_command cmd = {0};
    enum status st = pop3_command_parse(line, &cmd);
    enum pop3_verdict verdict;

    if (st == ST_OK && (pop3_verb_row(cmd.verb)->allowed & POP3_TRANSACTION) && handlers[cmd.verb] != NULL)
        return handlers[cmd.verb](s, &cmd);
    if (st == ST_OK)
        verdict = refuse(s, NULL, "Not after the login");
    else
        verdict = refuse(s, NULL, st == ST_NOTFOUND ? "Unknown command" : pop3_reply_of(st)->text);
    if (++s->errors < POP3_ERRORS_MAX)
        return verdict;
    (void)refuse(s, NULL, "Too many errors");
    return POP3_END;
}
