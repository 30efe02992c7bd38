/*
 * The administrator's commands: one row says all that is known of one; parsing, help and
 * estafeta(8) are made from it.
 */
#pragma once
#include <stdio.h>
#include <sysexits.h>

#include "base/slice.h"

#define COMMAND_ARGS 4
#define COMMAND_OPTIONS 5

struct option_row {
    const char *name;  /* "--batch"; NULL ends the list */
    const char *value; /* "FILE", or NULL for one that is only there or not */
    const char *text;
};

struct invocation {
    const char *root;                      /* absolute */
    const char *args[COMMAND_ARGS];        /* NULL: not given */
    const char *options[COMMAND_OPTIONS];  /* in the row's order; "" for one without a value; NULL: not given */
};

struct command {
    const char *name; /* "user add" */
    const char *args; /* "NAME [SIZE]": those in brackets may be missing */
    int (*run)(const struct invocation *in); /* the exit status, sysexits(3) */
    const char *summary;                     /* one line */
    const char *manual;                      /* sentences for the manual page; may be "" */
    struct option_row options[COMMAND_OPTIONS + 1];
};

extern const struct command commands[];
extern const size_t n_commands;

/* Prints "estafeta: WORDS" on standard error and returns status. */
int fail(int status, const char *fmt, ...) PRINTF(2, 3);
/* The exit status that fits a status, for what has no better one. */
int fail_status(enum status st);
/* "estafeta: WORDS" for an err, and its exit status. */
int fail_err(const struct err *err);

/* Finds the command of argv (which begins behind the global options) and fills *in but for the root. EX_OK; or it has
 * printed why not, or the help that was asked for (*command is NULL then), and returns the exit status. */
int command_parse(int argc, char **argv, const struct command **command, struct invocation *in);
void command_help(FILE *to);
void command_help_one(const struct command *command, FILE *to);
/* estafeta(8), in man(7). */
void command_manual(FILE *to);
