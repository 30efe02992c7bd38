/*
 * Conversations with the session engine, named by the section of the standard that they hold it to. What a
 * row says goes out line by line, as from a client that waits, unless the test says otherwise.
 */
#include "smtpserver/talk.h"

struct conversation {
    const char *section;
    struct slice in;
    const char *codes;  /* of all replies */
    const char *has;    /* in the replies; NULL: not looked for */
    const char *stored; /* all bodies */
};

static void
converse(const struct smtp_policy *policy, const struct conversation *rows, size_t n, enum pace pace)
{
    for (size_t i = 0; i < n; i++) {
        struct slice got = talk(policy, rows[i].in, pace);
        const char *codes = talk_codes(got);

        if (!slice_eq(slice_of(codes), slice_of(rows[i].codes)))
            fail_msg("%s: row %zu: codes are \"%s\", wanted \"%s\" in\n%.*s", rows[i].section, i, codes,
                     rows[i].codes, SLICE_ARG(got));
        if (rows[i].has != NULL && slice_find_slice(got, slice_of(rows[i].has)) == got.n)
            fail_msg("%s: row %zu: no \"%s\" in\n%.*s", rows[i].section, i, rows[i].has, SLICE_ARG(got));
        if (!slice_eq(talk_stored(), slice_of(rows[i].stored)))
            fail_msg("%s: row %zu: stored \"%.*s\", wanted \"%s\"", rows[i].section, i,
                     SLICE_ARG(talk_stored()), rows[i].stored);
    }
}

#define CONVERSE(policy, rows) converse((policy), (rows), COUNT(rows), LINES)

#define T       "Subject: x\r\n\r\ntext\r\n"
#define LETTERS "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl" /* 64 */
#define LABEL   "a23456789012345678901234567890123456789012345678901234567890123"  /* 63 */

TEST(greeting_and_hello)
{
    static const struct conversation rows[] = {
        {"RFC 5321 3.1",     S(Q),                                                                  "220 221",                     "220 mx.here ESMTP",                  ""},
        {"RFC 5321 3.2",     S("EHLO bar.com\r\n" Q),                                               "220 250 221",                 "250-mx.here\r\n",                    ""},
        {"RFC 5321 4.1.1.1", S("HELO bar.com\r\n" Q),                                               "220 250 221",                 "250 mx.here\r\n",                    ""},
        {"RFC 5321 4.1.1.1", S("EHLO\r\n" Q),                                                       "220 501 221",                 "501 5.5.4",                          ""},
        {"RFC 5321 4.1.1.1", S("HELO a b\r\n" Q),                                                   "220 501 221",                 "501 5.5.4",                          ""},
        {"RFC 5321 4.1.3",   S("EHLO [192.0.2.1]\r\n" Q),                                           "220 250 221",                 NULL,                                 ""},
        {"RFC 5321 4.1.3",   S("EHLO [IPv6:2001:db8::1]\r\n" Q),                                    "220 250 221",                 NULL,                                 ""},
        {"RFC 5321 2.4",
         S("eHlO bar.com\r\nmail from:<a@b>\r\nrcpt TO:<usr1@here>\r\ndata\r\n" T ".\r\nquit\r\n"),
         "220 250 250 250 354 250 221",                                                                                            NULL,                                 T },
        {"RFC 5321 4.1.4",   S(H M R H R Q),                                                        "220 250 250 250 250 503 221", "503 5.5.1 Need MAIL",                ""},
        {"RFC 5321 4.1.4",   S(H "EHLO\r\n" M R Q),                                                 "220 250 501 250 250 221",     NULL,
         ""                                                                                                                                                                }, /* the first one stays good */
        {"RFC 5321 4.1.4",   S("NOOP\r\nRSET\r\nHELP\r\nVRFY x\r\n" Q),                             "220 250 250 214 252 221",     NULL,                                 ""},
        {"RFC 5321 4.1.4",   S(M R D Q),                                                            "220 503 503 503 221",         "503 5.5.1 Say EHLO",                 ""},
        {"RFC 2034 4",       S(H M Q),                                                              "220 250 250 221",             "250 2.1.0 ",                         ""},
        {"RFC 2034 3",       S(H Q),                                                                "220 250 221",                 "250 ENHANCEDSTATUSCODES\r\n",        ""},
        {"RFC 1870 3",       S(H Q),                                                                "220 250 221",                 "250-SIZE 1000\r\n",                  ""},
        {"RFC 6152 2",       S(H Q),                                                                "220 250 221",                 "250-8BITMIME\r\n",                   ""},
        {"RFC 2920 2",       S(H Q),                                                                "220 250 221",                 "250-PIPELINING\r\n",                 ""},
        {"RFC 3030 2",       S(H Q),                                                                "220 250 221",                 "250-CHUNKING\r\n250-BINARYMIME\r\n", ""},
        {"RFC 6531 3.1",     S(H Q),                                                                "220 250 221",                 "250-SMTPUTF8\r\n",                   ""},
        {"RFC 3461 4",       S(H Q),                                                                "220 250 221",                 "250-DSN\r\n",                        ""},
        {"RFC 9422 3",       S(H Q),                                                                "220 250 221",                 "250-LIMITS RCPTMAX=2\r\n",           ""},
        {"RFC 3207 4",       S(H Q),                                                                "220 250 221",                 "250-STARTTLS\r\n",                   ""},
        {"RFC 5321 2.2.1",   S("HELO c\r\nMAIL FROM:<a@b> SIZE=1\r\n" Q),                           "220 250 555 221",             "555 5.5.4",                          ""},
    };

    CONVERSE(&talk_policy, rows);
}

