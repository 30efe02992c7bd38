#include <stdlib.h>

#include "imap/args.h"
#include "maa/imap/names.h"
#include "maa/imap/views.h"

#define LIST_BATCH 4096u
#define OWN_MAX    (1u << 20) /* bytes; past it own changes are told twice, which is allowed */

struct own_change {
    uint32_t uid;
    uint64_t modseq;
};

/* --- own changes --- */

void
remember_own(struct session *s, uint32_t uid, uint64_t modseq)
{
    struct own_change own;

    if (modseq <= s->box.modseq)
        return;
    memset(&own, 0, sizeof own); /* its padding too: it is compared as bytes */
    own.uid = uid;
    own.modseq = modseq;
    s->box.own.max = OWN_MAX;
    buf_put(&s->box.own, slice_from(&own, sizeof own));
    s->box.own.failed = false;
}

static int
compare_own(const void *a, const void *b)
{
    const struct own_change *x = a, *y = b;

    if (x->modseq != y->modseq)
        return x->modseq < y->modseq ? -1 : 1;
    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static void
sort_own(struct session *s)
{
    if (s->box.own.n > 0)
        qsort(s->box.own.p, s->box.own.n / sizeof(struct own_change), sizeof(struct own_change), compare_own);
}

static bool
is_own(const struct session *s, uint32_t uid, uint64_t modseq)
{
    struct own_change key = {.uid = uid, .modseq = modseq};

    return s->box.own.n > 0 &&
           bsearch(&key, s->box.own.p, s->box.own.n / sizeof key, sizeof key, compare_own) != NULL;
}

void
remember_untold(struct session *s, uint32_t uid, uint64_t before, uint64_t modseq)
{
    sort_own(s);
    if (before <= s->box.modseq || is_own(s, uid, before))
        remember_own(s, uid, modseq);
}

/* --- flags --- */

static bool
all_known(const struct account *a, struct slice keywords)
{
    uint16_t number;

    while (take_le16(&keywords, &number))
        if (number >= a->n_names || a->names[number].p == NULL)
            return false;
    return true;
}

/* All keywords of the account, in a list that has begun. */
static void
put_keywords(const struct account *a, struct buf *out)
{
    for (uint32_t i = 0; i < a->n_names; i++)
        if (a->names[i].p != NULL) {
            buf_putc(out, ' ');
            buf_put(out, a->names[i]);
        }
}

static void
put_flags_line(struct session *s, struct buf *out)
{
    buf_puts(out, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft");
    put_keywords(s->account, out);
    buf_puts(out, ")\r\n");
    s->keywords_told = s->account->keywords;
}

void
prepare_keywords(struct session *s, struct slice keywords)
{
    AUTO_BUF line = BUF_INIT(16u << 20);

    if (!all_known(s->account, keywords) && load_keywords(s) != ST_OK)
        return; /* they are left out for now */
    if (s->keywords_told == s->account->keywords || keywords.n == 0)
        return;
    put_flags_line(s, &line); /* RFC 3501 7.2.6 */
    session_put_text(s, &line, true);
}

void
put_flags(struct session *s, struct buf *out, uint32_t uid, uint16_t flags, struct slice keywords)
{
    uint32_t system = flags & (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT);
    bool first = true;
    uint16_t number;

    if (uid >= s->box.recent_from && (s->enabled & ENABLED_REV2) == 0)
        system |= IMAP_FLAG(RECENT);
    buf_puts(out, "FLAGS (");
    imap_put_system_flags(out, system, &first);
    while (take_le16(&keywords, &number)) {
        if (number >= s->account->n_names || s->account->names[number].p == NULL)
            continue;
        if (!first)
            buf_putc(out, ' ');
        first = false;
        buf_put(out, s->account->names[number]);
    }
    buf_putc(out, ')');
}

void
tell_flags(struct session *s, struct buf *out, uint32_t uid, uint16_t flags, struct slice keywords,
           uint64_t modseq)
{
    uint32_t seq = uidset_seq(&s->box.view, uid);

    if (seq == 0)
        return;
    buf_printf(out, "* %u FETCH (UID %u ", seq, uid);
    put_flags(s, out, uid, flags, keywords);
    if (s->enabled & ENABLED_CONDSTORE) /* RFC 7162 3.1 */
        buf_printf(out, " MODSEQ (%llu)", (unsigned long long)modseq);
    buf_puts(out, ")\r\n");
}

/* --- changes --- */

static uint32_t
count_recent(const struct session *s)
{
    uint32_t before = s->box.recent_from > 0 ? uidset_upto(&s->box.view, s->box.recent_from - 1) : 0;

    return s->box.view.count - before;
}

/* RFC 7162 3.2.10 */
static void
put_vanished(struct session *s, const struct uidset *gone, struct buf *out)
{
    struct uidset told = {0};

    if (uidset_common(&s->box.view, gone, &told) != ST_OK)
        session_bye(s, "No memory");
    if (told.n > 0) {
        buf_puts(out, "* VANISHED ");
        uidset_put(&told, out);
        buf_puts(out, "\r\n");
    }
    uidset_done(&told);
}

void
tell_gone(struct session *s, const struct uidset *gone)
{
    AUTO_BUF out = BUF_INIT(16u << 20);
    bool vanished = (s->enabled & ENABLED_QRESYNC) != 0;

    if (vanished)
        put_vanished(s, gone, &out);
    for (size_t i = vanished ? 0 : gone->n; i-- > 0 && !s->over;) {
        uint32_t last = uidset_upto(&s->box.view, gone->runs[i].last);
        uint32_t before = uidset_upto(&s->box.view, gone->runs[i].first - 1);

        /* What of the run is in the view is one run of numbers there. */
        for (uint32_t seq = last; seq > before && !s->over; seq--) {
            buf_printf(&out, "* %u EXPUNGE\r\n", seq);
            session_put_text(s, &out, false);
        }
    }
    session_put_text(s, &out, true);
    if (uidset_subtract(&s->box.view, gone) != ST_OK || uidset_subtract(&s->box.gone, gone) != ST_OK)
        session_bye(s, "No memory");
}

/* RFC 9051 has no RECENT any more. */
static void
put_exists(const struct session *s, struct buf *out)
{
    buf_printf(out, "* %u EXISTS\r\n", s->box.view.count);
    if ((s->enabled & ENABLED_REV2) == 0)
        buf_printf(out, "* %u RECENT\r\n", count_recent(s));
}

static void
tell_exists(struct session *s, const struct uidset *fresh, struct buf *out)
{
    for (size_t i = 0; i < fresh->n; i++)
        if (uidset_append(&s->box.view, fresh->runs[i].first, fresh->runs[i].last) != ST_OK) {
            session_bye(s, "No memory");
            return;
        }
    if (fresh->n > 0)
        s->box.told = uidset_last(&s->box.view) + 1;
    if (fresh->n > 0)
        put_exists(s, out);
}

/* One message as it is now. */
static enum status
on_row(struct session *s, const struct change_row *row, struct uidset *fresh, struct buf *out)
{
    if (row->gone) {
        struct uid_range one = {row->uid, row->uid, 0};
        struct uidset set = {&one, 1, 1, 1};

        if (uidset_has(&s->box.view, row->uid)) {
            if (s->box.gone_low == 0 || row->modseq < s->box.gone_low)
                s->box.gone_low = row->modseq;
            return uidset_add(&s->box.gone, row->uid);
        }
        return uidset_has(fresh, row->uid) ? uidset_subtract(fresh, &set) : ST_OK; /* came and went */
    }
    if (row->uid > uidset_last(&s->box.view))
        return uidset_add(fresh, row->uid);
    if (!uidset_has(&s->box.view, row->uid) || is_own(s, row->uid, row->modseq))
        return ST_OK;
    session_put_text(s, out, false);
    prepare_keywords(s, row->keywords);
    tell_flags(s, out, row->uid, row->flags, row->keywords, row->modseq);
    return ST_OK;
}

static enum status
read_changes(struct session *s, struct uidset *fresh, struct buf *out)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    bool more = true;

    while (more && !s->over) {
        AUTO_BUF m = BUF_INIT(64);
        struct change_row row;
        struct slice rows;
        uint64_t upto = s->box.modseq;
        enum status st;

        change_list_put(&m, &(struct change_list){0, s->box.id, s->box.modseq});
        st = session_ask(s, MSG_CHANGES, &m, &reply, true);
        if (st == ST_OK)
            st = take_rows(&reply, &rows, &more);
        if (st != ST_OK)
            return st;
        while (change_row_take(&rows, &row)) {
            st = on_row(s, &row, fresh, out);
            if (st != ST_OK && st != ST_SYNTAX)
                return st;
            upto = row.modseq > upto ? row.modseq : upto;
            fiber_yield_if_long();
        }
        if (more && upto == s->box.modseq)
            return ST_CORRUPT;
        s->box.modseq = upto;
    }
    return ST_OK;
}

/* Too much was forgotten of what went: everything is compared with what is there. */
static enum status
compare_all(struct session *s, struct uidset *fresh, struct buf *out)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_status status;
    struct uidset there = {0}, lost = {0};
    struct message_row row;
    uint32_t from = 1;
    bool more = true;
    enum status st = mailbox_status_of(s, s->box.id, &status);

    while (st == ST_OK && more && !s->over) {
        AUTO_BUF m = BUF_INIT(64);
        struct slice rows;

        message_list_put(&m, &(struct message_list){0, s->box.id, from, {0}});
        st = session_ask(s, MSG_MESSAGES, &m, &reply, true);
        if (st == ST_OK)
            st = take_rows(&reply, &rows, &more);
        while (st == ST_OK && message_row_take(&rows, &row)) {
            struct change_row now = {
                .uid = row.uid, .flags = row.flags, .modseq = row.modseq, .keywords = row.keywords};

            st = uidset_append(&there, row.uid, row.uid);
            if (st == ST_OK)
                st = on_row(s, &now, fresh, out);
            from = row.uid + 1;
        }
    }
    if (st == ST_OK) {
        for (size_t i = 0; st == ST_OK && i < s->box.view.n; i++)
            st = uidset_append(&lost, s->box.view.runs[i].first, s->box.view.runs[i].last);
        if (st == ST_OK)
            st = uidset_subtract(&lost, &there);
    }
    if (st == ST_OK) {
        uidset_done(&s->box.gone);
        s->box.gone = lost;
        s->box.gone_low = lost.n > 0 ? s->box.modseq + 1 : 0;
        lost = (struct uidset){0};
        s->box.modseq = status.modseq;
    }
    uidset_done(&there);
    uidset_done(&lost);
    return st;
}

