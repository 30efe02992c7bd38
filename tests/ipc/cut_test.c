/*
 * A program of ours as it is started, and a peer of it that was taken over: each message that the peer may
 * send comes cut at every length, as a whole datagram too, and with each byte set to 255, so that every
 * length in it says more than there is. What is cut closes the channel or is answered with an error, never
 * done; the program lives on, and stops in order when it is told to.
 *
 *   cut_test EXECUTABLE ROLE
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "store/request.h"
#include "store/stored_peer.h"
#include "sys/fd.h"

#define ARENA   (64u * SHM_CHUNK)
#define PATIENT 20000 /* ms, for one answer on a busy machine */
#define SERIAL  7u

/* --- a message of each kind: any numbers, any bytes, but every field there --- */

static void
sample_u8(struct buf *b)
{
    ipc_put_u8(b, 1);
}
static void
sample_u16(struct buf *b)
{
    ipc_put_u16(b, 1);
}
static void
sample_u32(struct buf *b)
{
    ipc_put_u32(b, 1);
}
static void
sample_u64(struct buf *b)
{
    ipc_put_u64(b, 1);
}
static void
sample_i64(struct buf *b)
{
    ipc_put_i64(b, 1);
}
static void
sample_bytes(struct buf *b)
{
    ipc_put_bytes(b, SLICE("usr1@dominio.com.uy"));
}

#define FIELD_SAMPLE(type, name) sample_##type(b);
#define SAMPLE(FIELDS)                                                                                       \
    static void FIELDS##_sample(struct buf *b)                                                               \
    {                                                                                                        \
        FIELDS(FIELD_SAMPLE)                                                                                 \
    }

SAMPLE(CONN_FIELDS)
SAMPLE(CONN_ID_FIELDS)
SAMPLE(CONN_ADOPT_FIELDS)
SAMPLE(ID_FIELDS)
SAMPLE(NAME_FIELDS)
SAMPLE(PAGE_FIELDS)
SAMPLE(KEY_SIGN_FIELDS)
SAMPLE(SASL_START_FIELDS)
SAMPLE(SASL_STEP_FIELDS)
SAMPLE(TICKET_FIELDS)
SAMPLE(SECRET_SET_FIELDS)
SAMPLE(DIGEST_FEED_FIELDS)
SAMPLE(RCPT_CHECK_FIELDS)
SAMPLE(DELIVER_FIELDS)
SAMPLE(SIDE_BEGIN_FIELDS)
SAMPLE(SIDE_DATA_FIELDS)
SAMPLE(HANDLE_OPEN_FIELDS)
SAMPLE(MAILBOX_REF_FIELDS)
SAMPLE(MAILBOX_LIST_FIELDS)
SAMPLE(MAILBOX_NAME_FIELDS)
SAMPLE(MAILBOX_RENAME_FIELDS)
SAMPLE(MAILBOX_SUBSCRIBE_FIELDS)
SAMPLE(MESSAGE_LIST_FIELDS)
SAMPLE(CHANGE_LIST_FIELDS)
SAMPLE(DIGEST_LIST_FIELDS)
SAMPLE(BODY_READ_FIELDS)
SAMPLE(HEAD_LIST_FIELDS)
SAMPLE(APPEND_FIELDS)
SAMPLE(FLAGS_CHANGE_FIELDS)
SAMPLE(COPY_FIELDS)
SAMPLE(EXPUNGE_FIELDS)
SAMPLE(RECENT_CLAIM_FIELDS)
SAMPLE(HINT_FIELDS)
SAMPLE(ACCOUNT_ADD_FIELDS)
SAMPLE(ACCOUNT_DELETE_FIELDS)
SAMPLE(QUEUE_SETTLE_FIELDS)
SAMPLE(QUEUE_READ_FIELDS)

