#include "imap/command.h"

void
imap_reader_init(struct imap_reader *r, struct imap_limits limits)
{
    *r = (struct imap_reader){.limits = limits, .text = BUF_INIT(limits.command)};
}

void
imap_reader_done(struct imap_reader *r)
{
    buf_done(&r->text);
}

void
imap_reader_next(struct imap_reader *r)
{
    buf_shrink(&r->text, 512);
    *r = (struct imap_reader){.limits = r->limits, .text = r->text};
}

void
imap_reader_body_done(struct imap_reader *r)
{
    bool utf8 = r->body_utf8;

    imap_reader_next(r);
    r->after_body = true;
    r->body_utf8 = utf8;
}

struct slice
imap_reader_text(const struct imap_reader *r)
{
    return buf_slice(&r->text);
}

struct slice
imap_reader_tag(const struct imap_reader *r)
{
    struct slice at = buf_slice(&r->text), tag;

    if (imap_take_tag(&at, &tag) == ST_OK && slice_starts(at, ' '))
        return tag;
    return SLICE("*");
}

static enum status
fail(struct imap_reader *r, enum status st, bool fatal, const char *why)
{
    r->fatal = fatal;
    r->why = why;
    return st;
}

/* Is the literal at the line's end the message of an APPEND? It is when the mailbox was before it: neither the
 * flags nor the date can be a literal (RFC 3501 9, append). */
static bool
is_message(const struct imap_reader *r, size_t brace)
{
    struct slice at = slice_sub(buf_slice(&r->text), 0, brace), tag;

    return r->limits.body > 0 && imap_take_tag(&at, &tag) == ST_OK && take_literal_nocase(&at, SLICE(" APPEND ")) &&
           at.n > 1 && (at.p[at.n - 1] == ' ' || slice_has_suffix_nocase(at, SLICE(" UTF8 (")));
}

/* Will the command be refused whatever its literal is? Then a client that waits need not send it (RFC 3501 7.5). */
static bool
is_hopeless(const struct imap_reader *r, const char **why)
{
    struct imap_command cmd;

    if (imap_command_parse(buf_slice(&r->text), &cmd, why) != ST_OK)
        return true;
    *why = "Not before the login";
    return r->limits.body == 0 && (cmd.states & IMAP_BEFORE) == 0;
}

/* at: where its literal begins in text. */
static enum status
on_message(struct imap_reader *r, size_t at, struct imap_literal lit)
{
    if (lit.n > r->limits.body)
        return fail(r, ST_LIMIT, !lit.sync, "Message too large");
    r->text.n = at;
    r->body = true;
    r->body_sync = lit.sync;
    r->body_utf8 = r->text.p[at - 1] == '(';
    r->body_n = lit.n;
    return ST_OK;
}

/* RFC 3502 4: behind a message, the command's end or the flags, date and literal of the next one. */
static enum status
on_rest(struct imap_reader *r, struct slice line, bool has, struct imap_literal lit)
{
    bool fatal = has && !lit.sync, closed = r->body_utf8;

    if (closed && !take_byte(&line, ')'))
        return fail(r, ST_SYNTAX, fatal, "UTF8 ends in \")\"");
    if (line.n == 0) {
        r->text.n = 0;
        return ST_OK;
    }
    if (!has || !slice_starts(line, ' '))
        return fail(r, ST_SYNTAX, fatal, "Behind a message comes another one, or the end of the line");
    if (closed)
        buf_eat(&r->text, 1);
    return on_message(r, lit.at - closed, lit);
}

static enum status
on_literal(struct imap_reader *r, struct imap_literal lit)
{
    size_t room = r->limits.command - r->text.n;
    const char *why;

    if (lit.sync && r->literals == 0 && is_hopeless(r, &why))
        return fail(r, ST_SYNTAX, false, why);
    if (is_message(r, r->line + lit.at))
        return on_message(r, r->line + lit.at, lit);
    if (lit.eight)
        return fail(r, ST_SYNTAX, !lit.sync, "Only a message is a literal8");
    if (++r->literals > r->limits.literals)
        return fail(r, ST_LIMIT, !lit.sync, "Too many literals in one command");
    if (lit.n > room || (!lit.sync && lit.n > r->limits.nonsync))
        return fail(r, ST_LIMIT, !lit.sync, "Literal too large");
    r->left = lit.n;
    r->go_ahead = lit.sync;
    r->line = r->text.n + (size_t)lit.n;
    return ST_MORE;
}

