/* Plays estafetad, edged, logind, imapd, stored and an administrator against authd (the program named in argv[1]). */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "ipc/program.h"
#include "sasl/scram.h"
#include "store/request.h"

static const char *program;
static char root[] = "/tmp/authd-XXXXXX";
static struct loop *loop;
static struct channel *control;
static uint16_t opened_for;

static enum status
on_ready(struct ipc_request *r)
{
    return ST_OK;
}

static enum status
on_handle_open(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(100);
    struct handle_open m;

    if (!handle_open_get(r->payload, &m) || m.conn != 7)
        return ST_SYNTAX;
    opened_for = m.role;
    msg_id_put(&b, &(struct msg_id){4711});
    ipc_answer(r->from, ST_OK, buf_slice(&b));
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_READY, ROLE_BIT(AUTH), on_ready, false},
    {MSG_HANDLE_OPEN, ROLE_BIT(AUTH), on_handle_open, false},
    {0},
};

static void
on_end(struct channel *ch)
{
    loop_stop(loop);
}

static struct channel *
peer(enum role role)
{
    AUTO_BUF m = BUF_INIT(100);
    struct channel *ch = NULL;
    int fds[2];

    CHECK_INT(role, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    msg_peer_put(&m, &(struct msg_peer){(uint16_t)role, 0});
    CHECK_INT(role, ipc_send(control, MSG_PEER, buf_slice(&m), fds[1]), ST_OK);
    close(fds[1]);
    CHECK_INT(role, channel_new(loop, fds[0], ROLE_AUTH, 0, routes, NULL, &ch), ST_OK);
    return ch;
}

static enum status
call(struct channel *ch, enum msg type, struct buf *m, struct buf *reply)
{
    enum status st = ipc_call(ch, type, buf_slice(m), -1, loop_now(loop) + SECONDS(30), reply);

    buf_clear(m);
    return st;
}

static void
facts(struct channel *edge, uint64_t conn, uint8_t tls)
{
    AUTO_BUF m = BUF_INIT(500);
    static const uint8_t address[18] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1, 0, 25};

    msg_conn_put(&m, &(struct msg_conn){.conn = conn, .service = SERVICE_IMAPS, .peer = slice_from(address, 18),
                                        .local = slice_from(address, 18), .tls = tls});
    CHECK_INT(conn, ipc_send(edge, MSG_CONN_FACTS, buf_slice(&m), -1), ST_OK);
}

static enum status
plain(struct channel *login, uint64_t conn, struct slice initial, struct buf *reply)
{
    AUTO_BUF m = BUF_INIT(500);

    msg_sasl_start_put(&m, &(struct msg_sasl_start){conn, SLICE("PLAIN"), 1, initial});
    return call(login, MSG_SASL_START, &m, reply);
}

/* edged speaks while a login waits. */
static void
late_facts(void *arg)
{
    fiber_sleep_until(loop_now(loop) + MSEC(50));
    facts(arg, 7, 1);
}

