#include "mime/digest.h"

#include "base/test.h"
#include "mime/imap_view.h"


static void
check_view(const char *message, const char *envelope, const char *structure)
{
    AUTO_BUF bytes = BUF_INIT(DIGEST_WHOLE + 131072);
    AUTO_BUF text = BUF_INIT(1 << 20);
    struct digest_view view;

    CHECK_INT(0, digest_whole(slice_of(message), &bytes), ST_OK);
    CHECK_INT(0, digest_get(buf_slice(&bytes), &view), ST_OK);
    if (envelope != NULL) {
        imap_put_envelope(&text, &view);
        CHECK_SLICE(0, buf_slice(&text), envelope);
    }
    buf_clear(&text);
    if (structure != NULL) {
        imap_put_structure(&text, &view, true);
        CHECK_SLICE(0, buf_slice(&text), structure);
    }
}

TEST(envelope)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"},
        {"From: Joe Q. Public <joe@a.example>\r\nTo: \"x \\\"y\" <b@c>, d@e (Dee)\r\nSubject: a\r\n b\r\n\r\n",
         "(NIL \"a b\" ((\"Joe Q. Public\" NIL \"joe\" \"a.example\")) ((\"Joe Q. Public\" NIL \"joe\" \"a.example\")) "
         "((\"Joe Q. Public\" NIL \"joe\" \"a.example\")) ((\"x \\\"y\" NIL \"b\" \"c\")(\"Dee\" NIL \"d\" \"e\")) NIL NIL "
         "NIL NIL)"},
        {"To: A Group:Ed <joe@w.example>,x@y;\r\nCc: u:;\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL NIL \"A Group\" NIL)(\"Ed\" NIL \"joe\" \"w.example\")(NIL NIL \"x\" \"y\")(NIL NIL "
         "NIL NIL)) ((NIL NIL \"u\" NIL)(NIL NIL NIL NIL)) NIL NIL NIL)"},
        {"To: <@a,@b:c . d@e>, nobody\r\nTo: f @ g . h\r\n\r\n",
         "(NIL NIL NIL NIL NIL ((NIL \"@a,@b\" \"c.d\" \"e\")(NIL NIL \"nobody\" \"MISSING_DOMAIN\")(NIL NIL \"f\" "
         "\"g.h\")) NIL NIL NIL NIL)"},
        {"Subject: \xc3\xa1\r\nMessage-ID: <a@b>\r\n\r\n", "(NIL {2}\r\n\xc3\xa1 NIL NIL NIL NIL NIL NIL NIL \"<a@b>\")"},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        check_view(cases[i].in, cases[i].want, NULL);
}

TEST(structure)
{
    check_view("\r\nhello\r\nworld\r\n", NULL,
               "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 14 2 NIL NIL NIL NIL)");
    check_view("Content-Type: text/plain; charset=us-ascii (Plain text)\r\n\r\n", NULL,
               "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL)");
    check_view("Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: "
               "message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\nepilogue\r\n",
               NULL,
               "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 0 NIL NIL NIL NIL)(\"message\" "
               "\"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"text\" \"plain\" "
               "(\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \"mixed\" "
               "(\"boundary\" \"b\") NIL NIL NIL)");
    check_view("Content-Type: multipart/x; boundary=b\r\n\r\nnothing", NULL,
               "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0) \"x\" (\"boundary\" \"b\") NIL NIL "
               "NIL)");
    check_view("Content-Type: a/b; n*1=y; n*0=x; f*0*=u''%41; f*1=\"b c\"\r\nContent-Disposition: attachment; "
               "filename=a b.pdf\r\nContent-Language: en, es\r\n\r\n",
               NULL,
               "(\"a\" \"b\" (\"n\" \"xy\" \"f*\" \"u''%41b%20c\") NIL NIL \"7bit\" 0 NIL (\"attachment\" (\"filename\" "
               "\"a b.pdf\")) (\"en\" \"es\") NIL)");
}

