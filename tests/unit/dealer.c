/* dealer.c - tests of the DEALER socket: refusals, reconnecting, redirects, back-off, garbage. */
#include "agent/link/dealer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/loopback.h"

#define ANY_PORT "tcp://127.0.0.1:*"

static void *context;
static struct curve_keys server, agent;

static void open_all(void)
{
    server = keys_new();
    dealer_new_keys(agent.public_key, agent.secret_key);
    context = zmq_ctx_new();
}

static void close_all(void)
{
    zmq_ctx_term(context);
}

struct test_frame test_frame = { .set_up = open_all, .tear_down = close_all };

static struct dealer_settings settings_for(unsigned count, const char *const *addresses)
{
    struct dealer_settings s = { .coordinator_count = count,
                                 .server_key = server.public_key,
                                 .public_key = agent.public_key,
                                 .secret_key = agent.secret_key };

    for (unsigned i = 0; i < count && i < DEALER_COORDINATORS_MAX; i++)
        s.coordinators[i] = addresses[i];
    return s;
}

static struct dealer *dealer_to(const char *address)
{
    struct dealer_settings s = settings_for(1, &address);
    struct dealer *d = NULL;
    struct err e = { 0 };

    ck_assert_msg(dealer_open(&s, &d, &e) == 0, "%s", e.text);
    return d;
}

/* Until the dealer is in the state, its clock standing at now_ms while real time goes by. */
static void settle(struct dealer *d, int64_t now_ms, enum dealer_state state)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    for (;;) {
        struct pollfd p[2];
        int fds[2];
        unsigned n;

        dealer_step(d, now_ms);
        if (dealer_state(d) == state)
            return;
        ck_assert_msg(clock_monotonic_ms() < until, "stays in state %d: %s", dealer_state(d),
                      dealer_trouble(d));
        n = dealer_fds(d, fds);
        for (unsigned i = 0; i < n; i++)
            p[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
        poll(p, n, 20);
    }
}

/* The same in real time, as long as it takes. */
static void live_until(struct dealer *d, enum dealer_state state)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    int fds[2];

    for (;;) {
        dealer_step(d, clock_monotonic_ms());
        if (dealer_state(d) == state)
            return;
        ck_assert_msg(clock_monotonic_ms() < until, "stays in state %d: %s", dealer_state(d),
                      dealer_trouble(d));
        wait_for(dealer_fds(d, fds) > 0 ? fds[1] : -1);
    }
}

static void expect_reply(struct dealer *d, struct dealer_message *m)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    int fds[2];

    while (!dealer_next(d, m)) {
        ck_assert_msg(clock_monotonic_ms() < until, "no message came");
        ck_assert_uint_eq(dealer_fds(d, fds), 2);
        wait_for(fds[0]);
    }
}

/* A HELLO to the router and a WELCOME back. */
static void greet(struct dealer *d, struct router *r)
{
    struct wire_envelope hello = envelope_of(WIRE_HELLO, 11);
    struct wire_envelope welcome = envelope_of(WIRE_WELCOME, 12);
    struct router_message m;
    struct dealer_message back;

    ck_assert_int_eq(dealer_send(d, &hello, "body", 4), 0);
    expect_message(r, 11, &m);
    ck_assert_str_eq(m.key, agent.public_key);
    ck_assert_uint_eq(m.body_size, 4);
    ck_assert_int_eq(router_send_bytes(r, &m.peer, &welcome, "back", 4), 0);
    expect_reply(d, &back);
    ck_assert_int_eq(back.envelope.type, WIRE_WELCOME);
    ck_assert_uint_eq(back.body_size, 4);
    ck_assert_mem_eq(back.body, "back", 4);
    dealer_welcomed(d);
}

TEST(connects_and_speaks)
{
    struct router *r = router_on(ANY_PORT, &server);
    struct wire_envelope hello = envelope_of(WIRE_HELLO, 1);
    struct dealer *d;

    allow(r, 1, &agent);
    d = dealer_to(router_address(r));
    ck_assert_int_eq(dealer_state(d), DEALER_WAITING);
    ck_assert_int_eq(dealer_send(d, &hello, "x", 1), -1);
    ck_assert(dealer_step(d, 0));
    ck_assert_int_eq(dealer_state(d), DEALER_CONNECTING);
    settle(d, 0, DEALER_OPEN);
    ck_assert_str_eq(dealer_address(d), router_address(r));
    ck_assert_str_eq(dealer_trouble(d), "");
    ck_assert(dealer_wake_ms(d) == INT64_MAX);
    ck_assert(!dealer_step(d, 1000000));
    greet(d, r);
    dealer_close(d);
    router_close(r);
}

