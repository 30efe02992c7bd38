#include "imap/fetch.h"

#include <inttypes.h>

#include "maa/imap/message.h"
#include "mime/date.h"
#include "mime/header.h"
#include "mime/imap_view.h"
#include "mime/transfer.h"

#define ROWS_BATCH   1024u
#define DIGEST_BATCH 256u
#define VIEW_TEXT    (32u << 20) /* a BODYSTRUCTURE; DIGEST_WHOLE with quotes and literals */

struct fetch {
    struct session *s;
    struct command *c;
    struct imap_fetch want;
    bool digests;           /* wanted for every message */
    uint32_t head;          /* first bytes wanted of every message; 0: none */
    struct uidset seen_now; /* \Seen was set by this command */
    bool unknown; /* a part could not be decoded (RFC 3516 4.3) */
    bool begun; /* some of the present message's answer is with the stream: there is no way back */
};

static void
put(struct fetch *f, struct slice bytes)
{
    session_put_text(f->s, &f->c->text, true);
    session_put(f->s, bytes);
    f->begun = true;
}

static enum status
put_view(struct fetch *f, struct message *m, uint32_t item)
{
    AUTO_BUF out = BUF_INIT(VIEW_TEXT);
    enum status st = message_digest(m);

    if (st != ST_OK)
        return st;
    if (item == IMAP_FETCH_ENVELOPE)
        imap_put_envelope(&out, &m->view);
    else
        imap_put_structure(&out, &m->view, item == IMAP_FETCH_BODYSTRUCTURE);
    if (!buf_ok(&out))
        return ST_LIMIT;
    fiber_yield_if_long();
    if (out.n > FLUSH_TEXT)
        put(f, buf_slice(&out));
    else
        buf_put(&f->c->text, buf_slice(&out));
    return ST_OK;
}

/* --- sections --- */

/* Which bytes of the message; ST_NOTFOUND: no such part. */
static enum status
find_range(struct message *m, const struct imap_section *section, struct imap_range *range)
{
    static const enum mime_section kinds[] = {
        [IMAP_SECTION_ALL] = SECTION_ALL,       [IMAP_SECTION_HEADER] = SECTION_HEADER,
        [IMAP_SECTION_FIELDS] = SECTION_HEADER, [IMAP_SECTION_FIELDS_NOT] = SECTION_HEADER,
        [IMAP_SECTION_TEXT] = SECTION_TEXT,     [IMAP_SECTION_MIME] = SECTION_MIME,
    };
    enum status st;

    if (section->n_parts == 0 && section->what == IMAP_SECTION_ALL) {
        *range = (struct imap_range){0, m->size};
        return ST_OK;
    }
    st = message_digest(m);
    if (st == ST_OK)
        st = imap_section_range(&m->view, section->parts, section->n_parts, kinds[section->what], range);
    if (st == ST_OK && (range->at > m->size || range->n > m->size - range->at))
        st = ST_CORRUPT;
    return st;
}

/* RFC 3501 6.4.5: <from.most>, cut to what there is. */
static void
cut(const struct imap_section *section, struct imap_range *range)
{
    uint64_t from = section->from < range->n ? section->from : range->n;

    if (!section->partial)
        return;
    range->at += from;
    range->n -= from;
    if (range->n > section->most)
        range->n = section->most;
}

/* HEADER.FIELDS and its NOT are made; all else is bytes of the message. */
static enum status
put_fields(struct fetch *f, struct message *m, const struct imap_section *section, struct imap_range range)
{
    AUTO_BUF header = BUF_INIT(HEADER_MOST), out = BUF_INIT(HEADER_MOST + 64);
    struct imap_range part;
    enum status st = message_copy(m, range.at, range.n, &header);

    if (st != ST_OK)
        return st;
    mime_put_fields(&out, buf_slice(&header), section->fields, section->n_fields,
                    section->what == IMAP_SECTION_FIELDS_NOT);
    if (!buf_ok(&out))
        return ST_LIMIT;
    part = (struct imap_range){0, out.n};
    cut(section, &part);
    imap_put_section(&f->c->text, section);
    buf_printf(&f->c->text, " {%" PRIu64 "}\r\n", part.n);
    if (part.n > FLUSH_TEXT)
        put(f, slice_sub(buf_slice(&out), (size_t)part.at, (size_t)part.n));
    else
        buf_put(&f->c->text, slice_sub(buf_slice(&out), (size_t)part.at, (size_t)part.n));
    return ST_OK;
}

