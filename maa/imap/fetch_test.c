/* FETCH and APPEND, as the sections of their RFCs say it; a row is a command and all of its answer. */
#include <stdlib.h>

#include "maa/imap/fake.h"

/* RFC 3501 6.4.5's example of part numbers, with something in each part. */
static const char parts[] =
    "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=0\r\n\r\n"
    "--0\r\n\r\none\r\n"
    "--0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\nAwQ=\r\n"
    "--0\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: three\r\nContent-Type: multipart/mixed; boundary=3\r\n\r\n"
    "--3\r\n\r\nthree one\r\n--3\r\nContent-Type: application/octet-stream\r\n\r\nthree two\r\n--3--\r\n"
    "--0\r\nContent-Type: multipart/mixed; boundary=4\r\n\r\n"
    "--4\r\nContent-Type: image/gif\r\n\r\ngif\r\n"
    "--4\r\nContent-Type: message/rfc822\r\n\r\nSubject: four two\r\n"
    "Content-Type: multipart/alternative; boundary=42\r\n\r\n"
    "--42\r\nContent-Type: text/plain\r\n\r\nplain\r\n--42\r\nContent-Type: text/richtext\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n\r\nri=63h=\r\n text\r\n--42--\r\n"
    "--4--\r\n--0--\r\n";

static const char uuencoded[] =
    "Subject: uu\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin\r\n";

static const char plain[] = "From: a@b.example\r\nSubject: plain\r\nX-A: 1\r\n folded\r\n\r\nbody line\r\n";

