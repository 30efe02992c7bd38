#include <stdlib.h>

#include "store/judge_rows.h"
#include "store/bugs.h"

#define LIST_MOST (2u << 20)

/* A mailbox that this record delivers to, with the counters as they are after what was added so far. */
struct target {
    struct judge_account account;
    struct judge_box box;
};

/* A message: n bytes of what comes with the record, behind its prefix, from `at` on. */
struct part {
    uint64_t id, at, n, refs; /* id: of its body row */
    struct slice digest;
};

/* A record_deliver as it grows. */
struct draft {
    struct judge *j;
    struct outcome *out;
    const struct judge_body *body;
    struct slice request;
    struct row_request answer;
    struct row_shard shard;
    struct target *targets;
    size_t n_targets, cap_targets;
    struct part *parts; /* the last of them is what arrives now */
    size_t n_parts, cap_parts;
    struct buf arrivals, keywords, known; /* keywords: new ones */
    size_t n_numbers;                     /* of keywords, of all messages */
    struct buf queue;
    struct judge_counts counts; /* of queue entries that end with this record */
};

static void
draft_init(struct draft *d, struct judge *j, const struct judge_body *body, struct outcome *out)
{
    *d = (struct draft){.j = j,
                        .out = out,
                        .body = body,
                        .arrivals = BUF_INIT(LIST_MOST),
                        .keywords = BUF_INIT(LIST_MOST),
                        .known = BUF_INIT(LIST_MOST),
                        .queue = BUF_INIT(LIST_MOST),
                        .counts = COUNTS_INIT};
}

