#include "smtpserver/body.h"

#include <assert.h>
#include <stdlib.h>

#include "ipc/program.h"

#define INLINE_CHUNKS (STORE_BODY_INLINE / SHM_CHUNK)
#define WINDOW_BYTES  (BODY_WINDOW * SHM_CHUNK)
#define IDLE_MAX      64u   /* bodies kept for the next messages, with their memory */
#define KEEP          8192u /* of it, in each of its two buffers */
#define COMING_LIFE   MSEC(30)
#define ANNOUNCED_MAX                                                                                        \
    16u                 /* chunks that a promise alone is worth: a few silent clients shall not hold all     \
                         */
#define DIGEST_TRIES 2u /* a message that ends mdad twice is not tried again in this session */
#define DIGEST_WAIT  SECONDS(20)
#define SIDE_WAIT    SECONDS(60)
#define DELIVER_WAIT SECONDS(120) /* a client waits ten minutes (RFC 5321 4.5.3.2.6) */

struct body {
    struct body *next;            /* in the list of idle ones */
    struct body *older, *younger; /* of those that come */
    uint64_t began, moved;        /* when it was opened; when bytes came last */
    bool busy;                    /* it waits for us, not for its sender */
    struct booking booking;
    uint32_t chunks[INLINE_CHUNKS];
    uint32_t owned, used; /* of chunks: taken from the arena; holding bytes */
    uint64_t base, total; /* where chunks[0] begins; bytes received */
    uint64_t fed;         /* to mdad */
    uint64_t job;
    uint32_t mda_life, store_life; /* in which the job and the side body were begun */
    unsigned tries;
    bool job_open, aside, side_open, side_done, side_given, coming;
    uint64_t announced, side;
    struct slice digest; /* into reply */
    struct buf reply, message;
};

/* Chunks of a delivery that was not answered in time: stored may still read them, until it is another. */
static struct {
    uint32_t *chunks;
    size_t n, cap;
} limbo;

static struct body *idle;
static uint32_t n_idle;
static struct {
    struct body *oldest, *youngest;
    uint32_t n;
} coming; /* bodies between 354 and their DELIVER that are expected soon */
static uint32_t mda_life, store_life;
static uint64_t last_job;

static uint64_t
within(uint64_t ns)
{
    return loop_now(program_loop()) + ns;
}

static struct body *
new_body(void)
{
    struct body *b = idle;

    if (b == NULL)
        b = calloc(1, sizeof(*b));
    else {
        idle = b->next;
        n_idle--;
    }
    if (b == NULL)
        return NULL;
    *b = (struct body){.reply = b->reply, .message = b->message};
    b->reply.max = b->message.max = IPC_INLINE;
    return b;
}

static void
begin_coming(struct body *b)
{
    b->coming = true;
    b->began = b->moved = loop_now(program_loop());
    b->older = coming.youngest;
    if (b->older != NULL)
        b->older->younger = b;
    else
        coming.oldest = b;
    coming.youngest = b;
    coming.n++;
}

static void
end_coming(struct body *b)
{
    if (!b->coming)
        return;
    b->coming = false;
    if (b->older != NULL)
        b->older->younger = b->younger;
    else
        coming.oldest = b->younger;
    if (b->younger != NULL)
        b->younger->older = b->older;
    else
        coming.youngest = b->older;
    b->older = b->younger = NULL;
    coming.n--;
}

/* How many deliveries stored may hope for. A slow sender's is not worth a wait. */
static uint16_t
count_coming(void)
{
    uint64_t now = loop_now(program_loop());

    while (coming.oldest != NULL && coming.oldest->began + COMING_LIFE < now)
        end_coming(coming.oldest);
    return coming.n < UINT16_MAX ? (uint16_t)coming.n : UINT16_MAX;
}

enum status
body_open(uint64_t announced, struct body **result)
{
    struct body *b = new_body();
    uint32_t chunks = 1; /* not announced: as it comes */
    enum status st;

    if (b == NULL)
        return ST_MEMORY;
    b->announced = announced;
    b->aside = announced > STORE_BODY_INLINE;
    if (b->aside)
        chunks = BODY_WINDOW;
    else if (announced > 0)
        chunks = (uint32_t)((announced + SHM_CHUNK - 1) / SHM_CHUNK);
    if (chunks > ANNOUNCED_MAX)
        chunks = ANNOUNCED_MAX;
    st = credit_book(&b->booking, chunks, 0);
    if (st == ST_TIMEOUT && program_peer(ROLE_STORE, 0) == NULL)
        st = ST_UNAVAILABLE;
    if (st != ST_OK) {
        body_close(b);
        return st;
    }
    begin_coming(b);
    *result = b;
    return ST_OK;
}

