#include "mime/nfc.h"

#include "base/test.h"

TEST(composed)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"",                     ""                },
        {"usr1@b.example",       "usr1@b.example"  },
        {"n\xcc\x83u@b",         "\xc3\xb1u@b"     }, /* n and a tilde */
        {"\xc3\xb1u@b",          "\xc3\xb1u@b"     }, /* as it is */
        {"q\xcc\xa3\xcc\x87",    "q\xcc\xa3\xcc\x87"}, /* nothing composed of these; marks in their order */
        {"q\xcc\x87\xcc\xa3",    "q\xcc\xa3\xcc\x87"},
        {"\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80"}, /* Hangul */
        {"\xef\xac\x81",         "\xef\xac\x81"    }, /* a ligature stays: not NFKC */
        {"a\xff\xc3",            "a\xff\xc3"       }, /* no UTF-8 */
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(100);

        buf_puts(&out, "<");
        CHECK(i, mime_put_nfc(slice_of(cases[i].in), &out));
        CHECK_SLICE(i, slice_skip(buf_slice(&out), 1), cases[i].want);
    }
}

TEST(no_room)
{
    uint8_t bytes[4];
    struct buf out = BUF_FIXED(bytes);

    CHECK(0, mime_put_nfc(SLICE("abc"), &out));
    CHECK(1, !mime_put_nfc(SLICE("n\xcc\x83"), &out));
    CHECK_INT(2, out.n, 3);
}

TEST_MAIN(composed, no_room)
