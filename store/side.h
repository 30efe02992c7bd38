/*
 * Large bodies on their way in: each is written to a side segment by a thread while it comes, sealed with its last
 * bytes, and adopted by the record of the message. The loop's thread.
 */
#pragma once
#include "ipc/channel.h"
#include "store/log.h"
#include "store/readers.h"

#define SIDES_PEER_MAX 256u     /* of one program at a time, so that none keeps others from having some */
#define SIDE_THREADS 4u         /* that write them */
#define SIDE_DATA_MAX (256u * 1024)

/* dir, disk_reserve: of the store; bodies are refused (ST_NOSPACE) that would take what stays free for others. readers NULL: no
 * more is taken. */
struct side_settings {
    struct log *log;
    struct readers *readers;
    int dir;
    uint64_t disk_reserve;
};
void side_setup(const struct side_settings *settings);
/* Handlers of MSG_SIDE_BEGIN, MSG_SIDE_DATA, MSG_SIDE_DROP. */
enum status on_side_begin(struct ipc_request *request);
enum status on_side_data(struct ipc_request *request);
enum status on_side_drop(struct ipc_request *request);
/* A sealed body of this sender with n bytes, for one request: until side_end() nobody else gets it, for a segment that two
 * records adopt would be deleted when one of the messages goes. ST_STALE. */
MUST_CHECK enum status side_take(uint64_t id, const struct ipc_sender *from, uint64_t n, struct log_place *place,
                                 uint64_t *sum);
/* The request has ended. adopted: a durable record names the segment. Else it can be asked for again. */
void side_end(uint64_t id, const struct ipc_sender *from, bool adopted);
void sides_of_peer_drop(uint16_t role, uint32_t instance);
