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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tests/crash/load.h"
#include "tests/crash/queue.h"
#include "tests/crash/stand.h"

#define PARTS 3u

static const char *keep, *replay;
static uint64_t images = 20, seed = 1, per_load = 50, only = UINT64_MAX;
static bool failed;
static uint64_t counts[5]; /* images, cuts, answered requests looked for, rebuilds, compactions in loads */

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

/* --- a load --- */

static const char *
record(struct load *l)
{
    const char *bad = stand_new_root(NULL);

    stand_reset_tape(TAPE_LOAD);
    tapes[TAPE_LOAD]->faults.flush_us = 200 + (uint32_t)(l->seed * 97 % 700);
    for (uint32_t part = 0; part < PARTS && bad == NULL; part++) {
        bad = stand_start(TAPE_LOAD);
        if (bad == NULL && part == 0)
            bad = load_begin(l);
        if (bad == NULL)
            bad = load_part(l);
        if (peer.pid > 0 && peer_end(&peer, part + 1 == PARTS || (l->seed + part) % 2 == 0) == -1 &&
            bad == NULL)
            bad = "stored did not end";
    }
    if (bad == NULL && tapes[TAPE_LOAD]->full)
        bad = "the tape is full";
    tapes[TAPE_LOAD]->ended = (int64_t)clock_real();
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
        else if (op->kind == OP_SETTLE)
            u->settle = op;
        else
            u->of[op->account] = op;
    }
    free(is_answered);
    return w;
}

/* --- an image --- */

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

/* Of an account that is gone every row goes, though the cut came in the middle of that. */
static const char *
rows_of_nobody(struct slice dump)
{
    static char text[200];
    uint64_t living[ACCOUNTS], number;

    for (uint32_t i = 0; i < ACCOUNTS; i++)
        if (peer_rcpt(&peer, account_name(i), &living[i]) != ST_OK)
            living[i] = 0;
    while (dump.n > 0) {
        struct slice line = take_until(&dump, '\n'), at = line;
        bool known = false;

        (void)take_byte(&dump, '\n');
        (void)take_until(&at, ' ');
        if (!take_byte(&at, ' ') || !take_number(&at, UINT64_MAX, &number) || number == 0)
            continue;
        for (uint32_t i = 0; i < ACCOUNTS; i++)
            known = known || living[i] == number;
        if (!known) {
            (void)snprintf(text, sizeof(text), "a row of nobody: %.*s", (int)(line.n > 100 ? 100 : line.n),
                           (const char *)line.p);
            return text;
        }
    }
    return NULL;
}

static const char *
same_without_index(void)
{
    AUTO_BUF before = BUF_INIT(64u << 20), after = BUF_INIT(64u << 20);
    const char *bad = stand_dump(&before);
    char path[160];

    if (bad == NULL)
        bad = rows_of_nobody(buf_slice(&before));
    if (bad != NULL)
        return bad;
    (void)peer_end(&peer, rnd(2) == 0);
    (void)snprintf(path, sizeof(path), "%s/index", stand_store);
    peer_remove_tree(path);
    bad = stand_start(TAPE_NONE);
    if (bad == NULL)
        bad = stand_dump(&after);
    counts[3]++;
    return bad == NULL ? first_difference(buf_slice(&before), buf_slice(&after)) : bad;
}

/* stored starts on what is left, and is cut while it recovers. */
static const char *
cut_recovery(struct medium *m)
{
    const char *bad = stand_new_root(m);
    struct buf positions;
    struct cut cut;

    stand_reset_tape(TAPE_RECOVERY);
    if (bad == NULL)
        bad = stand_start(TAPE_RECOVERY);
    if (bad != NULL)
        return bad;
    (void)peer_end(&peer, rnd(4) != 0);
    positions = positions_of(tapes[TAPE_RECOVERY]);
    if (!medium_play(m, tapes[TAPE_RECOVERY], 0, choose_point(&positions, NULL)))
        bad = "the tape makes no sense";
    buf_done(&positions);
    cut = choose_cut();
    medium_cut(m, &cut, rnd);
    counts[1]++;
    return bad;
}

