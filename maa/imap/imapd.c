/*
 * imapd: IMAP after the password (RFC 3501). logind hands over a connection with a ticket; authd says who it
 * is and has a handle opened at stored; from then on all that is asked of stored is asked by that handle. It
 * opens nothing and holds no mail but what is on its way to a client, or, in its arena, from one.
 */
#include <stdlib.h>

#include "maa/imap/body.h"
#include "maa/imap/session.h"
#include "sys/log.h"

#define SESSIONS_MAX 20000u
#define STOP_TIME    SECONDS(2)

/* A connection that logind gives, until it is a session. */
struct adoption {
    int fd;
    struct buf payload;
};

static struct buf settings_text; /* settings point into it */
static struct timer stop_timer;

static void
adopt(void *arg)
{
    struct adoption a = *(struct adoption *)arg;
    struct msg_conn_adopt m;
    struct msg_conn facts;

    free(arg);
    if (msg_conn_adopt_get(buf_slice(&a.payload), &m) && msg_conn_get(m.facts, &facts))
        session_begin(a.fd, &facts, m.ticket, m.tag, m.unread);
    buf_done(&a.payload);
}

/* edged counts it as ours from now on: it ends with us, not with logind. */
static void
tell_taken(uint64_t conn)
{
    AUTO_BUF m = BUF_INIT(16);
    struct channel *edge = program_peer(ROLE_EDGE, 0);

    msg_conn_id_put(&m, &(struct msg_conn_id){conn});
    if (edge != NULL)
        (void)ipc_send(edge, MSG_CONN_TAKEN, buf_slice(&m), -1);
}

static enum status
on_adopt(struct ipc_request *r)
{
    struct msg_conn_adopt m;
    struct msg_conn facts;
    struct adoption *a;

    if (!msg_conn_adopt_get(r->payload, &m) || !msg_conn_get(m.facts, &facts) || m.tag.n > IMAP_TAG_MAX ||
        m.unread.n > STREAM_INPUT)
        return ST_SYNTAX;
    a = imapd.stopping || imapd.n_sessions >= SESSIONS_MAX ? NULL : malloc(sizeof *a);
    if (a != NULL) {
        *a = (struct adoption){.fd = r->fd, .payload = BUF_INIT(IPC_INLINE)};
        buf_put(&a->payload, r->payload);
    }
    if (a == NULL || !buf_ok(&a->payload) || fiber_spawn(program_loop(), adopt, a) != ST_OK) {
        if (a != NULL)
            buf_done(&a->payload);
        free(a);
        ipc_answer(r->from, ST_UNAVAILABLE, (struct slice){0});
        return ST_OK;
    }
    r->fd = -1;
    tell_taken(facts.conn);
    ipc_answer(r->from, ST_OK, (struct slice){0});
    return ST_OK;
}

static enum status
on_hint(struct ipc_request *r)
{
    struct session *s;
    struct hint m;

    if (!hint_get(r->payload, &m))
        return ST_SYNTAX;
    s = session_by_handle(m.handle);
    if (s != NULL && s->box.id == m.mailbox && m.modseq > s->box.modseq)
        session_hint(s);
    return ST_OK;
}

static enum status
on_credit(struct ipc_request *r)
{
    struct msg_id m;

    if (!msg_id_get(r->payload, &m))
        return ST_SYNTAX;
    body_credit(m.id);
    return ST_OK;
}

static const struct ipc_route routes[] = {
    {MSG_CONN_ADOPT,   ROLE_BIT(LOGIN), on_adopt, true},
    {MSG_HINT,        ROLE_BIT(STORE), on_hint, false},
    {MSG_CREDIT,                ROLE_BIT(STORE), on_credit, false},
    {0},
};

static enum status
load_settings(struct slice text, struct err *err)
{
    struct buf copy = BUF_INIT(CONF_TEXT_MAX);
    struct imap_settings got;
    enum status st;

    buf_put(&copy, text);
    st = buf_ok(&copy) ? conf_load(&imap_conf, "estafeta.conf", buf_slice(&copy), &got, sizeof got, err)
                       : err_set(err, ST_MEMORY, "settings: no memory");
    if (st != ST_OK) {
        buf_done(&copy);
        return st;
    }
    imapd.settings = got;
    buf_done(&settings_text);
    settings_text = copy;
    return ST_OK;
}

static enum status
imapd_open(struct err *err)
{
    return load_settings(program_settings(), err);
}

/* Handles are gone with it; sessions get new ones when they next need one. */
static void
on_peer_gone(enum role role, uint32_t instance)
{
    if (role != ROLE_STORE)
        return;
    imapd.epoch++;
    body_store_gone();
}

/* Who idles in a mailbox asks nothing, and so would hear nothing any more. One after the other: there may be
 * thousands, and each asks authd and stored. */
static void
watch_again(void *arg)
{
    imapd.resume_at = imapd.sessions;
    while (imapd.resume_at != NULL) {
        struct session *s = imapd.resume_at;

        imapd.resume_at = s->next;
        if (s->box.id != 0 && (s->hinted || s->epoch != imapd.epoch))
            session_tell(s);
    }
}

static void
on_peer_new(enum role role, uint32_t instance)
{
    if (role == ROLE_STORE && fiber_spawn(program_loop(), watch_again, NULL) != ST_OK)
        log_at(LOG_LEVEL_WARNING, "stored is back, but sessions that idle were not told: no memory");
}

static void
on_stop_time(struct timer *t)
{
    program_exit(0);
}

static void
imapd_stop(void)
{
    struct session *next;

    imapd.stopping = true;
    if (imapd.n_sessions == 0) {
        program_exit(0);
        return;
    }
    stop_timer.fire = on_stop_time;
    loop_timer(program_loop(), &stop_timer, loop_now(program_loop()) + STOP_TIME);
    for (struct session *s = imapd.sessions; s != NULL; s = next) {
        next = s->next; /* an idling session may end at once; only itself */
        stream_cancel(&s->stream);
    }
}

static const struct program program = {
    .role = ROLE_IMAP,
    .routes = routes,
    .open = imapd_open,
    .reload = load_settings,
    .stop = imapd_stop,
    .peer_gone = on_peer_gone,
    .peer_new = on_peer_new,
};

int
main(int argc, char **argv)
{
    return program_main(&program, argc, argv);
}
