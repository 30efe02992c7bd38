/* Texts made from the settings tables. */
#pragma once
#include "base/buf.h"

/* The sample file: every setting once, commented out at its default. */
void config_sample(struct buf *out);
/* estafeta.conf(5), in man(7). */
void config_manual(struct buf *out);
