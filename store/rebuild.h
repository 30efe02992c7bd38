/*
 * Builds the index anew from the log: the newest image of each account and the tables of moved bodies, then
 * all records in order, without what they say of an account up to its image or of a body up to its table.
 * Then what follows from other rows is put anew: names of accounts, references of bodies (one that nothing
 * refers to goes), live bytes of segments, what is due. Slow: reads every segment twice.
 */
#pragma once
#include "store/index.h"
#include "store/log.h"

struct rebuild_stats {
    uint64_t records, images,
        broken; /* broken: records that cannot be applied; their account is out of service */
};

/* For a log that was opened with settings.rebuild; the index at `path`, if any, must be closed. It is put in
 * its place, flushed, as *index, when it is whole. stats may be NULL. */
MUST_CHECK enum status rebuild_index(struct log *log, const char *path, const struct index_settings *settings,
                                     struct index **index, struct rebuild_stats *stats, struct err *err);
