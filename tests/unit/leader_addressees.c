/* leader_addressees.c - whose word counts for what: members of the stage, the scope, and nobody else. */
#include "tests/unit/leader_kit.h"

#define STRANGER 8 /* enrolled, and a member of scope 1 alone */

static void add_stranger(void)
{
    leader_load_server(l, STRANGER);
    leader_load_member(l, STRANGER, 1);
    hello(STRANGER, 0, 0);
}

static void withdraw(uint32_t server, uint32_t scope)
{
    struct leader_event ev = event(LEADER_WITHDREW);

    ev.server = server;
    ev.scope = scope;
    step(ev);
}

/* The first stage is applied, the second is activated, and all is taken back: ROLLBACK is 5. */
static void turn_back(void)
{
    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
}

TEST(a_strangers_failure_spoils_no_rollback)
{
    add_stranger();
    turn_back();
    ack(ACK_FAILED, STRANGER, 5);
    ck_assert(!bitset_has(&leader_rollout(l, 1)->broken, STRANGER));
    acks(ACK_ROLLED_BACK, 0xff, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_int_eq(saved_kind, SAVE_END);
    ck_assert_str_eq(ended_because, "every reachable server went back");
}

TEST(a_strangers_words_are_not_counted)
{
    const struct rollout *r;

    add_stranger();
    pass_the_first_stage();
    ack(ACK_READY, STRANGER, 3);
    ack(ACK_REFUSED, STRANGER, 3);
    ack(ACK_FAILED, STRANGER, 2);
    ack(ACK_APPLIED, STRANGER, 2);
    acks(ACK_READY, 0xfe, 3);
    ack(ACK_FINALIZED, STRANGER, 4);
    acks(ACK_APPLIED, 0xfe, 4);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
    ack(ACK_FINALIZED, STRANGER, 5);
    r = leader_rollout(l, 1);
    ck_assert(!bitset_has(&r->round.ready, STRANGER));
    ck_assert(!bitset_has(&r->failed, STRANGER));
    ck_assert(!bitset_has(&r->applied, STRANGER));
    ck_assert(!bitset_has(&r->finalized, STRANGER));
    acks(ACK_FINALIZED, 0xff, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}

/* What it says of a scope that is not its own moves nobody's verdict. */
TEST(a_strangers_digest_concerns_nobody)
{
    struct heard_scope heard = { .scope = 0, .obeyed = 99, .slot = 3, .is_check_failing = true };
    struct leader_event ev = event(LEADER_PONG_RECEIVED);

    add_stranger();
    pass_the_first_stage();
    ev.server = STRANGER;
    ev.heard = &heard;
    ev.heard_count = 1;
    sends[SEND_DECISION] = 0;
    step(ev);
    ck_assert_uint_eq(sends[SEND_DECISION], 0);
    ck_assert(!bitset_has(&leader_rollout(l, 1)->failing, STRANGER));
}

/* Its agent stopped reading the scope in the middle of a stage: the others are enough, and the
 * budget is not touched. */
TEST(who_withdrew_is_passed_over)
{
    load.strategy.stage_count = 1;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0x7f, 1);
    ck_assert_int_eq(round_state(), ROUND_PREPARING);
    sends[SEND_PREPARE] = 0;
    withdraw(7, 0);
    ck_assert_int_eq(round_state(), ROUND_ACTIVATING);
    ck_assert_uint_eq(sent_to[SEND_DECISION] & 0x80, 0);
    acks(ACK_APPLIED, 0x7f, 2);
    ck_assert_int_eq(state(), ROLLOUT_FINALIZING);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x7f);
    acks(ACK_FINALIZED, 0x7f, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_uint_eq(leader_due(l, 7, 0), 0);
}

TEST(a_way_back_does_not_wait_for_who_withdrew)
{
    turn_back();
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    withdraw(7, 0);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    sends[SEND_DECISION] = 0;
    tick(70000);
    ck_assert_uint_eq(sends[SEND_DECISION], 0);
}

/* It reads the scope again: whatever it ran when it left, it hears the way back. */
TEST(who_comes_back_hears_what_it_missed)
{
    struct leader_event ev = event(LEADER_JOINED);

    turn_back();
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    withdraw(7, 0);
    tick(1000);
    ev.server = 7;
    step(ev);
    sends[SEND_DECISION] = 0;
    hello(7, 4, 0); /* it obeyed the ACTIVATE */
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x80);
    ck_assert_uint_eq(leader_due(l, 7, 0), 5);
}

static void answer_in(enum ack_kind kind, uint32_t server, uint64_t number, uint32_t scope)
{
    struct ack a = { .kind = kind, .server = server, .number = number, .scopes = &scope,
                     .scope_count = 1 };
    struct leader_event ev = event(LEADER_ACKS_SAVED);

    ev.acks = &a;
    ev.ack_count = 1;
    step(ev);
}

