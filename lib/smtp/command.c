#include "smtp/command.h"

static bool
is_printable(uint8_t c)
{
    return c >= 0x20 && c <= 0x7e;
}

static bool
is_graphic(uint8_t c)
{
    return c > 0x20 && c != 0x7f;
}

static bool
is_keyword(uint8_t c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '-';
}

enum status
smtp_command_split(struct slice line, struct slice *verb, struct slice *args)
{
    struct slice at = line, got;

    if (slice_find(line, '\0') < line.n || slice_find(line, '\r') < line.n || slice_find(line, '\n') < line.n)
        return ST_SYNTAX;
    got = take_while(&at, ascii_alpha);
    if (got.n == 0 || (at.n > 0 && !slice_starts(at, ' ')))
        return ST_SYNTAX;
    *verb = got;
    *args = slice_trim(at);
    return ST_OK;
}

enum status
smtp_helo_parse(struct slice args, struct slice *name)
{
    struct slice at = args, got = take_while(&at, is_graphic);

    if (got.n == 0 || at.n > 0)
        return ST_SYNTAX;
    if (got.n > SMTP_DOMAIN_MAX)
        return ST_LIMIT;
    for (size_t i = 0; i < got.n; i++)
        if (got.p[i] >= 0x80) /* a U-label goes as A-label here (RFC 6531 3.7.1) */
            return ST_SYNTAX;
    *name = got;
    return ST_OK;
}

static int
hex_digit(uint8_t c)
{
    if (ascii_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; /* RFC 3461 4: upper case only */
}

/* One character of xtext; also refuses what decodes to a control or beyond ASCII. */
static bool
take_xchar(struct slice *in, uint8_t *c)
{
    int high, low;

    if (in->n == 0 || !is_printable(in->p[0]) || in->p[0] == ' ' || in->p[0] == '=')
        return false;
    if (in->p[0] != '+') {
        *c = in->p[0];
        *in = slice_skip(*in, 1);
        return true;
    }
    if (in->n < 3 || (high = hex_digit(in->p[1])) < 0 || (low = hex_digit(in->p[2])) < 0)
        return false;
    *c = (uint8_t)(high * 16 + low);
    *in = slice_skip(*in, 3);
    return is_printable(*c);
}

static bool
is_xtext(struct slice text)
{
    uint8_t c;

    while (text.n > 0)
        if (!take_xchar(&text, &c))
            return false;
    return true;
}

enum status
smtp_unxtext(struct buf *out, struct slice xtext)
{
    uint8_t c;

    if (!is_xtext(xtext))
        return ST_SYNTAX;
    while (xtext.n > 0 && take_xchar(&xtext, &c))
        buf_putc(out, c);
    return buf_ok(out) ? ST_OK : ST_LIMIT;
}

void
smtp_xtext_put(struct buf *out, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];

        if (is_printable(c) && c != ' ' && c != '+' && c != '=') {
            buf_putc(out, c);
            continue;
        }
        buf_putc(out, '+');
        buf_putc(out, (uint8_t)hex[c >> 4]);
        buf_putc(out, (uint8_t)hex[c & 15]);
    }
}

/* What is being read; one of the two is not NULL. */
struct target {
    struct smtp_mail *mail;
    struct smtp_rcpt *rcpt;
    uint32_t offered;
    bool utf8; /* MAIL said SMTPUTF8 */
};

static bool
set_size(struct target t, struct slice value)
{
    t.mail->has_size = true;
    /* RFC 1870 4: up to 20 digits; more than 64 bits is no size of anything */
    return value.n <= 20 && take_number(&value, UINT64_MAX, &t.mail->size) && value.n == 0;
}

static bool
set_body(struct target t, struct slice value)
{
    static const struct slice words[] = {
        [SMTP_BODY_7BIT] = {(const uint8_t *)"7BIT", 4},
        [SMTP_BODY_8BITMIME] = {(const uint8_t *)"8BITMIME", 8},
        [SMTP_BODY_BINARYMIME] = {(const uint8_t *)"BINARYMIME", 10},
    };
    size_t most = t.offered & SMTP_OFFER_CHUNKING ? COUNT(words) : SMTP_BODY_BINARYMIME;

    for (size_t i = 0; i < most; i++)
        if (slice_eq_nocase(value, words[i])) {
            t.mail->body = (enum smtp_body)i;
            return true;
        }
    return false;
}

static bool
set_auth(struct target t, struct slice value)
{
    t.mail->has_auth = true;
    if (slice_eq(value, SLICE("<>"))) /* RFC 4954 5 */
        return true;
    t.mail->auth = value;
    return value.n > 0 && is_xtext(value);
}

static bool
set_ret(struct target t, struct slice value)
{
    bool full = slice_eq_nocase(value, SLICE("FULL"));

    t.mail->ret = full ? SMTP_RET_FULL : SMTP_RET_HDRS;
    return full || slice_eq_nocase(value, SLICE("HDRS"));
}

