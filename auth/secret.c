#include "auth/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sys/fd.h"

#define FIRST_LINE "estafeta-secrets 1\n"
#define LINE_MAX_BYTES 1024u
#define FILE_MAX (1u << 30)
#define SLACK_LINES 64u /* outdated lines that are not worth writing the file anew */

struct entry {
    struct entry *next; /* in its bucket */
    struct secret secret;
    size_t name_n;
    uint8_t name[]; /* name_n bytes */
};

struct secrets {
    int dir, fd;
    char file[64], fresh[80];
    off_t end;     /* of the last good line */
    size_t lines;  /* in the file, the first not counted */
    bool suspect;  /* a write or flush failed: nothing may be appended, only written anew */
    struct entry **buckets;
    size_t mask, count;
    struct entry **sorted; /* by name; NULL: not made since the last change */
};

static struct slice
entry_name(const struct entry *e)
{
    return slice_from(e->name, e->name_n);
}

static struct entry **
entry_at(const struct secrets *s, struct slice name)
{
    struct entry **link = &s->buckets[slice_hash(name) & s->mask];

    while (*link != NULL && !slice_eq(entry_name(*link), name))
        link = &(*link)->next;
    return link;
}

const struct secret *
secrets_find(const struct secrets *s, struct slice name)
{
    struct entry *e = *entry_at(s, name);

    return e != NULL ? &e->secret : NULL;
}

size_t
secrets_count(const struct secrets *s)
{
    return s->count;
}

static bool
grow(struct secrets *s)
{
    size_t mask = s->mask * 2 + 1;
    struct entry **buckets = calloc(mask + 1, sizeof(struct entry *));

    if (buckets == NULL)
        return false;
    for (size_t i = 0; i <= s->mask; i++)
        for (struct entry *e = s->buckets[i], *next; e != NULL; e = next) {
            struct entry **to = &buckets[slice_hash(entry_name(e)) & mask];

            next = e->next;
            e->next = *to;
            *to = e;
        }
    free(s->buckets);
    s->buckets = buckets;
    s->mask = mask;
    return true;
}

static void
unsort(struct secrets *s)
{
    free(s->sorted);
    s->sorted = NULL;
}

/* An entry for name, new or old; NULL without memory. In the table only after remember(). */
static struct entry *
prepare(struct secrets *s, struct slice name)
{
    struct entry *e;

    if (s->count > s->mask && !grow(s))
        return NULL;
    e = calloc(1, sizeof *e + name.n);
    if (e != NULL) {
        e->name_n = name.n;
        memcpy(e->name, name.p, name.n);
    }
    return e;
}

static void
forget(struct secrets *s, struct slice name)
{
    struct entry **link = entry_at(s, name), *e = *link;

    if (e == NULL)
        return;
    unsort(s);
    *link = e->next;
    OPENSSL_cleanse(&e->secret, sizeof e->secret);
    free(e);
    s->count--;
}

static void
remember(struct secrets *s, struct entry *e)
{
    struct entry **to;

    forget(s, entry_name(e));
    unsort(s);
    to = &s->buckets[slice_hash(entry_name(e)) & s->mask];
    e->next = *to;
    *to = e;
    s->count++;
}

#define SHA1 20u /* bytes of a SCRAM-SHA-1 key */

static void
put_verifier(struct buf *b, const struct scram_verifier *v, size_t n)
{
    buf_printf(b, "\t%u\t", v->iterations);
    buf_put_base64(b, slice_from(v->salt, SCRAM_SALT));
    buf_putc(b, '\t');
    buf_put_base64(b, slice_from(v->stored_key, n));
    buf_putc(b, '\t');
    buf_put_base64(b, slice_from(v->server_key, n));
}

/* Tab, sum, line end after what was put since `start`. */
static void
put_sum(struct buf *b, size_t start)
{
    buf_putc(b, '\t');
    buf_printf(b, "%016llx\n", (unsigned long long)XXH3_64bits(b->p + start, b->n - start));
}

static void
put_set(struct buf *b, struct slice name, const struct secret *secret)
{
    size_t start = b->n;

    buf_puts(b, "S\t");
    buf_put(b, name);
    buf_putc(b, '\t');
    buf_puts(b, secret->phc);
    put_verifier(b, &secret->scram, SASL_HASH);
    if (secret->sha1.iterations > 0)
        put_verifier(b, &secret->sha1, SHA1);
    put_sum(b, start);
}

static void
put_delete(struct buf *b, struct slice name)
{
    size_t start = b->n;

    buf_puts(b, "D\t");
    buf_put(b, name);
    put_sum(b, start);
}

/* "<text> <tab>", eaten. */
static bool
take_field(struct slice *in, struct slice *text)
{
    *text = take_until(in, '\t');
    return take_byte(in, '\t');
}

static bool
take_base64(struct slice *in, uint8_t *out, size_t n)
{
    AUTO_BUF bytes = BUF_INIT(n);
    struct slice text;

    if (!take_field(in, &text) || buf_put_unbase64(&bytes, text) != ST_OK || bytes.n != n)
        return false;
    memcpy(out, bytes.p, n);
    return true;
}

