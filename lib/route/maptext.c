#include "route/maptext.h"

#include <arpa/inet.h>

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool
is_key_byte(uint8_t c)
{
    return !is_blank(c);
}

static struct slice
take_line(struct route_lines *f)
{
    struct slice line = take_until(&f->rest, '\n');

    (void)take_byte(&f->rest, '\n');
    f->line++;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* Without " # words" at its end. */
static struct slice
without_comment(struct slice value)
{
    for (size_t i = 1; i < value.n; i++)
        if (value.p[i] == '#' && is_blank(value.p[i - 1]))
            return slice_trim(slice_sub(value, 0, i));
    return slice_trim(value);
}

static bool
clean(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

enum status
route_row_next(struct route_lines *f, struct arena *a, struct slice *key, struct slice *value,
               struct err *err)
{
    struct slice line, word;

    do {
        if (f->rest.n == 0)
            return ST_NOTFOUND;
        line = take_line(f);
    } while (slice_trim(line).n == 0 || slice_starts(line, '#'));
    if (line.n > ROUTE_ROW_MAX)
        return err_set(err, ST_LIMIT, "a line has more than %u bytes", ROUTE_ROW_MAX);
    if (!clean(line))
        return err_set(err, ST_SYNTAX, "a control character");
    if (is_blank(line.p[0]))
        return err_set(err, ST_SYNTAX, "syntax error (leading space)");
    word = take_while(&line, is_key_byte);
    line = slice_trim(line);
    line = slice_starts(line, '#') ? (struct slice){0} : without_comment(line);
    if (line.n == 0)
        return err_set(err, ST_SYNTAX, "no RHS for LHS %.*s", SLICE_ARG(slice_sub(word, 0, 100)));
    word = route_fold(a, word);
    if (word.p == NULL)
        return ST_MEMORY;
    *key = word;
    *value = line;
    return ST_OK;
}

/* What is wrong with a row: told, and counted. ST_MEMORY ends the loading. */
static enum status
judge(enum status st, struct err *err, struct slice file, uint32_t line, struct slice key,
      route_report_fn report, void *arg, size_t *wrong)
{
    if (st == ST_OK || st == ST_MEMORY)
        return st;
    if (st == ST_EXISTS)
        (void)err_set(err, st, "duplicate key %.*s", SLICE_ARG(slice_sub(key, 0, 100)));
    ++*wrong;
    if (report != NULL)
        report(arg, file, line, err->text);
    return ST_OK;
}

enum status
route_rows_load(struct route_table *to, struct slice file, struct slice text, route_report_fn report,
                void *arg, size_t *wrong)
{
    struct route_lines f = {.rest = text};
    size_t bad = 0;

    for (;;) {
        struct slice key = {0}, value = {0};
        struct err err = {0};
        enum status st = route_row_next(&f, to->arena, &key, &value, &err);

        if (st == ST_NOTFOUND)
            break;
        if (st == ST_OK)
            st = route_table_put(to, key, &(struct route_row){value, file, f.line});
        if (judge(st, &err, file, f.line, key, report, arg, &bad) != ST_OK)
            return ST_MEMORY;
    }
    *wrong = bad;
    return ST_OK;
}

static enum status
put_name(struct route_table *to, struct slice file, uint32_t line, struct slice item, struct err *err)
{
    struct slice word = take_while(&item, is_key_byte), key;
    enum status st;

    if (!route_is_domain(word))
        return err_set(err, ST_SYNTAX, "\"%.*s\" is no domain", SLICE_ARG(slice_sub(word, 0, 100)));
    key = route_fold(to->arena, word);
    if (key.p == NULL)
        return ST_MEMORY;
    st = route_table_put(to, key, &(struct route_row){{0}, file, line});
    if (st == ST_OK && slice_trim(item).n > 0 && !slice_starts(slice_trim(item), '#'))
        return err_set(err, ST_SYNTAX, "what follows %.*s is passed over",
                       SLICE_ARG(slice_sub(word, 0, 100)));
    return st == ST_EXISTS ? ST_OK : st; /* said twice is said */
}

enum status
route_names_load(struct route_table *to, struct slice file, struct slice text, route_report_fn report,
                 void *arg, size_t *wrong)
{
    struct route_lines f = {.rest = text};
    size_t bad = 0;

    while (f.rest.n > 0) {
        struct slice line = take_line(&f);

        while (line.n > 0 && !slice_starts(line, '#')) {
            struct slice item = slice_trim(take_until(&line, ','));
            struct err err = {0};
            enum status st = ST_OK;

            (void)take_byte(&line, ',');
            if (item.n > 0)
                st = put_name(to, file, f.line, item, &err);
            if (judge(st, &err, file, f.line, item, report, arg, &bad) != ST_OK)
                return ST_MEMORY;
        }
    }
    *wrong = bad;
    return ST_OK;
}

/* --- networks --- */

static void
map_v4(const uint8_t ip[4], unsigned bits, struct route_network *net)
{
    *net = (struct route_network){
        .ip = {[10] = 0xff, [11] = 0xff},
          .bits = (uint8_t)(96 + bits)
    };
    memcpy(net->ip + 12, ip, 4);
}

/* "10", "10.1", "10.1.", "10.1.2.3" */
static bool
v4_prefix(struct slice word, uint8_t ip[4], unsigned *bits)
{
    unsigned n = 0;

    memset(ip, 0, 4);
    while (word.n > 0) {
        uint64_t octet;

        if (n == 4 || !take_number(&word, 255, &octet))
            return false;
        ip[n++] = (uint8_t)octet;
        if (word.n > 0 && !take_byte(&word, '.'))
            return false;
    }
    *bits = 8 * n;
    return n > 0;
}

/* "2001:db8", "2001:db8::", "2001:db8::1" */
static bool
v6_prefix(struct slice word, uint8_t ip[16], unsigned *bits)
{
    char text[INET6_ADDRSTRLEN + 3];
    unsigned groups = 1;

    if (slice_find(word, ':') == word.n || !slice_to_cstr(word, text, sizeof(text) - 2))
        return false;
    *bits = 128;
    if (inet_pton(AF_INET6, text, ip) == 1)
        return true;
    if (word.n > 1 && word.p[word.n - 1] == ':' && word.p[word.n - 2] != ':')
        text[word.n - 1] = '\0';
    for (const char *p = text; *p != '\0'; p++)
        groups += *p == ':';
    strncat(text, "::", 2);
    *bits = 16 * groups;
    return groups < 8 && inet_pton(AF_INET6, text, ip) == 1;
}

enum status
route_network_parse(struct slice word, struct route_network *net)
{
    struct slice at = word, address = take_until(&at, '/');
    uint8_t v4[4], v6[16];
    unsigned bits;
    uint64_t given;
    bool tagged;

    if (v4_prefix(address, v4, &bits)) {
        if (take_byte(&at, '/')) {
            if (bits != 32 || !take_number(&at, 32, &given) || at.n > 0)
                return ST_NOTFOUND;
            bits = (unsigned)given;
        }
        map_v4(v4, bits, net);
        return ST_OK;
    }
    tagged = take_literal_nocase(&address, SLICE("IPv6:"));
    if (!v6_prefix(address, v6, &bits))
        return ST_NOTFOUND;
    if (take_byte(&at, '/')) {
        if (bits != 128 || !take_number(&at, 128, &given) || at.n > 0)
            return ST_NOTFOUND;
        bits = (unsigned)given;
    } else if (bits != 128 && !tagged) {
        return ST_NOTFOUND; /* "2001:db8" without a tag may be a slip */
    }
    *net = (struct route_network){.bits = (uint8_t)bits};
    memcpy(net->ip, v6, 16);
    return ST_OK;
}
