#include "store/compact_inside.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/apply.h"
#include "store/bugs.h"
#include "store/image.h"

#define COPY_BYTES        (1024u * 1024)       /* of a body at a time */
#define LIST_MAX          (512u * 1024 * 1024) /* of lists in memory: some million bodies */
#define ROW_MAX           (16u * 1024 * 1024)
#define ROWS_OF_A_MESSAGE 250u /* bytes of an image, about */
#define WORTH             4u   /* so many bytes of images may be written for one of segments */

const struct victim *
compact_victim(const struct compact *c, uint64_t number)
{
    for (size_t i = 0; i < c->n_victims; i++)
        if (c->victims[i].number == number)
            return &c->victims[i];
    return NULL;
}

bool
compact_cancelled(const struct compact *c)
{
    return c->settings.cancel != NULL && __atomic_load_n(c->settings.cancel, __ATOMIC_RELAXED);
}

/* --- what a segment says --- */

struct reading {
    struct compact *c;
    const struct log_record *record;
    bool failed;
};

static void
note(struct reading *r, struct numbers *table, uint64_t number, uint64_t said)
{
    struct number *slot = numbers_put(table, number);

    if (slot == NULL) {
        r->failed = true;
        return;
    }
    slot->a |= said;
    if (table == &r->c->accounts && said != POINTED)
        slot->b = r->record->lsn;
}

static bool
is_delivery(const struct reading *r)
{
    return r->record->type == RECORD_DELIVER || r->record->type == RECORD_APPEND;
}

static void
on_row(struct reading *r, struct slice key, bool put)
{
    struct compact *c = r->c;
    struct row_key k;
    uint64_t said = put ? SAID : DIED;

    if (row_key_get(key, &k) != ST_OK) {
        r->failed = true;
        return;
    }
    if (k.account != 0) {
        note(r, &c->accounts, k.account,
             k.kind == ROW_ACCOUNT && r->record->type == RECORD_ACCOUNT_ADD ? SAID | BORN : SAID);
        return;
    }
    switch (k.kind) {
    case ROW_BODY:
        if (put)
            note(r, &c->bodies, k.part[0], SAID);
        break;
    case ROW_QUEUE:
        note(r, &c->queue, k.part[0], put && is_delivery(r) ? SAID | BORN : said);
        break;
    case ROW_SEGMENT:
        note(r, &c->segments, k.part[0], said);
        break;
    case ROW_TABLE: /* said again with its segment */
        note(r, &c->segments, k.part[0], SAID);
        break;
    case ROW_REQUEST:
        if (put)
            buf_put(&c->requests, k.tail);
        break;
    case ROW_IMAGE:
        if (put)
            note(r, &c->accounts, k.part[0], POINTED);
        break;
    default: /* derived by a rebuild, or always said */
        break;
    }
}

static void
on_put(void *arg, struct slice key, struct slice value)
{
    on_row(arg, key, true);
}

static void
on_del(void *arg, struct slice key)
{
    on_row(arg, key, false);
}

static void
on_del_range(void *arg, struct slice from, struct slice to)
{
    struct reading *r = arg;
    bool all = from.n == 8; /* not only a mailbox */
    uint64_t account;

    if (take_be64(&from, &account))
        note(r, &r->c->accounts, account, all ? SAID | DIED : SAID);
}

static enum status
on_record(void *arg, const struct log_record *record, struct log_place body)
{
    struct reading *r = arg;
    struct row_sink sink = {r, on_put, on_del, on_del_range};
    enum status st;

    if (compact_cancelled(r->c))
        return ST_CANCELLED;
    r->record = record;
    st = apply_record(record->type, record->meta, &sink);
    return st == ST_OK && r->failed ? ST_MEMORY : st;
}

