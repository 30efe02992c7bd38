#include <stdlib.h>

#include "store/judge_rows.h"
#include "store/bugs.h"

#define LIST_MOST (2u << 20)

/* A mailbox that this record delivers to, with the counters as they are after what was added so far. */
struct target {
    struct judge_account account;
    struct judge_box box;
};

/* A record_deliver as it grows. */
struct draft {
    struct judge *j;
    struct outcome *out;
    const struct judge_body *body;
    struct slice request, digest;
    struct row_request answer;
    struct row_shard shard;
    struct target *targets;
    size_t n_targets, cap_targets;
    uint64_t body_id, refs;
    struct buf arrivals, keywords;
};

static void
draft_init(struct draft *d, struct judge *j, const struct judge_body *body, struct outcome *out)
{
    *d = (struct draft){.j = j,
                        .out = out,
                        .body = body,
                        .arrivals = BUF_INIT(LIST_MOST),
                        .keywords = BUF_INIT(LIST_MOST)};
}

static void
draft_done(struct draft *d)
{
    free(d->targets);
    buf_done(&d->arrivals);
    buf_done(&d->keywords);
}

static struct target *
find_target(struct draft *d, uint64_t account, uint64_t mailbox)
{
    for (size_t i = 0; i < d->n_targets; i++)
        if (d->targets[i].account.number == account && (mailbox == 0 || d->targets[i].box.number == mailbox))
            return &d->targets[i];
    return NULL;
}

static struct target *
new_target(struct draft *d)
{
    if (d->n_targets == d->cap_targets) {
        size_t cap = d->cap_targets == 0 ? 4 : d->cap_targets * 2;
        struct target *grown = realloc(d->targets, cap * sizeof(*grown));

        if (grown == NULL)
            return NULL;
        d->targets = grown;
        d->cap_targets = cap;
    }
    return &d->targets[d->n_targets++];
}

/* The message comes into the mailbox: numbers, counters, rows. */
static void
arrive(struct draft *d, struct target *t, uint16_t flags, int64_t internaldate, struct slice keywords)
{
    struct record_arrival a = {.account = t->account.number, .mailbox = t->box.number};
    uint8_t place_bytes[16];
    struct buf place = {.p = place_bytes, .cap = sizeof(place_bytes), .max = sizeof(place_bytes)};
    uint64_t modseq = ++t->account.usage.modseq;

    a.uid = t->box.status.uidnext++;
    a.message = (struct row_message){.modseq = modseq,
                                     .flags = flags,
                                     .size = d->body->prefix + d->body->n,
                                     .internaldate = internaldate,
                                     .saved = d->j->now,
                                     .email = d->shard.email++,
                                     .keywords = keywords};
    judge_count(&t->account.usage, &t->box.status, NULL, &a.message);
    t->box.status.modseq = modseq;
    a.usage = t->account.usage;
    a.status = t->box.status;
    row_place_put(&place, &(struct row_place){t->box.number, a.uid});
    a.email = (struct row_email){a.message.email, d->body_id, buf_slice(&place)};
    record_arrival_put(&d->arrivals, &a);
    d->refs++;
    judge_touch(d->out, t->account.number, t->box.number, modseq);
    if (d->answer.email == 0)
        d->answer = (struct row_request){.email = a.message.email,
                                         .account = t->account.number,
                                         .mailbox = t->box.number,
                                         .uid = a.uid,
                                         .modseq = modseq};
}

static void
put_bodies(const struct draft *d, struct log_place own, struct buf *bodies)
{
    uint8_t bytes[2 * 24];
    struct buf extents = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
    struct row_body row = {.size = d->body->prefix + d->body->n, .prefix = (uint32_t)d->body->prefix};
    uint64_t here = d->body->prefix + (d->body->side ? 0 : d->body->n);

    if (here > 0)
        row_extent_put(&extents, &(struct row_extent){own.segment, own.offset, here});
    if (d->body->side && d->body->n > 0)
        row_extent_put(&extents,
                       &(struct row_extent){d->body->place.segment, d->body->place.offset, d->body->n});
    row.extents = buf_slice(&extents);
    record_body_put(bodies, &(struct record_body){d->body_id, row, d->digest});
}