bool
tell_changes(struct session *s, bool expunges)
{
    AUTO_BUF out = BUF_INIT(16u << 20);
    struct uidset fresh = {0}, gone;
    enum status st = ST_OK;

    if (s->hinted && s->box.id != 0) {
        s->hinted = false;
        sort_own(s);
        st = read_changes(s, &fresh, &out);
        if (st == ST_STALE && !s->over)
            st = compare_all(s, &fresh, &out);
        if (st == ST_STALE || st == ST_NOTFOUND)
            session_bye(s, "The mailbox is gone");
        else if (st != ST_OK)
            s->hinted = true; /* temporary */
        tell_exists(s, &fresh, &out);
        uidset_done(&fresh);
        buf_done(&s->box.own);
    }
    session_put_text(s, &out, true);
    if (expunges && s->box.gone.n > 0) {
        gone = s->box.gone;
        s->box.gone = (struct uidset){0};
        s->box.gone_low = 0;
        tell_gone(s, &gone);
        uidset_done(&gone);
    }
    if (s->box.gone.n > 0 && (s->enabled & ENABLED_QRESYNC)) { /* RFC 7162 3.2: so that none is lost */
        buf_printf(&out, "* OK [HIGHESTMODSEQ %llu] Expunges wait\r\n", (unsigned long long)s->box.gone_low - 1);
        session_put_text(s, &out, true);
    }
    return st == ST_OK;
}

