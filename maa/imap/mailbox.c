#include "imap/mailbox.h"

#include <stdlib.h>

#include "imap/args.h"
#include "imap/token.h"
#include "maa/imap/session.h"

/* --- lists --- */

/* All mailboxes, or all subscriptions, of the account, by name. */
struct names {
    struct buf rows;
    struct mailbox_row *at; /* into rows; ascending */
    size_t n;
};

static void
names_done(struct names *names)
{
    buf_done(&names->rows);
    free(names->at);
}

static bool
take_name_row(enum store_msg type, struct slice *rows, struct mailbox_row *row)
{
    struct msg_name name;

    if (type == MSG_MAILBOXES)
        return mailbox_row_take(rows, row);
    if (!msg_name_take(rows, &name))
        return false;
    *row = (struct mailbox_row){.name = name.name};
    return true;
}

static int
compare_rows(const void *a, const void *b)
{
    const struct mailbox_row *x = a, *y = b;

    return slice_cmp(x->name, y->name);
}

static enum status
gather_rows(struct session *s, enum store_msg type, struct buf *all)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64), at = BUF_INIT(IMAP_NAME_MAX * 4),
             m = BUF_INIT(IMAP_NAME_MAX * 8);
    bool more = true;

    while (more) {
        struct slice rows, after = {0};
        struct mailbox_row row;
        enum status st;

        buf_clear(&m);
        mailbox_list_put(&m, &(struct mailbox_list){0, buf_slice(&at)});
        st = session_ask(s, type, &m, &reply, true);
        if (st == ST_OK)
            st = take_rows(&reply, &rows, &more);
        if (st != ST_OK)
            return st;
        buf_put(all, rows);
        while (take_name_row(type, &rows, &row))
            after = row.name;
        if (rows.n > 0 || (more && slice_cmp(after, buf_slice(&at)) <= 0))
            return ST_CORRUPT;
        buf_clear(&at);
        buf_put(&at, after);
    }
    return buf_ok(all) ? ST_OK : ST_LIMIT;
}

static enum status
names_load(struct session *s, enum store_msg type, struct names *names)
{
    struct slice rows;
    struct mailbox_row row;
    size_t n = 0;
    enum status st;

    *names = (struct names){.rows = BUF_INIT(NAMES_MAX)};
    st = gather_rows(s, type, &names->rows);
    if (st != ST_OK)
        return st;
    for (rows = buf_slice(&names->rows); take_name_row(type, &rows, &row);)
        n++;
    names->at = calloc(n > 0 ? n : 1, sizeof *names->at);
    if (names->at == NULL)
        return ST_MEMORY;
    for (rows = buf_slice(&names->rows); take_name_row(type, &rows, &row);)
        names->at[names->n++] = row;
    qsort(names->at, names->n, sizeof *names->at,
          compare_rows); /* they are sorted; it is not for us to trust */
    return ST_OK;
}

