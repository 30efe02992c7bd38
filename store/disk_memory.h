/*
 * A disk in memory for tests: it forgets what was not flushed. Power is cut between two of its operations, or
 * in the middle of a write; then it keeps any subset of the unflushed sectors and names. One at a time; names
 * are file names.
 */
#pragma once
#include <stdio.h>

#include "store/disk.h"

#define MEM_FILES  160
#define MEM_SECTOR 512u

/* Randomness for all of the test: xorshift, so that a seed tells all. Never 0. */
extern uint64_t mem_seed;
uint64_t mem_rnd(uint64_t n); /* below n */

struct file {
    char name[40];
    bool used;           /* a name now */
    bool named_durably;  /* the name, or its absence, as the disk would show it after a power cut */
    uint8_t *now, *kept; /* contents: as written; as flushed */
    size_t n, n_kept, cap;
    uint8_t *dirty; /* per sector */
};

extern struct file mem_files[MEM_FILES];
extern long mem_countdown; /* operations until the power is cut; < 0: never */
extern bool mem_off;       /* it is */
extern int mem_sync_fails; /* so many syncs from now one fails; 0: none */
extern const struct disk mem_disk;

ssize_t mem_pread(void *self, int fd, void *to, size_t n, uint64_t at);
void mem_wipe(void);
/* The power comes back: each unflushed sector and name is there or not, as chance wills. */
void mem_reboot(void);
/* The program was killed and the machine lives on: what is read is what was written, flushed or not. */
void mem_killed(void);
