/*
 * What the log asks of the system, as a table, so that tests can record, delay, fail and forget. All
 * names are within one directory. Return values and errno as those of the system calls.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct disk {
    void *arg; /* the implementation's */
    int (*open_dir)(void *arg, const char *path);
    int (*open)(void *arg, int dir, const char *name, int flags); /* O_RDWR, O_CREAT, O_EXCL */
    void (*close)(void *arg, int fd);
    ssize_t (*pread)(void *arg, int fd, void *out, size_t n, uint64_t at);
    ssize_t (*pwrite)(void *arg, int fd, const void *in, size_t n, uint64_t at);
    int (*flush)(void *arg, int fd);     /* fdatasync */
    int (*flush_dir)(void *arg, int fd); /* fsync */
    int (*unlink)(void *arg, int dir, const char *name);
    int (*lock)(void *arg, int fd); /* exclusive, fails at once */
    int64_t (*size)(void *arg, int fd);
    int64_t (*space)(void *arg, int dir); /* bytes free */
    /* Calls fn for each name; stops at its first non-zero and returns it. */
    int (*list)(void *arg, int dir, int (*fn)(void *fn_arg, const char *name), void *fn_arg);
};

extern const struct disk disk_system;
