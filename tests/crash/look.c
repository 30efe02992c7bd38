#include "tests/crash/look.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/queue.h"

#define KNOWN_FLAGS 31u

static char words[600];

static PRINTF(1, 2) wrong say(const char *fmt, ...)
{
    va_list list;

    va_start(list, fmt);
    (void)vsnprintf(words, sizeof(words), fmt, list);
    va_end(list);
    return words;
}

/* --- looking --- */

void
sight_done(struct sight *s)
{
    free(s->messages);
    free(s->modseqs);
    free(s->sizes);
    s->messages = NULL;
    s->modseqs = s->sizes = NULL;
    s->n = 0;
}

void
view_done(struct view_of *view)
{
    for (size_t i = 0; i < view->n_boxes; i++)
        sight_done(&view->boxes[i]);
    *view = (struct view_of){0};
}

static void
add(struct sight *s, const struct message_row *row)
{
    struct message *m = realloc(s->messages, (s->n + 1) * sizeof(*m));
    uint64_t *modseqs = realloc(s->modseqs, (s->n + 1) * sizeof(*modseqs));
    uint64_t *sizes = realloc(s->sizes, (s->n + 1) * sizeof(*sizes));

    if (m == NULL || modseqs == NULL || sizes == NULL)
        abort();
    m[s->n] = (struct message){row->uid, 0, row->flags};
    modseqs[s->n] = row->modseq;
    sizes[s->n] = row->size;
    s->messages = m;
    s->modseqs = modseqs;
    s->sizes = sizes;
    s->n++;
}

/* What a mailbox says of itself agrees with what is in it. */
static wrong
check_sight(const struct sight *s)
{
    uint32_t unseen = 0, deleted = 0, last = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < s->n; i++) {
        const struct message *m = &s->messages[i];

        unseen += (m->flags & FLAG_SEEN) == 0;
        deleted += (m->flags & FLAG_DELETED) != 0;
        bytes += s->sizes[i];
        if (m->uid <= last)
            return say("%s: uid %u behind %u", s->name, m->uid, last);
        last = m->uid;
        if (s->modseqs[i] > s->status.modseq)
            return say("%s: uid %u has modseq %" PRIu64 ", the mailbox %" PRIu64, s->name, last,
                       s->modseqs[i], s->status.modseq);
    }
    if (last >= s->status.uidnext)
        return say("%s: uid %u, uidnext %u", s->name, last, s->status.uidnext);
    if (s->status.messages != s->n || s->status.unseen != unseen || s->status.deleted != deleted ||
        s->status.bytes != bytes)
        return say("%s: says %u messages, %u unseen, %u deleted, %" PRIu64
                   " bytes; has %zu, %u, %u, %" PRIu64,
                   s->name, s->status.messages, s->status.unseen, s->status.deleted, s->status.bytes, s->n,
                   unseen, deleted, bytes);
    return NULL;
}

wrong
look_at_box(struct stored_peer *p, uint64_t handle, struct sight *s)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_rows rows;
    struct message_row row;
    enum status st;
    uint32_t from = 1;

    do {
        st = PEER_ASK(p, p->imap, MSG_MESSAGES, message_list, &reply, handle, s->number, from, SLICE(""));
        if (st != ST_OK || !msg_rows_get(buf_slice(&reply), &rows))
            return say("listing %s: %s", s->name, status_name(st));
        while (message_row_take(&rows.rows, &row)) {
            add(s, &row);
            from = row.uid + 1;
        }
    } while (rows.more);
    st = peer_status(p, handle, s->number, &s->status);
    return st == ST_OK ? NULL : say("status of %s: %s", s->name, status_name(st));
}

/* A list of all changes says of each message that is there once what the list of messages says; RFC
 * 7162 3.2.5. */
static wrong
check_changes(struct stored_peer *p, uint64_t handle, const struct sight *s)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_rows rows;
    struct change_row row;
    uint64_t modseq = 0;
    size_t n = 0;

    do {
        enum status st = PEER_ASK(p, p->imap, MSG_CHANGES, change_list, &reply, handle, s->number, modseq);

        if (st != ST_OK || !msg_rows_get(buf_slice(&reply), &rows))
            return say("changes of %s: %s", s->name, status_name(st));
        while (change_row_take(&rows.rows, &row)) {
            size_t i = 0;

            modseq = row.modseq;
            while (i < s->n && s->messages[i].uid != row.uid)
                i++;
            if (row.gone != (i == s->n) || (!row.gone && s->modseqs[i] != row.modseq))
                return say("changes of %s: uid %u, gone %u, modseq %" PRIu64, s->name, row.uid, row.gone,
                           row.modseq);
            n += !row.gone;
        }
    } while (rows.more);
    return n == s->n ? NULL : say("changes of %s: %zu of %zu messages", s->name, n, s->n);
}

