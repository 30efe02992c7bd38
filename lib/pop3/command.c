#include "pop3/command.h"

#include <assert.h>

#define LINE_END 2u /* CR LF, counted by the limits but not in the slice */

/* Each reads all that follows the verb, from the space on. */
static bool
take_NONE(struct slice *in, struct pop3_command *cmd)
{
    (void)in, (void)cmd;
    return true;
}

static bool
is_word(uint8_t c)
{
    return c > 0x20 && c != 0x7f;
}

static bool
take_word(struct slice *in, struct slice *word)
{
    if (!take_byte(in, ' ')) /* RFC 1939 3: a single space */
        return false;
    *word = take_while(in, is_word);
    return word->n > 0;
}

static bool
take_NAME(struct slice *in, struct pop3_command *cmd)
{
    return take_word(in, &cmd->text);
}

/* RFC 1939 7, PASS: it has one argument, so that spaces belong to the password. */
static bool
take_REST(struct slice *in, struct pop3_command *cmd)
{
    if (!take_byte(in, ' ') || in->n == 0)
        return false;
    cmd->text = *in;
    *in = slice_skip(*in, in->n);
    return true;
}

static bool
take_u32(struct slice *in, uint32_t *out)
{
    struct slice word;
    uint32_t n = 0;

    if (!take_word(in, &word))
        return false;
    for (size_t i = 0; i < word.n; i++) {
        uint32_t digit = word.p[i] - (uint32_t)'0';

        if (!ascii_digit(word.p[i]))
            return false;
        n = n > (UINT32_MAX - digit) / 10 ? UINT32_MAX : n * 10 + digit;
    }
    *out = n;
    return true;
}

static bool
take_MESSAGE(struct slice *in, struct pop3_command *cmd)
{
    return take_u32(in, &cmd->message) && cmd->message > 0; /* RFC 1939 4: numbered from 1 */
}

static bool
take_MAYBE_MESSAGE(struct slice *in, struct pop3_command *cmd)
{
    return in->n == 0 || take_MESSAGE(in, cmd);
}

static bool
take_MESSAGE_LINES(struct slice *in, struct pop3_command *cmd)
{
    return take_MESSAGE(in, cmd) && take_u32(in, &cmd->lines);
}

/* RFC 4422 3.1: sasl-mech */
static bool
is_mechanism(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
            return false;
    return s.n > 0 && s.n <= POP3_MECHANISM_MAX;
}

static bool
take_AUTH(struct slice *in, struct pop3_command *cmd)
{
    if (in->n == 0) /* older than RFC 5034, which has CAPA for it; some clients still ask so */
        return true;
    if (!take_word(in, &cmd->mechanism) || !is_mechanism(cmd->mechanism))
        return false;
    if (in->n == 0)
        return true;
    cmd->has_initial = true;
    return take_word(in, &cmd->initial);
}

/* RFC 4647 2.1: language-range; none asks for a list (RFC 6856 3.2) */
static bool
take_LANGUAGE(struct slice *in, struct pop3_command *cmd)
{
    struct slice range;

    if (in->n == 0)
        return true;
    if (!take_word(in, &range) || range.n > POP3_LANGUAGE_MAX)
        return false;
    for (size_t i = 0; i < range.n && !slice_eq(range, SLICE("*")); i++)
        if (!ascii_alpha(range.p[i]) && !ascii_digit(range.p[i]) && range.p[i] != '-')
            return false;
    cmd->text = range;
    return true;
}

static bool
take_REFUSED(struct slice *in, struct pop3_command *cmd)
{
    return take_REST(in, cmd);
}

static const struct pop3_verb_row rows[] = {
#define VERB_ROW(verb, arguments, allowed, usage, spec) [POP3_##verb] = {#verb, allowed, usage, spec},
    POP3_VERBS(VERB_ROW)
#undef VERB_ROW
};

static bool (*const arguments[])(struct slice *, struct pop3_command *) = {
#define VERB_TAKE(verb, arguments, allowed, usage, spec) [POP3_##verb] = take_##arguments,
    POP3_VERBS(VERB_TAKE)
#undef VERB_TAKE
};

const struct pop3_verb_row *
pop3_verb_row(enum pop3_verb verb)
{
    assert(verb < POP3_VERB_COUNT);
    return &rows[verb];
}

static bool
has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

enum status
pop3_command_parse(struct slice line, struct pop3_command *out)
{
    struct slice in = line;
    struct slice word = take_until(&in, ' ');
    struct pop3_command got = {0};
    enum pop3_verb verb = 0;

    while (verb < POP3_VERB_COUNT && !slice_eq_nocase(word, slice_of(rows[verb].name)))
        verb++;
    if (verb == POP3_VERB_COUNT)
        return ST_NOTFOUND;
    *out = (struct pop3_command){.verb = verb};
    if (line.n > (verb == POP3_AUTH ? POP3_AUTH_LINE_MAX : POP3_LINE_MAX) - LINE_END)
        return ST_LIMIT;
    got.verb = verb;
    if (has_control(in) || !arguments[verb](&in, &got) || in.n != 0)
        return ST_SYNTAX;
    if (verb == POP3_APOP)
        return ST_UNSUPPORTED;
    *out = got;
    return ST_OK;
}
