#include "master/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/log.h"

#define STOP_WITHIN SECONDS(10)
#define BACKOFF_MOST SECONDS(5)
#define STEADY SECONDS(30) /* after so long a program counts as well: its next restart is at once */
#define STOPS 8            /* steps of the table's `stop` column */
#define LINKS_MAX 64u
/* A channel that ended without a breach: so long the end of a process, or a breach that the other side saw, may still
 * explain it. */
#define UNEXPLAINED MSEC(200)

enum state { DOWN, STARTING, READY, STOPPING };

struct program {
    struct supervisor *s;
    const struct program_row *row;
    enum state state;
    pid_t pid;
    struct watch pidfd; /* readable when it has ended */
    struct channel *control;
    struct timer timer; /* DOWN: start again; STOPPING: kill */
    unsigned starts, failures;
    uint64_t since;
    int arena; /* its own, writable; -1 */
    int note;  /* its page of fiber_note(); -1 */
};

/* The channel of a row of the links table, as it is now. */
struct link {
    const struct link_row *row;
    uint64_t number;          /* grows with every channel; who tells of an older one is late */
    struct program *a, *b, *accused;
    struct timer unexplained;
};

struct supervisor {
    struct loop *loop;
    struct supervise_settings settings;
    struct program *programs; /* n_rows */
    bool told_ready, stopping;
    uint8_t stop_step;
    uint32_t next_ctl;
    struct link links[LINKS_MAX];
    uint64_t next_link;
};

static struct supervisor *supervisor; /* a process supervises once: channels carry no argument */
static const char *const state_names[] = {"down", "starting", "ready", "stopping"};

static struct program *
program_of(struct supervisor *s, enum role role)
{
    for (size_t i = 0; i < s->settings.n_rows; i++)
        if (s->programs[i].row->role == role)
            return &s->programs[i];
    return NULL;
}

/* --- what a program is given --- */

static void
put_confinement(struct buf *b, const struct supervisor *s, const struct program_row *row)
{
    struct slice paths = slice_of(row->paths);

    if (geteuid() == 0 && s->settings.uid_base != 0)
        buf_printf(b, "uid=%u gid=%u ", (unsigned)s->settings.uid_base + (unsigned)row->role,
                   (unsigned)s->settings.uid_base + (unsigned)row->role);
    buf_printf(b, "class=%s files=%u memory=%llu tasks=%u", row->calls, row->files,
               (unsigned long long)row->memory_mib * MASTER_MIB, row->tasks);
    while (paths.n > 0) {
        struct slice word = take_until(&paths, ' '), kind = take_until(&word, '=');

        (void)take_byte(&paths, ' ');
        (void)take_byte(&word, '=');
        buf_printf(b, " %.*s=%s/%.*s", SLICE_ARG(kind), s->settings.root, SLICE_ARG(word));
    }
}

static enum status
send_boot(struct program *p)
{
    struct supervisor *s = p->s;
    AUTO_BUF line = BUF_INIT(4096), m = BUF_INIT(IPC_INLINE);
    /* "." is where exec_program() puts it: its user may be barred from the folders above the root. */
    struct msg_boot boot = {.role = (uint16_t)p->row->role,
                            .root = SLICE("."),
                            .settings = s->settings.settings};

    put_confinement(&line, s, p->row);
    boot.confinement = buf_slice(&line);
    msg_boot_put(&m, &boot);
    if (!buf_ok(&line) || !buf_ok(&m))
        return ST_LIMIT;
    return ipc_send(p->control, MSG_BOOT, buf_slice(&m), -1);
}

static enum status
send_arena(struct program *to, enum arena_kind kind, enum role peer, size_t size, int fd)
{
    AUTO_BUF m = BUF_INIT(100);

    msg_arena_put(&m, &(struct msg_arena){.kind = (uint8_t)kind, .role = (uint16_t)peer, .size = size});
    return ipc_send(to->control, MSG_ARENA, buf_slice(&m), fd);
}

