#include "sys/confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/fd.h"
#include "sys/fiber.h" /* FIBER_ASAN */

#define P CONFINE_PARSER
#define E CONFINE_EDGE
#define S CONFINE_STORE
#define A CONFINE_AUTH
#define K CONFINE_KEY
#define D CONFINE_DNS
#define ALL (P | E | S | A | K | D)

struct call {
    const char *name;
    unsigned who;
};

/* Calls allowed with any arguments, and the classes that have them. Names that an architecture
 * or an older libseccomp lacks are skipped: what is skipped is forbidden. */
static const struct call calls[] = {
    /* bytes over descriptors that are there */
    {"read", ALL},           {"readv", ALL},         {"write", ALL},         {"writev", ALL},
    {"recvfrom", ALL},       {"recvmsg", ALL},       {"recvmmsg", ALL},      {"sendto", ALL},
    {"sendmsg", ALL},        {"sendmmsg", ALL},      {"shutdown", ALL},      {"close", ALL},
    {"close_range", ALL},    {"lseek", ALL},         {"pread64", ALL},       {"pwrite64", ALL},
    {"preadv", ALL},         {"pwritev", ALL},       {"fstat", ALL},         {"fcntl", ALL},
    {"dup", ALL},            {"getsockname", ALL},   {"getpeername", ALL},   {"getsockopt", ALL},
    {"pipe2", ALL},          {"memfd_create", ALL},  {"ftruncate", ALL},
    /* waiting */
    {"epoll_create1", ALL},  {"epoll_ctl", ALL},     {"epoll_wait", ALL},    {"epoll_pwait", ALL},
    {"epoll_pwait2", ALL},   {"poll", ALL},          {"ppoll", ALL},         {"eventfd2", ALL},
    {"signalfd4", ALL},      {"futex", ALL},         {"futex_waitv", ALL},   {"nanosleep", ALL},
    {"clock_nanosleep", ALL}, {"sched_yield", ALL},  {"restart_syscall", ALL},
    /* memory: mmap and mprotect have a rule of their own */
    {"brk", ALL},            {"munmap", ALL},        {"madvise", ALL},       {"mremap", ALL},
    /* itself and the time */
    {"clock_gettime", ALL},  {"gettimeofday", ALL},  {"time", ALL},          {"getrandom", ALL},
    {"getpid", ALL},         {"gettid", ALL},        {"getuid", ALL},        {"geteuid", ALL},
    {"getgid", ALL},         {"getegid", ALL},       {"getrusage", ALL},     {"uname", ALL},
    {"getcpu", ALL},         {"sysinfo", ALL},       {"sched_getaffinity", ALL}, {"rt_sigaction", ALL},
    {"rt_sigprocmask", ALL}, {"rt_sigreturn", ALL},  {"sigaltstack", ALL},   {"rseq", ALL},
    {"set_robust_list", ALL}, {"membarrier", ALL},   {"exit", ALL},          {"exit_group", ALL},
    /* connections that come in */
    {"accept4", E},          {"socketpair", E | D},  {"setsockopt", E | D},
    /* connections that go out: socket has a rule of its own, landlock bars listening on TCP */
    {"connect", D},          {"bind", D},
    /* files: landlock says which */
    {"openat", S | A | K},   {"open", S | A | K},    {"newfstatat", S | A | K}, {"stat", S | A | K},
    {"lstat", S | A | K},    {"statx", S | A | K},   {"access", S | A | K},  {"faccessat", S | A | K},
    {"faccessat2", S | A | K}, {"getdents64", S | A | K}, {"readlink", S | A | K}, {"readlinkat", S | A | K},
    {"getcwd", S | A},       {"flock", S | A},       {"fsync", S | A},       {"fdatasync", S | A},
    {"rename", S | A},       {"renameat", S | A},    {"renameat2", S | A},   {"unlink", S | A},
    {"unlinkat", S | A},     {"fchmod", S | A},      {"fallocate", S | A},   {"msync", S | A},
    {"mkdir", S},            {"mkdirat", S},         {"rmdir", S},           {"link", S},
    {"linkat", S},           {"truncate", S},        {"sync_file_range", S}, {"syncfs", S},
    {"fadvise64", S},        {"readahead", S},       {"copy_file_range", S}, {"statfs", S},
    {"fstatfs", S},          {"utimensat", S},       {"preadv2", S},         {"pwritev2", S},
    /* threads: clone has a rule of its own */
    {"sched_setaffinity", S}, {"sched_getparam", S | A}, {"sched_getscheduler", S | A}, {"setpriority", S | A},
    {"getpriority", S},      {"ioprio_set", S},      {"mincore", S},         {"mlock", A | K},
#if FIBER_ASAN /* symbols, memory maps and the search for leaks at the end */
    {"openat", P | E | D},       {"open", P | E | D},        {"readlink", P | E | D},    {"readlinkat", P | E | D},
    {"newfstatat", P | E | D},   {"stat", P | E | D},        {"statx", P | E | D},       {"getdents64", P | E | D},
    {"clone", ALL},          {"ptrace", ALL},        {"wait4", ALL},         {"prctl", ALL},
    {"process_vm_readv", ALL}, {"prlimit64", ALL},   {"getppid", ALL},       {"personality", ALL},
    {"access", P | E | D},       {"kill", ALL},          {"mincore", ALL},       {"tgkill", ALL},
    {"sched_getparam", P | E | K | D}, {"getrlimit", ALL}, {"setitimer", ALL},
#endif
};

