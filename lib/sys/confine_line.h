/*
 * Confinement as one readable line, which estafetad sends with MSG_BOOT and which
 * docs/security.md shows:
 *
 *     uid=64205 gid=64205 class=parser read=/srv/x write=/srv/y files=4096 memory=268435456 tasks=8
 *
 * Words in any order, each at most once but read= and write=; class= must be there. Without uid= the
 * user stays. Sizes are plain numbers. Paths have no spaces.
 */
#pragma once
#include "sys/confine.h"

struct confine_line {
    struct confinement confinement; /* its paths point into `text` */
    char text[1024];
};

/* ST_SYNTAX names the word; *out is filled only on success, and must stay where it is. */
MUST_CHECK enum status confine_line_parse(struct slice line, const char *role, struct confine_line *out,
                                          struct err *err);
