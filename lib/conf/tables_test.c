#include "conf/tables.h"
#include "base/test.h"

TEST(tables_are_right)
{
    for (size_t i = 0; i < n_conf_tables; i++) {
        struct err err = {0};

        CHECK_INT(i, conf_table_check(conf_tables[i], &err), ST_OK);
        if (err.text[0] != '\0')
            printf("%s\n", err.text);
    }
}

/* The sample that `estafeta config` prints must be accepted, with every setting written out. */
TEST(the_defaults_are_accepted)
{
    AUTO_BUF text = BUF_INIT(CONF_TEXT_MAX);

    for (size_t i = 0; i < n_conf_tables; i++)
        conf_dump(conf_tables[i], &text);
    CHECK_INT(0, conf_check(conf_tables, n_conf_tables, "sample", buf_slice(&text), NULL), ST_OK);
}

TEST_MAIN(tables_are_right, the_defaults_are_accepted)
