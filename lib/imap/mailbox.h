/*
 * Mailbox names: modified UTF-7 on the wire (RFC 3501 5.1.3), UTF-8 inside, and
 * the patterns of LIST. Pure; every byte is hostile: fuzz/imap_utf7.c.
 */
#pragma once
#include "base/buf.h"

enum { IMAP_NAME_MAX = 1000 }; /* bytes, in either form */
#define IMAP_SEPARATOR '/'

/* ST_SYNTAX: broken, or not the one way to write it (so that encoding gives the same bytes back);
 * control characters are refused too. On failure `utf8` is as before. */
MUST_CHECK enum status imap_utf7_decode(struct slice utf7, struct buf *utf8);
/* ST_SYNTAX: not UTF-8, or control characters. */
MUST_CHECK enum status imap_utf7_encode(struct slice utf8, struct buf *utf7);

/* A name as a client wrote it, for any command: decoded, "inbox" in any case to "INBOX" (also as the first
 * level). ST_SYNTAX: broken; empty; empty levels. ST_LIMIT: too long. One separator at the end is dropped:
 * CREATE allows it (RFC 3501 6.3.3) and elsewhere it harms nobody. */
MUST_CHECK enum status imap_mailbox_decode(struct slice wire, struct buf *utf8);
/* The same for names that are UTF-8 on the wire (RFC 9051 5.1, RFC 6855 3). */
MUST_CHECK enum status imap_mailbox_from_utf8(struct slice wire, struct buf *utf8);
/* Is it UTF-8 without control characters? */
bool imap_utf8_ok(struct slice text);
/* May a mailbox of that name be made? Not with "*" or "%": LIST could not name it. */
bool imap_mailbox_creatable(struct slice utf8);

/* RFC 3501 6.3.8: "*" is anything, "%" anything but the separator. Both in UTF-8. INBOX matches in any case. */
bool imap_pattern_match(struct slice pattern, struct slice name);