TEST(refused_key_is_told_what_to_do)
{
    struct router *r = router_on(ANY_PORT, &server);
    struct dealer *d = dealer_to(router_address(r));
    char quoted[60];

    settle(d, 1000, DEALER_REFUSED);
    ck_assert_ptr_nonnull(strstr(dealer_trouble(d), "lockstep server enroll"));
    ck_assert_ptr_nonnull(strstr(dealer_trouble(d), agent.public_key));
    ck_assert_ptr_null(strstr(dealer_trouble(d), agent.secret_key));
    snprintf(quoted, sizeof(quoted), "-- '%s'", agent.public_key); /* a shell takes it as it is */
    ck_assert_ptr_nonnull(strstr(dealer_trouble(d), quoted));
    ck_assert(dealer_wake_ms(d) >= 1125 && dealer_wake_ms(d) <= 1250);
    allow(r, 1, &agent);
    settle(d, dealer_wake_ms(d), DEALER_OPEN);
    greet(d, r);
    dealer_close(d);
    router_close(r);
}

TEST(wrong_coordinator_key_is_said)
{
    struct curve_keys other = keys_new();
    struct router *r = router_on(ANY_PORT, &other);
    struct dealer *d;

    allow(r, 1, &agent);
    d = dealer_to(router_address(r));
    dealer_step(d, 0);
    settle(d, 0, DEALER_WAITING);
    ck_assert_msg(strstr(dealer_trouble(d), "public key") || strstr(dealer_trouble(d), "handshake"),
                  "%s", dealer_trouble(d));
    dealer_close(d);
    router_close(r);
}

/* An address where nobody listens: bound once, and let go. */
static void free_address(char out[64])
{
    struct router *r = router_on(ANY_PORT, NULL);

    snprintf(out, 64, "%s", router_address(r));
    router_close(r);
}

/* One failed attempt that starts at *now; its back-off becomes the time that went by. */
static int64_t failed_attempt(struct dealer *d, int64_t *now)
{
    int64_t began = *now;

    dealer_step(d, began);
    settle(d, began, DEALER_WAITING);
    *now = dealer_wake_ms(d);
    return *now - began;
}

TEST(back_off_doubles_to_its_limit)
{
    char address[64];
    int64_t now = 5000, most = 250;
    struct dealer *d;

    free_address(address);
    d = dealer_to(address);
    for (int i = 0; i < 12; i++) {
        int64_t waited = failed_attempt(d, &now);

        ck_assert_msg(waited >= most / 2 && waited <= most, "%d ms after %d attempts", (int)waited,
                      i + 1);
        ck_assert_ptr_nonnull(strstr(dealer_trouble(d), address));
        ck_assert(!dealer_step(d, now - 1));
        most = most * 2 < 20000 ? most * 2 : 20000;
    }
    dealer_welcomed(d);
    ck_assert_int_le(failed_attempt(d, &now), 250);
    dealer_close(d);
}

/* However many addresses are dead, all are tried within a leader's session grace: whoever is late
 * counts as unreachable. */
TEST(a_whole_cycle_is_shorter_than_the_grace)
{
    char addresses[DEALER_COORDINATORS_MAX][64];
    struct dealer_settings settings = { .server_key = server.public_key,
                                        .public_key = agent.public_key,
                                        .secret_key = agent.secret_key };
    struct err e;

    for (unsigned i = 0; i < DEALER_COORDINATORS_MAX; i++) {
        free_address(addresses[i]);
        settings.coordinators[i] = addresses[i];
    }
    for (unsigned count = 1; count <= DEALER_COORDINATORS_MAX; count += 5) {
        int64_t now = 5000, began;
        struct dealer *d;

        settings.coordinator_count = count;
        ck_assert_int_eq(dealer_open(&settings, &d, &e), 0);
        for (int i = 0; i < 12; i++)
            failed_attempt(d, &now);
        began = now;
        for (unsigned i = 0; i < count; i++)
            failed_attempt(d, &now);
        ck_assert_msg(now - began <= 28000 - 1000 * count, "%d ms for %u addresses",
                      (int)(now - began), count);
        dealer_close(d);
    }
}

/* A port that takes connections and says nothing; its number. */
static int mute_port(int *fd_out)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
    socklen_t size = sizeof(in);

    *fd_out = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(*fd_out, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listen(*fd_out, 2 * DEALER_COORDINATORS_MAX), 0);
    ck_assert_int_eq(getsockname(*fd_out, (struct sockaddr *)&in, &size), 0);
    return ntohs(in.sin_port);
}

