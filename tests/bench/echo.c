/* echo.c - the rival: a plain ROUTER that sends to every DEALER and waits for all the answers. */
#include "tests/bench/echo.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/invariant.h"

#define BACKLOG 4096

struct peer {
    uint8_t id[64];
    size_t size;
};

static void *open_router(void *context, const char *bind)
{
    void *router = zmq_socket(context, ZMQ_ROUTER);
    int backlog = BACKLOG, none = 0;
    char address[256];
    size_t size = sizeof(address);

    MUST(router);
    MUST(zmq_setsockopt(router, ZMQ_BACKLOG, &backlog, sizeof(backlog)) == 0);
    MUST(zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof(none)) == 0);
    if (zmq_bind(router, bind) != 0) {
        fprintf(stderr, "cannot bind %s: %s\n", bind, zmq_strerror(errno));
        exit(1);
    }
    MUST(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, address, &size) == 0);
    printf("address %s\n", address);
    fflush(stdout);
    return router;
}

/* One message: routing id and one frame. */
static void receive(void *router, struct peer *out)
{
    zmq_msg_t frame;
    int size = zmq_recv(router, out->id, sizeof(out->id), 0);

    MUST(size > 0 && (size_t)size <= sizeof(out->id));
    out->size = (size_t)size;
    MUST(zmq_msg_init(&frame) == 0);
    MUST(zmq_msg_recv(&frame, router, 0) >= 0 && !zmq_msg_more(&frame));
    zmq_msg_close(&frame);
}

static void welcome_all(void *router, struct peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        receive(router, &peers[i]);
        MUST(zmq_send(router, peers[i].id, peers[i].size, ZMQ_SNDMORE) >= 0);
        MUST(zmq_send(router, "welcome", 7, 0) >= 0);
    }
}

/* The same frame to everybody, shared, and an answer from each. */
static void round_trip(void *router, const struct peer *peers, size_t count, size_t size)
{
    zmq_msg_t body, share;
    struct peer from;

    MUST(zmq_msg_init_size(&body, size) == 0);
    memset(zmq_msg_data(&body), 42, size);
    for (size_t i = 0; i < count; i++) {
        MUST(zmq_send(router, peers[i].id, peers[i].size, ZMQ_SNDMORE) >= 0);
        MUST(zmq_msg_init(&share) == 0 && zmq_msg_copy(&share, &body) == 0);
        MUST(zmq_msg_send(&share, router, 0) >= 0);
    }
    zmq_msg_close(&body);
    for (size_t i = 0; i < count; i++)
        receive(router, &from);
}

int echo_run(const struct echo_settings *settings)
{
    void *context = zmq_ctx_new();
    struct peer *peers = calloc(settings->agents, sizeof(*peers));
    void *router;

    MUST(context && peers);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    MUST(zmq_ctx_set(context, ZMQ_IO_THREADS, 2) == 0);
    router = open_router(context, settings->bind);
    welcome_all(router, peers, settings->agents);
    for (unsigned i = 0; i < settings->repetitions; i++) {
        int64_t began_us = clock_monotonic_us();

        round_trip(router, peers, settings->agents, settings->sizes[0]);
        if (settings->sizes[1])
            round_trip(router, peers, settings->agents, settings->sizes[1]);
        printf("echo %.6f\n", (double)(clock_monotonic_us() - began_us) / 1e6);
        fflush(stdout);
    }
    zmq_close(router);
    zmq_ctx_term(context);
    free(peers);
    return 0;
}
