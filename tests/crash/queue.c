#include "tests/crash/queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

static char words[200];
#define say(...) (snprintf(words, sizeof(words), __VA_ARGS__), (wrong)words)

uint32_t
entries_of(const struct op *op)
{
    return op->kind == OP_DELIVER && op->accounts < 1u << LASTING ? token_entries(op->token) : 0;
}

void
entries_put(struct buf *to, const struct op *op)
{
    for (uint32_t k = 0; k < entries_of(op); k++) {
        char address[40];

        (void)snprintf(address, sizeof(address), "%u.%u@far.example", op->token, k);
        deliver_queued_put(to, &(struct deliver_queued){slice_of(address), 1, 0, {0}, SLICE("spec")});
    }
}

static bool
entry_of(const struct queue_entry *row, struct entry *e)
{
    struct slice at = row->recipient;
    uint64_t token, k;

    if (!take_number(&at, TOKENS - 1, &token) || !take_byte(&at, '.') || !take_number(&at, ENTRIES - 1, &k) ||
        !slice_eq(at, SLICE("@far.example")))
        return false;
    *e = (struct entry){row->id, (uint32_t)token, (uint32_t)k, row->tries};
    return true;
}

wrong
look_at_queue(struct stored_peer *p, struct buf *list)
{
    struct msg_rows rows = {.more = true};
    struct entry e = {0};

    buf_clear(list);
    while (rows.more) {
        AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
        struct queue_entry row;
        enum status st = PEER_ASK(p, p->queue, MSG_QUEUE_LIST, msg_id, &reply, e.id);

        if (st != ST_OK || !msg_rows_get(buf_slice(&reply), &rows))
            return say("queue: %s", status_name(st));
        for (struct slice at = rows.rows; at.n > 0;) {
            uint64_t last = e.id;

            if (!queue_entry_take(&at, &row) || !entry_of(&row, &e) || e.id <= last)
                return say("queue: entry %" PRIu64 " after %" PRIu64 " is nobody's", e.id, last);
            buf_put(list, slice_from(&e, sizeof(e)));
        }
    }
    return NULL;
}

static const struct entry *
find(const struct buf *list, uint32_t token, uint32_t k)
{
    const struct entry *e = (const struct entry *)(const void *)list->p;

    for (size_t i = 0; i < list->n / sizeof(*e); i++)
        if (e[i].token == token && e[i].k == k)
            return &e[i];
    return NULL;
}

void
settled_put(struct buf *to, const struct op *op, const struct buf *list)
{
    for (uint32_t i = 0; i < op->n; i++) {
        const struct entry *e = find(list, op->uids[i] / ENTRIES, op->uids[i] % ENTRIES);
        bool done = (op->flags & 1u << i) != 0;

        if (e != NULL)
            queue_settled_put(to, &(struct queue_settled){e->id, !done, 2, 1700000000000000000 + (int64_t)e->id,
                                                          op->new_uids[i], done ? SLICE("") : SLICE("later")});
    }
}

/* Is the i-th entry as the request leaves it? */
static bool
is_settled(const struct op *op, uint32_t i, const struct buf *list)
{
    const struct entry *e = find(list, op->uids[i] / ENTRIES, op->uids[i] % ENTRIES);

    return (op->flags & 1u << i) != 0 ? e == NULL : e != NULL && e->tries == op->new_uids[i];
}

/* A request that was under way has settled all of its entries or none. */
static wrong
compare_settled(const struct op *op, const struct buf *list, struct queue_known *known, bool *done)
{
    *done = op->n > 0 && is_settled(op, 0, list);
    for (uint32_t i = 1; i < op->n; i++)
        if (is_settled(op, i, list) != *done)
            return say("queue: a request settled some of its entries (%u of %u)", i, op->n);
    if (*done)
        queue_settle(known, op);
    return NULL;
}

/* What is known to have come stands there as it was left; nothing else does. */
static wrong
compare_entries(const struct queue_known *known, const struct buf *list)
{
    const struct entry *e = (const struct entry *)(const void *)list->p;
    size_t want = 0;

    for (uint32_t token = 0; token < TOKENS; token++)
        for (uint32_t k = 0; known->came[token] && k < token_entries(token); k++) {
            const struct entry *got = find(list, token, k);

            if ((known->done[token] & 1u << k) != 0)
                continue;
            want++;
            if (got == NULL)
                return say("queue: entry %u.%u is lost", token, k);
            if (got->tries != known->tries[token][k])
                return say("queue: entry %u.%u has %u tries, not %u", token, k, got->tries, known->tries[token][k]);
        }
    for (size_t i = 0; i < list->n / sizeof(*e); i++)
        if (!known->came[e[i].token] || (known->done[e[i].token] & 1u << e[i].k) != 0)
            return say("queue: entry %u.%u should not be there", e[i].token, e[i].k);
    return want == list->n / sizeof(*e) ? NULL : say("queue: an entry is there twice");
}

/* Did a delivery that was under way come? Its recipients here say it. */
static bool
has_come(const struct world *w, const struct under_way *u, size_t i)
{
    const struct op *op = u->deliveries[i];

    for (uint32_t a = 0; a < ACCOUNTS; a++)
        if ((op->accounts & 1u << a) != 0 && (w->accounts[a].arrived[op->token / 8] & 1u << op->token % 8) != 0)
            return true;
    return u->found[i] != 0;
}

wrong
compare_queue(struct stored_peer *p, const struct world *w, const struct under_way *u)
{
    AUTO_BUF list = BUF_INIT(4u << 20);
    struct queue_known *known = malloc(sizeof(*known));
    wrong bad = look_at_queue(p, &list);
    bool done;

    if (known == NULL)
        abort();
    *known = w->queue;
    if (bad == NULL && u->settle != NULL)
        bad = compare_settled(u->settle, &list, known, &done);
    for (size_t i = 0; i < u->n && bad == NULL; i++) {
        const struct op *op = u->deliveries[i];
        bool came = has_come(w, u, i);

        if (came && entries_of(op) > 0)
            known->came[op->token] = true;
        bad = compare_settled(op, &list, known, &done);
        if (bad == NULL && op->n > 0 && done != came)
            bad = say("queue: report %u %s what it reports on", op->token, came ? "came beside" : "is lost with");
    }
    if (bad == NULL)
        bad = compare_entries(known, &list);
    free(known);
    return bad;
}
