/*
 * What only a program's start needed and the kernel can read again: code and constants of the program and its
 * libraries. They go out of the program's memory at once; what runs later comes back page by page from the page
 * cache, which costs one fault for 64 KiB. RocksDB and OpenSSL are megabytes that run once.
 */
#pragma once

/* After start. Allocates nothing, and cannot fail: what stays, stays. Returns how many pieces went. */
unsigned shed_code(void);
