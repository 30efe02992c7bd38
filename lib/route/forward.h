/*
 * The text of a .forward or :include: file: a list of addresses (list.h) on each line, blank lines and lines
 * that begin with "#" passed over; white space and "#@#" begin a comment at a line's end. Users write this:
 * fuzz/route_list.c.
 */
#pragma once
#include "route/list.h"

#define ROUTE_FORWARD_MAX (1u << 20) /* bytes of a file; who reads it reads no more */

struct route_forward {
    struct slice rest; /* lines to come */
    struct slice list; /* of the line at hand */
    uint32_t line;     /* its number, from 1 */
};

static inline struct route_forward
route_forward_of(struct slice text)
{
    return (struct route_forward){.rest = text};
}

/* The next item; f->line is where it stands. As route_item_next: ST_NOTFOUND at the end of the text; what is
 * wrong with one item leaves the others. */
MUST_CHECK enum status route_forward_next(struct route_forward *f, struct arena *a, struct route_item *item,
                                          struct err *err);