/* --- to mdad --- */

/* The numbers of the chunks that hold [from, from + n), packed. */
static struct slice
pack(const struct body *b, uint64_t from, size_t n, uint8_t *to, size_t cap)
{
    struct buf list = {.p = to, .cap = cap, .max = cap};
    size_t first = (size_t)(from - b->base) / SHM_CHUNK, count = (n + SHM_CHUNK - 1) / SHM_CHUNK;

    for (size_t i = 0; i < count; i++)
        buf_put_le32(&list, b->chunks[first + i]);
    return buf_slice(&list);
}

static void
cancel_job(struct body *b)
{
    uint8_t bytes[8];
    struct buf m = BUF_FIXED(bytes);
    struct channel *ch = program_peer(ROLE_MDA, 0);

    if (b->job_open && ch != NULL && b->mda_life == mda_life) {
        msg_id_put(&m, &(struct msg_id){b->job});
        (void)ipc_send(ch, MSG_DIGEST_CANCEL, buf_slice(&m), -1);
    }
    b->job_open = false;
}

/* One feed of what has not been fed, at most a window. ST_CLOSED: all that was fed before is lost. */
static enum status
feed_once(struct body *b, bool last)
{
    uint8_t list[BODY_WINDOW * 4], bytes[sizeof(list) + 32];
    struct buf m = BUF_FIXED(bytes);
    uint64_t n = b->total - b->fed, until = within(DIGEST_WAIT);
    struct channel *ch;
    enum status st;

    if (n > WINDOW_BYTES) {
        n = WINDOW_BYTES;
        last = false;
    }
    if (b->job_open && b->mda_life != mda_life)
        return ST_CLOSED;
    st = program_peer_wait(ROLE_MDA, 0, until, &ch);
    if (st != ST_OK)
        return st;
    if (b->job_open && b->mda_life != mda_life) /* another one, of which the wait was */
        return ST_CLOSED;
    if (!b->job_open) {
        b->job = ++last_job;
        b->mda_life = mda_life;
        b->job_open = true;
    }
    msg_digest_feed_put(&m,
                        &(struct msg_digest_feed){.job = b->job,
                                                  .chunks = pack(b, b->fed, (size_t)n, list, sizeof(list)),
                                                  .n = (uint32_t)n,
                                                  .last = last});
    st = ipc_call(ch, MSG_DIGEST_FEED, buf_slice(&m), -1, until, &b->reply);
    if (st == ST_OK) {
        b->fed += n;
        b->job_open = !last;
    }
    return st;
}

/* Feeds all that is there. When mdad ends meanwhile, the next one is told from the beginning, if that
 * is still here. */
static enum status
feed(struct body *b, bool last)
{
    for (;;) {
        enum status st = feed_once(b, last);

        if (st == ST_OK && (b->fed == b->total) && (!last || !b->job_open))
            return ST_OK;
        if (st == ST_OK)
            continue;
        if (st != ST_CLOSED || b->base > 0 || ++b->tries == DIGEST_TRIES) {
            cancel_job(b);
            return ST_UNAVAILABLE;
        }
        b->job_open = false;
        b->fed = 0;
    }
}

/* --- to a side body --- */

static struct channel *
side_channel(const struct body *b)
{
    return b->store_life == store_life ? program_peer(ROLE_STORE, 0) : NULL;
}

static enum status
begin_side(struct body *b)
{
    uint8_t bytes[8], answer[64];
    struct buf m = BUF_FIXED(bytes), reply = BUF_FIXED(answer);
    uint64_t until = within(CREDIT_WAIT);
    struct channel *ch;
    struct msg_id id;
    enum status st = program_peer_wait(ROLE_STORE, 0, until, &ch);

    if (st != ST_OK)
        return st;
    b->store_life = store_life;
    side_begin_put(&m, &(struct side_begin){b->announced});
    st = ipc_call(ch, (enum msg)MSG_SIDE_BEGIN, buf_slice(&m), -1, until, &reply);
    if (st != ST_OK)
        return st == ST_CLOSED ? ST_UNAVAILABLE : st;
    if (!msg_id_get(buf_slice(&reply), &id))
        return ST_UNAVAILABLE;
    b->side = id.id;
    b->side_open = true;
    return ST_OK;
}