static enum status
send_peer(struct program *to, enum role peer, uint32_t instance, uint64_t link, int fd)
{
    AUTO_BUF m = BUF_INIT(100);

    msg_peer_put(&m, &(struct msg_peer){(uint16_t)peer, instance, link});
    return ipc_send(to->control, MSG_PEER, buf_slice(&m), fd);
}

/* A fresh channel between both ends of a link, and its arenas. */
static enum status
connect_link(struct supervisor *s, struct link *l)
{
    const struct link_row *link = l->row;
    struct program *a = l->a, *b = l->b;
    int ends[2];
    enum status st;

    if (a == NULL || b == NULL || a->control == NULL || b->control == NULL)
        return ST_OK; /* made when the other one starts */
    if (!seqpacket_pair(ends))
        return ST_IO;
    l->number = ++s->next_link;
    loop_timer_stop(s->loop, &l->unexplained);
    st = send_peer(a, b->row->role, 0, l->number, ends[0]);
    if (st == ST_OK)
        st = send_peer(b, a->row->role, 0, l->number, ends[1]);
    (void)close(ends[0]);
    (void)close(ends[1]);
    if (st == ST_OK && link->bodies) {
        AUTO_FD reader = memfd_readonly(a->arena);

        st = reader < 0 ? ST_IO
                        : send_arena(b, ARENA_IN, a->row->role, (size_t)a->row->arena_mib * MASTER_MIB, reader);
    }
    if (st == ST_OK && link->replies_mib > 0) {
        size_t size = (size_t)link->replies_mib * MASTER_MIB;
        AUTO_FD writer = memfd_sized("replies", size);
        AUTO_FD reader = writer < 0 ? -1 : memfd_readonly(writer);

        st = reader < 0 ? ST_IO : send_arena(b, ARENA_OUT, a->row->role, size, writer);
        if (st == ST_OK)
            st = send_arena(a, ARENA_REPLIES, b->row->role, size, reader);
    }
    return st;
}

static enum status
connect_all(struct program *p)
{
    const struct supervise_settings *set = &p->s->settings;
    enum status st = ST_OK;

    for (size_t i = 0; i < set->n_links && st == ST_OK; i++) {
        if (set->links[i].role == p->row->role || set->links[i].consumer == p->row->role)
            st = connect_link(p->s, &p->s->links[i]);
        if (st == ST_CLOSED && channel_open(p->control))
            st = ST_OK; /* the other one has just ended: its next start connects both */
    }
    return st;
}

/* --- processes --- */

static void on_control_closed(struct channel *ch);
static enum status on_ready(struct ipc_request *r);
static enum status on_peer_lost(struct ipc_request *r);

static const struct ipc_route control_routes[] = {
    {MSG_READY,     ~0u, on_ready,     false},
    {MSG_PEER_LOST, ~0u, on_peer_lost, false},
    {0},
};

static void
exec_program(const char *path, const char *root, int control)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (control == 3)
        (void)fcntl(3, F_SETFD, 0);
    else
        (void)dup2(control, 3);
    if (chdir(root) == 0)
        (void)execl(path, path, (char *)NULL);
    _exit(127);
}

static enum status
launch(struct program *p, struct err *err)
{
    char path[4096];
    int ends[2], pidfd;

    (void)snprintf(path, sizeof(path), "%s/%s", p->s->settings.programs, role_name(p->row->role));
    if (access(path, X_OK) != 0)
        return err_sys(err, "cannot run %s", path);
    if (!seqpacket_pair(ends))
        return err_sys(err, "socket pair for %s", path);
    p->pid = fork();
    if (p->pid == 0)
        exec_program(path, p->s->settings.root, ends[1]);
    (void)close(ends[1]);
    if (p->pid < 0) {
        (void)close(ends[0]);
        return err_sys(err, "fork %s", path);
    }
    pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    p->pidfd.fd = pidfd;
    if (pidfd < 0 || loop_watch(p->s->loop, &p->pidfd, EPOLLIN) != ST_OK ||
        channel_new(p->s->loop, ends[0], p->row->role, 0, control_routes, on_control_closed, &p->control) != ST_OK) {
        enum status st = err_sys(err, "watch %s", path);

        (void)kill(p->pid, SIGKILL);
        (void)waitpid(p->pid, NULL, 0);
        if (pidfd >= 0) {
            loop_unwatch(p->s->loop, &p->pidfd);
            (void)close(pidfd);
        }
        (void)close(ends[0]);
        return st;
    }
    p->state = STARTING;
    p->starts++;
    p->since = loop_now(p->s->loop);
    return ST_OK;
}

