#include "maa/pop3/drop.h"

#include "base/test.h"

TEST(drop)
{
    struct drop d = {0};

    CHECK(0, drop_find(&d, 0) == NULL && drop_find(&d, 1) == NULL);
    for (uint32_t i = 1; i <= 100; i++)
        CHECK_INT(i, drop_add(&d, i * 2, i), ST_OK);
    CHECK_INT(1, drop_add(&d, 200, 1), ST_SYNTAX);
    CHECK_INT(2, drop_add(&d, 201, UINT64_MAX), ST_SYNTAX); /* the sum */
    CHECK_INT(3, drop_add(&d, 201, 7), ST_OK);
    drop_close(&d);
    CHECK(4, d.n == 101 && d.room == 101 && d.bytes == 5057);
    CHECK(5,
          drop_find(&d, 101)->uid == 201 && drop_find(&d, 102) == NULL && drop_find(&d, UINT32_MAX) == NULL);
    drop_delete(&d, 101);
    CHECK(6, drop_find(&d, 101) == NULL && d.deleted == 1 && d.deleted_bytes == 7);
    drop_reset(&d);
    CHECK(7, drop_find(&d, 101) != NULL && d.deleted == 0 && d.deleted_bytes == 0);
    drop_done(&d);
}

/* uids of the maildrop; numbers marked; at most so many runs a time; all runs */
TEST(drop_runs)
{
    static const struct {
        const char *uids, *marked;
        size_t most;
        const char *want;
    } cases[] = {
        {"123",       "",      9, ""                 },
        {"123",       "123",   9, "1-3 |"            },
        {"123579",    "12356", 9, "1-3 7-7 9-9 |"    }, /* 5 is not marked; 3 and 7, 7 and 9 are not neighbours */
        {"123579",    "12356", 1, "1-3 |7-7 |9-9 |"  },
        {"123579",    "12356", 2, "1-3 7-7 |9-9 |"   },
        {"123456789", "24689", 9, "2-2 4-4 6-6 8-9 |"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct drop d = {0};
        AUTO_BUF got = BUF_INIT(1000), runs = BUF_INIT(1000);
        uint32_t number = 1;

        for (const char *p = cases[i].uids; *p != '\0'; p++)
            CHECK_INT(i, drop_add(&d, (uint32_t)(*p - '0'), 1), ST_OK);
        for (const char *p = cases[i].marked; *p != '\0'; p++)
            drop_delete(&d, (uint32_t)(*p - '0'));
        while (drop_runs(&d, &number, cases[i].most, &runs)) {
            struct slice at = buf_slice(&runs);
            uint32_t first, last;

            while (take_le32(&at, &first) && take_le32(&at, &last))
                buf_printf(&got, "%u-%u ", first, last);
            buf_puts(&got, "|");
            buf_clear(&runs);
        }
        CHECK_SLICE(i, buf_slice(&got), cases[i].want);
        drop_done(&d);
    }
}

TEST_MAIN(drop, drop_runs)