/* Sends n bytes at `from`, at most a window. They cost no credit: when stored answers they are on disk, and
 * it grants none for them. What is booked is for the window, and comes back at the end. */
static enum status
side_data(struct body *b, uint64_t from, size_t n, bool last)
{
    uint8_t list[BODY_WINDOW * 4], bytes[sizeof(list) + 32];
    struct buf m = BUF_FIXED(bytes);
    struct channel *ch = side_channel(b);
    enum status st;

    if (ch == NULL)
        return ST_UNAVAILABLE; /* with its channel the side body is gone */
    side_data_put(&m, &(struct side_data){.side = b->side,
                                          .chunks = pack(b, from, n, list, sizeof(list)),
                                          .n = (uint32_t)n,
                                          .last = last});
    st = ipc_call(ch, (enum msg)MSG_SIDE_DATA, buf_slice(&m), -1, within(SIDE_WAIT), NULL);
    return st == ST_CLOSED || st == ST_TIMEOUT ? ST_UNAVAILABLE : st;
}

/* All that is held goes to the side body; then the chunks of one window are free to be used again. */
static enum status
send_aside(struct body *b, bool last)
{
    uint64_t at = b->base;
    enum status st = b->side_open ? ST_OK : begin_side(b);

    while (st == ST_OK && (at < b->total || (last && !b->side_done))) {
        uint64_t n = b->total - at < WINDOW_BYTES ? b->total - at : WINDOW_BYTES;

        b->side_done = last && at + n == b->total;
        st = side_data(b, at, (size_t)n, b->side_done);
        at += n;
    }
    if (st != ST_OK)
        return st;
    while (b->owned > BODY_WINDOW)
        credit_give(b->chunks[--b->owned]);
    b->base = b->total;
    b->used = 0;
    credit_trim(&b->booking, BODY_WINDOW);
    return ST_OK;
}

static void
drop_side(struct body *b)
{
    uint8_t bytes[8];
    struct buf m = BUF_FIXED(bytes);
    struct channel *ch = side_channel(b);

    if (b->side_open && !b->side_given && ch != NULL) {
        msg_id_put(&m, &(struct msg_id){b->side});
        (void)ipc_send(ch, (enum msg)MSG_SIDE_DROP, buf_slice(&m), -1);
    }
    b->side_open = false;
}

/* --- receiving --- */

/* The next step of a body whose size was not told, or not truly; a window, once it goes aside. */
static enum status
book_more(struct body *b)
{
    static const uint32_t steps[CREDIT_LEVELS] = {1, 4, 16, INLINE_CHUNKS};
    unsigned level = 0;

    while (level < CREDIT_LEVELS - 1 && steps[level] <= b->used)
        level++;
    return credit_book(&b->booking, steps[level] - b->used, level);
}

/* The last chunk is full: what must go, goes, and there is a next one. */
static enum status
next_chunk(struct body *b)
{
    uint64_t held = b->total - b->base;
    enum status st = ST_OK;

    if (held > 0 && held % WINDOW_BYTES == 0) {
        st = feed(b, false);
        if (st == ST_OK && (b->aside || held == STORE_BODY_INLINE)) {
            b->aside = true;
            st = send_aside(b, false);
        }
        if (st != ST_OK)
            return st;
    }
    if (b->used == b->booking.credit)
        st = book_more(b);
    if (st == ST_OK && b->used == b->owned)
        b->chunks[b->owned++] = credit_take(&b->booking);
    if (st == ST_OK)
        b->used++;
    return st;
}

enum status
body_room(struct body *b, uint8_t **p, size_t *n)
{
    size_t in_chunk = (size_t)(b->total - b->base) % SHM_CHUNK;

    if (in_chunk == 0 && (b->total - b->base) / SHM_CHUNK == b->used) {
        enum status st;

        b->busy = true;
        st = next_chunk(b);
        b->busy = false;
        b->moved = loop_now(program_loop());
        if (st != ST_OK)
            return st;
    }
    *p = shm_at(program_arena(), b->chunks[b->used - 1]) + in_chunk;
    *n = SHM_CHUNK - in_chunk;
    return ST_OK;
}

