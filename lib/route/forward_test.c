#include "route/forward.h"

#include "base/buf.h"
#include "base/test.h"

TEST(forward)
{
    static const struct {
        const char *in, *want; /* "line:item" */
    } cases[] = {
        {"",                                    ""                             },
        {"\n\n",                                ""                             },
        {"# ann\n",                             ""                             },
        {"ann",                                 "1:ann"                        },
        {"ann, bob\n\ncarl\n",                  "1:ann 1:bob 3:carl"           },
        {"ann\r\nbob\r\n",                      "1:ann 2:bob"                  },
        {"ann #@# a friend\nbob",               "1:ann 2:bob"                  },
        {"ann\t#@#",                            "1:ann"                        },
        {"|/bin/x#@#y\n",                       "1:/bin/x#@#y"                 },
        {"|/bin/x#@#y #@# z\n",                 "1:/bin/x#@#y"                 },
        {" #@# only\nann\n",                    "2:ann"                        },
        {"\\ann, \"|/usr/bin/vacation ann\"\n", "1:ann 1:/usr/bin/vacation ann"},
        {"b ad\nann\n",                         "1:SYNTAX 2:ann"               },
        {"\"open\nann\n",                       "1:SYNTAX 2:ann"               },
        {"/dev/null\n",                         "1:/dev/null"                  },
        {"\0ann",                               ""                             },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA arena = ARENA_INIT(1u << 20);
        AUTO_BUF got = BUF_INIT(4096);
        struct route_forward f = route_forward_of(slice_of(cases[i].in));
        struct route_item item = {0};
        enum status st;

        while ((st = route_forward_next(&f, &arena, &item, NULL)) != ST_NOTFOUND) {
            buf_printf(&got, "%s%u:", got.n > 0 ? " " : "", f.line);
            if (st == ST_OK)
                buf_put(&got, item.text);
            else
                buf_puts(&got, status_name(st));
        }
        CHECK_SLICE(i, buf_slice(&got), cases[i].want);
    }
}

TEST_MAIN(forward)
