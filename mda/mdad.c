/*
 * mdad: parses messages for those who hold mail or talk to strangers, and so
 * must not. It opens nothing, knows nobody, and answers MSG_DIGEST_FEED: bytes in
 * the sender's arena, in order, until the last, whose answer is the digest
 * (mime/digest.h).
 *
 * Bytes are copied out of the arena before they are looked at. A job costs at
 * most about 5 * DIGEST_MAX; there are at most JOBS_MAX, past which a new one is
 * ST_UNAVAILABLE: its mail is then stored without a digest or refused for now.
 */
#include <stdlib.h>

#include "ipc/program.h"
#include "mime/digest.h"

#define JOBS_MAX 512u
#define IDLE_MAX 16u      /* digesters kept for the next jobs */
#define FEED_MAX (1u << 20) /* bytes of one request: a bound on what the loop does at a time */

struct job {
    struct job *next;
    struct digester *digester;
    uint64_t id; /* unique for its sender */
    uint32_t instance;
    uint16_t role;
};

static struct job *jobs; /* newest first: most end in the request that began them */
static uint32_t n_jobs;
static struct digester *idle[IDLE_MAX];
static uint32_t n_idle;

static struct job **
find_job(uint16_t role, uint32_t instance, uint64_t id)
{
    struct job **at = &jobs;

    while (*at != NULL && ((*at)->id != id || (*at)->role != role || (*at)->instance != instance))
        at = &(*at)->next;
    return at;
}

static void
end_job(struct job **at)
{
    struct job *job = *at;

    *at = job->next;
    n_jobs--;
    if (n_idle < IDLE_MAX) {
        digester_reset(job->digester);
        idle[n_idle++] = job->digester;
    } else {
        digester_free(job->digester);
    }
    free(job);
}

/* A new job at the front of the list, or ST_UNAVAILABLE. */
static enum status
begin_job(const struct ipc_sender *from, uint64_t id)
{
    struct job *job;

    if (n_jobs == JOBS_MAX)
        return ST_UNAVAILABLE;
    job = calloc(1, sizeof *job);
    if (job == NULL)
        return ST_UNAVAILABLE;
    job->digester = n_idle > 0 ? idle[--n_idle] : digester_new(DIGEST_MAX);
    if (job->digester == NULL) {
        free(job);
        return ST_UNAVAILABLE;
    }
    job->id = id;
    job->role = from->role;
    job->instance = from->instance;
    job->next = jobs;
    jobs = job;
    n_jobs++;
    return ST_OK;
}

/* Chunk by chunk through our own memory: the sender may rewrite his while we look. */
static enum status
feed(struct digester *d, const struct shm *in, struct slice chunks, size_t n)
{
    static uint8_t copy[SHM_CHUNK];

    while (n > 0) {
        size_t some = n < SHM_CHUNK ? n : SHM_CHUNK;
        struct slice one;

        if (!take_bytes(&chunks, 4, &one) || shm_read(in, one, some, copy) != ST_OK)
            return ST_SYNTAX;
        digest_feed(d, slice_from(copy, some));
        n -= some;
    }
    return chunks.n == 0 ? ST_OK : ST_SYNTAX;
}

static void
answer_digest(struct ipc_sender to, struct digester *d)
{
    AUTO_BUF digest = BUF_INIT(DIGEST_MAX + 4096);
    AUTO_BUF reply = BUF_INIT(DIGEST_MAX + 8192);
    enum status st = digest_finish(d, &digest);

    if (st == ST_OK)
        msg_bytes_put(&reply, &(struct msg_bytes){.bytes = buf_slice(&digest)});
    if (st != ST_OK || !buf_ok(&reply))
        ipc_answer(to, ST_UNAVAILABLE, (struct slice){0});
    else
        ipc_answer(to, ST_OK, buf_slice(&reply));
}

static enum status
on_feed(struct ipc_request *request)
{
    const struct shm *in = channel_in(request->channel);
    const struct ipc_sender *from = &request->from;
    struct msg_digest_feed m;
    struct job **at;
    enum status st;

    if (!msg_digest_feed_get(request->payload, &m) || m.last > 1 || m.n > FEED_MAX || (in == NULL && m.n > 0))
        return ST_SYNTAX;
    at = find_job(from->role, from->instance, m.job);
    if (*at == NULL) {
        st = begin_job(from, m.job);
        if (st != ST_OK) {
            ipc_answer(*from, st, (struct slice){0});
            return ST_OK;
        }
        at = &jobs;
    }
    st = feed((*at)->digester, in, m.chunks, m.n);
    if (st != ST_OK) {
        end_job(at);
        return st;
    }
    if (!m.last) {
        ipc_answer(*from, ST_OK, (struct slice){0});
        return ST_OK;
    }
    answer_digest(*from, (*at)->digester);
    end_job(at);
    return ST_OK;
}

static enum status
on_cancel(struct ipc_request *request)
{
    struct msg_id m;
    struct job **at;

    if (!msg_id_get(request->payload, &m))
        return ST_SYNTAX;
    at = find_job(request->from.role, request->from.instance, m.id);
    if (*at != NULL) /* it may have ended already */
        end_job(at);
    return ST_OK;
}

static void
on_peer_gone(enum role role, uint32_t instance)
{
    struct job **at = &jobs;

    while (*at != NULL) {
        if ((*at)->role == role && (*at)->instance == instance)
            end_job(at);
        else
            at = &(*at)->next;
    }
}

#define ASKERS (ROLE_BIT(SMTP) | ROLE_BIT(SUBMIT) | ROLE_BIT(IMAP))

static const struct ipc_route routes[] = {
    {MSG_DIGEST_FEED, ASKERS, on_feed, false},
    {MSG_DIGEST_CANCEL, ASKERS, on_cancel, false},
    {0},
};

static const struct program program = {.role = ROLE_MDA, .routes = routes, .peer_gone = on_peer_gone};

int
main(int argc, char **argv)
{
    return program_main(&program, argc, argv);
}
