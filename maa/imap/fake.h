/*
 * The programs around imapd, for its tests: estafetad, edged, logind, authd, mdad, clients, and a stored that
 * keeps its mail in memory. A test gives fake_main() its conversation, which runs on a fiber beside imapd.
 */
#pragma once
#include "base/test.h"
#include "ipc/program.h"
#include "net/stream.h"
#include "store/request.h"

#define BOXES    64u
#define MESSAGES 5000u
#define WATCHES  64u

struct mail {
    uint32_t uid;
    uint16_t flags;
    uint64_t modseq;
    int64_t date;
    bool gone, no_digest;
    struct buf keywords, body;
};

struct box {
    uint64_t id;
    char name[64];
    bool subscribed;
    uint32_t uidvalidity, uidnext, special, recent_from;
    struct mail *mails;
    uint32_t n;
};

extern struct fake {
    struct box boxes[BOXES];
    uint32_t n;
    char keywords[16][32];
    uint32_t n_keywords;
    uint64_t modseq, next_id, handle;
    struct {
        uint64_t handle, mailbox;
    } watches[WATCHES];
    uint32_t n_watches;
    unsigned rows_asked; /* MSG_MESSAGES */
    unsigned copies;
    bool page_small; /* answers have few rows */
    uint32_t recent_from; /* of all mailboxes, unless `recents` */
    bool recents;         /* each has its own, which claims move */
    bool claims_fail;
    uint64_t horizon; /* expunges up to here are forgotten */
} fake;


extern struct loop *loop;
extern struct channel *control, *store;
extern unsigned done_count, taken_count; /* MSG_CONN_DONE, MSG_CONN_TAKEN */
extern bool refuse_tickets, mdad_fails, no_space;
extern unsigned sides_dropped;

struct box *box_named(struct slice name);
struct box *add_box(struct slice name);
/* All mailboxes go, and numbers begin anew. */
void no_boxes(void);
struct mail *add_mail(struct box *b, struct slice body);
void hint_all(struct box *b);
void give_credit(uint64_t n);
/* A new channel of that role to imapd, as the master makes one. */
struct channel *peer(enum role role);

/* --- clients --- */

uint64_t soon(void);
/* A connection that logind hands over, with bytes read and not used. */
void connect_client(struct stream *client, uint64_t conn, const char *unread);
/* What is said next is exactly that. */
void hears_at(int line, struct stream *client, const char *want);
void says_at(int line, struct stream *client, const char *text, const char *want);
/* Reads what is left of this answer; for answers that are judged by a part of them. */
void answers_with_at(int line, struct stream *client, const char *text, const char *end, const char *part);
#define HEARS(client, want) hears_at(__LINE__, (client), (want))
#define SAYS(client, text, want) says_at(__LINE__, (client), (text), (want))
#define ANSWERS_WITH(client, text, end, part) answers_with_at(__LINE__, (client), (text), (end), (part))

#define HELLO                                                                                                \
    "l OK [CAPABILITY IMAP4rev1"                                                                             \
    " IMAP4rev2"                                                                                             \
    " LITERAL+"                                                                                              \
    " ID"                                                                                                    \
    " ENABLE"                                                                                                \
    " NAMESPACE"                                                                                             \
    " CHILDREN"                                                                                              \
    " UIDPLUS MULTIAPPEND"                                                                                   \
    " MOVE"                                                                                                  \
    " UNSELECT"                                                                                              \
    " IDLE"                                                                                                  \
    " SPECIAL-USE"                                                                                           \
    " CREATE-SPECIAL-USE"                                                                                    \
    " LIST-EXTENDED"                                                                                         \
    " LIST-STATUS"                                                                                           \
    " STATUS=SIZE"                                                                                           \
    " CONDSTORE"                                                                                             \
    " QRESYNC"                                                                                               \
    " ESEARCH"                                                                                               \
    " SEARCHRES"                                                                                             \
    " WITHIN"                                                                                                \
    " BINARY"                                                                                                \
    " UTF8=ACCEPT"                                                                                           \
    " COMPRESS=DEFLATE"                                                                                      \
    " APPENDLIMIT=52428800"                                                                                  \
    "] Logged in\r\n"
#define FLAGS_LINE(keywords) "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft" keywords ")\r\n"
#define PERMANENT(keywords)                                                                                  \
    "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft" keywords " \\*)] Limited\r\n"


/* argv[1] is imapd. */
int fake_main(int argc, char **argv, void (*conversation)(void));
