#include "maa/pop3/lock.h"

#include "base/test.h"

/* RFC 1939 4, RFC 2449 6.5 and 8.1 */
TEST(locks)
{
    enum { TAKE, GIVE, FORGET };
    static const struct {
        int what;
        const char *account;
        uint64_t now, delay;
        enum status want;
    } steps[] = {
        {TAKE, "a@x", 100, 0,  ST_OK    },
        {TAKE, "a@x", 101, 0,  ST_EXISTS},
        {TAKE, "b@x", 101, 0,  ST_OK    },
        {GIVE, "a@x", 0,   0,  ST_OK    },
        {TAKE, "a@x", 101, 50, ST_OK    },
        {TAKE, "a@x", 500, 50, ST_EXISTS}, /* held, however long ago it was taken */
        {GIVE, "a@x", 0,   0,  ST_OK    },
        {GIVE, "c@x", 0,   0,  ST_OK    },
        {TAKE, "a@x", 150, 50, ST_LIMIT },
        {TAKE, "a@x", 151, 50, ST_OK    },
        {GIVE, "a@x", 0,   0,  ST_OK    },
        {TAKE, "a@x", 300, 50, ST_OK    },
        {FORGET, "a@x", 0, 0,  ST_OK    },
        {TAKE, "a@x", 301, 50, ST_OK    }, /* no session came of it */
        {GIVE, "a@x", 0,   0,  ST_OK    },
        {GIVE, "b@x", 0,   0,  ST_OK    },
    };
    struct locks *l;

    CHECK_INT(0, locks_new(&l), ST_OK);
    for (size_t i = 0; i < COUNT(steps); i++)
        if (steps[i].what != TAKE)
            locks_give(l, slice_of(steps[i].account), steps[i].what == FORGET);
        else
            CHECK_INT(i, locks_take(l, slice_of(steps[i].account), steps[i].now, steps[i].delay),
                      steps[i].want);
    CHECK_INT(1, locks_n(l), 2); /* remembered until somebody looks there again */
    locks_free(l);
}

TEST_MAIN(locks)
