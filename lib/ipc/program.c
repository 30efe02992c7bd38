#include "ipc/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sys/confine_line.h"
#include "sys/log.h"
#include "sys/shed.h"

#define CONTROL_FD 3
#define PEERS_MAX 64u

struct peer {
    enum role role;
    uint32_t instance;
    uint64_t link;           /* the channel's number, for estafetad; 0: not its concern */
    struct channel *channel; /* NULL between a restart's end and beginning */
    bool used, had_ended;
};

struct peer_wait {
    struct peer_wait *next;
    enum role role;
    uint32_t instance;
    struct wait wait;
};

static struct {
    const struct program *program;
    struct loop *loop;
    struct channel *master;
    struct peer peers[PEERS_MAX];
    struct peer_wait *waiting;
    struct shm arena, note;
    struct buf settings;
    char root[4096];
    uint32_t instance;
    struct confine_line confine;
    bool booted, going, ending;
    int status;
} self;

struct loop *
program_loop(void)
{
    return self.loop;
}

uint32_t
program_instance(void)
{
    return self.instance;
}

const char *
program_root(void)
{
    return self.root;
}

struct slice
program_settings(void)
{
    return buf_slice(&self.settings);
}

struct shm *
program_arena(void)
{
    return self.arena.p != NULL ? &self.arena : NULL;
}

void
program_exit(int status)
{
    if (!self.ending) /* the first reason is the true one */
        self.status = status;
    self.ending = true;
    loop_stop(self.loop);
}

/* --- peers --- */

static struct peer *
find_peer(enum role role, uint32_t instance)
{
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (self.peers[i].used && self.peers[i].role == role && self.peers[i].instance == instance)
            return &self.peers[i];
    return NULL;
}

static struct peer *
add_peer(enum role role, uint32_t instance)
{
    struct peer *peer = find_peer(role, instance);

    for (size_t i = 0; i < PEERS_MAX && peer == NULL; i++)
        if (!self.peers[i].used) {
            peer = &self.peers[i];
            *peer = (struct peer){.role = role, .instance = instance, .used = true};
        }
    return peer;
}

struct channel *
program_peer(enum role role, uint32_t instance)
{
    struct peer *peer = find_peer(role, instance);

    return peer != NULL && peer->channel != NULL && channel_open(peer->channel) ? peer->channel : NULL;
}

enum status
program_peer_wait(enum role role, uint32_t instance, uint64_t deadline, struct channel **ch)
{
    for (;;) {
        struct channel *got = program_peer(role, instance);
        struct peer_wait me = {.next = self.waiting, .role = role, .instance = instance};
        struct peer_wait **at;
        enum status st;

        if (got != NULL) {
            *ch = got;
            return ST_OK;
        }
        self.waiting = &me;
        st = wait_for(&me.wait, deadline);
        for (at = &self.waiting; *at != NULL && *at != &me;)
            at = &(*at)->next;
        if (*at == &me)
            *at = me.next;
        if (st != ST_OK)
            return st == ST_TIMEOUT ? ST_UNAVAILABLE : st;
    }
}

enum status
program_ask(enum role role, enum msg type, struct slice payload, uint64_t deadline, struct buf *reply)
{
    for (;;) {
        struct channel *ch;
        enum status st = program_peer_wait(role, 0, deadline, &ch);

        if (st != ST_OK)
            return st;
        st = ipc_call(ch, type, payload, -1, deadline, reply);
        if (st != ST_CLOSED)
            return st;
    }
}

/* Only estafetad can make a new channel; and it judges whether one of the two has to be started anew. */
static void
tell_lost(const struct peer *peer, const struct channel *ch)
{
    const char *fault = channel_fault(ch);
    AUTO_BUF m = BUF_INIT(256);

    if (peer->link == 0)
        return;
    msg_peer_lost_put(&m, &(struct msg_peer_lost){peer->link, fault != NULL ? slice_of(fault) : SLICE("")});
    (void)ipc_send(self.master, MSG_PEER_LOST, buf_slice(&m), -1);
}

static void
on_peer_closed(struct channel *ch)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &self.peers[i];

        if (!peer->used || peer->channel != ch)
            continue;
        peer->channel = NULL;
        peer->had_ended = true;
        tell_lost(peer, ch);
        if (peer->role == ROLE_CTL)
            peer->used = false; /* an administrator's command has ended */
        if (self.program->peer_gone != NULL)
            self.program->peer_gone(peer->role, peer->instance);
        break;
    }
    channel_free(ch);
}

/* --- what the master says --- */

static enum status
on_boot(struct ipc_request *r)
{
    struct msg_boot m;
    struct err err = {0};

    if (self.booted || !msg_boot_get(r->payload, &m) || m.role != self.program->role)
        return ST_SYNTAX;
    if (!slice_to_cstr(m.root, self.root, sizeof(self.root)))
        return ST_SYNTAX;
    if (confine_line_parse(m.confinement, role_name(self.program->role), &self.confine, &err) != ST_OK) {
        log_at(LOG_LEVEL_ERR, "%s", err.text);
        return ST_SYNTAX;
    }
    self.booted = true;
    self.instance = m.instance;
    buf_put(&self.settings, m.settings);
    if (!buf_ok(&self.settings))
        return ST_LIMIT;
    if (self.program->open != NULL && self.program->open(&err) != ST_OK) {
        log_at(LOG_LEVEL_ERR, "%s cannot start: %s", role_name(self.program->role), err.text);
        program_exit(1);
    }
    return ST_OK;
}