TEST(commands)
{
    static const struct conversation rows[] = {
        {"RFC 5321 4.2.4",    S("XYZZY\r\n" Q),                                                 "220 500 221",                             "500 5.5.2",                          ""     },
        {"RFC 5321 4.2.4",
         S("ETRN here\r\nTURN\r\nSEND FROM:<a@b>\r\nSAML FROM:<a@b>\r\nSOML FROM:<a@b>\r\n" Q),
         "220 502 502 502 502 502 221",                                                                                                    "502 5.5.1",                          ""     },
        {"RFC 5321 4.1.1.5",  S(H M R "RSET\r\n" D M R D T ".\r\n" Q),
         "220 250 250 250 250 503 250 250 354 250 221",                                                                                    NULL,                                 T      },
        {"RFC 5321 4.1.1.5",  S(H M "RSET now\r\n" R Q),                                        "220 250 250 501 250 221",                 "501 5.5.4",                          ""     },
        {"RFC 5321 4.1.1.9",  S("NOOP\r\nNOOP whatever this is\r\n" Q),                         "220 250 250 221",                         "250 2.0.0",                          ""     },
        {"RFC 5321 4.1.1.6",  S("VRFY usr1\r\nVRFY nobody\r\nVRFY\r\n" Q),                      "220 252 252 501 221",                     "252 2.5.2",
         ""                                                                                                                                                                             },
        {"RFC 5321 4.1.1.7",  S("EXPN list\r\nEXPN\r\n" Q),                                     "220 502 501 221",                         "502 5.7.0",                          ""     },
        {"RFC 5321 4.1.1.8",  S("HELP\r\n" Q),                                                  "220 214 221",
         "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY EXPN HELP QUIT",                                                                                                ""     },
        {"RFC 5321 4.1.1.8",  S("HELP mail\r\n" Q),                                             "220 214 221",
         "MAIL FROM:<address> [parameters] (RFC 5321 4.1.1.2)",                                                                                                                  ""     },
        {"RFC 5321 4.1.1.8",  S("HELP weather\r\nHELP ETRN\r\n" Q),                             "220 504 504 221",                         "504 5.5.4",                          ""     },
        {"RFC 5321 4.1.1.10", S("QUIT please\r\n" Q),                                           "220 501 221",                             NULL,                                 ""     },
        {"RFC 5321 4.1.1.10", S(Q H),                                                           "220 221",                                 NULL,                                 ""     }, /* nothing is answered behind it */
        {"RFC 5321 4.1.1.10", S(H M R D "x\r\n.\r\n" H M R Q),                                  "220 250 250 250 354 250 250 250 250 221",
         NULL,                                                                                                                                                                   "x\r\n"},
        {"RFC 5321 4.1.1",    S("NOOP  \t \r\nQUIT \t\r\n"),                                    "220 250 221",                             NULL,
         ""                                                                                                                                                                             }, /* space at the end is let pass */
        {"RFC 5321 4.1.1",    S(" NOOP\r\n" Q),                                                 "220 500 221",                             NULL,                                 ""     },
        {"RFC 5321 2.3.8",    S("NOOP\n" Q Q),                                                  "220 500 221",                             NULL,                                 ""     },
        {"RFC 5321 2.3.8",    S("NOOP\r" Q Q),                                                  "220 500 221",                             NULL,                                 ""     },
        {"RFC 5321 4.1.2",    S("NO\0OP\r\n" Q),                                                "220 500 221",                             NULL,                                 ""     },
        {"RFC 5321 3.5.3",    S(H M "VRFY x\r\nHELP\r\nNOOP\r\n" R D "x\r\n.\r\n" Q),
         "220 250 250 252 214 250 250 354 250 221",                                                                                        NULL,                                 "x\r\n"},
        {"RFC 9110 9.3",      S("GET / HTTP/1.1\r\n" M),                                        "220 421",                                 "421 4.7.0 mx.here That is not SMTP", ""     },
        {"RFC 9110 9.3",      S("POST / HTTP/1.1\r\nHost: x\r\n\r\n" H M R D),                  "220 421",                                 NULL,                                 ""     },
        {"RFC 3207 4",        S("STARTTLS\r\n" H M "STARTTLS\r\nRSET\r\nSTARTTLS now\r\n" Q),
         "220 503 250 250 503 250 501 221",                                                                                                NULL,                                 ""     },
        {"RFC 4954 4",        S(H "AUTH PLAIN\r\n" Q),                                          "220 250 502 221",                         NULL,                                 ""     }, /* not on port 25 */
    };

    CONVERSE(&talk_policy, rows);
}

TEST(sequence)
{
    static const struct conversation rows[] = {
        {"RFC 5321 3.3",     S(H R Q),                                                "220 250 503 221",                 "503 5.5.1 Need MAIL",          ""          },
        {"RFC 5321 3.3",     S(H D Q),                                                "220 250 503 221",                 "503 5.5.1 Need MAIL and RCPT", ""          },
        {"RFC 5321 3.3",     S(H M D Q),                                              "220 250 250 554 221",             "554 5.5.1 No valid",           ""          },
        {"RFC 5321 3.3",     S(H M M R D "x\r\n.\r\n" Q),                             "220 250 250 503 250 354 250 221", "503 5.5.1 Sender",
         "x\r\n"                                                                                                                                                     },
        {"RFC 5321 3.3",     S(H M R M D "x\r\n.\r\n" Q),                             "220 250 250 250 503 354 250 221", NULL,                           "x\r\n"     },
        {"RFC 5321 3.3",     S(H M "RCPT TO:<nobody@here>\r\n" D R D "x\r\n.\r\n" Q),
         "220 250 250 550 554 250 354 250 221",                                                                          NULL,                           "x\r\n"     },
        {"RFC 5321 4.1.1.4", S(H M R D "x\r\n.\r\n" D R M R D "y\r\n.\r\n" Q),
         "220 250 250 250 354 250 503 503 250 250 354 250 221",                                                          NULL,                           "x\r\ny\r\n"},
        {"RFC 5321 4.1.1.4", S(H M R "DATA x\r\n" D ".\r\n" Q),                       "220 250 250 250 501 354 250 221", NULL,                           ""          },
        {"RFC 5321 4.5.2",   S(H M R D "..\r\n...\r\n.x\r\n.\r\n" Q),                 "220 250 250 250 354 250 221",     NULL,
         ".\r\n..\r\nx\r\n"                                                                                                                                          },
        {"RFC 5321 4.1.1.4", S(H M R D "QUIT\r\nRSET\r\n.\r\n" Q),                    "220 250 250 250 354 250 221",     NULL,
         "QUIT\r\nRSET\r\n"                                                                                                                                          },
        {"RFC 5321 4.1.1.4", S(H M R D "lost"),                                       "220 250 250 250 354",             NULL,                           ""          },
        {"RFC 5321 7.8",     S(H M R D "\r\n.\r\n" Q),                                "220 250 250 250 354 250 221",
         "Message accepted for delivery",                                                                                                                "\r\n"      },
    };

    CONVERSE(&talk_policy, rows);
}

