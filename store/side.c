#include "store/side.h"

#include <stdlib.h>
#include <sys/vfs.h>

#include "ipc/shm.h"
#include "store/request.h"
#include "sys/log.h"

struct side {
    struct reader_task task;
    struct side *next;
    struct log_side *log_side; /* NULL: not begun, sealed or failed */
    struct ipc_sender to;      /* who waits for the task */
    uint64_t id, n, announced, sum;
    struct log_place place;
    uint8_t *data; /* of the task */
    uint32_t data_n;
    uint16_t role;
    uint32_t instance;
    enum status st;
    bool busy, last, sealed, dropped;
    bool taken;  /* by a request that has not ended */
    bool remove; /* the task: of a sealed one that nobody adopted */
};

static struct side_settings set;
static struct side *sides;
static uint64_t next_id = 1;

void
side_setup(const struct side_settings *settings)
{
    set = *settings;
}

static struct side **
find(uint64_t id, uint16_t role, uint32_t instance)
{
    struct side **at = &sides;

    while (*at != NULL &&
           !((*at)->id == id && (*at)->role == role && (*at)->instance == instance && !(*at)->dropped))
        at = &(*at)->next;
    return at;
}

static void
free_side(struct side *s)
{
    struct side **at = &sides;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (s->log_side != NULL)
        log_side_drop(s->log_side);
    free(s->data);
    free(s);
}

/* What a thread works at, or a request, is freed when that is done. The file of a sealed one that nobody adopted is removed:
 * else a sender could fill the disk with them. While we stop it is left to the next start. */
static void
drop(struct side *s)
{
    s->dropped = true;
    if (s->busy || s->taken)
        return;
    if (!s->sealed || set.readers == NULL) {
        free_side(s);
        return;
    }
    s->remove = s->busy = true;
    readers_run(set.readers, &s->task);
}

/* --- in a thread --- */

static enum status
room_for(const struct side *s, struct err *err)
{
    struct statfs fs;

    if (fstatfs(set.dir, &fs) == 0 && (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize < set.disk_reserve + s->data_n)
        return err_set(err, ST_NOSPACE, "less than disk_reserve would be left");
    return ST_OK;
}

static void
run(struct reader_task *t)
{
    struct side *s = OUTER(t, struct side, task);
    struct err err = {0};
    uint64_t n;

    if (s->remove) {
        if (log_forget(set.log, s->place.segment, &err) != ST_OK)
            log_at(LOG_LEVEL_ERR, "a large body that nobody wants: %s", err.text);
        return;
    }
    s->st = room_for(s, &err);
    if (s->st == ST_OK && s->log_side == NULL)
        s->st = log_side_begin(set.log, &s->log_side, &err);
    if (s->st == ST_OK && s->data_n > 0)
        s->st = log_side_append(s->log_side, slice_from(s->data, s->data_n), &err);
    if (s->st == ST_OK && s->last) {
        s->st = log_side_seal(s->log_side, &s->place, &n, &s->sum, &err);
        s->log_side = NULL;
        s->sealed = s->st == ST_OK;
    }
    if (s->st != ST_OK)
        log_at(LOG_LEVEL_ERR, "a large body: %s", err.text);
}

static void
done(struct reader_task *t)
{
    struct side *s = OUTER(t, struct side, task);
    AUTO_BUF reply = BUF_INIT(16);

    s->busy = false;
    if (s->remove) {
        free_side(s);
        return;
    }
    free(s->data);
    s->data = NULL;
    s->n += s->data_n;
    s->data_n = 0;
    if (s->to.type == MSG_SIDE_BEGIN && s->st == ST_OK)
        msg_id_put(&reply, &(struct msg_id){s->id});
    ipc_answer(s->to, s->st, buf_slice(&reply));
    if (s->st != ST_OK)
        free_side(s);
    else if (s->dropped)
        drop(s);
}

static void
start(struct side *s, const struct ipc_sender *from)
{
    s->busy = true;
    s->to = *from;
    readers_run(set.readers, &s->task);
}

/* --- the requests --- */

/* Those being removed too: whoever seals and drops in a loop must not pile them up. */
static uint32_t
count_of(const struct ipc_sender *from)
{
    uint32_t n = 0;

    for (const struct side *s = sides; s != NULL; s = s->next)
        n += s->role == from->role && s->instance == from->instance;
    return n;
}

enum status
on_side_begin(struct ipc_request *request)
{
    struct side_begin m;
    struct side *s;

    if (!side_begin_get(request->payload, &m))
        return ST_SYNTAX;
    s = count_of(&request->from) < SIDES_PEER_MAX && set.readers != NULL ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL) {
        ipc_answer(request->from, ST_UNAVAILABLE, (struct slice){0});
        return ST_OK;
    }
    *s = (struct side){
        .task = {.run = run, .done = done},
        .next = sides,
        .id = next_id++,
        .announced = m.announced,
        .role = request->from.role,
        .instance = request->from.instance
    };
    sides = s;
    start(s, &request->from);
    return ST_OK;
}

