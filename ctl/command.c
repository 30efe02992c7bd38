#include "ctl/command.h"

#include <errno.h>

int
fail(int status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)fputs("estafeta: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return status;
}

int
fail_status(enum status st)
{
    switch (st) {
    case ST_OK:
        return EX_OK;
    case ST_SYNTAX:
    case ST_LIMIT:
        return EX_DATAERR;
    case ST_NOTFOUND:
        return EX_NOINPUT;
    case ST_EXISTS:
        return EX_CANTCREAT;
    case ST_DENIED:
        return EX_NOPERM;
    case ST_UNAVAILABLE:
    case ST_CLOSED:
    case ST_TIMEOUT:
        return EX_TEMPFAIL;
    case ST_IO:
    case ST_NOSPACE:
    case ST_UNKNOWN:
        return EX_IOERR;
    default:
        return EX_SOFTWARE;
    }
}

int
fail_err(const struct err *err)
{
    return fail(fail_status(err->status), "%s", err->text);
}

/* --- finding a command --- */

/* How many words of argv are the command's name; 0: it is another one. */
static int
words_matched(const struct command *c, int argc, char **argv)
{
    struct slice name = slice_of(c->name);
    int n = 0;

    while (name.n > 0) {
        struct slice word = take_until(&name, ' ');

        (void)take_byte(&name, ' ');
        if (n >= argc || !slice_eq(slice_of(argv[n]), word))
            return 0;
        n++;
    }
    return n;
}

static const struct command *
find(int argc, char **argv, int *words)
{
    for (size_t i = 0; i < n_commands; i++)
        if ((*words = words_matched(&commands[i], argc, argv)) > 0)
            return &commands[i];
    return NULL;
}

/* "user" alone, "user ad": what there is that begins like it. */
static int
unknown(int argc, char **argv)
{
    struct slice first = slice_of(argv[0]);
    bool any = false;

    for (size_t i = 0; i < n_commands; i++) {
        struct slice name = slice_of(commands[i].name), group = take_until(&name, ' ');

        if (!slice_eq(group, first))
            continue;
        if (!any)
            (void)fail(EX_USAGE,
                       argc > 1 && argv[1][0] != '-' ? "\"%s\" has no \"%s\"; there is:"
                                                     : "\"%s\" alone is no command; there is:",
                       argv[0], argc > 1 ? argv[1] : "");
        any = true;
        (void)fprintf(stderr, "  estafeta %s %s\n", commands[i].name, commands[i].args);
    }
    if (!any)
        (void)fail(EX_USAGE, "\"%s\" is no command; \"estafeta --help\" shows them", argv[0]);
    return EX_USAGE;
}

/* --- its arguments --- */

static void
count_args(const struct command *c, size_t *least, size_t *most)
{
    struct slice args = slice_of(c->args);

    for (*least = *most = 0; args.n > 0; (*most)++) {
        struct slice word = take_until(&args, ' ');

        (void)take_byte(&args, ' ');
        *least += !slice_starts(word, '[');
    }
}

static int
usage(const struct command *c, const char *what, const char *which)
{
    (void)fail(EX_USAGE, "%s: %s%s", c->name, what, which);
    (void)fprintf(stderr, "usage: estafeta [--root DIR] %s%s%s\n", c->name,
                  c->options[0].name != NULL ? " [OPTION...] " : " ", c->args);
    return EX_USAGE;
}

/* An option at argv[*at], "--name value" or "--name=value". EX_OK, *at is then at its last word. */
static int
take_option(const struct command *c, int argc, char **argv, int *at, struct invocation *in)
{
    struct slice word = slice_of(argv[*at]), name = take_until(&word, '=');
    bool equals = take_byte(&word, '=');

    for (size_t i = 0; i < COMMAND_OPTIONS && c->options[i].name != NULL; i++) {
        const struct option_row *o = &c->options[i];

        if (!slice_eq(name, slice_of(o->name)))
            continue;
        if (in->options[i] != NULL)
            return usage(c, "twice: ", o->name);
        if (o->value == NULL && equals)
            return usage(c, "takes no value: ", o->name);
        if (o->value == NULL)
            in->options[i] = "";
        else if (equals)
            in->options[i] = (const char *)word.p; /* ends where argv[*at] ends */
        else if (*at + 1 < argc)
            in->options[i] = argv[++*at];
        else
            return usage(c, "wants a value: ", o->name);
        return EX_OK;
    }
    return usage(c, "no such option: ", argv[*at]);
}

