/*
 * A connection's bytes: lines, blocks, and output that waits when the peer is
 * slow. While a session idles it holds no buffer and no fiber: stream_serve
 * lends both when bytes arrive. All waiting functions need a fiber.
 */
#pragma once
#include "base/buf.h"
#include "sys/fiber.h"

struct zip;

#define STREAM_INPUT (16u * 1024u)   /* input buffer, lent from a pool */
#define STREAM_OUTPUT (64u * 1024u)  /* output gathered before the writer must wait */
#define STREAM_GATHER (16u * 1024u)  /* more than this is written at once, without a copy */

struct stream {
    struct loop *loop;
    int fd; /* owned: stream_close closes it */
    struct watch watch;
    /* Input not yet taken is in[start..end). in is NULL while none is held. */
    uint8_t *in;
    size_t start, end;
    struct buf out; /* not yet written */
    bool eof;       /* the peer ended its side */
    bool broken;    /* reset, or a write failed: every call answers ST_CLOSED */
    bool cancelled; /* stream_cancel: every wait answers ST_CANCELLED */
    struct wait *reading, *writing;
    /* stream.c's: what the edge-triggered watch told; the kernel may hold more to read; the peer's
     * end or an error is to be read; the kernel takes no more output */
    bool readable, hup, blocked;
    struct deferred flush;
    /* stream_serve */
    bool (*serve)(void *arg);
    void *arg;
    struct timer idle;
    uint64_t idle_deadline;
    void (*idled)(void *arg);
    bool serving; /* a fiber runs serve or idled, or the session has none (no stream_serve) */
    uint64_t bytes_in, bytes_out;
    /* stream_compress_begin; NULL: bytes are as they are. What came and is not inflated yet: in raw, from the pool,
     * which is held only while there is some. */
    struct zip *zip;
    uint8_t *raw;
    size_t raw_start, raw_end;
    bool zipping;  /* it has begun */
    bool unzipped; /* what was inflated last filled its room: there may be more */
    bool kernel;   /* the kernel may hold more, which `readable` says of both */
    bool dirty;    /* the deflater holds something back */
};

/* fd is a stream socket, belongs to the stream, and is never blocked on (its flags are not changed). */
void stream_init(struct stream *s, struct loop *loop, int fd);
/* Bytes that were read elsewhere and come before what the descriptor still holds
 * (at most STREAM_INPUT; ST_LIMIT). */
MUST_CHECK enum status stream_preload(struct stream *s, struct slice bytes);
/* Writes what can be written without waiting, ends the watching, frees buffers, closes the
 * descriptor (unless taken with stream_detach). Nobody may be waiting in the stream. */
void stream_close(struct stream *s);
/* Gives the descriptor away: out is empty (ST_STATE if not). *fd is the caller's. */
MUST_CHECK enum status stream_detach(struct stream *s, int *fd);

/* The life of a session: when bytes are there (or the end), serve(arg) runs on a fiber. It
 * handles what is there and returns true to idle again, false when the session is over and
 * `s` must not be touched any more (it closed it). At `idle_deadline` idled(arg) is called
 * instead, also on a fiber; the session ends there. Unread input after `true` is served at once if
 * serve took something, else with the next bytes. From within serve it may be called again. */
void stream_serve(struct stream *s, bool (*serve)(void *arg), void (*idled)(void *arg), void *arg,
                  uint64_t idle_deadline);
/* Moves the idle deadline; cheap, once a command. */
static inline void
stream_idle_until(struct stream *s, uint64_t idle_deadline)
{
    s->idle_deadline = idle_deadline;
}
/* Wakes whoever waits in the stream with ST_CANCELLED; an idling session gets idled(arg), one that
 * serves gets it when serve returns true. `cancelled` tells idled which it was. */
void stream_cancel(struct stream *s);

static inline struct slice
stream_pending(const struct stream *s)
{
    return (struct slice){s->in != NULL ? s->in + s->start : NULL, s->end - s->start};
}

/* Would a read of more than is pending have to wait? Asked by sessions that wait without a fiber. */
static inline bool
stream_waits(const struct stream *s)
{
    return !s->readable && !s->eof && !s->broken && !s->cancelled;
}

/* Waits until at least one more byte is pending than now. ST_CLOSED at the end,
 * ST_LIMIT when the buffer is full. */
MUST_CHECK enum status stream_more(struct stream *s, uint64_t deadline);
/* A line up to CR LF, without it. The slice is good until the next call that reads. ST_LIMIT when
 * `most` bytes hold no CR LF (nothing is eaten). A bare CR or LF is part of the line: the grammar judges it.*/
MUST_CHECK enum status stream_line(struct stream *s, size_t most, uint64_t deadline, struct slice *line);
/* Some bytes, 1..most, as soon as there are any; eaten. Good until the next call that reads. */
MUST_CHECK enum status stream_some(struct stream *s, size_t most, uint64_t deadline, struct slice *bytes);
/* The same into the caller's memory, without a copy of what is not yet read: for bodies. */
MUST_CHECK enum status stream_into(struct stream *s, void *to, size_t most, uint64_t deadline, size_t *got);
void stream_eat(struct stream *s, size_t n);
/* No byte pending, in the buffer or in the kernel's: for "must be the last of its group". */
bool stream_quiet(struct stream *s);

/* Adds to the output; written at the end of the round, or sooner when much is gathered.
 * stream_put waits while more than STREAM_OUTPUT is gathered, at most until the deadline. */
MUST_CHECK enum status stream_put(struct stream *s, struct slice bytes, uint64_t deadline);
/* Never waits: for short replies. Past STREAM_OUTPUT the stream is marked broken. */
void stream_puts(struct stream *s, const char *text);
void stream_put_now(struct stream *s, struct slice bytes); /* also after stream_cancel */
void stream_printf(struct stream *s, const char *fmt, ...) PRINTF(2, 3);
/* Deflates what is sent and inflates what comes (RFC 4978), from stream_compress_begin on, which the caller says when
 * its plain answer is put and nothing that was read is for it any more. ST_MEMORY; ST_STATE: it is on already. */
MUST_CHECK enum status stream_compress_prepare(struct stream *s);
void stream_compress_begin(struct stream *s);
/* Waits until all is in the kernel's hands. */
MUST_CHECK enum status stream_flush(struct stream *s, uint64_t deadline);
