#include "proxy/proxy.h"

#include "base/test.h"

#define SIG    "\r\n\r\n\0\r\nQUIT\n"
#define V4     "\1\2\3\4\5\6\7\10\x12\x34\0\31"
#define IP16_A "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define IP16_B "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2"
#define ZERO8  "\0\0\0\0\0\0\0\0"
#define ZERO72 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8 ZERO8

struct one {
    struct slice in;
    enum status want;
    uint8_t version, family;
    bool local, tls;
    uint16_t source_port, target_port;
    size_t left; /* bytes of *in behind the header */
};

#define S(literal)                                                                                           \
    {                                                                                                        \
        (const uint8_t *)("" literal), sizeof(literal) - 1                                                   \
    }

static const struct one cases[] = {
  /* version 1 */
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 4660 25\r\nEHLO"),         ST_OK,          1, 4, false, false, 4660,   25, 4},
    {S("PROXY TCP6 2001:db8::1 2001:DB8::2 65535 0\r\n"),     ST_OK,          1, 6, false, false, 65535,  0,  0},
    {S("PROXY UNKNOWN\r\n"),                                  ST_OK,          1, 0, false, false, 0,      0,  0},
    {S("PROXY UNKNOWN ffff::1 what ever\r\n\r\n"),            ST_OK,          1, 0, false, false, 0,      0,  2},
    {S("PROXY UNKNOWNS\r\n"),                                 ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(""),                                                   ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S("PROX"),                                               ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 4660 25\r"),               ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S("EHLO"),                                               ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXI"),                                              ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("proxy TCP4"),                                         ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 4660 25\n"),               ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 4660 25\rX"),              ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 4660 25 \r\n"),            ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4  1.2.3.4 5.6.7.8 4660 25\r\n"),            ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 04660 25\r\n"),            ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 65536 25\r\n"),            ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4 5.6.7.8 -1 25\r\n"),               ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.04 5.6.7.8 1 25\r\n"),               ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3 5.6.7.8 1 25\r\n"),                  ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 ::1 ::1 1 25\r\n"),                        ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP6 1.2.3.4 5.6.7.8 1 25\r\n"),                ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY TCP4 1.2.3.4\0 5.6.7.8 1 25\r\n"),              ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY UDP4 1.2.3.4 5.6.7.8 1 25\r\n"),                ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S("PROXY \r\n"),                                         ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
 /* version 2 */
    {S(SIG "\x21\x11\0\14" V4 "EHLO"),                        ST_OK,          2, 4, false, false, 0x1234, 25, 4},
    {S(SIG "\x21\x21\0\44" IP16_A IP16_B "\x12\x34\0\31"),    ST_OK,          2, 6, false, false, 0x1234, 25, 0},
    {S(SIG "\x21\x31\0\xd8" ZERO72 ZERO72 ZERO72),            ST_OK,          2, 0, false, false, 0,      0,  0},
    {S(SIG "\x20\0\0\0"),                                     ST_OK,          2, 0, true,  false, 0,      0,  0},
    {S(SIG "\x20\xff\0\3abcd"),                               ST_OK,          2, 0, true,  false, 0,      0,  1}, /* LOCAL: the rest is not looked at */
    {S(SIG "\x21\0\0\2ab"),                                   ST_OK,          2, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\27" V4 "\x20\0\10\1\0\0\0\0\x21\0\0"), ST_OK,          2, 4, false, true,  0x1234, 25, 0},
    {S(SIG "\x21\x11\0\24" V4 "\x20\0\5\0\0\0\0\0"),          ST_OK,          2, 4, false, false, 0x1234, 25, 0},
    {S(SIG "\x21\x11\0\17" V4 "\xee\0\0"),                    ST_OK,          2, 4, false, false, 0x1234, 25, 0},
    {S("\r"),                                                 ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S(SIG),                                                  ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0"),                                     ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\14\1\2\3"),                            ST_MORE,        0, 0, false, false, 0,      0,  0},
    {S("\r\n\r\n\1"),                                         ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x11"),                                           ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x22"),                                           ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\13\1\2\3\4\5\6\7\10\x12\x34\0"),       ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x41\0\14" V4),                               ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x13\0\14" V4),                               ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x12\0\14" V4),                               ST_UNSUPPORTED, 0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\xff\xff"),                               ST_LIMIT,       0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\15" V4 "\1"),                          ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\20" V4 "\1\0\2x"),                     ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\23" V4 "\x20\0\4\1\0\0\0"),            ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
    {S(SIG "\x21\x11\0\25" V4 "\x20\0\6\1\0\0\0\0\x21"),      ST_SYNTAX,      0, 0, false, false, 0,      0,  0},
};