static enum status
read_victim(struct compact *c, const struct victim *v, struct err *err)
{
    struct reading r = {.c = c};
    enum status st = log_scan_segment(c->log, v->number, on_record, &r, err);

    if (st != ST_OK && r.record != NULL && (err == NULL || err->status != st))
        return err_set(err, st, "compact: record %" PRIu64 " of segment %" PRIx64 ": %s", r.record->lsn,
                       v->number, status_text(st));
    return st == ST_OK && !buf_ok(&c->requests) ? err_set(err, ST_MEMORY, "compact: too many requests") : st;
}

/* --- the present of the snapshot --- */

struct looking {
    struct compact *c;
    const struct index_snapshot *snapshot;
    uint64_t lsn;
    struct err *err;
};

static enum status
get(struct looking *l, const struct row_key *key, struct buf *value)
{
    buf_clear(value);
    return index_get(l->c->index, l->snapshot, key, value, l->err);
}

static enum status
scan_kind(struct looking *l, enum row_kind kind, index_scan_fn *fn)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);

    row_prefix_put(&from, KEY(0, kind), 0);
    row_range_end(&to, buf_slice(&from));
    if (!buf_ok(&from) || !buf_ok(&to))
        return err_set(l->err, ST_MEMORY, "compact: no memory");
    return index_scan(l->c->index, l->snapshot, buf_slice(&from), buf_slice(&to), fn, l, l->err);
}

/* An image in a segment that goes has to be made anew. */
static enum status
on_image_row(void *arg, struct slice key, struct slice value)
{
    struct looking *l = arg;
    struct row_image image;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK || !row_image_get(value, &image))
        return err_set(l->err, ST_CORRUPT, "compact: bad image row");
    if (compact_victim(l->c, image.segment) == NULL)
        return ST_OK;
    return numbers_put(&l->c->accounts, k.part[0]) != NULL ? ST_OK
                                                           : err_set(l->err, ST_MEMORY, "compact: no memory");
}

/* Extents in segments that go. */
static enum status
note_moves(struct looking *l, uint64_t body, const struct row_body *row)
{
    struct slice extents = row->extents;
    struct row_extent e;
    bool moves = false;

    while (row_extent_take(&extents, &e)) {
        struct move move = {e.segment, e.offset, e.n, 0};

        if (compact_victim(l->c, e.segment) == NULL)
            continue;
        buf_put(&l->c->moves, slice_from(&move, sizeof(move)));
        moves = true;
    }
    if (moves && numbers_put(&l->c->bodies, body) == NULL)
        return err_set(l->err, ST_MEMORY, "compact: no memory");
    return buf_ok(&l->c->moves) ? ST_OK : err_set(l->err, ST_MEMORY, "compact: too many bodies");
}

static enum status
on_body_row(void *arg, struct slice key, struct slice value)
{
    struct looking *l = arg;
    struct row_body row;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK || !row_body_get(value, &row))
        return err_set(l->err, ST_CORRUPT, "compact: bad body row");
    return note_moves(l, k.part[0], &row);
}

/* Bodies that a table in a segment that goes has: perhaps nothing else has their rows. */
static void
table_put(void *arg, struct slice key, struct slice value)
{
    struct looking *l = arg;
    struct row_key k;

    if (row_key_get(key, &k) == ST_OK && numbers_put(&l->c->bodies, k.part[0]) == NULL)
        (void)err_set(l->err, ST_MEMORY, "compact: no memory");
}

static void
table_del(void *arg, struct slice key)
{
}

static void
table_del_range(void *arg, struct slice from, struct slice to)
{
}

static enum status
read_table(struct looking *l, const struct victim *v)
{
    const struct row_sink sink = {l, table_put, table_del, table_del_range};
    AUTO_BUF value = BUF_INIT(256);
    struct err err = {0};
    struct row_image table;
    enum status st = get(l, KEY(0, ROW_TABLE, {v->number}), &value);

    if (st != ST_OK)
        return st == ST_NOTFOUND ? ST_OK : st;
    if (!row_image_get(buf_slice(&value), &table))
        return err_set(l->err, ST_CORRUPT, "compact: bad table row");
    l->err = &err;
    st = image_read(l->c->log, 0, &table, &sink, &err);
    return st == ST_OK ? err.status : st;
}

