/*
 * Compaction, rebuild, check: a store on a disk in memory lives at random through the real judge, is
 * compacted often, and loses its power at random, in compaction too. After each cut the index is built from
 * the log alone and must be, row by row, the one that was acknowledged; every message must have its bytes;
 * the check must find nothing. An old copy of the index must lead to the same by replay, or be told that it
 * is too old.
 *
 * upkeep_test [--lives N] [--seed S]
 */
#include "store/judge_rows.h"
#include "store/backup.h"
#include "store/bugs.h"
#include "store/check.h"
#include "store/compact.h"
#include "store/disk_memory.h"
#include "store/rebuild.h"
#include "store/record.h"

#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/apply.h"

#define SEGMENT  (256u * 1024u)
#define BATCH    (48u * 1024u)
#define ACCOUNTS 4u
#define NOW      ((int64_t)1800000000 * 1000000000)
#define DUMP_MAX (64u * 1024 * 1024)
#define DIR_MAX  64

static char dir[DIR_MAX];
static char failure[512];
static const struct disk *disk = &mem_disk;

struct store {
    struct log *log;
    struct index *index;
    struct view *view;
    struct index_batch *rows;
    struct log_batch batch;
    struct outcome out;
    bool unsure; /* the batch that was cut off: its rows are still in `rows` */
    uint64_t unsure_lsn;
    unsigned names; /* accounts ever added */
};

static bool
fail(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(failure, sizeof(failure), fmt, args);
    va_end(args);
    return false;
}

/* --- files of the index --- */

static int
remove_one(const char *path, const struct stat *about, int type, struct FTW *ftw)
{
    return remove(path);
}

static void
remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *
path_of(const char *name)
{
    static char path[4][DIR_MAX + 32];
    static unsigned at;

    at = (at + 1) % 4;
    (void)snprintf(path[at], sizeof(path[at]), "%s/%s", dir, name);
    return path[at];
}

static int
copy_one(const char *path, const struct stat *about, int type, struct FTW *ftw)
{
    char to[DIR_MAX + 256];
    static uint8_t bytes[65536];
    FILE *in, *out;
    size_t n;

    if (type != FTW_F)
        return 0;
    (void)snprintf(to, sizeof(to), "%s/old/%s", dir, path + ftw->base);
    in = fopen(path, "rb");
    out = fopen(to, "wb");
    while (in != NULL && out != NULL && (n = fread(bytes, 1, sizeof(bytes), in)) > 0)
        (void)fwrite(bytes, 1, n, out);
    if (in != NULL)
        (void)fclose(in);
    if (out != NULL)
        (void)fclose(out);
    return 0;
}

/* --- the writer --- */

static bool
begin(struct store *s)
{
    if (log_wants_spare(s->log) && log_prepare(s->log, NULL) != ST_OK)
        return false;
    return log_batch_begin(s->log, &s->batch) == ST_OK;
}

static void
both_put(void *arg, struct slice key, struct slice value)
{
    struct store *s = arg;
    struct row_sink a = index_batch_sink(s->rows), b = view_sink(s->view);

    a.put(a.arg, key, value);
    b.put(b.arg, key, value);
}

static void
both_del(void *arg, struct slice key)
{
    struct store *s = arg;
    struct row_sink a = index_batch_sink(s->rows), b = view_sink(s->view);

    a.del(a.arg, key);
    b.del(b.arg, key);
}

static void
both_del_range(void *arg, struct slice from, struct slice to)
{
    struct store *s = arg;
    struct row_sink a = index_batch_sink(s->rows), b = view_sink(s->view);

    a.del_range(a.arg, from, to);
    b.del_range(b.arg, from, to);
}

/* ST_LIMIT: it does not fit behind what is there. */
static enum status
add(struct store *s, uint16_t type, struct slice meta, struct slice body)
{
    const struct row_sink sink = {s, both_put, both_del, both_del_range};
    struct log_place place;
    uint64_t lsn;
    enum status st = log_batch_add(s->log, &s->batch, type, meta, &body, 1, &lsn, &place);

    if (st == ST_OK)
        st = apply_record(type, meta, &sink);
    return st;
}

