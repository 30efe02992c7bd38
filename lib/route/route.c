#include "route/route.h"

#include "route/forward.h"
#include "smtp/path.h"

/* The names that an address came out of, for loops: newest first. */
struct chain {
    const struct chain *before;
    struct slice name;          /* the alias's key, the account or the path */
    struct slice local, domain; /* the address that had it; empty for a list */
};

/* An address still to be decided, or a list's item. */
struct route_pending {
    struct route_pending *next;
    struct route_item item;
    bool asked;        /* the question's own address: relaying wants a permission */
    unsigned depth;    /* lists it came through */
    unsigned rewrites; /* by virtual rows */
    uint32_t step;
    const struct chain *chain;
    struct slice owner, controller;
};

struct route_known {
    struct route_known *next;
    enum route_need_kind kind;
    struct slice key;
    struct route_fact fact;
};

/* --- the trace --- */

static uint32_t
note(struct route *r, uint32_t from, const char *table, struct slice key, const struct route_row *row)
{
    if (r->n_steps == r->room_steps) {
        size_t room = r->room_steps > 0 ? r->room_steps * 2 : 8;
        struct route_step *bigger = arena_array(r->arena, room, sizeof(*bigger));

        if (bigger == NULL)
            return from;
        if (r->n_steps > 0)
            memcpy(bigger, r->steps, r->n_steps * sizeof(*bigger));
        r->steps = bigger;
        r->room_steps = room;
    }
    r->steps[r->n_steps] = (struct route_step){table, key, {{0}}, from};
    if (row != NULL)
        r->steps[r->n_steps].row = *row;
    return (uint32_t)r->n_steps++;
}

/* --- dispositions --- */

/* "local@domain" and the like, in the arena */
static struct slice
join(struct route *r, struct slice a, const char *between, struct slice b)
{
    size_t n = a.n + strlen(between) + b.n, at = 0;
    uint8_t *p = arena_alloc(r->arena, n);

    if (p == NULL)
        return (struct slice){0};
    if (a.n > 0)
        memcpy(p, a.p, a.n);
    at = a.n;
    memcpy(p + at, between, strlen(between));
    at += strlen(between);
    if (b.n > 0)
        memcpy(p + at, b.p, b.n);
    return slice_from(p, n);
}

/* What makes two dispositions one (duplicates: mta.md 1.5b 4). Empty: errors are never merged. */
static struct slice
same_key(struct route *r, const struct route_to *to)
{
    switch (to->kind) {
    case ROUTE_MAILBOX:
        return join(r, join(r, SLICE("m"), "", to->name), "\n", to->detail);
    case ROUTE_RELAY:
        return join(r, join(r, SLICE("r"), "", to->local), "@", to->domain);
    case ROUTE_PROGRAM:
        return join(r, join(r, SLICE("p"), "", to->controller), "\n", to->text);
    case ROUTE_FILE:
        return join(r, join(r, SLICE("f"), "", to->controller), "\n", to->text);
    case ROUTE_INCLUDE:
        return join(r, SLICE("i"), "", to->text);
    case ROUTE_DISCARD:
        return SLICE("d");
    case ROUTE_ERROR:
        break;
    }
    return (struct slice){0};
}

/* Adds a copy of *given; it is dropped when the same is there. */
static void
send_to(struct route *r, const struct route_pending *p, uint32_t step, const struct route_to *given)
{
    struct route_to *to = arena_alloc(r->arena, sizeof(*to));
    struct slice key;

    if (to == NULL)
        return;
    *to = *given;
    to->local = p->item.local;
    to->domain = p->item.domain;
    to->owner = p->owner;
    to->step = step;
    key = same_key(r, to);
    if (key.n > 0) {
        enum status st = route_table_put(&r->sent, key, &(struct route_row){0});

        if (st == ST_EXISTS)
            (void)note(r, step, "duplicate", p->item.text, NULL);
        if (st != ST_OK)
            return;
    }
    *r->last = to;
    r->last = &to->next;
}

static void
send_error(struct route *r, const struct route_pending *p, uint32_t step, uint16_t code, const char *enhanced,
           struct slice text, enum status st)
{
    send_to(
        r, p, step,
        &(struct route_to){
            .kind = ROUTE_ERROR, .code = code, .enhanced = slice_of(enhanced), .text = text, .status = st});
}

/* A table or a fact that cannot be had now: never permanent. */
static void
send_later(struct route *r, const struct route_pending *p, uint32_t step, struct slice what, enum status st)
{
    send_error(r, p, step, 451, "4.3.0", join(r, what, "", SLICE(" cannot be read now")), st);
}

/* What an "error:" of a table says. */
static void
send_written(struct route *r, const struct route_pending *p, uint32_t step, struct slice value)
{
    struct route_error e;

    if (slice_eq_nocase(slice_trim(value), SLICE("discard"))) {
        send_to(r, p, step, &(struct route_to){.kind = ROUTE_DISCARD});
        return;
    }
    e = route_error_parse(value);
    send_to(r, p, step,
            &(struct route_to){.kind = ROUTE_ERROR, .code = e.code, .enhanced = e.enhanced, .text = e.text});
}

