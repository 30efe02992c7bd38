/*
 * imapd's sessions: one connection after the password. A session that waits is this struct
 * and the runs of its mailbox's UIDs; a fiber, buffers and rows of messages are
 * there only while a command runs. Files of this folder: session.c (life, commands,
 * replies), ask.c (stored, authd), select.c (the selected mailbox and what is told of it),
 * mailbox.c, list.c, names.c, fetch.c, message.c, store.c, search.c, append.c.
 */
#pragma once
#include "base/arena.h"
#include "conf/tables.h"
#include "imap/args.h"
#include "imap/command.h"
#include "imap/params.h"
#include "ipc/program.h"
#include "maa/imap/uidset.h"
#include "net/stream.h"
#include "store/request.h"

#define BADS_MAX      10u            /* refused commands in a row until BYE */
#define COMMAND_MAX   (512u * 1024u) /* a command with its literals, APPEND's message aside */
#define LINE_MAX_     (64u * 1024u)  /* RFC 7162 4 wants 8192 at least; sets of UIDs are long */
#define COMMAND_ARENA (8u << 20)     /* what a command's arguments may cost */
#define NAMES_MAX     (16u << 20)    /* bytes of a list of mailboxes */
#define OUTPUT_TIME   SECONDS(300)   /* how long a client may take nothing of what is sent to it */
#define ASK_TIME      SECONDS(60)
#define FLUSH_TEXT    (16u * 1024u) /* text gathered before it goes to the stream */

/* What all sessions of an account share; lives while there is one. */
struct account {
    struct account *next;
    unsigned sessions;
    struct buf user;     /* "usr1@dominio.com.uy" */
    struct buf rows;     /* of MSG_KEYWORDS */
    struct slice *names; /* by number; into rows. p NULL: no such keyword */
    uint32_t n_names, keywords;
};

/* The mailbox that is selected. */
struct selected {
    uint64_t id;
    uint32_t uidvalidity;
    uint32_t recent_from;
    uint32_t claimed; /* other sessions do not see what is below as \Recent */
    uint32_t told;    /* above all UIDs that were told */
    uint64_t modseq;   /* all up to here was told, but for `gone` */
    uint64_t gone_low; /* of what is in `gone`, the lowest; 0: none is */
    bool read_only;
    struct uidset view; /* as the client knows it */
    struct uidset gone; /* of view: expunged, and not yet told */
    struct uidset saved; /* "$": what SEARCH RETURN (SAVE) found last (RFC 5182 2.1) */
    struct buf own;     /* struct own_change: what this session changed and told, until modseq passes it */
};

struct session {
    struct stream stream;
    struct imap_reader reader;
    struct session *next, **link; /* of all */
    struct session *by_handle;    /* of its bucket */
    uint64_t conn, handle;
    uint32_t epoch;  /* of stored, in which the handle was opened */
    uint32_t rights; /* enum store_right */
    struct account *account;
    struct wait *turn;   /* of who waits until `busy` ends */
    struct buf idle_tag; /* of the IDLE that waits for DONE */
    unsigned state;      /* IMAP_AUTH or IMAP_SELECTED */
    unsigned bads;
    unsigned enabled;       /* of enum enabled */
    uint32_t keywords_told; /* of account->keywords, in the last FLAGS */
    bool busy;              /* a fiber works for it */
    bool hinted;            /* something changed: ask MSG_CHANGES */
    bool over;              /* nothing more is read */
    struct selected box;
};

/* What a client switched on, by ENABLE or by using it, for the rest of the session. */
enum enabled { ENABLED_REV2 = 1, ENABLED_UTF8 = 2, ENABLED_CONDSTORE = 4, ENABLED_QRESYNC = 8 };

/* What is told before a command's tagged answer: nothing, no EXPUNGE (RFC 3501 7.4.1), all. */
enum tell { TELL_NOTHING, TELL_NO_EXPUNGE, TELL_ALL };

/* A command that runs. */
struct command {
    struct imap_command in;
    struct arena arena;
    struct buf answer; /* "OK NOOP completed"; empty: it was answered already, or the session is over */
    struct buf text;   /* output being gathered */
};

