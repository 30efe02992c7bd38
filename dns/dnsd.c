/*
 * dnsd: resolves names for the other programs, by libunbound (resolver.h), so that they need no sockets and
 * none of the code that reads what any server of the world sends. An answer is decoded here and goes out in
 * the form of dnsmsg/record.h, with its DNSSEC state. Nothing is kept but libunbound's cache: who is left
 * without an answer by our end asks again.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/tables.h"
#include "dns/resolver.h"
#include "dnsmsg/answer.h"
#include "ipc/program.h"
#include "sys/log.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define WHY_MAX     400u         /* bytes of libunbound's words about a bogus answer */
#define TRY_TIME    SECONDS(300) /* after which validation, given up, is tried again */
#define TRY_TIMEOUT SECONDS(15)

struct question {
    struct question *next, **link;
    struct ipc_sender from;
    struct timer deadline;
    struct resolver_question *asked; /* NULL: it waits for the trial */
    uint16_t type;
    char name[DNSMSG_NAME_MAX + 1];
};

/* Do the resolvers pass on what validation needs? The root's keys are asked for, validated. */
enum trial { UNTRIED, TRYING, VALIDATES, GIVEN_UP };

static struct {
    struct source source;
    struct resolver_setup setup;
    struct resolver *resolver;
    struct resolver *trying; /* the one that is tried: `resolver` at first, later one beside it */
    struct resolver_question *asked;
    enum trial trial;
    bool automatic; /* validation is tried, else it is as setup says */
    struct timer timer;
    struct deferred decide;
    bool good; /* how the trial went */
    uint64_t timeout, waiting_max, program_max;
    uint32_t waiting[ROLE_COUNT];
    struct question *questions;
    char anchors[4200];
} self;

/* --- answers --- */

static void
question_end(struct question *q)
{
    loop_timer_stop(program_loop(), &q->deadline);
    if (q->asked != NULL)
        resolver_cancel(q->asked);
    self.waiting[q->from.role]--;
    *q->link = q->next;
    if (q->next != NULL)
        q->next->link = q->link;
    free(q);
}

static void
answer(struct ipc_sender to, const struct msg_dns_answer *m)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);

    msg_dns_answer_put(&reply, m);
    if (buf_ok(&reply))
        ipc_answer(to, ST_OK, buf_slice(&reply));
    else
        ipc_answer(to, ST_UNAVAILABLE, (struct slice){0});
}

static void
answer_without(struct ipc_sender to, enum dnsmsg_outcome outcome, const char *why)
{
    answer(to, &(struct msg_dns_answer){.outcome = (uint8_t)outcome,
                                        .security =
                                            outcome == DNSMSG_BOGUS ? DNSMSG_UNTRUSTED : DNSMSG_INDETERMINATE,
                                        .why = slice_sub(slice_of(why), 0, WHY_MAX)});
}

static uint8_t
security_of(const struct resolver_result *result)
{
    if (result->secure)
        return DNSMSG_SECURE;
    /* RFC 4033 5: without an anchor above it an answer is indeterminate */
    return self.setup.validate && self.source.root ? DNSMSG_INSECURE : DNSMSG_INDETERMINATE;
}

static const char *
rcode_text(uint8_t rcode)
{
    static const char *const texts[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};

    return rcode < COUNT(texts) ? texts[rcode] : "an unusual response code";
}

static void
answer_result(const struct question *q, const struct resolver_result *result)
{
    AUTO_BUF records = BUF_INIT(DNSMSG_RECORDS_BYTES);
    uint8_t bytes[DNSMSG_TEXT_MAX];
    struct buf name = BUF_FIXED(bytes);
    struct dnsmsg_answer got;
    enum status st;

    if (result->bogus) {
        answer_without(q->from, DNSMSG_BOGUS, result->why);
        return;
    }
    if (result->failed) {
        answer_without(q->from, DNSMSG_FAILED, "no resolver could be asked");
        return;
    }
    st = dnsmsg_answer_read(result->message, q->type, &name, &records, &got);
    if (st != ST_OK)
        answer_without(q->from, st == ST_LIMIT ? DNSMSG_TOO_MUCH : DNSMSG_FAILED,
                       st == ST_LIMIT ? "" : "a malformed answer");
    else if (got.outcome == DNSMSG_FAILED)
        answer_without(q->from, DNSMSG_FAILED, rcode_text(got.rcode));
    else
        answer(q->from, &(struct msg_dns_answer){.outcome = (uint8_t)got.outcome,
                                                 .security = security_of(result),
                                                 .ttl = got.ttl,
                                                 .name = buf_slice(&name),
                                                 .records = buf_slice(&records)});
}