/* --- facts --- */

static const struct route_fact *
known(const struct route *r, enum route_need_kind kind, struct slice key)
{
    for (const struct route_known *k = r->known; k != NULL; k = k->next)
        if (k->kind == kind && slice_eq(k->key, key))
            return &k->fact;
    return NULL;
}

/* ST_MORE: it has to be asked first. */
static enum status
need(struct route *r, enum route_need_kind kind, struct slice key, struct slice controller,
     const struct route_fact **fact)
{
    *fact = known(r, kind, key);
    if (*fact != NULL)
        return ST_OK;
    if (arena_failed(r->arena))
        return ST_MEMORY;
    r->need = (struct route_need){kind, key, controller};
    return ST_MORE;
}

bool
route_tell(struct route *r, const struct route_fact *fact)
{
    struct route_known *k = arena_alloc(r->arena, sizeof(*k));

    if (k == NULL)
        return false;
    *k = (struct route_known){r->known, r->need.kind, r->need.key, *fact};
    k->fact.name = arena_copy(r->arena, fact->name);
    k->fact.detail = arena_copy(r->arena, fact->detail);
    k->fact.owner = arena_copy(r->arena, fact->owner);
    k->fact.text = arena_copy(r->arena, fact->text);
    r->known = k;
    return !arena_failed(r->arena);
}

/* --- tables --- */

enum status
route_table_find(const void *table, struct slice key, struct route_row *row)
{
    const struct route_row *found = route_table_get(table, key);

    if (found == NULL)
        return ST_NOTFOUND;
    *row = *found;
    return ST_OK;
}

static enum status
look(const struct route_map *map, struct slice key, struct route_row *row)
{
    return map->find != NULL ? map->find(map->self, key, row) : ST_NOTFOUND;
}

/* A domain, or one above it; *key is which. */
static const struct route_row *
covers(const struct route_table *set, struct slice domain, bool exact, struct slice *key)
{
    const struct route_row *row = route_table_get(set, domain);

    for (*key = domain; row == NULL && !exact && !slice_starts(*key, '[');) {
        size_t dot = slice_find(*key, '.');

        if (dot == key->n)
            break;
        *key = slice_skip(*key, dot + 1);
        row = route_table_get(set, *key);
    }
    return row;
}

static bool
in_network(const uint8_t ip[16], const struct route_network *net)
{
    unsigned whole = net->bits / 8, rest = net->bits % 8;

    if (memcmp(ip, net->ip, whole) != 0)
        return false;
    return rest == 0 || ((ip[whole] ^ net->ip[whole]) >> (8 - rest)) == 0;
}

bool
route_may_relay(const struct route_tables *t, const struct route_question *q, struct slice domain,
                struct route_step *step)
{
    const struct route_row *row;
    struct slice key;

    if (q->from == ROUTE_FROM_QUEUE || q->authenticated) {
        *step = (struct route_step){
            q->authenticated ? "authenticated" : "accepted", domain, {{0}}, ROUTE_NO_STEP};
        return true;
    }
    row = covers(t->relay, domain, t->relay_exact, &key);
    if (row != NULL) {
        *step = (struct route_step){"relay_domains", key, *row, ROUTE_NO_STEP};
        return true;
    }
    for (size_t i = 0; q->client != NULL && i < t->n_networks; i++) {
        if (!in_network(q->client, &t->networks[i]))
            continue;
        *step = (struct route_step){"relay_networks", t->networks[i].where.value, t->networks[i].where,
                                    ROUTE_NO_STEP};
        return true;
    }
    return false;
}

/* --- lists --- */

static struct route_pending *
child_of(struct route *r, const struct route_pending *p, uint32_t step)
{
    struct route_pending *child = arena_alloc(r->arena, sizeof(*child));

    if (child == NULL)
        return NULL;
    *child = (struct route_pending){.depth = p->depth + 1,
                                    .step = step,
                                    .chain = p->chain,
                                    .owner = p->owner,
                                    .controller = p->controller};
    return child;
}

/* Puts what a list has before all that waits, in its order. `like` is what the children have of their list.
 * Items that are none are errors of their own: the others get the mail. ST_OK, also for none: *n tells. */
static void
push_list(struct route *r, const struct route_pending *like, uint32_t step, const char *table,
          struct slice text, size_t *n)
{
    struct route_pending *first = NULL, **last = &first, *waiting = r->pending;
    struct route_forward lines = route_forward_of(text);
    enum status st;

