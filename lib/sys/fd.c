#include "sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

void
fd_cleanup(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = saved;
}

int
fd_keep(int *fd)
{
    int kept = *fd;

    *fd = -1;
    return kept;
}

bool
write_all(int fd, struct slice bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
    }
    return true;
}

bool
pwrite_all(int fd, struct slice bytes, off_t at)
{
    while (bytes.n > 0) {
        ssize_t n = pwrite(fd, bytes.p, bytes.n, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = slice_skip(bytes, (size_t)n);
        at += n;
    }
    return true;
}

/* at < 0: from the descriptor's own place */
static bool
read_whole(int fd, uint8_t *to, size_t n, off_t at)
{
    while (n > 0) {
        ssize_t got = at < 0 ? read(fd, to, n) : pread(fd, to, n, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0)
                errno = 0;
            return false;
        }
        to += got;
        n -= (size_t)got;
        if (at >= 0)
            at += got;
    }
    return true;
}

bool
read_all(int fd, void *to, size_t n)
{
    return read_whole(fd, to, n, -1);
}

bool
pread_all(int fd, void *to, size_t n, off_t at)
{
    if (at < 0) {
        errno = EINVAL;
        return false;
    }
    return read_whole(fd, to, n, at);
}

bool
fd_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0;
}

bool
fd_cloexec(int fd, bool on)
{
    return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) == 0;
}

int
memfd_sized(const char *name, size_t n)
{
    AUTO_FD fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)n) != 0 || fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL) != 0)
        return -1;
    return fd_keep(&fd);
}

int
memfd_readonly(int fd)
{
    char path[40];

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool
memfd_sealed(int fd, size_t n)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    return seals >= 0 && (seals & SIZE_SEALS) == SIZE_SEALS && fstat(fd, &st) == 0 && st.st_size >= 0 &&
           (uint64_t)st.st_size >= n;
}

bool
seqpacket_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0;
}

bool
peer_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid)
{
    struct ucred c;
    socklen_t n = sizeof c;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0)
        return false;
    *pid = c.pid;
    *uid = c.uid;
    *gid = c.gid;
    return true;
}
