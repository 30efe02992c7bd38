#include "mime/digest.h"

#include <stdlib.h>

#include "mime/date.h"
#include "mime/fields.h"
#include "mime/header.h"

/* The fields that a digest tells of. */
enum field {
    F_DATE,
    F_SUBJECT,
    F_IN_REPLY_TO,
    F_MESSAGE_ID,
    F_FROM,
    F_SENDER,
    F_REPLY_TO,
    F_TO,
    F_CC,
    F_BCC,
    F_REFERENCES,
    F_TYPE,
    F_ENCODING,
    F_ID,
    F_DESCRIPTION,
    F_MD5,
    F_DISPOSITION,
    F_LANGUAGE,
    F_LOCATION,
    F_COUNT,
    F_NONE = F_COUNT
};

enum kind { STRING, ADDRESSES, KEYS, TYPE, TOKEN, DISPOSITION, LANGUAGES };

static const struct {
    struct slice name;
    enum kind kind;
} fields[F_COUNT] = {
    [F_DATE] = {{(const uint8_t *)"Date", 4}, STRING},
    [F_SUBJECT] = {{(const uint8_t *)"Subject", 7}, STRING},
    [F_IN_REPLY_TO] = {{(const uint8_t *)"In-Reply-To", 11}, STRING},
    [F_MESSAGE_ID] = {{(const uint8_t *)"Message-ID", 10}, STRING},
    [F_FROM] = {{(const uint8_t *)"From", 4}, ADDRESSES},
    [F_SENDER] = {{(const uint8_t *)"Sender", 6}, ADDRESSES},
    [F_REPLY_TO] = {{(const uint8_t *)"Reply-To", 8}, ADDRESSES},
    [F_TO] = {{(const uint8_t *)"To", 2}, ADDRESSES},
    [F_CC] = {{(const uint8_t *)"Cc", 2}, ADDRESSES},
    [F_BCC] = {{(const uint8_t *)"Bcc", 3}, ADDRESSES},
    [F_REFERENCES] = {{(const uint8_t *)"References", 10}, KEYS},
    [F_TYPE] = {{(const uint8_t *)"Content-Type", 12}, TYPE},
    [F_ENCODING] = {{(const uint8_t *)"Content-Transfer-Encoding", 25}, TOKEN},
    [F_ID] = {{(const uint8_t *)"Content-ID", 10}, STRING},
    [F_DESCRIPTION] = {{(const uint8_t *)"Content-Description", 19}, STRING},
    [F_MD5] = {{(const uint8_t *)"Content-MD5", 11}, STRING},
    [F_DISPOSITION] = {{(const uint8_t *)"Content-Disposition", 19}, DISPOSITION},
    [F_LANGUAGE] = {{(const uint8_t *)"Content-Language", 16}, LANGUAGES},
    [F_LOCATION] = {{(const uint8_t *)"Content-Location", 16}, STRING},
};

#define BOUNDARY_LINE (2 + DIGEST_BOUNDARY + 2 + 128) /* bytes of a line in which a boundary is looked for */

/* What one field of the header that is being read will put into the digest. */
struct capture {
    struct buf bytes;
    uint32_t n; /* addresses, languages */
    bool seen;
};

/* A part that was found; its strings are [at, at + n) of d->strings. */
struct node {
    uint64_t header_at, header, body_at, body, lines; /* lines: before body_at until it is closed */
    size_t at, n;
    uint32_t depth, flags;
    bool of_digest; /* its parts are message/rfc822 unless they say otherwise (RFC 2046 5.1.5) */
};

struct open_part {
    uint32_t node;
    size_t boundary, boundary_n; /* in d->boundaries; 0 long: none */
};

struct digester {
    size_t most;
    bool whole, cut;
    uint32_t flags;

    /* The text so far. */
    uint64_t at;       /* where the line begins that is being read */
    uint64_t lines;    /* LFs before it */
    uint32_t end;      /* length of the line end before it */
    uint64_t line_n;   /* bytes of it in earlier pieces */
    uint8_t last;      /* byte before this piece */
    struct buf held;   /* the beginning of that line */
    uint64_t crs, crlfs, longest;
    uint32_t header_lines;
    bool root_body;

    /* The header that is being read. */
    bool in_header, field_open, field_cut;
    enum field field;
    struct slice raw; /* of the field: in this piece, or in `folded` */
    bool raw_here;
    struct buf folded;
    struct capture captures[F_COUNT];
    size_t captured;
    uint32_t fields, addresses;
    struct slice type, subtype; /* in captures[F_TYPE] */
    struct buf boundary, scratch;
    struct address_scratch address;

