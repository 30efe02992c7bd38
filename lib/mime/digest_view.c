/* The reading side of digest.h: bytes of a stored digest, checked. */
#include "mime/digest.h"
#include "mime/fields.h"

/* n items of `strings` strings each; the list keeps their bytes. */
static bool
take_list(struct slice *in, uint32_t strings, struct digest_items *list)
{
    struct slice at = *in, s;
    uint64_t n;

    if (!take_v(&at, &n) || n > at.n) /* each has at least one byte */
        return false;
    list->n = (uint32_t)n;
    list->bytes = at;
    for (uint64_t i = 0; i < n * strings; i++)
        if (!take_s(&at, &s))
            return false;
    list->bytes.n -= at.n;
    *in = at;
    return true;
}

static bool
take_envelope(struct slice *in, struct digest_envelope *e)
{
    return take_s(in, &e->date) && take_s(in, &e->subject) && take_s(in, &e->in_reply_to) &&
           take_s(in, &e->message_id) && take_list(in, 4, &e->from) && take_list(in, 4, &e->sender) &&
           take_list(in, 4, &e->reply_to) && take_list(in, 4, &e->to) && take_list(in, 4, &e->cc) &&
           take_list(in, 4, &e->bcc);
}

static bool
take_part(struct slice *in, struct digest_part *out)
{
    struct digest_part p = {0};
    struct slice at = *in, s;
    uint64_t n, depth;

    if (!take_v(&at, &n) || n > at.n)
        return false;
    s = slice_sub(at, 0, (size_t)n);
    at = slice_skip(at, (size_t)n);
    if (!take_v(&s, &depth) || depth > DIGEST_DEPTH || s.n == 0)
        return false;
    p.depth = (uint32_t)depth;
    p.flags = s.p[0];
    s = slice_skip(s, 1);
    if (!take_v(&s, &p.header_at) || !take_v(&s, &p.header) || !take_v(&s, &p.body) || !take_v(&s, &p.lines))
        return false;
    if (__builtin_add_overflow(p.header_at, p.header, &p.body_at))
        return false;
    if (!take_s(&s, &p.type) || !take_s(&s, &p.subtype) || p.type.p == NULL || p.subtype.p == NULL)
        return false;
    if (!take_list(&s, 2, &p.params) || !take_s(&s, &p.id) || !take_s(&s, &p.description) ||
        !take_s(&s, &p.encoding) || !take_s(&s, &p.md5) || !take_s(&s, &p.disposition) ||
        !take_list(&s, 2, &p.disposition_params) || !take_list(&s, 1, &p.languages) || !take_s(&s, &p.location))
        return false;
    if ((p.flags & PART_ENVELOPE) && !take_envelope(&s, &p.envelope))
        return false;
    if (s.n != 0)
        return false;
    *in = at;
    *out = p;
    return true;
}

/* Depths that make a tree, parts inside of the message, messages where flags say so. */
static bool
check_parts(const struct digest_view *v)
{
    struct slice rest = v->records;
    uint32_t flags_at[DIGEST_DEPTH + 1], last = 0;
    bool want_message = false;
    uint64_t total;
    struct digest_part p;

    if (__builtin_add_overflow(v->header, v->body, &total) || total > INT64_MAX)
        return false;
    for (uint32_t i = 0; i < v->parts; i++) {
        if (!take_part(&rest, &p))
            return false;
        if (i == 0 ? p.depth != 0 : p.depth == 0 || p.depth > last + 1)
            return false;
        if (i > 0 && (flags_at[p.depth - 1] & (PART_MULTIPART | PART_MESSAGE)) == 0)
            return false;
        if (want_message && p.depth != last + 1)
            return false;
        if (!want_message && i > 0 && (flags_at[p.depth - 1] & PART_MESSAGE)) /* only one */
            return false;
        if (((p.flags & PART_ENVELOPE) != 0) != (i == 0 || want_message))
            return false;
        if ((p.flags & PART_MULTIPART) && (p.flags & PART_MESSAGE))
            return false;
        if (p.body_at > total || p.body > total - p.body_at)
            return false;
        flags_at[p.depth] = p.flags;
        last = p.depth;
        want_message = (p.flags & PART_MESSAGE) != 0;
    }
    return rest.n == 0 && !want_message;
}

enum status
digest_get(struct slice bytes, struct digest_view *view)
{
    struct digest_view v = {0};
    struct slice in = bytes;
    uint16_t flags, zone, parts, n;
    uint32_t length;
    uint64_t date;

    if (in.n < 58)
        return ST_CORRUPT;
    if (in.p[0] > DIGEST_VERSION)
        return ST_NEWER;
    if (in.p[0] != DIGEST_VERSION || in.p[1] != 0)
        return ST_CORRUPT;
    in = slice_skip(in, 2);
    if (!take_le16(&in, &flags) || !take_le32(&in, &length) || length != bytes.n)
        return ST_CORRUPT;
    if (!take_le64(&in, &v.header) || !take_le64(&in, &v.body) || !take_le32(&in, &v.header_lines) ||
        !take_le32(&in, &v.body_lines) || !take_le64(&in, &date) || !take_le32(&in, &v.longest) ||
        !take_le16(&in, &zone) || !take_le16(&in, &parts) || !take_le64(&in, &v.message_key) || !take_le16(&in, &n))
        return ST_CORRUPT;
    if (n > DIGEST_REFERENCES || !take_bytes(&in, (size_t)n * 8, &v.references))
        return ST_CORRUPT;
    v.flags = flags;
    v.date = (int64_t)date;
    v.zone = (int16_t)zone;
    v.parts = parts;
    v.records = in;
    if (parts > DIGEST_PARTS || (parts == 0) != ((flags & DIGEST_CUT) != 0) || !check_parts(&v))
        return ST_CORRUPT;
    *view = v;
    return ST_OK;
}

void
digest_prefix(struct digest_view *view, uint64_t n)
{
    view->prefix += n;
    view->header += n;
}

struct digest_cursor
digest_parts(const struct digest_view *view)
{
    return (struct digest_cursor){view->records, view->prefix};
}

bool
digest_next(struct digest_cursor *c, struct digest_part *part)
{
    if (!take_part(&c->rest, part))
        return false;
    part->body_at += c->prefix;
    if (part->depth == 0)
        part->header += c->prefix;
    else
        part->header_at += c->prefix;
    return true;
}

bool
take_digest_address(struct digest_items *list, struct digest_address *out)
{
    if (list->n == 0 || !take_s(&list->bytes, &out->name) || !take_s(&list->bytes, &out->route) ||
        !take_s(&list->bytes, &out->mailbox) || !take_s(&list->bytes, &out->host))
        return false;
    list->n--;
    return true;
}

bool
take_digest_param(struct digest_items *list, struct digest_param *out)
{
    if (list->n == 0 || !take_s(&list->bytes, &out->name) || !take_s(&list->bytes, &out->value))
        return false;
    list->n--;
    return true;
}

bool
take_digest_string(struct digest_items *list, struct slice *out)
{
    if (list->n == 0 || !take_s(&list->bytes, out))
        return false;
    list->n--;
    return true;
}
