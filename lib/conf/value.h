/*
 * One value of a setting: its reading, its range and its writing. What conf.c uses; a
 * program has no need of it.
 */
#pragma once
#include "conf/conf.h"

union conf_value {
    uint64_t number; /* duration, bytesize, count */
    bool yes;
    struct slice text; /* points into the parsed value */
    struct conf_addresses addresses;
};

/* ST_SYNTAX: not a value of this type. ST_LIMIT: too large for any range, or too many addresses. */
MUST_CHECK enum status conf_value_parse(enum setting_type type, struct slice in, union conf_value *out);
/* Is the value within the row's least and most? */
bool conf_value_fits(const struct setting *row, const union conf_value *v);
/* As conf_value_parse() reads it. */
void conf_value_put(struct buf *out, enum setting_type type, const union conf_value *v);
/* "a duration: ..." */
const char *conf_type_text(enum setting_type type);
