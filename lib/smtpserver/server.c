#include "smtpserver/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "conf/tables.h"
#include "dns/client.h"
#include "ipc/program.h"
#include "sasl/mechanism.h"
#include "smtpserver/body.h"
#include "smtpserver/maillog.h"
#include "smtpserver/random.h"
#include "smtpserver/seen.h"
#include "sys/log.h"

#define RCPT_WAIT   SECONDS(10)
#define AUTH_WAIT   SECONDS(90) /* authd delays failures, and its hashing has a queue */
#define STOP_WAIT   SECONDS(7)  /* estafetad kills after ten seconds */
#define CONNS_IDLE  256u        /* kept for the next connections */
#define RCPT_FIXED  96u         /* of a recipient in a deliver, his detail included */
#define RCPT_MAX    (IPC_INLINE - 8u * 1024u)
#define TLS_BUCKETS 256u
#define NAMING_MAX  512u /* clients whose names are looked for at a time; others do without */

/* Settings in use; a session keeps those with which it began. */
struct offer {
    unsigned refs;
    struct smtp_policy policy,
        local; /* local: for clients on this host, who may send passwords in the clear */
    struct conf_addresses trusted; /* with XCLIENT and XFORWARD */
    char host[256], domain[256];
    bool client_names;
    uint64_t client_timeout;
};

/* The search for a client's name, and then the name. */
struct naming {
    struct conn *conn; /* NULL: it has ended before the search */
    bool over;         /* the search: then it is the connection's alone */
    uint8_t address[16];
    uint64_t until;
    char name[DNS_CLIENT_NAME];
};

struct conn {
    struct smtp_session session;
    struct conn *next, *prev; /* of all, or of the idle ones, or of those at edged */
    struct offer *offer;
    struct body *body;
    struct naming *naming; /* NULL: it was not looked for */
    uint64_t id;
    size_t rcpt_bytes; /* of the transaction's recipients in a deliver */
    bool handed;       /* to edged, for TLS */
    bool named;        /* message_id is that of the message that comes */
    char mechanism[32];
    char message_id[MAILLOG_ID_MAX];
    uint8_t tls_version[16], cipher[64];
};

/* A connection that edged has for its handshake: when it comes again there is no greeting. */
struct at_edge {
    struct at_edge *next;
    uint64_t id;
};

static struct {
    const struct smtp_server *kind;
    struct offer *offer;
    struct conn *conns, *idle;
    uint32_t n_idle, n_naming;
    struct at_edge *at_edge[TLS_BUCKETS];
    struct timer stop;
    bool stopping, forced;
} self;

static const struct smtp_backend backend;

/* --- settings --- */

static void
offer_release(struct offer *offer)
{
    if (offer != NULL && --offer->refs == 0)
        free(offer);
}

static enum status
load(struct slice text, struct err *err)
{
    struct smtp_settings got;
    enum status st = conf_load(&smtp_conf, "estafeta.conf", text, &got, sizeof(got), err);
    struct offer *offer;

    if (st != ST_OK)
        return st;
    offer = calloc(1, sizeof(*offer));
    if (offer == NULL)
        return err_set(err, ST_MEMORY, "settings: no memory");
    if (!slice_to_cstr(got.hostname, offer->host, sizeof(offer->host)) ||
        !slice_to_cstr(got.domain, offer->domain, sizeof(offer->domain))) {
        free(offer);
        return err_set(err, ST_SYNTAX, "settings: hostname and domain are names");
    }
    offer->refs = 1;
    offer->policy = (struct smtp_policy){
        .host = offer->host,
        .domain = offer->domain,
        .submission = self.kind->submission,
        .plaintext_auth = got.cleartext_passwords,
        .starttls = true,
        .scram_sha1 = got.scram_sha1,
        .external_names = got.external_names,
        .external_fingerprints = got.external_fingerprints.n > 0,
        .message_size = got.message_size,
        .max_recipients = (uint32_t)got.max_recipients,
        .max_errors = (uint32_t)got.max_errors,
        .max_commands = (uint32_t)got.max_commands,
        .max_idle_commands = (uint32_t)got.max_idle_commands,
        .max_auth_failures = (uint32_t)got.max_auth_failures,
        .commands_per_minute = (uint32_t)got.commands_per_minute,
        .own_senders = got.own_senders,
        .repair_line_ends = got.repair_line_ends,
        .greet_pause = got.greet_pause,
        .max_hops = (uint32_t)got.max_hops,
        .dsn = got.success_notices,
        .session_timeout = got.session_timeout,
        .idle_timeout = got.smtp_idle_timeout,
        .data_timeout = got.data_timeout,
    };
    offer->client_names = got.dns_client_names && !self.kind->submission;
    offer->client_timeout = got.dns_client_timeout;
    offer->trusted = got.xclient_from;
    offer->local = offer->policy;
    offer->local.plaintext_auth = true;
    offer_release(self.offer);
    self.offer = offer;
    return ST_OK;
}

