#include "root/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/fd.h"

#define DEEPEST 16 /* levels of folders that are given over */

/* folder, whose, its mode, does all in it belong to him */
static const struct {
    const char *name;
    enum role role;
    mode_t mode;
    bool whole;
} places[] = {
    {"etc",     ROLE_MASTER, 0755, false},
    {"etc/tls", ROLE_MASTER, 0755, false},
    {"log",     ROLE_MASTER, 0750, false},
    {"run",     ROLE_MASTER, 0755, false},
    {"auth",    ROLE_AUTH,   0700, true },
    {"backup",  ROLE_STORE,  0700, true },
    {"store",   ROLE_STORE,  0700, true },
};

#define SERVICE_ROW(name, member, port)                                                                      \
    {                                                                                                        \
        SERVICE_##name, #member, offsetof(struct master_settings, member), port                              \
    }
const struct root_service root_services[] = {
    SERVICE_ROW(SMTP, smtp_listen, 25),
    SERVICE_ROW(SUBMISSION, submission_listen, 587),
    SERVICE_ROW(SUBMISSIONS, submissions_listen, 465),
    SERVICE_ROW(IMAP, imap_listen, 143),
    SERVICE_ROW(IMAPS, imaps_listen, 993),
    SERVICE_ROW(POP3, pop3_listen, 110),
    SERVICE_ROW(POP3S, pop3s_listen, 995),
};
const size_t n_root_services = COUNT(root_services);

enum status
root_path(const char *root, const char *name, char path[4096], struct err *err)
{
    if ((size_t)snprintf(path, 4096, "%s/%s", root, name) >= 4096)
        return err_set(err, ST_LIMIT, "%s/%s: the name is too long", root, name);
    return ST_OK;
}

/* Takes the last component off an absolute path. */
static void
up(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash != NULL)
        *slash = '\0';
}

enum status
root_absolute(const char *given, char path[4096], struct err *err)
{
    struct slice rest = slice_of(given);

    path[0] = '\0';
    if (given[0] == '\0')
        return err_set(err, ST_SYNTAX, "an empty name is no folder");
    if (given[0] != '/' && getcwd(path, 4096) == NULL)
        return err_sys(err, "the current folder");
    while (rest.n > 0) {
        struct slice part = take_until(&rest, '/');
        size_t n = strlen(path);

        (void)take_byte(&rest, '/');
        if (part.n == 0 || slice_eq(part, SLICE(".")))
            continue;
        if (slice_eq(part, SLICE("..")))
            up(path);
        else if (n + part.n + 2 > ROOT_PATH_MAX)
            return err_set(err, ST_LIMIT, "%.100s...: the name may have at most %u bytes", given,
                           ROOT_PATH_MAX);
        else
            (void)snprintf(path + n, 4096 - n, "/%.*s", (int)part.n, (const char *)part.p);
    }
    if (path[0] == '\0')
        return err_set(err, ST_SYNTAX, "/ itself cannot be used");
    if (strpbrk(path, " \t\n") != NULL) /* the words of a confinement line (sys/confine_line.h) */
        return err_set(err, ST_SYNTAX, "%s: the name cannot have white space", path);
    return ST_OK;
}

/* --- folders --- */

static bool
separate_users(uint64_t uid_base)
{
    return geteuid() == 0 && uid_base != 0;
}

uid_t
root_owner(enum role role, uint64_t uid_base)
{
    return separate_users(uid_base) && role != ROLE_MASTER ? (uid_t)(uid_base + role) : geteuid();
}

/* Gives all that is below an open folder to its new owner. */
static enum status
give_below(int folder, uid_t owner, int depth, struct err *err)
{
    int copy = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    enum status st = ST_OK;
    struct dirent *entry;

    if (dir == NULL) {
        if (copy >= 0)
            (void)close(copy);
        return err_sys(err, "cannot list a folder that changes its owner");
    }
    while (st == ST_OK && (entry = readdir(dir)) != NULL) {
        AUTO_FD below = -1;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fchownat(folder, entry->d_name, owner, owner, AT_SYMLINK_NOFOLLOW) != 0)
            st = err_sys(err, "cannot give %s to user %u", entry->d_name, (unsigned)owner);
        below = openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (st == ST_OK && below >= 0)
            st = depth > 0 ? give_below(below, owner, depth - 1, err)
                           : err_set(err, ST_LIMIT, "%s: folders nested too deeply", entry->d_name);
    }
    (void)closedir(dir);
    return st;
}

