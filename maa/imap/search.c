#include "imap/search.h"

#include "maa/imap/message.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/header.h"

#define ROWS_BATCH 1024u
#define PIECE      (16u * 1024u) /* decoded and compared at a time: about a millisecond */
#define CARRY      (64u * 1024u) /* longest line that is not cut */
#define DAY_NS     86400000000000

/* What a message can be asked so far: its row; its header too; its body too. */
enum depth { BY_ROW, BY_HEADER, BY_BODY };

struct match {
    struct session *s;
    struct imap_search want;
    const struct message_row *row;
    struct message *m;
    struct buf header;
    enum depth depth;
    enum status st; /* why the message could not be read */
};

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* --- text --- */

/* Decoded text of a part on its way: in pieces that end in line ends, with what went before kept for overlap.
 */
struct window {
    struct slice encoding, charset, needle;
    struct buf raw, decoded, utf8;
};

/* How much of raw can be decoded by itself. */
static size_t
decodable(const struct window *w, bool last)
{
    size_t n = w->raw.n;

    if (last || n >= CARRY)
        return n;
    while (n > 0 && w->raw.p[n - 1] != '\n')
        n--;
    return n;
}

/* Only its alphabet, in whole groups: lines of base64 need not be multiples of four. */
static size_t
squeeze_base64(struct buf *raw, bool last)
{
    size_t n = 0;

    for (size_t i = 0; i < raw->n; i++) {
        uint8_t c = raw->p[i];

        if (ascii_alpha(c) || ascii_digit(c) || c == '+' || c == '/' || c == '=')
            raw->p[n++] = c;
    }
    raw->n = n;
    return last ? n : n - n % 4;
}

static bool
found_in(struct window *w, bool last)
{
    bool base64 = slice_eq_nocase(w->encoding, SLICE("base64"));
    size_t n = base64 ? squeeze_base64(&w->raw, last) : decodable(w, last), keep;

    mime_put_decoded(&w->decoded, w->encoding, slice_sub(buf_slice(&w->raw), 0, n));
    buf_eat(&w->raw, n);
    for (n = w->decoded.n; !last && w->decoded.n < CARRY && n > 0 && w->decoded.p[n - 1] != '\n';)
        n--;
    mime_put_utf8(&w->utf8, w->charset, slice_sub(buf_slice(&w->decoded), 0, n));
    buf_eat(&w->decoded, n);
    if (mime_contains(buf_slice(&w->utf8), w->needle))
        return true;
    /* Case folding may shorten what matched: twice the needle is kept. */
    keep = 2 * w->needle.n + 16;
    n = w->utf8.n > keep ? w->utf8.n - keep : 0;
    while (n < w->utf8.n && (w->utf8.p[n] & 0xc0) == 0x80)
        n++;
    buf_eat(&w->utf8, n);
    w->raw.failed = w->decoded.failed = w->utf8.failed = false;
    fiber_yield_if_long();
    return false;
}

static struct slice
charset_of(const struct digest_part *part)
{
    struct digest_items params = part->params;
    struct digest_param p;

    while (take_digest_param(&params, &p))
        if (slice_eq_nocase(p.name, SLICE("charset")))
            return p.value;
    return SLICE("us-ascii");
}

static bool
part_contains(struct match *x, const struct digest_part *part, struct slice needle)
{
    struct window w = {.encoding = part->encoding,
                       .charset = charset_of(part),
                       .needle = needle,
                       .raw = BUF_INIT(CARRY * 4),
                       .decoded = BUF_INIT(CARRY * 4),
                       .utf8 = BUF_INIT(CARRY * 16)};
    uint64_t at = part->body_at, end = part->body_at + part->body;
    bool found = false;

    while (at < end && !found && x->st == ST_OK) {
        struct slice bytes;

        x->st = message_read(x->m, at, end - at < PIECE ? end - at : PIECE, &bytes);
        if (x->st != ST_OK)
            break;
        buf_put(&w.raw, bytes);
        at += bytes.n;
        found = found_in(&w, at == end);
    }
    buf_done(&w.raw);
    buf_done(&w.decoded);
    buf_done(&w.utf8);
    return found;
}

static bool
header_contains(struct slice header, struct slice needle)
{
    AUTO_BUF text = BUF_INIT(HEADER_MOST * 2);
    struct mime_field field;

    while (take_field(&header, &field)) {
        buf_clear(&text);
        mime_put_words(&text, field.whole);
        if (mime_contains(buf_slice(&text), needle))
            return true;
        fiber_yield_if_long();
    }
    return false;
}

