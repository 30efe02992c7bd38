#include "edge/conn.h"

#include <stdlib.h>
#include <sys/random.h>

#include <xxhash.h>

#define BUCKETS 16384u

struct conn_client {
    struct conn_client *next;
    uint8_t network[16];
    size_t n;
};

struct conns {
    struct conn *conns[BUCKETS];
    struct conn_client *clients[BUCKETS];
    uint64_t next_id, seed; /* seed: which clients share a bucket is nobody's choice */
    size_t n;
};

enum status
conns_new(uint64_t first_id, struct conns **conns)
{
    struct conns *c = calloc(1, sizeof *c);

    if (c == NULL)
        return ST_MEMORY;
    c->next_id = first_id;
    if (getrandom(&c->seed, sizeof c->seed, 0) != (ssize_t)sizeof c->seed) {
        free(c);
        return ST_IO;
    }
    *conns = c;
    return ST_OK;
}

static void
drop_one(struct conn *conn, void *arg)
{
    conn_drop(arg, conn);
}

void
conns_free(struct conns *conns)
{
    if (conns != NULL)
        conns_each(conns, drop_one, conns);
    free(conns);
}

static struct conn **
bucket_of(struct conns *conns, uint64_t id)
{
    return &conns->conns[id % BUCKETS];
}

enum status
conn_new(struct conns *conns, size_t most, struct conn **conn)
{
    struct conn *c, **bucket;

    if (conns->n >= most)
        return ST_LIMIT;
    c = calloc(1, sizeof *c);
    if (c == NULL)
        return ST_MEMORY;
    c->id = conns->next_id++;
    bucket = bucket_of(conns, c->id);
    c->next = *bucket;
    c->link = bucket;
    if (c->next != NULL)
        c->next->link = &c->next;
    *bucket = c;
    conns->n++;
    *conn = c;
    return ST_OK;
}

struct conn *
conn_find(struct conns *conns, uint64_t id)
{
    struct conn *c = *bucket_of(conns, id);

    while (c != NULL && c->id != id)
        c = c->next;
    return c;
}

/* Whom an address belongs to: an IPv4 address itself, of an IPv6 address the /64. */
static void
network_of(const uint8_t *address, uint8_t network[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    memcpy(network, address, 16);
    if (memcmp(address, mapped, sizeof mapped) != 0)
        memset(network + 8, 0, 8);
}

static struct conn_client **
client_at(const struct conns *conns, const uint8_t network[16])
{
    struct conn_client *const *at = &conns->clients[XXH3_64bits_withSeed(network, 16, conns->seed) % BUCKETS];

    while (*at != NULL && memcmp((*at)->network, network, 16) != 0)
        at = &(*at)->next;
    return (struct conn_client **)(uintptr_t)at;
}

enum status
conn_count(struct conns *conns, struct conn *conn, size_t most)
{
    uint8_t network[16];
    struct conn_client **at, *client;

    network_of(conn->peer, network);
    at = client_at(conns, network);
    client = *at;
    if (client != NULL && client->n >= most)
        return ST_LIMIT;
    if (client == NULL) {
        client = calloc(1, sizeof *client);
        if (client == NULL)
            return ST_MEMORY;
        memcpy(client->network, network, sizeof network);
        *at = client;
    }
    client->n++;
    conn->client = client;
    return ST_OK;
}

static void
uncount(struct conns *conns, struct conn_client *client)
{
    struct conn_client **at;

    if (client == NULL || --client->n > 0)
        return;
    at = client_at(conns, client->network);
    *at = client->next;
    free(client);
}

void
conn_drop(struct conns *conns, struct conn *conn)
{
    uncount(conns, conn->client);
    *conn->link = conn->next;
    if (conn->next != NULL)
        conn->next->link = conn->link;
    free(conn);
    conns->n--;
}

size_t
conns_n(const struct conns *conns)
{
    return conns->n;
}

size_t
conns_of(const struct conns *conns, struct slice address)
{
    uint8_t network[16];
    struct conn_client *client;

    if (address.n < 16)
        return 0;
    network_of(address.p, network);
    client = *client_at(conns, network);
    return client != NULL ? client->n : 0;
}

void
conns_each(struct conns *conns, void (*each)(struct conn *conn, void *arg), void *arg)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct conn *c = conns->conns[i], *next; c != NULL; c = next) {
            next = c->next;
            each(c, arg);
        }
}
