/* IMAP commands and literals: however the bytes are cut, the reader sees the same commands and keeps its
 * limits; whatever parses stays within its input, and every argument parser either takes it whole or says why. */
#include <assert.h>

#include "imap/args.h"
#include "imap/command.h"
#include "imap/fetch.h"
#include "imap/mailbox.h"
#include "imap/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct imap_limits limits = {.line = 400, .command = 1000, .nonsync = 100, .literals = 5, .body = 300};

static void
parse_args(const struct imap_command *cmd)
{
    AUTO_ARENA a = ARENA_INIT(1u << 18);
    AUTO_BUF b = BUF_INIT(1u << 16);
    struct imap_store store;
    struct imap_fetch fetch;
    struct imap_status status;
    struct imap_append append;
    struct imap_list list;
    struct imap_list_options options;
    struct imap_create create;
    struct imap_select select;
    struct imap_copy copy;
    struct imap_authenticate auth;
    struct slice two[2], one;
    const char *why = NULL;
    enum status st = ST_OK;

    switch (cmd->verb) {
    case IMAP_STORE:
        if ((st = imap_args_store(cmd->args, &a, &store, &why)) == ST_OK) {
            assert((store.flags.system & IMAP_FLAG(RECENT)) == 0 && store.flags.n <= IMAP_KEYWORDS_MAX);
            imap_put_flags(&b, store.flags.system, store.flags.keywords, store.flags.n);
        }
        break;
    case IMAP_FETCH:
        if ((st = imap_args_fetch(cmd->args, &a, &fetch, &why)) == ST_OK) {
            assert(fetch.n <= IMAP_SECTIONS_MAX && (fetch.n > 0 || fetch.items != 0));
            for (size_t i = 0; i < fetch.n; i++)
                imap_put_section(&b, &fetch.sections[i]);
        }
        break;
    case IMAP_STATUS:
        if ((st = imap_args_status(cmd->args, &a, &status, &why)) == ST_OK)
            assert(status.items != 0);
        break;
    case IMAP_APPEND:
        st = imap_args_append(cmd->args, &a, &append, &why);
        break;
    case IMAP_LIST:
        if (imap_args_list_options(cmd->args, &a, &options, &why) == ST_OK)
            assert(options.n > 0 && options.n <= IMAP_PATTERNS_MAX && (options.extended || options.select == 0));
        if ((st = imap_args_list(cmd->args, &a, &list, &why)) == ST_OK)
            (void)imap_pattern_match(list.pattern, list.reference);
        break;
    case IMAP_COPY:
        st = imap_args_copy(cmd->args, &a, &copy, &why);
        break;
    case IMAP_AUTHENTICATE:
        st = imap_args_authenticate(cmd->args, &auth, &why);
        break;
    case IMAP_LOGIN:
        st = imap_args_two(cmd->args, &a, two, &why);
        break;
    case IMAP_CREATE:
        if ((st = imap_args_create(cmd->args, &a, &create, &why)) == ST_OK)
            assert(create.n <= IMAP_USES_MAX);
        break;
    case IMAP_ID:
        st = imap_args_id(cmd->args, &a, &why);
        break;
    case IMAP_EXAMINE:
        if ((st = imap_args_select(cmd->args, &a, &select, &why)) == ST_OK && select.qresync)
            assert(select.uidvalidity != 0 && select.modseq != 0 && (select.has_known || select.known.n == 0));
        break;
    case IMAP_SELECT:
        if ((st = imap_args_mailbox(cmd->args, &a, &one, &why)) == ST_OK) {
            struct slice again;
            struct arena *arena = &a;

            imap_put_astring(&b, one);
            assert(buf_ok(&b));
            struct slice back = buf_slice(&b);
            assert(imap_take_astring(&back, arena, &again) == ST_OK && back.n == 0 && slice_eq(one, again));
        }
        break;
    default:
        break;
    }
    assert((why != NULL) == (st != ST_OK));
}

static void
parse_next(struct slice text)
{
    AUTO_ARENA a = ARENA_INIT(1u << 18);
    struct imap_append append;
    const char *why = NULL;
    enum status st = imap_args_append_next(text, &a, &append, &why);

    assert((why != NULL) == (st != ST_OK) && (st != ST_OK || append.mailbox.n == 0));
}

/* Feeds all in pieces; a hash of what came out. */
static uint64_t
run(struct slice in, size_t piece, bool parse)
{
    struct imap_reader r;
    uint64_t seen = 0;

    imap_reader_init(&r, limits);
    while (in.n > 0) {
        struct slice some = slice_sub(in, 0, piece);
        size_t before = some.n;
        enum status st = imap_reader_feed(&r, &some);
        struct imap_command cmd;
        const char *why = NULL;

        assert(r.text.n <= limits.command && (st != ST_MORE || some.n == 0 || r.go_ahead));
        in = slice_skip(in, before - some.n);
        if (st == ST_MORE) {
            seen += r.go_ahead;
            continue;
        }
        seen = seen * 31 + (st == ST_OK ? slice_hash(imap_reader_text(&r)) : (uint64_t)st);
        if (st != ST_OK) {
            assert(r.why != NULL && imap_reader_tag(&r).n > 0);
            if (r.fatal)
                break;
            imap_reader_next(&r);
            continue;
        }
        if (parse && r.after_body) { /* RFC 3502: not a command */
            if (r.body)
                parse_next(imap_reader_text(&r));
        } else if (parse && imap_command_parse(imap_reader_text(&r), &cmd, &why) == ST_OK)
            parse_args(&cmd);
        else if (parse)
            assert(why != NULL && cmd.tag.n > 0);
        if (r.body) {
            assert(r.body_n <= limits.body);
            in = slice_skip(in, (size_t)r.body_n);
            imap_reader_body_done(&r);
        } else {
            imap_reader_next(&r);
        }
    }
    imap_reader_done(&r);
    return seen;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n);
    uint64_t whole = run(in, n, true);

    assert(run(in, 1, false) == whole);
    assert(run(in, 7, false) == whole);
    return 0;
}
