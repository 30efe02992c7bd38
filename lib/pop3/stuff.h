/*
 * A message as the lines of a POP3 reply (RFC 1939 3): dots stuffed, ended with "." CR LF,
 * for TOP only its header and some lines. Fed slices of the message as the store gives them;
 * gives back pieces of those very slices, so that nothing is copied. No I/O.
 *
 * A dot is stuffed after every LF, not only after CR LF: there are clients that take a bare LF
 * for a line's end, and a message must not be able to end its own reply and forge the next
 * one. A strict client sees one dot more in such a line, which no sane message has.
 */
#pragma once
#include "base/slice.h"

struct pop3_stuff {
    bool top;       /* only the header and `lines` lines of the body */
    bool body;      /* the empty line after the header has gone by */
    bool done;      /* TOP has all it wants: nothing more is taken */
    bool dot;       /* the dot for the line that begins was given out */
    bool begun;     /* in the middle of a line */
    bool cr, crlf;  /* the last byte was a CR; the last two were CR LF */
    bool only_cr;   /* the line so far is "" or CR: if it ends now, it is empty */
    bool any;       /* something was given out */
    uint32_t lines; /* of the body still wanted */
};

/* For RETR, and for TOP with the number of its lines. */
void pop3_stuff_init(struct pop3_stuff *w);
void pop3_stuff_init_top(struct pop3_stuff *w, uint32_t lines);

/* The next bytes to send: *piece points into *in, whose front is moved past it, or at a static dot. False
 * when *in is used up, or w->done (what is left of the message need not be read). */
bool pop3_stuff_next(struct pop3_stuff *w, struct slice *in, struct slice *piece);
/* What ends the reply, after the last slice: CR LF if the last line lacks it, and "." CR LF. Static. */
struct slice pop3_stuff_end(const struct pop3_stuff *w);
