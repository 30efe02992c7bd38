#include "sys/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static char program_name[32] = "estafeta";
static char host_name[65] = "localhost";
static int log_fd = STDERR_FILENO;
static atomic_int log_most = LOG_LEVEL_NOTICE;
static atomic_int process; /* our number, for asking it costs a system call a line; 0: ask */

/* What this thread has gathered, and its time of day in words, which changes once a second. */
static _Thread_local struct {
    bool on;
    size_t n;
    char bytes[LOG_LINE];
    time_t second;
    char time[32];
} gathered;

static void
forget_process(void)
{
    atomic_store(&process, 0);
}

static int
process_number(void)
{
    int pid = atomic_load_explicit(&process, memory_order_relaxed);

    if (pid != 0)
        return pid;
    pid = (int)getpid();
    atomic_store(&process, pid);
    return pid;
}

void
log_start(const char *program, int fd, enum log_level most)
{
    static bool watching;

    if (!watching) /* a child has a number of its own */
        watching = pthread_atfork(NULL, NULL, forget_process) == 0;
    tzset();
    (void)snprintf(program_name, sizeof program_name, "%s", program);
    if (gethostname(host_name, sizeof host_name - 1) != 0)
        (void)snprintf(host_name, sizeof host_name, "localhost");
    log_fd = fd;
    log_set_level(most);
}

void
log_set_level(enum log_level most)
{
    atomic_store(&log_most, (int)most);
}

static void
write_out(const char *bytes, size_t n)
{
    while (write(log_fd, bytes, n) < 0 && errno == EINTR)
        continue;
    /* A log that cannot be written must not stop the mail; there is nowhere to tell it. */
}

void
log_flush(void)
{
    if (gathered.n == 0)
        return;
    write_out(gathered.bytes, gathered.n);
    gathered.n = 0;
}

void
log_gather(bool on)
{
    if (!on)
        log_flush();
    gathered.on = on;
}

static const char *
time_words(time_t now)
{
    struct tm tm;

    if (gathered.second == now)
        return gathered.time;
    if (localtime_r(&now, &tm) == NULL || strftime(gathered.time, sizeof gathered.time, "%b %e %H:%M:%S", &tm) == 0)
        (void)snprintf(gathered.time, sizeof gathered.time, "Jan  1 00:00:00");
    gathered.second = now;
    return gathered.time;
}

/* Ends the line of n bytes, which were perhaps cut to fit, and makes it harmless to terminals and readers. */
static size_t
finish(char *line, size_t n)
{
    if (n > LOG_LINE - 1)
        n = LOG_LINE - 1;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[n] = '\n';
    return n + 1;
}

static void
emit(enum log_level level, time_t now, const char *fmt, va_list args)
{
    char line[LOG_LINE + 1];
    size_t n;
    int got;

    got = snprintf(line, sizeof line, "%s %s %s[%d]: ", time_words(now), host_name, program_name, process_number());
    n = got > 0 ? (size_t)got : 0;
    got = vsnprintf(line + n, sizeof line - n, fmt, args);
    n += got > 0 ? (size_t)got : 0;
    n = finish(line, n);
    if (n > LOG_LINE - gathered.n)
        log_flush();
    if (!gathered.on || level < LOG_LEVEL_NOTICE) {
        log_flush(); /* in order */
        write_out(line, n);
        return;
    }
    memcpy(gathered.bytes + gathered.n, line, n);
    gathered.n += n;
}

static void emit_words(enum log_level level, time_t now, const char *fmt, ...) PRINTF(3, 4);
static void
emit_words(enum log_level level, time_t now, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    emit(level, now, fmt, args);
    va_end(args);
}

/* May this place write one more line in this second? Two threads at once may let one more through. */
static bool
within_rate(struct log_site *site, enum log_level level, time_t now)
{
    unsigned dropped;

    if (atomic_load(&site->second) != (unsigned long long)now) {
        atomic_store(&site->second, (unsigned long long)now);
        atomic_store(&site->lines, 0);
        dropped = atomic_exchange(&site->dropped, 0);
        if (dropped != 0)
            emit_words(level, now, "%u lines like the next one were not logged", dropped);
    }
    if (atomic_fetch_add(&site->lines, 1) < LOG_RATE)
        return true;
    (void)atomic_fetch_add(&site->dropped, 1);
    return false;
}

void
log_limited(struct log_site *site, enum log_level level, const char *fmt, ...)
{
    time_t now = time(NULL);
    int saved = errno;
    va_list args;

    if ((int)level > atomic_load(&log_most) || !within_rate(site, level, now))
        return;
    va_start(args, fmt);
    emit(level, now, fmt, args);
    va_end(args);
    errno = saved;
}

void
log_mail(enum log_level level, const char *fmt, ...)
{
    int saved = errno;
    va_list args;

    if ((int)level > atomic_load(&log_most))
        return;
    va_start(args, fmt);
    emit(level, time(NULL), fmt, args);
    va_end(args);
    errno = saved;
}
