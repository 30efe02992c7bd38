/* LD_PRELOAD for tests: while the file named by SLOW_FLUSH exists, fdatasync and fsync take as many milliseconds as it has
 * bytes; while the one named by FAIL_FLUSH exists, they fail with EIO and do nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int
flush(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *slow = getenv("SLOW_FLUSH"), *fail = getenv("FAIL_FLUSH");
    struct stat st;

    if (slow != NULL && stat(slow, &st) == 0) {
        struct timespec t = {st.st_size / 1000, st.st_size % 1000 * 1000000};

        (void)nanosleep(&t, NULL);
    }
    if (fail != NULL && stat(fail, &st) == 0) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int
fdatasync(int fd)
{
    return flush("fdatasync", fd);
}

int
fsync(int fd)
{
    return flush("fsync", fd);
}
