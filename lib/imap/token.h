/*
 * IMAP tokens (RFC 3501 9): tags, atoms, strings, numbers, and their writers.
 * Pure functions over a complete command whose literals are in place
 * ("{3}" CR LF "abc"), as command.h collects it. No I/O; every byte is hostile.
 *
 * Strings read point into the input, or into the arena where escapes had to go.
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum { IMAP_TAG_MAX = 128 };

bool imap_atom_char(uint8_t c);    /* ATOM-CHAR */
bool imap_astring_char(uint8_t c); /* ATOM-CHAR or "]" */

/* Each is untouched on failure; ST_SYNTAX, ST_LIMIT (tags, numbers) or ST_MEMORY (arena). */
MUST_CHECK enum status imap_take_tag(struct slice *in, struct slice *tag);
MUST_CHECK enum status imap_take_atom(struct slice *in, struct slice *atom);
MUST_CHECK enum status imap_take_quoted(struct slice *in, struct arena *a, struct slice *out);
/* "{n}" or "{n+}", CR LF and n bytes, none of them NUL. */
MUST_CHECK enum status imap_take_literal(struct slice *in, struct slice *out);
MUST_CHECK enum status imap_take_string(struct slice *in, struct arena *a, struct slice *out);
MUST_CHECK enum status imap_take_astring(struct slice *in, struct arena *a, struct slice *out);
/* list-mailbox: an astring in which "%" and "*" need no quotes. */
MUST_CHECK enum status imap_take_pattern(struct slice *in, struct arena *a, struct slice *out);
MUST_CHECK enum status imap_take_number(struct slice *in, uint32_t *out);
MUST_CHECK enum status imap_take_nz_number(struct slice *in, uint32_t *out);

/* A literal's header at the end of a line without its CR LF. */
struct imap_literal {
    size_t at;  /* offset of "{", or of the "~" before it */
    bool eight; /* "~{n}" (RFC 3516 7): may hold NULs */
    uint64_t n;
    bool sync; /* the client waits for "+ " (RFC 7888: not after "{n+}") */
};
bool imap_literal_header(struct slice line, struct imap_literal *out);

/* Writers. A string is quoted where that can be (RFC 3501 4.3: no CR, LF, NUL or 8-bit, not long), else a
 * literal; an astring may be an atom too. A nstring with p == NULL is NIL. NULs are not representable: '?'. */
void imap_put_string(struct buf *b, struct slice s);
void imap_put_nstring(struct buf *b, struct slice s);
void imap_put_astring(struct buf *b, struct slice s);
/* For a client that takes UTF-8 in quoted strings (RFC 9051 4.3, RFC 6855 3): s is UTF-8. */
void imap_put_utf8_astring(struct buf *b, struct slice s);
