/* Sequence sets: resolved runs ascend with gaps between them, say the same as the text, and write themselves. */
#include <assert.h>

#include "imap/seqset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* By the definition, from the runs as written. */
static bool
slow_has(const struct imap_seqset *set, uint32_t max, uint32_t number)
{
    for (size_t i = 0; i < set->n; i++) {
        uint32_t a = set->runs[i].first, b = set->runs[i].last;

        a = a != 0 ? a : max != 0 ? max : b;
        b = b != 0 ? b : max != 0 ? max : a;
        if (a != 0 && ((number >= a && number <= b) || (number >= b && number <= a)))
            return true;
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_ARENA arena = ARENA_INIT(1u << 20);
    AUTO_BUF b = BUF_INIT(1u << 20);
    struct slice in = slice_from(n > 0 ? data + 1 : data, n > 0 ? n - 1 : 0), rest = in, text;
    struct imap_seqset raw, set, again;
    uint32_t max = n > 0 ? data[0] : 0;

    if (imap_seqset_parse(&rest, &arena, &raw) != ST_OK) {
        assert(rest.n == in.n);
        return 0;
    }
    text = slice_sub(in, 0, in.n - rest.n);
    assert(imap_seqset_parse(&text, &arena, &set) == ST_OK && text.n == 0 && set.n == raw.n);
    imap_seqset_resolve(&set, max);
    for (size_t i = 0; i < set.n; i++) {
        assert(set.runs[i].first > 0 && set.runs[i].first <= set.runs[i].last);
        assert(i == 0 || set.runs[i].first - 1 > set.runs[i - 1].last);
    }
    for (uint32_t number = 1; number < 300; number++)
        assert(imap_seqset_has(&set, number) == slow_has(&raw, max, number));
    if (set.n == 0)
        return 0;
    imap_seqset_put(&b, &set);
    text = buf_slice(&b);
    assert(imap_seqset_parse(&text, &arena, &again) == ST_OK && text.n == 0 && again.n == set.n);
    assert(imap_seqset_count(&again) == imap_seqset_count(&set));
    return 0;
}
