#include "imap/token.h"

#include "base/test.h"

TEST(astring)
{
    static const struct {
        const char *in;
        enum status want;
        const char *out, *rest;
    } cases[] = {
        {"INBOX x",           ST_OK,     "INBOX",  " x"                },
        {"a]b",               ST_OK,     "a]b",    ""                  },
        {"\"\"",              ST_OK,     "",       ""                  },
        {"\"a b\" c",         ST_OK,     "a b",    " c"                },
        {"\"a\\\"b\\\\\"",    ST_OK,     "a\"b\\", ""                  },
        {"\"a\\b\"",          ST_SYNTAX, "",       "\"a\\b\""          },
        {"\"open",            ST_SYNTAX, "",       "\"open"            },
        {"\"open\\",          ST_SYNTAX, "",       "\"open\\"          },
        {"\"a\r\n\"",         ST_SYNTAX, "",       "\"a\r\n\""         },
        {"{3}\r\nabcd",       ST_OK,     "abc",    "d"                 },
        {"{3+}\r\na\r\n)",    ST_OK,     "a\r\n",  ")"                 },
        {"{0}\r\n",           ST_OK,     "",       ""                  },
        {"{4}\r\nabc",        ST_SYNTAX, "",       "{4}\r\nabc"        },
        {"{3}\nabc",          ST_SYNTAX, "",       "{3}\nabc"          },
        {"{-1}\r\n",          ST_SYNTAX, "",       "{-1}\r\n"          },
        {"{99999999999}\r\n", ST_SYNTAX, "",       "{99999999999}\r\n" },
        {"",                  ST_SYNTAX, "",       ""                  },
        {"(",                 ST_SYNTAX, "",       "("                 },
        {"\xc3\xa9",          ST_SYNTAX, "",       "\xc3\xa9"          },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(4096);
        struct slice in = slice_of(cases[i].in), out = {0};

        CHECK_INT(i, imap_take_astring(&in, &a, &out), cases[i].want);
        CHECK_SLICE(i, out, cases[i].out);
        CHECK_SLICE(i, in, cases[i].rest);
    }
}

TEST(literal_nul)
{
    struct slice in = SLICE("{3}\r\na\0b"), out;

    CHECK_INT(0, imap_take_literal(&in, &out), ST_SYNTAX);
}

TEST(numbers)
{
    static const struct {
        const char *in;
        enum status plain, nz;
    } cases[] = {
        {"0",          ST_OK,     ST_SYNTAX},
        {"01",         ST_OK,     ST_SYNTAX},
        {"4294967295", ST_OK,     ST_OK    },
        {"4294967296", ST_LIMIT,  ST_LIMIT },
        {"x",          ST_SYNTAX, ST_SYNTAX},
        {"",           ST_SYNTAX, ST_SYNTAX},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        uint32_t n;

        CHECK_INT(i, imap_take_number(&in, &n), cases[i].plain);
        in = slice_of(cases[i].in);
        CHECK_INT(i, imap_take_nz_number(&in, &n), cases[i].nz);
    }
}

TEST(literal_header)
{
    static const struct {
        const char *line;
        bool want;
        uint64_t n;
        bool sync;
        size_t at;
    } cases[] = {
        {"a LOGIN {5}",                true,  5,          true,  8},
        {"{0+}",                       true,  0,          false, 0},
        {"x{99999999999999999999999}", true,  UINT64_MAX, true,  1},
        {"a X ~{5+}",                  true,  5,          false, 4},
        {"x}",                         false, 0,          false, 0},
        {"x{}",                        false, 0,          false, 0},
        {"x{+}",                       false, 0,          false, 0},
        {"{5} ",                       false, 0,          false, 0},
        {"5}",                         false, 0,          false, 0},
        {"}",                          false, 0,          false, 0},
        {"",                           false, 0,          false, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct imap_literal lit = {0};

        CHECK_INT(i, imap_literal_header(slice_of(cases[i].line), &lit), cases[i].want);
        CHECK_INT(i, lit.n, cases[i].n);
        CHECK_INT(i, lit.sync, cases[i].sync);
        CHECK_INT(i, lit.at, cases[i].at);
    }
}

TEST(writers)
{
    static const struct {
        const char *in, *astring, *string;
    } cases[] = {
        {"INBOX",    "INBOX",            "\"INBOX\""       },
        {"",         "\"\"",             "\"\""            },
        {"a b",      "\"a b\"",          "\"a b\""         },
        {"a\"\\",    "\"a\\\"\\\\\"",    "\"a\\\"\\\\\""   },
        {"a\r\nb",   "{4}\r\na\r\nb",    "{4}\r\na\r\nb"   },
        {"\xc3\xa9", "{2}\r\n\xc3\xa9",  "{2}\r\n\xc3\xa9" },
        {"nil",      "\"nil\"",          "\"nil\""         },
    };
    AUTO_BUF b = BUF_INIT(4096);

    for (size_t i = 0; i < COUNT(cases); i++) {
        buf_clear(&b);
        imap_put_astring(&b, slice_of(cases[i].in));
        CHECK_SLICE(i, buf_slice(&b), cases[i].astring);
        buf_clear(&b);
        imap_put_string(&b, slice_of(cases[i].in));
        CHECK_SLICE(i, buf_slice(&b), cases[i].string);
    }
    buf_clear(&b);
    imap_put_nstring(&b, (struct slice){0});
    CHECK_SLICE(0, buf_slice(&b), "NIL");
}

TEST_MAIN(astring, literal_nul, numbers, literal_header, writers)
