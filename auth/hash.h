/*
 * Hashing of passwords: argon2id (RFC 9106) on threads of their own, each with its memory allocated once, for fresh
 * pages would cost more than the hash. Jobs wait in a bounded queue; what could not begin before its
 * deadline is not begun. Results are posted to the loop. A hash in PHC string format:
 *
 *     $argon2id$v=19$m=7168,t=5,p=1$<salt>$<hash>      (base64 without padding)
 *
 * What is verified may have other costs, up to HASH_KIB_MAX and HASH_PASSES_MAX: secrets made elsewhere.
 */
#pragma once
#include "auth/secret.h"
#include "sys/loop.h"

#define HASH_KIB 7168u
#define HASH_PASSES 5u
#define HASH_KIB_MAX 65536u
#define HASH_PASSES_MAX 10u
#define HASH_SALT 16u
#define HASH_SIZE 32u

struct hash_job {
    void (*done)(struct hash_job *job); /* in the loop's thread, once */
    enum { HASH_VERIFY, HASH_MAKE } kind;
    uint64_t deadline; /* clock_mono(): not begun later */
    struct secret secret; /* VERIFY: its phc, "" for a name that is not known: the same work, ST_DENIED. MAKE: the result */
    uint8_t password[SASL_PASSWORD_MAX]; /* wiped before done() */
    size_t password_n;
    bool sha1; /* MAKE: a verifier of SCRAM-SHA-1 too */
    enum status result; /* ST_OK, ST_DENIED, ST_TIMEOUT (deadline), ST_MEMORY, ST_CORRUPT (phc) */
    /* hash.c's */
    struct hash_job *next;
    struct posted posted;
    struct hasher *hasher;
};

struct hasher;
/* most: jobs that may wait, those at work not counted. */
MUST_CHECK enum status hasher_new(struct loop *loop, unsigned threads, unsigned most, struct hasher **h, struct err *err);
/* Waits for the threads. Jobs that have not begun are dropped without done(); the loop must not run again before. */
void hasher_free(struct hasher *h);
/* ST_OK: done() will be called; the job is the hasher's until then. ST_UNAVAILABLE: the queue is full. */
MUST_CHECK enum status hasher_submit(struct hasher *h, struct hash_job *job);

/* What the threads do, for tests and offline tools: in the caller's thread. */
MUST_CHECK enum status hash_verify(const char *phc, struct slice password);
/* The verifiers of a password, with fresh salts; sha1: also that of SCRAM-SHA-1. */
MUST_CHECK enum status hash_make(struct slice password, bool sha1, struct secret *secret);
