#include "pop3/stuff.h"

#include "base/buf.h"
#include "base/test.h"

/* Feeds a message in pieces of `step` bytes. */
static void
run(struct pop3_stuff *w, struct slice in, size_t step, struct buf *out)
{
    while (in.n > 0) {
        struct slice part = slice_sub(in, 0, step), piece;

        in = slice_skip(in, step);
        while (pop3_stuff_next(w, &part, &piece))
            buf_put(out, piece);
    }
    buf_put(out, pop3_stuff_end(w));
}

TEST(retr)
{
    static const char *const cases[][2] = {
        {"",                         ".\r\n"                         },
        {"a\r\n",                    "a\r\n.\r\n"                    },
        {"a",                        "a\r\n.\r\n"                    },
        {".",                        "..\r\n.\r\n"                   },
        {".\r\n",                    "..\r\n.\r\n"                   },
        {"..\r\n.",                  "...\r\n..\r\n.\r\n"            },
        {"a\r\n.\r\n+OK forged\r\n", "a\r\n..\r\n+OK forged\r\n.\r\n"},
        {"a.b\r\n\r\n.c\r\n",        "a.b\r\n\r\n..c\r\n.\r\n"       },
        {"a\n.\n",                   "a\n..\n\r\n.\r\n"              },
        {"a\r",                      "a\r\r\n.\r\n"                  },
        {"a\r.\r\n",                 "a\r.\r\n.\r\n"                 },
        {"\r\n",                     "\r\n.\r\n"                     },
        {"\n",                       "\n\r\n.\r\n"                   },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t step = 1; step < 8; step++) {
            AUTO_BUF out = BUF_INIT(4096);
            struct pop3_stuff w;

            pop3_stuff_init(&w);
            run(&w, slice_of(cases[i][0]), step, &out);
            CHECK_SLICE(i, buf_slice(&out), cases[i][1]);
        }
}

TEST(top)
{
    static const struct {
        const char *in;
        uint32_t lines;
        const char *want;
        bool done;
    } cases[] = {
        {"A: b\r\n\r\n1\r\n.2\r\n3\r\n", 0, "A: b\r\n\r\n.\r\n",                  true },
        {"A: b\r\n\r\n1\r\n.2\r\n3\r\n", 1, "A: b\r\n\r\n1\r\n.\r\n",             true },
        {"A: b\r\n\r\n1\r\n.2\r\n3\r\n", 2, "A: b\r\n\r\n1\r\n..2\r\n.\r\n",      true },
        {"A: b\r\n\r\n1\r\n.2\r\n3\r\n", 9, "A: b\r\n\r\n1\r\n..2\r\n3\r\n.\r\n", false},
        {"A: b\r\n\r\n\r\n\r\n3\r\n",    2, "A: b\r\n\r\n\r\n\r\n.\r\n",          true },
        {"\r\n1\r\n2\r\n",               1, "\r\n1\r\n.\r\n",                     true },
        {"A: b\r\nC: d\r\n",             0, "A: b\r\nC: d\r\n.\r\n",              false},
        {"A: b\n\n1\n2\n",               1, "A: b\n\n1\n\r\n.\r\n",               true },
        {"A: b\r\n\r\r\n\r\n1\r\n",      0, "A: b\r\n\r\r\n\r\n.\r\n",            true },
        {"",                             3, ".\r\n",                              false},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t step = 1; step < 8; step++) {
            AUTO_BUF out = BUF_INIT(4096);
            struct pop3_stuff w;

            pop3_stuff_init_top(&w, cases[i].lines);
            run(&w, slice_of(cases[i].in), step, &out);
            CHECK_SLICE(i, buf_slice(&out), cases[i].want);
            CHECK_INT(i, w.done, cases[i].done);
        }
}

/* Nothing is copied: without dots a slice is one piece of itself. */
TEST(one_piece)
{
    struct slice in = SLICE("a\r\nb\r\n\r\nc.\r\n"), all = in, piece;
    struct pop3_stuff w;

    pop3_stuff_init(&w);
    CHECK(0, pop3_stuff_next(&w, &in, &piece));
    CHECK(0, piece.p == all.p && piece.n == all.n && in.n == 0);
    CHECK(0, !pop3_stuff_next(&w, &in, &piece));
}

TEST_MAIN(retr, top, one_piece)
