/*
 * stored: the mail. The only program that opens the log and the index. Everything is asked of it by messages
 * (lib/store/request.h): what changes mail goes to commit.h, what is only read to readers.h.
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/tables.h"
#include "ipc/program.h"
#include "mime/nfc.h"
#include "store/commit.h"
#include "store/handles.h"
#include "store/offline.h"
#include "store/readers.h"
#include "store/side.h"
#include "store/start.h"
#include "store/bugs.h"
#include "store/upkeep.h"
#include "sys/log.h"

#define MAPPED_FROM    (2 * 1024 * 1024) /* a page of rows (PAGE_BYTES) and its answer are smaller */
#define HEAP_KEPT      (4 * 1024 * 1024)
#define ARENAS         2
#define TELLERS        64u /* peers whose `coming` is remembered */
#define DOMAINS_MAX    100000u
#define REQUESTS_EVERY SECONDS(5)
#define UNREAPED_MOST  (1u << 20) /* bytes; what is more waits for the next start */
#define RECIPIENT_MAX  600u

struct teller {
    uint16_t role;
    uint32_t instance;
    uint32_t coming;
    bool used;
};

static struct {
    struct store_settings settings;
    struct buf text; /* that the settings point into */
    struct store_files files;
    struct commit *commit;
    struct readers *readers;
    struct readers *side_writers; /* apart: what waits for a slow disk to take a large body must not keep readers */
    struct upkeep *upkeep;
    struct teller tellers[TELLERS];
    struct buf domains; /* packed msg_name, those of accounts */
    struct timer requests;
    struct buf unreaped; /* packed le64 account, le64 mailbox: removals that a failing disk refused */
    bool queue_watched; /* queued has listed since it was told of new entries */
    bool stopping;
} self;

/* --- work --- */

/* What a request needs until it is answered. */
struct asked {
    struct ipc_sender from;
    uint64_t credit; /* to be given back */
    uint64_t side;   /* that this request has taken; 0: none */
};

static struct work *
new_work(uint16_t type, uint64_t account, struct slice payload, const struct ipc_sender *from)
{
    struct work *w = calloc(1, sizeof(*w) + payload.n);
    struct asked *asked = from != NULL ? calloc(1, sizeof(*asked)) : NULL;

    if (w == NULL || (from != NULL && asked == NULL)) {
        free(w);
        return NULL;
    }
    w->type = type;
    w->account = account;
    w->reply = BUF_INIT(IPC_PAYLOAD_MAX);
    w->touched = BUF_INIT(1u << 20);
    w->n = payload.n;
    if (payload.n > 0)
        memcpy(w->payload, payload.p, payload.n);
    if (from != NULL) {
        asked->from = *from;
        w->role = from->role;
        w->instance = from->instance;
        w->owner = asked;
    }
    return w;
}

static void
free_work(struct work *w)
{
    buf_done(&w->reply);
    buf_done(&w->touched);
    free(w->owner);
    free(w);
}

static void
answer(const struct ipc_sender *to, enum status st)
{
    ipc_answer(*to, st, (struct slice){0});
}

/* Queues a request; without memory it is refused. */
static enum status
ask(const struct ipc_request *request, uint64_t account)
{
    struct work *w = new_work(request->from.type, account, request->payload, &request->from);

    if (w == NULL || self.stopping) {
        if (w != NULL)
            free_work(w);
        answer(&request->from, ST_UNAVAILABLE);
        return ST_OK;
    }
    commit_ask(self.commit, w);
    return ST_OK;
}

/* --- credit: bytes that may be on their way to us --- */

static void
grant(const struct channel *known, enum role role, uint32_t instance, uint64_t n)
{
    struct channel *ch = program_peer(role, instance);
    uint8_t bytes[8];
    struct buf m = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};

    if (ch == NULL || n == 0 || (known != NULL && ch != known))
        return;
    msg_id_put(&m, &(struct msg_id){n});
    (void)ipc_send(ch, (enum msg)MSG_CREDIT, buf_slice(&m), -1);
}

