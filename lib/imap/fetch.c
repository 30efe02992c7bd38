#include "imap/fetch.h"

#include "imap/token.h"

static enum status
bad(const char **why, enum status st, const char *text)
{
    *why = st == ST_MEMORY ? "Command too large" : text;
    return st;
}

/* name, items, the section it stands for (when section), its name, peek. Longer names before their prefixes. */
static const struct item_row {
    const char *name;
    uint32_t items;
    bool section;
    struct imap_section is;
} item_rows[] = {
    {"FLAGS",         IMAP_FETCH_FLAGS,         false, {0}},
    {"UID",           IMAP_FETCH_UID,           false, {0}},
    {"INTERNALDATE",  IMAP_FETCH_INTERNALDATE,  false, {0}},
    {"ENVELOPE",      IMAP_FETCH_ENVELOPE,      false, {0}},
    {"BODYSTRUCTURE", IMAP_FETCH_BODYSTRUCTURE, false, {0}},
    {"BODY",          IMAP_FETCH_BODY,          false, {0}},
    {"MODSEQ",        IMAP_FETCH_MODSEQ,        false, {0}},
    {"RFC822.SIZE",   IMAP_FETCH_SIZE,          false, {0}},
    {"RFC822.HEADER", 0, true, {.what = IMAP_SECTION_HEADER, .as = IMAP_AS_RFC822_HEADER, .peek = true}},
    {"RFC822.TEXT",   0, true, {.what = IMAP_SECTION_TEXT, .as = IMAP_AS_RFC822_TEXT}},
    {"RFC822",        0, true, {.what = IMAP_SECTION_ALL, .as = IMAP_AS_RFC822}},
};

static const struct binary_row {
    const char *name;
    enum imap_section_name as;
    bool peek;
} binary_rows[] = {
    {"BINARY[",      IMAP_AS_BINARY,      false},
    {"BINARY.PEEK[", IMAP_AS_BINARY,      true },
    {"BINARY.SIZE[", IMAP_AS_BINARY_SIZE, true },
};

enum { FAST = IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE };
static const struct macro_row {
    const char *name;
    uint32_t items;
} macro_rows[] = {
    {"ALL",  FAST | IMAP_FETCH_ENVELOPE                  },
    {"FAST", FAST                                        },
    {"FULL", FAST | IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY},
};

static const struct section_row {
    const char *name;
    enum imap_section_what what;
} section_rows[] = {
    {"HEADER.FIELDS.NOT", IMAP_SECTION_FIELDS_NOT},
    {"HEADER.FIELDS",     IMAP_SECTION_FIELDS    },
    {"HEADER",            IMAP_SECTION_HEADER    },
    {"TEXT",              IMAP_SECTION_TEXT      },
    {"MIME",              IMAP_SECTION_MIME      },
};

static enum status
take_fields(struct slice *in, struct arena *a, struct imap_section *s, const char **why)
{
    struct slice ahead = *in;
    size_t most = 1;
    enum status st;

    if (!take_literal(in, SLICE(" (")))
        return bad(why, ST_SYNTAX, "HEADER.FIELDS needs a list of names");
    /* Not more names than spaces up to the bracket, plus one; a literal may hide some, or hold some. */
    for (size_t i = 0; i < ahead.n && most < IMAP_FIELDS_MAX; i++)
        most += ahead.p[i] == ' ';
    if ((s->fields = arena_array(a, most, sizeof(*s->fields))) == NULL)
        return bad(why, ST_MEMORY, NULL);
    do {
        if (s->n_fields == most)
            return bad(why, ST_LIMIT, "Too many header fields");
        if ((st = imap_take_astring(in, a, &s->fields[s->n_fields])) != ST_OK || s->fields[s->n_fields].n == 0)
            return bad(why, st != ST_OK ? st : ST_SYNTAX, "Header field name expected");
        s->n_fields++;
    } while (take_byte(in, ' '));
    return take_byte(in, ')') ? ST_OK : bad(why, ST_SYNTAX, "Header field names end in \")\"");
}

