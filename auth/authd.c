/*
 * authd: who you are. Holds the secrets and tells none: it plays the server's side of SASL for logind and
 * submitd, who pass messages through, gives a ticket for success, and opens the handle at stored when a session
 * program redeems the ticket. A connection is what edged said of it, never what the asker says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "auth/fingerprint.h"
#include "auth/hash.h"
#include "auth/throttle.h"
#include "auth/ticket.h"
#include "auth/verified.h"
#include "conf/tables.h"
#include "ipc/program.h"
#include "sasl/mechanism.h"
#include "sasl/plain.h"
#include "sasl/prep.h"
#include "store/request.h"
#include "sys/fd.h"
#include "sys/log.h"

#define CONNECTIONS_MAX 65536u
#define BUCKETS 16384u
#define THROTTLE_SIZE 65536u
#define VERIFIED_SIZE 16384u
#define EARLY_MAX 1024u
#define EARLY_WAIT SECONDS(1)
#define QUARANTINED_MAX 64u /* as many as estafetad remembers */

/* A connection that edged told of. */
struct connection {
    struct connection *next;
    uint64_t id;
    uint8_t peer[16];
    bool tls, busy; /* busy: a password is being looked at */
    bool over;      /* MSG_CONN_OVER came while busy: freed when the answer is out */
    /* What edged said of its TLS (msg_conn). */
    uint8_t exporter[CONN_EXPORTER], end_point[CONN_END_POINT], certificate[CONN_CERTIFICATE];
    uint8_t exporter_n, end_point_n, certificate_n, name_n;
    uint8_t name[CONN_CERTIFICATE_NAME];
    enum sasl_mechanism mechanism;
    struct sasl_login login;
    struct scram scram;
    /* After a success, for MSG_HANDLE_RENEW. user_n: 0 none. */
    uint8_t user[SASL_NAME_MAX], user_n;
    uint16_t role; /* of who redeemed the ticket: 0 nobody yet */
    uint32_t instance;
};

/* A password or proof on its way; on a fiber, for it waits. */
struct attempt {
    struct connection *conn;
    struct ipc_sender from;
    uint8_t name[SASL_NAME_MAX];
    size_t name_n;
    struct buf message; /* of SCRAM's last step */
    struct hash_job job;
    struct wait wait;
};

/* A login that came before what edged says of its connection: the two come by different channels, so either can be
 * first. It waits shortly, on a fiber, for what costs no connection a round trip. */
struct early {
    struct early *next;
    struct ipc_sender from;
    uint64_t conn;
    struct wait wait;
    struct buf request; /* the msg_sasl_start, encoded */
};

static struct {
    struct auth_settings settings;
    struct buf text; /* of the settings, into which they point */
    int dir;
    struct secrets *secrets;
    struct hasher *hasher;
    struct throttle *throttle;
    struct tickets *tickets;
    struct verified *verified;
    uint8_t fake_key[SASL_HASH];
    struct connection *buckets[BUCKETS];
    size_t connections;
    struct early *early;
    size_t n_early;
    /* Accounts that crashed programs: no sessions before that time. */
    struct quarantined {
        uint8_t user[SASL_NAME_MAX], user_n; /* 0: none */
        uint64_t until;
    } quarantined[QUARANTINED_MAX];
} self;

/* --- connections --- */

static struct connection **
conn_at(uint64_t id)
{
    struct connection **link = &self.buckets[(id ^ id >> 32) % BUCKETS];

    while (*link != NULL && (*link)->id != id)
        link = &(*link)->next;
    return link;
}

static void
conn_drop(struct connection **link)
{
    struct connection *c = *link;

    tickets_forget(self.tickets, c->id);
    c->over = true;
    if (c->busy)
        return; /* attempt_end() comes back here */
    *link = c->next;
    scram_done(&c->scram);
    free(c);
    self.connections--;
}

static uint8_t
keep(uint8_t *to, struct slice from)
{
    memcpy(to, from.n > 0 ? from.p : to, from.n);
    return (uint8_t)from.n;
}

static bool
facts_ok(const struct msg_conn *m)
{
    return m->peer.n >= 16 && (m->binding.n == 0 || m->binding.n == CONN_EXPORTER) && m->end_point.n <= CONN_END_POINT &&
           (m->certificate.n == 0 || m->certificate.n == CONN_CERTIFICATE) &&
           m->certificate_name.n <= CONN_CERTIFICATE_NAME;
}

static enum status
on_conn_facts(struct ipc_request *r)
{
    struct msg_conn m;
    struct connection **link, *c;

    if (!msg_conn_get(r->payload, &m) || !facts_ok(&m))
        return ST_SYNTAX;
    link = conn_at(m.conn);
    c = *link;
    if (c == NULL) {
        if (self.connections >= CONNECTIONS_MAX)
            return ST_OK; /* its logins will be told to try later */
        c = calloc(1, sizeof *c);
        if (c == NULL)
            return ST_OK;
        c->id = m.conn;
        *link = c;
        self.connections++;
    }
    memcpy(c->peer, m.peer.p, 16);
    c->tls = m.tls == 1;
    c->exporter_n = keep(c->exporter, m.binding);
    c->end_point_n = keep(c->end_point, m.end_point);
    c->certificate_n = keep(c->certificate, m.certificate);
    c->name_n = keep(c->name, m.certificate_name);
    for (struct early *e = self.early; e != NULL; e = e->next)
        if (e->conn == m.conn)
            wait_end(&e->wait, ST_OK);
    return ST_OK;
}

