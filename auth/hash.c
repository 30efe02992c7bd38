#include "auth/hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <argon2.h>
#include <openssl/crypto.h>

#define THREADS_MAX 64u
#define DEFAULT_BYTES ((size_t)HASH_KIB * 1024)
#define HUGE          ((size_t)2 << 20)
#define OWN_BYTES     (DEFAULT_BYTES + HUGE - DEFAULT_BYTES % HUGE)
#define IDLE          MSEC(200) /* until memory is given back */

struct hasher {
    struct loop *loop;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t threads[THREADS_MAX];
    unsigned running;
    unsigned waiting, most;
    struct hash_job *first, **last;
    bool over;
};

/* This thread's memory for hashes of the usual size. libargon2's callbacks carry no pointer of ours. */
static _Thread_local uint8_t *own;
static _Thread_local bool own_used;

static int
lend(uint8_t **memory, size_t n)
{
    bool fits = own != NULL && !own_used && n <= DEFAULT_BYTES;

    *memory = fits ? own : malloc(n);
    own_used |= fits;
    return *memory != NULL ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

static void
give_back(uint8_t *memory, size_t n)
{
    if (memory == own)
        own_used = false; /* libargon2 has wiped what it does not want seen */
    else
        free(memory);
}

struct phc {
    uint32_t kib, passes, lanes;
    uint8_t salt[64], hash[64];
    size_t salt_n, hash_n;
};

/* Base64 without padding, up to '$' or the end. */
static bool
take_unpadded(struct slice *in, uint8_t out[64], size_t *n)
{
    struct slice text = take_until(in, '$');
    AUTO_BUF padded = BUF_INIT(128);
    AUTO_BUF bytes = BUF_INIT(64);

    buf_put(&padded, text);
    while (padded.n % 4 != 0 && buf_ok(&padded))
        buf_putc(&padded, '=');
    if (!buf_ok(&padded) || slice_find(text, '=') != text.n || buf_put_unbase64(&bytes, buf_slice(&padded)) != ST_OK)
        return false;
    if (bytes.n < 8)
        return false;
    memcpy(out, bytes.p, bytes.n);
    *n = bytes.n;
    return true;
}

static bool
take_cost(struct slice *in, const char *name, uint32_t most, uint32_t *out)
{
    uint64_t v;

    if (!take_literal(in, slice_of(name)) || !take_number(in, most, &v) || v == 0)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool
parse(struct slice in, struct phc *out)
{
    struct phc got = {0};

    if (!take_literal(&in, SLICE("$argon2id$v=19$")) || !take_cost(&in, "m=", HASH_KIB_MAX, &got.kib) ||
        !take_cost(&in, ",t=", HASH_PASSES_MAX, &got.passes) || !take_cost(&in, ",p=", 4, &got.lanes))
        return false;
    if (!take_byte(&in, '$') || !take_unpadded(&in, got.salt, &got.salt_n))
        return false;
    if (!take_byte(&in, '$') || !take_unpadded(&in, got.hash, &got.hash_n) || in.n > 0)
        return false;
    *out = got;
    return true;
}

static enum status
compute(const struct phc *p, struct slice password, uint8_t *out, size_t n)
{
    uint8_t copy[SASL_PASSWORD_MAX], salt[sizeof p->salt];
    argon2_context context = {
        .out = out,
        .outlen = (uint32_t)n,
        .pwd = copy,
        .pwdlen = (uint32_t)password.n,
        .salt = salt,
        .saltlen = (uint32_t)p->salt_n,
        .t_cost = p->passes,
        .m_cost = p->kib,
        .lanes = p->lanes,
        .threads = 1, /* lanes one after the other: this is the thread */
        .version = ARGON2_VERSION_13,
        .allocate_cbk = lend,
        .free_cbk = give_back,
    };
    int got;

    if (password.n == 0 || password.n > sizeof copy)
        return ST_DENIED;
    memcpy(copy, password.p, password.n);
    memcpy(salt, p->salt, sizeof salt);
    got = argon2id_ctx(&context);
    OPENSSL_cleanse(copy, sizeof copy);
    if (got == ARGON2_OK)
        return ST_OK;
    return got == ARGON2_MEMORY_ALLOCATION_ERROR ? ST_MEMORY : ST_CORRUPT;
}

enum status
hash_verify(const char *phc, struct slice password)
{
    struct phc want = {.kib = HASH_KIB, .passes = HASH_PASSES, .lanes = 1, .salt_n = HASH_SALT, .hash_n = HASH_SIZE};
    uint8_t got[sizeof want.hash] = {0};
    bool known = phc[0] != '\0';
    enum status st;

    if (known && !parse(slice_of(phc), &want))
        return ST_CORRUPT;
    st = compute(&want, password, got, want.hash_n);
    if (st != ST_OK)
        return st;
    bool same = slice_eq_secret(slice_from(got, want.hash_n), slice_from(want.hash, want.hash_n));

    OPENSSL_cleanse(got, sizeof got);
    return (same & known) ? ST_OK : ST_DENIED;
}

static void
put_unpadded(struct buf *b, const uint8_t *bytes, size_t n)
{
    buf_putc(b, '$');
    buf_put_base64(b, slice_from(bytes, n));
    while (b->n > 0 && b->p[b->n - 1] == '=')
        b->n--;
}

enum status
hash_make(struct slice password, bool sha1, struct secret *secret)
{
    struct phc p = {.kib = HASH_KIB, .passes = HASH_PASSES, .lanes = 1, .salt_n = HASH_SALT, .hash_n = HASH_SIZE};
    struct secret made = {0};
    uint8_t salt[SCRAM_SALT];
    AUTO_BUF text = BUF_INIT(SECRET_PHC_MAX);
    enum status st;

    if (!sasl_password_ok(password))
        return ST_SYNTAX;
    if (getrandom(p.salt, HASH_SALT, 0) != (ssize_t)HASH_SALT || getrandom(salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        return ST_IO;
    st = compute(&p, password, p.hash, HASH_SIZE);
    if (st != ST_OK)
        return st;
    buf_printf(&text, "$argon2id$v=19$m=%u,t=%u,p=1", HASH_KIB, HASH_PASSES);
    put_unpadded(&text, p.salt, HASH_SALT);
    put_unpadded(&text, p.hash, HASH_SIZE);
    if (!buf_ok(&text) || !slice_to_cstr(buf_slice(&text), made.phc, sizeof made.phc))
        return ST_MEMORY;
    if (!scram_make(SCRAM_SHA256, password, salt, SCRAM_ITERATIONS, &made.scram))
        return ST_MEMORY;
    if (sha1 && getrandom(salt, sizeof salt, 0) != (ssize_t)sizeof salt)
        return ST_IO;
    if (sha1 && !scram_make(SCRAM_SHA1, password, salt, SCRAM_ITERATIONS, &made.sha1))
        return ST_MEMORY;
    *secret = made;
    return ST_OK;
}

static void
report(struct posted *p)
{
    struct hash_job *job = OUTER(p, struct hash_job, posted);

    job->done(job);
}

static void
work(struct hasher *h, struct hash_job *job)
{
    struct slice password = slice_from(job->password, job->password_n);

    if (clock_mono() > job->deadline)
        job->result = ST_TIMEOUT;
    else if (job->kind == HASH_VERIFY)
        job->result = hash_verify(job->secret.phc, password);
    else
        job->result = hash_make(password, job->sha1, &job->secret);
    OPENSSL_cleanse(job->password, sizeof job->password);
    loop_post(h->loop, &job->posted);
}

/* Waits for work, under the lock. A thread that has had none for a moment gives its memory back: with huge pages it
 * costs little to get again. */
static void
wait_for_work(struct hasher *h, bool *used)
{
    struct timespec until;

    if (!*used) {
        pthread_cond_wait(&h->work, &h->lock);
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)IDLE;
    if (until.tv_nsec >= (long)SECONDS(1)) {
        until.tv_nsec -= (long)SECONDS(1);
        until.tv_sec++;
    }
    if (pthread_cond_timedwait(&h->work, &h->lock, &until) != ETIMEDOUT)
        return;
    if (own != NULL)
        (void)madvise(own, OWN_BYTES, MADV_DONTNEED);
    *used = false;
}

static void *
thread_main(void *arg)
{
    struct hasher *h = arg;
    bool used = false;

    /* Many logins at once must not take the processor from sessions that are already in. Linux knows a nice value a thread. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
    own = aligned_alloc(HUGE, OWN_BYTES);
    if (own != NULL) /* NULL: each hash allocates for itself */
        (void)madvise(own, OWN_BYTES, MADV_HUGEPAGE); /* its reads are random: a tenth faster */
    pthread_mutex_lock(&h->lock);
    for (;;) {
        struct hash_job *job = h->first;

        if (h->over)
            break;
        if (job == NULL) {
            wait_for_work(h, &used);
            continue;
        }
        h->first = job->next;
        if (h->first == NULL)
            h->last = &h->first;
        h->waiting--;
        pthread_mutex_unlock(&h->lock);
        work(h, job);
        used = true;
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    free(own);
    return NULL;
}

enum status
hasher_new(struct loop *loop, unsigned threads, unsigned most, struct hasher **out, struct err *err)
{
    struct hasher *h = calloc(1, sizeof *h);

    if (h == NULL)
        return err_set(err, ST_MEMORY, "hashing: no memory");
    h->loop = loop;
    h->most = most;
    h->last = &h->first;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->work, NULL);
    if (threads == 0)
        threads = 1;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    while (h->running < threads) {
        if (pthread_create(&h->threads[h->running], NULL, thread_main, h) != 0) {
            hasher_free(h);
            return err_set(err, ST_UNAVAILABLE, "hashing: cannot start a thread");
        }
        h->running++;
    }
    *out = h;
    return ST_OK;
}

void
hasher_free(struct hasher *h)
{
    if (h == NULL)
        return;
    pthread_mutex_lock(&h->lock);
    h->over = true;
    pthread_cond_broadcast(&h->work);
    pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->running; i++)
        pthread_join(h->threads[i], NULL);
    pthread_cond_destroy(&h->work);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

enum status
hasher_submit(struct hasher *h, struct hash_job *job)
{
    enum status st = ST_UNAVAILABLE;

    job->next = NULL;
    job->posted = (struct posted){.run = report};
    job->hasher = h;
    pthread_mutex_lock(&h->lock);
    if (h->waiting < h->most) {
        *h->last = job;
        h->last = &job->next;
        h->waiting++;
        st = ST_OK;
        pthread_cond_signal(&h->work);
    }
    pthread_mutex_unlock(&h->lock);
    return st;
}
