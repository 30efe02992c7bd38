/* A command's arguments lie within its line and its limits; a refused one tells its verb alone. */
#include <assert.h>

#include "pop3/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool
within(struct slice s, struct slice line)
{
    return s.n == 0 || (s.p >= line.p && s.p + s.n <= line.p + line.n);
}

static void
one_line(struct slice line)
{
    struct pop3_command got = {.verb = POP3_VERB_COUNT};
    enum status st = pop3_command_parse(line, &got);

    if (st == ST_NOTFOUND) {
        assert(got.verb == POP3_VERB_COUNT);
        return;
    }
    assert(got.verb < POP3_VERB_COUNT);
    assert(slice_has_prefix_nocase(line, slice_of(pop3_verb_row(got.verb)->name)));
    assert(within(got.text, line) && within(got.mechanism, line) && within(got.initial, line));
    if (st != ST_OK) {
        assert(st == ST_SYNTAX || st == ST_LIMIT || (st == ST_UNSUPPORTED && got.verb == POP3_APOP));
        assert(got.text.n == 0 && got.message == 0 && got.mechanism.n == 0 && !got.has_initial);
        return;
    }
    assert(got.verb != POP3_APOP &&
           line.n + 2 <= (got.verb == POP3_AUTH ? POP3_AUTH_LINE_MAX : POP3_LINE_MAX));
    assert((got.verb == POP3_USER || got.verb == POP3_PASS) == (got.text.n > 0));
    assert(got.mechanism.n <= POP3_MECHANISM_MAX);
    if (got.verb == POP3_RETR || got.verb == POP3_DELE || got.verb == POP3_TOP)
        assert(got.message > 0);
    for (size_t i = 0; i < line.n; i++)
        assert(line.p[i] >= 0x20 && line.p[i] != 0x7f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);

    do
        one_line(take_until(&in, '\n'));
    while (take_byte(&in, '\n'));
    return 0;
}
