/*
 * What the shim under stored (shim.c) writes down: everything that reaches the disk below ROOT/store, in one
 * order. A tape is shared memory that the driver made; the shim finds its descriptor in the environment, maps
 * it before stored is confined, and needs no system call to record. Nothing here is hostile: both ends are
 * ours.
 *
 * An event is written after the call that it tells of, but SYNC_BEGIN before it: only what stands on the tape
 * before a flush began is durable when it has ended.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#define TAPE_FD_ENV   "CRASH_TAPE" /* number of the descriptor */
#define TAPE_ROOT_ENV "CRASH_ROOT" /* the folder that is watched, absolute, without a slash at its end */
#define TAPE_BEHIND_ENV "CRASH_BEHIND" /* ns that stored's wall clock is behind: it sees the disk as soon after the cut as it would */

enum tape_op {
    TAPE_START = 1,   /* a process began: older handles mean nothing */
    TAPE_OPEN,        /* file: a new handle; flags: TAPE_*; bytes: path below `dir` (0: below the root) */
    TAPE_WRITE,       /* file, offset, bytes; flags TAPE_ZEROS: bytes is a u64, how many zeros */
    TAPE_SIZE,        /* file; offset: the size; flags TAPE_GROW: at least that */
    TAPE_SYNC_BEGIN,  /* file: also a folder */
    TAPE_SYNC_END,    /* file; offset: position of its SYNC_BEGIN */
    TAPE_SYNC_FAILED, /* the same: each page of before is on the disk or lost, and counts as clean */
    TAPE_RENAME,      /* bytes: two paths, a NUL between, below `dir`; flags TAPE_EXCHANGE */
    TAPE_LINK,        /* bytes: two paths */
    TAPE_UNLINK,      /* a file or an empty folder */
    TAPE_MKDIR,
};
enum { TAPE_CREATED = 1, TAPE_TRUNCATED = 2, TAPE_GROW = 4, TAPE_EXCHANGE = 8, TAPE_ZEROS = 16 };

struct tape_event {
    uint32_t op, flags;
    uint32_t file, dir;
    uint64_t offset, n; /* n bytes follow, then zeros up to a multiple of 8 */
};

/* What the driver may ask for while stored runs. Counters count down; 0: no. */
struct tape_faults {
    _Atomic uint32_t flush_us;      /* how long a flush takes at least */
    _Atomic int32_t flush_fails_in; /* the so-manieth flush of a log segment from now on fails with EIO */
    _Atomic uint32_t flush_fails;   /* ... and so many, with that one */
    _Atomic uint64_t flush_segment; /* ... of this segment only; 0: of any file of the log */
    _Atomic uint64_t batch_segment; /* the shim says: where a batch was written last; 0: nowhere yet */
    _Atomic int32_t write_fails_in; /* the same for writes to a log segment */
    _Atomic uint32_t write_fails;
    _Atomic uint32_t write_errno;
    _Atomic uint32_t index_fails; /* so many writes and flushes of the index fail with EIO */
    _Atomic uint32_t failed;      /* how often any of these struck */
};

struct tape {
    _Atomic uint64_t n; /* bytes of events: "the position" */
    uint64_t size;      /* of bytes */
    int64_t ended; /* the wall clock when the load was over, ns since 1970 */
    _Atomic uint32_t full;
    struct tape_faults faults;
    _Alignas(16) uint8_t bytes[];
};
