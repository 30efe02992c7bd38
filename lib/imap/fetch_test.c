#include "imap/fetch.h"

#include "base/test.h"

TEST(condstore)
{
    static const struct {
        const char *in;
        enum status want;
        uint32_t items;
        bool changed, vanished;
    } cases[] = {
        {"1 MODSEQ",                                  ST_OK,     IMAP_FETCH_MODSEQ,                                         false, false},
        {"1:* (FLAGS) (CHANGEDSINCE 12345)",          ST_OK,     IMAP_FETCH_FLAGS,                                          true,  false},
        {"1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)", ST_OK,     IMAP_FETCH_FLAGS,                                          true,  true },
        {"1:* FAST (CHANGEDSINCE 1)",                 ST_OK,     IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE, true,  false},
        {"1:* FASTER",                                ST_SYNTAX, 0,                                                         false, false},
        {"1:* (FLAGS) (VANISHED)",                    ST_SYNTAX, 0,                                                         false, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(65536);
        struct imap_fetch got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_fetch(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_INT(i, got.items, cases[i].items);
        CHECK_INT(i, got.modifiers.changed_since, cases[i].changed);
        CHECK_INT(i, got.modifiers.vanished, cases[i].vanished);
    }
}

TEST(fetch)
{
    enum { FAST = IMAP_FETCH_FLAGS | IMAP_FETCH_INTERNALDATE | IMAP_FETCH_SIZE };
    static const struct {
        const char *in;
        enum status want;
        uint32_t items;
        const char *sections; /* as answers name them, a "," after each */
        bool seen;
    } cases[] = {
        {"1 FLAGS",                           ST_OK,     IMAP_FETCH_FLAGS,                     "",                            false},
        {"1:* (uid rfc822.size)",             ST_OK,     IMAP_FETCH_UID | IMAP_FETCH_SIZE,     "",                            false},
        {"1 FAST",                            ST_OK,     FAST,                                 "",                            false},
        {"1 ALL",                             ST_OK,     FAST | IMAP_FETCH_ENVELOPE,           "",                            false},
        {"1 full",                            ST_OK,     FAST | IMAP_FETCH_ENVELOPE | IMAP_FETCH_BODY, "",                    false},
        {"1 (BODY BODYSTRUCTURE)",            ST_OK,     IMAP_FETCH_BODY | IMAP_FETCH_BODYSTRUCTURE, "",                      false},
        {"1 BODY[]",                          ST_OK,     0,                                    "BODY[],",                     true },
        {"1 BODY.PEEK[]<0.10>",               ST_OK,     0,                                    "BODY[]<0>,",                  false},
        {"1 BODY[1.2.MIME]",                  ST_OK,     0,                                    "BODY[1.2.MIME],",             true },
        {"1 BODY[1.2]",                       ST_OK,     0,                                    "BODY[1.2],",                  true },
        {"1 body.peek[header.fields (From \"a b\")]", ST_OK, 0, "BODY[HEADER.FIELDS (From \"a b\")],",                        false},
        {"1 BODY.PEEK[3.HEADER.FIELDS.NOT ({2}\r\nTo)]<5.1>", ST_OK, 0, "BODY[3.HEADER.FIELDS.NOT (To)]<5>,",                 false},
        {"1 (BODY[HEADER] BODY[TEXT])",       ST_OK,     0,                                    "BODY[HEADER],BODY[TEXT],",    true },
        {"1 (RFC822.HEADER)",                 ST_OK,     0,                                    "RFC822.HEADER,",              false},
        {"1 (RFC822 RFC822.TEXT)",            ST_OK,     0,                                    "RFC822,RFC822.TEXT,",         true },
        {"1 (BINARY[1.2] BINARY.PEEK[3]<1.2>)", ST_OK,   0,                                    "BINARY[1.2],BINARY[3]<1>,",   true },
        {"1 (BINARY.PEEK[] BINARY.SIZE[1])",  ST_OK,     0,                                    "BINARY[],BINARY.SIZE[1],",    false},
        {"1 BODY[]<4294967296.9223372036854775807>", ST_OK, 0,                                 "BODY[]<4294967296>,",         true },
        {"1 BODY[]<0.9223372036854775808>",   ST_SYNTAX, 0,                                    "",                            false},
        {"1 BINARY[1.MIME]",                  ST_SYNTAX, 0,                                    "",                            false},
        {"1 BINARY[HEADER]",                  ST_SYNTAX, 0,                                    "",                            false},
        {"1 BINARY.SIZE[1]<0.1>",             ST_SYNTAX, 0,                                    "",                            false},
        {"1 (ALL)",                           ST_SYNTAX, 0,                                    "",                            false},
        {"1 FLAGS UID",                       ST_SYNTAX, 0,                                    "",                            false},
        {"1 ()",                              ST_SYNTAX, 0,                                    "",                            false},
        {"1 (FLAGS",                          ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[MIME]",                      ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[0]",                         ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[1.]",                        ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[1.0]",                       ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[1HEADER]",                   ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[HEADER.FIELDS ()]",          ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[HEADER.FIELDS (\"\")]",      ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[]<0.0>",                     ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[]<0>",                       ST_SYNTAX, 0,                                    "",                            false},
        {"1 BODY[",                           ST_SYNTAX, 0,                                    "",                            false},
        {"1 FLAGSX",                          ST_SYNTAX, 0,                                    "",                            false},
        {"1",                                 ST_SYNTAX, 0,                                    "",                            false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(1u << 16);
        AUTO_BUF b = BUF_INIT(1024);
        struct imap_fetch got = {0};
        const char *why = NULL;

        CHECK_INT(i, imap_args_fetch(slice_of(cases[i].in), &a, &got, &why), cases[i].want);
        CHECK_INT(i, got.items, cases[i].items);
        for (size_t k = 0; k < got.n; k++) {
            imap_put_section(&b, &got.sections[k]);
            buf_putc(&b, ',');
        }
        CHECK_SLICE(i, buf_slice(&b), cases[i].sections);
        CHECK_INT(i, got.sets_seen, cases[i].seen);
        CHECK(i, (why != NULL) == (cases[i].want != ST_OK));
    }
}

TEST(limits)
{
    AUTO_ARENA a = ARENA_INIT(1u << 20);
    AUTO_BUF b = BUF_INIT(1u << 20);
    struct imap_fetch got;
    const char *why;

    buf_puts(&b, "1 BODY[1");
    for (int i = 1; i < IMAP_PARTS_MAX; i++)
        buf_puts(&b, ".1");
    buf_puts(&b, "]");
    CHECK_INT(0, imap_args_fetch(buf_slice(&b), &a, &got, &why), ST_OK);
    CHECK_INT(1, got.sections[0].n_parts, IMAP_PARTS_MAX);
    b.n--;
    buf_puts(&b, ".1]");
    CHECK_INT(2, imap_args_fetch(buf_slice(&b), &a, &got, &why), ST_LIMIT);

    buf_clear(&b);
    buf_puts(&b, "1 (RFC822");
    for (int i = 0; i < IMAP_SECTIONS_MAX; i++)
        buf_puts(&b, " RFC822");
    buf_puts(&b, ")");
    CHECK_INT(3, imap_args_fetch(buf_slice(&b), &a, &got, &why), ST_LIMIT);
}

TEST_MAIN(condstore, fetch, limits)
