#include "store/numbers.h"

#include <stdlib.h>

void
numbers_done(struct numbers *t)
{
    free(t->slots);
    *t = NUMBERS_INIT;
}

/* Where the key is, or would be. There is always a free slot. */
static struct number *
slot_of(struct number *slots, size_t cap, uint64_t key)
{
    size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (cap - 1);

    while (slots[at].used && slots[at].key != key)
        at = (at + 1) & (cap - 1);
    return &slots[at];
}

static bool
grow(struct numbers *t)
{
    size_t cap = t->cap == 0 ? 64 : t->cap * 2;
    struct number *slots = calloc(cap, sizeof(*slots));

    if (slots == NULL)
        return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].used)
            *slot_of(slots, cap, t->slots[i].key) = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->cap = cap;
    return true;
}

struct number *
numbers_put(struct numbers *t, uint64_t key)
{
    struct number *slot;

    if (t->n + 1 > t->cap / 4 * 3 && !grow(t))
        return NULL;
    slot = slot_of(t->slots, t->cap, key);
    if (!slot->used) {
        *slot = (struct number){.key = key, .used = true};
        t->n++;
    }
    return slot;
}

const struct number *
numbers_get(const struct numbers *t, uint64_t key)
{
    const struct number *slot = t->cap == 0 ? NULL : slot_of(t->slots, t->cap, key);

    return slot != NULL && slot->used ? slot : NULL;
}

static int
by_key(const void *a, const void *b)
{
    const struct number *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

void
numbers_sort(struct numbers *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].used)
            t->slots[n++] = t->slots[i];
    if (n > 0)
        qsort(t->slots, n, sizeof(*t->slots), by_key);
}