TEST(parse)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct one *c = &cases[i];
        struct slice in = c->in;
        struct proxy got = {.version = 9};

        CHECK_INT(i, proxy_parse(&in, &got), c->want);
        if (c->want != ST_OK) {
            CHECK(i, in.p == c->in.p && in.n == c->in.n && got.version == 9);
            continue;
        }
        CHECK_INT(i, in.n, c->left);
        CHECK_INT(i, got.version, c->version);
        CHECK_INT(i, got.family, c->family);
        CHECK_INT(i, got.local, c->local);
        CHECK_INT(i, got.tls, c->tls);
        CHECK_INT(i, got.source_port, c->source_port);
        CHECK_INT(i, got.target_port, c->target_port);
        if (got.family == 4) {
            CHECK_SLICE(i, slice_from(got.source, 4), "\1\2\3\4");
            CHECK_SLICE(i, slice_from(got.target, 4), "\5\6\7\10");
        } else if (got.family == 6) {
            CHECK_SLICE(i, slice_from(got.source, 16), slice_from(IP16_A, 16));
            CHECK_SLICE(i, slice_from(got.target, 16), slice_from(IP16_B, 16));
        }
    }
}

/* Whatever is a header is ST_MORE in every shorter piece of it. */
TEST(pieces)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t whole = cases[i].in.n - cases[i].left;

        for (size_t n = 0; cases[i].want == ST_OK && n < whole; n++) {
            struct slice in = slice_sub(cases[i].in, 0, n);
            struct proxy got;

            CHECK_INT(i, proxy_parse(&in, &got), ST_MORE);
        }
    }
}

TEST(limits)
{
    uint8_t bytes[PROXY_MAX + 1] = "PROXY UNKNOWN ";
    struct slice in = slice_from(bytes, PROXY_V1_MAX);
    struct proxy got;

    memset(bytes + 14, 'x', sizeof bytes - 14);
    CHECK_INT(0, proxy_parse(&in, &got), ST_LIMIT);
    in = slice_from(bytes, PROXY_V1_MAX - 1);
    CHECK_INT(1, proxy_parse(&in, &got), ST_MORE);
    memcpy(bytes + PROXY_V1_MAX - 2, "\r\n", 2);
    in = slice_from(bytes, PROXY_V1_MAX);
    CHECK_INT(2, proxy_parse(&in, &got), ST_OK);
    memcpy(bytes + PROXY_V1_MAX - 2, "x\r\n", 3);
    in = slice_from(bytes, PROXY_V1_MAX + 1);
    CHECK_INT(3, proxy_parse(&in, &got), ST_LIMIT);

    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, SIG "\x20\0", 14);
    bytes[14] = (PROXY_MAX - 16) >> 8;
    bytes[15] = (PROXY_MAX - 16) & 255;
    in = slice_from(bytes, PROXY_MAX);
    CHECK_INT(4, proxy_parse(&in, &got), ST_OK);
    bytes[15]++;
    in = slice_from(bytes, sizeof bytes);
    CHECK_INT(5, proxy_parse(&in, &got), ST_LIMIT);
}

/* The checksum is over the header with zeros in its own place; any other bit flipped is seen.
 * 0x8e97a3ab was computed with an independent CRC-32C. */
TEST(checksum)
{
    uint8_t bytes[] = SIG "\x21\x11\0\30" V4 "\4\0\2ab\3\0\4@@@@";
    struct slice in = slice_from(bytes, sizeof bytes - 1);
    struct proxy got;
    struct slice value;

    memcpy(bytes + in.n - 4, "\x8e\x97\xa3\xab", 4);
    CHECK_INT(0, proxy_parse(&in, &got), ST_OK);
    CHECK(0, proxy_tlv_find(&got, PROXY_TLV_NOOP, &value));
    CHECK_SLICE(0, value, "ab");
    CHECK(0, !proxy_tlv_find(&got, PROXY_TLV_ALPN, &value));
    for (size_t i = 16; i < sizeof bytes - 1; i++) {
        bytes[i] ^= 0x10;
        in = slice_from(bytes, sizeof bytes - 1);
        /* a flipped type or length of the checksum itself may hide it, or break the grammar */
        if (i != 33 && i != 28)
            CHECK_INT(i, proxy_parse(&in, &got), ST_SYNTAX);
        bytes[i] ^= 0x10;
    }
}

TEST_MAIN(parse, pieces, limits, checksum)
