/* DATA and BDAT: a message's bytes, from the stream into the backend's memory, and the judgement on the
 * whole. */
#include "smtpserver/engine.h"

#define PREFIX_MAX                                                                                           \
    4096u /* Return-Path, Received, Date, Message-ID: six names of at most 255 bytes, a path, words */
#define DATA_FACTOR 2u /* a refused message is read on for at most this times the limit */

/* The next bytes of the message, or of its chunk, out of *in. out: NULL when they are not wanted. */
static enum status
take(struct smtp_session *s, struct slice *in, uint8_t *out, size_t cap, size_t *n)
{
    struct smtp_tx *tx = &s->tx;
    size_t some;

    if (!tx->chunked)
        return out != NULL ? smtp_data_feed(&tx->data, in, out, cap, n) : smtp_data_skip(&tx->data, in);
    if (out != NULL)
        return smtp_chunk_feed(&tx->data, &tx->chunk, in, out, cap, n);
    some = in->n < tx->chunk ? in->n : (size_t)tx->chunk;
    *in = slice_skip(*in, some);
    tx->chunk -= some;
    tx->data.size += some;
    return tx->chunk == 0 ? ST_OK : ST_MORE;
}

/* Waits for bytes; the client may wait for the replies to what it said before them. */
static enum status
more(struct smtp_session *s)
{
    enum status st;

    if (loop_now(s->stream.loop) > s->tx.until)
        return ST_TIMEOUT;
    if (s->replies.n > 0)
        engine_flush(s);
    if (s->over)
        return ST_CLOSED;
    st = stream_more(&s->stream, engine_deadline(s));
    return st == ST_OK ? ST_MORE : st;
}

/* What is refused is read on to its end: nothing of it may be taken for a command. */
static enum status
skip(struct smtp_session *s)
{
    enum status st = ST_MORE;

    while (st == ST_MORE) {
        struct slice in = stream_pending(&s->stream);
        size_t had = in.n, n;

        st = take(s, &in, NULL, SIZE_MAX, &n);
        stream_eat(&s->stream, had - in.n);
        if (st == ST_OK)
            break;
        if (s->tx.data.size / DATA_FACTOR > s->policy->message_size)
            return ST_LIMIT;
        st = more(s);
    }
    return st;
}

/* At once: what it holds is wanted by others. */
static void
drop(struct smtp_session *s)
{
    if (s->tx.open)
        s->backend->body_drop(s);
    s->tx.open = false;
}

/* Receives to the end of the message or of the chunk, into the backend's memory. *why: what is wrong with the
 * message or with us, ST_OK if nothing; else the body was dropped. Other than ST_OK: the session cannot go
 * on. */
static enum status
receive(struct smtp_session *s, enum status *why)
{
    struct smtp_tx *tx = &s->tx;
    bool ended = false;

    for (*why = ST_OK; *why == ST_OK;) {
        struct slice in = stream_pending(&s->stream);
        size_t had = in.n, room, n;
        uint8_t *p;
        enum status st;

        if (tx->chunked && tx->chunk == 0)
            return ST_OK;
        if (had == 0) {
            st = more(s);
            if (st != ST_MORE)
                return st;
            continue;
        }
        *why = s->backend->body_room(s, &p, &room);
        if (*why != ST_OK)
            break;
        /* body_room may have waited, but only this fiber reads the stream. */
        st = take(s, &in, p, room, &n);
        stream_eat(&s->stream, had - in.n);
        if (!tx->head.done)
            smtp_head_feed(&tx->head, slice_from(p, n));
        if (tx->data.size > s->policy->message_size)
            *why = ST_LIMIT;
        else
            *why = s->backend->body_used(s, n);
        ended = st == ST_OK;
        if (ended && *why == ST_OK)
            return ST_OK;
    }
    drop(s);
    return ended ? ST_OK : skip(s);
}

