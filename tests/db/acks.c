/* acks.c - acknowledgements: what each does, repeated, out of order, late, unknown, wrong. */
#include "coordinator/store/leader/acks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto/digest.h"
#include "tests/db/acks_kit.h"
#include "tests/test.h"

static int64_t scope_id;
static uint64_t attempt, activate, back; /* numbers */

static void set_up(void)
{
    const int64_t cohort[] = { 1, 2, 3 };

    pg = kit_open(kit_database());
    kit_lead(pg, 1);
    scope_id = kit_scope(pg, "payments", 2);
    kit_servers(pg, scope_id, 4);
    kit_sql(pg, "UPDATE scope SET released = 1, settled = 1");
    rollout_id = kit_rollout(pg, &scope_id, 1, 2);
    attempt = save_first_attempt(cohort, 3);
}

struct test_frame test_frame = { .set_up = set_up, .tear_down = tear_down };

static void decide(void)
{
    activate = save((struct save){ .kind = SAVE_DECISION, .from = PHASE_PREPARING,
                                   .to = PHASE_ACTIVATING, .decision = DECISION_ACTIVATE,
                                   .attempt = 1, .number = attempt, .ready_min = 1,
                                   .failed_max = 3 }, NULL, 0);
}

static void roll_back(void)
{
    back = save((struct save){ .kind = SAVE_DECISION, .from = PHASE_ACTIVATING,
                               .to = PHASE_ROLLING_BACK, .decision = DECISION_ROLLBACK }, NULL, 0);
}

/* ---------------------------------------------------------------- batches */

static struct ack_batch *batch;
static const char *said_steps = "files=3ms";
static bool recorded[8]; /* of the batch written last, its first records */

static void add(enum ack_kind kind, int64_t server, uint64_t number, const struct hash *held,
                const char *text)
{
    struct ack_record r = { .ack = { .kind = kind, .number = number }, .server_id = server,
                            .outbox_id = 7, .reason = WIRE_REASON_VALIDATE,
                            .step = WIRE_STEP_RELOAD, .text = text ? strdup(text) : NULL };
    struct held_record h = { .scope_id = scope_id, .revision = held == &bases[0] ? 1 : 2 };

    snprintf(r.steps, sizeof(r.steps), "%s", said_steps);
    if (!batch)
        batch = ack_batch_new();
    if (held)
        h.hash = *held;
    ack_batch_add(batch, &r, &h, held ? 1 : 0);
}

/* Writes what was added; how many rows changed. */
static size_t write_batch(void)
{
    size_t changed = write_acks(batch);

    for (size_t i = 0; i < batch->count && i < sizeof(recorded) / sizeof(recorded[0]); i++)
        recorded[i] = batch->records[i].is_recorded;
    ack_batch_free(batch);
    batch = NULL;
    return changed;
}

static size_t one(enum ack_kind kind, int64_t server, uint64_t number, const struct hash *held,
                  const char *text)
{
    add(kind, server, number, held, text);
    return write_batch();
}

static void member_is(int64_t server, const char *state, const char *detail)
{
    ck_assert_str_eq(kit_text(pg, "SELECT state FROM member WHERE server_id = %lld",
                              (long long)server), state);
    ck_assert_str_eq(kit_text(pg, "SELECT detail FROM member WHERE server_id = %lld",
                              (long long)server), detail);
}

static const char *reason(int64_t server)
{
    return kit_text(pg, "SELECT reason FROM member WHERE server_id = %lld", (long long)server);
}

static const char *runs(int64_t server)
{
    return kit_text(pg, "SELECT obeyed || ' ' || revision || ' ' || outcome FROM server_scope"
                        " WHERE server_id = %lld", (long long)server);
}

static const char *runs_text(uint64_t dseq, const char *rest)
{
    static char text[64];

    snprintf(text, sizeof(text), "%llu %s", (unsigned long long)dseq, rest);
    return text;
}

/* ---------------------------------------------------------------- votes */

