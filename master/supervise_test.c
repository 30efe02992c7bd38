/*
 * The supervisor with two small programs of its own: this test's executable is
 * linked under their names and started as them.
 */
#include "master/supervise.h"
#include "base/test.h"
#include "ipc/program.h"

#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- keyd: answers edged with what its arena holds; mdad: writes there... as the real ones would --- */

static enum status
on_sign(struct ipc_request *r)
{
    struct msg_key_sign m;
    uint8_t bytes[6];
    AUTO_BUF answer = BUF_INIT(100);

    if (!msg_key_sign_get(r->payload, &m))
        return ST_SYNTAX;
    if (m.scheme == 666)
        abort();
    if (channel_in(r->channel) == NULL || shm_read(channel_in(r->channel), m.input, sizeof(bytes), bytes) != ST_OK)
        return ST_SYNTAX;
    msg_bytes_put(&answer, &(struct msg_bytes){slice_from(bytes, sizeof(bytes))});
    ipc_answer(r->from, ST_OK, buf_slice(&answer));
    return ST_OK;
}

static const struct ipc_route keyd_routes[] = {{MSG_KEY_SIGN, ROLE_BIT(SMTP) | ROLE_BIT(CTL), on_sign, false}, {0}};
static const struct program keyd = {.role = ROLE_KEY, .routes = keyd_routes};

/* smtpd: what an administrator sends it goes on to keyd, by way of the arena. */
static void
ask_keyd(void *arg)
{
    struct ipc_sender to = *(struct ipc_sender *)arg;
    AUTO_BUF list = BUF_INIT(8), m = BUF_INIT(100), reply = BUF_INIT(100);
    uint32_t chunk = 0;
    enum status st;

    free(arg);
    CHECK_INT(0, shm_take(program_arena(), &chunk), ST_OK);
    memcpy(shm_at(program_arena(), chunk), "sealed", 6);
    buf_put_le32(&list, chunk);
    msg_key_sign_put(&m, &(struct msg_key_sign){.input = buf_slice(&list)});
    st = program_ask(ROLE_KEY, MSG_KEY_SIGN, buf_slice(&m), loop_now(program_loop()) + SECONDS(5), &reply);
    shm_give(program_arena(), chunk);
    ipc_answer(to, st, buf_slice(&reply));
}

static enum status
on_ask(struct ipc_request *r)
{
    struct ipc_sender *to = malloc(sizeof(*to));

    if (to == NULL)
        return ST_MEMORY;
    *to = r->from;
    return fiber_spawn(program_loop(), ask_keyd, to);
}

/* What one that was taken over may do to its channel: say what keyd must refuse, or close it without a word. */
static enum status
on_misbehave(struct ipc_request *r)
{
    struct msg_id how;

    if (!msg_id_get(r->payload, &how))
        return ST_SYNTAX;
    if (how.id == 1)
        return ipc_send(program_peer(ROLE_KEY, 0), MSG_KEY_SIGN, SLICE("?"), -1);
    for (int fd = 4; fd < 64; fd++)
        (void)shutdown(fd, SHUT_RDWR);
    return ST_OK;
}

static const struct ipc_route smtpd_routes[] = {{MSG_SECRET_LIST, ROLE_BIT(CTL), on_ask, false},
                                                {MSG_DIGEST_CANCEL, ROLE_BIT(CTL), on_misbehave, false},
                                                {0}};
static const struct program smtpd = {.role = ROLE_SMTP, .routes = smtpd_routes};

/* --- the test --- */

static const struct program_row rows[] = {
    {ROLE_KEY,  "key",    "read=etc", 0, 64, 64,  8, 1, 0},
    {ROLE_SMTP, "parser", "",         1, 64, 64,  8, 0, 2},
};
static const struct link_row test_links[] = {{ROLE_SMTP, ROLE_KEY, true, 0}};
static const struct ipc_route none[] = {{0}};
static struct loop *loop;
static struct supervisor *s;
static bool stopped;

static struct channel *
open_to(enum role role)
{
    struct channel *ch = NULL;
    int fd = -1;

    CHECK_INT(0, supervisor_open(s, role, &fd), ST_OK);
    CHECK_INT(1, channel_new(loop, fd, role, 0, none, NULL, &ch), ST_OK);
    return ch;
}

