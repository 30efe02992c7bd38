/*
 * Appends of several messages (RFC 3502) as stored does them: all or none, whatever is wrong with one of them, in chunks or as
 * a side body, asked again, after a kill and from the log alone. argv[1] is stored.
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "store/stored_peer.h"
#include "sys/fiber.h"

#define QUOTA 3000000u
#define MOST  300u /* messages of a case */

static struct stored_peer peer = {.settings = "domain = dominio.com.uy\n"};
static uint64_t handle, inbox;

/* Message i of case `of`: its bytes tell both. */
static void
put_text(struct buf *to, size_t of, size_t i, size_t n)
{
    size_t end = to->n + n;

    while (to->n < end)
        buf_printf(to, "%zu-%zu\r\n", of, i);
    to->n = end;
}

static struct mailbox_status
status(void)
{
    struct mailbox_status s = {0};

    CHECK_INT(0, peer_status(&peer, handle, inbox, &s), ST_OK);
    return s;
}

/* `first` bytes, and n - 1 times `each`. */
static const struct {
    const char *what;
    size_t n, first, each;
    bool side, list;
    const char *keyword; /* of the last */
    enum status want;
} cases[] = {
    {"one",                           1,   1000,    0,      false, false, NULL,     ST_OK   },
    {"two",                           2,   1000,    2000,   false, false, NULL,     ST_OK   },
    {"two and a list",                2,   1000,    2000,   false, true,  "$Seen",  ST_OK   },
    {"a chunk and a byte",            3,   16385,   16384,  false, false, "$seen",  ST_OK   },
    {"all chunks",                    64,  100,     100,    false, false, NULL,     ST_OK   },
    {"a side body",                   3,   1000,    20000,  true,  false, "other",  ST_OK   },
    {"a long list and a side body",   300, 20,      20,     true,  true,  "$Seen",  ST_OK   },
    {"the last passes the quota",     3,   1000,    1450000, true, false, NULL,     ST_QUOTA},
    {"one passes it",                 1,   2900000, 0,      true,  false, NULL,     ST_QUOTA},
    {"a keyword without a name",      3,   1000,    1000,   false, false, "",       ST_LIMIT},
};

static enum status
append(size_t of, const char *keyword, struct appended *got)
{
    AUTO_BUF text = BUF_INIT(8u << 20), keywords = BUF_INIT(100);
    static struct slice bodies[MOST];
    static struct append_message list[MOST];
    uint8_t request[16];
    size_t at = 0;
    const struct append m = {.handle = handle,
                             .request = slice_from(memset(request, (int)of + 1, sizeof request), sizeof request),
                             .mailbox = inbox,
                             .list_n = cases[of].list};

    for (size_t i = 0; i < cases[of].n; i++)
        put_text(&text, of, i, i == 0 ? cases[of].first : cases[of].each);
    if (keyword != NULL)
        msg_name_put(&keywords, &(struct msg_name){slice_of(keyword)});
    for (size_t i = 0; i < cases[of].n; i++) {
        bodies[i] = slice_sub(buf_slice(&text), at, i == 0 ? cases[of].first : cases[of].each);
        at += bodies[i].n;
        list[i] = (struct append_message){.flags = i % 2 == 0 ? FLAG_SEEN : 0,
                                          .keywords = i + 1 == cases[of].n ? buf_slice(&keywords) : (struct slice){0},
                                          .internaldate = 1700000000000000000 + (int64_t)i,
                                          .digest = SLICE("digest")};
    }
    return peer_append(&peer, &m, list, bodies, cases[of].n, cases[of].side, got);
}

static void
check_bodies(size_t of, uint32_t uid)
{
    for (size_t i = 0; i < cases[of].n; i++) {
        AUTO_BUF want = BUF_INIT(8u << 20), got = BUF_INIT(8u << 20);

        put_text(&want, of, i, i == 0 ? cases[of].first : cases[of].each);
        CHECK_INT(i, peer_read(&peer, handle, inbox, uid + (uint32_t)i, &got), ST_OK);
        CHECK(i, slice_eq(buf_slice(&want), buf_slice(&got)));
    }
}

