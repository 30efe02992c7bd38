#include "route/list.h"

#include "smtp/path.h"

/* --- one item's text --- */

/* Eats up to the first comma that is neither in quotes, a comment nor angle brackets. False: quotes, a
 * comment or a bracket stayed open. */
static bool
take_item_text(struct slice *in, struct slice *text)
{
    struct slice at = *in;
    unsigned comments = 0;
    bool quoted = false, angle = false;

    for (; at.n > 0; at = slice_skip(at, 1)) {
        uint8_t c = at.p[0];

        if (c == '\\' && at.n > 1)
            at = slice_skip(at, 1);
        else if (quoted || c == '"')
            quoted ^= c == '"';
        else if (c == '(' || (c == ')' && comments > 0))
            comments = c == '(' ? comments + 1 : comments - 1;
        else if (comments == 0 && (c == '<' || c == '>'))
            angle = c == '<';
        else if (comments == 0 && !angle && (c == ',' || c == '\n'))
            break;
    }
    *text = slice_sub(*in, 0, in->n - at.n);
    *in = slice_skip(at, 1);
    return !quoted && !angle && comments == 0;
}

/* All of it in one pair of quotes? Then without them and their backslashes. */
static bool
unquote_whole(struct arena *a, struct slice *s)
{
    struct slice in = *s;
    uint8_t *p;
    size_t n = 0;

    if (in.n < 2 || in.p[0] != '"')
        return true;
    p = arena_alloc(a, in.n);
    if (p == NULL)
        return false;
    for (in = slice_skip(in, 1); in.n > 0 && in.p[0] != '"'; in = slice_skip(in, 1)) {
        if (in.p[0] == '\\' && in.n > 1)
            in = slice_skip(in, 1);
        p[n++] = in.p[0];
    }
    if (in.n == 1) /* the closing quote, and nothing behind it */
        *s = slice_from(p, n);
    return true;
}

/* Without comments; "phrase <address>" is the address. */
static bool
strip(struct arena *a, struct slice *s)
{
    uint8_t *p = arena_alloc(a, s->n);
    struct slice at = *s;
    size_t n = 0, open = SIZE_MAX;
    unsigned comments = 0;
    bool quoted = false;

    if (p == NULL)
        return false;
    for (; at.n > 0; at = slice_skip(at, 1)) {
        uint8_t c = at.p[0];

        if (c == '\\' && at.n > 1) {
            if (comments == 0)
                p[n++] = c;
            at = slice_skip(at, 1);
            c = at.p[0];
        } else if (quoted || (c == '"' && comments == 0)) {
            quoted ^= c == '"';
        } else if (c == '(' || (c == ')' && comments > 0)) {
            comments = c == '(' ? comments + 1 : comments - 1;
            continue;
        } else if (comments == 0 && c == '<') {
            open = n + 1;
        } else if (comments == 0 && c == '>' && open != SIZE_MAX) {
            *s = slice_trim(slice_from(p + open, n - open));
            return true;
        }
        if (comments == 0)
            p[n++] = c;
    }
    *s = slice_trim(slice_from(p, n));
    return true;
}

/* --- addresses --- */

