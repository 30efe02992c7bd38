/*
 * Known mistakes for the crash suite to catch. BUG("name") is false unless the tree is built with
 * -Dplant_bugs=true (or the file with -DPLANT_BUGS) and ESTAFETA_BUG=name is in the environment.
 */
#pragma once
#ifdef PLANT_BUGS
#include <stdlib.h>
#include <string.h>
#define BUG(name) (getenv("ESTAFETA_BUG") != NULL && strcmp(getenv("ESTAFETA_BUG"), name) == 0)
#else
#define BUG(name) 0
#endif
