#include <sys/random.h>

#include "imap/args.h"
#include "imap/mailbox.h"
#include "maa/imap/session.h"

#define FLAGS_BATCH 2048u
#define RUNS_MOST   5000u

/* --- STORE --- */

/* "* 3 FETCH (UID 7 MODSEQ (12))": RFC 7162 3.1.3 wants it also after .SILENT. */
static void
tell_modseq(struct session *s, struct buf *out, const struct change_row *row)
{
    if (s->enabled & ENABLED_CONDSTORE)
        buf_printf(out, "* %u FETCH (UID %u MODSEQ (%llu))\r\n", uidset_seq(&s->box.view, row->uid), row->uid,
                   (unsigned long long)row->modseq);
}

/* One request's answer: told when out is not NULL. */
static enum status
on_changed(struct session *s, const struct buf *reply, struct flag_change *change, struct buf *out,
           uint32_t *last, bool *more)
{
    struct change_row row;
    struct slice rows;
    enum status st = take_rows(reply, &rows, more);

    if (st != ST_OK)
        return st;
    while (change_row_take(&rows, &row)) {
        *last = row.uid;
        if (row.gone || !uidset_has(&s->box.view, row.uid))
            continue;
        if (out != NULL && (!change->silent || row.refused))
            remember_own(s, row.uid, row.modseq);
        else
            remember_untold(s, row.uid, row.before, row.modseq);
        if (uidset_add(row.refused ? &change->modified : &change->done, row.uid) != ST_OK)
            return ST_MEMORY;
        if (out == NULL)
            continue;
        prepare_keywords(s, row.keywords);
        if (change->silent && !row.refused)
            tell_modseq(s, out, &row);
        else
            tell_flags(s, out, row.uid, row.flags, row.keywords, row.modseq);
        session_put_text(s, out, false);
    }
    return ST_OK;
}

enum status
change_flags(struct session *s, const struct uidset *of, struct flag_change *change, struct buf *out)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    uint32_t next = of->n > 0 ? of->runs[0].first : 0;

    while (next != 0 && !s->over) {
        AUTO_BUF uids = BUF_INIT(RUNS_MOST * 8), m = BUF_INIT(IPC_INLINE);
        uint32_t last = 0;
        bool more;
        enum status st;

        if (uidset_pack(of, next, FLAGS_BATCH, RUNS_MOST, &uids, &next) == 0)
            break;
        flags_change_put(&m, &(struct flags_change){0, s->box.id, buf_slice(&uids), (uint8_t)change->op,
                                                    change->flags, change->keywords, change->unchanged_since});
        st = session_ask(s, MSG_FLAGS, &m, &reply, true);
        if (st == ST_OK)
            st = on_changed(s, &reply, change, out, &last, &more);
        if (st != ST_OK)
            return st;
        if (more && last != 0 && last < UINT32_MAX)
            next = last + 1;
    }
    return ST_OK;
}

/* Of these nothing was said, for nothing changed: still RFC 3501 6.4.6 wants their flags. */
static enum status
tell_unchanged(struct session *s, struct uidset *of, const struct flag_change *told, struct buf *out)
{
    struct message_row row;
    enum status st = uidset_subtract(of, &told->done);

    if (st == ST_OK)
        st = uidset_subtract(of, &told->modified);
    if (st == ST_OK && of->n > 0) {
        AUTO_CURSOR rows = CURSOR(s, MSG_MESSAGES, of, FLAGS_BATCH);

        while (!s->over && next_message(&rows, &row)) {
            prepare_keywords(s, row.keywords);
            tell_flags(s, out, row.uid, row.flags, row.keywords, row.modseq);
            session_put_text(s, out, false);
        }
        st = rows.st;
    }
    return st;
}

struct slice
pack_keywords(struct arena *a, const struct imap_flags *flags)
{
    AUTO_BUF packed = BUF_INIT(IMAP_KEYWORDS_MAX * (IMAP_KEYWORD_MAX + 8));

    for (size_t i = 0; i < flags->n; i++)
        msg_name_put(&packed, &(struct msg_name){flags->keywords[i]});
    return arena_copy(a, buf_slice(&packed));
}

/* RFC 7162 3.1.3: by number, or by UID as they were asked for. */
static enum status
put_modified(struct session *s, const struct uidset *modified, bool uid, struct buf *out)
{
    struct uidset seqs = {0};
    enum status st = ST_OK;

    for (size_t i = 0; !uid && st == ST_OK && i < modified->n; i++)
        st = uidset_append(&seqs, uidset_seq(&s->box.view, modified->runs[i].first),
                           uidset_seq(&s->box.view, modified->runs[i].last));
    buf_puts(out, "[MODIFIED ");
    uidset_put(uid ? modified : &seqs, out);
    buf_puts(out, "] ");
    uidset_done(&seqs);
    return st;
}

