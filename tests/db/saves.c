/* saves.c - every save of the core, and every compare-and-set that must refuse one. */
#include "coordinator/store/leader/save.h"

#include <stdlib.h>
#include <string.h>

#include "common/bitset.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static int64_t scope_id, other_id, rollout_id;
static struct fence fence = { .gen = 1, .epoch = 1 };
static struct writer_result result;
static struct err err;

static void set_up(void)
{
    pg = kit_open(kit_database());
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 3);
    other_id = kit_scope(pg, "search", 1);
    kit_servers(pg, scope_id, 4);
    kit_sql(pg, "UPDATE scope SET released = 2, settled = 2 WHERE scope_id = %lld",
            (long long)scope_id);
    rollout_id = kit_rollout(pg, (int64_t[]){ scope_id, other_id }, 2, 2);
}

static void tear_down(void)
{
    free(result.body);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* Writes with the sets given; the result lies in `result`. */
static int write_with(struct save save, const int64_t *cohort, size_t cohort_count,
                      const int64_t *silent, size_t silent_count)
{
    struct save_request q = { .save = save, .cohort_count = cohort_count,
                              .silent_count = silent_count };

    q.cohort = (int64_t *)(uintptr_t)cohort;
    q.silent = (int64_t *)(uintptr_t)silent;
    q.save.rollout = (uint64_t)rollout_id;
    q.save.because = "because of the test";
    free(result.body);
    result = (struct writer_result){ 0 };
    return save_write(pg, &fence, &q, false, &result, &(bool){ 0 }, &err);
}

static int write_save(struct save save)
{
    return write_with(save, NULL, 0, NULL, 0);
}

static void must_write(struct save save)
{
    ck_assert_msg(write_save(save) == 0, "%s", err.text);
}

static void must_refuse(struct save save)
{
    int64_t audit = kit_int(pg, "SELECT number FROM audit_head");

    ck_assert_int_eq(write_save(save), -1);
    ck_assert_msg(err.kind == ERR_CONFLICT, "%s", err.text);
    ck_assert_int_eq(kit_int(pg, "SELECT number FROM audit_head"), audit);
}

#define ATTEMPT(s, n, f)                                                                           \
    ((struct save){ .kind = SAVE_ATTEMPT, .from = (f), .to = PHASE_PREPARING, .stage = (s),        \
                    .attempt = (n) })
#define ACTIVATE(s, n, ready, failed)                                                              \
    ((struct save){ .kind = SAVE_DECISION, .from = PHASE_PREPARING, .to = PHASE_ACTIVATING,        \
                    .decision = DECISION_ACTIVATE, .stage = (s), .attempt = (n),                   \
                    .number = number, .ready_min = (ready), .failed_max = (failed) })
#define DECIDE(what, f, t)                                                                         \
    ((struct save){ .kind = SAVE_DECISION, .from = (f), .to = (t), .decision = (what) })
#define MOVE_TO(f, t, s) ((struct save){ .kind = SAVE_MOVE, .from = (f), .to = (t), .stage = (s) })
#define PAUSE(f, b) ((struct save){ .kind = SAVE_PAUSE, .from = (f), .to = (f), .is_paused = (b) })
#define END(f, t) ((struct save){ .kind = SAVE_END, .from = (f), .to = (t) })
#define FINALIZE(f) DECIDE(DECISION_FINALIZE, f, PHASE_FINALIZING)
#define ROLLBACK(f) DECIDE(DECISION_ROLLBACK, f, PHASE_ROLLING_BACK)

static uint64_t number; /* of the newest attempt */

static void open_first(void)
{
    const int64_t cohort[] = { 1, 2 };

    ck_assert_msg(write_with(ATTEMPT(0, 1, PHASE_PREPARING), cohort, 2, NULL, 0) == 0, "%s",
                  err.text);
    number = result.number;
}

static void members(const char *change, const char *which)
{
    kit_sql(pg, "UPDATE member SET %s WHERE rollout_id = %lld AND server_id IN (%s)", change,
            (long long)rollout_id, which);
}

static void activate_first(void)
{
    open_first();
    members("state = 'ready'", "1, 2");
    must_write(ACTIVATE(0, 1, 2, 0));
}

static void bake_first(void)
{
    activate_first();
    members("state = 'applied'", "1, 2");
    must_write(MOVE_TO(PHASE_ACTIVATING, PHASE_BAKING, 0));
}

static const char *column(const char *name)
{
    return kit_text(pg, "SELECT %s FROM rollout WHERE rollout_id = %lld", name,
                    (long long)rollout_id);
}

/* ---------------------------------------------------------------- C1 */

TEST(the_first_attempt_fixes_the_base)
{
    open_first();
    ck_assert_uint_gt(number, 0);
    ck_assert_uint_eq(result.change_count, 2);
    ck_assert_int_eq(result.changes[0].scope_id, scope_id);
    ck_assert_uint_eq(result.changes[0].from_revision, 2);
    ck_assert_uint_eq(result.changes[0].to_revision, 3);
    ck_assert(!hash_is_zero(&result.changes[0].from_hash));
    ck_assert_uint_gt(result.changes[0].from_size, 0);
    ck_assert_uint_eq(result.changes[1].from_revision, 0);
    ck_assert(hash_is_zero(&result.changes[1].from_hash));
    ck_assert_uint_eq(result.changes[1].from_size, 0);
    ck_assert_uint_gt(result.changes[1].to_size, 0);
    ck_assert_str_eq(column("phase"), "preparing");
    ck_assert_str_eq(column("is_opened AND started_at IS NOT NULL"), "t");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member WHERE state = 'pending'"), 2);
    ck_assert_str_eq(kit_text(pg, "SELECT action || ' ' || (data ->> 'members') FROM audit"),
                     "rollout.attempt 2");
}

TEST(an_attempt_is_opened_once)
{
    open_first();
    members("state = 'failed'", "1");
    must_refuse(ATTEMPT(0, 1, PHASE_PREPARING));
    must_refuse(ATTEMPT(1, 1, PHASE_PREPARING));
    must_refuse(ATTEMPT(0, 3, PHASE_PREPARING));
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM attempt"), 1);
}

TEST(no_attempt_while_paused)
{
    must_write(PAUSE(PHASE_PREPARING, true));
    must_refuse(ATTEMPT(0, 1, PHASE_PREPARING));
    must_write(PAUSE(PHASE_PREPARING, false));
    open_first();
}

TEST(the_next_stage_needs_the_one_before)
{
    const int64_t rest[] = { 3, 4 };
    struct save deserted = ATTEMPT(1, 1, PHASE_BAKING);

    activate_first();
    must_refuse(ATTEMPT(1, 1, PHASE_ACTIVATING)); /* not baking */
    must_write(MOVE_TO(PHASE_ACTIVATING, PHASE_BAKING, 0));
    members("state = 'failed'", "1");
    deserted.failed_max = 1;
    must_refuse(deserted); /* within the budget, and nobody applied */
    members("state = 'pending', outcome_rank = 2 * attempt_number + 1", "1");
    must_refuse(deserted); /* it was asked again, and is gone by now */
    members("state = 'applied'", "1");
    members("state = 'failed'", "2");
    must_refuse(ATTEMPT(1, 1, PHASE_BAKING)); /* one failed, none may */
    members("state = 'ready', detail = 'silent'", "2");
    must_refuse(ATTEMPT(1, 1, PHASE_BAKING)); /* silence counts */
    members("state = 'applied', detail = ''", "2");
    must_refuse(ATTEMPT(0, 1, PHASE_BAKING));
    ck_assert_msg(write_with(ATTEMPT(1, 1, PHASE_BAKING), rest, 2, NULL, 0) == 0, "%s", err.text);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member WHERE stage = 1"), 2);
}

/* Its members are gone or away, and none of them said anything. */
TEST(a_stage_with_nobody_there_is_passed_over)
{
    const int64_t rest[] = { 3, 4 };

    open_first();
    must_refuse(ATTEMPT(0, 1, PHASE_PREPARING)); /* the same stage again */
    members("state = 'failed'", "2");
    must_refuse(ATTEMPT(1, 1, PHASE_PREPARING)); /* one was there, and said no */
    members("state = 'pending', outcome_rank = 2 * attempt_number + 1", "2");
    must_refuse(ATTEMPT(1, 1, PHASE_PREPARING)); /* it was asked again, and is gone by now */
    must_refuse(FINALIZE(PHASE_PREPARING));
    members("state = 'ready', outcome_rank = 0", "2"); /* and lost its disk since */
    ck_assert_msg(write_with(ATTEMPT(1, 1, PHASE_PREPARING), rest, 2, NULL, 0) == 0, "%s",
                  err.text);
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(coalesce(outcome, '-'), ' ' ORDER BY number)"
                                  " FROM attempt"), "abort -");
    must_write(FINALIZE(PHASE_PREPARING)); /* nor is anybody of the last one */
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM attempt WHERE outcome = 'abort'"), 2);
}

