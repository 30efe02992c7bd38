/*
 * PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login-00): a name and a password in
 * clear. Pure; they never say whether the password is right. fuzz/sasl_plain.c.
 */
#pragma once
#include "sasl/sasl.h"

/* All point into the parsed message. */
struct sasl_plain {
    struct slice authzid; /* who to act as; may be empty */
    struct slice authcid; /* whose password it is */
    struct slice password;
};

/* RFC 4616 2: [authzid] NUL authcid NUL passwd. ST_SYNTAX or ST_LIMIT, *plain untouched. */
MUST_CHECK enum status sasl_plain_parse(struct slice message, struct sasl_plain *plain);

/* LOGIN asks twice. Zero-initialise it. */
struct sasl_login {
    uint8_t user[SASL_NAME_MAX];
    uint8_t user_n;
    uint8_t asked; /* 0 nothing, 1 the name, 2 the password, 3 over */
};

/* has: a message came (not so at the start, when the client sent no initial response). ST_MORE: send *challenge
 * (static storage). ST_OK: login->user and *password (points into message). ST_SYNTAX, ST_STATE: it is over. */
MUST_CHECK enum status sasl_login_step(struct sasl_login *login, bool has, struct slice message,
                                       struct slice *challenge, struct slice *password);