TEST(addresses)
{
    static const struct conversation rows[] = {
        {"RFC 5321 4.5.5",      S(H "MAIL FROM:<>\r\n" R D "x\r\n.\r\n" Q),                              "220 250 250 250 354 250 221", NULL,
         "x\r\n"                                                                                                                                                                },
        {"RFC 5321 3.3",        S(H "MAIL FROM: <a@b>\r\nRCPT TO:  <usr1@here>\r\n" Q),                  "220 250 250 250 221",         NULL,
         ""                                                                                                                                                                     },
        {"RFC 5321 4.1.1.2",
         S(H "MAIL <a@b>\r\nMAIL FROM:a@b\r\nMAIL FROM:<a@b\r\nMAIL\r\nMAIL TO:<a@b>\r\n" Q),
         "220 250 501 501 501 501 501 221",                                                                                             "501 5.1.7",                     ""     },
        {"RFC 5321 4.1.1.3",
         S(H M "RCPT <a@b>\r\nRCPT TO:a@b\r\nRCPT TO:<>\r\nRCPT\r\nRCPT FROM:<a@b>\r\n" Q),
         "220 250 250 501 501 501 501 501 221",                                                                                         "501 5.1.3",                     ""     },
        {"RFC 5321 4.5.1",      S(H M "RCPT TO:<Postmaster>\r\nRCPT TO:<POSTMASTER@here>\r\n" Q),
         "220 250 250 250 250 221",                                                                                                     NULL,                            ""     },
        {"RFC 5321 C",          S(H M "RCPT TO:<@one.example,@two.example:usr1@here>\r\n" Q),            "220 250 250 250 221",
         NULL,                                                                                                                                                           ""     },
        {"RFC 5321 F.2",        S(H "MAIL FROM:<@one.example:a@b>\r\n" R Q),                             "220 250 250 250 221",         NULL,                            ""     },
        {"RFC 5321 C",
         S(H M "RCPT TO:<@one.example,@two.example usr1@here>\r\nRCPT TO:<@one.example:>\r\n" Q),
         "220 250 250 501 501 221",                                                                                                     NULL,                            ""     },
        {"RFC 5321 4.1.2",      S(H M "RCPT TO:<\"usr 2\"@here>\r\nRCPT TO:<\"us\\r1\"@here>\r\n" Q),
         "220 250 250 250 250 221",                                                                                                     NULL,                            ""     },
        {"RFC 5321 4.1.2",
         S(H M "RCPT TO:<\"\"@here>\r\nRCPT TO:<\"a@here>\r\nRCPT TO:<a b@here>\r\nRCPT "
               "TO:<a..b@here>\r\nRCPT TO:<.a@here>\r\n" Q),
         "220 250 250 501 501 501 501 501 221",                                                                                         NULL,                            ""     },
        {"RFC 5321 4.1.3",      S(H M "RCPT TO:<usr1@[192.0.2.1]>\r\n" Q),                               "220 250 250 250 221",         NULL,                            ""     },
        {"RFC 5321 4.1.3",
         S(H M "RCPT TO:<a@[300.0.2.1]>\r\nRCPT TO:<a@[192.0.2.1>\r\nRCPT TO:<a@[IPv6:x]>\r\n" Q),
         "220 250 250 501 501 501 221",                                                                                                 NULL,                            ""     },
        {"RFC 5321 4.1.2",
         S(H M "RCPT TO:<a@-x>\r\nRCPT TO:<a@x->\r\nRCPT TO:<a@x..y>\r\nRCPT TO:<a@>\r\n" Q),
         "220 250 250 501 501 501 501 221",                                                                                             NULL,                            ""     },
        {"RFC 5321 4.5.3.1.1",
         S(H M "RCPT TO:<" LETTERS "@elsewhere>\r\nRCPT TO:<" LETTERS "x@elsewhere>\r\n" Q),
         "220 250 250 550 501 221",                                                                                                     "501 5.1.3 Address is too long", ""     },
        {"RFC 5321 4.5.3.1.2",  S(H M "RCPT TO:<a@" LABEL "." LABEL "." LABEL "." LABEL ".x>\r\n" Q),
         "220 250 250 501 221",                                                                                                         NULL,                            ""     },
        {"RFC 1035 2.3.4",      S(H M "RCPT TO:<a@" LABEL "4.elsewhere>\r\n" Q),                         "220 250 250 501 221",         NULL,                            ""     },
        {"RFC 5321 3.6.2",      S(H M "RCPT TO:<a@elsewhere>\r\n" Q),                                    "220 250 250 550 221",
         "550 5.7.1 Relaying denied",                                                                                                                                    ""     },
        {"RFC 5321 3.4",        S(H M "RCPT TO:<nobody@here>\r\n" Q),                                    "220 250 250 550 221",         "550 5.1.1",                     ""     },
        {"RFC 3463 3.3",        S(H M "RCPT TO:<full@here>\r\n" Q),                                      "220 250 250 452 221",         "452 4.2.2",                     ""     },
        {"RFC 5321 4.5.3.1.10", S(H M R "RCPT TO:<postmaster>\r\n" R D "x\r\n.\r\n" Q),
         "220 250 250 250 250 452 354 250 221",                                                                                         "452 4.5.3",                     "x\r\n"},
        {"RFC 5321 4.1.1.3",    S(H M "RCPT TO:<a%elsewhere@here>\r\nRCPT TO:<elsewhere!a@here>\r\n" Q),
         "220 250 250 550 550 221",                                                                                                     NULL,                            ""     },
    };

    CONVERSE(&talk_policy, rows);
}

