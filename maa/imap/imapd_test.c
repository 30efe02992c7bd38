/* What a client and imapd say to each other: folders, flags, two sessions, restarts. */
#include "maa/imap/fake.h"

static const char multipart[] =
    "From: Ana <ana@example.org>\r\nSubject: =?utf-8?q?hol=C3=A1?=\r\nDate: Mon, 7 Feb 1994 23:52:25 "
    "-0800\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
    "base64\r\n\r\nbWHDsWFuYQ==\r\n--b\r\n"
    "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\n";

static void
try_login_and_select(struct stream *c)
{
    connect_client(c, 1, "p NOOP\r\n");
    HEARS(c, HELLO "p OK NOOP completed\r\n");
    SAYS(c, "a XYZZY\r\n", "a BAD Unknown command\r\n");
    SAYS(c, "a FETCH 1 FLAGS\r\n", "a BAD Select a mailbox first\r\n");
    SAYS(c, "a LOGIN x y\r\n", "a BAD Already logged in\r\n");
    SAYS(c, "a SELECT nowhere\r\n", "a NO [NONEXISTENT] No such mailbox\r\n");
    SAYS(c, "a SELECT inbox\r\n",
         FLAGS_LINE("") PERMANENT("") "* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UNSEEN 1] First unseen\r\n"
                                      "* OK [UIDVALIDITY 1001] UIDs valid\r\n* OK [UIDNEXT 4] Predicted next "
                                      "UID\r\na OK [READ-WRITE] SELECT completed\r\n");
}

static void
try_fetch(struct stream *c)
{
    SAYS(c, "a FETCH 1:2 (FLAGS UID RFC822.SIZE INTERNALDATE)\r\n",
         "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"17-Jul-1996 08:44:25 +0000\" RFC822.SIZE 28)\r\n"
         "* 2 FETCH (UID 2 FLAGS () INTERNALDATE \"17-Jul-1996 08:44:25 +0000\" RFC822.SIZE 28)\r\na OK "
         "FETCH completed\r\n");
    SAYS(c, "a UID FETCH 900:* FLAGS\r\n", "* 3 FETCH (UID 3 FLAGS ())\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 4 FLAGS\r\n", "a BAD No message has such a number\r\n");
    SAYS(c, "a FETCH 1 BODY.PEEK[]\r\n",
         "* 1 FETCH (BODY[] {28}\r\nSubject: one\r\n\r\nfirst body\r\n)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 1 BODY.PEEK[]<9.3>\r\n", "* 1 FETCH (BODY[]<9> {3}\r\none)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (FROM)])\r\n",
         "* 1 FETCH (BODY[TEXT] {12}\r\nfirst body\r\n BODY[HEADER] {16}\r\nSubject: one\r\n\r\n "
         "BODY[HEADER.FIELDS (FROM)] {2}\r\n\r\n)\r\n"
         "a OK FETCH completed\r\n");
}

static void
try_parts(struct stream *c)
{
    SAYS(c,
         "a FETCH 3 (BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[7])\r\n",
         "* 3 FETCH (BODY[1] {12}\r\nbWHDsWFuYQ== BODY[1.MIME] {78}\r\nContent-Type: text/plain; "
         "charset=utf-8\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\n BODY[2.HEADER] {15}\r\nSubject: in\r\n\r\n BODY[2.TEXT] "
         "{1}\r\nx BODY[7] NIL)\r\n"
         "a OK FETCH completed\r\n");
    ANSWERS_WITH(c, "a FETCH 3 ALL\r\n", "a OK FETCH completed\r\n",
                 "ENVELOPE (\"Mon, 7 Feb 1994 23:52:25 -0800\" \"=?utf-8?q?hol=C3=A1?=\" ((\"Ana\" NIL "
                 "\"ana\" \"example.org\"))");
    ANSWERS_WITH(c, "a FETCH 3 BODYSTRUCTURE\r\n", "a OK FETCH completed\r\n", "\"message\" \"rfc822\"");
    fake.boxes[0].mails[2].no_digest = true; /* imapd parses it itself, to the same end */
    ANSWERS_WITH(c, "a FETCH 1:3 FULL\r\n", "a OK FETCH completed\r\n", "\"message\" \"rfc822\"");
    SAYS(c, "a FETCH 3 BODY.PEEK[2.1]\r\n", "* 3 FETCH (BODY[2.1] {1}\r\nx)\r\na OK FETCH completed\r\n");
    fake.boxes[0].mails[2].no_digest = false;
    SAYS(c, "a FETCH 2 BODY[TEXT]<0.5>\r\n",
         "* 2 FETCH (FLAGS (\\Seen) BODY[TEXT]<0> {5}\r\nother)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 2 BODY[]<500.5>\r\n", "* 2 FETCH (BODY[]<500> {0}\r\n)\r\na OK FETCH completed\r\n");
    SAYS(c, "a FETCH 2 (BODY.PEEK[\r\n", "a BAD Unknown section\r\n");
}