/* The last line is whole, up to its LF. */
static enum status
on_line(struct imap_reader *r)
{
    struct slice line = slice_skip(buf_slice(&r->text), r->line);
    struct imap_literal lit;
    bool crlf = line.n >= 2 && line.p[line.n - 2] == '\r', has;

    line.n -= crlf ? 2 : 1;
    has = imap_literal_header(line, &lit);
    /* After a refused line that announced "{n+}" its bytes come all the same, and would be read as commands. */
    if (!crlf)
        return fail(r, ST_SYNTAX, has && !lit.sync, "Lines end in CR LF");
    if (slice_find(line, '\r') < line.n || slice_find(line, '\0') < line.n)
        return fail(r, ST_SYNTAX, has && !lit.sync, "CR and NUL are not allowed in a line");
    if (r->after_body)
        return on_rest(r, line, has, lit);
    if (has)
        return on_literal(r, lit);
    r->text.n -= 2;
    return ST_OK;
}

static enum status
feed_line(struct imap_reader *r, struct slice *in)
{
    size_t lf = slice_find(*in, '\n');
    struct slice piece = slice_sub(*in, 0, lf < in->n ? lf + 1 : lf);
    bool whole = lf < in->n;

    if (r->text.n - r->line + piece.n > r->limits.line)
        return fail(r, ST_LIMIT, true, "Line too long");
    buf_put(&r->text, piece);
    if (!buf_ok(&r->text))
        return fail(r, ST_LIMIT, true, "Command too long");
    *in = slice_skip(*in, piece.n);
    return whole ? on_line(r) : ST_MORE;
}

enum status
imap_reader_feed(struct imap_reader *r, struct slice *in)
{
    enum status st = ST_MORE;

    r->go_ahead = false;
    while (in->n > 0 && st == ST_MORE && !r->go_ahead) {
        if (r->left > 0) {
            struct slice piece = slice_sub(*in, 0, r->left < in->n ? (size_t)r->left : in->n);

            buf_put(&r->text, piece);
            if (!buf_ok(&r->text)) /* not by size, on_literal() saw to that: no memory */
                return fail(r, ST_LIMIT, true, "Command too long");
            *in = slice_skip(*in, piece.n);
            r->left -= piece.n;
        } else {
            st = feed_line(r, in);
        }
    }
    return st;
}

struct verb_row {
    const char *name;
    unsigned states;
    enum imap_has_args args;
    bool uid;
};

static const struct verb_row verbs[] = {
#define VERB_ROW(name, states, args, uid, spec) {#name, states, IMAP_ARGS_##args, uid},
    IMAP_VERBS(VERB_ROW)
#undef VERB_ROW
};

const char *
imap_verb_name(enum imap_verb verb)
{
    return (unsigned)verb < COUNT(verbs) ? verbs[verb].name : "?";
}

static const struct verb_row *
find_verb(struct slice name)
{
    for (size_t i = 0; i < COUNT(verbs); i++) {
        if (slice_eq_nocase(name, slice_of(verbs[i].name)))
            return &verbs[i];
    }
    return NULL;
}

static enum status
bad(const char **why, enum status st, const char *text)
{
    *why = text;
    return st;
}

enum status
imap_command_parse(struct slice text, struct imap_command *cmd, const char **why)
{
    struct imap_command got = {.tag = SLICE("*")};
    const struct verb_row *row;
    struct slice at = text, tag, name;
    enum status st = imap_take_tag(&at, &tag);
    bool space;

    *cmd = got;
    if (st == ST_LIMIT)
        return bad(why, st, "Tag too long");
    if (st != ST_OK || (at.n > 0 && at.p[0] != ' '))
        return bad(why, ST_SYNTAX, "A command begins with a tag");
    cmd->tag = got.tag = tag;
    if (!take_byte(&at, ' ') || imap_take_atom(&at, &name) != ST_OK)
        return bad(why, ST_SYNTAX, "A command's name follows the tag and one space");
    if (slice_eq_nocase(name, SLICE("UID"))) {
        got.uid = true;
        if (!take_byte(&at, ' ') || imap_take_atom(&at, &name) != ST_OK)
            return bad(why, ST_SYNTAX, "UID needs a command");
    }
    if ((row = find_verb(name)) == NULL)
        return bad(why, ST_SYNTAX, "Unknown command");
    if (got.uid && !row->uid)
        return bad(why, ST_SYNTAX, "This command has no UID form");
    space = take_byte(&at, ' ');
    if (!space && at.n > 0)
        return bad(why, ST_SYNTAX, "One space follows a command's name");
    if (row->args == IMAP_ARGS_NONE && (space || at.n > 0))
        return bad(why, ST_SYNTAX, "This command takes no arguments");
    if ((row->args == IMAP_ARGS_SOME || space) && at.n == 0)
        return bad(why, ST_SYNTAX, "Arguments missing");
    /* RFC 4315 2.1: UID EXPUNGE names what goes, EXPUNGE does not. */
    if (row->args == IMAP_ARGS_MAYBE && space != got.uid)
        return bad(why, ST_SYNTAX, got.uid ? "Arguments missing" : "This command takes no arguments");
    got.verb = (enum imap_verb)(row - verbs);
    got.states = row->states;
    got.args = at;
    *cmd = got;
    return ST_OK;
}
