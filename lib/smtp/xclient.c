#include "smtp/xclient.h"

#include <arpa/inet.h>

static bool
is_value(uint8_t c)
{
    return c > 0x20 && c < 0x7f;
}

static bool
is_keyword(uint8_t c)
{
    return ascii_alpha(c);
}

/* "192.0.2.1" or "IPV6:2001:db8::1" */
static bool
read_address(struct slice text, uint8_t addr[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char string[INET6_ADDRSTRLEN + 1];
    bool six = take_literal_nocase(&text, SLICE("IPV6:"));
    uint8_t got[16];

    if (!slice_to_cstr(text, string, sizeof(string)) || inet_pton(six ? AF_INET6 : AF_INET, string, got) != 1)
        return false;
    if (six) {
        memcpy(addr, got, 16);
    } else {
        memcpy(addr, mapped, 12);
        memcpy(addr + 12, got, 4);
    }
    return true;
}

static bool
read_one(struct slice name, struct slice value, struct smtp_xclient *got)
{
    static const char *const ignored[] = {"PORT", "PROTO", "DESTADDR", "DESTPORT", "IDENT", "SOURCE"};
    bool known =
        !slice_eq_nocase(value, SLICE("[UNAVAILABLE]")) && !slice_eq_nocase(value, SLICE("[TEMPUNAVAIL]"));

    if (slice_eq_nocase(name, SLICE("ADDR"))) {
        got->has_addr = known;
        return !known || read_address(value, got->addr);
    }
    if (slice_eq_nocase(name, SLICE("NAME"))) {
        got->has_name = known;
        got->name = value;
        return true;
    }
    if (slice_eq_nocase(name, SLICE("HELO"))) {
        got->has_helo = known;
        got->helo = value;
        return true;
    }
    for (size_t i = 0; i < COUNT(ignored); i++)
        if (slice_eq_nocase(name, slice_of(ignored[i])))
            return true;
    return false; /* LOGIN too: who is who is authd's to tell */
}

enum status
smtp_xclient_parse(struct slice args, struct smtp_xclient *client)
{
    struct smtp_xclient got = {0};
    struct slice at = args;

    do {
        struct slice name = take_while(&at, is_keyword), value;
        uint8_t bytes[256];
        struct buf plain = BUF_FIXED(bytes);

        if (name.n == 0 || !take_byte(&at, '='))
            return ST_SYNTAX;
        value = take_while(&at, is_value);
        if (value.n == 0 || smtp_unxtext(&plain, value) != ST_OK || !read_one(name, value, &got))
            return ST_SYNTAX;
        if (at.n > 0 && !slice_starts(at, ' '))
            return ST_SYNTAX;
        while (take_byte(&at, ' '))
            continue;
    } while (at.n > 0);
    *client = got;
    return ST_OK;
}
