/* participant_orders.c - what an agent obeys: ACTIVATE, ROLLBACK, FINALIZE, starts after crashes.
 */
#include "tests/unit/participant_kit.h"

/* ---- ACTIVATE ---- */

TEST(pointer_is_durable_before_applying)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    ck_assert_ptr_null(effect(PARTICIPANT_APPLY));
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_APPLYING);
    ck_assert_uint_eq(promise(A)->slot_attempt, 0);
    saved();
    ck_assert(!must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
    expect_save(ACK_WORD_APPLIED, 6);
    ck_assert_ptr_null(effect(PARTICIPANT_SAY));
    ck_assert(!promise(A)->is_finalized);
}

TEST(repeated_decision_repeats_its_durable_outcome)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    order(ORDER_ACTIVATE, 6, 5, 1);
    ck_assert_uint_eq(out.count, 0);
    applied(true);
    order(ORDER_ACTIVATE, 6, 5, 1);
    ck_assert_uint_eq(out.count, 0); /* A3 is on its way: nothing is said before it */
    saved();
    order(ORDER_ACTIVATE, 6, 5, 1);
    expect_said(ACK_WORD_APPLIED, 6);
}

TEST(activate_without_slot_is_ignored)
{
    start();
    order(ORDER_ACTIVATE, 6, 5, 1);
    must(PARTICIPANT_DIGEST);
    ck_assert_uint_eq(out.count, 1);
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 2); /* another hash than the promised one */
    must(PARTICIPANT_DIGEST);
    ck_assert_uint_eq(promise(A)->obeyed, 0);
}

TEST(activation_keeps_what_was_good)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    ck_assert_uint_eq(promise(A)->lkg.revision, 1);
    ck_assert_uint_eq(promise(A)->active.revision, 2);
}

/* The FINALIZE of revision 1 never came, but it is the base of the next rollout. */
TEST(base_of_a_slot_is_good)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    applied(true);
    saved();
    promised(8, 2, 1);
    order(ORDER_ACTIVATE, 9, 8, 2);
    ck_assert_uint_eq(promise(A)->lkg.revision, 1);
}

TEST(failed_apply_reverts_and_says_failed)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    saved();
    applied(false);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    ck_assert_uint_eq(promise(A)->active.revision, 1);
    ck_assert(promise(A)->is_reverting);
    saved();
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
    expect_save(ACK_WORD_FAILED, 21);
    ck_assert(!must(PARTICIPANT_SAVE)->is_broken);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
    saved();
    order(ORDER_ACTIVATE, 21, 20, 2);
    expect_said(ACK_WORD_FAILED, 21);
}

TEST(failed_revert_is_broken)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    applied(false);
    saved();
    applied(false);
    expect_save(ACK_WORD_FAILED, 6);
    ck_assert(must(PARTICIPANT_SAVE)->is_broken);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_BROKEN);
}

/* ---- ROLLBACK and FINALIZE ---- */

TEST(rollback_needs_no_slot_and_beats_a_late_activate)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ROLLBACK, 7, 0, 0);
    expect_save(ACK_WORD_ROLLED_BACK, 7);
    ck_assert_uint_eq(promise(A)->slot_attempt, 0);
    saved();
    order(ORDER_ACTIVATE, 6, 5, 1);
    ck_assert_uint_eq(out.count, 0);
    ck_assert_uint_eq(promise(A)->active.revision, 0);
}

TEST(rollback_of_a_candidate_is_applied)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    saved();
    applied(true);
    saved();
    order(ORDER_ROLLBACK, 22, 0, 1);
    saved();
    must(PARTICIPANT_APPLY);
    applied(true);
    expect_save(ACK_WORD_ROLLED_BACK, 22);
    ck_assert(promise(A)->is_finalized);
}

TEST(rollback_that_cannot_be_applied_is_broken)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    applied(true);
    saved();
    order(ORDER_ROLLBACK, 7, 0, 0);
    saved();
    applied(false);
    expect_save(ACK_WORD_FAILED, 7);
    ck_assert(must(PARTICIPANT_SAVE)->is_broken);
}

TEST(newer_decision_overtakes_an_apply)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    order(ORDER_ROLLBACK, 7, 0, 0);
    must(PARTICIPANT_CANCEL);
    must(PARTICIPANT_SAVE);
    ck_assert_uint_eq(promise(A)->obeyed, 7);
    applied(true); /* an answer of the old work that slipped through changes nothing */
    ck_assert_uint_eq(promise(A)->obeyed, 7);
}

TEST(newer_decision_overtakes_a_switch_on_its_way)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    order(ORDER_ROLLBACK, 7, 0, 0);
    saved(); /* of the overtaken switch */
    ck_assert_uint_eq(out.count, 0);
    ended(PARTICIPANT_SAVED, 1, true);
    ck_assert_uint_eq(must(PARTICIPANT_APPLY)->number, 7);
}

/* The newer decision is about one of two scopes: the older goes on with the other, from the start.
 */
TEST(newer_decision_takes_its_scopes_out)
{
    start();
    prepare_both(5, 1);
    staged(true);
    saved();
    order_scopes(ORDER_ACTIVATE, 6, 5, 1, A, 2);
    saved();
    order_scopes(ORDER_ROLLBACK, 7, 0, 0, A, 1);
    ck_assert_uint_eq(must(PARTICIPANT_CANCEL)->task, 0);
    ck_assert_uint_eq(must(PARTICIPANT_APPLY)->scopes, BIT(B));
    ck_assert_uint_eq(must(PARTICIPANT_SAVE)->scopes, BIT(A));
    applied(true);
    expect_save(ACK_WORD_APPLIED, 6);
    ck_assert_uint_eq(must(PARTICIPANT_SAVE)->scopes, BIT(B));
    ck_assert_uint_eq(promise(A)->obeyed, 7);
    ck_assert_uint_eq(promise(B)->obeyed, 6);
}

