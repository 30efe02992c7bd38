#include "mime/fields.h"

#include "mime/digest.h"
#include "mime/header.h"

void
put_v(struct buf *out, uint64_t v)
{
    while (v >= 0x80) {
        buf_putc(out, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    buf_putc(out, (uint8_t)v);
}

void
put_s(struct buf *out, struct slice s)
{
    if (s.p == NULL) {
        buf_putc(out, 0);
        return;
    }
    put_v(out, (uint64_t)s.n + 1);
    buf_put(out, s);
}

bool
take_v(struct slice *in, uint64_t *v)
{
    uint64_t got = 0;

    for (size_t i = 0; i < in->n && i < 9; i++) { /* 63 bits */
        got |= (uint64_t)(in->p[i] & 0x7f) << (7 * i);
        if (in->p[i] < 0x80) {
            *in = slice_skip(*in, i + 1);
            *v = got;
            return true;
        }
    }
    return false;
}

bool
take_s(struct slice *in, struct slice *s)
{
    struct slice at = *in;
    uint64_t n;

    if (!take_v(&at, &n))
        return false;
    if (n == 0) {
        *s = (struct slice){0};
    } else {
        if (n - 1 > at.n)
            return false;
        *s = (struct slice){at.p, (size_t)(n - 1)}; /* p is not NULL even when empty */
        at = slice_skip(at, (size_t)(n - 1));
    }
    *in = at;
    return true;
}

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == 0;
}

static uint8_t
printable(uint8_t c)
{
    return is_space(c) ? ' ' : c;
}

/* A comment at the front, nested ones included; its text goes to out when that is not NULL. */
static void
take_comment(struct slice *in, struct buf *out)
{
    size_t depth = 0, i;

    for (i = 0; i < in->n; i++) {
        uint8_t c = in->p[i];

        if (c == '\\' && i + 1 < in->n) {
            c = in->p[++i];
        } else if (c == '(') {
            if (depth++ == 0)
                continue;
        } else if (c == ')' && --depth == 0) {
            i++;
            break;
        }
        if (out != NULL && c != '\r' && c != '\n')
            buf_putc(out, printable(c));
    }
    *in = slice_skip(*in, i);
}

/* A quoted string at the front, unquoted into out; one without an end takes all. */
static void
take_quoted(struct slice *in, struct buf *out)
{
    size_t i;

    for (i = 1; i < in->n; i++) {
        uint8_t c = in->p[i];

        if (c == '"') {
            i++;
            break;
        }
        if (c == '\\' && i + 1 < in->n)
            c = in->p[++i];
        if (c != '\r' && c != '\n')
            buf_putc(out, printable(c));
    }
    *in = slice_skip(*in, i);
}

void
skip_cfws(struct slice *in)
{
    while (in->n > 0) {
        if (is_space(in->p[0]))
            *in = slice_skip(*in, 1);
        else if (in->p[0] == '(')
            take_comment(in, NULL);
        else
            return;
    }
}

void
address_scratch_init(struct address_scratch *s, size_t most)
{
    s->text = s->comment = s->spec = s->route = BUF_INIT(most);
}

void
address_scratch_done(struct address_scratch *s)
{
    buf_done(&s->text);
    buf_done(&s->comment);
    buf_done(&s->spec);
    buf_done(&s->route);
}

#define NO_AT SIZE_MAX

/* One address in the making. `text` is what stands outside of angle brackets. */
struct address {
    struct buf *out;
    struct address_scratch *s;
    size_t text_at, spec_at; /* where the @ is */
    uint32_t n, most;
    bool angle, group, more;
};

static const struct slice empty = {(const uint8_t *)"", 0};

static struct slice
present(struct slice s)
{
    return s.p != NULL ? s : empty;
}

static void
emit(struct address *a, struct slice name, struct slice route, struct slice mailbox, struct slice host)
{
    if (a->n == a->most) {
        a->more = true;
        return;
    }
    a->n++;
    put_s(a->out, name);
    put_s(a->out, route);
    put_s(a->out, mailbox);
    put_s(a->out, host);
}

/* Removes spaces beside dots ("a . b", RFC 5322 4.4), or all of them. */
static struct slice
compact(uint8_t *p, size_t n, bool all)
{
    size_t to = 0;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == ' ' && (all || to == 0 || p[to - 1] == '.' || i + 1 == n || p[i + 1] == '.'))
            continue;
        p[to++] = p[i];
    }
    return (struct slice){p, to};
}