    *n = 0;
    for (;;) {
        struct route_pending *child = child_of(r, like, step);
        struct err err = {0};

        if (child == NULL)
            return;
        st = route_forward_next(&lines, r->arena, &child->item, &err);
        if (st == ST_NOTFOUND || st == ST_MEMORY)
            break;
        ++*n;
        if (++r->addresses > ROUTE_ADDRESSES_MAX) {
            send_error(r, child, step, 554, "5.4.6",
                       SLICE("aliasing/forwarding loop broken: too many addresses"), ST_LIMIT);
            break;
        }
        if (st != ST_OK) {
            (void)note(r, step, table, arena_copy(r->arena, slice_of(err.text)), NULL);
            send_error(r, child, step, 553, "5.1.3", arena_copy(r->arena, slice_of(err.text)), ST_OK);
            continue;
        }
        *last = child;
        last = &child->next;
    }
    *last = waiting;
    r->pending = first != NULL ? first : waiting;
}

static bool
in_chain(const struct chain *c, struct slice name)
{
    for (; c != NULL; c = c->before)
        if (slice_eq(c->name, name))
            return true;
    return false;
}

/* What comes back to itself and is nobody's brings no mail, as in sendmail: the rest of the list gets it, and
 * when there is no rest, route_step says 554. */
static enum status
end_loop(struct route *r, const struct route_pending *p)
{
    (void)note(r, p->step, "loop", p->item.text, NULL);
    return ST_OK;
}

static const struct chain *
link_to(struct route *r, const struct route_pending *p, struct slice name)
{
    struct chain *c = arena_alloc(r->arena, sizeof(*c));

    if (c == NULL)
        return p->chain;
    *c = (struct chain){p->chain, name, p->item.local, p->item.domain};
    return c;
}

/* --- programs, files, lists --- */

static enum status
step_include(struct route *r, struct route_pending *p)
{
    struct route_pending like = *p;
    const struct route_fact *fact;
    enum status st;
    uint32_t step;
    size_t n;

    if (!r->question->files) {
        send_to(r, p, p->step,
                &(struct route_to){.kind = ROUTE_INCLUDE, .text = p->item.text, .controller = p->controller});
        return ST_OK;
    }
    /* A list that names itself, or two that name each other: the path is in the chain like an alias's name.
     */
    if (in_chain(p->chain, p->item.text))
        return end_loop(r, p);
    st = need(r, ROUTE_NEED_INCLUDE, p->item.text, p->controller, &fact);
    if (st != ST_OK)
        return st;
    step = note(r, p->step, ":include:", p->item.text, NULL);
    if (fact->status == ST_NOTFOUND || fact->status == ST_DENIED) {
        send_error(r, p, step, 550, "5.2.4", join(r, SLICE("Cannot open "), "", p->item.text), fact->status);
        return ST_OK;
    }
    if (fact->status != ST_OK) {
        send_error(r, p, step, 451, "4.2.4", join(r, SLICE("Cannot open "), "", p->item.text), fact->status);
        return ST_OK;
    }
    like.controller = fact->owner;
    like.chain = link_to(r, p, p->item.text);
    push_list(r, &like, step, ":include:", fact->text, &n);
    return ST_OK;
}

/* --- local users --- */

/* Keys of a local part in a table, best first: user+detail, user+*, user (mta.md 1.4d). */
#define LOCAL_KEYS 3u

static size_t
local_keys(struct route *r, struct slice folded, struct slice keys[LOCAL_KEYS])
{
    char mark = r->tables->detail_mark;
    size_t at = mark != 0 ? slice_find(folded, (uint8_t)mark) : folded.n, n = 0;

    keys[n++] = folded;
    if (at > 0 && at < folded.n) {
        keys[n++] = join(r, slice_sub(folded, 0, at + 1), "", SLICE("*"));
        keys[n++] = slice_sub(folded, 0, at);
    }
    return n;
}

/* A mailbox of the account in *fact. */
static void
send_mailbox(struct route *r, const struct route_pending *p, uint32_t step, struct slice key,
             const struct route_fact *fact)
{
    step = note(r, step, "account", key, NULL);
    if (fact->status == ST_QUOTA)
        send_error(r, p, step, 452, "4.2.2", SLICE("Mailbox full"), ST_QUOTA);
    else
        send_to(
            r, p, step,
            &(struct route_to){
                .kind = ROUTE_MAILBOX, .account = fact->account, .name = fact->name, .detail = fact->detail});
}

/* The account of a local part: user@its domain, then, where the domain shares the main one's users,
 * user@main. ST_OK: *fact is ST_OK, ST_QUOTA or a failure; ST_NOTFOUND: nobody's; ST_MORE, ST_MEMORY. */
static enum status
find_account(struct route *r, struct slice local, struct slice domain, bool shared, struct slice *key,
             const struct route_fact **fact)
{
    enum status st;

    *key = join(r, local, "@", domain);
    st = need(r, ROUTE_NEED_ACCOUNT, *key, (struct slice){0}, fact);
    if (st != ST_OK || (*fact)->status != ST_NOTFOUND)
        return st;
    if (!shared || slice_eq(domain, r->tables->domain))
        return ST_NOTFOUND;
    *key = join(r, local, "@", r->tables->domain);
    st = need(r, ROUTE_NEED_ACCOUNT, *key, (struct slice){0}, fact);
    return st == ST_OK && (*fact)->status == ST_NOTFOUND ? ST_NOTFOUND : st;
}

