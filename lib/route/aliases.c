#include "route/aliases.h"

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct slice
take_line(struct route_aliases *f)
{
    struct slice line = take_until(&f->rest, '\n');

    (void)take_byte(&f->rest, '\n');
    f->next++;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

/* Does the next line belong to this one, which is taken from it? */
static bool
goes_on(const struct route_aliases *f, struct slice *line)
{
    if (line->n > 0 && line->p[line->n - 1] == '\\') {
        line->n--;
        return f->rest.n > 0;
    }
    return f->rest.n > 0 && is_blank(f->rest.p[0]);
}

/* An entry's lines as one. The first may be all of it, and is then not copied. ST_LIMIT: the lines are passed
 * over. */
static enum status
take_entry(struct route_aliases *f, struct arena *a, struct slice *entry)
{
    struct slice line = take_line(f);
    uint8_t *p;
    size_t n = 0, most = 0;
    struct route_aliases ahead = *f;

    for (struct slice one = line; goes_on(&ahead, &one); one = take_line(&ahead))
        most += one.n + 1;
    if (most == 0) { /* a "\" at the text's end continues nothing */
        if (line.n > 0 && line.p[line.n - 1] == '\\')
            line.n--;
        *entry = line;
        return ST_OK;
    }
    most = (size_t)(ahead.rest.p - line.p); /* what the lines have is enough */
    if (most > ROUTE_ALIAS_MAX) {
        *f = ahead;
        return ST_LIMIT;
    }
    p = arena_alloc(a, most + 1);
    if (p == NULL)
        return ST_MEMORY;
    for (bool more = true; more; line = more ? take_line(f) : line) {
        more = goes_on(f, &line);
        if (line.n > 0 && !slice_starts(line, '#')) {
            if (n > 0)
                p[n++] = ' ';
            memcpy(p + n, line.p, line.n);
            n += line.n;
        }
    }
    *entry = slice_from(p, n);
    return ST_OK;
}

/* Up to the ":" that is in no quotes; the name unquoted and folded. */
static enum status
take_name(struct arena *a, struct slice *in, struct slice *name, struct err *err)
{
    struct slice local = {0}, domain = {0}, at = *in;
    AUTO_ARENA scratch = ARENA_INIT(8192);
    bool quoted = false;
    enum status st;
    uint8_t *p;
    size_t n;

    for (; at.n > 0 && (quoted || at.p[0] != ':'); at = slice_skip(at, 1)) {
        if (at.p[0] == '\\' && at.n > 1)
            at = slice_skip(at, 1);
        else
            quoted ^= at.p[0] == '"';
    }
    if (at.n == 0)
        return err_set(err, ST_SYNTAX, "missing colon");
    st = route_address_parse(&scratch, slice_sub(*in, 0, in->n - at.n), &local, &domain);
    if (st != ST_OK)
        return err_set(err, ST_SYNTAX, "illegal alias name");
    n = local.n + (domain.n > 0 ? 1 + domain.n : 0);
    p = arena_alloc(a, n);
    if (p == NULL)
        return ST_MEMORY;
    for (size_t i = 0; i < n; i++)
        p[i] = i < local.n    ? ascii_lower(local.p[i])
               : i == local.n ? '@'
                              : ascii_lower(domain.p[i - local.n - 1]);
    *name = slice_from(p, n);
    *in = slice_skip(at, 1);
    return ST_OK;
}

enum status
route_alias_next(struct route_aliases *f, struct arena *a, struct slice *name, struct slice *list,
                 struct err *err)
{
    struct slice entry, got = {0};
    enum status st;

    do {
        if (f->rest.n == 0)
            return ST_NOTFOUND;
        f->line = f->next + 1;
        if (slice_starts(f->rest, '#')) { /* a comment is one line, whatever the next begins with */
            entry = slice_sub(take_line(f), 0, 0);
            continue;
        }
        st = take_entry(f, a, &entry);
        if (st != ST_OK)
            return st == ST_LIMIT ? err_set(err, st, "alias line too long") : st;
    } while (slice_trim(entry).n == 0);
    if (is_blank(entry.p[0]))
        return err_set(err, ST_SYNTAX, "a line that continues nothing begins with a space");
    st = take_name(a, &entry, &got, err);
    if (st != ST_OK)
        return st;
    entry = slice_trim(entry);
    if (entry.n == 0)
        return err_set(err, ST_SYNTAX, "missing value for alias");
    *name = got;
    *list = entry;
    return ST_OK;
}

/* --- a whole text --- */

struct loader {
    struct slice file, domain;
    const struct route_table *local;
    route_report_fn report;
    void *arg;
    size_t wrong;
};

static void
report(struct loader *l, uint32_t line, const char *words)
{
    l->wrong++;
    if (l->report != NULL)
        l->report(l->arg, l->file, line, words);
}

/* All items can be read: a list with a mistake would lose mail of the one that it was meant for. */
static enum status
check_list(struct slice list, struct err *err)
{
    AUTO_ARENA scratch = ARENA_INIT(16u * ROUTE_ALIAS_MAX);
    struct route_item item;
    enum status st;
    size_t n = 0;

    while ((st = route_item_next(&scratch, &list, &item, err)) == ST_OK)
        n++;
    if (st == ST_NOTFOUND)
        return n > 0 ? ST_OK : err_set(err, ST_SYNTAX, "missing value for alias");
    return st;
}

/* The key: the local part, when its domain is ours. */
static bool
key_of(const struct loader *l, struct slice *name)
{
    struct slice domain = *name, local = take_until(&domain, '@');
    size_t at = name->n;

    while (at > 0 && name->p[at - 1] != '@')
        at--;
    if (at == 0)
        return true;
    local = slice_sub(*name, 0, at - 1);
    domain = slice_skip(*name, at);
    if (!slice_eq(domain, l->domain) && route_table_get(l->local, domain) == NULL)
        return false;
    *name = local;
    return true;
}

enum status
route_aliases_load(struct route_table *to, struct slice file, struct slice text, struct slice domain,
                   const struct route_table *local, route_report_fn tell, void *arg, size_t *wrong)
{
    struct loader l = {file, domain, local, tell, arg, 0};
    struct route_aliases f = route_aliases_of(text);

    for (;;) {
        struct slice name = {0}, list = {0};
        struct err err = {0};
        enum status st = route_alias_next(&f, to->arena, &name, &list, &err);

        if (st == ST_NOTFOUND)
            break;
        if (st == ST_OK && !key_of(&l, &name))
            st = err_set(&err, ST_SYNTAX, "cannot alias non-local names");
        if (st == ST_OK)
            st = check_list(list, &err);
        if (st == ST_OK)
            st = route_table_put(to, name, &(struct route_row){list, file, f.line});
        if (st == ST_MEMORY)
            return st;
        if (st == ST_EXISTS)
            (void)err_set(&err, st, "duplicate alias name");
        if (st != ST_OK)
            report(&l, f.line, err.text);
    }
    *wrong = l.wrong;
    return ST_OK;
}
