/*
 * estafetad: makes a root's folders, opens what only root may open, starts the programs of
 * table.c, and stays to restart, reload and stop them. It reads nothing that a peer of the
 * network or another program wrote but the frames of their channels.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "master/admin.h"
#include "master/listen.h"
#include "master/notify.h"
#include "master/quarantine.h"
#include "master/supervise.h"
#include "root/root.h"
#include "sys/fd.h"
#include "sys/log.h"

#define TRIES       5           /* of a program, until the start of the system is given up */
#define START_SHOWN SECONDS(60) /* how long whoever started us is kept waiting */

static struct {
    char root[4096], programs[4096], conf[4096], log[4096];
    bool foreground, stopping, ready, reloading;
    struct loop *loop;
    struct supervisor *supervisor;
    struct buf texts[2]; /* of the configuration: the one in use, and room for the next */
    unsigned text;
    struct master_settings settings;
    struct listeners listeners;
    struct watch signals;
    struct timer patience;
    uint64_t started;
    int starter; /* pipe or terminal of whoever started us, until we are ready; -1 */
    int lock;    /* held until the end; -1 */
    int status;
    char failure[4200]; /* why it did not become ready */
    struct quarantine quarantine;
} self = {.starter = -1, .lock = -1, .signals = {.fd = -1}};

/* --- words for whoever started us --- */

/* The first byte says how it went: 0 for well, else the exit status. */
static void
tell_starter(int status, const char *words)
{
    uint8_t first = (uint8_t)status;

    if (self.starter < 0)
        return;
    if (!self.foreground)
        (void)!write(self.starter, &first, 1);
    if (words[0] != '\0') {
        (void)!write(self.starter, "estafetad: ", 11);
        (void)!write(self.starter, words, strlen(words));
        (void)!write(self.starter, "\n", 1);
    }
    (void)close(self.starter);
    self.starter = -1;
}

static int
sysexit(enum status st)
{
    switch (st) {
    case ST_OK:
        return EX_OK;
    case ST_SYNTAX:
    case ST_LIMIT:
    case ST_NOTFOUND:
        return EX_CONFIG;
    case ST_EXISTS:
        return EX_TEMPFAIL;
    case ST_DENIED:
        return EX_NOPERM;
    default:
        return EX_OSERR;
    }
}

/* --- what the supervisor asks and tells --- */

static enum status
send_listeners(struct channel *control)
{
    return listen_send(&self.listeners, control);
}

static void
on_all_ready(void)
{
    self.ready = true;
    loop_timer_stop(self.loop, &self.patience);
    log_at(LOG_LEVEL_NOTICE, "ready: version %s, root %s, %llu ms", ESTAFETA_VERSION, self.root,
           (unsigned long long)((clock_mono() - self.started) / MSEC(1)));
    notify_ready();
    tell_starter(EX_OK, self.foreground ? "ready" : "");
}

static void
stop(void)
{
    if (self.stopping)
        return;
    self.stopping = true;
    log_at(LOG_LEVEL_NOTICE, "stopping");
    notify_stopping();
    supervisor_stop(self.supervisor);
}

static void
on_all_stopped(void)
{
    log_at(LOG_LEVEL_NOTICE, "stopped");
    loop_stop(self.loop);
}

/* Before the system was ever ready, a program that ends again and again will not do better: say so and end.
 */
static void
on_failed(enum role role, unsigned failures)
{
    if (self.ready || self.stopping || failures < TRIES)
        return;
    (void)snprintf(self.failure, sizeof(self.failure), "%s does not start (%u tries); why is in %s",
                   role_name(role), failures, self.log);
    log_at(LOG_LEVEL_ERR, "%s does not start (%u tries); giving up", role_name(role), failures);
    self.status = EX_SOFTWARE;
    stop();
}

/* --- accounts that crash programs --- */

static struct slice
quarantine_message(struct buf *m, struct slice account, uint64_t ns)
{
    msg_quarantine_put(m, &(struct msg_quarantine){account, (uint32_t)(ns / SECONDS(1))});
    return buf_slice(m);
}