static enum status
on_peer(struct ipc_request *r)
{
    struct msg_peer m;
    struct peer *peer;
    enum status st;

    if (!self.booted || !msg_peer_get(r->payload, &m) || m.role >= ROLE_COUNT)
        return ST_SYNTAX;
    peer = add_peer((enum role)m.role, m.instance);
    if (peer == NULL)
        return ST_LIMIT;
    if (peer->channel != NULL) {
        /* The news of a restart may come before the old channel's end: to those who keep something for
         * the peer it is one end and one beginning all the same. */
        struct channel *old = peer->channel;

        peer->channel = NULL;
        peer->had_ended = true;
        channel_free(old);
        if (self.program->peer_gone != NULL)
            self.program->peer_gone(peer->role, peer->instance);
    }
    st = channel_new(self.loop, r->fd, peer->role, peer->instance, self.program->routes, on_peer_closed,
                     &peer->channel);
    if (st != ST_OK)
        return st;
    r->fd = -1;
    peer->link = m.link;
    if (!self.going) /* what they said already is for the confined program, with its settings read */
        channel_hold(peer->channel, true);
    if ((peer->had_ended || self.going) && self.program->peer_new != NULL)
        self.program->peer_new(peer->role, peer->instance);
    for (struct peer_wait *w = self.waiting; w != NULL; w = w->next)
        if (w->role == peer->role && w->instance == peer->instance)
            wait_end(&w->wait, ST_OK);
    return ST_OK;
}

static enum status
on_arena(struct ipc_request *r)
{
    struct msg_arena m;
    struct shm shm;
    struct err err = {0};
    struct channel *ch;

    if (!msg_arena_get(r->payload, &m) || m.role >= ROLE_COUNT)
        return ST_SYNTAX;
    if (shm_map(&shm, r->fd, m.size, m.kind == ARENA_OWN || m.kind == ARENA_OUT || m.kind == ARENA_NOTE, &err) != ST_OK) {
        log_at(LOG_LEVEL_ERR, "%s", err.text);
        return ST_SYNTAX;
    }
    if (m.kind == ARENA_OWN) {
        shm_unmap(&self.arena);
        self.arena = shm;
        return ST_OK;
    }
    if (m.kind == ARENA_NOTE) {
        shm_unmap(&self.note);
        self.note = shm;
        fiber_note_page((struct fiber_note *)(void *)self.note.p);
        return ST_OK;
    }
    ch = program_peer((enum role)m.role, m.instance);
    if (ch != NULL && m.kind == ARENA_IN)
        channel_set_in(ch, shm);
    else if (ch != NULL && m.kind == ARENA_OUT)
        channel_set_out(ch, shm);
    else if (ch != NULL && m.kind == ARENA_REPLIES)
        channel_set_replies(ch, shm);
    else
        shm_unmap(&shm); /* its peer is already gone */
    return ST_OK;
}

static enum status
on_listen(struct ipc_request *r)
{
    struct msg_listen m;
    enum status st;

    if (!msg_listen_get(r->payload, &m) || self.program->listener == NULL)
        return ST_SYNTAX;
    st = self.program->listener(&m, r->fd);
    if (st == ST_OK)
        r->fd = -1;
    return st;
}

static enum status
on_quarantine(struct ipc_request *r)
{
    struct msg_quarantine m;

    if (!self.booted || !msg_quarantine_get(r->payload, &m) || self.program->quarantine == NULL)
        return ST_SYNTAX;
    return self.program->quarantine(&m);
}

/* From here on only what the line allows. What this machine cannot do is said once; that nobody is root, by estafetad. */
static enum status
confine(struct err *err)
{
    struct confine_report report = {0};
    enum status st = confine_apply(&self.confine.confinement, &report, err);

    if (st == ST_OK && report.missing[0] != '\0' && strcmp(report.missing, CONFINE_NOT_ROOT) != 0)
        log_at(LOG_LEVEL_NOTICE, "%s is less confined than it should be: %s", role_name(self.program->role),
               report.missing);
    return st;
}

static enum status
on_go(struct ipc_request *r)
{
    struct err err = {0};

    if (self.ending) /* GO came in one round with a BOOT that failed */
        return ST_OK;
    if (!self.booted || self.going)
        return ST_STATE;
    self.going = true;
    if (confine(&err) != ST_OK || (self.program->start != NULL && self.program->start(&err) != ST_OK)) {
        log_at(LOG_LEVEL_ERR, "%s cannot start: %s", role_name(self.program->role), err.text);
        program_exit(1);
        return ST_OK;
    }
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (self.peers[i].used && self.peers[i].channel != NULL)
            channel_hold(self.peers[i].channel, false);
    (void)shed_code();
    return ipc_send(self.master, MSG_READY, (struct slice){0}, -1);
}

