/*
 * The secrets: what authd keeps of each account's password. Never a password itself, and
 * no other program opens the file. In memory a hash table; on disk a journal of text lines.
 *
 *   first line    estafeta-secrets 1
 *   set           S <tab> name <tab> phc <tab> iterations <tab> salt <tab> stored <tab> server <tab> sum
 *                 the same with the four of SCRAM-SHA-1 before the sum, where scram_sha1 was set
 *   delete        D <tab> name <tab> sum
 *
 *   name     1 to SASL_NAME_MAX bytes, no controls: "usr1@dominio.com.uy" in lower case
 *   phc      argon2id in the PHC string format, see hash.h
 *   salt, stored, server   of SCRAM-SHA-256, in base64
 *   sum      XXH3-64 of the line's bytes before it, the last tab included; 16 hex digits
 *
 * The last line about a name wins. A line is written whole and flushed before the change is
 * in memory or acknowledged. A tail without line end, or with NULs, is what a crash leaves of a change
 * that nobody was told of: it is cut. Any other bad line is damage: which name it was about cannot
 * be known, an old password might rule again, so the file is refused and the line named. When most lines
 * are outdated the file is written anew beside ("NAME.new") and renamed. Another first line: ST_NEWER.
 */
#pragma once
#include "sasl/scram.h"

#define SECRET_PHC_MAX 160u
#define SECRET_PAGE_MAX 1000u

struct secret {
    char phc[SECRET_PHC_MAX]; /* NUL-terminated */
    struct scram_verifier scram; /* of SCRAM-SHA-256 */
    struct scram_verifier sha1;  /* of SCRAM-SHA-1; no iterations: there is none */
};

struct secrets;
/* The file is made when it is not there (mode 0600). dir stays the caller's and must stay open. */
MUST_CHECK enum status secrets_open(int dir, const char *name, struct secrets **s, struct err *err);
void secrets_close(struct secrets *s);
size_t secrets_count(const struct secrets *s);
/* NULL when there is none. Good until the next set or delete. */
const struct secret *secrets_find(const struct secrets *s, struct slice name);
/* ST_OK: it is on disk. ST_UNKNOWN: it may be, after a restart; now the old secret rules. Blocks for a flush. */
MUST_CHECK enum status secrets_set(struct secrets *s, struct slice name, const struct secret *secret, struct err *err);
/* ST_NOTFOUND when there is none. */
MUST_CHECK enum status secrets_delete(struct secrets *s, struct slice name, struct err *err);
/* Up to `most` (SECRET_PAGE_MAX) names greater than `after`, in order, into *names; how many. They point into
 * the table: good until the next set or delete. */
size_t secrets_page(struct secrets *s, struct slice after, size_t most, struct slice *names);
