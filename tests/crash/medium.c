#include "tests/crash/medium.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"

#define NAME_MOST 128u

struct node;

#define BLOCK 16384u

/* A write or a change of size that is not durable yet. n 0: the size becomes `at`. bytes NULL: zeros. */
struct pending {
    uint64_t when, at, n;
    const uint8_t *bytes;
};

struct entry {
    char name[NAME_MOST];
    struct node *node;
};

/* A file or folder. */
struct node {
    struct node *next; /* of all, to free them */
    bool folder;
    /* file */
    uint8_t **blocks; /* the durable bytes; NULL: zeros. Pages are dear, and most of a segment is zeros */
    size_t n, n_blocks;
    struct pending *pending;
    size_t n_pending, cap_pending;
    uint64_t size_now; /* with what is pending */
    /* folder: as it looks now, and as the disk would show it */
    struct entry *now, *durable;
    size_t n_now, n_durable;
};

/* A change of names that is not durable yet: at most two names change at once. NULL node: the name goes. */
struct change {
    uint64_t when;
    struct node *folder[2];
    char name[2][NAME_MOST];
    struct node *node[2];
    int n;
    bool done;
};

struct medium {
    struct node *all, *root;
    struct node **handles;
    size_t n_handles;
    struct change *changes;
    size_t n_changes, cap_changes;
};

static void *
grown(void *p, size_t n)
{
    p = realloc(p, n);
    if (p == NULL)
        abort();
    return p;
}

static struct node *
new_node(struct medium *m, bool folder)
{
    struct node *node = calloc(1, sizeof(*node));

    if (node == NULL)
        abort();
    node->folder = folder;
    node->next = m->all;
    m->all = node;
    return node;
}

struct medium *
medium_new(void)
{
    struct medium *m = calloc(1, sizeof(*m));

    if (m == NULL)
        abort();
    m->root = new_node(m, true);
    return m;
}

void
medium_free(struct medium *m)
{
    while (m->all != NULL) {
        struct node *node = m->all;

        m->all = node->next;
        for (size_t i = 0; i < node->n_blocks; i++)
            free(node->blocks[i]);
        free(node->blocks);
        free(node->pending);
        free(node->now);
        free(node->durable);
        free(node);
    }
    free(m->handles);
    free(m->changes);
    free(m);
}

/* --- names --- */

static struct node *
look_up(const struct entry *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return list[i].node;
    return NULL;
}

static void
set_name(struct entry **list, size_t *n, const char *name, struct node *node)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*list)[i].name, name) != 0)
            continue;
        if (node != NULL)
            (*list)[i].node = node;
        else
            (*list)[i] = (*list)[--*n];
        return;
    }
    if (node == NULL)
        return;
    *list = grown(*list, (*n + 1) * sizeof(**list));
    (void)snprintf((*list)[*n].name, NAME_MOST, "%s", name);
    (*list)[(*n)++].node = node;
}

/* The folder that a path ends in, and its last name; *folder NULL when there is none. */
static void
walk(const struct medium *m, struct node *from, const char *path, size_t n, struct node **folder,
     char last[NAME_MOST])
{
    struct node *at = from;

    last[0] = '\0';
    for (size_t i = 0; i < n && at != NULL;) {
        size_t end = i;

        while (end < n && path[end] != '/')
            end++;
        if (end > i && !(end - i == 1 && path[i] == '.')) {
            if (last[0] != '\0')
                at = look_up(at->now, at->n_now, last);
            (void)snprintf(last, NAME_MOST, "%.*s", (int)(end - i), path + i);
        }
        i = end + 1;
    }
    *folder = at;
}

static struct change *
new_change(struct medium *m, uint64_t when)
{
    if (m->n_changes == m->cap_changes) {
        m->cap_changes = m->cap_changes == 0 ? 64 : 2 * m->cap_changes;
        m->changes = grown(m->changes, m->cap_changes * sizeof(*m->changes));
    }
    m->changes[m->n_changes] = (struct change){.when = when};
    return &m->changes[m->n_changes++];
}

