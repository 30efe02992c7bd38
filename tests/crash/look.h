/*
 * Looks at the accounts of a running stored as a client does, and compares with what the clients know.
 */
#pragma once
#include "store/stored_peer.h"
#include "tests/crash/world.h"

/* A mailbox as it is. */
struct sight {
    uint64_t number;
    char name[NAME_SIZE];
    struct mailbox_status status;
    struct message *messages; /* token 0: not looked at */
    uint64_t *modseqs, *sizes;
    size_t n;
};

struct view_of {
    bool exists;
    uint64_t number, handle;
    struct sight boxes[BOXES];
    size_t n_boxes;
};

/* What went wrong, in words; good until the next call. NULL: nothing did. */
typedef const char *wrong;

/* Mailboxes and messages without their tokens. */
wrong look_at_box(struct stored_peer *p, uint64_t handle, struct sight *s);
/* Reads a message and says which it is. */
wrong look_at_message(struct stored_peer *p, uint64_t handle, uint64_t mailbox, uint32_t uid,
                      uint32_t *token);
/* All of an account, tokens too; *view is empty before, and done with view_done(). */
wrong look_at_account(struct stored_peer *p, uint32_t account, struct view_of *view);
void sight_done(struct sight *s);
void view_done(struct view_of *view);

/* An OP_APPEND, or that again. list: what is told of its messages goes in chunks. */
enum status append_of(struct stored_peer *p, uint64_t handle, const struct op *op, bool list, struct appended *got);

/* What is under way at a cut. */
struct under_way {
    const struct op *deliveries[64];
    uint8_t found[64]; /* a bit for each account that has it */
    size_t n;
    const struct op *of[ACCOUNTS]; /* the change of each account, or NULL */
    const struct op *settle;       /* OP_SETTLE, or NULL */
};

/* The whole store against the world at some position, with what was under way then. */
wrong compare(struct stored_peer *p, const struct world *w, struct under_way *u);
/* Goes on after compare(): what is asked again happens once, and new numbers are new. */
wrong go_on(struct stored_peer *p, const struct world *w, const struct journal *j, uint64_t at,
            struct under_way *u, uint64_t (*random)(uint64_t n));
