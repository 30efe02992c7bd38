/* COMPRESS=DEFLATE (RFC 4978): the same conversation, deflated; a slow reader; what is no deflate stream, and too much
 * of one. */
#include <stdlib.h>
#include <zlib.h>

#include "maa/imap/fake.h"

static void
begin(struct stream *c, uint64_t conn)
{
    connect_client(c, conn, "");
    HEARS(c, HELLO);
    SAYS(c, "a COMPRESS GZIP\r\n", "a BAD Only DEFLATE is known\r\n");
    SAYS(c, "a COMPRESS DEFLATE\r\n", "a OK DEFLATE active\r\n");
}

/* A message of 3 MB to a client that reads nothing for a while, byte for byte, and far fewer bytes on the wire. */
static void
try_large(struct stream *c)
{
    AUTO_BUF body = BUF_INIT(4u << 20), want = BUF_INIT(4u << 20);

    buf_puts(&body, "Subject: large\r\n\r\n");
    for (int i = 0; body.n < 3000000; i++)
        buf_printf(&body, "line %d of a large message %d\r\n", i, i * 7919);
    add_mail(&fake.boxes[0], buf_slice(&body));
    hint_all(&fake.boxes[0]);
    ANSWERS_WITH(c, "a NOOP\r\n", "a OK NOOP completed\r\n", "* 2 EXISTS");
    buf_printf(&want, "* 2 FETCH (BODY[] {%zu}\r\n", body.n);
    buf_put(&want, buf_slice(&body));
    buf_puts(&want, ")\r\na OK FETCH completed\r\nb OK NOOP completed\r\n");
    CHECK_INT(0, stream_put(c, SLICE("a FETCH 2 BODY.PEEK[]\r\nb NOOP\r\n"), soon()), ST_OK);
    CHECK_INT(1, stream_flush(c, soon()), ST_OK);
    fiber_sleep_until(loop_now(loop) + MSEC(100));
    for (size_t at = 0; at < want.n;) {
        struct slice bytes = {0};

        CHECK_INT(2, stream_some(c, STREAM_INPUT, soon(), &bytes), ST_OK);
        CHECK(at, bytes.n <= want.n - at && memcmp(bytes.p, want.p + at, bytes.n) == 0);
        at += bytes.n;
    }
}

static void
try_append(struct stream *c)
{
    AUTO_BUF say = BUF_INIT(4u << 20);

    buf_puts(&say, "a APPEND INBOX {1500000+}\r\nSubject: zipped\r\n\r\n");
    for (size_t end = 1500000 + 27; say.n < end;)
        buf_printf(&say, "%zu,", say.n * 31);
    say.n = 1500000 + 27;
    buf_puts(&say, "\r\n");
    CHECK_INT(0, stream_put(c, buf_slice(&say), soon()), ST_OK);
    ANSWERS_WITH(c, "", "APPEND completed\r\n", "a OK [APPENDUID 1001 3]");
    CHECK(1, slice_eq(buf_slice(&fake.boxes[0].mails[2].body), slice_sub(buf_slice(&say), 27, 1500000)));
}

/* 8 MB of spaces in 8 KB: a line that is too long, however small it came. */
static void
try_bomb(void)
{
    static uint8_t spaces[8u << 20], small[16384];
    z_stream z = {0};
    struct stream c;

    begin(&c, 3);
    memset(spaces, ' ', sizeof spaces);
    CHECK_INT(0, deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = spaces;
    z.avail_in = sizeof spaces;
    z.next_out = small;
    z.avail_out = sizeof small;
    CHECK_INT(1, deflate(&z, Z_SYNC_FLUSH), Z_OK);
    CHECK(2, z.avail_in == 0 && z.avail_out > 0);
    CHECK_INT(3, stream_put(&c, slice_from(small, sizeof small - z.avail_out), soon()), ST_OK);
    (void)deflateEnd(&z);
    CHECK_INT(4, stream_compress_prepare(&c), ST_OK);
    stream_compress_begin(&c);
    HEARS(&c, "* BAD Line too long\r\n* BYE What follows cannot be told apart from commands\r\n");
    stream_close(&c);
}

static void
converse(void)
{
    struct box *inbox = add_box(SLICE("INBOX"));
    struct stream c, d;

    add_mail(inbox, SLICE("Subject: one\r\n\r\nfirst body\r\n"));
    give_credit(4u << 20);
    begin(&c, 1);
    CHECK_INT(0, stream_compress_prepare(&c), ST_OK);
    stream_compress_begin(&c);
    SAYS(&c, "a COMPRESS DEFLATE\r\n", "a BAD DEFLATE is active already\r\n");
    ANSWERS_WITH(&c, "a SELECT INBOX\r\n", "a OK [READ-WRITE] SELECT completed\r\n", "* 1 EXISTS");
    SAYS(&c, "a FETCH 1 BODY.PEEK[TEXT]\r\nb NOOP\r\n",
         "* 1 FETCH (BODY[TEXT] {12}\r\nfirst body\r\n)\r\na OK FETCH completed\r\nb OK NOOP completed\r\n");
    SAYS(&c, "i IDLE\r\n", "+ idling\r\n");
    SAYS(&c, "DONE\r\n", "i OK IDLE completed\r\n");
    try_large(&c);
    try_append(&c);
    /* What is no deflate stream ends the connection. */
    begin(&d, 2);
    CHECK_INT(1, stream_put(&d, SLICE("a NOOP\r\n\xff\xff\xff"), soon()), ST_OK);
    CHECK_INT(2, stream_more(&d, soon()), ST_CLOSED);
    stream_close(&d);
    try_bomb();
    ANSWERS_WITH(&c, "a NOOP\r\n", "a OK NOOP completed\r\n", "");
    CHECK_INT(3, ipc_send(control, MSG_STOP, (struct slice){0}, -1), ST_OK);
    HEARS(&c, "* BYE [UNAVAILABLE] The server is being stopped\r\n");
    stream_close(&c);
}

int
main(int argc, char **argv)
{
    return fake_main(argc, argv, converse);
}