static enum status
put_segments(const struct draft *d, uint64_t own, struct buf *segments)
{
    uint64_t here = d->body->prefix + (d->body->side ? 0 : d->body->n);
    struct row_segment row = {0};
    struct slice value;
    enum status st = view_get(d->j->view, JUDGE_KEY(0, ROW_SEGMENT, {own}), &value);

    if (st == ST_OK && !row_segment_get(value, &row))
        return ST_CORRUPT;
    if (st != ST_OK && st != ST_NOTFOUND)
        return st;
    row.live += here;
    row.size += here;
    record_live_put(segments, &(struct record_live){own, 0, row});
    if (d->body->side)
        record_live_put(segments, &(struct record_live){
                                      d->body->place.segment, 0, {1, d->body->n, d->body->n, d->body->sum}
        });
    return ST_OK;
}

/* The metadata, whose length does not depend on where the record's body will be: once to know it, once for
 * good. */
static enum status
write_record(struct draft *d, uint16_t type)
{
    uint8_t ref_bytes[16];
    struct buf refs = {.p = ref_bytes, .cap = sizeof(ref_bytes), .max = sizeof(ref_bytes)};
    AUTO_BUF bodies = BUF_INIT(LIST_MOST), segments = BUF_INIT(1024);
    struct record_deliver r = {.request = d->request, .answer = d->answer, .shard = d->shard};
    enum status st = put_segments(d, d->j->batch->segment, &segments);

    if (st != ST_OK)
        return st;
    r.answer.lsn = log_batch_next_lsn(d->j->batch);
    r.answer.expires = d->j->now + REQUEST_LIFE;
    record_ref_put(&refs, &(struct record_ref){d->body_id, d->refs});
    r.arrivals = buf_slice(&d->arrivals);
    r.keywords = buf_slice(&d->keywords);
    r.refs = buf_slice(&refs);
    r.segments = buf_slice(&segments);
    for (int pass = 0; pass < 2; pass++) {
        struct log_place own = log_batch_next_body(d->j->batch, d->out->meta.n);

        buf_clear(&bodies);
        put_bodies(d, own, &bodies);
        r.bodies = buf_slice(&bodies);
        buf_clear(&d->out->meta);
        record_deliver_write(&d->out->meta, &r);
    }
    d->answer = r.answer;
    d->out->type = type;
    return buf_ok(&d->out->meta) && buf_ok(&d->arrivals) && buf_ok(&bodies) &&
                   buf_ok(&segments)
               ? ST_OK
               : ST_LIMIT;
}

static enum status
begin(struct draft *d)
{
    enum status st = judge_shard(d->j, &d->shard);

    d->body_id = d->shard.body++;
    return st;
}

/* --- deliver --- */

/* ST_STALE, ST_UNAVAILABLE: not to this account now. */
static enum status
find_mailbox(struct draft *d, const struct deliver_rcpt *r, struct target **target)
{
    struct target got, *known;
    enum status st = judge_open(d->j, r->account, &got.account);
    uint64_t mailbox = 0;

    if (st != ST_OK)
        return st;
    st = r->mailbox.n > 0 ? judge_box_named(d->j, r->account, r->mailbox, &mailbox) : ST_NOTFOUND;
    if (st == ST_NOTFOUND)
        st = judge_box_named(d->j, r->account, SLICE("INBOX"), &mailbox);
    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_CORRUPT : st;
    if (find_target(d, r->account, mailbox) != NULL) /* the same mailbox by two addresses: one copy */
        return ST_EXISTS;
    st = judge_box(d->j, r->account, mailbox, &got.box);
    if (st == ST_OK && got.box.status.uidnext == UINT32_MAX)
        st = ST_LIMIT;
    if (st != ST_OK)
        return st;
    known = find_target(d, r->account, 0);
    for (size_t i = 0; known != NULL && i < d->n_targets;
         i++) /* another mailbox of the same account: its counters go on */
        if (d->targets[i].account.number == r->account)
            got.account.usage = d->targets[i].account.usage;
    *target = new_target(d);
    if (*target == NULL)
        return ST_MEMORY;
    **target = got;
    return ST_OK;
}

