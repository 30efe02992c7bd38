/* Accounts: at stored they are mailboxes, at authd secrets; each command keeps both in step. */
#include <stdlib.h>

#include "conf/batch.h"
#include "conf/value.h"
#include "ctl/handlers.h"
#include "ctl/password.h"
#include "ctl/session.h"
#include "mime/nfc.h"
#include "root/root.h"
#include "store/request.h"

#define BATCH_TEXT_MAX (32u * 1024u * 1024u)
#define BATCH_WORKERS  24u /* requests in flight: authd hashes in threads, stored shares a flush among them  \
                            */
#define ASK_WITHIN   SECONDS(60)
#define PURGE_WITHIN SECONDS(3600)

struct full_name {
    char text[BATCH_NAME_MAX + 1];
};

static struct slice
slice_of_name(const struct full_name *n)
{
    return slice_of(n->text);
}

/* --- names --- */

static enum status
read_domain(const char *root, struct buf *text, struct slice *domain, struct err *err)
{
    struct master_settings master;
    struct store_settings store;
    char path[4096];
    enum status st = root_path(root, ROOT_CONF, path, err);

    if (st == ST_OK)
        st = root_read_conf(path, text, &master, err);
    if (st == ST_OK)
        st = conf_load(&store_conf, path, buf_slice(text), &store, sizeof(store), err);
    if (st == ST_OK)
        *domain = store.domain;
    return st;
}

/* An account is always "user@domain" in lower case and composed (docs/architecture.md, decision 9). */
static enum status
full_name(struct slice given, struct slice domain, struct full_name *out, struct err *err)
{
    bool has = slice_find(given, '@') < given.n;
    uint8_t composed[BATCH_NAME_MAX];
    struct buf nfc = BUF_FIXED(composed);
    char shown[100];
    size_t n;

    (void)slice_to_cstr(slice_sub(given, 0, sizeof(shown) - 1), shown, sizeof(shown));
    if (given.n == 0 || slice_starts(given, '@'))
        return err_set(err, ST_SYNTAX, "\"%s\" is no account's name", shown);
    for (size_t i = 0; i < given.n; i++)
        if (given.p[i] <= ' ' || given.p[i] == 0x7f || given.p[i] == '+')
            return err_set(err, ST_SYNTAX,
                           "\"%s\" is no account's name: it has a space, a control character or a +", shown);
    n = given.n + (has ? 0 : 1 + domain.n);
    if (n <= BATCH_NAME_MAX && mime_put_nfc(given, &nfc)) {
        given = buf_slice(&nfc);
        n = given.n + (has ? 0 : 1 + domain.n);
    }
    if (n > BATCH_NAME_MAX || !buf_ok(&nfc))
        return err_set(err, ST_LIMIT, "\"%s...\" is longer than %u bytes", shown, BATCH_NAME_MAX);
    memcpy(out->text, given.p, given.n);
    if (!has) {
        out->text[given.n] = '@';
        memcpy(out->text + given.n + 1, domain.p, domain.n);
    }
    for (size_t i = 0; i < n; i++)
        out->text[i] = (char)ascii_lower((uint8_t)out->text[i]);
    out->text[n] = '\0';
    return ST_OK;
}

static enum status
full_name_arg(const struct invocation *in, struct full_name *out, struct err *err)
{
    AUTO_BUF text = BUF_INIT(ROOT_TEXT_MAX + 1);
    struct slice domain = {0};
    enum status st = read_domain(in->root, &text, &domain, err);

    return st == ST_OK ? full_name(slice_of(in->args[0]), domain, out, err) : st;
}

/* --- one account --- */

struct user_work {
    struct full_name name;
    struct slice password;
    uint64_t quota;
    bool purge;
};

