#include "sasl/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

static size_t
size_of(enum scram_hash hash)
{
    return hash == SCRAM_SHA1 ? SHA_DIGEST_LENGTH : SHA256_DIGEST_LENGTH;
}

static const EVP_MD *
md_of(enum scram_hash hash)
{
    return hash == SCRAM_SHA1 ? EVP_sha1() : EVP_sha256();
}

/* Both write size_of(hash) bytes. */
static bool
hmac(enum scram_hash hash, struct slice key, struct slice text, uint8_t out[SASL_HASH])
{
    unsigned n = 0;

    return HMAC(md_of(hash), key.p, (int)key.n, text.p, text.n, out, &n) != NULL && n == size_of(hash);
}

static bool
digest(enum scram_hash hash, const uint8_t *bytes, size_t n, uint8_t out[SASL_HASH])
{
    unsigned got = 0;

    return EVP_Digest(bytes, n, out, &got, md_of(hash), NULL) == 1 && got == size_of(hash);
}

bool
scram_make(enum scram_hash hash, struct slice password, const uint8_t salt[SCRAM_SALT], uint32_t iterations,
           struct scram_verifier *v)
{
    struct scram_verifier got = {.iterations = iterations};
    uint8_t salted[SASL_HASH], client_key[SASL_HASH];
    size_t n = size_of(hash);
    bool ok = password.n <= SASL_PASSWORD_MAX && iterations > 0 && iterations <= SCRAM_ITERATIONS_MAX;

    memcpy(got.salt, salt, SCRAM_SALT);
    ok = ok && PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt, SCRAM_SALT, (int)iterations, md_of(hash),
                                 (int)n, salted) == 1;
    ok = ok && hmac(hash, slice_from(salted, n), SLICE("Client Key"), client_key);
    ok = ok && hmac(hash, slice_from(salted, n), SLICE("Server Key"), got.server_key);
    ok = ok && digest(hash, client_key, n, got.stored_key);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    if (ok)
        *v = got;
    return ok;
}

/* HMAC(key, use || name). */
static bool
derive(struct slice key, const char *use, struct slice name, uint8_t out[SASL_HASH])
{
    AUTO_BUF text = BUF_INIT(SASL_NAME_MAX + 32);

    buf_puts(&text, use);
    buf_put(&text, name);
    return buf_ok(&text) && sasl_hmac(key, buf_slice(&text), out);
}

bool
scram_fake(enum scram_hash hash, struct slice key, struct slice name, struct scram_verifier *v)
{
    struct scram_verifier got = {.iterations = SCRAM_ITERATIONS};
    uint8_t salt[SASL_HASH];

    /* A known name has a salt for each hash, so an unknown one has too. */
    if (!derive(key, hash == SCRAM_SHA1 ? "scram-sha-1 salt " : "scram salt ", name, salt) ||
        !derive(key, "scram stored ", name, got.stored_key) || !derive(key, "scram server ", name, got.server_key))
        return false;
    memcpy(got.salt, salt, SCRAM_SALT);
    *v = got;
    return true;
}

void
scram_done(struct scram *s)
{
    buf_done(&s->gs2);
    buf_done(&s->nonce);
    buf_done(&s->auth);
    OPENSSL_cleanse(&s->v, sizeof s->v);
    s->state = SCRAM_OVER;
}

/* RFC 5802 7 saslname: "=2C" is a comma, "=3D" an equals sign, no other "=". */
static bool
unescape(struct slice in, uint8_t out[SASL_NAME_MAX], uint8_t *out_n)
{
    size_t n = 0;

    while (in.n > 0) {
        uint8_t c = in.p[0];

        if (n == SASL_NAME_MAX)
            return false;
        if (take_literal(&in, SLICE("=2C")))
            out[n++] = ',';
        else if (take_literal(&in, SLICE("=3D")))
            out[n++] = '=';
        else if (c == '=')
            return false;
        else {
            out[n++] = c;
            in = slice_skip(in, 1);
        }
    }
    *out_n = (uint8_t)n;
    return sasl_name_ok(slice_from(out, n));
}

/* RFC 5802 7: "p=" cb-name, of a type that is there. */
static enum status
bind_to(struct scram *s, const struct scram_binding *binding, struct slice type)
{
    struct slice bytes = {0};

    if (slice_eq(type, SLICE("tls-exporter")))
        bytes = binding->exporter;
    else if (slice_eq(type, SLICE("tls-server-end-point")))
        bytes = binding->end_point;
    if (bytes.n == 0 || bytes.n > SCRAM_BINDING_MAX)
        return ST_UNSUPPORTED;
    memcpy(s->bound, bytes.p, bytes.n);
    s->bound_n = (uint8_t)bytes.n;
    return ST_OK;
}

