/* What sessions do with the messages of a mailbox: flags, copies, moves, expunges. A slice a record. */
#include <stdlib.h>

#include "store/judge_rows.h"
#include "store/bugs.h"

#define LIST_MOST  (2u << 20)
#define JUDGE_LOOK 4000u /* messages that one slice of an expunge looks at */
#define ALL_FLAGS  (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT)

/* Calls fn for each message of the runs, in order, until `most` were seen: then *more is set. runs empty: nothing. They
 * ascend, or it is ST_SYNTAX: a message that one record expunged twice would take away two references of its body, and with
 * them the mail of another account. */
struct walk {
    judge_each *fn;
    void *arg;
    uint32_t seen, most;
};

static enum status
walk_one(void *arg, uint32_t uid, const struct row_message *message)
{
    struct walk *w = arg;

    if (w->seen == w->most)
        return ST_MORE;
    w->seen++;
    return w->fn(w->arg, uid, message);
}

static enum status
walk_runs(struct judge *j, uint64_t account, uint64_t mailbox, struct slice runs, uint32_t most,
          judge_each *fn, void *arg, bool *more)
{
    struct walk w = {fn, arg, 0, most};
    struct uid_run run = {0, 0};
    enum status st = ST_OK;

    while (st == ST_OK && runs.n > 0) {
        uint32_t before = run.last;

        if (!uid_run_take(&runs, &run) || run.first <= before || run.first > run.last)
            return ST_SYNTAX;
        st = judge_messages(j, account, mailbox, run.first, run.last, walk_one, &w);
    }
    *more = st == ST_MORE;
    return st == ST_MORE ? ST_OK : st;
}

/* --- flags --- */

struct flags_work {
    const struct flags_change *m;
    struct judge_account account;
    struct judge_box box;
    struct slice keywords; /* numbers */
    struct buf merged, records, reply;
    uint64_t modseq;
};

static void
put_number(struct buf *to, uint16_t v)
{
    buf_put_le16(to, v);
}

/* Both ascending: what a and b together have, or what a has and b has not. */
static void
merge(struct buf *to, struct slice a, struct slice b, bool add)
{
    uint16_t x = 0, y = 0;
    bool has_x = take_le16(&a, &x), has_y = take_le16(&b, &y);

    while (has_x || has_y) {
        if (has_x && (!has_y || x < y)) {
            put_number(to, x);
            has_x = take_le16(&a, &x);
        } else if (has_x && x == y) {
            if (add)
                put_number(to, x);
            has_x = take_le16(&a, &x);
            has_y = take_le16(&b, &y);
        } else {
            if (add)
                put_number(to, y);
            has_y = take_le16(&b, &y);
        }
    }
}

static void
tell_change(struct buf *reply, uint32_t uid, const struct row_message *message, uint64_t before, bool refused)
{
    change_row_put(reply, &(struct change_row){.uid = uid,
                                               .refused = refused,
                                               .flags = message->flags,
                                               .modseq = message->modseq,
                                               .size = message->size,
                                               .internaldate = message->internaldate,
                                               .email = message->email,
                                               .keywords = message->keywords,
                                               .before = before});
}

static enum status
change_flags(void *arg, uint32_t uid, const struct row_message *before)
{
    struct flags_work *w = arg;
    struct row_message after = *before;
    uint16_t given = w->m->flags & ALL_FLAGS;

    if (before->modseq > w->m->unchanged_since) { /* RFC 7162 3.1.3 */
        tell_change(&w->reply, uid, before, before->modseq, true);
        return ST_OK;
    }
    buf_clear(&w->merged);
    if (w->m->op == FLAGS_REPLACE) {
        after.flags = given;
        after.keywords = w->keywords;
    } else {
        after.flags = w->m->op == FLAGS_ADD ? before->flags | given : (uint16_t)(before->flags & ~given);
        merge(&w->merged, before->keywords, w->keywords, w->m->op == FLAGS_ADD);
        after.keywords = buf_slice(&w->merged);
    }
    if (after.flags != before->flags || !slice_eq(after.keywords, before->keywords)) {
        after.modseq = w->modseq;
        judge_count(&w->account.usage, &w->box.status, before, &after);
        record_change_put(&w->records, &(struct record_change){uid, before->modseq, after});
    }
    tell_change(&w->reply, uid, &after, before->modseq, false);
    return buf_ok(&w->merged) && buf_ok(&w->records) && buf_ok(&w->reply) ? ST_OK : ST_LIMIT;
}