TEST(ready_once_and_again)
{
    ck_assert_uint_eq(one(ACK_READY, 1, attempt, NULL, NULL), 1);
    member_is(1, "ready", "");
    ck_assert_uint_eq(one(ACK_READY, 1, attempt, NULL, NULL), 0);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.acks'"), 1);
    ck_assert_int_eq(kit_int(pg, "SELECT rollout_id FROM audit WHERE action = 'rollout.acks'"),
                     rollout_id);
    ck_assert_str_eq(kit_text(pg, "SELECT data -> 'rollouts' -> r.public_id ->> 'ready' FROM audit,"
                                  " rollout AS r WHERE action = 'rollout.acks'"), "1");
}

TEST(refused_with_its_reason)
{
    one(ACK_REFUSED, 1, attempt, NULL, "nginx: unknown directive");
    member_is(1, "failed", "refused");
    ck_assert_str_eq(reason(1), "validate: nginx: unknown directive");
    ck_assert_int_eq(kit_int(pg, "SELECT outcome_rank - 2 * attempt_number FROM member"
                                 " WHERE server_id = 1"), 1); /* failed, as the core counts */
    ck_assert_uint_eq(one(ACK_READY, 1, attempt, NULL, NULL), 0);
    one(ACK_READY, 2, attempt, NULL, NULL);
    ck_assert_uint_eq(one(ACK_REFUSED, 2, attempt, NULL, "imaged anew"), 1); /* a refusal stands */
    member_is(2, "failed", "refused");
}

TEST(unknown_and_foreign_numbers_do_nothing)
{
    add(ACK_READY, 1, attempt + 1000, NULL, NULL);
    add(ACK_READY, 1, UINT64_MAX, NULL, NULL);
    add(ACK_READY, 4, attempt, NULL, NULL); /* no member */
    add(ACK_READY, 99, attempt, NULL, NULL);
    add(ACK_APPLIED, 1, attempt, &targets[0], NULL); /* an attempt is no decision */
    add(ACK_ABORTED, 1, attempt, NULL, NULL);     /* nothing was aborted */
    ck_assert_uint_eq(write_batch(), 0);
    member_is(1, "pending", "");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM audit WHERE action = 'rollout.acks'"), 0);
}

/* C2: what the core may count is what the database knows; repeated or not. */
TEST(who_asked_hears_what_was_recorded)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    ck_assert(recorded[0]);
    decide();
    add(ACK_READY, 1, attempt, NULL, NULL);
    add(ACK_APPLIED, 1, activate, &bases[0], NULL);
    add(ACK_APPLIED, 1, activate, NULL, NULL);
    add(ACK_ROLLED_BACK, 1, activate, &targets[0], NULL);
    add(ACK_APPLIED, 1, activate + 1000, &targets[0], NULL);
    add(ACK_APPLIED, 1, activate, &targets[0], NULL);
    write_batch();
    ck_assert(recorded[0]);
    for (int i = 1; i < 5; i++)
        ck_assert_msg(!recorded[i], "record %d", i);
    ck_assert(recorded[5]);
}

TEST(ready_after_the_decision_is_recorded)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    kit_sql(pg, "UPDATE member SET detail = 'silent', reason = 'x' WHERE server_id = 2");
    decide();
    one(ACK_READY, 2, attempt, NULL, NULL);
    member_is(2, "ready", "");
    ck_assert_str_eq(reason(2), "");
}

TEST(ready_after_the_abort_is_not)
{
    save((struct save){ .kind = SAVE_MOVE, .from = PHASE_PREPARING, .to = PHASE_ABORTING }, NULL,
         0);
    ck_assert_uint_eq(one(ACK_READY, 1, attempt, NULL, NULL), 0);
    ck_assert_uint_eq(one(ACK_ABORTED, 1, attempt, NULL, NULL), 1);
    ck_assert_uint_eq(one(ACK_ABORTED, 1, attempt, NULL, NULL), 0);
    member_is(1, "pending", "aborted");
}

/* ---------------------------------------------------------------- outcomes */

