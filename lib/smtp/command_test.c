#include "smtp/command.h"

#include "base/test.h"

#define ALL (SMTP_OFFER_SIZE | SMTP_OFFER_8BITMIME | SMTP_OFFER_AUTH | SMTP_OFFER_DSN)

TEST(split)
{
    static const struct {
        struct slice in;
        enum status want;
        const char *verb, *args;
    } cases[] = {
#define S(text) {(const uint8_t *)(text), sizeof(text) - 1}
        {S("NOOP"), ST_OK, "NOOP", ""},
        {S("EHLO  a.example "), ST_OK, "EHLO", "a.example"},
        {S("MAIL FROM:<a@b> SIZE=1"), ST_OK, "MAIL", "FROM:<a@b> SIZE=1"},
        {S(""), ST_SYNTAX, "", ""},
        {S(" NOOP"), ST_SYNTAX, "", ""},
        {S("NO-OP"), ST_SYNTAX, "", ""},
        {S("NOOP\ta"), ST_SYNTAX, "", ""},
        {S("NOOP a\0b"), ST_SYNTAX, "", ""},
        {S("NOOP a\rb"), ST_SYNTAX, "", ""},
        {S("NOOP\nQUIT"), ST_SYNTAX, "", ""},
        {S("\x16\x03\x01"), ST_SYNTAX, "", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice verb = {0}, args = {0};

        CHECK_INT(i, smtp_command_split(cases[i].in, &verb, &args), cases[i].want);
        CHECK_SLICE(i, verb, cases[i].verb);
        CHECK_SLICE(i, args, cases[i].args);
    }
}

TEST(helo)
{
    static const struct {
        const char *in;
        enum status want;
    } cases[] = {
        {"a.example", ST_OK}, {"[127.0.0.1]", ST_OK}, {"WIN_HOST", ST_OK}, {"", ST_SYNTAX},
        {"a b", ST_SYNTAX},   {"a\tb", ST_SYNTAX},    {"\xc3\xb1", ST_SYNTAX},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice name = {0};

        CHECK_INT(i, smtp_helo_parse(slice_of(cases[i].in), &name), cases[i].want);
        CHECK_SLICE(i, name, cases[i].want == ST_OK ? cases[i].in : "");
    }
}

TEST(mail)
{
    static const struct {
        const char *in;
        uint32_t offered;
        enum status want;
        const char *why;
    } cases[] = {
        {"FROM:<a@b>", 0, ST_OK, ""},
        {"from: <a@b>", 0, ST_OK, ""},
        {"FROM:<>", 0, ST_OK, ""},
        {"FROM:<a@b> SIZE=10 BODY=8BITMIME", ALL, ST_OK, ""},
        {"FROM:<a@b>  size=10", ALL, ST_OK, ""},
        {"FROM:<a@b> SIZE=18446744073709551615", ALL, ST_OK, ""},
        {"FROM:<a@b> SIZE=18446744073709551616", ALL, ST_SYNTAX, "Bad value: expected SIZE=number"},
        {"FROM:<a@b> SIZE=-1", ALL, ST_SYNTAX, "Bad value: expected SIZE=number"},
        {"FROM:<a@b> SIZE", ALL, ST_SYNTAX, "Bad value: expected SIZE=number"},
        {"FROM:<a@b> SIZE=1x", ALL, ST_SYNTAX, "Bad value: expected SIZE=number"},
        {"FROM:<a@b> SIZE=1 SIZE=1", ALL, ST_SYNTAX, "Parameter SIZE was given twice"},
        {"FROM:<a@b> SIZE=1", 0, ST_UNSUPPORTED, "Parameter SIZE is not recognised"},
        {"FROM:<a@b> FOO=1", ALL, ST_UNSUPPORTED, "Parameter FOO is not recognised"},
        {"FROM:<a@b> NOTIFY=NEVER", ALL, ST_UNSUPPORTED, "Parameter NOTIFY is not recognised"},
        {"FROM:<a@b> BODY=BINARYMIME", ALL, ST_SYNTAX, "Bad value: expected BODY=7BIT, 8BITMIME or (with BDAT) BINARYMIME"},
        {"FROM:<a@b> AUTH=<> RET=HDRS ENVID=a+2Bb", ALL, ST_OK, ""},
        {"FROM:<a@b> AUTH=x+00", ALL, ST_SYNTAX, "Bad value: expected AUTH=address in xtext, or AUTH=<>"},
        {"FROM:<a@b> ENVID=a+0Ab", ALL, ST_SYNTAX, "Bad value: expected ENVID=xtext of at most 100 characters"},
        {"FROM:<a@b> ENVID=a+0ab", ALL, ST_SYNTAX, "Bad value: expected ENVID=xtext of at most 100 characters"},
        {"FROM:<a@b> SMTPUTF8", ALL, ST_UNSUPPORTED, "Parameter SMTPUTF8 is not recognised"},
        {"FROM:<\xc3\xb1@b> SMTPUTF8", ALL | SMTP_OFFER_UTF8, ST_OK, ""},
        {"FROM:<\xc3\xb1@b>", ALL | SMTP_OFFER_UTF8, ST_SYNTAX, "Bad address after FROM: expected <local@domain>"},
        {"FROM:<a@b>SIZE=1", ALL, ST_SYNTAX, "Space expected after the address"},
        {"FROM:<a@b> =1", ALL, ST_SYNTAX, "Parameter expected after the address"},
        {"FROM:a@b", ALL, ST_SYNTAX, "Bad address after FROM: expected <local@domain>"},
        {"TO:<a@b>", ALL, ST_SYNTAX, "Expected FROM:<address>"},
        {"", ALL, ST_SYNTAX, "Expected FROM:<address>"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_mail mail = {0};
        struct err err = {0};

        CHECK_INT(i, smtp_mail_parse(slice_of(cases[i].in), cases[i].offered, &mail, &err), cases[i].want);
        CHECK_SLICE(i, slice_of(err.text), cases[i].why);
    }
}

TEST(mail_values)
{
    struct smtp_mail mail;

    CHECK_INT(0, smtp_mail_parse(SLICE("FROM:<a@b> SIZE=77 BODY=8bitmime AUTH=u+3Dv RET=FULL ENVID=e"), ALL, &mail, NULL), ST_OK);
    CHECK_SLICE(0, mail.from.local, "a");
    CHECK_SLICE(0, mail.from.domain, "b");
    CHECK(0, mail.has_size && mail.size == 77 && mail.body == SMTP_BODY_8BITMIME && mail.ret == SMTP_RET_FULL);
    CHECK_SLICE(0, mail.auth, "u+3Dv");
    CHECK_SLICE(0, mail.envid, "e");
}

TEST(rcpt)
{
    static const struct {
        const char *in;
        enum status want;
        uint32_t notify;
        const char *type, *orcpt;
    } cases[] = {
        {"TO:<a@b>", ST_OK, 0, "", ""},
        {"TO:<Postmaster>", ST_OK, 0, "", ""},
        {"TO:<>", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> NOTIFY=NEVER", ST_OK, SMTP_NOTIFY_NEVER, "", ""},
        {"TO:<a@b> NOTIFY=success,DELAY", ST_OK, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY, "", ""},
        {"TO:<a@b> NOTIFY=NEVER,DELAY", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> NOTIFY=", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> NOTIFY=DELAY,", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> ORCPT=rfc822;a+2Bc@d", ST_OK, 0, "rfc822", "a+2Bc@d"},
        {"TO:<a@b> ORCPT=rfc822;a+00", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> ORCPT=rfc822;a+0D+0A", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> ORCPT=rfc822;a+", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> ORCPT=rfc822;", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> ORCPT=a@b", ST_SYNTAX, 0, "", ""},
        {"TO:<a@b> SIZE=1", ST_UNSUPPORTED, 0, "", ""},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct smtp_rcpt rcpt = {0};

        CHECK_INT(i, smtp_rcpt_parse(slice_of(cases[i].in), ALL, false, &rcpt, NULL), cases[i].want);
        CHECK_INT(i, rcpt.notify, cases[i].notify);
        CHECK_SLICE(i, rcpt.orcpt_type, cases[i].type);
        CHECK_SLICE(i, rcpt.orcpt, cases[i].orcpt);
    }
}

TEST(xtext)
{
    AUTO_BUF coded = BUF_INIT(100), plain = BUF_INIT(100);

    smtp_xtext_put(&coded, SLICE("a+b=c d~"));
    CHECK_SLICE(0, buf_slice(&coded), "a+2Bb+3Dc+20d~");
    CHECK_INT(0, smtp_unxtext(&plain, buf_slice(&coded)), ST_OK);
    CHECK_SLICE(0, buf_slice(&plain), "a+b=c d~");
    CHECK_INT(1, smtp_unxtext(&plain, SLICE("a+FF")), ST_SYNTAX);
    CHECK_INT(2, smtp_unxtext(&plain, SLICE("a=b")), ST_SYNTAX);
}

TEST_MAIN(split, helo, mail, mail_values, rcpt, xtext)
