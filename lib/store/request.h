/*
 * What can be asked of stored, and its answers. Knows no file. Everything that
 * changes mail is answered after its record is durable, never before.
 *
 * Session programs name handles (64 random bits that authd opened for them, good
 * only on the channel of the program they were opened for) and, within them,
 * mailbox numbers and UIDs. smtpd and submitd have no handle: they may ask
 * whether a recipient exists and deliver to him, nothing else.
 *
 * Any request may be answered ST_UNAVAILABLE (try later: 451, NO [UNAVAILABLE]),
 * ST_NOSPACE, ST_STALE (handle or mailbox is gone), ST_DENIED (rights), ST_SYNTAX.
 * "= rows of x" is msg_rows whose rows are packed x; ask again after the last one while `more`.
 * Lists of UIDs are packed pairs le32 first, le32 last, ascending, not overlapping (uid_run).
 */
#pragma once
#include "ipc/messages.h"

#define STORE_BODY_INLINE (1024u * 1024u) /* larger bodies are streamed into a side segment first */
#define STORE_SLICE_ROWS 4096u            /* most rows of one answer */
#define STORE_READ_MAX (256u * 1024u)     /* most bytes of one MSG_BODY_READ */
#define STORE_HEAD_MAX (64u * 1024u)      /* most bytes of a message in one row of MSG_HEADS */
#define STORE_RECIPIENTS_MAX 1000u
#define STORE_SIDE_MAX (2ull << 30)       /* most bytes of a side body: the largest message that a setting allows */
#define STORE_APPEND_MAX 500u             /* most messages of one MSG_APPEND */
#define STORE_APPEND_LIST (256u * 1024u)  /* most bytes of its list of messages */
#define STORE_SETTLED_MAX 500u

enum store_msg {
    MSG_RCPT_CHECK = 100, /* smtpd submitd ctl: rcpt_check = rcpt_found. ST_NOTFOUND no such user, ST_QUOTA */
    MSG_DELIVER,          /* smtpd submitd: deliver = delivered. Repeatable: `request` makes it once */
    MSG_SIDE_BEGIN,       /* smtpd submitd imapd: side_begin = msg_id, the side body */
    MSG_SIDE_DATA,        /* the same: side_data = nothing: the chunks may be reused */
    MSG_SIDE_DROP,        /* the same, one way: msg_id */
    MSG_CREDIT,           /* stored -> smtpd submitd imapd: msg_id. So many bytes more may be received now. What a DELIVER or
                             APPEND (its n, without a side body) used comes back when it is written or refused; SIDE_DATA costs none */

    MSG_HANDLE_OPEN,  /* authd: handle_open = msg_id, the handle. ST_NOTFOUND: no such account */
    MSG_HANDLE_CLOSE, /* imapd pop3d, one way: msg_id */

    MSG_MAILBOXES,        /* imapd pop3d: mailbox_list = rows of mailbox_row, by name */
    MSG_MAILBOX_STATUS,   /* mailbox_ref = mailbox_status */
    MSG_MAILBOX_CREATE,   /* mailbox_name = msg_id. Parents are made too. ST_EXISTS */
    MSG_MAILBOX_DELETE,   /* mailbox_ref = nothing */
    MSG_MAILBOX_RENAME,   /* mailbox_rename = nothing. With its children. INBOX: its messages move (RFC 9051 6.3.6) */
    MSG_MAILBOX_SUBSCRIBE,/* mailbox_subscribe = nothing. The name need not exist */
    MSG_SUBSCRIPTIONS,    /* mailbox_list = rows of msg_name */
    MSG_KEYWORDS,         /* msg_id (handle) = rows of keyword_row */

