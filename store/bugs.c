#include "store/bugs.h"

#ifdef PLANT_BUGS
#include <string.h>

int bug_planted = -1;

void
bug_plant(const char *name)
{
    static const char *const names[] = {
#define BUG_NAME(name, text) #name,
        BUGS(BUG_NAME)
#undef BUG_NAME
    };

    bug_planted = -1;
    for (int i = 0; name != NULL && i < BUG_COUNT; i++)
        if (strcmp(names[i], name) == 0)
            bug_planted = i;
}
#else
typedef int bugs_are_not_built; /* ISO C wants something here */
#endif
