#include "auth/ticket.h"

#include <stdlib.h>

#include <openssl/crypto.h>

struct tickets {
    struct ticket *rows;
    uint32_t *buckets; /* index + 1 */
    uint32_t most, mask, free, used;
    uint32_t fresh; /* rows from here on were never used: their pages are not touched before they must be */
};

enum status
tickets_new(size_t most, struct tickets **out)
{
    struct tickets *t = calloc(1, sizeof *t);
    uint32_t buckets = 16;

    if (t == NULL || most == 0 || most > (1u << 24)) {
        free(t);
        return t == NULL ? ST_MEMORY : ST_LIMIT;
    }
    while (buckets < most)
        buckets *= 2;
    t->most = (uint32_t)most;
    t->mask = buckets - 1;
    t->rows = calloc(most, sizeof(struct ticket));
    t->buckets = calloc(buckets, sizeof(uint32_t));
    if (t->rows == NULL || t->buckets == NULL) {
        tickets_free(t);
        return ST_MEMORY;
    }
    *out = t;
    return ST_OK;
}

void
tickets_free(struct tickets *t)
{
    if (t == NULL)
        return;
    if (t->rows != NULL)
        OPENSSL_cleanse(t->rows, t->fresh * sizeof(struct ticket));
    free(t->rows);
    free(t->buckets);
    free(t);
}

size_t
tickets_count(const struct tickets *t)
{
    return t->used;
}

/* Connection numbers count up, so that their low bits spread by themselves. */
static uint32_t *
link_of(struct tickets *t, uint64_t conn)
{
    uint32_t *link = &t->buckets[(conn ^ conn >> 32) & t->mask];

    while (*link != 0 && t->rows[*link - 1].conn != conn)
        link = &t->rows[*link - 1].next;
    return link;
}

static void
drop(struct tickets *t, uint32_t *link)
{
    uint32_t at = *link;
    struct ticket *row = &t->rows[at - 1];

    *link = row->next;
    OPENSSL_cleanse(row, sizeof *row);
    row->next = t->free;
    t->free = at;
    t->used--;
}

static void
drop_expired(struct tickets *t, uint64_t now)
{
    for (uint32_t i = 0; i < t->fresh; i++)
        if (t->rows[i].user_n > 0 && t->rows[i].expires <= now)
            drop(t, link_of(t, t->rows[i].conn));
}

enum status
tickets_issue(struct tickets *t, uint64_t now, uint64_t expires, uint64_t conn, struct slice user, uint32_t rights,
              const uint8_t random[TICKET_SIZE])
{
    struct ticket *row;
    uint32_t at, *link;

    if (user.n == 0 || user.n > SASL_NAME_MAX)
        return ST_LIMIT;
    tickets_forget(t, conn);
    if (t->free == 0 && t->fresh == t->most)
        drop_expired(t, now);
    if (t->free != 0)
        at = t->free;
    else if (t->fresh < t->most)
        at = ++t->fresh;
    else
        return ST_UNAVAILABLE;
    row = &t->rows[at - 1];
    t->free = row->next; /* of a fresh one 0, for then none is free */
    *row = (struct ticket){.conn = conn, .expires = expires, .rights = rights, .user_n = (uint8_t)user.n};
    memcpy(row->user, user.p, user.n);
    memcpy(row->secret, random, TICKET_SIZE);
    link = link_of(t, conn);
    *link = at;
    t->used++;
    return ST_OK;
}

enum status
tickets_redeem(struct tickets *t, uint64_t now, uint64_t conn, struct slice secret, struct ticket *got)
{
    uint32_t *link = link_of(t, conn);
    struct ticket *row = *link != 0 ? &t->rows[*link - 1] : NULL;

    /* A wrong secret leaves the ticket: 128 bits are not guessed, and a bad program could else spoil another's. */
    if (row == NULL || !slice_eq_secret(slice_from(row->secret, TICKET_SIZE), secret))
        return ST_STALE;
    if (now >= row->expires) {
        drop(t, link);
        return ST_STALE;
    }
    *got = *row;
    drop(t, link);
    return ST_OK;
}

void
tickets_forget(struct tickets *t, uint64_t conn)
{
    uint32_t *link = link_of(t, conn);

    if (*link != 0)
        drop(t, link);
}

void
tickets_forget_user(struct tickets *t, struct slice user)
{
    for (uint32_t i = 0; i < t->fresh && t->used > 0; i++)
        if (t->rows[i].user_n > 0 && slice_eq(slice_from(t->rows[i].user, t->rows[i].user_n), user))
            drop(t, link_of(t, t->rows[i].conn));
}
