/* due.c - what is released by itself: to readers at the write, and tried again until servers have it. */
#include "coordinator/store/config/auto_release.h"

#include <stdlib.h>

#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static int64_t scope_id, rollout_id;
static struct scope scope;
static struct err err;

static void read_scope(void)
{
    ck_assert_msg(scopes_find(pg, "payments", "staging", &scope, &err) == 0, "%s", err.text);
}

/* Revision 1 is settled; 2 and 3 are writes, released as they were made. One server. */
static void set_up(void)
{
    pg = kit_open(kit_database());
    scope_id = kit_scope(pg, "payments", 3);
    kit_servers(pg, scope_id, 1);
    kit_sql(pg, "UPDATE scope SET environment = 'staging', released = 1, settled = 1");
    kit_sql(pg, "SELECT scope_release(%lld, 3)", (long long)scope_id);
    read_scope();
    ck_assert(scope.released == 3 && scope.settled == 1);
}

static void tear_down(void)
{
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static bool is_due(void)
{
    bool is = false;

    ck_assert_msg(auto_release_is(pg, &scope, &is, &err) == 0, "%s", err.text);
    return is;
}

static int64_t taken_back(void)
{
    struct auto_release_back back;

    ck_assert_msg(auto_release_find_back(pg, &scope, &back, &err) == 0, "%s", err.text);
    return back.rollout_id;
}

/* A rollout of the head with its one member as `member` says, that ends so. */
static void roll(const char *member, const char *state)
{
    rollout_id = kit_rollout(pg, &scope_id, 1, 1);
    kit_sql(pg, "INSERT INTO member (rollout_id, server_id, stage, attempt_number)"
                " VALUES (%lld, 1, 0, 0)", (long long)rollout_id);
    kit_sql(pg, "UPDATE member SET %s WHERE rollout_id = %lld", member, (long long)rollout_id);
    kit_sql(pg, "UPDATE rollout SET state = '%s', phase = '%s', finished_at = now()"
                " WHERE rollout_id = %lld", state, state, (long long)rollout_id);
    kit_sql(pg, "UPDATE rollout_change SET is_open = false");
}

static void after(const char *span)
{
    kit_sql(pg, "UPDATE rollout SET finished_at = finished_at - interval '%s'", span);
}

static void seen(const char *ago)
{
    kit_sql(pg, "UPDATE server SET last_seen = now() - interval '%s'", ago);
}

TEST(a_head_that_nobody_tried_is_due)
{
    ck_assert(is_due());
    roll("state = 'applied'", "completed");
    ck_assert(!is_due());
    ck_assert_int_eq(taken_back(), 0);
}

TEST(an_open_rollout_holds_it)
{
    kit_rollout(pg, &scope_id, 1, 1);
    ck_assert(!is_due());
}

/* Its release stays, and it is tried again when somebody came and the pause is over. */
TEST(nobody_was_there, .to = 2)
{
    static const char *const silent = "detail = 'silent', reason = 'no answer within 30s'";

    seen("1 hour");
    roll(silent, _i ? "aborted" : "rolled_back");
    ck_assert_int_eq(taken_back(), 0);
    ck_assert(!is_due());
    after("30 seconds");
    ck_assert(!is_due());
    seen("1 second");
    ck_assert(is_due());
    after("30 minutes");
    roll(silent, "rolled_back");
    after("30 seconds");
    seen("1 second");
    ck_assert_msg(!is_due(), "pauses do not grow");
    after("11 seconds");
    ck_assert(is_due());
}

/* What a server says of the way back, when it is there again, is no verdict on the change. */
TEST(a_late_way_back_is_no_failure)
{
    roll("detail = 'silent'", "rolled_back");
    kit_sql(pg, "UPDATE member SET state = 'rolled_back', reason = 'late'");
    ck_assert_int_eq(taken_back(), 0);
}

TEST(what_failed_is_taken_back, .to = 4)
{
    static const char *const found_wanting[] = {
        "state = 'failed'",
        "state = 'rolled_back', reason = 'check ended with 1'",
        "state = 'rolled_back', applied_at = now()",
        "state = 'applied'",
    };

    roll(found_wanting[_i], _i % 2 ? "rolled_back" : "aborted");
    ck_assert_int_eq(taken_back(), rollout_id);
    ck_assert(is_due());
    read_scope();
    ck_assert_int_eq(auto_release_note_back(pg, &scope, rollout_id, &err), 0);
    ck_assert_int_eq(taken_back(), 0);
    after("1 day");
    seen("1 second");
    ck_assert_msg(!is_due(), "it is tried again");
}

/* Silence after READY and ACTIVATE may be what the change made of the server. */
TEST(who_fell_silent_with_it_tried_it)
{
    kit_sql(pg, "INSERT INTO attempt (number, rollout_id, stage, attempt, epoch, outcome)"
                " SELECT 9, %lld, 0, 1, 1, 'activate'",
            (long long)kit_rollout(pg, &scope_id, 1, 1));
    kit_sql(pg, "DELETE FROM rollout_change");
    roll("ready_at = now(), detail = 'silent', attempt_number = 9", "rolled_back");
    ck_assert_int_eq(taken_back(), rollout_id);
}

TEST(what_a_person_took_back_is_taken_back)
{
    rollout_id = kit_rollout(pg, &scope_id, 1, 1);
    kit_sql(pg, "INSERT INTO command (rollout_id, action, actor, state)"
                " VALUES (%lld, 'rollback', 'me', 'done')", (long long)rollout_id);
    kit_sql(pg, "UPDATE rollout SET state = 'rolled_back', finished_at = now()");
    kit_sql(pg, "UPDATE rollout_change SET is_open = false");
    ck_assert_int_eq(taken_back(), rollout_id);
}

/* Readers have it, so it is taken from them, whatever the policy is by now; drafts stay drafts. */
TEST(manual_environments_take_back_what_readers_have)
{
    kit_sql(pg, "UPDATE environment SET policy = 'manual' WHERE name = 'staging'");
    ck_assert(!is_due());
    roll("state = 'failed'", "rolled_back");
    ck_assert_int_eq(taken_back(), rollout_id);
    kit_sql(pg, "UPDATE scope SET released = 1");
    ck_assert_int_eq(taken_back(), 0);
    ck_assert(!is_due());
}

TEST(what_readers_get_only_grows)
{
    kit_sql(pg, "SELECT scope_release(%lld, 2)", (long long)scope_id);
    read_scope();
    ck_assert_uint_eq(scope.released, 3);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM revision WHERE released_at IS NOT NULL"), 2);
}
