#include "auth/fingerprint.h"

#include "base/test.h"

#define A "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define B "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:f0"

TEST(map)
{
    static const struct {
        const char *map;
        enum status check, find;
        const char *account;
    } cases[] = {
        {"",                                     ST_OK,     ST_NOTFOUND, ""              },
        {A "=usr1@d.example",                    ST_OK,     ST_OK,       "usr1@d.example"},
        {B "=usr1@d.example",                    ST_OK,     ST_NOTFOUND, ""              },
        {" " B "=usr1 , " A "=usr2," A "=usr3 ", ST_OK,     ST_OK,       "usr2"          },
        {A "=a" A "=b",                          ST_OK,     ST_OK,       "a" A "=b"      },
        {A "=",                                  ST_SYNTAX, ST_SYNTAX,   ""              },
        {A,                                      ST_SYNTAX, ST_SYNTAX,   ""              },
        {A "=usr1 usr2",                         ST_SYNTAX, ST_SYNTAX,   ""              },
        {"0" A "=usr1",                          ST_SYNTAX, ST_SYNTAX,   ""              },
        {"g" A "=usr1",                          ST_SYNTAX, ST_SYNTAX,   ""              },
        {A "=usr1,,",                            ST_SYNTAX, ST_SYNTAX,   ""              },
        {"00",                                   ST_SYNTAX, ST_SYNTAX,   ""              },
    };
    uint8_t want[FINGERPRINT];

    for (size_t i = 0; i < FINGERPRINT; i++)
        want[i] = (uint8_t)(i % 16 * 0x11);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice account = {0};

        CHECK_INT(i, fingerprints_check(slice_of(cases[i].map), NULL), cases[i].check);
        CHECK_INT(i, fingerprints_find(slice_of(cases[i].map), want, &account), cases[i].find);
        CHECK_SLICE(i, account, cases[i].account);
    }
}

TEST_MAIN(map)
