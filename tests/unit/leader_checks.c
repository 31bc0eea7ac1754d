/* leader_checks.c - local checks and budgets: whose verdict counts, since when, and who is excused. */
#include "tests/unit/leader_kit.h"

static void setup_two_scopes(void)
{
    widen_to_two_scopes();
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

/* What the last scope of a digest says does not hide what another one said before it. */
TEST(a_check_that_fails_in_the_first_scope_counts)
{
    setup_two_scopes();
    pong(0, 2, true, false);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

TEST(a_check_that_fails_in_the_last_scope_counts)
{
    setup_two_scopes();
    pong(0, 2, false, true);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

TEST(a_check_that_recovers_in_every_scope_is_forgiven)
{
    load.strategy.stages[0].max_failed.count = 1;
    setup_two_scopes();
    pong(0, 2, true, true);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0x01);
    pong(0, 2, true, false);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0x01);
    pong(0, 2, false, false);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

/* The digest was quicker than the recording of APPLIED: the next stage does not open over it. */
TEST(a_check_heard_before_applied_is_recorded_counts)
{
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    pong(0, 2, true, false);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

static void fail_meanwhile(void)
{
    if (leader_rollout(l, 1)->is_opened)
        pong(0, 2, true, false);
}

/* Servers are chosen outside the core, which takes a moment: what was heard in it counts. */
TEST(a_check_that_fails_while_servers_are_chosen_counts)
{
    on_choosing(fail_meanwhile);
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
}

/* Of what ran before: it says nothing about the candidate. */
TEST(a_check_of_the_old_content_does_not_count)
{
    load.strategy.stages[0].bake_ms = 10000;
    everybody_says_hello();
    start();
    pong(0, 0, true, false);
    ack(ACK_READY, 0, 1);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

/* A server that the change broke fails its check by then; being asked again does not make that its
 * own fault. */
TEST(a_retry_excuses_nobody)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0xff, 1);
    acks(ACK_APPLIED, 0xfe, 2);
    ack(ACK_FAILED, 0, 2);
    ck_assert(leader_rollout(l, 1)->is_paused);
    pong(0, 2, true, false);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ack(ACK_READY, 0, number());
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ack(ACK_FAILED, 0, dseq);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert(leader_rollout(l, 1)->is_paused);
}

static void move(enum leader_event_type type, uint32_t server)
{
    struct leader_event ev = event(type);

    ev.server = server;
    ev.scope = 0;
    step(ev);
}

/* Two servers bake; one of them leaves the scope. */
static void leave_while_baking(void)
{
    pair = true;
    load.strategy.stages[0].bake_ms = 10000;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    acks(ACK_APPLIED, 0x03, 2);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    move(LEADER_WITHDREW, 0);
}

/* The digest that brings it back to the scope is heard before its row is durable: what it says of
 * the candidate counts as soon as it belongs to the scope, and no earlier. */
TEST(a_check_told_on_coming_back_counts)
{
    leave_while_baking();
    pong(0, 2, true, false);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    move(LEADER_JOINED, 0);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

/* Neither its row in the scope nor its APPLIED was durable when it told. */
TEST(a_check_told_before_row_and_applied_counts)
{
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    ack(ACK_APPLIED, 1, 2);
    move(LEADER_WITHDREW, 0);
    pong(0, 2, true, false);
    move(LEADER_JOINED, 0);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

/* The number of the attempt is 1 and of its ACTIVATE 2; a retry asks as 3, its ACTIVATE is 4. */
static void retry_who_was_silent(void)
{
    load.strategy.is_eventual = true;
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    tick(31000);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(number(), 3);
    ck_assert_uint_eq(leader_due(l, 0, 0), 4);
}

/* Of the ACTIVATE that is replaced by now: the database knows what it was. */
static void ack_of_the_first(enum ack_kind kind)
{
    const struct ack a = { .kind = kind, .number = 2, .rollout = 1, .attempt = 1 };
    struct leader_event ev = event(LEADER_ACKS_SAVED);

    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
}

/* It runs the candidate of the attempt before: its APPLIED counts, and so does its check. */
TEST(a_check_of_a_replaced_attempt_counts)
{
    retry_who_was_silent();
    pong(0, 2, true, false);
    ack_of_the_first(ACK_APPLIED);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0x01);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_uint_eq(leader_rollout(l, 1)->opened.words[0], 0x01);
}

TEST(a_check_told_before_the_retry_counts)
{
    load.strategy.is_eventual = true;
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    pong(0, 2, true, false);
    tick(31000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_due(l, 0, 0), 4);
    ack_of_the_first(ACK_APPLIED);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0x01);
}

/* Where the attempt before failed the last known good runs, and the check speaks of that. */
TEST(a_check_after_going_back_does_not_count)
{
    struct heard_scope heard = { .scope = 0, .obeyed = 2, .is_check_failing = true,
                                 .is_failed = true };
    struct leader_event ev;

    retry_who_was_silent();
    pong(0, 2, true, false);
    ack_of_the_first(ACK_FAILED);
    ev = event(LEADER_PONG_RECEIVED);
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
    ack(ACK_APPLIED, 0, 4);
    ck_assert_uint_eq(leader_rollout(l, 1)->applied.words[0], 0x01);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0);
}

TEST(a_check_is_over_where_the_candidate_failed)
{
    retry_who_was_silent();
    pong(0, 2, true, false);
    ack_of_the_first(ACK_FAILED);
    ack(ACK_APPLIED, 0, 4);
    ck_assert_uint_eq(leader_rollout(l, 1)->applied.words[0], 0x01);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0);
}

