#include "smtpserver/seen.h"

#define ROWS       2048u /* a power of two; what falls into the same row takes its place */
#define NAME_MAX   80u
#define DETAIL_MAX 32u

static struct row {
    uint64_t until, account, size;
    uint8_t n, detail_n;
    uint8_t name[NAME_MAX], detail[DETAIL_MAX];
} rows[ROWS];
static struct loop *loop;

void
seen_init(struct loop *of)
{
    loop = of;
}

static struct row *
row_of(struct slice mailbox)
{
    return &rows[slice_hash(mailbox) % ROWS];
}

bool
seen_find(struct slice mailbox, uint64_t size, struct rcpt_found *found)
{
    const struct row *row = row_of(mailbox);

    if (row->until <= loop_now(loop) || row->size < size || !slice_eq(mailbox, slice_from(row->name, row->n)))
        return false;
    *found = (struct rcpt_found){.account = row->account, .detail = slice_from(row->detail, row->detail_n)};
    return true;
}

void
seen_keep(struct slice mailbox, uint64_t size, const struct rcpt_found *found)
{
    struct row *row = row_of(mailbox);

    if (mailbox.n == 0 || mailbox.n > NAME_MAX || found->detail.n > DETAIL_MAX)
        return;
    row->until = loop_now(loop) + SEEN_LIFE;
    row->account = found->account;
    row->size = size;
    row->n = (uint8_t)mailbox.n;
    memcpy(row->name, mailbox.p, mailbox.n);
    row->detail_n = (uint8_t)found->detail.n;
    if (found->detail.n > 0)
        memcpy(row->detail, found->detail.p, found->detail.n);
}

void
seen_forget(void)
{
    for (size_t i = 0; i < ROWS; i++)
        rows[i].until = 0;
}
