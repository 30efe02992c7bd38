#include "imap/command.h"

#include "base/test.h"

static const struct imap_limits limits = {.line = 64, .command = 128, .nonsync = 16, .literals = 3, .body = 1000};

TEST(reader)
{
    static const struct {
        const char *in;
        enum status want;
        const char *text, *rest;
        bool go_ahead, fatal, body;
        uint64_t body_n;
    } cases[] = {
        {"a NOOP\r\nb",                   ST_OK,     "a NOOP",                   "b",        false, false, false, 0   },
        {"a NOOP",                        ST_MORE,   "a NOOP",                   "",         false, false, false, 0   },
        {"a NOOP\nb",                     ST_SYNTAX, "a NOOP\n",                 "b",        false, false, false, 0   },
        {"a NO\rOP\r\nb",                 ST_SYNTAX, "a NO\rOP\r\n",             "b",        false, false, false, 0   },
        {"a X {5+}\nb",                   ST_SYNTAX, "a X {5+}\n",               "b",        false, true,  false, 0   },
        {"a LOGIN {1}\r\n",               ST_MORE,   "a LOGIN {1}\r\n",          "",         true,  false, false, 0   },
        {"a LOGIN {1+}\r\nu {1+}\r\np\r\n", ST_OK,   "a LOGIN {1+}\r\nu {1+}\r\np", "",      false, false, false, 0   },
        {"a LOGIN {3+}\r\n\r\n\n \"x\"\r\nz", ST_OK, "a LOGIN {3+}\r\n\r\n\n \"x\"", "z",    false, false, false, 0   },
        {"a X {0+}\r\n\r\n",              ST_OK,     "a X {0+}\r\n",             "",         false, false, false, 0   },
        {"a X {17+}\r\nb",                ST_LIMIT,  "a X {17+}\r\n",            "b",        false, true,  false, 0   },
        {"a LOGIN {999}\r\nb",            ST_LIMIT,  "a LOGIN {999}\r\n",        "b",        false, false, false, 0   },
        {"a LOGIN {99999999999999999999}\r\n", ST_LIMIT, "a LOGIN {99999999999999999999}\r\n", "",   false, false, false, 0   },
        {"a X {0+}\r\n{0+}\r\n{0+}\r\n{0}\r\n", ST_LIMIT, "a X {0+}\r\n{0+}\r\n{0+}\r\n{0}\r\n", "", false, false, false, 0},
        {"a X {5}\r\nb",                  ST_SYNTAX, "a X {5}\r\n",              "b",        false, false, false, 0   },
        {"a NOOP {5}\r\nb",               ST_SYNTAX, "a NOOP {5}\r\n",           "b",        false, false, false, 0   },
        {"a {5}\r\nb",                    ST_SYNTAX, "a {5}\r\n",                "b",        false, false, false, 0   },
        {"a APPEND x {5}\r\nb",           ST_OK,     "a APPEND x ",              "b",        false, false, true,  5   },
        {"a append x (\\Seen) {5+}\r\nb", ST_OK,     "a append x (\\Seen) ",     "b",        false, false, true,  5   },
        {"a APPEND {5}\r\n",              ST_MORE,   "a APPEND {5}\r\n",         "",         true,  false, false, 0   },
        {"a APPEND {1+}\r\nx {7+}\r\nb",  ST_OK,     "a APPEND {1+}\r\nx ",      "b",        false, false, true,  7   },
        {"a APPEND x ~{9+}\r\nb",         ST_OK,     "a APPEND x ",              "b",        false, false, true,  9   },
        {"a APPEND x UTF8 (~{9}\r\n",     ST_OK,     "a APPEND x UTF8 (",        "",         false, false, true,  9   },
        {"a X ~{9}\r\nb",                 ST_SYNTAX, "a X ~{9}\r\n",             "b",        false, false, false, 0   },
        {"a X ~{9+}\r\nb",                ST_SYNTAX, "a X ~{9+}\r\n",            "b",        false, true,  false, 0   },
        {"a APPEND x {1001}\r\nb",        ST_LIMIT,  "a APPEND x {1001}\r\n",    "b",        false, false, false, 0   },
        {"a APPEND x {1001+}\r\nb",       ST_LIMIT,  "a APPEND x {1001+}\r\n",   "b",        false, true,  false, 0   },
    };

    /* The cut of the input into pieces must not matter. */
    for (size_t piece = 1; piece < 40; piece += 7) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            struct slice in = slice_of(cases[i].in);
            struct imap_reader r;
            enum status st = ST_MORE;
            bool go_ahead = false;

            imap_reader_init(&r, limits);
            while (in.n > 0 && st == ST_MORE) {
                struct slice some = slice_sub(in, 0, piece);
                size_t before = some.n;

                st = imap_reader_feed(&r, &some);
                in = slice_skip(in, before - some.n);
                go_ahead |= r.go_ahead;
            }
            CHECK_INT(i, st, cases[i].want);
            CHECK_SLICE(i, imap_reader_text(&r), cases[i].text);
            CHECK_SLICE(i, in, cases[i].rest);
            CHECK_INT(i, go_ahead, cases[i].go_ahead);
            CHECK_INT(i, r.fatal, cases[i].fatal);
            CHECK_INT(i, r.body, cases[i].body);
            CHECK_INT(i, r.body_n, cases[i].body_n);
            imap_reader_done(&r);
        }
    }
}

