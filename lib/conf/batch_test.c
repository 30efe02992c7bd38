#include "conf/batch.h"

#include "base/test.h"

TEST(rows)
{
    static const struct {
        const char *in;
        enum status want;
        const char *name, *password, *text;
    } cases[] = {
        {"",                               ST_NOTFOUND, "",            "",         ""                                            },
        {"\n  # c d\n\t\n",                ST_NOTFOUND, "",            "",         ""                                            },
        {"a b",                            ST_OK,       "a",           "b",        ""                                            },
        {"\n a@d.example \t p w # x \r\n", ST_OK,       "a@d.example", "p w # x ", ""                                            },
        {"a",                              ST_SYNTAX,   "",            "",         "f:1: expected a name, a space and a password"},
        {"\na \n",                         ST_SYNTAX,   "",            "",         "f:2: expected a name, a space and a password"},
        {"a b\001",                        ST_SYNTAX,   "",            "",         "f:1: control character"                      },
        {"a b\rc",                         ST_SYNTAX,   "",            "",         "f:1: control character"                      },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct batch b;
        struct batch_row row = {0};
        struct err err = {0};

        batch_init(&b, "f", slice_of(cases[i].in));
        CHECK_INT(i, batch_next(&b, &row, &err), cases[i].want);
        CHECK_SLICE(i, row.name, cases[i].name);
        CHECK_SLICE(i, row.password, cases[i].password);
        CHECK_SLICE(i, slice_of(err.text), cases[i].text);
    }
}

TEST(goes_on)
{
    static char text[BATCH_PASSWORD_MAX + BATCH_NAME_MAX + 64];
    struct batch b;
    struct batch_row row = {0};

    batch_init(&b, "f", SLICE("a\nb c\n"));
    CHECK_INT(0, batch_next(&b, &row, NULL), ST_SYNTAX);
    CHECK_INT(1, batch_next(&b, &row, NULL), ST_OK);
    CHECK_SLICE(1, row.name, "b");
    CHECK_INT(1, b.line, 2);
    CHECK_INT(2, batch_next(&b, &row, NULL), ST_NOTFOUND);

    memset(text, 'x', sizeof text);
    text[BATCH_NAME_MAX] = ' ';
    batch_init(&b, "f", slice_from(text, BATCH_NAME_MAX + 1 + BATCH_PASSWORD_MAX));
    CHECK_INT(3, batch_next(&b, &row, NULL), ST_OK);
    batch_init(&b, "f", slice_from(text, BATCH_NAME_MAX + 2 + BATCH_PASSWORD_MAX));
    CHECK_INT(4, batch_next(&b, &row, NULL), ST_LIMIT);
    text[BATCH_NAME_MAX] = 'x';
    text[BATCH_NAME_MAX + 1] = ' ';
    batch_init(&b, "f", slice_from(text, BATCH_NAME_MAX + 3));
    CHECK_INT(5, batch_next(&b, &row, NULL), ST_LIMIT);
}

TEST_MAIN(rows, goes_on)
