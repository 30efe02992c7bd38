#include "store/handles.h"

#include <stdlib.h>
#include <sys/random.h>

#define BUCKETS 65536u

static struct handle *by_id[BUCKETS], *by_account[BUCKETS];
static size_t n_handles;

static struct handle **
id_bucket(uint64_t id)
{
    return &by_id[id % BUCKETS]; /* ids are random */
}

static struct handle **
account_bucket(uint64_t account)
{
    return &by_account[account % BUCKETS]; /* numbers are given one after the other */
}

enum status
handle_new(uint64_t account, uint16_t role, uint32_t instance, uint64_t conn, uint32_t rights, uint64_t *id)
{
    struct handle *h;

    if (n_handles >= HANDLES_MAX)
        return ST_LIMIT;
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return ST_MEMORY;
    *h = (struct handle){
        .account = account, .role = role, .instance = instance, .conn = conn, .rights = rights};
    if (getrandom(&h->id, sizeof(h->id), 0) != (ssize_t)sizeof(h->id) || h->id == 0) {
        free(h);
        return ST_UNAVAILABLE;
    }
    h->next = *id_bucket(h->id);
    *id_bucket(h->id) = h;
    h->next_of_account = *account_bucket(account);
    *account_bucket(account) = h;
    n_handles++;
    *id = h->id;
    return ST_OK;
}

struct handle *
handle_find(uint64_t id, const struct ipc_sender *from)
{
    for (struct handle *h = *id_bucket(id); h != NULL; h = h->next)
        if (h->id == id)
            return h->role == from->role && h->instance == from->instance ? h : NULL;
    return NULL;
}

void
handle_close(struct handle *h)
{
    struct handle **at = id_bucket(h->id), **of = account_bucket(h->account);

    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    while (*of != h)
        of = &(*of)->next_of_account;
    *of = h->next_of_account;
    n_handles--;
    free(h->watches);
    free(h);
}

void
handles_of_peer_close(uint16_t role, uint32_t instance)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct handle *h = by_id[i], *next; h != NULL; h = next) {
            next = h->next;
            if (h->role == role && h->instance == instance)
                handle_close(h);
        }
}

void
handles_of_account_close(uint64_t account)
{
    for (struct handle *h = *account_bucket(account), *next; h != NULL; h = next) {
        next = h->next_of_account;
        if (h->account == account)
            handle_close(h);
    }
}

static size_t
find_watch(const struct handle *h, uint64_t mailbox)
{
    size_t i = 0;

    while (i < h->n_watches && h->watches[i] != mailbox)
        i++;
    return i;
}

enum status
handle_watch(struct handle *h, uint64_t mailbox)
{
    uint64_t *grown;

    if (find_watch(h, mailbox) < h->n_watches)
        return ST_OK;
    if (h->n_watches == HANDLE_WATCHES_MAX)
        return ST_LIMIT;
    grown = realloc(h->watches, (h->n_watches + 1u) * sizeof(*grown));
    if (grown == NULL)
        return ST_MEMORY;
    h->watches = grown;
    h->watches[h->n_watches++] = mailbox;
    return ST_OK;
}

void
handle_unwatch(struct handle *h, uint64_t mailbox)
{
    size_t i = find_watch(h, mailbox);

    if (i < h->n_watches)
        h->watches[i] = h->watches[--h->n_watches];
}

void
handles_watching(uint64_t account, uint64_t mailbox, void (*fn)(void *arg, const struct handle *h), void *arg)
{
    for (struct handle *h = *account_bucket(account); h != NULL; h = h->next_of_account)
        if (h->account == account && find_watch(h, mailbox) < h->n_watches)
            fn(arg, h);
}