/* Only a folder that we did not own already is walked: no program can bring that about, so that none can have
 * a file of another's given to it. */
static enum status
own(int fd, const char *path, uid_t owner, mode_t mode, bool whole, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return err_sys(err, "%s", path);
    if (st.st_uid != owner && geteuid() != 0)
        return err_set(err, ST_DENIED, "%s belongs to user %u; run as that user, or as root", path,
                       (unsigned)st.st_uid);
    if (st.st_uid != owner && whole && give_below(fd, owner, DEEPEST, err) != ST_OK)
        return err->status;
    if (st.st_uid != owner && fchown(fd, owner, owner) != 0)
        return err_sys(err, "cannot give %s to user %u", path, (unsigned)owner);
    if ((st.st_mode & 07777) != mode && fchmod(fd, mode) != 0)
        return err_sys(err, "cannot set the mode of %s", path);
    return ST_OK;
}

static enum status
make_one(int at, const char *name, const char *shown, uid_t owner, mode_t mode, bool whole, struct err *err)
{
    AUTO_FD fd = -1;

    if (mkdirat(at, name, mode) != 0 && errno != EEXIST)
        return err_sys(err, "cannot make %s", shown);
    fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "cannot open the folder %s", shown);
    return own(fd, shown, owner, mode, whole, err);
}

/* The folders above the root, as mkdir -p makes them. */
static enum status
make_above(const char *root, struct err *err)
{
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s", root);
    for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return err_sys(err, "cannot make %s", path);
        *p = '/';
    }
    return ST_OK;
}

enum status
root_make(const char *root, uint64_t uid_base, struct err *err)
{
    struct err local = {0};
    enum status st = make_above(root, &local);
    AUTO_FD fd = -1;

    if (st == ST_OK && mkdir(root, 0755) != 0 && errno != EEXIST)
        st = err_sys(&local, "cannot make %s", root);
    if (st == ST_OK &&
        (fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) /* may be a link, as one likes */
        st = err_sys(&local, "cannot open the folder %s", root);
    if (st == ST_OK)
        st = own(fd, root, geteuid(), 0755, false, &local);
    for (size_t i = 0; i < COUNT(places) && st == ST_OK; i++) {
        char shown[4096];

        st = root_path(root, places[i].name, shown, &local);
        if (st == ST_OK)
            st = make_one(fd, places[i].name, shown, root_owner(places[i].role, uid_base), places[i].mode,
                          places[i].whole, &local);
    }
    if (st != ST_OK && err != NULL)
        *err = local;
    return st;
}

/* Not through a link: what it leads to has a reader of its own. */
static enum status
give_key(int dir, const char *name, uid_t owner, struct err *err)
{
    AUTO_FD fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return errno == ELOOP ? ST_OK : err_sys(err, "etc/tls/%s", name);
    if (fstat(fd, &st) != 0)
        return err_sys(err, "etc/tls/%s", name);
    if (!S_ISREG(st.st_mode) || (st.st_uid == owner && (st.st_mode & 07777) == 0400))
        return ST_OK;
    if (fchown(fd, owner, owner) != 0 || fchmod(fd, 0400) != 0)
        return err_sys(err, "cannot give etc/tls/%s to user %u", name, (unsigned)owner);
    return ST_OK;
}

enum status
root_give_keys(const char *root, uint64_t uid_base, struct err *err)
{
    struct err local = {0};
    char path[4096];
    enum status st = root_path(root, "etc/tls", path, &local);
    DIR *dir = st == ST_OK ? opendir(path) : NULL;
    struct dirent *entry;

    if (st == ST_OK && dir == NULL)
        st = err_sys(&local, "%s", path);
    while (st == ST_OK && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && slice_has_suffix_nocase(slice_of(entry->d_name), SLICE(".key")))
            st = give_key(dirfd(dir), entry->d_name, root_owner(ROLE_KEY, uid_base), &local);
    if (dir != NULL)
        (void)closedir(dir);
    if (st != ST_OK && err != NULL)
        *err = local;
    return st;
}

/* --- configuration --- */

enum status
root_judge(const char *file, struct slice text, struct master_settings *master, struct err *err)
{
    struct master_settings got;
    enum status st = conf_check(conf_tables, n_conf_tables, file, text, err);

    if (st == ST_OK)
        st = conf_load(&master_conf, file, text, &got, sizeof(got), err);
    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < n_root_services; i++) {
        const struct root_service *s = &root_services[i];
        const struct conf_addresses *list = (const void *)((const char *)&got + s->offset);

        for (size_t j = 0; j < list->n; j++)
            if (list->at[j].port == 0 || list->at[j].bits != (list->at[j].family == 6 ? 128 : 32))
                return err_set(err, ST_SYNTAX,
                               "%s: %s: each address needs a port, as in 0.0.0.0:%u or [::]:%u", file,
                               s->setting, s->port, s->port);
    }
    *master = got;
    return ST_OK;
}

