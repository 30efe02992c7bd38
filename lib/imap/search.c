#include "imap/search.h"

#include "imap/token.h"

enum key_args { NONE, STRING, DATE, NUMBER, SIZE, SET, ATOM, FIELD, MODSEQ };

/* name, what follows, operation, negated, constant (flag bits) or field name */
static const struct key_row {
    const char *name;
    enum key_args args;
    enum imap_search_op op;
    bool negate;
    uint32_t bits;
    const char *field;
    unsigned needs;
} keys[] = {
    {"ALL",        NONE,   IMAP_S_ALL,        false, 0,                   NULL,      0                },
    {"ANSWERED",   NONE,   IMAP_S_FLAGS,      false, IMAP_FLAG(ANSWERED), NULL,      IMAP_NEEDS_ROW   },
    {"BCC",        STRING, IMAP_S_HEADER,     false, 0,                   "Bcc",     IMAP_NEEDS_HEADER},
    {"BEFORE",     DATE,   IMAP_S_BEFORE,     false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"BODY",       STRING, IMAP_S_BODY,       false, 0,                   NULL,      IMAP_NEEDS_BODY  },
    {"CC",         STRING, IMAP_S_HEADER,     false, 0,                   "Cc",      IMAP_NEEDS_HEADER},
    {"DELETED",    NONE,   IMAP_S_FLAGS,      false, IMAP_FLAG(DELETED),  NULL,      IMAP_NEEDS_ROW   },
    {"DRAFT",      NONE,   IMAP_S_FLAGS,      false, IMAP_FLAG(DRAFT),    NULL,      IMAP_NEEDS_ROW   },
    {"FLAGGED",    NONE,   IMAP_S_FLAGS,      false, IMAP_FLAG(FLAGGED),  NULL,      IMAP_NEEDS_ROW   },
    {"FROM",       STRING, IMAP_S_HEADER,     false, 0,                   "From",    IMAP_NEEDS_HEADER},
    {"HEADER",     FIELD,  IMAP_S_HEADER,     false, 0,                   NULL,      IMAP_NEEDS_HEADER},
    {"KEYWORD",    ATOM,   IMAP_S_KEYWORD,    false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"LARGER",     SIZE,   IMAP_S_LARGER,     false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"MODSEQ",     MODSEQ, IMAP_S_MODSEQ,     false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"OLDER",      NUMBER, IMAP_S_OLDER,      false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"YOUNGER",    NUMBER, IMAP_S_YOUNGER,    false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"OLD",        NONE,   IMAP_S_FLAGS,      true,  IMAP_FLAG(RECENT),   NULL,      IMAP_NEEDS_ROW   },
    {"ON",         DATE,   IMAP_S_ON,         false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"RECENT",     NONE,   IMAP_S_FLAGS,      false, IMAP_FLAG(RECENT),   NULL,      IMAP_NEEDS_ROW   },
    {"SEEN",       NONE,   IMAP_S_FLAGS,      false, IMAP_FLAG(SEEN),     NULL,      IMAP_NEEDS_ROW   },
    {"SENTBEFORE", DATE,   IMAP_S_SENTBEFORE, false, 0,                   NULL,      IMAP_NEEDS_HEADER},
    {"SENTON",     DATE,   IMAP_S_SENTON,     false, 0,                   NULL,      IMAP_NEEDS_HEADER},
    {"SENTSINCE",  DATE,   IMAP_S_SENTSINCE,  false, 0,                   NULL,      IMAP_NEEDS_HEADER},
    {"SINCE",      DATE,   IMAP_S_SINCE,      false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"SMALLER",    SIZE,   IMAP_S_SMALLER,    false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"SUBJECT",    STRING, IMAP_S_HEADER,     false, 0,                   "Subject", IMAP_NEEDS_HEADER},
    {"TEXT",       STRING, IMAP_S_TEXT,       false, 0,                   NULL,      IMAP_NEEDS_BODY  },
    {"TO",         STRING, IMAP_S_HEADER,     false, 0,                   "To",      IMAP_NEEDS_HEADER},
    {"UID",        SET,    IMAP_S_UID,        false, 0,                   NULL,      IMAP_NEEDS_ROW   },
    {"UNANSWERED", NONE,   IMAP_S_FLAGS,      true,  IMAP_FLAG(ANSWERED), NULL,      IMAP_NEEDS_ROW   },
    {"UNDELETED",  NONE,   IMAP_S_FLAGS,      true,  IMAP_FLAG(DELETED),  NULL,      IMAP_NEEDS_ROW   },
    {"UNDRAFT",    NONE,   IMAP_S_FLAGS,      true,  IMAP_FLAG(DRAFT),    NULL,      IMAP_NEEDS_ROW   },
    {"UNFLAGGED",  NONE,   IMAP_S_FLAGS,      true,  IMAP_FLAG(FLAGGED),  NULL,      IMAP_NEEDS_ROW   },
    {"UNKEYWORD",  ATOM,   IMAP_S_KEYWORD,    true,  0,                   NULL,      IMAP_NEEDS_ROW   },
    {"UNSEEN",     NONE,   IMAP_S_FLAGS,      true,  IMAP_FLAG(SEEN),     NULL,      IMAP_NEEDS_ROW   },
};

