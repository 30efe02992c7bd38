#include "store/stored_peer.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"

#define REPLIES (4u << 20)

static struct stored_peer *self; /* handlers have no argument */

static enum status
on_ready(struct ipc_request *r)
{
    self->ready = true;
    wait_end(&self->came, ST_OK);
    return ST_OK;
}

static enum status
on_credit(struct ipc_request *r)
{
    struct msg_id m;

    if (!msg_id_get(r->payload, &m))
        return ST_SYNTAX;
    self->credit += m.id;
    return ST_OK;
}

static enum status
on_hint(struct ipc_request *r)
{
    struct hint h;

    if (!hint_get(r->payload, &h))
        return ST_SYNTAX;
    if (self->on_hint != NULL)
        self->on_hint(&h);
    return ST_OK;
}

static enum status
on_queue_new(struct ipc_request *r)
{
    self->queue_news++;
    return ST_OK;
}

static const struct ipc_route control_routes[] = {
    {MSG_READY, ROLE_BIT(STORE), on_ready, false},
    {0}
};
static const struct ipc_route routes[] = {
    {MSG_CREDIT, ROLE_BIT(STORE), on_credit, false},
    {MSG_HINT, ROLE_BIT(STORE), on_hint, false},
    {MSG_QUEUE_NEW, ROLE_BIT(STORE), on_queue_new, false},
    {0         }
};

static void
on_end(struct channel *ch)
{
    if (ch != self->control)
        return;
    self->ended = true;
    wait_end(&self->came, ST_CLOSED);
}

/* --- starting and ending --- */

bool
peer_setup(struct stored_peer *p)
{
    AUTO_FD writer = memfd_sized("bodies", PEER_ARENA);

    p->bodies_reader = memfd_readonly(writer);
    return p->bodies_reader >= 0 && shm_map(&p->bodies, writer, PEER_ARENA, true, NULL) == ST_OK;
}

void
peer_done(struct stored_peer *p)
{
    shm_unmap(&p->bodies);
    (void)close(p->bodies_reader);
}

static enum status
connect_peer(struct stored_peer *p, enum role role, struct channel **ch)
{
    AUTO_BUF m = BUF_INIT(100);
    int ends[2];
    enum status st;

    if (!seqpacket_pair(ends))
        return ST_IO;
    msg_peer_put(&m, &(struct msg_peer){(uint16_t)role, 0});
    st = ipc_send(p->control, MSG_PEER, buf_slice(&m), ends[1]);
    (void)close(ends[1]);
    return st == ST_OK ? channel_new(p->loop, ends[0], ROLE_STORE, 0, routes, on_end, ch) : st;
}

static enum status
give_arena(struct stored_peer *p, enum arena_kind kind, enum role role, int fd, size_t size)
{
    AUTO_BUF m = BUF_INIT(100);

    msg_arena_put(&m, &(struct msg_arena){(uint8_t)kind, (uint16_t)role, 0, size});
    return ipc_send(p->control, MSG_ARENA, buf_slice(&m), fd);
}

/* Big answers to `role` go through memory of their own. */
static enum status
give_replies(struct stored_peer *p, enum role role, struct channel *ch)
{
    AUTO_FD writer = memfd_sized("replies", REPLIES);
    AUTO_FD reader = memfd_readonly(writer);
    struct shm shm;
    enum status st = shm_map(&shm, reader, REPLIES, false, NULL);

    if (st != ST_OK)
        return st;
    channel_set_replies(ch, shm);
    return give_arena(p, ARENA_OUT, role, writer, REPLIES);
}

static enum status
introduce(struct stored_peer *p)
{
    AUTO_BUF boot = BUF_INIT(8000), line = BUF_INIT(600);
    char backup[256];
    enum status st;

    buf_printf(&line, "class=store write=%s/store", p->root);
    (void)snprintf(backup, sizeof(backup), "%s/backup", p->root);
    if (access(backup, W_OK) == 0)
        buf_printf(&line, " write=%s", backup);
    msg_boot_put(&boot, &(struct msg_boot){.role = ROLE_STORE,
                                           .root = slice_of(p->root),
                                           .settings = slice_of(p->settings),
                                           .confinement = buf_slice(&line)});
    st = ipc_send(p->control, MSG_BOOT, buf_slice(&boot), -1);
    if (st == ST_OK)
        st = connect_peer(p, ROLE_SMTP, &p->smtp);
    if (st == ST_OK)
        st = give_arena(p, ARENA_IN, ROLE_SMTP, p->bodies_reader, PEER_ARENA);
    if (st == ST_OK)
        st = connect_peer(p, ROLE_IMAP, &p->imap);
    if (st == ST_OK)
        st = give_arena(p, ARENA_IN, ROLE_IMAP, p->bodies_reader, PEER_ARENA);
    if (st == ST_OK)
        st = give_replies(p, ROLE_IMAP, p->imap);
    if (st == ST_OK)
        st = connect_peer(p, ROLE_POP3, &p->pop);
    if (st == ST_OK)
        st = connect_peer(p, ROLE_AUTH, &p->auth);
    if (st == ST_OK)
        st = connect_peer(p, ROLE_CTL, &p->ctl);
    if (st == ST_OK)
        st = connect_peer(p, ROLE_QUEUE, &p->queue);
    if (st == ST_OK)
        st = give_arena(p, ARENA_IN, ROLE_QUEUE, p->bodies_reader, PEER_ARENA);
    return st == ST_OK ? ipc_send(p->control, MSG_GO, (struct slice){0}, -1) : st;
}