TEST(applied_counts_for_its_content)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, &bases[0], NULL), 0); /* S5 */
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, NULL, NULL), 0);
    member_is(1, "ready", "");
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, &targets[0], NULL), 2);
    member_is(1, "applied", "");
    ck_assert_str_eq(kit_text(pg, "SELECT steps FROM member WHERE server_id = 1"), "files=3ms");
    ck_assert_str_eq(runs(1), runs_text(activate, "2 ok"));
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, &targets[0], NULL), 0);
}

TEST(failed_with_its_reason)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_FAILED, 1, activate, &bases[0], "exit status 1");
    member_is(1, "failed", "activating");
    ck_assert_str_eq(reason(1), "reload: exit status 1, reverted to revision 1");
    ck_assert_str_eq(runs(1), runs_text(activate, "1 failed"));
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, &targets[0], NULL), 0);
    member_is(1, "failed", "activating");
}

static const char *told(const char *table, const char *what)
{
    return kit_text(pg, "SELECT %s FROM %s WHERE server_id = 1", what, table);
}

TEST(how_far_a_failed_one_came_and_where_it_went_back_to)
{
    char hex[HASH_HEX_SIZE], expected[HASH_HEX_SIZE + 64];

    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_FAILED, 1, activate, &bases[0], "exit status 1");
    hash_to_hex(&bases[0], hex);
    snprintf(expected, sizeof(expected), "{\"hash\": \"%s\", \"scope\": %lld, \"revision\": 1}",
             hex, (long long)scope_id);
    ck_assert_str_eq(told("member", "steps || ' ' || failed_step"), "files=3ms reload");
    ck_assert_str_eq(told("member", "reverted_to -> 0"), expected);
    ck_assert_str_eq(told("server_scope", "steps || ' ' || failed_step"), "files=3ms reload");
    ck_assert_str_eq(told("server_scope", "steps_json(steps)"),
                     "[{\"step\": \"files\", \"took_ms\": 3}]");
}

TEST(order_does_not_matter)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    add(ACK_FAILED, 1, activate, &bases[0], "x");
    add(ACK_APPLIED, 1, activate, &targets[0], NULL);
    add(ACK_READY, 1, attempt, NULL, NULL);
    write_batch();
    one(ACK_APPLIED, 2, activate, &targets[0], NULL);
    one(ACK_FAILED, 2, activate, &bases[0], "x");
    member_is(1, "failed", "activating");
    member_is(2, "failed", "activating");
    ck_assert_str_eq(runs(1), runs_text(activate, "1 failed"));
    ck_assert_str_eq(runs(2), runs_text(activate, "1 failed"));
}

TEST(rolled_back_from_everywhere)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_FAILED, 2, activate, &bases[0], "x");
    roll_back();
    add(ACK_ROLLED_BACK, 1, back, &bases[0], NULL);
    add(ACK_ROLLED_BACK, 2, back, &bases[0], NULL);
    add(ACK_ROLLED_BACK, 3, back, &targets[0], NULL); /* not the base */
    write_batch();
    member_is(1, "rolled_back", "");
    member_is(2, "rolled_back", "");
    member_is(3, "pending", "");
    ck_assert_ptr_nonnull(strstr(reason(2), "x"));
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, &targets[0], NULL), 0); /* late, of before */
    ck_assert_uint_eq(one(ACK_FAILED, 1, activate, &bases[0], "late"), 0);
    member_is(1, "rolled_back", "");
    ck_assert_str_eq(runs(1), runs_text(back, "1 ok"));
}

/* It never moved: the way back has nothing to take back there, and is not addressed to it. */
TEST(who_never_moved_is_not_addressed_by_the_way_back)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    roll_back();
    ck_assert_uint_eq(one(ACK_ABORTED, 2, back, NULL, NULL), 1);
    member_is(2, "pending", "aborted");
    ck_assert_str_eq(kit_text(pg, "SELECT obeyed FROM server_scope WHERE server_id = 2"), "0");
    ck_assert(recorded[0]);
}

