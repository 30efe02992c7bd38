/* dns: asks dnsd, as the other programs do. */
#include "ctl/handlers.h"
#include "ctl/session.h"
#include "dns/ask.h"

#define DNS_WITHIN SECONDS(301) /* dns_timeout is less */

struct dns_work {
    struct slice name;
    uint16_t type;
};

static int
print_answer(const struct dns_answer *a)
{
    AUTO_BUF text = BUF_INIT(DNSMSG_RECORDS_BYTES * 4);
    struct slice records = a->records;
    struct dnsmsg_record record;

    buf_printf(&text, "%s, %s, %u s", dnsmsg_outcome_text(a->outcome), dnsmsg_security_text(a->security),
               a->ttl);
    if (a->name.n > 0)
        buf_printf(&text, ", %.*s", SLICE_ARG(a->name));
    if (a->why.n > 0) {
        char why[1024];

        (void)slice_to_cstr(a->why, why, sizeof(why));
        buf_printf(&text, ": %s", why);
    }
    buf_putc(&text, '\n');
    while (dnsmsg_record_take(&records, &record) == ST_OK) {
        buf_printf(&text, "%s\t%u\t", dnsmsg_type_name(record.type), record.ttl);
        dnsmsg_record_text(&text, &record);
        buf_putc(&text, '\n');
    }
    if (!buf_ok(&text) || records.n > 0)
        return fail(EX_SOFTWARE, "an answer that is not understood");
    (void)fwrite(text.p, 1, text.n, stdout);
    switch (a->outcome) {
    case DNSMSG_FOUND:
        return EX_OK;
    case DNSMSG_NODATA:
    case DNSMSG_NXDOMAIN:
        return EX_NOHOST;
    case DNSMSG_BAD_NAME:
        return EX_DATAERR;
    default:
        return EX_TEMPFAIL;
    }
}

static int
dns_work(struct session *s, void *arg)
{
    const struct dns_work *work = arg;
    AUTO_BUF ask = BUF_INIT(8192), reply = BUF_INIT(IPC_INLINE);
    struct dns_answer answer = {0};
    struct err err = {0};

    msg_dns_ask_put(&ask, &(struct msg_dns_ask){work->name, work->type, 0});
    if (!buf_ok(&ask))
        return fail(EX_DATAERR, "the name is too long");
    if (session_ask(s, ROLE_DNS, MSG_DNS_ASK, buf_slice(&ask), DNS_WITHIN, &reply, &err) != ST_OK)
        return fail_err(&err);
    if (dns_answer_read(buf_slice(&reply), &answer) != ST_OK)
        return fail(EX_SOFTWARE, "an answer that is not understood");
    return print_answer(&answer);
}

int
do_dns(const struct invocation *in)
{
    struct dns_work work = {slice_of(in->args[0]), DNSMSG_A};

    if (in->args[1] != NULL && !dnsmsg_type_of(slice_of(in->args[1]), &work.type))
        return fail(EX_USAGE, "%s: no such type; there are A, AAAA, MX, TXT, PTR, CNAME, NS, TLSA, DNSKEY",
                    in->args[1]);
    return session_run(in->root, dns_work, &work);
}
