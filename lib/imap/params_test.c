#include "base/test.h"
#include "imap/params.h"

TEST(list)
{
    static const struct {
        const char *in;
        enum status want;
        size_t n;
        bool extended;
        unsigned select, give;
        uint32_t status;
    } cases[] = {
        {"\"\" *",                                       ST_OK,     1, false, 0,                                              0, 0                         },
        {"() \"\" *",                                    ST_OK,     1, true,  0,                                              0, 0                         },
        {"\"\" (a \"b c\" %/x)",                         ST_OK,     3, true,  0,                                              0, 0                         },
        {"(subscribed REMOTE) \"\" *",                   ST_OK,     1, true,  IMAP_SELECT_SUBSCRIBED | IMAP_SELECT_REMOTE,    0, 0                         },
        {"(RECURSIVEMATCH SUBSCRIBED) x %",              ST_OK,     1, true,  IMAP_SELECT_SUBSCRIBED | IMAP_SELECT_RECURSIVE, 0,
         0                                                                                                                                                 },
        {"(RECURSIVEMATCH) \"\" *",                      ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"(RECURSIVEMATCH REMOTE) \"\" *",               ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"(XYZZY) \"\" *",                               ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"(SUBSCRIBED SUBSCRIBED) \"\" *",               ST_OK,     1, true,  IMAP_SELECT_SUBSCRIBED,                         0, 0                         },
        {"\"\" * RETURN ()",                             ST_OK,     1, true,  0,                                              0, 0                         },
        {"\"\" * RETURN (CHILDREN SPECIAL-USE)",         ST_OK,     1, true,  0,
         IMAP_GIVE_CHILDREN | IMAP_GIVE_SPECIAL,                                                                             0                         },
        {"\"\" % RETURN (STATUS (MESSAGES) SUBSCRIBED)", ST_OK,     1, true,  0,
         IMAP_GIVE_STATUS | IMAP_GIVE_SUBSCRIBED,                                                                            1u << IMAP_STATUS_MESSAGES},
        {"\"\" % RETURN (STATUS)",                       ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"\"\" % RETURN (STATUS ())",                    ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"\"\" % RETURN (NONE)",                         ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"\"\" % RETURN CHILDREN",                       ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"\"\" % x",                                     ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"\"\" ()",                                      ST_SYNTAX, 0, false, 0,                                              0, 0                         },
        {"(SUBSCRIBED)\"\" *",                           ST_SYNTAX, 0, false, 0,                                              0, 0                         },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(65536);
        struct imap_list_options got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_list_options(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK(i, (why == NULL) == (cases[i].want == ST_OK));
        CHECK_INT(i, got.n, cases[i].n);
        CHECK_INT(i, got.extended, cases[i].extended);
        CHECK_INT(i, got.select, cases[i].select);
        CHECK_INT(i, got.give, cases[i].give);
        CHECK_INT(i, got.status, cases[i].status);
    }
}

TEST(patterns_limit)
{
    AUTO_ARENA a = ARENA_INIT(65536);
    AUTO_BUF text = BUF_INIT(4096);
    struct imap_list_options got;
    const char *why;

    buf_puts(&text, "\"\" (x");
    for (int i = 1; i < IMAP_PATTERNS_MAX; i++)
        buf_puts(&text, " x");
    buf_putc(&text, ')');
    CHECK_INT(0, imap_args_list_options(buf_slice(&text), &a, &got, &why), ST_OK);
    text.n--;
    buf_puts(&text, " x)");
    CHECK_INT(1, imap_args_list_options(buf_slice(&text), &a, &got, &why), ST_LIMIT);
}

TEST(create)
{
    static const struct {
        const char *in;
        enum status want;
        size_t n;
        const char *last;
    } cases[] = {
        {"a",                                             ST_OK,     0, ""        },
        {"a (USE (\\Sent))",                              ST_OK,     1, "\\Sent"  },
        {"a (use (\\Sent \\Drafts))",                     ST_OK,     2, "\\Drafts"},
        {"a (USE ())",                                    ST_OK,     0, ""        },
        {"a (USE (\\1 \\2 \\3 \\4 \\5 \\6 \\7 \\8 \\9))", ST_LIMIT,  0, ""        },
        {"a (USE (Sent))",                                ST_SYNTAX, 0, ""        },
        {"a (USE (\\Sent \\))",                           ST_SYNTAX, 0, ""        },
        {"a (USE (\\Sent)",                               ST_SYNTAX, 0, ""        },
        {"a (USE (\\Sent)) x",                            ST_SYNTAX, 0, ""        },
        {"a (OTHER (\\Sent))",                            ST_SYNTAX, 0, ""        },
        {"a ",                                            ST_SYNTAX, 0, ""        },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(8192);
        struct imap_create got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_create(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_INT(i, got.n, cases[i].n);
        CHECK_SLICE(i, got.n > 0 ? got.uses[got.n - 1] : SLICE(""), cases[i].last);
    }
}

TEST(select)
{
    static const struct {
        const char *in;
        enum status want;
        bool condstore, qresync, known, match;
        uint64_t modseq;
    } cases[] = {
        {"INBOX",                                        ST_OK,     false, false, false, false, 0                },
        {"INBOX (CONDSTORE)",                            ST_OK,     true,  false, false, false, 0                },
        {"INBOX (QRESYNC (67890007 20050715194045000))", ST_OK,     false, true,  false, false, 20050715194045000},
        {"INBOX (QRESYNC (1 2 41:211,214))",             ST_OK,     false, true,  true,  false, 2                },
        {"INBOX (QRESYNC (1 2 41:211 (1,3 41,50)))",     ST_OK,     false, true,  true,  true,  2                },
        {"INBOX (QRESYNC (1 2 (1,3 41,50)))",            ST_OK,     false, true,  false, true,  2                },
        {"INBOX (qresync (1 2) condstore)",              ST_OK,     true,  true,  false, false, 2                },
        {"INBOX (QRESYNC (1 9223372036854775807))",      ST_OK,     false, true,  false, false, INT64_MAX        },
        {"INBOX (QRESYNC (1 9223372036854775808))",      ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (QRESYNC (0 2))",                        ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (QRESYNC (1 0))",                        ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (QRESYNC (1))",                          ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (QRESYNC (1 2 $))", ST_SYNTAX, false, false, false, false, 0},
        {"INBOX (QRESYNC (1 2 1:*))",                    ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (QRESYNC (1 2 1 (1 2 3)))",              ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (QRESYNC (1 2) QRESYNC (1 2))",          ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (XYZZY)",                                ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX ()",                                     ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX (CONDSTORE",                             ST_SYNTAX, false, false, false, false, 0                },
        {"INBOX CONDSTORE",                              ST_SYNTAX, false, false, false, false, 0                },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(8192);
        struct imap_select got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_select(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_INT(i, got.condstore, cases[i].condstore);
        CHECK_INT(i, got.qresync, cases[i].qresync);
        CHECK_INT(i, got.has_known, cases[i].known);
        CHECK_INT(i, got.has_match, cases[i].match);
        CHECK(i, got.modseq == cases[i].modseq);
    }
}

TEST(fetch_modifiers)
{
    static const struct {
        const char *in;
        enum status want;
        bool changed, vanished;
        uint64_t modseq;
        const char *rest;
    } cases[] = {
        {"",                            ST_OK,     false, false, 0, ""                  },
        {" (CHANGEDSINCE 7)",           ST_OK,     true,  false, 7, ""                  },
        {" (CHANGEDSINCE 0)",           ST_OK,     true,  false, 0, ""                  },
        {" (changedsince 7 vanished)",  ST_OK,     true,  true,  7, ""                  },
        {" (VANISHED CHANGEDSINCE 7)x", ST_OK,     true,  true,  7, "x"                 },
        {" (VANISHED)",                 ST_SYNTAX, false, false, 0, " (VANISHED)"       },
        {" (CHANGEDSINCE)",             ST_SYNTAX, false, false, 0, " (CHANGEDSINCE)"   },
        {" (CHANGEDSINCE -1)",          ST_SYNTAX, false, false, 0, " (CHANGEDSINCE -1)"},
        {" ()",                         ST_SYNTAX, false, false, 0, " ()"               },
        {"x",                           ST_OK,     false, false, 0, "x"                 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        struct imap_fetch_modifiers got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_take_fetch_modifiers(&in, &got, &why), cases[i].want);
        CHECK_INT(i, got.changed_since, cases[i].changed);
        CHECK_INT(i, got.vanished, cases[i].vanished);
        CHECK(i, got.modseq == cases[i].modseq);
        CHECK_SLICE(i, in, cases[i].rest);
    }
}

TEST(id)
{
    static const struct {
        const char *in;
        enum status want;
    } cases[] = {
        {"NIL",                                 ST_OK    },
        {"nil",                                 ST_OK    },
        {"()",                                  ST_OK    },
        {"(\"name\" \"sodr\" \"version\" NIL)", ST_OK    },
        {"(\"name\" {4+}\r\nsodr)",             ST_OK    },
        {"(\"name\")",                          ST_SYNTAX},
        {"(NIL \"x\")",                         ST_SYNTAX},
        {"(name \"x\")",                        ST_SYNTAX},
        {"(\"name\" \"x\"",                     ST_SYNTAX},
        {"x",                                   ST_SYNTAX},
        {"NIL x",                               ST_SYNTAX},
    };
    AUTO_BUF text = BUF_INIT(4096);
    AUTO_ARENA a = ARENA_INIT(8192);
    const char *why;

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_INT(i, imap_args_id(slice_of(cases[i].in), &a, &why), cases[i].want);
    for (int i = 0; i < IMAP_ID_PAIRS_MAX; i++)
        buf_puts(&text, i == 0 ? "(\"a\" \"b\"" : " \"a\" \"b\"");
    buf_putc(&text, ')');
    CHECK_INT(100, imap_args_id(buf_slice(&text), &a, &why), ST_OK);
    text.n--;
    buf_puts(&text, " \"a\" \"b\")");
    CHECK_INT(101, imap_args_id(buf_slice(&text), &a, &why), ST_LIMIT);
}

TEST_MAIN(list, patterns_limit, create, select, fetch_modifiers, id)
