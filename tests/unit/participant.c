/* participant.c - what an agent promises: PREPARE, ABORT, STATUS, eventual mode. */
#include "tests/unit/participant_kit.h"

/* ---- PREPARE ---- */

TEST(ready_is_promised_on_disk_first)
{
    start();
    prepare(5, 1, 0);
    ck_assert_uint_eq(must(PARTICIPANT_STAGE)->scopes, BIT(A));
    staged(true);
    expect_save(ACK_WORD_READY, 5);
    ck_assert_ptr_null(effect(PARTICIPANT_SAY));
    ck_assert_uint_eq(promise(A)->slot_attempt, 5);
    saved();
    ck_assert_uint_eq(out.count, 0);
}

TEST(repeated_prepare_is_answered_alike)
{
    start();
    prepare(5, 1, 0);
    prepare(5, 1, 0);
    ck_assert_uint_eq(out.count, 0);
    staged(true);
    prepare(5, 1, 0);
    ck_assert_uint_eq(out.count, 0); /* A1 is not durable yet */
    saved();
    prepare(5, 1, 0);
    expect_said(ACK_WORD_READY, 5);
}

TEST(refusal_is_durable_and_repeated)
{
    start();
    prepare(5, 1, 0);
    staged(false);
    expect_save(ACK_WORD_REFUSED, 5);
    ck_assert_int_eq(must(PARTICIPANT_SAVE)->refusal, REFUSAL_STAGING);
    ck_assert_uint_eq(promise(A)->slot_attempt, 0);
    ck_assert_uint_eq(promise(A)->closed, 0);
    saved();
    prepare(5, 1, 0);
    expect_said(ACK_WORD_REFUSED, 5);
    restart();
    prepare(5, 1, 0);
    expect_said(ACK_WORD_REFUSED, 5);
    prepare(4, 2, 0);
    ck_assert_uint_eq(out.count, 0);
    prepare(6, 2, 0);
    must(PARTICIPANT_STAGE);
}

TEST(off_base_is_said_and_not_kept)
{
    start();
    prepare(5, 2, 1);
    expect_said(ACK_WORD_REFUSED, 5);
    ck_assert_int_eq(must(PARTICIPANT_SAY)->refusal, REFUSAL_BASE);
    must(PARTICIPANT_DIGEST);
    ck_assert_ptr_null(effect(PARTICIPANT_SAVE));
    prepare(5, 2, 0);
    must(PARTICIPANT_STAGE); /* caught up meanwhile: asked again, it prepares */
}

TEST(half_applied_is_no_base)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    prepare(7, 2, 1);
    ck_assert_int_eq(must(PARTICIPANT_SAY)->refusal, REFUSAL_BASE);
}

TEST(base_is_looked_at_again_when_staged)
{
    start();
    prepare(9, 2, 0);
    order(ORDER_FINALIZE, 3, 0, 1);
    ended(PARTICIPANT_STAGED, 1, true);
    ended(PARTICIPANT_SAVED, 1, true);
    ended(PARTICIPANT_APPLIED, 1, true);
    staged(true);
    ck_assert_int_eq(must(PARTICIPANT_SAY)->refusal, REFUSAL_BASE);
    ck_assert_uint_eq(promise(A)->slot_attempt, 0);
}

TEST(newer_prepare_replaces_staging_and_slot)
{
    start();
    prepare(5, 1, 0);
    prepare(7, 2, 0);
    must(PARTICIPANT_CANCEL);
    must(PARTICIPANT_STAGE);
    prepare(6, 1, 0);
    ck_assert_uint_eq(out.count, 0);
    staged(true);
    saved();
    prepare(8, 3, 0);
    ck_assert_uint_eq(promise(A)->slot_attempt, 7); /* kept until the new promise is made */
    staged(true);
    ck_assert_uint_eq(promise(A)->slot_attempt, 8);
    saved();
    prepare(7, 2, 0);
    ck_assert_uint_eq(out.count, 0);
}

TEST(failed_staging_of_a_retry_keeps_the_old_promise)
{
    start();
    promised(5, 1, 0);
    prepare(7, 1, 0);
    staged(false);
    ck_assert_uint_eq(promise(A)->slot_attempt, 5);
}