static enum status
add_account(struct session *s, struct slice name, uint64_t quota, struct err *err)
{
    AUTO_BUF m = BUF_INIT(1024);
    enum status st;

    account_add_put(&m, &(struct account_add){name, quota});
    st = session_ask(s, ROLE_STORE, (enum msg)MSG_ACCOUNT_ADD, buf_slice(&m), ASK_WITHIN, NULL, err);
    if (st == ST_EXISTS)
        return err_set(err, st, "%.*s is there already; \"estafeta user passwd\" gives it another password",
                       SLICE_ARG(name));
    return st;
}

static enum status
set_secret(struct session *s, struct slice name, struct slice password, uint8_t create, struct err *err)
{
    AUTO_SECRET m = BUF_INIT(4096);
    enum status st;

    if (buf_reserve(&m, m.max) == NULL) /* no copies left behind by growing */
        return err_set(err, ST_MEMORY, "no memory");
    msg_secret_set_put(&m, &(struct msg_secret_set){name, password, create});
    st = session_ask(s, ROLE_AUTH, MSG_SECRET_SET, buf_slice(&m), ASK_WITHIN, NULL, err);
    if (st == ST_SYNTAX)
        return err_set(err, st,
                       "%.*s: the password must be UTF-8 without control characters, 1 to 1024 bytes",
                       SLICE_ARG(name));
    return st;
}

static enum status
delete_account(struct session *s, struct slice name, bool purge, struct err *err)
{
    AUTO_BUF m = BUF_INIT(1024);

    account_delete_put(&m, &(struct account_delete){name, purge});
    return session_ask(s, ROLE_STORE, (enum msg)MSG_ACCOUNT_DELETE, buf_slice(&m),
                       purge ? PURGE_WITHIN : ASK_WITHIN, NULL, err);
}

/* The account first, for without it a password opens nothing; taken back when the secret cannot be made. A
 * secret that is there without its account is left over from a removal that did not end, and is replaced. */
static enum status
add_user(struct session *s, struct slice name, struct slice password, uint64_t quota, struct err *err)
{
    enum status st = add_account(s, name, quota, err), undone;
    struct err undo = {0};

    if (st != ST_OK)
        return st;
    st = set_secret(s, name, password, 2, err);
    if (st == ST_OK)
        return ST_OK;
    undone = delete_account(s, name, false, &undo);
    if (undone != ST_OK)
        return err_set(err, st,
                       "%.*s has an account but no password (%.80s), and taking it back failed (%.60s): give "
                       "it one with "
                       "\"estafeta user passwd\", or remove it with \"estafeta user del\"",
                       SLICE_ARG(name), status_text(st), undo.text);
    return st;
}

static enum status
parse_size(const char *given, uint64_t *out, struct err *err)
{
    union conf_value v;

    if (strcmp(given, "none") == 0) {
        *out = 0;
        return ST_OK;
    }
    if (conf_value_parse(SETTING_bytesize, slice_of(given), &v) != ST_OK || v.number == 0)
        return err_set(err, ST_SYNTAX, "\"%s\" is no size: 500M, 2G, a number of bytes, or none", given);
    *out = v.number;
    return ST_OK;
}

/* --- user add --batch --- */

struct batch_work {
    struct session *s;
    struct batch batch;
    struct slice domain;
    uint64_t quota;
    size_t added, failed, running;
    struct wait all;
};

static void
batch_worker(void *arg)
{
    struct batch_work *b = arg;
    struct batch_row row;
    struct err err = {0};
    enum status st;

    while ((st = batch_next(&b->batch, &row, &err)) != ST_NOTFOUND) {
        size_t line = b->batch.line;
        struct full_name name;

        if (st == ST_OK)
            st = full_name(row.name, b->domain, &name, &err);
        if (st == ST_OK)
            st = add_user(b->s, slice_of_name(&name), row.password, b->quota, &err);
        if (st == ST_OK)
            b->added++;
        else if (b->failed++ < 100)
            (void)fail(0, "%s:%zu: %s", b->batch.file, line, err.text);
        err = (struct err){0};
    }
    if (--b->running == 0)
        wait_end(&b->all, ST_OK);
}

