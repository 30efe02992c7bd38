#include "smtpserver/maillog.h"

#include "base/test.h"

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

TEST_MAIN(message_ids, a_long_one_is_cut)