static enum status
on_conn_over(struct ipc_request *r)
{
    struct msg_conn_id m;
    struct connection **link;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    link = conn_at(m.conn);
    if (*link != NULL)
        conn_drop(link);
    return ST_OK;
}

/* With edged its TLS sessions have ended, and it cannot say so any more; cleartext ones go on without it. */
static void
on_peer_gone(enum role role, uint32_t instance)
{
    for (size_t i = 0; role == ROLE_EDGE && i < BUCKETS; i++)
        for (struct connection **link = &self.buckets[i]; *link != NULL;) {
            struct connection *c = *link;

            if (c->tls)
                conn_drop(link);
            if (*link == c)
                link = &c->next;
        }
}

/* --- names --- */

/* The account's full name: prepared (RFC 4013), lower case, with the default domain when none was written. */
static bool
full_name(struct slice written, uint8_t out[SASL_NAME_MAX], size_t *out_n)
{
    uint8_t bytes[SASL_NAME_MAX];
    struct buf prepared = BUF_FIXED(bytes);
    struct slice domain = self.settings.domain, in;
    bool has;
    size_t n;

    if (!sasl_name_ok(written) || sasl_prep(written, &prepared) != ST_OK)
        return false;
    in = buf_slice(&prepared);
    has = slice_find(in, '@') < in.n;
    n = in.n + (has ? 0 : 1 + domain.n);
    if (!sasl_name_ok(in) || n > SASL_NAME_MAX)
        return false;
    for (size_t i = 0; i < in.n; i++)
        out[i] = ascii_lower(in.p[i]);
    if (!has) {
        out[in.n] = '@';
        for (size_t i = 0; i < domain.n; i++)
            out[in.n + 1 + i] = ascii_lower(domain.p[i]);
    }
    *out_n = n;
    return true;
}

/* Nobody acts as another here: an authorization identity must be the same account. */
static bool
same_account(struct slice authzid, struct slice name)
{
    uint8_t full[SASL_NAME_MAX];
    size_t n;

    return authzid.n == 0 || (full_name(authzid, full, &n) && slice_eq(slice_from(full, n), name));
}

/* Prepared (RFC 4013), into a job's storage. False: it can be nobody's. */
static bool
take_password(struct slice written, struct hash_job *job)
{
    struct buf prepared = BUF_FIXED(job->password);

    if (sasl_prep(written, &prepared) != ST_OK)
        return false;
    job->password_n = prepared.n;
    return true;
}

static bool
loopback(const struct connection *c)
{
    static const uint8_t four[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127}, six[16] = {[15] = 1};

    return memcmp(c->peer, four, sizeof four) == 0 || memcmp(c->peer, six, sizeof six) == 0;
}

/* --- accounts that crashed programs --- */

static struct quarantined *
quarantined(struct slice user)
{
    for (size_t i = 0; i < QUARANTINED_MAX; i++)
        if (self.quarantined[i].user_n > 0 &&
            slice_eq(slice_from(self.quarantined[i].user, self.quarantined[i].user_n), user))
            return &self.quarantined[i];
    return NULL;
}

/* No session of IMAP or POP3 may begin; submission goes on, and so does the mail that comes for it. */
static bool
barred(struct slice user, uint16_t role)
{
    const struct quarantined *q = role == ROLE_SUBMIT ? NULL : quarantined(user);

    return q != NULL && q->until > clock_mono();
}

static enum status
on_quarantine(const struct msg_quarantine *m)
{
    struct quarantined *q = quarantined(m->user);

    if (m->user.n == 0 || m->user.n > SASL_NAME_MAX)
        return ST_OK; /* nobody is called so here */
    for (size_t i = 0; i < QUARANTINED_MAX && q == NULL; i++)
        if (self.quarantined[i].user_n == 0 || self.quarantined[i].until <= clock_mono())
            q = &self.quarantined[i];
    if (q == NULL)
        return ST_OK;
    memcpy(q->user, m->user.p, m->user.n);
    q->user_n = (uint8_t)m->user.n;
    q->until = clock_mono() + SECONDS(m->seconds);
    return ST_OK;
}

/* --- answers --- */

static void
answer(struct ipc_sender to, enum status st, struct slice data, struct slice ticket, struct slice user)
{
    AUTO_BUF b = BUF_INIT(8192);

    msg_sasl_put(&b, &(struct msg_sasl){data, ticket, user});
    ipc_answer(to, buf_ok(&b) ? st : ST_UNAVAILABLE, buf_slice(&b));
}

#define NOTHING ((struct slice){0})

static void
refuse(struct connection *c, struct ipc_sender to, enum status st)
{
    c->mechanism = SASL_NO_MECHANISM;
    answer(to, st, NOTHING, NOTHING, NOTHING);
}