static void
draft_done(struct draft *d)
{
    free(d->targets);
    free(d->parts);
    buf_done(&d->arrivals);
    buf_done(&d->keywords);
    buf_done(&d->known);
    buf_done(&d->queue);
    judge_counts_done(&d->counts);
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

/* The next message, of n bytes. */
static enum status
new_part(struct draft *d, uint64_t n, struct slice digest)
{
    const struct part *before = d->n_parts > 0 ? &d->parts[d->n_parts - 1] : NULL;
    uint64_t at = before != NULL ? before->at + before->n : 0;

    if (n > d->body->n - at)
        return ST_SYNTAX;
    if (d->n_parts == d->cap_parts) {
        size_t cap = d->cap_parts == 0 ? 1 : d->cap_parts * 2;
        struct part *grown = realloc(d->parts, cap * sizeof(*grown));

        if (grown == NULL)
            return ST_MEMORY;
        d->parts = grown;
        d->cap_parts = cap;
    }
    d->parts[d->n_parts++] = (struct part){.id = d->shard.body++, .at = at, .n = n, .digest = digest};
    return ST_OK;
}

/* The message comes into the mailbox: numbers, counters, rows. */
static void
arrive(struct draft *d, struct target *t, uint16_t flags, int64_t internaldate, struct slice keywords)
{
    struct record_arrival a = {.account = t->account.number, .mailbox = t->box.number};
    struct part *part = &d->parts[d->n_parts - 1];
    uint8_t place_bytes[16];
    struct buf place = {.p = place_bytes, .cap = sizeof(place_bytes), .max = sizeof(place_bytes)};
    uint64_t modseq = ++t->account.usage.modseq;

    a.uid = t->box.status.uidnext++;
    a.message = (struct row_message){.modseq = modseq,
                                     .flags = flags,
                                     .size = d->body->prefix + part->n,
                                     .internaldate = internaldate,
                                     .saved = d->j->now,
                                     .email = d->shard.email++,
                                     .keywords = keywords};
    judge_count(&t->account.usage, &t->box.status, NULL, &a.message);
    t->box.status.modseq = modseq;
    a.usage = t->account.usage;
    a.status = t->box.status;
    row_place_put(&place, &(struct row_place){t->box.number, a.uid});
    a.email = (struct row_email){a.message.email, part->id, buf_slice(&place)};
    record_arrival_put(&d->arrivals, &a);
    part->refs++;
    judge_touch(d->out, t->account.number, t->box.number, modseq);
    if (d->answer.email == 0)
        d->answer = (struct row_request){.email = a.message.email,
                                         .account = t->account.number,
                                         .mailbox = t->box.number,
                                         .uid = a.uid,
                                         .modseq = modseq};
}

/* prefix: 0 when there are several, or the offsets behind the first would be wrong. */
static void
put_body(const struct draft *d, const struct part *part, struct log_place own, struct buf *bodies)
{
    uint8_t bytes[2 * 24];
    struct buf extents = BUF_FIXED(bytes);
    struct row_body row = {.size = d->body->prefix + part->n, .prefix = (uint32_t)d->body->prefix};
    uint64_t here = d->body->prefix + (d->body->side ? 0 : part->n);

    if (here > 0)
        row_extent_put(&extents, &(struct row_extent){own.segment, own.offset + part->at, here});
    if (d->body->side && part->n > 0)
        row_extent_put(&extents, &(struct row_extent){d->body->place.segment,
                                                      d->body->place.offset + part->at, part->n});
    row.extents = buf_slice(&extents);
    record_body_put(bodies, &(struct record_body){part->id, row, part->digest});
}

/* References and live bytes: of the new body, and of those whose queue entries end. */
static enum status
put_counts(struct draft *d, struct buf *refs, struct buf *segments)
{
    enum status st;

    /* Also without a byte: an empty message's segment has a row */
    judge_born(&d->counts, d->j->batch->segment, d->body->prefix + (d->body->side ? 0 : d->body->n));
    st = judge_counts_put(d->j, &d->counts, refs, segments);
    for (size_t i = 0; i < d->n_parts; i++)
        record_ref_put(refs, &(struct record_ref){d->parts[i].id, d->parts[i].refs});
    if (d->body->side)
        record_live_put(segments, &(struct record_live){
                                      d->body->place.segment, 0, {1, d->body->n, d->body->n, d->body->sum}
        });
    return st;
}

/* The metadata, whose length does not depend on where the record's body will be: once to know it, once for
 * good. */
static enum status
write_record(struct draft *d, uint16_t type)
{
    AUTO_BUF bodies = BUF_INIT(LIST_MOST), segments = BUF_INIT(LIST_MOST), refs = BUF_INIT(LIST_MOST);
    struct record_deliver r = {.request = d->request, .answer = d->answer, .shard = d->shard};
    enum status st = put_counts(d, &refs, &segments);

    if (st != ST_OK)
        return st;
    r.answer.lsn = log_batch_next_lsn(d->j->batch);
    r.answer.expires = d->j->now + REQUEST_LIFE;
    r.arrivals = buf_slice(&d->arrivals);
    r.queue = buf_slice(&d->queue);
    r.keywords = buf_slice(&d->keywords);
    r.refs = buf_slice(&refs);
    r.segments = buf_slice(&segments);
    for (int pass = 0; pass < 2; pass++) {
        struct log_place own = log_batch_next_body(d->j->batch, d->out->meta.n);

        buf_clear(&bodies);
        for (size_t i = 0; i < d->n_parts; i++)
            put_body(d, &d->parts[i], own, &bodies);
        r.bodies = buf_slice(&bodies);
        buf_clear(&d->out->meta);
        record_deliver_write(&d->out->meta, &r);
    }
    d->answer = r.answer;
    d->out->type = type;
    return buf_ok(&d->out->meta) && buf_ok(&d->arrivals) && buf_ok(&d->keywords) && buf_ok(&bodies) &&
                   buf_ok(&segments) && buf_ok(&refs) && buf_ok(&d->queue)
               ? ST_OK
               : ST_LIMIT;
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

/* A recipient who is elsewhere. */
static enum status
queue_for(struct draft *d, const struct deliver *m, const struct deliver_queued *q)
{
    if (q->recipient.n == 0 || q->spec.n > STORE_SPEC_MAX)
        return ST_SYNTAX;
    record_queued_put(&d->queue, &(struct record_queued){
                                     .id = d->shard.queue++,
                                     .on = 1,
                                     .row = {.class = q->class,
                                             .due = d->j->now,
                                             .body = d->parts[0].id,
                                             .arrived = m->received,
                                             .dsn = q->dsn,
                                             .ret = m->ret,
                                             .sender = m->sender,
                                             .recipient = q->recipient,
                                             .orcpt = q->orcpt,
                                             .envid = m->envid,
                                             .spec = q->spec}
    });
    d->parts[0].refs++;
    return ST_OK;
}

static enum status
deliver_all(struct draft *d, const struct deliver *m)
{
    struct slice list = m->recipients, queue = m->queue;
    enum status st = list.n + queue.n == 0 ? ST_SYNTAX : judge_shard(d->j, &d->shard);

    if (st == ST_OK)
        st = new_part(d, d->body->n, m->digest);
    while (st == ST_OK && list.n > 0) {
        struct deliver_rcpt r;

        st = deliver_rcpt_take(&list, &r) ? ST_OK : ST_SYNTAX;
        if (st == ST_OK && (!BUG(half_delivery) || list.n + queue.n > 0 || d->parts[0].refs == 0))
            st = deliver_to(d, m, &r);
    }
    for (size_t i = 0; st == ST_OK && queue.n > 0; i++) {
        struct deliver_queued q;

        st = i < STORE_RECIPIENTS_MAX ? ST_OK : ST_LIMIT;
        if (st == ST_OK)
            st = deliver_queued_take(&queue, &q) ? queue_for(d, m, &q) : ST_SYNTAX;
    }
    if (d->queue.n > 0)
        judge_touch(d->out, 0, 0, 0);
    if (st == ST_OK)
        st = judge_settled(d->j, m->settled, &d->queue, &d->counts);
    return st;
}

enum status
judge_deliver(struct judge *j, const struct deliver *m, const struct judge_body *body, struct outcome *out)
{
    struct draft d;
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
    st = deliver_all(&d, m);
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

/* Quota, UIDs and numbers of keywords are judged with what came before it in the same record. */
static enum status
append_message(struct draft *d, struct target *t, const struct append_message *m)
{
    AUTO_BUF numbers = BUF_INIT(2 * JUDGE_KEYWORDS_MAX + 2);
    enum status st = d->n_parts < STORE_APPEND_MAX ? new_part(d, m->n, m->digest) : ST_SYNTAX;

    if (st == ST_OK && t->box.status.uidnext == UINT32_MAX)
        st = ST_LIMIT;
    if (st == ST_OK)
        st = judge_fits(&t->account, m->n);
    if (st == ST_OK)
        st = judge_keywords(d->j, &t->account, m->keywords, &d->keywords, &d->known, &numbers);
    d->n_numbers += numbers.n / 2;
    if (st == ST_OK && d->n_numbers > JUDGE_APPEND_KEYWORDS)
        st = ST_LIMIT;
    if (st == ST_OK)
        arrive(d, t, m->flags & (FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED | FLAG_DRAFT),
               m->internaldate != 0 ? m->internaldate : d->j->now, buf_slice(&numbers));
    return st;
}

/* RFC 3502 6.3.11: what is wrong with one of them refuses all. */
static enum status
append_to(struct draft *d, uint64_t account, const struct append *m)
{
    struct target *t = new_target(d);
    enum status st = t != NULL ? judge_open(d->j, account, &t->account) : ST_MEMORY;
    struct slice list = m->messages;
    struct append_message one;

    if (st == ST_OK)
        st = judge_box(d->j, account, m->mailbox, &t->box);
    while (st == ST_OK && list.n > 0) {
        st = append_message_take(&list, &one) ? ST_OK : ST_SYNTAX;
        if (st == ST_OK && (!BUG(half_append) || list.n > 0 || d->n_parts == 0))
            st = append_message(d, t, &one);
    }
    if (st == ST_OK && d->n_parts == 0)
        st = ST_SYNTAX;
    if (st == ST_OK)
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
    st = judge_shard(j, &d.shard);
    if (st == ST_OK)
        st = append_to(&d, account, m);
    draft_done(&d);
    return st;
}
