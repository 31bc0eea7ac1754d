/* leader_awaiting.c - acknowledgements on their way, and what digests and questions are told. */
#include "tests/unit/leader_kit.h"

static void sent(uint32_t server)
{
    struct leader_event ev = event(LEADER_ACK_SENT);

    ev.server = server;
    step(ev);
}

/* Both servers are ready, and another word of server 1 is on its way. */
static void await_one_more(void)
{
    pair = true;
    everybody_says_hello();
    start();
    sent(0);
    sent(1);
    sent(1);
    acks(ACK_READY, 0x03, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
}

/* It may be a refusal, which the rows would hold against the decision. */
TEST(a_decision_waits_for_what_is_on_its_way)
{
    await_one_more();
    tick(ACKS_PATIENCE_MS - 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ack(ACK_READY, 1, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

TEST(what_is_on_its_way_may_change_the_decision)
{
    await_one_more();
    ack(ACK_REFUSED, 1, 1);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
}

TEST(nobody_waits_for_ever)
{
    await_one_more();
    tick(ACKS_PATIENCE_MS);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

TEST(what_the_database_does_not_take_counts_for_nothing)
{
    struct ack a = { .kind = ACK_REFUSED, .server = 1, .number = 1, .is_void = true };
    struct leader_event ev;

    await_one_more();
    ev = event(LEADER_ACKS_SAVED);
    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(leader_rollout(l, 1)->failed.words[0], 0);
}

TEST(words_of_others_hold_nobody_up)
{
    everybody_says_hello();
    start();
    sent(5);
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

/* No row stands against it, and every moment counts. */
TEST(going_back_waits_for_nobody)
{
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    sent(1);
    ack(ACK_FAILED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

/* To call it done is no hurry: somebody may be about to say that it could not. */
TEST(a_way_back_is_done_when_everything_told_is_there)
{
    load.strategy.stages[0].bake_ms = 60000;
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    ack(ACK_APPLIED, 1, 2);
    ack(ACK_FAILED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    sent(1);
    sent(1);
    acks(ACK_ROLLED_BACK, 0x03, 3);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ack(ACK_ROLLED_BACK, 1, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}

/* A retry asks a server of each stage again, and that of the first one says nothing in time: its
 * own stage tolerates nobody, whatever the open one does. */
TEST(who_is_late_counts_for_its_own_stage)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stages[1].max_failed.count = 7;
    load.strategy.stages[1].bake_ms = 60000;
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    acks(ACK_APPLIED, 0x03, 2);
    acks(ACK_READY, 0xfc, number());
    acks(ACK_APPLIED, 0xfc, dseq);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ack(ACK_FAILED, 5, dseq);
    ack(ACK_FAILED, 0, 2);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->round.cohort.words[0], 0x21);
    ack(ACK_READY, 5, number());
    activated_because = NULL;
    for (int i = 0; i < 31; i++) {
        now += 1000;
        pong(0, 2, false, false);
        tick(0);
    }
    ck_assert_ptr_null(activated_because);
    ck_assert(leader_rollout(l, 1)->is_paused);
}

/* Other words come and go for longer than anybody waits, before there is anything to decide. */
TEST(patience_is_for_the_decision_that_is_held_up)
{
    pair = true;
    everybody_says_hello();
    start();
    for (int i = 0; i < 30; i++) {
        sent(0);
        sent(0);
        ack(ACK_READY, 0, 1);
        tick(100);
    }
    sent(1);
    sent(1);
    ack(ACK_READY, 1, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    tick(ACKS_PATIENCE_MS - 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    tick(1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

/* Words that are still on their way when a decision is made hold the next one up as well. */
TEST(every_decision_has_its_own_patience)
{
    load.strategy.stages[0].bake_ms = 5000;
    await_one_more();
    tick(ACKS_PATIENCE_MS);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    tick(ACKS_PATIENCE_MS);
    acks(ACK_APPLIED, 0x01, 2);
    sent(1);
    acks(ACK_APPLIED, 0x02, 2);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    tick(ACKS_PATIENCE_MS);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

/* Stage one is applied, and everybody of stage two is ready; another word of server 3 is on its
 * way. */
static void await_one_more_of_stage_two(void)
{
    pass_the_first_stage();
    acks(ACK_READY, 0x7e, number());
    sent(7);
    sent(3);
    ack(ACK_READY, 7, number());
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    activated_because = NULL;
}

/* The rows judge an ACTIVATE by its own stage alone: that another one failed is for the leader to
 * know. */
TEST(nothing_is_activated_once_the_check_of_a_stage_before_fails)
{
    await_one_more_of_stage_two();
    pong(0, 2, true, false);
    ck_assert_ptr_null(activated_because);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

TEST(nothing_is_activated_once_a_stage_before_failed)
{
    await_one_more_of_stage_two();
    ack(ACK_FAILED, 0, 2);
    ck_assert_ptr_null(activated_because);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

/* The time to get ready is up in the same moment: nobody of the stage is called late for that. */
TEST(nothing_is_activated_in_time_once_a_stage_before_failed)
{
    load.strategy.stages[1].max_failed.count = 7;
    pass_the_first_stage();
    acks(ACK_READY, 0x3e, number());
    sent(3);
    now += 30000;
    activated_because = NULL;
    pong(0, 2, true, false);
    ck_assert_ptr_null(activated_because);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_str_eq(turned_because,
                     "over the failure budget after activation: everyone goes back");
    ck_assert_uint_eq(leader_rollout(l, 1)->silent.words[0], 0);
}

TEST(a_pause_over_a_stage_before_decides_nothing)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    await_one_more_of_stage_two();
    pong(0, 2, true, false);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ack(ACK_READY, 3, number());
    command(ROLLOUT_ACTION_RESUME);
    ck_assert_ptr_null(activated_because);
    ck_assert(leader_rollout(l, 1)->is_paused);
}

/* Stage one bakes for long, and another word of its server is on its way. */
static void bake_while_one_more_comes(void)
{
    load.strategy.stages[0].bake_ms = 60000;
    pass_the_first_stage();
    sent(0);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

TEST(a_promotion_waits_for_what_is_on_its_way)
{
    bake_while_one_more_comes();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_LATER);
    tick(100);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_LATER);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
}

TEST(what_is_on_its_way_may_stand_against_a_promotion)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    bake_while_one_more_comes();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_LATER);
    ack(ACK_FAILED, 0, 2);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_REFUSED);
}

TEST(a_release_that_is_asked_for_waits_as_well)
{
    load.strategy.stage_count = 1;
    load.strategy.stages[0].bake_ms = 60000;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0xff, 1);
    acks(ACK_APPLIED, 0xff, 2);
    sent(0);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_LATER);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

/* Offered with every tick while words come and go, it waits no longer than a decision does; and
 * what is asked for much later has a wait of its own. */
TEST(a_promotion_does_not_wait_for_ever)
{
    bake_while_one_more_comes();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_LATER);
    tick(5000);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_LATER);
        sent(0);
        ack(ACK_APPLIED, 0, 2);
        tick(100);
    }
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_TAKEN);
}

/* A retry is judged by no outcome, and going back by none either. */
TEST(other_commands_wait_for_nobody)
{
    bake_while_one_more_comes();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PAUSE), COMMAND_TAKEN);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_REFUSED);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
}

/* An agent that cannot obey yet answers with a digest: it is told again, not as fast as it says so.
 */
TEST(a_digest_does_not_go_round)
{
    struct heard_scope heard = { .scope = 0, .slot = 1 };
    struct leader_event ev;

    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    sends[SEND_DECISION] = 0;
    for (int i = 0; i < 100; i++) {
        now++;
        ev = event(LEADER_PONG_RECEIVED);
        ev.heard = &heard;
        ev.heard_count = 1;
        step(ev);
    }
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
    now += 1000;
    ev = event(LEADER_PONG_RECEIVED);
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
    ck_assert_uint_eq(sends[SEND_DECISION], 2);
    hello(0, 0, 1);
    ck_assert_uint_eq(sends[SEND_DECISION], 3);
}

static void ask(uint32_t server, uint64_t attempt)
{
    struct leader_event ev = event(LEADER_ASKED);

    ev.server = server;
    ev.number = attempt;
    step(ev);
}

/* "Decided (the decision follows)": that is said with every answer, however often is asked. */
TEST(a_question_is_answered_with_the_decision)
{
    everybody_says_hello();
    start();
    ask(0, 1);
    ck_assert_uint_eq(sends[SEND_DECISION], 0);
    ack(ACK_READY, 0, 1);
    sends[SEND_DECISION] = 0;
    now += 5;
    for (unsigned i = 1; i <= 3; i++) {
        ask(0, 1);
        ck_assert_uint_eq(sends[SEND_DECISION], i);
        ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
    }
    ask(5, 1); /* it was not asked, and is owed nothing */
    ask(0, 99);
    ck_assert_uint_eq(sends[SEND_DECISION], 3);
    ack(ACK_APPLIED, 0, 2);
    sends[SEND_DECISION] = 0;
    ask(0, 1);
    ck_assert_uint_eq(sends[SEND_DECISION], 0);
}

/* It obeyed in one scope of two. */
TEST(a_question_reaches_every_scope_of_the_attempt)
{
    static const uint32_t first = 0;
    struct ack a = { .kind = ACK_APPLIED, .number = 2, .scopes = &first, .scope_count = 1 };
    struct leader_event ev;

    widen_to_two_scopes();
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ev = event(LEADER_ACKS_SAVED);
    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
    sends[SEND_DECISION] = 0;
    ask(0, 1);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
}
