/*
 * What a program that was taken over may do to stored, which must lose nobody's mail, serve the others on, and keep its store
 * whole: side bodies of others, used twice, never sealed, thrown away; handles of others; requests cut at every length.
 * argv[1] is stored.
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "ipc/messages.h"
#include "store/stored_peer.h"
#include "sys/fiber.h"

#define BODY 100000u
#define SIDES 256u /* SIDES_PEER_MAX of store/side.h */

static struct stored_peer peer = {.settings = "domain = dominio.com.uy\n"};
static uint8_t body[BODY];
static uint64_t a, b; /* accounts */
static uint64_t imap_handle, inbox, pop_handle;

static uint64_t
add_account(const char *name)
{
    AUTO_BUF reply = BUF_INIT(100);
    uint64_t account = 0;

    CHECK_INT(0, PEER_ASK(&peer, peer.ctl, MSG_ACCOUNT_ADD, account_add, &reply, slice_of(name), 0), ST_OK);
    CHECK_INT(1, peer_rcpt(&peer, name, &account), ST_OK);
    return account;
}

/* A DELIVER of a side body; request: its 16 bytes are this byte. */
static enum status
deliver_side(uint64_t side, uint64_t n, uint8_t request, bool again)
{
    AUTO_BUF list = BUF_INIT(200), reply = BUF_INIT(100);
    uint8_t bytes[16];

    memset(bytes, request, sizeof(bytes));
    deliver_rcpt_put(&list, &(struct deliver_rcpt){a, SLICE("a@dominio.com.uy"), SLICE(""), 0, {0}});
    return PEER_ASK(&peer, peer.smtp, MSG_DELIVER, deliver, &reply, .request = slice_from(bytes, 16), .received = 1, .n = n,
                    .side = side, .digest = SLICE("digest"), .recipients = buf_slice(&list), .again = again);
}

static enum status
append_side(uint64_t side, uint8_t request)
{
    AUTO_BUF reply = BUF_INIT(100), messages = BUF_INIT(100);
    uint8_t bytes[16];

    memset(bytes, request, sizeof(bytes));
    append_message_put(&messages, &(struct append_message){.n = BODY, .digest = SLICE("digest")});
    return PEER_ASK(&peer, peer.imap, MSG_APPEND, append, &reply, .handle = imap_handle, .request = slice_from(bytes, 16),
                    .mailbox = inbox, .n = BODY, .side = side, .messages = buf_slice(&messages));
}

static uint64_t
side_of(struct channel *ch)
{
    uint64_t id = 0;

    CHECK_INT(0, peer_side(&peer, ch, slice_from(body, BODY), true, &id), ST_OK);
    return id;
}

static size_t
files(void)
{
    char path[128];
    size_t n = 0;
    DIR *d;

    (void)snprintf(path, sizeof(path), "%s/store/log", peer.root);
    d = opendir(path);
    CHECK(0, d != NULL);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void
wait_for_files(int at, size_t n)
{
    for (int i = 0; i < 2000 && files() != n; i++)
        fiber_sleep_until(loop_now(peer.loop) + MSEC(5));
    CHECK_INT(at, files(), n);
}

static void
check_store(int at)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct msg_text text = {0};

    CHECK_INT(at, ipc_call(peer.ctl, (enum msg)MSG_STORE_CHECK, (struct slice){0}, -1, loop_now(peer.loop) + PEER_WAIT, &reply),
              ST_OK);
    CHECK(at, msg_text_get(buf_slice(&reply), &text));
    CHECK(at, slice_find_slice(text.text, SLICE("0 things are wrong")) < text.text.n);
}

/* --- side bodies --- */

struct both {
    uint64_t side;
    uint8_t request;
    unsigned left, ok;
};

static void
delivers(void *arg)
{
    struct both *w = arg;
    enum status st = deliver_side(w->side, BODY, ++w->request, false);

    CHECK(0, st == ST_OK || st == ST_STALE);
    w->ok += st == ST_OK;
    w->left--;
}

/* Two records that adopt one segment would each count it theirs: with the first message that goes, both bodies would. */
static void
used_twice(void)
{
    uint64_t side = side_of(peer.smtp);
    struct both w = {side_of(peer.smtp), 10, 3, 0};

    CHECK_INT(1, deliver_side(side, BODY, 1, false), ST_OK);
    CHECK_INT(2, deliver_side(side, BODY, 2, false), ST_STALE);
    for (unsigned i = 0; i < 3; i++) /* before any of them is answered */
        CHECK_INT(3, fiber_spawn(peer.loop, delivers, &w), ST_OK);
    while (w.left > 0)
        fiber_sleep_until(loop_now(peer.loop) + MSEC(1));
    CHECK_INT(4, w.ok, 1);
    check_store(5);
}

