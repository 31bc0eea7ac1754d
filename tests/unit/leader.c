/* leader.c - a leader's rules one by one: small fleets, every save answered by hand. */
#include "coordinator/core/leader.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SERVERS 8
#define EFFECTS 256

static struct leader_limits limits = { .servers_max = 64,
                                       .scopes_max = 4,
                                       .rollouts_max = 4,
                                       .duties_max = 32,
                                       .heartbeat_ms = 5000,
                                       .session_grace_ms = 30000,
                                       .rollback_timeout_ms = 120000 };
static void *memory;
static struct leader *l;
static struct effect items[EFFECTS];
static struct effects out;
static int64_t now;
static uint64_t dseq;
static struct rollout_load load;
static enum save_kind saved_kind; /* of the last SAVE */
static enum decision_kind saved_decision;
static unsigned saved_stage, save_total;
static uint32_t saved_failed_max; /* of the last ACTIVATE */
static uint64_t sent_to[3]; /* per send_kind, the last set's first word */
static unsigned sends[3];

static struct leader_event event(enum leader_event_type type)
{
    return (struct leader_event){ .type = type, .now_ms = now, .chance = 12345, .rollout = 1 };
}

static enum command_verdict step(struct leader_event ev);

/* Saves are answered at once, cohorts chosen in the order of the indices. */
static void answer(const struct effect *e)
{
    if (e->type == EFFECT_SAVE) {
        struct leader_event ev = event(LEADER_SAVED);

        saved_kind = e->save.kind;
        saved_decision = e->save.decision;
        saved_stage = e->save.stage;
        if (e->save.kind == SAVE_DECISION && e->save.decision == DECISION_ACTIVATE)
            saved_failed_max = e->save.failed_max;
        save_total++;
        ev.rollout = e->save.rollout;
        ev.save_kind = e->save.kind;
        ev.decision = e->save.kind == SAVE_ATTEMPT ? DECISION_ACTIVATE : e->save.decision;
        ev.number = e->save.kind == SAVE_ATTEMPT ? ++dseq : 0;
        if (e->save.kind == SAVE_DECISION || (e->save.kind == SAVE_ATTEMPT && e->save.is_eventual))
            ev.dseq = ++dseq;
        step(ev);
    } else if (e->type == EFFECT_CHOOSE) {
        const struct rollout *r = leader_rollout(l, e->choose.rollout);
        uint64_t left =
            r->scope_members.words[0] & ~r->opened.words[0] & leader_fleet(l)->enrolled.words[0];
        bool is_last = r->stage + 1 == r->strategy.stage_count;
        uint64_t word = is_last ? left : left & -left;
        struct bitset set = { &word, 1 };
        struct leader_event ev = event(LEADER_COHORT_CHOSEN);

        ev.rollout = e->choose.rollout;
        ev.set = &set;
        step(ev);
    } else if (e->type == EFFECT_SEND) {
        sent_to[e->send.kind] = e->send.to->words[0];
        sends[e->send.kind]++;
    }
}

static enum command_verdict step(struct leader_event ev)
{
    struct effect copies[EFFECTS];
    enum command_verdict verdict;
    size_t count;

    out.count = 0;
    verdict = leader_step(l, &ev, &out);
    count = out.count;
    memcpy(copies, items, count * sizeof(*copies));
    for (size_t i = 0; i < count; i++) /* sets first: the next step overwrites what is lent */
        if (copies[i].type == EFFECT_SEND)
            answer(&copies[i]);
    for (size_t i = 0; i < count; i++)
        if (copies[i].type != EFFECT_SEND)
            answer(&copies[i]);
    return verdict;
}

static void setup(void)
{
    memory = calloc(1, leader_size(&limits));
    out = (struct effects){ .max = EFFECTS, .items = items };
    now = 1000;
    dseq = 0;
    save_total = 0;
    memset(sends, 0, sizeof(sends));
    l = leader_init(memory, &limits, now);
    leader_load_scope(l, 0);
    leader_load_scope(l, 1);
    for (uint32_t i = 0; i < SERVERS; i++) {
        leader_load_server(l, i);
        leader_load_member(l, i, 0);
    }
    load = (struct rollout_load){ .id = 1, .scope_count = 1, .phase = PHASE_PREPARING };
    load.strategy.stage_count = 2;
    for (int s = 0; s < 2; s++)
        load.strategy.stages[s] = (struct stage_rule){ .size = { SIZE_COUNT, 1 },
                                                       .max_failed = { 0, BUDGET_UNLIMITED, 0 },
                                                       .ready_timeout_ms = 30000,
                                                       .apply_timeout_ms = 30000 };
}