/* The password was right: a ticket, or the connection is over meanwhile. */
static void
accept_user(struct attempt *a, struct slice data)
{
    struct connection *c = a->conn;
    struct slice name = slice_from(a->name, a->name_n);
    uint8_t ticket[TICKET_SIZE];
    uint64_t now = clock_mono();
    enum status st = ST_UNAVAILABLE;

    throttle_succeeded(self.throttle, now, slice_from(c->peer, 16), name);
    if (barred(name, a->from.role))
        log_at(LOG_LEVEL_WARNING, "login refused for now: conn=%llu user=%.*s is quarantined", (unsigned long long)c->id,
               SLICE_ARG(name));
    else if (c->over)
        st = ST_STALE;
    else if (getrandom(ticket, sizeof ticket, 0) == (ssize_t)sizeof ticket)
        st = tickets_issue(self.tickets, now, now + self.settings.ticket_life, c->id, name,
                           RIGHT_READ | RIGHT_WRITE | RIGHT_ADMIN, ticket);
    if (st != ST_OK) {
        answer(a->from, ST_UNAVAILABLE, NOTHING, NOTHING, NOTHING);
        return;
    }
    memcpy(c->user, name.p, name.n);
    c->user_n = (uint8_t)name.n;
    c->role = 0;
    answer(a->from, ST_OK, data, slice_from(ticket, sizeof ticket), name);
}

static void
finish(struct attempt *a, enum status st, struct slice data)
{
    struct connection *c = a->conn;
    struct slice name = slice_from(a->name, a->name_n);

    if (st == ST_OK) {
        accept_user(a, data);
        return;
    }
    if (st == ST_DENIED) {
        throttle_failed(self.throttle, clock_mono(), slice_from(c->peer, 16), name);
        log_at(LOG_LEVEL_NOTICE, "login refused: conn=%llu user=%.*s", (unsigned long long)c->id, SLICE_ARG(name));
    } else if (st != ST_SYNTAX) {
        log_at(LOG_LEVEL_WARNING, "login not judged: conn=%llu: %s", (unsigned long long)c->id, status_text(st));
        st = ST_UNAVAILABLE;
    }
    answer(a->from, st, data, NOTHING, NOTHING);
}

static void
attempt_end(struct attempt *a)
{
    struct connection *c = a->conn;

    c->busy = false;
    c->mechanism = SASL_NO_MECHANISM;
    scram_done(&c->scram);
    c->scram = (struct scram){0};
    if (c->over)
        conn_drop(conn_at(c->id));
    OPENSSL_cleanse(&a->job, sizeof a->job);
    buf_done(&a->message);
    free(a);
}

/* --- attempts --- */

/* Waits as long as guessing costs here. */
static enum status
slow_down(struct attempt *a)
{
    uint64_t wait = 0;
    enum status st = throttle_ask(self.throttle, clock_mono(), slice_from(a->conn->peer, 16),
                                  slice_from(a->name, a->name_n), &wait);

    if (st == ST_OK && wait > 0)
        fiber_sleep_until(loop_now(program_loop()) + wait);
    return st;
}

static void
on_hashed(struct hash_job *job)
{
    wait_end(&OUTER(job, struct attempt, job)->wait, job->result);
}

/* The job is the hasher's until it reports, so the wait has no deadline but the job's. */
static enum status
hash(struct attempt *a)
{
    enum status st;

    a->job.done = on_hashed;
    a->job.deadline = clock_mono() + self.settings.login_deadline;
    a->wait = WAIT_INIT;
    st = hasher_submit(self.hasher, &a->job);
    return st == ST_OK ? wait_for(&a->wait, NEVER) : st;
}

static void
password_fiber(void *arg)
{
    struct attempt *a = arg;
    struct slice name = slice_from(a->name, a->name_n);
    struct slice password = slice_from(a->job.password, a->job.password_n);
    const struct secret *secret;
    uint8_t copy[SASL_PASSWORD_MAX];
    enum status st = slow_down(a);

    if (st == ST_OK) {
        secret = secrets_find(self.secrets, name);
        if (secret != NULL)
            a->job.secret = *secret;
        if (secret == NULL || !verified_has(self.verified, clock_mono(), name, secret->phc, password)) {
            memcpy(copy, password.p, password.n); /* the hasher wipes its own */
            st = hash(a);
            secret = secrets_find(self.secrets, name);
            /* Deleted or changed while it was hashed: the old password is no more. */
            if (st == ST_OK && (secret == NULL || strcmp(secret->phc, a->job.secret.phc) != 0))
                st = ST_DENIED;
            if (st == ST_OK)
                verified_add(self.verified, clock_mono(), name, secret->phc, slice_from(copy, password.n));
            OPENSSL_cleanse(copy, sizeof copy);
        }
    }
    finish(a, st, NOTHING);
    attempt_end(a);
}

static void
scram_fiber(void *arg)
{
    struct attempt *a = arg;
    AUTO_BUF out = BUF_INIT(SASL_MESSAGE_MAX);
    enum status st = slow_down(a);

    if (st == ST_OK)
        st = scram_final(&a->conn->scram, buf_slice(&a->message), &out);
    if (st == ST_OK && secrets_find(self.secrets, slice_from(a->name, a->name_n)) == NULL)
        st = ST_DENIED; /* deleted meanwhile */
    finish(a, st, st == ST_OK || st == ST_DENIED ? buf_slice(&out) : NOTHING);
    attempt_end(a);
}