static void
miss(struct confine_report *r, const char *what)
{
    size_t n = strlen(r->missing);

    (void)snprintf(r->missing + n, sizeof r->missing - n, "%s%s", n > 0 ? ", " : "", what);
}

static bool
limit(__rlimit_resource_t what, uint64_t most)
{
    struct rlimit now, want = {most, most};

    if (getrlimit(what, &now) != 0)
        return false;
    if (now.rlim_max < want.rlim_max) /* raising is not for everybody; what is there must do */
        want.rlim_cur = want.rlim_max = now.rlim_max;
    return setrlimit(what, &want) == 0;
}

static enum status
set_limits(const struct confinement *c, bool root, struct err *err)
{
    bool ok = limit(RLIMIT_CORE, 0);

    if (c->files != 0)
        ok = ok && limit(RLIMIT_NOFILE, c->files);
    if (c->memory != 0 && !FIBER_ASAN)
        ok = ok && limit(RLIMIT_DATA, c->memory);
    if (c->file_size != 0)
        ok = ok && limit(RLIMIT_FSIZE, c->file_size);
    if (c->tasks != 0 && root && c->uid != CONFINE_STAY) /* else it would count the person's other processes */
        ok = ok && limit(RLIMIT_NPROC, c->tasks);
    return ok ? ST_OK : err_sys(err, "confine %s: resource limits", c->role);
}

/* User, groups and capabilities. What remains is exactly c->caps, in no bounding or ambient set. */
static enum status
set_ids(const struct confinement *c, bool root, struct confine_report *r, struct err *err)
{
    bool change = root && c->uid != CONFINE_STAY;
    int got;

    capng_clear(CAPNG_SELECT_ALL);
    if (root)
        for (size_t i = 0; i < CONFINE_CAPS && c->caps[i] != 0; i++)
            if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)(c->caps[i] - 1)) != 0)
                return err_set(err, ST_UNSUPPORTED, "confine %s: capability %d", c->role, c->caps[i] - 1);
    if (change)
        got = capng_change_id((int)c->uid, (int)c->gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING | CAPNG_CLEAR_AMBIENT);
    else
        got = capng_apply(root ? CAPNG_SELECT_ALL : CAPNG_SELECT_CAPS);
    if (got != 0)
        return err_set(err, ST_IO, "confine %s: user %d and capabilities: libcap-ng says %d", c->role, (int)c->uid, got);
    r->ids = change;
    if (!change)
        miss(r, root ? "own user (none is set)" : CONFINE_NOT_ROOT);
    return ST_OK;
}

/* The kernel's structs and numbers, as the installed headers may be older than the kernel
 * (landlock(7)); a shorter struct is an older ABI. */
struct ruleset {
    uint64_t fs, net, scoped;
};
struct __attribute__((packed)) path_beneath {
    uint64_t allowed;
    int32_t parent;
};
#define LL_WRITE_FILE (1u << 1)
#define LL_READ_FILE (1u << 2)
#define LL_READ_DIR (1u << 3)
#define LL_ALL_ABI1 0x1fffu
#define LL_REFER (1u << 13)
#define LL_TRUNCATE (1u << 14)
#define LL_IOCTL_DEV (1u << 15)
#define LL_MAKE 0x11b0u /* remove dir and file, make dir, regular file, and (12) symbolic links */
#define LL_FILE (LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE)

static uint64_t
handled(int abi)
{
    return LL_ALL_ABI1 | (abi >= 2 ? LL_REFER : 0) | (abi >= 3 ? LL_TRUNCATE : 0) | (abi >= 5 ? LL_IOCTL_DEV : 0);
}

