/*
 * POP3 commands (RFC 1939, 2449, 2595, 5034): one line -> verb and arguments. Pure, over
 * borrowed bytes: no allocation, no I/O. logind feeds it before the password, so that every
 * byte is hostile; pop3d after it. fuzz/pop3_command.c.
 */
#pragma once
#include "base/slice.h"

#define POP3_LINE_MAX      255u   /* with CR LF (RFC 2449 4); all commands but AUTH */
#define POP3_AUTH_LINE_MAX 12288u /* of AUTH and of what answers a challenge: room for tokens */
#define POP3_MECHANISM_MAX 20u    /* RFC 4422 3.1 */
#define POP3_LANGUAGE_MAX  64u    /* of a language range */

/* In what state a command may come (RFC 1939 3). */
#define POP3_AUTHORIZATION 1u
#define POP3_TRANSACTION   2u
/* What else it needs; the dispatcher checks. */
#define POP3_CLEARTEXT 4u  /* only before TLS */
#define POP3_LAST      8u  /* nothing may be pipelined behind it */
#define POP3_SECRET    16u /* the line is never logged */

/* verb, arguments, allowed in and needs, what follows it, specified by */
#define POP3_VERBS(V)                                                                                        \
    V(USER, NAME, POP3_AUTHORIZATION, "name", "RFC 1939 7")                                                  \
    V(PASS, REST, POP3_AUTHORIZATION | POP3_SECRET, "password", "RFC 1939 7")                                \
    V(APOP, REFUSED, POP3_AUTHORIZATION | POP3_SECRET, "name digest", "RFC 1939 7")                          \
    V(AUTH, AUTH, POP3_AUTHORIZATION | POP3_SECRET, "[mechanism [initial-response]]", "RFC 5034 4")          \
    V(STLS, NONE, POP3_AUTHORIZATION | POP3_CLEARTEXT | POP3_LAST, "", "RFC 2595 4")                         \
    V(UTF8, NONE, POP3_AUTHORIZATION, "", "RFC 6856 2.1")                                                    \
    V(CAPA, NONE, POP3_AUTHORIZATION | POP3_TRANSACTION, "", "RFC 2449 5")                                   \
    V(STAT, NONE, POP3_TRANSACTION, "", "RFC 1939 5")                                                        \
    V(LIST, MAYBE_MESSAGE, POP3_TRANSACTION, "[message]", "RFC 1939 5")                                      \
    V(UIDL, MAYBE_MESSAGE, POP3_TRANSACTION, "[message]", "RFC 1939 7")                                      \
    V(RETR, MESSAGE, POP3_TRANSACTION, "message", "RFC 1939 5")                                              \
    V(TOP, MESSAGE_LINES, POP3_TRANSACTION, "message lines", "RFC 1939 7")                                   \
    V(DELE, MESSAGE, POP3_TRANSACTION, "message", "RFC 1939 5")                                              \
    V(LANG, LANGUAGE, POP3_AUTHORIZATION | POP3_TRANSACTION, "[language]", "RFC 6856 3")                     \
    V(RSET, NONE, POP3_TRANSACTION, "", "RFC 1939 5")                                                        \
    V(NOOP, NONE, POP3_TRANSACTION, "", "RFC 1939 5")                                                        \
    V(QUIT, NONE, POP3_AUTHORIZATION | POP3_TRANSACTION, "", "RFC 1939 4, 6")

enum pop3_verb {
#define POP3_VERB_ENUM(verb, arguments, allowed, usage, spec) POP3_##verb,
    POP3_VERBS(POP3_VERB_ENUM)
#undef POP3_VERB_ENUM
        POP3_VERB_COUNT
};

struct pop3_verb_row {
    const char *name;
    unsigned allowed; /* states and needs */
    const char *usage, *spec;
};

/* A command; the slices point into the parsed line. */
struct pop3_command {
    enum pop3_verb verb;
    struct slice text;      /* USER: the name; PASS: the password, spaces and all; LANG: a range, or empty */
    uint32_t message;       /* from 1; 0: none was given (LIST, UIDL) */
    uint32_t lines;         /* TOP */
    struct slice mechanism; /* AUTH; empty: a list is asked for */
    struct slice initial;   /* AUTH: still base64; "=" is an empty response (RFC 5034 4) */
    bool has_initial;
};

/* Parses a line without its CR LF. ST_NOTFOUND: no such command. With the others the verb is known,
 * and *out holds it and nothing more, for the reply and the log: ST_SYNTAX: its arguments are
 * wrong; ST_LIMIT: the line is too long; ST_UNSUPPORTED: APOP, which would need passwords kept in
 * clear text. A number too large for 32 bits is the largest, which no message has. */
MUST_CHECK enum status pop3_command_parse(struct slice line, struct pop3_command *out);

/* What is known of a verb. Static storage. */
const struct pop3_verb_row *pop3_verb_row(enum pop3_verb verb);
