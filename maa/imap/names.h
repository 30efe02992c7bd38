/*
 * The names of an account's mailboxes, all at once and sorted, and names as a session writes them: modified
 * UTF-7, or UTF-8 once it enabled that (RFC 9051 5.1).
 */
#pragma once
#include "maa/imap/session.h"

/* mailbox 0: a level without a mailbox, or a name that is only subscribed. */
struct names {
    struct buf rows[2];     /* that `at` points into */
    struct mailbox_row *at; /* ascending by name, none twice */
    size_t n;
};

/* All mailboxes (MSG_MAILBOXES), or all subscriptions (MSG_SUBSCRIPTIONS). names_done() also after a failure. */
MUST_CHECK enum status names_load(struct session *s, enum store_msg type, struct names *names);
/* Marks what is subscribed. all: also names that are no mailbox; levels: and the levels above those. */
MUST_CHECK enum status names_subscribed(struct session *s, bool all, bool levels, struct names *names);
void names_done(struct names *names);
/* Index of the first name that is not before it. */
size_t names_find(const struct names *names, struct slice name);
bool names_has(const struct names *names, struct slice name);
/* [*first, *end): the names below it. */
void names_below(const struct names *names, struct slice name, size_t *first, size_t *end);

/* A name as the session writes them. ST_SYNTAX, ST_LIMIT as imap_mailbox_decode(). */
MUST_CHECK enum status name_decode(const struct session *s, struct slice wire, struct buf *utf8);
void put_name(const struct session *s, struct buf *out, struct slice utf8);
/* Back as it was written. */
void put_wire_name(const struct session *s, struct buf *out, struct slice wire);

/* bit, its attribute, may CREATE give it (RFC 6154 2, 3; RFC 8457 4)? Those that are views of all mail may not. */
struct special {
    uint32_t bit;
    const char *name;
    bool creatable;
};
#define SPECIALS 8u
extern const struct special specials[SPECIALS];
