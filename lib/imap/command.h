/*
 * IMAP commands: a reader that collects one command with its literals from the
 * bytes of the client, and the parse of its tag and name. Knows no socket: the
 * caller feeds bytes, sends "+ " when told to, and answers.
 *
 * The messages of an APPEND are not collected: the reader stops in front of each and
 * the caller streams it (body_n bytes), then says imap_reader_body_done() and feeds on:
 * the end of the command comes next, or another message (RFC 3502).
 */
#pragma once
#include "base/buf.h"
#include "imap/token.h"

struct imap_limits {
    size_t line;     /* one line with its CR LF */
    size_t command;  /* a command with its literals */
    size_t nonsync;  /* one "{n+}" literal, APPEND's message aside (RFC 7888 5 allows 4096 for LITERAL-) */
    unsigned literals; /* in one command */
    uint64_t body;   /* the message of an APPEND; 0: there is no such thing yet (before the password) */
};

struct imap_reader {
    struct imap_limits limits;
    struct buf text;   /* what there is of the command */
    size_t line;       /* where its last line begins in text */
    uint64_t left;     /* of the literal being read */
    unsigned literals; /* seen in this command */
    bool go_ahead;     /* after ST_MORE: send "+ " */
    bool fatal;        /* after a failure: what follows cannot be told apart from commands; reply and close */
    bool body;         /* after ST_OK: a message of an APPEND comes next */
    bool body_sync;    /*   when the client waits for "+ " */
    bool body_utf8;    /*   when it is "UTF8 (~{n}": a ")" follows it (RFC 6855 4) */
    bool after_body;   /* what follows a message of an APPEND is read */
    uint64_t body_n;
    const char *why;   /* after a failure: a reply's text. Static storage */
};

void imap_reader_init(struct imap_reader *r, struct imap_limits limits);
void imap_reader_done(struct imap_reader *r);
/* Eats from *in, never past the command's end.
 * ST_MORE: all eaten, feed more; or go_ahead: send "+ ", feed the rest (of a client that did not wait for it). ST_OK: imap_reader_text() is a command.
 * ST_SYNTAX, ST_LIMIT: `why` tells; unless `fatal` the next command may follow after imap_reader_next(). */
MUST_CHECK enum status imap_reader_feed(struct imap_reader *r, struct slice *in);
/* The command without its last CR LF; of an APPEND, what is before the message's "{" or "~{", from the message before it on.
 * Good until the next call. */
struct slice imap_reader_text(const struct imap_reader *r);
/* For replies about what could not be parsed: the tag if there is one, else "*". */
struct slice imap_reader_tag(const struct imap_reader *r);
/* The body's bytes were taken by the caller: ST_OK from feed then means that the command ended there, unless `body` again. */
void imap_reader_body_done(struct imap_reader *r);
/* Ready for another command; gives memory back. */
void imap_reader_next(struct imap_reader *r);

/* When a command is allowed (RFC 3501 3). */
enum { IMAP_BEFORE = 1, IMAP_AUTH = 2, IMAP_SELECTED = 4, IMAP_ANY = 7, IMAP_IN = IMAP_AUTH | IMAP_SELECTED };
/* NONE: no arguments. SOME: there must be. MAYBE: either. */
enum imap_has_args { IMAP_ARGS_NONE, IMAP_ARGS_SOME, IMAP_ARGS_MAYBE };

/* name, states, arguments, may follow UID, specified by */
#define IMAP_VERBS(V)                                              \
    V(CAPABILITY, IMAP_ANY, NONE, false, "RFC 3501 6.1.1")         \
    V(NOOP, IMAP_ANY, NONE, false, "RFC 3501 6.1.2")               \
    V(LOGOUT, IMAP_ANY, NONE, false, "RFC 3501 6.1.3")             \
    V(ID, IMAP_ANY, SOME, false, "RFC 2971 3.1")                   \
    V(STARTTLS, IMAP_BEFORE, NONE, false, "RFC 3501 6.2.1")        \
    V(AUTHENTICATE, IMAP_BEFORE, SOME, false, "RFC 3501 6.2.2")    \
    V(LOGIN, IMAP_BEFORE, SOME, false, "RFC 3501 6.2.3")           \
    V(ENABLE, IMAP_IN, SOME, false, "RFC 5161 3.1")                \
    V(SELECT, IMAP_IN, SOME, false, "RFC 3501 6.3.1")              \
    V(EXAMINE, IMAP_IN, SOME, false, "RFC 3501 6.3.2")             \
    V(CREATE, IMAP_IN, SOME, false, "RFC 3501 6.3.3")              \
    V(DELETE, IMAP_IN, SOME, false, "RFC 3501 6.3.4")              \
    V(RENAME, IMAP_IN, SOME, false, "RFC 3501 6.3.5")              \
    V(SUBSCRIBE, IMAP_IN, SOME, false, "RFC 3501 6.3.6")           \
    V(UNSUBSCRIBE, IMAP_IN, SOME, false, "RFC 3501 6.3.7")         \
    V(LIST, IMAP_IN, SOME, false, "RFC 3501 6.3.8")                \
    V(LSUB, IMAP_IN, SOME, false, "RFC 3501 6.3.9")                \
    V(STATUS, IMAP_IN, SOME, false, "RFC 3501 6.3.10")             \
    V(APPEND, IMAP_IN, SOME, false, "RFC 3501 6.3.11")             \
    V(NAMESPACE, IMAP_IN, NONE, false, "RFC 2342 5")               \
    V(IDLE, IMAP_IN, NONE, false, "RFC 2177 3")                    \
    V(CHECK, IMAP_SELECTED, NONE, false, "RFC 3501 6.4.1")         \
    V(CLOSE, IMAP_SELECTED, NONE, false, "RFC 3501 6.4.2")         \
    V(UNSELECT, IMAP_SELECTED, NONE, false, "RFC 3691 2")          \
    V(EXPUNGE, IMAP_SELECTED, MAYBE, true, "RFC 3501 6.4.3")       \
    V(SEARCH, IMAP_SELECTED, SOME, true, "RFC 3501 6.4.4")         \
    V(FETCH, IMAP_SELECTED, SOME, true, "RFC 3501 6.4.5")          \
    V(STORE, IMAP_SELECTED, SOME, true, "RFC 3501 6.4.6")          \
    V(COPY, IMAP_SELECTED, SOME, true, "RFC 3501 6.4.7")           \
    V(MOVE, IMAP_SELECTED, SOME, true, "RFC 6851 3.1")             \
    V(COMPRESS, IMAP_IN, SOME, false, "RFC 4978 3")

enum imap_verb {
#define IMAP_VERB_ENUM(name, states, args, uid, spec) IMAP_##name,
    IMAP_VERBS(IMAP_VERB_ENUM)
#undef IMAP_VERB_ENUM
        IMAP_VERB_COUNT
};

struct imap_command {
    struct slice tag;
    enum imap_verb verb;
    bool uid;
    unsigned states;   /* where it is allowed; the dispatcher compares */
    struct slice args; /* after the name and one space; empty when there are none */
};

/* A whole text as collected. On ST_SYNTAX or ST_LIMIT *why is a reply's text (static), and cmd->tag is set
 * when there was a tag, else "*". */
MUST_CHECK enum status imap_command_parse(struct slice text, struct imap_command *cmd, const char **why);
const char *imap_verb_name(enum imap_verb verb);