static void
on_crashed(enum role role, struct slice account)
{
    const struct quarantine_rule rule = {self.settings.quarantine_crashes, self.settings.quarantine_within,
                                         self.settings.quarantine_time};
    AUTO_BUF m = BUF_INIT(1024);

    log_at(LOG_LEVEL_ERR, "%s crashed while it worked for %.*s", role_name(role), SLICE_ARG(account));
    if (!quarantine_crash(&self.quarantine, &rule, account, clock_mono()))
        return;
    log_mail(LOG_LEVEL_ERR, "%.*s is quarantined: it crashed programs %llu times within %llu s; its logins to IMAP and POP3 are refused for %llu s, "
           "or until estafeta reload", SLICE_ARG(account), (unsigned long long)rule.crashes,
           (unsigned long long)(rule.within / SECONDS(1)), (unsigned long long)(rule.time / SECONDS(1)));
    supervisor_tell(self.supervisor, ROLE_AUTH, MSG_QUARANTINE, quarantine_message(&m, account, rule.time));
}

static void
tell_one(void *arg, struct slice account, uint64_t left)
{
    AUTO_BUF m = BUF_INIT(1024);

    (void)ipc_send(arg, MSG_QUARANTINE, quarantine_message(&m, account, left + SECONDS(1)), -1);
}

/* authd has a new process. */
static enum status
send_quarantined(struct channel *control)
{
    quarantine_each(&self.quarantine, clock_mono(), tell_one, control);
    return ST_OK;
}

static void
lift_one(void *arg, struct slice account, uint64_t left)
{
    AUTO_BUF m = BUF_INIT(1024);

    supervisor_tell(self.supervisor, ROLE_AUTH, MSG_QUARANTINE, quarantine_message(&m, account, 0));
    buf_printf(arg, "%.*s: no longer quarantined\n", SLICE_ARG(account));
}

/* An administrator has mended what was wrong, or wants to see. */
static void
lift_quarantine(struct buf *words)
{
    quarantine_each(&self.quarantine, clock_mono(), lift_one, words);
    quarantine_lift(&self.quarantine);
}

static void
show_one(void *arg, struct slice account, uint64_t left)
{
    buf_printf(arg, "quarantined: %.*s, for %llu seconds more\n", SLICE_ARG(account), (unsigned long long)(left / SECONDS(1)));
}

static void
on_patience(struct timer *t)
{
    tell_starter(EX_TEMPFAIL, "not ready yet, but still starting; see: estafeta status");
}

/* --- reload --- */

static bool
same_addresses(const struct conf_addresses *a, const struct conf_addresses *b)
{
    return a->n == b->n && memcmp(a->at, b->at, a->n * sizeof(a->at[0])) == 0;
}

static void
tell_restart_needed(const struct master_settings *fresh, struct buf *words)
{
    for (size_t i = 0; i < n_root_services; i++) {
        const struct root_service *s = &root_services[i];

        if (!same_addresses((const void *)((const char *)&self.settings + s->offset),
                            (const void *)((const char *)fresh + s->offset)))
            buf_printf(words, "%s: holds from the next start on\n", s->setting);
    }
    if (fresh->uid_base != self.settings.uid_base)
        buf_puts(words, "uid_base: holds from the next start on\n");
}

static enum status
reload(struct buf *words)
{
    struct buf *fresh = &self.texts[1 - self.text];
    struct master_settings settings;
    struct err err = {0};
    enum status st;

    if (self.reloading || self.stopping) {
        buf_puts(words, self.stopping ? "stopping\n" : "another reload is under way\n");
        return ST_STATE;
    }
    self.reloading = true;
    notify_reloading();
    st = root_read_conf(self.conf, fresh, &settings, &err);
    if (st == ST_OK)
        st = root_give_keys(self.root, self.settings.uid_base, &err);
    if (st == ST_OK) {
        st = supervisor_reload(self.supervisor, buf_slice(fresh), words);
        if (st == ST_OK) {
            tell_restart_needed(&settings, words);
            lift_quarantine(words);
            self.settings.quarantine_crashes = settings.quarantine_crashes;
            self.settings.quarantine_within = settings.quarantine_within;
            self.settings.quarantine_time = settings.quarantine_time;
            self.text =
                1 - self.text; /* the other self.settings stay those of the start, which is what holds of them */
        }
    } else {
        buf_printf(words, "%s\n", err.text);
    }
    log_at(st == ST_OK ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERR, "reload: %s%s%.*s",
           st == ST_OK ? "done" : "the old settings stay", words->n > 0 ? ": " : "",
           SLICE_ARG(slice_sub(buf_slice(words), 0, 500)));
    notify_ready();
    self.reloading = false;
    return st;
}

static void
reload_fiber(void *arg)
{
    AUTO_BUF words = BUF_INIT(16u * 1024u);

    (void)reload(&words); /* which logs */
}