static struct attempt *
attempt_new(struct connection *c, struct ipc_sender from, struct slice name)
{
    struct attempt *a = calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    a->conn = c;
    a->from = from;
    a->message = BUF_INIT(SASL_MESSAGE_MAX);
    if (!full_name(name, a->name, &a->name_n)) {
        free(a);
        return NULL;
    }
    c->busy = true;
    return a;
}

static void
attempt_start(struct attempt *a, void (*fiber)(void *))
{
    if (fiber_spawn(program_loop(), fiber, a) == ST_OK)
        return;
    answer(a->from, ST_UNAVAILABLE, NOTHING, NOTHING, NOTHING);
    attempt_end(a);
}

static void
try_password(struct connection *c, struct ipc_sender from, struct slice authzid, struct slice name, struct slice password)
{
    struct attempt *a = attempt_new(c, from, name);

    if (a == NULL) {
        refuse(c, from, ST_DENIED);
        return;
    }
    if (!take_password(password, &a->job) || !same_account(authzid, slice_from(a->name, a->name_n))) {
        answer(from, ST_DENIED, NOTHING, NOTHING, NOTHING);
        attempt_end(a);
        return;
    }
    attempt_start(a, password_fiber);
}

/* --- mechanisms: a message came --- */

static void
step_plain(struct connection *c, struct ipc_sender from, bool has, struct slice data)
{
    struct sasl_plain plain;
    enum status st = has ? sasl_plain_parse(data, &plain) : ST_MORE;

    if (st == ST_MORE)
        answer(from, ST_MORE, NOTHING, NOTHING, NOTHING);
    else if (st != ST_OK)
        refuse(c, from, ST_SYNTAX);
    else
        try_password(c, from, plain.authzid, plain.authcid, plain.password);
}

static void
step_login(struct connection *c, struct ipc_sender from, bool has, struct slice data)
{
    struct slice challenge = NOTHING, password = NOTHING;
    enum status st = sasl_login_step(&c->login, has, data, &challenge, &password);

    if (st == ST_MORE)
        answer(from, ST_MORE, challenge, NOTHING, NOTHING);
    else if (st != ST_OK)
        refuse(c, from, ST_SYNTAX);
    else
        try_password(c, from, NOTHING, slice_from(c->login.user, c->login.user_n), password);
}

static enum scram_hash
scram_hash_of(const struct connection *c)
{
    return sasl_mechanism_needs(c->mechanism) & NEEDS_SHA1 ? SCRAM_SHA1 : SCRAM_SHA256;
}

/* Of an account that has one for this hash. */
static const struct scram_verifier *
verifier_of(const struct connection *c, struct slice name)
{
    const struct secret *secret = secrets_find(self.secrets, name);

    if (secret == NULL)
        return NULL;
    if (scram_hash_of(c) == SCRAM_SHA256)
        return &secret->scram;
    return secret->sha1.iterations > 0 ? &secret->sha1 : NULL;
}

/* The client's first message; the answer has the salt of its name, or of a name that could be. */
static enum status
scram_opening(struct connection *c, struct slice data, struct buf *out)
{
    struct scram_verifier v;
    uint8_t name[SASL_NAME_MAX], nonce[18];
    size_t n;
    const struct scram_verifier *known = NULL;
    struct scram_binding binding = {slice_from(c->exporter, c->exporter_n), slice_from(c->end_point, c->end_point_n)};
    bool plus = (sasl_mechanism_needs(c->mechanism) & NEEDS_BINDING) != 0;
    enum status st = scram_first(&c->scram, scram_hash_of(c), plus, &binding, data);

    if (st == ST_DENIED) { /* RFC 5802 7, server-error-value */
        log_at(LOG_LEVEL_WARNING, "login refused: conn=%llu: somebody took channel binding away from what was offered",
               (unsigned long long)c->id);
        buf_puts(out, "e=server-does-support-channel-binding");
    }
    if (st != ST_MORE)
        return st == ST_UNSUPPORTED ? ST_SYNTAX : st;
    if (!full_name(slice_from(c->scram.name, c->scram.name_n), name, &n))
        return ST_SYNTAX;
    if (same_account(slice_from(c->scram.authzid, c->scram.authzid_n), slice_from(name, n)))
        known = verifier_of(c, slice_from(name, n));
    if (!scram_fake(scram_hash_of(c), slice_from(self.fake_key, SASL_HASH), slice_from(name, n), &v))
        return ST_MEMORY;
    if (known != NULL)
        v = *known;
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return ST_IO;
    return scram_begin(&c->scram, slice_from(nonce, sizeof nonce), &v, known != NULL, out);
}