static int
take_rest(const struct command *c, int argc, char **argv, struct invocation *in)
{
    size_t least, most, n = 0;
    bool options = true;

    count_args(c, &least, &most);
    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && strncmp(argv[i], "--", 2) == 0) {
            int got = take_option(c, argc, argv, &i, in);

            if (got != EX_OK)
                return got;
        } else if (n == most) {
            return usage(c, "one argument too many: ", argv[i]);
        } else {
            in->args[n++] = argv[i];
        }
    }
    return n < least ? usage(c, "wants ", c->args) : EX_OK;
}

int
command_parse(int argc, char **argv, const struct command **command, struct invocation *in)
{
    struct invocation got = {0};
    const struct command *c;
    int words = 0, status;

    *command = NULL;
    if (argc == 0) {
        command_help(stderr);
        return EX_USAGE;
    }
    c = find(argc, argv, &words);
    if (c == NULL)
        return unknown(argc, argv);
    for (int i = words; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0) {
            command_help_one(c, stdout);
            return EX_OK;
        }
    status = take_rest(c, argc - words, argv + words, &got);
    if (status != EX_OK)
        return status;
    got.root = in->root;
    *in = got;
    *command = c;
    return EX_OK;
}

/* --- words for people --- */

void
command_help(FILE *to)
{
    (void)fputs("estafeta administers a system of Estafeta, the mail system.\n\n"
                "usage: estafeta [--root DIR] COMMAND ...\n\n",
                to);
    for (size_t i = 0; i < n_commands; i++) {
        char line[100];

        (void)snprintf(line, sizeof(line), "%s %s", commands[i].name, commands[i].args);
        (void)fprintf(to, "  %-24s %s\n", line, commands[i].summary);
    }
    (void)fputs("\nDIR is the system's folder: $ESTAFETA_ROOT, else /var/lib/estafeta.\n"
                "\"estafeta COMMAND --help\" tells more, estafeta(8) all.\n",
                to);
}

/* Words in lines of at most 78 columns. */
static void
put_wrapped(FILE *to, struct slice text)
{
    size_t column = 0;

    while (text.n > 0) {
        struct slice word = take_until(&text, ' ');

        (void)take_byte(&text, ' ');
        if (column > 0 && column + 1 + word.n > 78) {
            (void)fputc('\n', to);
            column = 0;
        }
        column += (size_t)fprintf(to, "%s%.*s", column > 0 ? " " : "", (int)word.n, (const char *)word.p);
    }
    (void)fputc('\n', to);
}

void
command_help_one(const struct command *c, FILE *to)
{
    (void)fprintf(to, "usage: estafeta [--root DIR] %s%s%s\n\n%s\n", c->name,
                  c->options[0].name != NULL ? " [OPTION...] " : " ", c->args, c->summary);
    for (size_t i = 0; c->options[i].name != NULL; i++) {
        char line[100];

        (void)snprintf(line, sizeof(line), "%s %s", c->options[i].name,
                       c->options[i].value != NULL ? c->options[i].value : "");
        (void)fprintf(to, "  %-22s %s\n", line, c->options[i].text);
    }
    if (c->manual[0] != '\0') {
        (void)fputc('\n', to);
        put_wrapped(to, slice_of(c->manual));
    }
}

/* man(7): a backslash begins an escape, "-" would become a hyphen, "." or "'" at a line's start a request. */
static void
put_roff(FILE *to, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\')
            (void)fputs("\\e", to);
        else if (*c == '-')
            (void)fputs("\\-", to);
        else
            (void)fputc(*c, to);
    }
}

