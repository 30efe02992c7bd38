#include "smtpserver/random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static uint8_t pool[4096];
static size_t used = sizeof(pool);

static void
refill(void)
{
    for (size_t n = 0; n < sizeof(pool);) {
        ssize_t got = getrandom(pool + n, sizeof(pool) - n, 0);

        if (got > 0)
            n += (size_t)got;
        else if (errno != EINTR)
            abort(); /* numbers that can be guessed would be worse */
    }
    used = 0;
}

void
random_bytes(void *to, size_t n)
{
    assert(n <= 256);
    if (n > sizeof(pool) - used)
        refill();
    memcpy(to, pool + used, n);
    explicit_bzero(pool + used, n);
    used += n;
}

void
random_name(uint8_t to[RANDOM_NAME])
{
    static const char letters[] = "0123456789abcdefghijkmnpqrstuvwx"; /* 32 of them */
    uint64_t bits;

    random_bytes(&bits, sizeof(bits));
    for (size_t i = 0; i < RANDOM_NAME; i++, bits >>= 5)
        to[i] = (uint8_t)letters[bits & 31];
}
