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

/* As a server that was started anew: no mailboxes but these, with so many messages in the first. */
static void
world(const char *const *names, const char *const *subscribed, int messages)
{
    no_boxes();
    for (; *names != NULL; names++)
        (void)add_box(slice_of(*names));
    for (; *subscribed != NULL; subscribed++) { /* also what is no mailbox */
        struct box *b = box_named(slice_of(*subscribed));

        if (b == NULL) {
            b = add_box(slice_of(*subscribed));
            b->id = 0;
        }
        b->subscribed = true;
    }
    for (int i = 0; i < messages; i++)
        (void)add_mail(&fake.boxes[0], SLICE("Subject: x\r\n\r\ny\r\n"));
}
#define WORLD(messages, subscribed, ...)                                                                     \
    world((const char *const[]){__VA_ARGS__, NULL}, (const char *const[]){subscribed NULL}, messages)
#define SUBSCRIBED(...) __VA_ARGS__,

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
         "* OK [CLOSED] Previous mailbox closed\r\n" SELECTED("2", "2", UNSEEN("1"),
                                                              "3") "a OK [READ-WRITE] SELECT completed\r\n");
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

/* RFC 2971 3.1, 3.3 */
static void
rfc2971_id(struct stream *c)
{
    ANSWERS_WITH(
        c, "a023 ID (\"name\" \"sodr\" \"version\" \"19.34\" \"vendor\" \"Pink Floyd Music Limited\")\r\n",
        "a023 OK ID completed\r\n", "* ID (\"name\" \"Estafeta\"");
    ANSWERS_WITH(c, "a042 ID NIL\r\n", "a042 OK ID completed\r\n", "* ID (");
    SAYS(c, "a ID (\"name\")\r\n", "a BAD A field without a value\r\n");
    SAYS(c, "a ID\r\n", "a BAD Arguments missing\r\n");
}

/* RFC 2342 5 */
static void
rfc2342_namespace(struct stream *c)
{
    SAYS(c, "A001 NAMESPACE\r\n", "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\nA001 OK NAMESPACE completed\r\n");
}

/* RFC 5161 3.1, 3.2: unknown names are passed over; only what is new is told. */
static void
rfc5161_enable(void)
{
    struct stream c;

    log_in(&c, 1);
    SAYS(&c, "a ENABLE X-GOOD-IDEA\r\n", "* ENABLED\r\na OK ENABLE completed\r\n");
    SAYS(&c, "a ENABLE X-GOOD-IDEA imap4REV2 X\r\n", "* ENABLED IMAP4rev2\r\na OK ENABLE completed\r\n");
    SAYS(&c, "a ENABLE IMAP4rev2\r\n", "* ENABLED\r\na OK ENABLE completed\r\n");
    SAYS(&c, "a ENABLE \"x\"\r\n", "a BAD ENABLE takes names of capabilities\r\n");
    log_out(&c);
}

/* RFC 3691 2, RFC 7162 3.2.11 */
static void
rfc3691_unselect(void)
{
    struct stream c;

    WORLD(2, , "INBOX", "b");
    fake.recents = false;
    log_in(&c, 1);
    SAYS(&c, "a UNSELECT\r\n", "a BAD Select a mailbox first\r\n");
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 2 EXISTS");
    SAYS(&c, "a STORE 1 +FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n"); /* nothing is expunged */
    ANSWERS_WITH(&c, "a EXAMINE INBOX\r\n", "a OK [READ-ONLY] EXAMINE completed\r\n", "* 2 EXISTS");
    SAYS(&c, "a CLOSE\r\n", "a OK CLOSE completed\r\n"); /* nor after EXAMINE: RFC 3501 6.4.2 */
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 2 EXISTS");
    ANSWERS_WITH(&c, "a SELECT b\r\n", "a OK [READ-WRITE] SELECT completed\r\n",
                 "* OK [CLOSED] Previous mailbox closed\r\n* FLAGS");
    SAYS(&c, "a SELECT nowhere\r\n",
         "* OK [CLOSED] Previous mailbox closed\r\na NO [NONEXISTENT] No such mailbox\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a BAD Select a mailbox first\r\n"); /* RFC 3501 6.3.1 */
    log_out(&c);
}

