#include "imap/search.h"

#include <time.h>

#include "maa/imap/message.h"
#include "mime/charset.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/header.h"
#include "mime/transfer.h"

#define ROWS_BATCH 1024u
#define PIECE      (16u * 1024u) /* decoded and compared at a time: about a millisecond */
#define PIECE_TEXT (PIECE * 20u) /* what may become of it: two bytes of UTF-16 may be 33 of their casemap */
#define FIELD_TEXT (HEADER_MOST * 6u)
#define DAY_NS     86400000000000

/* What a message can be asked so far: its row; its header too; its body too. */
enum depth { BY_ROW, BY_HEADER, BY_BODY };

/* What was found. Rows are asked first, texts later: numbers come in two ascending runs of their own. */
struct findings {
    struct uidset by_row, by_text;
    uint32_t least, most;                   /* UIDs */
    uint64_t least_modseq, most_modseq, modseq; /* theirs, and the highest of all (RFC 7162 3.1.5) */
};

struct match {
    struct session *s;
    struct imap_search want;
    const struct message_row *row;
    struct message *m;
    struct buf header;
    struct buf decoded, utf8, folded; /* of the piece of text that is looked at */
    int64_t now;                      /* seconds */
    enum depth depth;
    enum status st; /* why the message could not be read */
};

static int64_t
floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* --- text --- */

/* A part's text on its way through its encodings. Of what was compared before, so much is kept in x->folded as a
 * match may need that ends in the next piece. */
struct flow {
    struct transfer transfer;
    struct charset charset;
};

static bool
found_in(struct match *x, struct flow *f, struct slice bytes, bool last, struct slice needle)
{
    buf_clear(&x->decoded);
    buf_clear(&x->utf8);
    transfer_feed(&f->transfer, bytes, &x->decoded);
    if (last)
        transfer_end(&f->transfer, &x->decoded);
    charset_feed(&f->charset, buf_slice(&x->decoded), &x->utf8);
    if (last)
        charset_end(&f->charset, &x->utf8);
    mime_put_casemap(&x->folded, buf_slice(&x->utf8));
    if (!buf_ok(&x->decoded) || !buf_ok(&x->utf8) || !buf_ok(&x->folded)) {
        x->st = ST_MEMORY;
        return false;
    }
    if (slice_find_slice(buf_slice(&x->folded), needle) < x->folded.n)
        return true;
    if (x->folded.n >= needle.n)
        buf_eat(&x->folded, x->folded.n - needle.n + 1);
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
    uint64_t at = part->body_at, end = part->body_at + part->body;
    struct flow f;
    bool found = false;

    transfer_init(&f.transfer, part->encoding);
    charset_init(&f.charset, charset_of(part));
    buf_clear(&x->folded);
    while (at < end && !found && x->st == ST_OK) {
        struct slice bytes;

        x->st = message_read(x->m, at, end - at < PIECE ? end - at : PIECE, &bytes);
        if (x->st != ST_OK)
            break;
        at += bytes.n;
        found = found_in(x, &f, bytes, at == end, needle);
        fiber_yield_if_long();
    }
    return found;
}

/* In a field's name or its decoded value. */
static bool
field_contains(struct match *x, struct slice text, struct slice needle)
{
    buf_clear(&x->utf8);
    buf_clear(&x->folded);
    mime_put_words(&x->utf8, text);
    mime_put_casemap(&x->folded, buf_slice(&x->utf8));
    return slice_find_slice(buf_slice(&x->folded), needle) < x->folded.n;
}

static bool
header_contains(struct match *x, struct slice header, struct slice needle)
{
    struct mime_field field;

    while (take_field(&header, &field)) {
        if (field_contains(x, field.whole, needle))
            return true;
        fiber_yield_if_long();
    }
    return false;
}