void
body_used(struct body *b, size_t n)
{
    b->total += n;
    b->moved = loop_now(program_loop());
}

bool
body_silent(const struct body *b, uint64_t ns)
{
    return !b->busy && loop_now(program_loop()) - b->moved >= ns;
}

struct slice
body_head(const struct body *b)
{
    uint64_t n = b->total < SHM_CHUNK ? b->total : SHM_CHUNK;

    if (b->base > 0 || b->used == 0)
        return (struct slice){0};
    return slice_from(shm_at(program_arena(), b->chunks[0]), (size_t)n);
}

/* --- delivering --- */

size_t
body_overhead(const struct body *b)
{
    return 128 + INLINE_CHUNKS * 4 + b->digest.n;
}

/* The chunks stay out of use while this stored lives. */
static void
into_limbo(struct body *b)
{
    size_t want = limbo.n + b->owned;

    if (want > limbo.cap) {
        uint32_t *more = realloc(limbo.chunks, 2 * want * sizeof(*more));

        if (more == NULL)
            abort(); /* giving them back could put another's message into a mailbox */
        limbo.chunks = more;
        limbo.cap = 2 * want;
    }
    while (b->owned > 0)
        limbo.chunks[limbo.n++] = b->chunks[--b->owned];
}

enum status
body_finish(struct body *b)
{
    struct msg_bytes m;
    enum status st;

    b->busy = true;
    st = feed(b, true);
    if (st != ST_OK)
        return st;
    if (!msg_bytes_get(buf_slice(&b->reply), &m))
        return ST_UNAVAILABLE;
    b->digest = m.bytes;
    return b->side_open ? send_aside(b, true) : ST_OK;
}

bool
body_is_aside(const struct body *b)
{
    return b->side_open;
}

void
body_forget_digest(struct body *b)
{
    b->digest = (struct slice){0};
}

static enum status
ask(struct body *b, uint64_t charge)
{
    uint64_t until = within(DELIVER_WAIT);

    for (;;) {
        struct channel *ch;
        enum status st = program_peer_wait(ROLE_STORE, 0, until, &ch);

        if (st != ST_OK)
            return ST_UNAVAILABLE;
        credit_spend(charge);
        credit_release(&b->booking); /* what was booked and did not come */
        st = ipc_call(ch, (enum msg)MSG_DELIVER, buf_slice(&b->message), -1, until, NULL);
        if (st == ST_TIMEOUT)
            into_limbo(b);
        if (st == ST_OK || st == ST_TIMEOUT)
            b->side_given = true; /* it is stored's, or may be */
        if (st != ST_CLOSED)
            return st;
        b->message.p[b->message.n - 1] = 1; /* deliver.again */
    }
}

enum status
body_deliver(struct body *b, struct deliver *m)
{
    uint8_t list[INLINE_CHUNKS * 4];

    end_coming(b);
    m->n = b->total;
    m->side = b->side_open ? b->side : 0;
    m->chunks = b->side_open ? (struct slice){0} : pack(b, 0, (size_t)b->total, list, sizeof(list));
    m->digest = b->digest;
    m->coming = count_coming();
    buf_clear(&b->message);
    deliver_put(&b->message, m);
    if (!buf_ok(&b->message))
        return ST_MEMORY;
    return ask(b, b->side_open ? 0 : b->total);
}

void
body_close(struct body *b)
{
    if (b == NULL)
        return;
    end_coming(b);
    if (b->job_open)
        cancel_job(b);
    if (b->side_open)
        drop_side(b);
    while (b->owned > 0)
        credit_give(b->chunks[--b->owned]);
    credit_release(&b->booking);
    if (n_idle == IDLE_MAX) {
        buf_done(&b->reply);
        buf_done(&b->message);
        free(b);
        return;
    }
    buf_shrink(&b->reply, KEEP);
    buf_shrink(&b->message, KEEP);
    b->next = idle;
    idle = b;
    n_idle++;
}

void
body_peer_gone(enum role role)
{
    if (role == ROLE_MDA)
        mda_life++;
    if (role != ROLE_STORE)
        return;
    store_life++;
    credit_void();
    while (limbo.n > 0)
        credit_give(limbo.chunks[--limbo.n]);
}