TEST(sections)
{
    static const char message[] = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: 1\r\n\r\none\r\n--b\r\n"
                                  "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\n";
    static const struct {
        uint32_t path[2];
        size_t n;
        enum mime_section what;
        const char *want;
    } cases[] = {
        {{1}, 1, SECTION_ALL, "one"},
        {{1}, 1, SECTION_MIME, "X: 1\r\n\r\n"},
        {{1}, 1, SECTION_HEADER, NULL},
        {{2}, 1, SECTION_HEADER, "Subject: in\r\n\r\n"},
        {{2}, 1, SECTION_TEXT, "x"},
        {{2, 1}, 2, SECTION_ALL, "x"},
        {{2, 2}, 2, SECTION_ALL, NULL},
        {{3}, 1, SECTION_ALL, NULL},
        {{0}, 1, SECTION_ALL, NULL},
        {{1, 1}, 2, SECTION_ALL, NULL},
        {{0}, 0, SECTION_HEADER, "Content-Type: multipart/mixed; boundary=b\r\n\r\n"},
    };
    AUTO_BUF bytes = BUF_INIT(DIGEST_WHOLE + 131072);

    CHECK_INT(0, digest_whole(slice_of(message), &bytes), ST_OK);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct digest_view view;
        struct imap_range range = {0};
        enum status st;

        CHECK_INT(i, digest_get(buf_slice(&bytes), &view), ST_OK);
        st = imap_section_range(&view, cases[i].path, cases[i].n, cases[i].what, &range);
        CHECK_INT(i, st, cases[i].want != NULL ? ST_OK : ST_NOTFOUND);
        if (cases[i].want != NULL)
            CHECK_SLICE(i, slice_sub(slice_of(message), (size_t)range.at, (size_t)range.n), cases[i].want);
        digest_prefix(&view, 10);
        if (cases[i].want != NULL && cases[i].n > 0) {
            struct imap_range moved = {0};

            CHECK_INT(i, imap_section_range(&view, cases[i].path, cases[i].n, cases[i].what, &moved), ST_OK);
            CHECK_INT(i, moved.at, range.at + 10);
        }
    }
}

/* However it is cut into pieces, the digest is the same; hostile sizes end in a digest. */
TEST(pieces_and_budgets)
{
    AUTO_BUF message = BUF_INIT(8 << 20);
    AUTO_BUF a = BUF_INIT(DIGEST_WHOLE + 131072);
    AUTO_BUF b = BUF_INIT(DIGEST_WHOLE + 131072);
    struct digester *d = digester_new(DIGEST_MAX);
    struct digest_view view;

    for (int i = 0; i < 8000; i++)
        buf_printf(&message, "To: a%d@b\r\n", i);
    for (int i = 0; i < 1001; i++)
        buf_printf(&message, "Content-Type: multipart/mixed; boundary=b%04d\r\n\r\n--b%04d\r\n", i, i);
    for (size_t step = 1; step < 5; step++) {
        digester_reset(d);
        digest_feed(d, buf_slice(&message));
        CHECK_INT(step, digest_finish(d, &a), ST_OK);
        digester_reset(d);
        for (size_t at = 0; at < message.n; at += step)
            digest_feed(d, slice_sub(buf_slice(&message), at, step));
        CHECK_INT(step, digest_finish(d, &b), ST_OK);
        CHECK_SLICE(step, buf_slice(&b), buf_slice(&a));
        CHECK_INT(step, digest_get(buf_slice(&a), &view), ST_OK);
        CHECK_INT(step, view.flags & DIGEST_CUT, DIGEST_CUT);
    }
    CHECK_INT(0, digest_whole(buf_slice(&message), &a), ST_OK);
    CHECK_INT(0, digest_get(buf_slice(&a), &view), ST_OK);
    CHECK_INT(0, view.flags & (DIGEST_CUT | DIGEST_BUDGET), DIGEST_BUDGET);
    CHECK_INT(0, view.parts, 101);
    digester_free(d);
}

TEST_MAIN(envelope, structure, sections, pieces_and_budgets)