/* --- connections --- */

static void
tell_edge(enum msg type, uint64_t id, int fd)
{
    uint8_t bytes[8];
    struct buf m = BUF_FIXED(bytes);
    struct channel *edge = program_peer(ROLE_EDGE, 0);

    if (edge == NULL)
        return; /* with edged its counts are gone too */
    msg_conn_id_put(&m, &(struct msg_conn_id){id});
    (void)ipc_send(edge, type, buf_slice(&m), fd);
}

/* The entry of a connection, taken out; NULL when it is not at edged. */
static struct at_edge *
take_at_edge(uint64_t id)
{
    struct at_edge **at = &self.at_edge[id % TLS_BUCKETS];
    struct at_edge *found;

    while (*at != NULL && (*at)->id != id)
        at = &(*at)->next;
    found = *at;
    if (found != NULL)
        *at = found->next;
    return found;
}

static void
add_at_edge(uint64_t id)
{
    struct at_edge *entry = malloc(sizeof(*entry));

    if (entry == NULL)
        return; /* it will be greeted twice: better than ended */
    *entry = (struct at_edge){.next = self.at_edge[id % TLS_BUCKETS], .id = id};
    self.at_edge[id % TLS_BUCKETS] = entry;
}

static void
exit_if_done(void)
{
    if (self.stopping && self.conns == NULL)
        program_exit(0);
}

static void
free_conn(struct conn *c)
{
    if (c->naming != NULL && c->naming->over)
        free(c->naming);
    else if (c->naming != NULL)
        c->naming->conn = NULL;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        self.conns = c->next;
    offer_release(c->offer);
    if (self.n_idle < CONNS_IDLE) {
        c->next = self.idle;
        self.idle = c;
        self.n_idle++;
    } else {
        free(c);
    }
    exit_if_done();
}

static struct conn *
new_conn(void)
{
    struct conn *c = self.idle;

    if (c != NULL) {
        self.idle = c->next;
        self.n_idle--;
    } else if ((c = malloc(sizeof(*c))) == NULL) {
        return NULL;
    }
    memset(c, 0, sizeof(*c));
    c->next = self.conns;
    if (c->next != NULL)
        c->next->prev = c;
    self.conns = c;
    c->offer = self.offer;
    c->offer->refs++;
    return c;
}

static bool
on_this_host(const uint8_t peer[16])
{
    static const uint8_t four[13] = {[10] = 0xff, [11] = 0xff, [12] = 127}, six[16] = {[15] = 1};

    return memcmp(peer, four, sizeof(four)) == 0 || memcmp(peer, six, sizeof(six)) == 0;
}

static struct slice
keep_text(struct slice text, uint8_t *to, size_t cap)
{
    struct slice cut = slice_sub(text, 0, cap);

    if (cut.n > 0)
        memcpy(to, cut.p, cut.n);
    return slice_from(to, cut.n);
}

/* What it has for mechanisms, as authd will judge it (has_of() there). */
static unsigned
sasl_of(const struct smtp_policy *policy, const struct msg_conn *m)
{
    unsigned has = policy->scram_sha1 ? NEEDS_SHA1 : 0;

    if (m->binding.n > 0 || m->end_point.n > 0)
        has |= NEEDS_BINDING;
    if ((m->certificate.n > 0 && policy->external_fingerprints) || (m->certificate_name.n > 0 && policy->external_names))
        has |= NEEDS_EXTERNAL;
    return has;
}

/* On a fiber of its own: nobody waits for it. */
static void
find_name(void *arg)
{
    struct naming *naming = arg;
    enum dns_client found = dns_client_name(naming->address, naming->until, naming->name);
    struct conn *c = naming->conn;

    self.n_naming--;
    naming->over = true;
    if (c == NULL) {
        free(naming);
        return;
    }
    /* XCLIENT may have told of another client meanwhile */
    if (found == DNS_CLIENT_UNKNOWN || memcmp(c->session.peer, naming->address, sizeof(naming->address)) != 0)
        return;
    c->session.client_forged = found == DNS_CLIENT_FORGED;
    c->session.client_name = slice_of(naming->name);
}

