#include "conf/routes.h"

#include "base/test.h"

static void
tell(void *arg, struct slice file, uint32_t line, const char *words)
{
    buf_printf(arg, "%.*s:%u %s|", SLICE_ARG(file), line, words);
}

TEST(routes)
{
    static const char conf[] = "domain = Main.example\nlocal_domains = also.example, two.example\n"
                               "virtual_domains = v.example, not/one\nrelay_networks = 192.0.2.0/24, ::1\n"
                               "relay_domains = partner.example\n";
    const struct slice texts[ROUTES_FILES] = {SLICE("ann: bob\nx y\n"), SLICE("@v.example bob\n"),
                                              SLICE("far.example relay:[gate]\n bad\n")};
    uint8_t client[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 200};
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    AUTO_BUF got = BUF_INIT(4096);
    struct route_question q = {.client = client};
    struct route_settings s;
    struct route_step step;
    struct routes r;
    struct err err = {0};
    size_t wrong = 0;

    CHECK_INT(0, conf_load(&route_conf, "f", slice_of(conf), &s, sizeof(s), &err), ST_OK);
    CHECK_INT(1, routes_make(&r, &arena, &s, texts, tell, &got, &wrong), ST_OK);
    CHECK_SLICE(2, buf_slice(&got),
                "virtual_domains:1 \"not/one\" is no domain|etc/aliases:2 missing colon|"
                "etc/mailertable:2 syntax error (leading space)|");
    CHECK_INT(3, wrong, 3);
    CHECK_SLICE(4, r.tables.domain, "main.example");
    CHECK_INT(5, r.local.n, 2);
    CHECK(6, route_table_get(&r.rows[ROUTES_ALIASES], SLICE("ann")) != NULL);
    CHECK(7, route_may_relay(&r.tables, &q, SLICE("x.example"), &step));
    client[13] = 1;
    CHECK(8, !route_may_relay(&r.tables, &q, SLICE("x.example"), &step));
    CHECK(9, route_may_relay(&r.tables, &q, SLICE("a.partner.example"), &step));
    memset(client, 0, sizeof(client));
    client[15] = 1;
    CHECK(10, route_may_relay(&r.tables, &q, SLICE("x.example"), &step));
}

TEST_MAIN(routes)
