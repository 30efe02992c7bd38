/*
 * The PROXY protocol, versions 1 and 2 (proxy-protocol.txt of haproxy): whom a trusted
 * balancer speaks for. Pure; no allocation, no I/O. edged feeds it, before anything else
 * is read and only when the peer is one that may say so; a missing or bad header ends the
 * connection (section 2: a receiver must never guess). fuzz/proxy.c.
 */
#pragma once
#include "base/slice.h"

#define PROXY_V1_MAX 107u  /* section 2.1, with CR LF */
#define PROXY_MAX    4096u /* bytes of a header of either version; the limit of ours on TLVs */

#define PROXY_TLV_ALPN      0x01
#define PROXY_TLV_AUTHORITY 0x02 /* the name the client asked for (SNI) */
#define PROXY_TLV_CRC32C    0x03 /* checked by proxy_parse() */
#define PROXY_TLV_NOOP      0x04
#define PROXY_TLV_UNIQUE_ID 0x05
#define PROXY_TLV_SSL       0x20
#define PROXY_TLV_NETNS     0x30

struct proxy {
    uint8_t version; /* 1 or 2 */
    uint8_t family;  /* 4 or 6; 0: none was told (LOCAL, UNKNOWN, UNSPEC, UNIX): use the connection's own */
    bool local;      /* the balancer itself speaks, e.g. a health check */
    bool tls;        /* it says that the client came with TLS */
    uint16_t source_port, target_port;
    uint8_t source[16], target[16]; /* network order; the first four for family 4 */
    struct slice tlvs;              /* points into *in; well formed; for proxy_tlv_next() */
};

struct proxy_tlv {
    uint8_t type;
    struct slice value;
};

/* Reads a header from the front of *in and moves *in past it. ST_MORE: it may yet become one, call
 * again with more bytes (all of them, from the first); never with PROXY_MAX bytes or more.
 * ST_SYNTAX; ST_LIMIT: longer than allowed; ST_UNSUPPORTED: datagrams. All but ST_OK leave *in and
 * *out untouched. What cannot become a header is refused at its first wrong byte. */
MUST_CHECK enum status proxy_parse(struct slice *in, struct proxy *out);

/* The next of proxy.tlvs; false at the end. */
bool proxy_tlv_next(struct slice *tlvs, struct proxy_tlv *out);
/* The first with this type. */
bool proxy_tlv_find(const struct proxy *proxy, uint8_t type, struct slice *value);
