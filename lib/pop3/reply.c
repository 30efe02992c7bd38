#include "pop3/reply.h"

#include <assert.h>

static const struct {
    enum status st;
    struct pop3_reply reply;
} table[] = {
    {ST_SYNTAX,      {NULL, "Wrong arguments"}                         },
    {ST_LIMIT,       {NULL, "Line too long"}                           },
    {ST_NOTFOUND,    {NULL, "No such message"}                         },
    {ST_DENIED,      {"AUTH", "Authentication failed"}                 }, /* RFC 3206 4 */
    {ST_STATE,       {NULL, "Not now"}                                 },
    {ST_UNSUPPORTED, {NULL, "Not offered"}                             },
    {ST_EXISTS,      {"IN-USE", "Mailbox is in use by another session"}}, /* RFC 2449 8.1.2 */
    {ST_QUOTA,       {"SYS/PERM", "Over quota"}                        },
    {ST_CORRUPT,     {"SYS/PERM", "Stored message is damaged"}         },
    {ST_STALE,       {"SYS/TEMP", "Mailbox has changed; log in again"} },
    {ST_TIMEOUT,     {"SYS/TEMP", "Timed out"}                         },
};
static const struct pop3_reply unknown = {"SYS/TEMP", "Temporary failure; try later"};

const struct pop3_reply *
pop3_reply_of(enum status st)
{
    for (size_t i = 0; i < COUNT(table); i++)
        if (table[i].st == st)
            return &table[i].reply;
    return &unknown;
}

static void
put_line(struct buf *out, const char *head, const char *code, struct slice text)
{
    size_t room = POP3_REPLY_MAX - 2 - strlen(head);

    buf_puts(out, head);
    if (code != NULL) {
        buf_printf(out, "[%s] ", code);
        room -= strlen(code) + 3;
    }
    text = slice_sub(text, 0, room);
    for (size_t i = 0; i < text.n; i++)
        buf_putc(out, text.p[i] < 0x20 || text.p[i] > 0x7e ? '?' : text.p[i]);
    buf_puts(out, "\r\n");
}

void
pop3_put_ok(struct buf *out, struct slice text)
{
    /* RFC 2449 8: text that begins with "[" is read as a response code; ours has none after +OK. */
    assert(!slice_starts(text, '['));
    put_line(out, text.n > 0 ? "+OK " : "+OK", NULL, text);
}

void
pop3_put_err(struct buf *out, const char *code, struct slice text)
{
    assert(code == NULL || strlen(code) < 32);
    put_line(out, "-ERR ", code, text);
}

void
pop3_put_status(struct buf *out, enum status st)
{
    const struct pop3_reply *reply = pop3_reply_of(st);

    pop3_put_err(out, reply->code, slice_of(reply->text));
}

void
pop3_put_challenge(struct buf *out, struct slice base64)
{
    buf_puts(out, "+ "); /* the space also before nothing: clients wait for it */
    buf_put(out, base64);
    buf_puts(out, "\r\n");
}

void
pop3_put_end(struct buf *out)
{
    buf_puts(out, ".\r\n");
}

void
pop3_put_stat(struct buf *out, uint32_t count, uint64_t size)
{
    buf_printf(out, "+OK %u %llu\r\n", count, (unsigned long long)size);
}

/* Listings have a line for each of perhaps 100,000 messages: no printf. */
static void
put_number(struct buf *out, bool ok, uint32_t message)
{
    if (ok)
        buf_puts(out, "+OK ");
    buf_put_u64(out, message);
    buf_putc(out, ' ');
}

void
pop3_put_list(struct buf *out, bool ok, uint32_t message, uint64_t size)
{
    put_number(out, ok, message);
    buf_put_u64(out, size);
    buf_puts(out, "\r\n");
}

void
pop3_put_uidl(struct buf *out, bool ok, uint32_t message, struct slice uid)
{
    assert(uid.n > 0 && uid.n <= POP3_UIDL_MAX);
    put_number(out, ok, message);
    buf_put(out, uid);
    buf_puts(out, "\r\n");
}

bool
pop3_put_lang(struct buf *out, struct slice range)
{
    static const char *const tags[] = {"*", "en", "i-default"}; /* what our words match; RFC 4647 3.3.1 */

    if (range.n == 0) {
        buf_puts(out, "+OK Languages follow\r\nen English\r\ni-default English\r\n");
        pop3_put_end(out);
        return true;
    }
    for (size_t i = 0; i < COUNT(tags); i++)
        if (slice_eq_nocase(range, slice_of(tags[i]))) {
            /* RFC 6856 3.2: the exact tag that was selected, then words */
            pop3_put_ok(out, slice_eq_nocase(range, SLICE("i-default")) ? SLICE("i-default Language set")
                                                                        : SLICE("en Language set"));
            return true;
        }
    pop3_put_err(out, NULL, SLICE("No such language; LANG alone lists them"));
    return false;
}

void
pop3_put_capa(struct buf *out, const struct pop3_capa *capa)
{
    buf_puts(out, "+OK Capabilities follow\r\n"
                  "TOP\r\n"
                  "UIDL\r\n"
                  "PIPELINING\r\n"
                  "RESP-CODES\r\n"
                  "AUTH-RESP-CODE\r\n" /* RFC 3206 5 */
                  "EXPIRE NEVER\r\n");
    if (capa->stls)
        buf_puts(out, "STLS\r\n");
    if (capa->user)
        buf_puts(out, "USER\r\n");
    if (capa->utf8)
        buf_puts(out, "UTF8 USER\r\n"); /* names and passwords too: authd prepares them (RFC 6856 2.2) */
    buf_puts(out, "LANG\r\n");
    if (capa->login_delay > 0)
        buf_printf(out, "LOGIN-DELAY %u\r\n", capa->login_delay);
    if (capa->mechanisms.n > 0) {
        buf_puts(out, "SASL ");
        buf_put(out, capa->mechanisms);
        buf_puts(out, "\r\n");
    }
    buf_puts(out, "IMPLEMENTATION Estafeta\r\n");
    pop3_put_end(out);
}
