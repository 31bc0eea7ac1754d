/* leader_servers.c - servers that are late, new, unfit or gone, and what a restarted leader does. */
#include "tests/unit/leader_kit.h"

TEST(a_ready_after_the_decision_is_told_at_once)
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

TEST(a_server_off_its_base_is_caught_up_first)
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

TEST(a_reimaged_server_is_asked_again)
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

TEST(a_revoked_server_is_waited_for_no_more)
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

static void retry(uint32_t server)
{
    struct leader_event ev = event(LEADER_RETRIED);

    sent_to[SEND_DECISION] = 0;
    ev.server = server;
    step(ev);
}

/* It failed within the budget: the release is told it once more, and nobody else. */
TEST(who_failed_is_told_the_release_again_when_asked_for)
{
    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    acks(ACK_APPLIED, 0xfe, 4);
    acks(ACK_FINALIZED, 0xf7, 5);
    ack(ACK_FAILED, 3, 5);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    sent_to[SEND_DECISION] = 0;
    tick(200000);
    ck_assert_uint_eq(sent_to[SEND_DECISION] & 0x08, 0);
    retry(3);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x08);
    ack(ACK_FINALIZED, 3, 5);
    retry(40); /* nobody */
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0);
}

/* Seconds in which this server is heard and its newest decision is said to it, or not. */
static unsigned told_within(unsigned seconds, uint32_t server, uint64_t obeyed, bool is_failed)
{
    struct heard_scope heard = { .scope = 0, .obeyed = obeyed, .is_failed = is_failed };
    unsigned told = 0;

    for (unsigned i = 0; i < seconds; i++) {
        struct leader_event ev = event(LEADER_PONG_RECEIVED);

        ev.server = server;
        ev.heard = &heard;
        ev.heard_count = 1;
        step(ev);
        sent_to[SEND_DECISION] = 0;
        tick(1000);
        told += sent_to[SEND_DECISION] >> server & 1;
    }
    return told;
}

/* Its program was not up yet: told by itself, ever more slowly, and no more once well. */
TEST(who_failed_is_told_again_by_and_by)
{
    unsigned early, late;

    pass_the_first_stage();
    acks(ACK_READY, 0xfe, 3);
    acks(ACK_APPLIED, 0xfe, 4);
    acks(ACK_FINALIZED, 0xf7, 5);
    ack(ACK_FAILED, 3, 5);
    early = told_within(240, 3, 5, true);
    late = told_within(240, 3, 5, true);
    ck_assert_uint_ge(early, 2);
    ck_assert_uint_lt(late, early);
    ck_assert_uint_eq(told_within(1000, 3, 5, false), 0);
}

/* Its rollout is long over, and everybody else is back. */
TEST(a_way_back_that_failed_is_told_again_when_asked_for)
{
    uint64_t back;

    pass_the_first_stage();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    back = dseq;
    acks(ACK_ABORTED, 0xfe, back);
    ack(ACK_FAILED, 0, back);
    tick(200000);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    tick(1000);
    ck_assert(leader_is_live(l, back));
    retry(0);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
    ack(ACK_ROLLED_BACK, 0, back);
}

/* Its digest says so before the word of the failure is recorded. */
TEST(a_way_back_is_kept_by_the_digest_that_says_it_failed)
{
    uint64_t back;

    pass_the_first_stage();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    back = dseq;
    acks(ACK_ABORTED, 0xfe, back);
    tick(200000);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    told_within(2, 0, back, true);
    ck_assert(leader_is_live(l, back));
    ack(ACK_FAILED, 0, back);
    ck_assert_uint_ge(told_within(240, 0, back, true), 2);
}

/* It is on its way when the rollout ends without it, and fails after that. */
TEST(a_way_back_that_is_underway_outlives_its_rollout)
{
    uint64_t back;

    pass_the_first_stage();
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    back = dseq;
    acks(ACK_ABORTED, 0xfe, back);
    told_within(200, 0, back, false);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert(leader_is_live(l, back));
    ack(ACK_FAILED, 0, back);
    ck_assert_uint_ge(told_within(240, 0, back, true), 2);
    ack(ACK_ROLLED_BACK, 0, back);
    ck_assert_uint_eq(told_within(1000, 0, back, false), 0);
}

/* A leader that finds it in the database keeps it as well. */
TEST(a_way_back_that_failed_outlives_its_leader)
{
    uint64_t word = 0x01;
    struct bitset one = { &word, 1 };

    ck_assert(leader_load_decision(l, 9, DECISION_ROLLBACK, 7, 0, 0, &one, &one));
    leader_load_failed(l, 0, 0);
    leader_begin(l, now, 1, &out);
    tick(200000);
    ck_assert(leader_is_live(l, 9));
    hello(0, 9, 0);
    retry(0);
    ck_assert_uint_eq(sent_to[SEND_DECISION], 0x01);
}

/* It confirmed, lost its disk, obeyed it anew, and it failed: rows tell of the first time alone. */
TEST(a_way_back_that_fails_anew_is_tried_again)
{
    uint64_t word = 0x01;
    struct bitset one = { &word, 1 };

    ck_assert(leader_load_decision(l, 9, DECISION_ROLLBACK, 7, 0, 0, &one, &one));
    leader_begin(l, now, 1, &out);
    tick(200000);
    ck_assert(leader_is_live(l, 9));
    hello(0, 9, 0);
    ck_assert_uint_ge(told_within(240, 0, 9, true), 2);
}

