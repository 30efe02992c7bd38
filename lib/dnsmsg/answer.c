#include "dnsmsg/answer.h"

#define HEADER         12u
#define TYPE_SOA       6u
#define CLASS_IN       1u
#define RCODE_NXDOMAIN 3u

const char *
dnsmsg_outcome_text(enum dnsmsg_outcome outcome)
{
    static const char *const texts[] = {"?",
#define DNSMSG_OUTCOME(name, text, meaning) text,
                                        DNSMSG_OUTCOMES(DNSMSG_OUTCOME)
#undef DNSMSG_OUTCOME
    };

    return outcome < DNSMSG_OUTCOME_COUNT ? texts[outcome] : "?";
}

const char *
dnsmsg_security_text(enum dnsmsg_security security)
{
    static const char *const texts[] = {"?",
#define DNSMSG_SECURITY(name, text) text,
                                        DNSMSG_SECURITIES(DNSMSG_SECURITY)
#undef DNSMSG_SECURITY
    };

    return security < DNSMSG_SECURITY_COUNT ? texts[security] : "?";
}

static bool
take_be16(struct slice message, size_t *at, uint16_t *v)
{
    if (*at > message.n || message.n - *at < 2)
        return false;
    *v = (uint16_t)(message.p[*at] << 8 | message.p[*at + 1]);
    *at += 2;
    return true;
}

/* RFC 2181 8: of more than 31 bits, 0 */
static bool
take_ttl(struct slice message, size_t *at, uint32_t *v)
{
    uint16_t high, low;

    if (!take_be16(message, at, &high) || !take_be16(message, at, &low))
        return false;
    *v = high < 0x8000 ? (uint32_t)high << 16 | low : 0;
    return true;
}

/* A record as it lies in the message. */
struct raw {
    uint16_t type, class;
    uint32_t ttl;
    size_t at, n; /* of its rdata */
};

static enum status
take_raw(struct slice message, size_t *at, struct buf *owner, struct raw *raw)
{
    size_t here = *at;
    uint16_t n;
    enum status st;

    buf_clear(owner);
    st = dnsmsg_name_take(message, &here, owner);
    if (st != ST_OK)
        return st;
    if (!take_be16(message, &here, &raw->type) || !take_be16(message, &here, &raw->class) ||
        !take_ttl(message, &here, &raw->ttl) || !take_be16(message, &here, &n) || message.n - here < n)
        return ST_SYNTAX;
    raw->at = here;
    raw->n = n;
    *at = here + n;
    return ST_OK;
}

struct reading {
    struct slice message;
    size_t answers_at, authority_at;
    uint16_t type, n_answers, n_authority;
    struct buf *name, *records;
    struct dnsmsg_answer got;
};

static void
use_ttl(struct dnsmsg_answer *got, uint32_t ttl)
{
    if (ttl < got->ttl)
        got->ttl = ttl;
}

/* What the answer section has for the present name: its records are taken, or *alias gets the name that it is
 * another one for. */
static enum status
look_up(struct reading *r, struct buf *alias)
{
    uint8_t bytes[DNSMSG_TEXT_MAX];
    struct buf owner = BUF_FIXED(bytes);
    size_t at = r->answers_at;
    struct raw raw;

    for (uint16_t i = 0; i < r->n_answers; i++) {
        enum status st = take_raw(r->message, &at, &owner, &raw);

        if (st != ST_OK)
            return st;
        if (raw.class != CLASS_IN || !slice_eq(buf_slice(&owner), buf_slice(r->name)))
            continue;
        if (raw.type == r->type) {
            st = dnsmsg_record_decode(r->message, raw.at, raw.n, raw.type, raw.ttl, r->records);
            r->got.count++;
        } else if (raw.type == DNSMSG_CNAME) {
            size_t here = raw.at;

            buf_clear(alias); /* RFC 2181 10.1: there is one; of several, the last */
            st = dnsmsg_name_take(slice_sub(r->message, 0, raw.at + raw.n), &here, alias);
            if (st == ST_OK && here != raw.at + raw.n)
                st = ST_SYNTAX;
        } else {
            continue; /* a signature */
        }
        if (st != ST_OK)
            return st;
        use_ttl(&r->got, raw.ttl);
    }
    r->authority_at = at;
    return ST_OK;
}