/* --- what is recent --- */

void
claim_told(struct session *s)
{
    AUTO_BUF m = BUF_INIT(64);
    struct channel *store = program_peer(ROLE_STORE, 0);

    if (s->box.id == 0 || s->box.read_only || s->box.told <= s->box.claimed || store == NULL ||
        s->epoch != imapd.epoch)
        return;
    recent_claim_put(&m, &(struct recent_claim){s->handle, s->box.id, s->box.told});
    (void)ipc_send(store, (enum msg)MSG_RECENT, buf_slice(&m), -1);
    s->box.claimed = s->box.told;
}

/* RFC 3501 2.3.2, 6.3.1: what no session was told of is \Recent in this one and in no later one. That is asked
 * only when something is, and where it cannot be written down the messages stay \Recent, as they should. */
static enum status
claim_recent(struct session *s, const struct mailbox_status *status)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(64);
    struct msg_id before;
    enum status st;

    s->box.recent_from = status->recent_from;
    s->box.claimed = status->recent_from;
    if (s->box.read_only || status->uidnext <= status->recent_from)
        return ST_OK;
    recent_claim_put(&m, &(struct recent_claim){0, s->box.id, status->uidnext});
    st = session_ask(s, MSG_RECENT, &m, &reply, true);
    if (st == ST_STALE || s->over)
        return ST_STALE;
    if (st != ST_OK || !msg_id_get(buf_slice(&reply), &before))
        return ST_OK;
    s->box.recent_from = (uint32_t)before.id;
    s->box.claimed = status->uidnext;
    return ST_OK;
}

