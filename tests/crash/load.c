#include "tests/crash/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/queue.h"

#define DELIVERERS  LASTING
#define TOKENS_EACH 1000u /* of one client */

struct client {
    struct load *l;
    uint32_t number; /* deliverers first, then one an account */
    uint32_t account;
    uint64_t random, handle;
};

static uint64_t
rnd(struct client *c, uint64_t n)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random % n;
}

static bool
fail(struct client *c, const char *what, enum status st, wrong bad)
{
    if (c->l->failed[0] == '\0')
        (void)snprintf(c->l->failed, sizeof(c->l->failed), "client %u, %s: %s", c->number, what,
                       bad != NULL ? bad : status_name(st));
    return false;
}

static uint64_t
position(const struct load *l)
{
    return atomic_load(&l->tape->n);
}

static uint32_t
sent(struct client *c, const struct op *op)
{
    uint32_t number = journal_op(&c->l->journal, op);

    world_note(c->l->world, &c->l->journal,
               &(struct note){.at = position(c->l), .kind = NOTE_SENT, .op = number});
    return number;
}

/* op: with its answer. */
static void
answered(struct client *c, uint32_t number, const struct op *op)
{
    c->l->journal.ops[number] = *op;
    world_note(c->l->world, &c->l->journal,
               &(struct note){.at = position(c->l), .kind = NOTE_ANSWERED, .op = number});
}

static void
new_token(struct client *c, struct op *op)
{
    uint64_t id[2];

    op->token = c->number * TOKENS_EACH + c->l->tokens[c->number]++ % TOKENS_EACH;
    op->side = token_is_large(op->token);
    id[0] = op->token;
    id[1] = c->l->seed;
    memcpy(op->request, id, sizeof(op->request));
}

static struct account *
mine(const struct client *c)
{
    return &c->l->world->accounts[c->account];
}

/* --- deliveries --- */

/* report: the entries that end with it, as in OP_SETTLE, or NULL; settled: the same as packed queue_settled. */
static bool
deliver(struct client *c, uint32_t accounts, const struct op *report, struct slice settled)
{
    AUTO_BUF body = BUF_INIT(1u << 20), queue = BUF_INIT(1000);
    struct op op = report != NULL ? *report : (struct op){0};
    uint64_t to[ACCOUNTS];
    struct delivered got = {0};
    size_t n = 0;
    uint32_t number;
    enum status st;

    op.kind = OP_DELIVER;
    op.accounts = accounts;
    new_token(c, &op);
    entries_put(&queue, &op);
    op.in_folder = accounts < 1u << LASTING && rnd(c, 4) == 0;
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        if ((accounts & 1u << i) != 0)
            to[n++] = c->l->world->accounts[i].number;
    token_body(op.token, &body);
    number = sent(c, &op);
    const struct deliver m = {.request = slice_from(op.request, sizeof(op.request)),
                              .received = 1700000000000000000,
                              .sender = SLICE("a@b.example"),
                              .prefix = SLICE(PREFIX),
                              .coming = (uint16_t)rnd(c, 3),
                              .digest = SLICE("digest"),
                              .queue = buf_slice(&queue),
                              .settled = settled};
    st = peer_deliver(c->l->peer, &m, buf_slice(&body), op.side, to, n,
                      op.in_folder     ? FOLDER
                      : rnd(c, 3) == 0 ? "no/hay"
                                       : "",
                      &got);
    if (st != ST_OK)
        return fail(c, "deliver", st, NULL);
    op.lsn = got.lsn;
    op.email = got.email;
    answered(c, number, &op);
    return true;
}

/* --- upkeep --- */

/* Whatever is not full of what lives is written anew, while the others go on. */
static bool
compact(struct client *c)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_text said;
    enum status st = ipc_call(c->l->peer->ctl, (enum msg)MSG_STORE_COMPACT, SLICE(""), -1,
                              loop_now(c->l->peer->loop) + PEER_WAIT, &reply);

    if (st != ST_OK || !msg_text_get(buf_slice(&reply), &said))
        return fail(c, "compact", st, NULL);
    c->l->compacted += !slice_starts(said.text, 't'); /* "there is nothing to compact" */
    return true;
}

/* --- the queue --- */