/* A new page for each process: what an old one writes there late is not said of the new one. */
static enum status
give_note(struct program *p)
{
    if (p->note >= 0)
        (void)close(p->note);
    p->note = memfd_sized("note", SHM_CHUNK);
    return p->note < 0 ? ST_IO : send_arena(p, ARENA_NOTE, p->row->role, SHM_CHUNK, p->note);
}

static enum status
start_program(struct program *p, struct err *err)
{
    size_t size = (size_t)p->row->arena_mib * MASTER_MIB;
    enum status st;

    if (size > 0) {
        if (p->arena >= 0)
            (void)close(p->arena);
        p->arena = memfd_sized("bodies", size);
        if (p->arena < 0)
            return err_sys(err, "arena of %s", role_name(p->row->role));
    }
    st = launch(p, err);
    if (st == ST_OK)
        st = send_boot(p);
    if (st == ST_OK && size > 0)
        st = send_arena(p, ARENA_OWN, p->row->role, size, p->arena);
    if (st == ST_OK)
        st = connect_all(p);
    if (st == ST_OK && p->row->notes)
        st = give_note(p);
    if (st == ST_OK && p->row->role == ROLE_AUTH && p->s->settings.quarantined != NULL)
        st = p->s->settings.quarantined(p->control);
    if (st == ST_OK && p->row->role == ROLE_EDGE && p->s->settings.listeners != NULL)
        st = p->s->settings.listeners(p->control);
    if (st == ST_OK)
        st = ipc_send(p->control, MSG_GO, (struct slice){0}, -1);
    if (st == ST_CLOSED)
        return ST_OK; /* it has ended already, which its pidfd tells */
    if (st != ST_OK && err != NULL && err->text[0] == '\0')
        (void)err_set(err, st, "cannot start %s: %s", role_name(p->row->role), status_text(st));
    return st;
}

static void
start_again(struct program *p)
{
    uint64_t now = loop_now(p->s->loop), wait = 0;

    if (now - p->since < STEADY && p->failures > 0) {
        unsigned doublings = p->failures < 7 ? p->failures - 1 : 6;

        wait = MSEC(100) << doublings;
    }
    p->failures = now - p->since < STEADY ? p->failures + 1 : 1;
    if (p->s->settings.failed != NULL)
        p->s->settings.failed(p->row->role, p->failures);
    if (p->s->stopping)
        return;
    loop_timer(p->s->loop, &p->timer, now + (wait < BACKOFF_MOST ? wait : BACKOFF_MOST));
}

static void
on_timer(struct timer *t)
{
    struct program *p = OUTER(t, struct program, timer);
    struct err err = {0};

    if (p->state == STOPPING) {
        log_at(LOG_LEVEL_WARNING, "%s[%d] does not stop; killed", role_name(p->row->role), (int)p->pid);
        (void)kill(p->pid, SIGKILL);
        return;
    }
    if (p->state != DOWN || p->s->stopping)
        return;
    if (start_program(p, &err) == ST_OK)
        return;
    log_at(LOG_LEVEL_ERR, "%s", err.text);
    if (p->state == DOWN) {
        p->since = loop_now(p->s->loop); /* a try that failed was not a steady life: back off further */
        start_again(p);
    }
    else
        (void)kill(p->pid, SIGKILL); /* its end comes by the pidfd */
}

