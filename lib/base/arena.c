#include "base/arena.h"

#include <stdlib.h>

#define FIRST_BLOCK 1024u
#define ALIGN 16u

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ALIGN) uint8_t bytes[];
};

void
arena_done(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *next = a->blocks->next;

        free(a->blocks);
        a->blocks = next;
    }
    *a = ARENA_INIT(a->budget);
}

void
arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;

    while (a->blocks != NULL) {
        struct arena_block *block = a->blocks;

        a->blocks = block->next;
        if (block->cap <= 4 * FIRST_BLOCK && keep == NULL)
            keep = block;
        else
            free(block);
    }
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->blocks = keep;
    a->used = 0;
    a->failed = false;
}

static struct arena_block *
add_block(struct arena *a, size_t n)
{
    size_t cap = a->blocks == NULL ? FIRST_BLOCK : a->blocks->cap * 2;
    struct arena_block *block;

    if (cap > 1u << 20)
        cap = 1u << 20;
    if (cap < n)
        cap = n;
    block = malloc(sizeof(*block) + cap);
    if (block == NULL)
        return NULL;
    block->used = 0;
    block->cap = cap;
    block->next = a->blocks;
    a->blocks = block;
    return block;
}

void *
arena_alloc(struct arena *a, size_t n)
{
    struct arena_block *block = a->blocks;
    size_t size;
    void *p;

    if (__builtin_add_overflow(n, ALIGN - 1, &size))
        goto fail;
    size &= ~(size_t)(ALIGN - 1);
    if (a->failed || size > a->budget - a->used)
        goto fail;
    if (block == NULL || size > block->cap - block->used)
        block = add_block(a, size);
    if (block == NULL)
        goto fail;
    p = block->bytes + block->used;
    block->used += size;
    a->used += size;
    memset(p, 0, size);
    return p;

fail:
    a->failed = true;
    return NULL;
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;

    if (__builtin_mul_overflow(count, size, &n)) {
        a->failed = true;
        return NULL;
    }
    return arena_alloc(a, n);
}

struct slice
arena_copy(struct arena *a, struct slice s)
{
    void *p = arena_alloc(a, s.n);

    if (p == NULL)
        return (struct slice){0};
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return slice_from(p, s.n);
}
