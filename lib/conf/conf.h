/*
 * Settings: a table per program says all that is known of each one, and makes the
 * struct, the defaults, the checks, the sample file and the manual.
 *
 *     # type, name, default, least, most, documentation
 *     #define MTA_SETTINGS(SET)                                                          \
 *         SET(duration, idle_timeout, "5m", "10s", "1h", "How long a client may stay silent.")
 *     struct mta_settings {
 *         MTA_SETTINGS(SETTING_FIELD)
 *     };
 *     static const struct setting mta_table[] = {MTA_SETTINGS(SETTING_ROW)};
 *     static const struct conf_table mta_conf = CONF_TABLE(mta, mta_table);
 *
 * The grammar is one setting a line:
 *
 *     file    = *( line LF )                  ; a CR before the LF is allowed
 *     line    = *WSP [ name *WSP "=" *WSP value *WSP ] [ comment ]
 *     comment = "#" *any                      ; at the line's start or after white space
 *     value   = DQUOTE *any DQUOTE / *any     ; quotes for "#" and outer spaces in a text
 *
 * Every program is given the whole text. conf_load() reads what its table names and passes
 * over the rest; conf_check() judges the whole, unknown names too, against all tables:
 * whoever accepts a text for the system calls it first. Pure functions; no I/O.
 */
#pragma once
#include "base/buf.h"

/* type, field, what a value is; least and most are values, or for text a length and for
 * addresses a number of them. */
#define SETTING_TYPES(T)                                                                                     \
    T(duration, uint64_t, "a duration: a number and ms, s, m, h, d or w")                                    \
    T(bytesize, uint64_t, "a size: a number of bytes, or with K, M, G or T, of powers of 1024")              \
    T(count, uint64_t, "a number")                                                                           \
    T(bool, bool, "yes or no")                                                                               \
    T(text, struct slice, "text, in quotes when it has a # or spaces at its ends")                           \
    T(addresses, struct conf_addresses, "addresses: IP, IP/bits, IP:port or [IPv6]:port, with commas between")

enum setting_type {
#define SETTING_ENUM(type, field, what) SETTING_##type,
    SETTING_TYPES(SETTING_ENUM)
#undef SETTING_ENUM
        SETTING_TYPE_COUNT
};

#define CONF_TEXT_MAX      (1u << 20) /* bytes of a whole configuration */
#define CONF_LINE_MAX      4096u      /* bytes of a line */
#define CONF_NAME_MAX      64u
#define CONF_ADDRESSES_MAX 32u

struct conf_address {
    uint8_t family; /* 4 or 6 */
    uint8_t bits;   /* of the network; 32 or 128 when none was written */
    uint16_t port;  /* 0: none was written */
    uint8_t ip[16]; /* the first four for family 4; network order */
};

struct conf_addresses {
    size_t n;
    struct conf_address at[CONF_ADDRESSES_MAX];
};

struct setting {
    enum setting_type type;
    const char *name;
    const char *standard, *least, *most; /* written as a value is; standard is the default */
    const char *text;                    /* sentences for people */
};

struct conf_table {
    const char *owner; /* "mta"; for the sample and the manual */
    const struct setting *rows;
    size_t n;
};

/* The fields are in the struct in the table's order and nothing else is: conf.c finds them by it. */
#define SETTING_FIELD(type, name, ...) SETTING_C_##type name;
#define SETTING_ROW(type, name, standard, least, most, text)                                                 \
    {SETTING_##type, #name, standard, least, most, text},
#define CONF_TABLE(owner, rows)                                                                              \
    {                                                                                                        \
#owner, (rows), COUNT(rows)                                                                          \
    }
#define SETTING_C_duration  uint64_t /* nanoseconds, as the loop counts */
#define SETTING_C_bytesize  uint64_t
#define SETTING_C_count     uint64_t
#define SETTING_C_bool      _Bool
#define SETTING_C_text      struct slice
#define SETTING_C_addresses struct conf_addresses

/* Fills the struct of a table: defaults, then what the text sets. A text value points into
 * `text` (or the table), which must live as long as the struct. Names that the table does not
 * have are passed over. `file` is for the words only: "FILE:LINE: ...". size is sizeof *out, which
 * must be the table's struct (asserted). ST_SYNTAX or ST_LIMIT, with *out untouched. */
MUST_CHECK enum status conf_load(const struct conf_table *table, const char *file, struct slice text,
                                 void *out, size_t size, struct err *err);

/* Judges a whole text by all tables: a name that none has is ST_NOTFOUND, and the words tell the
 * nearest name. A name that several tables have must please each of them. */
MUST_CHECK enum status conf_check(const struct conf_table *const *tables, size_t n, const char *file,
                                  struct slice text, struct err *err);

/* Are the table's own words right: defaults within the range, names once each, all of it
 * documented? For a test beside each table. */
MUST_CHECK enum status conf_table_check(const struct conf_table *table, struct err *err);

/* The value of a name in a filled struct, as it is written in a file. ST_NOTFOUND. */
MUST_CHECK enum status conf_show_one(const struct conf_table *table, const void *values, struct slice name,
                                     struct buf *out);
/* "name = value" for every row; conf_load() of it gives the same struct. */
void conf_show(const struct conf_table *table, const void *values, struct buf *out);
/* The sample file: every setting with its documentation, commented out at its default. */
void conf_dump(const struct conf_table *table, struct buf *out);
/* The settings' part of a manual page, in man(7). */
void conf_manual(const struct conf_table *table, struct buf *out);

/* The row whose name is nearest, over all tables, or NULL when none is near. */
const struct setting *conf_nearest(const struct conf_table *const *tables, size_t n, struct slice name);

/* Is an address (4 or 16 bytes, network order) in one of the networks? An IPv4 address mapped
 * into IPv6 (RFC 4291 2.5.5.2) is the IPv4 one. */
bool conf_addresses_cover(const struct conf_addresses *list, struct slice ip);
