#include "pop3/command.h"

#include "base/test.h"

TEST(parse)
{
    static const struct {
        const char *in;
        enum status want;
        enum pop3_verb verb;
        const char *text;
        uint32_t message, lines;
        const char *mechanism, *initial; /* initial NULL: none */
    } cases[] = {
        {"USER usr1@dominio.com.uy",     ST_OK,          POP3_USER, "usr1@dominio.com.uy", 0,          0,          "",      NULL      },
        {"user x",                       ST_OK,          POP3_USER, "x",                   0,          0,          "",      NULL      },
        {"USER",                         ST_SYNTAX,      POP3_USER, "",                    0,          0,          "",      NULL      },
        {"USER ",                        ST_SYNTAX,      POP3_USER, "",                    0,          0,          "",      NULL      },
        {"USER a b",                     ST_SYNTAX,      POP3_USER, "",                    0,          0,          "",      NULL      },
        {"USER  a",                      ST_SYNTAX,      POP3_USER, "",                    0,          0,          "",      NULL      },
        {"USER a\rb",                    ST_SYNTAX,      POP3_USER, "",                    0,          0,          "",      NULL      },
        {"PASS  a b ",                   ST_OK,          POP3_PASS, " a b ",               0,          0,          "",      NULL      },
        {"PASS contrase\xc3\xb1"
         "a",                   ST_OK,          POP3_PASS,
         "contrase\xc3\xb1"
         "a",                                                                              0,          0,          "",      NULL      },
        {"PASS",                         ST_SYNTAX,      POP3_PASS, "",                    0,          0,          "",      NULL      },
        {"PASS ",                        ST_SYNTAX,      POP3_PASS, "",                    0,          0,          "",      NULL      },
        {"PASS a\tb",                    ST_SYNTAX,      POP3_PASS, "",                    0,          0,          "",      NULL      },
        {"APOP a 0123",                  ST_UNSUPPORTED, POP3_APOP, "",                    0,          0,          "",      NULL      },
        {"APOP",                         ST_SYNTAX,      POP3_APOP, "",                    0,          0,          "",      NULL      },
        {"STAT",                         ST_OK,          POP3_STAT, "",                    0,          0,          "",      NULL      },
        {"STAT ",                        ST_SYNTAX,      POP3_STAT, "",                    0,          0,          "",      NULL      },
        {"STAT 1",                       ST_SYNTAX,      POP3_STAT, "",                    0,          0,          "",      NULL      },
        {"LIST",                         ST_OK,          POP3_LIST, "",                    0,          0,          "",      NULL      },
        {"list 12",                      ST_OK,          POP3_LIST, "",                    12,         0,          "",      NULL      },
        {"LIST 0",                       ST_SYNTAX,      POP3_LIST, "",                    0,          0,          "",      NULL      },
        {"LIST -1",                      ST_SYNTAX,      POP3_LIST, "",                    0,          0,          "",      NULL      },
        {"LIST 1x",                      ST_SYNTAX,      POP3_LIST, "",                    0,          0,          "",      NULL      },
        {"UIDL 007",                     ST_OK,          POP3_UIDL, "",                    7,          0,          "",      NULL      },
        {"RETR",                         ST_SYNTAX,      POP3_RETR, "",                    0,          0,          "",      NULL      },
        {"RETR 4294967295",              ST_OK,          POP3_RETR, "",                    UINT32_MAX, 0,          "",      NULL      },
        {"RETR 4294967296",              ST_OK,          POP3_RETR, "",                    UINT32_MAX, 0,          "",      NULL      },
        {"RETR 99999999999999999999999", ST_OK,          POP3_RETR, "",                    UINT32_MAX, 0,          "",      NULL      },
        {"RETR 1 2",                     ST_SYNTAX,      POP3_RETR, "",                    0,          0,          "",      NULL      },
        {"DELE 3",                       ST_OK,          POP3_DELE, "",                    3,          0,          "",      NULL      },
        {"TOP 3 0",                      ST_OK,          POP3_TOP,  "",                    3,          0,          "",      NULL      },
        {"TOP 3 9999999999",             ST_OK,          POP3_TOP,  "",                    3,          UINT32_MAX, "",      NULL      },
        {"TOP 3",                        ST_SYNTAX,      POP3_TOP,  "",                    0,          0,          "",      NULL      },
        {"TOP 0 3",                      ST_SYNTAX,      POP3_TOP,  "",                    0,          0,          "",      NULL      },
        {"RSET",                         ST_OK,          POP3_RSET, "",                    0,          0,          "",      NULL      },
        {"NOOP",                         ST_OK,          POP3_NOOP, "",                    0,          0,          "",      NULL      },
        {"QUIT",                         ST_OK,          POP3_QUIT, "",                    0,          0,          "",      NULL      },
        {"CAPA",                         ST_OK,          POP3_CAPA, "",                    0,          0,          "",      NULL      },
        {"STLS",                         ST_OK,          POP3_STLS, "",                    0,          0,          "",      NULL      },
        {"UTF8",                         ST_OK,          POP3_UTF8, "",                    0,          0,          "",      NULL      },
        {"UTF8 x",                       ST_SYNTAX,      POP3_UTF8, "",                    0,          0,          "",      NULL      },
        {"LANG",                         ST_OK,          POP3_LANG, "",                    0,          0,          "",      NULL      },
        {"lang *",                       ST_OK,          POP3_LANG, "*",                   0,          0,          "",      NULL      },
        {"LANG es-419",                  ST_OK,          POP3_LANG, "es-419",              0,          0,          "",      NULL      },
        {"LANG e*",                      ST_SYNTAX,      POP3_LANG, "",                    0,          0,          "",      NULL      },
        {"LANG en de",                   ST_SYNTAX,      POP3_LANG, "",                    0,          0,          "",      NULL      },
        {"AUTH",                         ST_OK,          POP3_AUTH, "",                    0,          0,          "",      NULL      },
        {"AUTH plain",                   ST_OK,          POP3_AUTH, "",                    0,          0,          "plain", NULL      },
        {"AUTH PLAIN AGEAYg==",          ST_OK,          POP3_AUTH, "",                    0,          0,          "PLAIN", "AGEAYg=="},
        {"AUTH PLAIN =",                 ST_OK,          POP3_AUTH, "",                    0,          0,          "PLAIN", "="       },
        {"AUTH PLAIN ",                  ST_SYNTAX,      POP3_AUTH, "",                    0,          0,          "",      NULL      },
        {"AUTH PLAIN a b",               ST_SYNTAX,      POP3_AUTH, "",                    0,          0,          "",      NULL      },
        {"AUTH PL@IN",                   ST_SYNTAX,      POP3_AUTH, "",                    0,          0,          "",      NULL      },
        {"AUTH ABCDEFGHIJKLMNOPQRSTU",   ST_SYNTAX,      POP3_AUTH, "",                    0,          0,          "",      NULL      },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pop3_command got;

        CHECK_INT(i, pop3_command_parse(slice_of(cases[i].in), &got), cases[i].want);
        CHECK_INT(i, got.verb, cases[i].verb);
        CHECK_SLICE(i, got.text, cases[i].text);
        CHECK_INT(i, got.message, cases[i].message);
        CHECK_INT(i, got.lines, cases[i].lines);
        CHECK_SLICE(i, got.mechanism, cases[i].mechanism);
        CHECK_INT(i, got.has_initial, cases[i].initial != NULL);
        if (cases[i].initial != NULL)
            CHECK_SLICE(i, got.initial, cases[i].initial);
    }
}

