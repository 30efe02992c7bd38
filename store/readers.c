#include "store/readers.h"

#include <pthread.h>
#include <stdlib.h>

#define REPLY_MOST IPC_PAYLOAD_MAX

struct readers {
    struct loop *loop;
    struct reads reads;
    pthread_mutex_t lock;
    pthread_cond_t told;
    struct reader_task *first, **last;
    struct {
        uint32_t n;
        size_t bytes;
    } waiting[ROLE_COUNT]; /* asked and not yet answered; the loop's thread */
    uint32_t tasks;   /* these, and all others; the loop's thread */
    bool quit;
    uint32_t n;
    pthread_t threads[64];
};

struct ask {
    struct reader_task task;
    struct readers *readers;
    struct ipc_sender to;
    uint64_t account;
    enum status st;
    struct buf reply;
    size_t n;
    uint8_t payload[];
};

static void
on_posted(struct posted *p)
{
    struct reader_task *t = OUTER(p, struct reader_task, posted);

    t->readers->tasks--;
    t->done(t);
}

static void *
reader(void *arg)
{
    struct readers *r = arg;

    pthread_mutex_lock(&r->lock);
    for (;;) {
        struct reader_task *t;

        while (r->first == NULL && !r->quit)
            pthread_cond_wait(&r->told, &r->lock);
        if (r->quit)
            break;
        t = r->first;
        r->first = t->next;
        if (r->first == NULL)
            r->last = &r->first;
        pthread_mutex_unlock(&r->lock);
        t->run(t);
        t->posted.run = on_posted;
        loop_post(r->loop, &t->posted);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

enum status
readers_new(struct loop *loop, const struct reads *reads, uint32_t threads, struct readers **readers,
            struct err *err)
{
    struct readers *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return err_set(err, ST_MEMORY, "stored: no memory");
    r->loop = loop;
    r->reads = *reads;
    r->last = &r->first;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->told, NULL);
    for (; r->n < threads && r->n < COUNT(r->threads); r->n++)
        if (pthread_create(&r->threads[r->n], NULL, reader, r) != 0) {
            readers_free(r);
            return err_sys(err, "stored: reader threads");
        }
    *readers = r;
    return ST_OK;
}

void
readers_run(struct readers *r, struct reader_task *t)
{
    t->next = NULL;
    t->readers = r;
    r->tasks++;
    pthread_mutex_lock(&r->lock);
    *r->last = t;
    r->last = &t->next;
    pthread_cond_signal(&r->told);
    pthread_mutex_unlock(&r->lock);
}

static void
run_ask(struct reader_task *t)
{
    struct ask *a = OUTER(t, struct ask, task);

    a->st = reads_answer(&a->readers->reads, a->to.type, a->account, slice_from(a->payload, a->n), &a->reply);
}

static void
ask_done(struct reader_task *t)
{
    struct ask *a = OUTER(t, struct ask, task);

    a->readers->waiting[a->to.role].n--;
    a->readers->waiting[a->to.role].bytes -= a->n;
    ipc_answer(a->to, a->st, a->st == ST_OK ? buf_slice(&a->reply) : (struct slice){0});
    buf_done(&a->reply);
    free(a);
}

void
readers_ask(struct readers *r, struct ipc_sender to, uint64_t account, struct slice payload)
{
    bool room = to.role < ROLE_COUNT && r->waiting[to.role].n < READERS_WAITING_MAX &&
                r->waiting[to.role].bytes + payload.n <= READERS_WAITING_BYTES;
    struct ask *a = room ? malloc(sizeof(*a) + payload.n) : NULL;

    if (a == NULL) {
        ipc_answer(to, ST_UNAVAILABLE, (struct slice){0});
        return;
    }
    *a = (struct ask){
        .task = {.run = run_ask, .done = ask_done},
        .readers = r,
        .to = to,
        .account = account,
        .reply = BUF_INIT(REPLY_MOST),
        .n = payload.n
    };
    memcpy(a->payload, payload.p, payload.n);
    r->waiting[to.role].n++;
    r->waiting[to.role].bytes += payload.n;
    readers_run(r, &a->task);
}

bool
readers_idle(const struct readers *r)
{
    return r->tasks == 0;
}

void
readers_free(struct readers *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->quit = true;
    pthread_cond_broadcast(&r->told);
    pthread_mutex_unlock(&r->lock);
    for (uint32_t i = 0; i < r->n; i++)
        (void)pthread_join(r->threads[i], NULL);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->told);
    free(r);
}
