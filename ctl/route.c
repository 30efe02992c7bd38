/* route: where mail for an address goes, and why. lib/route decides; the tables are read here, accounts are
 * asked of stored. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/routes.h"
#include "ctl/handlers.h"
#include "ctl/session.h"
#include "root/root.h"
#include "store/request.h"
#include "sys/fd.h"

#define TABLE_MAX  (64u << 20) /* bytes of one table's text */
#define ARENA_MAX  (512u << 20)
#define ASK_WITHIN SECONDS(60)

struct route_work {
    struct arena arena;
    struct route_settings settings;
    struct routes routes;
    struct route_question question;
    const char *address;
    int status;
};

/* --- tables --- */

static void
complain(void *arg, struct slice file, uint32_t line, const char *words)
{
    (void)arg;
    (void)fprintf(stderr, "estafeta: %.*s:%u: %s\n", SLICE_ARG(file), line, words);
}

/* Nothing when it is not there. */
static enum status
read_table(struct arena *a, const char *root, struct slice name, struct slice *text, struct err *err)
{
    char relative[1000], path[4096];
    AUTO_FD fd = -1;
    struct stat st;
    uint8_t *p;

    if (name.n == 0)
        return ST_OK;
    if (!slice_to_cstr(name, relative, sizeof(relative)))
        return err_set(err, ST_SYNTAX, "%s is no file's name", relative);
    if (relative[0] == '/')
        (void)snprintf(path, sizeof(path), "%s", relative);
    else if (root_path(root, relative, path, err) != ST_OK)
        return err->status;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? ST_OK : err_sys(err, "%s", path);
    if (fstat(fd, &st) != 0)
        return err_sys(err, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)TABLE_MAX)
        return err_set(err, ST_LIMIT, "%s is no file, or has more than %u bytes", path, TABLE_MAX);
    p = arena_alloc(a, (size_t)st.st_size);
    if (p == NULL)
        return err_set(err, ST_MEMORY, "no memory");
    if (!read_all(fd, p, (size_t)st.st_size))
        return err_set(err, ST_IO, "%s cannot be read", path);
    *text = slice_from(p, (size_t)st.st_size);
    return ST_OK;
}

static enum status
make_tables(struct route_work *w, const char *root, const char *conf, struct slice text, struct err *err)
{
    struct slice texts[ROUTES_FILES] = {{0}};
    size_t wrong;
    enum status st = conf_load(&route_conf, conf, text, &w->settings, sizeof(w->settings), err);

    for (size_t i = 0; st == ST_OK && i < ROUTES_FILES; i++)
        st = read_table(&w->arena, root, routes_file(&w->settings, (enum routes_file)i), &texts[i], err);
    if (st == ST_OK &&
        routes_make(&w->routes, &w->arena, &w->settings, texts, complain, NULL, &wrong) != ST_OK)
        st = err_set(err, ST_MEMORY, "no memory for the tables");
    return st;
}

/* --- accounts --- */

static enum status
ask_account(struct session *s, struct route *r, struct err *err)
{
    AUTO_BUF m = BUF_INIT(4096), reply = BUF_INIT(4096);
    struct route_fact fact = {0};
    struct rcpt_found found;

    rcpt_check_put(&m, &(struct rcpt_check){r->need.key, 0});
    fact.status = buf_ok(&m) ? session_ask(s, ROLE_STORE, (enum msg)MSG_RCPT_CHECK, buf_slice(&m), ASK_WITHIN,
                                           &reply, err)
                             : ST_NOTFOUND;
    if (fact.status == ST_DENIED) /* stored knows no such domain */
        fact.status = ST_NOTFOUND;
    if (fact.status == ST_OK) {
        if (!rcpt_found_get(buf_slice(&reply), &found))
            return err_set(err, ST_CORRUPT, "stored gave no answer that can be read");
        fact.account = found.account;
        fact.name = found.name;
        fact.detail = found.detail;
    } else if (fact.status != ST_NOTFOUND && fact.status != ST_QUOTA) {
        return fact.status;
    }
    return route_tell(r, &fact) ? ST_OK : err_set(err, ST_MEMORY, "no memory");
}

/* --- words --- */

static void
print_steps(const struct route *r, uint32_t step)
{
    const struct route_step *s;

    if (step == ROUTE_NO_STEP || step >= r->n_steps)
        return;
    s = &r->steps[step];
    if (s->from < step) /* what came before is printed before */
        print_steps(r, s->from);
    (void)printf("    %s", s->table);
    if (s->row.line > 0 && s->row.file.n > 0)
        (void)printf(" (%.*s:%u)", SLICE_ARG(s->row.file), s->row.line);
    (void)printf(": %.*s", SLICE_ARG(s->key));
    if (s->row.value.n > 0)
        (void)printf(" -> %.*s", SLICE_ARG(s->row.value));
    (void)printf("\n");
}

