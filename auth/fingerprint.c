#include "auth/fingerprint.h"

static int
hex(uint8_t c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
take_fingerprint(struct slice *in, uint8_t out[FINGERPRINT])
{
    for (size_t i = 0; i < FINGERPRINT; i++) {
        int high, low;

        if (i > 0)
            (void)take_byte(in, ':');
        if (in->n < 2 || (high = hex(in->p[0])) < 0 || (low = hex(in->p[1])) < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
        *in = slice_skip(*in, 2);
    }
    return true;
}

static bool
is_account(uint8_t c)
{
    return c > 0x20 && c != 0x7f && c != ',';
}

static bool
is_space(uint8_t c)
{
    return c == ' ';
}

static bool
take_entry(struct slice *in, uint8_t certificate[FINGERPRINT], struct slice *account)
{
    if (!take_fingerprint(in, certificate) || !take_byte(in, '='))
        return false;
    *account = take_while(in, is_account);
    return account->n > 0;
}

/* want NULL: looks at all of it. */
static enum status
walk(struct slice map, const uint8_t *want, struct slice *account, struct err *err)
{
    struct slice at = map, found = {0};
    uint8_t certificate[FINGERPRINT];
    size_t n = 0;

    (void)take_while(&at, is_space);
    while (at.n > 0) {
        struct slice name;

        n++;
        if (!take_entry(&at, certificate, &name))
            return err_set(err, ST_SYNTAX, "external_fingerprints: entry %zu is not SHA256=ACCOUNT", n);
        if (want != NULL && found.n == 0 && memcmp(certificate, want, FINGERPRINT) == 0)
            found = name;
        (void)take_while(&at, is_space);
        if (at.n > 0 && !take_byte(&at, ','))
            return err_set(err, ST_SYNTAX, "external_fingerprints: no comma after entry %zu", n);
        (void)take_while(&at, is_space);
    }
    if (found.n > 0)
        *account = found;
    return found.n > 0 || want == NULL ? ST_OK : ST_NOTFOUND;
}

enum status
fingerprints_check(struct slice map, struct err *err)
{
    return walk(map, NULL, NULL, err);
}

enum status
fingerprints_find(struct slice map, const uint8_t certificate[FINGERPRINT], struct slice *account)
{
    return walk(map, certificate, account, NULL);
}
