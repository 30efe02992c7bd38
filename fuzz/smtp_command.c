/* Command lines, BDAT and XCLIENT too: every failure has printable words, and xtext that was let pass decodes. */
#include <assert.h>

#include "smtp/command.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_words(enum status st, const struct err *err)
{
    size_t n = strlen(err->text);

    assert((st == ST_OK) == (n == 0));
    assert(st == ST_OK || st == ST_SYNTAX || st == ST_LIMIT || st == ST_UNSUPPORTED);
    for (size_t i = 0; i < n; i++)
        assert(err->text[i] >= 0x20 && err->text[i] < 0x7f);
}

static void
check_xtext(struct slice xtext)
{
    AUTO_BUF plain = BUF_INIT(4096), again = BUF_INIT(16384), twice = BUF_INIT(4096);

    assert(smtp_unxtext(&plain, xtext) == ST_OK);
    for (size_t i = 0; i < plain.n; i++)
        assert(plain.p[i] >= 0x20 && plain.p[i] < 0x7f);
    smtp_xtext_put(&again, buf_slice(&plain));
    assert(smtp_unxtext(&twice, buf_slice(&again)) == ST_OK && slice_eq(buf_slice(&twice), buf_slice(&plain)));
}

static void
check_others(struct slice args)
{
    struct smtp_xclient client;
    uint64_t size;
    bool last;

    if (smtp_bdat_parse(args, &size, &last) == ST_OK)
        assert(ascii_digit(args.p[0]) && size <= UINT64_MAX / 4);
    if (smtp_xclient_parse(args, &client) == ST_OK) {
        check_xtext(client.name);
        check_xtext(client.helo);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice verb, args, name;
    struct smtp_mail mail = {0};
    struct smtp_rcpt rcpt = {0};
    struct err err = {0};
    uint32_t offered;
    enum status st;

    if (n == 0 || n > SMTP_COMMAND_MAX)
        return 0;
    offered = data[0] & 63u;
    if (smtp_command_split(slice_from(data + 1, n - 1), &verb, &args) != ST_OK)
        return 0;
    assert(verb.n > 0 && verb.n + args.n <= n - 1);
    if (smtp_helo_parse(args, &name) == ST_OK)
        assert(name.n > 0 && name.n <= SMTP_DOMAIN_MAX);
    check_others(args);
    st = smtp_mail_parse(args, offered, &mail, &err);
    check_words(st, &err);
    if (st == ST_OK) {
        assert(mail.envid.n <= SMTP_ENVID_MAX);
        check_xtext(mail.auth);
        check_xtext(mail.envid);
    }
    err = (struct err){0};
    st = smtp_rcpt_parse(args, offered, (offered & SMTP_OFFER_UTF8) != 0, &rcpt, &err);
    check_words(st, &err);
    if (st == ST_OK) {
        assert(!smtp_path_null(rcpt.to));
        if (slice_eq_nocase(rcpt.orcpt_type, SLICE("utf-8"))) /* RFC 6533 3: its own encoding */
            for (size_t i = 0; i < rcpt.orcpt.n; i++)
                assert(rcpt.orcpt.p[i] > 0x20 && rcpt.orcpt.p[i] != 0x7f);
        else
            check_xtext(rcpt.orcpt);
    }
    return 0;
}
