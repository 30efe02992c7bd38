#include "ipc/codec.h"
#include "ipc/messages.h"
#include "base/test.h"

TEST(round_trip)
{
    AUTO_BUF b = BUF_INIT(1000);
    struct msg_digest_feed in = {.job = 7, .chunks = SLICE("\1\0\0\0"), .n = 9, .last = 1}, out = {0};

    msg_digest_feed_put(&b, &in);
    CHECK(0, buf_ok(&b));
    CHECK(1, msg_digest_feed_get(buf_slice(&b), &out));
    CHECK_INT(2, out.job, 7);
    CHECK_SLICE(3, out.chunks, slice_from("\1\0\0\0", 4));
    CHECK_INT(4, out.n, 9);
    CHECK_INT(5, out.last, 1);
}

/* A decoder takes the whole message, and neither less nor more. */
TEST(every_length)
{
    AUTO_BUF b = BUF_INIT(1000);
    struct msg_conn in = {.conn = 1, .peer = SLICE("0123456789abcdef\1\2"), .cipher = SLICE("x")}, out = {0};

    msg_conn_put(&b, &in);
    for (size_t n = 0; n < b.n; n++)
        CHECK(n, !msg_conn_get(slice_sub(buf_slice(&b), 0, n), &out));
    CHECK(b.n, msg_conn_get(buf_slice(&b), &out));
    buf_putc(&b, 0);
    CHECK(b.n, !msg_conn_get(buf_slice(&b), &out));
}

TEST(hostile_length)
{
    struct msg_text out = {0};
    struct slice in = slice_from("\xff\xff\xff\xff"
                                 "abc",
                                 7);

    CHECK(0, !msg_text_get(in, &out));
    CHECK(1, out.text.p == NULL);
}

TEST_MAIN(round_trip, every_length, hostile_length)
