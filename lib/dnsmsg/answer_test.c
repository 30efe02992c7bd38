#include "dnsmsg/answer.h"

#include "base/test.h"

/* Messages are put together from pieces: header, question, records. "\300\14" is the name of the question. */
#define HEAD(flags, answers, authority) "\0\0" flags "\0\1" answers authority "\0\0"
#define OK      "\201\200"
#define MISSING "\201\203"
#define BROKEN  "\201\202"
#define Q(type) "\1a\2BC\0\0" type "\0\1"
#define N0      "\0\0"
#define N1      "\0\1"
#define N2      "\0\2"
#define N3      "\0\3"
#define SELF    "\300\14"
#define RR(owner, type, ttl, n) owner "\0" type "\0\1" ttl "\0" n
#define TTL(n)  "\0\0\0" n
#define SOA     RR("\300\16", "\6", TTL("\100"), "\26") "\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\40"

#define MANY 9

static const struct {
    struct slice in;
    uint16_t type;
    enum status want;
    enum dnsmsg_outcome outcome;
    uint32_t ttl, count;
    const char *name, *first; /* the first record, as text */
} cases[] = {
    {SLICE(HEAD(OK, N1, N0) Q("\1") RR(SELF, "\1", TTL("\7"), "\4") "\300\0\2\1"), DNSMSG_A, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "192.0.2.1"},
    {SLICE(HEAD(OK, N2, N0) Q("\1") RR(SELF, "\1", TTL("\7"), "\4") "\1\2\3\4" RR(SELF, "\1", TTL("\3"), "\4") "\1\2\3\5"), DNSMSG_A, ST_OK,
     DNSMSG_FOUND, 3, 2, "a.bc", "1.2.3.4"},
    {SLICE(HEAD(OK, N1, N0) Q("\34") RR(SELF, "\34", TTL("\7"), "\20") "\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1"), DNSMSG_AAAA, ST_OK, DNSMSG_FOUND, 7,
     1, "a.bc", "2001:db8::1"},
    {SLICE(HEAD(OK, N1, N0) Q("\17") RR(SELF, "\17", TTL("\7"), "\6") "\0\12\1m\300\16"), DNSMSG_MX, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "10 m.bc"},
    {SLICE(HEAD(OK, N1, N0) Q("\17") RR(SELF, "\17", TTL("\7"), "\3") "\0\0\0"), DNSMSG_MX, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "0 ."}, /* RFC 7505 3 */
    {SLICE(HEAD(OK, N1, N0) Q("\20") RR(SELF, "\20", TTL("\7"), "\7") "\2ab\3c\"\n"), DNSMSG_TXT, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "\"abc\\\"\\010\""},
    {SLICE(HEAD(OK, N1, N0) Q("\20") RR(SELF, "\20", TTL("\7"), "\1") "\0"), DNSMSG_TXT, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "\"\""},
    {SLICE(HEAD(OK, N1, N0) Q("\64") RR(SELF, "\64", TTL("\7"), "\5") "\3\1\1\253\315"), DNSMSG_TLSA, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "3 1 1 abcd"},
    {SLICE(HEAD(OK, N1, N0) Q("\14") RR(SELF, "\14", TTL("\7"), "\4") "\2h.\0"), DNSMSG_PTR, ST_OK, DNSMSG_FOUND, 7, 1, "a.bc", "h\\046"},
    /* chains: two CNAMEs in the wrong order, then the address */
    {SLICE(HEAD(OK, N3, N0) Q("\1") RR("\1b\300\16", "\5", TTL("\5"), "\4") "\1c\300\16" RR(SELF, "\5", TTL("\6"), "\4") "\1b\300\16" RR(
         "\1c\300\16", "\1", TTL("\7"), "\4") "\1\2\3\4"),
     DNSMSG_A, ST_OK, DNSMSG_FOUND, 5, 1, "c.bc", "1.2.3.4"},
    {SLICE(HEAD(OK, N1, N0) Q("\5") RR(SELF, "\5", TTL("\6"), "\4") "\1b\300\16"), DNSMSG_CNAME, ST_OK, DNSMSG_FOUND, 6, 1, "a.bc", "b.bc"},
    {SLICE(HEAD(MISSING, N1, N1) Q("\1") RR(SELF, "\5", TTL("\6"), "\4") "\1b\300\16" SOA), DNSMSG_A, ST_OK, DNSMSG_NXDOMAIN, 6, 0, "b.bc", NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\1") RR(SELF, "\5", TTL("\6"), "\2") SELF), DNSMSG_A, ST_LIMIT, 0, 0, 0, NULL, NULL}, /* a ring of one */
    {SLICE(HEAD(OK, N2, N0) Q("\1") RR(SELF, "\5", TTL("\6"), "\4") "\1b\300\16" RR("\1b\300\16", "\5", TTL("\6"), "\2") SELF), DNSMSG_A, ST_LIMIT, 0, 0,
     0, NULL, NULL},
    /* nothing there */
    {SLICE(HEAD(OK, N0, N1) Q("\1") SOA), DNSMSG_A, ST_OK, DNSMSG_NODATA, 32, 0, "a.bc", NULL},
    {SLICE(HEAD(MISSING, N0, N1) Q("\1") SOA), DNSMSG_A, ST_OK, DNSMSG_NXDOMAIN, 32, 0, "a.bc", NULL},
    {SLICE(HEAD(MISSING, N0, N0) Q("\1")), DNSMSG_A, ST_OK, DNSMSG_NXDOMAIN, 0, 0, "a.bc", NULL},
    {SLICE(HEAD(BROKEN, N0, N0) Q("\1")), DNSMSG_A, ST_OK, DNSMSG_FAILED, 0, 0, "a.bc", NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\1") RR("\1b\300\16", "\1", TTL("\7"), "\4") "\1\2\3\4"), DNSMSG_A, ST_OK, DNSMSG_NODATA, 0, 0, "a.bc", NULL}, /* another's */
    {SLICE(HEAD(OK, N1, N0) Q("\1") SELF "\0\1\0\3" TTL("\7") "\0\4" "\1\2\3\4"), DNSMSG_A, ST_OK, DNSMSG_NODATA, 0, 0, "a.bc", NULL}, /* of CHAOS */
    {SLICE(HEAD(OK, N1, N0) Q("\1") SELF "\0\1\0\1" "\200\0\0\7" "\0\4" "\1\2\3\4"), DNSMSG_A, ST_OK, DNSMSG_FOUND, 0, 1, "a.bc", "1.2.3.4"},
    /* malformed */
    {SLICE(HEAD(OK, N1, N0) Q("\1")), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N0, N1) Q("\1")), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE("\0\0\201\200\0\0\0\0\0\0\0\0"), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE("\0\0\201"), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(""), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N0, N0) Q("\2")), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL}, /* an answer to another question */
    {SLICE(HEAD(OK, N1, N0) Q("\1") RR(SELF, "\1", TTL("\7"), "\3") "\1\2\3"), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\17") RR(SELF, "\17", TTL("\7"), "\2") "\0\12"), DNSMSG_MX, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\17") RR(SELF, "\17", TTL("\7"), "\5") "\0\12\0xx"), DNSMSG_MX, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\20") RR(SELF, "\20", TTL("\7"), "\2") "\5a"), DNSMSG_TXT, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\20") RR(SELF, "\20", TTL("\7"), "\0")), DNSMSG_TXT, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, N1, N0) Q("\1") RR(SELF, "\5", TTL("\6"), "\5") "\1b\300\16x"), DNSMSG_A, ST_SYNTAX, 0, 0, 0, NULL, NULL},
    {SLICE(HEAD(OK, "\2\1", N0) Q("\1")), DNSMSG_A, ST_LIMIT, 0, 0, 0, NULL, NULL}, /* 513 */
};