/* Index of the first name that is not below. */
static size_t
names_find(const struct names *names, struct slice name)
{
    size_t low = 0, high = names->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (slice_cmp(names->at[mid].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool
names_has(const struct names *names, struct slice name)
{
    size_t i = names_find(names, name);

    return i < names->n && slice_eq(names->at[i].name, name);
}

static bool
has_children(const struct names *names, struct slice name)
{
    AUTO_BUF below = BUF_INIT(IMAP_NAME_MAX * 4 + 1);
    size_t i;

    buf_put(&below, name);
    buf_putc(&below, IMAP_SEPARATOR);
    i = names_find(names, buf_slice(&below));
    return i < names->n && slice_has_prefix(names->at[i].name, buf_slice(&below));
}

static void
put_name(struct buf *out, struct slice utf8)
{
    AUTO_BUF utf7 = BUF_INIT(IMAP_NAME_MAX * 8);

    if (imap_utf7_encode(utf8, &utf7) == ST_OK && buf_ok(&utf7))
        imap_put_astring(out, buf_slice(&utf7));
    else
        imap_put_astring(out, utf8);
}

/* bit, its attribute (RFC 6154 2) */
static const struct {
    uint32_t bit;
    const char *name;
} specials[] = {
    {SPECIAL_ALL,       "\\All"      },
    {SPECIAL_ARCHIVE,   "\\Archive"  },
    {SPECIAL_DRAFTS,    "\\Drafts"   },
    {SPECIAL_FLAGGED,   "\\Flagged"  },
    {SPECIAL_JUNK,      "\\Junk"     },
    {SPECIAL_SENT,      "\\Sent"     },
    {SPECIAL_TRASH,     "\\Trash"    },
    {SPECIAL_IMPORTANT, "\\Important"},
};

static void
put_list_line(struct buf *out, const struct names *names, const struct mailbox_row *row)
{
    buf_printf(out, "* LIST (%s%s", row->mailbox == 0 ? "\\Noselect " : "",
               has_children(names, row->name) ? "\\HasChildren" : "\\HasNoChildren"); /* RFC 3348 4 */
    for (size_t i = 0; i < COUNT(specials); i++)
        if (row->special & specials[i].bit)
            buf_printf(out, " %s", specials[i].name);
    buf_puts(out, ") \"/\" ");
    put_name(out, row->name);
    buf_puts(out, "\r\n");
}

/* Reference and pattern as one pattern in UTF-8: levels below the reference (RFC 3501 6.3.8). */
static enum status
full_pattern(const struct imap_list *list, struct buf *out)
{
    AUTO_BUF wire = BUF_INIT(IMAP_NAME_MAX * 4);

    buf_put(&wire, list->reference);
    buf_put(&wire, list->pattern);
    if (!buf_ok(&wire) || wire.n > IMAP_NAME_MAX)
        return ST_LIMIT;
    if (imap_utf7_decode(buf_slice(&wire), out) != ST_OK) {
        buf_clear(out); /* it names no mailbox of ours */
        return ST_NOTFOUND;
    }
    return ST_OK;
}

void
on_list(struct session *s, struct command *c)
{
    AUTO_BUF pattern = BUF_INIT(IMAP_NAME_MAX * 4);
    struct imap_list list;
    struct names names;
    const char *why;
    enum status st = imap_args_list(c->in.args, &c->arena, &list, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    answer(c, "OK LIST completed");
    if (list.pattern.n == 0) { /* RFC 3501 6.3.8: asks for the separator */
        buf_puts(&c->text, "* LIST (\\Noselect) \"/\" \"\"\r\n");
        return;
    }
    if (full_pattern(&list, &pattern) != ST_OK)
        return;
    st = names_load(s, MSG_MAILBOXES, &names);
    for (size_t i = 0; st == ST_OK && i < names.n; i++) {
        if (imap_pattern_match(buf_slice(&pattern), names.at[i].name))
            put_list_line(&c->text, &names, &names.at[i]);
        session_put_text(s, &c->text, false);
        fiber_yield_if_long();
    }
    if (st != ST_OK)
        answer_status(c, st);
    names_done(&names);
}

/* RFC 3501 6.3.9: "foo/bar" is subscribed and "%" asked for: foo, with \Noselect. Each level once: names
 * ascend, and what is below a level follows it but for names that sort between, so the last level told is not
 * enough. */
static void
put_lsub_level(struct buf *out, const struct names *names, size_t i, struct slice pattern, struct buf *told)
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
        put_name(out, level);
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
    if (full_pattern(&list, &pattern) != ST_OK)
        return;
    st = names_load(s, MSG_SUBSCRIPTIONS, &names);
    for (size_t i = 0; st == ST_OK && i < names.n; i++) {
        if (imap_pattern_match(buf_slice(&pattern), names.at[i].name)) {
            buf_puts(&c->text, "* LSUB () \"/\" ");
            put_name(&c->text, names.at[i].name);
            buf_puts(&c->text, "\r\n");
        } else {
            put_lsub_level(&c->text, &names, i, buf_slice(&pattern), &told);
        }
        session_put_text(s, &c->text, false);
        fiber_yield_if_long();
    }
    if (st != ST_OK)
        answer_status(c, st);
    names_done(&names);
}

/* --- one mailbox --- */

/* The command's only mailbox, as given and decoded. False: answered. */
static bool
one_name(struct session *s, struct command *c, struct buf *utf8)
{
    const char *why;
    struct slice name;
    enum status st = imap_args_mailbox(c->in.args, &c->arena, &name, &why);

    if (st == ST_OK) {
        st = imap_mailbox_decode(name, utf8);
        if (st == ST_OK)
            return true;
        answer(c, st == ST_LIMIT ? "NO [LIMIT] Name too long" : "NO [CANNOT] Not a mailbox name");
        return false;
    }
    answer_parse(s, c, st, why);
    return false;
}

/* The end of a change. It may have happened when its answer was lost, so that it is not asked twice. */
static void
finish(struct session *s, struct command *c, enum store_msg type, struct buf *m)
{
    AUTO_BUF reply = BUF_INIT(1024);
    enum status st = session_ask(s, type, m, &reply, false);

    if (st == ST_OK)
        answer(c, "OK %s completed", imap_verb_name(c->in.verb));
    else
        answer_status(c, st);
}

void
on_create(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8);

    if (!one_name(s, c, &utf8))
        return;
    if (slice_eq(buf_slice(&utf8), SLICE("INBOX"))) {
        answer_status(c, ST_EXISTS);
        return;
    }
    if (!imap_mailbox_creatable(buf_slice(&utf8))) {
        answer(c, "NO [CANNOT] Such a name cannot be made");
        return;
    }
    mailbox_name_put(&m, &(struct mailbox_name){0, buf_slice(&utf8), 0});
    finish(s, c, MSG_MAILBOX_CREATE, &m);
}

void
on_delete(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(64), reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_row row;
    struct slice name;
    const char *why;
    enum status st;

    if (!one_name(s, c, &utf8))
        return;
    if (slice_eq(buf_slice(&utf8), SLICE("INBOX"))) { /* RFC 3501 6.3.4 */
        answer(c, "NO [CANNOT] INBOX cannot be deleted");
        return;
    }
    st = imap_args_mailbox(c->in.args, &c->arena, &name, &why);
    if (st == ST_OK)
        st = find_mailbox(s, name, true, &reply, &row);
    if (st != ST_OK) {
        answer_status(c, st);
        return;
    }
    if (row.mailbox == 0) { /* RFC 3501 6.3.4: \Noselect with children */
        answer(c, "NO [HASCHILDREN] There are mailboxes below it");
        return;
    }
    if (row.mailbox == s->box.id)
        box_done(s);
    mailbox_ref_put(&m, &(struct mailbox_ref){0, row.mailbox});
    finish(s, c, MSG_MAILBOX_DELETE, &m);
}

void
on_rename(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8);
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_row row;
    struct slice names[2];
    const char *why;
    enum status st = imap_args_two(c->in.args, &c->arena, names, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    st = imap_mailbox_decode(names[1], &utf8);
    if (st != ST_OK || !imap_mailbox_creatable(buf_slice(&utf8))) {
        answer(c, "NO [CANNOT] Not a name for a mailbox");
        return;
    }
    st = find_mailbox(s, names[0], false, &reply, &row);
    if (st != ST_OK) {
        answer_status(c, st == ST_SYNTAX ? ST_NOTFOUND : st);
        return;
    }
    mailbox_rename_put(&m, &(struct mailbox_rename){0, row.mailbox, buf_slice(&utf8)});
    finish(s, c, MSG_MAILBOX_RENAME, &m);
}

/* SUBSCRIBE and UNSUBSCRIBE: the name need not exist (RFC 3501 6.3.6). */
void
on_subscribe(struct session *s, struct command *c)
{
    AUTO_BUF utf8 = BUF_INIT(IMAP_NAME_MAX * 4), m = BUF_INIT(IMAP_NAME_MAX * 8);

    if (!one_name(s, c, &utf8))
        return;
    mailbox_subscribe_put(&m, &(struct mailbox_subscribe){0, buf_slice(&utf8), c->in.verb == IMAP_SUBSCRIBE});
    finish(s, c, MSG_MAILBOX_SUBSCRIBE, &m);
}

void
on_status(struct session *s, struct command *c)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct mailbox_status got;
    struct mailbox_row row;
    struct imap_status want;
    const char *why;
    bool first = true;
    enum status st = imap_args_status(c->in.args, &c->arena, &want, &why);

    if (st != ST_OK) {
        answer_parse(s, c, st, why);
        return;
    }
    st = find_mailbox(s, want.mailbox, false, &reply, &row);
    if (st == ST_OK)
        st = mailbox_status_of(s, row.mailbox, &got);
    if (st != ST_OK) {
        answer_status(c, st == ST_SYNTAX || st == ST_STALE ? ST_NOTFOUND : st);
        return;
    }
    const struct {
        const char *name;
        uint64_t value;
    } items[] = {
        [IMAP_STATUS_MESSAGES] = {"MESSAGES",    got.messages                                                     },
 /* Messages since recent_from; without holes among them this is right, else too many. */
        [IMAP_STATUS_RECENT] = {"RECENT",      got.uidnext > got.recent_from ? got.uidnext - got.recent_from : 0},
        [IMAP_STATUS_UIDNEXT] = {"UIDNEXT",     got.uidnext                                                      },
        [IMAP_STATUS_UIDVALIDITY] = {"UIDVALIDITY", got.uidvalidity                                                  },
        [IMAP_STATUS_UNSEEN] = {"UNSEEN",      got.unseen                                                       },
        [IMAP_STATUS_DELETED] = {"DELETED",     got.deleted                                                      },
        [IMAP_STATUS_SIZE] = {"SIZE",        got.bytes                                                        },
    };
    buf_puts(&c->text, "* STATUS ");
    imap_put_astring(&c->text, want.mailbox);
    buf_puts(&c->text, " (");
    for (size_t i = 0; i < COUNT(items); i++) {
        if ((want.items & 1u << i) == 0)
            continue;
        buf_printf(&c->text, "%s%s %llu", first ? "" : " ", items[i].name,
                   (unsigned long long)(i == IMAP_STATUS_RECENT && items[i].value > got.messages
                                            ? got.messages
                                            : items[i].value));
        first = false;
    }
    buf_puts(&c->text, ")\r\n");
    answer(c, "OK STATUS completed");
}

void
on_namespace(struct session *s, struct command *c)
{
    buf_puts(&c->text, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"); /* RFC 2342 5 */
    answer(c, "OK NAMESPACE completed");
}