static void
of_others(void)
{
    uint64_t side = side_of(peer.imap), small = side_of(peer.smtp);

    CHECK_INT(1, deliver_side(side, BODY, 20, false), ST_STALE);
    CHECK_INT(2, deliver_side(side, BODY, 1, true), ST_OK); /* that request was done: nothing is taken again */
    CHECK_INT(3, deliver_side(small, BODY - 1, 21, false), ST_STALE);
    CHECK_INT(4, append_side(side, 22), ST_OK); /* it is still there for whose it is */
    CHECK_INT(5, append_side(side, 23), ST_STALE);
    CHECK_INT(6, append_side(small, 24), ST_STALE);
    CHECK_INT(7, append_side(UINT64_MAX, 25), ST_STALE);
    CHECK_INT(8, deliver_side(small, BODY, 26, false), ST_OK);
}

static void
say_drop(struct channel *ch, uint64_t id)
{
    AUTO_BUF m = BUF_INIT(16);

    msg_id_put(&m, &(struct msg_id){id});
    CHECK_INT(0, ipc_send(ch, (enum msg)MSG_SIDE_DROP, buf_slice(&m), -1), ST_OK);
}

/* Sealed and thrown away again and again: no file stays. A request that has one goes on although its sender drops it. */
static void
thrown_away(void)
{
    size_t before = files();
    uint64_t side;
    struct both w = {0, 40, 1, 0};

    for (int i = 0; i < 5; i++)
        say_drop(peer.smtp, side_of(peer.smtp));
    say_drop(peer.smtp, 12345678);
    say_drop(peer.imap, side_of(peer.smtp)); /* another's: nothing happens */
    wait_for_files(1, before + 1);
    w.side = side_of(peer.smtp);
    side = w.side;
    CHECK_INT(2, fiber_spawn(peer.loop, delivers, &w), ST_OK);
    say_drop(peer.smtp, side);
    while (w.left > 0)
        fiber_sleep_until(loop_now(peer.loop) + MSEC(1));
    CHECK_INT(3, w.ok, 1);
    wait_for_files(4, before + 2);
    check_store(5);
}

/* As many as it may have, none of them sealed: the others have theirs, and all is well when its channel is gone. */
static void
never_sealed(void)
{
    size_t before = files();
    uint64_t id;

    for (unsigned i = 0; i < SIDES; i++)
        CHECK_INT(i, peer_side(&peer, peer.imap, slice_from(body, 1), i % 2 == 0, &id), ST_OK);
    CHECK_INT(1, peer_side(&peer, peer.imap, slice_from(body, 1), true, &id), ST_UNAVAILABLE);
    CHECK_INT(2, deliver_side(side_of(peer.smtp), BODY, 60, false), ST_OK);
    CHECK_INT(3, peer_again(&peer, ROLE_IMAP), ST_OK);
    wait_for_files(4, before + 1);
    CHECK_INT(5, peer_handle(&peer, "b@dominio.com.uy", &imap_handle), ST_OK);
    CHECK_INT(6, append_side(side_of(peer.imap), 61), ST_OK);
    check_store(7);
}

/* --- handles --- */

