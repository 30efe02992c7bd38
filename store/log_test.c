/*
 * The log on a disk in memory that forgets what was not flushed. A client writes
 * batches and side segments and notes what was acknowledged; power is cut between two
 * operations of the disk; the disk keeps any subset of the unflushed sectors and of
 * the unflushed names; the log is opened again and must hold exactly what was
 * acknowledged, perhaps the one batch that was under way as a whole, and nothing else.
 *
 * log_test [--images N] [--seed S]: runs crash images. With ESTAFETA_BUG in a
 * build with -Dplant_bugs=true it must fail. Without arguments: a few, and the unit tests.
 */
#include "store/log.h"
#include "store/bugs.h"
#include "store/disk_memory.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

#define SEGMENT (192u * 1024u)
#define BATCH (24u * 1024u)
#define BATCHES 64
#define SIDES 16

/* --- the client and what it knows --- */

enum fate { ACKED, REFUSED, UNDER_WAY, FORGOTTEN };

struct known {
    enum fate fate;
    uint32_t records;
    uint64_t first_lsn; /* as acknowledged */
    uint64_t sum[8];    /* of each record's metadata and body */
    uint64_t side;      /* segment adopted by it, or 0 */
    uint64_t segment;   /* where it stands */
    uint64_t gone;      /* segment that goes with it, or 0 */
    bool missed;        /* it did not come back, and only a LOG_GONE may excuse that */
};

static struct known known[BATCHES];
static int n_known;
static uint64_t highest_lsn, highest_epoch;
static char failure[256];

static bool
fail(const char *what, uint64_t a, uint64_t b)
{
    (void)snprintf(failure, sizeof(failure), "%s (%" PRIu64 ", %" PRIu64 ")", what, a, b);
    return false;
}

/* A body: random bytes, or bytes that look like a batch of a later number. */
static size_t
make_body(uint8_t *to)
{
    size_t n = (size_t)mem_rnd(9000) + 1;

    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)mem_rnd(256);
    if (n > 600 && mem_rnd(2) == 0)
        for (size_t at = 0; at + LOG_BATCH_HEADER + LOG_RECORD_HEADER <= n; at += 8)
            if (at % 128 < 48) {
                struct log_batch_header h = {LOG_BATCH_HEADER + LOG_RECORD_HEADER, 1, 1000000, 1000000};

                log_batch_header_put(to + at, &h, 0, 0);
                at += LOG_BATCH_HEADER - 8;
            }
    return n;
}

static uint64_t
sum_of(struct slice meta, struct slice body)
{
    return XXH3_64bits_withSeed(body.p, body.n, XXH3_64bits(meta.p, meta.n));
}

/* Sometimes a side segment first, which the batch's first record adopts. False: the power is off. */
static bool
write_side(struct log *log, struct log_place *place, uint64_t *n, uint64_t *sum)
{
    static uint8_t bytes[5000];
    struct log_side *side;

    *n = 0;
    if (mem_rnd(6) != 0)
        return true;
    if (log_side_begin(log, &side, NULL) != ST_OK)
        return false;
    for (int i = 0; i < 3; i++) {
        size_t part = (size_t)mem_rnd(sizeof(bytes)) + 1;

        for (size_t k = 0; k < part; k++)
            bytes[k] = (uint8_t)mem_rnd(256);
        if (log_side_append(side, slice_from(bytes, part), NULL) != ST_OK) {
            log_side_drop(side);
            return false;
        }
    }
    if (mem_rnd(4) == 0) {
        log_side_drop(side);
        *n = 0;
        return true;
    }
    if (log_side_seal(side, place, n, sum, NULL) != ST_OK)
        return false;
    if (mem_rnd(4) == 0)
        *n = 0; /* nobody adopts it: to be swept */
    return true;
}

/* Sometimes a sealed segment goes with this batch. 0: none. */
static uint64_t
choose_gone(struct log *log)
{
    struct log_segment *list = NULL;
    uint64_t chosen = 0;
    size_t n = 0;

    if (mem_rnd(3) != 0 || log_segments(log, &list, &n, NULL) != ST_OK)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].kind == LOG_MAIN && !list[i].current && !list[i].gone && (chosen == 0 || mem_rnd(2) == 0))
            chosen = list[i].number;
    }
    free(list);
    return chosen;
}