static const struct {
    const char *section, *say, *want;
} rows[] = {
    {"3501 6.4.5 BODY[1]",          "FETCH 2 BODY.PEEK[1]",         "BODY[1] {3}\r\none"},
    {"3501 6.4.5 BODY[2]",          "FETCH 2 BODY.PEEK[2]",         "BODY[2] {10}\r\nAAEC\r\nAwQ="},
    {"3501 6.4.5 BODY[3.HEADER]",   "FETCH 2 BODY.PEEK[3.HEADER]",
     "BODY[3.HEADER] {61}\r\nSubject: three\r\nContent-Type: multipart/mixed; boundary=3\r\n\r\n"},
    {"3501 6.4.5 BODY[3.1]",        "FETCH 2 BODY.PEEK[3.1]",       "BODY[3.1] {9}\r\nthree one"},
    {"3501 6.4.5 BODY[3.2]",        "FETCH 2 BODY.PEEK[3.2]",       "BODY[3.2] {9}\r\nthree two"},
    {"3501 6.4.5 BODY[3.2.MIME]",   "FETCH 2 BODY.PEEK[3.2.MIME]",
     "BODY[3.2.MIME] {42}\r\nContent-Type: application/octet-stream\r\n\r\n"},
    {"3501 6.4.5 BODY[4.1]",        "FETCH 2 BODY.PEEK[4.1]",       "BODY[4.1] {3}\r\ngif"},
    {"3501 6.4.5 BODY[4.1.MIME]",   "FETCH 2 BODY.PEEK[4.1.MIME]",  "BODY[4.1.MIME] {27}\r\nContent-Type: image/gif\r\n\r\n"},
    {"3501 6.4.5 BODY[4.2.HEADER]", "FETCH 2 BODY.PEEK[4.2.HEADER.FIELDS (Subject)]",
     "BODY[4.2.HEADER.FIELDS (Subject)] {21}\r\nSubject: four two\r\n\r\n"},
    {"3501 6.4.5 BODY[4.2.1]",      "FETCH 2 BODY.PEEK[4.2.1]",     "BODY[4.2.1] {5}\r\nplain"},
    {"3501 6.4.5 BODY[4.2.2]",      "FETCH 2 BODY.PEEK[4.2.2]",     "BODY[4.2.2] {14}\r\nri=63h=\r\n text"},
    {"3501 6.4.5 BODY[5]",          "FETCH 2 BODY.PEEK[5]",         "BODY[5] NIL"},
    {"3501 6.4.5 BODY[1.HEADER]",   "FETCH 2 BODY.PEEK[1.HEADER]",  "BODY[1.HEADER] NIL"},
    {"3501 6.4.5 partial",          "FETCH 1 BODY.PEEK[TEXT]<5.4>", "BODY[TEXT]<5> {4}\r\nline"},
    {"3501 6.4.5 partial, end",     "FETCH 1 BODY.PEEK[TEXT]<5.99>", "BODY[TEXT]<5> {6}\r\nline\r\n"},
    {"3501 6.4.5 partial, past",    "FETCH 1 BODY.PEEK[TEXT]<11.5>", "BODY[TEXT]<11> {0}\r\n"},
    {"9051 9 partial of 63 bits",   "FETCH 1 BODY.PEEK[]<9999999999999.1>", "BODY[]<9999999999999> {0}\r\n"},
    {"3501 6.4.5 partial, header",  "FETCH 1 BODY.PEEK[HEADER.FIELDS (X-A)]<3.6>", "BODY[HEADER.FIELDS (X-A)]<3> {6}\r\n: 1\r\n "},
    {"3501 6.4.5 FIELDS.NOT",       "FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (from subject)]",
     "BODY[HEADER.FIELDS.NOT (from subject)] {19}\r\nX-A: 1\r\n folded\r\n\r\n"},
    {"3501 6.4.5 RFC822.HEADER",    "FETCH 1 RFC822.HEADER",
     "RFC822.HEADER {54}\r\nFrom: a@b.example\r\nSubject: plain\r\nX-A: 1\r\n folded\r\n\r\n"},
    {"3501 6.4.5 FAST",             "FETCH 1 FAST",
     "FLAGS () INTERNALDATE \"17-Jul-1996 08:44:25 +0000\" RFC822.SIZE 65"},
    {"3516 4.2 base64",             "FETCH 2 BINARY.PEEK[4.2.2]",   "BINARY[4.2.2] ~{9}\r\nrich text"},
    {"3516 4.2 partial",            "FETCH 2 BINARY.PEEK[4.2.2]<2.4>", "BINARY[4.2.2]<2> ~{4}\r\nch t"},
    {"3516 4.2 partial, past",      "FETCH 2 BINARY.PEEK[4.2.2]<9.4>", "BINARY[4.2.2]<9> ~{0}\r\n"},
    {"3516 4.2 7bit",               "FETCH 2 BINARY.PEEK[1]",       "BINARY[1] ~{3}\r\none"},
    {"3516 4.2 no part",            "FETCH 2 BINARY.PEEK[5]",       "BINARY[5] NIL"},
    {"3516 4.2 all",                "FETCH 1 BINARY.PEEK[]<0.6>",   "BINARY[]<0> ~{6}\r\nFrom: "},
    {"3516 4.2 message",            "FETCH 2 BINARY.PEEK[3]<0.8>",  "BINARY[3]<0> ~{8}\r\nSubject:"},
    {"3516 4.3 SIZE",               "FETCH 2 (BINARY.SIZE[2] BINARY.SIZE[4.2.2] BINARY.SIZE[1])",
     "BINARY.SIZE[2] 5 BINARY.SIZE[4.2.2] 9 BINARY.SIZE[1] 3"},
    {"3516 4.3 SIZE of nothing",    "FETCH 2 BINARY.SIZE[5]",       "BINARY.SIZE[5] 0"},
};

static const struct {
    const char *section, *say, *want;
} refused[] = {
    {"3516 4.3 UNKNOWN-CTE", "FETCH 3 BINARY[1]",       "NO [UNKNOWN-CTE] A part is encoded in a way that is not known"},
    {"3516 4.3 UNKNOWN-CTE", "FETCH 3 BINARY.SIZE[1]",  "NO [UNKNOWN-CTE] A part is encoded in a way that is not known"},
    {"3516 7 section-binary", "FETCH 1 BINARY[1.TEXT]", "BAD BINARY takes a part's number"},
    {"3516 7 section-binary", "FETCH 1 BINARY.SIZE[1]<0.2>", "BAD More than FETCH takes; several items need parentheses"},
    {"3501 9 section",       "FETCH 1 BODY[1.2.]",      "BAD Unknown section"},
    {"3501 9 macro",         "FETCH 1 (FAST)",          "BAD Unknown FETCH item"},
    {"3501 9 partial",       "FETCH 1 BODY[]<1.0>",     "BAD A partial looks like <0.1024>"},
    {"3501 9 append",        "APPEND INBOX UTF8 (~{5}", "BAD UTF8 needs ENABLE UTF8=ACCEPT"},
    {"3516 7 literal8",      "SELECT ~{5}",             "BAD Only a message is a literal8"},
    {"7889 4 TOOBIG",        "APPEND INBOX {52428801}", "NO [TOOBIG] The message is larger than 52428800 bytes"},
    {"3501 6.3.11 TRYCREATE", "APPEND saved {5}",       "NO [TRYCREATE] No such mailbox"},
    {"3501 6.3.11 zone",     "APPEND INBOX \"17-Jul-1996 02:44:25\" {5}",
     "BAD A date and time looks like \"17-Jul-1996 02:44:25 -0700\""},
};

