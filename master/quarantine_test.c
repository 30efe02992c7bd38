#include "master/quarantine.h"
#include "base/test.h"

#define S 1000000000u

static struct quarantine q;
static const struct quarantine_rule rule = {3, 60ull * S, 600ull * S};

static void
count(void *arg, struct slice name, uint64_t left)
{
    ++*(size_t *)arg;
}

static size_t
held(uint64_t now)
{
    size_t n = 0;

    quarantine_each(&q, now, count, &n);
    return n;
}

TEST(three_within_a_minute)
{
    static const struct {
        const char *name;
        uint64_t at;
        bool want;
        size_t held;
    } cases[] = {
        {"a@b.example", 100, false, 0}, {"a@b.example", 110, false, 0}, {"c@b.example", 111, false, 0},
        {"a@b.example", 171, false, 0}, /* the first is too long ago */
        {"a@b.example", 169, true, 1}, /* clocks do not go back, but then nothing must break */
        {"c@b.example", 172, false, 1}, {"a@b.example", 180, true, 1}, {"c@b.example", 781, false, 0},
        {"a@b.example", 800, false, 0}, /* served its time: three again */
    };

    quarantine_lift(&q);
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_INT(i, quarantine_crash(&q, &rule, slice_of(cases[i].name), cases[i].at * S), cases[i].want);
        CHECK_INT(i, held(cases[i].at * S), cases[i].held);
    }
}

/* What a program left behind may be anything. */
TEST(no_account)
{
    static const struct slice names[] = {SLICE(""),      SLICE("a"),           SLICE("@"),
                                         SLICE("a@"),    SLICE("@b"),          SLICE("a b@c"),
                                         SLICE("a@b\n"), SLICE("a\0@b.example"), SLICE("\x7f@b")};
    const struct quarantine_rule one = {1, S, S};
    uint8_t longest[256] = "a@";

    quarantine_lift(&q);
    for (size_t i = 0; i < COUNT(names); i++)
        CHECK(i, !quarantine_crash(&q, &one, names[i], S));
    memset(longest + 2, 'b', sizeof(longest) - 2);
    CHECK(20, !quarantine_crash(&q, &one, slice_from(longest, 256), S));
    CHECK(21, quarantine_crash(&q, &one, slice_from(longest, 255), S));
    CHECK(22, !quarantine_crash(&q, &(struct quarantine_rule){0, S, S}, SLICE("d@b.example"), S));
}

/* A taken program can name many; those that are held stay held, and the others lose their places to newer ones. */
TEST(full)
{
    const struct quarantine_rule one = {1, S, 100ull * S}, two = {2, S, 100ull * S};
    char name[32];

    quarantine_lift(&q);
    for (unsigned i = 0; i < 2 * QUARANTINE_MOST; i++) {
        (void)snprintf(name, sizeof(name), "u%u@b.example", i);
        (void)quarantine_crash(&q, &two, slice_of(name), (10 + i) * (uint64_t)S);
    }
    CHECK_INT(0, held(200ull * S), 0);
    for (unsigned i = 0; i < QUARANTINE_MOST; i++) {
        (void)snprintf(name, sizeof(name), "v%u@b.example", i);
        CHECK(i, quarantine_crash(&q, &one, slice_of(name), 200ull * S));
    }
    CHECK(1, !quarantine_crash(&q, &one, SLICE("w@b.example"), 201ull * S));
    CHECK_INT(2, held(201ull * S), QUARANTINE_MOST);
    quarantine_lift(&q);
    CHECK_INT(3, held(201ull * S), 0);
}

TEST_MAIN(three_within_a_minute, no_account, full)
