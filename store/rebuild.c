#include "store/rebuild.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/apply.h"
#include "store/bugs.h"
#include "store/image.h"
#include "store/numbers.h"

#define BATCH_RECORDS 4096u
#define BATCH_BYTES   (16u * 1024 * 1024)
#define LIST_MAX      (512u * 1024 * 1024)

#define KEY(...) (&(struct row_key){__VA_ARGS__})

struct rebuild {
    struct log *log;
    struct index *index; /* the fresh one */
    struct index_batch *batch;
    struct row_sink into; /* the batch */
    /* Found in the first pass. a: the LSN of what is newest, UINT64_MAX when it is erased; b: its place in
     * `images`. */
    struct numbers accounts, tables, bodies;
    struct buf images; /* struct row_image */
    uint64_t lsn;      /* of the record that is being applied */
    uint64_t table;    /* LSN of the table that is being applied */
    size_t waiting, bytes;
    struct rebuild_stats stats;
    struct err *err;
};

static enum status
no_memory(struct rebuild *r)
{
    return err_set(r->err, ST_MEMORY, "rebuild: no memory");
}

/* --- pass 1: images, tables, and who is erased --- */

static enum status
note_image(struct rebuild *r, struct numbers *table, uint64_t key, const struct row_image *image)
{
    struct number *slot = numbers_put(table, key);

    if (slot == NULL)
        return no_memory(r);
    if (slot->a > image->lsn || (slot->b != 0 && slot->a == image->lsn))
        return ST_OK;
    slot->a = image->lsn;
    buf_put(&r->images, slice_from(image, sizeof(*image)));
    slot->b = r->images.n / sizeof(*image); /* one more than its place */
    return buf_ok(&r->images) ? ST_OK : no_memory(r);
}

static enum status
note_gone(struct rebuild *r, struct slice segments)
{
    struct record_live live;

    while (segments.n > 0) {
        struct number *slot;

        if (!record_live_take(&segments, &live))
            return ST_CORRUPT;
        slot = live.gone ? numbers_put(&r->tables, live.segment) : NULL;
        if (slot != NULL)
            slot->a = UINT64_MAX;
    }
    return ST_OK;
}

static enum status
note_adopt(struct rebuild *r, struct slice meta)
{
    struct record_adopt m;
    struct record_imaged i;
    enum status st = record_adopt_read(meta, &m);

    while (st == ST_OK && m.images.n > 0) {
        if (!record_imaged_take(&m.images, &i))
            return ST_CORRUPT;
        st = i.account == 0 ? note_image(r, &r->tables, i.row.segment, &i.row)
                            : note_image(r, &r->accounts, i.account, &i.row);
    }
    return st == ST_OK ? note_gone(r, m.segments) : st;
}

static enum status
first_pass(void *arg, const struct log_record *record, struct log_place body)
{
    struct rebuild *r = arg;
    struct record_account_erase erase;
    struct number *slot;

    /* What cannot be read is told in the second pass. */
    if (record->type == RECORD_ADOPT && note_adopt(r, record->meta) == ST_MEMORY)
        return ST_MEMORY;
    if (record->type != RECORD_ACCOUNT_ERASE || record_account_erase_read(record->meta, &erase) != ST_OK)
        return ST_OK;
    slot = numbers_put(&r->accounts, erase.account);
    if (slot == NULL)
        return no_memory(r);
    slot->a = UINT64_MAX; /* a number is never given twice */
    return ST_OK;
}

/* --- what goes through --- */

static void
count_bytes(struct rebuild *r, size_t n)
{
    r->bytes += n;
}

/* Is this row of the past in a newer image, or put anew at the end? */
static bool
is_passed_over(struct rebuild *r, const struct row_key *k)
{
    const struct number *slot;

    if (k->account != 0) {
        slot = numbers_get(&r->accounts, k->account);
        return slot != NULL && r->lsn <= slot->a && !BUG(image_overrun);
    }
    switch (k->kind) {
    case ROW_ACCOUNT_NAME:
    case ROW_QUEUE_DUE:
    case ROW_REQUEST_DUE:
    case ROW_REFS:
        return true;
    case ROW_BODY:
    case ROW_DIGEST:
        slot = numbers_get(&r->bodies, k->part[0]);
        return slot != NULL && r->lsn <= slot->a;
    case ROW_IMAGE:
        slot = numbers_get(&r->accounts, k->part[0]);
        return slot != NULL && slot->a == UINT64_MAX;
    default:
        return false;
    }
}