static void
step_scram(struct connection *c, struct ipc_sender from, bool has, struct slice data)
{
    AUTO_BUF out = BUF_INIT(SASL_MESSAGE_MAX);
    struct attempt *a;
    enum status st;

    if (!has) {
        answer(from, ST_MORE, NOTHING, NOTHING, NOTHING);
        return;
    }
    if (c->scram.state == SCRAM_NEW) {
        st = scram_opening(c, data, &out);
        if (st == ST_MORE)
            answer(from, ST_MORE, buf_slice(&out), NOTHING, NOTHING);
        else
            refuse(c, from, st == ST_LIMIT ? ST_SYNTAX : st == ST_SYNTAX || st == ST_DENIED ? st : ST_UNAVAILABLE);
        return;
    }
    a = attempt_new(c, from, slice_from(c->scram.name, c->scram.name_n));
    if (a == NULL) {
        refuse(c, from, ST_UNAVAILABLE);
        return;
    }
    buf_put(&a->message, data);
    attempt_start(a, scram_fiber);
}

/* Whose a certificate is: by its fingerprint, else by the name in it. False: nobody's. */
static bool
certificate_account(const struct connection *c, struct slice *name)
{
    if (c->certificate_n > 0 &&
        fingerprints_find(self.settings.external_fingerprints, c->certificate, name) == ST_OK)
        return true;
    *name = slice_from(c->name, c->name_n);
    return self.settings.external_names && c->name_n > 0;
}

static void
external_fiber(void *arg)
{
    struct attempt *a = arg;
    enum status st = slow_down(a);

    if (st == ST_OK && secrets_find(self.secrets, slice_from(a->name, a->name_n)) == NULL)
        st = ST_DENIED;
    finish(a, st, NOTHING);
    attempt_end(a);
}

/* RFC 4422 A: the message is who to act as, or empty. */
static void
step_external(struct connection *c, struct ipc_sender from, bool has, struct slice data)
{
    struct attempt *a = NULL;
    struct slice name;

    if (!has) {
        answer(from, ST_MORE, NOTHING, NOTHING, NOTHING);
        return;
    }
    if (certificate_account(c, &name))
        a = attempt_new(c, from, name);
    if (a == NULL) {
        log_at(LOG_LEVEL_NOTICE, "login refused: conn=%llu: its certificate is nobody's", (unsigned long long)c->id);
        refuse(c, from, ST_DENIED);
    } else if (!same_account(data, slice_from(a->name, a->name_n))) {
        answer(from, ST_DENIED, NOTHING, NOTHING, NOTHING);
        attempt_end(a);
    } else {
        attempt_start(a, external_fiber);
    }
}

static void
step(struct connection *c, struct ipc_sender from, bool has, struct slice data)
{
    switch (c->mechanism) {
    case SASL_PLAIN:
        step_plain(c, from, has, data);
        break;
    case SASL_LOGIN:
        step_login(c, from, has, data);
        break;
    case SASL_EXTERNAL:
        step_external(c, from, has, data);
        break;
    case SASL_NO_MECHANISM: /* on_sasl_step and sasl_start have looked */
        refuse(c, from, ST_STATE);
        break;
    default:
        step_scram(c, from, has, data);
    }
}

/* What this connection has of what mechanisms need. */
static unsigned
has_of(const struct connection *c)
{
    struct slice name;
    unsigned has = self.settings.scram_sha1 ? NEEDS_SHA1 : 0;

    if (c->tls || loopback(c) || self.settings.cleartext_passwords)
        has |= NEEDS_CLEAR;
    if (c->exporter_n > 0 || c->end_point_n > 0)
        has |= NEEDS_BINDING;
    if (certificate_account(c, &name))
        has |= NEEDS_EXTERNAL;
    return has;
}

/* ST_STATE: TLS would help; ST_WEAK: only policy bars it; ST_UNSUPPORTED: it is not offered here. */
static enum status
usable(const struct connection *c, enum sasl_mechanism mechanism)
{
    unsigned lacks = mechanism == SASL_NO_MECHANISM ? 0 : sasl_mechanism_needs(mechanism) & ~has_of(c);

    if (mechanism == SASL_NO_MECHANISM || (lacks & ~NEEDS_CLEAR) != 0)
        return lacks == NEEDS_SHA1 ? ST_WEAK : ST_UNSUPPORTED;
    return lacks != 0 ? ST_STATE : ST_OK;
}

static void
sasl_start(struct ipc_sender from, const struct msg_sasl_start *m)
{
    struct connection *c = *conn_at(m->conn);
    enum status st;

    if (c == NULL || c->over || c->busy) {
        answer(from, c == NULL ? ST_UNAVAILABLE : ST_STATE, NOTHING, NOTHING, NOTHING);
        return;
    }
    scram_done(&c->scram);
    c->scram = (struct scram){0};
    c->login = (struct sasl_login){0};
    c->mechanism = sasl_mechanism_find(m->mechanism);
    st = usable(c, c->mechanism);
    if (st != ST_OK)
        refuse(c, from, st);
    else
        step(c, from, m->has_initial == 1, m->initial);
}

static void
early_fiber(void *arg)
{
    struct early *e = arg, **link = &self.early;
    struct msg_sasl_start m;

    (void)!wait_for(&e->wait, loop_now(program_loop()) + EARLY_WAIT); /* it is judged by what is known then */
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    self.n_early--;
    if (msg_sasl_start_get(buf_slice(&e->request), &m))
        sasl_start(e->from, &m);
    OPENSSL_cleanse(e->request.p, e->request.n);
    buf_done(&e->request);
    free(e);
}

