/*
 * The certificate that a client showed in its handshake: its hash, and the name in it when one of our CAs
 * vouches for it now. Pure but for OpenSSL; whatever the client sent is hostile.
 */
#pragma once
#include <openssl/ssl.h>

#include "ipc/messages.h"

struct client_certificate {
    bool shown;
    uint8_t hash[CONN_CERTIFICATE];          /* SHA-256 of its DER */
    uint8_t name[CONN_CERTIFICATE_NAME + 1]; /* its mail address, else its CN */
    size_t name_n;                           /* 0: nobody vouches for it, or it has no name */
};
void client_certificate(SSL *ssl, struct client_certificate *out);
