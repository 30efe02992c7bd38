/*
 * Where mail for an address goes: (tables, facts, address, where it came from) -> dispositions. Pure: it
 * opens no file, asks nobody, knows no clock. What it has to know beyond its tables it asks of the caller:
 *
 *     struct route r;
 *     route_begin(&r, &tables, &question, &arena);
 *     while ((st = route_step(&r)) == ST_MORE)
 *         find out r.need, then route_tell(&r, &fact);
 *     if (st == ST_OK)
 *         r.first is the list of dispositions, r.steps says how each came about
 *
 * Tables, question and the bytes of facts are the caller's and outlive the arena's next reset; everything
 * that comes out is in the arena. route_step is ST_MEMORY past the arena's budget, and then nothing was
 * decided: a temporary failure. Everything else that can go wrong is a disposition of kind ROUTE_ERROR with a
 * reply: a route that cannot be decided is 4xx, never 5xx.
 *
 * Semantics are sendmail's (aliases(5), cf/README); docs/sendmail-differences.md has what differs, and why.
 */
#pragma once
#include "route/list.h"
#include "route/table.h"

/* Limits. What passes them is answered 554 5.4.6, as a loop. */
#define ROUTE_DEPTH_MAX     10u    /* aliases in aliases; MaxAliasRecursion */
#define ROUTE_VIRTUAL_MAX   10u    /* rewritings of one address by virtual rows */
#define ROUTE_ADDRESSES_MAX 10000u /* that one question expands to */
#define ROUTE_HOPS_MAX      8u     /* next hops of one route, tried in order */

/* --- what is known beforehand --- */

/* Finds the row of a key that is in lower case. ST_NOTFOUND: none. All else but ST_OK: it cannot be said now
 * (the route is 451 4.3.0). row's bytes outlive the arena's next reset. Memory only: a hash table, a mapped
 * constant database. */
typedef enum status (*route_find_fn)(const void *self, struct slice key, struct route_row *row);

struct route_map {
    const char *name;   /* in traces: "aliases" */
    route_find_fn find; /* NULL: there is no such table */
    const void *self;
};

/* A route_map over a struct route_table. */
enum status route_table_find(const void *table, struct slice key, struct route_row *row);

struct route_network {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2) */
    uint8_t bits;   /* of 128 */
    struct route_row where;
};

struct route_tables {
    struct slice domain;             /* the main one: a user without a domain is user@domain. Lower case */
    const struct route_table *local; /* domains whose users are the main domain's (class w), and "[ip]" */
    const struct route_table *virtual_domains; /* domains with users of their own (class VirtHost) */
    const struct route_table *relay; /* domains that mail is relayed to (class R); with their subdomains: */
    bool relay_exact;                /* no (FEATURE(relay_hosts_only)) */
    const struct route_network *networks; /* clients that may relay */
    size_t n_networks;
    struct route_map virtuals; /* virtusertable */
    struct route_map aliases;
    struct route_map mailers; /* mailertable */
    struct slice smart_host;  /* "[host]:port", "host", "mailer:host"; empty: by MX */
    struct slice
        catch_all;    /* LUSER_RELAY: for users that are not there; "user", "user@domain", "error:..." */
    char detail_mark; /* '+'; 0: no plus addressing */
};

/* --- what is asked --- */

enum route_from {
    ROUTE_FROM_CLIENT,
    ROUTE_FROM_QUEUE
}; /* the queue asks again for what was accepted before */

struct route_question {
    struct slice local;  /* unquoted */
    struct slice domain; /* empty: none was given */
    enum route_from from;
    bool authenticated; /* the client logged in: may relay */
    bool files; /* the caller can read users' files: ROUTE_NEED_INCLUDE and ROUTE_NEED_FORWARD may come */
    const uint8_t *client; /* 16 bytes, IPv4 mapped; NULL: none */
};

/* --- what is needed --- */

enum route_need_kind {
    ROUTE_NEED_ACCOUNT, /* is key = "user+detail@domain" an account's? */
    ROUTE_NEED_FORWARD, /* the .forward of the account `key` */
    ROUTE_NEED_INCLUDE, /* the text of the file `key`, read as `controller` ("": as the default user) */
};