TEST(an_undecided_stage_is_no_stage_before)
{
    open_first();
    members("state = 'applied'", "1, 2");
    kit_sql(pg, "UPDATE rollout SET phase = 'baking'");
    must_refuse(ATTEMPT(1, 1, PHASE_BAKING));
}

TEST(a_retry_asks_the_failed_again)
{
    const int64_t both[] = { 1, 2 };
    uint64_t first;

    activate_first();
    first = number;
    members("state = 'applied'", "1");
    members("state = 'failed', detail = 'activating', reason = 'x', ready_at = now()", "2");
    ck_assert_msg(write_with(ATTEMPT(0, 2, PHASE_ACTIVATING), both, 2, NULL, 0) == 0, "%s",
                  err.text);
    number = result.number;
    ck_assert_uint_gt(number, first);
    ck_assert_str_eq(kit_text(pg, "SELECT state || detail || reason FROM member WHERE server_id=2"),
                     "pending");
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM member WHERE server_id = 1"), "applied");
    members("state = 'ready'", "2");
    must_refuse(ACTIVATE(0, 1, 1, 0)); /* the attempt before is decided and over */
    must_write(ACTIVATE(0, 2, 1, 0));
}

TEST(eventual_decides_with_the_attempt)
{
    const int64_t cohort[] = { 1, 2, 3 };
    struct save save = ATTEMPT(0, 1, PHASE_PREPARING);
    struct wire_decision body;

    save.is_eventual = true;
    save.to = PHASE_ACTIVATING;
    ck_assert_msg(write_with(save, cohort, 3, NULL, 0) == 0, "%s", err.text);
    ck_assert_uint_gt(result.dseq, result.number);
    ck_assert_int_eq(wire_decode_decision(result.body, result.body_size, &body, &err), 0);
    ck_assert_uint_eq(body.attempt, result.number);
    ck_assert_str_eq(column("phase"), "activating");
    ck_assert_str_eq(kit_text(pg, "SELECT outcome FROM attempt"), "activate");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit"), 1);
}

