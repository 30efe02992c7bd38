#include "maa/imap/message.h"

#include "sys/log.h"

void
message_done(struct message *m)
{
    buf_done(&m->slice);
    buf_done(&m->parsed);
}

enum status
message_read(struct message *m, uint64_t at, uint64_t n, struct slice *bytes)
{
    AUTO_BUF ask = BUF_INIT(128);
    struct msg_bytes got;
    uint64_t most;
    enum status st;

    if (at >= m->size || n == 0)
        return ST_NOTFOUND;
    if (at < m->at || at >= m->at + m->bytes.n) {
        most = m->size - at < READ_SLICE ? m->size - at : READ_SLICE;
        body_read_put(&ask, &(struct body_read){0, m->s->box.id, m->uid, at, (uint32_t)most});
        m->bytes = (struct slice){0};
        st = session_ask(m->s, MSG_BODY_READ, &ask, &m->slice, true);
        if (st != ST_OK)
            return st;
        if (!msg_bytes_get(buf_slice(&m->slice), &got) || got.bytes.n > most)
            return ST_CORRUPT;
        if (got.bytes.n == 0)
            return ST_NOTFOUND;
        m->bytes = got.bytes;
        m->at = at;
    }
    *bytes = slice_skip(m->bytes, (size_t)(at - m->at));
    if (n < bytes->n)
        bytes->n = (size_t)n;
    return ST_OK;
}

void
message_take_head(struct message *m, struct slice head)
{
    if (head.n > m->size)
        head.n = (size_t)m->size;
    m->bytes = head;
    m->at = 0;
}

void
message_take_digest(struct message *m, const struct digest_row *row)
{
    struct digest_view view;

    if (row->digest.n == 0 || digest_get(row->digest, &view) != ST_OK || (view.flags & DIGEST_CUT))
        return;
    digest_prefix(&view, row->prefix_bytes.n);
    if (view.header + view.body != m->size)
        return; /* of another message: parsed here */
    m->view = view;
    m->digested = true;
}

/* All of it, through our own parser. */
static enum status
parse(struct message *m)
{
    struct digester *d = digester_new(DIGEST_WHOLE);
    enum status st = d != NULL ? ST_OK : ST_MEMORY;
    struct slice bytes;

    for (uint64_t at = 0; st == ST_OK && at < m->size; at += bytes.n) {
        st = message_read(m, at, m->size - at, &bytes);
        if (st != ST_OK)
            break;
        while (bytes.n > 0) {
            struct slice piece = slice_sub(bytes, 0, 8192);

            digest_feed(d, piece);
            bytes = slice_skip(bytes, piece.n);
            at += piece.n;
            fiber_yield_if_long();
        }
    }
    if (st == ST_OK)
        st = digest_finish(d, &m->parsed);
    if (st == ST_OK)
        st = digest_get(buf_slice(&m->parsed), &m->view);
    digester_free(d);
    m->digested = st == ST_OK;
    return st;
}

/* One row from stored, copied: it must outlive the answer. */
static enum status
ask_digest(struct message *m)
{
    struct uid_range one = {m->uid, m->uid, 0};
    struct uidset set = {&one, 1, 1, 1};
    AUTO_CURSOR c = CURSOR(m->s, MSG_DIGESTS, &set, 1);
    struct digest_row row;

    if (!next_digest(&c, &row))
        return c.st;
    buf_clear(&m->parsed);
    buf_put(&m->parsed, row.digest);
    if (!buf_ok(&m->parsed))
        return ST_MEMORY;
    row.digest = buf_slice(&m->parsed);
    message_take_digest(m, &row);
    return ST_OK;
}

enum status
message_digest(struct message *m)
{
    enum status st = ST_OK;

    if (!m->digested)
        st = ask_digest(m);
    if (st == ST_OK && !m->digested) {
        buf_clear(&m->parsed);
        st = parse(m);
    }
    return st;
}

enum status
message_copy(struct message *m, uint64_t at, uint64_t n, struct buf *out)
{
    struct slice bytes;

    n = n < HEADER_MOST ? n : HEADER_MOST;
    while (n > 0) {
        enum status st = message_read(m, at, n, &bytes);

        if (st != ST_OK)
            return st;
        buf_put(out, bytes);
        at += bytes.n;
        n -= bytes.n;
    }
    return buf_ok(out) ? ST_OK : ST_LIMIT;
}

/* Offset behind the empty line, or 0. `from`: what was looked at before. */
static size_t
header_end(struct slice text, size_t from)
{
    const uint8_t *lf;

    if (from == 0 && text.n > 0 && text.p[0] == '\n')
        return 1;
    if (from == 0 && slice_has_prefix(text, SLICE("\r\n")))
        return 2;
    from = from > 2 ? from - 2 : 0;
    while (from < text.n && (lf = memchr(text.p + from, '\n', text.n - from)) != NULL) {
        struct slice next = slice_skip(text, (size_t)(lf - text.p) + 1);

        if (slice_starts(next, '\n'))
            return (size_t)(next.p - text.p) + 1;
        if (slice_has_prefix(next, SLICE("\r\n")))
            return (size_t)(next.p - text.p) + 2;
        from = (size_t)(next.p - text.p);
    }
    return 0;
}

enum status
message_header(struct message *m, struct buf *out)
{
    size_t end = 0, seen = 0;
    struct slice bytes;

    while (end == 0 && out->n < m->size && out->n < HEADER_MOST) {
        enum status st = message_read(m, out->n, READ_SLICE, &bytes);

        if (st != ST_OK)
            return st;
        buf_put(out, bytes);
        if (!buf_ok(out))
            return ST_LIMIT;
        end = header_end(buf_slice(out), seen);
        seen = out->n;
    }
    if (end > 0)
        out->n = end;
    return ST_OK;
}
