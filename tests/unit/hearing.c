/* hearing.c - tests of what a leader takes from one server while the database is slow. */
#include "coordinator/hearing.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/link/joining.h"
#include "tests/test.h"
#include "tests/unit/loopback.h"

#define KEY "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define FLOOD 1000

static struct coordinator_settings settings = { .heartbeat_ms = 5000,
                                                .servers_max = 4,
                                                .scopes_max = 4,
                                                .rollouts_max = 4 };
static struct curve_keys server_key;
static struct edges edges;
static struct hearing *hearing;
static char labels[] = "{}", globs[] = "*";
static struct leading *leading;

/* No leadership is opened at the writer: what it is handed is dropped. */
static void set_up(void)
{
    struct server_row row = { .server_id = 1, .name = "server-1", .public_key = KEY,
                              .labels = labels, .scopes = globs };
    const struct snapshot s = { .servers = &row, .server_count = 1 };
    struct err e;

    server_key = keys_new();
    edges = (struct edges){ .settings = &settings, .roster = roster_new(4, 4),
                            .writer = writer_start("host=/nowhere", NULL),
                            .router = router_on("tcp://127.0.0.1:*", &server_key) };
    ck_assert(roster_update(edges.roster, &s, NULL));
    roster_allow_keys(edges.roster, edges.router);
    roster_server(edges.roster, 0)->session = 7;
    hearing = hearing_new(&edges);
    leading = leading_begin(&edges, &s, &e);
    ck_assert(leading);
    hearing_set_leading(hearing, leading, "");
}

static void tear_down(void)
{
    leading_end(leading);
    hearing_free(hearing);
    writer_stop(edges.writer);
    router_close(edges.router);
    roster_free(edges.roster);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void say_ready_in(uint64_t session, uint64_t outbox_id)
{
    const struct wire_ack ack = { .type = WIRE_READY, .outbox_id = outbox_id, .number = 5 };
    struct router_message m = {
        .envelope = { .version = WIRE_VERSION, .type = WIRE_READY, .session = session },
    };
    uint8_t body[256];

    memcpy(m.key, KEY, sizeof(m.key));
    m.body = body;
    m.body_size = wire_encode_ack(&ack, body, sizeof(body));
    ck_assert_uint_gt(m.body_size, 0);
    hearing_message(hearing, &m);
}

static void say_ready(uint64_t outbox_id)
{
    say_ready_in(7, outbox_id);
}

static uint32_t unsaved(void)
{
    return roster_server(edges.roster, 0)->unsaved_acks;
}

TEST(one_server_has_little_waiting)
{
    for (uint64_t i = 1; i <= FLOOD; i++) {
        say_ready(i);
        if (i % 100 == 0)
            hearing_flush(hearing);
    }
    ck_assert_uint_gt(unsaved(), 0);
    ck_assert_uint_lt(unsaved(), 100);
}

/* Whoever never said HELLO has no session, and none is not the one that it names. */
TEST(before_hello_nothing_counts)
{
    roster_server(edges.roster, 0)->session = 0;
    say_ready_in(0, 1);
    ck_assert_uint_eq(unsaved(), 0);
    roster_server(edges.roster, 0)->session = 7;
    say_ready_in(0, 1);
    say_ready_in(8, 1);
    ck_assert_uint_eq(unsaved(), 0);
    say_ready_in(7, 1);
    ck_assert_uint_eq(unsaved(), 1);
}

TEST(a_new_leadership_starts_over)
{
    for (uint64_t i = 1; i <= FLOOD / 10; i++)
        say_ready(i);
    hearing_set_leading(hearing, NULL, "");
    ck_assert_uint_eq(unsaved(), 0);
    hearing_set_leading(hearing, leading, "");
    say_ready(1);
    ck_assert_uint_eq(unsaved(), 1);
}

/* ---------------------------------------------------------------- what agents tell of themselves
 */

static void tell(const char *version, const char *zone)
{
    struct wire_hello hello = { .version = wire_text_of(version), .label_count = 1 };
    struct roster_server *s = roster_server(edges.roster, 0);

    hello.labels[0] = (struct wire_label){ wire_text_of("zone"), wire_text_of(zone) };
    joining_note(s, &hello);
    joining_hear(&edges, s, NULL, 0);
}

/* An upgrade is recorded whatever the labels; and nothing is asked for twice once it is there. */
TEST(versions_are_told_on_their_own)
{
    struct roster_server *s = roster_server(edges.roster, 0);

    roster_set_told(s, "{\"zone\":\"a\"}", "1.2");
    tell("1.2", "a");
    ck_assert_uint_eq(s->unsaved_joins, 0);
    tell("1.3", "a");
    ck_assert_uint_eq(s->unsaved_joins, 1);
    roster_set_told(s, NULL, "1.3");
    joining_hear(&edges, s, NULL, 0);
    ck_assert_uint_eq(s->unsaved_joins, 1);
}

/* The database was busy when HELLO came: the next digest tells it again. */
TEST(what_a_busy_writer_left_out_is_told_again)
{
    struct roster_server *s = roster_server(edges.roster, 0);

    s->unsaved_joins = 4;
    tell("1.2", "a");
    ck_assert_uint_eq(s->unsaved_joins, 4);
    s->unsaved_joins = 0;
    joining_hear(&edges, s, NULL, 0);
    ck_assert_uint_eq(s->unsaved_joins, 1);
}

/* What an agent never does costs the reading alone, but that costs others, too. */
TEST(who_floods_is_kept_out_for_a_while)
{
    uint64_t i = 1;

    for (; i <= FLOOD; i++)
        say_ready(i);
    ck_assert(!router_is_barred(edges.router, KEY));
    for (; i <= 100 * FLOOD && !router_is_barred(edges.router, KEY); i++)
        say_ready(i);
    ck_assert(router_is_barred(edges.router, KEY));
}

/* The writer leaves a scope out while somebody else makes it; by the time that it says so the
 * loader may have brought the scope. Taken for a membership it would be waited for, and its words
 * would not count in the database. */
TEST(what_the_writer_left_out_is_no_membership)
{
    struct scope_row scopes[] = { { .scope_id = 1, .service = "app", .environment = "prod" } };
    struct server_row row = { .server_id = 1, .name = "server-1", .public_key = KEY,
                              .labels = labels, .scopes = globs };
    struct snapshot s = {
        .servers = &row, .server_count = 1, .scopes = scopes, .scope_count = 1
    };
    struct join_scope asked[] = { { .service = "app", .environment = "prod" } };
    struct join_request join = { .server_id = 1, .scope_count = 1, .scopes = asked };
    struct roster_server *server = roster_server(edges.roster, 0);

    leading_roster(leading, &s);
    server->unsaved_joins = 2;
    leading_joined(leading, &join);
    ck_assert_uint_eq(server->scope_count, 0);
    asked[0].is_recorded = true;
    leading_joined(leading, &join);
    ck_assert_uint_eq(server->scope_count, 1);
    ck_assert_uint_eq(server->unsaved_joins, 0);
}