/* The segment was removed durably: its records may not come back. */
static void
note_forgotten(uint64_t segment)
{
    for (int i = 0; i < n_known; i++)
        if (known[i].segment == segment && known[i].fate == ACKED)
            known[i].fate = FORGOTTEN;
}

/* One batch. False: the power is off, or the log is full. */
static bool
write_batch_of(struct log *log, struct log_batch *b)
{
    static uint8_t body[16384];
    struct known *k = &known[n_known];
    struct log_place side = {0};
    uint64_t side_n = 0, side_sum = 0;
    enum status st;

    if (n_known == BATCHES)
        return false;
    if (log_wants_spare(log) && log_prepare(log, NULL) != ST_OK)
        return !mem_off;
    if (!write_side(log, &side, &side_n, &side_sum) || log_batch_begin(log, b) != ST_OK)
        return false;
    *k = (struct known){.fate = UNDER_WAY, .side = side_n > 0 ? side.segment : 0};
    for (uint32_t i = 0; i < 1 + (uint32_t)mem_rnd(8); i++) {
        struct slice parts[2];
        uint64_t lsn, tag[4] = {i == 0 ? k->side : 0, side_n, side_sum, mem_rnd(UINT64_MAX)};
        size_t n = make_body(body);
        struct log_place place;

        parts[0] = slice_from(body, n / 3);
        parts[1] = slice_from(body + n / 3, n - n / 3);
        if (log_batch_add(log, b, (uint16_t)(1 + i), slice_from(tag, sizeof(tag)), parts, 2, &lsn, &place) != ST_OK)
            break;
        if (i == 0)
            k->first_lsn = lsn;
        k->sum[i] = sum_of(slice_from(tag, sizeof(tag)), slice_from(body, n));
        k->records++;
    }
    k->segment = b->segment;
    k->gone = k->records > 0 ? choose_gone(log) : 0;
    if (k->gone != 0) {
        uint8_t number[8];
        struct buf bytes = {.p = number, .cap = sizeof(number), .max = sizeof(number)};
        struct log_place place;
        uint64_t lsn;

        buf_put_le64(&bytes, k->gone);
        if (log_batch_add(log, b, LOG_GONE, buf_slice(&bytes), NULL, 0, &lsn, &place) != ST_OK)
            k->gone = 0;
    }
    n_known++;
    if (mem_rnd(12) == 0)
        mem_sync_fails = 1 + (int)mem_rnd(3);
    st = log_batch_commit(log, b, NULL);
    mem_sync_fails = 0;
    if (st == ST_OK)
        k->fate = ACKED;
    else if (st == ST_IO || st == ST_NOSPACE)
        k->fate = REFUSED;
    if (k->fate == ACKED)
        highest_lsn = k->first_lsn + k->records - 1;
    if (k->fate == ACKED && k->gone != 0 && mem_rnd(2) == 0 && log_forget(log, k->gone, NULL) == ST_OK)
        note_forgotten(k->gone);
    return st != ST_UNKNOWN && !mem_off;
}

/* --- replay against what is known --- */

struct check {
    struct log *log;
    int batch;       /* index in known */
    uint32_t record; /* next in it */
    uint64_t seen_lsn;
    bool bad;
};

/* Is there a batch that may be durable and says that the segment of `k` goes? */
static bool
may_be_gone(const struct known *k, bool surely)
{
    for (int i = 0; i < n_known; i++)
        if (known[i].gone == k->segment &&
            (known[i].fate == ACKED || known[i].fate == FORGOTTEN || (known[i].fate == UNDER_WAY && !surely)))
            return true;
    return false;
}

static bool
skippable(const struct known *k)
{
    return k->fate != ACKED || may_be_gone(k, false);
}

static enum status
on_record(void *arg, const struct log_record *r, struct log_place body)
{
    struct check *c = arg;
    uint64_t sum = sum_of(r->meta, r->body);

    if (r->lsn <= c->seen_lsn)
        c->bad = !fail("LSN goes back", r->lsn, c->seen_lsn);
    c->seen_lsn = r->lsn;
    /* At a batch's beginning: refused ones must not come, one under way may be missing. */
    while (c->record == 0 && c->batch < n_known && skippable(&known[c->batch]) &&
           (known[c->batch].fate == REFUSED || known[c->batch].fate == FORGOTTEN || known[c->batch].sum[0] != sum))
        known[c->batch++].missed = true;
    if (c->batch == n_known) {
        c->bad = !fail("a record that nobody wrote, or that was refused", r->lsn, 0);
        return ST_CORRUPT;
    }
    if (known[c->batch].sum[c->record] != sum || known[c->batch].first_lsn + c->record != r->lsn) {
        c->bad = !fail("another record than was written", r->lsn, (uint64_t)c->batch);
        return ST_CORRUPT;
    }
    if (++c->record == known[c->batch].records) {
        known[c->batch].fate = ACKED; /* it came back once: it must stay */
        known[c->batch].segment = body.segment;
        c->batch++;
        c->record = 0;
    }
    return ST_OK;
}

