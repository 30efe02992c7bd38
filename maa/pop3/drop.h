/*
 * A maildrop as a POP3 session sees it: the messages that were there when it began, their numbers, which are
 * marked deleted (RFC 1939 5). Pure memory: 16 bytes a message, and no more than DROP_MAX of them.
 */
#pragma once
#include "base/buf.h"

#define DROP_MAX 1000000u /* messages; later ones are seen by a later session */

struct drop_message {
    uint32_t uid;
    uint32_t deleted; /* 0 or 1 */
    uint64_t size;
};

struct drop {
    struct drop_message *messages; /* message number i is [i - 1]; by uid */
    uint32_t n, room, deleted;
    uint64_t bytes, deleted_bytes;
};

void drop_done(struct drop *d);
/* The next message, whose uid is higher than those before (ST_SYNTAX if not). ST_LIMIT: there is no more
 * room. */
MUST_CHECK enum status drop_add(struct drop *d, uint32_t uid, uint64_t size);
/* All have been added: gives back what is not used. */
void drop_close(struct drop *d);
/* By number, from 1; NULL when there is none, or it is marked deleted. */
const struct drop_message *drop_find(const struct drop *d, uint32_t number);
void drop_delete(struct drop *d, uint32_t number); /* one that drop_find finds */
void drop_reset(struct drop *d);                   /* no message is marked */
/* Packed uid_run (store/request.h) of the marked ones, at most `most` runs, from message number *number on,
 * which is moved. False when there are no more. */
bool drop_runs(const struct drop *d, uint32_t *number, size_t most, struct buf *runs);
