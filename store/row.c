#include "store/row.h"

#include <inttypes.h>

#define REQUEST_BYTES 16u

/* width: bytes of each part. tail: the most bytes of it; 0 none. least: the fewest. */
static const struct shape {
    enum row_kind kind;
    const char *name;
    bool shard; /* account 0, else never */
    uint8_t width[ROW_PARTS];
    size_t least, tail;
} row_shapes[] = {
    {ROW_ACCOUNT, "account", false, {0}, 0, 0},
    {ROW_USAGE, "usage", false, {0}, 0, 0},
    {ROW_MAILBOX, "mailbox", false, {8}, 0, 0},
    {ROW_STATUS, "status", false, {8}, 0, 0},
    {ROW_NAME, "name", false, {0}, 1, ROW_TAIL_MAX},
    {ROW_MESSAGE, "message", false, {8, 4}, 0, 0},
    {ROW_CHANGE, "change", false, {8, 8, 4}, 0, 0},
    {ROW_EXPUNGED, "expunged", false, {8, 4}, 0, 0},
    {ROW_PRIVATE, "private", false, {8, 8, 4}, 0, 0},
    {ROW_EMAIL, "email", false, {8}, 0, 0},
    {ROW_KEYWORD, "keyword", false, {2}, 0, 0},
    {ROW_SUBSCRIPTION, "subscription", false, {0}, 1, ROW_TAIL_MAX},
    {ROW_QUOTA, "quota", false, {0}, 0, ROW_TAIL_MAX}, /* RFC 9208: a root's name may be empty */
    {ROW_SCRIPT, "script", false, {0}, 1, ROW_TAIL_MAX},
    {ROW_ACTIVE, "active", false, {0}, 0, 0},
    {ROW_MEMORY, "memory", false, {1}, 1, ROW_TAIL_MAX},
    {ROW_MEMORY_DUE, "memory_due", false, {8, 1}, 1, ROW_TAIL_MAX},
    {ROW_ACCOUNT_NAME, "account_name", true, {0}, 1, ROW_TAIL_MAX},
    {ROW_BODY, "body", true, {8}, 0, 0},
    {ROW_DIGEST, "digest", true, {8}, 0, 0},
    {ROW_REFS, "refs", true, {8}, 0, 0},
    {ROW_QUEUE, "queue", true, {8}, 0, 0},
    {ROW_QUEUE_DUE, "queue_due", true, {1, 8, 8}, 0, 0},
    {ROW_SEGMENT, "segment", true, {8}, 0, 0},
    {ROW_REQUEST, "request", true, {0}, REQUEST_BYTES, REQUEST_BYTES},
    {ROW_REQUEST_DUE, "request_due", true, {8}, REQUEST_BYTES, REQUEST_BYTES},
    {ROW_SHARD, "shard", true, {0}, 0, 0},
    {ROW_APPLIED, "applied", true, {0}, 0, 0},
    {ROW_BROKEN, "broken", true, {8}, 0, 0},
    {ROW_FORMAT, "format", true, {0}, 0, 0},
    {ROW_IMAGE, "image", true, {8}, 0, 0},
    {ROW_TABLE, "table", true, {8}, 0, 0},
};

static const struct shape *
find_shape(unsigned kind)
{
    for (size_t i = 0; i < COUNT(row_shapes); i++)
        if ((unsigned)row_shapes[i].kind == kind)
            return &row_shapes[i];
    return NULL;
}

const char *
row_kind_name(enum row_kind kind)
{
    const struct shape *shape = find_shape((unsigned)kind);

    return shape != NULL ? shape->name : "?";
}

/* A number that does not fit would sort elsewhere, so it is refused, never cut. */
static void
put_part(struct buf *out, uint8_t width, uint64_t v)
{
    if (width < 8 && v >> (8 * width) != 0)
        out->failed = true;
    for (unsigned shift = 8u * width; shift > 0; shift -= 8)
        buf_putc(out, (uint8_t)(v >> (shift - 8)));
}

void
row_prefix_put(struct buf *out, const struct row_key *key, size_t parts)
{
    const struct shape *shape = find_shape((unsigned)key->kind);

    if (shape == NULL || shape->shard != (key->account == 0)) {
        out->failed = true;
        return;
    }
    buf_put_be64(out, key->account);
    buf_putc(out, (uint8_t)key->kind);
    for (size_t i = 0; i < parts && i < ROW_PARTS; i++)
        if (shape->width[i] > 0)
            put_part(out, shape->width[i], key->part[i]);
}

void
row_key_put(struct buf *out, const struct row_key *key)
{
    const struct shape *shape = find_shape((unsigned)key->kind);

    row_prefix_put(out, key, ROW_PARTS);
    if (shape == NULL || key->tail.n < shape->least || key->tail.n > shape->tail) {
        out->failed = true;
        return;
    }
    buf_put(out, key->tail);
}

enum status
row_key_get(struct slice bytes, struct row_key *key)
{
    struct row_key got = {0};
    const struct shape *shape;
    struct slice kind, part;

    if (!take_be64(&bytes, &got.account) || !take_bytes(&bytes, 1, &kind))
        return ST_CORRUPT;
    shape = find_shape(kind.p[0]);
    if (shape == NULL || shape->shard != (got.account == 0))
        return ST_CORRUPT;
    got.kind = shape->kind;
    for (size_t i = 0; i < ROW_PARTS; i++) {
        if (!take_bytes(&bytes, shape->width[i], &part))
            return ST_CORRUPT;
        for (size_t k = 0; k < part.n; k++)
            got.part[i] = got.part[i] << 8 | part.p[k];
    }
    if (bytes.n < shape->least || bytes.n > shape->tail)
        return ST_CORRUPT;
    got.tail = bytes;
    *key = got;
    return ST_OK;
}