    MSG_MESSAGES,     /* imapd pop3d: message_list = rows of message_row, by uid */
    MSG_CHANGES,      /* change_list = rows of change_row, by modseq */
    MSG_DIGESTS,      /* digest_list = rows of digest_row: those of the uids that are there */
    MSG_BODY_READ,    /* body_read = msg_bytes. Short only at the end of the message */
    MSG_APPEND,       /* imapd: append = appended. Repeatable */
    MSG_FLAGS,        /* imapd: flags_change = rows of change_row; uids that were refused come with refused 1 */
    MSG_COPY,         /* imapd: copy = rows of copied_row. move 1: and removed from the source, in one record */
    MSG_EXPUNGE,      /* imapd pop3d: expunge = msg_bytes, the uid_runs that went */
    MSG_WATCH,        /* imapd: mailbox_ref = nothing. Hints from now on, until MSG_UNWATCH */
    MSG_UNWATCH,      /* imapd: mailbox_ref = nothing */
    MSG_HINT,         /* stored -> imapd, one way: hint. Something changed: ask MSG_CHANGES */
    MSG_HEADS,        /* imapd: head_list = rows of head_row: how those of the uids begin that can be read now */
    MSG_RECENT,       /* imapd: recent_claim = msg_id, recent_from as it was. Messages below `upto` are nobody else's \Recent */

    MSG_ACCOUNT_ADD = 150, /* ctl: account_add = nothing. Makes INBOX. ST_EXISTS */
    MSG_ACCOUNT_DELETE,    /* ctl: account_delete = nothing. purge 1: its bytes are gone when answered */
    MSG_ACCOUNT_QUOTA,     /* ctl: account_quota = nothing */
    MSG_ACCOUNTS,          /* ctl: msg_page = rows of account_row, by name */
    MSG_STORE_CHECK,       /* ctl: nothing = msg_text, what is wrong; ST_CORRUPT if anything is */
    MSG_STORE_DUMP,        /* ctl: msg_page = rows of dump_row: the index as text; after: the last row's key */
    MSG_STORE_COMPACT,     /* ctl: nothing = msg_text */
    MSG_STORE_BACKUP,      /* ctl: msg_name, a folder below the root's backup/ = msg_text */
    MSG_ADMIN_MAILBOXES,   /* ctl: msg_name, the account = rows of mailbox_row */

    MSG_QUEUE_OPEN = 180, /* queued: nothing = nothing. All that a queued asked before is in the index, or never will be; MSG_QUEUE_NEW
                             comes from now on */
    MSG_QUEUE_LIST,       /* queued: msg_id, the last id got or 0 = rows of queue_entry, by id. What comes later has a higher id */
    MSG_QUEUE_SETTLE,     /* queued: queue_settle = nothing. One record: entries that are done, or wait until later */
    MSG_QUEUE_READ,       /* queued: queue_read = msg_bytes. Bytes of an entry's message; short only at its end */
    MSG_QUEUE_NEW,        /* stored -> queued, one way: nothing. There are entries that MSG_QUEUE_LIST has not told yet */
};

/* mailbox: "usr1+detail@dominio.com.uy" as the client wrote it, unquoted; size 0: unknown. */
#define RCPT_CHECK_FIELDS(FIELD) \
    FIELD(bytes, mailbox)        \
    FIELD(u64, size)
IPC_MESSAGE(rcpt_check, RCPT_CHECK_FIELDS)
/* name: the account's; the detail is what followed '+', perhaps nothing. */
#define RCPT_FOUND_FIELDS(FIELD) \
    FIELD(u64, account)          \
    FIELD(bytes, name)           \
    FIELD(bytes, detail)
IPC_MESSAGE(rcpt_found, RCPT_FOUND_FIELDS)

/* One recipient. original: as given in RCPT. mailbox: by name, "" is INBOX; a folder that is not there is INBOX.
 * dsn: NOTIFY bits 1 never 2 success 4 failure 8 delay. orcpt: "rfc822;a@b",
 * the type and the address with its xtext decoded (of utf-8 as given); may be empty. */
#define DELIVER_RCPT_FIELDS(FIELD) \
    FIELD(u64, account)            \
    FIELD(bytes, original)         \
    FIELD(bytes, mailbox)          \
    FIELD(u8, dsn)                 \
    FIELD(bytes, orcpt)
IPC_MESSAGE(deliver_rcpt, DELIVER_RCPT_FIELDS)

/* One recipient to whom the message goes on: a queue entry, due now. recipient: as given in RCPT, routed at each attempt. class: which
 * goes first, and how long it is tried. spec: of queued (queue/), at most STORE_SPEC_MAX. dsn, orcpt: as in deliver_rcpt. */
#define STORE_SPEC_MAX 4096u
#define DELIVER_QUEUED_FIELDS(FIELD) \
    FIELD(bytes, recipient)          \
    FIELD(u8, class)                 \
    FIELD(u8, dsn)                   \
    FIELD(bytes, orcpt)              \
    FIELD(bytes, spec)