/* Dates and flags are of the right messages. */
static void
check_rows(size_t of, uint32_t uid)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct msg_rows rows;
    struct message_row row;
    uint32_t n = 0;

    CHECK_INT(of, PEER_ASK(&peer, peer.imap, MSG_MESSAGES, message_list, &reply, handle, inbox, uid, SLICE("")), ST_OK);
    CHECK(of, msg_rows_get(buf_slice(&reply), &rows));
    for (; message_row_take(&rows.rows, &row); n++) {
        CHECK_INT(n, row.uid, uid + n);
        CHECK(n, row.flags == (n % 2 == 0 ? FLAG_SEEN : 0) && row.internaldate == 1700000000000000000 + (int64_t)n);
        CHECK_INT(n, row.keywords.n, cases[of].keyword != NULL && n + 1 == cases[of].n ? 2 : 0);
    }
    CHECK_INT(of, n, cases[of].n);
}

static void
try_cases(void)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mailbox_status before = status(), after;
        struct appended got = {0}, again = {0};

        CHECK_INT(i, append(i, cases[i].keyword, &got), cases[i].want);
        after = status();
        if (cases[i].want != ST_OK) { /* not even a number is used */
            CHECK(i, memcmp(&before, &after, sizeof before) == 0);
            continue;
        }
        CHECK(i, got.uid == before.uidnext && got.uidvalidity == before.uidvalidity && got.modseq == before.modseq + 1);
        CHECK_INT(i, after.uidnext, before.uidnext + cases[i].n);
        CHECK_INT(i, after.messages, before.messages + cases[i].n);
        CHECK_INT(i, after.modseq, before.modseq + cases[i].n);
        CHECK_INT(i, after.bytes, before.bytes + cases[i].first + (cases[i].n - 1) * cases[i].each);
        check_bodies(i, got.uid);
        check_rows(i, got.uid);
        CHECK_INT(i, append(i, cases[i].keyword, &again), ST_OK);
        CHECK(i, memcmp(&got, &again, sizeof got) == 0);
        CHECK_INT(i, status().messages, after.messages);
    }
}

/* The quota counts messages that came before it in the same request: two that fit alone do not fit together. */
static void
try_wrong(void)
{
    static const struct {
        const char *what;
        uint64_t n, each[3];
        struct slice chunks;
        uint64_t list_n;
    } wrong[] = {
        {"no messages",         0,   {0, 0, 0},        {0},                         0         },
        {"a list of nothing",   3,   {0, 0, 0},        {0},                         300       },
        {"a list too long",     3,   {3, 0, 0},        {0},                         0x7fffffff},
        {"fewer bytes",         4,   {3, 0, 0},        SLICE("\0\0\0\0"),           0         },
        {"more bytes",          5,   {3, 3, 0},        SLICE("\0\0\0\0\1\0\0\0"),   0         },
        {"a sum past 64 bits",  2,   {UINT64_MAX, 3, 0}, SLICE("\0\0\0\0\1\0\0\0"), 0         },
        {"one chunk for two",   6,   {3, 3, 0},        SLICE("\0\0\0\0"),           0         },
        {"two chunks for one",  6,   {6, 0, 0},        SLICE("\0\0\0\0\1\0\0\0"),   0         },
    };
    struct mailbox_status before = status(), after;

    for (size_t i = 0; i < COUNT(wrong); i++) {
        AUTO_BUF reply = BUF_INIT(100), messages = BUF_INIT(200);

        for (size_t k = 0; k < 3 && wrong[i].each[k] > 0; k++)
            append_message_put(&messages, &(struct append_message){.n = wrong[i].each[k]});
        CHECK_INT(i, PEER_ASK(&peer, peer.imap, MSG_APPEND, append, &reply, .handle = handle,
                              .request = SLICE("0123456789abcdef"), .mailbox = inbox, .n = wrong[i].n,
                              .chunks = wrong[i].chunks, .messages = buf_slice(&messages),
                              .list_n = (uint32_t)wrong[i].list_n),
                  ST_CLOSED);
        CHECK_INT(i, peer_again(&peer, ROLE_IMAP), ST_OK);
        CHECK_INT(i, peer_handle(&peer, "a@dominio.com.uy", &handle), ST_OK);
    }
    after = status();
    CHECK(0, memcmp(&before, &after, sizeof before) == 0);
}