/* A loop ends at the member that is a real user: the address that came back first, then those it came
 * through. */
static enum status
break_loop(struct route *r, struct route_pending *p)
{
    struct slice local = p->item.local, domain = p->item.domain, key;
    const struct chain *c = p->chain;
    const struct route_fact *fact;

    for (;;) {
        enum status st = local.n > 0 ? find_account(r, route_fold(r->arena, local), domain, true, &key, &fact)
                                     : ST_NOTFOUND;

        if (st == ST_MORE || st == ST_MEMORY)
            return st;
        if (st == ST_OK && fact->status != ST_OK && fact->status != ST_QUOTA) {
            send_later(r, p, p->step, SLICE("The account"), fact->status);
            return ST_OK;
        }
        if (st == ST_OK) {
            send_mailbox(r, p, note(r, p->step, "itself", local, NULL), key, fact);
            return ST_OK;
        }
        if (c == NULL)
            break;
        local = c->local;
        domain = c->domain;
        c = c->before;
    }
    return end_loop(r, p);
}

/* owner-x of a list x; of owner-x and of x-request it is owner-owner (mta.md 1.5b 5). */
static struct slice
owner_of(struct route *r, struct slice name, struct slice before)
{
    static const char any[] = ",:/|\"";
    struct slice key =
        slice_has_prefix(name, SLICE("owner-")) || slice_has_suffix_nocase(name, SLICE("-request"))
            ? SLICE("owner-owner")
            : join(r, SLICE("owner-"), "", name);
    struct route_row row;
    struct slice value;

    if (look(&r->tables->aliases, key, &row) != ST_OK)
        return before;
    value = slice_trim(row.value);
    for (size_t i = 0; any[i] != '\0'; i++)
        if (slice_find(value, (uint8_t)any[i]) < value.n)
            value = key;
    (void)take_byte(&value, '\\');
    return slice_find(value, '@') < value.n ? value : join(r, value, "@", r->tables->domain);
}

static enum status
expand_alias(struct route *r, struct route_pending *p, struct slice key, const struct route_row *row)
{
    struct route_pending like = *p;
    uint32_t step;
    size_t n;

    if (in_chain(p->chain, key))
        return break_loop(r, p);
    step = note(r, p->step, r->tables->aliases.name, key, row);
    if (route_table_put(&r->met, key, &(struct route_row){0}) == ST_EXISTS) {
        (void)note(r, step, "duplicate", key, NULL);
        return ST_OK;
    }
    like.chain = link_to(r, p, key);
    like.owner = owner_of(r, key, p->owner);
    like.controller =
        (struct slice){0}; /* programs and files of the alias file have the default user's rights */
    push_list(r, &like, step, r->tables->aliases.name, row->value, &n);
    if (n == 0) /* the parser of the file refuses it; a map from elsewhere may have it */
        send_error(r, p, step, 451, "4.3.5", SLICE("An alias has no value"), ST_OK);
    return ST_OK;
}

static enum status
user_unknown(struct route *r, struct route_pending *p, struct slice key)
{
    struct slice all = r->tables->catch_all;
    uint32_t step;

    if (all.n == 0 || p->item.literal) {
        send_error(r, p, note(r, p->step, "no account", key, NULL), 550, "5.1.1", SLICE("User unknown"),
                   ST_NOTFOUND);
        return ST_OK;
    }
    step = note(r, p->step, "catch_all", key, &(struct route_row){.value = all});
    if (take_literal_nocase(&all, SLICE("error:"))) {
        send_written(r, p, step, all);
        return ST_OK;
    }
    if (in_chain(p->chain, SLICE("\ncatch_all"))) { /* it names nobody either */
        send_error(r, p, step, 550, "5.1.1", SLICE("User unknown"), ST_NOTFOUND);
        return ST_OK;
    }
    {
        struct route_pending like = *p;
        size_t n;

        like.chain = link_to(r, p, SLICE("\ncatch_all"));
        push_list(r, &like, step, "catch_all", all, &n);
    }
    return ST_OK;
}