static bool
is_adopted(void *arg, uint64_t number)
{
    for (int i = 0; i < n_known; i++)
        if ((known[i].fate == ACKED || known[i].fate == FORGOTTEN) && known[i].side == number)
            return true;
    return false;
}

/* Opens after a crash and compares. Batches that were under way and did not come back never may. */
static bool
recover(struct log **log)
{
    struct log_settings settings = {.segment_size = SEGMENT, .batch_max = BATCH, .rebuild = true};
    struct check c = {0};
    struct err err = {0};
    enum status st;

    for (int i = 0; i < n_known; i++)
        known[i].missed = false;
    st = log_open(&mem_disk, &settings, 0, on_record, &c, log, &err);
    if (mem_off)
        return true; /* cut again, during recovery */
    if (st != ST_OK)
        return c.bad ? false : (snprintf(failure, sizeof(failure), "recovery: %.200s", err.text), false);
    if (c.record != 0)
        return fail("half a batch", c.seen_lsn, c.record);
    for (; c.batch < n_known; c.batch++)
        known[c.batch].missed = true;
    for (int i = 0; i < n_known; i++)
        if (known[i].missed && known[i].fate == ACKED && !may_be_gone(&known[i], true))
            return fail("an acknowledged batch is lost", (uint64_t)i, known[i].first_lsn);
    for (int i = 0; i < n_known; i++)
        if (known[i].fate == UNDER_WAY)
            known[i].fate = REFUSED;
    if (log_epoch(*log) <= highest_epoch || log_next_lsn(*log) <= highest_lsn)
        return fail("numbers go back", log_epoch(*log), log_next_lsn(*log));
    highest_epoch = log_epoch(*log);
    if (log_sweep(*log, is_adopted, NULL, NULL) != ST_OK)
        return mem_off || fail("sweep", 0, 0);
    for (int i = 0; i < n_known; i++)
        if (known[i].gone != 0 && (known[i].fate == ACKED || known[i].fate == FORGOTTEN)) {
            if (log_has_segment(*log, known[i].gone))
                return fail("a segment that is gone is still there", known[i].gone, 0);
            note_forgotten(known[i].gone);
        }
    for (int i = 0; i < n_known; i++)
        if (known[i].fate == ACKED && known[i].side != 0 && !log_has_segment(*log, known[i].side))
            return fail("an adopted side segment is lost", known[i].side, 0);
    return true;
}

/* The bytes of adopted side segments, read back through the records' own words. */
static enum status
on_side(void *arg, const struct log_record *r, struct log_place body)
{
    struct check *c = arg;
    static uint8_t bytes[3 * 5000];
    uint64_t tag[4];

    if (r->meta.n != sizeof(tag))
        return ST_CORRUPT;
    memcpy(tag, r->meta.p, sizeof(tag));
    if (tag[0] == 0)
        return ST_OK;
    for (int i = 0; i < MEM_FILES; i++) {
        char name[40];

        (void)snprintf(name, sizeof(name), "side-%016" PRIx64, tag[0]);
        if (!mem_files[i].used || strcmp(mem_files[i].name, name) != 0)
            continue;
        if (tag[1] > sizeof(bytes) || mem_pread(NULL, i, bytes, tag[1], LOG_HEADER) != (ssize_t)tag[1] ||
            XXH3_64bits(bytes, tag[1]) != tag[2])
            c->bad = !fail("a side segment's bytes are lost", tag[0], tag[1]);
        return ST_OK;
    }
    c->bad = !fail("an adopted side segment is gone", tag[0], 0);
    return ST_OK;
}

