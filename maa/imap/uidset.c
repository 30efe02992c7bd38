#include "maa/imap/uidset.h"

#include <stdlib.h>

void
uidset_done(struct uidset *set)
{
    free(set->runs);
    *set = (struct uidset){0};
}

static enum status
resize(struct uidset *set, size_t cap)
{
    struct uid_range *runs = reallocarray(set->runs, cap, sizeof *runs);

    if (runs == NULL)
        return ST_MEMORY;
    set->runs = runs;
    set->cap = cap;
    return ST_OK;
}

static enum status
room_for_one(struct uidset *set)
{
    if (set->n < set->cap)
        return ST_OK;
    return resize(set, set->cap < 2 ? 2 : set->cap * 2);
}

void
uidset_trim(struct uidset *set)
{
    if (set->n == 0)
        uidset_done(set);
    else if (set->cap > 2 * set->n)
        (void)resize(set, set->n); /* failed: larger than need be, and right */
}

/* The first run that ends at or after uid; set->n when there is none. */
static size_t
find(const struct uidset *set, uint32_t uid)
{
    size_t low = 0, high = set->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (set->runs[mid].last < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void
count_from(struct uidset *set, size_t i)
{
    uint32_t before =
        i > 0 ? set->runs[i - 1].before + (set->runs[i - 1].last - set->runs[i - 1].first + 1) : 0;

    for (; i < set->n; i++) {
        set->runs[i].before = before;
        before += set->runs[i].last - set->runs[i].first + 1;
    }
    set->count = before;
}

enum status
uidset_append(struct uidset *set, uint32_t first, uint32_t last)
{
    struct uid_range *end = set->n > 0 ? &set->runs[set->n - 1] : NULL;

    if (first == 0 || last < first || (end != NULL && first <= end->last))
        return ST_SYNTAX;
    if (end != NULL && end->last + 1 == first) {
        end->last = last;
    } else {
        if (room_for_one(set) != ST_OK)
            return ST_MEMORY;
        set->runs[set->n++] = (struct uid_range){first, last, set->count};
    }
    set->count += last - first + 1;
    return ST_OK;
}

enum status
uidset_add(struct uidset *set, uint32_t uid)
{
    size_t i = find(set, uid);
    bool left, right;

    if (uid == 0)
        return ST_SYNTAX;
    if (i == set->n)
        return uidset_append(set, uid, uid);
    if (set->runs[i].first <= uid)
        return ST_OK;
    left = i > 0 && set->runs[i - 1].last + 1 == uid;
    right = set->runs[i].first == uid + 1;
    if (left && right) {
        set->runs[i - 1].last = set->runs[i].last;
        memmove(&set->runs[i], &set->runs[i + 1], (set->n - i - 1) * sizeof *set->runs);
        set->n--;
    } else if (left) {
        set->runs[i - 1].last = uid;
    } else if (right) {
        set->runs[i].first = uid;
    } else {
        if (room_for_one(set) != ST_OK)
            return ST_MEMORY;
        memmove(&set->runs[i + 1], &set->runs[i], (set->n - i) * sizeof *set->runs);
        set->runs[i] = (struct uid_range){.first = uid, .last = uid};
        set->n++;
    }
    count_from(set, i > 0 ? i - 1 : 0);
    return ST_OK;
}

/* Appends [first, last] without the runs of `gone`, of which those before *at end before first. */
static enum status
append_without(struct uidset *out, uint32_t first, uint32_t last, const struct uidset *gone, size_t *at)
{
    uint64_t from = first;

    while (*at < gone->n && gone->runs[*at].last < first)
        (*at)++;
    for (size_t i = *at; i < gone->n && gone->runs[i].first <= last; i++) {
        if (gone->runs[i].first > from &&
            uidset_append(out, (uint32_t)from, gone->runs[i].first - 1) != ST_OK)
            return ST_MEMORY;
        if ((uint64_t)gone->runs[i].last + 1 > from)
            from = (uint64_t)gone->runs[i].last + 1;
    }
    return from <= last ? uidset_append(out, (uint32_t)from, last) : ST_OK;
}

enum status
uidset_subtract(struct uidset *set, const struct uidset *gone)
{
    struct uidset left = {0};
    size_t at = 0;

    if (set->n == 0 || gone->n == 0)
        return ST_OK;
    for (size_t i = 0; i < set->n; i++)
        if (append_without(&left, set->runs[i].first, set->runs[i].last, gone, &at) != ST_OK) {
            uidset_done(&left);
            return ST_MEMORY;
        }
    uidset_done(set);
    *set = left;
    uidset_trim(set);
    return ST_OK;
}

uint32_t
uidset_last(const struct uidset *set)
{
    return set->n > 0 ? set->runs[set->n - 1].last : 0;
}

uint32_t
uidset_at(const struct uidset *set, uint32_t seq)
{
    size_t low = 0, high = set->n;

    if (seq == 0 || seq > set->count)
        return 0;
    while (high - low > 1) { /* the last run with before < seq */
        size_t mid = low + (high - low) / 2;

        if (set->runs[mid].before < seq)
            low = mid;
        else
            high = mid;
    }
    return set->runs[low].first + (seq - 1 - set->runs[low].before);
}

uint32_t
uidset_seq(const struct uidset *set, uint32_t uid)
{
    size_t i = find(set, uid);

    if (uid == 0 || i == set->n || set->runs[i].first > uid)
        return 0;
    return set->runs[i].before + (uid - set->runs[i].first) + 1;
}

uint32_t
uidset_upto(const struct uidset *set, uint32_t uid)
{
    size_t i = find(set, uid);

    if (i == set->n)
        return set->count;
    return set->runs[i].before + (set->runs[i].first <= uid ? uid - set->runs[i].first + 1 : 0);
}

/* Appends the UIDs of `set` between two UIDs, both included. */
static enum status
append_between(const struct uidset *set, uint32_t first, uint32_t last, struct uidset *out)
{
    for (size_t i = find(set, first); i < set->n && set->runs[i].first <= last; i++) {
        uint32_t from = set->runs[i].first > first ? set->runs[i].first : first;
        uint32_t to = set->runs[i].last < last ? set->runs[i].last : last;

        if (uidset_append(out, from, to) != ST_OK)
            return ST_MEMORY;
    }
    return ST_OK;
}

enum status
uidset_select(const struct uidset *set, const struct imap_seqset *named, bool by_uid, struct uidset *out)
{
    struct uidset got = {0};

    for (size_t i = 0; i < named->n; i++) {
        uint32_t first = named->runs[i].first, last = named->runs[i].last;

        if (!by_uid) {
            if (first > set->count)
                break;
            first = uidset_at(set, first);
            last = last < set->count ? uidset_at(set, last) : uidset_last(set);
        }
        if (append_between(set, first, last, &got) != ST_OK) {
            uidset_done(&got);
            return ST_MEMORY;
        }
    }
    *out = got;
    return ST_OK;
}

enum status
uidset_common(const struct uidset *set, const struct uidset *other, struct uidset *out)
{
    struct uidset got = {0};

    for (size_t i = 0; i < other->n; i++)
        if (append_between(set, other->runs[i].first, other->runs[i].last, &got) != ST_OK) {
            uidset_done(&got);
            return ST_MEMORY;
        }
    *out = got;
    return ST_OK;
}

uint32_t
uidset_pack(const struct uidset *set, uint32_t from, uint32_t most, size_t runs, struct buf *out,
            uint32_t *next)
{
    uint32_t packed = 0;
    size_t i = find(set, from);

    for (; i < set->n && runs > 0 && packed < most; i++, runs--) {
        uint32_t first = set->runs[i].first > from ? set->runs[i].first : from;
        uint32_t last =
            set->runs[i].last - first < most - packed ? set->runs[i].last : first + (most - packed) - 1;

        buf_put_le32(out, first);
        buf_put_le32(out, last);
        packed += last - first + 1;
        if (last < set->runs[i].last) {
            *next = last + 1;
            return packed;
        }
    }
    *next = i < set->n ? set->runs[i].first : 0;
    return packed;
}

void
uidset_put(const struct uidset *set, struct buf *out)
{
    for (size_t i = 0; i < set->n; i++) {
        if (i > 0)
            buf_putc(out, ',');
        buf_put_u64(out, set->runs[i].first);
        if (set->runs[i].last > set->runs[i].first) {
            buf_putc(out, ':');
            buf_put_u64(out, set->runs[i].last);
        }
    }
}