/* All the lines are judged before the first account is made. */
static int
judge_batch(struct batch batch, struct slice domain)
{
    struct batch_row row;
    struct err err = {0};
    enum status st;
    int status = EX_OK;

    while ((st = batch_next(&batch, &row, &err)) != ST_NOTFOUND) {
        struct full_name name;
        struct err why = {0};

        if (st != ST_OK)
            status = fail(EX_DATAERR, "%s", err.text);
        else if (full_name(row.name, domain, &name, &why) != ST_OK)
            status = fail(EX_DATAERR, "%s:%zu: %s", batch.file, batch.line, why.text);
    }
    if (status != EX_OK)
        (void)fail(0, "no account was made");
    return status;
}

static int
batch_add_work(struct session *s, void *arg)
{
    struct batch_work *b = arg;
    uint64_t begun = clock_mono();

    b->s = s;
    b->running = 1; /* this fiber, so that a worker that ends at once does not end all */
    for (size_t i = 0; i < BATCH_WORKERS; i++) {
        b->running++;
        if (fiber_spawn(s->loop, batch_worker, b) != ST_OK)
            b->running--;
    }
    if (--b->running > 0 && wait_for(&b->all, NEVER /* each request has its own deadline */) != ST_OK)
        return fail(EX_SOFTWARE, "interrupted");
    (void)printf("%zu accounts added, %zu failed, in %.1f s\n", b->added, b->failed,
                 (double)(clock_mono() - begun) / 1e9);
    return b->failed == 0 ? EX_OK : EX_CANTCREAT;
}

static int
add_batch(const struct invocation *in, uint64_t quota)
{
    AUTO_SECRET file = BUF_INIT(BATCH_TEXT_MAX);
    AUTO_BUF conf = BUF_INIT(ROOT_TEXT_MAX + 1);
    struct batch_work work = {.quota = quota};
    const char *name = in->options[0];
    struct err err = {0};
    int status;

    if (read_domain(in->root, &conf, &work.domain, &err) != ST_OK || file_read(name, &file, &err) != ST_OK)
        return fail_err(&err);
    batch_init(&work.batch, strcmp(name, "-") == 0 ? "standard input" : name, buf_slice(&file));
    status = judge_batch(work.batch, work.domain);
    return status == EX_OK ? session_run(in->root, batch_add_work, &work) : status;
}

/* --- user add, del, passwd, quota --- */

static int
add_work(struct session *s, void *arg)
{
    const struct user_work *w = arg;
    struct err err = {0};

    if (add_user(s, slice_of_name(&w->name), w->password, w->quota, &err) != ST_OK)
        return fail_err(&err);
    (void)printf("%s added\n", w->name.text);
    return EX_OK;
}

int
do_user_add(const struct invocation *in)
{
    AUTO_SECRET password = BUF_INIT(BATCH_PASSWORD_MAX + 16);
    struct user_work work = {0};
    struct err err = {0};

    if (in->options[2] != NULL && parse_size(in->options[2], &work.quota, &err) != ST_OK)
        return fail_err(&err);
    if ((in->options[0] != NULL) == (in->args[0] != NULL) ||
        (in->options[0] != NULL && in->options[1] != NULL))
        return fail(EX_USAGE, "user add: wants either a NAME or --batch FILE");
    if (in->options[0] != NULL)
        return add_batch(in, work.quota);
    if (full_name_arg(in, &work.name, &err) != ST_OK)
        return fail_err(&err);
    if (!session_possible(in->root)) /* before anybody types a password for nothing */
        return session_run(in->root, add_work, &work);
    if (password_read(in->options[1], work.name.text, &password, &err) != ST_OK)
        return fail_err(&err);
    work.password = buf_slice(&password);
    return session_run(in->root, add_work, &work);
}

