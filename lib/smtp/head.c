#include "smtp/head.h"

static void
name_ended(struct smtp_head *h)
{
    struct slice name = slice_trim(slice_from(h->name, h->n)); /* "Date :" (RFC 5322 4.5) */

    if (slice_eq(name, SLICE("received")))
        h->hops++;
    else if (slice_eq(name, SLICE("date")))
        h->date = true;
    else if (slice_eq(name, SLICE("message-id")))
        h->message_id = true;
    h->in_line = true;
}

void
smtp_head_feed(struct smtp_head *h, struct slice in)
{
    while (in.n > 0 && !h->done) {
        uint8_t c;

        if (h->in_line) {
            (void)take_until(&in, '\n');
            if (take_byte(&in, '\n')) {
                h->in_line = false;
                h->n = 0;
            }
            continue;
        }
        c = in.p[0];
        in = slice_skip(in, 1);
        if (c == '\n') {
            h->done = h->n == 0 || (h->n == 1 && h->name[0] == '\r');
            h->n = 0;
        } else if (c == ':') {
            name_ended(h);
        } else if ((h->n == 0 && (c == ' ' || c == '\t')) ||
                   h->n == SMTP_HEAD_NAME) { /* folded, or another's */
            h->in_line = true;
        } else {
            h->name[h->n++] = ascii_lower(c);
        }
    }
}
