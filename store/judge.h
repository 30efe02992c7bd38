/*
 * Decides what a request does, as a record's metadata: every number, time and counter that it leads to. Reads the
 * present through the view (point reads) and the index (ranges: only for accounts that the batch has not touched,
 * which is the caller's care); writes nothing. One thread.
 *
 * A judgement that is ST_OK with out->type 0 writes nothing and answers out->reply; it may rest on a record of the
 * same batch, so even it is answered when the batch is durable.
 */
#pragma once
#include "store/log.h"
#include "store/request.h"
#include "store/view.h"

#define JUDGE_SLICE 500u        /* messages of one record; more take more records */
#define JUDGE_PLACES_MAX 1000u  /* mailboxes that one message may be in */
#define JUDGE_MAILBOXES_MAX 10000u
#define JUDGE_KEYWORDS_MAX 500u /* of an account */
#define JUDGE_APPEND_KEYWORDS 5000u /* of all messages of one append together */
#define JUDGE_NAME_MAX 255u     /* bytes of a mailbox's name */
#define JUDGE_LEVELS_MAX 32u
#define REQUEST_LIFE (600 * (int64_t)1000000000)

struct judge {
    struct view *view;
    struct index *index;
    const struct log_batch *batch; /* where the record will stand */
    int64_t now;                   /* ns since 1970 */
    uint64_t shard;                /* its number; the highest 16 bits of what it numbers */
};

/* A mailbox that changed, for hints; account 0: the queue. */
struct touch {
    uint64_t account, mailbox, modseq;
};

struct outcome {
    uint16_t type;      /* enum record_type; 0: nothing to write */
    struct buf meta;    /* its metadata */
    struct buf reply;   /* the answer's payload */
    struct buf touched; /* struct touch, one behind the other */
    bool more;          /* not finished: judge the same request again in a later batch, with *cursor */
};
void outcome_init(struct outcome *out);
void outcome_clear(struct outcome *out);
void outcome_done(struct outcome *out);

/* The body that goes with a record: n bytes behind `prefix` bytes in the record itself, or in a side segment. */
struct judge_body {
    uint64_t prefix, n;
    bool side, gone;        /* gone: a side body that is not there (any more): good only for asking again */
    struct log_place place; /* of a side body */
    uint64_t sum;           /* XXH3-64 of it, as it was sealed */
};

MUST_CHECK enum status judge_deliver(struct judge *j, const struct deliver *m, const struct judge_body *body,
                                     struct outcome *out);
/* Nothing is written when none of the entries is there (any more). */
MUST_CHECK enum status judge_queue_settle(struct judge *j, const struct queue_settle *m, struct outcome *out);
MUST_CHECK enum status judge_append(struct judge *j, uint64_t account, const struct append *m,
                                    const struct judge_body *body, struct outcome *out);
/* cursor: 0 at first, kept between the slices of one request. */
MUST_CHECK enum status judge_flags(struct judge *j, uint64_t account, const struct flags_change *m, struct outcome *out);
MUST_CHECK enum status judge_copy(struct judge *j, uint64_t account, const struct copy *m, struct outcome *out);
/* Nothing is written when nothing is recent. */
MUST_CHECK enum status judge_recent(struct judge *j, uint64_t account, const struct recent_claim *m, struct outcome *out);
MUST_CHECK enum status judge_expunge(struct judge *j, uint64_t account, const struct expunge *m, uint32_t *cursor,
                                     struct outcome *out);

MUST_CHECK enum status judge_mailbox_create(struct judge *j, uint64_t account, const struct mailbox_name *m,
                                            struct outcome *out);
MUST_CHECK enum status judge_mailbox_delete(struct judge *j, uint64_t account, uint64_t mailbox, struct outcome *out);
/* INBOX: the new mailbox is made, then its messages move in slices. cursor: the new mailbox's number. */
MUST_CHECK enum status judge_mailbox_rename(struct judge *j, uint64_t account, const struct mailbox_rename *m,
                                            uint64_t *cursor, struct outcome *out);
MUST_CHECK enum status judge_subscribe(struct judge *j, uint64_t account, const struct mailbox_subscribe *m,
                                       struct outcome *out);

MUST_CHECK enum status judge_account_add(struct judge *j, const struct account_add *m, struct outcome *out);
MUST_CHECK enum status judge_account_quota(struct judge *j, const struct account_quota *m, struct outcome *out);
/* Its name is free at once; judge_reap() removes the rest. *account: whose. */
MUST_CHECK enum status judge_account_delete(struct judge *j, struct slice name, uint64_t *account, struct outcome *out);
/* One slice of removing a dying account (mailbox 0) or mailbox; out->type 0: it is gone. */
MUST_CHECK enum status judge_reap(struct judge *j, uint64_t account, uint64_t mailbox, struct outcome *out);
/* Forgets requests whose time is over, a slice of them. out->type 0: none is. */
MUST_CHECK enum status judge_forget_requests(struct judge *j, struct outcome *out);

/* --- what is asked without a record --- */

/* By name, in lower case. ST_NOTFOUND, ST_UNAVAILABLE: out of service. */
MUST_CHECK enum status judge_account_named(struct judge *j, struct slice name, uint64_t *account);
/* Is `bytes` more within the account's quota? ST_QUOTA, ST_STALE: it is gone. */
MUST_CHECK enum status judge_room(struct judge *j, uint64_t account, uint64_t bytes);