static enum status
flags_record(struct flags_work *w, struct slice fresh, bool more, struct outcome *out)
{
    struct record_flags r = {.account = w->account.number,
                             .mailbox = w->box.number,
                             .rows = buf_slice(&w->records),
                             .keywords = fresh};

    msg_rows_put(&out->reply, &(struct msg_rows){more, buf_slice(&w->reply)});
    if (w->records.n == 0 && fresh.n == 0)
        return ST_OK;
    if (!BUG(modseq_repeats))
        w->account.usage.modseq = w->modseq;
    w->box.status.modseq = w->modseq;
    r.usage = w->account.usage;
    r.status = w->box.status;
    record_flags_write(&out->meta, &r);
    out->type = RECORD_FLAGS;
    judge_touch(out, r.account, r.mailbox, w->modseq);
    return ST_OK;
}

enum status
judge_flags(struct judge *j, uint64_t account, const struct flags_change *m, struct outcome *out)
{
    AUTO_BUF numbers = BUF_INIT(2 * JUDGE_KEYWORDS_MAX + 2), fresh = BUF_INIT(LIST_MOST), known = BUF_INIT(LIST_MOST);
    struct flags_work w = {
        .m = m, .merged = BUF_INIT(4096), .records = BUF_INIT(LIST_MOST), .reply = BUF_INIT(1u << 19)};
    bool more = false;
    enum status st = m->op <= FLAGS_REMOVE ? judge_open(j, account, &w.account) : ST_SYNTAX;

    if (st == ST_OK)
        st = judge_box(j, account, m->mailbox, &w.box);
    if (st == ST_OK)
        st = judge_keywords(j, &w.account, m->keywords, &fresh, &known, &numbers);
    if (st == ST_OK) {
        w.keywords = buf_slice(&numbers);
        w.modseq = w.account.usage.modseq + 1;
        st = walk_runs(j, account, m->mailbox, m->uids, JUDGE_SLICE, change_flags, &w, &more);
    }
    if (st == ST_OK)
        st = flags_record(&w, buf_slice(&fresh), more, out);
    buf_done(&w.merged);
    buf_done(&w.records);
    buf_done(&w.reply);
    return st;
}

/* RFC 3501 2.3.2: from now on other sessions do not see these as \Recent. Its record is that of flags, with no
 * message in it; no modseq moves, and nobody is told. */
enum status
judge_recent(struct judge *j, uint64_t account, const struct recent_claim *m, struct outcome *out)
{
    struct judge_account a;
    struct judge_box box;
    uint32_t upto;
    enum status st = judge_open(j, account, &a);

    if (st == ST_OK)
        st = judge_box(j, account, m->mailbox, &box);
    if (st != ST_OK)
        return st;
    msg_id_put(&out->reply, &(struct msg_id){box.status.recent_from});
    upto = m->upto < box.status.uidnext ? m->upto : box.status.uidnext;
    if (upto <= box.status.recent_from)
        return ST_OK;
    box.status.recent_from = upto;
    record_flags_write(&out->meta, &(struct record_flags){.account = account,
                                                          .usage = a.usage,
                                                          .mailbox = m->mailbox,
                                                          .status = box.status});
    out->type = RECORD_FLAGS;
    return ST_OK;
}

/* --- emails: where a message is --- */