static void
replay_put(void *arg, struct slice key, struct slice value)
{
    struct rebuild *r = arg;
    struct row_key k;

    if (row_key_get(key, &k) == ST_OK && !is_passed_over(r, &k)) {
        r->into.put(r->into.arg, key, value);
        count_bytes(r, key.n + value.n);
    }
}

static void
replay_del(void *arg, struct slice key)
{
    struct rebuild *r = arg;
    struct row_key k;

    if (row_key_get(key, &k) == ST_OK && !is_passed_over(r, &k))
        r->into.del(r->into.arg, key);
}

static void
replay_del_range(void *arg, struct slice from, struct slice to)
{
    struct rebuild *r = arg;
    struct slice at = from;
    struct row_key k = {0};

    if (take_be64(&at, &k.account) && !is_passed_over(r, &k))
        r->into.del_range(r->into.arg, from, to);
}

/* An image's rows go into an empty index: nothing is there to be deleted before. */
static void
image_put_row(void *arg, struct slice key, struct slice value)
{
    struct rebuild *r = arg;

    r->into.put(r->into.arg, key, value);
    count_bytes(r, key.n + value.n);
    if (r->bytes >= BATCH_BYTES) {
        enum status st = index_write(r->index, r->batch, 0, r->err);

        r->bytes = 0;
        if (st != ST_OK && r->err->status == ST_OK)
            r->err->status = st;
    }
}

static void
image_del(void *arg, struct slice key)
{
}

static void
image_del_range(void *arg, struct slice from, struct slice to)
{
}

/* Of a body that stands in several tables the newest counts: they come in order. */
static void
table_put_row(void *arg, struct slice key, struct slice value)
{
    struct rebuild *r = arg;
    struct row_key k;
    struct number *slot;

    if (row_key_get(key, &k) != ST_OK)
        return;
    slot = numbers_put(&r->bodies, k.part[0]);
    if (slot == NULL)
        r->err->status = ST_MEMORY;
    else
        slot->a = r->table;
    image_put_row(arg, key, value);
}

/* --- pass 2 --- */

static enum status
write_batch(struct rebuild *r, uint64_t lsn)
{
    r->waiting = r->bytes = 0;
    return index_write(r->index, r->batch, lsn, r->err);
}

static const struct row_image *
image_at(const struct rebuild *r, uint64_t place)
{
    return (const struct row_image *)(const void *)r->images.p + (place - 1);
}

static int
by_lsn(const void *a, const void *b)
{
    const struct number *x = a, *y = b;

    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->key > y->key) - (x->key < y->key);
}

static enum status
apply_tables(struct rebuild *r)
{
    const struct row_sink sink = {r, table_put_row, image_del, image_del_range};
    enum status st = ST_OK;

    numbers_sort(&r->tables);
    if (r->tables.n > 0)
        qsort(r->tables.slots, r->tables.n, sizeof(*r->tables.slots), by_lsn);
    for (size_t i = 0; i < r->tables.n && st == ST_OK; i++) {
        const struct number *t = &r->tables.slots[i];

        if (t->a == UINT64_MAX || t->b == 0)
            continue;
        r->table = t->a;
        st = image_read(r->log, 0, image_at(r, t->b), &sink, r->err);
        if (st == ST_OK)
            st = r->err->status;
    }
    return st;
}

static enum status
apply_images(struct rebuild *r)
{
    const struct row_sink sink = {r, image_put_row, image_del, image_del_range};
    enum status st = ST_OK;

    for (size_t i = 0; i < r->accounts.cap && st == ST_OK; i++) {
        const struct number *a = &r->accounts.slots[i];

        if (!a->used || a->a == UINT64_MAX || a->b == 0)
            continue;
        st = image_read(r->log, a->key, image_at(r, a->b), &sink, r->err);
        if (st == ST_OK)
            st = r->err->status;
        r->stats.images++;
    }
    return st == ST_OK ? write_batch(r, 0) : st;
}

/* Who is out of service because of it. 0: nobody can be told from the record. */
static uint64_t
account_of(const struct log_record *record)
{
    struct slice at = record->meta;
    uint16_t version;
    uint64_t account = 0;

    if (record->type == RECORD_DELIVER || record->type == RECORD_APPEND || record->type >= RECORD_QUEUE)
        return 0;
    return take_le16(&at, &version) && take_le64(&at, &account) ? account : 0;
}