enum status
root_read_conf(const char *file, struct buf *text, struct master_settings *master, struct err *err)
{
    AUTO_FD fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ST_NOTFOUND, "%s is not there; make one with: estafeta --root DIR init", file);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, "%s", file);
    if (!S_ISREG(st.st_mode) || st.st_size > ROOT_TEXT_MAX)
        return err_set(err, ST_LIMIT, "%s: not a file of at most %u KiB", file, ROOT_TEXT_MAX / 1024);
    buf_clear(text);
    if (buf_reserve(text, (size_t)st.st_size + 1) == NULL)
        return err_set(err, ST_MEMORY, "%s: no memory", file);
    if (!read_all(fd, text->p, (size_t)st.st_size))
        return err_sys(err, "%s: read", file);
    text->n = (size_t)st.st_size;
    return root_judge(file, buf_slice(text), master, err);
}

/* --- the lock --- */

enum status
root_lock(const char *root, int *result, struct err *err)
{
    char path[4096], who[32] = "?";
    enum status st = root_path(root, ROOT_LOCK, path, err);
    AUTO_FD fd = -1;
    ssize_t n;

    if (st != ST_OK)
        return st;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_sys(err, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(err, "%s: lock", path);
        n = pread(fd, who, sizeof(who) - 1, 0);
        if (n > 0)
            who[strcspn(who, "\n")] = '\0';
        return err_set(err, ST_EXISTS, "process %s already has %s", who, root);
    }
    *result = fd_keep(&fd);
    return ST_OK;
}

bool
root_lock_name(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

    return ftruncate(fd, 0) == 0 && pwrite_all(fd, slice_from(text, (size_t)n), 0);
}

/* --- programs --- */

static bool
is_program(const char *folder, const char *tail, const char *name, char path[4096])
{
    return (size_t)snprintf(path, 4096, "%s%s/%s", folder, tail, name) < 4096 && access(path, X_OK) == 0;
}

enum status
root_programs(char folder[4096], struct err *err)
{
    static const char *const tails[] = {"", "/../bin", "/../libexec/estafeta"};
    char self[4096], path[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return err_sys(err, "/proc/self/exe");
    self[n] = '\0';
    up(self);
    for (size_t i = 0; i < COUNT(tails); i++)
        if (is_program(self, tails[i], role_name(ROLE_AUTH), path)) {
            up(path);
            (void)snprintf(folder, 4096, "%s", path);
            return ST_OK;
        }
    return err_set(err, ST_NOTFOUND,
                   "the programs (authd and others) are not beside %s; say where with --programs DIR", self);
}