static enum status
on_reload(struct ipc_request *r)
{
    struct msg_reload m;
    struct err err = {0};
    enum status st = ST_OK;
    AUTO_BUF answer = BUF_INIT(1024);

    if (!msg_reload_get(r->payload, &m))
        return ST_SYNTAX;
    if (self.program->reload != NULL)
        st = self.program->reload(m.settings, &err);
    if (st == ST_OK) {
        buf_clear(&self.settings);
        buf_put(&self.settings, m.settings);
    }
    msg_text_put(&answer, &(struct msg_text){slice_of(err.text)});
    ipc_answer(r->from, st, buf_slice(&answer));
    return ST_OK;
}

static enum status
on_stop(struct ipc_request *r)
{
    if (self.program->stop != NULL)
        self.program->stop();
    else
        program_exit(0);
    return ST_OK;
}

static enum status
on_stats(struct ipc_request *r)
{
    struct channel_stats ipc;
    struct fiber_stats fibers;
    struct rusage used;
    AUTO_BUF text = BUF_INIT(4096), answer = BUF_INIT(8192);

    channel_stats(&ipc);
    fiber_stats(&fibers);
    (void)getrusage(RUSAGE_SELF, &used);
    buf_printf(&text, "ipc_datagrams_in %llu\nipc_datagrams_out %llu\nipc_frames_in %llu\nipc_frames_out %llu\n",
               (unsigned long long)ipc.datagrams_in, (unsigned long long)ipc.datagrams_out,
               (unsigned long long)ipc.frames_in, (unsigned long long)ipc.frames_out);
    buf_printf(&text, "ipc_breaches %llu\nfibers_started %llu\nfibers_most %llu\nfiber_overruns %llu\n",
               (unsigned long long)ipc.broken, (unsigned long long)fibers.started,
               (unsigned long long)fibers.most, (unsigned long long)fibers.overruns);
    buf_printf(&text, "switches_voluntary %ld\nswitches_forced %ld\npage_faults %ld\n", used.ru_nvcsw,
               used.ru_nivcsw, used.ru_minflt);
    msg_text_put(&answer, &(struct msg_text){buf_slice(&text)});
    ipc_answer(r->from, ST_OK, buf_slice(&answer));
    return ST_OK;
}

static const struct ipc_route master_routes[] = {
    {MSG_BOOT,   ROLE_BIT(MASTER), on_boot,   false},
    {MSG_PEER,   ROLE_BIT(MASTER), on_peer,   true },
    {MSG_ARENA,  ROLE_BIT(MASTER), on_arena,  true },
    {MSG_LISTEN, ROLE_BIT(MASTER), on_listen, true },
    {MSG_GO,     ROLE_BIT(MASTER), on_go,     false},
    {MSG_QUARANTINE, ROLE_BIT(MASTER), on_quarantine, false},
    {MSG_RELOAD, ROLE_BIT(MASTER), on_reload, false},
    {MSG_STOP,   ROLE_BIT(MASTER), on_stop,   false},
    {MSG_STATS,  ROLE_BIT(MASTER), on_stats,  false},
    {0},
};

/* Without a master nobody would restart or stop us. */
static void
on_master_closed(struct channel *ch)
{
    if (self.program->stop != NULL && self.going)
        self.program->stop();
    else
        program_exit(0);
}

static int
usage(const struct program *program, int argc, char **argv)
{
    const char *name = role_name(program->role);
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("%s (Estafeta) %s\n", name, ESTAFETA_VERSION);
        return 0;
    }
    (void)fprintf(help ? stdout : stderr,
                  "%s is a program of Estafeta that estafetad starts; it is of no use alone.\n"
                  "Start the system with: estafeta --root DIR start\n",
                  name);
    return help ? 0 : 2;
}

int
program_main(const struct program *program, int argc, char **argv)
{
    struct err err = {0};

    self.program = program;
    self.settings = BUF_INIT(1024 * 1024);
    if (argc > 1 || fcntl(CONTROL_FD, F_GETFD) < 0)
        return usage(program, argc, argv);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN); /* ^C at a terminal is the master's; it tells us in order */
    (void)fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
    (void)fcntl(CONTROL_FD, F_SETFL, O_NONBLOCK);
    log_start(role_name(program->role), STDERR_FILENO, LOG_LEVEL_INFO);
    if (loop_new(&self.loop, &err) != ST_OK ||
        channel_new(self.loop, CONTROL_FD, ROLE_MASTER, 0, master_routes, on_master_closed, &self.master) != ST_OK) {
        log_at(LOG_LEVEL_ERR, "%s cannot start: %s", role_name(program->role), err.text);
        return 1;
    }
    if (loop_run(self.loop, &err) != ST_OK)
        log_at(LOG_LEVEL_ERR, "%s: %s", role_name(program->role), err.text);
#if FIBER_ASAN
    _exit(self.status); /* the leak check at exit makes a process to look at us, which confinement forbids */
#endif
    return self.status;
}
