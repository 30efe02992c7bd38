/*
 * Crash images of the whole store. A load runs on the real stored over the shim; then, for points of the
 * recording, the disk is made as a power cut there could leave it, the real stored is started on it, perhaps
 * cut again while it recovers, and looked at through its channels: what was acknowledged is there exactly
 * once, what was under way is there whole or not at all, numbers never go back, and the index is what the log
 * alone makes.
 *
 *   run STORED SHIM [--images N] [--seed S] [--per-load N] [--keep DIR]
 *   run STORED SHIM --replay DIR --image I      one image of a load that --keep kept: the same cut again
 *
 * With ESTAFETA_BUG and a stored that was built with -DPLANT_BUGS it must fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/log.h"
#include "tests/crash/load.h"
#include "tests/crash/medium.h"

#define TAPE_SIZE (1u << 30) /* what is not written to takes no memory */
#define PARTS     3u
#define SETTINGS  "domain = dominio.com.uy\nsegment_size = 5M\nindex_memory = 64K\ndisk_reserve = 0\n"

static const char *stored, *shim, *keep, *replay;
static uint64_t images = 20, seed = 1, per_load = 50, only = UINT64_MAX;
static char base[64], root[96], store[128], log_path[128];
static struct stored_peer peer = {.root = root, .settings = SETTINGS};
static struct tape *tapes[2]; /* of the load; of a recovery */
static int tape_fds[2];
static struct tape *recording; /* what the next stored tells, or NULL */
static bool failed;
static uint64_t counts[4]; /* images, cuts, answered requests looked for, rebuilds */

static uint64_t state;
static uint64_t
rnd(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n == 0 ? 0 : state % n;
}

static void
seed_with(uint64_t a, uint64_t b)
{
    state = (a * 0x9e3779b97f4a7c15u ^ (b + 1) * 0xc2b2ae3d27d4eb4fu) | 1;
    for (int i = 0; i < 8; i++)
        (void)rnd(2);
}

/* --- stored --- */

static bool
make_tape(int i)
{
    AUTO_FD low = memfd_create("tape", MFD_CLOEXEC);

    tape_fds[i] = fcntl(low, F_DUPFD, 100); /* stored inherits it, and wants low numbers itself */
    if (tape_fds[i] < 0 || ftruncate(tape_fds[i], TAPE_SIZE) != 0)
        return false;
    tapes[i] = mmap(NULL, TAPE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, tape_fds[i], 0);
    return tapes[i] != MAP_FAILED;
}

/* Empties it: memory that was used goes back. */
static void
reset_tape(int i)
{
    if (ftruncate(tape_fds[i], 0) != 0 || ftruncate(tape_fds[i], TAPE_SIZE) != 0)
        abort();
    tapes[i]->size = TAPE_SIZE - sizeof(struct tape);
}

static void
in_child(void *arg)
{
    char number[16];
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd >= 0)
        (void)dup2(fd, STDERR_FILENO);
    (void)setenv("LD_PRELOAD", shim, 1);
    (void)setenv(TAPE_ROOT_ENV, store, 1);
    if (recording == NULL)
        return;
    (void)snprintf(number, sizeof(number), "%d", tape_fds[recording == tapes[0] ? 0 : 1]);
    (void)setenv(TAPE_FD_ENV, number, 1);
}

static const char *
start(struct tape *tape)
{
    static char why[100];
    enum status st;
    int status;

    recording = tape;
    st = peer_start(&peer);
    if (st == ST_OK && tape != NULL && tape->n == 0)
        return "the shim does not record";
    if (st == ST_OK)
        return NULL;
    status = peer_end(&peer, true);
    (void)snprintf(why, sizeof(why), "stored does not start: %s, status %x", status_name(st),
                   (unsigned)status);
    return why;
}

/* An empty ROOT with a store of these bytes, or none. */
static const char *
new_root(const struct medium *m)
{
    static unsigned number;

    if (root[0] != '\0')
        peer_remove_tree(root);
    (void)snprintf(root, sizeof(root), "%s/%u", base, number++);
    (void)snprintf(store, sizeof(store), "%s/store", root);
    if (mkdir(root, 0700) != 0 || mkdir(store, 0700) != 0 || (m != NULL && !medium_put(m, store)))
        return strerror(errno);
    return NULL;
}

