/* init: a root with its folders, its configuration and a self-signed pair for TLS. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "conf/value.h"
#include "ctl/config.h"
#include "ctl/handlers.h"
#include "root/root.h"
#include "sys/fd.h"
#include "tls/selfsigned.h"

/* A domain or host name that a person would write: letters, digits, hyphens and dots (RFC 1123 2.1). */
static bool
is_host_name(struct slice name)
{
    if (name.n == 0 || name.n > 253)
        return false;
    while (name.n > 0) {
        struct slice label = take_until(&name, '.');

        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        for (size_t i = 0; i < label.n; i++)
            if (!ascii_alpha(label.p[i]) && !ascii_digit(label.p[i]) && label.p[i] != '-')
                return false;
        if (name.n > 0 && (!take_byte(&name, '.') || name.n == 0))
            return false;
    }
    return true;
}

static void
put_names(struct buf *text, const char *hostname, const char *domain)
{
    buf_printf(
        text,
        "# The settings of this system. After a change: estafeta reload. Each is explained below and in\n"
        "# estafeta.conf(5); \"estafeta config check\" judges the file.\n\n"
        "domain = %s\nhostname = %s\n",
        domain, hostname);
}

static enum status
put_listeners(struct buf *text, unsigned offset, struct err *err)
{
    for (size_t i = 0; i < n_root_services; i++) {
        unsigned port = root_services[i].port + offset;

        if (port > 65535)
            return err_set(err, ST_LIMIT, "--port-offset %u: port %u is above 65535", offset, port);
        buf_printf(text, "%s = 0.0.0.0:%u, [::]:%u\n", root_services[i].setting, port, port);
    }
    return ST_OK;
}

static enum status
compose(const struct invocation *in, const char *path, char hostname[256], struct buf *text,
        struct master_settings *master, struct err *err)
{
    const char *domain = in->options[0];
    struct utsname host;
    union conf_value offset = {0};
    enum status st = ST_OK;

    if (in->options[1] != NULL)
        (void)snprintf(hostname, 256, "%s", in->options[1]);
    else if (uname(&host) == 0 && is_host_name(slice_of(host.nodename)))
        (void)snprintf(hostname, 256, "%s", host.nodename);
    else
        (void)snprintf(hostname, 256, "localhost");
    if (domain == NULL)
        domain = hostname;
    if (!is_host_name(slice_of(hostname)) || !is_host_name(slice_of(domain)))
        return err_set(err, ST_SYNTAX, "\"%.100s\" is no host name",
                       is_host_name(slice_of(domain)) ? hostname : domain);
    if (in->options[2] != NULL &&
        (conf_value_parse(SETTING_count, slice_of(in->options[2]), &offset) != ST_OK ||
         offset.number > 65535))
        return err_set(err, ST_SYNTAX, "--port-offset wants a number");
    put_names(text, hostname, domain);
    if (offset.number != 0)
        st = put_listeners(text, (unsigned)offset.number, err);
    buf_puts(text, "\n\n");
    config_sample(text);
    if (st != ST_OK)
        return st;
    return buf_ok(text) ? root_judge(path, buf_slice(text), master, err)
                        : err_set(err, ST_MEMORY, "no memory");
}

/* Whole or not at all, and never over one that is there. */
static enum status
write_new(const char *path, struct slice text, struct err *err)
{
    char fresh[4200];
    AUTO_FD fd = -1;
    enum status st = ST_OK;

    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    (void)unlink(fresh); /* left by one that was interrupted */
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_sys(err, "cannot make %s", fresh);
    if (!write_all(fd, text) || fsync(fd) != 0)
        st = err_sys(err, "%s: write", fresh);
    else if (link(fresh, path) != 0)
        st = errno == EEXIST ? err_set(err, ST_EXISTS, "%s is there already; it was left as it is", path)
                             : err_sys(err, "cannot make %s", path);
    (void)unlink(fresh);
    return st;
}

static enum status
make_pairs(const char *root, const char *hostname, const struct master_settings *master, struct err *err)
{
    char path[4096];
    enum status st = root_path(root, "etc/tls", path, err);
    AUTO_FD dir = -1;

    if (st != ST_OK)
        return st;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, "%s", path);
    st = tls_selfsigned(dir, hostname, err);
    return st == ST_OK ? root_give_keys(root, master->uid_base, err) : st;
}

int
do_init(const struct invocation *in)
{
    AUTO_BUF text = BUF_INIT(ROOT_TEXT_MAX);
    struct master_settings master;
    char path[4096], hostname[256];
    struct err err = {0};

    (void)umask(022);
    if (root_path(in->root, ROOT_CONF, path, &err) != ST_OK)
        return fail_err(&err);
    if (access(path, F_OK) == 0)
        return fail(EX_CANTCREAT, "%s is there already; it was left as it is", path);
    if (compose(in, path, hostname, &text, &master, &err) != ST_OK)
        return fail(EX_USAGE, "%s", err.text);
    if (root_make(in->root, master.uid_base, &err) != ST_OK ||
        make_pairs(in->root, hostname, &master, &err) != ST_OK ||
        write_new(path, buf_slice(&text), &err) != ST_OK)
        return fail_err(&err);
    (void)printf("made %s and, in %s/etc/tls, certificates that it signed itself\n"
                 "next: estafeta --root %s start\n",
                 path, in->root, in->root);
    if (geteuid() != 0 && in->options[2] == NULL)
        (void)printf("note: the standard ports want root; without it, use init --port-offset 10000\n");
    return EX_OK;
}
