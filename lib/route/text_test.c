/* Alias files, map texts, class files, networks. */
#include "route/maptext.h"

#include "base/buf.h"
#include "base/test.h"

static void
tell(void *arg, struct slice file, uint32_t line, const char *words)
{
    buf_printf(arg, "%.*s:%u %s|", SLICE_ARG(file), line, words);
}

TEST(alias_entries)
{
    static const struct {
        const char *in, *want; /* "line name=list|" */
    } cases[] = {
        {"",                                   ""                                                          },
        {"ann: bob\n",                         "1 ann=bob|"                                                },
        {"Ann : bob, carl",                    "1 ann=bob, carl|"                                          },
        {"# c\n\nann:bob\n",                   "3 ann=bob|"                                                },
        {"ann: bob,\n\tcarl,\n  dora\nx: y\n", "1 ann=bob, \tcarl,   dora|4 x=y|"                          },
        {"ann: bob\\\n, carl\n",               "1 ann=bob , carl|"                                         },
        {"ann: bob\\",                         "1 ann=bob|"                                                },
        {"ann:\n bob\n",                       "1 ann=bob|"                                                },
        {"ann: bob\r\nx: y\r\n",               "1 ann=bob|2 x=y|"                                          },
        {"ann: bob # carl\n",                  "1 ann=bob # carl|"                                         },
        {"\"a b\": bob\n",                     "1 a b=bob|"                                                },
        {"\"a:b\": bob\n",                     "1 a:b=bob|"                                                },
        {"a+x: bob\n",                         "1 a+x=bob|"                                                },
        {"Ann@Main.Example: bob\n",            "1 ann@main.example=bob|"                                   },
        {"list: :include:/etc/list\n",         "1 list=:include:/etc/list|"                                },
        {"prog: \"|/bin/x a:b\"\n",            "1 prog=\"|/bin/x a:b\"|"                                   },
        {"ann bob\nx: y\n",                    "1 missing colon|2 x=y|"                                    },
        {"ann:\nx: y\n",                       "1 missing value for alias|2 x=y|"                          },
        {" ann: bob\nx: y\n",                  "1 a line that continues nothing begins with a space|2 x=y|"},
        {"a b: bob\n",                         "1 illegal alias name|"                                     },
        {": bob\n",                            "1 illegal alias name|"                                     },
        {"ann: bob\n# c\n carl\nx: y\n",
         "1 ann=bob|3 a line that continues nothing begins with a space|4 x=y|"                            },
        {"ann: bob\n \nx: y\n",                "1 ann=bob|3 x=y|"                                          },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA arena = ARENA_INIT(1u << 20);
        AUTO_BUF got = BUF_INIT(4096);
        struct route_aliases f = route_aliases_of(slice_of(cases[i].in));
        struct slice name, list;
        struct err err = {0};
        enum status st;

        while ((st = route_alias_next(&f, &arena, &name, &list, &err)) != ST_NOTFOUND) {
            buf_printf(&got, "%u ", f.line);
            if (st == ST_OK)
                buf_printf(&got, "%.*s=%.*s|", SLICE_ARG(name), SLICE_ARG(list));
            else
                buf_printf(&got, "%s|", err.text);
        }
        CHECK_SLICE(i, buf_slice(&got), cases[i].want);
    }
}

TEST(alias_file)
{
    static const char text[] = "ann: bob\n"
                               "ann: carl\n"
                               "bob@main.example: x\n"
                               "bob@far.example: x\n"
                               "bad: \"open\n"
                               "none: ,\n";
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    AUTO_BUF got = BUF_INIT(4096);
    struct route_table t = ROUTE_TABLE(&arena);
    size_t wrong = 0;

    CHECK_INT(
        0,
        route_aliases_load(&t, SLICE("f"), slice_of(text), SLICE("main.example"), NULL, tell, &got, &wrong),
        ST_OK);
    CHECK_SLICE(1, buf_slice(&got),
                "f:2 duplicate alias name|f:4 cannot alias non-local names|"
                "f:5 a quote, comment or bracket is not closed|f:6 missing value for alias|");
    CHECK_INT(2, wrong, 4);
    CHECK_INT(3, t.n, 2);
    CHECK_SLICE(4, route_table_get(&t, SLICE("ann"))->value, "bob");
    CHECK_INT(5, route_table_get(&t, SLICE("bob"))->line, 3);
}