static void
name_client(struct conn *c)
{
    struct naming *naming;

    if (!c->offer->client_names || c->session.on_this_host || self.n_naming == NAMING_MAX)
        return;
    naming = calloc(1, sizeof(*naming));
    if (naming == NULL)
        return;
    naming->conn = c;
    naming->until = loop_now(program_loop()) + c->offer->client_timeout;
    memcpy(naming->address, c->session.peer, sizeof(naming->address));
    c->naming = naming;
    self.n_naming++;
    if (fiber_spawn(program_loop(), find_name, naming) != ST_OK) {
        c->naming = NULL;
        self.n_naming--;
        free(naming);
    }
}

static enum status
on_conn(struct ipc_request *r)
{
    struct msg_conn m;
    struct at_edge *was;
    struct conn *c;

    if (!msg_conn_get(r->payload, &m) || m.peer.n != 18 || m.tls > 1)
        return ST_SYNTAX;
    was = take_at_edge(m.conn);
    c = new_conn();
    if (c == NULL) {
        free(was);
        tell_edge(MSG_CONN_DONE, m.conn, -1);
        return ST_OK;
    }
    c->id = m.conn;
    memcpy(c->session.peer, m.peer.p, 16);
    c->session.on_this_host = on_this_host(c->session.peer);
    c->session.policy = c->session.on_this_host ? &c->offer->local : &c->offer->policy;
    c->session.trusted = c->offer->trusted.n > 0 &&
                         conf_addresses_cover(&c->offer->trusted, slice_from(c->session.peer, 16));
    c->session.backend = &backend;
    c->session.owner = c;
    c->session.tls = m.tls != 0;
    c->session.sasl = sasl_of(c->session.policy, &m);
    c->session.resumed = was != NULL;
    c->session.tls_version = keep_text(m.tls_version, c->tls_version, sizeof(c->tls_version));
    c->session.cipher = keep_text(m.cipher, c->cipher, sizeof(c->cipher));
    free(was);
    stream_init(&c->session.stream, program_loop(), r->fd);
    r->fd = -1;
    name_client(c); /* before the session, which may end at once */
    smtp_session_start(&c->session);
    if (self.stopping)
        smtp_session_cancel(&c->session, true);
    return ST_OK;
}

static enum status
on_conn_gone(struct ipc_request *r)
{
    struct msg_conn_id m;

    if (!msg_conn_id_get(r->payload, &m))
        return ST_SYNTAX;
    free(take_at_edge(m.conn));
    return ST_OK;
}

static void
on_starttls(struct smtp_session *s, int fd)
{
    struct conn *c = s->owner;

    if (program_peer(ROLE_EDGE, 0) != NULL) {
        c->handed = true;
        add_at_edge(c->id);
        tell_edge(MSG_CONN_TLS, c->id, fd);
    }
    (void)close(fd);
}

static void
on_ended(struct smtp_session *s)
{
    struct conn *c = s->owner;

    if (!c->handed)
        tell_edge(MSG_CONN_DONE, c->id, -1);
    free_conn(c);
}

/* --- recipients and bodies --- */

static enum status
take_found(struct smtp_session *s, struct smtp_recipient *r, const struct rcpt_found *found)
{
    r->account = found->account;
    r->detail = arena_copy(&s->arena, found->detail);
    if (!arena_failed(&s->arena))
        return ST_OK;
    s->arena.failed = false;
    return ST_MEMORY;
}

static enum status
check_rcpt(struct smtp_session *s, struct smtp_recipient *r)
{
    uint8_t bytes[SMTP_LOCAL_MAX + SMTP_DOMAIN_MAX + 32], answer[2048];
    struct buf m = BUF_FIXED(bytes), reply = BUF_FIXED(answer);
    struct rcpt_found found;
    enum status st;

    if (seen_find(r->mailbox, s->tx.mail.size, &found))
        return take_found(s, r, &found);
    rcpt_check_put(&m, &(struct rcpt_check){r->mailbox, s->tx.mail.has_size ? s->tx.mail.size : 0});
    if (!buf_ok(&m))
        return ST_MEMORY;
    st = program_ask(ROLE_STORE, (enum msg)MSG_RCPT_CHECK, buf_slice(&m),
                     loop_now(program_loop()) + RCPT_WAIT, &reply);
    if (st != ST_OK)
        return st;
    if (!rcpt_found_get(buf_slice(&reply), &found))
        return ST_UNAVAILABLE;
    seen_keep(r->mailbox, s->tx.mail.size, &found);
    return take_found(s, r, &found);
}