static bool
check_sides(void)
{
    struct log_settings settings = {.segment_size = SEGMENT, .batch_max = BATCH, .rebuild = true};
    struct check c = {0};
    struct log *log;

    if (log_open(&mem_disk, &settings, 0, on_side, &c, &log, NULL) == ST_OK)
        log_close(log);
    return !c.bad;
}

static enum status
on_any(void *arg, const struct log_record *r, struct log_place body)
{
    return ST_OK;
}

/* A byte of an acknowledged batch that is not the last rots: to be told, not taken for the end. */
static bool
check_rot(void)
{
    struct log_settings settings = {.segment_size = SEGMENT, .batch_max = BATCH};
    struct log *log;
    struct log_batch b = {0};
    struct err err = {0};
    enum status st;

    mem_wipe();
    n_known = 0;
    highest_lsn = highest_epoch = 0;
    if (!recover(&log))
        return false;
    for (int i = 0; i < 3; i++) {
        uint64_t lsn;
        struct log_place place;
        struct slice body = SLICE("precious");

        if (log_batch_begin(log, &b) != ST_OK ||
            log_batch_add(log, &b, 1, SLICE("m"), &body, 1, &lsn, &place) != ST_OK ||
            log_batch_commit(log, &b, NULL) != ST_OK)
            return fail("write", 0, 0);
        if (i == 1)
            for (int k = 0; k < MEM_FILES; k++)
                if (mem_files[k].used && mem_pread(NULL, k, &lsn, 8, place.offset) == 8 && memcmp(&lsn, "precious", 8) == 0)
                    mem_files[k].now[place.offset + mem_rnd(8)] ^= 1;
    }
    log_batch_done(&b);
    log_close(log);
    st = log_open(&mem_disk, &settings, 0, on_any, NULL, &log, &err);
    if (st == ST_OK)
        log_close(log);
    return st == ST_CORRUPT || fail("rot was not told", st, 0);
}

static enum status
count_record(void *arg, const struct log_record *r, struct log_place body)
{
    ++*(int *)arg;
    return ST_OK;
}

static enum status
open_from(uint64_t from, bool rebuild, int *count, struct log **log)
{
    struct log_settings settings = {.segment_size = SEGMENT, .batch_max = BATCH, .rebuild = rebuild};

    *count = 0;
    return log_open(&mem_disk, &settings, from, count_record, count, log, NULL);
}

/* Batches of one record of 20 KiB until there are `segments` more main segments with records. */
static bool
fill(struct log *log, int segments, uint64_t *lsn)
{
    static uint8_t bytes[20 * 1024];
    struct log_batch b = {0};
    struct slice body = slice_from(bytes, sizeof(bytes));
    struct log_place place;
    uint64_t last = 0;
    bool good = true;

    while (segments >= 0 && good) {
        good = (!log_wants_spare(log) || log_prepare(log, NULL) == ST_OK) && log_batch_begin(log, &b) == ST_OK;
        if (good && b.segment != last) {
            last = b.segment;
            segments--;
        }
        good = good && log_batch_add(log, &b, 1, SLICE("m"), &body, 1, lsn, &place) == ST_OK &&
               log_batch_commit(log, &b, NULL) == ST_OK;
    }
    log_batch_done(&b);
    return good;
}

