#include "smtp/xclient.h"

#include "base/test.h"

TEST(parse)
{
    static const struct {
        const char *in;
        enum status want;
        const char *name, *helo;
        int last; /* of the address; -1: none */
    } cases[] = {
        {"NAME=spike.example ADDR=192.0.2.7",                                        ST_OK,     "spike.example", "",  7 },
        {"addr=IPV6:2001:db8::9 helo=h",                                             ST_OK,     "",              "h", 9 },
        {"ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]",                                    ST_OK,     "",              "",  -1},
        {"PORT=25 PROTO=ESMTP DESTADDR=192.0.2.1 DESTPORT=25 SOURCE=REMOTE IDENT=x", ST_OK,     "",              "",  -1},
        {"LOGIN=root",                                                               ST_SYNTAX, "",              "",  -1},
        {"ADDR=2001:db8::9",                                                         ST_SYNTAX, "",              "",  -1},
        {"ADDR=IPV6:192.0.2.1",                                                      ST_SYNTAX, "",              "",  -1},
        {"NAME=a+0Ab",                                                               ST_SYNTAX, "",              "",  -1},
        {"NAME=a+00b",                                                               ST_SYNTAX, "",              "",  -1},
        {"NAME=",                                                                    ST_SYNTAX, "",              "",  -1},
        {"NAME",                                                                     ST_SYNTAX, "",              "",  -1},
        {"FOO=1",                                                                    ST_SYNTAX, "",              "",  -1},
        {"",                                                                         ST_SYNTAX, "",              "",  -1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_xclient got = {0};

        CHECK_INT(i, smtp_xclient_parse(slice_of(cases[i].in), &got), cases[i].want);
        CHECK_SLICE(i, got.has_name ? got.name : (struct slice){0}, cases[i].name);
        CHECK_SLICE(i, got.has_helo ? got.helo : (struct slice){0}, cases[i].helo);
        CHECK_INT(i, got.has_addr ? got.addr[15] : -1, cases[i].last);
    }
}

TEST_MAIN(parse)
