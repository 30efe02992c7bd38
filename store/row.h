/*
 * The rows of the index: keys that sort, and values. Pure: no I/O, no allocation beyond a buf.
 * The index is a view of the log, so these bytes may change with ROW_VERSION: an index of another version
 * is built anew. Values that records carry too (record.h) are bound to RECORD_VERSION as well.
 * What comes back from the disk is as hostile as a message: fuzz/store_row.c.
 *
 * A key: be64 account, u8 kind, then the parts of the kind's row in row_shapes (row.c), big-endian, then for
 * some kinds a name or a digest up to the end. An account is therefore one range of keys, and within it a
 * mailbox's messages are one range by uid. Account 0 is the shard itself: what belongs to nobody or to many.
 *
 *   account kind      parts                          tail  value
 *   a  1 account                                           row_account: who it is
 *   a  2 usage                                             row_usage: counters; apart, for every delivery puts them
 *   a  3 mailbox      8 mailbox                            row_mailbox
 *   a  4 status       8 mailbox                            row_status: its counters
 *   a  5 name                                        name  row_number: the mailbox
 *   a  6 message      8 mailbox 4 uid                      row_message
 *   a  7 change       8 mailbox 8 modseq 4 uid             row_change; one for each message and expunged message
 *   a  8 expunged     8 mailbox 4 uid                      row_expunged, until the mailbox's horizon passes it
 *   a  9 private      8 mailbox 8 user 4 uid               row_private: flags of another user in a shared mailbox
 *   a 10 email        8 email                              row_email: its body and every place it is in
 *   a 11 keyword      2 number                             row_name
 *   a 12 subscription                                name  nothing
 *   a 13 quota                                       name  row_quota: a quota root
 *   a 14 script                                      name  row_name: the text
 *   a 15 active                                            row_name: the active script
 *   a 16 memory       1 kind                         key   row_time: when it expires
 *   a 17 memory_due   8 expires 1 kind               key   nothing
 *   0 32 account_name                                name  row_number: the account
 *   0 33 body         8 body                               row_body
 *   0 34 digest       8 body                               the digest as mdad made it
 *   0 35 refs         8 body                               row_number: emails and queue entries that need it
 *   0 36 queue        8 id                                 row_queue
 *   0 37 queue_due    1 class 8 due 8 id                   nothing
 *   0 38 segment      8 segment                            row_segment
 *   0 39 request                                     16    row_request
 *   0 40 request_due  8 expires                      16    nothing
 *   0 41 shard                                             row_shard
 *   0 42 applied                                           row_number: LSN of the last record in the index
 *   0 43 broken       8 account                            row_name: why the account is out of service
 *   0 44 format                                            row_number: ROW_VERSION
 *   0 45 image        8 account                            row_image: its newest, so that older ones can go
 *   0 46 table        8 segment                            row_image: of the bodies that compaction put there
 */
#pragma once
#include "ipc/codec.h"

#define ROW_VERSION 1u
#define ROW_PARTS 3u
#define ROW_TAIL_MAX 1024u /* names; what is longer was never accepted */
#define ROW_EXTENTS_MAX 8u

enum row_kind {
    ROW_ACCOUNT = 1,
    ROW_USAGE,
    ROW_MAILBOX,
    ROW_STATUS,
    ROW_NAME,
    ROW_MESSAGE,
    ROW_CHANGE,
    ROW_EXPUNGED,
    ROW_PRIVATE,
    ROW_EMAIL,
    ROW_KEYWORD,
    ROW_SUBSCRIPTION,
    ROW_QUOTA,
    ROW_SCRIPT,
    ROW_ACTIVE,
    ROW_MEMORY,
    ROW_MEMORY_DUE,
    ROW_ACCOUNT_NAME = 32,
    ROW_BODY,
    ROW_DIGEST,
    ROW_REFS,
    ROW_QUEUE,
    ROW_QUEUE_DUE,
    ROW_SEGMENT,
    ROW_REQUEST,
    ROW_REQUEST_DUE,
    ROW_SHARD,
    ROW_APPLIED,
    ROW_BROKEN,
    ROW_FORMAT,
    ROW_IMAGE,
    ROW_TABLE
};

/* A key as values; parts and tail that its kind does not have are 0. */
struct row_key {
    uint64_t account;
    enum row_kind kind;
    uint64_t part[ROW_PARTS];
    struct slice tail; /* after a get: points into the key */
};

