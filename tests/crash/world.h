/*
 * What the clients of a load know: every request with the position of the tape when it was sent and when its
 * answer came, and from that what has to be in the store after a cut at any position. One account is changed
 * by one client at a time, so at most one of its changes is under way; deliveries come from others.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define LASTING   3u /* accounts that stay */
#define ACCOUNTS  5u /* and those that come and go */
#define BOXES     40u
#define UIDS      8u /* messages of one request */
#define TOKENS    8192u
#define ENTRIES   4u /* queue entries of one message, less one */
#define NAME_SIZE 64u
#define FOLDER    "Fijo" /* a mailbox that each lasting account has for ever */

enum op_kind {
    OP_DELIVER = 1,
    OP_APPEND,
    OP_FLAGS,
    OP_COPY,
    OP_MOVE,
    OP_EXPUNGE,
    OP_CREATE,
    OP_RENAME,
    OP_REMOVE,
    OP_ACCOUNT_ADD,
    OP_ACCOUNT_DELETE,
    OP_SETTLE, /* queue entries: uids[i] is token * ENTRIES + k, bit i of flags: done; new_uids[i]: tries from now on. A delivery with
                  such a list is a report: it comes with their end */
};

/* One request. */
struct op {
    enum op_kind kind;
    uint32_t account;     /* whose; of a delivery: nobody's */
    uint32_t accounts;    /* delivery: a bit for each recipient */
    bool in_folder, side; /* delivery: not into INBOX; body: as a side body */
    uint32_t token;       /* tells the message; of an append the first, of the others one more each */
    uint8_t request[16];
    uint64_t mailbox, to; /* append, create (answered): mailbox */
    uint32_t n, uids[UIDS]; /* append: n messages */
    uint8_t flags_op;
    uint16_t flags;
    char name[NAME_SIZE]; /* create, rename: the new one */
    /* the answer */
    uint64_t lsn, email, modseq;
    uint32_t uidvalidity, new_uids[UIDS];
};

enum note_kind { NOTE_SENT = 1, NOTE_ANSWERED, NOTE_SEEN, NOTE_BOX, NOTE_NAMED, NOTE_NUMBER };

/* Something that a client knows since position `at`. */
struct note {
    uint64_t at;
    enum note_kind kind;
    uint32_t op;      /* SENT, ANSWERED */
    uint32_t account; /* SEEN: a message of a delivery; BOX: a mailbox's numbers; NAMED: the number of the
                         mailbox `name`; NUMBER: that of the account, as `mailbox` */
    uint64_t mailbox, modseq;
    uint32_t uid, token; /* BOX: uidnext, uidvalidity */
    char name[NAME_SIZE];
};

struct journal {
    struct op *ops;
    struct note *notes;
    size_t n_ops, cap_ops, n_notes, cap_notes;
};
void journal_done(struct journal *j);
uint32_t journal_op(struct journal *j, const struct op *op); /* its number */
bool journal_save(const struct journal *j, const char *path);
bool journal_load(struct journal *j, const char *path);

/* --- the store as it should be --- */

struct message {
    uint32_t uid; /* 0: not known */
    uint32_t token;
    uint16_t flags;
};

struct box {
    uint64_t number; /* 0: not known */
    char name[NAME_SIZE];
    uint32_t uidvalidity, uidnext; /* 0: not known; uidnext, modseq: at least */
    uint64_t modseq;
    struct message *messages;
    size_t n, cap;
};

struct account {
    bool exists;
    uint64_t number;
    struct box boxes[BOXES];
    size_t n_boxes;
    uint64_t highest_box;        /* number that was ever told */
    uint8_t arrived[TOKENS / 8]; /* deliveries that are in, as far as known */
};

/* Queue entries: of which messages they are known to have come, which of those are done, and how often each was tried. */
struct queue_known {
    bool came[TOKENS];
    uint8_t done[TOKENS];
    uint32_t tries[TOKENS][ENTRIES];
};

struct world {
    struct queue_known queue;
    struct account accounts[ACCOUNTS];
    uint64_t highest_account;
};

const char *account_name(uint32_t account);
struct world *world_new(void);
void world_free(struct world *w);
void account_copy(struct account *to, const struct account *from);
void account_clear(struct account *a);
struct box *account_box(struct account *a, uint64_t number);
struct box *account_box_named(struct account *a, const char *name);
struct message *box_message(struct box *b, uint32_t uid);
void box_add(struct box *b, struct message m);

/* Appends a note and lets the world know it. */
void world_note(struct world *w, struct journal *j, const struct note *note);
/* The same for a note that is there. */
void world_apply(struct world *w, const struct journal *j, const struct note *note);
uint16_t append_flags(const struct op *op, uint32_t i);
/* What a request does to its account; not answered: its numbers are not known. Not for deliveries. */
void account_apply(struct account *a, const struct op *op, bool answered);

/* The message that a token stands for. It may look like a batch of the log. */
void token_body(uint32_t token, struct buf *to);
uint32_t token_entries(uint32_t token);         /* how many queue entries come with it, when it is delivered to those that stay */
void queue_settle(struct queue_known *known, const struct op *op);
bool token_is_large(uint32_t token);            /* goes as a side body */
#define PREFIX "Return-Path: <a@b.example>\r\n" /* of deliveries */
/* Is `bytes` such a message, whole? */
bool token_of(struct slice bytes, uint32_t *token);
