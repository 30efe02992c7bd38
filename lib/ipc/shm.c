#include "ipc/shm.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum status
shm_map(struct shm *shm, int fd, size_t size, bool writer, struct err *err)
{
    struct shm got = {.writer = writer};
    off_t there = lseek(fd, 0, SEEK_END); /* not fstat: confined parsers may not ask that of the kernel */
    int seals = fcntl(fd, F_GET_SEALS);
    void *p;

    if (size == 0 || size % SHM_CHUNK != 0 || size / SHM_CHUNK > SHM_CHUNKS_MAX)
        return err_set(err, ST_LIMIT, "shm: %zu bytes is not 1 to %u chunks", size, SHM_CHUNKS_MAX);
    if (there < 0)
        return err_sys(err, "shm: its size");
    /* A file that could shrink would end us with SIGBUS. */
    if (seals < 0 || (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) != (F_SEAL_SHRINK | F_SEAL_GROW))
        return err_set(err, ST_DENIED, "shm: its size is not sealed");
    if ((size_t)there != size)
        return err_set(err, ST_DENIED, "shm: %lld bytes, not the %zu announced", (long long)there, size);

    p = mmap(NULL, size, writer ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return err_sys(err, "shm: map");
    got.p = p;
    got.chunks = (uint32_t)(size / SHM_CHUNK);
    if (writer) {
        got.idle = malloc(got.chunks * sizeof(*got.idle));
        if (got.idle == NULL) {
            (void)munmap(p, size);
            return err_set(err, ST_MEMORY, "shm: no memory");
        }
        for (uint32_t i = 0; i < got.chunks; i++) /* chunk 0 is on top, and goes first */
            got.idle[got.n_idle++] = got.chunks - 1 - i;
    }
    *shm = got;
    return ST_OK;
}

void
shm_unmap(struct shm *shm)
{
    if (shm->p != NULL)
        (void)munmap(shm->p, (size_t)shm->chunks * SHM_CHUNK);
    free(shm->idle);
    *shm = (struct shm){0};
}

enum status
shm_take(struct shm *shm, uint32_t *chunk)
{
    if (shm->n_idle == 0)
        return ST_LIMIT;
    *chunk = shm->idle[--shm->n_idle];
    return ST_OK;
}

void
shm_give(struct shm *shm, uint32_t chunk)
{
    assert(chunk < shm->chunks && shm->n_idle < shm->chunks);
    shm->idle[shm->n_idle++] = chunk;
}

enum status
shm_read(const struct shm *shm, struct slice list, size_t n, uint8_t *to)
{
    size_t chunks = list.n / 4, done = 0;
    struct slice at = list;
    uint32_t chunk;

    if (list.n % 4 != 0 || chunks != n / SHM_CHUNK + (n % SHM_CHUNK != 0))
        return ST_SYNTAX;
    while (take_le32(&at, &chunk))
        if (chunk >= shm->chunks)
            return ST_SYNTAX;

    at = list;
    while (take_le32(&at, &chunk)) {
        size_t part = n - done < SHM_CHUNK ? n - done : SHM_CHUNK;

        memcpy(to + done, shm_at(shm, chunk), part);
        done += part;
    }
    return ST_OK;
}