/* A large body is delivered at once to all. */
static bool
too_many(struct smtp_session *s, const struct smtp_recipient *r)
{
    struct conn *c = s->owner;

    if (s->tx.recipients == 0)
        c->rcpt_bytes = 0;
    c->rcpt_bytes += RCPT_FIXED + r->mailbox.n + r->rcpt.orcpt_type.n + r->rcpt.orcpt.n;
    return s->tx.mail.size > STORE_BODY_INLINE && c->rcpt_bytes > RCPT_MAX;
}

static enum status
on_rcpt(struct smtp_session *s, struct smtp_recipient *r)
{
    enum status st = too_many(s, r) ? ST_LIMIT : check_rcpt(s, r);

    if (st != ST_OK)
        maillog_reject(s, r, st);
    return st;
}

static enum status
on_body_begin(struct smtp_session *s, uint64_t announced)
{
    struct conn *c = s->owner;
    uint8_t id[RANDOM_NAME];
    enum status st = body_open(announced, &c->body);

    if (st != ST_OK)
        return st;
    c->named = false;
    random_name(id);
    s->tx.id = arena_copy(&s->arena, slice_from(id, sizeof(id)));
    s->arena.failed = false; /* a message can do without */
    return ST_OK;
}

static enum status
on_body_room(struct smtp_session *s, uint8_t **p, size_t *n)
{
    return body_room(((struct conn *)s->owner)->body, p, n);
}

static void
note_message_id(struct conn *c)
{
    c->named = true;
    maillog_message_id(body_head(c->body), c->message_id);
}

static enum status
on_body_used(struct smtp_session *s, size_t n)
{
    struct conn *c = s->owner;

    body_used(c->body, n);
    if (!c->named && body_head(c->body).n == SHM_CHUNK) /* before it is sent away */
        note_message_id(c);
    return ST_OK;
}

static void
on_body_drop(struct smtp_session *s)
{
    struct conn *c = s->owner;

    body_close(c->body);
    c->body = NULL;
}

/* "rfc822;a@b": the type too, and what was xtext decoded (RFC 3461 4.2); utf-8 is kept as it is (RFC 6533 3). */
static void
put_orcpt(struct buf *to, const struct smtp_rcpt *rcpt)
{
    if (rcpt->orcpt.n == 0)
        return;
    buf_put(to, rcpt->orcpt_type);
    buf_putc(to, ';');
    if (slice_eq_nocase(rcpt->orcpt_type, SLICE("utf-8")))
        buf_put(to, rcpt->orcpt);
    else if (smtp_unxtext(to, rcpt->orcpt) != ST_OK)
        to->failed = true;
}

static void
put_recipient(struct buf *to, const struct smtp_recipient *r)
{
    uint8_t bytes[SMTP_ORCPT_MAX];
    struct buf orcpt = BUF_FIXED(bytes);

    put_orcpt(&orcpt, &r->rcpt);
    if (!buf_ok(&orcpt))
        buf_clear(&orcpt);
    deliver_rcpt_put(to, &(struct deliver_rcpt){.account = r->account,
                                                .original = r->mailbox,
                                                .mailbox = r->detail,
                                                .dsn = (uint8_t)r->rcpt.notify,
                                                .orcpt = buf_slice(&orcpt)});
}

/* As many recipients from *r on as fit, at least one. Good until the next call, of any session. */
static struct slice
take_recipients(size_t room, const struct smtp_recipient **r)
{
    static struct buf to = BUF_INIT(2 * IPC_INLINE);

    buf_clear(&to);
    do {
        size_t n = to.n;

        put_recipient(&to, *r);
        if (n > 0 && (to.n > room || !buf_ok(&to))) {
            to.n = n;
            break;
        }
        *r = (*r)->next;
    } while (*r != NULL);
    return buf_slice(&to);
}

static struct slice
sender_of(const struct smtp_session *s, struct buf *to)
{
    smtp_local_unquote(to, s->tx.mail.from.local);
    if (s->tx.mail.from.domain.n > 0) {
        buf_putc(to, '@');
        buf_put(to, s->tx.mail.from.domain);
    }
    return buf_slice(to);
}

static size_t
room_for_recipients(const struct body *b, const struct deliver *m)
{
    size_t fixed = body_overhead(b) + m->prefix.n + m->sender.n + m->envid.n;

    return fixed < IPC_INLINE ? IPC_INLINE - fixed : 0;
}