/* --- a load --- */

static const char *
record(struct load *l)
{
    const char *bad = new_root(NULL);

    reset_tape(0);
    tapes[0]->faults.flush_us = 200 + (uint32_t)(l->seed * 97 % 700);
    for (uint32_t part = 0; part < PARTS && bad == NULL; part++) {
        bad = start(tapes[0]);
        if (bad == NULL && part == 0)
            bad = load_begin(l);
        if (bad == NULL)
            bad = load_part(l);
        if (peer.pid > 0 && peer_end(&peer, part + 1 == PARTS || (l->seed + part) % 2 == 0) == -1 &&
            bad == NULL)
            bad = "stored did not end";
    }
    if (bad == NULL && tapes[0]->full)
        bad = "the tape is full";
    return bad;
}

static struct buf
positions_of(const struct tape *tape)
{
    struct buf list = BUF_INIT(64u << 20);

    for (uint64_t at = 0; at <= tape->n;) {
        struct tape_event e;

        buf_put(&list, slice_from(&at, sizeof(at)));
        memcpy(&e, tape->bytes + at, sizeof(e));
        at += sizeof(e) + ((e.n + 7) & ~(uint64_t)7);
    }
    return list;
}

/* Any event's end, or the moment of an answer. */
static uint64_t
choose_point(const struct buf *positions, const struct journal *j)
{
    size_t n = positions->n / sizeof(uint64_t);
    uint64_t at;

    if (j != NULL && rnd(4) == 0)
        return j->notes[rnd(j->n_notes)].at;
    memcpy(&at, positions->p + sizeof(at) * rnd(n), sizeof(at));
    return at;
}

static struct cut
choose_cut(void)
{
    static const unsigned stays[] = {0, 0, 100, 20, 50, 80, 97};

    return (struct cut){stays[rnd(COUNT(stays))], rnd(2) == 0 ? 512 : 4096, rnd(2) == 0};
}

/* What the clients knew at a position, and what they had asked for. */
static struct world *
world_at(const struct journal *j, uint64_t at, struct under_way *u)
{
    struct world *w = world_new();
    bool *is_answered = calloc(j->n_ops + 1, sizeof(*is_answered));

    if (is_answered == NULL)
        abort();
    *u = (struct under_way){0};
    for (size_t i = 0; i < j->n_notes && j->notes[i].at <= at; i++) {
        const struct note *note = &j->notes[i];

        if (note->kind == NOTE_ANSWERED) {
            is_answered[note->op] = true;
            counts[2]++;
        }
        world_apply(w, j, note);
    }
    for (size_t i = 0; i < j->n_notes && j->notes[i].at <= at; i++) {
        const struct note *note = &j->notes[i];
        const struct op *op = &j->ops[note->op];

        if (note->kind != NOTE_SENT || is_answered[note->op])
            continue;
        if (op->kind == OP_DELIVER)
            u->deliveries[u->n++] = op;
        else
            u->of[op->account] = op;
    }
    free(is_answered);
    return w;
}

/* --- an image --- */

/* Nothing is removed in the background any more: the index stands still. */
static const char *
dump_at_rest(struct buf *to)
{
    AUTO_BUF again = BUF_INIT(64u << 20);

    for (int i = 0; i < 2000; i++) {
        if (peer_dump(&peer, to) != ST_OK)
            return "no dump";
        fiber_sleep_until(loop_now(peer.loop) + MSEC(3));
        if (peer_dump(&peer, &again) != ST_OK)
            return "no dump";
        if (slice_eq(buf_slice(to), buf_slice(&again)))
            return NULL;
    }
    return "the index never rests";
}

static const char *
first_difference(struct slice a, struct slice b)
{
    static char text[500];

    while (a.n > 0 || b.n > 0) {
        struct slice x = take_until(&a, '\n'), y = take_until(&b, '\n');

        if (!slice_eq(x, y)) {
            (void)snprintf(text, sizeof(text), "the index is not what the log makes: %.*s; %.*s",
                           (int)(x.n > 200 ? 200 : x.n), (const char *)x.p, (int)(y.n > 200 ? 200 : y.n),
                           (const char *)y.p);
            return text;
        }
        (void)take_byte(&a, '\n');
        (void)take_byte(&b, '\n');
    }
    return NULL;
}

