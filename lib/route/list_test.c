#include "route/list.h"

#include "base/buf.h"
#include "base/test.h"

static void
show(struct slice in, struct buf *out)
{
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    enum status st;

    for (;;) {
        struct route_item item = {0};
        struct err err = {0};

        st = route_item_next(&arena, &in, &item, &err);
        if (st == ST_NOTFOUND)
            return;
        buf_puts(out, out->n > 0 ? " ; " : "");
        if (st != ST_OK)
            buf_puts(out, status_name(st));
        else
            buf_printf(out, "%c%s%.*s", "aPFI"[item.kind], item.literal ? "\\" : "", SLICE_ARG(item.text));
    }
}

TEST(items)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"",                                    ""                             },
        {" , ,\n",                              ""                             },
        {"ann",                                 "aann"                         },
        {"ann,bob@x.example , carl",            "aann ; abob@x.example ; acarl"},
        {"ann\nbob\n",                          "aann ; abob"                  },
        {"\\ann",                               "a\\ann"                       },
        {"\"ann\"",                             "aann"                         },
        {"\"a b\"@x.example",                   "aa b@x.example"               },
        {"a\\ b@x.example",                     "aa b@x.example"               },
        {"a b@x.example",                       "SYNTAX"                       },
        {"Ann Smith <ann@x.example>",           "aann@x.example"               },
        {"\"Smith, Ann\" <ann@x.example>, bob", "aann@x.example ; abob"        },
        {"ann@x.example (Ann, of course)",      "aann@x.example"               },
        {"ann@x.example.",                      "aann@x.example"               },
        {"ann@",                                "SYNTAX"                       },
        {"@x.example",                          "SYNTAX"                       },
        {"ann@x..example",                      "SYNTAX"                       },
        {"ann@[192.0.2.1]",                     "aann@[192.0.2.1]"             },
        {"ann@[192.0.2]",                       "SYNTAX"                       },
        {"|/bin/x",                             "P/bin/x"                      },
        {"\"|/bin/x a, b\", ann",               "P/bin/x a, b ; aann"          },
        {"\"|/bin/x \\\"a b\\\"\"",             "P/bin/x \"a b\""              },
        {"|\"/bin/x a, b\"",                    "P\"/bin/x a, b\""             },
        {"| /bin/x",                            "P/bin/x"                      },
        {"|",                                   "SYNTAX"                       },
        {"/var/mail/x",                         "F/var/mail/x"                 },
        {"\"/var/mail/a b\"",                   "F/var/mail/a b"               },
        {"/c=us/@x.example",                    "a/c=us/@x.example"            },
        {":include:/etc/l",                     "I/etc/l"                      },
        {":include: /etc/l",                    "I/etc/l"                      },
        {"\":include:/etc/l\"",                 "I/etc/l"                      },
        {":include:l",                          "SYNTAX"                       },
        {"\"open, ann",                         "SYNTAX"                       },
        {"a\x01\x62",                           "SYNTAX"                       },
        {"\xc3\xb1@x.example",                  "a\xc3\xb1@x.example"          },
        {"\xff@x.example",                      "SYNTAX"                       },
        {"good, b ad, fine",                    "agood ; SYNTAX ; afine"       },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF got = BUF_INIT(4096);

        show(slice_of(cases[i].in), &got);
        CHECK_SLICE(i, buf_slice(&got), cases[i].want);
    }
}

TEST(limits)
{
    static char text[ROUTE_ITEM_MAX + 10];
    AUTO_BUF got = BUF_INIT(4096);

    memset(text, 'a', 65);
    show(slice_from(text, 64), &got);
    CHECK_INT(0, got.n, 65);
    buf_clear(&got);
    show(slice_from(text, 65), &got);
    CHECK_SLICE(1, buf_slice(&got), "LIMIT");
    buf_clear(&got);
    memset(text, '/', ROUTE_ITEM_MAX + 1);
    show(slice_from(text, ROUTE_ITEM_MAX + 1), &got);
    CHECK_SLICE(2, buf_slice(&got), "LIMIT");
}

TEST_MAIN(items, limits)