static void
also(struct change *c, struct node *folder, const char *name, struct node *node)
{
    c->folder[c->n] = folder;
    (void)snprintf(c->name[c->n], NAME_MOST, "%s", name);
    c->node[c->n++] = node;
    set_name(&folder->now, &folder->n_now, name, node);
}

static void
make_durable(struct change *c)
{
    for (int i = 0; i < c->n; i++)
        set_name(&c->folder[i]->durable, &c->folder[i]->n_durable, c->name[i], c->node[i]);
    c->done = true;
}

static void
drop_done(struct medium *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_changes; i++)
        if (!m->changes[i].done)
            m->changes[n++] = m->changes[i];
    m->n_changes = n;
}

/* --- bytes --- */

/* Puts bytes, or zeros; the size is another matter. */
static void
put_bytes(struct node *f, uint64_t at, const uint8_t *bytes, uint64_t n)
{
    size_t blocks = (size_t)((at + n + BLOCK - 1) / BLOCK);

    if (blocks > f->n_blocks) {
        f->blocks = grown(f->blocks, blocks * sizeof(*f->blocks));
        memset(f->blocks + f->n_blocks, 0, (blocks - f->n_blocks) * sizeof(*f->blocks));
        f->n_blocks = blocks;
    }
    while (n > 0) {
        size_t in = at % BLOCK, part = BLOCK - in < n ? BLOCK - in : (size_t)n;
        uint8_t **block = &f->blocks[at / BLOCK];

        if (*block == NULL && bytes != NULL) {
            *block = grown(NULL, BLOCK);
            memset(*block, 0, BLOCK);
        }
        if (bytes != NULL)
            memcpy(*block + in, bytes, part);
        else if (*block != NULL)
            memset(*block + in, 0, part);
        bytes = bytes != NULL ? bytes + part : NULL;
        at += part;
        n -= part;
    }
}

/* What is behind the size is zeros, should the file grow again. */
static void
set_kept_size(struct node *f, uint64_t n)
{
    uint64_t end = (uint64_t)f->n_blocks * BLOCK;

    if (n < end)
        put_bytes(f, n, NULL, end - n);
    f->n = n;
}

static void
keep(struct node *f, const struct pending *p)
{
    if (p->n == 0) {
        set_kept_size(f, p->at);
        return;
    }
    put_bytes(f, p->at, p->bytes, p->n);
    if (p->at + p->n > f->n)
        f->n = p->at + p->n;
}

static void
add_pending(struct node *f, struct pending p)
{
    if (f->n_pending == f->cap_pending) {
        f->cap_pending = f->cap_pending == 0 ? 16 : 2 * f->cap_pending;
        f->pending = grown(f->pending, f->cap_pending * sizeof(*f->pending));
    }
    f->pending[f->n_pending++] = p;
    if (p.n == 0)
        f->size_now = p.at;
    else if (p.at + p.n > f->size_now)
        f->size_now = p.at + p.n;
}

/* What stays of the first n pending ones: a prefix of the changes of size, and in each sector those before
 * some one. */
static void
keep_some(struct node *f, size_t n, const struct cut *cut, uint64_t (*random)(uint64_t n))
{
    uint64_t sectors = f->size_now, size = f->n;
    size_t sizes = cut->stays == 0 ? 0 : cut->stays == 100 ? n : random(n + 1);
    uint8_t *stopped;

    for (size_t i = 0; i < n; i++)
        if (f->pending[i].at + f->pending[i].n > sectors)
            sectors = f->pending[i].at + f->pending[i].n;
    stopped = calloc(1, sectors / cut->sector + 1);
    if (stopped == NULL)
        abort();
    for (size_t i = 0; i < n; i++) {
        const struct pending *p = &f->pending[i];

        if (i < sizes)
            size = p->n == 0 || p->at + p->n > size ? p->at + p->n : size;
        for (uint64_t at = p->at; at < p->at + p->n;) {
            uint64_t sector = at / cut->sector, end = (sector + 1) * cut->sector;

            if (end > p->at + p->n)
                end = p->at + p->n;
            if (!stopped[sector] && random(100) >= cut->stays)
                stopped[sector] = 1;
            if (!stopped[sector])
                put_bytes(f, at, p->bytes != NULL ? p->bytes + (at - p->at) : NULL, end - at);
            at = end;
        }
    }
    free(stopped);
    set_kept_size(f, size);
}

