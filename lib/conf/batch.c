#include "conf/batch.h"

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool
is_name(uint8_t c)
{
    return c > 0x20 && c != 0x7f;
}

static bool
is_text(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

void
batch_init(struct batch *b, const char *file, struct slice text)
{
    *b = (struct batch){.file = file, .rest = text};
}

static enum status
parse_row(const struct batch *b, struct slice in, struct batch_row *row, struct err *err)
{
    struct batch_row got = {0};
    struct slice gap;

    if (!is_text(in))
        return err_set(err, ST_SYNTAX, "%s:%zu: control character", b->file, b->line);
    got.name = take_while(&in, is_name);
    gap = take_while(&in, is_blank);
    got.password = in;
    if (gap.n == 0 || got.password.n == 0)
        return err_set(err, ST_SYNTAX, "%s:%zu: expected a name, a space and a password", b->file, b->line);
    if (got.name.n > BATCH_NAME_MAX)
        return err_set(err, ST_LIMIT, "%s:%zu: name longer than %u bytes", b->file, b->line, BATCH_NAME_MAX);
    if (got.password.n > BATCH_PASSWORD_MAX)
        return err_set(err, ST_LIMIT, "%s:%zu: password longer than %u bytes", b->file, b->line,
                       BATCH_PASSWORD_MAX);
    *row = got;
    return ST_OK;
}

enum status
batch_next(struct batch *b, struct batch_row *row, struct err *err)
{
    while (b->rest.n > 0) {
        struct slice in = take_until(&b->rest, '\n');

        (void)take_byte(&b->rest, '\n');
        b->line++;
        if (in.n > 0 && in.p[in.n - 1] == '\r')
            in.n--;
        (void)take_while(&in, is_blank);
        if (in.n > 0 && in.p[0] != '#')
            return parse_row(b, in, row, err);
    }
    return ST_NOTFOUND;
}