wrong
look_at_message(struct stored_peer *p, uint64_t handle, uint64_t mailbox, uint32_t uid, uint32_t *token)
{
    AUTO_BUF text = BUF_INIT(1u << 20);
    enum status st = peer_read(p, handle, mailbox, uid, &text);

    if (st != ST_OK)
        return say("reading uid %u of mailbox %" PRIu64 ": %s", uid, mailbox, status_name(st));
    return token_of(buf_slice(&text), token)
               ? NULL
               : say("uid %u of mailbox %" PRIu64 " is not as it was sent: %zu bytes, %.20s", uid, mailbox,
                     text.n, text.n > 20 ? (const char *)text.p : "");
}

static wrong
look_at_boxes(struct stored_peer *p, struct view_of *view)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_rows rows;
    struct mailbox_row row;
    enum status st = PEER_ASK(p, p->imap, MSG_MAILBOXES, mailbox_list, &reply, view->handle, SLICE(""));

    if (st != ST_OK || !msg_rows_get(buf_slice(&reply), &rows) || rows.more)
        return say("listing mailboxes: %s", status_name(st));
    while (mailbox_row_take(&rows.rows, &row)) {
        struct sight *s = &view->boxes[view->n_boxes];
        wrong bad;

        if (row.mailbox == 0) /* a level without a mailbox */
            continue;
        if (view->n_boxes == BOXES)
            return say("more mailboxes than were made");
        view->n_boxes++;
        s->number = row.mailbox;
        (void)slice_to_cstr(row.name, s->name, sizeof(s->name));
        bad = look_at_box(p, view->handle, s);
        if (bad != NULL)
            return bad;
        bad = check_sight(s);
        if (bad == NULL)
            bad = check_changes(p, view->handle, s);
        if (bad != NULL)
            return bad;
        for (size_t i = 0; i < s->n && bad == NULL; i++)
            bad = look_at_message(p, view->handle, s->number, s->messages[i].uid, &s->messages[i].token);
        if (bad != NULL)
            return bad;
    }
    return NULL;
}

wrong
look_at_account(struct stored_peer *p, uint32_t account, struct view_of *view)
{
    enum status st = peer_rcpt(p, account_name(account), &view->number);

    if (st == ST_NOTFOUND || st == ST_DENIED) /* ST_DENIED: nor anyone of its domain */
        return NULL;
    if (st == ST_OK)
        st = peer_handle(p, account_name(account), &view->handle);
    if (st != ST_OK)
        return say("%s: %s", account_name(account), status_name(st));
    view->exists = true;
    return look_at_boxes(p, view);
}

/* --- comparing --- */

/* A message that the model does not know: is it a delivery under way? */
static bool
is_delivery(struct under_way *u, uint32_t account, const char *box, const struct message *m)
{
    for (size_t i = 0; i < u->n; i++) {
        const struct op *op = u->deliveries[i];

        if (op->token != m->token || (op->accounts & 1u << account) == 0 || m->flags != 0 ||
            (u->found[i] & 1u << account) != 0 || strcmp(box, op->in_folder ? FOLDER : "INBOX") != 0)
            continue;
        u->found[i] |= (uint8_t)(1u << account);
        return true;
    }
    return false;
}

static wrong
compare_box(const struct box *want, const struct sight *got, uint32_t account, struct under_way *u)
{
    bool *used = calloc(want->n + 1, sizeof(*used));
    wrong bad = NULL;

    if (used == NULL)
        abort();
    for (size_t i = 0; i < got->n && bad == NULL; i++) {
        const struct message *m = &got->messages[i];
        size_t k = 0;

        while (k < want->n && (used[k] || want->messages[k].uid != m->uid))
            k++;
        for (size_t other = 0; k == want->n && other < want->n; other++)
            if (!used[other] && want->messages[other].uid == 0 && want->messages[other].token == m->token &&
                want->messages[other].flags == m->flags) {
                k = other;
                break;
            }
        if (k == want->n) {
            if (!is_delivery(u, account, got->name, m))
                bad = say("%s: uid %u (message %u, flags %u) should not be there", got->name, m->uid,
                          m->token, m->flags);
            continue;
        }
        used[k] = true;
        if (want->messages[k].token != m->token || want->messages[k].flags != m->flags)
            bad = say("%s: uid %u is message %u with flags %u, wanted %u with %u", got->name, m->uid,
                      m->token, m->flags, want->messages[k].token, want->messages[k].flags);
    }
    for (size_t k = 0; k < want->n && bad == NULL; k++)
        if (!used[k])
            bad = say("%s: message %u (uid %u) is lost", got->name, want->messages[k].token,
                      want->messages[k].uid);
    free(used);
    return bad;
}