/* False: the power is off, or the batch was refused. */
static bool
commit(struct store *s)
{
    struct err err = {0};
    enum status st;

    if (s->batch.records == 0)
        return true;
    st = log_batch_commit(s->log, &s->batch, &err);
    if (st == ST_OK) {
        if (index_write(s->index, s->rows, s->batch.first_lsn + s->batch.records - 1, &err) != ST_OK)
            abort();
        view_keep(s->view);
        return true;
    }
    view_drop(s->view);
    if (mem_off || st == ST_UNKNOWN) { /* it may have happened */
        s->unsure = true;
        s->unsure_lsn = s->batch.first_lsn + s->batch.records - 1;
        return false;
    }
    index_batch_free(s->rows);
    s->rows = index_batch_new();
    return true;
}

/* --- requests --- */

static void
fill_body(uint8_t *to, uint64_t body, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(body * 31 + (from + i) * 7 + ((from + i) >> 8));
}

static struct judge
judge_of(struct store *s)
{
    return (struct judge){.view = s->view, .index = s->index, .batch = &s->batch, .now = NOW};
}

static uint64_t
next_body(struct store *s)
{
    struct row_shard shard;
    struct slice value;

    return view_get(s->view, &(struct row_key){0, ROW_SHARD}, &value) == ST_OK && row_shard_get(value, &shard)
               ? shard.body
               : 1;
}

static uint64_t
account_named(struct store *s, unsigned i)
{
    struct judge j = judge_of(s);
    char name[32];
    uint64_t account = 0;

    (void)snprintf(name, sizeof(name), "user%u@x", i);
    return judge_account_named(&j, slice_of(name), &account) == ST_OK ? account : 0;
}

static uint64_t
random_account(struct store *s)
{
    return s->names == 0 ? 0 : account_named(s, (unsigned)mem_rnd(s->names));
}

/* What the judge decided goes into a batch of its own. */
static bool
write_outcome(struct store *s, enum status st, struct slice body)
{
    if (st != ST_OK || s->out.type == 0)
        return true;
    st = add(s, s->out.type, buf_slice(&s->out.meta), body);
    if (st != ST_OK)
        return fail("record of type %u: %s", s->out.type, status_text(st));
    return commit(s);
}

static bool
write_side(struct store *s, uint64_t body, size_t from, size_t n, struct judge_body *b)
{
    struct log_side *side;
    uint8_t *bytes = malloc(n);
    uint64_t m, sum = 0;
    enum status st;

    fill_body(bytes, body, from, n);
    st = log_side_begin(s->log, &side, NULL);
    if (st == ST_OK) {
        st = log_side_append(side, slice_from(bytes, n), NULL);
        if (st == ST_OK)
            st = log_side_seal(side, &b->place, &m, &sum, NULL);
        else
            log_side_drop(side);
    }
    free(bytes);
    b->side = true;
    b->sum = sum;
    return st == ST_OK;
}

static bool
do_deliver(struct store *s)
{
    static uint8_t bytes[16384];
    AUTO_BUF rcpts = BUF_INIT(4096);
    uint8_t request[16], digest[300];
    struct judge j = judge_of(s);
    struct judge_body body = {.prefix = mem_rnd(3) * 20, .n = 1 + mem_rnd(6000)};
    uint64_t number = next_body(s);
    struct deliver m = {.received = NOW, .n = body.n};

    for (size_t i = 0; i < sizeof(request); i++)
        request[i] = (uint8_t)mem_rnd(256);
    memset(digest, (int)number, sizeof(digest));
    if (mem_rnd(5) == 0) {
        body.n = 8000 + mem_rnd(8000);
        m.n = body.n;
        if (!write_side(s, number, body.prefix, body.n, &body))
            return false;
    }
    for (unsigned i = 0; i < 1 + mem_rnd(3); i++) {
        uint64_t account = random_account(s);

        if (account != 0)
            deliver_rcpt_put(&rcpts, &(struct deliver_rcpt){.account = account, .original = SLICE("a@b")});
    }
    fill_body(bytes, number, 0, body.prefix + (body.side ? 0 : body.n));
    m.request = mem_rnd(3) == 0 ? slice_from(request, 16) : SLICE("0123456789abcde\1");
    m.request = slice_from(request, 16);
    m.digest = slice_from(digest, 1 + mem_rnd(sizeof(digest) - 1));
    m.prefix = slice_from(bytes, body.prefix);
    m.recipients = buf_slice(&rcpts);
    return write_outcome(s, judge_deliver(&j, &m, &body, &s->out),
                         slice_from(bytes, body.prefix + (body.side ? 0 : body.n)));
}

/* A mailbox of the account: INBOX is what the first one is; others by chance. */
struct pick {
    uint64_t mailbox;
    unsigned seen;
};

