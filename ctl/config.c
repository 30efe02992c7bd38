/* config check, show, sample, manual: all made from the tables of conf/tables.h. */
#include <stdlib.h>

#include "ctl/config.h"
#include "ctl/handlers.h"
#include "root/root.h"

#define TEXT_MAX (256u * 1024u)

/* --- the settings as they hold --- */

/* "name = value" for every setting of every table; names that several tables have come once. */
static enum status
show_all(const char *file, struct slice text, struct buf *out, struct err *err)
{
    enum status st = ST_OK;

#define SHOW(name, SETTINGS)                                                                                 \
    if (st == ST_OK) {                                                                                       \
        struct name##_settings values;                                                                       \
        st = conf_load(&name##_conf, file, text, &values, sizeof(values), err);                              \
        if (st == ST_OK)                                                                                     \
            conf_show(&name##_conf, &values, out);                                                           \
    }
    CONF_TABLES(SHOW)
#undef SHOW
    return st;
}

/* Does the text have a line that begins like this, before offset `before`? */
static bool
line_before(struct slice text, size_t before, struct slice line)
{
    struct slice rest = slice_sub(text, 0, before);

    while (rest.n > 0) {
        struct slice other = take_until(&rest, '\n');

        (void)take_byte(&rest, '\n');
        if (slice_eq(other, line))
            return true;
    }
    return false;
}

static void
print_lines(struct slice text, struct slice wanted, bool *any)
{
    struct slice rest = text;

    while (rest.n > 0) {
        size_t at = text.n - rest.n;
        struct slice line = take_until(&rest, '\n'), copy = line, name = slice_trim(take_until(&copy, '='));

        (void)take_byte(&rest, '\n');
        if ((wanted.n > 0 && !slice_eq(name, wanted)) || line_before(text, at, line))
            continue;
        (void)fwrite(line.p, 1, line.n, stdout);
        (void)fputc('\n', stdout);
        *any = true;
    }
}

static enum status
read_file(const struct invocation *in, const char *given, char path[4096], struct buf *text, struct err *err)
{
    struct master_settings master;
    enum status st = ST_OK;

    if (given != NULL)
        (void)snprintf(path, 4096, "%s", given);
    else
        st = root_path(in->root, ROOT_CONF, path, err);
    return st == ST_OK ? root_read_conf(path, text, &master, err) : st;
}

int
do_config_check(const struct invocation *in)
{
    AUTO_BUF text = BUF_INIT(ROOT_TEXT_MAX + 1);
    char path[4096];
    struct err err = {0};

    if (read_file(in, in->args[0], path, &text, &err) != ST_OK)
        return fail(err.status == ST_NOTFOUND && text.n == 0 ? EX_NOINPUT : EX_CONFIG, "%s", err.text);
    (void)printf("%s: good\n", path);
    return EX_OK;
}

int
do_config_show(const struct invocation *in)
{
    AUTO_BUF text = BUF_INIT(ROOT_TEXT_MAX + 1), out = BUF_INIT(TEXT_MAX);
    struct slice wanted = slice_of(in->args[0]);
    const struct setting *near;
    char path[4096];
    struct err err = {0};
    bool any = false;

    if (read_file(in, NULL, path, &text, &err) != ST_OK ||
        show_all(path, buf_slice(&text), &out, &err) != ST_OK)
        return fail(EX_CONFIG, "%s", err.text);
    print_lines(buf_slice(&out), wanted, &any);
    if (any)
        return EX_OK;
    near = conf_nearest(conf_tables, n_conf_tables, wanted);
    return fail(EX_DATAERR, "there is no setting \"%s\"%s%s%s", in->args[0],
                near != NULL ? "; perhaps \"" : "", near != NULL ? near->name : "", near != NULL ? "\"" : "");
}

/* --- samples and manuals --- */

/* Puts a table's text piece by piece, each of which begins with `mark` at a line's start; not those that were
 * there. */
static void
put_pieces(struct slice in, struct slice mark, struct buf *out)
{
    while (in.n > 0) {
        size_t next = slice_find_slice(slice_skip(in, 1), mark);
        struct slice piece = slice_sub(in, 0, next + 1);

        in = slice_skip(in, next + 1);
        if (slice_find_slice(buf_slice(out), slice_trim(piece)) >= out->n)
            buf_put(out, piece);
    }
}

void
config_sample(struct buf *out)
{
    for (size_t i = 0; i < n_conf_tables; i++) {
        AUTO_BUF text = BUF_INIT(TEXT_MAX);

        buf_puts(out, i > 0 ? "\n" : "");
        conf_dump(conf_tables[i], &text);
        if (!buf_ok(&text))
            out->failed = true;
        put_pieces(buf_slice(&text), SLICE("\n# "), out);
    }
}

static const char manual_head[] =
    ".TH ESTAFETA.CONF 5 \"\" \"Estafeta " ESTAFETA_VERSION "\" \"File formats\"\n"
    ".SH NAME\nestafeta.conf \\- settings of the mail system Estafeta\n"
    ".SH DESCRIPTION\n"
    "The file is etc/estafeta.conf below the system's root. It has one setting a line:\n"
    ".PP\n.nf\n    name = value    # comment\n.fi\n"
    ".PP\nA # begins a comment at a line's start and after white space. A text with a # or with spaces at "
    "its ends is put in\n"
    "double quotes. What is not set has its default. An unknown name or an impossible value is an error with "
    "the line's number\n"
    "and, for a name, the nearest that there is; the system then does not start, or on a reload keeps what "
    "it had.\n"
    "After a change: \\fBestafeta reload\\fR, or SIGHUP to estafetad(8). Addresses to listen on, uid_base, "
    "numbers of threads\n"
    "and sizes of the store hold from the next start on.\n"
    ".SH SETTINGS\n";

void
config_manual(struct buf *out)
{
    buf_puts(out, manual_head);
    for (size_t i = 0; i < n_conf_tables; i++) {
        AUTO_BUF text = BUF_INIT(TEXT_MAX);

        conf_manual(conf_tables[i], &text);
        if (!buf_ok(&text))
            out->failed = true;
        put_pieces(buf_slice(&text), SLICE("\n.TP"), out);
    }
    buf_puts(out, ".SH SEE ALSO\nestafeta(8), estafetad(8)\n");
}

int
do_config_sample(const struct invocation *in)
{
    AUTO_BUF out = BUF_INIT(TEXT_MAX);

    config_sample(&out);
    (void)fwrite(out.p, 1, out.n, stdout);
    return buf_ok(&out) ? EX_OK : fail(EX_OSERR, "no memory");
}

int
do_config_manual(const struct invocation *in)
{
    AUTO_BUF out = BUF_INIT(TEXT_MAX);

    config_manual(&out);
    (void)fwrite(out.p, 1, out.n, stdout);
    return buf_ok(&out) ? EX_OK : fail(EX_OSERR, "no memory");
}
