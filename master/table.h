/*
 * The programs of the system: what each may do, and who talks to whom. estafetad
 * starts, confines and connects by these tables; docs/security.md shows them.
 */
#pragma once
#include "ipc/messages.h"

#define MASTER_MIB (1024u * 1024u)

struct program_row {
    enum role role;
    const char *calls;  /* class= of sys/confine_line.h */
    const char *paths;  /* below the root: "read=etc/tls write=var/store"; estafetad puts the root in front */
    uint32_t arena_mib; /* its own arena for bodies; 0: none */
    uint32_t files, memory_mib, tasks;
    uint8_t stop;       /* when it is told to stop: 0 first */
    /* When the channel between two programs has broken, the one with the higher number is started anew, whoever accuses
     * whom: the more of what strangers send it reads, the higher. Of equals, the accused. */
    uint8_t exposed;
    bool notes; /* it has a page in which it says for which account it works (sys/fiber.h) */
};

/* One row a pair. bodies: `consumer` may read `role`'s own arena. replies_mib: arena in which `consumer`
 * answers `role` with what is larger than a datagram. */
struct link_row {
    enum role role, consumer;
    bool bodies;
    uint32_t replies_mib;
};

extern const struct program_row programs[];
extern const size_t n_programs;
extern const struct link_row links[];
extern const size_t n_links;
