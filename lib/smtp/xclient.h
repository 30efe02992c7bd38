/*
 * The arguments of XCLIENT and XFORWARD: what a trusted proxy or filter tells of the client behind it
 * (https://www.postfix.org/XCLIENT_README.html). Attributes "NAME=value" with values in xtext, and
 * "[UNAVAILABLE]" or
 * "[TEMPUNAVAIL]" for what it does not know. Pure functions; no I/O.
 */
#pragma once
#include "smtp/command.h"

/* Slices point into the line, still in xtext; has: which were given and known. */
struct smtp_xclient {
    bool has_addr, has_name, has_helo;
    uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d */
    struct slice name, helo;
};

/* ST_SYNTAX: ill-formed, none at all, or an attribute that is not known. */
MUST_CHECK enum status smtp_xclient_parse(struct slice args, struct smtp_xclient *client);
