/*
 * What systemd is told (sd_notify(3)), by hand: a datagram to the socket that it named in
 * the environment. Does nothing when nobody named one.
 */
#pragma once
#include "base/slice.h"

/* Remembers NOTIFY_SOCKET and takes it out of the environment, for no program needs it. */
void notify_open(void);
void notify_ready(void); /* also after a reload */
void notify_reloading(void);
void notify_stopping(void);
