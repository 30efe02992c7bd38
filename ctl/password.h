/*
 * Passwords: from a terminal without echo, twice; from standard input or a file, its first
 * line. Never from the command line, where every process can see them.
 */
#pragma once
#include "base/buf.h"

/* Appends to *out, whose owner wipes it. file: NULL, "-" for standard input, or a name. */
MUST_CHECK enum status password_read(const char *file, const char *name, struct buf *out, struct err *err);
/* A whole file, of at most out->max bytes. "-": standard input. */
MUST_CHECK enum status file_read(const char *file, struct buf *out, struct err *err);
/* Overwrites and frees. */
void secret_done(struct buf *b);
#define AUTO_SECRET __attribute__((cleanup(secret_done))) struct buf
