#include "smtp/path.h"

#include <arpa/inet.h>

#define LABEL_MAX 63u /* RFC 1035 2.3.4 */

static bool
is_let_dig(uint8_t c)
{
    return ascii_alpha(c) || ascii_digit(c);
}

/* RFC 5322 3.2.3 */
static bool
is_atext(uint8_t c)
{
    return is_let_dig(c) || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

bool
smtp_take_utf8(struct slice *in)
{
    static const struct {
        uint8_t first, last, second_least, second_most, n;
    } forms[] = {
        {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; in->n > 0 && i < COUNT(forms); i++) {
        if (in->p[0] < forms[i].first || in->p[0] > forms[i].last)
            continue;
        if (in->n < forms[i].n || in->p[1] < forms[i].second_least || in->p[1] > forms[i].second_most)
            return false;
        for (size_t k = 2; k < forms[i].n; k++)
            if ((in->p[k] & 0xc0) != 0x80)
                return false;
        *in = slice_skip(*in, forms[i].n);
        return true;
    }
    return false;
}

static bool
take_one(struct slice *in, bool (*is)(uint8_t), bool utf8)
{
    if (in->n == 0)
        return false;
    if (in->p[0] >= 0x80)
        return utf8 && smtp_take_utf8(in);
    if (!is(in->p[0]))
        return false;
    *in = slice_skip(*in, 1);
    return true;
}

/* Atom *("." Atom) */
static bool
take_dot_string(struct slice *in, bool utf8)
{
    struct slice at = *in;

    do {
        if (!take_one(&at, is_atext, utf8))
            return false;
        while (take_one(&at, is_atext, utf8))
            continue;
    } while (take_byte(&at, '.'));
    *in = at;
    return true;
}

static bool
is_printable(uint8_t c)
{
    return c >= 0x20 && c <= 0x7e;
}

/* qtextSMTP: printable but for the quote and the backslash */
static bool
is_qtext(uint8_t c)
{
    return is_printable(c) && c != '"' && c != '\\';
}

/* DQUOTE *( qtextSMTP / "\" printable ) DQUOTE. Empty ("") is no mailbox of anyone's: its
 * meaning would be the null path's. */
static bool
take_quoted_string(struct slice *in, bool utf8)
{
    struct slice at = *in;

    if (!take_byte(&at, '"'))
        return false;
    while (!take_byte(&at, '"')) {
        bool quoted = take_byte(&at, '\\');

        if (!(quoted ? take_one(&at, is_printable, false) : take_one(&at, is_qtext, utf8)))
            return false;
    }
    if (in->n - at.n == 2)
        return false;
    *in = at;
    return true;
}

/* Let-dig [Ldh-str]; with UTF-8 a U-label counts as letters (RFC 6531 3.3) */
static bool
take_label(struct slice *in, bool utf8)
{
    struct slice at = *in, good;

    if (!take_one(&at, is_let_dig, utf8))
        return false;
    good = at;
    while (at.n > 0) {
        if (take_one(&at, is_let_dig, utf8))
            good = at;
        else if (!take_byte(&at, '-'))
            break;
    }
    /* A hyphen at a label's end stays in the input, where nothing accepts it. */
    if (in->n - good.n > LABEL_MAX)
        return false;
    *in = good;
    return true;
}

static bool
take_domain(struct slice *in, bool utf8)
{
    struct slice at = *in;

    do {
        if (!take_label(&at, utf8))
            return false;
    } while (take_byte(&at, '.'));
    *in = at;
    return true;
}

/* dcontent: printable but for "[", "\" and "]" */
static bool
is_dcontent(uint8_t c)
{
    return is_printable(c) && c != ' ' && c != '[' && c != '\\' && c != ']';
}

static bool
is_ldh(uint8_t c)
{
    return is_let_dig(c) || c == '-';
}

static bool
is_inet(int family, struct slice text)
{
    char string[INET6_ADDRSTRLEN + 1];
    uint8_t address[16];

    return slice_to_cstr(text, string, sizeof(string)) && inet_pton(family, string, address) == 1;
}

/* RFC 5321 4.1.3 */
static bool
take_address_literal(struct slice *in)
{
    struct slice at = *in, text, tag;

    if (!take_byte(&at, '['))
        return false;
    text = take_while(&at, is_dcontent);
    if (!take_byte(&at, ']'))
        return false;
    if (take_literal_nocase(&text, SLICE("IPv6:"))) {
        if (!is_inet(AF_INET6, text))
            return false;
    } else if (slice_find(text, ':') < text.n) { /* General-address-literal */
        tag = take_while(&text, is_ldh);
        if (tag.n == 0 || tag.p[tag.n - 1] == '-' || !take_byte(&text, ':') || text.n == 0)
            return false;
    } else if (!is_inet(AF_INET, text)) {
        return false;
    }
    *in = at;
    return true;
}

static struct slice
between(struct slice from, struct slice to)
{
    return slice_sub(from, 0, from.n - to.n);
}

/* Local-part "@" ( Domain / address-literal ) */
static bool
take_mailbox(struct slice *in, bool utf8, struct smtp_path *got)
{
    struct slice at = *in, start = at;

    if (!(slice_starts(at, '"') ? take_quoted_string(&at, utf8) : take_dot_string(&at, utf8)))
        return false;
    got->local = between(start, at);
    if (!take_byte(&at, '@'))
        return false;
    start = at;
    if (!(slice_starts(at, '[') ? take_address_literal(&at) : take_domain(&at, utf8)))
        return false;
    got->domain = between(start, at);
    *in = at;
    return true;
}

/* RFC 5321 4.1.1.3: "<postmaster>" without a domain, in any case, is to be accepted. */
static bool
take_postmaster(struct slice *in, struct smtp_path *got)
{
    struct slice at = *in;

    if (!take_literal_nocase(&at, SLICE("postmaster")) || !slice_starts(at, '>'))
        return false;
    got->local = between(*in, at);
    *in = at;
    return true;
}

/* A-d-l ":": "@a,@b:"; must be accepted, should be ignored (RFC 5321 4.1.1.3, appendix C) */
static bool
take_source_route(struct slice *in, bool utf8)
{
    struct slice at = *in;

    do {
        if (!take_byte(&at, '@') || !take_domain(&at, utf8))
            return false;
    } while (take_byte(&at, ','));
    if (!take_byte(&at, ':'))
        return false;
    *in = at;
    return true;
}

static enum status
within_limits(struct smtp_path got)
{
    if (got.local.n > SMTP_LOCAL_MAX || got.domain.n > SMTP_DOMAIN_MAX) /* RFC 5321 4.5.3.1 */
        return ST_LIMIT;
    if (got.local.n + got.domain.n + sizeof("<@>") - 1 > SMTP_PATH_MAX)
        return ST_LIMIT;
    return ST_OK;
}

static enum status
parse(struct slice *in, bool utf8, struct smtp_path *path)
{
    struct slice at = *in;
    struct smtp_path got = {0};

    if (!take_byte(&at, '<'))
        return ST_SYNTAX;
    if (slice_starts(at, '@') && !take_source_route(&at, utf8))
        return ST_SYNTAX;
    /* "<>" is empty, but "<@a:>" is not: a route leads to a mailbox. */
    if (!(slice_starts(at, '>') && in->n - at.n == 1) && !take_postmaster(&at, &got) &&
        !take_mailbox(&at, utf8, &got))
        return ST_SYNTAX;
    if (!take_byte(&at, '>'))
        return ST_SYNTAX;
    if (within_limits(got) != ST_OK)
        return ST_LIMIT;

    *in = at;
    *path = got;
    return ST_OK;
}

enum status
smtp_path_parse(struct slice *in, struct smtp_path *path)
{
    return parse(in, false, path);
}

enum status
smtp_path_parse_utf8(struct slice *in, struct smtp_path *path)
{
    return parse(in, true, path);
}

enum status
smtp_mailbox_parse(struct slice in, struct smtp_path *path)
{
    struct smtp_path got = {0};

    if (!take_mailbox(&in, false, &got) || in.n > 0)
        return ST_SYNTAX;
    if (within_limits(got) != ST_OK)
        return ST_LIMIT;
    *path = got;
    return ST_OK;
}

void
smtp_local_unquote(struct buf *out, struct slice local)
{
    if (!take_byte(&local, '"')) {
        buf_put(out, local);
        return;
    }
    while (local.n > 0 && !slice_starts(local, '"')) {
        if (slice_starts(local, '\\') && local.n > 1)
            local = slice_skip(local, 1);
        buf_putc(out, local.p[0]);
        local = slice_skip(local, 1);
    }
}

bool
smtp_is_address_literal(struct slice in)
{
    return take_address_literal(&in) && in.n == 0;
}

bool
smtp_is_domain(struct slice in)
{
    return in.n <= SMTP_DOMAIN_MAX && take_domain(&in, false) && in.n == 0;
}