/* "<iterations> <tab> <salt> <tab> <stored> <tab> <server> <tab>", keys of n bytes. */
static bool
take_verifier(struct slice *in, struct scram_verifier *v, size_t n)
{
    uint64_t iterations = 0;

    if (!take_number(in, SCRAM_ITERATIONS_MAX, &iterations) || iterations == 0 || !take_byte(in, '\t'))
        return false;
    v->iterations = (uint32_t)iterations;
    return take_base64(in, v->salt, SCRAM_SALT) && take_base64(in, v->stored_key, n) && take_base64(in, v->server_key, n);
}

static bool
sum_right(struct slice line)
{
    char want[17];

    if (line.n < 17 || line.p[line.n - 17] != '\t')
        return false;
    snprintf(want, sizeof want, "%016llx", (unsigned long long)XXH3_64bits(line.p, line.n - 16));
    return slice_eq(slice_skip(line, line.n - 16), slice_of(want));
}

/* A line without its end. ST_CORRUPT when its sum or its form is not right. */
static enum status
load_line(struct secrets *s, struct slice line)
{
    struct slice kind, name, phc;
    struct secret got = {0};
    struct entry *e;

    if (!sum_right(line) || !take_field(&line, &kind) || !take_field(&line, &name) || !sasl_name_ok(name))
        return ST_CORRUPT;
    if (slice_eq(kind, SLICE("D")) && line.n == 16) {
        forget(s, name);
        return ST_OK;
    }
    if (!slice_eq(kind, SLICE("S")) || !take_field(&line, &phc) || !slice_to_cstr(phc, got.phc, sizeof got.phc))
        return ST_CORRUPT;
    if (!take_verifier(&line, &got.scram, SASL_HASH))
        return ST_CORRUPT;
    if (line.n != 16 && (!take_verifier(&line, &got.sha1, SHA1) || line.n != 16))
        return ST_CORRUPT;
    e = prepare(s, name);
    if (e == NULL)
        return ST_MEMORY;
    e->secret = got;
    remember(s, e);
    return ST_OK;
}

static enum status
load(struct secrets *s, struct slice text, struct err *err)
{
    struct slice at = text;

    if (!take_literal(&at, SLICE(FIRST_LINE)))
        return err_set(err, ST_NEWER, "%s: not a file of secrets of version 1", s->file);
    while (at.n > 0) {
        struct slice line = take_until(&at, '\n');
        bool whole = take_byte(&at, '\n');
        enum status st;

        if (!whole || (at.n == 0 && slice_find(line, 0) != line.n))
            return ST_OK; /* torn: s->end is before it */
        st = load_line(s, line);
        if (st == ST_MEMORY)
            return err_set(err, st, "%s: no memory", s->file);
        if (st != ST_OK)
            return err_set(err, st, "%s: line %zu is damaged: remove it, then set the password it was about again", s->file,
                           s->lines + 2);
        s->lines++;
        s->end = (off_t)(text.n - at.n);
    }
    return ST_OK;
}

