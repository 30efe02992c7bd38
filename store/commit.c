#include "store/commit.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>

#include "ipc/shm.h"
#include "store/apply.h"
#include "store/bugs.h"
#include "sys/log.h"

#define VIEW_BYTES (32u << 20)
#define PARTS_MAX  (STORE_BODY_INLINE / SHM_CHUNK + 2)
#define RETRY      SECONDS(1)

enum state {
    IDLE,
    GATHERING, /* the timer runs */
    STALLED,   /* no segment is ready; the maker will say */
    FLUSHING
};

struct commit {
    struct loop *loop;
    struct log *log;
    struct index *index;
    struct view *view;
    struct commit_settings settings;
    struct judge judge;
    struct outcome outcome;
    enum state state;
    struct work *first, **last; /* they wait */
    uint32_t waiting;
    struct {
        uint32_t n;
        size_t bytes;
    } of[ROLE_COUNT]; /* of `waiting`, by who asked */
    struct work *batch_first, **batch_last; /* they are in the batch */
    struct log_batch batch;
    struct index_batch *rows;
    struct timer gather, slow, retry;
    struct deferred begin;
    bool too_slow, no_space;
    uint64_t gather_now; /* ns; less while gathering brings nothing */
    uint32_t waiting_at_gather;
    /* the flusher: `flush` is given under the lock, the rest is its own until `flushed` is posted */
    pthread_t flusher, maker;
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool flush, make, quit;
    enum status flush_status;
    struct err flush_err;
    enum status make_status; /* the maker's until `made` is posted */
    struct posted flushed, made;
    bool flushed_pending, made_pending;
    struct commit_stats stats;
};

static void begin_batch(struct commit *c);

static void
finish(struct commit *c, struct work *work, enum status st)
{
    work->status = st;
    if (st != ST_OK)
        c->stats.refused++;
    c->settings.done(work);
}

static void
count_in(struct commit *c, const struct work *w)
{
    c->waiting++;
    if (w->role < ROLE_COUNT) {
        c->of[w->role].n++;
        c->of[w->role].bytes += w->n;
    }
}

static void
count_out(struct commit *c, const struct work *w)
{
    c->waiting--;
    if (w->role < ROLE_COUNT) {
        c->of[w->role].n--;
        c->of[w->role].bytes -= w->n;
    }
}

/* Our own work (role 0) always has. */
static bool
has_room(const struct commit *c, const struct work *w)
{
    return w->role == 0 || w->role >= ROLE_COUNT ||
           (c->of[w->role].n < COMMIT_WAITING_MAX && c->of[w->role].bytes + w->n <= COMMIT_WAITING_BYTES);
}

static void
refuse_waiting(struct commit *c, enum status st)
{
    struct work *work = c->first;

    c->first = NULL;
    c->last = &c->first;
    while (work != NULL) {
        struct work *next = work->next;

        count_out(c, work);
        finish(c, work, st);
        work = next;
    }
}

/* --- judging --- */

static bool
has_keywords(const struct work *w)
{
    struct append append;
    struct append_message one;

    if (!append_get(slice_from(w->payload, w->n), &append))
        return false;
    while (append_message_take(&append.messages, &one))
        if (one.keywords.n > 0)
            return true;
    return false;
}

/* May not be judged in a batch that changed its account: it looks at ranges of rows. */
static bool
looks_at_ranges(const struct work *w)
{
    switch (w->type) {
    case MSG_APPEND: /* only for the numbers of keywords */
        return has_keywords(w);
    case MSG_FLAGS:
    case MSG_COPY:
    case MSG_EXPUNGE:
    case MSG_MAILBOX_RENAME:
    case WORK_REAP:
        return true;
    default:
        return false;
    }
}

