/* leader_away.c - stages whose members are gone or away, and stages that were deserted. */
#include "tests/unit/leader_kit.h"

/* These say hello and are heard from then on; the others never come. The grace ends. */
static void only(uint64_t servers)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        if (servers >> i & 1)
            hello(i, 0, 0);
    tick(31000);
    for (uint32_t i = 0; i < SERVERS; i++)
        if (servers >> i & 1)
            hello(i, 0, 0);
}

static void wait_out(uint64_t servers, int64_t ms)
{
    for (int64_t passed = 0; passed < ms; passed += 1000) {
        tick(1000);
        for (uint32_t i = 0; i < SERVERS; i++)
            if (servers >> i & 1)
                hello(i, 0, 0);
    }
}

static void revoke(uint32_t server)
{
    struct leader_event ev = event(LEADER_REVOKED);

    ev.server = server;
    step(ev);
    tick(100);
}

/* Where nobody tested the change, those that are there wait with it until a person decides. */
static void expect_pause_for_a_test(void)
{
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    ck_assert_int_eq(round_state(), ROUND_VACANT);
}

TEST(a_stage_with_nobody_there_is_passed_over_when_a_person_says_so)
{
    only(0xfe);
    start();
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    wait_out(0xfe, 29000);
    ck_assert(!leader_rollout(l, 1)->is_paused); /* it has its time */
    wait_out(0xfe, 2000);
    expect_pause_for_a_test();
    wait_out(0xfe, 90000);
    expect_pause_for_a_test();
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
    acks(ACK_READY, 0xfe, number());
    acks(ACK_APPLIED, 0xfe, dseq);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
}

/* Whoever was away and is back when the rollout goes on takes part. */
TEST(a_canary_that_is_back_is_asked)
{
    only(0xfe);
    start();
    wait_out(0xfe, 31000);
    expect_pause_for_a_test();
    hello(0, 0, 0);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}

/* The resume asked it, and let nobody be passed over. */
TEST(a_canary_that_came_back_and_left_is_no_test)
{
    only(0xfe);
    start();
    wait_out(0xfe, 31000);
    hello(0, 0, 0);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    wait_out(0xfe, 61000);
    expect_pause_for_a_test();
}

/* A resume is about the stage that is passed over, not about the next one. */
TEST(each_stage_that_nobody_tested_is_asked_about)
{
    load.strategy.stage_count = 3;
    load.strategy.stages[2] = load.strategy.stages[1];
    only(0xfc);
    start();
    wait_out(0xfc, 31000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    wait_out(0xfc, 31000);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 2);
}

/* The next leader finds a rollout that is paused, and its stage with nobody there. */
static void take_over_the_pause(enum phase phase, const struct member_load *member)
{
    found(&limits);
    load_servers();
    load.is_opened = load.is_paused = true;
    load.phase = phase;
    load.attempt = 1;
    load.first_number = load.attempt_number = 1;
    load.members = member;
    load.member_count = 1;
    load.elapsed_ms = 31000;
    ck_assert(leader_load_rollout(l, &load, now));
}

TEST(a_resume_after_a_takeover_is_taken_at_its_word)
{
    const struct member_load member = { .attempt_number = 1 };

    only(0xfe);
    start();
    wait_out(0xfe, 31000);
    expect_pause_for_a_test();
    take_over_the_pause(PHASE_PREPARING, &member);
    wait_out(0xfe, 40000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
    ck_assert(!leader_rollout(l, 1)->is_paused);
}

/* Whoever paused it was told nothing of the kind. */
TEST(a_pause_that_a_person_asked_for_says_nothing_of_a_test)
{
    only(0xfe);
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_PAUSE), COMMAND_TAKEN);
    wait_out(0xfe, 40000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    wait_out(0xfe, 31000);
    expect_pause_for_a_test();
}

/* Ready, decided, and gone before it applied: nobody ran the change. */
TEST(a_decided_stage_whose_members_left_tested_nothing)
{
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    revoke(0);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert(leader_rollout(l, 1)->is_paused);
    tick(5000);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    tick(100);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
}

/* A retry that would be refused is not advised. */
TEST(a_pause_advises_what_is_possible)
{
    everybody_says_hello();
    start();
    revoke(0);
    expect_pause_for_a_test();
    ck_assert_ptr_null(strstr(turned_because, "retry"));
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_REFUSED);
    teardown();
    setup();
    only(0xfe);
    start();
    wait_out(0xfe, 31000);
    ck_assert_ptr_nonnull(strstr(turned_because, "retry asks its servers again"));
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
}

TEST(an_untested_change_is_asked_again_or_taken_back)
{
    only(0xfe);
    start();
    wait_out(0xfe, 31000);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert(!leader_rollout(l, 1)->is_paused);
    wait_out(0xfe, 31000);
    expect_pause_for_a_test();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    wait_out(0xfe, 2000);
    ck_assert_str_eq(ended_because, "nothing was activated anywhere");
}

/* Nobody would be spared anything by waiting. */
TEST(stages_of_which_nobody_at_all_is_there_are_passed_over)
{
    only(0);
    start();
    wait_out(0, 70000);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_str_eq(ended_because, "the revision is released");
}

