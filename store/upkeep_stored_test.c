/*
 * What stored does for its store beside mail, asked of the real program, confined: compaction under mail,
 * check, backup; then the same store in the offline modes. argv[1] is stored.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "ipc/messages.h"
#include "store/stored_peer.h"
#include "sys/fiber.h"

#define BODY 900000u

static struct stored_peer peer = {.settings = "domain = dominio.com.uy\nsegment_size = 5M\n"};
static char root[] = "/tmp/upkeep-stored-XXXXXX", other[64];
static uint8_t *body;

static void
fill(unsigned seed)
{
    for (size_t i = 0; i < BODY; i++)
        body[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

static void
deliver(uint64_t account, unsigned seed, size_t n, bool side)
{
    uint8_t request[16];
    struct deliver m = {.request = slice_from(request, 16),
                        .received = 1,
                        .digest = SLICE("digest"),
                        .prefix = SLICE("P: 1\r\n")};
    struct delivered got;

    memset(request, (int)seed, sizeof(request));
    fill(seed);
    CHECK_INT(seed, peer_deliver(&peer, &m, slice_from(body, n), side, &account, 1, "", &got), ST_OK);
}

/* The message is what was delivered. */
static void
check_message(const char *name, uint32_t uid, unsigned seed, size_t n)
{
    AUTO_BUF got = BUF_INIT(8u << 20);
    uint64_t handle, mailbox;

    CHECK_INT(seed, peer_handle(&peer, name, &handle), ST_OK);
    CHECK_INT(seed, peer_mailbox(&peer, handle, "INBOX", &mailbox), ST_OK);
    CHECK_INT(seed, peer_read(&peer, handle, mailbox, uid, &got), ST_OK);
    fill(seed);
    CHECK_INT(seed, got.n, n + 6);
    CHECK(seed, memcmp(got.p + 6, body, n) == 0);
}

static enum status
ask_text(enum store_msg type, const char *name, struct buf *words)
{
    AUTO_BUF m = BUF_INIT(512), reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct msg_text text = {0};
    enum status st;

    if (name != NULL)
        msg_name_put(&m, &(struct msg_name){slice_of(name)});
    st = ipc_call(peer.ctl, (enum msg)type, buf_slice(&m), -1, loop_now(peer.loop) + PEER_WAIT, &reply);
    buf_clear(words);
    if (msg_text_get(buf_slice(&reply), &text))
        buf_put(words, text.text);
    return st;
}

static bool
says(const struct buf *words, const char *what)
{
    return slice_find_slice(buf_slice(words), slice_of(what)) < words->n;
}

/* Mail goes on while segments go. */
static void
deliver_meanwhile(void *arg)
{
    uint64_t account;

    CHECK_INT(0, peer_rcpt(&peer, "b@dominio.com.uy", &account), ST_OK);
    for (unsigned i = 0; i < 10; i++) {
        deliver(account, 100 + i, 3000, false);
        fiber_sleep_until(loop_now(peer.loop) + MSEC(20));
    }
    *(bool *)arg = true;
}

static void
add_account(const char *name)
{
    AUTO_BUF reply = BUF_INIT(100);

    CHECK_INT(0, PEER_ASK(&peer, peer.ctl, MSG_ACCOUNT_ADD, account_add, &reply, slice_of(name), 0), ST_OK);
}

