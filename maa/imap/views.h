/*
 * The UIDs of large mailboxes as they were last opened, so that opening one again reads no rows. What is
 * remembered is good only for the same state to the number: every change of a mailbox raises its modseq.
 * Bounded; holds no mail.
 */
#pragma once
#include "maa/imap/uidset.h"
#include "store/request.h"

#define VIEWS_KEPT     16u
#define VIEWS_MESSAGES 2000u /* a smaller mailbox is one request */
#define VIEWS_RUNS     4096u /* 48 KiB; one with more holes is read anew */

/* epoch: of stored's process. False: not remembered, *view is untouched; else it is new, and *unseen the
 * place of the first unseen message or 0. */
bool views_find(struct slice user, uint64_t mailbox, uint32_t epoch, const struct mailbox_status *status,
                struct uidset *view, uint32_t *unseen);
/* What was read after `status`. Nothing when it is small, has many holes or something came between the two.
 */
void views_keep(struct slice user, uint64_t mailbox, uint32_t epoch, const struct mailbox_status *status,
                const struct uidset *view, uint32_t unseen);
