/* sessions.c - tests of who a server's agent is: restarts, late words, and two that hold one key. */
#include "coordinator/link/sessions.h"

#include <stdlib.h>

#include "tests/test.h"
#include "tests/unit/loopback.h"

#define FIVE_MINUTES_MS 300000

static struct edges edges;
static struct roster_server server;
static int64_t now_ms;

/* No leadership is opened at the writer: what it is handed is dropped. */
static void set_up(void)
{
    edges = (struct edges){ .router = router_on("tcp://127.0.0.1:*", NULL),
                            .writer = writer_start("host=/nowhere", NULL) };
    server = (struct roster_server){ .name = "server-1" };
    now_ms = 1000000;
}

static void tear_down(void)
{
    router_close(edges.router);
    writer_stop(edges.writer);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* The connection with this number, as ROUTER counts them. */
static struct router_peer connection(uint8_t number)
{
    return (struct router_peer){ .id = { 0, 0xff, 0xff, 0xff, number }, .id_size = 5 };
}

static enum session_news greet(uint8_t number, uint64_t nonce)
{
    struct router_peer peer = connection(number);

    now_ms += 1000;
    return session_greet(&edges, &server, &peer, nonce, now_ms);
}

TEST(the_same_process_keeps_its_session)
{
    uint64_t session;

    ck_assert_int_eq(greet(1, 71), SESSION_NEW);
    session = server.session;
    ck_assert_uint_ne(session, 0);
    ck_assert_int_eq(greet(1, 71), SESSION_SAME);
    ck_assert_int_eq(greet(2, 71), SESSION_SAME);
    ck_assert_uint_eq(server.session, session);
    ck_assert(server.has_peer);
}

TEST(restarts_are_no_clones)
{
    for (uint8_t i = 1; i < 50; i++)
        ck_assert_int_eq(greet(i, 100 + i), SESSION_NEW);
}

TEST(a_nonce_that_comes_back_is_a_clone)
{
    ck_assert_int_eq(greet(1, 71), SESSION_NEW);
    ck_assert_int_eq(greet(2, 72), SESSION_NEW);
    ck_assert_int_eq(greet(3, 71), SESSION_CLONE);
    ck_assert(!server.has_peer);
    ck_assert(session_is_aside(&edges, &server, 0, now_ms));
    ck_assert(session_is_aside(&edges, &server, 72, now_ms));
}

TEST(eight_machines_in_turn_are_noticed)
{
    for (uint8_t i = 1; i <= 8; i++)
        ck_assert_int_eq(greet(i, 70 + i), SESSION_NEW);
    ck_assert_int_eq(greet(9, 71), SESSION_CLONE);
}

/* What a process said before it ended may come in late, after the one that follows it. */
TEST(a_late_word_puts_nobody_aside)
{
    struct router_peer newer = connection(2);

    ck_assert_int_eq(greet(1, 71), SESSION_NEW);
    ck_assert_int_eq(greet(2, 72), SESSION_NEW);
    ck_assert_int_eq(greet(1, 71), SESSION_LATE);
    ck_assert(!session_is_aside(&edges, &server, 0, now_ms));
    ck_assert_mem_eq(server.peer.id, newer.id, newer.id_size);
    session_lost(&server, &newer);
    ck_assert(!server.has_peer);
    ck_assert_int_eq(greet(1, 71), SESSION_LATE);
    ck_assert_int_eq(greet(3, 72), SESSION_SAME);
}

TEST(aside_lasts_while_both_knock)
{
    greet(1, 71);
    greet(2, 72);
    ck_assert_int_eq(greet(3, 71), SESSION_CLONE);
    for (unsigned i = 0; i < 100; i++) {
        now_ms += 20000;
        ck_assert(session_is_aside(&edges, &server, i % 2 ? 71 : 72, now_ms));
    }
    now_ms += FIVE_MINUTES_MS - 1;
    ck_assert(session_is_aside(&edges, &server, 71, now_ms));
}

TEST(one_alone_is_taken_back)
{
    greet(1, 71);
    greet(2, 72);
    ck_assert_int_eq(greet(3, 71), SESSION_CLONE);
    for (unsigned i = 0; i < 29; i++)
        ck_assert(session_is_aside(&edges, &server, 71, now_ms += 10000));
    ck_assert(!session_is_aside(&edges, &server, 71, now_ms += 10000));
    ck_assert_int_eq(greet(9, 71), SESSION_NEW);
    ck_assert_int_eq(greet(10, 72), SESSION_NEW);
    ck_assert_int_eq(greet(11, 71), SESSION_CLONE);
}

TEST(another_connection_that_ends_is_not_missed)
{
    struct router_peer older = connection(1);

    greet(1, 71);
    greet(2, 71);
    session_lost(&server, &older);
    ck_assert(server.has_peer);
}
