/* SEARCH, as the sections of its RFCs say it; a row is a command and all of its answer. */
#include <stdlib.h>
#include <time.h>

#include "maa/imap/fake.h"

static const char *const mails[] = {
    /* 1 */
    "From: Fred Foobar <foobar@Blurdybloop.example>\r\nSubject: afternoon meeting\r\n"
    "To: mooch@owatagu.siam.edu.example\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n"
    "Message-Id: <B27397-0100000@Blurdybloop.example>\r\n\r\n"
    "Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n",
    /* 2: quoted-printable, Latin-1, soft breaks in words */
    "From: =?iso-8859-1?Q?Jos=E9_Nu=F1ez?= <jose@example.org>\r\nCc: ana@example.org\r\nBcc: b@example.org\r\n"
    "Subject: =?iso-8859-1?q?ma=F1a?=\r\n =?iso-8859-1?q?na?=\r\nDate: 1 Mar 1994 00:10:00 +0200\r\n"
    "Content-Type: text/plain; charset=\"ISO-8859-1\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    "El ni=F1o com=\r\ne en la monta=F1a \x80\r\n",
    /* 3: Cyrillic, base64 whose lines cut characters of no use to anyone */
    "From: x@example.org\r\nSubject: =?koi8-r?B?8NLJ18XU?=\r\n"
    "Content-Type: text/html; charset=windows-1251\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "z/Do\r\n4uXy\r\nLCDs\r\n6PAh\r\n",
    /* 4: parts; Japanese; a message in it; an attachment, whose bytes are no text */
    "From: y@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=\"=b\"\r\n\r\npreamble word\r\n"
    "--=b\r\nContent-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$BF|K\\\x1b(B text\r\n"
    "--=b\r\nContent-Type: application/octet-stream; name=invoice.bin\r\n\r\nopaque secret\r\n"
    "--=b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?inner_=C3=A9t=C3=A9?=\r\n\r\ninner text\r\n"
    "--=b--\r\n",
    /* 5: UTF-16 in base64 */
    ("X-Odd:\r\nSubject: \"last\"\r\nContent-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
     "/v8AVQBOACAAwQBSAEIATwBM\r\n"),
};

#define DONE  "a OK SEARCH completed\r\n"
#define FOUND(list) "* SEARCH" list "\r\n" DONE
#define E(rest) "* ESEARCH (TAG \"a\")" rest "\r\n" DONE