/* All of its members were asked again: a new leader knows what is of the rollout all the same. */
TEST(a_check_of_a_replaced_attempt_counts_after_a_takeover)
{
    const struct member_load member = { .attempt_number = 3, .is_ready = true, .is_applied = true,
                                        .outcome = outcome_rank(1, false) };
    uint64_t word = 1, none = 0;
    struct bitset addressed = { &word, 1 }, confirmed = { &none, 1 };

    load.strategy.stages[0].bake_ms = 10000;
    load.is_opened = load.is_attempt_decided = load.was_activated = true;
    load.phase = PHASE_BAKING;
    load.attempt = 2;
    load.first_number = 1;
    load.attempt_number = 3;
    load.members = &member;
    load.member_count = 1;
    dseq = 4;
    ck_assert(leader_load_rollout(l, &load, now));
    ck_assert(leader_load_decision(l, 4, DECISION_ACTIVATE, 1, 3, 0, &addressed, &confirmed));
    everybody_says_hello();
    pong(0, 2, true, false);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

/* What a check said under the rollout before this one is about other content. */
TEST(a_check_of_another_rollout_does_not_count)
{
    load.strategy.stage_count = 1;
    load.strategy.stages[0].max_failed.count = 8;
    load.strategy.stages[0].bake_ms = 10000;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0xff, 1);
    acks(ACK_APPLIED, 0xff, 2);
    pong(0, 2, true, false);
    tick(11000);
    acks(ACK_FINALIZED, 0xff, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    load.id = 2;
    start();
    acks(ACK_READY, 0xff, 4);
    acks(ACK_APPLIED, 0xff, 5);
    ck_assert_int_eq(leader_rollout(l, 2)->state, ROLLOUT_BAKING);
    ck_assert_uint_eq(leader_rollout(l, 2)->failing.words[0], 0);
}

TEST(a_check_is_over_for_who_left)
{
    load.strategy.stages[0].max_failed.count = 1;
    pair = true;
    load.strategy.stages[0].bake_ms = 10000;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    acks(ACK_APPLIED, 0x03, 2);
    pong(0, 2, true, false);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0x01);
    move(LEADER_WITHDREW, 0);
    tick(100);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0);
    move(LEADER_JOINED, 0);
    tick(100);
    ck_assert_uint_eq(leader_rollout(l, 1)->failing.words[0], 0);
}

/* Of what ran before, told on coming back. */
TEST(an_old_check_told_on_coming_back_does_not_count)
{
    leave_while_baking();
    pong(0, 0, true, false);
    move(LEADER_JOINED, 0);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}