TEST(answer_read)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF name = BUF_INIT(DNSMSG_TEXT_MAX), records = BUF_INIT(DNSMSG_RECORDS_BYTES), text = BUF_INIT(1000);
        struct dnsmsg_answer got = {.ttl = MANY};
        struct dnsmsg_record record;
        struct slice packed;

        CHECK_INT(i, dnsmsg_answer_read(cases[i].in, cases[i].type, &name, &records, &got), cases[i].want);
        CHECK_INT(i, got.outcome, cases[i].outcome);
        CHECK_INT(i, got.count, cases[i].count);
        CHECK_INT(i, got.ttl, cases[i].want == ST_OK ? cases[i].ttl : MANY);
        if (cases[i].want != ST_OK)
            continue;
        CHECK_SLICE(i, buf_slice(&name), slice_of(cases[i].name));
        packed = buf_slice(&records);
        CHECK_INT(i, dnsmsg_record_take(&packed, &record), cases[i].first != NULL ? ST_OK : ST_NOTFOUND);
        if (cases[i].first == NULL)
            continue;
        dnsmsg_record_text(&text, &record);
        CHECK_SLICE(i, buf_slice(&text), slice_of(cases[i].first));
    }
}

/* Records that would not fit into an answer between programs. */
TEST(too_much)
{
    AUTO_BUF message = BUF_INIT(100000), name = BUF_INIT(DNSMSG_TEXT_MAX), records = BUF_INIT(DNSMSG_RECORDS_BYTES);
    struct dnsmsg_answer got;

    buf_put(&message, SLICE(HEAD(OK, "\0\372", N0) Q("\20")));
    for (size_t i = 0; i < 250; i++) {
        buf_put(&message, SLICE(RR(SELF, "\20", TTL("\7"), "\310") "\307"));
        for (size_t j = 0; j < 199; j++)
            buf_putc(&message, 'x');
    }
    CHECK_INT(0, dnsmsg_answer_read(buf_slice(&message), DNSMSG_TXT, &name, &records, &got), ST_LIMIT);
}

TEST(types)
{
    uint16_t type = 0;

    CHECK(0, dnsmsg_type_of(SLICE("mx"), &type) && type == DNSMSG_MX);
    CHECK(1, !dnsmsg_type_of(SLICE("M"), &type) && !dnsmsg_type_of(SLICE("ANY"), &type));
    CHECK_SLICE(2, slice_of(dnsmsg_type_name(52)), SLICE("TLSA"));
    CHECK(3, dnsmsg_type_name(255) == NULL && dnsmsg_type_name(6) == NULL);
    CHECK_SLICE(4, slice_of(dnsmsg_outcome_text(DNSMSG_NXDOMAIN)), SLICE("no such name"));
    CHECK_SLICE(5, slice_of(dnsmsg_security_text(DNSMSG_UNTRUSTED)), SLICE("bogus"));
}

TEST_MAIN(answer_read, too_much, types)
