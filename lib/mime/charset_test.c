/* Charsets, transfer encodings, and how texts are compared. */
#include "mime/charset.h"

#include "base/test.h"
#include "mime/decode.h"
#include "mime/transfer.h"

TEST(charsets)
{
    static const struct {
        const char *name, *in, *want;
    } cases[] = {
        {"utf-8",        "a\xc3\xb1o",                          "a\xc3\xb1o"                        },
        {"utf-8",        "a\xf1o",                              "a\xef\xbf\xbdo"                    },
        {"UTF-8",        "\xe2\x82",                            "\xef\xbf\xbd"                      },
        {"utf-8",        "\xed\xa0\x80",                        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* RFC 3629 4 */
        {"utf-8",        "\xe2\x82x\xe2\x82\xac",               "\xef\xbf\xbd\xef\xbf\xbdx\xe2\x82\xac"},
        {"us-ascii",     "a\xf1o \xc3\xb1",                     "a\xc3\xb1o \xc3\xb1"               },
        {"x-unheard-of", "\x93q\x94",                           "\xe2\x80\x9cq\xe2\x80\x9d"         },
        {"",             "\xc3",                                "\xc3\x83"                          },
        {"iso-8859-1",   "\xe1\x80",                            "\xc3\xa1\xe2\x82\xac"              },
        {"ISO-8859-15",  "\xa4",                                "\xe2\x82\xac"                      },
        {"iso-8859-2",   "\xb1",                                "\xc4\x85"                          },
        {"iso-8859-9",   "\xfd",                                "\xc4\xb1"                          },
        {"windows-1252", "\x80\x81",                            "\xe2\x82\xac\xef\xbf\xbd"          },
        {"windows-1251", "\xcf\xf0\xe8",                        "\xd0\x9f\xd1\x80\xd0\xb8"          },
        {"koi8-r",       "\xf0\xd2\xc9",                        "\xd0\x9f\xd1\x80\xd0\xb8"          },
        {"shift_jis",    "\x93\xfa\x96{\xb1",                   "\xe6\x97\xa5\xe6\x9c\xac\xef\xbd\xb1"},
        {"euc-jp",       "\xc6\xfc\xcb\xdc\x8e\xb1",            "\xe6\x97\xa5\xe6\x9c\xac\xef\xbd\xb1"},
        {"iso-2022-jp",  "a\x1b$BF|K\\\x1b(Bb",                 "a\xe6\x97\xa5\xe6\x9c\xac" "b"     },
        {"iso-2022-jp",  "\x1b$BF|\nF|",                        "\xe6\x97\xa5\nF|"                  },
        {"iso-2022-jp",  "\x1b" "Zx",                           "\xef\xbf\xbdx"                     },
        {"iso-2022-kr",  "\x1b$)C\x0e" "GQ\x0f.",               "\xed\x95\x9c."                     },
        {"euc-kr",       "\xc7\xd1",                            "\xed\x95\x9c"                      },
        {"gb2312",       "\xd6\xd0",                            "\xe4\xb8\xad"                      },
        {"gb18030",      "\x94\x39\xda\x33" "a",                "\xf0\x9f\x92\xa9" "a"              },
        {"gb18030",      "\x94" "0a",                           "\xef\xbf\xbd" "0a"                 },
        {"big5",         "\xa4\xa4\xa4",                        "\xe4\xb8\xad\xef\xbf\xbd"          },
        {"big5",         "\xff\x41",                            "\xef\xbf\xbd" "A"                  },
        {"utf-7",        "Hi Mom -+Jjo--! +AOE +-",             "Hi Mom -\xe2\x98\xba-! \xc3\xa1 +" }, /* RFC 2152 */
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF whole = BUF_INIT(200), pieces = BUF_INIT(200);
        struct slice in = slice_of(cases[i].in);
        struct charset c;

        charset_init(&c, slice_of(cases[i].name));
        charset_feed(&c, in, &whole);
        charset_end(&c, &whole);
        CHECK_SLICE(i, buf_slice(&whole), cases[i].want);
        for (size_t k = 0; k < in.n; k++)
            charset_feed(&c, slice_sub(in, k, 1), &pieces);
        charset_end(&c, &pieces);
        CHECK_SLICE(i, buf_slice(&pieces), cases[i].want);
    }
}

TEST(utf_16)
{
    static const char little[] = "\xff\xfe\x3d\xd8\xa9\xdc", big[] = "\xd8\x3d\xdc\xa9\x00", alone[] = "\xd8\x3d\x00x";
    AUTO_BUF out = BUF_INIT(200);

    mime_put_utf8(&out, SLICE("utf-16"), slice_from(little, 6));
    CHECK_SLICE(0, buf_slice(&out), "\xf0\x9f\x92\xa9");
    buf_clear(&out);
    mime_put_utf8(&out, SLICE("utf-16be"), slice_from(big, 5));
    CHECK_SLICE(1, buf_slice(&out), "\xf0\x9f\x92\xa9\xef\xbf\xbd");
    buf_clear(&out);
    mime_put_utf8(&out, SLICE("utf-16"), slice_from(alone, 4));
    CHECK_SLICE(2, buf_slice(&out), "\xef\xbf\xbdx");
    CHECK(3, charset_known(SLICE("KOI8-R")) && !charset_known(SLICE("koi9")));
}

TEST(transfer)
{
    static const struct {
        const char *encoding, *in, *want;
    } cases[] = {
        {"base64",           "aG Vs\r\nbG8=",                         "hello"                       },
        {"base64",           "YQ==YQ==",                              "aa"                          },
        {"Quoted-Printable", "a=3Db=\r\nc=ZZ= \r\nd",                 "a=bc=ZZd"                    },
        {"quoted-printable", "==3d= x=\t",                            "==" "= x"                    },
        {"quoted-printable", "a=A",                                   "a=A"                         },
        {"quoted-printable", "a=\n=e1=\r",                            "a\xe1"                       },
        /* RFC 2045 6.7 (5) */
        {"quoted-printable", "Now's the time =\r\nfor all folk to come=\r\n to the aid of their country.",
         "Now's the time for all folk to come to the aid of their country."                         },
        {"8bit",             "a=3D",                                  "a=3D"                        },
        {"",                 "a=3D",                                  "a=3D"                        },
        {"x-uuencode",       "a=3D",                                  "a=3D"                        },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(200);
        struct slice in = slice_of(cases[i].in);
        struct transfer t;

        mime_put_decoded(&out, slice_of(cases[i].encoding), in);
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
        buf_clear(&out);
        transfer_init(&t, slice_of(cases[i].encoding));
        for (size_t k = 0; k < in.n; k++)
            transfer_feed(&t, slice_sub(in, k, 1), &out);
        transfer_end(&t, &out);
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
}

/* RFC 5051 2 */
TEST(casemap)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"Hello", "HELLO"},
        {"\xc7\x84", "Dz\xcc\x8c"},               /* U+01C4, the RFC's example */
        {"\xc3\xa1", "A\xcc\x81"},
        {"\xc3\x9f", "\xc3\x9f"},                 /* has no title case of one character */
        {"\xef\xac\x81", "fi"},                   /* the ligature */
        {"\xed\x95\x9c", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"},
        {"\xff", "\xef\xbf\xbd"},
    };
    AUTO_BUF needle = BUF_INIT(200);

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(200);

        mime_put_casemap(&out, slice_of(cases[i].in));
        CHECK_SLICE(i, buf_slice(&out), cases[i].want);
    }
    mime_put_casemap(&needle, SLICE("MA\xc3\x91" "ANA"));
    CHECK(0, mime_contains(SLICE("hasta ma\xc3\xb1" "ana"), buf_slice(&needle)));
    CHECK(1, !mime_contains(SLICE("hasta manana"), buf_slice(&needle)));
    CHECK(2, mime_contains(SLICE(""), SLICE("")));
}

TEST_MAIN(charsets, utf_16, transfer, casemap)