static void
answer_store(struct session *s, struct command *c, const struct uidset *modified, bool missing)
{
    buf_puts(&c->answer, missing && !c->in.uid ? "NO " : "OK ");
    if (modified->n > 0 && put_modified(s, modified, c->in.uid, &c->answer) != ST_OK)
        answer_status(c, ST_MEMORY);
    else if (missing && !c->in.uid)
        buf_printf(&c->answer, "%sSome of these messages are gone", modified->n > 0 ? "" : "[EXPUNGEISSUED] ");
    else
        buf_puts(&c->answer, modified->n > 0 ? "Conditional STORE failed" : "STORE completed");
}

static void
store(struct session *s, struct command *c, struct imap_store *want, struct uidset *of, bool missing)
{
    static const enum flags_op ops[] = {
        [IMAP_STORE_SET] = FLAGS_REPLACE, [IMAP_STORE_ADD] = FLAGS_ADD, [IMAP_STORE_REMOVE] = FLAGS_REMOVE};
    struct flag_change change = {.op = ops[want->mode],
                                 .flags = (uint16_t)want->flags.system,
                                 .keywords = pack_keywords(&c->arena, &want->flags),
                                 .unchanged_since = want->conditional ? want->modseq : UINT64_MAX,
                                 .silent = want->silent};
    bool quiet = want->silent && (s->enabled & ENABLED_CONDSTORE) == 0;
    enum status st = change_flags(s, of, &change, quiet ? NULL : &c->text);

    if (st == ST_OK && !want->silent)
        st = tell_unchanged(s, of, &change, &c->text);
    if (st == ST_OK)
        /* RFC 2180 4.2.1: in silence NO would be taken for "not done"; RFC 7162 3.1.3, example 11. */
        answer_store(s, c, &change.modified, missing && (!want->silent || change.modified.n > 0));
    else
        answer_status(c, st);
    uidset_done(&change.done);
    uidset_done(&change.modified);
}

void
on_store(struct session *s, struct command *c)
{
    struct uidset of = {0};
    struct imap_store want;
    const char *why;
    bool missing;
    enum status st = imap_args_store(c->in.args, &c->arena, &want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    if (want.conditional)
        enable_condstore(s, &c->text);
    st = select_messages(s, &want.set, c->in.uid, &of, &missing);
    if (st != ST_OK)
        answer_parse(s, c, st, "No message has such a number");
    else if (s->box.read_only)
        answer(c, "NO [READ-ONLY] The mailbox was opened to be read only");
    else
        store(s, c, &want, &of, missing);
    uidset_done(&of);
}

/* RFC 7162 3.2.7: "OK [HIGHESTMODSEQ 12] " once all up to there was told, expunges too. */
static void
put_ok_after_expunge(struct session *s, struct command *c, bool any)
{
    buf_puts(&c->answer, "OK ");
    if (!any || (s->enabled & ENABLED_QRESYNC) == 0)
        return;
    s->hinted = true;
    if (tell_changes(s, true) && !s->over)
        buf_printf(&c->answer, "[HIGHESTMODSEQ %llu] ", (unsigned long long)s->box.modseq);
}

/* --- COPY, MOVE --- */

struct copying {
    struct uidset from, to; /* what was done so far */
    uint32_t uidvalidity;
    bool untold; /* some was done whose numbers were lost with an answer */
};

/* One request's answer. Sources ascend, and so do their copies. */
static enum status
on_copied(struct copying *done, const struct buf *reply, uint32_t *next)
{
    struct copied_row row;
    struct slice rows;
    bool more;
    enum status st = take_rows(reply, &rows, &more);

    done->untold |= st == ST_OK && rows.n == 0;
    while (st == ST_OK && copied_row_take(&rows, &row)) {
        done->uidvalidity = row.uidvalidity;
        st = uidset_append(&done->from, row.from, row.from);
        if (st == ST_OK)
            st = uidset_append(&done->to, row.uid, row.uid);
        if (more)
            *next = row.from + 1;
    }
    return st;
}

static enum status
copy_all(struct session *s, const struct uidset *of, uint64_t to, bool move, struct copying *done)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    uint32_t next = of->runs[0].first;
    enum status st = ST_OK;

    while (st == ST_OK && next != 0) {
        AUTO_BUF uids = BUF_INIT(RUNS_MOST * 8), m = BUF_INIT(IPC_INLINE);
        uint8_t request[16]; /* by it, asked again, it is done once */

        if (uidset_pack(of, next, UINT32_MAX, RUNS_MOST, &uids, &next) == 0)
            break;
        if (getrandom(request, sizeof request, 0) != sizeof request)
            return ST_UNAVAILABLE;
        copy_put(&m, &(struct copy){0, s->box.id, buf_slice(&uids), to, move,
                                    slice_from(request, sizeof request)});
        st = session_ask(s, MSG_COPY, &m, &reply, true);
        if (st == ST_OK)
            st = on_copied(done, &reply, &next);
    }
    return st;
}