struct parse {
    struct slice at;
    struct arena *arena;
    struct imap_search out;
    size_t most;
    const char *why;
};

static enum status
bad(struct parse *p, enum status st, const char *text)
{
    p->why = st == ST_MEMORY ? "Command too large" : text;
    return st;
}

/* Appends a leaf; for an inner node the caller sets `end` when the children are in. */
static enum status
add(struct parse *p, struct imap_search_node node, size_t *index)
{
    if (p->out.n == p->most)
        return bad(p, ST_LIMIT, "Too many search keys");
    *index = p->out.n++;
    node.end = (uint32_t)p->out.n;
    p->out.nodes[*index] = node;
    return ST_OK;
}

/* RFC 9051 9, number64: 63 bits. */
static enum status
take_number63(struct slice *in, int64_t *number)
{
    uint64_t n;

    if (in->n == 0 || !ascii_digit(in->p[0]))
        return ST_SYNTAX;
    if (!take_number(in, INT64_MAX, &n))
        return ST_LIMIT;
    *number = (int64_t)n;
    return ST_OK;
}

/* RFC 7162 3.1.5: perhaps a flag's entry and whose it is, then the number. Flags have no numbers of their own
 * here, so that the message's is asked for, as the RFC allows. */
static enum status
take_modseq(struct parse *p, int64_t *number)
{
    struct slice entry;
    enum status st;

    if (slice_starts(p->at, '"')) {
        if ((st = imap_take_quoted(&p->at, p->arena, &entry)) != ST_OK)
            return st;
        if (!slice_has_prefix_nocase(entry, SLICE("/flags/")) || !take_byte(&p->at, ' ') ||
            (!take_literal_nocase(&p->at, SLICE("priv")) && !take_literal_nocase(&p->at, SLICE("shared")) &&
             !take_literal_nocase(&p->at, SLICE("all"))) ||
            !take_byte(&p->at, ' '))
            return ST_SYNTAX;
    }
    p->out.modseq = true;
    return take_number63(&p->at, number);
}

static enum status
take_argument(struct parse *p, enum key_args args, struct imap_search_node *node)
{
    enum status st = ST_OK;
    int32_t day = 0;
    uint32_t number = 0;

    if (args == NONE)
        return ST_OK;
    if (!take_byte(&p->at, ' '))
        return bad(p, ST_SYNTAX, "A search key misses its argument");
    if (args == FIELD) {
        if ((st = imap_take_astring(&p->at, p->arena, &node->name)) != ST_OK)
            return bad(p, st, "Header field name expected");
        if (node->name.n == 0 || !take_byte(&p->at, ' '))
            return bad(p, ST_SYNTAX, "HEADER needs a field's name and a string");
    }
    switch (args) {
    case NONE:
        break;
    case STRING:
    case FIELD:
        st = imap_take_astring(&p->at, p->arena, &node->text);
        break;
    case DATE:
        st = imap_take_date(&p->at, &day);
        node->number = day;
        break;
    case NUMBER: /* RFC 5032 3: nz-number */
        st = imap_take_nz_number(&p->at, &number);
        node->number = number;
        break;
    case SIZE:
        st = take_number63(&p->at, &node->number);
        break;
    case MODSEQ:
        st = take_modseq(p, &node->number);
        break;
    case SET:
        st = imap_seqset_parse(&p->at, p->arena, &node->set);
        break;
    case ATOM:
        st = imap_take_atom(&p->at, &node->text);
        break;
    }
    return st == ST_OK ? st : bad(p, st, "A search key's argument is wrong");
}