/* pop3d's handle, of a, in imapd's hands. */
static void
handles_of_others(void)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
    uint64_t mailbox;
    const struct slice uids = SLICE("\1\0\0\0\1\0\0\0");

    CHECK_INT(1, PEER_ASK(&peer, peer.auth, MSG_HANDLE_OPEN, handle_open, &reply, SLICE("a@dominio.com.uy"), ROLE_POP3, 0, 1,
                          RIGHT_READ | RIGHT_WRITE),
              ST_OK);
    {
        struct msg_id got = {0};

        CHECK(2, msg_id_get(buf_slice(&reply), &got));
        pop_handle = got.id;
    }
    CHECK_INT(3, peer_mailbox(&peer, pop_handle, "INBOX", &mailbox), ST_STALE);
    CHECK_INT(4, PEER_ASK(&peer, peer.imap, MSG_FLAGS, flags_change, &reply, pop_handle, inbox, uids, FLAGS_ADD, FLAG_DELETED,
                          SLICE(""), UINT64_MAX),
              ST_STALE);
    CHECK_INT(5, PEER_ASK(&peer, peer.imap, MSG_WATCH, mailbox_ref, &reply, pop_handle, inbox), ST_STALE);
    CHECK_INT(6, PEER_ASK(&peer, peer.imap, MSG_MAILBOX_DELETE, mailbox_ref, &reply, pop_handle, inbox), ST_STALE);
    CHECK_INT(7, PEER_ASK(&peer, peer.imap, MSG_BODY_READ, body_read, &reply, pop_handle, inbox, 1, 0, 10), ST_STALE);
    /* Closed by another, it stays open for whose it is. */
    {
        AUTO_BUF m = BUF_INIT(16);

        msg_id_put(&m, &(struct msg_id){pop_handle});
        CHECK_INT(8, ipc_send(peer.imap, (enum msg)MSG_HANDLE_CLOSE, buf_slice(&m), -1), ST_OK);
    }
    CHECK_INT(9, PEER_ASK(&peer, peer.imap, MSG_MAILBOXES, mailbox_list, &reply, imap_handle, SLICE("")), ST_OK);
    CHECK_INT(10, PEER_ASK(&peer, peer.pop, MSG_MAILBOXES, mailbox_list, &reply, pop_handle, SLICE("")), ST_OK);
    /* Other mailboxes than the account's own do not exist. */
    CHECK_INT(11, PEER_ASK(&peer, peer.imap, MSG_BODY_READ, body_read, &reply, imap_handle, UINT64_MAX, 1, 0, 10), ST_NOTFOUND);
}

/* One message of two accounts, whose body is one, named twice in one request: no reference is lost, no counter wrong. */
static void
named_twice(void)
{
    AUTO_BUF list = BUF_INIT(400), reply = BUF_INIT(IPC_PAYLOAD_MAX), got = BUF_INIT(100);
    const struct deliver m = {.request = SLICE("shared  shared  "), .received = 1, .digest = SLICE("digest"), .prefix = SLICE("P: 1\r\n")};
    const uint64_t accounts[] = {a, b};
    struct delivered delivered;
    struct mailbox_status status;
    uint64_t box, handle;
    uint32_t uid, other;

    CHECK_INT(1, peer_deliver(&peer, &m, SLICE("shared"), false, accounts, 2, "", &delivered), ST_OK);
    CHECK_INT(2, peer_status(&peer, imap_handle, inbox, &status), ST_OK);
    uid = status.uidnext - 1;
    for (int i = 0; i < 2; i++)
        uid_run_put(&list, &(struct uid_run){uid, uid});
    CHECK_INT(3, PEER_ASK(&peer, peer.imap, MSG_FLAGS, flags_change, &reply, imap_handle, inbox, buf_slice(&list), FLAGS_ADD,
                          FLAG_SEEN, SLICE(""), UINT64_MAX),
              ST_SYNTAX);
    CHECK_INT(4, PEER_ASK(&peer, peer.imap, MSG_COPY, copy, &reply, .handle = imap_handle, .mailbox = inbox,
                          .uids = buf_slice(&list), .to = inbox),
              ST_SYNTAX);
    CHECK_INT(5, PEER_ASK(&peer, peer.imap, MSG_EXPUNGE, expunge, &reply, .handle = imap_handle, .mailbox = inbox,
                          .uids = buf_slice(&list)),
              ST_SYNTAX);
    buf_clear(&list);
    uid_run_put(&list, &(struct uid_run){1, uid});
    uid_run_put(&list, &(struct uid_run){uid, uid + 1});
    CHECK_INT(6, PEER_ASK(&peer, peer.imap, MSG_EXPUNGE, expunge, &reply, .handle = imap_handle, .mailbox = inbox,
                          .uids = buf_slice(&list)),
              ST_SYNTAX);
    buf_clear(&list);
    uid_run_put(&list, &(struct uid_run){uid, uid});
    CHECK_INT(7, PEER_ASK(&peer, peer.imap, MSG_EXPUNGE, expunge, &reply, .handle = imap_handle, .mailbox = inbox,
                          .uids = buf_slice(&list)),
              ST_OK);
    check_store(8);
    CHECK_INT(9, peer_handle(&peer, "a@dominio.com.uy", &handle), ST_OK);
    CHECK_INT(10, peer_mailbox(&peer, handle, "INBOX", &box), ST_OK);
    CHECK_INT(11, peer_status(&peer, handle, box, &status), ST_OK);
    other = status.uidnext - 1;
    CHECK_INT(12, peer_read(&peer, handle, box, other, &got), ST_OK);
    CHECK_SLICE(13, buf_slice(&got), slice_of("P: 1\r\nshared"));
}

