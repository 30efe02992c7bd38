/*
 * The SASL mechanisms of this system, in one table: what logind and submitd announce and what authd takes are
 * made of it. Pure.
 */
#pragma once
#include "base/buf.h"

#define NEEDS_CLEAR    1u /* shows the password to whoever listens: not without TLS */
#define NEEDS_BINDING  2u /* binds itself to the TLS channel */
#define NEEDS_SHA1     4u /* only where the setting scram_sha1 asks for it */
#define NEEDS_EXTERNAL 8u /* only with a client's certificate */

/* symbol, name, what it needs to be offered; in the order in which they are announced */
#define SASL_MECHANISMS(M)                                                                                   \
    M(PLAIN, "PLAIN", NEEDS_CLEAR)                                                                           \
    M(LOGIN, "LOGIN", NEEDS_CLEAR)                                                                           \
    M(SCRAM_SHA_256, "SCRAM-SHA-256", 0)                                                                     \
    M(SCRAM_SHA_256_PLUS, "SCRAM-SHA-256-PLUS", NEEDS_BINDING)                                               \
    M(SCRAM_SHA_1, "SCRAM-SHA-1", NEEDS_SHA1)                                                                \
    M(SCRAM_SHA_1_PLUS, "SCRAM-SHA-1-PLUS", NEEDS_SHA1 | NEEDS_BINDING)                                      \
    M(EXTERNAL, "EXTERNAL", NEEDS_EXTERNAL)

enum sasl_mechanism {
    SASL_NO_MECHANISM,
#define SASL_MECHANISM_ENUM(symbol, name, needs) SASL_##symbol,
    SASL_MECHANISMS(SASL_MECHANISM_ENUM)
#undef SASL_MECHANISM_ENUM
};

enum sasl_mechanism sasl_mechanism_find(struct slice name); /* RFC 4422 3.1: in any case */
const char *sasl_mechanism_name(enum sasl_mechanism m);     /* of one that there is; static */
unsigned sasl_mechanism_needs(enum sasl_mechanism m);
/* All that a connection can use that has what these NEEDS_ name, each between `before` and `after`. */
void sasl_mechanisms_put(struct buf *out, unsigned has, const char *before, const char *after);