static enum status
on_ready(struct ipc_request *r)
{
    struct supervisor *s = supervisor;
    bool all = true;

    for (size_t i = 0; i < s->settings.n_rows; i++) {
        if (s->programs[i].control == r->channel)
            s->programs[i].state = READY;
        all = all && s->programs[i].state == READY;
    }
    if (all && !s->told_ready && s->settings.all_ready != NULL)
        s->settings.all_ready();
    s->told_ready = s->told_ready || all;
    return ST_OK;
}

/* Its process is ended too, or will be: without a control channel it is of no use. */
static void
on_control_closed(struct channel *ch)
{
    struct supervisor *s = supervisor;

    for (size_t i = 0; i < s->settings.n_rows; i++)
        if (s->programs[i].control == ch) {
            s->programs[i].control = NULL;
            if (s->programs[i].pid > 0)
                (void)kill(s->programs[i].pid, SIGKILL);
        }
    channel_free(ch);
}

/* --- the end of a channel between two that live --- */

/* Only a new process gets new channels, and the one that read more of what strangers sent may be somebody else's by now.
 * The other one is left alone, whatever it is accused of: else a taken program could have stored or authd restarted again and
 * again. Back-off is that of every restart. */
static void
start_one_anew(struct program *accuser, struct program *accused, struct slice fault)
{
    struct program *guilty = accused->row->exposed >= accuser->row->exposed ? accused : accuser;

    if (fault.n > 0)
        log_at(LOG_LEVEL_ERR, "%s[%d] broke its contract with %s[%d], as that one says: %.*s; starting %s anew",
               role_name(accused->row->role), (int)accused->pid, role_name(accuser->row->role), (int)accuser->pid,
               SLICE_ARG(slice_sub(fault, 0, 80)), role_name(guilty->row->role));
    else
        log_at(LOG_LEVEL_ERR, "%s[%d] closed its channel to %s[%d]; starting %s anew", role_name(accused->row->role),
               (int)accused->pid, role_name(accuser->row->role), (int)accuser->pid, role_name(guilty->row->role));
    (void)kill(guilty->pid, SIGKILL); /* its pidfd tells, and it is started as after any other end */
}

static bool
both_run(const struct link *l)
{
    return !l->a->s->stopping && l->a->pid > 0 && l->b->pid > 0 && l->a->control != NULL && l->b->control != NULL;
}

static void
on_unexplained(struct timer *t)
{
    struct link *l = OUTER(t, struct link, unexplained);

    if (both_run(l))
        start_one_anew(l->accused == l->a ? l->b : l->a, l->accused, (struct slice){0});
}

static enum status
on_peer_lost(struct ipc_request *r)
{
    struct supervisor *s = supervisor;
    struct msg_peer_lost m;

    if (!msg_peer_lost_get(r->payload, &m))
        return ST_SYNTAX;
    for (size_t i = 0; i < s->settings.n_links; i++) {
        struct link *l = &s->links[i];
        bool of_a = l->a != NULL && l->a->control == r->channel, of_b = l->b != NULL && l->b->control == r->channel;

        if (l->number != m.link || m.link == 0 || (!of_a && !of_b) || !both_run(l))
            continue; /* a newer channel is there already, or will be when the other one is started again */
        l->accused = of_a ? l->b : l->a;
        if (m.fault.n > 0) {
            l->number = 0; /* what else is said of this channel is no news */
            loop_timer_stop(s->loop, &l->unexplained);
            start_one_anew(of_a ? l->a : l->b, l->accused, m.fault);
        } else if (!l->unexplained.set) {
            loop_timer(s->loop, &l->unexplained, loop_now(s->loop) + UNEXPLAINED);
        }
    }
    return ST_OK;
}

/* --- the end of a program --- */