    /* What was found. */
    struct node *nodes;
    uint32_t n_nodes, cap_nodes;
    struct buf strings, boundaries;
    struct open_part open[DIGEST_DEPTH + 1]; /* by depth */
    uint32_t depth;                          /* of the part that is being read */
    uint32_t n_boundaries;
    int64_t date;
    int16_t zone;
    uint64_t message_key;
    uint64_t references[DIGEST_REFERENCES], replied[DIGEST_REFERENCES];
    uint32_t n_references, n_replied;
    bool failed;
};

uint64_t
digest_key(struct slice id)
{
    uint64_t h = 0xcbf29ce484222325u;
    size_t from = slice_find(id, '<');

    if (from < id.n) {
        id = slice_skip(id, from + 1);
        id.n = slice_find(id, '>');
    }
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] <= ' ')
            continue;
        h ^= id.p[i];
        h *= 0x100000001b3u;
    }
    return h;
}

static void start_part(struct digester *d, uint64_t header_at);

struct digester *
digester_new(size_t most)
{
    struct digester *d = calloc(1, sizeof *d);

    if (d == NULL)
        return NULL;
    d->most = most;
    d->whole = most >= DIGEST_WHOLE;
    d->held = d->folded = d->boundary = d->scratch = BUF_INIT(most);
    d->strings = BUF_INIT(most + 64 * DIGEST_PARTS); /* when full, parts without words still fit */
    d->boundaries = BUF_INIT((DIGEST_DEPTH + 1) * DIGEST_BOUNDARY);
    for (size_t i = 0; i < F_COUNT; i++)
        d->captures[i].bytes = BUF_INIT(most);
    address_scratch_init(&d->address, most);
    digester_reset(d);
    if (d->failed) {
        digester_free(d);
        return NULL;
    }
    return d;
}

void
digester_free(struct digester *d)
{
    if (d == NULL)
        return;
    buf_done(&d->held);
    buf_done(&d->folded);
    buf_done(&d->boundary);
    buf_done(&d->scratch);
    buf_done(&d->strings);
    buf_done(&d->boundaries);
    for (size_t i = 0; i < F_COUNT; i++)
        buf_done(&d->captures[i].bytes);
    address_scratch_done(&d->address);
    free(d->nodes);
    free(d);
}

#define KEEP 4096 /* bytes of each buf that wait for the next message */

void
digester_reset(struct digester *d)
{
    d->cut = d->failed = false;
    d->flags = 0;
    d->at = d->lines = d->line_n = 0;
    d->end = 0;
    d->last = 0;
    d->crs = d->crlfs = d->longest = 0;
    d->header_lines = 0;
    d->root_body = false;
    d->fields = d->addresses = 0;
    d->n_nodes = d->depth = d->n_boundaries = 0;
    d->date = 0;
    d->zone = 0;
    d->message_key = 0;
    d->n_references = d->n_replied = 0;
    buf_shrink(&d->held, KEEP);
    buf_shrink(&d->folded, KEEP);
    buf_shrink(&d->boundary, KEEP);
    buf_shrink(&d->scratch, KEEP);
    buf_shrink(&d->strings, KEEP);
    buf_shrink(&d->boundaries, KEEP);
    for (size_t i = 0; i < F_COUNT; i++)
        buf_shrink(&d->captures[i].bytes, KEEP);
    buf_shrink(&d->address.text, KEEP);
    buf_shrink(&d->address.comment, KEEP);
    buf_shrink(&d->address.spec, KEEP);
    buf_shrink(&d->address.route, KEEP);
    if (d->cap_nodes > 64) {
        free(d->nodes);
        d->nodes = NULL;
        d->cap_nodes = 0;
    }
    start_part(d, 0);
}

/* More than the digest may hold: an arriving message gets a digest without parts; a reader's
 * own parse leaves out what was too much. */
static void
over(struct digester *d)
{
    if (d->whole) {
        d->flags |= DIGEST_BUDGET;
        return;
    }
    d->flags |= DIGEST_CUT;
    d->cut = true;
    d->n_boundaries = 0;
    for (size_t i = 0; i <= d->depth; i++)
        d->open[i].boundary_n = 0;
}

static struct node *
current(struct digester *d)
{
    return &d->nodes[d->open[d->depth].node];
}