/* Its row without one place, and with another (mailbox 0: none); row->places is *places then. so_far: the
 * packed record_email of this record, for a message may be in one mailbox twice. */
struct places_change {
    uint64_t email, mailbox; /* mailbox: the one that the slice walks through */
    struct row_place gone, come;
    const struct buf *so_far;
};

static void
look_back(const struct buf *so_far, uint64_t email, struct row_email *row)
{
    struct slice list = buf_slice(so_far);
    struct record_email e;

    while (record_email_take(&list, &e))
        if (e.email == email)
            *row = e.row; /* the last one counts */
}

static enum status
change_places(struct judge *j, uint64_t account, const struct places_change *c, struct buf *value,
              struct buf *places, struct row_email *row)
{
    struct row_place at;
    struct slice list;
    size_t here = 0;
    enum status st;

    buf_clear(value);
    buf_clear(places);
    st = index_get(j->index, NULL, JUDGE_KEY(account, ROW_EMAIL, {c->email}), value, NULL);
    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_CORRUPT : st;
    if (!row_email_get(buf_slice(value), row))
        return ST_CORRUPT;
    list = row->places;
    while (row_place_take(&list, &at))
        here += at.mailbox == c->mailbox;
    if (here > 1)
        look_back(c->so_far, c->email, row);
    list = row->places;
    while (row_place_take(&list, &at))
        if (at.mailbox != c->gone.mailbox || at.uid != c->gone.uid)
            row_place_put(places, &at);
    if (c->come.mailbox != 0)
        row_place_put(places, &c->come);
    row->places = buf_slice(places);
    return buf_ok(places) ? ST_OK : ST_LIMIT;
}

/* --- copy and move --- */

struct copy_work {
    struct judge *j;
    const struct copy *m;
    struct judge_account account;
    struct judge_box from, to; /* to alone, when a MOVE is into the mailbox itself (RFC 6851 3.3) */
    struct buf rows, emails, reply, value, places;
    uint64_t modseq;
};

static struct judge_box *
copy_source(struct copy_work *w)
{
    return w->m->mailbox == w->m->to ? &w->to : &w->from;
}

static enum status
copy_one(void *arg, uint32_t uid, const struct row_message *before)
{
    struct copy_work *w = arg;
    struct row_message after = *before;
    struct row_place new = {w->to.number, w->to.status.uidnext};
    struct places_change change = {before->email, w->m->mailbox, {0}, new, &w->emails};
    struct row_email email;
    enum status st;

    if (new.uid == UINT32_MAX)
        return ST_LIMIT;
    if (!w->m->move && w->account.row.quota != 0 &&
        w->account.usage.bytes + before->size > w->account.row.quota)
        return ST_QUOTA;
    if (w->m->move)
        change.gone = (struct row_place){w->m->mailbox, uid};
    st = change_places(w->j, w->account.number, &change, &w->value, &w->places, &email);
    if (st != ST_OK)
        return st;
    if (!BUG(uidnext_stays))
        w->to.status.uidnext++;
    after.modseq = w->modseq;
    after.saved = w->j->now;
    if (w->m->move)
        judge_count(&w->account.usage, &copy_source(w)->status, before, NULL);
    judge_count(&w->account.usage, &w->to.status, NULL, &after);
    record_copied_put(&w->rows, &(struct record_copied){uid, before->modseq, w->modseq, new.uid, after});
    record_email_put(&w->emails, &(struct record_email){before->email, email});
    copied_row_put(&w->reply, &(struct copied_row){w->to.row.uidvalidity, uid, new.uid});
    return buf_ok(&w->rows) && buf_ok(&w->emails) && buf_ok(&w->reply) ? ST_OK : ST_LIMIT;
}

