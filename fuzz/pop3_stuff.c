/* The reply says the message byte for byte and ends once, whatever its pieces; TOP says a front of it. The
 * first byte chooses the pieces, the second the lines of TOP. */
#include <assert.h>

#include "base/buf.h"
#include "pop3/stuff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
run(struct pop3_stuff *w, struct slice in, size_t step, struct buf *out)
{
    while (in.n > 0) {
        struct slice part = slice_sub(in, 0, step), piece;

        in = slice_skip(in, step);
        while (pop3_stuff_next(w, &part, &piece)) {
            assert(piece.n > 0);
            buf_put(out, piece);
        }
        assert(w->done || part.n == 0);
    }
    buf_put(out, pop3_stuff_end(w));
}

/* Reads the reply as a client does that ends a line at any LF. */
static void
unstuff(struct slice in, struct buf *out)
{
    while (!slice_eq(in, SLICE(".\r\n"))) {
        struct slice line = take_until(&in, '\n');

        assert(in.n > 0 && !slice_eq(line, SLICE(".")) && !slice_eq(line, SLICE(".\r")));
        (void)take_byte(&in, '\n');
        if (slice_starts(line, '.'))
            line = slice_skip(line, 1);
        buf_put(out, line);
        buf_putc(out, '\n');
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice message = slice_skip(slice_from(data, n), 2);
    struct pop3_stuff w;
    AUTO_BUF whole = BUF_INIT(1 << 26);
    AUTO_BUF parts = BUF_INIT(1 << 26);
    AUTO_BUF again = BUF_INIT(1 << 26);

    if (n < 2)
        return 0;
    pop3_stuff_init(&w);
    run(&w, message, message.n, &whole);
    pop3_stuff_init(&w);
    run(&w, message, data[0] + 1u, &parts);
    assert(slice_eq(buf_slice(&whole), buf_slice(&parts)));
    unstuff(buf_slice(&whole), &again);
    assert(slice_has_prefix(buf_slice(&again), message));
    if (message.n == 0 || slice_has_suffix_nocase(message, SLICE("\r\n")))
        assert(again.n == message.n);
    else
        assert(again.n == message.n + 2);

    buf_clear(&parts);
    buf_clear(&again);
    pop3_stuff_init_top(&w, data[1]);
    run(&w, message, data[0] + 1u, &parts);
    unstuff(buf_slice(&parts), &again);
    if (w.done)
        assert(slice_has_prefix(message, slice_sub(buf_slice(&again), 0, again.n - (w.crlf ? 0 : 2))));
    else
        assert(slice_eq(buf_slice(&parts), buf_slice(&whole)));
    return 0;
}
