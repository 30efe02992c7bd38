#include "mime/header.h"

#include "mime/decode.h"

/* A line with its end from the front. */
static struct slice
take_line(struct slice *in)
{
    size_t n = slice_find(*in, '\n');
    struct slice line = slice_sub(*in, 0, n < in->n ? n + 1 : n);

    *in = slice_skip(*in, line.n);
    return line;
}

static struct slice
without_end(struct slice line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

static bool
is_fold(struct slice s)
{
    return s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t');
}

bool
take_field(struct slice *header, struct mime_field *field)
{
    while (header->n > 0) {
        struct slice whole = take_line(header), text;
        size_t colon = slice_find(whole, ':');

        if (without_end(whole).n == 0)
            return false;
        while (is_fold(*header))
            whole.n += take_line(header).n;
        text = without_end(whole);
        if (colon >= text.n || colon == 0)
            continue;
        field->name = slice_trim(slice_sub(text, 0, colon)); /* RFC 5322 4.5: space before the colon */
        field->value = slice_skip(text, colon + 1);
        field->whole = whole;
        return true;
    }
    return false;
}

bool
mime_find_field(struct slice header, struct slice name, struct mime_field *field)
{
    struct mime_field f;

    while (take_field(&header, &f)) {
        if (slice_eq_nocase(f.name, name)) {
            *field = f;
            return true;
        }
    }
    return false;
}

void
mime_put_unfolded(struct buf *out, struct slice value)
{
    size_t from = out->n;

    while (value.n > 0 && memchr(" \t\r\n", value.p[0], 4) != NULL)
        value = slice_skip(value, 1);
    while (value.n > 0 && memchr(" \t\r\n", value.p[value.n - 1], 4) != NULL)
        value.n--;
    if (buf_reserve(out, value.n) == NULL)
        return;
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.p[i];

        if (c == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
            continue;
        if (c == '\n' && i + 1 < value.n && (value.p[i + 1] == ' ' || value.p[i + 1] == '\t'))
            continue; /* RFC 5322 2.2.3: the line end goes, the space stays */
        out->p[out->n++] = c == 0 || c == '\r' || c == '\n' ? ' ' : c;
    }
    while (out->n > from && out->p[out->n - 1] == ' ')
        out->n--;
}

void
mime_put_fields(struct buf *out, struct slice header, const struct slice *names, size_t n, bool others)
{
    struct mime_field f;
    struct slice all = header;

    while (take_field(&header, &f)) {
        bool named = false;

        for (size_t i = 0; i < n && !named; i++)
            named = slice_eq_nocase(f.name, names[i]);
        if (named != others)
            buf_put(out, f.whole);
    }
    /* The empty line is there when the last line has nothing before its end. */
    if (all.n > 0 && all.p[all.n - 1] == '\n') {
        struct slice before = without_end(all);

        if (before.n == 0 || before.p[before.n - 1] == '\n')
            buf_puts(out, "\r\n");
    }
}

bool
mime_header_contains(struct slice header, struct slice name, struct slice needle)
{
    struct mime_field f;

    while (take_field(&header, &f)) {
        AUTO_BUF text = BUF_INIT(8 * f.value.n + 1024);

        if (!slice_eq_nocase(f.name, name))
            continue;
        mime_put_words(&text, f.value);
        if (mime_contains(buf_slice(&text), needle))
            return true;
    }
    return false;
}