static wrong
compare_numbers(const struct box *want, const struct sight *got)
{
    if (want->number != 0 && want->number != got->number)
        return say("%s: is mailbox %" PRIu64 ", was %" PRIu64, got->name, got->number, want->number);
    if (want->uidvalidity != 0 && want->uidvalidity != got->status.uidvalidity)
        return say("%s: uidvalidity is %u, was %u", got->name, got->status.uidvalidity, want->uidvalidity);
    if (got->status.uidnext < want->uidnext)
        return say("%s: uidnext went back from %u to %u", got->name, want->uidnext, got->status.uidnext);
    if (got->status.modseq < want->modseq)
        return say("%s: modseq went back from %" PRIu64 " to %" PRIu64, got->name, want->modseq,
                   got->status.modseq);
    return NULL;
}

static wrong
compare_account(struct account *want, const struct view_of *got, uint32_t account, struct under_way *u)
{
    if (want->exists != got->exists)
        return say("%s", got->exists ? "should not exist" : "does not exist");
    if (got->exists && want->number != 0 && want->number != got->number)
        return say("is account %" PRIu64 ", was %" PRIu64, got->number, want->number);
    for (size_t i = 0; i < got->n_boxes; i++) {
        struct box *b = account_box_named(want, got->boxes[i].name);
        wrong bad;

        if (b == NULL)
            return say("mailbox %s should not be there", got->boxes[i].name);
        bad = compare_numbers(b, &got->boxes[i]);
        if (bad == NULL)
            bad = compare_box(b, &got->boxes[i], account, u);
        if (bad != NULL)
            return bad;
    }
    for (size_t i = 0; i < want->n_boxes; i++) {
        size_t k = 0;

        while (k < got->n_boxes && strcmp(got->boxes[k].name, want->boxes[i].name) != 0)
            k++;
        if (k == got->n_boxes)
            return say("mailbox %s is lost", want->boxes[i].name);
    }
    return NULL;
}

/* As it is known to be, or with the change that was under way. */
static wrong
compare_both(const struct account *known, const struct view_of *got, uint32_t account, struct under_way *u)
{
    struct under_way before = *u;
    struct account *want = malloc(sizeof(*want));
    char first[sizeof(words)];
    wrong bad;

    if (want == NULL)
        abort();
    account_copy(want, known);
    bad = compare_account(want, got, account, u);
    if (bad != NULL && u->of[account] != NULL) {
        (void)snprintf(first, sizeof(first), "%s", bad);
        *u = before;
        account_apply(want, u->of[account], false);
        bad = compare_account(want, got, account, u);
        if (bad != NULL) {
            char second[sizeof(words)];

            (void)snprintf(second, sizeof(second), "%s", bad);
            bad = say("%.280s; or, with request %d done: %.280s", first, u->of[account]->kind, second);
        }
    }
    account_clear(want);
    free(want);
    return bad;
}

static wrong
with_name(uint32_t account, wrong bad)
{
    char text[sizeof(words)];

    (void)snprintf(text, sizeof(text), "%s", bad);
    return say("%s: %.500s", account_name(account), text);
}