/* What queued does: some entries are tried, and end, wait on, or are reported on. */
static bool
settle(struct client *c)
{
    AUTO_BUF list = BUF_INIT(4u << 20), settled = BUF_INIT(4000);
    struct op op = {.kind = OP_SETTLE};
    bool report = rnd(c, 3) == 0;
    wrong bad = look_at_queue(c->l->peer, &list);
    size_t n = list.n / sizeof(struct entry);
    const struct entry *e = (const struct entry *)(const void *)list.p;
    uint32_t number;
    enum status st;

    if (bad != NULL)
        return fail(c, "queue", ST_OK, bad);
    for (size_t i = n > 0 ? (size_t)rnd(c, n) : 0; i < n && op.n < UIDS; i += 1 + (size_t)rnd(c, 3)) {
        op.uids[op.n] = e[i].token * ENTRIES + e[i].k;
        op.new_uids[op.n] = e[i].tries + 1;
        op.flags |= (uint16_t)((report || rnd(c, 2) == 0) << op.n);
        op.n++;
    }
    if (op.n == 0)
        return true;
    settled_put(&settled, &op, &list);
    if (report)
        return deliver(c, 1u << rnd(c, LASTING), &op, buf_slice(&settled));
    number = sent(c, &op);
    st = PEER_ASK(c->l->peer, c->l->peer->queue, MSG_QUEUE_SETTLE, queue_settle, NULL, buf_slice(&settled));
    if (st != ST_OK)
        return fail(c, "settle", st, NULL);
    answered(c, number, &op);
    return true;
}

static bool
deliverer_step(struct client *c)
{
    uint64_t what = c->number == 0 ? rnd(c, 4) : 3;

    if (what == 0)
        return compact(c);
    if (what == 1)
        return settle(c);
    return deliver(c, 1 + (uint32_t)rnd(c, (1u << LASTING) - 1), NULL, SLICE(""));
}

/* --- a session --- */

/* Numbers of mailboxes whose names alone are known. */
static bool
learn_numbers(struct client *c)
{
    for (size_t i = 0; i < mine(c)->n_boxes; i++) {
        struct note note = {.kind = NOTE_NAMED, .account = c->account};
        enum status st;

        if (mine(c)->boxes[i].number != 0)
            continue;
        (void)snprintf(note.name, sizeof(note.name), "%s", mine(c)->boxes[i].name);
        st = peer_mailbox(c->l->peer, c->handle, note.name, &note.mailbox);
        if (st != ST_OK)
            return fail(c, note.name, st, NULL);
        note.at = position(c->l);
        world_note(c->l->world, &c->l->journal, &note);
    }
    return true;
}

/* Lists a mailbox: what is known is there, and what is not known is a delivery. */
static bool
look(struct client *c, struct sight *s)
{
    wrong bad = look_at_box(c->l->peer, c->handle, s);
    struct box *b;
    size_t known = 0;

    if (bad != NULL)
        return fail(c, "look", ST_OK, bad);
    for (size_t i = 0; i < s->n; i++) {
        struct note note = {
            .kind = NOTE_SEEN, .account = c->account, .mailbox = s->number, .uid = s->messages[i].uid};
        struct message *m = box_message(account_box(mine(c), s->number), note.uid);

        if (m != NULL && m->flags != s->messages[i].flags)
            return fail(c, "flags are not as told", ST_OK, s->name);
        if (m != NULL)
            continue;
        bad = look_at_message(c->l->peer, c->handle, s->number, note.uid, &note.token);
        if (bad != NULL)
            return fail(c, "read", ST_OK, bad);
        note.at = position(c->l);
        world_note(c->l->world, &c->l->journal, &note);
    }
    b = account_box(mine(c), s->number);
    for (size_t i = 0; i < b->n; i++)
        known += b->messages[i].uid != 0;
    if (known != s->n)
        return fail(c, "fewer messages than were told", ST_OK, s->name);
    world_note(c->l->world, &c->l->journal,
               &(struct note){.at = position(c->l),
                              .kind = NOTE_BOX,
                              .account = c->account,
                              .mailbox = s->number,
                              .modseq = s->status.modseq,
                              .uid = s->status.uidnext,
                              .token = s->status.uidvalidity});
    return true;
}