IPC_MESSAGE(deliver_queued, DELIVER_QUEUED_FIELDS)
/* An entry after an attempt. on 0: it is done. tries, class, due (ns since 1970), spec: as they are from now on. One that is not there
 * (any more) is passed over. */
#define QUEUE_SETTLED_FIELDS(FIELD) \
    FIELD(u64, id)                  \
    FIELD(u8, on)                   \
    FIELD(u8, class)                \
    FIELD(i64, due)                 \
    FIELD(u32, tries)               \
    FIELD(bytes, spec)
IPC_MESSAGE(queue_settled, QUEUE_SETTLED_FIELDS)

/* request: 16 random bytes, remembered ten minutes and across restarts. received: ns since 1970.
 * prefix: header fields that go before the body, wire form. The body is `chunks` of the sender's arena
 * with n bytes, or, when side is not 0, that side body, whole. coming: how many sessions of this program are
 * receiving a body now (decision 5 in docs/architecture.md). recipients: packed deliver_rcpt. envid, ret: RFC 3461.
 * queue: packed deliver_queued, at most STORE_RECIPIENTS_MAX. settled: packed queue_settled, as in queue_settle; of queued only: the entries that its report is about go, or wait on, in the record that brings the report.
 * again: 1 when it was sent before, so that stored looks whether it was done; the last byte of the message. */
#define DELIVER_FIELDS(FIELD) \
    FIELD(bytes, request)     \
    FIELD(i64, received)      \
    FIELD(bytes, sender)      \
    FIELD(bytes, prefix)      \
    FIELD(bytes, chunks)      \
    FIELD(u64, n)             \
    FIELD(u64, side)          \
    FIELD(bytes, digest)      \
    FIELD(bytes, envid)       \
    FIELD(u8, ret)            \
    FIELD(u16, coming)        \
    FIELD(bytes, recipients)  \
    FIELD(bytes, queue)       \
    FIELD(bytes, settled)     \
    FIELD(u8, again)
IPC_MESSAGE(deliver, DELIVER_FIELDS)
/* lsn: of the record. email: the message's number. */
#define DELIVERED_FIELDS(FIELD) \
    FIELD(u64, lsn)             \
    FIELD(u64, email)
IPC_MESSAGE(delivered, DELIVERED_FIELDS)

/* announced: 0 when not known. Bytes of MSG_SIDE_DATA cost no credit: of each side body one piece is on its way. */
#define SIDE_BEGIN_FIELDS(FIELD) FIELD(u64, announced)
IPC_MESSAGE(side_begin, SIDE_BEGIN_FIELDS)
#define SIDE_DATA_FIELDS(FIELD) \
    FIELD(u64, side)            \
    FIELD(bytes, chunks)        \
    FIELD(u32, n)               \
    FIELD(u8, last)
IPC_MESSAGE(side_data, SIDE_DATA_FIELDS)

/* For a session of `role`[`instance`] on connection conn. rights: enum store_right bits. */
enum store_right { RIGHT_READ = 1, RIGHT_WRITE = 2, RIGHT_ADMIN = 4 };
#define HANDLE_OPEN_FIELDS(FIELD) \
    FIELD(bytes, name)            \
    FIELD(u16, role)              \
    FIELD(u32, instance)          \
    FIELD(u64, conn)              \
    FIELD(u32, rights)
IPC_MESSAGE(handle_open, HANDLE_OPEN_FIELDS)

#define MAILBOX_REF_FIELDS(FIELD) \
    FIELD(u64, handle)            \
    FIELD(u64, mailbox)
IPC_MESSAGE(mailbox_ref, MAILBOX_REF_FIELDS)
/* Names are UTF-8 (NFC as given), '/' between levels, "INBOX" in capitals. after: "" or the last name got. */
#define MAILBOX_LIST_FIELDS(FIELD) \
    FIELD(u64, handle)             \
    FIELD(bytes, after)
IPC_MESSAGE(mailbox_list, MAILBOX_LIST_FIELDS)
#define MAILBOX_NAME_FIELDS(FIELD) \
    FIELD(u64, handle)             \
    FIELD(bytes, name)             \
    FIELD(u32, special)
