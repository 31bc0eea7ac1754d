/* router.c - tests of the ROUTER socket: who may speak, who is speaking, garbage, shared frames. */
#include "coordinator/link/router.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/router_kit.h"

struct test_frame test_frame = { .set_up = open_all, .tear_down = close_all };

TEST(enrolled_key_speaks_and_is_answered)
{
    void *a = agent(0);
    struct wire_envelope answer = envelope_of(WIRE_WELCOME, 5);
    struct router_message m;
    uint8_t got[64];

    raw_send(a, 1, 100);
    expect_message(router, 1, &m);
    ck_assert_str_eq(m.key, agents[0].public_key);
    ck_assert_int_eq(m.envelope.type, WIRE_HELLO);
    ck_assert_uint_eq(m.body_size, 100);
    ck_assert_int_eq(((const uint8_t *)m.body)[99], 1);
    ck_assert_int_eq(router_send_bytes(router, &m.peer, &answer, "hello", 5), 0);
    ck_assert_int_eq(zmq_recv(a, got, sizeof(got), 0), WIRE_ENVELOPE_SIZE);
    ck_assert_int_eq(zmq_recv(a, got, sizeof(got), 0), 5);
    ck_assert_mem_eq(got, "hello", 5);
    zmq_close(a);
}

TEST(empty_body_keeps_the_identity)
{
    void *a = agent(1);
    struct router_message m;

    raw_send(a, 3, 0);
    expect_message(router, 3, &m);
    ck_assert_str_eq(m.key, agents[1].public_key);
    ck_assert_uint_eq(m.body_size, 0);
    zmq_close(a);
}