static int
del_work(struct session *s, void *arg)
{
    const struct user_work *w = arg;
    struct slice name = slice_of_name(&w->name);
    AUTO_BUF m = BUF_INIT(1024);
    struct err err = {0};
    enum status secret, account;

    msg_name_put(&m, &(struct msg_name){name}); /* the secret first: from then on nobody logs in */
    secret = session_ask(s, ROLE_AUTH, MSG_SECRET_DELETE, buf_slice(&m), ASK_WITHIN, NULL, &err);
    if (secret != ST_OK && secret != ST_NOTFOUND)
        return fail_err(&err);
    account = delete_account(s, name, w->purge, &err);
    if (account == ST_NOTFOUND && secret == ST_NOTFOUND)
        return fail(EX_NOUSER, "there is no account %s", w->name.text);
    if (account != ST_OK && account != ST_NOTFOUND)
        return fail(fail_status(account), "%s can no longer log in, but the account is not removed: %s",
                    w->name.text, err.text);
    (void)printf("%s removed%s\n", w->name.text, w->purge ? ", and its mail with it" : "");
    return EX_OK;
}

int
do_user_del(const struct invocation *in)
{
    struct user_work work = {.purge = in->options[0] != NULL};
    struct err err = {0};

    if (full_name_arg(in, &work.name, &err) != ST_OK)
        return fail_err(&err);
    return session_run(in->root, del_work, &work);
}

/* Pages of accounts, from the first after `after`. */
static enum status
accounts_page(struct session *s, struct slice after, struct buf *reply, struct msg_rows *rows,
              struct err *err)
{
    AUTO_BUF m = BUF_INIT(1024);
    enum status st;

    msg_page_put(&m, &(struct msg_page){after, 0});
    st = session_ask(s, ROLE_STORE, (enum msg)MSG_ACCOUNTS, buf_slice(&m), ASK_WITHIN, reply, err);
    if (st == ST_OK && !msg_rows_get(buf_slice(reply), rows))
        return err_set(err, ST_SYNTAX, "an answer of stored that is not understood");
    return st;
}

/* Has stored such an account? It may be there without a secret, after an addition that did not end. */
static bool
has_account(struct session *s, struct slice name)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX), after = BUF_INIT(1024);
    struct msg_rows rows = {0};
    struct account_row row;

    buf_put(&after, slice_sub(name, 0, name.n - 1)); /* the name before it in order, or near */
    buf_putc(&after, (uint8_t)(name.p[name.n - 1] - 1));
    buf_putc(&after, 0x7f);
    if (accounts_page(s, buf_slice(&after), &reply, &rows, NULL) != ST_OK)
        return false;
    while (account_row_take(&rows.rows, &row))
        if (slice_eq(row.name, name))
            return true;
    return false;
}

static int
passwd_work(struct session *s, void *arg)
{
    const struct user_work *w = arg;
    struct slice name = slice_of_name(&w->name);
    struct err err = {0};
    enum status st = set_secret(s, name, w->password, 0, &err);

    if (st == ST_NOTFOUND && has_account(s, name))
        st = set_secret(s, name, w->password, 2, &err);
    if (st == ST_NOTFOUND)
        return fail(EX_NOUSER, "there is no account %s", w->name.text);
    if (st != ST_OK)
        return fail_err(&err);
    (void)printf("%s has a new password\n", w->name.text);
    return EX_OK;
}

int
do_user_passwd(const struct invocation *in)
{
    AUTO_SECRET password = BUF_INIT(BATCH_PASSWORD_MAX + 16);
    struct user_work work = {0};
    struct err err = {0};

    if (full_name_arg(in, &work.name, &err) != ST_OK)
        return fail_err(&err);
    if (!session_possible(in->root))
        return session_run(in->root, passwd_work, &work);
    if (password_read(in->options[0], work.name.text, &password, &err) != ST_OK)
        return fail_err(&err);
    work.password = buf_slice(&password);
    return session_run(in->root, passwd_work, &work);
}

