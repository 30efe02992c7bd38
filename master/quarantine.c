#include "master/quarantine.h"

/* What authd may have called an account: "local@domain", printable, without spaces. */
static bool
is_account(struct slice name)
{
    size_t at = slice_find(name, '@');

    if (name.n == 0 || name.n >= sizeof(((struct suspect *)NULL)->name) || at == 0 || at + 1 >= name.n)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] == 0x7f)
            return false;
    return true;
}

/* Its place, or the one to take for it: a free one, or that of whose last crash is longest ago. NULL: none. */
static struct suspect *
place_of(struct quarantine *q, struct slice name, uint64_t now)
{
    struct suspect *oldest = NULL;

    for (size_t i = 0; i < QUARANTINE_MOST; i++) {
        struct suspect *s = &q->suspects[i];

        if (s->n > 0 && slice_eq(slice_from(s->name, s->n), name))
            return s;
        if ((s->n == 0 || s->until <= now) && (oldest == NULL || (oldest->n > 0 && (s->n == 0 || s->at[0] < oldest->at[0]))))
            oldest = s;
    }
    if (oldest == NULL)
        return NULL;
    *oldest = (struct suspect){.n = name.n};
    memcpy(oldest->name, name.p, name.n);
    return oldest;
}

bool
quarantine_crash(struct quarantine *q, const struct quarantine_rule *rule, struct slice name, uint64_t now)
{
    struct suspect *s = rule->crashes > 0 && is_account(name) ? place_of(q, name, now) : NULL;
    size_t needed = rule->crashes < QUARANTINE_CRASHES_MAX ? (size_t)rule->crashes : QUARANTINE_CRASHES_MAX;

    if (s == NULL)
        return false;
    memmove(&s->at[1], &s->at[0], sizeof(s->at) - sizeof(s->at[0]));
    s->at[0] = now;
    if (s->at[needed - 1] == 0 || now - s->at[needed - 1] > rule->within)
        return false;
    s->until = now + rule->time;
    return true;
}

void
quarantine_each(const struct quarantine *q, uint64_t now, void (*fn)(void *arg, struct slice name, uint64_t left),
                void *arg)
{
    for (size_t i = 0; i < QUARANTINE_MOST; i++) {
        const struct suspect *s = &q->suspects[i];

        if (s->n > 0 && s->until > now)
            fn(arg, slice_from(s->name, s->n), s->until - now);
    }
}

void
quarantine_lift(struct quarantine *q)
{
    *q = (struct quarantine){0};
}
