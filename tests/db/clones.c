/* clones.c - two machines with one key: what the leader's sessions record, and until when it is shown. */
#include "coordinator/store/leader/clones.h"

#include <string.h>

#include "coordinator/link/sessions.h"
#include "coordinator/store/leader/writer.h"
#include "coordinator/store/places.h"
#include "coordinator/store/rollout/servers.h"
#include "tests/db/kit.h"
#include "tests/test.h"
#include "tests/unit/loopback.h"

#define FIVE_MINUTES_MS 300000

static struct pg *pg;
static struct edges edges;
static struct roster_server server;
static int64_t now_ms;

static void set_up(void)
{
    const char *conninfo = kit_database();

    pg = kit_open(conninfo);
    kit_lead(pg, 1);
    kit_servers(pg, kit_scope(pg, "payments", 1), 2);
    edges = (struct edges){ .router = router_on("tcp://127.0.0.1:*", NULL),
                            .writer = writer_start(conninfo, NULL) };
    writer_lead(edges.writer, 1, 1);
    server = (struct roster_server){ .server_id = 1, .name = "server-1" };
    now_ms = 1000000;
}

static void tear_down(void)
{
    router_close(edges.router);
    writer_stop(edges.writer);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static enum session_news greet(uint8_t number, uint64_t nonce)
{
    struct router_peer peer = { .id = { 0, 0xff, 0xff, 0xff, number }, .id_size = 5 };

    return session_greet(&edges, &server, &peer, nonce, now_ms += 1000);
}

/* As the API asks for it. */
static const char *shown(const char *name)
{
    static char text[300];
    SCOPED(rows_free) struct rows *rows = NULL;
    static const struct grants all = {
        .count = 1, .items = { { .environment = "*", .service = "*", .rights = UINT64_MAX } }
    };
    SCOPED_PLACES places = { 0 };
    struct err e = { 0 };

    places_of(&all, RIGHT_SERVER_READ, 1, &places);
    ck_assert_msg(servers_get(pg, &places, name, &rows, &e) == 0, "%s", e.text);
    snprintf(text, sizeof(text), "%s", server_view_at(rows, 0).clone);
    return text;
}

static void await_shown(bool is_wanted)
{
    kit_await(pg, is_wanted, "SELECT count(*) FROM server WHERE clone_until > now()");
}

TEST(nothing_is_shown_of_one)
{
    greet(1, 71);
    greet(2, 72);
    ck_assert(!session_is_aside(&edges, &server, 73, now_ms));
    ck_assert_str_eq(shown("server-1"), "null");
}

TEST(shown_from_noticed_to_over)
{
    greet(1, 71);
    /* A connection of this test would come from loopback. */
    (void)stpcpy(server.address, "192.0.2.1");
    server.boots[1] = 70;
    ck_assert_int_eq(greet(2, 70), SESSION_CLONE);
    await_shown(true);
    ck_assert_ptr_nonnull(strstr(shown("server-1"), "\"192.0.2.1\""));
    ck_assert_ptr_nonnull(strstr(shown("server-1"), "\"since\""));
    ck_assert_str_eq(shown("server-2"), "null");
    now_ms += FIVE_MINUTES_MS - 1000; /* one of them knocks no more, the other does: it is over */
    ck_assert(session_is_aside(&edges, &server, 70, now_ms));
    ck_assert(!session_is_aside(&edges, &server, 70, now_ms + 1000));
    await_shown(false);
    ck_assert_str_eq(shown("server-1"), "null");
}

TEST(goes_on_while_both_knock)
{
    static char since[40];

    greet(1, 71);
    (void)stpcpy(server.address, "192.0.2.1");
    server.boots[1] = 70;
    ck_assert_int_eq(greet(2, 70), SESSION_CLONE);
    await_shown(true);
    snprintf(since, sizeof(since), "%s",
             kit_text(pg, "SELECT clone_since::text FROM server WHERE server_id = 1"));
    kit_sql(pg, "UPDATE server SET clone_until = now() + interval '1 s' WHERE server_id = 1");
    now_ms += 21000;
    ck_assert(session_is_aside(&edges, &server, 71, now_ms));
    kit_await(pg, 1,
              "SELECT count(*) FROM server WHERE clone_until > now() + interval '5 minutes'");
    ck_assert_str_eq(kit_text(pg, "SELECT clone_since::text FROM server WHERE server_id = 1"),
                     since);
    ck_assert_ptr_nonnull(strstr(shown("server-1"), "\"192.0.2.1\""));
}

/* A leader that stops says no more of it, and the next one may not see both. */
TEST(ends_by_the_clock)
{
    greet(1, 71);
    server.boots[1] = 70;
    ck_assert_int_eq(greet(2, 70), SESSION_CLONE);
    await_shown(true);
    kit_sql(pg, "UPDATE server SET clone_until = now() - interval '1 ms' WHERE server_id = 1");
    ck_assert_str_eq(shown("server-1"), "null");
}
