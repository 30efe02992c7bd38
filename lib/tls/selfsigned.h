/*
 * Certificates that a fresh system makes for itself, so that it has TLS before anybody has asked a CA: one
 * pair with an ECDSA key (P-256), one with an RSA key (2048 bits), in PEM, as edged and keyd find them
 * (tls/pairs.h).
 */
#pragma once
#include "base/slice.h"

/* Writes ecdsa.crt, ecdsa.key, rsa.crt and rsa.key into the directory; keys are 0600. The certificates are
 * for `host` ("mail.dominio.com.uy"), for the domain above it, and for localhost by name and address. A pair
 * that is there is left alone; a key without its certificate is ST_EXISTS, for it may be someone's who waits
 * for his CA. ST_SYNTAX when `host` is no host name. Each file is there whole or not at all. */
MUST_CHECK enum status tls_selfsigned(int dir_fd, const char *host, struct err *err);
