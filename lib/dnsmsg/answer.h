/*
 * A resolver's answer to one question, read: what came of it, and the records at the end of the chain of
 * CNAMEs. Pure functions over the wire form (RFC 1035 4); no I/O.
 */
#pragma once
#include "dnsmsg/record.h"

#define DNSMSG_RECORDS_MAX   512u          /* of an answer, those of the chain counted */
#define DNSMSG_RECORDS_BYTES (48u * 1024u) /* packed */
#define DNSMSG_CHAIN_MAX     12u           /* CNAMEs behind one another */

/* What came of a question: name, what it is called, what it means. Numbers travel between programs: append
 * only. What is not known for sure (from FAILED on, but for BAD_NAME) is to be asked again later. */
#define DNSMSG_OUTCOMES(O)                                                                                   \
    O(FOUND, "found", "there are records")                                                                   \
    O(NODATA, "no data", "the name exists, without records of that type (RFC 2308 2.2)")                     \
    O(NXDOMAIN, "no such name", "the name does not exist (RFC 2308 2.1)")                                    \
    O(FAILED, "failure", "the servers did not give an answer that can be used")                              \
    O(BOGUS, "bogus", "the answer is not signed as it has to be (RFC 4033 5)")                               \
    O(TIMEOUT, "timeout", "there was no answer in time")                                                     \
    O(TOO_MUCH, "too much", "more records, or more CNAMEs behind one another, than are taken")               \
    O(BAD_NAME, "bad name", "it is no name that can be asked for")

enum dnsmsg_outcome {
    DNSMSG_OUTCOME_NONE,
#define DNSMSG_OUTCOME(name, text, meaning) DNSMSG_##name,
    DNSMSG_OUTCOMES(DNSMSG_OUTCOME)
#undef DNSMSG_OUTCOME
        DNSMSG_OUTCOME_COUNT
};
const char *dnsmsg_outcome_text(enum dnsmsg_outcome outcome);

/* How far an answer is to be trusted (RFC 4033 5). INDETERMINATE: it was not validated. */
#define DNSMSG_SECURITIES(S)                                                                                 \
    S(INDETERMINATE, "indeterminate")                                                                        \
    S(INSECURE, "insecure")                                                                                  \
    S(SECURE, "secure")                                                                                      \
    S(UNTRUSTED, "bogus")

enum dnsmsg_security {
    DNSMSG_SECURITY_NONE,
#define DNSMSG_SECURITY(name, text) DNSMSG_##name,
    DNSMSG_SECURITIES(DNSMSG_SECURITY)
#undef DNSMSG_SECURITY
        DNSMSG_SECURITY_COUNT
};
const char *dnsmsg_security_text(enum dnsmsg_security security);

struct dnsmsg_answer {
    enum dnsmsg_outcome outcome; /* FOUND, NODATA, NXDOMAIN or FAILED */
    uint8_t rcode;
    uint32_t ttl; /* seconds: the least of all that was used; of what is not there, as RFC 2308 5 has it */
    uint32_t count;
};

/* Reads the answer to a question for `type`, which is one of DNSMSG_TYPES. *name gets the name at the end of
 * the chain, *records what is there (dnsmsg/record.h); both belong to the caller and are empty. ST_SYNTAX: it
 * is malformed. ST_LIMIT: more than the limits above, or a chain that is a ring. */
MUST_CHECK enum status dnsmsg_answer_read(struct slice message, uint16_t type, struct buf *name,
                                          struct buf *records, struct dnsmsg_answer *answer);
