/* The examples of RFC 2045 to 2049, 2231, 5322 and 6532, and what clients meet instead of them. */
#include "base/test.h"
#include "mime/decode.h"
#include "mime/digest.h"
#include "mime/imap_view.h"

static void
put_view(const char *message, bool envelope, struct buf *out)
{
    AUTO_BUF bytes = BUF_INIT(DIGEST_WHOLE + 131072);
    struct digest_view view;

    CHECK_INT(0, digest_whole(slice_of(message), &bytes), ST_OK);
    CHECK_INT(0, digest_get(buf_slice(&bytes), &view), ST_OK);
    if (envelope)
        imap_put_envelope(out, &view);
    else
        imap_put_structure(out, &view, false);
}

/* What stands in an envelope's To for a field's value. */
TEST(addresses)
{
    static const struct {
        const char *section, *in, *want;
    } cases[] = {
        {"5322 A.1.1", "Mary Smith <mary@example.net>", "((\"Mary Smith\" NIL \"mary\" \"example.net\"))"},
        {"5322 A.1.2", "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
         "((\"Mary Smith\" NIL \"mary\" \"x.test\")(NIL NIL \"jdoe\" \"example.org\")(\"Who?\" NIL \"one\" \"y.test\"))"},
        {"5322 A.1.2", "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
         "((NIL NIL \"boss\" \"nil.test\")(\"Giant; \\\"Big\\\" Box\" NIL \"sysservices\" \"example.net\"))"},
        {"5322 A.1.3", "A Group:Ed Jones <joe@where.test>,John <jdoe@one.test>;",
         "((NIL NIL \"A Group\" NIL)(\"Ed Jones\" NIL \"joe\" \"where.test\")(\"John\" NIL \"jdoe\" \"one.test\")"
         "(NIL NIL NIL NIL))"},
        {"5322 A.1.3", "Undisclosed recipients:;", "((NIL NIL \"Undisclosed recipients\" NIL)(NIL NIL NIL NIL))"},
        {"5322 A.5", "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
         "((\"Pete\" NIL \"pete\" \"silly.test\"))"},
        {"5322 A.5", "A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n         joe@example.org",
         "((NIL NIL \"A Group\" NIL)(\"Chris Jones\" NIL \"c\" \"public.example\")(NIL NIL \"joe\" \"example.org\")"
         "(NIL NIL NIL NIL))"},
        {"5322 A.6.1", "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
         "((\"Mary Smith\" \"@node.test\" \"mary\" \"example.net\")(NIL NIL \"jdoe\" \"test.example\"))"},
        {"5322 A.6.3", "Mary Smith\r\n  \r\n          <mary@example.net>", "((\"Mary Smith\" NIL \"mary\" \"example.net\"))"},
        {"5322 3.4.1", "x@[192.0.2.1]", "((NIL NIL \"x\" \"[192.0.2.1]\"))"},
        {"5322 3.4.1", "\"a b\"@c.example", "((NIL NIL \"a b\" \"c.example\"))"},
        {"6532 3.2", "\xc3\xa1@b\xc3\xb1.example", "((NIL NIL {2}\r\n\xc3\xa1 {11}\r\nb\xc3\xb1.example))"},
        {"2047 8", "=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>",
         "((\"=?US-ASCII*EN?Q?Keith_Moore?=\" NIL \"moore\" \"cs.utk.edu\"))"},
        /* broken */
        {"no @", "root", "((NIL NIL \"root\" \"MISSING_DOMAIN\"))"},
        {"never closed", "Ana <ana@example.org, b@c", "((\"Ana\" NIL \"ana\" \"example.org\")(NIL NIL \"b\" \"c\"))"},
        {"quote never closed", "\"Ana <ana@example.org>", "((NIL NIL \"Ana <ana@example.org>\" \"MISSING_DOMAIN\"))"},
        {"commas", ",,,", "NIL"},
        {"nothing", "", "NIL"},
        {"semicolons", "a@b; c@d", "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF message = BUF_INIT(1000), out = BUF_INIT(4000), want = BUF_INIT(4000);

        buf_printf(&message, "To: %s\r\n\r\n%c", cases[i].in, 0);
        put_view((const char *)message.p, true, &out);
        buf_printf(&want, "(NIL NIL NIL NIL NIL %s NIL NIL NIL NIL)", cases[i].want);
        CHECK_SLICE(i, buf_slice(&out), buf_slice(&want));
    }
}

/* The parameters of a Content-Type as BODY tells them. */
TEST(parameters)
{
    static const struct {
        const char *section, *in, *want;
    } cases[] = {
        {"2045 5.1", "; charset=us-ascii (Plain text)", "(\"charset\" \"us-ascii\")"},
        {"2045 5.1", "; charset=\"us-ascii\"", "(\"charset\" \"us-ascii\")"},
        {"2046 4.1.1", "; charset=iso-8859-1; x=\"a;b\\\"c\"", "(\"charset\" \"iso-8859-1\" \"x\" \"a;b\\\"c\")"},
        {"2231 3", "; URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"",
         "(\"URL\" \"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\" \"charset\" \"us-ascii\")"},
        {"2231 4", ";\r\n title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
         "(\"title*\" \"us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A\" \"charset\" \"us-ascii\")"},
        {"2231 4.1", ";\r\n title*0*=us-ascii'en'This%20is%20even%20more%20;\r\n title*1*=%2A%2A%2Afun%2A%2A%2A%20;\r\n"
         " title*2=\"isn't it!\"",
         "(\"title*\" \"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!\" "
         "\"charset\" \"us-ascii\")"},
        {"2231 3 order", "; a*1=y; a*0=x; b=z", "(\"a\" \"xy\" \"b\" \"z\" \"charset\" \"us-ascii\")"},
        {"2231 3 gap", "; a*0=x; a*2=z", "(\"a\" \"x\" \"a*2\" \"z\" \"charset\" \"us-ascii\")"},
        /* broken */
        {"no value", "; name", "(\"name\" \"\" \"charset\" \"us-ascii\")"},
        {"spaces", "; name = a b.pdf ; charset = utf-8", "(\"name\" \"a b.pdf\" \"charset\" \"utf-8\")"},
        {"never closed", "; name=\"a; b", "(\"name\" \"a; b\" \"charset\" \"us-ascii\")"},
        {"semicolons", ";;; charset=utf-8;;", "(\"charset\" \"utf-8\")"},
        {"8-bit", "; name=\xc3\xa1", "(\"name\" {2}\r\n\xc3\xa1 \"charset\" \"us-ascii\")"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF message = BUF_INIT(1000), out = BUF_INIT(4000), want = BUF_INIT(4000);

        buf_printf(&message, "Content-Type: text/plain%s\r\n\r\n%c", cases[i].in, 0);
        put_view((const char *)message.p, false, &out);
        buf_printf(&want, "(\"text\" \"plain\" %s NIL NIL \"7bit\" 0 0)", cases[i].want);
        CHECK_SLICE(i, buf_slice(&out), buf_slice(&want));
    }
}

/* RFC 2231 4 and 5 as text. */
TEST(extended_values)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "This is ***fun***"},
        {"iso-8859-1''caf%E9", "caf\xc3\xa9"},
        {"utf-8'es'ma%C3%B1ana", "ma\xc3\xb1" "ana"},
        {"''100%", "100%"},
        {"no quotes%21", "no quotes!"},
        {"gb2312''%D6%D0", "\xe4\xb8\xad"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(200);

        mime_put_ext_value(&out, slice_of(cases[i].in));
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

#define TEXT(n, lines) "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" " n " " lines ")"

TEST(structures)
{
    static const struct {
        const char *section, *in, *want;
    } cases[] = {
        {"2046 5.1.1", /* the first example: a part without a header, and one with */
         "MIME-Version: 1.0\r\nContent-type: multipart/mixed; boundary=\"simple boundary\"\r\n\r\n"
         "This is the preamble.  It is to be ignored.\r\n\r\n--simple boundary\r\n\r\n"
         "implicitly typed\r\n\r\n--simple boundary\r\nContent-type: text/plain; charset=us-ascii\r\n\r\n"
         "explicitly typed\r\n\r\n\r\n--simple boundary--\r\n\r\nThis is the epilogue.\r\n",
         "(" TEXT("18", "1") TEXT("20", "2") " \"mixed\")"},
        {"2046 5.1.1 comparison", /* white space may follow; that the boundary stands at the beginning is enough */
         "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a \t\r\n\r\none\r\n--ab\r\ntwo\r\n--a--  \r\nno part\r\n",
         "(" TEXT("3", "0") TEXT("0", "0") " \"mixed\")"},
        {"2046 5.1.2 nested", /* an outer boundary ends what is inside */
         "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n"
         "--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--o--\r\n",
         "((" TEXT("3", "0") " \"mixed\")" TEXT("3", "0") " \"mixed\")"},
        {"2046 5.1.5 digest", /* parts are messages unless they say otherwise */
         "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: x\r\n\r\nhi\r\n--d--\r\n",
         "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"x\" NIL NIL NIL NIL NIL NIL NIL NIL) " TEXT("2", "0")
         " 2) \"digest\")"},
        {"2046 5.1 no boundary", "Content-Type: multipart/mixed\r\n\r\n--a\r\n\r\none\r\n--a--\r\n", TEXT("19", "4")},
        {"2045 5.2 nonsense", "Content-Type: nonsense\r\n\r\nx\r\n", TEXT("3", "1")},
        {"2045 6.4 unknown", "Content-Type: a/b\r\nContent-Transfer-Encoding: x-odd\r\n\r\nx",
         "(\"a\" \"b\" NIL NIL NIL \"x-odd\" 1)"},
        {"2045 6.1 comment", "Content-Type: a/b\r\nContent-Transfer-Encoding: base64 (so)\r\n\r\neA==",
         "(\"a\" \"b\" NIL NIL NIL \"base64\" 4)"},
        {"2045 7, 8", "Content-Type: a/b\r\nContent-ID: <1@x>\r\nContent-Description: A\r\n part\r\n\r\nx",
         "(\"a\" \"b\" NIL \"<1@x>\" \"A part\" \"7bit\" 1)"},
        {"2046 5.2.1 partial", "Content-Type: message/partial; id=\"a@b\"; number=1; total=3\r\n\r\nx",
         "(\"message\" \"partial\" (\"id\" \"a@b\" \"number\" \"1\" \"total\" \"3\") NIL NIL \"7bit\" 1)"},
        {"5322 4.5 space before colon", "Content-Type : a/b\r\n\r\nx", "(\"a\" \"b\" NIL NIL NIL \"7bit\" 1)"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(8000);

        put_view(cases[i].in, false, &out);
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

TEST_MAIN(addresses, parameters, extended_values, structures)