TEST(who_cannot_go_back_is_broken)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_APPLIED, 1, activate, &targets[0], NULL);
    roll_back();
    one(ACK_FAILED, 1, back, &targets[0], "disk gone");
    member_is(1, "failed", "broken");
}

/* Told again, it went back after all: nothing is broken there any more. */
TEST(a_way_back_that_was_tried_again_is_recorded)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_APPLIED, 1, activate, &targets[0], NULL);
    roll_back();
    one(ACK_FAILED, 1, back, &bases[0], "disk gone");
    ck_assert_str_eq(runs(1), runs_text(back, "1 failed"));
    one(ACK_ROLLED_BACK, 1, back, &bases[0], NULL);
    member_is(1, "rolled_back", "");
    ck_assert_str_eq(runs(1), runs_text(back, "1 ok"));
}

static void ask_again(void)
{
    const int64_t cohort[] = { 1 };

    save((struct save){ .kind = SAVE_ATTEMPT, .from = PHASE_ACTIVATING, .to = PHASE_PREPARING,
                        .attempt = 2 }, cohort, 1);
}

TEST(a_retry_outdates_what_failed_before)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_FAILED, 1, activate, &targets[0], "went back");
    ask_again();
    ck_assert_uint_eq(one(ACK_APPLIED, 1, activate, &targets[0], NULL), 0); /* a late repeat */
    member_is(1, "pending", "");
}

TEST(a_late_failure_takes_an_applied_back)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    ask_again();
    one(ACK_APPLIED, 1, activate, &targets[0], NULL);
    member_is(1, "applied", "");
    one(ACK_FAILED, 1, activate, &targets[0], "went back");
    member_is(1, "pending", "");
}

TEST(who_applied_before_the_retry_belongs_to_it)
{
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_APPLIED, 1, activate, &targets[0], NULL);
    ask_again();
    member_is(1, "applied", "");
    one(ACK_FAILED, 1, activate, &targets[0], "went back");
    member_is(1, "pending", "");
}

/* It is asked again already; that it said no counts when nobody of its stage is left. */
TEST(a_late_refusal_of_before_is_remembered)
{
    const int64_t again[] = { 2 };

    save((struct save){ .kind = SAVE_ATTEMPT, .from = PHASE_PREPARING, .to = PHASE_PREPARING,
                        .attempt = 2 }, again, 1);
    ck_assert_uint_eq(one(ACK_REFUSED, 2, attempt, NULL, "nginx: unknown directive"), 0);
    member_is(2, "pending", "");
    ck_assert_int_eq(kit_int(pg, "SELECT outcome_rank FROM member WHERE server_id = 2"),
                     (int64_t)(2 * attempt + 1));
}

/* … but for members that were away: they have applied it, late. */
TEST(finalized_concerns_what_runs_only)
{
    uint64_t finalize;

    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_APPLIED, 1, activate, &targets[0], NULL);
    save((struct save){ .kind = SAVE_MOVE, .from = PHASE_ACTIVATING, .to = PHASE_BAKING }, NULL, 0);
    finalize = save((struct save){ .kind = SAVE_DECISION, .from = PHASE_BAKING,
                                   .to = PHASE_FINALIZING, .decision = DECISION_FINALIZE },
                    NULL, 0);
    said_steps = ""; /* it runs that content already */
    add(ACK_FINALIZED, 1, finalize, &targets[0], NULL);
    said_steps = "files=3ms";
    add(ACK_APPLIED, 4, finalize, &targets[0], NULL); /* a newcomer */
    ck_assert_uint_eq(write_batch(), 2);
    member_is(1, "applied", "");
    ck_assert_str_eq(runs(1), runs_text(finalize, "2 ok"));
    ck_assert_str_eq(runs(4), runs_text(finalize, "2 ok"));
    ck_assert_str_eq(told("server_scope", "steps"), "files=3ms"); /* of the ACTIVATE */
    ck_assert_uint_eq(one(ACK_APPLIED, 4, activate, &targets[0], NULL), 0); /* obeyed only grows */
    member_is(2, "pending", "");
    said_steps = "";
    ck_assert_uint_eq(one(ACK_FAILED, 2, finalize, &bases[0], "check: no"), 2);
    member_is(2, "pending", "failed_late"); /* it had no part in the stages */
    ck_assert_ptr_nonnull(strstr(reason(2), "release late: "));
    ck_assert_ptr_nonnull(strstr(reason(2), "check: no"));
    ck_assert_uint_eq(one(ACK_FAILED, 2, finalize, &bases[0], "check: no"), 0); /* no news */
    said_steps = "files=3ms";
    ck_assert_uint_eq(one(ACK_APPLIED, 2, finalize, &targets[0], NULL), 2); /* it, and its scope */
    member_is(2, "applied", "late");
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM member WHERE applied_at IS NOT NULL"
                                 " AND server_id = 2"), 1);
}