/* The text of all its text parts, and the headers of messages in it; with `headers`, as for TEXT, of all parts. */
static bool
body_contains(struct match *x, struct slice needle, bool headers)
{
    struct digest_cursor c;
    struct digest_part part;

    x->st = message_digest(x->m);
    if (x->st != ST_OK)
        return false;
    for (c = digest_parts(&x->m->view); x->st == ST_OK && digest_next(&c, &part);) {
        if (part.depth > 0 && (headers || (part.flags & PART_ENVELOPE))) {
            AUTO_BUF header = BUF_INIT(HEADER_MOST);

            x->st = message_copy(x->m, part.header_at, part.header, &header);
            if (x->st == ST_OK && header_contains(x, buf_slice(&header), needle))
                return true;
        }
        if (x->st == ST_OK && (part.flags & PART_TEXT) && part_contains(x, &part, needle))
            return true;
    }
    return false;
}

static bool
has_field(struct match *x, struct slice name, struct slice needle)
{
    struct slice header = buf_slice(&x->header);
    struct mime_field field;

    while (take_field(&header, &field)) {
        if (slice_eq_nocase(field.name, name) && (needle.n == 0 || field_contains(x, field.value, needle)))
            return true;
        fiber_yield_if_long();
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
        return has_field(x, node->name, node->text);
    case IMAP_S_TEXT:
        if (node->text.n == 0 || header_contains(x, buf_slice(&x->header), node->text))
            return 1;
        return x->depth == BY_HEADER ? -1 : body_contains(x, node->text, true);
    default: /* IMAP_S_BODY */
        if (node->text.n == 0)
            return 1;
        return x->depth == BY_HEADER ? -1 : body_contains(x, node->text, false);
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
    case IMAP_S_UID:
        if (node->set.saved)
            return uidset_has(&x->s->box.saved, x->row->uid);
        return imap_seqset_has(&node->set, node->op == IMAP_S_UID
                                               ? x->row->uid
                                               : uidset_seq(&x->s->box.view, x->row->uid));
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
    case IMAP_S_OLDER: /* RFC 5032 3: both have the second itself */
        return floor_div(x->row->internaldate, 1000000000) <= x->now - node->number;
    case IMAP_S_YOUNGER:
        return floor_div(x->row->internaldate, 1000000000) >= x->now - node->number;
    case IMAP_S_MODSEQ:
        return x->row->modseq >= (uint64_t)node->number;
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
add_found(struct findings *f, struct uidset *to, const struct message_row *row)
{
    if (f->least == 0 || row->uid < f->least) {
        f->least = row->uid;
        f->least_modseq = row->modseq;
    }
    if (row->uid > f->most) {
        f->most = row->uid;
        f->most_modseq = row->modseq;
    }
    f->modseq = row->modseq > f->modseq ? row->modseq : f->modseq;
    return uidset_append(to, row->uid, row->uid);
}

static enum status
search_rows(struct match *x, struct findings *found, struct uidset *unsure)
{
    AUTO_CURSOR rows = CURSOR(x->s, MSG_MESSAGES, &x->s->box.view, ROWS_BATCH);
    struct message_row row;
    enum status st = ST_OK;

    x->depth = BY_ROW;
    while (st == ST_OK && !x->s->over && next_message(&rows, &row)) {
        int got;

        x->row = &row;
        got = imap_search_eval(&x->want, leaf, x);
        if (got > 0)
            st = add_found(found, &found->by_row, &row);
        else if (got < 0)
            st = uidset_append(unsure, row.uid, row.uid);
        fiber_yield_if_long();
    }
    return st == ST_OK ? rows.st : st;
}

/* Those whose rows did not tell, with their first bytes, many at a time. */
static enum status
search_texts(struct match *x, const struct uidset *unsure, struct findings *found)
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
            st = add_found(found, &found->by_text, &row);
        st = st == ST_OK ? x->st : st;
        fiber_yield_if_long();
    }
    return st == ST_OK ? rows.st : st;
}

/* --- answers --- */

/* Both sets as one list: the next of the two. */
static uint32_t
take_next(const struct findings *f, uint32_t *i, uint32_t *k)
{
    uint32_t x = uidset_at(&f->by_row, *i + 1), y = uidset_at(&f->by_text, *k + 1);

    if (x == 0 || (y != 0 && y < x)) {
        (*k)++;
        return y;
    }
    (*i)++;
    return x;
}

static uint32_t
number_of(const struct match *x, const struct command *c, uint32_t uid)
{
    return c->in.uid ? uid : uidset_seq(&x->s->box.view, uid);
}

