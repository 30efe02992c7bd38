#include "sys/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

TEST(whole_reads_and_writes)
{
    int fds[2];
    char got[8];

    assert_int_equal(pipe(fds), 0);
    CHECK(0, write_all(fds[1], SLICE("abcdef")));
    CHECK(0, read_all(fds[0], got, 4));
    CHECK_SLICE(0, slice_from(got, 4), "abcd");
    close(fds[1]);
    errno = 99;
    CHECK(0, !read_all(fds[0], got, 4)); /* only two are left */
    CHECK_INT(0, errno, 0);
    close(fds[0]);
    CHECK(0, !write_all(-1, SLICE("x")) && errno == EBADF);
}

TEST(scope_closes)
{
    int seen;
    {
        AUTO_FD fd = dup(1);
        seen = fd;
    }
    CHECK(0, fcntl(seen, F_GETFD) == -1);
    {
        AUTO_FD fd = dup(1);
        seen = fd_keep(&fd);
    }
    CHECK(0, fcntl(seen, F_GETFD) != -1);
    CHECK(0, fd_cloexec(seen, true) && fcntl(seen, F_GETFD) == FD_CLOEXEC);
    close(seen);
}

TEST(sealed_memory)
{
    AUTO_FD fd = memfd_sized("test", 8192);
    AUTO_FD plain = memfd_create("plain", MFD_CLOEXEC);
    AUTO_FD ro = memfd_readonly(fd);
    char got[3];
    void *p;

    CHECK(0, fd >= 0 && ro >= 0);
    CHECK(0, memfd_sealed(fd, 8192) && memfd_sealed(ro, 1) && !memfd_sealed(fd, 8193));
    CHECK(0, ftruncate(plain, 9000) == 0 && !memfd_sealed(plain, 1));
    CHECK(0, ftruncate(fd, 0) != 0 && ftruncate(fd, 10000) != 0);
    CHECK(0, pwrite_all(fd, SLICE("xyz"), 5000) && pread_all(ro, got, 3, 5000));
    CHECK_SLICE(0, slice_from(got, 3), "xyz");
    CHECK(0, !pwrite_all(ro, SLICE("x"), 0));
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0);
    CHECK(0, p == MAP_FAILED);
}

TEST(message_sockets)
{
    int fds[2];
    char got[16];
    pid_t pid;
    uid_t uid;
    gid_t gid;

    CHECK(0, seqpacket_pair(fds));
    CHECK(0, write_all(fds[0], SLICE("ab")) && write_all(fds[0], SLICE("c")));
    CHECK_INT(0, read(fds[1], got, sizeof got), 2);
    CHECK_INT(0, read(fds[1], got, sizeof got), 1);
    CHECK(0, peer_credentials(fds[0], &pid, &uid, &gid) && pid == getpid() && uid == getuid());
    CHECK(0, fd_nonblock(fds[1], true) && read(fds[1], got, 1) == -1 && errno == EAGAIN);
    CHECK(0, fd_nonblock(fds[1], false) && (fcntl(fds[1], F_GETFL) & O_NONBLOCK) == 0);
    close(fds[0]);
    close(fds[1]);
}

TEST_MAIN(whole_reads_and_writes, scope_closes, sealed_memory, message_sockets)
