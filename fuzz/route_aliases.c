/* Alias files and map texts: they end, keys are folded and clean, lines ascend, what was read can be read
 * again. */
#include <assert.h>

#include "route/maptext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct route_aliases f = route_aliases_of(slice_from(data, n));
    struct route_lines l = {.rest = f.rest};
    AUTO_ARENA arena = ARENA_INIT(64u << 20);
    struct route_table t = ROUTE_TABLE(&arena), rows = ROUTE_TABLE(&arena), names = ROUTE_TABLE(&arena);
    struct slice key, value;
    struct route_network net;
    size_t wrong;
    enum status st;
    uint32_t line = 0;

    while ((st = route_alias_next(&f, &arena, &key, &value, NULL)) != ST_NOTFOUND && st != ST_MEMORY) {
        assert(f.line > line && f.line <= f.next);
        line = f.line;
        if (st == ST_OK)
            assert(key.n > 0 && value.n > 0 && value.p[0] != ' ');
    }
    line = 0;
    while ((st = route_row_next(&l, &arena, &key, &value, NULL)) != ST_NOTFOUND && st != ST_MEMORY) {
        assert(l.line > line);
        line = l.line;
        if (st == ST_OK)
            for (size_t i = 0; i < key.n; i++)
                assert(key.p[i] > ' ' && ascii_lower(key.p[i]) == key.p[i]);
    }
    st = route_aliases_load(&t, SLICE("f"), slice_from(data, n), SLICE("main.example"), NULL, NULL, NULL,
                            &wrong);
    assert(st == ST_OK || st == ST_MEMORY);
    st = route_rows_load(&rows, SLICE("f"), slice_from(data, n), NULL, NULL, &wrong);
    assert(st == ST_OK || st == ST_MEMORY);
    st = route_names_load(&names, SLICE("f"), slice_from(data, n), NULL, NULL, &wrong);
    assert(st == ST_OK || st == ST_MEMORY);
    if (route_network_parse(slice_from(data, n), &net) == ST_OK)
        assert(net.bits <= 128);
    return 0;
}