/* Writes all secrets to a new file beside and puts it in the old one's place. */
static enum status
rewrite(struct secrets *s, struct err *err)
{
    AUTO_FD fd = openat(s->dir, s->fresh, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    AUTO_BUF b = BUF_INIT(FILE_MAX);

    if (fd < 0)
        return err_sys(err, "%s: create", s->fresh);
    buf_puts(&b, FIRST_LINE);
    for (size_t i = 0; i <= s->mask; i++)
        for (struct entry *e = s->buckets[i]; e != NULL; e = e->next)
            put_set(&b, entry_name(e), &e->secret);
    if (!buf_ok(&b))
        return err_set(err, ST_MEMORY, "%s: no memory to write it", s->fresh);
    if (!write_all(fd, buf_slice(&b)) || fsync(fd) != 0) {
        enum status st = err_sys(err, "%s: write", s->fresh);

        (void)unlinkat(s->dir, s->fresh, 0);
        return st;
    }
    if (renameat(s->dir, s->fresh, s->dir, s->file) != 0)
        return err_sys(err, "%s: rename", s->fresh);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = fd_keep(&fd);
    s->end = (off_t)b.n;
    s->lines = s->count;
    s->suspect = true; /* until the name is flushed too */
    if (fsync(s->dir) != 0)
        return err_unknown(err, "%s: flush its directory", s->file);
    s->suspect = false;
    return ST_OK;
}

/* Reads the file, or makes it. */
static enum status
open_file(struct secrets *s, struct err *err)
{
    AUTO_BUF text = BUF_INIT(FILE_MAX);
    struct stat about;
    enum status st;

    s->fd = openat(s->dir, s->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd < 0)
        return errno == ENOENT ? rewrite(s, err) : err_sys(err, "%s: open", s->file);
    if (fstat(s->fd, &about) != 0)
        return err_sys(err, "%s: stat", s->file);
    if (!S_ISREG(about.st_mode) || about.st_size > (off_t)FILE_MAX)
        return err_set(err, ST_CORRUPT, "%s: not a regular file, or too large", s->file);
    s->end = (off_t)strlen(FIRST_LINE);
    if (about.st_size > 0) {
        uint8_t *p = buf_reserve(&text, (size_t)about.st_size);

        if (p == NULL)
            return err_set(err, ST_MEMORY, "%s: no memory to read it", s->file);
        if (!pread_all(s->fd, p, (size_t)about.st_size, 0))
            return err_sys(err, "%s: read", s->file);
        text.n = (size_t)about.st_size;
    }
    st = load(s, buf_slice(&text), err);
    if (text.p != NULL)
        OPENSSL_cleanse(text.p, text.cap);
    if (st == ST_OK && (s->end != about.st_size || s->lines > s->count * 2 + SLACK_LINES))
        st = rewrite(s, err); /* a torn tail goes away like outdated lines */
    return st;
}

enum status
secrets_open(int dir, const char *name, struct secrets **out, struct err *err)
{
    struct secrets *s = calloc(1, sizeof *s);
    enum status st;

    if (s == NULL)
        return err_set(err, ST_MEMORY, "%s: no memory", name);
    s->dir = dir;
    s->fd = -1;
    s->mask = 63;
    s->buckets = calloc(s->mask + 1, sizeof(struct entry *));
    if (s->buckets == NULL || !slice_to_cstr(slice_of(name), s->file, sizeof s->file)) {
        secrets_close(s);
        return err_set(err, ST_LIMIT, "%s: name too long", name);
    }
    snprintf(s->fresh, sizeof s->fresh, "%s.new", s->file);
    st = open_file(s, err);
    if (st != ST_OK) {
        secrets_close(s);
        return st;
    }
    *out = s;
    return ST_OK;
}

void
secrets_close(struct secrets *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; s->buckets != NULL && i <= s->mask; i++)
        while (s->buckets[i] != NULL)
            forget(s, entry_name(s->buckets[i]));
    unsort(s);
    free(s->buckets);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

/* Appends a line and flushes it. After a failure the file's end is not known to be what we think. */
static enum status
append(struct secrets *s, struct slice line, struct err *err)
{
    enum status st;

    if (s->suspect || s->lines + 1 > s->count * 2 + SLACK_LINES) {
        st = rewrite(s, err);
        if (st != ST_OK)
            return st;
    }
    if (!pwrite_all(s->fd, line, s->end)) {
        s->suspect = true;
        return err_unknown(err, "%s: write", s->file);
    }
    if (fdatasync(s->fd) != 0) {
        s->suspect = true;
        return err_unknown(err, "%s: flush", s->file);
    }
    s->end += (off_t)line.n;
    s->lines++;
    return ST_OK;
}

enum status
secrets_set(struct secrets *s, struct slice name, const struct secret *secret, struct err *err)
{
    AUTO_BUF line = BUF_INIT(LINE_MAX_BYTES);
    struct entry *e;
    enum status st;

    if (!sasl_name_ok(name))
        return err_set(err, ST_SYNTAX, "not a name");
    put_set(&line, name, secret);
    e = prepare(s, name);
    if (e == NULL || !buf_ok(&line)) {
        free(e);
        return err_set(err, ST_MEMORY, "no memory");
    }
    e->secret = *secret;
    st = append(s, buf_slice(&line), err);
    if (st == ST_OK) {
        remember(s, e);
        return ST_OK;
    }
    OPENSSL_cleanse(&e->secret, sizeof e->secret);
    free(e);
    return st;
}

enum status
secrets_delete(struct secrets *s, struct slice name, struct err *err)
{
    AUTO_BUF line = BUF_INIT(LINE_MAX_BYTES);
    enum status st;

    if (secrets_find(s, name) == NULL)
        return err_set(err, ST_NOTFOUND, "no such name");
    put_delete(&line, name);
    st = buf_ok(&line) ? append(s, buf_slice(&line), err) : err_set(err, ST_MEMORY, "no memory");
    if (st == ST_OK)
        forget(s, name);
    return st;
}

static int
by_name(const void *a, const void *b)
{
    return slice_cmp(entry_name(*(struct entry *const *)a), entry_name(*(struct entry *const *)b));
}

static bool
sort(struct secrets *s)
{
    size_t n = 0;

    if (s->sorted != NULL)
        return true;
    s->sorted = calloc(s->count + 1, sizeof(struct entry *));
    if (s->sorted == NULL)
        return false;
    for (size_t i = 0; i <= s->mask; i++)
        for (struct entry *e = s->buckets[i]; e != NULL; e = e->next)
            s->sorted[n++] = e;
    qsort(s->sorted, n, sizeof(struct entry *), by_name);
    return true;
}

size_t
secrets_page(struct secrets *s, struct slice after, size_t most, struct slice *names)
{
    size_t low = 0, high = s->count, n = 0;

    if (!sort(s))
        return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (slice_cmp(entry_name(s->sorted[middle]), after) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    while (low < s->count && n < most && n < SECRET_PAGE_MAX)
        names[n++] = entry_name(s->sorted[low++]);
    return n;
}
