/* load.c - what a leader finds in the database, after each phase of a rollout. */
#include "coordinator/store/leader/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/store/leader/fence.h"
#include "coordinator/store/leader/save.h"
#include "tests/db/kit.h"
#include "tests/test.h"

static struct pg *pg;
static int64_t scope_id, rollout_id;
static const struct fence fence = { .gen = 1, .epoch = 1 };
static struct snapshot *s;
static uint64_t number, dseq;

static void set_up(void)
{
    pg = kit_open(kit_database());
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 1);
    kit_servers(pg, scope_id, 3);
    rollout_id = kit_rollout(pg, &scope_id, 1, 2);
}

static void tear_down(void)
{
    snapshot_free(s);
    s = NULL;
    pg_close(pg);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void save(struct save what, const int64_t *cohort, size_t count)
{
    struct save_request q = { .save = what, .cohort_count = count };
    struct writer_result r = { 0 };
    struct err e;

    q.cohort = (int64_t *)(uintptr_t)cohort;
    q.save.rollout = (uint64_t)rollout_id;
    q.save.because = "because of the test";
    ck_assert_msg(save_write(pg, &fence, &q, false, &r, &(bool){ 0 }, &e) == 0, "%s", e.text);
    number = r.number ? r.number : number;
    dseq = r.dseq ? r.dseq : dseq;
    free(r.body);
}

static const struct rollout_row *load(void)
{
    struct err e;

    snapshot_free(s);
    s = NULL;
    ck_assert_msg(load_snapshot(pg, LOAD_WHOLE, &s, &e) == 0, "%s", e.text);
    return s->rollout_count ? &s->rollouts[0] : NULL;
}

static void open_stage(unsigned stage, enum phase from)
{
    const int64_t cohorts[2][2] = { { 1, 2 }, { 3 } };

    save((struct save){ .kind = SAVE_ATTEMPT, .from = from, .to = PHASE_PREPARING, .stage = stage,
                        .attempt = 1 }, cohorts[stage], stage ? 1 : 2);
}

static void activate(unsigned stage)
{
    kit_sql(pg, "UPDATE member SET state = 'ready', ready_at = now() WHERE state = 'pending'");
    save((struct save){ .kind = SAVE_DECISION, .from = PHASE_PREPARING, .to = PHASE_ACTIVATING,
                        .decision = DECISION_ACTIVATE, .stage = stage, .attempt = 1,
                        .number = number, .ready_min = 1 }, NULL, 0);
}

static void bake(unsigned stage)
{
    kit_sql(pg, "UPDATE member SET state = 'applied' WHERE state = 'ready'");
    save((struct save){ .kind = SAVE_MOVE, .from = PHASE_ACTIVATING, .to = PHASE_BAKING,
                        .stage = stage }, NULL, 0);
}

static void finalize(void)
{
    save((struct save){ .kind = SAVE_DECISION, .from = PHASE_BAKING, .to = PHASE_FINALIZING,
                        .decision = DECISION_FINALIZE }, NULL, 0);
}

TEST(the_roster)
{
    kit_sql(pg, "UPDATE server SET state = 'revoked', scopes = '{a/*,payments/*}',"
                " labels = '{\"zone\":\"a\"}' WHERE server_id = 2;"
                "UPDATE server SET state = 'excluded' WHERE server_id = 3;"
                "UPDATE server SET retries = 2 WHERE server_id = 3;"
                "UPDATE server_scope SET obeyed = 7, outcome = 'broken' WHERE server_id = 1;"
                "UPDATE server_scope SET outcome = 'failed' WHERE server_id = 2");
    load();
    ck_assert_uint_eq(s->server_count, 3);
    ck_assert_str_eq(s->servers[0].name, "server-1");
    ck_assert_uint_eq(strlen(s->servers[0].public_key), 40);
    ck_assert(s->servers[1].is_revoked && !s->servers[1].is_excluded);
    ck_assert(s->servers[2].is_excluded && !s->servers[2].is_revoked);
    ck_assert_str_eq(s->servers[1].scopes, "a/*\npayments/*");
    ck_assert_str_eq(s->servers[1].labels, "{\"zone\": \"a\"}");
    ck_assert_uint_eq(s->scope_count, 1);
    ck_assert_str_eq(s->scopes[0].service, "payments");
    ck_assert(s->scopes[0].head == 1 && s->scopes[0].settled == 0);
    ck_assert_uint_eq(s->membership_count, 3);
    ck_assert_uint_eq(s->memberships[0].obeyed, 7);
    ck_assert(s->memberships[0].is_failed && s->memberships[1].is_failed);
    ck_assert(!s->memberships[2].is_failed);
    ck_assert_int_eq(s->servers[2].retries, 2);
}

TEST(parts_of_it)
{
    struct err e;

    kit_sql(pg, "INSERT INTO command (rollout_id, action, actor, is_full)"
                " VALUES (%lld, 'promote', 'maria', true), (%lld, 'pause', 'maria', false);"
                "UPDATE command SET state = 'done' WHERE action = 'pause'",
            (long long)rollout_id, (long long)rollout_id);
    ck_assert_int_eq(load_snapshot(pg, LOAD_WORK, &s, &e), 0);
    ck_assert(s->server_count == 0 && s->rollout_count == 1 && s->command_count == 1);
    ck_assert_int_eq(s->commands[0].action, ROLLOUT_ACTION_PROMOTE);
    ck_assert(s->commands[0].is_full && s->commands[0].rollout_id == rollout_id);
    snapshot_free(s);
    ck_assert_int_eq(load_snapshot(pg, LOAD_ROSTER, &s, &e), 0);
    ck_assert(s->server_count == 3 && s->rollout_count == 0 && s->command_count == 0);
    snapshot_free(s);
    s = NULL;
    open_stage(0, PHASE_PREPARING);
    ck_assert_int_eq(load_snapshot(pg, LOAD_WORK, &s, &e), 0);
    ck_assert_uint_eq(s->rollout_count, 0); /* opened: the leader has it */
}

TEST(a_rollout_that_waits)
{
    const struct rollout_row *r = load();

    ck_assert(!r->load.is_opened && r->load.phase == PHASE_PREPARING && r->member_count == 0);
    ck_assert_str_eq(r->salt, "salt");
    ck_assert_uint_eq(r->change_count, 1);
    ck_assert(r->changes[0].to_revision == 1 && r->changes[0].to_size > 0);
    ck_assert(!hash_is_zero(&r->changes[0].to_hash) && hash_is_zero(&r->changes[0].from_hash));
    kit_sql(pg, "UPDATE rollout SET state = 'awaiting_approval'");
    ck_assert_ptr_null(load());
}

/* What cannot be read says so and holds up nobody but itself. */
TEST(a_row_that_makes_no_sense_is_told_apart)
{
    for (int i = 0; i <= ROLLOUT_SCOPES_MAX; i++) {
        char name[32];

        snprintf(name, sizeof(name), "many-%d", i);
        kit_scope(pg, name, 1);
    }
    kit_sql(pg, "INSERT INTO rollout (public_id, stage_count, salt, strategy, created_by)"
                " VALUES ('senseless', 1, 'salt', '{}', 'ann')");
    kit_sql(pg, "INSERT INTO rollout_change (rollout_id, scope_id, from_revision, to_revision,"
                " is_open) SELECT (SELECT max(rollout_id) FROM rollout), scope_id, 0, 1, true"
                " FROM scope WHERE service LIKE 'many-%%'");
    load();
    ck_assert_uint_eq(s->rollout_count, 2);
    ck_assert_int_eq(s->rollouts[0].rollout_id, rollout_id);
    ck_assert_str_eq(s->rollouts[0].fault, "");
    ck_assert_str_eq(s->rollouts[1].public_id, "senseless");
    ck_assert_str_eq(s->rollouts[1].fault,
                     "a rollout changes 17 scopes; at most 16 are possible");
}

TEST(preparing)
{
    const struct rollout_row *r;

    open_stage(0, PHASE_PREPARING);
    kit_sql(pg, "UPDATE member SET detail = 'silent' WHERE server_id = 2;"
                "UPDATE rollout SET is_paused = true");
    r = load();
    ck_assert(r->load.is_opened && r->load.is_paused && r->load.phase == PHASE_PREPARING);
    ck_assert(r->load.stage == 0 && r->load.attempt == 1 && r->load.attempt_number == number);
    ck_assert(!r->load.is_attempt_decided && !r->load.was_activated);
    ck_assert_uint_eq(r->member_count, 2);
    ck_assert(r->members[0].server_id == 1 && !r->members[0].load.is_ready);
    ck_assert(r->members[1].load.is_silent);
    ck_assert_uint_eq(r->members[0].load.attempt_number, number);
    ck_assert_uint_eq(r->load.first_number, number);
    ck_assert_uint_eq(s->decision_count, 0);
}

TEST(activating_and_baking)
{
    const struct rollout_row *r;

    open_stage(0, PHASE_PREPARING);
    activate(0);
    r = load();
    ck_assert(r->load.phase == PHASE_ACTIVATING && r->load.is_attempt_decided);
    ck_assert(r->load.was_activated && r->members[0].load.is_ready);
    ck_assert_uint_eq(s->decision_count, 1);
    ck_assert(s->decisions[0].dseq == dseq && s->decisions[0].kind == DECISION_ACTIVATE);
    ck_assert(s->decisions[0].attempt_number == number && !s->decisions[0].is_for_all);
    ck_assert(s->decisions[0].addressed_count == 2 && s->decisions[0].addressed[1] == 2);
    ck_assert(s->decisions[0].scope_count == 1 && s->decisions[0].scope_ids[0] == scope_id);
    ck_assert_uint_gt(s->decisions[0].body_size, 0);
    bake(0);
    kit_sql(pg, "INSERT INTO command (rollout_id, action, actor, is_full, state)"
                " VALUES (%lld, 'promote', 'ann', false, 'done'),"
                " (%lld, 'promote', 'ann', true, 'refused')",
            (long long)rollout_id, (long long)rollout_id);
    r = load();
    ck_assert(r->load.phase == PHASE_BAKING && r->members[0].load.is_applied);
    ck_assert(!r->load.is_promoted);
    kit_sql(pg, "UPDATE command SET state = 'done'");
    ck_assert(r->members[0].load.is_ready && !r->members[0].load.is_failed);
    open_stage(1, PHASE_BAKING);
    r = load();
    ck_assert(r->load.stage == 1 && !r->load.is_attempt_decided && r->load.was_activated);
    ck_assert(r->load.is_promoted); /* all of them, whoever leads */
    ck_assert_uint_lt(r->load.first_number, number);
    ck_assert_uint_eq(r->load.first_number, r->members[0].load.attempt_number);
    ck_assert(r->member_count == 3 && r->members[2].load.stage == 1);
}

TEST(finalizing_and_over)
{
    const struct rollout_row *r;
    uint64_t finalized;

    open_stage(0, PHASE_PREPARING);
    activate(0);
    bake(0);
    finalize();
    finalized = dseq;
    r = load();
    ck_assert(r->load.phase == PHASE_FINALIZING && r->load.decision_number == finalized);
    ck_assert_uint_eq(s->decision_count, 1); /* the ACTIVATE before it is nobody's newest */
    ck_assert(s->decisions[0].kind == DECISION_FINALIZE && s->decisions[0].is_for_all);
    save((struct save){ .kind = SAVE_END, .from = PHASE_FINALIZING, .to = PHASE_COMPLETED }, NULL,
         0);
    ck_assert_ptr_null(load());
    ck_assert_uint_eq(s->decision_count, 1); /* still an obligation of the scope */
    ck_assert_uint_eq(s->decisions[0].dseq, finalized);
}

TEST(rolling_back)
{
    const struct rollout_row *r;

    open_stage(0, PHASE_PREPARING);
    activate(0);
    save((struct save){ .kind = SAVE_DECISION, .from = PHASE_ACTIVATING, .to = PHASE_ROLLING_BACK,
                        .decision = DECISION_ROLLBACK }, NULL, 0);
    kit_sql(pg, "UPDATE member SET state = 'rolled_back' WHERE server_id = 1;"
                "UPDATE member SET state = 'failed', detail = 'broken' WHERE server_id = 2");
    r = load(); /* broken by the ACTIVATE: it may still go back */
    ck_assert(!r->members[1].load.is_broken && r->members[1].load.is_failed);
    kit_sql(pg, "UPDATE member SET way_back_failed = true WHERE server_id = 2");
    r = load();
    ck_assert(r->load.phase == PHASE_ROLLING_BACK && r->load.decision_number == dseq);
    ck_assert(r->members[0].load.is_rolled_back && !r->members[0].load.is_failed);
    ck_assert(r->members[1].load.is_broken && r->members[1].load.is_failed);
    ck_assert_uint_eq(s->decision_count, 2);
    ck_assert(s->decisions[1].kind == DECISION_ROLLBACK && s->decisions[1].addressed_count == 2);
}

TEST(aborting)
{
    open_stage(0, PHASE_PREPARING);
    save((struct save){ .kind = SAVE_MOVE, .from = PHASE_PREPARING, .to = PHASE_ABORTING }, NULL,
         0);
    kit_sql(pg, "UPDATE member SET detail = 'aborted' WHERE server_id = 2");
    ck_assert_int_eq(load()->load.phase, PHASE_ABORTING);
    ck_assert(s->rollouts[0].members[1].load.is_aborted);
}

/* Leaders saw a second, then two; the three between them nobody saw. */
TEST(time_that_leaders_saw)
{
    open_stage(0, PHASE_PREPARING);
    activate(0);
    bake(0);
    ck_assert_int_lt(load()->load.elapsed_ms, 900);
    kit_sql(pg, "UPDATE leader SET observed_ms = observed_ms + 1000");
    ck_assert_int_ge(load()->load.elapsed_ms, 1000);
    kit_sql(pg, "UPDATE leader SET seen_at = seen_at - interval '2 s'");
    ck_assert_int_ge(load()->load.elapsed_ms, 3000);
    save(
        (struct save){
            .kind = SAVE_PAUSE, .from = PHASE_BAKING, .to = PHASE_BAKING, .is_paused = true },
        NULL, 0);
    save((struct save){ .kind = SAVE_PAUSE, .from = PHASE_BAKING, .to = PHASE_BAKING }, NULL, 0);
    ck_assert_int_ge(load()->load.elapsed_ms, 3000);
    kit_sql(pg, "UPDATE leader SET observed_ms = 0, seen_at = now()"); /* never below nothing */
    ck_assert_int_eq(load()->load.elapsed_ms, 0);
}

/* Where answers are waited for, resuming begins anew, and so does each attempt. */
TEST(time_that_begins_anew)
{
    open_stage(0, PHASE_PREPARING);
    kit_sql(pg, "UPDATE leader SET observed_ms = observed_ms + 5000");
    ck_assert_int_ge(load()->load.elapsed_ms, 5000);
    save(
        (struct save){
            .kind = SAVE_PAUSE, .from = PHASE_PREPARING, .to = PHASE_PREPARING, .is_paused = true },
        NULL, 0);
    ck_assert_int_ge(load()->load.elapsed_ms, 5000);
    save((struct save){ .kind = SAVE_PAUSE, .from = PHASE_PREPARING, .to = PHASE_PREPARING }, NULL,
         0);
    ck_assert_int_lt(load()->load.elapsed_ms, 4000);
    kit_sql(pg, "UPDATE leader SET observed_ms = observed_ms + 5000");
    save(
        (struct save){
            .kind = SAVE_ATTEMPT, .from = PHASE_PREPARING, .to = PHASE_PREPARING, .attempt = 2 },
        (const int64_t[]){ 1, 2 }, 2);
    ck_assert_int_lt(load()->load.elapsed_ms, 4000);
}

TEST(documents)
{
    struct hash hash = load()->changes[0].to_hash, other = { { 1 } };
    uint8_t *bytes;
    size_t size;
    struct err e;

    ck_assert_int_eq(load_document(pg, &hash, &bytes, &size, &e), 0);
    ck_assert_str_eq((const char *)bytes, "{\"k\":{\"t\":\"string\",\"v\":\"payments 1\"}}");
    ck_assert_uint_eq(size, s->rollouts[0].changes[0].to_size);
    free(bytes);
    ck_assert_int_eq(load_document(pg, &other, &bytes, &size, &e), -1);
    ck_assert_int_eq(e.kind, ERR_NOT_FOUND);
}