static bool
wait_for_facts(const struct ipc_request *r, uint64_t conn)
{
    struct early *e = self.n_early < EARLY_MAX ? calloc(1, sizeof *e) : NULL;

    if (e == NULL)
        return false;
    e->from = r->from;
    e->conn = conn;
    e->request = BUF_INIT(IPC_INLINE);
    buf_put(&e->request, r->payload);
    e->next = self.early;
    self.early = e;
    self.n_early++;
    if (buf_ok(&e->request) && fiber_spawn(program_loop(), early_fiber, e) == ST_OK)
        return true;
    self.early = e->next;
    self.n_early--;
    buf_done(&e->request);
    free(e);
    return false;
}

static enum status
on_sasl_start(struct ipc_request *r)
{
    struct msg_sasl_start m;
    const struct connection *c;
    enum sasl_mechanism mechanism;

    if (!msg_sasl_start_get(r->payload, &m) || m.has_initial > 1)
        return ST_SYNTAX;
    c = *conn_at(m.conn);
    mechanism = sasl_mechanism_find(m.mechanism);
    /* Not known, or not yet known to have TLS by now. */
    if ((c == NULL || (!c->tls && mechanism != SASL_NO_MECHANISM && usable(c, mechanism) != ST_OK)) &&
        wait_for_facts(r, m.conn))
        return ST_OK;
    sasl_start(r->from, &m);
    return ST_OK;
}

static enum status
on_sasl_step(struct ipc_request *r)
{
    struct msg_sasl_step m;
    struct connection *c;

    if (!msg_sasl_step_get(r->payload, &m))
        return ST_SYNTAX;
    c = *conn_at(m.conn);
    if (c == NULL || c->over || c->busy || c->mechanism == SASL_NO_MECHANISM)
        answer(r->from, c == NULL ? ST_UNAVAILABLE : ST_STATE, NOTHING, NOTHING, NOTHING);
    else
        step(c, r->from, true, m.data);
    return ST_OK;
}

static enum status
on_sasl_abort(struct ipc_request *r)
{
    struct msg_conn_id m;
    struct connection *c;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    c = *conn_at(m.conn);
    if (c != NULL && !c->busy)
        c->mechanism = SASL_NO_MECHANISM;
    return ST_OK;
}

/* --- tickets and handles --- */

struct opening {
    struct ipc_sender from;
    uint64_t conn;
    uint32_t rights;
    uint8_t user[SASL_NAME_MAX];
    size_t user_n;
};

static void
answer_identity(const struct opening *o, enum status st, uint64_t handle)
{
    AUTO_BUF b = BUF_INIT(1024);

    msg_identity_put(&b, &(struct msg_identity){slice_from(o->user, o->user_n), handle, o->rights});
    ipc_answer(o->from, buf_ok(&b) ? st : ST_MEMORY, st == ST_OK ? buf_slice(&b) : NOTHING);
}

static void
handle_fiber(void *arg)
{
    struct opening *o = arg;
    AUTO_BUF ask = BUF_INIT(1024), reply = BUF_INIT(1024);
    struct msg_id got = {0};
    enum status st;

    handle_open_put(&ask, &(struct handle_open){slice_from(o->user, o->user_n), o->from.role, o->from.instance, o->conn,
                                                o->rights});
    st = program_ask(ROLE_STORE, (enum msg)MSG_HANDLE_OPEN, buf_slice(&ask), loop_now(program_loop()) + SECONDS(20), &reply);
    if (st == ST_OK && !msg_id_get(buf_slice(&reply), &got))
        st = ST_UNAVAILABLE;
    answer_identity(o, st, got.id);
    free(o);
}

/* submitd needs no handle: it is told who it is. */
static void
open_handle(struct ipc_sender from, uint64_t conn, struct slice user, uint32_t rights)
{
    struct opening *o = calloc(1, sizeof *o);

    if (o == NULL) {
        ipc_answer(from, ST_UNAVAILABLE, NOTHING);
        return;
    }
    *o = (struct opening){.from = from, .conn = conn, .rights = rights, .user_n = user.n};
    memcpy(o->user, user.p, user.n);
    if (from.role != ROLE_SUBMIT && fiber_spawn(program_loop(), handle_fiber, o) == ST_OK)
        return;
    answer_identity(o, from.role == ROLE_SUBMIT ? ST_OK : ST_UNAVAILABLE, 0);
    free(o);
}

static enum status
on_ticket_redeem(struct ipc_request *r)
{
    struct msg_ticket m;
    struct ticket got;
    struct connection *c;

    if (!msg_ticket_get(r->payload, &m))
        return ST_SYNTAX;
    c = *conn_at(m.conn);
    if (c == NULL || c->over || tickets_redeem(self.tickets, clock_mono(), m.conn, m.ticket, &got) != ST_OK) {
        log_at(LOG_LEVEL_WARNING, "ticket refused: conn=%llu from %s", (unsigned long long)m.conn,
               role_name((enum role)r->from.role));
        ipc_answer(r->from, ST_STALE, NOTHING);
        return ST_OK;
    }
    if (barred(slice_from(got.user, got.user_n), r->from.role)) { /* since the ticket was given */
        ipc_answer(r->from, ST_UNAVAILABLE, NOTHING);
        return ST_OK;
    }
    c->role = r->from.role;
    c->instance = r->from.instance;
    open_handle(r->from, m.conn, slice_from(got.user, got.user_n), got.rights);
    return ST_OK;
}

