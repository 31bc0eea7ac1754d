/* router_kit.h - a router on loopback with two enrolled agents, for its tests. */
#ifndef TESTS_UNIT_ROUTER_KIT_H
#define TESTS_UNIT_ROUTER_KIT_H

#include <stdio.h>

#include "tests/unit/loopback.h"

#define ANY_PORT "tcp://127.0.0.1:*"
#define PEERS 200

static void *context;
static struct curve_keys server, agents[2];
static struct router *router;

static inline void open_all(void)
{
    server = keys_new();
    agents[0] = keys_new();
    agents[1] = keys_new();
    context = zmq_ctx_new();
    router = router_on(ANY_PORT, &server);
    allow(router, 2, agents);
}

static inline void close_all(void)
{
    router_close(router);
    zmq_ctx_term(context);
}

static inline void *agent(unsigned i)
{
    return raw_dealer(context, router_address(router), server.public_key, &agents[i], NULL);
}

/* What a monitor says of the end of a handshake. */
static inline int handshake_of(void *monitor)
{
    for (;;) {
        uint8_t head[6];
        char address[256];
        uint16_t event;

        if (zmq_recv(monitor, head, sizeof(head), 0) < 0 ||
            zmq_recv(monitor, address, sizeof(address), 0) < 0)
            return 0;
        memcpy(&event, head, sizeof(event));
        if (event & (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH))
            return event;
    }
}

static inline int knock(const struct curve_keys *keys)
{
    void *s = zmq_socket(context, ZMQ_DEALER), *monitor = zmq_socket(context, ZMQ_PAIR);
    int zero = 0, limit = PATIENCE_MS, event;
    static unsigned count;
    char endpoint[32];

    snprintf(endpoint, sizeof(endpoint), "inproc://knock.%u", count++);
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &limit, sizeof(limit));
    zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server.public_key, 41);
    zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, keys->public_key, 41);
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, keys->secret_key, 41);
    ck_assert_int_eq(zmq_socket_monitor(s, endpoint, ZMQ_EVENT_ALL), 0);
    ck_assert_int_eq(zmq_connect(monitor, endpoint), 0);
    ck_assert_int_eq(zmq_connect(s, router_address(router)), 0);
    event = handshake_of(monitor);
    zmq_socket_monitor(s, NULL, 0);
    zmq_close(monitor);
    zmq_close(s);
    return event;
}

#endif
