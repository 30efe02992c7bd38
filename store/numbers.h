/*
 * A table in memory: number -> two values, both 0 at first. For counting over a whole store.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct number {
    uint64_t key, a, b;
    bool used;
};

struct numbers {
    struct number *slots;
    size_t n, cap;
};
#define NUMBERS_INIT ((struct numbers){0})

void numbers_done(struct numbers *t);
/* Finds or makes. Good until the next. NULL: no memory. */
struct number *numbers_put(struct numbers *t, uint64_t key);
const struct number *numbers_get(const struct numbers *t, uint64_t key); /* NULL: not there */
/* All of them, ascending by key; after it, only numbers_done() and walking slots[0..n) are allowed. */
void numbers_sort(struct numbers *t);
