#include "smtp/data.h"

#include "base/test.h"

enum { CR = 1, LF = 2, NUL = 4, EIGHT = 8 };

struct row {
    struct slice in;
    enum status want;
    struct slice out, rest;
    int facts;
};
#define S(text) {(const uint8_t *)(text), sizeof(text) - 1}

/* The smuggling matrix: everything that some server took for an end, and what must come of it.
 * Facts are of a message that ended; after ST_MORE they are not looked at. */
static const struct row rows[] = {
    {S(".\r\n"), ST_OK, S(""), S(""), 0},
    {S("a\r\n.\r\n"), ST_OK, S("a\r\n"), S(""), 0},
    {S("a\r\n.\r\nMAIL FROM:<>\r\n"), ST_OK, S("a\r\n"), S("MAIL FROM:<>\r\n"), 0},
    {S("..\r\n...\r\n.a\r\n.\r\n"), ST_OK, S(".\r\n..\r\na\r\n"), S(""), 0},
    {S("a.\r\n b.\r\n.\r\n.\r\n"), ST_OK, S("a.\r\n b.\r\n"), S(".\r\n"), 0},
    {S("\xc3\xb1\r\n.\r\n"), ST_OK, S("\xc3\xb1\r\n"), S(""), EIGHT},
    /* not an end */
    {S("a\n.\nMAIL"), ST_MORE, S("a\n.\nMAIL"), S(""), 0},
    {S("a\n.\r\nMAIL"), ST_MORE, S("a\n.\r\nMAIL"), S(""), 0},
    {S("a\r\n.\nMAIL"), ST_MORE, S("a\r\n\nMAIL"), S(""), 0},
    {S("a\r.\rMAIL"), ST_MORE, S("a\r.\rMAIL"), S(""), 0},
    {S("a\r\n.\rMAIL"), ST_MORE, S("a\r\n\rMAIL"), S(""), 0},
    {S("a\r.\r\nMAIL"), ST_MORE, S("a\r.\r\nMAIL"), S(""), 0},
    {S("a\r\r\n.\r\r\nMAIL"), ST_MORE, S("a\r\r\n\r\r\nMAIL"), S(""), 0},
    {S("a\r\n\0.\r\nMAIL"), ST_MORE, S("a\r\n\0.\r\nMAIL"), S(""), 0},
    {S("a\r\n.\0\r\nMAIL"), ST_MORE, S("a\r\n\0\r\nMAIL"), S(""), 0},
    {S("a\r\0\n.\r\nMAIL"), ST_MORE, S("a\r\0\n.\r\nMAIL"), S(""), 0},
    {S("a\r\n. \r\nMAIL"), ST_MORE, S("a\r\n \r\nMAIL"), S(""), 0},
    /* the same, then the true end: one message, and the facts that refuse it */
    {S("a\n.\nMAIL\r\n.\r\nQ"), ST_OK, S("a\n.\nMAIL\r\n"), S("Q"), LF},
    {S("a\n.\r\nMAIL\r\n.\r\nQ"), ST_OK, S("a\n.\r\nMAIL\r\n"), S("Q"), LF},
    {S("a\r\n.\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\nMAIL\r\n"), S("Q"), LF},
    {S("a\r.\rMAIL\r\n.\r\nQ"), ST_OK, S("a\r.\rMAIL\r\n"), S("Q"), CR},
    {S("a\r\n.\rMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\rMAIL\r\n"), S("Q"), CR},
    {S("a\r.\r\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r.\r\nMAIL\r\n"), S("Q"), CR},
    {S("a\r\r\n.\r\r\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r\r\n\r\r\nMAIL\r\n"), S("Q"), CR},
    {S("a\r\n\0.\r\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\0.\r\nMAIL\r\n"), S("Q"), NUL},
    {S("a\r\0\n.\r\nb\r\n.\r\nQ"), ST_OK, S("a\r\0\n.\r\nb\r\n"), S("Q"), CR | LF | NUL},
    {S("a\n\r.\r\n.\r\n"), ST_OK, S("a\n\r.\r\n"), S(""), CR | LF},
    /* this is CR LF . CR LF, after one CR too many */
    {S("a\r\r\n.\r\nQ"), ST_OK, S("a\r\r\n"), S("Q"), CR},
    {S("\n.\r\n.\r\n"), ST_OK, S("\n.\r\n"), S(""), LF},
    {S("\r.\r\n.\r\n"), ST_OK, S("\r.\r\n"), S(""), CR},
};