/* What a channel begins with: half for the world, a quarter each for users' submissions and appends. */
static void
grant_first(enum role role, uint32_t instance)
{
    if (role == ROLE_SMTP)
        grant(NULL, role, instance, self.settings.unflushed / 2);
    else if (role == ROLE_SUBMIT || role == ROLE_IMAP)
        grant(NULL, role, instance, self.settings.unflushed / 4);
}

/* --- hints --- */

static void
hint(void *arg, const struct handle *h)
{
    const struct touch *t = arg;
    struct channel *ch = program_peer((enum role)h->role, h->instance);
    uint8_t bytes[24];
    struct buf m = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};

    if (ch == NULL)
        return;
    hint_put(&m, &(struct hint){h->id, t->mailbox, t->modseq});
    (void)ipc_send(ch, (enum msg)MSG_HINT, buf_slice(&m), -1);
}

/* Once, until queued looks. */
static void
queue_hint(void)
{
    struct channel *ch = program_peer(ROLE_QUEUE, 0);

    if (ch != NULL && self.queue_watched)
        self.queue_watched = ipc_send(ch, (enum msg)MSG_QUEUE_NEW, (struct slice){0}, -1) != ST_OK;
}

static void
send_hints(struct slice touched)
{
    while (touched.n >= sizeof(struct touch)) {
        struct touch t;

        memcpy(&t, touched.p, sizeof(t));
        if (t.account == 0)
            queue_hint();
        else
            handles_watching(t.account, t.mailbox, hint, &t);
        touched = slice_skip(touched, sizeof(t));
    }
}

/* --- removal in the background --- */

static void
reap(void *arg, uint64_t account, uint64_t mailbox)
{
    struct work *w = new_work(WORK_REAP, account, (struct slice){0}, NULL);

    if (w == NULL)
        return; /* the next start finds it */
    w->mailbox = mailbox;
    commit_ask(self.commit, w);
}

static void
reaped(const struct work *w)
{
    if (w->status == ST_UNAVAILABLE || w->status == ST_NOSPACE) {
        buf_put_le64(&self.unreaped, w->account);
        buf_put_le64(&self.unreaped, w->mailbox);
    } else if (w->status != ST_OK)
        log_at(LOG_LEVEL_ERR, "removing mailbox %llu of account %llu: %s", (unsigned long long)w->mailbox,
               (unsigned long long)w->account, status_text(w->status));
}

static void
reap_again(void)
{
    AUTO_BUF all = self.unreaped;
    struct slice at = buf_slice(&all);
    uint64_t account, mailbox;

    self.unreaped = BUF_INIT(UNREAPED_MOST);
    while (take_le64(&at, &account) && take_le64(&at, &mailbox))
        reap(NULL, account, mailbox);
}

static void
on_requests(struct timer *t)
{
    struct work *w = new_work(WORK_FORGET_REQUESTS, 0, (struct slice){0}, NULL);

    if (w != NULL)
        commit_ask(self.commit, w);
    reap_again();
    loop_timer(program_loop(), t, loop_now(program_loop()) + REQUESTS_EVERY);
}

/* --- domains that have accounts --- */

static bool
domain_known(struct slice domain)
{
    struct slice list = buf_slice(&self.domains);
    struct msg_name m;

    if (slice_eq_nocase(domain, self.settings.domain))
        return true;
    while (msg_name_take(&list, &m))
        if (slice_eq_nocase(m.name, domain))
            return true;
    return false;
}

static void
learn_domain(void *arg, struct slice domain)
{
    if (!domain_known(domain))
        msg_name_put(&self.domains, &(struct msg_name){domain});
}

/* --- the end of a request --- */

static bool
purges(struct slice payload)
{
    struct account_delete m;

    return account_delete_get(payload, &m) && m.purge;
}

static void
finished(const struct work *w, struct asked *a)
{
    struct account_add add;
    struct slice payload = slice_from(w->payload, w->n);

    switch (w->type) {
    case MSG_ACCOUNT_ADD:
        if (account_add_get(payload, &add))
            learn_domain(NULL, slice_skip(add.name, slice_find(add.name, '@') + 1));
        break;
    case MSG_ACCOUNT_DELETE:
        handles_of_account_close(w->account);
        if (purges(payload))
            upkeep_purge(self.upkeep, a->from, w->account);
        else
            reap(NULL, w->account, 0);
        break;
    case MSG_MAILBOX_DELETE:
        reap(NULL, w->account, w->mailbox);
        break;
    default:
        break;
    }
}