TEST(parameters)
{
    static const struct conversation rows[] = {
        {"RFC 1870 6.1",      S(H "MAIL FROM:<a@b> SIZE=1000\r\n" R Q),                                            "220 250 250 250 221", NULL,        ""        },
        {"RFC 1870 6.1",      S(H "MAIL FROM:<a@b> SIZE=1001\r\n" R Q),                                            "220 250 552 503 221", "552 5.3.4", ""        },
        {"RFC 1870 4",
         S(H "MAIL FROM:<a@b> SIZE=\r\nMAIL FROM:<a@b> SIZE=x\r\nMAIL FROM:<a@b> "
             "SIZE=123456789012345678901\r\n" Q),
         "220 250 501 501 501 221",                                                                                                       NULL,        ""        },
        {"RFC 6152 3",
         S(H "MAIL FROM:<a@b> BODY=8BITMIME\r\nRSET\r\nMAIL FROM:<a@b> BODY=7bit\r\nRSET\r\nMAIL FROM:<a@b> "
             "BODY=9BIT\r\n" Q),
         "220 250 250 250 250 250 501 221",                                                                                               NULL,        ""        },
        {"RFC 6152 3",        S(H "MAIL FROM:<a@b> BODY=8BITMIME\r\n" R D "\xe9\r\n.\r\n" Q),
         "220 250 250 250 354 250 221",                                                                                                   NULL,        "\xe9\r\n"},
        {"RFC 5321 4.1.1.11",
         S(H "MAIL FROM:<a@b> FOO=1\r\nMAIL FROM:<a@b> FOO\r\n" M "RCPT TO:<usr1@here> FOO\r\n" Q),
         "220 250 555 555 250 555 221",                                                                                                   "555 5.5.4", ""        },
        {"RFC 5321 4.1.2",
         S(H "MAIL FROM:<a@b> SIZE=1 SIZE=1\r\nMAIL FROM:<a@b> =1\r\nMAIL FROM:<a@b>SIZE=1\r\n" Q),
         "220 250 501 501 501 221",                                                                                                       NULL,        ""        },
        {"RFC 3461 4.3",
         S(H "MAIL FROM:<a@b> RET=FULL\r\nRSET\r\nMAIL FROM:<a@b> RET=HDRS\r\nRSET\r\nMAIL FROM:<a@b> "
             "RET=NONE\r\n" Q),
         "220 250 250 250 250 250 501 221",                                                                                               NULL,        ""        },
        {"RFC 3461 4.4",
         S(H "MAIL FROM:<a@b> ENVID=QQ314159\r\nRSET\r\nMAIL FROM:<a@b> ENVID=\r\nMAIL FROM:<a@b> "
             "ENVID=a+00\r\nMAIL FROM:<a@b> ENVID=a+0D+0A\r\n" Q),
         "220 250 250 250 501 501 501 221",                                                                                               NULL,        ""        },
        {"RFC 3461 4.1",
         S(H M "RCPT TO:<usr1@here> NOTIFY=SUCCESS,FAILURE,DELAY\r\nRCPT TO:<postmaster> NOTIFY=never\r\n" Q),
         "220 250 250 250 250 221",                                                                                                       NULL,        ""        },
        {"RFC 3461 4.1",
         S(H M "RCPT TO:<usr1@here> NOTIFY=NEVER,DELAY\r\nRCPT TO:<usr1@here> NOTIFY=\r\nRCPT TO:<usr1@here> "
               "NOTIFY=SUCCESS,\r\nRCPT TO:<usr1@here> NOTIFY=NEVER NOTIFY=NEVER\r\n" Q),
         "220 250 250 501 501 501 501 221",                                                                                               "501 5.1.3", ""        },
        {"RFC 3461 4.2",
         S(H M "RCPT TO:<usr1@here> ORCPT=rfc822;Bob+2Bx@Ivory.EDU\r\nRCPT TO:<postmaster> "
               "ORCPT=x400;c+3Dus\r\n" Q),
         "220 250 250 250 250 221",                                                                                                       NULL,        ""        },
        {"RFC 3461 4.2",
         S(H M "RCPT TO:<usr1@here> ORCPT=Bob@Ivory.EDU\r\nRCPT TO:<usr1@here> ORCPT=rfc822;\r\nRCPT "
               "TO:<usr1@here> ORCPT=rfc822;a+00\r\nRCPT TO:<usr1@here> ORCPT=rfc822;a+0a\r\n" Q),
         "220 250 250 501 501 501 501 221",                                                                                               NULL,        ""        },
        {"RFC 6533 3",
         S(H M "RCPT TO:<usr1@here> ORCPT=utf-8;\\x{F1}u@b\r\nRCPT TO:<usr1@here> "
               "ORCPT=utf-8;\\x{0A}@b\r\nRCPT TO:<usr1@here> ORCPT=utf-8;\xc3\xb1@b\r\n" Q),
         "220 250 250 250 501 501 221",                                                                                                   NULL,        ""        },
        {"RFC 6533 3",        S(H "MAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<usr1@here> ORCPT=utf-8;\xc3\xb1@b\r\n" Q),
         "220 250 250 250 221",                                                                                                           NULL,        ""        },
        {"RFC 3461 10.1",
         S("EHLO Example.ORG\r\nMAIL FROM:<Alice@Example.ORG> RET=HDRS ENVID=QQ314159\r\n"
           "RCPT TO:<usr1@here> NOTIFY=SUCCESS ORCPT=rfc822;Bob@Example.COM\r\n"
           "RCPT TO:<Postmaster> NOTIFY=FAILURE ORCPT=rfc822;Carol@Ivory.EDU\r\n" D "x\r\n.\r\n" Q),
         "220 250 250 250 250 354 250 221",                                                                                               NULL,        "x\r\n"   },
        {"RFC 4954 5",        S(H "MAIL FROM:<a@b> AUTH=<>\r\n" Q),                                                "220 250 555 221",     NULL,
         ""                                                                                                                                                      }, /* not offered on port 25 */
    };

    CONVERSE(&talk_policy, rows);
}

TEST(utf8)
{
    static const struct conversation rows[] = {
        {"RFC 6531 3.3",
         S(H "MAIL FROM:<\xc3\xa9@\xc3\xa9.example> SMTPUTF8\r\nRCPT TO:<\xc3\xb1u@here>\r\n" D
             "Subject: \xc3\xb1\r\n.\r\n" Q),
         "220 250 250 250 354 250 221",                                                                              NULL, "Subject: \xc3\xb1\r\n"},
        {"RFC 6531 3.4",   S(H M "RCPT TO:<\xc3\xb1u@here>\r\n" Q),                           "220 250 250 501 221", NULL, ""                     },
        {"RFC 6531 3.4",   S(H "MAIL FROM:<\xc3\xa9@b>\r\nMAIL FROM:<a@b> SMTPUTF8=1\r\n" Q),
         "220 250 501 501 221",                                                                                      NULL, ""                     },
        {"RFC 6531 3.5",   S(H "MAIL FROM:<a@b> SMTPUTF8\r\n" R D "x\r\n.\r\n" Q),
         "220 250 250 250 354 250 221",                                                                              NULL, "x\r\n"                },
        {"RFC 3629 4",
         S(H "MAIL FROM:<\xc0\x80@b> SMTPUTF8\r\nMAIL FROM:<\xed\xa0\x80@b> SMTPUTF8\r\nMAIL FROM:<\xff@b> "
             "SMTPUTF8\r\nMAIL FROM:<\xc3@b> SMTPUTF8\r\n" Q),
         "220 250 501 501 501 501 221",                                                                              NULL, ""                     },
        {"RFC 6532 3.1",
         S(H "MAIL FROM:<\xc2\x9b"
             "31m@b> SMTPUTF8\r\n" Q),
         "220 250 501 221",                                                                                          NULL, ""                     }, /* a C1 control */
        {"RFC 6531 3.7.1", S("EHLO \xc3\xa9.example\r\n" Q),                                  "220 501 221",         NULL, ""                     },
        {"RFC 6531 3.4",   S("HELO c\r\nMAIL FROM:<a@b> SMTPUTF8\r\n" Q),                     "220 250 555 221",     NULL, ""                     },
    };

    CONVERSE(&talk_policy, rows);
    (void)talk(&talk_policy, rows[0].in, LINES);
    CHECK(0, slice_find_slice(talk_prefix(), SLICE("Return-Path: <\xc3\xa9@\xc3\xa9.example>\r\n")) == 0);
    CHECK(0, slice_find_slice(talk_prefix(), SLICE("by mx.here with UTF8SMTP id")) <
                 talk_prefix().n); /* RFC 6531 4.3 */
    (void)talk(&talk_policy, rows[3].in, LINES);
    CHECK(1, slice_find_slice(talk_prefix(), SLICE("with UTF8SMTP id")) < talk_prefix().n);
}

#define B(n) "BDAT " n "\r\n"