static bool
set_envid(struct target t, struct slice value)
{
    t.mail->envid = value;
    return value.n > 0 && value.n <= SMTP_ENVID_MAX && is_xtext(value);
}

static bool
set_utf8(struct target t, struct slice value)
{
    t.mail->utf8 = true;
    return value.p == NULL; /* RFC 6531 3.4: it has no value */
}

/* RFC 3461 4.1: NEVER stands alone, the others in any mixture */
static bool
set_notify(struct target t, struct slice value)
{
    static const struct {
        struct slice word;
        uint32_t bit;
    } words[] = {
        {{(const uint8_t *)"NEVER", 5}, SMTP_NOTIFY_NEVER},
        {{(const uint8_t *)"SUCCESS", 7}, SMTP_NOTIFY_SUCCESS},
        {{(const uint8_t *)"FAILURE", 7}, SMTP_NOTIFY_FAILURE},
        {{(const uint8_t *)"DELAY", 5}, SMTP_NOTIFY_DELAY},
    };
    uint32_t got = 0;

    do {
        struct slice word = take_until(&value, ',');
        size_t i = 0;

        while (i < COUNT(words) && !slice_eq_nocase(word, words[i].word))
            i++;
        if (i == COUNT(words))
            return false;
        got |= words[i].bit;
    } while (take_byte(&value, ','));
    t.rcpt->notify = got;
    return !(got & SMTP_NOTIFY_NEVER) || got == SMTP_NOTIFY_NEVER;
}

/* "\x{HEX}" of utf-8-addr-xtext (RFC 6533 3), behind its backslash: two to six digits, and no control. */
static bool
take_embedded(struct slice *in)
{
    struct slice at = *in;
    size_t digits = 0;
    uint32_t c = 0;
    int digit;

    if (!take_literal(&at, SLICE("x{")))
        return false;
    for (; digits < 6 && at.n > 0 && (digit = hex_digit(at.p[0])) >= 0; digits++) {
        c = c * 16 + (uint32_t)digit;
        at = slice_skip(at, 1);
    }
    if (digits < 2 || !take_byte(&at, '}') || c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) ||
        c > 0x10ffff)
        return false;
    *in = at;
    return true;
}

/* The address of ORCPT=utf-8; (RFC 6533 3): characters beyond ASCII as they are only after SMTPUTF8. */
static bool
is_utf8_xtext(struct slice at, bool utf8)
{
    while (at.n > 0) {
        if (at.p[0] >= 0x80) {
            if (!utf8 || !smtp_take_utf8(&at))
                return false;
        } else if (take_byte(&at, '\\')) {
            if (!take_embedded(&at))
                return false;
        } else if (!is_graphic(at.p[0]) || at.p[0] == '+' || at.p[0] == '=') {
            return false;
        } else {
            at = slice_skip(at, 1);
        }
    }
    return true;
}

/* RFC 3461 4.2: addr-type ";" xtext */
static bool
set_orcpt(struct target t, struct slice value)
{
    if (value.n > SMTP_ORCPT_MAX)
        return false;
    t.rcpt->orcpt_type = take_while(&value, is_keyword);
    if (t.rcpt->orcpt_type.n == 0 || !take_byte(&value, ';'))
        return false;
    t.rcpt->orcpt = value;
    if (slice_eq_nocase(t.rcpt->orcpt_type, SLICE("utf-8")))
        return value.n > 0 && is_utf8_xtext(value, t.utf8);
    return value.n > 0 && is_xtext(value);
}

/* keyword, of RCPT (else of MAIL), needs the offer, reader, what a good one looks like */
static const struct parameter {
    const char *name;
    bool rcpt;
    uint32_t offer;
    bool (*set)(struct target t, struct slice value);
    const char *form;
} parameters[] = {
    {"SIZE", false, SMTP_OFFER_SIZE, set_size, "SIZE=number"},
    {"BODY", false, SMTP_OFFER_8BITMIME, set_body, "BODY=7BIT, 8BITMIME or (with BDAT) BINARYMIME"},
    {"AUTH", false, SMTP_OFFER_AUTH, set_auth, "AUTH=address in xtext, or AUTH=<>"},
    {"RET", false, SMTP_OFFER_DSN, set_ret, "RET=FULL or RET=HDRS"},
    {"ENVID", false, SMTP_OFFER_DSN, set_envid, "ENVID=xtext of at most 100 characters"},
    {"SMTPUTF8", false, SMTP_OFFER_UTF8, set_utf8, "SMTPUTF8 without a value"},
    {"NOTIFY", true, SMTP_OFFER_DSN, set_notify, "NOTIFY=NEVER, or a list of SUCCESS,FAILURE,DELAY"},
    {"ORCPT", true, SMTP_OFFER_DSN, set_orcpt, "ORCPT=type;address in xtext"},
};