static void
on_result(void *arg, const struct resolver_result *result)
{
    struct question *q = arg;

    q->asked = NULL; /* it has ended */
    if (self.trial == TRYING && (result->bogus || result->failed))
        return; /* perhaps because of us: it is asked again when that is known */
    answer_result(q, result);
    question_end(q);
}

static void
on_deadline(struct timer *t)
{
    struct question *q = OUTER(t, struct question, deadline);

    answer_without(q->from, DNSMSG_TIMEOUT, "");
    question_end(q);
}

/* False: it has been answered. */
static bool
ask(struct question *q)
{
    if (resolver_ask(self.resolver, q->name, q->type, on_result, q, &q->asked) == ST_OK)
        return true;
    q->asked = NULL;
    answer_without(q->from, DNSMSG_FAILED, "the question could not be asked");
    question_end(q);
    return false;
}

/* By another resolver than before: all, or only those that wait for the trial. */
static void
ask_again(bool all)
{
    struct question *q = self.questions, *next;

    for (; q != NULL; q = next) {
        next = q->next;
        if (q->asked != NULL && !all)
            continue;
        if (q->asked != NULL)
            resolver_cancel(q->asked);
        (void)ask(q);
    }
}

/* --- does validation work here? --- */

static void
decide_soon(bool good)
{
    self.good = good;
    self.asked = NULL;
    loop_timer_stop(program_loop(), &self.timer);
    loop_soon(program_loop(), &self.decide); /* a resolver cannot be freed while it calls back */
}

static void
on_trial(void *arg, const struct resolver_result *result)
{
    decide_soon(!result->failed && result->secure);
}

static enum status
make_resolver(bool validate, struct resolver **r, struct err *err)
{
    struct resolver_setup setup = self.setup;

    setup.validate = validate;
    return resolver_new(program_loop(), &setup, &self.source, r, err);
}

static void
on_timer(struct timer *t)
{
    struct resolver *beside;

    if (self.trial == TRYING) {
        if (self.asked != NULL)
            resolver_cancel(self.asked);
        decide_soon(false);
        return;
    }
    if (make_resolver(true, &beside, NULL) != ST_OK) {
        loop_timer(program_loop(), t, loop_now(program_loop()) + TRY_TIME);
        return;
    }
    self.trying = beside;
    loop_timer(program_loop(), t, loop_now(program_loop()) + TRY_TIMEOUT);
    if (resolver_ask(beside, ".", DNSMSG_DNSKEY, on_trial, NULL, &self.asked) != ST_OK)
        decide_soon(false);
}

static void
trial_begin(void)
{
    self.trial = TRYING;
    self.trying = self.resolver;
    loop_timer(program_loop(), &self.timer, loop_now(program_loop()) + TRY_TIMEOUT);
    if (resolver_ask(self.resolver, ".", DNSMSG_DNSKEY, on_trial, NULL, &self.asked) != ST_OK)
        decide_soon(false);
}

static void
use(struct resolver *fresh, bool validates)
{
    struct resolver *old = self.resolver;

    self.resolver = fresh;
    self.setup.validate = validates;
    ask_again(true);
    resolver_free(old);
}

static void
trial_good(void)
{
    struct resolver *tried = self.trying;

    self.trying = NULL;
    self.trial = VALIDATES;
    log_at(LOG_LEVEL_INFO, "answers are validated (DNSSEC)");
    if (tried != self.resolver)
        use(tried, true);
    else
        ask_again(false);
}

