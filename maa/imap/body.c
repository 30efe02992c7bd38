#include "maa/imap/body.h"

#include <stdlib.h>

#include "ipc/program.h"

#define CREDIT_TIME SECONDS(10)
#define PEER_TIME   SECONDS(60)
#define CLIENT_TIME SECONDS(300) /* for one chunk */

struct waiter {
    struct waiter *next;
    uint64_t n;
    struct wait wait;
};

static struct {
    uint64_t credit; /* bytes that may still be received */
    struct waiter *first, **last;
    uint64_t jobs;
    uint32_t coming;     /* sessions that receive a body now */
    uint32_t store_life; /* counts stored's processes */
    /* Chunks of an APPEND that was not answered in time: stored may still read them, until it is another. */
    uint32_t limbo[SHM_CHUNKS_MAX], n_limbo;
} self = {.last = &self.first};

/* --- credit --- */

/* In the order in which they came: a large one is not starved by small ones. */
static void
serve_waiters(void)
{
    while (self.first != NULL && self.first->n <= self.credit) {
        struct waiter *w = self.first;

        self.first = w->next;
        if (self.first == NULL)
            self.last = &self.first;
        self.credit -= w->n;
        wait_end(&w->wait, ST_OK);
    }
}

void
body_credit(uint64_t n)
{
    self.credit = n > UINT64_MAX - self.credit ? UINT64_MAX : self.credit + n;
    serve_waiters();
}

void
body_store_gone(void)
{
    self.credit = 0; /* it was of the stored that is gone */
    self.store_life++;
    while (self.n_limbo > 0)
        shm_give(program_arena(), self.limbo[--self.n_limbo]);
}

static bool
try_credit(uint64_t n)
{
    if (self.first != NULL || self.credit < n)
        return false;
    self.credit -= n;
    return true;
}

static enum status
take_credit(uint64_t n)
{
    struct waiter w = {.n = n}, **at;
    enum status st;

    if (try_credit(n))
        return ST_OK;
    *self.last = &w;
    self.last = &w.next;
    st = wait_for(&w.wait, loop_now(program_loop()) + CREDIT_TIME);
    if (st == ST_OK)
        return ST_OK;
    for (at = &self.first; *at != NULL && *at != &w;)
        at = &(*at)->next;
    if (*at == &w) {
        *at = w.next;
        if (w.next == NULL)
            self.last = at;
        serve_waiters();
    }
    return ST_UNAVAILABLE;
}

/* --- chunks --- */

static void
give_all(const uint32_t *chunks, uint32_t n)
{
    struct shm *arena = program_arena();

    for (uint32_t i = 0; i < n && arena != NULL; i++)
        shm_give(arena, chunks[i]);
}

static void
keep_chunks(const uint32_t *chunks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        self.limbo[self.n_limbo++] = chunks[i];
}

static void
give_chunks(struct body *b)
{
    give_all(b->chunks, b->n_chunks);
    b->n_chunks = b->fed = b->n_sizes = 0;
}

static struct slice
list_chunks(const uint32_t *chunks, uint32_t n, struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < n; i++)
        buf_put_le32(out, chunks[i]);
    return buf_slice(out);
}

static uint32_t
chunks_of(uint64_t n)
{
    return (uint32_t)((n + SHM_CHUNK - 1) / SHM_CHUNK);
}

/* To mdad what it has not had, n bytes. Without mdad a message is stored without a digest. */
static void
feed_digest(struct body *b, uint64_t n, bool last)
{
    AUTO_BUF list = BUF_INIT(BODY_CHUNKS * 4), m = BUF_INIT(BODY_CHUNKS * 4 + 64),
             reply = BUF_INIT(IPC_PAYLOAD_MAX + 64);
    struct channel *ch = program_peer(ROLE_MDA, 0);
    struct msg_bytes digest;

    if (!b->digested)
        return;
    msg_digest_feed_put(&m,
                        &(struct msg_digest_feed){b->job, list_chunks(b->chunks + b->fed, b->n_chunks - b->fed, &list),
                                                  (uint32_t)n, last});
    b->fed = b->n_chunks;
    b->digested = ch != NULL && ipc_call(ch, MSG_DIGEST_FEED, buf_slice(&m), -1,
                                         loop_now(program_loop()) + PEER_TIME, &reply) == ST_OK;
    if (!b->digested || !last)
        return;
    b->job = 0;
    b->digested = msg_bytes_get(buf_slice(&reply), &digest);
    if (b->digested)
        buf_put(&b->digest, digest.bytes);
    b->digested = b->digested && buf_ok(&b->digest);
}

