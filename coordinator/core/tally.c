/* tally.c - who is waited for, who counts as a failure, and whether a stage is over its budget. */
#include "coordinator/core/tally.h"

struct count {
    uint32_t ok, missing, blocking, late, waited, gone, away, tried;
};

/* Servers that were unfit before they were asked are counted apart: the change is not to blame. */
static uint64_t failures(const struct rollout *r, uint32_t w)
{
    return (r->failed.words[w] | r->failing.words[w] | r->silent.words[w]) & ~r->unfit.words[w];
}

static uint32_t count_failures(const struct rollout *r, const struct bitset *members)
{
    uint32_t n = 0;

    for (uint32_t w = 0; w < members->word_count; w++)
        n += (uint32_t)__builtin_popcountll(failures(r, w) & members->words[w]);
    return n;
}

static uint32_t allowed(const struct rollout *r, unsigned stage, const struct fleet *fleet)
{
    const struct bitset *members = &r->stage_members[stage];
    uint32_t count = bitset_count(members);

    return budget_allows(&r->strategy.stages[stage].max_failed, count,
                         count - bitset_count_both(members, &fleet->unreachable));
}

/* The same for the database, whose rows do not tell the unfit apart: theirs come on top. */
static uint32_t tolerated(const struct rollout *r, unsigned stage, const struct fleet *fleet)
{
    const struct bitset *members = &r->stage_members[stage];
    uint32_t apart = 0;

    for (uint32_t w = 0; w < members->word_count; w++)
        apart += (uint32_t)__builtin_popcountll(
            (r->failed.words[w] | r->silent.words[w] | r->late.words[w]) & r->unfit.words[w] &
            members->words[w]);
    return allowed(r, stage, fleet) + apart;
}

/* The budget of the stage before the present one; stages that added nobody are passed over. */
static uint32_t previous_allowed(const struct rollout *r, const struct fleet *fleet)
{
    for (unsigned s = r->stage; s > 0; s--)
        if (!bitset_is_empty(&r->stage_members[s - 1]))
            return tolerated(r, s - 1, fleet);
    return 0;
}

static bool is_any_stage_over(const struct rollout *r, const struct fleet *fleet)
{
    if (!r->is_opened)
        return false;
    for (unsigned s = 0; s <= r->stage; s++)
        if (count_failures(r, &r->stage_members[s]) > allowed(r, s, fleet))
            return true;
    return false;
}

/* Whoever is late counts as a failure of its own stage: with a retry that may be an earlier one. */
static bool is_any_stage_over_when_late(const struct rollout *r, const struct fleet *fleet)
{
    for (unsigned s = 0; r->is_opened && s <= r->stage; s++) {
        const struct bitset *members = &r->stage_members[s];
        uint32_t n = 0;

        for (uint32_t w = 0; w < members->word_count; w++)
            n += (uint32_t)__builtin_popcountll(
                (failures(r, w) | (r->late.words[w] & ~r->unfit.words[w])) & members->words[w]);
        if (n > allowed(r, s, fleet))
            return true;
    }
    return false;
}

/* A member failed or refused and did not apply since, whatever retries were asked for. */
static bool has_failed_before(const struct rollout *r, const struct bitset *members)
{
    for (uint32_t w = 0; w < members->word_count; w++)
        for (uint64_t left = members->words[w] & ~r->applied.words[w]; left; left &= left - 1)
            if (r->outcome[w * 64 + (uint32_t)__builtin_ctzll(left)] & 1)
                return true;
    return false;
}

/* A stage that passed, and by now nobody of it runs the candidate while some went back: what was
 * seen of it is gone. A stage of which nobody was there says nothing, either way. */