/* Only for whoever redeemed that connection's ticket. */
static enum status
on_handle_renew(struct ipc_request *r)
{
    struct msg_conn_id m;
    struct connection *c;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    c = *conn_at(m.conn);
    if (c == NULL || c->over || c->user_n == 0 || c->role != r->from.role || c->instance != r->from.instance ||
        secrets_find(self.secrets, slice_from(c->user, c->user_n)) == NULL)
        ipc_answer(r->from, ST_STALE, NOTHING);
    else
        open_handle(r->from, m.conn, slice_from(c->user, c->user_n), RIGHT_READ | RIGHT_WRITE | RIGHT_ADMIN);
    return ST_OK;
}

/* --- administrators --- */

struct change {
    struct ipc_sender from;
    uint8_t create;
    uint8_t name[SASL_NAME_MAX];
    size_t name_n;
    struct hash_job job;
};

static void
on_made(struct hash_job *job)
{
    struct change *ch = OUTER(job, struct change, job);
    struct slice name = slice_from(ch->name, ch->name_n);
    bool has = secrets_find(self.secrets, name) != NULL;
    struct err err = {0};
    enum status st = job->result;

    if (st == ST_OK && ch->create == 1 && has)
        st = ST_EXISTS;
    else if (st == ST_OK && ch->create == 0 && !has)
        st = ST_NOTFOUND;
    else if (st == ST_OK)
        st = secrets_set(self.secrets, name, &job->secret, &err);
    if (st == ST_OK) {
        tickets_forget_user(self.tickets, name);
        log_at(LOG_LEVEL_NOTICE, "password set: user=%.*s", SLICE_ARG(name));
    } else if (err.status != ST_OK) {
        log_at(LOG_LEVEL_ERR, "password not set: user=%.*s: %s", SLICE_ARG(name), err.text);
    }
    ipc_answer(ch->from, st, NOTHING);
    OPENSSL_cleanse(ch, sizeof *ch);
    free(ch);
}

/* An account is called by its prepared name, for stored knows it by the same. */
static bool
name_is_prepared(struct slice name)
{
    uint8_t bytes[SASL_NAME_MAX];
    struct buf prepared = BUF_FIXED(bytes);

    return sasl_prep(name, &prepared) == ST_OK && slice_eq(buf_slice(&prepared), name);
}

static enum status
on_secret_set(struct ipc_request *r)
{
    struct msg_secret_set m;
    struct change *ch;
    enum status st;

    if (!msg_secret_set_get(r->payload, &m) || m.create > 2)
        return ST_SYNTAX;
    ch = calloc(1, sizeof *ch);
    if (ch == NULL || !name_is_prepared(m.name) || !full_name(m.name, ch->name, &ch->name_n)) {
        ipc_answer(r->from, ch == NULL ? ST_UNAVAILABLE : ST_SYNTAX, NOTHING);
        free(ch);
        return ST_OK;
    }
    ch->from = r->from;
    ch->create = m.create;
    ch->job = (struct hash_job){.done = on_made, .kind = HASH_MAKE, .deadline = clock_mono() + self.settings.login_deadline,
                                .sha1 = self.settings.scram_sha1};
    st = take_password(m.password, &ch->job) ? hasher_submit(self.hasher, &ch->job) : ST_SYNTAX;
    if (st != ST_OK) {
        ipc_answer(r->from, st, NOTHING);
        OPENSSL_cleanse(ch, sizeof *ch);
        free(ch);
    }
    return ST_OK;
}

static enum status
on_secret_delete(struct ipc_request *r)
{
    struct msg_name m;
    uint8_t name[SASL_NAME_MAX];
    size_t n;
    struct err err = {0};
    enum status st = ST_SYNTAX;

    if (!msg_name_get(r->payload, &m))
        return ST_SYNTAX;
    if (full_name(m.name, name, &n))
        st = secrets_delete(self.secrets, slice_from(name, n), &err);
    if (st == ST_OK)
        tickets_forget_user(self.tickets, slice_from(name, n));
    ipc_answer(r->from, st, NOTHING);
    return ST_OK;
}

static enum status
on_secret_list(struct ipc_request *r)
{
    struct msg_page m;
    struct slice names[100];
    AUTO_BUF rows = BUF_INIT(32768), b = BUF_INIT(40000);
    size_t n, most;

    if (!msg_page_get(r->payload, &m))
        return ST_SYNTAX;
    most = m.most > 0 && m.most < COUNT(names) ? m.most : COUNT(names);
    n = secrets_page(self.secrets, m.after, most, names);
    for (size_t i = 0; i < n; i++)
        msg_name_put(&rows, &(struct msg_name){names[i]});
    msg_rows_put(&b, &(struct msg_rows){n == most, buf_slice(&rows)});
    ipc_answer(r->from, buf_ok(&rows) && buf_ok(&b) ? ST_OK : ST_MEMORY, buf_slice(&b));
    return ST_OK;
}