static void teardown(void)
{
    free(memory);
}

static void hello(uint32_t server, uint64_t obeyed, uint64_t slot)
{
    struct heard_scope heard = { .scope = 0, .obeyed = obeyed, .slot = slot };
    struct leader_event ev = event(LEADER_HELLO_RECEIVED);

    ev.server = server;
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
}

static void everybody_says_hello(void)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        hello(i, 0, 0);
}

static void start(void)
{
    struct leader_event ev = event(LEADER_ROLLOUT_STARTED);

    ev.load = &load;
    step(ev);
}

static void ack(enum ack_kind kind, uint32_t server, uint64_t number)
{
    struct ack a = { .kind = kind, .server = server, .number = number };
    struct leader_event ev = event(LEADER_ACKS_SAVED);

    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
}

static void acks(enum ack_kind kind, uint64_t servers, uint64_t number)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        if (servers >> i & 1)
            ack(kind, i, number);
}

static enum command_verdict command(enum rollout_action action)
{
    struct leader_event ev = event(LEADER_COMMANDED);

    ev.action = action;
    ev.command = 77;
    return step(ev);
}

static void tick(int64_t passed_ms)
{
    now += passed_ms;
    step(event(LEADER_TICKED));
}

static enum rollout_state state(void)
{
    const struct rollout *r = leader_rollout(l, 1);

    return r ? r->state : ROLLOUT_ENDED;
}

static enum round_state round_state(void)
{
    return leader_rollout(l, 1)->round.state;
}

static uint64_t number(void)
{
    return leader_rollout(l, 1)->round.number;
}

/* Stage one applied: the numbers are 1 (attempt) and 2 (ACTIVATE); stage two is asked. */
static void pass_the_first_stage(void)
{
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 1);
    ack(ACK_APPLIED, 0, 2);
}

START_TEST(test_two_stages_to_the_end)
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
END_TEST

START_TEST(test_a_refusal_over_the_budget_aborts)
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
END_TEST

START_TEST(test_a_failure_after_activation_takes_everybody_back)
{
    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    ack(ACK_FAILED, 5, 4);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0xff);
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ack(ACK_ROLLED_BACK, 7, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}
END_TEST

START_TEST(test_a_refusal_in_a_later_stage_rolls_back)
{
    pass_the_first_stage();
    ack(ACK_REFUSED, 3, 3);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(sends[SEND_ABORT], 0);
}
END_TEST

START_TEST(test_failures_within_the_budget_are_tolerated)
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
END_TEST

START_TEST(test_the_deadline_counts_the_silent)
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
}
END_TEST

START_TEST(test_unreachable_servers_are_skipped)
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
    acks(ACK_APPLIED, 0x0f, 2);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
}
END_TEST

START_TEST(test_unreachable_servers_are_waited_for)
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
END_TEST

START_TEST(test_unreachable_servers_fail)
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
END_TEST

START_TEST(test_a_pause_stops_decisions_and_deadlines)
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
END_TEST

START_TEST(test_a_hold_waits_for_promote)
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
END_TEST

START_TEST(test_a_bake_is_observed_before_the_next_stage)
{
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    tick(9999);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    tick(1);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
}
END_TEST

START_TEST(test_a_failing_check_ends_the_bake)
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
END_TEST

START_TEST(test_abort_is_only_before_activation)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ABORT), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ABORT), COMMAND_REPEATED);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_REPEATED);
    ck_assert_int_eq(command(ROLLOUT_ACTION_PROMOTE), COMMAND_REFUSED);
}
END_TEST

START_TEST(test_after_activation_only_rollback_leads_back)
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
END_TEST

START_TEST(test_rollback_before_activation_aborts)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
}
END_TEST

START_TEST(test_on_failure_pause_waits_for_a_person_and_retries)
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
END_TEST

START_TEST(test_a_retry_while_baking_asks_the_failed_again)
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
END_TEST

START_TEST(test_an_eventual_round_waits_for_nobody)
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
END_TEST

START_TEST(test_a_ready_after_the_decision_is_told_at_once)
{
    load.strategy.stage_count = 1;
    load.strategy.stages[0].max_failed.count = 8;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x7f, 1);
    now += 30000;
    for (uint32_t i = 0; i < SERVERS; i++)
        hello(i, 0, i < 7 ? 1 : 0);
    tick(1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ack(ACK_READY, 7, 1);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x80);
}
END_TEST

