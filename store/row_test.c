#include "store/row.h"

#include "base/test.h"

TEST(row_key)
{
    static const struct {
        struct row_key key;
        bool ok;
        size_t n;
    } cases[] = {
        {{7, ROW_ACCOUNT}, true, 9},
        {{0, ROW_ACCOUNT}, false, 0},                        /* an account's row without account */
        {{7, ROW_SHARD}, false, 0},                          /* the shard's within an account */
        {{7, (enum row_kind)0}, false, 0},
        {{7, (enum row_kind)200}, false, 0},
        {{7, ROW_MESSAGE, {3, 0xffffffff}}, true, 21},
        {{7, ROW_MESSAGE, {3, 0x100000000}}, false, 0},      /* a uid is 4 bytes */
        {{7, ROW_CHANGE, {3, UINT64_MAX, 1}}, true, 29},
        {{7, ROW_KEYWORD, {65536}}, false, 0},
        {{7, ROW_NAME, {0}, SLICE("INBOX")}, true, 14},
        {{7, ROW_NAME}, false, 0},
        {{7, ROW_ACCOUNT, {0}, SLICE("x")}, false, 0},       /* a tail where none belongs */
        {{0, ROW_REQUEST, {0}, SLICE("0123456789abcdef")}, true, 25},
        {{0, ROW_REQUEST, {0}, SLICE("0123456789abcde")}, false, 0},
        {{0, ROW_QUEUE_DUE, {255, 1, 2}}, true, 26},
        {{0, ROW_QUEUE_DUE, {256, 1, 2}}, false, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF key = BUF_INIT(4096);
        struct row_key got = {0};

        row_key_put(&key, &cases[i].key);
        CHECK_INT(i, buf_ok(&key), cases[i].ok);
        if (!cases[i].ok)
            continue;
        CHECK_INT(i, key.n, cases[i].n);
        CHECK_INT(i, row_key_get(buf_slice(&key), &got), ST_OK);
        CHECK_INT(i, got.account, cases[i].key.account);
        CHECK_INT(i, got.kind, cases[i].key.kind);
        for (size_t k = 0; k < ROW_PARTS; k++)
            CHECK(i, got.part[k] == cases[i].key.part[k]);
        CHECK_SLICE(i, got.tail, cases[i].key.tail);
        for (size_t n = 0; n < key.n && cases[i].key.tail.n == 0; n++) /* cut anywhere */
            CHECK_INT(i, row_key_get(slice_sub(buf_slice(&key), 0, n), &got), ST_CORRUPT);
    }
}

/* The order of keys is what every scan relies on. */
TEST(row_order)
{
    static const struct row_key keys[] = {
        {0, ROW_BODY, {1}},         {0, ROW_APPLIED},
        {1, ROW_ACCOUNT},           {1, ROW_NAME, {0}, SLICE("a")},
        {1, ROW_NAME, {0}, SLICE("a/b")}, {1, ROW_MESSAGE, {1, 2}},
        {1, ROW_MESSAGE, {1, 255}}, {1, ROW_MESSAGE, {1, 256}},
        {1, ROW_MESSAGE, {2, 1}},   {1, ROW_CHANGE, {1, 9, 9}},
        {1, ROW_CHANGE, {1, 10, 1}}, {256, ROW_ACCOUNT},
    };
    AUTO_BUF a = BUF_INIT(4096), b = BUF_INIT(4096);

    for (size_t i = 0; i + 1 < COUNT(keys); i++) {
        buf_clear(&a);
        buf_clear(&b);
        row_key_put(&a, &keys[i]);
        row_key_put(&b, &keys[i + 1]);
        CHECK(i, buf_ok(&a) && buf_ok(&b));
        CHECK(i, slice_cmp(buf_slice(&a), buf_slice(&b)) < 0);
    }
}

TEST(row_range_end)
{
    static const struct {
        struct slice prefix, end;
    } cases[] = {
        {SLICE("ab"), SLICE("ac")},
        {SLICE("a\xff"), SLICE("b")},
        {SLICE("\xff\xff"), SLICE("")},
        {SLICE(""), SLICE("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF end = BUF_INIT(64);

        row_range_end(&end, cases[i].prefix);
        CHECK_SLICE(i, buf_slice(&end), cases[i].end);
    }
}

TEST(row_value)
{
    AUTO_BUF list = BUF_INIT(4096), value = BUF_INIT(4096);
    struct row_body body = {.size = 30, .prefix = 10};

    for (uint64_t i = 0; i < ROW_EXTENTS_MAX + 1; i++) {
        row_extent_put(&list, &(struct row_extent){.segment = 1, .offset = 64 * i, .n = 10});
        body.extents = buf_slice(&list);
        body.size = 10 * (i + 1);
        buf_clear(&value);
        row_body_put(&value, &body);
        CHECK_INT(i, row_value_ok(ROW_BODY, buf_slice(&value)), i < ROW_EXTENTS_MAX);
        buf_putc(&value, 0); /* every byte is used */
        CHECK(i, !row_value_ok(ROW_BODY, buf_slice(&value)));
    }
    body.extents = slice_sub(buf_slice(&list), 0, 24);
    body.size = 11; /* not the sum of its extents */
    buf_clear(&value);
    row_body_put(&value, &body);
    CHECK(0, !row_value_ok(ROW_BODY, buf_slice(&value)));

    buf_clear(&value);
    row_message_put(&value, &(struct row_message){.modseq = 5, .keywords = SLICE("\x02\x00\x01\x00")});
    CHECK(1, !row_value_ok(ROW_MESSAGE, buf_slice(&value))); /* keywords descend */
    buf_clear(&value);
    row_message_put(&value, &(struct row_message){.modseq = 5, .keywords = SLICE("\x01\x00\x02\x00")});
    CHECK(2, row_value_ok(ROW_MESSAGE, buf_slice(&value)));
    buf_clear(&value);
    row_email_put(&value, &(struct row_email){.body = 1});
    CHECK(3, !row_value_ok(ROW_EMAIL, buf_slice(&value))); /* an email is somewhere */
}

TEST(row_text)
{
    AUTO_BUF key = BUF_INIT(4096), text = BUF_INIT(4096);

    row_key_put(&key, &(struct row_key){7, ROW_NAME, {0}, SLICE("a\"\n")});
    row_text(&text, buf_slice(&key), SLICE("\x01"));
    row_text(&text, SLICE("\xfe"), SLICE(""));
    CHECK_SLICE(0, buf_slice(&text), "name 7 \"a\\x22\\x0a\" 01\n? fe \n");
}

TEST_MAIN(row_key, row_order, row_range_end, row_value, row_text)
