#include "pop3/reply.h"

#include "base/test.h"

TEST(lines)
{
    AUTO_BUF out = BUF_INIT(4096);

    pop3_put_ok(&out, SLICE("ready"));
    pop3_put_ok(&out, SLICE(""));
    pop3_put_err(&out, NULL, SLICE("a\r\n+OK b\xc3"));
    pop3_put_err(&out, "AUTH", SLICE("no"));
    pop3_put_challenge(&out, SLICE(""));
    pop3_put_challenge(&out, SLICE("YQ=="));
    pop3_put_stat(&out, 2, 5000000000);
    pop3_put_list(&out, true, 1, 120);
    pop3_put_list(&out, false, 2, 0);
    pop3_put_uidl(&out, true, 1, SLICE("9.1"));
    pop3_put_uidl(&out, false, 4294967295, SLICE("9.2"));
    pop3_put_end(&out);
    CHECK(0, buf_ok(&out));
    CHECK_SLICE(0, buf_slice(&out),
                "+OK ready\r\n+OK\r\n-ERR a??+OK b?\r\n-ERR [AUTH] no\r\n+ \r\n+ YQ==\r\n"
                "+OK 2 5000000000\r\n+OK 1 120\r\n2 0\r\n+OK 1 9.1\r\n4294967295 9.2\r\n.\r\n");
}

TEST(cut)
{
    static char text[2 * POP3_REPLY_MAX];
    AUTO_BUF out = BUF_INIT(4096);

    memset(text, 'x', sizeof text);
    pop3_put_err(&out, "SYS/TEMP", slice_from(text, sizeof text));
    CHECK_INT(0, out.n, POP3_REPLY_MAX);
    CHECK(0, slice_has_suffix_nocase(buf_slice(&out), SLICE("x\r\n")));
}

TEST(statuses)
{
    for (enum status st = 1; st < ST_COUNT; st++) {
        AUTO_BUF out = BUF_INIT(4096);

        pop3_put_status(&out, st);
        CHECK(st, slice_has_prefix(buf_slice(&out), SLICE("-ERR ")));
        CHECK(st, out.n <= POP3_REPLY_MAX);
    }
    CHECK_SLICE(0, slice_of(pop3_reply_of(ST_DENIED)->code), "AUTH");
    CHECK_SLICE(1, slice_of(pop3_reply_of(ST_UNKNOWN)->code), "SYS/TEMP");
    CHECK_SLICE(2, slice_of(pop3_reply_of((enum status)999)->code), "SYS/TEMP");
}

TEST(capa)
{
    AUTO_BUF out = BUF_INIT(4096);
    struct pop3_capa capa = {.stls = true, .mechanisms = SLICE("PLAIN SCRAM-SHA-256")};

    pop3_put_capa(&out, &capa);
    CHECK(0, slice_has_prefix(buf_slice(&out), SLICE("+OK ")));
    CHECK(0, slice_has_suffix_nocase(buf_slice(&out), SLICE("\r\n.\r\n")));
    CHECK(0, slice_find_slice(buf_slice(&out), SLICE("\r\nSTLS\r\n")) < out.n);
    CHECK(0, slice_find_slice(buf_slice(&out), SLICE("\r\nSASL PLAIN SCRAM-SHA-256\r\n")) < out.n);
    CHECK(0, slice_find_slice(buf_slice(&out), SLICE("\r\nUSER\r\n")) == out.n);
    buf_clear(&out);
    capa = (struct pop3_capa){.user = true};
    pop3_put_capa(&out, &capa);
    CHECK(1, slice_find_slice(buf_slice(&out), SLICE("\r\nUSER\r\n")) < out.n);
    CHECK(1, slice_find_slice(buf_slice(&out), SLICE("SASL")) == out.n);
    CHECK(1, slice_find_slice(buf_slice(&out), SLICE("STLS")) == out.n);
}

TEST(lang) /* RFC 6856 3 */
{
    AUTO_BUF out = BUF_INIT(4096);

    CHECK(0, pop3_put_lang(&out, SLICE("")) && pop3_put_lang(&out, SLICE("EN")) && pop3_put_lang(&out, SLICE("*")));
    CHECK(1, !pop3_put_lang(&out, SLICE("es")) && pop3_put_lang(&out, SLICE("i-default")));
    CHECK_SLICE(2, buf_slice(&out),
                "+OK Languages follow\r\nen English\r\ni-default English\r\n.\r\n+OK en Language set\r\n"
                "+OK en Language set\r\n-ERR No such language; LANG alone lists them\r\n+OK i-default Language set\r\n");
    buf_clear(&out);
    pop3_put_capa(&out, &(struct pop3_capa){.utf8 = true, .login_delay = 60});
    CHECK(3, slice_find_slice(buf_slice(&out), SLICE("\r\nUTF8 USER\r\nLANG\r\nLOGIN-DELAY 60\r\n")) < out.n);
}

TEST_MAIN(lines, cut, statuses, capa, lang)
