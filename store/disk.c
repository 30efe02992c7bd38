#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int
dir_of(void *self)
{
    return (int)(intptr_t)self;
}

static int
files_open(void *self, const char *name, bool create)
{
    return openat(dir_of(self), name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0), 0600);
}

static int
files_close(void *self, int fd)
{
    return close(fd);
}

static ssize_t
files_pread(void *self, int fd, void *to, size_t n, uint64_t at)
{
    return pread(fd, to, n, (off_t)at);
}

static ssize_t
files_pwrite(void *self, int fd, const void *from, size_t n, uint64_t at)
{
    return pwrite(fd, from, n, (off_t)at);
}

static int64_t
files_size(void *self, int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (int64_t)st.st_size : -1;
}

static int
files_sync(void *self, int fd)
{
    return fdatasync(fd);
}

static int
files_sync_names(void *self)
{
    return fsync(dir_of(self));
}

static int
files_remove(void *self, const char *name)
{
    return unlinkat(dir_of(self), name, 0);
}

static int
files_list(void *self, void (*each)(void *arg, const char *name), void *arg)
{
    int fd = openat(dir_of(self), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int error;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0)
        each(arg, e->d_name);
    error = errno;
    (void)closedir(dir);
    errno = error;
    return error == 0 ? 0 : -1;
}

/* The descriptor is kept for the life of the process: the lock ends with it. It is the process', so that one that closed
 * its log can open it again. */
static int
files_lock(void *self)
{
    int fd = openat(dir_of(self), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fd < 0)
        return -1;
    if (fcntl(fd, F_SETLK, &all) != 0) {
        int error = errno == EACCES ? EWOULDBLOCK : errno;

        (void)close(fd);
        errno = error;
        return -1;
    }
    return 0;
}

void
disk_files(struct disk *disk, int dir_fd)
{
    *disk = (struct disk){
        .self = (void *)(intptr_t)dir_fd,
        .open = files_open,
        .close = files_close,
        .pread = files_pread,
        .pwrite = files_pwrite,
        .size = files_size,
        .sync = files_sync,
        .sync_names = files_sync_names,
        .remove = files_remove,
        .list = files_list,
        .lock = files_lock,
    };
}
