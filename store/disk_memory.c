#include "store/disk_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t mem_seed;

uint64_t
mem_rnd(uint64_t n)
{
    mem_seed ^= mem_seed << 13;
    mem_seed ^= mem_seed >> 7;
    mem_seed ^= mem_seed << 17;
    return n == 0 ? 0 : mem_seed % n;
}

struct file mem_files[MEM_FILES];
long mem_countdown = -1;
bool mem_off;
int mem_sync_fails;
static bool locked;

static bool
power(void)
{
    if (mem_off || (mem_countdown >= 0 && mem_countdown-- == 0))
        mem_off = true;
    if (mem_off)
        errno = EIO;
    return !mem_off;
}

static void
grow(struct file *f, size_t n)
{
    size_t cap = f->cap == 0 ? MEM_SECTOR * 256 : f->cap;

    while (cap < n)
        cap *= 2;
    if (cap == f->cap)
        return;
    f->now = realloc(f->now, cap);
    f->kept = realloc(f->kept, cap);
    f->dirty = realloc(f->dirty, cap / MEM_SECTOR);
    memset(f->now + f->cap, 0, cap - f->cap);
    memset(f->kept + f->cap, 0, cap - f->cap);
    memset(f->dirty + f->cap / MEM_SECTOR, 0, (cap - f->cap) / MEM_SECTOR);
    f->cap = cap;
}

static void
forget(struct file *f)
{
    free(f->now);
    free(f->kept);
    free(f->dirty);
    *f = (struct file){0};
}

static int
d_open(void *self, const char *name, bool create)
{
    int spare = -1;

    if (!power())
        return -1;
    for (int i = 0; i < MEM_FILES; i++) {
        if (mem_files[i].used && strcmp(mem_files[i].name, name) == 0) {
            errno = EEXIST;
            return create ? -1 : i;
        }
        if (!mem_files[i].used && !mem_files[i].named_durably && spare < 0)
            spare = i;
    }
    errno = spare < 0 ? ENOSPC : ENOENT;
    if (!create || spare < 0)
        return -1;
    forget(&mem_files[spare]);
    (void)snprintf(mem_files[spare].name, sizeof(mem_files[spare].name), "%s", name);
    mem_files[spare].used = true;
    return spare;
}

static int
d_close(void *self, int fd)
{
    return 0;
}

ssize_t
mem_pread(void *self, int fd, void *to, size_t n, uint64_t at)
{
    struct file *f = &mem_files[fd];

    if (at >= f->n)
        return 0;
    if (n > f->n - at)
        n = f->n - at;
    memcpy(to, f->now + at, n);
    return (ssize_t)n;
}

static ssize_t
d_pwrite(void *self, int fd, const void *from, size_t n, uint64_t at)
{
    struct file *f = &mem_files[fd];
    bool cut = !mem_off && mem_countdown == 0; /* the power goes in the middle of this one */

    if (!power() && !cut)
        return -1;
    grow(f, at + n);
    memcpy(f->now + at, from, n);
    if (at + n > f->n)
        f->n = at + n;
    for (size_t s = at / MEM_SECTOR; s <= (at + n - 1) / MEM_SECTOR; s++)
        f->dirty[s] = 1;
    if (cut) {
        errno = EIO;
        return -1;
    }
    return (ssize_t)n;
}

static int64_t
d_size(void *self, int fd)
{
    return (int64_t)mem_files[fd].n;
}

static int
d_sync(void *self, int fd)
{
    struct file *f = &mem_files[fd];

    if (!power())
        return -1;
    if (mem_sync_fails > 0 && --mem_sync_fails == 0) {
        /* As Linux does: some sectors went, the others are lost to the disk and yet marked clean. */
        for (size_t s = 0; s * MEM_SECTOR < f->n; s++) {
            if (f->dirty[s] && mem_rnd(2) == 0)
                memcpy(f->kept + s * MEM_SECTOR, f->now + s * MEM_SECTOR, MEM_SECTOR);
            f->dirty[s] = 0;
        }
        errno = EIO;
        return -1;
    }
    for (size_t s = 0; s * MEM_SECTOR < f->n; s++)
        if (f->dirty[s])
            memcpy(f->kept + s * MEM_SECTOR, f->now + s * MEM_SECTOR, MEM_SECTOR);
    memset(f->dirty, 0, f->cap / MEM_SECTOR);
    f->n_kept = f->n;
    return 0;
}

static int
d_sync_names(void *self)
{
    if (!power())
        return -1;
    for (int i = 0; i < MEM_FILES; i++)
        mem_files[i].named_durably = mem_files[i].used;
    return 0;
}

static int
d_remove(void *self, const char *name)
{
    if (!power())
        return -1;
    for (int i = 0; i < MEM_FILES; i++)
        if (mem_files[i].used && strcmp(mem_files[i].name, name) == 0) {
            mem_files[i].used = false;
            return 0;
        }
    errno = ENOENT;
    return -1;
}

static int
d_list(void *self, void (*each)(void *arg, const char *name), void *arg)
{
    for (int i = 0; i < MEM_FILES; i++)
        if (mem_files[i].used)
            each(arg, mem_files[i].name);
    return 0;
}

static int
d_lock(void *self)
{
    if (locked) {
        errno = EWOULDBLOCK;
        return -1;
    }
    return 0;
}

const struct disk mem_disk = {NULL,   d_open,       d_close,  mem_pread, d_pwrite, d_size,
                              d_sync, d_sync_names, d_remove, d_list,    d_lock};

void
mem_wipe(void)
{
    for (int i = 0; i < MEM_FILES; i++)
        forget(&mem_files[i]);
    mem_off = false;
    mem_countdown = -1;
    mem_sync_fails = 0;
}

void
mem_reboot(void)
{
    unsigned keep = (unsigned)mem_rnd(4); /* of four: 0 nothing, 3 nearly all */

    for (int i = 0; i < MEM_FILES; i++) {
        struct file *f = &mem_files[i];

        if (f->used != f->named_durably && mem_rnd(2) == 0)
            f->used = f->named_durably;
        f->named_durably = f->used;
        if (!f->used) {
            forget(f);
            continue;
        }
        for (size_t s = 0; s * MEM_SECTOR < f->n; s++)
            if (f->dirty[s] && mem_rnd(4) < keep)
                memcpy(f->kept + s * MEM_SECTOR, f->now + s * MEM_SECTOR, MEM_SECTOR);
        if (f->n > f->n_kept && mem_rnd(2) == 0)
            f->n_kept = f->n; /* the longer size arrived; what did not is zeros */
        f->n = f->n_kept;
        if (f->cap > 0) {
            memset(f->kept + f->n, 0, f->cap - f->n);
            memcpy(f->now, f->kept, f->cap);
            memset(f->dirty, 0, f->cap / MEM_SECTOR);
        }
    }
    mem_off = false;
    mem_countdown = -1;
    mem_sync_fails = 0;
}

/* The program was mem_killed and the machine lives on: what is read is what was written, flushed or not. */
void
mem_killed(void)
{
    mem_off = false;
    mem_countdown = -1;
    mem_sync_fails = 0;
}