enum status
peer_start(struct stored_peer *p)
{
    int ends[2];
    enum status st;

    self = p;
    p->ready = p->ended = false;
    p->came = WAIT_INIT;
    p->credit = 0;
    p->queue_news = 0;
    p->control = p->smtp = p->imap = p->pop = p->auth = p->ctl = p->queue = NULL;
    if (!seqpacket_pair(ends))
        return ST_IO;
    p->pid = fork();
    if (p->pid == 0) {
        (void)dup2(ends[1], 3); /* without close-on-exec */
        if (p->in_child != NULL)
            p->in_child(p->arg);
        (void)execl(p->executable, p->executable, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    if (p->pid < 0)
        return ST_IO;
    st = channel_new(p->loop, ends[0], ROLE_STORE, 0, control_routes, on_end, &p->control);
    if (st == ST_OK)
        st = introduce(p);
    return st == ST_OK ? wait_for(&p->came, loop_now(p->loop) + PEER_WAIT) : st;
}

enum status
peer_again(struct stored_peer *p, enum role role)
{
    struct channel **ch = role == ROLE_SMTP ? &p->smtp : &p->imap;
    enum status st;

    channel_free(*ch);
    *ch = NULL;
    st = connect_peer(p, role, ch);
    if (st == ST_OK)
        st = give_arena(p, ARENA_IN, role, p->bodies_reader, PEER_ARENA);
    return st == ST_OK && role == ROLE_IMAP ? give_replies(p, role, *ch) : st;
}

bool
peer_has_ended(struct stored_peer *p)
{
    siginfo_t info = {0};

    return p->pid > 0 && waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == p->pid;
}

int
peer_end(struct stored_peer *p, bool kill_it)
{
    uint64_t patience = loop_now(p->loop) + PEER_WAIT;
    int status = -1;
    bool late = false;

    if (p->pid <= 0)
        return -1;
    if (kill_it)
        (void)kill(p->pid, SIGKILL);
    else if (p->control != NULL)
        (void)ipc_send(p->control, MSG_STOP, (struct slice){0}, -1);
    while (waitpid(p->pid, &status, WNOHANG) == 0) {
        if (!late && loop_now(p->loop) > patience) {
            late = true;
            (void)kill(p->pid, SIGKILL);
        }
        fiber_sleep_until(loop_now(p->loop) + MSEC(1));
    }
    p->pid = 0;
    channel_free(p->smtp);
    channel_free(p->imap);
    channel_free(p->pop);
    channel_free(p->auth);
    channel_free(p->ctl);
    channel_free(p->queue);
    channel_free(p->control);
    p->control = p->smtp = p->imap = p->pop = p->auth = p->ctl = p->queue = NULL;
    return late ? -1 : status;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void
peer_remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool
peer_live(struct stored_peer *p, void (*all)(void *arg))
{
    char root[] = "/tmp/stored-peer-XXXXXX", path[64];
    bool lived;

    if (mkdtemp(root) == NULL)
        return false;
    (void)snprintf(path, sizeof(path), "%s/store", root);
    p->root = root;
    lived = mkdir(path, 0700) == 0 && peer_setup(p) && loop_new(&p->loop, NULL) == ST_OK &&
            fiber_spawn(p->loop, all, NULL) == ST_OK && loop_run(p->loop, NULL) == ST_OK;
    if (lived) {
        loop_free(p->loop);
        peer_done(p);
    }
    peer_remove_tree(root);
    p->root = NULL;
    return lived;
}

/* --- bodies --- */

static void
give_chunks(struct stored_peer *p, const struct buf *list)
{
    struct slice at = buf_slice(list);
    uint32_t chunk;

    while (take_le32(&at, &chunk))
        shm_give(&p->bodies, chunk);
}

static size_t
chunks_of(struct slice bytes)
{
    return (bytes.n + SHM_CHUNK - 1) / SHM_CHUNK;
}

/* Copies bytes into chunks of the arena. */
static enum status
put_some(struct stored_peer *p, struct slice bytes, struct buf *list)
{
    for (size_t i = 0; i < chunks_of(bytes); i++) {
        struct slice part = slice_sub(bytes, i * SHM_CHUNK, SHM_CHUNK);
        uint32_t chunk;
        enum status st = shm_take(&p->bodies, &chunk);

        if (st != ST_OK)
            return st;
        memcpy(shm_at(&p->bodies, chunk), part.p, part.n);
        buf_put_le32(list, chunk);
    }
    return ST_OK;
}

/* Each message from a new chunk on; waits for all of them at once while others have them. */
static enum status
put_chunks(struct stored_peer *p, const struct slice *bodies, size_t n, struct buf *list)
{
    uint64_t patience = loop_now(p->loop) + PEER_WAIT;
    enum status st = ST_OK;
    size_t wanted = 0;

    for (size_t i = 0; i < n; i++)
        wanted += chunks_of(bodies[i]);
    while (p->bodies.n_idle < wanted) {
        if (loop_now(p->loop) > patience)
            return ST_TIMEOUT;
        fiber_sleep_until(loop_now(p->loop) + MSEC(1));
    }
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = put_some(p, bodies[i], list);
    return st;
}

enum status
peer_side(struct stored_peer *p, struct channel *ch, struct slice body, bool seal, uint64_t *id)
{
    AUTO_BUF reply = BUF_INIT(100);
    struct msg_id side = {0};
    enum status st = PEER_ASK(p, ch, MSG_SIDE_BEGIN, side_begin, &reply, body.n);

    if (st == ST_OK && !msg_id_get(buf_slice(&reply), &side))
        return ST_SYNTAX;
    do {
        AUTO_BUF chunks = BUF_INIT(1024);
        struct slice part = slice_sub(body, 0, 4 * SHM_CHUNK);

        if (st == ST_OK)
            st = put_chunks(p, &part, 1, &chunks);
        body = slice_skip(body, part.n);
        if (st == ST_OK)
            st = PEER_ASK(p, ch, MSG_SIDE_DATA, side_data, NULL, side.id, buf_slice(&chunks),
                          (uint32_t)part.n, seal && body.n == 0);
        give_chunks(p, &chunks);
    } while (st == ST_OK && body.n > 0);
    if (st == ST_OK)
        *id = side.id;
    return st;
}

/* Where bodies are for their request: in chunks, or as one side body. */
static enum status
put_bodies(struct stored_peer *p, struct channel *ch, const struct slice *bodies, size_t n, bool side,
           struct buf *chunks, uint64_t *id)
{
    AUTO_BUF all = BUF_INIT(64u << 20);

    *id = 0;
    if (!side)
        return put_chunks(p, bodies, n, chunks);
    for (size_t i = 0; i < n; i++)
        buf_put(&all, bodies[i]);
    return buf_ok(&all) ? peer_side(p, ch, buf_slice(&all), true, id) : ST_MEMORY;
}

/* --- asking --- */

enum status
peer_deliver(struct stored_peer *p, const struct deliver *m, struct slice body, bool side,
             const uint64_t *accounts, size_t n, const char *mailbox, struct delivered *got)
{
    AUTO_BUF list = BUF_INIT(1u << 16), chunks = BUF_INIT(1u << 12), bytes = BUF_INIT(IPC_INLINE),
             reply = BUF_INIT(1024);
    struct channel *ch = m->settled.n > 0 ? p->queue : p->smtp;
    struct deliver d = *m;
    enum status st = put_bodies(p, ch, &body, 1, side, &chunks, &d.side);

    for (size_t i = 0; i < n; i++)
        deliver_rcpt_put(
            &list, &(struct deliver_rcpt){accounts[i], SLICE("x@dominio.com.uy"), slice_of(mailbox), 0, {0}});
    d.n = body.n;
    d.chunks = buf_slice(&chunks);
    d.recipients = buf_slice(&list);
    deliver_put(&bytes, &d);
    if (st == ST_OK)
        st = ipc_call(ch, (enum msg)MSG_DELIVER, buf_slice(&bytes), -1, loop_now(p->loop) + PEER_WAIT,
                      &reply);
    give_chunks(p, &chunks);
    return st == ST_OK && !delivered_get(buf_slice(&reply), got) ? ST_SYNTAX : st;
}

enum status
peer_append(struct stored_peer *p, const struct append *m, const struct append_message *list, const struct slice *bodies,
            size_t n, bool side, struct appended *got)
{
    AUTO_BUF chunks = BUF_INIT(1u << 12), bytes = BUF_INIT(IPC_INLINE), reply = BUF_INIT(1024),
             messages = BUF_INIT(1u << 20), more = BUF_INIT(1u << 12);
    struct append a = *m;
    enum status st = put_bodies(p, p->imap, bodies, n, side, &chunks, &a.side);

    a.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct append_message one = list[i];

        one.n = bodies[i].n;
        a.n += one.n;
        append_message_put(&messages, &one);
    }
    a.chunks = buf_slice(&chunks);
    a.messages = buf_slice(&messages);
    if (m->list_n > 0 && st == ST_OK) {
        st = put_chunks(p, &a.messages, 1, &more);
        a.list = buf_slice(&more);
        a.list_n = (uint32_t)messages.n;
        a.messages = (struct slice){0};
    }
    append_put(&bytes, &a);
    if (st == ST_OK && !(buf_ok(&bytes) && buf_ok(&messages)))
        st = ST_LIMIT;
    if (st == ST_OK)
        st = ipc_call(p->imap, (enum msg)MSG_APPEND, buf_slice(&bytes), -1, loop_now(p->loop) + PEER_WAIT,
                      &reply);
    give_chunks(p, &chunks);
    give_chunks(p, &more);
    return st == ST_OK && !appended_get(buf_slice(&reply), got) ? ST_SYNTAX : st;
}

enum status
peer_rcpt(struct stored_peer *p, const char *mailbox, uint64_t *account)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct rcpt_found found;
    enum status st = PEER_ASK(p, p->smtp, MSG_RCPT_CHECK, rcpt_check, &reply, slice_of(mailbox), 10);

    if (st != ST_OK)
        return st;
    if (!rcpt_found_get(buf_slice(&reply), &found))
        return ST_SYNTAX;
    *account = found.account;
    return ST_OK;
}

enum status
peer_handle(struct stored_peer *p, const char *name, uint64_t *handle)
{
    AUTO_BUF reply = BUF_INIT(100);
    struct msg_id m;
    enum status st = PEER_ASK(p, p->auth, MSG_HANDLE_OPEN, handle_open, &reply, slice_of(name), ROLE_IMAP, 0,
                              7, RIGHT_READ | RIGHT_WRITE);

    if (st != ST_OK)
        return st;
    if (!msg_id_get(buf_slice(&reply), &m))
        return ST_SYNTAX;
    *handle = m.id;
    return ST_OK;
}

enum status
peer_mailbox(struct stored_peer *p, uint64_t handle, const char *name, uint64_t *mailbox)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_rows rows;
    struct mailbox_row row;
    enum status st = PEER_ASK(p, p->imap, MSG_MAILBOXES, mailbox_list, &reply, handle, SLICE(""));

    if (st != ST_OK)
        return st;
    if (!msg_rows_get(buf_slice(&reply), &rows))
        return ST_SYNTAX;
    while (mailbox_row_take(&rows.rows, &row))
        if (slice_eq(row.name, slice_of(name))) {
            *mailbox = row.mailbox;
            return ST_OK;
        }
    return ST_NOTFOUND;
}