/* n bytes in chunks that are held, from that one on, into the side body. */
static enum status
feed_side(struct body *b, uint32_t from, uint64_t n, bool last)
{
    AUTO_BUF list = BUF_INIT(BODY_CHUNKS * 4), m = BUF_INIT(BODY_CHUNKS * 4 + 64), reply = BUF_INIT(4096);
    struct channel *ch = program_peer(ROLE_STORE, 0);
    enum status st;

    if (ch == NULL || b->store_life != self.store_life)
        return ST_UNAVAILABLE;
    side_data_put(&m, &(struct side_data){b->side, list_chunks(b->chunks + from, chunks_of(n), &list), (uint32_t)n, last});
    st = ipc_call(ch, (enum msg)MSG_SIDE_DATA, buf_slice(&m), -1, loop_now(program_loop()) + PEER_TIME,
                  &reply);
    return st == ST_CLOSED || st == ST_TIMEOUT || st == ST_STALE ? ST_UNAVAILABLE : st;
}

static void
tell_end(enum role role, enum msg type, uint64_t id)
{
    AUTO_BUF m = BUF_INIT(16);
    struct channel *ch = program_peer(role, 0);

    msg_id_put(&m, &(struct msg_id){id});
    if (ch != NULL)
        (void)ipc_send(ch, type, buf_slice(&m), -1);
}

/* --- a body --- */

/* announced: 0 when more may come than is known. */
static enum status
begin_side(struct body *b, uint64_t announced)
{
    AUTO_BUF m = BUF_INIT(64), reply = BUF_INIT(4096);
    struct msg_id id;
    enum status st;

    side_begin_put(&m, &(struct side_begin){announced});
    st = program_ask(ROLE_STORE, (enum msg)MSG_SIDE_BEGIN, buf_slice(&m),
                     loop_now(program_loop()) + CREDIT_TIME, &reply);
    if (st == ST_OK && !msg_id_get(buf_slice(&reply), &id))
        st = ST_CORRUPT;
    if (st == ST_OK)
        b->side = id.id;
    return st;
}

/* What was booked and not spent. */
static void
give_credit(struct body *b)
{
    if (b->credit > 0 && b->store_life == self.store_life)
        body_credit(b->credit);
    b->credit = 0;
}

enum status
body_begin(struct body *b, uint64_t n)
{
    enum status st;

    *b = (struct body){
        .n = n, .total = n, .streams = n > STORE_BODY_INLINE, .digested = true, .digest = BUF_INIT(IPC_PAYLOAD_MAX)};
    if (program_arena() == NULL)
        return ST_UNAVAILABLE;
    b->credit = b->streams ? (uint64_t)BODY_WINDOW * SHM_CHUNK : n;
    st = take_credit(b->credit);
    if (st != ST_OK)
        return st;
    b->store_life = self.store_life;
    st = b->streams ? begin_side(b, n) : ST_OK;
    if (st != ST_OK) {
        give_credit(b);
        return st;
    }
    b->job = ++self.jobs;
    self.coming++;
    return ST_OK;
}

/* The next bytes into a chunk's room. */
static enum status
fill(struct body *b, uint8_t *to, size_t room, struct stream *from, uint64_t deadline, size_t *filled)
{
    *filled = 0;
    while (*filled < room) {
        size_t got;
        enum status st = stream_into(from, to + *filled, room - *filled, deadline, &got);

        if (st != ST_OK)
            return st;
        *filled += got;
        b->got += got;
    }
    return ST_OK;
}

static enum status
throw_away(struct body *b, struct stream *from)
{
    while (b->got < b->n) {
        uint64_t left = b->n - b->got;
        struct slice bytes;
        enum status st = stream_some(from, left < STREAM_INPUT ? (size_t)left : STREAM_INPUT,
                                     loop_now(program_loop()) + CLIENT_TIME, &bytes);

        if (st != ST_OK)
            return st;
        b->got += bytes.n;
    }
    return ST_OK;
}