/* --- the selected mailbox --- */

void
box_done(struct session *s)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(64);

    claim_told(s);
    if (s->box.id != 0) {
        mailbox_ref_put(&m, &(struct mailbox_ref){0, s->box.id});
        s->box.id = 0; /* a new handle watches nothing */
        if (session_ask(s, MSG_UNWATCH, &m, &reply, true) != ST_OK)
            s->hinted = false; /* its hints are passed over, for they name another mailbox */
    }
    uidset_done(&s->box.view);
    uidset_done(&s->box.gone);
    uidset_done(&s->box.saved);
    buf_done(&s->box.own);
    s->box = (struct selected){0};
    s->state = IMAP_AUTH;
    s->hinted = false;
}

enum status
select_messages(struct session *s, struct imap_seqset *set, bool by_uid, struct uidset *out, bool *missing)
{
    const struct uidset *view = &s->box.view;
    enum status st;

    *missing = false;
    if (!by_uid && imap_seqset_largest(set) > view->count)
        return ST_SYNTAX;
    /* RFC 3501 9, seq-range: "*" is the largest in use; in an empty mailbox there is none. */
    imap_seqset_resolve(set, by_uid ? uidset_last(view) : view->count);
    if (set->saved)
        st = uidset_common(view, &s->box.saved, out);
    else
        st = uidset_select(view, set, by_uid, out);
    if (st == ST_OK && s->box.gone.n > 0) {
        uint32_t count = out->count;

        st = uidset_subtract(out, &s->box.gone);
        *missing = out->count < count;
    }
    return st;
}

/* All UIDs into the view; the first that is not seen. */
static enum status
read_view(struct session *s, uint32_t *unseen)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    uint32_t from = 1;
    bool more = true;

    *unseen = 0;
    while (more) {
        AUTO_BUF m = BUF_INIT(64);
        struct message_row row;
        struct slice rows;
        enum status st;

        message_list_put(&m, &(struct message_list){0, s->box.id, from, {0}});
        st = session_ask(s, MSG_MESSAGES, &m, &reply, true);
        if (st == ST_OK)
            st = take_rows(&reply, &rows, &more);
        while (st == ST_OK && message_row_take(&rows, &row)) {
            st = uidset_append(&s->box.view, row.uid, row.uid);
            if (*unseen == 0 && (row.flags & FLAG_SEEN) == 0)
                *unseen = s->box.view.count;
            from = row.uid + 1;
        }
        if (st != ST_OK)
            return st == ST_SYNTAX ? ST_CORRUPT : st;
        fiber_yield_if_long();
    }
    uidset_trim(&s->box.view);
    return ST_OK;
}

/* Hints first: what changes while it is listed is then told. */
static enum status
open_box(struct session *s, uint64_t id, struct mailbox_status *status, uint32_t *unseen)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(1024);
    enum status st;

    mailbox_ref_put(&m, &(struct mailbox_ref){0, id});
    st = session_ask(s, MSG_WATCH, &m, &reply, true);
    if (st != ST_OK)
        return st;
    s->box.id = id;
    st = mailbox_status_of(s, id, status);
    if (st != ST_OK)
        return st;
    s->box.uidvalidity = status->uidvalidity;
    s->box.modseq = status->modseq;
    st = claim_recent(s, status);
    if (st == ST_OK && !views_find(buf_slice(&s->account->user), id, s->epoch, status, &s->box.view, unseen)) {
        st = read_view(s, unseen);
        if (st == ST_OK)
            views_keep(buf_slice(&s->account->user), id, s->epoch, status, &s->box.view, *unseen);
    }
    s->box.told = uidset_last(&s->box.view) + 1;
    return st == ST_OK ? load_keywords(s) : st;
}