static void
end_address(struct address *a)
{
    struct address_scratch *s = a->s;
    struct slice text = slice_trim(buf_slice(&s->text)), comment = slice_trim(buf_slice(&s->comment));
    struct slice name = comment.n > 0 ? comment : (struct slice){0};

    if (a->angle) {
        struct slice spec = buf_slice(&s->spec), route = buf_slice(&s->route);
        size_t at = a->spec_at;

        if (text.n > 0)
            name = text;
        emit(a, name, route.n > 0 ? route : (struct slice){0},
             present(at == NO_AT ? spec : slice_sub(spec, 0, at)),
             at == NO_AT ? empty : present(slice_skip(spec, at + 1)));
    } else if (a->text_at != NO_AT) {
        size_t at = a->text_at;
        struct slice host = compact(s->text.p + at + 1, s->text.n - at - 1, true);

        emit(a, name, (struct slice){0}, present(compact(s->text.p, at, false)), present(host));
    } else if (text.n > 0) {
        emit(a, name, (struct slice){0}, text, empty);
    }
    buf_clear(&s->text);
    buf_clear(&s->comment);
    buf_clear(&s->spec);
    buf_clear(&s->route);
    a->text_at = a->spec_at = NO_AT;
    a->angle = false;
}

/* "<@route:local@host>"; a comma ends one that was never closed. */
static void
take_angle(struct slice *in, struct address *a)
{
    struct address_scratch *s = a->s;
    bool fresh = !a->angle; /* of two in one address the first counts */
    struct buf *to;

    *in = slice_skip(*in, 1);
    skip_cfws(in);
    a->angle = true;
    if (slice_starts(*in, '@')) { /* RFC 5322 4.4: obs-route */
        while (in->n > 0 && in->p[0] != ':' && in->p[0] != '>') {
            if (!is_space(in->p[0]) && fresh)
                buf_putc(&s->route, in->p[0]);
            *in = slice_skip(*in, 1);
        }
        (void)take_byte(in, ':');
    }
    to = fresh ? &s->spec : NULL;
    while (in->n > 0 && in->p[0] != '>' && in->p[0] != ',') {
        uint8_t c = in->p[0];

        if (c == '(') {
            take_comment(in, NULL);
            continue;
        }
        if (c == '"' && to != NULL) {
            take_quoted(in, to);
            continue;
        }
        if (!is_space(c) && to != NULL) {
            if (c == '@' && a->spec_at == NO_AT)
                a->spec_at = to->n;
            buf_putc(to, c);
        }
        *in = slice_skip(*in, 1);
    }
    (void)take_byte(in, '>');
}

static void
take_domain_literal(struct slice *in, struct buf *out)
{
    while (in->n > 0 && in->p[0] != ',') {
        uint8_t c = in->p[0];

        *in = slice_skip(*in, 1);
        if (!is_space(c))
            buf_putc(out, c);
        if (c == ']')
            return;
    }
}

/* A byte of text outside of brackets, quotes and comments. */
static void
on_text(struct address *a, uint8_t c)
{
    struct buf *text = &a->s->text;

    if (c == ':' && !a->group && !a->angle && a->text_at == NO_AT && text->n > 0) {
        emit(a, (struct slice){0}, (struct slice){0}, present(slice_trim(buf_slice(text))), (struct slice){0});
        a->group = true;
        buf_clear(text);
        buf_clear(&a->s->comment);
        return;
    }
    if (c == '@' && a->text_at == NO_AT)
        a->text_at = text->n;
    buf_putc(text, c);
}