/* What cannot be delivered to one recipient refuses the whole, for now: the client asks again for all of them, and RCPT
 * tells him which one is gone. As a queue entry it would wait for a queued that is not there yet. */
static enum status
deliver_to(struct draft *d, const struct deliver *m, const struct deliver_rcpt *r)
{
    struct target *t;
    enum status st = find_mailbox(d, r, &t);

    if (st == ST_OK)
        arrive(d, t, 0, m->received, SLICE(""));
    return st == ST_EXISTS ? ST_OK : st;
}

enum status
judge_deliver(struct judge *j, const struct deliver *m, const struct judge_body *body, struct outcome *out)
{
    struct draft d;
    struct slice list = m->recipients;
    struct deliver_rcpt r;
    struct row_request before;
    enum status st = m->again ? judge_request(j, m->request, &before) : ST_NOTFOUND;

    if (st == ST_OK) {
        delivered_put(&out->reply, &(struct delivered){before.lsn, before.email});
        return ST_OK;
    }
    if (st == ST_NOTFOUND && body->gone)
        return ST_STALE;
    if (st != ST_NOTFOUND)
        return st;
    draft_init(&d, j, body, out);
    d.request = m->request;
    d.digest = m->digest;
    st = list.n == 0 ? ST_SYNTAX : begin(&d);
    while (st == ST_OK && list.n > 0) {
        st = deliver_rcpt_take(&list, &r) ? ST_OK : ST_SYNTAX;
        if (st == ST_OK && (!BUG(half_delivery) || list.n > 0 || d.refs == 0))
            st = deliver_to(&d, m, &r);
    }
    if (st == ST_OK)
        st = write_record(&d, RECORD_DELIVER);
    if (st == ST_OK)
        delivered_put(&out->reply, &(struct delivered){d.answer.lsn, d.answer.email});
    draft_done(&d);
    return st;
}

/* --- append --- */

static enum status
append_again(struct judge *j, uint64_t account, const struct row_request *before, struct outcome *out)
{
    struct judge_box box;
    enum status st = before->account == account ? judge_box(j, account, before->mailbox, &box) : ST_DENIED;

    if (st == ST_OK)
        appended_put(&out->reply, &(struct appended){box.row.uidvalidity, before->uid, before->modseq});
    return st;
}

static enum status
append_to(struct draft *d, uint64_t account, const struct append *m)
{
    AUTO_BUF numbers = BUF_INIT(2 * JUDGE_KEYWORDS_MAX + 2);
    struct target *t = new_target(d);
    enum status st = t != NULL ? judge_open(d->j, account, &t->account) : ST_MEMORY;

    if (st == ST_OK)
        st = judge_box(d->j, account, m->mailbox, &t->box);
    if (st == ST_OK && t->box.status.uidnext == UINT32_MAX)
        st = ST_LIMIT;
    if (st == ST_OK)
        st = judge_room(d->j, account, d->body->n);
    if (st == ST_OK)
        st = judge_keywords(d->j, &t->account, m->keywords, &d->keywords, &numbers);
    if (st != ST_OK)
        return st;
    arrive(d, t, m->flags & (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT),
           m->internaldate != 0 ? m->internaldate : d->j->now, buf_slice(&numbers));
    st = write_record(d, RECORD_APPEND);
    if (st == ST_OK)
        appended_put(&d->out->reply,
                     &(struct appended){t->box.row.uidvalidity, d->answer.uid, d->answer.modseq});
    return st;
}

enum status
judge_append(struct judge *j, uint64_t account, const struct append *m, const struct judge_body *body,
             struct outcome *out)
{
    struct draft d;
    struct row_request before;
    enum status st = judge_request(j, m->request, &before);

    if (st == ST_OK)
        return append_again(j, account, &before, out);
    if (st == ST_NOTFOUND && body->gone)
        return ST_STALE;
    if (st != ST_NOTFOUND)
        return st;
    draft_init(&d, j, body, out);
    d.request = m->request;
    d.digest = m->digest;
    st = begin(&d);
    if (st == ST_OK)
        st = append_to(&d, account, m);
    draft_done(&d);
    return st;
}
