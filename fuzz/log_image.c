/*
 * The log opened over whatever lies on a disk. The checksums are put right first, or nothing would get past
 * them; so this is a disk written by someone who knows the format. Promises: what cannot be opened is left as
 * it was; what is replayed ascends and lies in its file, reads the same again, and comes again at the next
 * opening.
 *
 * The input is up to 3 files: u8 kind | 2 for a header left damaged, u8 number, u8 epoch, u8 first LSN, u8
 * first batch, u8 n living, that many times u8 number and u8 end, le16 n, n bytes behind the header (batches
 * as in log_format.h).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/log.h"

#define FILES   8
#define DATA    4096u
#define SEGMENT (LOG_HEADER + DATA)
#define SEED    0x5eedu

struct file {
    char name[LOG_NAME_MAX];
    uint8_t bytes[SEGMENT];
    size_t n; /* 0: no such file */
};
static struct file files[FILES], before[FILES];
static uint64_t newest, replays;
static struct log *opened;

/* --- the disk --- */

static int
find(const char *name)
{
    for (int i = 0; i < FILES; i++)
        if (files[i].n > 0 && strcmp(files[i].name, name) == 0)
            return i;
    return -1;
}

static int
d_open(void *self, const char *name, bool create)
{
    int at = find(name);

    if (create != (at < 0)) {
        errno = create ? EEXIST : ENOENT;
        return -1;
    }
    for (int i = 0; i < FILES && at < 0; i++)
        if (files[i].n == 0) {
            assert(strlen(name) < sizeof(files[i].name));
            memset(&files[i], 0, sizeof(files[i]));
            memcpy(files[i].name, name, strlen(name));
            files[i].n = 1;
            at = i;
        }
    errno = ENOSPC;
    return at;
}

static int
d_close(void *self, int fd)
{
    assert(fd >= 0 && fd < FILES);
    return 0;
}

static ssize_t
d_pread(void *self, int fd, void *to, size_t n, uint64_t at)
{
    const struct file *f = &files[fd];

    if (at >= f->n)
        return 0;
    if (n > f->n - at)
        n = f->n - (size_t)at;
    memcpy(to, f->bytes + at, n);
    return (ssize_t)n;
}

static ssize_t
d_pwrite(void *self, int fd, const void *from, size_t n, uint64_t at)
{
    struct file *f = &files[fd];

    if (at > SEGMENT || n > SEGMENT - at) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(f->bytes + at, from, n);
    if (at + n > f->n)
        f->n = (size_t)at + n;
    return (ssize_t)n;
}

static int64_t
d_size(void *self, int fd)
{
    return (int64_t)files[fd].n;
}

static int
d_sync(void *self, int fd)
{
    return 0;
}

static int
d_sync_names(void *self)
{
    return 0;
}

static int
d_remove(void *self, const char *name)
{
    int at = find(name);

    errno = ENOENT;
    if (at < 0)
        return -1;
    files[at].n = 0;
    return 0;
}

static int
d_list(void *self, void (*each)(void *arg, const char *name), void *arg)
{
    for (int i = 0; i < FILES; i++)
        if (files[i].n > 0)
            each(arg, files[i].name);
    return 0;
}

static int
d_lock(void *self)
{
    return 0;
}

static const struct disk disk = {NULL,   d_open,       d_close,  d_pread, d_pwrite, d_size,
                                 d_sync, d_sync_names, d_remove, d_list,  d_lock};

/* --- the image --- */

