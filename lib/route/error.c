/* Errors that tables name, and next hops: the right sides of virtusertable and mailertable. */
#include "route/route.h"

/* sendmail's words for an exit status, RFC 3463 */
static const struct {
    const char *word, *enhanced;
    uint16_t code;
} words[] = {
    {"nouser",      "5.1.1", 550},
    {"nohost",      "5.1.2", 550},
    {"unavailable", "5.0.0", 554},
    {"tempfail",    "4.0.0", 451},
    {"protocol",    "5.5.0", 554},
    {"usage",       "5.5.2", 553},
    {"software",    "5.3.0", 554},
    {"config",      "5.3.5", 554},
};

/* "550 words" or "550": a code by RFC 5321 4.2.1 that ends something. */
static bool
take_code(struct slice *in, uint16_t *code)
{
    struct slice at = *in;
    uint64_t n;

    if (at.n < 3 || !take_number(&at, 599, &n) || n < 400 || in->n - at.n != 3)
        return false;
    if (at.n > 0 && !take_byte(&at, ' '))
        return false;
    *code = (uint16_t)n;
    *in = slice_trim(at);
    return true;
}

/* D.S.N, RFC 3463 2 */
static bool
take_enhanced(struct slice *in, struct slice *enhanced)
{
    struct slice at = *in;
    uint64_t n;

    if (!take_number(&at, 5, &n) || (n != 4 && n != 5) || !take_byte(&at, '.') ||
        !take_number(&at, 999, &n) || !take_byte(&at, '.') || !take_number(&at, 999, &n))
        return false;
    if (at.n > 0 && at.p[0] != ':' && at.p[0] != ' ')
        return false;
    *enhanced = slice_sub(*in, 0, in->n - at.n);
    *in = slice_trim(slice_skip(at, 1));
    return true;
}

static bool
take_word(struct slice *in, struct route_error *e)
{
    struct slice at = *in, word = take_while(&at, ascii_alpha);

    for (size_t i = 0; i < COUNT(words); i++) {
        if (!slice_eq_nocase(word, slice_of(words[i].word)) || (at.n > 0 && at.p[0] != ':' && at.p[0] != ' '))
            continue;
        e->code = words[i].code;
        e->enhanced = slice_of(words[i].enhanced);
        *in = slice_trim(slice_skip(at, 1));
        return true;
    }
    return false;
}

struct route_error
route_error_parse(struct slice value)
{
    struct route_error e = {.code = 553, .enhanced = SLICE("5.3.0")}; /* what sendmail says to words alone */
    bool named;

    value = slice_trim(value);
    named = take_enhanced(&value, &e.enhanced) || take_word(&value, &e);
    if (named && e.enhanced.p[0] == '4')
        e.code = 451;
    if (take_code(&value, &e.code) && !named)
        e.enhanced = e.code < 500 ? SLICE("4.0.0") : SLICE("5.0.0");
    /* "550 5.7.1 words", as dnsbl rows are written */
    if (!named)
        (void)take_enhanced(&value, &e.enhanced);
    /* The two must be of one class, RFC 2034 4: the code, which clients obey, wins. */
    if (e.enhanced.p[0] != '0' + e.code / 100)
        e.enhanced = e.code < 500 ? SLICE("4.0.0") : SLICE("5.0.0");
    e.text = value.n > 0 ? value : e.code < 500 ? SLICE("Try again later") : SLICE("Refused");
    return e;
}

static bool
is_host_byte(uint8_t c)
{
    return c != ':' && c != ',' && c > ' ' && c != 0x7f;
}

enum status
route_hop_next(struct slice *in, struct route_hop *hop)
{
    struct slice at = slice_trim(*in), port;
    struct route_hop got = {0};
    uint64_t n;

    if (at.n == 0)
        return ST_NOTFOUND;
    if (slice_starts(at, '[')) {
        struct slice whole = at, inner;

        (void)take_byte(&at, '[');
        inner = take_until(&at, ']');
        if (!take_byte(&at, ']'))
            return ST_SYNTAX;
        got.host = slice_sub(whole, 0, whole.n - at.n);
        if (!route_is_domain(got.host)) { /* "[name]": that name's address */
            if (!route_is_domain(inner))
                return ST_SYNTAX;
            got.host = inner;
        }
    } else {
        got.host = take_while(&at, is_host_byte);
        got.mx = true;
        if (!route_is_domain(got.host))
            return ST_SYNTAX;
    }
    port = at;
    if (take_byte(&port, ':') && take_number(&port, UINT16_MAX, &n) &&
        (port.n == 0 || port.p[0] == ':' || port.p[0] == ',')) {
        if (n == 0)
            return ST_SYNTAX;
        got.port = (uint16_t)n;
        got.mx = false; /* RFC 5321 5.1: MX is for port 25; who names a port means that host */
        at = port;
    }
    if (at.n > 0 && !take_byte(&at, ':') && !take_byte(&at, ','))
        return ST_SYNTAX;
    *in = at;
    *hop = got;
    return ST_OK;
}