static enum status
copy_record(struct copy_work *w, bool more, struct outcome *out)
{
    struct record_copy r = {
        .account = w->account.number,
        .move = w->m->move,
        .from = w->m->mailbox,
        .to = w->m->to,
        .rows = buf_slice(&w->rows),
        .emails = buf_slice(&w->emails),
        .request = w->m->request,
        .answer = {.expires = w->j->now + REQUEST_LIFE,
                   .lsn = log_batch_next_lsn(w->j->batch),
                   .account = w->account.number,
                   .mailbox = w->m->to}
    };

    msg_rows_put(&out->reply, &(struct msg_rows){more, buf_slice(&w->reply)});
    if (w->rows.n == 0)
        return ST_OK;
    w->account.usage.modseq = w->to.status.modseq = w->modseq;
    if (w->m->move)
        copy_source(w)->status.modseq = w->modseq;
    r.usage = w->account.usage;
    r.from_status = copy_source(w)->status;
    r.to_status = w->to.status;
    record_copy_write(&out->meta, &r);
    out->type = RECORD_COPY;
    judge_touch(out, r.account, r.to, w->modseq);
    if (w->m->move)
        judge_touch(out, r.account, r.from, w->modseq);
    return ST_OK;
}

enum status
judge_copy(struct judge *j, uint64_t account, const struct copy *m, struct outcome *out)
{
    struct copy_work w = {.j = j,
                          .m = m,
                          .rows = BUF_INIT(LIST_MOST),
                          .emails = BUF_INIT(LIST_MOST),
                          .reply = BUF_INIT(1u << 19),
                          .value = BUF_INIT(1u << 16),
                          .places = BUF_INIT(JUDGE_PLACES_MAX * 12)};
    bool more = false;
    struct row_request before;
    enum status st = m->request.n > 0 ? judge_request(j, m->request, &before) : ST_NOTFOUND;

    if (st == ST_OK &&
        before.account == account) /* done before, its answer lost: which copy is which is not told */
        msg_rows_put(&out->reply, &(struct msg_rows){0, SLICE("")});
    if (st != ST_NOTFOUND)
        return st == ST_OK && before.account != account ? ST_DENIED : st;
    st = m->move <= 1 ? judge_open(j, account, &w.account) : ST_SYNTAX;
    if (st == ST_OK)
        st = judge_box(j, account, m->mailbox, &w.from);
    if (st == ST_OK)
        st = judge_box(j, account, m->to, &w.to);
    w.modseq = st == ST_OK ? w.account.usage.modseq + 1 : 0;
    if (st == ST_OK)
        st = walk_runs(j, account, m->mailbox, m->uids, JUDGE_SLICE, copy_one, &w, &more);
    if (st == ST_OK)
        st = copy_record(&w, more, out);
    buf_done(&w.rows);
    buf_done(&w.emails);
    buf_done(&w.reply);
    buf_done(&w.value);
    buf_done(&w.places);
    return st;
}

/* --- expunge --- */

struct expunge_work {
    struct judge *j;
    struct judge_account account;
    struct judge_box box;
    bool deleted_only, dying;
    struct judge_counts counts;
    struct buf rows, emails, gone, value, places;
    uint64_t modseq;
    uint32_t n, last;
};

static enum status
expunge_one(void *arg, uint32_t uid, const struct row_message *before)
{
    struct expunge_work *w = arg;
    struct row_message after = *before;
    struct places_change change = {
        before->email, w->box.number, {w->box.number, uid},
          {0            },
          &w->emails
    };
    struct row_email email;
    enum status st;

    if (w->deleted_only && (before->flags & FLAG_DELETED) == 0) {
        w->last = uid;
        return ST_OK;
    }
    if (w->n == JUDGE_SLICE)
        return ST_MORE;
    w->n++;
    w->last = uid;
    st = change_places(w->j, w->account.number, &change, &w->value, &w->places, &email);
    if (st != ST_OK)
        return st;
    if (email.places.n == 0)
        judge_ref(&w->counts, email.body, -1);
    after.modseq = w->modseq;
    judge_count(&w->account.usage, &w->box.status, before, NULL);
    record_change_put(&w->rows, &(struct record_change){uid, before->modseq, after});
    record_email_put(&w->emails, &(struct record_email){before->email, email});
    uid_run_put(&w->gone, &(struct uid_run){uid, uid});
    return buf_ok(&w->rows) && buf_ok(&w->emails) && buf_ok(&w->gone) ? ST_OK : ST_LIMIT;
}