/* --- administrators --- */

static void
put_status(struct buf *text)
{
    buf_printf(text, "Estafeta %s, root %s, process %d, %s for %llu seconds\n\n", ESTAFETA_VERSION, self.root,
               (int)getpid(),
               self.stopping ? "stopping; up"
               : self.ready  ? "up"
                             : "starting",
               (unsigned long long)((clock_mono() - self.started) / SECONDS(1)));
    supervisor_status(self.supervisor, text);
    quarantine_each(&self.quarantine, clock_mono(), show_one, text);
    buf_putc(text, '\n');
    listen_show(&self.listeners, text);
}

static enum status
open_to(enum role role, int *fd)
{
    return supervisor_open(self.supervisor, role, fd);
}

/* --- signals --- */

static void
on_signal(struct watch *w, uint32_t events)
{
    struct signalfd_siginfo info;

    while (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGHUP)
            stop();
        else if (fiber_spawn(self.loop, reload_fiber, NULL) != ST_OK)
            log_at(LOG_LEVEL_ERR, "reload: no memory");
    }
}

static enum status
take_signals(struct err *err)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_sys(err, "signals");
    self.signals = (struct watch){.ready = on_signal, .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
    if (self.signals.fd < 0 || loop_watch(self.loop, &self.signals, EPOLLIN) != ST_OK)
        return err_sys(err, "signals");
    return ST_OK;
}

/* --- the start --- */

/* From here on the log is the standard error, ours and that of all programs. */
static enum status
open_log(struct err *err)
{
    AUTO_FD fd = open(self.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    AUTO_FD null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0 || null < 0)
        return err_sys(err, "cannot open %s", self.log);
    if (dup2(fd, STDERR_FILENO) < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return err_sys(err, "cannot redirect the output to %s", self.log);
    log_start("estafetad", STDERR_FILENO, LOG_LEVEL_INFO);
    return ST_OK;
}

static enum status
prepare(struct err *err)
{
    enum status st = root_path(self.root, ROOT_CONF, self.conf, err);

    if (st == ST_OK)
        st = root_path(self.root, ROOT_LOG, self.log, err);
    if (st == ST_OK && self.programs[0] == '\0')
        st = root_programs(self.programs, err);
    if (st == ST_OK)
        st = root_read_conf(self.conf, &self.texts[0], &self.settings, err);
    if (st == ST_OK)
        st = root_make(self.root, self.settings.uid_base, err);
    if (st == ST_OK)
        st = root_give_keys(self.root, self.settings.uid_base, err);
    if (st == ST_OK)
        st = root_lock(self.root, &self.lock, err);
    if (st == ST_OK && !root_lock_name(self.lock))
        st = err_sys(err, "cannot write " ROOT_LOCK);
    /* The programs inherit the current folder: what they open by a relative name they find even when their
     * user may not pass through the folders above the root. */
    if (st == ST_OK && chdir(self.root) != 0)
        st = err_sys(err, "cannot enter %s", self.root);
    return st == ST_OK ? open_log(err) : st;
}

static void
say_what_is_missing(void)
{
    if (geteuid() != 0)
        log_at(LOG_LEVEL_NOTICE,
               "not root: the programs have no users of their own, only their other confinement");
    else if (self.settings.uid_base == 0)
        log_at(LOG_LEVEL_WARNING,
               "uid_base is 0: all programs run as root, with no more than their other confinement");
}

static enum status
start(struct err *err)
{
    static const struct admin_calls calls = {put_status, stop, reload, open_to};
    struct supervise_settings settings = {.root = self.root,
                                          .programs = self.programs,
                                          .uid_base = (uid_t)self.settings.uid_base,
                                          .rows = programs,
                                          .n_rows = n_programs,
                                          .links = links,
                                          .n_links = n_links,
                                          .listeners = send_listeners,
                                          .all_ready = on_all_ready,
                                          .all_stopped = on_all_stopped,
                                          .failed = on_failed,
                                          .crashed = on_crashed,
                                          .quarantined = send_quarantined};
    enum status st = loop_new(&self.loop, err);

    if (st == ST_OK)
        st = take_signals(err);
    if (st == ST_OK)
        st = listen_open(&self.settings, &self.listeners, err);
    if (st != ST_OK)
        return st;
    say_what_is_missing();
    self.patience.fire = on_patience;
    loop_timer(self.loop, &self.patience, clock_mono() + START_SHOWN);
    settings.settings = buf_slice(&self.texts[0]);
    st = supervisor_start(self.loop, &settings, &self.supervisor, err);
    return st == ST_OK ? admin_open(self.loop, &calls, err) : st;
}

static int
run(void)
{
    struct err err = {0};
    enum status st;

    self.started = clock_mono();
    notify_open();
    (void)umask(0077);
    st = prepare(&err);
    if (st == ST_OK)
        st = start(&err);
    if (st == ST_OK)
        st = loop_run(self.loop, &err);
    if (st != ST_OK) {
        if (self.loop != NULL) /* the log is open */
            log_at(LOG_LEVEL_ERR, "%s", err.text);
        (void)snprintf(self.failure, sizeof(self.failure), "%s", err.text);
        self.status = sysexit(st);
    }
    admin_shut();
    supervisor_free(self.supervisor);
    listen_close(&self.listeners);
    if (self.signals.fd >= 0) {
        loop_unwatch(self.loop, &self.signals);
        (void)close(self.signals.fd);
    }
    if (self.lock >= 0)
        (void)close(self.lock);
    /* Last of all: who waits for the end, or is told of a failure, finds lock and ports free. */
    admin_close();
    if (self.loop != NULL)
        loop_free(self.loop);
    buf_done(&self.texts[0]);
    buf_done(&self.texts[1]);
    tell_starter(self.status != 0 ? self.status : EX_SOFTWARE,
                 self.failure[0] != '\0' ? self.failure : "stopped before it was ready");
    return self.status;
}

/* --- the command line --- */

/* In the background: whoever started us waits until the system is ready, or hears why not. */
static int
run_detached(void)
{
    int ends[2];
    uint8_t status = EX_SOFTWARE;
    char words[4400];
    ssize_t n;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
        (void)fprintf(stderr, "estafetad: cannot make a process: %s\n", strerror(errno));
        return EX_OSERR;
    }
    if (pid == 0) {
        (void)close(ends[0]);
        self.starter = ends[1];
        (void)setsid();
        return run();
    }
    (void)close(ends[1]);
    if (!read_all(ends[0], &status, 1))
        (void)fprintf(stderr, "estafetad: ended without a word\n");
    while ((n = read(ends[0], words, sizeof(words))) > 0)
        (void)fwrite(words, 1, (size_t)n, stderr);
    return status;
}

