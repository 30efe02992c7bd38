/*
 * Dates of mail: RFC 5322 3.3 with the obsolete forms of 4.3, and the date-time
 * of IMAP (RFC 3501 9). Pure arithmetic; no time zone of the system is asked.
 */
#pragma once
#include "base/buf.h"

/* Reads a Date: value. Comments, missing weekday, two and three digit years, missing seconds and
 * names of zones are taken; an unknown zone is UTC. ST_SYNTAX. */
MUST_CHECK enum status mime_date_parse(struct slice value, int64_t *utc, int16_t *zone_minutes);
/* "17-Jul-1996 02:44:25 -0700", with its quotes. Years 1 to 9999, else cut to these. */
void mime_put_internaldate(struct buf *out, int64_t utc, int16_t zone_minutes);
/* Seconds since 1970 of a civil date, no zone; month 1 to 12. */
int64_t mime_civil_seconds(int64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                           unsigned second);