static void
asks(struct stream *c, size_t i, const char *say, const char *want)
{
    AUTO_BUF text = BUF_INIT(4096), answer = BUF_INIT(4096);
    const char *at = strchr(say, ' ');

    buf_printf(&text, "a %s\r\n", say);
    if (strncmp(want, "NO ", 3) == 0 || strncmp(want, "BAD ", 4) == 0)
        buf_printf(&answer, "a %s\r\n%c", want, 0);
    else
        buf_printf(&answer, "* %c FETCH (%s)\r\na OK FETCH completed\r\n%c", at[1], want, 0);
    CHECK_INT(i, stream_put(c, buf_slice(&text), soon()), ST_OK);
    hears_at((int)i, c, (const char *)answer.p);
}

/* NULs, from APPEND to FETCH; and \Seen. */
static void
try_binary(struct stream *c)
{
    static const char say[] = "a APPEND INBOX ~{12+}\r\nA: b\r\n\r\n\0\r\n\0\r\n";
    static const char want[] = "* 2 FETCH (FLAGS (\\Seen) BINARY[2] ~{5}\r\n\0\1\2\3\4)\r\na OK FETCH completed\r\n";
    AUTO_BUF got = BUF_INIT(1000);
    struct mail *m;

    CHECK_INT(0, stream_put(c, SLICE("a FETCH 2 BINARY[2]\r\n"), soon()), ST_OK);
    while (got.n < sizeof want - 1) {
        struct slice bytes = {0};

        CHECK_INT(1, stream_some(c, sizeof want - 1 - got.n, soon(), &bytes), ST_OK);
        buf_put(&got, bytes);
    }
    CHECK_SLICE(2, buf_slice(&got), slice_from(want, sizeof want - 1));
    CHECK_INT(3, stream_put(c, slice_from(say, sizeof say - 1), soon()), ST_OK);
    ANSWERS_WITH(c, "", "APPEND completed\r\n", "* 4 EXISTS");
    m = &fake.boxes[0].mails[3];
    CHECK_SLICE(4, buf_slice(&m->body), slice_from("A: b\r\n\r\n\0\r\n\0", 12));
}

