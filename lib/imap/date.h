/*
 * IMAP dates: "17-Jul-1996 02:44:25 -0700" (date-time) and 1-Feb-1994 (date), RFC 3501 9.
 * Pure arithmetic on the proleptic Gregorian calendar: no locale, no time zone tables.
 */
#pragma once
#include "base/buf.h"

struct imap_time {
    int64_t seconds; /* since 1970-01-01 00:00:00 UTC */
    int16_t zone;    /* minutes east of UTC, as written */
};

/* With its quotes. Years 1 to 9999; a leap second is read as the second after it. */
MUST_CHECK enum status imap_take_date_time(struct slice *in, struct imap_time *out);
/* With or without quotes: days since 1970-01-01. */
MUST_CHECK enum status imap_take_date(struct slice *in, int32_t *days);
void imap_put_date_time(struct buf *b, struct imap_time t); /* with its quotes */
/* The day on which it was where it was written: what SEARCH compares ("disregarding time and timezone"). */
int32_t imap_time_day(struct imap_time t);