static void
trial_bad(void)
{
    struct resolver *tried = self.trying, *fresh;
    struct err err = {0};

    self.trying = NULL;
    loop_timer(program_loop(), &self.timer, loop_now(program_loop()) + TRY_TIME);
    if (tried != self.resolver) {
        resolver_free(tried);
        return;
    }
    self.trial = GIVEN_UP;
    log_at(LOG_LEVEL_WARNING,
           "the resolvers do not pass on what DNSSEC needs, or do not answer: answers are not validated; "
           "tried again every 5 minutes");
    if (make_resolver(false, &fresh, &err) == ST_OK) {
        use(fresh, false);
    } else {
        log_at(LOG_LEVEL_ERR, "%s", err.text);
        ask_again(false);
    }
}

static void
on_decide(struct deferred *d)
{
    if (self.trying == NULL)
        return; /* a reload came between */
    if (self.good)
        trial_good();
    else
        trial_bad();
}

/* --- questions --- */

static bool
take_question(const struct ipc_request *r, const struct msg_dns_ask *m)
{
    struct question *q = calloc(1, sizeof(*q));
    uint64_t within = m->within == 0 ? self.timeout : MSEC(m->within);

    if (q == NULL)
        return false;
    q->from = r->from;
    q->type = m->type;
    memcpy(q->name, m->name.p, m->name.n); /* checked: it fits, and has no NUL */
    q->next = self.questions;
    q->link = &self.questions;
    if (q->next != NULL)
        q->next->link = &q->next;
    self.questions = q;
    self.waiting[r->from.role]++;
    q->deadline.fire = on_deadline;
    loop_timer(program_loop(), &q->deadline,
               loop_now(program_loop()) + (within < self.timeout ? within : self.timeout));
    if (self.automatic && self.trial == UNTRIED)
        trial_begin();
    (void)ask(q);
    return true;
}

static enum status
on_ask(struct ipc_request *r)
{
    struct msg_dns_ask m;

    if (!msg_dns_ask_get(r->payload, &m) || dnsmsg_type_name(m.type) == NULL)
        return ST_SYNTAX;
    if (m.name.n > DNSMSG_NAME_MAX || dnsmsg_name_check(m.name) != ST_OK)
        answer_without(r->from, DNSMSG_BAD_NAME, "");
    else if (self.waiting[r->from.role] >= self.program_max ||
             resolver_waiting(self.resolver) >= self.waiting_max || !take_question(r, &m))
        ipc_answer(r->from, ST_UNAVAILABLE, (struct slice){0});
    return ST_OK;
}

static void
on_peer_gone(enum role role, uint32_t instance)
{
    struct question *q = self.questions, *next;

    for (; q != NULL; q = next) {
        next = q->next;
        if (q->from.role == role && q->from.instance == instance)
            question_end(q);
    }
}

/* --- settings --- */

static enum status
put_server(const struct conf_address *a, char to[SOURCE_ADDRESS_MAX], struct err *err)
{
    char ip[INET6_ADDRSTRLEN];

    if (a->bits != (a->family == 4 ? 32 : 128) ||
        inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip)) == NULL)
        return err_set(err, ST_SYNTAX, "dns_servers: an address of a resolver is no network");
    (void)snprintf(to, SOURCE_ADDRESS_MAX, "%s@%u", ip, a->port != 0 ? a->port : 53u);
    return ST_OK;
}