/* False when there may be no more parts. */
static bool
may_start_part(struct digester *d)
{
    if (d->n_nodes < DIGEST_PARTS && d->depth < DIGEST_DEPTH)
        return true;
    d->flags |= DIGEST_BUDGET;
    return false;
}

/* A part at depth d->depth. */
static void
start_part(struct digester *d, uint64_t header_at)
{
    if (d->n_nodes == d->cap_nodes) {
        uint32_t cap = d->cap_nodes == 0 ? 8 : d->cap_nodes * 2;
        struct node *nodes = reallocarray(d->nodes, cap, sizeof *nodes);

        if (nodes == NULL) { /* the answer will be ST_MEMORY; until then all goes into the part before */
            d->failed = true;
            d->in_header = false;
            return;
        }
        d->nodes = nodes;
        d->cap_nodes = cap;
    }
    d->nodes[d->n_nodes] = (struct node){.header_at = header_at, .depth = d->depth};
    d->open[d->depth] = (struct open_part){.node = d->n_nodes};
    d->n_nodes++;
    d->in_header = true;
    d->field_open = d->field_cut = d->raw_here = false;
    d->raw = (struct slice){0};
    d->type = d->subtype = (struct slice){0};
    d->captured = 0;
    buf_clear(&d->boundary);
    for (size_t i = 0; i < F_COUNT; i++) {
        buf_clear(&d->captures[i].bytes);
        d->captures[i].n = 0;
        d->captures[i].seen = false;
    }
    if (d->n_nodes == 1)
        d->nodes[0].flags = PART_ENVELOPE;
}

/* Ends the innermost part at `to`; `lf`: a line end stands between, and is the boundary's. */
static void
end_part(struct digester *d, uint64_t to, uint32_t line_end)
{
    struct open_part *open = &d->open[d->depth];
    struct node *node = &d->nodes[open->node];
    uint64_t lines = d->lines;

    if (line_end > 0 && to >= node->body_at + line_end) {
        to -= line_end;
        lines--;
    }
    node->body = to - node->body_at;
    node->lines = lines - node->lines;
    if (open->boundary_n > 0) {
        d->n_boundaries--;
        d->boundaries.n = open->boundary;
    }
    open->boundary_n = 0;
}

/* The keys of all "<...>"; when there are too many the first and the latest remain. */
static uint32_t
put_keys(struct slice value, uint64_t *keys)
{
    uint32_t n = 0;

    for (;;) {
        struct slice id;

        (void)take_until(&value, '<');
        if (!take_byte(&value, '<'))
            return n;
        id = take_until(&value, '>');
        if (!take_byte(&value, '>') || id.n == 0)
            continue;
        if (n == DIGEST_REFERENCES) {
            memmove(keys + 1, keys + 2, (n - 2) * sizeof *keys);
            n--;
        }
        keys[n++] = digest_key(id);
    }
}

/* What the whole message is found by; kept even when the digest is cut. */
static void
root_field(struct digester *d, enum field f, struct slice value)
{
    if (d->captures[f].seen)
        return;
    if (f == F_MESSAGE_ID && slice_trim(value).n > 0)
        d->message_key = digest_key(value);
    else if (f == F_REFERENCES)
        d->n_references = put_keys(value, d->references);
    else if (f == F_IN_REPLY_TO)
        d->n_replied = put_keys(value, d->replied);
    else if (f == F_DATE && mime_date_parse(value, &d->date, &d->zone) == ST_OK)
        d->flags |= DIGEST_DATED;
}

/* type "/" subtype; without a slash it is invalid and RFC 2045 5.2's default counts. */
static void
capture_type(struct digester *d, struct slice value)
{
    struct capture *c = &d->captures[F_TYPE];
    struct slice type, subtype;
    size_t mark = c->bytes.n;
    bool more = false;

    skip_cfws(&value);
    type = take_token(&value);
    skip_cfws(&value);
    if (type.n == 0 || !take_byte(&value, '/'))
        return;
    skip_cfws(&value);
    subtype = take_token(&value);
    if (subtype.n == 0)
        return;
    (void)take_until(&value, ';');
    put_s(&c->bytes, type);
    put_s(&c->bytes, subtype);
    put_params(&c->bytes, value, &d->boundary, &more);
    if (more)
        d->flags |= DIGEST_BUDGET;
    if (buf_ok(&c->bytes)) {
        struct slice back = slice_skip(buf_slice(&c->bytes), mark);

        (void)(take_s(&back, &d->type) && take_s(&back, &d->subtype));
    }
}

