#include "imap/search.h"

#include "base/test.h"

/* A program as text: "&(...)", "|(...)", "!", a letter or name a leaf. */
static void
put_node(struct buf *b, const struct imap_search *s, size_t at)
{
    static const char *const names[] = {"&",  "|",  "all",     "flags", "kw",    "seq",   "uid",    "larger", "smaller",
                                        "before", "on", "since", "older", "younger", "modseq", "sbefore", "son", "ssince", "header", "body", "text"};
    const struct imap_search_node *node = &s->nodes[at];

    if (node->negate)
        buf_putc(b, '!');
    buf_puts(b, names[node->op]);
    if (node->op == IMAP_S_AND || node->op == IMAP_S_OR) {
        buf_putc(b, '(');
        for (size_t i = at + 1; i < node->end; i = s->nodes[i].end) {
            if (i > at + 1)
                buf_putc(b, ' ');
            put_node(b, s, i);
        }
        buf_putc(b, ')');
        return;
    }
    if (node->number != 0)
        buf_printf(b, ":%lld", (long long)node->number);
    if (node->name.n > 0)
        buf_printf(b, ":%.*s", SLICE_ARG(node->name));
    if (node->text.n > 0)
        buf_printf(b, ":%.*s", SLICE_ARG(node->text));
    if (node->set.n > 0 || node->set.saved) {
        buf_putc(b, ':');
        imap_seqset_put(b, &node->set);
    }
}

