#include "dns/resolver.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unbound.h>

#include "sys/log.h"

#define CLASS_IN 1

struct resolver {
    struct ub_ctx *ctx;
    struct loop *loop;
    struct watch watch;
    struct resolver_question *questions;
    size_t n;    /* of them */
    bool failed; /* to ask: it has been logged */
};

struct resolver_question {
    struct resolver_question *next, **link;
    struct resolver *resolver;
    void (*done)(void *arg, const struct resolver_result *result); /* NULL: nobody waits for it any more */
    void *arg;
};

/* option, value; a value of NULL is a number of setup's. unbound.conf(5) describes them. */
static const struct {
    const char *name, *value;
} options[] = {
    {"msg-cache-slabs:",        "1"   }, /* one thread: nothing to share */
    {"rrset-cache-slabs:",      "1"   },
    {"infra-cache-slabs:",      "1"   },
    {"key-cache-slabs:",        "1"   },
    {"key-cache-size:",         "512k"},
    {"neg-cache-size:",         "256k"},
    {"infra-cache-numhosts:",   "2000"},
    {"outgoing-range:",         "512" },
    {"num-queries-per-thread:", "1024"},
    {"infra-host-ttl:",         "60"  }, /* a resolver that was away and is back is used again within a minute */
    {"infra-keep-probing:",     "yes" },
    {"unblock-lan-zones:",      "yes" }, /* a mail system's clients may have private addresses, and names */
    {"insecure-lan-zones:",     "yes" },
    {"do-not-query-localhost:", "no"  }, /* resolvers often run on this host */
    {"minimal-responses:",      "no"  }, /* the SOA of what is not there is wanted */
    {"prefetch:",               "no"  },
};

static enum status
set_option(struct ub_ctx *ctx, const char *name, const char *value, struct err *err)
{
    int got = ub_ctx_set_option(ctx, name, value);

    return got == 0 ? ST_OK
                    : err_set(err, ST_UNSUPPORTED, "libunbound: %s %s: %s", name, value, ub_strerror(got));
}

static enum status
set_options(struct ub_ctx *ctx, const struct resolver_setup *setup, struct err *err)
{
    char cache[24], negative[24];
    enum status st = ST_OK;

    (void)snprintf(cache, sizeof(cache), "%llu", (unsigned long long)setup->cache);
    (void)snprintf(negative, sizeof(negative), "%llu",
                   (unsigned long long)(setup->negative_ttl / SECONDS(1)));
    for (size_t i = 0; st == ST_OK && i < COUNT(options); i++)
        st = set_option(ctx, options[i].name, options[i].value, err);
    if (st == ST_OK)
        st = set_option(ctx, "msg-cache-size:", cache, err);
    if (st == ST_OK)
        st = set_option(ctx, "rrset-cache-size:", cache, err);
    if (st == ST_OK)
        st = set_option(ctx, "cache-max-negative-ttl:", negative, err);
    return st;
}

/* A mistake in the settings is refused, one in resolv.conf, which others write, is passed over. */
static enum status
set_servers(struct ub_ctx *ctx, const struct resolver_setup *setup, const struct source *source,
            struct err *err)
{
    size_t used = 0;

    if (!setup->stub)
        return ST_OK;
    for (size_t i = 0; i < setup->n; i++, used++)
        if (ub_ctx_set_fwd(ctx, setup->servers[i]) != 0)
            return err_set(err, ST_SYNTAX, "\"%s\" is no address of a resolver", setup->servers[i]);
    for (size_t i = 0; setup->n == 0 && i < source->n; i++) {
        if (ub_ctx_set_fwd(ctx, source->servers[i]) == 0)
            used++;
        else
            log_at(LOG_LEVEL_WARNING, "resolv.conf: \"%s\" is not used: no address", source->servers[i]);
    }
    if (used == 0 && ub_ctx_set_fwd(ctx, "127.0.0.1") != 0) /* resolv.conf(5): then it is this host */
        return err_set(err, ST_MEMORY, "no memory");
    return ST_OK;
}

