#include "imap/args.h"
#include "maa/imap/session.h"

/* The client waits, so nothing comes: what is not wanted is refused before it is sent. Else it is read and
 * thrown away, so that the next command is found. */
static void
refuse(struct session *s, uint64_t n, bool sync)
{
    while (!sync && n > 0 && !s->over) {
        struct slice bytes;

        if (stream_some(&s->stream, n < STREAM_INPUT ? (size_t)n : STREAM_INPUT,
                        loop_now(s->stream.loop) + OUTPUT_TIME, &bytes) != ST_OK)
            s->over = true;
        else
            n -= bytes.n;
    }
}

void
run_append(struct session *s, struct command *c, uint64_t n, bool sync)
{
    if (c->answer.n == 0)
        answer(c, "NO [UNAVAILABLE] APPEND cannot be done now");
    refuse(s, n, sync);
    imap_reader_next(&s->reader);
}
