#include "auth/verified.h"

#include <stdlib.h>

#include <openssl/crypto.h>

#define WAYS 4u

struct row {
    uint8_t mac[SASL_HASH];
    uint64_t until; /* 0: free */
};

struct verified {
    size_t mask; /* of sets of WAYS rows */
    uint8_t key[SASL_HASH];
    struct row rows[];
};

enum status
verified_new(size_t size, const uint8_t key[SASL_HASH], struct verified **out)
{
    size_t sets = 1;
    struct verified *v;

    while (sets * WAYS < size && sets < (1u << 22))
        sets *= 2;
    v = calloc(1, sizeof *v + sets * WAYS * sizeof(struct row));
    if (v == NULL)
        return ST_MEMORY;
    v->mask = sets - 1;
    memcpy(v->key, key, SASL_HASH);
    *out = v;
    return ST_OK;
}

void
verified_free(struct verified *v)
{
    if (v != NULL)
        OPENSSL_cleanse(v, sizeof *v + (v->mask + 1) * WAYS * sizeof(struct row));
    free(v);
}

/* name NUL phc NUL password: neither of the first two holds a NUL. */
static bool
mac_of(const struct verified *v, struct slice name, const char *phc, struct slice password, uint8_t mac[SASL_HASH])
{
    uint8_t text[SASL_NAME_MAX + SECRET_PHC_MAX + SASL_PASSWORD_MAX + 2];
    size_t phc_n = strlen(phc), n = 0;
    bool ok;

    if (name.n == 0 || name.n > SASL_NAME_MAX || phc_n >= SECRET_PHC_MAX || password.n == 0 || password.n > SASL_PASSWORD_MAX)
        return false;
    memcpy(text, name.p, name.n);
    n = name.n;
    text[n++] = 0;
    memcpy(text + n, phc, phc_n);
    n += phc_n;
    text[n++] = 0;
    memcpy(text + n, password.p, password.n);
    n += password.n;
    ok = sasl_hmac(slice_from(v->key, SASL_HASH), slice_from(text, n), mac);
    OPENSSL_cleanse(text, sizeof text);
    return ok;
}

static struct row *
set_of(struct verified *v, const uint8_t mac[SASL_HASH])
{
    uint64_t bits;

    memcpy(&bits, mac, sizeof bits);
    return &v->rows[(bits & v->mask) * WAYS];
}

bool
verified_has(struct verified *v, uint64_t now, struct slice name, const char *phc, struct slice password)
{
    uint8_t mac[SASL_HASH];
    bool found = false;

    if (!mac_of(v, name, phc, password, mac))
        return false;
    for (struct row *r = set_of(v, mac), *end = r + WAYS; r < end; r++)
        found |= (now < r->until) & slice_eq_secret(slice_from(r->mac, SASL_HASH), slice_from(mac, SASL_HASH));
    return found;
}

void
verified_add(struct verified *v, uint64_t now, struct slice name, const char *phc, struct slice password)
{
    uint8_t mac[SASL_HASH];
    struct row *set, *to;

    if (!mac_of(v, name, phc, password, mac))
        return;
    to = set = set_of(v, mac);
    for (size_t i = 0; i < WAYS; i++) {
        if (slice_eq_secret(slice_from(set[i].mac, SASL_HASH), slice_from(mac, SASL_HASH))) {
            to = &set[i];
            break;
        }
        if (set[i].until < to->until)
            to = &set[i];
    }
    memcpy(to->mac, mac, SASL_HASH);
    to->until = now + VERIFIED_LIFE;
}
