/* leader_outcomes.c - outcomes of attempts that were replaced, and votes that come late. */
#include "tests/unit/leader_kit.h"

/* Server 0 failed attempt 1 (ACTIVATE 2) and is asked again by attempt 3. */
static void fail_and_retry(bool is_eventual)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.is_eventual = is_eventual;
    load.strategy.stages[0].bake_ms = 60000;
    everybody_says_hello();
    start();
    if (!is_eventual)
        ack(ACK_READY, 0, 1);
    ack(ACK_FAILED, 0, 2);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(number(), 3);
}

static bool has(const struct bitset *set, uint32_t server)
{
    return bitset_has(set, server);
}

TEST(a_late_applied_of_what_failed_is_no_news, .to = 2)
{
    fail_and_retry(_i);
    ack(ACK_APPLIED, 0, 2);
    ck_assert(!has(&leader_rollout(l, 1)->applied, 0));
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert(round_state() != ROUND_PASSED);
    if (!_i)
        ack(ACK_READY, 0, 3);
    ack(ACK_APPLIED, 0, 4);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
}

/* The first word of the attempt before is APPLIED, so that it counts; FAILED takes it back. */
TEST(a_late_failed_takes_the_applied_back)
{
    load.strategy.stages[0].bake_ms = 60000;
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stages[0].size.amount = 2;
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    tick(31000); /* nobody tells an outcome in time */
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(number(), 3);
    ack(ACK_APPLIED, 0, 2);
    ck_assert(has(&leader_rollout(l, 1)->applied, 0));
    ack(ACK_FAILED, 0, 2);
    ck_assert(!has(&leader_rollout(l, 1)->applied, 0));
    ck_assert(!has(&leader_rollout(l, 1)->failed, 0)); /* it is asked again already */
    ck_assert(!has(&leader_rollout(l, 1)->round.ready, 0));
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
}

TEST(a_late_refusal_of_an_earlier_stage_counts)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stages[0].max_failed.count = 1;
    load.strategy.stages[0].ready_timeout_ms = 3000;
    load.strategy.stages[0].bake_ms = 0;
    pair = true;
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    tick(4000);
    ack(ACK_APPLIED, 0, 2);
    ck_assert(!has(&leader_rollout(l, 1)->failed, 1));
    ack(ACK_REFUSED, 1, 1);
    ck_assert(has(&leader_rollout(l, 1)->failed, 1));
    ck_assert(!has(&leader_rollout(l, 1)->silent, 1));
}

/* What it cannot take back by itself, the ROLLBACK may. */
TEST(broken_by_an_activate_is_no_answer_to_a_rollback)
{
    struct ack a = { .kind = ACK_FAILED, .server = 0, .number = 2, .is_broken = true };
    struct leader_event ev;

    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ev = event(LEADER_ACKS_SAVED);
    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert(!has(&leader_rollout(l, 1)->broken, 0));
    ack(ACK_ROLLED_BACK, 0, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_str_eq(ended_because, "every reachable server went back");
}

/* What runs by an attempt that a retry replaced is well: no slot is wanted of it, whatever its next
 * digest says. One that was imaged anew is asked. */
TEST(who_runs_the_candidate_needs_no_slot)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stages[0].bake_ms = 60000;
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    tick(31000);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ack(ACK_APPLIED, 0, 2);
    pong(0, 2, false, false);
    ck_assert_uint_eq(leader_rollout(l, 1)->round.ready.words[0], 0x01);
    ack(ACK_READY, 1, number());
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

/* A digest of before it applied comes late: the next one says again that it runs the candidate. */
TEST(a_late_digest_unseats_nobody_for_good)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stages[0].bake_ms = 60000;
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    tick(31000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ack(ACK_APPLIED, 0, 2);
    pong(0, 0, false, false);
    ck_assert_uint_eq(leader_rollout(l, 1)->round.ready.words[0], 0);
    ack(ACK_READY, 1, number());
    pong(0, 2, false, false);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

TEST(who_was_imaged_anew_is_asked_again)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    pair = true;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x03, 1);
    tick(31000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ack(ACK_APPLIED, 0, 2);
    pong(0, 0, false, false);
    ck_assert_uint_eq(leader_rollout(l, 1)->round.ready.words[0], 0);
    ack(ACK_READY, 1, number());
    hello(0, 0, 0);
    hello(1, 0, number());
    tick(31000);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_uint_eq(leader_rollout(l, 1)->silent.words[0], 0); /* its row says that it applied */
}

/* A deadline that passes in a pause makes nobody silent: no row would say so. */
TEST(nobody_gets_silent_in_a_pause)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.is_eventual = true;
    pair = true;
    everybody_says_hello();
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PAUSE), COMMAND_TAKEN);
    now += 31000;
    everybody_says_hello();
    ack(ACK_FAILED, 1, 2);
    ck_assert_int_eq(round_state(), ROUND_LOST);
    ck_assert_uint_eq(leader_rollout(l, 1)->silent.words[0], 0);
}
