/*
 * Descriptors: closing by scope, whole reads and writes, sealed shared memory,
 * message sockets between programs. Everything is close-on-exec unless said otherwise.
 */
#pragma once
#include <sys/types.h>

#include "base/slice.h"

/* An int that is closed at the end of its scope when it is not negative. */
#define AUTO_FD __attribute__((cleanup(fd_cleanup))) int
void fd_cleanup(int *fd);
/* Takes the descriptor out of an AUTO_FD: "return fd_keep(&fd);". */
int fd_keep(int *fd);

/* All or false with errno; go on after EINTR and short counts. Only for blocking descriptors. */
MUST_CHECK bool write_all(int fd, struct slice bytes);
MUST_CHECK bool pwrite_all(int fd, struct slice bytes, off_t at);
/* Exactly n bytes; an early end is false with errno 0. */
MUST_CHECK bool read_all(int fd, void *to, size_t n);
MUST_CHECK bool pread_all(int fd, void *to, size_t n, off_t at);

MUST_CHECK bool fd_nonblock(int fd, bool on);
MUST_CHECK bool fd_cloexec(int fd, bool on);

/* Shared memory of a fixed size: no one who gets it can cut or grow it (which would end its mappers
 * by SIGBUS), nor make it executable. The descriptor, or -1 with errno. */
int memfd_sized(const char *name, size_t n);
/* The same memory through a descriptor that cannot be mapped for writing, for whoever only reads.
 * Needs /proc, so before confinement. -1 with errno. */
int memfd_readonly(int fd);
/* Is it a memfd that nobody can cut or grow, of at least n bytes? To be asked before mapping one
 * that another program sent. */
bool memfd_sealed(int fd, size_t n);

/* Two ends of a connection that keeps message borders. False with errno. */
MUST_CHECK bool seqpacket_pair(int fds[2]);
/* Who was on the other end of a Unix socket when it was made. False with errno. */
MUST_CHECK bool peer_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid);