/* --- the new side segment --- */

static enum status
open_side(struct compact *c, struct err *err)
{
    enum status st = c->side != NULL ? ST_OK : log_side_begin(c->log, &c->side, err);

    if (st == ST_OK)
        c->side_number = log_side_at(c->side).segment;
    return st;
}

static int
by_place(const void *a, const void *b)
{
    const struct move *x = a, *y = b;

    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static struct move *
moves_of(const struct compact *c, size_t *n)
{
    *n = c->moves.n / sizeof(struct move);
    return (struct move *)(void *)c->moves.p;
}

static enum status
copy_extent(struct compact *c, struct move *m, uint8_t *bytes, struct err *err)
{
    enum status st = open_side(c, err);

    if (st == ST_OK)
        m->to = log_side_at(c->side).offset;
    if (st == ST_OK && compact_cancelled(c))
        st = ST_CANCELLED;
    for (uint64_t done = 0; st == ST_OK && done < m->n; done += COPY_BYTES) {
        size_t n = m->n - done < COPY_BYTES ? (size_t)(m->n - done) : COPY_BYTES;

        st = log_read(c->log, (struct log_place){m->segment, m->offset + done}, n, bytes, err);
        if (st == ST_OK)
            st = log_side_append(c->side, slice_from(bytes, n), err);
    }
    return st;
}

static enum status
copy_bodies(struct compact *c, struct err *err)
{
    uint8_t *bytes = malloc(COPY_BYTES);
    size_t n;
    struct move *moves = moves_of(c, &n);
    enum status st = bytes != NULL ? ST_OK : err_set(err, ST_MEMORY, "compact: no memory");

    if (n > 0)
        qsort(moves, n, sizeof(*moves), by_place);
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        /* Bodies may share an extent: the second time it is there already. */
        if (i > 0 && by_place(&moves[i], &moves[i - 1]) == 0 && moves[i].n == moves[i - 1].n)
            moves[i].to = moves[i - 1].to;
        else
            st = copy_extent(c, &moves[i], bytes, err);
    }
    free(bytes);
    return st;
}

/* The place of an extent after the move. ST_CORRUPT: it should have been copied, and was not. */
static enum status
moved_extent(const struct compact *c, struct row_extent *e)
{
    struct move key = {e->segment, e->offset, e->n, 0};
    size_t n;
    struct move *moves = moves_of(c, &n), *found;

    if (compact_victim(c, e->segment) == NULL)
        return ST_OK;
    found = n == 0 ? NULL : bsearch(&key, moves, n, sizeof(*moves), by_place);
    if (found == NULL)
        return ST_CORRUPT;
    while (found > moves && by_place(found - 1, &key) == 0)
        found--;
    for (; found < moves + n && by_place(found, &key) == 0; found++)
        if (found->n == e->n) {
            *e = (struct row_extent){c->side_number, found->to, e->n};
            return ST_OK;
        }
    return ST_CORRUPT;
}

enum status
compact_moved(const struct compact *c, struct row_body *row, struct buf *extents, uint64_t *moved,
              bool *changed)
{
    struct slice list = row->extents;
    struct row_extent e;

    *changed = false;
    buf_clear(extents);
    while (row_extent_take(&list, &e)) {
        const struct victim *v = compact_victim(c, e.segment);
        enum status st = moved_extent(c, &e);

        if (st != ST_OK)
            return st;
        if (v != NULL) {
            *changed = true;
            if (moved != NULL)
                moved[v - c->victims] += e.n;
        }
        row_extent_put(extents, &e);
    }
    row->extents = buf_slice(extents);
    return buf_ok(extents) ? ST_OK : ST_MEMORY;
}