static enum status
take_leaf(struct parse *p, struct slice name, bool negate)
{
    struct imap_search_node node = {0};
    size_t index;
    enum status st;

    for (size_t i = 0; i < COUNT(keys); i++) {
        const struct key_row *key = &keys[i];

        if (!slice_eq_nocase(name, slice_of(key->name)))
            continue;
        node.op = key->op;
        node.negate = negate != key->negate;
        node.number = key->bits;
        if (key->field != NULL)
            node.name = slice_of(key->field);
        if ((st = take_argument(p, key->args, &node)) != ST_OK)
            return st;
        p->out.needs |= key->needs;
        return add(p, node, &index);
    }
    return bad(p, ST_SYNTAX, "Unknown search key");
}

/* "NEW" is "(RECENT UNSEEN)" (RFC 3501 6.4.4). */
static enum status
take_new(struct parse *p, bool negate)
{
    struct imap_search_node both = {.op = IMAP_S_AND, .negate = negate};
    size_t index;
    enum status st = add(p, both, &index);

    if (st == ST_OK)
        st = take_leaf(p, SLICE("RECENT"), false);
    if (st == ST_OK)
        st = take_leaf(p, SLICE("UNSEEN"), false);
    if (st == ST_OK)
        p->out.nodes[index].end = (uint32_t)p->out.n;
    return st;
}

static enum status take_key(struct parse *p, bool negate, unsigned depth);

static enum status
take_list(struct parse *p, bool negate, unsigned depth)
{
    struct imap_search_node all = {.op = IMAP_S_AND, .negate = negate};
    size_t index;
    enum status st = add(p, all, &index);

    if (st != ST_OK)
        return st;
    do {
        if ((st = take_key(p, false, depth)) != ST_OK)
            return st;
    } while (take_byte(&p->at, ' '));
    if (!take_byte(&p->at, ')'))
        return bad(p, ST_SYNTAX, "Search keys are separated by one space and a list ends in \")\"");
    p->out.nodes[index].end = (uint32_t)p->out.n;
    return ST_OK;
}

static enum status
take_or(struct parse *p, bool negate, unsigned depth)
{
    struct imap_search_node either = {.op = IMAP_S_OR, .negate = negate};
    size_t index;
    enum status st = add(p, either, &index);

    for (int i = 0; i < 2 && st == ST_OK; i++)
        st = take_byte(&p->at, ' ') ? take_key(p, false, depth) : bad(p, ST_SYNTAX, "OR needs two search keys");
    if (st == ST_OK)
        p->out.nodes[index].end = (uint32_t)p->out.n;
    return st;
}

static enum status
take_key(struct parse *p, bool negate, unsigned depth)
{
    struct imap_search_node node = {.op = IMAP_S_SEQ, .negate = negate};
    struct slice name;
    size_t index;
    enum status st;

    if (depth == IMAP_SEARCH_DEPTH_MAX)
        return bad(p, ST_LIMIT, "Search keys nested too deep");
    if (take_byte(&p->at, '('))
        return take_list(p, negate, depth + 1);
    if (p->at.n > 0 && (ascii_digit(p->at.p[0]) || p->at.p[0] == '*' || p->at.p[0] == '$')) {
        if ((st = imap_seqset_parse(&p->at, p->arena, &node.set)) != ST_OK)
            return bad(p, st, "Sequence set expected");
        p->out.needs |= IMAP_NEEDS_ROW;
        return add(p, node, &index);
    }
    if (imap_take_atom(&p->at, &name) != ST_OK)
        return bad(p, ST_SYNTAX, "Search key expected");
    if (slice_eq_nocase(name, SLICE("NOT"))) {
        if (!take_byte(&p->at, ' '))
            return bad(p, ST_SYNTAX, "NOT needs a search key");
        return take_key(p, !negate, depth + 1);
    }
    if (slice_eq_nocase(name, SLICE("OR")))
        return take_or(p, negate, depth + 1);
    if (slice_eq_nocase(name, SLICE("NEW")))
        return take_new(p, negate);
    return take_leaf(p, name, negate);
}

static enum status
take_charset(struct parse *p)
{
    enum status st;

    if (!take_literal_nocase(&p->at, SLICE("CHARSET ")))
        return ST_OK;
    if ((st = imap_take_astring(&p->at, p->arena, &p->out.charset)) != ST_OK || !take_byte(&p->at, ' '))
        return bad(p, st != ST_OK ? st : ST_SYNTAX, "CHARSET needs a name, and search keys after it");
    return ST_OK;
}

