/*
 * Who has which maildrop (RFC 1939 4: exclusive access while a session lasts), and when it was last logged in
 * to (RFC 2449 6.5). In pop3d's memory alone: a lock cannot outlive the process whose sessions hold it. IMAP
 * sessions do not take part; what they remove is gone for the POP3 session too. No I/O.
 */
#pragma once
#include "base/slice.h"

struct locks;
MUST_CHECK enum status locks_new(struct locks **locks);
void locks_free(struct locks *locks);

/* Takes an account's lock. ST_EXISTS: another session has it; ST_LIMIT: the last one took it less than
 * `delay` ago; ST_MEMORY. `now` and `delay` are of the loop's clock. */
MUST_CHECK enum status locks_take(struct locks *locks, struct slice account, uint64_t now, uint64_t delay);
/* Nothing when nobody has it. forget: there was no session after all, so that no delay runs. */
void locks_give(struct locks *locks, struct slice account, bool forget);
size_t locks_n(const struct locks *locks);                  /* entries, held or remembered for their delay */
