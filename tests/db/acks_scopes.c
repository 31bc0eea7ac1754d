/* acks_scopes.c - one server, two scopes of one rollout: what it says of one says nothing of the other. */
#include "coordinator/store/leader/acks.h"

#include <stdlib.h>

#include "coordinator/store/leader/load.h"
#include "tests/db/acks_kit.h"
#include "tests/test.h"

static int64_t scopes[2];
static uint64_t back; /* the ROLLBACK */

/* Server 1 applied in both scopes, and both are taken back. */
static void set_up(void)
{
    const int64_t cohort[] = { 1 };
    uint64_t attempt;

    pg = kit_open(kit_database());
    kit_lead(pg, 1);
    scopes[0] = kit_scope(pg, "payments", 2);
    scopes[1] = kit_scope(pg, "web", 2);
    kit_servers(pg, scopes[0], 1);
    kit_sql(pg, "INSERT INTO server_scope (server_id, scope_id) VALUES (1, %lld)",
            (long long)scopes[1]);
    kit_sql(pg, "UPDATE scope SET released = 1, settled = 1");
    rollout_id = kit_rollout(pg, scopes, 2, 1);
    attempt = save_first_attempt(cohort, 1);
    kit_sql(pg, "UPDATE member SET state = 'ready', ready_at = now()");
    save((struct save){ .kind = SAVE_DECISION, .from = PHASE_PREPARING, .to = PHASE_ACTIVATING,
                        .decision = DECISION_ACTIVATE, .attempt = 1, .number = attempt,
                        .ready_min = 1, .failed_max = 1 }, NULL, 0);
    back = save((struct save){ .kind = SAVE_DECISION, .from = PHASE_ACTIVATING,
                               .to = PHASE_ROLLING_BACK, .decision = DECISION_ROLLBACK }, NULL, 0);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

/* ---------------------------------------------------------------- batches */

static struct ack_batch *batch;

static void add(enum ack_kind kind, int place)
{
    struct ack_record r = { .ack = { .kind = kind, .number = back }, .server_id = 1,
                            .outbox_id = 7 };
    struct held_record h = { .scope_id = scopes[place], .revision = 1, .hash = bases[place] };

    if (!batch)
        batch = ack_batch_new();
    ack_batch_add(batch, &r, &h, 1);
}

static void write_batch(void)
{
    write_acks(batch);
    for (size_t i = 0; i < batch->count; i++)
        ck_assert(batch->records[i].is_recorded);
    ack_batch_free(batch);
    batch = NULL;
}

static const char *of_scope(const char *what, int place)
{
    return kit_text(pg, "SELECT %s FROM server_scope WHERE server_id = 1 AND scope_id = %lld", what,
                    (long long)scopes[place]);
}

static uint64_t number_of(const char *what, int place)
{
    return strtoull(of_scope(what, place), NULL, 10);
}

/* Its agent read one of them, then the other: both answers are receipted, so both are recorded. */
TEST(two_answers_about_two_scopes_in_one_batch)
{
    add(ACK_ROLLED_BACK, 0);
    add(ACK_ROLLED_BACK, 1);
    write_batch();
    ck_assert_uint_eq(number_of("obeyed", 0), back);
    ck_assert_uint_eq(number_of("obeyed", 1), back);
}

/* The way back failed, was tried again and went well; the failure is said once more. */
TEST(a_late_failure_undoes_no_way_back)
{
    add(ACK_ROLLED_BACK, 0);
    add(ACK_FAILED, 0);
    add(ACK_ROLLED_BACK, 1);
    write_batch();
    add(ACK_FAILED, 1);
    write_batch();
    ck_assert_str_eq(of_scope("outcome", 0), "ok");
    ck_assert_str_eq(of_scope("outcome", 1), "ok");
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM member"), "rolled_back");
}

/* In whichever order the two are told; told again, it goes back after all. */
TEST(who_is_stuck_in_one_scope_did_not_go_back)
{
    add(ACK_ROLLED_BACK, 0);
    write_batch();
    add(ACK_FAILED, 1);
    write_batch();
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || detail FROM member"), "failed broken");
    ck_assert_str_eq(of_scope("outcome", 0), "ok");
    add(ACK_ROLLED_BACK, 1);
    write_batch();
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM member"), "rolled_back");
}

TEST(who_went_back_in_one_scope_is_still_stuck_in_the_other)
{
    add(ACK_FAILED, 1);
    write_batch();
    add(ACK_ROLLED_BACK, 0);
    write_batch();
    ck_assert_str_eq(kit_text(pg, "SELECT state || ' ' || detail FROM member"), "failed broken");
}

/* The next leader still addresses the other scope. */
TEST(nothing_to_take_back_in_one_scope)
{
    SCOPED(snapshot_free) struct snapshot *s = NULL;

    add(ACK_ABORTED, 0);
    write_batch();
    ck_assert_uint_eq(number_of("kept", 0), back);
    ck_assert_uint_eq(number_of("kept", 1), 0);
    ck_assert_msg(load_snapshot(pg, LOAD_WHOLE, &s, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(s->memberships[0].kept, back);
    ck_assert_uint_eq(s->memberships[1].kept, 0);
    ck_assert_uint_eq(s->decision_count, 2);
    ck_assert(s->decisions[1].kind == DECISION_ROLLBACK);
    ck_assert_uint_eq(s->decisions[1].addressed_count, 1);
}
