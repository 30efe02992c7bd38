/*
 * Texts of tables as makemap(8) reads them (virtusertable, mailertable, access), and of class files
 * (local-host-names, relay-domains). Pure functions over borrowed bytes. Administrators write this:
 * fuzz/route_aliases.c.
 *
 *     row     = key 1*WSP value [ 1*WSP "#" *any ]     ; makemap has no comment behind a value, and takes it
 * for the value name    = word [ 1*WSP *any ]                    ; what follows the word is passed over, and
 * reported
 */
#pragma once
#include "route/aliases.h"
#include "route/route.h"

#define ROUTE_ROW_MAX 4096u

struct route_lines {
    struct slice rest;
    uint32_t line; /* of the row at hand, from 1 */
};

/* The next row: key in lower case (in the arena), value as written. ST_NOTFOUND: the text is at its end.
 * ST_SYNTAX, ST_LIMIT: *err says what is wrong with this line. ST_MEMORY. */
MUST_CHECK enum status route_row_next(struct route_lines *f, struct arena *a, struct slice *key,
                                      struct slice *value, struct err *err);

/* Puts a whole text into a table; of a key that comes twice the first stands, and it is reported. As
 * route_aliases_load. */
MUST_CHECK enum status route_rows_load(struct route_table *to, struct slice file, struct slice text,
                                       route_report_fn report, void *arg, size_t *wrong);

/* One word a line, or words with commas between, into a set: domains, and "[address]". */
MUST_CHECK enum status route_names_load(struct route_table *to, struct slice file, struct slice text,
                                        route_report_fn report, void *arg, size_t *wrong);

/* A network as relay-domains has it: "10.1", "10.1.", "192.0.2.0/24", "IPv6:2001:db8", "2001:db8::/32".
 * ST_NOTFOUND: it is none (a domain, perhaps). */
MUST_CHECK enum status route_network_parse(struct slice word, struct route_network *net);