static void
print_relay(const struct route_to *to)
{
    (void)printf("relay %.*s@%.*s", SLICE_ARG(to->local), SLICE_ARG(to->domain));
    for (size_t i = 0; i < to->n_hops; i++) {
        (void)printf("%s %.*s%s", i == 0 ? " by" : ",", SLICE_ARG(to->hops[i].host),
                     to->hops[i].mx ? " (MX)" : "");
        if (to->hops[i].port != 0)
            (void)printf(" port %u", to->hops[i].port);
    }
    if (to->n_hops == 0)
        (void)printf(" by MX");
}

static void
print_to(const struct route_to *to)
{
    switch (to->kind) {
    case ROUTE_MAILBOX:
        (void)printf("mailbox %.*s%s%.*s", SLICE_ARG(to->name), to->detail.n > 0 ? " detail " : "",
                     SLICE_ARG(to->detail));
        break;
    case ROUTE_RELAY:
        print_relay(to);
        break;
    case ROUTE_PROGRAM:
        (void)printf("program %.*s", SLICE_ARG(to->text));
        break;
    case ROUTE_FILE:
        (void)printf("file %.*s", SLICE_ARG(to->text));
        break;
    case ROUTE_INCLUDE:
        (void)printf("list %.*s", SLICE_ARG(to->text));
        break;
    case ROUTE_ERROR:
        (void)printf("error %u %.*s %.*s", to->code, SLICE_ARG(to->enhanced), SLICE_ARG(to->text));
        break;
    case ROUTE_DISCARD:
        (void)printf("discard");
        break;
    }
    if (to->owner.n > 0)
        (void)printf(", from %.*s", SLICE_ARG(to->owner));
    (void)printf("\n");
}

static int
route_work(struct session *s, void *arg)
{
    struct route_work *w = arg;
    struct route r;
    struct err err = {0};
    enum status st;
    int status = EX_OK;

    route_begin(&r, &w->routes.tables, &w->question, &w->arena);
    while ((st = route_step(&r)) == ST_MORE) {
        st = ask_account(s, &r, &err);
        if (st != ST_OK)
            return fail_err(&err);
    }
    if (st != ST_OK)
        return fail(EX_OSERR, "no memory: the address leads to too many");
    for (const struct route_to *to = r.first; to != NULL; to = to->next) {
        print_to(to);
        print_steps(&r, to->step);
        if (to->kind == ROUTE_ERROR && status != EX_UNAVAILABLE)
            status = to->code < 500 ? EX_TEMPFAIL : EX_UNAVAILABLE;
    }
    return status;
}

/* --- the command --- */

static bool
read_client(const char *text, uint8_t ip[16])
{
    uint8_t v4[4];

    if (inet_pton(AF_INET6, text, ip) == 1)
        return true;
    if (inet_pton(AF_INET, text, v4) != 1)
        return false;
    memset(ip, 0, 10);
    ip[10] = ip[11] = 0xff;
    memcpy(ip + 12, v4, 4);
    return true;
}

int
do_route(const struct invocation *in)
{
    AUTO_BUF text = BUF_INIT(ROOT_TEXT_MAX + 1);
    struct route_work w = {.arena = ARENA_INIT(ARENA_MAX), .address = in->args[0]};
    struct master_settings master;
    uint8_t client[16];
    char conf[4096];
    struct err err = {0};
    int status;

    if (route_address_parse(&w.arena, slice_of(w.address), &w.question.local, &w.question.domain) != ST_OK) {
        arena_done(&w.arena);
        return fail(EX_USAGE, "\"%s\" is no address", w.address);
    }
    w.question.from = ROUTE_FROM_QUEUE;
    if (in->options[0] != NULL || in->options[1] != NULL) {
        w.question.from = ROUTE_FROM_CLIENT;
        w.question.authenticated = in->options[1] != NULL;
    }
    if (in->options[0] != NULL && !read_client(in->options[0], client)) {
        arena_done(&w.arena);
        return fail(EX_USAGE, "\"%s\" is no IP address", in->options[0]);
    }
    w.question.client = in->options[0] != NULL ? client : NULL;
    if (root_path(in->root, ROOT_CONF, conf, &err) != ST_OK ||
        root_read_conf(conf, &text, &master, &err) != ST_OK ||
        make_tables(&w, in->root, conf, buf_slice(&text), &err) != ST_OK)
        status = fail_err(&err);
    else
        status = session_run(in->root, route_work, &w);
    arena_done(&w.arena);
    return status;
}