static const char *
same_without_index(void)
{
    AUTO_BUF before = BUF_INIT(64u << 20), after = BUF_INIT(64u << 20);
    const char *bad = dump_at_rest(&before);
    char path[160];

    if (bad != NULL)
        return bad;
    (void)peer_end(&peer, rnd(2) == 0);
    (void)snprintf(path, sizeof(path), "%s/index", store);
    peer_remove_tree(path);
    bad = start(NULL);
    if (bad == NULL)
        bad = dump_at_rest(&after);
    counts[3]++;
    return bad == NULL ? first_difference(buf_slice(&before), buf_slice(&after)) : bad;
}

/* stored starts on what is left, and is cut while it recovers. */
static const char *
cut_recovery(struct medium *m)
{
    const char *bad = new_root(m);
    struct buf positions;
    struct cut cut;

    reset_tape(1);
    if (bad == NULL)
        bad = start(tapes[1]);
    if (bad != NULL)
        return bad;
    (void)peer_end(&peer, rnd(4) != 0);
    positions = positions_of(tapes[1]);
    if (!medium_play(m, tapes[1], 0, choose_point(&positions, NULL)))
        bad = "the tape makes no sense";
    buf_done(&positions);
    cut = choose_cut();
    medium_cut(m, &cut, rnd);
    counts[1]++;
    return bad;
}

static const char *
verify(const struct load *l, uint64_t at)
{
    struct under_way u;
    struct world *w = world_at(&l->journal, at, &u);
    const char *bad = start(NULL);

    if (bad == NULL)
        bad = compare(&peer, w, &u);
    if (bad == NULL && rnd(2) == 0)
        bad = go_on(&peer, w, &l->journal, at, &u, rnd);
    if (bad == NULL && rnd(2) == 0)
        bad = same_without_index();
    if (peer.pid > 0) {
        int status = peer_end(&peer, false);

        if (bad == NULL && status != 0)
            bad = "stored does not stop";
    }
    world_free(w);
    return bad;
}

static void
tell_failure(const struct load *l, uint64_t image, const struct medium *m, const char *bad, const char *how)
{
    AUTO_FD fd = open(log_path, O_RDONLY | O_CLOEXEC);
    char text[4000], path[200];
    off_t n = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0,
          from = n > (off_t)sizeof(text) ? n - (off_t)sizeof(text) : 0;

    failed = true;
    (void)printf("FAILED: seed %llu image %llu (%s): %s\n", (unsigned long long)l->seed,
                 (unsigned long long)image, how, bad);
    if (fd >= 0 && pread_all(fd, text, (size_t)(n - from), from))
        (void)printf("--- stored said last:\n%.*s---\n", (int)(n - from), text);
    if (keep == NULL)
        return;
    (void)mkdir(keep, 0700);
    (void)snprintf(path, sizeof(path), "%s/journal", keep);
    (void)journal_save(&l->journal, path);
    (void)snprintf(path, sizeof(path), "%s/tape", keep);
    AUTO_FD tape = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)!write_all(tape, slice_from(tapes[0], sizeof(struct tape) + tapes[0]->n));
    (void)snprintf(path, sizeof(path), "%s/store", keep);
    if (m != NULL && mkdir(path, 0700) == 0)
        (void)medium_put(m, path);
    (void)printf("kept in %s\n", keep);
}

static bool
one_image(const struct load *l, const struct buf *positions, uint64_t image)
{
    struct medium *m = medium_new();
    struct cut cut;
    uint64_t at, depth;
    const char *bad = NULL;
    char how[100];

    seed_with(l->seed, image);
    at = choose_point(positions, &l->journal);
    depth = rnd(10);
    depth = depth < 6 ? 0 : depth < 9 ? 1 : 2;
    cut = choose_cut();
    if (!medium_play(m, tapes[0], 0, at))
        bad = "the tape makes no sense";
    medium_cut(m, &cut, rnd);
    (void)snprintf(how, sizeof(how), "cut at %llu of %llu, %u%% of %u stay, %llu more cuts",
                   (unsigned long long)at, (unsigned long long)tapes[0]->n, cut.stays, cut.sector,
                   (unsigned long long)depth);
    for (uint64_t i = 0; i < depth && bad == NULL; i++)
        bad = cut_recovery(m);
    (void)unlink(log_path);
    if (bad == NULL)
        bad = new_root(m);
    if (bad == NULL)
        bad = verify(l, at);
    counts[0]++;
    counts[1]++;
    if (bad != NULL)
        tell_failure(l, image, m, bad, how);
    medium_free(m);
    return bad == NULL;
}

