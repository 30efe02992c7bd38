#include "proxy/proxy.h"

#include <arpa/inet.h>
#include <assert.h>

#define HEAD       16u /* signature, version and command, family and transport, length */
#define UNIX_ROOM  216u
#define UNIQUE_MAX 128u /* section 2.2.5 */
#define TLV_HEAD   3u
#define SSL_HEAD   5u   /* client bits, verify result */
#define SSL_CLIENT 0x01 /* PP2_CLIENT_SSL */

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static uint16_t
be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* CRC-32C, bit by bit: once a connection and over some dozens of bytes, a table is not worth its
 * cache lines. The bytes [skip, skip + 4) count as zeros, for there the checksum itself is. */
static uint32_t
crc32c(struct slice s, size_t skip)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < s.n; i++) {
        crc ^= i >= skip && i < skip + 4 ? 0 : s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0 - (crc & 1)));
    }
    return ~crc;
}

bool
proxy_tlv_next(struct slice *tlvs, struct proxy_tlv *out)
{
    struct slice at = *tlvs;
    struct slice head;
    struct proxy_tlv got;

    if (!take_bytes(&at, TLV_HEAD, &head) || !take_bytes(&at, be16(head.p + 1), &got.value))
        return false;
    got.type = head.p[0];
    *tlvs = at;
    *out = got;
    return true;
}

bool
proxy_tlv_find(const struct proxy *proxy, uint8_t type, struct slice *value)
{
    struct slice rest = proxy->tlvs;
    struct proxy_tlv tlv;

    while (proxy_tlv_next(&rest, &tlv))
        if (tlv.type == type) {
            *value = tlv.value;
            return true;
        }
    return false;
}

/* Only whole TLVs, to the last byte. */
static bool
tlvs_are_whole(struct slice tlvs)
{
    struct proxy_tlv tlv;

    while (proxy_tlv_next(&tlvs, &tlv))
        ;
    return tlvs.n == 0;
}

static bool
check_tlv(struct slice header, const struct proxy_tlv *tlv, struct proxy *got)
{
    struct slice v = tlv->value;

    switch (tlv->type) {
    case PROXY_TLV_CRC32C: /* section 2.2.3: whoever can check it must */
        return v.n == 4 &&
               crc32c(header, (size_t)(v.p - header.p)) == ((uint32_t)be16(v.p) << 16 | be16(v.p + 2));
    case PROXY_TLV_UNIQUE_ID:
        return v.n <= UNIQUE_MAX;
    case PROXY_TLV_SSL:
        if (v.n < SSL_HEAD || !tlvs_are_whole(slice_skip(v, SSL_HEAD)))
            return false;
        got->tls = (v.p[0] & SSL_CLIENT) != 0;
        return true;
    default: /* section 2.2.1: what is not known is passed over */
        return true;
    }
}

static bool
check_tlvs(struct slice header, struct proxy *got)
{
    struct slice rest = got->tlvs;
    struct proxy_tlv tlv;

    while (proxy_tlv_next(&rest, &tlv))
        if (!check_tlv(header, &tlv, got))
            return false;
    return rest.n == 0;
}

/* Section 2.2: the addresses, for the family in the upper half and the transport in the lower. */
static enum status
take_addresses(struct slice *body, uint8_t kind, struct proxy *got)
{
    size_t size = kind >> 4 == 1 ? 4 : kind >> 4 == 2 ? 16 : 0;
    struct slice a;

    if (kind >> 4 > 3 || (kind & 15) > 2)
        return ST_SYNTAX;
    if (kind >> 4 == 0 || (kind & 15) == 0) { /* UNSPEC: what follows is not known, so not even TLVs */
        *body = (struct slice){0};
        return ST_OK;
    }
    if ((kind & 15) == 2)
        return ST_UNSUPPORTED;
    if (kind >> 4 == 3)
        return take_bytes(body, UNIX_ROOM, &a) ? ST_OK : ST_SYNTAX;
    if (!take_bytes(body, 2 * size + 4, &a))
        return ST_SYNTAX;
    got->family = size == 4 ? 4 : 6;
    memcpy(got->source, a.p, size);
    memcpy(got->target, a.p + size, size);
    got->source_port = be16(a.p + 2 * size);
    got->target_port = be16(a.p + 2 * size + 2);
    return ST_OK;
}

