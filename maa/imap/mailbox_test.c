/* The mailbox side of IMAP: conversations named by the section of the RFC that asks for them. */
#include "maa/imap/fake.h"

#define SELECTED(exists, recent, unseen, uidnext)                                                            \
    FLAGS_LINE("")                                                                                           \
    PERMANENT("")                                                                                            \
    "* " exists " EXISTS\r\n* " recent " RECENT\r\n" unseen                                                  \
    "* OK [UIDVALIDITY 1001] UIDs valid\r\n* OK [UIDNEXT " uidnext "] Predicted next UID\r\n"
#define UNSEEN(n) "* OK [UNSEEN " n "] First unseen\r\n"

static void
log_in(struct stream *c, uint64_t conn)
{
    connect_client(c, conn, "");
    HEARS(c, HELLO);
}

static void
log_out(struct stream *c)
{
    SAYS(c, "z LOGOUT\r\n", "* BYE Logging out\r\nz OK LOGOUT completed\r\n");
    CHECK_INT(0, stream_more(c, soon()), ST_CLOSED);
    stream_close(c);
}

/* A message comes, and who watches hears of it. */
static void
arrive(void)
{
    add_mail(&fake.boxes[0], SLICE("Subject: new\r\n\r\n"));
    hint_all(&fake.boxes[0]);
}

/* RFC 3501 2.3.2: \Recent is for the first session that is told, and EXAMINE takes nothing. */
static void
rfc3501_2_3_2_recent(void)
{
    struct stream a, b;

    fake.recents = true;
    log_in(&a, 1);
    log_in(&b, 2);
    SAYS(&a, "a EXAMINE INBOX\r\n",
         FLAGS_LINE("") "* OK [PERMANENTFLAGS ()] Read-only\r\n* 2 EXISTS\r\n* 2 RECENT\r\n" UNSEEN(
             "1") "* OK [UIDVALIDITY 1001] UIDs valid\r\n* OK [UIDNEXT 3] Predicted next UID\r\n"
                  "a OK [READ-ONLY] EXAMINE completed\r\n");
    SAYS(&a, "a STATUS INBOX (RECENT)\r\n", "* STATUS INBOX (RECENT 2)\r\na OK STATUS completed\r\n");
    SAYS(&a, "a SELECT INBOX\r\n",
         SELECTED("2", "2", UNSEEN("1"), "3") "a OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&a, "a FETCH 1:2 FLAGS\r\n",
         "* 1 FETCH (FLAGS (\\Recent))\r\n* 2 FETCH (FLAGS (\\Recent))\r\na OK FETCH completed\r\n");
    SAYS(&b, "b SELECT INBOX\r\n",
         SELECTED("2", "0", UNSEEN("1"), "3") "b OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&b, "b FETCH 1:2 FLAGS\r\n",
         "* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS ())\r\nb OK FETCH completed\r\n");
    /* Two that are there when it comes are both told so, which 2.3.2 leaves open; who comes later is not. */
    arrive();
    SAYS(&a, "a NOOP\r\n", "* 3 EXISTS\r\n* 3 RECENT\r\na OK NOOP completed\r\n");
    SAYS(&b, "b NOOP\r\n", "* 3 EXISTS\r\n* 1 RECENT\r\nb OK NOOP completed\r\n");
    SAYS(&a, "a CLOSE\r\n", "a OK CLOSE completed\r\n");
    SAYS(&a, "a SELECT INBOX\r\n",
         SELECTED("3", "0", UNSEEN("1"), "4") "a OK [READ-WRITE] SELECT completed\r\n");
    /* A connection that is lost has been told too. */
    arrive();
    SAYS(&a, "a NOOP\r\n", "* 4 EXISTS\r\n* 1 RECENT\r\na OK NOOP completed\r\n");
    stream_close(&a);
    for (int i = 0; i < 200 && fake.boxes[0].recent_from < 5; i++)
        fiber_sleep_until(loop_now(loop) + MSEC(10));
    CHECK_INT(0, fake.boxes[0].recent_from, 5);
    log_out(&b);
}

/* RFC 3501 2.3.2: what cannot be determined is \Recent; a full disk keeps nobody from reading. */
static void
rfc3501_2_3_2_unknown(void)
{
    struct stream a;

    arrive();
    fake.claims_fail = true;
    log_in(&a, 1);
    SAYS(&a, "a SELECT INBOX\r\n",
         SELECTED("5", "1", UNSEEN("1"), "6") "a OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&a, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    fake.claims_fail = false;
    SAYS(&a, "a SELECT INBOX\r\n",
         SELECTED("5", "1", UNSEEN("1"), "6") "a OK [READ-WRITE] SELECT completed\r\n");
    log_out(&a);
}

static void
converse(void)
{
    struct box *inbox = add_box(SLICE("INBOX"));

    add_mail(inbox, SLICE("Subject: one\r\n\r\nfirst body\r\n"));
    add_mail(inbox, SLICE("Subject: two\r\n\r\nother body\r\n"));
    rfc3501_2_3_2_recent();
    rfc3501_2_3_2_unknown();
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
