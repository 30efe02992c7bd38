#include "tests/crash/stand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/log.h"
#include "store/row.h"

#define TAPE_SIZE (1u << 30) /* what is not written to takes no memory */

struct stored_peer peer;
struct tape *tapes[TAPES];
char stand_store[128];

static int fds[TAPES];
static const char *the_shim;
static char base[64], root[96], log_path[128];
static enum stand_tape recording = TAPE_NONE;

static bool
make_tape(int i)
{
    AUTO_FD low = memfd_create("tape", MFD_CLOEXEC);

    fds[i] = fcntl(low, F_DUPFD, 100); /* stored inherits it, and wants low numbers itself */
    if (fds[i] < 0 || ftruncate(fds[i], TAPE_SIZE) != 0)
        return false;
    tapes[i] = mmap(NULL, TAPE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
    return tapes[i] != MAP_FAILED;
}

void
stand_reset_tape(enum stand_tape which)
{
    if (ftruncate(fds[which], 0) != 0 || ftruncate(fds[which], TAPE_SIZE) != 0)
        abort();
    tapes[which]->size = TAPE_SIZE - sizeof(struct tape);
}

static void
in_child(void *arg)
{
    char number[16], behind[24];
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd >= 0)
        (void)dup2(fd, STDERR_FILENO);
    (void)setenv("LD_PRELOAD", the_shim, 1);
    (void)setenv(TAPE_ROOT_ENV, stand_store, 1);
    if (tapes[TAPE_LOAD]->ended != 0) {
        (void)snprintf(behind, sizeof(behind), "%" PRId64, (int64_t)clock_real() - tapes[TAPE_LOAD]->ended);
        (void)setenv(TAPE_BEHIND_ENV, behind, 1);
    }
    if (recording == TAPE_NONE)
        return;
    (void)snprintf(number, sizeof(number), "%d", fds[recording]);
    (void)setenv(TAPE_FD_ENV, number, 1);
}

bool
stand_setup(const char *stored, const char *shim)
{
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    (void)mallopt(M_MMAP_THRESHOLD,
                  1 << 30); /* a page's first touch costs more than all that is done with it */
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_start("crash", STDERR_FILENO, LOG_LEVEL_ERR);
    (void)snprintf(base, sizeof(base), "%s/crash-XXXXXX", where);
    if (mkdtemp(base) == NULL || !make_tape(TAPE_LOAD) || !make_tape(TAPE_RECOVERY) || !peer_setup(&peer))
        return false;
    (void)snprintf(log_path, sizeof(log_path), "%s/log", base);
    stand_reset_tape(TAPE_LOAD);
    stand_reset_tape(TAPE_RECOVERY);
    the_shim = shim;
    peer.executable = stored;
    peer.root = root;
    peer.settings = STAND_SETTINGS;
    peer.in_child = in_child;
    return loop_new(&peer.loop, NULL) == ST_OK;
}

void
stand_done(void)
{
    loop_free(peer.loop);
    peer_done(&peer);
    peer_remove_tree(base);
}

const char *
stand_new_root(const struct medium *m)
{
    static unsigned number;

    if (root[0] != '\0')
        peer_remove_tree(root);
    (void)snprintf(root, sizeof(root), "%s/%u", base, number++);
    (void)snprintf(stand_store, sizeof(stand_store), "%s/store", root);
    if (mkdir(root, 0700) != 0 || mkdir(stand_store, 0700) != 0 || (m != NULL && !medium_put(m, stand_store)))
        return strerror(errno);
    return NULL;
}

const char *
stand_start(enum stand_tape which)
{
    static char why[100];
    enum status st;
    int status;

    recording = which;
    st = peer_start(&peer);
    if (st == ST_OK && which != TAPE_NONE && tapes[which]->n == 0)
        return "the shim does not record";
    if (st == ST_OK)
        return NULL;
    status = peer_end(&peer, true);
    (void)snprintf(why, sizeof(why), "stored does not start: %s, status %x", status_name(st),
                   (unsigned)status);
    return why;
}

/* Is a mailbox or an account on its way out? Then rows still go. */
static bool
something_dies(struct slice dump)
{
    while (dump.n > 0) {
        struct slice line = take_until(&dump, '\n'), kind = take_until(&line, ' ');
        AUTO_BUF value = BUF_INIT(4096);
        struct row_mailbox box;
        struct row_account account;
        bool is_box = slice_eq(kind, SLICE("mailbox")), is_account = slice_eq(kind, SLICE("account"));

        (void)take_byte(&dump, '\n');
        if (!is_box && !is_account)
            continue;
        while (slice_find(line, ' ') < line.n)
            line = slice_skip(line, slice_find(line, ' ') + 1);
        for (size_t i = 0; i + 1 < line.n; i += 2) {
            char digits[3] = {(char)line.p[i], (char)line.p[i + 1], '\0'};

            buf_putc(&value, (uint8_t)strtoul(digits, NULL, 16));
        }
        if (is_box && row_mailbox_get(buf_slice(&value), &box) && box.state == ROW_DYING)
            return true;
        if (is_account && row_account_get(buf_slice(&value), &account) && account.state == ROW_DYING)
            return true;
    }
    return false;
}

const char *
stand_dump(struct buf *to)
{
    AUTO_BUF again = BUF_INIT(64u << 20);

    for (int i = 0; i < 2000; i++) {
        if (peer_dump(&peer, to) != ST_OK)
            return "no dump";
        fiber_sleep_until(loop_now(peer.loop) + MSEC(3));
        if (peer_dump(&peer, &again) != ST_OK)
            return "no dump";
        if (slice_eq(buf_slice(to), buf_slice(&again)) && !something_dies(buf_slice(to)))
            return NULL;
    }
    return something_dies(buf_slice(to)) ? "a removal does not go on" : "the index never rests";
}

void
stand_tell_log(void)
{
    AUTO_FD fd = open(log_path, O_RDONLY | O_CLOEXEC);
    char text[4000];
    off_t n = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0,
          from = n > (off_t)sizeof(text) ? n - (off_t)sizeof(text) : 0;

    if (fd >= 0 && pread_all(fd, text, (size_t)(n - from), from))
        (void)printf("--- stored said last:\n%.*s---\n", (int)(n - from), text);
}

void
stand_hush(void)
{
    (void)unlink(log_path);
}
