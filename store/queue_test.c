/*
 * The queue as queued sees it, in a real stored: entries come with a delivery, are told once, wait or end, a report replaces
 * them in one record, and a message lives as long as one of them. argv[1] is stored.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/test.h"
#include "store/stored_peer.h"
#include "sys/fiber.h"

#define BODY "From: a@dominio.com.uy\r\n\r\nto the world\r\n"

static struct stored_peer peer = {.settings = "domain = dominio.com.uy\n"};
static uint64_t account;

struct entry {
    uint64_t id, body, size;
    int64_t due;
    uint32_t tries;
    char recipient[64], spec[16];
};
static struct entry entries[3000];
static size_t n_entries;

static void
list(void)
{
    uint64_t last = 0;
    bool more = true;

    n_entries = 0;
    while (more) {
        AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
        struct msg_rows rows = {0};
        struct queue_entry e = {0};

        CHECK_INT(n_entries, PEER_ASK(&peer, peer.queue, MSG_QUEUE_LIST, msg_id, &reply, last), ST_OK);
        CHECK(n_entries, msg_rows_get(buf_slice(&reply), &rows));
        more = rows.more;
        while (rows.rows.n > 0 && n_entries < COUNT(entries)) {
            struct entry *to = &entries[n_entries++];

            CHECK(n_entries, queue_entry_take(&rows.rows, &e));
            CHECK(n_entries, e.id > last);
            last = e.id;
            *to = (struct entry){e.id, e.body, e.size, e.due, e.tries, "", ""};
            memcpy(to->recipient, e.recipient.p, e.recipient.n < 63 ? e.recipient.n : 63);
            memcpy(to->spec, e.spec.p, e.spec.n < 15 ? e.spec.n : 15);
        }
    }
}

/* A message to `n` remote recipients, and to the account when local. request: its 16 bytes are this byte. */
static enum status
send_to(struct channel *ch, uint8_t request, size_t n, bool local, struct slice settled, bool again)
{
    AUTO_BUF queue = BUF_INIT(IPC_INLINE), rcpts = BUF_INIT(200), reply = BUF_INIT(100);
    uint8_t bytes[16];
    uint32_t chunk;
    enum status st;

    memset(bytes, request, sizeof(bytes));
    for (size_t i = 0; i < n; i++) {
        char address[40];

        (void)snprintf(address, sizeof(address), "%c%zu@example.org", request, i);
        deliver_queued_put(&queue, &(struct deliver_queued){slice_of(address), 1, 0, {0}, SLICE("spec")});
    }
    if (local)
        deliver_rcpt_put(&rcpts, &(struct deliver_rcpt){account, SLICE("a@dominio.com.uy"), SLICE(""), 0, {0}});
    CHECK_INT(0, shm_take(&peer.bodies, &chunk), ST_OK);
    memcpy(shm_at(&peer.bodies, chunk), BODY, sizeof(BODY) - 1);
    st = PEER_ASK(&peer, ch, MSG_DELIVER, deliver, &reply, .request = slice_from(bytes, 16), .received = 77,
                  .sender = SLICE("a@dominio.com.uy"), .prefix = SLICE("P: 1\r\n"), .chunks = slice_from(&chunk, 4),
                  .n = sizeof(BODY) - 1, .digest = SLICE("digest"), .recipients = buf_slice(&rcpts), .queue = buf_slice(&queue),
                  .settled = settled, .again = again);
    shm_give(&peer.bodies, chunk);
    return st;
}

static void
settled(struct buf *to, uint64_t id, bool on, int64_t due, uint32_t tries)
{
    queue_settled_put(to, &(struct queue_settled){id, on, 2, due, tries, on ? SLICE("later") : SLICE("")});
}

static enum status
settle(struct slice all)
{
    return PEER_ASK(&peer, peer.queue, MSG_QUEUE_SETTLE, queue_settle, NULL, all);
}

static enum status
read_entry(uint64_t id, struct buf *to)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct msg_bytes got = {0};
    enum status st = PEER_ASK(&peer, peer.queue, MSG_QUEUE_READ, queue_read, &reply, id, 0, 10000);

    if (st == ST_OK) {
        CHECK(0, msg_bytes_get(buf_slice(&reply), &got));
        buf_put(to, got.bytes);
    }
    return st;
}

static void
check_store(int line)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
    enum status st = ipc_call(peer.ctl, (enum msg)MSG_STORE_CHECK, (struct slice){0}, -1, loop_now(peer.loop) + PEER_WAIT, &reply);

    if (st != ST_OK)
        print_message("%.*s\n", (int)reply.n, (const char *)reply.p);
    CHECK_INT(line, st, ST_OK);
}

static void
news(size_t at, unsigned want)
{
    for (int i = 0; i < 1000 && peer.queue_news < want; i++)
        fiber_sleep_until(loop_now(peer.loop) + MSEC(2));
    CHECK_INT(at, peer.queue_news, want);
}

