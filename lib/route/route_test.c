#include "route/route.h"

#include "base/buf.h"
#include "base/test.h"

/* --- a small world --- */

struct world {
    struct arena arena;
    struct route_table local, virtual_domains, relay, aliases, virtuals, mailers;
    struct route_tables tables;
};

static void
put(struct route_table *t, const char *key, const char *value, uint32_t line)
{
    struct route_row row = {.value = slice_of(value), .line = line};

    assert_int_equal(route_table_put(t, slice_of(key), &row), ST_OK);
}

static void
put_all(struct route_table *t, const char *const (*rows)[2])
{
    for (uint32_t i = 0; rows[i][0] != NULL; i++)
        put(t, rows[i][0], rows[i][1], i + 1);
}

static const char *const aliases[][2] = {
    {"postmaster", "root"                             },
    {"root",       "ann"                              },
    {"staff",      "ann, bob, carla@elsewhere.example"},
    {"ann",        "ann, ann@away.example"            },
    {"ping",       "pong"                             },
    {"pong",       "ping"                             },
    {"team",       "crew, bob"                        },
    {"crew",       "team, bob"                        },
    {"moved",      "moved@new.example.REDIRECT"       },
    {"robot",      "\"|/usr/bin/robot -x 'a b'\""     },
    {"robot2",     "|/usr/bin/robot"                  },
    {"archive",    "/var/mail/archive"                },
    {"news",       ":include:/etc/lists/news"         },
    {"owner-news", "bob"                              },
    {"dev",        "bob, dora@far.example"            },
    {"owner-dev",  "bob, carl"                        },
    {"plus+x",     "bob"                              },
    {"plus+*",     "carl"                             },
    {"plus",       "ann@away.example"                 },
    {"raw",        "\\bob, bob"                       },
    {"broken",     "bob, \"open"                      },
    {"d0",         "d1"                               },
    {"d1",         "d2"                               },
    {"d2",         "d3"                               },
    {"d3",         "d4"                               },
    {"d4",         "d5"                               },
    {"d5",         "d6"                               },
    {"d6",         "d7"                               },
    {"d7",         "d8"                               },
    {"d8",         "d9"                               },
    {"d9",         "d10"                              },
    {"d10",        "d11"                              },
    {"d11",        "bob"                              },
    {NULL,         NULL                               },
};
static const char *const virtuals[][2] = {
    {"info@virtual.example",    "bob"                               },
    {"sales+*@virtual.example", "carl+%2"                           },
    {"gone@virtual.example",    "error:nouser 550 No such user here"},
    {"shut@virtual.example",    "error:5.7.0:550 Address invalid"   },
    {"@all.example",            "%1%3@elsewhere.example"            },
    {"keep@all.example",        "keep@all.example"                  },
    {"a@circle.example",        "b@circle.example"                  },
    {"b@circle.example",        "a@circle.example"                  },
    {"x@virtual.example",       "ann, bob"                          },
    {NULL,                      NULL                                },
};
static const char *const mailers[][2] = {
    {"direct.example",   "esmtp:[gate.example]:26"  },
    {".under.example",   "smtp:%1.relay.example"    },
    {"two.example",      "relay:a.example:b.example"},
    {"refused.example",  "error:5.7.1:550 not there"},
    {"here.example",     "local:bob"                },
    {"nonsense.example", "pigeon:x"                 },
    {"word.example",     "word"                     },
    {NULL,               NULL                       },
};

static void
world_init(struct world *w)
{
    *w = (struct world){.arena = ARENA_INIT(1u << 22)};
    w->local = w->virtual_domains = w->relay = w->aliases = w->virtuals = w->mailers = ROUTE_TABLE(&w->arena);
    put(&w->local, "main.example", "", 1);
    put(&w->local, "also.example", "", 2);
    put(&w->local, "[192.0.2.7]", "", 3);
    put(&w->virtual_domains, "virtual.example", "", 1);
    put(&w->virtual_domains, "all.example", "", 2);
    put(&w->virtual_domains, "circle.example", "", 3);
    put(&w->relay, "partner.example", "", 1);
    put_all(&w->aliases, aliases);
    put_all(&w->virtuals, virtuals);
    put_all(&w->mailers, mailers);
    w->tables = (struct route_tables){
        .domain = SLICE("main.example"),
        .local = &w->local,
        .virtual_domains = &w->virtual_domains,
        .relay = &w->relay,
        .virtuals = {"virtuals", route_table_find, &w->virtuals},
        .aliases = {"aliases",  route_table_find, &w->aliases },
        .mailers = {"routes",   route_table_find, &w->mailers },
        .detail_mark = '+'
    };
}

