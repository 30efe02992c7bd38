#include "conf/value.h"

#include <arpa/inet.h>
#include <assert.h>

#define VALUE_MOST (UINT64_MAX >> 1) /* so that two values may be added */

struct unit {
    const char *name;
    uint64_t size;
};

/* largest first: a value is written in the largest unit that divides it */
static const struct unit duration_units[] = {
    {"w",  604800ull * 1000000000},
    {"d",  86400ull * 1000000000 },
    {"h",  3600ull * 1000000000  },
    {"m",  60ull * 1000000000    },
    {"s",  1000000000            },
    {"ms", 1000000               },
};
static const struct unit bytesize_units[] = {
    {"T", 1ull << 40},
    {"G", 1ull << 30},
    {"M", 1ull << 20},
    {"K", 1ull << 10},
    {"",  1         },
};
static const struct unit count_units[] = {
    {"", 1},
};

/* the types that are numbers; parse_number() and put_number() are for these alone */
static const struct {
    const struct unit *units;
    size_t n;
} types[] = {
    [SETTING_duration] = {duration_units, COUNT(duration_units)},
    [SETTING_bytesize] = {bytesize_units, COUNT(bytesize_units)},
    [SETTING_count] = {count_units,    COUNT(count_units)   },
};

const char *
conf_type_text(enum setting_type type)
{
    static const char *const texts[] = {
#define TYPE_TEXT(type, field, what) [SETTING_##type] = what,
        SETTING_TYPES(TYPE_TEXT)
#undef TYPE_TEXT
    };

    assert(type < SETTING_TYPE_COUNT);
    return texts[type];
}

static enum status
parse_number(enum setting_type type, struct slice in, uint64_t *out)
{
    struct slice digits = in;
    uint64_t number;

    while (digits.n > 0 && ascii_digit(digits.p[0]))
        digits = slice_skip(digits, 1);
    if (digits.n == in.n)
        return ST_SYNTAX;
    if (!take_number(&in, VALUE_MOST, &number))
        return ST_LIMIT;
    for (size_t i = 0; i < types[type].n; i++) {
        const struct unit *unit = &types[type].units[i];

        if (!slice_eq_nocase(in, slice_of(unit->name)))
            continue;
        if (number > VALUE_MOST / unit->size)
            return ST_LIMIT;
        *out = number * unit->size;
        return ST_OK;
    }
    if (in.n == 0 && number == 0) { /* nothing is nothing in every unit */
        *out = 0;
        return ST_OK;
    }
    return ST_SYNTAX;
}

static enum status
parse_bool(struct slice in, bool *out)
{
    static const struct {
        const char *word;
        bool yes;
    } words[] = {
        {"yes",   true },
        {"no",    false},
        {"true",  true },
        {"false", false},
        {"on",    true },
        {"off",   false},
    };

    for (size_t i = 0; i < COUNT(words); i++)
        if (slice_eq_nocase(in, slice_of(words[i].word))) {
            *out = words[i].yes;
            return ST_OK;
        }
    return ST_SYNTAX;
}

static enum status
parse_text(struct slice in, struct slice *out)
{
    if (slice_starts(in, '"')) {
        if (in.n < 2 || in.p[in.n - 1] != '"')
            return ST_SYNTAX;
        in = slice_sub(in, 1, in.n - 2);
        if (slice_find(in, '"') != in.n) /* no escapes: a quote inside could not be told from the end */
            return ST_SYNTAX;
    } else if (slice_find(in, '"') != in.n) {
        return ST_SYNTAX;
    }
    *out = in;
    return ST_OK;
}

static bool
read_ip(struct slice in, struct conf_address *out)
{
    char text[INET6_ADDRSTRLEN];

    if (!slice_to_cstr(in, text, sizeof text))
        return false;
    out->family = slice_find(in, ':') < in.n ? 6 : 4;
    out->bits = out->family == 6 ? 128 : 32;
    return inet_pton(out->family == 6 ? AF_INET6 : AF_INET, text, out->ip) == 1;
}

static bool
read_port(struct slice in, uint16_t *out)
{
    uint64_t port;

    if (!take_number(&in, UINT16_MAX, &port) || in.n != 0 || port == 0)
        return false;
    *out = (uint16_t)port;
    return true;
}

/* A bit of the address beyond the network is a slip of the pen that would trust others than meant. */
static bool
network_is_clean(const struct conf_address *a)
{
    for (size_t bit = a->bits; bit < (a->family == 6 ? 128u : 32u); bit++)
        if (a->ip[bit / 8] & (0x80u >> (bit % 8)))
            return false;
    return true;
}