/* All before `when` is durable, or after a failed flush is on the disk or lost. */
static void
flushed(struct medium *m, struct node *node, uint64_t when, bool failed)
{
    size_t n = 0, left = 0;

    if (node->folder) {
        for (size_t i = 0; i < m->n_changes && !failed; i++) {
            struct change *c = &m->changes[i];

            if (c->when < when && (c->folder[0] == node || (c->n == 2 && c->folder[1] == node)))
                make_durable(c);
        }
        drop_done(m);
        return;
    }
    while (n < node->n_pending && node->pending[n].when < when)
        n++;
    if (failed) /* each other one: a tape tells no more, and any choice is one that a disk may make */
        for (size_t i = 0; i < n; i++)
            if (i % 2 == 0)
                keep(node, &node->pending[i]);
    for (size_t i = 0; i < n && !failed; i++)
        keep(node, &node->pending[i]);
    for (size_t i = n; i < node->n_pending; i++)
        node->pending[left++] = node->pending[i];
    node->n_pending = left;
}

/* --- playing a tape --- */

static bool
nonsense(const char *what, uint64_t at, const char *name)
{
    (void)fprintf(stderr, "tape at %llu: %s %s\n", (unsigned long long)at, what, name);
    return false;
}

static struct node *
handle(const struct medium *m, uint32_t number)
{
    if (number == 0)
        return m->root;
    return number < m->n_handles ? m->handles[number] : NULL;
}

static bool
play_open(struct medium *m, const struct tape_event *e, const char *path, uint64_t at)
{
    struct node *from = handle(m, e->dir), *folder, *node;
    char last[NAME_MOST];

    if (from == NULL)
        return nonsense("open below an unknown folder", at, "");
    walk(m, from, path, e->n, &folder, last);
    if (folder == NULL)
        return nonsense("open in no folder", at, last);
    node = last[0] == '\0' ? folder : look_up(folder->now, folder->n_now, last);
    if (node == NULL && (e->flags & TAPE_CREATED) == 0)
        return nonsense("open of nothing", at, last);
    if (node == NULL) {
        node = new_node(m, false);
        also(new_change(m, at), folder, last, node);
    }
    if ((e->flags & TAPE_TRUNCATED) != 0 && node->size_now > 0)
        add_pending(node, (struct pending){at, 0, 0, NULL});
    if (e->file >= m->n_handles) {
        size_t n = (size_t)e->file + 64;

        m->handles = grown(m->handles, n * sizeof(*m->handles));
        memset(m->handles + m->n_handles, 0, (n - m->n_handles) * sizeof(*m->handles));
        m->n_handles = n;
    }
    m->handles[e->file] = node;
    return true;
}

static bool
play_names(struct medium *m, const struct tape_event *e, const char *path, uint64_t at)
{
    size_t first = strnlen(path, e->n), second = e->n > first ? e->n - first - 1 : 0;
    struct node *from = handle(m, e->dir), *folder, *to_folder = NULL, *node, *other;
    char last[NAME_MOST], to_last[NAME_MOST];
    struct change *c;

    if (from == NULL)
        return nonsense("names below an unknown folder", at, "");
    walk(m, from, path, first, &folder, last);
    if (second > 0)
        walk(m, from, path + first + 1, second, &to_folder, to_last);
    if (folder == NULL || (second > 0 && to_folder == NULL))
        return nonsense("names in no folder", at, last);
    node = look_up(folder->now, folder->n_now, last);
    if (e->op == TAPE_MKDIR) {
        also(new_change(m, at), folder, last, new_node(m, true));
        return true;
    }
    if (node == NULL) /* RocksDB's LOG was made by stdio */
        return strncmp(last, "LOG", 3) == 0 ? true : nonsense("no such name", at, last);
    c = new_change(m, at);
    if (e->op == TAPE_UNLINK) {
        also(c, folder, last, NULL);
        return true;
    }
    other = look_up(to_folder->now, to_folder->n_now, to_last);
    if (e->op == TAPE_RENAME)
        also(c, folder, last, (e->flags & TAPE_EXCHANGE) != 0 ? other : NULL);
    also(c, to_folder, to_last, node);
    return true;
}