/* Has a table that stays the newest rows of this body? The last move put them into that of the segment it
 * went to, and later moves have higher numbers. */
static enum status
is_covered(struct looking *l, const struct row_body *row, bool *covered)
{
    AUTO_BUF value = BUF_INIT(256);
    struct slice list = row->extents;
    struct row_extent e;
    uint64_t newest = 0;
    enum status st;

    *covered = false;
    while (row_extent_take(&list, &e)) {
        if (compact_victim(l->c, e.segment) != NULL)
            return ST_OK;
        if (e.segment > newest)
            newest = e.segment;
    }
    st = newest == 0 ? ST_NOTFOUND : get(l, KEY(0, ROW_TABLE, {newest}), &value);
    *covered = st == ST_OK;
    return st == ST_NOTFOUND ? ST_OK : st;
}

/* Puts one kind of the bodies' rows into the table. */
static enum status
table_rows(struct looking *l, struct image_writer **w, enum row_kind kind)
{
    AUTO_BUF key = BUF_INIT(64), value = BUF_INIT(ROW_MAX), digest = BUF_INIT(ROW_MAX),
             extents = BUF_INIT(1024);
    struct compact *c = l->c;
    enum status st = ST_OK;

    for (size_t i = 0; i < c->bodies.n && st == ST_OK; i++) {
        uint64_t body = c->bodies.slots[i].key;
        struct row_body row = {0};
        bool covered, changed;

        st = get(l, KEY(0, ROW_BODY, {body}), &value);
        if (st == ST_NOTFOUND) {
            st = ST_OK; /* dead */
            continue;
        }
        if (st == ST_OK && !row_body_get(buf_slice(&value), &row))
            st = err_set(l->err, ST_CORRUPT, "compact: bad row of body %" PRIu64, body);
        if (st == ST_OK)
            st = is_covered(l, &row, &covered);
        if (st != ST_OK || covered || BUG(table_empty))
            continue;
        if (*w == NULL) {
            st = open_side(c, l->err);
            *w = st == ST_OK ? image_begin(c->side, 0, l->lsn) : NULL;
            if (*w == NULL)
                return st == ST_OK ? err_set(l->err, ST_MEMORY, "compact: no memory") : st;
        }
        st = compact_moved(c, &row, &extents, NULL, &changed);
        if (st != ST_OK)
            return err_set(l->err, st, "compact: body %" PRIu64 " cannot be moved", body);
        buf_clear(&key);
        row_key_put(&key, KEY(0, kind, {body}));
        buf_clear(&digest);
        if (kind == ROW_BODY) {
            row_body_put(&digest, &row);
        } else {
            st = index_get(c->index, l->snapshot, KEY(0, ROW_DIGEST, {body}), &digest, l->err);
            if (st == ST_NOTFOUND)
                st = err_set(l->err, ST_CORRUPT, "compact: body %" PRIu64 " has no digest", body);
        }
        if (st == ST_OK)
            st = image_put(*w, slice_skip(buf_slice(&key), 8), buf_slice(&digest), l->err);
    }
    return st;
}

static enum status
write_table(struct looking *l)
{
    struct image_writer *w = NULL;
    struct row_image image;
    enum status st;

    numbers_sort(&l->c->bodies);
    st = table_rows(l, &w, ROW_BODY);
    if (st == ST_OK && w != NULL)
        st = table_rows(l, &w, ROW_DIGEST);
    if (st != ST_OK || w == NULL) {
        image_drop(w);
        return st;
    }
    st = image_end(w, &image, l->err);
    if (st == ST_OK)
        record_imaged_put(&l->c->images, &(struct record_imaged){0, image});
    return st;
}

