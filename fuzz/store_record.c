/* Records: whatever the bytes, what reaches the index is a row, and never a range beyond one account. */
#include <assert.h>

#include "store/apply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_put(void *arg, struct slice key, struct slice value)
{
    struct row_key got;

    assert(row_key_get(key, &got) == ST_OK && row_value_ok(got.kind, value));
}

static void
on_del(void *arg, struct slice key)
{
    struct row_key got;

    assert(row_key_get(key, &got) == ST_OK);
}

static void
on_del_range(void *arg, struct slice from, struct slice to)
{
    uint64_t first, past;

    assert(slice_cmp(from, to) < 0 && take_be64(&from, &first) && first != 0);
    if (to.n >= 8)
        assert(take_be64(&to, &past) && past - first <= 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct row_sink sink = {NULL, on_put, on_del, on_del_range};
    struct slice in = slice_from(data, n);
    uint16_t type;
    enum status st;

    if (!take_le16(&in, &type))
        return 0;
    st = type == RECORD_IMAGE ? apply_image(in, &sink) : apply_record(type, in, &sink);
    assert(st == ST_OK || st == ST_CORRUPT || st == ST_NEWER);
    return 0;
}