/* Some messages of the mailbox, ascending. */
static void
choose(struct client *c, const struct sight *s, struct op *op, struct buf *runs)
{
    size_t at = (size_t)rnd(c, s->n);

    op->mailbox = s->number;
    for (; at < s->n && op->n < UIDS; at += 1 + (size_t)rnd(c, 3)) {
        op->uids[op->n++] = s->messages[at].uid;
        uid_run_put(runs, &(struct uid_run){s->messages[at].uid, s->messages[at].uid});
    }
}

static bool
append(struct client *c, uint64_t mailbox)
{
    struct op op = {
        .kind = OP_APPEND, .account = c->account, .mailbox = mailbox, .n = 1, .flags = (uint16_t)rnd(c, 32)};
    struct appended got = {0};
    uint32_t number;
    enum status st;

    new_token(c, &op);
    if (rnd(c, 2) == 0) /* several (RFC 3502), in one piece of the client's tokens */
        op.n = 2 + (uint32_t)rnd(c, UIDS - 1);
    if (op.token % TOKENS_EACH + op.n > TOKENS_EACH)
        op.n = 1;
    c->l->tokens[c->number] += op.n - 1;
    number = sent(c, &op);
    st = append_of(c->l->peer, c->handle, &op, rnd(c, 2) == 0, &got);
    if (st != ST_OK)
        return fail(c, "append", st, NULL);
    op.uidvalidity = got.uidvalidity;
    for (uint32_t i = 0; i < op.n; i++)
        op.new_uids[i] = got.uid + i;
    op.modseq = got.modseq + op.n - 1;
    answered(c, number, &op);
    return true;
}

static bool
flags(struct client *c, const struct sight *s)
{
    AUTO_BUF runs = BUF_INIT(256), words = BUF_INIT(100), reply = BUF_INIT(1u << 20);
    struct op op = {.kind = OP_FLAGS,
                    .account = c->account,
                    .flags_op = (uint8_t)rnd(c, 3),
                    .flags = (uint16_t)rnd(c, 32)};
    struct msg_rows rows;
    struct change_row row;
    uint32_t number, n = 0;
    enum status st;

    choose(c, s, &op, &runs);
    if (rnd(c, 4) == 0)
        msg_name_put(&words, &(struct msg_name){rnd(c, 2) == 0 ? SLICE("$Forwarded") : SLICE("importante")});
    number = sent(c, &op);
    st = PEER_ASK(c->l->peer, c->l->peer->imap, MSG_FLAGS, flags_change, &reply, c->handle, op.mailbox,
                  buf_slice(&runs), op.flags_op, op.flags, buf_slice(&words), UINT64_MAX);
    if (st != ST_OK || !msg_rows_get(buf_slice(&reply), &rows))
        return fail(c, "flags", st, NULL);
    for (; change_row_take(&rows.rows, &row); n++)
        if (row.modseq > op.modseq)
            op.modseq = row.modseq;
    if (n != op.n)
        return fail(c, "flags: not all were changed", st, NULL);
    answered(c, number, &op);
    return true;
}

static bool
copy(struct client *c, const struct sight *s, bool move)
{
    AUTO_BUF runs = BUF_INIT(256), reply = BUF_INIT(1u << 20);
    struct op op = {.kind = move ? OP_MOVE : OP_COPY, .account = c->account};
    struct msg_rows rows;
    struct copied_row row;
    uint32_t number, n = 0;
    enum status st;

    choose(c, s, &op, &runs);
    op.to = mine(c)->boxes[rnd(c, mine(c)->n_boxes)].number;
    if (move && op.to == op.mailbox)
        return true;
    number = sent(c, &op);
    st = PEER_ASK(c->l->peer, c->l->peer->imap, MSG_COPY, copy, &reply, c->handle, op.mailbox,
                  buf_slice(&runs), op.to, move, SLICE(""));
    if (st != ST_OK || !msg_rows_get(buf_slice(&reply), &rows))
        return fail(c, "copy", st, NULL);
    while (copied_row_take(&rows.rows, &row))
        for (uint32_t i = 0; i < op.n; i++)
            if (op.uids[i] == row.from) {
                op.new_uids[i] = row.uid;
                n++;
            }
    if (n != op.n)
        return fail(c, "copy: not all were copied", st, NULL);
    answered(c, number, &op);
    return true;
}

