/*
 * Domain names: from the wire to text, and the few things that are asked of a text. Pure functions; no I/O.
 * The bytes come from any server of the world: fuzz/dnsmsg.c.
 *
 * The text of a name is in lower case and has no dot at its end; the root is ".". An octet of a label that is
 * no letter, digit, hyphen or underscore is written \DDD (RFC 1035 5.1), so that no name can pass for
 * another, or for a word of a log line. A-labels (RFC 5890 2.3.2.1) stay what they are.
 */
#pragma once
#include "base/buf.h"

#define DNSMSG_NAME_MAX  255u /* octets in the wire form (RFC 1035 2.3.4) */
#define DNSMSG_LABEL_MAX 63u
#define DNSMSG_TEXT_MAX  1020u /* octets of a text: all of them escaped */

/* The name at *at of a message, compression followed, is added to *text; *at moves behind it. ST_SYNTAX or
 * ST_LIMIT, with *at untouched and perhaps something in *text. */
MUST_CHECK enum status dnsmsg_name_take(struct slice message, size_t *at, struct buf *text);
/* May it be asked for? ST_SYNTAX: it has other octets than those above (U-labels are for the asker to
 * convert, RFC 5891 4.4), or an empty label; ST_LIMIT: it is too long. A dot at the end is allowed. */
MUST_CHECK enum status dnsmsg_name_check(struct slice text);
/* Letters, digits and inner hyphens, two labels at least, the last one not all digits (RFC 1123 2.1). */
bool dnsmsg_is_hostname(struct slice text);
/* "1.2.0.192.in-addr.arpa", "...ip6.arpa" of 16 bytes, IPv4 as ::ffff:a.b.c.d (RFC 1035 3.5, RFC 3596 2.5).
 */
void dnsmsg_reverse_put(struct buf *out, const uint8_t address[16]);