static void
capture_disposition(struct digester *d, struct slice value)
{
    struct capture *c = &d->captures[F_DISPOSITION];
    struct slice type;
    bool more = false;

    skip_cfws(&value);
    type = take_token(&value);
    (void)take_until(&value, ';');
    if (type.n == 0) /* RFC 2183 2.8: an unknown one is an attachment */
        type = SLICE("attachment");
    put_s(&c->bytes, type);
    put_params(&c->bytes, value, NULL, &more);
    if (more)
        d->flags |= DIGEST_BUDGET;
}

static void
capture_languages(struct digester *d, struct slice value)
{
    struct capture *c = &d->captures[F_LANGUAGE];

    while (value.n > 0) {
        struct slice word;

        skip_cfws(&value);
        word = take_token(&value);
        if (word.n > 0 && c->n < DIGEST_PARAMS) {
            put_s(&c->bytes, word);
            c->n++;
        }
        (void)take_until(&value, ',');
        (void)take_byte(&value, ',');
    }
}

static void
capture_addresses(struct digester *d, enum field f, struct slice value)
{
    struct capture *c = &d->captures[f];
    bool more = false;
    /* RFC 5322 4.5.3: fields that come again are joined. A group may need one more to end it. */
    uint32_t n = put_addresses(&c->bytes, value, &d->address, DIGEST_ADDRESSES - d->addresses, &more);

    c->n += n;
    d->addresses += n;
    if (more)
        d->flags |= DIGEST_BUDGET;
}

static void
capture(struct digester *d, enum field f, struct slice value)
{
    struct capture *c = &d->captures[f];
    size_t before = c->bytes.n;
    uint32_t n_before = c->n;

    if (c->seen && fields[f].kind != ADDRESSES)
        return; /* the first counts */
    c->seen = true;
    switch (fields[f].kind) {
    case STRING:
        put_value(&c->bytes, value, &d->scratch);
        break;
    case ADDRESSES:
        capture_addresses(d, f, value);
        break;
    case KEYS:
        break;
    case TYPE:
        capture_type(d, value);
        break;
    case TOKEN:
        skip_cfws(&value);
        value = take_token(&value);
        if (value.n > 0)
            put_s(&c->bytes, value);
        break;
    case DISPOSITION:
        capture_disposition(d, value);
        break;
    case LANGUAGES:
        capture_languages(d, value);
        break;
    }
    d->captured += c->bytes.n - before;
    if (!buf_ok(&c->bytes) || d->captured > d->most) {
        d->captured -= c->bytes.n - before;
        c->bytes.n = before;
        c->bytes.failed = false;
        c->n = n_before;
        if (f == F_TYPE) {
            d->type = d->subtype = (struct slice){0};
            buf_clear(&d->boundary);
        }
        over(d);
    }
}

static void
field_done(struct digester *d)
{
    struct slice value = d->raw;
    enum field f = d->field;
    size_t colon;

    if (!d->field_open)
        return;
    d->field_open = false;
    if (f == F_NONE)
        return;
    colon = slice_find(value, ':');
    value = slice_skip(value, colon + 1);
    if (d->field_cut)
        over(d);
    if (d->open[d->depth].node == 0)
        root_field(d, f, value);
    if (d->cut || (f < F_TYPE && (current(d)->flags & PART_ENVELOPE) == 0))
        d->captures[f].seen = true;
    else
        capture(d, f, value);
}

static enum field
find_name(struct slice line)
{
    static const uint32_t lengths = 1u << 2 | 1u << 3 | 1u << 4 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 10 | 1u << 11 |
                                    1u << 12 | 1u << 16 | 1u << 19 | 1u << 25;
    struct slice name;

    name.n = slice_find(slice_sub(line, 0, 64), ':');
    if (name.n >= line.n || name.n == 64)
        return F_NONE;
    name.p = line.p;
    name = slice_trim(name);
    if (name.n > 25 || (lengths >> name.n & 1) == 0)
        return F_NONE;
    for (enum field f = 0; f < F_COUNT; f++)
        if (fields[f].name.n == name.n && slice_eq_nocase(fields[f].name, name))
            return f;
    return F_NONE;
}