/* The literal is promised once the first of its bytes are there. Small ones are gathered. */
static enum status
put_range(struct fetch *f, struct message *m, const struct imap_section *section, struct imap_range range)
{
    struct slice bytes = {0};
    enum status st = ST_OK;

    if (range.n > 0)
        st = message_read(m, range.at, range.n, &bytes);
    if (st != ST_OK)
        return st;
    imap_put_section(&f->c->text, section);
    buf_printf(&f->c->text, " {%" PRIu64 "}\r\n", range.n);
    if (range.n <= FLUSH_TEXT && bytes.n == range.n) {
        buf_put(&f->c->text, bytes);
        return ST_OK;
    }
    while (range.n > 0 && !f->s->over) {
        put(f, bytes);
        range.at += bytes.n;
        range.n -= bytes.n;
        st = range.n > 0 ? message_read(m, range.at, range.n, &bytes) : ST_OK;
        if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

/* --- BINARY (RFC 3516 4.2) --- */

/* A part on its way out of its transfer encoding. */
struct decoding {
    struct transfer transfer;
    struct imap_range range; /* not yet read */
    struct buf piece;
};

/* Which part, and how it is encoded: only leaves are (RFC 3516 4.2, RFC 2045 6.4); of the whole message and of parts
 * that hold others the bytes are as they stand. ST_NOTFOUND; ST_UNSUPPORTED: the encoding is not known. */
static enum status
find_encoded(struct message *m, const struct imap_section *section, struct decoding *d)
{
    struct digest_part part;
    enum status st = find_range(m, section, &d->range);

    transfer_init(&d->transfer, (struct slice){0});
    if (st != ST_OK || section->n_parts == 0)
        return st;
    st = imap_find_part(&m->view, section->parts, section->n_parts, &part);
    if (st == ST_OK && (part.flags & (PART_MULTIPART | PART_MESSAGE)) == 0)
        transfer_init(&d->transfer, part.encoding);
    return st == ST_OK && d->transfer.kind == TRANSFER_UNKNOWN ? ST_UNSUPPORTED : st;
}

/* Some more of it in d->piece; perhaps nothing. */
static enum status
decode_more(struct message *m, struct decoding *d)
{
    struct slice bytes;
    enum status st = message_read(m, d->range.at, d->range.n, &bytes);

    buf_clear(&d->piece);
    if (st != ST_OK)
        return st;
    transfer_feed(&d->transfer, bytes, &d->piece);
    d->range.at += bytes.n;
    d->range.n -= bytes.n;
    if (d->range.n == 0)
        transfer_end(&d->transfer, &d->piece);
    fiber_yield_if_long();
    return buf_ok(&d->piece) ? ST_OK : ST_MEMORY;
}

/* How long it is must be said before it is sent: it is decoded twice. */
static enum status
decoded_size(struct message *m, struct decoding d, uint64_t *n)
{
    enum status st = ST_OK;

    d.piece = BUF_INIT(READ_SLICE + sizeof d.transfer.held);
    *n = 0;
    while (st == ST_OK && d.range.n > 0) {
        st = decode_more(m, &d);
        *n += d.piece.n;
    }
    buf_done(&d.piece);
    return st;
}

static enum status
put_decoded(struct fetch *f, struct message *m, struct decoding *d, struct imap_range want)
{
    enum status st = ST_OK;

    d->piece = BUF_INIT(READ_SLICE + sizeof d->transfer.held);
    while (st == ST_OK && want.n > 0 && !f->s->over) {
        struct slice piece;

        st = d->range.n > 0 ? decode_more(m, d) : ST_CORRUPT; /* it was longer a moment ago */
        piece = buf_slice(&d->piece);
        if (st != ST_OK)
            break;
        if (want.at >= piece.n) {
            want.at -= piece.n;
            continue;
        }
        piece = slice_sub(piece, (size_t)want.at, want.n < SIZE_MAX ? (size_t)want.n : SIZE_MAX);
        want = (struct imap_range){0, want.n - piece.n};
        if (piece.n > FLUSH_TEXT || want.n > 0)
            put(f, piece);
        else
            buf_put(&f->c->text, piece);
    }
    buf_done(&d->piece);
    return st;
}

static enum status
put_binary(struct fetch *f, struct message *m, const struct imap_section *section)
{
    struct decoding d = {0};
    struct imap_range want = {0};
    uint64_t size = 0;
    enum status st = find_encoded(m, section, &d);
    bool there = st != ST_NOTFOUND || !m->digested;

    if (st == ST_OK && d.transfer.kind == TRANSFER_IDENTITY)
        size = d.range.n;
    else if (st == ST_OK)
        st = decoded_size(m, d, &size);
    if (st != ST_OK && there)
        return st;
    imap_put_section(&f->c->text, section);
    if (section->as == IMAP_AS_BINARY_SIZE) {
        buf_printf(&f->c->text, " %" PRIu64, size); /* of what is not there, 0: the grammar has no NIL */
        return ST_OK;
    }
    if (!there) {
        buf_puts(&f->c->text, " NIL");
        return ST_OK;
    }
    want.n = size;
    cut(section, &want);
    buf_printf(&f->c->text, " ~{%" PRIu64 "}\r\n", want.n); /* RFC 3516 4.2: literal8, there may be NULs */
    return put_decoded(f, m, &d, want);
}

/* RFC 3516 4.3: what cannot be decoded fails, before anything of the message is sent. */
static enum status
check_binary(struct fetch *f, struct message *m)
{
    for (size_t i = 0; i < f->want.n; i++) {
        const struct imap_section *section = &f->want.sections[i];
        struct decoding d;
        enum status st;

        if (section->as != IMAP_AS_BINARY && section->as != IMAP_AS_BINARY_SIZE)
            continue;
        st = find_encoded(m, section, &d);
        if (st != ST_OK && (st != ST_NOTFOUND || !m->digested))
            return st;
    }
    return ST_OK;
}

static enum status
put_one_section(struct fetch *f, struct message *m, const struct imap_section *section)
{
    struct imap_range range;
    enum status st;

    if (section->as == IMAP_AS_BINARY || section->as == IMAP_AS_BINARY_SIZE)
        return put_binary(f, m, section);
    st = find_range(m, section, &range);
    if (st == ST_NOTFOUND && m->digested) {
        imap_put_section(&f->c->text, section);
        buf_puts(&f->c->text, " NIL");
        return ST_OK;
    }
    if (st != ST_OK)
        return st;
    if (section->what == IMAP_SECTION_FIELDS || section->what == IMAP_SECTION_FIELDS_NOT)
        return put_fields(f, m, section, range);
    cut(section, &range);
    return put_range(f, m, section, range);
}

/* --- messages --- */

/* What stands in the row. */
static void
put_row(struct fetch *f, const struct message_row *row, bool *first)
{
    struct buf *out = &f->c->text;
    uint32_t items = f->want.items;

    if (f->c->in.uid || (items & IMAP_FETCH_UID)) {
        buf_printf(out, "UID %u", row->uid);
        *first = false;
    }
    if ((items & IMAP_FETCH_FLAGS) || uidset_has(&f->seen_now, row->uid)) {
        buf_puts(out, *first ? "" : " ");
        put_flags(f->s, out, row->uid, row->flags, row->keywords);
        *first = false;
    }
    if (items & IMAP_FETCH_INTERNALDATE) {
        int64_t seconds = row->internaldate / 1000000000 - (row->internaldate % 1000000000 < 0);

        buf_puts(out, *first ? "INTERNALDATE " : " INTERNALDATE ");
        mime_put_internaldate(out, seconds, 0);
        *first = false;
    }
    if (items & IMAP_FETCH_SIZE) {
        buf_printf(out, "%sRFC822.SIZE %" PRIu64, *first ? "" : " ", row->size);
        *first = false;
    }
    if ((items & IMAP_FETCH_MODSEQ) ||
        ((f->s->enabled & ENABLED_CONDSTORE) && uidset_has(&f->seen_now, row->uid))) {
        buf_printf(out, "%sMODSEQ (%" PRIu64 ")", *first ? "" : " ", row->modseq);
        *first = false;
    }
}

/* "* 3 FETCH (...)". On failure the caller looks at f->begun. */
static enum status
put_message(struct fetch *f, const struct message_row *row, const struct digest_row *digest,
            struct slice head)
{
    static const struct {
        uint32_t item;
        const char *name;
    } views[] = {
        {IMAP_FETCH_ENVELOPE,      "ENVELOPE "     },
        {IMAP_FETCH_BODY,          "BODY "         },
        {IMAP_FETCH_BODYSTRUCTURE, "BODYSTRUCTURE "},
    };
    AUTO_MESSAGE m = MESSAGE(f->s, row->uid, row->size);
    struct buf *out = &f->c->text;
    bool first = true;
    enum status st = ST_OK;

    if (digest != NULL)
        message_take_digest(&m, digest);
    message_take_head(&m, head);
    st = check_binary(f, &m);
    if (st != ST_OK)
        return st;
    buf_printf(out, "* %u FETCH (", uidset_seq(&f->s->box.view, row->uid));
    put_row(f, row, &first);
    for (size_t i = 0; i < COUNT(views) && st == ST_OK; i++)
        if (f->want.items & views[i].item) {
            buf_puts(out, first ? "" : " ");
            buf_puts(out, views[i].name);
            first = false;
            st = put_view(f, &m, views[i].item);
        }
    for (size_t i = 0; i < f->want.n && st == ST_OK; i++) {
        buf_puts(out, first ? "" : " ");
        first = false;
        st = put_one_section(f, &m, &f->want.sections[i]);
    }
    buf_puts(out, ")\r\n");
    return st;
}

/* RFC 3501 6.4.5: what is not a peek sets \Seen. One request for all, before anything is sent. */
static void
set_seen(struct fetch *f, const struct uidset *wanted)
{
    AUTO_CURSOR rows = CURSOR(f->s, MSG_MESSAGES, wanted, STORE_SLICE_ROWS);
    struct flag_change change = {.op = FLAGS_ADD, .flags = FLAG_SEEN, .unchanged_since = UINT64_MAX};
    struct uidset unseen = {0};
    struct message_row row;

    while (next_message(&rows, &row))
        if ((row.flags & FLAG_SEEN) == 0 && uidset_append(&unseen, row.uid, row.uid) != ST_OK)
            break;
    if (unseen.n > 0 && change_flags(f->s, &unseen, &change, NULL) != ST_OK)
        uidset_done(&change.done); /* the mail is shown all the same */
    f->seen_now = change.done;
    uidset_done(&unseen);
}

/* The digest of that message, if the stored ones have it. */
static const struct digest_row *
digest_of(struct cursor *digests, uint32_t uid, struct digest_row *row)
{
    while (row->uid < uid)
        if (!next_digest(digests, row))
            return NULL;
    return row->uid == uid ? row : NULL;
}

static struct slice
head_of(struct cursor *heads, uint32_t uid, struct head_row *row)
{
    while (row->uid < uid)
        if (!next_head(heads, row))
            return (struct slice){0};
    return row->uid == uid ? row->bytes : (struct slice){0};
}

static void
fetch_all(struct fetch *f, const struct uidset *wanted, bool *missing)
{
    AUTO_CURSOR rows =
        CURSOR(f->s, MSG_MESSAGES, wanted, f->digests || f->want.n > 0 ? DIGEST_BATCH : ROWS_BATCH);
    AUTO_CURSOR digests = CURSOR(f->s, MSG_DIGESTS, wanted, DIGEST_BATCH);
    AUTO_CURSOR heads = CURSOR(f->s, MSG_HEADS, wanted, f->head > HEAD_HEADER ? HEAD_BODIES : HEAD_HEADERS);
    struct digest_row digest = {0};
    struct head_row head = {0};
    struct message_row row;
    uint32_t done = 0;

    heads.head = f->head;

    while (!f->s->over && next_message(&rows, &row)) {
        const struct digest_row *of = f->digests ? digest_of(&digests, row.uid, &digest) : NULL;
        struct slice first = f->head > 0 ? head_of(&heads, row.uid, &head) : (struct slice){0};
        size_t mark;
        enum status st;

        if (f->want.modifiers.changed_since && row.modseq <= f->want.modifiers.modseq) {
            done++;
            continue;
        }
        session_put_text(f->s, &f->c->text, false);
        if (f->want.items & IMAP_FETCH_FLAGS)
            prepare_keywords(f->s, row.keywords);
        mark = f->c->text.n;
        f->begun = false;
        st = put_message(f, &row, of, first);
        if (st != ST_OK && f->begun)
            session_bye(f->s, "[UNAVAILABLE] A message could not be read to its end");
        if (st != ST_OK)
            f->c->text.n = mark;
        else
            done++;
        f->unknown |= st == ST_UNSUPPORTED;
        if (st != ST_OK && st != ST_NOTFOUND && st != ST_UNSUPPORTED) {
            rows.st = st;
            break;
        }
        fiber_yield_if_long();
    }
    if (rows.st != ST_OK)
        answer_status(f->c, rows.st);
    *missing |= done < wanted->count;
}

static bool
is_of_header(const struct imap_section *section)
{
    return section->n_parts == 0 && section->what != IMAP_SECTION_ALL && section->what != IMAP_SECTION_TEXT;
}

/* The set as it was written: "*" may stand above what is there, where messages went (RFC 7162 3.2.6). */
static enum status
copy_set(struct arena *a, const struct imap_seqset *from, struct imap_seqset *to)
{
    *to = *from;
    if (from->n == 0)
        return ST_OK;
    to->runs = arena_array(a, from->n, sizeof *to->runs);
    if (to->runs == NULL)
        return ST_MEMORY;
    memcpy(to->runs, from->runs, from->n * sizeof *to->runs);
    imap_seqset_resolve(to, UINT32_MAX);
    return ST_OK;
}

/* CHANGEDSINCE: of the wanted those that changed; before them, with VANISHED, what went. */
static enum status
narrow(struct fetch *f, const struct imap_seqset *asked, struct uidset *wanted)
{
    struct uidset changed = {0}, gone = {0}, left = {0};
    enum status st = changes_since(f->s, f->want.modifiers.modseq, &changed, &gone);

    if (st == ST_OK && f->want.modifiers.vanished && !asked->saved)
        st = put_vanished_earlier(f->s, &gone, asked, 0, &f->c->text);
    if (st == ST_OK)
        st = uidset_common(wanted, &changed, &left);
    if (st == ST_OK) {
        uidset_done(wanted);
        *wanted = left;
    }
    uidset_done(&changed);
    uidset_done(&gone);
    return st;
}

/* What CONDSTORE and QRESYNC ask first. False: answered. */
static bool
check_modifiers(struct fetch *f)
{
    const struct imap_fetch_modifiers *m = &f->want.modifiers;

    if (m->vanished && (!f->c->in.uid || (f->s->enabled & ENABLED_QRESYNC) == 0)) { /* RFC 7162 3.2.6 */
        answer_bad(f->s, f->c, "VANISHED is for UID FETCH, once QRESYNC is enabled");
        return false;
    }
    if (m->changed_since)
        f->want.items |= IMAP_FETCH_MODSEQ; /* RFC 7162 3.1.4.1 */
    if (f->want.items & IMAP_FETCH_MODSEQ)
        enable_condstore(f->s, &f->c->text);
    return true;
}

void
on_fetch(struct session *s, struct command *c)
{
    struct fetch f = {.s = s, .c = c};
    struct uidset wanted = {0};
    struct imap_seqset asked;
    const char *why;
    bool missing;
    enum status st = imap_args_fetch(c->in.args, &c->arena, &f.want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    if (!check_modifiers(&f))
        return;
    st = copy_set(&c->arena, &f.want.set, &asked);
    if (st == ST_OK)
        st = select_messages(s, &f.want.set, c->in.uid, &wanted, &missing);
    if (st != ST_OK) {
        answer_parse(s, c, st, "No message has such a number");
        uidset_done(&wanted);
        return;
    }
    if (f.want.modifiers.changed_since && (st = narrow(&f, &asked, &wanted)) != ST_OK) {
        answer_status(c, st);
        uidset_done(&wanted);
        return;
    }
    f.digests = (f.want.items & (IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE)) != 0;
    for (size_t i = 0; i < f.want.n; i++) {
        const struct imap_section *section = &f.want.sections[i];
        uint32_t head = is_of_header(section) ? HEAD_HEADER : HEAD_BODY;

        f.digests |= section->n_parts > 0 || section->what != IMAP_SECTION_ALL;
        f.head = head > f.head ? head : f.head;
    }
    if (f.want.sets_seen && !s->box.read_only)
        set_seen(&f, &wanted);
    buf_clear(&c->answer);
    fetch_all(&f, &wanted, &missing);
    if (c->answer.n == 0 && f.unknown)
        answer(c, "NO [UNKNOWN-CTE] A part is encoded in a way that is not known");
    else if (c->answer.n == 0 && missing && !c->in.uid)
        answer(c, "NO [EXPUNGEISSUED] Some of these messages are gone"); /* RFC 2180 4.1.2 */
    else if (c->answer.n == 0)
        answer(c, "OK FETCH completed");
    uidset_done(&f.seen_now);
    uidset_done(&wanted);
}
