#include "store/offline.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "store/backup.h"
#include "store/check.h"
#include "store/start.h"
#include "sys/fd.h"

static int
failed(const struct err *err)
{
    (void)fprintf(stderr, "stored: %s\n", err->text[0] != '\0' ? err->text : status_text(err->status));
    switch (err->status) {
    case ST_CORRUPT:
    case ST_NEWER:
        return EX_DATAERR;
    case ST_STATE:
    case ST_NOSPACE:
        return EX_TEMPFAIL;
    case ST_NOTFOUND:
        return EX_NOINPUT;
    case ST_EXISTS:
        return EX_CANTCREAT;
    default:
        return EX_IOERR;
    }
}

static void
print_line(void *arg, const char *text)
{
    (void)puts(text);
}

static int
check_files(struct store_files *files)
{
    struct check_stats stats = {0};
    struct err err = {0};
    enum status st = check_store(files->log, files->index, print_line, NULL, NULL, &stats, &err);

    printf("%" PRIu64 " accounts, %" PRIu64 " messages, %" PRIu64 " bodies, %" PRIu64 " segments; %" PRIu64
           " things are wrong\n",
           stats.accounts, stats.messages, stats.bodies, stats.segments, stats.wrong);
    return st == ST_OK ? EX_OK : failed(&err);
}

static int
do_check(const char *root, const char *dir)
{
    const struct store_settings settings = {0};
    struct store_files files;
    struct err err = {0};
    int status;

    if (store_open(root, &settings, &files, &err) != ST_OK)
        return failed(&err);
    status = check_files(&files);
    store_close(&files);
    return status;
}

static int
do_rebuild(const char *root, const char *dir)
{
    const struct store_settings settings = {0};
    struct store_files files;
    struct err err = {0};

    if (store_open_anew(root, &settings, &files, &err) != ST_OK)
        return failed(&err);
    store_close(&files);
    (void)puts("the index is built anew");
    return EX_OK;
}

static void
print_text(void *arg, struct slice text)
{
    (void)fwrite(text.p, 1, text.n, stdout);
}

static int
do_dump(const char *root, const char *dir)
{
    const struct store_settings settings = {0};
    struct store_files files;
    struct err err = {0};
    enum status st;

    if (store_open(root, &settings, &files, &err) != ST_OK)
        return failed(&err);
    st = index_dump(files.index, NULL, print_text, NULL, &err);
    store_close(&files);
    return st == ST_OK ? EX_OK : failed(&err);
}

/* Copied first, then judged: a backup that is damaged is told of, and what can be read of it is there. */
static int
do_restore(const char *root, const char *dir)
{
    const struct store_settings settings = {0};
    struct backup_stats stats;
    struct store_files files;
    struct err err = {0};
    char path[4096];
    AUTO_FD from = dir != NULL ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    AUTO_FD to = -1;
    int n = snprintf(path, sizeof(path), "%s/store/log", root), status;

    if (from < 0) {
        (void)err_sys(&err, "restore: %s", dir != NULL ? dir : "no folder given");
        return failed(&err);
    }
    if (n > 0 && (size_t)n < sizeof(path) && mkdir(path, 0700) != 0)
        (void)0; /* mostly it is there; if not, the next line says so */
    to = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to < 0) {
        (void)err_sys(&err, "restore: %s", path);
        return failed(&err);
    }
    if (backup_restore(from, to, &stats, &err) != ST_OK ||
        store_open_anew(root, &settings, &files, &err) != ST_OK)
        return failed(&err);
    printf("%" PRIu64 " segments, %" PRIu64 " bytes are restored\n", stats.segments, stats.bytes);
    status = check_files(&files);
    store_close(&files);
    return status;
}

int
offline_main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const char *root, const char *dir);
        bool wants_dir;
    } modes[] = {
        {"check",   do_check,   false},
        {"rebuild", do_rebuild, false},
        {"dump",    do_dump,    false},
        {"restore", do_restore, true },
    };
    const char *root = NULL, *mode = NULL, *dir = NULL;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--root") == 0 && i + 1 < argc)
            root = argv[++i];
        else if (strcmp(argv[i], "--offline") == 0 && i + 1 < argc)
            mode = argv[++i];
        else if (argv[i][0] != '-' && dir == NULL)
            dir = argv[i];
        else
            mode = NULL, i = argc;
    }
    for (size_t i = 0; root != NULL && mode != NULL && i < COUNT(modes); i++)
        if (strcmp(modes[i].name, mode) == 0 && (dir != NULL) == modes[i].wants_dir)
            return modes[i].run(root, dir);
    (void)fprintf(stderr, "usage: stored --root ROOT --offline check|rebuild|dump|restore DIR\n");
    return EX_USAGE;
}
