#include "maa/pop3/lock.h"

#include <stdlib.h>

#define BUCKETS 4096u

struct entry {
    struct entry *next;
    uint64_t again; /* from when on it may be taken */
    bool held;
    size_t name_n;
    uint8_t name[];
};

struct locks {
    struct entry *buckets[BUCKETS];
    size_t n;
};

enum status
locks_new(struct locks **locks)
{
    *locks = calloc(1, sizeof **locks);
    return *locks != NULL ? ST_OK : ST_MEMORY;
}

static void
drop(struct locks *l, struct entry **link)
{
    struct entry *e = *link;

    *link = e->next;
    free(e);
    l->n--;
}

void
locks_free(struct locks *l)
{
    for (size_t i = 0; l != NULL && i < BUCKETS; i++)
        while (l->buckets[i] != NULL)
            drop(l, &l->buckets[i]);
    free(l);
}

static struct entry **
bucket(struct locks *l, struct slice account)
{
    return &l->buckets[slice_hash(account) % BUCKETS];
}

static struct entry **
find(struct locks *l, struct slice account)
{
    struct entry **link = bucket(l, account);

    while (*link != NULL && !slice_eq(slice_from((*link)->name, (*link)->name_n), account))
        link = &(*link)->next;
    return link;
}

/* What is remembered only for a delay that has passed goes when its bucket is looked at. */
static void
sweep(struct locks *l, struct entry **link, uint64_t now)
{
    while (*link != NULL)
        if (!(*link)->held && (*link)->again <= now)
            drop(l, link);
        else
            link = &(*link)->next;
}

enum status
locks_take(struct locks *l, struct slice account, uint64_t now, uint64_t delay)
{
    struct entry *e;

    sweep(l, bucket(l, account), now);
    e = *find(l, account);
    if (e != NULL)
        return e->held ? ST_EXISTS : ST_LIMIT;
    e = calloc(1, sizeof *e + account.n);
    if (e == NULL)
        return ST_MEMORY;
    e->held = true;
    e->again = now + delay;
    e->name_n = account.n;
    memcpy(e->name, account.p, account.n);
    e->next = *bucket(l, account);
    *bucket(l, account) = e;
    l->n++;
    return ST_OK;
}

void
locks_give(struct locks *l, struct slice account, bool forget)
{
    struct entry *e = *find(l, account);

    if (e == NULL)
        return;
    e->held = false; /* swept by the next who comes, unless its delay still runs */
    if (forget)
        e->again = 0;
}

size_t
locks_n(const struct locks *l)
{
    return l->n;
}