static enum status
judge_named(struct commit *c, struct work *w, struct slice payload)
{
    struct account_add add;
    struct account_quota quota;
    struct account_delete del;
    struct queue_settle settle;

    switch (w->type) {
    case MSG_ACCOUNT_ADD:
        return account_add_get(payload, &add) ? judge_account_add(&c->judge, &add, &c->outcome) : ST_SYNTAX;
    case MSG_ACCOUNT_QUOTA:
        return account_quota_get(payload, &quota) ? judge_account_quota(&c->judge, &quota, &c->outcome)
                                                  : ST_SYNTAX;
    case MSG_ACCOUNT_DELETE:
        return account_delete_get(payload, &del)
                   ? judge_account_delete(&c->judge, del.name, &w->account, &c->outcome)
                   : ST_SYNTAX;
    case MSG_QUEUE_SETTLE:
        return queue_settle_get(payload, &settle) ? judge_queue_settle(&c->judge, &settle, &c->outcome) : ST_SYNTAX;
    case MSG_QUEUE_OPEN: /* answered when all before it is */
        return ST_OK;
    case WORK_REAP:
        return judge_reap(&c->judge, w->account, w->mailbox, &c->outcome);
    case WORK_FORGET_REQUESTS:
        return judge_forget_requests(&c->judge, &c->outcome);
    case WORK_RECORD:
        return w->judge(w, &c->judge, &c->outcome);
    default:
        return ST_UNSUPPORTED;
    }
}

static enum status
judge_messages_of(struct commit *c, struct work *w, struct slice payload)
{
    struct deliver deliver;
    struct append append;
    struct flags_change flags;
    struct recent_claim recent;
    struct copy copy;
    struct expunge expunge;
    uint32_t cursor = (uint32_t)w->cursor;
    enum status st;

    switch (w->type) {
    case MSG_DELIVER:
        return deliver_get(payload, &deliver) ? judge_deliver(&c->judge, &deliver, &w->body, &c->outcome)
                                              : ST_SYNTAX;
    case MSG_APPEND:
        return append_get(payload, &append)
                   ? judge_append(&c->judge, w->account, &append, &w->body, &c->outcome)
                   : ST_SYNTAX;
    case MSG_FLAGS:
        return flags_change_get(payload, &flags) ? judge_flags(&c->judge, w->account, &flags, &c->outcome)
                                                 : ST_SYNTAX;
    case MSG_RECENT:
        return recent_claim_get(payload, &recent) ? judge_recent(&c->judge, w->account, &recent, &c->outcome)
                                                  : ST_SYNTAX;
    case MSG_COPY:
        return copy_get(payload, &copy) ? judge_copy(&c->judge, w->account, &copy, &c->outcome) : ST_SYNTAX;
    case MSG_EXPUNGE:
        st = expunge_get(payload, &expunge)
                 ? judge_expunge(&c->judge, w->account, &expunge, &cursor, &c->outcome)
                 : ST_SYNTAX;
        w->cursor = cursor;
        return st;
    default:
        return judge_named(c, w, payload);
    }
}

static enum status
judge_work(struct commit *c, struct work *w)
{
    struct slice payload = slice_from(w->payload, w->n);
    struct mailbox_name create;
    struct mailbox_ref ref;
    struct mailbox_rename rename;
    struct mailbox_subscribe subscribe;

    outcome_clear(&c->outcome);
    switch (w->type) {
    case MSG_MAILBOX_CREATE:
        return mailbox_name_get(payload, &create)
                   ? judge_mailbox_create(&c->judge, w->account, &create, &c->outcome)
                   : ST_SYNTAX;
    case MSG_MAILBOX_DELETE:
        w->mailbox = mailbox_ref_get(payload, &ref) ? ref.mailbox : 0;
        return judge_mailbox_delete(&c->judge, w->account, w->mailbox, &c->outcome);
    case MSG_MAILBOX_RENAME:
        return mailbox_rename_get(payload, &rename)
                   ? judge_mailbox_rename(&c->judge, w->account, &rename, &w->cursor, &c->outcome)
                   : ST_SYNTAX;
    case MSG_MAILBOX_SUBSCRIBE:
        return mailbox_subscribe_get(payload, &subscribe)
                   ? judge_subscribe(&c->judge, w->account, &subscribe, &c->outcome)
                   : ST_SYNTAX;
    default:
        return judge_messages_of(c, w, payload);
    }
}

/* --- from an outcome to the batch --- */

static void
no_put(void *arg, struct slice key, struct slice value)
{
}
static void
no_del(void *arg, struct slice key)
{
}
static void
no_range(void *arg, struct slice from, struct slice to)
{
}

static void
both_put(void *arg, struct slice key, struct slice value)
{
    struct row_sink *sinks = arg;

    sinks[0].put(sinks[0].arg, key, value);
    sinks[1].put(sinks[1].arg, key, value);
}
static void
both_del(void *arg, struct slice key)
{
    struct row_sink *sinks = arg;

    sinks[0].del(sinks[0].arg, key);
    sinks[1].del(sinks[1].arg, key);
}
static void
both_range(void *arg, struct slice from, struct slice to)
{
    struct row_sink *sinks = arg;

    sinks[0].del_range(sinks[0].arg, from, to);
    sinks[1].del_range(sinks[1].arg, from, to);
}

