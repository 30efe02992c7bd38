/*
 * Loaded under stored by LD_PRELOAD: tells a tape (tape.h) of every call that changes files below a folder,
 * and lets such calls fail or wait when the driver asks for it. Calls the kernel itself, so that it works
 * beside a sanitizer's interceptors, and with no call that stored's confinement forbids.
 *
 * Not seen: mmap'd writes and stdio, which only RocksDB's LOG uses.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/tape.h"

#define FDS    65536
#define HEADER 65536u /* LOG_HEADER: batches are behind it */

enum sort { NONE, FOLDER, LOG_FILE, INDEX_FILE };

/* A watched descriptor. Changed under the lock, read without. */
struct handle {
    _Atomic uint32_t number; /* 0: not watched */
    _Atomic uint32_t sort;
    _Atomic uint64_t segment; /* of the log, by its number; 0: something else */
};

static struct tape *tape; /* NULL: files are watched, but nobody is told */
static char root[1024];   /* "": nothing is watched */
static size_t root_n;
static struct handle handles[FDS];
static uint32_t last_handle;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t behind; /* ns */
static int (*real_clock)(clockid_t clock, struct timespec *at); /* no system call, so that no class forbids it */

int
clock_gettime(clockid_t clock, struct timespec *at)
{
    int64_t ns;

    if (real_clock == NULL)
        return (int)syscall(SYS_clock_gettime, clock, at);
    if (real_clock(clock, at) != 0)
        return -1;
    if (clock == CLOCK_REALTIME && behind != 0) {
        ns = at->tv_sec * 1000000000LL + at->tv_nsec - behind;
        at->tv_sec = ns / 1000000000;
        at->tv_nsec = ns % 1000000000;
    }
    return 0;
}

static void
map_tape(int fd)
{
    static const struct tape_event e = {.op = TAPE_START};
    struct stat st;
    void *p;

    if (fstat(fd, &st) != 0)
        abort();
    p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        abort();
    (void)close(fd);
    tape = p;
    memcpy(tape->bytes + tape->n, &e, sizeof(e));
    tape->n += sizeof(e);
}

__attribute__((constructor)) static void
begin(void)
{
    const char *fd = getenv(TAPE_FD_ENV), *folder = getenv(TAPE_ROOT_ENV), *late = getenv(TAPE_BEHIND_ENV);
    void *clock = dlsym(RTLD_NEXT, "clock_gettime");

    memcpy(&real_clock, &clock, sizeof(clock));
    behind = late != NULL ? strtoll(late, NULL, 10) : 0;
    if (folder == NULL || strlen(folder) >= sizeof(root))
        return;
    root_n = strlen(folder);
    memcpy(root, folder, root_n + 1);
    if (fd != NULL)
        map_tape((int)strtol(fd, NULL, 10));
    unsetenv("LD_PRELOAD");
}

/* With the lock. Its position. parts: the bytes, in pieces. */
static uint64_t
tell(struct tape_event e, const struct iovec *parts, int n_parts)
{
    uint64_t at, need;

    if (tape == NULL)
        return 0;
    at = tape->n;
    for (int i = 0; i < n_parts; i++)
        e.n += parts[i].iov_len;
    need = sizeof(e) + ((e.n + 7) & ~(uint64_t)7);
    if (need > tape->size - at) {
        tape->full = 1;
        return at;
    }
    memcpy(tape->bytes + at, &e, sizeof(e));
    for (uint64_t i = 0, to = at + sizeof(e); (int)i < n_parts; to += parts[i].iov_len, i++)
        memcpy(tape->bytes + to, parts[i].iov_base, parts[i].iov_len);
    atomic_store(&tape->n, at + need); /* fresh memory: the padding is zero */
    return at;
}

static struct handle *
handle_of(int fd)
{
    return fd >= 0 && fd < FDS && handles[fd].number != 0 ? &handles[fd] : NULL;
}

/* Is it ours to watch? *dir: the handle it is below, *below: its path from there. */
static bool
watched(int dir_fd, const char *path, uint32_t *dir, const char **below)
{
    struct handle *h;

    *dir = 0;
    *below = path;
    if (root_n == 0)
        return false;
    if (path[0] == '/') {
        if (strncmp(path, root, root_n) != 0 || (path[root_n] != '/' && path[root_n] != '\0'))
            return false;
        *below = path + root_n;
        return true;
    }
    h = handle_of(dir_fd);
    if (h == NULL)
        return false;
    *dir = h->number;
    return true;
}