/* An expunge tells its runs, which came one uid each, slice by slice. */
static void
answer_expunge(const struct ipc_sender *to, struct slice runs)
{
    AUTO_BUF joined = BUF_INIT(IPC_PAYLOAD_MAX), reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct uid_run run, last = {0, 0};

    while (uid_run_take(&runs, &run)) {
        if (last.last != 0 && run.first == last.last + 1) {
            last.last = run.last;
            continue;
        }
        if (last.last != 0)
            uid_run_put(&joined, &last);
        last = run;
    }
    if (last.last != 0)
        uid_run_put(&joined, &last);
    msg_bytes_put(&reply, &(struct msg_bytes){buf_slice(&joined)});
    ipc_answer(*to, buf_ok(&joined) && buf_ok(&reply) ? ST_OK : ST_LIMIT, buf_slice(&reply));
}

static void
on_done(struct work *w)
{
    struct asked *a = w->owner;

    if (w->type == WORK_RECORD) {
        upkeep_done(w);
        return;
    }
    if (w->status == ST_OK && w->touched.n > 0)
        send_hints(buf_slice(&w->touched));
    if (a == NULL) {
        if (w->type == WORK_REAP)
            reaped(w);
        free_work(w);
        return;
    }
    if (a->side != 0)
        side_end(a->side, &a->from, w->status == ST_OK && w->recorded);
    if (w->status == ST_OK)
        finished(w, a);
    if (w->status != ST_OK)
        answer(&a->from, w->status);
    else if (w->type == MSG_ACCOUNT_DELETE && purges(slice_from(w->payload, w->n)))
        ; /* upkeep answers when nothing is left */
    else if (w->type == MSG_EXPUNGE)
        answer_expunge(&a->from, buf_slice(&w->reply));
    else
        ipc_answer(a->from, ST_OK, buf_slice(&w->reply));
    if (w->status != ST_CLOSED)
        grant(NULL, (enum role)a->from.role, a->from.instance, a->credit);
    free_work(w);
}

/* --- recipients --- */

static void
answer_found(const struct ipc_sender *to, uint64_t account, struct slice name, struct slice detail,
             uint64_t size)
{
    uint8_t bytes[2 * RECIPIENT_MAX + 32];
    struct buf reply = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
    enum status st = judge_room(commit_judge(self.commit), account, size);

    if (st == ST_OK)
        rcpt_found_put(&reply, &(struct rcpt_found){account, name, detail});
    ipc_answer(*to, st, buf_slice(&reply));
}

/* First the address as it is, then without its "+detail" (RFC 5233). */
static enum status
on_rcpt_check(struct ipc_request *request)
{
    struct rcpt_check m;
    uint8_t bytes[RECIPIENT_MAX], composed[RECIPIENT_MAX];
    struct buf name = BUF_FIXED(bytes), whole = BUF_FIXED(composed);
    struct slice local, detail = {0}, domain;
    size_t at, plus;
    uint64_t account;
    enum status st;

    if (!rcpt_check_get(request->payload, &m))
        return ST_SYNTAX;
    if (self.stopping) {
        answer(&request->from, ST_UNAVAILABLE);
        return ST_OK;
    }
    if (!mime_put_nfc(m.mailbox, &whole)) { /* the accounts' names are in this form: ctl/user.c */
        answer(&request->from, ST_NOTFOUND);
        return ST_OK;
    }
    m.mailbox = buf_slice(&whole);
    for (at = m.mailbox.n; at > 0 && m.mailbox.p[at - 1] != '@';)
        at--;
    domain = at > 0 ? slice_skip(m.mailbox, at) : self.settings.domain;
    local = at > 0 ? slice_sub(m.mailbox, 0, at - 1) : m.mailbox;
    plus = slice_find(local, '+');
    for (int step = 0;; step++) {
        buf_clear(&name);
        for (size_t i = 0; i < local.n; i++)
            buf_putc(&name, ascii_lower(local.p[i]));
        buf_putc(&name, '@');
        for (size_t i = 0; i < domain.n; i++)
            buf_putc(&name, ascii_lower(domain.p[i]));
        st = buf_ok(&name) ? judge_account_named(commit_judge(self.commit), buf_slice(&name), &account)
                           : ST_NOTFOUND;
        if (st != ST_NOTFOUND || step == 1 || plus == 0 || plus >= local.n)
            break;
        detail = slice_skip(local, plus + 1);
        local = slice_sub(local, 0, plus);
    }
    if (st == ST_OK)
        answer_found(&request->from, account, buf_slice(&name), detail, m.size);
    else
        answer(&request->from, st == ST_NOTFOUND && !domain_known(domain) ? ST_DENIED : st);
    return ST_OK;
}