/* "1.2" and the point after it when a word follows. */
static enum status
take_parts(struct slice *in, struct arena *a, struct imap_section *s, bool *word, const char **why)
{
    struct slice ahead = *in;
    size_t most = 1;

    *word = true;
    if (in->n == 0 || !ascii_digit(in->p[0]))
        return ST_OK;
    ahead = take_until(&ahead, ']');
    for (size_t i = 0; i < ahead.n; i++)
        most += ahead.p[i] == '.';
    if (most > IMAP_PARTS_MAX)
        return bad(why, ST_LIMIT, "Section too deep");
    if ((s->parts = arena_array(a, most, sizeof(*s->parts))) == NULL)
        return bad(why, ST_MEMORY, NULL);
    do {
        if (imap_take_nz_number(in, &s->parts[s->n_parts]) != ST_OK)
            return bad(why, ST_SYNTAX, "A part's number begins at 1");
        s->n_parts++;
        *word = take_byte(in, '.');
    } while (*word && in->n > 0 && ascii_digit(in->p[0]));
    return ST_OK;
}

static bool
take_number63(struct slice *in, uint64_t *n)
{
    return take_number(in, INT64_MAX, n);
}

static enum status
take_partial(struct slice *in, struct imap_section *s, const char **why)
{
    if (!take_byte(in, '<'))
        return ST_OK;
    if (!take_number63(in, &s->from) || !take_byte(in, '.') || !take_number63(in, &s->most) || s->most == 0 ||
        !take_byte(in, '>'))
        return bad(why, ST_SYNTAX, "A partial looks like <0.1024>");
    s->partial = true;
    return ST_OK;
}

/* After "BODY[" or "BODY.PEEK[". */
static enum status
take_section(struct slice *in, struct arena *a, struct imap_section *s, const char **why)
{
    bool word;
    enum status st = take_parts(in, a, s, &word, why);
    size_t i = 0;

    if (st != ST_OK)
        return st;
    if (word && (s->n_parts > 0 || !slice_starts(*in, ']'))) {
        while (i < COUNT(section_rows) && !take_literal_nocase(in, slice_of(section_rows[i].name)))
            i++;
        if (i == COUNT(section_rows))
            return bad(why, ST_SYNTAX, "Unknown section");
        s->what = section_rows[i].what;
        if (s->what == IMAP_SECTION_MIME && s->n_parts == 0)
            return bad(why, ST_SYNTAX, "MIME needs a part's number");
        if (s->what == IMAP_SECTION_FIELDS || s->what == IMAP_SECTION_FIELDS_NOT)
            st = take_fields(in, a, s, why);
        if (st != ST_OK)
            return st;
    }
    if (!take_byte(in, ']'))
        return bad(why, ST_SYNTAX, "A section ends in \"]\"");
    return take_partial(in, s, why);
}

/* After "BINARY[" and its kin (RFC 3516 4.2, 4.3): parts and nothing else. */
static enum status
take_binary(struct slice *in, struct arena *a, struct imap_section *s, const char **why)
{
    bool word;
    enum status st = take_parts(in, a, s, &word, why);

    if (st != ST_OK)
        return st;
    if ((word && s->n_parts > 0) || !take_byte(in, ']'))
        return bad(why, ST_SYNTAX, "BINARY takes a part's number");
    return s->as == IMAP_AS_BINARY ? take_partial(in, s, why) : ST_OK;
}

static bool
at_word_end(struct slice at)
{
    return at.n == 0 || at.p[0] == ' ' || at.p[0] == ')';
}

static enum status
add_section(struct imap_fetch *f, struct imap_section s, const char **why)
{
    if (f->n == IMAP_SECTIONS_MAX)
        return bad(why, ST_LIMIT, "Too many sections");
    f->sections[f->n++] = s;
    f->sets_seen |= !s.peek;
    return ST_OK;
}

