/* connections.c - who is connected: counts, allowances by key, address and in all, and how each ends. */
#include "coordinator/link/connections.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/test.h"

#define MANY 1200 /* pairs of descriptors, more than one address may have unheard */

struct pair {
    int ours, theirs; /* of one connection: the coordinator's end, the peer's */
};

static int listener;
static uint16_t port;
static struct connections *connections;
static int64_t now_ms;
static struct pair pairs[MANY];
static unsigned pair_count;

static int listen_on(uint16_t *port_out)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port_out = ntohs(at.sin_port);
    return fd;
}

static void set_up(void)
{
    const struct rlimit files = { .rlim_cur = 4096, .rlim_max = 4096 };

    setrlimit(RLIMIT_NOFILE, &files);
    listener = listen_on(&port);
    connections = connections_new(5000, port, NULL);
    pair_count = 0;
    now_ms = 1000000;
}

static void tear_down(void)
{
    connections_free(connections);
    for (unsigned i = 0; i < pair_count; i++) {
        close(pairs[i].ours);
        close(pairs[i].theirs);
    }
    close(listener);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* Connected from 127.0.0.HOST, and not yet told. */
static struct pair *dial(uint8_t host)
{
    struct sockaddr_in from = { .sin_family = AF_INET },
                       to = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct pair *p = &pairs[pair_count++];

    ck_assert_uint_le(pair_count, MANY);
    from.sin_addr.s_addr = htonl(0x7f000000u | host);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(p->theirs, (struct sockaddr *)&from, sizeof(from)), 0);
    ck_assert_int_eq(connect(p->theirs, (struct sockaddr *)&to, sizeof(to)), 0);
    p->ours = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(p->ours, 0);
    return p;
}

static struct pair *come(uint8_t host)
{
    struct pair *p = dial(host);

    connections_accepted(connections, p->ours, now_ms);
    return p;
}

static struct router_peer peer_of(uint8_t id, char key)
{
    struct router_peer peer = { .id = { 0, 0, 0, 0, id }, .id_size = 5 };

    memset(peer.key, key, ROUTER_KEY_SIZE - 1);
    return peer;
}

static bool speak(const struct pair *p, uint8_t id, char key, uint64_t bytes)
{
    struct router_peer peer = peer_of(id, key);

    return connections_heard(connections, &peer, p->ours, bytes);
}

static bool is_known(uint8_t id, char key)
{
    struct router_peer peer = peer_of(id, key);

    return connections_is(connections, &peer);
}

/* Did the coordinator shut it down? The peer sees the end. */
static bool is_shut(const struct pair *p)
{
    struct pollfd f = { .fd = p->theirs, .events = POLLIN };
    char byte;

    return poll(&f, 1, 0) == 1 && recv(p->theirs, &byte, 1, MSG_DONTWAIT) <= 0;
}

static unsigned count_shut(unsigned from, unsigned to)
{
    unsigned count = 0;

    for (unsigned i = from; i < to; i++)
        count += is_shut(&pairs[i]);
    return count;
}

/* ---------------------------------------------------------------- counts and ends */

TEST(counted_while_they_live)
{
    struct pair *a = come(1), *b = come(1);

    ck_assert_uint_eq(connections_count(connections), 2);
    connections_ended(connections, a->ours);
    ck_assert_uint_eq(connections_count(connections), 1);
    connections_ended(connections, a->ours); /* said twice, or of one that was never told */
    connections_ended(connections, 4000);
    ck_assert_uint_eq(connections_count(connections), 1);
    connections_accepted(connections, b->ours, now_ms); /* its descriptor is another's already */
    ck_assert_uint_eq(connections_count(connections), 1);
    ck_assert_uint_eq(connections_shut_count(connections), 0);
    ck_assert_uint_eq(count_shut(0, 2), 0);
}