TEST(alias_too_long)
{
    static char text[ROUTE_ALIAS_MAX + 100];
    AUTO_ARENA arena = ARENA_INIT(8u << 20);
    struct route_aliases f;
    struct slice name, list;
    size_t n = 0;

    for (; n < ROUTE_ALIAS_MAX + 50; n += 10)
        memcpy(text + n, n == 0 ? "ann:  bob,\n" : "    bob,x\n", 10);
    memcpy(text + n, "\nx: y\n", 6);
    f = route_aliases_of(slice_from(text, n + 6));
    text[9] = '\n';
    CHECK_INT(0, route_alias_next(&f, &arena, &name, &list, NULL), ST_LIMIT);
    CHECK_INT(1, route_alias_next(&f, &arena, &name, &list, NULL), ST_OK);
    CHECK_SLICE(2, name, "x");
}

TEST(rows)
{
    static const char text[] = "# virtual users\n"
                               "Info@V.example\tbob\n"
                               "@v.example   %1@w.example  # all others\n"
                               " lead x\n"
                               "nothing\n"
                               "nothing2 # x\n"
                               "info@v.example carl\n"
                               "x@v.example error:5.7.1:550 Call #5\n";
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    AUTO_BUF got = BUF_INIT(4096);
    struct route_table t = ROUTE_TABLE(&arena);
    size_t wrong = 0;

    CHECK_INT(0, route_rows_load(&t, SLICE("f"), slice_of(text), tell, &got, &wrong), ST_OK);
    CHECK_SLICE(1, buf_slice(&got),
                "f:4 syntax error (leading space)|f:5 no RHS for LHS nothing|f:6 no RHS for LHS nothing2|"
                "f:7 duplicate key info@v.example|");
    CHECK_INT(2, wrong, 4);
    CHECK_SLICE(3, route_table_get(&t, SLICE("info@v.example"))->value, "bob");
    CHECK_SLICE(4, route_table_get(&t, SLICE("@v.example"))->value, "%1@w.example");
    CHECK_SLICE(5, route_table_get(&t, SLICE("x@v.example"))->value, "error:5.7.1:550 Call");
}

TEST(names)
{
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    AUTO_BUF got = BUF_INIT(4096);
    struct route_table t = ROUTE_TABLE(&arena);
    size_t wrong = 0;

    CHECK_INT(0,
              route_names_load(&t, SLICE("f"),
                               SLICE("A.example, b.example\n#c\n[192.0.2.1]\nd.example RELAY\na_b@c\n"), tell,
                               &got, &wrong),
              ST_OK);
    CHECK_SLICE(1, buf_slice(&got), "f:4 what follows d.example is passed over|f:5 \"a_b@c\" is no domain|");
    CHECK_INT(2, t.n, 4);
    CHECK_INT(3, route_table_get(&t, SLICE("d.example"))->line, 4);
}

TEST(network_words)
{
    static const struct {
        const char *in;
        int bits; /* -1: none */
    } cases[] = {
        {"10",             104},
        {"10.1",           112},
        {"10.1.",          112},
        {"192.0.2.1",      128},
        {"192.0.2.0/24",   120},
        {"192.0.2/24",     -1 },
        {"0.0.0.0/0",      96 },
        {"256",            -1 },
        {"10..1",          -1 },
        {"1.2.3.4.5",      -1 },
        {"IPv6:2001:db8",  32 },
        {"ipv6:2001:db8:", 32 },
        {"2001:db8::/32",  32 },
        {"2001:db8::1",    128},
        {"2001:db8",       -1 },
        {"::/0",           0  },
        {"::1/129",        -1 },
        {"a.example",      -1 },
        {"",               -1 },
        {"192.0.2.0/",     -1 },
        {"192.0.2.0/24x",  -1 },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct route_network net = {0};
        enum status st = route_network_parse(slice_of(cases[i].in), &net);

        CHECK_INT(i, st == ST_OK ? net.bits : -1, cases[i].bits);
    }
}

TEST_MAIN(alias_entries, alias_file, alias_too_long, rows, names, network_words)
