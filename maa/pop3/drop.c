#include "maa/pop3/drop.h"

#include <assert.h>
#include <stdlib.h>

void
drop_done(struct drop *d)
{
    free(d->messages);
    *d = (struct drop){0};
}

enum status
drop_add(struct drop *d, uint32_t uid, uint64_t size)
{
    uint64_t bytes;

    if (uid == 0 || (d->n > 0 && uid <= d->messages[d->n - 1].uid) ||
        __builtin_add_overflow(d->bytes, size, &bytes))
        return ST_SYNTAX;
    if (d->n == DROP_MAX)
        return ST_LIMIT;
    if (d->n == d->room) {
        uint32_t room = d->room < 16 ? 16 : d->room * 2;
        struct drop_message *more = reallocarray(d->messages, room, sizeof *more);

        if (more == NULL)
            return ST_MEMORY;
        d->messages = more;
        d->room = room;
    }
    d->messages[d->n++] = (struct drop_message){.uid = uid, .size = size};
    d->bytes = bytes;
    return ST_OK;
}

void
drop_close(struct drop *d)
{
    struct drop_message *fit;

    if (d->n == 0 || d->n == d->room)
        return;
    fit = reallocarray(d->messages, d->n, sizeof *fit);
    if (fit == NULL)
        return;
    d->messages = fit;
    d->room = d->n;
}

const struct drop_message *
drop_find(const struct drop *d, uint32_t number)
{
    if (number == 0 || number > d->n || d->messages[number - 1].deleted)
        return NULL;
    return &d->messages[number - 1];
}

void
drop_delete(struct drop *d, uint32_t number)
{
    assert(drop_find(d, number) != NULL);
    d->messages[number - 1].deleted = 1;
    d->deleted++;
    d->deleted_bytes += d->messages[number - 1].size;
}

void
drop_reset(struct drop *d)
{
    for (uint32_t i = 0; i < d->n; i++)
        d->messages[i].deleted = 0;
    d->deleted = 0;
    d->deleted_bytes = 0;
}

bool
drop_runs(const struct drop *d, uint32_t *number, size_t most, struct buf *runs)
{
    uint32_t i = *number > 0 ? *number - 1 : 0;
    size_t n = 0;

    while (i < d->n && n < most) {
        uint32_t first = d->messages[i].uid, last = first;

        if (!d->messages[i++].deleted)
            continue;
        /* Only uids that follow one another: between others a message could have come that nobody marked. */
        while (i < d->n && d->messages[i].deleted && d->messages[i].uid == last + 1)
            last = d->messages[i++].uid;
        buf_put_le32(runs, first);
        buf_put_le32(runs, last);
        n++;
    }
    *number = i + 1;
    return n > 0;
}
