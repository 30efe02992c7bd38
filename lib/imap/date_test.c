#include "imap/date.h"

#include "base/test.h"

TEST(date_time)
{
    static const struct {
        const char *in;
        enum status want;
        int64_t seconds;
        int zone;
        const char *out; /* NULL: as it went in */
    } cases[] = {
        {"\"17-Jul-1996 02:44:25 -0700\"", ST_OK,     837596665,     -420, NULL                            },
        {"\" 1-jan-1970 00:00:00 +0000\"", ST_OK,     0,             0,    "\" 1-Jan-1970 00:00:00 +0000\""},
        {"\"01-Jan-1970 00:00:00 +0000\"", ST_OK,     0,             0,    "\" 1-Jan-1970 00:00:00 +0000\""},
        {"\"31-Dec-1969 23:59:59 +0000\"", ST_OK,     -1,            0,    NULL                            },
        {"\"29-Feb-2024 12:00:00 +0530\"", ST_OK,     1709188200,    330,  NULL                            },
        {"\" 1-Jan-0001 00:00:00 +0000\"", ST_OK,     -62135596800,  0,    NULL                            },
        {"\"31-Dec-9999 23:59:59 +0000\"", ST_OK,     253402300799,  0,    NULL                            },
        {"\"31-Dec-2016 23:59:60 +0000\"", ST_OK,     1483228800,    0,    "\" 1-Jan-2017 00:00:00 +0000\""},
        {"\"29-Feb-2023 12:00:00 +0000\"", ST_SYNTAX, 0,             0,    ""                              },
        {"\"29-Feb-1900 12:00:00 +0000\"", ST_SYNTAX, 0,             0,    ""                              },
        {"\"1-Jan-1970 00:00:00 +0000\"",  ST_SYNTAX, 0,             0,    ""                              },
        {"\"00-Jan-1970 00:00:00 +0000\"", ST_SYNTAX, 0,             0,    ""                              },
        {"\"01-Foo-1970 00:00:00 +0000\"", ST_SYNTAX, 0,             0,    ""                              },
        {"\"01-Jan-1970 24:00:00 +0000\"", ST_SYNTAX, 0,             0,    ""                              },
        {"\"01-Jan-1970 00:00:00 0000\"",  ST_SYNTAX, 0,             0,    ""                              },
        {"\"01-Jan-1970 00:00:00 +0060\"", ST_SYNTAX, 0,             0,    ""                              },
        {"\"01-Jan-1970 00:00:00 +0000",   ST_SYNTAX, 0,             0,    ""                              },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF b = BUF_INIT(64);
        struct slice in = slice_of(cases[i].in);
        struct imap_time t = {0};

        CHECK_INT(i, imap_take_date_time(&in, &t), cases[i].want);
        CHECK_INT(i, t.seconds, cases[i].seconds);
        CHECK_INT(i, t.zone, cases[i].zone);
        if (cases[i].want != ST_OK)
            continue;
        imap_put_date_time(&b, t);
        CHECK_SLICE(i, buf_slice(&b), cases[i].out != NULL ? cases[i].out : cases[i].in);
    }
}

TEST(date)
{
    static const struct {
        const char *in;
        enum status want;
        int days;
        const char *rest;
    } cases[] = {
        {"1-Feb-1994",      ST_OK,     8797, ""           },
        {"01-Feb-1994 x",   ST_OK,     8797, " x"         },
        {"\"1-Feb-1994\"",  ST_OK,     8797, ""           },
        {"\"1-Feb-1994",    ST_SYNTAX, 0,    "\"1-Feb-1994"},
        {"31-Dec-1969",     ST_OK,     -1,   ""           },
        {"31-Apr-1994",     ST_SYNTAX, 0,    "31-Apr-1994"},
        {"1-Feb-94",        ST_SYNTAX, 0,    "1-Feb-94"   },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        int32_t days = 0;

        CHECK_INT(i, imap_take_date(&in, &days), cases[i].want);
        CHECK_INT(i, days, cases[i].days);
        CHECK_SLICE(i, in, cases[i].rest);
    }
}

/* Every day of 800 years goes out and comes back. */
TEST(every_day)
{
    for (int64_t day = -200000; day < 100000; day++) {
        AUTO_BUF b = BUF_INIT(64);
        struct imap_time t = {day * 86400 + 86399, -1}, back = {0};
        struct slice in;

        imap_put_date_time(&b, t);
        in = buf_slice(&b);
        CHECK_INT(day, imap_take_date_time(&in, &back), ST_OK);
        CHECK_INT(day, back.seconds, t.seconds);
        CHECK_INT(day, imap_time_day(t), day);
    }
}

TEST_MAIN(date_time, date, every_day)