/* to whom, from whom, what, its fields, with a descriptor */
static const struct row {
    uint16_t to, from, type;
    void (*sample)(struct buf *b);
    bool fd;
} rows[] = {
    {ROLE_KEY,    ROLE_EDGE,  MSG_KEY_SIGN,          KEY_SIGN_FIELDS_sample,          false},
    {ROLE_AUTH,   ROLE_EDGE,  MSG_CONN_FACTS,        CONN_FIELDS_sample,              false},
    {ROLE_AUTH,   ROLE_EDGE,  MSG_CONN_OVER,         CONN_ID_FIELDS_sample,           false},
    {ROLE_AUTH,   ROLE_LOGIN, MSG_SASL_START,        SASL_START_FIELDS_sample,        false},
    {ROLE_AUTH,   ROLE_LOGIN, MSG_SASL_STEP,         SASL_STEP_FIELDS_sample,         false},
    {ROLE_AUTH,   ROLE_LOGIN, MSG_SASL_ABORT,        CONN_ID_FIELDS_sample,           false},
    {ROLE_AUTH,   ROLE_IMAP,  MSG_TICKET_REDEEM,     TICKET_FIELDS_sample,            false},
    {ROLE_AUTH,   ROLE_IMAP,  MSG_HANDLE_RENEW,      CONN_ID_FIELDS_sample,           false},
    {ROLE_AUTH,   ROLE_CTL,   MSG_SECRET_SET,        SECRET_SET_FIELDS_sample,        false},
    {ROLE_AUTH,   ROLE_CTL,   MSG_SECRET_DELETE,     NAME_FIELDS_sample,              false},
    {ROLE_AUTH,   ROLE_CTL,   MSG_SECRET_LIST,       PAGE_FIELDS_sample,              false},
    {ROLE_MDA,    ROLE_SMTP,  MSG_DIGEST_FEED,       DIGEST_FEED_FIELDS_sample,       false},
    {ROLE_MDA,    ROLE_SMTP,  MSG_DIGEST_CANCEL,     ID_FIELDS_sample,                false},
    {ROLE_SMTP,   ROLE_EDGE,  MSG_CONN,              CONN_FIELDS_sample,              true },
    {ROLE_SMTP,   ROLE_EDGE,  MSG_CONN_GONE,         CONN_ID_FIELDS_sample,           false},
    {ROLE_SMTP,   ROLE_STORE, MSG_CREDIT,            ID_FIELDS_sample,                false},
    {ROLE_SUBMIT, ROLE_EDGE,  MSG_CONN,              CONN_FIELDS_sample,              true },
    {ROLE_SUBMIT, ROLE_EDGE,  MSG_CONN_GONE,         CONN_ID_FIELDS_sample,           false},
    {ROLE_SUBMIT, ROLE_STORE, MSG_CREDIT,            ID_FIELDS_sample,                false},
    {ROLE_LOGIN,  ROLE_EDGE,  MSG_CONN,              CONN_FIELDS_sample,              true },
    {ROLE_LOGIN,  ROLE_EDGE,  MSG_CONN_GONE,         CONN_ID_FIELDS_sample,           false},
    {ROLE_IMAP,   ROLE_LOGIN, MSG_CONN_ADOPT,        CONN_ADOPT_FIELDS_sample,        true },
    {ROLE_IMAP,   ROLE_STORE, MSG_HINT,              HINT_FIELDS_sample,              false},
    {ROLE_IMAP,   ROLE_STORE, MSG_CREDIT,            ID_FIELDS_sample,                false},
    {ROLE_POP3,   ROLE_LOGIN, MSG_CONN_ADOPT,        CONN_ADOPT_FIELDS_sample,        true },
    {ROLE_STORE,  ROLE_SMTP,  MSG_RCPT_CHECK,        RCPT_CHECK_FIELDS_sample,        false},
    {ROLE_STORE,  ROLE_SMTP,  MSG_DELIVER,           DELIVER_FIELDS_sample,           false},
    {ROLE_STORE,  ROLE_SMTP,  MSG_SIDE_BEGIN,        SIDE_BEGIN_FIELDS_sample,        false},
    {ROLE_STORE,  ROLE_SMTP,  MSG_SIDE_DATA,         SIDE_DATA_FIELDS_sample,         false},
    {ROLE_STORE,  ROLE_SMTP,  MSG_SIDE_DROP,         ID_FIELDS_sample,                false},
    {ROLE_STORE,  ROLE_AUTH,  MSG_HANDLE_OPEN,       HANDLE_OPEN_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_HANDLE_CLOSE,      ID_FIELDS_sample,                false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MAILBOXES,         MAILBOX_LIST_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MAILBOX_STATUS,    MAILBOX_REF_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_SUBSCRIPTIONS,     MAILBOX_LIST_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_KEYWORDS,          ID_FIELDS_sample,                false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MESSAGES,          MESSAGE_LIST_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_CHANGES,           CHANGE_LIST_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_DIGESTS,           DIGEST_LIST_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_BODY_READ,         BODY_READ_FIELDS_sample,         false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_HEADS,             HEAD_LIST_FIELDS_sample,         false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MAILBOX_CREATE,    MAILBOX_NAME_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MAILBOX_DELETE,    MAILBOX_REF_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MAILBOX_RENAME,    MAILBOX_RENAME_FIELDS_sample,    false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_MAILBOX_SUBSCRIBE, MAILBOX_SUBSCRIBE_FIELDS_sample, false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_APPEND,            APPEND_FIELDS_sample,            false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_FLAGS,             FLAGS_CHANGE_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_COPY,              COPY_FIELDS_sample,              false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_EXPUNGE,           EXPUNGE_FIELDS_sample,           false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_RECENT,            RECENT_CLAIM_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_WATCH,             MAILBOX_REF_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_IMAP,  MSG_UNWATCH,           MAILBOX_REF_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_CTL,   MSG_ACCOUNT_ADD,       ACCOUNT_ADD_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_CTL,   MSG_ACCOUNT_QUOTA,     ACCOUNT_ADD_FIELDS_sample,       false},
    {ROLE_STORE,  ROLE_CTL,   MSG_ACCOUNT_DELETE,    ACCOUNT_DELETE_FIELDS_sample,    false},
    {ROLE_STORE,  ROLE_CTL,   MSG_ACCOUNTS,          PAGE_FIELDS_sample,              false},
    {ROLE_STORE,  ROLE_CTL,   MSG_ADMIN_MAILBOXES,   NAME_FIELDS_sample,              false},
    {ROLE_STORE,  ROLE_CTL,   MSG_STORE_DUMP,        PAGE_FIELDS_sample,              false},
    {ROLE_STORE,  ROLE_QUEUE, MSG_QUEUE_LIST,        ID_FIELDS_sample,                false},
    {ROLE_STORE,  ROLE_QUEUE, MSG_QUEUE_SETTLE,      QUEUE_SETTLE_FIELDS_sample,      false},
    {ROLE_STORE,  ROLE_QUEUE, MSG_QUEUE_READ,        QUEUE_READ_FIELDS_sample,        false},
};

