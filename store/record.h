/*
 * The metadata of the log's records: what was decided, as the OUTCOME. Every number, counter and time that the
 * index needs stands here as it is afterwards, so that replay only puts rows (apply.h) and asks no clock, no
 * setting and no earlier record; and putting them twice is as putting them once. Pure. Hostile: fuzz/store_record.c.
 *
 * All metadata: le16 version, then the fields of the type in their order, without gaps: u8, le16, le32, le64, i64 as
 * le64 in two's complement; `bytes` is le32 length and the bytes; a row_* is that row's fields in line (row.h). A
 * "packed x" is bytes that are x after x. Every byte is used. Type numbers are on disk for ever: append, never renumber.
 * A reader takes its own version and older ones; a newer one is ST_NEWER, and the store does not start.
 *
 * Old values (old_modseq, old_name, old_due ...) name the rows that the new ones replace: without them apply would
 * have to read the index, and the result would depend on what was there.
 */
#pragma once
#include "store/row.h"

#define RECORD_VERSION 1u

enum record_type {
    RECORD_ACCOUNT_ADD = 1,   /* record_account_add: with its first mailboxes */
    RECORD_ACCOUNT_CHANGE,    /* record_account_change: renamed, quota, or dying */
    RECORD_ACCOUNT_ERASE,     /* record_account_erase: the last of a removal; every row of it goes */
    RECORD_MAILBOX_PUT,       /* record_mailbox_put: made, renamed (children too), rights, or dying */
    RECORD_MAILBOX_ERASE,     /* record_mailbox_erase: the last of a removal */
    RECORD_SUBSCRIBE,         /* record_subscribe */
    RECORD_DELIVER,           /* record_deliver: all recipients and queue entries; the log record's body is the mail */
    RECORD_APPEND,            /* record_deliver too: one body and one arrival a message, all of one mailbox (RFC 3502) */
    RECORD_FLAGS,             /* record_flags; without rows: what is \Recent */
    RECORD_COPY,              /* record_copy: or move */
    RECORD_EXPUNGE,           /* record_expunge */
    RECORD_FORGET,            /* record_forget: the horizon passes expunged messages */
    RECORD_KEYWORDS,          /* record_keywords */
    RECORD_PRIVATE,           /* record_private */
    RECORD_QUOTA_ROOT,        /* record_quota_root */
    RECORD_SCRIPT,            /* record_script */
    RECORD_QUEUE,             /* record_queue: tried, moved, done */
    RECORD_MEMORY,            /* record_memory: vacation and duplicate; also their expiry */
    RECORD_REQUESTS_FORGET,   /* record_requests_forget */
    RECORD_ADOPT,             /* record_adopt: side segments that live from now on (compaction, images, import) */
    RECORD_MOVED,             /* record_moved: bodies lie elsewhere now */
    RECORD_IMAGE              /* record_image: a chunk of an account image; only inside side segments */
    /* 0xffff is LOG_GONE, log_format.h */
};

