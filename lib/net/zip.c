#include "net/zip.h"

#include <stdlib.h>
#include <zlib.h>

struct zip {
    z_stream in, out;
};

struct zip *
zip_new(void)
{
    struct zip *z = calloc(1, sizeof *z);

    if (z == NULL)
        return NULL;
    if (inflateInit2(&z->in, -15) != Z_OK) { /* RFC 4978 4: raw deflate, and any window */
        free(z);
        return NULL;
    }
    if (deflateInit2(&z->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -ZIP_WINDOW, ZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        (void)inflateEnd(&z->in);
        free(z);
        return NULL;
    }
    return z;
}

void
zip_free(struct zip *z)
{
    if (z == NULL)
        return;
    (void)inflateEnd(&z->in);
    (void)deflateEnd(&z->out);
    free(z);
}

static uInt
cut(size_t n)
{
    return n < 1u << 20 ? (uInt)n : 1u << 20;
}

enum status
zip_inflate(struct zip *z, struct slice *in, void *to, size_t room, size_t *n)
{
    uInt given = cut(in->n), space = cut(room);
    int got;

    z->in.next_in = (Bytef *)(uintptr_t)in->p; /* zlib does not write there */
    z->in.avail_in = given;
    z->in.next_out = to;
    z->in.avail_out = space;
    got = inflate(&z->in, Z_SYNC_FLUSH);
    *n = space - z->in.avail_out;
    *in = slice_skip(*in, given - z->in.avail_in);
    return got == Z_OK || got == Z_BUF_ERROR ? ST_OK : ST_CORRUPT;
}

void
zip_deflate(struct zip *z, struct slice *in, bool flush, void *to, size_t room, size_t *n)
{
    uInt given = cut(in->n), space = cut(room);

    z->out.next_in = (Bytef *)(uintptr_t)in->p;
    z->out.avail_in = given;
    z->out.next_out = to;
    z->out.avail_out = space;
    (void)deflate(&z->out, flush && given == in->n ? Z_SYNC_FLUSH : Z_NO_FLUSH); /* Z_BUF_ERROR: nothing to do */
    *n = space - z->out.avail_out;
    *in = slice_skip(*in, given - z->out.avail_in);
}
