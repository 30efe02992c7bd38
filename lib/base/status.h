/*
 * How things fail. A status says what kind of failure it is, and is all that
 * code branches on; a struct err says in words what happened, and is all that
 * people read. Neither allocates.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* name, what it means to a caller. The numbers travel between programs (u16):
 * append, never renumber. */
#define STATUSES(S)                                                          \
    S(OK, "done")                                                            \
    S(MORE, "not yet: feed more bytes, or ask for the next slice")           \
    S(SYNTAX, "the input breaks its grammar")                                \
    S(LIMIT, "a named limit was passed")                                     \
    S(NOTFOUND, "no such thing")                                             \
    S(EXISTS, "there already is one")                                        \
    S(DENIED, "not allowed to this caller")                                  \
    S(STATE, "not now: wrong order of requests")                             \
    S(QUOTA, "the owner's quota would be passed")                            \
    S(NOSPACE, "the disk, or what is reserved of it, is full")               \
    S(IO, "the system said no; it did not happen")                           \
    S(UNKNOWN, "the system said no; it may or may not have happened")        \
    S(CORRUPT, "stored bytes are damaged")                                   \
    S(TIMEOUT, "the deadline passed")                                        \
    S(CANCELLED, "the waiter was told to stop")                              \
    S(CLOSED, "the other side is gone")                                      \
    S(UNAVAILABLE, "cannot be answered now; try later")                      \
    S(UNSUPPORTED, "known, but not offered here")                            \
    S(MEMORY, "no memory within the budget")                                 \
    S(STALE, "the handle, ticket or number is no longer good")               \
    S(MODIFIED, "a condition on the present state does not hold")            \
    S(NEWER, "written by a newer version of this system")                    \
    S(WEAK, "known, but too weak for what policy asks")

enum status {
#define STATUS_ENUM(name, text) ST_##name,
    STATUSES(STATUS_ENUM)
#undef STATUS_ENUM
        ST_COUNT
};

/* "ST_QUOTA" -> "QUOTA"; any unknown number -> "?". Static storage. */
const char *status_name(enum status st);
/* What it means, for logs. Static storage. */
const char *status_text(enum status st);

/* What happened, filled where the cause is known. Zero-initialise it. A NULL
 * struct err * is accepted everywhere and only loses the words. */
struct err {
    enum status status;
    char text[256]; /* NUL-terminated, no line ends */
};

/* Each returns the status it sets, so that `return err_set(...)` reads well. */
enum status err_set(struct err *err, enum status st, const char *fmt, ...) PRINTF(3, 4);
/* ST_NOSPACE for ENOSPC and EDQUOT, else ST_IO; the text ends in strerror(errno). */
enum status err_sys(struct err *err, const char *fmt, ...) PRINTF(2, 3);
/* ST_UNKNOWN, the text ends in strerror(errno). */
enum status err_unknown(struct err *err, const char *fmt, ...) PRINTF(2, 3);