/* RFC 3501 7.5: each "{n}" is answered, also when its bytes are there already. */
TEST(reader_go_ahead)
{
    struct imap_reader r;
    struct slice in = SLICE("a LOGIN {1}\r\nu {2+}\r\n{} {0}\r\n\r\nb NOOP\r\n");
    int go_aheads = 0;
    enum status st;

    imap_reader_init(&r, limits);
    do {
        st = imap_reader_feed(&r, &in);
        go_aheads += st == ST_MORE && r.go_ahead;
    } while (st == ST_MORE && in.n > 0);
    CHECK_INT(0, st, ST_OK);
    CHECK_INT(1, go_aheads, 2);
    CHECK_SLICE(2, in, "b NOOP\r\n");
    imap_reader_done(&r);
}

TEST(reader_line_limit)
{
    struct imap_reader r;
    char line[65];
    struct slice in;

    memset(line, 'x', sizeof(line));
    imap_reader_init(&r, limits);
    in = slice_from(line, 64);
    CHECK_INT(0, imap_reader_feed(&r, &in), ST_MORE);
    in = slice_from(line, 1);
    CHECK_INT(1, imap_reader_feed(&r, &in), ST_LIMIT);
    CHECK(2, r.fatal && r.text.n <= 64);
    imap_reader_done(&r);
}

TEST(reader_after_body)
{
    struct imap_reader r;
    struct slice in = SLICE("a APPEND x {5}\r\n");

    imap_reader_init(&r, limits);
    CHECK_INT(0, imap_reader_feed(&r, &in), ST_OK);
    CHECK(1, r.body && r.body_sync);
    imap_reader_body_done(&r);
    in = SLICE("\r\nb NOOP\r\n");
    CHECK_INT(2, imap_reader_feed(&r, &in), ST_OK);
    CHECK(3, !r.body && r.text.n == 0);
    imap_reader_next(&r);
    CHECK_INT(4, imap_reader_feed(&r, &in), ST_OK);
    CHECK_SLICE(5, imap_reader_text(&r), "b NOOP");
    imap_reader_next(&r);
    in = SLICE("a APPEND x UTF8 (~{5}\r\n");
    CHECK_INT(8, imap_reader_feed(&r, &in), ST_OK);
    imap_reader_body_done(&r);
    in = SLICE(")\r\n");
    CHECK_INT(9, imap_reader_feed(&r, &in), ST_OK);
    imap_reader_next(&r);
    in = SLICE("a APPEND x UTF8 (~{5}\r\n");
    CHECK_INT(10, imap_reader_feed(&r, &in), ST_OK);
    imap_reader_body_done(&r);
    in = SLICE("\r\n");
    CHECK_INT(11, imap_reader_feed(&r, &in), ST_SYNTAX);
    imap_reader_done(&r);
}