/* Adds a line to the field; d->most bytes of a field are looked at. */
static void
field_append(struct digester *d, struct slice line, uint64_t total, bool here)
{
    if (d->field == F_NONE)
        return;
    if (d->raw.n + total > d->most) {
        d->field_cut = true;
        line = slice_sub(line, 0, d->most - d->raw.n);
    }
    if (here && d->raw.n == 0) {
        d->raw = line;
        d->raw_here = true;
    } else if (here && d->raw_here) { /* lines of a field stand one after another */
        d->raw.n += line.n;
    } else {
        if (d->raw_here || d->raw.n == 0) {
            buf_clear(&d->folded);
            buf_put(&d->folded, d->raw);
            d->raw_here = false;
        }
        buf_put(&d->folded, line);
        d->raw = buf_slice(&d->folded);
    }
}

/* A field that goes on in the next piece moves out of this one. */
static void
field_keep(struct digester *d)
{
    if (!d->field_open || !d->raw_here)
        return;
    buf_clear(&d->folded);
    buf_put(&d->folded, d->raw);
    d->raw = buf_slice(&d->folded);
    d->raw_here = false;
}

static void
put_captured(struct digester *d, enum field f)
{
    const struct capture *c = &d->captures[f];

    if (c->bytes.n > 0)
        buf_put(&d->strings, buf_slice(&c->bytes));
    else
        put_s(&d->strings, (struct slice){0});
}

static void
put_envelope(struct digester *d)
{
    for (enum field f = F_DATE; f <= F_MESSAGE_ID; f++)
        put_captured(d, f);
    for (enum field f = F_FROM; f <= F_BCC; f++) {
        put_v(&d->strings, d->captures[f].n);
        buf_put(&d->strings, buf_slice(&d->captures[f].bytes));
    }
}

static void
put_type(struct digester *d, struct slice type, struct slice subtype)
{
    put_s(&d->strings, type);
    put_s(&d->strings, subtype);
    put_v(&d->strings, 0);
}

static void
put_strings(struct digester *d, struct node *node, struct slice type, struct slice subtype)
{
    if (type.p == d->type.p && d->captures[F_TYPE].bytes.n > 0)
        put_captured(d, F_TYPE);
    else
        put_type(d, type, subtype);
    put_captured(d, F_ID);
    put_captured(d, F_DESCRIPTION);
    put_captured(d, F_ENCODING);
    put_captured(d, F_MD5);
    if (d->captures[F_DISPOSITION].bytes.n > 0) {
        put_captured(d, F_DISPOSITION);
    } else {
        put_s(&d->strings, (struct slice){0});
        put_v(&d->strings, 0);
    }
    put_v(&d->strings, d->captures[F_LANGUAGE].n);
    buf_put(&d->strings, buf_slice(&d->captures[F_LANGUAGE].bytes));
    put_captured(d, F_LOCATION);
    if (node->flags & PART_ENVELOPE)
        put_envelope(d);
}

/* Only a message that stands there as it is can be read on (RFC 2046 5.2.1, RFC 6532 3.7). */
static bool
is_message(const struct digester *d, struct slice type, struct slice subtype)
{
    struct slice encoding = buf_slice(&d->captures[F_ENCODING].bytes), name = {0};

    if (!slice_eq_nocase(type, SLICE("message")))
        return false;
    if (slice_eq_nocase(subtype, SLICE("rfc822")))
        return true;
    (void)take_s(&encoding, &name);
    return slice_eq_nocase(subtype, SLICE("global")) && !slice_eq_nocase(name, SLICE("base64")) &&
           !slice_eq_nocase(name, SLICE("quoted-printable"));
}

static void
push_boundary(struct digester *d)
{
    struct open_part *open = &d->open[d->depth];

    open->boundary = d->boundaries.n;
    open->boundary_n = d->boundary.n;
    buf_put(&d->boundaries, buf_slice(&d->boundary));
    d->n_boundaries++;
}

