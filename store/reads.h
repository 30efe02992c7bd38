/*
 * Answers to what is only asked: pages of rows, and bytes of messages. Each runs in a reader thread, with the index
 * as it was last written (so never with what is not durable yet), and may be slow. Payloads were decoded by nobody.
 */
#pragma once
#include "store/index.h"
#include "store/log.h"
#include "store/request.h"

struct reads {
    struct index *index;
    struct log *log;
};

/* Is this a request that reads_answer knows? */
bool reads_knows(uint16_t type);
/* account: of the handle that the payload begins with; 0 for an administrator. ST_SYNTAX: it cannot be decoded. */
MUST_CHECK enum status reads_answer(const struct reads *reads, uint16_t type, uint64_t account, struct slice payload,
                                    struct buf *reply);
/* Accounts (mailbox 0) and mailboxes whose removal has begun: for the reaper at a start. */
MUST_CHECK enum status reads_dying(const struct reads *reads, void (*fn)(void *arg, uint64_t account, uint64_t mailbox),
                                   void *arg);
/* Domains of the accounts, once each or more often. */
MUST_CHECK enum status reads_domains(const struct reads *reads, void (*fn)(void *arg, struct slice domain), void *arg);
