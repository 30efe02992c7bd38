/*
 * Shared memory between two programs, made and size-sealed by estafetad: one
 * side writes, all others hold a descriptor that was opened read-only. It is
 * cut into chunks of 16 KiB, and messages name chunks by number.
 *
 * A reader copies before it looks: the writer may change a chunk at any time,
 * so whatever was checked in place could be something else a moment later.
 * shm_read is the only way in. Chunks are handed out last-freed-first, so that
 * few pages are ever touched (a first touch costs a page fault).
 */
#pragma once
#include "base/buf.h"

#define SHM_CHUNK (16u * 1024u)
#define SHM_CHUNKS_MAX 8192u /* 128 MiB */

struct shm {
    uint8_t *p;
    uint32_t chunks; /* how many there are */
    bool writer;
    uint32_t *idle;  /* writer: stack of free chunk numbers */
    uint32_t n_idle;
};

/* Maps fd (which stays the caller's) and checks its seals and size. */
MUST_CHECK enum status shm_map(struct shm *shm, int fd, size_t size, bool writer, struct err *err);
void shm_unmap(struct shm *shm);

/* Writer: a chunk, or ST_LIMIT. Freeing twice is our own mistake (assert). */
MUST_CHECK enum status shm_take(struct shm *shm, uint32_t *chunk);
void shm_give(struct shm *shm, uint32_t chunk);
static inline uint8_t *
shm_at(const struct shm *shm, uint32_t chunk)
{
    return shm->p + (size_t)chunk * SHM_CHUNK;
}

/* Reader: copies n bytes from the chunks listed in `list` (packed le32 numbers, all
 * full but the last). ST_SYNTAX when the list is too short or too long for n, or names a chunk
 * that is not there; then nothing was written. */
MUST_CHECK enum status shm_read(const struct shm *shm, struct slice list, size_t n, uint8_t *to);