/* ---------------------------------------------------------------- C3 */

TEST(activate_stores_the_bytes_it_returns)
{
    struct wire_decision body;

    activate_first();
    ck_assert_int_eq(wire_decode_decision(result.body, result.body_size, &body, &err), 0);
    ck_assert(body.type == WIRE_ACTIVATE && body.dseq == result.dseq && body.gen == 1);
    ck_assert_uint_eq(body.scope_count, 2);
    ck_assert(wire_text_is(body.scopes[0].service, "payments"));
    ck_assert_uint_eq(body.scopes[0].revision, 3);
    ck_assert(hash_equal(&body.scopes[0].hash, &result.changes[0].to_hash));
    ck_assert_int_eq(kit_int(pg, "SELECT length(body) FROM decision"), (int64_t)result.body_size);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM decision_scope WHERE revision IN (1, 3)"),
                     2);
}

TEST(activate_is_judged_again)
{
    open_first();
    must_refuse(ACTIVATE(0, 1, 0, 9)); /* nobody is ready, whatever was asked for */
    members("state = 'ready'", "1");
    must_refuse(ACTIVATE(0, 1, 2, 0));
    members("state = 'failed'", "2");
    must_refuse(ACTIVATE(0, 1, 1, 0));
    must_refuse(ACTIVATE(1, 1, 1, 1));
    must_refuse(ACTIVATE(0, 2, 1, 1));
    must_write(PAUSE(PHASE_PREPARING, true));
    must_refuse(ACTIVATE(0, 1, 1, 1));
    must_write(PAUSE(PHASE_PREPARING, false));
    must_write(ACTIVATE(0, 1, 1, 1));
    must_refuse(ACTIVATE(0, 1, 1, 1)); /* S1 */
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM decision"), 1);
}