extern struct imapd {
    struct imap_settings settings;
    uint32_t epoch; /* counts stored's processes */
    struct session *sessions;
    struct session *resume_at; /* where watch_again() goes on; session_end() keeps it right */
    size_t n_sessions;
    bool stopping;
    uint64_t bytes_in, bytes_out, commands;
} imapd;

/* --- session.c --- */
/* Takes fd. tag: of the login command. Runs on a fiber. */
void session_begin(int fd, const struct msg_conn *facts, struct slice ticket, struct slice tag,
                   struct slice unread);
/* A command that turns CONDSTORE on came (RFC 7162 3.1): the first of them in a mailbox tells HIGHESTMODSEQ. */
void enable_condstore(struct session *s, struct buf *out);
/* Something changed: tells an idling session now, others at their next command. */
void session_hint(struct session *s);
/* The same on the caller's fiber. `s` may be gone after it. */
void session_tell(struct session *s);
struct session *session_by_handle(uint64_t handle);
void session_set_handle(struct session *s, uint64_t handle);
/* Ends it soon. Never waits. */
void session_bye(struct session *s, const char *text);
/* Adds to the output; waits while the client is slow. After a failure the session is over. */
void session_put(struct session *s, struct slice bytes);
/* The same for gathered text, which it empties; only when there is much of it, or when `now`. */
void session_put_text(struct session *s, struct buf *text, bool now);
void answer(struct command *c, const char *fmt, ...) PRINTF(2, 3);
void answer_bad(struct session *s, struct command *c, const char *why);
/* NO with a response code of RFC 5530. */
void answer_status(struct command *c, enum status st);
/* For parsers: BAD, or NO [LIMIT] for what is only too large. */
void answer_parse(struct session *s, struct command *c, enum status st, const char *why);
/* A command that could not be read to its end: st and reader.why. */
void answer_unread(struct session *s, struct command *c, enum status st);
void put_capabilities(struct buf *out);

/* --- ask.c --- */
/* Asks stored. The request in m begins with the handle, as all do; a new one is put there when stored was
 * restarted. again: it may be asked twice. ST_STALE: the mailbox is gone. Never ST_CLOSED. */
MUST_CHECK enum status session_ask(struct session *s, enum store_msg type, struct buf *m, struct buf *reply,
                                   bool again);
/* Rows of a reply. ST_CORRUPT. */
MUST_CHECK enum status take_rows(const struct buf *reply, struct slice *rows, bool *more);
/* A mailbox by its name as a client wrote it. ST_NOTFOUND; ST_SYNTAX: no name. row->name points into *reply.
 * A level without a mailbox is ST_NOTFOUND too, unless `levels`. */
MUST_CHECK enum status find_mailbox(struct session *s, struct slice name, bool levels, struct buf *reply,
                                    struct mailbox_row *row);
MUST_CHECK enum status mailbox_status_of(struct session *s, uint64_t mailbox, struct mailbox_status *out);
/* Loads the account's keywords. */
MUST_CHECK enum status load_keywords(struct session *s);
struct account *account_get(struct slice user);
void account_put(struct account *a);

/* Messages of a set, in order, in batches. Rows are filtered: only UIDs of the set, ascending. */
struct cursor {
    struct session *s;
    enum store_msg type;     /* MSG_MESSAGES, MSG_DIGESTS or MSG_HEADS */
    const struct uidset *of; /* outlives the cursor */
    uint32_t batch;          /* messages of one request */
    uint32_t head;           /* of MSG_HEADS: bytes of each */
    uint32_t from, next;     /* of this request, of the next one; 0: none is left */
    uint32_t last;           /* delivered */
    uint32_t asked_after;
    bool asked, more; /* more: of this request */
    struct buf reply;
    struct slice rest; /* of reply */
    enum status st;    /* why it ended, when not ST_OK */
};
#define CURSOR(session, kind, uids, most)                                                                    \
    {                                                                                                        \
        .s = (session), .type = (kind), .of = (uids), .batch = (most),                                       \
        .next = (uids)->n > 0 ? (uids)->runs[0].first : 0, .reply = BUF_INIT(IPC_PAYLOAD_MAX + 64)           \
    }
#define AUTO_CURSOR __attribute__((cleanup(cursor_done))) struct cursor
void cursor_done(struct cursor *c);
bool next_message(struct cursor *c, struct message_row *row);
bool next_digest(struct cursor *c, struct digest_row *row);
bool next_head(struct cursor *c, struct head_row *row);

