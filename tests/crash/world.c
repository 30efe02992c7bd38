#include "tests/crash/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/log_format.h"
#include "store/request.h"

#define BODY_MOST (256u * 1024u)

static void *
grown(void *p, size_t n)
{
    p = realloc(p, n);
    if (p == NULL)
        abort();
    return p;
}

/* --- the journal --- */

void
journal_done(struct journal *j)
{
    free(j->ops);
    free(j->notes);
    *j = (struct journal){0};
}

uint32_t
journal_op(struct journal *j, const struct op *op)
{
    if (j->n_ops == j->cap_ops) {
        j->cap_ops = j->cap_ops == 0 ? 1024 : 2 * j->cap_ops;
        j->ops = grown(j->ops, j->cap_ops * sizeof(*j->ops));
    }
    j->ops[j->n_ops] = *op;
    return (uint32_t)j->n_ops++;
}

bool
journal_save(const struct journal *j, const char *path)
{
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL && fwrite(&j->n_ops, sizeof(j->n_ops), 1, f) == 1 &&
              fwrite(&j->n_notes, sizeof(j->n_notes), 1, f) == 1 &&
              fwrite(j->ops, sizeof(*j->ops), j->n_ops, f) == j->n_ops &&
              fwrite(j->notes, sizeof(*j->notes), j->n_notes, f) == j->n_notes;

    return f != NULL && fclose(f) == 0 && ok;
}

bool
journal_load(struct journal *j, const char *path)
{
    FILE *f = fopen(path, "rb");
    bool ok = f != NULL && fread(&j->n_ops, sizeof(j->n_ops), 1, f) == 1 &&
              fread(&j->n_notes, sizeof(j->n_notes), 1, f) == 1 && j->n_ops < 1u << 20 &&
              j->n_notes < 1u << 20;

    if (ok) {
        j->ops = grown(NULL, (j->n_ops + 1) * sizeof(*j->ops));
        j->notes = grown(NULL, (j->n_notes + 1) * sizeof(*j->notes));
        j->cap_ops = j->n_ops;
        j->cap_notes = j->n_notes;
        ok = fread(j->ops, sizeof(*j->ops), j->n_ops, f) == j->n_ops &&
             fread(j->notes, sizeof(*j->notes), j->n_notes, f) == j->n_notes;
    }
    if (f != NULL)
        (void)fclose(f);
    return ok;
}

/* --- bodies --- */

static uint64_t
mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

bool
token_is_large(uint32_t token)
{
    return token % 16 == 7;
}

uint32_t
token_entries(uint32_t token)
{
    uint32_t n = (uint32_t)mix(token + 3) % (2 * ENTRIES);

    return n < ENTRIES ? n : 0;
}

static size_t
body_length(uint32_t token)
{
    uint64_t r = mix(token);

    if (token_is_large(token))
        return 20000 + (size_t)(r >> 8) % 60000;
    switch (r % 8) {
    case 0:
        return 20000 + (size_t)(r >> 8) % 60000;
    case 1:
    case 2:
        return 3000 + (size_t)(r >> 8) % 17000;
    default:
        return 200 + (size_t)(r >> 8) % 3000;
    }
}

/* Batches with one record each, of numbers that may come next, at every place where a batch may begin. */
static void
look_like_batches(uint32_t token, struct buf *to, size_t from)
{
    uint64_t number = token % 700, lsn = token % 1500;

    for (size_t at = (from + 7) & ~(size_t)7; at + LOG_BATCH_HEADER + LOG_RECORD_HEADER <= to->n; at += 96) {
        struct log_batch_header h = {LOG_BATCH_HEADER + LOG_RECORD_HEADER, 1, number++, lsn++};
        struct log_record r = {
            .type = LOG_GONE, .lsn = h.first_lsn, .batch = h.number, .length = LOG_RECORD_HEADER};

        log_batch_header_put(to->p + at, &h, 0, token % 8);
        log_record_seal(to->p + at + LOG_BATCH_HEADER, &r, 0, token % 8);
    }
}

