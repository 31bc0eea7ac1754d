/* participant_still.c - a way back on a server that never moved, or cannot take what it names. */
#include "tests/unit/participant_kit.h"

static bool runs(unsigned n)
{
    struct content c = content(n);

    return hash_equal(&promise(A)->active.hash, &c.hash);
}

/* Runs content 1, finalized by 12; content 2 was released by 22, and could not be applied here. */
static void failed_the_release(void)
{
    start();
    released(1, 0);
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    saved();
    applied(false);
    saved();
    applied(true);
    expect_save(ACK_WORD_FAILED, 22);
    saved();
    ck_assert(runs(1));
}

/* The rollout to content 3 never moved it: its way back names the very content it cannot run. */
TEST(who_never_moved_goes_nowhere)
{
    failed_the_release();
    prepare(30, 3, 2);
    ck_assert_int_eq(must(PARTICIPANT_SAY)->refusal, REFUSAL_BASE);
    order(ORDER_ROLLBACK, 33, 0, 2);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    ck_assert_ptr_null(effect(PARTICIPANT_STAGE));
    ck_assert_ptr_null(effect(PARTICIPANT_APPLY));
    ck_assert_ptr_null(effect(PARTICIPANT_SAY)); /* not before it is durable */
    order(ORDER_ROLLBACK, 33, 0, 2);
    ck_assert_uint_eq(out.count, 0);
    saved();
    expect_said(ACK_WORD_ABORTED, 33);
    ck_assert(runs(1));
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
    ck_assert_uint_eq(promise(A)->obeyed, 22);
}

TEST(that_nothing_was_taken_back_is_said_again)
{
    failed_the_release();
    order(ORDER_ROLLBACK, 33, 0, 2);
    saved();
    restart();
    order(ORDER_ROLLBACK, 33, 0, 2);
    expect_said(ACK_WORD_ABORTED, 33);
    ck_assert_ptr_null(effect(PARTICIPANT_SAVE));
}

/* What comes late of the rollout that was taken back finds nothing to open. */
TEST(late_words_of_the_rollout_find_nothing)
{
    failed_the_release();
    order(ORDER_ROLLBACK, 33, 0, 2);
    saved();
    prepare(30, 3, 1);
    ck_assert_uint_eq(out.count, 0);
    order(ORDER_ACTIVATE, 31, 30, 3);
    ck_assert_ptr_null(effect(PARTICIPANT_SAVE));
    order(ORDER_FINALIZE, 22, 0, 2); /* what is released is tried again when it is said again */
    must(PARTICIPANT_STAGE);
}

/* It comes while the release is applied once more. */
static void expect_a_late_copy_to_change_nothing(void)
{
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    saved();
    must(PARTICIPANT_APPLY);
    order(ORDER_ROLLBACK, 33, 0, 4);
    expect_said(ACK_WORD_ABORTED, 33);
    ck_assert_ptr_null(effect(PARTICIPANT_STAGE));
    ck_assert_ptr_null(effect(PARTICIPANT_SAVE));
    applied(true);
    expect_save(ACK_WORD_FINALIZED, 22);
    ck_assert_uint_eq(promise(A)->obeyed, 22);
}

/* The release is tried again meanwhile, and is half applied when the way back is said once more.
 * The coordinator counts on the first answer, and would not say it again if it failed. */
TEST(a_way_back_that_was_declined_is_never_obeyed)
{
    failed_the_release();
    order(ORDER_ROLLBACK, 33, 0, 4);
    saved();
    expect_said(ACK_WORD_ABORTED, 33);
    expect_a_late_copy_to_change_nothing();
}

/* The way back of the next rollout was declined meanwhile, and a late copy of the one before comes.
 */
TEST(an_older_way_back_that_was_declined_is_never_obeyed)
{
    failed_the_release();
    order(ORDER_ROLLBACK, 33, 0, 4);
    saved();
    order(ORDER_ROLLBACK, 43, 0, 4);
    saved();
    expect_said(ACK_WORD_ABORTED, 43);
    expect_a_late_copy_to_change_nothing();
}

