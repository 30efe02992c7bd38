/*
 * smtpd and submitd as they are started: this test plays estafetad, edged, stored, mdad, authd and the
 * clients. argv[1] is the executable, argv[2] its role's name.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "ipc/channel.h"
#include "net/stream.h"
#include "store/request.h"
#include "sys/fd.h"

#define STORED_MAX (8u << 20)

enum how { ANSWER, REFUSE, DIE, DIE_TWICE, HOLD };

static const char *executable;
static enum role role;
static struct loop *loop;
static struct channel *control, *edge, *store, *mda, *auth;
static int reader; /* the program's arena */
static size_t arena_size;
static pid_t pid;

/* What the other programs were told, and how they are to behave. */
static enum how deliver_how, feed_how;
static bool regrants;
static uint8_t *body, *aside; /* of the last DELIVER; of the side body */
static size_t n_body, n_aside;
static unsigned delivers, feeds, frames_aside, dones, drops;
static uint8_t requests[64][16];
static struct buf prefix, recipients, all_recipients, digest, sender, envid;
static uint8_t ret;
static uint16_t coming;
static uint64_t side_used, last_done;
static int handed = -1;
static struct ipc_sender held;

static uint64_t
soon(void)
{
    return loop_now(loop) + SECONDS(25);
}

static void
pause_ms(uint64_t ms)
{
    fiber_sleep_until(loop_now(loop) + MSEC(ms));
}

/* --- the other programs --- */

static void connect_store(uint64_t credit);
static void grant(uint64_t n);
static void connect_mda(void);

static enum status
on_ready(struct ipc_request *r)
{
    (void)r;
    return ST_OK;
}

static enum status
on_done(struct ipc_request *r)
{
    struct msg_conn_id m = {0};

    CHECK(0, msg_conn_id_get(r->payload, &m));
    last_done = m.conn;
    dones++;
    return ST_OK;
}

static enum status
on_conn_tls(struct ipc_request *r)
{
    handed = r->fd;
    r->fd = -1;
    return ST_OK;
}

static enum status
on_rcpt_check(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(500);
    struct rcpt_check m = {0};
    struct slice at;
    enum status st = ST_NOTFOUND;

    CHECK(0, rcpt_check_get(r->payload, &m));
    at = m.mailbox;
    if (!slice_has_suffix_nocase(at, SLICE("@dominio.com.uy")))
        st = ST_DENIED;
    else if (take_literal_nocase(&at, SLICE("usr")) || take_literal_nocase(&at, SLICE("postmaster")))
        st = ST_OK;
    else if (take_literal(&at, SLICE("full")))
        st = ST_QUOTA;
    if (st == ST_OK)
        rcpt_found_put(&b, &(struct rcpt_found){m.mailbox.n, m.mailbox, SLICE("box")});
    ipc_answer(r->from, st, buf_slice(&b));
    return ST_OK;
}

static void
keep(struct buf *to, struct slice bytes)
{
    buf_clear(to);
    to->max = 1u << 20;
    buf_put(to, bytes);
}

static enum status
on_deliver(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(100);
    enum how how = deliver_how;
    struct deliver m = {0};

    CHECK(0, deliver_get(r->payload, &m) && m.request.n == 16 && m.n <= STORED_MAX);
    CHECK_INT(1, m.again, delivers > 0 && memcmp(requests[delivers - 1], m.request.p, 16) == 0);
    memcpy(requests[delivers++ % 64], m.request.p, 16);
    keep(&prefix, m.prefix);
    keep(&recipients, m.recipients);
    buf_put(&all_recipients, m.recipients);
    keep(&digest, m.digest);
    keep(&sender, m.sender);
    keep(&envid, m.envid);
    ret = m.ret;
    coming = m.coming;
    side_used = m.side;
    n_body = (size_t)m.n;
    if (m.side == 0)
        CHECK_INT(1, shm_read(channel_in(r->channel), m.chunks, (size_t)m.n, body), ST_OK);
    if (how == HOLD) {
        held = r->from;
        return ST_OK;
    }
    if (how == DIE) { /* the record may be written or not: the asker cannot know */
        deliver_how = ANSWER;
        channel_free(store);
        connect_store(1 << 20);
        return ST_OK;
    }
    if (regrants)
        grant(m.n);
    delivered_put(&b, &(struct delivered){1, 2});
    ipc_answer(r->from, how == REFUSE ? ST_NOSPACE : ST_OK, buf_slice(&b));
    return ST_OK;
}