TEST(random_key_is_refused)
{
    struct curve_keys stranger = keys_new();

    ck_assert_int_eq(knock(&stranger), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    ck_assert_int_eq(knock(&agents[0]), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
}

TEST(new_set_counts_for_the_next_connection)
{
    struct curve_keys newcomer = keys_new();

    for (int i = 0; i < 20; i++) {
        allow(router, 1, i % 2 ? &agents[0] : &newcomer);
        ck_assert_int_eq(knock(&newcomer),
                         i % 2 ? ZMQ_EVENT_HANDSHAKE_FAILED_AUTH : ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    }
}

TEST(no_keys_means_nobody)
{
    router_allow(router, NULL, 0);
    ck_assert_int_eq(knock(&agents[0]), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
}

TEST(client_without_curve_is_not_heard)
{
    void *stranger = raw_dealer(context, router_address(router), NULL, NULL, NULL);
    void *a = agent(0);
    struct router_message m;

    raw_send(stranger, 66, 10);
    for (uint64_t i = 1; i <= 50; i++) {
        raw_send(a, i, 10);
        expect_message(router, i, &m);
        ck_assert_str_eq(m.key, agents[0].public_key);
    }
    zmq_close(stranger);
    zmq_close(a);
}

TEST(two_clients_with_one_key_are_two_peers)
{
    void *a = agent(0), *b = agent(0);
    struct wire_envelope answer = envelope_of(WIRE_WELCOME, 5);
    struct router_message first, second;
    char got[64];

    raw_send(a, 1, 10);
    expect_message(router, 1, &first);
    raw_send(b, 2, 10);
    expect_message(router, 2, &second);
    ck_assert_str_eq(first.key, second.key);
    ck_assert(first.peer.id_size != second.peer.id_size ||
              memcmp(first.peer.id, second.peer.id, first.peer.id_size) != 0);
    ck_assert_int_eq(router_send_bytes(router, &first.peer, &answer, "to a", 4), 0);
    ck_assert_int_eq(router_send_bytes(router, &second.peer, &answer, "to b", 4), 0);
    ck_assert_int_eq(zmq_recv(a, got, sizeof(got), 0), WIRE_ENVELOPE_SIZE);
    ck_assert_int_eq(zmq_recv(a, got, sizeof(got), 0), 4);
    ck_assert_mem_eq(got, "to a", 4);
    ck_assert_int_eq(zmq_recv(b, got, sizeof(got), 0), WIRE_ENVELOPE_SIZE);
    ck_assert_int_eq(zmq_recv(b, got, sizeof(got), 0), 4);
    ck_assert_mem_eq(got, "to b", 4);
    zmq_close(a);
    zmq_close(b);
}

TEST(garbage_frames_are_counted_and_skipped)
{
    void *a = agent(0);
    uint8_t bytes[WIRE_ENVELOPE_SIZE];
    struct wire_envelope envelope = envelope_of(WIRE_HELLO, 1);
    struct router_message m;

    zmq_send(a, "x", 1, 0);
    expect_garbage(router, 1);
    zmq_send(a, "no envelope at all", 18, ZMQ_SNDMORE);
    zmq_send(a, "body", 4, 0);
    expect_garbage(router, 2);
    zmq_send(a, "", 0, ZMQ_SNDMORE);
    zmq_send(a, "", 0, 0);
    expect_garbage(router, 3);
    wire_encode_envelope(&envelope, bytes);
    zmq_send(a, bytes, sizeof(bytes), 0);
    expect_garbage(router, 4);
    raw_send(a, 9, 10);
    expect_message(router, 9, &m);
    ck_assert_uint_eq(router_garbage_count(router), 4);
    zmq_close(a);
}

TEST(another_version_is_told_apart_from_garbage)
{
    void *a = agent(0);
    uint8_t bytes[WIRE_ENVELOPE_SIZE];
    struct wire_envelope envelope = envelope_of(WIRE_HELLO, 1);
    struct router_message m;

    wire_encode_envelope(&envelope, bytes);
    bytes[0] = WIRE_VERSION + 1;
    zmq_send(a, bytes, sizeof(bytes), ZMQ_SNDMORE);
    zmq_send(a, "body", 4, 0);
    ck_assert(router_wait(router, &m));
    ck_assert_uint_eq(m.envelope.version, WIRE_VERSION + 1);
    ck_assert_int_eq(m.envelope.type, WIRE_HELLO);
    ck_assert_str_eq(m.key, agents[0].public_key);
    ck_assert_uint_eq(router_garbage_count(router), 0);
    zmq_close(a);
}

static int tcp_to(const char *address)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    in.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

TEST(raw_bytes_do_not_disturb)
{
    void *a = agent(0);
    struct router_message m;
    char bytes[4096];
    unsigned seed = 1;

    for (uint64_t i = 1; i <= 30; i++) {
        int fd = tcp_to(router_address(router));

        for (size_t n = 0; n < sizeof(bytes); n++)
            bytes[n] = (char)rand_r(&seed);
        if (i % 3 == 1)
            memcpy(bytes, "GET / HTTP/1.1\r\n", 16);
        if (i % 3 == 2) /* a greeting as it should be, then noise */
            memcpy(bytes, "\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE\0\0\0", 20);
        ck_assert_int_gt(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL), 0);
        raw_send(a, i, 10);
        expect_message(router, i, &m);
        close(fd);
    }
    ck_assert_uint_eq(router_garbage_count(router), 0);
    zmq_close(a);
}

TEST(oversized_message_ends_its_connection_only)
{
    void *a = agent(0), *b = agent(1);
    struct router_message m;

    raw_send(b, 1, WIRE_MESSAGE_MAX - WIRE_ENVELOPE_SIZE - 100);
    expect_message(router, 1, &m);
    raw_send(a, 2, 4 * WIRE_MESSAGE_MAX);
    raw_send(b, 3, 10);
    expect_message(router, 3, &m);
    raw_send(b, 4, 10);
    expect_message(router, 4, &m);
    zmq_close(a);
    zmq_close(b);
}

TEST(send_to_vanished_peer_is_dropped)
{
    void *a = agent(0);
    struct wire_envelope answer = envelope_of(WIRE_PING, 5);
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    struct router_message m, other;

    raw_send(a, 1, 10);
    expect_message(router, 1, &m);
    zmq_close(a);
    while (router_send_bytes(router, &m.peer, &answer, "x", 1) == 0) {
        ck_assert_int_lt(clock_monotonic_ms(), until);
        ck_assert(!router_next(router, &other));
        wait_for(router_fd(router));
    }
    a = agent(0);
    raw_send(a, 2, 10);
    expect_message(router, 2, &m);
    ck_assert_int_eq(router_send_bytes(router, &m.peer, &answer, "x", 1), 0);
    zmq_close(a);
}

TEST(send_to_unknown_peer_is_dropped)
{
    struct wire_envelope answer = envelope_of(WIRE_PING, 5);
    struct router_frame *frame = router_frame_new("x", 1);
    struct router_peer nobody = { .id = { 0, 1, 2, 3, 4 }, .id_size = 5 };

    ck_assert_int_eq(router_send(router, &nobody, &answer, frame), -1);
    ck_assert_int_eq(router_send_bytes(router, &nobody, &answer, NULL, 0), -1);
    router_frame_free(frame);
}

/* The agent does not read: its queues fill, and then the router must not wait. */
TEST(full_queue_is_dropped_and_others_are_served)
{
    void *slow = agent(0), *b = agent(1);
    struct wire_envelope answer = envelope_of(WIRE_CHUNK, 5);
    static uint8_t chunk[32768];
    struct router_frame *frame = router_frame_new(chunk, sizeof(chunk));
    struct router_message m, other;
    int sent = 0;

    raw_send(slow, 1, 10);
    expect_message(router, 1, &m);
    while (router_send(router, &m.peer, &answer, frame) == 0)
        ck_assert_int_lt(++sent, 100000);
    raw_send(b, 2, 10);
    expect_message(router, 2, &other);
    ck_assert_int_eq(router_send(router, &other.peer, &answer, frame), 0);
    router_frame_free(frame);
    zmq_close(slow);
    zmq_close(b);
}

/* Two hundred plain peers, of which some leave at once: sanitizers see a frame freed twice or
 * never. */
TEST(frame_is_shared_by_many)
{
    struct router *plain = router_on(ANY_PORT, NULL);
    struct router_peer peers[PEERS];
    void *dealers[PEERS];
    struct router_message m;
    struct wire_envelope answer = envelope_of(WIRE_PREPARE, 5);
    static uint8_t body[4096], got[8192];
    struct router_frame *frame;

    for (unsigned i = 0; i < PEERS; i++) {
        char key[41];

        snprintf(key, sizeof(key), "%040u", i);
        dealers[i] = raw_dealer(context, router_address(plain), NULL, NULL, key);
        raw_send(dealers[i], i, 10);
        expect_message(plain, i, &m);
        ck_assert_str_eq(m.key, key);
        peers[i] = m.peer;
    }
    memset(body, 42, sizeof(body));
    frame = router_frame_new(body, sizeof(body));
    for (unsigned i = 0; i < PEERS; i++)
        ck_assert_int_eq(router_send(plain, &peers[i], &answer, frame), 0);
    router_frame_free(frame);
    for (unsigned i = 0; i < PEERS; i++) {
        if (i % 10 > 0) {
            ck_assert_int_eq(zmq_recv(dealers[i], got, sizeof(got), 0), WIRE_ENVELOPE_SIZE);
            ck_assert_int_eq(zmq_recv(dealers[i], got, sizeof(got), 0), sizeof(body));
            ck_assert_mem_eq(got, body, sizeof(body));
        }
        zmq_close(dealers[i]);
    }
    router_close(plain);
}

TEST(plain_id_must_be_a_key)
{
    struct router *plain = router_on(ANY_PORT, NULL);
    void *a = raw_dealer(context, router_address(plain), NULL, NULL, "short");
    void *b = raw_dealer(context, router_address(plain), NULL, NULL, NULL);

    raw_send(a, 1, 10);
    expect_garbage(plain, 1);
    raw_send(b, 1, 10);
    expect_garbage(plain, 2);
    zmq_close(a);
    zmq_close(b);
    router_close(plain);
}

static void expect_error(struct router_settings s, const char *part)
{
    struct router *r = NULL;
    struct err e = { 0 };

    ck_assert_int_eq(router_open(&s, &r, &e), -1);
    ck_assert_ptr_null(r);
    ck_assert_msg(strstr(e.text, part) != NULL, "'%s' lacks '%s'", e.text, part);
    ck_assert_ptr_null(strstr(e.text, server.secret_key));
}

TEST(errors_name_the_field)
{
    struct router_settings good = { .bind = ANY_PORT,
                                    .secret_key = server.secret_key,
                                    .public_key = server.public_key };
    struct router_settings s = good;

    s.bind = router_address(router);
    expect_error(s, router_address(router));
    s = good;
    s.bind = "nonsense";
    expect_error(s, "nonsense");
    s = good;
    s.secret_key = "too short";
    expect_error(s, "secret key");
    s.secret_key = NULL;
    expect_error(s, "secret key");
    s = good;
    s.public_key = agents[0].public_key;
    expect_error(s, server.public_key);
    s = (struct router_settings){ .bind = "tcp://0.0.0.0:*", .is_plain = true };
    expect_error(s, "loopback");
}

TEST(wildcard_address_can_be_proved)
{
    struct router *r = router_on("tcp://*:*", &server);

    ck_assert_ptr_nonnull(strstr(router_address(r), "tcp://0.0.0.0:"));
    router_close(r);
}
