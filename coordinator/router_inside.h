/* router_inside.h - what the files of the router share among themselves; nobody else includes it. */
#ifndef COORDINATOR_ROUTER_INSIDE_H
#define COORDINATOR_ROUTER_INSIDE_H

#include <zmq.h>

#include "coordinator/router.h"

#define ROUTER_ADDRESS_MAX 256

struct router {
    void *context, *socket, *monitor;
    struct zap *zap;
    struct connections *connections;
    struct log_limit *limit; /* lent, or NULL */
    bool is_plain;
    char address[ROUTER_ADDRESS_MAX];
    uint64_t garbage_count, sent_bytes;
    uint64_t taken; /* bytes on the wire of the message received last */
    int64_t now_ms, look_ms;
    zmq_msg_t body; /* of the message lent by router_next */
};

#endif