void
token_body(uint32_t token, struct buf *to)
{
    size_t n = body_length(token), start = to->n, head;
    uint64_t x = mix(token + 1);

    buf_printf(to, "Subject: t%08x %08zx\r\n\r\n", token, n);
    head = to->n;
    while (to->n - start < n) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        buf_put_le32(to, (uint32_t)(x >> 32));
    }
    to->n = start + n;
    if (token % 4 == 1)
        look_like_batches(token, to, head);
}

bool
token_of(struct slice bytes, uint32_t *token)
{
    AUTO_BUF want = BUF_INIT(BODY_MOST);
    char text[16] = {0};

    (void)take_literal(&bytes, SLICE(PREFIX));
    if (!slice_has_prefix(bytes, SLICE("Subject: t")) || bytes.n < 30)
        return false;
    memcpy(text, bytes.p + 10, 8);
    *token = (uint32_t)strtoul(text, NULL, 16);
    token_body(*token, &want);
    return slice_eq(buf_slice(&want), bytes);
}

/* --- the model --- */

const char *
account_name(uint32_t account)
{
    static const char *const names[ACCOUNTS] = {"usr1@dominio.com.uy", "usr2@dominio.com.uy",
                                                "usr3@otro.example", "tmp1@dominio.com.uy",
                                                "tmp2@dominio.com.uy"};

    return names[account];
}

void
queue_settle(struct queue_known *known, const struct op *op)
{
    for (uint32_t i = 0; i < op->n; i++) {
        uint32_t token = op->uids[i] / ENTRIES, k = op->uids[i] % ENTRIES;

        known->came[token] = true; /* all of a message came with this one */
        if ((op->flags & 1u << i) != 0)
            known->done[token] |= (uint8_t)(1u << k);
        else
            known->tries[token][k] = op->new_uids[i];
    }
}

struct world *
world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));

    if (w == NULL)
        abort();
    return w;
}

void
account_clear(struct account *a)
{
    for (size_t i = 0; i < a->n_boxes; i++)
        free(a->boxes[i].messages);
    *a = (struct account){0};
}

void
world_free(struct world *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < ACCOUNTS; i++)
        account_clear(&w->accounts[i]);
    free(w);
}

void
account_copy(struct account *to, const struct account *from)
{
    *to = *from;
    for (size_t i = 0; i < to->n_boxes; i++) {
        struct box *b = &to->boxes[i];

        b->messages = grown(NULL, (b->n + 1) * sizeof(*b->messages));
        b->cap = b->n + 1;
        if (b->n > 0)
            memcpy(b->messages, from->boxes[i].messages, b->n * sizeof(*b->messages));
    }
}

struct box *
account_box(struct account *a, uint64_t number)
{
    for (size_t i = 0; i < a->n_boxes; i++)
        if (a->boxes[i].number == number)
            return &a->boxes[i];
    return NULL;
}

struct box *
account_box_named(struct account *a, const char *name)
{
    for (size_t i = 0; i < a->n_boxes; i++)
        if (strcmp(a->boxes[i].name, name) == 0)
            return &a->boxes[i];
    return NULL;
}

struct message *
box_message(struct box *b, uint32_t uid)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->messages[i].uid == uid)
            return &b->messages[i];
    return NULL;
}

void
box_add(struct box *b, struct message m)
{
    if (b->n == b->cap) {
        b->cap = b->cap == 0 ? 16 : 2 * b->cap;
        b->messages = grown(b->messages, b->cap * sizeof(*b->messages));
    }
    b->messages[b->n++] = m;
    if (m.uid >= b->uidnext)
        b->uidnext = m.uid + 1;
}

static void
box_drop(struct box *b, uint32_t uid)
{
    struct message *m = box_message(b, uid);

    if (m != NULL)
        *m = b->messages[--b->n];
}

static struct box *
new_box(struct account *a, uint64_t number, const char *name)
{
    struct box *b = &a->boxes[a->n_boxes];

    if (a->n_boxes == BOXES)
        abort();
    a->n_boxes++;
    *b = (struct box){.number = number};
    (void)snprintf(b->name, sizeof(b->name), "%s", name);
    if (number > a->highest_box)
        a->highest_box = number;
    return b;
}

