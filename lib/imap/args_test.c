#include "imap/args.h"

#include "base/test.h"

TEST(store)
{
    static const struct {
        const char *in;
        enum status want;
        enum imap_store_mode mode;
        bool silent;
        const char *flags;
    } cases[] = {
        {"1 FLAGS (\\Seen \\deleted)",   ST_OK,     IMAP_STORE_SET,    false, "(\\Seen \\Deleted)"},
        {"1:* +flags.silent (x X y)",    ST_OK,     IMAP_STORE_ADD,    true,  "(x y)"             },
        {"1 -FLAGS \\Seen a",            ST_OK,     IMAP_STORE_REMOVE, false, "(\\Seen a)"        },
        {"1 FLAGS ()",                   ST_OK,     IMAP_STORE_SET,    false, "()"                },
        {"1 FLAGS (\\Recent)",           ST_SYNTAX, 0,                 false, "()"                },
        {"1 FLAGS (\\Bogus)",            ST_SYNTAX, 0,                 false, "()"                },
        {"1 FLAGS (\\Seen",              ST_SYNTAX, 0,                 false, "()"                },
        {"1 FLAGS (\\Seen  a)",          ST_SYNTAX, 0,                 false, "()"                },
        {"1 FLAGS (a) x",                ST_SYNTAX, 0,                 false, "()"                },
        {"1 FLAGS",                      ST_SYNTAX, 0,                 false, "()"                },
        {"1 FLAGS \\",                   ST_SYNTAX, 0,                 false, "()"                },
        {"0 FLAGS (a)",                  ST_SYNTAX, 0,                 false, "()"                },
        {"1 *FLAGS (a)",                 ST_SYNTAX, 0,                 false, "()"                },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(8192);
        AUTO_BUF b = BUF_INIT(256);
        struct imap_store got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_store(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_INT(i, got.mode, cases[i].mode);
        CHECK_INT(i, got.silent, cases[i].silent);
        imap_put_flags(&b, got.flags.system, got.flags.keywords, got.flags.n);
        CHECK_SLICE(i, buf_slice(&b), cases[i].flags);
        CHECK(i, (why != NULL) == (cases[i].want != ST_OK));
    }
}

TEST(keyword_limits)
{
    AUTO_ARENA a = ARENA_INIT(1u << 20);
    AUTO_BUF b = BUF_INIT(1u << 20);
    struct imap_store got;
    const char *why;

    buf_puts(&b, "1 FLAGS (k0");
    for (int i = 1; i < IMAP_KEYWORDS_MAX; i++)
        buf_printf(&b, " k%d", i);
    buf_puts(&b, ")");
    CHECK_INT(0, imap_args_store(buf_slice(&b), &a, &got, &why), ST_OK);
    CHECK_INT(1, got.flags.n, IMAP_KEYWORDS_MAX);
    b.n--;
    buf_puts(&b, " one-more)");
    CHECK_INT(2, imap_args_store(buf_slice(&b), &a, &got, &why), ST_LIMIT);
    buf_clear(&b);
    buf_puts(&b, "1 FLAGS ");
    for (int i = 0; i <= IMAP_KEYWORD_MAX; i++)
        buf_putc(&b, 'x');
    CHECK_INT(3, imap_args_store(buf_slice(&b), &a, &got, &why), ST_LIMIT);
}

TEST(status)
{
    static const struct {
        const char *in;
        enum status want;
        const char *mailbox;
        uint32_t items;
    } cases[] = {
        {"INBOX (MESSAGES unseen)", ST_OK,     "INBOX", 1u << IMAP_STATUS_MESSAGES | 1u << IMAP_STATUS_UNSEEN  },
        {"x (APPENDLIMIT)",         ST_OK,     "x",     1u << IMAP_STATUS_APPENDLIMIT                          },
        {"\"a b\" (UIDNEXT)",       ST_OK,     "a b",   1u << IMAP_STATUS_UIDNEXT                              },
        {"INBOX ()",                ST_SYNTAX, "",      0                                                      },
        {"INBOX (X)",               ST_SYNTAX, "",      0                                                      },
        {"INBOX (MESSAGES",         ST_SYNTAX, "",      0                                                      },
        {"INBOX MESSAGES",          ST_SYNTAX, "",      0                                                      },
        {"INBOX",                   ST_SYNTAX, "",      0                                                      },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(8192);
        struct imap_status got = {0};
        const char *why;

        CHECK_INT(i, imap_args_status(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_SLICE(i, got.mailbox, cases[i].mailbox);
        CHECK_INT(i, got.items, cases[i].items);
    }
}

TEST(append)
{
    static const struct {
        const char *in;
        enum status want;
        uint32_t system;
        bool has_time;
    } cases[] = {
        {"x ",                                          ST_OK,     0,               false},
        {"x (\\Seen) ",                                 ST_OK,     IMAP_FLAG(SEEN), false},
        {"x () \"17-Jul-1996 02:44:25 -0700\" ",        ST_OK,     0,               true },
        {"x \"17-Jul-1996 02:44:25 -0700\" ",           ST_OK,     0,               true },
        {"x \"17-Jul-1996\" ",                          ST_SYNTAX, 0,               false},
        {"x \\Seen ",                                   ST_SYNTAX, 0,               false},
        {"x",                                           ST_SYNTAX, 0,               false},
        {"x  ",                                         ST_SYNTAX, 0,               false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(8192);
        struct imap_append got = {0};
        const char *why;

        CHECK_INT(i, imap_args_append(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_INT(i, got.flags.system, cases[i].system);
        CHECK_INT(i, got.has_time, cases[i].has_time);
    }
}

/* RFC 3502 4: before each message but the first. */
TEST(append_next)
{
    static const struct {
        const char *in;
        enum status want;
        uint32_t flags;
        size_t keywords;
        bool has_time, utf8;
    } cases[] = {
        {" ",                                                 ST_OK,     0,               0, false, false},
        {" (\\Seen $a) ",                                     ST_OK,     IMAP_FLAG(SEEN), 1, false, false},
        {" (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" ",         ST_OK,     IMAP_FLAG(SEEN), 0, true,  false},
        {" \" 7-Feb-1994 22:43:04 -0800\" UTF8 (",            ST_OK,     0,               0, true,  true },
        {"",                                                  ST_SYNTAX, 0,               0, false, false},
        {"  ",                                                ST_SYNTAX, 0,               0, false, false},
        {" (\\Seen)",                                         ST_SYNTAX, 0,               0, false, false},
        {" (\\Recent) ",                                      ST_SYNTAX, 0,               0, false, false},
        {" INBOX ",                                           ST_SYNTAX, 0,               0, false, false},
        {" \" 7-Feb-1994 22:43:04\" ",                        ST_SYNTAX, 0,               0, false, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(4096);
        struct imap_append got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_append_next(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK(i, (why != NULL) == (cases[i].want != ST_OK) && got.mailbox.n == 0);
        CHECK(i, got.flags.system == cases[i].flags && got.flags.n == cases[i].keywords);
        CHECK(i, got.has_time == cases[i].has_time && got.utf8 == cases[i].utf8);
    }
}

TEST(others)
{
    AUTO_ARENA a = ARENA_INIT(8192);
    struct imap_list list;
    struct imap_copy copy;
    struct slice two[2], one;
    struct imap_seqset set;
    const char *why;

    CHECK_INT(0, imap_args_list(SLICE("\"\" %/*"), &a, &list, &why), ST_OK);
    CHECK_SLICE(1, list.pattern, "%/*");
    CHECK_INT(2, imap_args_list(SLICE("\"\""), &a, &list, &why), ST_SYNTAX);
    CHECK_INT(3, imap_args_copy(SLICE("1:3 {1}\r\nx"), &a, &copy, &why), ST_OK);
    CHECK_SLICE(4, copy.mailbox, "x");
    CHECK_INT(5, imap_args_copy(SLICE("1:3"), &a, &copy, &why), ST_SYNTAX);
    CHECK_INT(6, imap_args_two(SLICE("u \"p w\""), &a, two, &why), ST_OK);
    CHECK_SLICE(7, two[1], "p w");
    CHECK_INT(8, imap_args_two(SLICE("u p w"), &a, two, &why), ST_SYNTAX);
    CHECK_INT(9, imap_args_mailbox(SLICE("a b"), &a, &one, &why), ST_SYNTAX);
    CHECK_INT(10, imap_args_mailbox(SLICE("a"), &a, &one, &why), ST_OK);
    CHECK_INT(11, imap_args_set(SLICE("1 "), &a, &set, &why), ST_SYNTAX);
    CHECK_INT(12, imap_args_set(SLICE("1:*"), &a, &set, &why), ST_OK);
}

TEST(authenticate)
{
    static const struct {
        const char *in;
        enum status want;
        const char *mechanism;
        bool has;
        const char *initial;
    } cases[] = {
        {"PLAIN",           ST_OK,     "PLAIN",         false, ""    },
        {"PLAIN AGEA",      ST_OK,     "PLAIN",         true,  "AGEA"},
        {"PLAIN =",         ST_OK,     "PLAIN",         true,  "="   },
        {"SCRAM-SHA-256",   ST_OK,     "SCRAM-SHA-256", false, ""    },
        {"PLAIN ",          ST_SYNTAX, "",              false, ""    },
        {"PLAIN a b",       ST_SYNTAX, "",              false, ""    },
        {"",                ST_SYNTAX, "",              false, ""    },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct imap_authenticate got = {0};
        const char *why;

        CHECK_INT(i, imap_args_authenticate(slice_of(cases[i].in), &got, &why), cases[i].want);
        CHECK_SLICE(i, got.mechanism, cases[i].mechanism);
        CHECK_INT(i, got.has_initial, cases[i].has);
        CHECK_SLICE(i, got.initial, cases[i].initial);
    }
}

TEST_MAIN(store, keyword_limits, status, append, append_next, others, authenticate)