/* " 1 2 3 5", or as a set "1:3,5". */
static void
put_found(struct match *x, struct command *c, const struct findings *f, bool set)
{
    uint32_t i = 0, k = 0, uid, first = 0, last = 0;

    while (!x->s->over && (uid = take_next(f, &i, &k)) != 0) {
        uint32_t n = number_of(x, c, uid);

        if (!set) {
            buf_putc(&c->text, ' ');
            buf_put_u64(&c->text, n);
        } else if (first != 0 && n == last + 1) {
            last = n;
        } else {
            if (first != 0)
                buf_printf(&c->text, last > first ? "%u:%u," : "%u,", first, last);
            first = last = n;
        }
        session_put_text(x->s, &c->text, false);
        fiber_yield_if_long();
    }
    if (first != 0)
        buf_printf(&c->text, last > first ? "%u:%u" : "%u", first, last);
}

/* RFC 7162 3.1.6: of all that is told of. */
static uint64_t
told_modseq(const struct match *x, const struct findings *f)
{
    unsigned ends = x->want.returns & (IMAP_RETURN_MIN | IMAP_RETURN_MAX);

    if (ends == 0 || (x->want.returns & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT)))
        return f->modseq;
    if (ends == IMAP_RETURN_MIN || (ends != IMAP_RETURN_MAX && f->least_modseq > f->most_modseq))
        return f->least_modseq;
    return f->most_modseq;
}

/* RFC 4731 3.1, 3.2; RFC 9051 7.3.4 */
static void
put_esearch(struct match *x, struct command *c, const struct findings *f)
{
    unsigned returns = x->want.extended ? x->want.returns : IMAP_RETURN_ALL;
    struct buf *out = &c->text;

    if (returns == IMAP_RETURN_SAVE) /* RFC 5182 2.2: nothing is told */
        return;
    buf_puts(out, "* ESEARCH (TAG ");
    imap_put_string(out, c->in.tag);
    buf_puts(out, c->in.uid ? ") UID" : ")");
    if ((returns & IMAP_RETURN_MIN) && f->least != 0)
        buf_printf(out, " MIN %u", number_of(x, c, f->least));
    if ((returns & IMAP_RETURN_MAX) && f->most != 0)
        buf_printf(out, " MAX %u", number_of(x, c, f->most));
    if (returns & IMAP_RETURN_COUNT)
        buf_printf(out, " COUNT %u", f->by_row.count + f->by_text.count);
    if ((returns & IMAP_RETURN_ALL) && f->most != 0) {
        buf_puts(out, " ALL ");
        put_found(x, c, f, true);
    }
    if (x->want.modseq && f->most != 0)
        buf_printf(out, " MODSEQ %llu", (unsigned long long)told_modseq(x, f));
    buf_puts(out, "\r\n");
}

static void
put_search(struct match *x, struct command *c, const struct findings *f)
{
    if (x->want.extended || (x->s->enabled & ENABLED_REV2)) {
        put_esearch(x, c, f);
        return;
    }
    buf_puts(&c->text, "* SEARCH");
    put_found(x, c, f, false);
    if (x->want.modseq && f->most != 0)
        buf_printf(&c->text, " (MODSEQ %llu)", (unsigned long long)f->modseq);
    buf_puts(&c->text, "\r\n");
}

/* RFC 5182 2.1, 2.4: MIN and MAX alone save what they tell. */
static enum status
save(struct match *x, const struct findings *f)
{
    unsigned returns = x->want.returns;
    struct uidset kept = {0};
    uint32_t i = 0, k = 0, uid;
    enum status st = ST_OK;

    if ((returns & (IMAP_RETURN_MIN | IMAP_RETURN_MAX)) && !(returns & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT))) {
        if ((returns & IMAP_RETURN_MIN) && f->least != 0)
            st = uidset_append(&kept, f->least, f->least);
        if (st == ST_OK && (returns & IMAP_RETURN_MAX) && f->most > uidset_last(&kept))
            st = uidset_append(&kept, f->most, f->most);
    } else {
        while (st == ST_OK && (uid = take_next(f, &i, &k)) != 0) {
            st = uidset_append(&kept, uid, uid);
            fiber_yield_if_long();
        }
    }
    if (st != ST_OK) {
        uidset_done(&kept);
        return st;
    }
    uidset_trim(&kept);
    uidset_done(&x->s->box.saved);
    x->s->box.saved = kept;
    return ST_OK;
}

