#include "edge/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "edge/remotekey.h"
#include "sys/fd.h"
#include "sys/log.h"
#include "sys/loop.h"
#include "tls/pairs.h"

#define CERTIFICATE_MAX (256u * 1024u) /* bytes of a file with its chain */
#define TICKET_LIFE     3600u /* seconds; a key makes tickets that long, and reads them as long again */
#define HOST_MAX        256u
/* what keyd signs (sign.h) */
#define SIGNATURES                                                                                           \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"                   \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

struct pair {
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    int type; /* EVP_PKEY_RSA or EVP_PKEY_EC */
};

/* What a client gets: one pair of each type, where there is one. */
struct set {
    const struct pair *ec, *rsa;
    SSL_CTX *ctx;
};

/* A name that some certificate is for, in lower case, perhaps "*.example". */
struct host {
    char name[HOST_MAX];
    const struct pair *pair;
    const struct set *set; /* for who asks for it: the first pair of each type that has the name */
};

struct ticket_key {
    uint8_t name[16], cipher[32], mac[32];
    uint64_t made; /* clock_mono(); 0: none */
};

struct tls {
    struct pair pairs[TLS_PAIRS_MAX];
    size_t n_pairs;
    struct host *hosts; /* sorted by name, then by pair */
    size_t n_hosts, hosts_cap;
    struct set sets[2 * TLS_PAIRS_MAX];
    size_t n_sets;
    /* One a service, so that a ticket of one is no good for another. */
    struct of_service {
        SSL_CTX *ctx; /* whoever asks for no name that we have gets the first pair of each type */
        struct ticket_key now, last; /* RFC 5077 5.5: rotated, never on disk */
        struct slice id, alpn;
    } services[SERVICE_COUNT];
};

/* what tickets are bound to (with the length that OpenSSL allows), the name in ALPN: IANA has none for SMTP
 */
static const struct {
    struct slice id, alpn;
} service_names[SERVICE_COUNT] = {
    [SERVICE_SMTP] = {SLICE("estafeta smtp"),        SLICE("smtp")},
    [SERVICE_SUBMISSION] = {SLICE("estafeta submission"),  SLICE("smtp")},
    [SERVICE_SUBMISSIONS] = {SLICE("estafeta submissions"), SLICE("smtp")},
    [SERVICE_IMAP] = {SLICE("estafeta imap"),        SLICE("imap")},
    [SERVICE_IMAPS] = {SLICE("estafeta imaps"),       SLICE("imap")},
    [SERVICE_POP3] = {SLICE("estafeta pop3"),        SLICE("pop3")},
    [SERVICE_POP3S] = {SLICE("estafeta pop3s"),       SLICE("pop3")},
};

/* --- names --- */

static int
by_name(const void *a, const void *b)
{
    const struct host *one = a, *other = b;
    int order = strcmp(one->name, other->name);

    return order != 0 ? order : (one->pair > other->pair) - (one->pair < other->pair);
}