/* --- bodies --- */

static uint64_t
chunks_of(uint64_t n)
{
    return (n + SHM_CHUNK - 1) / SHM_CHUNK;
}

/* A small body's chunks, `wanted` of them, or a side body of this sender. */
static enum status
attach_body(struct work *w, const struct ipc_request *request, struct slice prefix, struct slice chunks,
            uint64_t wanted, uint64_t n, uint64_t side)
{
    w->body = (struct judge_body){.prefix = prefix.n, .n = n, .side = side != 0};
    if (side != 0) { /* after a restart of ours it is gone, but its record may be there */
        w->body.gone = side_take(side, &request->from, n, &w->body.place, &w->body.sum) != ST_OK;
        if (!w->body.gone)
            ((struct asked *)w->owner)->side = side;
        return ST_OK;
    }
    w->in = channel_in(request->channel);
    w->chunks = chunks;
    ((struct asked *)w->owner)->credit = n;
    return n <= STORE_BODY_INLINE && wanted <= STORE_BODY_INLINE / SHM_CHUNK && (n == 0 || w->in != NULL) &&
                   chunks.n == wanted * 4
               ? ST_OK
               : ST_SYNTAX;
}

static void
told_coming(const struct ipc_sender *from, uint32_t coming)
{
    struct teller *free_one = NULL;

    for (size_t i = 0; i < TELLERS; i++) {
        struct teller *t = &self.tellers[i];

        if (t->used && t->role == from->role && t->instance == from->instance) {
            t->coming = coming;
            return;
        }
        if (!t->used && free_one == NULL)
            free_one = t;
    }
    if (free_one != NULL)
        *free_one = (struct teller){from->role, from->instance, coming, true};
}

static uint32_t
coming(void)
{
    uint32_t n = 0;

    for (size_t i = 0; i < TELLERS; i++)
        n += self.tellers[i].used ? self.tellers[i].coming : 0;
    return n;
}

/* Queues a request with a body, after `st` says that the body is right. */
static enum status
ask_with_body(struct work *w, const struct ipc_request *request, enum status st)
{
    if (st == ST_OK && !self.stopping) {
        commit_ask(self.commit, w);
        return ST_OK;
    }
    if (st != ST_SYNTAX)
        answer(&request->from, st == ST_OK ? ST_UNAVAILABLE : st);
    grant(request->channel, (enum role)request->from.role, request->from.instance,
          ((struct asked *)w->owner)->credit);
    if (((struct asked *)w->owner)->side != 0)
        side_end(((struct asked *)w->owner)->side, &request->from, false);
    free_work(w);
    return st == ST_SYNTAX ? ST_SYNTAX : ST_OK;
}