/* The .forward of an account: ST_NOTFOUND when it has none, or an empty one. */
static enum status
forward(struct route *r, struct route_pending *p, struct slice key, const struct route_fact *account)
{
    struct route_pending like = *p;
    const struct route_fact *fact;
    enum status st;
    uint32_t step;
    size_t n = 0;

    if (!r->question->files || !account->forwards || p->item.literal || in_chain(p->chain, account->name))
        return ST_NOTFOUND; /* named by itself: its mailbox (mta.md 1.5c) */
    st = need(r, ROUTE_NEED_FORWARD, account->name, (struct slice){0}, &fact);
    if (st != ST_OK || fact->status == ST_NOTFOUND || fact->status == ST_DENIED)
        return st == ST_OK ? ST_NOTFOUND : st;
    if (fact->status != ST_OK) {
        send_error(r, p, p->step, 451, "4.2.4", join(r, SLICE("Cannot open .forward of "), "", account->name),
                   fact->status);
        return ST_OK;
    }
    step = note(r, p->step, "account", key, NULL);
    step = note(r, step, ".forward", account->name, &(struct route_row){.file = SLICE(".forward")});
    like.chain = link_to(r, p, account->name);
    like.controller = account->name;
    push_list(r, &like, step, ".forward", fact->text, &n);
    return n > 0 ? ST_OK : ST_NOTFOUND;
}

/* A user of ours. shared: the domain's users are the main one's, and aliases hold. */
static enum status
step_local(struct route *r, struct route_pending *p, bool shared)
{
    struct slice local = p->item.local, keys[LOCAL_KEYS], folded, key;
    const struct route_fact *fact;
    struct route_row row;
    enum status st;
    size_t n;

    /* Never a program or file by an address, whoever wrote it (mta.md 1.4a, 1.5b 6). */
    if (slice_starts(local, '|') || slice_starts(local, '/') ||
        slice_has_prefix_nocase(local, SLICE(":include:"))) {
        send_error(r, p, p->step, 550, "5.7.1", SLICE("Cannot mail directly to programs, files or lists"),
                   ST_OK);
        return ST_OK;
    }
    folded = route_fold(r->arena, local);
    n = shared && !p->item.literal ? local_keys(r, folded, keys) : 0;
    for (size_t i = 0; i < n; i++) {
        st = look(&r->tables->aliases, keys[i], &row);
        if (st == ST_OK)
            return expand_alias(r, p, keys[i], &row);
        if (st != ST_NOTFOUND) {
            send_later(r, p, p->step, slice_of(r->tables->aliases.name), st);
            return ST_OK;
        }
    }
    st = find_account(r, folded, p->item.domain, shared, &key, &fact);
    if (st == ST_NOTFOUND)
        return user_unknown(r, p, key);
    if (st != ST_OK)
        return st;
    if (fact->status != ST_OK && fact->status != ST_QUOTA) {
        send_later(r, p, p->step, SLICE("The account"), fact->status);
        return ST_OK;
    }
    st = forward(r, p, key, fact);
    if (st == ST_NOTFOUND) {
        send_mailbox(r, p, p->step, key, fact);
        st = ST_OK;
    }
    return st;
}

/* --- virtual rows --- */

/* %0 to %3 and %% (mta.md 1.4a). False: past a maximum. */
static bool
fill_in(struct buf *out, struct slice template, const struct slice args[4])
{
    while (template.n > 0) {
        struct slice rest = template;

        if (take_byte(&rest, '%') && rest.n > 0 &&
            (rest.p[0] == '%' || (rest.p[0] >= '0' && rest.p[0] <= '9'))) {
            if (rest.p[0] == '%')
                buf_putc(out, '%');
            else if (rest.p[0] < '4')
                buf_put(out, args[rest.p[0] - '0']);
            template = slice_skip(rest, 1);
            continue;
        }
        buf_putc(out, template.p[0]);
        template = slice_skip(template, 1);
    }
    return buf_ok(out);
}

#define VIRTUAL_KEYS 7u

/* The keys of user+detail@domain in their order, and what %0 to %3 are then. */
struct virtual_key {
    struct slice key, args[4];
};

static size_t
virtual_keys(struct route *r, struct slice local, struct slice domain, struct virtual_key keys[VIRTUAL_KEYS])
{
    char mark = r->tables->detail_mark;
    struct slice folded = route_fold(r->arena, local);
    size_t at = mark != 0 ? slice_find(local, (uint8_t)mark) : local.n, n = 0;
    struct slice user = slice_sub(local, 0, at), rest = slice_skip(local, at), detail = slice_skip(rest, 1);
    struct slice fuser = slice_sub(folded, 0, at), none = {0};

    keys[n++] = (struct virtual_key){
        join(r, folded, "@", domain), {none, local, none, none}
    };
    if (rest.n > 0) {
        const struct slice args[4] = {none, user, detail, rest};
        struct slice wild[] = {join(r, fuser, "++@", domain), join(r, fuser, "+*@", domain),
                               join(r, fuser, "@", domain), join(r, SLICE("++@"), "", domain),
                               join(r, SLICE("+*@"), "", domain)};

        for (size_t i = 0; i < COUNT(wild); i++) {
            if (detail.n == 0 && (i == 0 || i == 3)) /* "++" wants a detail */
                continue;
            keys[n].key = wild[i];
            memcpy(keys[n++].args, args, sizeof(args));
        }
    }
    keys[n++] = (struct virtual_key){
        join(r, SLICE("@"), "", domain), {none, user, detail, rest}
    };
    for (size_t i = 0; i < n; i++)
        keys[i].args[0] = keys[i].key;
    return n;
}

