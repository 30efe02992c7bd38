#include "dns/source.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys/fd.h"

static enum status
read_file(const char *file, struct buf *text, struct err *err)
{
    AUTO_FD fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return ST_NOTFOUND;
    if (fd < 0)
        return err_sys(err, "open %s", file);
    for (;;) {
        uint8_t *room = buf_reserve(text, 4096);
        ssize_t n;

        if (room == NULL)
            return err_set(err, ST_LIMIT, "%s is larger than %zu bytes", file, text->max);
        n = read(fd, room, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read %s", file);
        if (n == 0)
            return ST_OK;
        text->n += (size_t)n;
    }
}

static bool
blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool
not_blank(uint8_t c)
{
    return !blank(c);
}

static struct slice
take_word(struct slice *line)
{
    (void)take_while(line, blank);
    return take_while(line, not_blank);
}

enum status
source_servers(const char *file, struct source *source, struct err *err)
{
    AUTO_BUF text = BUF_INIT(SOURCE_FILE_MAX);
    enum status st = read_file(file, &text, err);
    struct slice rest = buf_slice(&text);

    source->n = 0;
    if (st == ST_NOTFOUND)
        return ST_OK;
    while (st == ST_OK && rest.n > 0) {
        struct slice line = take_until(&rest, '\n');

        (void)take_byte(&rest, '\n');
        if (source->n < SOURCE_SERVERS_MAX && slice_eq(take_word(&line), SLICE("nameserver")))
            source->n += slice_to_cstr(take_word(&line), source->servers[source->n], SOURCE_ADDRESS_MAX);
    }
    return st;
}

enum status
source_anchors(const char *file, struct source *source, struct err *err)
{
    AUTO_BUF text = BUF_INIT(SOURCE_FILE_MAX);
    enum status st = read_file(file, &text, err);
    struct slice rest = buf_slice(&text);

    buf_clear(&source->anchors);
    source->root = false;
    while (st == ST_OK && rest.n > 0) {
        struct slice line = take_until(&rest, '\n'), words;

        (void)take_byte(&rest, '\n');
        line = slice_trim(take_until(&line, ';'));
        words = line;
        if (line.n == 0)
            continue;
        if (slice_eq(take_word(&words), SLICE(".")))
            source->root = true;
        buf_put(&source->anchors, line);
        buf_putc(&source->anchors, '\n');
    }
    if (st == ST_OK && !buf_ok(&source->anchors))
        st = err_set(err, ST_LIMIT, "%s is too large", file);
    if (st != ST_OK)
        buf_clear(&source->anchors);
    return st;
}