static enum status
pick_box(void *arg, struct slice key, struct slice value)
{
    struct pick *p = arg;
    struct row_mailbox row;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK || !row_mailbox_get(value, &row))
        return ST_CORRUPT;
    if (row.state == ROW_LIVES && mem_rnd(++p->seen) == 0)
        p->mailbox = k.part[0];
    return ST_OK;
}

static uint64_t
random_box(struct store *s, uint64_t account)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);
    struct pick p = {0};

    row_prefix_put(&from, &(struct row_key){account, ROW_MAILBOX}, 0);
    row_range_end(&to, buf_slice(&from));
    return index_scan(s->index, NULL, buf_slice(&from), buf_slice(&to), pick_box, &p, NULL) == ST_OK
               ? p.mailbox
               : 0;
}

static struct slice
random_uids(struct buf *to)
{
    uint32_t first = 1 + (uint32_t)mem_rnd(12);

    uid_run_put(to, &(struct uid_run){first, first + (uint32_t)mem_rnd(6)});
    return buf_slice(to);
}

static bool
do_change(struct store *s)
{
    AUTO_BUF uids = BUF_INIT(64), words = BUF_INIT(64);
    struct judge j = judge_of(s);
    uint64_t account = random_account(s), box = account != 0 ? random_box(s, account) : 0;
    uint32_t cursor = 0;
    struct flags_change flags = {.mailbox = box,
                                 .uids = random_uids(&uids),
                                 .op = (uint8_t)mem_rnd(3),
                                 .flags = (uint16_t)mem_rnd(16),
                                 .unchanged_since = UINT64_MAX};
    struct copy copy = {.mailbox = box, .uids = flags.uids, .move = mem_rnd(2) == 0};
    struct expunge expunge = {.mailbox = box, .uids = flags.uids};

    if (box == 0)
        return true;
    switch (mem_rnd(4)) {
    case 0:
        msg_name_put(&words, &(struct msg_name){mem_rnd(2) ? SLICE("$Junk") : SLICE("work")});
        flags.keywords = mem_rnd(2) ? buf_slice(&words) : SLICE("");
        return write_outcome(s, judge_flags(&j, account, &flags, &s->out), SLICE(""));
    case 1:
        copy.to = random_box(s, account);
        return write_outcome(s, judge_copy(&j, account, &copy, &s->out), SLICE(""));
    default:
        return write_outcome(s, judge_expunge(&j, account, &expunge, &cursor, &s->out), SLICE(""));
    }
}

static enum status
pick_number(void *arg, struct slice key, struct slice value)
{
    struct pick *p = arg;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK)
        return ST_CORRUPT;
    if (mem_rnd(++p->seen) == 0)
        p->mailbox = k.part[0];
    return ST_OK;
}

/* 0: there is none. */
static uint64_t
random_shared(struct store *s, enum row_kind kind)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);
    struct pick p = {0};

    row_prefix_put(&from, &(struct row_key){0, kind}, 0);
    row_range_end(&to, buf_slice(&from));
    return index_scan(s->index, NULL, buf_slice(&from), buf_slice(&to), pick_number, &p, NULL) == ST_OK
               ? p.mailbox
               : 0;
}

/* A new entry of a message that is there, or one that is tried again later or is done. False: there is none.
 */
static bool
queue_entry(struct store *s, struct row_shard *shard, struct buf *value, struct record_queued *q,
            struct judge_counts *counts)
{
    if (mem_rnd(2) == 0) {
        q->id = shard->queue++;
        q->on = 1;
        q->row = (struct row_queue){.due = NOW,
                                    .body = random_shared(s, ROW_BODY),
                                    .arrived = NOW,
                                    .sender = SLICE("a@b"),
                                    .recipient = SLICE("c@d")};
        judge_ref(counts, q->row.body, 1);
        return q->row.body != 0;
    }
    q->id = random_shared(s, ROW_QUEUE);
    if (q->id == 0 ||
        index_get(s->index, NULL, &(struct row_key){0, ROW_QUEUE, {q->id}}, value, NULL) != ST_OK ||
        !row_queue_get(buf_slice(value), &q->row))
        return false;
    q->known = 1;
    q->old_class = q->row.class;
    q->old_due = q->row.due;
    q->on = mem_rnd(2) == 0;
    q->row.due += (int64_t)mem_rnd(1000000);
    q->row.tries++;
    if (!q->on)
        judge_ref(counts, q->row.body, -1);
    return true;
}

