/* leader_bounds.c - full tables refuse, retries end, and rows without sense are told from others. */
#include "tests/unit/leader_kit.h"

/* ON_FAILURE_PAUSE: one server of one stage refuses to apply, again and again. */
static void fail_once(void)
{
    uint64_t attempt = number();

    acks(ACK_READY, 0xff & ~leader_rollout(l, 1)->applied.words[0], attempt);
    if (dseq > attempt)
        acks(ACK_FAILED, 0x80, dseq);
}

static void begin_one_stage_that_fails(void)
{
    load.strategy.stage_count = 1;
    load.strategy.on_failure = ON_FAILURE_PAUSE;
    everybody_says_hello();
    start();
    acks(ACK_READY, 0xff, number());
    acks(ACK_APPLIED, 0x7f, dseq);
    acks(ACK_FAILED, 0x80, dseq);
    ck_assert(leader_rollout(l, 1)->is_paused);
}

TEST(retries_have_an_end_and_leave_no_duties)
{
    enum command_verdict verdict = COMMAND_TAKEN;
    unsigned taken = 0;

    begin_one_stage_that_fails();
    for (unsigned i = 0; i < 1600 && verdict == COMMAND_TAKEN; i++) {
        verdict = command(ROLLOUT_ACTION_RETRY);
        taken += verdict == COMMAND_TAKEN;
        if (verdict == COMMAND_TAKEN)
            fail_once();
        ck_assert(leader_fits(l));
    }
    ck_assert_int_eq(verdict, COMMAND_SPENT);
    ck_assert_uint_eq(taken, ROLLOUT_ATTEMPTS_MAX - 1);
    ck_assert_uint_eq(leader_allowed(l, 1) & 1u << ROLLOUT_ACTION_RETRY, 0);
    ck_assert_uint_ne(leader_allowed(l, 1) & 1u << ROLLOUT_ACTION_ROLLBACK, 0);
    ck_assert_int_eq(command(ROLLOUT_ACTION_ROLLBACK), COMMAND_TAKEN);
    acks(ACK_ROLLED_BACK, 0xff, dseq);
    ck_assert_int_eq(state(), ROLLOUT_ENDED);
}

/* As large as it may be: 2 stages of 1 scope claim 3 duties each. */
static void fill_with(unsigned rollouts)
{
    for (unsigned i = 0; i < rollouts; i++) {
        struct rollout_load one = load;
        struct leader_event ev = event(LEADER_ROLLOUT_STARTED);

        one.id = 100 + i;
        ev.load = &one;
        ev.rollout = one.id;
        step(ev);
    }
}

TEST(what_has_no_room_waits)
{
    static struct leader_limits tight;

    tight = limits;
    tight.duties_max = tight.scopes_max + 7; /* two of three duties each, and one left */
    found(&tight);
    load_servers();
    fill_with(3);
    ck_assert_uint_eq(leader_rollout_count(l), 2);
    ck_assert(leader_fits(l));
    load.id = 500;
    ck_assert(!leader_has_room(l, &load));
    load.strategy.stage_count = 32;
    ck_assert(!leader_has_room(l, &load));
}

/* Opened by a coordinator with more room: this one says that it cannot lead. */
TEST(what_others_opened_may_not_fit)
{
    static struct leader_limits tight;

    tight = limits;
    tight.duties_max = tight.scopes_max + 2;
    found(&tight);
    leader_load_scope(l, 0);
    load.is_opened = true;
    load.attempt = 1;
    load.attempt_number = 1;
    ck_assert(leader_load_rollout(l, &load, now));
    ck_assert(!leader_fits(l));
}

TEST(the_largest_rollout_fits_the_smallest_tables)
{
    struct rollout_load largest = { .id = 1, .scope_count = ROLLOUT_SCOPES_MAX };
    struct leader_limits smallest = limits;

    largest.strategy.stage_count = ROLLOUT_STAGES_MAX;
    smallest.scopes_max = 16;
    smallest.rollouts_max = 1;
    smallest.duties_max = leader_duties_max(smallest.scopes_max, smallest.rollouts_max);
    found(&smallest);
    ck_assert(leader_has_room(l, &largest));
}