static bool
expunge(struct client *c, const struct sight *s)
{
    AUTO_BUF runs = BUF_INIT(256), reply = BUF_INIT(1u << 20);
    struct op op = {.kind = OP_EXPUNGE, .account = c->account};
    uint32_t number;
    enum status st;

    choose(c, s, &op, &runs);
    number = sent(c, &op);
    st = PEER_ASK(c->l->peer, c->l->peer->imap, MSG_EXPUNGE, expunge, &reply, c->handle, op.mailbox,
                  buf_slice(&runs), 1);
    if (st != ST_OK)
        return fail(c, "expunge", st, NULL);
    answered(c, number, &op);
    return true;
}

static bool
create(struct client *c)
{
    AUTO_BUF reply = BUF_INIT(100);
    struct op op = {.kind = OP_CREATE, .account = c->account};
    struct msg_id made;
    uint32_t number;
    enum status st;

    if (mine(c)->n_boxes > BOXES / 4)
        return true;
    (void)snprintf(op.name, sizeof(op.name), rnd(c, 2) == 0 ? "c%u" : "c%u/d%u", (unsigned)rnd(c, 50),
                   (unsigned)rnd(c, 5));
    if (account_box_named(mine(c), op.name) != NULL)
        return true;
    number = sent(c, &op);
    st = PEER_ASK(c->l->peer, c->l->peer->imap, MSG_MAILBOX_CREATE, mailbox_name, &reply, c->handle,
                  slice_of(op.name), 0);
    if (st != ST_OK || !msg_id_get(buf_slice(&reply), &made))
        return fail(c, "create", st, NULL);
    if (made.id <= mine(c)->highest_box)
        return fail(c, "a mailbox's number was used before", st, NULL);
    op.mailbox = made.id;
    answered(c, number, &op);
    return true;
}

static bool
rename_or_remove(struct client *c, bool remove)
{
    const struct box *b = &mine(c)->boxes[rnd(c, mine(c)->n_boxes)];
    struct op op = {.kind = remove ? OP_REMOVE : OP_RENAME, .account = c->account, .mailbox = b->number};
    uint32_t number;
    enum status st;

    (void)snprintf(op.name, sizeof(op.name), "r%u", (unsigned)rnd(c, 1000));
    if (b->name[0] == 'I' || b->name[0] == 'F' || account_box_named(mine(c), op.name) != NULL)
        return true; /* INBOX, FOLDER */
    number = sent(c, &op);
    if (remove)
        st = PEER_ASK(c->l->peer, c->l->peer->imap, MSG_MAILBOX_DELETE, mailbox_ref, NULL, c->handle,
                      op.mailbox);
    else
        st = PEER_ASK(c->l->peer, c->l->peer->imap, MSG_MAILBOX_RENAME, mailbox_rename, NULL, c->handle,
                      op.mailbox, slice_of(op.name));
    if (st != ST_OK)
        return fail(c, "rename or remove", st, NULL);
    answered(c, number, &op);
    return true;
}

static bool
session_step(struct client *c)
{
    struct sight s = {0};
    bool ok = learn_numbers(c);
    uint64_t what = rnd(c, 100);

    if (!ok)
        return false;
    const struct box *b = &mine(c)->boxes[rnd(c, mine(c)->n_boxes)];
    s.number = b->number;
    (void)snprintf(s.name, sizeof(s.name), "%s", b->name);
    ok = look(c, &s);
    if (!ok)
        ;
    else if (what < 30 || (what < 80 && s.n == 0))
        ok = append(c, s.number);
    else if (what < 46)
        ok = flags(c, &s);
    else if (what < 58)
        ok = copy(c, &s, false);
    else if (what < 68)
        ok = copy(c, &s, true);
    else if (what < 80)
        ok = expunge(c, &s);
    else if (what < 90)
        ok = create(c);
    else
        ok = rename_or_remove(c, what < 94);
    sight_done(&s);
    return ok;
}

/* --- accounts --- */