static bool
do_queue(struct store *s)
{
    AUTO_BUF value = BUF_INIT(4096), queue = BUF_INIT(4096), refs = BUF_INIT(4096), segments = BUF_INIT(4096);
    struct judge j = judge_of(s);
    struct judge_counts counts = COUNTS_INIT;
    struct record_queue r = {0};
    struct record_queued q = {0};
    enum status st;

    if (judge_shard(&j, &r.shard) != ST_OK)
        return fail("no shard row");
    if (!queue_entry(s, &r.shard, &value, &q, &counts)) {
        judge_counts_done(&counts);
        return true;
    }
    record_queued_put(&queue, &q);
    st = judge_counts_put(&j, &counts, &refs, &segments);
    judge_counts_done(&counts);
    r.queue = buf_slice(&queue);
    r.refs = buf_slice(&refs);
    r.segments = buf_slice(&segments);
    s->out.type = RECORD_QUEUE;
    record_queue_write(&s->out.meta, &r);
    return st == ST_OK ? write_outcome(s, st, SLICE("")) : fail("queue: %s", status_text(st));
}

static bool
reap(struct store *s, uint64_t account, uint64_t mailbox)
{
    do {
        struct judge j = judge_of(s);

        outcome_clear(&s->out);
        if (!begin(s) || !write_outcome(s, judge_reap(&j, account, mailbox, &s->out), SLICE("")))
            return false;
    } while (s->out.type != 0);
    return true;
}

static bool
do_account(struct store *s)
{
    struct judge j = judge_of(s);
    uint64_t account = random_account(s), box;
    char name[32];

    if (account == 0 || (s->names < ACCOUNTS && mem_rnd(2) == 0) || mem_rnd(20) == 0) {
        (void)snprintf(name, sizeof(name), "user%u@x", s->names);
        s->names++;
        return write_outcome(s, judge_account_add(&j, &(struct account_add){slice_of(name), 0}, &s->out),
                             SLICE(""));
    }
    switch (mem_rnd(5)) {
    case 0:
        (void)snprintf(name, sizeof(name), "box%" PRIu64, mem_rnd(6));
        return write_outcome(
            s, judge_mailbox_create(&j, account, &(struct mailbox_name){.name = slice_of(name)}, &s->out),
            SLICE(""));
    case 1:
        box = random_box(s, account);
        return write_outcome(s, judge_mailbox_delete(&j, account, box, &s->out), SLICE("")) &&
               (s->out.type == 0 || reap(s, account, box));
    case 2:
        return write_outcome(
            s,
            judge_subscribe(&j, account, &(struct mailbox_subscribe){.name = SLICE("abo"), .on = 1}, &s->out),
            SLICE(""));
    case 3:
        (void)snprintf(name, sizeof(name), "user%" PRIu64 "@x", mem_rnd(s->names));
        if (judge_account_delete(&j, slice_of(name), &account, &s->out) != ST_OK)
            return true;
        return write_outcome(s, ST_OK, SLICE("")) && reap(s, account, 0);
    default:
        return true;
    }
}

/* --- compaction --- */

static enum status
get_now(void *arg, const struct row_key *key, struct slice *value)
{
    return view_get(arg, key, value);
}

/* False: the power is off. */
static bool
say_all(struct store *s, struct compact *c, enum status *st)
{
    const struct compact_present present = {s->view, get_now};
    AUTO_BUF meta = BUF_INIT(LOG_BATCH_MAX);
    struct err err = {0};

    for (;;) {
        uint16_t type;
        bool written;

        if (!begin(s))
            return false;
        *st = compact_next(c, &present, &meta, &type, &err);
        if (*st != ST_OK)
            return fail("compaction: %s", err.text);
        if (type == 0)
            return true;
        if (mem_rnd(8) == 0) { /* it did not fit */
            compact_again(c);
            continue;
        }
        *st = add(s, type, buf_slice(&meta), SLICE(""));
        if (*st != ST_OK)
            return fail("compaction: a record of type %u and %zu bytes: %s", type, meta.n, status_text(*st));
        written = commit(s);
        if (!written || mem_off)
            return false;
        if (mem_rnd(40) == 0) { /* given up in between */
            *st = ST_CANCELLED;
            return true;
        }
        outcome_clear(&s->out);
        if (mem_rnd(6) == 0 && (!begin(s) || !(mem_rnd(2) ? do_deliver(s) : do_change(s))))
            return false;
    }
}