static struct iovec
text(const char *s)
{
    return (struct iovec){(void *)(uintptr_t)s, strlen(s)};
}

/* --- faults --- */

static bool
counted_down(_Atomic int32_t *in, _Atomic uint32_t *times)
{
    if (*times == 0)
        return false;
    if (*in > 0 && atomic_fetch_sub(in, 1) > 1)
        return false;
    atomic_fetch_sub(times, 1);
    atomic_fetch_add(&tape->faults.failed, 1);
    return true;
}

static bool
write_fails(const struct handle *h)
{
    if (tape == NULL)
        return false;
    if (h->sort == LOG_FILE && counted_down(&tape->faults.write_fails_in, &tape->faults.write_fails)) {
        errno = (int)tape->faults.write_errno;
        return true;
    }
    if (h->sort == INDEX_FILE && tape->faults.index_fails > 0) {
        atomic_fetch_sub(&tape->faults.index_fails, 1);
        atomic_fetch_add(&tape->faults.failed, 1);
        errno = EIO;
        return true;
    }
    return false;
}

static bool
flush_fails(const struct handle *h)
{
    uint32_t us = tape != NULL ? tape->faults.flush_us : 0;
    struct timespec pause = {us / 1000000, (long)(us % 1000000) * 1000};

    if (tape == NULL)
        return false;
    if (us > 0 && h->sort != INDEX_FILE)
        (void)nanosleep(&pause, NULL);
    if (h->sort == LOG_FILE && (tape->faults.flush_segment == 0 || tape->faults.flush_segment == h->segment) &&
        counted_down(&tape->faults.flush_fails_in, &tape->faults.flush_fails)) {
        errno = EIO;
        return true;
    }
    if (h->sort == INDEX_FILE && tape->faults.index_fails > 0) {
        atomic_fetch_sub(&tape->faults.index_fails, 1);
        atomic_fetch_add(&tape->faults.failed, 1);
        errno = EIO;
        return true;
    }
    return false;
}

/* --- opening and closing --- */

/* The number in a name like seg-00000000000000a7 (store/log.c). */
static uint64_t
segment_of(const char *path)
{
    const char *name = strstr(path, "seg-");

    return name != NULL ? strtoull(name + 4, NULL, 16) : 0;
}

static int
open_at(int dir_fd, const char *path, int flags, mode_t mode)
{
    uint32_t dir;
    const char *below;
    bool ours = watched(dir_fd, path, &dir, &below), was = false;
    struct iovec name;
    int fd;

    if (!ours)
        return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    pthread_mutex_lock(&lock);
    if ((flags & O_CREAT) != 0 && (flags & O_EXCL) == 0)
        was = syscall(SYS_faccessat, dir_fd, path, F_OK) == 0;
    fd = (int)syscall(SYS_openat, dir_fd, path, flags, mode);
    if (fd >= 0 && fd < FDS) {
        struct tape_event e = {.op = TAPE_OPEN, .file = ++last_handle, .dir = dir};

        if ((flags & O_CREAT) != 0 && !was)
            e.flags |= TAPE_CREATED;
        if ((flags & O_TRUNC) != 0)
            e.flags |= TAPE_TRUNCATED;
        name = text(below);
        (void)tell(e, &name, 1);
        handles[fd].sort = (flags & O_DIRECTORY) != 0       ? FOLDER
                           : strstr(path, "/index") != NULL ? INDEX_FILE
                                                            : LOG_FILE;
        handles[fd].segment = handles[fd].sort == LOG_FILE ? segment_of(path) : 0;
        handles[fd].number = e.file;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags, last)                                                                                 \
    mode_t mode = 0;                                                                                         \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                            \
        va_list list;                                                                                        \
        va_start(list, last);                                                                                \
        mode = (mode_t)va_arg(list, int);                                                                    \
        va_end(list);                                                                                        \
    }