TEST(one_promise_covers_all_its_scopes)
{
    start();
    prepare_both(5, 1);
    staged(true);
    ck_assert_uint_eq(must(PARTICIPANT_SAVE)->scopes, BIT(A) | BIT(B));
    ck_assert_uint_eq(promise(B)->slot_attempt, 5);
}

/* A scope that the agent reads only since its promise: asked again it promises that one too, and
 * the decision about both finds both. */
TEST(a_scope_that_is_added_joins_the_promise)
{
    start();
    promised(5, 1, 0);
    prepare_both(5, 1);
    ck_assert_uint_eq(must(PARTICIPANT_STAGE)->scopes, BIT(B));
    staged(true);
    expect_save(ACK_WORD_READY, 5);
    ck_assert_uint_eq(promise(A)->slot_attempt, 5);
    ck_assert_uint_eq(promise(B)->slot_attempt, 5);
    saved();
    order_scopes(ORDER_ACTIVATE, 6, 5, 1, A, 2);
    ck_assert_uint_eq(must(PARTICIPANT_SAVE)->scopes, BIT(A) | BIT(B));
}

TEST(prepare_without_scopes_is_ignored)
{
    start();
    step((struct participant_event){ .type = PARTICIPANT_PREPARE, .number = 3 });
    ck_assert_uint_eq(out.count, 0);
    ck_assert_ptr_nonnull(because);
}

TEST(full_table_says_busy)
{
    static struct participant full;
    struct promise loaded[PARTICIPANT_SCOPES_MAX] = { { 0 } };
    struct target t = { .content = content(1) };

    participant_init(&full, PARTICIPANT_SCOPES_MAX, loaded);
    participant_step(&full, &(struct participant_event){ .type = PARTICIPANT_STARTED }, &out);
    for (unsigned i = 0; i < PARTICIPANT_TASKS_MAX; i++) {
        t.scope = i;
        out.count = 0;
        participant_step(
            &full,
            &(struct participant_event){
                .type = PARTICIPANT_PREPARE, .number = 5, .targets = &t, .target_count = 1 },
            &out);
        full.tasks[i].number = 100 + i;
    }
    t.scope = 0;
    for (unsigned type = 0; type < 2; type++) {
        out.count = 0;
        participant_step(
            &full,
            &(struct participant_event){ .type = type ? PARTICIPANT_ORDER : PARTICIPANT_PREPARE,
                                         .order = type ? ORDER_FINALIZE : ORDER_NONE,
                                         .gen = 1,
                                         .number = 900,
                                         .targets = &t,
                                         .target_count = 1 },
            &out);
        ck_assert_uint_eq(out.count, type ? 0 : 1);
    }
    full.promises[0].slot_attempt = 77;
    for (unsigned type = 0; type < 2; type++) {
        out.count = 0;
        participant_step(
            &full,
            &(struct participant_event){ .type = type ? PARTICIPANT_ABORT : PARTICIPANT_ANSWERED,
                                         .number = 77 },
            &out);
        ck_assert_uint_eq(out.count, 0);
        ck_assert_uint_eq(full.promises[0].slot_attempt, 77);
    }
}

/* ---- ABORT, STATUS ---- */

TEST(abort_clears_the_slot_then_says_so)
{
    start();
    promised(5, 1, 0);
    tell(PARTICIPANT_ABORT, 5, false);
    must(PARTICIPANT_SAVE);
    ck_assert_ptr_null(effect(PARTICIPANT_SAY));
    tell(PARTICIPANT_ABORT, 5, false);
    ck_assert_uint_eq(out.count, 0);
    saved();
    expect_said(ACK_WORD_ABORTED, 5);
    ck_assert_uint_eq(promise(A)->closed, 5);
    prepare(5, 1, 0);
    ck_assert_uint_eq(out.count, 0);
}

TEST(abort_ends_staging)
{
    start();
    prepare(5, 1, 0);
    tell(PARTICIPANT_ABORT, 5, false);
    must(PARTICIPANT_CANCEL);
    ck_assert_uint_eq(promise(A)->closed, 5);
}