/* The type that counts: what was said, or the default of RFC 2045 5.2 and 2046 5.1.5. */
static void
decide_type(struct digester *d, struct node *node, struct slice *type, struct slice *subtype)
{
    bool in_digest = d->depth > 0 && d->nodes[d->open[d->depth - 1].node].of_digest;

    *type = d->type;
    *subtype = d->subtype;
    /* The boundary's trailing spaces are not part of it (RFC 2046 5.1.1). */
    while (d->boundary.n > 0 && d->boundary.p[d->boundary.n - 1] == ' ')
        d->boundary.n--;
    if (type->p == NULL) {
        *type = in_digest ? SLICE("message") : SLICE("text");
        *subtype = in_digest ? SLICE("rfc822") : SLICE("plain");
    }
    if (slice_eq_nocase(*type, SLICE("multipart"))) {
        if (d->boundary.n == 0 || d->boundary.n > DIGEST_BOUNDARY) { /* cannot be taken apart: let it be seen */
            *type = SLICE("text");
            *subtype = SLICE("plain");
        } else if (may_start_part(d)) {
            node->flags |= PART_MULTIPART;
            node->of_digest = slice_eq_nocase(*subtype, SLICE("digest"));
        }
    } else if (is_message(d, *type, *subtype) && may_start_part(d)) {
        node->flags |= PART_MESSAGE;
    }
    if (slice_eq_nocase(*type, SLICE("text")))
        node->flags |= PART_TEXT;
    else if ((node->flags & (PART_MULTIPART | PART_MESSAGE)) == 0 &&
             (slice_eq_nocase(*type, SLICE("multipart")) || is_message(d, *type, *subtype))) {
        *type = SLICE("application"); /* past a budget: a leaf */
        *subtype = SLICE("octet-stream");
    }
}

/* The header of the innermost part ends, its body begins at body_at after `lines` LFs. */
static void
end_header(struct digester *d, uint64_t body_at, uint64_t lines)
{
    struct node *node;
    struct slice type, subtype;

    field_done(d);
    node = current(d);
    d->in_header = false;
    node->header = body_at - node->header_at;
    node->body_at = body_at;
    node->lines = lines;
    if (node == d->nodes) {
        d->header_lines = lines > UINT32_MAX ? UINT32_MAX : (uint32_t)lines;
        d->root_body = true;
    }
    if (d->cut)
        return;
    decide_type(d, node, &type, &subtype);
    if (d->strings.n + d->captured + 64 > d->most) {
        over(d);
        if (d->cut)
            return;
        for (size_t i = 0; i < F_COUNT; i++) { /* whole: this part without its words */
            buf_clear(&d->captures[i].bytes);
            d->captures[i].n = 0;
        }
        type = SLICE("application");
        subtype = SLICE("octet-stream");
        node->flags &= PART_ENVELOPE;
    }
    node->at = d->strings.n;
    put_strings(d, node, type, subtype);
    node->n = d->strings.n - node->at;
    if (node->flags & PART_MULTIPART)
        push_boundary(d);
    if (node->flags & PART_MESSAGE) {
        d->depth++;
        start_part(d, body_at);
        if (!d->failed)
            current(d)->flags |= PART_ENVELOPE;
    }
}

enum match { NO_MATCH, PREFIX, EXACT };

/* RFC 2046 5.1.1: "--" boundary ["--"] and space. That it begins so is sufficient. */
static enum match
match_boundary(struct slice line, struct slice boundary, bool *closing)
{
    struct slice after;

    if (line.n < boundary.n + 2 || memcmp(line.p + 2, boundary.p, boundary.n) != 0)
        return NO_MATCH;
    after = slice_skip(line, boundary.n + 2);
    *closing = slice_has_prefix(after, SLICE("--"));
    if (*closing)
        after = slice_skip(after, 2);
    return slice_trim(after).n == 0 ? EXACT : PREFIX;
}

/* The depth of the multipart whose boundary this line is; the innermost that it is wholly, else
 * the longest that it begins with. False: it is text. */
static bool
find_boundary(const struct digester *d, struct slice line, uint32_t *level, bool *closing)
{
    enum match best = NO_MATCH;
    size_t best_n = 0;

    for (uint32_t i = d->depth + 1; i-- > 0;) {
        const struct open_part *open = &d->open[i];
        bool closes;
        enum match m;

        if (open->boundary_n == 0)
            continue;
        m = match_boundary(line, slice_sub(buf_slice(&d->boundaries), open->boundary, open->boundary_n), &closes);
        if (m == NO_MATCH || m < best || (m == best && open->boundary_n <= best_n))
            continue;
        best = m;
        best_n = open->boundary_n;
        *level = i;
        *closing = closes;
        if (m == EXACT)
            return true;
    }
    return best != NO_MATCH;
}

