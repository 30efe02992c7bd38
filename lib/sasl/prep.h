/*
 * SASLprep (RFC 4013): names and passwords as they are compared, so that the same word typed on another
 * machine is the same. Pure; what it is given comes from before the password is known to be right.
 * fuzz/sasl_prep.c.
 *
 * What Unicode 3.2 has not assigned passes, in what is stored too (RFC 3454 7 would refuse it there): people
 * have such signs in their passwords, and newer rules allow them (RFC 8265 4).
 */
#pragma once
#include "sasl/sasl.h"

/* Appends the prepared form to *out. ST_SYNTAX: not UTF-8, a sign that is prohibited, directions mixed, or
 * nothing left; ST_LIMIT: longer than SASL_PASSWORD_MAX before or after; ST_MEMORY. *out is unchanged then.
 */
MUST_CHECK enum status sasl_prep(struct slice in, struct buf *out);