/* Is the image that the account has good enough, or is a new one needed? */
static enum status
write_image(struct looking *l, struct number *account)
{
    AUTO_BUF value = BUF_INIT(65536);
    struct row_image image;
    enum status st = get(l, KEY(0, ROW_IMAGE, {account->key}), &value);

    if (st == ST_OK && !row_image_get(buf_slice(&value), &image))
        return err_set(l->err, ST_CORRUPT, "compact: bad image row");
    if (st != ST_OK && st != ST_NOTFOUND)
        return st;
    if (st == ST_OK && compact_victim(l->c, image.segment) == NULL &&
        (image.lsn >= account->b || BUG(image_stale)))
        return ST_OK;
    st = get(l, KEY(account->key, ROW_ACCOUNT), &value);
    if (st == ST_NOTFOUND) /* it is erased */
        return ST_OK;
    if (st == ST_OK)
        st = open_side(l->c, l->err);
    if (st == ST_OK)
        st = image_write(l->c->index, l->snapshot, account->key, l->c->side, &image, l->err);
    if (st == ST_OK) {
        record_imaged_put(&l->c->images, &(struct record_imaged){account->key, image});
        account->a |= FRESH;
        l->c->stats.images++;
    }
    return st;
}

static enum status
write_images(struct looking *l)
{
    struct compact *c = l->c;
    enum status st = ST_OK;

    numbers_sort(&c->accounts);
    for (size_t i = 0; i < c->accounts.n && st == ST_OK; i++)
        st = compact_cancelled(c) ? ST_CANCELLED : write_image(l, &c->accounts.slots[i]);
    return st == ST_OK && !buf_ok(&c->images) ? err_set(l->err, ST_MEMORY, "compact: too many accounts") : st;
}

static enum status
seal(struct compact *c, struct err *err)
{
    struct log_place place;
    enum status st;

    if (c->side == NULL)
        return ST_OK;
    st = log_side_seal(c->side, &place, &c->side_row.size, &c->side_row.sum, err);
    c->side = NULL;
    if (st != ST_OK)
        c->side_number = 0;
    c->side_row.side = 1;
    c->stats.bytes_after = c->side_row.size;
    return st;
}

/* --- beginning --- */

static bool
is_adopted(const struct compact *c, uint64_t number)
{
    AUTO_BUF value = BUF_INIT(256);

    return index_get(c->index, NULL, KEY(0, ROW_SEGMENT, {number}), &value, NULL) == ST_OK;
}

static enum status
find_victims(struct compact *c, const uint64_t *segments, size_t n, struct err *err)
{
    struct log_segment *list = NULL;
    size_t count = 0;
    enum status st = log_segments(c->log, &list, &count, err);

    c->victims = calloc(n + 1, sizeof(*c->victims));
    if (st == ST_OK && c->victims == NULL)
        st = err_set(err, ST_MEMORY, "compact: no memory");
    for (size_t i = 0; i < count && st == ST_OK; i++) {
        bool wanted = false;

        for (size_t k = 0; k < n && !wanted; k++)
            wanted = segments[k] == list[i].number;
        if (wanted && list[i].current)
            st = err_set(err, ST_STATE, "compact: segment %" PRIx64 " is still written to", list[i].number);
        if (wanted && st == ST_OK) {
            if (list[i].kind == LOG_SIDE && !is_adopted(c, list[i].number))
                continue; /* its record may be on its way */
            c->victims[c->n_victims++] = (struct victim){list[i].number, list[i].bytes, list[i].kind};
            c->stats.bytes_before += list[i].bytes;
        }
    }
    for (size_t i = 0; i < count && st == ST_OK && c->n_victims > 0; i++)
        if (list[i].kind == LOG_MAIN && compact_victim(c, list[i].number) == NULL &&
            list[i].number < c->victims[c->n_victims - 1].number) {
            c->older = true;
            c->between = c->between || list[i].number > c->victims[0].number;
        }
    free(list);
    c->stats.segments = c->n_victims;
    return st == ST_OK && c->n_victims == 0 ? err_set(err, ST_NOTFOUND, "compact: no such segment") : st;
}

