/*
 * The root of a system: its folders and who owns them, its configuration file, its
 * lock and its door for administrators. What estafetad and estafeta both know of them.
 * Runs before any peer is heard; reads only what an administrator wrote.
 */
#pragma once
#include <sys/types.h>

#include "conf/tables.h"
#include "ipc/messages.h"

#define ROOT_STANDARD "/var/lib/estafeta" /* without --root and $ESTAFETA_ROOT */
#define ROOT_PATH_MAX 900u                /* so that the paths of a confinement line fit */
#define ROOT_CONF     "etc/estafeta.conf"
#define ROOT_SOCKET   "run/admin.sock"
#define ROOT_LOCK     "run/estafetad.pid"
#define ROOT_LOG      "log/maillog"
#define ROOT_TEXT_MAX (48u * 1024u) /* of the configuration: it travels in one datagram */

/* "DIR/name", or ST_LIMIT. */
MUST_CHECK enum status root_path(const char *root, const char *name, char path[4096], struct err *err);
/* An absolute path for what was given on the command line, with no "." or ".." left; the folder need not
 * exist. */
MUST_CHECK enum status root_absolute(const char *given, char path[4096], struct err *err);

/* Who owns the folders of a program: uid_base + its number, or ourselves without root or uid_base. */
uid_t root_owner(enum role role, uint64_t uid_base);
/* Makes what is missing of the folders, and gives each to its owner. When a folder had another owner, all
 * that is in it is given over too (a system that was first run without root). Symbolic links are not
 * followed. */
MUST_CHECK enum status root_make(const char *root, uint64_t uid_base, struct err *err);

/* Gives the private keys of etc/tls, which an administrator may have put there as root, to keyd alone. */
MUST_CHECK enum status root_give_keys(const char *root, uint64_t uid_base, struct err *err);

/* The text of a configuration file, judged by all tables and as a whole, "FILE:LINE: ..."; the master's
 * settings point into *text. ST_NOTFOUND without a file. */
MUST_CHECK enum status root_read_conf(const char *file, struct buf *text, struct master_settings *master,
                                      struct err *err);
/* What the tables cannot say: every listening address has a port and is one host's. */
MUST_CHECK enum status root_judge(const char *file, struct slice text, struct master_settings *master,
                                  struct err *err);

/* Held as long as the descriptor is open. ST_EXISTS when another process has it; the words tell its number.
 */
MUST_CHECK enum status root_lock(const char *root, int *fd, struct err *err);
/* Where the lock's holder says who it is. */
MUST_CHECK bool root_lock_name(int fd);

/* The services: their setting, and what they are. One row for each of enum service. */
struct root_service {
    enum service service;
    const char *setting;
    size_t offset; /* of its struct conf_addresses in struct master_settings */
    uint16_t port; /* the standard one */
};
extern const struct root_service root_services[];
extern const size_t n_root_services;

/* The folder of the executables: beside this one, or in the bin folder of a build tree. ST_NOTFOUND. */
MUST_CHECK enum status root_programs(char folder[4096], struct err *err);
