#include "auth/hash.h"

#include <stdlib.h>

#include "auth/verified.h"
#include "base/test.h"

TEST(phc)
{
    /* The argon2 command: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 32 */
    static const char known[] =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    static const struct {
        const char *phc, *password;
        enum status want;
    } cases[] = {
        {known, "password", ST_OK},
        {known, "Password", ST_DENIED},
        {"", "password", ST_DENIED},
        {"$argon2id$v=19$m=65537,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", ST_CORRUPT},
        {"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", ST_CORRUPT},
        {"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password", ST_CORRUPT},
        {"$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$", "password", ST_CORRUPT},
        {"$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ", "password", ST_CORRUPT},
        {"*", "password", ST_CORRUPT},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_INT(i, hash_verify(cases[i].phc, slice_of(cases[i].password)), cases[i].want);
}

TEST(make)
{
    struct secret a, b;
    struct scram_verifier v;

    CHECK_INT(0, hash_make(SLICE("one"), true, &a), ST_OK);
    CHECK_INT(0, hash_make(SLICE("one"), true, &b), ST_OK);
    CHECK(1, strcmp(a.phc, b.phc) != 0);
    CHECK(1, memcmp(a.scram.salt, b.scram.salt, SCRAM_SALT) != 0);
    CHECK_INT(2, hash_verify(a.phc, SLICE("one")), ST_OK);
    CHECK_INT(2, hash_verify(a.phc, SLICE("two")), ST_DENIED);
    CHECK(3, scram_make(SCRAM_SHA256, SLICE("one"), a.scram.salt, a.scram.iterations, &v) && memcmp(&v, &a.scram, sizeof v) == 0);
    CHECK_INT(4, hash_make(SLICE(""), true, &a), ST_SYNTAX);
}

/* --- the threads --- */

static struct loop *loop;
static unsigned reported, late;
static bool right;

static void
on_done(struct hash_job *job)
{
    CHECK(0, job->password[0] == 0);
    right = right && (job->result == ST_OK || (job->result == ST_TIMEOUT && job->deadline == 0));
    late += job->result == ST_TIMEOUT;
    if (++reported == 6)
        loop_stop(loop);
}

TEST(queue)
{
    struct hasher *h = NULL;
    struct hash_job *jobs = calloc(7, sizeof *jobs);
    struct secret secret;
    struct err err = {0};
    unsigned accepted = 0;

    CHECK_INT(0, loop_new(&loop, &err), ST_OK);
    CHECK_INT(0, hash_make(SLICE("right"), true, &secret), ST_OK);
    CHECK_INT(0, hasher_new(loop, 2, 2, &h, &err), ST_OK);
    reported = late = 0;
    right = true;
    for (int i = 0; i < 7; i++) {
        jobs[i] = (struct hash_job){.done = on_done, .kind = i == 0 ? HASH_MAKE : HASH_VERIFY, .secret = secret,
                                    .password = "right", .password_n = 5, .deadline = i == 1 ? 0 : NEVER};
        enum status st = hasher_submit(h, &jobs[i]);

        CHECK(i, st == ST_OK || st == ST_UNAVAILABLE);
        accepted += st == ST_OK;
    }
    CHECK(1, accepted >= 2 && accepted < 7); /* two wait, two at work, and perhaps the late one is over */
    reported = 6 - accepted;
    CHECK_INT(2, loop_run(loop, &err), ST_OK);
    CHECK_INT(3, reported, 6);
    CHECK_INT(4, late, 1);
    CHECK(5, right);
    CHECK_INT(6, hash_verify(jobs[0].secret.phc, SLICE("right")), ST_OK);
    hasher_free(h);
    loop_free(loop);
    free(jobs);
}

TEST(verified)
{
    static const uint8_t key[SASL_HASH] = {7};
    struct verified *v = NULL;
    char name[16];

    CHECK_INT(0, verified_new(64, key, &v), ST_OK);
    CHECK(0, !verified_has(v, 1, SLICE("a@x"), "$phc", SLICE("pw")));
    verified_add(v, 1, SLICE("a@x"), "$phc", SLICE("pw"));
    CHECK(1, verified_has(v, 1, SLICE("a@x"), "$phc", SLICE("pw")));
    CHECK(2, !verified_has(v, 1, SLICE("a@x"), "$phc", SLICE("pW")));
    CHECK(3, !verified_has(v, 1, SLICE("a@y"), "$phc", SLICE("pw")));
    CHECK(4, !verified_has(v, 1, SLICE("a@x"), "$phd", SLICE("pw"))); /* changed since */
    CHECK(5, verified_has(v, VERIFIED_LIFE, SLICE("a@x"), "$phc", SLICE("pw")));
    CHECK(6, !verified_has(v, VERIFIED_LIFE + 1, SLICE("a@x"), "$phc", SLICE("pw")));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "u%d", i);
        verified_add(v, 2 + (uint64_t)i, slice_of(name), "$phc", SLICE("pw"));
        CHECK(i, verified_has(v, 2 + (uint64_t)i, slice_of(name), "$phc", SLICE("pw")));
    }
    CHECK(7, !verified_has(v, 1001, SLICE("a@x"), "$phc", SLICE("pw"))); /* made room */
    verified_free(v);
}

TEST_MAIN(phc, make, queue, verified)
