/*
 * stored as it is started: this test plays estafetad, authd, smtpd, imapd and an administrator. argv[1] is
 * the executable. It is killed again and again, and what it answered must be there afterwards.
 */
#include "base/test.h"
#include "ipc/channel.h"
#include "store/request.h"
#include "sys/fd.h"

#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA (64u * SHM_CHUNK)
#define ALL   SLICE("\1\0\0\0\xff\xff\xff\xff")

static const char *executable;
static char root[64];
static struct loop *loop;
static pid_t pid;
static struct channel *control, *smtp, *imap, *pop, *auth, *ctl;
static struct shm bodies;
static int bodies_reader;
static bool ready;
static uint64_t credit;
static struct hint last_hint;
static uint32_t hints;
static struct wait came; /* the next hint, or READY */

static enum status
on_ready(struct ipc_request *r)
{
    ready = true;
    wait_end(&came, ST_OK);
    return ST_OK;
}

static enum status
on_credit(struct ipc_request *r)
{
    struct msg_id m;

    if (!msg_id_get(r->payload, &m))
        return ST_SYNTAX;
    credit += m.id;
    return ST_OK;
}

static enum status
on_hint(struct ipc_request *r)
{
    if (!hint_get(r->payload, &last_hint))
        return ST_SYNTAX;
    hints++;
    wait_end(&came, ST_OK);
    return ST_OK;
}

static const struct ipc_route control_routes[] = {
    {MSG_READY, ROLE_BIT(STORE), on_ready, false},
    {0}
};
static const struct ipc_route routes[] = {
    {MSG_CREDIT, ROLE_BIT(STORE), on_credit, false},
    {MSG_HINT, ROLE_BIT(STORE), on_hint, false},
    {0         }
};

static void
on_end(struct channel *ch)
{
}

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(30);
}

/* --- starting and ending it --- */

static void
connect_peer(enum role role, struct channel **ch)
{
    AUTO_BUF m = BUF_INIT(100);
    int ends[2];

    CHECK(role, seqpacket_pair(ends));
    msg_peer_put(&m, &(struct msg_peer){(uint16_t)role, 0});
    CHECK_INT(role, ipc_send(control, MSG_PEER, buf_slice(&m), ends[1]), ST_OK);
    close(ends[1]);
    CHECK_INT(role, channel_new(loop, ends[0], ROLE_STORE, 0, routes, on_end, ch), ST_OK);
}

static void
give_arena(enum arena_kind kind, enum role role, int fd, size_t size)
{
    AUTO_BUF m = BUF_INIT(100);

    msg_arena_put(&m, &(struct msg_arena){(uint8_t)kind, (uint16_t)role, 0, size});
    CHECK_INT(role, ipc_send(control, MSG_ARENA, buf_slice(&m), fd), ST_OK);
}

/* Big answers to `role` go through memory of their own. */
static void
give_replies(enum role role, struct channel *ch)
{
    AUTO_FD writer = memfd_sized("replies", 4u << 20);
    AUTO_FD reader = memfd_readonly(writer);
    struct shm shm;

    CHECK_INT(role, shm_map(&shm, reader, 4u << 20, false, NULL), ST_OK);
    channel_set_replies(ch, shm);
    give_arena(ARENA_OUT, role, writer, 4u << 20);
}

