/* APPEND of several messages (RFC 3502): all or none, however they come and whatever is wrong with one of
 * them. */
#include <stdlib.h>

#include "maa/imap/fake.h"

#define LITERAL_SIZE(text) (sizeof(text) - 1)

static struct box *box;

static uint32_t
living(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < box->n; i++)
        n += !box->mails[i].gone;
    return n;
}

/* RFC 3502 6.3.11: the example. Its literals are as long as they are, not as it says. */
static void
try_example(struct stream *c)
{
    static const char one[] =
        "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\nFrom: Fred Foobar <foobar@Blurdybloop.example.COM>\r\n"
        "Subject: afternoon meeting\r\nTo: mooch@owatagu.example.net\r\n\r\n"
        "Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n";
    static const char two[] =
        "Date: Mon, 7 Feb 1994 22:43:04 -0800 (PST)\r\nFrom: Joe Mooch <mooch@OWaTaGu.example.net>\r\n"
        "Subject: Re: afternoon meeting\r\nTo: foobar@blurdybloop.example.com\r\n\r\n3:30 is fine with "
        "me.\r\n";
    AUTO_BUF say = BUF_INIT(4096);

    buf_printf(&say, "A003 APPEND saved-messages (\\Seen) {%zu}\r\n%c", LITERAL_SIZE(one), 0);
    SAYS(c, (const char *)say.p, "+ go ahead\r\n");
    buf_clear(&say);
    buf_printf(&say, "%s (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" {%zu}\r\n%c", one, LITERAL_SIZE(two), 0);
    SAYS(c, (const char *)say.p, "+ go ahead\r\n");
    CHECK_INT(0, living(), 0); /* none before all */
    buf_clear(&say);
    buf_printf(&say, "%s\r\n%c", two, 0);
    SAYS(c, (const char *)say.p, "A003 OK [APPENDUID 1002 1:2] APPEND completed\r\n");
    CHECK_INT(1, living(), 2);
    CHECK_SLICE(2, buf_slice(&box->mails[0].body), one);
    CHECK_SLICE(3, buf_slice(&box->mails[1].body), two);
    CHECK(4, box->mails[0].flags == FLAG_SEEN && box->mails[1].flags == FLAG_SEEN);
    CHECK_INT(5, box->mails[1].date, 760689784000000000);
    SAYS(c, "A004 APPEND bogusname (\\Flagged) {1023}\r\n", "A004 NO [TRYCREATE] No such mailbox\r\n");
    /* The quota is asked when all are there. */
    SAYS(c, "A005 APPEND saved-messages (\\Flagged) {17}\r\n", "+ go ahead\r\n");
    SAYS(c, "Subject: much\r\n\r\n {5}\r\n", "+ go ahead\r\n");
    SAYS(c, "12345\r\n", "A005 NO [OVERQUOTA] The quota would be passed\r\n");
}

/* section, what is said, all of the answer; then two messages are there as before, and "b NOOP" is understood
 */
static const struct {
    const char *section, *say, *want;
} refused[] = {
    {"3502 6.3.11 cancelled",          "x {3+}\r\nabc {0}\r\n",                        "NO [CANNOT] A message has bytes"  },
    {"3502 6.3.11 cancelled, 7888",    "x {3+}\r\nabc {0+}\r\n\r\n",                   "NO [CANNOT] A message has bytes"  },
    {"3502 6.3.11 cancelled, more",    "x {3+}\r\nabc {0+}\r\n {3+}\r\nabc\r\n",
     "NO [CANNOT] A message has bytes"                                                                                    },
    {"3502 6.3.11 none at first",      "x {0+}\r\n {3+}\r\nabc\r\n",                   "NO [CANNOT] A message has bytes"  },
    {"3502 4 flags",                   "x {3+}\r\nabc (\\Recent) {3+}\r\nabc\r\n",     "BAD \\Recent cannot be set"       },
    {"3502 4 flags, waited for",       "x {3+}\r\nabc (\\Recent) {3}\r\n",             "BAD \\Recent cannot be set"       },
    {"3502 4 then one to wait for",    "x {3+}\r\nabc (\\Recent) {3+}\r\nabc {3}\r\n",
     "BAD \\Recent cannot be set"                                                                                         },
    {"3502 4 date",                    "x {3+}\r\nabc \"1-Feb-1994\" {3}\r\n",
     "BAD A date and time looks like \"17-Jul-1996 02:44:25 -0700\""                                                      },
    {"3502 4 a mailbox",               "x {3+}\r\nabc INBOX {3+}\r\nabc\r\n",          "BAD More than the command takes"  },
    {"3502 4 no space",                "x {3+}\r\nabc{3}\r\n",
     "BAD Behind a message comes another one, or the end of the line"                                                     },
    {"3502 4 no literal",              "x {3+}\r\nabc (\\Seen)\r\n",
     "BAD Behind a message comes another one, or the end of the line"                                                     },
    {"3502 4 a quoted one",            "x {3+}\r\nabc \"def\"\r\n",
     "BAD Behind a message comes another one, or the end of the line"                                                     },
    {"6855 4 not enabled",             "x {3+}\r\nabc UTF8 (~{3+}\r\nabc)\r\n",        "BAD UTF8 needs ENABLE UTF8=ACCEPT"},
    {"7889 4 of one message",          "x {3+}\r\nabc {52428801}\r\n",
     "NO [TOOBIG] The message is larger than 52428800 bytes"                                                              },
    {"3501 6.3.11 no mailbox, in all", "nowhere {3+}\r\nabc {3+}\r\nabc\r\n",
     "NO [TRYCREATE] No such mailbox"                                                                                     },
};

static void
try_refused(struct stream *c)
{
    for (size_t i = 0; i < COUNT(refused); i++) {
        AUTO_BUF say = BUF_INIT(4096), want = BUF_INIT(4096);
        bool named = refused[i].say[0] == 'n';

        buf_printf(&say, "a APPEND %s%s%c", named ? "" : "saved-messages", refused[i].say + !named, 0);
        buf_printf(&want, "a %s\r\n%c", refused[i].want, 0);
        SAYS(c, (const char *)say.p, (const char *)want.p);
        SAYS(c, "b NOOP\r\n", "b OK NOOP completed\r\n");
        CHECK_INT(i, living(), 2);
    }
}

/* Non-synchronizing literals, literal8 and UTF8 in one command. */
static void
try_literals(struct stream *c)
{
    SAYS(c, "a ENABLE UTF8=ACCEPT\r\n", "* ENABLED UTF8=ACCEPT\r\na OK ENABLE completed\r\n");
    SAYS(c,
         "a APPEND saved-messages (\\Flagged $A) UTF8 (~{5+}\r\n\xc3\xb1\xc3\xb1\n) {3+}\r\nabc ($B $a) "
         "~{4}\r\n",
         "+ go ahead\r\n");
    SAYS(c, "defg UTF8 (~{1+}\r\nx)\r\n", "a OK [APPENDUID 1002 3:6] APPEND completed\r\n");
    CHECK_INT(0, living(), 6);
    CHECK_SLICE(1, buf_slice(&box->mails[2].body), "\xc3\xb1\xc3\xb1\n");
    CHECK_SLICE(2, buf_slice(&box->mails[3].body), "abc");
    CHECK_SLICE(3, buf_slice(&box->mails[4].body), "defg");
    CHECK_SLICE(4, buf_slice(&box->mails[5].body), "x");
    CHECK(5, box->mails[2].flags == FLAG_FLAGGED && box->mails[3].flags == 0);
    CHECK(6, box->mails[2].keywords.n == 2 && box->mails[3].keywords.n == 0 && box->mails[4].keywords.n == 4);
}

static void
put_message(struct buf *to, size_t n, int i)
{
    size_t end = to->n + n;

    buf_printf(to, "Subject: message %d\r\n\r\n", i);
    for (int line = 0; to->n < end; line++)
        buf_printf(to, "%d %d\r\n", i, line);
    to->n = end;
}

/* How many messages of how many bytes: each is there byte for byte, in its order. */
static void
many_of(struct stream *c, int many, size_t n)
{
    AUTO_BUF say = BUF_INIT(32u << 20), want = BUF_INIT(4096);
    uint32_t first = box->uidnext, before = box->n;

    buf_puts(&say, "a APPEND saved-messages");
    for (int i = 0; i < many; i++) {
        buf_printf(&say, " {%zu+}\r\n", n);
        put_message(&say, n, i);
    }
    buf_puts(&say, "\r\n");
    CHECK_INT(n, stream_put(c, buf_slice(&say), soon()), ST_OK);
    buf_printf(&want, "a OK [APPENDUID 1002 %u:%u] APPEND completed\r\n%c", first, first + (uint32_t)many - 1,
               0);
    HEARS(c, (const char *)want.p);
    CHECK_INT(n, box->n, before + (uint32_t)many);
    for (int i = 0; i < many; i++) {
        AUTO_BUF body = BUF_INIT(8u << 20);

        put_message(&body, n, i);
        CHECK(i, slice_eq(buf_slice(&box->mails[before + (uint32_t)i].body), buf_slice(&body)));
    }
}

/* What passes a megabyte, or 64 chunks, or the credit, goes through one side body. */
static void
try_many(struct stream *c)
{
    many_of(c, 64, 100); /* as many chunks as go without one */
    many_of(c, 65, 100);
    many_of(c, 250, 100); /* append_messages; their digests do not fit in a datagram */
    many_of(c, 2, 600000);
    many_of(c, 3, SHM_CHUNK + 1);
    many_of(c, 2, 1500000); /* already the first of them */
    CHECK_INT(0, sides_dropped, 0);
    mdad_fails = true; /* kept without digests */
    many_of(c, 3, 200000);
    mdad_fails = false;
}

static void
try_limits(struct stream *c)
{
    AUTO_BUF say = BUF_INIT(1u << 20);
    uint32_t before = living();

    buf_puts(&say, "a APPEND saved-messages");
    for (int i = 0; i < 251; i++)
        buf_puts(&say, " {1+}\r\nx");
    buf_puts(&say, "\r\n");
    CHECK_INT(0, stream_put(c, buf_slice(&say), soon()), ST_OK);
    HEARS(c, "a NO [LIMIT] More than 250 messages at once\r\n");
    CHECK_INT(1, living(), before);
    CHECK_INT(2, sides_dropped, 1);
    no_space = true; /* found out when the second one needs a side body */
    buf_clear(&say);
    buf_puts(&say, "a APPEND saved-messages {600000+}\r\n");
    put_message(&say, 600000, 1);
    buf_printf(&say, " {600000}\r\n%c", 0);
    SAYS(c, (const char *)say.p, "a NO [UNAVAILABLE] The disk is full\r\n");
    no_space = false;
    CHECK_INT(3, living(), before);
}

/* The connection ends in the middle: before a message, in one, behind the last. */
static void
try_cut(void)
{
    static const struct {
        size_t first;
        const char *then;
        unsigned sides; /* that are dropped */
    } cases[] = {
        {100,     "",                    0},
        {100,     " {100+}\r\nx",        0},
        {100,     " (\\Seen) {1+}\r\nx", 0},
        {1500000, " {100+}\r\nx",        1},
        {1500000, " {1+}\r\nx",          1},
        {1000000, " {100000+}\r\nx",     1},
    };
    uint32_t before = living();

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF say = BUF_INIT(2u << 20);
        unsigned dropped = sides_dropped;
        struct stream c;

        connect_client(&c, 10 + i, "");
        HEARS(&c, HELLO);
        buf_printf(&say, "a APPEND saved-messages {%zu+}\r\n", cases[i].first);
        put_message(&say, cases[i].first, 0);
        buf_puts(&say, cases[i].then);
        CHECK_INT(i, stream_put(&c, buf_slice(&say), soon()), ST_OK);
        stream_close(&c);
        for (int k = 0; k < 100 && sides_dropped < dropped + cases[i].sides; k++)
            fiber_sleep_until(loop_now(loop) + MSEC(20));
        CHECK_INT(i, sides_dropped, dropped + cases[i].sides);
        CHECK_INT(i, living(), before);
    }
}

/* A message that is too large and is not held back: what follows it cannot be read. */
static void
try_too_large(struct stream *c)
{
    SAYS(c, "a APPEND saved-messages {3+}\r\nabc {52428801+}\r\n",
         "a NO [TOOBIG] The message is larger than 52428800 bytes\r\n* BYE What follows cannot be told apart "
         "from commands\r\n");
    CHECK_INT(0, stream_more(c, soon()), ST_CLOSED);
}

static void
converse(void)
{
    struct stream c;

    add_box(SLICE("INBOX"));
    box = add_box(SLICE("saved-messages"));
    give_credit(4u << 20);
    connect_client(&c, 1, "");
    HEARS(&c, HELLO);
    try_example(&c);
    try_refused(&c);
    try_literals(&c);
    try_many(&c);
    try_limits(&c);
    try_cut();
    many_of(&c, 3, 300); /* credit and chunks came back */
    try_too_large(&c);
    stream_close(&c);
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