/* RFC 3502 4: what follows a message. */
TEST(reader_next_message)
{
    static const struct {
        bool utf8;
        const char *in;
        enum status want;
        const char *text, *rest;
        bool fatal, body, sync;
        uint64_t n;
    } cases[] = {
        {false, "\r\nb NOOP\r\n",                 ST_OK,     "",                 "b NOOP\r\n", false, false, false, 0 },
        {false, " {5}\r\nx",                       ST_OK,     " ",                "x",          false, true,  true,  5 },
        {false, " {5+}\r\nx",                      ST_OK,     " ",                "x",          false, true,  false, 5 },
        {false, " {0}\r\n",                        ST_OK,     " ",                "",           false, true,  true,  0 },
        {false, " (\\Seen) ~{5+}\r\nx",            ST_OK,     " (\\Seen) ",        "x",          false, true,  false, 5 },
        {false, " (a) \"x\" UTF8 (~{5}\r\n",       ST_OK,     " (a) \"x\" UTF8 (", "",           false, true,  true,  5 },
        {false, " UTF8 (~{5}\r\n",                 ST_OK,     " UTF8 (",          "",           false, true,  true,  5 },
        {false, " {1001}\r\nx",                    ST_LIMIT,  " {1001}\r\n",      "x",          false, false, false, 0 },
        {false, " {1001+}\r\nx",                   ST_LIMIT,  " {1001+}\r\n",     "x",          true,  false, false, 0 },
        {false, "{5}\r\nx",                        ST_SYNTAX, "{5}\r\n",          "x",          false, false, false, 0 },
        {false, "{5+}\r\nx",                       ST_SYNTAX, "{5+}\r\n",         "x",          true,  false, false, 0 },
        {false, ") {5+}\r\nx",                     ST_SYNTAX, ") {5+}\r\n",       "x",          true,  false, false, 0 },
        {false, " x\r\ny",                         ST_SYNTAX, " x\r\n",           "y",          false, false, false, 0 },
        {false, " \r\ny",                          ST_SYNTAX, " \r\n",            "y",          false, false, false, 0 },
        {false, " {5+}\nx",                        ST_SYNTAX, " {5+}\n",          "x",          true,  false, false, 0 },
        {true,  ")\r\ny",                          ST_OK,     "",                 "y",          false, false, false, 0 },
        {true,  ") (\\Seen) {5}\r\n",              ST_OK,     " (\\Seen) ",        "",           false, true,  true,  5 },
        {true,  ") UTF8 (~{5+}\r\nx",              ST_OK,     " UTF8 (",          "x",          false, true,  false, 5 },
        {true,  "){5}\r\n",                        ST_SYNTAX, "){5}\r\n",         "",           false, false, false, 0 },
        {true,  " {5}\r\n",                        ST_SYNTAX, " {5}\r\n",         "",           false, false, false, 0 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = cases[i].utf8 ? SLICE("a APPEND x UTF8 (~{5}\r\n") : SLICE("a APPEND x {5}\r\n");
        struct imap_reader r;

        imap_reader_init(&r, limits);
        CHECK_INT(i, imap_reader_feed(&r, &in), ST_OK);
        imap_reader_body_done(&r);
        in = slice_of(cases[i].in);
        CHECK_INT(i, imap_reader_feed(&r, &in), cases[i].want);
        CHECK_SLICE(i, imap_reader_text(&r), cases[i].text);
        CHECK_SLICE(i, in, cases[i].rest);
        CHECK(i, r.fatal == cases[i].fatal && r.body == cases[i].body && r.body_n == cases[i].n);
        CHECK(i, r.body_sync == cases[i].sync && (cases[i].want == ST_OK || r.why != NULL));
        imap_reader_done(&r);
    }
}

TEST(reader_tag)
{
    static const struct {
        const char *in, *tag;
    } cases[] = {
        {"a1 NO\rOP\r\n", "a1"},
        {"a1\r\n",        "*" },
        {"+ x\n",         "*" },
        {"\r\n",          "*" },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct imap_reader r;
        struct slice in = slice_of(cases[i].in);

        imap_reader_init(&r, limits);
        CHECK(i, imap_reader_feed(&r, &in) != ST_MORE);
        CHECK_SLICE(i, imap_reader_tag(&r), cases[i].tag);
        imap_reader_done(&r);
    }
}

TEST(parse)
{
    static const struct {
        const char *in;
        enum status want;
        const char *tag;
        enum imap_verb verb;
        bool uid;
        const char *args;
    } cases[] = {
        {"a NOOP",              ST_OK,     "a",   IMAP_NOOP,    false, ""       },
        {"a.1 login u p",       ST_OK,     "a.1", IMAP_LOGIN,   false, "u p"    },
        {"a UID fetch 1 FLAGS", ST_OK,     "a",   IMAP_FETCH,   true,  "1 FLAGS"},
        {"a UID EXPUNGE 1:*",   ST_OK,     "a",   IMAP_EXPUNGE, true,  "1:*"    },
        {"a EXPUNGE",           ST_OK,     "a",   IMAP_EXPUNGE, false, ""       },
        {"a EXPUNGE 1",         ST_SYNTAX, "a",   0,            false, ""       },
        {"a UID EXPUNGE",       ST_SYNTAX, "a",   0,            false, ""       },
        {"a UID NOOP",          ST_SYNTAX, "a",   0,            false, ""       },
        {"a UID",               ST_SYNTAX, "a",   0,            false, ""       },
        {"a NOOP ",             ST_SYNTAX, "a",   0,            false, ""       },
        {"a NOOP x",            ST_SYNTAX, "a",   0,            false, ""       },
        {"a SELECT",            ST_SYNTAX, "a",   0,            false, ""       },
        {"a SELECT ",           ST_SYNTAX, "a",   0,            false, ""       },
        {"a XYZZY",             ST_SYNTAX, "a",   0,            false, ""       },
        {"a",                   ST_SYNTAX, "a",   0,            false, ""       },
        {"a  NOOP",             ST_SYNTAX, "a",   0,            false, ""       },
        {"+ NOOP",              ST_SYNTAX, "*",   0,            false, ""       },
        {" NOOP",               ST_SYNTAX, "*",   0,            false, ""       },
        {"",                    ST_SYNTAX, "*",   0,            false, ""       },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct imap_command cmd;
        const char *why = NULL;

        CHECK_INT(i, imap_command_parse(slice_of(cases[i].in), &cmd, &why), cases[i].want);
        CHECK_SLICE(i, cmd.tag, cases[i].tag);
        CHECK_INT(i, cmd.verb, cases[i].verb);
        CHECK_INT(i, cmd.uid, cases[i].uid);
        CHECK_SLICE(i, cmd.args, cases[i].args);
        CHECK(i, (why != NULL) == (cases[i].want != ST_OK));
    }
}

TEST_MAIN(reader, reader_go_ahead, reader_line_limit, reader_after_body, reader_next_message, reader_tag, parse)
