#include "smtp/path.h"

#include "base/test.h"

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define L61 A60 "a."

TEST(smtp_path_parse)
{
    static const struct {
        const char *in;
        enum status want;
        const char *local, *domain, *rest;
    } cases[] = {
        {"<a@b.example> SIZE=1", ST_OK, "a", "b.example", " SIZE=1"},
        {"<>", ST_OK, "", "", ""},
        {"<\"a b\"@b.example>", ST_OK, "\"a b\"", "b.example", ""},
        {"<a@b\n.example>", ST_SYNTAX, "", "", "<a@b\n.example>"},
        {"<\"a\\\"b\"@c>", ST_OK, "\"a\\\"b\"", "c", ""},
        {"<\"@\"@c>", ST_OK, "\"@\"", "c", ""},
        {"<\">\"@c>", ST_OK, "\">\"", "c", ""},
        {"<a.b+c/d=e@x-y.z>", ST_OK, "a.b+c/d=e", "x-y.z", ""},
        {"<@r1,@r2.example:a@b>", ST_OK, "a", "b", ""},
        {"<@r1:>", ST_SYNTAX, "", "", "<@r1:>"},
        {"<@r1,:a@b>", ST_SYNTAX, "", "", "<@r1,:a@b>"},
        {"<@r1:postmaster>", ST_OK, "postmaster", "", ""},
        {"<postmaster>", ST_OK, "postmaster", "", ""},
        {"<POSTmaster>x", ST_OK, "POSTmaster", "", "x"},
        {"<postmaster2>", ST_SYNTAX, "", "", "<postmaster2>"},
        {"<a>", ST_SYNTAX, "", "", "<a>"},
        {"<a@[192.0.2.1]>", ST_OK, "a", "[192.0.2.1]", ""},
        {"<a@[192.0.2.256]>", ST_SYNTAX, "", "", "<a@[192.0.2.256]>"},
        {"<a@[IPv6:2001:db8::1]>", ST_OK, "a", "[IPv6:2001:db8::1]", ""},
        {"<a@[ipv6:::ffff:192.0.2.1]>", ST_OK, "a", "[ipv6:::ffff:192.0.2.1]", ""},
        {"<a@[IPv6:fe80::1%eth0]>", ST_SYNTAX, "", "", "<a@[IPv6:fe80::1%eth0]>"},
        {"<a@[x-tag:any.thing]>", ST_OK, "a", "[x-tag:any.thing]", ""},
        {"<a@[x-:y]>", ST_SYNTAX, "", "", "<a@[x-:y]>"},
        {"<a@[]>", ST_SYNTAX, "", "", "<a@[]>"},
        {"a@b", ST_SYNTAX, "", "", "a@b"},
        {"<a@b", ST_SYNTAX, "", "", "<a@b"},
        {"<a@b c>", ST_SYNTAX, "", "", "<a@b c>"},
        {"< a@b>", ST_SYNTAX, "", "", "< a@b>"},
        {"<.a@b>", ST_SYNTAX, "", "", "<.a@b>"},
        {"<a.@b>", ST_SYNTAX, "", "", "<a.@b>"},
        {"<a..b@c>", ST_SYNTAX, "", "", "<a..b@c>"},
        {"<\"\"@b>", ST_SYNTAX, "", "", "<\"\"@b>"},
        {"<\"a@b>", ST_SYNTAX, "", "", "<\"a@b>"},
        {"<\"a\"b@c>", ST_SYNTAX, "", "", "<\"a\"b@c>"},
        {"<a@-b>", ST_SYNTAX, "", "", "<a@-b>"},
        {"<a@b->", ST_SYNTAX, "", "", "<a@b->"},
        {"<a@b.>", ST_SYNTAX, "", "", "<a@b.>"},
        {"<a@b..c>", ST_SYNTAX, "", "", "<a@b..c>"},
        {"<a@@b>", ST_SYNTAX, "", "", "<a@@b>"},
        {"<\xc3\xb1@b>", ST_SYNTAX, "", "", "<\xc3\xb1@b>"},
        {"<;sleep;@b>", ST_SYNTAX, "", "", "<;sleep;@b>"},
        {"", ST_SYNTAX, "", "", ""},
        {"<", ST_SYNTAX, "", "", "<"},
        {"<" A60 "aaaa@b>", ST_OK, A60 "aaaa", "b", ""},
        {"<" A60 "aaaaa@b>", ST_LIMIT, "", "", "<" A60 "aaaaa@b>"},
        {"<a@" A60 "aaa>", ST_OK, "a", A60 "aaa", ""},
        {"<a@" A60 "aaaa>", ST_SYNTAX, "", "", "<a@" A60 "aaaa>"},
        {"<a@" L61 L61 L61 L61 "aaaa>", ST_OK, "a", L61 L61 L61 L61 "aaaa", ""},
        {"<a@" L61 L61 L61 L61 "aaaaa>", ST_LIMIT, "", "", "<a@" L61 L61 L61 L61 "aaaaa>"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        struct smtp_path path = {0};

        CHECK_INT(i, smtp_path_parse(&in, &path), cases[i].want);
        CHECK_SLICE(i, path.local, cases[i].local);
        CHECK_SLICE(i, path.domain, cases[i].domain);
        CHECK_SLICE(i, in, cases[i].rest);
    }
}

TEST(nul_is_nowhere)
{
    static const char *const cases[] = {"<a?@b>", "<a@b?>", "<\"a?\"@b>", "<\"\\?\"@b>", "<?>", "<a@[1.2.3.4?]>"};

    for (size_t i = 0; i < COUNT(cases); i++) {
        char copy[32];
        size_t n = strlen(cases[i]);
        struct slice in = slice_from(copy, n);
        struct smtp_path path;

        memcpy(copy, cases[i], n);
        *(char *)memchr(copy, '?', n) = '\0';
        CHECK_INT(i, smtp_path_parse(&in, &path), ST_SYNTAX);
    }
}

TEST(utf8)
{
    static const struct {
        const char *in;
        enum status want;
    } cases[] = {
        {"<\xc3\xb1@\xc3\xb1.example>", ST_OK},  {"<\"\xc3\xb1 x\"@b>", ST_OK},  {"<\xc0\x80@b>", ST_SYNTAX},
        {"<\xed\xa0\x80@b>", ST_SYNTAX},         {"<\xf4\x90\x80\x80@b>", ST_SYNTAX}, {"<\xf0\x9f\x93\xa7@b>", ST_OK},
        {"<\xc3@b>", ST_SYNTAX},                 {"<a@b\xff>", ST_SYNTAX},       {"<a@b>", ST_OK},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        struct smtp_path path;

        CHECK_INT(i, smtp_path_parse_utf8(&in, &path), cases[i].want);
    }
}

TEST(unquote)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"a", "a"}, {"\"a\"", "a"}, {"\"a b\"", "a b"}, {"\"a\\\"b\\\\\"", "a\"b\\"}, {"", ""}, {"\"", ""}, {"\"\\", "\\"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(100);

        smtp_local_unquote(&out, slice_of(cases[i].in));
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

TEST(whole)
{
    struct smtp_path path;

    CHECK_INT(0, smtp_mailbox_parse(SLICE("a@b"), &path), ST_OK);
    CHECK_INT(1, smtp_mailbox_parse(SLICE("a@b "), &path), ST_SYNTAX);
    CHECK_INT(2, smtp_mailbox_parse(SLICE(""), &path), ST_SYNTAX);
    CHECK(3, smtp_is_domain(SLICE("a-b.example")));
    CHECK(4, !smtp_is_domain(SLICE("a_b.example")));
    CHECK(5, !smtp_is_domain(SLICE("")));
    CHECK(6, smtp_is_address_literal(SLICE("[127.0.0.1]")));
    CHECK(7, !smtp_is_address_literal(SLICE("[127.0.0.1]x")));
}

TEST_MAIN(smtp_path_parse, nul_is_nowhere, utf8, unquote, whole)