static uint64_t
le64(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = n; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static void
seal_records(uint8_t *p, size_t n, uint64_t epoch)
{
    size_t at = LOG_BATCH_HEADER;

    while (at + LOG_RECORD_HEADER <= n) {
        uint8_t *r = p + at;
        uint64_t length = le64(r, 4), meta = le64(r + 24, 4), body = le64(r + 32, 8);

        if (length < LOG_RECORD_HEADER || length > n - at || meta > length || body > length ||
            log_record_length((size_t)meta, (size_t)body) != length)
            return;
        log_record_seal(r,
                        &(struct log_record){.type = (uint16_t)le64(r + 4, 2),
                                             .lsn = le64(r + 8, 8),
                                             .batch = le64(r + 16, 8),
                                             .meta = slice_from(r + LOG_RECORD_HEADER, (size_t)meta),
                                             .body = slice_from(r + LOG_RECORD_HEADER + meta, (size_t)body),
                                             .length = (uint32_t)length},
                        SEED, epoch);
        at += (size_t)length;
    }
}

static void
seal_batches(uint8_t *p, size_t n, uint64_t epoch)
{
    size_t at = 0;

    while (at + LOG_BATCH_HEADER <= n) {
        uint64_t length = le64(p + at + 4, 4);

        if (p[at] != 'B' || length < LOG_BATCH_HEADER || length > n - at) {
            at += 8;
            continue;
        }
        log_batch_header_put(p + at,
                             &(struct log_batch_header){.length = (uint32_t)length,
                                                        .records = (uint32_t)le64(p + at + 24, 4),
                                                        .number = le64(p + at + 8, 8),
                                                        .first_lsn = le64(p + at + 16, 8)},
                             SEED, epoch);
        seal_records(p + at, (size_t)length, epoch);
        at += (size_t)(length + 7) / 8 * 8;
    }
}

static bool
put_file(struct slice *in, struct file *f)
{
    struct log_living living[256];
    struct slice head, data;
    uint16_t n;
    struct log_header h = {.living = living, .seed = SEED};

    if (!take_bytes(in, 6, &head))
        return false;
    for (h.n_living = 0; h.n_living < head.p[5]; h.n_living++) {
        struct slice pair;

        if (!take_bytes(in, 2, &pair))
            return false;
        living[h.n_living] = (struct log_living){pair.p[0], pair.p[1]};
    }
    if (!take_le16(in, &n))
        return false;
    data = slice_sub(*in, 0, n < DATA ? n : DATA);
    *in = slice_skip(*in, data.n);
    h.kind = head.p[0] & 1 ? LOG_MAIN : LOG_SIDE;
    h.number = head.p[1];
    h.epoch = head.p[2];
    h.first_lsn = head.p[3];
    h.first_batch = head.p[4];
    h.size = SEGMENT;
    log_segment_name(f->name, h.kind, h.number);
    if (find(f->name) >= 0)
        return true; /* there is one already */
    log_header_put(f->bytes, &h);
    f->bytes[9] ^= head.p[0] & 2;
    memset(f->bytes + LOG_HEADER, 0, DATA);
    if (data.n > 0)
        memcpy(f->bytes + LOG_HEADER, data.p, data.n);
    seal_batches(f->bytes + LOG_HEADER, DATA, h.epoch);
    f->n = SEGMENT;
    return true;
}

/* --- the promises --- */

static enum status
on_replay(void *arg, const struct log_record *r, struct log_place body)
{
    char name[LOG_NAME_MAX];
    int at;

    log_segment_name(name, LOG_MAIN, body.segment);
    at = find(name);
    assert(at >= 0 && body.offset <= files[at].n && r->body.n <= files[at].n - body.offset);
    assert(memcmp(files[at].bytes + body.offset, r->body.n > 0 ? r->body.p : files[at].bytes + body.offset,
                  r->body.n) == 0);
    assert(r->lsn > newest && r->type != LOG_GONE);
    newest = r->lsn;
    replays++;
    return ST_OK;
}

static enum status
open_log(uint64_t from)
{
    static const struct log_settings settings = {.segment_size = SEGMENT, .batch_max = DATA};
    struct err err = {0};
    enum status st;

    newest = from;
    replays = 0;
    opened = NULL;
    st = log_open(&disk, &settings, from, on_replay, NULL, &opened, &err);
    assert((st == ST_OK) == (opened != NULL));
    assert(st == ST_OK || err.text[0] != '\0');
    return st;
}

static enum status
on_scan(void *arg, const struct log_record *r, struct log_place body)
{
    return ST_OK;
}

static void
look_around(void)
{
    struct log_segment *list = NULL;
    size_t n = 0;
    enum status st = log_segments(opened, &list, &n, NULL);

    assert(st == ST_OK && log_next_lsn(opened) > newest);
    for (size_t i = 0; i < n; i++) {
        if (list[i].kind == LOG_MAIN)
            st = log_scan_segment(opened, list[i].number, on_scan, NULL, NULL);
        else
            st = log_check_side(opened, list[i].number, NULL);
        assert(st == ST_OK || st == ST_CORRUPT || st == ST_NOTFOUND);
    }
    free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);
    uint64_t from = 0, first;
    enum status st;

    if (n > 0)
        from = data[0] & 3;
    in = slice_skip(in, 1);
    for (int i = 0; i < FILES; i++)
        files[i].n = 0;
    for (int i = 0; i < 3 && put_file(&in, &files[i]); i++)
        ;
    memcpy(before, files, sizeof(files));
    st = open_log(from);
    if (st != ST_OK) {
        assert(st == ST_CORRUPT || st == ST_NEWER || st == ST_STALE || st == ST_NOSPACE);
        for (int i = 0; i < FILES && st != ST_NOSPACE; i++)
            assert(files[i].n == before[i].n && memcmp(files[i].bytes, before[i].bytes, files[i].n) == 0);
        return 0;
    }
    look_around();
    log_close(opened);
    first = replays;
    st = open_log(from);
    assert(st == ST_OK && replays == first);
    log_close(opened);
    return 0;
}