/* RFC 5802 6: the flag must go with the mechanism, and a client that could bind must not be told that we cannot. */
static enum status
take_flag(struct scram *s, bool plus, const struct scram_binding *binding, struct slice *at)
{
    struct slice type;

    if (take_literal(at, SLICE("p="))) {
        type = take_until(at, ',');
        if (!take_byte(at, ','))
            return ST_SYNTAX;
        return plus ? bind_to(s, binding, type) : ST_UNSUPPORTED;
    }
    if (plus)
        return ST_SYNTAX;
    if (take_literal(at, SLICE("n,")))
        return ST_OK;
    if (!take_literal(at, SLICE("y,")))
        return ST_SYNTAX;
    return binding->exporter.n > 0 || binding->end_point.n > 0 ? ST_DENIED : ST_OK;
}

/* RFC 5802 7 gs2-header: cbind-flag "," [ "a=" saslname ] "," */
static enum status
take_gs2(struct scram *s, bool plus, const struct scram_binding *binding, struct slice *in)
{
    struct slice at = *in;
    enum status st = take_flag(s, plus, binding, &at);

    if (st != ST_OK)
        return st;
    if (take_literal(&at, SLICE("a=")) && !unescape(take_until(&at, ','), s->authzid, &s->authzid_n))
        return ST_SYNTAX;
    if (!take_byte(&at, ','))
        return ST_SYNTAX;
    buf_put(&s->gs2, slice_sub(*in, 0, in->n - at.n));
    *in = at;
    return ST_OK;
}

static bool
is_nonce(uint8_t c) /* RFC 5802 7: printable, without the comma */
{
    return c >= 0x21 && c <= 0x7e && c != ',';
}

/* *("," attr-val): what a later version may add and this one need not understand. */
static bool
take_extension(struct slice *in, struct slice *value)
{
    struct slice at = *in;

    if (!take_byte(&at, ',') || at.n < 2 || !ascii_alpha(at.p[0]) || at.p[1] != '=')
        return false;
    *value = take_until(&at, ',');
    if (value->n < 3 || slice_find(*value, 0) != value->n)
        return false;
    *in = at;
    return true;
}

static enum status
parse_first(struct scram *s, bool plus, const struct scram_binding *binding, struct slice message)
{
    struct slice at = message, nonce, value;
    enum status st;

    if (message.n > SASL_MESSAGE_MAX / 4)
        return ST_LIMIT;
    s->gs2.max = s->nonce.max = s->auth.max = SASL_MESSAGE_MAX;
    st = take_gs2(s, plus, binding, &at);
    if (st != ST_OK)
        return st;
    buf_put(&s->auth, at);
    if (take_literal(&at, SLICE("m=")))
        return ST_UNSUPPORTED; /* 5.1: not understood, so it must fail */
    if (!take_literal(&at, SLICE("n=")) || !unescape(take_until(&at, ','), s->name, &s->name_n))
        return ST_SYNTAX;
    if (!take_literal(&at, SLICE(",r=")))
        return ST_SYNTAX;
    nonce = take_while(&at, is_nonce);
    if (nonce.n == 0)
        return ST_SYNTAX;
    if (nonce.n > SCRAM_NONCE_MAX)
        return ST_LIMIT;
    buf_put(&s->nonce, nonce);
    while (at.n > 0)
        if (!take_extension(&at, &value))
            return ST_SYNTAX;
    return buf_ok(&s->gs2) && buf_ok(&s->auth) && buf_ok(&s->nonce) ? ST_OK : ST_MEMORY;
}

enum status
scram_first(struct scram *s, enum scram_hash hash, bool plus, const struct scram_binding *binding, struct slice message)
{
    enum status st = s->state == SCRAM_NEW ? parse_first(s, plus, binding, message) : ST_STATE;

    s->hash = hash;
    s->state = st == ST_OK ? SCRAM_NAMED : SCRAM_OVER;
    return st == ST_OK ? ST_MORE : st;
}

