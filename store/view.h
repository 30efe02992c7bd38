/*
 * The present as the judge sees it: rows of the index, with what the batch that is being built would put
 * over them. Point reads only. Rows that every delivery needs (usage, status, names, counters of segments) stay in
 * memory between batches. The writer's thread only.
 *
 * A batch's puts come through view_sink(), the same calls that go to the index; then view_keep() when they are
 * in the index, or view_drop() when the batch failed, after which it is as if they never were.
 */
#pragma once
#include "store/index.h"

struct view;

/* bytes: most memory for rows between batches. NULL: no memory. The index must outlive it. */
struct view *view_new(struct index *index, size_t bytes);
void view_free(struct view *view);

/* The value as it is now, of a kind that view.c lists as wanted; good until the next put, view_keep or view_drop. ST_NOTFOUND, or what the index says. */
MUST_CHECK enum status view_get(struct view *view, const struct row_key *key, struct slice *value);
/* Has this batch put or deleted rows of the account? Whoever scans the index for it must wait for the next batch. */
bool view_touched(const struct view *view, uint64_t account);

struct row_sink view_sink(struct view *view);
void view_keep(struct view *view);
void view_drop(struct view *view);
