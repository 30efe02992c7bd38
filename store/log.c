#include "store/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "store/bugs.h"

#define SEGMENT_SIZE (64u * 1024u * 1024u)
#define ZEROS (1024u * 1024u)
#define LOOK  (256u * 1024u) /* bytes that are read at once to see whether all are zero */

struct segment {
    uint64_t number, epoch, first_lsn, first_batch, sum, seed, size;
    uint64_t used; /* main: where the next batch would go; the end of the file when the opening passed it over */
    uint64_t end;  /* main: LSN behind its last record. Both change at commits: atomic */
    enum log_kind kind;
    int fd;
    int refs;    /* the list's own and one a reader; the last one closes it. Atomic */
    bool unused; /* its header was never durable */
    bool named;  /* the newest manifest has it, with its end */
    bool gone;   /* a durable LOG_GONE names it */
};

struct log {
    struct disk disk;
    struct log_settings settings;
    pthread_rwlock_t lock; /* the segments array and what it points to */
    struct segment **segments; /* each of its own, so that a pointer outlives the array */
    size_t n, cap;
    pthread_mutex_t making; /* one at a time: held while a segment is written, which a slow disk may make long */
    pthread_mutex_t shelf;  /* next_number, spare and no_space; never held while the disk is asked for anything */
    uint64_t next_number;
    struct segment spare; /* fd -1: none */
    bool no_space;        /* the last try to make one failed for space */
    /* the writer's */
    uint64_t next_lsn, next_batch, epoch;
    uint64_t current; /* number of the segment being written */
    bool closed;      /* current may not be used any more: a flush failed */
    bool unknown;     /* and the new epoch is not durable yet */
};

struct log_side {
    struct log *log;
    struct segment segment;
    uint64_t n;
    XXH3_state_t *sum;
};

void
log_segment_name(char to[LOG_NAME_MAX], enum log_kind kind, uint64_t number)
{
    (void)snprintf(to, LOG_NAME_MAX, "%s-%016" PRIx64, kind == LOG_MAIN ? "seg" : "side", number);
}