static void
put_selected(struct session *s, const struct mailbox_status *status, uint32_t unseen, struct slice name,
             struct buf *out)
{
    put_flags_line(s, out);
    if (s->box.read_only) {
        buf_puts(out, "* OK [PERMANENTFLAGS ()] Read-only\r\n");
    } else {
        buf_puts(out, "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft");
        put_keywords(s->account, out);
        buf_puts(out, " \\*)] Limited\r\n");
    }
    put_exists(s, out);
    if (unseen > 0 && (s->enabled & ENABLED_REV2) == 0)
        buf_printf(out, "* OK [UNSEEN %u] First unseen\r\n", unseen);
    buf_printf(out, "* OK [UIDVALIDITY %u] UIDs valid\r\n* OK [UIDNEXT %u] Predicted next UID\r\n",
               status->uidvalidity, status->uidnext);
    if (s->enabled & ENABLED_CONDSTORE) /* RFC 7162 3.1.2.1 */
        buf_printf(out, "* OK [HIGHESTMODSEQ %llu] Highest\r\n", (unsigned long long)status->modseq);
    if (s->enabled & ENABLED_REV2) { /* RFC 9051 6.3.2 */
        buf_puts(out, "* LIST () \"/\" ");
        put_name(s, out, name);
        buf_puts(out, "\r\n");
    }
}

/* SELECT and EXAMINE */
void
on_select(struct session *s, struct command *c)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_status status;
    struct mailbox_row row;
    struct imap_select want;
    const char *why;
    uint32_t unseen;
    enum status st = imap_args_select(c->in.args, &c->arena, &want, &why);

    if (st == ST_OK && want.qresync && (s->enabled & ENABLED_QRESYNC) == 0) /* RFC 7162 3.2.5 */
        st = ST_SYNTAX, why = "QRESYNC is not enabled";
    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    if (s->box.id != 0)
        buf_puts(&c->text, "* OK [CLOSED] Previous mailbox closed\r\n"); /* RFC 7162 3.2.11 */
    box_done(s); /* RFC 3501 6.3.1: also when this one fails */
    if (want.condstore || want.qresync)
        s->enabled |= ENABLED_CONDSTORE;
    st = find_mailbox(s, want.mailbox, false, &reply, &row);
    s->box.read_only = c->in.verb == IMAP_EXAMINE || (s->rights & RIGHT_WRITE) == 0;
    if (st == ST_OK)
        st = open_box(s, row.mailbox, &status, &unseen);
    if (st != ST_OK) {
        box_done(s);
        answer_status(c, st == ST_SYNTAX ? ST_NOTFOUND : st);
        return;
    }
    s->state = IMAP_SELECTED;
    put_selected(s, &status, unseen, row.name, &c->text);
    if (want.qresync && want.uidvalidity == status.uidvalidity) /* else the client knows nothing */
        st = put_resync(s, &want, &c->text);
    if (st != ST_OK) {
        box_done(s);
        answer_status(c, st);
        return;
    }
    answer(c, "OK [READ-%s] %s completed", s->box.read_only ? "ONLY" : "WRITE", imap_verb_name(c->in.verb));
}

/* RFC 3501 6.4.2: expunges, and tells nothing of it. */
void
on_close(struct session *s, struct command *c)
{
    AUTO_BUF m = BUF_INIT(128), reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_status status;
    enum status st = ST_OK;

    /* The counter is of what is committed, so of all that this session was told is \Deleted: no rows are read for none. */
    if (!s->box.read_only && (mailbox_status_of(s, s->box.id, &status) != ST_OK || status.deleted > 0)) {
        expunge_put(&m, &(struct expunge){0, s->box.id, {0}, 1});
        st = session_ask(s, MSG_EXPUNGE, &m, &reply, true);
    }
    if (st == ST_OK)
        answer(c, "OK CLOSE completed");
    else
        answer_status(c, st);
    if (st == ST_OK || st == ST_STALE)
        box_done(s);
}

void
on_unselect(struct session *s, struct command *c)
{
    box_done(s);
    answer(c, "OK UNSELECT completed");
}