/* What each start says of a segment that went, of one that is missing, and of damage where one ends. */
static bool
check_gone(void)
{
    struct log *log;
    struct log_batch b = {0};
    struct log_segment *list = NULL;
    struct log_place place;
    uint64_t lsn = 0, at, middle;
    size_t n = 0;
    int all, count;
    bool good;

    mem_wipe();
    if (open_from(0, false, &count, &log) != ST_OK || !fill(log, 3, &lsn) || log_segments(log, &list, &n, NULL) != ST_OK)
        return fail("gone: fill", 0, 0);
    middle = list[1].number;
    if (n != 4 || !list[3].current || list[2].current || list[1].end_lsn != list[2].first_lsn ||
        list[3].end_lsn != lsn + 1 || log_forget(log, middle, NULL) != ST_STATE)
        return fail("gone: list", n, 0);
    all = 0;
    for (size_t i = 0; i < n; i++)
        if (log_scan_segment(log, list[i].number, count_record, &all, NULL) != ST_OK)
            return fail("gone: scan", i, 0);
    if ((uint64_t)all != lsn)
        return fail("gone: records", (uint64_t)all, lsn);
    log_close(log);
    /* The index has all but the last record: nothing else is read, not even what rots. */
    for (int i = 0; i < MEM_FILES; i++)
        if (mem_files[i].used && strtoull(mem_files[i].name + 4, NULL, 16) == list[0].number)
            mem_files[i].now[LOG_HEADER + 100] ^= 1;
    good = open_from(lsn - 1, false, &count, &log) == ST_OK && count == 1 && log_next_lsn(log) == lsn + 1 &&
           log_scan_segment(log, list[0].number, count_record, &all, NULL) == ST_CORRUPT;
    if (!good)
        return fail("gone: passing over", (uint64_t)count, 0);
    for (int i = 0; i < MEM_FILES; i++)
        if (mem_files[i].used && strtoull(mem_files[i].name + 4, NULL, 16) == list[0].number)
            mem_files[i].now[LOG_HEADER + 100] ^= 1;
    at = middle; /* little-endian, as the tests' machines are; the format says so, not this line */
    if (log_batch_begin(log, &b) != ST_OK ||
        log_batch_add(log, &b, LOG_GONE, slice_from(&at, 8), NULL, 0, &lsn, &place) != ST_OK ||
        log_batch_commit(log, &b, NULL) != ST_OK ||
        log_forget(log, middle, NULL) != ST_OK || log_has_segment(log, middle))
        return fail("gone: forget", 0, 0);
    log_batch_done(&b);
    log_close(log);
    for (int i = 0; i < 2; i++) { /* with the LOG_GONE in the newest segment, then with a manifest that knows it */
        if (open_from(0, false, &count, &log) != ST_STALE || open_from(list[1].end_lsn - 2, false, &count, &log) != ST_STALE)
            return fail("gone: an index that is too old", (uint64_t)i, 0);
        if (open_from(list[1].end_lsn - 1, false, &count, &log) != ST_OK ||
            (uint64_t)count != list[3].end_lsn - list[1].end_lsn)
            return fail("gone: replay behind it", (uint64_t)i, (uint64_t)count);
        log_close(log);
    }
    /* An index that knows more than there is: the end of the log was lost, or this is another log. */
    if (open_from(lsn + 1, false, &count, &log) != ST_CORRUPT || open_from(lsn, false, &count, &log) != ST_OK)
        return fail("gone: the log ends before what the index has", 0, 0);
    log_close(log);
    if (open_from(0, true, &count, &log) != ST_OK ||
        (uint64_t)count != list[3].end_lsn - 1 - (list[1].end_lsn - list[1].first_lsn))
        return fail("gone: rebuild", (uint64_t)count, 0);
    log_close(log);
    /* Another one is missing, and no record says why. */
    for (int i = 0; i < MEM_FILES; i++)
        if (mem_files[i].used && strtoull(mem_files[i].name + 4, NULL, 16) == list[2].number)
            mem_files[i].used = false;
    good = open_from(0, true, &count, &log) == ST_CORRUPT;
    free(list);
    return good || fail("gone: a missing segment was taken", 0, 0);
}

static void
check_side_sums(void)
{
    struct log *log;
    struct log_side *side;
    struct log_place place;
    uint64_t n, sum;
    int count;

    mem_wipe();
    if (open_from(0, false, &count, &log) != ST_OK || log_side_begin(log, &side, NULL) != ST_OK ||
        log_side_append(side, SLICE("side"), NULL) != ST_OK || log_side_seal(side, &place, &n, &sum, NULL) != ST_OK ||
        log_check_side(log, place.segment, NULL) != ST_OK)
        abort();
    for (int i = 0; i < MEM_FILES; i++)
        if (mem_files[i].used && strncmp(mem_files[i].name, "side-", 5) == 0)
            mem_files[i].now[LOG_HEADER + 2] ^= 4;
    if (log_check_side(log, place.segment, NULL) != ST_CORRUPT)
        abort();
    if (log_forget(log, place.segment, NULL) != ST_OK || log_has_segment(log, place.segment))
        abort();
    log_close(log);
}

/* --- a segment is made while a disk is slow --- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool slow, flushing, let_go, gave_up;
} slow = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false, false, false};

/* A flush that ends when it is told to, or after 3 s: then who should have told it waits for it himself. */
static int
slow_sync(void *self, int fd)
{
    struct timespec until;

    pthread_mutex_lock(&slow.lock);
    if (slow.slow) {
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 3;
        slow.flushing = true;
        pthread_cond_broadcast(&slow.told);
        while (!slow.let_go && !slow.gave_up)
            slow.gave_up = pthread_cond_timedwait(&slow.told, &slow.lock, &until) != 0;
    }
    pthread_mutex_unlock(&slow.lock);
    return mem_disk.sync(self, fd);
}

