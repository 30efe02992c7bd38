#include "conf/conf.h"

#include <assert.h>

#include "conf/value.h"

/* type -> size and alignment of its field */
static const struct {
    size_t size, align;
} fields[] = {
#define FIELD_SIZE(type, field, what) [SETTING_##type] = {sizeof(field), _Alignof(field)},
    SETTING_TYPES(FIELD_SIZE)
#undef FIELD_SIZE
};

struct line {
    size_t number;
    struct slice name, value; /* name empty: nothing but white space and comment */
};

static size_t
aligned(size_t at, size_t align)
{
    return (at + align - 1) / align * align;
}

/* Where the compiler put row i of the table's struct; for i == n, the struct's size. */
static size_t
offset_of(const struct conf_table *table, size_t i)
{
    size_t at = 0, widest = 1;

    for (size_t k = 0; k < table->n && k <= i; k++) {
        size_t align = fields[table->rows[k].type].align;

        widest = align > widest ? align : widest;
        at = aligned(at, align);
        if (k < i)
            at += fields[table->rows[k].type].size;
    }
    return i < table->n ? at : aligned(at, widest);
}

static void
store(const struct conf_table *table, size_t i, const union conf_value *v, void *out)
{
    memcpy((uint8_t *)out + offset_of(table, i), v, fields[table->rows[i].type].size);
}

static void
fetch(const struct conf_table *table, size_t i, const void *values, union conf_value *v)
{
    memset(v, 0, sizeof *v);
    memcpy(v, (const uint8_t *)values + offset_of(table, i), fields[table->rows[i].type].size);
}

static size_t
find(const struct conf_table *table, struct slice name)
{
    size_t i = 0;

    while (i < table->n && !slice_eq(slice_of(table->rows[i].name), name))
        i++;
    return i;
}

static bool
is_name(uint8_t c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '_' || c == '-' || c == '.';
}

static bool
is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Cuts the comment and checks that quotes are closed. A "#" inside a word is the word's. */
static bool
take_value(struct slice in, struct slice *value)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < in.n; i++) {
        if (in.p[i] == '"')
            quoted = !quoted;
        else if (in.p[i] == '#' && !quoted && (i == 0 || in.p[i - 1] == ' ' || in.p[i - 1] == '\t'))
            break;
    }
    *value = slice_trim(slice_sub(in, 0, i));
    return !quoted;
}

static enum status
parse_line(struct slice in, const char *file, struct line *line, struct err *err)
{
    if (in.n > 0 && in.p[in.n - 1] == '\r')
        in.n--;
    if (in.n > CONF_LINE_MAX)
        return err_set(err, ST_LIMIT, "%s:%zu: line longer than %u bytes", file, line->number, CONF_LINE_MAX);
    for (size_t i = 0; i < in.n; i++)
        if (is_control(in.p[i]))
            return err_set(err, ST_SYNTAX, "%s:%zu: control character 0x%02x", file, line->number, in.p[i]);
    in = slice_trim(in);
    line->name = line->value = (struct slice){0};
    if (in.n == 0 || slice_starts(in, '#'))
        return ST_OK;

    line->name = take_while(&in, is_name);
    if (line->name.n == 0)
        return err_set(err, ST_SYNTAX, "%s:%zu: expected the name of a setting", file, line->number);
    if (line->name.n > CONF_NAME_MAX)
        return err_set(err, ST_LIMIT, "%s:%zu: name longer than %u bytes", file, line->number, CONF_NAME_MAX);
    in = slice_trim(in);
    if (!take_byte(&in, '='))
        return err_set(err, ST_SYNTAX, "%s:%zu: expected \"=\" after \"%.*s\"", file, line->number,
                       SLICE_ARG(line->name));
    if (!take_value(slice_trim(in), &line->value))
        return err_set(err, ST_SYNTAX, "%s:%zu: %.*s: the quote is not closed", file, line->number,
                       SLICE_ARG(line->name));
    return ST_OK;
}

/* The next line of the text, or ST_NOTFOUND at its end. */
static enum status
next_line(struct slice *text, const char *file, struct line *line, struct err *err)
{
    struct slice in;

    if (text->n == 0)
        return ST_NOTFOUND;
    in = take_until(text, '\n');
    (void)take_byte(text, '\n'); /* the last line may have none */
    line->number++;
    return parse_line(in, file, line, err);
}

static enum status
check_value(const struct setting *row, const char *file, const struct line *line, union conf_value *v,
            struct err *err)
{
    enum status st = conf_value_parse(row->type, line->value, v);
    struct slice shown = slice_sub(line->value, 0, 40);