/* pop3d reads and expunges. What else its handle would allow is no concern of its program. */
static void
no_business_of_pop3d(void)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);

    CHECK_INT(1, PEER_ASK(&peer, peer.pop, MSG_MAILBOX_DELETE, mailbox_ref, &reply, pop_handle, 1), ST_CLOSED);
    CHECK(2, !peer_has_ended(&peer));
}

/* --- cut at every length --- */

static void
cut(enum store_msg type, const struct buf *whole)
{
    for (size_t n = 0; n < whole->n; n++) {
        AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
        enum status st = ipc_call(peer.imap, (enum msg)type, slice_from(whole->p, n), -1, loop_now(peer.loop) + PEER_WAIT, &reply);

        CHECK(n, st == ST_SYNTAX || st == ST_STALE || st == ST_CLOSED);
        CHECK(n, !peer_has_ended(&peer));
        if (st != ST_CLOSED)
            continue;
        CHECK_INT(n, peer_again(&peer, ROLE_IMAP), ST_OK);
    }
    CHECK_INT(1, peer_handle(&peer, "b@dominio.com.uy", &imap_handle), ST_OK);
}

static void
cut_short(void)
{
    AUTO_BUF m = BUF_INIT(4096), messages = BUF_INIT(100);
    const struct slice uids = SLICE("\1\0\0\0\1\0\0\0");

    flags_change_put(&m, &(struct flags_change){imap_handle, inbox, uids, FLAGS_ADD, FLAG_SEEN, SLICE(""), UINT64_MAX});
    cut(MSG_FLAGS, &m);
    buf_clear(&m);
    append_message_put(&messages, &(struct append_message){.n = 3});
    append_put(&m, &(struct append){.handle = imap_handle, .request = SLICE("0123456789abcdef"), .mailbox = inbox, .n = 3,
                                    .chunks = SLICE("\0\0\0\0"), .messages = buf_slice(&messages)});
    cut(MSG_APPEND, &m);
    buf_clear(&m);
    body_read_put(&m, &(struct body_read){imap_handle, inbox, 1, 0, 10});
    cut(MSG_BODY_READ, &m);
    buf_clear(&m);
    side_data_put(&m, &(struct side_data){1, SLICE("\0\0\0\0"), 3, 1});
    cut(MSG_SIDE_DATA, &m);
    buf_clear(&m);
    mailbox_rename_put(&m, &(struct mailbox_rename){.handle = imap_handle, .mailbox = inbox, .name = SLICE("other")});
    cut(MSG_MAILBOX_RENAME, &m);
}

static void
all(void *arg)
{
    struct mailbox_status status;
    uint64_t handle;

    CHECK_INT(0, peer_start(&peer), ST_OK);
    a = add_account("a@dominio.com.uy");
    b = add_account("b@dominio.com.uy");
    CHECK_INT(1, peer_handle(&peer, "b@dominio.com.uy", &imap_handle), ST_OK);
    CHECK_INT(2, peer_mailbox(&peer, imap_handle, "INBOX", &inbox), ST_OK);
    used_twice();
    of_others();
    thrown_away();
    never_sealed();
    handles_of_others();
    named_twice();
    no_business_of_pop3d();
    cut_short();
    CHECK_INT(3, peer_handle(&peer, "a@dominio.com.uy", &handle), ST_OK);
    CHECK_INT(4, peer_mailbox(&peer, handle, "INBOX", &inbox), ST_OK);
    CHECK_INT(5, peer_status(&peer, handle, inbox, &status), ST_OK);
    CHECK_INT(6, status.messages, 6); /* requests 1, one of 11 to 13, 26, 41, 60; the shared one */
    for (uint32_t uid = 1; uid <= 5; uid++) {
        AUTO_BUF got = BUF_INIT(BODY + 100);

        CHECK_INT(uid, peer_read(&peer, handle, inbox, uid, &got), ST_OK);
        CHECK(uid, slice_eq(buf_slice(&got), slice_from(body, BODY)));
    }
    check_store(7);
    CHECK_INT(8, peer_end(&peer, false), 0);
    loop_stop(peer.loop);
}

TEST(siblings)
{
    for (size_t i = 0; i < BODY; i++)
        body[i] = (uint8_t)(i * 7 + (i >> 8));
    CHECK(0, peer_live(&peer, all));
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(siblings))};

    peer.executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
