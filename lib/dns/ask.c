#include "dns/ask.h"

#include "ipc/program.h"

enum status
dns_answer_read(struct slice reply, struct dns_answer *answer)
{
    struct msg_dns_answer m;

    if (!msg_dns_answer_get(reply, &m) || m.outcome == DNSMSG_OUTCOME_NONE ||
        m.outcome >= DNSMSG_OUTCOME_COUNT || m.security == DNSMSG_SECURITY_NONE ||
        m.security >= DNSMSG_SECURITY_COUNT || m.name.n > DNSMSG_TEXT_MAX)
        return ST_SYNTAX;
    if ((m.outcome == DNSMSG_FOUND) != (m.records.n > 0))
        return ST_SYNTAX;
    answer->outcome = m.outcome;
    answer->security = m.security;
    answer->ttl = m.ttl;
    answer->name = m.name;
    answer->records = m.records;
    answer->why = m.why;
    return ST_OK;
}

enum status
dns_ask(struct slice name, uint16_t type, uint64_t deadline, struct dns_answer *answer)
{
    AUTO_BUF ask = BUF_INIT(DNSMSG_TEXT_MAX + 64);
    struct dns_answer got = {.reply = BUF_INIT(IPC_INLINE)};
    uint64_t now = loop_now(program_loop()), left = deadline > now ? (deadline - now) / MSEC(1) : 0;
    enum status st;

    if (left == 0)
        return ST_TIMEOUT;
    msg_dns_ask_put(&ask, &(struct msg_dns_ask){name, type, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX});
    if (!buf_ok(&ask))
        return ST_SYNTAX;
    st = program_ask(ROLE_DNS, MSG_DNS_ASK, buf_slice(&ask), deadline, &got.reply);
    if (st == ST_OK && dns_answer_read(buf_slice(&got.reply), &got) != ST_OK)
        st = ST_UNAVAILABLE;
    if (st != ST_OK) {
        buf_done(&got.reply);
        return st;
    }
    *answer = got;
    return ST_OK;
}

void
dns_answer_done(struct dns_answer *answer)
{
    buf_done(&answer->reply);
}