wrong
compare(struct stored_peer *p, const struct world *w, struct under_way *u)
{
    struct view_of *view = calloc(1, sizeof(*view));
    wrong bad = NULL;

    if (view == NULL)
        abort();
    for (uint32_t i = 0; i < ACCOUNTS && bad == NULL; i++) {
        bad = look_at_account(p, i, view);
        if (bad == NULL)
            bad = compare_both(&w->accounts[i], view, i, u);
        if (bad != NULL)
            bad = with_name(i, bad);
        view_done(view);
    }
    free(view);
    for (size_t i = 0; i < u->n && bad == NULL; i++) {
        uint32_t open = 0; /* recipients for whom the clients do not know yet */

        for (uint32_t a = 0; a < ACCOUNTS; a++)
            if ((w->accounts[a].arrived[u->deliveries[i]->token / 8] & 1u << u->deliveries[i]->token % 8) ==
                0)
                open |= u->deliveries[i]->accounts & 1u << a;
        if (open != u->deliveries[i]->accounts && u->found[i] != open)
            bad =
                say("message %u was seen by one recipient and is lost for another", u->deliveries[i]->token);
        if (u->found[i] != 0 && u->found[i] != open)
            bad = say("message %u is there for some recipients (%x of %x)", u->deliveries[i]->token,
                      u->found[i], open);
    }
    return bad;
}

/* --- going on --- */

/* How often a message is in an account. */
static wrong
count(struct stored_peer *p, uint32_t account, uint32_t token, unsigned *n)
{
    struct view_of *view = calloc(1, sizeof(*view));
    wrong bad;

    if (view == NULL)
        abort();
    bad = look_at_account(p, account, view);
    *n = 0;
    for (size_t i = 0; i < view->n_boxes; i++)
        for (size_t k = 0; k < view->boxes[i].n; k++)
            *n += view->boxes[i].messages[k].token == token;
    view_done(view);
    free(view);
    return bad;
}

static enum status
deliver_again(struct stored_peer *p, const struct op *op, struct delivered *got)
{
    AUTO_BUF body = BUF_INIT(1u << 20), queue = BUF_INIT(1000);
    uint64_t numbers[ACCOUNTS];
    size_t n = 0;
    struct deliver m = {.request = slice_from(op->request, sizeof(op->request)),
                              .received = 1700000000000000000,
                              .sender = SLICE("a@b.example"),
                              .prefix = SLICE(PREFIX),
                              .digest = SLICE("digest"),
                              .again = 1};

    for (uint32_t i = 0; i < ACCOUNTS; i++)
        if ((op->accounts & 1u << i) != 0 && peer_rcpt(p, account_name(i), &numbers[n]) == ST_OK)
            n++;
    token_body(op->token, &body);
    entries_put(&queue, op);
    m.queue = buf_slice(&queue);
    return peer_deliver(p, &m, buf_slice(&body), op->side, numbers, n, op->in_folder ? FOLDER : "", got);
}

/* RFC 5321 4.1.1.4 leaves a client that heard no answer in doubt: it asks again, and gets one copy. */
static wrong
repeat_delivery(struct stored_peer *p, const struct op *op, bool answered)
{
    struct delivered got = {0};
    uint32_t account = 0;
    unsigned before, after;
    enum status st;
    wrong bad;

    while ((op->accounts & 1u << account) == 0)
        account++;
    bad = count(p, account, op->token, &before);
    if (bad != NULL)
        return bad;
    st = deliver_again(p, op, &got);
    if (st != ST_OK)
        return say("message %u again: %s", op->token, status_name(st));
    if (answered && (got.lsn != op->lsn || got.email != op->email))
        return say("message %u again: lsn %" PRIu64 ", was %" PRIu64, op->token, got.lsn, op->lsn);
    bad = count(p, account, op->token, &after);
    if (bad == NULL && after != (answered || before > 0 ? before : 1))
        bad = say("message %u again: %u copies became %u", op->token, before, after);
    return bad;
}

enum status
append_of(struct stored_peer *p, uint64_t handle, const struct op *op, bool list, struct appended *got)
{
    struct buf text[UIDS];
    struct slice bodies[UIDS];
    struct append_message messages[UIDS];
    const struct append m = {.handle = handle,
                             .request = slice_from(op->request, sizeof(op->request)),
                             .mailbox = op->mailbox,
                             .list_n = list};
    enum status st;

    for (uint32_t i = 0; i < op->n; i++) {
        text[i] = BUF_INIT(1u << 20);
        token_body(op->token + i, &text[i]);
        bodies[i] = buf_slice(&text[i]);
        messages[i] = (struct append_message){.flags = append_flags(op, i), .digest = SLICE("digest")};
    }
    st = peer_append(p, &m, messages, bodies, op->n, op->side, got);
    for (uint32_t i = 0; i < op->n; i++)
        buf_done(&text[i]);
    return st;
}

