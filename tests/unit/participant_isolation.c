/* participant_isolation.c - tests of candidates that are given up when no coordinator is heard. */
#include "tests/unit/participant_kit.h"

#define LIMIT 5000

/* Runs candidate `to` on `base`, applied and not finalized: attempt 10n, decision 10n+1. */
static void activated(unsigned to, unsigned base, uint32_t isolation_ms)
{
    struct target t = { .scope = A, .content = content(to), .base = content(base) };

    step((struct participant_event){ .type = PARTICIPANT_PREPARE,
                                     .number = 10 * to,
                                     .isolation_ms = isolation_ms,
                                     .targets = &t,
                                     .target_count = 1 });
    staged(true);
    saved();
    order(ORDER_ACTIVATE, 10 * to + 1, 10 * to, to);
    saved();
    applied(true);
    saved();
}

static void silent_for(int64_t ms)
{
    step((struct participant_event){ .type = PARTICIPANT_TICKED, .silent_ms = ms });
}

static void expect_way_back(unsigned to)
{
    ck_assert(promise(A)->is_reverting);
    ck_assert_uint_eq(promise(A)->active.revision, to);
    ck_assert(!must(PARTICIPANT_SAVE)->has_ack);
    saved();
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
}

TEST(candidate_is_given_up)
{
    start();
    released(1, 0);
    activated(2, 1, LIMIT);
    silent_for(LIMIT - 1);
    ck_assert_ptr_null(because);
    silent_for(LIMIT);
    expect_way_back(1);
    expect_save(ACK_WORD_FAILED, 21);
    ck_assert(must(PARTICIPANT_SAVE)->is_cut_off);
    saved();
    silent_for(10 * LIMIT);
    ck_assert_ptr_null(because);
}

TEST(nobody_asked_for_it)
{
    start();
    released(1, 0);
    activated(2, 1, 0);
    silent_for(INT64_C(7) * 86400 * 1000);
    ck_assert_ptr_null(because);
    ck_assert_uint_eq(promise(A)->active.revision, 2);
}

TEST(what_is_finalized_stays)
{
    start();
    released(1, 0);
    activated(2, 1, LIMIT);
    order(ORDER_FINALIZE, 22, 0, 2);
    saved();
    silent_for(10 * LIMIT);
    ck_assert_ptr_null(because);
    ck_assert_uint_eq(promise(A)->active.revision, 2);
}

TEST(first_revision_goes_back_to_none)
{
    start();
    activated(1, 0, LIMIT);
    silent_for(LIMIT);
    expect_way_back(0);
    expect_save(ACK_WORD_FAILED, 11);
}

TEST(repeated_activate_hears_of_the_failure)
{
    start();
    released(1, 0);
    activated(2, 1, LIMIT);
    silent_for(LIMIT);
    expect_way_back(1);
    saved();
    order(ORDER_ACTIVATE, 21, 20, 2);
    expect_said(ACK_WORD_FAILED, 21);
}

TEST(a_newer_decision_brings_it_again)
{
    start();
    released(1, 0);
    activated(2, 1, LIMIT);
    silent_for(LIMIT);
    expect_way_back(1);
    saved();
    order(ORDER_FINALIZE, 22, 0, 2);
    must(PARTICIPANT_STAGE);
    staged(true);
    saved();
    applied(true);
    expect_save(ACK_WORD_FINALIZED, 22);
    ck_assert_uint_eq(promise(A)->active.revision, 2);
}

TEST(way_back_goes_on_after_a_crash)
{
    start();
    released(1, 0);
    activated(2, 1, LIMIT);
    silent_for(LIMIT);
    restart();
    saved();
    ck_assert(must(PARTICIPANT_APPLY)->is_revert);
    applied(true);
    expect_save(ACK_WORD_FAILED, 21);
}

TEST(limit_outlives_a_restart)
{
    start();
    released(1, 0);
    activated(2, 1, LIMIT);
    restart();
    silent_for(LIMIT);
    expect_way_back(1);
}

TEST(scopes_of_one_decision_go_back_together)
{
    struct target t[2] = { { .scope = A, .content = content(1) },
                           { .scope = B, .content = content(1) } };

    start();
    step((struct participant_event){ .type = PARTICIPANT_PREPARE,
                                     .number = 10,
                                     .isolation_ms = LIMIT,
                                     .targets = t,
                                     .target_count = 2 });
    staged(true);
    saved();
    order_scopes(ORDER_ACTIVATE, 11, 10, 1, A, 2);
    saved();
    applied(true);
    saved();
    silent_for(LIMIT);
    ck_assert_uint_eq(must(PARTICIPANT_SAVE)->scopes, BIT(A) | BIT(B));
}