/* One message's bytes, which begin with a chunk of their own. */
static enum status
message_parts(const struct work *w, struct slice *chunks, uint64_t left, struct slice parts[PARTS_MAX], size_t *n)
{
    while (left > 0) {
        uint32_t chunk;
        size_t take = left < SHM_CHUNK ? (size_t)left : SHM_CHUNK;

        if (*n == PARTS_MAX || w->in == NULL || !take_le32(chunks, &chunk) || chunk >= w->in->chunks)
            return ST_SYNTAX;
        parts[(*n)++] = slice_from(shm_at(w->in, chunk), take);
        left -= take;
    }
    return ST_OK;
}

/* The parts of a record's body: the prefix, then the sender's chunks, which the batch copies before it sums
 * them. */
static enum status
parts_of(const struct work *w, struct slice parts[PARTS_MAX], size_t *n)
{
    struct slice payload = slice_from(w->payload, w->n), chunks = w->chunks;
    struct deliver deliver;
    struct append append;
    struct append_message one;
    enum status st = ST_OK;

    *n = 0;
    if (w->type == MSG_DELIVER && deliver_get(payload, &deliver)) {
        if (deliver.prefix.n > 0)
            parts[(*n)++] = deliver.prefix;
        return message_parts(w, &chunks, w->body.side ? 0 : w->body.n, parts, n);
    }
    if (w->type != MSG_APPEND || w->body.side || !append_get(payload, &append))
        return ST_OK;
    while (st == ST_OK && append_message_take(&append.messages, &one))
        st = message_parts(w, &chunks, one.n, parts, n);
    return st;
}

/* First against nothing, so that a record that cannot be applied never gets into the batch; then for good. */
static enum status
add_record(struct commit *c, const struct slice *parts, size_t n)
{
    const struct row_sink nothing = {NULL, no_put, no_del, no_range};
    struct row_sink both[2] = {index_batch_sink(c->rows), view_sink(c->view)};
    const struct row_sink sink = {both, both_put, both_del, both_range};
    struct slice meta = buf_slice(&c->outcome.meta);
    struct log_place place;
    uint64_t lsn;
    enum status st = buf_ok(&c->outcome.meta) ? apply_record(c->outcome.type, meta, &nothing) : ST_LIMIT;

    if (st == ST_OK)
        st = log_batch_add(c->log, &c->batch, c->outcome.type, meta, parts, n, &lsn, &place);
    if (st != ST_OK)
        return st;
    st = apply_record(c->outcome.type, meta, &sink);
    if (st != ST_OK)
        abort(); /* it just could be: nothing was flushed, nobody was answered */
    c->stats.records++;
    return ST_OK;
}

/* ST_MORE: it does not fit behind what is there, or must not be judged with it; it waits for the next batch.
 */
static enum status
take_work(struct commit *c, struct work *w)
{
    struct slice parts[PARTS_MAX];
    size_t n = 0;
    enum status st;

    if (looks_at_ranges(w) && view_touched(c->view, w->account))
        return ST_MORE;
    st = judge_work(c, w);
    if (st != ST_OK || c->outcome.type == 0)
        return st;
    st = parts_of(w, parts, &n);
    if (st == ST_OK)
        st = add_record(c, parts, n);
    w->recorded = st == ST_OK;
    return st == ST_LIMIT && c->batch.records > 0 ? ST_MORE : st;
}

static void
take_outcome(struct commit *c, struct work *w)
{
    buf_put(&w->reply, buf_slice(&c->outcome.reply));
    buf_put(&w->touched, buf_slice(&c->outcome.touched));
    if (!buf_ok(&w->reply))
        log_at(LOG_LEVEL_ERR, "an answer of %zu bytes is too long", w->reply.n);
    w->next = NULL;
    *c->batch_last = w;
    c->batch_last = &w->next;
}