static enum status
setup_of(const struct dns_settings *got, struct resolver_setup *setup, bool *automatic, struct err *err)
{
    bool full = slice_eq(got->dns_mode, SLICE("full")), no = slice_eq(got->dns_validate, SLICE("no"));
    enum status st = ST_OK;

    *automatic = slice_eq(got->dns_validate, SLICE("auto"));
    if (!full && !slice_eq(got->dns_mode, SLICE("stub")))
        return err_set(err, ST_SYNTAX, "dns_mode: stub or full");
    if (!no && !*automatic && !slice_eq(got->dns_validate, SLICE("yes")))
        return err_set(err, ST_SYNTAX, "dns_validate: yes, no or auto");
    if (full && got->dns_servers.n > 0)
        return err_set(err, ST_SYNTAX, "dns_servers are for dns_mode = stub");
    if (!no && !*automatic && self.source.anchors.n == 0)
        return err_set(err, ST_SYNTAX, "dns_validate = yes: there are no keys in dns_anchors");
    if (self.source.anchors.n == 0 || full) /* the servers of domains that are signed pass it on */
        *automatic = false;
    *setup = (struct resolver_setup){
        .stub = !full,
        .validate = !no && self.source.anchors.n > 0,
        .cache = got->dns_cache,
        .negative_ttl = got->dns_negative_ttl,
    };
    for (size_t i = 0; st == ST_OK && i < got->dns_servers.n && i < SOURCE_SERVERS_MAX; i++)
        st = put_server(&got->dns_servers.at[i], setup->servers[setup->n++], err);
    return st;
}

/* Builds a resolver anew: what libunbound remembers is lost, and what waits is asked again. */
static enum status
load(struct slice text, struct err *err)
{
    struct dns_settings got;
    struct resolver_setup setup = {0};
    struct resolver *fresh;
    bool automatic;
    enum status st = conf_load(&dns_conf, "estafeta.conf", text, &got, sizeof(got), err);

    if (st == ST_OK)
        st = setup_of(&got, &setup, &automatic, err);
    if (st == ST_OK && !slice_eq(got.dns_anchors, slice_of(self.anchors)))
        st = err_set(err, ST_STATE, "dns_anchors: another file is read when the system is started anew");
    if (st == ST_OK)
        st = resolver_new(program_loop(), &setup, &self.source, &fresh, err);
    if (st != ST_OK)
        return st;
    self.timeout = got.dns_timeout;
    self.waiting_max = got.dns_waiting;
    self.program_max = got.dns_waiting_per_program;
    self.automatic = automatic;
    loop_timer_stop(program_loop(), &self.timer);
    if (self.trying != self.resolver)
        resolver_free(self.trying);
    self.trying = NULL;
    self.asked = NULL;
    self.trial = UNTRIED;
    self.setup = setup;
    use(fresh, setup.validate);
    return ST_OK;
}

static enum status
dnsd_open(struct err *err)
{
    struct dns_settings got;
    enum status st = conf_load(&dns_conf, "estafeta.conf", program_settings(), &got, sizeof(got), err);

    if (st != ST_OK)
        return st;
    if (!slice_to_cstr(got.dns_anchors, self.anchors, sizeof(self.anchors)))
        return err_set(err, ST_SYNTAX, "dns_anchors is no file's name");
    self.source.anchors = BUF_INIT(SOURCE_FILE_MAX);
    /* What is wrong with files of others does not keep the system from starting. */
    if (source_servers(RESOLV_CONF, &self.source, err) != ST_OK)
        log_at(LOG_LEVEL_ERR, "%s", err->text);
    st = source_anchors(self.anchors, &self.source, err);
    if (st == ST_NOTFOUND && !slice_eq(got.dns_validate, SLICE("no")))
        log_at(LOG_LEVEL_WARNING, "there is no %s (Debian's dns-root-data): answers are not validated",
               self.anchors);
    else if (st != ST_OK && st != ST_NOTFOUND)
        log_at(LOG_LEVEL_ERR, "answers are not validated: %s", err->text);
    return ST_OK;
}

static enum status
dnsd_start(struct err *err)
{
    self.timer.fire = on_timer;
    self.decide.run = on_decide;
    return load(program_settings(), err);
}

/* message, who may send it, handler, with a descriptor; all else closes the channel */
static const struct ipc_route routes[] = {
    {MSG_DNS_ASK, ROLE_BIT(SMTP) | ROLE_BIT(CTL), on_ask, false},
    {0    },
};

int
main(int argc, char **argv)
{
    static const struct program program = {.role = ROLE_DNS,
                                           .routes = routes,
                                           .open = dnsd_open,
                                           .start = dnsd_start,
                                           .reload = load,
                                           .peer_gone = on_peer_gone};

    return program_main(&program, argc, argv);
}
