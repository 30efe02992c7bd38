/* Clients that mean harm (issue 3, abuse): each ends in a clear reply, and another session goes on meanwhile. */
#include <stdlib.h>

#include "maa/imap/fake.h"

#define NOOP_MOST MSEC(250) /* the promise is 20 ms on a machine of one's own; tests share one */

static struct stream quiet; /* somebody else's session */
static uint64_t slowest;

static void
others_go_on(int line)
{
    uint64_t before = loop_now(loop), took;

    says_at(line, &quiet, "q NOOP\r\n", "q OK NOOP completed\r\n");
    took = loop_now(loop) - before;
    slowest = took > slowest ? took : slowest;
    CHECK(line, took < NOOP_MOST);
}

/* text, n times; then the answer, or what it begins with when the session ends. */
static void
try_repeated(struct stream *c, const char *first, const char *repeated, size_t n, const char *last, const char *want)
{
    AUTO_BUF say = BUF_INIT(16u << 20);

    buf_puts(&say, first);
    for (size_t i = 0; i < n; i++)
        buf_puts(&say, repeated);
    buf_puts(&say, last);
    CHECK_INT(n, stream_put(c, buf_slice(&say), soon()), ST_OK);
    HEARS(c, want);
    others_go_on(__LINE__);
}

static const struct {
    const char *what, *say, *want;
} rows[] = {
    {"100 MB, waited for", "a APPEND INBOX {104857600}", "a NO [TOOBIG] The message is larger than 52428800 bytes"},
    {"more than 64 bits", "a APPEND INBOX {99999999999999999999}", "a NO [TOOBIG] The message is larger than 52428800 bytes"},
    {"100 MB as a name", "a SELECT {104857600}", "a BAD Literal too large"},
    {"100 MB as a search text", "a SEARCH BODY {104857600}", "a BAD Literal too large"},
    {"up a folder", "a STATUS ../../etc/passwd (MESSAGES)", "a NO [NONEXISTENT] No such mailbox"},
    {"up a folder", "a CREATE INBOX/../x", "a OK CREATE completed"}, /* names are no files: it is a name as any */
    {"an empty level", "a CREATE x//y", "a NO [CANNOT] Not a mailbox name"},
    {"control characters", "a CREATE \"x\x01y\"", "a NO [CANNOT] Not a mailbox name"},
    {"broken UTF-7", "a CREATE &", "a NO [CANNOT] Not a mailbox name"},
    {"broken UTF-7", "a CREATE &AGE-", "a NO [CANNOT] Not a mailbox name"}, /* "a" needs no shift */
    {"broken UTF-7", "a STATUS &2D0- (MESSAGES)", "a NO [NONEXISTENT] No such mailbox"}, /* half a surrogate */
    {"broken UTF-7", "a CREATE &AAA-", "a NO [CANNOT] Not a mailbox name"}, /* NUL */
    {"8-bit name", "a CREATE \"\xe9\"", "a NO [CANNOT] Not a mailbox name"},
    {"set of zeros", "a FETCH 0:0 FLAGS", "a BAD Sequence set expected"},
    {"set past 32 bits", "a FETCH 1:99999999999 FLAGS", "a NO [LIMIT] Sequence set too large"},
    {"parts past 32 bits", "a FETCH 1 BODY[99999999999]", "a BAD A part's number begins at 1"},
    {"literal8 as a name", "a SELECT ~{5}", "a BAD Only a message is a literal8"},
    {"a flag that is none", "a STORE 1 FLAGS (\\Xyz)", "a BAD Unknown system flag"},
};

static void
try_nul(struct stream *c)
{
    CHECK_INT(0, stream_put(c, slice_from("a SELECT x\0y\r\n", 14), soon()), ST_OK);
    HEARS(c, "a BAD CR and NUL are not allowed in a line\r\n");
    CHECK_INT(1, stream_put(c, slice_from("a SELECT {3+}\r\nx\0y\r\n", 20), soon()), ST_OK);
    HEARS(c, "a BAD Atom, quoted string or literal expected\r\n");
    others_go_on(__LINE__);
}

/* What cannot be refused without reading it ends the session, with a word, before it is read. */
static void
try_unread(uint64_t conn, const char *say, const char *want)
{
    struct stream c;

    connect_client(&c, conn, "");
    HEARS(&c, HELLO);
    CHECK_INT(conn, stream_put(&c, slice_of(say), soon()), ST_OK);
    HEARS(&c, want);
    CHECK_INT(conn, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);
    others_go_on(__LINE__);
}

static void
try_deep(struct stream *c)
{
    try_repeated(c, "a SEARCH ", "(", 10000, "ALL\r\n", "a NO [LIMIT] Search keys nested too deep\r\n");
    try_repeated(c, "a SEARCH ", "NOT ", 10000, "ALL\r\n", "a NO [LIMIT] Search keys nested too deep\r\n");
    try_repeated(c, "a SEARCH ", "OR ", 10000, "ALL\r\n", "a NO [LIMIT] Search keys nested too deep\r\n");
    try_repeated(c, "a SEARCH ", "1 ", 2000, "1\r\n", "a NO [LIMIT] Too many search keys\r\n");
    try_repeated(c, "a FETCH 1 ", "(", 10000, "UID\r\n", "a BAD Unknown FETCH item\r\n");
    try_repeated(c, "a FETCH 1 BODY[1", ".1", 10000, "]\r\n", "a NO [LIMIT] Section too deep\r\n");
    SAYS(c, "a NOOP\r\n", "a OK NOOP completed\r\n");
    try_repeated(c, "a FETCH 1 (UID", " RFC822", 5000, ")\r\n", "a NO [LIMIT] Too many sections\r\n");
}

