/* router_internal.h - what the files of the router share among themselves; nobody else includes it. */
#ifndef COORDINATOR_LINK_ROUTER_INTERNAL_H
#define COORDINATOR_LINK_ROUTER_INTERNAL_H

#include <zmq.h>

#include "coordinator/link/router.h"

#define ROUTER_ADDRESS_MAX 256

struct router_bar;
struct router {
    void *context, *socket, *monitor;
    struct zap *zap;
    struct connections *connections;
    struct log_limit *limit; /* lent, or NULL */
    char (*keys)[ROUTER_KEY_SIZE]; /* sorted; of those that are enrolled */
    size_t key_count;
    struct router_bar *bars; /* the oldest first */
    bool is_plain;
    char address[ROUTER_ADDRESS_MAX];
    uint64_t garbage_count, sent_bytes;
    uint64_t taken; /* bytes on the wire of the message received last */
    int64_t now_ms, look_ms;
    zmq_msg_t body; /* of the message lent by router_next */
};

/* router_bars.c */
void router_end_bars(struct router *r); /* those whose time is over */
void router_free_bars(struct router *r);

#endif