TEST(a_retry_ignores_the_failure_before)
{
    const int64_t again[] = { 2 };
    uint64_t second;

    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_FAILED, 2, activate, &bases[0], "x");
    second = save((struct save){ .kind = SAVE_ATTEMPT, .from = PHASE_ACTIVATING,
                                 .to = PHASE_PREPARING, .attempt = 2 }, again, 1);
    ck_assert_uint_eq(one(ACK_FAILED, 2, activate, &bases[0], "x"), 0);
    ck_assert_uint_eq(one(ACK_READY, 2, attempt, NULL, NULL), 0);
    member_is(2, "pending", "");
    ck_assert_uint_eq(one(ACK_READY, 2, second, NULL, NULL), 1);
}

/* What an agent says it runs makes it a member of nothing. */
TEST(no_membership_is_made)
{
    kit_sql(pg, "DELETE FROM server_scope WHERE server_id = 1");
    one(ACK_READY, 1, attempt, NULL, NULL);
    decide();
    one(ACK_APPLIED, 1, activate, &targets[0], NULL);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server_scope WHERE server_id = 1"), 0);
    kit_sql(pg, "DELETE FROM server WHERE server_id = 2");
    one(ACK_APPLIED, 2, activate, &targets[0], NULL);
    ck_assert_int_eq(kit_int(pg, "SELECT count(*) FROM server_scope WHERE server_id = 2"), 0);
}

TEST(ten_thousand_at_once)
{
    int64_t *all = calloc(10000, sizeof(*all)), began;
    struct save retry = { .kind = SAVE_ATTEMPT, .from = PHASE_PREPARING, .to = PHASE_PREPARING,
                          .attempt = 2 };

    kit_sql(pg, "INSERT INTO server (name, public_key, scopes) SELECT 'many-' || n,"
                " lpad(n::text, 40, 'm'), '{*}'"
                " FROM generate_series(1, 9996) AS n; INSERT INTO server_scope (server_id,"
                " scope_id) SELECT server_id, %lld FROM server WHERE server_id > 4",
            (long long)scope_id);
    for (int i = 0; i < 10000; i++)
        all[i] = i + 1;
    began = clock_monotonic_ms();
    attempt = save(retry, all, 10000);
    printf("10000 members: %lld ms\n", (long long)(clock_monotonic_ms() - began));
    for (int i = 1; i <= 10000; i++)
        add(ACK_READY, i, attempt, NULL, NULL);
    began = clock_monotonic_ms();
    ck_assert_uint_eq(write_batch(), 10000);
    printf("10000 ready: %lld ms\n", (long long)(clock_monotonic_ms() - began));
    activate = save((struct save){ .kind = SAVE_DECISION, .from = PHASE_PREPARING,
                                   .to = PHASE_ACTIVATING, .decision = DECISION_ACTIVATE,
                                   .attempt = 2, .number = attempt, .ready_min = 10000 }, NULL, 0);
    for (int i = 1; i <= 10000; i++)
        add(ACK_APPLIED, i, activate, &targets[0], NULL);
    began = clock_monotonic_ms();
    ck_assert_uint_eq(write_batch(), 20000);
    printf("10000 applied: %lld ms\n", (long long)(clock_monotonic_ms() - began));
    free(all);
}
