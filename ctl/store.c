/*
 * check, rebuild, backup, restore, compact, dump. With the system running they are asked of
 * stored; with the system down stored itself is run in its offline mode, as the user that owns the store.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/handlers.h"
#include "ctl/session.h"
#include "root/root.h"
#include "store/request.h"

#define LONG SECONDS(24 * 3600) /* a large store is read from end to end */

/* --- offline --- */

/* Becomes the user that owns the store: what is made then belongs to him, and a damaged store can do no more
 * than it could to stored. */
static enum status
become_owner(const char *root, struct err *err)
{
    struct stat st;
    char path[4096];

    if (geteuid() != 0)
        return ST_OK;
    if (root_path(root, "store", path, err) != ST_OK)
        return err->status;
    if (stat(path, &st) != 0)
        return err_sys(err, "%s", path);
    if (st.st_uid == 0)
        return ST_OK;
    if (setgroups(0, NULL) != 0 || setgid(st.st_uid) != 0 || setuid(st.st_uid) != 0)
        return err_sys(err, "cannot become user %u", (unsigned)st.st_uid);
    return ST_OK;
}

/* Runs stored in this process' place. The lock stays with it: nobody starts the system meanwhile. */
static int
run_offline(const struct invocation *in, const char *mode, const char *folder)
{
    AUTO_BUF text = BUF_INIT(ROOT_TEXT_MAX + 1);
    struct master_settings master;
    char programs[4096], path[4096], conf[4096], given[4096];
    const char *argv[] = {"stored", "--root", ".", "--offline", mode, NULL, NULL};
    struct err err = {0};
    int lock = -1;

    if (root_path(in->root, ROOT_CONF, conf, &err) != ST_OK ||
        root_read_conf(conf, &text, &master, &err) != ST_OK ||
        root_make(in->root, master.uid_base, &err) != ST_OK)
        return fail(EX_CONFIG, "%s", err.text);
    if (folder != NULL && root_absolute(folder, given, &err) != ST_OK)
        return fail_err(&err);
    argv[5] = folder != NULL ? given : NULL;
    if (root_lock(in->root, &lock, &err) != ST_OK)
        return fail(EX_TEMPFAIL, "%s: %s", mode, err.text);
    if (root_programs(programs, &err) != ST_OK ||
        root_path(programs, role_name(ROLE_STORE), path, &err) != ST_OK)
        return fail_err(&err);
    /* The root is the current folder, as it is for all programs: its user may be barred from the folders
     * above it. */
    if (!root_lock_name(lock) || fcntl(lock, F_SETFD, 0) != 0 || chdir(in->root) != 0)
        return fail(EX_OSERR, "%s: %s", in->root, strerror(errno));
    if (become_owner(in->root, &err) != ST_OK)
        return fail_err(&err);
    (void)fflush(NULL);
    (void)execv(path, (char *const *)(uintptr_t)argv);
    return fail(EX_UNAVAILABLE, "cannot run %s: %s", path, strerror(errno));
}

/* --- online --- */

struct store_work {
    enum store_msg type;
    struct slice name; /* of the backup; else empty */
};

static int
text_work(struct session *s, void *arg)
{
    const struct store_work *w = arg;
    AUTO_BUF m = BUF_INIT(4096), reply = BUF_INIT(IPC_PAYLOAD_MAX);
    struct msg_text text = {0};
    struct err err = {0};
    enum status st;

    if (w->name.n > 0)
        msg_name_put(&m, &(struct msg_name){w->name});
    st = session_ask(s, ROLE_STORE, (enum msg)w->type, buf_slice(&m), LONG, &reply, &err);
    if (msg_text_get(buf_slice(&reply), &text) && text.text.n > 0) {
        (void)fwrite(text.text.p, 1, text.text.n, stdout);
        if (text.text.p[text.text.n - 1] != '\n')
            (void)fputc('\n', stdout);
    }
    if (st == ST_CORRUPT)
        return fail(EX_DATAERR, "the store is damaged");
    return st == ST_OK ? EX_OK : fail_err(&err);
}

static int
online(const struct invocation *in, enum store_msg type, struct slice name)
{
    struct store_work work = {type, name};

    return session_run(in->root, text_work, &work);
}

int
do_check(const struct invocation *in)
{
    return session_possible(in->root) ? online(in, MSG_STORE_CHECK, (struct slice){0})
                                      : run_offline(in, "check", NULL);
}

int
do_compact(const struct invocation *in)
{
    return online(in, MSG_STORE_COMPACT, (struct slice){0});
}

static int
refuse_running(const struct invocation *in, const char *what)
{
    return fail(EX_TEMPFAIL, "%s wants the system stopped: estafeta --root %s stop", what, in->root);
}

int
do_rebuild(const struct invocation *in)
{
    return session_possible(in->root) ? refuse_running(in, "rebuild") : run_offline(in, "rebuild", NULL);
}

int
do_restore(const struct invocation *in)
{
    return session_possible(in->root) ? refuse_running(in, "restore")
                                      : run_offline(in, "restore", in->args[0]);
}

/* stored may write below ROOT/backup and nowhere else: DIR is a name there, or a path that leads there. */
int
do_backup(const struct invocation *in)
{
    struct slice name = slice_of(in->args[0]);
    char below[4096], given[4096];
    struct err err = {0};

    if (slice_find(name, '/') < name.n) {
        if (root_path(in->root, "backup/", below, &err) != ST_OK ||
            root_absolute(in->args[0], given, &err) != ST_OK)
            return fail_err(&err);
        name = slice_of(given);
        if (!take_literal(&name, slice_of(below)))
            return fail(EX_USAGE,
                        "backup: a backup is made below %s, for stored may write nowhere else; give a name "
                        "there, and copy "
                        "the folder to where you want it",
                        below);
    }
    if (name.n == 0 || slice_find(name, '/') < name.n || slice_starts(name, '.'))
        return fail(EX_USAGE, "backup: \"%s\" is no name for a folder", in->args[0]);
    return online(in, MSG_STORE_BACKUP, name);
}

static int
dump_work(struct session *s, void *arg)
{
    AUTO_BUF m = BUF_INIT(70u * 1024u), reply = BUF_INIT(IPC_PAYLOAD_MAX), after = BUF_INIT(64u * 1024u);
    struct msg_rows rows = {.more = 1};
    struct dump_row row;
    struct err err = {0};

    while (rows.more) {
        bool any = false;

        buf_clear(&m);
        msg_page_put(&m, &(struct msg_page){buf_slice(&after), 0});
        if (session_ask(s, ROLE_STORE, (enum msg)MSG_STORE_DUMP, buf_slice(&m), CTL_DEADLINE, &reply, &err) != ST_OK)
            return fail_err(&err);
        if (!msg_rows_get(buf_slice(&reply), &rows))
            return fail(EX_SOFTWARE, "an answer of stored that is not understood");
        for (; dump_row_take(&rows.rows, &row); any = true) {
            (void)fwrite(row.line.p, 1, row.line.n, stdout);
            buf_clear(&after);
            buf_put(&after, row.key);
        }
        if (rows.rows.n != 0 || (rows.more && !any))
            return fail(EX_SOFTWARE, "an answer of stored that is not understood");
    }
    return EX_OK;
}

int
do_dump(const struct invocation *in)
{
    return session_possible(in->root) ? session_run(in->root, dump_work, NULL)
                                      : run_offline(in, "dump", NULL);
}
