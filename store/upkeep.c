#include "store/upkeep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/backup.h"
#include "store/check.h"
#include "store/compact.h"
#include "sys/fd.h"
#include "sys/log.h"

#define TEXT_MAX      (32u * 1024)
#define SEGMENTS_MOST 16u /* of one compaction: accounts' images are shared by all of them */
#define EMPTY_ENOUGH  50u /* percent that live */
#define EMPTY_ASKED   90u /* when an administrator asks */
#define NAME_MOST     200u

struct job {
    struct job *next;
    struct ipc_sender to;
    enum status status;
    struct buf text;
    struct posted posted;
    struct upkeep *upkeep;
    uint64_t account; /* to be purged */
    char name[NAME_MOST + 1];
};

struct upkeep {
    struct loop *loop;
    struct store_files files;
    struct commit *commit;
    int backups;
    uint64_t grace;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t told;
    struct job *first; /* jobs that wait */
    size_t n_jobs;
    void (*reap)(void *arg, uint64_t account, uint64_t mailbox);
    /* what the thread asks of the loop's for a purge */
    struct posted purge;
    bool purging;
    uint64_t purge_account; /* whose rows are to go; 0: the segment is to be ended */
    enum status purge_status;
    bool quit; /* read without the lock too: atomic */
    /* the compaction whose records are being said */
    struct compact *compact;
    struct posted say;
    bool saying;
    size_t said; /* records that got into a batch: as many bytes as the work's reply has */
    enum status said_status;
    struct err said_err;
};

/* --- records: the loop's thread --- */

static enum status
get_now(void *arg, const struct row_key *key, struct slice *value)
{
    return view_get(arg, key, value);
}

static enum status
judge_next(struct work *w, struct judge *j, struct outcome *out)
{
    struct upkeep *u = w->owner;
    const struct compact_present present = {j->view, get_now};
    enum status st;

    if (__atomic_load_n(&u->quit, __ATOMIC_RELAXED))
        return ST_CANCELLED;
    if (w->reply.n < u->said) {
        compact_again(u->compact);
        u->said = w->reply.n;
    }
    st = compact_next(u->compact, &present, &out->meta, &out->type, &u->said_err);
    if (st != ST_OK)
        return st;
    out->more = out->type != 0;
    if (out->more) {
        buf_putc(&out->reply, '.');
        u->said++;
    }
    return ST_OK;
}

static void
said(struct upkeep *u, enum status st)
{
    pthread_mutex_lock(&u->lock);
    u->saying = false;
    u->said_status = st;
    pthread_cond_broadcast(&u->told);
    pthread_mutex_unlock(&u->lock);
}

void
upkeep_done(struct work *w)
{
    said(w->owner, w->status);
    buf_done(&w->reply);
    buf_done(&w->touched);
    free(w);
}

static void
on_say(struct posted *p)
{
    struct upkeep *u = OUTER(p, struct upkeep, say);
    struct work *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        said(u, ST_MEMORY);
        return;
    }
    w->type = WORK_RECORD;
    w->judge = judge_next;
    w->owner = u;
    w->reply = BUF_INIT(1u << 20);
    w->touched = BUF_INIT(1024);
    commit_ask(u->commit, w);
}

/* --- the thread --- */

/* Until the time is over or we are to quit; with `job`, until there is one. The lock is held. */
static void
linger(struct upkeep *u, bool job, uint64_t most)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    most += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(most / SECONDS(1));
    until.tv_nsec = (long)(most % SECONDS(1));
    while (!u->quit && (!job || u->first == NULL) &&
           pthread_cond_timedwait(&u->told, &u->lock, &until) != ETIMEDOUT)
        ;
}

/* Records said by the loop's thread. When we are to quit it ends them early. */
static enum status
say_all(struct upkeep *u, struct compact *c, struct err *err)
{
    enum status st;

    pthread_mutex_lock(&u->lock);
    u->compact = c;
    u->saying = true;
    u->said = 0;
    u->said_err = (struct err){0};
    if (u->quit) { /* the loop may not take it any more */
        u->saying = false;
        u->said_status = ST_CANCELLED;
    } else {
        loop_post(u->loop, &u->say);
    }
    while (u->saying)
        pthread_cond_wait(&u->told, &u->lock);
    st = u->said_status;
    if (st == ST_OK) /* readers began before it */
        linger(u, false, u->grace);
    u->compact = NULL;
    pthread_mutex_unlock(&u->lock);
    if (st != ST_OK)
        return err_set(err, st, "%s", u->said_err.text[0] != '\0' ? u->said_err.text : status_text(st));
    return ST_OK;
}