static const char *
stopped_badly(int status)
{
    static char text[60];

    (void)snprintf(text, sizeof(text), "stored does not stop: status %x", (unsigned)status);
    return text;
}

static const char *
verify(const struct load *l, uint64_t at)
{
    struct under_way u;
    struct world *w = world_at(&l->journal, at, &u);
    const char *bad = stand_start(TAPE_NONE);

    if (bad == NULL)
        bad = compare(&peer, w, &u);
    if (bad == NULL)
        bad = compare_queue(&peer, w, &u);
    if (bad == NULL && rnd(2) == 0)
        bad = go_on(&peer, w, &l->journal, at, &u, rnd);
    if (bad == NULL && rnd(2) == 0)
        bad = same_without_index();
    if (peer.pid > 0) {
        int status = peer_end(&peer, false);

        if (bad == NULL && status != 0)
            bad = stopped_badly(status);
    }
    world_free(w);
    return bad;
}

static void
tell_failure(const struct load *l, uint64_t image, const struct medium *m, const char *bad, const char *how)
{
    char path[200];

    failed = true;
    (void)printf("FAILED: seed %llu image %llu (%s): %s\n", (unsigned long long)l->seed,
                 (unsigned long long)image, how, bad);
    stand_tell_log();
    if (keep == NULL)
        return;
    (void)mkdir(keep, 0700);
    (void)snprintf(path, sizeof(path), "%s/journal", keep);
    (void)journal_save(&l->journal, path);
    (void)snprintf(path, sizeof(path), "%s/tape", keep);
    AUTO_FD tape = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    (void)!write_all(tape, slice_from(tapes[TAPE_LOAD], sizeof(struct tape) + tapes[TAPE_LOAD]->n));
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
    if (!medium_play(m, tapes[TAPE_LOAD], 0, at))
        bad = "the tape makes no sense";
    medium_cut(m, &cut, rnd);
    (void)snprintf(how, sizeof(how), "cut at %llu of %llu, %u%% of %u stay, %llu more cuts",
                   (unsigned long long)at, (unsigned long long)tapes[TAPE_LOAD]->n, cut.stays, cut.sector,
                   (unsigned long long)depth);
    for (uint64_t i = 0; i < depth && bad == NULL; i++)
        bad = cut_recovery(m);
    stand_hush();
    if (bad == NULL)
        bad = stand_new_root(m);
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
    struct load l = {
        .peer = &peer, .tape = tapes[TAPE_LOAD], .world = world_new(), .seed = load_seed, .steps = 12};
    const char *bad = record(&l);
    struct buf positions = positions_of(tapes[TAPE_LOAD]);

    counts[4] += l.compacted;
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
    struct load l = {.peer = &peer, .tape = tapes[TAPE_LOAD], .seed = seed};
    struct buf positions;
    struct stat st;
    char path[200];

    (void)snprintf(path, sizeof(path), "%s/tape", replay);
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || !pread_all(fd, tapes[TAPE_LOAD], (size_t)st.st_size, 0)) {
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
    positions = positions_of(tapes[TAPE_LOAD]);
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
    if (!stand_setup(argv[1], argv[2]))
        return 1;
    if (fiber_spawn(peer.loop, all, NULL) != ST_OK || loop_run(peer.loop, NULL) != ST_OK)
        failed = true;
    stand_done();
    (void)printf(
        "%llu images, %llu cuts, %llu answers held against them, %llu rebuilds, %llu compactions: %d passed, %d failed\n",
        (unsigned long long)counts[0], (unsigned long long)counts[1], (unsigned long long)counts[2],
        (unsigned long long)counts[3], (unsigned long long)counts[4], failed ? 0 : 1, failed ? 1 : 0);
    return failed ? 1 : 0;
}