/* With the levels above it that are not there. */
static void
create_box(struct account *a, const char *name, uint64_t number)
{
    char level[NAME_SIZE];

    for (size_t i = 0; name[i] != '\0'; i++) {
        (void)snprintf(level, sizeof(level), "%.*s", (int)i, name);
        if (name[i] == '/' && account_box_named(a, level) == NULL)
            (void)new_box(a, 0, level);
    }
    (void)new_box(a, number, name);
}

static void
rename_box(struct account *a, uint64_t number, const char *name)
{
    struct box *b = account_box(a, number);
    char old[NAME_SIZE], below[NAME_SIZE];
    size_t n;

    if (b == NULL)
        return;
    (void)snprintf(old, sizeof(old), "%s", b->name);
    n = strlen(old);
    (void)snprintf(b->name, sizeof(b->name), "%s", name);
    for (size_t i = 0; i < a->n_boxes; i++)
        if (strncmp(a->boxes[i].name, old, n) == 0 && a->boxes[i].name[n] == '/') {
            (void)snprintf(below, sizeof(below), "%s", a->boxes[i].name + n);
            (void)snprintf(a->boxes[i].name, sizeof(a->boxes[i].name), "%.20s%.40s", name, below);
        }
}

static void
copy_messages(struct account *a, const struct op *op, bool answered)
{
    struct box *from = account_box(a, op->mailbox), *to = account_box(a, op->to);

    for (uint32_t i = 0; i < op->n && from != NULL && to != NULL; i++) {
        const struct message *m = box_message(from, op->uids[i]);
        struct message copy;

        if (m == NULL)
            continue;
        copy = *m;
        copy.uid = answered ? op->new_uids[i] : 0;
        if (op->kind == OP_MOVE)
            box_drop(from, op->uids[i]);
        box_add(to, copy);
    }
}

static void
change_flags(struct account *a, const struct op *op, bool answered)
{
    struct box *b = account_box(a, op->mailbox);

    for (uint32_t i = 0; i < op->n && b != NULL; i++) {
        struct message *m = box_message(b, op->uids[i]);

        if (m == NULL)
            continue;
        if (op->flags_op == FLAGS_REPLACE)
            m->flags = op->flags;
        else if (op->flags_op == FLAGS_ADD)
            m->flags |= op->flags;
        else
            m->flags = (uint16_t)(m->flags & ~op->flags);
    }
    if (b != NULL && answered && op->modseq > b->modseq)
        b->modseq = op->modseq;
}

static void
remove_box(struct account *a, uint64_t number)
{
    struct box *b = account_box(a, number);

    if (b == NULL)
        return;
    free(b->messages);
    *b = a->boxes[--a->n_boxes];
}

uint16_t
append_flags(const struct op *op, uint32_t i)
{
    return (uint16_t)((op->flags + i) % 32);
}

/* All of them, or the account is not as it should be (RFC 3502). */
static void
append_messages(struct account *a, const struct op *op, bool answered)
{
    struct box *b = account_box(a, op->mailbox);

    if (b == NULL)
        return;
    for (uint32_t i = 0; i < op->n; i++)
        box_add(b, (struct message){answered ? op->new_uids[i] : 0, op->token + i, append_flags(op, i)});
    if (answered) {
        b->uidvalidity = op->uidvalidity;
        if (op->modseq > b->modseq)
            b->modseq = op->modseq;
    }
}

static void
expunge(struct account *a, const struct op *op)
{
    struct box *b = account_box(a, op->mailbox);

    for (uint32_t i = 0; i < op->n && b != NULL; i++) {
        const struct message *m = box_message(b, op->uids[i]);

        if (m != NULL && (m->flags & FLAG_DELETED) != 0)
            box_drop(b, op->uids[i]);
    }
}

