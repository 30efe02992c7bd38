#include "dns/client.h"

/* The name's addresses: FORGED when it is certain that the client's is not among them. */
static enum dns_client
confirm(struct slice name, const uint8_t address[16], uint64_t deadline)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(address, mapped, sizeof(mapped)) == 0;
    struct slice wanted = v4 ? slice_from(address + 12, 4) : slice_from(address, 16);
    enum dns_client found = DNS_CLIENT_UNKNOWN;
    struct dns_answer answer;
    struct dnsmsg_record record;

    if (dns_ask(name, v4 ? DNSMSG_A : DNSMSG_AAAA, deadline, &answer) != ST_OK)
        return DNS_CLIENT_UNKNOWN;
    if (answer.outcome == DNSMSG_FOUND || answer.outcome == DNSMSG_NODATA ||
        answer.outcome == DNSMSG_NXDOMAIN)
        found = DNS_CLIENT_FORGED;
    while (dnsmsg_record_take(&answer.records, &record) == ST_OK)
        if (slice_eq(record.data, wanted))
            found = DNS_CLIENT_CONFIRMED;
    dns_answer_done(&answer);
    return found;
}

enum dns_client
dns_client_name(const uint8_t address[16], uint64_t deadline, char name[DNS_CLIENT_NAME])
{
    uint8_t bytes[80];
    struct buf reverse = BUF_FIXED(bytes);
    enum dns_client found = DNS_CLIENT_UNKNOWN;
    struct dns_answer answer;
    struct dnsmsg_record record;
    unsigned tried = 0;

    name[0] = '\0';
    dnsmsg_reverse_put(&reverse, address);
    if (dns_ask(buf_slice(&reverse), DNSMSG_PTR, deadline, &answer) != ST_OK)
        return DNS_CLIENT_UNKNOWN;
    while (found != DNS_CLIENT_CONFIRMED && dnsmsg_record_take(&answer.records, &record) == ST_OK) {
        enum dns_client one;

        if (record.data.n >= DNS_CLIENT_NAME || !dnsmsg_is_hostname(record.data))
            continue;
        if (tried++ == DNS_CLIENT_PTRS)
            break;
        one = confirm(record.data, address, deadline);
        if (one > found && slice_to_cstr(record.data, name, DNS_CLIENT_NAME))
            found = one;
    }
    dns_answer_done(&answer);
    return found;
}