static const struct host *
find_host(const struct tls *tls, const char *name)
{
    size_t low = 0, high = tls->n_hosts;

    while (low < high) { /* the first of several with one name */
        size_t middle = (low + high) / 2;

        if (strcmp(tls->hosts[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tls->n_hosts && strcmp(tls->hosts[low].name, name) == 0 ? &tls->hosts[low] : NULL;
}

/* The name itself, else a certificate for all names beside it (RFC 6125 6.4.3). */
static const struct set *
set_for(const struct tls *tls, struct slice asked)
{
    char name[HOST_MAX], any[HOST_MAX];
    const struct host *host;
    const char *dot;

    if (asked.n > 0 && asked.p[asked.n - 1] == '.')
        asked.n--;
    if (!slice_to_cstr(asked, name, sizeof name))
        return NULL;
    for (char *p = name; *p != '\0'; p++)
        *p = (char)ascii_lower((uint8_t)*p);
    host = find_host(tls, name);
    dot = strchr(name, '.');
    if (host == NULL && dot != NULL) {
        (void)snprintf(any, sizeof any, "*%s", dot);
        host = find_host(tls, any);
    }
    return host != NULL ? host->set : NULL;
}

static bool
add_host(struct tls *tls, const struct pair *pair, struct slice name)
{
    struct host *host;

    if (tls->n_hosts == tls->hosts_cap) {
        size_t cap = tls->hosts_cap == 0 ? 16 : tls->hosts_cap * 2;
        struct host *more = reallocarray(tls->hosts, cap, sizeof *more);

        if (more == NULL)
            return false;
        tls->hosts = more;
        tls->hosts_cap = cap;
    }
    host = &tls->hosts[tls->n_hosts];
    if (!slice_to_cstr(name, host->name, sizeof host->name))
        return true; /* nobody can ask for it */
    for (char *p = host->name; *p != '\0'; p++)
        *p = (char)ascii_lower((uint8_t)*p);
    host->pair = pair;
    tls->n_hosts++;
    return true;
}

static bool
add_hosts(struct tls *tls, const struct pair *pair)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(pair->certificate, NID_subject_alt_name, NULL, NULL);
    bool ok = true;

    for (int i = 0; ok && i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

        if (type == GEN_DNS)
            ok = add_host(tls, pair,
                          slice_from(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)));
    }
    GENERAL_NAMES_free(names);
    return ok;
}

/* --- what a client asks for --- */

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct set *set = name != NULL ? set_for(tls, slice_of(name)) : NULL;

    if (set == NULL)
        return SSL_TLSEXT_ERR_NOACK; /* RFC 6066 3: it gets the default ones */
    (void)SSL_set_SSL_CTX(ssl, set->ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 3.2: a client that speaks only other protocols is told so by the alert no_application_protocol. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned int n,
        void *arg)
{
    const struct of_service *service = SSL_get_app_data(ssl);
    struct slice list = slice_from(in, n), name;

    while (list.n > 0) {
        size_t length = list.p[0];

        if (!take_bytes(&(struct slice){list.p + 1, list.n - 1}, length, &name))
            break;
        if (slice_eq(name, service->alpn)) {
            *out = name.p;
            *out_n = (unsigned char)name.n;
            return SSL_TLSEXT_ERR_OK;
        }
        list = slice_skip(list, 1 + length);
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool
make_ticket_key(struct ticket_key *key)
{
    key->made = clock_mono();
    return RAND_bytes(key->name, sizeof key->name) == 1 && RAND_bytes(key->cipher, sizeof key->cipher) == 1 &&
           RAND_bytes(key->mac, sizeof key->mac) == 1;
}

static bool
use_ticket_key(struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
               int encrypt)
{
    char sha256[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
                           OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, sizeof sha256 - 1),
                           OSSL_PARAM_END};

    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* -1 an error, 0 no such key, 1 done, 2 done and the client should get a new ticket */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
          int encrypt)
{
    struct of_service *service = SSL_get_app_data(ssl);
    uint64_t now = clock_mono();

    if (service->now.made == 0 || now - service->now.made > SECONDS(TICKET_LIFE)) {
        service->last = service->now;
        if (!make_ticket_key(&service->now))
            return -1;
    }
    if (encrypt) {
        memcpy(name, service->now.name, sizeof service->now.name);
        if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
            return -1;
        return use_ticket_key(&service->now, iv, cipher, mac, 1) ? 1 : -1;
    }
    if (memcmp(name, service->now.name, sizeof service->now.name) == 0)
        return use_ticket_key(&service->now, iv, cipher, mac, 0) ? 1 : -1;
    if (service->last.made != 0 && now - service->last.made <= 2 * SECONDS(TICKET_LIFE) &&
        memcmp(name, service->last.name, sizeof service->last.name) == 0)
        return use_ticket_key(&service->last, iv, cipher, mac, 0) ? 2 : -1;
    return 0;
}

/* --- contexts --- */

static bool
add_pair(SSL_CTX *ctx, const struct pair *pair)
{
    return SSL_CTX_use_cert_and_key(ctx, pair->certificate, pair->key, pair->chain, 0) == 1;
}

/* RFC 9325: TLS 1.2 with ephemeral keys and AEAD only, or TLS 1.3. A client is never asked for a certificate.
 */
static SSL_CTX *
make_ctx(struct tls *tls, const struct pair *ec, const struct pair *rsa)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (ctx == NULL)
        return NULL;
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record in one system call, not its header and then the rest */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets are all that is needed */
    (void)SSL_CTX_set_timeout(ctx, TICKET_LIFE);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, tls);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
        SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) == 1 &&
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1 && (ec == NULL || add_pair(ctx, ec)) &&
        (rsa == NULL || add_pair(ctx, rsa)))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* Gives the hosts [from, to), which are one name, their set. */