/* RFC 6855: names, search texts and headers in UTF-8, once it is enabled. */
static void
try_utf8(void)
{
    struct box *inbox = &fake.boxes[0];
    struct stream c;

    connect_client(&c, 2, "");
    HEARS(&c, HELLO);
    SAYS(&c, "a APPEND INBOX UTF8 (~{5}\r\n", "a BAD UTF8 needs ENABLE UTF8=ACCEPT\r\n");
    SAYS(&c, "a APPEND INBOX UTF8 (~{5+}\r\n12345)\r\n", "a BAD UTF8 needs ENABLE UTF8=ACCEPT\r\n");
    SAYS(&c, "a ENABLE UTF8=ACCEPT\r\n", "* ENABLED UTF8=ACCEPT\r\na OK ENABLE completed\r\n");
    SAYS(&c, "a CREATE \"ma\xc3\xb1" "ana\"\r\n", "a OK CREATE completed\r\n");
    CHECK(0, box_named(SLICE("ma\xc3\xb1" "ana")) != NULL);
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "SELECT completed\r\n", "* 4 EXISTS");
    /* 4: the example, with its bytes counted */
    ANSWERS_WITH(&c, "a APPEND INBOX (\\Seen) UTF8 (~{27+}\r\nSubject: fran\xc3\xa7" "ais\r\n\r\nx\r\n\r\n)\r\n",
                 "APPEND completed\r\n", "* 5 EXISTS");
    CHECK_SLICE(1, buf_slice(&inbox->mails[4].body), "Subject: fran\xc3\xa7" "ais\r\n\r\nx\r\n\r\n");
    SAYS(&c, "a APPEND INBOX UTF8 (~{5+}\r\n12345\r\n", "a BAD UTF8 ends in \")\"\r\n");
    SAYS(&c, "a SEARCH SUBJECT \"FRAN\xc3\x87" "AIS\"\r\n", "* SEARCH 5\r\na OK SEARCH completed\r\n");
    SAYS(&c, "a SEARCH CHARSET UTF-8 ALL\r\n", "a BAD CHARSET is not allowed once UTF8=ACCEPT is enabled\r\n");
    ANSWERS_WITH(&c, "a FETCH 5 ENVELOPE\r\n", "a OK FETCH completed\r\n", "{9}\r\nfran\xc3\xa7" "ais");
    SAYS(&c, "a LOGOUT\r\n", "* BYE Logging out\r\na OK LOGOUT completed\r\n");
    stream_close(&c);
}

/* A large part decoded without ever being held: its size is said right, every byte is there. */
static void
try_large(struct stream *c)
{
    AUTO_BUF body = BUF_INIT(8u << 20), raw = BUF_INIT(4u << 20), want = BUF_INIT(4u << 20), got = BUF_INIT(4u << 20);

    for (unsigned i = 0; i < 2000000; i++)
        buf_putc(&raw, (uint8_t)(i * 7 + i / 251));
    buf_puts(&body, "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    for (size_t at = 0; at < raw.n; at += 57) {
        buf_put_base64(&body, slice_sub(buf_slice(&raw), at, 57));
        buf_puts(&body, "\r\n");
    }
    add_mail(&fake.boxes[0], buf_slice(&body));
    hint_all(&fake.boxes[0]);
    ANSWERS_WITH(c, "a NOOP\r\n", "a OK NOOP completed\r\n", "* 6 EXISTS");
    buf_printf(&want, "* 6 FETCH (BINARY.SIZE[1] %zu BINARY[1]<100> ~{%zu}\r\n", raw.n, raw.n - 100);
    buf_put(&want, slice_skip(buf_slice(&raw), 100));
    buf_puts(&want, ")\r\na OK FETCH completed\r\n");
    CHECK_INT(0, stream_put(c, SLICE("a FETCH 6 (BINARY.SIZE[1] BINARY.PEEK[1]<100.9999999>)\r\n"), soon()), ST_OK);
    while (got.n < want.n) {
        struct slice bytes = {0};

        CHECK_INT(1, stream_some(c, STREAM_INPUT, soon(), &bytes), ST_OK);
        buf_put(&got, bytes);
    }
    CHECK(2, slice_eq(buf_slice(&got), buf_slice(&want)));
}

static void
converse(void)
{
    struct box *inbox = add_box(SLICE("INBOX"));
    struct stream c;

    add_mail(inbox, slice_of(plain));
    add_mail(inbox, slice_of(parts));
    add_mail(inbox, slice_of(uuencoded));
    give_credit(4u << 20);
    connect_client(&c, 1, "");
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 3 EXISTS");
    for (size_t i = 0; i < COUNT(rows); i++)
        asks(&c, i, rows[i].say, rows[i].want);
    for (size_t i = 0; i < COUNT(refused); i++) {
        asks(&c, 100 + i, refused[i].say, refused[i].want);
        asks(&c, 100 + i, "NOOP x", "BAD This command takes no arguments"); /* and it goes on */
        SAYS(&c, "b NOOP\r\n", "b OK NOOP completed\r\n");
    }
    try_binary(&c);
    try_utf8();
    ANSWERS_WITH(&c, "a NOOP\r\n", "a OK NOOP completed\r\n", "* 5 EXISTS");
    try_large(&c);
    CHECK_INT(0, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    HEARS(&c, "* BYE [UNAVAILABLE] The server is being stopped\r\n");
    stream_close(&c);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
