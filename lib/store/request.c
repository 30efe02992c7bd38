/* The declarations of request.h are inline; this file only shows that the header compiles alone. */
#include "store/request.h"
