#include "store/view.h"

#include <assert.h>
#include <stdlib.h>

#define BUCKETS    65536u
#define KEY_MOST   2048u
#define VALUE_MOST (16u * 1024 * 1024)

/* A value, or that there is none. */
struct value {
    uint8_t *p;
    size_t n;
    bool known, there;
};

struct entry {
    struct entry *next;          /* in its bucket */
    struct entry *newer, *older; /* by last use */
    struct entry *pending_next;
    uint64_t hash;
    struct value applied, pending;
    size_t key_n;
    uint8_t key[];
};

/* Accounts that the batch touches: open addressing, 0 is free. */
struct accounts {
    uint64_t *at;
    size_t n, cap;
};

struct view {
    struct index *index;
    struct entry *buckets[BUCKETS];
    struct entry *newest, *oldest, *pending;
    size_t bytes, most;
    struct accounts touched;
    bool all_touched; /* no memory for the set */
    struct buf key, value;
};

struct view *
view_new(struct index *index, size_t bytes)
{
    struct view *view = calloc(1, sizeof(*view));

    if (view == NULL)
        return NULL;
    view->index = index;
    view->most = bytes;
    view->key = BUF_INIT(KEY_MOST);
    view->value = BUF_INIT(VALUE_MOST);
    return view;
}

static size_t
cost(const struct entry *e)
{
    return sizeof(*e) + e->key_n + e->applied.n + e->pending.n;
}

static struct entry **
find(struct view *view, struct slice key, uint64_t hash)
{
    struct entry **at = &view->buckets[hash % BUCKETS];

    while (*at != NULL && !((*at)->hash == hash && slice_eq(slice_from((*at)->key, (*at)->key_n), key)))
        at = &(*at)->next;
    return at;
}