static enum status
put_broken(struct rebuild *r, const struct log_record *record)
{
    AUTO_BUF key = BUF_INIT(64), value = BUF_INIT(256), why = BUF_INIT(128);
    uint64_t account = account_of(record);

    r->stats.broken++;
    if (account == 0)
        return ST_OK;
    buf_printf(&why, "record %" PRIu64 " cannot be applied", record->lsn);
    row_key_put(&key, KEY(0, ROW_BROKEN, {account}));
    row_name_put(&value, &(struct row_name){buf_slice(&why)});
    if (!buf_ok(&key) || !buf_ok(&value))
        return no_memory(r);
    r->into.put(r->into.arg, buf_slice(&key), buf_slice(&value));
    return ST_OK;
}

static enum status
second_pass(void *arg, const struct log_record *record, struct log_place body)
{
    struct rebuild *r = arg;
    const struct row_sink sink = {r, replay_put, replay_del, replay_del_range};
    enum status st;

    r->lsn = record->lsn;
    index_batch_mark(r->batch);
    st = apply_record(record->type, record->meta, &sink);
    if (st == ST_OK) {
        index_batch_keep(r->batch);
    } else {
        index_batch_rollback(r->batch);
        st = st == ST_CORRUPT
                 ? put_broken(r, record)
                 : err_set(r->err, st, "rebuild: record %" PRIu64 ": %s", record->lsn, status_text(st));
    }
    r->stats.records++;
    if (st == ST_OK && (++r->waiting >= BATCH_RECORDS || r->bytes >= BATCH_BYTES))
        st = write_batch(r, record->lsn);
    return st;
}

static enum status
each_main(struct rebuild *r, log_replay pass)
{
    struct log_segment *list = NULL;
    size_t n = 0;
    enum status st = log_segments(r->log, &list, &n, r->err);

    for (size_t i = 0; i < n && st == ST_OK; i++)
        if (list[i].kind == LOG_MAIN)
            st = log_scan_segment(r->log, list[i].number, pass, r, r->err);
    free(list);
    return st;
}

/* --- what follows from other rows --- */

struct derive {
    struct rebuild *r;
    struct numbers refs, live; /* a: how many; bytes */
};

static void
put_number(struct rebuild *r, const struct row_key *key, uint64_t number)
{
    AUTO_BUF k = BUF_INIT(2048), value = BUF_INIT(16);

    row_key_put(&k, key);
    row_number_put(&value, &(struct row_number){number});
    if (!buf_ok(&k) || !buf_ok(&value)) {
        r->err->status = ST_MEMORY;
        return;
    }
    image_put_row(r, buf_slice(&k), buf_slice(&value));
}

static void
put_key(struct rebuild *r, const struct row_key *key)
{
    AUTO_BUF k = BUF_INIT(2048);

    row_key_put(&k, key);
    if (buf_ok(&k))
        image_put_row(r, buf_slice(&k), SLICE(""));
    else
        r->err->status = ST_MEMORY;
}

static void
count_ref(struct derive *d, uint64_t body)
{
    struct number *slot = body != 0 ? numbers_put(&d->refs, body) : NULL;

    if (slot != NULL)
        slot->a++;
    else if (body != 0)
        d->r->err->status = ST_MEMORY;
}

/* A time as part of a key; as apply.c has it. */
static uint64_t
key_time(int64_t at)
{
    return at > 0 ? (uint64_t)at : 0;
}

static enum status
derive_from(void *arg, struct slice key, struct slice value)
{
    struct derive *d = arg;
    struct row_account account;
    struct row_request request;
    struct row_email email;
    struct row_queue queue;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK || !row_value_ok(k.kind, value))
        return err_set(d->r->err, ST_CORRUPT, "rebuild: a row that is none");
    if (k.kind == ROW_ACCOUNT && row_account_get(value, &account) && account.state == ROW_LIVES)
        put_number(d->r, KEY(0, ROW_ACCOUNT_NAME, {0}, account.name), k.account);
    else if (k.kind == ROW_EMAIL && row_email_get(value, &email))
        count_ref(d, email.body);
    else if (k.kind == ROW_REQUEST && row_request_get(value, &request))
        put_key(d->r, KEY(0, ROW_REQUEST_DUE, {key_time(request.expires)}, k.tail));
    else if (k.kind == ROW_QUEUE && row_queue_get(value, &queue)) {
        count_ref(d, queue.body);
        put_key(d->r, KEY(0, ROW_QUEUE_DUE, {queue.class, key_time(queue.due), k.part[0]}));
    }
    return d->r->err->status;
}

