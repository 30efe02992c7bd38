#include "sys/confine_line.h"

static const struct {
    const char *name;
    enum confine_class calls;
} classes[] = {
    {"parser", CONFINE_PARSER}, {"edge", CONFINE_EDGE}, {"store", CONFINE_STORE},
    {"auth", CONFINE_AUTH},     {"key", CONFINE_KEY},       {"dns", CONFINE_DNS},
};

struct parse {
    struct confine_line line;
    size_t n_paths, used;
};

static bool
take_class(struct confinement *c, struct slice word)
{
    for (size_t i = 0; i < COUNT(classes); i++)
        if (slice_eq(word, slice_of(classes[i].name)))
            c->calls = classes[i].calls;
    return c->calls != 0;
}

/* Where in out->text the path begins, as an offset + 1: pointers are made when all is known. */
static bool
take_path(struct parse *p, struct slice path, bool write)
{
    if (p->n_paths == CONFINE_PATHS || path.n == 0 || path.p[0] != '/' ||
        path.n + 1 > sizeof(p->line.text) - p->used)
        return false;
    memcpy(p->line.text + p->used, path.p, path.n);
    p->line.text[p->used + path.n] = '\0';
    p->line.confinement.paths[p->n_paths].path = (const char *)(uintptr_t)(p->used + 1);
    p->line.confinement.paths[p->n_paths++].write = write;
    p->used += path.n + 1;
    return true;
}

static bool
take_word(struct parse *p, struct slice word)
{
    struct confinement *c = &p->line.confinement;
    struct slice name = take_until(&word, '=');
    uint64_t n = 0;

    if (!take_byte(&word, '='))
        return false;
    if (slice_eq(name, SLICE("class")))
        return take_class(c, word);
    if (slice_eq(name, SLICE("read")))
        return take_path(p, word, false);
    if (slice_eq(name, SLICE("write")))
        return take_path(p, word, true);
    if (!take_number(&word, INT64_MAX, &n) || word.n != 0)
        return false;
    if ((slice_eq(name, SLICE("uid")) || slice_eq(name, SLICE("gid"))) && (n == 0 || n > INT32_MAX))
        return false; /* root is not a confinement */
    if (slice_eq(name, SLICE("uid")))
        c->uid = (uid_t)n;
    else if (slice_eq(name, SLICE("gid")))
        c->gid = (gid_t)n;
    else if (slice_eq(name, SLICE("files")))
        c->files = n;
    else if (slice_eq(name, SLICE("memory")))
        c->memory = n;
    else if (slice_eq(name, SLICE("tasks")))
        c->tasks = n;
    else
        return false;
    return true;
}

enum status
confine_line_parse(struct slice line, const char *role, struct confine_line *out, struct err *err)
{
    struct parse p = {.line = {.confinement = {.role = role, .uid = CONFINE_STAY, .gid = (gid_t)-1}}};

    while (line.n > 0) {
        struct slice word = take_until(&line, ' ');

        (void)take_byte(&line, ' ');
        if (word.n > 0 && !take_word(&p, word))
            return err_set(err, ST_SYNTAX, "confinement of %s: what is \"%.*s\"?", role, SLICE_ARG(word));
    }
    if (p.line.confinement.calls == 0)
        return err_set(err, ST_SYNTAX, "confinement of %s: class= is missing", role);
    if ((p.line.confinement.uid == CONFINE_STAY) != (p.line.confinement.gid == (gid_t)-1))
        return err_set(err, ST_SYNTAX, "confinement of %s: uid= and gid= go together", role);
    *out = p.line;
    for (size_t i = 0; i < p.n_paths; i++)
        out->confinement.paths[i].path = out->text + (uintptr_t)out->confinement.paths[i].path - 1;
    return ST_OK;
}