enum status
body_receive(struct body *b, struct stream *from, enum status *kept)
{
    struct shm *arena = program_arena();
    uint64_t window = 0; /* bytes not yet fed */

    *kept = ST_OK;
    while (b->got < b->n && *kept == ST_OK) {
        size_t room = b->n - b->got < SHM_CHUNK ? (size_t)(b->n - b->got) : SHM_CHUNK, filled;
        enum status st;
        bool last;

        if (shm_take(arena, &b->chunks[b->n_chunks]) != ST_OK) {
            *kept = ST_UNAVAILABLE;
            break;
        }
        b->n_chunks++;
        st = fill(b, shm_at(arena, b->chunks[b->n_chunks - 1]), room, from,
                  loop_now(program_loop()) + CLIENT_TIME, &filled);
        window += filled;
        if (st != ST_OK)
            return st;
        last = b->got == b->n;
        if (b->n_chunks - b->fed < BODY_WINDOW && !last)
            continue;
        feed_digest(b, window, last);
        if (b->streams) {
            *kept = feed_side(b, 0, window, false);
            give_chunks(b);
        }
        window = 0;
    }
    if (*kept == ST_OK && !b->streams)
        b->sizes[b->n_sizes++] = (uint32_t)b->n;
    return throw_away(b, from);
}

/* What is held goes into a side body, message by message, and so does what comes. */
static enum status
spill(struct body *b)
{
    uint64_t window = (uint64_t)BODY_WINDOW * SHM_CHUNK;
    uint32_t at = 0;
    enum status st = begin_side(b, 0);

    for (uint32_t i = 0; i < b->n_sizes && st == ST_OK; i++)
        for (uint64_t left = b->sizes[i], n; left > 0 && st == ST_OK; left -= n) {
            n = left < window ? left : window;
            st = feed_side(b, at, n, false);
            at += chunks_of(n);
        }
    give_chunks(b);
    b->streams = true;
    if (b->credit > window && b->store_life == self.store_life) {
        body_credit(b->credit - window);
        b->credit = window;
    }
    return st;
}

enum status
body_next(struct body *b, uint64_t n)
{
    if (n > STORE_SIDE_MAX - b->total)
        return ST_LIMIT;
    if (b->job != 0)
        tell_end(ROLE_MDA, MSG_DIGEST_CANCEL, b->job); /* it failed at the one before */
    b->n = n;
    b->got = 0;
    b->total += n;
    b->fed = b->n_chunks;
    b->job = ++self.jobs;
    b->digested = true;
    buf_clear(&b->digest);
    if (b->streams)
        return ST_OK;
    if (b->store_life != self.store_life) { /* what was booked went with its stored */
        b->credit = 0;
        b->store_life = self.store_life;
    }
    if (n > STORE_BODY_INLINE || b->n_chunks + chunks_of(n) > BODY_CHUNKS || b->total > STORE_BODY_INLINE || !try_credit(n))
        return spill(b);
    b->credit += n;
    return ST_OK;
}

enum status
body_seal(struct body *b)
{
    return b->streams ? feed_side(b, 0, 0, true) : ST_OK;
}

enum status
body_list(struct body *b, struct append *m, struct buf *chunks)
{
    struct slice left = m->messages;
    struct shm *arena = program_arena();

    m->list_n = (uint32_t)left.n;
    while (left.n > 0) {
        struct slice part = slice_sub(left, 0, SHM_CHUNK);

        if (b->n_list == BODY_LIST || shm_take(arena, &b->list[b->n_list]) != ST_OK)
            return ST_UNAVAILABLE;
        memcpy(shm_at(arena, b->list[b->n_list++]), part.p, part.n);
        left = slice_skip(left, part.n);
    }
    m->messages = (struct slice){0};
    m->list = list_chunks(b->list, b->n_list, chunks);
    return ST_OK;
}

void
body_fill(struct body *b, struct append *m, struct buf *chunks)
{
    uint32_t others = self.coming > 0 ? self.coming - 1 : 0;

    m->n = b->total;
    m->side = b->side;
    m->chunks = b->streams ? (struct slice){0} : list_chunks(b->chunks, b->n_chunks, chunks);
    m->coming = others < UINT16_MAX ? (uint16_t)others : UINT16_MAX;
    if (!b->streams)
        b->credit = 0; /* spent */
}

void
body_end(struct body *b, enum status st)
{
    if (st == ST_TIMEOUT) {
        keep_chunks(b->chunks, b->n_chunks);
        keep_chunks(b->list, b->n_list);
    } else {
        give_chunks(b);
        give_all(b->list, b->n_list);
    }
    if (b->side != 0 && st != ST_OK && st != ST_TIMEOUT && b->store_life == self.store_life)
        tell_end(ROLE_STORE, (enum msg)MSG_SIDE_DROP, b->side);
    if (b->job != 0 && b->got > 0)
        tell_end(ROLE_MDA, MSG_DIGEST_CANCEL, b->job);
    give_credit(b);
    buf_done(&b->digest);
    self.coming--;
}
