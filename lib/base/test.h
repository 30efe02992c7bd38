/*
 * Unit tests on cmocka. `TEST(name) { ... }` defines a test; the file ends in
 * `TEST_MAIN(name, name, ...)`. CHECK_* take a case number for the message.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/slice.h"

#define TEST(name) static void test_##name(void **state __attribute__((unused)))

#define CHECK(i, condition)                                                             \
    do {                                                                                \
        if (!(condition))                                                               \
            fail_msg("case %lld: %s", (long long)(i), #condition);                      \
    } while (0)
#define CHECK_INT(i, got, want)                                                         \
    do {                                                                                \
        long long got_ = (long long)(got), want_ = (long long)(want);                   \
        if (got_ != want_)                                                              \
            fail_msg("case %lld: %s is %lld, wanted %lld", (long long)(i), #got, got_, want_); \
    } while (0)
/* want is a C string, or a struct slice from slice_from(). */
#define CHECK_SLICE(i, got, want) \
    check_slice_((long long)(i), #got, (got), _Generic((want), struct slice: (want), default: slice_of(TEST_STR_(want))))
#define TEST_STR_(x) _Generic((x), char *: (x), const char *: (x), default: "")

static inline void
check_slice_(long long i, const char *what, struct slice got, struct slice want)
{
    if (!slice_eq(got, want))
        fail_msg("case %lld: %s is \"%.*s\" (%zu), wanted \"%.*s\" (%zu)", i, what, SLICE_ARG(got), got.n,
                 SLICE_ARG(want), want.n);
}

#define TEST_ROW_1(a) {#a, test_##a, NULL, NULL, NULL},
#define TEST_EACH_(a, ...) TEST_ROW_1(a) __VA_OPT__(TEST_AGAIN_ TEST_PARENS_ (__VA_ARGS__))
#define TEST_PARENS_ ()
#define TEST_AGAIN_() TEST_EACH_
#define TEST_EXPAND_(...) TEST_EX4_(TEST_EX4_(TEST_EX4_(TEST_EX4_(__VA_ARGS__))))
#define TEST_EX4_(...) TEST_EX3_(TEST_EX3_(TEST_EX3_(TEST_EX3_(__VA_ARGS__))))
#define TEST_EX3_(...) TEST_EX2_(TEST_EX2_(TEST_EX2_(TEST_EX2_(__VA_ARGS__))))
#define TEST_EX2_(...) __VA_ARGS__

#define TEST_MAIN(...)                                                                  \
    int main(void)                                                                      \
    {                                                                                   \
        static const struct CMUnitTest tests[] = {TEST_EXPAND_(TEST_EACH_(__VA_ARGS__))}; \
        return cmocka_run_group_tests(tests, NULL, NULL);                               \
    }