/* "RETURN (MIN COUNT) " (RFC 4466 2.6.1) */
static enum status
take_returns(struct parse *p)
{
    static const char *const options[] = {"MIN", "MAX", "ALL", "COUNT", "SAVE"}; /* bits in this order */
    struct slice word;

    if (!take_literal_nocase(&p->at, SLICE("RETURN (")))
        return ST_OK;
    p->out.extended = true;
    while (!slice_starts(p->at, ')')) {
        unsigned before = p->out.returns;

        if (imap_take_atom(&p->at, &word) != ST_OK)
            return bad(p, ST_SYNTAX, "RETURN takes a list of words");
        for (size_t i = 0; i < COUNT(options); i++)
            if (slice_eq_nocase(word, slice_of(options[i])))
                p->out.returns |= 1u << i;
        if (p->out.returns == before)
            return bad(p, ST_SYNTAX, "Unknown or repeated RETURN option");
        if (!take_byte(&p->at, ' ') && !slice_starts(p->at, ')'))
            return bad(p, ST_SYNTAX, "RETURN options end in \")\"");
    }
    if (!take_literal(&p->at, SLICE(") ")))
        return bad(p, ST_SYNTAX, "Search keys follow RETURN");
    if (p->out.returns == 0)
        p->out.returns = IMAP_RETURN_ALL;
    return ST_OK;
}

static enum status
parse_program(struct parse *p)
{
    struct imap_search_node all = {.op = IMAP_S_AND};
    size_t index;
    enum status st = take_returns(p);

    if (st == ST_OK)
        st = take_charset(p);
    if (st != ST_OK)
        return st;
    /* A key is a letter or more, and a space or bracket; "NEW" alone makes three nodes of four bytes. */
    p->most = p->at.n + 2 < IMAP_SEARCH_NODES_MAX ? p->at.n + 2 : IMAP_SEARCH_NODES_MAX;
    if ((p->out.nodes = arena_array(p->arena, p->most, sizeof(*p->out.nodes))) == NULL)
        return bad(p, ST_MEMORY, NULL);
    if ((st = add(p, all, &index)) != ST_OK)
        return st;
    do {
        if ((st = take_key(p, false, 0)) != ST_OK)
            return st;
    } while (take_byte(&p->at, ' '));
    if (p->at.n > 0)
        return bad(p, ST_SYNTAX, "Search keys are separated by one space");
    p->out.nodes[index].end = (uint32_t)p->out.n;
    return ST_OK;
}

enum status
imap_args_search(struct slice args, struct arena *a, struct imap_search *out, const char **why)
{
    struct parse p = {.at = args, .arena = a};
    enum status st = parse_program(&p);

    if (st == ST_OK)
        *out = p.out;
    else
        *why = p.why;
    return st;
}

void
imap_search_resolve(struct imap_search *s, uint32_t max_seq, uint32_t max_uid)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->nodes[i].op == IMAP_S_SEQ || s->nodes[i].op == IMAP_S_UID)
            imap_seqset_resolve(&s->nodes[i].set, s->nodes[i].op == IMAP_S_SEQ ? max_seq : max_uid);
    }
}

/* No deeper than IMAP_SEARCH_DEPTH_MAX, as parsed. */
static int
eval(const struct imap_search *s, size_t at, int (*leaf)(void *ctx, const struct imap_search_node *node), void *ctx)
{
    const struct imap_search_node *node = &s->nodes[at];
    bool either = node->op == IMAP_S_OR;
    int got;

    if (node->op == IMAP_S_ALL) {
        got = 1;
    } else if (node->op != IMAP_S_AND && !either) {
        got = leaf(ctx, node);
    } else {
        got = !either;
        for (size_t i = at + 1; i < node->end && got != either; i = s->nodes[i].end) {
            int one = eval(s, i, leaf, ctx);

            if (one == either || one < 0)
                got = one;
        }
    }
    return got < 0 ? -1 : (got != 0) != node->negate;
}

int
imap_search_eval(const struct imap_search *s, int (*leaf)(void *ctx, const struct imap_search_node *node), void *ctx)
{
    return eval(s, 0, leaf, ctx);
}
