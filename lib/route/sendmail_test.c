/* The same tables and addresses as real sendmail was asked about: docs/sendmail-differences.md. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/test.h"
#include "route/maptext.h"
#include "route/sendmail_cases.h"

static const char *const users[] = {"root", "daemon", "bin",  "sys",   "sync",   "games", "man", "lp",
                                    "mail", "news",   "uucp", "proxy", "backup", "list",  "irc"};

static const struct {
    const char *name, *text;
} files[] = {
    {"/opt/smtest/lists/news",     "# readers\n\ngames, news\ncarla@elsewhere.example\n"},
    {"/opt/smtest/lists/self",     "games\n:include:/opt/smtest/lists/self\n"           },
    {"/opt/smtest/lists/empty",    ""                                                   },
    {"/opt/smtest/lists/nest",     ":include:/opt/smtest/lists/news\nlp\n"              },
    {"/opt/smtest/lists/comments", "#c\ngames #@# the player\n  news\nlp\t#@# x, y\n"   },
    {"list@main.example",          "list, x@away.example\n"                             },
    {"proxy@main.example",         "proxy2@away.example\n"                              },
    {"sync@main.example",          "uucp\n"                                             },
    {"uucp@main.example",          "sync\n"                                             },
    {"irc@main.example",           "\\irc, \"|/usr/bin/vacation irc\"\n"                },
    {"sys@main.example",           ""                                                   },
    {"daemon@main.example",        "# nothing\n\n"                                      },
};

struct tables {
    struct arena arena;
    struct route_table local, virtual_domains, aliases, virtuals, mailers;
    struct route_tables all;
};

static void
put_domain(struct route_table *t, struct slice name)
{
    assert_int_equal(route_table_put(t, name, &(struct route_row){0}), ST_OK);
}

static void
tables_init(struct tables *t, size_t *wrong)
{
    *t = (struct tables){.arena = ARENA_INIT(1u << 22)};
    t->local = t->virtual_domains = t->aliases = t->virtuals = t->mailers = ROUTE_TABLE(&t->arena);
    put_domain(&t->local, SLICE("main.example"));
    put_domain(&t->local, SLICE("also.example"));
    put_domain(&t->virtual_domains, SLICE("virtual.example"));
    put_domain(&t->virtual_domains, SLICE("fallback.example"));
    put_domain(&t->virtual_domains, SLICE("all.example"));
    t->all = (struct route_tables){
        .domain = SLICE("main.example"),
        .local = &t->local,
        .virtual_domains = &t->virtual_domains,
        .aliases = {"aliases",       route_table_find, &t->aliases },
        .virtuals = {"virtusertable", route_table_find, &t->virtuals},
        .mailers = {"mailertable",   route_table_find, &t->mailers },
        .detail_mark = '+'
    };
    assert_int_equal(route_aliases_load(&t->aliases, SLICE("aliases"), slice_of(alias_text), t->all.domain,
                                        &t->local, NULL, NULL, &wrong[0]),
                     ST_OK);
    assert_int_equal(
        route_rows_load(&t->virtuals, SLICE("virtusertable"), slice_of(virtual_text), NULL, NULL, &wrong[1]),
        ST_OK);
    assert_int_equal(
        route_rows_load(&t->mailers, SLICE("mailertable"), slice_of(mailer_text), NULL, NULL, &wrong[2]),
        ST_OK);
}

static void
answer(struct route *r)
{
    struct route_fact fact = {.status = ST_NOTFOUND, .name = SLICE("")};
    struct slice key = r->need.key, local = key, domain;
    uint8_t bytes[256];
    struct buf name = BUF_FIXED(bytes);

    for (size_t i = 0; r->need.kind != ROUTE_NEED_ACCOUNT && i < COUNT(files); i++)
        if (slice_eq(key, slice_of(files[i].name)))
            fact = (struct route_fact){.text = slice_of(files[i].text), .owner = SLICE("root")};
    if (r->need.kind == ROUTE_NEED_ACCOUNT) {
        struct slice user, detail;

        local = slice_sub(key, 0, slice_find(key, '@'));
        domain = slice_skip(key, local.n + 1);
        detail = local;
        user = take_until(&detail, '+');
        for (size_t i = 0; i < COUNT(users) && slice_eq(domain, SLICE("main.example")); i++)
            if (slice_eq(user, slice_of(users[i]))) {
                buf_put(&name, user);
                buf_puts(&name, "@main.example");
                fact = (struct route_fact){.account = i,
                                           .name = buf_slice(&name),
                                           .detail = slice_skip(detail, 1),
                                           .forwards = true};
            }
    }
    assert_true(route_tell(r, &fact));
}

static int
by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static struct slice
shown(struct arena *a, const struct route_to *to)
{
    AUTO_BUF out = BUF_INIT(4096);

    switch (to->kind) {
    case ROUTE_MAILBOX:
        buf_printf(&out, "box %.*s%s%.*s", SLICE_ARG(slice_sub(to->name, 0, slice_find(to->name, '@'))),
                   to->detail.n > 0 ? "+" : "", SLICE_ARG(to->detail));
        break;
    case ROUTE_RELAY:
        buf_printf(&out, "to %.*s@%.*s", SLICE_ARG(to->local), SLICE_ARG(to->domain));
        for (size_t i = 0; i < to->n_hops; i++)
            buf_printf(&out, "%s%.*s", i > 0 ? ":" : " by ", SLICE_ARG(to->hops[i].host));
        break;
    case ROUTE_PROGRAM:
        buf_printf(&out, "run %.*s", SLICE_ARG(to->text));
        break;
    case ROUTE_FILE:
        buf_printf(&out, "file %.*s", SLICE_ARG(to->text));
        break;
    default:
        buf_puts(&out, "err");
    }
    return arena_copy(a, buf_slice(&out));
}

static void
ask(struct tables *t, const char *address, struct buf *out)
{
    struct route_question q = {.authenticated = true, .files = true};
    struct slice rows[64];
    struct route r;
    enum status st;
    size_t n = 0;

    if (route_address_parse(&t->arena, slice_of(address), &q.local, &q.domain) != ST_OK)
        fail_msg("%s is no address", address);
    route_begin(&r, &t->all, &q, &t->arena);
    while ((st = route_step(&r)) == ST_MORE)
        answer(&r);
    assert_int_equal(st, ST_OK);
    for (const struct route_to *to = r.first; to != NULL && n < COUNT(rows); to = to->next)
        rows[n++] = shown(&t->arena, to);
    qsort(rows, n, sizeof(*rows), by_bytes);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && slice_eq(rows[i], rows[i - 1]))
            continue;
        buf_puts(out, i > 0 ? "; " : "");
        buf_put(out, rows[i]);
    }
}

TEST(as_sendmail)
{
    size_t failed = 0;

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF got = BUF_INIT(1u << 16);
        const char *want = cases[i].ours != NULL ? cases[i].ours : cases[i].sendmail;
        struct tables t;
        size_t wrong[3];

        tables_init(&t, wrong);
        CHECK_INT(i, wrong[0], 2); /* "hash" and "badaddr", which sendmail finds only when mail comes */
        CHECK_INT(i, wrong[1], 0);
        CHECK_INT(i, wrong[2], 0);
        ask(&t, cases[i].address, &got);
        if (!slice_eq(buf_slice(&got), slice_of(want))) {
            print_message("%s: \"%.*s\", wanted \"%s\"\n", cases[i].address, SLICE_ARG(buf_slice(&got)),
                          want);
            failed++;
        }
        arena_done(&t.arena);
    }
    assert_int_equal(failed, 0);
    assert_true(COUNT(cases) >= 150);
}

TEST_MAIN(as_sendmail)
