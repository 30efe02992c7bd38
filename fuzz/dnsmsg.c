/* An answer of DNS is bounded, its names are texts, and what is packed of it reads back. The first byte
 * chooses the type. */
#include <assert.h>

#include "dnsmsg/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
check_text(struct slice name)
{
    assert(name.n > 0 && name.n <= DNSMSG_TEXT_MAX);
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];

        assert(ascii_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.' || c == '\\');
    }
    (void)dnsmsg_is_hostname(name);
}

static void
check_packed(struct slice records, uint32_t count)
{
    uint8_t bytes[8192];
    struct dnsmsg_record record;
    enum status st;

    while ((st = dnsmsg_record_take(&records, &record)) == ST_OK) {
        struct buf text = BUF_FIXED(bytes);

        assert(count-- > 0);
        dnsmsg_record_text(&text, &record);
        if (record.type == DNSMSG_MX || record.type == DNSMSG_CNAME)
            check_text(record.data);
    }
    assert(st == ST_NOTFOUND && count == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint16_t types[] = {DNSMSG_A,    DNSMSG_MX,   DNSMSG_TXT, DNSMSG_CNAME,
                                     DNSMSG_AAAA, DNSMSG_TLSA, DNSMSG_PTR, DNSMSG_NS};
    AUTO_BUF records = BUF_INIT(DNSMSG_RECORDS_BYTES);
    uint8_t bytes[DNSMSG_TEXT_MAX];
    struct buf name = BUF_FIXED(bytes);
    struct slice all = slice_from(data, n), packed;
    struct dnsmsg_answer answer = {0};
    struct dnsmsg_record record;
    enum status st;

    if (n == 0)
        return 0;
    st = dnsmsg_name_check(all);
    assert(st == ST_OK || st == ST_SYNTAX || st == ST_LIMIT);
    packed = all; /* from a program of ours that is no longer ours */
    while (dnsmsg_record_take(&packed, &record) == ST_OK)
        assert(record.data.n <= n);
    st = dnsmsg_answer_read(slice_skip(all, 1), types[data[0] % COUNT(types)], &name, &records, &answer);
    if (st != ST_OK) {
        assert(answer.outcome == DNSMSG_OUTCOME_NONE && (st == ST_SYNTAX || st == ST_LIMIT));
        return 0;
    }
    check_text(buf_slice(&name));
    assert((answer.outcome == DNSMSG_FOUND) == (answer.count > 0) && answer.count <= DNSMSG_RECORDS_MAX);
    assert(answer.outcome <= DNSMSG_FAILED);
    check_packed(buf_slice(&records), answer.count);
    return 0;
}