IPC_MESSAGE(mailbox_name, MAILBOX_NAME_FIELDS)
#define MAILBOX_RENAME_FIELDS(FIELD) \
    FIELD(u64, handle)               \
    FIELD(u64, mailbox)              \
    FIELD(bytes, name)
IPC_MESSAGE(mailbox_rename, MAILBOX_RENAME_FIELDS)
#define MAILBOX_SUBSCRIBE_FIELDS(FIELD) \
    FIELD(u64, handle)                  \
    FIELD(bytes, name)                  \
    FIELD(u8, on)
IPC_MESSAGE(mailbox_subscribe, MAILBOX_SUBSCRIBE_FIELDS)
/* special: bits of enum special_use (RFC 6154). mailbox 0: a level of the hierarchy without a mailbox. */
enum special_use {
    SPECIAL_ALL = 1, SPECIAL_ARCHIVE = 2, SPECIAL_DRAFTS = 4, SPECIAL_FLAGGED = 8,
    SPECIAL_JUNK = 16, SPECIAL_SENT = 32, SPECIAL_TRASH = 64, SPECIAL_IMPORTANT = 128
};
#define MAILBOX_ROW_FIELDS(FIELD) \
    FIELD(u64, mailbox)           \
    FIELD(bytes, name)            \
    FIELD(u32, special)           \
    FIELD(u8, subscribed)         \
    FIELD(u64, messages)          \
    FIELD(u64, bytes)
IPC_MESSAGE(mailbox_row, MAILBOX_ROW_FIELDS)
#define MAILBOX_STATUS_FIELDS(FIELD) \
    FIELD(u32, uidvalidity)          \
    FIELD(u32, uidnext)              \
    FIELD(u64, modseq)               \
    FIELD(u32, messages)             \
    FIELD(u32, unseen)               \
    FIELD(u32, deleted)              \
    FIELD(u32, recent_from)          \
    FIELD(u64, bytes)
IPC_MESSAGE(mailbox_status, MAILBOX_STATUS_FIELDS)
/* Numbers 1..65535 of this account, never reused. */
#define KEYWORD_ROW_FIELDS(FIELD) \
    FIELD(u16, number)            \
    FIELD(bytes, name)
IPC_MESSAGE(keyword_row, KEYWORD_ROW_FIELDS)

/* System flags of a message. keywords: packed le16 numbers, ascending. */
enum message_flag { FLAG_SEEN = 1, FLAG_ANSWERED = 2, FLAG_FLAGGED = 4, FLAG_DELETED = 8, FLAG_DRAFT = 16 };
/* from: the first uid wanted. uids: only these; empty: all. internaldate: ns since 1970. size: of the joined message. */
#define MESSAGE_LIST_FIELDS(FIELD) \
    FIELD(u64, handle)             \
    FIELD(u64, mailbox)            \
    FIELD(u32, from)               \
    FIELD(bytes, uids)
IPC_MESSAGE(message_list, MESSAGE_LIST_FIELDS)
#define MESSAGE_ROW_FIELDS(FIELD) \
    FIELD(u32, uid)               \
    FIELD(u16, flags)             \
    FIELD(u64, modseq)            \
    FIELD(u64, size)              \
    FIELD(i64, internaldate)      \
    FIELD(u64, email)             \
    FIELD(bytes, keywords)
IPC_MESSAGE(message_row, MESSAGE_ROW_FIELDS)

/* All that changed after `modseq`: new and changed messages, and expunged ones (gone 1). A modseq before
 * the horizon of remembered expunges is ST_STALE: list again. before: in the answer to MSG_FLAGS, its modseq until then. */
#define CHANGE_LIST_FIELDS(FIELD) \
    FIELD(u64, handle)            \
    FIELD(u64, mailbox)           \
    FIELD(u64, modseq)
IPC_MESSAGE(change_list, CHANGE_LIST_FIELDS)
#define CHANGE_ROW_FIELDS(FIELD) \
    FIELD(u32, uid)              \
    FIELD(u8, gone)              \
    FIELD(u8, refused)           \
    FIELD(u16, flags)            \
    FIELD(u64, modseq)           \
    FIELD(u64, size)             \
    FIELD(i64, internaldate)     \
    FIELD(u64, email)            \
    FIELD(bytes, keywords)       \
    FIELD(u64, before)
