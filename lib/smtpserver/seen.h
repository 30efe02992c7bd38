/*
 * Recipients that stored has just found, remembered for a moment, so that a burst of mail does not ask
 * for each again. It changes no answer that counts: a delivery names the account, which may
 * have gone or filled since RCPT in any case, and stored judges it again. Refusals are not remembered.
 */
#pragma once
#include "store/request.h"
#include "sys/loop.h"

#define SEEN_LIFE SECONDS(2)

void seen_init(struct loop *loop);
/* Found for a message of at least that size (0: not said)? The slices are good until seen_keep. */
bool seen_find(struct slice mailbox, uint64_t size, struct rcpt_found *found);
void seen_keep(struct slice mailbox, uint64_t size, const struct rcpt_found *found);
void seen_forget(void);
