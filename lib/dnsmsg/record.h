/*
 * Records of DNS in the form in which dnsd hands them to others: decoded, with no name compressed, one behind
 * the other. Pure functions; no I/O.
 *
 *     record = le16 type  le32 ttl  le16 preference  le32 n  n bytes of data
 *
 * preference is an MX record's, else 0. data: an address's 4 or 16 bytes; a name's text (dnsmsg/name.h); the
 * character strings of a TXT record, joined as SPF and DKIM want them (RFC 7208 3.3, RFC 6376 3.6.2.2); a
 * TLSA record's usage, selector and matching type, and then what they are about (RFC 6698 2.1).
 */
#pragma once
#include "dnsmsg/name.h"

/* type, its number, what its data is */
#define DNSMSG_TYPES(T)                                                                                      \
    T(A, 1, ADDRESS4)                                                                                        \
    T(NS, 2, NAME)                                                                                           \
    T(CNAME, 5, NAME)                                                                                        \
    T(PTR, 12, NAME)                                                                                         \
    T(MX, 15, EXCHANGE)                                                                                      \
    T(TXT, 16, STRINGS)                                                                                      \
    T(AAAA, 28, ADDRESS16)                                                                                   \
    T(DNSKEY, 48, BYTES)                                                                                     \
    T(TLSA, 52, BYTES)

enum dnsmsg_type {
#define DNSMSG_TYPE(name, number, form) DNSMSG_##name = (number),
    DNSMSG_TYPES(DNSMSG_TYPE)
#undef DNSMSG_TYPE
};

struct dnsmsg_record {
    uint16_t type;
    uint32_t ttl; /* seconds */
    uint16_t preference;
    struct slice data;
};

const char *dnsmsg_type_name(uint16_t type);            /* "MX"; NULL: not one of these */
bool dnsmsg_type_of(struct slice name, uint16_t *type); /* in either case */
/* The rdata [at, at + n) of a message, decoded and packed. ST_SYNTAX: it is malformed; ST_LIMIT: it does not
 * fit. */
MUST_CHECK enum status dnsmsg_record_decode(struct slice message, size_t at, size_t n, uint16_t type,
                                            uint32_t ttl, struct buf *records);
void dnsmsg_record_put(struct buf *records, const struct dnsmsg_record *record);
/* The next of packed records. ST_NOTFOUND: there is none; ST_SYNTAX: they are malformed. */
MUST_CHECK enum status dnsmsg_record_take(struct slice *records, struct dnsmsg_record *record);
/* The data for people: "10 mx.example.org", "192.0.2.1". */
void dnsmsg_record_text(struct buf *out, const struct dnsmsg_record *record);
