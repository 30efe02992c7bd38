/*
 * Trace fields: Return-Path and Received (RFC 5321 4.4), made from what a
 * session knows. Whatever the peer said is cleaned, so that a field is always
 * one field: no line end, no unbalanced comment.
 */
#pragma once
#include "smtp/path.h"

/* Empty slices are left out. helo, host and id are as given; peer_name is from DNS. */
struct smtp_trace {
    struct slice helo;
    struct slice peer_name;
    uint8_t peer[16]; /* IPv4 as ::ffff:a.b.c.d */
    struct slice host; /* ours */
    struct slice id;
    bool esmtp, tls, auth, utf8;
    struct slice tls_version, cipher;
    const struct smtp_path *only_rcpt; /* NULL when there are more: the field would show Bcc (RFC 5321 7.6) */
    uint64_t when;                     /* ns since 1970 */
};

/* "SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA", "UTF8SMTP..." (RFC 3848, RFC 6531 4.3). */
struct slice smtp_with(bool esmtp, bool tls, bool auth, bool utf8);
/* "Received: ..." with its CR LF, folded. */
void smtp_received_put(struct buf *out, const struct smtp_trace *trace);
/* "Return-Path: <a@b>" with its CR LF. */
void smtp_return_path_put(struct buf *out, struct smtp_path from);
/* "Tue, 24 Nov 2026 04:30:55 +0000" (RFC 5322 3.3), always UTC. */
void smtp_date_put(struct buf *out, uint64_t when);
/* "192.0.2.1" or "2001:db8::1", from 16 bytes. */
void smtp_address_put(struct buf *out, const uint8_t address[16]);
