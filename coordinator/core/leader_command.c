/* leader_command.c - what people and hooks ask for, and what is possible now. */
#include "coordinator/core/leader_internal.h"

static const enum rollout_event action_events[ROLLOUT_ACTION_COUNT] = {
    [ROLLOUT_ACTION_PAUSE] = ROLLOUT_EV_PAUSE,       [ROLLOUT_ACTION_RESUME] = ROLLOUT_EV_RESUME,
    [ROLLOUT_ACTION_PROMOTE] = ROLLOUT_EV_PROMOTE,   [ROLLOUT_ACTION_ABORT] = ROLLOUT_EV_ABORT,
    [ROLLOUT_ACTION_ROLLBACK] = ROLLOUT_EV_ROLLBACK, [ROLLOUT_ACTION_RETRY] = ROLLOUT_EV_RETRY,
};

/* The action was taken already, or is on its way. */
static bool is_repeated(const struct rollout *r, enum rollout_action action)
{
    bool is_aborting = r->state == ROLLOUT_ABORTING || r->state == ROLLOUT_STOPPING;
    bool is_reverting = r->state == ROLLOUT_ROLLING_BACK || r->state == ROLLOUT_REVERTING;

    switch (action) {
    case ROLLOUT_ACTION_PAUSE:
        return r->is_paused;
    case ROLLOUT_ACTION_RESUME:
        return !r->is_paused;
    case ROLLOUT_ACTION_ABORT:
        return is_aborting;
    case ROLLOUT_ACTION_ROLLBACK:
        return is_aborting || is_reverting;
    case ROLLOUT_ACTION_PROMOTE:
    case ROLLOUT_ACTION_RETRY:
    case ROLLOUT_ACTION_COUNT:
        break;
    }
    return false;
}

/* The command waits for a save that is on its way. */
static bool is_for_later(const struct rollout *r)
{
    return r->save_count > 0 || r->state == ROLLOUT_CHOOSING || r->state == ROLLOUT_ENDING;
}

/* What a promotion opens or releases is judged by the rows, like what a rule decides: it waits as
 * long for what is on its way. It is offered again with every tick. A wait that nobody came back
 * for was another command's, which was withdrawn. */
static bool is_held_up(const struct leader *l, struct rollout *r, const struct leader_event *ev,
                       const struct rollout_facts *facts)
{
    bool is_waiting;

    if (ev->action != ROLLOUT_ACTION_PROMOTE || !rollout_would(r, ROLLOUT_EV_PROMOTE, facts))
        return false;
    if (ev->now_ms >= r->held_ms + ACKS_PATIENCE_MS)
        r->held_ms = 0;
    is_waiting = leader_is_awaiting(l, r, ev->now_ms, &r->held_ms);
    if (!is_waiting)
        r->held_ms = 0;
    return is_waiting;
}

/* The clocks of the open round start over, and who was silent gets another chance. Where nobody of
 * the stage is there, the pause said so, and that nobody tested the change: the stage may be passed
 * over. After a takeover nobody knows what the pause said, and a person who resumes is not asked
 * the same once more. */
static void resume_round(struct leader *l, struct rollout *r, const struct leader_event *ev,
                         struct effects *out)
{
    struct round_view view;
    struct rollout_facts facts;

    if (r->state != ROLLOUT_STAGING)
        return;
    bitset_subtract(&r->silent, &r->round.cohort);
    leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
    leader_step_round(r, ROUND_EV_RESUMED, &view, out);
    r->may_be_untested = r->round.state == ROUND_VACANT || r->round.state == ROUND_PASSED ||
                         (r->was_found_paused && view.is_vacant);
    r->was_found_paused = false;
}

enum command_verdict leader_command(struct leader *l, const struct leader_event *ev,
                                    struct effects *out)
{
    struct rollout *r = leader_find(l, ev->rollout);
    struct round_view view;
    struct rollout_facts facts;

    if (!r)
        return COMMAND_UNKNOWN;
    if (is_for_later(r))
        return COMMAND_LATER;
    if (is_repeated(r, ev->action))
        return COMMAND_REPEATED;
    if (ev->action == ROLLOUT_ACTION_RETRY && leader_may_retry(l, r) != COMMAND_TAKEN)
        return leader_may_retry(l, r);
    leader_look(l, r, ev->now_ms, ev->chance, &view, &facts);
    if (is_held_up(l, r, ev, &facts))
        return COMMAND_LATER;
    r->command = ev->command;
    if (!leader_step_rollout(r, action_events[ev->action], &facts, out)) {
        r->command = 0;
        return COMMAND_REFUSED;
    }
    if (ev->action == ROLLOUT_ACTION_PROMOTE && ev->is_full)
        r->is_promoted = true;
    if (ev->action == ROLLOUT_ACTION_RESUME)
        resume_round(l, r, ev, out);
    leader_pump(l, r, ev->now_ms, ev->chance, out);
    return COMMAND_TAKEN;
}

unsigned leader_allowed(const struct leader *l, uint64_t rollout)
{
    struct leader *own = (struct leader *)(uintptr_t)l; /* only lent sets are recomputed */
    struct rollout *r = leader_find(own, rollout);
    struct round_view view;
    struct rollout_facts facts;
    unsigned allowed = 0;

    if (!r)
        return 0;
    leader_look(own, r, INT64_MIN / 2, 0, &view, &facts);
    for (unsigned a = 0; a < ROLLOUT_ACTION_COUNT; a++)
        if (rollout_would(r, action_events[a], &facts))
            allowed |= 1u << a;
    if (leader_may_retry(l, r) != COMMAND_TAKEN)
        allowed &= ~(1u << ROLLOUT_ACTION_RETRY);
    return allowed;
}