bool
route_is_domain(struct slice s)
{
    bool in_label = false;

    if (slice_starts(s, '['))
        return smtp_is_address_literal(s);
    if (s.n == 0 || s.n > SMTP_DOMAIN_MAX)
        return false;
    while (s.n > 0) {
        uint8_t c = s.p[0];

        if (c == '.' && !in_label)
            return false;
        in_label = c != '.';
        if (c >= 0x80 ? !smtp_take_utf8(&s)
                      : !ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' && c != '.')
            return false;
        if (c < 0x80)
            s = slice_skip(s, 1);
    }
    return in_label;
}

/* No control characters, no broken UTF-8: it goes into logs, records and headers. */
static bool
clean(struct slice s, bool tabs)
{
    while (s.n > 0) {
        if (s.p[0] >= 0x80) {
            if (!smtp_take_utf8(&s))
                return false;
            continue;
        }
        if (s.p[0] == 0x7f || (s.p[0] < ' ' && !(tabs && s.p[0] == '\t')))
            return false;
        s = slice_skip(s, 1);
    }
    return true;
}

/* Up to the "@" outside quotes; quotes and backslashes taken away. */
static enum status
take_local(struct arena *a, struct slice *in, struct slice *local)
{
    uint8_t *p = arena_alloc(a, in->n);
    struct slice at = *in;
    bool quoted = false;
    size_t n = 0;

    if (p == NULL)
        return ST_MEMORY;
    for (; at.n > 0 && (quoted || at.p[0] != '@'); at = slice_skip(at, 1)) {
        uint8_t c = at.p[0];

        if (c == '"') {
            quoted = !quoted;
            continue;
        }
        if (c == '\\' && at.n > 1) {
            at = slice_skip(at, 1);
            c = at.p[0];
        } else if (!quoted && memchr(" \t<>,;:\"()[]", c, 12) != NULL) {
            return ST_SYNTAX; /* RFC 5322 3.2.3: specials and blanks want quotes */
        }
        p[n++] = c;
    }
    if (quoted || n == 0)
        return ST_SYNTAX;
    *local = slice_from(p, n);
    *in = at;
    return ST_OK;
}

enum status
route_address_parse(struct arena *a, struct slice text, struct slice *local, struct slice *domain)
{
    struct slice at = slice_trim(text), name = {0};
    enum status st = take_local(a, &at, &name);

    if (st != ST_OK)
        return st;
    if (take_byte(&at, '@')) {
        if (at.n > 1 && at.p[at.n - 1] == '.') /* "user@host." is what rewriting rules make of it */
            at.n--;
        if (!route_is_domain(at))
            return ST_SYNTAX;
    }
    if (!clean(name, false))
        return ST_SYNTAX;
    if (name.n > SMTP_LOCAL_MAX) /* RFC 5321 4.5.3.1.1 */
        return ST_LIMIT;
    *local = name;
    *domain = at;
    return ST_OK;
}

/* --- items --- */

static enum status
address_item(struct arena *a, struct slice text, struct route_item *got, struct err *err)
{
    AUTO_BUF whole = BUF_INIT(SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX);
    enum status st;

    if (!strip(a, &text))
        return ST_MEMORY;
    st = route_address_parse(a, text, &got->local, &got->domain);
    if (st == ST_SYNTAX || st == ST_LIMIT)
        return err_set(err, st, "\"%.*s\" is no address", SLICE_ARG(slice_sub(text, 0, 100)));
    if (st != ST_OK)
        return st;
    got->kind = ROUTE_ITEM_ADDRESS;
    buf_put(&whole, got->local);
    if (got->domain.n > 0) {
        buf_putc(&whole, '@');
        buf_put(&whole, got->domain);
    }
    got->text = arena_copy(a, buf_slice(&whole));
    return buf_ok(&whole) && !arena_failed(a) ? ST_OK : ST_MEMORY;
}

static enum status
read_item(struct arena *a, struct slice text, struct route_item *got, struct err *err)
{
    struct slice plain = text;

    if (!clean(text, true))
        return err_set(err, ST_SYNTAX, "an item has a control character or broken UTF-8");
    if (!unquote_whole(a, &plain))
        return ST_MEMORY;
    if (take_byte(&plain, '|')) {
        *got = (struct route_item){.kind = ROUTE_ITEM_PROGRAM, .text = slice_trim(plain)};
        return got->text.n > 0 ? ST_OK : err_set(err, ST_SYNTAX, "a program without a name");
    }
    if (take_literal_nocase(&plain, SLICE(":include:"))) {
        *got = (struct route_item){.kind = ROUTE_ITEM_INCLUDE, .text = slice_trim(plain)};
        return slice_starts(got->text, '/')
                   ? ST_OK
                   : err_set(err, ST_SYNTAX, ":include: wants the absolute path of a file");
    }
    if (slice_starts(plain, '/') && slice_find(plain, '@') == plain.n) {
        *got = (struct route_item){.kind = ROUTE_ITEM_FILE, .text = plain};
        return ST_OK;
    }
    *got = (struct route_item){.literal = take_byte(&text, '\\')};
    return address_item(a, text, got, err);
}

enum status
route_item_next(struct arena *a, struct slice *in, struct route_item *item, struct err *err)
{
    struct route_item got = {0};
    struct slice text = {0};
    enum status st;
    bool whole;

    do {
        if (in->n == 0)
            return ST_NOTFOUND;
        whole = take_item_text(in, &text);
        text = slice_trim(text);
    } while (text.n == 0);
    if (text.n > ROUTE_ITEM_MAX)
        return err_set(err, ST_LIMIT, "an item has more than %u bytes", ROUTE_ITEM_MAX);
    if (!whole)
        return err_set(err, ST_SYNTAX, "a quote, comment or bracket is not closed");
    st = read_item(a, text, &got, err);
    if (st == ST_OK)
        *item = got;
    return st;
}