/* The address that a row gives: its two halves are filled in each for itself, so that nothing in the letter's
 * address moves the "@", opens a quote or names a program. */
static bool
virtual_address(struct route *r, struct slice value, const struct slice args[4], struct route_item *item)
{
    AUTO_BUF local = BUF_INIT(SMTP_LOCAL_MAX), domain = BUF_INIT(SMTP_DOMAIN_MAX);
    struct slice at = slice_trim(value), left, right;
    bool literal = take_byte(&at, '\\');

    left = take_until(&at, '@');
    right = slice_skip(at, 1);
    if (left.n == 0 && at.n > 0) /* "@other": the same user there */
        left = SLICE("%1%3");
    if (!fill_in(&local, left, args) || !fill_in(&domain, right, args) || local.n == 0)
        return false;
    if (right.n > 0 && !route_is_domain(buf_slice(&domain)))
        return false;
    if (memchr(local.p, ',', local.n) != NULL && slice_find(left, ',') < left.n)
        return false; /* one address, no list */
    *item = (struct route_item){.literal = literal,
                                .local = arena_copy(r->arena, buf_slice(&local)),
                                .domain = arena_copy(r->arena, buf_slice(&domain))};
    item->text = right.n > 0 ? join(r, item->local, "@", item->domain) : item->local;
    return true;
}

static enum status
apply_virtual(struct route *r, struct route_pending *p, const struct virtual_key *k,
              const struct route_row *row)
{
    uint32_t step = note(r, p->step, r->tables->virtuals.name, k->key, row);
    struct slice value = slice_trim(row->value);
    struct route_pending *child;

    if (take_literal_nocase(&value, SLICE("error:"))) {
        AUTO_BUF words = BUF_INIT(ROUTE_ITEM_MAX);

        if (fill_in(&words, value, k->args))
            value = arena_copy(r->arena, buf_slice(&words));
        send_written(r, p, step, value);
        return ST_OK;
    }
    if (p->rewrites >= ROUTE_VIRTUAL_MAX) {
        send_error(r, p, step, 554, "5.4.6", SLICE("virtual addresses lead in a circle"), ST_LIMIT);
        return ST_OK;
    }
    child = child_of(r, p, step);
    if (child == NULL)
        return ST_MEMORY;
    child->depth = p->depth; /* a rewriting is no list */
    child->rewrites = p->rewrites + 1;
    if (!virtual_address(r, value, k->args, &child->item)) {
        send_error(r, p, step, 451, "4.3.5", SLICE("A virtual row gives no address"), ST_SYNTAX);
        return ST_OK;
    }
    child->next = r->pending;
    r->pending = child;
    return ST_OK;
}

/* ST_NOTFOUND: no row; the address stays. */
static enum status
step_virtual(struct route *r, struct route_pending *p)
{
    struct virtual_key keys[VIRTUAL_KEYS];
    struct route_row row;
    size_t n;

    if (r->tables->virtuals.find == NULL || p->item.literal)
        return ST_NOTFOUND;
    n = virtual_keys(r, p->item.local, p->item.domain, keys);
    if (arena_failed(r->arena))
        return ST_MEMORY;
    for (size_t i = 0; i < n; i++) {
        enum status st = look(&r->tables->virtuals, keys[i].key, &row);
        struct slice whole = join(r, p->item.local, "@", p->item.domain);

        if (st == ST_NOTFOUND)
            continue;
        if (st != ST_OK) {
            send_later(r, p, p->step, slice_of(r->tables->virtuals.name), st);
            return ST_OK;
        }
        if (slice_eq_nocase(slice_trim(row.value), whole)) { /* "ann@d ann@d": an exception to "@d other" */
            p->step = note(r, p->step, r->tables->virtuals.name, keys[i].key, &row);
            return ST_NOTFOUND;
        }
        return apply_virtual(r, p, &keys[i], &row);
    }
    return ST_NOTFOUND;
}

/* --- other hosts --- */

static enum status
relay_by(struct route *r, struct route_pending *p, uint32_t step, struct slice hosts)
{
    struct route_hop hops[ROUTE_HOPS_MAX], *kept;
    enum status st = ST_OK;
    size_t n = 0;

    while (n < COUNT(hops) && (st = route_hop_next(&hosts, &hops[n])) == ST_OK)
        n++;
    if (st == ST_SYNTAX || n == 0 || (st == ST_OK && slice_trim(hosts).n > 0)) {
        send_error(r, p, step, 451, "4.3.5", SLICE("The route has no next host"), ST_SYNTAX);
        return ST_OK;
    }
    kept = arena_array(r->arena, n, sizeof(*kept));
    if (kept == NULL)
        return ST_MEMORY;
    memcpy(kept, hops, n * sizeof(*kept));
    send_to(r, p, step, &(struct route_to){.kind = ROUTE_RELAY, .hops = kept, .n_hops = n});
    return ST_OK;
}

