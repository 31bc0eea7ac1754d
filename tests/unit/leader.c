/* leader.c - a leader's rules one by one: stages, budgets, bakes, what operators ask for. */
#include "tests/unit/leader_kit.h"

TEST(two_stages_to_the_end)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0x01);
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(round_state(), ROUND_PREPARING); /* of the second stage */
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0xfe);
    acks(ACK_READY, 0xfe, 3);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0xfe);
    acks(ACK_APPLIED, 0xfe, 4);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0xff);
    acks(ACK_FINALIZED, 0xff, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_uint_eq(leader_due(l, 3, 0), 5);
}

TEST(a_refusal_over_the_budget_aborts)
{
    everybody_says_hello();
    start();
    ack(ACK_REFUSED, 0, 1);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
    ck_assert_uint_eq(sent_to[SEND_ABORT], 0x01);
    ack(ACK_ABORTED, 0, 1);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_uint_eq(sends[SEND_DECISION], 0);
}

TEST(a_failure_after_activation_takes_everybody_back)
{
    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    ck_assert_str_eq(activated_because, "every server of the stage is ready");
    ack(ACK_FAILED, 5, 4);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_ptr_nonnull(strstr(turned_because, "over the failure budget"));
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0xff);
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ack(ACK_ROLLED_BACK, 7, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}

TEST(a_refusal_in_a_later_stage_rolls_back)
{
    pass_the_first_stage();
    ack(ACK_REFUSED, 3, 3);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(sends[SEND_ABORT], 0);
}

TEST(failures_within_the_budget_are_tolerated)
{
    load.strategy.stages[1].max_failed.count = 2;
    pass_the_first_stage();
    acks(ACK_REFUSED, 0x02, 3);
    acks(ACK_READY, 0xfc, 3);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0xfc);
    ack(ACK_FAILED, 2, 4);
    acks(ACK_APPLIED, 0xf8, 4);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
}

TEST(the_deadline_counts_the_silent)
{
    everybody_says_hello();
    start();
    now += 5000;
    hello(0, 0, 0); /* it is there and says nothing */
    for (int i = 0; i < 6 && state() == ROLLOUT_STAGING; i++) {
        for (int k = 0; k < 10; k++)
            tick(500);
        hello(0, 0, 0);
    }
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
    ck_assert(bitset_has(&leader_rollout(l, 1)->silent, 0));
    ck_assert_str_eq(turned_because, "too few servers were ready in time; nothing was activated");
}

TEST(unreachable_servers_are_skipped)
{
    load.strategy.stage_count = 1;
    for (uint32_t i = 0; i < 4; i++)
        hello(i, 0, 0);
    tick(31000); /* the grace is over; the others never came */
    for (uint32_t i = 0; i < 4; i++)
        hello(i, 0, 0);
    start();
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0x0f);
    acks(ACK_READY, 0x0f, 1);
    ck_assert_ptr_nonnull(strstr(activated_because, "the others are left out"));
    acks(ACK_APPLIED, 0x0f, 2);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
}

TEST(unreachable_servers_are_waited_for)
{
    load.strategy.stage_count = 1;
    load.strategy.unreachable = UNREACHABLE_WAIT;
    for (uint32_t i = 0; i < 7; i++)
        hello(i, 0, 0);
    tick(31000);
    for (uint32_t i = 0; i < 7; i++)
        hello(i, 0, 0);
    start();
    acks(ACK_READY, 0x7f, 1);
    tick(60000);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    hello(7, 0, 0);
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0x80);
    ack(ACK_READY, 7, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

TEST(unreachable_servers_fail)
{
    load.strategy.stage_count = 1;
    load.strategy.unreachable = UNREACHABLE_FAIL;
    for (uint32_t i = 0; i < 7; i++)
        hello(i, 0, 0);
    tick(31000);
    start();
    acks(ACK_READY, 0x7f, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    for (int i = 0; i < 7; i++) {
        for (int k = 0; k < 10; k++)
            tick(500);
        for (uint32_t s = 0; s < 7; s++)
            hello(s, 0, number());
    }
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
    ck_assert(bitset_has(&leader_rollout(l, 1)->silent, 7));
}

TEST(a_pause_stops_decisions_and_deadlines)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PAUSE), COMMAND_TAKEN);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PAUSE), COMMAND_REPEATED);
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    tick(60000);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