IPC_MESSAGE(change_row, CHANGE_ROW_FIELDS)

#define DIGEST_LIST_FIELDS(FIELD) \
    FIELD(u64, handle)            \
    FIELD(u64, mailbox)           \
    FIELD(bytes, uids)
IPC_MESSAGE(digest_list, DIGEST_LIST_FIELDS)
/* prefix: bytes of header that stand before the body the digest speaks of; offsets of the digest are into the body.
 * prefix_bytes: that header itself. */
#define DIGEST_ROW_FIELDS(FIELD) \
    FIELD(u32, uid)              \
    FIELD(bytes, prefix_bytes)   \
    FIELD(bytes, digest)
IPC_MESSAGE(digest_row, DIGEST_ROW_FIELDS)
/* Bytes [offset, offset + n) of the joined message; n at most STORE_READ_MAX. */
#define BODY_READ_FIELDS(FIELD) \
    FIELD(u64, handle)          \
    FIELD(u64, mailbox)         \
    FIELD(u32, uid)             \
    FIELD(u64, offset)          \
    FIELD(u32, n)
IPC_MESSAGE(body_read, BODY_READ_FIELDS)

/* Many short reads in one: the first n bytes of each message, fewer only when it is not longer; with `header`, less
 * too where its header ends. */
#define HEAD_LIST_FIELDS(FIELD) \
    FIELD(u64, handle)          \
    FIELD(u64, mailbox)         \
    FIELD(bytes, uids)          \
    FIELD(u32, n)               \
    FIELD(u8, header)
IPC_MESSAGE(head_list, HEAD_LIST_FIELDS)
#define HEAD_ROW_FIELDS(FIELD) \
    FIELD(u32, uid)            \
    FIELD(bytes, bytes)
IPC_MESSAGE(head_row, HEAD_ROW_FIELDS)

/* One message of an append. n: its bytes. keywords: packed msg_name. internaldate 0: now. */
#define APPEND_MESSAGE_FIELDS(FIELD) \
    FIELD(u64, n)                    \
    FIELD(u16, flags)                \
    FIELD(bytes, keywords)           \
    FIELD(i64, internaldate)         \
    FIELD(bytes, digest)
IPC_MESSAGE(append_message, APPEND_MESSAGE_FIELDS)
/* Into one mailbox, in this order: all of them or none (RFC 3502). messages: packed append_message, 1 to STORE_APPEND_MAX;
 * or empty, and what would stand there is list_n bytes in the chunks `list`. Their n bytes together are in `chunks`, each
 * message from a new chunk on, STORE_BODY_INLINE / SHM_CHUNK chunks at most, or when side is not 0 one behind the other in
 * that side body, which is nothing else. */
#define APPEND_FIELDS(FIELD) \
    FIELD(u64, handle)       \
    FIELD(bytes, request)    \
    FIELD(u64, mailbox)      \
    FIELD(bytes, messages)   \
    FIELD(bytes, list)       \
    FIELD(u32, list_n)       \
    FIELD(bytes, chunks)     \
    FIELD(u64, n)            \
    FIELD(u64, side)         \
    FIELD(u16, coming)
IPC_MESSAGE(append, APPEND_FIELDS)
/* uid, modseq: of the first message; those of the others follow, each one more than that before. */
#define APPENDED_FIELDS(FIELD) \
    FIELD(u32, uidvalidity)    \
    FIELD(u32, uid)            \
    FIELD(u64, modseq)
IPC_MESSAGE(appended, APPENDED_FIELDS)

/* uids, here and below: uid_run, ascending, or ST_SYNTAX. unchanged_since: UINT64_MAX for no condition (RFC 7162 3.1.3). */
enum flags_op { FLAGS_REPLACE = 0, FLAGS_ADD = 1, FLAGS_REMOVE = 2 };
#define FLAGS_CHANGE_FIELDS(FIELD) \
    FIELD(u64, handle)             \
    FIELD(u64, mailbox)            \
    FIELD(bytes, uids)             \
    FIELD(u8, op)                  \
    FIELD(u16, flags)              \
    FIELD(bytes, keywords)         \
    FIELD(u64, unchanged_since)
IPC_MESSAGE(flags_change, FLAGS_CHANGE_FIELDS)

