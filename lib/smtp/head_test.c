#include "smtp/head.h"

#include "base/test.h"

TEST(fields)
{
    static const struct {
        const char *in;
        uint32_t hops;
        bool date, message_id, done;
    } cases[] = {
        {"",                                                                                           0, false, false, false},
        {"\r\nReceived: x\r\n",                                                                        0, false, false, true },
        {"Received: a\r\nReceived: b\r\nDate: now\r\nMessage-ID: <a@b>\r\n\r\nReceived: c\r\n",        2, true,  true,
         true                                                                                                                },
        {"RECEIVED: a\r\ndate : now\r\nmessage-Id\t: <a@b>\r\n\r\n",                                   1, true,  true,  true },
        {"Received: a\r\n\tReceived: folded\r\n Date: folded\r\n\r\n",                                 1, false, false, true },
        {"X-Received: a\r\nReceived-SPF: b\r\nDated: c\r\nResent-Date: d\r\nResent-Message-ID: e\r\n", 0,
         false,                                                                                                  false, false},
        {"no field\r\nReceived: a\r\n\r\n",                                                            1, false, false, true },
        {"Received",                                                                                   0, false, false, false},
        {"Subject: x: Received: a\r\n\r\n",                                                            0, false, false, true },
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t step = 1; step <= 64; step *= 8) {
            struct smtp_head head = {0};
            struct slice in = slice_of(cases[i].in);

            for (size_t at = 0; at < in.n; at += step)
                smtp_head_feed(&head, slice_sub(in, at, step));
            CHECK_INT(i, head.hops, cases[i].hops);
            CHECK_INT(i, head.date, cases[i].date);
            CHECK_INT(i, head.message_id, cases[i].message_id);
            CHECK_INT(i, head.done, cases[i].done);
        }
}

TEST_MAIN(fields)