static const struct {
    const char *section, *say, *want;
} rows[] = {
    {"3501 6.4.4 set",        "SEARCH 2,4:*",                               FOUND(" 2 4 5")},
    {"3501 6.4.4 ALL",        "SEARCH ALL",                                 FOUND(" 1 2 3 4 5")},
    {"3501 6.4.4 ANSWERED",   "SEARCH ANSWERED",                            FOUND(" 2")},
    {"3501 6.4.4 BCC",        "SEARCH BCC B@EXAMPLE",                       FOUND(" 2")},
    {"3501 6.4.4 BEFORE",     "SEARCH BEFORE 18-Jul-1996",                  FOUND(" 1 2 3 4")},
    {"3501 6.4.4 BEFORE",     "SEARCH BEFORE 17-Jul-1996",                  FOUND("")},
    {"3501 6.4.4 BODY",       "SEARCH BODY \"joe, DO\"",                    FOUND(" 1")},
    {"3501 6.4.4 BODY",       "SEARCH BODY afternoon",                      FOUND("")},
    {"3501 6.4.4 BODY",       "SEARCH BODY \"\"",                           FOUND(" 1 2 3 4 5")},
    {"2045 6.7 soft break",   "SEARCH BODY COME",                           FOUND(" 2")},
    {"2045 6.7 charset",      "SEARCH CHARSET UTF-8 BODY {7+}\r\nNI\xc3\x91O C", FOUND(" 2")},
    {"2045 C1 as Windows",    "SEARCH CHARSET UTF-8 BODY {3+}\r\n\xe2\x82\xac", FOUND(" 2")},
    {"2045 6.8 base64",       "SEARCH CHARSET UTF-8 BODY {12+}\r\n\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
     FOUND(" 3")},
    {"1468 Japanese",         "SEARCH CHARSET utf-8 BODY {6+}\r\n\xe6\x97\xa5\xe6\x9c\xac", FOUND(" 4")},
    {"2781 UTF-16",           "SEARCH CHARSET UTF-8 BODY {8+}\r\n\xc3\xa1rbol x", FOUND("")},
    {"2781 UTF-16",           "SEARCH CHARSET UTF-8 BODY {6+}\r\n\xc3\xa1rbol", FOUND(" 5")},
    {"5051 2 decomposed",     "SEARCH CHARSET UTF-8 BODY {7+}\r\na\xcc\x81rbol", FOUND(" 5")},
    {"3501 6.4.4 BODY",       "SEARCH BODY opaque",                         FOUND("")},
    {"3501 6.4.4 BODY",       "SEARCH BODY \"inner text\"",                 FOUND(" 4")},
    {"2047 6.1 in a message", "SEARCH CHARSET UTF-8 BODY {9+}\r\nINNER \xc3\x89T", FOUND(" 4")},
    {"3501 6.4.4 CC",         "SEARCH CC ana",                              FOUND(" 2")},
    {"3501 6.4.4 DELETED",    "SEARCH DELETED",                             FOUND(" 3")},
    {"3501 6.4.4 DRAFT",      "SEARCH DRAFT",                               FOUND(" 4")},
    {"3501 6.4.4 FLAGGED",    "SEARCH FLAGGED",                             FOUND(" 1 2")},
    {"3501 6.4.4 FROM",       "SEARCH FROM foobar",                         FOUND(" 1")},
    {"2047 8 FROM",           "SEARCH CHARSET UTF-8 FROM {12+}\r\nJos\xc3\xa9 nu\xc3\xb1" "ez", FOUND(" 2")},
    {"3501 6.4.4 HEADER",     "SEARCH HEADER message-id B27397",            FOUND(" 1")},
    {"3501 6.4.4 HEADER",     "SEARCH HEADER X-Odd \"\"",                   FOUND(" 5")},
    {"3501 6.4.4 KEYWORD",    "SEARCH KEYWORD none",                        FOUND("")},
    {"3501 6.4.4 LARGER",     "SEARCH LARGER 350",                          FOUND(" 4")},
    {"9051 9 number64",       "SEARCH SMALLER 4294967296 LARGER 350",       FOUND(" 4")},
    {"3501 6.4.4 NEW",        "SEARCH NEW",                                 FOUND("")},
    {"3501 6.4.4 NOT",        "SEARCH NOT 1:3",                             FOUND(" 4 5")},
    {"3501 6.4.4 OLD",        "SEARCH OLD",                                 FOUND(" 1 2 3 4 5")},
    {"3501 6.4.4 ON",         "SEARCH ON 17-Jul-1996",                      FOUND(" 1 2 3 4")},
    {"3501 6.4.4 OR",         "SEARCH OR DRAFT OR DELETED SUBJECT last",    FOUND(" 3 4 5")},
    {"3501 6.4.4 RECENT",     "SEARCH RECENT",                              FOUND("")},
    {"3501 6.4.4 SEEN",       "SEARCH SEEN",                                FOUND(" 1")},
    {"3501 6.4.4 SENTBEFORE", "SEARCH SENTBEFORE 8-Feb-1994",               FOUND(" 1")},
    {"3501 6.4.4 SENTON",     "SEARCH SENTON 1-Mar-1994",                   FOUND(" 2")}, /* in UTC, the day before */
    {"3501 6.4.4 SENTSINCE",  "SEARCH SENTSINCE 1-Feb-1994",                FOUND(" 1 2")},
    {"3501 6.4.4 SINCE",      "SEARCH SINCE 18-Jul-1996",                   FOUND(" 5")},
    {"3501 6.4.4 SUBJECT",    "SEARCH SUBJECT MEETING",                     FOUND(" 1")},
    {"2047 6.2 SUBJECT",      "SEARCH CHARSET UTF-8 SUBJECT {7+}\r\nma\xc3\xb1" "ana", FOUND(" 2")},
    {"2047 8 koi8-r",         "SEARCH CHARSET UTF-8 SUBJECT {6+}\r\n\xd0\x9f\xd1\x80\xd0\xb8", FOUND(" 3")},
    {"3501 6.4.4 TEXT",       "SEARCH TEXT blurdybloop",                    FOUND(" 1")},
    {"9051 6.4.4 TEXT",       "SEARCH TEXT invoice.bin",                    FOUND(" 4")}, /* a part's header */
    {"3501 6.4.4 TO",         "SEARCH TO mooch",                            FOUND(" 1")},
    {"3501 6.4.4 UID",        "UID SEARCH UID 3:4,900",                     FOUND(" 3 4")},
    {"3501 6.4.4 UNANSWERED", "SEARCH UNANSWERED UNDELETED UNDRAFT UNFLAGGED", FOUND(" 5")},
    {"3501 6.4.4 UNKEYWORD",  "SEARCH UNKEYWORD none 1",                    FOUND(" 1")},
    {"3501 6.4.4 UNSEEN",     "SEARCH UNSEEN 1:2",                          FOUND(" 2")},
    {"3501 6.4.4 (list)",     "SEARCH NOT (OR 1 2)",                        FOUND(" 3 4 5")},
    {"3501 6.4.4 charset",    "SEARCH CHARSET ISO-8859-1 BODY {4+}\r\nNI\xd1O", FOUND(" 2")},
    {"3501 6.4.4 BADCHARSET", "SEARCH CHARSET X-NONE TEXT \"x\"", "a NO [BADCHARSET (US-ASCII UTF-8)] Unknown CHARSET\r\n"},
    {"3501 6.4.4 example",    "SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"", FOUND(" 1 2")},
    {"3501 6.4.4 example",    "SEARCH TEXT \"string not in mailbox\"",      FOUND("")},
    {"3501 9 search-key",     "SEARCH SEEN  ALL",                           "a BAD Search key expected\r\n"},
    {"3501 9 search-key",     "SEARCH 6",                                   "a BAD No message has such a number\r\n"},
    /* RFC 5032: message 5 came ten minutes ago */
    {"5032 2 YOUNGER",        "SEARCH YOUNGER 3600",                        FOUND(" 5")},
    {"5032 2 OLDER",          "SEARCH OLDER 3600",                          FOUND(" 1 2 3 4")},
    {"5032 2 both",           "SEARCH OLDER 300 YOUNGER 3600",              FOUND(" 5")},
    {"5032 3 nz-number",      "SEARCH OLDER 0",                             "a BAD A search key's argument is wrong\r\n"},
    /* RFC 4731 */
    {"4731 3.1 ALL",          "SEARCH RETURN () FLAGGED",                   E(" ALL 1:2")},
    {"4731 3.1 ALL",          "SEARCH RETURN (ALL) NOT 3",                  E(" ALL 1:2,4:5")},
    {"4731 3.1 MIN",          "SEARCH RETURN (MIN) NOT 1",                  E(" MIN 2")},
    {"4731 3.1 MAX",          "SEARCH RETURN (MAX) NOT 5",                  E(" MAX 4")},
    {"4731 3.1 COUNT",        "SEARCH RETURN (COUNT) UNSEEN",               E(" COUNT 4")},
    {"4731 3.1 four",         "SEARCH RETURN (ALL COUNT MIN MAX) 1,3:4",    E(" MIN 1 MAX 4 COUNT 3 ALL 1,3:4")},
    {"4731 3.1 nothing",      "SEARCH RETURN (MIN MAX ALL) KEYWORD none",   E("")},
    {"4731 3.1 nothing",      "SEARCH RETURN (MIN COUNT) KEYWORD none",     E(" COUNT 0")},
    {"4731 3.1 UID",          "UID SEARCH RETURN (MIN ALL) 2:3",
     "* ESEARCH (TAG \"a\") UID MIN 2 ALL 2:3\r\n" DONE},
    {"4731 3.1 rows, texts",  "SEARCH RETURN (ALL MIN) OR 2 OR SUBJECT last TEXT joe", E(" MIN 1 ALL 1:2,5")},
    {"4466 2.6.1",            "SEARCH RETURN (NONE) ALL",                   "a BAD Unknown or repeated RETURN option\r\n"},
    /* RFC 7162 */
    {"7162 3.1.5 MODSEQ",     "SEARCH MODSEQ 4",                            "* SEARCH 4 5 (MODSEQ 5)\r\n" DONE},
    {"7162 3.1.5 none",       "SEARCH MODSEQ 4000",                         FOUND("")},
    {"7162 3.1.5 entry",      "SEARCH MODSEQ \"/flags/\\\\Seen\" all 5",    "* SEARCH 5 (MODSEQ 5)\r\n" DONE},
    {"7162 3.1.10 ESEARCH",   "SEARCH RETURN (MIN) MODSEQ 2",               E(" MIN 2 MODSEQ 2")},
    {"7162 3.1.10 ESEARCH",   "SEARCH RETURN (MIN MAX) MODSEQ 2",           E(" MIN 2 MAX 5 MODSEQ 5")},
    /* RFC 5182 */
    {"5182 2.1 nothing yet",  "SEARCH $",                                   FOUND("")},
    {"5182 2.2 SAVE",         "SEARCH RETURN (SAVE) 2:3",                   DONE},
    {"5182 2.1 FETCH",        "FETCH $ UID",             "* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\na OK FETCH completed\r\n"},
    {"5182 2.1 UID FETCH",    "UID FETCH $ UID",         "* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\na OK FETCH completed\r\n"},
    {"5182 2.1 SEARCH",       "SEARCH $ DELETED",                           FOUND(" 3")},
    {"5182 2.1 UID SEARCH",   "UID SEARCH UID $",                           FOUND(" 2 3")},
    {"5182 2.1 NOT",          "SEARCH OR NOT $ DELETED",                    FOUND(" 1 3 4 5")},
    {"5182 2.1 BAD keeps it", "SEARCH RETURN (SAVE) XYZZY",                 "a BAD Unknown search key\r\n"},
    {"5182 2.1 BAD keeps it", "SEARCH $",                                   FOUND(" 2 3")},
    {"5182 2.3 with ALL",     "SEARCH RETURN (SAVE ALL) 4:5",               E(" ALL 4:5")},
    {"5182 2.3 with ALL",     "SEARCH $",                                   FOUND(" 4 5")},
    {"5182 2.4 MIN",          "SEARCH RETURN (SAVE MIN) 2:5",               E(" MIN 2")},
    {"5182 2.4 MIN",          "SEARCH $",                                   FOUND(" 2")},
    {"5182 2.4 MIN MAX",      "SEARCH RETURN (SAVE MIN MAX) 2:5",           E(" MIN 2 MAX 5")},
    {"5182 2.4 MIN MAX",      "SEARCH $",                                   FOUND(" 2 5")},
    {"5182 2.4 MIN COUNT",    "SEARCH RETURN (SAVE MIN COUNT) 2:4",         E(" MIN 2 COUNT 3")},
    {"5182 2.4 MIN COUNT",    "SEARCH $",                                   FOUND(" 2 3 4")},
    {"5182 2.1 NO empties",   "SEARCH RETURN (SAVE) CHARSET X-NONE ALL",    "a NO [BADCHARSET (US-ASCII UTF-8)] Unknown CHARSET\r\n"},
    {"5182 2.1 NO empties",   "FETCH $ UID",                                "a OK FETCH completed\r\n"},
    {"5182 3 $ alone",        "FETCH $,1 UID",                              "a BAD FETCH needs items after the set\r\n"},
};

/* What is expunged leaves "$"; what is selected anew has none. */
static void
try_saved(struct stream *c)
{
    SAYS(c, "a SEARCH RETURN (SAVE) 1:5\r\n", DONE);
    SAYS(c, "a UID EXPUNGE $\r\n", "* 3 EXPUNGE\r\na OK EXPUNGE completed\r\n");
    SAYS(c, "a SEARCH RETURN (ALL) $\r\n", E(" ALL 1:4"));
    SAYS(c, "a UID SEARCH RETURN (ALL) $\r\n", "* ESEARCH (TAG \"a\") UID ALL 1:2,4:5\r\n" DONE);
    ANSWERS_WITH(c, "a STORE $ +FLAGS (\\Seen)\r\n", "a OK STORE completed\r\n", "* 4 FETCH");
    ANSWERS_WITH(c, "a SELECT INBOX\r\n", "SELECT completed\r\n", "* 4 EXISTS");
    SAYS(c, "a SEARCH $\r\n", FOUND(""));
}

/* A needle that lies across the pieces in which a text is decoded, at every place. */
static void
try_across(struct stream *c)
{
    AUTO_BUF body = BUF_INIT(1u << 20);

    buf_puts(&body, "Subject: across\r\n\r\n");
    while (body.n < 70000)
        buf_puts(&body, "n");
    buf_puts(&body, "needle\r\n");
    for (int i = 0; i < 12; i++) {
        add_mail(&fake.boxes[0], buf_slice(&body));
        buf_putc(&body, 'x');
    }
    for (size_t at = 16380; at < 16390; at++) { /* "nnnn" but for one n: only here */
        struct mail *m = add_mail(&fake.boxes[0], buf_slice(&body));

        memcpy(m->body.p + 19 + at, "NeeDle", 6);
        memcpy(m->body.p + 70000, "mantel", 6);
    }
    hint_all(&fake.boxes[0]);
    ANSWERS_WITH(c, "a NOOP\r\n", "a OK NOOP completed\r\n", "* 26 EXISTS");
    SAYS(c, "a SEARCH RETURN (COUNT ALL) BODY needle\r\n", E(" COUNT 22 ALL 5:26"));
}

static void
converse(void)
{
    static const uint16_t flags[] = {FLAG_SEEN | FLAG_FLAGGED, FLAG_FLAGGED | FLAG_ANSWERED, FLAG_DELETED, FLAG_DRAFT, 0};
    struct box *inbox = add_box(SLICE("INBOX"));
    struct stream c;

    for (size_t i = 0; i < COUNT(mails); i++)
        add_mail(inbox, slice_of(mails[i]))->flags = flags[i];
    inbox->mails[4].date = ((int64_t)time(NULL) - 600) * 1000000000;
    connect_client(&c, 1, "");
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 5 EXISTS");
    /* RFC 7162 3.1: the first command of its sort in a mailbox. */
    ANSWERS_WITH(&c, "a SEARCH MODSEQ 1\r\n", "a OK SEARCH completed\r\n", "* OK [HIGHESTMODSEQ 5] ");
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_BUF say = BUF_INIT(1000);

        buf_printf(&say, "a %s\r\n%c", rows[i].say, 0);
        CHECK_INT(i, stream_put(&c, slice_sub(buf_slice(&say), 0, say.n - 1), soon()), ST_OK);
        hears_at((int)i, &c, rows[i].want);
    }
    try_saved(&c);
    try_across(&c);
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    HEARS(&c, "* BYE [UNAVAILABLE] The server is being stopped\r\n");
    stream_close(&c);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