uint32_t
put_addresses(struct buf *out, struct slice in, struct address_scratch *scratch, uint32_t most, bool *more)
{
    struct address a = {.out = out, .s = scratch, .text_at = NO_AT, .spec_at = NO_AT, .most = most};
    const struct slice nil = {0};

    while (in.n > 0 && !a.more) {
        uint8_t c = in.p[0];

        if (is_space(c)) {
            if (scratch->text.n > 0 && scratch->text.p[scratch->text.n - 1] != ' ')
                buf_putc(&scratch->text, ' ');
        } else if (c == '(') {
            take_comment(&in, scratch->comment.n == 0 ? &scratch->comment : NULL);
            continue;
        } else if (c == '"') {
            take_quoted(&in, &scratch->text);
            continue;
        } else if (c == '<') {
            take_angle(&in, &a);
            continue;
        } else if (c == '[' && a.text_at != NO_AT) {
            take_domain_literal(&in, &scratch->text);
            continue;
        } else if (c == ',' || c == ';') {
            end_address(&a);
            if (c == ';' && a.group) {
                emit(&a, nil, nil, nil, nil);
                a.group = false;
            }
        } else {
            on_text(&a, c);
        }
        in = slice_skip(in, 1);
    }
    end_address(&a);
    if (a.group)
        emit(&a, nil, nil, nil, nil);
    *more = a.more;
    return a.n;
}

static bool
is_token(uint8_t c)
{
    return c > ' ' && c != 0x7f && memchr("()<>@,;:\\\"/[]?=", c, 15) == NULL;
}

struct slice
take_token(struct slice *in)
{
    return take_while(in, is_token);
}

/* A parameter as it was written: name and value lie in a buf. */
struct param {
    size_t name, name_n, value, value_n;
    size_t base_n;  /* of the name without "*0*" */
    long index;     /* RFC 2231 3: number of the piece, or -1 */
    bool ext, used; /* RFC 2231 4: percent-encoded */
    const struct param *owner; /* the first piece that this one was joined to */
};

/* To ';', and not into a comment at the end: "us-ascii (Plain text)" (RFC 2045 5.1). */
static void
take_bare_value(struct slice *in, struct buf *out)
{
    while (in->n > 0 && in->p[0] != ';') {
        struct slice after = *in;

        if (!is_space(in->p[0])) {
            buf_putc(out, in->p[0]);
            *in = slice_skip(*in, 1);
            continue;
        }
        while (after.n > 0 && is_space(after.p[0]))
            after = slice_skip(after, 1);
        *in = after;
        if (after.n == 0 || after.p[0] == '(' || after.p[0] == ';')
            return;
        buf_putc(out, ' ');
    }
}

/* "name*3*" (RFC 2231). */
static void
split_name(struct param *p, struct slice name)
{
    size_t n = name.n;
    uint64_t index;
    struct slice digits;

    p->index = -1;
    p->base_n = n;
    if (n > 1 && name.p[n - 1] == '*') {
        p->ext = true;
        n--;
        p->base_n = n;
    }
    for (size_t i = n; i > 0 && n - i <= 3; i--) {
        if (name.p[i - 1] != '*')
            continue;
        digits = slice_sub(name, i, n - i);
        if (i > 1 && take_number(&digits, 999, &index) && digits.n == 0) {
            p->index = (long)index;
            p->base_n = i - 1;
        }
        return;
    }
}

static bool
take_raw_param(struct slice *in, struct buf *text, struct param *out)
{
    struct param p = {.name = text->n};
    struct slice name;

    for (;;) {
        skip_cfws(in);
        if (!take_byte(in, ';'))
            break;
    }
    name = take_token(in);
    if (name.n == 0)
        return false;
    buf_put(text, name);
    p.name_n = name.n;
    skip_cfws(in);
    p.value = text->n;
    if (take_byte(in, '=')) {
        skip_cfws(in);
        if (slice_starts(*in, '"'))
            take_quoted(in, text);
        else
            take_bare_value(in, text);
    }
    p.value_n = text->n - p.value;
    split_name(&p, name);
    (void)take_until(in, ';');
    *out = p;
    return true;
}