static enum status
on_deliver(struct ipc_request *request)
{
    struct deliver m;
    struct work *w;
    enum status st;

    if (!deliver_get(request->payload, &m) || m.request.n != 16 || m.prefix.n > STORE_BODY_INLINE ||
        (m.settled.n > 0 && request->from.role != ROLE_QUEUE))
        return ST_SYNTAX;
    told_coming(&request->from, m.coming);
    w = new_work(MSG_DELIVER, 0, request->payload, &request->from);
    if (w == NULL) {
        answer(&request->from, ST_UNAVAILABLE);
        return ST_OK;
    }
    if (!deliver_get(slice_from(w->payload, w->n), &m)) /* now of its own bytes */
        abort();
    st = attach_body(w, request, m.prefix, m.chunks, chunks_of(m.n), m.n, m.side);
    return ask_with_body(w, request, st);
}

/* --- handles --- */

static enum status
on_handle_open(struct ipc_request *request)
{
    struct handle_open m;
    uint64_t account, id = 0;
    uint8_t bytes[8];
    struct buf reply = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};
    enum status st;

    if (!handle_open_get(request->payload, &m) || (m.role != ROLE_IMAP && m.role != ROLE_POP3))
        return ST_SYNTAX;
    st = self.stopping ? ST_UNAVAILABLE : judge_account_named(commit_judge(self.commit), m.name, &account);
    if (st == ST_OK)
        st = handle_new(account, m.role, m.instance, m.conn, m.rights, &id);
    if (st == ST_OK)
        msg_id_put(&reply, &(struct msg_id){id});
    ipc_answer(request->from, st, buf_slice(&reply));
    return ST_OK;
}

static enum status
on_handle_close(struct ipc_request *request)
{
    struct msg_id m;
    struct handle *h;

    if (!msg_id_get(request->payload, &m))
        return ST_SYNTAX;
    h = handle_find(m.id, &request->from);
    if (h != NULL)
        handle_close(h);
    return ST_OK;
}

/* The handle that a session's request begins with, if it may do this. */
static struct handle *
handle_of(const struct ipc_request *request, uint32_t right)
{
    struct slice at = request->payload;
    struct handle *h;
    uint64_t id;

    if (self.stopping) {
        answer(&request->from, ST_UNAVAILABLE);
        return NULL;
    }
    if (!take_le64(&at, &id) || (h = handle_find(id, &request->from)) == NULL) {
        answer(&request->from, ST_STALE);
        return NULL;
    }
    if ((h->rights & right) != right) {
        answer(&request->from, ST_DENIED);
        return NULL;
    }
    return h;
}

static enum status
on_read(struct ipc_request *request)
{
    const struct handle *h = handle_of(request, RIGHT_READ);

    if (h != NULL)
        readers_ask(self.readers, request->from, h->account, request->payload);
    return ST_OK;
}

static enum status
on_write(struct ipc_request *request)
{
    const struct handle *h = handle_of(request, RIGHT_WRITE);

    return h != NULL ? ask(request, h->account) : ST_OK;
}

/* Are they as many bytes as was said? *chunks: that they take. */
static bool
messages_fit(const struct append *m, uint64_t *chunks)
{
    struct slice list = m->messages;
    struct append_message one;
    uint64_t n = 0;
    uint32_t count = 0;

    *chunks = 0;
    for (; list.n > 0; count++) {
        if (count == STORE_APPEND_MAX || !append_message_take(&list, &one) || one.n > STORE_SIDE_MAX - n)
            return false;
        n += one.n;
        *chunks += chunks_of(one.n);
    }
    return count > 0 && n == m->n;
}

/* The list of a long append, which came in chunks, into the request itself: whoever judges it finds it there. */
static enum status
list_inline(const struct ipc_request *request, const struct append *m, struct buf *list, struct buf *whole)
{
    const struct shm *in = channel_in(request->channel);
    struct append all = *m;
    uint8_t *to;

    if (m->messages.n > 0 || m->list_n > STORE_APPEND_LIST || in == NULL)
        return ST_SYNTAX;
    to = buf_reserve(list, m->list_n);
    if (to == NULL)
        return ST_MEMORY;
    if (shm_read(in, m->list, m->list_n, to) != ST_OK)
        return ST_SYNTAX;
    list->n = m->list_n;
    all.messages = buf_slice(list);
    all.list = (struct slice){0};
    all.list_n = 0;
    append_put(whole, &all);
    return buf_ok(whole) ? ST_OK : ST_MEMORY;
}

