#include "smtpserver/talk.h"

TEST(conversations)
{
    static const struct {
        struct slice in;
        const char *want;
        const char *stored;
    } cases[] = {
        {S(H M R D "x\r\n.\r\n" Q),                                                    "220 250 250 250 354 250 221",                 "x\r\n" },
        {S(H M R D "..x\r\n.\r\n" M R D ".\r\n" Q),                                    "220 250 250 250 354 250 250 250 354 250 221", ".x\r\n"},
        {S("HELO c\r\n" M R D "x\r\n.\r\n" Q),                                         "220 250 250 250 354 250 221",                 "x\r\n" },
        {S(M Q),                                                                       "220 503 221",                                 ""      },
        {S(H R D Q),                                                                   "220 250 503 503 221",                         ""      },
        {S(H M M D Q),                                                                 "220 250 250 503 554 221",                     ""      },
        {S(H M "EHLO c\r\n" R Q),                                                      "220 250 250 503 250 221",                     ""      }, /* EHLO must be last: RFC 2920 3.1 */
        {S(H M "RSET\r\n" R Q),                                                        "220 250 250 250 503 221",                     ""      },
        {S(H "MAIL FROM:<a@b> SIZE=1001\r\n"
             "MAIL FROM:<a@b> X=1\r\n"
             "MAIL FROM:a\r\n" Q),
         "220 250 552 555 501 221",                                                                                                   ""      },
        {S(H M "RCPT TO:<x@elsewhere>\r\nRCPT TO:<nobody@here>\r\nRCPT TO:<full@here>\r\nRCPT "
               "TO:<broken@here>\r\n" Q),
         "220 250 250 550 550 452 451 221",                                                                                           ""      },
        {S(H M "RCPT TO:<\"usr 2\"@here>\r\nRCPT TO:<postmaster>\r\n" R Q),            "220 250 250 250 250 452 221",
         ""                                                                                                                                   },
        {S(H "VRFY\r\nVRFY a\r\nNOOP x\r\nHELP\r\nFOO\r\nDATA x\r\nAUTH PLAIN\r\n" Q),
         "220 250 501 252 250 214 500 503 502 221",                                                                                   ""      },
        {S(H M R "DATA now\r\n" Q),                                                    "220 250 250 250 501 221",                     ""      },
        {S("NOOP\n" H Q),                                                              "220 500 221",                                 ""      }, /* a bare LF ends nothing: one bad line */
        {S("NOOP a\0b\r\n" Q),                                                         "220 500 221",                                 ""      },
        {S("STARTTLS\r\n" Q),                                                          "220 503 221",                                 ""      },
        {S(H "STARTTLS\r\n" M),                                                        "220 250 503 250",                             ""      }, /* bytes behind it would be injected into TLS */
        {S("F\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\nF\r\n"),
         "220 500 500 500 500 500 500 500 500 500 421",                                                                               ""      },
 /* smuggling: refused whole, after the true end, and nothing inside was a command */
        {S(H M R D "x\n.\n" M R D "y\r\n.\r\n" Q),                                     "220 250 250 250 354 550 221",                 ""      },
        {S(H M R D "x\n.\r\n" M "y\r\n.\r\n" Q),                                       "220 250 250 250 354 550 221",                 ""      },
        {S(H M R D "x\r\n.\n" M "y\r\n.\r\n" Q),                                       "220 250 250 250 354 550 221",                 ""      },
        {S(H M R D "x\r.\r" M "y\r\n.\r\n" Q),                                         "220 250 250 250 354 550 221",                 ""      },
        {S(H M R D "x\r\n.\r" M "y\r\n.\r\n" Q),                                       "220 250 250 250 354 550 221",                 ""      },
        {S(H M R D "x\r\r\n.\r\r\n" M "y\r\n.\r\n" Q),                                 "220 250 250 250 354 550 221",                 ""      },
        {S(H M R D "x\0\r\n.\r\n" Q),                                                  "220 250 250 250 354 550 221",                 ""      },
 /* a refused message resets the transaction: the next one needs its own recipients */
        {S(H M R D "x\n.\r\n\r\n.\r\n" D M D R D "z\r\n.\r\n" Q),
         "220 250 250 250 354 550 503 250 554 250 354 250 221",                                                                       "z\r\n" },
        {S(H M R D "no end"),                                                          "220 250 250 250 354",                         ""      },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_SLICE(i, slice_of(talk_codes(talk(&talk_policy, cases[i].in, WHOLE))), cases[i].want);
        CHECK_SLICE(i, talk_stored(), cases[i].stored);
    }
}