static bool
one_load(uint64_t load_seed, uint64_t n)
{
    struct load l = {.peer = &peer, .tape = tapes[0], .world = world_new(), .seed = load_seed, .steps = 12};
    const char *bad = record(&l);
    struct buf positions = positions_of(tapes[0]);

    if (bad != NULL)
        tell_failure(&l, 0, NULL, bad, "the load itself");
    for (uint64_t i = 0; i < n && bad == NULL; i++)
        if (!one_image(&l, &positions, i))
            break;
    buf_done(&positions);
    world_free(l.world);
    journal_done(&l.journal);
    return !failed;
}

static void
replay_one(void)
{
    struct load l = {.peer = &peer, .tape = tapes[0], .seed = seed};
    struct buf positions;
    struct stat st;
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/tape", replay);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !pread_all(fd, tapes[0], (size_t)st.st_size, 0)) {
        (void)printf("cannot read %s\n", path);
        failed = true;
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/journal", replay);
    if (!journal_load(&l.journal, path)) {
        (void)printf("cannot read %s\n", path);
        failed = true;
        return;
    }
    positions = positions_of(tapes[0]);
    (void)one_image(&l, &positions, only);
    buf_done(&positions);
    journal_done(&l.journal);
}

static void
all(void *arg)
{
    if (replay != NULL)
        replay_one();
    for (uint64_t done = 0, s = seed; replay == NULL && done < images && !failed; done += per_load, s++)
        (void)one_load(s, images - done < per_load ? images - done : per_load);
    loop_stop(peer.loop);
}

static bool
read_arguments(int argc, char **argv)
{
    if (argc < 3)
        return false;
    stored = argv[1];
    shim = argv[2];
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--images") == 0)
            images = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--per-load") == 0)
            per_load = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--image") == 0)
            only = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--keep") == 0)
            keep = argv[i + 1];
        else if (strcmp(argv[i], "--replay") == 0)
            replay = argv[i + 1];
        else
            return false;
    }
    return per_load > 0;
}

int
main(int argc, char **argv)
{
    if (!read_arguments(argc, argv)) {
        (void)fprintf(stderr, "usage: run STORED SHIM [--images N] [--seed S] [--per-load N] [--keep DIR] "
                              "[--replay DIR --image I]\n");
        return 2;
    }
    (void)snprintf(base, sizeof(base),
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm/crash-XXXXXX" : "/tmp/crash-XXXXXX");
    (void)mallopt(M_MMAP_THRESHOLD,
                  1 << 30); /* a page's first touch costs more than all that is done with it */
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_start("run", STDERR_FILENO, LOG_LEVEL_ERR);
    if (mkdtemp(base) == NULL || !make_tape(0) || !make_tape(1) || !peer_setup(&peer))
        return 1;
    (void)snprintf(log_path, sizeof(log_path), "%s/log", base);
    reset_tape(0);
    reset_tape(1);
    peer.executable = stored;
    peer.in_child = in_child;
    if (loop_new(&peer.loop, NULL) != ST_OK || fiber_spawn(peer.loop, all, NULL) != ST_OK ||
        loop_run(peer.loop, NULL) != ST_OK)
        failed = true;
    loop_free(peer.loop);
    peer_done(&peer);
    peer_remove_tree(base);
    (void)printf(
        "%llu images, %llu cuts, %llu answers held against them, %llu rebuilds: %d passed, %d failed\n",
        (unsigned long long)counts[0], (unsigned long long)counts[1], (unsigned long long)counts[2],
        (unsigned long long)counts[3], failed ? 0 : 1, failed ? 1 : 0);
    return failed ? 1 : 0;
}