static void
put_percent(struct buf *out, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        if (is_token(s.p[i]) && s.p[i] < 0x80 && memchr("*'%", s.p[i], 3) == NULL) {
            buf_putc(out, s.p[i]);
        } else {
            buf_putc(out, '%');
            buf_putc(out, (uint8_t)hex[s.p[i] >> 4]);
            buf_putc(out, (uint8_t)hex[s.p[i] & 15]);
        }
    }
}

static struct slice
name_of(const struct buf *text, const struct param *p)
{
    return slice_sub(buf_slice(text), p->name, p->base_n);
}

static struct slice
value_of(const struct buf *text, const struct param *p)
{
    return slice_sub(buf_slice(text), p->value, p->value_n);
}

/* Piece number `index` of the same name, or NULL. */
static struct param *
find_piece(struct param *all, size_t n, const struct buf *text, struct slice base, long index)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].index == index && !all[i].used && slice_eq_nocase(name_of(text, &all[i]), base))
            return &all[i];
    return NULL;
}

/* The parameter that begins with *first, its pieces joined. */
static void
put_joined(struct buf *out, struct param *all, size_t n, const struct buf *text, struct param *first,
           struct buf *joined)
{
    struct slice base = name_of(text, first);
    bool ext = first->ext;
    struct param *p;

    buf_clear(joined);
    for (long i = 1; (p = find_piece(all, n, text, base, i)) != NULL; i++) {
        p->used = true;
        p->owner = first;
        ext = ext || p->ext;
    }
    if (ext && !first->ext)
        buf_puts(joined, "''");
    for (long i = 0; i <= 999; i++) {
        p = i == 0 ? first : NULL;
        for (size_t k = 0; p == NULL && k < n; k++)
            if (all[k].index == i && all[k].owner == first)
                p = &all[k];
        if (p == NULL)
            break;
        if (ext && !p->ext)
            put_percent(joined, value_of(text, p));
        else
            buf_put(joined, value_of(text, p));
    }
    put_v(out, (uint64_t)base.n + (ext ? 1 : 0) + 1);
    buf_put(out, base);
    if (ext)
        buf_putc(out, '*');
    put_s(out, present(buf_slice(joined)));
}

void
put_params(struct buf *out, struct slice value, struct buf *boundary, bool *more)
{
    struct param all[DIGEST_PARAMS];
    AUTO_BUF text = BUF_INIT(2 * value.n + 64);
    AUTO_BUF joined = BUF_INIT(6 * value.n + 64);
    AUTO_BUF rows = BUF_INIT(8 * value.n + 1024);
    size_t n = 0;
    uint64_t rows_n = 0;

    while (n < COUNT(all) && take_raw_param(&value, &text, &all[n]))
        n++;
    *more = n == COUNT(all) && value.n > 0;
    for (size_t i = 0; i < n; i++) {
        struct slice name = slice_sub(buf_slice(&text), all[i].name, all[i].name_n);

        if (all[i].used)
            continue;
        if (boundary != NULL && boundary->n == 0 && slice_eq_nocase(name, SLICE("boundary")))
            buf_put(boundary, value_of(&text, &all[i]));
        if (all[i].index == 0) {
            all[i].used = true;
            put_joined(&rows, all, n, &text, &all[i], &joined);
        } else if (all[i].index > 0 && find_piece(all, n, &text, name_of(&text, &all[i]), 0) != NULL) {
            continue; /* comes with its first piece, which stands later */
        } else {
            put_s(&rows, name);
            put_s(&rows, present(value_of(&text, &all[i])));
        }
        rows_n++;
    }
    put_v(out, buf_ok(&rows) ? rows_n : 0);
    if (buf_ok(&rows))
        buf_put(out, buf_slice(&rows));
}

void
put_value(struct buf *out, struct slice value, struct buf *scratch)
{
    if (value.p == NULL) {
        put_s(out, value);
        return;
    }
    buf_clear(scratch);
    mime_put_unfolded(scratch, value);
    put_s(out, present(buf_slice(scratch)));
}