static bool
play_one(struct medium *m, const struct tape_event *e, const uint8_t *bytes, uint64_t at)
{
    struct node *f = NULL;

    switch (e->op) {
    case TAPE_START:
        m->n_handles = 0;
        return true;
    case TAPE_OPEN:
        return play_open(m, e, (const char *)bytes, at);
    case TAPE_RENAME:
    case TAPE_LINK:
    case TAPE_UNLINK:
    case TAPE_MKDIR:
        return play_names(m, e, (const char *)bytes, at);
    default:
        break;
    }
    f = handle(m, e->file);
    if (f == NULL)
        return nonsense("unknown handle", at, "");
    switch (e->op) {
    case TAPE_WRITE:
        if ((e->flags & TAPE_ZEROS) != 0) {
            uint64_t n;

            memcpy(&n, bytes, sizeof(n));
            add_pending(f, (struct pending){at, e->offset, n, NULL});
        } else if (e->n > 0) {
            add_pending(f, (struct pending){at, e->offset, e->n, bytes});
        }
        return true;
    case TAPE_SIZE:
        if ((e->flags & TAPE_GROW) == 0 || e->offset > f->size_now)
            add_pending(f, (struct pending){at, e->offset, 0, NULL});
        return true;
    case TAPE_SYNC_BEGIN:
        return true;
    case TAPE_SYNC_END:
    case TAPE_SYNC_FAILED:
        flushed(m, f, e->offset, e->op == TAPE_SYNC_FAILED);
        return true;
    default:
        return nonsense("unknown event", at, "");
    }
}

bool
medium_play(struct medium *m, const struct tape *tape, uint64_t from, uint64_t to)
{
    while (from < to) {
        struct tape_event e;

        memcpy(&e, tape->bytes + from, sizeof(e));
        if (!play_one(m, &e, tape->bytes + from + sizeof(e), from))
            return false;
        from += sizeof(e) + ((e.n + 7) & ~(uint64_t)7);
    }
    return true;
}

/* --- the cut --- */

void
medium_cut(struct medium *m, const struct cut *cut, uint64_t (*random)(uint64_t n))
{
    size_t until = cut->in_order ? random(m->n_changes + 1) : m->n_changes;

    if (cut->stays == 100)
        until = m->n_changes;
    for (size_t i = 0; i < until && cut->stays > 0; i++)
        if (cut->in_order || random(100) < cut->stays)
            make_durable(&m->changes[i]);
    m->n_changes = 0;
    for (struct node *node = m->all; node != NULL; node = node->next) {
        if (!node->folder) {
            keep_some(node, node->n_pending, cut, random);
            node->n_pending = 0;
            node->size_now = node->n;
            continue;
        }
        node->now = grown(node->now, (node->n_durable + 1) * sizeof(*node->now));
        if (node->n_durable > 0)
            memcpy(node->now, node->durable, node->n_durable * sizeof(*node->now));
        node->n_now = node->n_durable;
    }
}

/* --- the image --- */

static bool
put_file(const struct node *f, int folder, const char *name)
{
    AUTO_FD fd = openat(folder, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)f->n) != 0)
        return false;
    for (size_t i = 0; i < f->n_blocks && i * BLOCK < f->n; i++) {
        size_t n = f->n - i * BLOCK < BLOCK ? f->n - i * BLOCK : BLOCK;

        if (f->blocks[i] != NULL && !pwrite_all(fd, slice_from(f->blocks[i], n), (off_t)(i * BLOCK)))
            return false;
    }
    return true;
}

static bool
put_folder(const struct node *node, int at)
{
    for (size_t i = 0; i < node->n_durable; i++) {
        const struct entry *e = &node->durable[i];

        if (!e->node->folder) {
            if (!put_file(e->node, at, e->name))
                return false;
            continue;
        }
        AUTO_FD below = -1;
        if (mkdirat(at, e->name, 0700) != 0)
            return false;
        below = openat(at, e->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (below < 0 || !put_folder(e->node, below))
            return false;
    }
    return true;
}

bool
medium_put(const struct medium *m, const char *path)
{
    AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && put_folder(m->root, fd);
}