/* A million elements do not fit into a line; what does is taken, or refused, at once. */
static void
try_sets(struct stream *c)
{
    struct stream d;

    connect_client(&d, 5, "");
    HEARS(&d, HELLO);
    try_repeated(&d, "a UID FETCH 1", ",1", 40000, "",
                 "a BAD Line too long\r\n* BYE What follows cannot be told apart from commands\r\n");
    stream_close(&d);
    try_repeated(c, "a FETCH 1", ",1", 9000, " UID\r\n", "a NO [LIMIT] Sequence set too large\r\n");
    try_repeated(c, "a UID FETCH 1", ",4000000000", 5000, " UID\r\n",
                 "* 1 FETCH (UID 1)\r\na OK FETCH completed\r\n");
}

/* A thousand commands in one write: a thousand answers, in order. */
static void
try_thousand(struct stream *c)
{
    AUTO_BUF say = BUF_INIT(1u << 20), want = BUF_INIT(1u << 20);

    for (int i = 0; i < 1000; i++) {
        buf_printf(&say, "t%d NOOP\r\n", i);
        buf_printf(&want, "t%d OK NOOP completed\r\n", i);
    }
    buf_putc(&want, 0);
    CHECK_INT(0, stream_put(c, buf_slice(&say), soon()), ST_OK);
    others_go_on(__LINE__);
    HEARS(c, (const char *)want.p);
}

/* Asks for 150 MB and reads none of it; others search and fetch beside it. It gets all, in the end. */
static void
try_never_reads(void)
{
    AUTO_BUF body = BUF_INIT(1u << 20);
    struct stream c;

    buf_puts(&body, "Subject: large\r\n\r\n");
    while (body.n < 50000)
        buf_puts(&body, "all work and no play\r\n");
    for (uint32_t i = 0; i < fake.boxes[0].n; i++) {
        buf_clear(&fake.boxes[0].mails[i].body);
        buf_put(&fake.boxes[0].mails[i].body, buf_slice(&body));
    }
    connect_client(&c, 9, "");
    HEARS(&c, HELLO);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "SELECT completed\r\n", "* 3000 EXISTS");
    CHECK_INT(0, stream_put(&c, SLICE("a FETCH 1:* BODY.PEEK[]\r\n"), soon()), ST_OK);
    for (int i = 0; i < 50; i++)
        others_go_on(__LINE__);
    stream_close(&c);
    others_go_on(__LINE__);
}

/* A search through all texts in one session, commands in another all the time. */
static void
try_search_beside(void)
{
    struct stream c;
    struct slice bytes;
    unsigned asked = 0;

    connect_client(&c, 10, "");
    HEARS(&c, HELLO);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "SELECT completed\r\n", "* 3000 EXISTS");
    CHECK_INT(0, stream_put(&c, SLICE("a SEARCH RETURN (COUNT) BODY dull\r\n"), soon()), ST_OK);
    while (stream_some(&c, 4096, loop_now(loop) + MSEC(1), &bytes) == ST_TIMEOUT) {
        others_go_on(__LINE__);
        asked++;
    }
    CHECK_SLICE(1, bytes, "* ESEARCH (TAG \"a\") COUNT 0\r\na OK SEARCH completed\r\n");
    CHECK(2, asked > 3); /* it was beside it */
    stream_close(&c);
}

static void
converse(void)
{
    struct box *inbox = add_box(SLICE("INBOX"));
    struct stream c;

    for (int i = 0; i < 3000; i++)
        add_mail(inbox, SLICE("Subject: x\r\n\r\nbody\r\n"));
    connect_client(&quiet, 1, "");
    HEARS(&quiet, HELLO);
    connect_client(&c, 2, "");
    HEARS(&c, HELLO);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "SELECT completed\r\n", "* 3000 EXISTS");
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF say = BUF_INIT(1000), want = BUF_INIT(1000);

        buf_printf(&say, "%s\r\n", rows[i].say);
        buf_printf(&want, "%s\r\n%c", rows[i].want, 0);
        CHECK_INT(i, stream_put(&c, buf_slice(&say), soon()), ST_OK);
        hears_at((int)i, &c, (const char *)want.p);
        SAYS(&c, "b NOOP\r\n", "b OK NOOP completed\r\n");
    }
    try_nul(&c);
    try_deep(&c);
    try_sets(&c);
    try_thousand(&c);
    try_unread(3, "a APPEND INBOX {104857600+}\r\n",
               "a NO [TOOBIG] The message is larger than 52428800 bytes\r\n"
               "* BYE What follows cannot be told apart from commands\r\n");
    try_unread(4, "a SELECT {1048576+}\r\n",
               "a BAD Literal too large\r\n* BYE What follows cannot be told apart from commands\r\n");
    try_never_reads();
    try_search_beside();
    print_message("slowest NOOP beside: %llu us\n", (unsigned long long)(slowest / 1000));
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    HEARS(&quiet, "* BYE [UNAVAILABLE] The server is being stopped\r\n");
    stream_close(&quiet);
    stream_close(&c);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