/* All that waits, in order. What has to wait for the next batch stays in order too. */
static void
judge_all(struct commit *c)
{
    struct work **at = &c->first;
    bool full = false;

    while (*at != NULL && !full) {
        struct work *w = *at;
        enum status st = take_work(c, w);

        if (st == ST_MORE) {
            at = &w->next;
            full = log_batch_room(c->log, &c->batch) < LOG_BATCH_MAX / 8;
            continue;
        }
        *at = w->next;
        count_out(c, w);
        w->status = st;
        if (st != ST_OK)
            outcome_clear(&c->outcome);
        w->more = c->outcome.more;
        take_outcome(c, w);
    }
    for (c->last = &c->first; *c->last != NULL; c->last = &(*c->last)->next)
        ;
}

/* --- the batch's end --- */

static void
end_batch(struct commit *c, enum status st)
{
    struct work *w = c->batch_first;

    c->batch_first = NULL;
    c->batch_last = &c->batch_first;
    c->state = IDLE;
    while (w != NULL) {
        struct work *next = w->next;

        if (w->status == ST_OK && st == ST_OK && w->more) {
            w->next = c->first; /* it goes on first */
            c->first = w;
            if (c->last == &c->first)
                c->last = &w->next;
            count_in(c, w);
        } else {
            /* What was refused may have been refused because of a record that now never was. */
            finish(c, w, st != ST_OK ? st : w->status);
        }
        w = next;
    }
    begin_batch(c);
}

static void
put_into_index(struct commit *c)
{
    struct err err = {0};
    enum status st = index_write(c->index, c->rows, c->batch.first_lsn + c->batch.records - !BUG(applied_ahead), &err);

    if (st == ST_OK) {
        view_keep(c->view);
        return;
    }
    /* The record is durable, so the mail is safe; whoever waits asks again after the restart, which replays
     * it. */
    log_mail(LOG_LEVEL_ERR, "the index is in doubt, starting again: %s", err.text);
    log_flush();
    _Exit(75);
}

/* What it was waited for is done. */
static void
disk_answers(struct commit *c)
{
    loop_timer_stop(c->loop, &c->slow);
    if (c->too_slow)
        log_mail(LOG_LEVEL_NOTICE, "the disk answers again");
    c->too_slow = false;
}

static void
on_flushed(struct posted *p)
{
    struct commit *c = OUTER(p, struct commit, flushed);
    enum status st = c->flush_status;

    c->flushed_pending = false;
    disk_answers(c);
    c->stats.batches++;
    if (st == ST_OK || BUG(failure_hidden)) {
        if (!BUG(index_early))
            put_into_index(c);
        end_batch(c, ST_OK);
        return;
    }
    c->stats.failed++;
    log_mail(LOG_LEVEL_ERR, "a batch of %u failed: %s", c->batch.records, c->flush_err.text);
    if (!BUG(rows_kept)) {
        index_batch_free(c->rows);
        c->rows = index_batch_new();
        if (c->rows == NULL)
            abort();
    }
    if (BUG(view_kept))
        view_keep(c->view);
    else
        view_drop(c->view);
    end_batch(c, st == ST_NOSPACE ? st : ST_UNAVAILABLE);
}

static void
on_slow(struct timer *t)
{
    struct commit *c = OUTER(t, struct commit, slow);

    if (BUG(slow_waits))
        return;
    c->too_slow = true;
    c->stats.slow++;
    log_mail(LOG_LEVEL_ERR, "the disk has not answered for %u s: what comes is refused until it does", 5u);
    refuse_waiting(c, ST_UNAVAILABLE);
}

/* In doubt nobody is told anything: a batch that may yet turn up after a restart must not be sent again by
 * its client meanwhile. Once a new epoch is durable it is void for ever. */
static enum status
commit_or_void(struct commit *c)
{
    enum status st;
    bool quit = false;

    c->flush_err = (struct err){0};
    st = log_batch_commit(c->log, &c->batch, &c->flush_err);
    while (st == ST_UNKNOWN && !quit) {
        struct err err = {0};

        log_at(LOG_LEVEL_ERR, "%s", c->flush_err.text);
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){1, 0}, NULL);
        if (log_renew(c->log, &err) == ST_OK)
            st = ST_IO;
        else
            c->flush_err = err;
        pthread_mutex_lock(&c->lock);
        quit = c->quit;
        pthread_mutex_unlock(&c->lock);
    }
    return st;
}

static void *
flusher(void *arg)
{
    struct commit *c = arg;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->flush && !c->quit)
            pthread_cond_wait(&c->told, &c->lock);
        if (!c->flush)
            break;
        c->flush = false;
        pthread_mutex_unlock(&c->lock);
        c->flush_status = commit_or_void(c);
        loop_post(c->loop, &c->flushed);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Makes segments ahead of need, and a new epoch after a failure that could not even be written down. */