static void
tell_step(struct supervisor *s)
{
    bool any = false;

    while (!any && s->stop_step < STOPS) {
        for (size_t i = 0; i < s->settings.n_rows; i++) {
            struct program *p = &s->programs[i];

            if (p->row->stop != s->stop_step || p->pid <= 0)
                continue;
            any = true;
            if (p->state == STOPPING)
                continue;
            p->state = STOPPING;
            if (p->control != NULL)
                (void)ipc_send(p->control, MSG_STOP, (struct slice){0}, -1);
            loop_timer(s->loop, &p->timer, loop_now(s->loop) + STOP_WITHIN);
        }
        if (!any)
            s->stop_step++;
    }
    if (!any && s->settings.all_stopped != NULL)
        s->settings.all_stopped();
}

/* Whose session was it? SIGKILL comes from us or an administrator, and says nothing of an account. */
static void
look_at_note(const struct program *p, int status)
{
    bool crash = WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM : WEXITSTATUS(status) != 0;
    uint8_t n, name[FIBER_NOTE];

    if (!crash || p->note < 0 || p->s->settings.crashed == NULL || pread(p->note, &n, 1, 0) != 1 || n == 0 ||
        pread(p->note, name, n, offsetof(struct fiber_note, name)) != n)
        return;
    p->s->settings.crashed(p->row->role, slice_from(name, n));
}

static void
on_end(struct watch *w, uint32_t events)
{
    struct program *p = OUTER(w, struct program, pidfd);
    struct supervisor *s = p->s;
    int status = 0;
    bool asked = p->state == STOPPING;

    if (waitpid(p->pid, &status, WNOHANG) != p->pid)
        return;
    loop_unwatch(s->loop, &p->pidfd);
    (void)close(p->pidfd.fd);
    loop_timer_stop(s->loop, &p->timer);
    if (!asked || status != 0)
        log_at(LOG_LEVEL_ERR, "%s[%d] ended by %s %d", role_name(p->row->role), (int)p->pid,
               WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    p->pid = 0;
    p->state = DOWN;
    channel_free(p->control);
    p->control = NULL;
    if (!s->stopping)
        look_at_note(p, status);
    if (s->stopping)
        tell_step(s);
    else
        start_again(p);
}

/* --- the whole --- */

enum status
supervisor_start(struct loop *loop, const struct supervise_settings *settings, struct supervisor **result,
                 struct err *err)
{
    struct supervisor *s = calloc(1, sizeof(*s));
    enum status st = ST_OK;

    if (s == NULL || settings->n_links > LINKS_MAX ||
        (s->programs = calloc(settings->n_rows, sizeof(*s->programs))) == NULL) {
        free(s);
        return err_set(err, ST_MEMORY, "no memory");
    }
    s->loop = loop;
    s->settings = *settings;
    supervisor = s;
    for (size_t i = 0; i < settings->n_rows; i++)
        s->programs[i] = (struct program){.s = s,
                                          .row = &settings->rows[i],
                                          .arena = -1,
                                          .note = -1,
                                          .pidfd = {.ready = on_end, .fd = -1},
                                          .timer = {.fire = on_timer}};
    for (size_t i = 0; i < settings->n_links; i++)
        s->links[i] = (struct link){.row = &settings->links[i],
                                    .a = program_of(s, settings->links[i].role),
                                    .b = program_of(s, settings->links[i].consumer),
                                    .unexplained = {.fire = on_unexplained}};
    for (size_t i = 0; i < settings->n_rows && st == ST_OK; i++)
        st = start_program(&s->programs[i], err);
    if (st != ST_OK) {
        supervisor_free(s);
        return st;
    }
    *result = s;
    return ST_OK;
}

void
supervisor_stop(struct supervisor *s)
{
    if (s->stopping)
        return;
    s->stopping = true;
    for (size_t i = 0; i < s->settings.n_rows; i++)
        loop_timer_stop(s->loop, &s->programs[i].timer);
    tell_step(s);
}

/* Whatever still runs is killed. */
void
supervisor_free(struct supervisor *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->settings.n_links; i++)
        loop_timer_stop(s->loop, &s->links[i].unexplained);
    for (size_t i = 0; i < s->settings.n_rows; i++) {
        struct program *p = &s->programs[i];

        loop_timer_stop(s->loop, &p->timer);
        channel_free(p->control);
        if (p->pid > 0) {
            (void)kill(p->pid, SIGKILL);
            (void)waitpid(p->pid, NULL, 0);
            loop_unwatch(s->loop, &p->pidfd);
            (void)close(p->pidfd.fd);
        }
        if (p->arena >= 0)
            (void)close(p->arena);
        if (p->note >= 0)
            (void)close(p->note);
    }
    free(s->programs);
    free(s);
    supervisor = NULL;
}

