#include "auth/throttle.h"

#include "base/test.h"

#define SECOND 1000000000ull
static const uint8_t key[THROTTLE_KEY] = {1, 2, 3};

static struct slice
v4(uint8_t c, uint8_t d)
{
    static uint8_t bytes[4][16];
    static unsigned turn;
    uint8_t *p = bytes[turn++ % 4];

    memcpy(p, (const uint8_t[16]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, c, d}, 16);
    return slice_from(p, 16);
}

static struct throttle *
fresh(size_t size)
{
    struct throttle *t = NULL;

    CHECK_INT(0, throttle_new(size, key, &t), ST_OK);
    return t;
}

static void
flunk(struct throttle *t, uint64_t now, struct slice address, const char *name, int times)
{
    while (times-- > 0)
        throttle_failed(t, now, address, slice_of(name));
}

static uint64_t
ask(struct throttle *t, uint64_t now, struct slice address, const char *name)
{
    uint64_t wait = 0;

    return throttle_ask(t, now, address, slice_of(name), &wait) == ST_OK ? wait : UINT64_MAX;
}

TEST(network_is_slowed)
{
    struct throttle *t = fresh(1000);
    uint64_t now = SECOND;

    for (int i = 0; i < 9; i++) {
        char name[8];

        CHECK_INT(i, ask(t, now, v4(2, 1), "a"), 0);
        snprintf(name, sizeof name, "u%d", i);
        flunk(t, now, v4(2, (uint8_t)i), name, 1);
    }
    CHECK_INT(0, ask(t, now, v4(2, 9), "z"), 0);
    flunk(t, now, v4(2, 9), "z", 1);
    CHECK_INT(1, ask(t, now, v4(2, 77), "y"), SECOND / 4); /* same /24, other name */
    CHECK_INT(2, ask(t, now, v4(2, 77), "y"), SECOND / 2); /* the moment before was reserved */
    CHECK_INT(3, ask(t, now, v4(3, 77), "y"), 0);          /* another network */
    flunk(t, now, v4(2, 9), "z", 20);
    CHECK(4, ask(t, now, v4(2, 1), "y") <= THROTTLE_DELAY_MAX);
    for (int i = 0; i < 5; i++)
        (void)ask(t, now, v4(2, 1), "y");
    CHECK(5, ask(t, now, v4(2, 1), "y") == UINT64_MAX);
    CHECK_INT(6, ask(t, now + 20 * THROTTLE_HALVED, v4(2, 1), "y"), 0); /* forgotten */
    throttle_free(t);
}

TEST(owner_is_not_locked_out)
{
    struct throttle *t = fresh(1000);
    uint64_t now = SECOND;

    throttle_succeeded(t, now, v4(9, 9), SLICE("a"));
    for (int i = 0; i < 100; i++)
        flunk(t, now, v4((uint8_t)i, 1), "a", 1);
    CHECK(0, ask(t, now, v4(200, 1), "a") >= THROTTLE_DELAY_MAX / 2); /* a stranger waits */
    CHECK_INT(1, ask(t, now, v4(9, 9), "a"), 0);                      /* the owner does not */
    CHECK(2, ask(t, now, v4(9, 10), "a") > 0);                        /* his neighbour does */
    flunk(t, now, v4(9, 77), "b", 30);
    CHECK(3, ask(t, now, v4(9, 9), "a") <= THROTTLE_DELAY_MAX / 4);
    flunk(t, now, v4(9, 9), "a", THROTTLE_TRUST); /* who guesses from there loses the favour */
    CHECK(4, ask(t, now, v4(9, 9), "a") > THROTTLE_DELAY_MAX / 4);
    throttle_free(t);
}

TEST(six)
{
    struct throttle *t = fresh(1000);
    uint8_t a[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 1, 1}, b[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 1, 2}, c[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 2, 1};

    flunk(t, SECOND, slice_from(a, 16), "a", 15);
    CHECK(0, ask(t, SECOND, slice_from(b, 16), "b") > 0);
    CHECK_INT(1, ask(t, SECOND, slice_from(c, 16), "b"), 0);
    throttle_free(t);
}

/* A flood of names and networks passes through a small table; the hot one stays. */
TEST(bounded)
{
    struct throttle *t = fresh(16);

    flunk(t, SECOND, v4(1, 1), "hot", 30);
    for (unsigned i = 0; i < 10000; i++) {
        char name[16];

        snprintf(name, sizeof name, "n%u", i);
        flunk(t, SECOND + i, v4((uint8_t)(i % 200 + 2), 1), name, 1);
    }
    CHECK(0, ask(t, SECOND, v4(250, 1), "hot") > 0);
    throttle_free(t);
}

TEST_MAIN(network_is_slowed, owner_is_not_locked_out, six, bounded)