START_TEST(test_a_server_off_its_base_is_caught_up_first)
{
    uint64_t none = 0;
    struct bitset nobody = { &none, 1 };
    struct leader_event ev;

    dseq = 10;
    ck_assert(leader_load_decision(l, 9, DECISION_FINALIZE, 99, 0, 0, NULL, &nobody));
    for (uint32_t i = 0; i < SERVERS; i++)
        hello(i, i ? 9 : 0, 0);
    start();
    sends[SEND_DECISION] = 0;
    ev = event(LEADER_BASE_REFUSED);
    ev.server = 0;
    ev.number = number();
    step(ev);
    ck_assert_uint_eq(sends[SEND_DECISION], 1); /* the FINALIZE it missed */
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ack(ACK_FINALIZED, 0, 9);
    ack(ACK_READY, 0, number());
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}
END_TEST

START_TEST(test_a_reimaged_server_is_asked_again)
{
    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x7f, 1);
    sends[SEND_PREPARE] = 0;
    hello(3, 0, 0); /* its disk is new: the slot is gone */
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0x08);
    ack(ACK_READY, 7, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ack(ACK_READY, 3, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}
END_TEST

START_TEST(test_a_revoked_server_is_waited_for_no_more)
{
    struct leader_event ev;

    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x7f, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    ev = event(LEADER_REVOKED);
    ev.server = 7;
    step(ev);
    tick(100);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(sent_to[SEND_DECISION] & 0x80, 0);
}
END_TEST

START_TEST(test_a_scope_without_servers_completes_at_once)
{
    load.scopes[0] = 1;
    start();
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_uint_eq(save_total, 2); /* FINALIZE and the end */
}
END_TEST

START_TEST(test_a_newcomer_gets_the_released_revision)
{
    struct leader_event ev;

    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    acks(ACK_APPLIED, 0xfe, 4);
    acks(ACK_FINALIZED, 0xff, 5);
    ev = event(LEADER_ENROLLED);
    ev.server = 20;
    step(ev);
    ev.type = LEADER_JOINED;
    step(ev);
    hello(20, 0, 0);
    ck_assert_uint_eq(sent_to[SEND_DECISION], UINT64_C(1) << 20);
    ck_assert_uint_eq(leader_due(l, 20, 0), 5);
}
END_TEST

START_TEST(test_a_server_that_cannot_go_back_fails_the_rollout)
{
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    command(ROLLOUT_ACTION_ROLLBACK);
    ack(ACK_FAILED, 0, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_int_eq(saved_kind, SAVE_END);
}
END_TEST

START_TEST(test_a_rollback_that_is_not_confirmed_ends_in_time)
{
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    command(ROLLOUT_ACTION_ROLLBACK);
    for (int i = 0; i < 24; i++) {
        now += 5000;
        hello(0, 2, 0); /* reachable, and still on the candidate */
        tick(0);
    }
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_uint_eq(leader_due(l, 0, 0), 3); /* the way back stays an obligation */
}
END_TEST

/* A server whose check failed before the rollout may fail it again without costing budget, and one
 * that the change repairs counts as applied. */
START_TEST(test_unfit_servers_are_counted_apart)
{
    load.strategy.stage_count = 1;
    everybody_says_hello();
    for (uint32_t i = 5; i < SERVERS; i++) {
        struct heard_scope heard = { .scope = 0, .is_check_failing = true };
        struct leader_event ev = event(LEADER_PONG_RECEIVED);

        ev.server = i;
        ev.heard = &heard;
        ev.heard_count = 1;
        step(ev);
    }
    start();
    acks(ACK_READY, 0x7f, 1);
    ack(ACK_REFUSED, 7, 1);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(saved_failed_max, 1); /* the database counts the refusal of the unfit one */
    ack(ACK_FAILED, 6, 2);
    acks(ACK_APPLIED, 0x3f, 2);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
}
END_TEST

START_TEST(test_fates_of_attempts)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(leader_fate(l, 1), ATTEMPT_PENDING);
    ck_assert_int_eq(leader_fate(l, 99), ATTEMPT_UNKNOWN);
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(leader_fate(l, 1), ATTEMPT_DECIDED);
}
END_TEST

/* ---------------------------------------------------------------- after a restart */

static void restart(const struct member_load *members, uint32_t count)
{
    memset(memory, 0, leader_size(&limits));
    l = leader_init(memory, &limits, now);
    leader_load_scope(l, 0);
    for (uint32_t i = 0; i < SERVERS; i++) {
        leader_load_server(l, i);
        leader_load_member(l, i, 0);
    }
    load.is_opened = true;
    load.attempt = 1;
    load.members = members;
    load.member_count = count;
    dseq = 10;
    ck_assert(leader_load_rollout(l, &load, now));
}

START_TEST(test_a_restart_keeps_votes_and_asks_the_rest)
{
    struct member_load members[] = { { .server = 0, .attempt_number = 7, .is_ready = true },
                                     { .server = 1, .attempt_number = 7 } };

    load.attempt_number = 7;
    restart(members, 2);
    leader_begin(l, now, 1, &out);
    hello(0, 0, 7);
    sends[SEND_PREPARE] = 0;
    hello(1, 0, 0);
    ck_assert_uint_eq(sent_to[SEND_PREPARE], 0x02);
    ack(ACK_READY, 1, 7);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
}
END_TEST

START_TEST(test_a_restart_after_the_decision_tells_it_again)
{
    struct member_load members[] = { { .server = 0, .attempt_number = 7, .is_ready = true } };
    uint64_t word = 1, none = 0;
    struct bitset addressed = { &word, 1 }, confirmed = { &none, 1 };

    load.attempt_number = 7;
    load.phase = PHASE_ACTIVATING;
    load.is_attempt_decided = load.was_activated = true;
    restart(members, 1);
    ck_assert(leader_load_decision(l, 8, DECISION_ACTIVATE, 1, 7, 0, &addressed, &confirmed));
    leader_begin(l, now, 1, &out);
    sends[SEND_DECISION] = 0;
    hello(0, 0, 7);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ABORT), COMMAND_REFUSED);
    ack(ACK_APPLIED, 0, 8);
    ck_assert_int_eq(state(), ROLLOUT_STAGING); /* the second stage */
}
END_TEST