static wrong
repeat_append(struct stored_peer *p, const struct op *op)
{
    struct appended got;
    uint64_t handle = 0;
    unsigned n = 1;
    enum status st = peer_handle(p, account_name(op->account), &handle);
    wrong bad = NULL;

    if (st == ST_OK)
        st = append_of(p, handle, op, false, &got);
    if (st != ST_OK)
        return say("append of %u again: %s", op->token, status_name(st));
    for (uint32_t i = 0; i < op->n && bad == NULL && n == 1; i++)
        bad = count(p, op->account, op->token + i, &n);
    return bad == NULL && n != 1 ? say("append of %u again: %u copies of one", op->token, n) : bad;
}

/* New numbers were never told before. */
static wrong
make_new(struct stored_peer *p, const struct world *w, uint32_t account, uint32_t token)
{
    AUTO_BUF reply = BUF_INIT(1024), body = BUF_INIT(1u << 20);
    struct view_of *view = calloc(1, sizeof(*view));
    struct mailbox_status status, fresh;
    struct append m = {.request = slice_from(&(uint64_t[2]){token, UINT64_MAX}, 16)};
    struct appended got = {0};
    struct msg_id made = {0};
    wrong bad = view == NULL ? "no memory" : look_at_account(p, account, view);
    uint64_t modseq = 0;
    enum status st;

    if (bad != NULL || !view->exists)
        goto end;
    for (size_t i = 0; i < view->n_boxes; i++)
        if (view->boxes[i].status.modseq > modseq)
            modseq = view->boxes[i].status.modseq;
    m.handle = view->handle;
    st = peer_mailbox(p, m.handle, "INBOX", &m.mailbox);
    if (st == ST_OK)
        st = peer_status(p, m.handle, m.mailbox, &status);
    token_body(token, &body);
    if (st == ST_OK)
        st = peer_append(p, &m, &(struct append_message){0}, &(struct slice){body.p, body.n}, 1, false, &got);
    if (st == ST_OK)
        st = PEER_ASK(p, p->imap, MSG_MAILBOX_CREATE, mailbox_name, &reply, m.handle, SLICE("nueva"), 0);
    if (st == ST_OK && !msg_id_get(buf_slice(&reply), &made))
        st = ST_SYNTAX;
    if (st == ST_OK)
        st = peer_status(p, m.handle, made.id, &fresh);
    if (st != ST_OK)
        bad = say("going on: %s", status_name(st));
    else if (got.uid != status.uidnext || got.modseq <= modseq)
        bad = say("new message: uid %u, uidnext was %u; modseq %" PRIu64 ", highest was %" PRIu64, got.uid,
                  status.uidnext, got.modseq, modseq);
    else if (made.id <= w->accounts[account].highest_box)
        bad = say("new mailbox %" PRIu64 ", highest was %" PRIu64, made.id, w->accounts[account].highest_box);
    for (size_t i = 0; bad == NULL && i < view->n_boxes; i++)
        if (view->boxes[i].status.uidvalidity == fresh.uidvalidity)
            bad = say("new mailbox has the uidvalidity of %s", view->boxes[i].name);
end:
    if (view != NULL)
        view_done(view);
    free(view);
    return bad;
}

wrong
go_on(struct stored_peer *p, const struct world *w, const struct journal *j, uint64_t at, struct under_way *u,
      uint64_t (*random)(uint64_t n))
{
    wrong bad = NULL;
    int some = 2;

    for (size_t i = 0; i < u->n && bad == NULL; i++)
        bad = repeat_delivery(p, u->deliveries[i], false);
    for (uint32_t a = 0; a < ACCOUNTS && bad == NULL; a++)
        if (u->of[a] != NULL && u->of[a]->kind == OP_APPEND)
            bad = repeat_append(p, u->of[a]);
    for (size_t i = j->n_notes; i-- > 0 && some > 0 && bad == NULL;) {
        const struct note *note = &j->notes[i];
        const struct op *op = &j->ops[note->op];

        if (note->kind != NOTE_ANSWERED || note->at > at || op->kind != OP_DELIVER ||
            op->accounts >= 1u << LASTING || random(3) != 0)
            continue;
        some--;
        bad = repeat_delivery(p, op, true);
    }
    for (uint32_t a = 0; a < ACCOUNTS && bad == NULL; a++) {
        bad = make_new(p, w, a, TOKENS - 100 + a);
        if (bad != NULL)
            bad = with_name(a, bad);
    }
    return bad;
}