/* --- the program --- */

static enum status
load_settings(struct slice text, struct err *err)
{
    struct buf copy = BUF_INIT(CONF_TEXT_MAX);
    struct auth_settings got;
    enum status st;

    buf_put(&copy, text);
    st = buf_ok(&copy) ? conf_load(&auth_conf, "estafeta.conf", buf_slice(&copy), &got, sizeof got, err)
                       : err_set(err, ST_MEMORY, "settings: no memory");
    if (st == ST_OK)
        st = fingerprints_check(got.external_fingerprints, err);
    if (st != ST_OK) {
        buf_done(&copy);
        return st;
    }
    buf_done(&self.text);
    self.text = copy;
    self.settings = got;
    return ST_OK;
}

/* The key of the salts that names without a secret seem to have: kept, for a salt that changes
 * with every restart would tell them from the others. */
static enum status
fake_key_open(struct err *err)
{
    AUTO_FD fd = openat(self.dir, "fake.key", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd >= 0 && read_all(fd, self.fake_key, SASL_HASH))
        return ST_OK;
    if (fd >= 0)
        close(fd_keep(&fd));
    if (getrandom(self.fake_key, SASL_HASH, 0) != (ssize_t)SASL_HASH)
        return err_sys(err, "getrandom");
    fd = openat(self.dir, "fake.key", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !write_all(fd, slice_from(self.fake_key, SASL_HASH)) || fsync(fd) != 0)
        return err_sys(err, "fake.key: write");
    return ST_OK;
}

static enum status
authd_open(struct err *err)
{
    uint8_t throttle_key[THROTTLE_KEY], verified_key[SASL_HASH];
    char path[4200];
    enum status st = load_settings(program_settings(), err);

    if (st != ST_OK)
        return st;
    if ((size_t)snprintf(path, sizeof path, "%s/auth", program_root()) >= sizeof path)
        return err_set(err, ST_LIMIT, "the root's name is too long");
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_sys(err, "mkdir %s", path);
    self.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self.dir < 0)
        return err_sys(err, "open %s", path);
    st = secrets_open(self.dir, "secrets", &self.secrets, err);
    if (st != ST_OK)
        return st;
    if (getrandom(throttle_key, sizeof throttle_key, 0) < 0 || getrandom(verified_key, sizeof verified_key, 0) < 0)
        return err_sys(err, "getrandom");
    st = fake_key_open(err);
    if (st != ST_OK)
        return st;
    if (throttle_new(THROTTLE_SIZE, throttle_key, &self.throttle) != ST_OK ||
        verified_new(VERIFIED_SIZE, verified_key, &self.verified) != ST_OK ||
        tickets_new(CONNECTIONS_MAX / 4, &self.tickets) != ST_OK)
        return err_set(err, ST_MEMORY, "no memory for the tables");
    return ST_OK;
}

/* Confined by now, so that the threads are too. */
static enum status
authd_start(struct err *err)
{
    return hasher_new(program_loop(), (unsigned)self.settings.hash_threads, (unsigned)self.settings.hash_queue,
                      &self.hasher, err);
}

static enum status
authd_reload(struct slice settings, struct err *err)
{
    return load_settings(settings, err); /* the numbers of threads and waiters hold from a restart on */
}

#define ASKERS (ROLE_BIT(LOGIN) | ROLE_BIT(SUBMIT))
/* message, who may send it, handler, with a descriptor; all else closes the channel */
static const struct ipc_route routes[] = {
    {MSG_CONN_FACTS,    ROLE_BIT(EDGE),                                       on_conn_facts,    false},
    {MSG_CONN_OVER,     ROLE_BIT(EDGE),                                       on_conn_over,     false},
    {MSG_SASL_START,    ASKERS,                                               on_sasl_start,    false},
    {MSG_SASL_STEP,     ASKERS,                                               on_sasl_step,     false},
    {MSG_SASL_ABORT,    ASKERS,                                               on_sasl_abort,    false},
    {MSG_TICKET_REDEEM, ROLE_BIT(IMAP) | ROLE_BIT(POP3) | ROLE_BIT(SUBMIT), on_ticket_redeem, false},
    {MSG_HANDLE_RENEW,  ROLE_BIT(IMAP) | ROLE_BIT(POP3),                      on_handle_renew,  false},
    {MSG_SECRET_SET,    ROLE_BIT(CTL),                                        on_secret_set,    false},
    {MSG_SECRET_DELETE, ROLE_BIT(CTL),                                        on_secret_delete, false},
    {MSG_SECRET_LIST,   ROLE_BIT(CTL),                                        on_secret_list,   false},
    {0},
};

int
main(int argc, char **argv)
{
    static const struct program program = {
        .role = ROLE_AUTH, .routes = routes, .open = authd_open, .start = authd_start, .reload = authd_reload,
        .quarantine = on_quarantine,
        .peer_gone = on_peer_gone};

    return program_main(&program, argc, argv);
}