static enum status
on_append(struct ipc_request *request)
{
    AUTO_BUF list = BUF_INIT(STORE_APPEND_LIST), whole = BUF_INIT(STORE_APPEND_LIST + IPC_INLINE);
    struct slice payload = request->payload;
    const struct handle *h;
    struct append m;
    struct work *w;
    uint64_t chunks;
    enum status st;

    if (!append_get(payload, &m) || m.request.n != 16)
        return ST_SYNTAX;
    told_coming(&request->from, m.coming);
    h = handle_of(request, RIGHT_WRITE);
    if (h == NULL)
        return ST_OK;
    st = m.list_n > 0 ? list_inline(request, &m, &list, &whole) : ST_OK;
    if (st == ST_SYNTAX)
        return st;
    if (m.list_n > 0)
        payload = buf_slice(&whole);
    w = st == ST_OK ? new_work(MSG_APPEND, h->account, payload, &request->from) : NULL;
    if (w == NULL) {
        answer(&request->from, ST_UNAVAILABLE);
        return ST_OK;
    }
    if (!append_get(slice_from(w->payload, w->n), &m))
        abort();
    if (messages_fit(&m, &chunks))
        st = attach_body(w, request, (struct slice){0}, m.chunks, chunks, m.n, m.side);
    else
        st = ST_SYNTAX;
    return ask_with_body(w, request, st);
}

static enum status
on_watch(struct ipc_request *request)
{
    struct handle *h;
    struct mailbox_ref m;

    if (!mailbox_ref_get(request->payload, &m))
        return ST_SYNTAX;
    h = handle_of(request, RIGHT_READ);
    if (h == NULL)
        return ST_OK;
    if (request->from.type == MSG_WATCH) {
        answer(&request->from, handle_watch(h, m.mailbox));
        return ST_OK;
    }
    handle_unwatch(h, m.mailbox);
    answer(&request->from, ST_OK);
    return ST_OK;
}

/* --- administrators --- */

static enum status
on_admin_write(struct ipc_request *request)
{
    return ask(request, 0);
}

static enum status
on_admin_read(struct ipc_request *request)
{
    if (self.stopping)
        answer(&request->from, ST_UNAVAILABLE);
    else
        readers_ask(self.readers, request->from, 0, request->payload);
    return ST_OK;
}

/* --- the queue --- */

/* What is committed after this moment is told by a hint; what was before, by the list that is asked for now. */
static enum status
on_queue_list(struct ipc_request *request)
{
    self.queue_watched = true;
    return on_admin_read(request);
}

static enum status
on_upkeep(struct ipc_request *request)
{
    if (self.stopping)
        answer(&request->from, ST_UNAVAILABLE);
    else
        upkeep_ask(self.upkeep, request->from, request->payload);
    return ST_OK;
}

#define DELIVERERS (ROLE_BIT(SMTP) | ROLE_BIT(SUBMIT) | ROLE_BIT(QUEUE))
#define SENDERS    (DELIVERERS | ROLE_BIT(IMAP))
#define SESSIONS   (ROLE_BIT(IMAP) | ROLE_BIT(POP3)) /* what pop3d asks; it makes, moves and flags nothing */

