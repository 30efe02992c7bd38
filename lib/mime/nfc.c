#include "mime/nfc.h"

#include <stdlib.h>
#include <uninorm.h>
#include <unistr.h>

static bool
is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] >= 0x80)
            return false;
    return true;
}

bool
mime_put_nfc(struct slice text, struct buf *out)
{
    size_t n = 0;
    /* u8_normalize() would put U+FFFD for what is not UTF-8: different names would be the same. */
    bool as_is = is_ascii(text) || u8_check(text.p, text.n) != NULL;
    uint8_t *composed = as_is ? NULL : u8_normalize(UNINORM_NFC, text.p, text.n, NULL, &n);

    buf_put(out, composed != NULL ? slice_from(composed, n) : text);
    free(composed);
    return buf_ok(out);
}