/* What a submitted message lacks (RFC 6409 8.2, 8.3). */
static void
complete(struct smtp_session *s, struct buf *prefix)
{
    uint8_t bytes[320];
    struct buf id = BUF_FIXED(bytes);

    if (!s->tx.head.date) {
        buf_puts(prefix, "Date: ");
        smtp_date_put(prefix, s->tx.received);
        buf_puts(prefix, "\r\n");
    }
    if (s->tx.head.message_id)
        return;
    buf_putc(&id, '<');
    buf_put_u64(&id, s->tx.received);
    buf_putc(&id, '.');
    buf_put(&id, s->tx.id);
    buf_putc(&id, '@');
    buf_puts(&id, s->policy->host);
    buf_putc(&id, '>');
    buf_puts(prefix, "Message-ID: ");
    buf_put(prefix, buf_slice(&id));
    buf_puts(prefix, "\r\n");
    s->tx.message_id = engine_keep(s, buf_slice(&id));
    s->arena.failed = false; /* the log can do without */
}

static void
put_prefix(struct smtp_session *s, struct buf *prefix)
{
    struct smtp_trace trace = {
        .helo = buf_slice(&s->helo),
        .host = slice_of(s->policy->host),
        .id = s->tx.id,
        .esmtp = s->esmtp,
        .tls = s->tls,
        .auth = s->user.n > 0,
        .utf8 = s->tx.mail.utf8,
        .tls_version = s->tls_version,
        .cipher = s->cipher,
        .only_rcpt = s->tx.recipients == 1 ? &s->tx.first->rcpt.to : NULL,
        .when = s->tx.received,
    };

    trace.peer_name = buf_slice(&s->peer_name);
    if (trace.peer_name.n == 0 && !s->client_forged) /* a name that is not its own is for the log alone */
        trace.peer_name = s->client_name;
    memcpy(trace.peer, s->peer, sizeof(trace.peer));
    smtp_return_path_put(prefix, s->tx.mail.from);
    smtp_received_put(prefix, &trace);
    if (s->policy->submission)
        complete(s, prefix);
}

/* The body is whole and good: the answer is the store's. */
static void
deliver(struct smtp_session *s)
{
    uint8_t bytes[PREFIX_MAX], words[128];
    struct buf prefix = BUF_FIXED(bytes), text = BUF_FIXED(words);
    enum status st;

    put_prefix(s, &prefix);
    if (!buf_ok(&prefix)) {
        engine_answer_temporary(s, ST_MEMORY);
        return;
    }
    s->tx.open = false;
    st = s->backend->deliver(s, buf_slice(&prefix));
    if (st != ST_OK) {
        engine_answer_temporary(s, st);
        return;
    }
    s->idle_commands = 0;
    buf_put(&text, s->tx.id);
    buf_putc(&text, ' ');
    buf_puts(&text, smtp_reply(SMTP_R_ACCEPTED)->text);
    engine_answer_text(s, SMTP_R_ACCEPTED, buf_slice(&text));
}

/* What is wrong with a message that came whole; SMTP_R_OK: nothing. */
static enum smtp_row
judge(const struct smtp_session *s)
{
    const struct smtp_data *d = &s->tx.data;

    if (s->tx.head.hops > s->policy->max_hops) /* RFC 5321 6.3 */
        return SMTP_R_TOO_MANY_HOPS;
    if (s->tx.mail.body == SMTP_BODY_BINARYMIME) /* every octet as it came (RFC 3030 3) */
        return SMTP_R_OK;
    if (d->nul)
        return SMTP_R_NUL_BYTE;
    if (d->bare_lf) /* smuggling, or software that would be misread by the next server */
        return SMTP_R_BARE_LF;
    return d->bare_cr ? SMTP_R_BARE_CR : SMTP_R_OK;
}

static void
finish(struct smtp_session *s)
{
    enum smtp_row row;

    if (s->tx.chunked)
        smtp_chunk_end(&s->tx.data);
    s->tx.size = s->tx.data.size;
    row = judge(s);
    if (row == SMTP_R_OK)
        deliver(s);
    else
        engine_answer(s, row);
    engine_tx_reset(s);
}

/* The connection is gone, or nothing that is said behind this would be a command for sure. */
static void
broken_off(struct smtp_session *s, enum status st)
{
    if (st == ST_CLOSED)
        s->over = s->lost = true;
    else if (st == ST_CANCELLED)
        engine_bye_cancelled(s);
    else if (st == ST_LIMIT)
        engine_bye(s, SMTP_R_ENDLESS);
    else
        engine_bye(s, SMTP_R_IDLE_IN_DATA);
    engine_tx_reset(s);
}

static void
refused(struct smtp_session *s, enum status why)
{
    s->tx.size = s->tx.data.size;
    if (s->tx.data.size > s->policy->message_size)
        engine_answer(s, SMTP_R_TOO_LARGE);
    else
        engine_answer_temporary(s, why);
    engine_tx_reset(s);
}

