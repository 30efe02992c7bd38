#include "mime/imap_view.h"

#define QUOTED_MAX 1000 /* longer strings become literals */

static bool
quotable(struct slice s)
{
    if (s.n > QUOTED_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 0x80 || s.p[i] == 0)
            return false;
    return true;
}

/* A quoted string or literal; NIL when p is NULL. NUL, CR and LF, which neither may hold, become spaces. */
static void
put_nstring(struct buf *out, struct slice s)
{
    bool quoted = quotable(s);

    if (s.p == NULL) {
        buf_puts(out, "NIL");
        return;
    }
    if (quoted)
        buf_putc(out, '"');
    else
        buf_printf(out, "{%zu}\r\n", s.n);
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];

        if (c == 0 || c == '\r' || c == '\n')
            c = ' ';
        if (quoted && (c == '"' || c == '\\'))
            buf_putc(out, '\\');
        buf_putc(out, c);
    }
    if (quoted)
        buf_putc(out, '"');
}

/* What an address lacks is named as Dovecot names it, for NIL would make it a group. */
static void
put_address(struct buf *out, const struct digest_address *a)
{
    struct slice mailbox = a->mailbox, host = a->host;

    if (host.p != NULL && host.n == 0)
        host = SLICE("MISSING_DOMAIN");
    if (host.p != NULL && mailbox.n == 0)
        mailbox = SLICE("MISSING_MAILBOX");
    buf_putc(out, '(');
    put_nstring(out, a->name);
    buf_putc(out, ' ');
    put_nstring(out, a->route);
    buf_putc(out, ' ');
    put_nstring(out, mailbox);
    buf_putc(out, ' ');
    put_nstring(out, host);
    buf_putc(out, ')');
}

static void
put_addresses_of(struct buf *out, struct digest_items list)
{
    struct digest_address a;

    if (list.n == 0) {
        buf_puts(out, "NIL");
        return;
    }
    buf_putc(out, '(');
    while (take_digest_address(&list, &a))
        put_address(out, &a);
    buf_putc(out, ')');
}

static void
put_envelope(struct buf *out, const struct digest_envelope *e)
{
    /* RFC 3501 7.4.2: an absent or empty Sender or Reply-To is the From. */
    const struct digest_items lists[] = {e->from,
                                        e->sender.n > 0 ? e->sender : e->from,
                                        e->reply_to.n > 0 ? e->reply_to : e->from,
                                        e->to,
                                        e->cc,
                                        e->bcc};

    buf_putc(out, '(');
    put_nstring(out, e->date);
    buf_putc(out, ' ');
    put_nstring(out, e->subject);
    for (size_t i = 0; i < COUNT(lists); i++) {
        buf_putc(out, ' ');
        put_addresses_of(out, lists[i]);
    }
    buf_putc(out, ' ');
    put_nstring(out, e->in_reply_to);
    buf_putc(out, ' ');
    put_nstring(out, e->message_id);
    buf_putc(out, ')');
}

void
imap_put_envelope(struct buf *out, const struct digest_view *view)
{
    struct digest_cursor c = digest_parts(view);
    struct digest_part root = {0};

    (void)digest_next(&c, &root); /* false: cut, and all is NIL */
    put_envelope(out, &root.envelope);
}

/* `charset`: us-ascii is added when no charset is named (RFC 2045 5.2). */
static void
put_params_of(struct buf *out, struct digest_items list, bool charset)
{
    struct digest_param p;
    bool any = false;

    if (list.n == 0 && !charset) {
        buf_puts(out, "NIL");
        return;
    }
    buf_putc(out, '(');
    while (take_digest_param(&list, &p)) {
        if (any)
            buf_putc(out, ' ');
        any = true;
        if (slice_eq_nocase(p.name, SLICE("charset")) || slice_eq_nocase(p.name, SLICE("charset*")))
            charset = false;
        put_nstring(out, p.name.p != NULL ? p.name : SLICE(""));
        buf_putc(out, ' ');
        put_nstring(out, p.value.p != NULL ? p.value : SLICE(""));
    }
    if (charset)
        buf_puts(out, any ? " \"charset\" \"us-ascii\"" : "\"charset\" \"us-ascii\"");
    buf_putc(out, ')');
}

/* disposition, language, location: the extension data that multiparts and others share. */
static void
put_extension(struct buf *out, const struct digest_part *p)
{
    struct digest_items languages = p->languages;
    struct slice word;

    if (p->disposition.p == NULL) {
        buf_puts(out, " NIL ");
    } else {
        buf_puts(out, " (");
        put_nstring(out, p->disposition);
        buf_putc(out, ' ');
        put_params_of(out, p->disposition_params, false);
        buf_puts(out, ") ");
    }
    if (languages.n == 0) {
        buf_puts(out, "NIL");
    } else {
        for (uint32_t i = 0; take_digest_string(&languages, &word); i++) {
            buf_putc(out, i == 0 ? '(' : ' ');
            put_nstring(out, word.p != NULL ? word : SLICE(""));
        }
        buf_putc(out, ')');
    }
    buf_putc(out, ' ');
    put_nstring(out, p->location);
}

