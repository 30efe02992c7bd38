#include "sasl/mechanism.h"

#include <assert.h>

static const struct {
    const char *name;
    unsigned needs;
} rows[] = {
#define MECHANISM_ROW(symbol, name, needs) [SASL_##symbol] = {name, needs},
    SASL_MECHANISMS(MECHANISM_ROW)
#undef MECHANISM_ROW
};

enum sasl_mechanism
sasl_mechanism_find(struct slice name)
{
    for (size_t i = SASL_NO_MECHANISM + 1; i < COUNT(rows); i++)
        if (slice_eq_nocase(name, slice_of(rows[i].name)))
            return (enum sasl_mechanism)i;
    return SASL_NO_MECHANISM;
}

const char *
sasl_mechanism_name(enum sasl_mechanism m)
{
    assert(m > SASL_NO_MECHANISM && m < COUNT(rows));
    return rows[m].name;
}

unsigned
sasl_mechanism_needs(enum sasl_mechanism m)
{
    assert(m > SASL_NO_MECHANISM && m < COUNT(rows));
    return rows[m].needs;
}

void
sasl_mechanisms_put(struct buf *out, unsigned has, const char *before, const char *after)
{
    for (size_t i = SASL_NO_MECHANISM + 1; i < COUNT(rows); i++)
        if ((rows[i].needs & ~has) == 0) {
            buf_puts(out, before);
            buf_puts(out, rows[i].name);
            buf_puts(out, after);
        }
}