TEST(chunks)
{
    static const struct conversation rows[] = {
        {"RFC 3030 4.1", S(H M R "BDAT 21 LAST\r\nTo: Susan\r\n\r\nbody\r\n\r\n" Q),
         "220 250 250 250 250 221",                                                                                                   "Message accepted",             "To: Susan\r\n\r\nbody\r\n\r\n"},
        {"RFC 3030 2",   S(H M R B("6") "abcd\r\n" B("4") "ef\r\n" B("0 LAST") Q),
         "220 250 250 250 250 250 250 221",                                                                                           "250 2.0.0 6 octets received",  "abcd\r\nef\r\n"               },
        {"RFC 3030 2",   S(H M R B("0 LAST") Q),                                                   "220 250 250 250 250 221",         "Message accepted",             ""                             },
        {"RFC 3030 2",   S(H M R B("0") B("0") "BDAT 3 last\r\nx\r\n" Q),                          "220 250 250 250 250 250 250 221",
         NULL,                                                                                                                                                        "x\r\n"                        },
        {"RFC 3030 2",   S(H M R B("7 LAST") "\r\n.\r\nx\r" Q),                                    "220 250 250 250 550 221",         "CR alone",                     ""                             },
        {"RFC 3030 2",   S(H M R B("8 LAST") "\r\n.\r\nx\r\n" Q),                                  "220 250 250 250 250 221",         NULL,
         "\r\n.\r\nx\r\n"                                                                                                                                                                            }, /* a dot is only a dot */
        {"RFC 3030 2",   S(H M R B("3") "a\r\n" B("3 LAST") "..x" Q),                              "220 250 250 250 250 250 221",     NULL,
         "a\r\n..x"                                                                                                                                                                                  },
        {"RFC 3030 2",   S(H M R B("2") "a\r" B("3 LAST") "\nb\r" Q),                              "220 250 250 250 250 550 221",     NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R B("2") "a\r" B("4 LAST") "\nb\r\n" Q),                            "220 250 250 250 250 250 221",     NULL,
         "a\r\nb\r\n"                                                                                                                                                                                },
        {"RFC 3030 2",   S(H M R B("3 LAST") "x\r\n" B("3 LAST") "y\r\n" Q),                       "220 250 250 250 250 503 221",
         "503 5.5.1",                                                                                                                                                 "x\r\n"                        },
        {"RFC 3030 2",   S(H M R B("3") "x\r\n" D M R "BDAT 0 LAST\r\n" Q),
         "220 250 250 250 250 503 503 503 250 221",                                                                                   "503 5.5.1",                    "x\r\n"                        },
        {"RFC 3030 2",
         S(H M R B("3") "x\r\n"
                        "RSET\r\n" B("3 LAST") "y\r\n" M R B("3 LAST") "z\r\n" Q),
         "220 250 250 250 250 250 503 250 250 250 221",                                                                               NULL,                           "z\r\n"                        },
        {"RFC 3030 2",
         S(H M R B("3") "x\r\n"
                        "NOOP\r\nVRFY a\r\nHELP\r\n" B("3 LAST") "y\r\n" Q),
         "220 250 250 250 250 250 252 214 250 221",                                                                                   NULL,                           "x\r\ny\r\n"                   },
        {"RFC 3030 2",
         S(H M R B("3") "x\r\n"
                        "STARTTLS\r\n" Q),
         "220 250 250 250 250 503 221",                                                                                               NULL,                           ""                             },
        {"RFC 3030 2",   S(H B("6 LAST") "QUIT\r\n" M Q),                                          "220 250 503 250 221",             "503 5.5.1 Need MAIL and RCPT",
         ""                                                                                                                                                                                          },
        {"RFC 3030 2",   S(B("6 LAST") "QUIT\r\n" Q),                                              "220 503 221",                     "503 5.5.1 Say EHLO",           ""                             },
        {"RFC 3030 2",   S(H M B("6 LAST") "QUIT\r\n" R B("3 LAST") "x\r\n" Q),                    "220 250 250 554 250 250 221",
         NULL,                                                                                                                                                        "x\r\n"                        },
        {"RFC 3030 2",   S(H M "RCPT TO:<nobody@here>\r\n" B("6 LAST") "QUIT\r\n" Q),              "220 250 250 550 554 221",
         NULL,                                                                                                                                                        ""                             },
        {"RFC 3030 2",   S(H M R "BDAT\r\n" Q),                                                    "220 250 250 250 501 421",         "501 5.5.4",
         ""                                                                                                                                                                                          }, /* what follows may be a message */
        {"RFC 3030 2",   S(H M R "BDAT x LAST\r\n" Q),                                             "220 250 250 250 501 421",         NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R "BDAT 3 FIRST\r\n" Q),                                            "220 250 250 250 501 421",         NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R "BDAT -1 LAST\r\n" Q),                                            "220 250 250 250 501 421",         NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R "BDAT 18446744073709551617 LAST\r\n" Q),                          "220 250 250 250 501 421",         NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R "BDAT 9223372036854775807\r\n" Q),                                "220 250 250 250 501 421",         NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R "BDAT 4000000000 LAST\r\n" Q),                                    "220 250 250 250 552 421",         "552 5.3.4",
         ""                                                                                                                                                                                          }, /* not read on for that */
        {"RFC 3030 2",   S(H M R B("5") "lost"),                                                   "220 250 250 250",                 NULL,                           ""                             },
        {"RFC 3030 2",   S(H M R B("3") "x\r\n"),                                                  "220 250 250 250 250",             NULL,                           ""                             },
        {"RFC 3030 3",   S(H "MAIL FROM:<a@b> BODY=BINARYMIME\r\n" R D Q),                         "220 250 250 250 503 221",
         "503 5.5.1 BODY=BINARYMIME",                                                                                                                                 ""                             },
        {"RFC 3030 3",   S(H "MAIL FROM:<a@b> BODY=BINARYMIME\r\n" R B("6 LAST") "a\nb\rc\xff" Q),
         "220 250 250 250 250 221",                                                                                                   NULL,                           "a\nb\rc\xff"                  },
        {"RFC 3030 2",   S("HELO c\r\n" M R B("3 LAST") "x\r\n" Q),                                "220 250 250 250 250 221",         NULL,                           "x\r\n"                        },
        {"RFC 3030 2",   S(H M R B("4 LAST") "a\0\r\n" Q),                                         "220 250 250 250 550 221",         "NUL",                          ""                             },
        {"RFC 3030 2",   S(H M R B("3 LAST") "a\nb" Q),                                            "220 250 250 250 550 221",         "LF alone",                     ""                             },
    };

    CONVERSE(&talk_policy, rows);
    converse(&talk_policy, rows, 10, BYTES);
    converse(&talk_policy, rows, COUNT(rows),
             WHOLE); /* RFC 3030 2: chunks in the pipeline are accepted and discarded */
}

