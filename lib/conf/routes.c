#include "conf/routes.h"

struct slice
routes_file(const struct route_settings *settings, enum routes_file file)
{
    return file == ROUTES_ALIASES    ? settings->alias_file
           : file == ROUTES_VIRTUALS ? settings->virtual_users
                                     : settings->routes;
}

static void
make_networks(struct routes *r, const struct conf_addresses *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct conf_address *a = &from->at[i];
        struct route_network *net = &r->networks[i];

        *net = (struct route_network){.bits = a->bits};
        memcpy(net->ip, a->ip, sizeof(net->ip));
        if (a->family == 4) { /* RFC 4291 2.5.5.2 */
            *net = (struct route_network){
                .ip = {[10] = 0xff, [11] = 0xff},
                  .bits = (uint8_t)(a->bits + 96)
            };
            memcpy(net->ip + 12, a->ip, 4);
        }
    }
}

enum status
routes_make(struct routes *r, struct arena *a, const struct route_settings *s,
            const struct slice texts[ROUTES_FILES], route_report_fn report, void *arg, size_t *wrong)
{
    const struct {
        struct route_table *to;
        struct slice name, text;
    } sets[] = {
        {&r->local,           SLICE("local_domains"),   s->local_domains  },
        {&r->virtual_domains, SLICE("virtual_domains"), s->virtual_domains},
        {&r->relay,           SLICE("relay_domains"),   s->relay_domains  }
    };
    size_t bad[3 + ROUTES_FILES] = {0};
    enum status st = ST_OK;

    *r = (struct routes){.local = ROUTE_TABLE(a), .virtual_domains = ROUTE_TABLE(a), .relay = ROUTE_TABLE(a)};
    for (size_t i = 0; st == ST_OK && i < COUNT(sets); i++)
        st = route_names_load(sets[i].to, sets[i].name, sets[i].text, report, arg, &bad[i]);
    make_networks(r, &s->relay_networks);
    r->tables = (struct route_tables){
        .domain = route_fold(a, s->domain),
        .local = &r->local,
        .virtual_domains = &r->virtual_domains,
        .relay = &r->relay,
        .relay_exact = s->relay_hosts_only,
        .networks = r->networks,
        .n_networks = s->relay_networks.n,
        .virtuals = {"virtual_users", route_table_find, &r->rows[ROUTES_VIRTUALS]},
        .aliases = {"aliases",       route_table_find, &r->rows[ROUTES_ALIASES] },
        .mailers = {"routes",        route_table_find, &r->rows[ROUTES_MAILERS] },
        .smart_host = s->smart_host,
        .catch_all = s->catch_all,
        .detail_mark = '+',
    };
    for (size_t i = 0; i < ROUTES_FILES; i++)
        r->rows[i] = ROUTE_TABLE(a);
    if (st == ST_OK)
        st = route_aliases_load(&r->rows[ROUTES_ALIASES], s->alias_file, texts[ROUTES_ALIASES],
                                r->tables.domain, &r->local, report, arg, &bad[3]);
    if (st == ST_OK)
        st = route_rows_load(&r->rows[ROUTES_VIRTUALS], s->virtual_users, texts[ROUTES_VIRTUALS], report, arg,
                             &bad[4]);
    if (st == ST_OK)
        st =
            route_rows_load(&r->rows[ROUTES_MAILERS], s->routes, texts[ROUTES_MAILERS], report, arg, &bad[5]);
    if (st != ST_OK || arena_failed(a))
        return ST_MEMORY;
    *wrong = 0;
    for (size_t i = 0; i < COUNT(bad); i++)
        *wrong += bad[i];
    return ST_OK;
}