/* More messages than there may be; every one of them empty, so that nothing else is wrong. */
static void
try_too_many(void)
{
    for (uint32_t n = STORE_APPEND_MAX; n <= STORE_APPEND_MAX + 1; n++) {
        AUTO_BUF reply = BUF_INIT(100), messages = BUF_INIT(IPC_INLINE);
        uint8_t request[16];

        for (uint32_t i = 0; i < n; i++)
            append_message_put(&messages, &(struct append_message){0});
        CHECK_INT(n, PEER_ASK(&peer, peer.imap, MSG_APPEND, append, &reply, .handle = handle,
                              .request = slice_from(memset(request, 200, sizeof request), sizeof request), .mailbox = inbox,
                              .messages = buf_slice(&messages)),
                  n <= STORE_APPEND_MAX ? ST_OK : ST_CLOSED);
    }
    CHECK_INT(0, peer_again(&peer, ROLE_IMAP), ST_OK);
    CHECK_INT(1, peer_handle(&peer, "a@dominio.com.uy", &handle), ST_OK);
}

/* Sides that were refused leave no file. */
static size_t
sides(void)
{
    char path[128];
    size_t n = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/store/log", peer.root);
    dir = opendir(path);
    CHECK(0, dir != NULL);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strncmp(e->d_name, "side-", 5) == 0;
    (void)closedir(dir);
    return n;
}

static void
same_after(bool without_index)
{
    AUTO_BUF before = BUF_INIT(64u << 20), after = BUF_INIT(64u << 20);
    char path[128];

    CHECK_INT(0, peer_dump(&peer, &before), ST_OK);
    CHECK(0, WIFSIGNALED(peer_end(&peer, true)));
    (void)snprintf(path, sizeof(path), "%s/store/index", peer.root);
    if (without_index)
        peer_remove_tree(path);
    CHECK_INT(1, peer_start(&peer), ST_OK);
    CHECK_INT(2, peer_dump(&peer, &after), ST_OK);
    CHECK(3, before.n > 1000 && slice_eq(buf_slice(&before), buf_slice(&after)));
    CHECK_INT(4, peer_handle(&peer, "a@dominio.com.uy", &handle), ST_OK);
}

/* One of several goes, its neighbours stay; when all went the bytes are nobody's. */
static void
try_expunge(void)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX), runs = BUF_INIT(16);
    struct msg_text text;

    uid_run_put(&runs, &(struct uid_run){3, 3});
    CHECK_INT(0, PEER_ASK(&peer, peer.imap, MSG_EXPUNGE, expunge, &reply, handle, inbox, buf_slice(&runs), 0), ST_OK);
    for (int step = 0; step < 2; step++)
        CHECK_INT(step, ipc_call(peer.ctl, (enum msg)(step == 0 ? MSG_STORE_COMPACT : MSG_STORE_CHECK), (struct slice){0}, -1,
                                 loop_now(peer.loop) + PEER_WAIT, &reply),
                  ST_OK);
    CHECK(3, msg_text_get(buf_slice(&reply), &text));
    CHECK(4, slice_find_slice(text.text, SLICE("0 things are wrong")) < text.text.n);
    CHECK_INT(5, peer_read(&peer, handle, inbox, 3, &reply), ST_NOTFOUND);
    check_bodies(3, 6); /* the first was uid 1, two had 2 and 3, two more 4 and 5 */
}

static void
all(void *arg)
{
    AUTO_BUF reply = BUF_INIT(100);

    CHECK_INT(0, peer_start(&peer), ST_OK);
    CHECK_INT(1, PEER_ASK(&peer, peer.ctl, MSG_ACCOUNT_ADD, account_add, &reply, SLICE("a@dominio.com.uy"), QUOTA), ST_OK);
    CHECK_INT(2, peer_handle(&peer, "a@dominio.com.uy", &handle), ST_OK);
    CHECK_INT(3, peer_mailbox(&peer, handle, "INBOX", &inbox), ST_OK);
    try_cases();
    try_wrong();
    same_after(false);
    try_expunge();
    try_too_many();
    same_after(true);
    check_bodies(3, 6);
    CHECK_INT(4, sides(), 2);
    CHECK_INT(5, peer_end(&peer, false), 0);
    loop_stop(peer.loop);
}

TEST(appends)
{
    CHECK(0, peer_live(&peer, all));
}

int
main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(appends))};

    peer.executable = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
