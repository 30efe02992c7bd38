#include "net/zip.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/test.h"

/* What went through both is what went in, however small the rooms are. */
TEST(there_and_back)
{
    static const size_t rooms[] = {7, 100, 4096};
    AUTO_BUF text = BUF_INIT(1u << 20);

    for (int i = 0; i < 3000; i++)
        buf_printf(&text, "* %d FETCH (FLAGS (\\Seen))\r\n", i);
    for (size_t i = 0; i < COUNT(rooms); i++) {
        AUTO_BUF deflated = BUF_INIT(1u << 20), back = BUF_INIT(1u << 20);
        struct zip *z = zip_new();
        uint8_t room[4096];
        struct slice in = buf_slice(&text);
        size_t n = 0;

        CHECK(i, z != NULL);
        do {
            zip_deflate(z, &in, true, room, rooms[i], &n);
            buf_put(&deflated, slice_from(room, n));
        } while (in.n > 0 || n == rooms[i]);
        CHECK(i, deflated.n < text.n / 5);
        in = buf_slice(&deflated);
        do {
            CHECK_INT(i, zip_inflate(z, &in, room, rooms[i], &n), ST_OK);
            buf_put(&back, slice_from(room, n));
        } while (n > 0);
        CHECK(i, slice_eq(buf_slice(&back), buf_slice(&text)));
        zip_free(z);
    }
}

TEST(garbage_and_end)
{
    struct zip *z = zip_new();
    struct slice in = SLICE("\xff\xff\xff\xff");
    uint8_t room[100];
    size_t n;

    CHECK_INT(0, zip_inflate(z, &in, room, sizeof room, &n), ST_CORRUPT);
    zip_free(z);
    z = zip_new();
    in = SLICE("\x03\x00"); /* an empty stream that ends */
    CHECK_INT(1, zip_inflate(z, &in, room, sizeof room, &n), ST_CORRUPT);
    zip_free(z);
}

TEST_MAIN(there_and_back, garbage_and_end)
