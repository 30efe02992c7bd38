#include "conf/conf.h"

#include <stdio.h>

#include "base/test.h"

#define DEMO_SETTINGS(SET)                                                                                   \
    SET(bool, strict, "yes", "", "", "Whether a bare LF ends the session.")                                  \
    SET(duration, idle_timeout, "5m", "10s", "1h", "How long a client may stay silent.")                     \
    SET(bytesize, message_size, "50M", "64K", "2G", "Largest message; given as SIZE.")                       \
    SET(bool, greet, "no", "", "", "Whether to greet.")                                                      \
    SET(count, max_recipients, "1000", "100", "100000", "Recipients per transaction.")                       \
    SET(text, banner, "\"ESMTP\"", "0", "20", "What follows the name in the greeting.")                      \
    SET(addresses, proxies, "127.0.0.1", "0", "3", "Who may say whom they speak for.")

struct demo_settings {
    DEMO_SETTINGS(SETTING_FIELD)
};
static const struct setting demo_rows[] = {DEMO_SETTINGS(SETTING_ROW)};
static const struct conf_table demo = CONF_TABLE(demo, demo_rows);

#define OTHER_SETTINGS(SET) SET(count, workers, "2", "1", "64", "Threads that hash.")
struct other_settings {
    OTHER_SETTINGS(SETTING_FIELD)
};
static const struct setting other_rows[] = {OTHER_SETTINGS(SETTING_ROW)};
static const struct conf_table other = CONF_TABLE(other, other_rows);

static enum status
load(const char *text, struct demo_settings *s, struct err *err)
{
    return conf_load(&demo, "f", slice_of(text), s, sizeof *s, err);
}

TEST(defaults)
{
    struct demo_settings s;
    struct err err = {0};

    CHECK_INT(0, conf_table_check(&demo, &err), ST_OK);
    CHECK_INT(0, load("", &s, &err), ST_OK);
    CHECK(0, s.strict && !s.greet);
    CHECK_INT(0, s.idle_timeout, 300000000000ll);
    CHECK_INT(0, s.message_size, 50 << 20);
    CHECK_INT(0, s.max_recipients, 1000);
    CHECK_SLICE(0, s.banner, "ESMTP");
    CHECK_INT(0, s.proxies.n, 1);
    CHECK_INT(0, s.proxies.at[0].family, 4);
    CHECK_INT(0, s.proxies.at[0].bits, 32);
}

