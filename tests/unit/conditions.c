/* conditions.c - how much of drift and failing checks is written down of one server, and of all. */
#include "coordinator/link/conditions.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "tests/test.h"

#define SERVERS 12
#define OF_ONE_MAX 16
#define OF_ONE_EVERY_MS 10000
#define TELLINGS_MAX 100

static struct edges edges;
static struct conditions conditions;
static char labels[] = "{}", globs[] = "app/*", version[] = "";

/* No leadership is opened at the writer: what it is handed is dropped. */
static void set_up(void)
{
    struct server_row servers[SERVERS];
    struct scope_row scope = { .scope_id = 1, .service = "app", .environment = "prod" };
    struct membership_row members[SERVERS];
    const struct snapshot s = { .servers = servers, .server_count = SERVERS, .scopes = &scope,
                                .scope_count = 1, .memberships = members,
                                .membership_count = SERVERS };

    memset(members, 0, sizeof(members));
    for (int i = 0; i < SERVERS; i++) {
        servers[i] = (struct server_row){ .server_id = i + 1, .labels = labels, .scopes = globs,
                                          .agent_version = version };
        snprintf(servers[i].name, sizeof(servers[i].name), "server-%d", i + 1);
        memset(servers[i].public_key, 'a' + i, 40);
        members[i].server_id = i + 1;
        members[i].scope_id = 1;
    }
    edges = (struct edges){ .roster = roster_new(SERVERS, 4),
                            .writer = writer_start("host=/nowhere", NULL) };
    ck_assert(roster_update(edges.roster, &s, NULL));
    conditions = (struct conditions){ .edges = &edges };
    conditions.tellings.since_ms = clock_monotonic_ms() + 3600000; /* one second, however long */
}

static void tear_down(void)
{
    writer_stop(edges.writer);
    roster_free(edges.roster);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* Was it written down? */
static bool tell(uint32_t server, const char *check, uint64_t sequence, bool is_failing)
{
    struct roster_server *s = roster_server(edges.roster, server);
    enum condition_kind kind =
        strcmp(check, WIRE_CHECK_DRIFT) == 0 ? CONDITION_DRIFT : CONDITION_CHECK;
    const struct wire_check said = { .name = wire_text_of(check),
                                     .service = wire_text_of("app"),
                                     .environment = wire_text_of("prod"),
                                     .detail = wire_text_of("differs"),
                                     .sequence = sequence,
                                     .is_failing = is_failing };
    uint64_t before = roster_said(s, kind, 0);

    conditions_hear(&conditions, s, &said);
    ck_assert(roster_said(s, kind, 0) == before || roster_is_bad(s, kind, 0) == is_failing);
    return roster_said(s, kind, 0) != before;
}

static unsigned flood(uint32_t server, const char *check)
{
    unsigned written = 0;

    for (uint64_t i = 1; i <= 1000; i++)
        written += tell(server, check, i, i & 1);
    return written;
}

TEST(one_server_uses_up_its_own_allowance)
{
    ck_assert_uint_eq(flood(0, WIRE_CHECK_DRIFT), OF_ONE_MAX);
    ck_assert(!tell(0, "check", 5000, true)); /* one allowance for all that it tells */
    ck_assert_uint_eq(flood(1, WIRE_CHECK_DRIFT), OF_ONE_MAX);
}

TEST(it_comes_back_with_time)
{
    struct roster_server *s = roster_server(edges.roster, 0);

    flood(0, WIRE_CHECK_DRIFT);
    s->told_ms -= OF_ONE_EVERY_MS; /* as if so much time had passed */
    ck_assert(tell(0, WIRE_CHECK_DRIFT, 5001, true));
    ck_assert(!tell(0, WIRE_CHECK_DRIFT, 5002, false));
    s->told_ms -= 1000 * OF_ONE_EVERY_MS; /* what was not used for long does not add up */
    ck_assert_uint_eq(flood(0, WIRE_CHECK_DRIFT), OF_ONE_MAX);
}

TEST(all_together_have_one)
{
    unsigned written = 0;

    for (uint32_t i = 0; i < SERVERS; i++)
        written += flood(i, "check");
    ck_assert_uint_eq(written, TELLINGS_MAX);
    conditions.tellings.since_ms = 0; /* a second later */
    roster_server(edges.roster, SERVERS - 1)->told_ms = 0;
    ck_assert(tell(SERVERS - 1, "check", 5000, true));
}

TEST(said_again_costs_nothing)
{
    struct roster_server *s = roster_server(edges.roster, 0);
    int64_t told_ms;

    ck_assert(tell(0, WIRE_CHECK_DRIFT, 1, true));
    told_ms = s->told_ms;
    for (int i = 0; i < 100; i++)
        ck_assert(!tell(0, WIRE_CHECK_DRIFT, 1, true));
    ck_assert_int_eq(s->told_ms, told_ms);
}