/* record_x_write() appends the metadata; record_x_read(): ST_NEWER, ST_CORRUPT. Lists are read by whoever walks them. */
#define RECORD(tag, FIELDS)                                                                            \
    IPC_MESSAGE(record_##tag, FIELDS)                                                                  \
    static inline void record_##tag##_write(struct buf *b, const struct record_##tag *m)               \
    {                                                                                                  \
        buf_put_le16(b, RECORD_VERSION);                                                               \
        record_##tag##_put(b, m);                                                                      \
    }                                                                                                  \
    MUST_CHECK static inline enum status record_##tag##_read(struct slice meta, struct record_##tag *m) \
    {                                                                                                  \
        enum status st = record_version(&meta);                                                        \
        if (st != ST_OK)                                                                               \
            return st;                                                                                 \
        return record_##tag##_get(meta, m) ? ST_OK : ST_CORRUPT;                                       \
    }

/* Eats the version. */
MUST_CHECK enum status record_version(struct slice *meta);
/* "deliver" or "?". Static storage. */
const char *record_type_name(uint16_t type);

/* --- what stands in lists --- */

/* old_name: where its name row was; empty for a new mailbox. */
#define RECORD_MAILBOX_FIELDS(FIELD) \
    FIELD(u64, mailbox)              \
    FIELD(bytes, old_name)           \
    FIELD(row_mailbox, row)          \
    FIELD(row_status, status)
IPC_MESSAGE(record_mailbox, RECORD_MAILBOX_FIELDS)
#define RECORD_KEYWORD_FIELDS(FIELD) \
    FIELD(u64, account)              \
    FIELD(u16, number)               \
    FIELD(bytes, name)
IPC_MESSAGE(record_keyword, RECORD_KEYWORD_FIELDS)
#define RECORD_BODY_FIELDS(FIELD) \
    FIELD(u64, body)              \
    FIELD(row_body, row)          \
    FIELD(bytes, digest)
IPC_MESSAGE(record_body, RECORD_BODY_FIELDS)
#define RECORD_MOVED_BODY_FIELDS(FIELD) \
    FIELD(u64, body)                    \
    FIELD(row_body, row)
IPC_MESSAGE(record_moved_body, RECORD_MOVED_BODY_FIELDS)
/* A message comes into a mailbox. usage, status, places: after it; of two in one record the later ones are final. */
#define RECORD_ARRIVAL_FIELDS(FIELD) \
    FIELD(u64, account)              \
    FIELD(row_usage, usage)          \
    FIELD(u64, mailbox)              \
    FIELD(row_status, status)        \
    FIELD(u32, uid)                  \
    FIELD(row_message, message)      \
    FIELD(row_email, email)
IPC_MESSAGE(record_arrival, RECORD_ARRIVAL_FIELDS)
/* on 0: the entry is gone. known 1: it replaces one that was due at old_due in old_class. */
#define RECORD_QUEUED_FIELDS(FIELD) \
    FIELD(u64, id)                  \
    FIELD(u8, on)                   \
    FIELD(u8, known)                \
    FIELD(u8, old_class)            \
    FIELD(i64, old_due)             \
    FIELD(row_queue, row)
IPC_MESSAGE(record_queued, RECORD_QUEUED_FIELDS)
/* refs: after; 0 ends the body and its digest. */
#define RECORD_REF_FIELDS(FIELD) \
    FIELD(u64, body)             \
    FIELD(u64, refs)
IPC_MESSAGE(record_ref, RECORD_REF_FIELDS)
/* gone 1: the segment is deleted with this batch. */
#define RECORD_LIVE_FIELDS(FIELD) \
    FIELD(u64, segment)           \
    FIELD(u8, gone)               \
    FIELD(row_segment, row)
IPC_MESSAGE(record_live, RECORD_LIVE_FIELDS)
/* An email whose places changed; without places its row goes. */
#define RECORD_EMAIL_FIELDS(FIELD) \
    FIELD(u64, email)              \
    FIELD(row_email, row)
IPC_MESSAGE(record_email, RECORD_EMAIL_FIELDS)
/* The message as it is now; old_modseq is its modseq before. */
#define RECORD_CHANGE_FIELDS(FIELD) \
    FIELD(u32, uid)                 \
    FIELD(u64, old_modseq)          \
    FIELD(row_message, message)
IPC_MESSAGE(record_change, RECORD_CHANGE_FIELDS)
/* from: uid in the source; old_modseq and gone_modseq matter for a move. */
#define RECORD_COPIED_FIELDS(FIELD) \
    FIELD(u32, from)                \
    FIELD(u64, old_modseq)          \
    FIELD(u64, gone_modseq)         \
    FIELD(u32, uid)                 \
    FIELD(row_message, message)
IPC_MESSAGE(record_copied, RECORD_COPIED_FIELDS)
#define RECORD_FORGOTTEN_FIELDS(FIELD) \
    FIELD(u32, uid)                    \
    FIELD(u64, modseq)
IPC_MESSAGE(record_forgotten, RECORD_FORGOTTEN_FIELDS)
#define RECORD_PRIVATE_FLAGS_FIELDS(FIELD) \
    FIELD(u32, uid)                        \
    FIELD(row_private, row)
IPC_MESSAGE(record_private_flags, RECORD_PRIVATE_FLAGS_FIELDS)
/* expires 0: forgotten. old_expires 0: was not known. */
enum memory_kind { MEMORY_VACATION = 1, MEMORY_DUPLICATE = 2 };
#define RECORD_REMEMBERED_FIELDS(FIELD) \
    FIELD(u8, kind)                     \
    FIELD(bytes, key)                   \
    FIELD(i64, old_expires)             \
    FIELD(i64, expires)
IPC_MESSAGE(record_remembered, RECORD_REMEMBERED_FIELDS)
#define RECORD_REQUEST_FIELDS(FIELD) \
    FIELD(bytes, request)            \
    FIELD(i64, expires)
IPC_MESSAGE(record_request, RECORD_REQUEST_FIELDS)
/* A row of an account image: the key without the account. */
#define RECORD_ROW_FIELDS(FIELD) \
    FIELD(bytes, key)            \
    FIELD(bytes, value)
IPC_MESSAGE(record_row, RECORD_ROW_FIELDS)
/* The newest image of an account: records of it up to row.lsn are dead. account 0: the table of row.segment. */
#define RECORD_IMAGED_FIELDS(FIELD) \
    FIELD(u64, account)             \
    FIELD(row_image, row)
IPC_MESSAGE(record_imaged, RECORD_IMAGED_FIELDS)

/* --- the records --- */

/* mailboxes: packed record_mailbox */
#define RECORD_ACCOUNT_ADD_FIELDS(FIELD) \
    FIELD(u64, account)                  \
    FIELD(row_shard, shard)              \
    FIELD(row_account, row)              \
    FIELD(row_usage, usage)              \
    FIELD(bytes, mailboxes)
RECORD(account_add, RECORD_ACCOUNT_ADD_FIELDS)
/* old_name: where its name row was; empty: unchanged. row.state ROW_DYING frees the name at once. */
#define RECORD_ACCOUNT_CHANGE_FIELDS(FIELD) \
    FIELD(u64, account)                     \
    FIELD(bytes, old_name)                  \
    FIELD(row_account, row)
RECORD(account_change, RECORD_ACCOUNT_CHANGE_FIELDS)
/* Its bodies were let go by RECORD_EXPUNGE and RECORD_FORGET before. */
#define RECORD_ACCOUNT_ERASE_FIELDS(FIELD) FIELD(u64, account)
RECORD(account_erase, RECORD_ACCOUNT_ERASE_FIELDS)

/* mailboxes: packed record_mailbox */
#define RECORD_MAILBOX_PUT_FIELDS(FIELD) \
    FIELD(u64, account)                  \
    FIELD(row_usage, usage)              \
    FIELD(bytes, mailboxes)
RECORD(mailbox_put, RECORD_MAILBOX_PUT_FIELDS)
#define RECORD_MAILBOX_ERASE_FIELDS(FIELD) \
    FIELD(u64, account)                    \
    FIELD(row_usage, usage)                \
    FIELD(u64, mailbox)
RECORD(mailbox_erase, RECORD_MAILBOX_ERASE_FIELDS)
#define RECORD_SUBSCRIBE_FIELDS(FIELD) \
    FIELD(u64, account)                \
    FIELD(bytes, name)                 \
    FIELD(u8, on)
RECORD(subscribe, RECORD_SUBSCRIBE_FIELDS)

/* request: 16 bytes, or none; answer is what asking again gets. bodies: packed record_body, each new here. Those of an
 * APPEND of several messages lie one behind the other, in this record's body or in one side segment:
 *
 *   record's body, or side:  | message 1 | message 2 | message 3 |      bodies[i].extents = one range of it
 *   arrivals:                  uid        uid + 1     uid + 2           answer.uid, answer.modseq: of the first
 *
 * arrivals, queue, refs, segments, keywords: packed record_arrival, _queued, _ref, _live, _keyword. */
#define RECORD_DELIVER_FIELDS(FIELD) \
    FIELD(bytes, request)            \
    FIELD(row_request, answer)       \
    FIELD(row_shard, shard)          \
    FIELD(bytes, bodies)             \
    FIELD(bytes, arrivals)           \
    FIELD(bytes, queue)              \
    FIELD(bytes, refs)               \
    FIELD(bytes, segments)           \
    FIELD(bytes, keywords)
RECORD(deliver, RECORD_DELIVER_FIELDS)

/* rows: packed record_change. keywords: packed record_keyword, those that are new. */
#define RECORD_FLAGS_FIELDS(FIELD) \
    FIELD(u64, account)            \
    FIELD(row_usage, usage)        \
    FIELD(u64, mailbox)            \
    FIELD(row_status, status)      \
    FIELD(bytes, rows)             \
    FIELD(bytes, keywords)
RECORD(flags, RECORD_FLAGS_FIELDS)
/* rows: packed record_copied. emails: packed record_email. Within one mailbox both statuses are the same.
 * request, answer: as in record_deliver. */
#define RECORD_COPY_FIELDS(FIELD)  \
    FIELD(u64, account)            \
    FIELD(row_usage, usage)        \
    FIELD(u8, move)                \
    FIELD(u64, from)               \
    FIELD(row_status, from_status) \
    FIELD(u64, to)                 \
    FIELD(row_status, to_status)   \
    FIELD(bytes, rows)             \
    FIELD(bytes, emails)           \
    FIELD(bytes, request)          \
    FIELD(row_request, answer)
RECORD(copy, RECORD_COPY_FIELDS)
/* rows: packed record_change, message.modseq that of the expunge. keep 1: emails and bodies stay for undelete. */
#define RECORD_EXPUNGE_FIELDS(FIELD) \
    FIELD(u64, account)              \
    FIELD(row_usage, usage)          \
    FIELD(u64, mailbox)              \
    FIELD(row_status, status)        \
    FIELD(i64, at)                   \
    FIELD(u8, keep)                  \
    FIELD(bytes, rows)               \
    FIELD(bytes, emails)             \
    FIELD(bytes, refs)               \
    FIELD(bytes, segments)
RECORD(expunge, RECORD_EXPUNGE_FIELDS)
/* rows: packed record_forgotten */
#define RECORD_FORGET_FIELDS(FIELD) \
    FIELD(u64, account)             \
    FIELD(u64, mailbox)             \
    FIELD(row_status, status)       \
    FIELD(bytes, rows)              \
    FIELD(bytes, emails)            \
    FIELD(bytes, refs)              \
    FIELD(bytes, segments)
RECORD(forget, RECORD_FORGET_FIELDS)

#define RECORD_KEYWORDS_FIELDS(FIELD) \
    FIELD(u64, account)               \
    FIELD(row_usage, usage)           \
    FIELD(bytes, keywords)
RECORD(keywords, RECORD_KEYWORDS_FIELDS)
/* rows: packed record_private_flags of this user; one with modseq 0 goes */
#define RECORD_PRIVATE_FIELDS(FIELD) \
    FIELD(u64, account)              \
    FIELD(row_usage, usage)          \
    FIELD(u64, mailbox)              \
    FIELD(row_status, status)        \
    FIELD(u64, user)                 \
    FIELD(bytes, rows)
RECORD(private, RECORD_PRIVATE_FIELDS)
#define RECORD_QUOTA_ROOT_FIELDS(FIELD) \
    FIELD(u64, account)                 \
    FIELD(bytes, name)                  \
    FIELD(u8, on)                       \
    FIELD(row_quota, row)
RECORD(quota_root, RECORD_QUOTA_ROOT_FIELDS)
/* on 0: removed. active: the active script's name afterwards, whichever it is; empty for none. */
#define RECORD_SCRIPT_FIELDS(FIELD) \
    FIELD(u64, account)             \
    FIELD(bytes, name)              \
    FIELD(u8, on)                   \
    FIELD(bytes, text)              \
    FIELD(bytes, active)
RECORD(script, RECORD_SCRIPT_FIELDS)
/* queue, bodies (of reports made here), refs, segments: as in record_deliver */
#define RECORD_QUEUE_FIELDS(FIELD) \
    FIELD(row_shard, shard)        \
    FIELD(bytes, queue)            \
    FIELD(bytes, bodies)           \
    FIELD(bytes, refs)             \
    FIELD(bytes, segments)
RECORD(queue, RECORD_QUEUE_FIELDS)
/* rows: packed record_remembered */
#define RECORD_MEMORY_FIELDS(FIELD) \
    FIELD(u64, account)             \
    FIELD(bytes, rows)
RECORD(memory, RECORD_MEMORY_FIELDS)
/* requests: packed record_request */
#define RECORD_REQUESTS_FORGET_FIELDS(FIELD) FIELD(bytes, requests)
RECORD(requests_forget, RECORD_REQUESTS_FORGET_FIELDS)
/* segments: packed record_live. images: packed record_imaged; what they hold matters to a rebuild only. */
#define RECORD_ADOPT_FIELDS(FIELD) \
    FIELD(bytes, segments)         \
    FIELD(bytes, images)
RECORD(adopt, RECORD_ADOPT_FIELDS)
/* bodies: packed record_moved_body. Their digests, and these rows too, stand in the table of the segment they went to. */
#define RECORD_MOVED_FIELDS(FIELD) \
    FIELD(bytes, bodies)           \
    FIELD(bytes, segments)
RECORD(moved, RECORD_MOVED_FIELDS)
/* chunk: 0, 1, 2 ... ; the first empties the account. rows: packed record_row, ascending over all chunks. */
#define RECORD_IMAGE_FIELDS(FIELD) \
    FIELD(u64, account)            \
    FIELD(u64, lsn)                \
    FIELD(u32, chunk)              \
    FIELD(u8, last)                \
    FIELD(bytes, rows)
RECORD(image, RECORD_IMAGE_FIELDS)