static void
round_trip(struct channel *front)
{
    AUTO_BUF reply = BUF_INIT(100);
    struct msg_bytes got = {0};

    CHECK_INT(0, ipc_call(front, MSG_SECRET_LIST, (struct slice){0}, -1, loop_now(loop) + SECONDS(10), &reply), ST_OK);
    CHECK(1, msg_bytes_get(buf_slice(&reply), &got));
    CHECK_SLICE(2, got.bytes, slice_of("sealed"));
}

/* How often it was started, when it is ready; else 0. */
static unsigned
starts_of(const char *name)
{
    AUTO_BUF text = BUF_INIT(4096);
    const char *line;
    unsigned n = 0;

    supervisor_status(s, &text);
    buf_putc(&text, '\0');
    line = strstr((const char *)text.p, name);
    return line != NULL && sscanf(line, "%*s %*d ready %u", &n) == 1 ? n : 0;
}

/* A channel that broke while both live: the more exposed of the two is started anew, at once, and all is well again. */
static void
misbehave(uint64_t how)
{
    struct channel *front = open_to(ROLE_SMTP);
    uint64_t began = loop_now(loop);
    unsigned before = starts_of("smtpd"), others = starts_of("keyd");
    AUTO_BUF m = BUF_INIT(16);

    msg_id_put(&m, &(struct msg_id){how});
    CHECK_INT(how, ipc_send(front, MSG_DIGEST_CANCEL, buf_slice(&m), -1), ST_OK);
    while (starts_of("smtpd") != before + 1) {
        CHECK(how, loop_now(loop) - began < SECONDS(10));
        fiber_sleep_until(loop_now(loop) + MSEC(5));
    }
    channel_free(front);
    front = open_to(ROLE_SMTP);
    round_trip(front);
    channel_free(front);
    CHECK(how, loop_now(loop) - began < SECONDS(5)); /* some 300 ms on a machine of its own */
    CHECK_INT(how, starts_of("keyd"), others);         /* is left alone */
}

static void
life(void *arg)
{
    struct channel *front = open_to(ROLE_SMTP), *back;
    AUTO_BUF text = BUF_INIT(4096), m = BUF_INIT(100);

    round_trip(front);
    /* keyd crashes; smtpd's session goes on, and the next question is answered by a new keyd. */
    back = open_to(ROLE_KEY);
    msg_key_sign_put(&m, &(struct msg_key_sign){.scheme = 666});
    CHECK_INT(3, ipc_call(back, MSG_KEY_SIGN, buf_slice(&m), -1, loop_now(loop) + SECONDS(10), NULL), ST_CLOSED);
    channel_free(back);
    round_trip(front);
    round_trip(front);
    supervisor_status(s, &text);
    CHECK(4, slice_find_slice(buf_slice(&text), SLICE("ready           2")) < text.n);
    channel_free(front);
    misbehave(1);
    misbehave(2);
    supervisor_stop(s);
}

static void
on_all_ready(void)
{
    CHECK_INT(0, fiber_spawn(loop, life, NULL), ST_OK);
}

static void
on_all_stopped(void)
{
    stopped = true;
    loop_stop(loop);
}

TEST(life)
{
    char folder[] = "/tmp/supervise-test-XXXXXX", path[4096], self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    struct supervise_settings settings = {.root = folder,
                                          .programs = folder,
                                          .rows = rows,
                                          .n_rows = COUNT(rows),
                                          .links = test_links,
                                          .n_links = COUNT(test_links),
                                          .all_ready = on_all_ready,
                                          .all_stopped = on_all_stopped};
    struct err err = {0};

    CHECK(0, n > 0 && mkdtemp(folder) != NULL);
    self[n] = '\0';
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, role_name(rows[i].role));
        CHECK_INT(1, link(self, path) == 0 || symlink(self, path) == 0, 1);
    }
    (void)snprintf(path, sizeof(path), "%s/etc", folder);
    CHECK_INT(2, mkdir(path, 0755), 0);
    CHECK_INT(3, loop_new(&loop, &err), ST_OK);
    if (supervisor_start(loop, &settings, &s, &err) != ST_OK)
        fail_msg("%s", err.text);
    CHECK_INT(4, loop_run(loop, &err), ST_OK);
    CHECK(5, stopped);
    supervisor_free(s);
    loop_free(loop);
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, role_name(rows[i].role));
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof(path), "%s/etc", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(life))};
    const char *name = basename(argv[0]);

    if (strcmp(name, "keyd") == 0)
        return program_main(&keyd, argc, argv);
    if (strcmp(name, "smtpd") == 0)
        return program_main(&smtpd, argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
