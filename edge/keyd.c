/*
 * keyd: holds the private keys of ROOT/etc/tls and signs for edged's handshakes (sign.h). It tells no key,
 * and is asked by edged alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "edge/sign.h"
#include "ipc/program.h"
#include "sys/fd.h"
#include "sys/log.h"
#include "tls/pairs.h"

#define KEY_FILE_MAX 65536u
#define LAST_LIFE    SECONDS(60)

/* The keys of one reading of the folder. */
struct keys {
    struct key {
        uint32_t id;
        EVP_PKEY *key;
    } at[TLS_PAIRS_MAX];
    size_t n;
};

static struct {
    struct keys now;
    struct keys last; /* of the reading before: until edged has read the certificates again, it asks for these */
    struct timer forget;
    int dir; /* etc/tls; -1: there is none */
} self = {.dir = -1};

static const struct key *
find_in(const struct keys *keys, uint32_t id)
{
    for (size_t i = 0; i < keys->n; i++)
        if (keys->at[i].id == id)
            return &keys->at[i];
    return NULL;
}

static const struct key *
find(uint32_t id)
{
    const struct key *key = find_in(&self.now, id);

    return key != NULL ? key : find_in(&self.last, id);
}

static void
keys_done(struct keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        EVP_PKEY_free(keys->at[i].key); /* OpenSSL wipes it */
    keys->n = 0;
}

static enum status
on_sign(struct ipc_request *r)
{
    AUTO_BUF answer = BUF_INIT(SIGN_MAX + 64);
    uint8_t signature[SIGN_MAX];
    struct msg_key_sign m;
    const struct key *key;
    enum status st = ST_NOTFOUND;
    size_t n = 0;

    if (!msg_key_sign_get(r->payload, &m))
        return ST_SYNTAX;
    key = find(m.key);
    if (key != NULL)
        st = sign_with(key->key, m.scheme, m.input, signature, &n);
    if (st == ST_OK)
        msg_bytes_put(&answer, &(struct msg_bytes){slice_from(signature, n)});
    else if (st == ST_NOTFOUND)
        log_at(LOG_LEVEL_ERR, "edged has a certificate whose key is not in etc/tls");
    else
        log_at(LOG_LEVEL_ERR, "a signature was refused: scheme %04x, %zu bytes: %s", m.scheme, m.input.n,
               status_text(st));
    ipc_answer(r->from, buf_ok(&answer) ? st : ST_MEMORY, buf_slice(&answer));
    return ST_OK;
}

/* A key with a passphrase is not asked for one: nobody is there to answer. */
static int
no_passphrase(char *to, int most, int writing, void *arg)
{
    return 0;
}

static enum status
read_key(int dir, const char *name, EVP_PKEY **key, struct err *err)
{
    AUTO_FD fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    static uint8_t text[KEY_FILE_MAX];
    struct stat st;
    BIO *pem;

    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, "open");
    if (st.st_size <= 0 || st.st_size > (off_t)sizeof text)
        return err_set(err, ST_LIMIT, "empty, or larger than %u bytes", KEY_FILE_MAX);
    if (!read_all(fd, text, (size_t)st.st_size))
        return err_sys(err, "read");
    if (st.st_mode & 077)
        log_at(LOG_LEVEL_WARNING, "etc/tls/%s can be read by others than its owner (mode %03o)", name,
               st.st_mode & 0777u);
    pem = BIO_new_mem_buf(text, (int)st.st_size);
    *key = pem != NULL ? PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, NULL) : NULL;
    BIO_free(pem);
    OPENSSL_cleanse(text, (size_t)st.st_size);
    ERR_clear_error();
    return *key != NULL ? sign_key_try(*key, err)
                        : err_set(err, ST_SYNTAX, "no private key in PEM, or one with a passphrase");
}