static bool is_any_stage_deserted(const struct rollout *r)
{
    for (unsigned s = 0; r->is_opened && s <= r->stage; s++) {
        const struct bitset *m = &r->stage_members[s];

        if ((s < r->stage || r->round.state == ROUND_PASSED || r->round.state == ROUND_VACANT) &&
            bitset_count_both(m, &r->applied) == 0 &&
            (bitset_count_both(m, &r->failed) + bitset_count_both(m, &r->silent) > 0 ||
             has_failed_before(r, m)))
            return true;
    }
    return false;
}

/* A server refused, or a check fails: it is not only that time ran out. */
static bool is_any_refusing(const struct rollout *r)
{
    for (uint32_t w = 0; w < r->opened.word_count; w++)
        if ((r->failed.words[w] | r->failing.words[w]) & ~r->unfit.words[w] & r->opened.words[w])
            return true;
    return false;
}

/* A stage passes by its own members, whoever else a retry asked again. */
static uint64_t applied_in_stage(const struct rollout *r, uint32_t w)
{
    return r->applied.words[w] & ~r->failed.words[w] & r->stage_members[r->stage].words[w];
}

/* Who still has a part in the rollout: enrolled, and reading one of its scopes. */
static uint64_t present(const struct rollout *r, const struct fleet *fleet, uint32_t w)
{
    return fleet->enrolled.words[w] & r->scope_members.words[w];
}

/* The round's members word by word. Not present any more: excused for good. Not on the base by
 * the deadline: treated as unreachable. */
static struct count count_round(struct rollout *r, const struct fleet *fleet, bool is_late)
{
    enum unreachable_policy policy = r->strategy.unreachable;
    const struct round *round = &r->round;
    struct count n = { 0 };

    for (uint32_t w = 0; w < round->cohort.word_count; w++) {
        uint64_t cohort = round->cohort.words[w];
        uint64_t ok = (round->is_decided ? r->applied.words[w] : round->ready.words[w]) & cohort &
                      ~r->failed.words[w];
        uint64_t pending = cohort & ~ok & ~r->failed.words[w] & present(r, fleet, w);
        uint64_t gone =
            pending & (fleet->unreachable.words[w] | (is_late ? r->behind.words[w] : 0));
        uint64_t waited = pending & ~gone;
        uint64_t late = waited | (policy == UNREACHABLE_FAIL ? gone : 0);

        r->late.words[w] = is_late ? late : 0;
        n.ok += (uint32_t)__builtin_popcountll(round->is_decided ? applied_in_stage(r, w) : ok);
        n.waited += (uint32_t)__builtin_popcountll(waited);
        n.gone += (uint32_t)__builtin_popcountll(gone);
        n.away += (uint32_t)__builtin_popcountll(gone & fleet->unreachable.words[w]);
        n.tried += (uint32_t)__builtin_popcountll(
            cohort & (r->failed.words[w] | r->silent.words[w]));
        n.missing +=
            (uint32_t)__builtin_popcountll(waited | (policy == UNREACHABLE_SKIP ? 0 : gone));
        n.blocking += (uint32_t)__builtin_popcountll(policy == UNREACHABLE_WAIT ? gone : 0);
        n.late += (uint32_t)__builtin_popcountll(late & ~failures(r, w) & ~r->unfit.words[w]);
    }
    return n;
}

/* Nobody voted, nobody failed and nobody is there to be waited for: whoever is away had its time,
 * unless the strategy waits for it or calls that a failure. Members that were ready before the
 * decision and are away since are something else; those that came back without their slot, and
 * not on the base, are not. */
static bool is_vacant(const struct rollout *r, const struct count *n, bool is_late)
{
    if (n->ok + n->tried + n->waited > 0 || (n->gone > 0 && !is_late) ||
        has_failed_before(r, &r->stage_members[r->stage]) ||
        has_failed_before(r, &r->round.cohort))
        return false;
    if (n->gone == 0)
        return true;
    return r->strategy.unreachable == UNREACHABLE_SKIP &&
           (!r->round.is_decided || r->strategy.is_eventual || n->away == 0);
}

