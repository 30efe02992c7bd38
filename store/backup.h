/*
 * Backup: the segments of the log as they are at one moment. Sealed ones are hard links (copies on another
 * file system), the one that is written to is copied up to its durable end. No index: a restore builds it. A
 * hard link keeps bytes from being deleted, not from rotting: a backup worth the name is then copied to
 * another disk.
 *
 * Between programs: `to` and `from` are folders that somebody else opened for us.
 */
#pragma once
#include "store/log.h"

struct backup_stats {
    uint64_t segments, linked, bytes; /* bytes: that were copied */
};

/* log_dir: where the log's files are. to: an empty folder. Durable on return. No compaction may be under way;
 * mail may. */
MUST_CHECK enum status backup_take(struct log *log, int log_dir, int to, struct backup_stats *stats,
                                   struct err *err);
/* Copies a backup into `log_dir`, which must have no segments (ST_EXISTS). The copy is what is checked then:
 * open it with settings.rebuild, rebuild_index(), check_store(). ST_NOTFOUND: there is no backup in `from`.
 */
MUST_CHECK enum status backup_restore(int from, int log_dir, struct backup_stats *stats, struct err *err);
