#include "dnsmsg/record.h"

#include <arpa/inet.h>

enum form { ADDRESS4, ADDRESS16, NAME, EXCHANGE, STRINGS, BYTES };

static const struct row {
    uint16_t type;
    enum form form;
    const char *name;
} rows[] = {
#define DNSMSG_ROW(name, number, form) {number, form, #name},
    DNSMSG_TYPES(DNSMSG_ROW)
#undef DNSMSG_ROW
};

#define BYTES_LEAST 4u /* DNSKEY: flags, protocol, algorithm; TLSA: three numbers and something behind them  \
                        */

static const struct row *
row_of(uint16_t type)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

const char *
dnsmsg_type_name(uint16_t type)
{
    const struct row *row = row_of(type);

    return row != NULL ? row->name : NULL;
}

bool
dnsmsg_type_of(struct slice name, uint16_t *type)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (slice_eq_nocase(name, slice_of(rows[i].name))) {
            *type = rows[i].type;
            return true;
        }
    return false;
}

void
dnsmsg_record_put(struct buf *records, const struct dnsmsg_record *record)
{
    buf_put_le16(records, record->type);
    buf_put_le32(records, record->ttl);
    buf_put_le16(records, record->preference);
    buf_put_le32(records, (uint32_t)record->data.n);
    buf_put(records, record->data);
}

/* A name that fills the rest of the rdata. */
static enum status
decode_name(struct slice message, size_t at, size_t end, struct buf *to)
{
    enum status st = dnsmsg_name_take(slice_sub(message, 0, end), &at, to);

    return st == ST_OK && at != end ? ST_SYNTAX : st;
}

/* RFC 1035 3.3.14: one string at least */
static enum status
decode_strings(struct slice rdata, struct buf *to)
{
    if (rdata.n == 0)
        return ST_SYNTAX;
    while (rdata.n > 0) {
        size_t n = rdata.p[0];
        struct slice string;

        rdata = slice_skip(rdata, 1);
        if (!take_bytes(&rdata, n, &string))
            return ST_SYNTAX;
        buf_put(to, string);
    }
    return buf_ok(to) ? ST_OK : ST_LIMIT;
}

static enum status
decode_data(struct slice message, size_t at, size_t n, enum form form, struct buf *to, uint16_t *preference)
{
    struct slice rdata = slice_sub(message, at, n);

    switch (form) {
    case NAME:
        return decode_name(message, at, at + n, to);
    case EXCHANGE:
        if (n < 3)
            return ST_SYNTAX;
        *preference = (uint16_t)(rdata.p[0] << 8 | rdata.p[1]);
        return decode_name(message, at + 2, at + n, to);
    case STRINGS:
        return decode_strings(rdata, to);
    case ADDRESS4:
    case ADDRESS16:
        if (n != (form == ADDRESS4 ? 4u : 16u))
            return ST_SYNTAX;
        break;
    case BYTES:
        if (n < BYTES_LEAST)
            return ST_SYNTAX;
        break;
    }
    buf_put(to, rdata);
    return buf_ok(to) ? ST_OK : ST_LIMIT;
}

enum status
dnsmsg_record_decode(struct slice message, size_t at, size_t n, uint16_t type, uint32_t ttl,
                     struct buf *records)
{
    const struct row *row = row_of(type);
    AUTO_BUF data = BUF_INIT(UINT16_MAX);
    struct dnsmsg_record record = {.type = type, .ttl = ttl};
    enum status st;

    if (row == NULL || at > message.n || n > message.n - at)
        return ST_SYNTAX;
    st = decode_data(message, at, n, row->form, &data, &record.preference);
    if (st != ST_OK)
        return st;
    record.data = buf_slice(&data);
    dnsmsg_record_put(records, &record);
    return buf_ok(records) ? ST_OK : ST_LIMIT;
}

static bool
data_fits(const struct dnsmsg_record *r, enum form form)
{
    if (r->preference != 0 && form != EXCHANGE)
        return false;
    switch (form) {
    case ADDRESS4:
        return r->data.n == 4;
    case ADDRESS16:
        return r->data.n == 16;
    case NAME:
    case EXCHANGE:
        return r->data.n > 0 && r->data.n <= DNSMSG_TEXT_MAX && slice_find(r->data, '\0') == r->data.n;
    case STRINGS:
        return r->data.n <= UINT16_MAX;
    case BYTES:
        return r->data.n >= BYTES_LEAST && r->data.n <= UINT16_MAX;
    }
    return false;
}

enum status
dnsmsg_record_take(struct slice *records, struct dnsmsg_record *record)
{
    struct slice at = *records;
    struct dnsmsg_record got = {0};
    const struct row *row;
    uint32_t n;

    if (at.n == 0)
        return ST_NOTFOUND;
    if (!take_le16(&at, &got.type) || !take_le32(&at, &got.ttl) || !take_le16(&at, &got.preference) ||
        !take_le32(&at, &n) || !take_bytes(&at, n, &got.data))
        return ST_SYNTAX;
    row = row_of(got.type);
    if (row == NULL || !data_fits(&got, row->form))
        return ST_SYNTAX;
    *records = at;
    *record = got;
    return ST_OK;
}

/* As in a zone file: quoted, what is not printable as \DDD (RFC 1035 5.1). */
static void
put_quoted(struct buf *out, struct slice text)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];

        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            buf_printf(out, "\\%03u", c);
        else
            buf_putc(out, c);
    }
    buf_putc(out, '"');
}

void
dnsmsg_record_text(struct buf *out, const struct dnsmsg_record *record)
{
    const struct row *row = row_of(record->type);
    char text[INET6_ADDRSTRLEN];

    switch (row != NULL ? row->form : BYTES) {
    case ADDRESS4:
    case ADDRESS16:
        if (inet_ntop(record->data.n == 4 ? AF_INET : AF_INET6, record->data.p, text, sizeof(text)) != NULL)
            buf_puts(out, text);
        return;
    case EXCHANGE:
        buf_printf(out, "%u ", record->preference);
        buf_put(out, record->data);
        return;
    case NAME:
        buf_put(out, record->data);
        return;
    case STRINGS:
        put_quoted(out, record->data);
        return;
    case BYTES:
        if (record->type == DNSMSG_TLSA && record->data.n > 3)
            buf_printf(out, "%u %u %u ", record->data.p[0], record->data.p[1], record->data.p[2]);
        buf_put_hex(out, slice_skip(record->data, record->type == DNSMSG_TLSA ? 3 : 0));
        return;
    }
}