static void
comes_and_is_told_once(void)
{
    AUTO_BUF got = BUF_INIT(10000);

    CHECK_INT(0, ipc_call(peer.queue, (enum msg)MSG_QUEUE_OPEN, (struct slice){0}, -1, loop_now(peer.loop) + PEER_WAIT, NULL), ST_OK);
    list();
    CHECK_INT(1, n_entries, 0);
    CHECK_INT(2, send_to(peer.smtp, 'a', 2, true, (struct slice){0}, false), ST_OK);
    CHECK_INT(3, send_to(peer.smtp, 'b', 1, false, (struct slice){0}, false), ST_OK);
    news(4, 1); /* not again before the list was asked for */
    list();
    CHECK_INT(5, n_entries, 3);
    CHECK_SLICE(6, slice_of(entries[0].recipient), "a0@example.org");
    CHECK_SLICE(7, slice_of(entries[2].recipient), "b0@example.org");
    CHECK_SLICE(8, slice_of(entries[2].spec), "spec");
    CHECK(9, entries[0].body == entries[1].body && entries[0].body != entries[2].body);
    CHECK_INT(10, entries[0].size, sizeof(BODY) - 1 + 6);
    CHECK_INT(11, read_entry(entries[1].id, &got), ST_OK);
    CHECK_SLICE(12, buf_slice(&got), "P: 1\r\n" BODY);
    CHECK_INT(13, send_to(peer.smtp, 'a', 2, true, (struct slice){0}, true), ST_OK); /* asked again: once */
    list();
    CHECK_INT(14, n_entries, 3);
    CHECK_INT(15, send_to(peer.smtp, 'c', 1, false, (struct slice){0}, false), ST_OK);
    news(16, 2);
    check_store(17);
}

static void
waits_and_ends(void)
{
    AUTO_BUF all = BUF_INIT(1u << 16), got = BUF_INIT(10000);
    uint64_t first, second;

    list();
    first = entries[0].id;
    second = entries[1].id;
    settled(&all, first, true, 5000, 3);
    settled(&all, second, false, 0, 0);
    CHECK_INT(1, settle(buf_slice(&all)), ST_OK);
    CHECK_INT(2, settle(buf_slice(&all)), ST_OK); /* nothing twice */
    list();
    CHECK_INT(3, n_entries, 3);
    CHECK(4, entries[0].id == first && entries[0].due == 5000 && entries[0].tries == 3);
    CHECK_SLICE(5, slice_of(entries[0].spec), "later");
    CHECK_INT(6, read_entry(second, &got), ST_NOTFOUND);
    CHECK_INT(7, read_entry(first, &got), ST_OK); /* its message has others yet */
    buf_clear(&all);
    settled(&all, second, false, 0, 0);
    settled(&all, first, false, 0, 0);
    CHECK_INT(8, settle(buf_slice(&all)), ST_SYNTAX); /* not ascending */
    list();
    CHECK_INT(9, n_entries, 3);
    buf_clear(&all);
    for (uint64_t id = 1; id <= STORE_SETTLED_MAX + 1; id++)
        settled(&all, id, false, 0, 0);
    CHECK_INT(10, settle(buf_slice(&all)), ST_LIMIT);
    check_store(11);
}

/* The report comes with the end of what it reports on, or not at all. */
static void
is_reported_on(void)
{
    AUTO_BUF all = BUF_INIT(1000);
    uint64_t id;

    list();
    id = entries[1].id;
    CHECK_SLICE(0, slice_of(entries[1].recipient), "b0@example.org");
    settled(&all, id, false, 0, 0);
    CHECK_INT(1, send_to(peer.queue, 'r', 1, true, buf_slice(&all), false), ST_OK);
    list();
    CHECK_INT(2, n_entries, 3);
    CHECK_SLICE(3, slice_of(entries[2].recipient), "r0@example.org");
    for (size_t i = 0; i < n_entries; i++)
        CHECK(4, entries[i].id != id);
    check_store(5);
    CHECK_INT(6, send_to(peer.smtp, 's', 1, true, buf_slice(&all), false), ST_CLOSED); /* no business of smtpd */
    CHECK_INT(7, peer_again(&peer, ROLE_SMTP), ST_OK);
    list();
    CHECK_INT(8, n_entries, 3);
}

static void
is_there_after_a_kill(void)
{
    struct entry before[3];

    list();
    memcpy(before, entries, sizeof(before));
    (void)peer_end(&peer, true);
    CHECK_INT(0, peer_start(&peer), ST_OK);
    list();
    CHECK_INT(1, n_entries, 3);
    CHECK(2, memcmp(before, entries, sizeof(before)) == 0);
    check_store(3);
}

/* More than one page of them, and all go. */
static void
many(void)
{
    CHECK_INT(0, send_to(peer.smtp, 'm', STORE_RECIPIENTS_MAX, false, (struct slice){0}, false), ST_OK);
    CHECK_INT(1, send_to(peer.smtp, 'n', STORE_RECIPIENTS_MAX + 1, false, (struct slice){0}, false), ST_LIMIT);
    CHECK_INT(2, send_to(peer.smtp, 'o', STORE_RECIPIENTS_MAX, true, (struct slice){0}, false), ST_OK);
    list();
    CHECK_INT(3, n_entries, 3 + 2 * STORE_RECIPIENTS_MAX);
    for (size_t i = 0; i < n_entries; i += STORE_SETTLED_MAX) {
        AUTO_BUF all = BUF_INIT(1u << 20);

        for (size_t k = i; k < n_entries && k < i + STORE_SETTLED_MAX; k++)
            settled(&all, entries[k].id, false, 0, 0);
        CHECK_INT(i, settle(buf_slice(&all)), ST_OK);
    }
    list();
    CHECK_INT(4, n_entries, 0);
    check_store(5);
}

static void
all(void *arg)
{
    AUTO_BUF reply = BUF_INIT(100);

    CHECK_INT(0, peer_start(&peer), ST_OK);
    CHECK_INT(1, PEER_ASK(&peer, peer.ctl, MSG_ACCOUNT_ADD, account_add, &reply, SLICE("a@dominio.com.uy"), 0), ST_OK);
    CHECK_INT(2, peer_rcpt(&peer, "a@dominio.com.uy", &account), ST_OK);
    comes_and_is_told_once();
    waits_and_ends();
    is_reported_on();
    is_there_after_a_kill();
    many();
    CHECK_INT(3, peer_end(&peer, false), 0);
    loop_stop(peer.loop);
}

TEST(queue)
{
    CHECK(0, peer_live(&peer, all));
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(queue))};

    peer.executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
