#include "pop3/stuff.h"

void
pop3_stuff_init(struct pop3_stuff *w)
{
    *w = (struct pop3_stuff){.only_cr = true};
}

void
pop3_stuff_init_top(struct pop3_stuff *w, uint32_t lines)
{
    *w = (struct pop3_stuff){.only_cr = true, .top = true, .lines = lines};
}

/* A line, or the end of one, without its LF. */
static void
see_text(struct pop3_stuff *w, struct slice text)
{
    if (text.n == 0)
        return;
    w->only_cr = w->only_cr && !w->begun && text.n == 1 && text.p[0] == '\r';
    w->begun = true;
    w->cr = text.p[text.n - 1] == '\r';
    w->crlf = false;
}

static void
see_line_end(struct pop3_stuff *w)
{
    w->crlf = w->cr;
    if (w->body && w->lines > 0)
        w->lines--;
    else if (!w->body && w->only_cr) /* RFC 5322 2.1: the empty line after the header */
        w->body = true;
    w->done = w->top && w->body && w->lines == 0;
    w->begun = w->cr = w->dot = false;
    w->only_cr = true;
}

bool
pop3_stuff_next(struct pop3_stuff *w, struct slice *in, struct slice *piece)
{
    static const uint8_t dot = '.';
    struct slice at = *in;

    if (w->done || at.n == 0)
        return false;
    if (!w->begun && at.p[0] == '.' && !w->dot) {
        w->dot = true;
        *piece = slice_from(&dot, 1);
        return true;
    }
    do { /* as many lines as need no dot before them */
        see_text(w, take_until(&at, '\n'));
        if (!take_byte(&at, '\n'))
            break;
        see_line_end(w);
    } while (!w->done && at.n > 0 && at.p[0] != '.');
    w->any = true;
    *piece = slice_sub(*in, 0, in->n - at.n);
    *in = at;
    return true;
}

struct slice
pop3_stuff_end(const struct pop3_stuff *w)
{
    if (!w->any || w->crlf)
        return SLICE(".\r\n");
    return SLICE("\r\n.\r\n");
}