static bool
do_compact(struct store *s)
{
    const struct compact_settings settings = {.now = NOW, .force = true};
    uint64_t numbers[4];
    struct compact *c;
    struct err err = {0};
    size_t n = 0;
    enum status st = compact_choose(s->log, s->index, 101, numbers, 1 + mem_rnd(4), &n, &err);

    if (st != ST_OK)
        return mem_off ? false : fail("choose: %s", err.text);
    for (size_t i = n; i > 1; i--) { /* any order: middle ones go before older ones */
        size_t k = (size_t)mem_rnd(i);
        uint64_t swap = numbers[k];

        numbers[k] = numbers[i - 1];
        numbers[i - 1] = swap;
    }
    if (n > 1)
        n = 1 + (size_t)mem_rnd(n);
    if (n == 0)
        return true;
    st = compact_begin(s->log, s->index, numbers, n, &settings, &c, &err);
    if (st != ST_OK)
        return mem_off ? false : fail("begin: %s", err.text);
    if (!say_all(s, c, &st) || st != ST_OK) {
        bool on = st == ST_CANCELLED;

        compact_drop(c);
        return on;
    }
    if (compact_end(c, &err) != ST_OK)
        return mem_off ? false : fail("end: %s", err.text);
    return true;
}

/* --- what must hold --- */

static void
add_line(void *arg, struct slice text)
{
    static const char *const passed_over[] = {"applied ", "broken "};

    for (size_t i = 0; i < COUNT(passed_over); i++)
        if (slice_has_prefix(text, slice_of(passed_over[i])))
            return;
    buf_put(arg, text);
}

static bool
dump(struct index *index, struct buf *to)
{
    buf_clear(to);
    return index_dump(index, NULL, add_line, to, NULL) == ST_OK && buf_ok(to);
}

/* Where two dumps begin to differ, in words. */
static bool
differ(const char *what, struct slice a, struct slice b)
{
    struct slice x, y;

    do {
        x = take_until(&a, '\n');
        y = take_until(&b, '\n');
        (void)take_byte(&a, '\n');
        (void)take_byte(&b, '\n');
    } while (slice_eq(x, y) && (a.n > 0 || b.n > 0));
    return fail("%s: \"%.*s\" is \"%.*s\"", what, (int)(x.n < 160 ? x.n : 160), (const char *)x.p,
                (int)(y.n < 160 ? y.n : 160), (const char *)y.p);
}

struct bytes_check {
    struct store *s;
    bool bad;
};

static enum status
check_body(void *arg, struct slice key, struct slice value)
{
    static uint8_t got[65536], want[65536];
    struct bytes_check *c = arg;
    struct row_extent e;
    struct row_body row;
    struct row_key k;
    size_t at = 0;

    if (row_key_get(key, &k) != ST_OK || !row_body_get(value, &row) || row.size > sizeof(got))
        return ST_CORRUPT;
    while (row_extent_take(&row.extents, &e)) {
        struct err err = {0};

        if (log_read(c->s->log, (struct log_place){e.segment, e.offset}, (size_t)e.n, got + at, &err) !=
            ST_OK)
            return fail("body %" PRIu64 ": %s", k.part[0], err.text) ? ST_OK : ST_CORRUPT;
        at += (size_t)e.n;
    }
    fill_body(want, k.part[0], 0, at);
    if (memcmp(got, want, at) != 0)
        return fail("body %" PRIu64 " has other bytes", k.part[0]) ? ST_OK : ST_CORRUPT;
    return ST_OK;
}

static void
wrong_line(void *arg, const char *text)
{
    if (failure[0] == '\0')
        (void)fail("check: %s", text);
}

static bool
check_all(struct store *s)
{
    AUTO_BUF from = BUF_INIT(16), to = BUF_INIT(16);
    struct check_stats stats;
    struct err err = {0};

    row_prefix_put(&from, &(struct row_key){0, ROW_BODY}, 0);
    row_range_end(&to, buf_slice(&from));
    if (index_scan(s->index, NULL, buf_slice(&from), buf_slice(&to), check_body,
                   &(struct bytes_check){s, false}, &err) != ST_OK)
        return failure[0] != '\0' ? false : fail("bodies: %s", err.text);
    return check_store(s->log, s->index, wrong_line, NULL, NULL, &stats, &err) == ST_OK ||
           (failure[0] != '\0' ? false : fail("check: %s", err.text));
}

static enum status
no_record(void *arg, const struct log_record *r, struct log_place body)
{
    return ST_OK;
}

static enum status
replay(void *arg, const struct log_record *r, struct log_place body)
{
    struct index *index = arg;
    struct index_batch *batch = index_batch_new();
    struct row_sink sink = index_batch_sink(batch);
    enum status st = apply_record(r->type, r->meta, &sink);

    if (st == ST_OK)
        st = index_write(index, batch, r->lsn, NULL);
    index_batch_free(batch);
    return st;
}

