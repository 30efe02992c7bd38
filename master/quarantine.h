/*
 * Accounts whose mail crashes programs. A program that ended by a crash leaves behind whose session it worked for
 * (fiber_note(), sys/fiber.h); when that was the same account several times within some time, its logins to IMAP and POP3 are
 * refused for a while, so that everybody else has service. Pure over the given clock. The names come from programs that
 * crashed, and perhaps were taken over: they are checked here, and there is room for so many.
 */
#pragma once
#include "base/buf.h"

#define QUARANTINE_MOST 64u        /* accounts that are remembered */
#define QUARANTINE_CRASHES_MAX 16u /* that a setting can ask for */

struct quarantine_rule {
    uint64_t crashes;      /* so many; 0: nobody is quarantined */
    uint64_t within, time; /* nanoseconds: of each other; how long then */
};

struct quarantine {
    struct suspect {
        uint8_t name[256];
        size_t n; /* 0: unused */
        uint64_t at[QUARANTINE_CRASHES_MAX]; /* its crashes, the last one first */
        uint64_t until;
    } suspects[QUARANTINE_MOST];
};

/* True: it is quarantined from now on. False: not yet, or that is no account's name, or all places hold accounts that are. */
bool quarantine_crash(struct quarantine *q, const struct quarantine_rule *rule, struct slice name, uint64_t now);
/* fn for each that is quarantined now. */
void quarantine_each(const struct quarantine *q, uint64_t now,
                     void (*fn)(void *arg, struct slice name, uint64_t left), void *arg);
void quarantine_lift(struct quarantine *q); /* all */
