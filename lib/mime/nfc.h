/*
 * Text as it is compared: canonical composition (NFC), so that an address typed on one machine is the account made on
 * another (RFC 6532 3.1, RFC 8265 3.3). Pure; what it is given comes from before any login.
 */
#pragma once
#include "base/buf.h"

/* Appends the composed form; what is not UTF-8 is appended as it is, for it equals only itself. False: no room in
 * *out, whose bytes are then as before. */
MUST_CHECK bool mime_put_nfc(struct slice text, struct buf *out);
