/* route_item_next, route_forward_next: they end, and what they give is clean and within its limits. */
#include <assert.h>

#include "route/forward.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check(const struct route_item *item)
{
    assert(item->text.n > 0);
    for (size_t i = 0; i < item->text.n; i++)
        assert(item->text.p[i] >= 0x20 || (item->text.p[i] == '\t' && item->kind != ROUTE_ITEM_ADDRESS));
    if (item->kind == ROUTE_ITEM_ADDRESS) {
        assert(item->local.n > 0 && item->local.n <= 64 && item->domain.n <= 255);
        assert(item->domain.n == 0 || route_is_domain(item->domain));
    } else {
        assert(item->text.n <= ROUTE_ITEM_MAX && item->local.n == 0);
    }
    assert(item->kind < ROUTE_ITEM_FILE || item->text.p[0] == '/');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct route_forward f = route_forward_of(slice_from(data, n));
    AUTO_ARENA arena = ARENA_INIT(16u << 20);
    struct slice in = f.rest;
    struct route_error e;
    struct route_hop hop;
    enum status st;

    for (;;) {
        struct route_item item = {0};
        uint32_t line = f.line;

        st = route_forward_next(&f, &arena, &item, NULL);
        assert(f.line >= line);
        if (st == ST_OK)
            check(&item);
        if (st == ST_NOTFOUND || st == ST_MEMORY)
            break;
    }
    e = route_error_parse(in);
    assert(e.code >= 400 && e.code <= 599 && e.enhanced.p[0] == '0' + e.code / 100 && e.text.n > 0);
    while ((st = route_hop_next(&in, &hop)) == ST_OK)
        assert(route_is_domain(hop.host));
    return 0;
}
