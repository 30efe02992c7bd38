#include "maa/imap/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "imap/params.h"
#include "imap/token.h"
#include "sys/log.h"

#define BUCKETS      8192u
#define COMMAND_KEEP 512u
#define ANSWER_MAX   (256u * 1024u) /* COPYUID of many runs */

_Static_assert(FLAG_SEEN == IMAP_FLAG(SEEN) && FLAG_ANSWERED == IMAP_FLAG(ANSWERED) &&
                   FLAG_FLAGGED == IMAP_FLAG(FLAGGED) && FLAG_DELETED == IMAP_FLAG(DELETED) &&
                   FLAG_DRAFT == IMAP_FLAG(DRAFT),
               "flags of stored and of the wire are the same bits");

struct imapd imapd;
static struct session *buckets[BUCKETS];

/* --- handles --- */

static struct session **
handle_at(uint64_t handle)
{
    struct session **at = &buckets[(handle ^ handle >> 32) % BUCKETS];

    while (*at != NULL && (*at)->handle != handle)
        at = &(*at)->by_handle;
    return at;
}

struct session *
session_by_handle(uint64_t handle)
{
    return *handle_at(handle);
}

static void
unhash(struct session *s)
{
    struct session **at = &buckets[(s->handle ^ s->handle >> 32) % BUCKETS];

    while (*at != NULL && *at != s)
        at = &(*at)->by_handle;
    if (*at == s)
        *at = s->by_handle;
}

void
session_set_handle(struct session *s, uint64_t handle)
{
    struct session **at;

    unhash(s);
    s->handle = handle;
    at = &buckets[(handle ^ handle >> 32) % BUCKETS];
    s->by_handle = *at;
    *at = s;
}

/* --- output --- */

static uint64_t
output_deadline(const struct session *s)
{
    return loop_now(s->stream.loop) + OUTPUT_TIME;
}

void
session_put(struct session *s, struct slice bytes)
{
    if (!s->over && stream_put(&s->stream, bytes, output_deadline(s)) != ST_OK)
        s->over = true;
}

void
session_put_text(struct session *s, struct buf *text, bool now)
{
    if (!buf_ok(text)) { /* a half answer would be taken for another one */
        log_at(LOG_LEVEL_WARNING, "conn=%llu: an answer was larger than its budget",
               (unsigned long long)s->conn);
        session_bye(s, "Answer too large");
        buf_clear(text);
    }
    if (text->n == 0 || (!now && text->n < FLUSH_TEXT))
        return;
    session_put(s, buf_slice(text));
    buf_shrink(text, FLUSH_TEXT * 2);
}

void
session_bye(struct session *s, const char *text)
{
    if (s->over)
        return;
    stream_printf(&s->stream, "* BYE %s\r\n", text);
    s->over = true;
}

