/*
 * What dnsd reads from files, once, before it is confined: the resolvers of /etc/resolv.conf, and the keys
 * that DNSSEC begins with.
 */
#pragma once
#include "base/buf.h"

#define SOURCE_FILE_MAX    65536u
#define SOURCE_SERVERS_MAX 8u
#define SOURCE_ADDRESS_MAX 80u

struct source {
    size_t n;
    char servers[SOURCE_SERVERS_MAX][SOURCE_ADDRESS_MAX]; /* as libunbound takes them */
    struct buf anchors; /* text in zone file format; empty: there are none */
    bool root;          /* among the anchors is one of the root */
};

/* The nameserver lines of a resolv.conf(5); a file that is not there has none. */
MUST_CHECK enum status source_servers(const char *file, struct source *source, struct err *err);
/* The records of a file of anchors; comments and empty lines are left out. ST_NOTFOUND: there is no such
 * file. */
MUST_CHECK enum status source_anchors(const char *file, struct source *source, struct err *err);