enum status
peer_status(struct stored_peer *p, uint64_t handle, uint64_t mailbox, struct mailbox_status *s)
{
    AUTO_BUF reply = BUF_INIT(1024);
    enum status st = PEER_ASK(p, p->imap, MSG_MAILBOX_STATUS, mailbox_ref, &reply, handle, mailbox);

    return st == ST_OK && !mailbox_status_get(buf_slice(&reply), s) ? ST_SYNTAX : st;
}

enum status
peer_read(struct stored_peer *p, uint64_t handle, uint64_t mailbox, uint32_t uid, struct buf *to)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_bytes bytes;

    buf_clear(to);
    do {
        enum status st = PEER_ASK(p, p->imap, MSG_BODY_READ, body_read, &reply, handle, mailbox, uid, to->n,
                                  STORE_READ_MAX);

        if (st != ST_OK)
            return st;
        if (!msg_bytes_get(buf_slice(&reply), &bytes))
            return ST_SYNTAX;
        buf_put(to, bytes.bytes);
    } while (bytes.bytes.n == STORE_READ_MAX);
    return buf_ok(to) ? ST_OK : ST_LIMIT;
}

enum status
peer_dump(struct stored_peer *p, struct buf *to)
{
    AUTO_BUF reply = BUF_INIT(1u << 20), after = BUF_INIT(4096);
    struct msg_rows rows;
    struct dump_row row;

    buf_clear(to);
    do {
        enum status st = PEER_ASK(p, p->ctl, MSG_STORE_DUMP, msg_page, &reply, buf_slice(&after), 1000);

        if (st != ST_OK)
            return st;
        if (!msg_rows_get(buf_slice(&reply), &rows))
            return ST_SYNTAX;
        while (dump_row_take(&rows.rows, &row)) {
            buf_put(to, row.line);
            buf_clear(&after);
            buf_put(&after, row.key);
        }
    } while (rows.more);
    return buf_ok(to) ? ST_OK : ST_LIMIT;
}