/* The text of all its text parts, and the headers of messages in it. */
static bool
body_contains(struct match *x, struct slice needle)
{
    struct digest_cursor c;
    struct digest_part part;

    if (needle.n == 0)
        return true;
    x->st = message_digest(x->m);
    if (x->st != ST_OK)
        return false;
    for (c = digest_parts(&x->m->view); x->st == ST_OK && digest_next(&c, &part);) {
        if (part.depth > 0 && (part.flags & PART_ENVELOPE)) {
            AUTO_BUF header = BUF_INIT(HEADER_MOST);

            x->st = message_copy(x->m, part.header_at, part.header, &header);
            if (x->st == ST_OK && header_contains(buf_slice(&header), needle))
                return true;
        }
        if ((part.flags & PART_TEXT) && part_contains(x, &part, needle))
            return true;
    }
    return false;
}

/* --- leaves --- */

static bool
has_keyword(struct slice keywords, int64_t number)
{
    uint16_t k;

    while (take_le16(&keywords, &k))
        if (k == number)
            return true;
    return false;
}

static bool
has_flags(const struct match *x, uint32_t flags)
{
    uint32_t has = x->row->flags;

    if (x->row->uid >= x->s->box.recent_from)
        has |= IMAP_FLAG(RECENT);
    return (has & flags) == flags;
}

/* RFC 3501 6.4.4: the day in the Date field, as it was written. A message without one was sent on no day. */
static bool
sent_day(const struct match *x, int64_t *day)
{
    struct mime_field field;
    int64_t utc;
    int16_t zone;

    if (!mime_find_field(buf_slice(&x->header), SLICE("Date"), &field) ||
        mime_date_parse(field.value, &utc, &zone) != ST_OK)
        return false;
    *day = floor_div(utc + (int64_t)zone * 60, 86400);
    return true;
}

/* Of what needs more than the row. */
static int
text_leaf(struct match *x, const struct imap_search_node *node)
{
    struct slice header = buf_slice(&x->header);
    int64_t day = 0;

    if (x->depth == BY_ROW)
        return -1;
    switch (node->op) {
    case IMAP_S_SENTBEFORE:
        return sent_day(x, &day) && day < node->number;
    case IMAP_S_SENTON:
        return sent_day(x, &day) && day == node->number;
    case IMAP_S_SENTSINCE:
        return sent_day(x, &day) && day >= node->number;
    case IMAP_S_HEADER:
        return mime_header_contains(header, node->name, node->text);
    case IMAP_S_TEXT:
        if (header_contains(header, node->text))
            return 1;
        return x->depth == BY_HEADER ? -1 : body_contains(x, node->text);
    default: /* IMAP_S_BODY */
        return x->depth == BY_HEADER ? -1 : body_contains(x, node->text);
    }
}

static int
leaf(void *ctx, const struct imap_search_node *node)
{
    struct match *x = ctx;
    int64_t day = floor_div(x->row->internaldate, DAY_NS);

    switch (node->op) {
    case IMAP_S_FLAGS:
        return has_flags(x, (uint32_t)node->number);
    case IMAP_S_KEYWORD:
        return has_keyword(x->row->keywords, node->number);
    case IMAP_S_SEQ:
        return imap_seqset_has(&node->set, uidset_seq(&x->s->box.view, x->row->uid));
    case IMAP_S_UID:
        return imap_seqset_has(&node->set, x->row->uid);
    case IMAP_S_LARGER:
        return x->row->size > (uint64_t)node->number;
    case IMAP_S_SMALLER:
        return x->row->size < (uint64_t)node->number;
    case IMAP_S_BEFORE:
        return day < node->number;
    case IMAP_S_ON:
        return day == node->number;
    case IMAP_S_SINCE:
        return day >= node->number;
    default:
        return text_leaf(x, node);
    }
}

/* Keywords by number, for this search. */
static void
number_keywords(struct match *x)
{
    const struct account *a = x->s->account;

    for (size_t i = 0; i < x->want.n; i++) {
        struct imap_search_node *node = &x->want.nodes[i];

        node->number = node->op == IMAP_S_KEYWORD ? -1 : node->number;
        for (uint32_t k = 0; node->op == IMAP_S_KEYWORD && k < a->n_names; k++)
            if (a->names[k].p != NULL && slice_eq_nocase(a->names[k], node->text))
                node->number = k;
    }
}

/* What a row cannot answer: reads no more of the message than the answer needs. */
static bool
matches(struct match *x, struct message *m)
{
    int got = -1;

    x->m = m;
    buf_clear(&x->header);
    x->st = message_header(m, &x->header);
    x->depth = BY_HEADER;
    if (x->st == ST_OK)
        got = imap_search_eval(&x->want, leaf, x);
    if (got < 0 && x->st == ST_OK) {
        x->depth = BY_BODY;
        got = imap_search_eval(&x->want, leaf, x);
    }
    if (x->st == ST_NOTFOUND || x->st == ST_LIMIT) { /* it is gone, or is no mail */
        x->st = ST_OK;
        return false;
    }
    return x->st == ST_OK && got > 0;
}