/* One round. ST_NOTFOUND: there is nothing to compact. */
static enum status
compact_once(struct upkeep *u, unsigned percent, bool force, struct compact_stats *stats, struct err *err)
{
    const struct compact_settings settings = {
        .now = (int64_t)clock_real(), .cancel = &u->quit, .force = force};
    uint64_t numbers[SEGMENTS_MOST];
    struct compact *c;
    size_t n = 0;
    enum status st = compact_choose(u->files.log, u->files.index, percent, numbers, SEGMENTS_MOST, &n, err);

    if (st == ST_OK && n == 0)
        return ST_NOTFOUND;
    if (st == ST_OK)
        st = compact_begin(u->files.log, u->files.index, numbers, n, &settings, &c, err);
    if (st != ST_OK)
        return st;
    st = say_all(u, c, err);
    if (st != ST_OK) {
        compact_drop(c);
        return st;
    }
    compact_stats(c, stats);
    return compact_end(c, err);
}

static void
compact_by_itself(struct upkeep *u)
{
    struct compact_stats stats = {0};
    struct err err = {0};
    enum status st = compact_once(u, EMPTY_ENOUGH, false, &stats, &err);

    if (st == ST_OK)
        log_mail(LOG_LEVEL_NOTICE, "compacted %" PRIu64 " segments of %" PRIu64 " bytes into %" PRIu64,
                 stats.segments, stats.bytes_before, stats.bytes_after);
    else if (st != ST_NOTFOUND && st != ST_STATE && st != ST_CANCELLED)
        log_mail(LOG_LEVEL_ERR, "no compaction: %s", err.text);
}

static void
compact_asked(struct upkeep *u, struct job *job)
{
    struct compact_stats stats = {0};
    struct err err = {0};

    job->status = compact_once(u, EMPTY_ASKED, true, &stats, &err);
    if (job->status == ST_OK)
        buf_printf(&job->text,
                   "%" PRIu64 " segments of %" PRIu64 " bytes became %" PRIu64 " bytes: %" PRIu64
                   " bodies and images of %" PRIu64 " accounts\n",
                   stats.segments, stats.bytes_before, stats.bytes_after, stats.bodies, stats.images);
    else if (job->status == ST_NOTFOUND)
        buf_puts(&job->text, "there is nothing to compact\n");
    else
        buf_printf(&job->text, "%s\n", err.text);
    if (job->status == ST_NOTFOUND)
        job->status = ST_OK;
}

static void
add_line(void *arg, const char *text)
{
    struct buf *to = arg;

    if (to->n + strlen(text) < TEXT_MAX - 1024)
        buf_printf(to, "%s\n", text);
}

static void
check_asked(struct upkeep *u, struct job *job)
{
    struct check_stats stats = {0};
    struct err err = {0};

    job->status = check_store(u->files.log, u->files.index, add_line, &job->text, &u->quit, &stats, &err);
    if (job->status != ST_OK && job->status != ST_CORRUPT)
        buf_printf(&job->text, "%s\n", err.text);
    buf_printf(&job->text,
               "%" PRIu64 " accounts, %" PRIu64 " messages, %" PRIu64 " bodies, %" PRIu64
               " segments; %" PRIu64 " things are wrong\n",
               stats.accounts, stats.messages, stats.bodies, stats.segments, stats.wrong);
    if (job->status == ST_CORRUPT)
        log_mail(LOG_LEVEL_ERR, "a check found %" PRIu64 " things wrong", stats.wrong);
}

