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
START_TEST(test_a_check_that_fails_in_the_first_scope_counts)
{
    setup_two_scopes();
    pong(0, 2, true, false);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}
END_TEST

START_TEST(test_a_check_that_fails_in_the_last_scope_counts)
{
    setup_two_scopes();
    pong(0, 2, false, true);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}
END_TEST

START_TEST(test_a_check_that_recovers_in_every_scope_is_forgiven)
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
END_TEST

/* The digest was quicker than the recording of APPLIED: the next stage does not open over it. */
START_TEST(test_a_check_heard_before_applied_is_recorded_counts)
{
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    pong(0, 2, true, false);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}
END_TEST

static void fail_meanwhile(void)
{
    if (leader_rollout(l, 1)->is_opened)
        pong(0, 2, true, false);
}

/* Servers are chosen outside the core, which takes a moment: what was heard in it counts. */
START_TEST(test_a_check_that_fails_while_servers_are_chosen_counts)
{
    on_choosing(fail_meanwhile);
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
}
END_TEST

/* Of what ran before: it says nothing about the candidate. */
START_TEST(test_a_check_of_the_old_content_does_not_count)
{
    load.strategy.stages[0].bake_ms = 10000;
    everybody_says_hello();
    start();
    pong(0, 0, true, false);
    ack(ACK_READY, 0, 1);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}
END_TEST

/* A server that the change broke fails its check by then; being asked again does not make that its
 * own fault. */
START_TEST(test_a_retry_excuses_nobody)
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
END_TEST

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
START_TEST(test_a_check_told_on_coming_back_counts)
{
    leave_while_baking();
    pong(0, 2, true, false);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    move(LEADER_JOINED, 0);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}
END_TEST

START_TEST(test_a_check_is_over_for_who_left)
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
END_TEST

/* Of what ran before, told on coming back. */
START_TEST(test_an_old_check_told_on_coming_back_does_not_count)
{
    leave_while_baking();
    pong(0, 0, true, false);
    move(LEADER_JOINED, 0);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}
END_TEST

int main(void)
{
    const TTest *const all[] = {
        test_a_check_that_fails_in_the_first_scope_counts,
        test_a_check_that_fails_in_the_last_scope_counts,
        test_a_check_that_recovers_in_every_scope_is_forgiven,
        test_a_check_heard_before_applied_is_recorded_counts,
        test_a_check_that_fails_while_servers_are_chosen_counts,
        test_a_check_of_the_old_content_does_not_count,
        test_a_retry_excuses_nobody,
        test_a_check_told_on_coming_back_counts,
        test_a_check_is_over_for_who_left,
        test_an_old_check_told_on_coming_back_does_not_count,
    };

    return run_all("leader_checks", all, sizeof(all) / sizeof(all[0]));
}