static void
play(void *arg)
{
    AUTO_BUF m = BUF_INIT(1000), reply = BUF_INIT(65536), line = BUF_INIT(200);
    struct channel *edge, *login, *imap, *store, *ctl;
    struct msg_sasl sasl = {0};
    struct msg_identity id = {0};
    struct slice good = slice_from("\0usr1\0right", 11);
    uint8_t ticket[16];

    buf_printf(&line, "class=auth write=%s/auth", root);
    msg_boot_put(&m, &(struct msg_boot){.role = ROLE_AUTH, .root = slice_of(root),
                                        .settings = SLICE("domain = Dominio.com.uy\n"), .confinement = buf_slice(&line)});
    CHECK_INT(0, ipc_send(control, MSG_BOOT, buf_slice(&m), -1), ST_OK);
    buf_clear(&m);
    edge = peer(ROLE_EDGE), login = peer(ROLE_LOGIN), imap = peer(ROLE_IMAP), store = peer(ROLE_STORE), ctl = peer(ROLE_CTL);
    CHECK_INT(1, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);

    msg_secret_set_put(&m, &(struct msg_secret_set){SLICE("USR1"), SLICE("right"), 0});
    CHECK_INT(2, call(ctl, MSG_SECRET_SET, &m, &reply), ST_NOTFOUND);
    msg_secret_set_put(&m, &(struct msg_secret_set){SLICE("USR1"), SLICE("right"), 1});
    CHECK_INT(3, call(ctl, MSG_SECRET_SET, &m, &reply), ST_OK);

    CHECK_INT(4, plain(login, 7, good, &reply), ST_UNAVAILABLE); /* edged does not tell of it */
    facts(edge, 7, 0);
    fiber_sleep_until(loop_now(loop) + MSEC(50));
    CHECK_INT(5, plain(login, 7, good, &reply), ST_STATE); /* no TLS */
    CHECK_INT(6, fiber_spawn(loop, late_facts, edge), ST_OK);
    CHECK_INT(6, plain(login, 7, slice_from("\0usr1\0wrong", 11), &reply), ST_DENIED);
    CHECK_INT(7, plain(login, 7, slice_from("\0nobody\0right", 13), &reply), ST_DENIED);
    CHECK_INT(8, plain(login, 7, slice_from("other\0usr1\0right", 16), &reply), ST_DENIED);
    CHECK_INT(9, plain(login, 7, slice_from("\0usr1\0", 6), &reply), ST_SYNTAX);
    CHECK_INT(10, plain(login, 7, good, &reply), ST_OK);
    CHECK(10, msg_sasl_get(buf_slice(&reply), &sasl) && sasl.ticket.n == 16);
    CHECK_SLICE(10, sasl.user, "usr1@dominio.com.uy");
    memcpy(ticket, sasl.ticket.p, 16);

    for (uint64_t conn = 8; conn >= 7; conn--) { /* another connection's, then its own */
        msg_ticket_put(&m, &(struct msg_ticket){conn, slice_from(ticket, 16)});
        CHECK_INT(conn, call(imap, MSG_TICKET_REDEEM, &m, &reply), conn == 7 ? ST_OK : ST_STALE);
    }
    CHECK(11, msg_identity_get(buf_slice(&reply), &id) && id.handle == 4711 && opened_for == ROLE_IMAP);
    CHECK_SLICE(11, id.user, "usr1@dominio.com.uy");
    msg_ticket_put(&m, &(struct msg_ticket){7, slice_from(ticket, 16)});
    CHECK_INT(12, call(imap, MSG_TICKET_REDEEM, &m, &reply), ST_STALE); /* once */

    msg_sasl_start_put(&m, &(struct msg_sasl_start){7, SLICE("SCRAM-SHA-1"), 1, SLICE("n,,n=usr1,r=abc")});
    CHECK_INT(13, call(login, MSG_SASL_START, &m, &reply), ST_WEAK); /* without scram_sha1 */
    msg_sasl_start_put(&m, &(struct msg_sasl_start){7, SLICE("X-NONE"), 0, SLICE("")});
    CHECK_INT(13, call(login, MSG_SASL_START, &m, &reply), ST_UNSUPPORTED);
    msg_sasl_start_put(&m, &(struct msg_sasl_start){7, SLICE("scram-sha-256"), 1, SLICE("n,,n=nobody,r=abc")});
    CHECK_INT(13, call(login, MSG_SASL_START, &m, &reply), ST_MORE);
    CHECK(13, msg_sasl_get(buf_slice(&reply), &sasl) && slice_has_prefix(sasl.data, SLICE("r=abc")));
    msg_sasl_step_put(&m, &(struct msg_sasl_step){7, SLICE("c=biws,r=x,p=AAAA")});
    CHECK_INT(14, call(login, MSG_SASL_STEP, &m, &reply), ST_SYNTAX);

    for (int i = 0; i < 70; i++) { /* until the file is written anew, which the confinement must allow */
        msg_secret_set_put(&m, &(struct msg_secret_set){SLICE("usr2@dominio.com.uy"), SLICE("other"), 2});
        CHECK_INT(i, call(ctl, MSG_SECRET_SET, &m, &reply), ST_OK);
    }
    /* RFC 4013: set in one form, typed in another */
    msg_secret_set_put(&m, &(struct msg_secret_set){SLICE("usr3"), SLICE("a\xc3\xb1o \xe2\x85\xa8"), 1});
    CHECK_INT(22, call(ctl, MSG_SECRET_SET, &m, &reply), ST_OK);
    CHECK_INT(22, plain(login, 7, SLICE("\0usr3\0an\xcc\x83o\xc2\xa0IX"), &reply), ST_OK);
    CHECK_INT(22, plain(login, 7, SLICE("\0\xef\xbd\x95sr3\0an\xcc\x83o IX"), &reply), ST_OK);
    CHECK_INT(22, plain(login, 7, SLICE("\0usr3\0ano IX"), &reply), ST_DENIED);
    CHECK_INT(22, plain(login, 7, SLICE("\0usr3\0a\x07"), &reply), ST_DENIED);
    msg_secret_set_put(&m, &(struct msg_secret_set){SLICE("\xef\xbd\x95sr3"), SLICE("x"), 2}); /* a name that is another's */
    CHECK_INT(23, call(ctl, MSG_SECRET_SET, &m, &reply), ST_SYNTAX);
    msg_secret_set_put(&m, &(struct msg_secret_set){SLICE("usr3"), SLICE("\xee\x80\x80"), 2});
    CHECK_INT(24, call(ctl, MSG_SECRET_SET, &m, &reply), ST_SYNTAX);

    msg_name_put(&m, &(struct msg_name){SLICE("usr1")});
    CHECK_INT(15, call(ctl, MSG_SECRET_DELETE, &m, &reply), ST_OK);
    CHECK_INT(16, plain(login, 7, good, &reply), ST_DENIED); /* remembered no longer */
    msg_conn_id_put(&m, &(struct msg_conn_id){7});
    CHECK_INT(17, call(imap, MSG_HANDLE_RENEW, &m, &reply), ST_STALE);
    facts(edge, 9, 1);
    facts(edge, 10, 0);
    CHECK_INT(18, plain(login, 9, good, &reply), ST_DENIED);
    channel_free(edge);
    edge = NULL;
    msg_page_put(&m, &(struct msg_page){.most = 1}); /* until it has seen that */
    CHECK_INT(19, call(ctl, MSG_SECRET_LIST, &m, &reply), ST_OK);
    CHECK_INT(19, plain(login, 9, good, &reply), ST_UNAVAILABLE); /* ended with edged */
    CHECK_INT(20, plain(login, 10, good, &reply), ST_STATE);      /* not this one, which has no TLS */
    CHECK_INT(21, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    channel_free(edge), channel_free(login), channel_free(imap), channel_free(store), channel_free(ctl);
}

TEST(life)
{
    int fds[2], status = -1, dir;
    pid_t pid;

    CHECK(0, mkdtemp(root) != NULL);
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    pid = fork();
    if (pid == 0) {
        if (fds[1] == 3)
            (void)fcntl(3, F_SETFD, 0);
        else
            dup2(fds[1], 3);
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* a leak check at the end needs calls that confinement forbids */
        execl(program, "authd", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    CHECK_INT(1, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(2, channel_new(loop, fds[0], ROLE_AUTH, 0, routes, on_end, &control), ST_OK);
    CHECK_INT(3, fiber_spawn(loop, play, NULL), ST_OK);
    CHECK_INT(4, loop_run(loop, NULL), ST_OK);
    CHECK_INT(5, waitpid(pid, &status, 0), pid);
    CHECK_INT(6, status, 0);
    channel_free(control);
    loop_free(loop);
    dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_INT(7, unlinkat(dir, "auth/secrets", 0) | unlinkat(dir, "auth/fake.key", 0) | unlinkat(dir, "auth", AT_REMOVEDIR), 0);
    close(dir);
    CHECK_INT(8, rmdir(root), 0);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_life)};

    program = argc > 1 ? argv[1] : "./authd";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