static void
life(void)
{
    AUTO_BUF words = BUF_INIT(1u << 16), reply = BUF_INIT(100), before = BUF_INIT(64u << 20),
             after = BUF_INIT(64u << 20);
    uint64_t a, b;
    bool done = false;

    CHECK_INT(0, peer_start(&peer), ST_OK);
    add_account("a@dominio.com.uy");
    add_account("b@dominio.com.uy");
    CHECK_INT(1, peer_rcpt(&peer, "a@dominio.com.uy", &a), ST_OK);
    CHECK_INT(2, peer_rcpt(&peer, "b@dominio.com.uy", &b), ST_OK);
    for (unsigned i = 0; i < 12; i++) /* some segments, of each a third will live */
        deliver(i % 3 == 0 ? b : a, 1 + i, BODY, i == 5 || i == 6);
    CHECK_INT(
        3,
        PEER_ASK(&peer, peer.ctl, MSG_ACCOUNT_DELETE, account_delete, &reply, SLICE("a@dominio.com.uy"), 0),
        ST_OK);
    fiber_sleep_until(loop_now(peer.loop) + MSEC(500)); /* its messages go in the background */
    CHECK_INT(4, fiber_spawn(peer.loop, deliver_meanwhile, &done), ST_OK);
    CHECK_INT(5, ask_text(MSG_STORE_COMPACT, NULL, &words), ST_OK);
    CHECK(6, says(&words, "segments of") && done);
    CHECK_INT(7, ask_text(MSG_STORE_CHECK, NULL, &words), ST_OK);
    CHECK(8, says(&words, "0 things are wrong") && says(&words, "1 accounts, 14 messages"));
    check_message("b@dominio.com.uy", 1, 1, BODY);
    check_message("b@dominio.com.uy", 3, 7, BODY);
    check_message("b@dominio.com.uy", 14, 109, 3000);
    CHECK_INT(9, ask_text(MSG_STORE_BACKUP, "monday", &words), ST_OK);
    CHECK(10, says(&words, "as links"));
    CHECK_INT(11, ask_text(MSG_STORE_BACKUP, "monday", &words), ST_EXISTS);
    CHECK_INT(12, ask_text(MSG_STORE_BACKUP, "../store", &words), ST_SYNTAX);
    CHECK_INT(13, peer_dump(&peer, &before), ST_OK);
    CHECK_INT(14, WTERMSIG(peer_end(&peer, true)), 9);
    CHECK_INT(15, peer_start(&peer), ST_OK);
    CHECK_INT(16, peer_dump(&peer, &after), ST_OK);
    CHECK(17, slice_eq(buf_slice(&before), buf_slice(&after)));
    check_message("b@dominio.com.uy", 4, 10, BODY);
    CHECK_INT(18, peer_end(&peer, false), 0);
}

static int
offline(const char *where, const char *mode, const char *dir)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        (void)dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        (void)execl(peer.executable, "stored", "--root", where, "--offline", mode, dir, (char *)NULL);
        _exit(127);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The index is built anew, and again from the backup elsewhere; mail is the same. */
static void
offline_modes(void)
{
    char path[128];

    CHECK_INT(0, offline(root, "check", NULL), 0);
    CHECK_INT(1, offline(root, "rebuild", NULL), 0);
    CHECK_INT(2, offline(root, "check", NULL), 0);
    CHECK_INT(3, offline(root, "nonsense", NULL), 64);
    (void)snprintf(path, sizeof(path), "%s/backup/monday", root);
    CHECK_INT(4, offline(root, "restore", path) != 0, true); /* there is mail */
    CHECK_INT(5, offline(other, "restore", path), 0);
    CHECK_INT(6, offline(other, "dump", NULL), 0);
    peer.root = other;
    CHECK_INT(7, peer_start(&peer), ST_OK);
    check_message("b@dominio.com.uy", 1, 1, BODY);
    check_message("b@dominio.com.uy", 14, 109, 3000);
    CHECK_INT(8, peer_end(&peer, false), 0);
}

static void
all(void *arg)
{
    life();
    offline_modes();
    loop_stop(peer.loop);
}

TEST(upkeep)
{
    char path[128];

    body = malloc(BODY);
    CHECK(0, body != NULL && mkdtemp(root) != NULL);
    (void)snprintf(other, sizeof(other), "%s/other", root);
    for (unsigned i = 0; i < 4; i++) {
        static const char *const folders[] = {"store", "backup", "other", "other/store"};

        (void)snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
        CHECK_INT(i, mkdir(path, 0700), 0);
    }
    peer.root = root;
    CHECK(1, peer_setup(&peer));
    CHECK_INT(2, loop_new(&peer.loop, NULL), ST_OK);
    CHECK_INT(3, fiber_spawn(peer.loop, all, NULL), ST_OK);
    CHECK_INT(4, loop_run(peer.loop, NULL), ST_OK);
    loop_free(peer.loop);
    peer_done(&peer);
    peer_remove_tree(root);
    free(body);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(upkeep))};

    peer.executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
