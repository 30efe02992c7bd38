/* external_fingerprints: what is accepted is read the same twice, and an account is found only in it. */
#include <assert.h>

#include "auth/fingerprint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t want[FINGERPRINT] = {0};
    struct slice map, account = {0};
    enum status st;

    if (n < FINGERPRINT)
        return 0;
    memcpy(want, data, FINGERPRINT);
    map = slice_from(data + FINGERPRINT, n - FINGERPRINT);
    st = fingerprints_find(map, want, &account);
    assert((fingerprints_check(map, NULL) == ST_SYNTAX) == (st == ST_SYNTAX));
    assert((st == ST_OK) == (account.n > 0));
    assert(account.n == 0 || (account.p >= map.p && account.p + account.n <= map.p + map.n));
    return 0;
}