static bool
is_adopted(void *arg, uint64_t number)
{
    AUTO_BUF value = BUF_INIT(256);

    return index_get(arg, NULL, &(struct row_key){0, ROW_SEGMENT, {number}}, &value, NULL) != ST_NOTFOUND;
}

static void
close_store(struct store *s)
{
    outcome_done(&s->out);
    view_free(s->view);
    index_batch_free(s->rows);
    index_close(s->index);
    log_batch_done(&s->batch);
    log_close(s->log);
    *s = (struct store){.names = s->names};
}

static bool
begin_life(struct store *s)
{
    s->rows = index_batch_new();
    s->view = view_new(s->index, 1 << 20);
    outcome_init(&s->out);
    return s->rows != NULL && s->view != NULL;
}

static const struct log_settings log_settings = {
    .segment_size = SEGMENT, .batch_max = BATCH, .rebuild = true};

/* An index of a while ago: replay leads to the same, or it is told to be too old. */
static bool
check_old(const struct buf *want)
{
    struct log_settings settings = log_settings;
    struct index *index;
    struct log *log = NULL;
    AUTO_BUF got = BUF_INIT(DUMP_MAX);
    struct err err = {0};
    enum status st;
    bool good;

    if (access(path_of("old"), F_OK) != 0)
        return true;
    st = index_open(path_of("old"), NULL, &index, &err);
    if (st != ST_OK)
        return fail("old index: %s", err.text);
    settings.rebuild = false;
    st = log_open(disk, &settings, index_applied(index), replay, index, &log, &err);
    good = st == ST_STALE || (st == ST_OK && dump(index, &got));
    if (st != ST_OK && st != ST_STALE)
        good = fail("replay: %s", err.text);
    else if (good && st == ST_OK && !slice_eq(buf_slice(want), buf_slice(&got)))
        good = differ("replay", buf_slice(want), buf_slice(&got));
    if (log != NULL)
        log_close(log);
    index_close(index);
    remove_tree(path_of("old"));
    return good;
}

/* After a cut: the index that was acknowledged, perhaps with the batch that was under way, against the
 * rebuilt one. */
static bool
recover(struct store *s)
{
    AUTO_BUF want = BUF_INIT(DUMP_MAX), got = BUF_INIT(DUMP_MAX);
    struct err err = {0};
    uint64_t next;

    log_close(s->log);
    s->log = NULL;
    mem_reboot();
    if (log_open(disk, &log_settings, 0, no_record, NULL, &s->log, &err) != ST_OK)
        return fail("log: %s", err.text);
    next = log_next_lsn(s->log);
    log_close(s->log);
    s->log = NULL;
    if (s->unsure && next > s->unsure_lsn && index_write(s->index, s->rows, s->unsure_lsn, &err) != ST_OK)
        return fail("index: %s", err.text);
    if (!dump(s->index, &want))
        return fail("dump");
    index_close(s->index);
    s->index = NULL;
    if (!check_old(&want))
        return false;
    if (log_open(disk, &log_settings, 0, no_record, NULL, &s->log, &err) != ST_OK)
        return fail("log: %s", err.text);
    if (rebuild_index(s->log, path_of("index"), NULL, &s->index, NULL, &err) != ST_OK)
        return fail("rebuild: %s", err.text);
    if (!dump(s->index, &got))
        return fail("dump");
    if (!slice_eq(buf_slice(&want), buf_slice(&got)))
        return differ("rebuild", buf_slice(&want), buf_slice(&got));
    view_free(s->view);
    index_batch_free(s->rows);
    outcome_done(&s->out);
    s->unsure = false;
    if (!begin_life(s) || log_sweep(s->log, is_adopted, s->index, &err) != ST_OK)
        return fail("sweep: %s", err.text);
    return check_all(s);
}

/* The index as it is on its disk now, to be replayed later. */
static bool
keep_old(struct store *s)
{
    struct err err = {0};

    view_free(s->view);
    index_close(s->index);
    remove_tree(path_of("old"));
    if (mkdir(path_of("old"), 0700) != 0 || nftw(path_of("index"), copy_one, 8, FTW_PHYS) != 0)
        return fail("copy of the index");
    if (index_open(path_of("index"), NULL, &s->index, &err) != ST_OK)
        return fail("index: %s", err.text);
    s->view = view_new(s->index, 1 << 20);
    return s->view != NULL;
}