static int
quota_work(struct session *s, void *arg)
{
    const struct user_work *w = arg;
    AUTO_BUF m = BUF_INIT(1024);
    struct err err = {0};
    enum status st;

    account_quota_put(&m, &(struct account_quota){slice_of_name(&w->name), w->quota});
    st = session_ask(s, ROLE_STORE, (enum msg)MSG_ACCOUNT_QUOTA, buf_slice(&m), ASK_WITHIN, NULL, &err);
    if (st == ST_NOTFOUND)
        return fail(EX_NOUSER, "there is no account %s", w->name.text);
    return st == ST_OK ? EX_OK : fail_err(&err);
}

int
do_user_quota(const struct invocation *in)
{
    struct user_work work = {0};
    struct err err = {0};

    if (full_name_arg(in, &work.name, &err) != ST_OK || parse_size(in->args[1], &work.quota, &err) != ST_OK)
        return fail_err(&err);
    return session_run(in->root, quota_work, &work);
}

/* --- lists --- */

/* Names come from stored, and before it from whoever wrote them: control characters never reach the terminal.
 */
static void
print_name(struct slice name, int width)
{
    char text[1200];

    (void)slice_to_cstr(slice_sub(name, 0, sizeof(text) - 1), text, sizeof(text));
    (void)printf("%-*s", width, text);
}

static int
list_work(struct session *s, void *arg)
{
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX), after = BUF_INIT(1024);
    struct msg_rows rows = {.more = 1};
    struct account_row row;
    struct err err = {0};

    (void)printf("%-40s %10s %14s %14s\n", "account", "messages", "bytes", "quota");
    while (rows.more) {
        bool any = false;

        if (accounts_page(s, buf_slice(&after), &reply, &rows, &err) != ST_OK)
            return fail_err(&err);
        while (account_row_take(&rows.rows, &row)) {
            print_name(row.name, 40);
            (void)printf(" %10llu %14llu ", (unsigned long long)row.messages, (unsigned long long)row.bytes);
            if (row.quota != 0)
                (void)printf("%14llu\n", (unsigned long long)row.quota);
            else
                (void)printf("%14s\n", "none");
            buf_clear(&after);
            buf_put(&after, row.name);
            any = true;
        }
        if (rows.rows.n != 0 || (rows.more && !any))
            return fail(EX_SOFTWARE, "an answer of stored that is not understood");
    }
    return EX_OK;
}

int
do_user_list(const struct invocation *in)
{
    return session_run(in->root, list_work, NULL);
}

static int
mailboxes_work(struct session *s, void *arg)
{
    const struct user_work *w = arg;
    AUTO_BUF reply = BUF_INIT(IPC_PAYLOAD_MAX), m = BUF_INIT(1024);
    struct msg_rows rows;
    struct mailbox_row row;
    struct err err = {0};
    enum status st;

    msg_name_put(&m, &(struct msg_name){slice_of_name(&w->name)});
    st = session_ask(s, ROLE_STORE, (enum msg)MSG_ADMIN_MAILBOXES, buf_slice(&m), ASK_WITHIN, &reply, &err);
    if (st == ST_NOTFOUND)
        return fail(EX_NOUSER, "there is no account %s", w->name.text);
    if (st != ST_OK)
        return fail_err(&err);
    if (!msg_rows_get(buf_slice(&reply), &rows))
        return fail(EX_SOFTWARE, "an answer of stored that is not understood");
    (void)printf("%-40s %10s %14s\n", "mailbox", "messages", "bytes");
    while (mailbox_row_take(&rows.rows, &row)) {
        print_name(row.name, 40);
        (void)printf(" %10llu %14llu%s\n", (unsigned long long)row.messages, (unsigned long long)row.bytes,
                     row.mailbox == 0 ? "  (only a level)" : "");
    }
    if (rows.more)
        (void)printf("... and more\n");
    return EX_OK;
}

int
do_mailbox_list(const struct invocation *in)
{
    struct user_work work = {0};
    struct err err = {0};

    if (full_name_arg(in, &work.name, &err) != ST_OK)
        return fail_err(&err);
    return session_run(in->root, mailboxes_work, &work);
}