    if (st == ST_SYNTAX)
        return err_set(err, st, "%s:%zu: %s: \"%.*s\" is not %s", file, line->number, row->name,
                       SLICE_ARG(shown), conf_type_text(row->type));
    if (st != ST_OK || !conf_value_fits(row, v)) {
        const char *of = row->type == SETTING_text        ? " bytes"
                         : row->type == SETTING_addresses ? " addresses"
                                                          : "";

        return err_set(err, ST_LIMIT, "%s:%zu: %s: \"%.*s\" is out of range: from %s to %s%s", file,
                       line->number, row->name, SLICE_ARG(shown), row->least, row->most, of);
    }
    return ST_OK;
}

/* A name set twice leaves a reader with the wrong one in mind, so it is an error. */
static enum status
check_once(struct slice text, const char *file, const struct line *line, struct err *err)
{
    struct line at = {0};

    while (at.number + 1 < line->number && next_line(&text, file, &at, NULL) == ST_OK)
        if (slice_eq(at.name, line->name))
            return err_set(err, ST_SYNTAX, "%s:%zu: %.*s is set twice, first on line %zu", file, line->number,
                           SLICE_ARG(line->name), at.number);
    return ST_OK;
}

/* Reads the table's settings of a text; with out NULL it only judges them. */
static enum status
walk(const struct conf_table *table, const char *file, struct slice text, void *out, struct err *err)
{
    struct slice all = text;
    struct line line = {0};
    enum status st;

    while ((st = next_line(&text, file, &line, err)) == ST_OK) {
        size_t i = find(table, line.name);
        union conf_value v;

        if (line.name.n == 0 || i == table->n)
            continue;
        st = check_value(&table->rows[i], file, &line, &v, err);
        if (st == ST_OK && out == NULL)
            st = check_once(all, file, &line, err);
        if (st != ST_OK)
            return st;
        if (out != NULL)
            store(table, i, &v, out);
    }
    return st == ST_NOTFOUND ? ST_OK : st;
}

static void
store_defaults(const struct conf_table *table, void *out)
{
    for (size_t i = 0; i < table->n; i++) {
        union conf_value v;
        enum status st = conf_value_parse(table->rows[i].type, slice_of(table->rows[i].standard), &v);

        assert(st == ST_OK);
        if (st == ST_OK)
            store(table, i, &v, out);
    }
}

enum status
conf_load(const struct conf_table *table, const char *file, struct slice text, void *out, size_t size,
          struct err *err)
{
    enum status st;

    assert(size == offset_of(table, table->n));
    if (text.n > CONF_TEXT_MAX)
        return err_set(err, ST_LIMIT, "%s: longer than %u bytes", file, CONF_TEXT_MAX);
    st = walk(table, file, text, NULL, err); /* all is judged before anything is written */
    if (st != ST_OK)
        return st;
    memset(out, 0, size);
    store_defaults(table, out);
    return walk(table, file, text, out, err);
}

static enum status
unknown_name(const struct conf_table *const *tables, size_t n, const char *file, const struct line *line,
             struct err *err)
{
    const struct setting *near = conf_nearest(tables, n, line->name);

    if (near == NULL)
        return err_set(err, ST_NOTFOUND, "%s:%zu: there is no setting \"%.*s\"", file, line->number,
                       SLICE_ARG(line->name));
    return err_set(err, ST_NOTFOUND, "%s:%zu: there is no setting \"%.*s\"; did you mean \"%s\"?", file,
                   line->number, SLICE_ARG(line->name), near->name);
}

enum status
conf_check(const struct conf_table *const *tables, size_t n, const char *file, struct slice text,
           struct err *err)
{
    struct slice rest = text;
    struct line line = {0};
    enum status st;

    if (text.n > CONF_TEXT_MAX)
        return err_set(err, ST_LIMIT, "%s: longer than %u bytes", file, CONF_TEXT_MAX);
    while ((st = next_line(&rest, file, &line, err)) == ST_OK) {
        bool known = line.name.n == 0;

        for (size_t t = 0; t < n && !known; t++)
            known = find(tables[t], line.name) < tables[t]->n;
        if (!known)
            return unknown_name(tables, n, file, &line, err);
    }
    if (st != ST_NOTFOUND)
        return st;
    for (size_t t = 0; t < n; t++)
        if ((st = walk(tables[t], file, text, NULL, err)) != ST_OK)
            return st;
    return ST_OK;
}