struct route_need {
    enum route_need_kind kind;
    struct slice key, controller;
};

/* The answer. ST_OK, ST_NOTFOUND; ST_QUOTA: an account that is full; ST_DENIED: a file that fails its checks
 * (owner, mode, kind). All else: it cannot be said now. */
struct route_fact {
    enum status status;
    uint64_t account;          /* ACCOUNT: its number, */
    struct slice name, detail; /*   its name, what followed the mark; */
    bool forwards;             /*   its user may have a .forward, and whoever asks can read it */
    struct slice text;         /* FORWARD, INCLUDE: the file */
    struct slice
        owner; /* INCLUDE: who owns it: |programs and /files in it run as him. Empty: may have none */
};

/* --- what comes out --- */

enum route_kind {
    ROUTE_MAILBOX, /* account, name, detail */
    ROUTE_RELAY,   /* address, by hops in order; n_hops 0: by the MX of the address's domain */
    ROUTE_PROGRAM, /* text: the command, controller */
    ROUTE_FILE,    /* text: the path, controller */
    ROUTE_INCLUDE, /* text: the path; somebody who can read users' files goes on from here */
    ROUTE_ERROR,   /* code, enhanced, text */
    ROUTE_DISCARD, /* error:discard and mailer discard: taken and thrown away, as an administrator wrote */
};

struct route_hop {
    struct slice host; /* a name, or "[address]" */
    uint16_t port;     /* 0: the standard one */
    bool mx;           /* the name's MX, not its address */
};

struct route_to {
    struct route_to *next;
    enum route_kind kind;
    struct slice local, domain; /* the address it is for, after expansion */
    uint64_t account;
    struct slice name, detail;
    struct route_hop *hops;
    size_t n_hops;
    struct slice text; /* command, path, or an error's words */
    struct slice
        controller;     /* whose rights a program or file has: an account or user; empty: the default user */
    struct slice owner; /* the envelope's new sender ("owner-x"); empty: as it was */
    uint16_t code;      /* 550 */
    struct slice enhanced; /* "5.1.1" */
    enum status status;    /* of an error that a fact brought, else ST_OK */
    uint32_t step;         /* the last of its trace: r->steps[step], and so on by `from` */
};

#define ROUTE_NO_STEP UINT32_MAX

/* One decision: a row of a table, or a rule (table is then its name, row.line 0). */
struct route_step {
    const char *table;
    struct slice key;
    struct route_row row;
    uint32_t from; /* the step that led here; ROUTE_NO_STEP: the question itself */
};

/* --- */

struct route_pending; /* route.c's */

struct route {
    struct route_need need; /* after ST_MORE */
    struct route_to *first; /* after ST_OK; never empty: a question without any is an error */
    struct route_step *steps;
    size_t n_steps;
    /* route.c's */
    const struct route_tables *tables;
    const struct route_question *question;
    struct arena *arena;
    struct route_to **last;
    struct route_pending *pending;
    struct route_table met, sent; /* addresses expanded; dispositions there are */
    size_t room_steps, addresses;
    struct route_known *known; /* facts of the address at hand */
};

void route_begin(struct route *r, const struct route_tables *tables, const struct route_question *question,
                 struct arena *arena);
MUST_CHECK enum status route_step(struct route *r);
/* The answer to r->need, after ST_MORE. False: no memory, as route_step says too. */
bool route_tell(struct route *r, const struct route_fact *fact);

/* May the question's client relay to a domain? *step is what allows it. For those who ask about no address.
 */
bool route_may_relay(const struct route_tables *tables, const struct route_question *question,
                     struct slice domain, struct route_step *step);

/* "host", "[host]", "host:port", "[host]:port", "[IPv6:::1]", separated by ":" or ",": the first from the
 * front. ST_NOTFOUND at the end, ST_SYNTAX. */
MUST_CHECK enum status route_hop_next(struct slice *in, struct route_hop *hop);

/* What stands behind "error:": "5.7.1:550 words", "nouser:550 words", "550 words", "words". */
struct route_error {
    uint16_t code;
    struct slice enhanced, text;
};
struct route_error route_error_parse(struct slice value);