static void
feed(size_t i, const struct row *row, size_t piece, size_t cap)
{
    struct smtp_data d = SMTP_DATA_INIT, skip = SMTP_DATA_INIT;
    uint8_t out[256];
    size_t used = 0, n;
    struct slice all = row->in, again = row->in;
    enum status st = ST_MORE;

    while (st == ST_MORE && all.n > 0) {
        struct slice in = slice_sub(all, 0, piece);
        size_t had = in.n;

        st = smtp_data_feed(&d, &in, out + used, cap, &n);
        used += n;
        CHECK(i, in.n < had || n > 0); /* always forward */
        all = slice_skip(all, had - in.n);
    }
    CHECK_INT(i, st, row->want);
    CHECK_SLICE(i, slice_from(out, used), row->out);
    CHECK_SLICE(i, all, row->rest);
    CHECK_INT(i, d.size, row->out.n);
    CHECK_INT(i, smtp_data_skip(&skip, &again), row->want);
    CHECK_SLICE(i, again, row->rest);
    CHECK_INT(i, skip.size, row->out.n);
    if (st == ST_OK) {
        int facts = (d.bare_cr ? CR : 0) | (d.bare_lf ? LF : 0) | (d.nul ? NUL : 0) | (d.eight_bit ? EIGHT : 0);

        CHECK_INT(i, facts, row->facts);
        CHECK_INT(i, smtp_data_strict(&d), (row->facts & (CR | LF | NUL)) == 0);
    }
}

TEST(smuggling)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        feed(i, &rows[i], SIZE_MAX, 200);
}

TEST(any_split)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t piece = 1; piece <= rows[i].in.n; piece++)
            for (size_t cap = 1; cap <= rows[i].in.n; cap++)
                feed(i, &rows[i], piece, cap);
}

/* Longer than the blocks in which bytes are counted, and a CR count that passes 255. */
TEST(long_lines)
{
    static uint8_t in[20000], out[20000];
    struct slice all = {in, sizeof(in)};
    struct smtp_data d = SMTP_DATA_INIT;
    size_t n;

    memset(in, 'x', sizeof(in));
    for (size_t i = 0; i < 1000; i++)
        memcpy(in + i * 4 + 2, "\r\n", 2);
    memcpy(in + sizeof(in) - 5, "\r\n.\r\n", 5);
    CHECK_INT(0, smtp_data_feed(&d, &all, out, sizeof(out), &n), ST_OK);
    CHECK_INT(0, n, sizeof(in) - 3);
    CHECK(0, memcmp(in, out, n) == 0);
    CHECK(0, smtp_data_strict(&d));

    in[15000] = '\r';
    d = SMTP_DATA_INIT;
    all = slice_from(in, sizeof(in));
    CHECK_INT(1, smtp_data_feed(&d, &all, out, sizeof(out), &n), ST_OK);
    CHECK(1, d.bare_cr && !d.bare_lf);
}

/* With `repair` a CR or LF alone is a line end, and the message's end still CR LF . CR LF alone. */
TEST(repaired)
{
    static const struct row repairs[] = {
        {S("a\nb\r\n.\r\nQ"), ST_OK, S("a\r\nb\r\n"), S("Q"), 0},
        {S("a\rb\r\n.\r\nQ"), ST_OK, S("a\r\nb\r\n"), S("Q"), 0},
        {S("a\n.\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\r\nMAIL\r\n"), S("Q"), 0},
        {S("a\n.\r\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\r\nMAIL\r\n"), S("Q"), 0},
        {S("a\r\n.\nMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\r\nMAIL\r\n"), S("Q"), 0},
        {S("a\r.\rMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\r\nMAIL\r\n"), S("Q"), 0},
        {S("a\r\n.\rMAIL\r\n.\r\nQ"), ST_OK, S("a\r\n\r\nMAIL\r\n"), S("Q"), 0},
        {S("a\r\r\n.\r\r\nb\r\n.\r\nQ"), ST_OK, S("a\r\n\r\n\r\n\r\nb\r\n"), S("Q"), 0},
        {S("a\n..b\n.c\r\n..\r\n.\r\nQ"), ST_OK, S("a\r\n.b\r\nc\r\n.\r\n"), S("Q"), 0},
        {S("a\0b\n\r\n.\r\nQ"), ST_OK, S("a\0b\r\n\r\n"), S("Q"), NUL},
        {S(".\r\nQ"), ST_OK, S(""), S("Q"), 0},
        {S("a\n.\n"), ST_MORE, S("a\r\n\r\n"), S(""), 0},
    };

    for (size_t i = 0; i < COUNT(repairs); i++)
        for (size_t piece = 1; piece < 20; piece++)
            for (size_t cap = 1; cap < 8; cap++) {
                struct smtp_data d = {.repair = true};
                struct slice all = repairs[i].in;
                uint8_t out[64];
                size_t used = 0, n;
                enum status st = ST_MORE;

                while (st == ST_MORE && all.n > 0) {
                    struct slice in = slice_sub(all, 0, piece);
                    size_t had = in.n;

                    do {
                        st = smtp_data_feed(&d, &in, out + used, cap, &n);
                        used += n;
                    } while (st == ST_MORE && (in.n > 0 || n > 0));
                    all = slice_skip(all, had - in.n);
                }
                CHECK_INT(i, st, repairs[i].want);
                CHECK_SLICE(i, slice_from(out, used), repairs[i].out);
                CHECK_SLICE(i, all, repairs[i].rest);
                CHECK_INT(i, d.size, used);
                CHECK(i, d.nul == ((repairs[i].facts & NUL) != 0) && smtp_data_strict(&d) == !d.nul);
            }
}

TEST_MAIN(repaired, smuggling, any_split, long_lines)
