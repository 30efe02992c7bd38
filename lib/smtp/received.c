#include "smtp/received.h"

#include <arpa/inet.h>
#include <time.h>

#define WORD_MAX 255u

struct slice
smtp_with(bool esmtp, bool tls, bool auth, bool utf8)
{
    static const char *const words[] = {"ESMTP",     "ESMTPA",     "ESMTPS",     "ESMTPSA",
                                        "UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"};

    if (!esmtp)
        return SLICE("SMTP");
    return slice_of(words[(utf8 ? 4 : 0) + (tls ? 2 : 0) + (auth ? 1 : 0)]);
}

/* A word that cannot end the field, a comment or the clause it stands in. */
static void
put_word(struct buf *out, struct slice word)
{
    for (size_t i = 0; i < word.n && i < WORD_MAX; i++) {
        uint8_t c = word.p[i];
        bool good = c > 0x20 && c < 0x7f && strchr("()<>\\;\"", c) == NULL;

        buf_putc(out, good ? c : '?');
    }
}

void
smtp_address_put(struct buf *out, const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    bool v4 = memcmp(address, mapped, sizeof(mapped)) == 0;

    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, text, sizeof(text)) != NULL)
        buf_puts(out, text);
}

/* RFC 5321 4.1.3: an IPv6 address carries its tag */
static void
put_literal(struct buf *out, const uint8_t address[16])
{
    AUTO_BUF text = BUF_INIT(64);

    smtp_address_put(&text, address);
    buf_putc(out, '[');
    if (slice_find(buf_slice(&text), ':') < text.n)
        buf_puts(out, "IPv6:");
    buf_put(out, buf_slice(&text));
    buf_putc(out, ']');
}

void
smtp_date_put(struct buf *out, uint64_t when)
{
    /* strftime would ask the locale */
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(when / 1000000000u);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL) {
        out->failed = true;
        return;
    }
    buf_printf(out, "%s, %d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
               tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void
put_path(struct buf *out, struct smtp_path path)
{
    buf_putc(out, '<');
    buf_put(out, path.local);
    if (path.domain.n > 0) {
        buf_putc(out, '@');
        buf_put(out, path.domain);
    }
    buf_putc(out, '>');
}

static void
put_tls(struct buf *out, const struct smtp_trace *trace)
{
    if (!trace->tls || trace->tls_version.n == 0)
        return;
    buf_puts(out, "\r\n\t(");
    put_word(out, trace->tls_version);
    if (trace->cipher.n > 0) {
        buf_putc(out, ' ');
        put_word(out, trace->cipher);
    }
    buf_putc(out, ')');
}

void
smtp_received_put(struct buf *out, const struct smtp_trace *trace)
{
    buf_puts(out, "Received: from ");
    if (trace->helo.n > 0)
        put_word(out, trace->helo);
    else
        put_literal(out, trace->peer);
    buf_puts(out, " (");
    if (trace->peer_name.n > 0) {
        put_word(out, trace->peer_name);
        buf_putc(out, ' ');
    }
    put_literal(out, trace->peer);
    buf_puts(out, ")");
    put_tls(out, trace);
    buf_puts(out, "\r\n\tby ");
    put_word(out, trace->host);
    buf_puts(out, " with ");
    buf_put(out, smtp_with(trace->esmtp, trace->tls, trace->auth, trace->utf8));
    if (trace->id.n > 0) {
        buf_puts(out, " id ");
        put_word(out, trace->id);
    }
    if (trace->only_rcpt != NULL) {
        buf_puts(out, "\r\n\tfor ");
        put_path(out, *trace->only_rcpt);
    }
    buf_puts(out, "; ");
    smtp_date_put(out, trace->when);
    buf_puts(out, "\r\n");
}

void
smtp_return_path_put(struct buf *out, struct smtp_path from)
{
    buf_puts(out, "Return-Path: ");
    put_path(out, from);
    buf_puts(out, "\r\n");
}