static enum status
on_side_begin(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(100);

    n_aside = 0;
    frames_aside = 0;
    msg_id_put(&b, &(struct msg_id){77});
    ipc_answer(r->from, ST_OK, buf_slice(&b));
    return ST_OK;
}

static void
grant(uint64_t n)
{
    AUTO_BUF b = BUF_INIT(100);

    msg_id_put(&b, &(struct msg_id){n});
    CHECK_INT(0, ipc_send(store, (enum msg)MSG_CREDIT, buf_slice(&b), -1), ST_OK);
}

static enum status
on_side_data(struct ipc_request *r)
{
    struct side_data m = {0};

    CHECK(0, side_data_get(r->payload, &m) && m.side == 77 && n_aside + m.n <= STORED_MAX);
    CHECK_INT(1, shm_read(channel_in(r->channel), m.chunks, m.n, aside + n_aside), ST_OK);
    n_aside += m.n;
    frames_aside++;
    ipc_answer(r->from, ST_OK, (struct slice){0});
    return ST_OK;
}

static enum status
on_side_drop(struct ipc_request *r)
{
    (void)r;
    drops++;
    return ST_OK;
}

/* The digest is the number of bytes that were fed. */
static enum status
on_feed(struct ipc_request *r)
{
    static uint64_t fed;
    AUTO_BUF b = BUF_INIT(100), text = BUF_INIT(100);
    struct msg_digest_feed m = {0};
    static uint8_t copy[STORE_BODY_INLINE];

    CHECK(0, msg_digest_feed_get(r->payload, &m) && m.n <= 128 * 1024);
    CHECK_INT(1, shm_read(channel_in(r->channel), m.chunks, m.n, copy), ST_OK);
    feeds++;
    if (feed_how == DIE || feed_how == DIE_TWICE) {
        feed_how = feed_how == DIE ? ANSWER : DIE;
        fed = 0;
        channel_free(mda);
        connect_mda();
        return ST_OK;
    }
    fed += m.n;
    if (m.last) {
        buf_printf(&text, "fed %llu", (unsigned long long)fed);
        msg_bytes_put(&b, &(struct msg_bytes){buf_slice(&text)});
        fed = 0;
    }
    ipc_answer(r->from, feed_how == REFUSE ? ST_UNAVAILABLE : ST_OK, buf_slice(&b));
    return ST_OK;
}

static enum status
on_digest_cancel(struct ipc_request *r)
{
    (void)r;
    return ST_OK;
}

static void
answer_sasl(struct ipc_sender to, enum status st, struct slice data)
{
    AUTO_BUF b = BUF_INIT(500);

    msg_sasl_put(&b, &(struct msg_sasl){data, st == ST_OK ? SLICE("0123456789abcdef") : SLICE(""), SLICE("usr1")});
    ipc_answer(to, st, buf_slice(&b));
}

static enum status
on_sasl_start(struct ipc_request *r)
{
    struct msg_sasl_start m = {0};

    CHECK(0, msg_sasl_start_get(r->payload, &m) && m.conn == 9);
    if (slice_eq(m.mechanism, SLICE("SCRAM-SHA-256")))
        answer_sasl(r->from, ST_MORE, SLICE("first"));
    else if (slice_eq(m.initial, slice_from("\0usr1\0right", 11)))
        answer_sasl(r->from, ST_OK, SLICE(""));
    else
        answer_sasl(r->from, ST_DENIED, SLICE(""));
    return ST_OK;
}

static enum status
on_sasl_step(struct ipc_request *r)
{
    struct msg_sasl_step m = {0};

    CHECK(0, msg_sasl_step_get(r->payload, &m));
    answer_sasl(r->from, slice_eq(m.data, SLICE("proof")) ? ST_OK : ST_DENIED, SLICE("v=final"));
    return ST_OK;
}

static enum status
on_sasl_abort(struct ipc_request *r)
{
    (void)r;
    return ST_OK;
}

static enum status
on_redeem(struct ipc_request *r)
{
    AUTO_BUF b = BUF_INIT(500);
    struct msg_ticket m = {0};

    CHECK(0, msg_ticket_get(r->payload, &m) && m.conn == 9);
    CHECK_SLICE(0, m.ticket, "0123456789abcdef");
    msg_identity_put(&b, &(struct msg_identity){SLICE("usr1@dominio.com.uy"), 0, 0});
    ipc_answer(r->from, ST_OK, buf_slice(&b));
    return ST_OK;
}