static bool
parse_address(struct slice in, struct conf_address *out)
{
    struct conf_address got = {0};
    struct slice ip;
    uint64_t bits;

    if (take_byte(&in, '[')) {
        ip = take_until(&in, ']');
        if (!take_byte(&in, ']') || !read_ip(ip, &got) || got.family != 6)
            return false;
        if (in.n > 0 && (!take_byte(&in, ':') || !read_port(in, &got.port)))
            return false;
        *out = got;
        return true;
    }
    ip = take_until(&in, '/');
    if (in.n == 0 && slice_find(ip, '.') < slice_find(ip, ':')) { /* "1.2.3.4:25", but not "::1.2.3.4" */
        in = ip;
        ip = take_until(&in, ':');
        if (in.n > 0 && !read_port(slice_skip(in, 1), &got.port))
            return false;
        in = (struct slice){0};
    }
    if (!read_ip(ip, &got))
        return false;
    if (take_byte(&in, '/')) {
        if (!take_number(&in, got.bits, &bits) || in.n != 0)
            return false;
        got.bits = (uint8_t)bits;
    }
    if (in.n != 0 || !network_is_clean(&got))
        return false;
    *out = got;
    return true;
}

static enum status
parse_addresses(struct slice in, struct conf_addresses *out)
{
    out->n = 0;
    if (in.n == 0)
        return ST_OK;
    for (;;) {
        struct slice one = slice_trim(take_until(&in, ','));

        if (out->n == CONF_ADDRESSES_MAX)
            return ST_LIMIT;
        if (!parse_address(one, &out->at[out->n]))
            return ST_SYNTAX;
        out->n++;
        if (!take_byte(&in, ','))
            return ST_OK;
    }
}

enum status
conf_value_parse(enum setting_type type, struct slice in, union conf_value *out)
{
    union conf_value got;
    enum status st = ST_SYNTAX;

    memset(&got, 0, sizeof got);
    switch (type) {
    case SETTING_duration:
    case SETTING_bytesize:
    case SETTING_count:
        st = parse_number(type, in, &got.number);
        break;
    case SETTING_bool:
        st = parse_bool(in, &got.yes);
        break;
    case SETTING_text:
        st = parse_text(in, &got.text);
        break;
    case SETTING_addresses:
        st = parse_addresses(in, &got.addresses);
        break;
    case SETTING_TYPE_COUNT:
        break;
    }
    if (st == ST_OK)
        *out = got;
    return st;
}

/* The bounds are our own words, so that a bad one is our mistake. */
static uint64_t
bound(enum setting_type type, const char *text)
{
    uint64_t number = 0;
    enum status st = parse_number(type, slice_of(text), &number);

    assert(st == ST_OK);
    return st == ST_OK ? number : 0;
}

bool
conf_value_fits(const struct setting *row, const union conf_value *v)
{
    enum setting_type type = row->type;
    uint64_t size;

    if (type == SETTING_bool)
        return true;
    if (type == SETTING_text || type == SETTING_addresses) {
        size = type == SETTING_text ? v->text.n : v->addresses.n;
        type = SETTING_count;
    } else {
        size = v->number;
    }
    return size >= bound(type, row->least) && size <= bound(type, row->most);
}

static void
put_number(struct buf *out, enum setting_type type, uint64_t number)
{
    for (size_t i = 0; i < types[type].n; i++) {
        const struct unit *unit = &types[type].units[i];

        if (number % unit->size == 0 && (number > 0 || i + 1 == types[type].n)) {
            buf_put_u64(out, number / unit->size);
            buf_puts(out, unit->name);
            return;
        }
    }
    assert(false); /* a duration finer than a millisecond: no parser gives one */
}

static void
put_address(struct buf *out, const struct conf_address *a)
{
    char text[INET6_ADDRSTRLEN];
    unsigned whole = a->family == 6 ? 128 : 32;

    if (inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->ip, text, sizeof text) == NULL)
        return; /* cannot be: both families are known and the text fits */
    if (a->port != 0)
        buf_printf(out, a->family == 6 ? "[%s]:%u" : "%s:%u", text, a->port);
    else if (a->bits != whole)
        buf_printf(out, "%s/%u", text, a->bits);
    else
        buf_puts(out, text);
}

void
conf_value_put(struct buf *out, enum setting_type type, const union conf_value *v)
{
    switch (type) {
    case SETTING_duration:
    case SETTING_bytesize:
    case SETTING_count:
        put_number(out, type, v->number);
        break;
    case SETTING_bool:
        buf_puts(out, v->yes ? "yes" : "no");
        break;
    case SETTING_text:
        buf_putc(out, '"');
        buf_put(out, v->text);
        buf_putc(out, '"');
        break;
    case SETTING_addresses:
        for (size_t i = 0; i < v->addresses.n; i++) {
            buf_puts(out, i > 0 ? ", " : "");
            put_address(out, &v->addresses.at[i]);
        }
        break;
    case SETTING_TYPE_COUNT:
        break;
    }
}

static bool
address_covers(const struct conf_address *a, struct slice ip)
{
    if (ip.n != (a->family == 6 ? 16u : 4u))
        return false;
    for (size_t bit = 0; bit < a->bits; bit++)
        if ((a->ip[bit / 8] ^ ip.p[bit / 8]) & (0x80u >> (bit % 8)))
            return false;
    return true;
}

bool
conf_addresses_cover(const struct conf_addresses *list, struct slice ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (ip.n == 16 && memcmp(ip.p, mapped, sizeof mapped) == 0)
        ip = slice_skip(ip, sizeof mapped);
    for (size_t i = 0; i < list->n; i++)
        if (address_covers(&list->at[i], ip))
            return true;
    return false;
}