/* --- select.c --- */
void box_done(struct session *s); /* nothing is selected any more; tells stored */
/* RFC 3501 2.3.2: what was told here is not \Recent for who comes later. Does not wait. */
void claim_told(struct session *s);
/* Tells what changed, if anything: untagged EXISTS, FETCH and, with `expunges`, EXPUNGE. False: it could not
 * be asked now, and s->hinted stays. */
bool tell_changes(struct session *s, bool expunges);
/* Tells that these are gone, highest first so that numbers stay right, and takes them out of the view. */
void tell_gone(struct session *s, const struct uidset *gone);
/* This session made a message so, and told it. */
void remember_own(struct session *s, uint32_t uid, uint64_t modseq);
/* This session made a message so, which its client knows without being told, unless somebody else had changed it
 * from what the client knows: `before` is the mod-sequence that it had. Else it is told as others' changes are. */
void remember_untold(struct session *s, uint32_t uid, uint64_t before, uint64_t modseq);
/* Sees to it that all these keywords have names and that the client was told of them. May wait and put. */
void prepare_keywords(struct session *s, struct slice keywords);
/* "FLAGS (\Seen a)" */
void put_flags(struct session *s, struct buf *out, uint32_t uid, uint16_t flags, struct slice keywords);
/* "* 3 FETCH (UID 7 FLAGS (...))" CR LF; nothing when it is not in the view. */
void tell_flags(struct session *s, struct buf *out, uint32_t uid, uint16_t flags, struct slice keywords,
                uint64_t modseq);
/* The messages that a set names, without those that are gone. *missing: some were. ST_SYNTAX: a number past
 * the mailbox. ST_MEMORY. */
MUST_CHECK enum status select_messages(struct session *s, struct imap_seqset *set, bool by_uid,
                                       struct uidset *out, bool *missing);

/* --- mailbox.c --- */
/* " (MESSAGES 3 UIDNEXT 7)" CR LF; wanted: 1u << enum imap_status_item. */
void put_status_items(struct buf *out, uint32_t wanted, const struct mailbox_status *got);

/* --- store.c --- */
/* keywords: packed msg_name. */
struct flag_change {
    enum flags_op op;
    uint16_t flags;
    struct slice keywords;
    uint64_t unchanged_since; /* UINT64_MAX: no condition (RFC 7162 3.1.3) */
    bool silent;              /* only mod-sequences are told, and only who wants them */
    struct uidset done;       /* those of which stored spoke, whose change is this session's own */
    struct uidset modified;   /* those that failed the condition: they were told */
};
/* Changes flags; tells the new ones into out unless that is NULL. done and modified: the caller's to free, always. */
MUST_CHECK enum status change_flags(struct session *s, const struct uidset *of, struct flag_change *change,
                                    struct buf *out);

/* --- resync.c --- */
/* UIDs that changed after modseq, and those that went and are not in the view. Both: the caller's, always. */
MUST_CHECK enum status changes_since(struct session *s, uint64_t modseq, struct uidset *changed,
                                     struct uidset *gone);
/* "* VANISHED (EARLIER) 7:9": of `gone` those in `among` (resolved; NULL: all) and above that UID. */
MUST_CHECK enum status put_vanished_earlier(struct session *s, const struct uidset *gone,
                                            const struct imap_seqset *among, uint32_t above, struct buf *out);
/* What SELECT (QRESYNC (...)) asks for, after the mailbox was opened (RFC 7162 3.2.5). */
MUST_CHECK enum status put_resync(struct session *s, struct imap_select *want, struct buf *out);

/* Packed msg_name. */
struct slice pack_keywords(struct arena *a, const struct imap_flags *flags);

/* --- commands --- */
typedef void command_run(struct session *s, struct command *c);
command_run on_select, on_close, on_unselect;
command_run on_create, on_delete, on_rename, on_subscribe, on_list, on_lsub, on_status, on_namespace;
command_run on_fetch, on_search, on_store, on_copy, on_expunge;
/* APPEND reads its messages from the stream; n, sync: the first one's bytes, and does the client wait for "+ "? */
void run_append(struct session *s, struct command *c, uint64_t n, bool sync);
