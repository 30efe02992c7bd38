/*
 * The tables of lib/route, made of the settings and of the texts of the files that they name. Pure: whoever
 * has read the files gives their texts. Everything that is made is in the caller's arena.
 */
#pragma once
#include "conf/tables.h"
#include "route/maptext.h"

/* Settings that name files: below the root, or absolute. A file that is not there is an empty one. */
enum routes_file { ROUTES_ALIASES, ROUTES_VIRTUALS, ROUTES_MAILERS, ROUTES_FILES };

struct routes {
    struct route_table local, virtual_domains, relay, rows[ROUTES_FILES];
    struct route_network networks[CONF_ADDRESSES_MAX];
    struct route_tables tables; /* points into this struct: it must not be moved */
};

/* The file's name as it is written in the settings. */
struct slice routes_file(const struct route_settings *settings, enum routes_file file);

/* Every mistake is reported, with file and line (line 0: a setting), and counted in *wrong; what it is in is
 * left out. ST_OK, or ST_MEMORY. settings, names and texts live as long as *routes. */
MUST_CHECK enum status routes_make(struct routes *routes, struct arena *a,
                                   const struct route_settings *settings,
                                   const struct slice texts[ROUTES_FILES], route_report_fn report, void *arg,
                                   size_t *wrong);