/* --- the program, and frames --- */

static const char *executable;
static enum role role;
static pid_t pid;
static int control = -1;
static char root[] = "/tmp/cut-XXXXXX";
static unsigned sent;
static uint64_t link_number; /* of the newest channel */
static char fault[200];      /* why it was closed */

static void
give_up(const char *what, const struct row *row, size_t at)
{
    int status = 0;

    (void)printf("FAILED: %s, message %u, at %zu (%s)\n", what, row != NULL ? row->type : 0u, at,
                 strerror(errno));
    if (waitpid(pid, &status, WNOHANG) == pid)
        (void)printf("the program ended with status %x\n", (unsigned)status);
    else
        (void)kill(pid, SIGKILL);
    peer_remove_tree(root);
    exit(1);
}

static bool
send_datagram(int to, struct slice bytes, int pass)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } with = {0};
    struct iovec part = {(void *)(uintptr_t)bytes.p, bytes.n};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    if (pass >= 0) {
        m.msg_control = with.room;
        m.msg_controllen = sizeof(with.room);
        with.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&with.header), &pass, sizeof(int));
    }
    sent++;
    return sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)bytes.n;
}

static void
put_frame(struct buf *b, uint16_t type, struct slice payload, uint64_t serial, bool fd)
{
    buf_put_le16(b, type);
    buf_put_le16(b, fd ? 2 : 0);
    buf_put_le32(b, 0);
    buf_put_le32(b, (uint32_t)payload.n);
    buf_put_le32(b, 0);
    buf_put_le64(b, serial);
    buf_put(b, payload);
}