static const struct nonsense {
    enum phase phase;
    bool is_opened, is_decided, was_activated;
    unsigned stage, attempt, member_stage;
    uint64_t number, decision;
    bool is_sound;
} nonsense[] = {
    { PHASE_PREPARING, false, false, false, 0, 0, 0, 0, 0, true },
    { PHASE_PREPARING, true, false, false, 1, 1, 1, 7, 0, true },
    { PHASE_ACTIVATING, true, true, true, 0, 1, 0, 7, 0, true },
    { PHASE_BAKING, true, true, true, 0, 1, 0, 7, 0, true },
    { PHASE_ROLLING_BACK, true, true, true, 0, 1, 0, 7, 9, true },
    { PHASE_FINALIZING, true, false, false, 0, 0, 0, 0, 9, true },
    { PHASE_BAKING, false, false, false, 0, 0, 0, 0, 0, false },
    { PHASE_PREPARING, true, false, false, 2, 1, 0, 7, 0, false },
    { PHASE_PREPARING, true, false, false, 4000000000u, 1, 0, 7, 0, false },
    { PHASE_PREPARING, true, false, false, 0, 1, 2, 7, 0, false },
    { PHASE_PREPARING, true, false, false, 0, 1, 0, 0, 0, false },
    { PHASE_PREPARING, true, false, false, 0, 0, 0, 7, 0, false },
    { PHASE_PREPARING, true, true, true, 0, 1, 0, 7, 0, false },
    { PHASE_ACTIVATING, true, false, false, 0, 1, 0, 7, 0, false },
    { PHASE_BAKING, true, false, false, 0, 1, 0, 7, 0, false },
    { PHASE_ABORTING, true, true, true, 0, 1, 0, 7, 0, false },
    { PHASE_ROLLING_BACK, true, true, true, 0, 1, 0, 7, 0, false },
    { PHASE_ROLLING_BACK, true, false, false, 0, 1, 0, 7, 9, false },
    { PHASE_FINALIZING, true, false, false, 0, 0, 0, 0, 0, false },
    { PHASE_COMPLETED, true, true, true, 0, 1, 0, 7, 9, false },
    { PHASE_FAILED, false, false, false, 0, 0, 0, 0, 0, false },
};

TEST_EACH(rows_without_sense_are_told_and_the_others_begin, nonsense)
{
    const struct nonsense *n = &nonsense[_i];
    struct member_load member = { .server = 1, .stage = n->member_stage,
                                  .attempt_number = n->number };

    load.phase = n->phase;
    load.is_opened = n->is_opened;
    load.is_attempt_decided = n->is_decided;
    load.was_activated = n->was_activated;
    load.stage = n->stage;
    load.attempt = n->attempt;
    load.attempt_number = n->number;
    load.decision_number = n->decision;
    load.members = &member;
    load.member_count = n->is_opened;
    ck_assert_int_eq(leader_fault(&load) == NULL, n->is_sound);
    if (!n->is_sound)
        return;
    ck_assert(leader_load_rollout(l, &load, now));
    leader_begin(l, now, 1, &out);
    tick(1000);
}

TEST(a_rollout_of_no_scope_or_no_stage_has_no_sense)
{
    load.scope_count = 0;
    ck_assert_ptr_nonnull(leader_fault(&load));
    load.scope_count = ROLLOUT_SCOPES_MAX + 1;
    ck_assert_ptr_nonnull(leader_fault(&load));
    load.scope_count = 1;
    load.strategy.stage_count = 0;
    ck_assert_ptr_nonnull(leader_fault(&load));
    load.strategy.stage_count = ROLLOUT_STAGES_MAX + 1;
    ck_assert_ptr_nonnull(leader_fault(&load));
}
