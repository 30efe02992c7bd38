#include "imap/params.h"

#include "imap/token.h"

static enum status
bad(const char **why, enum status st, const char *text)
{
    *why = st == ST_MEMORY ? "Command too large" : text;
    return st;
}

/* Leaves the function with the status of a step that failed. */
#define TRY(step)                                                                                            \
    do {                                                                                                     \
        enum status st_ = (step);                                                                            \
        if (st_ != ST_OK)                                                                                    \
            return st_;                                                                                      \
    } while (0)

static enum status
take_space(struct slice *in, const char **why)
{
    return take_byte(in, ' ') ? ST_OK : bad(why, ST_SYNTAX, "One space expected between arguments");
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

/* --- LIST --- */

struct option {
    const char *name;
    unsigned bit;
};

static const struct option selects[] = {
    {"SUBSCRIBED",     IMAP_SELECT_SUBSCRIBED},
    {"SPECIAL-USE",    IMAP_SELECT_SPECIAL   },
    {"REMOTE",         IMAP_SELECT_REMOTE    },
    {"RECURSIVEMATCH", IMAP_SELECT_RECURSIVE },
};
static const struct option returns[] = {
    {"SUBSCRIBED",  IMAP_GIVE_SUBSCRIBED},
    {"SPECIAL-USE", IMAP_GIVE_SPECIAL   },
    {"CHILDREN",    IMAP_GIVE_CHILDREN  },
    {"STATUS",      IMAP_GIVE_STATUS    },
};

/* RFC 5258 3: an unknown option is BAD. */
static enum status
take_option(struct slice *in, const struct option *options, size_t n, unsigned *bits, unsigned *got,
            const char **why)
{
    struct slice name;

    if (imap_take_atom(in, &name) != ST_OK)
        return bad(why, ST_SYNTAX, "Option expected");
    for (size_t i = 0; i < n; i++)
        if (slice_eq_nocase(name, slice_of(options[i].name))) {
            *got = options[i].bit;
            *bits |= *got;
            return ST_OK;
        }
    return bad(why, ST_SYNTAX, "Unknown LIST option");
}

static enum status
take_selects(struct slice *in, struct imap_list_options *out, const char **why)
{
    unsigned got;

    if (!take_byte(in, '('))
        return ST_OK;
    out->extended = true;
    if (!take_byte(in, ')')) {
        do {
            TRY(take_option(in, selects, COUNT(selects), &out->select, &got, why));
        } while (take_byte(in, ' '));
        if (!take_byte(in, ')'))
            return bad(why, ST_SYNTAX, "LIST options are separated by one space and end in \")\"");
    }
    /* RFC 5258 3.1: it modifies another. */
    if ((out->select & IMAP_SELECT_RECURSIVE) &&
        (out->select & (IMAP_SELECT_SUBSCRIBED | IMAP_SELECT_SPECIAL)) == 0)
        return bad(why, ST_SYNTAX, "RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE");
    return take_space(in, why);
}

static enum status
take_patterns(struct slice *in, struct arena *a, struct imap_list_options *out, const char **why)
{
    bool list = take_byte(in, '(');
    size_t most = list ? IMAP_PATTERNS_MAX : 1;

    out->extended |= list;
    if ((out->patterns = arena_array(a, most, sizeof(*out->patterns))) == NULL)
        return bad(why, ST_MEMORY, NULL);
    do {
        enum status st;

        if (out->n == most)
            return bad(why, ST_LIMIT, "Too many patterns");
        if ((st = imap_take_pattern(in, a, &out->patterns[out->n])) != ST_OK)
            return bad(why, st, "Mailbox pattern expected");
        out->n++;
    } while (list && take_byte(in, ' '));
    if (list && !take_byte(in, ')'))
        return bad(why, ST_SYNTAX, "Patterns are separated by one space and end in \")\"");
    return ST_OK;
}

static enum status
take_returns(struct slice *in, struct imap_list_options *out, const char **why)
{
    unsigned got;

    if (in->n == 0)
        return ST_OK;
    out->extended = true;
    if (!take_literal_nocase(in, SLICE(" RETURN (")))
        return bad(why, ST_SYNTAX, "After the patterns comes RETURN and a list");
    if (take_byte(in, ')'))
        return ST_OK;
    do {
        TRY(take_option(in, returns, COUNT(returns), &out->give, &got, why));
        if (got == IMAP_GIVE_STATUS) { /* RFC 5819 4 */
            TRY(take_space(in, why));
            TRY(imap_take_status_items(in, &out->status, why));
        }
    } while (take_byte(in, ' '));
    return take_byte(in, ')') ? ST_OK
                              : bad(why, ST_SYNTAX, "Options are separated by one space and end in \")\"");
}

enum status
imap_args_list_options(struct slice args, struct arena *a, struct imap_list_options *out, const char **why)
{
    struct imap_list_options got = {0};

    TRY(take_selects(&args, &got, why));
    TRY(take_name(&args, a, &got.reference, why));
    TRY(take_space(&args, why));
    TRY(take_patterns(&args, a, &got, why));
    TRY(take_returns(&args, &got, why));
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

/* --- CREATE --- */

enum status
imap_args_create(struct slice args, struct arena *a, struct imap_create *out, const char **why)
{
    struct imap_create got = {0};

    TRY(take_name(&args, a, &got.mailbox, why));
    if (args.n > 0) {
        if (!take_literal_nocase(&args, SLICE(" (USE (")))
            return bad(why, ST_SYNTAX, "CREATE takes one parameter, USE and a list");
        while (!take_literal(&args, SLICE("))"))) {
            struct slice at = args, atom;

            if (got.n > 0 && !take_byte(&at, ' '))
                return bad(why, ST_SYNTAX, "Uses are separated by one space and end in \"))\"");
            args = at;
            if (!take_byte(&at, '\\') || imap_take_atom(&at, &atom) != ST_OK)
                return bad(why, ST_SYNTAX, "A use is an atom after a backslash");
            if (got.n == IMAP_USES_MAX)
                return bad(why, ST_LIMIT, "Too many uses");
            got.uses[got.n++] = slice_sub(args, 0, atom.n + 1);
            args = at;
        }
    }
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

/* --- SELECT --- */

enum status
imap_take_modseq(struct slice *in, uint64_t *out)
{
    struct slice at = *in;
    uint64_t n;

    if (at.n == 0 || !ascii_digit(at.p[0]))
        return ST_SYNTAX;
    if (!take_number(&at, INT64_MAX, &n))
        return ST_LIMIT;
    *in = at;
    *out = n;
    return ST_OK;
}

/* RFC 7162 7: known-uids and its kin have no "*". */
static enum status
take_known(struct slice *in, struct arena *a, struct imap_seqset *set, const char **why)
{
    enum status st = imap_seqset_parse(in, a, set);

    if (st != ST_OK)
        return bad(why, st, st == ST_LIMIT ? "Sequence set too large" : "Sequence set expected");
    if (set->saved)
        return bad(why, ST_SYNTAX, "\"$\" is not allowed in QRESYNC");
    for (size_t i = 0; i < set->n; i++)
        if (set->runs[i].first == 0 || set->runs[i].last == 0)
            return bad(why, ST_SYNTAX, "\"*\" is not allowed in QRESYNC");
    return ST_OK;
}

/* After "(QRESYNC (", up to and with its ")". */
static enum status
take_qresync(struct slice *in, struct arena *a, struct imap_select *out, const char **why)
{
    if (imap_take_nz_number(in, &out->uidvalidity) != ST_OK || !take_byte(in, ' ') ||
        imap_take_modseq(in, &out->modseq) != ST_OK || out->modseq == 0)
        return bad(why, ST_SYNTAX, "QRESYNC takes a UIDVALIDITY and a mod-sequence");
    if (take_byte(in, ' ') && !slice_starts(*in, '(')) {
        out->has_known = true;
        TRY(take_known(in, a, &out->known, why));
        (void)take_byte(in, ' ');
    }
    if (take_byte(in, '(')) {
        out->has_match = true;
        TRY(take_known(in, a, &out->match_seqs, why));
        TRY(take_space(in, why));
        TRY(take_known(in, a, &out->match_uids, why));
        if (!take_byte(in, ')'))
            return bad(why, ST_SYNTAX, "Two sets in parentheses expected");
    }
    return take_byte(in, ')') ? ST_OK : bad(why, ST_SYNTAX, "QRESYNC's list ends in \")\"");
}

enum status
imap_args_select(struct slice args, struct arena *a, struct imap_select *out, const char **why)
{
    struct imap_select got = {0};

    TRY(take_name(&args, a, &got.mailbox, why));
    if (args.n > 0) {
        if (!take_literal(&args, SLICE(" (")))
            return bad(why, ST_SYNTAX, "Parameters of SELECT are a list in parentheses");
        do {
            if (take_literal_nocase(&args, SLICE("CONDSTORE"))) {
                got.condstore = true;
            } else if (!got.qresync && take_literal_nocase(&args, SLICE("QRESYNC ("))) {
                got.qresync = true;
                TRY(take_qresync(&args, a, &got, why));
            } else {
                return bad(why, ST_SYNTAX, "SELECT knows CONDSTORE and QRESYNC");
            }
        } while (take_byte(&args, ' '));
        if (!take_byte(&args, ')'))
            return bad(why, ST_SYNTAX, "Parameters are separated by one space and end in \")\"");
    }
    TRY(at_end(args, why));
    *out = got;
    return ST_OK;
}

/* --- FETCH --- */

enum status
imap_take_fetch_modifiers(struct slice *in, struct imap_fetch_modifiers *out, const char **why)
{
    struct imap_fetch_modifiers got = {0};
    struct slice at = *in;

    if (!take_literal(&at, SLICE(" (")))
        return ST_OK;
    do {
        if (take_literal_nocase(&at, SLICE("CHANGEDSINCE "))) {
            got.changed_since = true;
            if (imap_take_modseq(&at, &got.modseq) != ST_OK)
                return bad(why, ST_SYNTAX, "CHANGEDSINCE takes a mod-sequence");
        } else if (take_literal_nocase(&at, SLICE("VANISHED"))) {
            got.vanished = true;
        } else {
            return bad(why, ST_SYNTAX, "FETCH knows the modifiers CHANGEDSINCE and VANISHED");
        }
    } while (take_byte(&at, ' '));
    if (!take_byte(&at, ')'))
        return bad(why, ST_SYNTAX, "Modifiers are separated by one space and end in \")\"");
    if (got.vanished && !got.changed_since) /* RFC 7162 3.2.6 */
        return bad(why, ST_SYNTAX, "VANISHED needs CHANGEDSINCE");
    *in = at;
    *out = got;
    return ST_OK;
}

/* --- ID --- */

enum status
imap_args_id(struct slice args, struct arena *a, const char **why)
{
    struct slice text;
    size_t n = 0;

    if (slice_eq_nocase(args, SLICE("NIL")))
        return ST_OK;
    if (!take_byte(&args, '('))
        return bad(why, ST_SYNTAX, "ID takes NIL or a list");
    while (!slice_starts(args, ')')) {
        if (n > 0)
            TRY(take_space(&args, why));
        if (++n > 2 * IMAP_ID_PAIRS_MAX) /* RFC 2971 3.3 */
            return bad(why, ST_LIMIT, "Too many fields");
        if (n % 2 == 0 && take_literal_nocase(&args, SLICE("NIL")))
            continue;
        if (imap_take_string(&args, a, &text) != ST_OK)
            return bad(why, ST_SYNTAX, "ID's list is of strings, a name and a value in turn");
    }
    if (n % 2 != 0)
        return bad(why, ST_SYNTAX, "A field without a value");
    (void)take_byte(&args, ')');
    return at_end(args, why);
}