/* The agent went back in the scope that it read then; it is still a member of the other. */
TEST(a_way_back_is_answered_scope_by_scope)
{
    widen_to_two_scopes();
    turn_back();
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    answer_in(ACK_ROLLED_BACK, 7, 5, 0);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_msg(!leader_owes(l, 5, 7, 0) && leader_owes(l, 5, 7, 1),
                  "one answer is about one scope");
    answer_in(ACK_ROLLED_BACK, 7, 5, 1);
    ck_assert(!leader_owes(l, 5, 7, 1));
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}

/* Its membership ends after its answer was recorded: it hears of the other scope when it is back,
 * although the rollout is over. */
TEST(a_scope_that_was_not_read_hears_the_way_back_later)
{
    struct leader_event ev = event(LEADER_JOINED);
    struct heard_scope heard = { .scope = 1, .obeyed = 4 };

    widen_to_two_scopes();
    turn_back();
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    answer_in(ACK_ROLLED_BACK, 7, 5, 0);
    withdraw(7, 1);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    tick(1000);
    ev.server = 7;
    ev.scope = 1;
    step(ev);
    sends[SEND_DECISION] = 0;
    ev = event(LEADER_HELLO_RECEIVED);
    ev.server = 7;
    ev.heard = &heard;
    ev.heard_count = 1;
    step(ev);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
    ck_assert_uint_eq(leader_due(l, 7, 1), 5);
    answer_in(ACK_ROLLED_BACK, 7, 5, 1);
}

TEST(nothing_to_take_back_in_one_scope_is_not_everything)
{
    widen_to_two_scopes();
    turn_back();
    acks(ACK_ROLLED_BACK, 0x7f, 5);
    answer_in(ACK_ABORTED, 7, 5, 0);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(leader_due(l, 7, 0), 0);
    ck_assert_uint_eq(leader_due(l, 7, 1), 5);
    answer_in(ACK_ABORTED, 7, 5, 1);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}

/* In whichever order the two are told. */
TEST(who_is_stuck_in_one_scope_did_not_go_back)
{
    widen_to_two_scopes();
    turn_back();
    acks(ACK_ROLLED_BACK, 0x3f, 5);
    answer_in(ACK_ROLLED_BACK, 7, 5, 0);
    answer_in(ACK_FAILED, 7, 5, 1);
    answer_in(ACK_FAILED, 6, 5, 1);
    answer_in(ACK_ROLLED_BACK, 6, 5, 0);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_str_eq(ended_because, "some servers did not go back");
}

/* It was tried again and went well; the failure is said once more. */
TEST(a_late_failure_undoes_no_way_back)
{
    turn_back();
    acks(ACK_ROLLED_BACK, 0x7e, 5);
    ack(ACK_FAILED, 7, 5);
    ack(ACK_ROLLED_BACK, 7, 5);
    ack(ACK_FAILED, 7, 5);
    ack(ACK_ROLLED_BACK, 0, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_str_eq(ended_because, "every reachable server went back");
}

/* The next leader finds it in the rows, scope by scope. */
TEST(what_was_kept_in_one_scope_is_loaded_for_that_one)
{
    uint64_t word = 0x80, none = 0;
    struct bitset one = { &word, 1 }, nobody = { &none, 1 };

    widen_to_two_scopes();
    for (uint32_t s = 0; s < 2; s++)
        ck_assert(leader_load_decision(l, 9, DECISION_ROLLBACK, 99, 0, s, &one, &nobody));
    leader_load_kept(l, 9, 7, 0);
    ck_assert_uint_eq(leader_due(l, 7, 0), 0);
    ck_assert_uint_eq(leader_due(l, 7, 1), 9);
}

/* Who is excluded for a while is owed what was decided before and meanwhile. */
TEST(who_is_included_again_is_served)
{
    struct leader_event ev = event(LEADER_REVOKED);

    load.strategy.stage_count = 1;
    everybody_says_hello();
    ev.server = 7;
    step(ev);
    start();
    acks(ACK_READY, 0x7f, 1);
    acks(ACK_APPLIED, 0x7f, 2);
    acks(ACK_FINALIZED, 0x7f, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ev = event(LEADER_ENROLLED);
    ev.server = 7;
    step(ev);
    sends[SEND_DECISION] = 0;
    hello(7, 0, 0);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x80);
    ck_assert_uint_eq(leader_due(l, 7, 0), 3);
    ack(ACK_FINALIZED, 7, 3);
    hello(7, 3, 0);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
}

TEST(who_was_told_before_it_was_excluded_is_told_again)
{
    uint64_t none = 0;
    struct bitset nobody = { &none, 1 };
    struct leader_event ev = event(LEADER_REVOKED);

    ck_assert(leader_load_decision(l, 9, DECISION_FINALIZE, 99, 0, 0, NULL, &nobody));
    hello(7, 0, 0);
    ev.server = 7;
    step(ev);
    ev = event(LEADER_ENROLLED);
    ev.server = 7;
    step(ev);
    sends[SEND_DECISION] = 0;
    hello(7, 0, 0);
    ck_assert_uint_eq(sends[SEND_DECISION], 1);
}
