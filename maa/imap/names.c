#include "maa/imap/names.h"

#include <stdlib.h>

#include "imap/mailbox.h"
#include "imap/token.h"

const struct special specials[SPECIALS] = {
    {SPECIAL_ALL,       "\\All",       false},
    {SPECIAL_ARCHIVE,   "\\Archive",   true },
    {SPECIAL_DRAFTS,    "\\Drafts",    true },
    {SPECIAL_FLAGGED,   "\\Flagged",   false},
    {SPECIAL_JUNK,      "\\Junk",      true },
    {SPECIAL_SENT,      "\\Sent",      true },
    {SPECIAL_TRASH,     "\\Trash",     true },
    {SPECIAL_IMPORTANT, "\\Important", false},
};

void
names_done(struct names *names)
{
    buf_done(&names->rows[0]);
    buf_done(&names->rows[1]);
    free(names->at);
    *names = (struct names){0};
}

static bool
take_name_row(enum store_msg type, struct slice *rows, struct mailbox_row *row)
{
    struct msg_name name;

    if (type == MSG_MAILBOXES)
        return mailbox_row_take(rows, row);
    if (!msg_name_take(rows, &name))
        return false;
    *row = (struct mailbox_row){.name = name.name, .subscribed = 1};
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

/* Sorts, and makes one of rows with the same name: they come sorted, but that is not for us to trust. */
static void
sort_and_join(struct names *names)
{
    size_t n = 0;

    qsort(names->at, names->n, sizeof *names->at, compare_rows);
    for (size_t i = 0; i < names->n; i++) {
        if (n == 0 || !slice_eq(names->at[n - 1].name, names->at[i].name)) {
            names->at[n++] = names->at[i];
            continue;
        }
        names->at[n - 1].subscribed |= names->at[i].subscribed;
        if (names->at[n - 1].mailbox == 0) {
            names->at[n - 1].mailbox = names->at[i].mailbox;
            names->at[n - 1].special = names->at[i].special;
        }
    }
    names->n = n;
}

enum status
names_load(struct session *s, enum store_msg type, struct names *names)
{
    struct slice rows;
    struct mailbox_row row;
    size_t n = 0;
    enum status st;

    *names = (struct names){
        .rows = {BUF_INIT(NAMES_MAX), BUF_INIT(NAMES_MAX)}
    };
    st = gather_rows(s, type, &names->rows[0]);
    if (st != ST_OK)
        return st;
    for (rows = buf_slice(&names->rows[0]); take_name_row(type, &rows, &row);)
        n++;
    names->at = calloc(n > 0 ? n : 1, sizeof *names->at);
    if (names->at == NULL)
        return ST_MEMORY;
    for (rows = buf_slice(&names->rows[0]); take_name_row(type, &rows, &row);)
        names->at[names->n++] = row;
    sort_and_join(names);
    return ST_OK;
}

static size_t
count_levels(struct slice name)
{
    size_t n = 0;

    for (size_t i = 0; i < name.n; i++)
        n += name.p[i] == IMAP_SEPARATOR;
    return n;
}

static void
add_subscribed(struct names *names, const struct mailbox_row *row, bool levels)
{
    names->at[names->n++] = *row;
    for (size_t i = 0; levels && i < row->name.n; i++)
        if (row->name.p[i] == IMAP_SEPARATOR)
            names->at[names->n++] = (struct mailbox_row){.name = slice_sub(row->name, 0, i)};
}

enum status
names_subscribed(struct session *s, bool all, bool levels, struct names *names)
{
    struct names subs;
    struct mailbox_row *at;
    size_t most;
    enum status st = names_load(s, MSG_SUBSCRIPTIONS, &subs);

    for (size_t i = 0; i < names->n; i++)
        names->at[i].subscribed = st == ST_OK && names_has(&subs, names->at[i].name);
    if (st == ST_OK && all) {
        most = names->n + subs.n;
        for (size_t i = 0; levels && i < subs.n; i++)
            most += count_levels(subs.at[i].name);
        at = reallocarray(names->at, most > 0 ? most : 1, sizeof *at);
        if (at != NULL)
            names->at = at;
        else
            st = ST_MEMORY;
        for (size_t i = 0; st == ST_OK && i < subs.n; i++)
            add_subscribed(names, &subs.at[i], levels);
        buf_done(&names->rows[1]);
        names->rows[1] = subs.rows[0]; /* the names point into it */
        subs.rows[0] = BUF_INIT(0);
        if (st == ST_OK)
            sort_and_join(names);
    }
    names_done(&subs);
    return st;
}

size_t
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

bool
names_has(const struct names *names, struct slice name)
{
    size_t i = names_find(names, name);

    return i < names->n && slice_eq(names->at[i].name, name);
}

void
names_below(const struct names *names, struct slice name, size_t *first, size_t *end)
{
    AUTO_BUF below = BUF_INIT(IMAP_NAME_MAX * 4 + 1);

    buf_put(&below, name);
    buf_putc(&below, IMAP_SEPARATOR);
    *first = names_find(names, buf_slice(&below));
    if (below.n > 0)
        below.p[below.n - 1] = IMAP_SEPARATOR + 1;
    *end = names_find(names, buf_slice(&below));
}

static bool
writes_utf8(const struct session *s)
{
    return (s->enabled & (ENABLED_REV2 | ENABLED_UTF8)) != 0;
}

enum status
name_decode(const struct session *s, struct slice wire, struct buf *utf8)
{
    return writes_utf8(s) ? imap_mailbox_from_utf8(wire, utf8) : imap_mailbox_decode(wire, utf8);
}

void
put_name(const struct session *s, struct buf *out, struct slice utf8)
{
    AUTO_BUF utf7 = BUF_INIT(IMAP_NAME_MAX * 8);

    if (writes_utf8(s))
        imap_put_utf8_astring(out, utf8);
    else if (imap_utf7_encode(utf8, &utf7) == ST_OK && buf_ok(&utf7))
        imap_put_astring(out, buf_slice(&utf7));
    else
        imap_put_astring(out, utf8);
}

void
put_wire_name(const struct session *s, struct buf *out, struct slice wire)
{
    if (writes_utf8(s))
        imap_put_utf8_astring(out, wire);
    else
        imap_put_astring(out, wire);
}
