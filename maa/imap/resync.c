/* What changed since a mod-sequence that a client knew (RFC 7162). */
#include "maa/imap/session.h"

/* One page. */
static enum status
take_page(const struct buf *reply, struct uidset *changed, struct uidset *gone, uint64_t *modseq, bool *more)
{
    struct change_row row;
    struct slice rows;
    uint64_t before = *modseq;
    enum status st = take_rows(reply, &rows, more);

    while (st == ST_OK && change_row_take(&rows, &row)) {
        if (row.uid == 0)
            return ST_CORRUPT;
        st = uidset_add(row.gone ? gone : changed, row.uid);
        *modseq = row.modseq > *modseq ? row.modseq : *modseq;
        fiber_yield_if_long();
    }
    return st == ST_OK && *more && *modseq == before ? ST_CORRUPT : st;
}

/* RFC 7162 3.2.5.1, 3.2.6: of what went so long ago that it was forgotten, all that is not there is told. */
static enum status
take_all(struct session *s, struct uidset *changed, struct uidset *gone)
{
    struct mailbox_status status;
    enum status st = mailbox_status_of(s, s->box.id, &status);

    uidset_done(changed);
    uidset_done(gone);
    for (size_t i = 0; st == ST_OK && i < s->box.view.n; i++)
        st = uidset_append(changed, s->box.view.runs[i].first, s->box.view.runs[i].last);
    if (st == ST_OK && status.uidnext > 1)
        st = uidset_append(gone, 1, status.uidnext - 1);
    return st;
}

enum status
changes_since(struct session *s, uint64_t modseq, struct uidset *changed, struct uidset *gone)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    bool more = true;
    enum status st = ST_OK;

    while (st == ST_OK && more && !s->over) {
        AUTO_BUF m = BUF_INIT(64);

        change_list_put(&m, &(struct change_list){0, s->box.id, modseq});
        st = session_ask(s, MSG_CHANGES, &m, &reply, true);
        if (st == ST_OK)
            st = take_page(&reply, changed, gone, &modseq, &more);
    }
    if (st == ST_STALE && !s->over)
        st = take_all(s, changed, gone);
    /* What is still in the view has a number, and goes with it. */
    return st == ST_OK ? uidset_subtract(gone, &s->box.view) : st;
}

enum status
put_vanished_earlier(struct session *s, const struct uidset *gone, const struct imap_seqset *among,
                     uint32_t above, struct buf *out)
{
    struct uidset told = {0};
    enum status st = ST_OK;

    for (size_t i = 0; st == ST_OK && i < gone->n; i++)
        for (uint64_t uid = gone->runs[i].first; st == ST_OK && uid <= gone->runs[i].last; uid++) {
            if (uid > above && (among == NULL || imap_seqset_has(among, (uint32_t)uid)))
                st = uidset_append(&told, (uint32_t)uid, (uint32_t)uid);
            fiber_yield_if_long();
        }
    if (st == ST_OK && told.n > 0) {
        buf_puts(out, "* VANISHED (EARLIER) ");
        uidset_put(&told, out);
        buf_puts(out, "\r\n");
        session_put_text(s, out, false);
    }
    uidset_done(&told);
    return st;
}

/* RFC 7162 3.2.5.2: up to the last pair that is still right the client knows what went. */
static uint32_t
last_match(const struct session *s, const struct imap_select *want)
{
    const struct imap_seqset *seqs = &want->match_seqs, *uids = &want->match_uids;
    size_t i = 0, k = 0;
    uint32_t seq = 0, uid = 0, got = 0;

    while (i < seqs->n && k < uids->n) {
        seq = seq < seqs->runs[i].first ? seqs->runs[i].first : seq;
        uid = uid < uids->runs[k].first ? uids->runs[k].first : uid;
        if (seq > s->box.view.count)
            break;
        if (uidset_at(&s->box.view, seq) == uid)
            got = uid;
        if (seq++ == seqs->runs[i].last)
            i++;
        if (uid++ == uids->runs[k].last)
            k++;
        fiber_yield_if_long();
    }
    return got;
}

/* Of the view those that changed and that the client knows, with flags and mod-sequences. */
static enum status
put_changed(struct session *s, const struct uidset *changed, struct imap_select *want, struct buf *out)
{
    struct uidset of = {0};
    struct message_row row;
    enum status st = uidset_common(&s->box.view, changed, &of);

    if (st == ST_OK && of.n > 0) {
        AUTO_CURSOR rows = CURSOR(s, MSG_MESSAGES, &of, 2048);

        while (!s->over && next_message(&rows, &row)) {
            if (row.modseq <= want->modseq || (want->has_known && !imap_seqset_has(&want->known, row.uid)))
                continue;
            session_put_text(s, out, false);
            prepare_keywords(s, row.keywords);
            tell_flags(s, out, row.uid, row.flags, row.keywords, row.modseq);
            fiber_yield_if_long();
        }
        st = rows.st;
    }
    uidset_done(&of);
    return st;
}

enum status
put_resync(struct session *s, struct imap_select *want, struct buf *out)
{
    struct uidset changed = {0}, gone = {0};
    enum status st;

    imap_seqset_resolve(&want->known, 0);
    imap_seqset_resolve(&want->match_seqs, 0);
    imap_seqset_resolve(&want->match_uids, 0);
    st = changes_since(s, want->modseq, &changed, &gone);
    if (st == ST_OK)
        st = put_vanished_earlier(s, &gone, want->has_known ? &want->known : NULL,
                                  want->has_match ? last_match(s, want) : 0, out);
    if (st == ST_OK)
        st = put_changed(s, &changed, want, out);
    uidset_done(&changed);
    uidset_done(&gone);
    return st;
}