static void
backup_asked(struct upkeep *u, struct job *job)
{
    struct backup_stats stats = {0};
    struct err err = {0};
    AUTO_FD to = -1;

    if (u->backups < 0)
        job->status = err_set(&err, ST_UNSUPPORTED, "there is no folder for backups");
    else if (mkdirat(u->backups, job->name, 0700) != 0)
        job->status = errno == EEXIST ? err_set(&err, ST_EXISTS, "backup: %s is there already", job->name)
                                      : err_sys(&err, "backup: make %s", job->name);
    else if ((to = openat(u->backups, job->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
             fsync(u->backups) != 0)
        job->status = err_sys(&err, "backup: open %s", job->name);
    else
        job->status = backup_take(u->files.log, u->files.log_dir, to, &stats, &err);
    if (job->status != ST_OK)
        buf_printf(&job->text, "%s\n", err.text);
    else
        buf_printf(&job->text,
                   "%" PRIu64 " segments, %" PRIu64 " of them as links, %" PRIu64 " bytes copied\n",
                   stats.segments, stats.linked, stats.bytes);
}

/* --- purge --- */

/* In the loop's thread. */
static void
on_purge(struct posted *p)
{
    struct upkeep *u = OUTER(p, struct upkeep, purge);
    enum status st = ST_CANCELLED;

    if (!__atomic_load_n(&u->quit, __ATOMIC_RELAXED)) {
        st = ST_OK;
        if (u->purge_account != 0)
            u->reap(NULL, u->purge_account, 0);
        else
            st = commit_roll(u->commit, NULL);
    }
    pthread_mutex_lock(&u->lock);
    u->purging = false;
    u->purge_status = st;
    pthread_cond_broadcast(&u->told);
    pthread_mutex_unlock(&u->lock);
}

static enum status
ask_loop(struct upkeep *u, uint64_t account)
{
    enum status st;

    pthread_mutex_lock(&u->lock);
    u->purge_account = account;
    u->purging = !u->quit;
    u->purge_status = ST_CANCELLED;
    if (u->purging)
        loop_post(u->loop, &u->purge);
    while (u->purging)
        pthread_cond_wait(&u->told, &u->lock);
    st = u->purge_status;
    pthread_mutex_unlock(&u->lock);
    return st;
}

static bool
pause_a_little(struct upkeep *u)
{
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, (long)MSEC(20)}, NULL);
    return !__atomic_load_n(&u->quit, __ATOMIC_RELAXED);
}

/* The account's rows go slice by slice in the loop's thread; waits for the last. */
static enum status
remove_rows(struct upkeep *u, uint64_t account, struct err *err)
{
    AUTO_BUF row = BUF_INIT(1u << 16);
    enum status st = ask_loop(u, account);

    while (st == ST_OK) {
        buf_clear(&row);
        st = index_get(u->files.index, NULL, &(struct row_key){account, ROW_ACCOUNT}, &row, err);
        if (st == ST_OK && !pause_a_little(u))
            st = ST_CANCELLED;
    }
    return st == ST_NOTFOUND ? ST_OK : st;
}

/* What the account alone referred to may lie in the segment that is written to. */
static enum status
end_segment(struct upkeep *u)
{
    enum status st;

    do {
        st = ask_loop(u, 0);
    } while (st == ST_STATE && pause_a_little(u));
    return st;
}

static enum status
purge(struct upkeep *u, uint64_t account, struct err *err)
{
    const struct compact_settings settings = {.now = (int64_t)clock_real(), .cancel = &u->quit, .force = true};
    AUTO_BUF numbers = BUF_INIT(64u << 20);
    struct compact *c = NULL;
    enum status st = compact_choose_purge(u->files.index, account, &numbers, err);

    if (st == ST_OK)
        st = remove_rows(u, account, err);
    if (st == ST_OK)
        st = end_segment(u);
    if (st == ST_OK && numbers.n > 0) {
        uint64_t *list = malloc(numbers.n);
        struct slice in = buf_slice(&numbers);
        size_t n = 0;

        if (list == NULL)
            return err_set(err, ST_MEMORY, "purge: no memory");
        while (take_le64(&in, &list[n]))
            n++;
        st = compact_begin(u->files.log, u->files.index, list, n, &settings, &c, err);
        free(list);
    }
    if (st == ST_NOTFOUND)
        st = ST_OK; /* they are gone already */
    if (st == ST_OK && c != NULL) {
        st = say_all(u, c, err);
        if (st == ST_OK)
            st = compact_end(c, err);
        else
            compact_drop(c);
    }
    return st == ST_OK ? index_purge(u->files.index, account, err) : st;
}

static void
purge_asked(struct upkeep *u, struct job *job)
{
    struct err err = {0};

    job->status = purge(u, job->account, &err);
    if (job->status != ST_OK)
        log_mail(LOG_LEVEL_ERR, "purge of account %" PRIu64 ": %s", job->account,
                 err.text[0] != '\0' ? err.text : status_text(job->status));
}

/* --- jobs --- */

static void
on_answered(struct posted *p)
{
    struct job *job = OUTER(p, struct job, posted);
    AUTO_BUF reply = BUF_INIT(TEXT_MAX + 1024);

    if (job->account == 0)
        msg_text_put(&reply, &(struct msg_text){buf_slice(&job->text)});
    ipc_answer(job->to, job->status, buf_slice(&reply));
    buf_done(&job->text);
    free(job);
}