static void
manual_commands(FILE *to)
{
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];

        (void)fputs(".TP\n\\fB", to);
        put_roff(to, c->name);
        (void)fputs("\\fR", to);
        for (size_t j = 0; c->options[j].name != NULL; j++) {
            (void)fputs(" [\\fB", to);
            put_roff(to, c->options[j].name);
            (void)fprintf(to, "\\fR%s%s]", c->options[j].value != NULL ? " " : "",
                          c->options[j].value != NULL ? c->options[j].value : "");
        }
        (void)fprintf(to, " %s\n\\&", c->args);
        put_roff(to, c->summary);
        (void)fputs("\n", to);
        if (c->manual[0] != '\0') {
            (void)fputs("\\&", to);
            put_roff(to, c->manual);
            (void)fputs("\n", to);
        }
        for (size_t j = 0; c->options[j].name != NULL; j++) {
            (void)fputs(j == 0 ? ".RS\n.TP\n\\fB" : ".TP\n\\fB", to);
            put_roff(to, c->options[j].name);
            (void)fprintf(to, "\\fR%s%s\n\\&", c->options[j].value != NULL ? " " : "",
                          c->options[j].value != NULL ? c->options[j].value : "");
            put_roff(to, c->options[j].text);
            (void)fputs("\n", to);
        }
        if (c->options[0].name != NULL)
            (void)fputs(".RE\n", to);
    }
}

static const char manual_head[] =
    ".TH ESTAFETA 8 \"\" \"Estafeta " ESTAFETA_VERSION "\" \"System administration\"\n"
    ".SH NAME\nestafeta \\- administer a mail system\n"
    ".SH SYNOPSIS\n.B estafeta\n[\\fB\\-\\-root\\fR DIR] COMMAND ...\n"
    ".SH DESCRIPTION\n"
    "All of a system of Estafeta is in one folder, its root. Commands about accounts and mail are answered "
    "by the running\n"
    "system, through a socket that takes root and the user that runs it, nobody else. The programs go on "
    "meanwhile.\n"
    ".SH OPTIONS\n.TP\n\\fB\\-\\-root\\fR DIR\n"
    "The system's folder. Without it $ESTAFETA_ROOT, else /var/lib/estafeta.\n"
    ".TP\n\\fB\\-\\-help\\fR, \\fB\\-\\-version\\fR\nAfter a command, \\-\\-help tells about it.\n"
    ".SH COMMANDS\n";

static const char manual_tail[] =
    ".SH EXIT STATUS\n0 when it was done; otherwise a number of sysexits.h, with the reason on standard "
    "error: 64 wrong usage,\n"
    "65 input that is wrong (for \\fBcheck\\fR: the store is damaged), 67 no such account, 68 no such name or record (for \\fBdns\\fR), 69 the system is "
    "not running,\n"
    "73 it is there already, 75 not now, try again, 77 not allowed, 78 the configuration is wrong.\n"
    ".SH FILES\nBelow the root:\n"
    ".TP\n.I etc/estafeta.conf\nThe configuration, estafeta.conf(5).\n"
    ".TP\n.I etc/tls\nCertificates, NAME.crt with the chain, and their keys, NAME.key.\n"
    ".TP\n.I store\nThe mail. Only stored(8) writes here.\n"
    ".TP\n.I auth\nWhat passwords are checked against. Only authd(8) reads here.\n"
    ".TP\n.I backup\nBackups.\n"
    ".TP\n.I log/maillog\nThe log of all programs.\n"
    ".TP\n.I run\nThe lock, with the number of estafetad, and the socket for administrators.\n"
    ".SH EXAMPLE\n.nf\n"
    "estafeta init \\-\\-domain dominio.com.uy \\-\\-hostname mail.dominio.com.uy\n"
    "estafeta start\n"
    "estafeta user add usr1\n"
    ".fi\n"
    ".SH SEE ALSO\nestafeta.conf(5), estafetad(8)\n";

void
command_manual(FILE *to)
{
    (void)fputs(manual_head, to);
    manual_commands(to);
    (void)fputs(manual_tail, to);
}
