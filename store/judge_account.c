/* Accounts and their mailboxes: made, renamed, removed. */
#include <stdlib.h>

#include "store/judge_rows.h"
#include "store/bugs.h"

#define LIST_MOST (2u << 20)

/* --- names --- */

/* RFC 3629 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool
utf8_ok(struct slice s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    while (s.n > 0) {
        uint8_t c = s.p[0];
        size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        uint32_t point = n == 1 ? c : c & (0x7fu >> n);

        if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || n > s.n)
            return false;
        for (size_t i = 1; i < n; i++) {
            if ((s.p[i] & 0xc0) != 0x80)
                return false;
            point = point << 6 | (s.p[i] & 0x3f);
        }
        if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
        s = slice_skip(s, n);
    }
    return true;
}

/* UTF-8 without controls, levels that are not empty. */
static bool
name_ok(struct slice name)
{
    size_t levels = 1;

    if (name.n == 0 || name.n > JUDGE_NAME_MAX || name.p[0] == '/' || name.p[name.n - 1] == '/')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] < 0x20 || name.p[i] == 0x7f)
            return false;
        if (name.p[i] == '/' && (++levels > JUDGE_LEVELS_MAX || name.p[i + 1] == '/'))
            return false;
    }
    return utf8_ok(name);
}

/* "user@domain" in lower case, printable, no spaces or slashes. */
static bool
account_ok(struct slice name)
{
    size_t at = slice_find(name, '@');

    if (at == 0 || at + 1 >= name.n || name.n > 254)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];

        if (c <= 0x20 || c == 0x7f || c == '/' || c == '"' || c == '<' || c == '>' || c == ',' ||
            ascii_lower(c) != c || (c == '@' && i != at))
            return false;
    }
    return utf8_ok(name);
}

/* --- mailboxes --- */

static void
put_new(struct buf *list, struct judge_account *a, struct slice name, uint32_t special, uint64_t *number)
{
    struct record_mailbox m = {
        .mailbox = a->usage.mailbox_next++,
        .row = {.name = name, .special = special, .uidvalidity = BUG(uidvalidity_repeats) ? a->usage.uidvalidity_next : a->usage.uidvalidity_next++},
        .status = {.uidnext = 1, .recent_from = 1,   .modseq = a->usage.modseq                 }
    };

    record_mailbox_put(list, &m);
    *number = m.mailbox;
}

