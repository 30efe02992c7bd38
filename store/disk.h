/*
 * The few things that the log asks of a disk, as a table, so that tests can put a
 * disk there that forgets what was not flushed, refuses, or waits. All names are
 * relative to the folder of the log. -1 and errno on failure, as the system does.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct disk {
    void *self;
    int (*open)(void *self, const char *name, bool create); /* create: must not exist yet */
    int (*close)(void *self, int fd);
    ssize_t (*pread)(void *self, int fd, void *to, size_t n, uint64_t at);
    ssize_t (*pwrite)(void *self, int fd, const void *from, size_t n, uint64_t at);
    int64_t (*size)(void *self, int fd);
    int (*sync)(void *self, int fd);  /* data, and what is needed to read it back */
    int (*sync_names)(void *self);    /* names made and removed so far */
    int (*remove)(void *self, const char *name);
    int (*list)(void *self, void (*each)(void *arg, const char *name), void *arg);
    int (*lock)(void *self); /* only one process may have it; EWOULDBLOCK */
};

/* The real one, for the folder behind dir_fd (which stays the caller's, open as long as the disk). */
void disk_files(struct disk *disk, int dir_fd);
