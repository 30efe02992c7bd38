/*
 * SEARCH (RFC 3501 6.4.4, RFC 4731, RFC 5032, RFC 5182) as a bounded program: nodes in prefix order, each
 * knowing where its subtree ends. Parsing is pure; evaluation asks the caller
 * about one leaf at a time and skips what no longer matters.
 */
#pragma once
#include "base/arena.h"
#include "imap/args.h"

enum { IMAP_SEARCH_NODES_MAX = 1000, IMAP_SEARCH_DEPTH_MAX = 32 };

enum imap_search_op {
    /* inner */
    IMAP_S_AND, /* of all children; of none: true */
    IMAP_S_OR,  /* of two */
    /* leaves */
    IMAP_S_ALL,
    IMAP_S_FLAGS,    /* has all the IMAP_FLAG bits of `number` */
    IMAP_S_KEYWORD,  /* text */
    IMAP_S_SEQ,      /* set, of sequence numbers */
    IMAP_S_UID,      /* set, of UIDs */
    IMAP_S_LARGER,   /* number */
    IMAP_S_SMALLER,  /* number */
    IMAP_S_BEFORE,   /* number: days since 1970; INTERNALDATE */
    IMAP_S_ON,
    IMAP_S_SINCE,
    IMAP_S_OLDER, /* number: seconds before now; INTERNALDATE (RFC 5032 2) */
    IMAP_S_YOUNGER,
    IMAP_S_MODSEQ, /* number: at least this (RFC 7162 3.1.5) */
    IMAP_S_SENTBEFORE, /* the Date: field */
    IMAP_S_SENTON,
    IMAP_S_SENTSINCE,
    IMAP_S_HEADER, /* field `name` contains text; empty text: the field is there */
    IMAP_S_BODY,   /* text */
    IMAP_S_TEXT,   /* text */
};

struct imap_search_node {
    enum imap_search_op op;
    bool negate;
    uint32_t end; /* index of the first node after this subtree */
    int64_t number;
    struct slice name, text;
    struct imap_seqset set; /* resolve before evaluating */
};

/* What the leaves need to be known of a message, cheapest first. */
enum { IMAP_NEEDS_ROW = 1, IMAP_NEEDS_HEADER = 2, IMAP_NEEDS_BODY = 4 };

enum { IMAP_RETURN_MIN = 1, IMAP_RETURN_MAX = 2, IMAP_RETURN_ALL = 4, IMAP_RETURN_COUNT = 8, IMAP_RETURN_SAVE = 16 };

struct imap_search {
    struct imap_search_node *nodes; /* the first is the whole: an AND */
    size_t n;
    unsigned needs;
    struct slice charset; /* of the texts, as named; p NULL: none was */
    bool extended;        /* RETURN was there: the answer is ESEARCH */
    unsigned returns;     /* of IMAP_RETURN_*; "RETURN ()" is ALL (RFC 4731 3.1) */
    bool modseq;          /* a key asks for it, so the answer tells one */
};

/* All of SEARCH's args. ST_SYNTAX, ST_LIMIT, ST_MEMORY; *why is static. */
MUST_CHECK enum status imap_args_search(struct slice args, struct arena *a, struct imap_search *out,
                                        const char **why);
/* Puts the largest sequence number and UID in the place of "*". */
void imap_search_resolve(struct imap_search *s, uint32_t max_seq, uint32_t max_uid);
/* leaf() answers without regard to `negate`. Cheap leaves of an AND are best tried before any text is read:
 * leaf() may answer a node "cannot tell yet" with -1, and then so may the whole (three-valued logic). */
int imap_search_eval(const struct imap_search *s, int (*leaf)(void *ctx, const struct imap_search_node *node),
                     void *ctx);