static const struct ipc_route routes[] = {
    {MSG_RCPT_CHECK,     DELIVERERS | ROLE_BIT(CTL), on_rcpt_check, false},
    {MSG_DELIVER,     DELIVERERS, on_deliver, false},
    {MSG_SIDE_BEGIN,                  SENDERS, on_side_begin, false},
    {MSG_SIDE_DATA,    SENDERS, on_side_data, false},
    {MSG_SIDE_DROP,             SENDERS, on_side_drop, false},
    {MSG_HANDLE_OPEN,     ROLE_BIT(AUTH), on_handle_open, false},
    {MSG_HANDLE_CLOSE,     SESSIONS, on_handle_close, false},
    {MSG_MAILBOXES,                  SESSIONS, on_read, false},
    {MSG_MAILBOX_STATUS,        SESSIONS, on_read, false},
    {MSG_SUBSCRIPTIONS,             ROLE_BIT(IMAP), on_read, false},
    {MSG_KEYWORDS,      ROLE_BIT(IMAP), on_read, false},
    {MSG_MESSAGES,      SESSIONS, on_read, false},
    {MSG_CHANGES,                  ROLE_BIT(IMAP), on_read, false},
    {MSG_DIGESTS,ROLE_BIT(IMAP), on_read, false},
    {MSG_BODY_READ,             SESSIONS, on_read, false},
    {MSG_HEADS,                      ROLE_BIT(IMAP), on_read, false},
    {MSG_MAILBOX_CREATE,   ROLE_BIT(IMAP), on_write, false},
    {MSG_MAILBOX_DELETE,   ROLE_BIT(IMAP), on_write, false},
    {MSG_MAILBOX_RENAME,                  ROLE_BIT(IMAP), on_write, false},
    {MSG_MAILBOX_SUBSCRIBE,ROLE_BIT(IMAP), on_write, false},
    {MSG_APPEND,             ROLE_BIT(IMAP), on_append, false},
    {MSG_FLAGS, ROLE_BIT(IMAP), on_write, false},
    {MSG_COPY,           ROLE_BIT(IMAP), on_write, false},
    {MSG_EXPUNGE,                  SESSIONS, on_write, false},
    {MSG_RECENT, ROLE_BIT(IMAP), on_write, false},
    {MSG_WATCH,ROLE_BIT(IMAP), on_watch, false},
    {MSG_UNWATCH,             ROLE_BIT(IMAP), on_watch, false},
    {MSG_ACCOUNT_ADD,       ROLE_BIT(CTL), on_admin_write, false},
    {MSG_ACCOUNT_DELETE,           ROLE_BIT(CTL), on_admin_write, false},
    {MSG_ACCOUNT_QUOTA,                  ROLE_BIT(CTL), on_admin_write, false},
    {MSG_ACCOUNTS,     ROLE_BIT(CTL), on_admin_read, false},
    {MSG_ADMIN_MAILBOXES,             ROLE_BIT(CTL), on_admin_read, false},
    {MSG_STORE_DUMP,        ROLE_BIT(CTL), on_admin_read, false},
    {MSG_STORE_CHECK,       ROLE_BIT(CTL), on_upkeep, false},
    {MSG_STORE_COMPACT,     ROLE_BIT(CTL), on_upkeep, false},
    {MSG_STORE_BACKUP,      ROLE_BIT(CTL), on_upkeep, false},
    {MSG_QUEUE_OPEN,     ROLE_BIT(QUEUE), on_admin_write, false},
    {MSG_QUEUE_LIST,     ROLE_BIT(QUEUE), on_queue_list, false},
    {MSG_QUEUE_READ,     ROLE_BIT(QUEUE), on_admin_read, false},
    {MSG_QUEUE_SETTLE,     ROLE_BIT(QUEUE), on_admin_write, false},
    {0          },
};

/* --- the program --- */

static enum status
load(struct slice text, struct err *err)
{
    struct store_settings got;
    struct buf copy = BUF_INIT(CONF_TEXT_MAX);
    enum status st;

    buf_put(&copy, text);
    st = buf_ok(&copy) ? conf_load(&store_conf, "estafeta.conf", buf_slice(&copy), &got, sizeof(got), err)
                       : ST_MEMORY;
    if (st != ST_OK) {
        buf_done(&copy);
        return st;
    }
    buf_done(&self.text);
    self.text = copy;
    self.settings = got;
    return ST_OK;
}

/* ROOT/backup, before confinement; -1: backups are refused. */
static int
backups(void)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/backup", program_root());

    return n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static enum status