/* RFC 9051 6.3.2, 5.1, 6.3.9.7: what a session sees that enabled it. */
static void
rfc9051_view(void)
{
    struct stream c, d;

    WORLD(2, , "INBOX");
    fake.recents = true;
    log_in(&c, 1);
    log_in(&d, 2);
    SAYS(&c, "a ENABLE IMAP4rev2\r\n", "* ENABLED IMAP4rev2\r\na OK ENABLE completed\r\n");
    SAYS(&c, "a SELECT inbox\r\n",
         FLAGS_LINE("") PERMANENT("") "* 2 EXISTS\r\n* OK [UIDVALIDITY 1001] UIDs valid\r\n"
                                      "* OK [UIDNEXT 3] Predicted next UID\r\n* LIST () \"/\" INBOX\r\n"
                                      "a OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a FETCH 1 FLAGS\r\n", "* 1 FETCH (FLAGS ())\r\na OK FETCH completed\r\n");
    arrive();
    SAYS(&c, "a NOOP\r\n", "* 3 EXISTS\r\na OK NOOP completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    /* Names are UTF-8 here and modified UTF-7 there, where "&" stands for itself or not. */
    SAYS(&c,
         "a CREATE \"Espa\xc3\xb1"
         "a & m\xc3\xa1s\"\r\n",
         "a OK CREATE completed\r\n");
    SAYS(&c, "a LIST \"\" \"Espa\xc3\xb1*\"\r\n",
         "* LIST (\\HasNoChildren) \"/\" \"Espa\xc3\xb1"
         "a & m\xc3\xa1s\"\r\na OK LIST completed\r\n");
    SAYS(&d, "a LIST \"\" E*\r\n",
         "* LIST (\\HasNoChildren) \"/\" \"Espa&APE-a &- m&AOE-s\"\r\na OK LIST completed\r\n");
    SAYS(&c,
         "a STATUS \"Espa\xc3\xb1"
         "a & m\xc3\xa1s\" (MESSAGES)\r\n",
         "* STATUS \"Espa\xc3\xb1"
         "a & m\xc3\xa1s\" (MESSAGES 0)\r\na OK STATUS completed\r\n");
    SAYS(&c,
         "a RENAME \"Espa\xc3\xb1"
         "a & m\xc3\xa1s\" &APE-\r\n",
         "* LIST () \"/\" &APE- (\"OLDNAME\" (\"Espa\xc3\xb1"
         "a & m\xc3\xa1s\"))\r\na OK RENAME completed\r\n");
    SAYS(&d, "a LIST \"\" &*\r\n", "a OK LIST completed\r\n"); /* a pattern that is broken in UTF-7 */
    SAYS(&d, "a LIST \"\" &-APE-\r\n", "* LIST (\\HasNoChildren) \"/\" &-APE-\r\na OK LIST completed\r\n");
    SAYS(&c, "a CREATE \"x\xff\"\r\n", "a NO [CANNOT] Not a mailbox name\r\n");
    SAYS(&c, "a CREATE \"x\xc2\x85\"\r\n", "a NO [CANNOT] Not a mailbox name\r\n");
    log_out(&c);
    log_out(&d);
    fake.recents = false;
}

/* The hierarchy of the first examples of RFC 5258 5. REMOTE adds nothing: there are no remote mailboxes. */
static void
rfc5258_5_fruit(struct stream *c)
{
    WORLD(0, SUBSCRIBED("INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"), "INBOX",
          "Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable", "Vegetable/Broccoli",
          "Vegetable/Corn");
    /* 1 */
    SAYS(c, "A01 LIST \"\" \"*\"\r\n",
         "* LIST (\\HasChildren) \"/\" Fruit\r\n* LIST (\\HasNoChildren) \"/\" Fruit/Apple\r\n"
         "* LIST (\\HasNoChildren) \"/\" Fruit/Banana\r\n* LIST (\\HasNoChildren) \"/\" INBOX\r\n"
         "* LIST (\\HasNoChildren) \"/\" Tofu\r\n* LIST (\\HasChildren) \"/\" Vegetable\r\n"
         "* LIST (\\HasNoChildren) \"/\" Vegetable/Broccoli\r\n* LIST (\\HasNoChildren) \"/\" "
         "Vegetable/Corn\r\n"
         "A01 OK LIST completed\r\n");
    /* 2 */
    SAYS(c, "A02 LIST (SUBSCRIBED) \"\" \"*\"\r\n",
         "* LIST (\\Subscribed) \"/\" Fruit/Banana\r\n* LIST (\\NonExistent \\Subscribed) \"/\" "
         "Fruit/Peach\r\n"
         "* LIST (\\Subscribed) \"/\" INBOX\r\n* LIST (\\Subscribed) \"/\" Vegetable\r\n"
         "* LIST (\\Subscribed) \"/\" Vegetable/Broccoli\r\nA02 OK LIST completed\r\n");
    /* 3 */
    SAYS(c, "A03 LIST () \"\" \"%\" RETURN (CHILDREN)\r\n",
         "* LIST (\\HasChildren) \"/\" Fruit\r\n* LIST (\\HasNoChildren) \"/\" INBOX\r\n"
         "* LIST (\\HasNoChildren) \"/\" Tofu\r\n* LIST (\\HasChildren) \"/\" Vegetable\r\nA03 OK LIST "
         "completed\r\n");
    /* 4 */
    SAYS(c, "A04 LIST (REMOTE) \"\" \"%\" RETURN (CHILDREN)\r\n",
         "* LIST (\\HasChildren) \"/\" Fruit\r\n* LIST (\\HasNoChildren) \"/\" INBOX\r\n"
         "* LIST (\\HasNoChildren) \"/\" Tofu\r\n* LIST (\\HasChildren) \"/\" Vegetable\r\nA04 OK LIST "
         "completed\r\n");
    /* 5 */
    SAYS(c, "A05 LIST (REMOTE SUBSCRIBED) \"\" \"V*\"\r\n",
         "* LIST (\\Subscribed) \"/\" Vegetable\r\n* LIST (\\Subscribed) \"/\" Vegetable/Broccoli\r\n"
         "A05 OK LIST completed\r\n");
    /* 6: no Fruit/Peach, which does not exist */
    SAYS(
        c, "A06 LIST (REMOTE) \"\" \"*\" RETURN (SUBSCRIBED)\r\n",
        "* LIST () \"/\" Fruit\r\n* LIST () \"/\" Fruit/Apple\r\n* LIST (\\Subscribed) \"/\" Fruit/Banana\r\n"
        "* LIST (\\Subscribed) \"/\" INBOX\r\n* LIST () \"/\" Tofu\r\n* LIST (\\Subscribed) \"/\" "
        "Vegetable\r\n"
        "* LIST (\\Subscribed) \"/\" Vegetable/Broccoli\r\n* LIST () \"/\" Vegetable/Corn\r\nA06 OK LIST "
        "completed\r\n");
    /* 7 */
    SAYS(
        c, "BBB LIST \"\" (\"inbox\" \"Drafts\" \"\" \"Fruit/%\")\r\n",
        "* LIST () \"/\" Fruit/Apple\r\n* LIST () \"/\" Fruit/Banana\r\n* LIST () \"/\" INBOX\r\nBBB OK LIST "
        "completed\r\n");
    /* 3: the extended command has no special case for the empty name. */
    SAYS(c, "a LIST () \"\" \"\"\r\n", "a OK LIST completed\r\n");
    SAYS(c, "a LIST (RECURSIVEMATCH) \"\" *\r\n", "a BAD RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE\r\n");
    SAYS(c, "a LIST (XYZZY) \"\" *\r\n", "a BAD Unknown LIST option\r\n");
    SAYS(c, "a LIST \"\" * RETURN (XYZZY)\r\n", "a BAD Unknown LIST option\r\n");
}

/* RFC 5258 5, example 8 */
static void
rfc5258_5_childinfo(struct stream *c)
{
    WORLD(0, SUBSCRIBED("Foo/Baz"), "INBOX", "Foo", "Foo/Bar", "Foo/Baz", "Moo");
    SAYS(c, "CA3 LIST \"\" \"%\" RETURN (CHILDREN)\r\n",
         "* LIST (\\HasChildren) \"/\" Foo\r\n* LIST (\\HasNoChildren) \"/\" INBOX\r\n"
         "* LIST (\\HasNoChildren) \"/\" Moo\r\nCA3 OK LIST completed\r\n");
    SAYS(c, "C02 LIST (SUBSCRIBED) \"\" \"*\"\r\n",
         "* LIST (\\Subscribed) \"/\" Foo/Baz\r\nC02 OK LIST completed\r\n");
    SAYS(c, "C03 LIST (SUBSCRIBED) \"\" \"%\"\r\n", "C03 OK LIST completed\r\n");
    SAYS(c, "C04 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"\r\n",
         "* LIST () \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\nC04 OK LIST completed\r\n");
    box_named(SLICE("Foo"))->subscribed = true; /* A1 */
    SAYS(c, "C04 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"\r\n",
         "* LIST (\\Subscribed) \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\nC04 OK LIST completed\r\n");
    WORLD(0, SUBSCRIBED("Foo/Baz"), "INBOX", "Foo/Bar", "Foo/Baz", "Moo"); /* A2 */
    SAYS(c, "C04 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"\r\n",
         "* LIST (\\NonExistent) \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\nC04 OK LIST completed\r\n");
    WORLD(0, , "INBOX", "Foo", "Foo/Bar", "Foo/Baz", "Moo"); /* B */
    SAYS(c, "C04 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"\r\n", "C04 OK LIST completed\r\n");
    WORLD(0, SUBSCRIBED("Foo", "Moo"), "INBOX", "Foo", "Foo/Bar", "Foo/Baz", "Moo"); /* C */
    SAYS(c, "C04 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\" RETURN (CHILDREN)\r\n",
         "* LIST (\\HasChildren \\Subscribed) \"/\" Foo\r\n* LIST (\\HasNoChildren \\Subscribed) \"/\" "
         "Moo\r\nC04 OK LIST completed\r\n");
}

/* RFC 5258 5, examples 9 to 11 */
static void
rfc5258_5_recursive(struct stream *c)
{
    WORLD(0,
          SUBSCRIBED("foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2", "eps2/mamba",
                     "qux2/bar2"),
          "INBOX", "foo2", "foo2/bar1", "foo2/bar2", "baz2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2",
          "eps2/mamba", "qux2/bar2");
    SAYS(c, "D03 LIST (RECURSIVEMATCH SUBSCRIBED) \"\" \"*2\"\r\n",
         "* LIST (\\Subscribed) \"/\" baz2/bar2\r\n* LIST (\\Subscribed) \"/\" baz2/bar22\r\n"
         "* LIST (\\Subscribed) \"/\" baz2/bar222\r\n"
         "* LIST (\\Subscribed) \"/\" eps2 (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
         "* LIST () \"/\" foo2 (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n"
         "* LIST (\\Subscribed) \"/\" foo2/bar2\r\n* LIST (\\Subscribed) \"/\" qux2/bar2\r\n"
         "D03 OK LIST completed\r\n");
    WORLD(0, SUBSCRIBED("foo/bar"), "INBOX", "foo"); /* 10 */
    SAYS(c, "a1 LIST \"\" (\"foo\" \"foo/*\")\r\n", "* LIST () \"/\" foo\r\na1 OK LIST completed\r\n");
    SAYS(c, "a2 LIST (SUBSCRIBED) \"\" \"foo/*\"\r\n",
         "* LIST (\\NonExistent \\Subscribed) \"/\" foo/bar\r\na2 OK LIST completed\r\n");
    SAYS(c, "a3 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" foo RETURN (CHILDREN)\r\n",
         "* LIST (\\HasNoChildren) \"/\" foo (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\na3 OK LIST completed\r\n");
    WORLD(0, , "INBOX", "music/rock"); /* 11 */
    SAYS(c, "a1 LIST (REMOTE) \"\" m*\r\n", "* LIST () \"/\" music/rock\r\na1 OK LIST completed\r\n");
    SAYS(c, "a2 LIST () \"\" m% RETURN (CHILDREN)\r\n",
         "* LIST (\\NonExistent \\HasChildren) \"/\" music\r\na2 OK LIST completed\r\n");
    SAYS(c, "a3 LIST \"\" m%\r\n",
         "* LIST (\\Noselect \\HasChildren) \"/\" music\r\na3 OK LIST completed\r\n");
    SAYS(c, "a3.1 LIST \"\" (m% music/rock)\r\n", "* LIST () \"/\" music/rock\r\na3.1 OK LIST completed\r\n");
    /* RFC 3501 6.3.4: such a level cannot be deleted, but made. */
    SAYS(c, "a DELETE music\r\n", "a NO [HASCHILDREN] There are mailboxes below it\r\n");
    SAYS(c, "a SELECT music\r\n", "a NO [NONEXISTENT] No such mailbox\r\n");
    SAYS(c, "a CREATE music/\r\n", "a OK CREATE completed\r\n");
    SAYS(c, "a LIST \"\" m%\r\n", "* LIST (\\HasChildren) \"/\" music\r\na OK LIST completed\r\n");
}

/* RFC 5819 2, 3 */
static void
rfc5819_status(struct stream *c)
{
    WORLD(2, SUBSCRIBED("foo", "gone"), "INBOX", "foo", "bar/baz");
    SAYS(c, "A01 LIST \"\" % RETURN (STATUS (MESSAGES UNSEEN))\r\n",
         "* LIST () \"/\" INBOX\r\n* STATUS INBOX (MESSAGES 2 UNSEEN 2)\r\n* LIST (\\NonExistent) \"/\" "
         "bar\r\n"
         "* LIST () \"/\" foo\r\n* STATUS foo (MESSAGES 0 UNSEEN 0)\r\nA01 OK LIST completed\r\n");
    SAYS(c, "A02 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" % RETURN (STATUS (MESSAGES))\r\n",
         "* LIST (\\Subscribed) \"/\" foo\r\n* STATUS foo (MESSAGES 0)\r\n"
         "* LIST (\\NonExistent \\Subscribed) \"/\" gone\r\nA02 OK LIST completed\r\n");
}

/* RFC 6154 5.1, 5.2, 5.3 */
static void
rfc6154_special_use(struct stream *c)
{
    WORLD(0, SUBSCRIBED("ToDo"), "INBOX", "ToDo", "Projects");
    SAYS(c, "t2 CREATE MySpecial (USE (\\Drafts \\Sent))\r\n", "t2 OK CREATE completed\r\n");
    SAYS(c, "t2 CREATE Archive/2024 (USE (\\Archive))\r\n", "t2 OK CREATE completed\r\n");
    SAYS(c, "t1 LIST \"\" M%\r\n",
         "* LIST (\\HasNoChildren \\Drafts \\Sent) \"/\" MySpecial\r\nt1 OK LIST completed\r\n");
    SAYS(c, "t1 LIST \"\" M% RETURN ()\r\n", "* LIST () \"/\" MySpecial\r\nt1 OK LIST completed\r\n");
    SAYS(c, "t1 LIST \"\" M% RETURN (SPECIAL-USE)\r\n",
         "* LIST (\\Drafts \\Sent) \"/\" MySpecial\r\nt1 OK LIST completed\r\n");
    SAYS(c, "t2 LIST (SPECIAL-USE) \"\" *\r\n",
         "* LIST (\\Archive) \"/\" Archive/2024\r\n* LIST (\\Drafts \\Sent) \"/\" MySpecial\r\nt2 OK LIST "
         "completed\r\n");
    SAYS(
        c, "t2 LIST (SPECIAL-USE RECURSIVEMATCH) \"\" A%\r\n",
        "* LIST (\\NonExistent) \"/\" Archive (\"CHILDINFO\" (\"SPECIAL-USE\"))\r\nt2 OK LIST completed\r\n");
    SAYS(c, "t3 LIST (SUBSCRIBED SPECIAL-USE) \"\" *\r\n", "t3 OK LIST completed\r\n");
    SAYS(c, "t3 CREATE Everything (USE (\\All))\r\n",
         "t3 NO [USEATTR] A mailbox cannot be made for that use\r\n");
    SAYS(c, "t3 CREATE x (USE (\\XYZZY))\r\n", "t3 NO [USEATTR] A mailbox cannot be made for that use\r\n");
    SAYS(c, "t3 CREATE x (USE \\Sent)\r\n", "t3 BAD CREATE takes one parameter, USE and a list\r\n");
    SAYS(c, "t3 SELECT x\r\n", "t3 NO [NONEXISTENT] No such mailbox\r\n"); /* nothing was made */
}

/* RFC 8438 3, RFC 9051 6.3.11 */
static void
rfc8438_size(struct stream *c)
{
    WORLD(3, , "INBOX");
    fake.boxes[0].mails[0].flags = FLAG_DELETED;
    SAYS(
        c, "A042 STATUS inbox (SIZE DELETED MESSAGES UIDNEXT UIDVALIDITY UNSEEN)\r\n",
        "* STATUS inbox (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1001 UNSEEN 3 DELETED 1 SIZE 51)\r\nA042 OK STATUS "
        "completed\r\n");
    SAYS(c, "a STATUS inbox (XYZZY)\r\n", "a BAD Unknown STATUS item\r\n");
    SAYS(c, "a STATUS inbox ()\r\n", "a BAD Unknown STATUS item\r\n");
    SAYS(c, "a STATUS nowhere (SIZE)\r\n", "a NO [NONEXISTENT] No such mailbox\r\n");
}

/* --- CONDSTORE and QRESYNC --- */

#define HIGHEST(n) "* OK [HIGHESTMODSEQ " n "] Highest\r\n"

/* RFC 7162 3.1.2.1, 3.1.7, 3.1.8: nothing of it unless asked for; then it stays. */
static void
rfc7162_3_1_highestmodseq(void)
{
    struct stream c;

    WORLD(2, , "INBOX", "b");
    log_in(&c, 1);
    SAYS(&c, "a SELECT INBOX\r\n",
         SELECTED("2", "0", UNSEEN("1"), "3") "a OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a FETCH 1 (MODSEQ)\r\n", /* 3.1: the first of its sort tells */
         HIGHEST("2") "* 1 FETCH (MODSEQ (1))\r\na OK FETCH completed\r\n");
    SAYS(&c, "a FETCH 1:2 (MODSEQ UID)\r\n", /* example 13 */
         "* 1 FETCH (UID 1 MODSEQ (1))\r\n* 2 FETCH (UID 2 MODSEQ (2))\r\na OK FETCH completed\r\n");
    SAYS(&c, "a SELECT INBOX\r\n",
         "* OK [CLOSED] Previous mailbox closed\r\n" SELECTED("2", "0", UNSEEN("1"), "3")
             HIGHEST("2") "a OK [READ-WRITE] SELECT completed\r\n");
    log_out(&c);
    log_in(&c, 1);
    SAYS(&c, "A142 SELECT INBOX (CONDSTORE)\r\n", /* example 18 */
         SELECTED("2", "0", UNSEEN("1"), "3") HIGHEST("2") "A142 OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a SELECT INBOX (XYZZY)\r\n", "a BAD SELECT knows CONDSTORE and QRESYNC\r\n");
    SAYS(&c, "A042 STATUS b (UIDNEXT MESSAGES HIGHESTMODSEQ)\r\n", /* example 17 */
         "* STATUS b (MESSAGES 0 UIDNEXT 1 HIGHESTMODSEQ 2)\r\nA042 OK STATUS completed\r\n");
    log_out(&c);
    log_in(&c, 1);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 2 EXISTS");
    SAYS(&c, "a STATUS b (HIGHESTMODSEQ)\r\n",
         HIGHEST("2") "* STATUS b (HIGHESTMODSEQ 2)\r\na OK STATUS completed\r\n");
    log_out(&c);
    log_in(&c, 1);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 2 EXISTS");
    SAYS(&c, "a ENABLE CONDSTORE\r\n", "* ENABLED CONDSTORE\r\n" HIGHEST("2") "a OK ENABLE completed\r\n");
    log_out(&c);
}

/* RFC 7162 3.1.3, examples 3 to 8 and 11; 3.1.4, 3.1.5, examples 12, 14 to 16, 19. */
static void
rfc7162_3_1_3_store(void)
{
    struct stream c, d;

    WORLD(4, , "INBOX");
    log_in(&c, 1);
    log_in(&d, 2);
    ANSWERS_WITH(&c, "a SELECT INBOX (CONDSTORE)\r\n", "a OK [READ-WRITE] SELECT completed\r\n",
                 "* 4 EXISTS");
    ANSWERS_WITH(&d, "a SELECT INBOX (CONDSTORE)\r\n", "a OK [READ-WRITE] SELECT completed\r\n",
                 "* 4 EXISTS");
    SAYS(&c, "a103 UID STORE 3,2,4 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Deleted)\r\n",
         "* 2 FETCH (UID 2 MODSEQ (5))\r\n* 3 FETCH (UID 3 MODSEQ (6))\r\n* 4 FETCH (UID 4 MODSEQ (7))\r\n"
         "a103 OK STORE completed\r\n");
    SAYS(
        &d, "d NOOP\r\n", /* example 14 */
        "* 2 FETCH (UID 2 FLAGS (\\Deleted) MODSEQ (5))\r\n* 3 FETCH (UID 3 FLAGS (\\Deleted) MODSEQ (6))\r\n"
        "* 4 FETCH (UID 4 FLAGS (\\Deleted) MODSEQ (7))\r\nd OK NOOP completed\r\n");
    SAYS(&c, "d105 STORE 3,1,4 (UNCHANGEDSINCE 4) +FLAGS.SILENT (\\Seen)\r\n", /* example 6 */
         "* 1 FETCH (UID 1 MODSEQ (8))\r\n* 3 FETCH (UID 3 FLAGS (\\Deleted) MODSEQ (6))\r\n"
         "* 4 FETCH (UID 4 FLAGS (\\Deleted) MODSEQ (7))\r\nd105 OK [MODIFIED 3:4] Conditional STORE "
         "failed\r\n");
    SAYS(&c, "a102 STORE 2 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Draft)\r\n", /* example 7 */
         "* 2 FETCH (UID 2 FLAGS (\\Deleted) MODSEQ (5))\r\na102 OK [MODIFIED 2] Conditional STORE "
         "failed\r\n");
    SAYS(&c, "a STORE 4 (UNCHANGEDSINCE 7) -FLAGS (\\Deleted)\r\n",
         "* 4 FETCH (UID 4 FLAGS () MODSEQ (9))\r\na OK STORE completed\r\n");
    SAYS(&c, "a STORE 4 (UNCHANGEDSINCE x) -FLAGS (\\Deleted)\r\n",
         "a BAD UNCHANGEDSINCE takes a mod-sequence\r\n");
    SAYS(&c, "s100 UID FETCH 1:* (FLAGS) (CHANGEDSINCE 6)\r\n", /* example 12 */
         "* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (8))\r\n* 4 FETCH (UID 4 FLAGS () MODSEQ (9))\r\n"
         "s100 OK FETCH completed\r\n");
    SAYS(&c, "s FETCH 1:3 FLAGS (CHANGEDSINCE 100)\r\n", "s OK FETCH completed\r\n");
    SAYS(&c, "a SEARCH MODSEQ \"/flags/\\\\draft\" all 6\r\n", /* example 15 */
         "* SEARCH 1 3 4 (MODSEQ 9)\r\na OK SEARCH completed\r\n");
    SAYS(&c, "t SEARCH OR NOT MODSEQ 1 LARGER 50000\r\n", /* example 16 */
         "* SEARCH\r\nt OK SEARCH completed\r\n");
    SAYS(&c, "a SEARCH RETURN (ALL) MODSEQ 8\r\n", /* example 19 */
         "* ESEARCH (TAG \"a\") ALL 1,4 MODSEQ 9\r\na OK SEARCH completed\r\n");
    /* Example 11: some are gone, one was changed by another. */
    SAYS(&c, "e EXPUNGE\r\n", "* 3 EXPUNGE\r\n* 2 EXPUNGE\r\ne OK EXPUNGE completed\r\n");
    ANSWERS_WITH(&d, "x SEARCH ALL\r\n", "x OK SEARCH completed\r\n", "* SEARCH");
    SAYS(&d, "B001 STORE 1:4 (UNCHANGEDSINCE 8) +FLAGS.SILENT (\\Answered)\r\n",
         "* 1 FETCH (UID 1 MODSEQ (12))\r\n* 4 FETCH (UID 4 FLAGS () MODSEQ (9))\r\n"
         "B001 NO [MODIFIED 4] Some of these messages are gone\r\n");
    /* A silent change hides nothing of what another session changed before it. */
    ANSWERS_WITH(&c, "m STORE 1 +FLAGS.SILENT (\\Draft)\r\n", "m OK STORE completed\r\n", "MODSEQ");
    ANSWERS_WITH(&d, "n STORE 1 +FLAGS.SILENT (\\Flagged)\r\n", "n OK STORE completed\r\n", "\\Draft");
    SAYS(&d, "o STORE 1:2 +FLAGS.SILENT (\\Flagged)\r\n", "o OK STORE completed\r\n"); /* RFC 2180 4.2.1 */
    SAYS(&d, "p COPY 1:2 INBOX\r\n", /* 4.4.1 */
         "* 3 EXPUNGE\r\n* 2 EXPUNGE\r\n"
         "p NO [EXPUNGEISSUED] Some of these messages are gone, nothing was done\r\n");
    log_out(&c);
    log_out(&d);
}

/* RFC 7162 3.2.5, 3.2.5.1, 3.2.5.2 */
static void
rfc7162_3_2_5_select(void)
{
    struct stream c;
    struct box *b;

    WORLD(8, , "INBOX");
    b = &fake.boxes[0];
    for (uint32_t uid = 2; uid <= 8; uid++) /* 3 and 6 stay, and 8 with other flags */
        if (uid % 3 != 0 && uid != 8)
            b->mails[uid - 1].gone = true, b->mails[uid - 1].modseq = ++fake.modseq;
    b->mails[7].flags = FLAG_ANSWERED;
    b->mails[7].modseq = ++fake.modseq; /* 13 */
    log_in(&c, 1);
    SAYS(&c, "a SELECT INBOX (QRESYNC (1001 8))\r\n", "a BAD QRESYNC is not enabled\r\n");
    SAYS(&c, "e ENABLE QRESYNC\r\n", "* ENABLED QRESYNC\r\ne OK ENABLE completed\r\n");
    SAYS(&c, "A02 SELECT INBOX (QRESYNC (1001 8))\r\n",
         SELECTED("4", "0", UNSEEN("1"), "9") HIGHEST(
             "13") "* VANISHED (EARLIER) 2,4:5,7\r\n* 4 FETCH (UID 8 FLAGS (\\Answered) MODSEQ (13))\r\n"
                   "A02 OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    /* Only of what the client knows; only what it did not hear of; nothing for another UIDVALIDITY. */
    SAYS(&c, "A03 SELECT INBOX (QRESYNC (1001 8 1:4))\r\n",
         SELECTED("4", "0", UNSEEN("1"), "9")
             HIGHEST("13") "* VANISHED (EARLIER) 2,4\r\nA03 OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    SAYS(&c, "a SELECT INBOX (QRESYNC (1001 11 1:8))\r\n",
         SELECTED("4", "0", UNSEEN("1"), "9")
             HIGHEST("13") "* VANISHED (EARLIER) 7\r\n* 4 FETCH (UID 8 FLAGS (\\Answered) MODSEQ (13))\r\n"
                           "a OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    SAYS(&c, "a SELECT INBOX (QRESYNC (67890007 8 1:8))\r\n",
         SELECTED("4", "0", UNSEEN("1"), "9") HIGHEST("13") "a OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    /* Expunges that were forgotten: all that is not there, but not below the last pair that is right. */
    fake.horizon = 10;
    SAYS(&c, "A04 SELECT INBOX (QRESYNC (1001 2 1:7))\r\n",
         SELECTED("4", "0", UNSEEN("1"), "9") HIGHEST(
             "13") "* VANISHED (EARLIER) 2,4:5,7\r\n* 2 FETCH (UID 3 FLAGS () MODSEQ (3))\r\n"
                   "* 3 FETCH (UID 6 FLAGS () MODSEQ (6))\r\nA04 OK [READ-WRITE] SELECT completed\r\n");
    SAYS(&c, "a UNSELECT\r\n", "a OK UNSELECT completed\r\n");
    SAYS(&c, "B04 SELECT INBOX (QRESYNC (1001 6 1:8 (1,2,4 1,3,7)))\r\n",
         SELECTED("4", "0", UNSEEN("1"), "9") HIGHEST(
             "13") "* VANISHED (EARLIER) 4:5,7\r\n* 4 FETCH (UID 8 FLAGS (\\Answered) MODSEQ (13))\r\n"
                   "B04 OK [READ-WRITE] SELECT completed\r\n");
    fake.horizon = 0;
    log_out(&c);
}

/* RFC 7162 3.2.6, 3.2.7, 3.2.8, 3.2.9, 3.2.10 */
static void
rfc7162_3_2_vanished(void)
{
    struct stream c, d;

    WORLD(9, , "INBOX", "b");
    log_in(&c, 1);
    log_in(&d, 2);
    SAYS(&c, "e ENABLE QRESYNC\r\n", "* ENABLED QRESYNC\r\ne OK ENABLE completed\r\n");
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "[HIGHESTMODSEQ 9]");
    ANSWERS_WITH(&d, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 9 EXISTS");
    SAYS(&c, "a STORE 3:4,7 +FLAGS.SILENT \\Deleted\r\n",
         "* 3 FETCH (UID 3 MODSEQ (10))\r\n* 4 FETCH (UID 4 MODSEQ (11))\r\n* 7 FETCH (UID 7 MODSEQ (12))\r\n"
         "a OK STORE completed\r\n");
    SAYS(&c, "a UID EXPUNGE 1:3\r\n", "* VANISHED 3\r\na OK [HIGHESTMODSEQ 13] EXPUNGE completed\r\n");
    SAYS(&c, "B202 EXPUNGE\r\n", "* VANISHED 4,7\r\nB202 OK [HIGHESTMODSEQ 15] EXPUNGE completed\r\n");
    SAYS(&c, "a EXPUNGE\r\n", "a OK EXPUNGE completed\r\n"); /* nothing went: no code */
    SAYS(&d, "a NOOP\r\n", "* 7 EXPUNGE\r\n* 4 EXPUNGE\r\n* 3 EXPUNGE\r\na OK NOOP completed\r\n");
    /* RFC 6851 4.3 with it */
    SAYS(&c, "a UID MOVE 1 b\r\n",
         "* OK [COPYUID 1002 1 1] Moved\r\n* VANISHED 1\r\na OK [HIGHESTMODSEQ 17] MOVE completed\r\n");
    /* 3.2: while another's expunge waits, the client is not told that it has all. */
    SAYS(&d, "a STORE 2 +FLAGS.SILENT \\Deleted\r\n", "a OK STORE completed\r\n");
    SAYS(&d, "a EXPUNGE\r\n", "* 2 EXPUNGE\r\n* 1 EXPUNGE\r\na OK EXPUNGE completed\r\n");
    SAYS(&c, "a FETCH 2 (FLAGS MODSEQ)\r\n",
         "* 2 FETCH (FLAGS () MODSEQ (5))\r\n* OK [HIGHESTMODSEQ 18] Expunges wait\r\na OK FETCH "
         "completed\r\n");
    SAYS(&c, "a NOOP\r\n", "* VANISHED 2\r\na OK NOOP completed\r\n");
    /* 3.2.6 */
    SAYS(&c, "s100 UID FETCH 3:* (FLAGS) (CHANGEDSINCE 13 VANISHED)\r\n",
         "* VANISHED (EARLIER) 4,7\r\ns100 OK FETCH completed\r\n");
    SAYS(&c, "s UID FETCH 1:3 (UID) (CHANGEDSINCE 2 VANISHED)\r\n",
         "* VANISHED (EARLIER) 1:3\r\ns OK FETCH completed\r\n");
    SAYS(&c, "s FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)\r\n",
         "s BAD VANISHED is for UID FETCH, once QRESYNC is enabled\r\n");
    SAYS(&c, "s UID FETCH 1:* (FLAGS) (VANISHED)\r\n", "s BAD VANISHED needs CHANGEDSINCE\r\n");
    SAYS(&d, "s UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)\r\n",
         "s BAD VANISHED is for UID FETCH, once QRESYNC is enabled\r\n");
    /* 3.2.8: CLOSE tells no HIGHESTMODSEQ. */
    SAYS(&c, "a STORE 1 +FLAGS.SILENT \\Deleted\r\n",
         "* 1 FETCH (UID 5 MODSEQ (20))\r\na OK STORE completed\r\n");
    SAYS(&c, "a CLOSE\r\n", "a OK CLOSE completed\r\n");
    log_out(&c);
    log_out(&d);
}

static void
converse(void)
{
    struct box *inbox = add_box(SLICE("INBOX"));
    struct stream c;

    add_mail(inbox, SLICE("Subject: one\r\n\r\nfirst body\r\n"));
    add_mail(inbox, SLICE("Subject: two\r\n\r\nother body\r\n"));
    rfc3501_2_3_2_recent();
    rfc3501_2_3_2_unknown();
    rfc5161_enable();
    rfc3691_unselect();
    rfc9051_view();
    log_in(&c, 3);
    rfc2971_id(&c);
    rfc2342_namespace(&c);
    rfc5258_5_fruit(&c);
    rfc5258_5_childinfo(&c);
    rfc5258_5_recursive(&c);
    rfc5819_status(&c);
    rfc6154_special_use(&c);
    rfc8438_size(&c);
    log_out(&c);
    rfc7162_3_1_highestmodseq();
    rfc7162_3_1_3_store();
    rfc7162_3_2_5_select();
    rfc7162_3_2_vanished();
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
