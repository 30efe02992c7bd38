#include "maa/imap/views.h"

#define USER_MAX 1024u

static struct remembered {
    struct buf user;
    uint64_t mailbox, modseq, used; /* used: a count, the lowest goes first */
    uint32_t epoch, uidvalidity, uidnext, unseen;
    struct uidset view;
} kept[VIEWS_KEPT];
static uint64_t uses;

static struct remembered *
of_mailbox(struct slice user, uint64_t mailbox)
{
    for (size_t i = 0; i < COUNT(kept); i++)
        if (kept[i].view.count > 0 && kept[i].mailbox == mailbox && slice_eq(buf_slice(&kept[i].user), user))
            return &kept[i];
    return NULL;
}

static enum status
copy(const struct uidset *from, struct uidset *to)
{
    struct uidset made = {0};

    for (size_t i = 0; i < from->n; i++)
        if (uidset_append(&made, from->runs[i].first, from->runs[i].last) != ST_OK) {
            uidset_done(&made);
            return ST_MEMORY;
        }
    uidset_trim(&made);
    *to = made;
    return ST_OK;
}

bool
views_find(struct slice user, uint64_t mailbox, uint32_t epoch, const struct mailbox_status *status,
           struct uidset *view, uint32_t *unseen)
{
    struct remembered *r = of_mailbox(user, mailbox);

    if (r == NULL || r->epoch != epoch || r->uidvalidity != status->uidvalidity ||
        r->modseq != status->modseq || r->uidnext != status->uidnext || r->view.count != status->messages ||
        copy(&r->view, view) != ST_OK)
        return false;
    r->used = ++uses;
    *unseen = r->unseen;
    return true;
}

void
views_keep(struct slice user, uint64_t mailbox, uint32_t epoch, const struct mailbox_status *status,
           const struct uidset *view, uint32_t unseen)
{
    struct remembered *r = of_mailbox(user, mailbox);

    if (view->count < VIEWS_MESSAGES || view->n > VIEWS_RUNS || view->count != status->messages ||
        uidset_last(view) >= status->uidnext)
        return;
    if (r == NULL) {
        r = &kept[0];
        for (size_t i = 1; i < COUNT(kept); i++)
            r = kept[i].used < r->used ? &kept[i] : r;
    }
    uidset_done(&r->view);
    r->view = (struct uidset){0};
    r->user.max = USER_MAX;
    buf_clear(&r->user);
    buf_put(&r->user, user);
    if (!buf_ok(&r->user) || copy(view, &r->view) != ST_OK) {
        buf_done(&r->user);
        return;
    }
    r->mailbox = mailbox;
    r->modseq = status->modseq;
    r->used = ++uses;
    r->epoch = epoch;
    r->uidvalidity = status->uidvalidity;
    r->uidnext = status->uidnext;
    r->unseen = unseen;
}
