/* Account images and tables: whatever the bytes, what reaches the index are rows of that account, or of
 * bodies alone. */
#include <assert.h>

#include "store/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
on_put(void *arg, struct slice key, struct slice value)
{
    const uint64_t *account = arg;
    struct row_key got;

    assert(row_key_get(key, &got) == ST_OK && row_value_ok(got.kind, value));
    assert(got.account == *account);
    assert(*account != 0 || got.kind == ROW_BODY || got.kind == ROW_DIGEST);
}

static void
on_del(void *arg, struct slice key)
{
    assert(0); /* an image deletes nothing but by the range */
}

static void
on_del_range(void *arg, struct slice from, struct slice to)
{
    const uint64_t *account = arg;
    uint64_t first;

    assert(slice_cmp(from, to) < 0 && take_be64(&from, &first) && first == *account && first != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);
    uint64_t account = 0;
    struct row_sink sink = {&account, on_put, on_del, on_del_range};
    enum status st;

    if (!take_be64(&in, &account))
        return 0;
    st = image_apply(in, account, 7, &sink);
    assert(st == ST_OK || st == ST_CORRUPT || st == ST_NEWER);
    return 0;
}