START_TEST(test_a_restart_while_rolling_back_goes_on)
{
    struct member_load members[] = {
        { .server = 0, .attempt_number = 7, .is_ready = true, .is_applied = true }
    };
    uint64_t word = 1, none = 0;
    struct bitset addressed = { &word, 1 }, confirmed = { &none, 1 };

    load.attempt_number = 7;
    load.phase = PHASE_ROLLING_BACK;
    load.is_attempt_decided = load.was_activated = true;
    load.decision_number = 9;
    restart(members, 1);
    ck_assert(leader_load_decision(l, 9, DECISION_ROLLBACK, 1, 0, 0, &addressed, &confirmed));
    leader_begin(l, now, 1, &out);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    hello(0, 8, 0);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
    ack(ACK_ROLLED_BACK, 0, 9);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}
END_TEST

int main(void)
{
    const TTest *const all[] = { test_two_stages_to_the_end,
                                 test_a_refusal_over_the_budget_aborts,
                                 test_a_failure_after_activation_takes_everybody_back,
                                 test_a_refusal_in_a_later_stage_rolls_back,
                                 test_failures_within_the_budget_are_tolerated,
                                 test_the_deadline_counts_the_silent,
                                 test_unreachable_servers_are_skipped,
                                 test_unreachable_servers_are_waited_for,
                                 test_unreachable_servers_fail,
                                 test_a_pause_stops_decisions_and_deadlines,
                                 test_a_hold_waits_for_promote,
                                 test_a_bake_is_observed_before_the_next_stage,
                                 test_a_failing_check_ends_the_bake,
                                 test_abort_is_only_before_activation,
                                 test_after_activation_only_rollback_leads_back,
                                 test_rollback_before_activation_aborts,
                                 test_on_failure_pause_waits_for_a_person_and_retries,
                                 test_a_retry_while_baking_asks_the_failed_again,
                                 test_an_eventual_round_waits_for_nobody,
                                 test_a_ready_after_the_decision_is_told_at_once,
                                 test_a_server_off_its_base_is_caught_up_first,
                                 test_a_reimaged_server_is_asked_again,
                                 test_a_revoked_server_is_waited_for_no_more,
                                 test_a_scope_without_servers_completes_at_once,
                                 test_a_newcomer_gets_the_released_revision,
                                 test_a_server_that_cannot_go_back_fails_the_rollout,
                                 test_a_rollback_that_is_not_confirmed_ends_in_time,
                                 test_unfit_servers_are_counted_apart, test_fates_of_attempts,
                                 test_a_restart_keeps_votes_and_asks_the_rest,
                                 test_a_restart_after_the_decision_tells_it_again,
                                 test_a_restart_while_rolling_back_goes_on };
    Suite *s = suite_create("leader");
    TCase *t = tcase_create("rules");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        tcase_add_test(t, all[i]);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