#define WHO (ROLE_BIT(SMTP) | ROLE_BIT(SUBMIT))
static const struct ipc_route routes[] = {
    {MSG_READY, WHO, on_ready, false},
    {MSG_CONN_DONE, WHO, on_done, false},
    {MSG_CONN_TLS, WHO, on_conn_tls, true},
    {MSG_RCPT_CHECK, WHO, on_rcpt_check, false},
    {MSG_DELIVER, WHO, on_deliver, false},
    {MSG_SIDE_BEGIN, WHO, on_side_begin, false},
    {MSG_SIDE_DATA, WHO, on_side_data, false},
    {MSG_SIDE_DROP, WHO, on_side_drop, false},
    {MSG_DIGEST_FEED, WHO, on_feed, false},
    {MSG_DIGEST_CANCEL, WHO, on_digest_cancel, false},
    {MSG_SASL_START, WHO, on_sasl_start, false},
    {MSG_SASL_STEP, WHO, on_sasl_step, false},
    {MSG_SASL_ABORT, WHO, on_sasl_abort, false},
    {MSG_TICKET_REDEEM, WHO, on_redeem, false},
    {0},
};

static struct channel *
connect_peer(enum role who)
{
    AUTO_BUF m = BUF_INIT(100);
    struct channel *ch = NULL;
    int ends[2];

    CHECK(who, seqpacket_pair(ends));
    msg_peer_put(&m, &(struct msg_peer){(uint16_t)who, 0});
    CHECK_INT(who, ipc_send(control, MSG_PEER, buf_slice(&m), ends[1]), ST_OK);
    close(ends[1]);
    CHECK_INT(who, channel_new(loop, ends[0], role, 0, routes, NULL, &ch), ST_OK);
    if (who == ROLE_STORE || who == ROLE_MDA) {
        struct shm in;

        CHECK_INT(who, shm_map(&in, reader, arena_size, false, NULL), ST_OK);
        channel_set_in(ch, in);
    }
    return ch;
}

static void
connect_store(uint64_t credit)
{
    store = connect_peer(ROLE_STORE);
    if (credit > 0)
        grant(credit);
}

static void
connect_mda(void)
{
    mda = connect_peer(ROLE_MDA);
}

/* --- a client --- */

static struct stream *
dial_with(uint64_t id, int ours, int theirs, bool tls)
{
    static const uint8_t address[18] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
    struct stream *c = calloc(1, sizeof(*c));
    AUTO_BUF m = BUF_INIT(500);

    CHECK(0, c != NULL);
    msg_conn_put(&m, &(struct msg_conn){.conn = id,
                                        .service = role == ROLE_SMTP ? SERVICE_SMTP : SERVICE_SUBMISSION,
                                        .peer = slice_from(address, 18),
                                        .local = slice_from(address, 18),
                                        .tls = tls,
                                        .tls_version = tls ? SLICE("TLSv1.3") : SLICE("")});
    CHECK_INT(0, ipc_send(edge, MSG_CONN, buf_slice(&m), theirs), ST_OK);
    close(theirs);
    stream_init(c, loop, ours);
    return c;
}

