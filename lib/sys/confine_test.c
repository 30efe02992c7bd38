#include "sys/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "sys/fiber.h"

#define NOBODY 65534
#define DIED (-SIGSYS)

static char dir[] = "/tmp/confine_testXXXXXX";
static pid_t tester;

/* Each returns 0 when it could, or errno. */
static int
try_open(void)
{
    int fd = open("/etc/passwd", O_RDONLY);

    return fd >= 0 ? 0 : errno;
}
static int
try_create(void)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "%s/file", dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    return fd >= 0 && write(fd, "x", 1) == 1 && fdatasync(fd) == 0 && unlink(path) == 0 ? 0 : errno;
}
static int
try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}
static int
try_socket_in_files(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : errno;
}
static int
try_packets(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) >= 0 ? 0 : errno;
}
static int
try_listen(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)bind(fd, (struct sockaddr *)&any, sizeof any);
    return listen(fd, 1) == 0 ? 0 : errno;
}
static int
try_exec(void)
{
    char *argv[] = {"/bin/true", NULL};

    execv("/bin/true", argv);
    return errno;
}
static int
try_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid > 0 ? 0 : errno;
}
static int
try_kill(void)
{
    return kill(tester, 0) == 0 ? 0 : errno;
}
static int
try_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0 ? 0 : errno;
}
static int
try_root(void)
{
    return setuid(0) == 0 ? 0 : errno;
}
static int
try_pair(void)
{
    int fds[2];

    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 ? 0 : errno;
}
static void *
thread(void *arg)
{
    *(int *)arg = 1;
    free(malloc(100000));
    return arg;
}
static int
try_thread(void)
{
    pthread_t t;
    int ran = 0, got = pthread_create(&t, NULL, thread, &ran);

    if (got != 0)
        return got;
    return pthread_join(t, NULL) == 0 && ran ? 0 : EPERM;
}
static int loop_result;
static void
on_fiber(void *arg)
{
    fiber_sleep_until(loop_now(arg) + MSEC(1));
    loop_result = 0;
    loop_stop(arg);
}
static int
try_loop(void)
{
    struct loop *loop;

    loop_result = EIO;
    if (loop_new(&loop, NULL) != ST_OK || fiber_spawn(loop, on_fiber, loop) != ST_OK || loop_run(loop, NULL) != ST_OK)
        return EIO;
    loop_free(loop);
    return loop_result;
}

#define IN_ALL (CONFINE_PARSER | CONFINE_EDGE | CONFINE_STORE | CONFINE_AUTH | CONFINE_KEY | CONFINE_DNS)
static const struct {
    const char *name;
    int (*try)(void);
    unsigned allowed; /* classes in which it works */
    unsigned refused; /* classes in which it is EACCES (landlock); in all others it is death */
} tries[] = {
    {"loop", try_loop, IN_ALL, 0},
    {"open", try_open, 0, CONFINE_STORE | CONFINE_AUTH | CONFINE_KEY},
    {"create", try_create, CONFINE_STORE | CONFINE_AUTH, CONFINE_KEY},
    {"socket", try_socket, CONFINE_DNS, 0},
    {"socket in files", try_socket_in_files, 0, 0},
    {"packets", try_packets, 0, 0},
    {"listen", try_listen, 0, 0},
    {"exec", try_exec, 0, 0},
    {"fork", try_fork, 0, 0},
    {"kill", try_kill, 0, 0},
    {"code", try_code, 0, 0},
    {"root", try_root, 0, 0},
    {"pair", try_pair, CONFINE_EDGE | CONFINE_DNS, 0},
    {"thread", try_thread, CONFINE_STORE | CONFINE_AUTH | CONFINE_DNS, 0},
};

/* What happens in a child of this class: 0, errno, or minus the signal. */
static int
outcome(unsigned calls, int (*try)(void), bool root)
{
    struct confinement c = {.role = "test", .uid = root ? NOBODY : CONFINE_STAY, .gid = root ? NOBODY : CONFINE_STAY,
                            .paths = {{dir, calls != CONFINE_KEY}}, .calls = calls, .files = 64};
    struct confine_report r;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct err err = {0};

        if (!root && geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(250);
        if (confine_apply(&c, &r, &err) != ST_OK) {
            fprintf(stderr, "%s\n", err.text);
            _exit(251);
        }
        if (r.ids != root || !r.seccomp || getuid() == 0)
            _exit(252);
        _exit(try());
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool
has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

static void
try_all(bool root)
{
    for (unsigned calls = 1; calls <= CONFINE_DNS; calls *= 2)
        for (size_t i = 0; i < COUNT(tries); i++) {
            int want = tries[i].allowed & calls ? 0 : tries[i].refused & calls ? EACCES : DIED;
            int got;

            if (want == EACCES && !has_landlock())
                continue;
            if (FIBER_ASAN && want != 0) /* sanitizers need some of it: there only what is allowed counts */
                continue;
            got = outcome(calls, tries[i].try, root);
            if (got != want)
                fail_msg("%s in class %u%s: %d, wanted %d", tries[i].name, calls, root ? " as root" : "", got, want);
        }
}

TEST(classes_as_root)
{
    if (geteuid() != 0)
        skip();
    try_all(true);
}

TEST(classes_as_user)
{
    try_all(false);
}

static int
look_at_self(void)
{
    struct rlimit core, files;
    char text[4096];
    FILE *f = fopen("/proc/self/status", "r"); /* the path is in this test's row */
    size_t n;

    if (f == NULL)
        return 1;
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    if (strstr(text, "CapEff:\t0000000000000000\n") == NULL || strstr(text, "CapBnd:\t0000000000000000\n") == NULL)
        return 2;
    if (strstr(text, "NoNewPrivs:\t1\n") == NULL || strstr(text, "Seccomp:\t2\n") == NULL)
        return 3;
    if (strstr(text, "Groups:\t \n") == NULL)
        return 4;
    if (getrlimit(RLIMIT_CORE, &core) != 0 || getrlimit(RLIMIT_NOFILE, &files) != 0 || core.rlim_max != 0 ||
        files.rlim_max != 64)
        return 5;
    return 0;
}

TEST(what_proc_says)
{
    char keep[sizeof dir];

    if (geteuid() != 0 || FIBER_ASAN)
        skip();
    memcpy(keep, dir, sizeof dir);
    strncpy(dir, "/proc", sizeof dir - 1);
    CHECK_INT(0, outcome(CONFINE_STORE, look_at_self, true), 0);
    memcpy(dir, keep, sizeof dir);
}

static int
set_up(void **state)
{
    (void)state;
    tester = getpid();
    return mkdtemp(dir) == NULL || chmod(dir, 0777) != 0;
}

static int
tear_down(void **state)
{
    (void)state;
    return rmdir(dir);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_as_root),
        cmocka_unit_test(test_classes_as_user),
        cmocka_unit_test(test_what_proc_says),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