static const char *const accounts[] = {"ann@main.example", "bob@main.example", "carl@main.example",
                                       "box@virtual.example"};

static void
answer(struct route *r)
{
    struct slice key = r->need.key;
    size_t at = slice_find(key, '@'), mark = slice_find(key, '+');
    static uint8_t plain[128];
    struct buf name = BUF_FIXED(plain);
    struct route_fact fact = {.status = ST_NOTFOUND};

    if (r->need.kind == ROUTE_NEED_INCLUDE && slice_eq(key, SLICE("/etc/lists/news")))
        fact = (struct route_fact){.text = SLICE("# readers\nann\ncarl, dora@far.example\n"),
                                   .owner = SLICE("bob")};
    if (r->need.kind == ROUTE_NEED_FORWARD && slice_eq(key, SLICE("carl@main.example")))
        fact = (struct route_fact){.text = SLICE("carl, |/bin/keep\n")};
    if (r->need.kind == ROUTE_NEED_ACCOUNT) {
        if (slice_eq(key, SLICE("slow@main.example")))
            fact.status = ST_UNAVAILABLE;
        if (mark < at) {
            fact.detail = slice_sub(key, mark + 1, at - mark - 1);
            buf_put(&name, slice_sub(key, 0, mark));
            buf_put(&name, slice_skip(key, at));
            key = buf_slice(&name);
        }
        for (size_t i = 0; i < COUNT(accounts); i++)
            if (slice_eq(key, slice_of(accounts[i])))
                fact = (struct route_fact){
                    .account = i + 1, .name = key, .detail = fact.detail, .forwards = i == 2};
    }
    assert_true(route_tell(r, &fact));
}

/* "mailbox ann@main.example; relay x@y via [h]:26; error 550 5.1.1 User unknown" */
static void
show(const struct route *r, struct buf *out)
{
    for (const struct route_to *to = r->first; to != NULL; to = to->next) {
        buf_puts(out, to != r->first ? "; " : "");
        switch (to->kind) {
        case ROUTE_MAILBOX:
            buf_printf(out, "box %.*s%s%.*s", SLICE_ARG(to->name), to->detail.n > 0 ? "+" : "",
                       SLICE_ARG(to->detail));
            break;
        case ROUTE_RELAY:
            buf_printf(out, "to %.*s@%.*s", SLICE_ARG(to->local), SLICE_ARG(to->domain));
            for (size_t i = 0; i < to->n_hops; i++)
                buf_printf(out, "%s%.*s%s:%u", i > 0 ? "," : " by ", SLICE_ARG(to->hops[i].host),
                           to->hops[i].mx ? "/mx" : "", to->hops[i].port);
            break;
        case ROUTE_PROGRAM:
            buf_printf(out, "run %.*s as %.*s", SLICE_ARG(to->text), SLICE_ARG(to->controller));
            break;
        case ROUTE_FILE:
            buf_printf(out, "file %.*s", SLICE_ARG(to->text));
            break;
        case ROUTE_INCLUDE:
            buf_printf(out, "include %.*s", SLICE_ARG(to->text));
            break;
        case ROUTE_ERROR:
            buf_printf(out, "%u %.*s %.*s", to->code, SLICE_ARG(to->enhanced), SLICE_ARG(to->text));
            break;
        case ROUTE_DISCARD:
            buf_puts(out, "discard");
            break;
        }
        if (to->owner.n > 0)
            buf_printf(out, " from %.*s", SLICE_ARG(to->owner));
    }
}

struct asked {
    const char *local, *domain, *want;
};

static void
check_all(const struct asked *cases, size_t n, const struct route_question *like)
{
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF got = BUF_INIT(1u << 16);
        struct route_question q = *like;
        struct world w;
        struct route r;
        enum status st;
        unsigned asked = 0;

        world_init(&w);
        q.local = slice_of(cases[i].local);
        q.domain = slice_of(cases[i].domain);
        route_begin(&r, &w.tables, &q, &w.arena);
        while ((st = route_step(&r)) == ST_MORE && ++asked < 1000)
            answer(&r);
        CHECK_INT(i, st, ST_OK);
        show(&r, &got);
        CHECK_SLICE(i, buf_slice(&got), cases[i].want);
        for (const struct route_to *to = r.first; to != NULL; to = to->next)
            CHECK(i, to->step == ROUTE_NO_STEP || to->step < r.n_steps);
        arena_done(&w.arena);
    }
}

