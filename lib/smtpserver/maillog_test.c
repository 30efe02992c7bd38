#include "smtpserver/maillog.h"

#include <unistd.h>

#include "base/test.h"
#include "sys/log.h"

TEST(message_ids)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"Message-ID: <1@b>\r\n\r\n",                    "<1@b>"  },
        {"Subject: x\r\nMESSAGE-id:\t <1@b>  \r\n",      "<1@b>"  },
        {"Subject: x\r\n\r\nMessage-ID: <body@b>\r\n",   ""       },
        {"X-Message-ID: <1@b>\r\n",                      ""       },
        {"Message-ID:\r\nMessage-ID: <second@b>\r\n",    ""       },
        {"Message-ID: <1@b> stat=Sent, relay=[::1]\r\n", "<1@b>"  },
        {"Message-ID: <1\x01\x7f@b>\r\n",                "<1??@b>"},
        {"Message-ID: <cut",                             "<cut"   },
        {"",                                             ""       },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char got[MAILLOG_ID_MAX] = "not written";

        maillog_message_id(slice_of(cases[i].in), got);
        CHECK_SLICE(i, slice_of(got), cases[i].want);
    }
}

TEST(a_long_one_is_cut)
{
    char text[400] = "Message-ID: <", got[MAILLOG_ID_MAX];

    memset(text + 13, 'a', 300);
    maillog_message_id(slice_of(text), got);
    CHECK_INT(0, strlen(got), MAILLOG_ID_MAX - 1);
}

/* Whom the log names: the client; behind a filter, whom XFORWARD told, and no name of the filter's host. */
TEST(xforward_is_whom_the_log_names)
{
    struct smtp_session s = {.client_name = SLICE("filter.example"), .esmtp = true};
    char line[LOG_LINE + 1];
    int ends[2];
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    log_start("smtpd", ends[1], LOG_LEVEL_INFO);
    s.tx.id = SLICE("id1");
    memcpy(s.peer, (uint8_t[16]){[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 16);
    memcpy(s.origin, (uint8_t[16]){[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 9}, 16);
    for (int i = 0; i < 2; i++) {
        s.forwarded = i == 1;
        maillog_from(&s, "MTA", "<1@b>");
        n = read(ends[0], line, LOG_LINE);
        CHECK(i, n > 0);
        line[n] = '\0';
        CHECK(i, strstr(line, "id1: from=<>, size=0, ") != NULL);
        CHECK(i, strstr(line, s.forwarded ? "relay=[192.0.2.9]\n" : "relay=filter.example [127.0.0.1]\n") != NULL);
    }
    close(ends[0]);
    close(ends[1]);
}

TEST_MAIN(message_ids, a_long_one_is_cut, xforward_is_whom_the_log_names)
