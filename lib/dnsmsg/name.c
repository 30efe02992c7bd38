#include "dnsmsg/name.h"

static bool
plain(uint8_t c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_';
}

static void
put_label(struct buf *text, struct slice label)
{
    for (size_t i = 0; i < label.n; i++) {
        uint8_t c = label.p[i];

        if (plain(c))
            buf_putc(text, ascii_lower(c)); /* RFC 4343 3 */
        else
            buf_printf(text, "\\%03u", c);
    }
}

enum status
dnsmsg_name_take(struct slice message, size_t *at, struct buf *text)
{
    size_t here = *at, lowest = *at, end = 0, n = 1;

    for (;;) {
        uint8_t length;

        if (here >= message.n)
            return ST_SYNTAX;
        length = message.p[here];
        if (length >= 0xc0) { /* RFC 1035 4.1.4; only backwards, so that it ends */
            size_t to;

            if (message.n - here < 2)
                return ST_SYNTAX;
            to = (size_t)(length & 0x3f) << 8 | message.p[here + 1];
            if (to >= lowest)
                return ST_SYNTAX;
            if (end == 0)
                end = here + 2;
            here = lowest = to;
            continue;
        }
        if (length > DNSMSG_LABEL_MAX || message.n - here - 1 < length)
            return ST_SYNTAX;
        here++;
        if (length == 0)
            break;
        n += 1u + length;
        if (n > DNSMSG_NAME_MAX)
            return ST_LIMIT;
        if (n > 2u + length)
            buf_putc(text, '.');
        put_label(text, slice_sub(message, here, length));
        here += length;
    }
    if (n == 1)
        buf_putc(text, '.');
    if (!buf_ok(text))
        return ST_LIMIT;
    *at = end != 0 ? end : here;
    return ST_OK;
}

enum status
dnsmsg_name_check(struct slice text)
{
    size_t label = 0, n = 2; /* the first length and the root's */

    if (slice_eq(text, SLICE(".")))
        return ST_OK;
    if (text.n > 0 && text.p[text.n - 1] == '.')
        text.n--;
    if (text.n == 0)
        return ST_SYNTAX;
    for (size_t i = 0; i < text.n; i++, n++) {
        if (text.p[i] == '.' && label == 0)
            return ST_SYNTAX;
        if (text.p[i] != '.' && !plain(text.p[i]))
            return ST_SYNTAX;
        label = text.p[i] == '.' ? 0 : label + 1;
        if (label > DNSMSG_LABEL_MAX)
            return ST_LIMIT;
    }
    if (label == 0)
        return ST_SYNTAX;
    return n <= DNSMSG_NAME_MAX ? ST_OK : ST_LIMIT;
}

bool
dnsmsg_is_hostname(struct slice text)
{
    size_t labels = 0;
    bool digits = true;

    if (dnsmsg_name_check(text) != ST_OK)
        return false;
    while (text.n > 0) {
        struct slice label = take_until(&text, '.');

        (void)take_byte(&text, '.');
        if (label.n == 0 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        digits = true;
        for (size_t i = 0; i < label.n; i++) {
            if (label.p[i] == '_')
                return false;
            digits = digits && ascii_digit(label.p[i]);
        }
        labels++;
    }
    return labels > 1 && !digits;
}

void
dnsmsg_reverse_put(struct buf *out, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(address, mapped, sizeof(mapped)) == 0) {
        buf_printf(out, "%u.%u.%u.%u.in-addr.arpa", address[15], address[14], address[13], address[12]);
        return;
    }
    for (size_t i = 16; i-- > 0;)
        buf_printf(out, "%x.%x.", address[i] & 0xfu, address[i] >> 4);
    buf_puts(out, "ip6.arpa");
}