static enum status
read_keys(struct keys *keys, struct err *err)
{
    static struct tls_names names;
    enum status st = self.dir < 0 ? ST_OK : tls_names_read(self.dir, ".key", &names, err);

    for (size_t i = 0; self.dir >= 0 && st == ST_OK && i < names.n; i++) {
        struct key *key = &keys->at[keys->n];
        struct err why = {0};

        if (read_key(self.dir, names.at[i], &key->key, &why) == ST_OK && tls_key_id(key->key, &key->id)) {
            keys->n++;
            continue;
        }
        log_at(LOG_LEVEL_ERR, "etc/tls/%s is not used: %s", names.at[i], why.text);
        EVP_PKEY_free(key->key);
        key->key = NULL;
    }
    return st;
}

static enum status
keyd_open(struct err *err)
{
    char path[4200];

    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) != 1)
        return err_set(err, ST_UNSUPPORTED, "OpenSSL does not start");
    if ((size_t)snprintf(path, sizeof path, "%s/etc/tls", program_root()) >= sizeof path)
        return err_set(err, ST_LIMIT, "the root's name is too long");
    self.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self.dir < 0)
        return errno == ENOENT ? ST_OK : err_sys(err, "open %s", path);
    return read_keys(&self.now, err);
}

static void
forget_last(struct timer *t)
{
    keys_done(&self.last);
}

/* Landlock lets this program open what is in etc/tls and nothing else. */
static enum status
keyd_reload(struct slice settings, struct err *err)
{
    static struct keys fresh;
    enum status st = read_keys(&fresh, err);

    if (st != ST_OK) {
        keys_done(&fresh);
        return st;
    }
    keys_done(&self.last);
    self.last = self.now;
    self.now = fresh;
    fresh = (struct keys){0};
    self.forget.fire = forget_last;
    loop_timer(program_loop(), &self.forget, loop_now(program_loop()) + LAST_LIFE);
    return ST_OK;
}

/* The first certificate after this name that can be opened. */
static enum status
open_next(struct slice after, const char **name, int *fd)
{
    static struct tls_names names;
    enum status st = tls_names_read(self.dir, ".crt", &names, NULL);

    for (size_t i = 0; st == ST_OK && i < names.n; i++) {
        if (slice_cmp(slice_of(names.at[i]), after) <= 0)
            continue;
        *fd = openat(self.dir, names.at[i], O_RDONLY | O_CLOEXEC);
        *name = names.at[i];
        if (*fd >= 0)
            return ST_OK;
        log_at(LOG_LEVEL_ERR, "etc/tls/%s is not used: %s", names.at[i], strerror(errno));
    }
    return st == ST_OK ? ST_NOTFOUND : st;
}

/* The next certificate's file, for edged, which is public what it reads in it: never a key's. */
static enum status
on_certificate(struct ipc_request *r)
{
    AUTO_BUF answer = BUF_INIT(TLS_NAME_MAX + 16);
    const char *name = NULL;
    struct msg_name m;
    AUTO_FD fd = -1;
    enum status st;

    if (!msg_name_get(r->payload, &m))
        return ST_SYNTAX;
    if (self.dir < 0) {
        st = ST_NOTFOUND;
    } else if (slice_eq(m.name, SLICE(TLS_CLIENTS))) {
        name = TLS_CLIENTS;
        fd = openat(self.dir, name, O_RDONLY | O_CLOEXEC);
        st = fd >= 0 ? ST_OK : errno == ENOENT ? ST_NOTFOUND : ST_IO;
    } else {
        st = open_next(m.name, &name, &fd);
    }
    if (st == ST_OK)
        msg_name_put(&answer, &(struct msg_name){slice_of(name)});
    ipc_answer_fd(r->from, st, buf_slice(&answer), fd);
    return ST_OK;
}

/* message, who may send it, handler, with a descriptor; all else closes the channel */
static const struct ipc_route routes[] = {
    {MSG_KEY_SIGN, ROLE_BIT(EDGE), on_sign, false},
    {MSG_KEY_CERTIFICATE, ROLE_BIT(EDGE), on_certificate, false},
    {0    },
};

int
main(int argc, char **argv)
{
    static const struct program program = {.role = ROLE_KEY, .routes = routes, .open = keyd_open, .reload = keyd_reload};

    return program_main(&program, argc, argv);
}