/* The levels above `name` that are not there yet. */
static enum status
put_parents(struct judge *j, struct judge_account *a, struct slice name, struct buf *list)
{
    for (size_t i = 0; i < name.n; i++) {
        uint64_t number;
        enum status st;

        if (name.p[i] != '/')
            continue;
        st = judge_box_named(j, a->number, slice_sub(name, 0, i), &number);
        if (st == ST_NOTFOUND)
            put_new(list, a, slice_sub(name, 0, i), 0, &number);
        else if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status
write_boxes(struct judge_account *a, struct buf *list, struct outcome *out)
{
    struct record_mailbox_put r = {a->number, a->usage, buf_slice(list)};

    record_mailbox_put_write(&out->meta, &r);
    out->type = RECORD_MAILBOX_PUT;
    return buf_ok(list) && buf_ok(&out->meta) ? ST_OK : ST_LIMIT;
}

/* A new name: right, free, and its parents made. */
static enum status
make(struct judge *j, struct judge_account *a, struct slice name, uint32_t special, struct buf *list,
     uint64_t *number)
{
    enum status st;

    if (!name_ok(name))
        return ST_SYNTAX;
    st = judge_box_named(j, a->number, name, number);
    if (st != ST_NOTFOUND)
        return st == ST_OK ? ST_EXISTS : st;
    if (a->usage.mailbox_next > JUDGE_MAILBOXES_MAX * 100u)
        return ST_LIMIT;
    a->usage.modseq++;
    st = put_parents(j, a, name, list);
    if (st == ST_OK)
        put_new(list, a, name, special, number);
    return st;
}

enum status
judge_mailbox_create(struct judge *j, uint64_t account, const struct mailbox_name *m, struct outcome *out)
{
    AUTO_BUF list = BUF_INIT(LIST_MOST);
    struct judge_account a;
    uint64_t number = 0;
    enum status st = judge_open(j, account, &a);

    if (st == ST_OK)
        st = make(j, &a, m->name, m->special, &list, &number);
    if (st == ST_OK)
        st = write_boxes(&a, &list, out);
    if (st == ST_OK) {
        msg_id_put(&out->reply, &(struct msg_id){number});
        judge_touch(out, account, number, a.usage.modseq);
    }
    return st;
}

enum status
judge_mailbox_delete(struct judge *j, uint64_t account, uint64_t mailbox, struct outcome *out)
{
    AUTO_BUF list = BUF_INIT(LIST_MOST);
    struct judge_account a;
    struct judge_box box;
    struct record_mailbox m;
    enum status st = judge_open(j, account, &a);

    if (st == ST_OK)
        st = judge_box(j, account, mailbox, &box);
    if (st != ST_OK)
        return st;
    if (slice_eq(box.row.name, SLICE("INBOX")))
        return ST_DENIED;
    a.usage.modseq++;
    m = (struct record_mailbox){mailbox, box.row.name, box.row, box.status};
    m.row.state = ROW_DYING;
    m.status.modseq = a.usage.modseq;
    record_mailbox_put(&list, &m);
    judge_touch(out, account, mailbox, a.usage.modseq);
    return write_boxes(&a, &list, out);
}

/* --- rename --- */

struct rename_work {
    struct judge *j;
    struct judge_account *a;
    struct slice old, new; /* names */
    struct buf name;
    struct buf list;
    struct outcome *out;
    uint32_t n;
};

static enum status
rename_one(struct rename_work *w, uint64_t mailbox, struct slice old)
{
    struct judge_box box;
    struct record_mailbox m;
    enum status st = judge_box(w->j, w->a->number, mailbox, &box);

    if (st != ST_OK)
        return st;
    if (++w->n > 1000)
        return ST_LIMIT;
    buf_clear(&w->name);
    buf_put(&w->name, w->new);
    buf_put(&w->name, slice_skip(old, w->old.n));
    if (!buf_ok(&w->name) || !name_ok(buf_slice(&w->name)))
        return ST_LIMIT;
    m = (struct record_mailbox){mailbox, old, box.row, box.status};
    m.row.name = buf_slice(&w->name);
    m.status.modseq = w->a->usage.modseq;
    record_mailbox_put(&w->list, &m);
    judge_touch(w->out, w->a->number, mailbox, w->a->usage.modseq);
    return ST_OK;
}

static enum status
rename_child(void *arg, struct slice key, struct slice value)
{
    struct rename_work *w = arg;
    struct row_key k;
    struct row_number row;

    if (row_key_get(key, &k) != ST_OK || !row_number_get(value, &row))
        return ST_CORRUPT;
    return rename_one(w, row.number, k.tail);
}

static enum status
rename_children(struct rename_work *w)
{
    AUTO_BUF name = BUF_INIT(JUDGE_NAME_MAX + 8), from = BUF_INIT(2048), to = BUF_INIT(2048);

    buf_put(&name, w->old);
    buf_putc(&name, '/');
    row_key_put(&from, JUDGE_KEY(w->a->number, ROW_NAME, {0}, buf_slice(&name)));
    row_range_end(&to, buf_slice(&from));
    if (!buf_ok(&name) || !buf_ok(&from) || !buf_ok(&to))
        return ST_LIMIT;
    return index_scan(w->j->index, NULL, buf_slice(&from), buf_slice(&to), rename_child, w, NULL);
}

static bool
is_below(struct slice name, struct slice top)
{
    return name.n > top.n && slice_has_prefix(name, top) && name.p[top.n] == '/';
}

static enum status
rename_box(struct judge *j, struct judge_account *a, const struct judge_box *box, struct slice new,
           struct outcome *out)
{
    struct rename_work w = {.j = j,
                            .a = a,
                            .old = box->row.name,
                            .new = new,
                            .name = BUF_INIT(2 * JUDGE_NAME_MAX),
                            .list = BUF_INIT(LIST_MOST),
                            .out = out};
    uint64_t number;
    enum status st;

    if (!name_ok(new) || is_below(new, box->row.name))
        return ST_SYNTAX;
    st = judge_box_named(j, a->number, new, &number);
    st = st == ST_NOTFOUND ? ST_OK : st == ST_OK ? ST_EXISTS : st;
    a->usage.modseq++;
    if (st == ST_OK)
        st = put_parents(j, a, new, &w.list);
    if (st == ST_OK)
        st = rename_one(&w, box->number, box->row.name);
    if (st == ST_OK)
        st = rename_children(&w);
    if (st == ST_OK)
        st = write_boxes(a, &w.list, out);
    buf_done(&w.name);
    buf_done(&w.list);
    return st;
}

/* RFC 9051 6.3.6: INBOX stays, empty; its children too. */
static enum status
rename_inbox(struct judge *j, struct judge_account *a, const struct mailbox_rename *m, uint64_t *cursor,
             struct outcome *out)
{
    AUTO_BUF list = BUF_INIT(LIST_MOST);
    struct copy move = {.mailbox = m->mailbox, .uids = SLICE("\1\0\0\0\xff\xff\xff\xff"), .move = 1};
    struct msg_rows rows;
    enum status st;

    if (*cursor == 0) {
        st = make(j, a, m->name, 0, &list, cursor);
        if (st == ST_OK)
            st = write_boxes(a, &list, out);
        out->more = st == ST_OK;
        return st;
    }
    move.to = *cursor;
    st = judge_copy(j, a->number, &move, out);
    if (st != ST_OK)
        return st;
    if (!msg_rows_get(buf_slice(&out->reply), &rows))
        return ST_CORRUPT;
    out->more = rows.more != 0;
    buf_clear(&out->reply);
    return ST_OK;
}

enum status
judge_mailbox_rename(struct judge *j, uint64_t account, const struct mailbox_rename *m, uint64_t *cursor,
                     struct outcome *out)
{
    struct judge_account a;
    struct judge_box box;
    enum status st = judge_open(j, account, &a);

    if (st == ST_OK)
        st = judge_box(j, account, m->mailbox, &box);
    if (st != ST_OK)
        return st;
    if (slice_eq(box.row.name, SLICE("INBOX")))
        return rename_inbox(j, &a, m, cursor, out);
    return rename_box(j, &a, &box, m->name, out);
}

enum status
judge_subscribe(struct judge *j, uint64_t account, const struct mailbox_subscribe *m, struct outcome *out)
{
    struct judge_account a;
    enum status st = judge_open(j, account, &a);

    if (st != ST_OK)
        return st;
    if (!name_ok(m->name) || m->on > 1)
        return ST_SYNTAX;
    record_subscribe_write(&out->meta, &(struct record_subscribe){account, m->name, m->on});
    out->type = RECORD_SUBSCRIBE;
    return ST_OK;
}

/* --- accounts --- */

/* Where an account's UIDVALIDITYs begin: an account made again under an old name must not repeat them.
 * Account numbers are never reused and odd multiples of them modulo 2^30 are all different. */
static uint32_t
first_uidvalidity(uint64_t account)
{
    return (uint32_t)(account * 0x9e3779b1u & 0x3fffffffu) | 1u;
}

enum status
judge_account_add(struct judge *j, const struct account_add *m, struct outcome *out)
{
    AUTO_BUF list = BUF_INIT(4096);
    struct record_account_add r = {
        .row = {.name = m->name, .quota = m->quota, .created = j->now}
    };
    struct judge_account a = {0};
    struct slice value;
    uint64_t inbox;
    enum status st;

    if (!account_ok(m->name))
        return ST_SYNTAX;
    st = view_get(j->view, JUDGE_KEY(0, ROW_ACCOUNT_NAME, {0}, m->name), &value);
    if (st != ST_NOTFOUND)
        return st == ST_OK ? ST_EXISTS : st;
    st = judge_shard(j, &r.shard);
    if (st != ST_OK)
        return st;
    a.number = r.account = r.shard.account++;
    a.usage = (struct row_usage){
        .modseq = 1, .mailbox_next = 1, .uidvalidity_next = first_uidvalidity(r.account), .keyword_next = 1};
    put_new(&list, &a, SLICE("INBOX"), 0, &inbox);
    r.usage = a.usage;
    r.mailboxes = buf_slice(&list);
    record_account_add_write(&out->meta, &r);
    out->type = RECORD_ACCOUNT_ADD;
    return buf_ok(&list) && buf_ok(&out->meta) ? ST_OK : ST_LIMIT;
}

enum status
judge_account_quota(struct judge *j, const struct account_quota *m, struct outcome *out)
{
    struct record_account_change r = {0};
    struct judge_account a;
    enum status st = judge_account_named(j, m->name, &r.account);

    if (st == ST_OK)
        st = judge_open(j, r.account, &a);
    if (st != ST_OK)
        return st;
    r.row = a.row;
    r.row.quota = m->quota;
    record_account_change_write(&out->meta, &r);
    out->type = RECORD_ACCOUNT_CHANGE;
    return ST_OK;
}

enum status
judge_account_delete(struct judge *j, struct slice name, uint64_t *account, struct outcome *out)
{
    struct record_account_change r = {.old_name = name};
    struct row_number number;
    struct slice value;
    enum status st;

    /* Also one that is out of service. */
    st = name.n > 0 && name.n <= ROW_TAIL_MAX
             ? view_get(j->view, JUDGE_KEY(0, ROW_ACCOUNT_NAME, {0}, name), &value)
             : ST_NOTFOUND;
    if (st != ST_OK)
        return st;
    if (!row_number_get(value, &number))
        return ST_CORRUPT;
    st = view_get(j->view, JUDGE_KEY(number.number, ROW_ACCOUNT), &value);
    if (st != ST_OK || !row_account_get(value, &r.row))
        return ST_CORRUPT;
    r.account = *account = number.number;
    r.row.state = ROW_DYING;
    record_account_change_write(&out->meta, &r);
    out->type = RECORD_ACCOUNT_CHANGE;
    return ST_OK;
}

/* --- requests that are too old --- */

struct forget_work {
    int64_t now;
    struct buf list;
    uint32_t n;
};

static enum status
forget_one(void *arg, struct slice key, struct slice value)
{
    struct forget_work *w = arg;
    struct row_key k;

    if (row_key_get(key, &k) != ST_OK)
        return ST_CORRUPT;
    if ((int64_t)k.part[0] > w->now || w->n == 1000)
        return ST_MORE;
    w->n++;
    record_request_put(&w->list, &(struct record_request){k.tail, (int64_t)k.part[0]});
    return ST_OK;
}

enum status
judge_forget_requests(struct judge *j, struct outcome *out)
{
    AUTO_BUF from = BUF_INIT(64), to = BUF_INIT(64);
    struct forget_work w = {.now = j->now, .list = BUF_INIT(LIST_MOST)};
    enum status st;

    row_prefix_put(&from, JUDGE_KEY(0, ROW_REQUEST_DUE), 0);
    row_range_end(&to, buf_slice(&from));
    st = index_scan(j->index, NULL, buf_slice(&from), buf_slice(&to), forget_one, &w, NULL);
    if (st == ST_MORE)
        st = ST_OK;
    if (st == ST_OK && w.n > 0) {
        record_requests_forget_write(&out->meta, &(struct record_requests_forget){buf_slice(&w.list)});
        out->type = RECORD_REQUESTS_FORGET;
        out->more = w.n == 1000;
    }
    buf_done(&w.list);
    return st;
}
