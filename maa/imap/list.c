/* LIST with its options (RFC 3501 6.3.8, RFC 5258, RFC 5819, RFC 6154), and LSUB. */
#include "imap/mailbox.h"
#include "imap/params.h"
#include "maa/imap/names.h"

struct listing {
    struct session *s;
    struct command *c;
    struct imap_list_options want;
    struct slice *patterns; /* in UTF-8, with the reference in front; those that can match */
    size_t n;
    struct names names;
};

#define CRITERIA (IMAP_SELECT_SUBSCRIBED | IMAP_SELECT_SPECIAL)

/* Reference and pattern as one pattern in UTF-8: levels below the reference (RFC 3501 6.3.8). ST_NOTFOUND: it
 * names no mailbox of ours. */
static enum status
full_pattern(const struct session *s, struct slice reference, struct slice pattern, struct buf *out)
{
    AUTO_BUF wire = BUF_INIT(IMAP_NAME_MAX * 4);

    buf_put(&wire, reference);
    buf_put(&wire, pattern);
    if (!buf_ok(&wire) || wire.n > IMAP_NAME_MAX)
        return ST_LIMIT;
    if ((s->enabled & (ENABLED_REV2 | ENABLED_UTF8)) != 0 ? !imap_utf8_ok(buf_slice(&wire))
                                                          : imap_utf7_decode(buf_slice(&wire), out) != ST_OK)
        return ST_NOTFOUND;
    if ((s->enabled & (ENABLED_REV2 | ENABLED_UTF8)) != 0)
        buf_put(out, buf_slice(&wire));
    return buf_ok(out) ? ST_OK : ST_LIMIT;
}

/* RFC 5258 3: patterns that are not accepted are passed over, and so is an empty one. */
static enum status
take_patterns(struct listing *l)
{
    l->patterns = arena_array(&l->c->arena, l->want.n, sizeof(*l->patterns));
    if (l->patterns == NULL)
        return ST_MEMORY;
    for (size_t i = 0; i < l->want.n; i++) {
        AUTO_BUF pattern = BUF_INIT(IMAP_NAME_MAX * 4);

        if (l->want.patterns[i].n == 0 ||
            full_pattern(l->s, l->want.reference, l->want.patterns[i], &pattern) != ST_OK)
            continue;
        l->patterns[l->n] = arena_copy(&l->c->arena, buf_slice(&pattern));
        if (l->patterns[l->n].p == NULL)
            return ST_MEMORY;
        l->n++;
    }
    return ST_OK;
}

static bool
matches(const struct listing *l, struct slice name)
{
    for (size_t i = 0; i < l->n; i++)
        if (imap_pattern_match(l->patterns[i], name))
            return true;
    return false;
}

/* The selection criteria; without any, all that is there. */
static bool
satisfies(const struct listing *l, const struct mailbox_row *row)
{
    if ((l->want.select & IMAP_SELECT_SUBSCRIBED) && !row->subscribed)
        return false;
    if ((l->want.select & IMAP_SELECT_SPECIAL) && row->special == 0)
        return false;
    return (l->want.select & CRITERIA) != 0 || row->mailbox != 0;
}

/* What is to be known of the names below one. */
struct below {
    bool exists; /* a mailbox is */
    bool chosen; /* one that satisfies the criteria */
    bool hidden; /* one that does, and that no pattern matches */
};

static struct below
look_below(const struct listing *l, struct slice name)
{
    struct below got = {0};
    size_t i, end;

    for (names_below(&l->names, name, &i, &end); i < end && !(got.exists && got.chosen && got.hidden); i++) {
        const struct mailbox_row *row = &l->names.at[i];

        got.exists |= row->mailbox != 0;
        if (!satisfies(l, row))
            continue;
        got.chosen = true;
        got.hidden = got.hidden || !matches(l, row->name);
    }
    return got;
}

/* RFC 5258 3.3 2: it satisfies the criteria itself, or what does is below it and not matched. */
static bool
is_told(const struct listing *l, const struct mailbox_row *row, const struct below *below)
{
    if (satisfies(l, row))
        return true;
    if (!l->want.extended)
        return true; /* a level without a mailbox: \Noselect */
    if ((l->want.select & CRITERIA) != 0 && !(l->want.select & IMAP_SELECT_RECURSIVE))
        return false;
    return below->hidden;
}

static void
put_attribute(struct buf *out, bool *first, const char *name)
{
    if (!*first)
        buf_putc(out, ' ');
    *first = false;
    buf_puts(out, name);
}

static void
put_line(const struct listing *l, const struct mailbox_row *row, const struct below *below)
{
    struct buf *out = &l->c->text;
    unsigned select = l->want.select, give = l->want.give;
    bool first = true, basic = !l->want.extended;

    buf_puts(out, "* LIST (");
    if (row->mailbox == 0) /* RFC 5258 3: \NonExistent implies \Noselect */
        put_attribute(out, &first,
                      basic && (l->s->enabled & ENABLED_REV2) == 0 ? "\\Noselect" : "\\NonExistent");
    if (basic || (give & IMAP_GIVE_CHILDREN)) /* RFC 3348 4 */
        put_attribute(out, &first, below->exists ? "\\HasChildren" : "\\HasNoChildren");
    if (row->subscribed && ((select & IMAP_SELECT_SUBSCRIBED) || (give & IMAP_GIVE_SUBSCRIBED)))
        put_attribute(out, &first, "\\Subscribed");
    for (size_t i = 0; i < SPECIALS; i++)
        if ((row->special & specials[i].bit) &&
            (basic || (select & IMAP_SELECT_SPECIAL) || (give & IMAP_GIVE_SPECIAL)))
            put_attribute(out, &first, specials[i].name);
    buf_puts(out, ") \"/\" ");
    put_name(l->s, out, row->name);
    if ((select & IMAP_SELECT_RECURSIVE) && below->chosen) { /* RFC 5258 3.5 */
        buf_puts(out, " (\"CHILDINFO\" (");
        first = true;
        if (select & IMAP_SELECT_SUBSCRIBED)
            put_attribute(out, &first, "\"SUBSCRIBED\"");
        if (select & IMAP_SELECT_SPECIAL)
            put_attribute(out, &first, "\"SPECIAL-USE\"");
        buf_puts(out, "))");
    }
    buf_puts(out, "\r\n");
}

