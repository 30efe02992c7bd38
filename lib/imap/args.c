#include "imap/args.h"

#include "imap/params.h"
#include "imap/token.h"

static enum status
bad(const char **why, enum status st, const char *text)
{
    *why = st == ST_MEMORY ? "Command too large" : text;
    return st;
}

static const char *const flag_names[] = {
#define FLAG_NAME(name, text) text,
    IMAP_FLAGS(FLAG_NAME)
#undef FLAG_NAME
};

static enum status
take_system_flag(struct slice *in, struct imap_flags *flags, const char **why)
{
    struct slice at = *in, atom;

    (void)take_byte(&at, '\\');
    if (imap_take_atom(&at, &atom) != ST_OK)
        return bad(why, ST_SYNTAX, "A flag is an atom, perhaps after a backslash");
    atom = slice_sub(*in, 0, atom.n + 1);
    for (unsigned i = 0; i < IMAP_BIT_COUNT; i++) {
        if (!slice_eq_nocase(atom, slice_of(flag_names[i])))
            continue;
        if (i == IMAP_BIT_RECENT)
            return bad(why, ST_SYNTAX, "\\Recent cannot be set");
        flags->system |= 1u << i;
        *in = at;
        return ST_OK;
    }
    return bad(why, ST_SYNTAX, "Unknown system flag");
}

static enum status
take_keyword(struct slice *in, struct imap_flags *flags, const char **why)
{
    struct slice atom;

    if (imap_take_atom(in, &atom) != ST_OK)
        return bad(why, ST_SYNTAX, "A flag is an atom, perhaps after a backslash");
    if (atom.n > IMAP_KEYWORD_MAX)
        return bad(why, ST_LIMIT, "Keyword too long");
    for (size_t i = 0; i < flags->n; i++) {
        if (slice_eq_nocase(flags->keywords[i], atom))
            return ST_OK;
    }
    if (flags->n == IMAP_KEYWORDS_MAX)
        return bad(why, ST_LIMIT, "Too many keywords");
    flags->keywords[flags->n++] = atom;
    return ST_OK;
}

enum status
imap_take_flags(struct slice *in, struct arena *a, bool bare, struct imap_flags *out, const char **why)
{
    struct slice at = *in, ahead;
    struct imap_flags got = {0};
    bool list = take_byte(&at, '(');
    size_t most = 1;
    enum status st;

    if (!list && !bare)
        return bad(why, ST_SYNTAX, "Flags are a list in parentheses");
    if (!list || !take_byte(&at, ')')) {
        ahead = at;
        ahead = take_until(&ahead, ')');
        for (size_t i = 0; i < ahead.n && most < IMAP_KEYWORDS_MAX; i++)
            most += ahead.p[i] == ' ';
        if ((got.keywords = arena_array(a, most, sizeof(*got.keywords))) == NULL)
            return bad(why, ST_MEMORY, NULL);
        do {
            st = slice_starts(at, '\\') ? take_system_flag(&at, &got, why) : take_keyword(&at, &got, why);
            if (st != ST_OK)
                return st;
        } while (take_byte(&at, ' '));
        if (list && !take_byte(&at, ')'))
            return bad(why, ST_SYNTAX, "Flags are separated by one space and end in \")\"");
    }
    *in = at;
    *out = got;
    return ST_OK;
}

void
imap_put_system_flags(struct buf *b, uint32_t system, bool *first)
{
    for (unsigned i = 0; i < IMAP_BIT_COUNT; i++) {
        if ((system & 1u << i) == 0)
            continue;
        if (!*first)
            buf_putc(b, ' ');
        *first = false;
        buf_puts(b, flag_names[i]);
    }
}

void
imap_put_flags(struct buf *b, uint32_t system, const struct slice *keywords, size_t n)
{
    bool first = true;

    buf_putc(b, '(');
    imap_put_system_flags(b, system, &first);
    for (size_t i = 0; i < n; i++) {
        if (!first)
            buf_putc(b, ' ');
        first = false;
        buf_put(b, keywords[i]);
    }
    buf_putc(b, ')');
}

static enum status
take_set(struct slice *in, struct arena *a, struct imap_seqset *set, const char **why)
{
    enum status st = imap_seqset_parse(in, a, set);

    return st == ST_OK ? st : bad(why, st, st == ST_LIMIT ? "Sequence set too large" : "Sequence set expected");
}

static enum status
take_name(struct slice *in, struct arena *a, struct slice *out, const char **why)
{
    enum status st = imap_take_astring(in, a, out);

    return st == ST_OK ? st : bad(why, st, "Atom, quoted string or literal expected");
}

static enum status
at_end(struct slice at, const char **why)
{
    return at.n == 0 ? ST_OK : bad(why, ST_SYNTAX, "More than the command takes");
}

static enum status
take_space(struct slice *in, const char **why)
{
    return take_byte(in, ' ') ? ST_OK : bad(why, ST_SYNTAX, "One space expected between arguments");
}

/* Leaves the function with the status of a step that failed. */
#define TRY(step)              \
    do {                       \
        enum status st_ = (step); \
        if (st_ != ST_OK)      \
            return st_;        \
    } while (0)

