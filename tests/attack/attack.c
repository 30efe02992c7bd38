/*
 * A session program that was taken over: it is started by estafetad in imapd's or pop3d's place
 * (tests/attack_test.py), with the same channels and the same confinement, and does what it should not. Each
 * login is one attack: its words come behind the LOGIN command, its results go to the client as lines "NAME
 * STATUS"; a line "survived" must never come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/program.h"
#include "store/request.h"

#define WITHIN (loop_now(program_loop()) + SECONDS(5))

struct victim {
    struct msg_conn facts;
    struct buf facts_bytes, ticket, words;
    int fd;
    struct msg_identity who; /* after redeem(): user is not kept */
};

/* The words behind the attack's name. */
static struct slice
argument(const struct victim *v)
{
    struct slice words = buf_slice(&v->words);

    (void)take_until(&words, ' ');
    (void)take_byte(&words, ' ');
    return words;
}

static void
tell(const struct victim *v, const char *name, const char *result)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "%s %s\r\n", name, result);

    if (n < 0 || send(v->fd, line, (size_t)n, MSG_NOSIGNAL) < 0)
        program_exit(0);
}

/* Its channels are gone: begin anew, when the client has read what was told. */
static void
end(void)
{
    fiber_sleep_until(loop_now(program_loop()) + MSEC(200));
    program_exit(0);
}

static enum status
ask(enum role role, unsigned type, const struct buf *payload, struct buf *reply)
{
    struct channel *ch;

    if (program_peer_wait(role, 0, WITHIN, &ch) != ST_OK)
        return ST_CLOSED;
    return ipc_call(ch, (enum msg)type, buf_slice(payload), -1, WITHIN, reply);
}

static enum status
redeem_as(struct victim *v, uint64_t conn, struct slice ticket)
{
    AUTO_BUF payload = BUF_INIT(4096), reply = BUF_INIT(4096);
    enum status st;

    msg_ticket_put(&payload, &(struct msg_ticket){conn, ticket});
    st = ask(ROLE_AUTH, MSG_TICKET_REDEEM, &payload, &reply);
    if (st == ST_OK && !msg_identity_get(buf_slice(&reply), &v->who))
        st = ST_CORRUPT;
    return st;
}

static enum status
redeem(struct victim *v)
{
    return redeem_as(v, v->facts.conn, buf_slice(&v->ticket));
}

static enum status
list(uint64_t handle)
{
    AUTO_BUF payload = BUF_INIT(4096), reply = BUF_INIT(IPC_PAYLOAD_MAX);

    mailbox_list_put(&payload, &(struct mailbox_list){.handle = handle});
    return ask(ROLE_STORE, MSG_MAILBOXES, &payload, &reply);
}

/* --- tickets and handles --- */

static void
forged_tickets(struct victim *v)
{
    struct slice ticket = buf_slice(&v->ticket);
    AUTO_BUF forged = BUF_INIT(4096);

    buf_put(&forged, ticket);
    for (size_t i = 0; i < forged.n; i += 3) {
        forged.p[i] ^= 1;
        tell(v, "forged", status_name(redeem_as(v, v->facts.conn, buf_slice(&forged))));
        forged.p[i] ^= 1;
    }
    tell(v, "empty", status_name(redeem_as(v, v->facts.conn, SLICE(""))));
    tell(v, "short", status_name(redeem_as(v, v->facts.conn, slice_sub(ticket, 0, ticket.n - 1))));
    buf_putc(&forged, 0);
    tell(v, "long", status_name(redeem_as(v, v->facts.conn, buf_slice(&forged))));
}

static void
wrong_connection(struct victim *v)
{
    tell(v, "wrong-connection", status_name(redeem_as(v, v->facts.conn + 1, buf_slice(&v->ticket))));
    tell(v, "no-connection", status_name(redeem_as(v, 0, buf_slice(&v->ticket))));
}

static void
replayed_ticket(struct victim *v)
{
    tell(v, "first", status_name(redeem(v)));
    tell(v, "own-handle", status_name(list(v->who.handle)));
    tell(v, "replayed", status_name(redeem(v)));
}

/* words: "... N": a handle that another program holds. */
static void
others_handles(struct victim *v)
{
    struct slice words = argument(v);
    unsigned long long theirs = 0;
    char text[64];

    tell(v, "first", status_name(redeem(v)));
    tell(v, "own-handle", status_name(list(v->who.handle)));
    (void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(words));
    theirs = strtoull(text, NULL, 10);
    tell(v, "theirs", status_name(list(theirs)));
    tell(v, "zero", status_name(list(0)));
    tell(v, "all-ones", status_name(list(UINT64_MAX)));
    for (int bit = 0; bit < 64; bit += 7)
        tell(v, "guessed", status_name(list(v->who.handle ^ (1ull << bit))));
}

/* Tells its handle and keeps the session, for the other program to try. */
static void
show_handle(struct victim *v)
{
    char text[64];

    tell(v, "first", status_name(redeem(v)));
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v->who.handle);
    tell(v, "handle", text);
}