/* Waits for a place. announced: 0 when the size is not known. */
static enum status
begin(struct smtp_session *s, uint64_t announced)
{
    enum status st = s->backend->body_begin(s, s->tx.mail.has_size ? s->tx.mail.size : announced);

    s->tx.until = loop_now(s->stream.loop) + s->policy->data_timeout;
    if (st != ST_OK)
        return st;
    s->tx.open = s->in_data = true;
    s->tx.received = clock_real();
    return ST_OK;
}

void
engine_data(struct smtp_session *s, struct slice args)
{
    enum status st, why = ST_OK;

    (void)args;
    if (s->tx.mail.body == SMTP_BODY_BINARYMIME) { /* RFC 3030 3 */
        engine_answer(s, SMTP_R_BINARY_NEEDS_BDAT);
        return;
    }
    st = begin(s, 0);
    if (st != ST_OK) {
        engine_answer_temporary(s, st);
        engine_tx_reset(s);
        return;
    }
    s->tx.data.repair = s->policy->submission && s->policy->repair_line_ends;
    engine_answer(s, SMTP_R_SEND_MESSAGE);
    engine_flush(s);
    st = s->over ? ST_CLOSED : receive(s, &why);
    if (st != ST_OK)
        broken_off(s, st);
    else if (why != ST_OK)
        refused(s, why);
    else
        finish(s);
}

/* A chunk that is not wanted: its bytes are no commands (RFC 3030 2: accepted, discarded, then the reply).
 * The transaction, if there is one, stays as it was. */
static void
refuse_chunk(struct smtp_session *s, uint64_t size, enum smtp_row row)
{
    const struct smtp_tx was = s->tx;
    enum status st;

    s->tx.chunked = true;
    s->tx.chunk = size;
    s->tx.data = SMTP_DATA_INIT;
    s->tx.until = loop_now(s->stream.loop) + s->policy->data_timeout;
    st = skip(s);
    s->tx = was;
    if (st == ST_OK)
        engine_answer(s, row);
    else
        broken_off(s, st);
}

static enum smtp_row
chunk_in_order(const struct smtp_session *s)
{
    if (s->state & (IN_RCPT | IN_BDAT))
        return SMTP_R_OK;
    return s->state & IN_START  ? SMTP_R_HELLO_FIRST
           : s->state & IN_MAIL ? SMTP_R_NO_RECIPIENTS
                                : SMTP_R_RCPT_FIRST;
}

static void
chunk_received(struct smtp_session *s, uint64_t size)
{
    uint8_t words[64];
    struct buf text = BUF_FIXED(words);

    buf_put_u64(&text, size);
    buf_puts(&text, " octets received");
    engine_answer_text(s, SMTP_R_CHUNK_OK, buf_slice(&text));
    s->state = IN_BDAT;
}

/* RFC 3030 2 */
void
engine_bdat(struct smtp_session *s, struct slice args)
{
    enum smtp_row row = chunk_in_order(s);
    enum status st, why = ST_OK;
    uint64_t size;
    bool last;

    if (smtp_bdat_parse(args, &size, &last) != ST_OK) { /* where its bytes end is not known */
        engine_answer(s, SMTP_R_BAD_CHUNK);
        engine_bye(s, SMTP_R_CHUNK_LOST);
        return;
    }
    if (size / DATA_FACTOR > s->policy->message_size) { /* not read on for a day */
        engine_answer(s, SMTP_R_TOO_LARGE);
        engine_bye(s, SMTP_R_CHUNK_LOST);
        return;
    }
    if (row != SMTP_R_OK) {
        refuse_chunk(s, size, row);
        return;
    }
    if (!s->tx.open)
        why = begin(s, last ? size : 0);
    s->tx.chunked = true;
    s->tx.chunk = size;
    if (why == ST_OK && size > s->policy->message_size - s->tx.data.size)
        why = ST_LIMIT;
    if (why != ST_OK)
        drop(s);
    st = why == ST_OK ? receive(s, &why) : skip(s);
    if (st != ST_OK)
        broken_off(s, st);
    else if (why != ST_OK)
        refused(s, why);
    else if (last)
        finish(s);
    else
        chunk_received(s, size);
}