static void *
maker(void *arg)
{
    struct commit *c = arg;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->make && !c->quit)
            pthread_cond_wait(&c->told, &c->lock);
        if (c->quit)
            break;
        c->make = false;
        pthread_mutex_unlock(&c->lock);
        struct err err = {0};

        c->make_status = log_prepare(c->log, &err);
        if (c->make_status != ST_OK)
            log_at(LOG_LEVEL_ERR, "no new segment: %s", err.text);
        loop_post(c->loop, &c->made);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static void
ask_maker(struct commit *c)
{
    if (c->made_pending || !log_wants_spare(c->log))
        return;
    c->made_pending = true;
    pthread_mutex_lock(&c->lock);
    c->make = true;
    pthread_cond_broadcast(&c->told);
    pthread_mutex_unlock(&c->lock);
}

static void
on_made(struct posted *p)
{
    struct commit *c = OUTER(p, struct commit, made);

    c->made_pending = false;
    if (c->state == FLUSHING)
        return;
    if (c->make_status == ST_OK)
        disk_answers(c);
    else
        c->too_slow = false; /* it failed, but not slowly: who comes next has it tried again */
    if (c->state == STALLED && (c->make_status == ST_OK || c->make_status == ST_NOSPACE)) { /* else on_retry, not at once */
        c->state = IDLE;
        begin_batch(c);
    }
}

/* --- beginning --- */