/* RFC 3030 4.2 and its kin: a chunk that is refused is read to its end, whatever refuses it. */
TEST(refused_chunks)
{
    static const struct slice in = S(H M R B("6") "QUIT\r\n" B("6") "QUIT\r\n" B("6 LAST") "QUIT\r\n" M R Q);
    AUTO_BUF large = BUF_INIT(8192);

    for (int how = 0; how < 2; how++)
        for (int pace = LINES; pace <= WHOLE; pace++) {
            *(how ? &talk_room_says : &talk_begin_says) = ST_NOSPACE;
            CHECK_SLICE(how, slice_of(talk_codes(talk(&talk_policy, in, (enum pace)pace))),
                        "220 250 250 250 452 503 503 250 250 221");
            talk_begin_says = talk_room_says = ST_OK;
        }
    buf_puts(&large, H M R B("900"));
    for (int i = 0; i < 100; i++)
        buf_puts(&large, "1234567\r\n");
    buf_puts(&large, B("900"));
    for (int i = 0; i < 100; i++)
        buf_puts(&large, "RSET.\n\r\n.");
    buf_puts(&large, M R B("3 LAST") "x\r\n" Q);
    CHECK_SLICE(2, slice_of(talk_codes(talk(&talk_policy, buf_slice(&large), WHOLE))),
                "220 250 250 250 250 552 250 250 250 221");
    CHECK_SLICE(2, talk_stored(), "x\r\n");
    CHECK(2, talk_noted == smtp_reply(SMTP_R_TOO_LARGE));
}

/* RFC 2920 3.2, 4: everything in one packet, answered in order. */
TEST(pipelined)
{
    static const struct conversation rows[] = {
        {"RFC 2920 4",   S(H M R "RCPT TO:<postmaster>\r\n" D "x\r\n.\r\n" M R D "y\r\n.\r\n" Q),
         "220 250 250 250 250 354 250 250 250 354 250 221",                                                                                  NULL,        "x\r\ny\r\n"       },
        {"RFC 2920 4",   S(H M "RCPT TO:<nobody@here>\r\n" D Q),                                  "220 250 250 550 554 221",                 NULL,        ""                 },
        {"RFC 2920 3.1", S(H M H Q),                                                              "220 250 250 503 221",                     "503 5.5.0", ""                 }, /* EHLO ends its group */
        {"RFC 2920 3.1", S(H M R "RSET\r\n" M R D ".\r\n" Q),                                     "220 250 250 250 250 250 250 354 250 221", NULL,
         ""                                                                                                                                                                  },
        {"RFC 3207 4.2", S(H "STARTTLS\r\n" M R),                                                 "220 250 503 250 250",                     NULL,        ""                 },
        {"RFC 3030 4.2",
         S(H "MAIL FROM:<a@b> BODY=BINARYMIME\r\n" R
             "RCPT TO:<postmaster>\r\n" B("10") "1234567890" B("5") "12345" B("2 LAST") "xy" Q),
         "220 250 250 250 250 250 250 250 221",                                                                                              NULL,        "123456789012345xy"},
    };

    converse(&talk_policy, rows, COUNT(rows), WHOLE);
}

TEST(budgets)
{
    struct smtp_policy policy = talk_policy;
    AUTO_BUF in = BUF_INIT(65536);
    static const struct conversation errors[] = {
        {"mta.md 1.9e", S(H "A\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\nA\r\n" M),
         "220 250 500 500 500 500 500 500 500 500 500 421", "421 4.7.0 mx.here Too many errors", ""},
    };
    static const struct conversation commands[] = {
        {"mta.md 1.9e", S(H M R D ".\r\n" M R D ".\r\n"), "220 250 250 250 354 250 421",
         "421 4.7.0 mx.here Too many commands,", ""},
    };
    static const struct conversation idle[] = {
        {"mta.md 1.9e", S("NOOP\r\nRSET\r\nHELP\r\nVRFY a\r\n" M),                          "220 250 250 214 252 421",
         "421 4.7.0 mx.here Too many commands without",                                                                      ""},
        {"mta.md 1.9e", S(H M R D ".\r\nNOOP\r\nNOOP\r\n" M R D ".\r\nNOOP\r\nNOOP\r\n" Q),
         "220 250 250 250 354 250 250 250 250 250 354 250 250 250 221",                                                NULL, ""},
    };
    static const struct conversation fast[] = {
        {"mta.md 1.9e", S(H M R D ".\r\n" Q),          "220 250 250 250 354 250 221",     NULL,                 ""},
        {"mta.md 1.9e", S(H M R D ".\r\nNOOP\r\n" M), "220 250 250 250 354 250 250 250 421", "421 4.7.0 mx.here", ""},
    };
    static const struct conversation late[] = {
        {"mta.md 1.9e", S(H M), "220 250 421", "421 4.4.5 mx.here Session", ""},
    };

    CONVERSE(&talk_policy, errors);
    policy.max_commands = 3;
    CONVERSE(&policy, commands);
    policy = talk_policy;
    policy.max_idle_commands = 3;
    CONVERSE(&policy, idle);
    CHECK(0, talk_noted == NULL);
    policy = talk_policy;
    policy.commands_per_minute = 5;
    CONVERSE(&policy, fast);
    CHECK(0, talk_noted == smtp_reply(SMTP_R_TOO_FAST));
    policy = talk_policy;
    policy.session_timeout = 1;
    policy.max_idle_commands = 10;
    converse(&policy, late, 1, LINES);
    for (int i = 0; i < 300; i++)
        buf_puts(&in, "1234567");
    CHECK_SLICE(1, slice_of(talk_codes(talk(&talk_policy, buf_slice(&in), WHOLE))),
                "220 500 421"); /* RFC 5321 4.5.3.1.4 */
}

/* RFC 5321 6.3: with more Received fields than max_hops the message loops. */
TEST(hops)
{
    for (int hops = 4; hops < 8; hops++) {
        AUTO_BUF in = BUF_INIT(4096);
        bool loops = hops > 5;

        buf_puts(&in, H M R D);
        for (int i = 0; i < hops; i++)
            buf_puts(&in, "Received: from a\r\n\tby b\r\n");
        buf_puts(&in, "\r\nReceived: is text here\r\n.\r\n" Q);
        CHECK_SLICE(hops, slice_of(talk_codes(talk(&talk_policy, buf_slice(&in), LINES))),
                    loops ? "220 250 250 250 354 554 221" : "220 250 250 250 354 250 221");
        CHECK(hops, talk_noted == (loops ? smtp_reply(SMTP_R_TOO_MANY_HOPS) : NULL));
        CHECK_INT(hops, talk_stored().n > 0, !loops);
    }
}

/* RFC 5321 4.4, RFC 3848 */
TEST(trace)
{
    static const struct slice in = S("EHLO client.example\r\nMAIL FROM:<a@b>\r\n" R D ".\r\n" Q);
    static const struct slice two =
        S("HELO [192.0.2.7]\r\nMAIL FROM:<>\r\n" R "RCPT TO:<postmaster>\r\n" D ".\r\n" Q);

    (void)talk(&talk_policy, in, LINES);
    CHECK(0, slice_has_prefix(talk_prefix(), SLICE("Return-Path: <a@b>\r\n"
                                                   "Received: from client.example ([127.0.0.1])\r\n"
                                                   "\tby mx.here with ESMTP id id1\r\n"
                                                   "\tfor <usr1@here>; ")));
    (void)talk(&talk_policy, two, LINES); /* RFC 5321 7.2: two recipients are not told of each other */
    CHECK(1, slice_has_prefix(talk_prefix(), SLICE("Return-Path: <>\r\n"
                                                   "Received: from [192.0.2.7] ([127.0.0.1])\r\n"
                                                   "\tby mx.here with SMTP id id1; ")));
}