/* Members that should hear PREPARE: in a two-phase round whoever does not hold the slot, in an
 * eventual one whoever has no outcome yet. */
static void find_unanswered(struct rollout *r, const struct fleet *fleet)
{
    const struct bitset *done = r->strategy.is_eventual ? &r->applied : &r->round.ready;

    bitset_copy(&r->unanswered, &r->round.cohort);
    bitset_intersect(&r->unanswered, &fleet->connected);
    bitset_intersect(&r->unanswered, &r->scope_members);
    bitset_subtract(&r->unanswered, done);
    bitset_subtract(&r->unanswered, &r->failed);
}

static void view_round(struct rollout *r, const struct fleet *fleet, int64_t now_ms,
                       struct round_view *v)
{
    const struct stage_rule *rule = &r->strategy.stages[r->stage];
    bool is_late = now_ms >= r->round.deadline_ms;
    struct count n = count_round(r, fleet, is_late);
    uint32_t failed = count_failures(r, &r->stage_members[r->stage]);
    uint32_t failed_max = allowed(r, r->stage, fleet);

    find_unanswered(r, fleet);
    *v = (struct round_view){
        .rollout = r->id,
        .command = r->command,
        .stage = r->stage,
        .is_eventual = r->strategy.is_eventual,
        .is_paused = r->is_paused,
        .is_decided = r->round.is_decided,
        .is_over_budget = failed > failed_max,
        .is_lost = is_any_stage_over(r, fleet) || is_any_stage_deserted(r),
        .is_vacant = is_vacant(r, &n, is_late),
        .is_known_vacant = r->was_found_paused,
        .is_deserted = r->round.is_decided && n.ok + n.tried + n.waited == 0 && n.away > 0 &&
                       r->strategy.unreachable != UNREACHABLE_FAIL,
        .is_complete = n.missing == 0 && n.ok > 0,
        .is_unanimous = n.ok > 0 && n.ok == bitset_count(&r->round.cohort),
        .is_late = is_late && n.blocking == 0,
        .is_enough = n.ok > 0 && failed + n.late <= failed_max &&
                     !is_any_stage_over_when_late(r, fleet),
        .ok_count = n.ok,
        .failed_max = tolerated(r, r->stage, fleet),
        .unanswered = &r->unanswered,
        .silent = is_late && !bitset_is_empty(&r->late) ? &r->late : NULL,
        .now_ms = now_ms,
        .ready_timeout_ms = rule->ready_timeout_ms,
        .apply_timeout_ms = rule->apply_timeout_ms,
    };
}

/* Everybody in `asked` who is present and not unreachable is done. */
static bool is_done(const struct rollout *r, const struct bitset *asked, const struct bitset *done,
                    const struct fleet *fleet)
{
    for (uint32_t w = 0; w < asked->word_count; w++)
        if (asked->words[w] & present(r, fleet, w) & ~fleet->unreachable.words[w] &
            ~done->words[w])
            return false;
    return true;
}

/* Whoever is there went back, cannot, or had nothing to take back, in every scope that it reads. */
static bool is_everyone_back(const struct rollout *r, const struct fleet *fleet)
{
    for (uint32_t w = 0; w < r->opened.word_count; w++)
        if (r->owing.words[w] & present(r, fleet, w) & ~fleet->unreachable.words[w])
            return false;
    return true;
}

static bool is_everyone_done(const struct rollout *r, const struct fleet *fleet)
{
    if (r->state == ROLLOUT_ABORTING)
        return is_done(r, &r->opened, &r->aborted, fleet);
    if (r->state == ROLLOUT_ROLLING_BACK)
        return is_everyone_back(r, fleet);
    if (r->state == ROLLOUT_FINALIZING)
        return is_done(r, &r->scope_members, &r->finalized, fleet);
    return false;
}

/* Bake counts observed time: after a leader's start members that are not back yet are waited for.
 */