/* A descriptor may be over, and belong to a file or to another port, when its turn comes. */
TEST(others_descriptors_are_left_alone)
{
    uint16_t other_port;
    int other = listen_on(&other_port), ends[2];
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(other_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct pair http = { .theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

    ck_assert_int_eq(connect(http.theirs, (struct sockaddr *)&to, sizeof(to)), 0);
    http.ours = accept4(other, NULL, NULL, SOCK_CLOEXEC);
    pairs[pair_count++] = http;
    connections_accepted(connections, http.ours, now_ms);
    ck_assert_int_eq(pipe(ends), 0);
    connections_accepted(connections, ends[0], now_ms);
    connections_accepted(connections, other, now_ms);
    connections_accepted(connections, 4000, now_ms);
    connections_accepted(connections, -1, now_ms);
    ck_assert_uint_eq(connections_count(connections), 0);
    close(ends[0]);
    close(ends[1]);
    close(other);
}

TEST(named_by_what_they_say)
{
    struct pair *a = come(1);
    struct router_peer peer = peer_of(1, 'a'), gone;
    char address[64];

    ck_assert(!connections_has_id(connections, &peer));
    ck_assert(speak(a, 1, 'a', 100));
    ck_assert(is_known(1, 'a'));
    ck_assert(!is_known(1, 'b'));
    ck_assert(!speak(a, 1, 'b', 100)); /* the id has another key */
    connections_address(connections, &peer, address, sizeof(address));
    ck_assert_str_eq(address, "127.0.0.1");
    ck_assert(!connections_gone(connections, &gone));
    connections_ended(connections, a->ours);
    ck_assert(connections_gone(connections, &gone));
    ck_assert_mem_eq(&gone, &peer, sizeof(gone));
    ck_assert(!connections_gone(connections, &gone));
    connections_address(connections, &peer, address, sizeof(address));
    ck_assert_str_eq(address, "");
}

/* The library's words about connections and their messages come by different ways. */
TEST(a_message_before_the_connection)
{
    struct pair *a = dial(1);

    ck_assert(speak(a, 1, 'a', 100));
    ck_assert_uint_eq(connections_count(connections), 1);
    connections_accepted(connections, a->ours, now_ms);
    ck_assert_uint_eq(connections_count(connections), 1);
    ck_assert(is_known(1, 'a'));
    connections_ended(connections, a->ours);
    ck_assert(speak(a, 2, 'a', 100)); /* and long after it: the descriptor still is one of ours */
    close(a->ours);
    a->ours = dup(a->theirs);
    connections_ended(connections, a->ours);
}

TEST(shut_by_name)
{
    struct pair *a = come(1), *b = come(1);
    struct router_peer peer = peer_of(1, 'a'), gone;

    speak(a, 1, 'a', 100);
    speak(b, 2, 'b', 100);
    connections_shut(connections, &peer, "the test wants it");
    ck_assert(is_shut(a));
    ck_assert(!is_shut(b));
    ck_assert(!is_known(1, 'a'));
    ck_assert(connections_gone(connections, &gone));
    ck_assert(speak(a, 3, 'a', 100)); /* what it had sent before names nobody any more */
    ck_assert(!is_known(3, 'a'));
    ck_assert_uint_eq(connections_shut_count(connections), 1);
    connections_shut(connections, &peer, "again");
    ck_assert_uint_eq(connections_shut_count(connections), 1);
    ck_assert_uint_eq(connections_count(connections), 2); /* the library tells when it is closed */
    connections_ended(connections, a->ours);
    ck_assert_uint_eq(connections_count(connections), 1);
}

TEST(revoked_keys_end)
{
    struct pair *a = come(1), *b = come(1), *c = come(1), *silent = come(1);
    char keys[1][ROUTER_KEY_SIZE] = { { 0 } };

    speak(a, 1, 'a', 100);
    speak(b, 2, 'b', 100);
    speak(c, 3, 'a', 100);
    memset(keys[0], 'b', ROUTER_KEY_SIZE - 1);
    connections_keep(connections, keys, 1);
    ck_assert(is_shut(a) && is_shut(c));
    ck_assert(!is_shut(b) && !is_shut(silent)); /* who said nothing has no key yet */
    connections_keep(connections, NULL, 0);
    ck_assert(is_shut(b));
    ck_assert_uint_eq(connections_shut_count(connections), 3);
}

/* ---------------------------------------------------------------- allowances */

TEST(one_key_has_four)
{
    struct router_peer gone;

    for (uint8_t i = 0; i < CONNECTIONS_PER_KEY; i++)
        ck_assert(speak(come(1), i, 'a', 10));
    ck_assert_uint_eq(count_shut(0, CONNECTIONS_PER_KEY), 0);
    speak(come(1), 100, 'a', 10);
    speak(come(1), 101, 'b', 10);
    ck_assert(is_shut(&pairs[0])); /* the oldest goes, the newest is the agent that came back */
    ck_assert_uint_eq(count_shut(0, pair_count), 1);
    ck_assert(connections_gone(connections, &gone));
    ck_assert_uint_eq(gone.id[4], 0);
    ck_assert(!is_known(0, 'a') && is_known(1, 'a') && is_known(100, 'a') && is_known(101, 'b'));
    connections_ended(connections, pairs[1].ours); /* one that ended has left room */
    speak(come(1), 102, 'a', 10);
    ck_assert_uint_eq(count_shut(0, pair_count), 1);
}

TEST(one_address_has_so_many_unheard)
{
    struct pair *other = come(2), *spoke = come(1), *late;

    speak(spoke, 1, 'a', 10);
    for (unsigned i = 0; i < CONNECTIONS_UNHEARD; i++)
        come(1);
    ck_assert_uint_eq(count_shut(0, pair_count), 0);
    late = come(1); /* all are fresh: the newest gives way, handshakes go on */
    ck_assert(is_shut(late));
    ck_assert_uint_eq(count_shut(0, pair_count), 1);
    now_ms += 2000;
    late = come(1); /* they had their time */
    ck_assert(!is_shut(late));
    ck_assert(is_shut(&pairs[2]));
    ck_assert(!is_shut(spoke) && !is_shut(other));
    ck_assert(!is_shut(come(2))); /* another address does not pay for it */
    speak(&pairs[3], 2, 'b', 10); /* who speaks is none of them any more */
    ck_assert(!is_shut(come(1)));
    ck_assert_uint_eq(connections_shut_count(connections), 2);
}

TEST(all_together_have_so_many)
{
    connections_free(connections);
    connections = connections_new(10, port, NULL);
    for (unsigned i = 0; i < 3; i++)
        speak(come(1), (uint8_t)i, 'a', 10);
    for (unsigned i = 0; i < 5; i++)
        come(2);
    for (unsigned i = 0; i < 2; i++)
        come(3);
    ck_assert_uint_eq(count_shut(0, pair_count), 0);
    come(4); /* the address with the most of them loses its oldest */
    ck_assert(is_shut(&pairs[3]));
    ck_assert_uint_eq(count_shut(0, pair_count), 1);
}

TEST(who_says_nothing_ends)
{
    struct pair *silent = come(1), *spoke = come(1);

    speak(spoke, 1, 'a', 10);
    connections_look(connections, now_ms + CONNECTIONS_SILENT_MS);
    ck_assert(!is_shut(silent));
    connections_look(connections, now_ms + CONNECTIONS_SILENT_MS + 1);
    ck_assert(is_shut(silent));
    connections_look(connections, now_ms + 3600000);
    ck_assert(!is_shut(spoke));
}

/* As the library does: bytes are read from the kernel, and become messages or not. */
static void pass_on(const struct pair *p, size_t bytes)
{
    static char some[65536];

    while (bytes > 0) {
        size_t part = bytes < sizeof(some) ? bytes : sizeof(some);

        ck_assert_int_eq(send(p->theirs, some, part, 0), (ssize_t)part);
        ck_assert_int_eq(recv(p->ours, some, part, MSG_WAITALL), (ssize_t)part);
        bytes -= part;
    }
}

TEST(a_message_that_does_not_end)
{
    struct pair *honest = come(1), *endless = come(1), *waits = come(1);
    static char some[100000];

    speak(honest, 1, 'a', 0);
    speak(endless, 2, 'b', 0);
    speak(waits, 3, 'c', 0);
    for (unsigned i = 0; i < 4; i++) {
        pass_on(honest, CONNECTIONS_UNDELIVERED);
        speak(honest, 1, 'a', CONNECTIONS_UNDELIVERED);
        connections_look(connections, now_ms);
    }
    ck_assert(!is_shut(honest));
    pass_on(endless, CONNECTIONS_UNDELIVERED);
    connections_look(connections, now_ms);
    ck_assert(!is_shut(endless));
    pass_on(endless, 1);
    connections_look(connections, now_ms);
    ck_assert(is_shut(endless));
    pass_on(waits, CONNECTIONS_UNDELIVERED - sizeof(some) / 2);
    ck_assert_int_eq(send(waits->theirs, some, sizeof(some), MSG_DONTWAIT), sizeof(some));
    pass_on(honest, 10);
    connections_look(connections, now_ms); /* what waits in the kernel costs no memory here */
    ck_assert(!is_shut(waits) && !is_shut(honest));
    ck_assert_uint_eq(connections_shut_count(connections), 1);
}

TEST(all_have_too_much_on_its_way)
{
    const unsigned most = CONNECTIONS_UNDELIVERED_ALL / (CONNECTIONS_UNDELIVERED / 2);

    for (unsigned i = 0; i < most; i++) {
        struct pair *p = come((uint8_t)(1 + i % 4));

        speak(p, (uint8_t)i, (char)('A' + i % 50), 0);
        pass_on(p, CONNECTIONS_UNDELIVERED / 2 - (i == 7 ? 0 : 1000));
    }
    connections_look(connections, now_ms);
    ck_assert_uint_eq(count_shut(0, most), 0);
    pass_on(&pairs[5], 100000);
    connections_look(connections, now_ms); /* whoever has the most goes first, and that is enough */
    ck_assert(is_shut(&pairs[5]));
    ck_assert_uint_eq(count_shut(0, most), 1);
}