static enum status
search_rows(struct match *x, struct uidset *found, struct uidset *unsure)
{
    AUTO_CURSOR rows = CURSOR(x->s, MSG_MESSAGES, &x->s->box.view, ROWS_BATCH);
    struct message_row row;
    enum status st = ST_OK;

    x->depth = BY_ROW;
    while (st == ST_OK && !x->s->over && next_message(&rows, &row)) {
        int got;

        x->row = &row;
        got = imap_search_eval(&x->want, leaf, x);
        if (got != 0)
            st = uidset_append(got > 0 ? found : unsure, row.uid, row.uid);
        fiber_yield_if_long();
    }
    return st == ST_OK ? rows.st : st;
}

/* Those whose rows did not tell, with their first bytes, many at a time. */
static enum status
search_texts(struct match *x, const struct uidset *unsure, struct uidset *found)
{
    bool body = (x->want.needs & IMAP_NEEDS_BODY) != 0;
    uint32_t batch = body ? HEAD_BODIES : HEAD_HEADERS;
    AUTO_CURSOR rows = CURSOR(x->s, MSG_MESSAGES, unsure, ROWS_BATCH);
    AUTO_CURSOR heads = CURSOR(x->s, MSG_HEADS, unsure, batch);
    AUTO_CURSOR digests = CURSOR(x->s, MSG_DIGESTS, unsure, batch);
    struct digest_row digest = {0};
    struct message_row row;
    struct head_row head = {0};
    enum status st = ST_OK;

    heads.head = body ? HEAD_BODY : HEAD_HEADER;
    while (st == ST_OK && !x->s->over && !x->s->stream.broken && next_message(&rows, &row)) {
        AUTO_MESSAGE m = MESSAGE(x->s, row.uid, row.size);

        while (head.uid < row.uid && next_head(&heads, &head))
            ;
        while (body && digest.uid < row.uid && next_digest(&digests, &digest))
            ;
        if (head.uid == row.uid)
            message_take_head(&m, head.bytes);
        if (digest.uid == row.uid)
            message_take_digest(&m, &digest);
        x->row = &row;
        if (matches(x, &m))
            st = uidset_append(found, row.uid, row.uid);
        st = st == ST_OK ? x->st : st;
        fiber_yield_if_long();
    }
    return st == ST_OK ? rows.st : st;
}

/* Both sets as one list: the next of the two. */
static uint32_t
take_next(const struct uidset *a, uint32_t *i, const struct uidset *b, uint32_t *k)
{
    uint32_t x = uidset_at(a, *i + 1), y = uidset_at(b, *k + 1);

    if (x == 0 || (y != 0 && y < x)) {
        (*k)++;
        return y;
    }
    (*i)++;
    return x;
}

static void
put_found(struct session *s, struct command *c, const struct uidset *a, const struct uidset *b)
{
    uint32_t i = 0, k = 0, uid;

    buf_puts(&c->text, "* SEARCH");
    while (!s->over && (uid = take_next(a, &i, b, &k)) != 0) {
        buf_putc(&c->text, ' ');
        buf_put_u64(&c->text, c->in.uid ? uid : uidset_seq(&s->box.view, uid));
        session_put_text(s, &c->text, false);
        fiber_yield_if_long();
    }
    buf_puts(&c->text, "\r\n");
}

static void
search(struct match *x, struct command *c)
{
    struct uidset found = {0}, unsure = {0}, late = {0};
    enum status st = search_rows(x, &found, &unsure);

    if (st == ST_OK && unsure.n > 0)
        st = search_texts(x, &unsure, &late);
    if (st == ST_OK) {
        put_found(x->s, c, &found, &late);
        answer(c, "OK SEARCH completed");
    } else {
        answer_status(c, st);
    }
    uidset_done(&found);
    uidset_done(&unsure);
    uidset_done(&late);
}

void
on_search(struct session *s, struct command *c)
{
    struct match x = {.s = s, .header = BUF_INIT(HEADER_MOST + READ_SLICE)};
    const char *why;
    enum status st = imap_args_search(c->in.args, &c->arena, &x.want, &why);

    if (st == ST_UNSUPPORTED) {
        answer(c, "NO [BADCHARSET (US-ASCII UTF-8)] Unknown CHARSET");
        return;
    }
    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    for (size_t i = 0; i < x.want.n; i++)
        if (x.want.nodes[i].op == IMAP_S_SEQ &&
            imap_seqset_largest(&x.want.nodes[i].set) > s->box.view.count) {
            answer_bad(s, c, "No message has such a number");
            return;
        }
    imap_search_resolve(&x.want, s->box.view.count, uidset_last(&s->box.view));
    number_keywords(&x);
    search(&x, c);
    buf_done(&x.header);
}