TEST(a_hold_waits_for_promote)
{
    load.strategy.stages[0].is_hold = true;
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    tick(1000);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert_uint_eq(saved_stage, 1);
}

TEST(a_bake_is_observed_before_the_next_stage)
{
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    tick(9999);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    tick(1);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
}

/* A push that got lost: whoever asks is told what it is owed, at once and by the same rules. */
TEST(a_poll_brings_what_was_lost)
{
    struct heard_scope heard = { .scope = 0 };
    struct leader_event ev = event(LEADER_POLLED);

    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    memset(sends, 0, sizeof(sends));
    ev.server = 3;
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
    ck_assert_uint_eq(sends[SEND_PREPARE], 1);
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 1 << 3);
    acks(ACK_READY, 0xff, 1);
    memset(sends, 0, sizeof(sends));
    heard.slot = 1;
    step(ev);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 1 << 3);
    heard.obeyed = 2;
    ack(ACK_APPLIED, 3, 2);
    memset(sends, 0, sizeof(sends));
    step(ev);
    ck_assert_uint_eq(sends[SEND_PREPARE] + sends[SEND_DECISION], 0); /* nothing is owed */
}

TEST(a_failing_check_ends_the_bake)
{
    struct heard_scope heard = { .scope = 0, .obeyed = 2, .is_check_failing = true };
    struct leader_event ev = event(LEADER_PONG_RECEIVED);

    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ev.now_ms = now;
    ev.heard = &heard;
    ev.heard_count = 1;
    heard.obeyed = 0; /* an old PONG, from before the activation */
    step(ev);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    heard.obeyed = 2;
    step(ev);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

TEST(abort_is_only_before_activation)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ABORT), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ABORT), COMMAND_REPEATED);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_REPEATED);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_REFUSED);
}

TEST(after_activation_only_rollback_leads_back)
{
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ABORT), COMMAND_REFUSED);
    ck_assert(leader_allowed(l, 1) & 1u << ROLLOUT_ACTION_ROLLBACK);
    ck_assert(!(leader_allowed(l, 1) & 1u << ROLLOUT_ACTION_ABORT));
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
}

TEST(rollback_while_finalizing_ends_it)
{
    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0xff, 1);
    acks(ACK_APPLIED, 0xff, 2);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ENDED); /* completed: a rollout of its own takes it back */
    ck_assert_uint_eq(leader_due(l, 0, 0), 3);
}

TEST(rollback_before_activation_aborts)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
}

TEST(on_failure_pause_waits_for_a_person_and_retries)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    ack(ACK_REFUSED, 0, 1);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert(!leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ck_assert_uint_eq(leader_rollout(l, 1)->round.attempt, 2);
    ack(ACK_READY, 0, 1); /* of the attempt before: it does not count */
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ack(ACK_READY, 0, number());
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

/* Nobody failed: a person who is to decide must not look for failures. */
TEST(a_pause_for_the_late_says_so)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    for (int i = 0; i < 6 && !leader_rollout(l, 1)->is_paused; i++) {
        for (int k = 0; k < 10; k++)
            tick(500);
        hello(0, 0, 0); /* it is there and says nothing */
    }
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_str_eq(turned_because,
                     "too few servers answered in time: paused for a person to decide");
}

TEST(a_retry_while_baking_asks_the_failed_again)
{
    load.strategy.stages[1].max_failed.count = 1;
    load.strategy.stages[1].bake_ms = 60000;
    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    ack(ACK_FAILED, 1, 4);
    acks(ACK_APPLIED, 0xfc, 4);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0x02);
    ack(ACK_READY, 1, number());
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x02);
    ack(ACK_APPLIED, 1, dseq);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_REFUSED); /* nobody is left */
}

TEST(an_eventual_round_waits_for_nobody)
{
    load.strategy.is_eventual = true;
    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0xff);
    ck_assert_uint_eq(sends[SEND_DECISION], 0);
    acks(ACK_APPLIED, 0xff, 2);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
}
