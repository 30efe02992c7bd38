#include "imap/seqset.h"

#include "base/test.h"

TEST(parse_and_resolve)
{
    static const struct {
        const char *in;
        enum status want;
        uint32_t max;
        const char *resolved, *rest;
    } cases[] = {
        {"1",               ST_OK,     9,          "1",            ""           },
        {"*",               ST_OK,     9,          "9",            ""           },
        {"*",               ST_OK,     0,          "",             ""           },
        {"1:*",             ST_OK,     9,          "1:9",          ""           },
        {"12:*",            ST_OK,     9,          "9:12",         ""           },
        {"5:*",             ST_OK,     0,          "5",            ""           },
        {"*:*",             ST_OK,     3,          "3",            ""           },
        {"5:3,1,4:8 x",     ST_OK,     9,          "1,3:8",        " x"         },
        {"1,2,3",           ST_OK,     9,          "1:3",          ""           },
        {"7,7,7",           ST_OK,     9,          "7",            ""           },
        {"1:4294967295",    ST_OK,     9,          "1:4294967295", ""           },
        {"1:4294967295,1",  ST_OK,     9,          "1:4294967295", ""           },
        {"4294967295,1:*",  ST_OK,     4294967295, "1:4294967295", ""           },
        {"4294967296",      ST_LIMIT,  9,          "",             "4294967296" },
        {"0",               ST_SYNTAX, 9,          "",             "0"          },
        {"1:",              ST_SYNTAX, 9,          "",             "1:"         },
        {"1,",              ST_SYNTAX, 9,          "",             "1,"         },
        {",1",              ST_SYNTAX, 9,          "",             ",1"         },
        {"1:2:3",           ST_OK,     9,          "1:2",          ":3"         },
        {"$",               ST_OK,     9,          "$",            ""           }, /* RFC 5182 3 */
        {"$,1",             ST_OK,     9,          "$",            ",1"         },
        {"1,$",             ST_SYNTAX, 9,          "",             "1,$"        },
        {"",                ST_SYNTAX, 9,          "",             ""           },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(4096);
        AUTO_BUF b = BUF_INIT(4096);
        struct slice in = slice_of(cases[i].in);
        struct imap_seqset set = {0};

        CHECK_INT(i, imap_seqset_parse(&in, &a, &set), cases[i].want);
        imap_seqset_resolve(&set, cases[i].max);
        imap_seqset_put(&b, &set);
        CHECK_SLICE(i, buf_slice(&b), cases[i].resolved);
        CHECK_SLICE(i, in, cases[i].rest);
    }
}

TEST(has_and_count)
{
    struct imap_run runs[] = {{2, 4}, {8, 8}, {10, UINT32_MAX}};
    struct imap_seqset set = {.runs = runs, .n = 3};

    CHECK(0, !imap_seqset_has(&set, 1) && imap_seqset_has(&set, 2) && imap_seqset_has(&set, 4));
    CHECK(1, !imap_seqset_has(&set, 5) && imap_seqset_has(&set, 8) && !imap_seqset_has(&set, 9));
    CHECK(2, imap_seqset_has(&set, UINT32_MAX));
    CHECK_INT(3, imap_seqset_count(&set), 4 + (long long)UINT32_MAX - 9);
    CHECK_INT(4, imap_seqset_largest(&set), UINT32_MAX);
    set.n = 0;
    CHECK(5, !imap_seqset_has(&set, 1) && imap_seqset_count(&set) == 0);
}

TEST(too_many_runs)
{
    AUTO_ARENA a = ARENA_INIT(1u << 20);
    AUTO_BUF b = BUF_INIT(1u << 20);
    struct imap_seqset set;
    struct slice in;

    for (int i = 0; i < IMAP_RUNS_MAX - 1; i++)
        buf_puts(&b, "1,");
    buf_puts(&b, "1");
    in = buf_slice(&b);
    CHECK_INT(0, imap_seqset_parse(&in, &a, &set), ST_OK);
    CHECK_INT(1, set.n, IMAP_RUNS_MAX);
    buf_puts(&b, ",1");
    in = buf_slice(&b);
    CHECK_INT(2, imap_seqset_parse(&in, &a, &set), ST_LIMIT);
}

TEST_MAIN(parse_and_resolve, has_and_count, too_many_runs)
