/* SEARCH programs: bounded, well nested, and evaluated with any answers without leaving the program. */
#include <assert.h>

#include "imap/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct answers {
    uint64_t bits;
    size_t asked;
};

static int
leaf(void *ctx, const struct imap_search_node *node)
{
    struct answers *a = ctx;
    int got = (int)(a->bits >> (2 * (a->asked++ % 32)) & 3);

    assert(node->op > IMAP_S_ALL && node->op <= IMAP_S_TEXT);
    return got == 3 ? -1 : got & 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    struct slice in = slice_from(data, n);
    struct imap_search got = {0};
    const char *why = NULL;
    enum status st = imap_args_search(in, &arena, &got, &why);
    struct answers answers = {.bits = slice_hash(in)};

    if (st != ST_OK) {
        assert(why != NULL && got.n == 0);
        return 0;
    }
    assert(got.n >= 2 && got.n <= IMAP_SEARCH_NODES_MAX && got.nodes[0].end == got.n);
    for (size_t i = 0; i < got.n; i++) {
        size_t children = 0, at = i + 1;

        assert(got.nodes[i].end > i && got.nodes[i].end <= got.n);
        for (; at < got.nodes[i].end; at = got.nodes[at].end)
            children++;
        assert(at == got.nodes[i].end); /* a child never reaches past its parent */
        if (got.nodes[i].op > IMAP_S_OR)
            assert(children == 0);
        else
            assert(got.nodes[i].op == IMAP_S_OR ? children == 2 : children > 0);
    }
    imap_search_resolve(&got, 10, 1000);
    int value = imap_search_eval(&got, leaf, &answers);
    assert(value >= -1 && value <= 1 && answers.asked < got.n);
    return 0;
}