static bool
parse_name(const char *name, enum log_kind *kind, uint64_t *number)
{
    struct slice in = slice_of(name);
    uint64_t got = 0;

    if (take_literal(&in, SLICE("seg-")))
        *kind = LOG_MAIN;
    else if (take_literal(&in, SLICE("side-")))
        *kind = LOG_SIDE;
    else
        return false;
    if (in.n != 16)
        return false;
    for (size_t i = 0; i < in.n; i++) {
        uint8_t c = in.p[i];

        if (!ascii_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        got = got << 4 | (uint64_t)(ascii_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *number = got;
    return true;
}

static bool
read_full(struct log *log, int fd, uint8_t *to, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t got = log->disk.pread(log->disk.self, fd, to, n, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0)
                errno = ENODATA;
            return false;
        }
        to += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool
write_full(struct log *log, int fd, const uint8_t *from, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t put = log->disk.pwrite(log->disk.self, fd, from, n, at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            if (put == 0)
                errno = ENOSPC;
            return false;
        }
        from += put;
        at += (uint64_t)put;
        n -= (size_t)put;
    }
    return true;
}

/* --- the list of segments: sorted by number --- */

/* Index of the first whose number is not below `number`; log->n when there is none. */
static size_t
place_of(struct log *log, uint64_t number)
{
    size_t low = 0, high = log->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (log->segments[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct segment *
find_segment(struct log *log, uint64_t number)
{
    size_t i = place_of(log, number);

    return i < log->n && log->segments[i]->number == number ? log->segments[i] : NULL;
}

static struct segment *
find_locked(struct log *log, uint64_t number)
{
    struct segment *s;

    pthread_rwlock_rdlock(&log->lock);
    s = find_segment(log, number);
    pthread_rwlock_unlock(&log->lock);
    return s;
}

/* The segment stays open until it is let go. NULL: there is none. */
static struct segment *
hold(struct log *log, uint64_t number)
{
    struct segment *s;

    pthread_rwlock_rdlock(&log->lock);
    s = find_segment(log, number);
    if (s != NULL)
        (void)__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&log->lock);
    return s;
}

static void
let_go(struct log *log, struct segment *s)
{
    if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        (void)log->disk.close(log->disk.self, s->fd);
        free(s);
    }
}

static bool
add_segment(struct log *log, const struct segment *s)
{
    struct segment *own = malloc(sizeof(*own));
    size_t at;

    if (own == NULL)
        return false;
    *own = *s;
    own->refs = 1;
    if (log->n == log->cap) {
        size_t cap = log->cap == 0 ? 16 : log->cap * 2;
        struct segment **grown = realloc(log->segments, cap * sizeof(*grown));

        if (grown == NULL) {
            free(own);
            return false;
        }
        log->segments = grown;
        log->cap = cap;
    }
    for (at = log->n; at > 0 && log->segments[at - 1]->number > s->number; at--)
        log->segments[at] = log->segments[at - 1];
    log->segments[at] = own;
    log->n++;
    return true;
}

static enum status
remove_at(struct log *log, size_t i, struct err *err)
{
    char name[LOG_NAME_MAX];

    log_segment_name(name, log->segments[i]->kind, log->segments[i]->number);
    if (log->disk.remove(log->disk.self, name) != 0 && errno != ENOENT)
        return err_sys(err, "log: remove %s", name);
    let_go(log, log->segments[i]);
    memmove(&log->segments[i], &log->segments[i + 1], (log->n - i - 1) * sizeof(struct segment *));
    log->n--;
    return ST_OK;
}

/* --- making segments --- */

/* A main segment's file, all zeros, durable with its name. */
static enum status
make_blank(struct log *log, struct segment *s, struct err *err)
{
    uint8_t *zeros = calloc(1, ZEROS);
    char name[LOG_NAME_MAX];
    uint64_t at = 0;

    log_segment_name(name, LOG_MAIN, s->number);
    if (zeros == NULL)
        return err_set(err, ST_MEMORY, "log: no memory");
    s->fd = log->disk.open(log->disk.self, name, true);
    if (s->fd < 0)
        goto fail;
    while (at < s->size) {
        size_t n = s->size - at < ZEROS ? (size_t)(s->size - at) : ZEROS;

        if (!write_full(log, s->fd, zeros, n, at))
            goto fail;
        at += n;
    }
    if (log->disk.sync(log->disk.self, s->fd) != 0)
        goto fail;
    if (!BUG(names_unflushed) && log->disk.sync_names(log->disk.self) != 0)
        goto fail;
    free(zeros);
    return ST_OK;

fail:
    (void)err_sys(err, "log: make %s", name);
    free(zeros);
    if (s->fd >= 0) {
        (void)log->disk.close(log->disk.self, s->fd);
        (void)log->disk.remove(log->disk.self, name);
        s->fd = -1;
    }
    return err != NULL ? err->status : ST_IO;
}

enum status
log_prepare(struct log *log, struct err *err)
{
    struct err own = {0};
    struct segment s = {.kind = LOG_MAIN, .fd = -1, .size = log->settings.segment_size, .unused = true};
    enum status st = ST_OK;
    bool wanted;

    pthread_mutex_lock(&log->making);
    pthread_mutex_lock(&log->shelf);
    wanted = log->spare.fd < 0;
    if (wanted)
        s.number = log->next_number++;
    pthread_mutex_unlock(&log->shelf);
    if (wanted) {
        st = make_blank(log, &s, &own);
        pthread_mutex_lock(&log->shelf);
        log->no_space = st == ST_NOSPACE;
        if (st == ST_OK)
            log->spare = s;
        pthread_mutex_unlock(&log->shelf);
    }
    pthread_mutex_unlock(&log->making);
    if (st != ST_OK && err != NULL)
        *err = own;
    return st;
}

bool
log_wants_spare(struct log *log)
{
    bool wants;

    pthread_mutex_lock(&log->shelf);
    wants = log->spare.fd < 0;
    pthread_mutex_unlock(&log->shelf);
    return wants;
}

/* Does it belong into a manifest? */
static bool
is_living(const struct segment *s)
{
    return s->kind == LOG_MAIN && !s->unused && s->used > LOG_HEADER && (!s->gone || BUG(gone_named));
}

/* The header of a segment that begins now, with the manifest of all that live. */
static enum status
write_header(struct log *log, const struct segment *s, struct err *err)
{
    uint8_t *bytes = malloc(LOG_HEADER);
    struct log_living *living = calloc(LOG_SEGMENTS_MAX, sizeof(*living));
    struct log_header h = {.kind = s->kind,
                           .shard = log->settings.shard,
                           .number = s->number,
                           .epoch = s->epoch,
                           .first_lsn = s->first_lsn,
                           .first_batch = s->first_batch,
                           .sum = s->sum,
                           .seed = s->seed,
                           .size = s->size,
                           .living = living};
    enum status st = ST_OK;

    if (bytes == NULL || living == NULL) {
        st = err_set(err, ST_MEMORY, "log: no memory");
        goto out;
    }
    pthread_rwlock_rdlock(&log->lock);
    for (size_t i = 0; s->kind == LOG_MAIN && i < log->n && st == ST_OK; i++)
        if (log->segments[i]->number != s->number && is_living(log->segments[i])) {
            if (h.n_living == LOG_SEGMENTS_MAX)
                st = err_set(err, ST_NOSPACE, "log: more than %zu segments; raise segment_size", (size_t)LOG_SEGMENTS_MAX);
            else
                living[h.n_living++] = (struct log_living){log->segments[i]->number, log->segments[i]->end};
        }
    pthread_rwlock_unlock(&log->lock);
    if (st != ST_OK)
        goto out;
    log_header_put(bytes, &h);
    if (!write_full(log, s->fd, bytes, LOG_HEADER, 0))
        st = err_sys(err, "log: write the header of segment %" PRIx64, s->number);
    else if (!(s->kind == LOG_MAIN ? BUG(header_unflushed) : BUG(side_unflushed)) &&
             log->disk.sync(log->disk.self, s->fd) != 0)
        st = err_sys(err, "log: flush the header of segment %" PRIx64, s->number);

out:
    free(bytes);
    free(living);
    return st;
}

/* --- opening --- */

struct names {
    struct log *log;
    enum status st;
};

static void
on_name(void *arg, const char *name)
{
    struct names *names = arg;
    struct log *log = names->log;
    struct segment s = {.fd = -1};

    if (names->st != ST_OK || !parse_name(name, &s.kind, &s.number))
        return;
    s.fd = log->disk.open(log->disk.self, name, false);
    if (s.fd < 0 || !add_segment(log, &s))
        names->st = ST_IO;
    if (s.number >= log->next_number)
        log->next_number = s.number + 1;
}

/* Is everything behind the header zero? */
static enum status
blank_behind(struct log *log, const struct segment *s, bool *blank, struct err *err)
{
    int64_t size = log->disk.size(log->disk.self, s->fd);
    uint8_t *bytes = malloc(LOOK);
    enum status st = bytes != NULL ? ST_OK : err_set(err, ST_MEMORY, "log: no memory");

    *blank = true;
    for (uint64_t at = LOG_HEADER; st == ST_OK && size > 0 && at < (uint64_t)size && *blank; at += LOOK) {
        size_t n = (uint64_t)size - at < LOOK ? (size_t)((uint64_t)size - at) : LOOK;

        if (!read_full(log, s->fd, bytes, n, at))
            st = err_sys(err, "log: read segment %" PRIx64, s->number);
        else
            *blank = bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
    }
    free(bytes);
    return st;
}

/* A segment's facts from its header. One whose header never became durable is marked unused. */
static enum status
read_header(struct log *log, struct segment *s, uint8_t *bytes, struct err *err)
{
    struct log_header h = {0};
    enum status st;
    bool blank;

    if (log->disk.size(log->disk.self, s->fd) < (int64_t)LOG_HEADER) {
        s->unused = true; /* not even its header's room was flushed */
        return ST_OK;
    }
    if (!read_full(log, s->fd, bytes, LOG_HEADER, 0))
        return err_sys(err, "log: read the header of segment %" PRIx64, s->number);
    st = log_header_get(bytes, &h);
    if (st == ST_NEWER)
        return err_set(err, ST_NEWER, "log: segment %" PRIx64 " was written by a newer version of Estafeta", s->number);
    if (st == ST_OK && (h.kind != s->kind || h.number != s->number || h.shard != log->settings.shard))
        return err_set(err, ST_CORRUPT, "log: segment %" PRIx64 " says that it is another one", s->number);
    if (st != ST_OK) {
        if (s->kind == LOG_SIDE) {
            s->unused = true; /* never sealed; a record that adopts it would miss it */
            return ST_OK;
        }
        st = blank_behind(log, s, &blank, err);
        if (st != ST_OK)
            return st;
        if (!blank)
            return err_set(err, ST_CORRUPT, "log: the header of segment %" PRIx64 " is damaged, and it holds records",
                           s->number);
        s->unused = true;
        return ST_OK;
    }
    s->epoch = h.epoch;
    s->first_lsn = h.first_lsn;
    s->first_batch = h.first_batch;
    s->sum = h.sum;
    s->seed = h.seed;
    s->size = h.size;
    s->used = s->kind == LOG_MAIN ? LOG_HEADER : h.size;
    s->end = h.first_lsn;
    return ST_OK;
}

/* The newest header, and the names, as they were read: see make_durable(). */
static enum status
make_header_durable(struct log *log, const struct segment *newest, const uint8_t *header, struct err *err)
{
    if (BUG(end_unflushed))
        return ST_OK;
    if (!write_full(log, newest->fd, header, LOG_HEADER, 0) || log->disk.sync(log->disk.self, newest->fd) != 0)
        return err_sys(err, "log: flush the header of segment %" PRIx64, newest->number);
    if (log->disk.sync_names(log->disk.self) != 0)
        return err_sys(err, "log: flush the names");
    return ST_OK;
}

struct scan {
    struct log *log;
    log_replay replay;
    void *arg;
    uint64_t from;
    uint8_t *bytes; /* LOG_BATCH_MAX + LOG_BATCH_HEADER */
    struct err *err;
    uint64_t at, next_lsn, next_batch; /* of the batch to come in the segment being read */
};

static void
scan_start(struct scan *scan, const struct segment *s)
{
    scan->at = LOG_HEADER;
    scan->next_lsn = s->first_lsn;
    scan->next_batch = s->first_batch;
}

static void
scan_pass(struct scan *scan, const struct log_batch_header *h)
{
    scan->at += h->length;
    scan->next_lsn = h->first_lsn + h->records;
    scan->next_batch = h->number + 1;
}

/* Reads the batch at scan->at whole. ST_CORRUPT: there is no good one. */
static enum status
read_batch(struct scan *scan, const struct segment *s, struct log_batch_header *h)
{
    struct log *log = scan->log;
    uint64_t at = LOG_BATCH_HEADER;

    if (scan->at + LOG_BATCH_HEADER > s->size)
        return ST_CORRUPT;
    if (!read_full(log, s->fd, scan->bytes, LOG_BATCH_HEADER, scan->at))
        return err_sys(scan->err, "log: read segment %" PRIx64 " at %" PRIu64, s->number, scan->at);
    if (log_batch_header_get(slice_from(scan->bytes, LOG_BATCH_HEADER), s->seed, s->epoch, h) != ST_OK ||
        h->length > s->size - scan->at || h->number != scan->next_batch || h->first_lsn != scan->next_lsn)
        return ST_CORRUPT;
    if (!read_full(log, s->fd, scan->bytes, h->length, scan->at))
        return err_sys(scan->err, "log: read segment %" PRIx64 " at %" PRIu64, s->number, scan->at);
    for (uint32_t i = 0; i < h->records; i++) {
        struct log_record r = {0};

        if (log_record_get(slice_from(scan->bytes + at, h->length - at), s->seed, s->epoch, &r) != ST_OK ||
            r.lsn != h->first_lsn + i || r.batch != h->number) {
            if (!BUG(half_batch) || i == 0)
                return ST_CORRUPT;
            h->records = i;
            return ST_OK;
        }
        at += r.length;
    }
    return at == h->length ? ST_OK : ST_CORRUPT;
}

/* A batch that another follows is durable, for that one was written later. The last one may be in the cache
 * alone: its program was killed before the flush, or a failed flush has marked it clean. It is about to count for
 * ever, in the index and before the next epoch, so it is written once more (the same bytes: a cut in between
 * tears nothing) and flushed. */
static enum status
make_durable(struct scan *scan, const struct segment *s, const struct log_batch_header *h)
{
    struct log *log = scan->log;
    struct log_batch_header next = {0};
    uint8_t bytes[LOG_BATCH_HEADER];
    uint64_t at = scan->at + h->length;

    if (BUG(end_unflushed) || h->first_lsn + h->records - 1 <= scan->from)
        return ST_OK; /* what the index has kept went through here before */
    if (at + LOG_BATCH_HEADER <= s->size) {
        if (!read_full(log, s->fd, bytes, sizeof(bytes), at))
            return err_sys(scan->err, "log: read segment %" PRIx64 " at %" PRIu64, s->number, at);
        if (log_batch_header_get(slice_from(bytes, sizeof(bytes)), s->seed, s->epoch, &next) == ST_OK &&
            next.number == h->number + 1)
            return ST_OK;
    }
    if (!write_full(log, s->fd, scan->bytes, h->length, scan->at) || log->disk.sync(log->disk.self, s->fd) != 0)
        return err_sys(scan->err, "log: flush the end of segment %" PRIx64, s->number);
    return ST_OK;
}

/* The segments that a LOG_GONE names. */
static void
mark_gone(struct log *log, struct slice numbers)
{
    uint64_t number;

    while (take_le64(&numbers, &number)) {
        struct segment *s = find_segment(log, number);

        if (s != NULL && s->kind == LOG_MAIN && number != log->current)
            s->gone = true;
    }
}

/* Hands the records of the batch in scan->bytes to `each`. */
static enum status
each_record(struct scan *scan, const struct segment *s, const struct log_batch_header *h, bool opening)
{
    uint64_t at = LOG_BATCH_HEADER;

    for (uint32_t i = 0; i < h->records; i++) {
        struct log_record r = {0};
        struct log_place body = {s->number, 0};
        enum status st = log_record_get(slice_from(scan->bytes + at, h->length - at), s->seed, s->epoch, &r);

        if (st != ST_OK)
            return err_set(scan->err, st, "log: segment %" PRIx64 " changed while it was read", s->number);
        body.offset = scan->at + at + LOG_RECORD_HEADER + r.meta.n;
        if (opening && r.type == LOG_GONE) {
            mark_gone(scan->log, r.meta);
        } else if (r.lsn > scan->from) {
            st = scan->replay(scan->arg, &r, body);
            if (st != ST_OK && opening)
                return err_set(scan->err, st, "log: record %" PRIu64 " was not taken: %s", r.lsn, status_text(st));
            if (st != ST_OK)
                return st;
        }
        at += r.length;
    }
    return ST_OK;
}

/* Does a good batch of a later number stand anywhere behind scan->at? Then what is bad there is
 * damage: at most one batch, the last, can be torn. */
static enum status
find_later_batch(struct scan *scan, const struct segment *s, uint64_t *found)
{
    struct log *log = scan->log;
    uint64_t at = scan->at;

    *found = 0;
    while (at + LOG_BATCH_HEADER <= s->size) {
        size_t n = s->size - at < LOG_BATCH_MAX ? (size_t)(s->size - at) : LOG_BATCH_MAX;

        if (!read_full(log, s->fd, scan->bytes, n, at))
            return err_sys(scan->err, "log: read segment %" PRIx64 " at %" PRIu64, s->number, at);
        for (size_t i = 0; i + LOG_BATCH_HEADER <= n; i += 8) {
            struct log_batch_header h = {0};

            if (scan->bytes[i] == 'B' &&
                log_batch_header_get(slice_from(scan->bytes + i, n - i), s->seed, s->epoch, &h) == ST_OK &&
                h.number > scan->next_batch) {
                *found = at + i;
                return ST_OK;
            }
        }
        if (at + n == s->size)
            break;
        at += n - LOG_BATCH_HEADER - LOG_BATCH_HEADER % 8;
    }
    return ST_OK;
}

/* What is at scan->at, before the segment's known end, is bad. */
static enum status
damaged(const struct scan *scan, const struct segment *s)
{
    return err_set(scan->err, ST_CORRUPT,
                   "log: segment %" PRIx64 " is damaged at %" PRIu64 ": records %" PRIu64 " to %" PRIu64 " are missing",
                   s->number, scan->at, scan->next_lsn, s->end - 1);
}

static enum status
scan_opened(struct scan *scan, size_t i)
{
    struct log *log = scan->log;
    struct segment *s = log->segments[i];
    bool known = s->named && !BUG(epoch_unchecked) && !BUG(damage_is_tail);
    uint64_t limit = known ? s->end : UINT64_MAX, found = 0;
    struct log_batch_header h = {0};
    enum status st = ST_OK;

    scan_start(scan, s);
    while (scan->next_lsn < limit && (st = read_batch(scan, s, &h)) == ST_OK) {
        st = make_durable(scan, s, &h);
        if (st == ST_OK)
            st = each_record(scan, s, &h, true);
        if (st != ST_OK)
            return st;
        scan_pass(scan, &h);
    }
    s->used = scan->at;
    if (scan->next_lsn < limit && st == ST_CORRUPT && known)
        return damaged(scan, s);
    s->end = scan->next_lsn;
    if (scan->next_lsn >= limit || BUG(damage_is_tail))
        return ST_OK;
    if (st != ST_CORRUPT)
        return st;
    st = find_later_batch(scan, s, &found);
    if (st == ST_OK && found != 0)
        return err_set(scan->err, ST_CORRUPT,
                       "log: segment %" PRIx64 " is damaged at %" PRIu64 ": a good batch follows at %" PRIu64, s->number,
                       s->used, found);
    return st;
}

/* May s follow on what was read so far? */
static enum status
check_order(const struct scan *scan, const struct segment *s, uint64_t epoch, bool first)
{
    const struct log *log = scan->log;

    if (s->epoch < epoch)
        return err_set(scan->err, ST_CORRUPT, "log: segment %" PRIx64 " has an older epoch than the one before",
                       s->number);
    if (s->first_lsn < scan->next_lsn && !first && !BUG(epoch_unchecked))
        return err_set(scan->err, ST_CORRUPT, "log: segment %" PRIx64 " begins again at record %" PRIu64, s->number,
                       s->first_lsn);
    if (first ? s->first_lsn <= 1 : s->first_lsn <= scan->next_lsn)
        return ST_OK;
    /* Segments went here: the one before is known to be whole. */
    if (s->first_lsn - 1 > scan->from && !log->settings.rebuild && !BUG(damage_is_tail))
        return err_set(scan->err, ST_STALE, "log: records up to %" PRIu64 " went with their segment; the index has %" PRIu64,
                       s->first_lsn - 1, scan->from);
    return ST_OK;
}

static enum status
scan_all(struct scan *scan, const struct segment *newest)
{
    struct log *log = scan->log;
    bool first = true;

    for (size_t i = 0; i < log->n; i++) {
        struct segment *s = log->segments[i];
        enum status st;

        /* What the manifest does not name went, or never counted: its flush failed, and a newer epoch came. */
        if (s->kind != LOG_MAIN || s->unused || (!s->named && s != newest && !BUG(epoch_unchecked)))
            continue;
        st = check_order(scan, s, log->epoch, first);
        if (st != ST_OK)
            return st;
        log->epoch = s->epoch;
        first = false;
        if (s->named && s->end > s->first_lsn && s->end - 1 <= scan->from) {
            s->used = s->size; /* the index has all of it */
            scan->next_lsn = s->end;
            continue;
        }
        st = scan_opened(scan, i);
        if (st != ST_OK)
            return st;
    }
    log->next_lsn = first ? 1 : scan->next_lsn;
    log->next_batch = first ? 1 : scan->next_batch; /* the newest is in no manifest: it was read */
    return ST_OK;
}

static enum status
collect_gone(void *arg, const struct log_record *r, struct log_place body)
{
    if (r->type == LOG_GONE)
        buf_put(arg, r->meta);
    return ST_OK;
}

static bool
has_number(struct slice numbers, uint64_t number)
{
    uint64_t at;

    while (take_le64(&numbers, &at))
        if (at == number)
            return true;
    return false;
}

/* Every segment that the newest header names must be there, or have gone since. */
static enum status
check_manifest(struct scan *scan, struct segment *newest, const uint8_t *header)
{
    AUTO_BUF gone = BUF_INIT(LOG_SEGMENTS_MAX * 8 * 2);
    struct log *log = scan->log;
    struct log_batch_header batch = {0};
    struct log_header h;
    bool looked = false;

    if (log_header_get(header, &h) != ST_OK)
        return err_set(scan->err, ST_CORRUPT, "log: segment %" PRIx64 " changed while it was read", newest->number);
    for (uint32_t i = 0; i < h.n_living; i++) {
        struct log_living living = log_header_living(header, i);
        struct segment *s = find_segment(log, living.number);

        if (s != NULL && s->kind == LOG_MAIN && !s->unused && living.end >= s->first_lsn) {
            s->named = true;
            s->end = living.end;
            continue;
        }
        if (!looked) {
            struct scan look = *scan;

            look.replay = collect_gone;
            look.arg = &gone;
            look.from = 0;
            scan_start(&look, newest);
            while (read_batch(&look, newest, &batch) == ST_OK && each_record(&look, newest, &batch, false) == ST_OK)
                scan_pass(&look, &batch);
            looked = true;
        }
        if (s != NULL || (!has_number(buf_slice(&gone), living.number) && !BUG(missing_taken)))
            return err_set(scan->err, ST_CORRUPT, "log: segment %" PRIx64 " is missing; segment %" PRIx64 " names it",
                           living.number, newest->number);
    }
    return ST_OK;
}

static enum status
read_all(struct log *log, uint64_t from, log_replay replay, void *arg, struct err *err)
{
    struct names names = {log, ST_OK};
    struct scan scan = {log, replay, arg, from, malloc(LOG_BATCH_MAX + LOG_BATCH_HEADER), err, 0, 0, 0};
    uint8_t *newest = malloc(LOG_HEADER), *bytes = malloc(LOG_HEADER);
    struct segment *last = NULL;
    enum status st = ST_OK;

    if (scan.bytes == NULL || newest == NULL || bytes == NULL)
        st = err_set(err, ST_MEMORY, "log: no memory");
    else if (log->disk.list(log->disk.self, on_name, &names) != 0 || names.st != ST_OK)
        st = err_sys(err, "log: list the segments");
    for (size_t i = 0; i < log->n && st == ST_OK; i++) {
        struct segment *s = log->segments[i];

        st = read_header(log, s, bytes, err);
        if (st == ST_OK && s->kind == LOG_MAIN && !s->unused) {
            memcpy(newest, bytes, LOG_HEADER);
            last = s;
        }
    }
    if (st == ST_OK && last != NULL)
        st = check_manifest(&scan, last, newest);
    if (st == ST_OK && last != NULL)
        st = make_header_durable(log, last, newest, err);
    if (st == ST_OK)
        st = scan_all(&scan, last);
    free(scan.bytes);
    free(newest);
    free(bytes);
    return st;
}

/* Puts the spare into use as the first segment of the next epoch. */
enum status
log_renew(struct log *log, struct err *err)
{
    struct segment s;
    enum status st = log_prepare(log, err);

    if (st != ST_OK)
        return st;
    pthread_mutex_lock(&log->shelf);
    s = log->spare;
    log->spare.fd = -1;
    pthread_mutex_unlock(&log->shelf);
    s.epoch = log->epoch + (BUG(no_epoch_at_start) ? 0 : 1);
    s.first_lsn = log->next_lsn;
    s.first_batch = log->next_batch;
    if (BUG(lsn_repeats) && s.first_lsn > 1)
        s.first_lsn--, s.first_batch--;
    if (getrandom(&s.seed, sizeof(s.seed), 0) != (ssize_t)sizeof(s.seed))
        st = err_sys(err, "log: random seed");
    if (st == ST_OK)
        st = write_header(log, &s, err);
    pthread_rwlock_wrlock(&log->lock);
    s.unused = st != ST_OK;
    s.used = LOG_HEADER;
    s.end = s.first_lsn;
    if (!add_segment(log, &s))
        st = err_set(err, ST_MEMORY, "log: no memory");
    pthread_rwlock_unlock(&log->lock);
    if (st != ST_OK)
        return st;
    log->epoch = s.epoch;
    log->next_lsn = s.first_lsn;
    log->next_batch = s.first_batch;
    log->current = s.number;
    log->closed = log->unknown = false;
    return ST_OK;
}

/* A segment that was made ahead of need and never begun becomes this life's first, so that a start need not write one.
 * Its number must be the highest: order by number is order by epoch. */
static enum status
reuse_blank(struct log *log, struct err *err)
{
    struct segment *blank = NULL;
    size_t at = 0;

    for (size_t i = 0; i < log->n; i++)
        if (log->segments[i]->kind == LOG_MAIN) {
            blank = log->segments[i];
            at = i;
        }
    if (blank == NULL || !blank->unused ||
        log->disk.size(log->disk.self, blank->fd) != (int64_t)log->settings.segment_size)
        return ST_OK;
    /* It may have been left by a kill: whole, but neither it nor its name durable. */
    if (log->disk.sync(log->disk.self, blank->fd) != 0 || log->disk.sync_names(log->disk.self) != 0)
        return err_sys(err, "log: flush segment %" PRIx64, blank->number);
    log->spare = (struct segment){
        .kind = LOG_MAIN, .fd = blank->fd, .number = blank->number, .size = log->settings.segment_size, .unused = true};
    free(blank);
    memmove(&log->segments[at], &log->segments[at + 1], (log->n - at - 1) * sizeof(struct segment *));
    log->n--;
    return ST_OK;
}


/* Main segments without a record that counts are of no use once a newer header is durable. */
static enum status
remove_empty(struct log *log, struct err *err)
{
    for (size_t i = log->n; i-- > 0;) {
        struct segment *s = log->segments[i];

        if (s->kind == LOG_MAIN && s->number != log->current && (s->unused || s->used == LOG_HEADER)) {
            enum status st = remove_at(log, i, err);

            if (st != ST_OK)
                return st;
        }
    }
    return ST_OK;
}

/* Who knows a record that the log has not, has another log's past, or the log lost its end. Numbers given out again would then
 * be taken for known, and what they name would be skipped at the next replay. */
static enum status
check_reaches(const struct log *log, uint64_t from, struct err *err)
{
    if (from < log->next_lsn)
        return ST_OK;
    return err_set(err, ST_CORRUPT, "log: it ends before record %" PRIu64 ", but the index has record %" PRIu64, log->next_lsn,
                   from);
}

enum status
log_open(const struct disk *disk, const struct log_settings *settings, uint64_t from, log_replay replay, void *arg,
         struct log **result, struct err *err)
{
    struct log *log = calloc(1, sizeof(*log));
    enum status st;

    if (log == NULL)
        return err_set(err, ST_MEMORY, "log: no memory");
    log->disk = *disk;
    log->settings = *settings;
    if (log->settings.segment_size == 0)
        log->settings.segment_size = SEGMENT_SIZE;
    if (log->settings.batch_max == 0 || log->settings.batch_max > LOG_BATCH_MAX)
        log->settings.batch_max = LOG_BATCH_MAX;
    log->spare.fd = -1;
    log->next_lsn = log->next_batch = log->next_number = 1;
    pthread_rwlock_init(&log->lock, NULL);
    pthread_mutex_init(&log->making, NULL);
    pthread_mutex_init(&log->shelf, NULL);
    if (disk->lock(disk->self) != 0)
        st = errno == EWOULDBLOCK ? err_set(err, ST_STATE, "log: another process has it open")
                                  : err_sys(err, "log: lock");
    else if ((st = read_all(log, from, replay, arg, err)) == ST_OK &&
             (st = check_reaches(log, from, err)) == ST_OK && (st = reuse_blank(log, err)) == ST_OK &&
             (st = log_renew(log, err)) == ST_OK)
        st = remove_empty(log, err);
    if (st != ST_OK) {
        log_close(log);
        return st;
    }
    *result = log;
    return ST_OK;
}

void
log_close(struct log *log)
{
    if (log == NULL)
        return;
    for (size_t i = 0; i < log->n; i++)
        let_go(log, log->segments[i]);
    if (log->spare.fd >= 0)
        (void)log->disk.close(log->disk.self, log->spare.fd);
    pthread_rwlock_destroy(&log->lock);
    pthread_mutex_destroy(&log->making);
    pthread_mutex_destroy(&log->shelf);
    free(log->segments);
    free(log);
}

uint64_t
log_next_lsn(const struct log *log)
{
    return log->next_lsn;
}

uint64_t
log_epoch(const struct log *log)
{
    return log->epoch;
}

/* --- batches --- */

/* The spare joins the list as the next segment of this epoch. Its header is written by the commit. */
static enum status
roll(struct log *log)
{
    struct segment s;
    bool no_space, added;

    pthread_mutex_lock(&log->shelf);
    s = log->spare;
    no_space = log->no_space;
    log->spare.fd = -1;
    pthread_mutex_unlock(&log->shelf);
    if (s.fd < 0)
        return no_space ? ST_NOSPACE : ST_UNAVAILABLE;
    if (getrandom(&s.seed, sizeof(s.seed), 0) != (ssize_t)sizeof(s.seed))
        return ST_IO;
    s.epoch = log->epoch;
    s.first_lsn = log->next_lsn;
    s.first_batch = log->next_batch;
    s.used = LOG_HEADER;
    s.end = s.first_lsn;
    pthread_rwlock_wrlock(&log->lock);
    added = add_segment(log, &s);
    pthread_rwlock_unlock(&log->lock);
    if (!added)
        return ST_MEMORY;
    log->current = s.number;
    return ST_OK;
}

enum status
log_batch_begin(struct log *log, struct log_batch *b)
{
    struct segment *s;

    if (log->unknown || log->closed)
        return ST_UNAVAILABLE;
    s = find_locked(log, log->current);
    if (s->used + log->settings.batch_max > s->size) {
        enum status st = roll(log);

        if (st != ST_OK)
            return st;
        s = find_locked(log, log->current);
    }
    b->bytes.max = LOG_BATCH_MAX;
    buf_clear(&b->bytes);
    if (buf_reserve(&b->bytes, LOG_BATCH_HEADER) == NULL)
        return ST_MEMORY;
    b->bytes.n = LOG_BATCH_HEADER;
    b->number = log->next_batch;
    b->first_lsn = log->next_lsn;
    b->segment = s->number;
    b->offset = s->used;
    b->epoch = s->epoch;
    b->seed = s->seed;
    b->records = 0;
    b->gone = false;
    b->fresh = s->unused;
    return ST_OK;
}

size_t
log_batch_room(const struct log *log, const struct log_batch *b)
{
    size_t used = b->bytes.n + LOG_RECORD_HEADER + 8;

    return used < log->settings.batch_max ? log->settings.batch_max - used : 0;
}

uint64_t
log_batch_next_lsn(const struct log_batch *b)
{
    return b->first_lsn + b->records;
}

struct log_place
log_batch_next_body(const struct log_batch *b, size_t meta_n)
{
    return (struct log_place){b->segment, b->offset + b->bytes.n + LOG_RECORD_HEADER + meta_n};
}

enum status
log_batch_add(struct log *log, struct log_batch *b, uint16_t type, struct slice meta, const struct slice *parts,
              size_t n_parts, uint64_t *lsn, struct log_place *body)
{
    struct log_record r = {.type = type, .lsn = log_batch_next_lsn(b), .batch = b->number, .meta = meta};
    size_t start = b->bytes.n, length;
    uint8_t *at;

    for (size_t i = 0; i < n_parts; i++)
        if (__builtin_add_overflow(r.body.n, parts[i].n, &r.body.n))
            return ST_LIMIT;
    if (r.body.n > LOG_BATCH_MAX || meta.n > LOG_BATCH_MAX || meta.n + r.body.n > log_batch_room(log, b))
        return ST_LIMIT;
    length = log_record_length(meta.n, r.body.n);
    at = length == 0 ? NULL : buf_reserve(&b->bytes, length);
    if (at == NULL) {
        b->bytes.failed = false; /* the batch without it is as good as before */
        return ST_LIMIT;
    }
    *body = log_batch_next_body(b, meta.n);
    r.length = (uint32_t)length;
    memset(at + length - 8, 0, 8); /* padding; overwritten where there is none */
    b->bytes.n = start + LOG_RECORD_HEADER;
    buf_put(&b->bytes, meta);
    for (size_t i = 0; i < n_parts; i++)
        buf_put(&b->bytes, parts[i]);
    b->bytes.n = start + length;
    log_record_seal(at, &r, b->seed, b->epoch);
    b->gone = b->gone || type == LOG_GONE;
    if (type == LOG_GONE && BUG(gone_at_once))
        mark_gone(log, meta);
    b->records++;
    *lsn = r.lsn;
    return ST_OK;
}

static enum status
write_batch(struct log *log, struct log_batch *b, struct segment *s, struct err *err)
{
    struct log_batch_header h = {(uint32_t)b->bytes.n, b->records, b->number, b->first_lsn};

    if (b->fresh) {
        enum status st = write_header(log, s, err);

        if (st != ST_OK)
            return st;
        s->unused = false;
    }
    log_batch_header_put(b->bytes.p, &h, b->seed, b->epoch);
    if (!write_full(log, s->fd, b->bytes.p, b->bytes.n, b->offset))
        return err_sys(err, "log: write batch %" PRIu64 " to segment %" PRIx64, b->number, b->segment);
    if (BUG(no_flush) || log->disk.sync(log->disk.self, s->fd) == 0)
        return ST_OK;
    if (BUG(flush_retried) && log->disk.sync(log->disk.self, s->fd) == 0)
        return ST_OK;
    return err_sys(err, "log: flush batch %" PRIu64 " in segment %" PRIx64, b->number, b->segment);
}

/* The batch is durable: the segments that it says are gone stand in no manifest from now on. */
static void
commit_gone(struct log *log, const struct log_batch *b)
{
    uint64_t at = LOG_BATCH_HEADER;

    pthread_rwlock_wrlock(&log->lock);
    for (uint32_t i = 0; i < b->records; i++) {
        struct log_record r = {0};

        if (log_record_get(slice_skip(buf_slice(&b->bytes), at), b->seed, b->epoch, &r) != ST_OK)
            break;
        if (r.type == LOG_GONE)
            mark_gone(log, r.meta);
        at += r.length;
    }
    pthread_rwlock_unlock(&log->lock);
}

enum status
log_batch_commit(struct log *log, struct log_batch *b, struct err *err)
{
    struct segment *s = find_locked(log, b->segment);
    struct err again = {0};
    enum status st;

    if (b->records == 0)
        return ST_OK;
    st = write_batch(log, b, s, err);
    if (st == ST_OK) {
        log->next_lsn += b->records;
        log->next_batch++;
        __atomic_store_n(&s->end, log->next_lsn, __ATOMIC_RELEASE);
        __atomic_store_n(&s->used, s->used + b->bytes.n, __ATOMIC_RELEASE);
        if (b->gone)
            commit_gone(log, b);
        return ST_OK;
    }
    if (BUG(no_epoch_after_failure))
        return st;
    log->closed = log->unknown = true; /* what is there now, nobody knows */
    if (log_renew(log, &again) != ST_OK)
        return err_set(err, ST_UNKNOWN, "log: batch %" PRIu64 " is in doubt: %.200s", b->number, again.text);
    return st == ST_NOSPACE ? ST_NOSPACE : ST_IO;
}

void
log_batch_done(struct log_batch *b)
{
    buf_done(&b->bytes);
}

/* --- reading --- */

enum status
log_read(struct log *log, struct log_place at, size_t n, uint8_t *to, struct err *err)
{
    struct segment *s = hold(log, at.segment);
    enum status st = ST_OK;

    if (s == NULL)
        return err_set(err, ST_NOTFOUND, "log: no segment %" PRIx64, at.segment);
    if (!read_full(log, s->fd, to, n, at.offset))
        st = errno == ENODATA
                 ? err_set(err, ST_CORRUPT, "log: segment %" PRIx64 " ends before %" PRIu64, at.segment, at.offset + n)
                 : err_sys(err, "log: read segment %" PRIx64 " at %" PRIu64, at.segment, at.offset);
    let_go(log, s);
    return st;
}

bool
log_has_segment(struct log *log, uint64_t number)
{
    const struct segment *s;
    bool has;

    pthread_rwlock_rdlock(&log->lock);
    s = find_segment(log, number);
    has = s != NULL && !s->unused;
    pthread_rwlock_unlock(&log->lock);
    return has;
}

/* --- side segments --- */

enum status
log_side_begin(struct log *log, struct log_side **result, struct err *err)
{
    struct log_side *side = calloc(1, sizeof(*side));
    char name[LOG_NAME_MAX];

    if (side == NULL)
        return err_set(err, ST_MEMORY, "log: no memory");
    side->sum = XXH3_createState();
    if (side->sum == NULL || XXH3_64bits_reset(side->sum) != XXH_OK) {
        (void)XXH3_freeState(side->sum);
        free(side);
        return err_set(err, ST_MEMORY, "log: no memory");
    }
    side->log = log;
    pthread_mutex_lock(&log->shelf);
    side->segment = (struct segment){.kind = LOG_SIDE, .number = log->next_number++, .used = LOG_HEADER};
    pthread_mutex_unlock(&log->shelf);
    log_segment_name(name, LOG_SIDE, side->segment.number);
    side->segment.fd = log->disk.open(log->disk.self, name, true);
    if (side->segment.fd < 0) {
        enum status st = err_sys(err, "log: make %s", name);

        (void)XXH3_freeState(side->sum);
        free(side);
        return st;
    }
    *result = side;
    return ST_OK;
}

enum status
log_side_append(struct log_side *side, struct slice bytes, struct err *err)
{
    if (!write_full(side->log, side->segment.fd, bytes.p, bytes.n, LOG_HEADER + side->n))
        return err_sys(err, "log: write side segment %" PRIx64, side->segment.number);
    side->n += bytes.n;
    (void)XXH3_64bits_update(side->sum, bytes.p, bytes.n);
    return ST_OK;
}

struct log_place
log_side_at(const struct log_side *side)
{
    return (struct log_place){side->segment.number, LOG_HEADER + side->n};
}

void
log_side_drop(struct log_side *side)
{
    char name[LOG_NAME_MAX];

    if (side == NULL)
        return;
    log_segment_name(name, LOG_SIDE, side->segment.number);
    (void)side->log->disk.close(side->log->disk.self, side->segment.fd);
    (void)side->log->disk.remove(side->log->disk.self, name);
    (void)XXH3_freeState(side->sum);
    free(side);
}

enum status
log_side_seal(struct log_side *side, struct log_place *place, uint64_t *n, uint64_t *sum, struct err *err)
{
    struct log *log = side->log;
    enum status st;
    bool added;

    side->segment.epoch = log->epoch;
    side->segment.size = side->segment.used = LOG_HEADER + side->n;
    side->segment.sum = XXH3_64bits_digest(side->sum);
    st = write_header(log, &side->segment, err); /* flushes the bytes with it */
    if (st == ST_OK && !BUG(side_names_unflushed) && log->disk.sync_names(log->disk.self) != 0)
        st = err_sys(err, "log: flush the names");
    if (st != ST_OK) {
        log_side_drop(side);
        return st;
    }
    pthread_rwlock_wrlock(&log->lock);
    added = add_segment(log, &side->segment);
    pthread_rwlock_unlock(&log->lock);
    if (!added) {
        log_side_drop(side);
        return err_set(err, ST_MEMORY, "log: no memory");
    }
    *place = (struct log_place){side->segment.number, LOG_HEADER};
    *n = side->n;
    *sum = side->segment.sum;
    (void)XXH3_freeState(side->sum);
    free(side);
    return ST_OK;
}

enum status
log_sweep(struct log *log, bool (*adopted)(void *arg, uint64_t number), void *arg, struct err *err)
{
    enum status st = ST_OK;
    size_t before;

    pthread_rwlock_wrlock(&log->lock);
    before = log->n;
    for (size_t i = log->n; i-- > 0 && st == ST_OK;) {
        const struct segment *s = log->segments[i];

        if (s->kind == LOG_SIDE ? !adopted(arg, s->number) || BUG(sweep_all) : s->gone)
            st = remove_at(log, i, err);
    }
    before -= log->n;
    pthread_rwlock_unlock(&log->lock);
    if (before > 0 && log->disk.sync_names(log->disk.self) != 0 && st == ST_OK)
        st = err_sys(err, "log: flush the names");
    return st;
}

/* --- maintenance --- */

enum status
log_forget(struct log *log, uint64_t number, struct err *err)
{
    enum status st = ST_OK;
    size_t i;

    pthread_rwlock_wrlock(&log->lock);
    i = place_of(log, number);
    if (i == log->n || log->segments[i]->number != number) {
        pthread_rwlock_unlock(&log->lock);
        return ST_OK;
    }
    if (log->segments[i]->kind == LOG_MAIN && !log->segments[i]->gone)
        st = err_set(err, ST_STATE, "log: no record says that segment %" PRIx64 " is gone", number);
    else
        st = remove_at(log, i, err);
    pthread_rwlock_unlock(&log->lock);
    if (st == ST_OK && log->disk.sync_names(log->disk.self) != 0)
        st = err_sys(err, "log: flush the names");
    return st;
}

enum status
log_segments(struct log *log, struct log_segment **result, size_t *n, struct err *err)
{
    struct log_segment *list;
    size_t count = 0;

    pthread_rwlock_rdlock(&log->lock);
    list = calloc(log->n + 1, sizeof(*list));
    for (size_t i = 0; list != NULL && i < log->n; i++) {
        const struct segment *s = log->segments[i];
        uint64_t used = __atomic_load_n(&s->used, __ATOMIC_ACQUIRE);

        if (s->kind == LOG_MAIN ? s->unused || used <= LOG_HEADER : s->unused)
            continue;
        list[count++] = (struct log_segment){.number = s->number,
                                             .kind = s->kind,
                                             .current = s->number == log->current,
                                             .gone = s->gone,
                                             .first_lsn = s->first_lsn,
                                             .end_lsn = __atomic_load_n(&s->end, __ATOMIC_ACQUIRE),
                                             .bytes = used,
                                             .size = s->size,
                                             .sum = s->sum};
    }
    pthread_rwlock_unlock(&log->lock);
    if (list == NULL)
        return err_set(err, ST_MEMORY, "log: no memory");
    *result = list;
    *n = count;
    return ST_OK;
}

enum status
log_scan_segment(struct log *log, uint64_t number, log_replay each, void *arg, struct err *err)
{
    struct scan scan = {log, each, arg, 0, malloc(LOG_BATCH_MAX + LOG_BATCH_HEADER), err, 0, 0, 0};
    struct segment *s = hold(log, number);
    struct log_batch_header h = {0};
    enum status st = ST_OK;
    uint64_t end;

    if (scan.bytes == NULL)
        st = err_set(err, ST_MEMORY, "log: no memory");
    else if (s == NULL || s->kind != LOG_MAIN || s->unused)
        st = err_set(err, ST_NOTFOUND, "log: no main segment %" PRIx64, number);
    else
        scan_start(&scan, s);
    end = st == ST_OK ? __atomic_load_n(&s->end, __ATOMIC_ACQUIRE) : 0;
    while (st == ST_OK && scan.next_lsn < end) {
        st = read_batch(&scan, s, &h);
        if (st == ST_CORRUPT)
            st = damaged(&scan, s);
        if (st == ST_OK)
            st = each_record(&scan, s, &h, false);
        scan_pass(&scan, &h);
    }
    if (s != NULL)
        let_go(log, s);
    free(scan.bytes);
    return st;
}

enum status
log_check_side(struct log *log, uint64_t number, struct err *err)
{
    struct segment *s = hold(log, number);
    XXH3_state_t *sum = XXH3_createState();
    uint8_t *bytes = malloc(ZEROS);
    enum status st = ST_OK;

    if (s == NULL || s->kind != LOG_SIDE || s->unused)
        st = err_set(err, ST_NOTFOUND, "log: no side segment %" PRIx64, number);
    else if (bytes == NULL || sum == NULL || XXH3_64bits_reset(sum) != XXH_OK)
        st = err_set(err, ST_MEMORY, "log: no memory");
    for (uint64_t at = LOG_HEADER; st == ST_OK && at < s->size; at += ZEROS) {
        size_t n = s->size - at < ZEROS ? (size_t)(s->size - at) : ZEROS;

        if (!read_full(log, s->fd, bytes, n, at))
            st = errno == ENODATA ? err_set(err, ST_CORRUPT, "log: side segment %" PRIx64 " is cut off", number)
                                  : err_sys(err, "log: read side segment %" PRIx64, number);
        else
            (void)XXH3_64bits_update(sum, bytes, n);
    }
    if (st == ST_OK && XXH3_64bits_digest(sum) != s->sum)
        st = err_set(err, ST_CORRUPT, "log: side segment %" PRIx64 " is damaged", number);
    if (s != NULL)
        let_go(log, s);
    (void)XXH3_freeState(sum);
    free(bytes);
    return st;
}