static void
search(struct match *x, struct command *c)
{
    struct findings found = {0};
    struct uidset unsure = {0};
    enum status st = search_rows(x, &found, &unsure);

    if (st == ST_OK && unsure.n > 0)
        st = search_texts(x, &unsure, &found);
    if (st == ST_OK && (x->want.returns & IMAP_RETURN_SAVE))
        st = save(x, &found);
    if (st == ST_OK) {
        put_search(x, c, &found);
        answer(c, "OK SEARCH completed");
    } else {
        answer_status(c, st);
    }
    uidset_done(&found.by_row);
    uidset_done(&found.by_text);
    uidset_done(&unsure);
}

/* --- before it begins --- */

/* Texts as they are compared: in UTF-8, then their casemap. */
static enum status
prepare_texts(struct match *x, struct arena *a)
{
    for (size_t i = 0; i < x->want.n; i++) {
        struct imap_search_node *node = &x->want.nodes[i];

        if (node->op != IMAP_S_HEADER && node->op != IMAP_S_BODY && node->op != IMAP_S_TEXT)
            continue;
        buf_clear(&x->utf8);
        buf_clear(&x->folded);
        mime_put_utf8(&x->utf8, x->want.charset, node->text);
        mime_put_casemap(&x->folded, buf_slice(&x->utf8));
        node->text = arena_copy(a, buf_slice(&x->folded));
        if (!buf_ok(&x->utf8) || !buf_ok(&x->folded) || arena_failed(a) || node->text.n > PIECE_TEXT / 2)
            return ST_LIMIT;
    }
    return ST_OK;
}

/* False: answered already. */
static bool
prepare(struct match *x, struct command *c)
{
    struct session *s = x->s;
    struct timespec now;
    const char *why;
    enum status st = imap_args_search(c->in.args, &c->arena, &x->want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return false;
    }
    for (size_t i = 0; i < x->want.n; i++)
        if (x->want.nodes[i].op == IMAP_S_SEQ &&
            imap_seqset_largest(&x->want.nodes[i].set) > s->box.view.count) {
            answer_bad(s, c, "No message has such a number");
            return false;
        }
    if (x->want.charset.p != NULL && (s->enabled & ENABLED_UTF8)) { /* RFC 6855 3 */
        answer_bad(s, c, "CHARSET is not allowed once UTF8=ACCEPT is enabled");
        return false;
    }
    if (x->want.charset.p != NULL && !charset_known(x->want.charset)) {
        answer(c, "NO [BADCHARSET (US-ASCII UTF-8)] Unknown CHARSET");
        return false;
    }
    st = prepare_texts(x, &c->arena);
    if (st != ST_OK) {
        answer_parse(s, c, st, "The text to search for is too long");
        return false;
    }
    if (x->want.modseq)
        enable_condstore(s, &c->text);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    x->now = now.tv_sec;
    imap_search_resolve(&x->want, s->box.view.count, uidset_last(&s->box.view));
    number_keywords(x);
    return true;
}

void
on_search(struct session *s, struct command *c)
{
    struct match x = {.s = s,
                      .header = BUF_INIT(HEADER_MOST + READ_SLICE),
                      .decoded = BUF_INIT(PIECE * 2),
                      .utf8 = BUF_INIT(FIELD_TEXT),
                      .folded = BUF_INIT(FIELD_TEXT + PIECE_TEXT)};

    if (prepare(&x, c))
        search(&x, c);
    if ((x.want.returns & IMAP_RETURN_SAVE) && slice_has_prefix(buf_slice(&c->answer), SLICE("NO ")))
        uidset_done(&s->box.saved); /* RFC 5182 2.1: nothing is left of an older one */
    buf_done(&x.header);
    buf_done(&x.decoded);
    buf_done(&x.utf8);
    buf_done(&x.folded);
}