TEST(each_scope_is_judged_by_its_own_number)
{
    start();
    prepare_both(5, 1);
    staged(true);
    saved();
    order_scopes(ORDER_FINALIZE, 8, 0, 0, B, 1);
    saved();
    order_scopes(ORDER_ACTIVATE, 6, 5, 1, A, 2);
    ck_assert_uint_eq(must(PARTICIPANT_SAVE)->scopes, BIT(A));
    ck_assert_uint_eq(promise(B)->obeyed, 8);
}

TEST(finalize_of_what_runs_only_marks_it)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    applied(true);
    saved();
    order(ORDER_FINALIZE, 7, 0, 1);
    expect_save(ACK_WORD_FINALIZED, 7);
    ck_assert_ptr_null(effect(PARTICIPANT_APPLY));
    ck_assert(promise(A)->is_finalized);
    ck_assert_uint_eq(promise(A)->lkg.revision, 0); /* until the next activation */
}

TEST(finalize_needs_no_base)
{
    start();
    order(ORDER_FINALIZE, 7, 0, 3);
    ck_assert(must(PARTICIPANT_STAGE)->is_forced);
    ck_assert_uint_eq(promise(A)->obeyed, 0);
    order(ORDER_FINALIZE, 7, 0, 3);
    ck_assert_uint_eq(out.count, 0);
    order(ORDER_ROLLBACK, 6, 0, 2);
    ck_assert_uint_eq(out.count, 0); /* below what is being staged */
    staged(true);
    saved();
    applied(true);
    expect_save(ACK_WORD_FINALIZED, 7);
    ck_assert(promise(A)->is_finalized);
}

TEST(finalize_that_cannot_be_staged_keeps_what_runs)
{
    start();
    released(1, 0);
    order(ORDER_FINALIZE, 30, 0, 3);
    staged(false);
    expect_save(ACK_WORD_FAILED, 30);
    ck_assert_uint_eq(promise(A)->active.revision, 1);
    ck_assert_uint_eq(promise(A)->obeyed, 30);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
}

TEST(late_finalize_leaves_the_next_promise)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    saved();
    applied(true);
    saved();
    promised(8, 2, 1);
    order(ORDER_FINALIZE, 7, 0, 1);
    ck_assert_uint_eq(promise(A)->slot_attempt, 8);
    saved();
    order(ORDER_ACTIVATE, 9, 8, 2);
    ck_assert_uint_eq(promise(A)->active.revision, 2);
}

TEST(unstaged_decision_over_half_applied_goes_back)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    saved();
    order(ORDER_FINALIZE, 30, 0, 3);
    ended(PARTICIPANT_STAGED, 1, false);
    ck_assert_uint_eq(must(PARTICIPANT_CANCEL)->task, 0);
    ck_assert_uint_eq(promise(A)->active.revision, 1);
    ended(PARTICIPANT_SAVED, 1, true);
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    ended(PARTICIPANT_APPLIED, 1, true);
    expect_save(ACK_WORD_FAILED, 30);
}

TEST(higher_generation_wins)
{
    struct target t = { .scope = A, .content = content(0) };

    start();
    order(ORDER_FINALIZE, 50, 0, 0);
    saved();
    step((struct participant_event){ .type = PARTICIPANT_ORDER,
                                     .order = ORDER_FINALIZE,
                                     .gen = 2,
                                     .number = 40,
                                     .targets = &t,
                                     .target_count = 1 });
    expect_save(ACK_WORD_FINALIZED, 40);
    ck_assert_uint_eq(promise(A)->gen, 2);
}

/* ---- starts ---- */

TEST(start_applies_again_and_then_reverts)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    for (unsigned starts = 1; starts <= PARTICIPANT_STARTS_MAX; starts++) {
        restart();
        must(PARTICIPANT_SAVE); /* the counter is durable before each apply */
        ck_assert_uint_eq(promise(A)->start_count, starts);
        saved();
        ck_assert(!must(PARTICIPANT_APPLY)->is_revert);
    }
    restart();
    ck_assert_uint_eq(promise(A)->active.revision, 1);
    saved();
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
    expect_save(ACK_WORD_FAILED, 21);
}

TEST(stop_on_purpose_does_not_count)
{
    start();
    promised(5, 1, 0);
    order(ORDER_ACTIVATE, 6, 5, 1);
    for (unsigned i = 0; i < 10; i++) {
        restart();
        ck_assert_uint_eq(promise(A)->start_count, 1);
        step((struct participant_event){ .type = PARTICIPANT_STOPPING });
        must(PARTICIPANT_SAVE);
    }
    ck_assert(!promise(A)->is_reverting);
}

TEST(way_back_is_continued_after_a_crash)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    saved();
    applied(false);
    restart();
    saved();
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    for (unsigned i = 0; i < 2 * PARTICIPANT_STARTS_MAX; i++)
        restart();
    expect_save(ACK_WORD_FAILED, 21);
    ck_assert(must(PARTICIPANT_SAVE)->is_broken);
}

TEST(scopes_of_one_decision_are_applied_again_together)
{
    start();
    prepare_both(5, 1);
    staged(true);
    saved();
    order_scopes(ORDER_ACTIVATE, 6, 5, 1, A, 2);
    restart();
    saved();
    ck_assert_uint_eq(must(PARTICIPANT_APPLY)->scopes, BIT(A) | BIT(B));
}
