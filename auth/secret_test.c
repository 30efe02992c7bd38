#include "auth/secret.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"

static char folder[] = "/tmp/auth-secret-XXXXXX";
static int dir = -1;

static int
make(void **state)
{
    strncpy(folder + sizeof folder - 7, "XXXXXX", 7);
    dir = mkdtemp(folder) != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return dir < 0;
}

static int
unmake(void **state)
{
    (void)unlinkat(dir, "secrets", 0);
    (void)unlinkat(dir, "secrets.new", 0);
    close(dir);
    return rmdir(folder);
}

static struct secrets *
reopen(struct secrets *s)
{
    struct err err = {0};

    secrets_close(s);
    s = NULL;
    CHECK_INT(0, secrets_open(dir, "secrets", &s, &err), ST_OK);
    return s;
}

static struct secret
sample(uint8_t byte)
{
    struct secret secret = {.phc = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA", .scram.iterations = 4096};

    memset(secret.scram.salt, byte, SCRAM_SALT);
    memset(secret.scram.stored_key, byte + 1, SASL_HASH);
    memset(secret.scram.server_key, byte + 2, SASL_HASH);
    return secret;
}

static bool
has(const struct secrets *s, const char *name, uint8_t byte)
{
    struct secret want = sample(byte);
    const struct secret *got = secrets_find(s, slice_of(name));

    return got != NULL && strcmp(got->phc, want.phc) == 0 && memcmp(&got->scram, &want.scram, sizeof want.scram) == 0;
}

static off_t
size(void)
{
    struct stat about;

    return fstatat(dir, "secrets", &about, 0) == 0 ? about.st_size : -1;
}

static void
poke(off_t at, const char *bytes, size_t n)
{
    int fd = openat(dir, "secrets", O_WRONLY | O_CLOEXEC);

    CHECK(0, fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n);
    close(fd);
}

static int
cut_file(off_t n)
{
    int fd = openat(dir, "secrets", O_WRONLY | O_CLOEXEC), got = ftruncate(fd, n);

    close(fd);
    return got;
}

TEST(last_wins)
{
    struct secrets *s = reopen(NULL);
    struct secret a = sample(1), b = sample(9);
    struct err err = {0};

    CHECK_INT(0, secrets_set(s, SLICE("a@x"), &a, &err), ST_OK);
    CHECK_INT(0, secrets_set(s, SLICE("b@x"), &a, &err), ST_OK);
    CHECK_INT(0, secrets_set(s, SLICE("a@x"), &b, &err), ST_OK);
    CHECK_INT(0, secrets_delete(s, SLICE("b@x"), &err), ST_OK);
    CHECK_INT(0, secrets_delete(s, SLICE("b@x"), &err), ST_NOTFOUND);
    CHECK_INT(0, secrets_set(s, SLICE("c\tx"), &a, &err), ST_SYNTAX);
    for (int i = 0; i < 2; i++) {
        CHECK(i, has(s, "a@x", 9));
        CHECK(i, secrets_find(s, SLICE("b@x")) == NULL);
        CHECK_INT(i, secrets_count(s), 1);
        s = reopen(s);
    }
    struct stat about;
    CHECK(1, fstatat(dir, "secrets", &about, 0) == 0 && (about.st_mode & 0777) == 0600);
    secrets_close(s);
}

/* The file cut at every length: the first secret whole, the second old or new, never an error after the first line. */
TEST(torn_tail)
{
    struct secret a = sample(1), b = sample(9);
    struct err err = {0};

    for (off_t cut = 0;; cut += 3) {
        struct secrets *s = reopen(NULL);
        off_t before, after;

        CHECK_INT(cut, secrets_set(s, SLICE("a@x"), &a, &err), ST_OK);
        before = size();
        CHECK_INT(cut, secrets_set(s, SLICE("a@x"), &b, &err), ST_OK);
        after = size();
        secrets_close(s);
        if (before + cut > after)
            break;
        CHECK_INT(cut, cut_file(before + cut), 0);
        s = reopen(NULL);
        CHECK(cut, has(s, "a@x", before + cut == after ? 9 : 1));
        if (before + cut < after)
            CHECK_INT(cut, size(), before);
        CHECK_INT(cut, secrets_set(s, SLICE("c@x"), &a, &err), ST_OK);
        s = reopen(s);
        CHECK(cut, has(s, "c@x", 1));
        secrets_close(s);
        CHECK_INT(cut, unlinkat(dir, "secrets", 0), 0);
    }
}

TEST(damage)
{
    struct secrets *s = reopen(NULL);
    struct secret a = sample(1);
    struct err err = {0};
    off_t first = (off_t)strlen("estafeta-secrets 1\n"), second;

    CHECK_INT(0, secrets_set(s, SLICE("a@x"), &a, &err), ST_OK);
    second = size();
    CHECK_INT(0, secrets_set(s, SLICE("b@x"), &a, &err), ST_OK);
    secrets_close(s);
    s = NULL;
    /* Not the last line end: without it the line is torn. */
    for (off_t at = first; at < size() - 1; at += 7) {
        int fd = openat(dir, "secrets", O_RDONLY | O_CLOEXEC);
        char was = 0, bad;

        CHECK(at, fd >= 0 && pread(fd, &was, 1, at) == 1);
        close(fd);
        bad = (char)(was ^ 2);
        poke(at, &bad, 1);
        err = (struct err){0};
        CHECK_INT(at, secrets_open(dir, "secrets", &s, &err), ST_CORRUPT);
        CHECK(at, strstr(err.text, at < second ? "line 2" : "line 3") != NULL);
        poke(at, &was, 1);
    }
    poke(second, "\0\0\0\0", 4); /* what a crash may leave where a line should be */
    s = reopen(NULL);
    CHECK(0, has(s, "a@x", 1) && secrets_count(s) == 1);
    secrets_close(s);
    poke(17, "2", 1);
    s = NULL;
    CHECK_INT(1, secrets_open(dir, "secrets", &s, &err), ST_NEWER);
    CHECK(1, s == NULL);
}

TEST(compacts)
{
    struct secrets *s = reopen(NULL);
    struct err err = {0};
    off_t most = 0;

    for (int i = 0; i < 500; i++) {
        struct secret secret = sample((uint8_t)i);

        CHECK_INT(i, secrets_set(s, SLICE("a@x"), &secret, &err), ST_OK);
        if (size() > most)
            most = size();
    }
    CHECK(0, most < 100 * 300);
    s = reopen(s);
    CHECK(0, has(s, "a@x", (uint8_t)499));
    secrets_close(s);
}

TEST(pages)
{
    struct secrets *s = reopen(NULL);
    struct secret a = sample(1);
    struct err err = {0};
    struct slice names[10], after = SLICE("");
    char name[16];
    size_t seen = 0, n;

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "u%03d@x", (i * 7) % 200);
        CHECK_INT(i, secrets_set(s, slice_of(name), &a, &err), ST_OK);
    }
    s = reopen(s);
    CHECK_INT(0, secrets_count(s), 200);
    while ((n = secrets_page(s, after, COUNT(names), names)) > 0) {
        for (size_t i = 0; i < n; i++) {
            snprintf(name, sizeof name, "u%03zu@x", seen++);
            CHECK_SLICE(i, names[i], name);
        }
        after = names[n - 1];
    }
    CHECK_INT(0, seen, 200);
    secrets_close(s);
}

#define ROW(name) cmocka_unit_test_setup_teardown(test_##name, make, unmake)
int
main(void)
{
    static const struct CMUnitTest tests[] = {ROW(last_wins), ROW(torn_tail), ROW(damage), ROW(compacts), ROW(pages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
