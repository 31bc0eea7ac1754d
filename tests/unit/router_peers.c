/* router_peers.c - tests of the router with enrolled peers that mean harm, and with keys revoked. */
#include "coordinator/link/router.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/router_kit.h"

#ifdef __SANITIZE_ADDRESS__
#define GROWTH_MAX 320 /* it keeps what was freed, up to 256 MiB, to find who still uses it */
#else
#define GROWTH_MAX 32 /* MiB */
#endif

/* Until the router lost a peer. */
static void expect_gone(struct router_peer *out)
{
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;
    struct router_message m;

    while (!router_gone(router, out)) {
        ck_assert_msg(clock_monotonic_ms() < until, "nobody is gone");
        router_watch(router, clock_monotonic_ms());
        (void)router_next(router, &m);
        wait_for(router_monitor_fd(router));
    }
}

struct test_frame test_frame = { .set_up = open_all, .tear_down = close_all };

TEST(revoked_key_is_cut_off)
{
    void *a = agent(0), *b = agent(1);
    struct wire_envelope answer = envelope_of(WIRE_PING, 5);
    struct router_message first, second, m;
    struct router_peer gone;

    raw_send(a, 1, 10);
    expect_message(router, 1, &first);
    raw_send(b, 2, 10);
    expect_message(router, 2, &second);
    allow(router, 1, &agents[1]);
    ck_assert_int_eq(router_send_bytes(router, &first.peer, &answer, "x", 1), -1);
    expect_gone(&gone);
    ck_assert_str_eq(gone.key, agents[0].public_key);
    raw_send(a, 3, 10);
    raw_send(b, 4, 10);
    expect_message(router, 4, &m);
    ck_assert_int_eq(router_send_bytes(router, &second.peer, &answer, "x", 1), 0);
    ck_assert_int_eq(knock(&agents[0]), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zmq_close(a);
    zmq_close(b);
}

static void *claimer(unsigned i, const void *id, size_t size)
{
    return raw_claimer(context, router_address(router), server.public_key, &agents[i], id, size);
}

static void expect_own_id(const struct router_message *m, const void *claim, size_t size)
{
    ck_assert_uint_eq(m->peer.id_size, 5);
    ck_assert_uint_eq(m->peer.id[0], 0);
    ck_assert(size != 5 || memcmp(m->peer.id, claim, size) != 0);
}

TEST(no_peer_chooses_its_routing_id)
{
    static const size_t sizes[] = { 1, 5, 8, 40, 255 };
    struct wire_envelope answer = envelope_of(WIRE_PING, 5);
    uint8_t claim[255] = { 0, 0xe4, 0x3c, 0x98, 0x68 };
    struct router_message m;
    char got[64];

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *a = claimer(i % 2, claim, sizes[i]);

        raw_send(a, i, 10);
        expect_message(router, i, &m);
        expect_own_id(&m, claim, sizes[i]);
        ck_assert_int_eq(router_send_bytes(router, &m.peer, &answer, "x", 1), 0);
        ck_assert_int_eq(zmq_recv(a, got, sizeof(got), 0), WIRE_ENVELOPE_SIZE);
        ck_assert_int_eq(zmq_recv(a, got, sizeof(got), 0), 1);
        zmq_close(a);
    }
}

static uint32_t number_of(const struct router_peer *peer)
{
    uint32_t n;

    memcpy(&n, peer->id + 1, sizeof(n));
    return ntohl(n);
}

/* The next ids that the socket will give out, claimed before: a library that takes claims aborts
 * the process with the next connection. Two of them share a key each, as more would be ended. */
TEST(claims_of_ids_to_come_harm_nobody)
{
    enum { CLAIMS = 40 };
    void *claimers[CLAIMS], *honest;
    struct router_message m;
    struct curve_keys many[CLAIMS / 2];
    char list[CLAIMS / 2][ROUTER_KEY_SIZE];
    uint32_t next;

    for (unsigned i = 0; i < CLAIMS / 2; i++) {
        many[i] = keys_new();
        memcpy(list[i], many[i].public_key, sizeof(list[i]));
    }
    router_allow(router, list, CLAIMS / 2);
    agents[0] = many[0];
    honest = agent(0);
    raw_send(honest, 1, 10);
    expect_message(router, 1, &m);
    next = number_of(&m.peer) + 1;
    for (uint32_t i = 0; i < CLAIMS; i++) {
        uint8_t claim[5] = { 0 };
        uint32_t number = htonl(next + CLAIMS + i);

        memcpy(claim + 1, &number, sizeof(number));
        claimers[i] = raw_claimer(context, router_address(router), server.public_key, &many[i / 2],
                                  claim, sizeof(claim));
        raw_send(claimers[i], 2, 10);
        expect_message(router, 2, &m);
        expect_own_id(&m, claim, sizeof(claim));
    }
    for (unsigned i = 0; i < CLAIMS; i++) {
        void *newcomer = agent(0);

        raw_send(newcomer, 3, 10);
        expect_message(router, 3, &m);
        zmq_close(newcomer);
    }
    for (unsigned i = 0; i < CLAIMS; i++)
        zmq_close(claimers[i]);
    zmq_close(honest);
}

TEST(id_of_one_who_left_leads_nowhere)
{
    void *victim = agent(0), *evil;
    struct wire_envelope answer = envelope_of(WIRE_PREPARE, 5);
    struct router_message m, other;
    struct router_peer gone;
    int moment = 300;
    char got[64];

    raw_send(victim, 1, 10);
    expect_message(router, 1, &m);
    zmq_close(victim);
    expect_gone(&gone);
    ck_assert_mem_eq(gone.id, m.peer.id, m.peer.id_size);
    evil = claimer(1, m.peer.id, m.peer.id_size);
    raw_send(evil, 2, 10);
    expect_message(router, 2, &other);
    ck_assert_int_eq(router_send_bytes(router, &m.peer, &answer, "secret", 6), -1);
    zmq_setsockopt(evil, ZMQ_RCVTIMEO, &moment, sizeof(moment));
    ck_assert_int_eq(zmq_recv(evil, got, sizeof(got), 0), -1);
    zmq_close(evil);
}

