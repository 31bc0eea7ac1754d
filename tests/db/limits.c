/* limits.c - limits hold when two reach for the last place at the same time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/access/subscriptions.h"
#include "coordinator/store/config/scopes.h"
#include "coordinator/store/leader/memberships.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *first, *second;
static int64_t scope_id;
static struct err err;

/* Whoever waits for the other one gives up soon, and may try again. */
static void set_up(void)
{
    const char *database = kit_database();

    first = kit_open(database);
    second = kit_open(database);
    kit_sql(second, "SET lock_timeout = '100ms'");
    scope_id = kit_scope(first, "payments", 1);
    kit_servers(first, scope_id, 2);
}

static void tear_down(void)
{
    pg_close(first);
    pg_close(second);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static int make_scope(struct pg *pg, const char *service)
{
    struct scope scope;

    return scopes_lock(pg, service, "prod", true, &scope, &err);
}

static void leave_one_place(void)
{
    scopes_set_limit(kit_int(first, "SELECT count(*) FROM scope") + 1);
}

TEST(the_last_scope_is_made_once)
{
    leave_one_place();
    kit_sql(first, "BEGIN");
    ck_assert_int_eq(make_scope(first, "one"), 0);
    kit_sql(second, "BEGIN");
    ck_assert_int_eq(make_scope(second, "two"), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE); /* it would wait */
    kit_sql(second, "ROLLBACK");
    kit_sql(first, "COMMIT");
    ck_assert_int_eq(make_scope(second, "two"), -1);
    ck_assert_str_eq(err_problem_code(&err), "limit_reached");
    ck_assert_int_eq(make_scope(second, "one"), 0);
}

/* Of the newest join: is the new scope a membership, and the one that was there? */
static bool is_recorded[2];

static size_t join(struct pg *pg, const char *service)
{
    struct join_scope scopes[2] = { { .environment = "prod" },
                                    { .service = "payments", .environment = "prod" } };
    struct join_request request = { .server_id = 1, .scope_count = 2, .scopes = scopes };
    struct join_request *list[] = { &request };
    struct memberships_summary summary;

    snprintf(scopes[0].service, NAME_BUFFER, "%s", service);
    ck_assert_msg(memberships_write(pg, list, 1, &summary, &err) == 0, "%s", err.text);
    for (size_t i = 0; i < 2; i++)
        is_recorded[i] = scopes[i].is_recorded;
    return summary.joined_count;
}

/* What servers say waits for nobody: a new scope is left out meanwhile, and joined later. */
TEST(a_server_does_not_make_one_scope_too_many)
{
    leave_one_place();
    kit_sql(first, "DELETE FROM server_scope");
    kit_sql(first, "BEGIN");
    ck_assert_int_eq(make_scope(first, "one"), 0);
    kit_sql(second, "BEGIN");
    ck_assert_uint_eq(join(second, "two"), 1); /* payments */
    ck_assert(!is_recorded[0] && is_recorded[1]);
    kit_sql(second, "COMMIT");
    kit_sql(first, "COMMIT");
    ck_assert_uint_eq(join(second, "two"), 0);
    ck_assert(!is_recorded[0] && is_recorded[1]); /* it was there before */
    ck_assert_uint_eq(join(second, "one"), 1);
    ck_assert(is_recorded[0] && is_recorded[1]);
    ck_assert_int_eq(kit_int(first, "SELECT count(*) FROM scope"), 2);
    leave_one_place();
    ck_assert_uint_eq(join(second, "two"), 1);
}

/* The other way round it is the server that holds the place. */
TEST(a_write_waits_for_the_scope_that_a_server_makes)
{
    leave_one_place();
    kit_sql(first, "BEGIN");
    ck_assert_uint_eq(join(first, "one"), 1);
    kit_sql(second, "BEGIN");
    ck_assert_int_eq(make_scope(second, "two"), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    kit_sql(second, "ROLLBACK");
    kit_sql(first, "COMMIT");
    ck_assert_int_eq(make_scope(second, "two"), -1);
    ck_assert_str_eq(err_problem_code(&err), "limit_reached");
}

static int subscribe(struct pg *pg, const char *owner)
{
    static const char *const keys[] = { "*" };
    const struct subscription_new s = { .scope_id = scope_id,
                                        .keys = keys,
                                        .key_count = 1,
                                        .url = "https://example.com/hook",
                                        .created_by = owner };
    char id[SUBSCRIPTION_ID_SIZE], secret[SUBSCRIPTION_SECRET_SIZE];

    return subscriptions_create(pg, &s, id, secret, &err);
}

TEST(the_last_subscription_is_made_once)
{
    for (int i = 1; i < SUBSCRIPTIONS_OF_OWNER_MAX; i++)
        ck_assert_int_eq(subscribe(first, "maria"), 0);
    kit_sql(first, "BEGIN");
    ck_assert_int_eq(subscribe(first, "maria"), 0);
    kit_sql(second, "BEGIN");
    ck_assert_int_eq(subscribe(second, "maria"), -1);
    ck_assert_int_eq(err.kind, ERR_UNAVAILABLE);
    kit_sql(second, "ROLLBACK");
    ck_assert_int_eq(subscribe(second, "paul"), 0); /* another owner does not wait */
    kit_sql(first, "COMMIT");
    ck_assert_int_eq(subscribe(second, "maria"), -1);
    ck_assert_str_eq(err_problem_code(&err), "limit_reached");
}
