/*
 * One SMTP server session, from the greeting to the end: smtpd and submitd are
 * this engine with two policies. It reads a stream and asks a backend; it knows
 * no other program, no settings grammar and no disk, so tests need none.
 *
 * The backend's functions run on the session's fiber and may wait. All that they
 * are given lives until they return.
 */
#pragma once
#include "base/arena.h"
#include "net/stream.h"
#include "smtp/command.h"
#include "smtp/data.h"
#include "smtp/head.h"
#include "smtp/received.h"
#include "smtp/reply.h"

struct smtp_session;

/* What is offered and how much is allowed; outlives the session. */
struct smtp_policy {
    const char *host;    /* in the greeting, and "by" in Received */
    const char *domain;  /* of <postmaster> */
    bool submission;     /* AUTH before MAIL (RFC 6409 4.3) */
    bool plaintext_auth; /* AUTH is offered without TLS: loopback and tests only */
    bool starttls;
    bool scram_sha1, external_names, external_fingerprints; /* mechanisms that are set up */
    bool repair_line_ends; /* submission only: a CR or LF alone becomes CR LF */
    bool own_senders;      /* submission: MAIL names the account that logged in, or nobody */
    bool dsn; /* RFC 3461 is offered: somebody sends the notices of success */
    uint64_t message_size;
    uint32_t max_recipients, max_errors, max_commands, max_hops;
    uint32_t max_auth_failures, commands_per_minute; /* 0: any number */
    uint32_t max_idle_commands; /* that bring no message nearer, until one is accepted */
    uint64_t idle_timeout, data_timeout, session_timeout, greet_pause; /* ns; data_timeout: of the whole of a message */
};

struct smtp_recipient {
    struct smtp_recipient *next;
    struct slice mailbox; /* as written, unquoted */
    struct smtp_rcpt rcpt;
    uint64_t account;
    struct slice detail;
};

/* A transaction; everything in it lives in the session's arena until the transaction ends. */
struct smtp_tx {
    struct smtp_mail mail;
    struct smtp_recipient *first, **last;
    uint32_t recipients;
    uint64_t received; /* ns since 1970: when DATA began */
    uint64_t size;
    struct slice message_id; /* when we made it */
    struct slice id; /* set by body_begin, in the arena: for Received, the log and the 250 */
    /* the engine's */
    bool open;       /* body_begin was answered by ST_OK, and neither body_drop nor deliver came yet */
    bool chunked;    /* by BDAT, of whose chunk `chunk` octets are to come */
    uint64_t chunk, until;
    struct smtp_data data;
    struct smtp_head head;
};

struct smtp_backend {
    /* Is *r ours? Fills account and detail (copied to the arena). ST_NOTFOUND: no such user.
     * ST_DENIED: not local. ST_LIMIT: no more in this transaction. ST_QUOTA and all else: as smtp_reply_of(). */
    enum status (*rcpt)(struct smtp_session *s, struct smtp_recipient *r);
    /* A body begins: wait for credit. announced: MAIL's SIZE, or 0. */
    enum status (*body_begin)(struct smtp_session *s, uint64_t announced);
    /* Room for the next bytes, at least one; then how many of them were used. */
    enum status (*body_room)(struct smtp_session *s, uint8_t **p, size_t *n);
    enum status (*body_used)(struct smtp_session *s, size_t n);
    /* The body is not wanted. After every body_begin comes this or deliver, once. */
    void (*body_drop)(struct smtp_session *s);
    /* Durable, or not: prefix and body to all recipients. */
    enum status (*deliver)(struct smtp_session *s, struct slice prefix);
    /* One step of AUTH; mechanism is set at the first. data: ours to send (ST_MORE). ST_OK: *user is
     * filled. NULL: no AUTH here. */
    enum status (*auth)(struct smtp_session *s, struct slice mechanism, bool has_response, struct slice response,
                        struct buf *data, struct buf *user);
    void (*auth_abort)(struct smtp_session *s);
    /* The descriptor is the callee's; nothing was read behind STARTTLS. The session is over. */
    void (*starttls)(struct smtp_session *s, int fd);
    /* A reply went out that belongs into the log (its row has a line for it). May be NULL. */
    void (*note)(struct smtp_session *s, const struct smtp_reply *reply);
    /* The session is over, its stream closed: free it. */
    void (*ended)(struct smtp_session *s);
};

struct smtp_session {
    const struct smtp_policy *policy;
    const struct smtp_backend *backend;
    void *owner; /* the backend's */
    struct stream stream;
    uint8_t peer[16];
    bool trusted; /* with XCLIENT and XFORWARD */
    bool proxied; /* by XCLIENT: the policy was chosen for the proxy, so its clear-text AUTH does not hold */
    bool on_this_host; /* no pause before the greeting */
    unsigned sasl; /* what there is for mechanisms: NEEDS_ of sasl/mechanism.h */
    bool tls, resumed; /* resumed: back from STARTTLS, no greeting */
    struct slice tls_version, cipher; /* the owner's, as long as the session */
    /* The peer's name from DNS, the owner's too, who may set it at any time; its address is not the name's: forged. XCLIENT
     * empties it, for then the peer is another. */
    struct slice client_name;
    bool client_forged;
    /* the engine's */
    unsigned state;
    bool esmtp, over, lost, stopping, shed;
    bool in_data; /* a message is coming: between its chunks too */
    uint32_t errors, commands, idle_commands;
    uint32_t auth_failures, in_minute;
    uint64_t began, minute;
    struct timer greet;
    bool greeting; /* the greeting waits */
    bool forwarded; /* XFORWARD told whom the log shall name */
    uint8_t origin[16];
    struct buf replies; /* of a pipelined group, in the serving fiber's stack */
    struct buf helo, peer_name, user; /* peer_name: told by XCLIENT; user: empty until AUTH */
    struct arena arena;           /* of the transaction */
    struct smtp_tx tx;
};

/* Fill the part above "the engine's" of a zeroed struct, stream inited; then this greets and serves. */
void smtp_session_start(struct smtp_session *s);
/* Ends it with 421 because the program stops: at once, or, when a message is coming and `now` is
 * false, behind its reply. */
void smtp_session_cancel(struct smtp_session *s, bool now);
/* While a message comes: ends it with 421 because its sender is silent and others wait for its place. */
void smtp_session_shed(struct smtp_session *s);
