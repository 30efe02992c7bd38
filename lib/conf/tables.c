#include "conf/tables.h"

#define CONF_TABLE_DEFINE(name, SETTINGS)                                \
    static const struct setting name##_rows[] = {SETTINGS(SETTING_ROW)}; \
    const struct conf_table name##_conf = CONF_TABLE(name, name##_rows);
CONF_TABLES(CONF_TABLE_DEFINE)

#define CONF_TABLE_POINTER(name, SETTINGS) &name##_conf,
const struct conf_table *const conf_tables[] = {CONF_TABLES(CONF_TABLE_POINTER)};
const size_t n_conf_tables = COUNT(conf_tables);
