#include "auth/ticket.h"

#include "base/test.h"

static uint8_t one[TICKET_SIZE] = {1}, two[TICKET_SIZE] = {2};
#define ONE slice_from(one, TICKET_SIZE)
#define TWO slice_from(two, TICKET_SIZE)

TEST(redeem)
{
    static const struct {
        uint64_t now, conn;
        int secret;
        enum status want;
    } cases[] = {
        {0, 7, 2, ST_STALE},  /* forged */
        {0, 8, 1, ST_STALE},  /* another connection */
        {10, 7, 1, ST_STALE}, /* expired */
        {9, 7, 1, ST_OK},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tickets *t = NULL;
        struct ticket got = {0};

        CHECK_INT(i, tickets_new(4, &t), ST_OK);
        CHECK_INT(i, tickets_issue(t, 0, 10, 7, SLICE("a@x"), 5, one), ST_OK);
        CHECK_INT(i, tickets_redeem(t, cases[i].now, cases[i].conn, cases[i].secret == 1 ? ONE : TWO, &got), cases[i].want);
        CHECK_INT(i, got.user_n, cases[i].want == ST_OK ? 3 : 0);
        CHECK_INT(i, got.rights, cases[i].want == ST_OK ? 5 : 0);
        if (cases[i].want == ST_OK) {
            CHECK_SLICE(i, slice_from(got.user, got.user_n), "a@x");
            CHECK_INT(i, tickets_redeem(t, 0, 7, ONE, &got), ST_STALE); /* once only */
        }
        CHECK_INT(i, tickets_redeem(t, 0, 7, slice_from(one, 15), &got), ST_STALE);
        tickets_free(t);
    }
}

TEST(bounded)
{
    struct tickets *t = NULL;
    struct ticket got;

    CHECK_INT(0, tickets_new(3, &t), ST_OK);
    for (uint64_t i = 0; i < 3; i++)
        CHECK_INT(i, tickets_issue(t, 0, 10 + i, 7 + i * 16, SLICE("a@x"), 0, one), ST_OK);
    CHECK_INT(1, tickets_issue(t, 9, 20, 99, SLICE("a@x"), 0, one), ST_UNAVAILABLE);
    CHECK_INT(2, tickets_issue(t, 9, 20, 23, SLICE("b@x"), 0, two), ST_OK); /* replaces its own */
    CHECK_INT(2, tickets_redeem(t, 9, 23, ONE, &got), ST_STALE);
    CHECK_INT(3, tickets_issue(t, 10, 20, 99, SLICE("a@x"), 0, one), ST_OK); /* the first has expired */
    CHECK_INT(3, tickets_count(t), 3);
    tickets_forget_user(t, SLICE("a@x"));
    CHECK_INT(4, tickets_count(t), 1);
    CHECK_INT(4, tickets_redeem(t, 10, 23, TWO, &got), ST_OK);
    CHECK_INT(5, tickets_issue(t, 10, 20, 1, SLICE("a@x"), 0, one), ST_OK);
    tickets_forget(t, 1);
    tickets_forget(t, 1);
    CHECK_INT(5, tickets_redeem(t, 10, 1, ONE, &got), ST_STALE);
    CHECK_INT(5, tickets_count(t), 0);
    tickets_free(t);
}

TEST_MAIN(redeem, bounded)
