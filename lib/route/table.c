#include "route/table.h"

#define FIRST_ROOM 16u

static struct route_slot *
slot_of(const struct route_table *t, struct slice key)
{
    size_t at = slice_hash(key) & (t->room - 1);

    while (t->slots[at].key.p != NULL && !slice_eq(t->slots[at].key, key))
        at = (at + 1) & (t->room - 1);
    return &t->slots[at];
}

/* Never more than three quarters full, so that a search ends. */
static bool
make_room(struct route_table *t)
{
    struct route_table bigger = {
        .arena = t->arena, .n = t->n, .room = t->room > 0 ? t->room * 2 : FIRST_ROOM};

    if (t->n < t->room - t->room / 4)
        return true;
    bigger.slots = arena_array(t->arena, bigger.room, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->slots[i].key.p != NULL)
            *slot_of(&bigger, t->slots[i].key) = t->slots[i];
    *t = bigger;
    return true;
}

enum status
route_table_put(struct route_table *t, struct slice key, const struct route_row *row)
{
    struct route_slot *slot;

    if (!make_room(t))
        return ST_MEMORY;
    if (key.p == NULL) /* the empty key is a key like others */
        key = SLICE("");
    slot = slot_of(t, key);
    if (slot->key.p != NULL)
        return ST_EXISTS;
    *slot = (struct route_slot){key, *row};
    t->n++;
    return ST_OK;
}

const struct route_row *
route_table_get(const struct route_table *t, struct slice key)
{
    const struct route_slot *slot;

    if (t == NULL || t->room == 0)
        return NULL;
    slot = slot_of(t, key);
    return slot->key.p != NULL ? &slot->row : NULL;
}

struct slice
route_fold(struct arena *a, struct slice s)
{
    uint8_t *p = arena_alloc(a, s.n);

    if (p == NULL)
        return (struct slice){0};
    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(s.p[i]);
    return slice_from(p, s.n);
}
