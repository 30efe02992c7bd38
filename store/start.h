/*
 * The files of the store: ROOT/store/log with the segments, ROOT/store/index. Opening replays what the index lacks,
 * and builds it anew when it is in doubt; the log decides.
 */
#pragma once
#include "conf/tables.h"
#include "store/index.h"
#include "store/log.h"

struct store_files {
    int dir, log_dir; /* ROOT/store, ROOT/store/log */
    struct disk disk;
    struct log *log;
    struct index *index;
};

/* Makes folders that are not there (ROOT/store must be). ST_STATE: another process has it. */
MUST_CHECK enum status store_open(const char *root, const struct store_settings *settings, struct store_files *files,
                                  struct err *err);
/* The same, but the index is built anew in any case. */
MUST_CHECK enum status store_open_anew(const char *root, const struct store_settings *settings, struct store_files *files,
                                       struct err *err);
void store_close(struct store_files *files);