static bool
keywords_ok(struct slice list)
{
    uint16_t before = 0, number;

    while (list.n > 0) {
        if (!take_le16(&list, &number) || number <= before)
            return false;
        before = number;
    }
    return true;
}

static bool
extents_ok(const struct row_body *body)
{
    struct slice list = body->extents;
    struct row_extent extent;
    uint64_t sum = 0;
    size_t count = 0;

    while (list.n > 0) {
        if (!row_extent_take(&list, &extent) || ++count > ROW_EXTENTS_MAX ||
            __builtin_add_overflow(sum, extent.n, &sum) || extent.offset > UINT64_MAX - extent.n)
            return false;
    }
    return sum == body->size && body->prefix <= body->size;
}

static bool
places_ok(struct slice list)
{
    struct row_place place;

    if (list.n == 0)
        return false;
    while (list.n > 0)
        if (!row_place_take(&list, &place))
            return false;
    return true;
}

static bool
rights_ok(struct slice list)
{
    struct row_right right;

    while (list.n > 0)
        if (!row_right_take(&list, &right))
            return false;
    return true;
}

/* The kinds whose values hold more than scalars and free bytes. */
static bool
value_with_list_ok(enum row_kind kind, struct slice value)
{
    struct row_mailbox mailbox;
    struct row_message message;
    struct row_expunged expunged;
    struct row_private flags;
    struct row_email email;
    struct row_body body;

    switch (kind) {
    case ROW_MAILBOX:
        return row_mailbox_get(value, &mailbox) && rights_ok(mailbox.rights);
    case ROW_MESSAGE:
        return row_message_get(value, &message) && keywords_ok(message.keywords);
    case ROW_EXPUNGED:
        return row_expunged_get(value, &expunged) && keywords_ok(expunged.message.keywords);
    case ROW_PRIVATE:
        return row_private_get(value, &flags) && keywords_ok(flags.keywords);
    case ROW_EMAIL:
        return row_email_get(value, &email) && places_ok(email.places);
    case ROW_BODY:
        return row_body_get(value, &body) && extents_ok(&body);
    default:
        return false;
    }
}

#define OK_AS(tag) (row_##tag##_get(value, &v.tag))

bool
row_value_ok(enum row_kind kind, struct slice value)
{
    union {
        struct row_account account;
        struct row_usage usage;
        struct row_status status;
        struct row_change change;
        struct row_quota quota;
        struct row_queue queue;
        struct row_segment segment;
        struct row_request request;
        struct row_shard shard;
        struct row_image image;
        struct row_number number;
        struct row_name name;
        struct row_time time;
    } v;

    switch (kind) {
    case ROW_ACCOUNT:
        return OK_AS(account);
    case ROW_USAGE:
        return OK_AS(usage);
    case ROW_STATUS:
        return OK_AS(status);
    case ROW_CHANGE:
        return OK_AS(change);
    case ROW_QUOTA:
        return OK_AS(quota);
    case ROW_QUEUE:
        return OK_AS(queue);
    case ROW_SEGMENT:
        return OK_AS(segment);
    case ROW_REQUEST:
        return OK_AS(request);
    case ROW_SHARD:
        return OK_AS(shard);
    case ROW_IMAGE:
    case ROW_TABLE:
        return OK_AS(image);
    case ROW_NAME:
    case ROW_ACCOUNT_NAME:
    case ROW_REFS:
    case ROW_APPLIED:
    case ROW_FORMAT:
        return OK_AS(number);
    case ROW_KEYWORD:
    case ROW_SCRIPT:
    case ROW_ACTIVE:
    case ROW_BROKEN:
        return OK_AS(name);
    case ROW_MEMORY:
        return OK_AS(time);
    case ROW_SUBSCRIPTION:
    case ROW_MEMORY_DUE:
    case ROW_QUEUE_DUE:
    case ROW_REQUEST_DUE:
        return value.n == 0;
    case ROW_DIGEST:
        return true; /* lib/mime reads it; to the store it is bytes */
    default:
        return value_with_list_ok(kind, value);
    }
}

static void
put_quoted(struct buf *out, struct slice s)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\')
            buf_printf(out, "\\x%02x", (unsigned)s.p[i]);
        else
            buf_putc(out, s.p[i]);
    }
    buf_putc(out, '"');
}

void
row_text(struct buf *out, struct slice key, struct slice value)
{
    const struct shape *shape;
    struct row_key got;

    if (row_key_get(key, &got) != ST_OK) {
        buf_puts(out, "? ");
        buf_put_hex(out, key);
    } else {
        shape = find_shape((unsigned)got.kind);
        buf_printf(out, "%s %" PRIu64, shape->name, got.account);
        for (size_t i = 0; i < ROW_PARTS && shape->width[i] > 0; i++)
            buf_printf(out, " %" PRIu64, got.part[i]);
        if (shape->tail > 0) {
            buf_putc(out, ' ');
            put_quoted(out, got.tail);
        }
    }
    buf_putc(out, ' ');
    buf_put_hex(out, value);
    buf_putc(out, '\n');
}

void
row_range_end(struct buf *out, struct slice prefix)
{
    while (prefix.n > 0 && prefix.p[prefix.n - 1] == 0xff)
        prefix.n--;
    buf_put(out, prefix);
    if (prefix.n > 0 && buf_ok(out))
        out->p[out->n - 1]++;
}
