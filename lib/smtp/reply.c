#include "smtp/reply.h"

/* status, reply: RFC 5321 4.2.3, RFC 3463 3 */
static const struct {
    enum status st;
    struct smtp_reply reply;
} table[] = {
    {ST_OK, {250, "2.0.0", "Ok"}},
    {ST_SYNTAX, {501, "5.5.4", "Syntax error in parameters or arguments"}},
    {ST_LIMIT, {552, "5.3.4", "Too large for this system"}},
    {ST_NOTFOUND, {550, "5.1.1", "No such user here"}},
    {ST_DENIED, {550, "5.7.1", "Not allowed"}},
    {ST_STATE, {503, "5.5.1", "Bad sequence of commands"}},
    {ST_QUOTA, {452, "4.2.2", "Mailbox is full"}},
    {ST_NOSPACE, {452, "4.3.1", "Not enough space on this system"}},
    {ST_TIMEOUT, {451, "4.3.1", "System is busy, try again later"}},
    {ST_UNAVAILABLE, {451, "4.3.2", "Service is not available now, try again later"}},
    {ST_UNSUPPORTED, {555, "5.5.4", "Parameter is not recognised"}},
    {ST_MEMORY, {452, "4.3.1", "Not enough memory, try again later"}},
    {ST_CANCELLED, {421, "4.3.2", "System is going down, try again later"}},
};

const struct smtp_reply *
smtp_reply_of(enum status st)
{
    static const struct smtp_reply doubt = {451, "4.3.0", "Cannot do that now, try again later"};

    for (size_t i = 0; i < COUNT(table); i++)
        if (table[i].st == st)
            return &table[i].reply;
    return &doubt;
}

static void
put_line(struct buf *out, unsigned code, char separator, const char *enhanced, struct slice line)
{
    size_t start = out->n, most = SMTP_REPLY_LINE_MAX - 2;

    buf_put_u64(out, code);
    buf_putc(out, (uint8_t)separator);
    if (enhanced != NULL) {
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