static enum status
take_item(struct slice *in, struct arena *a, struct imap_fetch *f, const char **why)
{
    struct imap_section s = {0};

    if (take_literal_nocase(in, SLICE("BODY[")) ||
        (s.peek = take_literal_nocase(in, SLICE("BODY.PEEK[")))) {
        enum status st = take_section(in, a, &s, why);

        return st == ST_OK ? add_section(f, s, why) : st;
    }
    for (size_t i = 0; i < COUNT(binary_rows); i++) {
        enum status st;

        if (!take_literal_nocase(in, slice_of(binary_rows[i].name)))
            continue;
        s = (struct imap_section){.as = binary_rows[i].as, .peek = binary_rows[i].peek};
        st = take_binary(in, a, &s, why);
        return st == ST_OK ? add_section(f, s, why) : st;
    }
    for (size_t i = 0; i < COUNT(item_rows); i++) {
        struct slice at = *in;

        if (!take_literal_nocase(&at, slice_of(item_rows[i].name)) || !at_word_end(at))
            continue;
        *in = at;
        f->items |= item_rows[i].items;
        return item_rows[i].section ? add_section(f, item_rows[i].is, why) : ST_OK;
    }
    return bad(why, ST_SYNTAX, "Unknown FETCH item");
}

static bool
take_macro(struct slice *in, uint32_t *items)
{
    for (size_t i = 0; i < COUNT(macro_rows); i++) {
        struct slice at = *in;

        if (take_literal_nocase(&at, slice_of(macro_rows[i].name)) && at_word_end(at)) {
            *items = macro_rows[i].items;
            *in = at;
            return true;
        }
    }
    return false;
}

enum status
imap_args_fetch(struct slice args, struct arena *a, struct imap_fetch *out, const char **why)
{
    struct imap_fetch got = {0};
    enum status st = imap_seqset_parse(&args, a, &got.set);
    size_t most = 1;
    bool list;

    if (st != ST_OK)
        return bad(why, st, st == ST_LIMIT ? "Sequence set too large" : "Sequence set expected");
    if (!take_byte(&args, ' '))
        return bad(why, ST_SYNTAX, "FETCH needs items after the set");
    if (!take_macro(&args, &got.items)) {
        for (size_t i = 0; i < args.n && most < IMAP_SECTIONS_MAX; i++)
            most += args.p[i] == ' ';
        if ((got.sections = arena_array(a, most, sizeof(*got.sections))) == NULL)
            return bad(why, ST_MEMORY, NULL);
        list = take_byte(&args, '(');
        do {
            if ((st = take_item(&args, a, &got, why)) != ST_OK)
                return st;
        } while (list && take_byte(&args, ' '));
        if (list && !take_byte(&args, ')'))
            return bad(why, ST_SYNTAX, "FETCH items are separated by one space and end in \")\"");
    }
    if ((st = imap_take_fetch_modifiers(&args, &got.modifiers, why)) != ST_OK)
        return st;
    if (args.n > 0)
        return bad(why, ST_SYNTAX, "More than FETCH takes; several items need parentheses");
    *out = got;
    return ST_OK;
}

void
imap_put_section(struct buf *b, const struct imap_section *s)
{
    static const char *const words[] = {"", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"};
    static const char *const names[] = {"BODY[", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "BINARY[", "BINARY.SIZE["};

    buf_puts(b, names[s->as]);
    if (s->as != IMAP_AS_BODY && s->as != IMAP_AS_BINARY && s->as != IMAP_AS_BINARY_SIZE)
        return;
    for (size_t i = 0; i < s->n_parts; i++) {
        if (i > 0)
            buf_putc(b, '.');
        buf_put_u64(b, s->parts[i]);
    }
    if (s->n_parts > 0 && s->what != IMAP_SECTION_ALL)
        buf_putc(b, '.');
    buf_puts(b, words[s->what]);
    for (size_t i = 0; i < s->n_fields; i++) {
        buf_puts(b, i == 0 ? " (" : " ");
        imap_put_astring(b, s->fields[i]);
    }
    buf_puts(b, s->n_fields > 0 ? ")]" : "]");
    if (s->partial) {
        buf_putc(b, '<');
        buf_put_u64(b, s->from);
        buf_putc(b, '>');
    }
}
