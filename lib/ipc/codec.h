/*
 * Messages between programs, declared once:
 *
 *     #define RCPT_CHECK(FIELD) \
 *         FIELD(u64, session)   \
 *         FIELD(bytes, mailbox)
 *     IPC_MESSAGE(rcpt_check, RCPT_CHECK)
 *
 * makes struct rcpt_check, rcpt_check_put() which appends it to a buf,
 * rcpt_check_take() which eats one from the front of a slice (for lists of
 * rows inside a `bytes` field) and rcpt_check_get() which wants every byte used.
 * Types: u8 u16 u32 u64 i64 (little-endian) and bytes (le32 length, then the
 * bytes; a slice that points into the input after a get). What is decoded is
 * as hostile as before: numbers may be any, bytes may hold anything.
 */
#pragma once
#include "base/buf.h"

typedef uint8_t ipc_u8;
typedef uint16_t ipc_u16;
typedef uint32_t ipc_u32;
typedef uint64_t ipc_u64;
typedef int64_t ipc_i64;
typedef struct slice ipc_bytes;

static inline void
ipc_put_u8(struct buf *b, uint8_t v)
{
    buf_putc(b, v);
}

static inline void
ipc_put_u16(struct buf *b, uint16_t v)
{
    buf_put_le16(b, v);
}

static inline void
ipc_put_u32(struct buf *b, uint32_t v)
{
    buf_put_le32(b, v);
}

static inline void
ipc_put_u64(struct buf *b, uint64_t v)
{
    buf_put_le64(b, v);
}

static inline void
ipc_put_i64(struct buf *b, int64_t v)
{
    buf_put_le64(b, (uint64_t)v);
}

static inline void
ipc_put_bytes(struct buf *b, struct slice v)
{
    if (v.n > UINT32_MAX)
        b->failed = true;
    buf_put_le32(b, (uint32_t)v.n);
    buf_put(b, v);
}

static inline bool
ipc_take_u8(struct slice *in, uint8_t *v)
{
    struct slice byte;

    if (!take_bytes(in, 1, &byte))
        return false;
    *v = byte.p[0];
    return true;
}

static inline bool
ipc_take_u16(struct slice *in, uint16_t *v)
{
    return take_le16(in, v);
}

static inline bool
ipc_take_u32(struct slice *in, uint32_t *v)
{
    return take_le32(in, v);
}

static inline bool
ipc_take_u64(struct slice *in, uint64_t *v)
{
    return take_le64(in, v);
}

static inline bool
ipc_take_i64(struct slice *in, int64_t *v)
{
    uint64_t u;

    if (!take_le64(in, &u))
        return false;
    *v = (int64_t)u;
    return true;
}

static inline bool
ipc_take_bytes(struct slice *in, struct slice *v)
{
    struct slice at = *in;
    uint32_t n;

    if (!take_le32(&at, &n) || !take_bytes(&at, n, v))
        return false;
    *in = at;
    return true;
}

#define IPC_MEMBER(type, name) ipc_##type name;
#define IPC_PUT(type, name) ipc_put_##type(b, m->name);
#define IPC_TAKE(type, name) &&ipc_take_##type(&at, &got.name)

#define IPC_MESSAGE(tag, FIELDS)                                                        \
    struct tag {                                                                        \
        FIELDS(IPC_MEMBER)                                                              \
    };                                                                                  \
    static inline void tag##_put(struct buf *b, const struct tag *m)                    \
    {                                                                                   \
        FIELDS(IPC_PUT)                                                                 \
    }                                                                                   \
    MUST_CHECK static inline bool tag##_take(struct slice *in, struct tag *m)           \
    {                                                                                   \
        struct slice at = *in;                                                          \
        struct tag got;                                                                 \
        if (!(true FIELDS(IPC_TAKE)))                                                   \
            return false;                                                               \
        *in = at;                                                                       \
        *m = got;                                                                       \
        return true;                                                                    \
    }                                                                                   \
    MUST_CHECK static inline bool tag##_get(struct slice in, struct tag *m)             \
    {                                                                                   \
        struct tag got;                                                                 \
        if (!tag##_take(&in, &got) || in.n != 0)                                        \
            return false;                                                               \
        *m = got;                                                                       \
        return true;                                                                    \
    }