static bool
live_until_cut(struct store *s)
{
    mem_countdown = (long)mem_rnd(900);
    while (!mem_off) {
        bool good = true;
        uint64_t what = mem_rnd(100);

        outcome_clear(&s->out);
        if (what < 5) {
            good = do_compact(s);
        } else if (what == 5) {
            long left = mem_countdown;

            mem_countdown = -1;
            good = keep_old(s);
            mem_countdown = left;
        } else if (what == 6) {
            good = log_renew(s->log, NULL) == ST_OK;
        } else if (begin(s)) {
            good = what < 55   ? do_deliver(s)
                   : what < 60 ? do_queue(s)
                   : what < 90 ? do_change(s)
                               : do_account(s);
        }
        if (!good && !mem_off)
            return failure[0] != '\0' ? false : fail("it stopped");
    }
    return failure[0] == '\0';
}

static bool
life(void)
{
    struct store s = {0};
    struct err err = {0};
    bool good;

    failure[0] = '\0';
    mem_wipe();
    remove_tree(path_of("index"));
    remove_tree(path_of("index.new"));
    remove_tree(path_of("old"));
    if (log_open(disk, &log_settings, 0, no_record, NULL, &s.log, &err) != ST_OK ||
        index_open(path_of("index"), NULL, &s.index, &err) != ST_OK || !begin_life(&s))
        return fail("open: %s", err.text);
    good = true;
    for (int cut = 0; cut < 3 && good; cut++)
        good = live_until_cut(&s) && recover(&s);
    if (s.log != NULL)
        close_store(&s);
    else {
        view_free(s.view);
        index_close(s.index);
    }
    return good;
}

/* --- what was born and died in segments that go, with one that stays between them --- */

static bool
in_segment(struct store *s, uint64_t *number)
{
    outcome_clear(&s->out);
    if (log_renew(s->log, NULL) != ST_OK || !begin(s))
        return fail("no segment");
    *number = s->batch.segment;
    return true;
}

static bool
compact_these(struct store *s, const uint64_t *numbers, size_t n)
{
    const struct compact_settings settings = {.now = NOW, .force = true};
    struct compact *c;
    struct err err = {0};
    enum status st = compact_begin(s->log, s->index, numbers, n, &settings, &c, &err);

    if (st != ST_OK)
        return fail("begin: %s", err.text);
    if (!say_all(s, c, &st) || (st != ST_OK && st != ST_CANCELLED)) {
        compact_drop(c);
        return failure[0] == '\0' ? fail("compaction: %s", status_text(st)) : false;
    }
    if (st == ST_CANCELLED) { /* say_all() gives up now and then */
        compact_drop(c);
        return compact_these(s, numbers, n);
    }
    return compact_end(c, &err) == ST_OK || fail("end: %s", err.text);
}

static bool
lived_between(struct store *s)
{
    struct mailbox_name box = {.name = SLICE("between")};
    uint64_t born, between, died, later, account;
    struct judge j;

    if (!in_segment(s, &born))
        return false;
    j = judge_of(s);
    if (!write_outcome(s, judge_account_add(&j, &(struct account_add){SLICE("user0@x"), 0}, &s->out), SLICE("")))
        return false;
    account = account_named(s, 0);
    if (account == 0 || !in_segment(s, &between))
        return fail("no account");
    j = judge_of(s);
    if (!write_outcome(s, judge_mailbox_create(&j, account, &box, &s->out), SLICE("")) || !in_segment(s, &died))
        return fail("no mailbox");
    j = judge_of(s);
    if (judge_account_delete(&j, SLICE("user0@x"), &account, &s->out) != ST_OK || !write_outcome(s, ST_OK, SLICE("")) ||
        !reap(s, account, 0) || !in_segment(s, &later))
        return fail("the account does not go");
    return born < between && between < died && compact_these(s, (uint64_t[]){born, died}, 2);
}

static bool
check_between(void)
{
    struct store s = {0};
    struct err err = {0};
    bool good;

    failure[0] = '\0';
    mem_wipe();
    mem_countdown = -1;
    remove_tree(path_of("index"));
    if (log_open(disk, &log_settings, 0, no_record, NULL, &s.log, &err) != ST_OK ||
        index_open(path_of("index"), NULL, &s.index, &err) != ST_OK || !begin_life(&s))
        return fail("open: %s", err.text);
    good = lived_between(&s) && recover(&s);
    close_store(&s);
    return good;
}

/* --- backup and restore, on the real disk --- */