enum status
imap_args_store(struct slice args, struct arena *a, struct imap_store *out, const char **why)
{
    struct imap_store got = {0};

    TRY(take_set(&args, a, &got.set, why));
    TRY(take_space(&args, why));
    if (take_literal_nocase(&args, SLICE("(UNCHANGEDSINCE "))) {
        got.conditional = true;
        if (imap_take_modseq(&args, &got.modseq) != ST_OK || !take_literal(&args, SLICE(") ")))
            return bad(why, ST_SYNTAX, "UNCHANGEDSINCE takes a mod-sequence");
    }
    if (take_byte(&args, '+'))
        got.mode = IMAP_STORE_ADD;
    else if (take_byte(&args, '-'))
        got.mode = IMAP_STORE_REMOVE;
    if (!take_literal_nocase(&args, SLICE("FLAGS")))
        return bad(why, ST_SYNTAX, "STORE knows FLAGS, +FLAGS, -FLAGS, each with or without .SILENT");
    got.silent = take_literal_nocase(&args, SLICE(".SILENT"));
    TRY(take_space(&args, why));
    TRY(imap_take_flags(&args, a, true, &got.flags, why));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

static bool
status_item(struct slice name, uint32_t *items)
{
    static const char *const names[] = {
#define STATUS_NAME(name) #name,
        IMAP_STATUS_ITEMS(STATUS_NAME)
#undef STATUS_NAME
    };

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (slice_eq_nocase(name, slice_of(names[i]))) {
            *items |= 1u << i;
            return true;
        }
    }
    return false;
}

enum status
imap_take_status_items(struct slice *in, uint32_t *items, const char **why)
{
    struct slice at = *in, name;
    uint32_t got = 0;

    if (!take_byte(&at, '('))
        return bad(why, ST_SYNTAX, "STATUS items are a list in parentheses");
    do {
        if (imap_take_atom(&at, &name) != ST_OK || !status_item(name, &got))
            return bad(why, ST_SYNTAX, "Unknown STATUS item");
    } while (take_byte(&at, ' '));
    if (!take_byte(&at, ')'))
        return bad(why, ST_SYNTAX, "STATUS items are separated by one space and end in \")\"");
    *in = at;
    *items |= got;
    return ST_OK;
}

enum status
imap_args_status(struct slice args, struct arena *a, struct imap_status *out, const char **why)
{
    struct imap_status got = {0};

    TRY(take_name(&args, a, &got.mailbox, why));
    TRY(take_space(&args, why));
    TRY(imap_take_status_items(&args, &got.items, why));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

/* append-message of RFC 3502, without its literal, which was cut off. */
static enum status
take_append_message(struct slice args, struct arena *a, struct imap_append *out, const char **why)
{
    struct imap_append got = *out;

    TRY(take_space(&args, why));
    if (slice_starts(args, '(')) {
        TRY(imap_take_flags(&args, a, false, &got.flags, why));
        TRY(take_space(&args, why));
    }
    if (slice_starts(args, '"')) {
        if (imap_take_date_time(&args, &got.time) != ST_OK)
            return bad(why, ST_SYNTAX, "A date and time looks like \"17-Jul-1996 02:44:25 -0700\"");
        got.has_time = true;
        TRY(take_space(&args, why));
    }
    got.utf8 = take_literal_nocase(&args, SLICE("UTF8 ("));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

enum status
imap_args_append(struct slice args, struct arena *a, struct imap_append *out, const char **why)
{
    struct imap_append got = {0};

    TRY(take_name(&args, a, &got.mailbox, why));
    TRY(take_append_message(args, a, &got, why));
    *out = got;
    return ST_OK;
}

enum status
imap_args_append_next(struct slice args, struct arena *a, struct imap_append *out, const char **why)
{
    struct imap_append got = {0};

    TRY(take_append_message(args, a, &got, why));
    *out = got;
    return ST_OK;
}

enum status
imap_args_list(struct slice args, struct arena *a, struct imap_list *out, const char **why)
{
    struct imap_list got;
    enum status st;

    TRY(take_name(&args, a, &got.reference, why));
    TRY(take_space(&args, why));
    if ((st = imap_take_pattern(&args, a, &got.pattern)) != ST_OK)
        return bad(why, st, "Mailbox pattern expected");
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

enum status
imap_args_copy(struct slice args, struct arena *a, struct imap_copy *out, const char **why)
{
    struct imap_copy got;

    TRY(take_set(&args, a, &got.set, why));
    TRY(take_space(&args, why));
    TRY(take_name(&args, a, &got.mailbox, why));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

enum status
imap_args_mailbox(struct slice args, struct arena *a, struct slice *out, const char **why)
{
    struct slice got;

    TRY(take_name(&args, a, &got, why));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

enum status
imap_args_two(struct slice args, struct arena *a, struct slice out[2], const char **why)
{
    struct slice first, second;

    TRY(take_name(&args, a, &first, why));
    TRY(take_space(&args, why));
    TRY(take_name(&args, a, &second, why));
    TRY(at_end(args, why));
    out[0] = first;
    out[1] = second;
    return ST_OK;
}

enum status
imap_args_set(struct slice args, struct arena *a, struct imap_seqset *out, const char **why)
{
    struct imap_seqset got;

    TRY(take_set(&args, a, &got, why));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

static bool
base64_char(uint8_t c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '+' || c == '/' || c == '=';
}

enum status
imap_args_authenticate(struct slice args, struct imap_authenticate *out, const char **why)
{
    struct imap_authenticate got = {0};

    if (imap_take_atom(&args, &got.mechanism) != ST_OK)
        return bad(why, ST_SYNTAX, "Mechanism expected");
    if (take_byte(&args, ' ')) { /* RFC 4959 3 */
        got.has_initial = true;
        got.initial = take_while(&args, base64_char);
        if (got.initial.n == 0)
            return bad(why, ST_SYNTAX, "Base64 or \"=\" expected after the mechanism");
    }
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}