/* "[COPYUID 7 1:2,5 1:3] " (RFC 4315 3) */
static void
put_copyuid(struct buf *out, const struct copying *done)
{
    if (done->from.n == 0 || done->untold)
        return;
    buf_printf(out, "[COPYUID %u ", done->uidvalidity);
    uidset_put(&done->from, out);
    buf_putc(out, ' ');
    uidset_put(&done->to, out);
    buf_puts(out, "] ");
}

static void
copy(struct session *s, struct command *c, const struct uidset *of, uint64_t to)
{
    struct copying done = {0};
    bool move = c->in.verb == IMAP_MOVE;
    enum status st = copy_all(s, of, to, move, &done);

    s->hinted |= to == s->box.id || done.untold;
    if (move && done.from.n > 0) { /* RFC 6851 4.3: before the expunges, untagged */
        buf_puts(&c->text, "* OK ");
        put_copyuid(&c->text, &done);
        buf_puts(&c->text, "Moved\r\n");
        session_put_text(s, &c->text, true);
        tell_gone(s, &done.from);
    }
    if (st != ST_OK) {
        answer_status(c, st == ST_NOTFOUND ? ST_UNAVAILABLE : st);
    } else {
        put_ok_after_expunge(s, c, move && done.from.n > 0);
        if (!move)
            put_copyuid(&c->answer, &done);
        buf_printf(&c->answer, "%s completed", imap_verb_name(c->in.verb));
    }
    uidset_done(&done.from);
    uidset_done(&done.to);
}

/* COPY and MOVE */
void
on_copy(struct session *s, struct command *c)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct uidset of = {0};
    struct mailbox_row row;
    struct imap_copy want;
    const char *why;
    bool missing;
    enum status st = imap_args_copy(c->in.args, &c->arena, &want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    st = select_messages(s, &want.set, c->in.uid, &of, &missing);
    if (st != ST_OK) {
        answer_parse(s, c, st, "No message has such a number");
        uidset_done(&of);
        return;
    }
    st = find_mailbox(s, want.mailbox, false, &reply, &row);
    if (st == ST_NOTFOUND)
        answer(c, "NO [TRYCREATE] No such mailbox");
    else if (st != ST_OK)
        answer_status(c, st);
    else if (s->box.read_only && c->in.verb == IMAP_MOVE)
        answer(c, "NO [READ-ONLY] The mailbox was opened to be read only");
    else if (missing && !c->in.uid) /* RFC 2180 4.4.1; RFC 3501 6.4.7: after NO nothing is copied */
        answer(c, "NO [EXPUNGEISSUED] Some of these messages are gone, nothing was done");
    else if (of.n == 0)
        answer(c, "OK %s completed, there was nothing to do", imap_verb_name(c->in.verb));
    else
        copy(s, c, &of, row.mailbox);
    uidset_done(&of);
}

/* --- EXPUNGE --- */

static enum status
read_gone(const struct buf *reply, struct uidset *gone)
{
    struct msg_bytes m;
    struct uid_run run;
    enum status st = ST_OK;

    if (!msg_bytes_get(buf_slice(reply), &m))
        return ST_CORRUPT;
    while (st == ST_OK && uid_run_take(&m.bytes, &run))
        st = uidset_append(gone, run.first, run.last);
    return st;
}

/* EXPUNGE and UID EXPUNGE (RFC 4315 2.1) */
void
on_expunge(struct session *s, struct command *c)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct uidset of = {0}, gone = {0};
    uint32_t next = 0;
    bool missing, all = !c->in.uid;
    enum status st = ST_OK;

    if (c->in.uid) {
        struct imap_seqset set;
        const char *why;

        st = imap_args_set(c->in.args, &c->arena, &set, &why);
        if (st != ST_OK) {
            answer_parse(s, c, st, why);
            return;
        }
        st = select_messages(s, &set, true, &of, &missing);
        next = of.n > 0 ? of.runs[0].first : 0;
    }
    if (s->box.read_only) {
        answer(c, "NO [READ-ONLY] The mailbox was opened to be read only");
        uidset_done(&of);
        return;
    }
    while (st == ST_OK && (all || next != 0)) {
        AUTO_BUF uids = BUF_INIT(RUNS_MOST * 8), m = BUF_INIT(IPC_INLINE);

        if (!all)
            (void)uidset_pack(&of, next, UINT32_MAX, RUNS_MOST, &uids, &next);
        all = false;
        expunge_put(&m, &(struct expunge){0, s->box.id, buf_slice(&uids), 1});
        st = session_ask(s, MSG_EXPUNGE, &m, &reply, true);
        if (st == ST_OK)
            st = read_gone(&reply, &gone);
    }
    tell_gone(s, &gone);
    if (st == ST_OK) {
        put_ok_after_expunge(s, c, gone.n > 0);
        buf_puts(&c->answer, "EXPUNGE completed");
    } else {
        answer_status(c, st);
    }
    uidset_done(&of);
    uidset_done(&gone);
}