static enum status
parse_v2(struct slice *in, struct proxy *out)
{
    struct proxy got = {.version = 2};
    struct slice header, body;
    enum status st;

    if (in->n > 12 && (in->p[12] >> 4 != 2 || (in->p[12] & 15) > 1))
        return ST_SYNTAX;
    if (in->n < HEAD)
        return ST_MORE;
    if (be16(in->p + 14) > PROXY_MAX - HEAD)
        return ST_LIMIT;
    header = slice_sub(*in, 0, HEAD + be16(in->p + 14));
    if (header.n < HEAD + be16(in->p + 14))
        return ST_MORE;
    body = slice_skip(header, HEAD);
    got.local = (in->p[12] & 15) == 0;
    if (!got.local) { /* LOCAL: all else is to be discarded, the family too */
        st = take_addresses(&body, in->p[13], &got);
        if (st != ST_OK)
            return st;
        got.tlvs = body;
        if (!check_tlvs(header, &got))
            return ST_SYNTAX;
    }
    *in = slice_skip(*in, header.n);
    *out = got;
    return ST_OK;
}

static bool
take_ip(struct slice *line, int family, uint8_t ip[16])
{
    struct slice word = take_until(line, ' ');
    char text[INET6_ADDRSTRLEN];

    return slice_to_cstr(word, text, sizeof text) && inet_pton(family, text, ip) == 1 && take_byte(line, ' ');
}

/* Section 2.1: no leading zeros. */
static bool
take_port(struct slice *line, uint16_t *port)
{
    uint64_t number;

    if (slice_starts(*line, '0') && line->n > 1 && ascii_digit(line->p[1]))
        return false;
    if (!take_number(line, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool
parse_v1_line(struct slice line, struct proxy *got)
{
    int family;

    if (!take_literal(&line, SLICE("PROXY ")))
        return false;
    if (take_literal(&line, SLICE("UNKNOWN"))) /* what follows on the line must be ignored */
        return line.n == 0 || line.p[0] == ' ';
    if (take_literal(&line, SLICE("TCP4 ")))
        family = AF_INET;
    else if (take_literal(&line, SLICE("TCP6 ")))
        family = AF_INET6;
    else
        return false;
    got->family = family == AF_INET ? 4 : 6;
    return take_ip(&line, family, got->source) && take_ip(&line, family, got->target) &&
           take_port(&line, &got->source_port) && take_byte(&line, ' ') &&
           take_port(&line, &got->target_port) && line.n == 0;
}

static enum status
parse_v1(struct slice *in, struct proxy *out)
{
    static const char words[] = "PROXY ";
    struct slice seen = slice_sub(*in, 0, PROXY_V1_MAX);
    struct proxy got = {.version = 1};
    size_t end = slice_find(seen, '\r');

    for (size_t i = 0; i < seen.n && i < sizeof words - 1; i++)
        if (seen.p[i] != (uint8_t)words[i])
            return ST_SYNTAX;
    if (slice_find(seen, '\n') < end) /* a line ends in CR LF and nothing else */
        return ST_SYNTAX;
    if (end + 1 >= seen.n)
        return seen.n == PROXY_V1_MAX ? ST_LIMIT : ST_MORE;
    if (seen.p[end + 1] != '\n' || !parse_v1_line(slice_sub(seen, 0, end), &got))
        return ST_SYNTAX;
    *in = slice_skip(*in, end + 2);
    *out = got;
    return ST_OK;
}

enum status
proxy_parse(struct slice *in, struct proxy *out)
{
    enum status st;

    if (in->n == 0)
        return ST_MORE;
    if (in->p[0] != signature[0])
        return parse_v1(in, out);
    if (memcmp(in->p, signature, in->n < sizeof signature ? in->n : sizeof signature) != 0)
        return ST_SYNTAX;
    st = parse_v2(in, out);
    assert(st != ST_MORE || in->n < PROXY_MAX);
    return st;
}