/* As above, of coordinators that take the connection and do not finish the handshake. */
TEST(a_cycle_of_mute_ones_is_as_short)
{
    char addresses[DEALER_COORDINATORS_MAX][64];
    struct dealer_settings settings = { .server_key = server.public_key,
                                        .public_key = agent.public_key,
                                        .secret_key = agent.secret_key };
    int fd, port = mute_port(&fd);
    struct err e;

    for (unsigned i = 0; i < DEALER_COORDINATORS_MAX; i++) {
        snprintf(addresses[i], sizeof(addresses[i]), "tcp://127.0.0.%u:%d", i + 1, port);
        settings.coordinators[i] = addresses[i];
    }
    for (unsigned count = 1; count <= DEALER_COORDINATORS_MAX; count++) {
        int64_t now = 5000;
        struct dealer *d;

        settings.coordinator_count = count;
        ck_assert_int_eq(dealer_open(&settings, &d, &e), 0);
        for (unsigned i = 0; i < 2 * count; i++) {
            ck_assert(dealer_step(d, now));
            ck_assert_int_eq(dealer_state(d), i % 2 ? DEALER_WAITING : DEALER_CONNECTING);
            now = dealer_wake_ms(d);
        }
        ck_assert_msg(now - 5000 <= 28000, "%d ms for %u addresses", (int)(now - 5000), count);
        dealer_close(d);
    }
    close(fd);
}

TEST(back_off_is_jittered)
{
    char address[64];
    int64_t now = 0, first;
    bool differs = false;
    struct dealer *d;

    free_address(address);
    d = dealer_to(address);
    first = failed_attempt(d, &now);
    for (int i = 0; i < 20 && !differs; i++) {
        dealer_welcomed(d);
        differs = failed_attempt(d, &now) != first;
    }
    ck_assert(differs);
    dealer_close(d);
}

TEST(silent_host_is_given_up)
{
    char address[64];
    struct dealer *d;
    int fd;

    snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", mute_port(&fd));
    d = dealer_to(address);
    ck_assert(dealer_step(d, 0));
    ck_assert_int_eq(dealer_state(d), DEALER_CONNECTING);
    ck_assert_int_le(dealer_wake_ms(d), 10000);
    ck_assert(dealer_step(d, dealer_wake_ms(d)));
    ck_assert_int_eq(dealer_state(d), DEALER_WAITING);
    ck_assert_ptr_nonnull(strstr(dealer_trouble(d), "handshake"));
    dealer_close(d);
    close(fd);
}

TEST(reconnects_after_a_restart)
{
    struct router *r = router_on(ANY_PORT, &server);
    char address[64];
    struct dealer *d;

    allow(r, 1, &agent);
    snprintf(address, sizeof(address), "%s", router_address(r));
    d = dealer_to(address);
    live_until(d, DEALER_OPEN);
    greet(d, r);
    router_close(r);
    live_until(d, DEALER_WAITING);
    ck_assert_str_ne(dealer_trouble(d), "");
    r = router_on(address, &server);
    allow(r, 1, &agent);
    live_until(d, DEALER_OPEN);
    greet(d, r);
    dealer_close(d);
    router_close(r);
}

TEST(every_coordinator_is_tried)
{
    char addresses[4][64];
    const char *list[4];
    bool tried[4] = { false };
    struct dealer_settings s;
    struct dealer *d;
    struct err e;
    int64_t now = 0;

    for (unsigned i = 0; i < 4; i++) {
        free_address(addresses[i]);
        list[i] = addresses[i];
    }
    s = settings_for(4, list);
    ck_assert_int_eq(dealer_open(&s, &d, &e), 0);
    for (unsigned i = 0; i < 4; i++) {
        failed_attempt(d, &now);
        for (unsigned j = 0; j < 4; j++)
            tried[j] |= strcmp(dealer_address(d), addresses[j]) == 0;
    }
    ck_assert(tried[0] && tried[1] && tried[2] && tried[3]);
    dealer_close(d);
}

TEST(redirect_is_followed)
{
    struct router *standby = router_on(ANY_PORT, &server), *leader = router_on(ANY_PORT, &server);
    struct dealer *d;

    allow(standby, 1, &agent);
    allow(leader, 1, &agent);
    d = dealer_to(router_address(standby));
    settle(d, 0, DEALER_OPEN);
    dealer_move_on(d, router_address(leader), 0);
    ck_assert_int_eq(dealer_state(d), DEALER_WAITING);
    ck_assert(dealer_wake_ms(d) == 0);
    ck_assert(dealer_step(d, 50));
    settle(d, 50, DEALER_OPEN);
    ck_assert_str_eq(dealer_address(d), router_address(leader));
    greet(d, leader);
    dealer_close(d);
    router_close(standby);
    router_close(leader);
}

