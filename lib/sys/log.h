/*
 * The log: one line an event, in the shape that sendmail's readers know,
 * "Nov 24 04:29:48 host smtpd[4711]: text". Lines go to one descriptor that the master gave
 * (a file opened for append, or a pipe), each whole in one write of at most LOG_LINE bytes, so that
 * lines of many programs never mix. Control characters become '?'. Any thread may log.
 */
#pragma once
#include <stdatomic.h>

#include "base/slice.h"

#define LOG_LINE 2048 /* below PIPE_BUF, so that a write to a pipe is whole */
#define LOG_RATE 20   /* lines a second of one log_at(); what is more is counted and told */

enum log_level { /* syslog's numbers */
    LOG_LEVEL_ERR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7,
};

/* fd stays the caller's; lines above `most` are dropped. Before confinement, for it reads the
 * time zone and the host's name. Until then lines go to standard error. */
void log_start(const char *program, int fd, enum log_level most);
/* Another level, e.g. after a reload. */
void log_set_level(enum log_level most);

struct log_site {
    atomic_ullong second; /* in which `lines` were written */
    atomic_uint lines, dropped;
};

/* For what a peer can bring about at will: at most LOG_RATE lines a second of each place in the code. */
#define log_at(level, ...)                                                              \
    do {                                                                                \
        static struct log_site log_site_;                                               \
        log_limited(&log_site_, (level), __VA_ARGS__);                                  \
    } while (0)
void log_limited(struct log_site *site, enum log_level level, const char *fmt, ...) PRINTF(3, 4);
/* For the records of mail (from=, to=, reject=): never dropped for its rate. */
void log_mail(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

/* While a thread gathers, its lines of NOTICE and below are written together, by log_flush() or when
 * LOG_LINE bytes are there. loop_run() does both. */
void log_gather(bool on);
void log_flush(void);