/* One DELIVER, or several when the recipients are too many for a datagram: a failure after the first
 * makes the client send again to all, for none may be lost. */
static enum status
deliver_all(struct smtp_session *s, struct body *b, struct slice prefix)
{
    const struct smtp_recipient *r = s->tx.first;
    uint8_t request[16], bytes[SMTP_LOCAL_MAX + SMTP_DOMAIN_MAX + 1];
    struct buf sender = BUF_FIXED(bytes);
    struct deliver m = {
        .request = slice_from(request, sizeof(request)),
        .received = (int64_t)s->tx.received,
        .sender = sender_of(s, &sender),
        .prefix = prefix,
        .envid = s->tx.mail.envid,
        .ret = (uint8_t)s->tx.mail.ret,
    };
    enum status st = ST_OK;

    m.recipients = take_recipients(room_for_recipients(b, &m), &r);
    if (r != NULL && body_is_aside(b)) {
        body_forget_digest(b);
        r = s->tx.first;
        m.recipients = take_recipients(room_for_recipients(b, &m), &r);
        if (r != NULL)
            return ST_LIMIT;
    }
    for (;;) {
        random_bytes(request, sizeof(request));
        st = body_deliver(b, &m);
        if (st != ST_OK || r == NULL)
            return st;
        m.recipients = take_recipients(room_for_recipients(b, &m), &r);
    }
}

static enum status
on_deliver(struct smtp_session *s, struct slice prefix)
{
    struct conn *c = s->owner;
    enum status st = body_finish(c->body);

    if (!c->named)
        note_message_id(c);
    if (st == ST_OK)
        st = deliver_all(s, c->body, prefix);
    if (st == ST_STALE) /* an account went since RCPT */
        seen_forget();
    if (c->message_id[0] == '\0')
        (void)slice_to_cstr(s->tx.message_id, c->message_id, sizeof(c->message_id));
    maillog_from(s, self.kind->daemon, c->message_id); /* with the other lines: one system call */
    maillog_to(s, st, clock_real());
    body_close(c->body);
    c->body = NULL;
    return st;
}

/* --- AUTH --- */

/* authd told that the password is right: what the ticket is worth, it says once more. */
static enum status
redeem(struct conn *c, struct slice ticket, struct buf *user)
{
    uint8_t bytes[128], answer[1024];
    struct buf m = BUF_FIXED(bytes), reply = BUF_FIXED(answer);
    struct msg_identity identity;
    struct channel *ch = program_peer(ROLE_AUTH, 0);
    enum status st;

    msg_ticket_put(&m, &(struct msg_ticket){c->id, ticket});
    if (ch == NULL || !buf_ok(&m))
        return ST_UNAVAILABLE;
    st = ipc_call(ch, MSG_TICKET_REDEEM, buf_slice(&m), -1, loop_now(program_loop()) + AUTH_WAIT, &reply);
    if (st != ST_OK || !msg_identity_get(buf_slice(&reply), &identity))
        return ST_UNAVAILABLE;
    buf_put(user, identity.user);
    return ST_OK;
}

static enum status
auth_step(struct conn *c, bool first, struct slice mechanism, bool has, struct slice response,
          struct buf *reply)
{
    AUTO_BUF m = BUF_INIT(IPC_INLINE);
    struct channel *ch = program_peer(ROLE_AUTH, 0);
    enum status st;

    if (first)
        msg_sasl_start_put(&m, &(struct msg_sasl_start){c->id, mechanism, has, response});
    else
        msg_sasl_step_put(&m, &(struct msg_sasl_step){c->id, response});
    st = ch == NULL || !buf_ok(&m) ? ST_UNAVAILABLE
                                   : ipc_call(ch, first ? MSG_SASL_START : MSG_SASL_STEP, buf_slice(&m), -1,
                                              loop_now(program_loop()) + AUTH_WAIT, reply);
    if (m.p != NULL)
        explicit_bzero(m.p, m.cap); /* it may hold a password */
    return st;
}

static enum status
on_auth(struct smtp_session *s, struct slice mechanism, bool has, struct slice response, struct buf *data,
        struct buf *user)
{
    struct conn *c = s->owner;
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct msg_sasl sasl = {0};
    enum status st;