void
answer(struct command *c, const char *fmt, ...)
{
    char text[600];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    buf_clear(&c->answer);
    buf_put(&c->answer, slice_from(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

void
answer_bad(struct session *s, struct command *c, const char *why)
{
    answer(c, "BAD %s", why);
    s->bads++;
}

void
answer_parse(struct session *s, struct command *c, enum status st, const char *why)
{
    if (st == ST_LIMIT || st == ST_MEMORY)
        answer(c, "NO [LIMIT] %s", why);
    else
        answer_bad(s, c, why);
}

void
answer_unread(struct session *s, struct command *c, enum status st)
{
    const char *why = s->reader.why;

    if (st == ST_LIMIT && why != NULL && slice_eq(slice_of(why), SLICE("Message too large")))
        answer(c, "NO [TOOBIG] The message is larger than %llu bytes",
               (unsigned long long)imapd.settings.message_size); /* RFC 7889 4 */
    else
        answer_bad(s, c, why != NULL ? why : "Not a command");
}

/* RFC 5530 3. What is not here is a temporary failure. */
static const struct {
    enum status st;
    const char *text;
} failures[] = {
    {ST_NOTFOUND,    "NO [NONEXISTENT] No such mailbox"                    },
    {ST_EXISTS,      "NO [ALREADYEXISTS] There already is such a mailbox"  },
    {ST_DENIED,      "NO [NOPERM] Not allowed"                             },
    {ST_QUOTA,       "NO [OVERQUOTA] The quota would be passed"            },
    {ST_LIMIT,       "NO [LIMIT] More than this server allows"             },
    {ST_MEMORY,      "NO [LIMIT] More than this server has room for"       },
    {ST_SYNTAX,      "NO [CANNOT] This cannot be done"                     },
    {ST_STATE,       "NO [CANNOT] This cannot be done now"                 },
    {ST_UNSUPPORTED, "NO [CANNOT] This is not offered"                     },
    {ST_STALE,       "NO [NONEXISTENT] The mailbox is gone"                },
    {ST_CORRUPT,     "NO [SERVERBUG] The answer of the store made no sense"},
    {ST_NOSPACE,     "NO [UNAVAILABLE] The disk is full"                   },
};

void
answer_status(struct command *c, enum status st)
{
    for (size_t i = 0; i < COUNT(failures); i++)
        if (failures[i].st == st) {
            answer(c, "%s", failures[i].text);
            return;
        }
    answer(c, "NO [UNAVAILABLE] Temporary failure, try again later");
}

/* --- small commands --- */

/* Only what is really there. logind advertises the same, and what belongs before the password. */
void
put_capabilities(struct buf *out)
{
    buf_puts(out, "CAPABILITY IMAP4rev1"
                  " IMAP4rev2"
                  " LITERAL+"
                  " ID"
                  " ENABLE"
                  " NAMESPACE"
                  " CHILDREN"
                  " UIDPLUS"
                  " MULTIAPPEND"
                  " MOVE"
                  " UNSELECT"
                  " IDLE"
                  " SPECIAL-USE"
                  " CREATE-SPECIAL-USE"
                  " LIST-EXTENDED"
                  " LIST-STATUS"
                  " STATUS=SIZE"
                  " CONDSTORE"
                  " QRESYNC"
                  " ESEARCH"
                  " SEARCHRES"
                  " WITHIN"
                  " BINARY"
                  " UTF8=ACCEPT"
                  " COMPRESS=DEFLATE");
    buf_printf(out, " APPENDLIMIT=%llu", (unsigned long long)imapd.settings.message_size); /* RFC 7889 3 */
}

static void
on_capability(struct session *s, struct command *c)
{
    buf_puts(&c->text, "* ");
    put_capabilities(&c->text);
    buf_puts(&c->text, "\r\n");
    answer(c, "OK CAPABILITY completed");
}

static void
on_noop(struct session *s, struct command *c)
{
    answer(c, "OK %s completed", imap_verb_name(c->in.verb));
}

static void
on_logout(struct session *s, struct command *c)
{
    stream_printf(&s->stream, "* BYE Logging out\r\n");
    answer(c, "OK LOGOUT completed");
}

static void
on_id(struct session *s, struct command *c)
{
    const char *why;
    enum status st = imap_args_id(c->in.args, &c->arena, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    buf_puts(&c->text,
             "* ID (\"name\" \"Estafeta\" \"version\" \"" ESTAFETA_VERSION "\")\r\n"); /* RFC 2971 3.2 */
    answer(c, "OK ID completed");
}

static void
put_highest(const struct session *s, struct buf *out)
{
    if (s->box.id != 0)
        buf_printf(out, "* OK [HIGHESTMODSEQ %llu] Highest\r\n", (unsigned long long)s->box.modseq);
}

void
enable_condstore(struct session *s, struct buf *out)
{
    if ((s->enabled & ENABLED_CONDSTORE) == 0)
        put_highest(s, out);
    s->enabled |= ENABLED_CONDSTORE;
}

/* name, what it turns on */
static const struct {
    const char *name;
    unsigned bits;
} enables[] = {
    {"IMAP4rev2", ENABLED_REV2                        },
    {"UTF8=ACCEPT", ENABLED_UTF8}, /* RFC 6855 3 */
    {"CONDSTORE", ENABLED_CONDSTORE                   },
    {"QRESYNC",   ENABLED_CONDSTORE | ENABLED_QRESYNC}, /* RFC 7162 3.2.3 */
};

/* RFC 5161 3.1: what is not known, or needs no enabling, is passed over; what was on already is not told. */
static void
on_enable(struct session *s, struct command *c)
{
    struct slice args = c->in.args, name;
    bool condstore = (s->enabled & ENABLED_CONDSTORE) != 0;

    buf_puts(&c->text, "* ENABLED");
    do {
        if (imap_take_atom(&args, &name) != ST_OK)
            break;
        for (size_t i = 0; i < COUNT(enables); i++) {
            if (!slice_eq_nocase(name, slice_of(enables[i].name)) ||
                (s->enabled & enables[i].bits) == enables[i].bits)
                continue;
            s->enabled |= enables[i].bits;
            buf_printf(&c->text, " %s", enables[i].name);
        }
    } while (take_byte(&args, ' '));
    buf_puts(&c->text, "\r\n");
    if (args.n > 0) {
        buf_clear(&c->text);
        answer_bad(s, c, "ENABLE takes names of capabilities");
        return;
    }
    if (!condstore && (s->enabled & ENABLED_CONDSTORE))
        put_highest(s, &c->text);
    answer(c, "OK ENABLE completed");
}

/* RFC 2177 3: the answer comes after DONE; until then the session idles as any other. */
static void
on_idle(struct session *s, struct command *c)
{
    buf_put(&s->idle_tag, c->in.tag);
    if (!buf_ok(&s->idle_tag)) {
        answer(c, "NO [UNAVAILABLE] No memory");
        buf_done(&s->idle_tag);
        return;
    }
    stream_puts(&s->stream, "+ idling\r\n");
    buf_clear(&c->answer);
}

/* RFC 4978 3: from behind its answer on; dispatch() begins it. */
static void
on_compress(struct session *s, struct command *c)
{
    enum status st;

    if (!slice_eq_nocase(c->in.args, SLICE("DEFLATE"))) {
        answer_bad(s, c, "Only DEFLATE is known");
        return;
    }
    st = stream_compress_prepare(&s->stream);
    if (st == ST_STATE)
        answer_bad(s, c, "DEFLATE is active already");
    else if (st != ST_OK)
        answer_status(c, st);
    else
        answer(c, "OK DEFLATE active");
}

/* --- dispatch --- */

/* verb, handler, what is told before its answer (RFC 3501 7.4.1, RFC 9051 7.5.1) */
static const struct row {
    command_run *run;
    enum tell tell;
} rows[IMAP_VERB_COUNT] = {
    [IMAP_CAPABILITY] = {on_capability, TELL_ALL       },
    [IMAP_NOOP] = {on_noop,       TELL_ALL       },
    [IMAP_LOGOUT] = {on_logout,     TELL_NOTHING   },
    [IMAP_ID] = {on_id,         TELL_ALL       },
    [IMAP_ENABLE] = {on_enable,     TELL_ALL       },
    [IMAP_SELECT] = {on_select,     TELL_NOTHING   },
    [IMAP_EXAMINE] = {on_select,     TELL_NOTHING   },
    [IMAP_CREATE] = {on_create,     TELL_ALL       },
    [IMAP_DELETE] = {on_delete,     TELL_ALL       },
    [IMAP_RENAME] = {on_rename,     TELL_ALL       },
    [IMAP_SUBSCRIBE] = {on_subscribe,  TELL_ALL       },
    [IMAP_UNSUBSCRIBE] = {on_subscribe,  TELL_ALL       },
    [IMAP_LIST] = {on_list,       TELL_ALL       },
    [IMAP_LSUB] = {on_lsub,       TELL_ALL       },
    [IMAP_STATUS] = {on_status,     TELL_ALL       },
    [IMAP_NAMESPACE] = {on_namespace,  TELL_ALL       },
    [IMAP_IDLE] = {on_idle,       TELL_ALL       },
    [IMAP_CHECK] = {on_noop,       TELL_ALL       },
    [IMAP_CLOSE] = {on_close,      TELL_NOTHING   },
    [IMAP_UNSELECT] = {on_unselect,   TELL_NOTHING   },
    [IMAP_EXPUNGE] = {on_expunge,    TELL_ALL       },
    [IMAP_SEARCH] = {on_search,     TELL_NO_EXPUNGE},
    [IMAP_FETCH] = {on_fetch,      TELL_NO_EXPUNGE},
    [IMAP_STORE] = {on_store,      TELL_NO_EXPUNGE},
    [IMAP_COPY] = {on_copy,       TELL_ALL       },
    [IMAP_MOVE] = {on_copy,       TELL_ALL       },
    [IMAP_COMPRESS] = {on_compress,   TELL_NOTHING   },
};

static void
command_begin(struct command *c)
{
    *c = (struct command){
        .arena = ARENA_INIT(COMMAND_ARENA), .answer = BUF_INIT(ANSWER_MAX), .text = BUF_INIT(16u << 20)};
}

/* What was gathered, what others did meanwhile, the tagged answer. */
static void
command_end(struct session *s, struct command *c, enum tell tell)
{
    session_put_text(s, &c->text, true);
    if (tell != TELL_NOTHING && s->state == IMAP_SELECTED && !s->over)
        (void)tell_changes(s, tell == TELL_ALL);
    if (c->answer.n > 0 && !s->over) {
        buf_put(&c->text, c->in.tag);
        buf_putc(&c->text, ' ');
        buf_put(&c->text, buf_slice(&c->answer));
        buf_puts(&c->text, "\r\n");
        session_put_text(s, &c->text, true);
    }
    arena_done(&c->arena);
    buf_done(&c->answer);
    buf_done(&c->text);
}

static void
dispatch(struct session *s, struct command *c)
{
    const struct row *row = &rows[c->in.verb];
    unsigned bads = s->bads;
    enum tell tell = TELL_ALL;

    if (row->run == NULL || (c->in.states & s->state) == 0) {
        answer_bad(s, c,
                   c->in.states == IMAP_BEFORE     ? "Already logged in"
                   : c->in.states == IMAP_SELECTED ? "Select a mailbox first"
                                                   : "Not allowed in this state");
    } else {
        row->run(s, c);
        tell = row->tell;
    }
    if (s->bads == bads)
        s->bads = 0;
    command_end(s, c, tell);
    if (row->run == on_logout)
        s->over = true;
    if (row->run == on_compress && !s->stream.zipping)
        stream_compress_begin(&s->stream);
}

/* The reader has a command. The text is copied into the arena only by who keeps it: it lives until
 * reader_next. */
static void
run_command(struct session *s)
{
    struct imap_reader *r = &s->reader;
    struct command c;
    const char *why;
    enum status st;

    imapd.commands++;
    command_begin(&c);
    st = imap_command_parse(imap_reader_text(r), &c.in, &why);
    if (r->body) {
        if (st == ST_OK && (c.in.verb != IMAP_APPEND || (c.in.states & s->state) == 0))
            st = ST_SYNTAX, why = "Not a command that takes a message";
        if (st != ST_OK)
            answer_parse(s, &c, st, why);
        run_append(s, &c, r->body_n, r->body_sync);
        command_end(s, &c, TELL_ALL);
        if (r->fatal && !s->over)
            session_bye(s, "What follows cannot be told apart from commands");
        return;
    }
    if (st == ST_OK && c.in.verb == IMAP_APPEND)
        st = ST_SYNTAX, why = "APPEND ends in the message, a literal";
    if (st == ST_OK) {
        dispatch(s, &c);
    } else {
        answer_parse(s, &c, st, why);
        command_end(s, &c, TELL_ALL);
    }
    imap_reader_next(r);
}

/* A command that could not be read to its end. */
static void
refuse_command(struct session *s, enum status st)
{
    struct imap_reader *r = &s->reader;
    struct command c;

    command_begin(&c);
    c.in.tag = imap_reader_tag(r);
    answer_unread(s, &c, st);
    command_end(s, &c, TELL_NOTHING);
    if (r->fatal)
        session_bye(s, "What follows cannot be told apart from commands");
    else
        imap_reader_next(r);
}

/* A line while IDLE: only DONE is right. */
static void
end_idle(struct session *s)
{
    bool done = slice_eq_nocase(imap_reader_text(&s->reader), SLICE("DONE"));
    struct command c;

    command_begin(&c);
    c.in.tag = arena_copy(&c.arena, buf_slice(&s->idle_tag));
    buf_done(&s->idle_tag);
    s->idle_tag = BUF_INIT(IMAP_TAG_MAX);
    if (done)
        answer(&c, "OK IDLE completed");
    else
        answer_bad(s, &c, "IDLE ends with DONE");
    command_end(s, &c, TELL_ALL);
    imap_reader_next(&s->reader);
}

/* Gives the reader what is pending. False: nothing more to do now. */
static bool
feed(struct session *s)
{
    struct slice in = stream_pending(&s->stream), rest = in;
    enum status st;

    if (in.n == 0) {
        if (!s->stream.readable && !s->stream.eof && !s->stream.broken)
            return false;
        st = stream_more(&s->stream, loop_now(s->stream.loop));
        if (st != ST_OK && st != ST_TIMEOUT)
            s->over = true;
        return st == ST_OK;
    }
    st = imap_reader_feed(&s->reader, &rest);
    stream_eat(&s->stream, in.n - rest.n);
    if (st == ST_MORE) {
        if (s->reader.go_ahead) {
            s->reader.go_ahead = false;
            stream_puts(&s->stream, "+ go ahead\r\n");
        }
        return true;
    }
    if (st != ST_OK)
        refuse_command(s, st);
    else if (s->idle_tag.n > 0)
        end_idle(s);
    else
        run_command(s);
    if (s->bads >= BADS_MAX)
        session_bye(s, "Too many bad commands");
    stream_idle_until(&s->stream, loop_now(s->stream.loop) + imapd.settings.imap_idle_timeout);
    return true;
}

/* --- life --- */

static void
session_end(struct session *s)
{
    AUTO_BUF m = BUF_INIT(16);
    struct channel *ch = program_peer(ROLE_STORE, 0);

    claim_told(s);
    msg_id_put(&m, &(struct msg_id){s->handle});
    if (ch != NULL && s->epoch == imapd.epoch)
        (void)ipc_send(ch, (enum msg)MSG_HANDLE_CLOSE, buf_slice(&m), -1);
    s->box.id = 0; /* its watch ends with the handle */
    box_done(s);
    log_at(LOG_LEVEL_INFO, "conn=%llu: user=%.*s in=%llu out=%llu: session ended",
           (unsigned long long)s->conn, SLICE_ARG(buf_slice(&s->account->user)),
           (unsigned long long)s->stream.bytes_in, (unsigned long long)s->stream.bytes_out);
    imapd.bytes_in += s->stream.bytes_in;
    imapd.bytes_out += s->stream.bytes_out;
    stream_close(&s->stream);
    buf_clear(&m);
    msg_conn_id_put(&m, &(struct msg_conn_id){s->conn});
    if ((ch = program_peer(ROLE_EDGE, 0)) != NULL)
        (void)ipc_send(ch, MSG_CONN_DONE, buf_slice(&m), -1);
    unhash(s);
    if (imapd.resume_at == s)
        imapd.resume_at = s->next;
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    account_put(s->account);
    imap_reader_done(&s->reader);
    buf_done(&s->idle_tag);
    free(s);
    if (--imapd.n_sessions == 0 && imapd.stopping)
        program_exit(0);
}

/* One fiber works for a session at a time: the one that serves, or the one that tells hints. */
static void
begin_turn(struct session *s)
{
    while (s->busy) {
        struct wait w = WAIT_INIT;

        s->turn = &w;
        if (wait_for(&w, NEVER) != ST_OK) /* who has it has deadlines, and always says ST_OK */
            abort();
        s->turn = NULL;
    }
    s->busy = true;
}

static void
end_turn(struct session *s)
{
    s->busy = false;
    if (s->turn != NULL)
        wait_end(s->turn, ST_OK);
}

/* To who waits in IDLE. More hints may come while it is told. */
static void
tell_idling(struct session *s)
{
    while (s->hinted && s->idle_tag.n > 0 && !s->over && !s->stream.cancelled)
        if (!tell_changes(s, true))
            break;
}

static bool
serve(void *arg)
{
    struct session *s = arg;

    fiber_note(buf_slice(&s->account->user));
    begin_turn(s);
    while (!s->over && feed(s)) {
        fiber_yield_if_long();
        if (s->stream.cancelled)
            break;
    }
    /* A hint that came while this fiber worked found it busy. */
    tell_idling(s);
    if (s->over) {
        session_end(s);
        return false;
    }
    uidset_trim(&s->box.view);
    end_turn(s);
    return true;
}

static void
idled(void *arg)
{
    struct session *s = arg;

    begin_turn(s);
    if (imapd.stopping)
        session_bye(s, "[UNAVAILABLE] The server is being stopped");
    else
        session_bye(s, "Idle for too long");
    session_end(s);
}

static void
push(void *arg)
{
    struct session *s = arg;

    fiber_note(buf_slice(&s->account->user));
    tell_idling(s);
    if (s->over)
        stream_cancel(&s->stream); /* ends on its own fiber */
    end_turn(s);
}

static bool
takes_hints(const struct session *s)
{
    return !s->busy && s->idle_tag.n > 0 && !s->over && !s->stream.cancelled;
}

void
session_hint(struct session *s)
{
    s->hinted = true;
    if (!takes_hints(s))
        return;
    s->busy = true;
    if (fiber_spawn(s->stream.loop, push, s) != ST_OK)
        s->busy = false; /* told with the next hint or command */
}

void
session_tell(struct session *s)
{
    s->hinted = true;
    if (!takes_hints(s))
        return;
    s->busy = true;
    push(s);
}

/* --- adoption --- */

/* "TAG NO ..." and the end, for a connection that never became a session. */
static void
turn_away(int fd, uint64_t conn, struct slice tag, const char *text)
{
    struct stream stream;
    AUTO_BUF m = BUF_INIT(16);
    struct channel *edge = program_peer(ROLE_EDGE, 0);

    stream_init(&stream, program_loop(), fd);
    stream_printf(&stream, "%.*s NO %s\r\n* BYE %s\r\n", SLICE_ARG(tag), text, text);
    stream_close(&stream);
    msg_conn_id_put(&m, &(struct msg_conn_id){conn});
    if (edge != NULL)
        (void)ipc_send(edge, MSG_CONN_DONE, buf_slice(&m), -1);
}

static struct session *
session_new(int fd, uint64_t conn, const struct msg_identity *id, struct slice unread)
{
    struct imap_limits limits = {.line = LINE_MAX_,
                                 .command = COMMAND_MAX,
                                 .nonsync = COMMAND_MAX,
                                 .literals = 200,
                                 .body = imapd.settings.message_size};
    struct session *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    if ((s->account = account_get(id->user)) == NULL) {
        free(s);
        return NULL;
    }
    stream_init(&s->stream, program_loop(), fd);
    if (stream_preload(&s->stream, unread) != ST_OK) {
        s->stream.fd = -1; /* stays the caller's */
        stream_close(&s->stream);
        account_put(s->account);
        free(s);
        return NULL;
    }
    imap_reader_init(&s->reader, limits);
    s->idle_tag = BUF_INIT(IMAP_TAG_MAX);
    s->conn = conn;
    s->state = IMAP_AUTH;
    s->rights = id->rights;
    s->epoch = imapd.epoch;
    session_set_handle(s, id->handle);
    s->link = &imapd.sessions;
    if ((s->next = imapd.sessions) != NULL)
        s->next->link = &s->next;
    imapd.sessions = s;
    imapd.n_sessions++;
    return s;
}

void
session_begin(int fd, const struct msg_conn *facts, struct slice ticket, struct slice tag,
              struct slice unread)
{
    AUTO_BUF m = BUF_INIT(1024), reply = BUF_INIT(4096), capabilities = BUF_INIT(1024);
    struct msg_identity id;
    struct session *s;
    enum status st;

    msg_ticket_put(&m, &(struct msg_ticket){facts->conn, ticket});
    st =
        program_ask(ROLE_AUTH, MSG_TICKET_REDEEM, buf_slice(&m), loop_now(program_loop()) + ASK_TIME, &reply);
    if (st == ST_OK && (!msg_identity_get(buf_slice(&reply), &id) || id.user.n == 0))
        st = ST_CORRUPT;
    if (st != ST_OK || imapd.stopping) {
        log_at(LOG_LEVEL_WARNING, "conn=%llu: ticket not redeemed: %s", (unsigned long long)facts->conn,
               status_text(st));
        turn_away(fd, facts->conn, tag, "[UNAVAILABLE] The login cannot be completed now");
        return;
    }
    s = session_new(fd, facts->conn, &id, unread);
    if (s == NULL) {
        turn_away(fd, facts->conn, tag, "[UNAVAILABLE] No memory");
        return;
    }
    put_capabilities(&capabilities);
    stream_printf(&s->stream, "%.*s OK [%.*s] Logged in\r\n", SLICE_ARG(tag),
                  SLICE_ARG(buf_slice(&capabilities)));
    stream_serve(&s->stream, serve, idled, s, loop_now(program_loop()) + imapd.settings.imap_idle_timeout);
}
