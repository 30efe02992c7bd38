/*
 * A planted bug, for tests/quarantine_test.py: this imapd crashes when it looks for header fields in a mail that has
 * "X-Crash:" among them. Linked only into imapd_crashes, in front of the real function (--wrap).
 */
#include <stdlib.h>

#include "mime/header.h"

void __real_mime_put_fields(struct buf *out, struct slice header, const struct slice *names, size_t n, bool others);
void __wrap_mime_put_fields(struct buf *out, struct slice header, const struct slice *names, size_t n, bool others);

void
__wrap_mime_put_fields(struct buf *out, struct slice header, const struct slice *names, size_t n, bool others)
{
    if (slice_find_slice(header, SLICE("X-Crash:")) < header.n)
        abort();
    __real_mime_put_fields(out, header, names, n, others);
}