/* The release failed while the slot was held, and the candidate as well: what runs is older than
 * both. The release is below the ACTIVATE and would not be obeyed: the way back is. */
TEST(a_way_back_is_for_whom_the_candidate_failed)
{
    start();
    released(1, 0);
    promised(30, 3, 1);
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    ended(PARTICIPANT_SAVED, 0, true);
    applied(false);
    saved();
    applied(true);
    saved();
    ck_assert(runs(1));
    order(ORDER_ACTIVATE, 31, 30, 3);
    saved();
    applied(false);
    saved();
    applied(true);
    saved();
    ck_assert(runs(1));
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
    order(ORDER_ROLLBACK, 33, 0, 2);
    ck_assert_ptr_nonnull(effect(PARTICIPANT_STAGE));
    staged(true);
    saved();
    applied(true);
    expect_save(ACK_WORD_ROLLED_BACK, 33);
    ck_assert(runs(2));
}

/* It was obeyed, failed, and what was good before runs. */
static void failed_the_way_back(void)
{
    start();
    released(1, 0);
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    saved();
    order(ORDER_ROLLBACK, 33, 0, 4);
    ended(PARTICIPANT_STAGED, 1, true);
    ended(PARTICIPANT_SAVED, 1, true);
    ended(PARTICIPANT_APPLIED, 1, false);
    ended(PARTICIPANT_SAVED, 1, true);
    ended(PARTICIPANT_APPLIED, 1, true);
    expect_save(ACK_WORD_FAILED, 33);
    ended(PARTICIPANT_SAVED, 1, true);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
}

/* It was obeyed, and failed: told again it is staged and applied again, not called kept. */
TEST(a_way_back_that_failed_is_taken_up_again)
{
    failed_the_way_back();
    order(ORDER_ROLLBACK, 33, 0, 4);
    must(PARTICIPANT_STAGE);
    staged(true);
    saved();
    ck_assert(!must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
    expect_save(ACK_WORD_ROLLED_BACK, 33);
    ck_assert(runs(4));
}

/* Nothing is half applied: that its content cannot be had now makes it no worse. */
TEST(a_way_back_that_cannot_be_tried_again_is_no_worse)
{
    failed_the_way_back();
    order(ORDER_ROLLBACK, 33, 0, 4);
    staged(false);
    expect_save(ACK_WORD_FAILED, 33);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
}

/* The candidate failed, and what was good before runs: the way back cannot be had, and nothing is
 * half applied for it. */
TEST(a_way_back_that_cannot_be_had_breaks_nothing)
{
    start();
    released(1, 0);
    promised(30, 3, 1);
    order(ORDER_ACTIVATE, 31, 30, 3);
    saved();
    applied(false);
    saved();
    applied(true);
    saved();
    order(ORDER_ROLLBACK, 33, 0, 2);
    staged(false);
    expect_save(ACK_WORD_FAILED, 33);
    ck_assert(!must(PARTICIPANT_SAVE)->is_broken);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_FAILED);
    ck_assert(runs(1));
}

/* Half of something runs; that a newer decision cannot be had mends nothing. */
TEST(what_is_broken_stays_so_until_something_is_applied)
{
    failed_the_release();
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    saved();
    applied(false);
    saved();
    applied(false);
    saved();
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_BROKEN);
    order(ORDER_FINALIZE, 42, 0, 4);
    staged(false);
    expect_save(ACK_WORD_FAILED, 42);
    ck_assert(must(PARTICIPANT_SAVE)->is_broken);
    ck_assert_int_eq(promise(A)->outcome, OUTCOME_BROKEN);
}

/* In A there is something to take back, which fails; in B nothing of the rollout was activated. The
 * answer about B comes before A is tried again, and with every further try. */
