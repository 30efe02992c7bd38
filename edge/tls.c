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
    size_t refs; /* of its owner, and of each session */
    uint32_t ask;
    X509_STORE *clients; /* the CAs that vouch for them; may be empty */
    STACK_OF(X509_NAME) * client_names;
    struct pair pairs[TLS_PAIRS_MAX];
    size_t n_pairs;
    struct host *hosts; /* sorted by name, then by pair */
    size_t n_hosts, hosts_cap;
    struct set sets[2 * TLS_PAIRS_MAX];
    size_t n_sets;
    /* One a service, so that a ticket of one is no good for another. */
    struct of_service {
        struct tls *tls;
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

static int session_index = -1; /* of a session's of_service in its extra data */

static void
unref(struct tls *tls);

static void
on_session_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long n, void *arg)
{
    struct of_service *service = ptr;

    if (service != NULL)
        unref(service->tls);
}

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
    const struct of_service *service = SSL_get_ex_data(ssl, session_index);
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
    struct of_service *service = SSL_get_ex_data(ssl, session_index);
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

/* RFC 9325: TLS 1.2 with ephemeral keys and AEAD only, or TLS 1.3, unless the settings say otherwise. */
static enum status
apply_options(SSL_CTX *ctx, const struct tls_options *options, struct err *err)
{
    char text[1024];
    bool newest = slice_eq(options->minimum, SLICE("1.3"));

    if (!newest && !slice_eq(options->minimum, SLICE("1.2")))
        return err_set(err, ST_SYNTAX, "tls_minimum: 1.2 or 1.3");
    if (SSL_CTX_set_min_proto_version(ctx, newest ? TLS1_3_VERSION : TLS1_2_VERSION) != 1)
        return err_set(err, ST_UNSUPPORTED, "tls_minimum: OpenSSL does not take it");
    if (!slice_to_cstr(options->ciphers, text, sizeof text) || SSL_CTX_set_cipher_list(ctx, text) != 1)
        return err_set(err, ST_SYNTAX, "tls_ciphers: OpenSSL knows none of these");
    if (!slice_to_cstr(options->ciphersuites, text, sizeof text) || SSL_CTX_set_ciphersuites(ctx, text) != 1)
        return err_set(err, ST_SYNTAX, "tls_ciphersuites: OpenSSL does not know all of these");
    return ST_OK;
}

enum status
tls_options_check(const struct tls_options *options, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    enum status st = ctx != NULL ? apply_options(ctx, options, err) : err_set(err, ST_MEMORY, "tls: no memory");

    SSL_CTX_free(ctx);
    ERR_clear_error();
    return st;
}

static SSL_CTX *
make_ctx(struct tls *tls, const struct tls_options *options, const struct pair *ec, const struct pair *rsa)
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
    SSL_CTX_set1_cert_store(ctx, tls->clients);
    if (apply_options(ctx, options, NULL) == ST_OK && SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
        SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) == 1 &&
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1 && (ec == NULL || add_pair(ctx, ec)) &&
        (rsa == NULL || add_pair(ctx, rsa)))
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* Gives the hosts [from, to), which are one name, their set. */
static bool
choose_set(struct tls *tls, const struct tls_options *options, size_t from, size_t to)
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
        want.ctx = make_ctx(tls, options, want.ec, want.rsa);
        if (want.ctx == NULL)
            return false;
        tls->sets[tls->n_sets++] = want;
    }
    for (size_t i = from; i < to; i++)
        tls->hosts[i].set = &tls->sets[k];
    return true;
}

