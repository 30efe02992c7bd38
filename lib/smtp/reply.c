#include "smtp/reply.h"

static const struct smtp_reply replies[] = {
#define ROW(name, code, enhanced, text, log) {code, enhanced, text, log},
    SMTP_REPLIES(ROW)
#undef ROW
};

/* status, reply: RFC 5321 4.2.3, RFC 3463 3 */
static const struct {
    enum status st;
    enum smtp_row row;
} rows[] = {
    {ST_OK, SMTP_R_OK},
    {ST_SYNTAX, SMTP_R_SYNTAX},
    {ST_LIMIT, SMTP_R_TOO_LARGE},
    {ST_NOTFOUND, SMTP_R_NO_USER},
    {ST_DENIED, SMTP_R_RELAYING_DENIED},
    {ST_STATE, SMTP_R_OUT_OF_ORDER},
    {ST_QUOTA, SMTP_R_MAILBOX_FULL},
    {ST_NOSPACE, SMTP_R_NO_SPACE},
    {ST_TIMEOUT, SMTP_R_BUSY},
    {ST_UNAVAILABLE, SMTP_R_UNAVAILABLE},
    {ST_UNSUPPORTED, SMTP_R_UNSUPPORTED},
    {ST_MEMORY, SMTP_R_NO_MEMORY},
    {ST_CANCELLED, SMTP_R_STOPPING},
};

const struct smtp_reply *
smtp_reply(enum smtp_row row)
{
    return &replies[row < SMTP_R_COUNT ? row : SMTP_R_DOUBT];
}

enum smtp_row
smtp_row_of(enum status st)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].st == st)
            return rows[i].row;
    return SMTP_R_DOUBT;
}

const struct smtp_reply *
smtp_reply_of(enum status st)
{
    return smtp_reply(smtp_row_of(st));
}

static void
put_line(struct buf *out, unsigned code, char separator, const char *enhanced, struct slice line)
{
    size_t start = out->n, most = SMTP_REPLY_LINE_MAX - 2;

    buf_put_u64(out, code);
    buf_putc(out, (uint8_t)separator);
    if (enhanced != NULL && enhanced[0] != '\0') {
        buf_puts(out, enhanced);
        buf_putc(out, ' ');
    }
    for (size_t i = 0; i < line.n && buf_ok(out) && out->n - start < most; i++)
        buf_putc(out, line.p[i] >= 0x20 && line.p[i] < 0x7f ? line.p[i] : '?');
    buf_puts(out, "\r\n");
}

void
smtp_reply_put(struct buf *out, unsigned code, const char *enhanced, struct slice text)
{
    struct slice line = take_until(&text, '\n');

    while (take_byte(&text, '\n')) {
        put_line(out, code, '-', enhanced, line);
        line = take_until(&text, '\n');
    }
    put_line(out, code, ' ', enhanced, line);
}