TEST(what_fails_in_one_scope_hides_no_answer_of_another)
{
    failed_the_release();
    order_scopes(ORDER_FINALIZE, 23, 0, 1, B, 1); /* something else than the base runs there */
    staged(true);
    saved();
    applied(true);
    saved();
    promised(40, 3, 1);
    order(ORDER_ACTIVATE, 41, 40, 3);
    saved();
    applied(true);
    saved();
    for (int i = 0; i < 2; i++) {
        order_scopes(ORDER_ROLLBACK, 43, 0, 2, A, 2);
        if (i == 0)
            ck_assert_ptr_null(effect(PARTICIPANT_SAY));
        else
            ck_assert_uint_eq(must(PARTICIPANT_SAY)->scopes, BIT(B));
        ck_assert_uint_eq(must(PARTICIPANT_STAGE)->scopes, BIT(A));
        staged(true);
        saved();
        applied(false);
        saved();
        applied(true);
        expect_save(ACK_WORD_FAILED, 43);
        saved();
        if (i > 0)
            break;
        order_scopes(ORDER_ROLLBACK, 43, 0, 2, A, 2);
        ck_assert_ptr_null(effect(PARTICIPANT_STAGE));
        saved();
        ck_assert_uint_eq(must(PARTICIPANT_SAY)->scopes, BIT(B));
        expect_said(ACK_WORD_ABORTED, 43);
    }
}

/* It is in the middle of the release when the way back overtakes it, and fails: it had something
 * good before, and has it again. */
TEST(a_way_back_that_fails_leaves_what_was_good)
{
    start();
    released(1, 0);
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    saved();
    must(PARTICIPANT_APPLY);
    order(ORDER_ROLLBACK, 33, 0, 2);
    ended(PARTICIPANT_SAVED, 1, true);
    ended(PARTICIPANT_APPLIED, 1, false);
    ck_assert_ptr_nonnull(effect(PARTICIPANT_SAVE));
    ended(PARTICIPANT_SAVED, 1, true);
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    ended(PARTICIPANT_APPLIED, 1, true);
    expect_save(ACK_WORD_FAILED, 33);
    ck_assert(!must(PARTICIPANT_SAVE)->is_broken);
    ck_assert(runs(1));
}

/* What it overtook ended while its content was fetched: by then there is nothing to take back. */
TEST(a_way_back_is_looked_at_again_when_it_is_staged)
{
    start();
    released(1, 0);
    order(ORDER_FINALIZE, 22, 0, 2);
    staged(true);
    saved();
    order(ORDER_ROLLBACK, 33, 0, 4);
    must(PARTICIPANT_STAGE);
    applied(false);
    saved();
    applied(true);
    saved();
    ended(PARTICIPANT_STAGED, 1, true);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    ended(PARTICIPANT_SAVED, 1, true);
    expect_said(ACK_WORD_ABORTED, 33);
    ck_assert(runs(1));
}

/* A candidate never stays where a way back was decided. */
TEST(a_candidate_leaves_even_when_the_base_cannot_be_had)
{
    start();
    released(1, 0);
    promised(20, 2, 1);
    order(ORDER_ACTIVATE, 21, 20, 2);
    saved();
    applied(true);
    saved();
    order(ORDER_ROLLBACK, 33, 0, 4);
    staged(false);
    saved();
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
    expect_save(ACK_WORD_FAILED, 33);
    ck_assert(runs(1));
}

/* The coordinator did not record what B said, and owes the decision there: it is said again, though
 * what fails in A is told alone. */
TEST(what_fails_in_one_scope_hides_no_outcome_of_another)
{
    failed_the_release();
    order_scopes(ORDER_FINALIZE, 22, 0, 2, B, 1);
    staged(true);
    saved();
    applied(true);
    saved();
    ck_assert_int_eq(promise(B)->outcome, OUTCOME_OK);
    order_scopes(ORDER_FINALIZE, 22, 0, 2, A, 2);
    ck_assert_uint_eq(must(PARTICIPANT_STAGE)->scopes, BIT(A));
    expect_said(ACK_WORD_FINALIZED, 22);
    ck_assert_uint_eq(must(PARTICIPANT_SAY)->scopes, BIT(B));
}
