/*
 * Parameters that extensions add to commands (RFC 4466): LIST with options, CREATE with a use, SELECT with
 * CONDSTORE and QRESYNC, modifiers of FETCH and STORE; and what ID and ENABLE take.
 *
 * As args.h: all of a command's args; ST_SYNTAX, ST_LIMIT, ST_MEMORY with *why, static; results point into the
 * input or the arena.
 */
#pragma once
#include "imap/args.h"

/* RFC 5258 3.1, 3.2; RFC 6154 2; RFC 5819 2. */
enum {
    IMAP_SELECT_SUBSCRIBED = 1,
    IMAP_SELECT_SPECIAL = 2,
    IMAP_SELECT_REMOTE = 4,
    IMAP_SELECT_RECURSIVE = 8,
};
enum {
    IMAP_GIVE_SUBSCRIBED = 1,
    IMAP_GIVE_SPECIAL = 2,
    IMAP_GIVE_CHILDREN = 4,
    IMAP_GIVE_STATUS = 8,
};
enum { IMAP_PATTERNS_MAX = 100, IMAP_USES_MAX = 8, IMAP_ID_PAIRS_MAX = 30 };

struct imap_list_options {
    struct slice reference;
    struct slice *patterns;
    size_t n;
    bool extended;   /* in any of its three ways */
    unsigned select; /* IMAP_SELECT bits */
    unsigned give;   /* IMAP_GIVE bits */
    uint32_t status; /* with IMAP_GIVE_STATUS: 1u << enum imap_status_item */
};
MUST_CHECK enum status imap_args_list_options(struct slice args, struct arena *a, struct imap_list_options *out,
                                              const char **why);

/* CREATE name [(USE (\Sent ...))] (RFC 6154 3) */
struct imap_create {
    struct slice mailbox;
    struct slice uses[IMAP_USES_MAX]; /* with their backslash */
    size_t n;
};
MUST_CHECK enum status imap_args_create(struct slice args, struct arena *a, struct imap_create *out,
                                        const char **why);

/* SELECT name [(CONDSTORE)] or [(QRESYNC (uidvalidity modseq [uids [(seqs uids)]]))] (RFC 7162 3.1.8, 3.2.5) */
struct imap_select {
    struct slice mailbox;
    bool condstore, qresync;
    uint32_t uidvalidity;
    uint64_t modseq;
    bool has_known, has_match;
    struct imap_seqset known, match_seqs, match_uids; /* none with "*" */
};
MUST_CHECK enum status imap_args_select(struct slice args, struct arena *a, struct imap_select *out,
                                        const char **why);

/* Eats " (CHANGEDSINCE 7 VANISHED)" from FETCH's args (RFC 7162 3.1.4.1, 3.2.6). Untouched when there is none. */
struct imap_fetch_modifiers {
    bool changed_since, vanished;
    uint64_t modseq;
};
MUST_CHECK enum status imap_take_fetch_modifiers(struct slice *in, struct imap_fetch_modifiers *out,
                                                 const char **why);

/* mod-sequence-valzer: up to 63 bits (RFC 7162 7). */
MUST_CHECK enum status imap_take_modseq(struct slice *in, uint64_t *out);

/* "(MESSAGES UIDNEXT)" */
MUST_CHECK enum status imap_take_status_items(struct slice *in, uint32_t *items, const char **why);

/* ID: NIL, or pairs of a string and a nstring (RFC 2971 3.1); what they say matters to nobody here. */
MUST_CHECK enum status imap_args_id(struct slice args, struct arena *a, const char **why);
