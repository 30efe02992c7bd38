/*
 * Questions to dnsd, for every program that has a channel to it. On a fiber.
 */
#pragma once
#include "dnsmsg/answer.h"

struct dns_answer {
    enum dnsmsg_outcome outcome;
    enum dnsmsg_security security;
    uint32_t ttl;
    struct slice name;    /* at the end of the chain of CNAMEs */
    struct slice records; /* dnsmsg_record_take() */
    struct slice why;     /* for a log */
    struct buf reply;     /* they point into it */
};

/* The answer of dnsd, read: ST_SYNTAX when it is not understood. reply must stay where it is. */
MUST_CHECK enum status dns_answer_read(struct slice reply, struct dns_answer *answer);
/* Asks, again when dnsd is started anew meanwhile, until the deadline. ST_OK: there is an answer, perhaps
 * that there is nothing; dns_answer_done() frees it. All else is temporary. */
MUST_CHECK enum status dns_ask(struct slice name, uint16_t type, uint64_t deadline,
                               struct dns_answer *answer);
void dns_answer_done(struct dns_answer *answer);