/* A body that nothing refers to goes with its digest; the others count where they lie. */
static enum status
derive_body(void *arg, struct slice key, struct slice value)
{
    struct derive *d = arg;
    const struct number *refs;
    struct row_extent e;
    struct row_body row;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK || (k.kind == ROW_BODY && !row_body_get(value, &row)))
        return err_set(d->r->err, ST_CORRUPT, "rebuild: a row that is none");
    refs = numbers_get(&d->refs, k.part[0]);
    if (refs == NULL) {
        d->r->into.del(d->r->into.arg, key);
        return ST_OK;
    }
    if (k.kind == ROW_DIGEST)
        return ST_OK;
    put_number(d->r, KEY(0, ROW_REFS, {k.part[0]}), refs->a);
    while (row_extent_take(&row.extents, &e)) {
        struct number *slot = numbers_put(&d->live, e.segment);

        if (slot == NULL)
            return no_memory(d->r);
        slot->a += e.n;
    }
    return d->r->err->status;
}

static enum status
derive_segment(void *arg, struct slice key, struct slice value)
{
    struct derive *d = arg;
    AUTO_BUF bytes = BUF_INIT(256);
    struct row_segment row;
    const struct number *live;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK || !row_segment_get(value, &row))
        return err_set(d->r->err, ST_CORRUPT, "rebuild: a row that is none");
    live = numbers_get(&d->live, k.part[0]);
    row.live = live != NULL ? live->a : 0;
    row_segment_put(&bytes, &row);
    if (!buf_ok(&bytes))
        return no_memory(d->r);
    image_put_row(d->r, key, buf_slice(&bytes));
    return d->r->err->status;
}

static enum status
scan_from(struct derive *d, enum row_kind first, enum row_kind last, index_scan_fn *fn)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);

    row_prefix_put(&from, KEY(0, first), 0);
    row_prefix_put(&to, KEY(0, last), 0);
    if (!buf_ok(&from) || !buf_ok(&to))
        return no_memory(d->r);
    to.p[to.n - 1]++;
    return index_scan(d->r->index, NULL, buf_slice(&from), buf_slice(&to), fn, d, d->r->err);
}

static enum status
derive_all(struct rebuild *r)
{
    struct derive d = {.r = r};
    enum status st = index_scan(r->index, NULL, SLICE(""), SLICE(""), derive_from, &d, r->err);

    if (st == ST_OK)
        st = write_batch(r, r->lsn);
    if (st == ST_OK)
        st = scan_from(&d, ROW_BODY, ROW_DIGEST, derive_body);
    if (st == ST_OK)
        st = write_batch(r, r->lsn);
    if (st == ST_OK)
        st = scan_from(&d, ROW_SEGMENT, ROW_SEGMENT, derive_segment);
    if (st == ST_OK)
        st = write_batch(r, r->lsn);
    numbers_done(&d.refs);
    numbers_done(&d.live);
    return st;
}

static enum status
build(struct rebuild *r)
{
    enum status st = each_main(r, first_pass);

    if (st == ST_OK)
        st = apply_tables(r);
    if (st == ST_OK)
        st = apply_images(r);
    if (st == ST_OK)
        st = each_main(r, second_pass);
    if (st == ST_OK)
        st = write_batch(r, r->lsn);
    return st == ST_OK ? derive_all(r) : st;
}

enum status
rebuild_index(struct log *log, const char *path, const struct index_settings *settings, struct index **index,
              struct rebuild_stats *stats, struct err *err)
{
    struct err own = {0};
    struct rebuild r = {.log = log, .batch = index_batch_new(), .images = BUF_INIT(LIST_MAX), .err = &own};
    enum status st = r.batch != NULL ? index_build(path, settings, &r.index, &own) : no_memory(&r);

    if (st == ST_OK) {
        r.into = index_batch_sink(r.batch);
        st = build(&r);
        if (st == ST_OK)
            st = index_switch(path, settings, r.index, index, &own);
        else
            index_close(r.index);
    }
    if (st != ST_OK && own.text[0] == '\0')
        (void)err_set(&own, st, "rebuild: %s", status_text(st));
    if (st != ST_OK && err != NULL)
        *err = own;
    if (stats != NULL)
        *stats = r.stats;
    index_batch_free(r.batch);
    numbers_done(&r.accounts);
    numbers_done(&r.tables);
    numbers_done(&r.bodies);
    buf_done(&r.images);
    return st;
}
