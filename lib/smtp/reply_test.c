#include "smtp/reply.h"

#include "base/test.h"

TEST(put)
{
    static const struct {
        unsigned code;
        const char *enhanced, *text, *want;
    } cases[] = {
        {250, "2.0.0", "Ok", "250 2.0.0 Ok\r\n"},
        {250, NULL, "a\nb\nc", "250-a\r\n250-b\r\n250 c\r\n"},
        {550, "5.7.1", "a\nb", "550-5.7.1 a\r\n550 5.7.1 b\r\n"},
        {501, "5.5.4", "x\r\t\x7f\xc3y", "501 5.5.4 x????y\r\n"},
        {354, NULL, "", "354 \r\n"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(1000);

        smtp_reply_put(&out, cases[i].code, cases[i].enhanced, slice_of(cases[i].text));
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

TEST(long_line_is_cut)
{
    AUTO_BUF out = BUF_INIT(2000);
    uint8_t text[1000];

    memset(text, 'a', sizeof(text));
    smtp_reply_put(&out, 550, "5.0.0", slice_from(text, sizeof(text)));
    CHECK_INT(0, out.n, SMTP_REPLY_LINE_MAX);
    CHECK(0, slice_has_suffix_nocase(buf_slice(&out), SLICE("a\r\n")));
}

/* A failure that no row names must not become a permanent one. */
TEST(doubt_is_temporary)
{
    static const enum status permanent[] = {ST_SYNTAX, ST_LIMIT, ST_NOTFOUND, ST_DENIED, ST_STATE, ST_UNSUPPORTED};

    for (int st = 1; st < ST_COUNT; st++) {
        const struct smtp_reply *reply = smtp_reply_of((enum status)st);
        bool known = false;

        for (size_t i = 0; i < COUNT(permanent); i++)
            known |= permanent[i] == (enum status)st;
        CHECK_INT(st, reply->code / 100, known ? 5 : 4);
        CHECK_INT(st, reply->enhanced[0], known ? '5' : '4');
    }
    CHECK_INT(0, smtp_reply_of(ST_OK)->code, 250);
    CHECK_INT(0, smtp_reply_of(ST_NOSPACE)->code, 452);
    CHECK_INT(0, smtp_reply_of((enum status)999)->code, 451);
}

/* RFC 3463 2: the enhanced code's class is the code's; RFC 2034 4: and it stands in every reply but greeting, EHLO's,
 * 354 and 334. RFC 5321 4.2: codes of 2 to 5 and 0 to 5. A row fits a line with the longest host's name. */
TEST(table)
{
    for (int row = 0; row < SMTP_R_COUNT; row++) {
        const struct smtp_reply *r = smtp_reply((enum smtp_row)row);
        struct slice enhanced = slice_of(r->enhanced), at = enhanced;
        uint64_t n;

        CHECK(row, r->code >= 200 && r->code < 560 && r->code % 100 < 60);
        CHECK(row, strlen(r->text) < SMTP_REPLY_LINE_MAX - 280);
        if (enhanced.n == 0) {
            CHECK(row, r->code == 220 || r->code == 250 || r->code == 354);
            continue;
        }
        CHECK_INT(row, r->enhanced[0], '0' + r->code / 100);
        CHECK(row, take_number(&at, 5, &n) && take_byte(&at, '.') && take_number(&at, 7, &n) && take_byte(&at, '.') &&
                       take_number(&at, 999, &n) && at.n == 0);
    }
    CHECK(0, smtp_reply((enum smtp_row)9999)->code == 451);
}

TEST_MAIN(table, put, long_line_is_cut, doubt_is_temporary)