static void
on_boundary(struct digester *d, uint32_t level, bool closing, uint64_t next)
{
    bool was_header = d->in_header;

    if (was_header)
        end_header(d, d->at, d->lines);
    if (d->cut)
        return;
    /* end_header may have begun the message in a message/rfc822 without text. */
    while (d->in_header && d->depth > level)
        end_header(d, d->at, d->lines);
    while (d->depth > level) {
        end_part(d, d->at, d->end);
        d->depth--;
    }
    d->in_header = false;
    if (closing) { /* the rest is its epilogue */
        d->n_boundaries--;
        d->boundaries.n = d->open[level].boundary;
        d->open[level].boundary_n = 0;
    } else if (may_start_part(d)) {
        d->depth++;
        start_part(d, next);
    }
}

static void
header_line(struct digester *d, struct slice line, uint64_t total, uint64_t n, bool here)
{
    if (n > 0 && (line.p[0] == ' ' || line.p[0] == '\t')) {
        if (d->field_open)
            field_append(d, line, total, here);
        return;
    }
    field_done(d);
    d->field = find_name(line);
    d->field_open = true;
    d->field_cut = d->raw_here = false;
    d->raw = (struct slice){0};
    if (++d->fields > DIGEST_FIELDS) {
        d->field = F_NONE;
        d->flags |= DIGEST_BUDGET;
    }
    field_append(d, line, total, here);
}

/* One line, `total` bytes of which the last `end` are its end; `line` is what was kept of it.
 * here: it lies in the piece that is being fed. */
static void
on_line(struct digester *d, struct slice line, uint64_t total, uint32_t end, bool here)
{
    uint64_t next = d->at + total, n = total - end;
    struct slice text = slice_sub(line, 0, n < BOUNDARY_LINE ? (size_t)n : BOUNDARY_LINE);
    uint32_t level = 0;
    bool closing = false;

    if (n > d->longest)
        d->longest = n;
    if (slice_starts(text, '.'))
        d->flags |= DIGEST_DOTS;
    if (end == 1)
        d->flags |= DIGEST_BARE_LF;
    else if (end == 2)
        d->crlfs++;
    if (d->n_boundaries > 0 && slice_has_prefix(text, SLICE("--")) &&
        find_boundary(d, text, &level, &closing))
        on_boundary(d, level, closing, next);
    else if (d->in_header && n == 0 && end > 0)
        end_header(d, next, d->lines + 1);
    else if (d->in_header)
        header_line(d, line, total, n, here);
    d->at = next;
    d->end = end;
    d->lines += end > 0;
}

/* NULs, 8-bit bytes and CRs; the compiler makes vectors of it. */
static void
scan(struct digester *d, struct slice s, uint32_t eight_bit)
{
    while (s.n > 0) {
        struct slice block = slice_sub(s, 0, 4080);
        uint8_t bits = 0, nuls = 0;
        uint32_t crs = 0;

        for (size_t i = 0; i < block.n; i += 255) { /* what a byte can count */
            struct slice row = slice_sub(block, i, 255);
            uint8_t n = 0;

            for (size_t k = 0; k < row.n; k++) {
                bits |= row.p[k];
                nuls |= row.p[k] == 0;
                n = (uint8_t)(n + (row.p[k] == '\r'));
            }
            crs += n;
        }
        d->crs += crs;
        if (bits & 0x80)
            d->flags |= eight_bit;
        if (nuls)
            d->flags |= DIGEST_NUL;
        s = slice_skip(s, block.n);
    }
}

/* Keeps the beginning of a line that is not whole yet: of a header all that a field may have,
 * of a body what may be a boundary. */
static void
hold(struct digester *d, struct slice s)
{
    size_t most = d->in_header ? d->most : d->n_boundaries > 0 ? BOUNDARY_LINE : 1;

    if (d->held.n < most)
        buf_put(&d->held, slice_sub(s, 0, most - d->held.n));
    d->line_n += s.n;
}

void
digest_feed(struct digester *d, struct slice bytes)
{
    struct slice in = bytes;
    bool was_body = d->root_body;
    size_t header = bytes.n;

    if (bytes.n == 0)
        return;
    while (in.n > 0 && !d->failed) {
        const uint8_t *lf = memchr(in.p, '\n', in.n);
        struct slice line = slice_sub(in, 0, lf != NULL ? (size_t)(lf - in.p) + 1 : in.n);
        uint8_t before;

        if (lf == NULL) {
            hold(d, line);
            break;
        }
        before = line.n > 1 ? lf[-1] : d->line_n > 0 ? d->last : 0;
        if (d->line_n > 0) {
            hold(d, line);
            on_line(d, buf_slice(&d->held), d->line_n, before == '\r' ? 2 : 1, false);
            buf_clear(&d->held);
            d->line_n = 0;
        } else {
            on_line(d, line, line.n, before == '\r' ? 2 : 1, true);
        }
        in = slice_skip(in, line.n);
        if (!was_body && d->root_body && header == bytes.n)
            header = bytes.n - in.n;
    }
    d->last = bytes.p[bytes.n - 1];
    field_keep(d);
    if (was_body) {
        scan(d, bytes, DIGEST_BODY_8BIT);
    } else {
        scan(d, slice_sub(bytes, 0, header), DIGEST_HEADER_8BIT);
        scan(d, slice_skip(bytes, header), DIGEST_BODY_8BIT);
    }
}