TEST(byte_by_byte)
{
    static const struct slice in = S(H M R D "x\n.\r\n.\r\n" M R D "..y\r\n.\r\n" Q);

    CHECK_SLICE(0, slice_of(talk_codes(talk(&talk_policy, in, BYTES))),
                "220 250 250 250 354 550 250 250 354 250 221");
    CHECK_SLICE(0, talk_stored(), ".y\r\n");
}

TEST(too_large)
{
    AUTO_BUF in = BUF_INIT(65536);

    for (int big = 0; big < 2; big++) { /* past the limit: 552; far past it: the session ends */
        buf_clear(&in);
        buf_puts(&in, H M R D);
        for (int i = 0; i < (big ? 1000 : 150); i++)
            buf_puts(&in, "12345678\r\n");
        buf_puts(&in, ".\r\n" Q);
        CHECK_SLICE(big, slice_of(talk_codes(talk(&talk_policy, buf_slice(&in), LINES))),
                    big ? "220 250 250 250 354 421" : "220 250 250 250 354 552 221");
        CHECK_INT(big, talk_stored().n, 0);
    }
}

/* Whatever the store fails with, the sender must try again: nothing permanent. */
TEST(store_fails)
{
    for (int st = 1; st < ST_COUNT; st++) {
        struct slice replies;
        const char *got;

        talk_deliver_says = (enum status)st;
        replies = talk(&talk_policy, (struct slice)S(H M R D "x\r\n.\r\n" Q), WHOLE);
        got = talk_codes(replies);
        CHECK(st, got[20] == '4');
        talk_deliver_says = ST_OK;
        talk_begin_says = (enum status)st;
        got = talk_codes(talk(&talk_policy, (struct slice)S(H M R D Q), WHOLE));
        CHECK(st, got[16] == '4');
        talk_begin_says = ST_OK;
    }
}

TEST(submission)
{
    struct smtp_policy policy = talk_policy;

    policy.submission = true;
    CHECK_SLICE(0, slice_of(talk_codes(talk(&policy, (struct slice)S(H M "AUTH PLAIN Z29vZA==\r\n"), LINES))),
                "220 250 530 538");
    policy.plaintext_auth = true;
    CHECK_SLICE(1,
                slice_of(talk_codes(
                    talk(&policy, (struct slice)S(H "AUTH PLAIN Z29vZA==\r\n" M R D "x\r\n.\r\n" Q), LINES))),
                "220 250 235 250 250 354 250 221");
    CHECK_SLICE(
        2,
        slice_of(talk_codes(talk(
            &policy, (struct slice)S(H "AUTH PLAIN YmFk\r\nAUTH PLAIN ?\r\nAUTH X\r\nAUTH\r\n" M Q), LINES))),
        "220 250 535 501 504 501 530 221");
    CHECK_SLICE(
        3,
        slice_of(talk_codes(
            talk(&policy, (struct slice)S(H "AUTH PLAIN\r\n*\r\nAUTH PLAIN\r\nZ29vZA==\r\nAUTH PLAIN\r\n" Q),
                 LINES))),
        "220 250 334 501 334 235 503 221");
}

TEST(starttls_and_silence)
{
    struct slice got;
    AUTO_BUF line = BUF_INIT(8192);

    (void)talk(&talk_policy, (struct slice)S(H "STARTTLS\r\n"), LINES);
    CHECK_INT(0, talk_handed, 1);
    for (int i = 0; i < 3000; i++)
        buf_putc(&line, 'A');
    got = talk(&talk_policy, buf_slice(&line), WHOLE);
    CHECK_SLICE(1, slice_of(talk_codes(got)), "220 500 421");
}

TEST_MAIN(conversations, byte_by_byte, too_large, store_fails, submission, starttls_and_silence)
