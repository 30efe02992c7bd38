#include "sys/shed.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/test.h"

/* Pages of files that this process has in memory. */
static long
file_pages(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size, resident, shared;

    if (f == NULL || fscanf(f, "%ld %ld %ld", &size, &resident, &shared) != 3)
        shared = -1;
    if (f != NULL)
        (void)fclose(f);
    return shared;
}

static const char constant[] = "is as in the file";

TEST(code_goes_and_comes_back)
{
    long before = file_pages(), after;
    char *p;

    CHECK(0, before > 0);
    CHECK(0, shed_code() >= 4); /* code and constants of this program and of libc at least */
    after = file_pages();
    CHECK(1, after > 0 && after < before * 3 / 4);
    p = malloc(1 << 20);
    assert_non_null(p);
    (void)snprintf(p, 1 << 20, "what was here %s", constant);
    CHECK_SLICE(3, slice_of(p), "what was here is as in the file");
    free(p);
}

TEST_MAIN(code_goes_and_comes_back)