static bool
choose_set(struct tls *tls, size_t from, size_t to)
{
    struct set want = {0};
    size_t k = 0;

    for (size_t i = to; i-- > from;) { /* backwards, so that the first stays */
        const struct pair *pair = tls->hosts[i].pair;

        *(pair->type == EVP_PKEY_EC ? &want.ec : &want.rsa) = pair;
    }
    while (k < tls->n_sets && (tls->sets[k].ec != want.ec || tls->sets[k].rsa != want.rsa))
        k++;
    if (k == COUNT(tls->sets))
        return true; /* it would be as mixed as nobody's are: whoever asks gets the default ones */
    if (k == tls->n_sets) {
        want.ctx = make_ctx(tls, want.ec, want.rsa);
        if (want.ctx == NULL)
            return false;
        tls->sets[tls->n_sets++] = want;
    }
    for (size_t i = from; i < to; i++)
        tls->hosts[i].set = &tls->sets[k];
    return true;
}

static bool
make_contexts(struct tls *tls)
{
    const struct pair *ec = NULL, *rsa = NULL;

    for (size_t i = tls->n_pairs; i-- > 0;)
        *(tls->pairs[i].type == EVP_PKEY_EC ? &ec : &rsa) = &tls->pairs[i];
    for (size_t from = 0, to; from < tls->n_hosts; from = to) {
        for (to = from + 1; to < tls->n_hosts && strcmp(tls->hosts[from].name, tls->hosts[to].name) == 0;)
            to++;
        if (!choose_set(tls, from, to))
            return false;
    }
    for (size_t i = 1; i < SERVICE_COUNT; i++) {
        struct of_service *service = &tls->services[i];

        *service = (struct of_service){
            .ctx = make_ctx(tls, ec, rsa), .id = service_names[i].id, .alpn = service_names[i].alpn};
        if (service->ctx == NULL)
            return false;
    }
    return true;
}

/* --- files --- */

static const char *
openssl_says(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text != NULL ? text : "OpenSSL does not say why";
}

/* The certificate, then its chain. */
static enum status
parse_certificates(BIO *pem, struct pair *pair, struct err *err)
{
    X509 *next;

    pair->certificate = PEM_read_bio_X509(pem, NULL, NULL, NULL);
    pair->chain = sk_X509_new_null();
    if (pair->certificate == NULL || pair->chain == NULL)
        return err_set(err, ST_SYNTAX, "no certificate in PEM: %s", openssl_says());
    while ((next = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(pair->chain, next) <= 0) {
            X509_free(next);
            return err_set(err, ST_MEMORY, "no memory");
        }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) /* else it is the file's end */
        return err_set(err, ST_SYNTAX, "a certificate of its chain is damaged: %s", openssl_says());
    ERR_clear_error();
    return ST_OK;
}

static enum status
read_file(int dir, const char *name, struct buf *to, struct err *err)
{
    AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    if (fd < 0)
        return err_sys(err, "open");
    while (n > 0) {
        uint8_t *room = buf_reserve(to, 4096);

        if (room == NULL)
            return err_set(err, ST_LIMIT, "larger than %u bytes", CERTIFICATE_MAX);
        n = read(fd, room, 4096);
        if (n > 0)
            to->n += (size_t)n;
    }
    return n == 0 ? ST_OK : err_sys(err, "read");
}

static void
pair_done(struct pair *pair)
{
    X509_free(pair->certificate);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    *pair = (struct pair){0};
}

