/*
 * SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), without channel binding.
 * Pure: the nonce and the verifier are passed in. The conversation:
 *
 *   scram_first   client-first-message -> the name; the caller looks for its verifier
 *   scram_begin   nonce, verifier (or scram_fake) -> server-first-message
 *   scram_final   client-final-message -> server-final-message
 *
 * A name that is not known walks the same path with a salt and keys derived from it
 * by HMAC under a key of the server: asked again it is the same, and nothing tells it from a known one.
 * Passwords are taken as they are: SASLprep (RFC 4013) changes nothing in ASCII; other passwords work
 * with clients that send what was set. fuzz/sasl_scram.c.
 */
#pragma once
#include "sasl/sasl.h"

#define SCRAM_SALT 16u
#define SCRAM_ITERATIONS 4096u /* RFC 7677 4 */
#define SCRAM_ITERATIONS_MAX 1000000u
#define SCRAM_NONCE_MAX 128u

struct scram_verifier {
    uint32_t iterations;
    uint8_t salt[SCRAM_SALT];
    uint8_t stored_key[SASL_HASH];
    uint8_t server_key[SASL_HASH];
};

/* RFC 5802 3. False when OpenSSL fails. Slow by design: milliseconds. */
MUST_CHECK bool scram_make(struct slice password, const uint8_t salt[SCRAM_SALT], uint32_t iterations,
                           struct scram_verifier *v);
MUST_CHECK bool scram_fake(struct slice key, struct slice name, struct scram_verifier *v);

enum scram_state { SCRAM_NEW, SCRAM_NAMED, SCRAM_ASKED, SCRAM_OVER };
/* Zero-initialise; scram_done frees. */
struct scram {
    enum scram_state state;
    bool known;
    uint8_t name[SASL_NAME_MAX], authzid[SASL_NAME_MAX]; /* =2C and =3D undone */
    uint8_t name_n, authzid_n;
    struct buf gs2;   /* the gs2-header as it came */
    struct buf nonce; /* the client's, later the whole */
    struct buf auth;  /* AuthMessage, so far */
    struct scram_verifier v;
};
void scram_done(struct scram *s); /* also wipes what is secret */

/* ST_MORE: s->name is there. ST_SYNTAX, ST_LIMIT, or ST_UNSUPPORTED (channel binding, or an extension that
 * the client wants understood): it is over. */
MUST_CHECK enum status scram_first(struct scram *s, struct slice message);
/* nonce: fresh random bytes, given in base64 to the client. known: false when v is a fake. Appends to *out. */
MUST_CHECK enum status scram_begin(struct scram *s, struct slice nonce, const struct scram_verifier *v, bool known,
                                   struct buf *out);
/* ST_OK: v= in *out. ST_DENIED: wrong password or unknown name, e= in *out. ST_SYNTAX, ST_STATE, ST_MEMORY. */
MUST_CHECK enum status scram_final(struct scram *s, struct slice message, struct buf *out);
