#include "store/judge_rows.h"
#include "store/bugs.h"

#define LIST_MOST (2u << 20)

/* One entry as it is after its attempt. */
static enum status
settle(struct judge *j, const struct queue_settled *m, struct buf *queue, struct judge_counts *counts)
{
    struct record_queued q = {.id = m->id, .on = m->on, .known = 1};
    struct slice value;
    enum status st = view_get(j->view, JUDGE_KEY(0, ROW_QUEUE, {m->id}), &value);

    if (st == ST_NOTFOUND) /* asked twice, or removed by an administrator meanwhile */
        return ST_OK;
    if (st == ST_OK && !row_queue_get(value, &q.row))
        st = ST_CORRUPT;
    if (st != ST_OK)
        return st;
    q.old_class = q.row.class;
    q.old_due = q.row.due;
    if (!m->on) {
        judge_ref(counts, q.row.body, -1);
        q.row = (struct row_queue){0}; /* nothing of it is needed */
    } else {
        q.row.class = m->class;
        q.row.due = m->due;
        q.row.tries = m->tries;
        q.row.spec = m->spec;
    }
    record_queued_put(queue, &q);
    return ST_OK;
}

enum status
judge_settled(struct judge *j, struct slice list, struct buf *queue, struct judge_counts *counts)
{
    enum status st = ST_OK;
    uint64_t last = 0;

    for (size_t i = 0; st == ST_OK && list.n > 0; i++) {
        struct queue_settled m;

        if (!queue_settled_take(&list, &m) || m.on > 1 || m.id <= last || m.spec.n > STORE_SPEC_MAX)
            return ST_SYNTAX; /* an entry twice would give back two references */
        if (i == STORE_SETTLED_MAX)
            return ST_LIMIT;
        last = m.id;
        if (BUG(half_settled) && i > 0 && list.n == 0)
            break;
        st = settle(j, &m, queue, counts);
    }
    return st == ST_OK && !buf_ok(queue) ? ST_LIMIT : st;
}

enum status
judge_queue_settle(struct judge *j, const struct queue_settle *m, struct outcome *out)
{
    AUTO_BUF queue = BUF_INIT(LIST_MOST), refs = BUF_INIT(LIST_MOST), segments = BUF_INIT(LIST_MOST);
    struct judge_counts counts = COUNTS_INIT;
    struct record_queue r = {0};
    enum status st = judge_shard(j, &r.shard);

    if (st == ST_OK)
        st = judge_settled(j, m->entries, &queue, &counts);
    if (st == ST_OK)
        st = judge_counts_put(j, &counts, &refs, &segments);
    judge_counts_done(&counts);
    if (st != ST_OK || queue.n == 0)
        return st;
    r.queue = buf_slice(&queue);
    r.refs = buf_slice(&refs);
    r.segments = buf_slice(&segments);
    record_queue_write(&out->meta, &r);
    out->type = RECORD_QUEUE;
    return ST_OK;
}