static void
try_store_and_search(struct stream *c)
{
    SAYS(c, "a STORE 1:2 +FLAGS (\\Flagged)\r\n",
         "* 1 FETCH (UID 1 FLAGS (\\Flagged))\r\n* 2 FETCH (UID 2 FLAGS (\\Seen \\Flagged))\r\na OK STORE "
         "completed\r\n");
    SAYS(c, "a STORE 1 +FLAGS \\Flagged\r\n",
         "* 1 FETCH (UID 1 FLAGS (\\Flagged))\r\na OK STORE completed\r\n"); /* unchanged */
    SAYS(c, "a STORE 1 -FLAGS.SILENT (\\Flagged)\r\n", "a OK STORE completed\r\n");
    SAYS(c, "a UID STORE 3 FLAGS ($Mine)\r\n",
         FLAGS_LINE(" $Mine") "* 3 FETCH (UID 3 FLAGS ($Mine))\r\na OK STORE completed\r\n");
    SAYS(c, "a NOOP\r\n", "a OK NOOP completed\r\n"); /* what was told is not told again */
    SAYS(c, "a SEARCH ALL\r\n", "* SEARCH 1 2 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH UNSEEN KEYWORD $mine\r\n", "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH KEYWORD none\r\n", "* SEARCH\r\na OK SEARCH completed\r\n");
    SAYS(c, "a UID SEARCH OR FLAGGED 3\r\n", "* SEARCH 2 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH NOT (SEEN FLAGGED) SMALLER 100\r\n", "* SEARCH 1\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH SUBJECT TWO\r\n", "* SEARCH 2\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH FROM ana SENTON 7-Feb-1994\r\n",
         "* SEARCH 3\r\na OK SEARCH completed\r\n"); /* in UTC it was the 8th */
    SAYS(c, "a SEARCH BODY body NOT TEXT two\r\n", "* SEARCH 1\r\na OK SEARCH completed\r\n");
    SAYS(c,
         "a SEARCH CHARSET UTF-8 BODY {7+}\r\nMA\xc3\x91"
         "ana\r\n",
         "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH CHARSET UTF-8 SUBJECT {5+}\r\nHOL\xc3\x81\r\n",
         "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH ON 17-Jul-1996 BEFORE 18-Jul-1996 SINCE 17-Jul-1996\r\n",
         "* SEARCH 1 2 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH CHARSET X-NONE ALL\r\n", "a NO [BADCHARSET (US-ASCII UTF-8)] Unknown CHARSET\r\n");
    SAYS(c, "a SEARCH XYZZY\r\n", "a BAD Unknown search key\r\n");
    SAYS(c, "a SEARCH 4\r\n", "a BAD No message has such a number\r\n");
}

