/*
 * The setting external_fingerprints: whose a client's certificate is, by its SHA-256. Pure; the text is an
 * administrator's. fuzz/auth_fingerprint.c.
 *
 *     map   = [ entry *( *SP "," *SP entry ) ]
 *     entry = 64 hex digits, with or without ":" between octets, "=" account
 */
#pragma once
#include "base/slice.h"

#define FINGERPRINT 32u /* SHA-256 */

/* ST_SYNTAX: not a map; *err says where. */
MUST_CHECK enum status fingerprints_check(struct slice map, struct err *err);
/* *account points into map. ST_NOTFOUND; ST_SYNTAX as above. The first entry of a certificate counts. */
MUST_CHECK enum status fingerprints_find(struct slice map, const uint8_t certificate[FINGERPRINT],
                                         struct slice *account);
