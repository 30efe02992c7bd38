/*
 * Handles: what sessions name instead of accounts. 64 random bits that authd had opened, good only for the program
 * they were opened for. With the mailboxes that each watches. The loop's thread.
 */
#pragma once
#include "ipc/channel.h"

#define HANDLES_MAX 1000000u
#define HANDLE_WATCHES_MAX 64u

struct handle {
    struct handle *next, *next_of_account; /* the tables' */
    uint64_t id, account, conn;
    uint32_t rights, instance;
    uint16_t role;
    uint16_t n_watches;
    uint64_t *watches; /* mailboxes */
};

/* ST_LIMIT, ST_MEMORY. */
MUST_CHECK enum status handle_new(uint64_t account, uint16_t role, uint32_t instance, uint64_t conn, uint32_t rights,
                                  uint64_t *id);
/* NULL: no such handle, or not of this sender. */
struct handle *handle_find(uint64_t id, const struct ipc_sender *from);
void handle_close(struct handle *h);
/* The program has ended: all its handles. */
void handles_of_peer_close(uint16_t role, uint32_t instance);
/* The account is being removed. */
void handles_of_account_close(uint64_t account);
MUST_CHECK enum status handle_watch(struct handle *h, uint64_t mailbox);
void handle_unwatch(struct handle *h, uint64_t mailbox);
/* fn for each handle that watches it. */
void handles_watching(uint64_t account, uint64_t mailbox, void (*fn)(void *arg, const struct handle *h), void *arg);