static struct stream *
dial(uint64_t id)
{
    int ends[2];

    CHECK_INT(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    return dial_with(id, ends[0], ends[1], false);
}

static void
say(struct stream *c, const char *text)
{
    CHECK_INT(0, stream_put(c, slice_of(text), soon()), ST_OK);
    CHECK_INT(0, stream_flush(c, soon()), ST_OK);
}

/* The replies to come, each by how its last line begins. */
static void
hear(struct stream *c, const char *const *want)
{
    for (int i = 0; want[i] != NULL; i++) {
        struct slice line = {0};

        do
            CHECK_INT(i, stream_line(c, 2000, soon(), &line), ST_OK);
        while (line.n > 3 && line.p[3] == '-');
        if (!slice_has_prefix(line, slice_of(want[i])))
            fail_msg("reply %d is \"%.*s\", wanted \"%s\"", i, SLICE_ARG(line), want[i]);
    }
}
#define HEAR(c, ...) hear((c), (const char *const[]){__VA_ARGS__, NULL})

static void
hang_up(struct stream *c)
{
    stream_close(c);
    free(c);
}

static struct stream *
greeted(uint64_t id)
{
    struct stream *c = dial(id);

    HEAR(c, "220 mx.dominio.com.uy ");
    say(c, "EHLO client.example\r\n");
    HEAR(c, "250 ");
    return c;
}

static void
wait_dones(unsigned n)
{
    for (int i = 0; i < 500 && dones < n; i++)
        pause_ms(10);
    CHECK_INT(0, dones, n);
}

/* --- running the program --- */

static void
on_end(struct channel *ch)
{
    (void)ch;
    loop_stop(loop);
}

struct play {
    void (*run)(void);
    uint64_t credit;
};

static void
begin(void *arg)
{
    const struct play *play = arg;

    edge = connect_peer(ROLE_EDGE);
    connect_store(play->credit);
    connect_mda();
    auth = connect_peer(ROLE_AUTH);
    CHECK_INT(0, ipc_send(control, MSG_GO, (struct slice){0}, -1), ST_OK);
    play->run();
}

static void
stop(void)
{
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
}

static void
fork_program(int fd)
{
    pid = fork();
    if (pid != 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd == 3)
        (void)fcntl(3, F_SETFD, 0);
    else
        (void)dup2(fd, 3);
    (void)execl(executable, executable, (char *)NULL);
    _exit(127);
}

static void
run(void (*converse)(void), uint64_t credit, uint32_t chunks)
{
    AUTO_BUF boot = BUF_INIT(1000), m = BUF_INIT(100);
    struct play play = {converse, credit};
    int ends[2], status = -1, writer;

    deliver_how = feed_how = ANSWER;
    delivers = feeds = dones = drops = 0;
    buf_clear(&all_recipients);
    regrants = false;
    arena_size = (size_t)chunks * SHM_CHUNK;
    writer = memfd_sized("bodies", arena_size);
    CHECK(0, writer >= 0 && (reader = memfd_readonly(writer)) >= 0 && seqpacket_pair(ends));
    fork_program(ends[1]);
    close(ends[1]);
    CHECK_INT(1, loop_new(&loop, NULL), ST_OK);
    CHECK_INT(2, channel_new(loop, ends[0], role, 0, routes, on_end, &control), ST_OK);
    msg_boot_put(&boot, &(struct msg_boot){.role = (uint16_t)role,
                                           .root = SLICE("/tmp"),
                                           .settings = SLICE("domain = dominio.com.uy\nhostname = mx.dominio.com.uy\nown_senders = no\nsuccess_notices = yes\n"
                                                             "message_size = 4M\ncleartext_passwords = yes\n"),
                                           .confinement = SLICE("class=parser")});
    CHECK_INT(4, ipc_send(control, MSG_BOOT, buf_slice(&boot), -1), ST_OK);
    msg_arena_put(&m, &(struct msg_arena){ARENA_OWN, (uint16_t)role, 0, arena_size});
    CHECK_INT(5, ipc_send(control, MSG_ARENA, buf_slice(&m), writer), ST_OK);
    CHECK_INT(6, fiber_spawn(loop, begin, &play), ST_OK);
    CHECK_INT(7, loop_run(loop, NULL), ST_OK);
    CHECK_INT(8, waitpid(pid, &status, 0), pid);
    CHECK_INT(9, status, 0);
    channel_free(edge), channel_free(store), channel_free(mda), channel_free(auth), channel_free(control);
    loop_free(loop);
    close(reader);
    close(writer);
}

#define M "MAIL FROM:<a@b.example>\r\n"
#define R "RCPT TO:<usr1@dominio.com.uy>\r\n"
#define T "Message-ID: <1@b>\r\nSubject: hola\r\n\r\nhola\r\n"

/* --- conversations --- */

static void
small(void)
{
    struct stream *c = greeted(5);
    struct deliver_rcpt first = {0}, second = {0};
    struct slice in;

    say(c, M "RCPT TO:<nobody@dominio.com.uy>\r\nRCPT TO:<usr1@b.example>\r\nRCPT TO:<full@dominio.com.uy>\r\n"
             "RCPT TO:<usr1+box@Dominio.com.uy>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n");
    HEAR(c, "250 2.1.0", "550 5.1.1", "550 5.7.1", "452 4.2.2", "250 2.1.5", "250 2.1.5", "354");
    say(c, T "..\r\n.\r\n");
    HEAR(c, "250 2.0.0 ");
    CHECK_SLICE(0, slice_from(body, n_body), T ".\r\n");
    CHECK_SLICE(1, buf_slice(&digest), "fed 45");
    CHECK_SLICE(2, buf_slice(&sender), "a@b.example");
    CHECK(3, slice_has_prefix(buf_slice(&prefix), SLICE("Return-Path: <a@b.example>\r\nReceived: from client.example")));
    CHECK(3, slice_find_slice(buf_slice(&prefix), SLICE("by mx.dominio.com.uy with ESMTP id ")) < prefix.n);
    CHECK_INT(4, coming, 0);
    CHECK_INT(5, feeds, 1);
    in = buf_slice(&recipients);
    CHECK(6, deliver_rcpt_take(&in, &first) && deliver_rcpt_take(&in, &second) && in.n == 0);
    CHECK_SLICE(6, first.original, "usr1+box@Dominio.com.uy");
    CHECK_SLICE(6, first.mailbox, "box");
    CHECK_INT(6, first.account, 23);
    CHECK_SLICE(6, second.original, "Postmaster@dominio.com.uy");

    /* The next one of the session; and an empty one. */
    say(c, M R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    say(c, ".\r\nQUIT\r\n");
    HEAR(c, "250", "221");
    CHECK_INT(7, n_body, 0);
    CHECK_INT(8, delivers, 2);
    CHECK(9, memcmp(requests[0], requests[1], 16) != 0);
    wait_dones(1);
    CHECK_INT(10, last_done, 5);
    hang_up(c);
    stop();
}

/* RFC 3461: what the client said of notices is in the DELIVER. */
static void
notices(void)
{
    struct stream *c = greeted(5);
    struct deliver_rcpt first = {0}, second = {0};
    struct slice in;

    say(c, "MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B314159\r\n"
           "RCPT TO:<usr1@dominio.com.uy> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@example.com\r\n"
           "RCPT TO:<usr2@dominio.com.uy> NOTIFY=NEVER\r\nDATA\r\n");
    HEAR(c, "250", "250", "250", "354");
    say(c, T ".\r\n");
    HEAR(c, "250 2.0.0 ");
    CHECK_SLICE(0, buf_slice(&envid), "QQ+2B314159"); /* as given: it goes back so (RFC 3461 4.4) */
    CHECK_INT(1, ret, 2);
    in = buf_slice(&recipients);
    CHECK(2, deliver_rcpt_take(&in, &first) && deliver_rcpt_take(&in, &second) && in.n == 0);
    CHECK_INT(3, first.dsn, 2 | 8);
    CHECK_SLICE(3, first.orcpt, "rfc822;Bob+x@example.com");
    CHECK_INT(4, second.dsn, 1);
    CHECK_SLICE(4, second.orcpt, "");
    say(c, M R "DATA\r\n"); /* nothing of it is left for the next */
    HEAR(c, "250", "250", "354");
    say(c, T ".\r\n");
    HEAR(c, "250 2.0.0 ");
    in = buf_slice(&recipients);
    CHECK(5, deliver_rcpt_take(&in, &first) && first.dsn == 0 && first.orcpt.n == 0 && envid.n == 0 && ret == 0);
    hang_up(c);
    stop();
}

static void
send_large(struct stream *c, size_t n, bool announced)
{
    AUTO_BUF text = BUF_INIT(STORED_MAX), line = BUF_INIT(100);

    for (size_t i = 0; text.n + 10 <= n; i++)
        buf_printf(&text, "%08zu\r\n", i);
    buf_printf(&line, "MAIL FROM:<a@b.example> SIZE=%zu\r\n" R "DATA\r\n", text.n);
    buf_putc(&line, 0);
    say(c, announced ? (const char *)line.p : M R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    feeds = 0;
    CHECK_INT(n, stream_put(c, buf_slice(&text), soon()), ST_OK);
    say(c, ".\r\n");
    HEAR(c, "250 2.0.0");
    CHECK_INT(n, n_body, text.n);
    CHECK_SLICE(n, slice_from(side_used == 77 ? aside : body, n_body), buf_slice(&text));
    CHECK_INT(n, feeds, (text.n + 131071) / 131072);
    buf_clear(&line);
    buf_printf(&line, "fed %zu", text.n);
    CHECK_SLICE(n, buf_slice(&digest), buf_slice(&line));
}

/* Below a window, in several, and larger than what stays here; each with and without SIZE. */
static void
large(void)
{
    struct stream *c = greeted(5);
    static const struct {
        size_t n;
        bool side;
    } cases[] = {{20000, false}, {500000, false}, {1000000, false}, {1200000, true}, {3000000, true}};

    for (size_t i = 0; i < COUNT(cases) * 2; i++) {
        send_large(c, cases[i / 2].n, i % 2 == 0);
        CHECK_INT(i, side_used, cases[i / 2].side ? 77 : 0);
        CHECK_INT(i, cases[i / 2].side ? n_aside : n_body, n_body);
        if (!cases[i / 2].side)
            grant(n_body);
    }
    CHECK_INT(1, drops, 0);
    say(c, "MAIL FROM:<a@b.example> SIZE=5000000\r\n" M R "DATA\r\n");
    HEAR(c, "552 5.3.4", "250", "250", "354");
    for (int i = 0; i < 3; i++)
        CHECK_INT(i, stream_put(c, slice_from(body, 1200000), soon()), ST_OK);
    hang_up(c); /* in the middle of a side body */
    wait_dones(1);
    CHECK_INT(2, drops, 1);
    stop();
}

static void
one_message(struct stream *c, const char *want)
{
    say(c, M R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    say(c, T ".\r\n");
    HEAR(c, want);
}

/* stored dies with a DELIVER unanswered: the next one is asked the same; then refusals. */
static void
store_dies(void)
{
    struct stream *c = greeted(5);

    deliver_how = DIE;
    one_message(c, "250 2.0.0");
    CHECK_INT(0, delivers, 2);
    CHECK(1, memcmp(requests[0], requests[1], 16) == 0);
    CHECK_SLICE(2, slice_from(body, n_body), T);
    deliver_how = REFUSE;
    one_message(c, "452 4.3.1");
    deliver_how = ANSWER;
    one_message(c, "250 2.0.0");
    CHECK(3, memcmp(requests[2], requests[3], 16) != 0);
    hang_up(c);
    stop();
}

static void
mda_dies(void)
{
    struct stream *c = greeted(5);

    feed_how = DIE;
    one_message(c, "250 2.0.0");
    CHECK_INT(0, feeds, 2);
    CHECK_SLICE(0, buf_slice(&digest), "fed 42");
    feed_how = DIE_TWICE;
    one_message(c, "451 4.3.2");
    feed_how = REFUSE;
    one_message(c, "451 4.3.2");
    CHECK_INT(1, delivers, 1);
    feed_how = ANSWER;
    one_message(c, "250 2.0.0");
    say(c, M "RCPT TO:<usr1@dominio.com.uy>\r\nRCPT TO:<usr2@dominio.com.uy>\r\nRSET\r\n");
    HEAR(c, "250", "250", "250", "250");
    hang_up(c);
    stop();
}

/* No credit: 451 after a while; then it comes while one waits. */
static void
no_credit(void)
{
    struct stream *c = greeted(5);
    AUTO_BUF text = BUF_INIT(65536);
    uint64_t began = clock_mono();

    say(c, M R "DATA\r\n");
    HEAR(c, "250", "250", "451 4.3.1");
    CHECK(0, clock_mono() - began >= SECONDS(9) && clock_mono() - began < SECONDS(15));
    say(c, M R "DATA\r\n");
    pause_ms(200);
    grant(SHM_CHUNK);
    HEAR(c, "250", "250", "354");
    say(c, T ".\r\n");
    HEAR(c, "250 2.0.0");

    /* A body that was not announced stops where its credit ends. */
    grant(SHM_CHUNK + 42); /* 42 of the first were used: two chunks in all, and it books one and three */
    say(c, M R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "%038d\r\n", i);
    buf_puts(&text, ".\r\n");
    CHECK_INT(1, stream_put(c, buf_slice(&text), soon()), ST_OK);
    pause_ms(300);
    CHECK_INT(2, feeds, 1);
    grant(2 * SHM_CHUNK);
    HEAR(c, "250 2.0.0");
    CHECK_INT(3, n_body, 40000);
    hang_up(c);
    stop();
}

/* Eight chunks are announced by one client, so that there is none for the other. */
static void
arena_full(void)
{
    struct stream *c = greeted(5), *d = greeted(6);

    say(c, "MAIL FROM:<a@b.example> SIZE=131072\r\n" R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    say(d, M R "DATA\r\n");
    for (int i = 0; i < 11; i++) { /* slow, but coming */
        say(c, "x");
        pause_ms(1000);
    }
    HEAR(d, "250", "250", "452 4.3.1");
    say(d, M R "DATA\r\n");
    pause_ms(100);
    say(c, "\r\n.\r\n");
    HEAR(c, "250 2.0.0");
    HEAR(d, "250", "250", "354");
    say(d, T ".\r\n");
    HEAR(d, "250 2.0.0");

    /* Who promises and is silent makes place for others. */
    say(c, "MAIL FROM:<a@b.example> SIZE=131072\r\n" R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    say(d, M R "DATA\r\n");
    HEAR(c, "421 4.4.2");
    HEAR(d, "250", "250", "354");
    say(d, T ".\r\n");
    HEAR(d, "250 2.0.0");
    hang_up(c);
    hang_up(d);
    stop();
}

static unsigned crowd_left;

static void
in_crowd(void *arg)
{
    struct stream *c = greeted((uint64_t)(uintptr_t)arg);
    AUTO_BUF text = BUF_INIT(1u << 20);

    say(c, M R "DATA\r\n");
    HEAR(c, "250", "250", "354");
    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "%08d\r\n", i);
    buf_puts(&text, ".\r\n");
    for (struct slice left = buf_slice(&text); left.n > 0; left = slice_skip(left, 8192)) {
        CHECK_INT(1, stream_put(c, slice_sub(left, 0, 8192), soon()), ST_OK);
        pause_ms(1); /* so that all come at once */
    }
    HEAR(c, "250 2.0.0");
    hang_up(c);
    crowd_left--;
}

/* Unannounced bodies that together want four times what there is: none waits for another for ever. */
static void
crowd(void)
{
    regrants = true;
    for (crowd_left = 0; crowd_left < 40;)
        CHECK_INT(crowd_left, fiber_spawn(loop, in_crowd, (void *)(uintptr_t)(++crowd_left)), ST_OK);
    while (crowd_left > 0)
        pause_ms(20);
    CHECK_INT(0, delivers, 40);
    stop();
}

/* More recipients than a datagram holds: each exactly once, in several deliveries of as many requests. */
static void
many(void)
{
    struct stream *c = greeted(5);
    AUTO_BUF text = BUF_INIT(1u << 20);
    uint8_t seen[1000] = {0};

    buf_puts(&text, M);
    for (int i = 0; i < 1000; i++)
        buf_printf(&text, "RCPT TO:<usr%03d-with-a-very-long-name-for-a-mailbox@dominio.com.uy>\r\n", i);
    buf_puts(&text, R "DATA\r\n");
    buf_putc(&text, 0);
    all_recipients = BUF_INIT(1u << 20);
    say(c, (const char *)text.p);
    HEAR(c, "250 2.1.0");
    for (int i = 0; i < 1000; i++)
        HEAR(c, "250 2.1.5");
    HEAR(c, "452 4.5.3", "354");
    say(c, T ".\r\n");
    HEAR(c, "250 2.0.0");
    CHECK(0, delivers >= 2 && memcmp(requests[0], requests[1], 16) != 0);
    for (struct slice in = buf_slice(&all_recipients); in.n > 0;) {
        struct deliver_rcpt rcpt = {0};
        uint64_t n = 0;

        CHECK(1, deliver_rcpt_take(&in, &rcpt));
        rcpt.original = slice_skip(rcpt.original, 3);
        CHECK(2, take_number(&rcpt.original, 999, &n) && seen[n]++ == 0);
    }
    for (int i = 0; i < 1000; i++)
        CHECK_INT(i, seen[i], 1);
    buf_done(&all_recipients);
    hang_up(c);
    stop();
}

static void
starttls(void)
{
    struct stream *c = greeted(5), *d;
    struct slice line;
    int ours = -1;

    say(c, M "STARTTLS\r\n");
    HEAR(c, "250", "503");
    say(c, "RSET\r\n");
    HEAR(c, "250");
    say(c, "STARTTLS\r\n");
    HEAR(c, "220 2.0.0");
    for (int i = 0; i < 500 && handed < 0; i++)
        pause_ms(10);
    CHECK(0, handed >= 0);
    CHECK_INT(0, stream_detach(c, &ours), ST_OK);
    hang_up(c);
    d = dial_with(5, ours, handed, true); /* the same connection, as edged gives it back */
    say(d, M);
    HEAR(d, "503 5.5.1 Say EHLO"); /* no greeting, and nothing is remembered */
    say(d, "EHLO client.example\r\n");
    do {
        CHECK_INT(1, stream_line(d, 2000, soon(), &line), ST_OK);
        CHECK(2, !slice_eq(line, SLICE("250-STARTTLS")));
    } while (line.p[3] == '-');
    one_message(d, "250 2.0.0");
    CHECK(3, slice_find_slice(buf_slice(&prefix), SLICE("with ESMTPS ")) < prefix.n);
    CHECK_INT(4, dones, 0);
    say(d, "QUIT\r\n");
    HEAR(d, "221");
    wait_dones(1);
    hang_up(d);
    stop();
}

/* Who idles is told at once; whose message comes is answered first. */
static void
stopping(void)
{
    struct stream *c = greeted(5), *d = greeted(6), *e = greeted(7);

    say(d, M R "DATA\r\nSubject: half\r\n");
    HEAR(d, "250", "250", "354");
    deliver_how = HOLD;
    say(e, M R "DATA\r\n");
    HEAR(e, "250", "250", "354");
    say(e, T ".\r\n");
    for (int i = 0; i < 500 && delivers == 0; i++)
        pause_ms(10);
    CHECK(0, coming <= 1); /* the half message counts only while it is expected soon */
    stop();
    HEAR(c, "421 4.3.2");
    pause_ms(100);
    deliver_how = ANSWER;
    say(d, "\r\nwhole\r\n.\r\n");
    HEAR(d, "250 2.0.0", "421 4.3.2");
    CHECK_SLICE(1, slice_from(body, n_body), "Subject: half\r\n\r\nwhole\r\n");
    ipc_answer(held, ST_OK, (struct slice){0});
    HEAR(e, "250 2.0.0", "421 4.3.2");
    hang_up(c);
    hang_up(d);
    hang_up(e);
}

static void
submission(void)
{
    struct stream *c = greeted(9);

    say(c, M);
    HEAR(c, "530 5.7.0");
    say(c, "AUTH PLAIN AHVzcjEAd3Jvbmc=\r\n");
    HEAR(c, "535 5.7.8");
    say(c, "AUTH PLAIN AHVzcjEAcmlnaHQ=\r\n");
    HEAR(c, "235 2.7.0");
    one_message(c, "250 2.0.0");
    CHECK(0, slice_find_slice(buf_slice(&prefix), SLICE("with ESMTPA ")) < prefix.n);
    hang_up(c);

    c = greeted(9); /* success that brings data is a challenge more */
    say(c, "AUTH SCRAM-SHA-256 YQ==\r\n");
    HEAR(c, "334 Zmlyc3Q=");
    say(c, "cHJvb2Y=\r\n");
    HEAR(c, "334 dj1maW5hbA==");
    say(c, "\r\n");
    HEAR(c, "235 2.7.0");
    one_message(c, "250 2.0.0");
    hang_up(c);

    c = greeted(9);
    say(c, "AUTH SCRAM-SHA-256 YQ==\r\n");
    HEAR(c, "334 ");
    say(c, "*\r\n");
    HEAR(c, "501 5.7.0");
    hang_up(c);
    channel_free(auth);
    auth = NULL;
    c = greeted(9);
    say(c, "AUTH PLAIN AHVzcjEAcmlnaHQ=\r\n");
    HEAR(c, "454 4.7.0");
    hang_up(c);
    stop();
}

#define PLENTY (64u << 20)

TEST(small_mail)
{
    run(small, PLENTY, 64);
}

TEST(notices_asked_for)
{
    run(notices, PLENTY, 16);
}

TEST(large_mail)
{
    run(large, 2u << 20, 96);
}

TEST(store_restarts)
{
    run(store_dies, 1u << 20, 16);
}

TEST(mda_restarts)
{
    run(mda_dies, 1u << 20, 16);
}

TEST(credit)
{
    run(no_credit, 0, 16);
}

TEST(arena)
{
    run(arena_full, PLENTY, 8);
}

TEST(tls)
{
    run(starttls, PLENTY, 16);
}

TEST(many_bodies)
{
    run(crowd, 2u << 20, 128);
}

TEST(many_recipients)
{
    run(many, PLENTY, 16);
}

TEST(stops)
{
    run(stopping, PLENTY, 16);
}

TEST(authenticated)
{
    run(submission, PLENTY, 16);
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest relay[] = {TEST_EXPAND_(
        TEST_EACH_(small_mail, notices_asked_for, large_mail, store_restarts, mda_restarts, credit, arena, many_bodies, many_recipients, tls,
                   stops))};
    static const struct CMUnitTest submit[] = {TEST_EXPAND_(TEST_EACH_(authenticated))};
    int failed;

    executable = argc > 1 ? argv[1] : "";
    role = argc > 2 && strcmp(argv[2], "submitd") == 0 ? ROLE_SUBMIT : ROLE_SMTP;
    body = malloc(STORED_MAX);
    aside = malloc(STORED_MAX);
    failed = role == ROLE_SMTP ? cmocka_run_group_tests(relay, NULL, NULL) : cmocka_run_group_tests(submit, NULL, NULL);
    free(body);
    free(aside);
    buf_done(&prefix);
    buf_done(&recipients);
    buf_done(&digest);
    buf_done(&sender);
    return failed;
}
