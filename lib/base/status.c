#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define STATUS_NAME(name, text) #name,
    STATUSES(STATUS_NAME)
#undef STATUS_NAME
};

static const char *const texts[] = {
#define STATUS_TEXT(name, text) text,
    STATUSES(STATUS_TEXT)
#undef STATUS_TEXT
};

const char *
status_name(enum status st)
{
    return (unsigned)st < ST_COUNT ? names[st] : "?";
}

const char *
status_text(enum status st)
{
    return (unsigned)st < ST_COUNT ? texts[st] : "unknown status";
}

static enum status
fill(struct err *err, enum status st, int error, const char *fmt, va_list args)
{
    int n;

    if (err == NULL)
        return st;
    err->status = st;
    n = vsnprintf(err->text, sizeof(err->text), fmt, args);
    if (n < 0)
        n = 0;
    if (error != 0 && (size_t)n < sizeof(err->text)) {
        char words[96];

        (void)snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s",
                       strerror_r(error, words, sizeof(words)));
    }
    for (char *c = err->text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return st;
}

enum status
err_set(struct err *err, enum status st, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)fill(err, st, 0, fmt, args);
    va_end(args);
    return st;
}

enum status
err_sys(struct err *err, const char *fmt, ...)
{
    int error = errno;
    enum status st = error == ENOSPC || error == EDQUOT ? ST_NOSPACE : ST_IO;
    va_list args;

    va_start(args, fmt);
    (void)fill(err, st, error, fmt, args);
    va_end(args);
    return st;
}

enum status
err_unknown(struct err *err, const char *fmt, ...)
{
    int error = errno;
    va_list args;

    va_start(args, fmt);
    (void)fill(err, ST_UNKNOWN, error, fmt, args);
    va_end(args);
    return ST_UNKNOWN;
}
