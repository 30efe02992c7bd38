#include "store/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"

#define COPY_BYTES ((size_t)1024 * 1024)

/* Copies [0, n) of a file; the rest up to size is a hole. Durable on ST_OK, but for its name. */
static enum status
copy_bytes(int from, int to, const char *name, uint64_t n, uint64_t size, struct err *err)
{
    AUTO_FD in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    AUTO_FD out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    uint8_t *bytes = malloc(COPY_BYTES);
    enum status st = ST_OK;

    if (in < 0 || out < 0)
        st = err_sys(err, "backup: copy %s", name);
    else if (bytes == NULL)
        st = err_set(err, ST_MEMORY, "backup: no memory");
    for (uint64_t at = 0; st == ST_OK && at < n;) {
        ssize_t got = pread(in, bytes, n - at < COPY_BYTES ? (size_t)(n - at) : COPY_BYTES, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            st = got < 0 ? err_sys(err, "backup: read %s", name)
                         : err_set(err, ST_CORRUPT, "backup: %s is shorter than it was", name);
        else if (!write_all(out, slice_from(bytes, (size_t)got)))
            st = err_sys(err, "backup: write %s", name);
        else
            at += (uint64_t)got;
    }
    if (st == ST_OK && (ftruncate(out, (off_t)size) != 0 || fsync(out) != 0))
        st = err_sys(err, "backup: write %s", name);
    free(bytes);
    return st;
}

static enum status
take_one(int from, int to, const struct log_segment *s, struct backup_stats *stats, struct err *err)
{
    char name[LOG_NAME_MAX];
    enum status st;

    log_segment_name(name, s->kind, s->number);
    stats->segments++;
    if (!s->current && linkat(from, name, to, name, 0) == 0) {
        stats->linked++;
        return ST_OK;
    }
    /* EXDEV, EMLINK, EPERM (fs.protected_hardlinks, file systems without links): then bytes. */
    st = copy_bytes(from, to, name, s->current ? s->bytes : s->size, s->size, err);
    if (st == ST_OK)
        stats->bytes += s->current ? s->bytes : s->size;
    return st;
}

enum status
backup_take(struct log *log, int log_dir, int to, struct backup_stats *stats, struct err *err)
{
    struct log_segment *list = NULL;
    size_t n = 0;
    enum status st = log_segments(log, &list, &n, err);

    *stats = (struct backup_stats){0};
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = take_one(log_dir, to, &list[i], stats, err);
    free(list);
    if (st == ST_OK && fsync(to) != 0)
        st = err_sys(err, "backup: flush the folder");
    return st;
}

static bool
is_segment(const char *name)
{
    struct slice s = slice_of(name);

    return s.n < LOG_NAME_MAX && (slice_has_prefix(s, SLICE("seg-")) || slice_has_prefix(s, SLICE("side-")));
}

static enum status
restore_all(DIR *dir, int from, int log_dir, struct backup_stats *stats, struct err *err)
{
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
        struct stat about;
        enum status st;

        if (!is_segment(e->d_name))
            continue;
        if (fstatat(from, e->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(about.st_mode))
            return err_set(err, ST_CORRUPT, "restore: %s is not a file", e->d_name);
        st = copy_bytes(from, log_dir, e->d_name, (uint64_t)about.st_size, (uint64_t)about.st_size, err);
        if (st != ST_OK)
            return st;
        stats->segments++;
        stats->bytes += (uint64_t)about.st_size;
    }
    if (errno != 0)
        return err_sys(err, "restore: read the backup's folder");
    if (stats->segments == 0)
        return err_set(err, ST_NOTFOUND, "restore: there is no backup in this folder");
    return fsync(log_dir) == 0 ? ST_OK : err_sys(err, "restore: flush the folder");
}

/* ST_EXISTS when it has a segment. */
static enum status
must_be_empty(int log_dir, struct err *err)
{
    int fd = openat(log_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    enum status st = ST_OK;

    if (dir == NULL) {
        st = err_sys(err, "restore: read the store's folder");
        if (fd >= 0)
            (void)close(fd);
        return st;
    }
    for (struct dirent *e; st == ST_OK && (e = readdir(dir)) != NULL;)
        if (is_segment(e->d_name))
            st = err_set(err, ST_EXISTS, "restore: there is mail in this store already");
    (void)closedir(dir);
    return st;
}

enum status
backup_restore(int from, int log_dir, struct backup_stats *stats, struct err *err)
{
    enum status st = must_be_empty(log_dir, err);
    int fd = st == ST_OK ? openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    *stats = (struct backup_stats){0};
    if (st != ST_OK)
        return st;
    if (dir == NULL) {
        st = err_sys(err, "restore: read the backup's folder");
        if (fd >= 0)
            (void)close(fd);
        return st;
    }
    st = restore_all(dir, from, log_dir, stats, err);
    (void)closedir(dir);
    return st;
}
