#include "sys/confine_line.h"
#include "base/test.h"

TEST(good)
{
    static struct confine_line line;
    const struct confinement *c = &line.confinement;

    CHECK_INT(0,
              confine_line_parse(SLICE("uid=64205 gid=64206 class=store write=/a/b read=/c files=10 memory=20 tasks=3"),
                                 "stored", &line, NULL),
              ST_OK);
    CHECK_INT(1, c->uid, 64205);
    CHECK_INT(2, c->gid, 64206);
    CHECK_INT(3, c->calls, CONFINE_STORE);
    CHECK_SLICE(4, slice_of(c->paths[0].path), slice_of("/a/b"));
    CHECK(5, c->paths[0].write && !c->paths[1].write && c->paths[2].path == NULL);
    CHECK_SLICE(6, slice_of(c->paths[1].path), slice_of("/c"));
    CHECK_INT(7, c->files * 10000 + c->memory * 100 + c->tasks, 102003);
    CHECK_INT(8, confine_line_parse(SLICE("class=parser"), "x", &line, NULL), ST_OK);
    CHECK(9, c->uid == CONFINE_STAY && c->paths[0].path == NULL);
}

TEST(bad)
{
    static const char *const cases[] = {
        "", "class=", "class=root", "uid=0 gid=1 class=parser", "uid=1 class=parser", "class=parser read=etc",
        "class=parser read=", "class=parser files=1k", "class=parser umbrella=1", "class", "class=parser files",
        "class=parser read=/1 read=/2 read=/3 read=/4 read=/5 read=/6 read=/7 read=/8 read=/9",
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        static struct confine_line line;
        struct err err = {0};

        CHECK_INT(i, confine_line_parse(slice_of(cases[i]), "x", &line, &err), ST_SYNTAX);
        CHECK(i, err.text[0] != '\0');
    }
}

TEST_MAIN(good, bad)