static enum status
expunge_record(struct expunge_work *w, struct outcome *out)
{
    AUTO_BUF refs = BUF_INIT(LIST_MOST), segments = BUF_INIT(LIST_MOST);
    struct record_expunge r = {.account = w->account.number,
                               .mailbox = w->box.number,
                               .at = w->j->now,
                               .rows = buf_slice(&w->rows),
                               .emails = buf_slice(&w->emails)};
    enum status st = judge_counts_put(w->j, &w->counts, &refs, &segments);

    if (st != ST_OK)
        return st;
    r.refs = buf_slice(&refs);
    r.segments = buf_slice(&segments);
    w->account.usage.modseq = w->box.status.modseq = w->modseq;
    r.usage = w->account.usage;
    r.status = w->box.status;
    record_expunge_write(&out->meta, &r);
    out->type = RECORD_EXPUNGE;
    judge_touch(out, r.account, r.mailbox, w->modseq);
    return ST_OK;
}

static void
expunge_init(struct expunge_work *w, struct judge *j)
{
    *w = (struct expunge_work){.j = j,
                               .counts = COUNTS_INIT,
                               .rows = BUF_INIT(LIST_MOST),
                               .emails = BUF_INIT(LIST_MOST),
                               .gone = BUF_INIT(1u << 19),
                               .value = BUF_INIT(1u << 16),
                               .places = BUF_INIT(JUDGE_PLACES_MAX * 12)};
}

static void
expunge_done(struct expunge_work *w)
{
    judge_counts_done(&w->counts);
    buf_done(&w->rows);
    buf_done(&w->emails);
    buf_done(&w->gone);
    buf_done(&w->value);
    buf_done(&w->places);
}

/* Runs beginning after *cursor, in the first slice all. */
static void
cut_runs(struct slice runs, uint32_t cursor, struct buf *rest)
{
    struct uid_run run;

    while (uid_run_take(&runs, &run)) {
        if (run.last <= cursor)
            continue;
        if (run.first <= cursor)
            run.first = cursor + 1;
        uid_run_put(rest, &run);
    }
}

/* What went is told in the last slice's reply together with what went before: replies grow over the slices.
 */
enum status
judge_expunge(struct judge *j, uint64_t account, const struct expunge *m, uint32_t *cursor,
              struct outcome *out)
{
    AUTO_BUF runs = BUF_INIT(1u << 20);
    struct expunge_work w;
    enum status st;

    expunge_init(&w, j);
    w.deleted_only = m->deleted_only;
    cut_runs(m->uids.n > 0 ? m->uids : SLICE("\1\0\0\0\xff\xff\xff\xff"), *cursor, &runs);
    st = judge_open(j, account, &w.account);
    if (st == ST_OK)
        st = judge_box(j, account, m->mailbox, &w.box);
    w.modseq = st == ST_OK ? w.account.usage.modseq + 1 : 0;
    if (st == ST_OK)
        st = walk_runs(j, account, m->mailbox, buf_slice(&runs), JUDGE_LOOK, expunge_one, &w, &out->more);
    if (st == ST_OK) {
        *cursor = w.last;
        buf_put(&out->reply, buf_slice(&w.gone));
        if (w.rows.n > 0)
            st = expunge_record(&w, out);
    }
    expunge_done(&w);
    return st;
}

/* --- the end of mailboxes and accounts --- */

static enum status
row_of(struct judge *j, const struct row_key *key, struct buf *value)
{
    buf_clear(value);
    return index_get(j->index, NULL, key, value, NULL);
}