/* --- messages that this role may not send: the channel must close, and the other side live --- */

static void
forbidden(struct victim *v)
{
    static const struct {
        const char *name;
        enum role role;
        uint16_t type;
    } messages[] = {
        {"handle-open",    ROLE_STORE, MSG_HANDLE_OPEN   },
        {"rcpt-check",     ROLE_STORE, MSG_RCPT_CHECK    },
        {"deliver",        ROLE_STORE, MSG_DELIVER       },
        {"account-add",    ROLE_STORE, MSG_ACCOUNT_ADD   },
        {"account-delete", ROLE_STORE, MSG_ACCOUNT_DELETE},
        {"accounts",       ROLE_STORE, MSG_ACCOUNTS      },
        {"dump",           ROLE_STORE, MSG_STORE_DUMP    },
        {"backup",         ROLE_STORE, MSG_STORE_BACKUP  },
        {"secret-set",     ROLE_AUTH,  MSG_SECRET_SET    },
        {"secret-delete",  ROLE_AUTH,  MSG_SECRET_DELETE },
        {"secret-list",    ROLE_AUTH,  MSG_SECRET_LIST   },
        {"sasl-start",     ROLE_AUTH,  MSG_SASL_START    },
        {"conn-facts",     ROLE_AUTH,  MSG_CONN_FACTS    },
        {"key-sign",       ROLE_EDGE,  MSG_KEY_SIGN      },
        {"conn",           ROLE_EDGE,  MSG_CONN          },
        {"stop",           ROLE_EDGE,  MSG_STOP          },
        {"unknown",        ROLE_STORE, 9999              },
        {"unknown-edge",   ROLE_EDGE,  9999              },
    };
    struct slice words = argument(v);
    AUTO_BUF payload = BUF_INIT(4096), reply = BUF_INIT(IPC_PAYLOAD_MAX);

    buf_put(&payload, SLICE("\0\0\0\0\0\0\0\0"));
    for (size_t i = 0; i < COUNT(messages); i++)
        if (slice_eq(words, slice_of(messages[i].name)))
            tell(v, messages[i].name, status_name(ask(messages[i].role, messages[i].type, &payload, &reply)));
    end();
}

/* Breaks the contract with stored, and lives on without a channel to it: only estafetad can mend that. */
static void
stay(struct victim *v)
{
    AUTO_BUF payload = BUF_INIT(64), reply = BUF_INIT(IPC_PAYLOAD_MAX);

    tell(v, "stay", status_name(ask(ROLE_STORE, MSG_STORE_DUMP, &payload, &reply)));
}

/* A good request cut at the length that the words say. */
static void
cut(struct victim *v)
{
    AUTO_BUF payload = BUF_INIT(4096), reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct slice words = argument(v);
    char text[16];
    size_t n;

    if (redeem(v) != ST_OK)
        return;
    (void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(words));
    flags_change_put(&payload, &(struct flags_change){v->who.handle, 1, SLICE("\1\0\0\0\1\0\0\0"), FLAGS_ADD,
                                                      FLAG_SEEN, SLICE(""), UINT64_MAX});
    n = strtoul(text, NULL, 10);
    if (n < payload.n)
        payload.n = n;
    tell(v, "cut", status_name(ask(ROLE_STORE, MSG_FLAGS, &payload, &reply)));
    end();
}

/* Chunks that are not there, and less of them than was said. */
static void
chunks(struct victim *v)
{
    static const struct {
        const char *name;
        struct slice chunks;
        uint64_t n;
    } cases[] = {
        {"far",    SLICE("\xff\xff\xff\xff"), 10        },
        {"beyond", SLICE("\0\0\1\0"),         10        },
        {"few",    SLICE("\0\0\0\0"),         1u << 20  },
        {"none",   SLICE(""),                 100       },
        {"odd",    SLICE("\0\0\0"),           3         },
        {"huge",   SLICE("\0\0\0\0"),         UINT64_MAX},
    };
    struct slice words = argument(v);
    AUTO_BUF payload = BUF_INIT(4096), reply = BUF_INIT(4096), messages = BUF_INIT(100);

    if (redeem(v) != ST_OK)
        return;
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (!slice_eq(words, slice_of(cases[i].name)))
            continue;
        append_message_put(&messages, &(struct append_message){.n = cases[i].n});
        append_put(&payload, &(struct append){.handle = v->who.handle,
                                              .request = SLICE("0123456789abcdef"),
                                              .mailbox = 1,
                                              .messages = buf_slice(&messages),
                                              .chunks = cases[i].chunks,
                                              .n = cases[i].n});
        tell(v, cases[i].name, status_name(ask(ROLE_STORE, MSG_APPEND, &payload, &reply)));
    }
    end();
}

/* --- connections of others --- */