static bool
make_contexts(struct tls *tls, const struct tls_options *options)
{
    const struct pair *ec = NULL, *rsa = NULL;

    for (size_t i = tls->n_pairs; i-- > 0;)
        *(tls->pairs[i].type == EVP_PKEY_EC ? &ec : &rsa) = &tls->pairs[i];
    for (size_t from = 0, to; from < tls->n_hosts; from = to) {
        for (to = from + 1; to < tls->n_hosts && strcmp(tls->hosts[from].name, tls->hosts[to].name) == 0;)
            to++;
        if (!choose_set(tls, options, from, to))
            return false;
    }
    for (size_t i = 1; i < SERVICE_COUNT; i++) {
        struct of_service *service = &tls->services[i];

        *service = (struct of_service){
            .tls = tls, .ctx = make_ctx(tls, options, ec, rsa), .id = service_names[i].id, .alpn = service_names[i].alpn};
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
read_file(int fd, struct buf *to, struct err *err)
{
    ssize_t n = 1;

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

static BIO *
bio_of(const struct buf *text)
{
    return BIO_new_mem_buf(text->n > 0 ? (const void *)text->p : "", (int)text->n);
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
read_pair(int fd, struct pair *pair, struct err *err)
{
    AUTO_BUF text = BUF_INIT(CERTIFICATE_MAX);
    enum status st = read_file(fd, &text, err);
    BIO *pem;

    if (st != ST_OK)
        return st;
    pem = bio_of(&text);
    if (pem == NULL)
        return err_set(err, ST_MEMORY, "no memory");
    st = parse_certificates(pem, pair, err);
    BIO_free(pem);
    if (st != ST_OK)
        return st;
    pair->type = EVP_PKEY_get_base_id(X509_get0_pubkey(pair->certificate));
    return remote_key_new(X509_get0_pubkey(pair->certificate), &pair->key, err);
}

/* Has keyd its key? Asked by a signature, as a handshake would. */
static enum status
try_sign(const struct pair *pair, struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[1024];
    size_t n = sizeof signature;
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pair->key) == 1 &&
              EVP_DigestSign(ctx, signature, &n, (const void *)"?", 1) == 1;

    EVP_MD_CTX_free(ctx);
    return ok ? ST_OK : err_set(err, ST_NOTFOUND, "keyd does not sign with its key");
}

void
tls_add(struct tls *tls, const char *name, int fd, bool try_key)
{
    struct pair *pair = &tls->pairs[tls->n_pairs];
    struct err why = {0};
    enum status st = tls->n_pairs < TLS_PAIRS_MAX ? read_pair(fd, pair, &why)
                                                  : err_set(&why, ST_LIMIT, "there are %u before it", TLS_PAIRS_MAX);

    if (st == ST_OK && try_key)
        st = try_sign(pair, &why);
    if (st == ST_OK && !add_hosts(tls, pair))
        st = err_set(&why, ST_MEMORY, "no memory");
    if (st == ST_OK) {
        if (X509_cmp_current_time(X509_get0_notAfter(pair->certificate)) < 0)
            log_at(LOG_LEVEL_WARNING, "etc/tls/%s has expired: clients will not trust it", name);
        tls->n_pairs++;
        return;
    }
    log_at(LOG_LEVEL_ERR, "etc/tls/%s is not used: %s", name, why.text);
    while (tls->n_hosts > 0 && tls->hosts[tls->n_hosts - 1].pair == pair)
        tls->n_hosts--;
    if (tls->n_pairs < TLS_PAIRS_MAX)
        pair_done(pair);
    ERR_clear_error();
}

enum status
tls_add_clients(struct tls *tls, int fd, struct err *err)
{
    AUTO_BUF text = BUF_INIT(CERTIFICATE_MAX);
    enum status st = read_file(fd, &text, err);
    BIO *pem = st == ST_OK ? bio_of(&text) : NULL;
    X509 *ca;
    size_t n = 0;

    if (pem == NULL)
        return st == ST_OK ? err_set(err, ST_MEMORY, "no memory") : st;
    while (st == ST_OK && (ca = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL) {
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(ca));

        if (X509_STORE_add_cert(tls->clients, ca) != 1 || name == NULL ||
            sk_X509_NAME_push(tls->client_names, name) <= 0) {
            X509_NAME_free(name);
            st = err_set(err, ST_MEMORY, "no memory");
        }
        X509_free(ca);
        n++;
    }
    BIO_free(pem);
    if (st == ST_OK && (n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
        st = err_set(err, ST_SYNTAX, "a certificate in it is damaged, or there is none: %s", openssl_says());
    ERR_clear_error();
    return st;
}

enum status
tls_new(struct tls **result, struct err *err)
{
    struct tls *tls = calloc(1, sizeof *tls);

    if (session_index < 0)
        session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_session_free);
    if (tls == NULL || session_index < 0) {
        free(tls);
        return err_set(err, ST_MEMORY, "tls: no memory");
    }
    tls->refs = 1;
    tls->clients = X509_STORE_new();
    tls->client_names = sk_X509_NAME_new_null();
    if (tls->clients == NULL || tls->client_names == NULL) {
        tls_free(tls);
        return err_set(err, ST_MEMORY, "tls: no memory");
    }
    *result = tls;
    return ST_OK;
}

enum status
tls_ready(struct tls *tls, const struct tls_options *options, struct err *err)
{
    enum status st = tls_options_check(options, err);

    if (st != ST_OK)
        return st;
    if (tls->n_pairs == 0)
        return err_set(err, ST_NOTFOUND, "etc/tls: no certificate can be used");
    tls->ask = options->ask;
    qsort(tls->hosts, tls->n_hosts, sizeof *tls->hosts, by_name);
    if (!make_contexts(tls, options))
        return err_set(err, ST_UNSUPPORTED, "etc/tls: %s", openssl_says());
    return ST_OK;
}

/* What there is in the folder. */
static enum status
read_folder(struct tls *tls, int dir, const struct tls_names *names, struct err *err)
{
    AUTO_FD clients = openat(dir, TLS_CLIENTS, O_RDONLY | O_CLOEXEC);
    struct err why = {0};

    for (size_t i = 0; i < names->n; i++) {
        AUTO_FD fd = openat(dir, names->at[i], O_RDONLY | O_CLOEXEC);

        if (fd >= 0)
            tls_add(tls, names->at[i], fd, false);
        else
            log_at(LOG_LEVEL_ERR, "etc/tls/%s is not used: %s", names->at[i], strerror(errno));
    }
    if (clients < 0)
        return errno == ENOENT ? ST_OK : err_sys(err, "etc/tls/" TLS_CLIENTS);
    if (tls_add_clients(tls, clients, &why) != ST_OK) /* else everybody would be vouched for by fewer than was meant */
        return err_set(err, ST_SYNTAX, "etc/tls/" TLS_CLIENTS ": %s", why.text);
    return ST_OK;
}

enum status
tls_open(const char *root, const struct tls_options *options, struct tls **result, struct err *err)
{
    static struct tls_names names;
    char path[4200];
    AUTO_FD dir = -1;
    struct tls *tls;
    enum status st;

    *result = NULL;
    if ((size_t)snprintf(path, sizeof path, "%s/etc/tls", root) >= sizeof path)
        return err_set(err, ST_LIMIT, "the root's name is too long");
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? ST_OK : err_sys(err, "open %s", path);
    st = tls_names_read(dir, ".crt", &names, err);
    if (st != ST_OK || names.n == 0)
        return st;
    st = tls_new(&tls, err);
    if (st != ST_OK)
        return st;
    st = read_folder(tls, dir, &names, err);
    if (st == ST_OK)
        st = tls_ready(tls, options, err);
    if (st == ST_OK)
        *result = tls;
    else
        tls_free(tls);
    return st == ST_NOTFOUND ? ST_SYNTAX : st;
}

static void
unref(struct tls *tls)
{
    if (--tls->refs > 0)
        return;
    for (size_t i = 0; i < tls->n_pairs; i++)
        pair_done(&tls->pairs[i]);
    for (size_t i = 0; i < tls->n_sets; i++)
        SSL_CTX_free(tls->sets[i].ctx);
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        SSL_CTX_free(tls->services[i].ctx);
        OPENSSL_cleanse(&tls->services[i].now, sizeof tls->services[i].now);
        OPENSSL_cleanse(&tls->services[i].last, sizeof tls->services[i].last);
    }
    X509_STORE_free(tls->clients);
    sk_X509_NAME_pop_free(tls->client_names, X509_NAME_free);
    free(tls->hosts);
    free(tls);
}

void
tls_free(struct tls *tls)
{
    if (tls != NULL)
        unref(tls);
}

size_t
tls_n(const struct tls *tls)
{
    return tls != NULL ? tls->n_pairs : 0;
}

/* Whoever shows a certificate has its key; whether a CA vouches for it is asked later (client.h). */
static int
any_certificate(int ok, X509_STORE_CTX *ctx)
{
    return 1;
}

/* No tickets: a session that goes on from one would not show its certificate again, though its CA may be gone. */
static bool
ask_for_certificate(SSL *ssl, const struct tls *tls)
{
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(tls->client_names);

    if (names == NULL)
        return false;
    SSL_set0_CA_list(ssl, names);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, any_certificate);
    (void)SSL_set_options(ssl, SSL_OP_NO_TICKET);
    return SSL_set_num_tickets(ssl, 0) == 1;
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
    if (SSL_set_ex_data(ssl, session_index, s) == 1) {
        tls->refs++;
        if (SSL_set_session_id_context(ssl, s->id.p, (unsigned)s->id.n) == 1 &&
            ((tls->ask >> service & 1) == 0 || ask_for_certificate(ssl, tls)))
            return ssl;
    }
    SSL_free(ssl);
    return NULL;
}