/* RFC 2308 5: the least of the SOA's TTL and its last field; without an SOA it is not to be kept */
static enum status
negative_ttl(struct reading *r)
{
    uint8_t bytes[DNSMSG_TEXT_MAX];
    struct buf owner = BUF_FIXED(bytes);
    size_t at = r->authority_at;
    uint32_t found = 0;
    struct raw raw;

    for (uint16_t i = 0; i < r->n_authority; i++) {
        enum status st = take_raw(r->message, &at, &owner, &raw);
        size_t last = raw.at + raw.n;
        uint32_t minimum;

        if (st != ST_OK)
            return st;
        if (raw.type != TYPE_SOA || raw.class != CLASS_IN)
            continue;
        last -= 4;
        if (raw.n < 22 || !take_ttl(r->message, &last, &minimum))
            return ST_SYNTAX;
        found = raw.ttl < minimum ? raw.ttl : minimum;
        break;
    }
    use_ttl(&r->got, found);
    return ST_OK;
}

static enum status
follow(struct reading *r)
{
    uint8_t bytes[DNSMSG_TEXT_MAX];
    struct buf alias = BUF_FIXED(bytes);

    for (unsigned chain = 0; chain <= DNSMSG_CHAIN_MAX; chain++) {
        enum status st;

        buf_clear(&alias);
        st = look_up(r, &alias);
        if (st != ST_OK || alias.n == 0 || r->got.count > 0)
            return st;
        buf_clear(r->name);
        buf_put(r->name, buf_slice(&alias));
        if (!buf_ok(r->name))
            return ST_LIMIT;
    }
    return ST_LIMIT;
}

enum status
dnsmsg_answer_read(struct slice message, uint16_t type, struct buf *name, struct buf *records,
                   struct dnsmsg_answer *answer)
{
    struct reading r = {.message = message, .type = type, .name = name, .records = records};
    uint16_t flags, questions, asked, class;
    size_t at = 2;
    enum status st;

    if (!take_be16(message, &at, &flags) || !take_be16(message, &at, &questions) ||
        !take_be16(message, &at, &r.n_answers) || !take_be16(message, &at, &r.n_authority) || questions != 1)
        return ST_SYNTAX;
    at = HEADER;
    st = dnsmsg_name_take(message, &at, name);
    if (st != ST_OK)
        return st;
    if (!take_be16(message, &at, &asked) || !take_be16(message, &at, &class) || asked != type ||
        class != CLASS_IN)
        return ST_SYNTAX;
    r.got.rcode = flags & 0xf;
    r.got.ttl = UINT32_MAX;
    r.answers_at = at;
    if (r.n_answers > DNSMSG_RECORDS_MAX || r.n_authority > DNSMSG_RECORDS_MAX)
        return ST_LIMIT;
    if (r.got.rcode != 0 && r.got.rcode != RCODE_NXDOMAIN) {
        r.got.outcome = DNSMSG_FAILED;
        r.got.ttl = 0;
        *answer = r.got;
        return ST_OK;
    }
    st = follow(&r);
    if (st == ST_OK && r.got.count == 0)
        st = negative_ttl(&r);
    if (st != ST_OK)
        return st;
    /* RFC 6604 3: the code is about the end of the chain */
    r.got.outcome = r.got.count > 0                 ? DNSMSG_FOUND
                    : r.got.rcode == RCODE_NXDOMAIN ? DNSMSG_NXDOMAIN
                                                    : DNSMSG_NODATA;
    *answer = r.got;
    return ST_OK;
}
