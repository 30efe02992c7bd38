#include "base/buf.h"
#include "base/test.h"

TEST(grow)
{
    AUTO_BUF b = BUF_INIT(100);

    for (int i = 0; i < 10; i++)
        buf_puts(&b, "0123456789");
    CHECK(0, buf_ok(&b));
    CHECK_INT(1, b.n, 100);
    buf_putc(&b, 'x');
    CHECK(2, !buf_ok(&b));
    CHECK_INT(3, b.n, 100);
    buf_eat(&b, 95);
    CHECK_SLICE(4, buf_slice(&b), "56789");
    buf_clear(&b);
    buf_printf(&b, "%0*d", 90, 7);
    CHECK_INT(5, b.n, 90);
    CHECK(6, buf_ok(&b));
    buf_clear(&b);
    buf_put_u64(&b, UINT64_MAX);
    buf_put_u64(&b, 0);
    CHECK_SLICE(7, buf_slice(&b), "184467440737095516150");
}

TEST(integers)
{
    AUTO_BUF b = BUF_INIT(100);
    struct slice in;
    uint16_t v16 = 0;
    uint32_t v32 = 0;
    uint64_t v64 = 0;

    buf_put_le16(&b, 0xfedc);
    buf_put_le32(&b, 0xfedcba98);
    buf_put_le64(&b, 0xfedcba9876543210);
    buf_put_be32(&b, 0xfedcba98);
    buf_put_be64(&b, 0xfedcba9876543210);
    in = buf_slice(&b);
    CHECK(0, take_le16(&in, &v16) && v16 == 0xfedc);
    CHECK(1, take_le32(&in, &v32) && v32 == 0xfedcba98);
    CHECK(2, take_le64(&in, &v64) && v64 == 0xfedcba9876543210);
    CHECK(3, take_be32(&in, &v32) && v32 == 0xfedcba98);
    CHECK(4, take_be64(&in, &v64) && v64 == 0xfedcba9876543210);
    CHECK(5, !take_le16(&in, &v16));
}

TEST(base64)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = {
        /* RFC 4648 10 */
        {"",       ""        },
        {"f",      "Zg=="    },
        {"fo",     "Zm8="    },
        {"foo",    "Zm9v"    },
        {"foob",   "Zm9vYg=="},
        {"fooba",  "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    static const char *const bad[] = {"Z", "Zg=", "Zg", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "====", "Zm\n=", "Zm9v\r\n==", "="};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF b = BUF_INIT(100);

        buf_put_base64(&b, slice_of(cases[i].plain));
        CHECK_SLICE(i, buf_slice(&b), cases[i].coded);
        buf_clear(&b);
        CHECK_INT(i, buf_put_unbase64(&b, slice_of(cases[i].coded)), ST_OK);
        CHECK_SLICE(i, buf_slice(&b), cases[i].plain);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        AUTO_BUF b = BUF_INIT(100);

        CHECK_INT(i, buf_put_unbase64(&b, slice_of(bad[i])), ST_SYNTAX);
        CHECK_INT(i, b.n, 0);
    }
    {
        AUTO_BUF small = BUF_INIT(6);

        CHECK_INT(0, buf_put_unbase64(&small, SLICE("Zm9vYmFyZm9v")), ST_LIMIT);
        CHECK(1, small.n == 0 && buf_ok(&small));
        CHECK_INT(2, buf_put_unbase64(&small, SLICE("Zm9vYmFy")), ST_OK);
        CHECK_SLICE(3, buf_slice(&small), "foobar");
    }
}

TEST_MAIN(grow, integers, base64)