/* Is all that the main segments say in the snapshot? */
static enum status
check_applied(struct looking *l)
{
    struct log_segment *list = NULL;
    size_t n = 0;
    enum status st = log_segments(l->c->log, &list, &n, l->err);

    for (size_t i = 0; i < n && st == ST_OK; i++)
        if (list[i].kind == LOG_MAIN && compact_victim(l->c, list[i].number) != NULL &&
            list[i].end_lsn - 1 > l->lsn)
            st = err_set(l->err, ST_STATE, "compact: the index has not all of segment %" PRIx64,
                         list[i].number);
    free(list);
    return st;
}

static enum status
check_young(struct looking *l)
{
    AUTO_BUF value = BUF_INIT(256);
    struct slice requests = buf_slice(&l->c->requests), request;
    struct row_request row;

    while (!l->c->settings.force && take_bytes(&requests, 16, &request)) {
        enum status st = get(l, KEY(0, ROW_REQUEST, {0}, request), &value);

        if (st == ST_OK && row_request_get(buf_slice(&value), &row) && row.expires > l->c->settings.now)
            return err_set(l->err, ST_STATE, "compact: too young");
        if (st != ST_OK && st != ST_NOTFOUND)
            return st;
    }
    return ST_OK;
}

/* Images of large accounts for few records: better when more segments go at once. */
static enum status
check_worth(struct looking *l)
{
    AUTO_BUF value = BUF_INIT(256);
    struct numbers *accounts = &l->c->accounts;
    uint64_t bytes = 0;

    for (size_t i = 0; i < accounts->cap && !l->c->settings.force; i++) {
        struct row_usage usage;
        struct row_image image;
        enum status st;

        if (!accounts->slots[i].used)
            continue;
        st = get(l, KEY(0, ROW_IMAGE, {accounts->slots[i].key}), &value);
        if (st == ST_OK && row_image_get(buf_slice(&value), &image) && image.lsn >= accounts->slots[i].b)
            continue;
        if (st == ST_OK || st == ST_NOTFOUND)
            st = get(l, KEY(accounts->slots[i].key, ROW_USAGE), &value);
        if (st == ST_OK && row_usage_get(buf_slice(&value), &usage))
            bytes += usage.messages * ROWS_OF_A_MESSAGE;
        else if (st != ST_OK && st != ST_NOTFOUND)
            return st;
    }
    if (bytes / WORTH > l->c->stats.bytes_before)
        return err_set(l->err, ST_STATE,
                       "compact: about %" PRIu64 " bytes of images for %" PRIu64 " of segments", bytes,
                       l->c->stats.bytes_before);
    return ST_OK;
}

/* Which bodies have bytes in the segments? Those of a main segment are among those that its records speak of.
 */
static enum status
find_moves(struct looking *l)
{
    AUTO_BUF value = BUF_INIT(ROW_MAX);
    struct compact *c = l->c;
    bool side = false;
    size_t n = 0;
    uint64_t *list;
    enum status st = ST_OK;

    for (size_t i = 0; i < c->n_victims; i++)
        side = side || c->victims[i].kind == LOG_SIDE;
    if (side)
        return scan_kind(l, ROW_BODY, on_body_row);
    list = calloc(c->bodies.n + 1, sizeof(*list));
    if (list == NULL)
        return err_set(l->err, ST_MEMORY, "compact: no memory");
    for (size_t i = 0; i < c->bodies.cap; i++)
        if (c->bodies.slots[i].used)
            list[n++] = c->bodies.slots[i].key;
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct row_body row;

        st = get(l, KEY(0, ROW_BODY, {list[i]}), &value);
        if (st == ST_OK)
            st = row_body_get(buf_slice(&value), &row) ? note_moves(l, list[i], &row)
                                                       : err_set(l->err, ST_CORRUPT, "compact: bad body row");
        else if (st == ST_NOTFOUND)
            st = ST_OK;
    }
    free(list);
    return st;
}