TEST(strangers)
{
    static const struct asked cases[] = {
        {"bob",                  "main.example",             "box bob@main.example"                                               },
        {"BOB",                  "MAIN.example",             "box bob@main.example"                                               },
        {"bob",                  "",                         "box bob@main.example"                                               },
        {"bob",                  "also.example",             "box bob@main.example"                                               },
        {"bob",                  "[192.0.2.7]",              "box bob@main.example"                                               },
        {"bob+lists",            "main.example",             "box bob@main.example+lists"                                         },
        {"nobody",               "main.example",             "550 5.1.1 User unknown"                                             },
        {"slow",                 "main.example",             "451 4.3.0 The account cannot be read now"                           },
        {"x",                    "elsewhere.example",        "550 5.7.1 Relaying denied"                                          },
        {"x",                    "[192.0.2.8]",              "550 5.7.1 Relaying denied"                                          },
        {"x",                    "partner.example",          "to x@partner.example"                                               },
        {"x",                    "deep.sub.partner.example", "to x@deep.sub.partner.example"                                      },
        {"x",                    "notpartner.example",       "550 5.7.1 Relaying denied"                                          },
        {"x%elsewhere.example",  "main.example",             "550 5.1.1 User unknown"                                             },
        {"elsewhere.example!x",  "main.example",             "550 5.1.1 User unknown"                                             },
        {"x@elsewhere.example",  "main.example",             "550 5.1.1 User unknown"                                             },
        {"|/bin/sh",             "main.example",             "550 5.7.1 Cannot mail directly to programs, files or lists"         },
        {"/etc/passwd",          "",                         "550 5.7.1 Cannot mail directly to programs, files or lists"         },
        {":include:/etc/passwd", "main.example",
         "550 5.7.1 Cannot mail directly to programs, files or lists"                                                             },
        {"postmaster",           "",                         "box ann@main.example; to ann@away.example"                          },
        {"staff",                "main.example",
         "box ann@main.example; to ann@away.example; box bob@main.example; to carla@elsewhere.example"                            },
        {"ping",                 "main.example",             "554 5.4.6 aliasing/forwarding loop broken"                          },
        {"moved",                "main.example",             "551 5.1.1 User has moved; please try <moved@new.example>"           },
        {"robot",                "main.example",             "run /usr/bin/robot -x 'a b' as "                                    },
        {"robot2",               "main.example",             "run /usr/bin/robot as "                                             },
        {"archive",              "main.example",             "file /var/mail/archive"                                             },
        {"news",                 "main.example",             "include /etc/lists/news from bob@main.example"                      },
        {"dev",                  "main.example",
         "box bob@main.example from owner-dev@main.example; "
         "to dora@far.example from owner-dev@main.example"                                                                        },
        {"plus+x",               "main.example",             "box bob@main.example"                                               },
        {"plus+y",               "main.example",             "box carl@main.example"                                              },
        {"plus",                 "main.example",             "to ann@away.example"                                                },
        {"raw",                  "main.example",             "box bob@main.example"                                               },
        {"broken",               "main.example",
         "553 5.1.3 a quote, comment or bracket is not closed; box bob@main.example"                                              },
        {"d0",                   "main.example",             "554 5.4.6 aliasing/forwarding loop broken (11 aliases deep; 10 max)"},
        {"d1",                   "main.example",             "554 5.4.6 aliasing/forwarding loop broken (11 aliases deep; 10 max)"},
        {"d2",                   "main.example",             "box bob@main.example"                                               },
 /* virtual users */
        {"info",                 "virtual.example",          "box bob@main.example"                                               },
        {"info+x",               "virtual.example",          "box bob@main.example"                                               },
        {"sales+eu",             "virtual.example",          "box carl@main.example+eu"                                           },
        {"gone",                 "virtual.example",          "550 5.1.1 No such user here"                                        },
        {"shut",                 "virtual.example",          "550 5.7.0 Address invalid"                                          },
        {"box",                  "virtual.example",          "box box@virtual.example"                                            },
        {"bob",                  "virtual.example",          "550 5.1.1 User unknown"                                             },
        {"any+one",              "all.example",              "to any+one@elsewhere.example"                                       },
        {"|/bin/sh",             "all.example",              "to |/bin/sh@elsewhere.example"                                      },
        {"keep",                 "all.example",              "550 5.1.1 User unknown"                                             },
        {"a",                    "circle.example",           "554 5.4.6 virtual addresses lead in a circle"                       },
        {"x",                    "virtual.example",          "451 4.3.5 A virtual row gives no address"                           },
    };

    check_all(cases, COUNT(cases), &(struct route_question){0});
}

