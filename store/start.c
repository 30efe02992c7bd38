#include "store/start.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/apply.h"
#include "store/bugs.h"
#include "store/rebuild.h"
#include "sys/fd.h"
#include "sys/log.h"

#define REPLAY_ROWS 4096u /* records that are written to the index at once */

/* A replay on its way. */
struct replay {
    struct index *index;
    struct index_batch *batch;
    uint64_t last;
    uint32_t waiting, total, broken;
    struct err err;
};

static enum status
write_replayed(struct replay *r)
{
    enum status st = r->waiting > 0 ? index_write(r->index, r->batch, r->last, &r->err) : ST_OK;

    r->waiting = 0;
    return st;
}

/* The account that most records begin with, behind the version; 0: not that sort. */
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

/* A record that cannot be applied takes its account out of service, not the system. */
static void
put_broken(struct replay *r, const struct log_record *record)
{
    AUTO_BUF key = BUF_INIT(64), value = BUF_INIT(256);
    char why[128];
    uint64_t account = account_of(record);
    struct row_sink sink = index_batch_sink(r->batch);

    r->broken++;
    log_mail(LOG_LEVEL_ERR,
             "record %" PRIu64 " (%s) cannot be applied; account %" PRIu64 " is out of service", record->lsn,
             record_type_name(record->type), account);
    if (account == 0)
        return;
    (void)snprintf(why, sizeof(why), "record %" PRIu64 " cannot be applied", record->lsn);
    row_key_put(&key, &(struct row_key){0, ROW_BROKEN, {account}});
    row_name_put(&value, &(struct row_name){slice_of(why)});
    sink.put(sink.arg, buf_slice(&key), buf_slice(&value));
}

static enum status
replay_one(void *arg, const struct log_record *record, struct log_place body)
{
    struct replay *r = arg;
    struct row_sink sink = index_batch_sink(r->batch);
    enum status st;

    index_batch_mark(r->batch);
    st = BUG(replay_skips) && r->total == 0 ? ST_OK : apply_record(record->type, record->meta, &sink);
    if (st == ST_OK) {
        index_batch_keep(r->batch);
    } else {
        index_batch_rollback(r->batch);
        if (st != ST_CORRUPT)
            return err_set(&r->err, st, "record %" PRIu64 ": %s", record->lsn, status_text(st));
        put_broken(r, record);
    }
    r->last = record->lsn;
    r->total++;
    return ++r->waiting == REPLAY_ROWS ? write_replayed(r) : ST_OK;
}

/* Opens the log and brings the index to its end. */
static enum status
open_log(struct store_files *f, const struct store_settings *settings, struct index *index, uint64_t *broken,
         struct err *err)
{
    struct log_settings log = {.segment_size = settings->segment_size};
    struct replay r = {.index = index, .batch = index_batch_new()};
    enum status st;

    if (r.batch == NULL)
        return err_set(err, ST_MEMORY, "stored: no memory");
    st = log_open(&f->disk, &log, index_applied(index), replay_one, &r, &f->log, err);
    if (st == ST_OK)
        st = write_replayed(&r);
    /* The log keeps a LOG_GONE to itself, which may be its last record: a rebuild counts it, and so does this. */
    if (st == ST_OK && index_applied(index) + 1 < log_next_lsn(f->log))
        st = index_write(index, r.batch, log_next_lsn(f->log) - 1, &r.err);
    index_batch_free(r.batch);
    *broken = r.broken;
    if (st != ST_OK && r.err.text[0] != '\0')
        *err = r.err;
    if (st == ST_OK && r.total > 0)
        log_mail(LOG_LEVEL_NOTICE, "replayed %u records, %u of them broken", r.total, r.broken);
    return st;
}