static void
unlink_use(struct view *view, struct entry *e)
{
    *(e->newer != NULL ? &e->newer->older : &view->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &view->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void
link_newest(struct view *view, struct entry *e)
{
    e->older = view->newest;
    e->newer = NULL;
    *(view->newest != NULL ? &view->newest->newer : &view->oldest) = e;
    view->newest = e;
}

static void
forget(struct view *view, struct entry *e)
{
    struct entry **at = find(view, slice_from(e->key, e->key_n), e->hash);

    *at = e->next;
    unlink_use(view, e);
    view->bytes -= cost(e);
    free(e->applied.p);
    free(e->pending.p);
    free(e);
}

void
view_free(struct view *view)
{
    if (view == NULL)
        return;
    while (view->newest != NULL)
        forget(view, view->newest);
    free(view->touched.at);
    buf_done(&view->key);
    buf_done(&view->value);
    free(view);
}

/* The entry of a key, made when it is not there. NULL: no memory. */
static struct entry *
entry_of(struct view *view, struct slice key)
{
    uint64_t hash = slice_hash(key);
    struct entry **at = find(view, key, hash), *e = *at;

    if (e != NULL) {
        if (view->newest != e) {
            unlink_use(view, e);
            link_newest(view, e);
        }
        return e;
    }
    e = calloc(1, sizeof(*e) + key.n);
    if (e == NULL)
        return NULL;
    e->hash = hash;
    e->key_n = key.n;
    memcpy(e->key, key.p, key.n);
    *at = e;
    link_newest(view, e);
    view->bytes += cost(e);
    return e;
}

static bool
set_value(struct view *view, struct value *v, bool there, struct slice bytes)
{
    uint8_t *p = NULL;

    if (there && bytes.n > 0) {
        p = malloc(bytes.n);
        if (p == NULL)
            return false;
        memcpy(p, bytes.p, bytes.n);
    }
    view->bytes -= v->n;
    free(v->p);
    *v = (struct value){p, there ? bytes.n : 0, true, there};
    view->bytes += v->n;
    return true;
}

/* Kinds that the judge reads by key. What else a batch puts is not kept here, so it cannot be asked for. */
static bool
wanted(enum row_kind kind)
{
    switch (kind) {
    case ROW_ACCOUNT:
    case ROW_USAGE:
    case ROW_MAILBOX:
    case ROW_STATUS:
    case ROW_NAME:
    case ROW_ACCOUNT_NAME:
    case ROW_BODY:
    case ROW_REFS:
    case ROW_SEGMENT:
    case ROW_REQUEST:
    case ROW_SHARD:
    case ROW_BROKEN:
    case ROW_QUEUE:
    case ROW_IMAGE:
    case ROW_TABLE:
        return true;
    default:
        return false;
    }
}

enum status
view_get(struct view *view, const struct row_key *key, struct slice *value)
{
    struct entry *e;
    const struct value *v;
    enum status st;

    assert(wanted(key->kind)); /* it would be kept for ever as it was first read */
    buf_clear(&view->key);
    row_key_put(&view->key, key);
    e = buf_ok(&view->key) ? entry_of(view, buf_slice(&view->key)) : NULL;
    if (e == NULL)
        return buf_ok(&view->key) ? ST_MEMORY : ST_LIMIT;
    if (!e->pending.known && !e->applied.known) {
        buf_clear(&view->value);
        st = index_get(view->index, NULL, key, &view->value, NULL);
        if (st != ST_OK && st != ST_NOTFOUND)
            return st;
        if (!set_value(view, &e->applied, st == ST_OK, buf_slice(&view->value)))
            return ST_MEMORY;
    }
    v = e->pending.known ? &e->pending : &e->applied;
    *value = slice_from(v->p, v->n);
    return v->there ? ST_OK : ST_NOTFOUND;
}

/* --- what the batch touches --- */

static bool
grow(struct accounts *set)
{
    struct accounts grown = {.cap = set->cap == 0 ? 256 : set->cap * 2};

    grown.at = calloc(grown.cap, sizeof(*grown.at));
    if (grown.at == NULL)
        return false;
    for (size_t i = 0; i < set->cap; i++) {
        size_t to = set->at[i] % grown.cap;

        if (set->at[i] == 0)
            continue;
        while (grown.at[to] != 0)
            to = (to + 1) % grown.cap;
        grown.at[to] = set->at[i];
        grown.n++;
    }
    free(set->at);
    *set = grown;
    return true;
}

static void
touch(struct view *view, uint64_t account)
{
    struct accounts *set = &view->touched;
    size_t at;

    if (account == 0 || view_touched(view, account))
        return;
    if (set->n * 2 >= set->cap && !grow(set)) {
        view->all_touched = true;
        return;
    }
    for (at = account % set->cap; set->at[at] != 0; at = (at + 1) % set->cap)
        ;
    set->at[at] = account;
    set->n++;
}

bool
view_touched(const struct view *view, uint64_t account)
{
    const struct accounts *set = &view->touched;

    if (view->all_touched)
        return true;
    for (size_t at = set->cap > 0 ? account % set->cap : 0; set->cap > 0 && set->at[at] != 0;
         at = (at + 1) % set->cap)
        if (set->at[at] == account)
            return true;
    return false;
}

/* --- the batch --- */

/* Of these only what the batch itself put is needed: they are seldom read twice. */
static bool
fleeting(enum row_kind kind)
{
    return kind == ROW_BODY || kind == ROW_REFS || kind == ROW_REQUEST || kind == ROW_QUEUE || kind == ROW_IMAGE ||
           kind == ROW_TABLE;
}

static enum row_kind
kind_of(struct slice key)
{
    return key.n > 8 ? (enum row_kind)key.p[8] : 0;
}

static void
put_pending(struct view *view, struct slice key, bool there, struct slice value)
{
    struct slice at = key;
    struct entry *e;
    uint64_t account;

    if (take_be64(&at, &account))
        touch(view, account);
    if (!wanted(kind_of(key)))
        return;
    e = entry_of(view, key);
    if (e != NULL && !e->pending.known) {
        e->pending_next = view->pending;
        view->pending = e;
    }
    if (e == NULL || !set_value(view, &e->pending, there, value))
        abort(); /* a judge that does not see its own batch would give numbers twice */
}

static void
sink_put(void *arg, struct slice key, struct slice value)
{
    put_pending(arg, key, true, value);
}

static void
sink_del(void *arg, struct slice key)
{
    put_pending(arg, key, false, (struct slice){0});
}

/* Ranges are rows of mailboxes and accounts that nobody can reach any more; none of them is judged again. */
static void
sink_del_range(void *arg, struct slice from, struct slice to)
{
    struct view *view = arg;
    uint64_t account;

    if (take_be64(&from, &account))
        touch(view, account);
    for (struct entry *e = view->newest, *older; e != NULL; e = older) {
        struct slice key = slice_from(e->key, e->key_n), whole = {from.p - 8, from.n + 8};

        older = e->older;
        if (slice_cmp(key, whole) >= 0 && slice_cmp(key, to) < 0)
            put_pending(view, key, false, (struct slice){0});
    }
}

struct row_sink
view_sink(struct view *view)
{
    return (struct row_sink){view, sink_put, sink_del, sink_del_range};
}

static void
settle(struct view *view, bool keep)
{
    struct entry *e;

    while ((e = view->pending) != NULL) {
        view->pending = e->pending_next;
        view->bytes -= keep ? e->applied.n : e->pending.n;
        free(keep ? e->applied.p : e->pending.p);
        if (keep)
            e->applied = e->pending;
        e->pending = (struct value){0};
        if (fleeting(kind_of(slice_from(e->key, e->key_n))))
            forget(view, e);
    }
    if (view->touched.cap > 0)
        memset(view->touched.at, 0, view->touched.cap * sizeof(*view->touched.at));
    view->touched.n = 0;
    view->all_touched = false;
    while (view->bytes > view->most && view->oldest != NULL)
        forget(view, view->oldest);
}

void
view_keep(struct view *view)
{
    settle(view, true);
}

void
view_drop(struct view *view)
{
    settle(view, false);
}