TEST(a_tested_change_passes_over_who_is_away)
{
    load.strategy.stage_count = 3;
    load.strategy.stages[2] = load.strategy.stages[1];
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
    for (uint32_t i = 1; i < SERVERS; i++)
        if (leader_rollout(l, 1)->round.cohort.words[0] >> i & 1)
            revoke(i);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 2);
    ck_assert(!leader_rollout(l, 1)->is_paused);
}

TEST(a_stage_whose_members_were_revoked_tested_nothing)
{
    everybody_says_hello();
    start();
    revoke(0);
    expect_pause_for_a_test();
    ck_assert_int_eq(command(ROLLOUT_ACTION_RESUME), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
}

/* The release stays, and whoever is away is owed it. */
TEST(the_last_stage_with_nobody_there_is_released)
{
    load.strategy.stage_count = 1;
    only(0);
    start();
    wait_out(0, 31000);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_str_eq(ended_because, "the revision is released");
    ck_assert_uint_eq(leader_due(l, 3, 0), dseq);
}

TEST(a_strategy_that_waits_for_the_unreachable_waits)
{
    load.strategy.unreachable = UNREACHABLE_WAIT;
    only(0xfe);
    start();
    wait_out(0xfe, 90000);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
}

/* All that were ready fell silent after the decision: nobody says that it failed, nobody that it is
 * well. */
TEST(members_that_vanish_after_the_decision_are_waited_for)
{
    load.strategy.stages[1].ready_timeout_ms = 30000;
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    wait_out(0xfe, 200000);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    hello(0, 2, 0);
    ack(ACK_APPLIED, 0, 2);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 1);
}

/* It applied, its stage passed, and then it went back by itself: nothing is left that was seen to
 * be well, whatever the budget says. */
TEST(a_deserted_stage_is_lost)
{
    load.strategy.stages[0].max_failed.count = 1;
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ack(ACK_FAILED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

/* One of the two refused and is gone by now, the other is away when it is asked again: what was
 * tried of the stage failed, and passing it over would only come back here. */
TEST(a_vacant_stage_that_failed_before_is_lost)
{
    load.strategy.stages[0].max_failed.count = 1;
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    pair = true;
    everybody_says_hello();
    start();
    ack(ACK_REFUSED, 0, 1);
    wait_out(0xfe, 31000);
    ck_assert(leader_rollout(l, 1)->is_paused); /* server 1 said nothing */
    revoke(0);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ck_assert_uint_eq(leader_rollout(l, 1)->round.cohort.words[0], 0x02);
    wait_out(0xfc, 60000);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    ck_assert(leader_rollout(l, 1)->is_paused);
}

/* A retry took the failure back, and then everybody of the stage left: nothing is known of it but
 * that it failed. A person decides. */
static void lose_its_only_server(void)
{
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    revoke(0);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    wait_out(0xfe, 31000);
    ck_assert_uint_eq(leader_rollout(l, 1)->stage, 0);
    ck_assert(leader_rollout(l, 1)->is_paused);
}

TEST(a_stage_that_failed_is_not_passed_over)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ack(ACK_FAILED, 0, 2);
    lose_its_only_server();
}

TEST(a_stage_that_refused_is_not_passed_over)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    ack(ACK_REFUSED, 0, 1);
    lose_its_only_server();
}

/* Its refusal came after the retry: it said no all the same. */
TEST(a_stage_that_refused_before_is_not_passed_over)
{
    const struct ack refusal = { .kind = ACK_REFUSED, .number = 1, .rollout = 1 };
    struct leader_event ev;

    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    wait_out(0xff, 31000);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
    ev = event(LEADER_ACKS_SAVED);
    ev.acks = &refusal;
    ev.ack_count = 1;
    step(ev);
    ck_assert_uint_eq(leader_rollout(l, 1)->failed.words[0], 0); /* it is asked again */
    revoke(0);
    wait_out(0xfe, 31000);
    ck_assert_int_eq(round_state(), ROUND_LOST);
}

/* A failure of an attempt before the retry is told while the stage bakes that nobody applied: the
 * database opens no further stage, and no leader asks for one. */
TEST(a_bake_of_nothing_but_a_failure_is_lost)
{
    const struct member_load member = { .attempt_number = 3, .is_ready = true,
                                        .outcome = outcome_rank(1, true) };

    load.strategy.stages[0].max_failed.count = 1;
    load.strategy.stages[0].bake_ms = 10000;
    load.is_opened = load.is_attempt_decided = load.was_activated = true;
    load.phase = PHASE_BAKING;
    load.attempt = 2;
    load.attempt_number = 3;
    load.members = &member;
    load.member_count = 1;
    ck_assert(leader_load_rollout(l, &load, now));
    everybody_says_hello();
    wait_out(0xff, 12000);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

TEST(a_deserted_stage_pauses_where_that_is_asked_for)
{
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    load.strategy.stages[0].max_failed.count = 1;
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ack(ACK_FAILED, 0, 2);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    ck_assert(leader_rollout(l, 1)->is_paused);
    ck_assert_int_eq(command(ROLLOUT_ACTION_RETRY), COMMAND_TAKEN);
}
