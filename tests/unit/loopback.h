/* loopback.h - raw ZeroMQ clients and waiting with a limit, for the tests of router and dealer. */
#ifndef TESTS_UNIT_LOOPBACK_H
#define TESTS_UNIT_LOOPBACK_H

#include <check.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/wire/wire.h"
#include "coordinator/link/router.h"

#define PATIENCE_MS 10000 /* nothing on loopback takes that long */

struct curve_keys {
    char public_key[41], secret_key[41];
};

static inline struct curve_keys keys_new(void)
{
    struct curve_keys k;

    ck_assert_int_eq(zmq_curve_keypair(k.public_key, k.secret_key), 0);
    return k;
}

/* Sleep until the descriptor has something or a moment passed; edges may be lost, so look again. */
static inline void wait_for(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    poll(&p, 1, 20);
}

static inline struct wire_envelope envelope_of(enum wire_type type, uint64_t message_id)
{
    return (struct wire_envelope){
        .version = WIRE_VERSION, .type = type, .epoch = 7, .message_id = message_id
    };
}

static inline struct router *router_on(const char *address, const struct curve_keys *server)
{
    struct router_settings s = { .bind = address, .is_plain = !server };
    struct router *r = NULL;
    struct err e = { 0 };

    if (server) {
        s.secret_key = server->secret_key;
        s.public_key = server->public_key;
    }
    ck_assert_msg(router_open(&s, &r, &e) == 0, "%s", e.text);
    return r;
}

/* Allow the keys given, in one call. */
static inline void allow(struct router *r, unsigned count, const struct curve_keys *keys)
{
    char list[8][ROUTER_KEY_SIZE];

    ck_assert_uint_le(count, 8);
    for (unsigned i = 0; i < count; i++)
        memcpy(list[i], keys[i].public_key, sizeof(list[i]));
    router_allow(r, list, count);
}

/* The next message within the limit. */
static inline bool router_wait(struct router *r, struct router_message *m)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (router_watch(r, clock_monotonic_ms()), !router_next(r, m)) {
        if (clock_monotonic_ms() > until)
            return false;
        wait_for(router_fd(r));
    }
    return true;
}

static inline void expect_message(struct router *r, uint64_t message_id, struct router_message *m)
{
    ck_assert_msg(router_wait(r, m), "message %d never came", (int)message_id);
    ck_assert_uint_eq(m->envelope.message_id, message_id);
}

/* Until so much garbage was counted; no message may come. */
static inline void expect_garbage(struct router *r, uint64_t count)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    struct router_message m;

    while (router_garbage_count(r) < count) {
        ck_assert(!router_next(r, &m));
        ck_assert_msg(clock_monotonic_ms() < until, "only %d pieces of garbage came",
                      (int)router_garbage_count(r));
        wait_for(router_fd(r));
    }
    ck_assert_uint_eq(router_garbage_count(r), count);
}

/* A DEALER that does as it likes: with keys, or without CURVE; claiming a routing id, or not. */
static inline void *raw_claimer(void *context, const char *address, const char *server_key,
                                const struct curve_keys *keys, const void *id, size_t id_size)
{
    void *s = zmq_socket(context, ZMQ_DEALER);
    int zero = 0, limit = PATIENCE_MS;

    ck_assert_ptr_nonnull(s);
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(s, ZMQ_RCVTIMEO, &limit, sizeof(limit));
    if (keys) {
        zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server_key, 41);
        zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, keys->public_key, 41);
        zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, keys->secret_key, 41);
    }
    if (id)
        ck_assert_int_eq(zmq_setsockopt(s, ZMQ_ROUTING_ID, id, id_size), 0);
    ck_assert_int_eq(zmq_connect(s, address), 0);
    return s;
}

static inline void *raw_dealer(void *context, const char *address, const char *server_key,
                               const struct curve_keys *keys, const char *id)
{
    return raw_claimer(context, address, server_key, keys, id, id ? strlen(id) : 0);
}

/* [envelope][body], the body being `size` bytes of the message id. */
static inline void raw_send(void *socket, uint64_t message_id, size_t size)
{
    static uint8_t body[4 * WIRE_MESSAGE_MAX];
    uint8_t bytes[WIRE_ENVELOPE_SIZE];
    struct wire_envelope envelope = envelope_of(WIRE_HELLO, message_id);

    ck_assert_uint_le(size, sizeof(body));
    memset(body, (int)message_id, size);
    ck_assert_uint_eq(wire_encode_envelope(&envelope, bytes), sizeof(bytes));
    ck_assert_int_ge(zmq_send(socket, bytes, sizeof(bytes), ZMQ_SNDMORE), 0);
    ck_assert_int_ge(zmq_send(socket, body, size, 0), 0);
}

#endif
