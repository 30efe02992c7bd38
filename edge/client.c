#include "edge/client.h"

#include <openssl/x509v3.h>

/* Its bytes as UTF-8; false when they are too many, none, or hold controls, NUL above all. */
static bool
keep_name(const ASN1_STRING *from, struct client_certificate *out)
{
    unsigned char *text = NULL;
    int n = from != NULL ? ASN1_STRING_to_UTF8(&text, from) : -1;
    bool ok = n > 0 && (size_t)n <= CONN_CERTIFICATE_NAME;

    for (int i = 0; ok && i < n; i++)
        ok = text[i] > 0x20 && text[i] != 0x7f;
    if (ok) {
        memcpy(out->name, text, (size_t)n);
        out->name_n = (size_t)n;
    }
    OPENSSL_free(text);
    return ok;
}

/* RFC 5280 4.2.1.6: rfc822Name; the first that there is. */
static bool
take_mail_address(X509 *certificate, struct client_certificate *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        found = name->type == GEN_EMAIL && keep_name(name->d.rfc822Name, out);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static void
take_common_name(X509 *certificate, struct client_certificate *out)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    /* With several, which one the CA looked at is not known. */
    if (at >= 0 && X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0)
        (void)keep_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), out);
}

/* Asked here and not in the handshake, which goes on whatever the answer: its callbacks could hide an error.
 */
static bool
vouched_for(SSL *ssl, X509 *certificate)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok = ctx != NULL &&
              X509_STORE_CTX_init(ctx, SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)), certificate,
                                  SSL_get_peer_cert_chain(ssl)) == 1 &&
              X509_STORE_CTX_set_default(ctx, "ssl_client") == 1 && X509_verify_cert(ctx) == 1;

    X509_STORE_CTX_free(ctx);
    return ok;
}

void
client_certificate(SSL *ssl, struct client_certificate *out)
{
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    unsigned n = 0;

    *out = (struct client_certificate){0};
    if (certificate == NULL || X509_digest(certificate, EVP_sha256(), out->hash, &n) != 1)
        return;
    out->shown = true;
    if (vouched_for(ssl, certificate) && !take_mail_address(certificate, out))
        take_common_name(certificate, out);
}