TEST(unknown)
{
    static const char *const cases[] = {"",   " ",      "XTND",  "USERS a",
                                        "US", "STAT\t", " STAT", "GET / HTTP/1.1"};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pop3_command got = {.verb = POP3_QUIT};

        CHECK_INT(i, pop3_command_parse(slice_of(cases[i]), &got), ST_NOTFOUND);
        CHECK_INT(i, got.verb, POP3_QUIT);
    }
}

TEST(limits)
{
    static char line[POP3_AUTH_LINE_MAX];
    struct pop3_command got;

    memset(line, 'x', sizeof line);
    memcpy(line, "PASS ", 5);
    CHECK_INT(0, pop3_command_parse(slice_from(line, POP3_LINE_MAX - 2), &got), ST_OK);
    CHECK_INT(1, pop3_command_parse(slice_from(line, POP3_LINE_MAX - 1), &got), ST_LIMIT);
    CHECK_INT(1, got.text.n, 0);
    memcpy(line, "AUTH X ", 7);
    CHECK_INT(2, pop3_command_parse(slice_from(line, POP3_AUTH_LINE_MAX - 2), &got), ST_OK);
    CHECK_INT(2, got.initial.n, POP3_AUTH_LINE_MAX - 2 - 7);
    CHECK_INT(3, pop3_command_parse(slice_from(line, POP3_AUTH_LINE_MAX - 1), &got), ST_LIMIT);
    CHECK_INT(4, pop3_command_parse(SLICE("PASS a\0b"), &got), ST_SYNTAX);
}

TEST(rows)
{
    CHECK_SLICE(0, slice_of(pop3_verb_row(POP3_TOP)->name), "TOP");
    CHECK_INT(0, pop3_verb_row(POP3_TOP)->allowed, POP3_TRANSACTION);
    CHECK(1, pop3_verb_row(POP3_STLS)->allowed & POP3_CLEARTEXT);
    CHECK(2, pop3_verb_row(POP3_PASS)->allowed & POP3_SECRET);
}

TEST_MAIN(parse, unknown, limits, rows)
