#include "maa/imap/uidset.h"

#include "base/test.h"

static struct uidset
made(const uint32_t *uids, size_t n)
{
    struct uidset set = {0};

    for (size_t i = 0; i < n; i++)
        CHECK_INT(i, uidset_add(&set, uids[i]), ST_OK);
    return set;
}

static void
wants(long i, const struct uidset *set, const char *want)
{
    AUTO_BUF got = BUF_INIT(1000);

    uidset_put(set, &got);
    CHECK_SLICE(i, buf_slice(&got), want);
}

TEST(add)
{
    static const struct {
        uint32_t uids[8];
        size_t n;
        const char *want;
        uint32_t count;
    } cases[] = {
        {{0},                             0, "",                        0},
        {{5},                             1, "5",                       1},
        {{5, 6, 7},                       3, "5:7",                     3},
        {{7, 5, 6},                       3, "5:7",                     3},
        {{5, 7, 5},                       3, "5,7",                     2},
        {{10, 1, 5, 9, 2, 11},            6, "1:2,5,9:11",              6},
        {{UINT32_MAX, 1, UINT32_MAX - 1}, 3, "1,4294967294:4294967295", 3},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct uidset set = made(cases[i].uids, cases[i].n);

        wants((long)i, &set, cases[i].want);
        CHECK_INT(i, set.count, cases[i].count);
        for (uint32_t seq = 1; seq <= set.count; seq++)
            CHECK_INT(i, uidset_seq(&set, uidset_at(&set, seq)), seq);
        CHECK_INT(i, uidset_at(&set, set.count + 1), 0);
        CHECK_INT(i, uidset_at(&set, 0), 0);
        uidset_trim(&set);
        wants((long)i, &set, cases[i].want);
        uidset_done(&set);
    }
    CHECK_INT(99, uidset_add(&(struct uidset){0}, 0), ST_SYNTAX);
}

TEST(places)
{
    static const uint32_t uids[] = {3, 4, 5, 9, 20, 21};
    static const struct {
        uint32_t uid, seq, upto;
    } cases[] = {
        {1,  0, 0},
        {3,  1, 1},
        {5,  3, 3},
        {6,  0, 3},
        {9,  4, 4},
        {19, 0, 4},
        {21, 6, 6},
        {22, 0, 6},
        {0,  0, 0}
    };
    struct uidset set = made(uids, COUNT(uids));

    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_INT(i, uidset_seq(&set, cases[i].uid), cases[i].seq);
        CHECK_INT(i, uidset_upto(&set, cases[i].uid), cases[i].upto);
    }
    uidset_done(&set);
}

TEST(subtract)
{
    static const uint32_t uids[] =
        {
            1, 2, 3, 4, 5, 8, 9, 10, 15
    },
                          gone[][5] = {{0}, {1, 2}, {3}, {5, 8}, {1, 3, 5, 9, 15}, {6, 7, 99}};
    static const size_t n[] = {0, 2, 1, 2, 5, 3};
    static const char *const want[] = {"1:5,8:10,15", "3:5,8:10,15", "1:2,4:5,8:10,15",
                                       "1:4,9:10,15", "2,4,8,10",    "1:5,8:10,15"};

    for (size_t i = 0; i < COUNT(want); i++) {
        struct uidset set = made(uids, COUNT(uids)), out = made(gone[i], n[i]);

        CHECK_INT(i, uidset_subtract(&set, &out), ST_OK);
        wants((long)i, &set, want[i]);
        CHECK_INT(i, uidset_seq(&set, uidset_at(&set, set.count)), set.count);
        uidset_done(&set);
        uidset_done(&out);
    }
}

TEST(select)
{
    static const uint32_t uids[] = {3, 4, 5, 9, 20, 21};
    static const struct {
        const char *set;
        bool by_uid;
        const char *want;
    } cases[] = {
        {"1:*",      false, "3:5,9,20:21"},
        {"2:4",      false, "4:5,9"      },
        {"*",        false, "21"         },
        {"6,1",      false, "3,21"       },
        {"1:*",      true,  "3:5,9,20:21"},
        {"100:*",    true,  "21"         },
        {"4:9",      true,  "4:5,9"      },
        {"10:19",    true,  ""           },
        {"6:20,1:3", true,  "3,9,20"     },
    };
    struct uidset set = made(uids, COUNT(uids));

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_INIT(10000);
        struct slice in = slice_of(cases[i].set);
        struct imap_seqset named;
        struct uidset out;

        CHECK_INT(i, imap_seqset_parse(&in, &a, &named), ST_OK);
        imap_seqset_resolve(&named, cases[i].by_uid ? uidset_last(&set) : set.count);
        CHECK_INT(i, uidset_select(&set, &named, cases[i].by_uid, &out), ST_OK);
        wants((long)i, &out, cases[i].want);
        uidset_done(&out);
    }
    uidset_done(&set);
}

TEST(common)
{
    static const uint32_t uids[] = {3, 4, 5, 9, 20, 21}, others[] = {1, 2, 3, 5, 6, 20, 21, 22};
    struct uidset set = made(uids, COUNT(uids)), other = made(others, COUNT(others)), none = {0}, out;

    CHECK_INT(0, uidset_common(&set, &other, &out), ST_OK);
    wants(0, &out, "3,5,20:21");
    uidset_done(&out);
    CHECK_INT(1, uidset_common(&set, &none, &out), ST_OK);
    wants(1, &out, "");
    uidset_done(&set);
    uidset_done(&other);
}

TEST(pack)
{
    static const uint32_t uids[] = {3, 4, 5, 9, 20, 21};
    static const struct {
        uint32_t from, most;
        size_t runs;
        uint32_t packed, next, bytes;
    } cases[] = {
        {1,  100, 100, 6, 0,  24},
        {3,  2,   100, 2, 5,  8 },
        {5,  2,   100, 2, 20, 16},
        {5,  100, 1,   1, 9,  8 },
        {21, 1,   100, 1, 0,  8 },
        {22, 9,   9,   0, 0,  0 },
        {3,  3,   9,   3, 9,  8 },
    };
    struct uidset set = made(uids, COUNT(uids));

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF out = BUF_INIT(100);
        uint32_t next = 77;

        CHECK_INT(i, uidset_pack(&set, cases[i].from, cases[i].most, cases[i].runs, &out, &next),
                  cases[i].packed);
        CHECK_INT(i, next, cases[i].next);
        CHECK_INT(i, out.n, cases[i].bytes);
    }
    uidset_done(&set);
}

TEST_MAIN(add, places, subtract, select, common, pack)