TEST(what_is_aborted_is_never_activated)
{
    open_first();
    members("state = 'ready'", "1, 2");
    kit_sql(pg, "UPDATE attempt SET outcome = 'abort'"); /* and the row still says preparing */
    must_refuse(ACTIVATE(0, 1, 2, 0));
    ck_assert_str_eq(kit_text(pg, "SELECT outcome FROM attempt"), "abort");
}

TEST(silent_members_are_marked_and_counted)
{
    const int64_t silent[] = { 2 };

    open_first();
    members("state = 'ready'", "1");
    ck_assert_int_eq(write_with(ACTIVATE(0, 1, 1, 0), NULL, 0, silent, 1), -1);
    ck_assert_int_eq(write_with(ACTIVATE(0, 1, 1, 1), NULL, 0, silent, 1), 0);
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || detail FROM member WHERE server_id = 2"),
                     "pending silent");
    ck_assert_ptr_nonnull(strstr(kit_text(pg, "SELECT reason FROM member WHERE server_id = 2"),
                                 "no answer within"));
}

TEST(unfit_members_are_remembered)
{
    int64_t cohort[] = { 1, 2 }, unfit[] = { 2 };
    struct save_request q = { .save = { .kind = SAVE_ATTEMPT, .rollout = (uint64_t)rollout_id,
                                        .from = PHASE_PREPARING, .to = PHASE_PREPARING,
                                        .attempt = 1, .because = "because of the test" },
                              .cohort = cohort, .cohort_count = 2,
                              .unfit = unfit, .unfit_count = 1 };

    ck_assert_msg(save_write(pg, &fence, &q, false, &result, &(bool){ 0 }, &err) == 0, "%s",
                  err.text);
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(server_id::text, ',') FROM member"
                                  " WHERE is_unfit"), "2");
}

TEST(rollback_needs_an_activation_and_ignores_pauses)
{
    struct wire_decision body;

    open_first();
    must_refuse(ROLLBACK(PHASE_PREPARING));
    members("state = 'ready'", "1, 2");
    must_write(ACTIVATE(0, 1, 2, 0));
    must_write(PAUSE(PHASE_ACTIVATING, true));
    must_refuse(ROLLBACK(PHASE_BAKING)); /* it is not baking */
    must_write(ROLLBACK(PHASE_ACTIVATING));
    ck_assert_int_eq(wire_decode_decision(result.body, result.body_size, &body, &err), 0);
    ck_assert(body.type == WIRE_ROLLBACK && body.attempt == 0);
    ck_assert_uint_eq(body.scopes[0].revision, 2);
    ck_assert(hash_is_zero(&body.scopes[1].hash));
    ck_assert_str_eq(column("state || ' ' || phase"), "rolling_back rolling_back");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM decision_scope WHERE hash IS NULL"), 1);
    must_refuse(ROLLBACK(PHASE_ROLLING_BACK));
    kit_sql(pg, "UPDATE rollout SET reason = 'paused meanwhile'");
    must_write(END(PHASE_ROLLING_BACK, PHASE_ROLLED_BACK));
    ck_assert_str_eq(column("reason"), "because of the test; why: because of the test");
}

