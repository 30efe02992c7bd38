#include "auth/throttle.h"

#include <stdlib.h>

#include "sasl/sasl.h"

#define WAYS 4u

/* failures: of an address that is known, how many more it may have. */
struct row {
    uint64_t id; /* 0: free */
    uint64_t seen, next; /* of the clock: last counted; no attempt before */
    uint32_t failures;
};

enum table { NETWORKS, NAMES, KNOWN, TABLES };

struct throttle {
    size_t mask; /* of sets of WAYS rows */
    uint8_t key[THROTTLE_KEY];
    struct row *rows[TABLES];
};

enum status
throttle_new(size_t size, const uint8_t key[THROTTLE_KEY], struct throttle **out)
{
    struct throttle *t = calloc(1, sizeof *t);
    size_t sets = 1;

    if (t == NULL)
        return ST_MEMORY;
    while (sets * WAYS < size && sets < (1u << 24))
        sets *= 2;
    t->mask = sets - 1;
    memcpy(t->key, key, THROTTLE_KEY);
    for (size_t i = 0; i < TABLES; i++) {
        t->rows[i] = calloc(sets * WAYS, sizeof(struct row));
        if (t->rows[i] == NULL) {
            throttle_free(t);
            return ST_MEMORY;
        }
    }
    *out = t;
    return ST_OK;
}

void
throttle_free(struct throttle *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < TABLES; i++)
        free(t->rows[i]);
    free(t);
}

static struct slice
network(struct slice address, size_t bits4, size_t bits6)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    bool four = slice_has_prefix(address, slice_from(mapped, sizeof mapped));

    return slice_sub(address, 0, four ? 12 + bits4 / 8 : bits6 / 8);
}

static uint64_t
identify(const struct throttle *t, enum table table, struct slice a, struct slice b)
{
    uint8_t text[2 + 16 + SASL_NAME_MAX], hash[SASL_HASH] = {0};
    uint64_t id;

    a = slice_sub(a, 0, 16);
    b = slice_sub(b, 0, SASL_NAME_MAX);
    text[0] = (uint8_t)table;
    text[1] = (uint8_t)a.n;
    if (a.n > 0)
        memcpy(text + 2, a.p, a.n);
    if (b.n > 0)
        memcpy(text + 2 + a.n, b.p, b.n);
    /* When OpenSSL has no memory all share one row: slower for everyone, open for no one. */
    if (!sasl_hmac(slice_from(t->key, THROTTLE_KEY), slice_from(text, 2 + a.n + b.n), hash))
        memset(hash, 1, sizeof hash);
    memcpy(&id, hash, sizeof id);
    return id != 0 ? id : 1;
}

static uint32_t
left(const struct row *r, uint64_t now, uint64_t half)
{
    uint64_t halvings = now > r->seen ? (now - r->seen) / half : 0;

    return halvings < 32 ? r->failures >> halvings : 0;
}

static struct row *
find(struct throttle *t, enum table table, uint64_t id)
{
    struct row *set = t->rows[table] + (id & t->mask) * WAYS;

    for (size_t i = 0; i < WAYS; i++)
        if (set[i].id == id)
            return &set[i];
    return NULL;
}

/* The row of id, in the place of the one that matters least when it is new. */
static struct row *
claim(struct throttle *t, enum table table, uint64_t id, uint64_t now)
{
    struct row *set = t->rows[table] + (id & t->mask) * WAYS, *r = find(t, table, id);
    uint64_t half = table == KNOWN ? THROTTLE_KNOWN : THROTTLE_HALVED;

    if (r != NULL)
        return r;
    r = set;
    for (size_t i = 1; i < WAYS && r->id != 0; i++) {
        uint32_t a = left(&set[i], now, half), b = left(r, now, half);

        if (set[i].id == 0 || a < b || (a == b && set[i].seen < r->seen))
            r = &set[i];
    }
    *r = (struct row){.id = id, .seen = now};
    return r;
}

static struct row *
known(struct throttle *t, uint64_t now, struct slice address, struct slice name)
{
    struct row *r = find(t, KNOWN, identify(t, KNOWN, network(address, 32, 64), name));

    return r != NULL && r->failures > 0 && now < r->seen + THROTTLE_KNOWN ? r : NULL;
}

/* What lies between two attempts after so many failures. */
static uint64_t
spacing(uint32_t failures, uint32_t unpunished)
{
    uint64_t delay = 250000000u;

    if (failures < unpunished)
        return 0;
    for (uint32_t i = unpunished; i < failures && delay < THROTTLE_DELAY_MAX; i++)
        delay *= 2;
    return delay < THROTTLE_DELAY_MAX ? delay : THROTTLE_DELAY_MAX;
}

static uint64_t
wait_of(const struct row *r, uint64_t now)
{
    return r != NULL && r->next > now ? r->next - now : 0;
}

static void
reserve(struct row *r, uint64_t now, uint64_t wait, uint32_t unpunished)
{
    uint64_t delay = r != NULL ? spacing(left(r, now, THROTTLE_HALVED), unpunished) : 0;

    if (delay > 0)
        r->next = now + wait + delay;
}

enum status
throttle_ask(struct throttle *t, uint64_t now, struct slice address, struct slice name, uint64_t *wait)
{
    struct row *net = find(t, NETWORKS, identify(t, NETWORKS, network(address, 24, 56), SLICE("")));
    struct row *user = find(t, NAMES, identify(t, NAMES, SLICE(""), name));
    uint64_t w = wait_of(net, now);

    if (known(t, now, address, name) != NULL) {
        *wait = w < THROTTLE_DELAY_MAX / 4 ? w : THROTTLE_DELAY_MAX / 4;
        return ST_OK;
    }
    if (wait_of(user, now) > w)
        w = wait_of(user, now);
    if (w > THROTTLE_WAIT_MAX)
        return ST_UNAVAILABLE;
    reserve(net, now, w, THROTTLE_NETWORK_FREE);
    reserve(user, now, w, THROTTLE_NAME_FREE);
    *wait = w;
    return ST_OK;
}

static void
count(struct throttle *t, enum table table, uint64_t id, uint64_t now, uint32_t unpunished)
{
    struct row *r = claim(t, table, id, now);
    uint64_t delay;

    r->failures = left(r, now, THROTTLE_HALVED);
    r->failures += r->failures < 1000;
    if (now > r->seen)
        r->seen = now;
    delay = spacing(r->failures, unpunished);
    if (delay > 0 && r->next < now + delay)
        r->next = now + delay;
}

void
throttle_failed(struct throttle *t, uint64_t now, struct slice address, struct slice name)
{
    struct row *k = known(t, now, address, name);

    if (k != NULL)
        k->failures--;
    count(t, NETWORKS, identify(t, NETWORKS, network(address, 24, 56), SLICE("")), now, THROTTLE_NETWORK_FREE);
    count(t, NAMES, identify(t, NAMES, SLICE(""), name), now, THROTTLE_NAME_FREE);
}

void
throttle_succeeded(struct throttle *t, uint64_t now, struct slice address, struct slice name)
{
    struct row *k = claim(t, KNOWN, identify(t, KNOWN, network(address, 32, 64), name), now);

    k->failures = THROTTLE_TRUST;
    k->seen = now;
}
