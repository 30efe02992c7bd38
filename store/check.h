/*
 * Checks the store: reads every segment and every row, compares. Changes nothing. Runs beside a working
 * store: rows are those of one snapshot, segments are those that it needs.
 */
#pragma once
#include "store/index.h"
#include "store/log.h"

struct check_stats {
    uint64_t accounts, messages, bodies, segments, wrong;
};

/* A line for each thing that is wrong, for people; at most CHECK_LINES_MAX, then only counted. No compaction
 * may be under way. ST_CORRUPT when anything is wrong; else what kept it from being checked. */
#define CHECK_LINES_MAX 1000u
MUST_CHECK enum status check_store(struct log *log, struct index *index,
                                   void (*line)(void *arg, const char *text), void *arg, const bool *cancel,
                                   struct check_stats *stats, struct err *err);