static uint32_t
saturate(uint64_t v)
{
    return v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

static void
put_part(const struct digester *d, const struct node *node, struct buf *out)
{
    uint8_t room[64];
    struct buf head = {.p = room, .cap = sizeof room, .max = sizeof room};

    put_v(&head, node->depth);
    buf_putc(&head, (uint8_t)node->flags);
    put_v(&head, node->header_at);
    put_v(&head, node->header);
    put_v(&head, node->body);
    put_v(&head, node->lines);
    put_v(out, (uint64_t)head.n + node->n);
    buf_put(out, buf_slice(&head));
    buf_put(out, slice_sub(buf_slice(&d->strings), node->at, node->n));
}

static void
put_digest(const struct digester *d, struct buf *out, bool parts)
{
    const struct node *root = &d->nodes[0];
    const uint64_t *keys = d->n_references > 0 ? d->references : d->replied;
    uint32_t n_keys = d->n_references > 0 ? d->n_references : d->n_replied;
    uint32_t flags = d->flags | (parts ? 0 : DIGEST_CUT), n;

    buf_clear(out);
    buf_putc(out, DIGEST_VERSION);
    buf_putc(out, 0);
    buf_put_le16(out, (uint16_t)flags);
    buf_put_le32(out, 0); /* the length, below */
    buf_put_le64(out, root->header);
    buf_put_le64(out, root->body);
    buf_put_le32(out, d->header_lines);
    buf_put_le32(out, saturate(root->lines));
    buf_put_le64(out, flags & DIGEST_DATED ? (uint64_t)d->date : 0);
    buf_put_le32(out, saturate(d->longest));
    buf_put_le16(out, flags & DIGEST_DATED ? (uint16_t)d->zone : 0);
    buf_put_le16(out, (uint16_t)(parts ? d->n_nodes : 0));
    buf_put_le64(out, d->message_key);
    buf_put_le16(out, (uint16_t)n_keys);
    for (uint32_t i = 0; i < n_keys; i++)
        buf_put_le64(out, keys[i]);
    for (uint32_t i = 0; parts && i < d->n_nodes; i++)
        put_part(d, &d->nodes[i], out);
    if (!buf_ok(out))
        return;
    n = (uint32_t)out->n;
    for (size_t i = 0; i < 4; i++)
        out->p[4 + i] = (uint8_t)(n >> (8 * i));
}

enum status
digest_finish(struct digester *d, struct buf *out)
{
    if (d->line_n > 0 && !d->failed) { /* the last line has no end */
        d->flags |= DIGEST_OPEN_END;
        on_line(d, buf_slice(&d->held), d->line_n, 0, false);
        d->line_n = 0;
        buf_clear(&d->held);
    }
    while (d->in_header && !d->failed) /* a message/rfc822 may end in nothing but headers */
        end_header(d, d->at, d->lines);
    if (d->failed)
        return ST_MEMORY;
    for (;;) {
        end_part(d, d->at, 0);
        if (d->depth == 0)
            break;
        d->depth--;
    }
    if (d->crs > d->crlfs)
        d->flags |= DIGEST_BARE_CR;
    if (!buf_ok(&d->strings) || !buf_ok(&d->held) || !buf_ok(&d->folded) || !buf_ok(&d->boundaries))
        return ST_MEMORY;
    put_digest(d, out, !d->cut);
    if (!d->whole && (out->n > d->most || !buf_ok(out)))
        put_digest(d, out, false);
    return buf_ok(out) ? ST_OK : ST_MEMORY;
}

enum status
digest_whole(struct slice message, struct buf *out)
{
    struct digester *d = digester_new(DIGEST_WHOLE);
    enum status st;

    if (d == NULL)
        return ST_MEMORY;
    digest_feed(d, message);
    st = digest_finish(d, out);
    digester_free(d);
    return st;
}