static int
usage(FILE *to)
{
    (void)fprintf(to,
                  "estafetad starts and watches the programs of Estafeta, the mail system.\n\n"
                  "usage: estafetad [--root DIR] [--programs DIR] [--foreground]\n"
                  "  --root DIR      the system's folder (default $ESTAFETA_ROOT, else " ROOT_STANDARD ")\n"
                  "  --programs DIR  where authd, stored and the others are (default: beside this program)\n"
                  "  --foreground    do not go into the background\n"
                  "SIGTERM stops it cleanly, SIGHUP makes it read DIR/" ROOT_CONF " again.\n"
                  "The log is DIR/" ROOT_LOG ". See estafetad(8), estafeta(8).\n");
    return to == stdout ? EX_OK : EX_USAGE;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"root",             required_argument, NULL, 'r'},
        {"programs",              required_argument, NULL, 'p'},
        {"foreground",                  no_argument, NULL, 'f'},
        {"version",no_argument, NULL, 'v'},
        {"help",               no_argument, NULL, 'h'},
        {0      }
    };
    const char *root = getenv("ESTAFETA_ROOT");
    struct err err = {0};
    enum status st = ST_OK;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            root = optarg;
        else if (c == 'p')
            st = root_absolute(optarg, self.programs, &err);
        else if (c == 'f')
            self.foreground = true;
        else if (c == 'v')
            return printf("estafetad (Estafeta) %s\n", ESTAFETA_VERSION) > 0 ? EX_OK : EX_IOERR;
        else
            return usage(c == 'h' ? stdout : stderr);
    }
    if (optind != argc)
        return usage(stderr);
    if (st == ST_OK)
        st = root_absolute(root != NULL ? root : ROOT_STANDARD, self.root, &err);
    if (st != ST_OK) {
        (void)fprintf(stderr, "estafetad: %s\n", err.text);
        return EX_USAGE;
    }
    self.texts[0] = self.texts[1] = BUF_INIT(ROOT_TEXT_MAX + 1);
    if (!self.foreground)
        return run_detached();
    self.starter = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    return run();
}