/* Sets out->failed for a kind that is unknown, a part too large, a tail that is too long or not the kind's. */
void row_key_put(struct buf *out, const struct row_key *key);
/* The front of such keys: account, kind and the first `parts` parts. For ranges. */
void row_prefix_put(struct buf *out, const struct row_key *key, size_t parts);
/* ST_CORRUPT unless put would make the very same bytes. */
MUST_CHECK enum status row_key_get(struct slice bytes, struct row_key *key);
/* "message" or "?". Static storage. */
const char *row_kind_name(enum row_kind kind);
/* Is `value` a whole value of this kind, with every list in it? */
bool row_value_ok(enum row_kind kind, struct slice value);
/* One line of a dump: kind account parts "tail" value-in-hex LF. Keys that cannot be read come as hex. */
void row_text(struct buf *out, struct slice key, struct slice value);
/* The least key above all that begin with `prefix`; empty when there is none (all bytes 0xff). */
void row_range_end(struct buf *out, struct slice prefix);

/* Where puts and deletes go: a batch of the index, a test's list. Bytes are copied. */
struct row_sink {
    void *arg;
    void (*put)(void *arg, struct slice key, struct slice value);
    void (*del)(void *arg, struct slice key);
    void (*del_range)(void *arg, struct slice from, struct slice to); /* [from, to) */
};

/* Makes a declared struct a field type of others: its bytes stand in line, without a length. */
#define ROW_NEST(tag)                                                       \
    typedef struct tag ipc_##tag;                                           \
    static inline void ipc_put_##tag(struct buf *b, struct tag v)           \
    {                                                                       \
        tag##_put(b, &v);                                                   \
    }                                                                       \
    MUST_CHECK static inline bool ipc_take_##tag(struct slice *in, struct tag *v) \
    {                                                                       \
        return tag##_take(in, v);                                           \
    }
#define ROW_VALUE(tag, FIELDS) IPC_MESSAGE(tag, FIELDS) ROW_NEST(tag)

#define ROW_NUMBER_FIELDS(FIELD) FIELD(u64, number)
ROW_VALUE(row_number, ROW_NUMBER_FIELDS)
#define ROW_NAME_FIELDS(FIELD) FIELD(bytes, name)
ROW_VALUE(row_name, ROW_NAME_FIELDS)
#define ROW_TIME_FIELDS(FIELD) FIELD(i64, at)
ROW_VALUE(row_time, ROW_TIME_FIELDS)

/* quota: bytes, 0 none. state: 0 in service, 1 being removed (its name is free already). */
enum row_state { ROW_LIVES = 0, ROW_DYING = 1 };
#define ROW_ACCOUNT_FIELDS(FIELD) \
    FIELD(bytes, name)            \
    FIELD(u64, quota)             \
    FIELD(u64, quota_messages)    \
    FIELD(i64, created)           \
    FIELD(u8, state)
ROW_VALUE(row_account, ROW_ACCOUNT_FIELDS)

/* modseq: the highest given. *_next: the next to give. */
#define ROW_USAGE_FIELDS(FIELD) \
    FIELD(u64, bytes)           \
    FIELD(u64, messages)        \
    FIELD(u64, modseq)          \
    FIELD(u64, mailbox_next)    \
    FIELD(u32, uidvalidity_next)\
    FIELD(u16, keyword_next)
ROW_VALUE(row_usage, ROW_USAGE_FIELDS)

/* special: enum special_use of lib/store/request.h. rights: RFC 4314 pairs, packed row_right; empty: the owner's. */
#define ROW_MAILBOX_FIELDS(FIELD) \
    FIELD(bytes, name)            \
    FIELD(u32, special)           \
    FIELD(u32, uidvalidity)       \
    FIELD(u8, state)              \
    FIELD(bytes, quota_root)      \
    FIELD(bytes, rights)
ROW_VALUE(row_mailbox, ROW_MAILBOX_FIELDS)
#define ROW_RIGHT_FIELDS(FIELD) \
    FIELD(bytes, who)           \
    FIELD(u32, rights)
ROW_VALUE(row_right, ROW_RIGHT_FIELDS)

/* horizon: expunges with a modseq at or below it are forgotten. recent_from: RFC 3501 2.3.2. */
#define ROW_STATUS_FIELDS(FIELD) \
    FIELD(u32, uidnext)          \
    FIELD(u32, recent_from)      \
    FIELD(u64, modseq)           \
    FIELD(u64, horizon)          \
    FIELD(u32, messages)         \
    FIELD(u32, unseen)           \
    FIELD(u32, deleted)          \
    FIELD(u64, bytes)
ROW_VALUE(row_status, ROW_STATUS_FIELDS)

/* Times are ns since 1970. saved: when it came into this mailbox (RFC 8514). keywords: packed le16, ascending. */
#define ROW_MESSAGE_FIELDS(FIELD) \
    FIELD(u64, modseq)            \
    FIELD(u16, flags)             \
    FIELD(u64, size)              \
    FIELD(i64, internaldate)      \
    FIELD(i64, saved)             \
    FIELD(u64, email)             \
    FIELD(bytes, keywords)