start(struct err *err)
{
    struct loop *loop = program_loop();
    struct commit_settings commit = {.done = on_done, .coming = coming};
    struct reads reads;
    enum status st = load(program_settings(), err);

    self.domains = BUF_INIT(DOMAINS_MAX * 64);
    self.unreaped = BUF_INIT(UNREAPED_MOST);
    if (st == ST_OK)
        st = store_open(program_root(), &self.settings, &self.files, err);
    if (st != ST_OK)
        return st;
    reads = (struct reads){self.files.index, self.files.log};
    commit.gather = self.settings.gather_time;
    commit.disk_reserve = self.settings.disk_reserve;
    commit.dir = self.files.dir;
    st = commit_new(loop, self.files.log, self.files.index, &commit, &self.commit, err);
    if (st == ST_OK)
        st = readers_new(loop, &reads, (uint32_t)self.settings.reader_threads, &self.readers, err);
    if (st == ST_OK)
        st = readers_new(loop, &reads, SIDE_THREADS, &self.side_writers, err);
    if (st != ST_OK)
        return st;
    st = upkeep_new(loop, &self.files, self.commit, backups(), self.settings.compact_grace, reap, &self.upkeep, err);
    if (st != ST_OK)
        return st;
    side_setup(&(struct side_settings){self.files.log, self.side_writers, self.files.dir, self.settings.disk_reserve});
    st = reads_domains(&reads, learn_domain, NULL);
    if (st == ST_OK && !BUG(reap_forgotten))
        st = reads_dying(&reads, reap, NULL);
    if (st != ST_OK)
        return err_set(err, st, "stored: the index cannot be read: %s", status_text(st));
    self.requests.fire = on_requests;
    loop_timer(loop, &self.requests, loop_now(loop) + REQUESTS_EVERY);
    grant_first(ROLE_SMTP, 0);
    grant_first(ROLE_SUBMIT, 0);
    grant_first(ROLE_IMAP, 0);
    return ST_OK;
}

static void
on_peer_gone(enum role role, uint32_t instance)
{
    if (self.commit == NULL || self.stopping)
        return;
    commit_forget(self.commit, (uint16_t)role, instance);
    handles_of_peer_close((uint16_t)role, instance);
    sides_of_peer_drop((uint16_t)role, instance);
    for (size_t i = 0; i < TELLERS; i++)
        if (self.tellers[i].role == role && self.tellers[i].instance == instance)
            self.tellers[i].used = false;
}

/* What was begun is answered, then all is put down so that the next start has little to replay. */
static void
on_stopping(struct timer *t)
{
    if (!commit_idle(self.commit) || !readers_idle(self.readers) || !readers_idle(self.side_writers)) {
        loop_timer(program_loop(), t, loop_now(program_loop()) + MSEC(10));
        return;
    }
    side_setup(&(struct side_settings){.dir = -1});
    readers_free(self.readers);
    readers_free(self.side_writers);
    upkeep_join(self.upkeep);
    commit_free(self.commit);
    store_close(&self.files);
    program_exit(0);
}

static void
on_stop(void)
{
    self.stopping = true;
    side_setup(&(struct side_settings){.log = self.files.log, .dir = self.files.dir}); /* no more bytes of large bodies */
    upkeep_quit(self.upkeep);
    self.requests.fire = on_stopping;
    loop_timer(program_loop(), &self.requests, loop_now(program_loop()));
}

static const struct program program = {.role = ROLE_STORE,
                                       .routes = routes,
                                       .start = start,
                                       .reload = load,
                                       .stop = on_stop,
                                       .peer_gone = on_peer_gone,
                                       .peer_new = grant_first};

int
main(int argc, char **argv)
{
    int status;

#ifdef PLANT_BUGS
    bug_plant(getenv("ESTAFETA_BUG"));
#endif
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--offline") == 0)
            return offline_main(argc, argv);
    /* Rows and batches come and go in big pieces: each goes back to the system, none stays as a hole in a heap. Without
     * this glibc raises the threshold by itself, and stored is half as big again. */
    (void)mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    /* But not what every answer needs again: to fault its pages in anew costs more than to fill them. */
    (void)mallopt(M_TRIM_THRESHOLD, HEAP_KEPT);
    /* Each thread with an arena of its own keeps what it once needed most; a dozen of them seldom run at once. */
    (void)mallopt(M_ARENA_MAX, ARENAS);
    status = program_main(&program, argc, argv);
    buf_done(&self.domains);
    buf_done(&self.unreaped);
    buf_done(&self.text);
    return status;
}