TEST(old_abort_leaves_the_new_promise)
{
    start();
    promised(5, 1, 0);
    promised(8, 2, 0);
    tell(PARTICIPANT_ABORT, 5, false);
    expect_said(ACK_WORD_ABORTED, 5);
    ck_assert_uint_eq(promise(A)->slot_attempt, 8);
}

TEST(abort_before_its_prepare)
{
    start();
    tell(PARTICIPANT_ABORT, 5, false);
    expect_said(ACK_WORD_ABORTED, 5);
    prepare(5, 1, 0);
    ck_assert_uint_eq(out.count, 0);
    prepare(6, 1, 0);
    must(PARTICIPANT_STAGE);
}

/* Newer settings make another participant on the same connection, for other scopes perhaps. */
TEST(abort_before_its_prepare_and_newer_settings)
{
    struct participant_closed closed;

    start();
    tell(PARTICIPANT_ABORT, 5, false);
    closed = p.closed_before;
    restart();
    participant_carry(&p, &closed);
    prepare(5, 1, 0);
    ck_assert_uint_eq(out.count, 0);
    prepare(6, 1, 0);
    must(PARTICIPANT_STAGE);
}

TEST(abort_of_an_obeyed_attempt_is_ignored)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    tell(PARTICIPANT_ABORT, 5, false);
    ck_assert_uint_eq(out.count, 0);
    ck_assert_uint_eq(promise(A)->active.revision, 1);
}

TEST(doubt_asks_and_never_drops_by_itself)
{
    unsigned asked = 0;

    start();
    promised(5, 1, 0);
    for (int64_t now = 0; now < 24 * 3600 * 1000; now += 1000) {
        step((struct participant_event){
            .type = PARTICIPANT_TICKED, .now_ms = now, .chance = (uint64_t)now * 7919 });
        asked += effect(PARTICIPANT_ASK) != NULL;
    }
    ck_assert_uint_gt(asked, 24 * 60 / 2);
    ck_assert_uint_lt(asked, 24 * 60 * 2 + 20);
    ck_assert_uint_eq(promise(A)->slot_attempt, 5);
    tell(PARTICIPANT_ANSWERED, 5, true);
    ck_assert_uint_eq(out.count, 0);
    tell(PARTICIPANT_ANSWERED, 4, false);
    ck_assert_uint_eq(out.count, 0);
    tell(PARTICIPANT_ANSWERED, 5, false);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    ck_assert_uint_eq(promise(A)->slot_attempt, 0);
}

TEST(new_session_asks_once_per_attempt)
{
    start();
    prepare_both(5, 1);
    staged(true);
    saved();
    step((struct participant_event){ .type = PARTICIPANT_CONNECTED });
    ck_assert_uint_eq(out.count, 1);
    ck_assert_uint_eq(must(PARTICIPANT_ASK)->number, 5);
}

/* ---- eventual mode ---- */

TEST(eventual_prepare_goes_on_by_itself)
{
    start();
    prepare_eventual(5, 6, 1, 0);
    staged(true);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    saved();
    ck_assert_uint_eq(promise(A)->obeyed, 6);
    must(PARTICIPANT_SAVE);
    saved();
    must(PARTICIPANT_APPLY);
    prepare_eventual(5, 6, 1, 0);
    ck_assert_uint_eq(out.count, 0);
    applied(true);
    expect_save(ACK_WORD_APPLIED, 6);
    saved();
    prepare_eventual(5, 6, 1, 0);
    expect_said(ACK_WORD_APPLIED, 6);
}

TEST(eventual_promise_is_finished_after_a_crash)
{
    start();
    prepare_eventual(5, 6, 1, 0);
    staged(true);
    restart();
    prepare_eventual(5, 6, 1, 0);
    must(PARTICIPANT_SAVE);
    ck_assert_uint_eq(promise(A)->obeyed, 6);
}

TEST(eventual_promise_aborted_before_it_is_durable)
{
    start();
    prepare_eventual(5, 6, 1, 0);
    staged(true);
    tell(PARTICIPANT_ABORT, 5, false);
    saved();
    ck_assert_ptr_null(effect(PARTICIPANT_SAVE));
    ck_assert_uint_eq(promise(A)->obeyed, 0);
}
