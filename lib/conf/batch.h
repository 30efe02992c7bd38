/*
 * The file of "estafeta user add --batch FILE": a line for an account, its name and its
 * password. Pure; no I/O. An administrator writes it, perhaps with a script.
 *
 *     line = *WSP [ "#" *any / name 1*WSP password ] [ CR ] LF
 *
 * The password is all that follows the white space, to the line's end: it may hold spaces
 * and "#", and a space at its end belongs to it. A comment stands on a line of its own.
 */
#pragma once
#include "base/slice.h"

#define BATCH_NAME_MAX     254u /* an address, RFC 5321 4.5.3.1.3 less the angle brackets */
#define BATCH_PASSWORD_MAX 1024u

struct batch {
    const char *file;
    struct slice rest;
    size_t line; /* of the row last returned */
};

/* Both slices point into the text; the caller wipes the text when it has done with it. */
struct batch_row {
    struct slice name, password;
};

void batch_init(struct batch *b, const char *file, struct slice text);
/* ST_OK and a row; ST_NOTFOUND at the end; ST_SYNTAX or ST_LIMIT with "FILE:LINE: ...", which
 * never shows a password. After a failure the next call goes on with the next line. */
MUST_CHECK enum status batch_next(struct batch *b, struct batch_row *row, struct err *err);
