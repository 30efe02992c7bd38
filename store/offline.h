/*
 * stored with the system down: stored --root ROOT --offline check|rebuild|dump|restore DIR. No peers, no
 * confinement: whoever starts it becomes the store's user first (ctl/store.c).
 */
#pragma once

/* Returns the exit status (sysexits.h); words for people go to standard output, failures to standard error.
 */
int offline_main(int argc, char **argv);
