/*
 * What a working stored does for its store beside mail: compaction when segments have become empty enough,
 * and what an administrator asks for: MSG_STORE_COMPACT, MSG_STORE_CHECK, MSG_STORE_BACKUP,
 * and MSG_ACCOUNT_DELETE with purge. One thread, one
 * thing at a time; only records go through the loop's thread (commit.h).
 */
#pragma once
#include "ipc/channel.h"
#include "store/commit.h"
#include "store/start.h"

#define UPKEEP_EVERY SECONDS(60) /* looks for segments to compact */
#define UPKEEP_JOBS_MAX 16u

struct upkeep;
/* backups: the folder in which backups are made, -1: none; stays the caller's. reap: begins to remove the rows of a dying
 * account (mailbox 0), in the loop's thread. grace: ns after the last record of a compaction, until what readers may still
 * look at is removed. */
MUST_CHECK enum status upkeep_new(struct loop *loop, const struct store_files *files, struct commit *commit,
                                  int backups, uint64_t grace,
                                  void (*reap)(void *arg, uint64_t account, uint64_t mailbox),
                                  struct upkeep **upkeep, struct err *err);
/* After the record that took an account's name: removes its rows (by reap()), compacts every segment that holds bytes
 * only it referred to, and then answers `to`: nothing of its mail is on the disk. */
void upkeep_purge(struct upkeep *u, struct ipc_sender to, uint64_t account);
/* Answers `to` in time. */
void upkeep_ask(struct upkeep *u, struct ipc_sender to, struct slice payload);
/* A WORK_RECORD of ours has come to its end: what done() of commit.h does with one. Frees it. */
void upkeep_done(struct work *w);
/* Breaks off what is under way. What was asked is not answered. */
void upkeep_quit(struct upkeep *u);
/* Then, when commit_idle(), before commit_free(): waits for the thread. */
void upkeep_join(struct upkeep *u);