/* All of a part that stands before its own parts. */
static void
open_part(struct buf *out, const struct digest_part *p, const struct digest_part *next)
{
    buf_putc(out, '(');
    if (p->flags & PART_MULTIPART) {
        if (next == NULL || next->depth <= p->depth) /* the grammar wants one: an empty text, as Dovecot says */
            buf_puts(out, "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)");
        return;
    }
    put_nstring(out, p->type);
    buf_putc(out, ' ');
    put_nstring(out, p->subtype);
    buf_putc(out, ' ');
    put_params_of(out, p->params, (p->flags & PART_TEXT) != 0);
    buf_putc(out, ' ');
    put_nstring(out, p->id);
    buf_putc(out, ' ');
    put_nstring(out, p->description);
    buf_putc(out, ' ');
    put_nstring(out, p->encoding.p != NULL ? p->encoding : SLICE("7bit")); /* RFC 2045 6.1 */
    buf_putc(out, ' ');
    buf_put_u64(out, p->body);
    if (p->flags & PART_MESSAGE) {
        buf_putc(out, ' ');
        put_envelope(out, &next->envelope);
        buf_putc(out, ' ');
    }
}

static void
close_part(struct buf *out, const struct digest_part *p, bool extended)
{
    if (p->flags & PART_MULTIPART) {
        buf_putc(out, ' ');
        put_nstring(out, p->subtype);
        if (extended) {
            buf_putc(out, ' ');
            put_params_of(out, p->params, false);
            put_extension(out, p);
        }
    } else {
        if (p->flags & (PART_MESSAGE | PART_TEXT)) {
            buf_putc(out, ' ');
            buf_put_u64(out, p->lines);
        }
        if (extended) {
            buf_putc(out, ' ');
            put_nstring(out, p->md5);
            put_extension(out, p);
        }
    }
    buf_putc(out, ')');
}

/* No recursion: it runs on a fiber's small stack, and what is open is read again to close it. */
void
imap_put_structure(struct buf *out, const struct digest_view *view, bool extended)
{
    struct digest_cursor c = digest_parts(view), open[DIGEST_DEPTH + 1];
    struct digest_cursor at = c, after;
    struct digest_part p, next;
    uint32_t n_open = 0;
    bool have = digest_next(&c, &p), more;

    if (!have)
        buf_puts(out, "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)");
    while (have) {
        after = c;
        more = digest_next(&c, &next);
        open_part(out, &p, more ? &next : NULL);
        open[n_open++] = at;
        while (n_open > (more ? next.depth : 0)) { /* next.depth parts remain open above it */
            struct digest_cursor again = open[--n_open];
            struct digest_part closing;

            if (digest_next(&again, &closing))
                close_part(out, &closing, extended);
        }
        at = after;
        have = more;
        if (more)
            p = next;
    }
}

/* The part of a path below `from`, at the cursor: children of a multipart are counted, the message
 * in a message/rfc822 is stepped into, and of anything else 1 is the thing itself (RFC 3501 6.4.5). */
enum status
imap_find_part(const struct digest_view *view, const uint32_t *path, size_t n, struct digest_part *part)
{
    struct digest_cursor c = digest_parts(view);
    struct digest_part at, child;
    bool as_message = true; /* `at` is a message, whose single body is its part 1 */

    if (!digest_next(&c, &at))
        return ST_NOTFOUND;
    for (size_t i = 0; i < n; i++) {
        uint32_t wanted = path[i], count = 0;

        if (!as_message && (at.flags & PART_MESSAGE)) {
            if (!digest_next(&c, &at))
                return ST_NOTFOUND;
            as_message = true;
        }
        if ((at.flags & PART_MULTIPART) == 0) {
            if (!as_message || wanted != 1)
                return ST_NOTFOUND;
            as_message = false; /* the body of the message, as a part */
            continue;
        }
        as_message = false;
        while (count < wanted) {
            if (!digest_next(&c, &child) || child.depth <= at.depth)
                return ST_NOTFOUND;
            if (child.depth == at.depth + 1)
                count++;
        }
        if (wanted == 0)
            return ST_NOTFOUND;
        at = child;
    }
    *part = at;
    return ST_OK;
}

/* The message that a part is: the root, or what is in a message/rfc822. */
static enum status
find_message(const struct digest_view *view, const struct digest_part *part, size_t n, struct digest_part *message)
{
    struct digest_cursor c = digest_parts(view);
    struct digest_part p;

    if (n == 0) {
        *message = *part;
        return ST_OK;
    }
    if ((part->flags & PART_MESSAGE) == 0)
        return ST_NOTFOUND;
    while (digest_next(&c, &p))
        if ((p.flags & PART_ENVELOPE) && p.header_at == part->body_at && p.depth == part->depth + 1) {
            *message = p;
            return ST_OK;
        }
    return ST_NOTFOUND;
}

enum status
imap_section_range(const struct digest_view *view, const uint32_t *path, size_t n, enum mime_section what,
                   struct imap_range *range)
{
    struct digest_part part, message;
    enum status st;

    if (n == 0 && what != SECTION_MIME) { /* good even when the digest is cut */
        uint64_t from = what == SECTION_TEXT ? view->header : 0;
        uint64_t to = what == SECTION_HEADER ? view->header : view->header + view->body;

        *range = (struct imap_range){from, to - from};
        return ST_OK;
    }
    if (n == 0)
        return ST_NOTFOUND;
    st = imap_find_part(view, path, n, &part);
    if (st != ST_OK)
        return st;
    if (what == SECTION_ALL) {
        *range = (struct imap_range){part.body_at, part.body};
    } else if (what == SECTION_MIME) {
        *range = (struct imap_range){part.header_at, part.header};
    } else {
        st = find_message(view, &part, n, &message);
        if (st != ST_OK)
            return st;
        *range = what == SECTION_HEADER ? (struct imap_range){message.header_at, message.header}
                                        : (struct imap_range){message.body_at, message.body};
    }
    return ST_OK;
}