/* mta.md 4.4 (6): whatever some server took for an end of a message, in front of a transaction of the
 * attacker's choice. */
TEST(smuggling)
{
    static const struct {
        struct slice end;
        const char *why;
    } ends[] = {
        {S("\n.\n"),         "LF alone"},
        {S("\n.\r\n"),       "LF alone"},
        {S("\r\n.\n"),       "LF alone"},
        {S("\r.\r"),         "CR alone"},
        {S("\r.\r\n"),       "CR alone"},
        {S("\r\n.\r"),       "CR alone"},
        {S("\r.\n"),         "LF alone"},
        {S("\n.\r"),         "LF alone"},
        {S("\r\r\n.\r\r\n"), "CR alone"},
        {S("\n\n.\r\n"),     "LF alone"},
        {S("\r\n\0.\r\n"),   "NUL byte"},
        {S("\r\n.\0\r\n"),   "NUL byte"},
        {S("\0\n.\n"),       "NUL byte"},
        {S("\r\0\n.\r\0\n"), "NUL byte"},
        {S("\n\r.\n\r"),     "LF alone"},
        {S("\r\n.\r\r\n"),   "CR alone"},
    };

    for (size_t i = 0; i < COUNT(ends); i++)
        for (int bdat = 0; bdat < 2; bdat++)
            for (int pace = LINES; pace <= WHOLE; pace++) {
                AUTO_BUF in = BUF_INIT(4096), message = BUF_INIT(1024);
                struct slice got;

                buf_puts(&message, "a");
                buf_put(&message, ends[i].end);
                buf_puts(&message, M R D "smuggled\r\n");
                buf_puts(&in, H M R);
                if (bdat)
                    buf_printf(&in, "BDAT %zu LAST\r\n", message.n);
                else
                    buf_puts(&in, D);
                buf_put(&in, buf_slice(&message));
                buf_puts(&in, bdat ? Q : ".\r\n" Q);
                got = talk(&talk_policy, buf_slice(&in), (enum pace)pace);
                CHECK_SLICE(i, slice_of(talk_codes(got)),
                            bdat ? "220 250 250 250 550 221" : "220 250 250 250 354 550 221");
                CHECK(i, slice_find_slice(got, slice_of(ends[i].why)) < got.n);
                CHECK(i, slice_find_slice(got, SLICE("550 5.6.11")) < got.n);
                CHECK(i, talk_noted != NULL);
                CHECK_INT(i, talk_stored().n, 0);
            }
}

/* The same where a setting repairs line ends, for submission only: one message, whatever it holds. */
TEST(repairs)
{
    static const struct conversation rows[] = {
        {"mta.md 4.4", S(H "AUTH PLAIN Z29vZA==\r\n" M R D "a\n.\n" M "b\rc\r\n.\r\n" Q),
         "220 250 235 250 250 354 250 221",                                                                              NULL,  "a\r\n\r\nMAIL FROM:<a@b>\r\nb\r\nc\r\n"},
        {"mta.md 4.4", S(H "AUTH PLAIN Z29vZA==\r\n" M R D "a\0\n\r\n.\r\n" Q),
         "220 250 235 250 250 354 550 221",                                                                              "NUL", ""                                      },
        {"RFC 3030 2", S(H "AUTH PLAIN Z29vZA==\r\n" M R B("3 LAST") "a\nb" Q),           "220 250 235 250 250 550 221",
         "LF",                                                                                                                  ""                                      },
    };
    static const struct conversation relay[] = {
        {"mta.md 4.4", S(H M R D "a\nb\r\n.\r\n" Q), "220 250 250 250 354 550 221", "LF alone", ""},
    };
    struct smtp_policy policy = talk_policy;

    policy.repair_line_ends = true;
    CONVERSE(&policy, relay);
    policy.submission = policy.plaintext_auth = true;
    CONVERSE(&policy, rows);
}

TEST(pregreet)
{
    static const struct conversation early[] = {
        {"RFC 5321 3.1", S("HELO spam\r\n" M R D), "554", "554 5.5.1 You spoke", ""},
    };
    static const struct conversation late[] = {
        {"RFC 5321 4.3.1", S(H M R D "x\r\n.\r\n" Q), "220 250 250 250 354 250 221", NULL, "x\r\n"},
    };
    struct smtp_policy policy = talk_policy;

    policy.greet_pause = MSEC(2);
    converse(&policy, early, 1, WHOLE);
    CHECK(0, talk_noted == smtp_reply(SMTP_R_PREGREET));
    converse(&policy, early, 1, LINES);
    talk_waits = true;
    CONVERSE(&policy, late);
    talk_waits = false;
    CHECK_SLICE(1, slice_of(talk_codes(talk(&policy, SLICE(""), WHOLE))),
                ""); /* it went before the greeting */
}

TEST(xclient)
{
    static const struct conversation stranger[] = {
        {"XCLIENT", S(H "XCLIENT ADDR=192.0.2.9\r\nXFORWARD ADDR=192.0.2.9\r\n" Q), "220 250 550 550 221",
         "550 5.7.0", ""},
    };
    static const struct conversation trusted[] = {
        {"XCLIENT",  S(H Q),                                                                            "220 250 221",         "250-XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n", ""     },
        {"XCLIENT",  S(H "XCLIENT NAME=spike.example ADDR=192.0.2.9\r\n" M H M R D "x\r\n.\r\n" Q),
         "220 250 220 503 250 250 250 354 250 221",                                                                            NULL,                                                          "x\r\n"},
        {"XCLIENT",  S("XCLIENT ADDR=x\r\nXCLIENT\r\nXCLIENT LOGIN=root\r\n" Q),                        "220 501 501 501 221", NULL,
         ""                                                                                                                                                                                          },
        {"XCLIENT",  S(H M "XCLIENT ADDR=192.0.2.9\r\n" Q),                                             "220 250 250 503 221", NULL,                                                          ""     },
        {"XFORWARD", S(H "XFORWARD NAME=spike.example ADDR=192.0.2.9 IDENT=q SOURCE=REMOTE\r\n" M R Q),
         "220 250 250 250 250 221",                                                                                            NULL,                                                          ""     },
    };

    CONVERSE(&talk_policy, stranger);
    talk_trusted = true;
    CONVERSE(&talk_policy, trusted);
    (void)talk(&talk_policy, trusted[1].in, LINES);
    talk_trusted = false;
    CHECK(0, slice_find_slice(talk_prefix(), SLICE("Received: from c (spike.example [192.0.2.9])\r\n")) <
                 talk_prefix().n);
}

