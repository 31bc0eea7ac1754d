/* writer.c - the writer's thread: order, gathering, failing once, a new leadership, audit order. */
#include "coordinator/store/leader/writer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "coordinator/store/leader/fence.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static const char *conninfo;
static struct pg *pg;
static int64_t scope_id, rollout_id;
static struct writer *writer;

static void set_up(void)
{
    conninfo = kit_database();
    pg = kit_open(conninfo);
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 1);
    kit_servers(pg, scope_id, 100);
    rollout_id = kit_rollout(pg, &scope_id, 1, 1);
    writer = writer_start(conninfo, NULL);
}

static void tear_down(void)
{
    writer_stop(writer);
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static struct writer_result *next(void)
{
    struct pollfd p = { .fd = writer_fd(writer), .events = POLLIN };
    struct writer_result *r;

    ck_assert_int_eq(poll(&p, 1, 10000), 1);
    r = writer_next(writer);
    ck_assert_ptr_nonnull(r);
    return r;
}

static void expect_nothing(void)
{
    struct pollfd p = { .fd = writer_fd(writer), .events = POLLIN };

    ck_assert_int_eq(poll(&p, 1, 100), 0);
    ck_assert_ptr_null(writer_next(writer));
}

static void submit(struct save save, size_t cohort_count)
{
    struct save_request *q = calloc(1, sizeof(*q));

    q->save = save;
    q->save.rollout = (uint64_t)rollout_id;
    q->save.because = "because of the test";
    q->cohort = calloc(cohort_count + 1, sizeof(*q->cohort));
    q->cohort_count = cohort_count;
    for (size_t i = 0; i < cohort_count; i++)
        q->cohort[i] = (int64_t)i + 1;
    writer_save(writer, &q);
    ck_assert_ptr_null(q);
}

static const struct save attempt = { .kind = SAVE_ATTEMPT, .from = PHASE_PREPARING,
                                     .to = PHASE_PREPARING, .attempt = 1 };

static void submit_pause(bool is_paused)
{
    submit((struct save){ .kind = SAVE_PAUSE, .from = PHASE_PREPARING, .to = PHASE_PREPARING,
                          .is_paused = is_paused }, 0);
}

static void submit_ready(int64_t server, uint64_t number)
{
    struct ack_batch *b = ack_batch_new();
    struct ack_record r = { .ack = { .kind = ACK_READY, .number = number, .server = 42 },
                            .server_id = server, .outbox_id = (uint64_t)server };

    ack_batch_add(b, &r, NULL, 0);
    writer_acks(writer, &b);
    ck_assert_ptr_null(b);
}

static void submit_join(int64_t server, const char *service, const char *environment)
{
    struct join_request *j = calloc(1, sizeof(*j));

    ck_assert_ptr_nonnull(j);
    j->server_id = server;
    j->labels = strdup("{\"zone\":\"a\"}");
    j->version = strdup("1.2");
    j->scope_count = 1;
    j->scopes = calloc(1, sizeof(*j->scopes));
    ck_assert_ptr_nonnull(j->scopes);
    snprintf(j->scopes[0].service, NAME_BUFFER, "%s", service);
    snprintf(j->scopes[0].environment, NAME_BUFFER, "%s", environment);
    writer_join(writer, &j);
}

/* Hold the row that every transaction of the writer needs, as a taker would. */
static struct pg *block(void)
{
    struct pg *other = kit_open(conninfo);

    kit_sql(other, "BEGIN; SELECT 1 FROM leader FOR UPDATE");
    return other;
}

static void unblock(struct pg *other)
{
    kit_sql(other, "ROLLBACK");
    pg_close(other);
}

/* ---------------------------------------------------------------- */

TEST(results_come_in_order)
{
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    submit(attempt, 3);
    submit_pause(true);
    submit_pause(false);
    r = next();
    ck_assert(r->kind == WRITER_SAVED && r->save.kind == SAVE_ATTEMPT && r->number > 0);
    ck_assert_uint_eq(r->epoch, 1);
    ck_assert_ptr_null(r->save.cohort);
    submit_ready(1, r->number);
    writer_result_free(r);
    r = next();
    ck_assert(r->kind == WRITER_SAVED && r->save.is_paused);
    writer_result_free(r);
    r = next();
    ck_assert(r->kind == WRITER_SAVED && !r->save.is_paused);
    writer_result_free(r);
    r = next();
    ck_assert(r->kind == WRITER_ACKS && r->acks->count == 1);
    ck_assert(r->acks->records[0].ack.server == 42 && r->acks->records[0].outbox_id == 1);
    writer_result_free(r);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member WHERE state = 'ready'"), 1);
}

TEST(batches_are_gathered_while_one_is_written)
{
    struct pg *blocker;
    struct writer_result *r;
    uint64_t number;

    writer_lead(writer, 1, 1);
    submit(attempt, 50);
    r = next();
    number = r->number;
    writer_result_free(r);
    blocker = block();
    for (int64_t server = 1; server <= 50; server++)
        submit_ready(server, number);
    kit_await(pg, 1, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                     " AND application_name = 'lockstepd writer'");
    unblock(blocker);
    for (int i = 0; i < 50; i++) {
        r = next();
        ck_assert(r->kind == WRITER_ACKS && r->acks->records[0].server_id == i + 1);
        writer_result_free(r);
    }
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member WHERE state = 'ready'"), 50);
    ck_assert_int_le(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.acks'"), 2);
    ck_assert_int_eq(kit_int(pg, "SELECT sum((data #>> ARRAY['rollouts', public_id, 'ready'])::int)"
                                 " FROM audit, rollout WHERE action = 'rollout.acks'"), 50);
}

TEST(a_failure_is_said_once_and_ends_it)
{
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    submit_pause(true);
    writer_result_free(next());
    submit(attempt, 1); /* paused: refused */
    submit_pause(false);
    submit_pause(true);
    r = next();
    ck_assert_int_eq(r->kind, WRITER_FAILED);
    ck_assert_int_eq(r->reason.kind, ERR_CONFLICT);
    ck_assert_uint_eq(r->epoch, 1);
    writer_result_free(r);
    submit_pause(false);
    expect_nothing();
    ck_assert_str_eq(kit_text(pg, "SELECT is_paused FROM rollout"), "t");
    kit_lead(pg, 2);
    writer_lead(writer, 1, 2);
    submit_pause(false);
    r = next();
    ck_assert(r->kind == WRITER_SAVED && r->epoch == 2);
    writer_result_free(r);
}

TEST(a_newer_leader_fences_it)
{
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    kit_lead(pg, 2);
    submit_ready(1, 1);
    r = next();
    ck_assert(r->kind == WRITER_FAILED && r->reason.kind == ERR_FENCED);
    writer_result_free(r);
}

TEST(without_leadership_nothing_is_written)
{
    submit_pause(true);
    expect_nothing();
    ck_assert_str_eq(kit_text(pg, "SELECT is_paused FROM rollout"), "f");
}

/* A dead connection is no reason to give the leadership up. */
TEST(a_lost_connection_heals)
{
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    submit_pause(true);
    writer_result_free(next());
    kit_sql(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'lockstepd writer' AND datname = current_database()");
    kit_await(pg, 0, "SELECT count(*) FROM pg_stat_activity"
                     " WHERE application_name = 'lockstepd writer'"
                     " AND datname = current_database()");
    submit_pause(false);
    r = next();
    ck_assert_int_eq(r->kind, WRITER_SAVED);
    ck_assert_uint_eq(r->epoch, 1);
    writer_result_free(r);
}

/* Longer than its lock time-out, which is 2 s. */
TEST(a_long_wait_for_a_lock_is_waited_out)
{
    struct pg *other = kit_open(conninfo);
    struct writer_result *r;

    kit_sql(other, "BEGIN; SELECT 1 FROM audit_head FOR UPDATE");
    writer_lead(writer, 1, 1);
    submit_pause(true);
    submit_ready(1, 1);
    for (int i = 0; i < 30; i++)
        expect_nothing();
    pg_close(other);
    r = next();
    ck_assert_int_eq(r->kind, WRITER_SAVED);
    writer_result_free(r);
    r = next();
    ck_assert_int_eq(r->kind, WRITER_ACKS);
    writer_result_free(r);
    ck_assert_str_eq(kit_text(pg, "SELECT is_paused FROM rollout"), "t");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.pause'"), 1);
}

#define WAITING_COMMIT                                                                             \
    " FROM pg_stat_activity WHERE application_name = 'lockstepd writer'"                           \
    " AND wait_event = 'SyncRep'"

/* COMMIT waits for a standby that is not there: it is done, and its answer never comes. */
TEST(a_commit_whose_answer_is_lost_is_known_to_have_happened)
{
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    kit_sql(pg, "SET synchronous_commit = local");
    kit_sql(pg, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    kit_sql(pg, "SELECT pg_reload_conf()");
    submit(attempt, 3);
    kit_await(pg, 1, "SELECT count(*)" WAITING_COMMIT);
    kit_sql(pg, "SELECT pg_terminate_backend(pid)" WAITING_COMMIT);
    kit_sql(pg, "ALTER SYSTEM RESET synchronous_standby_names");
    kit_sql(pg, "SELECT pg_reload_conf()");
    r = next();
    ck_assert_int_eq(r->kind, WRITER_SAVED);
    ck_assert_int_eq((int64_t)r->number, kit_int(pg, "SELECT attempt_number FROM rollout"));
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM attempt"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member"), 3);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.attempt'"), 1);
    writer_result_free(r);
}

#define WAITING_LOCK                                                                               \
    " FROM pg_stat_activity WHERE application_name = 'lockstepd writer'"                           \
    " AND wait_event_type = 'Lock'"

/* COMMIT waits longer than the writer's patience, and holds the leader's log meanwhile: the tries
 * after it do not even begin. What the first one drew is what counts. */
TEST(a_commit_that_hangs_is_handed_back_whole)
{
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    kit_sql(pg, "SET synchronous_commit = local");
    kit_sql(pg, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    kit_sql(pg, "SELECT pg_reload_conf()");
    submit(attempt, 3);
    kit_await(pg, 1, "SELECT count(*)" WAITING_COMMIT);
    kit_await(pg, 1, "SELECT count(*)" WAITING_LOCK); /* the patience of the first try is over */
    kit_await(pg, 0, "SELECT count(*)" WAITING_LOCK); /* and so is the lock time-out of another */
    ck_assert_int_eq(kit_int(pg, "SELECT count(*)" WAITING_COMMIT), 1);
    kit_sql(pg, "ALTER SYSTEM RESET synchronous_standby_names");
    kit_sql(pg, "SELECT pg_reload_conf()");
    r = next();
    ck_assert_int_eq(r->kind, WRITER_SAVED);
    ck_assert_int_eq((int64_t)r->number, kit_int(pg, "SELECT attempt_number FROM rollout"));
    ck_assert_uint_gt(r->number, 0);
    ck_assert_uint_eq(r->change_count, 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM attempt"), 1);
    writer_result_free(r);
}

/* Refused again by the next leader, too: it stops its own rollout, with the reason. */
TEST(what_is_refused_twice_stops_its_rollout)
{
    static const struct save wrong = { .kind = SAVE_ATTEMPT, .from = PHASE_BAKING,
                                       .to = PHASE_PREPARING, .stage = 1, .attempt = 1 };
    static const char *const fates[] = { "f f", "t f", "f t" };

    for (int i = 0; i < 3; i++) {
        struct writer_result *r;

        kit_lead(pg, (uint64_t)i + 1);
        writer_lead(writer, 1, (uint64_t)i + 1);
        submit(wrong, 1);
        r = next();
        ck_assert_int_eq(r->kind, WRITER_FAILED);
        writer_result_free(r);
        ck_assert_str_eq(kit_text(pg, "SELECT concat_ws(' ', is_paused, state = 'aborted')"
                                      " FROM rollout"), fates[i]);
    }
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM rollout"
                                 " WHERE reason LIKE 'the database refused its next step%%'"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM rollout_change WHERE is_open"), 0);
}

/* What an open rollout activated goes back, though nobody can lead it any more. */
TEST(a_rollout_that_cannot_be_read_is_ended_as_it_stands)
{
    struct end_request request = { .rollout_id = rollout_id, .why = "made no sense" };
    struct writer_result *r;

    writer_lead(writer, 1, 1);
    submit(attempt, 3);
    writer_result_free(next());
    kit_sql(pg, "UPDATE attempt SET outcome = 'activate';"
                "UPDATE rollout SET phase = 'baking', stage = 77, strategy = '{}'");
    writer_end(writer, &request);
    r = next();
    ck_assert_int_eq(r->kind, WRITER_ENDED);
    ck_assert_int_eq(r->rollout_id, rollout_id);
    writer_result_free(r);
    ck_assert_str_eq(kit_text(pg, "SELECT concat_ws(' ', state, reason) FROM rollout"),
                     "failed made no sense");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM decision JOIN decision_scope USING (dseq)"
                                 " WHERE kind = 'rollback' AND revision = 0"), 1);
    writer_end(writer, &request); /* over already: nothing more happens */
    r = next();
    ck_assert_int_eq(r->kind, WRITER_ENDED);
    writer_result_free(r);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.end'"), 1);
}

TEST(joins_answers_and_sightings)
{
    int64_t other = kit_scope(pg, "search", 1), *seen = calloc(2, sizeof(*seen));
    struct writer_result *r;

    kit_sql(pg, "INSERT INTO command (rollout_id, action, actor) VALUES (%lld, 'abort', 'maria')",
            (long long)rollout_id);
    writer_lead(writer, 1, 1);
    submit_join(1, "search", "prod");
    submit_join(2, "search", "prod");
    submit_join(2, "search", "prod");
    submit_join(999, "search", "prod"); /* forgotten meanwhile */
    submit_join(1, "fresh", "prod");    /* nobody wrote it yet */
    submit_join(1, "fresh", "nowhere"); /* no such environment */
    seen[0] = 3;
    seen[1] = 4;
    writer_seen(writer, &seen, 2);
    ck_assert_ptr_null(seen);
    writer_answer(writer, 1, false, "pause,rollback");
    for (int i = 0; i < 6; i++) {
        r = next();
        ck_assert_int_eq(r->kind, WRITER_JOINED);
        ck_assert_str_eq(r->join->scopes[0].service, i < 4 ? "search" : "fresh");
        writer_result_free(r);
    }
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server_scope JOIN scope USING (scope_id)"
                                 " WHERE service = 'fresh' AND head = 0"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM scope WHERE environment = 'nowhere'"), 0);
    kit_await(pg, 1, "SELECT count(*) FROM command WHERE state = 'refused'");
    ck_assert_str_eq(kit_text(pg, "SELECT answer FROM command"), "pause,rollback");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server_scope WHERE scope_id = %lld",
                             (long long)other), 2);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server WHERE last_seen IS NOT NULL"), 4);
    ck_assert_str_eq(kit_text(pg, "SELECT labels ->> 'zone' FROM server WHERE server_id = 2"), "a");
    ck_assert_str_eq(kit_text(pg, "SELECT actor FROM audit WHERE action = 'command.refused'"),
                     "maria");
    ck_assert_int_eq(kit_int(pg, "SELECT sum((data ->> 'memberships')::int) FROM audit"
                                 " WHERE action = 'server.join'"), 3);
}

/* Another writer (somebody sets keys) appends at the same time: whoever sees a number has seen all
 * before it. */
TEST(event_numbers_appear_in_the_order_of_commits)
{
    struct pg *other = kit_open(conninfo), *reader = kit_open(conninfo);
    int64_t last = 0;

    writer_lead(writer, 1, 1);
    for (int i = 0; i < 100; i++) {
        int64_t count, newest;

        submit_pause(i % 2 == 0);
        kit_sql(other, "BEGIN; SELECT audit_append('kit', 'config.set', NULL, NULL, NULL, '{}')");
        newest = kit_int(reader, "SELECT coalesce(max(number), 0) FROM audit");
        count = kit_int(reader, "SELECT count(*) FROM audit WHERE number <= %lld",
                        (long long)newest);
        ck_assert_int_eq(count, newest); /* no gap that fills later */
        ck_assert_int_ge(newest, last);
        last = newest;
        kit_sql(other, "COMMIT");
    }
    for (int i = 0; i < 100; i++)
        writer_result_free(next());
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit"), 200);
    ck_assert_int_eq(kit_int(pg, "SELECT max(number) FROM audit"), 200);
    pg_close(other);
    pg_close(reader);
}
