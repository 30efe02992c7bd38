/* The confinement line: what is refused changes nothing; what is taken is no root, and its paths lie in its
 * text. */
#include <assert.h>
#include <string.h>

#include "sys/confine_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct confine_line got, before;
    struct err err = {0};
    enum status st;

    memset(&got, 0x5a, sizeof(got));
    memset(&before, 0x5a, sizeof(before));
    st = confine_line_parse(slice_from(data, n), "fuzz", &got, &err);
    assert(st == ST_OK ||
           (st == ST_SYNTAX && err.text[0] != '\0' && memcmp(&got, &before, sizeof(got)) == 0));
    if (st != ST_OK)
        return 0;
    assert(got.confinement.uid != 0 && got.confinement.gid != 0 && got.confinement.calls != 0);
    for (size_t i = 0; i < CONFINE_PATHS && got.confinement.paths[i].path != NULL; i++) {
        const char *path = got.confinement.paths[i].path;

        assert(path >= got.text && path < got.text + sizeof(got.text) && path[0] == '/');
        assert(strnlen(path, (size_t)(got.text + sizeof(got.text) - path)) < sizeof(got.text));
    }
    return 0;
}