#define A "AUTH PLAIN Z29vZA==\r\n"

TEST(authentication)
{
    static const struct conversation rows[] = {
        {"RFC 4954 3", S(H Q),                                                                    "220 250 221",             "250-AUTH ",                                ""},
        {"RFC 4954 4", S(H A Q),                                                                  "220 250 235 221",         "235 2.7.0",                                ""},
        {"RFC 4954 4", S(H "auth plain Z29vZA==\r\n" Q),                                          "220 250 235 221",         NULL,                                       ""},
        {"RFC 4954 4", S(H "AUTH PLAIN\r\nZ29vZA==\r\n" Q),                                       "220 250 334 235 221",     "334 Z28=\r\n",                             ""},
        {"RFC 4954 4", S(H "AUTH PLAIN\r\n*\r\n" A Q),                                            "220 250 334 501 235 221", "501 5.7.0",                                ""},
        {"RFC 4954 4", S(H "AUTH PLAIN =\r\n" Q),                                                 "220 250 535 221",         NULL,
         ""                                                                                                                                                                }, /* an empty initial response */
        {"RFC 4954 4", S(H "AUTH PLAIN Z29v ZA==\r\nAUTH PLAIN Z29vZA\r\nAUTH PLAIN ====\r\n" Q),
         "220 250 501 501 501 221",                                                                                          "501 5.5.2",                                ""},
        {"RFC 4954 4", S(H "AUTH\r\nAUTH X\r\n" Q),                                               "220 250 501 504 221",     "504 5.5.4",                                ""},
        {"RFC 4954 6", S(H "AUTH OLD eA==\r\n" A Q),                                              "220 250 534 235 221",     "534 5.7.9 ",                               ""},
        {"RFC 4954 4", S(H A A Q),                                                                "220 250 235 503 221",     "503 5.5.1 Already",                        ""},
        {"RFC 4954 4", S(H A M A Q),                                                              "220 250 235 250 503 221", "503 5.5.1 Not during",                     ""},
        {"RFC 4954 4", S(A Q),                                                                    "220 503 221",             NULL,                                       ""},
        {"RFC 4954 6", S(H "AUTH PLAIN YmFk\r\n" M Q),                                            "220 250 535 530 221",     "535 5.7.8",                                ""},
        {"RFC 4954 6", S(H M "VRFY a\r\nEXPN a\r\nNOOP\r\nRSET\r\nHELP\r\n" Q),
         "220 250 530 530 530 250 250 214 221",                                                                              "530 5.7.0",                                ""},
        {"RFC 4954 6", S(H B("6 LAST") "QUIT\r\n" Q),                                             "220 250 503 221",         NULL,                                       ""},
        {"RFC 4954 5",
         S(H A "MAIL FROM:<a@b> AUTH=<>\r\nRSET\r\nMAIL FROM:<e@b> AUTH=e+3Dmc2@b\r\nRSET\r\nMAIL FROM:<a@b> "
               "AUTH=\r\nMAIL FROM:<a@b> AUTH=a+0Ab\r\n" Q),
         "220 250 235 250 250 250 250 501 501 221",                                                                          NULL,                                       ""},
        {"mta.md 1.8", S(H "AUTH PLAIN YmFk\r\nAUTH PLAIN YmFk\r\nAUTH PLAIN YmFk\r\n" A),
         "220 250 535 535 535 421",                                                                                          "421 4.7.0 mx.here Too many failed logins", ""},
    };
    static const struct conversation clear[] = {
        {"RFC 4954 4", S(H A M Q), "220 250 538 530 221", "538 5.7.11", ""},
    };
    struct smtp_policy policy = talk_policy;

    policy.submission = true;
    CONVERSE(&policy, clear);
    policy.plaintext_auth = true;
    CONVERSE(&policy, rows);
}

TEST(submitted)
{
    static const struct conversation rows[] = {
        {"RFC 6409 6.1", S(H A M "MAIL FROM:<usr2@here>\r\nMAIL FROM:<usr1@elsewhere>\r\n" Q),
         "220 250 235 553 553 553 221",                 "553 5.7.1", ""},
        {"RFC 6409 6.1",
         S(H A "MAIL FROM:<usr1@here>\r\nRSET\r\nMAIL FROM:<USR1+box@Here>\r\nRSET\r\nMAIL "
               "FROM:<\"usr1\"@here>\r\nRSET\r\nMAIL FROM:<>\r\n" Q),
         "220 250 235 250 250 250 250 250 250 250 221", NULL,        ""},
        {"RFC 6409 6.1",
         S(H A "MAIL FROM:<+usr1@here>\r\nMAIL FROM:<usr1x@here>\r\nMAIL FROM:<usr@here>\r\n" Q),
         "220 250 235 553 553 553 221",                 NULL,        ""},
    };
    static const struct slice bare = S(H A M R D "Subject: x\r\n\r\nDate: y\r\n.\r\n" Q);
    static const struct slice whole = S(H A M R D "Date: x\r\nMESSAGE-ID: <1@b>\r\n\r\n.\r\n" Q);
    struct smtp_policy policy = talk_policy;

    policy.submission = policy.plaintext_auth = policy.own_senders = true;
    CONVERSE(&policy, rows);
    policy.own_senders = false;
    (void)talk(&policy, bare, LINES);
    CHECK(0,
          slice_find_slice(talk_prefix(), SLICE("with ESMTPA id id1\r\n")) < talk_prefix().n); /* RFC 3848 */
    CHECK(0, slice_find_slice(talk_prefix(), SLICE("\r\nDate: ")) < talk_prefix().n); /* RFC 6409 8.2 */
    CHECK(0,
          slice_find_slice(talk_prefix(), SLICE("\r\nMessage-ID: <")) < talk_prefix().n); /* RFC 6409 8.3 */
    CHECK(0, slice_find_slice(talk_prefix(), SLICE(".id1@mx.here>\r\n")) == talk_prefix().n - 15);
    (void)talk(&policy, whole, LINES);
    CHECK(1, slice_find_slice(talk_prefix(), SLICE("\r\nDate: ")) == talk_prefix().n);
    CHECK(1, slice_find_slice(talk_prefix(), SLICE("Message-ID:")) == talk_prefix().n);
    policy.submission = false; /* a relay adds nothing but its trace (RFC 5321 6.4) */
    (void)talk(&policy, (struct slice)S(H M R D "Subject: x\r\n\r\n.\r\n" Q), LINES);
    CHECK(2, slice_find_slice(talk_prefix(), SLICE("\r\nDate: ")) == talk_prefix().n);
}

TEST_MAIN(smuggling, repairs, pregreet, xclient, authentication, submitted, greeting_and_hello, commands,
          sequence, addresses, parameters, utf8, chunks, refused_chunks, pipelined, budgets, hops, trace)