/* Every connection that there may be is said to have ended. */
static void
others_connections(struct victim *v)
{
    struct channel *ch;

    for (uint64_t conn = v->facts.conn - 200; conn < v->facts.conn + 200; conn++) {
        AUTO_BUF payload = BUF_INIT(64);

        if (conn == v->facts.conn || program_peer_wait(ROLE_EDGE, 0, WITHIN, &ch) != ST_OK)
            continue;
        msg_conn_id_put(&payload, &(struct msg_conn_id){conn});
        (void)ipc_send(ch, MSG_CONN_DONE, buf_slice(&payload), -1);
        fiber_yield();
    }
    tell(v, "said", "OK");
}

static void
hand_back(struct victim *v)
{
    AUTO_BUF payload = BUF_INIT(64);
    struct channel *ch;
    int ends[2];

    if (program_peer_wait(ROLE_EDGE, 0, WITHIN, &ch) != ST_OK || pipe(ends) != 0)
        return;
    msg_conn_id_put(&payload, &(struct msg_conn_id){v->facts.conn - 1});
    (void)ipc_send(ch, MSG_CONN_TLS, buf_slice(&payload), ends[0]);
    fiber_sleep_until(loop_now(program_loop()) + MSEC(200));
    tell(v, "channel", channel_open(ch) ? "OPEN" : "CLOSED");
    end();
}

/* --- calls of the kernel --- */

static void
system_call(struct victim *v)
{
    struct slice words = argument(v);

    tell(v, "before", "OK");
    if (slice_eq(words, SLICE("open")))
        (void)open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    else if (slice_eq(words, SLICE("socket")))
        (void)socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    else if (slice_eq(words, SLICE("fork")))
        (void)syscall(SYS_clone, 17, 0, 0, 0, 0);
    else if (slice_eq(words, SLICE("exec")))
        (void)execl("/bin/true", "true", (char *)NULL);
    else if (slice_eq(words, SLICE("ptrace")))
        (void)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    else if (slice_eq(words, SLICE("kill")))
        (void)syscall(SYS_kill, -1, 0);
    else if (slice_eq(words, SLICE("setuid")))
        (void)syscall(SYS_setuid, 0);
    else if (slice_eq(words, SLICE("unlink")))
        (void)unlink("/tmp/nothing");
    tell(v, "survived", strerror(errno));
}

/* --- which attack, and the program --- */

static void
run(void *arg)
{
    static const struct {
        const char *name;
        void (*run)(struct victim *v);
    } attacks[] = {
        {"forged",     forged_tickets    },
        {"connection", wrong_connection  },
        {"replayed",   replayed_ticket   },
        {"handles",    others_handles    },
        {"show",       show_handle       },
        {"forbidden",  forbidden         },
        {"stay",       stay              },
        {"cut",        cut               },
        {"chunks",     chunks            },
        {"done",       others_connections},
        {"back",       hand_back         },
        {"call",       system_call       },
    };
    struct victim *v = arg;
    struct slice line = buf_slice(&v->words), name;

    line = take_until(&line, '\r');
    v->words.n = line.n;
    name = take_until(&line, ' ');
    for (size_t i = 0; i < COUNT(attacks); i++)
        if (slice_eq(name, slice_of(attacks[i].name)))
            attacks[i].run(v);
    tell(v, "end", "OK");
    /* The session stays, so that its handle does too, until the client goes. */
    fiber_sleep_until(loop_now(program_loop()) + SECONDS(20));
    (void)close(v->fd);
    buf_done(&v->facts_bytes);
    buf_done(&v->ticket);
    buf_done(&v->words);
    free(v);
}

static enum status
on_adopt(struct ipc_request *r)
{
    struct victim *v = calloc(1, sizeof(*v));
    struct msg_conn_adopt m;

    if (v == NULL || !msg_conn_adopt_get(r->payload, &m)) {
        free(v);
        return ST_SYNTAX;
    }
    v->facts_bytes = BUF_INIT(65536);
    v->ticket = BUF_INIT(4096);
    v->words = BUF_INIT(65536);
    buf_put(&v->facts_bytes, m.facts);
    buf_put(&v->ticket, m.ticket);
    buf_put(&v->words, m.unread);
    if (!msg_conn_get(buf_slice(&v->facts_bytes), &v->facts)) {
        free(v);
        return ST_SYNTAX;
    }
    v->fd = r->fd;
    r->fd = -1;
    ipc_answer(r->from, ST_OK, (struct slice){0});
    return fiber_spawn(program_loop(), run, v);
}

static enum status
nothing(struct ipc_request *r)
{
    return ST_OK;
}

int
main(int argc, char **argv)
{
    static const struct ipc_route routes[] = {
        {MSG_CONN_ADOPT,   ROLE_BIT(LOGIN), on_adopt, true},
        {MSG_CREDIT,        ROLE_BIT(STORE), nothing, false},
        {MSG_HINT,                ROLE_BIT(STORE), nothing, false},
        {0},
    };
    static struct program program = {.role = ROLE_IMAP, .routes = routes};
    size_t n = strlen(argv[0]);

    if (n >= 5 && strcmp(argv[0] + n - 5, "pop3d") == 0)
        program.role = ROLE_POP3;
    return program_main(&program, argc, argv);
}