static bool
some_days(struct store *s, unsigned days)
{
    for (unsigned i = 0; i < days; i++) {
        uint64_t what = mem_rnd(100);
        bool good;

        outcome_clear(&s->out);
        if (what < 4)
            good = do_compact(s);
        else
            good = begin(s) && (what < 55   ? do_deliver(s)
                                : what < 60 ? do_queue(s)
                                : what < 85 ? do_change(s)
                                            : do_account(s));
        if (!good)
            return failure[0] != '\0' ? false : fail("day %u", i);
    }
    return true;
}

static bool
open_real(struct store *s, struct disk *real, const char *log_dir, int *fd)
{
    struct err err = {0};

    *fd = open(path_of(log_dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    disk_files(real, *fd);
    disk = real;
    return log_open(disk, &log_settings, 0, no_record, NULL, &s->log, &err) == ST_OK || fail("%s", err.text);
}

static bool
check_backup(void)
{
    struct store s = {0}, back = {0};
    struct backup_stats stats;
    struct disk real, other;
    AUTO_BUF want = BUF_INIT(DUMP_MAX), got = BUF_INIT(DUMP_MAX);
    struct err err = {0};
    int log_fd, backup_fd, restored_fd;
    bool good;

    failure[0] = '\0';
    mem_wipe();
    if (mkdir(path_of("log"), 0700) != 0 || mkdir(path_of("backup"), 0700) != 0 ||
        mkdir(path_of("restored"), 0700) != 0)
        return fail("folders");
    remove_tree(path_of("index"));
    if (!open_real(&s, &real, "log", &log_fd) ||
        index_open(path_of("index"), NULL, &s.index, &err) != ST_OK || !begin_life(&s) ||
        !some_days(&s, 200) || !dump(s.index, &want))
        return failure[0] != '\0' ? false : fail("backup: life");
    backup_fd = open(path_of("backup"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backup_restore(backup_fd, log_fd, &stats, &err) != ST_EXISTS)
        return fail("a store with mail was overwritten");
    if (backup_take(s.log, log_fd, backup_fd, &stats, &err) != ST_OK)
        return fail("%s", err.text);
    if (stats.segments < 3 || stats.linked + 1 < stats.segments)
        return fail("%" PRIu64 " segments, %" PRIu64 " linked", stats.segments, stats.linked);
    if (!some_days(&s, 60)) /* what happens later is not in it, not even where segments go */
        return false;
    close_store(&s);
    (void)close(log_fd);
    restored_fd = open(path_of("restored"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backup_restore(restored_fd, restored_fd, &stats, &err) != ST_NOTFOUND)
        return fail("nothing was restored");
    if (backup_restore(backup_fd, restored_fd, &stats, &err) != ST_OK)
        return fail("%s", err.text);
    (void)close(restored_fd);
    (void)close(backup_fd);
    good = open_real(&back, &other, "restored", &restored_fd) &&
           (rebuild_index(back.log, path_of("index"), NULL, &back.index, NULL, &err) == ST_OK ||
            fail("%s", err.text)) &&
           begin_life(&back) && dump(back.index, &got) &&
           (slice_eq(buf_slice(&want), buf_slice(&got)) ||
            differ("restore", buf_slice(&want), buf_slice(&got))) &&
           check_all(&back) && some_days(&back, 20) && check_all(&back);
    if (good)
        close_store(&back);
    (void)close(restored_fd);
    disk = &mem_disk;
    return good;
}

int
main(int argc, char **argv)
{
    uint64_t lives = 20, seed = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--lives") == 0)
            lives = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
#ifdef PLANT_BUGS
    bug_plant(getenv("ESTAFETA_BUG"));
#endif
    /* In memory where that is possible: nothing here is about what the index's disk keeps. */
    (void)snprintf(dir, sizeof(dir), "%s/upkeep-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL)
        return 1;
    for (uint64_t i = 0; i < lives; i++) {
        mem_seed = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        if (!life()) {
            printf("upkeep_test: life with --seed %" PRIu64 " --lives 1: %s\n", seed + i, failure);
            remove_tree(dir);
            return 1;
        }
    }
    if (!check_between()) {
        printf("upkeep_test: an account between segments: %s\n", failure[0] != '\0' ? failure : "in vain");
        remove_tree(dir);
        return 1;
    }
    if (!check_backup()) {
        printf("upkeep_test: backup with --seed %" PRIu64 ": %s\n", seed, failure);
        remove_tree(dir);
        return 1;
    }
    mem_wipe();
    remove_tree(dir);
    printf("upkeep_test: %" PRIu64 " lives, every index as it was\n", lives);
    return 0;
}