static bool is_observed(const struct rollout *r, const struct fleet *fleet, int64_t now_ms)
{
    return !fleet_in_grace(fleet, now_ms) ||
           is_done(r, &r->opened, &fleet->connected, fleet);
}

static bool is_baked(const struct rollout *r, const struct fleet *fleet, int64_t now_ms)
{
    if (r->state != ROLLOUT_BAKING || r->is_paused)
        return false;
    if (r->is_promoted)
        return true;
    return !r->strategy.stages[r->stage].is_hold && now_ms >= r->deadline_ms &&
           is_observed(r, fleet, now_ms);
}

/* The members that an open round still waits for stay with the stage: they move to the new attempt
 * with the others. */
void tally_retry(const struct rollout *r, const struct fleet *fleet, struct bitset *out)
{
    bool is_open = r->state == ROLLOUT_STAGING;

    for (uint32_t w = 0; w < out->word_count; w++) {
        uint64_t lost = (r->failed.words[w] | r->silent.words[w]) & r->opened.words[w];

        if (is_open && !r->round.is_decided)
            lost = r->round.cohort.words[w];
        out->words[w] = lost & ~r->applied.words[w] & present(r, fleet, w);
    }
    if (!is_open || bitset_is_empty(out))
        return;
    for (uint32_t w = 0; w < out->word_count; w++)
        out->words[w] |=
            r->round.cohort.words[w] & ~r->applied.words[w] & present(r, fleet, w);
}

static bool is_any_broken(const struct rollout *r, const struct fleet *fleet)
{
    for (uint32_t w = 0; w < r->broken.word_count; w++)
        if (r->broken.words[w] & present(r, fleet, w))
            return true;
    return false;
}

/* So far nobody runs the change, and later stages would bring it to servers that are there: it is
 * not to reach them all because its canaries were away. Where nobody else is there either, going on
 * harms nobody: each gets it when it answers. Eventual rounds have decided before they ask. */
static bool is_untested(const struct rollout *r, const struct fleet *fleet)
{
    uint64_t there = 0;

    if (r->may_be_untested || r->strategy.is_eventual || r->stage + 1 >= r->strategy.stage_count)
        return false;
    for (uint32_t w = 0; w < r->opened.word_count; w++) {
        if (r->opened.words[w] & r->applied.words[w])
            return false;
        there |= present(r, fleet, w) & ~fleet->unreachable.words[w] & ~r->opened.words[w];
    }
    return there != 0;
}

void tally(struct rollout *r, const struct fleet *fleet, int64_t now_ms,
           int64_t rollback_timeout_ms, uint64_t chance, struct round_view *view,
           struct rollout_facts *facts)
{
    view_round(r, fleet, now_ms, view);
    tally_retry(r, fleet, &r->scratch);
    *facts = (struct rollout_facts){
        .now_ms = now_ms,
        .rollback_timeout_ms = rollback_timeout_ms,
        .is_paused = r->is_paused,
        .is_opened = r->is_opened,
        .was_activated = r->was_activated,
        .pauses_on_failure = r->strategy.on_failure == ON_FAILURE_PAUSE,
        .is_lost = r->round.state == ROUND_LOST || view->is_lost,
        .is_late = !is_any_refusing(r),
        .is_vacant = r->round.state == ROUND_VACANT,
        .is_untested = is_untested(r, fleet),
        .is_passed = r->round.state == ROUND_PASSED,
        .is_baked = is_baked(r, fleet, now_ms),
        .is_last_stage = r->stage + 1 >= r->strategy.stage_count,
        .is_everyone_done = is_everyone_done(r, fleet),
        .is_any_broken = is_any_broken(r, fleet),
        .is_patience_over = now_ms >= r->deadline_ms,
        .has_failures = !bitset_is_empty(&r->scratch),
        .previous_failed_max = previous_allowed(r, fleet),
        .failed_max = view->failed_max,
        .chance = chance,
    };
}