    if (mechanism.n > 0)
        (void)slice_to_cstr(mechanism, c->mechanism, sizeof(c->mechanism));
    st = auth_step(c, mechanism.n > 0, mechanism, has, response, &reply);
    if ((st == ST_OK || st == ST_MORE) && !msg_sasl_get(buf_slice(&reply), &sasl))
        st = ST_UNAVAILABLE;
    if (st == ST_OK || st == ST_MORE)
        buf_put(data, sasl.data);
    if (!buf_ok(data))
        st = ST_UNAVAILABLE;
    if (st == ST_MORE)
        return ST_MORE;
    if (st == ST_OK)
        st = redeem(c, sasl.ticket, user);
    maillog_auth(s, slice_of(c->mechanism), buf_slice(user), st);
    return st;
}

static void
on_auth_abort(struct smtp_session *s)
{
    struct conn *c = s->owner;
    uint8_t bytes[8];
    struct buf m = BUF_FIXED(bytes);
    struct channel *ch = program_peer(ROLE_AUTH, 0);

    msg_conn_id_put(&m, &(struct msg_conn_id){c->id});
    if (ch != NULL)
        (void)ipc_send(ch, MSG_SASL_ABORT, buf_slice(&m), -1);
}

static void
on_note(struct smtp_session *s, const struct smtp_reply *reply)
{
    maillog_note(s, reply);
}

static const struct smtp_backend backend = {
    .note = on_note,
    .rcpt = on_rcpt,
    .body_begin = on_body_begin,
    .body_room = on_body_room,
    .body_used = on_body_used,
    .body_drop = on_body_drop,
    .deliver = on_deliver,
    .auth = on_auth,
    .auth_abort = on_auth_abort,
    .starttls = on_starttls,
    .ended = on_ended,
};

/* --- the program --- */

static enum status
on_credit(struct ipc_request *r)
{
    struct msg_id m;

    if (!msg_id_get(r->payload, &m))
        return ST_SYNTAX;
    credit_grant(m.id);
    return ST_OK;
}

static void
on_peer_gone(enum role role, uint32_t instance)
{
    (void)instance;
    body_peer_gone(role);
    if (role == ROLE_STORE)
        seen_forget();
    for (size_t i = 0; role == ROLE_EDGE && i < TLS_BUCKETS; i++)
        while (self.at_edge[i] != NULL)
            free(take_at_edge(self.at_edge[i]->id));
}

/* Cancelling may end a session at once, and with it its conn. */
static void
cancel_all(bool now)
{
    struct conn *c = self.conns;

    while (c != NULL) {
        struct conn *next = c->next;

        smtp_session_cancel(&c->session, now);
        c = next;
    }
}

/* Messages that are coming had their time; then only those that already are at stored have a little more. */
static void
on_stop_timer(struct timer *t)
{
    if (self.forced) {
        program_exit(0);
        return;
    }
    self.forced = true;
    credit_close();
    loop_timer(program_loop(), t, loop_now(program_loop()) + SECONDS(2));
    cancel_all(true);
}

static void
on_stop(void)
{
    if (self.stopping)
        return;
    self.stopping = true;
    self.stop.fire = on_stop_timer;
    loop_timer(program_loop(), &self.stop, loop_now(program_loop()) + STOP_WAIT);
    cancel_all(false);
    exit_if_done();
}

/* Somebody waits for room: those who hold some and send nothing make place. */
static void
shed_silent(void)
{
    struct conn *c = self.conns, *next;

    for (; c != NULL; c = next) {
        next = c->next;
        if (c->body != NULL && c->session.in_data && body_silent(c->body, CREDIT_WAIT / 2))
            smtp_session_shed(&c->session);
    }
}

static enum status
on_start(struct err *err)
{
    if (program_arena() == NULL)
        return err_set(err, ST_STATE, "there is no arena for bodies");
    credit_init(program_loop(), program_arena(), shed_silent);
    seen_init(program_loop());
    return load(program_settings(), err);
}

int
smtp_server_main(const struct smtp_server *kind, int argc, char **argv)
{
    static const struct ipc_route routes[] = {
        {MSG_CONN,        ROLE_BIT(EDGE), on_conn, true},
        {MSG_CONN_GONE,        ROLE_BIT(EDGE), on_conn_gone, false},
        {MSG_CREDIT,               ROLE_BIT(STORE), on_credit, false},
        {0},
    };
    const struct program program = {
        .role = kind->role,
        .routes = routes,
        .start = on_start,
        .reload = load,
        .stop = on_stop,
        .peer_gone = on_peer_gone,
    };

    self.kind = kind;
    return program_main(&program, argc, argv);
}
