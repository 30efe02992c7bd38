#include "smtp/received.h"

#include "base/test.h"

#define V4 {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1}

TEST(with)
{
    CHECK_SLICE(0, smtp_with(false, true, true, true), "SMTP");
    CHECK_SLICE(1, smtp_with(true, false, false, false), "ESMTP");
    CHECK_SLICE(2, smtp_with(true, true, false, false), "ESMTPS");
    CHECK_SLICE(3, smtp_with(true, false, true, false), "ESMTPA");
    CHECK_SLICE(4, smtp_with(true, true, true, false), "ESMTPSA");
    CHECK_SLICE(5, smtp_with(true, true, true, true), "UTF8SMTPSA");
    CHECK_SLICE(6, smtp_with(true, false, false, true), "UTF8SMTP");
}

TEST(date)
{
    static const struct {
        uint64_t seconds;
        const char *want;
    } cases[] = {
        {0, "Thu, 1 Jan 1970 00:00:00 +0000"},
        {951782399, "Mon, 28 Feb 2000 23:59:59 +0000"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 +0000"},
        {4102444800, "Fri, 1 Jan 2100 00:00:00 +0000"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(100);

        smtp_date_put(&out, cases[i].seconds * 1000000000u);
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

TEST(received)
{
    struct smtp_path rcpt = {SLICE("usr1"), SLICE("dominio.com.uy")};
    struct smtp_trace trace = {
        .helo = SLICE("client.example"),
        .peer_name = SLICE("a.example"),
        .peer = V4,
        .host = SLICE("mx.example"),
        .id = SLICE("x1"),
        .esmtp = true,
        .tls = true,
        .tls_version = SLICE("TLSv1.3"),
        .cipher = SLICE("TLS_AES_128_GCM_SHA256"),
        .only_rcpt = &rcpt,
        .when = 0,
    };
    AUTO_BUF out = BUF_INIT(2000);

    smtp_received_put(&out, &trace);
    CHECK_SLICE(0, buf_slice(&out),
                "Received: from client.example (a.example [192.0.2.1])\r\n"
                "\t(TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n"
                "\tby mx.example with ESMTPS id x1\r\n"
                "\tfor <usr1@dominio.com.uy>; Thu, 1 Jan 1970 00:00:00 +0000\r\n");
}

/* What the peer says cannot begin a field of its own, nor close the comment. */
TEST(injection)
{
    struct smtp_trace trace = {
        .helo = SLICE("x)\r\nBcc: evil\r\n\r\n(;<a>\""),
        .peer = {[0] = 0x20, [1] = 0x01, [15] = 1},
        .host = SLICE("mx"),
    };
    AUTO_BUF out = BUF_INIT(2000);

    smtp_received_put(&out, &trace);
    CHECK_SLICE(0, buf_slice(&out),
                "Received: from x???Bcc:?evil??????\?a?? ([IPv6:2001::1])\r\n"
                "\tby mx with SMTP; Thu, 1 Jan 1970 00:00:00 +0000\r\n");
}

TEST(return_path)
{
    struct smtp_path from = {SLICE("\"a b\""), SLICE("c")}, none = {0};
    AUTO_BUF out = BUF_INIT(200);

    smtp_return_path_put(&out, from);
    smtp_return_path_put(&out, none);
    CHECK_SLICE(0, buf_slice(&out), "Return-Path: <\"a b\"@c>\r\nReturn-Path: <>\r\n");
}

TEST_MAIN(with, date, received, injection, return_path)