/* One program takes a text; its words when it does not. */
static enum status
reload_one(struct program *p, struct slice payload, struct buf *answers)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct msg_text text = {0};
    enum status st = ipc_call(p->control, MSG_RELOAD, payload, -1, loop_now(p->s->loop) + SECONDS(5), &reply);

    if (st == ST_OK || st == ST_CLOSED) /* it ended: its next start is with the new text */
        return ST_OK;
    if (!msg_text_get(buf_slice(&reply), &text) || text.text.n == 0)
        text.text = slice_of(status_text(st));
    buf_printf(answers, "%s: %.*s\n", role_name(p->row->role), SLICE_ARG(text.text));
    return st;
}

/* To all programs before `end`; whoever starts meanwhile gets the new text anyway. */
static enum status
reload_each(struct supervisor *s, struct slice settings, size_t *end, struct buf *answers)
{
    AUTO_BUF m = BUF_INIT(IPC_INLINE);
    enum status st = ST_OK;

    msg_reload_put(&m, &(struct msg_reload){settings});
    if (!buf_ok(&m))
        return ST_LIMIT;
    s->settings.settings = settings;
    for (size_t i = 0; i < *end && st == ST_OK; i++)
        if (s->programs[i].control != NULL && (st = reload_one(&s->programs[i], buf_slice(&m), answers)) != ST_OK)
            *end = i;
    return st;
}

enum status
supervisor_reload(struct supervisor *s, struct slice settings, struct buf *answers)
{
    struct slice old = s->settings.settings;
    size_t end = s->settings.n_rows;
    enum status st = reload_each(s, settings, &end, answers);

    if (st != ST_OK && end < s->settings.n_rows)
        (void)reload_each(s, old, &end, answers);
    return st;
}

void
supervisor_tell(struct supervisor *s, enum role role, enum msg type, struct slice payload)
{
    const struct program *p = program_of(s, role);

    if (p != NULL && p->control != NULL)
        (void)ipc_send(p->control, type, payload, -1);
}

void
supervisor_status(struct supervisor *s, struct buf *text)
{
    buf_printf(text, "%-10s %8s %-9s %7s %9s\n", "program", "pid", "state", "starts", "seconds");
    for (size_t i = 0; i < s->settings.n_rows; i++) {
        const struct program *p = &s->programs[i];

        buf_printf(text, "%-10s %8d %-9s %7u %9llu\n", role_name(p->row->role), (int)p->pid, state_names[p->state],
                   p->starts, (unsigned long long)((loop_now(s->loop) - p->since) / SECONDS(1)));
    }
}

enum status
supervisor_open(struct supervisor *s, enum role role, int *fd)
{
    struct program *p = program_of(s, role);
    int ends[2];
    enum status st;

    if (p == NULL)
        return ST_NOTFOUND;
    if (p->control == NULL)
        return ST_UNAVAILABLE;
    if (!seqpacket_pair(ends))
        return ST_IO;
    st = send_peer(p, ROLE_CTL, ++s->next_ctl, 0, ends[0]);
    (void)close(ends[0]);
    if (st != ST_OK) {
        (void)close(ends[1]);
        return st;
    }
    *fd = ends[1];
    return ST_OK;
}
