#include "base/slice.h"
#include "base/test.h"

TEST(take_number)
{
    static const struct {
        const char *in;
        uint64_t most;
        bool want;
        uint64_t value;
        const char *rest;
    } cases[] = {
        {"0",                    9,          true,  0,          ""                    },
        {"42 x",                 100,        true,  42,         " x"                  },
        {"101",                  100,        false, 0,          "101"                 },
        {"18446744073709551615", UINT64_MAX, true,  UINT64_MAX, ""                    },
        {"18446744073709551616", UINT64_MAX, false, 0,          "18446744073709551616"},
        {"",                     9,          false, 0,          ""                    },
        {"-1",                   9,          false, 0,          "-1"                  },
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct slice in = slice_of(cases[i].in);
        uint64_t value = 0;

        CHECK_INT(i, take_number(&in, cases[i].most, &value), cases[i].want);
        CHECK_INT(i, value, cases[i].value);
        CHECK_SLICE(i, in, cases[i].rest);
    }
}

TEST(find)
{
    CHECK_INT(0, slice_find(SLICE("abc"), 'c'), 2);
    CHECK_INT(1, slice_find(SLICE("abc"), 'x'), 3);
    CHECK_INT(2, slice_find((struct slice){0}, 'x'), 0);
    CHECK_INT(3, slice_find_slice(SLICE("a\r\n.\r\n"), SLICE("\r\n.\r\n")), 1);
    CHECK_INT(4, slice_find_slice(SLICE("a"), SLICE("ab")), 1);
    CHECK_INT(5, slice_find_nocase(SLICE("xHELOx"), SLICE("helo")), 1);
    CHECK_INT(6, slice_find_nocase(SLICE("x"), SLICE("")), 0);
}

TEST(compare)
{
    CHECK(0, slice_eq_nocase(SLICE("AbC"), SLICE("aBc")));
    CHECK(1, !slice_eq_nocase(SLICE("AbC"), SLICE("aBcd")));
    CHECK(2, slice_eq((struct slice){0}, SLICE("")));
    CHECK(3, slice_cmp(SLICE("ab"), SLICE("abc")) < 0);
    CHECK(4, slice_cmp(SLICE("b"), SLICE("abc")) > 0);
    CHECK(5, slice_eq_secret(SLICE("secret"), SLICE("secret")));
    CHECK(6, !slice_eq_secret(SLICE("secret"), SLICE("secreT")));
    CHECK(7, !slice_eq_secret(SLICE("secret"), SLICE("secretsecret")));
    CHECK(8, !slice_eq_secret(SLICE("secret"), SLICE("")));
    CHECK(9, !slice_eq_secret(SLICE(""), SLICE("x")));
    CHECK(10, slice_has_suffix_nocase(SLICE("mail.Example"), SLICE(".example")));
}

TEST(to_cstr)
{
    char out[4];

    CHECK(0, slice_to_cstr(SLICE("abc"), out, sizeof(out)));
    CHECK(1, !slice_to_cstr(SLICE("abcd"), out, sizeof(out)));
    CHECK_SLICE(2, slice_of(out), "abc");
    CHECK(3, !slice_to_cstr(SLICE("a\0c"), out, sizeof(out)));
    CHECK_SLICE(4, slice_of(out), "a?c");
}

TEST_MAIN(take_number, find, compare, to_cstr)
