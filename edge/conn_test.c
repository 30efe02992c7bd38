#include "edge/conn.h"

#include "base/test.h"

static struct conns *conns;

static struct conn *
add(const char *ip, size_t n)
{
    struct conn *c = NULL;

    CHECK_INT(n, conn_new(conns, 1000, &c), ST_OK);
    memcpy(c->peer, ip, 16);
    return c;
}

static void
drop_even(struct conn *c, void *arg)
{
    if (c->id % 2 == 0)
        conn_drop(conns, c);
    else
        ++*(size_t *)arg;
}

TEST(ids)
{
    struct conn *a, *b, *c;
    size_t odd = 0;

    CHECK_INT(0, conns_new(4711, &conns), ST_OK);
    a = add("0123456789abcdef", 0);
    b = add("0123456789abcdef", 1);
    CHECK(1, a->id == 4711 && b->id == 4712);
    CHECK(2, conn_find(conns, 4711) == a && conn_find(conns, 4712) == b && conn_find(conns, 4713) == NULL);
    conn_drop(conns, a);
    CHECK(3, conn_find(conns, 4711) == NULL && conn_find(conns, 4712) == b);
    CHECK_INT(4, conns_n(conns), 1);
    CHECK_INT(5, conn_new(conns, 1, &c), ST_LIMIT);
    CHECK(6, add("0123456789abcdef", 6)->id == 4713); /* 4711 never again */
    for (size_t i = 0; i < 900; i++)                  /* one bucket several times, too */
        (void)add("0123456789abcdef", i);
    conns_each(conns, drop_even, &odd);
    CHECK_INT(7, conns_n(conns), odd);
    conns_free(conns);
}

TEST(clients)
{
    static const char four[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1",
                      four2[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2";
    static const char six[] = "\x20\1\xd\xb8\0\0\0\1\0\0\0\0\0\0\0\1",
                      same64[] = "\x20\1\xd\xb8\0\0\0\1\1\1\1\1\0\0\0\1",
                      other64[] = "\x20\1\xd\xb8\0\0\0\2\0\0\0\0\0\0\0\1";
    struct conn *a, *b;

    CHECK_INT(0, conns_new(1, &conns), ST_OK);
    a = add(four, 0);
    CHECK_INT(1, conn_count(conns, a, 2), ST_OK);
    CHECK_INT(2, conn_count(conns, add(four, 2), 2), ST_OK);
    b = add(four, 3);
    CHECK_INT(3, conn_count(conns, b, 2), ST_LIMIT);
    CHECK_INT(4, conns_of(conns, slice_from(four, 16)), 2);
    conn_drop(conns, b); /* was never counted */
    CHECK_INT(5, conns_of(conns, slice_from(four, 16)), 2);
    conn_drop(conns, a);
    CHECK_INT(6, conn_count(conns, add(four, 6), 2), ST_OK);
    CHECK_INT(7, conn_count(conns, add(four2, 7), 1), ST_OK); /* another client */
    CHECK_INT(8, conn_count(conns, add(six, 8), 2), ST_OK);
    CHECK_INT(9, conn_count(conns, add(same64, 9), 2), ST_OK);
    CHECK_INT(10, conn_count(conns, add(same64, 10), 2), ST_LIMIT);
    CHECK_INT(11, conn_count(conns, add(other64, 11), 2), ST_OK);
    CHECK_INT(12, conns_of(conns, slice_from(six, 16)), 2);
    conns_free(conns);
}

TEST_MAIN(ids, clients)
