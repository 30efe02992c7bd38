#include "store/record.h"

#include "base/test.h"

TEST(record_version)
{
    static const struct {
        struct slice meta;
        enum status want;
    } cases[] = {
        {SLICE(""), ST_CORRUPT},
        {SLICE("\x01"), ST_CORRUPT},
        {SLICE("\x00\x00\x01\0\0\0\0\0\0\0"), ST_CORRUPT},
        {SLICE("\x02\x00\x01\0\0\0\0\0\0\0"), ST_NEWER},
        {SLICE("\x02\x00"), ST_NEWER}, /* a newer one may look like anything */
        {SLICE("\x01\x00\x01\0\0\0\0\0\0\0"), ST_OK},
        {SLICE("\x01\x00\x01\0\0\0\0\0\0"), ST_CORRUPT},
        {SLICE("\x01\x00\x01\0\0\0\0\0\0\0\0"), ST_CORRUPT},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct record_account_erase r = {.account = 99};

        CHECK_INT(i, record_account_erase_read(cases[i].meta, &r), cases[i].want);
        CHECK_INT(i, r.account, cases[i].want == ST_OK ? 1 : 99);
    }
}

/* The bytes on disk are a promise: this image must stay readable for ever. */
TEST(record_bytes)
{
    static const char want[] = "\x01\x00"
                               "\x02\0\0\0\0\0\0\0"           /* account */
                               "\x03\0\0\0a/b"                /* name */
                               "\x01";                        /* on */
    struct record_subscribe r = {.account = 2, .name = SLICE("a/b"), .on = 1}, got = {0};
    AUTO_BUF meta = BUF_INIT(4096);

    record_subscribe_write(&meta, &r);
    CHECK_SLICE(0, buf_slice(&meta), slice_from(want, sizeof(want) - 1));
    CHECK_INT(0, record_subscribe_read(buf_slice(&meta), &got), ST_OK);
    CHECK_SLICE(0, got.name, "a/b");
    for (size_t n = 2; n < meta.n; n++)
        CHECK_INT(n, record_subscribe_read(slice_sub(buf_slice(&meta), 0, n), &got), ST_CORRUPT);
}

TEST(record_nested)
{
    struct record_arrival in = {
        .account = 2,
        .usage = {.bytes = 10, .messages = 1, .modseq = 7, .mailbox_next = 3},
        .mailbox = 1,
        .status = {.uidnext = 5, .modseq = 7, .messages = 1, .bytes = 10},
        .uid = 4,
        .message = {.modseq = 7, .size = 10, .internaldate = -1, .email = 77, .keywords = SLICE("\x01\x00")},
        .email = {.thread = 77, .body = 9, .places = SLICE("x")},
    };
    struct record_arrival got = {0};
    AUTO_BUF list = BUF_INIT(4096);
    struct slice at;

    record_arrival_put(&list, &in);
    in.uid = 5;
    record_arrival_put(&list, &in);
    at = buf_slice(&list);
    for (uint32_t uid = 4; uid <= 5; uid++) {
        CHECK(uid, record_arrival_take(&at, &got));
        CHECK_INT(uid, got.uid, uid);
        CHECK_INT(uid, got.usage.mailbox_next, 3);
        CHECK_INT(uid, got.message.internaldate, -1);
        CHECK_SLICE(uid, got.message.keywords, slice_from("\x01\x00", 2));
        CHECK_SLICE(uid, got.email.places, "x");
    }
    CHECK_INT(0, at.n, 0);
}

TEST(record_type_name)
{
    CHECK_SLICE(0, slice_of(record_type_name(RECORD_DELIVER)), "deliver");
    CHECK_SLICE(1, slice_of(record_type_name(0)), "?");
    CHECK_SLICE(2, slice_of(record_type_name(RECORD_IMAGE + 1)), "?");
    for (uint16_t type = RECORD_ACCOUNT_ADD; type <= RECORD_IMAGE; type++)
        CHECK(type, record_type_name(type)[0] != '?');
}

TEST_MAIN(record_version, record_bytes, record_nested, record_type_name)