static void
tell(enum msg type, const struct buf *payload, int pass)
{
    AUTO_BUF b = BUF_INIT(4096);

    put_frame(&b, (uint16_t)type, buf_slice(payload), 0, pass >= 0);
    if (!send_datagram(control, buf_slice(&b), pass))
        give_up("the program does not hear estafetad", NULL, type);
}

/* Looks through the frames of one datagram for a reply with our serial, or a message of this type. */
static bool
look_for(struct slice frames, uint16_t type, enum status *st)
{
    uint16_t kind, flags, status, zero;
    uint32_t n, none;
    uint64_t serial;
    struct slice payload;
    struct msg_peer_lost lost;

    while (take_le16(&frames, &kind) && take_le16(&frames, &flags) && take_le16(&frames, &status) &&
           take_le16(&frames, &zero) && take_le32(&frames, &n) && take_le32(&frames, &none) &&
           take_le64(&frames, &serial) && take_bytes(&frames, n, &payload))
        if (type == MSG_PEER_LOST && kind == type) {
            if (!msg_peer_lost_get(payload, &lost) || lost.link != link_number)
                continue;
            (void)snprintf(fault, sizeof(fault), "%.*s", (int)lost.fault.n, (const char *)lost.fault.p);
            *st = ST_OK;
            return true;
        } else if (type != 0 ? kind == type : (flags & 1) != 0 && serial == SERIAL) {
            *st = (enum status)status;
            return true;
        }
    return false;
}

/* ST_CLOSED: the program ended the channel. ST_TIMEOUT: it said nothing. Else the status of its answer. */
static enum status
hear(int from, uint16_t type)
{
    static uint8_t bytes[IPC_DATAGRAM];
    enum status st;

    for (;;) {
        struct pollfd p = {from, POLLIN, 0};
        ssize_t n;

        if (poll(&p, 1, PATIENT) != 1)
            return ST_TIMEOUT;
        n = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n <= 0)
            return ST_CLOSED;
        if (look_for(slice_from(bytes, (size_t)n), type, &st))
            return st;
    }
}

/* A new channel as from that peer; the old one of it is closed by then. */
static int
new_channel(uint16_t from)
{
    static uint8_t bytes[IPC_DATAGRAM];
    AUTO_BUF m = BUF_INIT(100);
    int ends[2];

    while (recv(control, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
    if (!seqpacket_pair(ends))
        give_up("socketpair", NULL, from);
    msg_peer_put(&m, &(struct msg_peer){from, 0, ++link_number});
    tell(MSG_PEER, &m, ends[1]);
    (void)close(ends[1]);
    return ends[0];
}

static void
arena(enum arena_kind kind, uint16_t whose)
{
    AUTO_FD writer = memfd_sized("bodies", ARENA);
    AUTO_FD reader = memfd_readonly(writer);
    AUTO_BUF m = BUF_INIT(100);

    msg_arena_put(&m, &(struct msg_arena){(uint8_t)kind, whose, 0, ARENA});
    tell(MSG_ARENA, &m, kind == ARENA_IN ? reader : writer);
}

static void
start_program(void)
{
    static const char *const folders[] = {"store", "auth", "etc", "etc/tls"};
    AUTO_BUF boot = BUF_INIT(4000), line = BUF_INIT(400), nothing = BUF_INIT(1);
    char path[64];
    int ends[2];

    if (mkdtemp(root) == NULL || !seqpacket_pair(ends))
        give_up("a root", NULL, 0);
    for (size_t i = 0; i < COUNT(folders); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        if (mkdir(path, 0700) != 0)
            give_up(path, NULL, 0);
    }
    pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 3); /* without close-on-exec */
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0",
                     1); /* a leak check needs calls that confinement forbids */
        (void)execl(executable, executable, (char *)NULL);
        _exit(127);
    }
    (void)close(ends[1]);
    control = ends[0];
    if (role == ROLE_STORE)
        buf_printf(&line, "class=store write=%s/store", root);
    else if (role == ROLE_AUTH)
        buf_printf(&line, "class=auth write=%s/auth", root);
    else if (role == ROLE_KEY)
        buf_printf(&line, "class=key read=%s/etc/tls", root);
    else
        buf_puts(&line, "class=parser");
    msg_boot_put(&boot, &(struct msg_boot){
                            .role = (uint16_t)role,
                            .root = slice_of(root),
                            .settings = SLICE("domain = dominio.com.uy\nhostname = mx.dominio.com.uy\n"),
                            .confinement = buf_slice(&line)});
    tell(MSG_BOOT, &boot, -1);
    if (role == ROLE_SMTP || role == ROLE_SUBMIT || role == ROLE_IMAP)
        arena(ARENA_OWN, (uint16_t)role);
    if (role == ROLE_MDA || role == ROLE_STORE)
        arena(ARENA_IN, ROLE_SMTP);
    tell(MSG_GO, &nothing, -1);
    if (hear(control, MSG_READY) != ST_OK)
        give_up("it is not ready", NULL, 0);
}