TEST(an_id_leads_to_its_own_key_only)
{
    void *a = agent(0);
    struct wire_envelope answer = envelope_of(WIRE_PREPARE, 5);
    struct router_message m;

    raw_send(a, 1, 10);
    expect_message(router, 1, &m);
    ck_assert_int_eq(router_send_bytes(router, &m.peer, &answer, "x", 1), 0);
    memcpy(m.peer.key, agents[1].public_key, sizeof(m.peer.key));
    ck_assert_int_eq(router_send_bytes(router, &m.peer, &answer, "x", 1), -1);
    zmq_close(a);
}

/* Pages of memory that this process has, in MiB. */
static long resident_mib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long all, resident;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &all, &resident), 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE) >> 20;
}

/* Runs in a process of its own. The frames share one content, so that the message costs the sender
 * little; the library sends none of them before the last one is there. */
static void send_huge(const struct curve_keys *keys)
{
    static uint8_t frame[60000];
    void *own = zmq_ctx_new();
    void *s = raw_dealer(own, router_address(router), server.public_key, keys, NULL);
    zmq_msg_t content, share;

    zmq_msg_init_size(&content, sizeof(frame));
    memcpy(zmq_msg_data(&content), frame, sizeof(frame));
    for (unsigned i = 0; i < 100000; i++) {
        zmq_msg_init(&share);
        zmq_msg_copy(&share, &content);
        zmq_msg_send(&share, s, i < 99999 ? ZMQ_SNDMORE : 0);
    }
    pause();
}

/* 6 GB in one message; another agent speaks all the time. */
TEST(message_without_end_costs_little)
{
    void *b = agent(1);
    struct router_message m;
    long before = resident_mib(), most = before;
    pid_t child;
    int64_t until = clock_monotonic_ms() + PATIENCE_MS;

    raw_send(b, 1, 10);
    expect_message(router, 1, &m);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        send_huge(&agents[0]);
    for (uint64_t i = 2; router_shut_count(router) == 0; i++) {
        long now = resident_mib();

        most = now > most ? now : most;
        raw_send(b, i, 10);
        expect_message(router, i, &m);
        ck_assert_msg(clock_monotonic_ms() < until, "never ended; %ld MiB", most - before);
    }
    ck_assert_msg(most - before <= GROWTH_MAX, "it took %ld MiB", most - before);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    zmq_close(b);
}

/* What an agent says may add up to anything: only what became no message counts. */
TEST(long_talks_are_not_cut)
{
    void *a = agent(0);
    struct router_message m;

    for (uint64_t i = 1; i <= 4000; i++) {
        raw_send(a, i, i % 64 * 512);
        expect_message(router, i, &m);
    }
    ck_assert_uint_eq(router_shut_count(router), 0);
    zmq_close(a);
}

TEST(one_key_has_few_connections)
{
    enum { MANY = 12 };
    void *all[MANY];
    struct router_message m;
    struct router_peer gone;

    for (uint64_t i = 0; i < MANY; i++) {
        all[i] = agent(0);
        raw_send(all[i], i, 10);
        expect_message(router, i, &m);
    }
    ck_assert_uint_ge(router_shut_count(router), MANY - 4);
    expect_gone(&gone);
    ck_assert_int_eq(router_send_bytes(router, &m.peer, &m.envelope, "x", 1), 0);
    for (unsigned i = 0; i < MANY; i++)
        zmq_close(all[i]);
}

/* For a while: then its agent is let in again, and nobody else noticed. */
TEST(a_barred_key_is_kept_out_for_a_while)
{
    void *a = agent(0), *b = agent(1);
    struct router_message first, m;
    struct router_peer gone;

    raw_send(a, 1, 10);
    expect_message(router, 1, &first);
    raw_send(b, 2, 10);
    expect_message(router, 2, &m);
    router_bar(router, agents[0].public_key, "test");
    expect_gone(&gone);
    ck_assert_str_eq(gone.key, agents[0].public_key);
    zmq_close(a);
    ck_assert_int_eq(knock(&agents[0]), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    allow(router, 2, agents); /* the roster is read again */
    ck_assert_int_eq(knock(&agents[0]), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    ck_assert_int_eq(knock(&agents[1]), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    raw_send(b, 3, 10);
    expect_message(router, 3, &m);
    router_watch(router, clock_monotonic_ms() + ROUTER_BARRED_MS);
    ck_assert(!router_is_barred(router, agents[0].public_key));
    a = agent(0);
    raw_send(a, 4, 10);
    expect_message(router, 4, &m);
    zmq_close(a);
    zmq_close(b);
}

/* Reading a thousand small parts costs as much as reading a thousand messages. */
TEST(who_sends_many_parts_is_barred)
{
    void *a = agent(0);
    struct router_peer gone;
    struct router_message m;

    raw_send(a, 1, 10);
    expect_message(router, 1, &m);
    for (unsigned i = 0; i < 3; i++)
        zmq_send(a, "", 0, i < 2 ? ZMQ_SNDMORE : 0);
    expect_garbage(router, 1);
    ck_assert(router_is_barred(router, agents[0].public_key));
    expect_gone(&gone);
    ck_assert_str_eq(gone.key, agents[0].public_key);
    zmq_close(a);
}