enum status
on_side_data(struct ipc_request *request)
{
    const struct shm *in = channel_in(request->channel);
    struct side_data m;
    struct side *s;
    uint8_t *data;

    if (!side_data_get(request->payload, &m) || m.last > 1 || m.n > SIDE_DATA_MAX || in == NULL)
        return ST_SYNTAX;
    s = *find(m.side, request->from.role, request->from.instance);
    if (s == NULL || s->sealed || set.readers == NULL) { /* it failed before */
        ipc_answer(request->from, ST_STALE, (struct slice){0});
        return ST_OK;
    }
    if (s->busy)
        return ST_STATE; /* one at a time: the order of bytes is the order of answers */
    if (s->n + m.n > STORE_SIDE_MAX) {
        ipc_answer(request->from, ST_LIMIT, (struct slice){0});
        drop(s);
        return ST_OK;
    }
    data = malloc(m.n > 0 ? m.n : 1);
    if (data == NULL) {
        ipc_answer(request->from, ST_MEMORY, (struct slice){0});
        return ST_OK;
    }
    if (shm_read(in, m.chunks, m.n, data) != ST_OK) {
        free(data);
        return ST_SYNTAX;
    }
    s->data = data;
    s->data_n = m.n;
    s->last = m.last;
    start(s, &request->from);
    return ST_OK;
}

enum status
on_side_drop(struct ipc_request *request)
{
    struct msg_id m;
    struct side *s;

    if (!msg_id_get(request->payload, &m))
        return ST_SYNTAX;
    s = *find(m.id, request->from.role, request->from.instance);
    if (s != NULL)
        drop(s);
    return ST_OK;
}

enum status
side_take(uint64_t id, const struct ipc_sender *from, uint64_t n, struct log_place *place, uint64_t *sum)
{
    struct side *s = *find(id, from->role, from->instance);

    if (s == NULL || !s->sealed || s->busy || s->taken || s->n != n)
        return ST_STALE;
    s->taken = true;
    *place = s->place;
    *sum = s->sum;
    return ST_OK;
}

void
side_end(uint64_t id, const struct ipc_sender *from, bool adopted)
{
    struct side *s = sides;

    while (s != NULL && !(s->id == id && s->role == from->role && s->instance == from->instance && s->taken))
        s = s->next; /* also one that was dropped meanwhile */
    if (s == NULL)
        return;
    s->taken = false;
    if (adopted)
        free_side(s);
    else if (s->dropped)
        drop(s);
}

void
sides_of_peer_drop(uint16_t role, uint32_t instance)
{
    for (struct side *s = sides, *next; s != NULL; s = next) {
        next = s->next;
        if (s->role == role && s->instance == instance && !s->dropped)
            drop(s);
    }
}