static void
run(struct upkeep *u, struct job *job)
{
    switch (job->to.type) {
    case MSG_STORE_COMPACT:
        compact_asked(u, job);
        break;
    case MSG_STORE_CHECK:
        check_asked(u, job);
        break;
    case MSG_STORE_BACKUP:
        backup_asked(u, job);
        break;
    case MSG_ACCOUNT_DELETE:
        purge_asked(u, job);
        break;
    default:
        job->status = ST_UNSUPPORTED;
        break;
    }
    loop_post(u->loop, &job->posted);
}

static void *
keeper(void *arg)
{
    struct upkeep *u = arg;

    pthread_mutex_lock(&u->lock);
    while (!u->quit) {
        struct job *job;

        linger(u, true, UPKEEP_EVERY);
        job = u->first;
        if (u->quit)
            break;
        if (job != NULL) {
            u->first = job->next;
            u->n_jobs--;
        }
        pthread_mutex_unlock(&u->lock);
        if (job != NULL)
            run(u, job);
        else
            compact_by_itself(u);
        pthread_mutex_lock(&u->lock);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

static bool
add_job(struct upkeep *u, struct job *job, struct ipc_sender to)
{
    struct job **at;

    pthread_mutex_lock(&u->lock);
    if (job == NULL || u->n_jobs == UPKEEP_JOBS_MAX || u->quit) {
        pthread_mutex_unlock(&u->lock);
        free(job);
        ipc_answer(to, ST_UNAVAILABLE, (struct slice){0});
        return false;
    }
    job->to = to;
    job->upkeep = u;
    job->text = BUF_INIT(TEXT_MAX);
    job->posted.run = on_answered;
    for (at = &u->first; *at != NULL; at = &(*at)->next)
        ;
    *at = job;
    u->n_jobs++;
    pthread_cond_broadcast(&u->told);
    pthread_mutex_unlock(&u->lock);
    return true;
}

void
upkeep_purge(struct upkeep *u, struct ipc_sender to, uint64_t account)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job != NULL)
        job->account = account;
    if (!add_job(u, job, to))
        u->reap(NULL, account, 0); /* its rows at least */
}

void
upkeep_ask(struct upkeep *u, struct ipc_sender to, struct slice payload)
{
    struct job *job = calloc(1, sizeof(*job));
    struct msg_name m = {0};

    if (to.type == MSG_STORE_BACKUP &&
        (!msg_name_get(payload, &m) || m.name.n == 0 || m.name.n > NAME_MOST || slice_starts(m.name, '.') ||
         slice_find(m.name, '/') < m.name.n || job == NULL ||
         !slice_to_cstr(m.name, job->name, sizeof(job->name)))) {
        free(job);
        ipc_answer(to, ST_SYNTAX, (struct slice){0});
        return;
    }
    (void)add_job(u, job, to);
}

enum status
upkeep_new(struct loop *loop, const struct store_files *files, struct commit *commit, int backups, uint64_t grace,
           void (*reap)(void *arg, uint64_t account, uint64_t mailbox), struct upkeep **result, struct err *err)
{
    struct upkeep *u = calloc(1, sizeof(*u));
    pthread_condattr_t attr;

    if (u == NULL)
        return err_set(err, ST_MEMORY, "upkeep: no memory");
    u->loop = loop;
    u->files = *files;
    u->commit = commit;
    u->backups = backups;
    u->grace = grace;
    u->say.run = on_say;
    u->purge.run = on_purge;
    u->reap = reap;
    pthread_mutex_init(&u->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&u->told, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&u->thread, NULL, keeper, u) != 0) {
        free(u);
        return err_sys(err, "upkeep: thread");
    }
    *result = u;
    return ST_OK;
}

void
upkeep_quit(struct upkeep *u)
{
    if (u == NULL)
        return;
    pthread_mutex_lock(&u->lock);
    __atomic_store_n(&u->quit, true, __ATOMIC_RELAXED);
    pthread_cond_broadcast(&u->told);
    pthread_mutex_unlock(&u->lock);
}

void
upkeep_join(struct upkeep *u)
{
    if (u == NULL)
        return;
    pthread_mutex_lock(&u->lock);
    if (u->saying) { /* posted, and not run yet: nobody will */
        u->saying = false;
        u->said_status = ST_CANCELLED;
    }
    u->purging = false;
    pthread_cond_broadcast(&u->told);
    pthread_mutex_unlock(&u->lock);
    (void)pthread_join(u->thread, NULL); /* what it posted may still come: the process ends with it */
}