static enum status
set_anchors(struct ub_ctx *ctx, const struct source *source, struct err *err)
{
    struct slice rest = buf_slice(&source->anchors);

    while (rest.n > 0) {
        char line[4096];
        struct slice one = take_until(&rest, '\n');

        (void)take_byte(&rest, '\n');
        for (size_t i = 0; i < one.n && i + 1 < sizeof(line); i++)
            line[i] = one.p[i] == '\t' ? ' ' : (char)one.p[i];
        if (one.n + 1 > sizeof(line))
            return err_set(err, ST_LIMIT, "an anchor is too long");
        line[one.n] = '\0';
        if (ub_ctx_add_ta(ctx, line) != 0)
            return err_set(err, ST_SYNTAX, "\"%.100s\" is no anchor", line);
    }
    return ST_OK;
}

static void
on_ready(struct watch *w, uint32_t events)
{
    (void)ub_process(OUTER(w, struct resolver, watch)->ctx);
}

enum status
resolver_new(struct loop *loop, const struct resolver_setup *setup, const struct source *source,
             struct resolver **resolver, struct err *err)
{
    struct resolver *r = calloc(1, sizeof(*r));
    enum status st;

    if (r == NULL)
        return err_set(err, ST_MEMORY, "no memory");
    r->loop = loop;
    r->watch = (struct watch){.ready = on_ready, .fd = -1};
    r->ctx = ub_ctx_create();
    if (r->ctx == NULL) {
        free(r);
        return err_set(err, ST_MEMORY, "libunbound does not start");
    }
    (void)ub_ctx_debugout(r->ctx, NULL); /* what it has to say is in the answers */
    st = ub_ctx_async(r->ctx, 1) == 0 ? ST_OK : err_set(err, ST_UNSUPPORTED, "libunbound has no threads");
    if (st == ST_OK)
        st = set_options(r->ctx, setup, err);
    if (st == ST_OK)
        st = set_servers(r->ctx, setup, source, err);
    if (st == ST_OK && setup->validate)
        st = set_anchors(r->ctx, source, err);
    if (st == ST_OK) {
        r->watch.fd = ub_fd(r->ctx);
        st = loop_watch(loop, &r->watch, EPOLLIN);
    }
    if (st != ST_OK) {
        resolver_free(r);
        return st;
    }
    *resolver = r;
    return ST_OK;
}

static void
question_free(struct resolver_question *q)
{
    *q->link = q->next;
    if (q->next != NULL)
        q->next->link = q->link;
    q->resolver->n--;
    free(q);
}

void
resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    loop_unwatch(resolver->loop, &resolver->watch);
    ub_ctx_delete(resolver->ctx); /* ends its thread: nothing calls back from here on */
    while (resolver->questions != NULL)
        question_free(resolver->questions);
    free(resolver);
}

static void
on_result(void *arg, int failed, struct ub_result *got)
{
    struct resolver_question *q = arg;
    struct resolver_result result = {.failed = failed != 0 || got == NULL};

    if (!result.failed) {
        result.secure = got->secure != 0;
        result.bogus = got->bogus != 0;
        result.why = got->why_bogus;
        result.message =
            slice_from(got->answer_packet, got->answer_packet != NULL ? (size_t)got->answer_len : 0);
    }
    if (q->done != NULL)
        q->done(q->arg, &result);
    question_free(q);
    ub_resolve_free(got);
}

enum status
resolver_ask(struct resolver *resolver, const char *name, uint16_t type,
             void (*done)(void *arg, const struct resolver_result *result), void *arg,
             struct resolver_question **question)
{
    struct resolver_question *q = calloc(1, sizeof(*q));
    int got, id; /* ub_cancel is not used: what libunbound works on is to be counted until it has ended */

    if (q == NULL)
        return ST_MEMORY;
    *q = (struct resolver_question){.next = resolver->questions,
                                    .link = &resolver->questions,
                                    .resolver = resolver,
                                    .done = done,
                                    .arg = arg};
    if (q->next != NULL)
        q->next->link = &q->next;
    resolver->questions = q;
    resolver->n++;
    got = ub_resolve_async(resolver->ctx, name, type, CLASS_IN, q, on_result, &id);
    if (got != 0) { /* the first question sets up all: keys that are none are found here */
        if (!resolver->failed)
            log_at(LOG_LEVEL_ERR, "libunbound: %s%s", ub_strerror(got),
                   got == UB_INITFAIL ? ": are there DS or DNSKEY records in dns_anchors?" : "");
        resolver->failed = true;
        question_free(q);
        return ST_UNAVAILABLE;
    }
    *question = q;
    return ST_OK;
}

void
resolver_cancel(struct resolver_question *question)
{
    question->done = NULL;
}

size_t
resolver_waiting(const struct resolver *resolver)
{
    return resolver->n;
}
