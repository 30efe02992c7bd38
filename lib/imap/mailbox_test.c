#include "imap/mailbox.h"

#include "base/test.h"

TEST(utf7)
{
    static const struct {
        const char *utf7;
        enum status want;
        const char *utf8;
    } cases[] = {
        {"INBOX",                     ST_OK,     "INBOX"                                                          },
        {"a&-b",                      ST_OK,     "a&b"                                                            },
        {"~peter/mail/&U,BTFw-/&ZeVnLIqe-", ST_OK, "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
        {"Env&AO0-os",                ST_OK,     "Env\xc3\xad" "os"                                               },
        {"&2D3eAA-",                  ST_OK,     "\xf0\x9f\x98\x80"                                               },
        {"&AOk-&-",                   ST_OK,     "\xc3\xa9&"                                                      },
        {"&U,BTFw-&ZeVnLIqe-",        ST_SYNTAX, ""                                                               },
        {"&AGE-",                     ST_SYNTAX, ""                                                               },
        {"&AAo-",                     ST_SYNTAX, ""                                                               },
        {"&AOk",                      ST_SYNTAX, ""                                                               },
        {"&AOl-",                     ST_SYNTAX, ""                                                               },
        {"&AOkA-",                    ST_SYNTAX, ""                                                               },
        {"&2D0-",                     ST_SYNTAX, ""                                                               },
        {"&3gA-",                     ST_SYNTAX, ""                                                               },
        {"&2D0AYQ-",                  ST_SYNTAX, ""                                                               },
        {"&A/k-",                     ST_SYNTAX, ""                                                               },
        {"&A-",                       ST_SYNTAX, ""                                                               },
        {"&",                         ST_SYNTAX, ""                                                               },
        {"a\tb",                      ST_SYNTAX, ""                                                               },
        {"\xc3\xa9",                  ST_SYNTAX, ""                                                               },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF b = BUF_INIT(256);
        AUTO_BUF back = BUF_INIT(256);

        CHECK_INT(i, imap_utf7_decode(slice_of(cases[i].utf7), &b), cases[i].want);
        CHECK_SLICE(i, buf_slice(&b), cases[i].utf8);
        if (cases[i].want != ST_OK)
            continue;
        CHECK_INT(i, imap_utf7_encode(buf_slice(&b), &back), ST_OK);
        CHECK_SLICE(i, buf_slice(&back), cases[i].utf7);
    }
}

TEST(utf7_encode_refuses)
{
    static const char *const cases[] = {"\xc3",     "\xc0\x80",         "\xe0\x80\x80", "\xed\xa0\x80",
                                        "\xff",     "\xf4\x90\x80\x80", "a\nb",         "\xc2\x85",
                                        "\xc3\xa9\xa9"};

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF b = BUF_INIT(256);

        CHECK_INT(i, imap_utf7_encode(slice_of(cases[i]), &b), ST_SYNTAX);
        CHECK_INT(i, b.n, 0);
    }
}

TEST(mailbox)
{
    static const struct {
        const char *wire;
        enum status want;
        const char *name;
    } cases[] = {
        {"inbox",      ST_OK,     "INBOX"     },
        {"Inbox/x",    ST_OK,     "INBOX/x"   },
        {"inboxes",    ST_OK,     "inboxes"   },
        {"a/inbox",    ST_OK,     "a/inbox"   },
        {"a/b/",       ST_OK,     "a/b"       },
        {"a//b",       ST_SYNTAX, ""          },
        {"/a",         ST_SYNTAX, ""          },
        {"/",          ST_SYNTAX, ""          },
        {"",           ST_SYNTAX, ""          },
        {"a//",        ST_SYNTAX, ""          },
        {"&",          ST_SYNTAX, ""          },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF b = BUF_INIT(4096);

        CHECK_INT(i, imap_mailbox_decode(slice_of(cases[i].wire), &b), cases[i].want);
        CHECK_SLICE(i, buf_slice(&b), cases[i].name);
    }
    CHECK(0, imap_mailbox_creatable(SLICE("a b")) && !imap_mailbox_creatable(SLICE("a*")) &&
                 !imap_mailbox_creatable(SLICE("%")) && !imap_mailbox_creatable(SLICE("")));
}

TEST(mailbox_limit)
{
    AUTO_BUF b = BUF_INIT(4096);
    uint8_t name[IMAP_NAME_MAX + 1];

    memset(name, 'x', sizeof(name));
    CHECK_INT(0, imap_mailbox_decode(slice_from(name, IMAP_NAME_MAX), &b), ST_OK);
    CHECK_INT(1, imap_mailbox_decode(slice_from(name, IMAP_NAME_MAX + 1), &b), ST_LIMIT);
}

TEST(pattern)
{
    static const struct {
        const char *pattern, *name;
        bool want;
    } cases[] = {
        {"*",       "a/b",     true },
        {"%",       "a/b",     false},
        {"%",       "a",       true },
        {"%/%",     "a/b",     true },
        {"%/%",     "a/b/c",   false},
        {"a*c",     "abc/c",   true },
        {"a%c",     "ab/c",    false},
        {"*/%",     "a/b/c",   true },
        {"%*",      "a/b",     true },
        {"*%b",     "x/ab",    true },
        {"inbox",   "INBOX",   true },
        {"iNb%/x",  "INBOX/x", true },
        {"inbox",   "INBOXES", false},
        {"abc",     "ABC",     false},
        {"",        "a",       false},
        {"",        "",        true },
        {"a",       "",        false},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_INT(i, imap_pattern_match(slice_of(cases[i].pattern), slice_of(cases[i].name)), cases[i].want);
}

/* The definition, to compare with. */
static bool
slow_match(struct slice p, struct slice s)
{
    if (p.n == 0)
        return s.n == 0;
    if (p.p[0] == '*' || p.p[0] == '%')
        return slow_match(slice_skip(p, 1), s) ||
               (s.n > 0 && (p.p[0] == '*' || s.p[0] != '/') && slow_match(p, slice_skip(s, 1)));
    return s.n > 0 && s.p[0] == p.p[0] && slow_match(slice_skip(p, 1), slice_skip(s, 1));
}

TEST(pattern_random)
{
    uint32_t seed = 1;
    int matched = 0;

    for (int i = 0; i < 200000; i++) {
        uint8_t p[7], s[9];

        for (size_t k = 0; k < sizeof(p) + sizeof(s); k++) {
            seed = seed * 1664525 + 1013904223;
            if (k < sizeof(p))
                p[k] = (uint8_t)"ab/*%%"[(seed >> 16) % 6];
            else
                s[k - sizeof(p)] = (uint8_t)"ab/ab"[(seed >> 16) % 5];
        }
        struct slice pat = slice_from(p, 1 + (seed >> 8) % 7), name = slice_from(s, (seed >> 24) % 10);
        bool want = slow_match(pat, name);

        matched += want;
        CHECK_INT(i, imap_pattern_match(pat, name), want);
    }
    CHECK(0, matched > 1000);
}

TEST_MAIN(utf7, utf7_encode_refuses, mailbox, mailbox_limit, pattern, pattern_random)
