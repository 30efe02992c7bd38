#include "route/forward.h"

/* Without a trailing comment; a line that is one is empty. */
static struct slice
plain(struct slice line)
{
    struct slice rest = line;

    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (slice_starts(line, '#'))
        return (struct slice){0};
    for (;;) {
        size_t at = slice_find_slice(rest, SLICE("#@#"));

        if (at == rest.n)
            return line;
        if (at > 0 && (rest.p[at - 1] == ' ' || rest.p[at - 1] == '\t'))
            return slice_sub(line, 0, line.n - rest.n + at);
        rest = slice_skip(rest, at + 1);
    }
}

enum status
route_forward_next(struct route_forward *f, struct arena *a, struct route_item *item, struct err *err)
{
    for (;;) {
        enum status st = route_item_next(a, &f->list, item, err);

        if (st != ST_NOTFOUND || f->rest.n == 0)
            return st;
        f->list = plain(take_until(&f->rest, '\n'));
        (void)take_byte(&f->rest, '\n');
        f->line++;
    }
}
