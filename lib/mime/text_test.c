/* Dates, header fields and decoding. */
#include "base/test.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/header.h"

TEST(dates)
{
    static const struct {
        const char *in;
        enum status want;
        int64_t utc;
        int zone;
    } cases[] = {
        {"Fri, 21 Nov 1997 09:55:06 -0600", ST_OK, 880127706, -360},
        {"21 Nov 97 09:55:06 GMT", ST_OK, 880106106, 0},
        {"Thu,\r\n 13 (comment) Feb 1969 23:32 -0330 (Newfoundland)", ST_OK, -27723480, -210},
        {"Thu, 29 Feb 2024 00:00:00 EST", ST_OK, 1709182800, -300},
        {"Wed, 29 Feb 2023 00:00:00 +0000", ST_SYNTAX, 0, 0},
        {"tomorrow", ST_SYNTAX, 0, 0},
        {"", ST_SYNTAX, 0, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t utc = 0;
        int16_t zone = 0;

        CHECK_INT(i, mime_date_parse(slice_of(cases[i].in), &utc, &zone), cases[i].want);
        CHECK_INT(i, utc, cases[i].utc);
        CHECK_INT(i, zone, cases[i].zone);
    }
}

TEST(internaldate)
{
    AUTO_BUF out = BUF_INIT(100);

    mime_put_internaldate(&out, 837596665, -420);
    CHECK_SLICE(0, buf_slice(&out), "\"17-Jul-1996 02:44:25 -0700\"");
    buf_clear(&out);
    mime_put_internaldate(&out, 0, 0);
    CHECK_SLICE(1, buf_slice(&out), "\" 1-Jan-1970 00:00:00 +0000\"");
}

TEST(words)
{
    static const struct {
        const char *in, *want;
    } cases[] = {/* RFC 2047 8 */
                 {"=?ISO-8859-1?Q?a?=", "a"},
                 {"=?ISO-8859-1?Q?a?= b", "a b"},
                 {"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"},
                 {"=?ISO-8859-1?Q?a?=  \r\n    =?ISO-8859-1?Q?b?=", "ab"},
                 {"=?ISO-8859-1?Q?a_b?=", "a b"},
                 {"=?iso-8859-1*en?q?=E1?=", "\xc3\xa1"},
                 {"=?utf-8?B?w6E=?=", "\xc3\xa1"},
                 {"=?utf-8?q?=c3?= =?UTF-8?b?oQ==?=", "\xc3\xa1"}, /* cut in a character */
                 {"=?utf-8?q?=c3?= =?koi8-r?b?wQ==?=", "\xef\xbf\xbd\xd0\xb0"},
                 {"=?utf-8?q?what?_?=", "what? "},
                 {"=?*en?q?a?= =?*en?q?=e1?=", "a\xc3\xa1"}, /* no charset: ended imapd once */
                 {"=?utf-8?X?w6E=?= = x", "=?utf-8?X?w6E=?= = x"}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(200);

        mime_put_words(&out, slice_of(cases[i].in));
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

TEST(encodings)
{
    AUTO_BUF out = BUF_INIT(200);

    mime_put_decoded(&out, SLICE("quoted-printable"), SLICE("a=3Db=\r\nc=ZZ= \r\nd"));
    CHECK_SLICE(0, buf_slice(&out), "a=bc=ZZd");
    buf_clear(&out);
    mime_put_decoded(&out, SLICE("BASE64"), SLICE("aG Vs\r\nbG8="));
    CHECK_SLICE(1, buf_slice(&out), "hello");
    buf_clear(&out);
    mime_put_ext_value(&out, SLICE("iso-8859-1'es'%E1%20x"));
    CHECK_SLICE(2, buf_slice(&out), "\xc3\xa1 x");
}

TEST(header)
{
    const struct slice header = SLICE("From a\r\nSubject: =?utf-8?q?A=C3=91o?=\r\n nuevo\r\nTo : b\r\nX:\r\n\r\n");
    const struct slice names[] = {SLICE("to"), SLICE("x")};
    AUTO_BUF out = BUF_INIT(200);

    mime_put_fields(&out, header, names, 2, false);
    CHECK_SLICE(0, buf_slice(&out), "To : b\r\nX:\r\n\r\n");
    buf_clear(&out);
    mime_put_fields(&out, header, names, 2, true);
    CHECK_SLICE(1, buf_slice(&out), "Subject: =?utf-8?q?A=C3=91o?=\r\n nuevo\r\n\r\n");
    CHECK(2, mime_header_contains(header, SLICE("subject"), SLICE("AN\xcc\x83O NUEVO")));
    CHECK(3, mime_header_contains(header, SLICE("x"), SLICE("")));
    CHECK(4, !mime_header_contains(header, SLICE("y"), SLICE("")));
    CHECK(5, !mime_header_contains(header, SLICE("to"), SLICE("C")));
}

TEST_MAIN(dates, internaldate, words, encodings, header)