/* RFC 5819 2: after its LIST line, and none for what cannot be selected, or has gone meanwhile. */
static enum status
put_status(const struct listing *l, const struct mailbox_row *row)
{
    struct mailbox_status status;
    enum status st;

    if (!(l->want.give & IMAP_GIVE_STATUS) || row->mailbox == 0)
        return ST_OK;
    st = mailbox_status_of(l->s, row->mailbox, &status);
    if (st != ST_OK)
        return st == ST_STALE || st == ST_NOTFOUND ? ST_OK : st;
    buf_puts(&l->c->text, "* STATUS ");
    put_name(l->s, &l->c->text, row->name);
    put_status_items(&l->c->text, l->want.status, &status);
    return ST_OK;
}

static enum status
load(struct listing *l)
{
    bool all = (l->want.select & IMAP_SELECT_SUBSCRIBED) != 0;
    enum status st = names_load(l->s, MSG_MAILBOXES, &l->names);

    if (st == ST_OK && (all || (l->want.give & IMAP_GIVE_SUBSCRIBED)))
        st = names_subscribed(l->s, all, (l->want.select & IMAP_SELECT_RECURSIVE) != 0, &l->names);
    return st;
}

static void
list(struct listing *l)
{
    enum status st = take_patterns(l);

    answer(l->c, "OK LIST completed");
    if (st == ST_OK && l->n > 0)
        st = load(l);
    for (size_t i = 0; st == ST_OK && i < l->names.n && !l->s->over; i++) {
        const struct mailbox_row *row = &l->names.at[i];
        struct below below;

        if (!matches(l, row->name))
            continue;
        below = look_below(l, row->name);
        if (!is_told(l, row, &below))
            continue;
        put_line(l, row, &below);
        st = put_status(l, row);
        session_put_text(l->s, &l->c->text, false);
        fiber_yield_if_long();
    }
    if (st != ST_OK)
        answer_status(l->c, st);
}

void
on_list(struct session *s, struct command *c)
{
    struct listing l = {.s = s, .c = c};
    const char *why;
    enum status st = imap_args_list_options(c->in.args, &c->arena, &l.want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    if (!l.want.extended && l.want.patterns[0].n == 0) { /* RFC 3501 6.3.8: asks for the separator */
        buf_puts(&c->text, "* LIST (\\Noselect) \"/\" \"\"\r\n");
        answer(c, "OK LIST completed");
        return;
    }
    if (l.want.status & 1u << IMAP_STATUS_HIGHESTMODSEQ)
        enable_condstore(s, &c->text);
    list(&l);
    names_done(&l.names);
}

/* --- LSUB --- */

/* RFC 3501 6.3.9: "foo/bar" is subscribed and "%" asked for: foo, with \Noselect. Each level once: names
 * ascend, and what is below a level follows it but for names that sort between, so the last level told is not
 * enough. */
static void
put_lsub_level(const struct session *s, struct buf *out, const struct names *names, size_t i,
               struct slice pattern, struct buf *told)
{
    struct slice name = names->at[i].name;

    for (size_t n = 0; n < name.n; n++) {
        struct slice level = slice_sub(name, 0, n), look;
        struct mailbox_row row;
        bool before = false;

        if (name.p[n] != IMAP_SEPARATOR || names_has(names, level) || !imap_pattern_match(pattern, level))
            continue;
        for (look = buf_slice(told); !before && mailbox_row_take(&look, &row);)
            before = slice_eq(row.name, level);
        if (before)
            continue;
        mailbox_row_put(told, &(struct mailbox_row){.name = level});
        buf_puts(out, "* LSUB (\\Noselect) \"/\" ");
        put_name(s, out, level);
        buf_puts(out, "\r\n");
    }
}

void
on_lsub(struct session *s, struct command *c)
{
    AUTO_BUF pattern = BUF_INIT(IMAP_NAME_MAX * 4), told = BUF_INIT(NAMES_MAX);
    struct imap_list list;
    struct names names;
    const char *why;
    enum status st = imap_args_list(c->in.args, &c->arena, &list, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    answer(c, "OK LSUB completed");
    if (full_pattern(s, list.reference, list.pattern, &pattern) != ST_OK)
        return;
    st = names_load(s, MSG_SUBSCRIPTIONS, &names);
    for (size_t i = 0; st == ST_OK && i < names.n; i++) {
        if (imap_pattern_match(buf_slice(&pattern), names.at[i].name)) {
            buf_puts(&c->text, "* LSUB () \"/\" ");
            put_name(s, &c->text, names.at[i].name);
            buf_puts(&c->text, "\r\n");
        } else {
            put_lsub_level(s, &c->text, &names, i, buf_slice(&pattern), &told);
        }
        session_put_text(s, &c->text, false);
        fiber_yield_if_long();
    }
    if (st != ST_OK)
        answer_status(c, st);
    names_done(&names);
}