TEST(rollback_closes_the_undecided_attempt)
{
    const int64_t failed[] = { 2 };

    activate_first();
    members("state = 'failed'", "2");
    ck_assert_int_eq(write_with(ATTEMPT(0, 2, PHASE_ACTIVATING), failed, 1, NULL, 0), 0);
    must_refuse(MOVE_TO(PHASE_PREPARING, PHASE_ABORTING, 0)); /* something was activated */
    must_write(ROLLBACK(PHASE_PREPARING));
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(outcome, ' ' ORDER BY number) FROM attempt"),
                     "activate abort");
}

/* Where a write is released by itself, readers are ahead of servers: they are not taken back. */
TEST(finalize_settles_what_readers_have_left_behind)
{
    kit_sql(pg, "INSERT INTO revision (scope_id, revision, created_by) VALUES (%lld, 4, 'tests')",
            (long long)scope_id);
    kit_sql(pg, "UPDATE scope SET head = 4, released = 4 WHERE scope_id = %lld",
            (long long)scope_id);
    bake_first();
    members("state = 'applied'", "2");
    must_write(FINALIZE(PHASE_BAKING));
    ck_assert_str_eq(kit_text(pg, "SELECT settled || ' ' || released FROM scope"
                                  " WHERE scope_id = %lld", (long long)scope_id), "3 4");
    ck_assert_int_eq(kit_int(pg, "SELECT count(released_at) FROM revision WHERE scope_id = %lld"
                                 " AND revision = 3", (long long)scope_id), 1);
}

TEST(finalize_releases)
{
    bake_first();
    must_write(PAUSE(PHASE_BAKING, true));
    must_refuse(FINALIZE(PHASE_BAKING));
    must_write(PAUSE(PHASE_BAKING, false));
    members("state = 'failed'", "2");
    must_refuse(FINALIZE(PHASE_BAKING));
    members("state = 'applied'", "2");
    must_write(FINALIZE(PHASE_BAKING));
    ck_assert_int_eq(kit_int(pg, "SELECT released FROM scope WHERE scope_id = %lld",
                             (long long)scope_id), 3);
    ck_assert_int_eq(kit_int(pg, "SELECT released_dseq FROM scope WHERE scope_id = %lld",
                             (long long)other_id), (int64_t)result.dseq);
    must_refuse(FINALIZE(PHASE_FINALIZING));
    must_refuse(ROLLBACK(PHASE_FINALIZING));
    must_write(END(PHASE_FINALIZING, PHASE_COMPLETED));
    ck_assert_str_eq(column("state || ' ' || phase || ' ' || (finished_at IS NOT NULL)"),
                     "completed completed true");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM rollout_change WHERE is_open"), 0);
}

TEST(a_scope_without_servers_completes_at_once)
{
    must_write(FINALIZE(PHASE_PREPARING));
    ck_assert_int_eq(kit_int(pg, "SELECT from_revision FROM rollout_change WHERE scope_id = %lld",
                             (long long)scope_id), 2);
    must_write(END(PHASE_FINALIZING, PHASE_COMPLETED));
}

TEST(with_members_nothing_completes_at_once)
{
    open_first();
    members("state = 'failed'", "1");
    must_refuse(FINALIZE(PHASE_PREPARING));
}

/* ---------------------------------------------------------------- moves, pauses, the end */