static void
start_stored(void)
{
    AUTO_BUF boot = BUF_INIT(2000), line = BUF_INIT(200);
    int ends[2];

    buf_printf(&line, "class=store write=%s/store", root);
    CHECK(0, seqpacket_pair(ends));
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 3);
        (void)execl(executable, executable, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    CHECK_INT(1, channel_new(loop, ends[0], ROLE_STORE, 0, control_routes, on_end, &control), ST_OK);
    msg_boot_put(&boot, &(struct msg_boot){.role = ROLE_STORE,
                                           .root = slice_of(root),
                                           .settings = SLICE("domain = dominio.com.uy\nsegment_size = 8M\n"),
                                           .confinement = buf_slice(&line)});
    CHECK_INT(2, ipc_send(control, MSG_BOOT, buf_slice(&boot), -1), ST_OK);
    connect_peer(ROLE_SMTP, &smtp);
    give_arena(ARENA_IN, ROLE_SMTP, bodies_reader, ARENA);
    connect_peer(ROLE_IMAP, &imap);
    give_arena(ARENA_IN, ROLE_IMAP, bodies_reader, ARENA);
    give_replies(ROLE_IMAP, imap);
    connect_peer(ROLE_POP3, &pop);
    connect_peer(ROLE_AUTH, &auth);
    connect_peer(ROLE_CTL, &ctl);
    ready = false;
    came = WAIT_INIT;
    CHECK_INT(3, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    CHECK_INT(4, wait_for(&came, soon()), ST_OK);
    CHECK(5, ready);
}

static void
end_stored(bool kill_it)
{
    int status = -1;

    if (kill_it)
        CHECK_INT(0, kill(pid, SIGKILL), 0);
    else
        CHECK_INT(1, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    while (waitpid(pid, &status, WNOHANG) == 0)
        fiber_sleep_until(loop_now(loop) + MSEC(2));
    CHECK_INT(2, kill_it || (WIFEXITED(status) && WEXITSTATUS(status) == 0), true);
    channel_free(smtp);
    channel_free(imap);
    channel_free(pop);
    channel_free(auth);
    channel_free(ctl);
    channel_free(control);
}

static void
again(bool kill_it)
{
    end_stored(kill_it);
    start_stored();
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void
remove_tree(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- asking it --- */

#define ASK(ch, type, tag, reply, ...)                                                                       \
    ({                                                                                                       \
        AUTO_BUF m_ = BUF_INIT(IPC_INLINE);                                                                  \
        tag##_put(&m_, &(struct tag){__VA_ARGS__});                                                          \
        ipc_call((ch), (enum msg)(type), buf_slice(&m_), -1, soon(), (reply));                               \
    })

static uint64_t
rcpt(const char *mailbox, enum status want)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct rcpt_found found = {0};

    CHECK_INT(0, ASK(smtp, MSG_RCPT_CHECK, rcpt_check, &reply, slice_of(mailbox), 10), want);
    if (want == ST_OK)
        CHECK(1, rcpt_found_get(buf_slice(&reply), &found));
    return found.account;
}

/* Request ids that are not the same twice. */
static struct slice
request_id(void)
{
    static uint64_t id[2];

    id[0]++;
    id[1] = (uint64_t)getpid();
    return slice_from(id, 16);
}

static enum status
deliver_bytes(const uint64_t *accounts, size_t n, struct slice body, struct slice request, bool repeat,
              struct delivered *got)
{
    AUTO_BUF list = BUF_INIT(1u << 16), chunks = BUF_INIT(4096), m = BUF_INIT(IPC_INLINE),
             reply = BUF_INIT(1024);
    enum status st;

    for (size_t i = 0; i < n; i++)
        deliver_rcpt_put(&list, &(struct deliver_rcpt){accounts[i], SLICE("x@dominio.com.uy"), {0}, 0, {0}});
    for (uint32_t i = 0; i * SHM_CHUNK < body.n; i++)
        buf_put_le32(&chunks, i);
    memcpy(bodies.p, body.p, body.n);
    deliver_put(&m, &(struct deliver){.request = request,
                                      .received = 1700000000000000000,
                                      .sender = SLICE("a@b.example"),
                                      .prefix = SLICE("Return-Path: <a@b.example>\r\n"),
                                      .chunks = buf_slice(&chunks),
                                      .n = body.n,
                                      .digest = SLICE("digest"),
                                      .recipients = buf_slice(&list),
                                      .again = repeat});
    st = ipc_call(smtp, (enum msg)MSG_DELIVER, buf_slice(&m), -1, soon(), &reply);
    if (st == ST_OK)
        CHECK(0, delivered_get(buf_slice(&reply), got));
    return st;
}

static uint64_t
open_handle(const char *name)
{
    AUTO_BUF reply = BUF_INIT(100);
    struct msg_id m = {0};

    CHECK_INT(0,
              ASK(auth, MSG_HANDLE_OPEN, handle_open, &reply, slice_of(name), ROLE_IMAP, 0, 7,
                  RIGHT_READ | RIGHT_WRITE),
              ST_OK);
    CHECK(1, msg_id_get(buf_slice(&reply), &m));
    return m.id;
}

static uint64_t
mailbox_number(uint64_t handle, const char *name)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_rows rows = {0};
    struct mailbox_row row = {0};

    CHECK_INT(0, ASK(imap, MSG_MAILBOXES, mailbox_list, &reply, handle, SLICE("")), ST_OK);
    CHECK(1, msg_rows_get(buf_slice(&reply), &rows));
    while (mailbox_row_take(&rows.rows, &row))
        if (slice_eq(row.name, slice_of(name)))
            return row.mailbox;
    return 0;
}

static struct mailbox_status
status_of(uint64_t handle, uint64_t mailbox)
{
    AUTO_BUF reply = BUF_INIT(1024);
    struct mailbox_status s = {0};

    CHECK_INT(0, ASK(imap, MSG_MAILBOX_STATUS, mailbox_ref, &reply, handle, mailbox), ST_OK);
    CHECK(1, mailbox_status_get(buf_slice(&reply), &s));
    return s;
}

/* How it begins, asked for together with others that are not there. */
static void
check_head(uint64_t handle, uint64_t mailbox, uint32_t uid, struct slice all)
{
    AUTO_BUF reply = BUF_INIT(1u << 20), runs = BUF_INIT(64);
    struct msg_rows rows = {0};
    struct head_row row = {0};

    uid_run_put(&runs, &(struct uid_run){uid, uid});
    uid_run_put(&runs, &(struct uid_run){UINT32_MAX - 1, UINT32_MAX});
    CHECK_INT(2, ASK(imap, MSG_HEADS, head_list, &reply, handle, mailbox, buf_slice(&runs), 1000, 0), ST_OK);
    CHECK(3, msg_rows_get(buf_slice(&reply), &rows) && head_row_get(rows.rows, &row) && !rows.more);
    CHECK_INT(4, row.uid, uid);
    CHECK_SLICE(5, row.bytes, slice_sub(all, 0, 1000));
    if (slice_find_slice(all, SLICE("\n\r\n")) < 997) { /* no more than the header */
        CHECK_INT(6, ASK(imap, MSG_HEADS, head_list, &reply, handle, mailbox, buf_slice(&runs), 1000, 1), ST_OK);
        CHECK(7, msg_rows_get(buf_slice(&reply), &rows) && head_row_get(rows.rows, &row));
        CHECK_SLICE(8, row.bytes, slice_sub(all, 0, slice_find_slice(all, SLICE("\n\r\n")) + 3));
    }
}

static void
read_message(uint64_t handle, uint64_t mailbox, uint32_t uid, struct buf *to)
{
    AUTO_BUF reply = BUF_INIT(1u << 20);
    struct msg_bytes bytes = {0};

    buf_clear(to);
    do {
        CHECK_INT(0, ASK(imap, MSG_BODY_READ, body_read, &reply, handle, mailbox, uid, to->n, STORE_READ_MAX),
                  ST_OK);
        CHECK(1, msg_bytes_get(buf_slice(&reply), &bytes));
        buf_put(to, bytes.bytes);
    } while (bytes.bytes.n == STORE_READ_MAX);
    check_head(handle, mailbox, uid, buf_slice(to));
}

static void
dump(struct buf *to)
{
    AUTO_BUF reply = BUF_INIT(1u << 20), after = BUF_INIT(4096);
    struct msg_rows rows = {0};
    struct dump_row row = {0};

    buf_clear(to);
    do {
        CHECK_INT(0, ASK(ctl, MSG_STORE_DUMP, msg_page, &reply, buf_slice(&after), 1000), ST_OK);
        CHECK(1, msg_rows_get(buf_slice(&reply), &rows));
        while (dump_row_take(&rows.rows, &row)) {
            buf_put(to, row.line);
            buf_clear(&after);
            buf_put(&after, row.key);
        }
    } while (rows.more);
}

/* --- the conversations --- */

static void
accounts(void)
{
    CHECK_INT(0, ASK(ctl, MSG_ACCOUNT_ADD, account_add, NULL, SLICE("usr1@dominio.com.uy"), 0), ST_OK);
    CHECK_INT(1, ASK(ctl, MSG_ACCOUNT_ADD, account_add, NULL, SLICE("usr3@dominio.com.uy"), 2000), ST_OK);
    CHECK_INT(2, ASK(ctl, MSG_ACCOUNT_ADD, account_add, NULL, SLICE("usr1@dominio.com.uy"), 0), ST_EXISTS);
    CHECK_INT(3, ASK(ctl, MSG_ACCOUNT_ADD, account_add, NULL, SLICE("no at"), 0), ST_SYNTAX);
    CHECK_INT(4, ASK(ctl, MSG_ACCOUNT_ADD, account_add, NULL, SLICE("u@otro.example"), 0), ST_OK);
    CHECK(5, rcpt("usr1@dominio.com.uy", ST_OK) == rcpt("USR1+Lista@Dominio.COM.uy", ST_OK));
    (void)rcpt("usr1", ST_OK);
    (void)rcpt("nadie@dominio.com.uy", ST_NOTFOUND);
    (void)rcpt("nadie@otro.example", ST_NOTFOUND);
    (void)rcpt("usr1@elsewhere.example", ST_DENIED);
    CHECK_INT(6, ASK(smtp, MSG_RCPT_CHECK, rcpt_check, NULL, SLICE("usr3@dominio.com.uy"), 2001), ST_QUOTA);
}

static void
deliveries(void)
{
    static uint8_t big[900000];
    uint64_t to[3] = {rcpt("usr1@dominio.com.uy", ST_OK), rcpt("usr3@dominio.com.uy", ST_OK), 0}, handle,
             inbox;
    struct slice hello = SLICE("Subject: hola\r\n\r\nuno\r\n"), id;
    AUTO_BUF text = BUF_INIT(1u << 20);
    struct delivered got = {0}, same = {0};
    uint8_t id_bytes[16];

    CHECK(0, credit > 0);
    to[2] = to[0]; /* twice the same mailbox: one copy */
    id = request_id();
    memcpy(id_bytes, id.p, 16);
    CHECK_INT(1, deliver_bytes(to, 3, hello, slice_from(id_bytes, 16), false, &got), ST_OK);
    CHECK_INT(2, deliver_bytes(to, 3, hello, slice_from(id_bytes, 16), true, &same), ST_OK);
    CHECK(3, got.lsn == same.lsn && got.email == same.email);
    handle = open_handle("usr1@dominio.com.uy");
    inbox = mailbox_number(handle, "INBOX");
    CHECK_INT(4, status_of(handle, inbox).messages, 1);
    read_message(handle, inbox, 1, &text);
    CHECK_SLICE(5, buf_slice(&text), "Return-Path: <a@b.example>\r\nSubject: hola\r\n\r\nuno\r\n");

    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    CHECK_INT(6, deliver_bytes(to, 1, slice_from(big, sizeof(big)), request_id(), false, &got), ST_OK);
    again(true);
    CHECK_INT(7, deliver_bytes(to, 3, hello, slice_from(id_bytes, 16), true, &same), ST_OK);
    CHECK_INT(8, ASK(imap, MSG_MAILBOX_STATUS, mailbox_ref, NULL, handle, inbox), ST_STALE);
    handle = open_handle("usr1@dominio.com.uy");
    CHECK_INT(9, status_of(handle, inbox).messages, 2);
    read_message(handle, inbox, 2, &text);
    CHECK_INT(10, text.n, sizeof(big) + 28);
    CHECK(11, memcmp(text.p + 28, big, sizeof(big)) == 0);
    /* Another program's handle is no handle. */
    CHECK_INT(12, ASK(pop, MSG_MAILBOX_STATUS, mailbox_ref, NULL, handle, inbox), ST_STALE);
    CHECK_INT(13, ASK(imap, MSG_MAILBOX_STATUS, mailbox_ref, NULL, handle + 1, inbox), ST_STALE);
}

static void
large_body(void)
{
    enum { PIECE = 10 * SHM_CHUNK, PIECES = 20 };
    uint64_t to = rcpt("usr1@dominio.com.uy", ST_OK), handle, inbox;
    AUTO_BUF reply = BUF_INIT(1024), chunks = BUF_INIT(1024), m = BUF_INIT(IPC_INLINE), list = BUF_INIT(1024);
    AUTO_BUF text = BUF_INIT(8u << 20);
    struct msg_id side = {0};
    uint32_t uid;

    CHECK_INT(0, ASK(smtp, MSG_SIDE_BEGIN, side_begin, &reply, 0), ST_OK);
    CHECK(1, msg_id_get(buf_slice(&reply), &side));
    for (uint32_t i = 0; i < PIECE / SHM_CHUNK; i++)
        buf_put_le32(&chunks, i);
    for (uint32_t i = 0; i < PIECES; i++) {
        memset(bodies.p, (int)('a' + i), PIECE);
        CHECK_INT(
            2, ASK(smtp, MSG_SIDE_DATA, side_data, NULL, side.id, buf_slice(&chunks), PIECE, i == PIECES - 1),
            ST_OK);
    }
    deliver_rcpt_put(&list, &(struct deliver_rcpt){to, SLICE("usr1"), {0}, 0, {0}});
    deliver_put(&m, &(struct deliver){.request = request_id(),
                                      .prefix = SLICE("P: 1\r\n"),
                                      .n = PIECE * PIECES,
                                      .side = side.id,
                                      .recipients = buf_slice(&list)});
    CHECK_INT(3, ipc_call(smtp, (enum msg)MSG_DELIVER, buf_slice(&m), -1, soon(), NULL), ST_OK);
    again(true);
    handle = open_handle("usr1@dominio.com.uy");
    inbox = mailbox_number(handle, "INBOX");
    uid = status_of(handle, inbox).uidnext - 1;
    read_message(handle, inbox, uid, &text);
    CHECK_INT(4, text.n, PIECE * PIECES + 6);
    for (uint32_t i = 0; i < PIECES; i++)
        CHECK_INT(5, text.p[6 + i * PIECE + 17], 'a' + (int)i);
}

static void
messages(void)
{
    AUTO_BUF reply = BUF_INIT(1u << 20), words = BUF_INIT(100);
    uint64_t handle = open_handle("usr1@dominio.com.uy"), inbox = mailbox_number(handle, "INBOX"), box;
    struct msg_rows rows = {0};
    struct change_row change = {0};
    struct copied_row copied = {0};
    struct msg_id id = {0};
    struct msg_bytes gone = {0};

    CHECK_INT(0, ASK(imap, MSG_WATCH, mailbox_ref, NULL, handle, inbox), ST_OK);
    msg_name_put(&words, &(struct msg_name){SLICE("$Forwarded")});
    came = WAIT_INIT;
    CHECK_INT(1,
              ASK(imap, MSG_FLAGS, flags_change, &reply, handle, inbox, SLICE("\1\0\0\0\2\0\0\0"), FLAGS_ADD,
                  FLAG_SEEN | FLAG_DELETED, buf_slice(&words), UINT64_MAX),
              ST_OK);
    CHECK_INT(2, wait_for(&came, soon()), ST_OK);
    CHECK(3, last_hint.handle == handle && last_hint.mailbox == inbox);
    CHECK(4, msg_rows_get(buf_slice(&reply), &rows) && change_row_take(&rows.rows, &change));
    CHECK_INT(5, change.flags, FLAG_SEEN | FLAG_DELETED);
    CHECK_SLICE(6, change.keywords, slice_from("\1\0", 2));
    /* RFC 7162 3.1.3: what changed since is refused. */
    CHECK_INT(7,
              ASK(imap, MSG_FLAGS, flags_change, &reply, handle, inbox, SLICE("\1\0\0\0\1\0\0\0"),
                  FLAGS_REPLACE, 0, SLICE(""), 1),
              ST_OK);
    CHECK(8,
          msg_rows_get(buf_slice(&reply), &rows) && change_row_take(&rows.rows, &change) && change.refused);

    CHECK_INT(9, ASK(imap, MSG_MAILBOX_CREATE, mailbox_name, &reply, handle, SLICE("viejos/2026"), 0), ST_OK);
    CHECK(10, msg_id_get(buf_slice(&reply), &id));
    box = id.id;
    CHECK(11, mailbox_number(handle, "viejos") != 0);
    CHECK_INT(12,
              ASK(imap, MSG_COPY, copy, &reply, handle, inbox, SLICE("\1\0\0\0\2\0\0\0"), box, 0, SLICE("")),
              ST_OK);
    CHECK(13,
          msg_rows_get(buf_slice(&reply), &rows) && copied_row_take(&rows.rows, &copied) && copied.uid == 1);
    CHECK_INT(14, status_of(handle, box).messages, 2);
    CHECK_INT(15, status_of(handle, box).deleted, 2);
    CHECK_INT(16,
              ASK(imap, MSG_COPY, copy, &reply, handle, box, SLICE("\1\0\0\0\1\0\0\0"), inbox, 1, SLICE("")),
              ST_OK);
    CHECK_INT(17, status_of(handle, box).messages, 1);
    CHECK_INT(18, ASK(imap, MSG_EXPUNGE, expunge, &reply, handle, inbox, SLICE(""), 1), ST_OK);
    CHECK(19, msg_bytes_get(buf_slice(&reply), &gone) && gone.bytes.n == 16);
    CHECK_INT(20, status_of(handle, inbox).deleted, 0);
    CHECK_INT(21,
              ASK(imap, MSG_MAILBOX_RENAME, mailbox_rename, NULL, handle, mailbox_number(handle, "viejos"),
                  SLICE("a/b")),
              ST_OK);
    CHECK(22, mailbox_number(handle, "a/b/2026") == box && mailbox_number(handle, "viejos") == 0);
    CHECK_INT(23, ASK(imap, MSG_MAILBOX_DELETE, mailbox_ref, NULL, handle, box), ST_OK);
    CHECK_INT(24, ASK(imap, MSG_MAILBOX_STATUS, mailbox_ref, NULL, handle, box), ST_STALE);
    CHECK_INT(25, ASK(imap, MSG_MAILBOX_DELETE, mailbox_ref, NULL, handle, inbox), ST_DENIED);
}

static uint32_t
claim(uint64_t handle, uint64_t mailbox, uint32_t upto)
{
    AUTO_BUF reply = BUF_INIT(64);
    struct msg_id before = {0};

    CHECK_INT(upto, ASK(imap, MSG_RECENT, recent_claim, &reply, handle, mailbox, upto), ST_OK);
    CHECK(upto, msg_id_get(buf_slice(&reply), &before));
    return (uint32_t)before.id;
}

/* RFC 3501 2.3.2: who asks first has them, also after a kill. */
static void
recent(void)
{
    uint64_t handle = open_handle("usr1@dominio.com.uy"), inbox = mailbox_number(handle, "INBOX");
    struct mailbox_status s = status_of(handle, inbox), now;
    uint64_t to = rcpt("usr1@dominio.com.uy", ST_OK);
    struct delivered got = {0};

    CHECK_INT(0, s.recent_from, 1);
    CHECK_INT(1, claim(handle, inbox, 2), 1);
    CHECK_INT(2, claim(handle, inbox, 1), 2); /* it never goes back */
    CHECK_INT(3, claim(handle, inbox, UINT32_MAX), 2);
    CHECK_INT(4, claim(handle, inbox, UINT32_MAX), s.uidnext);
    now = status_of(handle, inbox);
    CHECK(5, now.modseq == s.modseq && now.messages == s.messages && now.uidnext == s.uidnext);
    again(true);
    handle = open_handle("usr1@dominio.com.uy");
    CHECK_INT(6, status_of(handle, inbox).recent_from, s.uidnext);
    CHECK_INT(7, deliver_bytes(&to, 1, SLICE("Subject: new\r\n\r\n"), request_id(), false, &got), ST_OK);
    CHECK_INT(8, claim(handle, inbox, UINT32_MAX), s.uidnext);
    CHECK_INT(9, claim(handle, inbox, UINT32_MAX), s.uidnext + 1);
    CHECK_INT(10, ASK(imap, MSG_RECENT, recent_claim, NULL, handle, 4711, 1), ST_STALE);
    CHECK_INT(11, ASK(imap, MSG_RECENT, recent_claim, NULL, handle + 1, inbox, 1), ST_STALE);
}

/* What comes back from the log alone is what was there. */
static void
same_after(bool without_index)
{
    AUTO_BUF before = BUF_INIT(64u << 20), after = BUF_INIT(64u << 20);
    char path[128];

    dump(&before);
    end_stored(true);
    (void)snprintf(path, sizeof(path), "%s/store/index", root);
    if (without_index)
        remove_tree(path);
    start_stored();
    dump(&after);
    CHECK(0, before.n > 0);
    CHECK(1, slice_eq(buf_slice(&before), buf_slice(&after)));
}

/* Random work on two accounts, killed in between. */
static void
random_work(void)
{
    uint64_t to[2] = {rcpt("usr1@dominio.com.uy", ST_OK), rcpt("u@otro.example", ST_OK)};
    uint64_t handle = open_handle("usr1@dominio.com.uy"), inbox = mailbox_number(handle, "INBOX"), other;
    AUTO_BUF reply = BUF_INIT(1u << 20), run = BUF_INIT(16);
    struct delivered got = {0};
    struct msg_id id = {0};
    unsigned seed = 7;

    CHECK_INT(0, ASK(imap, MSG_MAILBOX_CREATE, mailbox_name, &reply, handle, SLICE("otra"), 0), ST_OK);
    CHECK(1, msg_id_get(buf_slice(&reply), &id));
    other = id.id;
    for (int i = 0; i < 400; i++) {
        uint32_t uid = 1 + (uint32_t)rand_r(&seed) % status_of(handle, inbox).uidnext;
        uint64_t from = rand_r(&seed) % 3 == 0 ? other : inbox;

        buf_clear(&run);
        uid_run_put(&run, &(struct uid_run){uid, uid + (uint32_t)rand_r(&seed) % 5});
        switch (rand_r(&seed) % 7) {
        case 0:
        case 1:
            CHECK_INT(i,
                      deliver_bytes(to, 1 + (size_t)rand_r(&seed) % 2, SLICE("Subject: x\r\n\r\ny\r\n"),
                                    request_id(), false, &got),
                      ST_OK);
            break;
        case 2:
            CHECK_INT(i,
                      ASK(imap, MSG_FLAGS, flags_change, &reply, handle, from, buf_slice(&run),
                          (uint8_t)(rand_r(&seed) % 3), (uint16_t)(rand_r(&seed) % 32), SLICE(""),
                          UINT64_MAX),
                      ST_OK);
            break;
        case 3:
            CHECK_INT(i,
                      ASK(imap, MSG_COPY, copy, &reply, handle, from, buf_slice(&run),
                          from == inbox ? other : inbox, (uint8_t)(rand_r(&seed) % 2), SLICE("")),
                      ST_OK);
            break;
        case 4:
            CHECK_INT(i, ASK(imap, MSG_COPY, copy, &reply, handle, from, buf_slice(&run), from, 0, SLICE("")),
                      ST_OK);
            break;
        case 6:
            (void)claim(handle, from, uid);
            break;
        case 5:
            CHECK_INT(i, ASK(imap, MSG_EXPUNGE, expunge, &reply, handle, from, SLICE(""), 1), ST_OK);
            break;
        }
        if (i % 100 == 99) {
            same_after(i % 200 == 199);
            handle = open_handle("usr1@dominio.com.uy");
        }
    }
}

/* All of an account goes: nothing but the shard's own rows and others' stay, and the bodies give their bytes
 * back. */
static void
removal(void)
{
    AUTO_BUF text = BUF_INIT(64u << 20);
    uint64_t number = rcpt("usr1@dominio.com.uy", ST_OK);
    struct delivered late;
    char line[64];

    CHECK_INT(0, ASK(ctl, MSG_ACCOUNT_DELETE, account_delete, NULL, SLICE("usr1@dominio.com.uy"), 0), ST_OK);
    CHECK_INT(5, deliver_bytes(&number, 1, SLICE("late\r\n"), request_id(), false, &late), ST_STALE);
    (void)rcpt("usr1@dominio.com.uy", ST_NOTFOUND);
    CHECK_INT(1, ASK(ctl, MSG_ACCOUNT_ADD, account_add, NULL, SLICE("usr1@dominio.com.uy"), 0), ST_OK);
    (void)snprintf(line, sizeof(line), "message %llu ", (unsigned long long)number);
    for (int i = 0; i < 200; i++) {
        dump(&text);
        if (slice_find_slice(buf_slice(&text), slice_of(line)) == text.n)
            break;
        fiber_sleep_until(loop_now(loop) + MSEC(20));
    }
    CHECK(2, slice_find_slice(buf_slice(&text), slice_of(line)) == text.n);
    (void)snprintf(line, sizeof(line), "email %llu ", (unsigned long long)number);
    CHECK(3, slice_find_slice(buf_slice(&text), slice_of(line)) == text.n);
    fiber_sleep_until(loop_now(loop) + MSEC(100));
    (void)snprintf(line, sizeof(line), "account %llu ", (unsigned long long)number);
    dump(&text);
    CHECK(4, slice_find_slice(buf_slice(&text), slice_of(line)) == text.n);
}

static void
converse(void *arg)
{
    start_stored();
    accounts();
    deliveries();
    large_body();
    messages();
    recent();
    same_after(false);
    same_after(true);
    random_work();
    removal();
    same_after(true);
    end_stored(false);
    start_stored();
    end_stored(false);
    loop_stop(loop);
}

TEST(conversation)
{
    AUTO_FD writer = memfd_sized("bodies", ARENA);
    char path[128];

    (void)snprintf(root, sizeof(root), "/tmp/stored-test-XXXXXX");
    CHECK(0, mkdtemp(root) != NULL);
    (void)snprintf(path, sizeof(path), "%s/store", root);
    CHECK_INT(1, mkdir(path, 0700), 0);
    bodies_reader = memfd_readonly(writer);
    CHECK(2, bodies_reader >= 0);
    CHECK_INT(3, shm_map(&bodies, writer, ARENA, true, NULL), ST_OK);
    CHECK_INT(4, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(5, fiber_spawn(loop, converse, NULL), ST_OK);
    CHECK_INT(6, loop_run(loop, NULL), ST_OK);
    loop_free(loop);
    shm_unmap(&bodies);
    close(bodies_reader);
    remove_tree(root);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(conversation))};

    executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
