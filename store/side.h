/*
 * Large bodies on their way in: each is written to a side segment by a thread while it comes, sealed with its last
 * bytes, and adopted by the record of the message. The loop's thread.
 */
#pragma once
#include "ipc/channel.h"
#include "store/log.h"
#include "store/readers.h"

#define SIDES_MAX 256u          /* at a time */
#define SIDE_THREADS 4u         /* that write them */
#define SIDE_DATA_MAX (256u * 1024)

void side_setup(struct log *log, struct readers *readers);
/* Handlers of MSG_SIDE_BEGIN, MSG_SIDE_DATA, MSG_SIDE_DROP. */
enum status on_side_begin(struct ipc_request *request);
enum status on_side_data(struct ipc_request *request);
enum status on_side_drop(struct ipc_request *request);
/* A sealed body of this sender with n bytes. ST_STALE. */
MUST_CHECK enum status side_find(uint64_t id, const struct ipc_sender *from, uint64_t n, struct log_place *place,
                                 uint64_t *sum);
/* A record adopted it. */
void side_adopted(uint64_t id);
void sides_of_peer_drop(uint16_t role, uint32_t instance);