static void
try_mailboxes(struct stream *c)
{
    SAYS(c, "a LIST \"\" \"\"\r\n", "* LIST (\\Noselect) \"/\" \"\"\r\na OK LIST completed\r\n");
    SAYS(c, "a CREATE Sent/2024\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a CREATE Sent\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a CREATE Sent-x\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a CREATE Sent\r\n", "a NO [ALREADYEXISTS] There already is such a mailbox\r\n");
    SAYS(c, "a CREATE inbox\r\n", "a NO [ALREADYEXISTS] There already is such a mailbox\r\n");
    SAYS(c, "a CREATE bro&ken\r\n", "a NO [CANNOT] Not a mailbox name\r\n");
    box_named(SLICE("Sent"))->special = SPECIAL_SENT;
    SAYS(c, "a LIST \"\" *\r\n",
         "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\HasChildren \\Sent) \"/\" Sent\r\n* LIST "
         "(\\HasNoChildren) \"/\" Sent-x\r\n"
         "* LIST (\\HasNoChildren) \"/\" Sent/2024\r\na OK LIST completed\r\n");
    SAYS(c, "a LIST Sent/ %\r\n", "* LIST (\\HasNoChildren) \"/\" Sent/2024\r\na OK LIST completed\r\n");
    SAYS(c, "a SUBSCRIBE Sent/2024\r\n", "a OK SUBSCRIBE completed\r\n");
    SAYS(c, "a LSUB \"\" *\r\n", "* LSUB () \"/\" Sent/2024\r\na OK LSUB completed\r\n");
    SAYS(c, "a LSUB \"\" %\r\n", "* LSUB (\\Noselect) \"/\" Sent\r\na OK LSUB completed\r\n");
    SAYS(c, "a UNSUBSCRIBE Sent/2024\r\n", "a OK UNSUBSCRIBE completed\r\n");
    SAYS(c, "a LSUB \"\" *\r\n", "a OK LSUB completed\r\n");
    SAYS(c, "a RENAME Sent-x Espa&APE-a\r\n", "a OK RENAME completed\r\n");
    SAYS(c, "a LIST \"\" E*\r\n", "* LIST (\\HasNoChildren) \"/\" Espa&APE-a\r\na OK LIST completed\r\n");
    SAYS(c, "a STATUS Espa&APE-a (MESSAGES UIDNEXT UNSEEN)\r\n",
         "* STATUS Espa&APE-a (MESSAGES 0 UIDNEXT 1 UNSEEN 0)\r\na OK STATUS completed\r\n");
    SAYS(c, "a DELETE Espa&APE-a\r\n", "a OK DELETE completed\r\n");
    SAYS(c, "a DELETE Espa&APE-a\r\n", "a NO [NONEXISTENT] No such mailbox\r\n");
    SAYS(c, "a DELETE INBOX\r\n", "a NO [CANNOT] INBOX cannot be deleted\r\n");
    SAYS(c, "a NAMESPACE\r\n", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\na OK NAMESPACE completed\r\n");
    SAYS(c, "a COPY 1 nowhere\r\n", "a NO [TRYCREATE] No such mailbox\r\n");
    SAYS(c, "a COPY 1:2 Sent\r\n", "a OK [COPYUID 1003 1:2 1:2] COPY completed\r\n");
    SAYS(c, "a STATUS Sent (MESSAGES DELETED SIZE)\r\n",
         "* STATUS Sent (MESSAGES 2 DELETED 0 SIZE 56)\r\na OK STATUS completed\r\n");
}

/* Two sessions in one mailbox. */
static void
try_two(struct stream *c)
{
    struct stream d;

    connect_client(&d, 2, "");
    HEARS(&d, HELLO);
    ANSWERS_WITH(&d, "s EXAMINE INBOX\r\n", "s OK [READ-ONLY] EXAMINE completed\r\n", "PERMANENTFLAGS ()");
    SAYS(&d, "a STORE 1 FLAGS \\Seen\r\n", "a NO [READ-ONLY] The mailbox was opened to be read only\r\n");
    SAYS(&d, "i IDLE\r\n", "+ idling\r\n");
    SAYS(c, "a STORE 1 +FLAGS.SILENT (\\Deleted)\r\n", "a OK STORE completed\r\n");
    HEARS(&d, "* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n");
    add_mail(&fake.boxes[0], SLICE("Subject: new\r\n\r\n"));
    hint_all(&fake.boxes[0]);
    HEARS(&d, "* 4 EXISTS\r\n* 0 RECENT\r\n");
    SAYS(&d, "DONE\r\n", "i OK IDLE completed\r\n");
    SAYS(c, "a EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 3 EXISTS\r\n* 0 RECENT\r\na OK EXPUNGE completed\r\n");
    /* RFC 3501 7.4.1: numbers must not move under FETCH, SEARCH and STORE. */
    SAYS(&d, "a FETCH 2 FLAGS\r\n", "* 2 FETCH (FLAGS (\\Seen \\Flagged))\r\na OK FETCH completed\r\n");
    SAYS(&d, "a FETCH 1:2 UID\r\n",
         "* 2 FETCH (UID 2)\r\na NO [EXPUNGEISSUED] Some of these messages are gone\r\n");
    SAYS(&d, "a SEARCH ALL\r\n", "* SEARCH 2 3 4\r\na OK SEARCH completed\r\n");
    SAYS(&d, "a NOOP\r\n", "* 1 EXPUNGE\r\na OK NOOP completed\r\n");
    SAYS(&d, "a FETCH 1:* UID\r\n",
         "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 3)\r\n* 3 FETCH (UID 4)\r\na OK FETCH completed\r\n");
    /* MOVE tells its expunges, and so does the other session's IDLE. */
    SAYS(&d, "i IDLE\r\n", "+ idling\r\n");
    SAYS(c, "a UID MOVE 2:3 Sent\r\n",
         "* OK [COPYUID 1003 2:3 3:4] Moved\r\n* 2 EXPUNGE\r\n* 1 EXPUNGE\r\na OK MOVE completed\r\n");
    HEARS(&d, "* 2 EXPUNGE\r\n* 1 EXPUNGE\r\n");
    SAYS(&d, "a STATUS Sent (DELETED SIZE)\r\n",
         "i BAD IDLE ends with DONE\r\n"); /* a BAD does not keep LOGOUT from ending it */
    SAYS(&d, "z LOGOUT\r\n", "* BYE Logging out\r\nz OK LOGOUT completed\r\n");
    CHECK_INT(0, stream_more(&d, soon()), ST_CLOSED);
    stream_close(&d);
}

static void
try_close(struct stream *c)
{
    SAYS(c, "a STORE 1 FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    SAYS(c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 1 EXISTS");
    SAYS(c, "a UID EXPUNGE 100\r\n", "a OK EXPUNGE completed\r\n");
    SAYS(c, "a CLOSE\r\n", "a OK CLOSE completed\r\n");
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 0 EXISTS");
    fake.recent_from = 5;
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 0 EXISTS");
    add_mail(&fake.boxes[0], SLICE("Subject: recent\r\n\r\n"));
    hint_all(&fake.boxes[0]);
    SAYS(c, "a NOOP\r\n", "* 1 EXISTS\r\n* 1 RECENT\r\na OK NOOP completed\r\n");
    SAYS(c, "a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS (\\Recent))\r\na OK FETCH completed\r\n");
    SAYS(c, "a SEARCH NEW\r\n", "* SEARCH 1\r\na OK SEARCH completed\r\n");
    SAYS(c, "a STORE 1 FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    SAYS(c, "a CLOSE\r\n", "a OK CLOSE completed\r\n");
    fake.recent_from = UINT32_MAX;
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 0 EXISTS");
    SAYS(c, "a FETCH 1 FLAGS\r\n", "a BAD No message has such a number\r\n");
    SAYS(c, "a UID FETCH 1:* FLAGS\r\n", "a OK FETCH completed\r\n");
    SAYS(c, "a SEARCH ALL\r\n", "* SEARCH\r\na OK SEARCH completed\r\n");
}

/* Answers in many pages, and sets with holes. */
static void
try_many(struct stream *c)
{
    AUTO_BUF want = BUF_INIT(1u << 20);
    struct box *b = &fake.boxes[0];

    for (int i = 0; i < 2000; i++)
        add_mail(b, SLICE("Subject: many\r\n\r\nx"))->flags = i % 2 ? FLAG_SEEN : 0;
    hint_all(b);
    SAYS(c, "a NOOP\r\n", "* 2000 EXISTS\r\n* 0 RECENT\r\na OK NOOP completed\r\n");
    for (unsigned i = 1; i <= 2000; i++)
        buf_printf(&want, "* %u FETCH (FLAGS (%s))\r\n", i, i % 2 ? "" : "\\Seen");
    buf_puts(&want, "a OK FETCH completed\r\n");
    buf_putc(&want, 0);
    SAYS(c, "a FETCH 1:* FLAGS\r\n", (const char *)want.p);
    fake.rows_asked = 0;
    SAYS(c, "a FETCH 7,2000 UID\r\n",
         "* 7 FETCH (UID 12)\r\n* 2000 FETCH (UID 2005)\r\na OK FETCH completed\r\n");
    CHECK_INT(0, fake.rows_asked, 2); /* not the mailbox for two messages */
    fake.page_small = true;
    SAYS(c, "a FETCH 1:5 FLAGS\r\n",
         "* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS (\\Seen))\r\n* 3 FETCH (FLAGS ())\r\n* 4 FETCH (FLAGS "
         "(\\Seen))\r\n"
         "* 5 FETCH (FLAGS ())\r\na OK FETCH completed\r\n");
    fake.page_small = false;
    SAYS(c, "a SEARCH SEEN 1995:*\r\n", "* SEARCH 1996 1998 2000\r\na OK SEARCH completed\r\n");
    SAYS(c, "a STORE 2:1999 +FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    ANSWERS_WITH(c, "a EXPUNGE\r\n", "a OK EXPUNGE completed\r\n", "* 1999 EXPUNGE\r\n* 1998 EXPUNGE\r\n");
    SAYS(c, "a FETCH 1:* UID\r\n", "* 1 FETCH (UID 6)\r\n* 2 FETCH (UID 2005)\r\na OK FETCH completed\r\n");
}

/* A large message to a slow reader, byte for byte. */
static void
try_large(struct stream *c)
{
    AUTO_BUF body = BUF_INIT(8u << 20), want = BUF_INIT(9u << 20);

    buf_puts(&body, "Subject: large\r\n\r\n");
    for (int i = 0; body.n < 5000000; i++)
        buf_printf(&body, "line %d of a large message\r\n", i);
    add_mail(&fake.boxes[0], buf_slice(&body));
    hint_all(&fake.boxes[0]);
    SAYS(c, "a NOOP\r\n", "* 3 EXISTS\r\n* 0 RECENT\r\na OK NOOP completed\r\n");
    buf_printf(&want, "* 3 FETCH (BODY[] {%zu}\r\n", body.n);
    buf_put(&want, buf_slice(&body));
    buf_puts(&want, ")\r\na OK FETCH completed\r\n");
    CHECK_INT(0, stream_put(c, SLICE("a FETCH 3 BODY.PEEK[]\r\nb NOOP\r\n"), soon()), ST_OK);
    buf_puts(&want, "b OK NOOP completed\r\n");
    fiber_sleep_until(loop_now(loop) + MSEC(200)); /* it fills what the kernel holds, and waits */
    for (size_t at = 0; at < want.n;) {
        struct slice bytes;

        CHECK_INT(1, stream_some(c, STREAM_INPUT, soon(), &bytes), ST_OK);
        CHECK(at, bytes.n <= want.n - at && memcmp(bytes.p, want.p + at, bytes.n) == 0);
        at += bytes.n;
    }
    SAYS(c, "a SEARCH BODY \"line 150000 of\"\r\n", "* SEARCH 3\r\na OK SEARCH completed\r\n");
    SAYS(c, "a SEARCH BODY \"line 999999 of\"\r\n", "* SEARCH\r\na OK SEARCH completed\r\n");
}

/* stored is another: handles are void, nothing is watched. An idling session hears of it all the same. */
static void
try_restart(struct stream *c)
{
    struct stream d;

    connect_client(&d, 2, "");
    HEARS(&d, HELLO);
    ANSWERS_WITH(&d, "s SELECT INBOX\r\n", "s OK [READ-WRITE] SELECT completed\r\n", "* 3 EXISTS");
    SAYS(&d, "i IDLE\r\n", "+ idling\r\n");
    channel_free(store);
    fake.handle = 9000;
    fake.n_watches = 0;
    add_mail(&fake.boxes[0], SLICE("Subject: while it was away\r\n\r\n"));
    store = peer(ROLE_STORE);
    HEARS(&d, "* 4 EXISTS\r\n* 0 RECENT\r\n");
    SAYS(c, "a FETCH 1 UID\r\n", "* 1 FETCH (UID 6)\r\n* 4 EXISTS\r\n* 0 RECENT\r\na OK FETCH completed\r\n");
    /* Only stale: a handle that authd renews. */
    fake.handle = 9100;
    SAYS(c, "a STATUS Sent (MESSAGES)\r\n", "* STATUS Sent (MESSAGES 13)\r\na OK STATUS completed\r\n");
    /* Its UIDs are others: the view is worth nothing. */
    channel_free(store);
    fake.handle = 9200;
    fake.n_watches = 0;
    fake.boxes[0].uidvalidity++;
    store = peer(ROLE_STORE);
    HEARS(&d, "* BYE The mailbox is no longer what it was\r\n");
    CHECK_INT(0, stream_more(&d, soon()), ST_CLOSED);
    stream_close(&d);
}

/* APPEND of a message of n bytes, which is fetched byte for byte. */
static void
append_and_fetch(struct stream *c, size_t n)
{
    AUTO_BUF body = BUF_INIT(16u << 20), say = BUF_INIT(16u << 20), want = BUF_INIT(16u << 20);
    struct box *b = box_named(SLICE("Sent"));

    buf_puts(&body, "Subject: appended\r\n\r\n");
    for (int i = 0; body.n < n; i++)
        buf_printf(&body, "%d\r\n", i);
    body.n = n;
    buf_printf(&say, "a APPEND Sent {%zu+}\r\n", n);
    buf_put(&say, buf_slice(&body));
    buf_puts(&say, "\r\n");
    CHECK_INT(0, stream_put(c, buf_slice(&say), soon()), ST_OK);
    buf_printf(&want, "a OK [APPENDUID 1003 %u] APPEND completed\r\n", b->uidnext);
    buf_putc(&want, 0);
    HEARS(c, (const char *)want.p);
    CHECK_SLICE(n, buf_slice(&b->mails[b->n - 1].body), buf_slice(&body));
}

static void
try_append(struct stream *c)
{
    struct stream d;
    struct box *b = box_named(SLICE("Sent"));

    give_credit(4u << 20);
    SAYS(c, "a APPEND nowhere {5}\r\n", "a NO [TRYCREATE] No such mailbox\r\n"); /* before it is sent */
    SAYS(c, "a APPEND nowhere {5+}\r\n12345\r\nb NOOP\r\n",
         "a NO [TRYCREATE] No such mailbox\r\nb OK NOOP completed\r\n");
    SAYS(c, "a APPEND Sent {99999999999}\r\n", "a NO [TOOBIG] The message is larger than 52428800 bytes\r\n");
    SAYS(c, "a APPEND Sent (\\Recent) {5}\r\n", "a BAD \\Recent cannot be set\r\n");
    SAYS(c, "a APPEND Sent {0}\r\n", "a NO [CANNOT] A message has bytes\r\n");
    SAYS(c, "a APPEND Sent (\\Seen $Mine) \"17-Jul-1996 02:44:25 -0700\" {20}\r\n", "+ go ahead\r\n");
    SAYS(c, "Subject: synced\r\n\r\nx\r\n", "a OK [APPENDUID 1003 5] APPEND completed\r\n");
    CHECK_INT(0, b->mails[4].flags, FLAG_SEEN);
    CHECK_INT(1, b->mails[4].date, 837596665000000000);
    CHECK_INT(2, b->mails[4].keywords.n, 2);
    SAYS(c, "a APPEND Sent {5+}\r\n12345 x\r\nb NOOP\r\n",
         "a BAD Behind a message comes another one, or the end of the line\r\nb OK NOOP completed\r\n");
    SAYS(c, "a APPEND Sent {17+}\r\nSubject: much\r\n\r\n\r\n",
         "a NO [OVERQUOTA] The quota would be passed\r\n");
    append_and_fetch(c, 1);
    append_and_fetch(c, SHM_CHUNK);
    append_and_fetch(c, STORE_BODY_INLINE);
    append_and_fetch(c, STORE_BODY_INLINE + 1);
    append_and_fetch(c, 5000001);
    CHECK_INT(3, sides_dropped, 0);
    mdad_fails = true; /* kept without a digest */
    append_and_fetch(c, 3000000);
    mdad_fails = false;
    no_space = true;
    SAYS(c, "a APPEND Sent {1500000}\r\n", "a NO [UNAVAILABLE] The disk is full\r\n");
    no_space = false;
    /* A client that goes away in the middle. */
    connect_client(&d, 7, "");
    HEARS(&d, HELLO);
    SAYS(&d, "a APPEND Sent {1500000}\r\n", "+ go ahead\r\n");
    for (int i = 0; i < 30; i++)
        CHECK_INT(i, stream_put(&d, slice_from(multipart, sizeof multipart - 1), soon()), ST_OK);
    stream_close(&d);
    for (int i = 0; i < 100 && sides_dropped == 0; i++)
        fiber_sleep_until(loop_now(loop) + MSEC(20));
    CHECK_INT(4, sides_dropped, 1);
    append_and_fetch(c, 200000);
    SAYS(c, "a SELECT Sent\r\nb APPEND Sent {3+}\r\nabc\r\n", "* OK [CLOSED] Previous mailbox closed\r\n" FLAGS_LINE(" $Mine") PERMANENT(" $Mine"));
    ANSWERS_WITH(c, "", "APPEND completed\r\n", "* 13 EXISTS\r\n");
}

static void
try_bad(void)
{
    AUTO_BUF line = BUF_INIT(200000);
    struct stream c;

    connect_client(&c, 3, "");
    HEARS(&c, HELLO);
    SAYS(&c, "a NOOP x\r\n", "a BAD This command takes no arguments\r\n");
    SAYS(&c, "a NO\rOP\r\n", "a BAD CR and NUL are not allowed in a line\r\n");
    SAYS(&c, "a SELECT {99999999}\r\n", "a BAD Literal too large\r\n");
    SAYS(&c, "a SELECT {5}\r\n", "+ go ahead\r\n");
    ANSWERS_WITH(&c, "INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n",
                 "* 4 EXISTS"); /* a right one begins anew */
    for (int i = 0; i < 9; i++)
        SAYS(&c, "b\r\n", "b BAD A command's name follows the tag and one space\r\n");
    SAYS(&c, "b\r\n",
         "b BAD A command's name follows the tag and one space\r\n* BYE Too many bad commands\r\n");
    CHECK_INT(0, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);

    connect_client(&c, 4, "");
    HEARS(&c, HELLO);
    for (int i = 0; i < 100000; i++)
        buf_putc(&line, 'x');
    buf_putc(&line, 0);
    SAYS(&c, (const char *)line.p,
         "* BAD Line too long\r\n* BYE What follows cannot be told apart from commands\r\n");
    CHECK_INT(1, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);

    refuse_tickets = true;
    connect_client(&c, 5, "");
    HEARS(&c, "l NO [UNAVAILABLE] The login cannot be completed now\r\n");
    refuse_tickets = false;
    stream_close(&c);
}

static void
converse(void)
{
    struct box *inbox = add_box(SLICE("INBOX"));
    struct stream c;

    add_mail(inbox, SLICE("Subject: one\r\n\r\nfirst body\r\n"));
    add_mail(inbox, SLICE("Subject: two\r\n\r\nother body\r\n"));
    add_mail(inbox, slice_of(multipart));
    try_login_and_select(&c);
    try_fetch(&c);
    try_parts(&c);
    try_store_and_search(&c);
    try_mailboxes(&c);
    try_two(&c);
    try_close(&c);
    try_many(&c);
    try_large(&c);
    try_append(&c);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 3 EXISTS");
    try_restart(&c);
    SAYS(&c, "z NOOP\r\n", "* BYE The mailbox is no longer what it was\r\n");
    CHECK_INT(0, stream_more(&c, soon()), ST_CLOSED);
    stream_close(&c);
    try_bad();
    connect_client(&c, 6, "");
    HEARS(&c, HELLO);
    fiber_sleep_until(loop_now(loop) + MSEC(50));
    CHECK_INT(1, done_count, 7);
    CHECK_INT(1, taken_count, done_count + 1); /* one is still here */
    CHECK_INT(2, fake.n_watches, 0);
    CHECK_INT(3, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    HEARS(&c, "* BYE [UNAVAILABLE] The server is being stopped\r\n");
    stream_close(&c);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