/* "local:" and "local:user": a user of ours, whatever the address's domain. */
static enum status
route_local(struct route *r, struct route_pending *p, uint32_t step, struct slice user)
{
    struct route_pending here = *p;

    here.step = step;
    here.item.domain = r->tables->domain;
    if (user.n > 0)
        here.item.local = user;
    return step_local(r, &here, true);
}

static bool
is_mailer_byte(uint8_t c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '_' || c == '-';
}

/* A mailertable's right side, or a smart host. left: what %1 is. ST_NOTFOUND: it names no mailer: passed
 * over. any_word: a word that is no mailer is one all the same, and a mistake; else "localhost:2525" is a
 * host. */
static enum status
apply_route(struct route *r, struct route_pending *p, uint32_t step, struct slice value, struct slice left,
            bool any_word)
{
    static const char *const by_smtp[] = {"smtp", "esmtp", "smtp8", "dsmtp", "relay"};
    const struct slice args[4] = {left, left, {0}, {0}};
    AUTO_BUF filled = BUF_INIT(ROUTE_ITEM_MAX);
    struct slice at = slice_trim(value), mailer = take_while(&at, is_mailer_byte), rest;

    if (!take_byte(&at, ':'))
        return ST_NOTFOUND;
    if (!fill_in(&filled, slice_trim(at), args))
        return ST_NOTFOUND;
    rest = arena_copy(r->arena, buf_slice(&filled));
    if (slice_eq_nocase(mailer, SLICE("error"))) {
        send_written(r, p, step, rest);
        return ST_OK;
    }
    if (slice_eq_nocase(mailer, SLICE("discard"))) {
        send_to(r, p, step, &(struct route_to){.kind = ROUTE_DISCARD});
        return ST_OK;
    }
    if (slice_eq_nocase(mailer, SLICE("local")))
        return route_local(r, p, step, rest);
    for (size_t i = 0; i < COUNT(by_smtp); i++) {
        if (!slice_eq_nocase(mailer, slice_of(by_smtp[i])))
            continue;
        if (slice_find(rest, '@') < rest.n) { /* "mailer:user@host": to that user there */
            p->item.local = take_until(&rest, '@');
            rest = slice_skip(rest, 1);
            p->item.domain = rest;
        }
        return relay_by(r, p, step, rest);
    }
    if (!any_word)
        return ST_NOTFOUND;
    send_error(r, p, step, 451, "4.3.5", join(r, SLICE("There is no mailer "), "", mailer), ST_UNSUPPORTED);
    return ST_OK;
}

/* host; then .b.c, .c of a.b.c; then "." (mta.md 1.4b). ST_NOTFOUND: no row that says where. */
static enum status
step_mailertable(struct route *r, struct route_pending *p)
{
    struct slice domain = p->item.domain, key = domain, left = {0};
    struct route_row row;

    if (r->tables->mailers.find == NULL)
        return ST_NOTFOUND;
    for (;;) {
        enum status st = look(&r->tables->mailers, key, &row);
        size_t dot;

        if (st == ST_OK) {
            st = apply_route(r, p, note(r, p->step, r->tables->mailers.name, key, &row), row.value, left,
                             true);
            if (st != ST_NOTFOUND)
                return st;
        } else if (st != ST_NOTFOUND) {
            send_later(r, p, p->step, slice_of(r->tables->mailers.name), st);
            return ST_OK;
        }
        if (slice_eq(key, SLICE(".")))
            return ST_NOTFOUND;
        dot = slice_starts(domain, '[') ? domain.n : slice_find(slice_skip(key, 1), '.') + 1;
        key = dot < key.n ? slice_skip(key, dot) : SLICE(".");
        left = slice_eq(key, SLICE(".")) ? domain : slice_sub(domain, 0, domain.n - key.n);
    }
}

static enum status
step_remote(struct route *r, struct route_pending *p)
{
    struct slice smart = r->tables->smart_host;
    struct route_step why;
    enum status st;

    if (p->asked) {
        if (!route_may_relay(r->tables, r->question, p->item.domain, &why)) {
            send_error(r, p, note(r, p->step, "relay", p->item.domain, NULL), 550, "5.7.1",
                       SLICE("Relaying denied"), ST_DENIED);
            return ST_OK;
        }
        p->step = note(r, p->step, why.table, why.key, &why.row);
    }
    st = step_mailertable(r, p);
    if (st != ST_NOTFOUND)
        return st;
    if (smart.n > 0) {
        uint32_t step = note(r, p->step, "smart_host", p->item.domain, &(struct route_row){.value = smart});

        st = apply_route(r, p, step, smart, (struct slice){0}, false);
        return st == ST_NOTFOUND ? relay_by(r, p, step, smart) : st;
    }
    send_to(r, p,
            note(r, p->step, slice_starts(p->item.domain, '[') ? "literal" : "mx", p->item.domain, NULL),
            &(struct route_to){.kind = ROUTE_RELAY});
    return ST_OK;
}