TEST(known_clients)
{
    static const struct asked cases[] = {
        {"x", "elsewhere.example", "to x@elsewhere.example"                           },
        {"x", "direct.example",    "to x@direct.example by gate.example:26"           },
        {"x", "a.b.under.example", "to x@a.b.under.example by a.b.relay.example/mx:0" },
        {"x", "under.example",     "to x@under.example"                               },
        {"x", "two.example",       "to x@two.example by a.example/mx:0,b.example/mx:0"},
        {"x", "refused.example",   "550 5.7.1 not there"                              },
        {"x", "here.example",      "box bob@main.example"                             },
        {"x", "nonsense.example",  "451 4.3.5 There is no mailer pigeon"              },
        {"x", "word.example",      "to x@word.example"                                },
        {"x", "[192.0.2.8]",       "to x@[192.0.2.8]"                                 },
    };

    check_all(cases, COUNT(cases), &(struct route_question){.authenticated = true});
}

TEST(files)
{
    static const struct asked cases[] = {
        {"news", "main.example",
         "box ann@main.example from bob@main.example; to ann@away.example from bob@main.example; "
         "box carl@main.example from bob@main.example; run /bin/keep as carl@main.example from "
         "bob@main.example; "
         "to dora@far.example from bob@main.example"                                        },
        {"carl", "main.example", "box carl@main.example; run /bin/keep as carl@main.example"},
        {"bob",  "main.example", "box bob@main.example"                                     },
    };

    check_all(cases, COUNT(cases), &(struct route_question){.files = true});
}

TEST(networks)
{
    struct route_network nets[] = {{.bits = 96 + 24}, {.bits = 128}};
    uint8_t client[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 9};
    struct route_question q = {.client = client};
    struct route_step step;
    struct world w;

    world_init(&w);
    memcpy(nets[0].ip, client, 15);
    w.tables.networks = nets;
    w.tables.n_networks = COUNT(nets);
    CHECK(0, route_may_relay(&w.tables, &q, SLICE("far.example"), &step));
    client[14] = 3;
    CHECK(1, !route_may_relay(&w.tables, &q, SLICE("far.example"), &step));
    w.tables.relay_exact = true;
    CHECK(2, !route_may_relay(&w.tables, &q, SLICE("sub.partner.example"), &step));
    CHECK(3, route_may_relay(&w.tables, &q, SLICE("partner.example"), &step));
    CHECK_INT(4, step.row.line, 1);
    arena_done(&w.arena);
}

/* Past the arena's budget nothing is decided, wherever memory ends. */
TEST(memory)
{
    unsigned whole = 0;

    for (size_t budget = 0; budget < 20000; budget += 100) {
        struct arena small = ARENA_INIT(budget);
        struct route_question q = {.local = SLICE("staff"), .domain = SLICE("main.example")};
        struct world w;
        struct route r;
        enum status st;

        world_init(&w);
        route_begin(&r, &w.tables, &q, &small);
        while ((st = route_step(&r)) == ST_MORE) {
            struct route_fact fact = {.account = 1, .name = r.need.key};

            if (!route_tell(&r, &fact))
                break;
        }
        CHECK(budget, st == ST_OK || st == ST_MEMORY || st == ST_MORE);
        if (st == ST_OK) {
            unsigned n = 0;

            whole++;
            for (const struct route_to *to = r.first; to != NULL; to = to->next)
                n++;
            CHECK_INT(budget, n, 4);
        }
        arena_done(&small);
        arena_done(&w.arena);
    }
    CHECK(0, whole > 0);
}

TEST_MAIN(strangers, known_clients, files, networks, memory)
