/*
 * A session before the password, IMAP or POP3: what a client says, and what is answered. No socket and no
 * channel: it is fed bytes, appends replies to a buf and asks a backend, which may wait. Every byte is
 * hostile; fuzz/login_session.c.
 *
 * SASL is judged in authd. What is here only carries its messages, in base64 at the client's side. What may
 * hold a password is wiped as soon as it was used: who takes logind over shall not find what came before
 * (docs/security.md).
 */
#pragma once
#include "imap/command.h"
#include "ipc/messages.h"

#define LOGIN_ERRORS_MAX 10u    /* refused commands and logins that end a session */
#define LOGIN_LINE_MAX   12288u /* an IMAP or SASL line; POP3 commands have their own limit */

struct login;

/* What the session asks for. start and step wait for authd, whose answer (msg_sasl) they put into *reply.
 * adopt gives the connection away, with s->rest unread: ST_OK it is gone, ST_CLOSED it is not known who has
 * it, anything else: it is still ours. */
struct login_ops {
    enum status (*start)(void *arg, struct slice mechanism, bool has, struct slice initial,
                         struct buf *reply);
    enum status (*step)(void *arg, struct slice data, struct buf *reply);
    void (*abort)(void *arg);
    enum status (*adopt)(void *arg, struct slice ticket, struct slice tag, struct slice user);
    bool (*quiet)(void *arg);   /* nothing has come behind s->rest */
    bool (*can_tls)(void *arg); /* whoever begins TLS is there */
};

/* What a session holds only while a command or a login is under way. */
struct login_work {
    struct imap_reader reader; /* IMAP's command */
    struct buf line;           /* POP3's command, or an answer to a challenge */
    struct buf tag;            /* IMAP: of the command that logs in */
    struct buf name;           /* POP3: of USER */
    struct buf ticket, user;   /* SASL succeeded with additional data: given when the client has taken it */
};

enum login_state { LOGIN_COMMANDS, LOGIN_CHALLENGED, LOGIN_DATA_SENT };
/* END: send what is in `out` and close. TLS: send it, then begin TLS. TAKEN: the connection is another's.
 * LOST: perhaps. */
enum login_verdict { LOGIN_GO_ON, LOGIN_END, LOGIN_TLS, LOGIN_TAKEN, LOGIN_LOST };

/* What differs between the protocols. */
struct login_protocol {
    void (*greet)(struct login *s, struct slice host);
    enum login_verdict (*command)(struct login *s); /* eats of s->rest, at most one command */
    void (*challenge)(struct login *s, struct slice data);
    void (*refuse)(struct login *s, enum status st); /* a login; the words are the protocol's */
    void (*bad)(struct login *s, const char *text);  /* an answer to a challenge */
    void (*bye)(struct login *s, const char *text);  /* the last words of a session */
};
extern const struct login_protocol login_imap, login_pop3;

struct login {
    const struct login_protocol *protocol;
    const struct login_ops *ops;
    void *arg;
    struct login_work *work; /* NULL between commands */
    struct slice rest;       /* input not yet used */
    struct buf *out;         /* of the caller, for the time of a call */
    enum login_state state;
    uint8_t errors;
    bool tls;
    bool utf8; /* POP3: UTF8 was said (RFC 6856 2.1); the adoption's tag tells it */
    uint32_t login_delay; /* POP3: seconds between logins, for CAPA */
    unsigned sasl; /* what there is for mechanisms, but clear (sasl/mechanism.h) */
    bool clear; /* PLAIN and LOGIN are taken: authd has the last word */
};

void login_init(struct login *s, const struct login_protocol *protocol, const struct login_ops *ops,
                void *arg, bool tls, bool clear);
void login_done(struct login *s);
void login_greet(struct login *s, struct slice host, struct buf *out);
/* Handles one command at most; what it used is no longer in s->rest. */
enum login_verdict login_input(struct login *s, struct slice in, struct buf *out);
/* The session is ended by us. */
void login_bye(struct login *s, const char *text, struct buf *out);

/* --- for imap.c and pop3.c --- */

/* The next line of s->rest, without CR LF, in work->line until login_line_done(). ST_MORE: not whole yet.
 * ST_SYNTAX: it ended in a bare LF. ST_LIMIT: too long, and what follows cannot be told apart. */
MUST_CHECK enum status login_line(struct login *s, struct slice *line);
void login_line_done(struct login *s);
/* Counts what was refused: LOGIN_END, with last words, when it is too much. */
enum login_verdict login_error(struct login *s);
/* A name and a password in clear: as PLAIN (RFC 4616 2). */
enum login_verdict login_password(struct login *s, struct slice name, struct slice password);
/* A mechanism; initial is still in base64, "=" is an empty one (RFC 4959 3, RFC 5034 4). */
enum login_verdict login_sasl(struct login *s, struct slice mechanism, bool has, struct slice initial);
/* The mechanisms that are offered, each between `before` and `after`. */
void login_mechanisms(const struct login *s, struct buf *out, const char *before, const char *after);
void login_wipe(struct buf *b); /* overwrites, then frees */
