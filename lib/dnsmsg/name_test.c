#include "dnsmsg/record.h"

#include "base/test.h"

TEST(name_take)
{
    static const struct {
        struct slice in;
        size_t at;
        enum status want;
        const char *text;
        size_t end;
    } cases[] = {
        {SLICE("\1a\7Example\0"), 0, ST_OK, "a.example", 11},
        {SLICE("\0"), 0, ST_OK, ".", 1},
        {SLICE("\3com\0\1a\300\0x"), 5, ST_OK, "a.com", 9},
        {SLICE("\3com\0\300\0x"), 5, ST_OK, "com", 7},
        {SLICE("\5a.b\\c\1 \0"), 0, ST_OK, "a\\046b\\092c.\\032", 9},
        {SLICE("\3\0\r\n\0"), 0, ST_OK, "\\000\\013\\010", 5},
        {SLICE("\12xn--a-1_b2\0"), 0, ST_OK, "xn--a-1_b2", 12},
        {SLICE(""), 0, ST_SYNTAX, "", 0},
        {SLICE("\1a"), 0, ST_SYNTAX, "a", 0},
        {SLICE("\3ab"), 0, ST_SYNTAX, "", 0},
        {SLICE("\300\0"), 0, ST_SYNTAX, "", 0},         /* to itself */
        {SLICE("\1a\300\2\0"), 0, ST_SYNTAX, "a", 0},   /* to itself, behind a label */
        {SLICE("\1a\300\0"), 0, ST_SYNTAX, "a", 0},     /* a ring */
        {SLICE("\300\3\0\1a\0"), 0, ST_SYNTAX, "", 0},  /* forward */
        {SLICE("\1a\300"), 0, ST_SYNTAX, "a", 0},
        {SLICE("\100a"), 0, ST_SYNTAX, "", 0},          /* a kind of label that there is not */
        {SLICE("\200a"), 0, ST_SYNTAX, "", 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF text = BUF_INIT(DNSMSG_TEXT_MAX);
        size_t at = cases[i].at;

        CHECK_INT(i, dnsmsg_name_take(cases[i].in, &at, &text), cases[i].want);
        CHECK_SLICE(i, buf_slice(&text), slice_of(cases[i].text));
        CHECK_INT(i, at, cases[i].want == ST_OK ? cases[i].end : cases[i].at);
    }
}

/* 255 octets are a name, all of them escaped; 256 are none. */
TEST(name_limits)
{
    uint8_t wire[300] = {0}, text[DNSMSG_TEXT_MAX];
    struct buf out = BUF_FIXED(text);
    size_t at = 0;

    for (size_t i = 0; i < 3; i++)
        wire[i * 64] = 63;
    wire[192] = 61; /* 192 + 62 + 1 */
    CHECK_INT(0, dnsmsg_name_take(slice_from(wire, 255), &at, &out), ST_OK);
    CHECK_INT(0, at, 255);
    CHECK_INT(0, out.n, 250 * 4 + 3);
    buf_clear(&out);
    wire[192] = 62;
    at = 0;
    CHECK_INT(1, dnsmsg_name_take(slice_from(wire, 256), &at, &out), ST_LIMIT);
    CHECK_INT(1, at, 0);
}

TEST(name_check)
{
    static const struct {
        const char *in;
        enum status want;
        bool host;
    } cases[] = {
        {"example.org", ST_OK, true},
        {"example.org.", ST_OK, true},
        {"EXAMPLE.Org", ST_OK, true},
        {"xn--bcher-kva.example", ST_OK, true},
        {"3com.example", ST_OK, true},
        {"org", ST_OK, false},
        {".", ST_OK, false},
        {"_dmarc.example.org", ST_OK, false},
        {"-a.example.org", ST_OK, false},
        {"a-.example.org", ST_OK, false},
        {"192.0.2.1", ST_OK, false},
        {"", ST_SYNTAX, false},
        {"..", ST_SYNTAX, false},
        {".example.org", ST_SYNTAX, false},
        {"a..b", ST_SYNTAX, false},
        {"a b.example", ST_SYNTAX, false},
        {"a\\046b.example", ST_SYNTAX, false},
        {"b\303\274cher.example", ST_SYNTAX, false},
        {"a@b", ST_SYNTAX, false},
        {"*.example.org", ST_SYNTAX, false},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org", ST_OK, true},   /* 63 */
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org", ST_LIMIT, false},
    };
    char longest[300];

    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_INT(i, dnsmsg_name_check(slice_of(cases[i].in)), cases[i].want);
        CHECK_INT(i, dnsmsg_is_hostname(slice_of(cases[i].in)), cases[i].host);
    }
    for (size_t i = 0; i < sizeof(longest); i++)
        longest[i] = i % 2 ? '.' : 'a';
    CHECK_INT(100, dnsmsg_name_check(slice_from(longest, 253)), ST_OK);
    CHECK_INT(101, dnsmsg_name_check(slice_from(longest, 254)), ST_OK); /* with its dot */
    CHECK_INT(102, dnsmsg_name_check(slice_from(longest, 255)), ST_LIMIT);
}

TEST(reverse)
{
    static const struct {
        uint8_t address[16];
        const char *want;
    } cases[] = {
        {{[10] = 0xff, 0xff, 192, 0, 2, 31}, "31.2.0.192.in-addr.arpa"},
        {{0x20, 0x01, 0x0d, 0xb8, [15] = 0xaf},
         "f.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF text = BUF_INIT(100);

        dnsmsg_reverse_put(&text, cases[i].address);
        CHECK_SLICE(i, buf_slice(&text), slice_of(cases[i].want));
    }
}

/* What a program that was taken over could send instead of records. */
TEST(record_take)
{
    static const struct {
        struct slice in;
        enum status want;
    } cases[] = {
        {SLICE(""), ST_NOTFOUND},
        {SLICE("\1\0\0\0\0\0\0\0\4\0\0\0abcd"), ST_OK},
        {SLICE("\1\0\0\0\0\0\0\0\4\0\0\0abc"), ST_SYNTAX},
        {SLICE("\1\0\0\0\0\0\0\0\3\0\0\0abc"), ST_SYNTAX},
        {SLICE("\1\0\0\0\0\0\1\0\4\0\0\0abcd"), ST_SYNTAX}, /* a preference */
        {SLICE("\17\0\0\0\0\0\1\0\1\0\0\0."), ST_OK},
        {SLICE("\17\0\0\0\0\0\1\0\0\0\0\0"), ST_SYNTAX},
        {SLICE("\17\0\0\0\0\0\1\0\2\0\0\0a\0"), ST_SYNTAX},
        {SLICE("\1\1\0\0\0\0\0\0\4\0\0\0abcd"), ST_SYNTAX}, /* a type that there is not */
        {SLICE("\1\0\0\0\0\0\0\0\377\377\377\377abcd"), ST_SYNTAX},
        {SLICE("\1"), ST_SYNTAX},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = cases[i].in;
        struct dnsmsg_record record;

        CHECK_INT(i, dnsmsg_record_take(&in, &record), cases[i].want);
        CHECK_INT(i, in.n, cases[i].want == ST_OK ? 0 : cases[i].in.n);
    }
}

TEST_MAIN(name_take, name_limits, name_check, reverse, record_take)