void
account_apply(struct account *a, const struct op *op, bool answered)
{
    switch (op->kind) {
    case OP_APPEND:
        append_messages(a, op, answered);
        break;
    case OP_FLAGS:
        change_flags(a, op, answered);
        break;
    case OP_COPY:
    case OP_MOVE:
        copy_messages(a, op, answered);
        break;
    case OP_EXPUNGE:
        expunge(a, op);
        break;
    case OP_CREATE:
        create_box(a, op->name, answered ? op->mailbox : 0);
        break;
    case OP_RENAME:
        rename_box(a, op->mailbox, op->name);
        break;
    case OP_REMOVE:
        remove_box(a, op->mailbox);
        break;
    case OP_ACCOUNT_ADD:
        account_clear(a);
        a->exists = true;
        (void)new_box(a, 0, "INBOX");
        break;
    case OP_ACCOUNT_DELETE:
        account_clear(a);
        break;
    case OP_SETTLE:
    case OP_DELIVER:
        break;
    }
}

static bool
has_arrived(const struct account *a, uint32_t token)
{
    return (a->arrived[token / 8] & 1u << token % 8) != 0;
}

static void
arrives(struct account *a, uint32_t token)
{
    a->arrived[token / 8] |= (uint8_t)(1u << token % 8);
}

static void
delivered(struct world *w, const struct op *op)
{
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        struct account *a = &w->accounts[i];
        struct box *b = account_box_named(a, op->in_folder ? FOLDER : "INBOX");

        if ((op->accounts & 1u << i) == 0 || has_arrived(a, op->token) || b == NULL)
            continue;
        arrives(a, op->token);
        box_add(b, (struct message){0, op->token, 0});
    }
}

static void
seen(struct account *a, const struct note *note)
{
    struct box *b = account_box(a, note->mailbox);

    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n; i++)
        if (b->messages[i].uid == 0 && b->messages[i].token == note->token) {
            b->messages[i].uid = note->uid;
            if (note->uid >= b->uidnext)
                b->uidnext = note->uid + 1;
            return;
        }
    arrives(a, note->token);
    box_add(b, (struct message){note->uid, note->token, 0});
}

static void
box_told(struct account *a, const struct note *note)
{
    struct box *b = account_box(a, note->mailbox);

    if (b == NULL)
        return;
    b->uidvalidity = note->token;
    if (note->uid > b->uidnext)
        b->uidnext = note->uid;
    if (note->modseq > b->modseq)
        b->modseq = note->modseq;
}

static void
box_named(struct account *a, const struct note *note)
{
    struct box *b = account_box_named(a, note->name);

    if (b == NULL)
        return;
    b->number = note->mailbox;
    if (note->mailbox > a->highest_box)
        a->highest_box = note->mailbox;
}

void
world_apply(struct world *w, const struct journal *j, const struct note *note)
{
    const struct op *op = &j->ops[note->op];
    struct account *a;

    switch (note->kind) {
    case NOTE_SENT:
        break;
    case NOTE_ANSWERED:
        if (op->kind == OP_DELIVER) {
            delivered(w, op);
            if (op->accounts < 1u << LASTING && token_entries(op->token) > 0)
                w->queue.came[op->token] = true;
        }
        if (op->kind == OP_DELIVER || op->kind == OP_SETTLE)
            queue_settle(&w->queue, op);
        else
            account_apply(&w->accounts[op->account], op, true);
        break;
    case NOTE_SEEN:
        seen(&w->accounts[note->account], note);
        break;
    case NOTE_BOX:
        box_told(&w->accounts[note->account], note);
        break;
    case NOTE_NAMED:
        box_named(&w->accounts[note->account], note);
        break;
    case NOTE_NUMBER:
        a = &w->accounts[note->account];
        a->number = note->mailbox;
        if (a->number > w->highest_account)
            w->highest_account = a->number;
        break;
    }
}

void
world_note(struct world *w, struct journal *j, const struct note *note)
{
    if (j->n_notes == j->cap_notes) {
        j->cap_notes = j->cap_notes == 0 ? 4096 : 2 * j->cap_notes;
        j->notes = grown(j->notes, j->cap_notes * sizeof(*j->notes));
    }
    j->notes[j->n_notes++] = *note;
    world_apply(w, j, note);
}