ROW_VALUE(row_message, ROW_MESSAGE_FIELDS)
#define ROW_CHANGE_FIELDS(FIELD) FIELD(u8, gone)
ROW_VALUE(row_change, ROW_CHANGE_FIELDS)
/* message.modseq is that of the expunge: under it its change row is found. keep 1: can be undeleted. */
#define ROW_EXPUNGED_FIELDS(FIELD) \
    FIELD(i64, at)                 \
    FIELD(u8, keep)                \
    FIELD(row_message, message)
ROW_VALUE(row_expunged, ROW_EXPUNGED_FIELDS)
#define ROW_PRIVATE_FIELDS(FIELD) \
    FIELD(u64, modseq)            \
    FIELD(u16, flags)             \
    FIELD(bytes, keywords)
ROW_VALUE(row_private, ROW_PRIVATE_FIELDS)

/* places: packed row_place, never empty; expunged messages that can be undeleted count. */
#define ROW_EMAIL_FIELDS(FIELD) \
    FIELD(u64, thread)          \
    FIELD(u64, body)            \
    FIELD(bytes, places)
ROW_VALUE(row_email, ROW_EMAIL_FIELDS)
#define ROW_PLACE_FIELDS(FIELD) \
    FIELD(u64, mailbox)         \
    FIELD(u32, uid)
ROW_VALUE(row_place, ROW_PLACE_FIELDS)

#define ROW_QUOTA_FIELDS(FIELD) \
    FIELD(u64, bytes_most)      \
    FIELD(u64, messages_most)   \
    FIELD(u64, bytes)           \
    FIELD(u64, messages)
ROW_VALUE(row_quota, ROW_QUOTA_FIELDS)

/* size: of all extents joined. prefix: bytes of it before what the digest speaks of. extents: packed row_extent,
 * at most ROW_EXTENTS_MAX. */
#define ROW_BODY_FIELDS(FIELD) \
    FIELD(u64, size)           \
    FIELD(u32, prefix)         \
    FIELD(bytes, extents)
ROW_VALUE(row_body, ROW_BODY_FIELDS)
#define ROW_EXTENT_FIELDS(FIELD) \
    FIELD(u64, segment)          \
    FIELD(u64, offset)           \
    FIELD(u64, n)
ROW_VALUE(row_extent, ROW_EXTENT_FIELDS)

/* body 0: none any more. origin: record id of another shard that this was taken from, once; empty at home.
 * spec: what queued needs, in its own encoding; the store only keeps it. */
#define ROW_QUEUE_FIELDS(FIELD) \
    FIELD(u8, class)            \
    FIELD(i64, due)             \
    FIELD(u64, body)            \
    FIELD(i64, arrived)         \
    FIELD(u32, tries)           \
    FIELD(u8, dsn)              \
    FIELD(u8, ret)              \
    FIELD(bytes, sender)        \
    FIELD(bytes, recipient)     \
    FIELD(bytes, orcpt)         \
    FIELD(bytes, envid)         \
    FIELD(bytes, origin)        \
    FIELD(bytes, spec)
ROW_VALUE(row_queue, ROW_QUEUE_FIELDS)

/* live: bytes of bodies there that something refers to. side 1: adopted; size and sum: its bytes and their XXH3-64 as
 * it was sealed, for a side segment's bytes have no other checksum. side 0: size: bytes of all bodies ever put there. */
#define ROW_SEGMENT_FIELDS(FIELD) \
    FIELD(u8, side)               \
    FIELD(u64, live)              \
    FIELD(u64, size)              \
    FIELD(u64, sum)
ROW_VALUE(row_segment, ROW_SEGMENT_FIELDS)
#define ROW_REQUEST_FIELDS(FIELD) \
    FIELD(i64, expires)           \
    FIELD(u64, lsn)               \
    FIELD(u64, email)             \
    FIELD(u64, account)           \
    FIELD(u64, mailbox)           \
    FIELD(u32, uid)               \
    FIELD(u64, modseq)
ROW_VALUE(row_request, ROW_REQUEST_FIELDS)
/* The next number to give of each sort; none is ever given twice. */
#define ROW_SHARD_FIELDS(FIELD) \
    FIELD(u64, account)         \
    FIELD(u64, email)           \
    FIELD(u64, body)            \
    FIELD(u64, queue)
ROW_VALUE(row_shard, ROW_SHARD_FIELDS)
/* An image of an account, or of the body and digest rows of bodies (a table), as of lsn: n bytes in a side segment and
 * their XXH3-64. They do not count as live there. image.h */
#define ROW_IMAGE_FIELDS(FIELD) \
    FIELD(u64, lsn)             \
    FIELD(u64, segment)         \
    FIELD(u64, offset)          \
    FIELD(u64, n)               \
    FIELD(u64, sum)
ROW_VALUE(row_image, ROW_IMAGE_FIELDS)
