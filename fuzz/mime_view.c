/* Hostile bytes as a stored digest: refused, or every reader and writer ends and stays inside. */
#include <assert.h>

#include "mime/imap_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF out = BUF_INIT(16u << 20);
    struct digest_view view;
    uint32_t path[3] = {1, 2, 1};

    if (digest_get(slice_from(data, n), &view) != ST_OK)
        return 0;
    digest_prefix(&view, 100);
    imap_put_envelope(&out, &view);
    imap_put_structure(&out, &view, true);
    imap_put_structure(&out, &view, false);
    for (size_t i = 0; i <= 3; i++) {
        for (int what = SECTION_ALL; what <= SECTION_MIME; what++) {
            struct imap_range range;

            if (imap_section_range(&view, path, i, (enum mime_section)what, &range) == ST_OK)
                assert(range.at <= view.header + view.body && range.n <= view.header + view.body - range.at);
        }
    }
    return 0;
}
