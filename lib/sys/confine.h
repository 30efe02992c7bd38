/*
 * Confinement as data: what a program may still do once it has opened what it needs. The program
 * applies its row to itself, before it makes threads and before it reads a byte from anyone:
 * user and groups, capabilities, resource limits, no_new_privs, landlock, and an allow list of system
 * calls. A forbidden system call ends the process (SIGSYS), so that it is seen; a forbidden
 * path is EACCES. Nothing here can be taken back.
 */
#pragma once
#include <sys/types.h>

#include "base/slice.h"

/* What a program may ask of the kernel; each bit is a column of the table in confine.c. */
enum confine_class {
    CONFINE_PARSER = 1, /* talks over descriptors that it has: no open, socket, exec, fork, threads */
    CONFINE_EDGE = 2,   /* parser, and accept4, socketpair, setsockopt */
    CONFINE_STORE = 4,  /* parser, and files below its landlock paths, threads */
    CONFINE_AUTH = 8,   /* the same, without what only a database needs */
    CONFINE_KEY = 16,   /* parser, and reading files below its paths */
    CONFINE_DNS = 32,   /* parser, and sockets of its own that go out over IP, threads */
};

struct confine_path {
    const char *path; /* NULL ends the list */
    bool write;       /* else read only; nothing is ever executable */
};

#define CONFINE_PATHS 8
#define CONFINE_CAPS 4
#define CONFINE_STAY ((uid_t)-1)

struct confinement {
    const char *role; /* for the log line */
    uid_t uid;        /* CONFINE_STAY: not changed, as for whoever is not root */
    gid_t gid;
    int caps[CONFINE_CAPS]; /* CAP_... kept by number + 1; 0 ends the list */
    struct confine_path paths[CONFINE_PATHS + 1];
    enum confine_class calls;
    /* Resource limits; 0 leaves what is. Core dumps are always off. */
    uint64_t files;     /* descriptors */
    uint64_t memory;    /* bytes of private memory (RLIMIT_DATA); not in sanitizer builds */
    uint64_t file_size; /* bytes */
    uint64_t tasks;     /* threads of the user; only when the user is changed */
};
#define CONFINE_CAP(cap) ((cap) + 1)

#define CONFINE_NOT_ROOT "own user (not root)"
/* What was not possible here: not root, an older kernel. The rest was applied. */
struct confine_report {
    bool ids, seccomp;
    int landlock_abi;  /* 0: the kernel has none */
    char missing[160]; /* for one log line; empty when all was applied */
};

/* ST_IO or ST_UNSUPPORTED when something that this machine can do failed: the program must then
 * not go on, for it may be half confined. */
MUST_CHECK enum status confine_apply(const struct confinement *c, struct confine_report *report, struct err *err);