int
open(const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

int
openat(int dir_fd, const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return open_at(dir_fd, path, flags, mode);
}

int
openat64(int dir_fd, const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return open_at(dir_fd, path, flags, mode);
}

int
close(int fd)
{
    struct handle *h = handle_of(fd);

    if (h != NULL)
        h->number = 0;
    return (int)syscall(SYS_close, fd);
}

/* --- bytes --- */

/* New segments are written with zeros: megabytes that a tape need not hold, nor this disk in memory. */
static bool
all_zeros(struct iovec part)
{
    const uint8_t *p = part.iov_base;

    return part.iov_len > 4096 && p[0] == 0 && memcmp(p, p + 1, part.iov_len - 1) == 0;
}

static ssize_t
put_zeros(int fd, off_t at, size_t n)
{
    struct stat st;

    if (fstat(fd, &st) != 0 ||
        (at + (off_t)n > st.st_size && syscall(SYS_ftruncate, fd, at + (off_t)n) != 0) ||
        syscall(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n) != 0)
        return -1;
    return (ssize_t)n;
}

static void
tell_written(const struct handle *h, uint64_t at, const struct iovec *parts, int n, ssize_t done)
{
    struct iovec some[64];
    size_t left = done > 0 ? (size_t)done : 0;
    int used = 0;

    if (tape != NULL && h->segment != 0 && left > 0 && at >= HEADER && !all_zeros(parts[0]))
        tape->faults.batch_segment = h->segment;
    for (; used < n && used < 64 && left > 0; used++) {
        some[used] = parts[used];
        if (some[used].iov_len > left)
            some[used].iov_len = left;
        left -= some[used].iov_len;
    }
    if (left > 0)
        abort(); /* more pieces than anybody here writes */
    if (used == 1 && all_zeros(some[0])) {
        uint64_t zeros = some[0].iov_len;
        struct iovec part = {&zeros, sizeof(zeros)};

        (void)tell(
            (struct tape_event){.op = TAPE_WRITE, .flags = TAPE_ZEROS, .file = h->number, .offset = at},
            &part, 1);
        return;
    }
    if (used > 0)
        (void)tell((struct tape_event){.op = TAPE_WRITE, .file = h->number, .offset = at}, some, used);
}

ssize_t
pwrite(int fd, const void *from, size_t n, off_t at)
{
    struct handle *h = handle_of(fd);
    struct iovec part = {(void *)(uintptr_t)from, n};
    ssize_t done;

    if (h == NULL)
        return syscall(SYS_pwrite64, fd, from, n, at);
    if (write_fails(h))
        return -1;
    pthread_mutex_lock(&lock);
    done = all_zeros(part) ? put_zeros(fd, at, n) : syscall(SYS_pwrite64, fd, from, n, at);
    tell_written(h, (uint64_t)at, &part, 1, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t
pwrite64(int fd, const void *from, size_t n, off_t at)
{
    return pwrite(fd, from, n, at);
}

ssize_t
pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    struct handle *h = handle_of(fd);
    ssize_t done;

    if (h == NULL)
        return syscall(SYS_pwritev, fd, parts, n, at, 0);
    if (write_fails(h))
        return -1;
    pthread_mutex_lock(&lock);
    done = syscall(SYS_pwritev, fd, parts, n, at, 0);
    tell_written(h, (uint64_t)at, parts, n, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t
pwritev64(int fd, const struct iovec *parts, int n, off_t at)
{
    return pwritev(fd, parts, n, at);
}

ssize_t
write(int fd, const void *from, size_t n)
{
    struct handle *h = handle_of(fd);
    struct iovec part = {(void *)(uintptr_t)from, n};
    ssize_t done;

    if (h == NULL)
        return syscall(SYS_write, fd, from, n);
    if (write_fails(h))
        return -1;
    pthread_mutex_lock(&lock);
    done = syscall(SYS_write, fd, from, n);
    if (done > 0)
        tell_written(h, (uint64_t)(syscall(SYS_lseek, fd, 0, SEEK_CUR) - done), &part, 1, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t
writev(int fd, const struct iovec *parts, int n)
{
    struct handle *h = handle_of(fd);
    ssize_t done;

    if (h == NULL)
        return syscall(SYS_writev, fd, parts, n);
    if (write_fails(h))
        return -1;
    pthread_mutex_lock(&lock);
    done = syscall(SYS_writev, fd, parts, n);
    if (done > 0)
        tell_written(h, (uint64_t)(syscall(SYS_lseek, fd, 0, SEEK_CUR) - done), parts, n, done);
    pthread_mutex_unlock(&lock);
    return done;
}

static int
set_size(int fd, off_t size, uint32_t flags, long got)
{
    struct handle *h = handle_of(fd);

    if (got == 0 && h != NULL)
        (void)tell(
            (struct tape_event){.op = TAPE_SIZE, .file = h->number, .flags = flags, .offset = (uint64_t)size},
            NULL, 0);
    return (int)got;
}

int
ftruncate(int fd, off_t size)
{
    int got;

    pthread_mutex_lock(&lock);
    got = set_size(fd, size, 0, syscall(SYS_ftruncate, fd, size));
    pthread_mutex_unlock(&lock);
    return got;
}

int
ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

int
fallocate(int fd, int mode, off_t at, off_t n)
{
    long got;

    pthread_mutex_lock(&lock);
    got = syscall(SYS_fallocate, fd, mode, at, n);
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0)
        got = set_size(fd, at + n, TAPE_GROW, got);
    pthread_mutex_unlock(&lock);
    return (int)got;
}

int
fallocate64(int fd, int mode, off_t at, off_t n)
{
    return fallocate(fd, mode, at, n);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
    return fallocate(fd, 0, at, n) == 0 ? 0 : errno;
}

/* --- flushes --- */

static int
flush(int fd, long call)
{
    struct handle *h = handle_of(fd);
    uint64_t began;
    bool fails;

    if (h == NULL)
        return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    began = tell((struct tape_event){.op = TAPE_SYNC_BEGIN, .file = h->number}, NULL, 0);
    pthread_mutex_unlock(&lock);
    fails = flush_fails(h); /* the disk below is memory: there is nothing to wait for but the fault */
    pthread_mutex_lock(&lock);
    (void)tell((struct tape_event){.op = fails ? TAPE_SYNC_FAILED : TAPE_SYNC_END,
                                   .file = h->number,
                                   .offset = began},
               NULL, 0);
    pthread_mutex_unlock(&lock);
    if (fails)
        errno = EIO;
    return fails ? -1 : 0;
}

int
fsync(int fd)
{
    return flush(fd, SYS_fsync);
}

int
fdatasync(int fd)
{
    return flush(fd, SYS_fdatasync);
}

/* Promises nothing about metadata, so nothing at all. */
int
sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
    return handle_of(fd) != NULL ? 0 : (int)syscall(SYS_sync_file_range, fd, at, n, flags);
}

/* --- names --- */

static int
two_names(uint32_t op, uint32_t flags, int from_fd, const char *from, int to_fd, const char *to, long got)
{
    uint32_t from_dir, to_dir;
    const char *from_below, *to_below;

    if (got != 0 || !watched(from_fd, from, &from_dir, &from_below))
        return (int)got;
    if (!watched(to_fd, to, &to_dir, &to_below) || from_dir != to_dir)
        abort(); /* out of the folder, or by two descriptors: nobody does that */
    (void)tell(
        (struct tape_event){
            .op = op, .flags = flags, .dir = from_dir
    },
        (struct iovec[]){text(from_below), {(void *)"", 1}, text(to_below)}, 3);
    return 0;
}

int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    int got;

    pthread_mutex_lock(&lock);
    got = two_names(TAPE_RENAME, (flags & RENAME_EXCHANGE) != 0 ? TAPE_EXCHANGE : 0, from_fd, from, to_fd, to,
                    syscall(SYS_renameat2, from_fd, from, to_fd, to, flags));
    pthread_mutex_unlock(&lock);
    return got;
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

int
rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    int got;

    pthread_mutex_lock(&lock);
    got = two_names(TAPE_LINK, 0, from_fd, from, to_fd, to,
                    syscall(SYS_linkat, from_fd, from, to_fd, to, flags));
    pthread_mutex_unlock(&lock);
    return got;
}

int
link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int
one_name(uint32_t op, int dir_fd, const char *path, long got)
{
    uint32_t dir;
    const char *below;
    struct iovec name;

    if (got != 0 || !watched(dir_fd, path, &dir, &below))
        return (int)got;
    name = text(below);
    (void)tell((struct tape_event){.op = op, .dir = dir}, &name, 1);
    return 0;
}

int
unlinkat(int dir_fd, const char *path, int flags)
{
    int got;

    pthread_mutex_lock(&lock);
    got = one_name(TAPE_UNLINK, dir_fd, path, syscall(SYS_unlinkat, dir_fd, path, flags));
    pthread_mutex_unlock(&lock);
    return got;
}

int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
remove(const char *path)
{
    return unlink(path) == 0 || (errno == EISDIR && rmdir(path) == 0) ? 0 : -1;
}

int
mkdirat(int dir_fd, const char *path, mode_t mode)
{
    int got;

    pthread_mutex_lock(&lock);
    got = one_name(TAPE_MKDIR, dir_fd, path, syscall(SYS_mkdirat, dir_fd, path, mode));
    pthread_mutex_unlock(&lock);
    return got;
}

int
mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}
