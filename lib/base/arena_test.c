#include "base/arena.h"
#include "base/test.h"

TEST(arena)
{
    AUTO_ARENA a = ARENA_INIT(10000);
    struct slice copy = arena_copy(&a, SLICE("hello"));

    CHECK_SLICE(0, copy, "hello");
    for (int i = 0; i < 100; i++) {
        uint8_t *p = arena_alloc(&a, 64);

        CHECK(i, p != NULL && (uintptr_t)p % 16 == 0 && p[63] == 0);
        memset(p, 0xff, 64);
    }
    CHECK(1, arena_alloc(&a, 9000) == NULL);
    CHECK(2, arena_failed(&a));
    CHECK(3, arena_alloc(&a, 1) == NULL);
    CHECK_SLICE(4, copy, "hello");
    arena_reset(&a);
    CHECK(5, arena_alloc(&a, 9000) != NULL);
    CHECK(6, arena_array(&a, SIZE_MAX / 2, 3) == NULL);
    CHECK(7, arena_failed(&a));
    arena_reset(&a);
    CHECK(8, arena_alloc(&a, SIZE_MAX) == NULL);
}

TEST_MAIN(arena)