/* Reads the segments, and writes what goes on living of them. */
static enum status
prepare(struct compact *c, const struct index_snapshot *snapshot, struct err *err)
{
    struct looking l = {c, snapshot, 0, err};
    enum status st = image_lsn(c->index, snapshot, &l.lsn, err);

    if (st == ST_OK)
        st = check_applied(&l);
    for (size_t i = 0; i < c->n_victims && st == ST_OK; i++) {
        if (c->victims[i].kind == LOG_MAIN)
            st = read_victim(c, &c->victims[i], err);
        else
            st = log_check_side(c->log, c->victims[i].number, err);
        if (st == ST_OK && c->victims[i].kind == LOG_SIDE) {
            st = read_table(&l, &c->victims[i]);
            l.err = err;
        }
    }
    if (st == ST_OK)
        st = check_young(&l);
    if (st == ST_OK)
        st = scan_kind(&l, ROW_IMAGE, on_image_row);
    if (st == ST_OK)
        st = check_worth(&l);
    if (st == ST_OK)
        st = find_moves(&l);
    if (st == ST_OK)
        st = copy_bodies(c, err);
    if (st == ST_OK)
        st = write_table(&l);
    if (st == ST_OK)
        st = write_images(&l);
    if (st == ST_OK)
        st = seal(c, err);
    numbers_sort(&c->queue);
    numbers_sort(&c->segments);
    c->left = buf_slice(&c->images);
    return st;
}

enum status
compact_begin(struct log *log, struct index *index, const uint64_t *segments, size_t n,
              const struct compact_settings *settings, struct compact **compact, struct err *err)
{
    struct compact *c = calloc(1, sizeof(*c));
    struct index_snapshot *snapshot;
    enum status st;

    if (c == NULL)
        return err_set(err, ST_MEMORY, "compact: no memory");
    c->log = log;
    c->index = index;
    c->settings = *settings;
    c->requests = c->moves = c->images = BUF_INIT(LIST_MAX);
    st = find_victims(c, segments, n, err);
    if (st == ST_OK) {
        snapshot = index_snapshot_new(index);
        st = snapshot != NULL ? prepare(c, snapshot, err) : err_set(err, ST_MEMORY, "compact: no memory");
        index_snapshot_free(index, snapshot);
    }
    if (st == ST_OK) /* a replay will not have to go back into what goes */
        st = index_flush(index, err);
    if (st != ST_OK) {
        compact_drop(c);
        return st;
    }
    *compact = c;
    return ST_OK;
}

/* --- the end --- */

void
compact_stats(const struct compact *c, struct compact_stats *stats)
{
    *stats = c->stats;
}

static void
free_all(struct compact *c)
{
    free(c->victims);
    numbers_done(&c->bodies);
    numbers_done(&c->queue);
    numbers_done(&c->accounts);
    numbers_done(&c->segments);
    buf_done(&c->requests);
    buf_done(&c->moves);
    buf_done(&c->images);
    free(c);
}

enum status
compact_end(struct compact *c, struct err *err)
{
    enum status st =
        c->step == DONE ? index_flush(c->index, err) : err_set(err, ST_STATE, "compact: not all was said");

    for (size_t i = 0; i < c->n_victims && st == ST_OK; i++)
        st = log_forget(c->log, c->victims[i].number, err);
    free_all(c);
    return st;
}

void
compact_drop(struct compact *c)
{
    AUTO_BUF value = BUF_INIT(256);
    enum status st = ST_OK;

    if (c == NULL)
        return;
    if (c->side != NULL)
        log_side_drop(c->side);
    else if (c->side_number != 0 &&
             index_get(c->index, NULL, KEY(0, ROW_SEGMENT, {c->side_number}), &value, NULL) == ST_NOTFOUND)
        st = log_forget(c->log, c->side_number, NULL);
    (void)st; /* else, or when in doubt, the next start looks again */
    free_all(c);
}