TEST(a_scope_without_servers_completes_at_once)
{
    load.scopes[0] = 1;
    start();
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_uint_eq(save_total, 2); /* FINALIZE and the end */
}

TEST(a_newcomer_gets_the_released_revision)
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

TEST(a_server_that_cannot_go_back_fails_the_rollout)
{
    load.strategy.stages[0].bake_ms = 10000;
    pass_the_first_stage();
    command(ROLLOUT_ACTION_ROLLBACK);
    ack(ACK_FAILED, 0, 3);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_int_eq(saved_kind, SAVE_END);
}

/* It was a member and never moved: it keeps what it runs, and stays due what was released before.
 */
TEST(who_has_nothing_to_take_back_is_done)
{
    uint64_t none = 0;
    struct bitset nobody = { &none, 1 };

    dseq = 10;
    ck_assert(leader_load_decision(l, 9, DECISION_FINALIZE, 99, 0, 0, NULL, &nobody));
    load.strategy.stages[0].bake_ms = 10000;
    load.strategy.stages[0].size.amount = 2;
    everybody_says_hello();
    start();
    ack(ACK_READY, 0, 11);
    ack(ACK_APPLIED, 0, 12);
    command(ROLLOUT_ACTION_ROLLBACK);
    ck_assert_int_eq(state(), ROLLOUT_ROLLING_BACK);
    ck_assert_uint_eq(leader_due(l, 0, 0), 13);
    ack(ACK_ABORTED, 0, 13);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
    ck_assert_str_eq(leader_rollout(l, 1) ? "" : ended_because, "every reachable server went back");
    ck_assert_uint_eq(leader_due(l, 0, 0), 9);
}

TEST(a_rollback_that_is_not_confirmed_ends_in_time)
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

/* A server whose check failed before the rollout may fail it again without costing budget, and one
 * that the change repairs counts as applied. */
TEST(unfit_servers_are_counted_apart)
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

TEST(fates_of_attempts)
{
    everybody_says_hello();
    start();
    ck_assert_int_eq(leader_fate(l, 1), ATTEMPT_PENDING);
    ck_assert_int_eq(leader_fate(l, 99), ATTEMPT_UNKNOWN);
    ack(ACK_READY, 0, 1);
    ck_assert_int_eq(leader_fate(l, 1), ATTEMPT_DECIDED);
}

/* ---------------------------------------------------------------- after a restart */

static void restart(const struct member_load *members, uint32_t count)
{
    found(&limits);
    load_servers();
    load.is_opened = true;
    load.attempt = 1;
    load.members = members;
    load.member_count = count;
    dseq = 10;
    ck_assert(leader_load_rollout(l, &load, now));
}

TEST(a_restart_keeps_votes_and_asks_the_rest)
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

/* Who promoted everything does not have to say it again to the next leader. */
TEST(a_restart_passes_over_holds_that_were_promoted)
{
    struct member_load members[] = {
        { .server = 0, .attempt_number = 7, .is_ready = true, .is_applied = true }
    };

    load.strategy.stages[0].is_hold = true;
    load.attempt_number = 7;
    load.phase = PHASE_BAKING;
    load.is_attempt_decided = load.was_activated = load.is_promoted = true;
    restart(members, 1);
    leader_begin(l, now, 1, &out);
    ck_assert_int_eq(state(), ROLLOUT_CHOOSING);
}

TEST(a_restart_after_the_decision_tells_it_again)
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

TEST(a_restart_while_rolling_back_goes_on)
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

/* A bake goes on where the leader before left it, and ends when its server is back. */
TEST(a_restart_goes_on_with_the_bake)
{
    struct member_load members[] = {
        { .server = 0, .attempt_number = 7, .is_ready = true, .is_applied = true }
    };

    load.strategy.stages[0].bake_ms = 600000;
    load.attempt_number = 7;
    load.phase = PHASE_BAKING;
    load.is_attempt_decided = load.was_activated = true;
    load.elapsed_ms = 599000;
    restart(members, 1);
    leader_begin(l, now, 1, &out);
    tick(900);
    hello(0, 8, 0);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    tick(100);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
}

TEST(a_bake_that_is_over_waits_for_its_server)
{
    struct member_load members[] = {
        { .server = 0, .attempt_number = 7, .is_ready = true, .is_applied = true }
    };

    load.strategy.stages[0].bake_ms = 600000;
    load.attempt_number = 7;
    load.phase = PHASE_BAKING;
    load.is_attempt_decided = load.was_activated = true;
    load.elapsed_ms = 700000;
    restart(members, 1);
    leader_begin(l, now, 1, &out);
    tick(5000);
    ck_assert_int_eq(state(), ROLLOUT_BAKING);
    hello(0, 8, 0);
    tick(1);
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
}

/* What was not answered before stays late, but not before the grace gave time to say it. */
TEST(a_restart_goes_on_with_a_timeout)
{
    struct member_load members[] = { { .server = 0, .attempt_number = 7 } };

    load.strategy.stages[0].ready_timeout_ms = 300000;
    load.attempt_number = 7;
    load.elapsed_ms = 290000;
    restart(members, 1);
    leader_begin(l, now, 1, &out);
    hello(0, 0, 0);
    for (int i = 0; i < 14; i++) {
        tick(2000);
        hello(0, 0, 0);
    }
    ck_assert_int_eq(state(), ROLLOUT_STAGING);
    tick(2000);
    ck_assert_int_eq(state(), ROLLOUT_ABORTING);
}