/* As judge_open and judge_box, but for those that are dying. */
static enum status
open_dying(struct judge *j, uint64_t account, uint64_t mailbox, struct expunge_work *w, struct buf value[4])
{
    enum status st = row_of(j, JUDGE_KEY(account, ROW_ACCOUNT), &value[0]);

    w->account.number = account;
    w->box.number = mailbox;
    if (st == ST_OK)
        st = row_of(j, JUDGE_KEY(account, ROW_USAGE), &value[1]);
    if (st == ST_OK)
        st = row_of(j, JUDGE_KEY(account, ROW_MAILBOX, {mailbox}), &value[2]);
    if (st == ST_OK)
        st = row_of(j, JUDGE_KEY(account, ROW_STATUS, {mailbox}), &value[3]);
    if (st != ST_OK)
        return st;
    if (!row_account_get(buf_slice(&value[0]), &w->account.row) ||
        !row_usage_get(buf_slice(&value[1]), &w->account.usage) ||
        !row_mailbox_get(buf_slice(&value[2]), &w->box.row) ||
        !row_status_get(buf_slice(&value[3]), &w->box.status))
        return ST_CORRUPT;
    return ST_OK;
}

static enum status
empty_mailbox(struct judge *j, uint64_t account, uint64_t mailbox, struct outcome *out)
{
    struct buf value[4] = {BUF_INIT(1u << 16), BUF_INIT(1024), BUF_INIT(1u << 16), BUF_INIT(1024)};
    struct expunge_work w;
    bool more = false;
    enum status st;

    expunge_init(&w, j);
    st = open_dying(j, account, mailbox, &w, value);
    if (st == ST_OK && w.box.row.state != ROW_DYING && w.account.row.state != ROW_DYING)
        st = ST_STATE;
    w.modseq = st == ST_OK ? w.account.usage.modseq + 1 : 0;
    if (st == ST_OK)
        st = walk_runs(j, account, mailbox, SLICE("\1\0\0\0\xff\xff\xff\xff"), JUDGE_LOOK, expunge_one, &w,
                       &more);
    if (st == ST_OK && w.rows.n > 0)
        st = expunge_record(&w, out);
    else if (st == ST_OK) {
        record_mailbox_erase_write(&out->meta,
                                   &(struct record_mailbox_erase){account, w.account.usage, mailbox});
        out->type = RECORD_MAILBOX_ERASE;
    }
    expunge_done(&w);
    for (size_t i = 0; i < COUNT(value); i++)
        buf_done(&value[i]);
    return st;
}

static enum status
first_mailbox(void *arg, struct slice key, struct slice value)
{
    uint64_t *mailbox = arg;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK)
        return ST_CORRUPT;
    *mailbox = k.part[0];
    return ST_EXISTS;
}

enum status
judge_reap(struct judge *j, uint64_t account, uint64_t mailbox, struct outcome *out)
{
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);
    enum status st;

    if (mailbox == 0) { /* the account: its mailboxes one after the other, then itself */
        row_prefix_put(&from, JUDGE_KEY(account, ROW_MAILBOX), 0);
        row_range_end(&to, buf_slice(&from));
        st = index_scan(j->index, NULL, buf_slice(&from), buf_slice(&to), first_mailbox, &mailbox, NULL);
        if (st != ST_OK && st != ST_EXISTS)
            return st;
    }
    if (mailbox != 0) {
        st = empty_mailbox(j, account, mailbox, out);
        out->more = out->type != 0;
        return st == ST_NOTFOUND ? ST_OK : st;
    }
    AUTO_BUF row = BUF_INIT(1u << 16);
    st = row_of(j, JUDGE_KEY(account, ROW_ACCOUNT), &row);
    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_OK : st;
    record_account_erase_write(&out->meta, &(struct record_account_erase){account});
    out->type = RECORD_ACCOUNT_ERASE;
    out->more = true; /* until there is nothing to write */
    return ST_OK;
}
