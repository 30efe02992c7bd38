/*
 * libunbound in the event loop: it resolves in a thread of its own, which is made by the first question, and
 * its answers come back over a descriptor that the loop watches. Everything here is called from the loop's
 * thread.
 */
#pragma once
#include "base/buf.h"
#include "dns/source.h"
#include "sys/loop.h"

struct resolver;
struct resolver_question;

struct resolver_setup {
    bool stub;     /* ask servers; else from the root on */
    bool validate; /* by the anchors of source */
    size_t n;      /* servers; 0: those of source */
    char servers[SOURCE_SERVERS_MAX][SOURCE_ADDRESS_MAX];
    uint64_t cache, negative_ttl; /* bytes, ns */
};

/* What a question came to. All of it lives until the callback returns. */
struct resolver_result {
    bool failed; /* libunbound could not do it */
    bool secure, bogus;
    struct slice message; /* the wire form */
    const char *why;      /* bogus because; or NULL */
};

/* ST_SYNTAX: a server's address or an anchor is not understood. source must live as long. */
MUST_CHECK enum status resolver_new(struct loop *loop, const struct resolver_setup *setup,
                                    const struct source *source, struct resolver **resolver, struct err *err);
/* Questions that are not answered never are. */
void resolver_free(struct resolver *resolver);
/* Calls done(arg) once, later; *question is good until then. ST_UNAVAILABLE: it was not asked. */
MUST_CHECK enum status resolver_ask(struct resolver *resolver, const char *name, uint16_t type,
                                    void (*done)(void *arg, const struct resolver_result *result), void *arg,
                                    struct resolver_question **question);
/* done is not called. libunbound goes on with it, so that the answer will be remembered. */
void resolver_cancel(struct resolver_question *question);
/* Questions that libunbound works on, the cancelled ones too. */
size_t resolver_waiting(const struct resolver *resolver);