static bool
add_account(struct client *c)
{
    struct op op = {.kind = OP_ACCOUNT_ADD, .account = c->account};
    struct note note = {.kind = NOTE_NUMBER, .account = c->account};
    uint32_t number = sent(c, &op);
    enum status st = PEER_ASK(c->l->peer, c->l->peer->ctl, MSG_ACCOUNT_ADD, account_add, NULL,
                              slice_of(account_name(c->account)), 0);

    if (st != ST_OK)
        return fail(c, "account add", st, NULL);
    answered(c, number, &op);
    st = peer_rcpt(c->l->peer, account_name(c->account), &note.mailbox);
    if (st != ST_OK)
        return fail(c, "account", st, NULL);
    if (c->account >= LASTING && note.mailbox <= LASTING)
        return fail(c, "an account's number was used before", st, NULL);
    note.at = position(c->l);
    world_note(c->l->world, &c->l->journal, &note);
    st = peer_handle(c->l->peer, account_name(c->account), &c->handle);
    return st == ST_OK ? learn_numbers(c) : fail(c, "handle", st, NULL);
}

static bool
delete_account(struct client *c)
{
    struct op op = {.kind = OP_ACCOUNT_DELETE, .account = c->account};
    uint32_t number = sent(c, &op);
    bool purge = rnd(c, 2) == 0; /* then its bytes are gone too when it is answered */
    enum status st = PEER_ASK(c->l->peer, c->l->peer->ctl, MSG_ACCOUNT_DELETE, account_delete, NULL,
                              slice_of(account_name(c->account)), purge);

    if (st != ST_OK)
        return fail(c, "account delete", st, NULL);
    answered(c, number, &op);
    return true;
}

static bool
passing_step(struct client *c)
{
    if (!mine(c)->exists)
        return add_account(c);
    if (rnd(c, 8) == 0)
        return delete_account(c);
    return rnd(c, 3) == 0 ? deliver(c, 1u << c->account, NULL, SLICE("")) : session_step(c);
}

/* --- all of them --- */

static void
client(void *arg)
{
    struct client *c = arg;
    struct load *l = c->l;
    bool ok = true;

    if (c->number >= DELIVERERS && mine(c)->exists) {
        enum status st = peer_handle(l->peer, account_name(c->account), &c->handle);

        ok = st == ST_OK || fail(c, "handle", st, NULL);
    }
    for (uint32_t i = 0; i < l->steps && ok && l->failed[0] == '\0'; i++) {
        if (c->number < DELIVERERS)
            ok = deliverer_step(c);
        else
            ok = c->account < LASTING ? session_step(c) : passing_step(c);
        fiber_yield();
    }
    free(c);
    if (--l->busy == 0)
        wait_end(&l->quiet, ST_OK);
}

static struct client *
new_client(struct load *l, uint32_t number)
{
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        abort();
    *c =
        (struct client){.l = l,
                        .number = number,
                        .account = number < DELIVERERS ? 0 : number - DELIVERERS,
                        .random = (l->seed * 1000003 + l->part * 101 + number + 1) * 0x9e3779b97f4a7c15u | 1};
    return c;
}

wrong
load_begin(struct load *l)
{
    for (uint32_t i = 0; i < LASTING && l->failed[0] == '\0'; i++) {
        struct client *c = new_client(l, DELIVERERS + i);
        AUTO_BUF reply = BUF_INIT(100);
        struct op op = {.kind = OP_CREATE, .account = i, .name = FOLDER};
        struct msg_id made;
        uint32_t number;

        if (add_account(c)) {
            number = sent(c, &op);
            if (PEER_ASK(l->peer, l->peer->imap, MSG_MAILBOX_CREATE, mailbox_name, &reply, c->handle,
                         slice_of(op.name), 0) == ST_OK &&
                msg_id_get(buf_slice(&reply), &made)) {
                op.mailbox = made.id;
                answered(c, number, &op);
            } else {
                (void)fail(c, "create", ST_OK, NULL);
            }
        }
        free(c);
    }
    return l->failed[0] != '\0' ? l->failed : NULL;
}

wrong
load_part(struct load *l)
{
    enum status st = ST_OK;

    l->quiet = WAIT_INIT;
    l->part++;
    l->busy = DELIVERERS + ACCOUNTS;
    for (uint32_t i = 0; i < DELIVERERS + ACCOUNTS && st == ST_OK; i++)
        st = fiber_spawn(l->peer->loop, client, new_client(l, i));
    if (st == ST_OK)
        st = wait_for(&l->quiet, loop_now(l->peer->loop) + 2 * PEER_WAIT);
    if (st != ST_OK && l->failed[0] == '\0')
        (void)snprintf(l->failed, sizeof(l->failed), "the load: %s", status_name(st));
    return l->failed[0] != '\0' ? l->failed : NULL;
}