static void *
make_segment(void *log)
{
    return log_prepare(log, NULL) == ST_OK ? log : NULL;
}

/* The thread that serves everyone asks for a spare and begins batches: it must not wait for whoever makes one. */
static bool
check_slow_making(void)
{
    const struct log_settings settings = {.segment_size = SEGMENT, .batch_max = BATCH};
    struct disk disk = mem_disk;
    struct log *log;
    struct log_batch b = {0};
    struct log_place place;
    static const uint8_t bytes[BATCH / 2];
    struct slice body = slice_from(bytes, sizeof(bytes));
    enum status st;
    uint64_t lsn;
    pthread_t maker;
    void *made;
    bool good;

    mem_wipe();
    disk.sync = slow_sync;
    if (log_open(&disk, &settings, 0, NULL, NULL, &log, NULL) != ST_OK)
        return fail("slow making: open", 0, 0);
    while ((st = log_batch_begin(log, &b)) == ST_OK)
        if (log_batch_add(log, &b, 1, SLICE("meta"), &body, 1, &lsn, &place) != ST_OK ||
            log_batch_commit(log, &b, NULL) != ST_OK)
            return fail("slow making: write", 0, 0);
    slow.slow = true;
    if (pthread_create(&maker, NULL, make_segment, log) != 0)
        abort();
    pthread_mutex_lock(&slow.lock);
    while (!slow.flushing)
        pthread_cond_wait(&slow.told, &slow.lock);
    pthread_mutex_unlock(&slow.lock);
    good = st == ST_UNAVAILABLE && log_wants_spare(log) && log_batch_begin(log, &b) == ST_UNAVAILABLE;
    pthread_mutex_lock(&slow.lock);
    good = good && !slow.gave_up;
    slow.let_go = true;
    pthread_cond_broadcast(&slow.told);
    pthread_mutex_unlock(&slow.lock);
    (void)pthread_join(maker, &made);
    good = good && made != NULL && !log_wants_spare(log) && log_batch_begin(log, &b) == ST_OK;
    log_batch_done(&b);
    log_close(log);
    return good || fail("a batch waited for a segment that is being made", slow.gave_up, (uint64_t)st);
}

/* One image: a life of up to three crashes, some of them during recovery. */
static bool
image(void)
{
    struct log *log = NULL;
    struct log_batch b = {0};
    bool good = true;

    mem_wipe();
    n_known = 0;
    highest_lsn = highest_epoch = 0;
    for (int crash = 0; crash < 3 && good; crash++) {
        if (crash > 0 && mem_rnd(4) == 0)
            mem_countdown = (long)mem_rnd(12);
        log = NULL;
        good = recover(&log);
        if (good && log != NULL && !mem_off) {
            mem_countdown = (long)mem_rnd(60);
            while (write_batch_of(log, &b))
                ;
        }
        if (log != NULL && good)
            log_close(log);
        mem_off = true;
        if (mem_rnd(3) == 0)
            mem_killed();
        else
            mem_reboot();
    }
    log = NULL;
    good = good && recover(&log);
    if (good) {
        log_close(log);
        good = check_sides();
    }
    log_batch_done(&b);
    return good && (mem_rnd(20) != 0 || check_rot());
}

int
main(int argc, char **argv)
{
    uint64_t images = 300, seed = 1;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--images") == 0)
            images = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
#ifdef PLANT_BUGS
    bug_plant(getenv("ESTAFETA_BUG"));
#endif
    for (uint64_t i = 0; i < images; i++) {
        mem_seed = (seed + i) * 0x9e3779b97f4a7c15u | 1;
        if (!image()) {
            printf("log_test: image with --seed %" PRIu64 " --images 1: %s\n", seed + i, failure);
            return 1;
        }
    }
    check_side_sums();
    if (!check_gone() || !check_slow_making()) {
        printf("log_test: %s\n", failure);
        return 1;
    }
    mem_wipe();
    printf("log_test: %" PRIu64 " images, every acknowledged batch exactly once\n", images);
    return 0;
}
