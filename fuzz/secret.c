/*
 * The file of secrets. A line that ends in a tab and "*" gets its right sum first, or no other line than ours
 * would be looked at. Promises: a refused file is left as it was; what was read is found by its name, in
 * order, and reads the same from the file again.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "auth/secret.h"
#include "base/buf.h"

static int dir = -1;
static char path[64];

static void
remove_dir(void)
{
    (void)unlinkat(dir, "s", 0);
    (void)unlinkat(dir, "s.new", 0);
    (void)rmdir(path);
}

static void
make_dir(void)
{
    (void)snprintf(path, sizeof(path), "%s/estafeta-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert(mkdtemp(path) != NULL);
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert(dir >= 0);
    (void)atexit(remove_dir);
}

static void
make_text(struct buf *text, struct slice in)
{
    while (in.n > 0) {
        struct slice line = take_until(&in, '\n');
        size_t start = text->n;
        bool sum = line.n >= 2 && line.p[line.n - 2] == '\t' && line.p[line.n - 1] == '*';

        buf_put(text, sum ? slice_sub(line, 0, line.n - 1) : line);
        if (sum)
            buf_printf(text, "%016llx", (unsigned long long)XXH3_64bits(text->p + start, text->n - start));
        if (take_byte(&in, '\n'))
            buf_putc(text, '\n');
    }
}

static void
write_file(struct slice text)
{
    int fd = openat(dir, "s", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n);
    (void)close(fd);
}

static void
read_file(struct buf *text)
{
    int fd = openat(dir, "s", O_RDONLY | O_CLOEXEC);
    uint8_t *room = buf_reserve(text, 1u << 20);
    ssize_t n;

    assert(fd >= 0 && room != NULL);
    n = read(fd, room, 1u << 20);
    assert(n >= 0);
    text->n += (size_t)n;
    (void)close(fd);
}

static size_t
walk(struct secrets *s)
{
    struct slice names[16], after = {0};
    size_t n, all = 0;

    while ((n = secrets_page(s, after, COUNT(names), names)) > 0) {
        for (size_t i = 0; i < n; i++) {
            const struct secret *secret = secrets_find(s, names[i]);

            assert(slice_cmp(names[i], after) > 0 && sasl_name_ok(names[i]));
            assert(secret != NULL && strnlen(secret->phc, SECRET_PHC_MAX) < SECRET_PHC_MAX);
            assert(secret->scram.iterations > 0);
            after = names[i];
        }
        all += n;
    }
    assert(all == secrets_count(s));
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO_BUF text = BUF_INIT(1u << 20), left = BUF_INIT(1u << 20);
    struct secrets *s = NULL;
    struct err err = {0};
    enum status st;
    size_t count;

    if (dir < 0)
        make_dir();
    make_text(&text, slice_from(data, n));
    if (!buf_ok(&text))
        return 0;
    write_file(buf_slice(&text));
    st = secrets_open(dir, "s", &s, &err);
    if (st != ST_OK) {
        assert((st == ST_CORRUPT || st == ST_NEWER) && err.text[0] != '\0');
        read_file(&left);
        assert(slice_eq(buf_slice(&left), buf_slice(&text)));
        return 0;
    }
    count = walk(s);
    st = secrets_set(s, SLICE("someone@a.example"), &(struct secret){.phc = "x", .scram.iterations = 4096},
                     &err);
    assert(st == ST_OK);
    count = walk(s);
    secrets_close(s);
    st = secrets_open(dir, "s", &s, &err);
    assert(st == ST_OK && walk(s) == count);
    secrets_close(s);
    return 0;
}
