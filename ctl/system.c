/* start, stop, status, reload. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/handlers.h"
#include "ctl/session.h"
#include "root/root.h"

#define STOP_WITHIN SECONDS(90) /* each step of the table has ten seconds */

int
do_start(const struct invocation *in)
{
    char folder[4096], path[4096];
    const char *argv[8] = {"estafetad", "--root", in->root};
    size_t n = 3;
    struct err err = {0};

    if (root_programs(folder, &err) != ST_OK || root_path(folder, "estafetad", path, &err) != ST_OK)
        return fail(EX_UNAVAILABLE, "%s", err.text);
    if (in->options[0] != NULL)
        argv[n++] = "--foreground";
    if (in->options[1] != NULL) {
        argv[n++] = "--programs";
        argv[n++] = in->options[1];
    }
    argv[n] = NULL;
    (void)execv(path, (char *const *)(uintptr_t)argv);
    return fail(EX_UNAVAILABLE, "cannot run %s: %s", path, strerror(errno));
}

static int
stop_work(struct session *s, void *arg)
{
    struct err err = {0};
    uint64_t until = loop_now(s->loop) + STOP_WITHIN;

    if (session_ask(s, ROLE_MASTER, MSG_ADMIN_STOP, (struct slice){0}, SECONDS(10), NULL, &err) != ST_OK)
        return fail_err(&err);
    while (channel_open(s->master)) { /* its end is the system's end */
        if (loop_now(s->loop) > until)
            return fail(EX_TEMPFAIL, "still stopping; see: estafeta status");
        fiber_sleep_until(loop_now(s->loop) + MSEC(20));
    }
    return EX_OK;
}

int
do_stop(const struct invocation *in)
{
    if (!session_possible(in->root) && (errno == ENOENT || errno == ECONNREFUSED)) {
        (void)printf("the system at %s is not running\n", in->root);
        return EX_OK;
    }
    return session_run(in->root, stop_work, NULL);
}

static int
print_text(const struct buf *reply)
{
    struct msg_text m;

    if (!msg_text_get(buf_slice(reply), &m))
        return fail(EX_SOFTWARE, "an answer that is not understood");
    (void)fwrite(m.text.p, 1, m.text.n, stdout);
    return EX_OK;
}

static int
status_work(struct session *s, void *arg)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct err err = {0};

    if (session_ask(s, ROLE_MASTER, MSG_ADMIN_STATUS, (struct slice){0}, SECONDS(10), &reply, &err) != ST_OK)
        return fail_err(&err);
    return print_text(&reply);
}

int
do_status(const struct invocation *in)
{
    return session_run(in->root, status_work, NULL);
}

static int
reload_work(struct session *s, void *arg)
{
    AUTO_BUF reply = BUF_INIT(IPC_INLINE);
    struct err err = {0};
    enum status st =
        session_ask(s, ROLE_MASTER, MSG_ADMIN_RELOAD, (struct slice){0}, CTL_DEADLINE, &reply, &err);
    struct msg_text m;

    if (st == ST_OK)
        return print_text(&reply);
    if (msg_text_get(buf_slice(&reply), &m) && m.text.n > 0) {
        (void)fail(EX_CONFIG, "the old settings stay:");
        (void)fwrite(m.text.p, 1, m.text.n, stderr);
        return EX_CONFIG;
    }
    return fail_err(&err);
}

int
do_reload(const struct invocation *in)
{
    return session_run(in->root, reload_work, NULL);
}