static enum status
open_folders(const char *root, struct store_files *f, struct err *err)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/store", root);

    if (n < 0 || (size_t)n >= sizeof(path) - 16)
        return err_set(err, ST_LIMIT, "stored: the root's name is too long");
    f->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir < 0)
        return err_sys(err, "stored: %s", path);
    if (mkdirat(f->dir, "log", 0700) != 0 && errno != EEXIST)
        return err_sys(err, "stored: make %s/log", path);
    if (!BUG(folder_unflushed) && fsync(f->dir) != 0) /* the folder's name, also one that a killed start made */
        return err_sys(err, "stored: flush %s", path);
    f->log_dir = openat(f->dir, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->log_dir < 0)
        return err_sys(err, "stored: %s/log", path);
    disk_files(&f->disk, f->log_dir);
    return ST_OK;
}

static bool
adopted(void *arg, uint64_t number)
{
    AUTO_BUF value = BUF_INIT(64);

    /* In doubt it stays. */
    return index_get(arg, NULL, &(struct row_key){0, ROW_SEGMENT, {number}}, &value, NULL) != ST_NOTFOUND;
}

static enum status
pass_over(void *arg, const struct log_record *record, struct log_place body)
{
    return ST_OK;
}

/* An index in doubt, or too old for what is left of the log, is built anew beside the old one and put in its place. */
static enum status
build_index(struct store_files *f, const struct store_settings *settings, const char *path, uint64_t *broken,
            struct err *err)
{
    const struct index_settings rows = {.memtable = settings->index_memory, .cache = settings->index_cache};
    const struct log_settings log = {.segment_size = settings->segment_size, .rebuild = true};
    struct rebuild_stats stats = {0};
    enum status st = log_open(&f->disk, &log, 0, pass_over, NULL, &f->log, err);

    if (st == ST_OK)
        st = rebuild_index(f->log, path, &rows, &f->index, &stats, err);
    *broken = stats.broken;
    if (st == ST_OK)
        log_mail(LOG_LEVEL_NOTICE,
                 "the index is built anew: %" PRIu64 " records, %" PRIu64 " images, %" PRIu64 " records broken",
                 stats.records, stats.images, stats.broken);
    return st;
}

static enum status
open_store(const char *root, const struct store_settings *settings, bool anew, struct store_files *files,
           struct err *err)
{
    struct store_files f = {.dir = -1, .log_dir = -1};
    const struct index_settings rows = {.memtable = settings->index_memory, .cache = settings->index_cache};
    char path[PATH_MAX];
    uint64_t broken = 0;
    bool in_doubt;
    enum status st = open_folders(root, &f, err);

    if (st != ST_OK)
        goto fail;
    (void)snprintf(path, sizeof(path), "%s/store/index", root);
    st = anew ? ST_STALE : index_open(path, &rows, &f.index, err);
    in_doubt = st == ST_STALE || st == ST_CORRUPT || st == ST_IO;
    if (st == ST_OK) {
        st = open_log(&f, settings, f.index, &broken, err);
        in_doubt = st == ST_STALE; /* what it lacks went with its segments */
    }
    if (in_doubt) {
        if (!anew)
            log_mail(LOG_LEVEL_WARNING, "%s: it is built anew from the log", err->text);
        index_close(f.index);
        f.index = NULL;
        st = build_index(&f, settings, path, &broken, err);
    }
    /* A record that could not be applied may have adopted what nothing else names: then nothing is removed. */
    if (st == ST_OK && broken == 0) {
        st = index_flush(f.index, err);
        if (st == ST_OK)
            st = log_sweep(f.log, adopted, f.index, err);
    }
    if (st != ST_OK)
        goto fail;
    *files = f;
    return ST_OK;

fail:
    store_close(&f);
    return st;
}

enum status
store_open(const char *root, const struct store_settings *settings, struct store_files *files,
           struct err *err)
{
    return open_store(root, settings, false, files, err);
}

enum status
store_open_anew(const char *root, const struct store_settings *settings, struct store_files *files,
                struct err *err)
{
    return open_store(root, settings, true, files, err);
}

void
store_close(struct store_files *files)
{
    index_close(files->index);
    if (files->log != NULL)
        log_close(files->log);
    fd_cleanup(&files->log_dir);
    fd_cleanup(&files->dir);
    files->log_dir = files->dir = -1;
}
