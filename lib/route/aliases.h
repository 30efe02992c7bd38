/*
 * The text of an alias file, as aliases(5) has it:
 *
 *     entry = name *WSP ":" list      ; a line that begins with a space or tab, or follows a "\" at a line's
 * end, ; goes on with the one before name  = local [ "@" local domain ] / DQUOTE *any DQUOTE
 *
 * Blank lines and those that begin with "#" are passed over; a "#" elsewhere is data. Names are folded, lists
 * are not. Pure functions over borrowed bytes. Administrators write this: fuzz/route_aliases.c.
 */
#pragma once
#include "route/list.h"
#include "route/table.h"

#define ROUTE_ALIAS_MAX (1u << 20) /* bytes of one entry, its continuations joined */

struct route_aliases {
    struct slice rest;
    uint32_t line; /* of the entry at hand, from 1 */
    uint32_t next; /* lines read */
};

static inline struct route_aliases
route_aliases_of(struct slice text)
{
    return (struct route_aliases){.rest = text};
}

/* The next entry: its name as lists call it, in lower case, with "@domain" if it has one; and its list,
 * joined. f->line is where it begins. ST_NOTFOUND: the text is at its end. ST_SYNTAX, ST_LIMIT: *err says
 * what is wrong with this entry; the others can still be read. ST_MEMORY. What comes out points into the text
 * or the arena. */
MUST_CHECK enum status route_alias_next(struct route_aliases *f, struct arena *a, struct slice *name,
                                        struct slice *list, struct err *err);

/* What a loader of texts is told of each mistake: "missing colon". */
typedef void (*route_report_fn)(void *arg, struct slice file, uint32_t line, const char *words);

/* Puts a whole text into a table: keys are local parts. A name at a domain must be at one of `local` (or of
 * the main domain): others cannot have aliases. Of a name that comes twice the first stands. Everything that
 * is wrong is reported, lists too, and left out; *wrong counts it. ST_OK, ST_MEMORY. The text lives as long
 * as the table. */
MUST_CHECK enum status route_aliases_load(struct route_table *to, struct slice file, struct slice text,
                                          struct slice domain, const struct route_table *local,
                                          route_report_fn report, void *arg, size_t *wrong);