static enum status
read_pair(int dir, const char *name, struct pair *pair, struct err *err)
{
    AUTO_BUF text = BUF_INIT(CERTIFICATE_MAX);
    enum status st = read_file(dir, name, &text, err);
    BIO *pem;

    if (st != ST_OK)
        return st;
    pem = BIO_new_mem_buf(text.n > 0 ? (const void *)text.p : "", (int)text.n);
    if (pem == NULL)
        return err_set(err, ST_MEMORY, "no memory");
    st = parse_certificates(pem, pair, err);
    BIO_free(pem);
    if (st != ST_OK)
        return st;
    pair->type = EVP_PKEY_get_base_id(X509_get0_pubkey(pair->certificate));
    return remote_key_new(X509_get0_pubkey(pair->certificate), &pair->key, err);
}

static enum status
read_pairs(struct tls *tls, int dir, const struct tls_names *names, struct err *err)
{
    for (size_t i = 0; i < names->n; i++) {
        struct pair *pair = &tls->pairs[tls->n_pairs];
        struct err why = {0};

        if (read_pair(dir, names->at[i], pair, &why) == ST_OK) {
            if (!add_hosts(tls, pair))
                return err_set(err, ST_MEMORY, "tls: no memory");
            if (X509_cmp_current_time(X509_get0_notAfter(pair->certificate)) < 0)
                log_at(LOG_LEVEL_WARNING, "etc/tls/%s has expired: clients will not trust it", names->at[i]);
            tls->n_pairs++;
            continue;
        }
        log_at(LOG_LEVEL_ERR, "etc/tls/%s is not used: %s", names->at[i], why.text);
        pair_done(pair);
        ERR_clear_error();
    }
    if (names->n > 0 && tls->n_pairs == 0)
        return err_set(err, ST_SYNTAX, "etc/tls: no certificate can be used");
    qsort(tls->hosts, tls->n_hosts, sizeof *tls->hosts, by_name);
    return ST_OK;
}

enum status
tls_open(const char *root, struct tls **result, struct err *err)
{
    static struct tls_names names;
    char path[4200];
    AUTO_FD dir = -1;
    struct tls *tls;
    enum status st;

    *result = NULL;
    /* What the machine's openssl.cnf says of other programs is not for this one. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) != 1)
        return err_set(err, ST_UNSUPPORTED, "OpenSSL does not start");
    if ((size_t)snprintf(path, sizeof path, "%s/etc/tls", root) >= sizeof path)
        return err_set(err, ST_LIMIT, "the root's name is too long");
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? ST_OK : err_sys(err, "open %s", path);
    st = tls_names_read(dir, ".crt", &names, err);
    if (st != ST_OK || names.n == 0)
        return st;
    tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return err_set(err, ST_MEMORY, "tls: no memory");
    st = read_pairs(tls, dir, &names, err);
    if (st == ST_OK && !make_contexts(tls))
        st = err_set(err, ST_UNSUPPORTED, "etc/tls: %s", openssl_says());
    if (st != ST_OK) {
        tls_free(tls);
        return st;
    }
    *result = tls;
    return ST_OK;
}

void
tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    for (size_t i = 0; i < tls->n_pairs; i++)
        pair_done(&tls->pairs[i]);
    for (size_t i = 0; i < tls->n_sets; i++)
        SSL_CTX_free(tls->sets[i].ctx);
    for (size_t i = 0; i < SERVICE_COUNT; i++)
        SSL_CTX_free(tls->services[i].ctx);
    free(tls->hosts);
    free(tls);
}

SSL *
tls_session(struct tls *tls, enum service service)
{
    struct of_service *s = &tls->services[service];
    SSL *ssl = SSL_new(s->ctx);

    if (ssl == NULL)
        return NULL;
    SSL_set_accept_state(ssl);
    /* On the session, not on its context, so that it stays when the client's name brings another context. */
    if (SSL_set_app_data(ssl, s) == 1 && SSL_set_session_id_context(ssl, s->id.p, (unsigned)s->id.n) == 1)
        return ssl;
    SSL_free(ssl);
    return NULL;
}
