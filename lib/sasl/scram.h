/*
 * SCRAM-SHA-256 and SCRAM-SHA-1, the server's side (RFC 5802, RFC 7677), with channel binding (-PLUS) by
 * tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929 4); tls-unique is not offered, for TLS 1.3 has none.
 * Pure: the nonce, the verifier and what the channel is bound to are passed in. The conversation:
 *
 *   scram_first   client-first-message -> the name; the caller looks for its verifier
 *   scram_begin   nonce, verifier (or scram_fake) -> server-first-message
 *   scram_final   client-final-message -> server-final-message
 *
 * A name that is not known walks the same path with a salt and keys derived from it
 * by HMAC under a key of the server: asked again it is the same, and nothing tells it from a known one.
 * Passwords are taken as they are: whoever makes a verifier prepares them. fuzz/sasl_scram.c.
 */
#pragma once
#include "sasl/sasl.h"

#define SCRAM_SALT 16u
#define SCRAM_ITERATIONS 4096u /* RFC 7677 4 */
#define SCRAM_ITERATIONS_MAX 1000000u
#define SCRAM_NONCE_MAX 128u
#define SCRAM_BINDING_MAX 64u /* bytes: a SHA-512 at most (RFC 5929 4.1) */

enum scram_hash { SCRAM_SHA256, SCRAM_SHA1 };

/* What the TLS channel is bound to, as edged said; empty: that type is not there. */
struct scram_binding {
    struct slice exporter, end_point;
};

struct scram_verifier {
    uint32_t iterations;
    uint8_t salt[SCRAM_SALT];
    uint8_t stored_key[SASL_HASH]; /* of SHA-1 the first 20 bytes, then zeros */
    uint8_t server_key[SASL_HASH];
};

/* RFC 5802 3. False when OpenSSL fails. Slow by design: milliseconds. */
MUST_CHECK bool scram_make(enum scram_hash hash, struct slice password, const uint8_t salt[SCRAM_SALT], uint32_t iterations,
                           struct scram_verifier *v);
MUST_CHECK bool scram_fake(enum scram_hash hash, struct slice key, struct slice name, struct scram_verifier *v);

enum scram_state { SCRAM_NEW, SCRAM_NAMED, SCRAM_ASKED, SCRAM_OVER };
/* Zero-initialise; scram_done frees. */
struct scram {
    enum scram_state state;
    enum scram_hash hash;
    bool known;
    uint8_t name[SASL_NAME_MAX], authzid[SASL_NAME_MAX]; /* =2C and =3D undone */
    uint8_t name_n, authzid_n;
    struct buf gs2;   /* the gs2-header as it came */
    struct buf nonce; /* the client's, later the whole */
    struct buf auth;  /* AuthMessage, so far */
    uint8_t bound[SCRAM_BINDING_MAX], bound_n; /* what the client bound itself to; 0: nothing */
    struct scram_verifier v;
};
void scram_done(struct scram *s); /* also wipes what is secret */

/* plus: a -PLUS mechanism was chosen. binding: what could be bound to, so that -PLUS was offered.
 * ST_MORE: s->name is there. ST_SYNTAX, ST_LIMIT, ST_UNSUPPORTED (a type of binding that is not there, or an extension
 * that the client wants understood), or ST_DENIED (the client believes that we offer no binding, so that somebody
 * between took it away, RFC 5802 6): it is over. */
MUST_CHECK enum status scram_first(struct scram *s, enum scram_hash hash, bool plus, const struct scram_binding *binding,
                                   struct slice message);
/* nonce: fresh random bytes, given in base64 to the client. known: false when v is a fake. Appends to *out. */
MUST_CHECK enum status scram_begin(struct scram *s, struct slice nonce, const struct scram_verifier *v, bool known,
                                   struct buf *out);
/* ST_OK: v= in *out. ST_DENIED: wrong password or unknown name, e= in *out. ST_SYNTAX, ST_STATE, ST_MEMORY. */
MUST_CHECK enum status scram_final(struct scram *s, struct slice message, struct buf *out);