/* request: as in deliver; asked again, it answers ST_OK and no rows. Empty: not repeatable. */
#define COPY_FIELDS(FIELD) \
    FIELD(u64, handle)     \
    FIELD(u64, mailbox)    \
    FIELD(bytes, uids)     \
    FIELD(u64, to)         \
    FIELD(u8, move)        \
    FIELD(bytes, request)
IPC_MESSAGE(copy, COPY_FIELDS)
#define COPIED_ROW_FIELDS(FIELD) \
    FIELD(u32, uidvalidity)      \
    FIELD(u32, from)             \
    FIELD(u32, uid)
IPC_MESSAGE(copied_row, COPIED_ROW_FIELDS)

/* deleted_only 1: of these uids those with \Deleted. uids empty: all of the mailbox. */
#define EXPUNGE_FIELDS(FIELD) \
    FIELD(u64, handle)        \
    FIELD(u64, mailbox)       \
    FIELD(bytes, uids)        \
    FIELD(u8, deleted_only)
IPC_MESSAGE(expunge, EXPUNGE_FIELDS)

/* upto: at most uidnext counts, and what was claimed before stays so. */
#define RECENT_CLAIM_FIELDS(FIELD) \
    FIELD(u64, handle)             \
    FIELD(u64, mailbox)            \
    FIELD(u32, upto)
IPC_MESSAGE(recent_claim, RECENT_CLAIM_FIELDS)

#define HINT_FIELDS(FIELD) \
    FIELD(u64, handle)     \
    FIELD(u64, mailbox)    \
    FIELD(u64, modseq)
IPC_MESSAGE(hint, HINT_FIELDS)

/* entries: packed queue_settled, ascending by id, at most STORE_SETTLED_MAX. */
#define QUEUE_SETTLE_FIELDS(FIELD) FIELD(bytes, entries)
IPC_MESSAGE(queue_settle, QUEUE_SETTLE_FIELDS)
/* size: of the message. arrived, due: ns since 1970. body: its number: entries of one message have the same. */
#define QUEUE_ENTRY_FIELDS(FIELD) \
    FIELD(u64, id)                \
    FIELD(u8, class)              \
    FIELD(i64, due)               \
    FIELD(u64, body)              \
    FIELD(u64, size)              \
    FIELD(i64, arrived)           \
    FIELD(u32, tries)             \
    FIELD(u8, dsn)                \
    FIELD(u8, ret)                \
    FIELD(bytes, sender)          \
    FIELD(bytes, recipient)       \
    FIELD(bytes, orcpt)           \
    FIELD(bytes, envid)           \
    FIELD(bytes, spec)
IPC_MESSAGE(queue_entry, QUEUE_ENTRY_FIELDS)
/* Bytes [offset, offset + n) of the message that waits as entry `id`; n at most STORE_READ_MAX. */
#define QUEUE_READ_FIELDS(FIELD) \
    FIELD(u64, id)               \
    FIELD(u64, offset)           \
    FIELD(u32, n)
IPC_MESSAGE(queue_read, QUEUE_READ_FIELDS)

#define UID_RUN_FIELDS(FIELD) \
    FIELD(u32, first)         \
    FIELD(u32, last)
IPC_MESSAGE(uid_run, UID_RUN_FIELDS)

/* quota: bytes, 0 none. */
#define ACCOUNT_ADD_FIELDS(FIELD) \
    FIELD(bytes, name)            \
    FIELD(u64, quota)
IPC_MESSAGE(account_add, ACCOUNT_ADD_FIELDS)
#define ACCOUNT_DELETE_FIELDS(FIELD) \
    FIELD(bytes, name)               \
    FIELD(u8, purge)
IPC_MESSAGE(account_delete, ACCOUNT_DELETE_FIELDS)
IPC_MESSAGE(account_quota, ACCOUNT_ADD_FIELDS)
#define ACCOUNT_ROW_FIELDS(FIELD) \
    FIELD(bytes, name)            \
    FIELD(u64, account)           \
    FIELD(u64, quota)             \
    FIELD(u64, bytes)             \
    FIELD(u64, messages)
IPC_MESSAGE(account_row, ACCOUNT_ROW_FIELDS)
#define DUMP_ROW_FIELDS(FIELD) \
    FIELD(bytes, key)          \
    FIELD(bytes, line)
IPC_MESSAGE(dump_row, DUMP_ROW_FIELDS)