TEST(abort_before_any_activation)
{
    open_first();
    must_write(MOVE_TO(PHASE_PREPARING, PHASE_ABORTING, 0));
    ck_assert_str_eq(kit_text(pg, "SELECT outcome FROM attempt"), "abort");
    must_refuse(MOVE_TO(PHASE_PREPARING, PHASE_ABORTING, 0));
    must_refuse(ACTIVATE(0, 1, 1, 0));
    members("detail = 'aborted'", "1");
    must_write(END(PHASE_ABORTING, PHASE_ABORTED));
    ck_assert_str_eq(kit_text(pg, "SELECT string_agg(detail, ' ' ORDER BY server_id) FROM member"),
                     "aborted skipped");
    ck_assert_str_eq(kit_text(pg, "SELECT reason FROM member WHERE detail = 'skipped'"),
                     "unreachable, did not get ready before the rollout ended:"
                     " it keeps what it runs");
    must_refuse(END(PHASE_ABORTING, PHASE_ABORTED));
}

TEST(no_abort_after_an_activation)
{
    activate_first();
    must_refuse(MOVE_TO(PHASE_PREPARING, PHASE_ABORTING, 0));
    kit_sql(pg, "UPDATE rollout SET phase = 'preparing'");
    must_refuse(MOVE_TO(PHASE_PREPARING, PHASE_ABORTING, 0));
}

TEST(an_unopened_rollout_ends_at_once)
{
    must_write(END(PHASE_PREPARING, PHASE_ABORTED));
    ck_assert_str_eq(column("state"), "aborted");
}

TEST(an_opened_rollout_does_not_end_in_preparing)
{
    open_first();
    must_refuse(END(PHASE_PREPARING, PHASE_ABORTED));
}

TEST(resuming_forgives_silence)
{
    open_first();
    members("detail = 'silent', reason = 'no answer'", "2");
    must_write(PAUSE(PHASE_PREPARING, true));
    ck_assert_str_eq(kit_text(pg, "SELECT detail FROM member WHERE server_id = 2"), "silent");
    must_write(PAUSE(PHASE_PREPARING, false));
    ck_assert_str_eq(kit_text(pg, "SELECT detail FROM member WHERE server_id = 2"), "");
}

/* ---------------------------------------------------------------- fence and compare-and-set */

TEST(the_fence_alone_stops_an_old_leader)
{
    kit_lead(pg, 2);
    ck_assert_int_eq(write_save(ATTEMPT(0, 1, PHASE_PREPARING)), -1);
    ck_assert_int_eq(err.kind, ERR_FENCED);
    ck_assert_str_eq(column("is_opened"), "f");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit"), 0);
}

TEST(the_compare_and_set_alone_stops_an_old_leader)
{
    uint64_t old;

    open_first();
    old = number;
    members("state = 'ready'", "1, 2");
    must_write(MOVE_TO(PHASE_PREPARING, PHASE_ABORTING, 0)); /* the new leader's */
    kit_lead(pg, 2);
    fence.is_off = true;
    number = old;
    must_refuse(ACTIVATE(0, 1, 2, 0));
    fence.is_off = false;
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM decision"), 0);
}

TEST(without_both_an_old_leader_would_get_through)
{
    open_first();
    members("state = 'ready'", "1, 2");
    kit_lead(pg, 2);
    fence.is_off = true; /* and the row is as the old leader expects */
    must_write(ACTIVATE(0, 1, 2, 0));
    fence.is_off = false;
}

TEST(one_open_rollout_per_scope)
{
    kit_sql(pg, "INSERT INTO rollout (public_id, stage_count, salt, strategy, created_by)"
                " VALUES ('second', 1, 's', '{}', 'kit')");
    ck_assert_int_eq(pg_exec(pg, "INSERT INTO rollout_change (rollout_id, scope_id, from_revision,"
                                 " to_revision, is_open) SELECT rollout_id, scope_id, 0, 1, true"
                                 " FROM rollout, scope WHERE public_id = 'second'", &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFLICT);
    ck_assert_str_eq(pg_constraint(pg), "rollout_change_one_open");
}