enum status
scram_begin(struct scram *s, struct slice nonce, const struct scram_verifier *v, bool known, struct buf *out)
{
    size_t start = s->auth.n + 1;

    if (s->state != SCRAM_NAMED || nonce.n == 0 || nonce.n > SCRAM_NONCE_MAX) {
        s->state = SCRAM_OVER;
        return ST_STATE;
    }
    s->v = *v;
    s->known = known;
    buf_put_base64(&s->nonce, nonce);
    buf_puts(&s->auth, ",r=");
    buf_put(&s->auth, buf_slice(&s->nonce));
    buf_puts(&s->auth, ",s=");
    buf_put_base64(&s->auth, slice_from(s->v.salt, SCRAM_SALT));
    buf_puts(&s->auth, ",i=");
    buf_put_u64(&s->auth, s->v.iterations);
    buf_put(out, slice_skip(buf_slice(&s->auth), start));
    if (!buf_ok(&s->auth) || !buf_ok(&s->nonce) || !buf_ok(out)) {
        s->state = SCRAM_OVER;
        return ST_MEMORY;
    }
    s->state = SCRAM_ASKED;
    return ST_MORE;
}

/* RFC 5802 7: "c=" base64 "," "r=" nonce *("," attr-val) ",p=" base64. The proof is the last. */
static enum status
parse_final(struct scram *s, struct slice message, uint8_t proof[SASL_HASH])
{
    struct slice at = message, nonce, value = {0}, bare = message;
    AUTO_BUF gs2 = BUF_INIT(SASL_MESSAGE_MAX);
    AUTO_BUF p = BUF_INIT(SASL_HASH);

    if (message.n > SASL_MESSAGE_MAX / 2)
        return ST_LIMIT;
    if (!take_literal(&at, SLICE("c=")) || buf_put_unbase64(&gs2, take_until(&at, ',')) != ST_OK)
        return ST_SYNTAX;
    if (!take_literal(&at, SLICE(",r=")))
        return ST_SYNTAX;
    nonce = take_while(&at, is_nonce);
    while (at.n > 0) {
        bare = slice_sub(message, 0, message.n - at.n);
        if (!take_extension(&at, &value))
            return ST_SYNTAX;
        if (value.p[0] == 'm')
            return ST_UNSUPPORTED;
        if (value.p[0] == 'p')
            break;
    }
    if (at.n > 0 || !take_literal(&value, SLICE("p=")) || buf_put_unbase64(&p, value) != ST_OK || p.n != size_of(s->hash))
        return ST_SYNTAX;
    /* 6: else somebody between changed what the client said of channel binding, or ends its channel */
    buf_put(&s->gs2, slice_from(s->bound, s->bound_n)); /* cbind-input = gs2-header [ cbind-data ] */
    if (!slice_eq_secret(buf_slice(&gs2), buf_slice(&s->gs2)) || !slice_eq(nonce, buf_slice(&s->nonce)))
        return ST_DENIED;
    buf_putc(&s->auth, ',');
    buf_put(&s->auth, bare);
    memcpy(proof, p.p, p.n);
    return buf_ok(&s->auth) && buf_ok(&s->gs2) ? ST_OK : ST_MEMORY;
}

/* RFC 5802 3: H(ClientProof XOR HMAC(StoredKey, AuthMessage)) is StoredKey. */
static enum status
check_proof(struct scram *s, uint8_t proof[SASL_HASH], uint8_t signature[SASL_HASH])
{
    uint8_t key[SASL_HASH];
    size_t n = size_of(s->hash);
    bool right;

    if (!hmac(s->hash, slice_from(s->v.stored_key, n), buf_slice(&s->auth), key))
        return ST_MEMORY;
    for (size_t i = 0; i < n; i++)
        proof[i] ^= key[i];
    if (!digest(s->hash, proof, n, key))
        return ST_MEMORY;
    if (!hmac(s->hash, slice_from(s->v.server_key, n), buf_slice(&s->auth), signature))
        return ST_MEMORY;
    right = slice_eq_secret(slice_from(key, n), slice_from(s->v.stored_key, n));
    return (right & s->known) ? ST_OK : ST_DENIED;
}

enum status
scram_final(struct scram *s, struct slice message, struct buf *out)
{
    uint8_t proof[SASL_HASH], signature[SASL_HASH];
    enum status st = s->state == SCRAM_ASKED ? parse_final(s, message, proof) : ST_STATE;

    s->state = SCRAM_OVER;
    if (st == ST_OK)
        st = check_proof(s, proof, signature);
    if (st == ST_OK) {
        buf_puts(out, "v=");
        buf_put_base64(out, slice_from(signature, size_of(s->hash)));
        if (!buf_ok(out))
            st = ST_MEMORY;
    } else if (st == ST_DENIED) {
        buf_puts(out, "e=invalid-proof"); /* also for a name that is not known */
    }
    OPENSSL_cleanse(proof, sizeof proof);
    return st;
}