/* a whole text -> status, the words, and a value in it as shown */
TEST(load)
{
    static const struct {
        const char *in;
        enum status want;
        const char *text;        /* of the error */
        const char *name, *show; /* on success */
    } cases[] = {
        {"idle_timeout=10s",                           ST_OK,     NULL,                                                         "idle_timeout", "10s"                    },
        {"\n# c\n \t idle_timeout\t= 3600s # c\r\n",   ST_OK,     NULL,                                                         "idle_timeout", "1h"                     },
        {"idle_timeout = 10500ms",                     ST_OK,     NULL,                                                         "idle_timeout", "10500ms"                },
        {"idle_timeout = 9s",                          ST_LIMIT,  "f:1: idle_timeout: \"9s\" is out of range: from 10s to 1h",  NULL,
         NULL                                                                                                                                                            },
        {"\nidle_timeout = 61m",                       ST_LIMIT,  "f:2: idle_timeout: \"61m\" is out of range: from 10s to 1h", NULL,
         NULL                                                                                                                                                            },
        {"idle_timeout = 99999999999999999999s",       ST_LIMIT,  NULL,                                                         NULL,           NULL                     },
        {"idle_timeout = 9999999999999999w",           ST_LIMIT,  NULL,                                                         NULL,           NULL                     },
        {"idle_timeout = 10",                          ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"idle_timeout = 10 s",                        ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"idle_timeout =",                             ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"message_size = 65536",                       ST_OK,     NULL,                                                         "message_size", "64K"                    },
        {"message_size = 65537",                       ST_OK,     NULL,                                                         "message_size", "65537"                  },
        {"message_size = 1g",                          ST_OK,     NULL,                                                         "message_size", "1G"                     },
        {"message_size = 64KB",                        ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"max_recipients = -1",                        ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"max_recipients = 0",                         ST_LIMIT,  NULL,                                                         NULL,           NULL                     },
        {"greet = ON",                                 ST_OK,     NULL,                                                         "greet",        "yes"                    },
        {"strict = off",                               ST_OK,     NULL,                                                         "strict",       "no"                     },
        {"strict = 1",                                 ST_SYNTAX, "f:1: strict: \"1\" is not yes or no",                        NULL,           NULL                     },
        {"banner = a b#c # d",                         ST_OK,     NULL,                                                         "banner",       "\"a b#c\""              },
        {"banner = \" a # b \" # c",                   ST_OK,     NULL,                                                         "banner",       "\" a # b \""            },
        {"banner =",                                   ST_OK,     NULL,                                                         "banner",       "\"\""                   },
        {"banner = \"a",                               ST_SYNTAX, "f:1: banner: the quote is not closed",                       NULL,           NULL                     },
        {"banner = \"a\" b",                           ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"banner = a\"b\"",                            ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"banner = 123456789012345678901",             ST_LIMIT,  NULL,                                                         NULL,           NULL                     },
        {"banner = a\001b",                            ST_SYNTAX, "f:1: control character 0x01",                                NULL,           NULL                     },
        {"banner = a\rb",                              ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = 10.0.0.0/8, ::1,[2001:db8::1]:25", ST_OK,     NULL,                                                         "proxies",
         "10.0.0.0/8, ::1, [2001:db8::1]:25"                                                                                                                             },
        {"proxies = 10.1.2.3:465,0.0.0.0/0",           ST_OK,     NULL,                                                         "proxies",      "10.1.2.3:465, 0.0.0.0/0"},
        {"proxies = ::ffff:1.2.3.4",                   ST_OK,     NULL,                                                         "proxies",      "::ffff:1.2.3.4"         },
        {"proxies =",                                  ST_OK,     NULL,                                                         "proxies",      ""                       },
        {"proxies = ,",                                ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = 10.0.0.1/8",                       ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = 10.0.0.0/33",                      ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = 10.0.0.1:0",                       ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = 10.0.0.1:65536",                   ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = [10.0.0.1]:25",                    ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = [::1",                             ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = host",                             ST_SYNTAX, NULL,                                                         NULL,           NULL                     },
        {"proxies = ::1,::2,::3,::4",                  ST_LIMIT,
         "f:1: proxies: \"::1,::2,::3,::4\" is out of range: from 0 to 3 addresses",                                            NULL,           NULL                     },
        {"greet = yes\n\ngreet = no",                  ST_SYNTAX, "f:3: greet is set twice, first on line 1",                   NULL,           NULL                     },
        {"greet yes",                                  ST_SYNTAX, "f:1: expected \"=\" after \"greet\"",                        NULL,           NULL                     },
        {"= yes",                                      ST_SYNTAX, "f:1: expected the name of a setting",                        NULL,           NULL                     },
        {"[section]",                                  ST_SYNTAX, "f:1: expected the name of a setting",                        NULL,           NULL                     },
        {"other_programs = x\ngreet = yes",            ST_OK,     NULL,                                                         "greet",        "yes"                    },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct demo_settings s, before;
        struct err err = {0};
        AUTO_BUF out = BUF_INIT(4096);

        memset(&s, 0x5a, sizeof s);
        memset(&before, 0x5a, sizeof before);
        CHECK_INT(i, load(cases[i].in, &s, &err), cases[i].want);
        CHECK_INT(i, err.status, cases[i].want);
        if (cases[i].text != NULL)
            CHECK_SLICE(i, slice_of(err.text), cases[i].text);
        if (cases[i].want != ST_OK) {
            CHECK(i, memcmp(&s, &before, sizeof s) == 0);
            continue;
        }
        CHECK_INT(i, conf_show_one(&demo, &s, slice_of(cases[i].name), &out), ST_OK);
        CHECK_SLICE(i, buf_slice(&out), cases[i].show);
    }
}

TEST(limits)
{
    static char text[CONF_LINE_MAX + 8];
    static char big[CONF_TEXT_MAX + 1];
    struct demo_settings s;
    struct err err = {0};

    memset(text, '#', sizeof text);
    CHECK_INT(0, conf_load(&demo, "f", slice_from(text, CONF_LINE_MAX), &s, sizeof s, &err), ST_OK);
    CHECK_INT(1, conf_load(&demo, "f", slice_from(text, CONF_LINE_MAX + 1), &s, sizeof s, &err), ST_LIMIT);
    memset(text, 'a', sizeof text);
    CHECK_INT(2, conf_load(&demo, "f", slice_from(text, CONF_NAME_MAX + 1), &s, sizeof s, &err), ST_LIMIT);
    memset(big, '\n', sizeof big);
    CHECK_INT(3, conf_load(&demo, "f", slice_from(big, CONF_TEXT_MAX), &s, sizeof s, &err), ST_OK);
    CHECK_INT(4, conf_load(&demo, "f", slice_from(big, sizeof big), &s, sizeof s, &err), ST_LIMIT);
    CHECK_INT(5, conf_load(&demo, "f", SLICE("banner = a\0b"), &s, sizeof s, &err), ST_SYNTAX);
}

TEST(check_all)
{
    static const struct conf_table *const all[] = {&demo, &other};
    static const struct {
        const char *in;
        enum status want;
        const char *text;
    } cases[] = {
        {"greet = yes\nworkers = 3\n", ST_OK,       ""                                                               },
        {"workers = 65",               ST_LIMIT,    "f:1: workers: \"65\" is out of range: from 1 to 64"             },
        {"workers = 3\nworkers = 3",   ST_SYNTAX,   "f:2: workers is set twice, first on line 1"                     },
        {"\nidle-timeout = 1m",        ST_NOTFOUND,
         "f:2: there is no setting \"idle-timeout\"; did you mean \"idle_timeout\"?"                                 },
        {"wokrers = 3",                ST_NOTFOUND, "f:1: there is no setting \"wokrers\"; did you mean \"workers\"?"},
        {"Greet = yes",                ST_NOTFOUND, "f:1: there is no setting \"Greet\"; did you mean \"greet\"?"    },
        {"zebra_crossing = 3",         ST_NOTFOUND, "f:1: there is no setting \"zebra_crossing\""                    },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};

        CHECK_INT(i, conf_check(all, COUNT(all), "f", slice_of(cases[i].in), &err), cases[i].want);
        CHECK_SLICE(i, slice_of(err.text), cases[i].text);
    }
}

