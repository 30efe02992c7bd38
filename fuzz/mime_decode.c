/* Decoders take any bytes; words and charsets come out as UTF-8. */
#include <assert.h>

#include "mime/date.h"
#include "mime/decode.h"
#include "mime/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice in = slice_from(data, n), header = in, name, field_names[2];
    AUTO_BUF out = BUF_INIT(8 * n + 4096);
    struct mime_field field;
    int64_t utc;
    int16_t zone;
    size_t total = 0;

    mime_put_decoded(&out, SLICE("base64"), in);
    mime_put_decoded(&out, SLICE("quoted-printable"), in);
    assert(buf_ok(&out) && out.n <= 2 * n);
    buf_clear(&out);
    mime_put_words(&out, in);
    mime_put_ext_value(&out, in);
    name = slice_sub(in, 0, n / 4);
    mime_put_utf8(&out, name, slice_skip(in, n / 4));
    (void)mime_contains(slice_skip(in, n / 4), name);
    (void)mime_header_contains(in, SLICE("subject"), name);
    if (mime_date_parse(in, &utc, &zone) == ST_OK) {
        buf_clear(&out);
        mime_put_internaldate(&out, utc, zone);
        assert(out.n == 28);
    }
    while (take_field(&header, &field)) {
        assert(field.name.n > 0 || field.value.p != NULL);
        total += field.whole.n;
    }
    assert(total <= n);
    field_names[0] = SLICE("to");
    field_names[1] = name;
    buf_clear(&out);
    mime_put_fields(&out, in, field_names, 2, false);
    assert(buf_ok(&out) && out.n <= n + 2);
    return 0;
}