static enum status
allow_path(int ruleset, const struct confine_path *p, uint64_t known, struct err *err)
{
    AUTO_FD fd = open(p->path, O_PATH | O_CLOEXEC);
    struct path_beneath rule = {.allowed = LL_READ_FILE | LL_READ_DIR, .parent = fd};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, "confine: %s", p->path);
    if (p->write)
        rule.allowed |= LL_WRITE_FILE | LL_TRUNCATE | LL_REFER | LL_MAKE;
    if (!S_ISDIR(st.st_mode))
        rule.allowed &= LL_FILE;
    rule.allowed &= known;
    if (syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0) != 0)
        return err_sys(err, "confine: landlock rule for %s", p->path);
    return ST_OK;
}

static enum status
set_landlock(const struct confinement *c, struct confine_report *r, struct err *err)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* tell the version */);
    struct ruleset rules = {0};
    AUTO_FD fd = -1;

    if (abi < 1) {
        miss(r, "landlock (not in this kernel)");
        return ST_OK;
    }
    rules.fs = handled(abi);
    rules.net = abi < 4 ? 0 : (c->calls & D) ? 1 : 3; /* no TCP bind, no TCP connect */
    rules.scoped = abi >= 6 ? 3 : 0; /* no abstract sockets of others, no signals to others */
    fd = (int)syscall(SYS_landlock_create_ruleset, &rules, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
    if (fd < 0)
        return err_sys(err, "confine %s: landlock", c->role);
    for (const struct confine_path *p = c->paths; p->path != NULL; p++) {
        enum status st = allow_path(fd, p, rules.fs, err);

        if (st != ST_OK)
            return st;
    }
#if FIBER_ASAN
    (void)allow_path(fd, &(struct confine_path){"/proc", false}, rules.fs, NULL);
#endif
    if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        return err_sys(err, "confine %s: landlock", c->role);
    r->landlock_abi = abi;
    if (abi < 6)
        miss(r, "landlock for signals and TCP (older kernel)");
    return ST_OK;
}

/* Rules that look at arguments. False when libseccomp refuses one. */
static bool
add_rules(scmp_filter_ctx ctx, unsigned who)
{
    const struct scmp_arg_cmp not_executable = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    const struct scmp_arg_cmp thread = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM);
    static const scmp_datum_t families[] = {AF_INET, AF_INET6}; /* nor packets, nor netlink, nor sockets in files */
    const struct scmp_arg_cmp self = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid());
    bool ok = true;

    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable) == 0;
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_executable) == 0;
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FIONREAD)) == 0;
    ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS)) == 0;
    if (!FIBER_ASAN) {
        ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self) == 0; /* abort() */
        ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)) == 0;
        ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA)) == 0;
        ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                                    SCMP_A2(SCMP_CMP_EQ, 0)) == 0; /* reading its own */
        if (who & (S | A | D))
            ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, thread) == 0;
    }
    for (size_t i = 0; ok && (who & D) != 0 && i < COUNT(families); i++)
        ok = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, families[i])) == 0;
    if (who & (S | A | D)) /* its flags lie in memory, where a filter cannot look: glibc then takes clone */
        ok = ok && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
    return ok;
}

static enum status
set_seccomp(const struct confinement *c, struct confine_report *r, struct err *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    bool ok = ctx != NULL;
    int got = 0;

    for (size_t i = 0; ok && i < COUNT(calls); i++) {
        int number = seccomp_syscall_resolve_name(calls[i].name);

        if ((calls[i].who & c->calls) != 0 && number != __NR_SCMP_ERROR)
            ok = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0) == 0;
    }
    ok = ok && add_rules(ctx, c->calls) && seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0;
    if (ok)
        got = seccomp_load(ctx);
    seccomp_release(ctx);
    if (!ok)
        return err_set(err, ST_UNSUPPORTED, "confine %s: libseccomp refuses a rule", c->role);
    if (got == -EINVAL || got == -ENOSYS) {
        miss(r, "seccomp (not in this kernel)");
        return ST_OK;
    }
    if (got != 0)
        return err_set(err, ST_IO, "confine %s: seccomp: error %d", c->role, -got);
    r->seccomp = true;
    return ST_OK;
}

enum status
confine_apply(const struct confinement *c, struct confine_report *report, struct err *err)
{
    struct confine_report r = {0};
    bool root = geteuid() == 0;
    enum status st;

    st = set_limits(c, root, err);
    if (st == ST_OK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        st = err_sys(err, "confine %s: no_new_privs", c->role);
    if (st == ST_OK) /* before the user is changed, who perhaps may not pass through the folders above */
        st = set_landlock(c, &r, err);
    if (st == ST_OK)
        st = set_ids(c, root, &r, err);
    /* Without root all programs share a user: none may trace another. */
    if (st == ST_OK && !FIBER_ASAN && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        st = err_sys(err, "confine %s: dumpable", c->role);
    if (st == ST_OK)
        st = set_seccomp(c, &r, err);
    if (st == ST_OK)
        *report = r;
    return st;
}