/* *( SP esmtp-keyword ["=" esmtp-value] ), RFC 5321 4.1.2 */
static enum status
parse_parameters(struct slice at, uint32_t offered, struct target t, struct err *err)
{
    uint32_t seen = 0;

    while (at.n > 0) {
        struct slice name, value = {0};
        size_t i = 0;

        if (!take_byte(&at, ' '))
            return err_set(err, ST_SYNTAX, "Space expected after the address");
        while (take_byte(&at, ' ')) /* more than one is leniency that costs nothing */
            continue;
        name = take_while(&at, is_keyword);
        if (name.n == 0 || name.p[0] == '-')
            return err_set(err, ST_SYNTAX, "Parameter expected after the address");
        if (take_byte(&at, '='))
            value = take_while(&at, is_graphic);
        if (at.n > 0 && !slice_starts(at, ' '))
            return err_set(err, ST_SYNTAX, "Unexpected character in a parameter");
        while (i < COUNT(parameters) &&
               (parameters[i].rcpt != (t.rcpt != NULL) || (parameters[i].offer & offered) == 0 ||
                !slice_eq_nocase(name, slice_of(parameters[i].name))))
            i++;
        if (i == COUNT(parameters))
            return err_set(err, ST_UNSUPPORTED, "Parameter %.*s is not recognised",
                           (int)(name.n < 40 ? name.n : 40), (const char *)name.p);
        if (seen & (1u << i))
            return err_set(err, ST_SYNTAX, "Parameter %s was given twice", parameters[i].name);
        seen |= 1u << i;
        if (!parameters[i].set(t, value))
            return err_set(err, ST_SYNTAX, "Bad value: expected %s", parameters[i].form);
    }
    return ST_OK;
}

/* Is SMTPUTF8 among the parameters? It governs the address, which comes before it. Only a
 * guess at the line's end: parse_parameters then says whether it is true. */
static bool
says_utf8(struct slice args, uint32_t offered)
{
    return (offered & SMTP_OFFER_UTF8) && slice_find_nocase(args, SLICE(" SMTPUTF8")) < args.n;
}

/* "FROM:" path, and what the failure of each is called. */
static enum status
parse_path(struct slice *at, struct slice keyword, bool utf8, struct smtp_path *path, struct err *err)
{
    enum status st;

    if (!take_literal_nocase(at, keyword))
        return err_set(err, ST_SYNTAX, "Expected %.*s<address>", SLICE_ARG(keyword));
    while (take_byte(at, ' ')) /* RFC 5321 3.3 forbids it; too many clients send it */
        continue;
    st = utf8 ? smtp_path_parse_utf8(at, path) : smtp_path_parse(at, path);
    if (st == ST_LIMIT)
        return err_set(err, st, "Address is too long");
    if (st != ST_OK)
        return err_set(err, st, "Bad address after %.*s expected <local@domain>", SLICE_ARG(keyword));
    return ST_OK;
}

enum status
smtp_bdat_parse(struct slice args, uint64_t *size, bool *last)
{
    struct slice at = args;
    uint64_t n;

    if (!take_number(&at, UINT64_MAX / 4, &n))
        return ST_SYNTAX;
    if (at.n > 0 && (!take_byte(&at, ' ') || !slice_eq_nocase(slice_trim(at), SLICE("LAST"))))
        return ST_SYNTAX;
    *size = n;
    *last = at.n > 0;
    return ST_OK;
}

enum status
smtp_mail_parse(struct slice args, uint32_t offered, struct smtp_mail *mail, struct err *err)
{
    struct smtp_mail got = {0};
    struct slice at = args;
    bool utf8 = says_utf8(args, offered);
    enum status st = parse_path(&at, SLICE("FROM:"), utf8, &got.from, err);

    if (st == ST_OK)
        st = parse_parameters(at, offered, (struct target){.mail = &got, .offered = offered}, err);
    if (st == ST_OK && utf8 && !got.utf8)
        st = err_set(err, ST_SYNTAX, "Bad use of SMTPUTF8");
    if (st == ST_OK)
        *mail = got;
    return st;
}

enum status
smtp_rcpt_parse(struct slice args, uint32_t offered, bool utf8, struct smtp_rcpt *rcpt, struct err *err)
{
    struct smtp_rcpt got = {0};
    struct slice at = args;
    enum status st = parse_path(&at, SLICE("TO:"), utf8, &got.to, err);

    if (st == ST_OK && smtp_path_null(got.to))
        st = err_set(err, ST_SYNTAX, "A recipient cannot be the null address");
    if (st == ST_OK)
        st = parse_parameters(at, offered, (struct target){.rcpt = &got, .offered = offered, .utf8 = utf8}, err);
    if (st == ST_OK)
        *rcpt = got;
    return st;
}