TEST(parse)
{
    static const struct {
        const char *in;
        enum status want;
        const char *program;
        unsigned needs;
    } cases[] = {
        {"ALL",                              ST_OK,     "&(all)",                                       0                                   },
        {"UNSEEN deleted",                   ST_OK,     "&(!flags:1 flags:8)",                          IMAP_NEEDS_ROW                      },
        {"NOT UNSEEN",                       ST_OK,     "&(flags:1)",                                   IMAP_NEEDS_ROW                      },
        {"NOT NOT SEEN",                     ST_OK,     "&(flags:1)",                                   IMAP_NEEDS_ROW                      },
        {"NEW",                              ST_OK,     "&(&(flags:32 !flags:1))",                      IMAP_NEEDS_ROW                      },
        {"NOT NEW",                          ST_OK,     "&(!&(flags:32 !flags:1))",                     IMAP_NEEDS_ROW                      },
        {"OLD",                              ST_OK,     "&(!flags:32)",                                 IMAP_NEEDS_ROW                      },
        {"OR SEEN (ALL 1:*)",                ST_OK,     "&(|(flags:1 &(all seq:1:*)))",                 IMAP_NEEDS_ROW                      },
        {"OR OR 1 2 3",                      ST_OK,     "&(|(|(seq:1 seq:2) seq:3))",                   IMAP_NEEDS_ROW                      },
        {"NOT (SEEN FLAGGED) UID 4",         ST_OK,     "&(!&(flags:1 flags:4) uid:4)",                 IMAP_NEEDS_ROW                      },
        {"FROM \"a b\" SUBJECT {1}\r\nx",    ST_OK,     "&(header:From:a b header:Subject:x)",          IMAP_NEEDS_HEADER                   },
        {"HEADER X-Y \"\"",                  ST_OK,     "&(header:X-Y)",                                IMAP_NEEDS_HEADER                   },
        {"SINCE 1-Feb-1994 SENTON \"2-Feb-1994\"", ST_OK, "&(since:8797 son:8798)",                     IMAP_NEEDS_ROW | IMAP_NEEDS_HEADER  },
        {"LARGER 10 SMALLER 20",             ST_OK,     "&(larger:10 smaller:20)",                      IMAP_NEEDS_ROW                      },
        {"KEYWORD $X UNKEYWORD y",           ST_OK,     "&(kw:$X !kw:y)",                               IMAP_NEEDS_ROW                      },
        {"BODY x TEXT y",                    ST_OK,     "&(body:x text:y)",                             IMAP_NEEDS_BODY                     },
        {"CHARSET utf-8 BODY {2}\r\n\xc3\xa9", ST_OK,   "&(body:\xc3\xa9)",                             IMAP_NEEDS_BODY                     },
        {"CHARSET KOI8-R ALL",               ST_OK,     "&(all)",                                       0                                   },
        {"LARGER 4294967296",                ST_OK,     "&(larger:4294967296)",                         IMAP_NEEDS_ROW                      },
        {"LARGER 9223372036854775808",       ST_LIMIT,  "",                                             0                                   },
        /* RFC 5032 4 */
        {"1:* YOUNGER 259200",               ST_OK,     "&(seq:1:* younger:259200)",                    IMAP_NEEDS_ROW                      },
        {"UID 1:99 OLDER 1 YOUNGER 2",       ST_OK,     "&(uid:1:99 older:1 younger:2)",                IMAP_NEEDS_ROW                      },
        {"OLDER 0",                          ST_SYNTAX, "",                                             0                                   },
        /* RFC 7162 3.1.5 */
        {"MODSEQ \"/flags/\\\\draft\" all 620162338", ST_OK, "&(modseq:620162338)",                    IMAP_NEEDS_ROW                      },
        {"OR NOT MODSEQ 0 LARGER 50000",     ST_OK,     "&(|(!modseq larger:50000))",                   IMAP_NEEDS_ROW                      },
        {"MODSEQ \"/flags/x\" 7",            ST_SYNTAX, "",                                             0                                   },
        /* RFC 4731 4, RFC 5182 2.5 */
        {"RETURN (MIN COUNT) FLAGGED SUBJECT \"Fabio\"", ST_OK, "&(flags:4 header:Subject:Fabio)",      IMAP_NEEDS_ROW | IMAP_NEEDS_HEADER  },
        {"RETURN (SAVE) CHARSET UTF-8 OR $ 1,3000:3021 UID $", ST_OK, "&(|(seq:$ seq:1,3000:3021) uid:$)", IMAP_NEEDS_ROW                     },
        {"RETURN () ALL",                    ST_OK,     "&(all)",                                       0                                   },
        {"RETURN (MIN MIN) ALL",             ST_SYNTAX, "",                                             0                                   },
        {"RETURN (ODD) ALL",                 ST_SYNTAX, "",                                             0                                   },
        {"RETURN (ALL)",                     ST_SYNTAX, "",                                             0                                   },
        {"RETURN (ALL",                      ST_SYNTAX, "",                                             0                                   },
        {"$,1",                              ST_SYNTAX, "",                                             0                                   },
        {"CHARSET UTF-8",                    ST_SYNTAX, "",                                             0                                   },
        {"",                                 ST_SYNTAX, "",                                             0                                   },
        {"XYZZY",                            ST_SYNTAX, "",                                             0                                   },
        {"NOT",                              ST_SYNTAX, "",                                             0                                   },
        {"OR SEEN",                          ST_SYNTAX, "",                                             0                                   },
        {"(SEEN",                            ST_SYNTAX, "",                                             0                                   },
        {"()",                               ST_SYNTAX, "",                                             0                                   },
        {"SEEN)",                            ST_SYNTAX, "",                                             0                                   },
        {"SEEN  ALL",                        ST_SYNTAX, "",                                             0                                   },
        {"SEEN ",                            ST_SYNTAX, "",                                             0                                   },
        {"FROM",                             ST_SYNTAX, "",                                             0                                   },
        {"HEADER X",                         ST_SYNTAX, "",                                             0                                   },
        {"SINCE tomorrow",                   ST_SYNTAX, "",                                             0                                   },
        {"UID x",                            ST_SYNTAX, "",                                             0                                   },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(1u << 18);
        AUTO_BUF b = BUF_INIT(1024);
        struct imap_search got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_search(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        if (got.n > 0)
            put_node(&b, &got, 0);
        CHECK_SLICE(i, buf_slice(&b), cases[i].program);
        CHECK_INT(i, got.needs, cases[i].needs);
        CHECK(i, (why != NULL) == (cases[i].want != ST_OK));
    }
}

TEST(limits)
{
    AUTO_ARENA a = ARENA_INIT(1u << 20);
    AUTO_BUF b = BUF_INIT(1u << 20);
    struct imap_search got;
    const char *why;

    for (int i = 0; i < IMAP_SEARCH_DEPTH_MAX - 1; i++)
        buf_puts(&b, "NOT ");
    buf_puts(&b, "ALL");
    CHECK_INT(0, imap_args_search(buf_slice(&b), &a, &got, &why), ST_OK);
    buf_clear(&b);
    for (int i = 0; i < IMAP_SEARCH_DEPTH_MAX; i++)
        buf_puts(&b, "NOT ");
    buf_puts(&b, "ALL");
    CHECK_INT(1, imap_args_search(buf_slice(&b), &a, &got, &why), ST_LIMIT);
    buf_clear(&b);
    for (int i = 0; i < IMAP_SEARCH_NODES_MAX; i++)
        buf_puts(&b, "1 ");
    buf_puts(&b, "1");
    CHECK_INT(2, imap_args_search(buf_slice(&b), &a, &got, &why), ST_LIMIT);
}

/* Keyword leaves: "t" true, "f" false, else not known yet; counts what it was asked. */
static int
leaf(void *ctx, const struct imap_search_node *node)
{
    ++*(int *)ctx;
    return slice_eq(node->text, SLICE("t")) ? 1 : slice_eq(node->text, SLICE("f")) ? 0 : -1;
}

TEST(eval)
{
    static const struct {
        const char *in;
        int want, asked;
    } cases[] = {
        {"ALL",                                       1,  0},
        {"KEYWORD t KEYWORD f KEYWORD t",             0,  2},
        {"OR KEYWORD t KEYWORD f",                    1,  1},
        {"NOT OR KEYWORD f KEYWORD f",                1,  2},
        {"OR (KEYWORD t KEYWORD f) KEYWORD t",        1,  3},
        {"UNKEYWORD t",                               0,  1},
        {"KEYWORD x KEYWORD f",                       0,  2},
        {"KEYWORD x KEYWORD t",                       -1, 2},
        {"OR KEYWORD x KEYWORD t",                    1,  2},
        {"OR KEYWORD x KEYWORD f",                    -1, 2},
        {"NOT KEYWORD x",                             -1, 1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(1u << 16);
        struct imap_search got;
        const char *why;
        int asked = 0;

        CHECK_INT(i, imap_args_search(slice_of(cases[i].in), &a, &got, &why), ST_OK);
        CHECK_INT(i, imap_search_eval(&got, leaf, &asked), cases[i].want);
        CHECK_INT(i, asked, cases[i].asked);
    }
}

TEST(returns)
{
    static const struct {
        const char *in;
        bool extended;
        unsigned want;
    } cases[] = {
        {"ALL", false, 0},
        {"RETURN () ALL", true, IMAP_RETURN_ALL},
        {"RETURN (MIN max Count ALL save) ALL", true, 31},
        {"RETURN (SAVE) ALL", true, IMAP_RETURN_SAVE},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(1u << 16);
        struct imap_search got;
        const char *why;

        CHECK_INT(i, imap_args_search(slice_of(cases[i].in), &a, &got, &why), ST_OK);
        CHECK_INT(i, got.extended, cases[i].extended);
        CHECK_INT(i, got.returns, cases[i].want);
    }
}

TEST(resolve)
{
    AUTO_ARENA a = ARENA_INIT(1u << 16);
    struct imap_search got;
    const char *why;

    CHECK_INT(0, imap_args_search(SLICE("* UID *"), &a, &got, &why), ST_OK);
    imap_search_resolve(&got, 3, 70);
    CHECK(1, imap_seqset_has(&got.nodes[1].set, 3) && !imap_seqset_has(&got.nodes[1].set, 70));
    CHECK(2, imap_seqset_has(&got.nodes[2].set, 70));
}

TEST_MAIN(parse, limits, eval, returns, resolve)
