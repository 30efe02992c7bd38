#include "maa/imap/views.h"

#include "base/test.h"

static const struct mailbox_status status = {
    .uidvalidity = 7, .uidnext = 5001, .modseq = 90, .messages = 4999, .unseen = 3};
static const struct slice user = {(const uint8_t *)"a@b.example", 11};

static struct uidset
made(uint32_t hole)
{
    struct uidset view = {0};

    CHECK_INT(0, uidset_append(&view, 1, hole - 1), ST_OK);
    CHECK_INT(1, uidset_append(&view, hole + 1, 5000), ST_OK);
    return view;
}

static bool
finds(struct slice name, uint64_t mailbox, uint32_t epoch, struct mailbox_status now)
{
    struct uidset view = {0};
    uint32_t unseen = 0;
    bool found = views_find(name, mailbox, epoch, &now, &view, &unseen);

    CHECK_INT(0, unseen, found ? 12 : 0);
    CHECK_INT(1, view.count, found ? 4999 : 0);
    CHECK(2, !found || (!uidset_has(&view, 40) && uidset_has(&view, 41)));
    uidset_done(&view);
    return found;
}

TEST(same_state_only)
{
    struct uidset view = made(40);
    struct mailbox_status other;

    CHECK(0, !finds(user, 3, 1, status));
    views_keep(user, 3, 1, &status, &view, 12);
    CHECK(1, finds(user, 3, 1, status));
    CHECK(2, !finds(SLICE("b@b.example"), 3, 1, status));
    CHECK(3, !finds(user, 4, 1, status));
    CHECK(4, !finds(user, 3, 2, status));
    other = status, other.modseq++;
    CHECK(5, !finds(user, 3, 1, other));
    other = status, other.uidvalidity++;
    CHECK(6, !finds(user, 3, 1, other));
    other = status, other.uidnext++;
    CHECK(7, !finds(user, 3, 1, other));
    other = status, other.messages--;
    CHECK(8, !finds(user, 3, 1, other));
    uidset_done(&view);
}

TEST(not_kept)
{
    struct uidset view = made(40), small = {0};
    struct mailbox_status other = status;

    other.messages = 5000; /* one came between the two */
    views_keep(user, 5, 1, &other, &view, 12);
    CHECK(0, !finds(user, 5, 1, other));
    other = status, other.uidnext = 5000;
    views_keep(user, 5, 1, &other, &view, 12);
    CHECK(1, !finds(user, 5, 1, other));
    CHECK_INT(2, uidset_append(&small, 1, VIEWS_MESSAGES - 1), ST_OK);
    other = status, other.messages = small.count;
    views_keep(user, 5, 1, &other, &small, 12);
    CHECK(3, !finds(user, 5, 1, other));
    uidset_done(&view);
    uidset_done(&small);
}

TEST(oldest_goes)
{
    struct uidset view = made(40);

    for (uint64_t box = 100; box < 100 + VIEWS_KEPT; box++)
        views_keep(user, box, 1, &status, &view, 12);
    CHECK(0, finds(user, 100, 1, status));
    views_keep(user, 200, 1, &status, &view, 12);
    CHECK(1, finds(user, 100, 1, status) && finds(user, 200, 1, status));
    CHECK(2, !finds(user, 101, 1, status));
    uidset_done(&view);
}

TEST_MAIN(same_state_only, not_kept, oldest_goes)