/* --- one address --- */

/* FEATURE(redirect): user@host.REDIRECT has moved. */
static bool
moved(struct route *r, struct route_pending *p)
{
    struct slice domain = p->item.domain, old;

    if (!slice_has_suffix_nocase(domain, SLICE(".redirect")))
        return false;
    old = slice_sub(domain, 0, domain.n - strlen(".redirect"));
    send_error(r, p, note(r, p->step, "redirect", domain, NULL), 551, "5.1.1",
               join(r, join(r, SLICE("User has moved; please try <"), "", join(r, p->item.local, "@", old)),
                    "", SLICE(">")),
               ST_OK);
    return true;
}

static enum status
step_address(struct route *r, struct route_pending *p)
{
    const struct route_tables *t = r->tables;
    struct slice domain = p->item.domain;
    bool local, virtual, written = domain.n > 0;
    const struct route_row *row;
    enum status st;

    if (domain.n > 0 && domain.p[domain.n - 1] == '.')
        domain.n--;
    p->item.domain = domain = domain.n > 0 ? route_fold(r->arena, domain) : t->domain;
    if (arena_failed(r->arena))
        return ST_MEMORY;
    row = route_table_get(t->local, domain);
    local = row != NULL || slice_eq(domain, t->domain);
    virtual = !local && (row = route_table_get(t->virtual_domains, domain)) != NULL;
    if (local || virtual) {
        p->step = note(r, p->step, local ? "local_domains" : "virtual_domains", domain, row);
        st = written ? step_virtual(r, p) : ST_NOTFOUND; /* "user" alone is a user of ours */
        return st == ST_NOTFOUND ? step_local(r, p, local) : st;
    }
    if (moved(r, p))
        return ST_OK;
    return step_remote(r, p);
}

static enum status
step_item(struct route *r, struct route_pending *p)
{
    if (p->depth > ROUTE_DEPTH_MAX) {
        AUTO_BUF words = BUF_INIT(128);

        buf_printf(&words, "aliasing/forwarding loop broken (%u aliases deep; %u max)", p->depth,
                   ROUTE_DEPTH_MAX);
        send_error(r, p, p->step, 554, "5.4.6", arena_copy(r->arena, buf_slice(&words)), ST_LIMIT);
        return ST_OK;
    }
    switch (p->item.kind) {
    case ROUTE_ITEM_PROGRAM:
        send_to(r, p, p->step,
                &(struct route_to){.kind = ROUTE_PROGRAM, .text = p->item.text, .controller = p->controller});
        return ST_OK;
    case ROUTE_ITEM_FILE:
        send_to(r, p, p->step,
                &(struct route_to){.kind = ROUTE_FILE, .text = p->item.text, .controller = p->controller});
        return ST_OK;
    case ROUTE_ITEM_INCLUDE:
        return step_include(r, p);
    case ROUTE_ITEM_ADDRESS:
        break;
    }
    return step_address(r, p);
}

void
route_begin(struct route *r, const struct route_tables *tables, const struct route_question *question,
            struct arena *arena)
{
    struct route_pending *p = arena_alloc(arena, sizeof(*p));

    *r = (struct route){.tables = tables,
                        .question = question,
                        .arena = arena,
                        .met = ROUTE_TABLE(arena),
                        .sent = ROUTE_TABLE(arena),
                        .pending = p};
    r->last = &r->first;
    if (p == NULL)
        return;
    *p = (struct route_pending){.asked = true, .step = ROUTE_NO_STEP};
    p->item.local = question->local;
    p->item.domain = question->domain;
    p->item.text = question->local;
}

enum status
route_step(struct route *r)
{
    while (r->pending != NULL && !arena_failed(r->arena)) {
        /* An address is decided as a whole: when a fact is missing, nothing of it has happened, and it begins
         * anew. */
        struct route_pending *p = r->pending, again = *p;
        size_t n_steps = r->n_steps;
        enum status st;

        r->pending = p->next;
        st = step_item(r, p);
        if (st == ST_MORE) {
            *p = again;
            r->pending = p;
            r->n_steps = n_steps;
        }
        if (st != ST_OK)
            return st;
        r->known = NULL; /* the next address has other questions */
    }
    if (arena_failed(r->arena))
        return ST_MEMORY;
    if (r->first == NULL) { /* a list of nothing but duplicates of itself */
        struct route_pending whole = {.item.local = r->question->local, .item.domain = r->question->domain};

        send_error(r, &whole, ROUTE_NO_STEP, 554, "5.4.6", SLICE("aliasing/forwarding loop broken"),
                   ST_LIMIT);
    }
    return arena_failed(r->arena) ? ST_MEMORY : ST_OK;
}