/* --- the attacks --- */

static enum status
attack(const struct row *row, struct slice datagram, bool wait)
{
    AUTO_FD ch = new_channel(row->from);
    AUTO_FD pass = row->fd ? memfd_sized("connection", SHM_CHUNK) : -1;

    if (!send_datagram(ch, datagram, pass))
        return ST_CLOSED;
    return wait ? hear(ch, 0) : ST_OK;
}

/* The program tells estafetad why it closed the newest channel: because of what its handler said of this
 * message. */
static bool
was_the_message(const struct row *row)
{
    char want[40];

    (void)snprintf(want, sizeof(want), "message %u: ", row->type);
    return hear(control, MSG_PEER_LOST) == ST_OK && strncmp(fault, want, strlen(want)) == 0;
}

static void
attack_with(const struct row *row, bool whole_datagram)
{
    AUTO_BUF payload = BUF_INIT(4096), frame = BUF_INIT(4096);
    enum status st;

    row->sample(&payload);
    for (size_t n = 0; n < payload.n; n++) {
        buf_clear(&frame);
        put_frame(&frame, row->type, slice_sub(buf_slice(&payload), 0, n), SERIAL, row->fd);
        st = attack(row, buf_slice(&frame), true);
        if (st == ST_OK || st == ST_TIMEOUT)
            give_up(st == ST_OK ? "a cut message was done" : "a cut message got no answer", row, n);
        if (st == ST_CLOSED && !was_the_message(row))
            give_up("its channel was closed for something else", row, n);
    }
    buf_clear(&frame);
    put_frame(&frame, row->type, buf_slice(&payload), SERIAL, row->fd);
    for (size_t n = 1; whole_datagram && n < frame.n; n++)
        if (attack(row, slice_sub(buf_slice(&frame), 0, n), true) != ST_CLOSED)
            give_up("a cut datagram was taken", row, n);
    for (size_t at = IPC_HEADER; at < frame.n; at++) {
        uint8_t was = frame.p[at];

        frame.p[at] = 0xff;
        (void)attack(row, buf_slice(&frame), false);
        frame.p[at] = was;
    }
}

int
main(int argc, char **argv)
{
    AUTO_BUF nothing = BUF_INIT(1);
    bool first = true;
    int status = -1;

    for (enum role r = 0; argc > 2 && r < ROLE_COUNT; r++)
        if (strcmp(role_name(r), argv[2]) == 0)
            role = r;
    if (argc < 3 || role == 0)
        return 2;
    executable = argv[1];
    (void)signal(SIGPIPE, SIG_IGN);
    start_program();
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].to == role) {
            attack_with(&rows[i], first);
            first = false;
        }
    tell(MSG_STOP, &nothing, -1);
    while (hear(control, UINT16_MAX) != ST_CLOSED)
        ;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        give_up("it did not stop in order", NULL, (size_t)status);
    peer_remove_tree(root);
    (void)printf("%s: %u datagrams, none done that was cut\n", argv[2], sent);
    return first ? 1 : 0;
}
