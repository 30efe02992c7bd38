/*
 * A list of addresses as aliases, .forward and :include: files have it:
 *
 *     list    = item *( "," item )               ; line ends separate too, where the caller says so
 *     item    = "|" command / "/" path / ":include:" path / [ "\" ] address
 *     address = local [ "@" domain ] / phrase "<" local [ "@" domain ] ">"
 *
 * Quotes keep commas and blanks together, "(...)" is a comment. Pure functions over borrowed bytes; what has
 * to be unquoted is made in the caller's arena. Administrators and users write this: fuzz/route_list.c.
 *
 * Only what an item begins with makes it a program, a file or a list: an address that is put together later
 * (by %1 of a virtual row, by RCPT) never becomes one, whatever its local part is.
 */
#pragma once
#include "base/arena.h"

#define ROUTE_ITEM_MAX 2000u /* bytes of one item: addresses are short, commands are not */

enum route_item_kind { ROUTE_ITEM_ADDRESS, ROUTE_ITEM_PROGRAM, ROUTE_ITEM_FILE, ROUTE_ITEM_INCLUDE };

struct route_item {
    enum route_item_kind kind;
    bool literal;        /* "\user": no alias, no .forward */
    struct slice local;  /* unquoted */
    struct slice domain; /* as written, without a last dot; empty: none was written */
    struct slice text;   /* the command, without "|"; the path; the address unquoted, "user@domain" */
};

/* The next item from the front of *in, and moves *in behind it and its comma. ST_NOTFOUND: there is none, the
 * list is at its end. ST_SYNTAX: *err says what is wrong with the item, and *in is behind it, so that the
 * others can still be read. ST_LIMIT (too long) is the same. ST_MEMORY past the arena's budget. Empty items
 * are passed over. */
MUST_CHECK enum status route_item_next(struct arena *a, struct slice *in, struct route_item *item,
                                       struct err *err);

/* One address: "user", "user@domain", "\"a b\"@domain". Local part unquoted, the domain checked. Made in the
 * arena. */
MUST_CHECK enum status route_address_parse(struct arena *a, struct slice text, struct slice *local,
                                           struct slice *domain);
/* A host's name as tables and lists may have it: letters, digits, hyphens, underscores, UTF-8; or an address
 * literal. */
bool route_is_domain(struct slice s);