/* Two standbys that name each other must not make an agent spin. */
TEST(redirects_without_welcome_back_off)
{
    struct router *r = router_on(ANY_PORT, &server);
    struct dealer *d;

    allow(r, 1, &agent);
    d = dealer_to(router_address(r));
    settle(d, 0, DEALER_OPEN);
    dealer_move_on(d, router_address(r), 0);
    dealer_step(d, 0);
    ck_assert_int_eq(dealer_state(d), DEALER_CONNECTING);
    settle(d, 0, DEALER_OPEN);
    dealer_move_on(d, router_address(r), 0);
    dealer_step(d, 0);
    ck_assert_int_eq(dealer_state(d), DEALER_WAITING);
    ck_assert(dealer_wake_ms(d) >= 125);
    dealer_close(d);
    router_close(r);
}

TEST(wait_of_a_rejection_is_kept)
{
    struct router *r = router_on(ANY_PORT, &server);
    struct dealer *d;

    allow(r, 1, &agent);
    d = dealer_to(router_address(r));
    settle(d, 0, DEALER_OPEN);
    dealer_move_on(d, "http://nonsense", 3000);
    dealer_step(d, 100);
    ck_assert_int_eq(dealer_state(d), DEALER_WAITING);
    ck_assert(dealer_wake_ms(d) >= 3100 && dealer_wake_ms(d) <= 4600);
    settle(d, dealer_wake_ms(d), DEALER_OPEN);
    ck_assert_str_eq(dealer_address(d), router_address(r));
    dealer_close(d);
    router_close(r);
}

/* A coordinator that has the right key and sends nonsense: raw ROUTER, everybody may come in. */
static void *raw_router(char address[64])
{
    void *s = zmq_socket(context, ZMQ_ROUTER);
    int on = 1, zero = 0, limit = PATIENCE_MS;
    size_t size = 64;

    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(s, ZMQ_RCVTIMEO, &limit, sizeof(limit));
    zmq_setsockopt(s, ZMQ_CURVE_SERVER, &on, sizeof(on));
    zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, server.secret_key, 41);
    ck_assert_int_eq(zmq_bind(s, ANY_PORT), 0);
    ck_assert_int_eq(zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, address, &size), 0);
    return s;
}

TEST(garbage_is_counted_and_skipped)
{
    struct wire_envelope hello = envelope_of(WIRE_HELLO, 1);
    char address[64], id[8], rest[256];
    void *s = raw_router(address);
    struct dealer *d = dealer_to(address);
    struct dealer_message m;
    size_t id_size;

    settle(d, 0, DEALER_OPEN);
    ck_assert_int_eq(dealer_send(d, &hello, "x", 1), 0);
    id_size = (size_t)zmq_recv(s, id, sizeof(id), 0);
    ck_assert_int_eq(zmq_recv(s, rest, sizeof(rest), 0), WIRE_ENVELOPE_SIZE);
    ck_assert_int_eq(zmq_recv(s, rest, sizeof(rest), 0), 1);
    zmq_send(s, id, id_size, ZMQ_SNDMORE);
    zmq_send(s, "one frame", 9, 0);
    zmq_send(s, id, id_size, ZMQ_SNDMORE);
    for (int i = 0; i < 5; i++)
        zmq_send(s, "many", 4, ZMQ_SNDMORE);
    zmq_send(s, "frames", 6, 0);
    zmq_send(s, id, id_size, ZMQ_SNDMORE);
    zmq_send(s, "no envelope", 11, ZMQ_SNDMORE);
    zmq_send(s, "body", 4, 0);
    zmq_send(s, id, id_size, ZMQ_SNDMORE);
    raw_send(s, 99, 10);
    expect_reply(d, &m);
    ck_assert_uint_eq(m.envelope.message_id, 99);
    ck_assert_uint_eq(dealer_garbage_count(d), 3);
    dealer_close(d);
    zmq_close(s);
}

static void expect_error(struct dealer_settings s, const char *part)
{
    struct dealer *d = NULL;
    struct err e = { 0 };

    ck_assert_int_eq(dealer_open(&s, &d, &e), -1);
    ck_assert_ptr_null(d);
    ck_assert_msg(strstr(e.text, part) != NULL, "'%s' lacks '%s'", e.text, part);
    ck_assert_ptr_null(strstr(e.text, agent.secret_key));
}

TEST(errors_name_the_field)
{
    const char *wrong[] = { "127.0.0.1:7781", "tcp://host", "tcp://:7781", "tcp://host:port", "" };
    const char *right = "tcp://host.example:7781";
    struct dealer_settings s;

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_error(settings_for(1, &wrong[i]), "tcp://host:port");
    expect_error(settings_for(0, &right), "coordinators");
    s = settings_for(1, &right);
    s.coordinator_count = DEALER_COORDINATORS_MAX + 1;
    expect_error(s, "coordinators");
    s = settings_for(1, &right);
    s.server_key = "short";
    expect_error(s, "coordinators' public key");
    s = settings_for(1, &right);
    s.secret_key = NULL;
    expect_error(s, "secret key");
    s = settings_for(1, &right);
    s.public_key = server.public_key;
    expect_error(s, agent.public_key);
}
