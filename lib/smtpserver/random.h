/* Random bytes from the kernel, many at a time: one system call for hundreds of messages. */
#pragma once
#include "base/slice.h"

#define RANDOM_NAME 12u /* characters: 60 bits */

void random_bytes(void *to, size_t n); /* n at most 256 */
/* Letters and digits, to name a message. */
void random_name(uint8_t to[RANDOM_NAME]);