/* Edit distance where a swap of neighbours counts once, for that is what fingers do. */
static size_t
distance(struct slice a, struct slice b)
{
    size_t rows[3][CONF_NAME_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.n; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *freed = before;

        now[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            uint8_t x = ascii_lower(a.p[i - 1]), y = ascii_lower(b.p[j - 1]);
            size_t best = last[j - 1] + (x != y);

            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && x == ascii_lower(b.p[j - 2]) && y == ascii_lower(a.p[i - 2]) &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        before = last;
        last = now;
        now = freed;
    }
    return last[b.n];
}

const struct setting *
conf_nearest(const struct conf_table *const *tables, size_t n, struct slice name)
{
    const struct setting *near = NULL;
    size_t least = 2 + name.n / 4; /* farther than this is another word */

    if (name.n > CONF_NAME_MAX)
        return NULL;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < tables[t]->n; i++) {
            struct slice other = slice_of(tables[t]->rows[i].name);
            size_t d = other.n <= CONF_NAME_MAX ? distance(name, other) : SIZE_MAX;

            if (d < least || (d == least && near == NULL)) {
                least = d;
                near = &tables[t]->rows[i];
            }
        }
    return near;
}

static bool
bounds_are_good(const struct setting *row)
{
    enum setting_type type =
        row->type == SETTING_text || row->type == SETTING_addresses ? SETTING_count : row->type;
    union conf_value least, most;

    if (type == SETTING_bool)
        return true;
    return conf_value_parse(type, slice_of(row->least), &least) == ST_OK &&
           conf_value_parse(type, slice_of(row->most), &most) == ST_OK && least.number <= most.number;
}

enum status
conf_table_check(const struct conf_table *table, struct err *err)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct setting *row = &table->rows[i];
        struct slice name = slice_of(row->name), text = slice_of(row->text);
        struct slice rest = name;
        union conf_value v;

        (void)take_while(&rest, is_name);
        if (name.n == 0 || name.n > CONF_NAME_MAX || rest.n != 0)
            return err_set(err, ST_SYNTAX, "%s: %s: not a name", table->owner, row->name);
        if (find(table, name) != i)
            return err_set(err, ST_EXISTS, "%s: %s: there twice", table->owner, row->name);
        if (text.n == 0 || text.p[text.n - 1] != '.')
            return err_set(err, ST_SYNTAX, "%s: %s: no sentence about it", table->owner, row->name);
        if (!bounds_are_good(row))
            return err_set(err, ST_SYNTAX, "%s: %s: bad range", table->owner, row->name);
        if (conf_value_parse(row->type, slice_of(row->standard), &v) != ST_OK || !conf_value_fits(row, &v))
            return err_set(err, ST_LIMIT, "%s: %s: bad default", table->owner, row->name);
    }
    return ST_OK;
}

enum status
conf_show_one(const struct conf_table *table, const void *values, struct slice name, struct buf *out)
{
    size_t i = find(table, name);
    union conf_value v;

    if (i == table->n)
        return ST_NOTFOUND;
    fetch(table, i, values, &v);
    conf_value_put(out, table->rows[i].type, &v);
    return ST_OK;
}

void
conf_show(const struct conf_table *table, const void *values, struct buf *out)
{
    for (size_t i = 0; i < table->n; i++) {
        union conf_value v;

        fetch(table, i, values, &v);
        buf_printf(out, "%s = ", table->rows[i].name);
        conf_value_put(out, table->rows[i].type, &v);
        buf_putc(out, '\n');
    }
}

/* "From 10s to 1h." in the words of the type; nothing for a bool. */
static void
put_range(struct buf *out, const struct setting *row)
{
    if (row->type == SETTING_bool)
        return;
    buf_printf(out, "%s %s to %s%s.", row->type == SETTING_text ? "Length from" : "From", row->least,
               row->most, row->type == SETTING_text ? " bytes" : "");
}

void
conf_dump(const struct conf_table *table, struct buf *out)
{
    buf_printf(out, "# Settings of %s. Each line that begins with \"#\" and a name shows the default.\n",
               table->owner);
    for (size_t i = 0; i < table->n; i++) {
        const struct setting *row = &table->rows[i];

        buf_printf(out, "\n# %s\n# %s. ", row->text, conf_type_text(row->type));
        put_range(out, row);
        buf_printf(out, "\n#%s = %s\n", row->name, row->standard);
    }
}

/* man(7): a backslash begins an escape, "-" would become a hyphen, "." at a line's start a request. */
static void
put_roff(struct buf *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\')
            buf_puts(out, "\\e");
        else if (*c == '-')
            buf_puts(out, "\\-");
        else
            buf_putc(out, (uint8_t)*c);
    }
}

void
conf_manual(const struct conf_table *table, struct buf *out)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct setting *row = &table->rows[i];

        buf_puts(out, ".TP\n.B ");
        put_roff(out, row->name);
        buf_puts(out, " = \\fI");
        put_roff(out, row->standard);
        buf_puts(out, "\\fR\n\\&");
        put_roff(out, row->text);
        buf_puts(out, "\nThe value is ");
        put_roff(out, conf_type_text(row->type));
        buf_puts(out, ".\n");
        put_range(out, row);
        if (row->type != SETTING_bool)
            buf_putc(out, '\n');
    }
}
