/*
 * The header of a message while it passes: which fields there are that a server must know of. Fed slices as
 * they come; no allocation, no I/O. It never fails: what is no header field is passed over.
 */
#pragma once
#include "base/slice.h"

#define SMTP_HEAD_NAME 12u /* more than the longest name that is looked for */

struct smtp_head {
    bool done;    /* the empty line was seen: nothing more is looked at */
    bool in_line; /* behind a name, or in what is none */
    uint8_t n;    /* of name, lower case */
    uint8_t name[SMTP_HEAD_NAME];
    /* what was found */
    bool date, message_id;
    uint32_t hops; /* Received fields (RFC 5321 6.3) */
};

void smtp_head_feed(struct smtp_head *h, struct slice bytes);