/* Room for the batch, its rows and the next segment. Asked at most once a second. */
static bool
disk_is_full(struct commit *c)
{
    struct statfs fs;

    if (c->retry.set)
        return c->no_space;
    loop_timer(c->loop, &c->retry, loop_now(c->loop) + RETRY);
    c->no_space = fstatfs(c->settings.dir, &fs) == 0 &&
                  (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < c->settings.disk_reserve;
    if (c->no_space)
        log_at(LOG_LEVEL_ERR, "the disk has less than %llu bytes left: mail is refused",
               (unsigned long long)c->settings.disk_reserve);
    return c->no_space;
}

static void
on_retry(struct timer *t)
{
    struct commit *c = OUTER(t, struct commit, retry);

    if (c->state == STALLED) {
        c->state = IDLE;
        begin_batch(c);
    }
}

/* No segment is ready. */
static void
stall(struct commit *c, enum status st)
{
    if (st == ST_NOSPACE || disk_is_full(c))
        refuse_waiting(c, ST_NOSPACE);
    ask_maker(c);
    c->state = c->first != NULL ? STALLED : IDLE;
    if (c->state == STALLED && !c->retry.set)
        loop_timer(c->loop, &c->retry, loop_now(c->loop) + RETRY);
    if (c->state == STALLED && !c->slow.set && !c->too_slow) /* a segment that does not come is a slow disk too */
        loop_timer(c->loop, &c->slow, loop_now(c->loop) + COMMIT_SLOW);
}

static void
judge_and_flush(struct commit *c)
{
    enum status st = log_batch_begin(c->log, &c->batch);

    if (st != ST_OK) {
        stall(c, st);
        return;
    }
    ask_maker(c);
    c->judge.now = (int64_t)clock_real();
    judge_all(c);
    if (c->batch.records == 0) {
        end_batch(c, ST_OK);
        return;
    }
    c->state = FLUSHING;
    c->flushed_pending = true;
    if (BUG(index_early)) {
        put_into_index(c);
        if (index_flush(c->index, NULL) != ST_OK)
            abort();
    }
    loop_timer(c->loop, &c->slow, loop_now(c->loop) + COMMIT_SLOW);
    pthread_mutex_lock(&c->lock);
    c->flush = true;
    pthread_cond_broadcast(&c->told);
    pthread_mutex_unlock(&c->lock);
}

static void
on_begin(struct deferred *d)
{
    struct commit *c = OUTER(d, struct commit, begin);

    if (c->state == GATHERING) {
        loop_timer_stop(c->loop, &c->gather);
        c->state = IDLE;
    }
    if (c->state == IDLE && c->first != NULL)
        judge_and_flush(c);
}

/* The wait was for nothing: shorter next time. */
static void
on_gathered(struct timer *t)
{
    struct commit *c = OUTER(t, struct commit, gather);

    if (c->waiting == c->waiting_at_gather) {
        c->gather_now /= 2;
        c->stats.useless++;
    } else if (c->gather_now * 2 <= c->settings.gather) {
        c->gather_now *= 2;
    }
    loop_soon(c->loop, &c->begin);
}

/* At the end of the round, so that all that this round read is in one batch; or a little later. */
static void
begin_batch(struct commit *c)
{
    if (c->first == NULL || c->state == FLUSHING || c->state == STALLED)
        return;
    if (c->settings.coming() == 0 || c->settings.gather == 0) {
        loop_soon(c->loop, &c->begin);
        return;
    }
    if (c->state == GATHERING)
        return;
    c->state = GATHERING;
    c->stats.gathered++;
    c->waiting_at_gather = c->waiting;
    if (c->gather_now < c->settings.gather / 32)
        c->gather_now = c->settings.gather / 32;
    loop_timer(c->loop, &c->gather, loop_now(c->loop) + c->gather_now);
}

void
commit_ask(struct commit *c, struct work *work)
{
    work->next = NULL;
    if (c->too_slow || !has_room(c, work)) {
        finish(c, work, ST_UNAVAILABLE);
        return;
    }
    if (c->waiting == 0 && disk_is_full(c)) { /* flags and expunges too: they need room for rows */
        finish(c, work, ST_NOSPACE);
        return;
    }
    *c->last = work;
    c->last = &work->next;
    count_in(c, work);
    begin_batch(c);
}

void
commit_forget(struct commit *c, uint16_t role, uint32_t instance)
{
    struct work **at = &c->first, *gone = NULL;

    while (*at != NULL) {
        struct work *w = *at;

        if (w->role != role || w->instance != instance) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = gone;
        gone = w;
        count_out(c, w);
    }
    c->last = at;
    while (gone != NULL) {
        struct work *next = gone->next;

        finish(c, gone, ST_CLOSED);
        gone = next;
    }
}

bool
commit_idle(const struct commit *c)
{
    return c->first == NULL && c->batch_first == NULL && !c->flushed_pending && !c->made_pending;
}

enum status
commit_roll(struct commit *c, struct err *err)
{
    return c->state == IDLE || c->state == GATHERING ? log_renew(c->log, err)
                                                     : err_set(err, ST_STATE, "a batch is in flight");
}

struct view *
commit_view(struct commit *c)
{
    return c->view;
}

struct judge *
commit_judge(struct commit *c)
{
    c->judge.now = (int64_t)clock_real();
    return &c->judge;
}

void
commit_stats(const struct commit *c, struct commit_stats *stats)
{
    *stats = c->stats;
}

enum status
commit_new(struct loop *loop, struct log *log, struct index *index, const struct commit_settings *settings,
           struct commit **commit, struct err *err)
{
    struct commit *c = calloc(1, sizeof(*c));

    if (c == NULL || (c->view = view_new(index, VIEW_BYTES)) == NULL || (c->rows = index_batch_new()) == NULL)
        return err_set(err, ST_MEMORY, "stored: no memory");
    c->loop = loop;
    c->log = log;
    c->index = index;
    c->settings = *settings;
    c->judge = (struct judge){.view = c->view, .index = index, .batch = &c->batch};
    outcome_init(&c->outcome);
    c->last = &c->first;
    c->batch_last = &c->batch_first;
    c->gather_now = settings->gather;
    c->gather.fire = on_gathered;
    c->slow.fire = on_slow;
    c->retry.fire = on_retry;
    c->begin.run = on_begin;
    c->flushed.run = on_flushed;
    c->made.run = on_made;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->told, NULL);
    if (pthread_create(&c->flusher, NULL, flusher, c) != 0 || pthread_create(&c->maker, NULL, maker, c) != 0)
        return err_sys(err, "stored: threads");
    *commit = c;
    return ST_OK;
}

void
commit_free(struct commit *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->told);
    pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->flusher, NULL);
    (void)pthread_join(c->maker, NULL);
    loop_undefer(c->loop, &c->begin);
    loop_timer_stop(c->loop, &c->gather);
    loop_timer_stop(c->loop, &c->slow);
    loop_timer_stop(c->loop, &c->retry);
    outcome_done(&c->outcome);
    log_batch_done(&c->batch);
    index_batch_free(c->rows);
    view_free(c->view);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->told);
    if (!c->made_pending) /* else the loop has still to run what the maker has posted; the process ends with it */
        free(c);
}