TEST(bad_tables)
{
    static const struct setting rows[][2] = {
        {{SETTING_count, "a", "1", "2", "3", "T."},      {SETTING_count, "b", "1", "1", "1", "T."}  },
        {{SETTING_count, "a", "1", "1", "0", "T."},      {SETTING_count, "b", "1", "1", "1", "T."}  },
        {{SETTING_count, "a", "1", "1", "1", "T."},      {SETTING_count, "a", "1", "1", "1", "T."}  },
        {{SETTING_count, "a", "1", "1", "1", "T."},      {SETTING_count, "b c", "1", "1", "1", "T."}},
        {{SETTING_count, "a", "1", "1", "1", ""},        {SETTING_count, "b", "1", "1", "1", "T."}  },
        {{SETTING_duration, "a", "1", "1s", "1h", "T."}, {SETTING_count, "b", "1", "1", "1", "T."}  },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct conf_table table = CONF_TABLE(bad, rows[i]);

        CHECK(i, conf_table_check(&table, NULL) != ST_OK);
    }
}

/* What conf_show() writes is read back the same, and the dump's lines are the defaults. */
TEST(round_trip)
{
    struct demo_settings s, again;
    AUTO_BUF shown = BUF_INIT(8192);
    AUTO_BUF second = BUF_INIT(8192);
    AUTO_BUF sample = BUF_INIT(8192);
    AUTO_BUF manual = BUF_INIT(8192);
    static const struct conf_table *const all[] = {&demo};

    CHECK_INT(0, load("proxies = 10.0.0.0/8\nbanner = \" # \"\nmessage_size = 65537", &s, NULL), ST_OK);
    conf_show(&demo, &s, &shown);
    CHECK_INT(0, conf_load(&demo, "f", buf_slice(&shown), &again, sizeof again, NULL), ST_OK);
    conf_show(&demo, &again, &second);
    CHECK_SLICE(0, buf_slice(&second), buf_slice(&shown));

    conf_dump(&demo, &sample);
    CHECK(1, buf_ok(&sample));
    CHECK(1, slice_find_slice(buf_slice(&sample),
                              SLICE("\n# How long a client may stay silent.\n# a duration: a "
                                    "number and ms, s, m, h, d or w. From 10s to 1h.\n"
                                    "#idle_timeout = 5m\n")) < sample.n);
    for (size_t i = 0; i + 1 < sample.n; i++) /* the administrator takes the "#" away */
        if (sample.p[i] == '\n' && sample.p[i + 1] == '#' && i + 2 < sample.n && sample.p[i + 2] != ' ')
            sample.p[i + 1] = ' ';
    CHECK_INT(1, conf_check(all, 1, "f", buf_slice(&sample), NULL), ST_OK);
    conf_manual(&demo, &manual);
    CHECK(2, buf_ok(&manual));
    CHECK(2, slice_has_prefix(buf_slice(&manual), SLICE(".TP\n.B strict = \\fIyes\\fR\n\\&Whether")));
}

TEST(cover)
{
    static const struct {
        const char *list;
        uint8_t ip[16];
        size_t n;
        bool want;
    } cases[] = {
        {"10.0.0.0/8",     {10, 1, 2, 3},                            4,  true },
        {"10.0.0.0/8",     {11, 1, 2, 3},                            4,  false},
        {"10.1.2.0/23",    {10, 1, 3, 9},                            4,  true },
        {"10.1.2.0/23",    {10, 1, 4, 9},                            4,  false},
        {"0.0.0.0/0",      {1, 2, 3, 4},                             4,  true },
        {"0.0.0.0/0",      {0x20, 1},                                16, false},
        {"127.0.0.1",      {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}, 16, true },
        {"::1",            {[15] = 1},                               16, true },
        {"::1, 127.0.0.1", {127, 0, 0, 1},                           4,  true },
        {"",               {127, 0, 0, 1},                           4,  false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128];
        struct demo_settings s;

        snprintf(text, sizeof text, "proxies = %s", cases[i].list);
        CHECK_INT(i, load(text, &s, NULL), ST_OK);
        CHECK_INT(i, conf_addresses_cover(&s.proxies, slice_from(cases[i].ip, cases[i].n)), cases[i].want);
    }
}

TEST_MAIN(defaults, load, limits, check_all, bad_tables, round_trip, cover)
